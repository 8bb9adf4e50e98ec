/* SPDX-License-Identifier: MIT */
/*
 * Operations on frames of other domains. A foreign frame's leaf has the reference on it, like any leaf; the reverse map
 * says who asked for it. Its entry is there before the host is asked whether the guest frame still leads to the frame, and that is
 * before the leaf is stored: a balloon finds the entry, or the translation is found changed.
 */
#include "bus.h"

static CORE_NOINLINE void foreign_put(const struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_frames f;

    f.pa = t->pa;
    f.nr = 1;
    f.owe = t->owe;
    pvi_host_frame_put(g->host, g->hdom, &f);
}

/* Pins the frame and fills *t with all but dfn. */
static CORE_NOINLINE int foreign_get(struct pvi_domain *d, const struct pvi_op *op, unsigned prot, struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_frames f;
    int rc = pvi_host_foreign_get(g->host, g->hdom, op->u.foreign.domid, op->u.foreign.ioserver, op->u.foreign.gfn, prot, &f);

    if (rc != 0) {
        return rc;
    }
    PVI_ASSERT(f.nr == 1 && (f.pa.a & PVI_PAGE_MASK) == 0 && f.owe <= PVI_OWE_MAX && (REV_FOREIGN >> f.owe & 1) != 0);
    t->bus = d->bus;
    t->pa = f.pa;
    t->owner = op->u.foreign.domid;
    t->ioserver = op->u.foreign.ioserver;
    t->prot = (uint8_t)(prot & PVI_RW);
    t->owe = f.owe;
    t->swap = (op->flags & PVI_FOREIGN_SWAP) != 0;
    t->look = false;
    return 0;
}

/* The scratch frame, taken before the first mapping that may need it, so that a balloon needs nothing. */
static int scratch_ready(struct pvi_bus *bus)
{
    struct pvi_revmap *map = bus->domain->cfg.revmap;
    bool mine = false;
    pvi_pa pa;
    void *p;

    pvi_env_acquire(map->host, &map->lock);
    mine = bus->has_scratch;
    pvi_env_release(map->host, &map->lock);
    if (mine) {
        return 0;
    }
    if (pvi_host_page_alloc(map->host, &pa) != 0) {
        return -PVI_ENOMEM;
    }
    p = pvi_env_map(map->host, pa);
    memset(p, 0, PVI_PAGE_SIZE);
    pvi_env_writeback(map->host, p, PVI_PAGE_SIZE); /* a device that does not snoop reads memory */
    pvi_env_unmap(map->host, p);
    pvi_env_acquire(map->host, &map->lock);
    if (!bus->has_scratch) {
        bus->scratch = pa;
        bus->has_scratch = true;
        mine = true;
    }
    pvi_env_release(map->host, &map->lock);
    if (!mine) {
        pvi_host_page_free(map->host, pa);
    }
    return 0;
}

/* Undoes a leaf that leads to a frame which went away while it was stored; the gather has its reference then. */
static void foreign_undo(const struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_bus_cut c;

    memset(&c, 0, sizeof(c));
    c.first = t->dfn.f << PVI_PAGE_LG2;
    c.last = c.first | PVI_PAGE_MASK;
    c.owes = REV_FOREIGN;
    c.pa = &t->pa;
    (void)pvi_bus_cut(&t->bus->ctx, &c, g);
}

/* Maps what foreign_get() pinned at t->dfn; whatever comes back, the reference is where it belongs. */
static int foreign_place(const struct pvi_op *op, const struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_rev_entry *entry = NULL;
    int rc = pvi_rev_add(t, &entry);

    if (rc != 0) { /* not mapped, or mapped already and referenced by that */
        foreign_put(t, g);
        return rc < 0 ? rc : 0;
    }
    rc = pvi_host_foreign_check(g->host, g->hdom, op->u.foreign.domid, op->u.foreign.gfn, t->pa);
    if (rc == 0 && t->bus->tables) {
        rc = pvi_bus_leaf(&t->bus->ctx, t, g);
    }
    if (rc != 0) {
        foreign_put(t, g);
        pvi_rev_cancel(t->bus, entry);
        return rc;
    }
    rc = pvi_rev_settle(t->bus, entry);
    if (rc != 0 && t->bus->tables) {
        foreign_undo(t, g);
    } else if (rc != 0) {
        foreign_put(t, g);
    }
    return rc;
}

/* May the pinned frame be mapped at t->dfn? */
static CORE_NOINLINE int foreign_fits(struct pvi_domain *d, const struct pvi_rev_tuple *t, uint64_t *fault)
{
    const struct pvi_pt *pt = &d->bus->ctx.pt;
    struct pvi_pt_leaf leaf;
    int rc;

    if (d->bus->tables) {
        rc = pvi_range_check(&d->bus->ctx, t->dfn, 1, fault);
        return rc == 0 && t->pa.a > pt->pa_last ? -PVI_ERANGE : rc;
    }
    if (!d->has_iommu) {
        return 0;
    }
    /* Devices translate through the default context: only what it maps 1:1 has an address. */
    rc = pvi_context_lookup(&d->default_ctx, t->pa.a, &leaf);
    return rc == 0 && leaf.pa == t->pa.a && (leaf.prot & t->prot) == t->prot ? 0 : -PVI_ENOENT;
}

