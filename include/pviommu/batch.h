/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The core's batch: operations of a guest in the form that the core executes. (pviommu/abi/native.h is one that guests can speak.)
 *
 * The array is the hypervisor's copy: nothing in it changes while the library works on it but through the
 * library. Operations run in order; each gets its status and its exact progress, reported only after
 * the flush that covers it. One flush serves the whole batch.
 */
#ifndef PVIOMMU_BATCH_H
#define PVIOMMU_BATCH_H

#include <pviommu/domain.h>
#include <pviommu/gather.h>

/**
 * Operations. Common to all: EINVAL (unknown code, pad not 0, a `done` that no operation of ours can stand at), EFLAGS (flags that
 * the operation does not know), ENODOM and EPERM (domid), EDYING, ECANCELED (PVI_BATCH_STOP); to all but NOOP, QUERY_CAPS and
 * INIT: ENOIOMMU, ENOTINIT. Unless said otherwise an error has changed nothing. EHW: the unit failed, the contexts concerned are
 * broken and refuse everything but being freed, what could not be flushed is never reused.
 */
enum pvi_opcode {
    /** Nothing. */
    PVI_OP_NOOP = 0,
    /** Fills u.caps. A domain without IOMMU gets all zero: no context can be made. Never fails. Pages
     * that the same batch has freed count as free only after its flush. */
    PVI_OP_QUERY_CAPS,
    /**
     * Sets contexts and pool pages aside, once. ELENGTH: a count of 0; ELIMIT: more than the host grants; EPERM: only another domain
     * may do it for this one; EINITED; EBUSY: another init, with other limits, is half way; ENOMEM: all is given back, try again;
     * ENOIOMMU. Resumable.
     */
    PVI_OP_INIT,
    /**
     * Makes a context; its number comes back in ctx, which is 0 on the way in. With PVI_ALLOC_IDENTITY it begins with all that the
     * domain may have 1:1 (as the host enumerates it, less MSI and HyperTransport windows), each frame pinned like any mapping; if that
     * cannot be built whole nothing of it stays. ENOSPC: no free number; ENOMEM, EQUOTA; ENOCTX: a resumed operation whose context
     * was freed meanwhile; EHW by units that cache absence (CM, NpCache). Resumable; `done` is opaque: 1 .. PVI_ALLOC_TOKENS once a
     * context is there, 0 before, nothing to go by after an error. Where only the batch's flush fails afterwards, EHW takes the place of a
     * status that was 0: the context is there, and ctx and done name it.
     */
    PVI_OP_ALLOC_CONTEXT,
    /**
     * Ends a context and everything mapped in it, also one that was left half built. EDEFAULT: context 0; ENOCTX; EBUSY: devices are
     * attached and PVI_FREE_REATTACH is not given. With PVI_FREE_REATTACH its devices move to the default context first, and what a move
     * can answer comes back (those that have moved stay moved). Resumable. u.free.token is 0, or says which context
     * of that number is meant: for another, ENOCTX.
     */
    PVI_OP_FREE_CONTEXT,
    /**
     * Moves a device of this domain, with all its requester ids and its group, to context ctx (0: the default one). ENODEV: no such
     * device here; ENOCTX; EBUSY: the context is being built; EEXIST: something is mapped inside a reserved region of the device, or
     * another region overlaps it; ENOSPC: no domain id left on the unit, or too many regions; ENOMEM, EQUOTA: no page for a region;
     * EOPNOTSUPP: the unit cannot walk the context's table; ENOENT: back to a default context whose table is the host's own, and that
     * does not map a region of the device any more.
     */
    PVI_OP_REATTACH_DEVICE,
    /**
     * Maps guest frames gfn .. at dfn .. with the rights in flags. EDEFAULT, ENOCTX; ELENGTH: nr is 0; EWRAP; EALIGN: dfn, gfn or nr is
     * not a multiple of the window's smallest page, or the host's frames are not; ERANGE: not wholly in one window of the context (fault:
     * the first frame outside; a context has one over all until WINDOW_REMOVE), or frames beyond what entries can name; ERESERVED: a hole or a device's reserved region lies inside (fault says where, nothing is mapped).
     * With `done` frames mapped: EEXIST at fault (frames are pinned first: ENOFRAME and EPERM win over it); ENOFRAME, EPERM: the host has no such frame or forbids it; ENOMEM, EQUOTA;
     * EOPNOTSUPP: the format or an erratum has no such rights. Resumable.
     */
    PVI_OP_MAP,
    /**
     * Unmaps nr frames at dfn; a leaf that is cut is split in place. Errors of the range as for MAP. With `done` frames unmapped:
     * ENOENT: nothing is mapped at fault; ENOMEM, EQUOTA: no page to split a leaf with. Resumable.
     */
    PVI_OP_UNMAP,
    /** The guest frame, rights and leaf size behind dfn. ENOENT; ENOFRAME: the host no longer knows the frame; range errors as for MAP. */
    PVI_OP_LOOKUP,
    /** A barrier: flushes all that the batch has changed so far, and dfn, nr (nr 0, dfn 0: the whole context). Range errors as for MAP. */
    PVI_OP_FLUSH,
    /**
     * Gives nr frames at dfn the rights in flags, in place; a leaf that is cut is split. Frames are pinned anew for the new rights, before
     * the change; what the old ones owed is released after the flush. Errors of the range as for MAP. With `done` frames changed: ENOENT: nothing is mapped
     * at fault; ENOFRAME, EPERM: the host no longer has the frame for this guest, or forbids it; ENOMEM, EQUOTA; EOPNOTSUPP: the format
     * or an erratum has no such rights (nothing changed). Resumable.
     */
    PVI_OP_RIGHTS,
    /**
     * Opens a window of nr frames at dfn for leaves of 2^shift bytes and, with bits of sizes, larger ones; its number comes back in
     * index. shift 0: the smallest page of the table; sizes 0: all that the table has from shift on and can cut into each other. EDEFAULT,
     * ENOCTX; EINVAL: sizes whose smallest is not shift; EOPNOTSUPP: sizes that the table lacks or cannot cut into each other, a
     * smallest one of more than PVI_GATHER_FRAMES frames; ELENGTH, EWRAP; EALIGN: dfn or nr; ERANGE: beyond caps.max_iova; EEXIST: it meets another
     * window, the one over all that a context begins with among them, or one that is going; ENOSPC: PVI_MAX_WINDOWS are in use.
     */
    PVI_OP_WINDOW_CREATE,
    /**
     * Closes window index at once and unmaps all that is in it but reserved regions of devices; then its number is free. EDEFAULT,
     * ENOCTX; ENOENT: no such window, or another call has finished it meanwhile. ENOMEM, EQUOTA: no page to cut a leaf at a region
     * with: the window is going, unmapped below fault; another REMOVE goes on. Resumable; `done` is opaque.
     */
    PVI_OP_WINDOW_REMOVE,
    /**
     * What window index is: dfn, nr, sizes, shift, depth, state; left: how many more there can be. A number that is not in use has state
     * PVI_WINDOW_NONE, and the others, but index and left, 0. EDEFAULT, ENOCTX; ENOENT: index is beyond PVI_MAX_WINDOWS.
     */
    PVI_OP_WINDOW_QUERY,
    /**
     * Removes all windows, with what is mapped in them, and opens the one over all that the table reaches, with all of its sizes, as
     * number 0. All are closed at once. Errors as for REMOVE, but ENOENT. Resumable.
     */
    PVI_OP_WINDOW_RESET,
    /** Fills u.usage; also of the default context. ENOCTX. */
    PVI_OP_QUERY_USAGE,
    /**
     * Takes the oldest fault that the context, also the default one, has kept of its devices: u.fault. ENOCTX; ENOENT: there is none;
     * lost is told all the same. Once the status is 0 the fault is not told again.
     */
    PVI_OP_READ_FAULT,
    /**
     * A context of which a guest writes the tables itself: frame u.nested.root of context `parent` (0: the default one) holds the root, and
     * all addresses in these tables are what the parent translates: nothing is reached that it does not map. VT-d: a first-stage table;
     * AMD-Vi: a GCR3 table of `depth` levels, which names v2 tables by PASID, requests without PASID being 0. No range operation works on it
     * (ENESTED); it takes a page of the pool. EFLAGS; EINVAL: ctx is not 0, or a depth where there is none, or none where there is; ENOCTX: no such parent; EBUSY: it is
     * being built; ENESTED: it is nested itself; ERANGE: root is beyond its reach; EPERM: the host does not offer it; EOPNOTSUPP: some
     * unit lacks nested translation, or levels, depth or flags; ENOSPC: no number, or PVI_MAX_NESTED are there; ENOMEM; EHW: the parent is broken.
     * A parent cannot be freed before what is nested on it (EBUSY). A device with reserved regions cannot be attached (ERESERVED).
     */
    PVI_OP_ALLOC_NESTED,
    /**
     * The guest has changed its tables of a nested context: makes all units forget nr frames at `first`, as PASID u.guest.pasid (0: requests without)
     * met them, tables included; nr 0, first 0: all of the PASID, its entry in a GCR3 table included; with PVI_FLUSH_ALL_PASIDS, and nothing else: of all of
     * them. EFLAGS, EINVAL (something else beside ALL_PASIDS; first without nr), ENOCTX, EDEFAULT; ENESTED: it is not nested; EWRAP; ERANGE: PASIDs have 20 bits; EHW.
     */
    PVI_OP_FLUSH_NESTED,
    /**
     * Requests of a device with a PASID translate through context ctx (0: the default one), those without stay where they are. The PASID is 1 or more. ENODEV (also while the device is being removed),
     * ENOCTX, EBUSY, EHW: as for REATTACH; EINVAL: PASID 0; ERANGE: beyond caps.pasid_bits; EPERM: the host offers none; EOPNOTSUPP: some
     * unit has no PASIDs to attach, or the device's cannot walk the context's tables, or other devices issue the same requester ids; EEXIST: attached already; ENOSPC: the host's limit, or no domain id;
     * ENOMEM. With PVI_PASID_MOVE it is attached already (else ENOENT) and goes to ctx: blocked for a moment, and back where it was if that fails;
     * after EHW it is not attached any more. A context that PASIDs translate through cannot be freed but with PVI_FREE_REATTACH (EBUSY), which blocks them.
     */
    PVI_OP_ATTACH_PASID,
    /** Blocks the PASID again. ENODEV, EINVAL, EFLAGS; ENOENT: not attached; EHW: it is gone, and what its unit may still reach is written off. */
    PVI_OP_DETACH_PASID,
    PVI_OP_NR,
    /*
     * For decoders of the interface of 2015 alone (pviommu/bus.h); never a guest's number. They act on the hidden context, which
     * pvi_bus_prepare() makes, and need no INIT. Common errors: EPERM (the host gave the domain no such interface), ENOTINIT (not prepared).
     */
    /**
     * Maps u.map.nr frames, whole or not at all. EFLAGS, ENOIOMMU (the domain cannot map), ELENGTH, EWRAP, EALIGN, ERANGE, ERESERVED,
     * EEXIST, ENOFRAME, EPERM, ENOMEM. Resumable.
     */
    PVI_OP_BUS_MAP = 0x40,
    /** Unmaps u.unmap.nr frames, whole or not at all. As above; ENOENT: a hole; EPERM: a foreign or granted frame, which only their own calls take away. */
    PVI_OP_BUS_UNMAP,
    /**
     * Maps one frame of another domain at u.foreign.dfn. Out: dfn, which is the frame's number where the domain cannot map.
     * EFLAGS, EWRAP, ERANGE, EALIGN, ERESERVED; EEXIST: dfn is taken, and not by the same frame with the same rights; EPERM, ENODOM, ENODEV,
     * ENOFRAME: as pvi_host_foreign_get(); ENOENT: the domain cannot map and is not mapped 1:1 there; EQUOTA: cfg.bus_entries; ENOMEM.
     * The same again, io-server and all, is a success that adds nothing.
     */
    PVI_OP_FOREIGN_MAP,
    /**
     * Where another domain's frame is mapped; adds the io-server to it. Out: dfn, flags (rights). With PVI_FOREIGN_OFFSET it is mapped if
     * it is not, at its number plus cfg.bus_offset; else ENOENT: it is mapped nowhere. Errors as for FOREIGN_MAP.
     */
    PVI_OP_FOREIGN_LOOKUP,
    /** Takes an io-server's mapping at u.foreign.dfn away; the leaf goes with the last. ENOENT: there is none. */
    PVI_OP_FOREIGN_UNMAP
};

