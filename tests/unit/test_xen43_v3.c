/* SPDX-License-Identifier: MIT */
/* Hypercall 43 as in 2024 (v1 to v3): one structure of 32 bytes, its offsets as numbers; judged by the fixture's oracle. */
#include <string.h>

#include <pviommu/abi/xen43_v3.h>

#include "xen43_rig.h"

#define BASE 0x40000ull

static struct x43 x; /* its judge only */
static struct pvi_abi_call call;
static unsigned char mem[96];
static unsigned preempted, reads;
static bool flipping;

#define AT 32u

static void put(unsigned at, unsigned len, uint64_t value)
{
    memcpy(mem + AT + at, &value, len);
}

static uint64_t get(unsigned at, unsigned len)
{
    uint64_t value = 0;

    memcpy(&value, mem + AT + at, len);
    return value;
}

static void begin(unsigned subop, unsigned ctx, uint32_t flags)
{
    memset(mem, X43_GARBAGE, sizeof(mem));
    put(0, 2, subop);
    put(2, 2, ctx);
    put(4, 4, flags);
}

static int enter(void)
{
    unsigned char before[sizeof(mem)];
    int rc;

    memcpy(before, mem, sizeof(mem));
    rc = pvi_xen43_v3_call(&call, X43_BASE + AT);
    pvi_posix_checkpoint(x.f->host);
    CHECK(memcmp(before, mem, AT) == 0 && memcmp(before + AT + 32, mem + AT + 32, AT) == 0);
    return rc;
}

static int run(void)
{
    int rc = enter();

    for (preempted = 0; rc == X43_ERESTART; preempted++) {
        CHECK(preempted < 100000);
        rc = enter();
    }
    return rc;
}

static int map(unsigned ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags)
{
    int rc;

    begin(5, ctx, flags);
    put(8, 8, gfn);
    put(16, 8, dfn);
    put(24, 4, nr);
    put(28, 4, 0x12345678); /* set, not added to */
    rc = run();
    CHECK_EQ(get(24, 4), nr);
    CHECK_EQ(preempted, 0);
    if (nr != 0 && nr <= 256) {
        x43_judge_range(&x, PVI_OP_MAP, ctx, dfn, gfn, nr, flags, 1, rc, get(28, 4));
    } else {
        CHECK_EQ(get(28, 4), 0);
    }
    return rc;
}

static int unmap(unsigned ctx, uint64_t dfn, uint32_t nr)
{
    int rc;

    begin(6, ctx, 0);
    put(8, 8, dfn);
    put(16, 4, nr);
    rc = run();
    CHECK_EQ(preempted, 0);
    if (nr != 0 && nr <= 256) {
        x43_judge_range(&x, PVI_OP_UNMAP, ctx, dfn, 0, nr, 0, 1, rc, get(20, 4));
    } else {
        CHECK_EQ(get(20, 4), 0);
    }
    return rc;
}

static int reattach(unsigned ctx, uint32_t sbdf)
{
    begin(4, ctx, 0);
    put(8, 2, sbdf >> 16);
    put(10, 1, sbdf >> 8 & 0xff);
    put(11, 1, sbdf & 0xff);
    return run();
}

static void told(unsigned code, unsigned ctx, uint32_t flags, unsigned made, uint32_t sbdf)
{
    struct pvi_op sent = {.code = (uint16_t)code, .domid = PVI_DOMID_SELF, .ctx = (uint16_t)ctx, .flags = flags}, got;

    sent.u.reattach.sbdf.v = sbdf;
    got = sent;
    got.ctx = (uint16_t)made;
    CHECK(orc_judge(&x.f->orc, &sent, &got, 0) == NULL);
    x43_check(&x);
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void flip(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    reads += at == PVI_AT_COPY_IN && after;
    if (flipping && after) {
        memset(mem + AT, 0xff, at == PVI_AT_COPY_OUT ? 0 : 32);
    }
}

static void up(struct fx *f, const struct fx_cfg *cfg, bool init)
{
    struct fx_cfg with = *cfg;

    with.no_init = !init;
    fx_up(f, &with);
    memset(&x, 0, sizeof(x));
    memset(&call, 0, sizeof(call));
    x.f = f;
    call.caller = &f->dom;
    flipping = false;
    pvi_posix_hdom_mem(f->hdom, mem, X43_BASE, sizeof(mem));
}

static unsigned context(unsigned dev, uint32_t flags)
{
    unsigned ctx;

    begin(2, 0xeeee, flags);
    CHECK_RC(run(), 0);
    ctx = (unsigned)get(2, 2);
    CHECK_EQ(get(4, 4), flags);
    told(PVI_OP_ALLOC_CONTEXT, 0, flags, ctx, 0);
    CHECK_RC(reattach(ctx, x.f->dev[dev].sbdf.v), 0);
    told(PVI_OP_REATTACH_DEVICE, ctx, 0, ctx, x.f->dev[dev].sbdf.v);
    return ctx;
}

/* Unknown flags and sub-operations. */
static void refused(unsigned clone)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        for (unsigned subop = 3; subop < 8; subop++) {
            begin(subop, clone, 1u << bit);
            put(8, 8, 0);
            CHECK(subop == 5 || run() == X43_EINVAL);
        }
        begin(2, 0, 1u << bit);
        CHECK(bit == 0 || run() == X43_EINVAL);
    }
    for (unsigned subop = 8; subop < 0x10000; subop += subop < 300 ? 1 : 997) {
        begin(subop, 0, 0);
        CHECK_RC(run(), X43_EINVAL);
    }
}

