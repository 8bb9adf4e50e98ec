/* SPDX-License-Identifier: MIT */
/* The page-table engine, in every format: random operations of all kinds, judged by recorder, models and walkers. */
#include "lab.h"

#define OPERATIONS 6000u

static void vtd_second_stage(void **state)
{
    (void)state;
    lab_random_tables(&lab_vtd, OPERATIONS, 1);
}

static void vtd_first_stage(void **state)
{
    (void)state;
    lab_random_tables(&lab_fs, OPERATIONS, 2);
}

static void amdvi_v1(void **state)
{
    (void)state;
    lab_random_tables(&lab_amd, 2 * OPERATIONS, 3);
}

static void amdvi_v2(void **state)
{
    (void)state;
    lab_random_tables(&lab_v2, OPERATIONS, 4);
}

static void hostile(void **state)
{
    (void)state;
    lab_random_tables(&lab_hostile, 2 * OPERATIONS, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vtd_second_stage), cmocka_unit_test(vtd_first_stage), cmocka_unit_test(amdvi_v1),
        cmocka_unit_test(amdvi_v2),         cmocka_unit_test(hostile),
    };

    return cmocka_run_group_tests_name("engine: random", tests, NULL, NULL);
}
