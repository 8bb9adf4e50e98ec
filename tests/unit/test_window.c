/* SPDX-License-Identifier: MIT */
/*
 * Windows of a context: made, asked for, removed, reset; what may be mapped in them, with which leaves; every device that is
 * attached is in all of them or in none.
 */
#include "fixture.h"

#define GIB 0x40000ull
#define MIB2 0x200ull
#define SIZES_4K (1ull << 12)
#define SIZES_2M (1ull << 21)
#define SIZES_1G (1ull << 30)
#define LOW 0x1000ull    /* a low window, in frames */
#define LOW_NR 0x10000ull
#define HIGH (8 * GIB)   /* a high one */
#define HIGH_NR (16 * GIB)

static struct fx fx;

static void each(void (*fn)(struct fx *f, const struct fx_cfg *cfg))
{
    fx_each(fn);
}

static void bare(struct fx *f, unsigned ctx)
{
    fx_begin(f);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, ctx, 0);
    fx_expect(f, 0);
}

static void query_all(struct fx *f, unsigned ctx)
{
    fx_begin(f);
    for (unsigned i = 0; i < PVI_MAX_WINDOWS; i++) {
        fx_window_op(f, PVI_OP_WINDOW_QUERY, ctx, i);
    }
    fx_expect(f, 0);
}

static void expect_map(struct fx *f, uint64_t dfn, uint64_t gfn, uint64_t nr, int status, uint64_t fault)
{
    fx_begin(f);
    fx_map(f, 1, dfn, gfn, nr, PVI_RW);
    fx_expect(f, status);
    if (status != 0) {
        CHECK_EQ(f->op[0].fault, fault);
    }
}

/* --- life of windows ------------------------------------------------------------------------------ */

static void life(struct fx *f, const struct fx_cfg *cfg)
{
    fx_up(f, cfg);
    CHECK_EQ(fx_context(f, 0), 1);
    query_all(f, 1);
    CHECK_EQ(f->op[0].u.window.state, PVI_WINDOW_OPEN);
    CHECK_EQ(f->op[0].u.window.left, PVI_MAX_WINDOWS - 1);
    CHECK_EQ(f->op[0].u.window.depth, f->cfg.levels);
    fx_begin(f);
    fx_window(f, 1, LOW, LOW_NR, 0, 0);
    fx_expect(f, -PVI_EEXIST); /* the first one is over all */
    bare(f, 1);
    query_all(f, 1);
    CHECK_EQ(f->op[0].u.window.left, PVI_MAX_WINDOWS);
    expect_map(f, LOW, GUEST_PV, 1, -PVI_ERANGE, LOW);
    fx_begin(f);
    for (unsigned i = 0; i < PVI_MAX_WINDOWS; i++) {
        fx_window(f, 1, i * GIB, i + 1, 0, 0);
    }
    fx_expect(f, 0);
    CHECK_EQ(f->op[3].u.window.index, 3);
    query_all(f, 1);
    CHECK_EQ(f->op[3].u.window.left, 0);
    CHECK_EQ(f->op[0].u.window.depth, 1);
    fx_begin(f);
    fx_window(f, 1, 100 * GIB, 1, 0, 0);
    fx_expect(f, -PVI_ENOSPC);
    fx_begin(f);
    fx_window(f, 1, 7 * GIB - 3, 4, 0, 0);
    fx_window(f, 1, GIB + 1, 1, 0, 0);
    fx_expect(f, -PVI_EEXIST);
    fx_begin(f);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 5);
    fx_window(f, 1, 9 * GIB, 1, 0, 0);
    fx_expect(f, 0);
    CHECK_EQ(f->op[1].u.window.index, 5);
    fx_begin(f);
    fx_map(f, 1, 3 * GIB, GUEST_PV, 4, PVI_RW);
    fx_op(f, PVI_OP_WINDOW_RESET, 1);
    fx_expect(f, 0);
    query_all(f, 1);
    CHECK_EQ(f->op[0].u.window.left, PVI_MAX_WINDOWS - 1);
    expect_map(f, LOW, GUEST_PV, 1, 0, 0);
    fx_begin(f);
    fx_op(f, PVI_OP_WINDOW_RESET, 1); /* also what is in the first one goes */
    fx_lookup(f, 1, LOW);
    fx_run(f);
    CHECK_EQ(f->op[1].status, -PVI_ENOENT);
    /* A new life of the number begins with the one window. */
    bare(f, 1);
    fx_begin(f);
    fx_free(f, 1, PVI_FREE_REATTACH);
    fx_alloc(f, 0);
    fx_map(f, 1, LOW, GUEST_PV, 1, PVI_RW);
    fx_expect(f, 0);
    fx_down(f);
}

