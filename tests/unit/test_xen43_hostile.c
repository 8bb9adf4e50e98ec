/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43, hostile guests: memory that changes between two reads, memory that faults, words that no continuation of ours has
 * left behind, contexts that end under a preempted call.
 */
#include <string.h>

#include <pviommu/abi/xen43.h>

#include "xen43_rig.h"

#define BASE 0x40000ull

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* Builds each call again, by hand; its structure is at X43_AT. */
static void prepare(struct x43 *x, unsigned subop, unsigned ctx)
{
    x43_begin(x, subop);
    switch (subop) {
    case 3:
        break;
    case 4:
        x43_put(x, FREE_CTX, ctx);
        break;
    case 5:
        x43_put(x, RE_CTX, ctx);
        x43_put(x, RE_BUS, x->f->dev[1].sbdf.v >> 8);
        x43_put(x, RE_DEVFN, x->f->dev[1].sbdf.v & 0xff);
        break;
    case 6:
        x43_put(x, MAP_CTX, ctx);
        x43_put(x, MAP_GFN, GUEST_HVM);
        x43_put(x, MAP_DFN, BASE);
        x43_put(x, MAP_FLAGS, 3);
        x43_put(x, MAP_PGSIZE, 4096);
        x43_put(x, MAP_NR, 700);
        break;
    case 7:
        x43_put(x, UN_CTX, ctx);
        x43_put(x, UN_DFN, BASE);
        x43_put(x, UN_PGSIZE, 4096);
        x43_put(x, UN_NR, 700);
        break;
    case 13:
        x43_put(x, FL_CTX, ctx);
        x43_put(x, FL_DFN, BASE);
        x43_put(x, FL_PGSIZE, 4096);
        x43_put(x, FL_NR, 1);
        break;
    default:
        x43_put(x, LK_CTX, ctx);
        x43_put(x, LK_DFN, BASE);
        break;
    }
}

/* --- memory that changes -------------------------------------------------------------------------- */

struct flip {
    struct x43 *x;
    unsigned reads; /* structures read */
    unsigned char with;
};

/* Once it has been read all of the structure is something else: also while frames are asked for, and just before the answer. */
static void flip_all(void *opaque, enum pvi_posix_point at, bool after)
{
    struct flip *flip = opaque;

    if (at == PVI_AT_COPY_IN && after) {
        flip->reads++;
    }
    if (at != PVI_AT_COPY_IN || after) {
        memset(flip->x->mem + X43_AT, flip->with, 48);
    }
}

#define POINTS (PVI_AT_BIT(PVI_AT_COPY_IN) | PVI_AT_BIT(PVI_AT_FRAME_GET) | PVI_AT_BIT(PVI_AT_INV_SUBMIT) | PVI_AT_BIT(PVI_AT_FRAME_GFN))

static void changing_calls(struct x43 *x, struct fx *f, struct flip *flip, unsigned ctx)
{
    unsigned other;

    flip->reads = 0;
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 1500, 3, 4096), 0);
    CHECK_EQ(flip->reads, 1 + x->preempted);
    flip->reads = 0;
    CHECK_RC(x43_map(x, ctx, BASE + 0x1000, GUEST_PV, 2, 3, 0x200000), 0);
    CHECK_EQ(flip->reads, 1 + x->preempted);
    flip->reads = 0;
    CHECK_RC(x43_lookup(x, ctx, BASE + 7), 0);
    CHECK_EQ(flip->reads, 1);
    flip->reads = 0;
    CHECK_RC(x43_flush(x, ctx, BASE, 1500, 4096), 0);
    CHECK_EQ(flip->reads, 1);
    flip->reads = 0;
    CHECK_RC(x43_unmap(x, ctx, BASE, 1501, 4096), X43_ENOENT);
    CHECK_EQ(flip->reads, 1 + x->preempted);
    flip->reads = 0;
    CHECK_RC(x43_unmap(x, ctx, BASE + 0x1000, 2, 0x200000), 0);
    CHECK_EQ(flip->reads, 1 + x->preempted);
    flip->reads = 0;
    CHECK_RC(x43_reattach(x, ctx, f->dev[1].sbdf.v), 0);
    CHECK_EQ(flip->reads, 1);
    CHECK_RC(x43_reattach(x, 0, f->dev[1].sbdf.v), 0);
    flip->reads = 0;
    CHECK_RC(x43_alloc(x, 0, &other), 0);
    CHECK_EQ(flip->reads, 1);
    x43_begin(x, 4);
    x43_put(x, FREE_CTX, other);
    flip->reads = 0;
    CHECK_RC(x43_call(x, 4), 0);
    CHECK(flip->reads == 1 + x->preempted);
    f->orc.ctx[other].live = false;
    CHECK_RC(x43_alloc(x, 0, &ctx), 0);
    CHECK_EQ(ctx, other); /* it was that one that went */
}

