/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43: one test for each defect of the published code (docs/abi.md, section 1, by its numbers). Each comment says
 * which change of ours brings the like of it back; where a line can, it is a mutant of tests/mutants/list.txt.
 */
#include <string.h>

#include "xen43_rig.h"

#define BASE 0x40000ull

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static bool third(void *opaque, uint64_t nr)
{
    (void)opaque;
    return nr % 3 == 2;
}

/* 1: init fell through into alloc. Like: init() ends in alloc_context(c) (mutant xen43-init-falls-through). */
static void init_alone(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx = 0;

    x43_up(x, f, cfg, compat);
    CHECK_RC(x43_init(x, 8, 11), 0); /* the rig: the structure is as it was, and no context lives */
    for (unsigned i = 1; i <= 8; i++) {
        CHECK_RC(x43_alloc(x, 0, &ctx), 0);
        CHECK_EQ(ctx, i);
    }
    fx_down(f);
}

static void test_1_init_makes_no_context(void **state)
{
    (void)state;
    x43_each(init_alone);
}

/*
 * 2 and 3: frames and table pages given back before the flush. The recorder judges both (R4); the models' caches never forget. Like:
 * pvi_gather_frames() puts frames at once (mutant gather-frames-at-once), pvi_gather_table() gives tables to the pool at once.
 */
struct order {
    struct x43 *x;
    uint64_t free, puts, told;
    bool early;
};

static void watch_put(void *opaque, enum pvi_posix_point at, bool after)
{
    struct order *o = opaque;

    if (at == PVI_AT_INV_WAIT && after) {
        o->told++;
    } else if (at == PVI_AT_FRAME_PUT && !after) {
        o->puts++;
        o->early |= o->told == 0;
    }
}

static void flush_first(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    struct order o = {.x = x};
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (unsigned round = 0; round < 2; round++) {
        CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 1500, 3, 4096), 0);
        x43_check(x); /* the units hold all of it now */
        pvi_posix_preempt_call(f->host, round != 0 ? third : NULL, NULL);
        memset(&o, 0, sizeof(o));
        pvi_posix_hook(f->host, PVI_AT_BIT(PVI_AT_INV_WAIT) | PVI_AT_BIT(PVI_AT_FRAME_PUT), watch_put, &o);
        CHECK_RC(x43_unmap(x, ctx, BASE, 1500, 4096), 0);
        pvi_posix_hook(f->host, 0, NULL, NULL);
        CHECK(o.puts != 0 && !o.early);
        CHECK(x43_free(x, ctx, 1) == 0); /* and tables: the recorder (R4) */
        ctx = x43_context(x, 0);
        pvi_posix_preempt_call(f->host, NULL, NULL);
    }
    fx_down(f);
}

static void test_2_frames_after_the_flush(void **state)
{
    (void)state;
    x43_each(flush_first);
}

static void watch_pool(void *opaque, enum pvi_posix_point at, bool after)
{
    struct order *o = opaque;

    if (at == PVI_AT_INV_WAIT && !after) { /* what the units are still to forget is not in the pool yet */
        o->told++;
        o->early |= o->x->f->dom.pool.nr_free > o->free;
    }
}

static void tables_last(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    struct fx_cfg with = *cfg;
    struct order o = {.x = x};
    unsigned ctx;

    with.trim = true; /* empty tables go back at once */
    x43_ready(x, f, &with, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 4 * 512, 3, 4096), 0);
    o.free = f->dom.pool.nr_free;
    pvi_posix_hook(f->host, PVI_AT_BIT(PVI_AT_INV_WAIT), watch_pool, &o);
    CHECK_RC(x43_unmap(x, ctx, BASE, 4 * 512, 4096), 0);
    pvi_posix_hook(f->host, 0, NULL, NULL);
    CHECK(o.told != 0 && !o.early);
    CHECK(f->dom.pool.nr_free > o.free);
    CHECK_RC(x43_map(x, ctx, BASE + 0x40000, GUEST_PV, 2, 3, 4096), 0); /* a page that was a table, as one again */
    fx_down(f);
}

static void test_3_tables_after_the_flush(void **state)
{
    (void)state;
    x43_each(tables_last);
}

/* 4: only the first page was looked at. Like: range_check() asks for op->u.map.dfn alone (mutant xen43-first-page-only). */
static void window(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (uint32_t before = 0; before < 600; before += 37) {
        CHECK_RC(x43_map(x, ctx, 0xfee00 - before, GUEST_PV, before + 1, 3, 4096), X43_EADDRNOTAVAIL);
        CHECK_EQ(x->counted, 0);
    }
    CHECK_RC(x43_map(x, ctx, 0xfeeff, GUEST_PV, 1, 3, 4096), X43_EADDRNOTAVAIL);
    fx_down(f);
}

