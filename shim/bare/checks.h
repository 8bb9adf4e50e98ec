/* SPDX-License-Identifier: MIT */
/* What the files of checks share: two guests, two devices, and how to submit and to judge. */
#ifndef BARE_CHECKS_H
#define BARE_CHECKS_H

#include <pviommu/batch.h>

#include "edu.h"
#include "host.h"

/* The control guest's RAM: 64 MiB from frame 0, one frame that is read only, 1 GiB above 4 GiB. */
#define LOW_PA   0x08000000u
#define LOW_NR   0x4000u
#define ROM_GFN  0x8000u
#define ROM_PA   0x0C000000u
#define HIGH_GFN 0x100000u
#define HIGH_PA  0x100000000u
#define HIGH_NR  0x40000u
/* The other guest's RAM. */
#define OTHER_PA 0x10000000u
#define OTHER_NR 0x400u
/* Memory of nobody: two pages that firmware could reserve, and scratch for the devices. */
#define REGION_PA 0x14000000u
#define SPARE_PA  0x14800000u
#define RAM_END   0x15000000u

/* Where each context that reads data back maps its bounce page. */
#define BOUNCE_DFN 0x7u
#define BOUNCE_GFN 0x7u

struct checks {
    struct pvi_host *h;
    struct pvi_hdom *guest; /* control guest */
    struct pvi_hdom *other;
    struct edu edu[2];
    struct pvi_device dev[2];
    uint32_t preemptions, faults;
    void (*on_preempt)(struct checks *c, const struct pvi_op *op);
    unsigned nr, nr_bad;
};

/* One line of TAP. */
void check(struct checks *c, bool good, const char *name);
/* The same for a verdict, with what was seen if it is another. */
void check_dma(struct checks *c, enum edu_verdict got, enum edu_verdict want, const char *name);

/*
 * Runs a batch to its end, however often it is preempted. @return whether every operation
 * succeeded.
 */
bool submit(struct checks *c, struct pvi_hdom *d, struct pvi_op *ops, uint32_t nr);
/* The same for one operation of the control guest. @return its status. */
int run(struct checks *c, struct pvi_op *op);

struct pvi_op op_make(uint16_t code, uint16_t ctx, uint32_t flags);
struct pvi_op op_map(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint64_t nr, uint32_t flags);
struct pvi_op op_unmap(uint16_t ctx, uint64_t dfn, uint64_t nr);
struct pvi_op op_lookup(uint16_t ctx, uint64_t dfn);
struct pvi_op op_reattach(uint16_t ctx, const struct pvi_device *dev);
struct pvi_op op_init(uint32_t contexts, uint32_t pages);

/* Makes a context of the control guest with the bounce page in it. @return its number. */
uint16_t context_make(struct checks *c, uint32_t flags);
/* Frees it, its devices go to the default context. */
bool context_free(struct checks *c, uint16_t ctx);
/* Free pages of the control guest's pool. */
uint32_t pages_free(struct checks *c);

uint64_t low_pa(uint64_t gfn);
uint64_t iova_of(uint64_t dfn);
/* The first DFN that no table reaches. */
uint64_t dfn_end(const struct checks *c);

/* The groups, each leaves both devices in the default context and no other context behind. */
void check_sizes(struct checks *c);
void check_contexts(struct checks *c);
void check_stale(struct checks *c);
void check_split(struct checks *c);
void check_identity(struct checks *c);
void check_exhaustion(struct checks *c);
void check_hostile(struct checks *c);
void check_preemption(struct checks *c);
void check_guests(struct checks *c);
void check_regions(struct checks *c);

#endif
