/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi v1 (host) page-table entries (48882 2.2.3, hwspec 6.9) as a format of the engine.
 *
 *   engine level   AMD level   default leaf   leaves of repeated entries
 *   0              1           4 KiB          8 KiB .. 1 MiB
 *   1              2           2 MiB          4 MiB .. 512 MiB
 *   2              3           1 GiB          2 GiB .. 256 GiB
 *   3              4           -              1 TiB .. 128 TiB
 *   4              5           256 TiB        512 TiB .. 2 PiB
 *   5              6           -              -
 *
 * 512 GiB, the default leaf of AMD level 4, is never made: hardware gets it wrong (hwspec 6.9).
 *
 *   kind    PR   NextLevel       address
 *   empty   0    -               -           the whole entry is 0
 *   leaf    1    0               page
 *   leaf    1    7               page, and its size: the bits below log2(size) - 1 are ones, bit log2(size) - 1 is 0
 *   table   1    AMD level - 1   next table  IR and IW both set: rights are restricted in the leaf alone
 *
 * NextLevel of a table entry equals the level of the table it points to, so levels always decrease by one:
 * nothing is ever skipped. Ignored bits 3:1 keep what a leaf owes, and ignored bit 7 marks our links: whether NextLevel is
 * one of 1 to 6 takes two tests, and every walk asks at each level. A (5) and D (6) are hardware's where the DTE has HAD.
 */
#ifndef PVIOMMU_AMDVI_V1_FORMAT_H
#define PVIOMMU_AMDVI_V1_FORMAT_H

#include "../core/pt_contract.h"
#include "spec.h"

#define AMDVI_V1_OWE_SHIFT 1u /* within 4:1, ignored by hardware (hwspec 6.9) */
#define AMDVI_V1_OWE ((uint64_t)PVI_OWE_MAX << AMDVI_V1_OWE_SHIFT)
#define AMDVI_V1_LINK ((uint64_t)1 << 7) /* within 8:7, ignored by hardware (hwspec 6.9) */
/* Every power of two from 4 KiB to 2 PiB but 512 GiB. */
#define AMDVI_V1_PAGE_SIZES ((((uint64_t)1 << 52) - ((uint64_t)1 << 12)) & ~((uint64_t)1 << 39))
#define AMDVI_V1_LEVELS 0x7eu /* modes 1 to 6 (hwspec 6.7) */
#define AMDVI_V1_RIGHTS ((1u << PVI_READ) | (1u << PVI_WRITE) | (1u << PVI_RW))

#define PT_REPEATS 1

static inline unsigned pt_shift(unsigned level)
{
    return 12u + 9u * level;
}

static inline unsigned pt_bits(unsigned level)
{
    return level == 5 ? 7u : 9u; /* level 6 translates IOVA 63:57 only */
}

static inline unsigned pt_level(unsigned lg2)
{
    return (lg2 - 12u) / 9u;
}

static inline unsigned pt_reach(unsigned levels)
{
    return levels == 6 ? 64u : 12u + 9u * levels;
}

static inline enum pt_kind pt_kind(uint64_t entry, unsigned level)
{
    uint64_t next = entry & AMDVI_PTE_NEXT_LEVEL;

    if ((entry & AMDVI_PTE_PR) == 0) {
        return PT_EMPTY;
    }
    if (level == 0 || next == 0 || next == AMDVI_PTE_NEXT_LEVEL) {
        return PT_LEAF;
    }
    return (entry & AMDVI_PTE_IR) != 0 && (entry & AMDVI_PTE_IW) != 0 ? PT_TABLE : PT_EMPTY;
}

static inline bool pt_links(uint64_t entry, unsigned level)
{
    (void)level;
    return __builtin_expect((entry & AMDVI_V1_LINK) != 0, 1);
}

static inline bool pt_single(uint64_t entry, unsigned level)
{
    (void)level;
    return (entry & (AMDVI_PTE_PR | AMDVI_PTE_NEXT_LEVEL)) == AMDVI_PTE_PR;
}

static inline bool pt_plain(uint64_t entry, unsigned level)
{
    (void)level;
    return (entry & (AMDVI_PTE_PR | AMDVI_PTE_NEXT_LEVEL | AMDVI_V1_OWE)) == AMDVI_PTE_PR;
}

/* The size is twice what the lowest zero from bit 12 on stands for. */
static inline unsigned v1_order(uint64_t entry, unsigned level)
{
    return (unsigned)__builtin_ctzll(~entry & AMDVI_PTE_ADDR) + 1u - pt_shift(level);
}

static inline unsigned pt_order(uint64_t entry, unsigned level)
{
    const uint64_t repeated = AMDVI_PTE_PR | AMDVI_PTE_NEXT_LEVEL; /* PR is set; asked for, so that pt_single() before answers this, too */

    return (entry & repeated) == repeated ? v1_order(entry, level) : 0;
}

static inline unsigned pt_plain_order(uint64_t entry, unsigned level)
{
    const uint64_t repeated = AMDVI_PTE_PR | AMDVI_PTE_NEXT_LEVEL;

    return (entry & (repeated | AMDVI_V1_OWE)) == repeated ? v1_order(entry, level) : 0;
}

static inline uint64_t pt_leaf(const struct pvi_pt_cfg *cfg, uint64_t pa, unsigned level, unsigned order,
                               unsigned prot, unsigned owe)
{
    uint64_t entry = pa | AMDVI_PTE_PR | ((uint64_t)owe << AMDVI_V1_OWE_SHIFT);

    if (order > 0) {
        entry |= AMDVI_PTE_NEXT_LEVEL | ((((uint64_t)1 << (pt_shift(level) + order - 1u)) - 1u) & AMDVI_PTE_ADDR);
    }
    entry |= (prot & PVI_RW) * AMDVI_PTE_IR; /* and IW, the next bit */
    return entry | cfg->snoop * AMDVI_PTE_FC;
}

static inline uint64_t pt_leaf_step(unsigned level)
{
    return (uint64_t)1 << pt_shift(level);
}

static inline uint64_t pt_table(uint64_t pa, unsigned level)
{
    return pa | AMDVI_PTE_PR | AMDVI_V1_LINK | ((uint64_t)level << AMDVI_PTE_NEXT_LEVEL_LO) | AMDVI_PTE_IR | AMDVI_PTE_IW;
}

static inline uint64_t pt_leaf_pa(uint64_t entry, unsigned level)
{
    return entry & AMDVI_PTE_ADDR & ~(((uint64_t)1 << (pt_shift(level) + pt_order(entry, level))) - 1u);
}

static inline uint64_t pt_table_pa(uint64_t entry, unsigned level)
{
    (void)level;
    return entry & AMDVI_PTE_ADDR;
}

static inline unsigned pt_prot(uint64_t entry, unsigned level)
{
    (void)level;
    return ((entry & AMDVI_PTE_IR) != 0 ? PVI_READ : 0u) | ((entry & AMDVI_PTE_IW) != 0 ? PVI_WRITE : 0u);
}

static inline unsigned pt_owe(uint64_t entry, unsigned level)
{
    (void)level;
    return (unsigned)((entry & AMDVI_V1_OWE) >> AMDVI_V1_OWE_SHIFT);
}

static inline uint64_t pt_dirty(unsigned level)
{
    (void)level;
    return AMDVI_PTE_D;
}

static inline uint64_t pt_touched(unsigned level)
{
    (void)level;
    return AMDVI_PTE_A | AMDVI_PTE_D;
}

#endif
