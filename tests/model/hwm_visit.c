/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: visits every entry of a page table, finds what no walk of a single address
 * would (shared tables, loops, unequal replicas of an AMD group), and counts.
 */
#include "hwm_int.h"

#include <string.h>

#define MAX_LEVELS 6u

struct frame {
    struct hwm_table t;
    unsigned index;
    bool r, w, u, a;
};

struct visit {
    const struct hwm_mem *mem;
    struct hwm_fmt fmt;
    const struct hwm_visitor *v;
    struct hwm_visit *out;
    struct hwm_cache seen; /* tables met */
    struct frame stack[MAX_LEVELS + 1];
    unsigned depth;
    uint64_t max_tables;
    uint64_t ad;
};

static void note_bad(struct visit *s, const struct frame *f, unsigned index, uint64_t entry,
                     enum hwm_status status, const char *why)
{
    struct hwm_leaf *l = &s->out->first_bad;

    if (s->out->bad++) {
        return;
    }
    memset(l, 0, sizeof(*l));
    l->status = status;
    l->bad = true;
    l->lg2 = hwm_slot_lg2(f->t.level);
    l->level = f->t.level;
    l->iova = f->t.iova + ((uint64_t)index << l->lg2);
    l->entry = entry;
    l->entry_pa = f->t.pa + (uint64_t)index * 8;
    l->why = why;
}

static bool push(struct visit *s, uint64_t pa, unsigned level, uint64_t iova, const char **why)
{
    struct frame *f = &s->stack[s->depth];

    if (s->out->tables >= s->max_tables) {
        *why = "too many tables";
        return false;
    }
    if (!hwm_cache_add(&s->seen, 0, 12, pa)) {
        *why = "table linked twice";
        return false;
    }
    if (s->mem->valid && !s->mem->valid(s->mem->opaque, pa, 4096)) {
        *why = "table is not in memory";
        return false;
    }
    memset(f, 0, sizeof(*f));
    f->t.pa = pa;
    f->t.level = level;
    f->t.iova = iova;
    f->t.root = s->depth == 0;
    f->r = f->w = f->u = f->a = true;
    s->out->tables++;
    s->depth++;
    return true;
}

/* An AMD group: the same entry in every slot. Returns the number of slots. */
static unsigned group_slots(struct visit *s, struct frame *f, unsigned index, uint64_t entry,
                            unsigned lg2)
{
    unsigned nr = 1u << (lg2 - hwm_slot_lg2(f->t.level)), i;
    uint64_t other;

    if (index & (nr - 1)) {
        note_bad(s, f, index, entry, HWM_S_LEVEL, "group does not begin at its natural boundary");
        return 1;
    }
    for (i = 1; i < nr; i++) {
        other = s->mem->read64(s->mem->opaque, f->t.pa + (uint64_t)(index + i) * 8);
        if ((other ^ entry) & ~s->ad) {
            note_bad(s, f, index + i, other, HWM_S_LEVEL, "slots of a group differ");
            return i;
        }
    }
    return nr;
}

/* Returns the number of slots that the leaf takes. */
static unsigned meet_leaf(struct visit *s, struct frame *f, unsigned index, uint64_t entry,
                          const struct hwm_step_out *d)
{
    unsigned slots = 1, slot_lg2 = hwm_slot_lg2(f->t.level), i;
    struct hwm_leaf l;

    if (d->misaligned) {
        note_bad(s, f, index, entry, HWM_S_RSVD, "leaf address is not aligned to its size");
    }
    if (d->lg2 > slot_lg2) {
        slots = group_slots(s, f, index, entry, d->lg2);
    }
    memset(&l, 0, sizeof(l));
    l.status = HWM_S_LEAF;
    l.present = true;
    l.pa = d->next;
    l.lg2 = d->lg2;
    l.level = f->t.level;
    l.iova = f->t.iova + ((uint64_t)index << slot_lg2);
    l.r = f->r && d->r;
    l.w = f->w && d->w;
    l.user = f->u && d->u;
    l.entry = entry;
    l.entry_pa = f->t.pa + (uint64_t)index * 8;
    for (i = 0; i < slots; i++) {
        /* hardware may have set A or D in any one of the replicas */
        uint64_t e = s->mem->read64(s->mem->opaque, l.entry_pa + (uint64_t)i * 8);
        struct hwm_step_out each;

        hwm_decode(&s->fmt, f->t.level, e, &each);
        l.accessed = l.accessed || each.accessed;
        l.dirty = l.dirty || each.dirty;
    }
    f->t.nr_leaves += slots;
    s->out->leaves++;
    s->out->pages += UINT64_C(1) << (d->lg2 - 12);
    if (s->v && s->v->leaf) {
        s->v->leaf(s->v->ctx, &l);
    }
    return slots;
}

