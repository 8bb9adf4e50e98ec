/* SPDX-License-Identifier: MIT */
/*
 * Entries with a wrong bit, while the unit looks: stored just before a DMA and put right after it,
 * so that the library never reads what it did not write (hwspec 2.2, 3.1, 6.7, 6.9). The fixture's
 * own pages are spared: a device that does not even reach its bounce page would prove nothing.
 */
#include <stdlib.h>

#include "mutants.h"

#define VTD_R     UINT64_C(1)
#define VTD_W     UINT64_C(2)
#define VTD_PS    UINT64_C(0x80)
#define AMD_PR    UINT64_C(1)
#define AMD_NEXT  UINT64_C(0x200) /* one level */
#define AMD_IR    (UINT64_C(1) << 61)
#define AMD_IW    (UINT64_C(1) << 62)
#define MAX_SAVED 65536u

enum place { LEAF_4K, LEAF_2M, LEAF_LARGE, LEAF_ANY, LEAF_READ_ONLY, LEAF_WRITE_ONLY, LINK };

/* What is wrong, by vendor: bits flipped at all entries of a kind. */
static struct {
    enum place place;
    uint64_t flip;
    struct lib *l;
    struct {
        uint64_t pa, value;
    } saved[MAX_SAVED];
    unsigned nr;
} wrong;

static void flip(uint64_t pa, uint64_t bits)
{
    volatile uint64_t *entry = qt_ptr(wrong.l->qt, pa, 8);

    if (wrong.nr == MAX_SAVED)
        qt_fatal(wrong.l->qt, "more than %u entries to spoil", MAX_SAVED);
    wrong.saved[wrong.nr].pa = pa;
    wrong.saved[wrong.nr++].value = *entry;
    *entry ^= bits;
}

static void put_right(void)
{
    while (wrong.nr > 0) {
        volatile uint64_t *entry = qt_ptr(wrong.l->qt, wrong.saved[--wrong.nr].pa, 8);

        *entry = wrong.saved[wrong.nr].value;
    }
}

static bool meant(const struct hwm_leaf *leaf)
{
    switch (wrong.place) {
    case LEAF_4K:
        return leaf->lg2 == 12;
    case LEAF_2M:
        return leaf->lg2 == 21;
    case LEAF_LARGE:
        return leaf->lg2 > 12;
    case LEAF_READ_ONLY:
        return leaf->r && !leaf->w;
    case LEAF_WRITE_ONLY:
        return leaf->w && !leaf->r;
    case LEAF_ANY:
        return true;
    default:
        return false;
    }
}

static void see_leaf(void *ctx, const struct hwm_leaf *leaf)
{
    (void)ctx;
    if (leaf->iova - LIB_OWN_IOVA >= LIB_OWN_SIZE && meant(leaf))
        flip(leaf->entry_pa, wrong.flip);
}

/* Links of last-level tables: their parent entry is found by walking down to where they begin. */
static void see_table(void *ctx, const struct hwm_table *table)
{
    const struct lib_entry *entry = ctx;
    uint64_t pa = entry->root, next;
    unsigned level = entry->levels;

    if (wrong.place != LINK || table->level != 1 || table->root ||
        table->iova - LIB_OWN_IOVA < LIB_OWN_SIZE)
        return;
    for (;; level--) {
        next = pa + (table->iova >> (12 + 9 * (level - 1)) & 511) * 8;
        if (level == 2)
            break;
        pa = *(volatile uint64_t *)qt_ptr(wrong.l->qt, next, 8) & UINT64_C(0x000FFFFFFFFFF000);
    }
    flip(next, wrong.flip);
}

/* Every device's table; two devices may share one. */
static void spoil(struct lib *l, bool begin)
{
    uint64_t done[LIB_DEVS];
    unsigned i, j, nr = 0;
    struct hwm_visit out;
    struct hwm_mem mem;
    struct hwm_fmt fmt;

    if (!begin) {
        put_right();
        return;
    }
    lib_walker(l, &mem, &fmt);
    for (i = 0; i < l->nr_devs; i++) {
        struct lib_entry entry;
        struct hwm_visitor v = { .ctx = &entry, .leaf = see_leaf, .table = see_table };

        lib_read_entry(l, l->dev[i].rid, &entry);
        for (j = 0; j < nr && done[j] != entry.root; j++)
            continue;
        if (!entry.translate || j < nr)
            continue;
        done[nr++] = entry.root;
        hwm_visit_table(&mem, &fmt, entry.root, entry.levels, &v, &out);
    }
}

/* The entry of every device: another depth, or none of the bits that make it block. */
static void spoil_entries(struct lib *l, bool begin)
{
    unsigned i;

    if (!begin) {
        put_right();
        return;
    }
    for (i = 0; i < l->nr_devs; i++) {
        uint64_t pa = lib_entry_pa(l, l->dev[i].rid);

        if (pa != 0)
            flip(pa + (l->cfg.amd ? 0 : 8), wrong.flip);
    }
}