static void rmrr(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    struct pvi_device *dev;
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    dev = fx_device(f, 2, 0);
    dev->nr_regions = 1;
    dev->region[0].first = 0x3000ull << 12;
    dev->region[0].last = (0x3010ull << 12) - 1;
    dev->region[0].prot = PVI_RW;
    CHECK_EQ(fx_add(f, 2), 0);
    ctx = x43_context(x, 2);
    for (uint32_t before = 0; before < 600; before += 37) {
        CHECK_RC(x43_map(x, ctx, 0x3000 - before, GUEST_HVM, before + 1, 3, 4096), X43_EADDRNOTAVAIL);
        (void)x43_unmap(x, ctx, 0x3000 - before, (uint32_t)x->counted, 4096); /* what came before it may be mapped, and was counted */
        CHECK_RC(x43_unmap(x, ctx, 0x3000 - before, before + 1, 4096), X43_EADDRNOTAVAIL);
        CHECK_EQ(x->counted, 0);
    }
    CHECK_RC(x43_lookup(x, ctx, 0x3000), X43_EADDRNOTAVAIL);
    fx_down(f);
}

static void test_4_every_page_of_the_range(void **state)
{
    (void)state;
    x43_each(window);
    x43_each(rmrr);
}

/* 5: references lost or put too often on errors. Like: frames_put_from() does nothing, or puts all (mutant xen43-frames-stay). */
static void references(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_RO, 5, 3, 4096), X43_EPERM);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_NONE, 5, 3, 4096), X43_ENOENT);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM + GUEST_HVM_NR - 3, 5, 3, 4096), X43_ENOENT);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 5, 3, 4096), X43_EADDRINUSE);
    CHECK_RC(x43_unmap(x, ctx, BASE, 3, 4096), 0);
    CHECK(pvi_posix_hdom_balanced(f->hdom));
    CHECK_RC(x43_map(x, ctx, BASE + 3, GUEST_HVM, 1, 3, 4096), 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 5, 3, 4096), X43_EADDRINUSE);
    CHECK_RC(x43_unmap(x, ctx, BASE, 4, 4096), 0);
    CHECK(pvi_posix_hdom_balanced(f->hdom));
    fx_down(f);
}

static void test_5_references_balance(void **state)
{
    (void)state;
    x43_each(references);
}

/*
 * 6: a failing alloc left another's bit behind, or took an unreserved slot. Like: the numbers that failing allocs took are not free, or
 * those of others are (mutant xen43-alloc-keeps-number is op_alloc's slot staying busy).
 */
static void numbers(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    x->tolerate = ORC_TOLERATE_MEMORY;
    for (unsigned n = 1; n <= 8; n++) {
        pvi_posix_fail(f->host, PVI_AT_MEM_ALLOC, 1, true);
        (void)x43_alloc(x, 0, NULL);
        pvi_posix_fail(f->host, PVI_AT_MEM_ALLOC, 0, false);
        CHECK_RC(x43_alloc(x, 0, &ctx), 0);
        CHECK_EQ(ctx, n);
    }
    CHECK_RC(x43_alloc(x, 0, NULL), X43_ENOSPC);
    CHECK_RC(x43_free(x, 3, 0), 0);
    CHECK_RC(x43_alloc(x, 0, &ctx), 0);
    CHECK_EQ(ctx, 3);
    fx_down(f);
}

static void test_6_numbers_of_failed_allocs(void **state)
{
    (void)state;
    x43_each(numbers);
}

/* 7: a lock given back that was not taken. The recorder's lock discipline judges every call; here those that flush everything. */
static void locks(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 0x1000, 3, 4096), 0);
    CHECK_RC(x43_flush(x, ctx, BASE, 0x10000, 4096), 0);
    CHECK_RC(x43_flush(x, ctx, 0, 1, 4096), 0);
    CHECK_RC(x43_unmap(x, ctx, BASE, 0x1000, 4096), 0);
    CHECK_EQ(pvi_posix_calls(f->host, PVI_AT_LOCK), pvi_posix_calls(f->host, PVI_AT_UNLOCK));
    fx_down(f);
}

static void test_7_locks_balance(void **state)
{
    (void)state;
    x43_each(locks);
}

