/* SPDX-License-Identifier: MIT */
/*
 * Windows: which ranges of a context may be mapped in, with leaves of which sizes. All lie in the context's one table, so
 * they appear and vanish for every device that is attached at the same store. They change only for who has claimed the domain and
 * has the context alone; a context that never removed its first window pays nothing for them.
 */
#include "core.h"

void pvi_context_replain(struct pvi_context *ctx)
{
    bool plain = !ctx->tx && !ctx->nested && ctx->nr_regions == 0 && pvi_env_read32(&ctx->windowed) == 0;

    pvi_env_write64(ctx->domain->host, &ctx->plain_last, plain ? ctx->pt.iova_last : 0);
}

void pvi_window_init(struct pvi_context *ctx)
{
    unsigned i;

    for (i = 0; i < PVI_MAX_WINDOWS; i++) {
        pvi_env_write32(&ctx->window[i].state, PVI_WINDOW_NONE);
    }
    pvi_env_write32(&ctx->windowed, 0);
    pvi_context_replain(ctx);
}

/*
 * Where this is a first look, bounds of two windows that had the same number may be mixed up: between them there was a moment
 * without either, so a refusal was true then.
 */
int pvi_window_find(const struct pvi_context *ctx, uint64_t first, uint64_t last, uint64_t *sizes, uint64_t *at)
{
    unsigned i;

    *at = first;
    *sizes = ctx->pt.cfg.page_sizes;
    if (pvi_env_read32(&ctx->windowed) == 0) {
        return last <= ctx->pt.iova_last ? 0 : -PVI_ERANGE;
    }
    for (i = 0; i < PVI_MAX_WINDOWS; i++) {
        const struct pvi_window *w = &ctx->window[i];
        uint64_t end;

        if (pvi_env_read32(&w->state) != PVI_WINDOW_OPEN || first < pvi_env_read64(&w->first)) {
            continue;
        }
        end = pvi_env_read64(&w->last);
        *sizes = pvi_env_read64(&w->sizes);
        if (last <= end) {
            return 0;
        }
        if (first <= end) {
            *at = end + 1;
            return -PVI_ERANGE;
        }
    }
    return -PVI_ERANGE;
}

/* The context is had alone from here to pvi_context_unlock_alone(). */
static void window_open(struct pvi_context *ctx, struct pvi_window *w, uint64_t first, uint64_t last, uint64_t sizes)
{
    struct pvi_host *h = ctx->domain->host;

    pvi_env_write64(h, &w->first, first);
    pvi_env_write64(h, &w->last, last);
    pvi_env_write64(h, &w->sizes, sizes);
    w->next = first;
    ctx->nr_windows_made += ctx->nr_windows_made == UINT32_MAX ? 2 : 1; /* never 0 */
    w->generation = ctx->nr_windows_made;
    pvi_env_write32(&w->state, PVI_WINDOW_OPEN);
}

/* From here on window[] says what may be mapped in: the one over all, as it was. */
static void window_begin(struct pvi_context *ctx)
{
    if (ctx->windowed == 0) {
        window_open(ctx, &ctx->window[0], 0, ctx->pt.iova_last, ctx->pt.cfg.page_sizes);
        pvi_env_write32(&ctx->windowed, 1);
        pvi_context_replain(ctx);
    }
}

/* Nothing new appears in it. Reserved regions that were found mapped there are the device's own now: they go when it goes. */
static void window_close(struct pvi_context *ctx, struct pvi_window *w)
{
    unsigned i;

    if (w->state == PVI_WINDOW_OPEN) {
        pvi_env_write32(&w->state, PVI_WINDOW_GOING);
        for (i = 0; i < PVI_MAX_CTX_REGIONS; i++) {
            struct pvi_ctx_region *r = &ctx->region[i];

            r->inherited = r->inherited && (r->first < w->first || r->last > w->last);
        }
    }
}

