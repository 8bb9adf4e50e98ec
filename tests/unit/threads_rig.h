/* SPDX-License-Identifier: MIT */
/*
 * One guest with two contexts under a unit without hardware, for tests with several threads:
 * batches of one operation, what they must answer by a flat model, and the tables as an independent
 * walker reads them at the end.
 */
#ifndef THREADS_RIG_H
#define THREADS_RIG_H

#include <pthread.h>
#include <pviommu/batch.h>
#include <pviommu_posix.h>

#include "flat.h"
#include "hwm.h"

/* Guest frames, by number; each range lies in one piece, aligned to a gigabyte. */
#define TH_GFN_PV  0x0ull /* 1 GiB, counted */
#define TH_NR_PV   0x40000ull
#define TH_GFN_ANY 0x8000000ull /* 1 TiB, owes nothing */
#define TH_NR_ANY  0x10000000ull

#define TH_GIB 0x40000ull /* pages */

/* How often something is done, and how often where ThreadSanitizer looks on. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TH_TIMES(usual, watched) (watched)
#endif
#endif
#ifndef TH_TIMES
#define TH_TIMES(usual, watched) (usual)
#endif

struct threads_cfg {
    const struct pvi_pt_ops *format;
    unsigned levels;
    uint64_t sizes;
    bool trim, np_cache, coherent;
    bool nested; /* units and domain have nested contexts, four of them beside the two, and PASIDs */
    uint32_t pages;
};

struct threads_rig {
    struct threads_cfg cfg;
    struct pvi_host *host;
    struct pvi_hdom *owner;
    struct pvi_system system;
    struct pvi_posix_null unit;
    struct pvi_device dev[2]; /* in context 1, in context 2 */
    struct pvi_domain guest;
};

/* All formats and depths worth a run, trim on and off; ends with a format of NULL. */
extern const struct threads_cfg threads_cfgs[];

void threads_up(struct threads_rig *r, const struct threads_cfg *cfg);
/* Frees both contexts, ends the guest: every frame and page must be back. */
void threads_down(struct threads_rig *r);

#define TH_NR_FORMATS 4u
extern const struct pvi_pt_ops *const threads_formats[TH_NR_FORMATS];

/* One operation of another CPU, run to its end in the middle of what somebody does; returns its status. */
int threads_submit(struct pvi_domain *d, struct pvi_op *op);
/* Any operation of the guest's own, run to its end, nothing of it being due then; returns its status. */
int threads_run(struct threads_rig *r, struct pvi_op *op);
/* One operation, run to its end; returns its status, *done (may be NULL) its progress in pages. */
int threads_map(struct threads_rig *r, unsigned ctx, uint64_t dfn, uint64_t gfn, uint64_t nr,
                uint64_t *done);
int threads_unmap(struct threads_rig *r, unsigned ctx, uint64_t dfn, uint64_t nr, uint64_t *done);
int threads_lookup(struct threads_rig *r, unsigned ctx, uint64_t dfn, uint64_t *gfn);
/* Frees a context, and makes it again with its device in it. Both must succeed; returns the first
 * status that is not 0. */
int threads_renew(struct threads_rig *r, unsigned ctx);

/* What the walker finds in the context's table; the caller frees it. Fails the test when the tables
 * are bad. */
struct flat *threads_walk(struct threads_rig *r, unsigned ctx);
uint64_t threads_pa(uint64_t gfn);
/* Frames of the counted range are held exactly as often as these pages lead to them. */
void threads_check_counts(struct threads_rig *r, const struct flat *const *found, unsigned nr);

/* A generator for each thread. */
uint64_t threads_below(uint64_t *seed, uint64_t n);

#endif
