/* SPDX-License-Identifier: MIT */
/*
 * What one CPU does between two steps of another: a context that ends before the call that has it alone, maps where
 * another CPU's unlinked tables are not flushed yet (hwspec 4.1: links are cached until an invalidation with IH = 0; AMD-Vi
 * with PDE, 7.2). The other CPU is played in a hook, or by a gather of its own. And what an unlinked table owes, where
 * frame numbers end.
 */
#include "fixture.h"
#include "threads_rig.h"

#define GIB  (1ull << 30)
#define MIB2 (1ull << 21)
#define PAGE (1ull << 12)
#define BASE (5 * GIB)

static struct fx fx;
static struct threads_rig rig;

static const struct pvi_pt_ops *const formats[] = {&pvi_vtd_ss_ops, &pvi_vtd_fs_ops, &pvi_amdvi_v1_ops,
                                                   &pvi_amdvi_v2_ops};
#define NR_FORMATS (sizeof(formats) / sizeof(formats[0]))

/* One operation of another CPU, past the fixture: its oracle would not follow. */
static int submit(struct pvi_domain *d, struct pvi_op *op)
{
    struct pvi_batch batch = {.ops = op, .nr = 1};

    op->domid = PVI_DOMID_SELF;
    while (pvi_submit(d, &batch) == -PVI_EPREEMPTED) {
    }
    return op->status;
}

/* --- the context ends before somebody has it alone ---------------------------------------------------- */

static struct {
    bool armed, renew;
} other;

/* Is nobody in the context, and is all that is left of its table one empty table below the root? */
static bool only_the_climb_is_left(struct pvi_context *ctx)
{
    uint32_t held = ctx->lock.word;
    struct pvi_page *below;
    uint64_t *root;
    pvi_pa pa;

    for (unsigned i = 0; i < PVI_CTX_STRIPES; i++) {
        held |= ctx->stripe[i].lock.word;
    }
    root = pvi_env_map(rig.host, ctx->pt.root_pa);
    pa.a = root[0] & 0x000ffffffffff000ull;
    pvi_env_unmap(rig.host, root);
    below = pvi_env_page(rig.host, pa);
    return held == 0 && below && below->live == 0;
}

static void end_context(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_op op = {.code = PVI_OP_FREE_CONTEXT, .ctx = 1, .flags = PVI_FREE_REATTACH};

    (void)opaque;
    (void)at;
    if (!after || !other.armed || !only_the_climb_is_left(rig.guest.slot[0])) {
        return;
    }
    other.armed = false;
    CHECK_EQ(other.renew ? threads_renew(&rig, 1) : submit(&rig.guest, &op), 0);
}

static void end_before_alone(const struct threads_cfg *cfg, bool renew, uint64_t nr)
{
    struct pvi_op op = {.code = PVI_OP_ALLOC_CONTEXT};
    struct pvi_context *ctx;
    uint64_t done = 0;

    threads_up(&rig, cfg);
    ctx = rig.guest.slot[0];
    CHECK_EQ(threads_map(&rig, 1, 0, TH_GFN_ANY, nr, NULL), 0);
    other.renew = renew;
    other.armed = true;
    pvi_posix_hook(rig.host, PVI_AT_BIT(PVI_AT_UNLOCK), end_context, NULL);
    CHECK_EQ(threads_unmap(&rig, 1, 0, nr, &done), 0);
    pvi_posix_hook(rig.host, 0, NULL, NULL);
    CHECK(!other.armed);
    CHECK_EQ(done, nr);
    CHECK_EQ(ctx->quota.gathered, 0);
    if (!renew) {
        CHECK_EQ(ctx->state, PVI_CTX_FREE);
        CHECK_EQ(ctx->quota.used, 0);
        CHECK_EQ(submit(&rig.guest, &op), 0);
        op = (struct pvi_op){.code = PVI_OP_REATTACH_DEVICE, .ctx = 1, .u.reattach = {.sbdf = rig.dev[0].sbdf}};
        CHECK_EQ(submit(&rig.guest, &op), 0);
    }
    CHECK_EQ(ctx->state, PVI_CTX_LIVE);
    CHECK_EQ(ctx->quota.used, 1);
    CHECK_EQ(threads_map(&rig, 1, 0, TH_GFN_PV, 1, NULL), 0);
    threads_down(&rig);
}