/* The next piece of a window that no region lies in, from w->next on. False: nothing is left. */
static bool window_piece(const struct pvi_context *ctx, struct pvi_window *w, struct pvi_pt_unmap *r)
{
    unsigned i;

    r->first = w->first;
    for (;;) {
        r->last = w->last;
        if (!pvi_region_meets(ctx, w->next, w->last, &r->last)) {
            r->last = w->last;
            break;
        }
        if (r->last != w->next) {
            r->last--;
            break;
        }
        for (i = 0; ctx->region[i].count == 0 || w->next < ctx->region[i].first || w->next > ctx->region[i].last; i++) {
        }
        if (ctx->region[i].last >= w->last) {
            return false;
        }
        w->next = ctx->region[i].last + 1;
    }
    for (i = 0; i < PVI_MAX_CTX_REGIONS; i++) { /* where it begins: tables that it covers whole go, however often it was interrupted */
        const struct pvi_ctx_region *region = &ctx->region[i];

        if (region->count != 0 && region->last < w->next && region->last >= r->first) {
            r->first = region->last + 1;
        }
    }
    r->next = w->next;
    return true;
}

static int window_state_error(struct pvi_context *ctx)
{
    uint8_t state = pvi_context_state(ctx);

    if (state != PVI_CTX_LIVE) {
        return state == PVI_CTX_BROKEN ? -PVI_EHW : -PVI_ENOCTX;
    }
    return pvi_env_read32(&ctx->nested) == 0 ? 0 : -PVI_ENESTED;
}

/* One slice of emptying a window that is going; at its end its number is free. */
static int window_slice(struct pvi_context *ctx, struct pvi_window *w, struct pvi_gather *g)
{
    struct pvi_pt_unmap r;
    bool more;
    int rc;

    memset(&r, 0, sizeof(r));
    r.holes = true;
    pvi_context_lock_alone(ctx);
    rc = window_state_error(ctx);
    more = rc == 0 && window_piece(ctx, w, &r);
    if (more) {
        rc = ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, &r, g);
        ctx->mapped -= r.removed;
        more = !r.complete || r.last != w->last;
        w->next = r.complete && more ? r.last + 1 : r.next;
    }
    if (rc == 0 && !more) {
        pvi_env_write32(&w->state, PVI_WINDOW_NONE);
    }
    pvi_context_unlock_alone(ctx);
    return rc == -PVI_EBUSY ? pvi_gather_flush(g) : pvi_gather_recover(g, rc);
}

static int window_empty(struct pvi_context *ctx, struct pvi_window *w, struct pvi_op *op, struct pvi_gather *g)
{
    int rc = 0;

    while (rc == 0 && w->state == PVI_WINDOW_GOING) {
        rc = pvi_gather_prepare(g, ctx);
        rc = rc == 0 ? window_slice(ctx, w, g) : rc;
        op->fault = w->next >> PVI_PAGE_LG2;
        if (rc == 0 && w->state == PVI_WINDOW_GOING) {
            rc = pvi_checkpoint(g);
        }
    }
    return rc;
}

static int window_remove(struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_window *w = &ctx->window[op->u.window.index % PVI_MAX_WINDOWS];
    int rc = 0;

    if (op->u.window.index >= PVI_MAX_WINDOWS || (ctx->windowed == 0 && op->u.window.index != 0)) {
        return -PVI_ENOENT;
    }
    pvi_context_lock_alone(ctx);
    if (op->done == 0) {
        window_begin(ctx);
    }
    if (w->state == PVI_WINDOW_NONE || (op->done != 0 && op->done != w->generation)) {
        rc = -PVI_ENOENT;
        op->done = 0;
    } else {
        window_close(ctx, w);
        op->done = w->generation; /* what it resumes with: the number may be another window's by then */
    }
    pvi_context_unlock_alone(ctx);
    return rc == 0 ? window_empty(ctx, w, op, g) : rc;
}

