/* SPDX-License-Identifier: MIT */
/* The userspace host: frames of other guests, and notices to io-servers. */
#include "internal.h"
#include <string.h>

void pvi_posix_hdom_no_ref(struct pvi_hdom *d, bool yes)
{
    d->no_ref = yes;
}

void pvi_posix_hdom_translated(struct pvi_hdom *d, bool yes)
{
    d->not_translated = !yes;
}

void pvi_posix_hdom_ring(struct pvi_hdom *d, uint64_t room)
{
    pthread_mutex_lock(&d->lock);
    d->ring_room = room;
    pthread_mutex_unlock(&d->lock);
}

uint64_t pvi_posix_notices(struct pvi_hdom *d, struct pvi_posix_notice out[PVI_POSIX_NOTICES])
{
    uint64_t nr;

    pthread_mutex_lock(&d->lock);
    nr = d->nr_notices;
    memcpy(out, d->notice, sizeof(d->notice));
    pthread_mutex_unlock(&d->lock);
    return nr;
}

/* Whom `caller` names, if it may. */
static int owner_find(struct pvi_host *h, const struct pvi_hdom *caller, uint16_t domid,
                      struct pvi_hdom **out)
{
    struct pvi_hdom *d;

    if (domid == PVI_DOMID_SELF || domid == caller->domid) {
        return -PVI_EPERM;
    }
    pthread_mutex_lock(&h->lists_lock);
    for (d = h->hdoms; d && d->domid != domid; d = d->next) {
    }
    pthread_mutex_unlock(&h->lists_lock);
    *out = d;
    if (!d) {
        return -PVI_ENODOM;
    }
    return pvi_posix_permitted(caller, domid) ? 0 : -PVI_EPERM;
}

static int foreign_find(struct pvi_host *h, const struct pvi_hdom *caller, uint16_t domid,
                        pvi_gfn gfn, unsigned prot, struct pvi_frames *out)
{
    struct pvi_hdom *owner;
    int rc = owner_find(h, caller, domid, &owner);

    if (rc != 0) {
        return rc;
    }
    if ((prot & PVI_FRAME_TRANSLATED) != 0 && owner->not_translated) {
        return -PVI_EPERM;
    }
    pthread_mutex_lock(&owner->lock);
    rc = pvi_posix_frame_find(owner, gfn.f, 1, prot & PVI_RW, out);
    pthread_mutex_unlock(&owner->lock);
    if (rc == 0 && out->owe == PVI_OWE_MMIO) {
        return -PVI_EPERM;
    }
    out->owe = out->owe == PVI_OWE_WRITABLE ? PVI_OWE_FOREIGN_WRITABLE : PVI_OWE_FOREIGN;
    return rc;
}

int pvi_host_foreign_get(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, uint16_t ioserver,
                         pvi_gfn gfn, unsigned prot, struct pvi_frames *out)
{
    int rc = -PVI_ENOFRAME;

    PVI_ASSERT((prot & PVI_RW) != 0 && (prot & ~(PVI_RW | PVI_FRAME_TRANSLATED)) == 0);
    if (!pvi_posix_enter(h, PVI_AT_FOREIGN_GET)) {
        rc = foreign_find(h, d, domid, gfn, prot, out);
        if (rc == 0 && ioserver != PVI_IOSERVER_NONE && ioserver >= PVI_POSIX_IOSERVERS) {
            rc = -PVI_ENODEV;
        }
        if (rc == 0 && !h->no_counts) {
            pthread_mutex_lock(&d->lock);
            pvi_count_add(&d->count[out->owe], out->pa.a >> PVI_PAGE_LG2, out->pa.a >> PVI_PAGE_LG2, 1);
            pvi_record_frame_get(h, out);
            pthread_mutex_unlock(&d->lock);
        }
    }
    pvi_posix_leave(h, PVI_AT_FOREIGN_GET);
    return rc;
}

int pvi_host_foreign_check(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, pvi_gfn gfn,
                           pvi_pa pa)
{
    struct pvi_frames f;
    int rc = -PVI_ENOFRAME;

    if (!pvi_posix_enter(h, PVI_AT_FOREIGN_CHECK)) {
        rc = foreign_find(h, d, domid, gfn, PVI_READ, &f);
        rc = rc == 0 && f.pa.a == pa.a ? 0 : -PVI_ENOFRAME;
    }
    pvi_posix_leave(h, PVI_AT_FOREIGN_CHECK);
    return rc;
}

bool pvi_host_ioserver_notify(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid,
                              uint16_t ioserver, pvi_dfn dfn, bool sync)
{
    bool full = pvi_posix_enter(h, PVI_AT_NOTIFY) && !sync, taken;

    pthread_mutex_lock(&d->lock);
    taken = sync || (!full && d->ring_room != 0);
    if (taken) {
        struct pvi_posix_notice *n = &d->notice[d->nr_notices++ % PVI_POSIX_NOTICES];

        n->dfn = dfn.f;
        n->domid = domid;
        n->ioserver = ioserver;
        n->sync = sync;
        d->ring_room -= !sync && d->ring_room != UINT64_MAX;
    }
    pthread_mutex_unlock(&d->lock);
    pvi_posix_leave(h, PVI_AT_NOTIFY);
    return taken;
}

void pvi_posix_hold(struct pvi_host *h, struct pvi_hdom *d, uint64_t pa, unsigned owe)
{
    struct pvi_frames f;

    f.pa.a = pa;
    f.nr = 1;
    f.owe = (uint8_t)owe;
    pthread_mutex_lock(&d->lock);
    pvi_count_add(&d->count[owe], pa >> PVI_PAGE_LG2, pa >> PVI_PAGE_LG2, 1);
    pvi_record_frame_get(h, &f);
    pthread_mutex_unlock(&d->lock);
}
