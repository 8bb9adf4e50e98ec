/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_HYPERCALL_H
#define STANDIN_XEN_HYPERCALL_H

#include <xen/guest_access.h>

#define __HYPERVISOR_iommu_op 43
#define __HYPERVISOR_iommu_bus_op 56

unsigned long hypercall_create_continuation(unsigned int number, const char *format, ...);
long do_iommu_op(unsigned int subop, XEN_GUEST_HANDLE_PARAM(void) arg);
long do_iommu_bus_op(XEN_GUEST_HANDLE_PARAM(void) arg, unsigned int count);

#endif
