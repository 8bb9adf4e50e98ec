/* SPDX-License-Identifier: MIT */
/*
 * The flat model: what a context should translate, as a map of runs of 4 KiB pages. No page
 * table, no levels.
 *
 * Runs that continue each other (address, rights, tag) are one run, so that a terabyte costs one
 * node and two flats with the same meaning have the same runs. Page numbers run from 0 to 2^52 -
 * 1.
 */
#ifndef FLAT_H
#define FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hwm.h"

#define FLAT_R       1u
#define FLAT_W       2u
#define FLAT_ANY_TAG 0x1u /* flat_equal(): tags may differ */

struct flat;

struct flat_run {
    uint64_t first, last; /* page numbers, inclusive */
    uint64_t pa;          /* byte address of the first page */
    uint32_t perm;        /* FLAT_R | FLAT_W */
    uint32_t tag;         /* the caller's: owner, kind of reference */
};

struct flat *flat_new(void);
void flat_free(struct flat *f);
struct flat *flat_copy(const struct flat *f);
void flat_clear(struct flat *f);

/*
 * false, nothing changed: a page of the range is mapped already, nr is 0, or the range leaves the
 * space
 */
bool flat_map(struct flat *f, uint64_t pfn, uint64_t nr, uint64_t pa, uint32_t perm, uint32_t tag);
/* as flat_map, but what was mapped there is replaced */
bool flat_replace(struct flat *f, uint64_t pfn, uint64_t nr, uint64_t pa, uint32_t perm,
                  uint32_t tag);
uint64_t flat_unmap(struct flat *f, uint64_t pfn, uint64_t nr); /* returns pages removed */
/* Returns the number of mapped pages in the range. */
uint64_t flat_protect(struct flat *f, uint64_t pfn, uint64_t nr, uint32_t perm);

/* The run that holds the page; *pa_of_page (may be NULL) gets the address of that very page. */
bool flat_lookup(const struct flat *f, uint64_t pfn, struct flat_run *run, uint64_t *pa_of_page);
/* First mapped page in the range. */
bool flat_overlap(const struct flat *f, uint64_t pfn, uint64_t nr, uint64_t *first_mapped);
/* First page in the range that is not mapped. */
bool flat_first_hole(const struct flat *f, uint64_t pfn, uint64_t nr, uint64_t *first_hole);
/* The run that holds the page, else the first one above. Iterate: pfn = 0, then run->last + 1. */
bool flat_next(const struct flat *f, uint64_t pfn, struct flat_run *run);

uint64_t flat_pages(const struct flat *f);
size_t flat_runs(const struct flat *f);
/* *pfn_of_difference (may be NULL): the lowest page on which they differ */
bool flat_equal(const struct flat *a, const struct flat *b, unsigned flags,
                uint64_t *pfn_of_difference);

/*
 * A flat made from page tables: all leaves with rights (tag 0). NULL: the tables are bad, see
 * out->first_bad.
 */
struct flat *flat_from_tables(const struct hwm_mem *mem, const struct hwm_fmt *fmt, uint64_t root,
                              unsigned levels, struct hwm_visit *out);

/*
 * Compares page tables with the model: every page, address and right. On a difference a text that
 * names the first page goes to msg.
 */
bool flat_check_tables(const struct flat *f, const struct hwm_mem *mem, const struct hwm_fmt *fmt,
                       uint64_t root, unsigned levels, char *msg, size_t msg_len);

/*
 * Compares what a device gets from a unit, caches included (hwm_peek), with the model, for reads
 * and writes of each page of the range.
 */
bool flat_check_unit(const struct flat *f, struct hwm *h, uint16_t rid, uint64_t pfn, uint64_t nr,
                     char *msg, size_t msg_len);

#endif
