/* SPDX-License-Identifier: MIT */
/*
 * Hostile input: extreme values in every field of every operation, structures full of noise; and the whole dispatcher on
 * the format that no hardware has (fmt_hostile.h).
 */
#include <string.h>

#include "fixture.h"
#include "fmt_hostile.h"

static struct fx fx;

static const struct fx_cfg hostile = {
    .kind = FX_NULL, .format = &hostile_ops, .visit = hostile_visit, .levels = 4, .iova_bits = 42, .trim = true};

/* --- every extreme of every field ----------------------------------------------------------------- */

static const uint64_t extremes[] = {
    0,
    1,
    2,
    0xff,
    0x100,
    0x1ff,
    0x200,
    0x3ffff,
    0x40000,
    (FX_MSI_FIRST >> 12) - 1,
    FX_MSI_FIRST >> 12,
    (FX_MSI_LAST >> 12) + 1,
    0x7fffffff,
    0xffffffff,
    0x100000000,
    (1ull << 36) - 1,
    1ull << 36,
    (1ull << 40) - 1,
    1ull << 40,
    (1ull << 51) - 1,
    1ull << 51,
    (1ull << 52) - 1,
    1ull << 52,
    (1ull << 52) + 1,
    0x7fffffffffffffff,
    0x8000000000000000,
    0xfffffffffffff000,
    UINT64_MAX - 1,
    UINT64_MAX,
};
#define NR_EXTREMES (sizeof(extremes) / sizeof(extremes[0]))

/* Large requests that are right are taken back, so that the next one meets the same tables. */
static void one_and_back(void)
{
    fx_run(&fx);
    if (fx.sent[0].code == PVI_OP_MAP && fx.op[0].done != 0) {
        uint64_t dfn = fx.sent[0].u.map.dfn.f, done = fx.op[0].done;

        fx_begin(&fx);
        fx_unmap(&fx, 1, dfn, done);
        fx_expect(&fx, 0);
    }
}

static void ranges(const struct fx_cfg *cfg)
{
    fx_up(&fx, cfg);
    CHECK_EQ(fx_context(&fx, 0), 1);
    fx.check_every = 50;
    fx.tolerate = ORC_TOLERATE_MEMORY; /* a million small pages need more tables than there are */
    for (unsigned a = 0; a < NR_EXTREMES; a++) {
        for (unsigned b = 0; b < NR_EXTREMES; b++) {
            check_step("first 0x%llx, count 0x%llx", (unsigned long long)extremes[a],
                       (unsigned long long)extremes[b]);
            fx_begin(&fx);
            fx_map(&fx, 1, extremes[a], GUEST_PV + (extremes[a] & 0x3ffff), extremes[b], PVI_RW);
            one_and_back();
            fx_begin(&fx);
            fx_map(&fx, 1, 0x1000, extremes[a], extremes[b], PVI_READ);
            one_and_back();
            fx_begin(&fx);
            fx_unmap(&fx, 1, extremes[a], extremes[b]);
            fx_flush(&fx, 1, extremes[a], extremes[b]);
            fx_lookup(&fx, 1, extremes[a]);
            fx_run(&fx);
        }
    }
    fx_down(&fx);
}

static void extreme_ranges(void **state)
{
    static const struct fx_cfg cfgs[] = {
        {.kind = FX_NULL},
        {.kind = FX_NULL, .format = &pvi_amdvi_v1_ops, .levels = 6, .iova_bits = 64},
        {.kind = FX_NULL, .page_sizes = 1u << 21 | 1u << 30},
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        check_case("extremes %u", i);
        ranges(&cfgs[i]);
    }
    check_case("extremes, hostile format");
    ranges(&hostile);
}

static void extreme_words(void **state)
{
    (void)state;
    check_case("words");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL});
    CHECK_EQ(fx_context(&fx, 0), 1);
    for (unsigned code = 0; code < PVI_OP_NR + 3; code++) {
        for (unsigned a = 0; a < NR_EXTREMES; a++) {
            check_step("code %u, 0x%llx", code, (unsigned long long)extremes[a]);
            fx_begin(&fx);
            if (code != PVI_OP_ALLOC_CONTEXT) { /* would be right, and leave a context */
                fx_op(&fx, code, (unsigned)extremes[a]);
            }
            fx_op(&fx, code, 1)->flags = (uint32_t)extremes[a] | 0x100;
            fx_op(&fx, code, 1)->pad = (uint16_t)(extremes[a] | 1);
            fx_op(&fx, PVI_OP_REATTACH_DEVICE, 1)->u.reattach.sbdf.v = (uint32_t)extremes[a] | 0x40000000;
            fx_run(&fx);
        }
    }
    fx_down(&fx);
}

