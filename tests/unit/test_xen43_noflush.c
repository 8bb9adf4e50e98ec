/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43, deferred flush: what no_flush postpones is what additions owe on units that cache absence or buffer writes, nothing else, and
 * flush_pages makes it good. The recorder keeps the account, the models' caches never forget.
 */
#include <string.h>

#include <pviommu/abi/xen43.h>

#include "xen43_rig.h"

#define BASE 0x40000ull
#define NO_FLUSH 8u

static struct fx f;
static struct x43 x;

static const struct {
    const char *name;
    struct fx_cfg cfg;
    bool owes; /* additions owe something */
} units[] = {
    {"null, not-present cached", {.kind = FX_NULL, .np_cache = true}, true},
    {"null, write buffer", {.kind = FX_NULL, .write_buffer = true}, true},
    {"null", {.kind = FX_NULL}, false},
    {"VT-d, caching mode", {.kind = FX_VTD, .np_cache = true}, true},
    {"VT-d, caching mode, trim, two units", {.kind = FX_VTD, .np_cache = true, .trim = true, .units = 2}, true},
    {"VT-d, write buffer", {.kind = FX_VTD, .write_buffer = true}, true},
    {"VT-d, write buffer, no PSI", {.kind = FX_VTD, .write_buffer = true, .no_pages = true, .levels = 3}, true},
    {"VT-d", {.kind = FX_VTD}, false},
    {"VT-d, not coherent", {.kind = FX_VTD, .incoherent = true}, false},
    {"AMD-Vi, NpCache", {.kind = FX_AMD, .np_cache = true}, true},
    {"AMD-Vi", {.kind = FX_AMD}, false},
};

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static uint64_t told(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < f.nr_units; i++) {
        struct fx_told t = fx_told(&f, i);

        n += t.pages + t.domain + t.all + t.wait + t.wbuf;
    }
    return n;
}

/* A map whose pages no device is asked for yet. */
static int map_later(unsigned ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t pgsize)
{
    int rc;

    x.fast = true;
    rc = x43_map(&x, ctx, dfn, gfn, nr, flags, pgsize);
    x.fast = false;
    return rc;
}

static bool faults(uint64_t dfn)
{
    return f.cfg.kind != FX_NULL && hwm_dma(f.unit[0].model, f.dev[0].rid[0], dfn << 12, true, NULL, NULL) == HWM_FAULT;
}

