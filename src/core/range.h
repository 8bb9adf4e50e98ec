/* SPDX-License-Identifier: MIT */
/* What every operation on a range of a context asks first: the context, whether the range is one, and, under a lock, whether it is open. */
#ifndef PVIOMMU_RANGE_H
#define PVIOMMU_RANGE_H

#include "core.h"

/* A transaction has the context; not an error of the engine, whose EBUSY says that the gather is full. */
#define CONTEXT_TAKEN 8

/* What keeps a caller from [first, last] of a live context: a transaction, regions, windows (context_range.c). */
int pvi_context_inspect(const struct pvi_context *ctx, const struct pvi_gather *g, uint64_t first, uint64_t last, uint64_t *at,
                        uint64_t *barred);

/* What the state of a context says of its range: 0 for a live one. A broken one refuses everything but being freed. */
static inline int context_state_error(uint8_t state)
{
    return state == PVI_CTX_LIVE ? 0 : state == PVI_CTX_BROKEN ? -PVI_EHW : -PVI_ENOCTX;
}

/* May the table be changed (g NULL: read), and with which leaves? With a lock of the context held, so that the answer stays true. */
static CORE_INLINE int context_open(struct pvi_context *ctx, const struct pvi_gather *g, bool building, uint64_t first,
                                    uint64_t last, uint64_t *at, uint64_t *barred)
{
    uint8_t state = pvi_context_state(ctx);

    if (state != PVI_CTX_LIVE && !(building && state == PVI_CTX_BUILDING)) {
        return context_state_error(state);
    }
    *barred = 0;
    return last > ctx->plain_last ? pvi_context_inspect(ctx, g, first, last, at, barred) : 0;
}

/* range_check() where windows may be set: one of them holds the range, in its pages if `whole` (ops_range.c). */
int pvi_range_window(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, bool whole, uint64_t *mask, uint64_t *fault);

/*
 * The one place where a guest's range is judged: length, wrap, alignment, reach, windows, holes. *mask is the smallest page there,
 * less one, *fault the DFN at fault, the first one if all is well. A range that is not `whole` may be part of a window's page.
 */
static CORE_INLINE int range_check(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, bool whole, uint64_t *mask,
                                   uint64_t *fault)
{
    const struct pvi_pt *pt = &ctx->pt;
    uint64_t last, at;
    int rc;

    *fault = dfn.f;
    *mask = pt->page_mask;
    if (nr == 0) {
        return -PVI_ELENGTH;
    }
    if (dfn.f >> (64 - PVI_PAGE_LG2) != 0 || nr >> (64 - PVI_PAGE_LG2) != 0 ||
        (dfn.f + nr - 1) >> (64 - PVI_PAGE_LG2) != 0) {
        return -PVI_EWRAP;
    }
    if (((dfn.f | nr) & (pt->page_mask >> PVI_PAGE_LG2)) != 0) {
        return -PVI_EALIGN;
    }
    last = ((dfn.f + nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    if (last > pvi_env_read64(&ctx->plain_last)) {
        rc = pvi_range_window(ctx, dfn, nr, whole, mask, fault);
        if (rc != 0) {
            return rc;
        }
    }
    if (ctx->domain->nr_holes != 0 && !pvi_domain_clear(ctx->domain, dfn.f << PVI_PAGE_LG2, last, &at)) {
        *fault = at >> PVI_PAGE_LG2;
        return -PVI_ERESERVED;
    }
    return 0;
}

/* The context of a range operation, or why there is none: one that is being built is not there yet for anybody. */
static CORE_INLINE int range_context(struct pvi_domain *d, const struct pvi_op *op, struct pvi_context **out)
{
    struct pvi_context *ctx;

    if (op->ctx == 0) {
        return -PVI_EDEFAULT;
    }
    ctx = pvi_domain_numbered(d, op->ctx, CONTEXT_GONE | 1u << PVI_CTX_BUILDING);
    if (!ctx) {
        return -PVI_ENOCTX;
    }
    *out = ctx;
    return pvi_env_read32(&ctx->nested) == 0 ? 0 : -PVI_ENESTED;
}

#endif
