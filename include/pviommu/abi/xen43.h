/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Xen's PV-IOMMU interface of 2024/2025 (hypercall 43, iommu_op(subop, arg), series v4 to v7), byte for byte.
 *
 * Structures as a 64-bit guest lays them out; a 32-bit guest's public headers align 64-bit fields to 4 bytes, so there everything
 * behind the first four bytes of a structure with such a field lies four bytes earlier (struct pvi_abi_call, compat). Padding
 * is ignored on the way in and zero on the way out; unknown flags and a page size outside of pgsize_mask are refused (EINVAL), a known
 * flag without its capability gives EOPNOTSUPP (but for MAP_CACHE, which front ends set without looking). Frame numbers are 4 KiB frames whatever pgsize is; nr_pages, mapped and unmapped
 * count pages of pgsize, and a page is mapped or unmapped whole or not at all.
 *
 * Where the published header and the published code differ, callers get what the code returned:
 *
 *   case                              header         code, and here
 *   init twice                        -EACCESS       -EACCES, whatever it asks for
 *   map onto something mapped         -EINVAL        -EADDRINUSE
 *   map, unmap in a reserved region   -              -EADDRNOTAVAIL
 *   map of a GFN with no frame        -              -ENOENT (an owner that is another: -EPERM)
 *   map, unmap in context 0 or none   -              -EINVAL (free, reattach: -ENOENT; free of 0: -EINVAL)
 *   map, unmap of 0 pages             -              0
 *   mapped, unmapped                  OUT            added to what the caller put there
 *   reattach to a context on its end  -              -EINVAL
 *   alloc, map, unmap with an error   -              the structure is written back nevertheless, with what it held
 *   contexts before init              -              query: 0; alloc, alloc_nested: -ENOSPC; map: -EINVAL; free, reattach, others: -ENOENT
 *   init with 2^32 - 1 contexts       -              -E2BIG, also for more than the host's limit; n + 1 = 0 modulo 2^16: -EINVAL
 *   init with too large an arena      -              -ENOMEM
 *
 * and where the code was wrong (docs/abi.md lists its defects and the tests that hold them) callers get what the header says.
 *
 * A domain without IOMMU, or one that may not initialise and for which nobody has, sees no contexts in its capabilities, and every
 * known operation but noop and query gives -ENODEV, whatever else is wrong with it.
 *
 * Ours, and not in any published header: lookup_page (14) and capability bit 6, the structure of flush_nested (10), the bits of nested_flags. flush_pages (13) and
 * bit 5 are from a fork's header.
 */
#ifndef PVIOMMU_ABI_XEN43_H
#define PVIOMMU_ABI_XEN43_H

#include <pviommu/abi/guest.h>
#include <pviommu/abi/xen_errno.h>

#define PVI_XEN43_HYPERCALL 43u

/** Sub-operations. Unknown ones: -EOPNOTSUPP. */
enum pvi_xen43_subop {
    PVI_XEN43_NOOP = 0,
    PVI_XEN43_QUERY_CAPABILITIES = 1,
    PVI_XEN43_INIT = 2,
    PVI_XEN43_ALLOC_CONTEXT = 3,
    PVI_XEN43_FREE_CONTEXT = 4,
    PVI_XEN43_REATTACH_DEVICE = 5,
    PVI_XEN43_MAP_PAGES = 6,
    PVI_XEN43_UNMAP_PAGES = 7,
    PVI_XEN43_REMOTE_CMD = 8,
    PVI_XEN43_ALLOC_NESTED = 9,  /**< PVI_XEN43_CAP_NESTED, else -EOPNOTSUPP */
    PVI_XEN43_FLUSH_NESTED = 10, /**< PVI_XEN43_CAP_NESTED; its structure is ours */
    PVI_XEN43_ATTACH_PASID = 11, /**< PVI_XEN43_CAP_PASID, else -EOPNOTSUPP */
    PVI_XEN43_DETACH_PASID = 12, /**< PVI_XEN43_CAP_PASID */
    PVI_XEN43_FLUSH_PAGES = 13,  /**< PVI_XEN43_CAP_DEFERRED_FLUSH */
    PVI_XEN43_LOOKUP_PAGE = 14   /**< PVI_XEN43_CAP_LOOKUP; ours */
};

