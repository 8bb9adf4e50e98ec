/* SPDX-License-Identifier: MIT */
/* What may be done to a range of a context, slice by slice, under its locks; frames are pinned before, and put back where none is mapped. */
#include "core.h"

static int context_state_error(uint8_t state)
{
    return state == PVI_CTX_BROKEN ? -PVI_EHW : -PVI_ENOCTX;
}

/* A transaction has the context; not an error of the engine, whose EBUSY says that the gather is full. */
#define CONTEXT_TAKEN 8

/* What keeps a caller from [first, last] of a live context: a transaction, regions, windows. */
static CORE_NOINLINE int context_inspect(const struct pvi_context *ctx, const struct pvi_gather *g, uint64_t first,
                                                     uint64_t last, uint64_t *at, uint64_t *barred)
{
    uint64_t sizes;

    if (ctx->nested) { /* it was another context when it was asked */
        return -PVI_ENESTED;
    }
    if (ctx->tx && ctx->id != 0 && g && !g->tx) { /* the default context is the host's to change */
        return CONTEXT_TAKEN;
    }
    if (ctx->nr_regions != 0 && pvi_region_meets(ctx, first, last, at)) {
        return -PVI_ERESERVED;
    }
    if (pvi_window_find(ctx, first, last, &sizes, at) != 0) {
        return -PVI_ERANGE;
    }
    *barred = ctx->pt.cfg.page_sizes & ~sizes;
    return ((first | (last + 1)) & pvi_smallest_mask(sizes)) == 0 ? 0 : -PVI_EALIGN; /* it was another window when it was asked */
}

/* May the table be changed (g NULL: read), and with which leaves? With a lock of the context held, so that the answer stays true. */
static CORE_INLINE int context_open(struct pvi_context *ctx, const struct pvi_gather *g, bool building, uint64_t first,
                                    uint64_t last, uint64_t *at, uint64_t *barred)
{
    uint8_t state = pvi_context_state(ctx);

    if (state != PVI_CTX_LIVE && !(building && state == PVI_CTX_BUILDING)) {
        return context_state_error(state);
    }
    *barred = 0;
    return last > ctx->plain_last ? context_inspect(ctx, g, first, last, at, barred) : 0;
}

int pvi_context_open(struct pvi_context *ctx, uint64_t first, uint64_t last, uint64_t *at)
{
    uint64_t barred;

    return context_open(ctx, NULL, false, first, last, at, &barred);
}

/* *mapped is the count that goes with the lock that is held. */
static CORE_INLINE int context_map(struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g, uint64_t *at, uint64_t *mapped)
{
    int rc = context_open(ctx, g, !g->asked, r->iova + r->done, r->iova + r->len - 1, at, &r->barred);

    if (rc == 0) {
        *mapped -= r->done;
        rc = ctx->pt.cfg.ops->map(&ctx->pt, ctx, r, g);
        *mapped += r->done;
        *at = r->iova + r->done;
    }
    return rc;
}

/* What only who has the context alone may do: a leaf, new or replaced, in a table that serves more than one gigabyte. */
static CORE_NOINLINE int context_map_alone(struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g, uint64_t *at)
{
    int rc;

    r->shared = false;
    pvi_context_lock_alone(ctx);
    rc = context_map(ctx, r, g, at, &ctx->mapped);
    pvi_context_unlock_alone(ctx);
    return rc;
}

static CORE_INLINE int context_map_slice(struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g,
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
    rc = context_map(ctx, r, g, at, &stripe->mapped);
    pvi_env_release(g->host, &stripe->lock);
    if (rc == PVI_PT_ALONE) {
        rc = context_map_alone(ctx, r, g, at);
    }
    return rc == 0 ? 0 : rc == CONTEXT_TAKEN ? -PVI_EBUSY : pvi_gather_recover(g, rc);
}

int pvi_context_map_slice(struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g,
                          uint64_t *at)
{
    return context_map_slice(ctx, r, g, at);
}

