/* SPDX-License-Identifier: MIT */
/* What the two files of hypercall 43 know of each other. */
#ifndef PVIOMMU_SRC_XEN43_H
#define PVIOMMU_SRC_XEN43_H

#include <pviommu/abi/xen43.h>

#include "single.h"

/* A page that is half done when the CPU is wanted is finished first. */
#define XEN43_LARGEST_PAGE ((uint64_t)1 << 21)

/* A call: the sub-operation, whose domain it is for, and what the upper bits of the word say. */
struct xen43_call {
    struct pvi_abi_call *abi;
    uint64_t arg;
    uint32_t subop;
    uint32_t state; /* of the word, above the sub-operation; in and out */
    uint16_t domid;
};

static inline struct pvi_op *xen43_op(struct xen43_call *c, unsigned code, uint16_t ctx)
{
    return pvi_abi_op(c->abi, code, c->domid, ctx);
}

static inline int xen43_run(struct xen43_call *c, struct pvi_op *op)
{
    return pvi_abi_run(c->abi, op);
}

/* Page sizes that a caller can name. */
static inline uint32_t xen43_page_mask(uint64_t page_sizes)
{
    return (uint32_t)(page_sizes & (2 * XEN43_LARGEST_PAGE - 1));
}

/* The answer goes out; where it does not that is what the call answers. */
int pvi_xen43_answer(struct xen43_call *c, int rc);
/* Sizes of pages, 0: no IOMMU; the flags of the capabilities. */
uint64_t pvi_xen43_caps(struct xen43_call *c, uint32_t *flags);

/* xen43_range.c; the structure has been read */
/* Is there such a context, if only on its end? 0, or an enum pvi_err, negated. */
int pvi_xen43_context_judge(struct xen43_call *c, uint16_t ctx);
int pvi_xen43_map(struct xen43_call *c);
int pvi_xen43_unmap(struct xen43_call *c);
int pvi_xen43_flush(struct xen43_call *c);
int pvi_xen43_lookup(struct xen43_call *c);

#endif
