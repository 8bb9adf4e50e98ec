/* SPDX-License-Identifier: MIT */
/*
 * Lookups while others take tables away and the pages come back as tables of another context: what
 * is found is what was mapped in this context, or nothing, never a frame of the other one. The page
 * pool is so small that each page is in use again at once; a page's place decides the frame, and so
 * which context it can only belong to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "threads_rig.h"

#define PAGES 40u   /* of the pool */
#define SPAN  2048u /* four last-level tables */

/* Turns beyond TURNS that the looker may ask for, and answers of each sort that it wants. */
#define PATIENCE 100000u
#define ENOUGH   50u

#define TURNS TH_TIMES(400u, 60u)

struct mapper {
    struct threads_rig *r;
    unsigned ctx;
    uint64_t base, seed;
    unsigned bad;
    int answer;
};

struct looker {
    struct threads_rig *r;
    uint64_t seed, found, absent, busy, gone;
    bool frees; /* context 2 may not be there */
    unsigned wrong;
    uint64_t dfn, gfn;
    int answer;
};

static struct threads_rig rig;
static struct mapper mapper[2];
static struct looker looker;
static atomic_bool stop,
    seen; /* the mappers are done; the looker has seen enough of both answers */

/* Odd frames only, so that no large leaf fits; context 1 and 2 in different halves. */
static uint64_t gfn_of(unsigned ctx, uint64_t at)
{
    return TH_GFN_ANY + ctx * 4 * TH_GIB + 1 + at;
}

static void note(struct mapper *m, int rc)
{
    if (rc != 0 && rc != -PVI_ENOMEM) {
        m->bad++;
        m->answer = rc;
    }
}

/* Everything mapped, everything unmapped: whole tables go, also when a map ran out of pages half
 * way. */
static void turn(struct mapper *m)
{
    uint64_t done;

    note(m, threads_map(m->r, m->ctx, m->base, gfn_of(m->ctx, 0), SPAN, &done));
    if (done != 0) {
        note(m, threads_unmap(m->r, m->ctx, m->base, done, NULL));
    }
}

static bool more_turns(unsigned turns)
{
    return turns < TURNS || (!atomic_load(&seen) && turns < TURNS + PATIENCE);
}

/* One thread for both contexts: what one gives back the other takes next. */
static void *map_in_turn(void *opaque)
{
    unsigned i;

    (void)opaque;
    for (i = 0; more_turns(i); i++) {
        turn(&mapper[i % 2]);
    }
    atomic_store(&stop, true);
    return NULL;
}

static void *map_in_one(void *opaque)
{
    struct mapper *m = opaque;
    unsigned i;

    for (i = 0; more_turns(2 * i); i++) {
        turn(m);
    }
    atomic_store(&stop, true);
    return NULL;
}

/* Context 2 is freed with all that is in it, and made again, while it is looked at. */
static void *map_and_free(void *opaque)
{
    struct mapper *m = &mapper[1];
    unsigned i;

    (void)opaque;
    for (i = 0; more_turns(4 * i); i++) {
        note(m, threads_map(m->r, m->ctx, m->base, gfn_of(m->ctx, 0), SPAN, NULL));
        note(m, threads_renew(m->r, m->ctx));
        turn(&mapper[0]);
    }
    atomic_store(&stop, true);
    return NULL;
}

/* The answer of one lookup judged. */
static void judge(struct looker *k, unsigned ctx, uint64_t at, int rc, uint64_t gfn)
{
    if (rc == 0 && gfn == gfn_of(ctx, at)) {
        k->found++;
    } else if (rc == -PVI_ENOENT) {
        k->absent++;
    } else if (rc == -PVI_ENOCTX && k->frees && ctx == 2) {
        k->gone++;
    } else {
        k->wrong++;
        k->dfn = at;
        k->gfn = gfn;
        k->answer = rc;
    }
    if (k->wrong || (k->found >= ENOUGH && k->absent >= ENOUGH)) {
        atomic_store(&seen, true);
    }
}