#define PVI_XEN43_CAP_DEFAULT_IDENTITY 0x1u /**< the default context lets DMA to the domain's memory through */
#define PVI_XEN43_CAP_CACHE 0x2u            /**< no-snoop requests are coherent as well, on all units */
#define PVI_XEN43_CAP_NESTED 0x4u
#define PVI_XEN43_CAP_PASID 0x8u
#define PVI_XEN43_CAP_IDENTITY 0x10u        /**< PVI_XEN43_ALLOC_IDENTITY */
#define PVI_XEN43_CAP_DEFERRED_FLUSH 0x20u
#define PVI_XEN43_CAP_LOOKUP 0x40u          /**< ours */

#define PVI_XEN43_ALLOC_IDENTITY 0x1u
#define PVI_XEN43_FREE_REATTACH_DEFAULT 0x1u
#define PVI_XEN43_MAP_READABLE 0x1u
#define PVI_XEN43_MAP_WRITEABLE 0x2u
#define PVI_XEN43_MAP_CACHE 0x4u    /**< changes nothing: mappings are as coherent as they can be */
#define PVI_XEN43_MAP_NO_FLUSH 0x8u /**< the caller will flush_pages: only what caching mode and write buffers need is postponed */

/** query_capabilities, all OUT. max_ctx_no counts the contexts beside the default one; 0 before init. */
struct pvi_xen43_capabilities {
    uint64_t max_iova_addr; /**< the last byte that can be mapped */
    uint32_t cap_flags;
    uint32_t pgsize_mask; /**< bit n: pages of 2^n bytes, up to 2 MiB (4 KiB to a PV guest, of which others are taken too); larger leaves come about by themselves where frames allow */
    uint32_t max_pasid; /**< largest that can be attached; 0 without PVI_XEN43_CAP_PASID */
    uint16_t max_ctx_no;
    uint16_t pad0;
};

/** init, IN. 1 << arena_order pages of 4 KiB are set aside for tables. Resumable; ENOMEM leaves it to be tried again; EACCES: it is done already. */
struct pvi_xen43_init {
    uint32_t max_ctx_no;
    uint32_t arena_order;
};

struct pvi_xen43_alloc {
    uint16_t ctx_no; /**< OUT */
    uint16_t pad;
    uint32_t alloc_flags;
};

struct pvi_xen43_free {
    uint16_t ctx_no;
    uint16_t pad;
    uint32_t free_flags;
};

/** map_pages. When the call is continued gfn, dfn and nr_pages become what is left, and stay so: only `mapped` tells how much was done in all. */
struct pvi_xen43_map_pages {
    uint16_t ctx_no;
    uint16_t pad[3];
    uint64_t gfn;
    uint64_t dfn;
    uint32_t map_flags;
    uint32_t pgsize;
    uint32_t nr_pages;
    uint32_t mapped; /**< INOUT: added to */
};

struct pvi_xen43_unmap_pages {
    uint16_t ctx_no;
    uint16_t pad[3];
    uint64_t dfn;
    uint32_t pgsize;
    uint32_t nr_pages;
    uint32_t unmapped; /**< INOUT: added to */
    uint32_t pad1;
};

struct pvi_xen43_pci_device {
    uint16_t seg;
    uint8_t bus;
    uint8_t devfn;
};

struct pvi_xen43_reattach_device {
    uint16_t ctx_no;
    struct pvi_xen43_pci_device dev;
    uint16_t pad;
    uint32_t pasid; /**< 0; with PVI_XEN43_CAP_PASID also one that is attached: it moves, and the requests without stay (-ENOENT: it is not) */
};

/*
 * Of nested_flags, which the published headers leave to the platform; ours. Others: -EINVAL. What the units lack: -EOPNOTSUPP.
 * Intel: pgtable_gfn holds the root of a first-stage table, whose entries name frames of the parent. AMD: a GCR3 table of that depth, with v2 tables by
 * PASID, requests without PASID being 0.
 */
#define PVI_XEN43_NESTED_5LEVEL 0x1u        /**< tables of 5 levels, else 4 */
#define PVI_XEN43_NESTED_DEPTH_SHIFT 1u     /**< levels of the GCR3 table, 1 to 3; Intel: 0 */
#define PVI_XEN43_NESTED_DEPTH 0x6u
#define PVI_XEN43_NESTED_SUPERVISOR 0x8u    /**< Intel: requests with privilege are served */
#define PVI_XEN43_NESTED_WRITE_PROTECT 0x10u /**< Intel: and obey read-only entries */
#define PVI_XEN43_NESTED_PARENT_SHIFT 16u   /**< the context that maps all of it; 0: the default one */
#define PVI_XEN43_NESTED_PARENT 0xffff0000u

