/* SPDX-License-Identifier: MIT */
/* Hypercall 43: each operation with each of its errors, fields at their boundaries, both layouts (seed 001, table of errors). */
#include <string.h>

#include "xen43_rig.h"

static struct fx other;

static void query_says(struct x43 *x, uint32_t contexts)
{
    const struct orc *o = &x->f->orc;

    x43_begin(x, 1);
    memset(x->mem + X43_AT, X43_GARBAGE, 24);
    CHECK_RC(x43_call(x, 1), 0);
    CHECK_EQ(x43_get(x, CAP_MAX_IOVA), o->last_pfn << 12 | 0xfff);
    CHECK_EQ(x43_get(x, CAP_FLAGS), 0x70u | (o->default_identity ? 1u : 0u) | (o->snoop ? 2u : 0u));
    CHECK_EQ(x43_get(x, CAP_PGSIZES), o->page_sizes & 0x3fffff);
    CHECK_EQ(x43_get(x, CAP_MAX_PASID), 0);
    CHECK_EQ(x43_get(x, CAP_MAX_CTX), contexts);
    CHECK_EQ(x43_get(x, CAP_PAD), 0);
}

static void life(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned a, b;

    x43_up(x, f, cfg, compat);
    query_says(x, 0); /* Linux calls init only then */
    CHECK_RC(x43_init(x, 8, 11), 0);
    query_says(x, 8);
    CHECK_RC(x43_init(x, 8, 11), X43_EACCES); /* the header says -EACCESS: the number is EACCES' */
    CHECK_RC(x43_init(x, 1, 1), X43_EACCES);
    CHECK_RC(x43_init(x, 100, 30), X43_EACCES);
    a = x43_context(x, 0);
    b = x43_context(x, 1);
    CHECK_RC(x43_map(x, a, 0x12345, GUEST_PV + 3, 700, 3, 4096), 0);
    CHECK_RC(x43_map(x, b, 0x12345, GUEST_HVM, 5, 1, 4096), 0);
    CHECK_RC(x43_lookup(x, a, 0x12345 + 699), 0);
    CHECK_EQ(x43_get(x, LK_GFN), GUEST_PV + 3 + 699);
    CHECK_EQ(x43_get(x, LK_PROT), 3);
    CHECK_RC(x43_lookup(x, b, 0x12346), 0);
    CHECK_EQ(x43_get(x, LK_PROT), 1);
    CHECK_RC(x43_lookup(x, b, 0x1234a), X43_ENOENT);
    CHECK_RC(x43_lookup(x, 0, 0x1234a), X43_EINVAL);
    CHECK_RC(x43_unmap(x, a, 0x12345, 701, 4096), X43_ENOENT); /* stops at the first hole */
    CHECK_EQ(x->counted, 700);
    CHECK_RC(x43_flush(x, b, 0x12345, 5, 4096), 0);
    CHECK_RC(x43_reattach(x, b, f->dev[1].sbdf.v), 0); /* it is there */
    CHECK_RC(x43_free(x, a, 0), X43_EBUSY);
    CHECK_RC(x43_map(x, a, 0x12345, GUEST_PV, 1, 3, 4096), 0); /* not left dying: see the defects */
    CHECK_RC(x43_free(x, a, 1), 0);
    CHECK_RC(x43_free(x, a, 0), X43_ENOENT);
    CHECK_RC(x43_reattach(x, 0, f->dev[1].sbdf.v), 0);
    CHECK_RC(x43_free(x, b, 0), 0);
    fx_down(f);
}

static void test_life(void **state)
{
    (void)state;
    x43_each(life);
}

/* Numbers of contexts that are none: 0, free ones, those beyond the limit, up to the last of 16 bits. */
static const unsigned no_ctx[] = {2, 8, 9, 16, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff};

