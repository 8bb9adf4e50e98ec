/* SPDX-License-Identifier: MIT */
/*
 * The engine alone, no context around it: threads that map and unmap with `shared` set, each in a
 * gigabyte of its own. They begin together in an empty table, so that they race to link the same
 * tables above, and end together, so that they race to take them away. After each turn the walker
 * must find exactly what was mapped, and no page may be lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "threads_rig.h"

#define THREADS 2u
#define PAGES   120u
#define DID     7u
#define GIB     (1ull << 30)

#define TURNS TH_TIMES(300u, 80u)

struct table {
    struct threads_cfg cfg;
    struct pvi_host *host;
    struct pvi_posix_null unit;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    pthread_rwlock_t lock; /* shared by requests that may be, else exclusively */
    pthread_barrier_t gate;
};

struct worker {
    struct table *t;
    unsigned nr;
    uint64_t seed;
    uint64_t iova, pa, len; /* of this turn */
    struct pvi_gather gather;
    unsigned alone, bad;
    int answer;
};

static struct table table;
static struct worker worker[THREADS];

static void table_up(struct table *t, const struct threads_cfg *cfg)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000ull, .size = 4 << 20};
    struct pvi_unit_caps *caps = &t->unit.unit.caps;
    struct pvi_pt_cfg pc = {.ops = cfg->format,
                            .page_sizes = cfg->sizes,
                            .levels = (uint8_t)cfg->levels,
                            .iova_bits = cfg->format->iova_bits(cfg->levels),
                            .pa_bits = 52,
                            .coherent = cfg->coherent,
                            .trim = cfg->trim,
                            .adds = cfg->np_cache};
    uint32_t done;

    memset(t, 0, sizeof(*t));
    t->cfg = *cfg;
    t->host = pvi_posix_new(&memory);
    assert_non_null(t->host);
    caps->format = cfg->format;
    caps->levels_mask = (uint8_t)(1u << cfg->levels);
    caps->coherent = cfg->coherent;
    caps->np_cache = cfg->np_cache;
    caps->page_selective = true;
    caps->inv_max_lg2 = 63;
    assert_int_equal(pvi_posix_add_null(t->host, &t->unit), 0);
    pvi_pool_init(&t->pool, t->host);
    pvi_quota_limit(&t->pool, &t->quota, PAGES);
    assert_int_equal(pvi_pool_grow(&t->pool, PAGES, &done), 0);
    assert_int_equal(pvi_pt_init(&t->pt, &pc, &t->pool, &t->quota), 0);
    pvi_posix_track_root(t->host, cfg->format, cfg->levels, t->pt.root->pa, cfg->coherent);
    pvi_posix_bind_root(t->host, &t->unit.unit, DID, t->pt.root->pa);
    assert_int_equal(pthread_rwlock_init(&t->lock, NULL), 0);
    assert_int_equal(pthread_barrier_init(&t->gate, NULL, THREADS + 1), 0);
}

/* Everything is invalidated, whatever the gather names: what it names is not this test's subject.
 */
static int flush(struct table *t, struct pvi_gather *g)
{
    struct pvi_inv all = {.kind = PVI_INV_DOMAIN, .did = DID};
    int rc = 0;

    if (g->nr_ranges != 0) {
        rc = pvi_host_inv_submit(t->host, &t->unit.unit, &all, 1);
        rc = rc == 0 ? pvi_host_inv_wait(t->host, &t->unit.unit) : rc;
    }
    return rc == 0 ? pvi_gather_flush(g) : rc;
}