static CORE_INLINE int context_unmap(struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g, uint64_t *at, uint64_t *mapped)
{
    int rc;

    /*
     * Nothing is left but empty tables to take away. Since the lock was dropped the context may have ended, and they with it; or
     * be a transaction's, which looks at tables without a lock, and needs them for its way back.
     */
    if (r->complete && (pvi_context_state(ctx) != PVI_CTX_LIVE || (ctx->tx && !g->tx))) {
        return 0;
    }
    rc = r->complete ? 0 : context_open(ctx, g, false, r->next, r->last, at, &r->barred);
    if (rc == 0) {
        *mapped += r->removed;
        rc = ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, r, g);
        *mapped -= r->removed;
        *at = r->next;
    }
    return rc;
}

int pvi_context_unmap_slice(struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g,
                            uint64_t *at)
{
    struct pvi_stripe *stripe;
    int rc;

    *at = r->next;
    rc = pvi_gather_prepare(g, ctx);
    if (rc != 0) {
        return rc;
    }
    r->shared = true;
    stripe = pvi_context_lock_gigabyte(ctx, r->next);
    rc = context_unmap(ctx, r, g, at, &stripe->mapped);
    pvi_env_release(g->host, &stripe->lock);
    if (rc == PVI_PT_ALONE || r->climb) { /* r->climb: empty tables are left, whatever stopped it */
        r->shared = false;
        pvi_context_lock_alone(ctx);
        rc = context_unmap(ctx, r, g, at, &ctx->mapped);
        pvi_context_unlock_alone(ctx);
    }
    if (rc == CONTEXT_TAKEN) {
        return -PVI_EBUSY;
    }
    return rc == -PVI_EBUSY ? pvi_gather_flush(g) : pvi_gather_recover(g, rc);
}

int pvi_context_peek(struct pvi_context *ctx, const struct pvi_pt_change *r, struct pvi_gather *g, uint64_t *at)
{
    struct pvi_pt_scan *scan = &g->scan;
    uint64_t barred;
    int rc;

    *at = r->next;
    pvi_context_lock_alone(ctx);
    rc = context_open(ctx, g, false, r->next, r->last, at, &barred);
    if (rc == 0) {
        rc = pvi_context_scan(ctx, r->next, r->last, scan);
        *at = r->next;
    }
    pvi_context_unlock_alone(ctx);
    if (rc == 0 && (scan->run.len == 0 || scan->run.iova != r->next)) {
        rc = -PVI_ENOENT;
    }
    return rc == CONTEXT_TAKEN ? -PVI_EBUSY : rc;
}

/* Reads and changes under one lock: between the two nobody else is at the table. */
int pvi_context_rights_slice(struct pvi_context *ctx, struct pvi_pt_change *r, const struct pvi_frames *frames,
                             struct pvi_gather *g, uint64_t *at)
{
    uint64_t last = r->last, end = r->next + ((frames->nr << PVI_PAGE_LG2) - 1);
    struct pvi_pt_scan *scan = &g->scan;
    int rc;

    *at = r->next;
    if (pvi_domain_dying(ctx->domain) && !g->undo) {
        return -PVI_EDYING;
    }
    rc = pvi_gather_prepare(g, ctx);
    if (rc != 0) {
        return rc;
    }
    pvi_context_lock_alone(ctx);
    rc = context_open(ctx, g, false, r->next, last, at, &r->barred);
    rc = rc == 0 ? pvi_context_scan(ctx, r->next, end, scan) : rc;
    if (rc == 0 && scan->run.len != 0 && scan->run.iova == r->next && scan->run.pa == frames->pa.a) {
        uint64_t mask = pvi_smallest_mask(ctx->pt.cfg.page_sizes & ~r->barred);

        r->owe = frames->owe;
        r->last = scan->run.iova + (scan->run.len - 1);
        /* What was pinned may be less than a page of the window that is there by now. */
        rc = ((r->next | scan->run.len) & mask) == 0 ? ctx->pt.cfg.ops->rights(&ctx->pt, ctx, r, g) : -PVI_EALIGN;
        r->last = last;
        *at = r->next;
    }
    pvi_context_unlock_alone(ctx);
    r->complete = false; /* of the piece */
    if (rc == CONTEXT_TAKEN) {
        return -PVI_EBUSY;
    }
    return rc == -PVI_EBUSY ? pvi_gather_flush(g) : pvi_gather_recover(g, rc);
}

int pvi_context_scan(const struct pvi_context *ctx, uint64_t next, uint64_t last, struct pvi_pt_scan *scan)
{
    memset(scan, 0, sizeof(*scan));
    scan->first = next;
    scan->next = next;
    scan->last = last;
    return ctx->pt.cfg.ops->scan(&ctx->pt, scan);
}

