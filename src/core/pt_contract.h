/* SPDX-License-Identifier: MIT */
/*
 * The format contract: what a page-table format must define before it includes pt_engine.inc.h.
 *
 * All of it is pure arithmetic on 64-bit values, static inline, known to the compiler at the call: there is no
 * call through a pointer below the range operations. Level 0 is the last level in every format; a format
 * converts to its manual's numbering only in here. The prototypes make the compiler check each format.
 *
 * A leaf may be larger than what one entry spans: it is then repeated, the same value in 2^order entries that begin at a
 * multiple of 2^order. Never in all entries of a table: that would be a leaf of the level above. Formats without such
 * leaves define PT_REPEATS as 0, and pt_order() and pt_plain_order() as 0.
 */
#ifndef PVIOMMU_PT_CONTRACT_H
#define PVIOMMU_PT_CONTRACT_H

#include <pviommu/pgtable.h>

/** What an entry is. Only these three: an entry never is "almost" a leaf. */
enum pt_kind {
    PT_EMPTY,
    PT_LEAF,
    PT_TABLE
};

/** log2 of the bytes that one entry of this level spans. */
static inline unsigned pt_shift(unsigned level);
/** log2 of the entries that a table of this level uses; at most 9. */
static inline unsigned pt_bits(unsigned level);
/** The highest level whose entries span at most 2^lg2 bytes; lg2 is at least pt_shift(0). */
static inline unsigned pt_level(unsigned lg2);
/** Bits of IOVA that a table of so many levels translates: less than its entries span where half of them is for negative addresses. */
static inline unsigned pt_reach(unsigned levels);
/** What an entry found at this level is. Every value has an answer; 0 is empty at every level, and so is a link that takes rights away: none of ours. */
static inline enum pt_kind pt_kind(uint64_t entry, unsigned level);
/** Is it the link that pt_table() makes for this level (> 0)? Of its own entries only: pt_kind()'s answer, in as few steps as a walk can have. */
static inline bool pt_links(uint64_t entry, unsigned level);
/** Is it a leaf of one entry? */
static inline bool pt_single(uint64_t entry, unsigned level);
/** Is it one that owes nothing, too? Of its own entries only, as pt_links(). */
static inline bool pt_plain(uint64_t entry, unsigned level);
/** log2 of the entries that a leaf found at this level is repeated in; 0 for one that is not. */
static inline unsigned pt_order(uint64_t entry, unsigned level);
/** The same of one that owes nothing and is repeated; 0 for all else. Of its own entries only. */
static inline unsigned pt_plain_order(uint64_t entry, unsigned level);
/** A leaf of this level, to be repeated in 2^order entries: pa is aligned to all that it spans, prot is not 0, owe is an enum pvi_owe. */
static inline uint64_t pt_leaf(const struct pvi_pt_cfg *cfg, uint64_t pa, unsigned level, unsigned order,
                               unsigned prot, unsigned owe);
/** What must be added to a leaf of this level and order 0 to get the one that maps the next span. */
static inline uint64_t pt_leaf_step(unsigned level);
/** An entry of this level (> 0) that points to a table of the level below. It restricts no rights. */
static inline uint64_t pt_table(uint64_t pa, unsigned level);
/** Address that a leaf of this level maps its first byte to: of all of it, when it is repeated. */
static inline uint64_t pt_leaf_pa(uint64_t entry, unsigned level);
/** Address of the table that an entry of this level points to. */
static inline uint64_t pt_table_pa(uint64_t entry, unsigned level);
/** Rights of a leaf: PVI_READ, PVI_WRITE. */
static inline unsigned pt_prot(uint64_t entry, unsigned level);
/** What a leaf owes: enum pvi_owe. */
static inline unsigned pt_owe(uint64_t entry, unsigned level);
/** The bit of a leaf that hardware sets when a device has written; 0: the format has none. */
static inline uint64_t pt_dirty(unsigned level);
/** All bits of a leaf that hardware may set by itself. */
static inline uint64_t pt_touched(unsigned level);

#endif
