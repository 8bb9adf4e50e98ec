/* SPDX-License-Identifier: MIT */
/*
 * usage: sweep_random [operations per machine [seed]]
 *
 * Random batches on every kind of machine, preempted at random. The oracle judges each answer and the tables; the
 * hardware model, whose caches never forget on their own, judges what devices reach after each batch.
 */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define WINDOWS 6u

static struct fx fx;
static struct rnd rnd;
static uint64_t nr_ops = 15000, seed = 1;
static uint64_t right[PVI_OP_NR], refused[PVI_OP_NR];

static uint64_t below(uint64_t n)
{
    return rnd_below(&rnd, n);
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

/* --- operations ----------------------------------------------------------------------------------- */

/* Device frames: the beginning, around a GiB, around the window of interrupts and a region, the end, far off. */
static uint64_t some_dfn(void)
{
    uint64_t last = fx.orc.last_pfn, at;

    switch (below(WINDOWS)) {
    case 0:
        at = 0;
        break;
    case 1:
        at = 0x40000 - 0x400;
        break;
    case 2:
        at = (FX_MSI_FIRST >> 12) - 0x400;
        break;
    case 3:
        at = 0x90000 - 0x200; /* the region of device 2, which is no memory of the guest */
        break;
    case 4:
        at = last - 0x7ff;
        break;
    default:
        at = last / 3 * 2;
        break;
    }
    at += below(0x800);
    return one_in(3) ? at & ~0x1ffull : at;
}

static uint64_t some_nr(void)
{
    switch (below(8)) {
    case 0:
        return 0x200 * (1 + below(4));
    case 1:
        return 1 + below(3000);
    case 2:
        return one_in(8) ? 0x40000 : 0x200;
    default:
        return 1 + below(12);
    }
}

static uint64_t some_gfn(uint64_t dfn)
{
    switch (below(9)) {
    case 0:
        return GUEST_HVM + below(GUEST_HVM_NR);
    case 1:
        return GUEST_KEPT + below(GUEST_KEPT_NR);
    case 2:
        return GUEST_SCATTER + below(GUEST_SCATTER_NR);
    case 3:
        return GUEST_RO + below(GUEST_RO_NR);
    case 4:
        return below(GUEST_LOW_NR);
    case 5:
        /* above the window of interrupts: VT-d takes no address in it for the target of a translation */
        return one_in(4) ? GUEST_NONE + below(100) : GUEST_MMIO + 0xf00 + below(0x1100);
    default: /* congruent: large leaves fit */
        return GUEST_PV + (dfn & 0x3ffff) + 0x40000 * below(6);
    }
}

/* A page that the context maps, if there is one behind some place; else that place. */
static uint64_t some_mapped(unsigned ctx, uint64_t *left)
{
    uint64_t dfn = some_dfn();
    struct flat_run run;

    *left = 1;
    if (ctx >= ORC_CONTEXTS || !fx.orc.ctx[ctx].live || !flat_next(fx.orc.ctx[ctx].map, dfn, &run)) {
        return dfn;
    }
    dfn = run.first > dfn ? run.first : dfn;
    *left = run.last - dfn + 1;
    return dfn;
}

static unsigned some_ctx(void)
{
    return (unsigned)(one_in(12) ? below(10) : 1 + below(fx.cfg.nested ? 7 : 3));
}

/* Mostly into some window of the context, and its pages; the smallest of them. */
static uint64_t into_window(unsigned ctx, uint64_t *dfn, uint64_t *nr)
{
    const struct orc_ctx *c = &fx.orc.ctx[ctx < ORC_CONTEXTS ? ctx : 0];
    const struct orc_window *w = &c->window[below(4)];
    uint64_t page;

    for (unsigned i = 0; i < ORC_WINDOWS; i++) {
        w = c->window[i].first <= *dfn && *dfn <= c->window[i].last ? &c->window[i] : w;
    }
    if (ctx >= ORC_CONTEXTS || !fx.orc.ctx[ctx].windowed || w->state != PVI_WINDOW_OPEN || one_in(12)) {
        return 1;
    }
    page = (w->sizes & (0 - w->sizes)) >> 12;
    *dfn = *dfn >= w->first && *dfn <= w->last ? *dfn & ~(page - 1) : w->first + below((w->last - w->first + 1) / page) * page;
    *nr = (*nr + page - 1) / page * page;
    *nr = *nr - 1 > w->last - *dfn ? w->last - *dfn + 1 : *nr;
    return page;
}

static void some_range(struct pvi_op *op, bool map)
{
    uint64_t dfn = some_dfn(), nr = some_nr(), left, page;

    if (!map && !one_in(3)) {
        dfn = some_mapped(op->ctx, &left);
        nr = nr > left && !one_in(6) ? left : nr;
    }
    page = into_window(op->ctx, &dfn, &nr);
    if (map) {
        op->flags = 1 + (unsigned)below(3);
        op->u.map.dfn.f = dfn;
        op->u.map.gfn.f = some_gfn(dfn) & ~(page - 1);
        if (op->u.map.gfn.f >= GUEST_MMIO && op->u.map.gfn.f < GUEST_MMIO + 0xf00) {
            op->u.map.gfn.f = GUEST_PV; /* not into the window of interrupts */
        }
        op->u.map.nr = nr;
    } else {
        op->u.unmap.dfn.f = dfn;
        op->u.unmap.nr = nr;
    }
}

/* Something that a guest should not send. */
static void spoil(struct pvi_op *op)
{
    switch (below(7)) {
    case 0:
        op->flags ^= 1u << below(32);
        op->flags &= fx.cfg.np_cache || fx.cfg.write_buffer ? ~PVI_MAP_NO_FLUSH : ~0u; /* no device would wait for the flush */
        break;
    case 1:
        op->pad = (uint16_t)(1 + below(0xffff));
        break;
    case 2:
        op->u.map.dfn.f = rnd_next(&rnd);
        break;
    case 3:
        op->u.map.nr = rnd_next(&rnd);
        break;
    case 4:
        op->ctx = (uint16_t)rnd_next(&rnd);
        break;
    case 5:
        op->u.map.gfn.f = rnd_next(&rnd);
        break;
    default:
        op->code = (uint16_t)below(PVI_OP_NR + 3u);
        break;
    }
}

/* Sizes of a window, mostly of those that there are. */
static void some_sizes(struct pvi_op *op)
{
    uint64_t sizes = one_in(20) ? rnd_next(&rnd) : fx.orc.page_sizes & rnd_next(&rnd);

    switch (below(6)) {
    case 0:
        op->u.window.sizes = sizes;
        op->u.window.shift = (uint8_t)(sizes != 0 && !one_in(9) ? __builtin_ctzll(sizes) : 0);
        break;
    case 1:
        op->u.window.shift = (uint8_t)(one_in(3) ? below(70) : 12 + 9 * below(3));
        break;
    case 2:
        op->u.window.shift = (uint8_t)(12 + 9 * below(2));
        op->u.window.sizes = 1ull << op->u.window.shift;
        break;
    default:
        break;
    }
}

/* Over the places of some_dfn(), in large pages or in odd ones. */
static void some_window(unsigned ctx)
{
    const struct orc_ctx *c = &fx.orc.ctx[ctx < ORC_CONTEXTS ? ctx : 0];
    uint64_t pick = below(20), dfn, nr;
    bool open = false;

    for (unsigned i = 0; i < 4; i++) {
        open |= c->window[i].state == PVI_WINDOW_OPEN;
    }
    pick = c->windowed && !open ? 0 : pick;

    if (pick < (c->windowed ? 12u : 2u)) {
        dfn = some_dfn() & (one_in(5) ? ~0ull : one_in(6) ? ~0x3ffffull : ~0x1ffull);
        nr = one_in(5) ? 1 + below(0x800) : one_in(6) ? 0x40000 : 0x200 * (1 + below(8));
        some_sizes(fx_window(&fx, ctx, dfn, nr, 0, 0));
    } else if (pick < 14) {
        fx_window_op(&fx, PVI_OP_WINDOW_REMOVE, ctx, (unsigned)(c->windowed ? below(9) : 0));
    } else if (pick < 16) {
        fx_window_op(&fx, PVI_OP_WINDOW_QUERY, ctx, (unsigned)below(9));
    } else {
        fx_op(&fx, PVI_OP_WINDOW_RESET, ctx);
    }
}

/* Some context that is nested, if there is one. */
static unsigned some_nested_ctx(void)
{
    unsigned ctx = (unsigned)below(8), i = 0;

    while (i++ < 8 && !(fx.orc.ctx[ctx].live && fx.orc.ctx[ctx].nested)) {
        ctx = (ctx + 1) % 8;
    }
    return one_in(20) ? some_ctx() : ctx;
}

static void some_flush(void)
{
    uint64_t whole = below(3), nr = whole == 0 ? 0 : one_in(4) ? rnd_next(&rnd) >> below(64) : 1 + below(600);
    uint64_t first = nr != 0 ? rnd_next(&rnd) >> (13 + below(51)) : 0;
    struct pvi_op *op = fx_flush_nested(&fx, some_nested_ctx(), one_in(2) ? 0 : (uint32_t)below(12), first, nr);

    if (whole == 2 && one_in(2)) {
        memset(&op->u, 0, sizeof(op->u));
        op->flags = PVI_FLUSH_ALL_PASIDS;
    }
}

/* What a guest with tables of its own does. */
static void some_nested(unsigned ctx)
{
    uint64_t pick = below(20);
    unsigned dev = (unsigned)below(fx.nr_devs);
    uint32_t pasid = 1 + (uint32_t)below(12);
    const struct orc_pasid *known = &fx.orc.pasid[below(fx.orc.nr_pasids + 1u)];
    struct pvi_op *op;

    if (pick < 2) {
        op = fx_nested(&fx, one_in(3) ? 0 : ctx, one_in(9) ? rnd_next(&rnd) >> below(64) : some_dfn());
        op->flags = one_in(3) ? (uint32_t)below(4) : 0;
        op->u.nested.levels = one_in(3) ? (uint8_t)(3 + below(4)) : op->u.nested.levels;
        op->u.nested.depth = one_in(6) ? (uint8_t)below(4) : op->u.nested.depth;
    } else if (pick < 4) {
        fx_free(&fx, some_nested_ctx(), one_in(3) ? 0 : PVI_FREE_REATTACH);
    } else if (pick < 7) {
        some_flush();
    } else if (pick < 11) {
        fx_reattach(&fx, some_nested_ctx(), dev);
    } else if (pick < 16) {
        fx_attach_pasid(&fx, one_in(2) ? ctx : some_nested_ctx(), dev, one_in(30) ? (uint32_t)rnd_next(&rnd) : pasid, one_in(3) ? PVI_PASID_MOVE : 0);
    } else {
        op = fx_detach_pasid(&fx, dev, pasid);
        if (known < &fx.orc.pasid[fx.orc.nr_pasids] && !one_in(4)) {
            op->u.pasid.sbdf = known->dev->sbdf;
            op->u.pasid.pasid = known->pasid;
        }
    }
}

static void some_op(void)
{
    unsigned ctx = some_ctx();
    uint64_t pick = below(100), left;

    if (fx.cfg.nested && one_in(4)) {
        some_nested(ctx);
    } else if (one_in(25)) {
        some_window(one_in(5) ? ctx : 3); /* the others keep the one over all */
    } else if (pick < 38) {
        some_range(fx_op(&fx, PVI_OP_MAP, ctx), true);
    } else if (pick < 70) {
        some_range(fx_op(&fx, PVI_OP_UNMAP, ctx), false);
    } else if (pick < 76) {
        some_range(fx_op(&fx, PVI_OP_RIGHTS, ctx), false);
        fx.op[fx.nr_ops - 1].flags = 1 + (unsigned)below(3);
    } else if (pick < 84) {
        fx_lookup(&fx, ctx, one_in(3) ? some_dfn() : some_mapped(ctx, &left));
    } else if (pick < 87) {
        fx_flush(&fx, ctx, one_in(2) ? 0 : some_dfn(), one_in(2) ? 0 : 1 + below(600));
    } else if (pick < 94) {
        fx_reattach(&fx, one_in(4) ? 0 : ctx, (unsigned)below(fx.nr_devs));
    } else if (pick < 97) {
        fx_alloc(&fx, one_in(6) ? PVI_ALLOC_IDENTITY : 0);
    } else if (pick < 98) {
        fx_op(&fx, PVI_OP_QUERY_USAGE, ctx);
    } else if (pick < 99) {
        fx_free(&fx, ctx, one_in(3) ? 0 : PVI_FREE_REATTACH);
    } else {
        fx_op(&fx, one_in(2) ? PVI_OP_NOOP : PVI_OP_QUERY_CAPS, 0);
    }
    if (one_in(30)) {
        spoil(&fx.op[fx.nr_ops - 1]);
    }
}

/* A batch that happens whole or not at all: shorter, and of what it can have. */
static void some_atomic(void)
{
    while (fx.nr_ops < 5) {
        uint64_t pick = below(10);
        unsigned ctx = 1 + (unsigned)below(fx.cfg.nested ? 6 : 3);

        if (pick < 4) {
            some_range(fx_op(&fx, PVI_OP_MAP, ctx), true);
        } else if (pick < 8) {
            some_range(fx_op(&fx, pick < 7 ? PVI_OP_UNMAP : PVI_OP_RIGHTS, ctx), false);
            fx.op[fx.nr_ops - 1].flags = pick < 7 ? 0 : 1 + (unsigned)below(3);
        } else {
            fx_reattach(&fx, one_in(4) ? 0 : ctx, (unsigned)below(fx.nr_devs));
        }
    }
    fx.batch.flags = PVI_BATCH_ATOMIC;
}

/* --- one machine ---------------------------------------------------------------------------------- */

static bool sometimes(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return one_in(9);
}

/*
 * Between any two stores, and around each command that a unit executes, some device asks for some page at the edges of
 * what the batch changes: whatever a unit can cache at that moment, it has cached.
 */
static void between_stores(void *opaque, enum pvi_posix_point at, bool after)
{
    const struct pvi_device *d = &fx.dev[below(fx.nr_devs)];

    (void)opaque;
    (void)at;
    for (unsigned i = 0; after && i < fx.nr_units; i++) {
        if (fx.unit[i].unit == d->unit) {
            (void)hwm_speculate(fx.unit[i].model, d->rid[0], fx.recent[below(FX_RECENT)] << 12, NULL);
        }
    }
}

static void watch_edges(void)
{
    for (unsigned i = 0; i < fx.nr_units; i++) {
        hwm_watch_clear(fx.unit[i].model);
        for (unsigned k = 0; k < 3; k++) {
            hwm_watch(fx.unit[i].model, fx.dev[below(fx.nr_devs)].rid[0], fx.recent[below(FX_RECENT)] << 12);
        }
    }
}

static void devices(void)
{
    for (unsigned i = 1; i < 5; i++) {
        struct pvi_device *d = fx_device(&fx, i, i % fx.nr_units);

        d->group = i >= 3 ? 9 : 0;
        if (i == 1) {
            d->nr_rids = 2;
            d->rid[1] = 0x777;
        } else if (i == 2) {
            d->nr_regions = 1;
            d->region[0] = (struct pvi_region){0x90000000, 0x90004fff, PVI_RW};
        }
        CHECK_EQ(fx_add(&fx, i), 0);
    }
}

static void machine(const struct fx_cfg *cfg, const char *name)
{
    struct fx_cfg own = *cfg;
    uint64_t done = 0;

    check_case("%s, seed %llu", name, (unsigned long long)seed);
    rnd.state = seed * 7919 + 1;
    own.devices = 1;
    own.contexts = cfg->nested ? 7 : 4;
    own.pages = 3900;
    fx_up(&fx, &own);
    devices();
    fx.check_every = 8;
    for (unsigned i = 0; i < fx.nr_units && fx.unit[i].model; i++) {
        hwm_set_fracture(fx.unit[i].model, i % 2 != 0);
        hwm_set_lazy(fx.unit[i].model, one_in(2), 3);
        hwm_set_reorder(fx.unit[i].model, one_in(2) ? (uint32_t)rnd_next(&rnd) : 0);
    }
    if (cfg->kind != FX_NULL) {
        pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_WRITE) | PVI_AT_BIT(PVI_AT_DEV_SWITCH), between_stores, NULL);
    }
    pvi_posix_preempt_call(fx.host, sometimes, NULL);
    while (done < nr_ops) {
        unsigned n = 1 + (unsigned)below(16);

        if (one_in(50)) { /* a device comes or goes */
            unsigned i = 1 + (unsigned)below(4);
            const struct orc_dev *od = orc_dev(&fx.orc, fx.dev[i].sbdf.v);
            int rc = od ? fx_remove(&fx, i) : fx_add(&fx, i);

            while (od && rc == -PVI_EPREEMPTED) { /* between two of its PASIDs */
                rc = fx_remove(&fx, i);
            }
            CHECK(rc == 0 || (!od && rc == -PVI_EEXIST)); /* its region may be in a mapping's way */
        }
        fx_begin(&fx);
        if (one_in(8)) {
            some_atomic();
            n = fx.nr_ops;
        }
        while (fx.nr_ops < n) {
            some_op();
        }
        if (cfg->kind != FX_NULL) {
            watch_edges();
        }
        fx.tolerate = one_in(4) ? ORC_TOLERATE_RUNS : 0;
        pvi_posix_hdom_max_run(fx.hdom, fx.tolerate ? 1 + below(700) : 0);
        fx_run(&fx);
        done += n;
        for (unsigned i = 0; i < n; i++) {
            unsigned code = fx.sent[i].code < PVI_OP_NR ? fx.sent[i].code : 0;

            right[code] += fx.op[i].status == 0;
            refused[code] += fx.op[i].status != 0;
        }
    }
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    fx_check(&fx);
    fx_down(&fx);
}

