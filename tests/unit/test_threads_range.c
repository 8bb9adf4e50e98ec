/* SPDX-License-Identifier: MIT */
/*
 * Two vCPUs that map and unmap in one context at once, through pvi_submit(). In gigabytes of their
 * own neither may notice the other: each answer is the one that a flat model gives. In the same
 * pages anything defined may be answered, but the tables, the frames that they hold and the pages
 * that they take must agree at the end. The recording host judges each store and flush on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "threads_rig.h"

#define VCPUS 2u

#define ROUNDS TH_TIMES(1000u, 250u)

struct vcpu {
    struct threads_rig *r;
    unsigned nr;
    uint64_t seed, base; /* its gigabyte */
    struct flat *now;    /* what is in it */
    unsigned bad, good;
    char why[160]; /* the first bad answer */
};

static struct threads_rig rig;
static struct vcpu vcpu[VCPUS];

static void race(void *(*fn)(void *))
{
    pthread_t thread[VCPUS];
    unsigned i;

    for (i = 0; i < VCPUS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, fn, &vcpu[i]), 0);
    }
    for (i = 0; i < VCPUS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
}

static void complain(struct vcpu *v, const char *what, uint64_t dfn, uint64_t nr, int rc,
                     uint64_t done)
{
    if (v->bad++ == 0) {
        snprintf(v->why, sizeof(v->why), "vCPU %u: %s 0x%llx + 0x%llx: %d after 0x%llx", v->nr,
                 what, (unsigned long long)dfn, (unsigned long long)nr, rc,
                 (unsigned long long)done);
    }
}

static void start(const struct threads_cfg *cfg, uint64_t seed)
{
    unsigned i;

    threads_up(&rig, cfg);
    for (i = 0; i < VCPUS; i++) {
        memset(&vcpu[i], 0, sizeof(vcpu[i]));
        vcpu[i].r = &rig;
        vcpu[i].nr = i;
        vcpu[i].seed = seed * (2 * i + 1);
        /* Neighbours: only the tables above them are common. */
        vcpu[i].base = (0x200 + 5 + i) * TH_GIB;
        vcpu[i].now = flat_new();
    }
}

/* A bad answer ends its thread: it is told before anything that follows from that. */
static void report(void)
{
    unsigned i;

    for (i = 0; i < VCPUS; i++) {
        if (vcpu[i].bad) {
            fail_msg("%u bad answers; %s", vcpu[i].bad, vcpu[i].why);
        }
    }
}

static void finish(void)
{
    unsigned i;

    for (i = 0; i < VCPUS; i++) {
        flat_free(vcpu[i].now);
    }
    threads_down(&rig);
}

/* Disjoint gigabytes --------------------------------------------------------------------------- */

static void own_map(struct vcpu *v, uint64_t at, uint64_t nr, uint64_t gfn)
{
    uint64_t done, taken = 0;
    bool meets = flat_overlap(v->now, v->base + at, nr, &taken);
    uint64_t want = meets ? taken - (v->base + at) : nr;
    int rc = threads_map(v->r, 1, v->base + at, gfn, nr, &done);

    if (rc != (meets ? -PVI_EEXIST : 0) || done != want) {
        complain(v, "map", v->base + at, nr, rc, done);
    }
    if (done) {
        flat_map(v->now, v->base + at, done, threads_pa(gfn), FLAT_R | FLAT_W, 0);
    }
    v->good += rc == 0;
}

static void own_unmap(struct vcpu *v, uint64_t at, uint64_t nr)
{
    uint64_t done, hole = 0;
    bool stops = flat_first_hole(v->now, v->base + at, nr, &hole);
    uint64_t want = stops ? hole - (v->base + at) : nr;
    int rc = threads_unmap(v->r, 1, v->base + at, nr, &done);

    if (rc != (stops ? -PVI_ENOENT : 0) || done != want) {
        complain(v, "unmap", v->base + at, nr, rc, done);
    }
    flat_unmap(v->now, v->base + at, done);
    v->good += rc == 0;
}

