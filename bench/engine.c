/* SPDX-License-Identifier: MIT */
/* The library's page tables as contenders: one table, driven by its owner, one gather for each thread. */
#include "bench.h"
#include "engine.h"
#include "host.h"
#include "memory.h"
#include <pviommu/amdvi.h>
#include <pviommu/gather.h>
#include <pviommu/vtd.h>
#include <string.h>

#ifndef BENCH_SET
#define BENCH_SET "pviommu"
#endif

#define IOVA_BITS 48u
#define PA_BITS 48u

/** What one thread needs to work on a table. */
struct port {
    const struct pvi_pt_ops *ops;
    struct pvi_pt *pt;
    struct pvi_gather gather;
    uint8_t owe;
    bool shared;
} __attribute__((aligned(128)));

struct table {
    struct pvi_host host;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    struct port port[2];
};

static void *engine_create(const struct pvi_pt_ops *ops, const struct need *need)
{
    struct table *t = memory_object(sizeof(*t));
    struct pvi_pt_cfg cfg = {.ops = ops, .page_sizes = ops->page_sizes, .levels = 4, .pa_bits = PA_BITS, .coherent = true};
    uint8_t reach = ops->iova_bits(4);
    uint32_t done;
    unsigned i;

    cfg.iova_bits = reach < IOVA_BITS ? reach : IOVA_BITS;
    cfg.dirty = need->dirty;
    host_init(&t->host, 0, 0);
    pvi_pool_init(&t->pool, &t->host);
    t->quota.limit = UINT32_MAX;
    if (pvi_pool_grow(&t->pool, need->pages, &done) != 0 || pvi_pt_init(&t->pt, &cfg, &t->pool, &t->quota) != 0) {
        return NULL;
    }
    for (i = 0; i < 2; i++) {
        t->port[i].ops = ops;
        t->port[i].pt = &t->pt;
        t->port[i].owe = need->owe ? PVI_OWE_REF : PVI_OWE_NONE;
        t->port[i].shared = need->shared;
        pvi_gather_init(&t->port[i].gather, &t->host, NULL, ops);
    }
    return t;
}

static void engine_destroy(void *table)
{
    memory_object_free(table); /* memory_reset() takes the pages back */
}

static void *engine_port(void *table, unsigned slot)
{
    return &((struct table *)table)->port[slot];
}

static int engine_map(void *port, uint64_t iova, uint64_t pa, uint64_t len)
{
    struct port *p = port;
    struct pvi_pt_map r;
    int rc;

    r.iova = iova;
    r.pa = pa;
    r.len = len;
    r.list = NULL;
    r.barred = 0;
    r.done = 0;
    r.prot = PVI_RW;
    r.owe = p->owe;
    r.replace = false;
    r.shared = p->shared;
    r.keep = false;
    do {
        rc = p->ops->map(p->pt, NULL, &r, &p->gather);
    } while (rc == 0 && r.done < r.len);
    return rc;
}

static inline void unmap_request(struct pvi_pt_unmap *r, const struct port *p, uint64_t iova, uint64_t len)
{
    r->first = iova;
    r->last = iova + len - 1;
    r->next = iova;
    r->removed = 0;
    r->barred = 0;
    r->complete = false;
    r->holes = false;
    r->whole = false;
    r->shared = p->shared;
    r->keep = false;
    r->climb = false;
}

static uint64_t engine_unmap(void *port, uint64_t iova, uint64_t len)
{
    struct port *p = port;
    struct pvi_pt_unmap r;
    int rc;

    unmap_request(&r, p, iova, len);
    do {
        rc = p->ops->unmap(p->pt, NULL, &r, &p->gather);
        if (rc == -PVI_EBUSY) {
            rc = pvi_gather_flush(&p->gather);
        }
    } while (rc == 0 && !r.complete);
    pvi_gather_flush(&p->gather);
    return r.complete ? len : r.next - iova;
}

static uint64_t engine_lookup(void *port, uint64_t iova)
{
    struct port *p = port;
    struct pvi_pt_leaf leaf;

    return p->ops->lookup(p->pt, iova, &leaf) == 0 ? leaf.pa : 0;
}

