/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_IOMMU_H
#define STANDIN_XEN_IOMMU_H

#include <xen/pci.h>
#include <xen/types.h>

struct domain;

struct iommu_ops {
    int (*get_device_group_id)(uint16_t seg, uint8_t bus, uint8_t devfn);
};

/*
 * Xen's names the table itself: the call is made a direct one at boot, and the functions lose what an indirect one must land on. Of
 * its arguments 4.17 makes variables of the same type that it writes to.
 */
#define iommu_call(ops, fn, a, b, c)                                                                     \
    ({                                                                                                   \
        __typeof__(a) a_ = (a);                                                                          \
        __typeof__(b) b_ = (b);                                                                          \
        __typeof__(c) c_ = (c);                                                                          \
        __asm__("" : "+r"(a_), "+r"(b_), "+r"(c_));                                                      \
        (ops)->fn(a_, b_, c_);                                                                           \
    })

#define IOMMUF_readable (1U << 0)
#define IOMMUF_writable (1U << 1)

extern bool iommu_enabled, iommu_hwdom_strict;

const struct iommu_ops *iommu_get_ops(void);
void iommu_sync_cache(const void *p, unsigned int size);
int iommu_get_reserved_device_memory(int (*each)(xen_pfn_t start, xen_ulong_t nr, uint32_t id, void *ctxt), void *ctxt);
long __must_check iommu_map(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned long nr, unsigned int flags, unsigned int *flush);
long __must_check iommu_unmap(struct domain *d, dfn_t dfn, unsigned long nr, unsigned int flags, unsigned int *flush);
int __must_check iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr, unsigned int flush);
bool arch_iommu_use_permitted(const struct domain *d);

#endif
