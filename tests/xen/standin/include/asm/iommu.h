/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_ASM_IOMMU_H
#define STANDIN_ASM_IOMMU_H

#include <xen/types.h>

domid_t iommu_alloc_domid(unsigned long *map);

#endif
