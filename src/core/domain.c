/* SPDX-License-Identifier: MIT */
/* A domain's life, and what all its contexts have in common. */
#include "core.h"
#include <pviommu/held.h>

/* The default context needs a root and a few tables for reserved regions, whatever the host says. */
#define DEFAULT_PAGES_MIN 16u
#define DEFAULT_IOVA_BITS 48u

struct pvi_context *pvi_domain_context(struct pvi_domain *d, uint16_t id)
{
    if (id == 0) {
        return d->has_iommu ? &d->default_ctx : NULL;
    }
    return pvi_domain_numbered(d, id, CONTEXT_GONE);
}

bool pvi_domain_claim(struct pvi_domain *d)
{
    bool mine;

    pvi_env_acquire(d->host, &d->lock);
    mine = !d->moving;
    d->moving = true;
    pvi_env_release(d->host, &d->lock);
    return mine;
}

void pvi_domain_unclaim(struct pvi_domain *d)
{
    pvi_env_acquire(d->host, &d->lock);
    d->moving = false;
    pvi_env_release(d->host, &d->lock);
}

int pvi_domain_enter(struct pvi_domain *d)
{
    if (!pvi_domain_claim(d)) {
        return -PVI_EPREEMPTED;
    }
    if (pvi_domain_dying(d)) {
        pvi_domain_unclaim(d);
        return -PVI_EDYING;
    }
    return 0;
}

void pvi_domain_set_state(struct pvi_domain *d, enum pvi_domain_state state)
{
    pvi_env_write32(&d->state, state);
}

/* What no unit of the system translates, each window once. */
static void domain_holes(struct pvi_domain *d)
{
    const struct pvi_system *sys = d->cfg.system;
    unsigned i, j, k;

    for (i = 0; i < sys->nr_units; i++) {
        const struct pvi_unit_caps *caps = &sys->unit[i]->caps;

        for (j = 0; j < caps->nr_holes; j++) {
            for (k = 0; k < d->nr_holes && (d->hole[k].first != caps->hole[j].first || d->hole[k].last != caps->hole[j].last); k++) {
            }
            if (k == d->nr_holes) {
                d->hole[d->nr_holes++] = caps->hole[j];
            }
        }
    }
}

bool pvi_domain_clear(const struct pvi_domain *d, uint64_t first, uint64_t last, uint64_t *at)
{
    bool clear = true;
    unsigned i;

    for (i = 0; i < d->nr_holes; i++) {
        uint64_t begin = d->hole[i].first > first ? d->hole[i].first : first;

        if (begin <= last && begin <= d->hole[i].last && (clear || begin < *at)) {
            *at = begin;
            clear = false;
        }
    }
    return clear;
}

uint64_t pvi_domain_hole_end(const struct pvi_domain *d, uint64_t at)
{
    uint64_t end = at;
    unsigned i;

    for (i = 0; i < d->nr_holes; i++) {
        if (d->hole[i].first <= at && at <= d->hole[i].last && d->hole[i].last > end) {
            end = d->hole[i].last;
        }
    }
    return end >> PVI_PAGE_LG2;
}

/* One table must suit every unit: what all can do, no deeper than what is asked for needs. */
static int domain_table_cfg(const struct pvi_domain_cfg *cfg, struct pvi_pt_cfg *pt)
{
    const struct pvi_system *sys = cfg->system;
    unsigned levels_mask, levels, i;
    uint64_t smallest;

    memset(pt, 0, sizeof(*pt));
    pt->ops = sys->unit[0]->caps.format;
    pt->page_sizes = cfg->page_sizes != 0 ? cfg->page_sizes : UINT64_MAX;
    pt->iova_bits = cfg->iova_bits != 0 ? cfg->iova_bits : DEFAULT_IOVA_BITS;
    pt->pa_bits = 52;
    pt->coherent = true;
    pt->snoop = true;
    pt->trim = cfg->trim;
    levels_mask = pt->ops->levels_mask;
    for (i = 0; i < sys->nr_units; i++) {
        const struct pvi_unit_caps *caps = &sys->unit[i]->caps;

        if (caps->format != pt->ops) {
            return -PVI_EOPNOTSUPP;
        }
        levels_mask &= caps->levels_mask;
        pt->page_sizes &= caps->page_sizes;
        pt->iova_bits = caps->iova_bits < pt->iova_bits ? caps->iova_bits : pt->iova_bits;
        pt->pa_bits = caps->pa_bits < pt->pa_bits ? caps->pa_bits : pt->pa_bits;
        pt->coherent &= caps->coherent;
        pt->snoop &= caps->snoop;
        pt->adds |= caps->np_cache || caps->write_buffer;
    }
    for (levels = 1; levels <= PVI_MAX_LEVELS && levels_mask >> levels != 0; levels++) {
        if ((levels_mask >> levels & 1) != 0) {
            pt->levels = (uint8_t)levels;
            if (pt->ops->iova_bits(levels) >= pt->iova_bits) {
                break;
            }
        }
    }
    if (pt->levels == 0) {
        return -PVI_EOPNOTSUPP;
    }
    if (pt->ops->iova_bits(pt->levels) < pt->iova_bits) {
        pt->iova_bits = pt->ops->iova_bits(pt->levels);
    }
    pt->page_sizes = pvi_pt_page_sizes(pt);
    smallest = pt->page_sizes & (0 - pt->page_sizes);
    /* A page of more frames than one flush releases would be pinned, and given back, without a checkpoint in between. */
    return smallest != 0 && smallest >> PVI_PAGE_LG2 <= PVI_GATHER_FRAMES ? 0 : -PVI_EOPNOTSUPP;
}

