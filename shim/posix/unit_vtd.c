/* SPDX-License-Identifier: MIT */
/*
 * The userspace host: units that the library's own VT-d driver runs. A file of its own: only who
 * uses it links it.
 */
#include "internal.h"
#include <pviommu/vtd.h>

static struct pvi_vtd_unit *vtd_of(struct pvi_unit *u)
{
    return (struct pvi_vtd_unit *)(void *)((char *)u - offsetof(struct pvi_vtd_unit, unit));
}

static int vtd_did_alloc(struct pvi_unit *u, uint16_t *did)
{
    return pvi_vtd_unit_did_alloc(vtd_of(u), did);
}

static void vtd_did_free(struct pvi_unit *u, uint16_t did)
{
    pvi_vtd_unit_did_free(vtd_of(u), did);
}

static int vtd_switch(struct pvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                      bool *was_absent)
{
    return pvi_vtd_unit_switch(vtd_of(u), rid, to, was_absent);
}

static int vtd_submit(struct pvi_unit *u, const struct pvi_inv *inv, unsigned nr)
{
    return pvi_vtd_unit_submit(vtd_of(u), inv, nr);
}

static int vtd_wait(struct pvi_unit *u)
{
    return pvi_vtd_unit_wait(vtd_of(u));
}

static const struct pvi_posix_driver vtd_driver = {
    vtd_did_alloc, vtd_did_free, vtd_switch, vtd_submit, vtd_wait,
};

int pvi_posix_add_vtd(struct pvi_host *h, struct pvi_vtd_unit *u)
{
    return pvi_posix_add_unit(h, &u->unit, &vtd_driver);
}
