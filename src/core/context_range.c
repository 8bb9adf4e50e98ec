/* SPDX-License-Identifier: MIT */
/* What may be done to a range of a context, slice by slice, under its locks, but maps: those are in ops_map.c. */
#include "range.h"

int pvi_context_inspect(const struct pvi_context *ctx, const struct pvi_gather *g, uint64_t first, uint64_t last, uint64_t *at,
                        uint64_t *barred)
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

int pvi_context_open(struct pvi_context *ctx, uint64_t first, uint64_t last, uint64_t *at)
{
    uint64_t barred;

    return context_open(ctx, NULL, false, first, last, at, &barred);
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
    uint8_t state;
    int rc;

    if (pvi_env_read64(&ctx->plain_last) != 0) {
        rc = ctx->pt.cfg.ops->lookup(&ctx->pt, iova, leaf);
        state = pvi_context_state(ctx);
        if (state != PVI_CTX_LIVE) { /* else it is live now: the table cannot have been another life's */
            return context_state_error(state);
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
