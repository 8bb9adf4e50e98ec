/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43 over time: what a Linux front-end calls, and two thousand random calls of both layouts, once unpreempted and once preempted at
 * every checkpoint, which must end the same to the last leaf.
 */
#include <stdlib.h>
#include <string.h>

#include "xen43_rig.h"

#define BASE 0x40000ull
#define CALLS 2000u
#define NO_FLUSH 8u

static struct x43 x;

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* --- a front-end ---------------------------------------------------------------------------------- */

/* As drivers map a scatter list: one call for each run that is contiguous in both spaces, one flush for all, then unmapped run by run. */
static void scatter_list(struct rnd *rnd, unsigned ctx, uint64_t iova)
{
    uint32_t nr[24];
    uint64_t at = iova;
    unsigned runs = 1 + (unsigned)rnd_below(rnd, 24);

    x.fast = true;
    for (unsigned i = 0; i < runs; i++) {
        nr[i] = 1 + (uint32_t)rnd_below(rnd, rnd_below(rnd, 4) == 0 ? 300 : 8);
        CHECK_RC(x43_map(&x, ctx, at, GUEST_PV + rnd_below(rnd, 0x10000) * 16, nr[i], 7 | NO_FLUSH, 4096), 0);
        CHECK_EQ(x.counted, nr[i]);
        at += nr[i];
    }
    x.fast = false;
    CHECK_RC(x43_flush(&x, ctx, iova, (uint32_t)(at - iova), 4096), 0);
    CHECK_EQ(pvi_posix_postponed(x.f->host, true), 0);
    x.fast = true;
    for (unsigned i = 0; i < runs; i++) {
        CHECK_RC(x43_unmap(&x, ctx, iova, nr[i], 4096), 0);
        iova += nr[i];
    }
    x.fast = false;
    x43_check(&x);
}

static void linux_guest(struct fx *f, const struct fx_cfg *cfg)
{
    struct pvi_domain_cfg dc;
    struct rnd rnd = {43};
    unsigned ctx[2];

    for (unsigned compat = 0; compat < 2; compat++) {
        fx_machine(f, cfg);
        dc = fx_domain_cfg(f);
        dc.max_contexts = 128;
        dc.max_pages = 4096;
        fx_domain(f, &dc);
        x43_attach(&x, f, compat != 0);
        (void)pvi_posix_postponed(f->host, true);
        x43_begin(&x, 1);
        CHECK_RC(x43_call(&x, 1), 0);
        CHECK_EQ(x43_get(&x, CAP_MAX_CTX), 0); /* so it is for the driver to init */
        CHECK((x43_get(&x, CAP_PGSIZES) & 4096) != 0);
        CHECK_RC(x43_init(&x, 128, 12), 0);
        x43_begin(&x, 1);
        CHECK_RC(x43_call(&x, 1), 0);
        CHECK_EQ(x43_get(&x, CAP_MAX_CTX), 128);
        for (unsigned i = 0; i < 2; i++) {
            CHECK_RC(x43_alloc(&x, 0, &ctx[i]), 0);
            CHECK_RC(x43_reattach(&x, ctx[i], f->dev[i].sbdf.v), 0);
        }
        for (unsigned i = 0; i < 20; i++) {
            scatter_list(&rnd, ctx[i & 1], BASE + 0x1000 * rnd_below(&rnd, 16));
        }
        for (unsigned i = 0; i < 2; i++) {
            CHECK_RC(x43_reattach(&x, 0, f->dev[i].sbdf.v), 0);
            CHECK_RC(x43_free(&x, ctx[i], 1), 0);
        }
        fx_down(f);
    }
}

static void test_linux(void **state)
{
    static struct fx f;

    (void)state;
    fx_each(linux_guest);
    /* It wants coherency without a look at whether there is a capability for it. */
    check_case("units that take no-snoop requests as they come");
    linux_guest(&f, &(struct fx_cfg){.kind = FX_NULL, .devices = 2, .no_snoop = true});
}

/* --- a random trace ------------------------------------------------------------------------------- */

