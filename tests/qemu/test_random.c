/* SPDX-License-Identifier: MIT */
/*
 * Random batches on QEMU's units, see lib_random.h.
 *
 * usage: qemu_random [--seed N] [--ops N]
 *   --seed N  first random number, the same for every variant; 0 takes the time (default 1)
 *   --ops N   operations for each variant (default 1200)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib_random.h"

struct variant {
    const char *name;
    struct lib_config cfg;
};

static const struct variant variants[] = {
    { "vtd, 48 bits", { .nics = true, .contexts = LIB_RANDOM_CONTEXTS, .aw_bits = 48 } },
    { "vtd, 39 bits",
      { .nics = true, .contexts = LIB_RANDOM_CONTEXTS, .aw_bits = 39, .trim = true } },
    { "vtd, 48 bits, caching mode",
      { .nics = true, .contexts = LIB_RANDOM_CONTEXTS, .aw_bits = 48, .caching_mode = true } },
    { "vtd, 39 bits, caching mode",
      { .nics = true, .contexts = LIB_RANDOM_CONTEXTS, .aw_bits = 39, .caching_mode = true } },
    { "amdvi", { .nics = true, .contexts = LIB_RANDOM_CONTEXTS, .amd = true } },
    { "amdvi, trim", { .nics = true, .contexts = LIB_RANDOM_CONTEXTS, .amd = true, .trim = true } },
};

static bool number(const char *text, uint64_t *value)
{
    char *end;

    *value = text ? strtoull(text, &end, 0) : 0;
    return text && *text && !*end;
}

static bool run(const struct variant *variant, uint64_t seed, uint64_t ops)
{
    static struct lib_random r;
    static struct lib lib;

    lib_start(&lib, &variant->cfg);
    lib.what = variant->name;
    lib_random_run(&lib, seed, ops, &r);
    printf("%-28s seed %" PRIu64 ": %" PRIu64 " operations in %" PRIu64
           " batches, %u resumed, %" PRIu64 " DMAs (%u landed, %u refused), %" PRIu64
           " faults recorded: %s\n",
           variant->name, seed, r.ops, r.batches, lib.resumed, r.probes, r.landed, r.refused,
           r.faults, lib.failures ? "FAILED" : "ok");
    lib_stop(&lib);
    return lib.failures == 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, ops = 1200;
    int i, failed = 0;
    size_t v;

    for (i = 1; i < argc; i += 2) {
        if (!(strcmp(argv[i], "--seed") == 0 && number(argv[i + 1], &seed)) &&
            !(strcmp(argv[i], "--ops") == 0 && number(argv[i + 1], &ops))) {
            fprintf(stderr, "usage: %s [--seed N] [--ops N]\n", argv[0]);
            return 2;
        }
    }
    if (seed == 0)
        seed = (uint64_t)time(NULL) << 16 ^ (uint64_t)getpid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (v = 0; v < sizeof(variants) / sizeof(variants[0]); v++)
        failed += !run(&variants[v], seed, ops);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
