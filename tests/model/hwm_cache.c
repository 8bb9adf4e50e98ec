/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: the store behind every cache of a unit (context, PASID, IOTLB, paging
 * structures, device TLB).
 *
 * An open hash keyed by (tag, size, address). It never evicts: only an invalidation removes an
 * entry. What entries keep alive (table pages, frames, roots) is counted in a second store, so
 * that "does any cache still lead to this page" is a few probes.
 */
#include "hwm_int.h"

#include <stdlib.h>
#include <string.h>

#define MIN_CAP 64u

static uint64_t mix(uint64_t tag, unsigned lg2, uint64_t base)
{
    uint64_t x = base ^ tag * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)lg2 << 57;

    x ^= x >> 31;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 29;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 32;
}

static uint64_t base_of(uint64_t addr, unsigned lg2)
{
    return addr & ~hwm_low_mask(lg2);
}

void hwm_cache_init(struct hwm_cache *c, struct hwm_cache *holds)
{
    memset(c, 0, sizeof(*c));
    c->holds = holds;
}

void hwm_cache_free(struct hwm_cache *c)
{
    free(c->tab);
    c->tab = NULL;
    c->cap = c->used = c->dead = 0;
    c->sizes = 0;
    memset(c->per_lg2, 0, sizeof(c->per_lg2));
}

static struct hwm_ce *probe(const struct hwm_cache *c, uint64_t tag, unsigned lg2, uint64_t base,
                            struct hwm_ce **hole)
{
    size_t i, mask = c->cap - 1;
    struct hwm_ce *ce;

    for (i = mix(tag, lg2, base) & mask;; i = (i + 1) & mask) {
        ce = &c->tab[i];
        if (ce->state == HWM_CE_FREE) {
            if (hole && !*hole) {
                *hole = ce;
            }
            return NULL;
        }
        if (ce->state == HWM_CE_DEAD) {
            if (hole && !*hole) {
                *hole = ce;
            }
        } else if (ce->tag == tag && ce->base == base && ce->lg2 == lg2) {
            return ce;
        }
    }
}

static void resize(struct hwm_cache *c, size_t cap)
{
    struct hwm_ce *old = c->tab, *ce, *hole;
    size_t i, old_cap = c->cap;

    c->tab = calloc(cap, sizeof(*c->tab));
    if (!c->tab) {
        abort();
    }
    c->cap = cap;
    c->dead = 0;
    for (i = 0; i < old_cap; i++) {
        ce = &old[i];
        if (ce->state == HWM_CE_USED) {
            hole = NULL;
            probe(c, ce->tag, ce->lg2, ce->base, &hole);
            *hole = *ce;
        }
    }
    free(old);
}

struct hwm_ce *hwm_cache_find(const struct hwm_cache *c, uint64_t tag, unsigned lg2, uint64_t addr)
{
    if (!c->used || !(c->sizes >> lg2 & 1)) {
        return NULL;
    }
    return probe(c, tag, lg2, base_of(addr, lg2), NULL);
}

struct hwm_ce *hwm_cache_lookup(const struct hwm_cache *c, uint64_t tag, uint64_t addr,
                                unsigned from_lg2)
{
    uint64_t sizes = from_lg2 >= 64 ? 0 : c->sizes & ~hwm_low_mask(from_lg2);
    struct hwm_ce *ce;

    for (; sizes; sizes &= sizes - 1) {
        ce = hwm_cache_find(c, tag, (unsigned)__builtin_ctzll(sizes), addr);
        if (ce) {
            return ce;
        }
    }
    return NULL;
}

struct hwm_ce *hwm_cache_add(struct hwm_cache *c, uint64_t tag, unsigned lg2, uint64_t addr)
{
    uint64_t base = base_of(addr, lg2);
    struct hwm_ce *hole = NULL;

    if ((c->used + c->dead + 1) * 3 > c->cap * 2) {
        resize(c, !c->cap ? MIN_CAP : c->used * 3 < c->cap ? c->cap : c->cap * 2);
    }
    if (probe(c, tag, lg2, base, &hole)) {
        return NULL;
    }
    if (hole->state == HWM_CE_DEAD) {
        c->dead--;
    }
    memset(hole, 0, sizeof(*hole));
    hole->state = HWM_CE_USED;
    hole->tag = tag;
    hole->base = base;
    hole->lg2 = (uint8_t)lg2;
    c->used++;
    if (!c->per_lg2[lg2]++) {
        c->sizes |= UINT64_C(1) << lg2;
    }
    return hole;
}

