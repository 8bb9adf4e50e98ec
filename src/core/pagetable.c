/* SPDX-License-Identifier: MIT */
/* Making and ending a table; the operations on it are the engine's. */
#include <pviommu/pgtable.h>

uint64_t pvi_pt_page_sizes(const struct pvi_pt_cfg *cfg)
{
    return cfg->ops->usable(cfg);
}

static uint64_t pt_ones(unsigned bits)
{
    return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

/* Rights that the format has and no quirk forbids; a leaf without any does not exist. */
static uint8_t pt_prots_of(const struct pvi_pt_cfg *cfg)
{
    return cfg->no_read_only ? cfg->ops->prots & (uint8_t)~(1u << PVI_READ) : cfg->ops->prots;
}

/* An empty root, written back before anybody can learn of it. */
static int pt_root(struct pvi_pt *pt)
{
    struct pvi_page *root;
    void *content;
    int rc = pvi_pool_take(pt->pool, pt->quota, 1, 0, PVI_PAGE_TABLE, &root);

    if (rc != 0) {
        return rc;
    }
    root->level = (uint8_t)(pt->cfg.levels - 1);
    content = pvi_env_map(pt->host, root->pa);
    memset(content, 0, PVI_PAGE_SIZE);
    root->dirty = false;
    if (!pt->cfg.coherent) {
        pvi_env_writeback(pt->host, content, PVI_PAGE_SIZE);
    }
    pvi_env_unmap(pt->host, content);
    pt->root = root;
    pvi_env_write64(pt->host, &pt->root_pa.a, root->pa.a);
    return 0;
}

int pvi_pt_init(struct pvi_pt *pt, const struct pvi_pt_cfg *cfg, struct pvi_pool *pool,
                struct pvi_quota *quota)
{
    uint64_t sizes;

    if (cfg->levels == 0 || cfg->levels > PVI_MAX_LEVELS ||
        (cfg->ops->levels_mask & (1u << cfg->levels)) == 0 ||
        pvi_pt_page_sizes(cfg) == 0 || cfg->iova_bits > cfg->ops->iova_bits(cfg->levels) || cfg->iova_bits <= PVI_PAGE_LG2 ||
        cfg->pa_bits <= PVI_PAGE_LG2 || cfg->pa_bits > 52 || (cfg->dirty && !cfg->coherent)) {
        return -PVI_EOPNOTSUPP;
    }
    memset(pt, 0, sizeof(*pt));
    pt->cfg = *cfg;
    sizes = pvi_pt_page_sizes(cfg);
    pt->cfg.page_sizes = sizes;
    pt->page_mask = (sizes & (0 - sizes)) - 1;
    pt->iova_last = pt_ones(cfg->iova_bits);
    pt->table_last = pt_ones(cfg->ops->iova_bits(cfg->levels));
    pt->four_end = cfg->levels == 4 ? pt->table_last + 1 : 0;
    pt->pa_last = pt_ones(cfg->pa_bits);
    pt->quick = cfg->levels == 4 && cfg->coherent ? sizes & pt->iova_last & pt->pa_last : 0;
    pt->prots = pt_prots_of(cfg);
    pt->host = pool->host;
    pt->pool = pool;
    pt->quota = quota;
    return pt_root(pt);
}

int pvi_pt_renew(struct pvi_pt *pt)
{
    PVI_ASSERT(pt->root == NULL);
    return pt_root(pt);
}

void pvi_pt_fini(struct pvi_pt *pt)
{
    struct pvi_page *root = pt->root;

    PVI_ASSERT(root->live == 0);
    /* In this order: a lookup that still finds the root's address sees, after reading from the page, that it has come back. */
    pvi_env_write64(pt->host, &pt->root_pa.a, 0);
    pt->root = NULL;
    pvi_pool_put(pt->pool, root);
}
