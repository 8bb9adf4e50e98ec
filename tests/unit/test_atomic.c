/* SPDX-License-Identifier: MIT */
/*
 * Batches that happen whole or not at all: failing at each operation, preempted at each checkpoint, short of pages at each
 * allocation, with another vCPU in between, with a domain that dies and a unit that fails on the way. The fixture's oracle, which knows
 * nothing of transactions, says what must be translated before and after.
 */
#include <string.h>

#include "fixture.h"

#define A_2M 0x40000ull   /* two leaves of 2 MiB and a tail, writable */
#define A_1G 0x80000ull   /* a leaf of 1 GiB */
#define A_HVM 0x200000ull /* single pages */
#define A_SCATTER 0x300000ull
#define A_NEW 0x310000ull
#define GIG 0x40000ull

static struct fx f;
static unsigned a, b; /* contexts; device 0 is in a, device 1 in the default one */

static void expect_all(void)
{
    CHECK_EQ(fx_submit(&f), 0);
    fx_judge(&f);
    fx_dma(&f);
}

/* Two contexts with leaves of all sorts. */
static void begin(const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;

    cfg.levels = 4;
    fx_up(&f, &cfg);
    a = fx_context(&f, 0);
    fx_begin(&f);
    fx_alloc(&f, 0);
    fx_expect(&f, 0);
    b = f.op[0].ctx;
    fx_begin(&f);
    fx_map(&f, a, A_2M, GUEST_PV, 0x403, PVI_RW);
    fx_map(&f, a, A_1G, GUEST_PV, GIG, PVI_RW);
    fx_map(&f, a, A_HVM, GUEST_HVM, 700, PVI_READ);
    fx_map(&f, a, A_SCATTER, GUEST_SCATTER, 20, PVI_RW);
    fx_map(&f, b, A_2M, GUEST_KEPT, 0x200, PVI_RW);
    fx_expect(&f, 0);
}

/* Operations of every sort, each on what those before it have left. */
static void compose(void)
{
    fx_begin(&f);
    fx_unmap(&f, a, A_2M + 0x100, 0x200);               /* cuts two leaves of 2 MiB */
    fx_map(&f, a, A_2M + 0x100, GUEST_SCATTER, 0x200, PVI_READ);
    fx_reattach(&f, b, 0);
    fx_rights(&f, a, A_1G + 0x1000, 0x300, PVI_READ);   /* cuts a leaf of 1 GiB */
    fx_unmap(&f, a, A_2M + 0x100, 0x200);               /* as many runs as frames, none of which was there when it began */
    fx_rights(&f, a, A_HVM + 5, 10, PVI_RW);
    fx_unmap(&f, a, A_HVM, 700);                        /* a table and a half: empty afterwards */
    fx_map(&f, a, A_HVM & ~0x1ffull, GUEST_PV, 0x400, PVI_RW); /* large leaves would fit over the empty tables */
    fx_rights(&f, a, A_SCATTER + 3, 10, PVI_READ);
    fx_unmap(&f, a, A_SCATTER, 20);
    fx_reattach(&f, a, 1);
    fx_map(&f, b, A_NEW, GUEST_PV + 0x1000, 0x1000, PVI_RW);
    fx_reattach(&f, a, 0);
    fx_unmap(&f, b, A_2M, 0x200);
    fx_unmap(&f, a, A_1G + 0x2000, 0x100);              /* nothing flushes this but the end */
    fx_op(&f, PVI_OP_NOOP, 0);
    f.batch.flags = PVI_BATCH_ATOMIC;
}

#define COMPOSED 16u

/* The batch failed at operation k with that status, and nothing has happened. */
static void judge_nothing(unsigned k, int status)
{
    for (unsigned i = 0; i < f.nr_ops; i++) {
        check_step("operation %u of %u, which fails at %u: %s", i, f.nr_ops, k, pvi_strerror(f.op[i].status));
        CHECK_EQ(f.op[i].status, i == k ? status : -PVI_ECANCELED);
        CHECK_EQ(f.op[i].done, 0);
        CHECK(i == k || f.op[i].fault == 0);
    }
    CHECK_EQ(f.batch.next, f.nr_ops);
    fx_check(&f);
    fx_dma(&f);
}

static void whole(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    begin(cfg);
    compose();
    expect_all();
    for (unsigned i = 0; i < f.nr_ops; i++) {
        CHECK_EQ(f.op[i].status, 0);
    }
    fx_down(&f);
}

static void test_whole(void **state)
{
    (void)state;
    fx_each(whole);
}

