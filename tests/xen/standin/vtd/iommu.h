/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_VTD_IOMMU_H
#define STANDIN_VTD_IOMMU_H

#include <xen/spinlock.h>

struct root_entry {
    uint64_t val, rsvd1;
};
#define root_present(root) ((root).val & 1)
#define get_context_addr(root) ((root).val & PAGE_MASK)

#define cap_caching_mode(cap) ((cap) >> 7 & 1)
#define cap_ndoms(cap) (1U << (4 + 2 * ((cap) & 7)))
#define DMA_CCMD_DEVICE_INVL (3UL << 61)
#define DMA_TLB_DSI_FLUSH (2UL << 60)
#define DMA_TLB_PSI_FLUSH (3UL << 60)

struct vtd_iommu {
    spinlock_t lock;
    uint64_t cap, ecap;
    paddr_t root_maddr;
    unsigned int nr_pt_levels;
    unsigned long *pseudo_domid_map;
    struct {
        int (*context)(struct vtd_iommu *iommu, uint16_t did, uint16_t rid, uint8_t mask, uint64_t type, bool absent);
        int (*iotlb)(struct vtd_iommu *iommu, uint16_t did, uint64_t addr, unsigned int order, uint64_t type, bool absent);
    } flush;
};

#endif