#define PVI_ALLOC_TOKENS 0xfffu     /**< ALLOC_CONTEXT: largest `done` of one that stands; it fits in 12 bits */
#define PVI_ALLOC_IDENTITY 0x1u     /**< ALLOC_CONTEXT: begins as identity */
#define PVI_FREE_REATTACH 0x1u      /**< FREE_CONTEXT: its devices go to the default context first */
#define PVI_MAP_READ PVI_READ       /**< MAP */
#define PVI_MAP_WRITE PVI_WRITE     /**< MAP */
/**
 * MAP: the caller flushes the range itself, by PVI_OP_FLUSH, before a device uses it. Only what additions need is postponed, on units
 * that cache absence or buffer writes: until then a device may go on faulting there.
 */
#define PVI_MAP_NO_FLUSH 0x8u

#define PVI_NESTED_SUPERVISOR PVI_GUEST_SUPERVISOR       /**< ALLOC_NESTED */
#define PVI_NESTED_WRITE_PROTECT PVI_GUEST_WRITE_PROTECT /**< ALLOC_NESTED */
#define PVI_FLUSH_ALL_PASIDS 0x1u   /**< FLUSH_NESTED */
#define PVI_PASID_MOVE 0x1u         /**< ATTACH_PASID */

#define PVI_MAP_NO_REF 0x4u         /**< BUS_MAP: no reference is taken, by the host's leave */
#define PVI_FOREIGN_SWAP 0x4u       /**< FOREIGN_MAP: may be moved to the scratch frame */
#define PVI_FOREIGN_OFFSET 0x8u     /**< FOREIGN_LOOKUP */

