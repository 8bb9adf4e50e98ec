/* SPDX-License-Identifier: MIT */
/*
 * One page table without a domain around it: the engine of one format, a pool, a gather, and oracles that share nothing
 * with it. Every operation is predicted: what is mapped, by a flat model; in which leaves, by a set of leaves that is
 * found by trying all sizes. What became of the table is read by a walker.
 */
#ifndef LAB_H
#define LAB_H

#include <pviommu_posix.h>

#include "check.h"
#include "flat.h"
#include "guest.h"
#include "lab_formats.h"
#include "lab_set.h"

struct lab_cfg {
    const struct lab_format *f;
    unsigned levels;
    uint64_t sizes; /* asked for */
    bool incoherent, trim, snoop, dirty, fixed, no_read_only;
    uint32_t pages; /* of the pool; 0: it grows as it is used up, and what lacked a page goes on */
};

struct lab_table {
    uint64_t pa, iova;
    unsigned level;
};

struct lab {
    struct lab_cfg cfg;
    uint64_t usable;     /* sizes that must be used, by the rule for gaps */
    uint64_t page;       /* the smallest of them */
    bool all_at_once;    /* some level has only leaves of several entries */
    uint64_t last;       /* last address that the levels reach */
    struct pvi_host *host;
    struct pvi_hdom *hdom;
    struct pvi_posix_null unit;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    struct pvi_gather gather;
    struct flat *now, *flushed;          /* as it should be; as it was at the last flush */
    struct lab_set leaves;               /* the leaves as they should be */
    struct lab_set was;                  /* those that were there at the last flush */
    bool adopt;                          /* an operation stopped in its middle: which leaves there are is not predicted */
    uint64_t adopt_first, adopt_last;    /* nor in here, where new leaves have replaced others; first > last: nowhere */
    struct lab_table *tables;            /* as they were at the last flush */
    size_t nr_tables;
    uint64_t most_stores; /* in one slice */
    bool keep_pool;       /* the pool does not grow meanwhile */
};

/* All formats and depths, coherent and not, with all sets of page sizes: calls fn with a fresh lab for each. */
void lab_each(void (*fn)(struct lab *r));
/* As above, but coherent and with all page sizes only. */
void lab_each_format(void (*fn)(struct lab *r));
/* All formats and depths with all page sizes, noting what devices write. */
void lab_each_dirty(void (*fn)(struct lab *r));

void lab_up(struct lab *r, const struct lab_cfg *cfg);
/* Unmaps all: nothing but the root is left. */
void lab_forget_all(struct lab *r);
/* Ends it: unmaps all, checks that everything is back. */
void lab_down(struct lab *r);

/* The k-th size in use of at most 1 GiB, from the smallest; 0 when there are not so many. */
uint64_t lab_size(const struct lab *r, unsigned k);
unsigned lab_nr_sizes(const struct lab *r);
/* As above, of the sizes that one entry holds. */
uint64_t lab_single(const struct lab *r, unsigned k);
/* Guest frames onto which no leaf above the smallest page fits (for ranges that begin at multiples of larger ones). */
uint64_t lab_loose(const struct lab *r);
/* Level of a leaf of that size. */
unsigned lab_level(const struct lab *r, uint64_t size);
/* Bytes that a table which holds the smallest pages translates. */
uint64_t lab_table_span(const struct lab *r);

/*
 * Operations, until they are complete or fail, checked in all respects; each returns what the engine said. Guest frames are
 * pinned before, and put back by the gather.
 */
/* Maps [iova, iova + len) onto guest frames from gfn on. */
int lab_map(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len, unsigned prot);
/* As lab_map(), over whatever is there. */
int lab_replace(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len, unsigned prot);
/* One guest frame (the first of several, if pages are larger) for each smallest page. All owe alike. */
int lab_map_list(struct lab *r, uint64_t iova, const uint64_t *gfn, size_t nr, unsigned prot, bool replace);
/* As lab_map(), onto addresses that belong to no guest and owe nothing. */
int lab_map_pa(struct lab *r, uint64_t iova, uint64_t pa, uint64_t len, unsigned prot);
/* As lab_map(), which must succeed, onto the guest's 8 GiB, congruent modulo the largest size. */
void lab_map_ok(struct lab *r, uint64_t iova, uint64_t len);
/* Unmaps [first, last]. *next (may be NULL) gets where it stopped. */
int lab_unmap(struct lab *r, uint64_t first, uint64_t last, bool holes, uint64_t *next);
/* As lab_unmap(), but refuses to cut. */
int lab_unmap_whole(struct lab *r, uint64_t first, uint64_t last, bool holes, uint64_t *next);
/* Other rights. keep: leaves owe what they did; else they owe what those rights take. */
int lab_rights(struct lab *r, uint64_t first, uint64_t last, unsigned prot, bool keep, bool whole, uint64_t *next);
int lab_split(struct lab *r, uint64_t first, uint64_t last, unsigned lg2);
void lab_collapse(struct lab *r, uint64_t first, uint64_t last);
/* A device writes at iova, and hardware notes it in entry `replica` of those that the leaf is repeated in. */
void lab_device_writes(struct lab *r, uint64_t iova, unsigned replica);
/* Asks what was written in [first, last], at most 64 GiB, and compares each page. */
void lab_dirty(struct lab *r, uint64_t first, uint64_t last, bool clear);
/* Walks over [first, last], compares runs and sizes. */
void lab_scan(struct lab *r, uint64_t first, uint64_t last);
/* Looks an address up, and compares. */
void lab_lookup(struct lab *r, uint64_t iova);

/* Flushes by what the gather says, checks that it covers what changed, and releases. */
void lab_flush(struct lab *r);
/* Is the table what it should be? Also pages used, and what the page records count. */
void lab_check(struct lab *r);

/*
 * Random operations of all kinds over a window of a few tables somewhere in the space, checked as they are and against the
 * whole table again and again.
 */
void lab_random(struct lab *r, unsigned nr, uint64_t seed);
/* Tables of one format, of depths, sizes and conditions at random, with nr operations all together. */
void lab_random_tables(const struct lab_format *f, unsigned nr, uint64_t seed);

/* Leaves of the table as a walker finds them, ascending; at most nr. Returns how many there are. */
#define LAB_MAX_LEAVES 70000u
size_t lab_leaves(struct lab *r, struct lab_leaf *out, size_t nr);
/* Tables that the leaves of the table need, the root included, computed from the leaves alone. */
uint32_t lab_needed(struct lab *r);
/* The raw entry of `level` on the way to iova, by walking links. *table (may be NULL): the table that holds it. */
uint64_t lab_entry(struct lab *r, uint64_t iova, unsigned level, uint64_t *table);
/* Largest size that fits, by trying all of them. */
uint64_t lab_fit(const struct lab *r, uint64_t iova, uint64_t pa, uint64_t len);

#endif
