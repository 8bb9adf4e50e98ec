/* SPDX-License-Identifier: MIT */
/* What has changed between Xen 4.17 and 4.23 of the functions that the shim calls. */
#ifndef PVIOMMU_XEN_COMPAT_H
#define PVIOMMU_XEN_COMPAT_H

#include <xen/compile.h>

#define XEN_BEFORE(minor) (XEN_VERSION == 4 && XEN_SUBVERSION < (minor))

/* Until 4.21 also: whether device TLBs are to be flushed. In contexts they are off. */
#if XEN_BEFORE(22)
#define shim_flush_iotlb(iommu, did, addr, order, type) \
    (iommu)->flush.iotlb(iommu, did, addr, order, type, false, false)
#else
#define shim_flush_iotlb(iommu, did, addr, order, type) \
    (iommu)->flush.iotlb(iommu, did, addr, order, type, false)
#endif

#if XEN_BEFORE(21)
#define shim_amd_iommu_of(pdev) find_iommu_for_device((pdev)->seg, (pdev)->sbdf.bdf)
#else
#define shim_amd_iommu_of(pdev) find_iommu_for_device((pdev)->sbdf)
#endif

#endif /* PVIOMMU_XEN_COMPAT_H */
