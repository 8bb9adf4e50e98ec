/* SPDX-License-Identifier: MIT */
/*
 * Maps, from the operation down to the slice: frames are pinned, mapped under the context's locks, and put back where none is mapped. All of
 * it in one file, and in one function for the operation: a batch of maps of one page takes 4 % less than with calls in between.
 */
#include "range.h"

/* *mapped is the count that goes with the lock that is held. */
static CORE_INLINE int context_map(struct pvi_context *ctx, struct pvi_pt_map *r, bool building, struct pvi_gather *g, uint64_t *at,
                                   uint64_t *mapped)
{
    int rc = context_open(ctx, g, building, r->iova + r->done, r->iova + r->len - 1, at, &r->barred);

    if (rc == 0) {
        *mapped -= r->done;
        rc = ctx->pt.cfg.ops->map(&ctx->pt, ctx, r, g);
        *mapped += r->done;
        *at = r->iova + r->done;
    }
    return rc;
}

/* What only who has the context alone may do: a leaf, new or replaced, in a table that serves more than one gigabyte. */
static CORE_NOINLINE int context_map_alone(struct pvi_context *ctx, struct pvi_pt_map *r, bool building, struct pvi_gather *g,
                                           uint64_t *at)
{
    int rc;

    r->shared = false;
    pvi_context_lock_alone(ctx);
    rc = context_map(ctx, r, building, g, at, &ctx->mapped);
    pvi_context_unlock_alone(ctx);
    return rc;
}

static CORE_INLINE int context_map_slice(struct pvi_context *ctx, struct pvi_pt_map *r, bool building, struct pvi_gather *g,
                                         uint64_t *at)
{
    struct pvi_stripe *stripe;
    int rc;

    *at = r->iova + r->done;
    if (pvi_domain_dying(ctx->domain) && !g->undo) {
        return -PVI_EDYING;
    }
    rc = pvi_gather_prepare(g, ctx);
    if (rc != 0) {
        return rc;
    }
    r->shared = true;
    stripe = pvi_context_lock_gigabyte(ctx, *at);
    rc = context_map(ctx, r, building, g, at, &stripe->mapped);
    pvi_env_release(g->host, &stripe->lock);
    if (rc == PVI_PT_ALONE) {
        rc = context_map_alone(ctx, r, building, g, at);
    }
    return rc == 0 ? 0 : rc == CONTEXT_TAKEN ? -PVI_EBUSY : pvi_gather_recover(g, rc);
}

int pvi_context_map_slice(struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g,
                          uint64_t *at)
{
    return context_map_slice(ctx, r, true, g, at);
}

void pvi_context_put_frames(const struct pvi_frames *frames, uint64_t from, struct pvi_gather *g)
{
    struct pvi_frames rest;

    if (from < frames->nr && frames->owe != PVI_OWE_NONE) {
        rest.pa.a = frames->pa.a + (from << PVI_PAGE_LG2);
        rest.nr = frames->nr - from;
        rest.owe = frames->owe;
        pvi_host_frame_put(g->host, g->hdom, &rest);
    }
}

static CORE_INLINE int context_get_frames(struct pvi_context *ctx, pvi_gfn gfn, uint64_t want, uint64_t mask, unsigned prot,
                                          struct pvi_frames *frames, struct pvi_gather *g)
{
    const struct pvi_pt *pt = &ctx->pt;
    uint64_t last, usable;
    int rc = pvi_host_frame_get(g->host, g->hdom, gfn, want, prot, frames);

    if (rc != 0) {
        return rc;
    }
    last = frames->pa.a + (frames->nr << PVI_PAGE_LG2) - 1;
    PVI_ASSERT(frames->nr > 0 && frames->nr <= want && (frames->pa.a & PVI_PAGE_MASK) == 0 &&
               frames->owe <= PVI_OWE_MAX && last >= frames->pa.a);
    usable = frames->nr;
    if (last > pt->pa_last) {
        usable = frames->pa.a <= pt->pa_last ? (pt->pa_last + 1 - frames->pa.a) >> PVI_PAGE_LG2 : 0;
        rc = usable == 0 ? -PVI_ERANGE : 0;
    }
    usable &= ~(mask >> PVI_PAGE_LG2);
    if (rc == 0 && ((frames->pa.a & mask) != 0 || usable == 0)) {
        rc = -PVI_EALIGN; /* pinned in pieces that no leaf of this context can map */
        usable = 0;
    }
    pvi_context_put_frames(frames, usable, g);
    frames->nr = usable;
    return rc;
}

static CORE_INLINE int context_map_frames(struct pvi_context *ctx, pvi_dfn dfn, const struct pvi_frames *frames,
                                          unsigned prot, bool building, uint64_t *done, struct pvi_gather *g, uint64_t *at)
{
    struct pvi_pt_map *r = &g->req.map;
    bool more;
    int rc;

    /* All of its fields one by one: to clear them together first costs a one-page operation a tenth. */
    r->iova = dfn.f << PVI_PAGE_LG2;
    r->pa = frames->pa.a;
    r->len = frames->nr << PVI_PAGE_LG2;
    r->list = NULL;
    r->done = 0;
    r->prot = (uint8_t)prot;
    r->owe = frames->owe;
    r->replace = false;
    r->keep = g->tx;
    do {
        rc = context_map_slice(ctx, r, building, g, at);
        more = rc == 0 && r->done < r->len;
        rc = more ? pvi_checkpoint(g) : rc;
    } while (more && rc == 0);
    if (g->spare) {
        pvi_gather_put_spare(g); /* others may need them before this batch ends */
    }
    *done = r->done >> PVI_PAGE_LG2;
    pvi_context_put_frames(frames, *done, g);
    return rc;
}

