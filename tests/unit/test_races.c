/* SPDX-License-Identifier: MIT */
/*
 * What one CPU does between two steps of another: pages are mapped where unlinked tables are not flushed yet (hwspec 4.1, 7.2: links stay
 * cached). And debts where frame numbers end.
 */
#include "fixture.h"
#include "threads_rig.h"

#define MIB2 (1ull << 21)
#define PAGE (1ull << 12)
#define BASE (5ull << 30)
#define FAR  (1ull << 39) /* another table below the root */

static struct fx fx;

/* --- maps where an unlinked table is not flushed ------------------------------------------------------- */

enum { A, B, C, D, NR_CPUS };
static struct pvi_gather cpu[NR_CPUS];

static struct pvi_context *up(const struct fx_cfg *cfg)
{
    fx_up(&fx, cfg);
    CHECK_EQ(fx_context(&fx, 0), 1);
    for (unsigned i = 0; i < NR_CPUS; i++) {
        pvi_gather_init(&cpu[i], fx.host, fx.hdom, fx.dom.table.ops);
    }
    return fx.dom.slot[0];
}

static uint64_t guest_pa(uint64_t off)
{
    struct guest_frame frame = {0};

    CHECK(guest_frame(GUEST_KEPT, &frame));
    return frame.pa + off;
}

/* One slice of a map that is not alone; returns the bytes mapped. */
static uint64_t map_slice(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len)
{
    struct pvi_pt_map r = {.iova = BASE + off, .pa = guest_pa(off), .len = len, .prot = PVI_RW, .shared = true};

    CHECK_EQ(ctx->pt.cfg.ops->map(&ctx->pt, ctx, &r, g), 0);
    return r.done;
}

static void map_whole(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len)
{
    check_step("map of 0x%llx at 0x%llx", (unsigned long long)len, (unsigned long long)off);
    CHECK_EQ(map_slice(ctx, g, off, len), len);
}

static void unmap(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len)
{
    struct pvi_pt_unmap r = {.first = BASE + off, .last = BASE + off + len - 1, .next = BASE + off};

    while (!r.complete || r.climb) {
        CHECK_EQ(ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, &r, g), 0);
    }
}

/* Maps [off, off + len), which must note exactly that, tables too. */
static void map_notes(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len, bool flush)
{
    map_whole(ctx, g, off, len);
    CHECK(g->nr_ranges == 1 && g->range[0].ctx == ctx);
    CHECK_EQ(g->range[0].first, BASE + off);
    CHECK_EQ(g->range[0].last, BASE + off + len - 1);
    CHECK(g->range[0].tables && !g->range[0].added);
    CHECK_EQ(flush ? pvi_gather_flush(g) : 0, 0);
}

/* The same once nothing is unlinked: at most an addition, which units that do not cache absence are not told. */
static void map_notes_nothing(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len)
{
    map_whole(ctx, g, off, len);
    CHECK_EQ(g->nr_ranges, ctx->pt.cfg.adds ? 1 : 0);
    CHECK(g->nr_ranges == 0 || (g->range[0].added && !g->range[0].tables));
    CHECK_EQ(pvi_gather_flush(g), 0);
}

/* CPU A unlinks; B links new tables; C and D map into them, at all levels and by all ways through the engine. */
static void beside_unlinked(const struct fx_cfg *cfg)
{
    struct pvi_context *ctx = up(cfg);
    const uint32_t below = ctx->pt.cfg.levels - 1u;

    map_whole(ctx, &cpu[A], PAGE, PAGE);
    CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
    unmap(ctx, &cpu[A], PAGE, PAGE);
    CHECK_EQ(ctx->quota.gathered, below);
    map_notes(ctx, &cpu[B], 2 * PAGE, PAGE, false); /* links all tables anew */
    map_notes(ctx, &cpu[C], 3 * PAGE, PAGE, false); /* one page into the last of them */
    map_notes(ctx, &cpu[D], 8 * PAGE, 16 * PAGE, true);
    map_notes(ctx, &cpu[D], 4 * MIB2, MIB2, true);  /* a leaf one level up */
    map_notes(ctx, &cpu[D], 9 * MIB2 + PAGE, PAGE, true); /* a table one level up */
    CHECK_EQ(pvi_gather_flush(&cpu[B]), 0);
    CHECK_EQ(pvi_gather_flush(&cpu[C]), 0);
    CHECK_EQ(ctx->quota.gathered, below); /* these are A's */
    map_notes(ctx, &cpu[B], 4 * PAGE, PAGE, true);
    CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
    CHECK_EQ(ctx->quota.gathered, 0);
    map_notes_nothing(ctx, &cpu[B], 5 * PAGE, PAGE);
    map_notes_nothing(ctx, &cpu[B], 32 * PAGE, 16 * PAGE);
    map_notes_nothing(ctx, &cpu[B], 6 * MIB2, MIB2);
    map_notes_nothing(ctx, &cpu[B], 11 * MIB2 + PAGE, PAGE);
    fx_end(&fx, false);
}

