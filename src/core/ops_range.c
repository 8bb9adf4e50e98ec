/* SPDX-License-Identifier: MIT */
/* The operations on a context's address range: map, unmap, lookup, flush. */
#include "core.h"

/* The same where windows may be set: one of them holds the range, in its pages if `whole`. */
static CORE_NOINLINE int range_window(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, bool whole, uint64_t *mask,
                                                  uint64_t *fault)
{
    uint64_t first = dfn.f << PVI_PAGE_LG2, sizes, at;
    int rc = pvi_window_find(ctx, first, first + (nr << PVI_PAGE_LG2) - 1, &sizes, &at);

    if (rc != 0) {
        *fault = at >> PVI_PAGE_LG2;
        return pvi_context_state(ctx) == PVI_CTX_BROKEN ? -PVI_EHW : rc; /* windows may have been going when it broke */
    }
    *mask = pvi_smallest_mask(sizes);
    return whole && ((dfn.f | nr) & (*mask >> PVI_PAGE_LG2)) != 0 ? -PVI_EALIGN : 0;
}

/*
 * The one place where a guest's range is judged: length, wrap, alignment, reach, windows, holes. *mask is the smallest page there,
 * less one, *fault the DFN at fault, the first one if all is well. A range that is not `whole` may be part of a window's page.
 */
