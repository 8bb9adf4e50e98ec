/* SPDX-License-Identifier: MIT */
/* A context's life: made, built as identity, taken down. */
#include "core.h"

/* Frames asked of the host at once while building: what one table of 1 GiB leaves spans. */
#define BUILD_FRAMES_LG2 27u

int pvi_context_init(struct pvi_context *ctx, struct pvi_domain *d, uint16_t id, struct pvi_pool *pool,
                     uint32_t quota)
{
    int rc;

    PVI_ASSERT(ctx->state == PVI_CTX_FREE && ctx->nr_devices == 0 && ctx->units == 0);
    /* Pages of an earlier life may still wait in somebody's gather: the share counts them until they are back. */
    pvi_quota_limit(pool, &ctx->quota, quota);
    /*
     * Calls that were meant for its last life read what its table is like without a lock: that is written before the first
     * one only, and they find a table that is whole, or none.
     */
    rc = ctx->generation != 0 ? pvi_pt_renew(&ctx->pt) : pvi_pt_init(&ctx->pt, &d->table, pool, &ctx->quota);
    if (rc != 0) {
        return rc;
    }
    ctx->generation += ctx->generation == UINT32_MAX ? 2 : 1; /* never 0 */
    ctx->id = id;
    ctx->identity = false;
    ctx->progress = 0;
    ctx->error = 0;
    ctx->hw_error = 0;
    memset(ctx->nr_dev, 0, sizeof(ctx->nr_dev));
    memset(ctx->region, 0, sizeof(ctx->region));
    pvi_context_lock_alone(ctx); /* who was meant for its last life may still look */
    ctx->tx = false;
    ctx->parent = NULL;
    memset(&ctx->guest, 0, sizeof(ctx->guest));
    pvi_env_write32(&ctx->nested, 0);
    pvi_env_write32(&ctx->nr_regions, 0);
    pvi_window_init(ctx);
    pvi_usage_init(ctx);
    pvi_context_unlock_alone(ctx);
    return 0;
}

void pvi_context_set_state(struct pvi_context *ctx, uint8_t state, int error)
{
    pvi_env_acquire(ctx->domain->host, &ctx->lock);
    pvi_env_write32(&ctx->state, state);
    ctx->progress = 0;
    ctx->error = error;
    pvi_env_release(ctx->domain->host, &ctx->lock);
}

/* The smallest page of the table, in frames, less one. */
static uint64_t build_mask(const struct pvi_context *ctx)
{
    return pvi_smallest_mask(ctx->domain->table.page_sizes) >> PVI_PAGE_LG2;
}

/*
 * The next piece to map 1:1: what the host enumerates, less holes, what lies beyond the table, and ends that no
 * leaf of the table can map. nr 0: a piece was stepped over.
 */
static int build_next(struct pvi_context *ctx, struct pvi_identity_run *run)
{
    const struct pvi_pt_cfg *cfg = &ctx->domain->table;
    uint64_t end = (uint64_t)1 << (cfg->iova_bits - PVI_PAGE_LG2), at, last, mask = build_mask(ctx);
    pvi_gfn from;
    int rc;

    from.f = ctx->progress;
    rc = pvi_host_identity_next(ctx->domain->host, ctx->domain->cfg.hdom, from, run);
    if (rc != 0 || run->first.f >= end) {
        return -PVI_ENOENT;
    }
    PVI_ASSERT(run->nr > 0 && run->first.f >= from.f);
    last = run->nr > end - run->first.f ? end - 1 : run->first.f + run->nr - 1;
    run->nr = 0;
    if ((ctx->pt.prots >> run->prot & 1) == 0) { /* no leaf of the table has such rights */
        ctx->progress = last + 1;
        return 0;
    }
    if ((run->first.f & mask) != 0 || ((last + 1) & ~mask) <= run->first.f) {
        ctx->progress = (run->first.f | mask) + 1;
        return 0;
    }
    last = ((last + 1) & ~mask) - 1;
    if (last >> BUILD_FRAMES_LG2 != run->first.f >> BUILD_FRAMES_LG2) {
        last = run->first.f | (((uint64_t)1 << BUILD_FRAMES_LG2) - 1);
    }
    if (!pvi_domain_clear(ctx->domain, run->first.f << PVI_PAGE_LG2, (last << PVI_PAGE_LG2) | PVI_PAGE_MASK,
                          &at)) {
        at = (at >> PVI_PAGE_LG2) & ~mask;
        if (at <= run->first.f) {
            ctx->progress = pvi_domain_hole_end(ctx->domain, run->first.f << PVI_PAGE_LG2 | (mask << PVI_PAGE_LG2)) + 1;
            return 0;
        }
        last = at - 1; /* up to the hole */
    }
    run->nr = last - run->first.f + 1;
    return 0;
}