#define MACHINE(test, ...)                                                                                             \
    static void test(void **state)                                                                                     \
    {                                                                                                                  \
        const struct fx_cfg cfg = {__VA_ARGS__};                                                                       \
                                                                                                                       \
        (void)state;                                                                                                   \
        machine(&cfg, #test);                                                                                          \
    }

MACHINE(vtd_4_levels, .kind = FX_VTD)
MACHINE(vtd_3_levels, .kind = FX_VTD, .levels = 3)
MACHINE(vtd_5_levels, .kind = FX_VTD, .levels = 5, .iova_bits = 57)
MACHINE(vtd_caching_mode, .kind = FX_VTD, .np_cache = true, .units = 2)
MACHINE(vtd_not_coherent, .kind = FX_VTD, .incoherent = true)
MACHINE(vtd_not_coherent_caching_mode, .kind = FX_VTD, .incoherent = true, .np_cache = true, .trim = true)
MACHINE(vtd_write_buffer, .kind = FX_VTD, .write_buffer = true, .units = 3)
MACHINE(vtd_no_page_selective, .kind = FX_VTD, .no_pages = true, .levels = 3, .trim = true)
MACHINE(vtd_small_pages, .kind = FX_VTD, .page_sizes = 1u << 12 | 1u << 21, .default_identity = true)
MACHINE(amd_4_levels, .kind = FX_AMD)
MACHINE(amd_3_levels_trim, .kind = FX_AMD, .levels = 3, .trim = true)
MACHINE(amd_6_levels, .kind = FX_AMD, .levels = 6, .iova_bits = 64, .units = 2)
MACHINE(amd_np_cache, .kind = FX_AMD, .np_cache = true, .units = 3)
MACHINE(amd_np_cache_5_levels, .kind = FX_AMD, .np_cache = true, .levels = 5, .iova_bits = 57)
MACHINE(amd_identity, .kind = FX_AMD, .default_identity = true)
MACHINE(null_unit, .kind = FX_NULL, .units = 2)
MACHINE(nested, .kind = FX_NULL, .units = 2, .nested = true, .guest_levels = 1u << 4 | 1u << 5, .guest_flags = 3, .pasid_bits = 20, .max_pasids = 14)
MACHINE(nested_np_cache, .kind = FX_NULL, .format = &pvi_amdvi_v1_ops, .np_cache = true, .trim = true, .nested = true, .guest_levels = 1u << 4,
        .guest_depth = 3, .pasid_bits = 4, .max_pasids = 30)

/* Both sides of every operation were met often: the machines have not been idling at errors. */
static void nothing_is_rare(void **state)
{
    static const char *const name[PVI_OP_NR] = {"noop",     "query", "init",  "alloc",  "free",
                                                "reattach", "map",   "unmap", "lookup", "flush",  "rights",
                                                "window create", "window remove", "window query", "window reset", "usage", "read fault",
                                                "nested", "flush nested", "attach PASID", "detach PASID"};

    (void)state;
    check_case("how often");
    for (unsigned i = PVI_OP_ALLOC_CONTEXT; i < PVI_OP_NR; i++) {
        if (i == PVI_OP_READ_FAULT) {
            continue; /* no unit is asked for faults here */
        }
        print_message("%s: %llu done, %llu refused\n", name[i], (unsigned long long)right[i],
                      (unsigned long long)refused[i]);
        CHECK(right[i] * 5 >= refused[i] && refused[i] * 50 >= right[i]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vtd_4_levels),        cmocka_unit_test(vtd_3_levels),
        cmocka_unit_test(vtd_5_levels),        cmocka_unit_test(vtd_caching_mode),
        cmocka_unit_test(vtd_not_coherent),    cmocka_unit_test(vtd_not_coherent_caching_mode),
        cmocka_unit_test(vtd_write_buffer),    cmocka_unit_test(vtd_no_page_selective),
        cmocka_unit_test(vtd_small_pages),     cmocka_unit_test(amd_4_levels),
        cmocka_unit_test(amd_3_levels_trim),   cmocka_unit_test(amd_6_levels),
        cmocka_unit_test(amd_np_cache),        cmocka_unit_test(amd_np_cache_5_levels),
        cmocka_unit_test(amd_identity),        cmocka_unit_test(null_unit),
        cmocka_unit_test(nested),              cmocka_unit_test(nested_np_cache),
        cmocka_unit_test(nothing_is_rare),
    };

    nr_ops = argc > 1 ? strtoull(argv[1], NULL, 0) : nr_ops;
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : seed;
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