static void contexts(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    const uint32_t dev = f->dev[0].sbdf.v;
    unsigned ctx;

    (void)dev;
    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_EQ(ctx, 1);
    for (size_t i = 0; i < sizeof(no_ctx) / sizeof(no_ctx[0]); i++) {
        check_step("context 0x%x", no_ctx[i]);
        CHECK_RC(x43_map(x, no_ctx[i], 0x1000, GUEST_PV, 1, 3, 4096), X43_EINVAL);
        CHECK_RC(x43_map(x, no_ctx[i], 0x1000, GUEST_PV, 0, 3, 4096), X43_EINVAL);
        CHECK_RC(x43_unmap(x, no_ctx[i], 0x1000, 1, 4096), X43_EINVAL);
        CHECK_RC(x43_unmap(x, no_ctx[i], 0x1000, 0, 4096), X43_EINVAL);
        CHECK_RC(x43_flush(x, no_ctx[i], 0x1000, 1, 4096), X43_EINVAL);
        CHECK_RC(x43_flush(x, no_ctx[i], 0x1000, 0, 4096), X43_EINVAL);
        CHECK_RC(x43_lookup(x, no_ctx[i], 0x1000), X43_EINVAL);
        CHECK_RC(x43_free(x, no_ctx[i], 0), X43_ENOENT);
        CHECK_RC(x43_free(x, no_ctx[i], 1), X43_ENOENT);
        CHECK_RC(x43_reattach(x, no_ctx[i], f->dev[0].sbdf.v), X43_ENOENT);
    }
    check_step("context 0");
    CHECK_RC(x43_map(x, 0, 0x1000, GUEST_PV, 1, 3, 4096), X43_EINVAL);
    CHECK_RC(x43_map(x, 0, 0x1000, GUEST_PV, 0, 3, 4096), X43_EINVAL);
    CHECK_RC(x43_unmap(x, 0, 0x1000, 1, 4096), X43_EINVAL);
    CHECK_RC(x43_unmap(x, 0, 0x1000, 0, 4096), X43_EINVAL);
    CHECK_RC(x43_flush(x, 0, 0x1000, 1, 4096), X43_EINVAL);
    CHECK_RC(x43_free(x, 0, 0), X43_EINVAL);
    CHECK_RC(x43_free(x, 0, 1), X43_EINVAL);
    for (unsigned i = 1; i < 8; i++) {
        CHECK_RC(x43_alloc(x, 0, &ctx), 0);
        CHECK_EQ(ctx, i + 1);
    }
    CHECK_RC(x43_alloc(x, 0, NULL), X43_ENOSPC);
    CHECK_RC(x43_alloc(x, 1, NULL), X43_ENOSPC);
    CHECK_RC(x43_free(x, 5, 0), 0);
    CHECK_RC(x43_alloc(x, 1, &ctx), 0); /* begins as identity: the oracle knows what that is */
    CHECK_EQ(ctx, 5);
    CHECK_RC(x43_reattach(x, 5, f->dev[1].sbdf.v), 0);
    fx_down(f);
}

static void test_contexts(void **state)
{
    (void)state;
    x43_each(contexts);
}

static void flags(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t flag = 1u << bit;

        check_step("flag %x", flag);
        if (bit >= 1) {
            CHECK_RC(x43_alloc(x, flag, NULL), X43_EINVAL);
            CHECK_RC(x43_alloc(x, flag | 1, NULL), X43_EINVAL);
            CHECK_RC(x43_free(x, ctx, flag), X43_EINVAL);
            CHECK_RC(x43_free(x, ctx, flag | 1), X43_EINVAL);
        }
        if (bit >= 4) {
            CHECK_RC(x43_map(x, ctx, 0x1000, GUEST_PV, 1, flag | 3, 4096), X43_EINVAL);
        }
        CHECK_RC(x43_map(x, ctx, 0x2000 + bit, GUEST_PV, 1, flag, 4096), bit < 2 ? 0 : X43_EINVAL);
        x43_begin(x, 5);
        x43_put(x, RE_CTX, ctx);
        x43_put(x, RE_DEVFN, f->dev[1].sbdf.v & 0xff);
        x43_put(x, RE_BUS, f->dev[1].sbdf.v >> 8);
        x43_put(x, RE_PASID, flag);
        CHECK_RC(x43_call(x, 5), X43_EOPNOTSUPP);
    }
    CHECK_RC(x43_map(x, ctx, 0x1000, GUEST_PV, 1, 0, 4096), X43_EINVAL);
    CHECK_RC(x43_map(x, ctx, 0x1000, GUEST_PV, 1, 0xffffffff, 4096), X43_EINVAL);
    for (uint32_t known = 0; known < 16; known++) {
        int want = (known & 3) == 0 ? X43_EINVAL : 0;

        CHECK_RC(x43_map(x, ctx, 0x3000 + known, GUEST_PV, 1, known & 7u, 4096), want);
    }
    for (unsigned bit = 0; bit < 16; bit++) {
        x43_begin(x, 14);
        x43_put(x, LK_CTX, ctx);
        x43_put(x, LK_DFN, 0x3003);
        x43_put(x, LK_RESERVED, 1u << bit);
        CHECK_RC(x43_call(x, 14), X43_EINVAL); /* ours: reserved fields are zero */
    }
    x43_check(x);
    fx_down(f);
}

