/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: what devices do (DMA, ATS), what the unit does on its own (speculation), and
 * what caches still hold.
 */
#include "hwm_int.h"

#include <stdlib.h>
#include <string.h>

static void xlat(struct hwm *h, const struct hwm_req *req, unsigned flags, struct hwm_xlat *x)
{
    memset(x, 0, sizeof(*x));
    if (h->amd) {
        hwm_amd_xlat(h, req, flags, x);
    } else {
        hwm_vtd_xlat(h, req, flags, x);
    }
}

static enum hwm_result give(const struct hwm_xlat *x, uint64_t *pa, struct hwm_fault *f)
{
    if (pa) {
        *pa = x->pa;
    }
    if (f) {
        *f = x->fault;
    }
    return x->result;
}

enum hwm_result hwm_dma_req(struct hwm *h, const struct hwm_req *req, struct hwm_xlat *x)
{
    xlat(h, req, HWM_F_USE | HWM_F_FILL | HWM_F_RECORD, x);
    return x->result;
}

enum hwm_result hwm_walk_req(struct hwm *h, const struct hwm_req *req, struct hwm_xlat *x)
{
    xlat(h, req, 0, x);
    return x->result;
}

enum hwm_result hwm_dma(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                        struct hwm_fault *f)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .write = write};
    struct hwm_xlat x;

    hwm_dma_req(h, &req, &x);
    return give(&x, pa, f);
}

enum hwm_result hwm_peek(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                         struct hwm_fault *f)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .write = write};
    struct hwm_xlat x;

    xlat(h, &req, HWM_F_USE, &x);
    return give(&x, pa, f);
}

enum hwm_result hwm_walk(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                         struct hwm_fault *f)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .write = write};
    struct hwm_xlat x;

    hwm_walk_req(h, &req, &x);
    return give(&x, pa, f);
}

static void fill_devtlb(struct hwm *h, const struct hwm_req *req, const struct hwm_xlat *x)
{
    unsigned lg2 = h->fracture ? 12 : x->lg2;
    struct hwm_ce *ce = hwm_cache_add(&h->devtlb, req->rid, lg2, req->iova);

    if (!ce) {
        return;
    }
    ce->v[0] = x->pa & ~hwm_low_mask(lg2);
    ce->r = x->r;
    ce->w = x->w;
    ce->did = x->did;
    hwm_cache_hold(&h->devtlb, ce, ce->v[0], lg2);
}

enum hwm_result hwm_dma_ats(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                            struct hwm_fault *f)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .write = write};
    struct hwm_ce *ce = hwm_cache_lookup(&h->devtlb, rid, iova, 0);
    struct hwm_xlat x;

    if (ce && (write ? ce->w : ce->r)) {
        req.iova = ce->v[0] + (iova - ce->base);
        req.at = HWM_AT_TRANSLATED;
        hwm_dma_req(h, &req, &x);
        return give(&x, pa, f);
    }
    req.at = HWM_AT_TRANSLATION;
    hwm_dma_req(h, &req, &x);
    if (x.result == HWM_OK) {
        fill_devtlb(h, &req, &x);
    }
    return give(&x, pa, f);
}

enum hwm_result hwm_speculate(struct hwm *h, uint16_t rid, uint64_t iova, struct hwm_fault *f)
{
    struct hwm_req req = {.iova = iova, .rid = rid};
    struct hwm_xlat x;

    xlat(h, &req, HWM_F_USE | HWM_F_FILL, &x);
    xlat(h, &req, HWM_F_FILL, &x);
    return give(&x, NULL, f);
}

static void watch(struct hwm *h, uint16_t rid, uint64_t iova, bool ats)
{
    if (h->watch_nr == h->watch_cap) {
        h->watch_cap = h->watch_cap ? h->watch_cap * 2 : 16;
        h->watch = realloc(h->watch, h->watch_cap * sizeof(*h->watch));
        if (!h->watch) {
            abort();
        }
    }
    h->watch[h->watch_nr].rid = rid;
    h->watch[h->watch_nr].iova = iova;
    h->watch[h->watch_nr].ats = ats;
    h->watch_nr++;
}

void hwm_watch(struct hwm *h, uint16_t rid, uint64_t iova)
{
    watch(h, rid, iova, false);
}

void hwm_watch_ats(struct hwm *h, uint16_t rid, uint64_t iova)
{
    watch(h, rid, iova, true);
}

/* A device with ATS asks again for what its TLB does not have. */
static void prefetch_ats(struct hwm *h, uint16_t rid, uint64_t iova)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .at = HWM_AT_TRANSLATION};
    struct hwm_xlat x;

    xlat(h, &req, HWM_F_USE | HWM_F_FILL, &x);
    if (x.result == HWM_OK) {
        fill_devtlb(h, &req, &x);
    }
}

void hwm_watch_clear(struct hwm *h)
{
    h->watch_nr = 0;
}

void hwm_watch_run(struct hwm *h)
{
    size_t i;

    if (h->watching) {
        return;
    }
    h->watching = true;
    for (i = 0; i < h->watch_nr; i++) {
        hwm_speculate(h, h->watch[i].rid, h->watch[i].iova, NULL);
        if (h->watch[i].ats) {
            prefetch_ats(h, h->watch[i].rid, h->watch[i].iova);
        }
    }
    h->watching = false;
}

void hwm_set_fracture(struct hwm *h, bool on)
{
    h->fracture = on;
}

unsigned hwm_caches_range(const struct hwm *h, uint64_t pa, uint64_t len)
{
    unsigned mask = 0;

    mask |= hwm_cache_holds_range(&h->hold_table, pa, len) ? HWM_HOLD_TABLE : 0;
    mask |= hwm_cache_holds_range(&h->hold_leaf, pa, len) ? HWM_HOLD_LEAF : 0;
    mask |= hwm_cache_holds_range(&h->hold_root, pa, len) ? HWM_HOLD_ROOT : 0;
    mask |= hwm_cache_holds_range(&h->hold_dev, pa, len) ? HWM_HOLD_DEVTLB : 0;
    return mask;
}

unsigned hwm_caches_page(const struct hwm *h, uint64_t pa)
{
    return hwm_caches_range(h, pa & ~UINT64_C(0xfff), 4096);
}

void hwm_cached_leaves(const struct hwm *h, uint64_t pa,
                       void (*each)(void *ctx, uint16_t did, uint64_t iova, unsigned lg2, bool w),
                       void *ctx)
{
    const struct hwm_ce *ce;
    size_t i;

    for (i = 0; i < h->iotlb.cap; i++) {
        ce = &h->iotlb.tab[i];
        if (ce->state == HWM_CE_USED && ce->holds &&
            ((ce->hold_pa ^ pa) & ~hwm_low_mask(ce->hold_lg2)) == 0) {
            each(ctx, (uint16_t)ce->tag, ce->base, ce->lg2, ce->w);
        }
    }
}

void hwm_cache_counts(const struct hwm *h, size_t counts[5])
{
    counts[0] = h->ctx.used;
    counts[1] = h->pasid.used;
    counts[2] = h->iotlb.used;
    counts[3] = h->psc.used;
    counts[4] = h->devtlb.used;
}

bool hwm_cached_iova(const struct hwm *h, uint16_t did, uint64_t iova)
{
    uint64_t tag = HWM_TAG(did, 0, 0);
    const struct hwm_ce *ce = hwm_cache_lookup(&h->psc, tag, iova, 0);

    return hwm_cache_lookup(&h->iotlb, tag, iova, 0) || (ce && ce->neg);
}
