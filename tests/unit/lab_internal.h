/* SPDX-License-Identifier: MIT */
/* Between the files of the lab. */
#ifndef LAB_INTERNAL_H
#define LAB_INTERNAL_H

#include "lab.h"

#define LAB_DID 7
#define LAB_MAX_TABLES 4096u

/* Remembers table and models as what the unit knows. */
void lab_snapshot(struct lab *r);

/* Before and after one slice: counts its stores. */
uint64_t lab_slice_begin(const struct lab *r);
uint64_t lab_slice_end(struct lab *r, uint64_t began);

/* After -PVI_ENOMEM: more pages, if the pool may grow. */
bool lab_more_pages(struct lab *r, int rc);

/* Is every byte of [first, last] in some range of the gather? Removals are not covered by ranges of additions. */
bool lab_covered(const struct lab *r, uint64_t first, uint64_t last, bool removal);

/* From here to there new leaves replace others: their sizes are the engine's choice. */
void lab_adopt(struct lab *r, uint64_t first, uint64_t last);

#endif
