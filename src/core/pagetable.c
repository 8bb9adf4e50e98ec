/* SPDX-License-Identifier: MIT */
/* Making and ending a table; the operations on it are the engine's. */
#include <pviommu/pgtable.h>

/*
 * Leaves of a size can be used only where those of the next smaller one can: a large leaf that must be cut in
 * place becomes a full table of the next smaller size. Sizes above a gap are dropped, and those that no level of
 * the table can hold.
 */
uint64_t pvi_pt_page_sizes(const struct pvi_pt_cfg *cfg)
{
    unsigned reach = cfg->ops->iova_bits(cfg->levels);
    uint64_t format = cfg->ops->page_sizes, usable = cfg->page_sizes & format, size;

    if (reach < 64) {
        usable &= ((uint64_t)1 << reach) - 1;
    }
    for (size = usable & (0 - usable); size != 0; size <<= 1) {
        if ((format & size) != 0 && (usable & size) == 0) {
            return usable & (size - 1);
        }
    }
    return usable;
}

int pvi_pt_init(struct pvi_pt *pt, const struct pvi_pt_cfg *cfg, struct pvi_pool *pool,
                struct pvi_quota *quota)
{
    struct pvi_reserve reserve;
    void *content;
    int rc;

    if (cfg->levels == 0 || cfg->levels > PVI_MAX_LEVELS ||
        (cfg->ops->levels_mask & (1u << cfg->levels)) == 0 ||
        pvi_pt_page_sizes(cfg) == 0 || cfg->iova_bits > cfg->ops->iova_bits(cfg->levels) || cfg->iova_bits <= PVI_PAGE_LG2 ||
        cfg->pa_bits <= PVI_PAGE_LG2 || cfg->pa_bits > 52) {
        return -PVI_EOPNOTSUPP;
    }
    rc = pvi_pool_reserve(pool, quota, 1, &reserve);
    if (rc != 0) {
        return rc;
    }
    memset(pt, 0, sizeof(*pt));
    pt->cfg = *cfg;
    pt->cfg.page_sizes = pvi_pt_page_sizes(cfg);
    pt->host = pool->host;
    pt->pool = pool;
    pt->quota = quota;
    pt->root = pvi_pool_commit(&reserve, PVI_PAGE_TABLE);
    pt->root->level = (uint8_t)(cfg->levels - 1);
    content = pvi_env_map(pt->host, pt->root->pa);
    memset(content, 0, PVI_PAGE_SIZE);
    pt->root->dirty = false;
    if (!cfg->coherent) {
        pvi_env_writeback(pt->host, content, PVI_PAGE_SIZE);
    }
    pvi_env_unmap(pt->host, content);
    return 0;
}

void pvi_pt_fini(struct pvi_pt *pt)
{
    PVI_ASSERT(pt->root->live == 0);
    pvi_pool_put(pt->pool, pt->root);
    pt->root = NULL;
}
