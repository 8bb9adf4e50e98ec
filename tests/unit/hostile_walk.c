/* SPDX-License-Identifier: MIT */
/* The hostile format as its hardware would read it, from the table in fmt_hostile.h alone. */
#include <string.h>

#include "fmt_hostile.h"

struct hostile_level {
    unsigned entries, span_lg2;
    uint64_t present, leaf, read, write, read_by, written;
    unsigned leaf_frame, table_frame, order; /* lowest bit */
    unsigned orders; /* bit n: leaves of 2^n entries exist */
};

static const struct hostile_level levels_of[] = {
    {256, 12, 0x02, 0x040, 1ull << 62, 1ull << 58, 1ull << 59, 1ull << 53, 11, 14, 2, 0x3f},
    {128, 20, 0x04, 0x080, 1ull << 61, 1ull << 57, 1ull << 60, 1ull << 54, 12, 13, 3, 0x9},
    {512, 27, 0x08, 0x100, 1ull << 60, 1ull << 56, 1ull << 61, 1ull << 55, 13, 12, 4, 0x1},
    {64, 36, 0x10, 0x200, 1ull << 59, 1ull << 55, 1ull << 62, 1ull << 56, 14, 11, 5, 0},
};

#define FRAME_BITS 0xffffffffffull

static void bad_entry(struct hwm_visit *out, uint64_t iova, uint64_t entry, const char *why)
{
    if (out->bad++ == 0) {
        out->first_bad.status = HWM_S_RSVD;
        out->first_bad.bad = true;
        out->first_bad.iova = iova;
        out->first_bad.entry = entry;
        out->first_bad.why = why;
    }
}

/* All entries of a repeated leaf are alike, but for what hardware has set: returns that of all of them. */
static bool alike(const struct hwm_mem *mem, uint64_t entry_pa, unsigned nr, const struct hostile_level *l,
                  uint64_t *entry)
{
    uint64_t touched = l->read_by | l->written, first = *entry;

    for (unsigned i = 1; i < nr; i++) {
        uint64_t other = mem->read64(mem->opaque, entry_pa + 8ull * i);

        if (((other ^ first) & ~touched) != 0) {
            return false;
        }
        *entry |= other;
    }
    return true;
}

/* Returns the entries that the leaf takes. */
static unsigned meet_leaf(const struct hwm_mem *mem, unsigned level, uint64_t entry_pa, uint64_t iova,
                          const struct hwm_visitor *v, struct hwm_visit *out)
{
    const struct hostile_level *l = &levels_of[level];
    uint64_t entry = mem->read64(mem->opaque, entry_pa);
    uint64_t known = l->present | l->leaf | l->read | l->write | l->read_by | l->written | 0x600 | 7ull << l->order |
                     FRAME_BITS << l->leaf_frame;
    unsigned order = (unsigned)(entry >> l->order) & 7;
    struct hwm_leaf leaf;

    if ((entry & ~known) != 0 || (l->orders >> order & 1) == 0) {
        bad_entry(out, iova, entry, "stray bits in a leaf, or a leaf of no size");
        return 1;
    }
    memset(&leaf, 0, sizeof(leaf));
    leaf.status = HWM_S_LEAF;
    leaf.present = true;
    leaf.iova = iova;
    leaf.pa = (entry >> l->leaf_frame & FRAME_BITS) << 12;
    leaf.lg2 = l->span_lg2 + order;
    leaf.level = level + 1;
    leaf.r = (entry & l->read) != 0;
    leaf.w = (entry & l->write) != 0;
    leaf.user = true;
    leaf.entry = entry;
    leaf.entry_pa = entry_pa;
    if (((leaf.pa | iova) & ((1ull << leaf.lg2) - 1)) != 0) {
        bad_entry(out, iova, entry, "leaf at or onto an address that is not aligned");
        return 1;
    }
    if (!alike(mem, entry_pa, 1u << order, l, &entry)) {
        bad_entry(out, iova, entry, "entries of a repeated leaf differ");
        return 1;
    }
    leaf.accessed = (entry & l->read_by) != 0;
    leaf.dirty = (entry & l->written) != 0;
    if (v->leaf) {
        v->leaf(v->ctx, &leaf);
    }
    out->leaves++;
    out->pages += 1ull << (leaf.lg2 - 12);
    return 1u << order;
}

static void visit_table(const struct hwm_mem *mem, uint64_t pa, unsigned level, uint64_t iova, bool root,
                        const struct hwm_visitor *v, struct hwm_visit *out)
{
    const struct hostile_level *l = &levels_of[level];
    struct hwm_table t;

    memset(&t, 0, sizeof(t));
    t.pa = pa;
    t.iova = iova;
    t.level = level + 1;
    t.root = root;
    out->tables++;
    for (unsigned i = 0, nr; i < l->entries; i += nr) {
        uint64_t entry = mem->read64(mem->opaque, pa + 8ull * i), at = iova + ((uint64_t)i << l->span_lg2);

        nr = 1;
        if ((entry & l->present) == 0) {
            t.nr_stray += entry != 0;
        } else if ((entry & l->leaf) != 0) {
            nr = meet_leaf(mem, level, pa + 8ull * i, at, v, out);
            t.nr_leaves += nr;
        } else if (level == 0 || (entry & ~(FRAME_BITS << l->table_frame | l->present)) != 0) {
            bad_entry(out, at, entry, "stray bits in a link, or a link in the last level");
        } else {
            t.nr_tables++;
            visit_table(mem, (entry >> l->table_frame & FRAME_BITS) << 12, level - 1, at, false, v, out);
        }
    }
    out->stray += t.nr_stray;
    if (v->table) {
        v->table(v->ctx, &t);
    }
}

bool hostile_visit(const struct hwm_mem *mem, uint64_t root, unsigned levels, const struct hwm_visitor *v,
                   struct hwm_visit *out)
{
    memset(out, 0, sizeof(*out));
    visit_table(mem, root, levels - 1, 0, true, v, out);
    return out->bad == 0;
}
