/* SPDX-License-Identifier: MIT */
/*
 * What Xen's own mapping functions cost, for comparison with hypercall 43 in the same boot: debug key B. The time stamp counter
 * counts instructions where the machine is QEMU's with -icount (scripts/xen-test --cost, docs/xen.md).
 */
#include "shim.h"

#include <xen/init.h>

#define ORDER 9
/* Where nothing of the hardware domain's is, and off a boundary: 4K leaves only. */
#define DFN ((1UL << 26) + 1)

static long bench_map(struct domain *d, mfn_t mfn, unsigned long nr)
{
    unsigned int flush = 0;
    long rc = iommu_map(d, _dfn(DFN), mfn, nr, IOMMUF_readable | IOMMUF_writable,
                       &flush);

    return rc ?: iommu_iotlb_flush(d, _dfn(DFN), nr, flush);
}

static long bench_unmap(struct domain *d, unsigned long nr)
{
    unsigned int flush = 0;
    long rc = iommu_unmap(d, _dfn(DFN), nr, 0, &flush);

    return rc ?: iommu_iotlb_flush(d, _dfn(DFN), nr, flush);
}

static void cf_check bench(unsigned char key)
{
    static const unsigned int sizes[] = { 1, 16, 512 };
    struct page_info *pg = alloc_domheap_pages(NULL, ORDER, 0);
    unsigned int i;

    if ( !pg )
        return;

    /* The first turn makes the tables. */
    for ( i = 0; i <= ARRAY_SIZE(sizes); i++ )
    {
        unsigned int nr = sizes[i ? i - 1 : ARRAY_SIZE(sizes) - 1];
        uint64_t start = rdtsc_ordered(), middle, end;
        long rc = bench_map(hardware_domain, page_to_mfn(pg), nr);

        middle = rdtsc_ordered();
        rc = rc ?: bench_unmap(hardware_domain, nr);
        end = rdtsc_ordered();
        if ( rc )
        {
            /* Something may still be mapped: the pages are not used again. */
            printk("pviommu: cost: %ld\n", rc);
            return;
        }
        if ( i )
            printk("pviommu: cost: xen %u %lu %lu\n", nr, middle - start,
                   end - middle);
    }
    free_domheap_pages(pg, ORDER);
}

static int __init cf_check bench_init(void)
{
    register_keyhandler('B', bench, "cost of mapping IOMMU pages", 1);

    return 0;
}
__initcall(bench_init);
