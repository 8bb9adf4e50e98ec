/* SPDX-License-Identifier: MIT */
/* Samples, clean and disturbed, and what is made of them. */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include "bench.h"

#define MAX_SAMPLES 64u

/** Samples of one figure. */
struct series {
    unsigned nr;
    float real[MAX_SAMPLES], cpu[MAX_SAMPLES]; /**< ns per unit of the row */
    bool disturbed[MAX_SAMPLES];
};

/** What a series comes to. nr 0: nothing was measured. */
struct summary {
    unsigned nr;    /**< samples that were used */
    bool disturbed; /**< too few clean ones: all were used */
    double median, min, mean, stddev, cpu_median;
};

/** One row of one contender. */
struct cell {
    struct series part[MAX_PARTS];
};

/** One thing that is sampled in turn. */
struct entry {
    const struct contender *c;
    const struct row *row;
    struct cell cell;
};

extern struct entry *entries;
extern unsigned nr_entries;
extern struct series machine[FLOOR_NR];

void add_sample(struct series *s, double real, double cpu, bool disturbed);
struct summary summarise(const struct series *s);
/** Has every figure of the entry `enough` clean samples? */
bool has_enough(const struct entry *e, unsigned enough);
/** The figure of a contender's row; NULL: there is none. */
const struct series *find_series(const struct contender *c, const char *row, unsigned part);

/* The core's quietness: see sample.c. */
void quiet_calibrate(void);
bool quiet_now(void);

/** Pins this thread. */
void pin(int cpu);
extern int cpus[2]; /**< of the first and second thread; -1: there is no second */

/** Runs an entry once and keeps the sample. */
void sample_entry(struct entry *e);
void sample_machine(void);

/* Output */
void print_tables(void);
void print_machine(void);
/** @return how many goals were missed. */
unsigned print_goals(void);
/** @return 0, or -1 with errno. */
int write_json(const char *path, bool every_sample, int argc, char **argv);
int write_data(const char *dir);
/** Fills 17 bytes or fewer with a figure that is easy to read. */
void figure(char out[24], double value);

#endif
