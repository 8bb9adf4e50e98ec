/* SPDX-License-Identifier: MIT */
/* The gather: what is invalidated, how often, in which order with the release; what a failed flush leaves behind. */
#include <string.h>

#include "fixture.h"

#define BASE 0x40000ull /* device frame of the window that most tests use; 1 GiB aligned */

static struct fx fx;

/* Every invalidation that unit 0 was told, in order. */
static struct pvi_inv told[4096];
static unsigned nr_told;

static void note(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)opaque;
    (void)u;
    if (nr_told < 4096) {
        told[nr_told] = *inv;
    }
    nr_told++;
}

/* One context with device 0. */
static void up(struct fx_cfg cfg, unsigned inv_max_nr)
{
    fx_up(&fx, &cfg);
    for (unsigned i = 0; i < fx.nr_units; i++) {
        fx.unit[i].unit->caps.inv_max_nr = (uint8_t)(inv_max_nr ? inv_max_nr : 32);
    }
    CHECK_EQ(fx_context(&fx, 0), 1);
    fx.unit[0].null.told = note;
    nr_told = 0;
    fx_told_reset(&fx);
}

static void map(unsigned ctx, uint64_t dfn, uint64_t gfn, uint64_t nr)
{
    fx_begin(&fx);
    fx_map(&fx, ctx, dfn, gfn, nr, PVI_RW);
    fx_expect(&fx, 0);
}

static void unmap(unsigned ctx, uint64_t dfn, uint64_t nr)
{
    fx_begin(&fx);
    fx_unmap(&fx, ctx, dfn, nr);
    fx_expect(&fx, 0);
}

/* --- how few -------------------------------------------------------------------------------------- */

/* Fewest aligned blocks that cover exactly the set pages, by trying every way to halve the window. */
static unsigned fewest(const bool *set, unsigned nr)
{
    unsigned i, pages = 0;

    for (i = 0; i < nr; i++) {
        pages += set[i];
    }
    if (pages == 0 || pages == nr) {
        return pages != 0;
    }
    return fewest(set, nr / 2) + fewest(set + nr / 2, nr / 2);
}

/* What the unit was told covers the set pages of the window, and nothing else. */
static void covers_exactly(const bool *set, unsigned nr)
{
    bool seen[512] = {false};

    for (unsigned i = 0; i < nr_told; i++) {
        uint64_t first = (told[i].iova >> 12) - BASE, count = 1ull << (told[i].lg2 - 12);

        CHECK_EQ(told[i].kind, PVI_INV_PAGES);
        CHECK(told[i].leaf_only);
        CHECK(first + count <= nr);
        for (uint64_t k = first; k < first + count; k++) {
            CHECK(set[k] && !seen[k]);
            seen[k] = true;
        }
    }
    CHECK(memcmp(seen, set, nr) == 0);
}

static void scattered(struct rnd *rnd, unsigned runs)
{
    bool set[512] = {false};
    unsigned nr = 0, min;

    fx_begin(&fx);
    for (unsigned i = 0; i < runs; i++) { /* in any order, so that neighbours come late */
        unsigned at = (unsigned)rnd_below(rnd, 500), len = 1 + (unsigned)rnd_below(rnd, 12), k;

        for (k = 0; k < len && at + k < 512 && !set[at + k]; k++) {
            set[at + k] = true;
        }
        if (k > 0) {
            fx_unmap(&fx, 1, BASE + at, k);
            nr++;
        }
    }
    nr_told = 0;
    fx_told_reset(&fx);
    fx_expect(&fx, 0);
    min = fewest(set, 512);
    check_step("%u unmaps, %u blocks", nr, min);
    CHECK_EQ(fx_told(&fx, 0).wait, 1);
    if (min <= 32) {
        CHECK_EQ(nr_told, min);
        covers_exactly(set, 512);
    } else {
        CHECK_EQ(nr_told, 1);
        CHECK_EQ(told[0].kind, PVI_INV_DOMAIN);
    }
}

static void fewest_invalidations(void **state)
{
    struct rnd rnd = {4711};

    (void)state;
    check_case("fewest");
    up((struct fx_cfg){.kind = FX_NULL}, 0);
    map(1, BASE - 8, GUEST_HVM, 600); /* neighbours on both sides keep the tables */
    for (unsigned i = 0; i < 60; i++) {
        scattered(&rnd, 1 + i % 20);
        fx_begin(&fx);
        fx_unmap(&fx, 1, BASE - 8, 1);
        fx_free(&fx, 1, PVI_FREE_REATTACH);
        fx_run(&fx);
        CHECK_EQ(fx_context(&fx, 0), 1);
        map(1, BASE - 8, GUEST_HVM, 600);
    }
    fx_down(&fx);
}

