/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Xen's PV-IOMMU interface of 2015: an array of operations on bus frames. Two dialects speak one wire format.
 *
 * PVI_XEN_BUS_SHIPPED answers as hypercall 56 of the XenServer line does; PVI_XEN_BUS_DRAFT_B as "Xen PV IOMMU interface, Draft B" of
 * 12 June 2015 is written. What the draft leaves open is decided in docs/abi.md. Numbers are frames of 4 KiB.
 */
#ifndef PVIOMMU_ABI_XEN_BUS_H
#define PVIOMMU_ABI_XEN_BUS_H

#include <pviommu/abi/guest.h>
#include <pviommu/abi/xen_errno.h>

enum pvi_xen_bus_dialect {
    PVI_XEN_BUS_SHIPPED = 0,
    PVI_XEN_BUS_DRAFT_B
};

/** subop_id. */
enum pvi_xen_bus_subop {
    PVI_XEN_BUS_QUERY_CAPS = 1,
    PVI_XEN_BUS_MAP_PAGE,
    PVI_XEN_BUS_UNMAP_PAGE,
    PVI_XEN_BUS_MAP_FOREIGN_PAGE, /**< Draft B alone: "4 was IOMMUOP_map_foreign_page" in what ships */
    PVI_XEN_BUS_LOOKUP_FOREIGN_PAGE,
    PVI_XEN_BUS_UNMAP_FOREIGN_PAGE
};

/* flags */
#define PVI_XEN_BUS_MAP_CAP 0x1u    /**< query_caps: "map_page or map_foreign can be used for this domain" */
#define PVI_XEN_BUS_MAP_ALL 0x2u    /**< query_caps: "map_page subop can map any MFN not used by Xen" */
#define PVI_XEN_BUS_READABLE 0x1u
#define PVI_XEN_BUS_WRITEABLE 0x2u
#define PVI_XEN_BUS_NO_REF_CNT 0x4u /**< map_page */
#define PVI_XEN_BUS_SWAP_MFN 0x4u   /**< map_foreign_page: "can be safely swapped to scratch page" */
#define PVI_XEN_BUS_ORDER_SHIFT 10u /**< bits 10-15: page order */
#define PVI_XEN_BUS_RESERVED 0x3f8u /**< bits 3-9 */
/** Draft B: "maximum possible page order". What ships knows order 0 only. */
#define PVI_XEN_BUS_MAX_ORDER 9u

/** struct pv_iommu_op: 32 bytes; for 32-bit callers, whose 64-bit numbers are aligned to 4, the first 28 of them. */
struct pvi_xen_bus_op {
    uint16_t subop_id;
    uint16_t flags;
    int32_t status; /**< out: 0 or a negated enum pvi_xen_errno */
    union {
        struct {
            uint64_t offset; /**< out, what ships only: lookup_foreign_page answers MFN + offset */
        } query_caps;
        struct {
            uint64_t bfn, gfn;
        } map_page;
        struct {
            uint64_t bfn;
        } unmap_page;
        struct {
            uint64_t bfn; /**< in (map), out */
            uint64_t gfn;
            uint16_t domid;
            uint16_t ioserver;
        } foreign_page; /**< map_foreign_page, lookup_foreign_page */
        struct {
            uint64_t bfn;
            uint16_t ioserver;
        } unmap_foreign_page;
    } u;
};

#define PVI_XEN_BUS_SIZE 32u
#define PVI_XEN_BUS_SIZE_COMPAT 28u

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(struct pvi_xen_bus_op) == PVI_XEN_BUS_SIZE, "an element is 32 bytes");
_Static_assert(offsetof(struct pvi_xen_bus_op, status) == 4 && offsetof(struct pvi_xen_bus_op, u) == 8, "head of an element");
_Static_assert(offsetof(struct pvi_xen_bus_op, u.map_page.gfn) == 16, "map_page");
_Static_assert(offsetof(struct pvi_xen_bus_op, u.foreign_page.domid) == 24 &&
                   offsetof(struct pvi_xen_bus_op, u.foreign_page.ioserver) == 26, "map_foreign_page, lookup_foreign_page");
_Static_assert(offsetof(struct pvi_xen_bus_op, u.unmap_foreign_page.ioserver) == 16, "unmap_foreign_page");
#endif

/**
 * do_iommu_op(arg, count). "The hypercall will ensure that the required IOMMU TLB flushes are applied before returning to guest via either
 * hypercall completion or a hypercall continuation": one flush serves up to PVI_ABI_OPS elements. Each element is read once, at its turn,
 * and written once, after the flush; its status is what is true then.
 * @param call call->caller has cfg.revmap if it may use the interface (what ships: the hardware domain alone).
 * @param[in,out] arg address of the array in the caller's memory. @param[in,out] count elements; both are advanced past what is done.
 * @return 0; -PVI_XEN_ERESTART: let the guest run, or not, and call again with arg and count as they are now; -PVI_XEN_ENOSYS: the
 *         domain has no such interface; -PVI_XEN_EINVAL: count is negative as an int; -PVI_XEN_EFAULT: an element cannot be read or
 *         written, those before it have run.
 */
PVI_MUST_CHECK int pvi_xen_bus_call(struct pvi_abi_call *call, enum pvi_xen_bus_dialect dialect, uint64_t *arg, uint32_t *count);

#endif
