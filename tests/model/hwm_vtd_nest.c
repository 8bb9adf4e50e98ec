/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: VT-d nested translation, first-stage tables of a guest before a second-stage
 * table (hwspec 2.5, 3.1, 3.2, 5.3).
 *
 * What is cached is what both gave together: a first-stage table is remembered by where it lies in
 * host memory, a page by where it ends. Such entries know no guest-physical address, so nothing
 * that names one drops them. The rest of the walk uses the second-stage caches like any request.
 *
 * Where the sources are silent: an absent second-stage entry denies like one without rights; a
 * root beyond the second stage is denied too; what is malformed below a first-stage table faults
 * as it does below a page.
 */
#include "hwm_vtd_regs.h"

#include <string.h>

#define NEST_BIT (UINT64_C(1) << 41)
#define ROOT_BIT (UINT64_C(1) << 42)

/* A first-stage table on the way. */
struct step {
    uint64_t table; /* in host memory */
    uint64_t gpa;   /* as the guest names it */
    unsigned level;
    bool r, w, u, a; /* of the first-stage entries so far */
    bool table_w;    /* the second stage lets the table be written */
};

static void ends(struct hwm_leaf *l, const char *why)
{
    l->status = why ? HWM_S_ABSENT : HWM_S_LEAF;
    l->present = !why;
    l->why = why;
}

/* ---- second stage -------------------------------------------------------------------------- */

static bool beyond(const struct vtd_where *w, uint64_t gpa)
{
    return w->host.bits < 64 && gpa >> w->host.bits;
}

/* Where a guest-physical address leads: 0, or the fault reason. */
static unsigned through(struct hwm *h, const struct vtd_where *w, uint64_t gpa, bool write,
                        unsigned flags, struct hwm_hit *hit)
{
    const struct hwm_leaf *l = &hit->leaf;

    hwm_translate(h, &w->host, gpa, write, flags, hit);
    switch (l->status) {
    case HWM_S_LEAF:
        return w->host_nosnoop_ad && (!l->accessed || (write && !l->dirty)) ? 0x7c : 0;
    case HWM_S_ABSENT:
        return 0x79;
    case HWM_S_READ:
        return l->level == w->host.levels ? 0x7b : 0x78;
    default:
        return 0x7a;
    }
}

/* The walk goes on in the table at gpa. */
static unsigned enter(struct hwm *h, const struct vtd_where *w, uint64_t gpa, bool root,
                      unsigned flags, struct step *s)
{
    struct hwm_hit hit;
    unsigned reason;

    if (beyond(w, gpa)) {
        return root ? 0x75 : 0x74;
    }
    reason = through(h, w, gpa, false, flags, &hit);
    if (reason == 0x79 || (!reason && !hit.leaf.r)) {
        return root ? 0x75 : 0x76;
    }
    s->table = hit.leaf.pa;
    s->gpa = gpa;
    s->table_w = hit.leaf.w;
    return reason;
}

/* ---- caches -------------------------------------------------------------------------------- */

static uint64_t nest_tag(const struct vtd_where *w)
{
    return w->sp.tag | NEST_BIT;
}

static bool answer(struct hwm *h, const struct vtd_where *w, uint64_t iova, bool write,
                   struct hwm_hit *hit, unsigned *reason)
{
    struct hwm_ce *ce = hwm_cache_lookup(&h->iotlb, nest_tag(w), iova, 0), *other = ce;
    struct hwm_leaf *l = &hit->leaf;

    if (!ce || (!ce->neg && w->sp.dirty && write && ce->w && !ce->dirty)) {
        return false; /* the first write walks again to set D */
    }
    memset(hit, 0, sizeof(*hit));
    hit->cached = true;
    *reason = ce->reason;
    ends(l, ce->neg ? "not present (cached)" : NULL);
    l->pa = ce->neg ? 0 : ce->v[0] + (iova - ce->base);
    l->iova = ce->base;
    l->lg2 = ce->lg2;
    l->level = ce->level;
    l->r = ce->r;
    l->w = ce->w;
    l->user = ce->u;
    l->accessed = ce->a;
    l->dirty = ce->dirty;
    while ((other = hwm_cache_lookup(&h->iotlb, nest_tag(w), iova, other->lg2 + 1u)) != NULL) {
        hit->ambiguous = hit->ambiguous || other->neg != ce->neg || other->r != ce->r ||
                         other->w != ce->w || other->v[0] + (iova - other->base) != l->pa;
    }
    return true;
}

