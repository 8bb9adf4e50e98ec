/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The gather: what a batch has changed and what may be given back once hardware has forgotten it.
 *
 * It holds ranges taken from the old entries, tables that were unlinked and runs of frames whose leaves were
 * cleared. pvi_gather_flush() turns the ranges into the cheapest covering invalidations of each unit, waits
 * for a completion queued after them, and only then releases. One gather serves a whole batch: ranges carry
 * their context.
 */
#ifndef PVIOMMU_GATHER_H
#define PVIOMMU_GATHER_H

#include <pviommu/pgtable.h>

/** Ranges held at once; a context with more is flushed whole. */
#define PVI_GATHER_RANGES 32u
/** Invalidations handed to a unit at once. */
#define PVI_GATHER_INV 16u
/** Runs of frames held without a list page. */
#define PVI_GATHER_RUNS 32u
/** List pages that one gather takes from the pool at most; each holds PVI_LIST_RUNS. */
#define PVI_GATHER_LISTS 16u
#define PVI_LIST_RUNS (PVI_PAGE_SIZE / 16)
/** Unlinked tables with owed frames held at once, and tables that a removal may hand over: bounds the work of one release. */
#define PVI_GATHER_OWING 16u
#define PVI_GATHER_TABLES 4096u

/**
 * Frames released by one flush at most: one leaf, as large as the host's pvi_host_frame_get() let it become, or this many pages. A host
 * to which that is too long without a look at the clock defines less in its pviommu_env.h: a power of two, at least PVI_TABLE_ENTRIES.
 */
#ifndef PVI_GATHER_FRAMES
#define PVI_GATHER_FRAMES ((uint64_t)1 << 18)
#endif
_Static_assert((PVI_GATHER_FRAMES & (PVI_GATHER_FRAMES - 1)) == 0 && PVI_GATHER_FRAMES >= PVI_TABLE_ENTRIES, "frames of a flush");

/** One changed range. */
struct pvi_gather_range {
    struct pvi_context *ctx;
    uint64_t first, last;
    bool tables; /**< a table was unlinked or displaced: cached tables must go too */
    bool whole;  /**< the whole context */
    bool added;  /**< only additions so far: matters only to units that cache absence */
};

/** A run of frames, packed. */
struct pvi_gather_run {
    uint64_t pa_owe; /**< address | owe */
    uint64_t nr;
};

/** Where a walk down a page table stands: one table, mapped. */
struct pvi_pt_at {
    uint64_t *table;
    pvi_pa pa;
    unsigned level;
};

/** What leaves are made of. */
struct pvi_pt_what {
    uint64_t iova, pa; /**< of the first entry */
    uint64_t sizes;    /**< allowed */
    uint64_t extra;    /**< bits carried over from the leaf that these come from */
    unsigned prot, owe;
};

/** What is being removed from one table. */
struct pvi_pt_out {
    uint64_t begin;              /**< of the table's first entry */
    unsigned first, at;          /**< entries: where it began, where it is */
    unsigned from, to, end;      /**< the range has all of [from, to), and something of [first, end) */
    unsigned live, owing, links; /**< removed */
};

/** What the engine keeps between the steps of a slice: here, as hypervisors' stacks are small. */
struct pvi_gather_work {
    uint64_t first, last, sizes; /**< a leaf to be cut: no piece reaches over an end, or is of another size */
    uint64_t iova, pa, left;     /**< what is to be mapped next, contiguous in frames too */
    unsigned level, lg2;         /**< of its first leaf: level of the table, and log2 of its bytes */
    unsigned budget;             /**< of a pass of an unmap: entries that its slice may still visit */
    struct pvi_pt_at at;         /**< the table of a step that more than one function sees */
    struct pvi_pt_what what;     /**< the pieces of a leaf that is cut, or the leaves of a table that is new */
    struct pvi_pt_out out;       /**< of an unmap's pass over one table */
};

