/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: AMD-Vi nested translation, v2 tables of a guest before a v1 table (hwspec 6.7,
 * 6.10; that GCR3 table and v2 tables go through v1 is recalled there).
 *
 * What is cached is what both gave together: a v2 table is remembered by where it lies in host
 * memory, a page by where it ends. Such entries know no guest-physical address, so nothing that
 * names one drops them. The rest of the walk uses the v1 caches like any request.
 *
 * Where the sources are silent the model takes what software must be ready for: accessed and dirty
 * bits in v2 tables need the right to write of the v1 table; v1's refusal of a table or of an
 * address that no v1 entry has is told with GN=0 and the guest-physical address.
 */
#include "hwm_amd_regs.h"

#include <string.h>

#define FIELD_51_12 UINT64_C(0x000ffffffffff000)

static void ends(struct hwm_leaf *l, enum hwm_status status, const char *why)
{
    l->status = status;
    l->present = status == HWM_S_LEAF;
    l->bad = status != HWM_S_LEAF && status != HWM_S_ABSENT;
    l->why = why;
}

bool hwm_amd_gpa(struct hwm *h, const struct hwm_space *host, uint64_t gpa, bool write,
                 unsigned flags, struct hwm_nest *n)
{
    struct hwm_leaf *l = &n->hit.leaf;

    memset(n, 0, sizeof(*n));
    n->gpa = gpa;
    if (host->bits < 64 && gpa >> host->bits) {
        ends(l, HWM_S_ABSENT, "guest-physical address beyond the v1 paging mode");
    } else {
        hwm_translate(h, host, gpa, write, flags, &n->hit);
    }
    n->host = l->status != HWM_S_LEAF || !(write ? l->w : l->r);
    if (n->host && l->status == HWM_S_LEAF) {
        l->why = "the v1 table does not permit it";
    }
    return !n->host;
}

/* Sets A, and D of a leaf that is written, in an entry at pa. False: v1 forbids the store. */
static bool mark(struct hwm *h, const struct hwm_space *guest, uint64_t pa, uint64_t *entry,
                 bool dirty, bool may_write)
{
    uint64_t want = *entry | hwm_ad_bits(&guest->fmt, dirty);

    if (want == *entry) {
        return true;
    }
    if (!may_write) {
        return false;
    }
    if (!h->mem.cmpxchg64) {
        h->mem.write64(h->mem.opaque, pa, want);
    } else if (!h->mem.cmpxchg64(h->mem.opaque, pa, *entry, want)) {
        return true; /* somebody changed it meanwhile: this walk was before that */
    }
    *entry = want;
    return true;
}

static bool answer(struct hwm *h, const struct hwm_space *guest, uint64_t iova, bool write,
                   struct hwm_hit *hit)
{
    struct hwm_ce *ce = hwm_cache_lookup(&h->iotlb, guest->tag, iova, 0);
    struct hwm_leaf *l = &hit->leaf;

    if (!ce || (!ce->neg && write && ce->w && !ce->dirty)) {
        return false; /* the first write walks again to set D */
    }
    memset(hit, 0, sizeof(*hit));
    hit->cached = true;
    ends(l, ce->neg ? HWM_S_ABSENT : HWM_S_LEAF, ce->neg ? "not present (cached)" : NULL);
    l->pa = ce->neg ? 0 : ce->v[0] + (iova - ce->base);
    l->iova = ce->base;
    l->lg2 = ce->lg2;
    l->level = 1;
    l->r = ce->r;
    l->w = ce->w;
    l->user = ce->u;
    return true;
}

static void keep(struct hwm *h, const struct hwm_space *guest, uint64_t iova, bool dirty,
                 const struct hwm_leaf *l)
{
    unsigned lg2 = h->fracture || l->status != HWM_S_LEAF ? 12 : l->lg2;
    struct hwm_ce *ce = hwm_cache_add(&h->iotlb, guest->tag, lg2, iova);

    if (!ce) {
        ce = hwm_cache_find(&h->iotlb, guest->tag, lg2, iova);
        ce->dirty = ce->dirty || dirty;
        return;
    }
    ce->did = guest->did;
    ce->neg = l->status != HWM_S_LEAF;
    if (!ce->neg) {
        ce->v[0] = l->pa - (iova - ce->base);
        ce->r = l->r;
        ce->w = l->w;
        ce->u = l->user;
        ce->dirty = dirty;
        hwm_cache_hold(&h->iotlb, ce, ce->v[0], lg2);
    }
}

struct step {
    uint64_t table; /* in host memory */
    unsigned level;
    bool r, w, u; /* of the v2 entries so far */
    bool table_w; /* v1 lets the table be written */
};

static void start(struct hwm *h, const struct hwm_space *guest, bool root_w, uint64_t iova,
                  unsigned flags, struct step *s)
{
    struct hwm_ce *ce = flags & HWM_F_USE ? hwm_cache_lookup(&h->psc, guest->tag, iova, 0) : NULL;

    s->table = guest->root;
    s->level = guest->levels;
    s->r = s->w = s->u = true;
    s->table_w = root_w;
    if (ce) {
        s->table = ce->v[0];
        s->level = (unsigned)ce->v[1];
        s->r = ce->r;
        s->w = ce->w;
        s->u = ce->u;
        s->table_w = ce->v[2] != 0;
    }
}