/* A page; or, with a reason, that the second stage has none there. */
static void keep_page(struct hwm *h, const struct vtd_where *w, uint64_t iova, unsigned reason,
                      const struct hwm_leaf *l)
{
    unsigned lg2 = h->fracture || reason ? 12 : l->lg2;
    struct hwm_ce *ce = hwm_cache_add(&h->iotlb, nest_tag(w), lg2, iova);

    if (!ce) {
        ce = hwm_cache_find(&h->iotlb, nest_tag(w), lg2, iova);
        ce->dirty = ce->dirty || l->dirty;
        return;
    }
    ce->did = w->sp.did;
    ce->level = (uint8_t)l->level;
    ce->neg = reason != 0;
    ce->reason = (uint8_t)reason;
    if (!ce->neg) {
        ce->v[0] = l->pa - (iova - ce->base);
        ce->r = l->r;
        ce->w = l->w;
        ce->u = l->user;
        ce->a = l->accessed;
        ce->dirty = l->dirty;
        hwm_cache_hold(&h->iotlb, ce, ce->v[0], lg2);
    }
}

static void recall_table(const struct hwm_ce *ce, struct step *s)
{
    s->table = ce->v[0];
    s->gpa = ce->v[1];
    s->level = (unsigned)ce->v[2];
    s->table_w = ce->v[3] != 0;
    s->r = ce->r;
    s->w = ce->w;
    s->u = ce->u;
    s->a = ce->a;
}

static void keep_table(struct hwm *h, const struct vtd_where *w, uint64_t tag, unsigned lg2,
                       uint64_t iova, const struct step *s)
{
    struct hwm_ce *ce = hwm_cache_add(&h->psc, tag, lg2, iova);

    if (ce) {
        ce->v[0] = s->table;
        ce->v[1] = s->gpa;
        ce->v[2] = s->level;
        ce->v[3] = s->table_w;
        ce->r = s->r;
        ce->w = s->w;
        ce->u = s->u;
        ce->a = s->a;
        ce->did = w->sp.did;
        hwm_cache_hold(&h->psc, ce, s->table, 12);
    }
}

/* ---- the walk ------------------------------------------------------------------------------ */

/* The deepest cached table, or the root; where that lies is cached too. */
static unsigned start(struct hwm *h, const struct vtd_where *w, uint64_t iova, unsigned flags,
                      struct step *s)
{
    uint64_t tag = nest_tag(w);
    struct hwm_ce *ce = NULL;
    unsigned reason;

    if (flags & HWM_F_USE) {
        ce = hwm_cache_lookup(&h->psc, tag, iova, 0);
        ce = ce ? ce : hwm_cache_find(&h->psc, tag | ROOT_BIT, 0, 0);
    }
    if (ce) {
        recall_table(ce, s);
        return 0;
    }
    s->level = w->sp.levels;
    s->r = s->w = s->u = s->a = true;
    reason = enter(h, w, w->sp.root, true, flags, s);
    if (!reason && (flags & HWM_F_FILL)) {
        keep_table(h, w, tag | ROOT_BIT, 0, 0, s);
    }
    return reason;
}

/* Sets A, and D of a leaf that is written, in the entry at pa of the table of s. */
static unsigned mark(struct hwm *h, const struct vtd_where *w, const struct step *s, uint64_t pa,
                     uint64_t entry, bool dirty, unsigned flags)
{
    uint64_t want = entry | hwm_ad_bits(&w->sp.fmt, dirty);
    struct hwm_hit hit;

    if (!w->sp.ad || want == entry) {
        return 0;
    }
    if (!s->table_w) {
        return 0x77;
    }
    if (!(flags & HWM_F_FILL)) {
        return 0;
    }
    if (w->host.ad) {
        (void)through(h, w, s->gpa, true, flags, &hit); /* a write of that page like any other */
    }
    if (!h->mem.cmpxchg64) {
        h->mem.write64(h->mem.opaque, pa, want);
    } else {
        /* If somebody changed it meanwhile, this walk was before that. */
        (void)h->mem.cmpxchg64(h->mem.opaque, pa, entry, want);
    }
    return 0;
}

/* Where a first-stage leaf leads, with the rights of both. */
static unsigned land(struct hwm *h, const struct vtd_where *w, const struct step *s,
                     const struct hwm_step_out *d, uint64_t iova, bool write, unsigned flags,
                     struct hwm_leaf *l)
{
    uint64_t gpa = d->next | (iova & hwm_low_mask(d->lg2));
    struct hwm_hit hit;
    unsigned reason;