static void own_lookup(struct vcpu *v, uint64_t at)
{
    uint64_t gfn, pa = 0;
    bool mapped = flat_lookup(v->now, v->base + at, NULL, &pa);
    int rc = threads_lookup(v->r, 1, v->base + at, &gfn);

    if (rc != (mapped ? 0 : -PVI_ENOENT) || (mapped && threads_pa(gfn) != pa)) {
        complain(v, "lookup", v->base + at, 1, rc, gfn);
    }
}

/* Unmaps whatever is there, run by run. */
static void own_clear(struct vcpu *v)
{
    struct flat_run run;

    while (flat_next(v->now, 0, &run)) {
        own_unmap(v, run.first - v->base, run.last - run.first + 1);
        if (v->bad) {
            return;
        }
    }
}

static void *work_alone(void *opaque)
{
    struct vcpu *v = opaque;
    uint64_t at, nr;
    unsigned i;

    for (i = 0; i < ROUNDS && !v->bad; i++) {
        /* Four tables of small leaves, at both ends of the gigabyte; now and then all of it. */
        at = threads_below(&v->seed, 1024) + (threads_below(&v->seed, 2) ? TH_GIB - 1024 : 0);
        nr = 1 + threads_below(&v->seed, at + 600 <= TH_GIB ? 600 : TH_GIB - at);
        switch (threads_below(&v->seed, 16)) {
        case 0:
            own_clear(v);
            own_map(v, 0, TH_GIB, TH_GFN_ANY + threads_below(&v->seed, 4) * TH_GIB);
            break;
        case 1:
            own_clear(v);
            break;
        case 2:
        case 3:
            own_map(v, at & ~511ull, 512, TH_GFN_PV + (threads_below(&v->seed, 64) << 9));
            break;
        case 4:
        case 5:
        case 6:
            own_unmap(v, at, nr);
            break;
        case 7:
        case 8:
        case 9:
            own_lookup(v, at);
            break;
        default:
            own_map(v, at, nr, TH_GFN_PV + threads_below(&v->seed, TH_NR_PV - nr));
        }
    }
    return NULL;
}

static void disjoint_gigabytes(void **state)
{
    const struct threads_cfg *cfg;
    struct flat_run run;
    struct flat *found;
    uint64_t page, at = 0;

    (void)state;
    for (cfg = threads_cfgs; cfg->format; cfg++) {
        start(cfg, 0x1234567);
        race(work_alone);
        report();
        for (page = 0; flat_next(vcpu[1].now, page, &run); page = run.last + 1) {
            assert_true(
                flat_map(vcpu[0].now, run.first, run.last - run.first + 1, run.pa, run.perm, 0));
        }
        found = threads_walk(&rig, 1);
        if (!flat_equal(found, vcpu[0].now, FLAT_ANY_TAG, &at)) {
            fail_msg("%s: the tables differ at page 0x%llx", cfg->format->name,
                     (unsigned long long)at);
        }
        threads_check_counts(&rig, (const struct flat *const *)&found, 1);
        assert_true(vcpu[0].good > ROUNDS / 10 && vcpu[1].good > ROUNDS / 10);
        flat_free(found);
        finish();
    }
}

/* The same pages ------------------------------------------------------------------------------- */

#define WINDOW 2048u

static void any_answer(struct vcpu *v, const char *what, uint64_t dfn, uint64_t nr, int rc,
                       uint64_t done)
{
    bool full = rc == -PVI_ENOMEM;

    if ((rc == 0) != (done == nr) || (rc != 0 && rc != -PVI_EEXIST && rc != -PVI_ENOENT && !full)) {
        complain(v, what, dfn, nr, rc, done);
    }
    v->good += rc == 0;
}

static void any_map(struct vcpu *v, uint64_t dfn, uint64_t nr, uint64_t gfn)
{
    uint64_t done;
    int rc = threads_map(v->r, 1, dfn, gfn, nr, &done);

    any_answer(v, "map", dfn, nr, rc, done);
}

