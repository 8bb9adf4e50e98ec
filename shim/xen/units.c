/* SPDX-License-Identifier: MIT */
/* Units, and what requester ids translate through. Xen's functions return when the hardware has done what it was told. */
#include "shim.h"

#include <asm/iommu.h>

struct pvi_system shim_system;

struct shim_unit *shim_unit_of(struct pvi_unit *u)
{
    return container_of(u, struct shim_unit, unit);
}

struct shim_unit *shim_unit_by_hw(const void *hw)
{
    unsigned int i;

    for ( i = 0; hw && i < shim_system.nr_units; i++ )
        if ( shim_unit_of(shim_system.unit[i])->hw == hw )
            return shim_unit_of(shim_system.unit[i]);

    return NULL;
}

/*
 * Ids for contexts, per unit. They come from Xen's map of pseudo domain ids, all at once, since that is guarded by a lock that
 * nothing below may wait for. Without quarantine Xen has none, and all of them are free.
 */
#define UNIT_DIDS 4096u

int shim_unit_add(struct shim_unit *u, unsigned long *did_map)
{
    bool none = !did_map || did_map == ZERO_BLOCK_PTR;
    unsigned int i;

    u->did = xmalloc_array(domid_t, UNIT_DIDS);
    if ( !u->did || pvi_system_add_unit(&shim_system, &u->unit) )
    {
        int rc = u->did ? -ENOSPC : -ENOMEM;

        xfree(u->did);
        xfree(u);
        return rc;
    }
    spin_lock_init(&u->lock);
    for ( i = 0; i < UNIT_DIDS; i++ )
    {
        domid_t did = none ? (domid_t)(DOMID_MASK + 1 + i)
                           : iommu_alloc_domid(did_map);

        if ( did == DOMID_INVALID )
            break;
        u->did[i] = did;
    }
    u->nr_free = i;

    return 0;
}

/* --- domain ids ----------------------------------------------------------- */

int pvi_host_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t *did)
{
    struct shim_unit *su = shim_unit_of(u);
    int rc = -PVI_ENOSPC;

    spin_lock(&su->lock);
    if ( su->nr_free )
    {
        *did = su->did[--su->nr_free];
        rc = 0;
    }
    spin_unlock(&su->lock);

    return rc;
}

void pvi_host_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    struct shim_unit *su = shim_unit_of(u);
    unsigned int i;

    spin_lock(&su->lock);
    for ( i = 0; i < su->nr_home; i++ )
        if ( su->home[i].lib == did )
            su->home[i] = su->home[--su->nr_home];
    su->did[su->nr_free++] = did;
    spin_unlock(&su->lock);
}

/* The id as the hardware has it. */
static uint16_t did_of(struct shim_unit *u, uint16_t did)
{
    uint16_t hw = u->vendor->hw_did(u, did);
    unsigned int i;

    spin_lock(&u->lock);
    for ( i = 0; i < u->nr_home; i++ )
        if ( u->home[i].lib == did )
            hw = u->home[i].hw;
    spin_unlock(&u->lock);

    return hw;
}

/* The default context's id of a domain is the one that Xen's entry has. */
static int home_note(struct shim_unit *u, uint16_t lib, uint16_t hw)
{
    unsigned int i;
    int rc = 0;

    spin_lock(&u->lock);
    for ( i = 0; i < u->nr_home && u->home[i].lib != lib; i++ )
        ;
    if ( i < u->nr_home )
        rc = u->home[i].hw == hw ? 0 : -PVI_EOPNOTSUPP;
    else if ( i == ARRAY_SIZE(u->home) )
        rc = -PVI_ENOSPC;
    else
    {
        u->home[i].lib = lib;
        u->home[i].hw = hw;
        u->nr_home++;
    }
    spin_unlock(&u->lock);

    return rc;
}

/* --- entries -------------------------------------------------------------- */

/*
 * No lock of Xen's passthrough layer is taken but the unit's own: whoever holds pcidevs_lock may wait for a hypercall that is here.
 *
 * To the default context, or away from the library: back to what Xen had there. The entry is Xen's own, so Xen finds it as it
 * left it when it takes the device elsewhere. What Xen has led elsewhere meanwhile, with another device of the same id, stays there.
 */
int pvi_host_dev_switch(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                        const struct pvi_dev_entry *to, bool *was_absent)
{
    struct shim_unit *su = shim_unit_of(u);
    struct shim_rid r;
    uint64_t old[2], e[2];
    int rc;

    *was_absent = false;
    if ( to->pasid || to->guest.levels )
        return -PVI_EOPNOTSUPP;

    if ( !shim_rid_find(su, rid, &r) )
        return -PVI_EHW;
    if ( !su->vendor->read(su, rid, old) ||
         old[0] != r.now[0] || old[1] != r.now[1] )
        return to->translate ? -PVI_EBUSY : 0;

    if ( !to->translate || to->root.a == SHIM_HOME_ROOT )
    {
        rc = to->translate ? home_note(su, to->did, su->vendor->did(r.home)) : 0;
        if ( rc )
            return rc;
        memcpy(e, r.home, sizeof(e));
    }
    else
        su->vendor->encode(su, to, su->vendor->hw_did(su, to->did), old, e);

    if ( e[0] == old[0] && e[1] == old[1] )
        return 0;
    if ( !su->vendor->write(su, rid, old, e) )
        return -PVI_EHW;
    shim_rid_note(su, rid, e);

    return 0;
}

int pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u,
                        const struct pvi_inv *inv, unsigned nr)
{
    struct shim_unit *su = shim_unit_of(u);
    unsigned int i;
    int rc = 0;

    for ( i = 0; i < nr && !rc; i++ )
        rc = su->vendor->invalidate(su, &inv[i], did_of(su, inv[i].did));

    return rc ? -PVI_EHW : 0;
}

int pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u)
{
    const struct shim_unit *su = shim_unit_of(u);

    if ( u->broken )
        return -PVI_EHW;
    if ( su->vendor->wait )
        su->vendor->wait(su);

    return 0;
}