static int window_reset(struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    unsigned i;
    int rc = 0;

    pvi_context_lock_alone(ctx);
    window_begin(ctx);
    for (i = 0; i < PVI_MAX_WINDOWS; i++) {
        window_close(ctx, &ctx->window[i]);
    }
    pvi_context_unlock_alone(ctx);
    op->done = 1;
    for (i = 0; i < PVI_MAX_WINDOWS && rc == 0; i++) {
        rc = window_empty(ctx, &ctx->window[i], op, g);
    }
    if (rc == 0) {
        pvi_context_lock_alone(ctx);
        pvi_window_init(ctx);
        pvi_context_unlock_alone(ctx);
    }
    return rc;
}

/* --- create -------------------------------------------------------------------------------------------- */

/* The leaf sizes that are asked for. */
static int create_sizes(const struct pvi_pt *pt, const struct pvi_op *op, uint64_t *sizes)
{
    uint64_t all = pt->cfg.page_sizes, want = op->u.window.sizes, page;

    page = op->u.window.shift == 0 ? pt->page_mask + 1 : op->u.window.shift < 64 ? (uint64_t)1 << op->u.window.shift : 0;
    if (want != 0 && (want & (0 - want)) != page) {
        return -PVI_EINVAL;
    }
    if ((all & page) == 0 || page >> PVI_PAGE_LG2 > PVI_GATHER_FRAMES) { /* the same reason as in domain_table_cfg() */
        return -PVI_EOPNOTSUPP;
    }
    *sizes = want != 0 ? want : all & ~(page - 1);
    while (want == 0 && !pt->cfg.ops->closed(&pt->cfg, *sizes)) {
        *sizes &= ~((uint64_t)1 << (63 - __builtin_clzll(*sizes))); /* the largest; one alone is always closed */
    }
    return pt->cfg.ops->closed(&pt->cfg, *sizes) ? 0 : -PVI_EOPNOTSUPP;
}

static int create_check(const struct pvi_context *ctx, struct pvi_op *op, uint64_t *sizes)
{
    uint64_t dfn = op->u.window.dfn.f, nr = op->u.window.nr;
    int rc = create_sizes(&ctx->pt, op, sizes);

    op->fault = dfn;
    if (rc != 0) {
        return rc;
    }
    if (nr == 0) {
        return -PVI_ELENGTH;
    }
    if (dfn >> (64 - PVI_PAGE_LG2) != 0 || nr >> (64 - PVI_PAGE_LG2) != 0 || (dfn + nr - 1) >> (64 - PVI_PAGE_LG2) != 0) {
        return -PVI_EWRAP;
    }
    if (((dfn | nr) & (((*sizes & (0 - *sizes)) >> PVI_PAGE_LG2) - 1)) != 0) {
        return -PVI_EALIGN;
    }
    return dfn + nr - 1 <= ctx->pt.iova_last >> PVI_PAGE_LG2 ? 0 : -PVI_ERANGE;
}

/* A number for [first, last], or why it cannot be opened. */
static int create_slot(const struct pvi_context *ctx, uint64_t first, uint64_t last, unsigned *slot)
{
    unsigned i;

    *slot = PVI_MAX_WINDOWS;
    for (i = PVI_MAX_WINDOWS; i-- > 0;) {
        const struct pvi_window *w = &ctx->window[i];

        if (w->state == PVI_WINDOW_NONE) {
            *slot = i;
        } else if (first <= w->last && w->first <= last) {
            return -PVI_EEXIST;
        }
    }
    return *slot < PVI_MAX_WINDOWS ? 0 : -PVI_ENOSPC;
}