void hwm_cache_hold(struct hwm_cache *c, struct hwm_ce *ce, uint64_t pa, unsigned lg2)
{
    struct hwm_ce *count = hwm_cache_find(c->holds, 0, lg2, pa);

    if (!count) {
        count = hwm_cache_add(c->holds, 0, lg2, pa);
    }
    count->v[0]++;
    ce->holds = true;
    ce->hold_pa = pa;
    ce->hold_lg2 = (uint8_t)lg2;
}

void hwm_cache_del(struct hwm_cache *c, struct hwm_ce *ce)
{
    struct hwm_ce *count;

    if (ce->holds) {
        count = hwm_cache_find(c->holds, 0, ce->hold_lg2, ce->hold_pa);
        if (--count->v[0] == 0) {
            hwm_cache_del(c->holds, count);
        }
    }
    if (!--c->per_lg2[ce->lg2]) {
        c->sizes &= ~(UINT64_C(1) << ce->lg2);
    }
    ce->state = HWM_CE_DEAD;
    c->dead++;
    c->used--;
    if (!c->used && c->dead * 4 > c->cap) {
        /* nothing left: tombstones would only lengthen the probes */
        memset(c->tab, 0, c->cap * sizeof(*c->tab));
        c->dead = 0;
    }
}

void hwm_cache_drop_if(struct hwm_cache *c, hwm_cache_pick *pick, void *ctx)
{
    size_t i;

    for (i = 0; i < c->cap && c->used; i++) {
        if (c->tab[i].state == HWM_CE_USED && (!pick || pick(ctx, &c->tab[i]))) {
            hwm_cache_del(c, &c->tab[i]);
        }
    }
    if (c->cap > MIN_CAP && c->used * 16 < c->cap) {
        size_t cap = MIN_CAP;

        while (cap < c->used * 4) {
            cap *= 2;
        }
        resize(c, cap);
    }
}

void hwm_cache_clear(struct hwm_cache *c)
{
    hwm_cache_drop_if(c, NULL, NULL);
}

struct drop {
    uint64_t tag, addr;
    unsigned lg2;
    hwm_cache_pick *pick;
    void *ctx;
};

static bool drop_pick(void *ctx, const struct hwm_ce *ce)
{
    const struct drop *d = ctx;
    unsigned lg2 = ce->lg2 > d->lg2 ? ce->lg2 : d->lg2;

    return ce->tag == d->tag && base_of(ce->base, lg2) == base_of(d->addr, lg2) &&
           (!d->pick || d->pick(d->ctx, ce));
}

void hwm_cache_drop(struct hwm_cache *c, uint64_t tag, uint64_t addr, unsigned lg2,
                    hwm_cache_pick *pick, void *ctx)
{
    struct drop d = {tag, addr, lg2, pick, ctx};
    uint64_t sizes, nr, i;
    struct hwm_ce *ce;
    unsigned s;

    for (sizes = c->sizes; sizes; sizes &= sizes - 1) {
        s = (unsigned)__builtin_ctzll(sizes);
        if (s < lg2 && (lg2 - s >= 40 || (UINT64_C(1) << (lg2 - s)) > c->cap / 4)) {
            hwm_cache_drop_if(c, drop_pick, &d);
            return;
        }
    }
    for (sizes = c->sizes; sizes; sizes &= sizes - 1) {
        s = (unsigned)__builtin_ctzll(sizes);
        nr = s < lg2 ? UINT64_C(1) << (lg2 - s) : 1;
        for (i = 0; i < nr; i++) {
            ce = hwm_cache_find(c, tag, s, base_of(addr, s < lg2 ? lg2 : s) + (i << s));
            if (ce && (!pick || pick(ctx, ce))) {
                hwm_cache_del(c, ce);
            }
        }
    }
}

bool hwm_cache_holds_range(const struct hwm_cache *holds, uint64_t pa, uint64_t len)
{
    uint64_t sizes, first, last, nr, i;
    unsigned s;
    size_t j;

    for (sizes = len ? holds->sizes : 0; sizes; sizes &= sizes - 1) {
        s = (unsigned)__builtin_ctzll(sizes);
        first = pa >> s;
        last = (pa + len - 1) >> s;
        nr = last - first + 1;
        if (nr > holds->cap) {
            for (j = 0; j < holds->cap; j++) {
                const struct hwm_ce *ce = &holds->tab[j];

                if (ce->state == HWM_CE_USED && ce->lg2 == s && ce->base >> s >= first &&
                    ce->base >> s <= last) {
                    return true;
                }
            }
            continue;
        }
        for (i = 0; i < nr; i++) {
            if (hwm_cache_find(holds, 0, s, (first + i) << s)) {
                return true;
            }
        }
    }
    return false;
}
