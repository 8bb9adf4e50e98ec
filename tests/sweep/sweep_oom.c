/* SPDX-License-Identifier: MIT */
/*
 * Every call of the host that can run short, in every scenario: fails once at the n-th call, and from there on; then
 * the pool with every number of free pages. Whatever an operation answered, the tables are what it says that it did,
 * nothing is untracked, the same operations go on afterwards, and everything is back in the end (R12).
 */
#include "scenario.h"

static struct fx fx;

static const struct {
    enum pvi_posix_point at;
    const char *name;
    unsigned tolerate;
} points[] = {
    {PVI_AT_PAGE_ALLOC, "page_alloc", ORC_TOLERATE_MEMORY},
    {PVI_AT_MEM_ALLOC, "mem_alloc", ORC_TOLERATE_MEMORY},
    {PVI_AT_FRAME_GET, "frame_get", ORC_TOLERATE_NOFRAME},
    {PVI_AT_DID_ALLOC, "did_alloc", ORC_TOLERATE_NOSPC},
};

/* A second time, nothing failing: whatever the oracle says now must come true. */
static void again(const struct scenario *s)
{
    fx.tolerate = 0;
    s->batch(&fx);
    fx_run(&fx);
    fx_down(&fx);
}

static uint64_t fail_nth(const struct scenario *s, unsigned p, uint64_t n, bool on)
{
    uint64_t failed;

    check_case("%s, %s fails at call %llu%s", s->name, points[p].name, (unsigned long long)n, on ? " and after" : "");
    scenario_up(&fx, s);
    fx.tolerate = points[p].tolerate;
    s->batch(&fx);
    pvi_posix_fail(fx.host, points[p].at, n, on);
    CHECK_EQ(fx_submit(&fx), 0);
    failed = pvi_posix_failed(fx.host, points[p].at);
    pvi_posix_fail(fx.host, points[p].at, 0, false);
    fx_judge(&fx);
    fx_dma(&fx);
    again(s);
    return failed;
}

static void every_call_fails(void **state)
{
    uint64_t sites[4] = {0};

    (void)state;
    for (unsigned i = 0; i < nr_scenarios; i++) {
        for (unsigned p = 0; p < 4; p++) {
            for (unsigned on = 0; on < 2; on++) {
                uint64_t n = 1;

                if (points[p].at == PVI_AT_FRAME_GET && scenarios[i].identity) {
                    continue;
                }
                /* The first and the last thirty calls, and some between, of scenarios with hundreds. */
                while (fail_nth(&scenarios[i], p, n, on != 0) != 0) {
                    sites[p]++;
                    n += n < 30 ? 1 : 17;
                }
            }
        }
    }
    for (unsigned p = 0; p < 4; p++) {
        print_message("%s: %llu failures\n", points[p].name, (unsigned long long)sites[p]);
        CHECK(sites[p] != 0);
    }
}

/* The pool with k free pages: ENOMEM at every place that takes one. */
static void every_pool_size(void **state)
{
    (void)state;
    for (unsigned i = 0; i < nr_scenarios; i++) {
        for (uint32_t k = 0; k < 14; k++) {
            static struct pvi_quota hold_quota;
            struct pvi_page *hold = NULL;

            if (scenarios[i].cfg.no_init) {
                continue;
            }
            check_case("%s, %u free pages", scenarios[i].name, k);
            scenario_up(&fx, &scenarios[i]);
            fx.tolerate = ORC_TOLERATE_MEMORY;
            hold_quota = (struct pvi_quota){.limit = UINT32_MAX};
            fx.held = fx.dom.pool.nr_free > k ? fx.dom.pool.nr_free - k : 0;
            if (fx.held != 0) {
                CHECK_EQ(pvi_pool_take(&fx.dom.pool, &hold_quota, fx.held, 0, PVI_PAGE_LIST, &hold), 0);
            }
            scenarios[i].batch(&fx);
            CHECK_EQ(fx_submit(&fx), 0);
                    fx_judge(&fx);
            fx_dma(&fx);
            pvi_pool_put_list(&fx.dom.pool, hold);
            fx.held = 0;
            again(&scenarios[i]);
        }
    }
}

/* A frame that is gone when an identity context is built is left out; the context is whole but for it. */
static void identity_without_a_frame(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 12; n++) {
        uint64_t pages;

        check_case("identity, frame_get fails at call %u", n);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL});
        fx_begin(&fx);
        fx_alloc(&fx, PVI_ALLOC_IDENTITY);
        pvi_posix_fail(fx.host, PVI_AT_FRAME_GET, n, false);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK_EQ(fx.op[0].status, 0);
        pages = pvi_posix_failed(fx.host, PVI_AT_FRAME_GET);
        pvi_posix_fail(fx.host, PVI_AT_FRAME_GET, 0, false);
        orc_build(&fx.orc, 1);
        fx.orc.ctx[1].live = true;
        for (uint64_t pfn = 0; pfn < 0x100000 && pages != 0; pfn++) { /* which one: the only one not mapped */
            struct pvi_pt_leaf leaf;

            if (flat_lookup(fx.orc.ctx[1].map, pfn, NULL, NULL) &&
                pvi_vtd_ss_ops.lookup(&fx.dom.slot[0]->pt, pfn << 12, &leaf) != 0) {
                CHECK_EQ(flat_unmap(fx.orc.ctx[1].map, pfn, 1), 1);
                pages--;
            }
        }
        CHECK_EQ(pages, 0);
        fx_check(&fx);
        fx_down(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_fails),
        cmocka_unit_test(every_pool_size),
        cmocka_unit_test(identity_without_a_frame),
    };

    return cmocka_run_group_tests_name("out of memory", tests, NULL, NULL);
}
