/* SPDX-License-Identifier: MIT */
/* Rows that read: lookups, and what devices have written. */
#include "bench.h"
#include <stdlib.h>
#include <string.h>

static void map_all(struct job *j, uint64_t len)
{
    CHECK(j, j->c->map(j->port, IOVA_BASE(j->slot), PA_BASE(j->row->off), len) == 0);
}

static void lookups(struct job *j, const uint32_t *order, uint64_t mask, uint64_t unit, uint64_t n)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(j->slot), sum = 0, t0, i;

    t0 = ticks();
    for (i = 0; i < n; i++) {
        sum += c->lookup(j->port, iova + (order[i] & mask) * unit);
    }
    j->t[0] = (double)(ticks() - t0) * ns_per_tick / (double)n;
    keep(sum);
}

/* Each address needs the answer before it. */
static void dependent(struct job *j)
{
    const struct contender *c = j->c;
    uint64_t iova = IOVA_BASE(0), pa = 0, t0, i;

    map_all(j, G1);
    t0 = ticks();
    for (i = 0; i < PAGES_1G; i++) {
        pa = c->lookup(j->port, iova + perm_1g_b[i] * K4 + (pa & 1));
    }
    j->t[0] = (double)(ticks() - t0) * ns_per_tick / PAGES_1G;
    keep(pa);
}

static void random_4k(struct job *j)
{
    uint64_t i;

    map_all(j, j->row->len);
    if (j->row->len == G1) {
        lookups(j, perm_1g, UINT32_MAX, K4, PAGES_1G);
        CHECK(j, j->t[0] > 0);
    } else {
        lookups(j, perm_16g, UINT32_MAX, K4, N_16G);
    }
    for (i = 0; i < 1000; i++) {
        uint64_t at = perm_1g[i] * K4;

        CHECK(j, j->c->lookup(j->port, IOVA_BASE(j->slot) + at + 5) == PA_BASE(j->row->off) + at + 5);
    }
}

static void random_2m(struct job *j)
{
    map_all(j, 32 * G1);
    lookups(j, perm_1g, 16383, M2, PAGES_1G);
}

#define DIRTY_PAGES (PAGES_1G / 100)

static void dirty_scan(struct job *j)
{
    struct need need = {.pages = j->row->pages, .dirty = true};
    uint64_t *bitmap, t0, t1, found = 0;
    unsigned i;

    job_table(j, &need);
    bitmap = calloc(PAGES_1G / 64, sizeof(*bitmap));
    CHECK(j, bitmap != NULL);
    map_all(j, G1);
    t0 = ticks();
    CHECK(j, j->c->dirty(j->port, IOVA_BASE(0), G1, bitmap) == 0);
    t1 = ticks();
    j->t[0] = (double)(t1 - t0) * ns_per_tick;
    for (i = 0; i < DIRTY_PAGES; i++) {
        CHECK(j, j->c->set_dirty(j->port, IOVA_BASE(0) + perm_1g[i] * K4) == 0);
    }
    t0 = ticks();
    CHECK(j, j->c->dirty(j->port, IOVA_BASE(0), G1, bitmap) == 0);
    t1 = ticks();
    j->t[1] = (double)(t1 - t0) * ns_per_tick;
    for (i = 0; i < PAGES_1G / 64; i++) {
        found += (uint64_t)__builtin_popcountll(bitmap[i]);
    }
    CHECK(j, found == DIRTY_PAGES);
    free(bitmap);
}

const struct row rows_lookup[] = {
    {.name = "lookup random 1 GiB", .unit = "op", .part = {"lookup"}, .run = random_4k, .len = G1, .off = K4,
     .pages = 600},
    {.name = "lookup dependent 1 GiB", .unit = "op", .part = {"lookup"}, .run = dependent, .off = K4, .pages = 600},
    {.name = "lookup random 16 GiB", .unit = "op", .part = {"lookup"}, .run = random_4k, .len = 16 * G1, .off = K4,
     .pages = 8300},
    {.name = "lookup random 32 GiB of 2M", .unit = "op", .part = {"lookup"}, .run = random_2m, .off = M2, .leaf = M2},
    {.name = "dirty scan 1 GiB of 4K", .unit = "page", .part = {"clean", "1% dirty"}, .run = dirty_scan, .off = K4,
     .per = PAGES_1G, .pages = 600, .only = ROW_DIRTY},
    {.name = NULL},
};
