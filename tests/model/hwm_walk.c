/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: one translation through IOTLB and paging-structure caches, and what
 * invalidations drop (hwspec 9.3).
 *
 * A miss starts at the deepest cached paging-structure entry, however old. An entry that is
 * cached is never refreshed: only an invalidation lets a change in memory through.
 */
#include "hwm_int.h"

#include <string.h>

#define AD_RETRIES 16

static bool same_answer(const struct hwm_ce *a, const struct hwm_ce *b, uint64_t iova)
{
    if (a->neg || b->neg) {
        return a->neg == b->neg;
    }
    return a->v[0] + (iova - a->base) == b->v[0] + (iova - b->base) && a->r == b->r && a->w == b->w;
}

static void leaf_of_entry(const struct hwm_ce *ce, uint64_t iova, struct hwm_leaf *l)
{
    memset(l, 0, sizeof(*l));
    l->status = ce->neg ? HWM_S_ABSENT : HWM_S_LEAF;
    l->present = !ce->neg;
    l->why = ce->neg ? "not present (cached)" : NULL;
    l->pa = ce->neg ? 0 : ce->v[0] + (iova - ce->base);
    l->iova = ce->base;
    l->lg2 = ce->lg2;
    l->level = ce->level;
    l->r = ce->r;
    l->w = ce->w;
    l->user = ce->u;
    l->accessed = ce->a;
    l->dirty = ce->dirty;
    l->entry = ce->v[1];
    l->entry_pa = ce->v[2];
}

static bool answer_from_iotlb(struct hwm *h, const struct hwm_space *sp, uint64_t iova, bool write,
                              struct hwm_hit *hit)
{
    struct hwm_ce *ce = hwm_cache_lookup(&h->iotlb, sp->tag, iova, 0), *other;

    if (!ce) {
        return false;
    }
    if (!ce->neg && sp->dirty && write && !ce->dirty && ce->w) {
        return false; /* the first write walks again to set D */
    }
    leaf_of_entry(ce, iova, &hit->leaf);
    hit->cached = true;
    other = ce;
    while ((other = hwm_cache_lookup(&h->iotlb, sp->tag, iova, other->lg2 + 1u)) != NULL) {
        hit->ambiguous = hit->ambiguous || !same_answer(ce, other, iova);
    }
    return true;
}

static void fill_leaf(struct hwm *h, const struct hwm_space *sp, uint64_t iova,
                      const struct hwm_leaf *l)
{
    unsigned lg2 = h->fracture ? 12 : l->lg2;
    struct hwm_ce *ce = hwm_cache_add(&h->iotlb, sp->tag, lg2, iova);

    if (!ce) {
        ce = hwm_cache_find(&h->iotlb, sp->tag, lg2, iova);
        ce->dirty = ce->dirty || l->dirty;
        return;
    }
    ce->v[0] = l->pa - (iova - ce->base);
    ce->v[1] = l->entry;
    ce->v[2] = l->entry_pa;
    ce->r = l->r;
    ce->w = l->w;
    ce->u = l->user;
    ce->a = l->accessed;
    ce->dirty = l->dirty;
    ce->level = (uint8_t)l->level;
    ce->did = sp->did;
    hwm_cache_hold(&h->iotlb, ce, ce->v[0], lg2);
}

/*
 * A not-present entry at level 1 is like a leaf; above, it may become a table: then it counts as
 * paging structure.
 */
static void fill_absent(struct hwm *h, const struct hwm_space *sp, uint64_t iova,
                        const struct hwm_leaf *l)
{
    struct hwm_cache *c = l->level == 1 ? &h->iotlb : &h->psc;
    struct hwm_ce *ce = hwm_cache_add(c, sp->tag, l->lg2, iova);

    if (!ce) {
        return;
    }
    ce->neg = true;
    ce->v[1] = l->entry;
    ce->v[2] = l->entry_pa;
    ce->level = (uint8_t)l->level;
    ce->did = sp->did;
}

