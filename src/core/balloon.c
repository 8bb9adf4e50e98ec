/* SPDX-License-Identifier: MIT */
/* What happens to foreign mappings from outside: balloons and deaths; and grants, which the host maps. */
#include "bus.h"

/* The gather releases for one domain at a time, which stays until what it has is flushed. */
static int work_done(struct pvi_bus_work *w)
{
    int rc = 0;

    if (w->bus) {
        rc = pvi_gather_flush(&w->gather);
        pvi_rev_unuse(w->bus);
        w->bus = NULL;
    }
    return rc;
}

/* Turns to the domain of a mapping, which the reverse map keeps for us. */
static int work_at(struct pvi_bus_work *w, struct pvi_bus *bus)
{
    struct pvi_domain *d = bus->domain;
    int rc = 0;

    if (w->bus == bus) {
        pvi_rev_unuse(bus); /* once is enough */
        return 0;
    }
    rc = work_done(w);
    pvi_gather_init(&w->gather, d->host, d->cfg.hdom, d->has_iommu ? d->table.ops : NULL);
    w->bus = bus;
    return rc;
}

/* Leaves: nothing is pending while somebody else runs. */
static int work_end(struct pvi_bus_work *w, int rc)
{
    int err = work_done(w);

    return err != 0 ? err : rc;
}

/* --- balloons --------------------------------------------------------------------------------------- */

static void balloon_tell(const struct pvi_rev_tuple *t)
{
    struct pvi_domain *d = t->bus->domain;

    if (!pvi_host_ioserver_notify(d->host, d->cfg.hdom, t->owner, t->ioserver, t->dfn, false)) {
        (void)pvi_host_ioserver_notify(d->host, d->cfg.hdom, t->owner, t->ioserver, t->dfn, true);
    }
}

static int balloon_one(struct pvi_balloon *b, const struct pvi_rev_tuple *t, bool pending)
{
    int rc = work_at(&b->work, t->bus), err = 0;

    b->pending |= pending;
    if (pending) { /* its maker finds out, and undoes it */
        return rc;
    }
    if (b->swap) {
        err = pvi_bus_swap(t->bus, t->dfn, t->pa, &b->work.gather);
        err = err == -PVI_ENOENT ? 0 : err; /* moved already, for another io-server; or just unmapped */
    }
    balloon_tell(t);
    return err != 0 ? err : rc;
}

int pvi_balloon_out(struct pvi_balloon *b)
{
    struct pvi_rev_tuple t;
    bool pending;
    int rc = 0;

    if (!b->begun) {
        b->swap = pvi_rev_going(b->map, b->pa);
        b->begun = true;
    }
    while (rc == 0 && pvi_rev_next_of_frame(b->map, b->pa, b->swap, &t, &pending)) {
        rc = balloon_one(b, &t, pending);
        if (rc == 0 && pvi_host_preempt(b->map->host)) {
            rc = -PVI_EPREEMPTED;
        }
    }
    rc = work_end(&b->work, rc);
    if (rc == 0 && (b->pending || pvi_rev_held(b->map, b->pa))) {
        rc = PVI_BALLOON_HELD;
    }
    return rc;
}

/* --- deaths ----------------------------------------------------------------------------------------- */

static int drop_all(struct pvi_revmap *map, struct pvi_bus *bus, uint16_t owner, uint16_t ioserver, struct pvi_bus_work *w)
{
    struct pvi_rev_tuple t;
    bool pending;
    int rc = 0, err;

    while (rc != -PVI_EPREEMPTED && pvi_rev_take(map, bus, owner, ioserver, &t, &pending)) {
        err = work_at(w, t.bus);
        rc = err != 0 ? err : rc;
        if (!pending) {
            err = pvi_foreign_drop(&t, &w->gather);
            rc = err != 0 ? err : rc;
        }
        rc = pvi_host_preempt(map->host) ? -PVI_EPREEMPTED : rc; /* a broken context says EHW again */
    }
    return work_end(w, rc);
}

int pvi_ioserver_gone(struct pvi_domain *d, uint16_t owner, uint16_t ioserver, struct pvi_bus_work *w)
{
    if (!d->cfg.revmap || !pvi_bus_is_ready(d)) {
        return 0;
    }
    return drop_all(d->cfg.revmap, d->bus, owner, ioserver, w);
}

int pvi_guest_gone(struct pvi_revmap *map, uint16_t owner, struct pvi_bus_work *w)
{
    return drop_all(map, NULL, owner, 0, w);
}

/* --- grants ----------------------------------------------------------------------------------------- */

static int grant_at(struct pvi_domain *d, pvi_iova at)
{
    uint64_t fault;
    pvi_dfn dfn;

    if ((at.a & PVI_PAGE_MASK) != 0) {
        return -PVI_EALIGN;
    }
    dfn.f = at.a >> PVI_PAGE_LG2;
    return pvi_range_check(&d->bus->ctx, dfn, 1, &fault);
}

/* Common to both: may d have grants mapped? */
static int grant_begin(struct pvi_domain *d, struct pvi_bus_work *w)
{
    if (!d->cfg.revmap) {
        return -PVI_EPERM;
    }
    if (!pvi_bus_maps(d)) {
        return -PVI_ENOIOMMU;
    }
    pvi_gather_init(&w->gather, d->host, d->cfg.hdom, d->table.ops);
    return 0;
}

int pvi_grant_map(struct pvi_domain *d, struct pvi_bus_work *w, pvi_iova at, pvi_pa pa, unsigned prot, bool *mapped)
{
    struct pvi_rev_tuple t;
    int rc = grant_begin(d, w), err;

    *mapped = false;
    if (rc != 0) {
        return rc;
    }
    PVI_ASSERT((pa.a & PVI_PAGE_MASK) == 0);
    if (prot == 0 || (prot & ~PVI_RW) != 0) {
        return -PVI_EFLAGS;
    }
    rc = pvi_bus_prepare(d, PVI_OP_BUS_MAP, &w->gather);
    if (rc == 0) {
        rc = grant_at(d, at);
    }
    if (rc == 0 && pa.a > d->bus->ctx.pt.pa_last) {
        rc = -PVI_ERANGE;
    }
    if (rc == 0) {
        memset(&t, 0, sizeof(t));
        t.dfn.f = at.a >> PVI_PAGE_LG2;
        t.pa = pa;
        t.prot = (uint8_t)prot;
        t.owe = PVI_OWE_GRANT;
        rc = pvi_bus_leaf(&d->bus->ctx, &t, &w->gather);
        *mapped = rc == 0;
    }
    err = pvi_gather_flush(&w->gather);
    return err != 0 ? err : rc;
}

int pvi_grant_unmap(struct pvi_domain *d, struct pvi_bus_work *w, pvi_iova at, pvi_pa pa)
{
    struct pvi_bus_cut c;
    int rc = grant_begin(d, w), err;

    if (rc != 0 || !pvi_bus_is_ready(d)) {
        return rc != 0 ? rc : -PVI_ENOENT;
    }
    rc = grant_at(d, at);
    if (rc == 0) {
        memset(&c, 0, sizeof(c));
        c.first = at.a;
        c.last = at.a | PVI_PAGE_MASK;
        c.owes = 1u << PVI_OWE_GRANT;
        c.pa = &pa;
        rc = pvi_bus_cut(&d->bus->ctx, &c, &w->gather);
        rc = rc == -PVI_EPERM ? -PVI_ENOENT : rc;
    }
    err = pvi_gather_flush(&w->gather);
    return err != 0 ? err : rc;
}