static void windows_come_and_go(void **state)
{
    (void)state;
    each(life);
}

#define NO_SHIFT 0u
struct refusal {
    uint64_t dfn, nr;
    unsigned shift;
    uint64_t sizes;
    int status;
};

static void refusals(struct fx *f, const struct fx_cfg *cfg)
{
    static const struct refusal list[] = {
        {0, 0, NO_SHIFT, 0, -PVI_ELENGTH},
        {1, UINT64_MAX, NO_SHIFT, 0, -PVI_EWRAP},
        {1ull << 52, 1, NO_SHIFT, 0, -PVI_EWRAP},
        {(1ull << 52) - 1, 2, NO_SHIFT, 0, -PVI_EWRAP},
        {(1ull << 52) - 1, 1, NO_SHIFT, 0, -PVI_ERANGE},
        {1, MIB2, 21, 0, -PVI_EALIGN},
        {MIB2, 1, 21, 0, -PVI_EALIGN},
        {0, 1, 12, SIZES_2M, -PVI_EINVAL},
        {0, 1, 21, SIZES_4K | SIZES_2M, -PVI_EINVAL},
        {0, 1, 64, 1, -PVI_EINVAL},
        {0, 1, 255, 0, -PVI_EOPNOTSUPP},
        {0, 1, 11, 0, -PVI_EOPNOTSUPP},
        {0, 1, 12, SIZES_4K | 1ull << 39, -PVI_EOPNOTSUPP}, /* no format has 512 GiB */
        {0, 1, 12, SIZES_4K | SIZES_1G, -PVI_EOPNOTSUPP},   /* nothing between to cut it into */
        {0, 1, 31, 0, -PVI_EOPNOTSUPP},
        {0, 1ull << 25, 37, 0, -PVI_EOPNOTSUPP},
    };

    fx_up(f, cfg);
    CHECK_EQ(fx_context(f, 0), 1);
    for (unsigned bared = 0; bared < 2; bared++) {
        for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
            check_step("refusal %zu", i);
            fx_begin(f);
            fx_window(f, 1, list[i].dfn, list[i].nr, list[i].shift, list[i].sizes);
            fx_expect(f, list[i].status);
        }
        bare(f, 1);
        query_all(f, 1);
        CHECK_EQ(f->op[7].u.window.left, PVI_MAX_WINDOWS);
        fx_begin(f);
        fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0);
        fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 7);
        fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 8);
        fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0xffff);
        fx_window_op(f, PVI_OP_WINDOW_QUERY, 1, 8);
        fx_window_op(f, PVI_OP_WINDOW_QUERY, 1, 0xffff);
        fx_expect(f, -PVI_ENOENT);
        fx_begin(f);
        fx_op(f, PVI_OP_WINDOW_RESET, 1);
        fx_expect(f, 0);
    }
    for (unsigned code = PVI_OP_WINDOW_CREATE; code <= PVI_OP_WINDOW_RESET; code++) {
        fx_begin(f);
        fx_op(f, code, 0);
        fx_expect(f, -PVI_EDEFAULT);
        fx_begin(f);
        fx_op(f, code, 3);
        fx_op(f, code, 0xffff);
        fx_expect(f, -PVI_ENOCTX);
        fx_begin(f);
        fx_op(f, code, 1)->flags = 1;
        fx_expect(f, -PVI_EFLAGS);
    }
    fx_down(f);
}

static void every_refusal(void **state)
{
    (void)state;
    each(refusals);
}

/* Which sizes go together: all pairs and triples, on tables with few sizes and with many. */
static void sizes_that_can_be_cut(void **state)
{
    static const struct fx_cfg cfg[] = {
        {.kind = FX_NULL}, {.kind = FX_AMD}, {.kind = FX_AMD, .levels = 6, .iova_bits = 64},
        {.kind = FX_NULL, .format = &pvi_amdvi_v1_ops, .page_sizes = 0x7ff7ef000ull}};

    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        unsigned good = 0;

        check_case("sizes of table %u", k);
        fx_up(&fx, &cfg[k]);
        CHECK_EQ(fx_context(&fx, 0), 1);
        bare(&fx, 1);
        fx.check_every = 1000;
        for (unsigned a = 12; a < 42; a++) {
            for (unsigned b = a; b < 42; b++) {
                for (unsigned c = b; c < 42; c += 3) {
                    fx_begin(&fx);
                    fx_window(&fx, 1, 0, 1ull << 30, a, 1ull << a | 1ull << b | 1ull << c);
                    fx_window_op(&fx, PVI_OP_WINDOW_REMOVE, 1, 0);
                    CHECK_EQ(fx_submit(&fx), 0);
                    fx_judge(&fx);
                    good += fx.op[0].status == 0;
                }
            }
        }
        CHECK(good >= 3);
        for (unsigned big = 40; big < 52; big++) { /* above the level that has no leaves of one entry */
            fx_begin(&fx);
            fx_window(&fx, 1, 0, 1ull << 30, 30, 1ull << 30 | 1ull << big);
            fx_window_op(&fx, PVI_OP_WINDOW_REMOVE, 1, 0);
            CHECK_EQ(fx_submit(&fx), 0);
            fx_judge(&fx);
        }
        fx_down(&fx);
    }
}

