/* SPDX-License-Identifier: MIT */
/* Hypercall 43 as a guest of the published series knows it (64-bit): structures, and a function for each sub-operation. */
#ifndef DOM0_IOMMU43_H
#define DOM0_IOMMU43_H

#include "dom0.h"

#define IOMMU_READ 1u
#define IOMMU_WRITE 2u

struct iommu_caps {
    uint64_t max_iova_addr;
    uint32_t cap_flags, pgsize_mask, max_pasid;
    uint16_t max_ctx_no, pad0;
};

long iommu_noop(void);
long iommu_query(struct iommu_caps *caps);
long iommu_init(uint32_t max_ctx_no, uint32_t arena_order);
long iommu_alloc(uint32_t flags, uint16_t *ctx);
long iommu_free(uint16_t ctx, uint32_t flags);
long iommu_reattach(uint16_t ctx, uint32_t sbdf);
/* *done: pages mapped. */
long iommu_map(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t *done);
long iommu_unmap(uint16_t ctx, uint64_t dfn, uint32_t nr, uint32_t *done);
long iommu_lookup(uint16_t ctx, uint64_t dfn, uint64_t *gfn);
/* Any sub-operation with any structure. */
long iommu_raw(unsigned subop, void *arg);

#endif
