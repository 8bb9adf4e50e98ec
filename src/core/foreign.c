/* SPDX-License-Identifier: MIT */
/*
 * The operations of the interface of 2015 on the hidden context. A foreign frame's leaf has the reference on it, like any leaf; the reverse map
 * says who asked for it. Its entry is there before the host is asked whether the guest frame still leads to the frame, and that is
 * before the leaf is stored: a balloon finds the entry, or the translation is found changed.
 */
#include "bus.h"

/* Leaves that a guest's own unmap may take away. */
#define BUS_OWN (1u << PVI_OWE_NONE | 1u << PVI_OWE_REF | 1u << PVI_OWE_WRITABLE | 1u << PVI_OWE_MMIO)

/* --- the domain's own frames ------------------------------------------------------------------------ */

static int bus_unmap(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, bool holes, struct pvi_gather *g)
{
    struct pvi_bus_cut c;

    memset(&c, 0, sizeof(c));
    c.first = dfn.f << PVI_PAGE_LG2;
    c.last = ((dfn.f + nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    c.owes = BUS_OWN;
    c.holes = holes;
    return pvi_bus_cut(ctx, &c, g);
}

static int map_pieces(struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    unsigned prot = op->flags & PVI_RW;
    int rc = 0;

    while (rc == 0 && op->done < op->u.map.nr) {
        struct pvi_frames frames;
        uint64_t done, at;
        pvi_dfn dfn;
        pvi_gfn gfn;

        dfn.f = op->u.map.dfn.f + op->done;
        gfn.f = op->u.map.gfn.f + op->done;
        op->fault = dfn.f;
        rc = pvi_context_get_frames(ctx, gfn, op->u.map.nr - op->done, op->flags, &frames, g);
        if (rc == 0) {
            rc = pvi_context_map_frames(ctx, dfn, &frames, prot, &done, g, &at);
            op->done += done;
            op->fault = at >> PVI_PAGE_LG2;
        }
        if (rc == 0 && op->done < op->u.map.nr) {
            rc = pvi_checkpoint(g);
        }
    }
    return rc;
}

static int op_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    int rc;

    if ((op->flags & ~(PVI_RW | PVI_MAP_NO_REF)) != 0 || (op->flags & PVI_RW) == 0) {
        return -PVI_EFLAGS;
    }
    rc = pvi_bus_ready(d, g);
    if (rc != 0) {
        return rc;
    }
    ctx = &d->bus->ctx;
    rc = pvi_range_check(ctx, op->u.map.dfn, op->u.map.nr, &op->fault);
    if (rc == 0 && op->u.map.gfn.f + op->u.map.nr < op->u.map.gfn.f) {
        rc = -PVI_EWRAP;
    }
    if (rc == 0 && op->done >= op->u.map.nr) {
        rc = -PVI_EINVAL;
    }
    rc = rc == 0 ? map_pieces(ctx, op, g) : rc;
    if (rc != 0 && rc != -PVI_EPREEMPTED && op->done != 0) {
        /* Leaves of this operation alone lie there and none is cut, so this needs no page; racing CPUs may have taken some away. */
        (void)bus_unmap(ctx, op->u.map.dfn, op->done, true, g);
        op->done = 0;
    }
    return rc;
}

static int op_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    int rc = op->flags == 0 ? pvi_bus_ready(d, g) : -PVI_EFLAGS;

    op->done = 0;
    if (rc == 0) {
        rc = pvi_range_check(&d->bus->ctx, op->u.unmap.dfn, op->u.unmap.nr, &op->fault);
    }
    if (rc == 0) {
        rc = bus_unmap(&d->bus->ctx, op->u.unmap.dfn, op->u.unmap.nr, false, g);
        op->done = rc == 0 ? op->u.unmap.nr : 0;
    }
    return rc;
}

/* --- foreign frames --------------------------------------------------------------------------------- */

static void foreign_put(const struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_frames f;

    f.pa = t->pa;
    f.nr = 1;
    f.owe = t->owe;
    pvi_host_frame_put(g->host, g->hdom, &f);
}

/* Pins the frame and fills *t with all but dfn. */
static int foreign_get(struct pvi_domain *d, const struct pvi_op *op, unsigned prot, struct pvi_rev_tuple *t, struct pvi_gather *g)
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
    return 0;
}

