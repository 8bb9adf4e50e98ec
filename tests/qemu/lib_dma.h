/* SPDX-License-Identifier: MIT */
/*
 * Single DMAs of an edu device with what must come of them, and the device's table seen from
 * outside: from the unit's own tables in memory, by the independent walker.
 */
#ifndef QEMU_LIB_DMA_H
#define QEMU_LIB_DMA_H

#include "hwm.h"
#include "lib_fixture.h"

/* Directions, as the device sees them; also rights (PVI_READ, PVI_WRITE). */
#define LIB_R  PVI_READ
#define LIB_W  PVI_WRITE
#define LIB_RW PVI_RW

/* Reasons of VT-d fault records (hwspec 5.3). */
#define LIB_FAULT_ROOT    1u
#define LIB_FAULT_CONTEXT 2u
#define LIB_FAULT_WRITE   5u
#define LIB_FAULT_READ    6u

/*
 * The device's write to (read of) iova reaches the memory at pa and nothing else; no fault is
 * recorded.
 */
bool lib_lands(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa, unsigned dirs);
/*
 * Nothing moves between the device and pa, where iova led to or would lead to. VT-d: the fault is
 * recorded with its reason, requester and address. AMD-Vi: the model neither writes its event log
 * nor signals a target abort for an entry of zero, so that data which did not move is all there is.
 */
bool lib_blocked(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa, unsigned dirs);
/* The same where the refusal may come from a cached translation: QEMU does not record that. */
bool lib_blocked_cached(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa,
                        unsigned dirs);
/*
 * The same for a device without bounce page, in a context that blocks it: reads are judged by what
 * the device's buffer holds once the device is back in `home`, a context with a bounce page.
 */
bool lib_blocked_everywhere(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa,
                            unsigned home);
/* The next fault recorded is this one; VT-d only. */
bool lib_fault_is(struct lib *l, unsigned reason, const struct lib_dev *dev, uint64_t iova);
/* None is recorded. */
bool lib_no_fault(struct lib *l);

/* Pieces of one transfer. */
struct lib_piece {
    uint64_t pa;
    uint32_t len;
    bool moves;
};

/* One transfer from iova on over several pieces of memory, at most QT_EDU_MAX bytes in all. */
bool lib_transfer(struct lib *l, struct lib_dev *dev, uint64_t iova, const struct lib_piece *pieces,
                  unsigned nr, unsigned dirs);

/* What the unit's tables in memory say of a requester. */
struct lib_entry {
    bool translate; /* there is a table to walk */
    bool blocks;    /* every DMA is refused */
    uint64_t root;
    unsigned levels;
    unsigned did;
};

/* Where a requester's entry lies; 0: the unit has no table for it. */
uint64_t lib_entry_pa(struct lib *l, uint16_t rid);
void lib_read_entry(struct lib *l, uint16_t rid, struct lib_entry *out);

/* Guest RAM as the walker wants it, and the format that it walks. */
void lib_walker(struct lib *l, struct hwm_mem *mem, struct hwm_fmt *fmt);
/* The leaf of iova in the table of a device; false: none. */
bool lib_walk(struct lib *l, const struct lib_dev *dev, uint64_t iova, struct hwm_leaf *leaf);
/* The leaf is there, of this size, leads there. */
bool lib_leaf_is(struct lib *l, const struct lib_dev *dev, uint64_t iova, uint64_t pa, unsigned lg2,
                 unsigned prot);

#endif