/* What A has unlinked itself it flushes anyway; what B has, A's flush must cover where A maps. */
static void beside_its_own(const struct fx_cfg *cfg)
{
    struct pvi_context *ctx = up(cfg);

    map_whole(ctx, &cpu[A], FAR, PAGE);
    CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
    unmap(ctx, &cpu[A], FAR, PAGE);
    map_whole(ctx, &cpu[A], PAGE, PAGE);
    CHECK_EQ(cpu[A].nr_ranges, ctx->pt.cfg.adds ? 2 : 1);
    CHECK(cpu[A].range[0].first > BASE + PAGE && cpu[A].range[0].tables);
    map_notes(ctx, &cpu[B], FAR, PAGE, true);
    unmap(ctx, &cpu[B], FAR, PAGE);
    map_whole(ctx, &cpu[A], 3 * PAGE, PAGE);
    CHECK_EQ(cpu[A].nr_ranges, ctx->pt.cfg.adds ? 3 : 2);
    CHECK(cpu[A].range[cpu[A].nr_ranges - 1].tables && !cpu[A].range[cpu[A].nr_ranges - 1].added);
    CHECK(pvi_gather_flush(&cpu[A]) == 0 && pvi_gather_flush(&cpu[B]) == 0 && ctx->quota.gathered == 0);
    fx_end(&fx, false);
}

/* A clears the way for a large leaf; before its next slice B maps a page there. */
static void beside_cleared_way(const struct fx_cfg *cfg)
{
    struct pvi_context *ctx = up(cfg);

    map_whole(ctx, &cpu[A], PAGE, PAGE);
    unmap(ctx, &cpu[A], PAGE, PAGE);
    CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
    CHECK_EQ(map_slice(ctx, &cpu[A], 0, MIB2), 0);
    CHECK_EQ(ctx->quota.gathered, 1);
    map_notes(ctx, &cpu[B], 2 * PAGE, PAGE, true);
    CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
    CHECK_EQ(ctx->quota.gathered, 0);
    map_notes_nothing(ctx, &cpu[B], 4 * PAGE, PAGE);
    fx_end(&fx, false);
}

static void maps_beside_unlinked_tables(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        for (unsigned k = 0; k < 4; k++) {
            struct fx_cfg cfg = {
                .kind = FX_NULL, .format = threads_formats[i], .np_cache = k % 2 != 0, .incoherent = k / 2 != 0};

            check_case("%s, adds %u, incoherent %u", threads_formats[i]->name, k % 2, k / 2);
            beside_cleared_way(&cfg);
            cfg.trim = true;
            beside_unlinked(&cfg);
            beside_its_own(&cfg);
        }
    }
}

/* When the flush fails the tables are lost: no more will be heard of them, and nothing may wait for that. */
static void failed_flush(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        struct pvi_context *ctx = up(&(struct fx_cfg){.kind = FX_NULL, .format = threads_formats[i], .trim = true});

        check_case("failed flush, %s", threads_formats[i]->name);
        map_whole(ctx, &cpu[A], PAGE, PAGE);
        unmap(ctx, &cpu[A], PAGE, PAGE);
        CHECK_EQ(ctx->quota.gathered, ctx->pt.cfg.levels - 1u);
        fx.unit[0].null.fail_submit = true;
        CHECK_EQ(pvi_gather_flush(&cpu[A]), -PVI_EHW);
        CHECK_EQ(ctx->quota.gathered, 0);
        CHECK_EQ(ctx->quota.used, 1);
        CHECK_EQ(fx.dom.pool.nr_lost, ctx->pt.cfg.levels - 1u);
        CHECK_EQ(ctx->state, PVI_CTX_BROKEN);
        fx_end(&fx, true);
    }
}

/* --- the same, as devices see it ----------------------------------------------------------------------- */

static void device_reaches(uint64_t page)
{
    struct guest_frame frame = {0};
    struct hwm_fault fault;
    uint64_t pa = 0;

    check_step("device reads page %llu", (unsigned long long)page);
    CHECK(guest_frame(GUEST_KEPT + page, &frame));
    CHECK_EQ(hwm_dma(fx.unit[0].model, fx.dev[0].rid[0], BASE + page * PAGE, false, &pa, &fault), HWM_OK);
    CHECK_EQ(pa, frame.pa);
}