static void keep_table(struct hwm *h, const struct hwm_space *guest, uint64_t iova,
                       const struct step *s)
{
    struct hwm_ce *ce = hwm_cache_add(&h->psc, guest->tag, hwm_slot_lg2(s->level + 1), iova);

    if (ce) {
        ce->v[0] = s->table;
        ce->v[1] = s->level;
        ce->v[2] = s->table_w;
        ce->r = s->r;
        ce->w = s->w;
        ce->u = s->u;
        ce->did = guest->did;
        hwm_cache_hold(&h->psc, ce, s->table, 12);
    }
}

/* Where a v2 leaf leads, with the rights of both tables. */
static void land(struct hwm *h, const struct hwm_space *host, const struct step *s,
                 const struct hwm_step_out *d, uint64_t iova, bool write, unsigned flags,
                 struct hwm_nest *n)
{
    struct hwm_leaf *l = &n->hit.leaf;

    (void)hwm_amd_gpa(h, host, d->next | (iova & hwm_low_mask(d->lg2)), write && s->w, flags, n);
    n->hit.cached = false;
    if (l->status == HWM_S_LEAF) {
        n->host = false; /* rights are judged together */
        l->lg2 = l->lg2 < d->lg2 ? l->lg2 : d->lg2;
        l->iova = iova & ~hwm_low_mask(l->lg2);
        l->r = l->r && s->r;
        l->w = l->w && s->w;
        l->user = s->u;
        l->level = s->level;
    }
}

/* False: it ends here, n tells how. */
static bool one_level(struct hwm *h, const struct hwm_space *guest, const struct hwm_space *host,
                      uint64_t iova, bool write, unsigned flags, struct step *s, struct hwm_nest *n)
{
    uint64_t pa = s->table + (iova >> hwm_slot_lg2(s->level) & 0x1ff) * 8, entry;
    struct hwm_leaf *l = &n->hit.leaf;
    struct hwm_step_out d;

    memset(n, 0, sizeof(*n));
    l->level = s->level;
    l->lg2 = hwm_slot_lg2(s->level);
    l->iova = iova & ~hwm_low_mask(l->lg2);
    l->entry_pa = pa;
    if (!hwm_mem_ok(h, pa, 8)) {
        ends(l, HWM_S_READ, "v2 table is not in memory");
        return false;
    }
    l->entry = entry = h->mem.read64(h->mem.opaque, pa);
    hwm_decode(&guest->fmt, s->level, entry, &d);
    if (d.kind == HWM_STEP_ABSENT || d.kind == HWM_STEP_BAD) {
        ends(l, d.kind == HWM_STEP_BAD ? d.bad : HWM_S_ABSENT, d.why ? d.why : "not present");
        return false;
    }
    s->r = s->r && d.r;
    s->w = s->w && d.w;
    s->u = s->u && d.u;
    if (d.kind == HWM_STEP_LEAF) {
        land(h, host, s, &d, iova, write, flags, n);
        l->dirty = write && l->w;
    } else if (hwm_amd_gpa(h, host, d.next, false, flags, n)) {
        s->table = l->pa;
        s->level = d.next_level;
    }
    if (l->status == HWM_S_LEAF && !n->host && (flags & HWM_F_FILL) &&
        !mark(h, guest, pa, &entry, d.kind == HWM_STEP_LEAF && l->dirty, s->table_w)) {
        n->host = true;
        l->w = false;
        l->why = "the v1 table does not permit to set A or D";
    }
    s->table_w = l->w;
    return d.kind != HWM_STEP_LEAF && !n->host;
}

void hwm_amd_nested(struct hwm *h, const struct hwm_space *guest, const struct hwm_space *host,
                    bool root_w, uint64_t iova, bool write, unsigned flags, struct hwm_nest *n)
{
    struct hwm_leaf *l = &n->hit.leaf;
    struct step s;

    memset(n, 0, sizeof(*n));
    if ((flags & HWM_F_USE) && answer(h, guest, iova, write, &n->hit)) {
        return;
    }
    start(h, guest, root_w, iova, flags, &s);
    while (one_level(h, guest, host, iova, write, flags, &s, n)) {
        if (flags & HWM_F_FILL) {
            keep_table(h, guest, iova, &s);
        }
    }
    if ((flags & HWM_F_FILL) && ((l->status == HWM_S_LEAF && !n->host) ||
                                 (l->status == HWM_S_ABSENT && guest->cache_absent))) {
        keep(h, guest, iova, l->dirty, l);
    }
}

static bool nest_pick(void *ctx, const struct hwm_ce *ce)
{
    return (ce->tag & NEST_BIT) && ce->did == *(const uint16_t *)ctx;
}

void hwm_amd_nest_drop(struct hwm *h, uint16_t did)
{
    hwm_cache_drop_if(&h->iotlb, nest_pick, &did);
    hwm_cache_drop_if(&h->psc, nest_pick, &did);
    hwm_cache_drop_if(&h->pasid, nest_pick, &did);
}