/* --- ranges and leaves ------------------------------------------------------------------------------ */

/* A low window of small pages that is used sparsely, a high one for all of memory in the largest. */
static void low_and_high(struct fx *f, const struct fx_cfg *cfg)
{
    unsigned i;

    fx_up(f, cfg);
    CHECK_EQ(fx_context(f, 0), 1);
    bare(f, 1);
    fx_begin(f);
    fx_window(f, 1, LOW, LOW_NR, 12, SIZES_4K);
    fx_window(f, 1, HIGH, HIGH_NR, 30, SIZES_1G);
    fx_expect(f, 0);
    expect_map(f, HIGH, GUEST_PV, 4 * GIB, 0, 0);
    expect_map(f, LOW + MIB2, GUEST_PV + MIB2, 2 * MIB2, 0, 0); /* large leaves would fit */
    fx_begin(f);
    for (i = 0; i < 20; i++) {
        fx_map(f, 1, LOW + 0x777 * i, GUEST_HVM + 3 * i, 1, PVI_RW);
        fx_lookup(f, 1, LOW + 0x777 * i);
    }
    fx_lookup(f, 1, HIGH + 5);
    fx_lookup(f, 1, LOW + MIB2);
    fx_expect(f, 0);
    CHECK_EQ(f->op[40].u.lookup.lg2, 30);
    CHECK_EQ(f->op[41].u.lookup.lg2, 12);
    /* Beside and across. */
    expect_map(f, LOW - 1, GUEST_PV, 1, -PVI_ERANGE, LOW - 1);
    expect_map(f, LOW - 1, GUEST_PV, 2, -PVI_ERANGE, LOW - 1);
    expect_map(f, LOW + LOW_NR - 1, GUEST_PV, 2, -PVI_ERANGE, LOW + LOW_NR);
    expect_map(f, HIGH + HIGH_NR, GUEST_PV, GIB, -PVI_ERANGE, HIGH + HIGH_NR);
    expect_map(f, HIGH + 4 * GIB, GUEST_PV, 13 * GIB, -PVI_ERANGE, HIGH + HIGH_NR);
    expect_map(f, 0, GUEST_PV, 1ull << 24, -PVI_ERANGE, 0);
    /* Parts of the page, frames that lie otherwise. */
    expect_map(f, HIGH + 4 * GIB, GUEST_PV, 1, -PVI_EALIGN, HIGH + 4 * GIB);
    expect_map(f, HIGH + 4 * GIB + MIB2, GUEST_PV, GIB, -PVI_EALIGN, HIGH + 4 * GIB + MIB2);
    expect_map(f, HIGH + 4 * GIB, GUEST_PV + 1, GIB, -PVI_EALIGN, HIGH + 4 * GIB);
    expect_map(f, HIGH + 4 * GIB, GUEST_HVM, GIB, -PVI_EALIGN, HIGH + 4 * GIB);
    expect_map(f, HIGH + 4 * GIB, GUEST_PV + 7 * GIB, 2 * GIB, -PVI_EALIGN, HIGH + 5 * GIB); /* what follows is other memory */
    fx_begin(f);
    fx_unmap(f, 1, HIGH, 1);
    fx_unmap(f, 1, HIGH + MIB2, GIB);
    fx_flush(f, 1, HIGH, MIB2);
    fx_expect(f, -PVI_EALIGN);
    fx_begin(f);
    fx_unmap(f, 1, LOW - 1, 2);
    fx_unmap(f, 1, LOW + LOW_NR, 1);
    fx_lookup(f, 1, LOW - 1);
    fx_flush(f, 1, LOW + LOW_NR - 1, 2);
    fx_expect(f, -PVI_ERANGE);
    fx_begin(f);
    fx_unmap(f, 1, HIGH + GIB, 2 * GIB);
    fx_flush(f, 1, HIGH, 3 * GIB);
    fx_flush(f, 1, 0, 0);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 1);
    fx_map(f, 1, LOW + 1, GUEST_PV, 1, PVI_RW);
    fx_expect(f, 0);
    fx_down(f);
}

