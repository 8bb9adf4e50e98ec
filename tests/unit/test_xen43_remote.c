/* SPDX-License-Identifier: MIT */
/* Hypercall 43, remote_cmd: another domain's calls for this one, with the host's permission; and what a guest can try without. */
#include <string.h>

#include <pviommu/abi/xen43.h>

#include "xen43_rig.h"

#define BASE 0x40000ull
#define BOSS 9u
#define NOBODY 77u

static struct fx f;
static struct x43 x;
static struct pvi_domain boss;
static struct pvi_hdom *hboss;
static struct pvi_system none;

/* A domain without IOMMU whose hypercalls are for the fixture's. */
static void boss_up(const struct fx_cfg *cfg, bool compat)
{
    struct pvi_domain_cfg dc;

    x43_up(&x, &f, cfg, compat);
    hboss = pvi_posix_hdom_new(f.host, BOSS);
    CHECK(hboss);
    dc = fx_domain_cfg(&f);
    dc.hdom = hboss;
    dc.system = &none;
    CHECK_EQ(pvi_domain_init(&boss, f.host, &dc), 0);
    pvi_posix_hdom_bind(hboss, &boss);
    pvi_posix_hdom_mem(f.hdom, NULL, 0, 0); /* only the caller's memory counts */
    pvi_posix_hdom_mem(hboss, x.mem, x.base, X43_MEM);
    x.call.caller = &boss;
    x.remote = true;
    x.domid = FX_DOMID;
}

static void boss_down(void)
{
    pvi_domain_kill(&boss);
    CHECK_EQ(pvi_domain_destroy(&boss), 0);
    pvi_posix_hdom_free(hboss);
}

