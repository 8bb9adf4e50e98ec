/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The interface of 2015 as a host meets it: a hidden context, foreign frames, ballooning, grants.
 *
 * A domain with cfg.revmap has it. With cfg.bus_pages it can map: then it gets a context of its own, which no other interface
 * can name, that begins as the default context does (identity or empty) and takes over all of the domain's devices at the first call that
 * changes a mapping; devices that are added later begin there. Without, foreign frames are held for it and it gets their numbers.
 */
#ifndef PVIOMMU_BUS_H
#define PVIOMMU_BUS_H

#include <pviommu/batch.h>
#include <pviommu/revmap.h>

/** The hidden context's number; above all others. */
#define PVI_CTX_BUS 0xFFFFu
/** Where mappings by offset begin unless the host says otherwise: 248 GiB, in frames. */
#define PVI_BUS_OFFSET ((uint64_t)248 << (30 - PVI_PAGE_LG2))

/** How far a domain's hidden context is. */
enum pvi_bus_state {
    PVI_BUS_NONE = 0,
    PVI_BUS_FILLING,  /**< pages are being set aside */
    PVI_BUS_BUILDING, /**< its content is being made */
    PVI_BUS_TAKING,   /**< devices are on their way to it */
    PVI_BUS_READY
};

/** The library's own. */
struct pvi_bus {
    struct pvi_domain *domain;
    struct pvi_pool pool;
    struct pvi_context ctx;
    bool tables; /**< it maps; else only frames are held */
    bool has_scratch;
    pvi_pa scratch; /**< a page of zeroes at first, private to the domain, in place of frames that have gone */
    /* the reverse map's, under its lock */
    struct pvi_rev_link link;    /**< in revmap->buses */
    struct pvi_rev_link servers; /**< that have entries */
    void *chunks, *free;         /**< storage, and what of it is free */
    uint32_t nr_free, nr_entries;
    uint32_t number;
    uint32_t users; /**< calls for other domains that are at it: it stays as long */
};

/** Room for a call that changes mappings; more than 2 KiB: not for a hypervisor's stack. All zero before the first call. */
struct pvi_bus_work {
    struct pvi_gather gather;
    struct pvi_bus *bus; /**< whose changes the gather holds */
};

/**
 * Makes what a decoder's operation needs before pvi_batch_step() runs it: the hidden context, up to the last device's move. At once once it is
 * there, and where the operation needs none. Within pvi_batch_begin() and pvi_batch_end(). Resumable.
 * @param code PVI_OP_BUS_MAP .. PVI_OP_FOREIGN_UNMAP. @param g the batch's.
 * @return 0; -PVI_EPREEMPTED: nothing of the operation has happened, end the batch and come back with it; -PVI_ENOMEM, -PVI_EQUOTA, -PVI_EHW, -PVI_EDYING and
 *         what a move of a device answers (PVI_OP_REATTACH_DEVICE): it goes on from there the next time.
 */
PVI_MUST_CHECK int pvi_bus_prepare(struct pvi_domain *d, unsigned code, struct pvi_gather *g);

/* Foreign frames -------------------------------------------------------------------------------- */

/** A frame that its owner has given up. Zero all of it, then set the first two. */
struct pvi_balloon {
    struct pvi_revmap *map;
    pvi_pa pa; /**< the frame */
    /* the library's own */
    struct pvi_bus_work work;
    bool begun, swap, pending;
};

/** pvi_balloon_out(): somebody still has the frame mapped. */
#define PVI_BALLOON_HELD 1

/**
 * A guest has ballooned a frame out: called after its GFN leads elsewhere and before the frame is used for anything else. All io-servers
 * concerned get a notice, buffered or, where their ring is full, synchronous. If all mappings of the frame, in all domains, were made
 * with PVI_FOREIGN_SWAP, each is moved to its domain's scratch frame by one store, all units are flushed and the references
 * are put. Else all stay until their owners unmap them, and nobody can map the frame meanwhile. Needs no memory. Resumable.
 * @return 0: nothing leads to the frame any more; PVI_BALLOON_HELD: the frame's references say when it is free; -PVI_EPREEMPTED (call again);
 *         -PVI_EHW: a unit failed, the frame must never be used again.
 */
PVI_MUST_CHECK int pvi_balloon_out(struct pvi_balloon *b);

/**
 * An io-server of domain id `owner` has gone from emulator d: all that it had mapped is unmapped and flushed before the references
 * go. The host admits no further call for it. Resumable.
 * @return 0; -PVI_EPREEMPTED (call again); -PVI_EHW (what could not be flushed is never released).
 */
PVI_MUST_CHECK int pvi_ioserver_gone(struct pvi_domain *d, uint16_t owner, uint16_t ioserver, struct pvi_bus_work *w);

/** The same for all that any domain has mapped of a guest that dies. */
PVI_MUST_CHECK int pvi_guest_gone(struct pvi_revmap *map, uint16_t owner, struct pvi_bus_work *w);

/* Grants ---------------------------------------------------------------------------------------- */

/**
 * Maps a frame that another domain has granted at the bus address that d's guest chose (GNTMAP_request_bfn_map). On success the leaf
 * has the caller's reference on the frame: pvi_host_frame_put() gets it back with PVI_OWE_GRANT after the flush of its removal. A failure leaves it with
 * the caller. Complete in all units when it returns.
 * @param at page-aligned. @param prot PVI_READ, PVI_WRITE.
 * @return 0; -PVI_EPREEMPTED (call again); -PVI_EPERM (no such interface), -PVI_ENOIOMMU (d cannot map), -PVI_EDYING, -PVI_EALIGN, -PVI_EFLAGS, -PVI_EWRAP,
 *         -PVI_ERANGE, -PVI_ERESERVED, -PVI_EEXIST (taken), -PVI_ENOMEM, -PVI_EQUOTA, and what making the context answers: not
 *         mapped; -PVI_EHW: a unit failed; the leaf has the reference if *mapped.
 */
PVI_MUST_CHECK int pvi_grant_map(struct pvi_domain *d, struct pvi_bus_work *w, pvi_iova at, pvi_pa pa, unsigned prot, bool *mapped);

/**
 * Takes it away, flushed before this returns. A guest's own unmap cannot.
 * @return 0; -PVI_EPREEMPTED (call again); -PVI_EALIGN, -PVI_EWRAP, -PVI_ERANGE; -PVI_ENOENT: pa is not mapped there by a grant; -PVI_EHW: it is unmapped, what
 *         could not be flushed is never released.
 */
PVI_MUST_CHECK int pvi_grant_unmap(struct pvi_domain *d, struct pvi_bus_work *w, pvi_iova at, pvi_pa pa);

/**
 * May the domain map at all? Where its devices translate through the host's own table (share_pt), which is not the library's to read, only if
 * the host says that the hidden context begins as identity.
 */
static inline bool pvi_bus_maps(struct pvi_domain *d)
{
    return d->has_iommu && d->cfg.bus_pages != 0 && (d->cfg.bus_identity || pvi_env_read32(&d->passthrough) != PVI_PASSTHROUGH_SHARE_PT);
}

#endif
