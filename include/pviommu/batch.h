/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The native batch: operations of a guest in the form that the core executes.
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
     * was freed meanwhile. Resumable; `done` is opaque.
     */
    PVI_OP_ALLOC_CONTEXT,
    /**
     * Ends a context and everything mapped in it, also one that was left half built. EDEFAULT: context 0; ENOCTX; EBUSY: devices are
     * attached and PVI_FREE_REATTACH is not given. With PVI_FREE_REATTACH its devices move to the default context first, and what a move
     * can answer comes back (those that have moved stay moved). Resumable.
     */
    PVI_OP_FREE_CONTEXT,
    /**
     * Moves a device of this domain, with all its requester ids and its group, to context ctx (0: the default one). ENODEV: no such
     * device here; ENOCTX; EBUSY: the context is being built; EEXIST: something is mapped inside a reserved region of the device, or
     * another region overlaps it; ENOSPC: no domain id left on the unit, or too many regions; ENOMEM, EQUOTA: no page for a region;
     * EOPNOTSUPP: the unit cannot walk the context's table.
     */
    PVI_OP_REATTACH_DEVICE,
    /**
     * Maps guest frames gfn .. at dfn .. with the rights in flags. EDEFAULT, ENOCTX; ELENGTH: nr is 0; EWRAP; EALIGN: dfn, gfn or nr is
     * not a multiple of the context's smallest page, or the host's frames are not; ERANGE: beyond caps.max_iova, or frames beyond
     * what entries can name; ERESERVED: a window or a device's reserved region lies inside (fault says where, nothing is mapped).
     * With `done` frames mapped: EEXIST at fault (frames are pinned first: ENOFRAME and EPERM win over it); ENOFRAME, EPERM: the host has no such frame or forbids it; ENOMEM, EQUOTA. Resumable.
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

#define PVI_ALLOC_IDENTITY 0x1u     /**< ALLOC_CONTEXT: begins as identity */
#define PVI_FREE_REATTACH 0x1u      /**< FREE_CONTEXT: its devices go to the default context first */
#define PVI_MAP_READ PVI_READ       /**< MAP */
#define PVI_MAP_WRITE PVI_WRITE     /**< MAP */

#define PVI_MAP_NO_REF 0x4u         /**< BUS_MAP: no reference is taken, by the host's leave */
#define PVI_FOREIGN_SWAP 0x4u       /**< FOREIGN_MAP: may be moved to the scratch frame */
#define PVI_FOREIGN_OFFSET 0x8u     /**< FOREIGN_LOOKUP */

#define PVI_CAP_IDENTITY 0x1u         /**< ALLOC_CONTEXT takes PVI_ALLOC_IDENTITY */
#define PVI_CAP_DEFAULT_IDENTITY 0x2u /**< the default context is identity */
#define PVI_CAP_INITED 0x4u           /**< init has been done */

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
    uint64_t done;  /**< 0 at first; out: frames done (MAP, UNMAP, FLUSH); also where the operation resumes */
    uint64_t fault; /**< out: on an error of MAP, UNMAP, LOOKUP: the DFN at fault */
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
        } unmap; /**< also FLUSH: nr 0 flushes the whole context */
        struct {
            pvi_dfn dfn;
            pvi_gfn gfn;   /**< out: frame behind dfn */
            uint32_t prot; /**< out */
            uint32_t lg2;  /**< out: size of the leaf, log2 of bytes */
        } lookup;
        struct {
            pvi_sbdf sbdf;
        } reattach;
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
        } caps; /**< out */
    } u;
};

#define PVI_BATCH_STOP 0x1u /**< operations after the first that fails are not run (ECANCELED) */

/** A batch under way. Zero all of it, then set the first four. More than 2 KiB: not for a hypervisor's stack. */
struct pvi_batch {
    struct pvi_op *ops;
    uint32_t nr;
    uint32_t flags;
    uint32_t next; /**< operation that runs next; nr: all done */
    /* the library's own */
    uint32_t flushed; /**< operations before this one have been reported */
    bool failed;
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
