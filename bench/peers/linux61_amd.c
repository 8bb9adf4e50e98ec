/* SPDX-License-Identifier: MIT */
/*
 * Linux 6.1's AMD tables (drivers/iommu/amd) through its IOMMU core: the host format with every power of two as leaf, and
 * the guest format.
 */
#include "linux61.h"

#include "amd_iommu_types.h" /* these three are cut from the kernel's source */
#include "amd_iommu.h"
#include "amd_ops.h"

/* The hardware does nothing. */
bool amd_iommu_np_cache;
enum io_pgtable_fmt amd_iommu_pgtable; /* one domain lives at a time: set when it is made */

void amd_iommu_update_and_flush_device_table(struct protection_domain *d)
{
}
void amd_iommu_domain_update(struct protection_domain *d)
{
}
void amd_iommu_domain_flush_complete(struct protection_domain *d)
{
}
void amd_iommu_domain_flush_tlb_pde(struct protection_domain *d)
{
}
int amd_iommu_flush_tlb(struct iommu_domain *d, u32 pasid)
{
    return 0;
}
int amd_iommu_flush_page(struct iommu_domain *d, u32 pasid, u64 addr)
{
    return 0;
}
int amd_iommu_domain_set_gcr3(struct iommu_domain *d, u32 pasid, unsigned long cr3)
{
    return 0;
}

static void amd_sync(struct iommu_domain *d, struct iommu_iotlb_gather *gather)
{
}

static const struct iommu_domain_ops amd_ops = {
    .map_pages = amd_iommu_map_pages,
    .unmap_pages = amd_iommu_unmap_pages,
    .iotlb_sync = amd_sync,
    .iova_to_phys = amd_iommu_iova_to_phys,
};

static void *amd_new(enum io_pgtable_fmt fmt)
{
    struct protection_domain *d = memory_object(sizeof(*d));
    const struct io_pgtable_init_fns *fns =
        fmt == AMD_IOMMU_V1 ? &io_pgtable_amd_iommu_v1_init_fns : &io_pgtable_amd_iommu_v2_init_fns;

    amd_iommu_pgtable = fmt;
    d->domain.ops = &amd_ops;
    d->domain.type = IOMMU_DOMAIN_UNMANAGED;
    if (fmt == AMD_IOMMU_V1) {
        amd_iommu_domain_set_pgtable(d, (u64 *)get_zeroed_page(GFP_KERNEL), PAGE_MODE_4_LEVEL);
    } else {
        d->flags = PD_IOMMUV2_MASK;
    }
    if (!fns->alloc(&d->iop.pgtbl_cfg, d)) {
        return NULL;
    }
    d->iop.iop.fmt = fmt;
    d->iop.iop.cfg = d->iop.pgtbl_cfg;
    d->domain.pgsize_bitmap = d->iop.pgtbl_cfg.pgsize_bitmap;
    return d;
}

static void *amd_create_v1(const struct need *need)
{
    (void)need;
    return amd_new(AMD_IOMMU_V1);
}

static void *amd_create_v2(const struct need *need)
{
    (void)need;
    return amd_new(AMD_IOMMU_V2);
}

static void amd_destroy(void *table)
{
    memory_object_free(table);
}

LINUX61_OPS(amd, protection_domain)

LINUX61_CONTENDER(amdvi_v1, "amdvi-v1", amd, amd_create_v1);
LINUX61_CONTENDER(amdvi_v2, "amdvi-v2", amd, amd_create_v2);