static void postponed(bool owes, bool preempt)
{
    unsigned ctx = x43_context(&x, 0);
    uint64_t before;

    pvi_posix_preempt_call(f.host, preempt ? always : NULL, NULL);
    CHECK_RC(x43_map(&x, ctx, BASE - 1, GUEST_HVM, 1, 3, 4096), 0); /* the tables are there, and the units know what is absent */
    CHECK_EQ(pvi_posix_postponed(f.host, true), 0);
    x43_check(&x);
    before = told();
    CHECK_RC(map_later(ctx, BASE, GUEST_HVM, 700, 3 | NO_FLUSH, 4096), 0);
    CHECK_EQ(told(), before); /* nothing at all */
    CHECK_EQ(pvi_posix_postponed(f.host, true) != 0, owes);
    if (owes && f.cfg.np_cache && f.cfg.kind != FX_NULL) {
        CHECK(faults(BASE)); /* it was asked for before: its absence is cached */
    } else if (!owes) {
        CHECK(!faults(BASE));
        x43_check(&x);
    }
    CHECK_RC(x43_flush(&x, ctx, BASE, 700, 4096), 0); /* the rig: devices reach all of it */
    CHECK_EQ(pvi_posix_postponed(f.host, true), 0);
    CHECK(!faults(BASE));

    /* Part of it is unmapped, mapped again, and flushed by halves. */
    CHECK_RC(map_later(ctx, BASE + 0x1000, GUEST_PV, 600, 3 | NO_FLUSH, 4096), 0);
    x.fast = true;
    CHECK_RC(x43_unmap(&x, ctx, BASE + 0x1000 + 100, 100, 4096), 0);
    CHECK_RC(x43_unmap(&x, ctx, BASE + 0x1000 + 500, 101, 4096), X43_ENOENT);
    CHECK(!f.cfg.kind || (faults(BASE + 0x1000 + 100) && faults(BASE + 0x1000 + 599))); /* unmapped is unmapped */
    x.fast = false;
    CHECK_RC(map_later(ctx, BASE + 0x1000 + 100, GUEST_HVM, 100, 1 | NO_FLUSH, 4096), 0);
    x.fast = true;
    CHECK_RC(x43_flush(&x, ctx, BASE + 0x1000, 300, 4096), 0);
    x.fast = false;
    CHECK_RC(x43_flush(&x, ctx, BASE + 0x1000 + 300, 300, 4096), 0);
    CHECK_EQ(pvi_posix_postponed(f.host, true), 0);

    /* Pages of 2 MiB; with a page that fails in its middle, and goes again. */
    CHECK_RC(map_later(ctx, BASE + 0x2000, GUEST_PV, 2, 3 | NO_FLUSH, 0x200000), 0);
    CHECK_RC(x43_flush(&x, ctx, BASE + 0x2000, 2, 0x200000), 0);
    CHECK_EQ(pvi_posix_postponed(f.host, true), 0);
    CHECK_RC(map_later(ctx, BASE + 0x1c00, GUEST_HVM, 3, 3 | NO_FLUSH, 0x200000), X43_EADDRINUSE);
    CHECK_EQ(x.counted, 2);
    CHECK_RC(x43_flush(&x, ctx, BASE + 0x1c00, 3, 0x200000), 0);
    CHECK_EQ(pvi_posix_postponed(f.host, true), 0);

    /* Owed when the context ends, or the device leaves. */
    CHECK_RC(map_later(ctx, BASE + 0x8000, GUEST_PV, 50, 3 | NO_FLUSH, 4096), 0);
    x.fast = true;
    CHECK_RC(x43_reattach(&x, 0, f.dev[0].sbdf.v), 0);
    CHECK_RC(x43_free(&x, ctx, 1), 0);
    x.fast = false;
    CHECK_EQ(pvi_posix_postponed(f.host, true), 0);
    x43_check(&x);
    pvi_posix_preempt_call(f.host, NULL, NULL);
}

static void each(void (*fn)(bool owes, bool preempt))
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        for (unsigned k = 0; k < 4; k++) {
            check_case("%s, %u-bit%s", units[i].name, (k & 1) != 0 ? 32 : 64, (k & 2) != 0 ? ", preempted" : "");
            x43_ready(&x, &f, &units[i].cfg, (k & 1) != 0);
            fn(units[i].owes, (k & 2) != 0);
            fx_down(&f);
        }
    }
}

static void test_postponed(void **state)
{
    (void)state;
    each(postponed);
}

/* An empty table that a larger leaf displaces is flushed at once, no_flush or not: units may have cached it. */
static void displaced(bool owes, bool preempt)
{
    unsigned ctx = x43_context(&x, 0);
    uint64_t before;

    (void)owes;
    (void)preempt;
    CHECK_RC(x43_map(&x, ctx, BASE, GUEST_HVM, 512, 3, 4096), 0);
    x43_check(&x);
    CHECK_RC(x43_unmap(&x, ctx, BASE, 300, 4096), 0);
    CHECK_RC(x43_unmap(&x, ctx, BASE + 300, 212, 4096), 0); /* bit by bit: the empty table stays */
    (void)pvi_posix_postponed(f.host, true); /* additions only: any other due is a violation still */
    before = told();
    CHECK_RC(map_later(ctx, BASE, GUEST_PV, 1, 3 | NO_FLUSH, 0x200000), 0);
    CHECK(f.cfg.trim || told() > before);
    CHECK_RC(x43_flush(&x, ctx, BASE, 1, 0x200000), 0);
    CHECK_EQ(pvi_posix_postponed(f.host, false), 0);
    x43_check(&x);
}