static void fill_table(struct hwm *h, const struct hwm_space *sp, uint64_t iova,
                       const struct hwm_leaf *l, const struct hwm_step_out *d)
{
    struct hwm_ce *ce = hwm_cache_add(&h->psc, sp->tag, hwm_slot_lg2(l->level), iova);

    if (!ce) {
        return;
    }
    ce->v[0] = d->next;
    ce->v[1] = l->entry;
    ce->v[2] = l->entry_pa;
    ce->v[3] = d->next_level;
    ce->r = l->r;
    ce->w = l->w;
    ce->u = l->user;
    ce->a = l->accessed;
    ce->level = (uint8_t)l->level;
    ce->did = sp->did;
    hwm_cache_hold(&h->psc, ce, d->next, 12);
}

static void finish(struct hwm_leaf *l, enum hwm_status status, const char *why)
{
    l->status = status;
    l->present = status == HWM_S_LEAF;
    l->bad = status != HWM_S_LEAF && status != HWM_S_ABSENT;
    l->why = why;
}

/* Reads one entry and sets A and D in it as the unit would, with an atomic update. */
static void read_entry(struct hwm *h, const struct hwm_space *sp, bool write, unsigned flags,
                       struct hwm_leaf *l, struct hwm_step_out *d)
{
    uint64_t want;
    int tries;
    bool dirty;

    for (tries = 0; tries < AD_RETRIES; tries++) {
        l->entry = h->mem.read64(h->mem.opaque, l->entry_pa);
        hwm_decode(&sp->fmt, l->level, l->entry, d);
        if (!sp->ad || !(flags & HWM_F_FILL) || d->kind == HWM_STEP_ABSENT ||
            d->kind == HWM_STEP_BAD) {
            return;
        }
        dirty = sp->dirty && write && d->kind == HWM_STEP_LEAF && d->w && l->w;
        want = l->entry | hwm_ad_bits(&sp->fmt, dirty);
        d->accessed = true;
        d->dirty = d->dirty || dirty;
        if (want == l->entry) {
            return;
        }
        if (!h->mem.cmpxchg64) {
            h->mem.write64(h->mem.opaque, l->entry_pa, want);
            l->entry = want;
            return;
        }
        if (h->mem.cmpxchg64(h->mem.opaque, l->entry_pa, l->entry, want)) {
            l->entry = want;
            return;
        }
    }
}

/*
 * Where the walk starts: the root, or the deepest cached entry. False: a cached not-present entry
 * answers.
 */
static bool start_of_walk(struct hwm *h, const struct hwm_space *sp, uint64_t iova, unsigned flags,
                          struct hwm_leaf *l, uint64_t *table)
{
    struct hwm_ce *ce = flags & HWM_F_USE ? hwm_cache_lookup(&h->psc, sp->tag, iova, 0) : NULL;

    memset(l, 0, sizeof(*l));
    l->r = l->w = l->user = l->accessed = true;
    l->level = sp->levels;
    *table = sp->root;
    if (!ce) {
        return true;
    }
    l->lg2 = ce->lg2;
    l->level = ce->level;
    l->entry = ce->v[1];
    l->entry_pa = ce->v[2];
    if (ce->neg) {
        finish(l, HWM_S_ABSENT, "not present (cached)");
        return false;
    }
    if (!hwm_skip_ok(ce->level, (unsigned)ce->v[3], iova)) {
        finish(l, HWM_S_SKIP, "address bits of skipped levels are not zero");
        return false;
    }
    l->r = ce->r;
    l->w = ce->w;
    l->user = ce->u;
    l->accessed = ce->a;
    l->level = (unsigned)ce->v[3];
    *table = ce->v[0];
    return true;
}

