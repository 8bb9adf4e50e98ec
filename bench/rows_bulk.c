/* SPDX-License-Identifier: MIT */
/* Rows of many leaves a call. */
#include "bench.h"

#define TERA_CALLS 16u

/* One call on the same spot, again and again. */
static void again(struct job *j)
{
    const struct contender *c = j->c;
    const struct row *r = j->row;
    uint64_t iova = IOVA_BASE(0), pa = PA_BASE(r->off), map = 0, unmap = 0, i;

    for (i = 0; i < r->calls + r->calls / 10; i++) {
        uint64_t t0 = ticks(), t1, t2;

        CHECK(j, c->map(j->port, iova, pa, r->len) == 0);
        t1 = ticks();
        CHECK(j, c->unmap(j->port, iova, r->len) == r->len);
        t2 = ticks();
        if (i >= r->calls / 10) {
            map += t1 - t0;
            unmap += t2 - t1;
        }
    }
    j->t[0] = (double)map * ns_per_tick / (double)r->calls;
    j->t[1] = (double)unmap * ns_per_tick / (double)r->calls;
}

/* Calls side by side, the tables there. */
static void along(struct job *j)
{
    const struct contender *c = j->c;
    const struct row *r = j->row;
    uint64_t iova = IOVA_BASE(j->slot), pa = PA_BASE(r->off), t0, t1, t2, i;

    job_warm(j, iova, r->len * r->calls);
    t0 = ticks();
    for (i = 0; i < r->calls; i++) {
        CHECK(j, c->map(j->port, iova + i * r->len, pa + i * r->len, r->len) == 0);
    }
    t1 = ticks();
    for (i = 0; i < r->calls; i++) {
        CHECK(j, c->unmap(j->port, iova + i * r->len, r->len) == r->len);
    }
    t2 = ticks();
    j->t[0] = (double)(t1 - t0) * ns_per_tick / (double)r->calls;
    j->t[1] = (double)(t2 - t1) * ns_per_tick / (double)r->calls;
}

/* A table that has nothing yet, out of pages that have been tables before. */
static void fresh(struct job *j)
{
    uint64_t t0 = ticks();

    CHECK(j, j->c->map(j->port, IOVA_BASE(j->slot), PA_BASE(j->row->off), j->row->len) == 0);
    j->t[0] = (double)(ticks() - t0) * ns_per_tick;
}

static void owed(struct job *j)
{
    struct need need = {.pages = j->row->pages, .owe = true};

    job_table(j, &need);
    along(j);
}

/* 4 MiB + 16 KiB, 2 GiB, 4 MiB + 16 KiB: every size up and down again. */
static void mixed(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t side = 2 * M2 + 4 * K4, len = side + 2 * G1 + side, n = 64, map = 0, unmap = 0, i, round;

    for (round = 0; round < 4; round++) {
        uint64_t t0, t1, t2;

        t0 = ticks();
        for (i = 0; i < n; i++) {
            CHECK(j, c->map(j->port, IOVA_BASE(0) + G1 - side + i * 4 * G1, PA_BASE(G1 - side) + i * 4 * G1, len) == 0);
        }
        t1 = ticks();
        for (i = 0; i < n; i++) {
            CHECK(j, c->unmap(j->port, IOVA_BASE(0) + G1 - side + i * 4 * G1, len) == len);
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

static void longest(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(0), len = j->row->len;

    if (!c->longest_map) {
        return;
    }
    j->t[0] = (double)c->longest_map(j->port, iova, PA_BASE(K4), len) * ns_per_tick;
    j->t[1] = (double)c->longest_unmap(j->port, iova, len) * ns_per_tick;
}

const struct row rows_bulk[] = {
    {.name = "256x4K hot", .unit = "call", .part = {"map", "unmap"}, .run = again, .len = M1, .calls = 2000, .off = K4},
    {.name = "256x4K seq", .unit = "call", .part = {"map", "unmap"}, .run = along, .len = M1, .calls = 1024, .off = K4,
     .pages = 600},
    {.name = "1 MiB aligned", .unit = "call", .part = {"map", "unmap"}, .run = again, .len = M1, .calls = 2000},
    {.name = "256x2M", .unit = "call", .part = {"map", "unmap"}, .run = again, .len = 256 * M2, .calls = 2000,
     .off = M2, .leaf = M2},
    {.name = "256x1G", .unit = "call", .part = {"map", "unmap"}, .run = again, .len = 256 * G1, .calls = 2000,
     .off = G1, .leaf = G1},
    {.name = "1 GiB of 4K, warm", .unit = "page", .part = {"map", "unmap"}, .run = along, .len = G1, .calls = 1,
     .off = K4, .per = PAGES_1G, .pages = 600},
    {.name = "1 GiB of 4K, fresh", .unit = "page", .part = {"map"}, .run = fresh, .len = G1, .off = K4,
     .per = PAGES_1G, .pages = 600},
    {.name = "1 GiB of 4K, owed", .unit = "page", .part = {"map", "unmap"}, .run = owed, .len = G1, .calls = 1,
     .off = K4, .per = PAGES_1G, .pages = 600, .only = ROW_OURS},
    {.name = "1 GiB of 2M", .unit = "call", .part = {"map", "unmap"}, .run = again, .len = G1, .calls = 200,
     .off = M2, .leaf = M2},
    {.name = "mixed 4K+2M+1G", .unit = "call", .part = {"map", "unmap"}, .run = mixed, .leaf = G1, .pages = 1000},
    {.name = "identity 1 TiB", .unit = "call", .part = {"map", "unmap"}, .run = again, .len = T1, .calls = TERA_CALLS,
     .leaf = G1},
    {.name = "longest step, 1 GiB of 4K", .unit = "step", .part = {"map", "unmap"}, .run = longest, .len = G1,
     .off = K4, .pages = 600, .only = ROW_OURS},
    {.name = NULL},
};

const struct row rows_size[] = {
/* Small calls through 64 MiB: the clock around one would take a quarter of what 1 MiB does. */
#define SIZE(text, bytes)                                                                          \
    {.name = "4K in one call, " text, .unit = "page", .part = {"map", "unmap"}, .run = along,      \
     .len = (bytes), .calls = (bytes) < 64 * M1 ? 64 * M1 / (bytes) : 1, .off = K4,                \
     .per = (double)((bytes) / K4), .pages = (uint32_t)((bytes) / M2) + 200}
    SIZE("1 MiB", M1), SIZE("4 MiB", 4 * M1), SIZE("16 MiB", 16 * M1), SIZE("64 MiB", 64 * M1),
    SIZE("256 MiB", 256 * M1), SIZE("1 GiB", G1), SIZE("4 GiB", 4 * G1), SIZE("16 GiB", 16 * G1),
    SIZE("64 GiB", 64 * G1),
    {.name = NULL},
};