/* --- noise ---------------------------------------------------------------------------------------- */

/* Operations full of random bytes, half of them made nearly right: nothing is torn, leaked, or out of bounds. */
static void noise(void **state)
{
    struct rnd rnd = {0xdecade};

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        check_case("noise %u", k);
        fx_up(&fx, k == 2 ? &hostile : &(struct fx_cfg){.kind = FX_NULL, .np_cache = k == 1, .units = 2});
        (void)fx_context(&fx, 0);
        for (unsigned i = 0; i < 3000; i++) {
            fx_begin(&fx);
            for (unsigned n = 0; n < 4; n++) {
                struct pvi_op *op = fx_op(&fx, 0, 0);
                uint64_t *word = (uint64_t *)(void *)op;

                for (unsigned w = 0; w < sizeof(*op) / 8; w++) {
                    word[w] = rnd_next(&rnd) >> rnd_below(&rnd, 64);
                }
                op->domid = PVI_DOMID_SELF;
                if (rnd_below(&rnd, 4) != 0) {
                    op->code %= PVI_OP_NR;
                    op->pad = 0;
                    op->ctx %= 4;
                    op->flags &= 3;
                    op->done = rnd_below(&rnd, 2) ? 0 : op->done;
                    op->u.map.nr %= 2000;
                }
            }
            CHECK_EQ(fx_submit(&fx), 0);
            for (unsigned n = 0; n < 4; n++) {
                CHECK(fx.op[n].status <= 0 && fx.op[n].status >= -PVI_ENESTED);
                CHECK(fx.op[n].status != -PVI_EPREEMPTED && fx.op[n].status != -PVI_EHW);
            }
            if (i % 64 == 0) {
                fx_check_loose(&fx);
            }
        }
        fx_check_loose(&fx);
        fx_end(&fx, false);
    }
}

/* --- the format that no hardware has -------------------------------------------------------------- */

static void dispatcher_on_a_hostile_format(void **state)
{
    struct rnd rnd = {42};

    (void)state;
    check_case("hostile format");
    fx_up(&fx, &hostile);
    CHECK_EQ(fx.orc.page_sizes, HOSTILE_PAGE_SIZES);
    CHECK_EQ(fx_context(&fx, 0), 1);
    CHECK_EQ(fx_context(&fx, 1), 2);
    fx.check_every = 8;
    for (unsigned i = 0; i < 1500; i++) {
        fx_begin(&fx);
        for (unsigned n = 0; n < 6; n++) {
            uint64_t dfn = rnd_below(&rnd, 0x9000), nr = 1 + rnd_below(&rnd, n % 3 == 0 ? 0x1200 : 10);
            unsigned ctx = 1 + (unsigned)rnd_below(&rnd, 2);

            if (rnd_below(&rnd, 2) != 0) {
                fx_map(&fx, ctx, dfn, rnd_below(&rnd, 2) ? GUEST_PV + dfn : GUEST_SCATTER, nr % 0x400 + 1, PVI_RW);
            } else {
                fx_unmap(&fx, ctx, dfn, nr);
            }
        }
        fx_map(&fx, 1, 0x10000, GUEST_PV + 0x10000, 0x8000, PVI_RW); /* a leaf of 128 MiB */
        fx_lookup(&fx, 1, 0x10000 + 77);
        fx_unmap(&fx, 1, 0x10000 + rnd_below(&rnd, 0x8000), 1 + rnd_below(&rnd, 300));
        fx_run(&fx);
    }
    fx_down(&fx);
}

static void indexes(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 70; n++) {
        for (uint64_t i = 0; i < 140; i++) {
            CHECK_EQ(pvi_nospec(i, n), i < n ? i : 0);
        }
        CHECK_EQ(pvi_nospec(UINT64_MAX, n), 0);
        CHECK_EQ(pvi_nospec(1ull << 63, n), 0);
        CHECK_EQ(pvi_nospec(UINT32_MAX, n), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extreme_ranges),
        cmocka_unit_test(extreme_words),
        cmocka_unit_test(noise),
        cmocka_unit_test(indexes),
        cmocka_unit_test(dispatcher_on_a_hostile_format),
    };

    return cmocka_run_group_tests_name("hostile input", tests, NULL, NULL);
}