static int map_page(uint64_t page)
{
    struct pvi_op op = {.code = PVI_OP_MAP, .ctx = 1, .flags = PVI_RW, .u.map = {.nr = 1}};

    op.u.map.dfn.f = (BASE >> 12) + page;
    op.u.map.gfn.f = GUEST_KEPT + page;
    return threads_submit(&fx.dom, &op);
}

static bool others_armed;

/* A is about to flush. Whoever is told that a page is mapped must be able to use it. */
static void others_map(void *opaque, enum pvi_posix_point at, bool after)
{
    bool *pending = opaque;

    (void)at;
    if (after || !others_armed || fx.dom.slot[0]->quota.gathered == 0) {
        return;
    }
    others_armed = false;
    if (*pending) { /* B has linked new tables and not flushed */
        map_whole(fx.dom.slot[0], &cpu[B], 2 * PAGE, PAGE);
        CHECK_EQ(map_page(3), 0);
        device_reaches(3);
        CHECK_EQ(pvi_gather_flush(&cpu[B]), 0);
    } else {
        CHECK_EQ(map_page(2), 0);
    }
    device_reaches(2);
}

static void devices_beside_unlinked_tables(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        bool pending = k % 2 != 0;
        struct pvi_op op = {.code = PVI_OP_UNMAP, .ctx = 1, .u.unmap = {.dfn = {(BASE >> 12) + 1}, .nr = 1}};

        check_case("%s, %s", k / 2 ? "AMD-Vi" : "VT-d", pending ? "into a table not flushed" : "new table");
        (void)up(&(struct fx_cfg){.kind = k / 2 ? FX_AMD : FX_VTD, .trim = true});
        CHECK_EQ(map_page(1), 0);
        device_reaches(1); /* the tables are cached now */
        others_armed = true;
        pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_INV_SUBMIT), others_map, &pending);
        CHECK_EQ(threads_submit(&fx.dom, &op), 0);
        CHECK(!others_armed);
        CHECK_EQ(fx.dom.slot[0]->quota.gathered, 0);
        device_reaches(2);
        fx_end(&fx, false);
    }
}

/* --- what becomes of a large leaf whose old table is not flushed --------------------------------------- */

/* A turns 2 MiB of pages into one leaf; the table that held them is not flushed yet. */
static void collapse(struct pvi_context *ctx, struct pvi_gather *g)
{
    struct pvi_pt_change r = {.first = BASE, .last = BASE + MIB2 - 1, .next = BASE};
    struct pvi_pt_leaf leaf;

    while (!r.complete) {
        CHECK_EQ(ctx->pt.cfg.ops->collapse(&ctx->pt, ctx, &r, g), 0);
    }
    CHECK_EQ(ctx->pt.cfg.ops->lookup(&ctx->pt, BASE, &leaf), 0);
    CHECK_EQ(leaf.lg2, 21);
    CHECK_EQ(ctx->quota.gathered, 1);
}

static struct pvi_context *collapsed(const struct fx_cfg *cfg)
{
    struct pvi_context *ctx = up(cfg);

    for (uint64_t off = 0; off < MIB2; off += PAGE) {
        map_whole(ctx, &cpu[A], off, PAGE);
    }
    CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
    collapse(ctx, &cpu[A]);
    return ctx;
}

/* B's gather holds 2 MiB at BASE, with non-leaf scope or not. */
static void noted(struct pvi_context *ctx, bool tables)
{
    CHECK(cpu[B].nr_ranges == 1 && cpu[B].range[0].ctx == ctx && !cpu[B].range[0].added);
    CHECK_EQ(cpu[B].range[0].first, BASE);
    CHECK_EQ(cpu[B].range[0].last, BASE + MIB2 - 1);
    CHECK_EQ(cpu[B].range[0].tables, tables);
    CHECK_EQ(pvi_gather_flush(&cpu[B]), 0);
}

static void rights(struct pvi_context *ctx, unsigned prot)
{
    struct pvi_pt_change r = {.first = BASE, .last = BASE + MIB2 - 1, .next = BASE, .prot = (uint8_t)prot, .owe = PVI_PT_KEEP};

    CHECK_EQ(ctx->pt.cfg.ops->rights(&ctx->pt, ctx, &r, &cpu[B]), 0);
    CHECK(r.complete);
}

