/* SPDX-License-Identifier: MIT */
/* Rows of batches: what a guest's operations cost, from pvi_submit() to the table, flush and frame counts included. */
#include "bench.h"
#include "memory.h"

#define OPS 4096u
#define ROUNDS 24u
#define WARM_ROUNDS 2u

enum order { CONTIGUOUS, SCATTERED };

static uint64_t where(enum order order, uint32_t i)
{
    return IOVA_BASE(0) + (order == SCATTERED ? perm_1g[i] * K4 : i * K4);
}

static uint64_t frame(enum order order, uint32_t i)
{
    return order == SCATTERED ? perm_1g_b[i] : i + 1;
}

static void *machine_new(struct job *j)
{
    void *m;
    uint32_t i, k;

    memory_reset();
    m = j->c->batch->create(OPS);
    CHECK(j, m != NULL);
    for (k = 0; k < 2; k++) { /* leaf tables are there */
        for (i = 0; i < 512; i++) {
            j->c->batch->load(m, i, k == 0, IOVA_BASE(0) + i * M2, i, 1);
        }
        CHECK(j, j->c->batch->submit(m, 0, 512) == 0);
    }
    return m;
}

/* All operations in batches of so many; ticks. */
static uint64_t submit_all(struct job *j, void *m, uint32_t batch)
{
    uint64_t t0 = ticks();
    uint32_t i;

    for (i = 0; i < OPS; i += batch) {
        CHECK(j, j->c->batch->submit(m, i, batch) == 0);
    }
    return ticks() - t0;
}

static void map_unmap(struct job *j, enum order order)
{
    uint64_t map = 0, unmap = 0, t;
    void *m = machine_new(j);
    uint32_t round, i;

    for (round = 0; round < ROUNDS + WARM_ROUNDS; round++) {
        for (i = 0; i < OPS; i++) {
            j->c->batch->load(m, i, true, where(order, i), frame(order, i), 1);
        }
        t = submit_all(j, m, (uint32_t)j->row->calls);
        map += round >= WARM_ROUNDS ? t : 0;
        CHECK(j, j->c->batch->referenced(m) == OPS);
        for (i = 0; i < OPS; i++) {
            j->c->batch->load(m, i, false, where(order, i), 0, 1);
        }
        t = submit_all(j, m, (uint32_t)j->row->calls);
        unmap += round >= WARM_ROUNDS ? t : 0;
        CHECK(j, j->c->batch->referenced(m) == 0);
    }
    j->t[0] = (double)map * ns_per_tick / (ROUNDS * OPS);
    j->t[1] = (double)unmap * ns_per_tick / (ROUNDS * OPS);
    j->c->batch->destroy(m);
}

static void contiguous(struct job *j)
{
    map_unmap(j, CONTIGUOUS);
}

static void scattered(struct job *j)
{
    map_unmap(j, SCATTERED);
}

/* Every other operation takes away what an earlier round has mapped. */
static void mixed(struct job *j)
{
    uint64_t sum = 0, t;
    void *m = machine_new(j);
    uint32_t round, i;

    for (i = 0; i < OPS; i++) {
        j->c->batch->load(m, i, true, where(SCATTERED, i), frame(SCATTERED, i), 1);
    }
    CHECK(j, j->c->batch->submit(m, 0, OPS / 2) == 0);
    for (round = 0; round < ROUNDS + WARM_ROUNDS; round++) {
        uint32_t gone = (round & 1) * (OPS / 2), come = OPS / 2 - gone;

        for (i = 0; i < OPS / 2; i++) {
            j->c->batch->load(m, 2 * i, false, where(SCATTERED, gone + i), 0, 1);
            j->c->batch->load(m, 2 * i + 1, true, where(SCATTERED, come + i), frame(SCATTERED, come + i), 1);
        }
        t = submit_all(j, m, (uint32_t)j->row->calls);
        sum += round >= WARM_ROUNDS ? t : 0;
    }
    CHECK(j, j->c->batch->referenced(m) == OPS / 2);
    j->t[0] = (double)sum * ns_per_tick / (ROUNDS * OPS);
    j->c->batch->destroy(m);
}

static void longest(struct job *j)
{
    void *m = machine_new(j);

    j->c->batch->load(m, 0, true, IOVA_BASE(0), 1, PAGES_1G);
    j->t[0] = (double)j->c->batch->longest(m, 0, 1) * ns_per_tick;
    j->c->batch->load(m, 0, false, IOVA_BASE(0), 0, PAGES_1G);
    j->t[1] = (double)j->c->batch->longest(m, 0, 1) * ns_per_tick;
    CHECK(j, j->t[0] > 0 && j->t[1] > 0 && j->c->batch->referenced(m) == 0);
    j->c->batch->destroy(m);
}

#define BATCHES(nr, text)                                                                          \
    {.name = "batch of " text ", contiguous", .unit = "op", .part = {"map", "unmap"}, .run = contiguous, .calls = (nr), \
     .only = ROW_BATCH},                                                                           \
    {.name = "batch of " text ", scattered", .unit = "op", .part = {"map", "unmap"}, .run = scattered, .calls = (nr),   \
     .only = ROW_BATCH},                                                                           \
    {.name = "batch of " text ", mixed", .unit = "op", .part = {"both"}, .run = mixed, .calls = (nr), .only = ROW_BATCH}

const struct row rows_batch[] = {
    BATCHES(1, "1"),
    BATCHES(16, "16"),
    BATCHES(128, "128"),
    BATCHES(4096, "4096"),
    {.name = "longest step, dispatcher, 1 GiB of 4K", .unit = "step", .part = {"map", "unmap"}, .run = longest, .only = ROW_BATCH},
    {.name = NULL},
};
