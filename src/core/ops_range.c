/* SPDX-License-Identifier: MIT */
/* The operations on a context's address range: unmap, rights, lookup, flush; maps are in ops_map.c. */
#include "range.h"

int pvi_range_window(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, bool whole, uint64_t *mask,
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

int pvi_range_check(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, uint64_t *fault)
{
    uint64_t mask;

    return range_check(ctx, dfn, nr, true, &mask, fault);
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
    pa.a = leaf.pa;
    op->u.lookup.prot = leaf.prot;
    op->u.lookup.lg2 = leaf.lg2;
    return pvi_host_frame_gfn(g->host, g->hdom, pa, &op->u.lookup.gfn);
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
    rc = rc == 0 ? context_state_error(pvi_context_state(ctx)) : rc;
    rc = rc == 0 ? pvi_gather_prepare(g, ctx) : rc;
    if (rc == 0) {
        pvi_gather_range(g, ctx, first, last, true, false);
        rc = pvi_gather_flush(g); /* a barrier: what comes later in the batch finds it done */
    }
    op->done = rc == 0 ? op->u.unmap.nr : 0;
    return rc;
}
