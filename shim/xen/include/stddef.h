/* SPDX-License-Identifier: MIT */
/* Xen has no C library: where the library's headers ask for this one. */
#ifndef PVIOMMU_XEN_STDDEF_H
#define PVIOMMU_XEN_STDDEF_H

#include <xen/types.h>

#endif /* PVIOMMU_XEN_STDDEF_H */