static CORE_INLINE int range_check(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, bool whole, uint64_t *mask,
                                   uint64_t *fault)
{
    const struct pvi_pt *pt = &ctx->pt;
    uint64_t last, at;
    int rc;

    *fault = dfn.f;
    *mask = pt->page_mask;
    if (nr == 0) {
        return -PVI_ELENGTH;
    }
    if (dfn.f >> (64 - PVI_PAGE_LG2) != 0 || nr >> (64 - PVI_PAGE_LG2) != 0 ||
        (dfn.f + nr - 1) >> (64 - PVI_PAGE_LG2) != 0) {
        return -PVI_EWRAP;
    }
    if (((dfn.f | nr) & (pt->page_mask >> PVI_PAGE_LG2)) != 0) {
        return -PVI_EALIGN;
    }
    last = ((dfn.f + nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    if (last > pvi_env_read64(&ctx->plain_last)) {
        rc = range_window(ctx, dfn, nr, whole, mask, fault);
        if (rc != 0) {
            return rc;
        }
    }
    if (ctx->domain->nr_holes != 0 && !pvi_domain_clear(ctx->domain, dfn.f << PVI_PAGE_LG2, last, &at)) {
        *fault = at >> PVI_PAGE_LG2;
        return -PVI_ERESERVED;
    }
    return 0;
}

int pvi_range_check(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, uint64_t *fault)
{
    uint64_t mask;

    return range_check(ctx, dfn, nr, true, &mask, fault);
}

/* The context of a range operation, or why there is none. */
static CORE_INLINE int range_context(struct pvi_domain *d, const struct pvi_op *op, struct pvi_context **out)
{
    struct pvi_context *ctx;

    if (op->ctx == 0) {
        return -PVI_EDEFAULT;
    }
    ctx = pvi_domain_numbered(d, op->ctx);
    if (!ctx || pvi_context_state(ctx) == PVI_CTX_BUILDING) {
        return -PVI_ENOCTX;
    }
    *out = ctx;
    return pvi_env_read32(&ctx->nested) == 0 ? 0 : -PVI_ENESTED;
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
 * congruent modulo 2 MiB, or pages that are larger, large leaves are possible and a slice reaches up to 1 GiB, else it ends with the
 * 2 MiB of one table.
 */
static CORE_INLINE uint64_t map_want(const struct pvi_op *op, uint64_t mask, unsigned prot, struct pvi_gather *g)
{
    uint64_t left = op->u.map.nr - op->done, reach = 0x200, want;

    if (left == 1) {
        return 1;
    }
    if (mask >> PVI_PAGE_LG2 >= 0x200 || (left > 0x200 && map_congruent(op, prot, g))) {
        reach = 0x40000;
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
    g->asked = true;
    rc = range_check(ctx, op->u.map.dfn, op->u.map.nr, true, &mask, &op->fault);
    if (rc == 0) {
        rc = map_check(op, mask);
    }
    while (rc == 0 && op->done < op->u.map.nr) {
        rc = pvi_context_map_next(ctx, op, map_want(op, mask, prot, g), mask, prot, g);
        if (rc == 0 && op->done < op->u.map.nr) {
            rc = pvi_checkpoint(g);
        }
    }
    g->postpone = false;
    g->asked = false;
    return rc;
}

int pvi_op_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_pt_unmap r;
    struct pvi_context *ctx;
    uint64_t at, mask;
    int rc = range_context(d, op, &ctx);

    if (rc != 0) {
        return rc;
    }
    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    rc = range_check(ctx, op->u.unmap.dfn, op->u.unmap.nr, true, &mask, &op->fault);
    if (rc == 0 && (op->done >= op->u.unmap.nr || (op->done & (mask >> PVI_PAGE_LG2)) != 0)) {
        rc = -PVI_EINVAL; /* no operation of ours stands there */
    }
    memset(&r, 0, sizeof(r));
    r.first = op->u.unmap.dfn.f << PVI_PAGE_LG2;
    r.last = ((op->u.unmap.dfn.f + op->u.unmap.nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    r.next = r.first + (op->done << PVI_PAGE_LG2);
    r.keep = g->tx;
    while (rc == 0 && !r.complete) {
        rc = pvi_context_unmap_slice(ctx, &r, g, &at);
        op->done = r.complete ? op->u.unmap.nr : (r.next - r.first) >> PVI_PAGE_LG2;
        op->fault = at >> PVI_PAGE_LG2;
        if (rc == 0 && !r.complete) {
            rc = pvi_checkpoint(g);
        }
    }
    return rc;
}

/* Frames mapped at r->next that continue each other, as the guest calls them, pinned for the new rights. */
static int rights_frames(struct pvi_context *ctx, const struct pvi_pt_change *r, uint64_t mask, struct pvi_frames *frames,
                         struct pvi_gather *g, uint64_t *at)
{
    uint64_t want;
    pvi_gfn gfn;
    pvi_pa pa;
    int rc = pvi_context_peek(ctx, r, g, at);

    if (rc != 0) {
        return rc;
    }
    pa.a = g->scan.run.pa;
    rc = pvi_host_frame_gfn(g->host, g->hdom, pa, &gfn);
    if (rc == 0) {
        want = PVI_GATHER_FRAMES - ((r->next >> PVI_PAGE_LG2) & (PVI_GATHER_FRAMES - 1)); /* no more than may be given back at once */
        want = want < g->scan.run.len >> PVI_PAGE_LG2 ? want : g->scan.run.len >> PVI_PAGE_LG2;
        rc = pvi_host_frame_get(g->host, g->hdom, gfn, want, r->prot, frames);
    }
    if (rc == 0 && frames->pa.a != pa.a) { /* the guest has another frame there by now */
        pvi_context_put_frames(frames, 0, g);
        rc = -PVI_ENOFRAME;
    }
    if (rc == 0) {
        uint64_t usable = frames->nr & ~(mask >> PVI_PAGE_LG2);

        pvi_context_put_frames(frames, usable, g);
        frames->nr = usable;
        rc = usable != 0 ? 0 : -PVI_EALIGN; /* pinned in pieces that no leaf there can map */
    }
    return rc;
}

/* Rights of one run that the host can pin at once; *at is where it stands, or the byte at fault. */
static int rights_run(struct pvi_context *ctx, struct pvi_pt_change *r, uint64_t mask, struct pvi_gather *g, uint64_t *at)
{
    uint64_t from = r->next;
    struct pvi_frames frames;
    int rc = rights_frames(ctx, r, mask, &frames, g, at);

    if (rc == 0) {
        rc = pvi_context_rights_slice(ctx, r, &frames, g, at);
        pvi_context_put_frames(&frames, (r->next - from) >> PVI_PAGE_LG2, g);
    }
    return rc;
}

int pvi_op_rights(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_pt_change r;
    struct pvi_context *ctx;
    uint64_t at, mask;
    int rc = range_context(d, op, &ctx);

    if (rc != 0) {
        return rc;
    }
    if ((op->flags & ~PVI_RW) != 0 || op->flags == 0) {
        return -PVI_EFLAGS;
    }
    rc = range_check(ctx, op->u.unmap.dfn, op->u.unmap.nr, true, &mask, &op->fault);
    if (rc == 0 && (op->done >= op->u.unmap.nr || (op->done & (mask >> PVI_PAGE_LG2)) != 0)) {
        rc = -PVI_EINVAL;
    }
    if (rc == 0 && (ctx->pt.prots >> op->flags & 1) == 0) {
        rc = -PVI_EOPNOTSUPP;
    }
    memset(&r, 0, sizeof(r));
    r.first = op->u.unmap.dfn.f << PVI_PAGE_LG2;
    r.last = ((op->u.unmap.dfn.f + op->u.unmap.nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    r.prot = (uint8_t)op->flags;
    r.next = r.first + (op->done << PVI_PAGE_LG2);
    while (rc == 0 && op->done < op->u.unmap.nr) {
        rc = rights_run(ctx, &r, mask, g, &at);
        op->done = (r.next - r.first) >> PVI_PAGE_LG2;
        op->fault = at >> PVI_PAGE_LG2;
        if (rc == 0 && op->done < op->u.unmap.nr) {
            rc = pvi_checkpoint(g);
        }
    }
    return rc;
}

int pvi_op_lookup(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    struct pvi_pt_leaf leaf;
    uint64_t at, iova = op->u.lookup.dfn.f << PVI_PAGE_LG2, smallest, mask;
    pvi_dfn page;
    pvi_pa pa;
    int rc = range_context(d, op, &ctx);

    if (rc != 0) {
        return rc;
    }
    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    smallest = (ctx->pt.page_mask >> PVI_PAGE_LG2) + 1;
    page.f = op->u.lookup.dfn.f & ~(smallest - 1);
    op->fault = op->u.lookup.dfn.f;
    rc = range_check(ctx, page, smallest, false, &mask, &at);
    if (rc != 0) {
        return rc;
    }
    rc = pvi_context_lookup(ctx, iova, &leaf);
    if (rc != 0) {
        return rc;
    }
    pa.a = leaf.pa + (iova - leaf.iova);
    op->u.lookup.prot = leaf.prot;
    op->u.lookup.lg2 = leaf.lg2;
    return pvi_host_frame_gfn(g->host, g->hdom, pa, &op->u.lookup.gfn);
}

/* A broken context refuses everything but being freed. */
static int context_usable(struct pvi_context *ctx)
{
    uint8_t state = pvi_context_state(ctx);

    return state == PVI_CTX_LIVE ? 0 : state == PVI_CTX_BROKEN ? -PVI_EHW : -PVI_ENOCTX;
}

int pvi_op_flush(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    uint64_t first, last, mask;
    int rc = range_context(d, op, &ctx);

    if (rc != 0) {
        return rc;
    }
    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    first = op->u.unmap.dfn.f << PVI_PAGE_LG2;
    last = ((op->u.unmap.dfn.f + op->u.unmap.nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    if (op->u.unmap.nr == 0) {
        first = 0;
        last = ctx->pt.iova_last;
        rc = op->u.unmap.dfn.f != 0 ? -PVI_EINVAL : 0;
    } else {
        rc = range_check(ctx, op->u.unmap.dfn, op->u.unmap.nr, true, &mask, &op->fault);
    }
    rc = rc == 0 ? context_usable(ctx) : rc;
    rc = rc == 0 ? pvi_gather_prepare(g, ctx) : rc;
    if (rc == 0) {
        pvi_gather_range(g, ctx, first, last, true, false);
        rc = pvi_gather_flush(g); /* a barrier: what comes later in the batch finds it done */
    }
    op->done = rc == 0 ? op->u.unmap.nr : 0;
    return rc;
}
