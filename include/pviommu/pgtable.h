/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Page tables at the level of ranges: one table, changed in bounded slices.
 *
 * The algorithm is src/core/pt_engine.inc.h, compiled once per format. A slice touches at most one and a half
 * tables' worth of entries (collapse: a table of each level), takes the pages that each of its pieces needs before it changes anything there, and tells exactly
 * how far it came; calling again with the same request continues. What a slice removed or replaced goes
 * into the gather; nothing that hardware may still reach is given back here.
 *
 * Locking: the caller serialises calls on one table (contexts do), with two exceptions. Lookups need no lock at all. Maps
 * and unmaps with `shared` set may run at the same time as others that have it set too, as long as no two of them are in
 * the same naturally aligned gigabyte of IOVA; where one needs the table for itself it says PVI_PT_ALONE.
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
    bool adds;           /**< absence may be cached, or writes buffered: additions go to the gather too */
    bool dirty;          /**< hardware notes what devices write (VT-d SSADE, AMD-Vi HAD): leaves begin clean; needs coherent */
    bool no_read_only;   /**< quirk: no leaf may be read-only (parent of nested tables on VT-d erratum 772415) */
    bool fixed_sizes;    /**< quirk: a live mapping never changes its size: no split, no collapse */
};

/** One table. */
struct pvi_pt {
    struct pvi_pt_cfg cfg;
    struct pvi_host *host;
    struct pvi_pool *pool;
    struct pvi_quota *quota;
    struct pvi_page *root;
    /* What follows from the above, at hand. */
    pvi_pa root_pa;      /**< 0: there is no table (any more) */
    uint64_t page_mask;  /**< smallest page, less one */
    uint64_t iova_last;  /**< last byte that may be mapped */
    uint64_t table_last; /**< last byte that the levels translate */
    uint64_t four_end;   /**< table_last + 1 of our own tables of four levels, as most have; 0: others */
    uint64_t pa_last;    /**< last byte that a leaf may name */
    uint64_t quick;      /**< page sizes that single leaves have a quick way for: with four levels and walks that snoop, those that no limit cuts; else 0 */
    uint32_t prots;      /**< bit n: leaves may have rights n */
};

/** A shared call needs the table for itself: drop what excludes others only from its gigabyte, call again with shared unset. */
#define PVI_PT_ALONE 1

/** A request to map; `done` is where it stands. A member more is set in context_map_frames(), too, which clears none. */
struct pvi_pt_map {
    uint64_t iova;  /**< first byte; aligned to the smallest page */
    uint64_t pa;    /**< of the first byte; unused with a list */
    uint64_t len;   /**< bytes, > 0; iova + len - 1 does not wrap, pa + len - 1 is within pa_bits */
    const pvi_pa *list; /**< NULL, or one address for each smallest page of the range that is not barred, scattered or not */
    uint64_t barred; /**< leaf sizes that are not to be used; 0: none. The rest is `closed` and not empty. Not with replace */
    uint64_t done;  /**< bytes mapped so far, exact whatever is returned */
    uint8_t prot;   /**< PVI_READ, PVI_WRITE */
    uint8_t owe;    /**< enum pvi_owe */
    bool replace;   /**< what is mapped in the range is replaced, instead of an overlap being refused; only a table of nothing but leaves gives way to a larger leaf */
    bool shared;    /**< others may map and unmap in other gigabytes at the same time */
    bool keep;      /**< no table goes away, also not one where a large leaf would fit: smaller leaves are used there */
};

/** A request to unmap; `next` is where it stands. Bounds are inclusive: 2^64 has no representation. */
struct pvi_pt_unmap {
    uint64_t first; /**< first byte */
    uint64_t last;  /**< last byte, inclusive */
    uint64_t next;  /**< first byte still to do; begins as first */
    uint64_t removed; /**< bytes that were mapped and are not any more */
    uint64_t barred;  /**< leaf sizes that a cut does not make; the rest is `closed`, and bounds and leaves are of it, which nobody checks. 0: none */
    bool complete;  /**< all of it is done; next is then meaningless */
    bool holes;     /**< step over what is not mapped, instead of stopping there */
    bool whole;     /**< refuse to cut through a larger leaf (EPART), instead of splitting it */
    bool shared;    /**< others may map and unmap in other gigabytes at the same time */
    bool keep;      /**< no table goes away: what was mapped can be mapped again without a page */
    bool climb;     /**< the engine's own: empty tables at the last byte done wait for a call that is alone */
};

