/* SPDX-License-Identifier: MIT */
/* The hostile format as its hardware would read it, from the table in fmt_hostile.h alone. */
#include <string.h>

#include "fmt_hostile.h"

struct hostile_level {
    unsigned entries, span_lg2;
    uint64_t present, leaf, read, write;
    unsigned leaf_frame, table_frame; /* lowest bit */
};

static const struct hostile_level levels_of[] = {
    {256, 12, 0x02, 0x040, 1ull << 62, 1ull << 58, 11, 14},
    {128, 20, 0x04, 0x080, 1ull << 61, 1ull << 57, 12, 13},
    {512, 27, 0x08, 0x100, 1ull << 60, 1ull << 56, 13, 12},
    {64, 36, 0x10, 0x200, 1ull << 59, 1ull << 55, 14, 11},
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

static void meet_leaf(const struct hostile_level *l, unsigned level, uint64_t entry, uint64_t iova,
                      const struct hwm_visitor *v, struct hwm_visit *out)
{
    struct hwm_leaf leaf;
    uint64_t known = l->present | l->leaf | l->read | l->write | 0x600 | FRAME_BITS << l->leaf_frame;

    memset(&leaf, 0, sizeof(leaf));
    leaf.status = HWM_S_LEAF;
    leaf.present = true;
    leaf.iova = iova;
    leaf.pa = (entry >> l->leaf_frame & FRAME_BITS) << 12;
    leaf.lg2 = l->span_lg2;
    leaf.level = level + 1;
    leaf.r = (entry & l->read) != 0;
    leaf.w = (entry & l->write) != 0;
    leaf.entry = entry;
    if ((entry & ~known) != 0 || level == 3) {
        bad_entry(out, iova, entry, "stray bits in a leaf, or a leaf that is too large");
    } else if ((leaf.pa & ((1ull << leaf.lg2) - 1)) != 0) {
        bad_entry(out, iova, entry, "leaf onto an address that is not aligned");
    } else if (v->leaf) {
        v->leaf(v->ctx, &leaf);
    }
    out->leaves++;
    out->pages += 1ull << (leaf.lg2 - 12);
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
    for (unsigned i = 0; i < l->entries; i++) {
        uint64_t entry = mem->read64(mem->opaque, pa + 8ull * i), at = iova + ((uint64_t)i << l->span_lg2);

        if ((entry & l->present) == 0) {
            t.nr_stray += entry != 0;
        } else if ((entry & l->leaf) != 0) {
            t.nr_leaves++;
            meet_leaf(l, level, entry, at, v, out);
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