int pvi_domain_init(struct pvi_domain *d, struct pvi_host *h, const struct pvi_domain_cfg *cfg)
{
    struct pvi_context *ctx = &d->default_ctx;
    uint32_t done;
    int rc;

    if (cfg->max_contexts > PVI_MAX_CONTEXTS || cfg->iova_bits > 64 || cfg->max_pasids > PVI_MAX_PASIDS) {
        return -PVI_ELIMIT;
    }
    memset(d, 0, sizeof(*d));
    d->host = h;
    d->cfg = *cfg;
    pvi_env_lock_init(h, &d->lock, PVI_LOCK_DOMAIN);
    pvi_pool_init(&d->pool, h);
    pvi_pool_init(&d->default_pool, h);
    pvi_gather_init(&d->gather, h, cfg->hdom, NULL);
    d->has_iommu = cfg->system && cfg->system->nr_units > 0;
    rc = pvi_passthrough_init(d);
    if (rc != 0 || !d->has_iommu) {
        return rc;
    }
    ctx->domain = d;
    pvi_context_lock_init(ctx);
    domain_holes(d);
    rc = domain_table_cfg(cfg, &d->table);
    if (rc == 0 && d->passthrough >= PVI_PASSTHROUGH_SYNC_PT && (d->table.page_sizes & PVI_PAGE_SIZE) == 0) {
        rc = -PVI_EOPNOTSUPP; /* a p2m changes frame by frame */
    }
    if (rc != 0) {
        return rc;
    }
    pvi_nested_caps(d);
    pvi_gather_init(&d->gather, h, cfg->hdom, d->table.ops);
    d->default_pool.reserve = pvi_passthrough_reserve(d);
    rc = pvi_pool_grow(&d->default_pool,
                       (cfg->default_pages > DEFAULT_PAGES_MIN ? cfg->default_pages : DEFAULT_PAGES_MIN) +
                           d->default_pool.reserve, &done);
    if (rc == 0) {
        rc = pvi_context_init(ctx, d, 0, &d->default_pool, UINT32_MAX);
    }
    if (rc != 0) {
        (void)pvi_pool_shrink(&d->default_pool, d->default_pool.nr_pages);
        return rc;
    }
    pvi_passthrough_context(d);
    ctx->identity = cfg->default_identity;
    ctx->state = cfg->default_identity ? PVI_CTX_BUILDING : PVI_CTX_LIVE;
    return 0;
}

int pvi_domain_start(struct pvi_domain *d)
{
    uint8_t state;
    int rc, flush;

    if (!d->has_iommu) {
        return 0;
    }
    rc = pvi_domain_enter(d);
    if (rc != 0) {
        return rc;
    }
    state = pvi_context_state(&d->default_ctx);
    rc = state == PVI_CTX_BUILDING ? pvi_context_build(&d->default_ctx, &d->gather)
         : state == PVI_CTX_BROKEN ? -PVI_EHW
                                   : 0;
    flush = pvi_gather_flush(&d->gather);
    pvi_domain_unclaim(d);
    return flush != 0 ? flush : rc;
}

void pvi_domain_kill(struct pvi_domain *d)
{
    pvi_env_write32(&d->dying, 1);
}

int pvi_domain_end_context(struct pvi_context *ctx, struct pvi_gather *g)
{
    uint8_t state = pvi_context_state(ctx);

    if (state == PVI_CTX_FREE || state == PVI_CTX_LOST) {
        return 0;
    }
    if (state != PVI_CTX_DYING) {
        pvi_context_set_state(ctx, PVI_CTX_DYING, 0);
    }
    return pvi_context_teardown(ctx, g);
}

static int domain_end(struct pvi_domain *d)
{
    int rc = pvi_bus_end(d, &d->gather);
    uint32_t i;

    for (i = 0; d->slot && i < d->nr_contexts && rc == 0; i++) {
        struct pvi_context *ctx = d->slot[i];

        rc = ctx ? pvi_domain_end_context(ctx, &d->gather) : 0;
    }
    if (rc == 0) {
        rc = pvi_domain_end_context(&d->default_ctx, &d->gather);
    }
    (void)pvi_gather_flush(&d->gather);
    while (rc == 0 && pvi_pool_shrink(&d->pool, 64) == 64) {
        rc = pvi_checkpoint(&d->gather);
    }
    while (rc == 0 && pvi_pool_shrink(&d->default_pool, 64) == 64) {
        rc = pvi_checkpoint(&d->gather);
    }
    return rc;
}

int pvi_domain_destroy(struct pvi_domain *d)
{
    uint32_t i;
    int rc;

    PVI_ASSERT(pvi_domain_dying(d));
    if (d->devices) {
        return -PVI_EBUSY;
    }
    if (!pvi_domain_claim(d)) {
        return -PVI_EPREEMPTED;
    }
    rc = pvi_tx_abandon(d);
    if (rc == 0 && d->held) {
        pvi_held_drop(d);
    }
    rc = rc != 0 ? rc : d->has_iommu ? domain_end(d) : pvi_bus_end(d, &d->gather);
    if (rc == 0 && d->slot) {
        for (i = 0; i < d->nr_contexts; i++) {
            if (d->slot[i]) {
                pvi_host_mem_free(d->host, d->slot[i], sizeof(*d->slot[i]));
            }
        }
        pvi_host_mem_free(d->host, d->slot, d->nr_contexts * sizeof(*d->slot));
        d->slot = NULL;
    }
    pvi_domain_unclaim(d);
    return rc;
}
