/* SPDX-License-Identifier: MIT */
/* What Xen's command line says: docs/xen.md, "Options of Xen's command line". */
#include "shim.h"

#include <xen/errno.h>
#include <xen/init.h>
#include <xen/iommu.h>
#include <xen/lib.h>
#include <xen/param.h>

struct shim_options __read_mostly shim_options = {
    .enabled = true,
    .guests = true,
    .pages = 1U << 16,
    .contexts = 256,
    .bus_pages = 1U << 12,
    .bus_entries = 1U << 20,
};

/* Is what lies there `name=` and a number? */
static bool __init number(const char *name, const char *s, const char *end,
                          unsigned int *to)
{
    size_t len = strlen(name);
    const char *last;
    unsigned long value;

    if ( strncmp(s, name, len) || s[len] != '=' )
        return false;

    s += len + 1;
    value = simple_strtoul(s, &last, 0);
    if ( last == s || last != end || value > UINT32_MAX )
        return false;
    *to = (unsigned int)value;

    return true;
}

static int __init cf_check parse_pviommu(const char *s)
{
    struct shim_options *o = &shim_options;
    const char *end;
    int rc = 0;

    do {
        int val;

        end = strchr(s, ',');
        if ( !end )
            end = strchr(s, '\0');

        val = parse_bool(s, end);
        if ( val >= 0 )
            o->enabled = val;
        else if ( (val = parse_boolean("guests", s, end)) >= 0 )
            o->guests = val;
        else if ( !number("pages", s, end, &o->pages) &&
                  !number("contexts", s, end, &o->contexts) &&
                  !number("bus-pages", s, end, &o->bus_pages) &&
                  !number("bus-entries", s, end, &o->bus_entries) )
            rc = -EINVAL;

        s = end + 1;
    } while ( *end );

    return rc;
}
custom_param("pviommu", parse_pviommu);

/* Xen's own goes with the rest of what only boot needs. */
static int __init cf_check strict_init(void)
{
    shim_options.strict = iommu_hwdom_strict;

    return 0;
}
__initcall(strict_init);