/* Preempted all the way. A free whose structure changes meanwhile would be another free: not this test's. */
static void changing_preempted(struct x43 *x, struct fx *f, struct flip *flip, unsigned ctx)
{
    flip->reads = 0;
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 1500, 3, 4096), 0);
    CHECK(x->preempted != 0);
    CHECK_EQ(flip->reads, 1 + x->preempted);
    flip->reads = 0;
    CHECK_RC(x43_unmap(x, ctx, BASE, 1501, 4096), X43_ENOENT);
    CHECK_EQ(flip->reads, 1 + x->preempted);
    prepare(x, 3, 0);
    x43_put(x, ALLOC_FLAGS, 1);
    CHECK_RC(x43_call(x, 3), 0);
    CHECK(x->preempted != 0);
    CHECK_EQ(x43_get(x, ALLOC_CTX), ctx + 1);
    pvi_posix_hook(f->host, 0, NULL, NULL);
    pvi_posix_preempt_call(f->host, NULL, NULL);
    fx_check_loose(f);
    prepare(x, 4, ctx + 1);
    CHECK_RC(x43_call(x, 4), 0);
}

static void changing(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const unsigned char with[] = {0, 0xff, 1};
    struct flip flip = {.x = x};
    unsigned ctx;

    for (unsigned i = 0; i < 6; i++) {
        x43_up(x, f, cfg, compat);
        flip.with = with[i % 3];
        x->loose = true;
        x43_begin(x, 2);
        x43_put(x, INIT_CONTEXTS, 4);
        x43_put(x, INIT_ORDER, 6);
        pvi_posix_hook(f->host, POINTS, flip_all, &flip);
        CHECK_RC(x43_call(x, 2), 0);
        CHECK_EQ(f->dom.nr_contexts, 4);
        CHECK_EQ(f->dom.pool.nr_pages, 64);
        pvi_posix_hook(f->host, 0, NULL, NULL);
        f->orc.inited = true;
        f->orc.nr_contexts = 4;
        ctx = x43_context(x, 0);
        pvi_posix_preempt_call(f->host, i >= 3 ? always : NULL, NULL);
        pvi_posix_hook(f->host, POINTS, flip_all, &flip);
        if (i < 3) {
            changing_calls(x, f, &flip, ctx);
        } else {
            changing_preempted(x, f, &flip, ctx);
        }
        pvi_posix_hook(f->host, 0, NULL, NULL);
        pvi_posix_preempt_call(f->host, NULL, NULL);
        x43_check(x);
        fx_end(f, false);
    }
}

static void test_changing_memory(void **state)
{
    (void)state;
    x43_each(changing);
}

/* --- memory that faults --------------------------------------------------------------------------- */

static void out_of_reach(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const unsigned subops[] = {1, 2, 3, 4, 5, 6, 7, 8, 13, 14};
    uint32_t word;

    x43_ready(x, f, cfg, compat);
    for (size_t i = 0; i < sizeof(subops) / sizeof(subops[0]); i++) {
        unsigned size = x43_size(x, subops[i]);

        for (unsigned beyond = 1; beyond <= size; beyond++) { /* the last bytes of it */
            x43_begin(x, subops[i]);
            word = subops[i];
            CHECK_RC(pvi_xen43_call(&x->call, &word, X43_BASE + X43_MEM - size + beyond), X43_EFAULT);
            CHECK_RC(pvi_xen43_call(&x->call, &word, X43_BASE - beyond), X43_EFAULT);
        }
        CHECK_RC(pvi_xen43_call(&x->call, &word, 0), X43_EFAULT);
        CHECK_RC(pvi_xen43_call(&x->call, &word, UINT64_MAX), X43_EFAULT);
    }
    x43_check(x);
    fx_down(f);
}

static void test_out_of_reach(void **state)
{
    (void)state;
    x43_each(out_of_reach);
}