static void each(void (*fn)(const struct fx_cfg *cfg, bool compat))
{
    static const struct fx_cfg cfgs[] = {{.kind = FX_NULL}, {.kind = FX_VTD, .np_cache = true}, {.kind = FX_AMD}};

    for (size_t i = 0; i < 3; i++) {
        for (unsigned compat = 0; compat < 2; compat++) {
            check_case("kind %u, %u-bit", (unsigned)cfgs[i].kind, compat != 0 ? 32 : 64);
            fn(&cfgs[i], compat != 0);
        }
    }
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void life(const struct fx_cfg *cfg, bool compat)
{
    uint64_t reads;
    unsigned ctx;

    boss_up(cfg, compat);
    CHECK_EQ(pvi_posix_hdom_permit(hboss, FX_DOMID), 0);
    pvi_posix_hdom_may_init(f.hdom, false); /* the other may */
    CHECK_RC(x43_init(&x, 8, 11), 0);
    CHECK_RC(x43_init(&x, 8, 11), X43_EACCES);
    memset(x.mem, X43_GARBAGE, X43_MEM);
    CHECK_RC(x43_call(&x, 1), 0);
    CHECK_EQ(x43_get(&x, CAP_MAX_CTX), 8);
    CHECK_EQ(x43_get(&x, CAP_PGSIZES), f.orc.page_sizes & 0x3fffff);
    ctx = x43_context(&x, 0);
    pvi_posix_preempt_call(f.host, always, NULL);
    reads = pvi_posix_calls(f.host, PVI_AT_COPY_IN);
    CHECK_RC(x43_map(&x, ctx, BASE, GUEST_HVM, 2000, 3, 4096), 0);
    CHECK(x.preempted != 0);
    CHECK_EQ(pvi_posix_calls(f.host, PVI_AT_COPY_IN) - reads, 2 * (1 + x.preempted)); /* each structure once for each entry */
    CHECK_RC(x43_map(&x, ctx, BASE + 0x1000, GUEST_PV, 3, 3, 0x200000), 0);
    CHECK_RC(x43_lookup(&x, ctx, BASE + 3), 0);
    CHECK_RC(x43_flush(&x, ctx, BASE, 2000, 4096), 0);
    CHECK_RC(x43_unmap(&x, ctx, BASE, 2001, 4096), X43_ENOENT);
    CHECK_RC(x43_alloc(&x, 1, NULL), 0); /* an identity of that domain's memory, continued with a word */
    CHECK(x.preempted != 0);
    CHECK_RC(x43_map(&x, 0, BASE, GUEST_HVM, 1, 3, 4096), X43_EINVAL);
    CHECK_RC(x43_free(&x, ctx, 1), 0);
    pvi_posix_preempt_call(f.host, NULL, NULL);
    x43_begin(&x, 0);
    CHECK_RC(x43_call(&x, 0), 0);
    CHECK_RC(x43_call(&x, 9), X43_EOPNOTSUPP);
    CHECK_RC(x43_call(&x, 15), X43_EOPNOTSUPP);
    x43_put(&x, REM_SUBOP, 0xffff);
    x.word = 8;
    CHECK_RC(x43_enter(&x, 8), X43_EOPNOTSUPP);
    x43_put(&x, REM_SUBOP, 0x0106); /* all sixteen bits count */
    x.word = 8;
    CHECK_RC(x43_enter(&x, 8), X43_EOPNOTSUPP);
    x43_put(&x, REM_SUBOP, 8);
    x.word = 8;
    CHECK_RC(x43_enter(&x, 8), X43_EINVAL); /* remote in remote */
    x.remote = false;
    memset(x.mem, X43_GARBAGE, X43_MEM);
    CHECK_RC(x43_call(&x, 6), X43_ENODEV); /* for itself it has no IOMMU */
    boss_down();
    fx_down(&f);
}

static void test_with_right(void **state)
{
    (void)state;
    each(life);
}

static int remote(unsigned domid, unsigned subop)
{
    x43_begin(&x, 8);
    x43_put(&x, REM_DOMID, domid);
    x43_put(&x, REM_SUBOP, subop);
    x43_put(&x, REM_ARG, x.base + X43_AT);
    x.word = 8;
    return x43_enter(&x, subop < 15 ? subop : 8);
}

static void refused(const struct fx_cfg *cfg, bool compat)
{
    static const unsigned domids[] = {0, 1, FX_DOMID, NOBODY, 0x7fef, 0x7ff1, 0x7fff, 0x8000, 0xffff};

    boss_up(cfg, compat);
    for (size_t i = 0; i < sizeof(domids) / sizeof(domids[0]); i++) {
        for (unsigned subop = 0; subop < 17; subop++) {
            check_step("domain %u, sub-operation %u", domids[i], subop);
            CHECK_RC(remote(domids[i], subop), X43_EPERM); /* also noop, query, nested and unknown ones: nothing leaks */
        }
    }
    CHECK_EQ(pvi_posix_hdom_permit(hboss, NOBODY), 0);
    for (unsigned subop = 0; subop < 17; subop++) {
        check_step("nobody, %u", subop);
        CHECK_RC(remote(NOBODY, subop), X43_ENOENT);
    }
    CHECK_EQ(pvi_posix_hdom_permit(hboss, FX_DOMID), 0);
    CHECK_RC(remote(FX_DOMID, 0), 0);
    CHECK_RC(remote(FX_DOMID, 8), X43_EINVAL);
    CHECK_RC(remote(0x7ff0, 0), 0); /* itself */
    CHECK_RC(remote(0x7ff0, 8), X43_EINVAL);
    CHECK_RC(remote(0x7ff0, 6), X43_ENODEV);
    CHECK_RC(remote(BOSS, 6), X43_ENODEV);
    pvi_domain_kill(&f.dom);
    for (unsigned subop = 0; subop < 17; subop++) {
        check_step("dying, %u", subop);
        CHECK_RC(remote(FX_DOMID, subop), X43_ESRCH);
    }
    boss_down();
    fx_end(&f, false);
}

static void test_without_right(void **state)
{
    (void)state;
    each(refused);
}

/* Once the right has been looked at, the structure that named the domain may be anything. */
static void flip_remote(void *opaque, enum pvi_posix_point at, bool after)
{
    unsigned *reads = opaque;

    (void)at;
    if (after && ++*reads == 1) {
        memset(x.mem + X43_REMOTE_AT, 0xff, 16);
    } else if (after && *reads == 2) {
        memset(x.mem + X43_AT, 0xff, 36);
    }
}

static void changing(const struct fx_cfg *cfg, bool compat)
{
    unsigned reads = 0;

    boss_up(cfg, compat);
    CHECK_EQ(pvi_posix_hdom_permit(hboss, FX_DOMID), 0);
    CHECK_RC(x43_init(&x, 8, 11), 0);
    CHECK_RC(x43_alloc(&x, 0, NULL), 0);
    x.loose = true;
    pvi_posix_hook(f.host, PVI_AT_BIT(PVI_AT_COPY_IN), flip_remote, &reads);
    CHECK_RC(x43_map(&x, 1, BASE, GUEST_PV, 100, 3, 4096), 0);
    CHECK_EQ(reads, 2);
    reads = 0;
    CHECK_RC(x43_lookup(&x, 1, BASE), 0);
    CHECK_EQ(reads, 2);
    pvi_posix_hook(f.host, 0, NULL, NULL);
    for (uint64_t nth = 1; nth <= 2; nth++) { /* either structure cannot be read */
        pvi_posix_fail(f.host, PVI_AT_COPY_IN, nth, false);
        x43_begin(&x, 3);
        CHECK_RC(x43_call(&x, 3), X43_EFAULT);
        pvi_posix_fail(f.host, PVI_AT_COPY_IN, 0, false);
        x43_check(&x);
    }
    pvi_posix_fail(f.host, PVI_AT_COPY_OUT, 1, false);
    x43_begin(&x, 3);
    CHECK_RC(x43_call(&x, 3), X43_EFAULT);
    x43_check(&x);
    boss_down();
    fx_down(&f);
}

static void test_changing_memory(void **state)
{
    (void)state;
    each(changing);
}

/* The right goes away under a preempted call: the next entry is judged as a new one. */
static void unbound(const struct fx_cfg *cfg, bool compat)
{
    boss_up(cfg, compat);
    CHECK_EQ(pvi_posix_hdom_permit(hboss, FX_DOMID), 0);
    CHECK_RC(x43_init(&x, 8, 11), 0);
    pvi_posix_preempt_call(f.host, always, NULL);
    x43_begin(&x, 3);
    x43_put(&x, ALLOC_FLAGS, 1);
    x43_put(&x, REM_DOMID, FX_DOMID);
    memset(x.mem + X43_REMOTE_AT, 0, 16);
    x43_put(&x, REM_DOMID, FX_DOMID);
    x43_put(&x, REM_SUBOP, 3);
    x43_put(&x, REM_ARG, x.base + X43_AT);
    x.word = 8;
    CHECK_RC(x43_enter(&x, 3), X43_ERESTART);
    CHECK(x.word >> 8 != 0);
    x43_put(&x, REM_DOMID, NOBODY);
    CHECK_RC(x43_enter(&x, 3), X43_EPERM);
    x43_put(&x, REM_SUBOP, 6);
    x43_put(&x, REM_DOMID, FX_DOMID);
    CHECK_RC(x43_enter(&x, 6), X43_EOPNOTSUPP); /* only an alloc is continued so */
    pvi_posix_preempt_call(f.host, NULL, NULL);
    boss_down();
    fx_end(&f, false); /* half an identity goes with the domain */
}

static void test_continued_elsewhere(void **state)
{
    (void)state;
    each(unbound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_right),
        cmocka_unit_test(test_without_right),
        cmocka_unit_test(test_changing_memory),
        cmocka_unit_test(test_continued_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