static void life(struct fx *f, const struct fx_cfg *cfg)
{
    unsigned ctx, clone;

    up(f, cfg, true);
    begin(0, 0, 0);
    CHECK_RC(run(), 0);
    begin(1, 0, 0);
    CHECK_RC(run(), 0);
    CHECK_EQ(get(8, 2), 8);
    CHECK_EQ(get(10, 2), 0);
    CHECK_EQ(get(12, 4), 256);
    CHECK_EQ(get(16, 8), f->orc.last_pfn << 12 | 0xfff);
    ctx = context(0, 0);
    clone = context(1, 1);
    CHECK_RC(map(ctx, BASE, GUEST_PV, 256, 3), 0);
    CHECK_RC(map(ctx, BASE, GUEST_PV, 257, 3), X43_E2BIG);
    CHECK_RC(map(0, BASE, GUEST_PV, 0xffffffff, 3), X43_E2BIG);
    CHECK_RC(map(ctx, BASE - 5, GUEST_HVM, 10, 3), X43_EADDRINUSE);
    CHECK_EQ(get(28, 4), 5);
    CHECK_RC(map(clone, 0x200, GUEST_HVM, 1, 3), X43_EADDRINUSE); /* it began 1:1 */
    CHECK_RC(map(ctx, 0xfee00, GUEST_HVM, 1, 3), X43_EADDRNOTAVAIL);
    CHECK_RC(map(ctx, BASE + 0x1000, GUEST_NONE, 1, 3), X43_ENOENT);
    CHECK_RC(map(ctx, BASE + 0x1000, GUEST_RO, 1, 2), X43_EPERM);
    CHECK_RC(map(ctx, f->orc.last_pfn, GUEST_HVM, 2, 3), X43_ERANGE);
    CHECK_RC(map(ctx, BASE + 0x1000, GUEST_RO, 0, 3), 0);
    CHECK_RC(map(7, BASE, GUEST_PV, 0, 3), X43_EINVAL);
    CHECK_RC(map(0, BASE, GUEST_PV, 1, 3), X43_EINVAL);
    CHECK_RC(map(7, BASE, GUEST_PV, 1, 3), X43_EINVAL);
    CHECK_RC(map(ctx, BASE + 0x2000, GUEST_PV, 1, 0), X43_EINVAL);
    CHECK_RC(map(ctx, BASE + 0x2000, GUEST_PV, 1, 4), X43_EINVAL);
    CHECK_RC(map(ctx, UINT64_MAX, GUEST_PV, 2, 3), X43_EINVAL);
    begin(7, ctx, 0);
    put(16, 8, BASE + 100);
    CHECK_RC(run(), 0);
    CHECK_EQ(get(8, 8), GUEST_PV + 100);
    begin(7, ctx, 0);
    put(16, 8, BASE + 300);
    CHECK_RC(run(), X43_ENOENT);
    begin(7, 0, 0);
    put(16, 8, BASE);
    CHECK_RC(run(), X43_EINVAL);
    CHECK_RC(unmap(ctx, BASE - 5, 256), 0);
    CHECK_RC(unmap(ctx, BASE + 251, 256), X43_ENOENT);
    CHECK_EQ(get(20, 4), 5);
    CHECK_RC(unmap(ctx, BASE, 257), X43_E2BIG);
    CHECK_RC(unmap(0, BASE, 1), X43_EINVAL);
    CHECK_RC(unmap(ctx, BASE, 0), 0);
    CHECK_RC(reattach(9, f->dev[0].sbdf.v), X43_ENOENT);
    CHECK_RC(reattach(ctx, 0x12345), X43_ENODEV);
    begin(3, 0, 0);
    CHECK_RC(run(), X43_EINVAL);
    begin(3, 5, 0);
    CHECK_RC(run(), X43_ENOENT);
    begin(3, ctx, 0);
    CHECK_RC(run(), 0); /* its device goes to the default context */
    told(PVI_OP_FREE_CONTEXT, ctx, PVI_FREE_REATTACH, ctx, 0);
    refused(clone);
    x43_check(&x);
    fx_down(f);
}

