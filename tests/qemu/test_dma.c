/* SPDX-License-Identifier: MIT */
/*
 * The library's mappings judged by DMA: both units, every leaf size, rights, contexts, identity,
 * changes under a warm cache, the unit's own life. See lib_checks.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib_checks.h"
#include "lib_runner.h"

static const struct lib_variant variants[] = {
    { "vtd 48", { .aw_bits = 48 } },
    { "vtd 39, caching mode, trim", { .aw_bits = 39, .caching_mode = true, .trim = true } },
    { "vtd 48, 3 levels", { .aw_bits = 48, .iova_bits = 39 } },
    { "amdvi mode 4", { .amd = true } },
    { "amdvi mode 6, trim", { .amd = true, .iova_bits = 64, .trim = true } },
};

/* The default context as a domain has it that is passed through. */
static const struct lib_variant identity_variants[] = {
    { "vtd, default context is identity", { .default_identity = true } },
    { "amdvi, default context is identity", { .amd = true, .default_identity = true } },
};
static const struct lib_scenario identity_scenarios[] = {
    { "default identity", lib_check_default_identity },
};

static void run_life(void **state)
{
    const struct lib_config *cfg = *state;
    unsigned failures = 0;

    lib_check_life(cfg, NULL, &failures);
    assert_int_equal(failures, 0);
}

int main(void)
{
    static struct lib_config vtd = { .caching_mode = true }, amdvi = { .amd = true };
    const struct CMUnitTest lives[] = {
        { "life of a VT-d unit", run_life, NULL, NULL, &vtd },
        { "life of an AMD-Vi unit", run_life, NULL, NULL, &amdvi },
    };
    int failed = lib_run_variants(variants, sizeof(variants) / sizeof(variants[0]),
                                  lib_dma_scenarios, lib_nr_dma_scenarios);

    failed += lib_run_variants(identity_variants, 2, identity_scenarios, 1);
    failed += cmocka_run_group_tests(lives, NULL, NULL);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