/**
 * alloc_nested: a context whose tables the guest writes itself. -ENOENT: no such parent; -EINVAL: it is nested itself; -EBUSY: it is being built; -ERANGE: pgtable_gfn is
 * beyond its reach; -ENOSPC: max_ctx_no counts these, too. What the units have of levels, depth and rights is not told: -EOPNOTSUPP. map_pages and all the others that need a range give -EINVAL; a parent cannot be freed before it (-EBUSY).
 */
struct pvi_xen43_alloc_nested {
    uint16_t ctx_no; /**< OUT */
    uint16_t pad[3];
    uint64_t pgtable_gfn;
    uint64_t nested_flags;
};

#define PVI_XEN43_FLUSH_ALL_PASIDS 0x1u /**< of all PASIDs; then pasid, dfn and nr_pages are 0 */

/**
 * flush_nested (ours: the published structure is empty; the same for 32-bit guests): the guest has changed its own tables of ctx_no. -EINVAL also for a
 * context that is not nested; -ENOENT: no such context; -ERANGE: a PASID of more than 20 bits. Whatever a guest forgets to flush, its devices reach nothing that the parent does not map.
 */
struct pvi_xen43_flush_nested {
    uint16_t ctx_no;
    uint16_t reserved; /**< 0 */
    uint32_t pasid;    /**< that devices met it under; 0: requests without */
    uint64_t dfn;      /**< first page, of 4 KiB */
    uint32_t nr_pages; /**< 0, with dfn 0: all of this PASID, on AMD with its entry in the GCR3 table */
    uint32_t flags;    /**< PVI_XEN43_FLUSH_ALL_PASIDS */
};

/**
 * attach_pasid: requests of the device with this PASID, 1 or more, translate through ctx_no (0: the default context). -EINVAL: PASID 0; -ENODEV, -ENOENT: no such device,
 * context; -EEXIST: attached already; -ERANGE: beyond max_pasid; -ENOSPC: no domain id, or as many as the host lets it have; -EOPNOTSUPP: the device shares a requester id.
 */
struct pvi_xen43_attach_pasid {
    uint16_t ctx_no;
    struct pvi_xen43_pci_device dev;
    uint16_t pad;
    uint32_t pasid;
};

/** detach_pasid: blocks them again. -ENOENT: not attached; -EINVAL: PASID 0; -ENODEV. */
struct pvi_xen43_detach_pasid {
    struct pvi_xen43_pci_device dev;
    uint32_t pasid;
};

/** remote_cmd: subop with its structure at arg, which is the caller's, for domain domid. Not for remote_cmd itself (-EINVAL). */
struct pvi_xen43_remote_cmd {
    uint16_t domid;
    uint16_t subop;
    uint32_t pad;
    uint64_t arg;
};

/** flush_pages: what PVI_XEN43_MAP_NO_FLUSH has postponed in the range; any other flush is never postponed. */
struct pvi_xen43_flush_pages {
    uint16_t ctx_no;
    uint16_t pad[3];
    uint64_t dfn;
    uint32_t pgsize;
    uint32_t nr_pages;
};

/** lookup_page (ours; the same for 32-bit guests). */
struct pvi_xen43_lookup_page {
    uint16_t ctx_no;
    uint16_t reserved; /**< 0 */
    uint32_t prot;     /**< OUT: PVI_XEN43_MAP_READABLE, _WRITEABLE */
    uint64_t dfn;
    uint64_t gfn;      /**< OUT */
};

/**
 * One hypercall.
 * @param[in,out] word the first argument. Its low 8 bits are the sub-operation; the others are 0 but in a continuation, where they
 *        tell how far the call has come. They carry no authority: whatever a guest puts there is judged as a new call would be.
 * @param arg the second argument, the address of the structure.
 * @return 0 or a negated enum pvi_xen_errno for the guest; -PVI_XEN_ERESTART: continue with *word and arg. All that was changed
 *         has been flushed either way. -EFAULT where only the answer could not be written: what it would have told is done.
 */
PVI_MUST_CHECK int pvi_xen43_call(struct pvi_abi_call *call, uint32_t *word, uint64_t arg);

#endif