static void test_life(void **state)
{
    (void)state;
    fx_each(life);
}

static void not_there(struct fx *f, const struct fx_cfg *cfg)
{
    up(f, cfg, false);
    begin(1, 0, 0);
    CHECK_RC(run(), 0);
    CHECK_EQ(get(8, 2), 0);
    begin(2, 0, 0);
    CHECK_RC(run(), X43_ENOSPC);
    begin(3, 1, 0);
    CHECK_RC(run(), X43_ENOENT);
    CHECK_RC(map(1, BASE, GUEST_PV, 1, 3), X43_EINVAL);
    pvi_posix_hdom_may_init(f->hdom, false);
    for (unsigned subop = 0; subop < 10; subop++) {
        begin(subop, 0, 0);
        CHECK_RC(run(), X43_EPERM);
    }
    fx_down(f);
}

static void test_not_there(void **state)
{
    (void)state;
    fx_each(not_there);
}

/* A clone preempted everywhere; its structure read once an entry; calls of 256 pages not preempted at all. */
static void clones(struct fx *f, const struct fx_cfg *cfg)
{
    unsigned ctx, clone;

    up(f, cfg, true);
    pvi_posix_preempt_call(f->host, always, NULL);
    ctx = context(0, 0);
    begin(2, 0xeeee, 1);
    CHECK_RC(run(), 0);
    CHECK(preempted > 2);
    clone = (unsigned)get(2, 2);
    CHECK_EQ(get(4, 4), 1);
    told(PVI_OP_ALLOC_CONTEXT, 0, PVI_ALLOC_IDENTITY, clone, 0);
    CHECK_RC(map(ctx, BASE + 0x1ff, GUEST_HVM, 256, 3), 0);
    CHECK_RC(unmap(ctx, BASE + 0x1ff, 256), 0);
    pvi_posix_hook(f->host, PVI_AT_BIT(PVI_AT_COPY_IN) | PVI_AT_BIT(PVI_AT_FRAME_GET), flip, NULL);
    flipping = true;
    reads = 0;
    begin(5, ctx, 3);
    put(8, 8, GUEST_HVM);
    put(16, 8, BASE);
    put(24, 4, 200);
    CHECK_RC(run(), 0);
    CHECK_EQ(reads, 1);
    x43_judge_range(&x, PVI_OP_MAP, ctx, BASE, GUEST_HVM, 200, 3, 1, 0, get(28, 4));
    flipping = false;
    pvi_posix_hook(f->host, 0, NULL, NULL);
    begin(3, clone, 0);
    CHECK_RC(run(), 0);
    CHECK(preempted != 0);
    told(PVI_OP_FREE_CONTEXT, clone, PVI_FREE_REATTACH, clone, 0);
    pvi_posix_preempt_call(f->host, NULL, NULL);
    fx_down(f);
}

static void test_clones(void **state)
{
    (void)state;
    fx_each(clones);
}

/*
 * The n-th answer cannot be written, of a clone: at its first preemption, or at its end. What has been built goes as far as a call
 * that is preempted again at once comes; the rest when the number is freed, which nobody can take up again.
 */
static void untold(struct fx *f, const struct fx_cfg *cfg)
{
    up(f, cfg, true);
    for (unsigned preempt = 0; preempt < 2; preempt++) {
        pvi_posix_preempt_call(f->host, preempt != 0 ? always : NULL, NULL);
        for (uint64_t nth = 1; nth <= 2; nth++) {
            for (unsigned on = 0; on < 2; on++) {
                begin(2, 0, 1);
                pvi_posix_fail(f->host, PVI_AT_COPY_OUT, nth, on != 0);
                CHECK(run() == (nth <= 1 + preempt ? X43_EFAULT : 0) || nth == 2);
                pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 0, false);
                if (nth == 1 && preempt != 0) {
                    begin(2, 1, 1 | (1 + f->dom.slot[0]->generation % PVI_ALLOC_TOKENS) << 20);
                    CHECK_RC(run(), X43_EINVAL); /* and has taken down the rest */
                    begin(3, 1, 0);
                    CHECK_RC(run(), X43_ENOENT);
                }
                if (nth == 2 && preempt == 0) { /* it could be told */
                    begin(3, 1, 0);
                    CHECK_RC(run(), 0);
                }
                fx_check_loose(f);
                x43_check(&x);
            }
        }
    }
    pvi_posix_fail(f->host, PVI_AT_COPY_IN, 1, false);
    begin(2, 0, 0);
    CHECK_RC(run(), X43_EFAULT);
    x43_check(&x);
    pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 1, false);
    begin(2, 0, 0);
    CHECK_RC(run(), X43_EFAULT);
    x43_check(&x);
    CHECK_RC(pvi_xen43_v3_call(&call, X43_BASE + sizeof(mem) - 31), X43_EFAULT);
    fx_down(f);
}