/* Puts an operation that must fail at place k of the batch. */
static int spoil(unsigned k, unsigned how)
{
    struct pvi_op bad;

    memset(&bad, 0, sizeof(bad));
    bad.domid = PVI_DOMID_SELF;
    bad.ctx = (uint16_t)b;
    bad.code = PVI_OP_MAP;
    bad.flags = PVI_RW;
    bad.u.map.gfn.f = GUEST_HVM;
    bad.u.map.nr = 1;
    switch (how) {
    case 0: /* half of it finds room */
        bad.ctx = (uint16_t)a;
        bad.u.map.dfn.f = A_1G - 0x80;
        bad.u.map.nr = 0x100;
        f.op[k] = bad;
        return -PVI_EEXIST;
    case 1: /* a hole in the middle: nothing of it may go */
        bad.ctx = (uint16_t)a;
        bad.code = PVI_OP_UNMAP;
        bad.flags = 0;
        bad.u.unmap.dfn.f = A_1G + GIG - 0x10;
        bad.u.unmap.nr = 0x20;
        f.op[k] = bad;
        return -PVI_ENOENT;
    case 2:
        bad.u.map.gfn.f = GUEST_NONE;
        f.op[k] = bad;
        return -PVI_ENOFRAME;
    case 3:
        bad.code = PVI_OP_RIGHTS;
        bad.ctx = (uint16_t)a;
        bad.flags = 0;
        bad.u.unmap.dfn.f = A_1G;
        bad.u.unmap.nr = 1;
        f.op[k] = bad;
        return -PVI_EFLAGS;
    default:
        bad.code = PVI_OP_REATTACH_DEVICE;
        bad.flags = 0;
        bad.u.reattach.sbdf.v = 0x77777;
        f.op[k] = bad;
        return -PVI_ENODEV;
    }
}

static void failing(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    begin(cfg);
    for (unsigned k = 0; k < COMPOSED; k++) {
        for (unsigned how = 0; how < 5; how++) {
            int status;

            compose();
            status = spoil(k, how);
            CHECK_EQ(fx_submit(&f), 0);
            judge_nothing(k, status);
        }
    }
    compose();
    pvi_posix_fail(f.host, PVI_AT_DID_ALLOC, 1, false); /* context b is on no unit yet: the first move fails, with its old home held */
    CHECK_EQ(fx_submit(&f), 0);
    judge_nothing(2, -PVI_ENOSPC);
    compose();
    expect_all();
    fx_down(&f);
}

static void test_failing_at_each(void **state)
{
    (void)state;
    fx_each(failing);
}

/* --- preempted ------------------------------------------------------------------------------------ */

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* Another vCPU, while the batch stands: it may read, and change other contexts, but none of the batch's. */
static bool intrude(void *opaque, uint64_t nr)
{
    static struct pvi_batch other;
    struct pvi_op op[6];
    static bool inside;
    unsigned *seen = opaque;

    if (inside) {
        return false;
    }
    if (nr % 3 != 0 || f.dom.tx.batch == NULL || f.dom.tx.phase == 0) {
        return nr % 3 == 1;
    }
    memset(&other, 0, sizeof(other));
    memset(op, 0, sizeof(op));
    for (unsigned i = 0; i < 6; i++) {
        op[i].domid = PVI_DOMID_SELF;
        op[i].ctx = (uint16_t)(i % 2 ? b : a);
    }
    op[0].code = PVI_OP_MAP;
    op[0].flags = PVI_RW;
    op[0].u.map.dfn.f = A_NEW + 0x8000;
    op[0].u.map.gfn.f = GUEST_PV;
    op[0].u.map.nr = 1;
    op[1].code = PVI_OP_UNMAP;
    op[1].u.unmap.dfn.f = A_2M;
    op[1].u.unmap.nr = 1;
    op[2].code = PVI_OP_RIGHTS;
    op[2].flags = PVI_READ;
    op[2].u.unmap.dfn.f = A_1G;
    op[2].u.unmap.nr = 1;
    op[3].code = PVI_OP_FREE_CONTEXT;
    op[3].flags = PVI_FREE_REATTACH;
    op[4].code = PVI_OP_REATTACH_DEVICE;
    op[4].u.reattach.sbdf = f.dev[1].sbdf;
    op[5].code = PVI_OP_LOOKUP;
    op[5].ctx = (uint16_t)a;
    op[5].u.lookup.dfn.f = A_1G + 5;
    other.ops = op;
    other.nr = 6;
    inside = true;
    CHECK_EQ(pvi_submit(&f.dom, &other), 0);
    for (unsigned i = 0; i < 5; i++) {
        check_step("intruder, operation %u: %s", i, pvi_strerror(op[i].status));
        CHECK_EQ(op[i].status, -PVI_EBUSY);
    }
    CHECK_EQ(op[5].status, 0);
    memset(&other, 0, sizeof(other));
    op[0].status = 0;
    other.ops = op;
    other.nr = 1;
    other.flags = PVI_BATCH_ATOMIC;
    CHECK_EQ(pvi_submit(&f.dom, &other), 0);
    CHECK_EQ(op[0].status, -PVI_EBUSY);
    inside = false;
    ++*seen;
    return false;
}

