/* SPDX-License-Identifier: MIT */
/*
 * Entries of the processor's own long-mode tables as a format of the engine. Both vendors walk them for guests' own
 * tables: VT-d as its first stage (VT-d 3.6 and 9.7, hwspec 3.2), AMD-Vi as its v2 tables (48882 2.2.6, hwspec 6.10).
 *
 *   engine level   x86 name   leaf
 *   0              PTE        4 KiB
 *   1              PDE        2 MiB with PS
 *   2              PDPTE      1 GiB with PS
 *   3, 4           PML4E, PML5E: tables only, bit 7 is reserved there
 *
 *   kind    P   PS (levels 1, 2)   address
 *   empty   0   -                  -           the whole entry is 0
 *   leaf    1   1 (level 0: -)     page
 *   table   1   0                  next table  R/W set: rights are restricted in the leaf alone
 *
 * U/S is set at every level: a device's access without privilege is a user's. A present entry can always be read, so
 * leaves that can only be written do not exist. A is set beforehand, and D in a leaf that can be written, so that hardware
 * never has to store to a table; with dirty tracking on D is left to hardware. Ignored bits 54:52 keep what a leaf owes.
 *
 * Addresses are sign-extended (canonical): only the lower half is used, one bit less than the entries decode.
 */
#ifndef PVIOMMU_PT_X86_H
#define PVIOMMU_PT_X86_H

#include "pt_contract.h"

#define X86_PTE_P ((uint64_t)1 << 0)
#define X86_PTE_RW ((uint64_t)1 << 1)
#define X86_PTE_US ((uint64_t)1 << 2)
#define X86_PTE_A ((uint64_t)1 << 5)
#define X86_PTE_D ((uint64_t)1 << 6)
#define X86_PTE_PS ((uint64_t)1 << 7)
#define X86_PTE_ADDR ((((uint64_t)1 << 52) - 1) & ~(uint64_t)0xfff) /* 51:12 */
#define X86_PTE_OWE_SHIFT 52u /* within 62:52, ignored by hardware */

#define X86_PAGE_SIZES (((uint64_t)1 << 12) | ((uint64_t)1 << 21) | ((uint64_t)1 << 30))
#define X86_LEVELS ((1u << 4) | (1u << 5))
/* A present entry can be read: rights are read, or read and write. */
#define X86_RIGHTS ((1u << PVI_READ) | (1u << PVI_RW))

#define PT_REPEATS 0

static inline unsigned pt_shift(unsigned level)
{
    return 12u + 9u * level;
}

static inline unsigned pt_bits(unsigned level)
{
    (void)level;
    return 9u;
}

static inline unsigned pt_level(unsigned lg2)
{
    return (lg2 - 12u) / 9u;
}

static inline unsigned pt_reach(unsigned levels)
{
    return 12u + 9u * levels - 1u;
}

static inline enum pt_kind pt_kind(uint64_t entry, unsigned level)
{
    if ((entry & X86_PTE_P) == 0) {
        return PT_EMPTY;
    }
    if (level == 0 || (entry & X86_PTE_PS) != 0) {
        return PT_LEAF;
    }
    return (entry & X86_PTE_RW) != 0 ? PT_TABLE : PT_EMPTY;
}

static inline bool pt_links(uint64_t entry, unsigned level)
{
    (void)level;
    if ((entry & X86_PTE_PS) != 0) { /* tests of their own: one for both takes a copy of the entry */
        return false;
    }
    return (entry & X86_PTE_P) != 0;
}

static inline bool pt_single(uint64_t entry, unsigned level)
{
    return pt_kind(entry, level) == PT_LEAF;
}

static inline bool pt_plain(uint64_t entry, unsigned level)
{
    const uint64_t leaf = level == 0 ? X86_PTE_P : X86_PTE_P | X86_PTE_PS, owe = (uint64_t)PVI_OWE_MAX << X86_PTE_OWE_SHIFT;

    return (entry & (leaf | owe)) == leaf;
}

static inline unsigned pt_order(uint64_t entry, unsigned level)
{
    (void)entry;
    (void)level;
    return 0;
}

static inline unsigned pt_plain_order(uint64_t entry, unsigned level)
{
    (void)entry;
    (void)level;
    return 0;
}

static inline uint64_t pt_leaf(const struct pvi_pt_cfg *cfg, uint64_t pa, unsigned level, unsigned order,
                               unsigned prot, unsigned owe)
{
    uint64_t entry = pa | ((uint64_t)owe << X86_PTE_OWE_SHIFT) | X86_PTE_P | X86_PTE_US | X86_PTE_A;

    (void)order;
    if ((prot & PVI_WRITE) != 0) {
        entry |= cfg->dirty ? X86_PTE_RW : X86_PTE_RW | X86_PTE_D;
    }
    return level > 0 ? entry | X86_PTE_PS : entry;
}

static inline uint64_t pt_leaf_step(unsigned level)
{
    return (uint64_t)1 << pt_shift(level);
}

static inline uint64_t pt_table(uint64_t pa, unsigned level)
{
    (void)level;
    return pa | X86_PTE_P | X86_PTE_RW | X86_PTE_US | X86_PTE_A;
}

static inline uint64_t pt_leaf_pa(uint64_t entry, unsigned level)
{
    return entry & X86_PTE_ADDR & ~(pt_leaf_step(level) - 1);
}

static inline uint64_t pt_table_pa(uint64_t entry, unsigned level)
{
    (void)level;
    return entry & X86_PTE_ADDR;
}

static inline unsigned pt_prot(uint64_t entry, unsigned level)
{
    (void)level;
    /* A shift, where a choice of two takes a comparison in each lookup. */
    return PVI_READ | (unsigned)(entry & X86_PTE_RW) / (unsigned)X86_PTE_RW * PVI_WRITE;
}

static inline unsigned pt_owe(uint64_t entry, unsigned level)
{
    (void)level;
    return (unsigned)(entry >> X86_PTE_OWE_SHIFT) & PVI_OWE_MAX;
}

static inline uint64_t pt_dirty(unsigned level)
{
    (void)level;
    return X86_PTE_D;
}

static inline uint64_t pt_touched(unsigned level)
{
    (void)level;
    return X86_PTE_A | X86_PTE_D;
}

#endif
