/* SPDX-License-Identifier: MIT */
/*
 * One IOMMU unit driven by bare register writes, and page tables built by bare stores: what a test
 * needs to know of the hardware to judge the harness without any library in between.
 */
#ifndef QEMU_RAW_UNIT_H
#define QEMU_RAW_UNIT_H

#include "qtest.h"

#define RAW_LEVELS 4u
#define RAW_READ   1u
#define RAW_WRITE  2u

struct raw_unit {
    struct qt *qt;
    bool amd;
    uint64_t devices; /* context table or device table */
    uint64_t ring;
    uint64_t status; /* completion word */
    uint32_t tail;
    uint32_t seq;
};

void raw_store64(struct raw_unit *m, uint64_t pa, uint64_t value);

/* A page-table entry: a leaf of this level (0 = 4 KiB), or a link to a table of level - 1. */
uint64_t raw_entry(struct raw_unit *m, uint64_t pa, unsigned int level, bool leaf,
                   unsigned int rights);

/* Tables in between are allocated, every one of them permits everything; no rights = unmap. */
void raw_map_at(struct raw_unit *m, uint64_t root, uint64_t iova, uint64_t pa, unsigned int rights,
                unsigned int leaf_level);
void raw_map(struct raw_unit *m, uint64_t root, uint64_t iova, uint64_t pa, unsigned int rights);

/* Ring, tables, translation on; false names the step that failed. No device passes on VT-d. */
bool raw_up(struct raw_unit *m, struct qt *qt, bool amd, const char **step);
void raw_attach(struct raw_unit *m, uint16_t bdf, uint64_t root, uint16_t domain);

/* False when the completion is not there as soon as the register write has been answered. */
bool raw_invalidate_all(struct raw_unit *m);
bool raw_invalidate_page(struct raw_unit *m, uint16_t domain, uint64_t iova);

/* Whether the one fault record of VT-d holds this fault; it is cleared. */
bool raw_vtd_fault_is(struct raw_unit *m, unsigned int reason, uint16_t bdf, uint64_t iova);

#endif
