/* SPDX-License-Identifier: MIT */
/* What batches cost in invalidations, in the ring and in QEMU's trace. See lib_checks_trace.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib_checks.h"
#include "lib_runner.h"

static const struct lib_variant variants[] = {
    { "vtd", { .trace = lib_trace_events } },
    { "vtd 39, caching mode", { .aw_bits = 39, .caching_mode = true, .trace = lib_trace_events } },
    { "vtd, trim", { .trim = true, .trace = lib_trace_events } },
    { "amdvi", { .amd = true, .trace = lib_trace_events } },
};

int main(void)
{
    return lib_run_variants(variants, sizeof(variants) / sizeof(variants[0]), lib_trace_scenarios,
                            lib_nr_trace_scenarios)
               ? EXIT_FAILURE
               : EXIT_SUCCESS;
}