/* Ranges given in every order end as one. */
static void ranges_merge(void **state)
{
    static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct pvi_context *ctx;

    (void)state;
    check_case("merge");
    up((struct fx_cfg){.kind = FX_NULL}, 0);
    ctx = fx.dom.slot[0];
    for (unsigned o = 0; o < 6; o++) {
        for (unsigned gap = 0; gap < 2; gap++) {
            static struct pvi_gather g;

            pvi_gather_init(&g, fx.host, fx.hdom, fx.dom.table.ops);
            for (unsigned k = 0; k < 3; k++) { /* [0, 1), [1, 2), [2, 4) in MiB; with a gap before the last */
                uint64_t i = orders[o][k], first = i << 20, last = (i == 2 ? 4ull << 20 : (i + 1) << 20) - 1;

                pvi_gather_range(&g, ctx, first + (i == 2 && gap ? 4096 : 0), last, i == 1, false);
            }
            CHECK(!pvi_gather_empty(&g));
            nr_told = 0;
            CHECK_EQ(pvi_gather_flush(&g), 0);
            CHECK(pvi_gather_empty(&g));
            if (!gap) {
                CHECK_EQ(nr_told, 1);
                CHECK_EQ(told[0].lg2, 22);
                CHECK(!told[0].leaf_only); /* one of them took a table */
            } else {
                CHECK_EQ(nr_told, 1 + 9); /* 2 MiB; then 2 MiB less the first page */
            }
        }
    }
    fx_down(&fx);
}

/* --- capacity ------------------------------------------------------------------------------------- */

static void capacity(void **state)
{
    (void)state;
    for (unsigned n = PVI_GATHER_RANGES - 1; n <= PVI_GATHER_RANGES + 2; n++) {
        static struct pvi_gather g;
        struct pvi_context *a, *b;

        check_case("%u ranges", n);
        up((struct fx_cfg){.kind = FX_NULL}, 200);
        CHECK_EQ(fx_context(&fx, 1), 2);
        a = fx.dom.slot[0];
        b = fx.dom.slot[1];
        pvi_gather_init(&g, fx.host, fx.hdom, fx.dom.table.ops);
        pvi_gather_range(&g, b, 0x5000, 0x5fff, false, false);
        for (unsigned i = 1; i < n; i++) {
            pvi_gather_range(&g, a, i * 0x2000ull, i * 0x2000ull + 0xfff, false, false);
        }
        CHECK(g.nr_ranges <= PVI_GATHER_RANGES);
        nr_told = 0;
        fx_told_reset(&fx);
        CHECK_EQ(pvi_gather_flush(&g), 0);
        if (n <= PVI_GATHER_RANGES) {
            CHECK_EQ(nr_told, n);
        } else { /* all of the one that has too many, and nothing more of the other */
            CHECK_EQ(nr_told, 2);
            CHECK_EQ(told[0].kind + told[1].kind, PVI_INV_DOMAIN + PVI_INV_PAGES);
            for (unsigned i = 0; i < 2; i++) {
                CHECK_EQ(told[i].did, told[i].kind == PVI_INV_DOMAIN ? a->did[0] : b->did[0]);
            }
        }
        CHECK_EQ(fx_told(&fx, 0).wait, 1);
        fx_down(&fx);
    }
}

/* With no room for ranges and a context that it does not know, a batch flushes on its way and stays right. */
static void many_contexts(void **state)
{
    (void)state;
    check_case("many contexts");
    up((struct fx_cfg){.kind = FX_NULL}, 200);
    CHECK_EQ(fx_context(&fx, 1), 2);
    map(1, 0, GUEST_HVM, 400);
    map(2, 0, GUEST_HVM, 400);
    fx_begin(&fx);
    for (unsigned i = 0; i < 63; i++) {
        fx_unmap(&fx, 1, 2 * i, 1);
    }
    fx_expect(&fx, 0);
    fx_begin(&fx);
    for (unsigned i = 0; i < 60; i++) {
        fx_unmap(&fx, 1 + (i > 56), 200 + 2 * i, 1);
    }
    fx_expect(&fx, 0);
    fx_down(&fx);
}

static void domain_when_cheaper(void **state)
{
    (void)state;
    for (unsigned n = 3; n <= 6; n++) {
        check_case("%u pages, 5 cost as much as the domain", n);
        up((struct fx_cfg){.kind = FX_NULL}, 5);
        map(1, BASE, GUEST_HVM, 64);
        fx_begin(&fx);
        for (unsigned i = 0; i < n; i++) {
            fx_unmap(&fx, 1, BASE + 1 + 2 * i, 1);
        }
        nr_told = 0;
        fx_expect(&fx, 0);
        CHECK_EQ(nr_told, n <= 5 ? n : 1);
        CHECK_EQ(told[0].kind, n <= 5 ? PVI_INV_PAGES : PVI_INV_DOMAIN);
        fx_down(&fx);
    }
}