/* 8: free with reattach lost its place and its errors. Like: free_reattach() stops after one, or ignores rc (mutant xen43-free-one-device). */
static void many_devices(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    struct fx_cfg with = *cfg;
    unsigned ctx;

    with.devices = 6;
    x43_ready(x, f, &with, compat);
    ctx = x43_context(x, 0);
    for (unsigned i = 1; i < 6; i++) {
        CHECK_RC(x43_reattach(x, ctx, f->dev[i].sbdf.v), 0);
    }
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 10, 3, 4096), 0);
    CHECK_RC(x43_free(x, ctx, 0), X43_EBUSY);
    pvi_posix_preempt_call(f->host, always, NULL);
    CHECK_RC(x43_free(x, ctx, 1), 0); /* the rig: all six are in the default context */
    CHECK(x->preempted >= 5);
    pvi_posix_preempt_call(f->host, NULL, NULL);
    fx_down(f);
}

static void failing_devices(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    struct fx_cfg with = *cfg;
    unsigned ctx;

    if (cfg->kind != FX_NULL) {
        return;
    }
    with.devices = 4;
    for (unsigned n = 1; n <= 4; n++) {
        x43_ready(x, f, &with, compat);
        ctx = x43_context(x, 0);
        for (unsigned i = 1; i < 4; i++) {
            CHECK_RC(x43_reattach(x, ctx, f->dev[i].sbdf.v), 0);
        }
        x43_begin(x, 4);
        x43_put(x, FREE_CTX, ctx);
        x43_put(x, FREE_FLAGS, 1);
        pvi_posix_fail(f->host, PVI_AT_DEV_SWITCH, n, false);
        CHECK_RC(x43_call(x, 4), X43_EIO); /* the third device's failure is the answer */
        CHECK_EQ(pvi_posix_failed(f->host, PVI_AT_DEV_SWITCH), 1);
        pvi_posix_fail(f->host, PVI_AT_DEV_SWITCH, 0, false);
        CHECK_RC(x43_call(x, 4), 0);
        fx_end(f, true); /* what the unit may still reach is written off */
    }
}

static void test_8_free_moves_every_device(void **state)
{
    (void)state;
    x43_each(many_devices);
    x43_each(failing_devices);
}

/* 9: an arena of order 0 had no page. Like: nr_pages is 0 (mutant xen43-empty-arena). */
static void tiny(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    for (uint32_t order = 0; order < 4; order++) {
        x43_up(x, f, cfg, compat);
        x->tolerate = ORC_TOLERATE_MEMORY;
        CHECK_RC(x43_init(x, 8, order), 0);
        CHECK_RC(x43_alloc(x, 0, &ctx), 0);
        CHECK_RC(x43_reattach(x, ctx, f->dev[0].sbdf.v), 0);
        CHECK_RC(x43_map(x, ctx, 0x12345, GUEST_HVM, 0x10000, 3, 4096), X43_ENOMEM); /* no crash, no other domain's pages */
        CHECK_RC(x43_unmap(x, ctx, 0x12345, (uint32_t)x->counted, 4096), 0);
        fx_down(f);
    }
}

static void test_9_small_arenas(void **state)
{
    (void)state;
    x43_each(tiny);
}

/* 10: teardown freed by the wrong numbers. fx_down() demands everything back: here from a guest that has left all of it. */
static void left_over(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    for (unsigned i = 1; i <= 8; i++) {
        CHECK_RC(x43_alloc(x, i == 4, &ctx), 0);
        CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV + i, 20, 3, 4096), 0);
    }
    CHECK_RC(x43_reattach(x, 8, f->dev[0].sbdf.v), 0);
    CHECK_RC(x43_reattach(x, 1, f->dev[1].sbdf.v), 0);
    CHECK_RC(x43_free(x, 2, 0), 0);
    fx_down(f);
}

static void test_10_end_of_a_domain(void **state)
{
    (void)state;
    x43_each(left_over);
}

/* 11: no lookup on AMD, so overlap was not seen and unmap found nothing. x43_each() runs these on both. */
static void overlap(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 0x400, 3, 4096), 0); /* as large leaves */
    for (uint64_t at = 0; at < 0x400; at += 0x55) {
        CHECK_RC(x43_map(x, ctx, BASE + at, GUEST_HVM, 1, 3, 4096), X43_EADDRINUSE);
        CHECK_RC(x43_lookup(x, ctx, BASE + at), 0);
    }
    CHECK_RC(x43_unmap(x, ctx, BASE, 0x401, 4096), X43_ENOENT);
    CHECK_EQ(x->counted, 0x400);
    CHECK_RC(x43_lookup(x, ctx, BASE), X43_ENOENT);
    fx_down(f);
}

static void test_11_overlap_is_seen(void **state)
{
    (void)state;
    x43_each(overlap);
}