#define PVI_CAP_IDENTITY 0x1u         /**< ALLOC_CONTEXT takes PVI_ALLOC_IDENTITY */
#define PVI_CAP_DEFAULT_IDENTITY 0x2u /**< the default context lets DMA to the domain's memory through: identity, or it follows the host */
#define PVI_CAP_INITED 0x4u           /**< init has been done */
#define PVI_CAP_SNOOP 0x8u            /**< every mapping is coherent with the CPU's caches, whatever a device asks for */
#define PVI_CAP_SCATTERED 0x10u       /**< pages that follow one another to the guest's kernel may have frames that do not */

/**
 * One operation, in the hypervisor's own copy. pad is zero; other fields that an operation does not name are ignored, as
 * outputs are on the way in: what a guest's structure must hold is its decoder's business.
 */
struct pvi_op {
    uint16_t code;  /**< enum pvi_opcode */
    uint16_t domid; /**< PVI_DOMID_SELF, or the domain on whose behalf */
    uint16_t ctx;   /**< in: context; out: ALLOC_CONTEXT */
    uint16_t pad;   /**< 0 */
    uint32_t flags;
    int32_t status; /**< out: 0 or a negated enum pvi_err */
    uint64_t done;  /**< 0 at first; out: frames done (MAP, UNMAP, RIGHTS, FLUSH); also where the operation resumes */
    uint64_t fault; /**< out: on an error of MAP, UNMAP, LOOKUP, RIGHTS, FLUSH, WINDOW_*: the DFN at fault */
    union {
        struct {
            pvi_dfn dfn;
            pvi_gfn gfn;
            uint64_t nr;
        } map;
        struct {
            pvi_dfn dfn;
            pvi_gfn gfn;
            uint16_t domid;    /**< the owner of gfn */
            uint16_t ioserver;
        } foreign;
        struct {
            pvi_dfn dfn;
            uint64_t nr;
        } unmap; /**< also RIGHTS, and FLUSH: nr 0 flushes the whole context */
        struct {
            pvi_dfn dfn;
            pvi_gfn gfn;   /**< out: frame behind dfn */
            uint32_t prot; /**< out */
            uint32_t lg2;  /**< out: size of the leaf, log2 of bytes */
        } lookup;
        struct {
            pvi_sbdf sbdf;
            uint16_t from; /**< the library's own: where a transaction has taken it from */
            uint8_t moved; /**< the library's own */
        } reattach;
        struct {
            pvi_dfn dfn;    /**< CREATE: in; QUERY: out */
            uint64_t nr;    /**< as dfn */
            uint64_t sizes; /**< as dfn: bit n: leaves of 2^n bytes */
            uint16_t index; /**< CREATE: out; REMOVE, QUERY: in */
            uint8_t shift;  /**< CREATE: in; QUERY: out: log2 of the smallest page */
            uint8_t depth;  /**< QUERY: levels that a table would need for this window alone */
            uint8_t state;  /**< QUERY: enum pvi_window_state */
            uint8_t left;   /**< QUERY: windows that can still be created */
        } window;
        struct {
            uint32_t pages_used, pages_limit; /**< of the pool; no limit but the pool: UINT32_MAX */
            uint64_t mapped;  /**< frames, reserved regions of devices among them */
            uint64_t flushes; /**< that had something of this context for some unit */
            uint32_t faults;  /**< ever, modulo 2^32 */
            uint32_t devices; /**< attached */
        } usage; /**< out */
        struct {
            uint64_t iova;
            pvi_sbdf sbdf;
            uint32_t lost; /**< faults that were counted and not kept, since the context was made, modulo 2^32 */
            uint16_t rid;
            uint16_t code; /**< as in struct pvi_fault */
            uint8_t write;
            uint8_t left;  /**< how many more there are now */
        } fault; /**< out */
        struct {
            pvi_gfn root;
            uint16_t parent;
            uint8_t levels; /**< of first-stage or v2 tables */
            uint8_t depth;  /**< of the GCR3 table; VT-d: 0 */
        } nested;
        struct {
            uint64_t first; /**< in the guest's own tables, frames */
            uint64_t nr;
            uint32_t pasid;
        } guest;
        struct {
            pvi_sbdf sbdf;
            uint32_t pasid;
        } pasid;
        struct {
            uint32_t token; /**< 0, or what ALLOC_CONTEXT left in `done` */
        } free;
        struct {
            uint32_t nr_contexts; /**< beside the default one, >= 1 */
            uint32_t nr_pages;    /**< pool pages to set aside, >= 1 */
        } init;
        struct {
            uint64_t max_iova;   /**< last byte that can be mapped */
            uint64_t page_sizes; /**< bit n: leaves of 2^n bytes are used */
            uint32_t nr_contexts; /**< usable beside the default one; 0: none can be made */
            uint32_t nr_pages;    /**< of the pool */
            uint32_t free_pages;
            uint32_t flags; /**< PVI_CAP_* */
            uint32_t atomic_ops; /**< most operations of a batch with PVI_BATCH_ATOMIC */
            uint8_t guest_levels; /**< ALLOC_NESTED: bit n: tables of n levels; 0: there is none */
            uint8_t guest_depth;  /**< most levels of a GCR3 table; 0: a context has one table (VT-d) */
            uint8_t guest_flags;  /**< PVI_NESTED_* */
            uint8_t pasid_bits;   /**< ATTACH_PASID: 1 .. 2^bits - 1; 0: there is none */
        } caps; /**< out */
    } u;
};