static void *look(void *opaque)
{
    struct looker *k = opaque;
    uint64_t at, gfn;
    unsigned ctx;
    int rc;

    while (!atomic_load(&stop)) {
        ctx = 1 + (unsigned)threads_below(&k->seed, 2);
        at = threads_below(&k->seed, SPAN);
        rc = threads_lookup(k->r, ctx, mapper[ctx - 1].base + at, &gfn);
        judge(k, ctx, at, rc, gfn);
    }
    return NULL;
}

/* The same by the engine alone, without any lock. */
static void *look_bare(void *opaque)
{
    struct looker *k = opaque;
    struct pvi_pt_leaf leaf;
    uint64_t at;
    unsigned ctx;
    int rc;

    while (!atomic_load(&stop)) {
        const struct pvi_pt *pt;

        ctx = 1 + (unsigned)threads_below(&k->seed, 2);
        at = threads_below(&k->seed, SPAN);
        pt = &k->r->guest.slot[ctx - 1]->pt;
        rc = pt->cfg.ops->lookup(pt, (mapper[ctx - 1].base + at) << 12, &leaf);
        if (rc == -PVI_EBUSY) {
            k->busy++;
            continue;
        }
        judge(k, ctx, at,
              rc == 0 && (leaf.lg2 != 12 || leaf.pa != threads_pa(gfn_of(ctx, at))) ? -PVI_ERANGE
                                                                                    : rc,
              gfn_of(ctx, at));
    }
    return NULL;
}

static void start(const struct threads_cfg *cfg)
{
    struct threads_cfg small = *cfg;
    unsigned i;

    small.pages = PAGES;
    threads_up(&rig, &small);
    for (i = 0; i < 2; i++) {
        memset(&mapper[i], 0, sizeof(mapper[i]));
        mapper[i].r = &rig;
        mapper[i].ctx = i + 1;
        mapper[i].base = 0x205 * TH_GIB + 512;
    }
    memset(&looker, 0, sizeof(looker));
    looker.r = &rig;
    looker.seed = 0x9E3779B97F4A7C15ull;
    atomic_store(&stop, false);
    atomic_store(&seen, false);
}

static void finish(void)
{
    unsigned i;

    threads_down(&rig);
    for (i = 0; i < 2; i++) {
        if (mapper[i].bad) {
            fail_msg("context %u: %u bad answers, %d for one", i + 1, mapper[i].bad,
                     mapper[i].answer);
        }
    }
    if (looker.wrong) {
        fail_msg("%u wrong lookups: page 0x%llx gave %d, frame 0x%llx", looker.wrong,
                 (unsigned long long)looker.dfn, looker.answer, (unsigned long long)looker.gfn);
    }
    assert_true(looker.found >= ENOUGH && looker.absent >= ENOUGH);
}

static void race(void *(*const fn[])(void *), void *const arg[], unsigned nr)
{
    pthread_t thread[3];
    unsigned i;

    for (i = 0; i < nr; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, fn[i], arg[i]), 0);
    }
    for (i = 0; i < nr; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
}

static void each(void *(*looks)(void *))
{
    const struct threads_cfg *cfg;

    for (cfg = threads_cfgs; cfg->format; cfg++) {
        void *(*const one[])(void *) = {map_in_turn, looks};
        void *(*const two[])(void *) = {map_in_one, map_in_one, looks};
        void *const one_arg[] = {NULL, &looker};
        void *const two_arg[] = {&mapper[0], &mapper[1], &looker};

        start(cfg);
        race(one, one_arg, 2);
        finish();
        start(cfg);
        race(two, two_arg, 3);
        finish();
    }
}

static void by_batches(void **state)
{
    (void)state;
    each(look);
}

static void in_contexts_that_go(void **state)
{
    const struct threads_cfg *cfg;

    (void)state;
    for (cfg = threads_cfgs; cfg->format; cfg++) {
        void *(*const fn[])(void *) = {map_and_free, look};
        void *const arg[] = {NULL, &looker};

        start(cfg);
        looker.frees = true;
        race(fn, arg, 2);
        finish();
    }
}

static void without_a_lock(void **state)
{
    (void)state;
    each(look_bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_batches),
        cmocka_unit_test(in_contexts_that_go),
        cmocka_unit_test(without_a_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