/* Changes of leaves in one table, each by B, whose flush must reach cached links, or need not. */
static void change_page(struct pvi_context *ctx, unsigned how)
{
    const uint64_t at = BASE + MIB2;
    const struct pvi_pt_ops *ops = ctx->pt.cfg.ops;
    struct pvi_pt_change c = {.first = at, .last = at + 2 * PAGE - 1, .next = at};
    struct pvi_pt_map m = {.iova = at, .pa = 1ull << 30, .len = PAGE, .prot = PVI_READ, .replace = true};
    struct pvi_pt_unmap u = {.first = at, .last = at + 2 * PAGE - 1, .next = at};
    struct pvi_pt_dirty d = {.first = at, .last = at + MIB2 - 1, .next = at, .clear = true};
    uint64_t bitmap[512 / 64] = {0};

    switch (how) {
    case 0: /* a run of leaves */
        CHECK_EQ(ops->unmap(&ctx->pt, ctx, &u, &cpu[B]), 0);
        break;
    case 1: /* from a hole on */
        u.last = at + 4 * PAGE - 1;
        u.holes = true;
        CHECK_EQ(ops->unmap(&ctx->pt, ctx, &u, &cpu[B]), 0);
        CHECK_EQ(u.removed, 2 * PAGE);
        for (uint64_t off = 0; off < 4 * PAGE; off += PAGE) {
            map_whole(ctx, &cpu[C], MIB2 + off, PAGE);
        }
        CHECK_EQ(pvi_gather_flush(&cpu[C]), 0);
        break;
    case 2:
        CHECK_EQ(ops->map(&ctx->pt, ctx, &m, &cpu[B]), 0);
        m.pa = guest_pa(MIB2);
        m.prot = PVI_RW;
        m.done = 0;
        CHECK_EQ(ops->map(&ctx->pt, ctx, &m, &cpu[B]), 0);
        break;
    case 3: /* where the format has leaves of two pages */
        CHECK_EQ(ops->collapse(&ctx->pt, ctx, &c, &cpu[B]), 0);
        break;
    default: /* where devices' writes are noted: the large leaf counts as written */
        c.last = d.last;
        while (!c.complete) {
            CHECK_EQ(ops->collapse(&ctx->pt, ctx, &c, &cpu[B]), 0);
        }
        CHECK_EQ(pvi_gather_flush(&cpu[B]), 0);
        d.bitmap = bitmap;
        CHECK_EQ(ops->dirty(&ctx->pt, ctx, &d, &cpu[B]), 0);
        CHECK_EQ(bitmap[7], UINT64_MAX);
        break;
    }
}

static void change_pages(struct pvi_context *ctx, bool tables)
{
    bool v1 = ctx->pt.cfg.ops == &pvi_amdvi_v1_ops, noted_here = ctx->pt.cfg.ops == &pvi_amdvi_v2_ops;

    ctx->pt.cfg.dirty = noted_here;
    for (unsigned how = 0; how < 5; how++) {
        check_step("change %u, %s", how, tables ? "beside a table" : "alone");
        if ((how == 3 && !v1) || (how == 4 && !noted_here)) {
            continue;
        }
        change_page(ctx, how);
        CHECK_EQ(cpu[B].nr_ranges, 1);
        CHECK(!cpu[B].range[0].added);
        CHECK_EQ(cpu[B].range[0].tables, tables);
        CHECK_EQ(pvi_gather_flush(&cpu[B]), 0);
    }
    ctx->pt.cfg.dirty = false;
}

static void leaves_beside_collapsed_tables(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        struct fx_cfg cfg = {.kind = FX_NULL, .format = threads_formats[i]};

        for (unsigned k = 0; k < 2; k++) {
            struct pvi_context *ctx = collapsed(&cfg);

            check_case("%s, %s", threads_formats[i]->name, k != 0 ? "flushed" : "not flushed");
            for (uint64_t off = MIB2; off < 2 * MIB2; off += PAGE) {
                map_whole(ctx, &cpu[C], off, PAGE);
            }
            CHECK_EQ(pvi_gather_flush(&cpu[C]), 0);
            if (k != 0) {
                CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
            }
            change_pages(ctx, k == 0);
            CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
            fx_end(&fx, false);
        }
    }
}

/* The old table still leads to the frames: taking the leaf away, or its rights, must reach links that are cached too. */
static void changes_beside_collapsed_tables(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        struct fx_cfg cfg = {.kind = FX_NULL, .format = threads_formats[i]};
        struct pvi_context *ctx = collapsed(&cfg);

        check_case("%s", threads_formats[i]->name);
        rights(ctx, PVI_READ);
        noted(ctx, true);
        unmap(ctx, &cpu[B], 0, MIB2);
        noted(ctx, true);
        CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
        map_whole(ctx, &cpu[A], 0, MIB2);
        CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
        rights(ctx, PVI_READ);
        noted(ctx, false);
        unmap(ctx, &cpu[B], 0, MIB2);
        noted(ctx, false);
        fx_end(&fx, false);
    }
}