static void faults(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const unsigned subops[] = {3, 4, 5, 6, 7, 13, 14};
    unsigned ctx, i;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (i = 0; i < 7; i++) { /* nothing is done that could not be read */
        prepare(x, subops[i], ctx);
        pvi_posix_fail(f->host, PVI_AT_COPY_IN, 1, false);
        CHECK_RC(x43_call(x, subops[i]), X43_EFAULT);
        x43_check(x);
    }
    pvi_posix_fail(f->host, PVI_AT_COPY_IN, 0, false);
    pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 1, true);
    x43_begin(x, 1);
    CHECK_RC(x43_call(x, 1), X43_EFAULT);
    prepare(x, 3, ctx);
    CHECK_RC(x43_call(x, 3), X43_EFAULT); /* no context stays: the oracle knows of none */
    x43_check(x);
    prepare(x, 5, ctx);
    CHECK_RC(x43_call(x, 5), 0); /* copies nothing out */
    CHECK_EQ(orc_move(&f->orc, orc_dev(&f->orc, f->dev[1].sbdf.v), ctx), 0);
    prepare(x, 6, ctx);
    CHECK_RC(x43_call(x, 6), X43_EFAULT); /* done, only not told */
    x43_judge_range(x, PVI_OP_MAP, ctx, BASE, GUEST_HVM, 700, 3, 1, 0, 700);
    prepare(x, 14, ctx);
    CHECK_RC(x43_call(x, 14), X43_EFAULT);
    prepare(x, 7, ctx);
    CHECK_RC(x43_call(x, 7), X43_EFAULT);
    x43_judge_range(x, PVI_OP_UNMAP, ctx, BASE, 0, 700, 0, 1, 0, 700);
    pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 0, false);
    fx_down(f);
}

static void test_faults(void **state)
{
    (void)state;
    x43_each(faults);
}

/* An identity whose number cannot be told, preempted all the way: it goes in as many calls. With reads failing from the n-th on as well. */
static void identity_untold(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    x43_ready(x, f, cfg, compat);
    pvi_posix_preempt_call(f->host, always, NULL);
    for (uint64_t nth = 0; nth < 40; nth++) {
        prepare(x, 3, 0);
        x43_put(x, ALLOC_FLAGS, 1);
        pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 1, true);
        pvi_posix_fail(f->host, PVI_AT_COPY_IN, nth, true);
        check_step("reads fail from %u on", (unsigned)nth);
        CHECK_RC(x43_call(x, 3), X43_EFAULT);
        CHECK(nth == 1 || x->preempted != 0);
        x43_check(x);
    }
    pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 0, false);
    pvi_posix_fail(f->host, PVI_AT_COPY_IN, 0, false);
    CHECK_RC(x43_alloc(x, 1, NULL), 0);
    fx_down(f);
}

static void test_identity_untold(void **state)
{
    (void)state;
    x43_each(identity_untold);
}

/* Progress of a preempted map or unmap that cannot be written: the call ends with EFAULT, what is done is done. */
static void progress_untold(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (uint64_t nth = 1; nth < 5; nth++) {
        uint32_t left;

        prepare(x, 6, ctx);
        pvi_posix_preempt_call(f->host, always, NULL);
        pvi_posix_fail(f->host, PVI_AT_COPY_OUT, nth, false);
        if (x43_call(x, 6) == 0) {
            CHECK_EQ(pvi_posix_failed(f->host, PVI_AT_COPY_OUT), 0);
        }
        pvi_posix_fail(f->host, PVI_AT_COPY_OUT, 0, false);
        pvi_posix_preempt_call(f->host, NULL, NULL);
        fx_check_loose(f);
        for (left = 700; left != 0;) { /* all that is there, wherever it ended */
            prepare(x, 7, ctx);
            x43_put(x, UN_NR, left);
            if (x43_call(x, 7) == 0) {
                break;
            }
            left = (uint32_t)x43_get(x, UN_UNMAPPED);
        }
        x43_check(x);
    }
    fx_down(f);
}

static void test_progress_untold(void **state)
{
    (void)state;
    x43_each(progress_untold);
}

/* --- words ---------------------------------------------------------------------------------------- */

static int alloc_with(struct x43 *x, unsigned ctx, unsigned token)
{
    x43_begin(x, 3);
    x43_put(x, ALLOC_CTX, 0xeeee);
    x->word = 3u | ctx << 8 | token << 20;
    return x43_enter(x, 3);
}

