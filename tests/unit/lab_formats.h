/* SPDX-License-Identifier: MIT */
/* What the oracles know of each format: where entries lie, what leaves there are, and what software keeps in them. */
#ifndef LAB_FORMATS_H
#define LAB_FORMATS_H

#include <pviommu/pgtable.h>

#include "hwm.h"

/* Level 0 is the last. */
struct lab_format {
    const char *name;
    const struct pvi_pt_ops *ops;
    uint8_t shift[PVI_MAX_LEVELS], bits[PVI_MAX_LEVELS];
    uint64_t sizes;    /* of leaves that it can hold */
    uint64_t sets[6];  /* sets of sizes worth a test, besides the usual ones; 0 ends them */
    uint8_t rights;    /* bit n: leaves with rights n exist */
    bool half;         /* only the lower half of the addresses is used */
    bool d_preset;     /* D is set beforehand in what can be written, unless the table notes writes */
    bool (*visit)(const struct hwm_mem *mem, uint64_t root, unsigned levels, const struct hwm_visitor *v,
                  struct hwm_visit *out);
    unsigned (*owe)(uint64_t entry, unsigned level); /* enum pvi_owe of a leaf */
    uint64_t (*dirty)(unsigned level);               /* the bit that hardware sets when a device writes */
    uint64_t (*accessed)(unsigned level);            /* and at any access */
};

extern const struct lab_format lab_vtd, lab_fs, lab_amd, lab_v2, lab_hostile;

/* Every format and depth. */
struct lab_depth {
    const struct lab_format *f;
    unsigned levels;
};
extern const struct lab_depth lab_depths[];
extern const unsigned lab_nr_depths;

/*
 * Sizes in use, of those asked for: the smallest is what one entry maps; a level takes part if the one below has leaves of
 * one entry, or of half a table, to cut larger ones into.
 */
uint64_t lab_usable(const struct lab_format *f, unsigned levels, uint64_t asked);
/* Last address that a table of so many levels translates. */
uint64_t lab_reach(const struct lab_format *f, unsigned levels);
/* Level of the entries of leaves of that size. */
unsigned lab_level_of(const struct lab_format *f, uint64_t size);

#endif