/* 12: a map without pages crashed the domain. It answers ENOMEM at every allocation, with an exact count, and goes on once there is room. */
static void no_pages(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    for (uint32_t share = 1; share < 12; share++) {
        struct fx_cfg with = *cfg;

        with.context_pages = share;
        x43_ready(x, f, &with, compat);
        x->tolerate = ORC_TOLERATE_MEMORY;
        CHECK_RC(x43_alloc(x, 0, &ctx), 0);
        CHECK_RC(x43_map(x, ctx, 0x1ff, GUEST_HVM, 0x2000, 3, 4096), X43_ENOMEM);
        if (x->counted != 0) {
            CHECK_RC(x43_unmap(x, ctx, 0x1ff, (uint32_t)x->counted, 4096), 0);
        }
        CHECK(!pvi_env_read32(&f->dom.dying));
        CHECK_RC(x43_free(x, ctx, 0), 0);
        fx_down(f);
    }
}

static void test_12_no_page_is_an_error(void **state)
{
    (void)state;
    x43_each(no_pages);
}

/* 13: only a plain reference was taken. A writable mapping of a PV frame owes the writable type, a read-only one does not. */
static void types(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    struct guest_frame frame;
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK(guest_frame(GUEST_PV + 5, &frame));
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV + 5, 1, 3, 4096), 0);
    CHECK_EQ(pvi_posix_frame_count(f->hdom, frame.pa, PVI_OWE_WRITABLE), 1);
    CHECK_RC(x43_map(x, ctx, BASE + 1, GUEST_PV + 5, 1, 2, 4096), 0);
    CHECK_EQ(pvi_posix_frame_count(f->hdom, frame.pa, PVI_OWE_WRITABLE), 2);
    CHECK_RC(x43_map(x, ctx, BASE + 2, GUEST_PV + 5, 1, 1, 4096), 0);
    CHECK_EQ(pvi_posix_frame_count(f->hdom, frame.pa, PVI_OWE_WRITABLE), 2);
    CHECK_EQ(pvi_posix_frame_count(f->hdom, frame.pa, PVI_OWE_REF), 1);
    CHECK_RC(x43_unmap(x, ctx, BASE, 3, 4096), 0);
    CHECK(pvi_posix_hdom_balanced(f->hdom));
    fx_down(f);
}

static void test_13_writable_types(void **state)
{
    (void)state;
    x43_each(types);
}

/* 14: asked at 255 of 256 pages, and the wrong way. Never preempted, never continued; always preempted, a bounded piece between two. */
static void preemption(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    uint64_t asked;
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    pvi_posix_calls_reset(f->host);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 0x4000, 3, 4096), 0);
    CHECK_EQ(x->preempted, 0);
    asked = pvi_posix_calls(f->host, PVI_AT_PREEMPT);
    CHECK(asked >= 16 && asked <= 0x4000 / 64); /* small leaves: each table a slice or a few */
    CHECK_RC(x43_unmap(x, ctx, BASE, 0x4000, 4096), 0);
    pvi_posix_preempt_call(f->host, always, NULL);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 0x4000, 3, 4096), 0);
    CHECK(x->preempted >= 16);
    CHECK_EQ(x43_get(x, MAP_DFN), BASE + 0x4000 - x43_get(x, MAP_NR));
    CHECK_EQ(x43_get(x, MAP_GFN), GUEST_HVM + 0x4000 - x43_get(x, MAP_NR));
    CHECK_RC(x43_unmap(x, ctx, BASE, 0x4001, 4096), X43_ENOENT);
    CHECK(x->preempted >= 1);
    CHECK_EQ(x43_get(x, UN_DFN), BASE + 0x4001 - x43_get(x, UN_NR));
    pvi_posix_preempt_call(f->host, NULL, NULL);
    fx_down(f);
}

static void test_14_preemption(void **state)
{
    (void)state;
    x43_each(preemption);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1_init_makes_no_context),  cmocka_unit_test(test_2_frames_after_the_flush),
        cmocka_unit_test(test_3_tables_after_the_flush), cmocka_unit_test(test_4_every_page_of_the_range),
        cmocka_unit_test(test_5_references_balance),     cmocka_unit_test(test_6_numbers_of_failed_allocs),
        cmocka_unit_test(test_7_locks_balance),          cmocka_unit_test(test_8_free_moves_every_device),
        cmocka_unit_test(test_9_small_arenas),           cmocka_unit_test(test_10_end_of_a_domain),
        cmocka_unit_test(test_11_overlap_is_seen),       cmocka_unit_test(test_12_no_page_is_an_error),
        cmocka_unit_test(test_13_writable_types),        cmocka_unit_test(test_14_preemption),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
