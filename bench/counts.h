/* SPDX-License-Identifier: MIT */
/* Exact counts; see counts.c. */
#ifndef BENCH_COUNTS_H
#define BENCH_COUNTS_H

/**
 * Runs every workload once and prints what it took.
 * @param check NULL, or a table that the figures must equal.
 * @param update NULL, or where to write that table.
 * @return 0; 1 when something differs or a rule is broken; 2 when a file cannot be read or written.
 */
int counts_run(const char *check, const char *update);

#endif
