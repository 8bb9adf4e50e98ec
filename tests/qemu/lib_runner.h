/* SPDX-License-Identifier: MIT */
/*
 * Scenarios as CMocka tests: for each variant of the machine one group, one start of QEMU. Header
 * only, so that nothing but the tests needs CMocka; include cmocka.h first.
 */
#ifndef QEMU_LIB_RUNNER_H
#define QEMU_LIB_RUNNER_H

#include <string.h>

#include "lib_checks.h"

#define LIB_RUNNER_MAX 16u

struct lib_variant {
    const char *name;
    struct lib_config cfg;
};

static struct lib lib_runner_lib;

static inline void lib_runner_scenario(void **state)
{
    const struct lib_scenario *scenario = *state;
    unsigned before = lib_runner_lib.failures;

    lib_runner_lib.what = scenario->name;
    scenario->run(&lib_runner_lib);
    assert_int_equal(lib_runner_lib.failures, before);
}

static inline int lib_runner_stop(void **state)
{
    unsigned before = lib_runner_lib.failures;

    (void)state;
    lib_runner_lib.what = "stop";
    lib_stop(&lib_runner_lib);
    return lib_runner_lib.failures == before ? 0 : -1;
}

/* Returns how many tests failed. */
static inline int lib_run_variants(const struct lib_variant *variants, size_t nr_variants,
                                   const struct lib_scenario *scenarios, unsigned nr)
{
    struct CMUnitTest tests[LIB_RUNNER_MAX];
    int failed = 0;
    unsigned i;
    size_t v;

    if (nr > LIB_RUNNER_MAX)
        return 1;
    memset(tests, 0, sizeof(tests));
    for (i = 0; i < nr; i++) {
        tests[i].name = scenarios[i].name;
        tests[i].test_func = lib_runner_scenario;
        tests[i].initial_state = (void *)(uintptr_t)&scenarios[i];
    }
    for (v = 0; v < nr_variants; v++) {
        lib_start(&lib_runner_lib, &variants[v].cfg);
        failed += lib_runner_lib.failures != 0;
        failed += _cmocka_run_group_tests(variants[v].name, tests, nr, NULL, lib_runner_stop);
    }
    return failed;
}

#endif