static void preempted(struct fx *fx, const struct fx_cfg *cfg)
{
    unsigned seen = 0;

    (void)fx;
    begin(cfg);
    for (unsigned k = 0; k < COMPOSED; k++) {
        int status;

        compose();
        status = spoil(k, k % 5);
        pvi_posix_preempt_call(f.host, always, NULL);
        CHECK_EQ(fx_submit(&f), 0);
        pvi_posix_preempt_call(f.host, NULL, NULL);
        CHECK(f.preempted > k);
        judge_nothing(k, status);
    }
    compose();
    (void)spoil(COMPOSED - 1, 0);
    pvi_posix_preempt_call(f.host, intrude, &seen);
    CHECK_EQ(fx_submit(&f), 0);
    pvi_posix_preempt_call(f.host, NULL, NULL);
    judge_nothing(COMPOSED - 1, -PVI_EEXIST);
    CHECK(seen > 10);
    compose();
    pvi_posix_preempt_call(f.host, always, NULL);
    expect_all();
    pvi_posix_preempt_call(f.host, NULL, NULL);
    CHECK(f.preempted > COMPOSED);
    fx_down(&f);
}

static void test_preempted(void **state)
{
    (void)state;
    fx_each(preempted);
}

/* --- short of pages ------------------------------------------------------------------------------- */

/* Leaves the pool with nr pages, for as long as the batch runs. */
static void short_of_pages(struct fx *fx, const struct fx_cfg *cfg)
{
    struct pvi_page *taken = NULL;
    bool done = false;

    (void)fx;
    begin(cfg);
    for (uint32_t nr = 0; !done; nr++) {
        struct pvi_quota nobody = {.limit = UINT32_MAX};
        struct pvi_pool_usage pool;

        pvi_pool_usage(&f.dom.pool, &pool);
        CHECK(nr < pool.nr_free);
        f.held = pool.nr_free - nr;
        CHECK_EQ(pvi_pool_take(&f.dom.pool, &nobody, f.held, 0, PVI_PAGE_LIST, &taken), 0);
        check_step("%u pages", nr);
        compose();
        CHECK_EQ(fx_submit(&f), 0);
        done = f.op[0].status == 0 && f.op[1].status == 0;
        if (!done) {
            unsigned k = 0;

            while (k < f.nr_ops && f.op[k].status == -PVI_ECANCELED) {
                k++;
            }
            judge_nothing(k, -PVI_ENOMEM);
        }
        pvi_pool_put_list(&f.dom.pool, taken);
        f.held = 0;
    }
    fx_judge(&f);
    fx_down(&f);
}

static void test_short_of_pages(void **state)
{
    (void)state;
    fx_each(short_of_pages);
}

/* Takes all pages that are free while the batch stands, as another context may. */
static bool grab(void *opaque, uint64_t nr)
{
    static struct pvi_quota nobody = {.limit = UINT32_MAX};
    struct pvi_page **taken = opaque, *more, *last;
    struct pvi_pool_usage pool;

    pvi_pool_usage(&f.dom.pool, &pool);
    if (f.dom.tx.phase >= 2 && f.dom.tx.op > 8 && pool.nr_free != 0) { /* most of it has run */
        CHECK_EQ(pvi_pool_take(&f.dom.pool, &nobody, pool.nr_free, 0, PVI_PAGE_LIST, &more), 0);
        for (last = more; last->next; last = last->next) {
        }
        last->next = *taken;
        *taken = more;
        f.held += pool.nr_free;
    }
    (void)nr;
    return true;
}

/* The way back needs no page, whoever has taken those that the batch itself gave back meanwhile. */
static void pages_gone(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    begin(cfg);
    for (unsigned k = 12; k < COMPOSED; k++) {
        struct pvi_page *taken = NULL;

        compose();
        (void)spoil(k, 2);
        pvi_posix_preempt_call(f.host, grab, &taken);
        CHECK_EQ(fx_submit(&f), 0);
        pvi_posix_preempt_call(f.host, NULL, NULL);
        CHECK(taken);
        CHECK_EQ(f.op[k].status == -PVI_EHW, false);
        for (unsigned i = 0; i < f.nr_ops; i++) {
            CHECK(f.op[i].status == -PVI_ECANCELED || f.op[i].status == -PVI_ENOMEM || i == k);
        }
        fx_check(&f);
        pvi_pool_put_list(&f.dom.pool, taken);
        f.held = 0;
    }
    fx_down(&f);
}

static void test_pages_gone(void **state)
{
    (void)state;
    fx_each(pages_gone);
}

/* --- trouble -------------------------------------------------------------------------------------- */

struct death {
    uint64_t at;
    bool dead;
};

