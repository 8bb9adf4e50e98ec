/* SPDX-License-Identifier: MIT */
/* Passthrough modes: how one is named, chosen and read back. The hooks that keep sync_pt and share_pt true are in sync.c. */
#include "core.h"

int pvi_passthrough_parse(const char *s, size_t len, enum pvi_passthrough *out)
{
    static const struct {
        char text[9];
        uint8_t len, mode;
    } name[] = {
        {"disabled", 8, PVI_PASSTHROUGH_DISABLED}, {"sync_pt", 7, PVI_PASSTHROUGH_SYNC_PT},
        {"sync-pt", 7, PVI_PASSTHROUGH_SYNC_PT},   {"share_pt", 8, PVI_PASSTHROUGH_SHARE_PT},
        {"share-pt", 8, PVI_PASSTHROUGH_SHARE_PT},
    };
    unsigned i;

    for (i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        if (len == name[i].len && memcmp(s, name[i].text, len) == 0) {
            *out = (enum pvi_passthrough)name[i].mode;
            return 0;
        }
    }
    return -PVI_EINVAL;
}

int pvi_passthrough_choose(const struct pvi_passthrough_cfg *cfg, bool iommu, bool share, enum pvi_passthrough *in_force)
{
    enum pvi_passthrough mode = (enum pvi_passthrough)cfg->mode;

    if (cfg->mode > PVI_PASSTHROUGH_SHARE_PT) {
        return -PVI_EINVAL;
    }
    if (mode == PVI_PASSTHROUGH_DEFAULT) {
        mode = !cfg->assigned ? PVI_PASSTHROUGH_DISABLED
               : cfg->pv      ? PVI_PASSTHROUGH_SYNC_PT
                              : PVI_PASSTHROUGH_SHARE_PT;
    }
    if (mode >= PVI_PASSTHROUGH_SYNC_PT && (!iommu || (cfg->pv && mode == PVI_PASSTHROUGH_SHARE_PT))) {
        return -PVI_EOPNOTSUPP;
    }
    *in_force = mode == PVI_PASSTHROUGH_SHARE_PT && !share ? PVI_PASSTHROUGH_SYNC_PT : mode;
    return 0;
}

static uint8_t share_unit(const struct pvi_share *share, const struct pvi_unit_caps *caps)
{
    if (!caps->shares) {
        return PVI_SHARE_UNIT;
    }
    if (caps->format != share->format) {
        return PVI_SHARE_FORMAT;
    }
    if (share->levels > PVI_MAX_LEVELS || (caps->levels_mask >> share->levels & 1) == 0) {
        return PVI_SHARE_LEVELS;
    }
    if ((share->page_sizes & ~caps->page_sizes) != 0) {
        return PVI_SHARE_SIZES;
    }
    if (!caps->coherent && !share->written_back) {
        return PVI_SHARE_COHERENCY;
    }
    return share->root.a >> caps->pa_bits != 0 ? PVI_SHARE_NO_TABLE : PVI_SHARE_POSSIBLE;
}

/* A device may come to any unit: all of them must be able to walk the table. */
static uint8_t share_obstacle(const struct pvi_domain *d)
{
    const struct pvi_share *share = &d->cfg.passthrough.share;
    const struct pvi_system *sys = d->cfg.system;
    uint8_t obstacle = PVI_SHARE_POSSIBLE;
    unsigned i;

    for (i = 0; i < sys->nr_units && obstacle == PVI_SHARE_POSSIBLE; i++) {
        obstacle = share_unit(share, &sys->unit[i]->caps);
    }
    /* What no table could change is the better answer. */
    if (obstacle != PVI_SHARE_UNIT && (!share->format || share->root.a == 0 || (share->root.a & PVI_PAGE_MASK) != 0)) {
        obstacle = PVI_SHARE_NO_TABLE;
    }
    return obstacle;
}

int pvi_passthrough_init(struct pvi_domain *d)
{
    const struct pvi_passthrough_cfg *cfg = &d->cfg.passthrough;
    uint8_t obstacle = d->has_iommu ? share_obstacle(d) : (uint8_t)PVI_SHARE_POSSIBLE;
    enum pvi_passthrough mode;
    int rc = pvi_passthrough_choose(cfg, d->has_iommu, obstacle == PVI_SHARE_POSSIBLE, &mode);

    if (rc != 0) {
        return rc;
    }
    if (mode != PVI_PASSTHROUGH_NONE && d->cfg.default_identity) {
        return -PVI_EINVAL;
    }
    if (mode == PVI_PASSTHROUGH_SYNC_PT && cfg->mode != PVI_PASSTHROUGH_SYNC_PT && !cfg->pv) {
        d->share_obstacle = obstacle;
    }
    d->passthrough = mode;
    d->has_iommu &= mode != PVI_PASSTHROUGH_DISABLED;
    return 0;
}

uint32_t pvi_passthrough_reserve(const struct pvi_domain *d)
{
    if (d->passthrough < PVI_PASSTHROUGH_SYNC_PT) {
        return 0;
    }
    return d->cfg.passthrough.reserve != 0 ? d->cfg.passthrough.reserve : PVI_SYNC_RESERVE;
}

void pvi_passthrough_context(struct pvi_domain *d)
{
    struct pvi_context *ctx = &d->default_ctx;

    if (d->passthrough >= PVI_PASSTHROUGH_SYNC_PT) {
        ctx->pt.cfg.trim = true; /* what cuts took from the reserve comes back as soon as it can */
        ctx->synced = true;
    }
    if (d->passthrough == PVI_PASSTHROUGH_SHARE_PT) {
        ctx->shared_root = d->cfg.passthrough.share.root;
        ctx->shared_levels = d->cfg.passthrough.share.levels;
    }
}

void pvi_passthrough_query(struct pvi_domain *d, struct pvi_passthrough_info *out)
{
    struct pvi_pool_usage pool;

    memset(out, 0, sizeof(*out));
    out->asked = d->cfg.passthrough.mode;
    out->in_force = (uint8_t)pvi_env_read32(&d->passthrough);
    out->obstacle = d->share_obstacle;
    if (d->has_iommu) {
        pvi_pool_usage(&d->default_pool, &pool);
        out->reserve = d->default_pool.reserve;
        out->reserved = pool.nr_free < out->reserve ? pool.nr_free : out->reserve;
    }
}

int pvi_share_stop(struct pvi_domain *d)
{
    struct pvi_context *ctx = &d->default_ctx;
    pvi_pa none = {0};
    int rc;

    if (d->passthrough != PVI_PASSTHROUGH_SHARE_PT) {
        return -PVI_EDEFAULT;
    }
    rc = pvi_domain_enter(d);
    if (rc != 0) {
        return rc;
    }
    if (ctx->nr_devices + ctx->nr_pasids != 0 || pvi_nested_reached(ctx) || ctx->tx) { /* a device may be on its way back */
        rc = -PVI_EBUSY;
    } else {
        ctx->shared_root = none;
        pvi_env_write32(&d->passthrough, PVI_PASSTHROUGH_SYNC_PT);
    }
    pvi_domain_unclaim(d);
    return rc;
}