/* Steps over frames that are not mapped, one table's worth at most; whoever calls has the context alone. */
static void rights_gap(struct pvi_context *ctx, struct pvi_pt_change *r)
{
    struct pvi_pt_leaf leaf;
    unsigned i;

    for (i = 0; i < PVI_TABLE_ENTRIES && !r->complete && ctx->pt.cfg.ops->lookup(&ctx->pt, r->next, &leaf) == -PVI_ENOENT; i++) {
        r->next += ctx->pt.page_mask + 1;
        r->complete = r->next - 1 == r->last;
    }
}

int pvi_context_protect_slice(struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g)
{
    uint64_t at;
    int rc;

    rc = pvi_gather_prepare(g, ctx);
    if (rc != 0) {
        return rc;
    }
    pvi_context_lock_alone(ctx);
    rc = context_open(ctx, g, false, r->next, r->last, &at, &r->barred);
    if (rc == 0) {
        rc = ctx->pt.cfg.ops->rights(&ctx->pt, ctx, r, g);
    }
    if (rc == -PVI_ENOENT) {
        rights_gap(ctx, r);
        rc = 0;
    }
    pvi_context_unlock_alone(ctx);
    return pvi_gather_recover(g, rc); /* leaves owe nothing here, so that the gather always has room for them */
}

/* The same with a lock of the context held: regions and state stay as they are. */
static int context_lookup(struct pvi_context *ctx, uint64_t iova, struct pvi_pt_leaf *leaf)
{
    uint64_t at, barred;
    int rc = context_open(ctx, NULL, false, iova, iova | PVI_PAGE_MASK, &at, &barred);

    return rc == 0 || rc == -PVI_EALIGN ? ctx->pt.cfg.ops->lookup(&ctx->pt, iova, leaf) : rc;
}

int pvi_context_lookup(struct pvi_context *ctx, uint64_t iova, struct pvi_pt_leaf *leaf)
{
    struct pvi_stripe *stripe;
    int rc;

    if (pvi_env_read64(&ctx->plain_last) != 0) {
        rc = ctx->pt.cfg.ops->lookup(&ctx->pt, iova, leaf);
        /* Live now: the table cannot have been another life's. */
        if (pvi_context_state(ctx) != PVI_CTX_LIVE) {
            return context_state_error(pvi_context_state(ctx));
        }
    } else {
        stripe = pvi_context_lock_gigabyte(ctx, iova);
        rc = context_lookup(ctx, iova, leaf);
        pvi_env_release(ctx->domain->host, &stripe->lock);
    }
    if (rc == -PVI_EBUSY) {
        /* What is unlinked already may still come back to the pool meanwhile, nothing more: this ends. */
        pvi_context_lock_alone(ctx);
        do {
            rc = context_lookup(ctx, iova, leaf);
        } while (rc == -PVI_EBUSY);
        pvi_context_unlock_alone(ctx);
    }
    return rc;
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
                                          unsigned prot, uint64_t *done, struct pvi_gather *g, uint64_t *at)
{
    struct pvi_pt_map *r = &g->req.map;
    bool more;
    int rc;

    /* All of its fields one by one: to clear them together first costs a one-page operation a tenth. */
    r->iova = dfn.f << PVI_PAGE_LG2;
    r->pa = frames->pa.a;
    r->len = frames->nr << PVI_PAGE_LG2;
    r->list = NULL;
    r->barred = 0;
    r->done = 0;
    r->prot = (uint8_t)prot;
    r->owe = frames->owe;
    r->replace = false;
    r->shared = false;
    r->keep = g->tx;
    do {
        rc = context_map_slice(ctx, r, g, at);
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
    return context_map_frames(ctx, dfn, frames, prot, done, g, at);
}

int pvi_context_map_next(struct pvi_context *ctx, struct pvi_op *op, uint64_t want, uint64_t mask, unsigned rights,
                         struct pvi_gather *g)
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
    rc = context_map_frames(ctx, dfn, &frames, rights & PVI_RW, &done, g, &at);
    op->done += done;
    op->fault = at >> PVI_PAGE_LG2;
    return rc;
}