struct pvi_gather {
    struct pvi_host *host;
    struct pvi_hdom *hdom;        /**< whose frames are released */
    const struct pvi_pt_ops *ops; /**< format of the tables */
    struct pvi_gather_range range[PVI_GATHER_RANGES];
    struct pvi_gather_run run[PVI_GATHER_RUNS];
    struct pvi_inv inv[PVI_GATHER_INV]; /**< on their way to a unit */
    struct pvi_gather_work work;
    union {
        struct pvi_pt_map map;
        struct pvi_pt_unmap unmap;
        struct pvi_pt_change change;
    } req;                   /**< of whoever changes a table with it, one at a time */
    struct pvi_pt_scan scan; /**< of whoever reads a table with this gather at hand */
    struct pvi_page *tables; /**< unlinked, by next */
    const struct pvi_quota *share; /**< all tables are of this one; NULL: of several, or none */
    struct pvi_page *lists;  /**< list pages, newest first, by next */
    struct pvi_page *spare;  /**< taken ahead for tables of one share, by next; none was ever linked */
    uint64_t nr_frames; /**< in runs, and owed by tables */
    uint32_t nr_ranges, nr_runs, nr_list_runs, nr_lists, nr_owing, nr_tables;
    uint8_t failed_unit; /**< the last one that failed */
    bool tx;       /**< of a transaction: its contexts are open to it, and tables are kept */
    bool undo;     /**< it is being taken back; else a transaction's frames are not released here but by its log */
    bool postpone; /**< additions are not noted: who asked for them flushes them */
    bool reserve; /**< cuts may take what the pool keeps back for removals */
    bool failed; /**< some flush since pvi_gather_init() has failed */
};

/** Makes an empty gather. */
void pvi_gather_init(struct pvi_gather *g, struct pvi_host *host, struct pvi_hdom *hdom,
                     const struct pvi_pt_ops *ops);

/** Is nothing waiting? */
bool pvi_gather_empty(const struct pvi_gather *g);

/**
 * Notes that [first, last] of ctx changed. Neighbours merge; with no room left the context's ranges
 * collapse into one for the whole context, so this cannot fail.
 * @param tables a table was unlinked, displaced or split in the range.
 * @param added nothing was mapped there before.
 */
void pvi_gather_range(struct pvi_gather *g, struct pvi_context *ctx, uint64_t first, uint64_t last,
                      bool tables, bool added);

/**
 * Makes room for one more run of nr frames, taking a list page from the pool when the gather's own room is used up.
 * @return false when there is none, or when PVI_GATHER_FRAMES would be exceeded: flush, then go on. An empty gather
 *         always has room.
 */
bool pvi_gather_room(struct pvi_gather *g, struct pvi_pool *pool, struct pvi_quota *quota, uint64_t nr);

/**
 * Adds a run; pvi_gather_room() said yes since the last run that did not merge, to this one or to a part that it begins with: what follows
 * that part may be added unasked, as far as PVI_GATHER_FRAMES is kept.
 */
void pvi_gather_frames(struct pvi_gather *g, uint64_t pa, uint64_t nr, uint8_t owe);

/**
 * Takes nr pages for tables from those taken ahead, or from the pool with up to `more` beyond: these wait here for the next
 * call, or the flush, which gives them back. @return as pvi_pool_take().
 */
PVI_MUST_CHECK int pvi_gather_take(struct pvi_gather *g, struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, uint32_t more,
                                   struct pvi_page **first);

/** May one more unlinked table be added, whose leaves owe nr frames? An empty gather always has room. */
bool pvi_gather_table_room(const struct pvi_gather *g, uint64_t nr);

/** Adds an unlinked table whose leaves owe nr frames. Its entries stay as they are until the flush has completed. */
void pvi_gather_table(struct pvi_gather *g, struct pvi_page *table, uint64_t nr);

/** Are there unlinked tables of that share, not flushed yet, that are not in this gather? */
bool pvi_gather_others(const struct pvi_gather *g, const struct pvi_quota *share);

/**
 * Invalidates what the ranges cover, each thing once per unit, waits, then releases tables and frames. Called
 * with no lock held. Ranges without a context (tables that their owner drives alone) are skipped: the
 * owner has read and flushed them.
 * @return 0, or -PVI_EHW: the contexts concerned are broken, what the gather held is lost and never released,
 *         g->failed is set. The gather is empty either way.
 */
int pvi_gather_flush(struct pvi_gather *g);

#endif