int pvi_context_get_frames(struct pvi_context *ctx, pvi_gfn gfn, uint64_t want, uint64_t mask, unsigned prot,
                           struct pvi_frames *frames, struct pvi_gather *g)
{
    return context_get_frames(ctx, gfn, want, mask, prot, frames, g);
}

int pvi_context_map_frames(struct pvi_context *ctx, pvi_dfn dfn, const struct pvi_frames *frames,
                           unsigned prot, uint64_t *done, struct pvi_gather *g, uint64_t *at)
{
    return context_map_frames(ctx, dfn, frames, prot, true, done, g, at);
}

static CORE_INLINE int context_map_next(struct pvi_context *ctx, struct pvi_op *op, uint64_t want, uint64_t mask, unsigned rights,
                                        bool building, struct pvi_gather *g)
{
    struct pvi_frames frames;
    uint64_t done, at;
    pvi_dfn dfn;
    pvi_gfn gfn;
    int rc;

    dfn.f = op->u.map.dfn.f + op->done;
    gfn.f = op->u.map.gfn.f + op->done;
    rc = context_get_frames(ctx, gfn, want, mask, rights, &frames, g);
    if (rc != 0) {
        op->fault = dfn.f;
        return rc;
    }
    rc = context_map_frames(ctx, dfn, &frames, rights & PVI_RW, building, &done, g, &at);
    op->done += done;
    op->fault = at >> PVI_PAGE_LG2;
    return rc;
}

int pvi_context_map_next(struct pvi_context *ctx, struct pvi_op *op, uint64_t want, uint64_t mask, unsigned rights,
                         struct pvi_gather *g)
{
    return context_map_next(ctx, op, want, mask, rights, true, g);
}

/* Can the frames where a map stands become large leaves? Only the host knows: one frame is asked for and given back. */
static CORE_NOINLINE bool map_congruent(const struct pvi_op *op, unsigned prot, struct pvi_gather *g)
{
    uint64_t dfn = op->u.map.dfn.f + op->done;
    struct pvi_frames probe;
    pvi_gfn gfn;

    gfn.f = op->u.map.gfn.f + op->done;
    if (((dfn ^ gfn.f) & 0x1ff) != 0 || pvi_host_frame_get(g->host, g->hdom, gfn, 1, prot, &probe) != 0) {
        return false;
    }
    if (probe.owe != PVI_OWE_NONE) {
        pvi_host_frame_put(g->host, g->hdom, &probe);
    }
    return (((probe.pa.a >> PVI_PAGE_LG2) ^ dfn) & 0x1ff) == 0;
}

/*
 * Frames to ask for at once: as many as one slice can take, so that a preemption has few to give back. With frames
 * congruent modulo 2 MiB, or pages that are larger, large leaves are possible and a slice reaches as far as one flush can release, else it
 * ends with the 2 MiB of one table.
 */
static CORE_INLINE uint64_t map_want(const struct pvi_op *op, uint64_t mask, unsigned prot, struct pvi_gather *g)
{
    uint64_t left = op->u.map.nr - op->done, reach = 0x200, want;

    if (left == 1) {
        return 1;
    }
    if (mask >> PVI_PAGE_LG2 >= 0x200 || (left > 0x200 && map_congruent(op, prot, g))) {
        reach = PVI_GATHER_FRAMES;
    }
    want = reach - ((op->u.map.dfn.f + op->done) & (reach - 1));
    return want < left ? want : left;
}

/* What a map says beside its range: the guest's side, and where it wants to go on. */
static int map_check(const struct pvi_op *op, uint64_t mask)
{
    mask >>= PVI_PAGE_LG2;

    if (op->u.map.gfn.f + op->u.map.nr < op->u.map.gfn.f) {
        return -PVI_EWRAP;
    }
    if ((op->u.map.gfn.f & mask) != 0) {
        return -PVI_EALIGN;
    }
    return op->done < op->u.map.nr && (op->done & mask) == 0 ? 0 : -PVI_EINVAL;
}

int pvi_op_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    uint64_t mask;
    unsigned prot;
    int rc = range_context(d, op, &ctx);

    if (rc != 0) {
        return rc;
    }
    if ((op->flags & ~(PVI_RW | PVI_MAP_NO_FLUSH)) != 0 || (op->flags & PVI_RW) == 0) {
        return -PVI_EFLAGS;
    }
    prot = op->flags & PVI_RW;
    g->postpone = (op->flags & PVI_MAP_NO_FLUSH) != 0;
    rc = range_check(ctx, op->u.map.dfn, op->u.map.nr, true, &mask, &op->fault);
    if (rc == 0) {
        rc = map_check(op, mask);
    }
    while (rc == 0 && op->done < op->u.map.nr) {
        rc = context_map_next(ctx, op, map_want(op, mask, prot, g), mask, prot, false, g);
        if (rc == 0 && op->done < op->u.map.nr) {
            rc = pvi_checkpoint(g);
        }
    }
    g->postpone = false;
    return rc;
}
