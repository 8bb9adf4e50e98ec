/* SPDX-License-Identifier: MIT */
/* The gather with more than it holds, and with the ranges and the unlinked tables of several contexts. */
#include <string.h>

#include "fixture.h"

#define BASE 0x40000ull /* device frame of the window that the tests use; 1 GiB aligned */

static struct fx fx;

/* Every invalidation that unit 0 was told since the last reset. */
static struct pvi_inv told[256];
static unsigned nr_told;

static void note(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)opaque;
    (void)u;
    if (nr_told < 256) {
        told[nr_told] = *inv;
    }
    nr_told++;
}

/* Contexts 1 and 2, each with a device; a unit that takes many invalidations before the whole domain is cheaper. */
static void up(bool caches)
{
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .np_cache = caches});
    fx.unit[0].unit->caps.inv_max_nr = 200;
    CHECK_EQ(fx_context(&fx, 0), 1);
    CHECK_EQ(fx_context(&fx, 1), 2);
    fx.unit[0].null.told = note;
    nr_told = 0;
}

static void map(unsigned ctx, uint64_t dfn, uint64_t gfn, uint64_t nr)
{
    fx_begin(&fx);
    fx_map(&fx, ctx, dfn, gfn, nr, PVI_RW);
    fx_expect(&fx, 0);
}

/* How often the first frame of the guest's that all tests map is held. */
static uint64_t held(void)
{
    struct guest_frame frame = {0};

    CHECK(guest_frame(GUEST_HVM, &frame));
    return pvi_posix_frame_count(fx.hdom, frame.pa, frame.owe_w);
}

/* --- a full gather -------------------------------------------------------------------------------- */

/*
 * More ranges than the gather holds: one for the whole context takes their place. If all of them were additions so is
 * it, and units that do not cache absence hear nothing; else everybody hears of it.
 */
static void full_of_additions(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 8; k++) {
        bool caches = (k & 1) != 0;
        unsigned removal = k / 2; /* none; the first; one in the middle; the one too many */
        static struct pvi_gather g;
        struct pvi_context *a;

        check_case("absence cached %u, removal %u", caches, removal);
        up(caches);
        a = fx.dom.slot[0];
        pvi_gather_init(&g, fx.host, fx.hdom, fx.dom.table.ops);
        pvi_gather_range(&g, fx.dom.slot[1], 0x5000, 0x5fff, false, false);
        for (unsigned i = 1; i < PVI_GATHER_RANGES + 1; i++) {
            const unsigned where[4] = {0, 1, 30, PVI_GATHER_RANGES};

            pvi_gather_range(&g, a, i * 0x2000ull, i * 0x2000ull + 0xfff, false, i != where[removal]);
        }
        CHECK_EQ(g.nr_ranges, 2);
        pvi_gather_range(&g, a, 0x100000, 0x1fffff, false, true); /* part of it already */
        nr_told = 0;
        fx_told_reset(&fx);
        CHECK_EQ(pvi_gather_flush(&g), 0);
        CHECK_EQ(told[0].kind + (nr_told > 1 ? told[1].kind : 0),
                 PVI_INV_PAGES + (caches || removal != 0 ? PVI_INV_DOMAIN : 0));
        CHECK_EQ(nr_told, caches || removal != 0 ? 2 : 1);
        CHECK_EQ(fx_told(&fx, 0).wait, 1);
        fx_down(&fx);
    }
}

/* Single pages of context 1, no two of them neighbours; then one operation of context 2. */
static void fill(struct pvi_op *op, unsigned code)
{
    struct pvi_op *last = &op[PVI_GATHER_RANGES];

    memset(op, 0, (PVI_GATHER_RANGES + 1) * sizeof(*op));
    for (unsigned i = 0; i < PVI_GATHER_RANGES; i++) {
        op[i].code = PVI_OP_UNMAP;
        op[i].domid = PVI_DOMID_SELF;
        op[i].ctx = 1;
        op[i].u.unmap.dfn.f = BASE + 2 * i;
        op[i].u.unmap.nr = 1;
    }
    last->code = (uint16_t)code;
    last->domid = PVI_DOMID_SELF;
    last->ctx = 2;
    if (code == PVI_OP_MAP) {
        last->flags = PVI_RW;
        last->u.map.dfn.f = BASE + 8;
        last->u.map.gfn.f = GUEST_HVM;
        last->u.map.nr = 1;
    } else if (code != PVI_OP_FREE_CONTEXT) {
        last->u.unmap.dfn.f = BASE;
        last->u.unmap.nr = 1;
    }
}

