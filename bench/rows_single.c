/* SPDX-License-Identifier: MIT */
/* Rows of one leaf a call: hot, in pairs, in sequence, at random, and each in a table of its own. */
#include "bench.h"

#define HOT_CALLS 64u
#define HOT_ROUNDS 1500u
#define PAIRS 100000u

/* Maps n leaves side by side, then unmaps them. */
static void sweep(struct job *j, uint64_t iova, uint64_t pa, uint64_t len, uint64_t stride, uint64_t n)
{
    const struct contender *c = j->c;
    uint64_t t0, t1, t2, i;

    t0 = ticks();
    for (i = 0; i < n; i++) {
        CHECK(j, c->map(j->port, iova + i * stride, pa + i * stride, len) == 0);
    }
    t1 = ticks();
    for (i = 0; i < n; i++) {
        CHECK(j, c->unmap(j->port, iova + i * stride, len) == len);
    }
    t2 = ticks();
    j->t[0] = (double)(t1 - t0) * ns_per_tick / (double)n;
    j->t[1] = (double)(t2 - t1) * ns_per_tick / (double)n;
}

/* The same few leaves over and over: everything is in the nearest cache. */
static void hot(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(0), pa = PA_BASE(j->row->off), len = j->row->len;
    uint64_t map = 0, unmap = 0, t0, t1, t2;
    unsigned round, i;

    for (round = 0; round < HOT_ROUNDS + 100; round++) {
        t0 = ticks();
        for (i = 0; i < HOT_CALLS; i++) {
            CHECK(j, c->map(j->port, iova + i * len, pa + i * len, len) == 0);
        }
        t1 = ticks();
        for (i = 0; i < HOT_CALLS; i++) {
            CHECK(j, c->unmap(j->port, iova + i * len, len) == len);
        }
        t2 = ticks();
        if (round >= 100) {
            map += t1 - t0;
            unmap += t2 - t1;
        }
    }
    j->t[0] = (double)map * ns_per_tick / (HOT_ROUNDS * HOT_CALLS);
    j->t[1] = (double)unmap * ns_per_tick / (HOT_ROUNDS * HOT_CALLS);
}

static void pair(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(0) + 77 * K4, pa = PA_BASE(78 * K4), t0 = 0;
    unsigned i;

    CHECK(j, c->map(j->port, IOVA_BASE(0), PA_BASE(K4), K4) == 0); /* the table is not empty in between */
    for (i = 0; i < PAIRS + 1000; i++) {
        if (i == 1000) {
            t0 = ticks();
        }
        CHECK(j, c->map(j->port, iova, pa, K4) == 0);
        CHECK(j, c->unmap(j->port, iova, K4) == K4);
    }
    j->t[0] = (double)(ticks() - t0) * ns_per_tick / PAIRS;
}

/* Through a whole window, tables there. */
static void sequential(struct job *j)
{
    const struct row *r = j->row;

    if (r->len == K4) {
        job_warm(j, IOVA_BASE(j->slot), r->len * r->calls);
    } else {
        sweep(j, IOVA_BASE(j->slot), PA_BASE(r->off), r->len, r->len, r->calls);
    }
    sweep(j, IOVA_BASE(j->slot), PA_BASE(r->off), r->len, r->len, r->calls);
}

/* n pages in one random order, unmapped in another. */
static void scatter(struct job *j, const uint32_t *order, const uint32_t *back, int64_t step, uint64_t n)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(0), t0, t1, t2, i;

    t0 = ticks();
    for (i = 0; i < n; i++) {
        CHECK(j, c->map(j->port, iova + order[i] * K4, PA_BASE(K4) + order[i] * K4, K4) == 0);
    }
    t1 = ticks();
    for (i = 0; i < n; i++, back += step) {
        CHECK(j, c->unmap(j->port, iova + *back * K4, K4) == K4);
    }
    t2 = ticks();
    j->t[0] = (double)(t1 - t0) * ns_per_tick / (double)n;
    j->t[1] = (double)(t2 - t1) * ns_per_tick / (double)n;
}

static void random_1g(struct job *j)
{
    job_warm(j, IOVA_BASE(0), G1);
    scatter(j, perm_1g, perm_1g_b, 1, PAGES_1G);
}

static void random_16g(struct job *j)
{
    job_warm(j, IOVA_BASE(0), 16 * G1);
    scatter(j, perm_16g, perm_16g + N_16G - 1, -1, N_16G);
}

/* A page in each 2 MiB: every call needs a new table. */
static void sparse(struct job *j)
{
    uint64_t iova = IOVA_BASE(0), t0, i;

    CHECK(j, j->c->map(j->port, iova + j->row->calls * M2, PA_BASE(0), K4) == 0);
    t0 = ticks();
    for (i = 0; i < j->row->calls; i++) {
        CHECK(j, j->c->map(j->port, iova + i * M2, PA_BASE(0), K4) == 0);
    }
    j->t[0] = (double)(ticks() - t0) * ns_per_tick / (double)j->row->calls;
}

const struct row rows_single[] = {
    {.name = "4K hot", .unit = "op", .part = {"map", "unmap"}, .run = hot, .len = K4, .off = K4},
    {.name = "4K pair", .unit = "pair", .part = {"map+unmap"}, .run = pair},
    {.name = "4K seq 1 GiB", .unit = "op", .part = {"map", "unmap"}, .run = sequential, .len = K4, .calls = PAGES_1G,
     .off = K4, .pages = 600},
    {.name = "4K seq 16 GiB", .unit = "op", .part = {"map", "unmap"}, .run = sequential, .len = K4,
     .calls = 16 * PAGES_1G, .off = K4, .pages = 8300},
    {.name = "4K random 1 GiB", .unit = "op", .part = {"map", "unmap"}, .run = random_1g, .pages = 600},
    {.name = "4K random 16 GiB", .unit = "op", .part = {"map", "unmap"}, .run = random_16g, .pages = 8300},
    {.name = "4K sparse, new table each", .unit = "op", .part = {"map"}, .run = sparse, .calls = 8192, .pages = 8300},
    {.name = "2M hot", .unit = "op", .part = {"map", "unmap"}, .run = hot, .len = M2, .off = M2, .leaf = M2},
    {.name = "2M seq 128 GiB", .unit = "op", .part = {"map", "unmap"}, .run = sequential, .len = M2, .calls = 65536,
     .off = M2, .leaf = M2, .pages = 300},
    {.name = "1G hot", .unit = "op", .part = {"map", "unmap"}, .run = hot, .len = G1, .off = G1, .leaf = G1},
    {.name = "1G seq 1.5 TiB", .unit = "op", .part = {"map", "unmap"}, .run = sequential, .len = G1, .calls = 1536,
     .off = G1, .leaf = G1},
    {.name = NULL},
};