    if (beyond(w, gpa)) {
        return 0x74;
    }
    reason = through(h, w, gpa, write && s->w, flags, &hit);
    if (reason) {
        return reason;
    }
    ends(l, NULL);
    l->pa = hit.leaf.pa;
    l->lg2 = hit.leaf.lg2 < d->lg2 ? hit.leaf.lg2 : d->lg2;
    l->iova = iova & ~hwm_low_mask(l->lg2);
    l->r = hit.leaf.r && s->r;
    l->w = hit.leaf.w && s->w;
    l->user = s->u;
    l->accessed = s->a;
    l->dirty = d->dirty || (w->sp.dirty && write && l->w);
    return 0;
}

/* One entry. True: the walk goes on in the table that it names. */
static bool one_level(struct hwm *h, const struct vtd_where *w, uint64_t iova, bool write,
                      unsigned flags, struct step *s, struct hwm_leaf *l, unsigned *reason)
{
    uint64_t pa = s->table + (iova >> hwm_slot_lg2(s->level) & 0x1ff) * 8;
    struct step next = *s;
    struct hwm_step_out d;

    l->level = s->level;
    l->lg2 = hwm_slot_lg2(s->level);
    l->entry_pa = pa;
    if (!hwm_mem_ok(h, pa, 8)) {
        *reason = s->level == w->sp.levels ? 0x73 : 0x70;
        return false;
    }
    l->entry = h->mem.read64(h->mem.opaque, pa);
    hwm_decode(&w->sp.fmt, s->level, l->entry, &d);
    if (d.kind == HWM_STEP_ABSENT || d.kind == HWM_STEP_BAD) {
        *reason = d.kind == HWM_STEP_BAD ? 0x72 : 0x71;
        return false;
    }
    next.r = s->r && d.r;
    next.w = s->w && d.w;
    next.u = s->u && d.u;
    next.a = s->a && (d.accessed || w->sp.ad);
    if (d.kind == HWM_STEP_LEAF) {
        *reason = land(h, w, &next, &d, iova, write, flags, l);
        if (!*reason) {
            *reason = mark(h, w, s, pa, l->entry, l->dirty, flags);
        }
        return false;
    }
    next.level = d.next_level;
    *reason = mark(h, w, s, pa, l->entry, false, flags);
    if (!*reason) {
        *reason = enter(h, w, d.next, false, flags, &next);
    }
    if (!*reason && (flags & HWM_F_FILL)) {
        keep_table(h, w, nest_tag(w), hwm_slot_lg2(s->level), iova, &next);
    }
    *s = next;
    return !*reason;
}

unsigned hwm_vtd_nested(struct hwm *h, const struct vtd_where *w, uint64_t iova, bool write,
                        unsigned flags, struct hwm_hit *hit)
{
    struct hwm_leaf *l = &hit->leaf;
    unsigned reason = 0;
    bool absent;
    struct step s;

    if ((flags & HWM_F_USE) && answer(h, w, iova, write, hit, &reason)) {
        return reason;
    }
    memset(hit, 0, sizeof(*hit));
    reason = start(h, w, iova, flags, &s);
    while (!reason && one_level(h, w, iova, write, flags, &s, l, &reason)) {
    }
    if (reason) {
        ends(l, "nested translation");
    }
    /* In caching mode. What is absent from a first stage is never cached (hwspec 4.2). */
    absent = (reason == 0x75 || reason == 0x76 || reason == 0x79) && w->host.cache_absent;
    if ((flags & HWM_F_FILL) && (!reason || absent)) {
        keep_page(h, w, iova, reason, l);
    }
    return reason;
}

/* ---- what invalidations drop --------------------------------------------------------------- */

static bool did_pick(void *ctx, const struct hwm_ce *ce)
{
    return (ce->tag & NEST_BIT) && ce->did == *(const uint16_t *)ctx;
}

void hwm_vtd_nest_drop_domain(struct hwm *h, uint16_t did)
{
    hwm_cache_drop_if(&h->iotlb, did_pick, &did);
    hwm_cache_drop_if(&h->psc, did_pick, &did);
}

void hwm_vtd_nest_drop_pasid(struct hwm *h, uint64_t tag)
{
    hwm_drop_tag(h, tag | NEST_BIT);
    hwm_drop_tag(h, tag | NEST_BIT | ROOT_BIT);
}

void hwm_vtd_nest_drop_pages(struct hwm *h, uint64_t tag, uint64_t iova, unsigned lg2,
                             bool leaf_only)
{
    hwm_cache_drop(&h->iotlb, tag | NEST_BIT, iova, lg2, NULL, NULL);
    if (!leaf_only) {
        hwm_cache_drop(&h->psc, tag | NEST_BIT, iova, lg2, NULL, NULL);
    }
}