#define PVI_BATCH_STOP 0x1u /**< operations after the first that fails are not run (ECANCELED) */
/**
 * All operations happen, or none. Alone: no other flag. MAP, UNMAP, RIGHTS, REATTACH_DEVICE and NOOP, for one domain, at most
 * PVI_ATOMIC_OPS. If one fails it tells why, the others say ECANCELED, no `done` counts anything, and every translation is what it was
 * (a leaf may have been split, an empty table stays). From the first call on, until the batch has ended, other writers of the contexts
 * concerned, those that devices come from among them, get EBUSY. Before the first change what is needed to take everything back is
 * set aside: ENOMEM, EQUOTA of the operation whose context lacks the pages; taking back needs none. Flushes happen as in any batch, but frames that
 * went out of use are released only when all has succeeded; devices may see a half-done batch while it is preempted. UNMAP and RIGHTS fail
 * at a hole (ENOENT) before they change anything. EBUSY of all operations: another such batch of the domain is under way; EINVAL: an
 * operation that cannot be part of one, or another domain's; ELIMIT: too many. If a flush fails all say EHW, the contexts are broken,
 * and what they held is written off. Batch and operations stay where they are until the batch has ended, or pvi_domain_destroy() has: a domain that
 * dies takes its batch back. Meanwhile the same batch, submitted again, answers EPREEMPTED. A caller that has lost the right to act for the
 * domain gets what pvi_host_domain() says, and the batch is taken back.
 */
