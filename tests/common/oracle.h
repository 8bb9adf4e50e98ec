/* SPDX-License-Identifier: MIT */
/*
 * The oracle: what a domain must answer to operations, and what its contexts must translate. It works on the flat model,
 * page by page, and knows neither tables nor slices nor flushes.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <pviommu/batch.h>

#include "flat.h"

#define ORC_CONTEXTS 17u /* the default one and 16 more */
#define ORC_DEVICES 8u
#define ORC_REGIONS 16u
#define ORC_WINDOWS 8u
#define ORC_PASIDS 512u

/* Answers that depend on the host or the hardware; what the operation then did is taken from its `done`. */
#define ORC_TOLERATE_MEMORY 0x1u   /* ENOMEM, EQUOTA */
#define ORC_TOLERATE_NOFRAME 0x2u  /* ENOFRAME where there is a frame */
#define ORC_TOLERATE_NOSPC 0x4u    /* no domain id */
#define ORC_TOLERATE_HW 0x8u       /* EHW, also from a device switch */
#define ORC_TOLERATE_GONE 0x10u    /* EDYING, ENOCTX, EBUSY: somebody else was there */
#define ORC_TOLERATE_RUNS 0x20u    /* EALIGN: the host pins fewer frames at once than a page of the window has */

struct orc_region {
    uint64_t first, last; /* page numbers */
    uint32_t count;
    unsigned prot;
    bool inherited;
};

struct orc_window {
    unsigned state; /* enum pvi_window_state */
    uint64_t first, last; /* page numbers */
    uint64_t sizes;
};

struct orc_ctx {
    bool live, identity, broken;
    uint32_t token; /* as whoever made it was told */
    bool windowed; /* else one window over all */
    struct orc_window window[ORC_WINDOWS];
    struct flat *map;
    struct orc_region region[ORC_REGIONS];
    bool nested; /* maps nothing: a guest's tables on those of parent */
    unsigned parent;
    struct pvi_guest_tables guest;
};

struct orc_dev {
    bool present;
    unsigned ctx;
    const struct pvi_device *dev; /* description only: sbdf, group, regions */
};

struct orc_pasid {
    const struct pvi_device *dev;
    uint32_t pasid;
    unsigned ctx;
};

struct orc {
    bool inited, may_init, snoop;
    uint32_t max_contexts, max_pages, nr_contexts;
    uint64_t page;      /* frames of the smallest page */
    uint64_t page_sizes;
    uint64_t last_pfn;  /* that the tables reach */
    unsigned pa_bits;
    unsigned nr_holes;
    uint64_t hole[4][2]; /* page numbers */
    uint64_t identity[4][2]; /* guest frames: first, count */
    uint8_t identity_prot[4];
    unsigned nr_identity;
    bool default_identity;
    struct orc_ctx ctx[ORC_CONTEXTS];
    struct orc_dev dev[ORC_DEVICES];
    bool may_nest;
    uint8_t guest_levels, guest_depth, guest_flags, pasid_bits;
    uint32_t max_pasids, nr_pasids;
    struct orc_pasid pasid[ORC_PASIDS];
};

void orc_init(struct orc *o);
void orc_fini(struct orc *o);
/* Copies maps and everything else, for runs that are compared. */
void orc_copy(struct orc *to, const struct orc *from);

/*
 * Judges one operation that ran to its end: `sent` as it was submitted, `got` as it came back. Then what it did is
 * done to the oracle. NULL: right; else what is wrong.
 */
const char *orc_judge(struct orc *o, const struct pvi_op *sent, const struct pvi_op *got, unsigned tolerate);

/* Moves a device and its group, or nothing: 0, or the error that REATTACH must give. */
int orc_move(struct orc *o, struct orc_dev *of, unsigned to);
/* Host calls. orc_add(): 0 or the error that pvi_device_add() must give. */
int orc_add(struct orc *o, const struct pvi_device *dev);
void orc_remove(struct orc *o, const struct pvi_device *dev);

/* Maps the identity into a context, as building it must. */
void orc_build(struct orc *o, unsigned ctx);

/* May nothing of [dfn, dfn + nr) be mapped (a window or a device's region)? Then *at is the first such page. */
bool orc_hole(const struct orc *o, uint64_t dfn, uint64_t nr, uint64_t *at);
bool orc_region(const struct orc *o, unsigned ctx, uint64_t dfn, uint64_t nr, uint64_t *at);
struct orc_dev *orc_dev(struct orc *o, uint32_t sbdf);

/* --- oracle_window.c */
/* The windows that a context begins with. */
void orc_window_init(struct orc_ctx *c);
/* The leaf sizes of the window that holds all of [dfn, dfn + nr), which does not wrap; 0: none does, *at is the first page outside. */
uint64_t orc_window(const struct orc *o, unsigned ctx, uint64_t dfn, uint64_t nr, uint64_t *at);
/* Its smallest page, in frames. */
uint64_t orc_window_page(const struct orc *o, unsigned ctx, uint64_t dfn);
/* ENOCTX and EDEFAULT. */
int orc_context_error(const struct orc *o, const struct pvi_op *op);
/* The same for what works on a table of the context's own: ENESTED. */
int orc_table_error(const struct orc *o, const struct pvi_op *op);
bool orc_tolerated(int status, unsigned tolerate);
/* May there be such a leaf? */
bool orc_window_leaf(const struct orc *o, unsigned ctx, uint64_t dfn, unsigned lg2);
const char *orc_judge_window(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate);

/* --- oracle_nested.c */
const char *orc_judge_nested(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate);
/* Has the context nested ones, or PASIDs of dev (NULL: any)? */
bool orc_is_parent(const struct orc *o, unsigned ctx);
bool orc_has_pasids(const struct orc *o, unsigned ctx, const struct pvi_device *dev);
/* Blocks the PASIDs that translate through the context, or (dev) those of a device. */
void orc_drop_pasids(struct orc *o, unsigned ctx, const struct pvi_device *dev);

#endif