static bool die(void *opaque, uint64_t nr)
{
    struct death *d = opaque;

    if (nr == d->at) {
        pvi_domain_kill(&f.dom);
        d->dead = true;
    }
    return d->dead;
}

/* The domain dies at checkpoint n; whoever takes devices away finds them where they were, and every frame comes back. */
static void dying(struct fx *fx, const struct fx_cfg *cfg)
{
    bool more = true;

    (void)fx;
    for (uint64_t at = 0; more; at += 1 + at / 5) {
        struct death d = {at, false};

        begin(cfg);
        check_step("dies at checkpoint %u", (unsigned)at);
        compose();
        f.batch.ops = f.op;
        f.batch.nr = f.nr_ops;
        pvi_posix_preempt_call(f.host, die, &d);
        more = pvi_submit(&f.dom, &f.batch) == -PVI_EPREEMPTED;
        pvi_posix_preempt_call(f.host, NULL, NULL);
        CHECK_EQ(more, d.dead);
        fx_end(&f, false);
    }
}

static void test_death(void **state)
{
    (void)state;
    fx_each(dying);
}

/* The n-th wait fails: all say so, and nothing that may be cached is released. */
static void hardware(struct fx *fx, const struct fx_cfg *cfg)
{
    uint64_t failed = cfg->kind == FX_NULL; /* a model whose unit has failed is of no use any more */

    (void)fx;
    for (uint64_t nth = 1; failed != 0; nth++) {
        begin(cfg);
        check_step("wait %u fails", (unsigned)nth);
        compose();
        pvi_posix_preempt_call(f.host, always, NULL);
        pvi_posix_fail(f.host, PVI_AT_INV_WAIT, nth, true);
        CHECK_EQ(fx_submit(&f), 0);
        failed = pvi_posix_failed(f.host, PVI_AT_INV_WAIT);
        pvi_posix_preempt_call(f.host, NULL, NULL);
        if (failed == 0) {
            pvi_posix_fail(f.host, PVI_AT_INV_WAIT, 0, false);
        }
        for (unsigned i = 0; i < f.nr_ops && failed != 0; i++) {
            CHECK_EQ(f.op[i].status, -PVI_EHW);
            CHECK_EQ(f.op[i].done, 0);
        }
        fx_end(&f, failed != 0);
    }
}

static void test_hardware(void **state)
{
    (void)state;
    fx_each(hardware);
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void test_refused(void **state)
{
    static struct pvi_op many[PVI_ATOMIC_OPS + 1];
    static const struct fx_cfg cfg = {.kind = FX_VTD};

    (void)state;
    begin(&cfg);
    compose();
    f.op[4].code = PVI_OP_FLUSH;
    CHECK_EQ(fx_submit(&f), 0);
    judge_nothing(4, -PVI_EINVAL);
    compose();
    f.op[5].domid = 3;
    CHECK_EQ(fx_submit(&f), 0);
    judge_nothing(5, -PVI_EINVAL);
    compose();
    f.op[7].done = 1;
    CHECK_EQ(fx_submit(&f), 0);
    for (unsigned i = 0; i < f.nr_ops; i++) {
        CHECK_EQ(f.op[i].status, i == 7 ? -PVI_EINVAL : -PVI_ECANCELED);
    }
    compose();
    f.batch.flags = PVI_BATCH_ATOMIC | PVI_BATCH_STOP;
    f.batch.ops = f.op;
    f.batch.nr = f.nr_ops;
    CHECK_EQ(pvi_submit(&f.dom, &f.batch), -PVI_EINVAL);
    for (unsigned i = 0; i <= PVI_ATOMIC_OPS; i++) {
        many[i].domid = PVI_DOMID_SELF;
    }
    memset(&f.batch, 0, sizeof(f.batch));
    f.batch.ops = many;
    f.batch.nr = PVI_ATOMIC_OPS + 1;
    f.batch.flags = PVI_BATCH_ATOMIC;
    CHECK_EQ(pvi_submit(&f.dom, &f.batch), 0);
    CHECK_EQ(many[0].status, -PVI_ELIMIT);
    f.batch.nr--;
    f.batch.next = 0;
    CHECK_EQ(pvi_submit(&f.dom, &f.batch), 0);
    CHECK_EQ(many[0].status, 0);
    fx_begin(&f);
    fx_op(&f, PVI_OP_QUERY_CAPS, 0);
    fx_expect(&f, 0);
    CHECK_EQ(f.op[0].u.caps.atomic_ops, PVI_ATOMIC_OPS);
    fx_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),          cmocka_unit_test(test_failing_at_each), cmocka_unit_test(test_preempted),
        cmocka_unit_test(test_short_of_pages), cmocka_unit_test(test_pages_gone), cmocka_unit_test(test_death),           cmocka_unit_test(test_hardware),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
