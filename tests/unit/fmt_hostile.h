/* SPDX-License-Identifier: MIT */
/*
 * A page-table format that no hardware has, made so that an assumption about formats in the engine fails.
 *
 *   level   entries   bytes an entry spans   leaf   repeated leaves
 *   0       256       4 KiB                  yes    8, 16, 32, 64, 128 KiB
 *   1       128       1 MiB                  yes    8 MiB
 *   2       512       128 MiB                yes    none
 *   3       64        64 GiB                 no     none
 *
 * Bits of an entry move with its level L:
 *   1 + L           present
 *   4 + L:2 + L     of a leaf: it is repeated in 2^n entries
 *   6 + L           leaf (set at level 0 as well)
 *   10:9            of a leaf: what it owes, plus L + 1, modulo 4
 *   50 + L:11 + L   of a leaf: frame number
 *   53 - L:14 - L   of a link: frame number of the table
 *   53 + L, 59 + L  of a leaf: a device has written, has read
 *   58 - L, 62 - L  of a leaf: write, read; links carry no rights
 */
#ifndef FMT_HOSTILE_H
#define FMT_HOSTILE_H

#include <pviommu/pgtable.h>

#include "hwm.h"

#define HOSTILE_PAGE_SIZES (0x3full << 12 | (1ull << 20) | (1ull << 23) | (1ull << 27))
#define HOSTILE_LEVELS 0x1eu /* 1 to 4 levels: 20, 27, 36, 42 bits */

/* The format through the engine. */
extern const struct pvi_pt_ops hostile_ops;

/* A walker that shares no code with it; like hwm_visit_table(), but only what the engine's tests need. */
bool hostile_visit(const struct hwm_mem *mem, uint64_t root, unsigned levels, const struct hwm_visitor *v,
                   struct hwm_visit *out);

#endif
