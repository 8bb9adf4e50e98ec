/* SPDX-License-Identifier: MIT */
/*
 * Linux 6.1's VT-d tables (drivers/iommu/intel) through its IOMMU core: 4 levels, walks snoop, leaves of up to 1 GiB; second
 * stage and first stage.
 */
#include "linux61.h"

/* No unit is attached to the domain: every loop over units is empty. */
struct xarray {
    int none;
};
struct intel_iommu;
struct dmar_domain;
struct iommu_domain_info {
    struct intel_iommu *iommu;
};
#define xa_for_each(array, index, entry) for ((index) = 0, (entry) = NULL; (entry) != NULL;)

static inline void iommu_flush_iotlb_psi(struct intel_iommu *iommu, struct dmar_domain *domain, unsigned long pfn,
                                         unsigned long pages, int ih, int map)
{
}

#include "vtd.h" /* cut from the kernel's source */

static const struct iommu_domain_ops vtd_ops = {
    .map_pages = intel_iommu_map_pages,
    .unmap_pages = intel_iommu_unmap_pages,
    .iotlb_sync = intel_iommu_tlb_sync,
    .iova_to_phys = intel_iommu_iova_to_phys,
};

static void *vtd_new(int flags)
{
    struct dmar_domain *d = memory_object(sizeof(*d));

    d->domain.ops = &vtd_ops;
    d->domain.type = IOMMU_DOMAIN_UNMANAGED;
    d->domain.pgsize_bitmap = SZ_4K | SZ_2M | SZ_1G;
    d->gaw = 48;
    d->agaw = width_to_agaw(48);
    d->iommu_coherency = 1;
    d->iommu_superpage = 2; /* 1 GiB */
    d->nid = NUMA_NO_NODE;
    d->flags = flags;
    d->pgd = alloc_pgtable_page(d->nid);
    return d;
}

static void *vtd_create_ss(const struct need *need)
{
    (void)need;
    return vtd_new(0);
}

static void *vtd_create_fs(const struct need *need)
{
    (void)need;
    return vtd_new(DOMAIN_FLAG_USE_FIRST_LEVEL);
}

static void vtd_destroy(void *table)
{
    memory_object_free(table);
}

LINUX61_OPS(vtd, dmar_domain)

LINUX61_CONTENDER(vtd_ss, "vtd-ss", vtd, vtd_create_ss);
LINUX61_CONTENDER(vtd_fs, "vtd-fs", vtd, vtd_create_fs);
