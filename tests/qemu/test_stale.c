/* SPDX-License-Identifier: MIT */
/* Translations live until exactly our flush, on both units. See lib_checks_stale.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib_checks.h"
#include "lib_runner.h"

static const struct lib_variant variants[] = {
    { "vtd", { .aw_bits = 48 } },
    { "vtd, caching mode", { .aw_bits = 48, .caching_mode = true } },
    { "vtd 39, trim", { .aw_bits = 39, .trim = true } },
    { "amdvi", { .amd = true } },
    { "amdvi, trim", { .amd = true, .trim = true } },
};

int main(void)
{
    return lib_run_variants(variants, sizeof(variants) / sizeof(variants[0]), lib_stale_scenarios,
                            lib_nr_stale_scenarios)
               ? EXIT_FAILURE
               : EXIT_SUCCESS;
}