/* A batch that fills the gather with one context's ranges and then turns to another: it flushes in between. */
static void another_context(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 8; k++) {
        static struct pvi_op op[PVI_GATHER_RANGES + 1];
        static struct pvi_batch batch;
        bool fails = k / 4 != 0;
        const unsigned codes[4] = {PVI_OP_MAP, PVI_OP_UNMAP, PVI_OP_FLUSH, PVI_OP_FREE_CONTEXT}, code = codes[k % 4];

        check_case("operation %u of another context%s", code, fails ? ", no flush" : "");
        up(false);
        map(1, BASE, GUEST_HVM, 2 * PVI_GATHER_RANGES);
        map(2, BASE, GUEST_HVM, 4);
        fill(op, code);
        memset(&batch, 0, sizeof(batch));
        if (code == PVI_OP_FREE_CONTEXT) {
            fx_begin(&fx);
            fx_reattach(&fx, 1, 1);
            fx_expect(&fx, 0);
        }
        fx_told_reset(&fx);
        fx.unit[0].null.fail_submit = fails;
        batch.ops = op;
        batch.nr = PVI_GATHER_RANGES + 1;
        CHECK_EQ(pvi_submit(&fx.dom, &batch), 0);
        fx.unit[0].null.fail_submit = false;
        for (unsigned i = 0; i <= PVI_GATHER_RANGES; i++) {
            CHECK_EQ(op[i].status, fails ? -PVI_EHW : 0);
        }
        if (fails) { /* what was not done is not half done either */
            CHECK_EQ(op[PVI_GATHER_RANGES].done, 0);
            CHECK_EQ(fx.dom.slot[0]->state, PVI_CTX_BROKEN);
            CHECK_EQ(fx.dom.slot[1]->state, code == PVI_OP_FREE_CONTEXT ? PVI_CTX_FREE : PVI_CTX_LIVE);
            CHECK_EQ(held(), 1 + (code != PVI_OP_FREE_CONTEXT)); /* that of context 1 is written off */
        } else {
            CHECK_EQ(fx_told(&fx, 0).pages, PVI_GATHER_RANGES + (code == PVI_OP_UNMAP || code == PVI_OP_FLUSH));
            CHECK_EQ(held(), code == PVI_OP_MAP ? 2 : code == PVI_OP_FLUSH ? 1 : 0);
        }
        CHECK_EQ(fx.dom.slot[0]->quota.gathered, 0);
        fx_end(&fx, fails);
    }
}

/* --- unlinked tables of several contexts ----------------------------------------------------------- */

/* Gathers that other CPUs have not flushed. */
static struct pvi_gather cpu[2];

/* Puts a full table of 512 pages of that context into that CPU's gather. */
static void unlink_table(struct pvi_context *ctx, unsigned c, uint64_t at)
{
    struct pvi_pt_map m = {.iova = at, .pa = 0x1001000, .len = 512 * 4096, .prot = PVI_RW};
    struct pvi_pt_unmap u = {.first = at, .last = at + m.len - 1, .next = at};
    uint32_t gathered = ctx->quota.gathered;

    while (m.done < m.len) {
        CHECK_EQ(ctx->pt.cfg.ops->map(&ctx->pt, ctx, &m, &cpu[c]), 0);
    }
    while (!u.complete) {
        CHECK_EQ(ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, &u, &cpu[c]), 0);
    }
    CHECK_EQ(ctx->quota.gathered, gathered + 1);
}

static void others(unsigned c, bool of_a, bool of_b)
{
    CHECK_EQ(pvi_gather_others(&cpu[c], &fx.dom.slot[0]->quota), of_a);
    CHECK_EQ(pvi_gather_others(&cpu[c], &fx.dom.slot[1]->quota), of_b);
}