static void table_down(struct table *t)
{
    struct pvi_pt_unmap u = {.last = ((uint64_t)1 << t->pt.cfg.iova_bits) - 1, .holes = true};
    struct pvi_inv all = {.kind = PVI_INV_DOMAIN, .did = DID};
    const char *why = NULL;
    struct pvi_gather g;

    pvi_gather_init(&g, t->host, NULL, t->cfg.format);
    while (!u.complete) {
        assert_int_equal(t->cfg.format->unmap(&t->pt, NULL, &u, &g), 0);
    }
    assert_int_equal(flush(t, &g), 0);
    assert_int_equal(pvi_quota_used(&t->pool, &t->quota), 1);
    pvi_posix_check_all(t->host);
    pvi_posix_unbind_root(t->host, &t->unit.unit, DID, t->pt.root->pa);
    assert_int_equal(pvi_host_inv_submit(t->host, &t->unit.unit, &all, 1), 0);
    assert_int_equal(pvi_host_inv_wait(t->host, &t->unit.unit), 0);
    pvi_posix_untrack_root(t->host, t->pt.root->pa);
    pvi_pt_fini(&t->pt);
    assert_int_equal(pvi_pool_shrink(&t->pool, UINT32_MAX), PAGES);
    if (!pvi_posix_balanced(t->host, &why)) {
        fail_msg("%s", why);
    }
    assert_int_equal(pvi_posix_events(t->host, NULL), 0);
    pvi_posix_free(t->host);
    pvi_posix_null_fini(&t->unit);
    pthread_barrier_destroy(&t->gate);
    pthread_rwlock_destroy(&t->lock);
}

/* Workers -------------------------------------------------------------------------------------- */

/* Did the answer ask for another call? */
static bool again(struct worker *w, int *rc, bool *shared)
{
    if (*rc == PVI_PT_ALONE && *shared) {
        pthread_rwlock_unlock(&w->t->lock);
        pthread_rwlock_wrlock(&w->t->lock);
        *shared = false;
        w->alone++;
        *rc = 0;
        return true;
    }
    if (*rc == -PVI_EBUSY) {
        *rc = flush(w->t, &w->gather);
        return *rc == 0;
    }
    return false;
}

static void finish(struct worker *w, int rc)
{
    pthread_rwlock_unlock(&w->t->lock);
    if (rc == 0) {
        rc = flush(w->t, &w->gather);
    }
    pvi_posix_checkpoint(w->t->host);
    if (rc != 0) {
        w->bad++;
        w->answer = rc;
    }
}

static void map(struct worker *w)
{
    struct pvi_pt_map m = {
        .iova = w->iova, .pa = w->pa, .len = w->len, .prot = PVI_RW, .shared = true};
    int rc;

    pthread_rwlock_rdlock(&w->t->lock);
    do {
        rc = w->t->cfg.format->map(&w->t->pt, NULL, &m, &w->gather);
    } while (again(w, &rc, &m.shared) || (rc == 0 && m.done < m.len));
    finish(w, rc);
}

/* What was mapped, or with `all` the gigabyte around it: tables go with what covers them whole,
 * trim or not. */
static void unmap(struct worker *w, bool all)
{
    uint64_t first = all ? w->iova & ~(GIB - 1) : w->iova, len = all ? GIB : w->len;
    struct pvi_pt_unmap u = {
        .first = first, .last = first + len - 1, .next = first, .holes = all, .shared = true};
    int rc;

    pthread_rwlock_rdlock(&w->t->lock);
    do {
        rc = w->t->cfg.format->unmap(&w->t->pt, NULL, &u, &w->gather);
    } while (again(w, &rc, &u.shared) || (rc == 0 && !u.complete));
    finish(w, rc);
    if (u.removed != w->len) {
        w->bad++;
        w->answer = (int)(u.removed >> 12);
    }
}

/* Neighbouring gigabytes, under one table of each level above; now and then under different ones.
 */
static void choose(struct worker *w, unsigned turn)
{
    uint64_t slot = 6 + w->nr;

    if (turn % 5 == 4) {
        slot += 512ull * w->nr;
    }
    w->iova = slot * GIB + threads_below(&w->seed, 0x3fc00) * 4096;
    w->len = (1 + threads_below(&w->seed, turn % 3 ? 4 : 1000)) * 4096;
    w->pa = 0x40000000000ull + w->nr * 64 * GIB + w->iova % GIB;
    if (turn % 7 == 6) {
        w->iova = slot * GIB;
        w->len = GIB; /* a leaf in a table that all share, where there are leaves of 1 GiB */
        w->pa = 0x40000000000ull + w->nr * 64 * GIB;
    }
}

