/* SPDX-License-Identifier: MIT */
/* Units, and what requester ids translate through. Xen's functions return when the hardware has done what it was told. */
#include "shim.h"

#include <asm/iommu.h>

struct pvi_system shim_system;

struct shim_unit *shim_unit_of(struct pvi_unit *u)
{
    return container_of(u, struct shim_unit, unit);
}

int shim_unit_add(struct shim_unit *u)
{
    /* A placeholder stands for a map where there is no quarantine. */
    if ( u->did_map == ZERO_BLOCK_PTR || !u->did_map )
    {
        u->did_map = xvzalloc_array(unsigned long,
                                    BITS_TO_LONGS(UINT16_MAX - DOMID_MASK));
        if ( !u->did_map )
            return -ENOMEM;
        __set_bit(DOMID_INVALID & DOMID_MASK, u->did_map);
        u->did_map_own = true;
    }

    return pvi_system_add_unit(&shim_system, &u->unit) ? -ENOSPC : 0;
}

/* --- domain ids ----------------------------------------------------------- */

int pvi_host_did_alloc(struct pvi_host *h, struct pvi_unit *unit, uint16_t *did)
{
    struct shim_unit *u = shim_unit_of(unit);
    domid_t id;

    pcidevs_lock();
    id = iommu_alloc_domid(u->did_map);
    pcidevs_unlock();
    if ( id == DOMID_INVALID )
        return -PVI_ENOSPC;
    *did = id;

    return 0;
}

void pvi_host_did_free(struct pvi_host *h, struct pvi_unit *unit, uint16_t did)
{
    struct shim_unit *u = shim_unit_of(unit);
    unsigned int i;

    pcidevs_lock();
    for ( i = 0; i < u->nr_home; i++ )
        if ( u->home[i].lib == did )
            u->home[i] = u->home[--u->nr_home];
    iommu_free_domid(did, u->did_map);
    pcidevs_unlock();
}

/* The id as the hardware has it. pcidevs_lock is held. */
static uint16_t did_of(const struct shim_unit *u, uint16_t did)
{
    unsigned int i;

    for ( i = 0; i < u->nr_home; i++ )
        if ( u->home[i].lib == did )
            return u->home[i].hw;

    return u->vendor->hw_did(u, did);
}

/* The default context's id of a domain is the one that Xen's entry has. */
static int home_note(struct shim_unit *u, uint16_t lib, uint16_t hw)
{
    unsigned int i;

    for ( i = 0; i < u->nr_home; i++ )
        if ( u->home[i].lib == lib )
            return u->home[i].hw == hw ? 0 : -PVI_EOPNOTSUPP;
    if ( i == ARRAY_SIZE(u->home) )
        return -PVI_ENOSPC;
    u->home[i].lib = lib;
    u->home[i].hw = hw;
    u->nr_home++;

    return 0;
}

/* --- entries -------------------------------------------------------------- */

static struct shim_rid *rid_find(struct shim_device *dev, uint16_t rid)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(dev->rid) - 1 && dev->rid[i].rid != rid; i++ )
        ;

    return &dev->rid[i];
}

/*
 * To the default context, or away from the library: back to what Xen had there. The entry is Xen's own, so Xen finds it as it
 * left it when it takes the device elsewhere.
 */
int pvi_host_dev_switch(struct pvi_host *h, struct pvi_unit *unit, uint16_t rid,
                        const struct pvi_dev_entry *to, bool *was_absent)
{
    struct shim_unit *u = shim_unit_of(unit);
    struct shim_device *dev;
    struct shim_rid *r;
    uint64_t old[2], e[2];
    int rc = -PVI_EHW;

    *was_absent = false;
    if ( to->pasid || to->guest.levels )
        return -PVI_EOPNOTSUPP;

    pcidevs_lock();
    dev = shim_device_find(u, rid);
    if ( !dev || !u->vendor->read(u, rid, old) )
        goto out;

    r = rid_find(dev, rid);
    if ( !to->translate || to->root.a == SHIM_HOME_ROOT )
    {
        rc = to->translate ? home_note(u, to->did, u->vendor->did(r->home)) : 0;
        if ( rc )
            goto out;
        memcpy(e, r->home, sizeof(e));
    }
    else
        u->vendor->encode(u, to, u->vendor->hw_did(u, to->did), old, e);

    rc = (e[0] == old[0] && e[1] == old[1]) ||
         u->vendor->write(u, rid, old, e) ? 0 : -PVI_EHW;

 out:
    pcidevs_unlock();

    return rc;
}

int pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *unit,
                        const struct pvi_inv *inv, unsigned nr)
{
    struct shim_unit *u = shim_unit_of(unit);
    unsigned int i;
    int rc = 0;

    pcidevs_lock();
    for ( i = 0; i < nr && !rc; i++ )
        rc = u->vendor->invalidate(u, &inv[i], did_of(u, inv[i].did));
    pcidevs_unlock();

    return rc ? -PVI_EHW : 0;
}

int pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *unit)
{
    return unit->broken ? -PVI_EHW : 0;
}
