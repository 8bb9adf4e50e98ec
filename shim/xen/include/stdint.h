/* SPDX-License-Identifier: MIT */
/* Xen has no C library: where the library's headers ask for this one. */
#ifndef PVIOMMU_XEN_STDINT_H
#define PVIOMMU_XEN_STDINT_H

#include <xen/types.h>

/* Xen has these from 4.21 on. */
#ifndef UINT64_MAX
#define UINT64_MAX (~(uint64_t)0)
#endif

#endif /* PVIOMMU_XEN_STDINT_H */
