/* SPDX-License-Identifier: MIT */
/* The hostile format as the engine sees it; see fmt_hostile.h. */
#include "fmt_hostile.h"

#include "../../src/core/pt_contract.h"

#define PT_REPEATS 1

static const uint8_t hostile_shift[] = {12, 20, 27, 36};
static const uint8_t hostile_bits[] = {8, 7, 9, 6};

static inline unsigned pt_shift(unsigned level)
{
    return hostile_shift[level];
}

static inline unsigned pt_bits(unsigned level)
{
    return hostile_bits[level];
}

static inline unsigned pt_level(unsigned lg2)
{
    return lg2 >= 36 ? 3u : lg2 >= 27 ? 2u : lg2 >= 20 ? 1u : 0u;
}

static inline unsigned pt_reach(unsigned levels)
{
    return hostile_shift[levels - 1] + hostile_bits[levels - 1];
}

static inline enum pt_kind pt_kind(uint64_t entry, unsigned level)
{
    if ((entry >> (1 + level) & 1) == 0) {
        return PT_EMPTY;
    }
    return (entry >> (6 + level) & 1) != 0 ? PT_LEAF : PT_TABLE;
}

static inline bool pt_links(uint64_t entry, unsigned level)
{
    return (entry >> (1 + level) & 1) != 0 && (entry >> (6 + level) & 1) == 0;
}

static inline bool pt_single(uint64_t entry, unsigned level)
{
    return pt_kind(entry, level) == PT_LEAF && (entry >> (2 + level) & 7) == 0;
}

static inline bool pt_plain(uint64_t entry, unsigned level)
{
    return (entry >> (1 + level) & 1) != 0 && (entry >> (6 + level) & 1) != 0 && (entry >> (2 + level) & 7) == 0 &&
           (entry >> 9 & 3) == ((level + 1) & 3);
}

static inline unsigned pt_order(uint64_t entry, unsigned level)
{
    return (unsigned)(entry >> (2 + level)) & 7;
}

static inline unsigned pt_plain_order(uint64_t entry, unsigned level)
{
    return (entry >> (1 + level) & 1) != 0 && (entry >> (6 + level) & 1) != 0 && (entry >> 9 & 3) == ((level + 1) & 3) ? pt_order(entry, level)
                                                                                                                   : 0;
}

static inline uint64_t pt_leaf(const struct pvi_pt_cfg *cfg, uint64_t pa, unsigned level, unsigned order,
                               unsigned prot, unsigned owe)
{
    uint64_t entry = (pa >> 12) << (11 + level);

    (void)cfg;
    entry |= 1ull << (1 + level) | 1ull << (6 + level) | (uint64_t)order << (2 + level);
    entry |= (uint64_t)((owe + level + 1) & 3) << 9;
    entry |= (uint64_t)((prot & PVI_WRITE) != 0) << (58 - level);
    return entry | (uint64_t)((prot & PVI_READ) != 0) << (62 - level);
}

static inline uint64_t pt_leaf_step(unsigned level)
{
    return 1ull << (hostile_shift[level] - 12 + 11 + level);
}

static inline uint64_t pt_table(uint64_t pa, unsigned level)
{
    return (pa >> 12) << (14 - level) | 1ull << (1 + level);
}

static inline uint64_t pt_leaf_pa(uint64_t entry, unsigned level)
{
    return (entry >> (11 + level) & 0xffffffffffull) << 12;
}

static inline uint64_t pt_table_pa(uint64_t entry, unsigned level)
{
    return (entry >> (14 - level) & 0xffffffffffull) << 12;
}

static inline unsigned pt_prot(uint64_t entry, unsigned level)
{
    return ((entry >> (62 - level) & 1) != 0 ? PVI_READ : 0u) | ((entry >> (58 - level) & 1) != 0 ? PVI_WRITE : 0u);
}

static inline unsigned pt_owe(uint64_t entry, unsigned level)
{
    return (unsigned)((entry >> 9) - level - 1) & 3;
}

static inline uint64_t pt_dirty(unsigned level)
{
    return 1ull << (53 + level);
}

static inline uint64_t pt_touched(unsigned level)
{
    return 1ull << (53 + level) | 1ull << (59 + level);
}

#define PT_NAME "hostile"
#define PT_OPS hostile_ops
#define PT_PAGE_SIZES HOSTILE_PAGE_SIZES
#define PT_LEVELS HOSTILE_LEVELS
#define PT_RIGHTS 0xeu
#include "../../src/core/pt_engine.inc.h"
