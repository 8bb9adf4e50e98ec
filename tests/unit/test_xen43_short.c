/* SPDX-License-Identifier: MIT */
/* Hypercall 43 where memory is short: each allocation of an init fails in turn, pools of every small size, shares of contexts. */
#include "xen43_rig.h"

#define BASE 0x40000ull

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* An init that fails leaves nothing, and may be tried again: the published one could not. */
static void init_fails(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    for (unsigned preempted = 0; preempted < 2; preempted++) {
        for (unsigned at = 0; at < 2; at++) {
            enum pvi_posix_point point = at == 0 ? PVI_AT_PAGE_ALLOC : PVI_AT_MEM_ALLOC;

            for (uint64_t nth = 1;; nth += 1 + nth / 8) {
                uint64_t failed;

                x43_up(x, f, cfg, compat);
                x->tolerate = ORC_TOLERATE_MEMORY;
                pvi_posix_preempt_call(f->host, preempted != 0 ? always : NULL, NULL);
                pvi_posix_fail(f->host, point, nth, false);
                check_step("%s %u", at == 0 ? "page" : "object", (unsigned)nth);
                (void)x43_init(x, 8, 8);
                failed = pvi_posix_failed(f->host, point);
                pvi_posix_fail(f->host, point, 0, false);
                if (failed != 0) {
                    CHECK(!f->orc.inited);
                    CHECK_EQ(f->dom.pool.nr_pages, 0);
                    CHECK_RC(x43_alloc(x, 0, NULL), X43_ENOSPC);
                    CHECK_RC(x43_init(x, 3, 7), 0);
                }
                CHECK_RC(x43_alloc(x, 0, NULL), 0);
                pvi_posix_preempt_call(f->host, NULL, NULL);
                fx_down(f);
                if (failed == 0) {
                    break;
                }
            }
        }
    }
}

static void test_init(void **state)
{
    (void)state;
    x43_each(init_fails);
}

/* Arenas of 1, 2, 4 .. pages: every operation at each point where there is no page. */
static void pools(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    for (unsigned preempted = 0; preempted < 2; preempted++) {
        for (uint32_t order = 0; order < 6; order++) {
            unsigned ctx = 0, more;

            x43_up(x, f, cfg, compat);
            pvi_posix_preempt_call(f->host, preempted != 0 ? always : NULL, NULL);
            x->tolerate = ORC_TOLERATE_MEMORY;
            CHECK_RC(x43_init(x, 8, order), 0);
            CHECK_RC(x43_alloc(x, 0, &ctx), 0);
            check_step("%u pages", 1u << order);
            for (uint32_t nr = 1; nr < 3000; nr += 1 + nr) {
                (void)x43_map(x, ctx, 0x1ff, GUEST_HVM, nr, 3, 4096);
                (void)x43_map(x, ctx, 0x80000 + nr * 512, GUEST_HVM, 2, 3, 0x200000);
                CHECK_EQ(x43_alloc(x, 1, &more) == 0, more != 0);
                if (more != 0) {
                    CHECK_RC(x43_free(x, more, 0), 0);
                }
                (void)x43_map(x, ctx, 0xc0000, GUEST_PV, 1, 3, 0x200000);
                (void)x43_unmap(x, ctx, 0xc0000 + 77, 1, 4096); /* a page to cut it with */
                (void)x43_unmap(x, ctx, 0xc0000, 1, 0x200000);
                (void)x43_unmap(x, ctx, 0xc0000, 512, 4096);
                (void)x43_unmap(x, ctx, 0x1ff, nr, 4096);
            }
            CHECK_RC(x43_free(x, ctx, 0), 0);
            CHECK_EQ(f->dom.pool.nr_free, 1u << order);
            fx_down(f);
        }
    }
}

static void test_pools(void **state)
{
    (void)state;
    x43_each(pools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_init), cmocka_unit_test(test_pools)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
