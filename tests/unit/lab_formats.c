/* SPDX-License-Identifier: MIT */
/* See lab_formats.h; hwspec 3.1, 3.2, 6.9, 6.10, and which ignored bits are software's (docs/design.md). */
#include "lab_formats.h"

#include <pviommu/amdvi.h>
#include <pviommu/vtd.h>

#include "fmt_hostile.h"

#define K4 0x1000ull
#define M2 0x200000ull
#define G1 0x40000000ull

static unsigned owe_at_52(uint64_t entry, unsigned level)
{
    (void)level;
    return (unsigned)(entry >> 52) & 7;
}

static unsigned owe_at_1(uint64_t entry, unsigned level)
{
    (void)level;
    return (unsigned)(entry >> 1) & 7;
}

static unsigned owe_hostile(uint64_t entry, unsigned level)
{
    return (unsigned)((entry >> 9) + 3 - level) & 3;
}

static uint64_t dirty_9(unsigned level)
{
    (void)level;
    return 1ull << 9;
}

static uint64_t dirty_6(unsigned level)
{
    (void)level;
    return 1ull << 6;
}

static uint64_t dirty_hostile(unsigned level)
{
    return 1ull << (53 + level);
}

static uint64_t accessed_8(unsigned level)
{
    (void)level;
    return 1ull << 8;
}

static uint64_t accessed_5(unsigned level)
{
    (void)level;
    return 1ull << 5;
}

static uint64_t accessed_hostile(unsigned level)
{
    return 1ull << (59 + level);
}

const struct lab_format lab_vtd = {
    .name = "vtd-ss",
    .ops = &pvi_vtd_ss_ops,
    .shift = {12, 21, 30, 39, 48, 0},
    .bits = {9, 9, 9, 9, 9, 0},
    .sizes = K4 | M2 | G1,
    .rights = 0xe,
    .visit = hwm_visit_vtdss,
    .owe = owe_at_52,
    .dirty = dirty_9,
    .accessed = accessed_8,
};

const struct lab_format lab_fs = {
    .name = "vtd-fs",
    .ops = &pvi_vtd_fs_ops,
    .shift = {12, 21, 30, 39, 48, 0},
    .bits = {9, 9, 9, 9, 9, 0},
    .sizes = K4 | M2 | G1,
    .rights = 0xa,
    .half = true,
    .d_preset = true,
    .visit = hwm_visit_x86,
    .owe = owe_at_52,
    .dirty = dirty_6,
    .accessed = accessed_5,
};

const struct lab_format lab_v2 = {
    .name = "amdvi-v2",
    .ops = &pvi_amdvi_v2_ops,
    .shift = {12, 21, 30, 39, 48, 0},
    .bits = {9, 9, 9, 9, 9, 0},
    .sizes = K4 | M2 | G1,
    .rights = 0xa,
    .half = true,
    .d_preset = true,
    .visit = hwm_visit_x86,
    .owe = owe_at_52,
    .dirty = dirty_6,
    .accessed = accessed_5,
};

const struct lab_format lab_amd = {
    .name = "amdvi-v1",
    .ops = &pvi_amdvi_v1_ops,
    .shift = {12, 21, 30, 39, 48, 57},
    .bits = {9, 9, 9, 9, 9, 7},
    .sizes = ((1ull << 52) - K4) & ~(1ull << 39),
    .sets = {UINT64_MAX, K4 | 0x10000 | M2, M2 | G1 | 0x1fc00000, K4 | 0x8000 | 2 * M2},
    .rights = 0xe,
    .visit = hwm_visit_amdv1,
    .owe = owe_at_1,
    .dirty = dirty_6,
    .accessed = accessed_5,
};

const struct lab_format lab_hostile = {
    .name = "hostile",
    .ops = &hostile_ops,
    .shift = {12, 20, 27, 36, 0, 0},
    .bits = {8, 7, 9, 6, 0, 0},
    .sizes = K4 | 0x3e000 | 1ull << 20 | 1ull << 23 | 1ull << 27,
    .sets = {UINT64_MAX, K4 | 0x4000 | 0x20000 | 1ull << 20, 0},
    .rights = 0xe,
    .visit = hostile_visit,
    .owe = owe_hostile,
    .dirty = dirty_hostile,
    .accessed = accessed_hostile,
};

const struct lab_depth lab_depths[] = {
    {&lab_vtd, 3},     {&lab_vtd, 4},     {&lab_vtd, 5},     {&lab_fs, 4},  {&lab_fs, 5},  {&lab_v2, 4},
    {&lab_v2, 5},      {&lab_amd, 1},     {&lab_amd, 2},     {&lab_amd, 3}, {&lab_amd, 4}, {&lab_amd, 5},
    {&lab_amd, 6},     {&lab_hostile, 1}, {&lab_hostile, 2}, {&lab_hostile, 3}, {&lab_hostile, 4},
};
const unsigned lab_nr_depths = sizeof(lab_depths) / sizeof(lab_depths[0]);

uint64_t lab_usable(const struct lab_format *f, unsigned levels, uint64_t asked)
{
    uint64_t usable = 0;

    for (unsigned level = 0; level < levels; level++) {
        uint64_t one = 1ull << f->shift[level], half = one << (f->bits[level] - 1);
        uint64_t here = f->sizes & asked & ((half << 1) - 1) & ~(one - 1);

        if (usable == 0 && (here & one) == 0) {
            continue;
        }
        usable |= here;
        if ((here & (one | half)) == 0) {
            break;
        }
    }
    return usable;
}

uint64_t lab_reach(const struct lab_format *f, unsigned levels)
{
    unsigned bits = f->shift[levels - 1] + f->bits[levels - 1] - (f->half ? 1u : 0u);

    return bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
}

unsigned lab_level_of(const struct lab_format *f, uint64_t size)
{
    unsigned level = 0;

    while (level + 1 < PVI_MAX_LEVELS && f->shift[level + 1] != 0 && 1ull << f->shift[level + 1] <= size) {
        level++;
    }
    return level;
}
