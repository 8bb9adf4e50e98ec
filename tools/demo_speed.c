/* SPDX-License-Identifier: MIT */
/* Map and unmap through the engine, beside a loop of plain 8-byte stores: ratios in one run are what counts. */
#include "demo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPEED_PAGES 0x40000ull /* 1 GiB of 4 KiB leaves */
#define SPEED_RUNS 7u

struct speed {
    struct pvi_host *host;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    struct pvi_gather gather;
};

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, SPEED_RUNS, sizeof(*v), by_value);
    return v[SPEED_RUNS / 2];
}

/* 512 stores to each of the tables that 1 GiB of leaves takes, one after the other. */
static double floor_ns(uint64_t *mem)
{
    double start = now_ns();
    uint64_t i, leaf = 3;

    for (i = 0; i < SPEED_PAGES; i++, leaf += PVI_PAGE_SIZE) {
        __atomic_store_n(&mem[i], leaf, __ATOMIC_RELAXED);
    }
    return (now_ns() - start) / (double)SPEED_PAGES;
}

static bool map_ns(struct speed *s, uint64_t pages, uint64_t call, double *ns)
{
    double start = now_ns();
    uint64_t at;

    for (at = 0; at < pages; at += call) {
        /* The frame is 4 KiB off, so that no larger leaf fits. */
        struct pvi_pt_map r = {.iova = at << PVI_PAGE_LG2, .pa = 0x100001000ull + (at << PVI_PAGE_LG2),
                               .len = call << PVI_PAGE_LG2, .prot = PVI_RW};

        while (r.done < r.len) {
            if (s->pt.cfg.ops->map(&s->pt, NULL, &r, &s->gather) != 0) {
                return false;
            }
        }
        pvi_gather_flush(&s->gather);
    }
    *ns = (now_ns() - start) / (double)pages;
    return true;
}

static bool unmap_ns(struct speed *s, uint64_t pages, uint64_t call, double *ns)
{
    double start = now_ns();
    uint64_t at;

    for (at = 0; at < pages; at += call) {
        struct pvi_pt_unmap r = {.first = at << PVI_PAGE_LG2, .next = at << PVI_PAGE_LG2,
                                 .last = ((at + call) << PVI_PAGE_LG2) - 1};

        while (!r.complete) {
            if (s->pt.cfg.ops->unmap(&s->pt, NULL, &r, &s->gather) != 0) {
                return false;
            }
        }
        pvi_gather_flush(&s->gather);
    }
    *ns = (now_ns() - start) / (double)pages;
    return true;
}

static bool speed_start(struct speed *s, const struct pvi_pt_ops *ops)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000ull, .size = 8 << 20};
    struct pvi_pt_cfg cfg = {.ops = ops, .page_sizes = ops->page_sizes, .levels = 4, .iova_bits = 48,
                             .pa_bits = 48, .coherent = true};
    uint32_t done;

    memset(s, 0, sizeof(*s));
    s->quota.limit = UINT32_MAX;
    s->host = pvi_posix_new(&memory);
    if (!s->host) {
        return false;
    }
    pvi_pool_init(&s->pool, s->host);
    pvi_gather_init(&s->gather, s->host, NULL, ops);
    return pvi_pool_grow(&s->pool, 1024, &done) == 0 && pvi_pt_init(&s->pt, &cfg, &s->pool, &s->quota) == 0;
}

static void speed_row(json_t *rows, const char *format, const char *work, double *map, double *unmap,
                      double floor)
{
    double m = median(map), u = median(unmap);

    if (rows) {
        json_array_append_new(rows, json_pack("{s:s, s:s, s:f, s:f, s:f}", "format", format, "work", work,
                                              "map_ns_per_page", m, "unmap_ns_per_page", u,
                                              "store_floor_ns", floor));
    } else {
        printf("  %-10s %-28s %8.2f %8.2f %8.2f %9.1fx\n", format, work, m, u, floor, m / floor);
    }
}

static bool speed_format(json_t *rows, const struct pvi_pt_ops *ops, uint64_t *mem)
{
    static const struct {
        const char *work;
        uint64_t pages, call;
    } work[] = {{"1 GiB of 4K in one call", SPEED_PAGES, SPEED_PAGES},
                {"256 x 4K a call", 0x10000, 256},
                {"4K a call, in sequence", 0x10000, 1}};
    double map[SPEED_RUNS], unmap[SPEED_RUNS], floor[SPEED_RUNS];
    struct speed s;
    unsigned i, run;
    bool ok = speed_start(&s, ops);

    for (i = 0; ok && i < sizeof(work) / sizeof(work[0]); i++) {
        for (run = 0; ok && run < SPEED_RUNS; run++) {
            floor[run] = floor_ns(mem);
            ok = map_ns(&s, work[i].pages, work[i].call, &map[run]) &&
                 unmap_ns(&s, work[i].pages, work[i].call, &unmap[run]);
        }
        if (ok) {
            speed_row(rows, ops->name, work[i].work, map, unmap, median(floor));
        }
    }
    if (s.host) {
        pvi_posix_free(s.host);
    }
    return ok;
}

int demo_speed(json_t *rows, const bool unit[2])
{
    uint64_t *mem = calloc(SPEED_PAGES, sizeof(*mem));
    bool ok = mem != NULL;

    if (!rows) {
        printf("\nthroughput, ns per 4 KiB page (median of %u; shared machines move both sides)\n", SPEED_RUNS);
        printf("  %-10s %-28s %8s %8s %8s %10s\n", "format", "work", "map", "unmap", "floor", "map/floor");
    }
    ok = ok && (!unit[0] || speed_format(rows, &pvi_vtd_ss_ops, mem)) && (!unit[1] || speed_format(rows, &pvi_amdvi_v1_ops, mem));
    free(mem);
    return ok ? 0 : 1;
}