static int window_create(struct pvi_context *ctx, struct pvi_op *op)
{
    uint64_t sizes, first = op->u.window.dfn.f << PVI_PAGE_LG2;
    unsigned slot;
    int rc = create_check(ctx, op, &sizes);

    if (rc != 0) {
        return rc;
    }
    pvi_context_lock_alone(ctx);
    rc = ctx->windowed != 0 ? create_slot(ctx, first, first + (op->u.window.nr << PVI_PAGE_LG2) - 1, &slot) : -PVI_EEXIST;
    if (rc == 0) {
        window_open(ctx, &ctx->window[slot], first, first + (op->u.window.nr << PVI_PAGE_LG2) - 1, sizes);
        op->u.window.index = (uint16_t)slot;
    }
    pvi_context_unlock_alone(ctx);
    return rc;
}

/* --- query --------------------------------------------------------------------------------------------- */

/* Levels that a table needs to reach so far. */
static uint8_t window_depth(const struct pvi_pt *pt, uint64_t last)
{
    unsigned levels = 1;

    while (levels < pt->cfg.levels && last >> pt->cfg.ops->iova_bits(levels) != 0) {
        levels++;
    }
    return (uint8_t)levels;
}

static int window_query(struct pvi_context *ctx, struct pvi_op *op)
{
    struct pvi_window w = {0, ctx->pt.iova_last, ctx->pt.cfg.page_sizes, PVI_WINDOW_OPEN, 0, 0};
    unsigned index = op->u.window.index, left = PVI_MAX_WINDOWS - 1, i;
    struct pvi_stripe *stripe;

    if (index >= PVI_MAX_WINDOWS) {
        return -PVI_ENOENT;
    }
    index = (unsigned)pvi_nospec(index, PVI_MAX_WINDOWS);
    stripe = pvi_context_lock_gigabyte(ctx, 0); /* whichever: it keeps out who changes windows */
    if (ctx->windowed != 0) {
        w = ctx->window[index];
        for (i = 0, left = 0; i < PVI_MAX_WINDOWS; i++) {
            left += ctx->window[i].state == PVI_WINDOW_NONE;
        }
    } else if (index != 0) {
        w.state = PVI_WINDOW_NONE;
    }
    pvi_env_release(ctx->domain->host, &stripe->lock);
    memset(&op->u, 0, sizeof(op->u));
    op->u.window.index = (uint16_t)index;
    op->u.window.state = (uint8_t)w.state;
    op->u.window.left = (uint8_t)left;
    if (w.state != PVI_WINDOW_NONE) {
        op->u.window.dfn.f = w.first >> PVI_PAGE_LG2;
        op->u.window.nr = (w.last >> PVI_PAGE_LG2) - op->u.window.dfn.f + 1;
        op->u.window.sizes = w.sizes;
        op->u.window.shift = (uint8_t)__builtin_ctzll(w.sizes);
        op->u.window.depth = window_depth(&ctx->pt, w.last);
    }
    return 0;
}

/* --- the operations ------------------------------------------------------------------------------------ */

/* Those that change windows; the domain is claimed. */
static int window_change(struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    int rc = window_state_error(ctx);

    if (rc == 0) {
        rc = op->code == PVI_OP_WINDOW_CREATE   ? window_create(ctx, op)
             : op->code == PVI_OP_WINDOW_REMOVE ? window_remove(ctx, op, g)
                                                : window_reset(ctx, op, g);
    }
    return rc;
}

int pvi_op_window(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    int rc;

    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    if (op->ctx == 0) {
        return -PVI_EDEFAULT;
    }
    if (op->code == PVI_OP_WINDOW_QUERY) {
        ctx = pvi_domain_context(d, op->ctx);
        rc = ctx ? window_state_error(ctx) : -PVI_ENOCTX;
        return rc == 0 ? window_query(ctx, op) : rc;
    }
    rc = pvi_domain_enter(d);
    if (rc == 0) {
        ctx = pvi_domain_context(d, op->ctx);
        rc = !ctx ? -PVI_ENOCTX : ctx->tx ? -PVI_EBUSY : window_change(ctx, op, g);
        pvi_domain_unclaim(d);
    }
    return rc;
}
