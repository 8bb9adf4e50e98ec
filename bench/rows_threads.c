/* SPDX-License-Identifier: MIT */
/* Rows of one and of two threads on disjoint ranges of one table: the same work, so that the two compare. */
#include "bench.h"

#define PAIRED_PAGES 65536u

static void pages_work(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(j->slot), pa = PA_BASE(K4), n = PAIRED_PAGES, map = 0, unmap = 0, t0, t1, t2, i;
    unsigned round;

    for (round = 0; round < 4; round++) {
        t0 = ticks();
        for (i = 0; i < n; i++) {
            CHECK(j, c->map(j->port, iova + i * K4, pa + i * K4, K4) == 0);
        }
        t1 = ticks();
        for (i = 0; i < n; i++) {
            CHECK(j, c->unmap(j->port, iova + i * K4, K4) == K4);
        }
        t2 = ticks();
        if (round != 0) {
            map += t1 - t0;
            unmap += t2 - t1;
        }
    }
    j->t[0] = (double)map * ns_per_tick / (3.0 * (double)n);
    j->t[1] = (double)unmap * ns_per_tick / (3.0 * (double)n);
}

static void lookup_work(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(j->slot), sum = 0, t0, i;
    unsigned round;

    CHECK(j, c->map(j->port, iova, PA_BASE(K4), G1) == 0);
    t0 = ticks();
    for (round = 0; round < 2; round++) {
        for (i = 0; i < PAGES_1G; i++) {
            sum += c->lookup(j->port, iova + perm_1g[i] * K4);
        }
    }
    j->t[0] = (double)(ticks() - t0) * ns_per_tick / (2.0 * PAGES_1G);
    keep(sum);
}

static void gigabyte_work(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(j->slot), map = 0, unmap = 0, t0, t1, t2;
    unsigned round;

    for (round = 0; round < 9; round++) {
        t0 = ticks();
        CHECK(j, c->map(j->port, iova, PA_BASE(K4), G1) == 0);
        t1 = ticks();
        CHECK(j, c->unmap(j->port, iova, G1) == G1);
        t2 = ticks();
        if (round != 0) {
            map += t1 - t0;
            unmap += t2 - t1;
        }
    }
    j->t[0] = (double)map * ns_per_tick / 8;
    j->t[1] = (double)unmap * ns_per_tick / 8;
}

#define ROWS(nr, text)                                                                             \
    {.name = text ": 4K seq", .unit = "op", .part = {"map", "unmap"}, .run = pages_work, .threads = (nr), .pages = 1400}, \
    {.name = text ": 1 GiB of 4K", .unit = "page", .part = {"map", "unmap"}, .run = gigabyte_work, .per = PAGES_1G,       \
     .threads = (nr), .pages = 1400},                                                              \
    {.name = text ": lookup random 1 GiB", .unit = "op", .part = {"lookup"}, .run = lookup_work, .threads = (nr),         \
     .pages = 1400}

const struct row rows_threads[] = {
    ROWS(1, "1 thread"),
    ROWS(2, "2 threads"),
    {.name = NULL},
};