/* The largest block that the unit takes bounds each; a unit without page-selective invalidation gets the domain. */
static void limits_of_units(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        struct fx_cfg cfg = {.kind = FX_NULL, .no_pages = k == 2};

        check_case("limits %u", k);
        up(cfg, 0);
        fx.unit[0].unit->caps.inv_max_lg2 = k == 1 ? 14 : 30;
        map(1, BASE, GUEST_HVM, 17);
        nr_told = 0;
        unmap(1, BASE, 16);
        CHECK_EQ(nr_told, k == 1 ? 4 : 1);
        CHECK_EQ(told[0].kind, k == 2 ? PVI_INV_DOMAIN : PVI_INV_PAGES);
        CHECK(k == 2 || told[0].lg2 == (k == 1 ? 14 : 16));
        fx_down(&fx);
    }
}

/* --- what kind ------------------------------------------------------------------------------------ */

static void scope(void **state)
{
    (void)state;
    check_case("scope");
    up((struct fx_cfg){.kind = FX_NULL}, 0);
    map(1, BASE, GUEST_HVM, 1024);
    map(1, BASE + 1024, GUEST_PV, 1024);
    nr_told = 0;
    unmap(1, BASE + 7, 1); /* one leaf of many */
    CHECK_EQ(nr_told, 1);
    CHECK(told[0].leaf_only && told[0].lg2 == 12);
    nr_told = 0;
    unmap(1, BASE + 512, 512); /* a full table */
    CHECK_EQ(nr_told, 1);
    CHECK(!told[0].leaf_only && told[0].lg2 == 21);
    nr_told = 0;
    unmap(1, BASE + 1024, 512); /* a large leaf */
    CHECK_EQ(nr_told, 1);
    CHECK(told[0].leaf_only && told[0].lg2 == 21);
    nr_told = 0;
    unmap(1, BASE + 1536 + 3, 1); /* a large leaf is cut: all of it, and its table is new */
    CHECK_EQ(nr_told, 1);
    CHECK(!told[0].leaf_only && told[0].lg2 == 21);
    nr_told = 0;
    unmap(1, BASE + 1536 + 4, 508); /* the rest of it: its table is empty, but not covered whole */
    CHECK_EQ(told[0].leaf_only, true);
    unmap(1, BASE + 1536, 3);
    nr_told = 0;
    map(1, BASE + 1536, GUEST_PV, 512); /* a leaf in place of the empty table is no mere addition */
    CHECK_EQ(nr_told, 1);
    CHECK(!told[0].leaf_only && told[0].lg2 == 21);
    fx_down(&fx);
}

/* Additions: nothing; where absence is cached, once for all; where writes are buffered, one flush of the buffer. */
static void additions(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct fx_cfg cfg = {.kind = FX_NULL, .np_cache = (k & 1) != 0, .write_buffer = (k & 2) != 0};

        check_case("additions%s%s", k & 1 ? ", absence cached" : "", k & 2 ? ", write buffer" : "");
        up(cfg, 0);
        fx_begin(&fx);
        for (unsigned i = 0; i < 40; i++) {
            fx_map(&fx, 1, BASE + 8 * i, GUEST_HVM, 8, PVI_RW);
        }
        fx_expect(&fx, 0);
        CHECK_EQ(fx_told(&fx, 0).wait, k & 1);
        CHECK_EQ(nr_told, k == 0 ? 0 : k == 2 ? 1 : 2); /* 320 pages: blocks of 256 and 64 */
        for (unsigned i = 0; i < nr_told; i++) {
            CHECK_EQ(told[i].kind, k == 2 ? PVI_INV_WBUF : PVI_INV_PAGES);
            CHECK(!told[i].leaf_only); /* absence may be cached at any level */
        }
        fx_down(&fx);
    }
}

static void one_wait_per_unit(void **state)
{
    (void)state;
    check_case("units");
    up((struct fx_cfg){.kind = FX_NULL, .units = 3, .devices = 3}, 0);
    fx_begin(&fx);
    fx_reattach(&fx, 1, 1);
    fx_alloc(&fx, 0);
    fx_map(&fx, 1, BASE, GUEST_HVM, 64, PVI_RW);
    fx_expect(&fx, 0);
    fx_told_reset(&fx);
    fx_begin(&fx);
    for (unsigned i = 0; i < 20; i++) {
        fx_unmap(&fx, 1, BASE + 3 * i, 1);
    }
    fx_expect(&fx, 0);
    for (unsigned u = 0; u < 3; u++) { /* the third has no device of the context */
        CHECK_EQ(fx_told(&fx, u).wait, u < 2);
        CHECK_EQ(fx_told(&fx, u).pages, u < 2 ? 20 : 0);
    }
    fx_down(&fx);
}