static void any_unmap(struct vcpu *v, uint64_t dfn, uint64_t nr)
{
    uint64_t done;
    int rc = threads_unmap(v->r, 1, dfn, nr, &done);

    any_answer(v, "unmap", dfn, nr, rc, done);
}

/* As a guest that clears a range does: on from each hole, as long as the patience lasts. */
static void any_clear(struct vcpu *v, uint64_t dfn, uint64_t nr)
{
    uint64_t at = 0, done;
    unsigned turns;

    for (turns = 0; turns < 200 && at < nr; turns++) {
        int rc = threads_unmap(v->r, 1, dfn + at, nr - at, &done);

        any_answer(v, "unmap", dfn + at, nr - at, rc, done);
        at += done + 1 + threads_below(&v->seed, 8);
    }
}

static void any_lookup(struct vcpu *v, uint64_t dfn)
{
    uint64_t gfn;
    int rc = threads_lookup(v->r, 1, dfn, &gfn);

    if (rc != 0 && rc != -PVI_ENOENT) {
        complain(v, "lookup", dfn, 1, rc, 0);
    }
}

static void *work_together(void *opaque)
{
    struct vcpu *v = opaque;
    uint64_t base = vcpu[0].base, all = base & ~(512 * TH_GIB - 1), at, nr;
    unsigned i;

    for (i = 0; i < ROUNDS && !v->bad; i++) {
        at = threads_below(&v->seed, WINDOW);
        nr = 1 + threads_below(&v->seed, 600);
        switch (threads_below(&v->seed, 16)) {
        case 0:
            any_map(v, base, TH_GIB, TH_GFN_ANY + TH_GIB);
            break;
        case 1:
            any_map(v, all, 512 * TH_GIB, TH_GFN_ANY);
            break;
        case 2:
            any_unmap(v, all, 512 * TH_GIB);
            break;
        case 3:
            any_clear(v, base, TH_GIB);
            break;
        case 4:
            any_unmap(v, base, TH_GIB);
            break;
        case 5:
            any_map(v, base + (at & ~511ull), 512, threads_below(&v->seed, 64) << 9);
            break;
        case 6:
        case 7:
        case 8:
            any_lookup(v, base + at);
            break;
        case 9:
        case 10:
        case 11:
            any_unmap(v, base + at, nr);
            break;
        default:
            any_map(v, base + at, nr, threads_below(&v->seed, TH_NR_PV - nr));
        }
    }
    return NULL;
}

/* What the library says of each page is what the walker finds. */
static void check_lookups(const struct flat *found)
{
    uint64_t gfn, pa = 0, i;

    for (i = 0; i < WINDOW + 600; i++) {
        bool mapped = flat_lookup(found, vcpu[0].base + i, NULL, &pa);
        int rc = threads_lookup(&rig, 1, vcpu[0].base + i, &gfn);

        assert_int_equal(rc, mapped ? 0 : -PVI_ENOENT);
        assert_true(!mapped || threads_pa(gfn) == pa);
    }
}

static void same_gigabyte(void **state)
{
    const struct threads_cfg *cfg;
    struct flat *found;
    unsigned good = 0, asked = 0;

    (void)state;
    for (cfg = threads_cfgs; cfg->format; cfg++) {
        start(cfg, 0x7654321);
        race(work_together);
        report();
        found = threads_walk(&rig, 1);
        check_lookups(found);
        threads_check_counts(&rig, (const struct flat *const *)&found, 1);
        assert_true(vcpu[0].good + vcpu[1].good > 0);
        good += vcpu[0].good + vcpu[1].good;
        asked += VCPUS * ROUNDS;
        flat_free(found);
        finish();
    }
    /* Of all, not of each: one that stands still where it holds most pages lets the other do nothing but fail. */
    assert_true(good > asked / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disjoint_gigabytes),
        cmocka_unit_test(same_gigabyte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