static void arm(struct lib *l, enum place place, uint64_t vtd, uint64_t amd)
{
    wrong.l = l;
    wrong.place = place;
    wrong.flip = l->cfg.amd ? amd : vtd;
    l->bracket = spoil;
}

static void arm_no_write(struct lib *l)
{
    arm(l, LEAF_ANY, VTD_W, AMD_IW);
}

static void arm_no_read(struct lib *l)
{
    arm(l, LEAF_ANY, VTD_R, AMD_IR);
}

static void arm_more_write(struct lib *l)
{
    arm(l, LEAF_READ_ONLY, VTD_W, AMD_IW);
}

static void arm_more_read(struct lib *l)
{
    arm(l, LEAF_WRITE_ONLY, VTD_R, AMD_IR);
}

static void arm_address_4k(struct lib *l)
{
    arm(l, LEAF_4K, LIB_PAGE, LIB_PAGE);
}

static void arm_address_2m(struct lib *l)
{
    arm(l, LEAF_2M, 2 * LIB_MIB, 2 * LIB_MIB);
}

static void arm_not_large(struct lib *l)
{
    arm(l, LEAF_2M, VTD_PS, AMD_NEXT);
}

static void arm_reserved(struct lib *l)
{
    arm(l, LEAF_LARGE, LIB_PAGE, 0);
}

static void arm_link_no_write(struct lib *l)
{
    arm(l, LINK, VTD_W, AMD_IW);
}

static void arm_link_level(struct lib *l)
{
    arm(l, LINK, 0, 3 * AMD_NEXT); /* a table of level 1 taken for one of level 2 */
}

static void arm_link_as_leaf(struct lib *l)
{
    arm(l, LINK, VTD_PS, AMD_NEXT);
}

static void arm_leaf_absent(struct lib *l)
{
    arm(l, LEAF_ANY, 0, AMD_PR);
    l->bracket_walk = true;
}

static void arm_entry_depth(struct lib *l)
{
    wrong.l = l;
    wrong.flip = l->cfg.amd ? UINT64_C(7) << 9 : 3; /* Mode 4 to 3; AW 2 to 1 */
    l->bracket = spoil_entries;
}

static void arm_entry_open(struct lib *l)
{
    wrong.l = l;
    wrong.flip = 3; /* V and TV */
    l->bracket = spoil_entries;
}

const struct mutant table_mutants[] = {
    { "leaves without the right to write", ON_BOTH, JUDGE_DMA, arm_no_write, lib_check_leaves, 0 },
    { "leaves without the right to read", ON_BOTH, JUDGE_DMA, arm_no_read, lib_check_leaves, 0 },
    { "read-only leaves that can be written", ON_BOTH, JUDGE_DMA, arm_more_write, lib_check_rights,
      0 },
    { "write-only leaves that can be read", ON_BOTH, JUDGE_DMA, arm_more_read, lib_check_rights,
      0 },
    { "the neighbour's address in a 4 KiB leaf", ON_BOTH, JUDGE_DMA, arm_address_4k,
      lib_check_crossing, 0 },
    { "the neighbour's address in a 2 MiB leaf", ON_BOTH, JUDGE_DMA, arm_address_2m,
      lib_check_leaves, 0 },
    { "the neighbour's address, random batches", ON_BOTH, JUDGE_DMA, arm_address_4k, check_random,
      NEED_NICS },
    { "a 2 MiB leaf marked as a link", ON_BOTH, JUDGE_DMA, arm_not_large, lib_check_leaves, 0 },
    { "a reserved bit in a large leaf", ON_VTD, JUDGE_DMA, arm_reserved, lib_check_leaves, 0 },
    { "links without the right to write", ON_BOTH, JUDGE_DMA, arm_link_no_write, lib_check_leaves,
      0 },
    { "links to a table of the wrong level", ON_AMDVI, JUDGE_DMA, arm_link_level, lib_check_leaves,
      0 },
    { "a link marked as a 2 MiB leaf", ON_BOTH, JUDGE_DMA, arm_link_as_leaf, lib_check_leaves, 0 },
    { "device entries of another depth", ON_BOTH, JUDGE_DMA, arm_entry_depth, lib_check_leaves, 0 },
    { "device entries that let all pass", ON_AMDVI, JUDGE_DMA, arm_entry_open, NULL, 0 },
    { "leaves that are not present", ON_AMDVI, JUDGE_WALKER, arm_leaf_absent, lib_check_leaves, 0 },
};
const unsigned nr_table_mutants = sizeof(table_mutants) / sizeof(table_mutants[0]);