/* --- order of the release ------------------------------------------------------------------------- */

static struct {
    unsigned waits, puts, free_at_wait, lists_at_submit, early;
    bool waiting;
} order;

static void watch(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    switch (at) {
    case PVI_AT_INV_SUBMIT:
        order.waiting |= !after;
        order.lists_at_submit = fx.batch.gather.nr_lists;
        break;
    case PVI_AT_INV_WAIT:
        order.waits += after;
        order.waiting &= !after;
        order.free_at_wait = fx.dom.pool.nr_free;
        break;
    default: /* a frame is put */
        order.puts += !after;
        order.early += order.waits == 0 || order.waiting;
        break;
    }
}

static void watch_on(void)
{
    memset(&order, 0, sizeof(order));
    pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_INV_SUBMIT) | PVI_AT_BIT(PVI_AT_INV_WAIT) | PVI_AT_BIT(PVI_AT_FRAME_PUT),
                   watch, NULL);
}

/* Frames and tables come back after the wait, not before (R4). */
static void release_after_completion(void **state)
{
    uint32_t before;

    (void)state;
    check_case("release");
    up((struct fx_cfg){.kind = FX_NULL}, 0);
    map(1, BASE, GUEST_HVM, 1024 + 5);
    before = fx.dom.pool.nr_free;
    watch_on();
    unmap(1, BASE, 1024 + 5);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK_EQ(order.waits, 1);
    CHECK_EQ(order.early, 0);
    CHECK_EQ(order.puts, 3); /* two tables and the five single leaves, a run each */
    CHECK_EQ(order.free_at_wait, before);
    CHECK_EQ(fx.dom.pool.nr_free, before + 2);
    fx_down(&fx);
}

/* Frames that do not merge wait in list pages of the pool, which come back too. */
static void list_pages(void **state)
{
    struct pvi_context_usage u;

    (void)state;
    check_case("lists");
    up((struct fx_cfg){.kind = FX_NULL}, 0);
    map(1, BASE, GUEST_SCATTER, 400);
    CHECK_EQ(pvi_context_usage(&fx.dom, 1, &u), 0);
    watch_on();
    unmap(1, BASE, 400);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK_EQ(order.waits, 1);
    CHECK_EQ(order.early, 0);
    CHECK_EQ(order.puts, 400);
    CHECK_EQ(order.lists_at_submit, 2); /* 32 in the gather, 256 in one page, the rest in another */
    CHECK(pvi_posix_hdom_balanced(fx.hdom));
    fx_down(&fx);
}

/* A release is bounded: a batch that frees more frames than one leaf of 1 GiB has flushes on its way (R14). */
static void bounded_release(void **state)
{
    (void)state;
    check_case("bounded");
    up((struct fx_cfg){.kind = FX_NULL}, 0);
    map(1, 0x100000, GUEST_PV, 3 * 0x40000);
    map(1, 0x400000, GUEST_PV + 0x40000 + 0x200, 0x200);
    watch_on();
    fx_begin(&fx);
    fx_unmap(&fx, 1, 0x100000, 3 * 0x40000);
    fx_unmap(&fx, 1, 0x400000, 0x200);
    fx_expect(&fx, 0);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK_EQ(order.waits, 4);
    CHECK_EQ(order.puts, 4);
    CHECK_EQ(order.early, 0);
    fx_down(&fx);
}

/* No page for a list: flushed early, as often as it takes, and everything is right. */
static void no_list_pages(void **state)
{
    (void)state;
    check_case("no lists");
    up((struct fx_cfg){.kind = FX_NULL, .pages = 4}, 0);
    map(1, BASE, GUEST_SCATTER, 400);
    CHECK_EQ(fx.dom.pool.nr_free, 0);
    watch_on();
    unmap(1, BASE, 400);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK_EQ(order.early, 0);
    CHECK_EQ(order.puts, 400);
    CHECK_EQ(order.waits, 400 / 32 + 1);
    CHECK_EQ(order.lists_at_submit, 0);
    CHECK(pvi_posix_hdom_balanced(fx.hdom));
    fx_down(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewest_invalidations), cmocka_unit_test(ranges_merge),
        cmocka_unit_test(capacity),             cmocka_unit_test(many_contexts),
        cmocka_unit_test(domain_when_cheaper),  cmocka_unit_test(limits_of_units),
        cmocka_unit_test(scope),                cmocka_unit_test(additions),
        cmocka_unit_test(one_wait_per_unit),    cmocka_unit_test(release_after_completion),
        cmocka_unit_test(list_pages),           cmocka_unit_test(no_list_pages),
        cmocka_unit_test(bounded_release),
    };

    return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