/** A request to change what is mapped, in place; bounds as in struct pvi_pt_unmap. */
struct pvi_pt_change {
    uint64_t first, last;
    uint64_t next;  /**< first byte still to do; begins as first */
    bool complete;  /**< all of it is done; next is then meaningless */
    bool whole;     /**< rights: refuse to cut through a larger leaf (EPART), instead of splitting it */
    uint8_t prot;   /**< rights: the new ones */
    uint8_t owe;    /**< rights: what each leaf owes from now on; what it owed goes to the gather. PVI_PT_KEEP: as before */
    uint64_t barred; /**< rights: sizes that a cut does not use; 0: none */
    uint8_t lg2;    /**< split: no leaf is larger than 2^lg2 bytes afterwards */
};

/** Leaves go on owing what they owe. */
#define PVI_PT_KEEP 0xffu

/** A request for what devices have written; bounds as in struct pvi_pt_unmap. */
struct pvi_pt_dirty {
    uint64_t first, last;
    uint64_t next;  /**< first byte still to do; begins as first */
    bool complete;  /**< all of it is done; next is then meaningless */
    bool clear;     /**< leaves in the range are clean afterwards; one that lies in it only partly is reported, not cleaned */
    uint64_t *bitmap; /**< bit n % 64 of word n / 64 is set for frame n from first on, in 4 KiB; no bit is ever cleared */
};

/** A walk over what is mapped; bounds as in struct pvi_pt_unmap. */
struct pvi_pt_scan {
    uint64_t first, last;
    uint64_t next;  /**< first byte still to visit; begins as first */
    bool complete;  /**< nothing follows; next is then meaningless */
    struct pvi_pt_run {
        uint64_t iova, pa;
        uint64_t len;  /**< bytes; 0: none found yet */
        uint8_t prot, owe;
    } run;          /**< leaves that continue each other in address, frame, rights and debt are one run */
    uint64_t leaves[64]; /**< [n]: leaves of 2^n bytes seen so far, each counted where it begins in the range */
};

/** What is mapped at an address. */
struct pvi_pt_leaf {
    uint64_t pa; /**< address of the byte asked for; the leaf's first is at pa & ~(2^lg2 - 1), as it is in IOVA */
    uint8_t lg2; /**< the leaf has 2^lg2 bytes */
    uint8_t prot;
    uint8_t owe;
};

/**
 * A format's operations. Bounds and lengths are multiples of the smallest page, else -PVI_EALIGN; bounds beyond table_last, or that
 * end before they begin, are -PVI_ERANGE: nothing changed. `ctx` is what the gather's ranges name, for the units to be told by
 * pvi_gather_flush(); NULL: the table's owner reads g->range and invalidates by itself before each flush, which releases at once.
 * The structure is constant and built at compile time by the engine template.
 */
struct pvi_pt_ops {
    const char *name;
    uint64_t page_sizes;  /**< leaves that the format can encode */
    uint8_t levels_mask;  /**< bit n: tables of n levels exist */
    uint8_t prots;        /**< bit n: leaves with rights n (PVI_READ, PVI_WRITE, both) exist */
    uint8_t (*iova_bits)(unsigned levels);
    uint64_t (*usable)(const struct pvi_pt_cfg *cfg); /**< see pvi_pt_page_sizes() */
    /** Are these sizes of the table, such that leaves of them, cut at multiples of the smallest, become leaves of them? */
    bool (*closed)(const struct pvi_pt_cfg *cfg, uint64_t sizes);

