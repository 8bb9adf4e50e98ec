/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi v1 (host) page-table entries (48882 2.2.3, hwspec 6.9) as a format of the engine.
 *
 *   engine level   AMD level   default leaf
 *   0              1           4 KiB
 *   1              2           2 MiB
 *   2              3           1 GiB
 *   3, 4, 5        4, 5, 6     none here (512 GiB leaves are an erratum)
 *
 *   kind    PR   NextLevel       address
 *   empty   0    -               -           the whole entry is 0
 *   leaf    1    0               page
 *   table   1    AMD level - 1   next table  IR and IW both set: rights are restricted in the leaf alone
 *
 * NextLevel of a table entry equals the level of the table it points to, so levels always decrease by one:
 * nothing is ever skipped. Ignored bits 2:1 keep what a leaf owes.
 */
#ifndef PVIOMMU_AMDVI_V1_FORMAT_H
#define PVIOMMU_AMDVI_V1_FORMAT_H

#include "../core/pt_contract.h"
#include "spec.h"

#define AMDVI_V1_OWE_SHIFT 1u /* within 4:1, ignored by hardware (hwspec 6.9) */
#define AMDVI_V1_OWE ((uint64_t)3 << AMDVI_V1_OWE_SHIFT)
#define AMDVI_V1_PAGE_SIZES (((uint64_t)1 << 12) | ((uint64_t)1 << 21) | ((uint64_t)1 << 30))
#define AMDVI_V1_LEVELS 0x7eu /* modes 1 to 6 (hwspec 6.7) */

static inline unsigned pt_shift(unsigned level)
{
    return 12u + 9u * level;
}

static inline unsigned pt_bits(unsigned level)
{
    return level == 5 ? 7u : 9u; /* level 6 translates IOVA 63:57 only */
}

static inline enum pt_kind pt_kind(uint64_t entry, unsigned level)
{
    if ((entry & AMDVI_PTE_PR) == 0) {
        return PT_EMPTY;
    }
    return level == 0 || (entry & AMDVI_PTE_NEXT_LEVEL) == 0 ? PT_LEAF : PT_TABLE;
}

static inline uint64_t pt_leaf(const struct pvi_pt_cfg *cfg, uint64_t pa, unsigned level, unsigned prot,
                               unsigned owe)
{
    uint64_t entry = pa | AMDVI_PTE_PR | ((uint64_t)owe << AMDVI_V1_OWE_SHIFT);

    (void)level;
    if ((prot & PVI_READ) != 0) {
        entry |= AMDVI_PTE_IR;
    }
    if ((prot & PVI_WRITE) != 0) {
        entry |= AMDVI_PTE_IW;
    }
    return cfg->snoop ? entry | AMDVI_PTE_FC : entry;
}

static inline uint64_t pt_leaf_step(unsigned level)
{
    return (uint64_t)1 << pt_shift(level);
}

static inline uint64_t pt_table(uint64_t pa, unsigned level)
{
    return pa | AMDVI_PTE_PR | ((uint64_t)level << AMDVI_PTE_NEXT_LEVEL_LO) | AMDVI_PTE_IR | AMDVI_PTE_IW;
}

static inline uint64_t pt_leaf_pa(uint64_t entry, unsigned level)
{
    return entry & AMDVI_PTE_ADDR & ~(pt_leaf_step(level) - 1);
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

#endif