/* Of each context only its own tables count, whatever else is in the same gather, in whichever order it came. */
static void tables_of_two_contexts(void **state)
{
    static const char orders[][4] = {"a", "aa", "ab", "ba", "aab", "aba", "baa", "abb", "bab", "bba"};
    struct pvi_context *a, *b;

    (void)state;
    for (unsigned k = 0; k < sizeof(orders) / sizeof(orders[0]); k++) {
        check_case("tables of contexts %s", orders[k]);
        up(false);
        a = fx.dom.slot[0];
        b = fx.dom.slot[1];
        for (unsigned c = 0; c < 2; c++) {
            pvi_gather_init(&cpu[c], fx.host, fx.hdom, fx.dom.table.ops);
        }
        others(0, false, false);
        for (unsigned turn = 0; turn < 2; turn++) { /* the second time in a gather that has been flushed */
            for (unsigned i = 0; orders[k][i] != 0; i++) {
                unlink_table(orders[k][i] == 'a' ? a : b, 0, (uint64_t)(i + 1) << 21);
            }
            others(0, false, false);
            others(1, a->quota.gathered != 0, b->quota.gathered != 0);
            unlink_table(b, 1, 9ull << 21);
            others(0, false, true);
            others(1, a->quota.gathered != 0, b->quota.gathered != 1);
            unlink_table(a, 1, 9ull << 21);
            others(0, true, true);
            CHECK_EQ(pvi_gather_flush(&cpu[0]), 0);
            CHECK(a->quota.gathered == 1 && b->quota.gathered == 1);
            others(0, true, true);
            others(1, false, false);
            CHECK_EQ(pvi_gather_flush(&cpu[1]), 0);
            others(0, false, false);
        }
        fx_end(&fx, false);
    }
}

/* --- what a gather holds at most ------------------------------------------------------------------- */

static struct {
    unsigned waits, puts;
    uint32_t lists; /* the most list pages that were waiting */
} order;

static void watch(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    if (at == PVI_AT_FRAME_PUT) {
        order.puts += !after;
    } else if (at == PVI_AT_INV_WAIT) {
        order.waits += !after;
    } else if (fx.batch.gather.nr_lists > order.lists) {
        order.lists = fx.batch.gather.nr_lists;
    }
}

/* More runs of frames than all list pages of a gather hold, though the pool has more: a flush on the way. */
static void list_pages_run_out(void **state)
{
    const unsigned all = PVI_GATHER_RUNS + PVI_GATHER_LISTS * PVI_LIST_RUNS;
    const unsigned each = 511; /* of a table, so that none is covered whole */

    (void)state;
    check_case("list pages");
    up(false);
    for (unsigned i = 0; i < all / each + 1; i++) {
        map(1, BASE + 512 * i, GUEST_SCATTER, 512);
    }
    memset(&order, 0, sizeof(order));
    pvi_posix_hook(fx.host,
                   PVI_AT_BIT(PVI_AT_FRAME_PUT) | PVI_AT_BIT(PVI_AT_INV_WAIT) | PVI_AT_BIT(PVI_AT_INV_SUBMIT), watch, NULL);
    fx_begin(&fx);
    for (unsigned i = 0; i < all / each + 1; i++) {
        fx_unmap(&fx, 1, BASE + 512 * i, each);
    }
    fx_expect(&fx, 0);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK_EQ(order.lists, PVI_GATHER_LISTS);
    CHECK_EQ(order.waits, 2);
    CHECK_EQ(order.puts, (all / each + 1) * each);
    fx_down(&fx);
}

/* One release is bounded in tables, in tables that owe frames, and in frames; an empty gather takes any one table. */
static void tables_run_out(void **state)
{
    static struct pvi_pool pool;
    static struct pvi_gather g;
    struct pvi_quota quota = {.limit = UINT32_MAX};
    struct pvi_page *page, *next;
    uint32_t grown, taken = 0;

    (void)state;
    check_case("tables");
    up(false);
    pvi_pool_init(&pool, fx.host);
    CHECK_EQ(pvi_pool_grow(&pool, PVI_GATHER_TABLES, &grown), 0);
    CHECK_EQ(pvi_pool_take(&pool, &quota, PVI_GATHER_TABLES, 0, PVI_PAGE_TABLE, &page), 0);
    pvi_gather_init(&g, fx.host, fx.hdom, fx.dom.table.ops);
    CHECK(pvi_gather_table_room(&g, PVI_GATHER_FRAMES + 1));
    for (; page; page = next) {
        uint64_t owes = taken % 256 == 0 ? 100 : 0; /* 16 of them */

        next = page->next;
        CHECK(pvi_gather_table_room(&g, owes));
        CHECK(!pvi_gather_table_room(&g, PVI_GATHER_FRAMES) || taken == 0);
        pvi_gather_table(&g, page, owes);
        taken++;
        CHECK_EQ(pvi_gather_table_room(&g, 1), taken < PVI_GATHER_TABLES && taken <= 15 * 256);
    }
    CHECK_EQ(taken, PVI_GATHER_TABLES);
    CHECK(!pvi_gather_table_room(&g, 0));
    CHECK_EQ(quota.gathered, PVI_GATHER_TABLES);
    CHECK_EQ(pvi_gather_flush(&g), 0);
    CHECK(quota.gathered == 0 && quota.used == 0 && pool.nr_free == PVI_GATHER_TABLES);
    CHECK(pvi_gather_table_room(&g, PVI_GATHER_FRAMES + 1));
    CHECK_EQ(pvi_pool_shrink(&pool, UINT32_MAX), PVI_GATHER_TABLES);
    fx_down(&fx);
}