    /**
     * Maps one slice of r, from r->iova + r->done, with the largest leaves that fit.
     * @return 0 (r->done grew, or tables in the way were unlinked or a leaf split; the request is complete when
     *         r->done == r->len), PVI_PT_ALONE, -PVI_EEXIST (something is mapped at r->iova + r->done), -PVI_ENOMEM or
     *         -PVI_EQUOTA, -PVI_ELENGTH (0), -PVI_EOPNOTSUPP (there are no such rights, or the format or a quirk has none), -PVI_EPART (replacing, and a
     *         quirk forbids to split a leaf that lies only partly in the range), -PVI_EALIGN (iova, length or frame), -PVI_EINVAL (replace with barred), -PVI_ERANGE (iova or frame), -PVI_EBUSY (replacing only: the gather is
     *         full, flush it and call again). What lies before the address at fault is mapped; nothing else has changed
     *         for a device, though empty tables may have been unlinked.
     */
    int (*map)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g);

    /**
     * Unmaps one slice of r, from r->next. Cuts through large leaves by splitting them in place. [0, table_last] empties the table; up to
     * iova_last alone, tables that reach beyond it stay.
     * @return 0 (r->next grew, a leaf was split, or r->complete), PVI_PT_ALONE (perhaps with r->complete: then only empty
     *         tables are left to take away), -PVI_ENOENT (nothing is mapped at r->next),
     *         -PVI_EPART (r->whole, or a quirk, and a leaf at r->next lies only partly in the range), -PVI_ENOMEM or
     *         -PVI_EQUOTA (no page to split the leaf at r->next with), -PVI_EBUSY (the gather is full: flush it
     *         and call again). What lies before r->next is unmapped whatever is returned.
     */
    int (*unmap)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g);

    /**
     * Gives one slice of leaves other rights, each by one store. Rights that are lost are lost once the gather is flushed.
     * @return 0, -PVI_ENOENT, -PVI_EPART, -PVI_ENOMEM, -PVI_EQUOTA, -PVI_EBUSY: as unmap; -PVI_EOPNOTSUPP (the format or a
     *         quirk has no such rights: nothing changed). What lies before r->next has the new rights.
     */
    int (*rights)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g);

    /**
     * Splits the leaves of one slice down to 2^r->lg2 bytes, each by stores that keep its translation; holes are
     * stepped over, and a leaf that begins before the range is split whole.
     * @return 0, -PVI_EOPNOTSUPP (no such size here, or a quirk), -PVI_ENOMEM, -PVI_EQUOTA (what lies before r->next is split).
     */
    int (*split)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g);

    /**
     * The reverse, for one slice: leaves that continue each other become larger ones wherever one fits whole in the range,
     * without a moment in which a device would fault; needs no page. Holes are stepped over.
     * A slice works on one table of each level at most. @return 0, or -PVI_EOPNOTSUPP (a quirk), nothing changed.
     */
    int (*collapse)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g);

    /**
     * Reports, and with r->clear forgets, what devices wrote in one slice. A page is reported whole-leaf; after a
     * clear the gather is flushed before the device's next write is sure to be noted. A leaf that is unmapped or replaced takes
     * along what it had noted: pvi_host_frame_put() tells which frames devices may have written.
     * @return 0, or -PVI_EOPNOTSUPP (the table does not note writes, or is not coherent), nothing changed.
     */
    int (*dirty)(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_dirty *r, struct pvi_gather *g);

    /**
     * Visits one slice, from r->next to the end of the first run or of the slice. A run that ends with the slice may go on
     * in the next. @return 0 (r->run.len tells whether there is a run), -PVI_EALIGN, -PVI_ERANGE (the bounds).
     */
    int (*scan)(const struct pvi_pt *pt, struct pvi_pt_scan *r);

    /**
     * Finds the leaf that maps iova, any byte of it. Takes no lock and changes nothing: whatever others do to the table meanwhile, the
     * answer was true at some moment of the call. @return 0; -PVI_ENOENT (also for what lies beyond the table's reach);
     * -PVI_EBUSY (pages of the pool came back again and again meanwhile: try again, or exclude the others).
     */
    int (*lookup)(const struct pvi_pt *pt, uint64_t iova, struct pvi_pt_leaf *out);

    /**
     * Hands out what each leaf of an unlinked table owes, run by run.
     * @param[in,out] from entry to begin at; on return where the next call begins.
     * @return 1 with *run, 0 when no leaf from there on owes anything.
     */
    int (*owed)(struct pvi_host *h, const struct pvi_page *table, unsigned *from, struct pvi_frames *run);
};

/**
 * The leaf sizes that a table of this configuration really uses, whatever frames pa_bits lets it name. The smallest is one that a single entry maps. Every larger
 * leaf can be cut: sizes of a level are dropped if the level below has neither that of a single entry nor that of half a table,
 * and so is what lies above. Sizes of several entries are used where cfg->page_sizes names them. A host that names those without
 * the size of one entry lets one cut take, and fill, a table for each entry of the leaf.
 */
uint64_t pvi_pt_page_sizes(const struct pvi_pt_cfg *cfg);

/**
 * Makes an empty table. Takes one page, the root.
 * @return 0; -PVI_EOPNOTSUPP (levels, sizes or widths that the format has not), -PVI_ENOMEM, -PVI_EQUOTA: nothing changed.
 */
PVI_MUST_CHECK int pvi_pt_init(struct pvi_pt *pt, const struct pvi_pt_cfg *cfg, struct pvi_pool *pool,
                               struct pvi_quota *quota);

/** A new empty table in place of one that pvi_pt_fini() has ended, for the same configuration. @return 0, -PVI_ENOMEM, -PVI_EQUOTA. */
PVI_MUST_CHECK int pvi_pt_renew(struct pvi_pt *pt);

/** Gives the root back. The table is empty (unmapped up to table_last, and flushed) and no unit can reach or cache it any more. */
void pvi_pt_fini(struct pvi_pt *pt);

#endif