/* The scratch frame, taken before the first mapping that may need it, so that a balloon needs nothing. */
static int scratch_ready(struct pvi_bus *bus)
{
    struct pvi_revmap *map = bus->domain->cfg.revmap;
    bool mine = false;
    pvi_pa pa;
    void *p;

    if (bus->has_scratch) {
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

/* Stores the leaf of a pending entry; the reference is the leaf's, or has been put. */
static int foreign_leaf(const struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_frames f;
    uint64_t done, at;

    f.pa = t->pa;
    f.nr = 1;
    f.owe = t->owe;
    return pvi_context_map_frames(&t->bus->ctx, t->dfn, &f, t->prot, &done, g, &at);
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
    if (rc != 0) {
        foreign_put(t, g);
    } else if (t->bus->tables) {
        rc = foreign_leaf(t, g);
    }
    if (rc != 0) {
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
static int foreign_fits(struct pvi_domain *d, const struct pvi_rev_tuple *t, uint64_t *fault)
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
    return rc == 0 && leaf.iova == leaf.pa && (leaf.prot & t->prot) == t->prot ? 0 : -PVI_ENOENT;
}

static int op_foreign_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_rev_tuple t;
    int rc;

    if ((op->flags & ~(PVI_RW | PVI_FOREIGN_SWAP)) != 0 || (op->flags & PVI_RW) == 0) {
        return -PVI_EFLAGS;
    }
    rc = pvi_bus_ready(d, g);
    if (rc == 0 && d->bus->tables && (op->flags & PVI_FOREIGN_SWAP) != 0) {
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

/* Where the frame goes, or is. */
static int lookup_place(struct pvi_domain *d, const struct pvi_op *op, struct pvi_rev_tuple *t, uint64_t *fault)
{
    uint64_t offset = d->cfg.bus_offset != 0 ? d->cfg.bus_offset : PVI_BUS_OFFSET;
    struct pvi_rev_tuple there = *t;

    t->dfn.f = t->pa.a >> PVI_PAGE_LG2;
    if (d->bus->tables && (op->flags & PVI_FOREIGN_OFFSET) == 0) {
        if (pvi_rev_find(&there) != 0) {
            return -PVI_ENOENT;
        }
        there.ioserver = t->ioserver;
        *t = there;
        return 0;
    }
    t->dfn.f += d->bus->tables ? offset : 0;
    return foreign_fits(d, t, fault);
}

static int op_foreign_lookup(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    unsigned how = (op->flags & PVI_FOREIGN_OFFSET) != 0 ? PVI_FRAME_TRANSLATED : 0;
    struct pvi_rev_tuple t, got;
    int rc;

    if ((op->flags & ~PVI_FOREIGN_OFFSET) != 0) {
        return -PVI_EFLAGS;
    }
    rc = pvi_bus_ready(d, g);
    if (rc != 0) {
        return rc;
    }
    rc = foreign_get(d, op, how | PVI_RW, &t, g);
    if (rc == -PVI_EPERM) {
        rc = foreign_get(d, op, how | PVI_READ, &t, g);
    }
    if (rc != 0) {
        return rc;
    }
    got = t;
    rc = lookup_place(d, op, &t, &op->fault);
    if (rc != 0) {
        foreign_put(&got, g);
        return rc;
    }
    if (got.owe != t.owe) { /* mapped with fewer rights than could be had: the reference that it has is enough */
        foreign_put(&got, g);
        rc = foreign_get(d, op, how | t.prot, &got, g);
        if (rc != 0 || got.pa.a != t.pa.a || got.owe != t.owe) {
            if (rc == 0) {
                foreign_put(&got, g);
            }
            return rc != 0 ? rc : -PVI_ENOFRAME;
        }
    }
    rc = foreign_place(op, &t, g);
    op->u.foreign.dfn = t.dfn;
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


static int op_foreign_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_rev_tuple t;
    int rc;

    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    if (pvi_env_read32(&d->bus_state) != PVI_BUS_READY) {
        return -PVI_ENOENT;
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

/* --- the door --------------------------------------------------------------------------------------- */

int pvi_bus_op(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    if (op->code < PVI_OP_BUS_MAP || op->code > PVI_OP_FOREIGN_UNMAP) {
        return -PVI_EINVAL;
    }
    if (!d->cfg.revmap) {
        return -PVI_EPERM;
    }
    if (op->code == PVI_OP_BUS_MAP || op->code == PVI_OP_BUS_UNMAP) {
        if (!pvi_bus_maps(d)) {
            return -PVI_ENOIOMMU;
        }
        return op->code == PVI_OP_BUS_MAP ? op_map(d, op, g) : op_unmap(d, op, g);
    }
    op->done = 0;
    if (op->code == PVI_OP_FOREIGN_MAP) {
        return op_foreign_map(d, op, g);
    }
    return op->code == PVI_OP_FOREIGN_LOOKUP ? op_foreign_lookup(d, op, g) : op_foreign_unmap(d, op, g);
}