/* A forged word makes nothing, ends nothing and tells nothing but a number that is the guest's already. */
static void forged(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx, told = 0;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 5, 3, 4096), 0);
    for (unsigned token = 1; token < 0x1000; token++) {
        int rc = alloc_with(x, ctx, token);

        CHECK(rc == 0 ? x43_get(x, ALLOC_CTX) == ctx : rc == X43_ENOENT && x43_get(x, ALLOC_CTX) == 0xeeee);
        told += rc == 0;
    }
    CHECK(told <= 1);
    for (unsigned other = 2; other < 0x1000; other++) {
        CHECK_RC(alloc_with(x, other, 1), X43_ENOENT);
        CHECK_RC(alloc_with(x, other, 0xfff), X43_ENOENT);
    }
    CHECK_RC(alloc_with(x, ctx, 0), X43_EOPNOTSUPP);
    CHECK_RC(alloc_with(x, 0, 1), X43_EOPNOTSUPP);
    x43_check(x);
    CHECK_RC(x43_free(x, ctx, 1), 0);
    for (unsigned token = 1; token < 0x1000; token++) {
        CHECK_RC(alloc_with(x, ctx, token), X43_ENOENT);
    }
    x43_check(x);
    fx_down(f);
}

static void test_forged_words(void **state)
{
    (void)state;
    x43_each(forged);
}

/* --- contexts that end ---------------------------------------------------------------------------- */

/* Another virtual CPU of the guest: calls of its own, memory of its own. */
static int elsewhere(struct x43 *x, struct x43 *cpu, unsigned subop, unsigned ctx)
{
    int rc;

    cpu->f = x->f;
    cpu->compat = x->compat;
    cpu->call.caller = x->call.caller;
    cpu->call.compat = x->compat;
    cpu->mem = cpu->own;
    cpu->base = 0x90000;
    pvi_posix_hdom_mem(x->f->hdom, cpu->mem, cpu->base, X43_MEM);
    pvi_posix_preempt_call(x->f->host, NULL, NULL);
    prepare(cpu, subop, ctx);
    if (subop == 4) {
        x43_put(cpu, FREE_FLAGS, 1);
    }
    rc = x43_call(cpu, subop);
    pvi_posix_preempt_call(x->f->host, always, NULL);
    pvi_posix_hdom_mem(x->f->hdom, x->mem, x->base, X43_MEM);
    return rc;
}

static void ends(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static struct x43 cpu;

    /* After each number of continuations of a map, or of an unmap, or of building an identity, until there is none. */
    for (unsigned what = 0; what < 4; what++) {
        for (unsigned when = 1;; when++) {
            unsigned ctx, entered = 0;
            int rc = X43_ERESTART;

            x43_ready(x, f, cfg, compat);
            ctx = x43_context(x, 0);
            if (what == 1) {
                prepare(x, 6, ctx);
                CHECK_RC(x43_call(x, 6), 0);
            }
            check_step("%u, after %u", what, when);
            prepare(x, what == 0 || what == 3 ? 6 : what == 1 ? 7 : 3, ctx);
            if (what == 2) {
                x43_put(x, ALLOC_FLAGS, 1);
            }
            x->word = what == 0 || what == 3 ? 6 : what == 1 ? 7 : 3;
            pvi_posix_preempt_call(f->host, always, NULL);
            for (; rc == X43_ERESTART && entered < when; entered++) {
                rc = x43_enter(x, x->word & 0xff);
            }
            if (rc == X43_ERESTART) {
                CHECK_RC(elsewhere(x, &cpu, 4, what == 2 ? x->word >> 8 & 0xfff : ctx), 0);
                if (what == 3) { /* the number lives again, as another context */
                    CHECK_RC(elsewhere(x, &cpu, 3, 0), 0);
                }
                do {
                    rc = x43_enter(x, x->word & 0xff);
                } while (rc == X43_ERESTART);
                CHECK_RC(rc, what == 2 ? X43_ENOENT : what == 3 ? 0 : X43_EINVAL);
                entered = UINT32_MAX;
            }
            pvi_posix_preempt_call(f->host, NULL, NULL);
            fx_check_loose(f);
            fx_end(f, false);
            if (entered != UINT32_MAX) {
                break;
            }
        }
    }
}

static void test_contexts_that_end(void **state)
{
    (void)state;
    x43_each(ends);
}

