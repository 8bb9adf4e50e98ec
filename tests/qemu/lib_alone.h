/* SPDX-License-Identifier: MIT */
/*
 * One page table alone under the unit of a fixture without domain: the engine's operations, all of
 * them, on a table that devices of QEMU walk. Frames are host addresses; nothing is owed.
 */
#ifndef QEMU_LIB_ALONE_H
#define QEMU_LIB_ALONE_H

#include <pviommu/gather.h>
#include <pviommu/pgtable.h>

#include "lib_dma.h"

struct lib_alone {
    struct lib *l;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    struct pvi_gather gather;
    uint64_t sizes; /* leaves that the table uses */
    uint16_t did;
};

struct lib_alone_cfg {
    unsigned levels;
    uint64_t page_sizes; /* 0: all that the unit walks */
    uint64_t iova_bits;  /* 0: all that the levels reach */
    uint32_t pages;
    bool trim;
};

/* After lib_start_machine() and lib_start_unit(). Every device of the fixture translates through
 * it. */
void lib_alone_open(struct lib_alone *a, struct lib *l, const struct lib_alone_cfg *cfg);
/* Unmaps all that is left; devices are blocked again, every page is back. */
void lib_alone_close(struct lib_alone *a);

/* The unit forgets what the gather names, aligned block by block if these are few, and the gather
 * is released. */
void lib_alone_flush(struct lib_alone *a);
/* The same for another gather on the table: of a thread of its own, say. */
void lib_alone_flush_gather(struct lib_alone *a, struct pvi_gather *g);
/* Pages in use. */
uint32_t lib_alone_pages(struct lib_alone *a);

/*
 * Requests run to their end, without a flush unless the gather is full; they return what the engine
 * said last.
 */
int lib_alone_map(struct lib_alone *a, uint64_t iova, uint64_t pa, uint64_t len, unsigned prot,
                  bool replace);
int lib_alone_unmap(struct lib_alone *a, uint64_t iova, uint64_t len);
int lib_alone_rights(struct lib_alone *a, uint64_t iova, uint64_t len, unsigned prot);
int lib_alone_split(struct lib_alone *a, uint64_t iova, uint64_t len, unsigned lg2);
int lib_alone_collapse(struct lib_alone *a, uint64_t iova, uint64_t len);

#endif
