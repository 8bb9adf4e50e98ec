/* SPDX-License-Identifier: MIT */
/* Two thousand random operations in native batches of all lengths, once unpreempted and once preempted at every checkpoint: the same end, to the last leaf. */
#include <string.h>

#include "native_rig.h"

#define BASE 0x40000ull
#define TRACE 2000u

static struct fx f;
static struct nat n;

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* All that the guest sees, and all that there is at the end. */
struct outcome {
    uint64_t answers, leaves, pages, right;
    unsigned preempted;
};

static void mix(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * 0x9e3779b97f4a7c15ull;
    *hash ^= *hash >> 29;
}

static void take_leaf(void *opaque, const struct hwm_leaf *leaf)
{
    uint64_t *hash = opaque;

    mix(hash, leaf->iova);
    mix(hash, leaf->pa);
    mix(hash, leaf->lg2 | (leaf->r ? 0x100u : 0u) | (leaf->w ? 0x200u : 0u));
}

static uint64_t some_dfn(struct rnd *r)
{
    switch (rnd_below(r, 12)) {
    case 0:
        return 0xfee00 - 600 + rnd_below(r, 1200);
    case 1:
        return rnd_next(r);
    case 2:
        return f.orc.last_pfn - rnd_below(r, 4);
    default:
        return BASE + (rnd_below(r, 2) != 0 ? 512 * rnd_below(r, 16) : rnd_below(r, 0x2000));
    }
}

static uint64_t some_gfn(struct rnd *r)
{
    static const uint64_t base[] = {GUEST_PV, GUEST_PV, GUEST_HVM, GUEST_RO, GUEST_SCATTER, GUEST_LOW, GUEST_KEPT};

    if (rnd_below(r, 16) == 0) {
        return rnd_next(r);
    }
    return base[rnd_below(r, 7)] + (rnd_below(r, 2) != 0 ? 512 * rnd_below(r, 4) : rnd_below(r, 0x600));
}

static uint64_t some_count(struct rnd *r)
{
    if (rnd_below(r, 30) == 0) {
        return rnd_next(r);
    }
    return rnd_below(r, rnd_below(r, 3) == 0 ? 1500 : 20);
}

static void some_op(struct rnd *r)
{
    static const uint8_t codes[] = {0, 1, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 8, 8, 9, 10, 10, 11, 12, 13, 14};
    unsigned code = codes[rnd_below(r, sizeof(codes))];
    unsigned ctx = (unsigned)(rnd_below(r, 20) == 0 ? rnd_below(r, 0x10000) : rnd_below(r, 6));
    uint64_t dfn = some_dfn(r), gfn = some_gfn(r), nr = some_count(r);
    uint32_t flags = code == 6 || code == 10 ? 1 + (uint32_t)rnd_below(r, 3) : code == 3 || code == 4 ? (uint32_t)rnd_below(r, 2) : 0;

    flags = rnd_below(r, 30) == 0 ? (uint32_t)rnd_next(r) & ~8u : flags;
    switch (code) {
    case 0:
        (void)nat_op(&n, 0, 0, 0, 0, 0, 0);
        break;
    case 1:
    case 3:
        (void)nat_op(&n, code, 0, flags, 0, 0, 0);
        break;
    case 2:
        (void)nat_op(&n, code, 0, flags, rnd_below(r, 20), rnd_below(r, 5000), 0);
        break;
    case 4:
    case 14:
        (void)nat_op(&n, rnd_below(r, 4) == 0 ? code : 13, ctx, rnd_below(r, 4) == 0 ? flags : 0, 0, 0, 0);
        break;
    case 5:
        (void)nat_op(&n, code, ctx, flags, rnd_below(r, 9) == 0 ? rnd_next(r) & UINT32_MAX : f.dev[rnd_below(r, 2)].sbdf.v, 0, 0);
        break;
    case 6:
        (void)nat_op(&n, code, ctx, flags, dfn, gfn, nr);
        break;
    case 8:
        (void)nat_op(&n, code, ctx, flags, dfn, 0, 0);
        break;
    case 11:
        (void)nat_op(&n, code, ctx, flags, dfn & ~511ull, nr & ~511ull, 0);
        break;
    case 12:
    case 13:
        nat_set(&n, nat_op(&n, code, ctx, flags, 0, 0, 0), E_ARG_AT(3), 8, rnd_below(r, 4));
        break;
    default:
        (void)nat_op(&n, code, ctx, flags, dfn, nr, 0);
        break;
    }
}

static void trace(const struct fx_cfg *with, bool preempt, struct outcome *o)
{
    struct rnd r = {2026};
    struct fx_cfg cfg = *with;

    memset(o, 0, sizeof(*o));
    cfg.pages = 3000;
    cfg.no_init = true;
    fx_up(&f, &cfg);
    nat_attach(&n, &f);
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_INIT, 0, 0, 8, 3000, 0);
    nat_run(&n);
    pvi_posix_preempt_call(f.host, preempt ? always : NULL, NULL);
    for (unsigned done = 0; done < TRACE; done += n.nr) {
        unsigned nr = 1 + (unsigned)rnd_below(&r, rnd_below(&r, 6) == 0 ? 300 : 12);

        nat_begin(&n, 0);
        while (n.nr < nr && done + n.nr < TRACE) {
            some_op(&r);
        }
        nat_run(&n);
        o->preempted += n.preempted;
        for (unsigned i = 0; i < n.nr; i++) {
            if (nat_field(&n, i, E_CODE, 2) == PVI_NATIVE_QUERY_CAPS) { /* pages free now: what the flush to come gives back is not counted */
                nat_set(&n, i, E_ARG_AT(4), 8, 0);
            }
            for (unsigned at = 0; at < E_BYTES; at += 4) {
                mix(&o->answers, nat_field(&n, i, at, 4));
            }
            o->right += nat_status(&n, i) == 0;
        }
    }
    pvi_posix_preempt_call(f.host, NULL, NULL);
    for (unsigned ctx = 1; ctx <= 8; ctx++) {
        struct hwm_visitor v = {.ctx = &o->leaves, .leaf = take_leaf};
        struct hwm_visit out;

        mix(&o->leaves, f.orc.ctx[ctx].live);
        if (f.orc.ctx[ctx].live) {
            CHECK(fx_visit(&f, fx_root(&f, ctx), &v, &out));
        }
    }
    o->pages = pvi_posix_pages_used(f.host);
    fx_down(&f);
}

static void both(struct fx *fx, const struct fx_cfg *cfg)
{
    struct outcome plain, preempted;

    (void)fx;
    trace(cfg, false, &plain);
    trace(cfg, true, &preempted);
    CHECK_EQ(plain.right, preempted.right);
    CHECK(plain.right > TRACE / 4);
    CHECK_EQ(plain.answers, preempted.answers);
    CHECK_EQ(plain.leaves, preempted.leaves);
    CHECK_EQ(plain.pages, preempted.pages);
    CHECK(plain.preempted == 0 && preempted.preempted >= TRACE);
}

static void test_trace(void **state)
{
    (void)state;
    fx_each(both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trace)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