static void context_ends_before_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        struct threads_cfg cfg = {
            .format = formats[i], .levels = 4, .sizes = PAGE | MIB2, .coherent = true, .pages = 600};

        for (unsigned k = 0; k < 4; k++) {
            cfg.trim = k < 2;
            check_case("%s, %s, %s", formats[i]->name, cfg.trim ? "trim" : "512 GiB", k % 2 ? "renewed" : "freed");
            end_before_alone(&cfg, k % 2 != 0, cfg.trim ? 1 : 1ull << 27);
        }
    }
}

/* --- maps where an unlinked table is not flushed ------------------------------------------------------- */

static struct pvi_gather cpu[4]; /* A to D */
static uint32_t nr_told, nr_tables;

static void told(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)opaque;
    (void)u;
    nr_told++;
    nr_tables += inv->kind == PVI_INV_DOMAIN || (inv->kind == PVI_INV_PAGES && !inv->leaf_only);
}

static struct pvi_context *up(const struct fx_cfg *cfg)
{
    fx_up(&fx, cfg);
    CHECK_EQ(fx_context(&fx, 0), 1);
    for (unsigned i = 0; i < 4; i++) {
        pvi_gather_init(&cpu[i], fx.host, fx.hdom, fx.dom.table.ops);
    }
    fx.unit[0].null.told = told;
    return fx.dom.slot[0];
}

