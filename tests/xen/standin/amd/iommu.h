/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_AMD_IOMMU_H
#define STANDIN_AMD_IOMMU_H

#include <xen/pci.h>
#include <xen/spinlock.h>

struct amd_iommu {
    struct amd_iommu *next;
    spinlock_t lock;
    struct {
        void *buffer;
    } dev_table;
    struct {
        uint32_t header;
    } cap;
    union {
        uint64_t raw;
    } features;
    unsigned long *domid_map;
};
extern struct amd_iommu *amd_iommu_head;
#define for_each_amd_iommu(iommu) for ((iommu) = amd_iommu_head; (iommu); (iommu) = (iommu)->next)

extern uint8_t amd_iommu_min_paging_mode, amd_iommu_max_paging_mode;

struct amd_iommu *find_iommu_for_device(pci_sbdf_t sbdf);
int get_dma_requestor_id(uint16_t seg, uint16_t bdf);

#endif