static void test_untold(void **state)
{
    (void)state;
    fx_each(untold);
}

/*
 * Before the answer that cannot be written another CPU goes on with that clone, or has freed it and made another of that number. The
 * first grows nothing that the call takes down all at once, however often it is to be preempted; the second stays.
 */
static struct {
    struct fx *f;
    bool renew;
    unsigned looks; /* for preemption, since */
} other;

static bool look(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    other.looks++;
    return !other.renew;
}

static void submit(struct pvi_op op)
{
    struct pvi_batch batch = {.ops = &op, .nr = 1};
    int rc;

    op.domid = PVI_DOMID_SELF;
    do {
        rc = pvi_submit(&other.f->dom, &batch);
    } while (rc == -PVI_EPREEMPTED && other.renew);
    CHECK(!other.renew || op.status == 0);
}

static void other_cpu(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_context *ctx = other.f->dom.slot[0];

    (void)opaque;
    (void)at;
    if (after) {
        return;
    }
    if (other.renew) {
        submit((struct pvi_op){.code = PVI_OP_FREE_CONTEXT, .ctx = 1});
        submit((struct pvi_op){.code = PVI_OP_ALLOC_CONTEXT});
    } else {
        for (unsigned i = 0; i < 20; i++) {
            submit((struct pvi_op){.code = PVI_OP_ALLOC_CONTEXT,
                                   .ctx = 1,
                                   .flags = PVI_ALLOC_IDENTITY,
                                   .done = 1 + ctx->generation % PVI_ALLOC_TOKENS});
        }
    }
    other.looks = 0;
}

static void untold_meanwhile(struct fx *f, const struct fx_cfg *cfg)
{
    struct fx_cfg small_pages = *cfg;

    small_pages.page_sizes = 4096; /* each of them takes a leaf */
    for (unsigned k = 0; k < 2; k++) {
        up(f, &small_pages, true);
        other.f = f;
        other.renew = k != 0;
        pvi_posix_preempt_call(f->host, look, NULL);
        pvi_posix_hook(f->host, PVI_AT_BIT(PVI_AT_COPY_OUT), other_cpu, NULL);
        pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 1, true);
        begin(2, 0, k == 0);
        CHECK_RC(pvi_xen43_v3_call(&call, X43_BASE + AT), X43_EFAULT);
        pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 0, false);
        pvi_posix_hook(f->host, 0, NULL, NULL);
        CHECK(other.renew || other.looks == 1); /* a slice, and no more */
        pvi_posix_preempt_call(f->host, NULL, NULL);
        CHECK_EQ(f->dom.slot[0]->state, other.renew ? PVI_CTX_LIVE : PVI_CTX_DYING);
        begin(3, 1, 0);
        CHECK_RC(run(), 0);
        x43_check(&x);
        fx_down(f);
    }
}

static void test_untold_meanwhile(void **state)
{
    (void)state;
    fx_each(untold_meanwhile);
}

/* Marks of continuations that are none of ours: of live contexts, of others, without a number, with other flags. */
static void forged(struct fx *f, const struct fx_cfg *cfg)
{
    unsigned ctx, gave = 0;

    up(f, cfg, true);
    ctx = context(0, 0);
    for (uint32_t token = 1; token < 0x1000; token++) {
        int rc;

        begin(2, ctx, 1 | token << 20);
        rc = run();
        CHECK(rc == X43_EINVAL || (rc == 0 && get(2, 2) == ctx));
        gave += rc == 0;
        begin(2, ctx + 1, 1 | token << 20);
        CHECK_RC(run(), X43_EINVAL);
        begin(2, 0, 1 | token << 20);
        CHECK_RC(run(), X43_EINVAL);
        begin(2, ctx, token << 20);
        CHECK_RC(run(), X43_EINVAL);
    }
    CHECK(gave <= 1);
    x43_check(&x);
    fx_down(f);
}

static void test_forged(void **state)
{
    (void)state;
    fx_each(forged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),   cmocka_unit_test(test_not_there), cmocka_unit_test(test_clones),
        cmocka_unit_test(test_untold), cmocka_unit_test(test_untold_meanwhile), cmocka_unit_test(test_forged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