/* On its end, between two continuations of free: nothing can be mapped in it, no device goes there, another free finishes it. */
static void on_its_end(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static struct x43 cpu;
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 0x8000, 3, 4096), 0);
    CHECK_RC(x43_reattach(x, 0, f->dev[0].sbdf.v), 0);
    pvi_posix_preempt_call(f->host, always, NULL);
    prepare(x, 4, ctx);
    x->word = 4;
    CHECK_RC(x43_enter(x, 4), X43_ERESTART);
    CHECK_RC(elsewhere(x, &cpu, 6, ctx), X43_EINVAL);
    CHECK_RC(elsewhere(x, &cpu, 7, ctx), X43_EINVAL);
    CHECK_RC(elsewhere(x, &cpu, 13, ctx), X43_EINVAL);
    CHECK_RC(elsewhere(x, &cpu, 14, ctx), X43_EINVAL);
    CHECK_RC(elsewhere(x, &cpu, 5, ctx), X43_EINVAL); /* the published code's answer; of none it is ENOENT */
    CHECK_RC(elsewhere(x, &cpu, 5, ctx + 1), X43_ENOENT);
    CHECK_RC(elsewhere(x, &cpu, 3, 0), 0);
    CHECK_EQ(x43_get(&cpu, ALLOC_CTX), ctx + 1);
    for (unsigned token = 1; token < 0x1000; token++) { /* the right one may go on taking it down, no more */
        cpu.word = 3u | ctx << 8 | token << 20;
        prepare(&cpu, 3, 0);
        pvi_posix_hdom_mem(f->hdom, cpu.mem, cpu.base, X43_MEM);
        pvi_posix_preempt_call(f->host, NULL, NULL);
        CHECK_RC(x43_enter(&cpu, 3), X43_ENOENT);
    }
    pvi_posix_hdom_mem(f->hdom, x->mem, x->base, X43_MEM);
    CHECK_RC(x43_enter(x, 4), X43_ENOENT); /* and did */
    CHECK_RC(elsewhere(x, &cpu, 4, ctx), X43_ENOENT);
    pvi_posix_preempt_call(f->host, NULL, NULL);
    fx_check_loose(f);
    fx_end(f, false);
}

static void test_on_its_end(void **state)
{
    (void)state;
    x43_each(on_its_end);
}

/*
 * An identity half built is freed elsewhere, its number lives again as another context, and then the first call's structure cannot be
 * read or written: whatever goes, it is not that one. On its end a context is no continuation's either.
 */
static void not_that_one(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static struct x43 cpu;

    for (unsigned what = 0; what < 2; what++) {
        uint32_t word;
        unsigned ctx;

        x43_ready(x, f, cfg, compat);
        pvi_posix_preempt_call(f->host, always, NULL);
        prepare(x, 3, 0);
        x43_put(x, ALLOC_FLAGS, 1);
        x->word = 3;
        CHECK_RC(x43_enter(x, 3), X43_ERESTART);
        word = x->word;
        ctx = word >> 8 & 0xfff;
        CHECK_RC(elsewhere(x, &cpu, 4, ctx), 0);
        CHECK_RC(elsewhere(x, &cpu, 3, 0), 0);
        CHECK_EQ(x43_get(&cpu, ALLOC_CTX), ctx);
        CHECK_RC(elsewhere(x, &cpu, 6, ctx), 0);
        pvi_posix_fail(f->host, what == 0 ? PVI_AT_COPY_IN : PVI_AT_COPY_OUT, 1, true);
        CHECK_RC(x43_enter(x, 3), X43_EFAULT);
        pvi_posix_fail(f->host, what == 0 ? PVI_AT_COPY_IN : PVI_AT_COPY_OUT, 0, false);
        CHECK_RC(elsewhere(x, &cpu, 14, ctx), 0); /* what it mapped is there */
        CHECK_RC(elsewhere(x, &cpu, 4, ctx), 0);
        x->word = word;
        CHECK_RC(x43_enter(x, 3), X43_ENOENT);
        pvi_posix_preempt_call(f->host, NULL, NULL);
        x43_check(x);
        fx_down(f);
    }
}

static void test_not_that_one(void **state)
{
    (void)state;
    x43_each(not_that_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changing_memory),  cmocka_unit_test(test_out_of_reach),  cmocka_unit_test(test_faults),
        cmocka_unit_test(test_identity_untold),  cmocka_unit_test(test_progress_untold), cmocka_unit_test(test_forged_words),
        cmocka_unit_test(test_contexts_that_end), cmocka_unit_test(test_on_its_end),
        cmocka_unit_test(test_not_that_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
