/* SPDX-License-Identifier: MIT */
/*
 * One page table without a domain around it: the engine of one format, a pool, a gather, and oracles that share nothing
 * with it. Every map and unmap is predicted from a flat model, and what became of the table is read by a walker.
 */
#ifndef LAB_H
#define LAB_H

#include <pviommu_posix.h>

#include "check.h"
#include "flat.h"
#include "guest.h"

/* Where the entries of a format lie; level 0 is the last. */
struct lab_format {
    const char *name;
    const struct pvi_pt_ops *ops;
    uint8_t shift[PVI_MAX_LEVELS], bits[PVI_MAX_LEVELS];
    uint64_t sizes; /* leaves that it can hold */
    bool (*visit)(const struct hwm_mem *mem, uint64_t root, unsigned levels, const struct hwm_visitor *v,
                  struct hwm_visit *out);
};

extern const struct lab_format lab_vtd, lab_amd, lab_hostile;

struct lab_cfg {
    const struct lab_format *f;
    unsigned levels;
    uint64_t sizes; /* asked for */
    bool incoherent, trim, snoop;
    uint32_t pages; /* of the pool; 0: enough */
};

struct lab_table {
    uint64_t pa, iova;
    unsigned level;
};

struct lab {
    struct lab_cfg cfg;
    uint64_t usable;     /* sizes that must be used, by the rule for gaps */
    uint64_t page;       /* the smallest of them */
    uint64_t last;       /* last address that the levels reach */
    struct pvi_host *host;
    struct pvi_hdom *hdom;
    struct pvi_posix_null unit;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    struct pvi_gather gather;
    struct flat *now, *flushed; /* as it should be; as it was at the last flush */
    struct lab_table *tables;   /* as they were at the last flush */
    size_t nr_tables;
    uint64_t most_stores; /* in one slice */
};

/* All formats and depths, coherent and not, with all sets of page sizes: calls fn with a fresh lab for each. */
void lab_each(void (*fn)(struct lab *r));
/* As above, but coherent and with all page sizes only. */
void lab_each_format(void (*fn)(struct lab *r));

void lab_up(struct lab *r, const struct lab_cfg *cfg);
/* Unmaps all, checks that everything is back. */
void lab_down(struct lab *r);
/* The k-th size in use, from the smallest; 0 when there are not so many. */
uint64_t lab_size(const struct lab *r, unsigned k);
/* Guest frames onto which no leaf above the smallest page fits (for ranges that begin at multiples of larger ones). */
uint64_t lab_loose(const struct lab *r);
/* Level of a leaf of that size. */
unsigned lab_level(const struct lab *r, uint64_t size);

/* Maps [iova, iova + len) onto guest frames from gfn on, checked in all respects; returns what the engine said. */
int lab_map(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len, unsigned prot);
/* As lab_map(), which must succeed, onto the guest's 8 GiB, congruent modulo the largest size. */
void lab_map_ok(struct lab *r, uint64_t iova, uint64_t len);
/* Unmaps [first, last]. *next (may be NULL) gets where it stopped. */
int lab_unmap(struct lab *r, uint64_t first, uint64_t last, bool holes, uint64_t *next);
/* Flushes by what the gather says, checks that it covers what changed, and releases. */
void lab_flush(struct lab *r);
/* Is the table what it should be? Also pages used, and what the page records count. */
void lab_check(struct lab *r);

/* Leaves of the table, ascending; at most nr. Returns how many there are. */
#define LAB_MAX_LEAVES 70000u
struct lab_leaf {
    uint64_t iova, pa;
    unsigned lg2;
    uint64_t raw;
};
size_t lab_leaves(struct lab *r, struct lab_leaf *out, size_t nr);
/* Tables that the leaves of the table need, the root included, computed from the leaves alone. */
uint32_t lab_needed(struct lab *r);
/* The raw entry of `level` on the way to iova, by walking links. *table (may be NULL): the table that holds it. */
uint64_t lab_entry(struct lab *r, uint64_t iova, unsigned level, uint64_t *table);
/* Largest size that fits, by trying all of them. */
uint64_t lab_fit(const struct lab *r, uint64_t iova, uint64_t pa, uint64_t len);

#endif
