/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Xen's PV-IOMMU interface of 2024 (hypercall 43, iommu_op(op), series v1 to v3): one structure of 32 bytes, the same for 32-bit guests.
 *
 * A host offers this form or that of pviommu/abi/xen43.h, not both: the number is one. There is no init: contexts exist once the host has
 * initialised the domain (PVI_OP_INIT), else an alloc finds none free (-ENOSPC). Unknown flags are refused (-EINVAL); bytes of the union
 * that a sub-operation does not name stay as they are. The structure is written back whatever a known sub-operation answers.
 *
 * Errors: -EPERM for everything where there is no IOMMU, or the domain may not initialise and nobody has for it; -EFAULT; -EINVAL: unknown
 * sub-operation or flags, context 0 or none (ranges, lookup), free of 0; -E2BIG: more than 256 pages; -ENOENT: free of or reattach to no
 * context, a hole, no frame; -ENODEV; -EADDRINUSE: mapped already, or in the way of a device's region; -EADDRNOTAVAIL: reserved region;
 * -ERANGE; -EPERM: a frame that may not be mapped so; -ENOSPC; -ENOMEM; -EBUSY; -EIO; -ESRCH: the domain is being torn down.
 */
#ifndef PVIOMMU_ABI_XEN43_V3_H
#define PVIOMMU_ABI_XEN43_V3_H

#include <pviommu/abi/guest.h>
#include <pviommu/abi/xen_errno.h>

enum pvi_xen43_v3_subop {
    PVI_XEN43_V3_NOOP = 0,
    PVI_XEN43_V3_QUERY_CAPABILITIES = 1,
    PVI_XEN43_V3_ALLOC_CONTEXT = 2, /**< ctx_no comes back */
    PVI_XEN43_V3_FREE_CONTEXT = 3,  /**< its devices go to the default context */
    PVI_XEN43_V3_REATTACH_DEVICE = 4,
    PVI_XEN43_V3_MAP_PAGES = 5,
    PVI_XEN43_V3_UNMAP_PAGES = 6,
    PVI_XEN43_V3_LOOKUP_PAGE = 7
};

#define PVI_XEN43_V3_CREATE_CLONE 0x1u /**< ALLOC_CONTEXT: begins with the domain's memory 1:1 */
#define PVI_XEN43_V3_OP_READABLE 0x1u  /**< MAP_PAGES */
#define PVI_XEN43_V3_OP_WRITEABLE 0x2u
#define PVI_XEN43_V3_MAX_PAGES 256u    /**< of one call; none is preempted in its middle */

/** The one structure. Frames and pages are of 4 KiB. */
struct pvi_xen43_v3_op {
    uint16_t subop_id;
    uint16_t ctx_no;
    uint32_t flags;
    union {
        struct {
            uint64_t gfn;
            uint64_t dfn;
            uint32_t nr_pages;
            uint32_t mapped; /**< OUT */
        } map_pages;
        struct {
            uint64_t dfn;
            uint32_t nr_pages;
            uint32_t unmapped; /**< OUT */
        } unmap_pages;
        struct {
            uint16_t seg;
            uint8_t bus;
            uint8_t devfn;
        } reattach_device;
        struct {
            uint64_t gfn; /**< OUT */
            uint64_t dfn;
        } lookup_page;
        struct {
            uint16_t max_ctx_no; /**< beside the default one; 0: none can be made */
            uint16_t pad;
            uint32_t max_nr_pages;
            uint64_t max_iova_addr;
        } cap; /**< OUT */
    } u;
};

/**
 * One hypercall.
 * @param arg address of the structure.
 * @return 0 or a negated enum pvi_xen_errno for the guest; -PVI_XEN_ERESTART: continue with the same arg. A clone that is preempted leaves
 *         its number in ctx_no and a mark in the upper bits of flags, which are restored at the end: both are judged as a new call's
 *         would be. All that was changed has been flushed either way. -EFAULT where only the answer could not be written: what it would have
 *         told is done; a context whose number nobody knows goes as far as this call comes: whoever frees that number ends what stays of it.
 */
PVI_MUST_CHECK int pvi_xen43_v3_call(struct pvi_abi_call *call, uint64_t arg);

#endif