static void test_flags(void **state)
{
    (void)state;
    x43_each(flags);
}

static void devices(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t sbdf = f->dev[0].sbdf.v ^ 1u << bit;

        if (sbdf != f->dev[1].sbdf.v) {
            check_step("device 0x%x", sbdf);
            CHECK_RC(x43_reattach(x, ctx, sbdf), X43_ENODEV);
            CHECK_RC(x43_reattach(x, 0, sbdf), X43_ENODEV);
        }
    }
    CHECK_RC(x43_reattach(x, ctx, 0), X43_ENODEV);
    CHECK_RC(x43_reattach(x, ctx, 0xffffffff), X43_ENODEV);
    fx_down(f);
}

static void test_devices(void **state)
{
    (void)state;
    x43_each(devices);
}

/* What goes for every operation before anybody has initialised. */
static void before_init(struct x43 *x, bool admitted)
{
    x43_begin(x, 0);
    CHECK_RC(x43_call(x, 0), 0);
    query_says(x, 0);
    CHECK_RC(x43_alloc(x, 0, NULL), admitted ? X43_ENOSPC : X43_ENODEV);
    CHECK_RC(x43_free(x, 1, 0), admitted ? X43_ENOENT : X43_ENODEV);
    CHECK_RC(x43_free(x, 0, 0), admitted ? X43_EINVAL : X43_ENODEV);
    CHECK_RC(x43_reattach(x, 1, x->f->dev[0].sbdf.v), admitted ? X43_ENOENT : X43_ENODEV);
}

/* The same for calls that the rig's judge need not see. */
static int raw(struct x43 *x, unsigned subop)
{
    x43_begin(x, subop);
    return x43_call(x, subop);
}

static void no_init(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const unsigned ranged[] = {6, 7, 13};
    static const enum x43_field size_of[] = {MAP_PGSIZE, UN_PGSIZE, FL_PGSIZE}, ctx_of[] = {MAP_CTX, UN_CTX, FL_CTX};

    x43_up(x, f, cfg, compat);
    x43_begin(x, 0);
    CHECK_RC(x43_call(x, 0), 0);
    query_says(x, 0);
    for (unsigned i = 0; i < 3; i++) {
        x43_begin(x, ranged[i]);
        x43_put(x, size_of[i], 4096);
        x43_put(x, ctx_of[i], 1);
        if (i == 0) {
            x43_put(x, MAP_FLAGS, 3);
        }
        CHECK_RC(x43_call(x, ranged[i]), X43_EINVAL);
    }
    before_init(x, true);
    CHECK_RC(raw(x, 14), X43_EINVAL);
    CHECK_RC(x43_init(x, 0, 3), X43_EINVAL);
    CHECK_RC(x43_init(x, 0xffffffff, 3), X43_E2BIG);
    CHECK_RC(x43_init(x, 0xfffffffe, 3), X43_E2BIG);
    CHECK_RC(x43_init(x, 0x80000000, 3), X43_E2BIG);
    CHECK_RC(x43_init(x, 17, 3), X43_E2BIG);
    CHECK_RC(x43_init(x, 8, 12), X43_ENOMEM); /* the fixture grants 4000 pages */
    CHECK_RC(x43_init(x, 8, 31), X43_ENOMEM);
    CHECK_RC(x43_init(x, 8, 32), X43_ENOMEM);
    CHECK_RC(x43_init(x, 8, 0x80000000), X43_ENOMEM);
    CHECK_RC(x43_init(x, 8, 0xffffffff), X43_ENOMEM);
    for (uint32_t high = 0; high < 0x10000; high += 0x1fff) { /* a count of 16 bits that becomes 0 */
        x43_begin(x, 2);
        x43_put(x, INIT_CONTEXTS, high << 16 | 0xffff);
        x43_put(x, INIT_ORDER, 3);
        CHECK_RC(x43_call(x, 2), high == 0xffff ? X43_E2BIG : X43_EINVAL);
    }
    CHECK_RC(x43_init(x, 16, 3), 0);
    query_says(x, 16);
    fx_down(f);
}

