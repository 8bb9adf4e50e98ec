/* SPDX-License-Identifier: MIT */
/*
 * The userspace host: units that the library's own AMD-Vi driver runs. A file of its own: only who
 * uses it links it.
 */
#include "internal.h"
#include <pviommu/amdvi.h>

static struct pvi_amdvi_unit *amdvi_of(struct pvi_unit *u)
{
    return (struct pvi_amdvi_unit *)(void *)((char *)u - offsetof(struct pvi_amdvi_unit, unit));
}

static int amdvi_did_alloc(struct pvi_unit *u, uint16_t *did)
{
    return pvi_amdvi_unit_did_alloc(amdvi_of(u), did);
}

static void amdvi_did_free(struct pvi_unit *u, uint16_t did)
{
    pvi_amdvi_unit_did_free(amdvi_of(u), did);
}

static int amdvi_switch(struct pvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                        bool *was_absent)
{
    return pvi_amdvi_unit_switch(amdvi_of(u), rid, to, was_absent);
}

static int amdvi_submit(struct pvi_unit *u, const struct pvi_inv *inv, unsigned nr)
{
    return pvi_amdvi_unit_submit(amdvi_of(u), inv, nr);
}

static int amdvi_wait(struct pvi_unit *u)
{
    return pvi_amdvi_unit_wait(amdvi_of(u));
}

static const struct pvi_posix_driver amdvi_driver = {
    amdvi_did_alloc, amdvi_did_free, amdvi_switch, amdvi_submit, amdvi_wait,
};

int pvi_posix_add_amdvi(struct pvi_host *h, struct pvi_amdvi_unit *u)
{
    return pvi_posix_add_unit(h, &u->unit, &amdvi_driver);
}
