/* SPDX-License-Identifier: MIT */
/*
 * A guest with GCR3 and v2 tables of its own, before a v1 table that the host keeps, behind one AMD-Vi
 * unit of the model and the library's driver. All tables are written by hand (hwspec 6.9, 6.10).
 */
#ifndef AMDVI_GUEST_H
#define AMDVI_GUEST_H

#include "amdvi_bench.h"

#define GUEST_RID     0x310
#define GUEST_BLOCKED UINT64_MAX
#define GUEST_GPA     0x123456000ull /* its memory: nothing of the host's is at these addresses */
#define GUEST_PAGES   64u
#define GUEST_ADDR    0xFFFFFFFFFF000ull
#define GUEST_GV      (1ull << 55)          /* w0 of an entry */
#define GUEST_MODE5   (1ull << 54)          /* w2: v2 tables of five levels */
#define GUEST_INTR    0x9000000000fff7c1ull /* w2: what the owner of interrupts may have there */
#define GUEST_CONTROL (1ull << 16 | 1ull << 58) /* GTEn, GCR3TRPMode */
#define INV_GUEST(d, p, a, l)                                                                      \
    ((struct pvi_inv){.kind = PVI_INV_GUEST, .did = (d), .pasid = (p), .iova = (a), .lg2 = (l)})

extern struct bench bench; /* of the test that runs */

struct guest {
    uint64_t v1; /* root of the host's table */
    unsigned nr;
    uint64_t pa[GUEST_PAGES]; /* where its pages lie, from GUEST_GPA on */
};

/* A unit that can do everything. */
struct hwm_amd_cfg guest_hw(void);
/* The unit, its driver told to offer nested entries. */
void guest_up_as(const struct hwm_amd_cfg *hw);
void guest_up(void);

void guest_new(struct guest *g);
/* One more page of the guest; its guest-physical address. */
uint64_t guest_page(struct guest *g);
uint64_t guest_pa(const struct guest *g, uint64_t gpa);
uint64_t *guest_at(const struct guest *g, uint64_t gpa);
/* The last entry on the way to an address: of the v1 table, and of a v2 table, made where needed. */
uint64_t *guest_v1(const struct guest *g, uint64_t gpa);
uint64_t *guest_v2(struct guest *g, uint64_t root, unsigned levels, uint64_t iova);
/* Maps a new page at iova; where it lies. */
uint64_t guest_v2_page(struct guest *g, uint64_t root, unsigned levels, uint64_t iova);
void guest_gcr3(struct guest *g, uint64_t root, unsigned depth, uint32_t pasid, uint64_t v2);

/* Where a write lands, by hwm_dma_req() or hwm_walk_req(); pasid < 0: without one. */
uint64_t guest_go(enum hwm_result (*how)(struct hwm *, const struct hwm_req *, struct hwm_xlat *),
                  uint16_t rid, int pasid, uint64_t iova);
uint64_t guest_dma(int pasid, uint64_t iova);
/* One invalidation, waited for. */
void guest_told(struct pvi_inv inv);
/* What the core does after a switch: the entry, then the pages of the id that it held. */
void guest_moved(uint16_t rid, uint16_t old_did);

struct pvi_dev_entry guest_entry(const struct guest *g, uint16_t did, uint64_t gcr3,
                                 unsigned levels, unsigned depth);
int guest_put(uint16_t rid, struct pvi_dev_entry to);
int guest_nest(const struct guest *g, uint16_t did, uint64_t gcr3, unsigned levels, unsigned depth);

#endif