int pvi_foreign_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_rev_tuple t;
    int rc = 0;

    if ((op->flags & ~(PVI_RW | PVI_FOREIGN_SWAP)) != 0 || (op->flags & PVI_RW) == 0) {
        return -PVI_EFLAGS;
    }
    if (d->bus->tables && (op->flags & PVI_FOREIGN_SWAP) != 0) {
        rc = scratch_ready(d->bus);
    }
    rc = rc == 0 ? foreign_get(d, op, op->flags & PVI_RW, &t, g) : rc;
    if (rc != 0) {
        return rc;
    }
    t.dfn = op->u.foreign.dfn;
    if (!d->bus->tables) {
        t.dfn.f = t.pa.a >> PVI_PAGE_LG2;
    }
    rc = foreign_fits(d, &t, &op->fault);
    if (rc != 0) {
        foreign_put(&t, g);
        return rc;
    }
    rc = foreign_place(op, &t, g);
    op->u.foreign.dfn = t.dfn;
    return rc;
}

/* Where the frame goes, or is; where it is, t->prot and t->owe are as it was mapped. */
static int lookup_place(struct pvi_domain *d, const struct pvi_op *op, struct pvi_rev_tuple *t, uint64_t *fault)
{
    uint64_t offset = d->cfg.bus_offset != 0 ? d->cfg.bus_offset : PVI_BUS_OFFSET;
    int rc;

    if ((op->flags & PVI_FOREIGN_OFFSET) == 0) {
        rc = pvi_rev_find(t);
        if (rc == 0 || d->bus->tables) {
            return rc;
        }
    }
    t->dfn.f = (t->pa.a >> PVI_PAGE_LG2) + (d->bus->tables ? offset : 0);
    return foreign_fits(d, t, fault);
}

/* The mapping has other rights than were asked for: a reference of its kind instead of the one that is held. */
static int lookup_again(const struct pvi_op *op, unsigned how, struct pvi_rev_tuple *t, uint8_t owe, struct pvi_gather *g)
{
    uint8_t want = t->owe;
    bool look = t->look;
    pvi_pa pa = t->pa;
    int rc;

    t->owe = owe;
    foreign_put(t, g);
    rc = foreign_get(t->bus->domain, op, how | t->prot, t, g);
    t->look = look;
    if (rc == 0 && (t->pa.a != pa.a || t->owe != want)) { /* its owner has just made something else of it */
        foreign_put(t, g);
        rc = -PVI_ENOFRAME;
    }
    return rc;
}

int pvi_foreign_lookup(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    unsigned how = (op->flags & PVI_FOREIGN_OFFSET) != 0 ? PVI_FRAME_TRANSLATED : 0;
    struct pvi_rev_tuple t;
    uint8_t owe;
    int rc;

    if ((op->flags & ~PVI_FOREIGN_OFFSET) != 0) {
        return -PVI_EFLAGS;
    }
    rc = foreign_get(d, op, how | PVI_RW, &t, g);
    if (rc == -PVI_EPERM) {
        rc = foreign_get(d, op, how | PVI_READ, &t, g);
    }
    if (rc != 0) {
        return rc;
    }
    owe = t.owe;
    rc = lookup_place(d, op, &t, &op->fault);
    if (rc != 0) {
        foreign_put(&t, g);
        return rc;
    }
    rc = t.owe != owe ? lookup_again(op, how, &t, owe, g) : 0;
    if (rc == 0) {
        rc = foreign_place(op, &t, g);
        op->u.foreign.dfn = t.dfn;
    }
    op->flags = rc == 0 ? t.prot : op->flags;
    return rc;
}

int pvi_foreign_drop(const struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_bus_cut c;
    int rc = 0;

    if (!t->last) {
        return 0;
    }
    if (!t->bus->tables) {
        foreign_put(t, g);
        return 0;
    }
    memset(&c, 0, sizeof(c));
    c.first = t->dfn.f << PVI_PAGE_LG2;
    c.last = c.first | PVI_PAGE_MASK;
    c.owes = REV_FOREIGN | REV_SCRATCH;
    rc = pvi_bus_cut(&t->bus->ctx, &c, g);
    return rc == -PVI_EHW ? rc : 0; /* another CPU may have been faster: it is not there any more either way */
}

int pvi_foreign_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_rev_tuple t;
    int rc;

    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    t.bus = d->bus;
    t.dfn = op->u.foreign.dfn;
    t.ioserver = op->u.foreign.ioserver;
    if (t.dfn.f >> (64 - PVI_PAGE_LG2) != 0) {
        return -PVI_ENOENT;
    }
    rc = pvi_rev_remove(&t);
    return rc == 0 ? pvi_foreign_drop(&t, g) : rc;
}
