/* SPDX-License-Identifier: MIT */
/*
 * Reserved regions of devices (RMRR, IVMD) in a context: mapped 1:1 as long as a device that needs them is
 * there, counted per region, never merged (R10, R18).
 */
#include "core.h"

bool pvi_region_meets(const struct pvi_context *ctx, uint64_t first, uint64_t last, uint64_t *at)
{
    uint64_t lowest = UINT64_MAX;
    bool met = false;
    unsigned i;

    for (i = 0; i < PVI_MAX_CTX_REGIONS; i++) {
        const struct pvi_ctx_region *r = &ctx->region[i];
        uint64_t begin = r->first > first ? r->first : first;

        if (r->count != 0 && r->first <= last && first <= r->last) {
            lowest = begin < lowest ? begin : lowest;
            met = true;
        }
    }
    *at = lowest;
    return met;
}

static struct pvi_ctx_region *region_find(struct pvi_context *ctx, const struct pvi_region *region)
{
    unsigned i;

    for (i = 0; i < PVI_MAX_CTX_REGIONS; i++) {
        struct pvi_ctx_region *r = &ctx->region[i];

        if (r->count != 0 && r->first == region->first && r->last == region->last) {
            return r;
        }
    }
    return NULL;
}

/* Is the whole region mapped 1:1 already, with the rights that it needs? */
static bool region_inherited(const struct pvi_pt *pt, const struct pvi_region *region)
{
    uint64_t at = region->first;

    for (;;) {
        struct pvi_pt_leaf leaf;
        uint64_t end;
        int rc;

        do { /* nothing new is taken away meanwhile: this ends */
            rc = pt->cfg.ops->lookup(pt, at, &leaf);
        } while (rc == -PVI_EBUSY);
        if (rc != 0 || leaf.pa != at || (leaf.prot & region->prot) != region->prot) {
            return false;
        }
        end = at | (((uint64_t)1 << leaf.lg2) - 1);
        if (end >= region->last) {
            return true;
        }
        at = end + 1;
    }
}

/*
 * Is it mapped by whoever made the context's table: an identity, the host's hooks, or the host's own table? A function of its own:
 * its copy of the table is off the stack again before anything is mapped.
 */
static CORE_NOINLINE bool region_given(const struct pvi_context *ctx, const struct pvi_region *region)
{
    struct pvi_pt table;
    uint64_t sizes, at;

    if (ctx->shared_root.a == 0) {
        return (ctx->identity || ctx->synced) && pvi_window_find(ctx, region->first, region->last, &sizes, &at) == 0 &&
               region_inherited(&ctx->pt, region);
    }
    if (ctx->domain->cfg.passthrough.share.opaque) {
        return true;
    }
    table = ctx->pt;
    table.root_pa = ctx->shared_root;
    table.cfg.levels = ctx->shared_levels;
    table.table_last = UINT64_MAX >> (64 - table.cfg.ops->iova_bits(ctx->shared_levels));
    table.four_end = 0; /* links of our own are what the quick way knows */
    return region_inherited(&table, region);
}

/* The record is free again; the context is locked. */
static void region_forget(struct pvi_context *ctx, struct pvi_ctx_region *record)
{
    record->count = 0;
    pvi_env_write32(&ctx->nr_regions, ctx->nr_regions - 1);
    pvi_context_replain(ctx);
}

/* Claims a record, or joins the one that is there. 1: joined or inherited, nothing to map; 0: *out is to be mapped. */
static int region_claim(struct pvi_context *ctx, const struct pvi_region *region, struct pvi_ctx_region **out)
{
    struct pvi_ctx_region *r = region_find(ctx, region);
    uint64_t at;
    unsigned i;

    if (r) {
        if (r->prot != region->prot) {
            return -PVI_EEXIST; /* rights are never merged */
        }
        r->count++;
        return 1;
    }
    if (pvi_region_meets(ctx, region->first, region->last, &at)) {
        return -PVI_EEXIST;
    }
    for (i = 0; i < PVI_MAX_CTX_REGIONS && ctx->region[i].count != 0; i++) {
    }
    if (i == PVI_MAX_CTX_REGIONS) {
        return -PVI_ENOSPC;
    }
    r = &ctx->region[i];
    r->first = region->first;
    r->last = region->last;
    r->prot = region->prot;
    r->count = 1;
    pvi_env_write32(&ctx->nr_regions, ctx->nr_regions + 1);
    pvi_context_replain(ctx);
    r->inherited = region_given(ctx, region);
    if (ctx->shared_root.a != 0 && !r->inherited) {
        region_forget(ctx, r);
        return -PVI_ENOENT; /* nothing of ours can be mapped into the host's table */
    }
    *out = r;
    return r->inherited ? 1 : 0;
}