static void *work(void *opaque)
{
    struct worker *w = opaque;
    unsigned turn;

    for (turn = 0; turn < TURNS; turn++) {
        choose(w, turn);
        pthread_barrier_wait(&w->t->gate);
        map(w);
        pthread_barrier_wait(&w->t->gate); /* the walker's turn */
        pthread_barrier_wait(&w->t->gate);
        unmap(w, false);
        pthread_barrier_wait(&w->t->gate); /* and again */
    }
    return NULL;
}

/* Without a pause; the tables above stay, for somebody else has a page under them. */
static void *work_on(void *opaque)
{
    struct worker *w = opaque;
    unsigned turn;

    for (turn = 0; turn < 4 * TURNS; turn++) {
        choose(w, 0);
        map(w);
        unmap(w, true);
    }
    return NULL;
}

/* Walker --------------------------------------------------------------------------------------- */

static struct flat *walk(struct table *t)
{
    struct pvi_posix_view view = {.host = t->host, .coherent = t->cfg.coherent};
    struct hwm_mem mem = {.opaque = &view,
                          .read64 = pvi_posix_hw_read64,
                          .read32 = pvi_posix_hw_read32,
                          .valid = pvi_posix_hw_valid};
    struct hwm_visit seen;
    struct hwm_fmt fmt;
    struct flat *found;

    if (t->cfg.format == &pvi_vtd_ss_ops) {
        hwm_fmt_default(&fmt, HWM_FMT_VTDSS);
    } else {
        hwm_fmt_default(&fmt, t->cfg.format == &pvi_amdvi_v1_ops ? HWM_FMT_AMDV1 : HWM_FMT_X86);
    }
    found = flat_from_tables(&mem, &fmt, t->pt.root->pa.a, t->cfg.levels, &seen);
    if (!found) {
        fail_msg("bad table at 0x%llx: %s", (unsigned long long)seen.first_bad.iova,
                 seen.first_bad.why);
    }
    assert_int_equal(seen.stray, 0);
    assert_int_equal(seen.tables,
                     pvi_quota_used(&t->pool, &t->quota)); /* none lost, none linked twice */
    return found;
}

/* What the first nr workers have mapped is there, and nothing else. */
static void check(struct table *t, unsigned nr)
{
    struct flat *found = walk(t), *want = flat_new();
    uint64_t at = 0;
    unsigned i;

    for (i = 0; i < nr; i++) {
        assert_true(flat_map(want, worker[i].iova >> 12, worker[i].len >> 12, worker[i].pa,
                             FLAT_R | FLAT_W, 0));
    }
    if (!flat_equal(found, want, FLAT_ANY_TAG, &at)) {
        fail_msg("%s: page 0x%llx differs", t->cfg.format->name, (unsigned long long)at);
    }
    if (nr == 0 && t->cfg.trim) {
        assert_int_equal(pvi_quota_used(&t->pool, &t->quota), 1);
    }
    flat_free(found);
    flat_free(want);
}

static void start(const struct threads_cfg *cfg, void *(*fn)(void *), pthread_t thread[THREADS])
{
    unsigned i;

    for (i = 0; i < THREADS; i++) {
        memset(&worker[i], 0, sizeof(worker[i]));
        worker[i].t = &table;
        worker[i].nr = i;
        worker[i].seed = 0x2545F4914F6CDD1Dull * (i + 1);
        pvi_gather_init(&worker[i].gather, table.host, NULL, cfg->format);
        assert_int_equal(pthread_create(&thread[i], NULL, fn, &worker[i]), 0);
    }
}

