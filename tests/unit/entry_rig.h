/* SPDX-License-Identifier: MIT */
/*
 * Memory, the engine's tables and a look at every store, for the tests of entries that name tables.
 * A test adds the unit of the hardware model that walks through all of it.
 */
#ifndef ENTRY_RIG_H
#define ENTRY_RIG_H

#include <hwm.h>
#include <pviommu/gather.h>
#include <pviommu/pool.h>
#include <pviommu_posix.h>

#include "check.h"

struct entry_rig {
    struct pvi_host *host;
    struct pvi_posix_view view; /* of the unit: what was not written back it does not see */
    struct hwm_mem mem;
    struct hwm *hw;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_gather gather;
    uint64_t next_raw;
    void (*on_store)(void *opaque); /* after each store and write-back; NULL: none */
    void *opaque;
    unsigned stores;
};

void entry_rig_up(struct entry_rig *r, bool coherent);
/* Also frees r->hw, which has nothing to complain about. */
void entry_rig_down(struct entry_rig *r);

/* A page of the host's allocator, which may hold anything. */
pvi_pa entry_page(struct entry_rig *r);
pvi_pa entry_pages(struct entry_rig *r, unsigned order);
/* Zeroed memory of the tests' own, n pages, aligned to n. */
uint64_t entry_raw(struct entry_rig *r, unsigned n);
/* A qword as the unit sees it. */
uint64_t entry_word(struct entry_rig *r, uint64_t pa);

/* A table that nobody walks: all that an encoder looks at. */
struct entry_fake {
    struct pvi_pt pt;
    struct pvi_page root;
};
void entry_fake(struct entry_fake *f, const struct pvi_pt_ops *ops, unsigned levels, uint64_t root);

/* A table of the engine with the configuration given, but for what the rig knows. */
void entry_table(struct entry_rig *r, struct pvi_pt *pt, const struct pvi_pt_cfg *cfg);
void entry_map(struct entry_rig *r, struct pvi_pt *pt, uint64_t iova, uint64_t pa, uint64_t len);

#endif
