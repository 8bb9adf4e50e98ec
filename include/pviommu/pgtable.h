/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Page tables at the level of ranges: one table, changed in bounded slices.
 *
 * The algorithm is src/core/pt_engine.inc.h, compiled once per format. A slice touches at most one
 * table's worth of entries, takes the pages that it needs before it changes anything, and tells exactly
 * how far it came; calling again with the same request continues. What a slice removed or replaced goes
 * into the gather; nothing that hardware may still reach is given back here.
 *
 * Locking: the owner of the table serialises all calls on it (contexts do).
 */
#ifndef PVIOMMU_PGTABLE_H
#define PVIOMMU_PGTABLE_H

#include <pviommu/pool.h>
#include <pviommu/types.h>
#include <pviommu/unit.h>

struct pvi_gather;
struct pvi_context;

/** What a table must look like; constant after pvi_pt_init(). */
struct pvi_pt_cfg {
    const struct pvi_pt_ops *ops;
    uint64_t page_sizes; /**< bit n: leaves of 2^n bytes may be used; the lowest is the context's page */
    uint8_t levels;      /**< 1 .. PVI_MAX_LEVELS */
    uint8_t iova_bits;   /**< width that hardware and levels allow */
    uint8_t pa_bits;
    bool coherent;       /**< walks snoop: no write-backs */
    bool snoop;          /**< set the force-coherent bit in leaves */
    bool trim;           /**< give empty tables back at once, not only when a removal covers them whole */
};

/** One table. */
struct pvi_pt {
    struct pvi_pt_cfg cfg;
    struct pvi_host *host;
    struct pvi_pool *pool;
    struct pvi_quota *quota;
    struct pvi_page *root;
};

/** A request to map; `done` is where it stands. */
struct pvi_pt_map {
    uint64_t iova;  /**< first byte; aligned to the smallest page */
    uint64_t pa;
    uint64_t len;   /**< bytes, > 0; iova + len - 1 does not wrap */
    uint8_t prot;   /**< PVI_READ, PVI_WRITE */
    uint8_t owe;    /**< enum pvi_owe */
    uint64_t done;  /**< bytes mapped so far, exact whatever is returned */
};

/** A request to unmap; `next` is where it stands. Bounds are inclusive: 2^64 has no representation. */
struct pvi_pt_unmap {
    uint64_t first; /**< first byte */
    uint64_t last;  /**< last byte, inclusive */
    uint64_t next;  /**< first byte still to do; begins as first */
    bool complete;  /**< all of it is done; next is then meaningless */
    bool holes;     /**< step over what is not mapped, instead of stopping there */
};

/** What is mapped at an address. */
struct pvi_pt_leaf {
    uint64_t iova; /**< start of the leaf */
    uint64_t pa;   /**< start of the leaf */
    uint8_t lg2;
    uint8_t prot;
    uint8_t owe;
};

/** A format's operations. The structure is constant and built at compile time by the engine template. */
struct pvi_pt_ops {
    const char *name;
    uint64_t page_sizes;  /**< leaves that the format can encode */
    uint8_t levels_mask;  /**< bit n: tables of n levels exist */
    uint8_t (*iova_bits)(unsigned levels);

    /**
     * Maps one slice of r, from r->iova + r->done.
     * @return 0 (r->done grew, or empty tables in the way were unlinked; the request is complete when
     *         r->done == r->len), -PVI_EEXIST (something is
     *         mapped at r->iova + r->done), -PVI_ENOMEM or -PVI_EQUOTA. What lies before the address at fault is
     *         mapped; nothing else has changed for a device, though empty tables may have been unlinked.
     */
    int (*map)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g);

    /**
     * Unmaps one slice of r, from r->next. Cuts through large leaves by splitting them in place.
     * @return 0 (r->next grew, a leaf was split, or r->complete), -PVI_ENOENT (nothing is mapped at r->next), -PVI_ENOMEM or
     *         -PVI_EQUOTA (no page to split the leaf at r->next with), -PVI_EBUSY (the gather is full: flush it
     *         and call again). What lies before r->next is unmapped whatever is returned.
     */
    int (*unmap)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g);

    /** Finds the leaf that maps iova. @return 0 or -PVI_ENOENT. Changes nothing. */
    int (*lookup)(const struct pvi_pt *pt, uint64_t iova, struct pvi_pt_leaf *out);

    /**
     * Hands out what each leaf of an unlinked last-level table owes, run by run.
     * @param[in,out] from entry to begin at; on return where the next call begins.
     * @return 1 with *run, 0 when no leaf from there on owes anything.
     */
    int (*owed)(struct pvi_host *h, const struct pvi_page *table, unsigned *from, struct pvi_frames *run);
};

/** The leaf sizes that a table of this configuration really uses: no gaps, none that no level can hold. */
uint64_t pvi_pt_page_sizes(const struct pvi_pt_cfg *cfg);

/**
 * Makes an empty table. Takes one page, the root.
 * @return 0; -PVI_EOPNOTSUPP (levels, sizes or widths that the format has not), -PVI_ENOMEM, -PVI_EQUOTA: nothing changed.
 */
PVI_MUST_CHECK int pvi_pt_init(struct pvi_pt *pt, const struct pvi_pt_cfg *cfg, struct pvi_pool *pool,
                               struct pvi_quota *quota);

/** Gives the root back. The table is empty and no unit can reach or cache it any more. */
void pvi_pt_fini(struct pvi_pt *pt);

#endif