static void meet(struct visit *s, struct frame *f)
{
    unsigned index = f->index, lg2 = hwm_slot_lg2(f->t.level);
    uint64_t entry = s->mem->read64(s->mem->opaque, f->t.pa + (uint64_t)index * 8);
    struct hwm_step_out d;
    const char *why = NULL;

    hwm_decode(&s->fmt, f->t.level, entry, &d);
    f->index++;
    switch (d.kind) {
    case HWM_STEP_ABSENT:
        if (entry) {
            f->t.nr_stray++;
            s->out->stray++;
        }
        return;
    case HWM_STEP_BAD:
        note_bad(s, f, index, entry, d.bad, d.why);
        return;
    case HWM_STEP_LEAF:
        f->index = index + meet_leaf(s, f, index, entry, &d);
        return;
    case HWM_STEP_TABLE:
        f->t.nr_tables++;
        if (!push(s, d.next, d.next_level, f->t.iova + ((uint64_t)index << lg2), &why)) {
            note_bad(s, f, index, entry, HWM_S_READ, why);
            return;
        }
        s->stack[s->depth - 1].r = f->r && d.r;
        s->stack[s->depth - 1].w = f->w && d.w;
        s->stack[s->depth - 1].u = f->u && d.u;
        return;
    }
}

bool hwm_visit_table(const struct hwm_mem *mem, const struct hwm_fmt *fmt, uint64_t root,
                     unsigned levels, const struct hwm_visitor *v, struct hwm_visit *out)
{
    struct visit s;
    struct frame *f;
    const char *why = NULL;

    memset(&s, 0, sizeof(s));
    memset(out, 0, sizeof(*out));
    s.mem = mem;
    s.fmt = *fmt;
    s.v = v;
    s.out = out;
    s.max_tables = v && v->max_tables ? v->max_tables : 1000000;
    s.ad = hwm_ad_bits(fmt, true);
    hwm_cache_init(&s.seen, NULL);
    if (!push(&s, root, levels, 0, &why)) {
        out->bad = 1;
        out->first_bad.status = HWM_S_READ;
        out->first_bad.why = why;
    }
    while (s.depth) {
        f = &s.stack[s.depth - 1];
        if (f->index >= (f->t.level == 6 ? 128u : 512u)) {
            if (v && v->table) {
                v->table(v->ctx, &f->t);
            }
            s.depth--;
            continue;
        }
        meet(&s, f);
    }
    hwm_cache_free(&s.seen);
    return out->bad == 0;
}

static bool visit_default(enum hwm_fmt_kind kind, const struct hwm_mem *mem, uint64_t root,
                          unsigned levels, const struct hwm_visitor *v, struct hwm_visit *out)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, kind);
    return hwm_visit_table(mem, &fmt, root, levels, v, out);
}

bool hwm_visit_vtdss(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                     const struct hwm_visitor *v, struct hwm_visit *out)
{
    return visit_default(HWM_FMT_VTDSS, mem, root, levels, v, out);
}

bool hwm_visit_x86(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                   const struct hwm_visitor *v, struct hwm_visit *out)
{
    return visit_default(HWM_FMT_X86, mem, root, levels, v, out);
}

bool hwm_visit_amdv1(const struct hwm_mem *mem, uint64_t root, unsigned mode,
                     const struct hwm_visitor *v, struct hwm_visit *out)
{
    return visit_default(HWM_FMT_AMDV1, mem, root, mode, v, out);
}