/* All that the guest sees, and all that there is at the end. */
struct outcome {
    uint64_t answers, leaves, pages;
    uint64_t calls[16], right;
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
        return x.f->orc.last_pfn - rnd_below(r, 4);
    case 3:
        return rnd_below(r, 0x2000); /* where identities lie */
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

static uint32_t some_size(struct rnd *r)
{
    static const uint32_t size[] = {4096, 4096, 4096, 4096, 4096, 0x200000, 0x200000, 8192, 0x100000, 0, 4095};

    return size[rnd_below(r, 11)];
}

static uint32_t some_count(struct rnd *r, uint32_t pgsize)
{
    if (rnd_below(r, 30) == 0) {
        return (uint32_t)(rnd_next(r) | (rnd_below(r, 2) << 31));
    }
    return (uint32_t)rnd_below(r, pgsize > 4096 ? 4 : rnd_below(r, 3) == 0 ? 700 : 20);
}

static int some_call(struct rnd *r, unsigned what)
{
    unsigned ctx = (unsigned)(rnd_below(r, 20) == 0 ? rnd_below(r, 0x10000) : rnd_below(r, 7));
    uint32_t size = some_size(r), nr = some_count(r, size);
    uint64_t dfn = some_dfn(r), gfn = some_gfn(r);

    if (size > 4096 && rnd_below(r, 8) != 0) {
        dfn &= ~(uint64_t)511;
        gfn &= ~(uint64_t)511;
    }
    switch (what) {
    case 1:
        x43_begin(&x, 1);
        return x43_call(&x, 1);
    case 2:
        return x43_init(&x, (uint32_t)rnd_below(r, 20), (uint32_t)rnd_below(r, 40));
    case 3:
        return x43_alloc(&x, (uint32_t)rnd_below(r, 4) == 0, NULL);
    case 4:
        return x43_free(&x, ctx, (uint32_t)rnd_below(r, 2));
    case 5:
        return x43_reattach(&x, ctx, rnd_below(r, 9) == 0 ? (uint32_t)rnd_next(r) : x.f->dev[rnd_below(r, 2)].sbdf.v);
    case 6:
        return x43_map(&x, ctx, dfn, gfn, nr, rnd_below(r, 20) == 0 ? (uint32_t)rnd_next(r) & ~8u : 1 + (uint32_t)rnd_below(r, 3), size);
    case 7:
        return x43_unmap(&x, ctx, dfn, nr, size);
    case 13:
        return x43_flush(&x, ctx, dfn, nr, size);
    case 14:
        return x43_lookup(&x, ctx, dfn);
    default:
        x43_begin(&x, 0);
        return x43_call(&x, what == 0 ? 0 : 15 + (uint32_t)rnd_below(r, 200));
    }
}

static void trace(struct fx *f, const struct fx_cfg *cfg, bool preempt, struct outcome *o)
{
    static const uint8_t what[] = {0, 1, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 13, 14, 14, 15};
    struct rnd r = {2025};

    memset(o, 0, sizeof(*o));
    x43_ready(&x, f, cfg, false);
    pvi_posix_preempt_call(f->host, preempt ? always : NULL, NULL);
    for (unsigned i = 0; i < CALLS; i++) {
        unsigned subop = what[rnd_below(&r, sizeof(what))];
        int rc;

        x.compat = x.call.compat = rnd_below(&r, 2) != 0;
        x.before = (uint32_t)rnd_next(&r);
        x.fast = i % 40 != 0;
        check_step("call %u, sub-operation %u", i, subop);
        rc = some_call(&r, subop);
        mix(&o->answers, (uint64_t)(int64_t)rc);
        mix(&o->answers, subop == 6 || subop == 7 ? x.counted : subop == 3 ? x43_get(&x, ALLOC_CTX) : subop == 14 ? x43_get(&x, LK_GFN) : 0);
        o->calls[subop]++;
        o->right += rc == 0;
    }
    pvi_posix_preempt_call(f->host, NULL, NULL);
    x.fast = false;
    x43_check(&x);
    for (unsigned c = 0; c < ORC_CONTEXTS; c++) {
        struct hwm_visitor v = {.ctx = &o->leaves, .leaf = take_leaf};
        struct hwm_visit out;

        mix(&o->leaves, f->orc.ctx[c].live);
        CHECK(!f->orc.ctx[c].live || fx_visit(f, fx_root(f, c), &v, &out));
    }
    o->pages = f->dom.pool.nr_free;
    fx_down(f);
}

static void both(struct fx *f, const struct fx_cfg *cfg)
{
    static struct outcome straight, broken;

    trace(f, cfg, false, &straight);
    trace(f, cfg, true, &broken);
    CHECK(straight.right > CALLS / 4);
    CHECK_EQ(straight.answers, broken.answers);
    CHECK_EQ(straight.leaves, broken.leaves);
    CHECK_EQ(straight.pages, broken.pages);
}

static void test_trace(void **state)
{
    (void)state;
    fx_each(both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linux), cmocka_unit_test(test_trace)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