/* A transaction's way back needs the tables that it has emptied. In the default context it changes none. */
static bool region_keeps(const struct pvi_context *ctx)
{
    return ctx->tx && ctx->id != 0;
}

/* Unmaps [first, last] of a region; what cannot be flushed is the gather's affair. */
static int region_unmap(struct pvi_context *ctx, uint64_t first, uint64_t last, struct pvi_gather *g)
{
    struct pvi_pt_unmap *u = &g->req.unmap;
    int rc = 0;

    memset(u, 0, sizeof(*u));
    u->first = first;
    u->next = first;
    u->last = last;
    u->holes = true;
    u->keep = region_keeps(ctx);
    while (rc == 0 && !u->complete) {
        pvi_context_lock_alone(ctx);
        ctx->mapped += u->removed;
        rc = ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, u, g);
        ctx->mapped -= u->removed;
        pvi_context_unlock_alone(ctx);
        rc = rc == -PVI_EBUSY ? pvi_gather_flush(g) : pvi_gather_recover(g, rc);
    }
    return rc;
}

/* Maps a region 1:1; of what it cannot map nothing stays. */
static int region_map(struct pvi_context *ctx, const struct pvi_region *region, struct pvi_gather *g)
{
    struct pvi_pt_map *r = &g->req.map;
    uint64_t done;
    int rc = 0, undo;

    memset(r, 0, sizeof(*r));
    r->iova = region->first;
    r->pa = region->first;
    r->len = region->last - region->first + 1;
    r->prot = region->prot;
    r->owe = PVI_OWE_NONE;
    r->keep = region_keeps(ctx);
    while (rc == 0 && r->done < r->len) {
        pvi_context_lock_alone(ctx);
        ctx->mapped -= r->done;
        rc = ctx->pt.cfg.ops->map(&ctx->pt, ctx, r, g);
        ctx->mapped += r->done;
        pvi_context_unlock_alone(ctx);
        rc = pvi_gather_recover(g, rc);
    }
    done = r->done;
    if (rc != 0 && done > 0) {
        undo = region_unmap(ctx, region->first, region->first + done - 1, g);
        rc = undo != 0 ? undo : rc;
    }
    return rc;
}

int pvi_region_add(struct pvi_context *ctx, const struct pvi_region *region, struct pvi_gather *g)
{
    struct pvi_ctx_region *record = NULL;
    int rc;

    pvi_context_lock_alone(ctx);
    rc = region_claim(ctx, region, &record);
    pvi_context_unlock_alone(ctx);
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    rc = region_map(ctx, region, g);
    if (rc == 0) {
        /*
         * Before a device is switched over: units that cache absence must know, and another CPU may have
         * cleared old leaves here that it has not flushed yet.
         */
        pvi_gather_range(g, ctx, region->first, region->last, true, false);
        return pvi_gather_flush(g);
    }
    (void)pvi_gather_flush(g); /* a failure has broken the context, which is what its owner will see */
    pvi_context_lock_alone(ctx);
    region_forget(ctx, record);
    pvi_context_unlock_alone(ctx);
    return rc;
}

int pvi_region_del(struct pvi_context *ctx, const struct pvi_region *region, struct pvi_gather *g)
{
    struct pvi_ctx_region *record;
    bool gone;
    int rc = 0;

    pvi_context_lock_alone(ctx);
    record = region_find(ctx, region);
    PVI_ASSERT(record != NULL);
    gone = record->count == 1 && !record->inherited;
    if (!gone && --record->count == 0) {
        region_forget(ctx, record);
    }
    pvi_context_unlock_alone(ctx);
    if (!gone) {
        return 0;
    }
    rc = region_unmap(ctx, region->first, region->last, g);
    if (rc == 0) {
        rc = pvi_gather_flush(g);
    }
    pvi_context_lock_alone(ctx);
    region_forget(ctx, record); /* only now may a guest map there: it cannot have met a stale translation */
    pvi_context_unlock_alone(ctx);
    return rc;
}
