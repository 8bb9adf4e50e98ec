/* SPDX-License-Identifier: MIT */
/*
 * How a sample is taken. On a shared machine the other hardware thread of the core, or another guest, slows a sample down
 * without costing this thread any CPU time. A short loop of register adds, timed before and after a sample, shows it: a
 * sample is clean when both took at most 15 % more than the best such loop ever seen, and when the thread never waited.
 */
#define _GNU_SOURCE
#include "sample.h"
#include "memory.h"
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DISTURBED 1.15
#define WAITED 1.05 /* wall time over CPU time of a sample */
#define CLOCKS 3000.0 /* ns: reading the two clocks */
#define USABLE 3u   /* with fewer clean samples all of them are used */

struct entry *entries;
unsigned nr_entries;
struct series machine[FLOOR_NR];
int cpus[2] = {-1, -1};
double ns_per_tick;

static double probe_best = 1e18;

void fail(const struct job *j, const char *what)
{
    fprintf(stderr, "pviommu-bench: %s/%s, row '%s': failed: %s\n", j->c->name, j->c->format, j->row->name, what);
    exit(2);
}

static volatile uint64_t kept;

void keep(uint64_t value)
{
    kept = value;
}

void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static double clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double probe(void)
{
    uint64_t a = 1, b = 2, c = 3, d = 4, best = UINT64_MAX;
    unsigned k, i;

    for (k = 0; k < 3; k++) {
        uint64_t t0 = ticks(), t;

        for (i = 0; i < 4000; i++) {
            __asm__ volatile("add $1, %0; add $1, %1; add $1, %2; add $1, %3" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
        }
        t = ticks() - t0;
        best = t < best ? t : best;
    }
    return (double)best;
}

void quiet_calibrate(void)
{
    double start = clock_ns(CLOCK_MONOTONIC), best;
    uint64_t t0 = ticks();
    unsigned k;

    while (clock_ns(CLOCK_MONOTONIC) - start < 2e8) {
    }
    ns_per_tick = (clock_ns(CLOCK_MONOTONIC) - start) / (double)(ticks() - t0);
    for (k = 0; k < 5000; k++) {
        best = probe();
        probe_best = best < probe_best ? best : probe_best;
    }
}

bool quiet_now(void)
{
    return probe() <= DISTURBED * probe_best;
}

void add_sample(struct series *s, double real, double cpu, bool disturbed)
{
    if (s->nr < MAX_SAMPLES) {
        s->real[s->nr] = (float)real;
        s->cpu[s->nr] = (float)cpu;
        s->disturbed[s->nr++] = disturbed;
    }
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static double median(const float *v, unsigned n)
{
    float sorted[MAX_SAMPLES];

    memcpy(sorted, v, n * sizeof(*v));
    qsort(sorted, n, sizeof(*sorted), by_value);
    return ((double)sorted[n / 2] + (double)sorted[(n - 1) / 2]) / 2;
}

struct summary summarise(const struct series *s)
{
    struct summary out = {.min = 1e18};
    float real[MAX_SAMPLES], cpu[MAX_SAMPLES];
    unsigned i, clean = 0;

    for (i = 0; i < s->nr; i++) {
        clean += !s->disturbed[i];
    }
    out.disturbed = clean < USABLE;
    for (i = 0; i < s->nr; i++) {
        if (out.disturbed || !s->disturbed[i]) {
            real[out.nr] = s->real[i];
            cpu[out.nr++] = s->cpu[i];
        }
    }
    if (out.nr == 0) {
        return out;
    }
    out.median = median(real, out.nr);
    out.cpu_median = median(cpu, out.nr);
    for (i = 0; i < out.nr; i++) {
        out.min = (double)real[i] < out.min ? (double)real[i] : out.min;
        out.mean += (double)real[i] / out.nr;
    }
    for (i = 0; i < out.nr; i++) {
        out.stddev += ((double)real[i] - out.mean) * ((double)real[i] - out.mean);
    }
    out.stddev = out.nr > 1 ? sqrt(out.stddev / (out.nr - 1)) : 0;
    return out;
}

bool has_enough(const struct entry *e, unsigned enough)
{
    unsigned p, i;

    for (p = 0; p < MAX_PARTS && e->row->part[p]; p++) {
        const struct series *s = &e->cell.part[p];
        unsigned clean = 0;

        for (i = 0; i < s->nr; i++) {
            clean += !s->disturbed[i];
        }
        if (s->nr != 0 && s->nr < MAX_SAMPLES && clean < enough) {
            return false;
        }
    }
    return true;
}

const struct series *find_series(const struct contender *c, const char *row, unsigned part)
{
    unsigned i;

    for (i = 0; i < nr_entries; i++) {
        if (entries[i].c == c && strcmp(entries[i].row->name, row) == 0) {
            return entries[i].cell.part[part].nr ? &entries[i].cell.part[part] : NULL;
        }
    }
    return NULL;
}

/* Running an entry -------------------------------------------------------------------------------- */

void job_table(struct job *j, const struct need *need)
{
    memory_reset();
    j->table = j->c->create(need);
    CHECK(j, j->table != NULL);
    j->port = j->c->port(j->table, j->slot);
}

void job_end(struct job *j)
{
    if (j->table) {
        j->c->destroy(j->table);
    }
    j->table = NULL;
    memory_reset();
}

void job_warm(struct job *j, uint64_t iova, uint64_t len)
{
    uint64_t at;

    for (at = 0; at < len; at += M2) {
        CHECK(j, j->c->map(j->port, iova + at, PA_BASE(K4), K4) == 0);
    }
    for (at = 0; at < len; at += M2) {
        CHECK(j, j->c->unmap(j->port, iova + at, K4) == K4);
    }
}

struct thread {
    struct job job;
    pthread_barrier_t *both;
    double wall, cpu;
    bool disturbed;
};

static void run_timed(struct thread *t)
{
    double wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    t->job.row->run(&t->job);
    t->cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    t->wall = clock_ns(CLOCK_MONOTONIC) - wall;
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;

    pin(cpus[t->job.slot]);
    t->disturbed = !quiet_now();
    pthread_barrier_wait(t->both);
    run_timed(t);
    pthread_barrier_wait(t->both);
    t->disturbed = t->disturbed || !quiet_now();
    return NULL;
}

/* Two threads at once; the figures of a pair are their means. */
static void run_two(struct thread *t)
{
    pthread_barrier_t both;
    pthread_t id[2];
    unsigned i, p;

    pthread_barrier_init(&both, NULL, 2);
    for (i = 0; i < 2; i++) {
        t[i].both = &both;
        if (pthread_create(&id[i], NULL, thread_main, &t[i]) != 0) {
            fail(&t[i].job, "no second thread");
        }
    }
    for (i = 0; i < 2; i++) {
        pthread_join(id[i], NULL);
    }
    pthread_barrier_destroy(&both);
    for (p = 0; p < MAX_PARTS; p++) {
        t[0].job.t[p] = (t[0].job.t[p] + t[1].job.t[p]) / 2;
    }
    t[0].wall = t[0].wall / t[0].cpu > t[1].wall / t[1].cpu ? t[0].wall : t[1].wall * t[0].cpu / t[1].cpu;
}

void sample_entry(struct entry *e)
{
    struct need need = {.pages = e->row->pages ? e->row->pages : 64, .shared = e->row->threads != 0};
    struct thread t[2] = {{.job = {.c = e->c, .row = e->row, .t = {-1, -1, -1}}}};
    double per = e->row->per > 0 ? e->row->per : 1, busy;
    bool disturbed;
    unsigned p;

    job_table(&t[0].job, &need);
    disturbed = e->row->threads != 2 && !quiet_now();
    if (e->row->threads == 2) {
        t[1] = t[0];
        t[1].job.slot = 1;
        t[1].job.port = e->c->port(t[0].job.table, 1);
        run_two(t);
        disturbed = t[0].disturbed || t[1].disturbed;
    } else {
        run_timed(&t[0]);
        disturbed = disturbed || !quiet_now();
    }
    busy = t[0].cpu / t[0].wall;
    disturbed = disturbed || t[0].wall > WAITED * t[0].cpu + CLOCKS;
    for (p = 0; p < MAX_PARTS && e->row->part[p]; p++) {
        if (t[0].job.t[p] >= 0) {
            add_sample(&e->cell.part[p], t[0].job.t[p] / per, t[0].job.t[p] / per * (busy < 1 ? busy : 1), disturbed);
        }
    }
    job_end(&t[0].job);
}

void sample_machine(void)
{
    double v[FLOOR_NR];
    bool disturbed = !quiet_now();
    unsigned f;

    floors_sample(v);
    disturbed = disturbed || !quiet_now();
    for (f = 0; f < FLOOR_NR; f++) {
        add_sample(&machine[f], v[f], v[f], disturbed);
    }
}