/* Returns how often a request needed the table for itself. */
static unsigned join(const struct threads_cfg *cfg, const pthread_t thread[THREADS])
{
    unsigned i, alone = 0;

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        if (worker[i].bad) {
            fail_msg("%s: %u bad answers, %d for one", cfg->format->name, worker[i].bad,
                     worker[i].answer);
        }
        alone += worker[i].alone;
    }
    return alone;
}

static void linking_and_unlinking(void **state)
{
    const struct threads_cfg *cfg;
    pthread_t thread[THREADS];
    unsigned turn, alone;

    (void)state;
    for (cfg = threads_cfgs; cfg->format; cfg++) {
        table_up(&table, cfg);
        start(cfg, work, thread);
        for (turn = 0; turn < TURNS; turn++) {
            pthread_barrier_wait(&table.gate);
            pthread_barrier_wait(&table.gate);
            check(&table, THREADS);
            pthread_barrier_wait(&table.gate);
            pthread_barrier_wait(&table.gate);
            check(&table, 0);
        }
        alone = join(cfg, thread);
        table_down(&table);
        /* Leaves of 1 GiB, and empty tables above, are nobody's own. */
        assert_true(alone > 0 || (!cfg->trim && (cfg->sizes & GIB) == 0));
    }
}

/* Counts of the tables that all share: wrong ones would keep them, or take them away too early. */
static void without_a_pause(void **state)
{
    const struct threads_cfg *cfg;
    pthread_t thread[THREADS];
    struct worker own;

    (void)state;
    for (cfg = threads_cfgs; cfg->format; cfg++) {
        table_up(&table, cfg);
        memset(&own, 0, sizeof(own));
        own.t = &table;
        own.iova = 5 * GIB;
        own.pa = GIB;
        own.len = 4096;
        pvi_gather_init(&own.gather, table.host, NULL, cfg->format);
        map(&own);
        start(cfg, work_on, thread);
        (void)join(cfg, thread);
        worker[0] = own;
        check(&table, 1);
        unmap(&own, false);
        assert_int_equal(own.bad, 0);
        table_down(&table);
    }
}

/* At the worst moment -------------------------------------------------------------------------- */

static bool armed;

/* Worker 0 has taken its pages and is about to link them: worker 1 links the same tables first. */
static void link_first(void *opaque, enum pvi_posix_point at, bool after)
{
    struct worker *w = opaque;
    struct pvi_pt_map m = {
        .iova = w->iova, .pa = w->pa, .len = w->len, .prot = PVI_RW, .shared = true};

    (void)at;
    if (!after || !armed) {
        return;
    }
    armed = false;
    while (w->answer == 0 && m.done < m.len) {
        w->answer = w->t->cfg.format->map(&w->t->pt, NULL, &m, &w->gather);
    }
}

static void linked_meanwhile(void **state)
{
    const struct threads_cfg *cfg;
    unsigned i;

    (void)state;
    for (cfg = threads_cfgs; cfg->format; cfg++) {
        table_up(&table, cfg);
        for (i = 0; i < THREADS; i++) {
            memset(&worker[i], 0, sizeof(worker[i]));
            worker[i].t = &table;
            worker[i].iova = (6 + i) * GIB;
            worker[i].pa = (64 + 64 * i) * GIB;
            worker[i].len = 4096;
            pvi_gather_init(&worker[i].gather, table.host, NULL, cfg->format);
        }
        armed = true;
        pvi_posix_hook(table.host, PVI_AT_BIT(PVI_AT_UNLOCK), link_first, &worker[1]);
        map(&worker[0]);
        pvi_posix_hook(table.host, 0, NULL, NULL);
        assert_false(armed);
        assert_int_equal(worker[1].answer, 0);
        assert_int_equal(flush(&table, &worker[1].gather), 0);
        check(&table, THREADS);
        for (i = 0; i < THREADS; i++) {
            unmap(&worker[i], false);
            assert_int_equal(worker[i].bad, 0);
        }
        check(&table, 0);
        table_down(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linking_and_unlinking),
        cmocka_unit_test(without_a_pause),
        cmocka_unit_test(linked_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
