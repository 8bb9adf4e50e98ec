/* SPDX-License-Identifier: MIT */
/*
 * usage: engine_random FORMAT OPERATIONS [SEED]
 *
 * Random operations of all kinds on tables of one format, of all depths, sets of sizes and conditions, judged by the models
 * and walkers of tests/unit. The same seed gives the same operations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

static const struct lab_format *format;
static unsigned operations;
static uint64_t seed = 20;

static void random_operations(void **state)
{
    (void)state;
    lab_random_tables(format, operations, seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_operations)};

    for (unsigned i = 0; argc >= 3 && i < lab_nr_depths; i++) {
        if (strcmp(lab_depths[i].f->name, argv[1]) == 0) {
            format = lab_depths[i].f;
        }
    }
    if (!format) {
        fprintf(stderr, "usage: engine_random vtd-ss|vtd-fs|amdvi-v1|amdvi-v2|hostile OPERATIONS [SEED]\n");
        return 2;
    }
    operations = (unsigned)strtoul(argv[2], NULL, 10);
    seed = argc > 3 ? strtoull(argv[3], NULL, 10) : seed;
    return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