static void a_low_and_a_high_window(void **state)
{
    (void)state;
    each(low_and_high);
}

/* Leaves are the window's when they are made and when they are cut, on tables that have every power of two. */
static void cuts(struct fx *f, const struct fx_cfg *cfg)
{
    static const struct {
        unsigned shift;
        uint64_t sizes;
    } kinds[] = {{12, SIZES_4K}, {12, SIZES_4K | SIZES_2M}, {16, 1u << 16}, {16, 1u << 16 | 1u << 18}, {16, 1u << 16 | SIZES_2M},
                 {13, 0}, {21, SIZES_2M | SIZES_1G}, {22, 1u << 22}, {21, SIZES_2M | 1u << 24}, {12, 0}, {20, 1u << 20 | SIZES_2M | SIZES_1G}};

    fx_up(f, cfg);
    CHECK_EQ(fx_context(f, 0), 1);
    bare(f, 1);
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        uint64_t page = 1ull << (kinds[k].shift - 12);

        check_step("sizes 0x%llx", (unsigned long long)kinds[k].sizes);
        fx_begin(f);
        fx_window(f, 1, 3 * GIB - 16 * MIB2, GIB + 32 * MIB2, kinds[k].shift, kinds[k].sizes);
        fx_run(f);
        if (f->op[0].status == -PVI_EOPNOTSUPP) {
            continue;
        }
        CHECK_EQ(f->op[0].status, 0);
        fx_begin(f);
        fx_map(f, 1, 3 * GIB - 8 * MIB2, GUEST_PV + GIB - 8 * MIB2, 16 * MIB2, PVI_RW);
        fx_map(f, 1, 4 * GIB - 8 * MIB2, GUEST_PV + 8 * MIB2, 16 * MIB2, PVI_READ);
        fx_expect(f, 0);
        fx_begin(f);
        fx_unmap(f, 1, 3 * GIB - 8 * MIB2 + page, page);
        fx_unmap(f, 1, 3 * GIB - page, 3 * page);
        fx_unmap(f, 1, 4 * GIB, page);
        fx_map(f, 1, 3 * GIB - page, GUEST_PV + GIB - page, 3 * page, PVI_RW);
        fx_map(f, 1, 4 * GIB, GUEST_PV + 12 * MIB2, page, PVI_RW);
        fx_lookup(f, 1, 3 * GIB);
        fx_expect(f, 0);
        fx_begin(f);
        fx_map(f, 1, 3 * GIB + page, GUEST_PV + GIB + page, 3 * page, PVI_RW);
        fx_expect(f, -PVI_EEXIST);
        fx_begin(f);
        fx_unmap(f, 1, 3 * GIB - 8 * MIB2, page);
        fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0);
        fx_expect(f, 0);
        fx_check(f);
    }
    fx_down(f);
}

static void leaves_are_the_windows(void **state)
{
    (void)state;
    each(cuts);
}

/* Tables that another window has left behind do not keep a larger leaf out. */
static void left_over(struct fx *f, const struct fx_cfg *cfg)
{
    fx_up(f, cfg);
    CHECK_EQ(fx_context(f, 0), 1);
    bare(f, 1);
    fx_begin(f);
    fx_window(f, 1, GIB + 1, GIB - 2, 12, SIZES_4K);
    fx_map(f, 1, GIB + 1, GUEST_HVM, 1500, PVI_RW);
    fx_map(f, 1, 2 * GIB - 100, GUEST_HVM, 50, PVI_RW);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0);
    fx_window(f, 1, GIB, 2 * GIB, 30, 0);
    fx_map(f, 1, GIB, GUEST_PV, 2 * GIB, PVI_RW);
    fx_lookup(f, 1, GIB + 77);
    fx_expect(f, 0);
    CHECK(f->op[6].u.lookup.lg2 >= 30);
    fx_down(f);
}

static void nothing_is_left_in_the_way(void **state)
{
    (void)state;
    each(left_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_come_and_go),
        cmocka_unit_test(every_refusal),
        cmocka_unit_test(sizes_that_can_be_cut),
        cmocka_unit_test(a_low_and_a_high_window),
        cmocka_unit_test(leaves_are_the_windows),
        cmocka_unit_test(nothing_is_left_in_the_way),
    };

    return cmocka_run_group_tests_name("windows", tests, NULL, NULL);
}