/* Also tables that go one by one, each after its last page, stay within the bound. */
#define SPARSE (PVI_GATHER_TABLES + 60u)
#define ABOVE 0x100000ull /* the MSI window */

static struct pvi_batch sparse;

static bool watch_tables(void *opaque, uint64_t nr)
{
    uint32_t *most = opaque;

    (void)nr;
    *most = sparse.gather.nr_tables > *most ? sparse.gather.nr_tables : *most;
    return false;
}

static void tables_one_by_one(void **state)
{
    static struct pvi_op op[SPARSE];
    struct pvi_domain_cfg cfg;
    uint32_t most = 0;

    (void)state;
    check_case("tables that go one by one");
    fx_machine(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1, .trim = true});
    cfg = fx_domain_cfg(&fx);
    cfg.max_pages = SPARSE + 200;
    fx_domain(&fx, &cfg);
    fx_begin(&fx);
    fx_op(&fx, PVI_OP_INIT, 0)->u.init.nr_contexts = 1;
    fx.op[0].u.init.nr_pages = cfg.max_pages;
    fx_expect(&fx, 0);
    CHECK_EQ(fx_context(&fx, 0), 1);
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < SPARSE; i++) {
            op[i] = (struct pvi_op){.code = k == 0 ? PVI_OP_MAP : PVI_OP_UNMAP, .domid = PVI_DOMID_SELF, .ctx = 1};
            if (k == 0) {
                op[i].flags = PVI_MAP_READ;
                op[i].u.map.dfn.f = ABOVE + 512ull * i;
                op[i].u.map.gfn.f = GUEST_HVM;
                op[i].u.map.nr = 1;
            } else {
                op[i].u.unmap.dfn.f = ABOVE + 512ull * i;
                op[i].u.unmap.nr = 1;
            }
        }
        sparse = (struct pvi_batch){.ops = op, .nr = SPARSE};
        pvi_posix_preempt_call(fx.host, watch_tables, &most);
        CHECK_EQ(pvi_submit(&fx.dom, &sparse), 0);
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        for (unsigned i = 0; i < SPARSE; i++) {
            CHECK_EQ(op[i].status, 0);
        }
    }
    CHECK(most >= PVI_GATHER_TABLES && most <= PVI_GATHER_TABLES + PVI_MAX_LEVELS);
    CHECK_EQ(fx.dom.slot[0]->quota.used, 1);
    fx_end(&fx, false);
}

/* Nothing is taken ahead for tables in whose place larger leaves will come. */
static void nothing_for_larger_leaves(void **state)
{
    static const struct pvi_pt_ops *const formats[] = {
        &pvi_vtd_ss_ops, &pvi_vtd_fs_ops, &pvi_amdvi_v1_ops, &pvi_amdvi_v2_ops};
    static struct pvi_gather g;
    const uint64_t mib2 = 1ull << 21, first = (5ull << 30) + mib2 - 4096, len = 4096 + 16 * mib2;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct pvi_pt_map m = {.iova = first, .pa = (1ull << 32) + mib2 - 4096, .len = len, .prot = PVI_RW, .shared = true};
        struct pvi_pt_unmap u = {.first = first, .next = first, .last = first + len - 1};
        struct pvi_context *ctx;

        check_case("%s", formats[i]->name);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .format = formats[i]});
        CHECK_EQ(fx_context(&fx, 0), 1);
        ctx = fx.dom.slot[0];
        pvi_gather_init(&g, fx.host, fx.hdom, fx.dom.table.ops);
        do {
            CHECK_EQ(formats[i]->map(&ctx->pt, ctx, &m, &g), 0);
            CHECK(!g.spare);
        } while (m.done < m.len);
        while (!u.complete) {
            CHECK_EQ(formats[i]->unmap(&ctx->pt, ctx, &u, &g), 0);
        }
        CHECK_EQ(pvi_gather_flush(&g), 0);
        fx_end(&fx, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_of_additions), cmocka_unit_test(another_context),
        cmocka_unit_test(tables_of_two_contexts),
        cmocka_unit_test(list_pages_run_out), cmocka_unit_test(tables_run_out),
        cmocka_unit_test(tables_one_by_one), cmocka_unit_test(nothing_for_larger_leaves),
    };

    return cmocka_run_group_tests_name("full gather", tests, NULL, NULL);
}
