/* SPDX-License-Identifier: MIT */
/*
 * The benchmark's own words: a contender is one implementation of one table format, a row is one workload, a part of a
 * row is one figure (map and unmap apart), a sample is one run of a row by one contender. See docs/bench.md.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define K4 (1ull << 12)
#define M1 (1ull << 20)
#define M2 (1ull << 21)
#define G1 (1ull << 30)
#define T1 (1ull << 40)

#define PAGES_1G 262144u

/** Where the mappings of a thread begin; below 2^47, so that every format with 4 levels reaches it. */
#define IOVA_BASE(slot) (T1 + ((uint64_t)(slot) << 41))
/** Frames: `off` keeps larger leaves from fitting. */
#define PA_BASE(off) ((1ull << 42) + (off))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/** What a workload asks of a table when it is made. */
struct need {
    uint32_t pages; /**< table pages that must be there */
    bool dirty;     /**< hardware notes what devices write */
    bool owe;       /**< every leaf owes its frame */
    bool shared;    /**< two threads */
};

struct batch_ops;

/** One implementation of one format. Two threads may use two ports of one table on disjoint gigabytes at the same time. */
struct contender {
    const char *name;
    const char *format; /**< "vtd-ss", "vtd-fs", "amdvi-v1", "amdvi-v2"; the floor's is "floor" */
    bool ours;
    uint64_t sizes;     /**< leaf sizes that it chooses from */
    void *(*create)(const struct need *need);
    void (*destroy)(void *table);
    void *(*port)(void *table, unsigned slot);
    int (*map)(void *port, uint64_t iova, uint64_t pa, uint64_t len);
    uint64_t (*unmap)(void *port, uint64_t iova, uint64_t len); /**< bytes that were mapped */
    uint64_t (*lookup)(void *port, uint64_t iova);              /**< physical address, 0: not mapped */
    /* NULL where it has no such thing */
    int (*dirty)(void *port, uint64_t iova, uint64_t len, uint64_t *bitmap);
    int (*set_dirty)(void *port, uint64_t iova);
    uint64_t (*longest_map)(void *port, uint64_t iova, uint64_t pa, uint64_t len);
    uint64_t (*longest_unmap)(void *port, uint64_t iova, uint64_t len);
    const struct batch_ops *batch;
};

/** Batches of operations, the way a guest's arrive. */
struct batch_ops {
    void *(*create)(uint32_t ops);
    void (*destroy)(void *machine);
    /** Prepares operation i: nr frames at iova, mapped or unmapped. */
    void (*load)(void *machine, uint32_t i, bool map, uint64_t iova, uint64_t gfn, uint64_t nr);
    /** Submits nr operations from first on as one batch; 0: all of them succeeded. */
    int (*submit)(void *machine, uint32_t first, uint32_t nr);
    /** The same; clock ticks of the longest piece of it between two checkpoints, 0: it failed. */
    uint64_t (*longest)(void *machine, uint32_t first, uint32_t nr);
    /** Frames that are still referenced. */
    uint64_t (*referenced)(void *machine);
};

/** NULL-terminated; made by the build. */
extern const struct contender *const contenders[];

/* Time -------------------------------------------------------------------------------------------- */

/** A serialised read of the time stamp counter. */
static inline uint64_t ticks(void)
{
    uint32_t lo, hi, aux;

    __asm__ volatile("lfence\n\trdtscp\n\tlfence" : "=a"(lo), "=d"(hi), "=c"(aux) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

extern double ns_per_tick;

/* Workloads --------------------------------------------------------------------------------------- */

#define MAX_PARTS 3u

struct row;

/** One run of one row by one contender. */
struct job {
    const struct contender *c;
    const struct row *row;
    void *table;
    void *port;
    unsigned slot;       /**< thread: 0, or 1 in rows of two */
    double t[MAX_PARTS]; /**< ns per call; negative: no figure */
};

struct row {
    const char *name;
    const char *unit;            /**< what one figure is about: "op", "call", "page" */
    const char *part[MAX_PARTS]; /**< "map", "unmap", ...; NULL: no more */
    void (*run)(struct job *j);
    uint64_t len;                /**< bytes of a call */
    uint64_t calls;
    uint64_t off;                /**< of the frames, see PA_BASE() */
    double per;                  /**< a figure is divided by this: pages of a call */
    uint32_t pages;              /**< table pages */
    uint8_t threads;             /**< 0 and 1: one */
    uint8_t only;                /**< enum row_only */
    uint64_t leaf;               /**< leaf size without which the row makes no sense */
};

enum row_only {
    ROW_ALL,
    ROW_OURS,  /**< the library's contenders and floors with the same name of row */
    ROW_DIRTY, /**< contenders that note what devices write */
    ROW_BATCH
};

/* Each ends with a row without a name. */
extern const struct row rows_single[], rows_bulk[], rows_lookup[], rows_threads[], rows_batch[], rows_size[];

/** Random permutations; the same ones in every run. */
extern uint32_t *perm_1g, *perm_1g_b, *perm_16g;
#define N_16G 1048576u /* operations of the 16 GiB rows */

void fail(const struct job *j, const char *what) __attribute__((noreturn));
#define CHECK(j, ok)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!(ok), 0)) {                                                          \
            fail(j, #ok);                                                                          \
        }                                                                                          \
    } while (0)

/** A new table for a job, sized for its row. */
void job_table(struct job *j, const struct need *need);
void job_end(struct job *j);
/** Makes every last-level table of [iova, iova + len) be there, with nothing mapped. */
void job_warm(struct job *j, uint64_t iova, uint64_t len);
void keep(uint64_t value); /**< makes a result count as used */

/* Floors of the machine ----------------------------------------------------------------------------- */

enum machine_floor {
    FLOOR_STORES,    /**< ns per 8-byte store, 2 MiB in sequence */
    FLOOR_LOADS,     /**< ns per 8-byte load, 2 MiB in sequence */
    FLOOR_ZERO_PAGE, /**< ns to zero one table page, over 2 MiB */
    FLOOR_TICKS,     /**< ns of a pair of clock reads */
    FLOOR_NR
};

/** One sample of each floor, interleaved with the rows. */
void floors_sample(double out[FLOOR_NR]);
const char *floor_name(enum machine_floor f);

#endif