/* One slice of a map that is not alone; returns the bytes mapped. */
static uint64_t map_slice(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len)
{
    struct guest_frame frame = {0};
    struct pvi_pt_map r = {.iova = BASE + off, .len = len, .prot = PVI_RW, .shared = true};

    CHECK(guest_frame(GUEST_KEPT, &frame));
    r.pa = frame.pa + off;
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

/* Maps [off, off + len), which must note exactly that, tables too; then flushes, and the unit must have been told so. */
static void map_notes(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len, bool flush)
{
    uint32_t before = nr_tables;

    map_whole(ctx, g, off, len);
    CHECK_EQ(g->nr_ranges, 1);
    CHECK(g->range[0].ctx == ctx);
    CHECK_EQ(g->range[0].first, BASE + off);
    CHECK_EQ(g->range[0].last, BASE + off + len - 1);
    CHECK(g->range[0].tables && !g->range[0].added);
    if (flush) {
        CHECK_EQ(pvi_gather_flush(g), 0);
        CHECK(nr_tables > before);
    }
}

/* The same once nothing is unlinked: at most an addition, which units that do not cache absence are not told. */
static void map_notes_nothing(struct pvi_context *ctx, struct pvi_gather *g, uint64_t off, uint64_t len)
{
    uint32_t before = nr_told;

    map_whole(ctx, g, off, len);
    CHECK_EQ(g->nr_ranges, ctx->pt.cfg.adds ? 1 : 0);
    CHECK(g->nr_ranges == 0 || (g->range[0].added && !g->range[0].tables));
    CHECK_EQ(pvi_gather_flush(g), 0);
    CHECK_EQ(nr_told - before, ctx->pt.cfg.adds ? 1 : 0);
}

/* CPU A unlinks; B links new tables; C and D map into them, at all levels and by all ways through the engine. */
static void beside_unlinked(const struct fx_cfg *cfg)
{
    struct pvi_context *ctx = up(cfg);
    const uint32_t below = ctx->pt.cfg.levels - 1u;

    map_whole(ctx, &cpu[0], PAGE, PAGE);
    CHECK_EQ(pvi_gather_flush(&cpu[0]), 0);
    CHECK_EQ(ctx->quota.gathered, 0);
    unmap(ctx, &cpu[0], PAGE, PAGE);
    CHECK_EQ(ctx->quota.gathered, below);
    map_notes(ctx, &cpu[1], 2 * PAGE, PAGE, false); /* links all tables anew */
    map_notes(ctx, &cpu[2], 3 * PAGE, PAGE, false); /* one page into the last of them */
    map_notes(ctx, &cpu[3], 8 * PAGE, 16 * PAGE, true);
    map_notes(ctx, &cpu[3], 4 * MIB2, MIB2, true);  /* a leaf one level up */
    map_notes(ctx, &cpu[3], 9 * MIB2 + PAGE, PAGE, true); /* a table one level up */
    CHECK_EQ(pvi_gather_flush(&cpu[1]), 0);
    CHECK_EQ(pvi_gather_flush(&cpu[2]), 0);
    CHECK_EQ(ctx->quota.gathered, below); /* these are A's */
    map_notes(ctx, &cpu[1], 4 * PAGE, PAGE, true);
    CHECK_EQ(pvi_gather_flush(&cpu[0]), 0);
    CHECK_EQ(ctx->quota.gathered, 0);
    map_notes_nothing(ctx, &cpu[1], 5 * PAGE, PAGE);
    map_notes_nothing(ctx, &cpu[1], 32 * PAGE, 16 * PAGE);
    map_notes_nothing(ctx, &cpu[1], 6 * MIB2, MIB2);
    map_notes_nothing(ctx, &cpu[1], 11 * MIB2 + PAGE, PAGE);
    fx_end(&fx, false);
}

/* A clears the way for a large leaf; before its next slice B maps a page there. */
static void beside_cleared_way(const struct fx_cfg *cfg)
{
    struct pvi_context *ctx = up(cfg);

    map_whole(ctx, &cpu[0], PAGE, PAGE);
    unmap(ctx, &cpu[0], PAGE, PAGE);
    CHECK_EQ(pvi_gather_flush(&cpu[0]), 0);
    CHECK_EQ(ctx->quota.gathered, 0);
    CHECK_EQ(map_slice(ctx, &cpu[0], 0, MIB2), 0);
    CHECK_EQ(ctx->quota.gathered, 1);
    map_notes(ctx, &cpu[1], 2 * PAGE, PAGE, true);
    map_notes(ctx, &cpu[2], 3 * PAGE, PAGE, true);
    CHECK_EQ(pvi_gather_flush(&cpu[0]), 0);
    CHECK_EQ(ctx->quota.gathered, 0);
    map_notes_nothing(ctx, &cpu[1], 4 * PAGE, PAGE);
    fx_end(&fx, false);
}

static void maps_beside_unlinked_tables(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        for (unsigned k = 0; k < 4; k++) {
            struct fx_cfg cfg = {
                .kind = FX_NULL, .format = formats[i], .np_cache = k % 2 != 0, .incoherent = k / 2 != 0};

            check_case("%s, adds %u, incoherent %u", formats[i]->name, k % 2, k / 2);
            beside_cleared_way(&cfg);
            cfg.trim = true;
            beside_unlinked(&cfg);
        }
    }
}

/* When the flush fails the tables are lost: no more will be heard of them, and nothing may wait for that. */
static void failed_flush(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        struct pvi_context *ctx = up(&(struct fx_cfg){.kind = FX_NULL, .format = formats[i], .trim = true});

        check_case("failed flush, %s", formats[i]->name);
        map_whole(ctx, &cpu[0], PAGE, PAGE);
        unmap(ctx, &cpu[0], PAGE, PAGE);
        CHECK_EQ(ctx->quota.gathered, ctx->pt.cfg.levels - 1u);
        fx.unit[0].null.fail_submit = true;
        CHECK_EQ(pvi_gather_flush(&cpu[0]), -PVI_EHW);
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
    struct pvi_op op = {.code = PVI_OP_MAP,
                        .ctx = 1,
                        .flags = PVI_RW,
                        .u.map = {.dfn = {(BASE >> 12) + page}, .gfn = {GUEST_KEPT + page}, .nr = 1}};

    return submit(&fx.dom, &op);
}