#define PVI_BATCH_ATOMIC 0x2u
#define PVI_ATOMIC_OPS 256u

/** A batch under way. Zero all of it, then set the first four. More than 2 KiB: not for a hypervisor's stack. */
struct pvi_batch {
    struct pvi_op *ops;
    uint32_t nr;
    uint32_t flags;
    uint32_t next; /**< operation that runs next; nr: all done */
    /* the library's own */
    uint32_t flushed; /**< operations before this one have been reported */
    bool failed;
    struct pvi_domain *tx; /**< whose transaction it is, while one is under way */
    struct pvi_gather gather;
};

/**
 * Runs a batch for domain d, from where it stands.
 *
 * Between slices the host is asked whether to get out. Before this function returns, everything that was
 * changed has been flushed and what it freed has been released: nothing is pending while the guest runs.
 *
 * @return 0 when every operation has its status; -PVI_EPREEMPTED: call again with the same batch;
 *         -PVI_EINVAL: malformed batch (flags, or next beyond nr), nothing was run.
 */
PVI_MUST_CHECK int pvi_submit(struct pvi_domain *d, struct pvi_batch *b);

/** The same for a batch without PVI_BATCH_ATOMIC, which is EINVAL here: those who have none need less stack. */
PVI_MUST_CHECK int pvi_batch_run(struct pvi_domain *d, struct pvi_batch *b);

/*
 * The same in pieces, for decoders that read each operation from the guest only when it is its turn: pvi_batch_begin(), then
 * pvi_batch_step() for each of b->ops in turn, and before any status is shown, or the guest runs, pvi_batch_end().
 */

/** Begins a batch, or goes on with one. @return 0; -PVI_EINVAL: malformed (flags, or next beyond nr), nothing to end. */
PVI_MUST_CHECK int pvi_batch_begin(struct pvi_domain *d, struct pvi_batch *b);

/** Runs b->ops[b->next], which is below b->nr, from where it stands. @return 0: it has ended, and next is one more; -PVI_EPREEMPTED: it stands. */
PVI_MUST_CHECK int pvi_batch_step(struct pvi_domain *d, struct pvi_batch *b);

/** Flushes: now the statuses are true. An operation that stands and whose changes could not be flushed has ended, with EHW. */
void pvi_batch_end(struct pvi_batch *b);

#endif