static void test_displaced_tables(void **state)
{
    (void)state;
    each(displaced);
}

/*
 * Another CPU maps where a table has just been taken out and the units have not been told: they may still walk the old one, so what comes
 * in its place is flushed at once, no_flush or not.
 */
struct other {
    struct x43 cpu;
    bool done;
    uint64_t told;
    int rc;
};

static void other_cpu(void *opaque, enum pvi_posix_point at, bool after)
{
    struct other *o = opaque;
    uint32_t word = 6;

    (void)at;
    if (after || o->done) {
        return;
    }
    o->done = true;
    pvi_posix_hdom_mem(f.hdom, o->cpu.mem, o->cpu.base, X43_MEM);
    o->told = told();
    o->rc = pvi_xen43_call(&o->cpu.call, &word, o->cpu.base + X43_AT);
    o->told = told() - o->told;
    pvi_posix_hdom_mem(f.hdom, x.mem, x.base, X43_MEM);
}

static void beside(bool owes, bool preempt)
{
    unsigned ctx = x43_context(&x, 0);
    static struct other o;

    (void)owes;
    (void)preempt;
    memset(&o, 0, sizeof(o));
    CHECK_RC(x43_map(&x, ctx, BASE, GUEST_HVM, 512, 3, 4096), 0);
    o.cpu = x;
    o.cpu.mem = o.cpu.own;
    x43_begin(&o.cpu, 6);
    x43_put(&o.cpu, MAP_CTX, ctx);
    x43_put(&o.cpu, MAP_DFN, BASE + 3);
    x43_put(&o.cpu, MAP_GFN, GUEST_PV);
    x43_put(&o.cpu, MAP_FLAGS, 3 | NO_FLUSH);
    x43_put(&o.cpu, MAP_PGSIZE, 4096);
    x43_put(&o.cpu, MAP_NR, 1);
    pvi_posix_hook(f.host, PVI_AT_BIT(PVI_AT_INV_SUBMIT), other_cpu, &o);
    x.fast = true;
    CHECK_RC(x43_unmap(&x, ctx, BASE, 512, 4096), 0);
    x.fast = false;
    pvi_posix_hook(f.host, 0, NULL, NULL);
    CHECK(o.done);
    CHECK_RC(o.rc, 0);
    CHECK(o.told != 0);
    x43_judge_range(&x, PVI_OP_MAP, ctx, BASE + 3, GUEST_PV, 1, 3, 1, 0, 1);
}

static void test_tables_of_other_cpus(void **state)
{
    (void)state;
    each(beside);
}

/* Without the flag nothing is postponed: the recorder is not told that anything may be. */
static void at_once(bool owes, bool preempt)
{
    unsigned ctx = x43_context(&x, 0);

    pvi_posix_preempt_call(f.host, preempt ? always : NULL, NULL);
    CHECK_RC(x43_map(&x, ctx, BASE, GUEST_HVM, 700, 3, 4096), 0);
    CHECK_EQ(pvi_posix_postponed(f.host, false), 0);
    if (!owes) { /* and where nothing is owed the flag changes nothing */
        CHECK_RC(x43_map(&x, ctx, BASE + 0x1000, GUEST_HVM, 700, 3 | NO_FLUSH, 4096), 0);
        CHECK_RC(x43_map(&x, ctx, BASE + 0x2000, GUEST_PV, 2, 3 | NO_FLUSH, 0x200000), 0);
    }
    pvi_posix_preempt_call(f.host, NULL, NULL);
}

static void test_at_once(void **state)
{
    (void)state;
    each(at_once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postponed),
        cmocka_unit_test(test_displaced_tables),
        cmocka_unit_test(test_tables_of_other_cpus),
        cmocka_unit_test(test_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
