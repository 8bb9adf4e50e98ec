/* SPDX-License-Identifier: MIT */
/*
 * VT-d second-stage entries (VT-d 3.7 and 9.8, hwspec 3.1) as a format of the engine.
 *
 *   engine level   VT-d name   leaf
 *   0              SS-PTE      4 KiB
 *   1              SS-PDE      2 MiB with PS
 *   2              SS-PDPE     1 GiB with PS
 *   3, 4           SS-PML4E, SS-PML5E: tables only, bit 7 is reserved there
 *
 *   kind    R|W   PS (levels 1, 2)   address
 *   empty   0     -                  -           the whole entry is 0
 *   leaf    1     1 (level 0: -)     page
 *   table   1     0                  next table  R and W both set: rights are restricted in the leaf alone
 *
 * There is no present bit: an entry is present when R or W is set. Ignored bits 54:52 keep what a leaf owes.
 * A (8) and D (9) are hardware's where the PASID entry has SSADE, else ignored.
 */
#ifndef PVIOMMU_VTD_SS_FORMAT_H
#define PVIOMMU_VTD_SS_FORMAT_H

#include "../core/pt_contract.h"
#include "spec.h"

#define VTD_SS_OWE_SHIFT 52u /* within 61:52, ignored by hardware (hwspec 3.1) */
#define VTD_SS_OWE ((uint64_t)PVI_OWE_MAX << VTD_SS_OWE_SHIFT)
#define VTD_SS_PAGE_SIZES (((uint64_t)1 << 12) | ((uint64_t)1 << 21) | ((uint64_t)1 << 30))
#define VTD_SS_LEVELS ((1u << 3) | (1u << 4) | (1u << 5)) /* AW 1, 2, 3 (hwspec 2.2) */
#define VTD_SS_RIGHTS ((1u << PVI_READ) | (1u << PVI_WRITE) | (1u << PVI_RW))

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
    return 12u + 9u * levels;
}

static inline enum pt_kind pt_kind(uint64_t entry, unsigned level)
{
    if ((entry & (VTD_SSPTE_R | VTD_SSPTE_W)) == 0) {
        return PT_EMPTY;
    }
    if (level == 0 || (entry & VTD_SSPTE_PS) != 0) {
        return PT_LEAF;
    }
    return (entry & VTD_SSPTE_R) != 0 && (entry & VTD_SSPTE_W) != 0 ? PT_TABLE : PT_EMPTY;
}

static inline bool pt_links(uint64_t entry, unsigned level)
{
    (void)level;
    return (uint8_t)entry == (VTD_SSPTE_R | VTD_SSPTE_W); /* of bits 7:0 a link has no other, and hardware changes none */
}

static inline bool pt_single(uint64_t entry, unsigned level)
{
    return pt_kind(entry, level) == PT_LEAF;
}

static inline bool pt_plain(uint64_t entry, unsigned level)
{
    const uint64_t leaf = level == 0 ? 0 : VTD_SSPTE_PS; /* which has rights always */

    return (level != 0 || pt_kind(entry, 0) == PT_LEAF) && (entry & (leaf | VTD_SS_OWE)) == leaf;
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
    uint64_t entry = pa | ((uint64_t)owe << VTD_SS_OWE_SHIFT);

    (void)order;
    entry |= (prot & PVI_RW) * VTD_SSPTE_R; /* and W, the next bit */
    if (level > 0) {
        entry |= VTD_SSPTE_PS;
    }
    /* Bit 11 is reserved on a unit without ECAP.SC (hwspec section 10 item 4). */
    return entry | cfg->snoop * VTD_SSPTE_SNP;
}

static inline uint64_t pt_leaf_step(unsigned level)
{
    return (uint64_t)1 << pt_shift(level);
}

static inline uint64_t pt_table(uint64_t pa, unsigned level)
{
    (void)level;
    return pa | VTD_SSPTE_R | VTD_SSPTE_W;
}

static inline uint64_t pt_leaf_pa(uint64_t entry, unsigned level)
{
    return entry & VTD_SSPTE_ADDR & ~(pt_leaf_step(level) - 1);
}

static inline uint64_t pt_table_pa(uint64_t entry, unsigned level)
{
    (void)level;
    return entry & VTD_SSPTE_ADDR;
}

static inline unsigned pt_prot(uint64_t entry, unsigned level)
{
    (void)level;
    return ((entry & VTD_SSPTE_R) != 0 ? PVI_READ : 0u) | ((entry & VTD_SSPTE_W) != 0 ? PVI_WRITE : 0u);
}

static inline unsigned pt_owe(uint64_t entry, unsigned level)
{
    (void)level;
    return (unsigned)((entry & VTD_SS_OWE) >> VTD_SS_OWE_SHIFT);
}

static inline uint64_t pt_dirty(unsigned level)
{
    (void)level;
    return VTD_SSPTE_D;
}

static inline uint64_t pt_touched(unsigned level)
{
    (void)level;
    return VTD_SSPTE_A | VTD_SSPTE_D;
}

#endif