static void device_is_blocked(uint64_t page)
{
    struct hwm_fault fault;
    uint64_t pa = 0;

    check_step("device reads page %llu, which is gone", (unsigned long long)page);
    CHECK(hwm_dma(fx.unit[0].model, fx.dev[0].rid[0], BASE + page * PAGE, false, &pa, &fault) != HWM_OK);
}

/* B is told that the pages are gone, and gives their frames away, before A has flushed. */
static void devices_beside_collapsed_tables(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct pvi_op op = {.code = PVI_OP_UNMAP, .ctx = 1, .u.unmap = {.dfn = {BASE >> 12}, .nr = 512}};
        struct pvi_context *ctx;

        check_case("%s", k ? "AMD-Vi" : "VT-d");
        ctx = up(&(struct fx_cfg){.kind = k ? FX_AMD : FX_VTD});
        for (uint64_t page = 0; page < 512; page++) {
            CHECK_EQ(map_page(page), 0);
        }
        device_reaches(5); /* the tables are cached now */
        collapse(ctx, &cpu[A]);
        device_reaches(6);
        CHECK_EQ(threads_submit(&fx.dom, &op), 0);
        device_is_blocked(5);
        device_is_blocked(7);
        CHECK_EQ(pvi_gather_flush(&cpu[A]), 0);
        fx_end(&fx, false);
    }
}

/* --- what an unlinked table owes ------------------------------------------------------------------------- */

/* Two leaves on the last frames below 2^52, two on the first of all: their debts differ, and so do the runs. */
static void owed_at_the_end(const struct pvi_pt_ops *ops, uint64_t size)
{
    const struct pvi_pt_cfg cfg = {
        .ops = ops, .page_sizes = PAGE | MIB2, .levels = 4, .iova_bits = 47, .pa_bits = 52, .coherent = true};
    struct pvi_pt_map map[2] = {{.pa = (1ull << 52) - 2 * size, .owe = PVI_OWE_REF}, {.owe = PVI_OWE_WRITABLE}};
    struct pvi_pt_unmap out = {.last = size * 512 - 1, .holes = true};
    struct pvi_host *host = pvi_posix_new(&(struct pvi_posix_cfg){.pa = GUEST_ARENA_PA, .size = 1u << 20});
    struct pvi_quota quota = {.limit = 16};
    struct pvi_frames run;
    struct pvi_pool pool;
    struct pvi_pt pt;
    unsigned from = 0;
    uint32_t grown;

    pvi_pool_init(&pool, host);
    CHECK_EQ(pvi_pool_grow(&pool, 16, &grown), 0);
    CHECK_EQ(pvi_pt_init(&pt, &cfg, &pool, &quota), 0);
    pvi_gather_init(&cpu[A], host, NULL, ops);
    for (unsigned i = 0; i < 2; i++) {
        map[i].iova = 2 * i * size;
        map[i].len = 2 * size;
        map[i].prot = PVI_RW;
        CHECK_EQ(ops->map(&pt, NULL, &map[i], &cpu[A]), 0);
    }
    CHECK_EQ(ops->unmap(&pt, NULL, &out, &cpu[A]), 0);
    CHECK(out.complete && cpu[A].nr_tables == 1 && cpu[A].tables->owing == 4);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(ops->owed(host, cpu[A].tables, &from, &run));
        CHECK_EQ(run.pa.a, map[i].pa);
        CHECK_EQ(run.nr, 2 * size / PAGE);
        CHECK_EQ(run.owe, map[i].owe);
    }
    CHECK_EQ(ops->owed(host, cpu[A].tables, &from, &run), 0);
    pvi_pool_put_list(&pool, cpu[A].tables);
    CHECK_EQ(quota.gathered, 0);
    pvi_posix_free(host);
}

static void runs_end_with_the_last_frame(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        check_case("%s", threads_formats[i]->name);
        owed_at_the_end(threads_formats[i], PAGE);
        check_step("leaves of 2 MiB");
        owed_at_the_end(threads_formats[i], MIB2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_beside_unlinked_tables),
        cmocka_unit_test(failed_flush), cmocka_unit_test(devices_beside_unlinked_tables),
        cmocka_unit_test(changes_beside_collapsed_tables), cmocka_unit_test(leaves_beside_collapsed_tables),
        cmocka_unit_test(devices_beside_collapsed_tables),
        cmocka_unit_test(runs_end_with_the_last_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