/* A is about to flush. Whoever is told that a page is mapped must be able to use it. */
static void others_map(void *opaque, enum pvi_posix_point at, bool after)
{
    bool *pending = opaque;

    (void)at;
    if (after || !other.armed || fx.dom.slot[0]->quota.gathered == 0) {
        return;
    }
    other.armed = false;
    if (*pending) { /* B has linked new tables and not flushed */
        map_whole(fx.dom.slot[0], &cpu[1], 2 * PAGE, PAGE);
        CHECK_EQ(map_page(3), 0);
        device_reaches(3);
        CHECK_EQ(pvi_gather_flush(&cpu[1]), 0);
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
        other.armed = true;
        pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_INV_SUBMIT), others_map, &pending);
        CHECK_EQ(submit(&fx.dom, &op), 0);
        pvi_posix_hook(fx.host, 0, NULL, NULL);
        CHECK(!other.armed);
        CHECK_EQ(fx.dom.slot[0]->quota.gathered, 0);
        device_reaches(2);
        fx_end(&fx, false);
    }
}

/* --- what an unlinked table owes ------------------------------------------------------------------------- */

/* Two leaves on the last frames below 2^52, two on the first of all: their debts differ, and so do the runs. */
static void owed_at_the_end(const struct pvi_pt_ops *ops, uint64_t size)
{
    const struct pvi_posix_cfg memory = {.pa = GUEST_ARENA_PA, .size = 1u << 20};
    const struct pvi_pt_cfg cfg = {
        .ops = ops, .page_sizes = PAGE | MIB2, .levels = 4, .iova_bits = 47, .pa_bits = 52, .coherent = true};
    struct pvi_pt_map map[2] = {{.pa = (1ull << 52) - 2 * size, .owe = PVI_OWE_REF}, {.owe = PVI_OWE_WRITABLE}};
    struct pvi_pt_unmap out = {.last = size * 512 - 1, .holes = true};
    struct pvi_host *host = pvi_posix_new(&memory);
    struct pvi_quota quota = {.limit = 16};
    struct pvi_frames run;
    struct pvi_pool pool;
    struct pvi_pt pt;
    uint32_t grown, from = 0;

    CHECK(host);
    pvi_pool_init(&pool, host);
    CHECK_EQ(pvi_pool_grow(&pool, 16, &grown), 0);
    CHECK_EQ(pvi_pt_init(&pt, &cfg, &pool, &quota), 0);
    pvi_gather_init(&cpu[0], host, NULL, ops);
    for (unsigned i = 0; i < 2; i++) {
        map[i].iova = 2 * i * size;
        map[i].len = 2 * size;
        map[i].prot = PVI_RW;
        while (map[i].done < map[i].len) {
            CHECK_EQ(ops->map(&pt, NULL, &map[i], &cpu[0]), 0);
        }
    }
    CHECK_EQ(ops->unmap(&pt, NULL, &out, &cpu[0]), 0);
    CHECK(out.complete && cpu[0].tables && !cpu[0].tables->next);
    CHECK_EQ(cpu[0].tables->owing, 4);
    for (unsigned i = 0; i < 2; i++) {
        check_step("run %u", i);
        CHECK(ops->owed(host, cpu[0].tables, &from, &run));
        CHECK_EQ(run.pa.a, map[i].pa);
        CHECK_EQ(run.nr, 2 * size / PAGE);
        CHECK_EQ(run.owe, map[i].owe);
    }
    CHECK_EQ(ops->owed(host, cpu[0].tables, &from, &run), 0);
    pvi_pool_put_list(&pool, cpu[0].tables);
    CHECK_EQ(quota.gathered, 0);
    pvi_posix_free(host);
}

static void runs_end_with_the_last_frame(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        for (unsigned k = 0; k < 2; k++) {
            check_case("%s, leaves of %s", formats[i]->name, k ? "2 MiB" : "4 KiB");
            owed_at_the_end(formats[i], k ? MIB2 : PAGE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_ends_before_alone),   cmocka_unit_test(maps_beside_unlinked_tables),
        cmocka_unit_test(failed_flush),                cmocka_unit_test(devices_beside_unlinked_tables),
        cmocka_unit_test(runs_end_with_the_last_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