static int build_step(struct pvi_context *ctx, const struct pvi_identity_run *run, struct pvi_gather *g)
{
    struct pvi_frames frames;
    uint64_t done = 0, at;
    pvi_dfn dfn;
    int rc;

    if (run->nr == 0) {
        return 0;
    }
    rc = pvi_context_get_frames(ctx, run->first, run->nr, ctx->pt.page_mask, run->prot | PVI_FRAME_IDENTITY, &frames, g);

    if (rc != 0) { /* gone since it was enumerated, or beyond what the table can name */
        ctx->progress = run->first.f + build_mask(ctx) + 1;
        return 0;
    }
    dfn.f = run->first.f;
    rc = pvi_context_map_frames(ctx, dfn, &frames, run->prot, &done, g, &at);
    ctx->progress = run->first.f + done;
    return rc;
}

int pvi_context_build(struct pvi_context *ctx, struct pvi_gather *g)
{
    struct pvi_identity_run run;
    int rc = 0;

    while (rc == 0 && build_next(ctx, &run) == 0) {
        rc = build_step(ctx, &run, g);
        if (rc == 0) {
            rc = pvi_checkpoint(g);
        }
    }
    if (rc == 0) {
        pvi_env_acquire(g->host, &ctx->lock);
        if (ctx->state == PVI_CTX_BUILDING) {
            pvi_env_write32(&ctx->state, PVI_CTX_LIVE);
        }
        pvi_env_release(g->host, &ctx->lock);
    }
    return rc;
}

/* The table is empty. A unit that could not be made to forget the context may still walk its root. */
static void context_end(struct pvi_context *ctx)
{
    if (ctx->units != 0 || pvi_nested_reached(ctx)) {
        pvi_pool_lose(ctx->pt.pool, ctx->pt.root);
        ctx->pt.root = NULL;
        pvi_env_write32(&ctx->state, PVI_CTX_LOST); /* what other CPUs still gather for it must go on meeting the failure */
    } else {
        pvi_pt_fini(&ctx->pt);
        pvi_env_write32(&ctx->state, PVI_CTX_FREE);
        if (ctx->id != 0 && ctx->domain->slot_hint > ctx->id - 1u) {
            ctx->domain->slot_hint = ctx->id - 1u;
        }
    }
}

int pvi_context_teardown(struct pvi_context *ctx, struct pvi_gather *g)
{
    const struct pvi_pt_cfg *cfg = &ctx->domain->table;
    unsigned reach = cfg->ops->iova_bits(cfg->levels);
    struct pvi_pt_unmap r;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.last = reach == 64 ? UINT64_MAX : ((uint64_t)1 << reach) - 1; /* whole tables, so that none is left */
    r.holes = true;
    while (rc == 0 && !r.complete) {
        (void)pvi_gather_prepare(g, ctx); /* no unit is attached, or its unit is broken and all is written off */
        pvi_context_lock_alone(ctx);
        if (ctx->state != PVI_CTX_DYING) { /* somebody else has finished it */
            pvi_context_unlock_alone(ctx);
            return 0;
        }
        r.next = ctx->progress;
        rc = ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, &r, g);
        ctx->progress = r.next;
        if (rc == 0 && r.complete) {
            context_end(ctx);
        }
        pvi_context_unlock_alone(ctx);
        if (rc == -PVI_EBUSY) {
            (void)pvi_gather_flush(g);
            rc = 0;
        }
        if (rc == 0 && !r.complete) {
            rc = pvi_checkpoint(g);
        }
    }
    if (rc == 0 && pvi_context_state(ctx) == PVI_CTX_FREE && ctx->nested) { /* lost, it would keep its parent */
        pvi_nested_end(ctx);
    }
    return rc;
}