static void walk(struct hwm *h, const struct hwm_space *sp, uint64_t iova, bool write,
                 unsigned flags, struct hwm_leaf *l)
{
    struct hwm_step_out d;
    uint64_t table;

    if (!start_of_walk(h, sp, iova, flags, l, &table)) {
        return;
    }
    for (;;) {
        l->lg2 = hwm_slot_lg2(l->level);
        l->iova = iova & ~hwm_low_mask(l->lg2);
        l->entry_pa = table + (iova >> l->lg2 & 0x1ff) * 8;
        if (!hwm_mem_ok(h, l->entry_pa, 8)) {
            finish(l, HWM_S_READ, "table is not in memory");
            return;
        }
        read_entry(h, sp, write, flags, l, &d);
        if (d.kind == HWM_STEP_ABSENT) {
            finish(l, HWM_S_ABSENT, "not present");
            if ((flags & HWM_F_FILL) && sp->cache_absent) {
                fill_absent(h, sp, iova, l);
            }
            return;
        }
        if (d.kind == HWM_STEP_BAD) {
            finish(l, d.bad, d.why);
            return;
        }
        l->r = l->r && d.r;
        l->w = l->w && d.w;
        l->user = l->user && d.u;
        l->accessed = l->accessed && d.accessed;
        if (d.kind == HWM_STEP_LEAF) {
            break;
        }
        if (flags & HWM_F_FILL) {
            fill_table(h, sp, iova, l, &d);
        }
        if (!hwm_skip_ok(l->level, d.next_level, iova)) {
            finish(l, HWM_S_SKIP, "address bits of skipped levels are not zero");
            return;
        }
        table = d.next;
        l->level = d.next_level;
    }
    if (d.misaligned) {
        hwm_violate(h, "leaf 0x%llx at level %u is not aligned to its size",
                    (unsigned long long)l->entry, l->level);
    }
    l->lg2 = d.lg2;
    l->iova = iova & ~hwm_low_mask(d.lg2);
    l->pa = d.next | (iova & hwm_low_mask(d.lg2));
    l->dirty = d.dirty;
    finish(l, HWM_S_LEAF, NULL);
    if (flags & HWM_F_FILL) {
        fill_leaf(h, sp, iova, l);
    }
}

void hwm_translate(struct hwm *h, const struct hwm_space *sp, uint64_t iova, bool write,
                   unsigned flags, struct hwm_hit *hit)
{
    memset(hit, 0, sizeof(*hit));
    if ((flags & HWM_F_USE) && answer_from_iotlb(h, sp, iova, write, hit)) {
        return;
    }
    if (sp->mode == HWM_MODE_WALK) {
        walk(h, sp, iova, write, flags, &hit->leaf);
        return;
    }
    hit->leaf.pa = iova;
    hit->leaf.iova = iova & ~hwm_low_mask(12);
    hit->leaf.lg2 = 12;
    hit->leaf.r = hit->leaf.w = hit->leaf.user = true;
    finish(&hit->leaf, HWM_S_LEAF, NULL);
    if (flags & HWM_F_FILL) {
        fill_leaf(h, sp, iova, &hit->leaf);
    }
}

struct absent_ctx {
    struct hwm *h;
    const struct hwm_fmt *fmt;
};

/*
 * A leaf-only invalidation says that no table link changed. A cached not-present entry is dropped
 * if it became a leaf; if it became a table link the software lied, and it stays.
 */
static bool absent_pick(void *ctx, const struct hwm_ce *ce)
{
    const struct absent_ctx *a = ctx;
    struct hwm_step_out d;

    if (!ce->neg || !hwm_mem_ok(a->h, ce->v[2], 8)) {
        return false;
    }
    hwm_decode(a->fmt, ce->level, a->h->mem.read64(a->h->mem.opaque, ce->v[2]), &d);
    return d.kind != HWM_STEP_TABLE;
}

void hwm_drop_pages(struct hwm *h, uint64_t tag, const struct hwm_fmt *fmt, uint64_t iova,
                    unsigned lg2, bool leaf_only)
{
    struct absent_ctx a = {h, fmt};

    hwm_cache_drop(&h->iotlb, tag, iova, lg2, NULL, NULL);
    hwm_cache_drop(&h->psc, tag, iova, lg2, leaf_only ? absent_pick : NULL, &a);
}

void hwm_drop_tag(struct hwm *h, uint64_t tag)
{
    hwm_cache_drop(&h->iotlb, tag, 0, 64, NULL, NULL);
    hwm_cache_drop(&h->psc, tag, 0, 64, NULL, NULL);
}

void hwm_drop_all_tlb(struct hwm *h)
{
    hwm_cache_clear(&h->iotlb);
    hwm_cache_clear(&h->psc);
}

void hwm_drop_devtlb(struct hwm *h, uint16_t rid, uint64_t iova, unsigned lg2)
{
    hwm_cache_drop(&h->devtlb, rid, iova, lg2, NULL, NULL);
}