static void test_no_init(void **state)
{
    (void)state;
    x43_each(no_init);
}

/* Seed 001 and the issue: others see no contexts and get ENODEV for everything; the host's hook admits them. */
static void not_admitted(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const unsigned subops[] = {2, 3, 4, 5, 6, 7, 13, 14};

    x43_up(x, f, cfg, compat);
    pvi_posix_hdom_may_init(f->hdom, false);
    f->orc.may_init = false;
    x43_begin(x, 0);
    CHECK_RC(x43_call(x, 0), 0);
    query_says(x, 0);
    for (size_t i = 0; i < sizeof(subops) / sizeof(subops[0]); i++) {
        check_step("sub-operation %u", subops[i]);
        CHECK_RC(raw(x, subops[i]), X43_ENODEV);
        memset(x->mem, 0xff, X43_MEM);
        CHECK_RC(x43_call(x, subops[i]), X43_ENODEV);
    }
    CHECK_RC(x43_init(x, 8, 5), X43_ENODEV);
    pvi_posix_hdom_may_init(f->hdom, true);
    f->orc.may_init = true;
    CHECK_RC(x43_init(x, 8, 5), 0);
    pvi_posix_hdom_may_init(f->hdom, false);
    CHECK_RC(x43_alloc(x, 0, NULL), 0); /* somebody has */
    fx_down(f);
}

static void test_not_admitted(void **state)
{
    (void)state;
    x43_each(not_admitted);
}

static void test_no_iommu(void **state)
{
    static const unsigned subops[] = {2, 3, 4, 5, 6, 7, 13, 14};
    struct fx_cfg cfg = {.kind = FX_NULL};
    static struct x43 x;
    struct pvi_domain_cfg dc;
    struct pvi_system none;
    struct pvi_domain bare;

    (void)state;
    for (unsigned compat = 0; compat < 2; compat++) {
        struct pvi_hdom *hdom;

        check_case("no IOMMU, %u-bit", compat != 0 ? 32 : 64);
        x43_up(&x, &other, &cfg, compat != 0);
        hdom = pvi_posix_hdom_new(other.host, 9);
        memset(&none, 0, sizeof(none));
        dc = fx_domain_cfg(&other);
        dc.hdom = hdom;
        dc.system = &none;
        CHECK_EQ(pvi_domain_init(&bare, other.host, &dc), 0);
        pvi_posix_hdom_mem(hdom, x.mem, X43_BASE, X43_MEM);
        x.call.caller = &bare;
        x43_begin(&x, 0);
        CHECK_RC(x43_call(&x, 0), 0);
        memset(x.mem, X43_GARBAGE, X43_MEM);
        CHECK_RC(x43_call(&x, 1), 0);
        for (unsigned i = 0; i < 24; i++) {
            CHECK_EQ(x.mem[X43_AT + i], 0);
        }
        for (size_t i = 0; i < sizeof(subops) / sizeof(subops[0]); i++) {
            CHECK_RC(raw(&x, subops[i]), X43_ENODEV);
            memset(x.mem, 0xff, X43_MEM);
            CHECK_RC(x43_call(&x, subops[i]), X43_ENODEV);
        }
        x43_begin(&x, 6);
        x43_put(&x, MAP_CTX, 1);
        x43_put(&x, MAP_FLAGS, 3);
        x43_put(&x, MAP_PGSIZE, 4096);
        CHECK_RC(x43_call(&x, 6), X43_ENODEV);
        x43_put(&x, MAP_NR, 1);
        CHECK_RC(x43_call(&x, 6), X43_ENODEV);
        pvi_domain_kill(&bare);
        CHECK_EQ(pvi_domain_destroy(&bare), 0);
        pvi_posix_hdom_free(hdom);
        fx_down(&other);
    }
}