/* Longest call of all that a large request takes: what lies between two checkpoints. */

static uint64_t engine_longest_map(void *port, uint64_t iova, uint64_t pa, uint64_t len)
{
    struct port *p = port;
    struct pvi_pt_map r = {.iova = iova, .pa = pa, .len = len, .prot = PVI_RW, .owe = p->owe};
    uint64_t longest = 0;

    while (r.done < r.len) {
        uint64_t start = ticks(), took;

        if (p->ops->map(p->pt, NULL, &r, &p->gather) != 0) {
            return 0;
        }
        took = ticks() - start;
        longest = took > longest ? took : longest;
    }
    return longest;
}

static uint64_t engine_longest_unmap(void *port, uint64_t iova, uint64_t len)
{
    struct port *p = port;
    struct pvi_pt_unmap r;
    uint64_t longest = 0;

    unmap_request(&r, p, iova, len);
    while (!r.complete) {
        uint64_t start = ticks(), took;
        int rc = p->ops->unmap(p->pt, NULL, &r, &p->gather);

        if (rc == -PVI_EBUSY) {
            rc = pvi_gather_flush(&p->gather);
        }
        if (rc != 0) {
            return 0;
        }
        took = ticks() - start;
        longest = took > longest ? took : longest;
    }
    pvi_gather_flush(&p->gather);
    return longest;
}

static int engine_dirty(void *port, uint64_t iova, uint64_t len, uint64_t *bitmap)
{
    struct port *p = port;
    struct pvi_pt_dirty r = {.first = iova, .last = iova + len - 1, .next = iova, .clear = true, .bitmap = bitmap};
    int rc;

    do {
        rc = p->ops->dirty(p->pt, NULL, &r, &p->gather);
    } while (rc == 0 && !r.complete);
    pvi_gather_flush(&p->gather);
    return rc;
}

/* What the hardware does when a device writes through a 4K leaf of a table of 4 levels. */
static int set_dirty(void *port, uint64_t iova, unsigned bit)
{
    struct port *p = port;
    pvi_pa pa = p->pt->root->pa;
    unsigned level;
    uint64_t *entry;

    for (level = 3;; level--) {
        entry = (uint64_t *)pvi_env_map(p->pt->host, pa) + ((iova >> (PVI_PAGE_LG2 + 9 * level)) & 511);
        if (*entry == 0) {
            return -1;
        }
        if (level == 0) {
            *entry |= (uint64_t)1 << bit;
            return 0;
        }
        pa.a = *entry & 0x000ffffffffff000ull;
    }
}

#define ENGINE(ident, label, format_ops, dirty_bit)                                                \
    static void *ident##_create(const struct need *need)                                           \
    {                                                                                              \
        return engine_create(&format_ops, need);                                                   \
    }                                                                                              \
    static int ident##_set_dirty(void *port, uint64_t iova)                                        \
    {                                                                                              \
        return set_dirty(port, iova, dirty_bit);                                                   \
    }                                                                                              \
    const struct contender contender_##ident = {                                                   \
        .name = BENCH_SET,                                                                         \
        .format = label,                                                                           \
        .ours = true,                                                                              \
        .sizes = K4 | M2 | G1,                                                                     \
        .create = ident##_create,                                                                  \
        .destroy = engine_destroy,                                                                 \
        .port = engine_port,                                                                       \
        .map = engine_map,                                                                         \
        .unmap = engine_unmap,                                                                     \
        .lookup = engine_lookup,                                                                   \
        .dirty = engine_dirty,                                                                     \
        .set_dirty = ident##_set_dirty,                                                            \
        .longest_map = engine_longest_map,                                                         \
        .longest_unmap = engine_longest_unmap,                                                     \
        .batch = &batch_##ident,                                                                   \
    }

ENGINE(vtd_ss, "vtd-ss", pvi_vtd_ss_ops, 9);
ENGINE(vtd_fs, "vtd-fs", pvi_vtd_fs_ops, 6);
ENGINE(amdvi_v1, "amdvi-v1", pvi_amdvi_v1_ops, 6);
ENGINE(amdvi_v2, "amdvi-v2", pvi_amdvi_v2_ops, 6);