static void unknown(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const uint32_t words[] = {9, 10, 11, 12, 15, 16, 0x7f, 0x80, 0xfe, 0xff};
    unsigned char before[X43_MEM];

    x43_ready(x, f, cfg, compat);
    memset(x->mem, X43_GARBAGE, X43_MEM);
    memcpy(before, x->mem, sizeof(before));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        CHECK_RC(x43_call(x, words[i]), X43_EOPNOTSUPP);
    }
    for (unsigned subop = 0; subop < 256; subop++) { /* a bit above the number makes another number of it */
        for (unsigned bit = 8; bit < 32; bit++) {
            check_step("word 0x%x", 1u << bit | subop);
            CHECK_RC(x43_call(x, 1u << bit | subop), X43_EOPNOTSUPP);
        }
    }
    CHECK_RC(x43_call(x, 0xffffff00), X43_EOPNOTSUPP);
    CHECK_RC(x43_call(x, 0xffffffff), X43_EOPNOTSUPP);
    CHECK(memcmp(before, x->mem, sizeof(before)) == 0);
    x43_check(x);
    fx_down(f);
}

static void test_unknown(void **state)
{
    (void)state;
    x43_each(unknown);
}

static void dying(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const unsigned subops[] = {2, 3, 4, 5, 6, 7, 13, 14};

    x43_ready(x, f, cfg, compat);
    pvi_domain_kill(&f->dom);
    for (size_t i = 0; i < sizeof(subops) / sizeof(subops[0]); i++) {
        x43_begin(x, subops[i]);
        x43_put(x, subops[i] == 6 ? MAP_PGSIZE : subops[i] == 7 ? UN_PGSIZE : FL_PGSIZE, 4096);
        if (subops[i] == 6) {
            x43_put(x, MAP_FLAGS, 3);
        } else if (subops[i] == 2) {
            x43_put(x, INIT_CONTEXTS, 1);
        } else if (subops[i] == 4) {
            x43_put(x, FREE_CTX, 1);
        }
        CHECK_RC(x43_call(x, subops[i]), X43_ESRCH);
    }
    fx_end(f, false);
}

static void test_dying(void **state)
{
    (void)state;
    x43_each(dying);
}

/* A PV guest's front end takes a page of 2 MiB for one that it may name by its first frame. */
static void test_scattered(void **state)
{
    static const struct fx_cfg cfg = {.kind = FX_VTD};
    static struct fx f;
    static struct x43 x;
    struct pvi_domain_cfg dc;
    unsigned ctx;

    (void)state;
    check_case("scattered frames");
    fx_machine(&f, &cfg);
    dc = fx_domain_cfg(&f);
    dc.scattered = true;
    fx_domain(&f, &dc);
    x43_attach(&x, &f, false);
    x43_begin(&x, 1);
    CHECK_RC(x43_call(&x, 1), 0);
    CHECK_EQ(x43_get(&x, CAP_PGSIZES), 0x1000);
    CHECK_RC(x43_init(&x, 8, 8), 0);
    CHECK_RC(x43_alloc(&x, 0, &ctx), 0);
    CHECK_RC(x43_map(&x, ctx, 0x200, GUEST_PV, 1, 3, 0x200000), 0);
    fx_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),      cmocka_unit_test(test_contexts),     cmocka_unit_test(test_flags),
        cmocka_unit_test(test_devices),   cmocka_unit_test(test_no_init),      cmocka_unit_test(test_not_admitted),
        cmocka_unit_test(test_no_iommu),  cmocka_unit_test(test_unknown),      cmocka_unit_test(test_dying),
        cmocka_unit_test(test_scattered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
