/* SPDX-License-Identifier: MIT */
/*
 * What hypercalls cost, in ticks of the time stamp counter: instructions, under QEMU's -icount. Beside it, by debug key B, what Xen's
 * own functions cost (shim/xen/bench.c); scripts/xen-test --cost makes a table of both.
 */
#include "iommu43.h"

#define XEN_SYSCTL 35
#define SYSCTL_DEBUG_KEYS 7
#define VERSION_FIRST 0x10 /* of that interface; a Xen takes one alone */
#define VERSION_LAST 0x30

#define COST_DFN 0x4000001ull /* as in bench.c: where nothing is, and off a boundary */
#define TURNS 4u         /* the first makes the tables */

struct sysctl {
    uint32_t cmd, version;
    uint64_t keys;
    uint32_t nr_keys;
    unsigned char more[256];
};

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void xen_own(void)
{
    static const char key = 'B';
    static struct sysctl arg;
    long rc = EACCES;

    for (uint32_t version = VERSION_FIRST; version <= VERSION_LAST && rc == EACCES; version++) {
        arg = (struct sysctl){.cmd = SYSCTL_DEBUG_KEYS, .version = version, .keys = (uint64_t)&key, .nr_keys = 1};
        rc = xen_call(XEN_SYSCTL, (unsigned long)&arg, 0, 0, 0);
    }
    is(rc, 0, "cost: Xen's own functions");
}

/* The turn counts that no interrupt fell into. */
static uint64_t less(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Maps and unmaps nr frames that follow one another, in one call each. */
static void pages(uint16_t ctx, uint64_t gfn, uint32_t nr)
{
    uint64_t start, middle, end, map = UINT64_MAX, unmap = UINT64_MAX;
    uint32_t done = 0;
    long rc = 0;

    for (unsigned i = 0; i < TURNS; i++) {
        start = ticks();
        rc = iommu_map(ctx, COST_DFN, gfn, nr, 3, &done);
        middle = ticks();
        rc |= iommu_unmap(ctx, COST_DFN, nr, &done);
        end = ticks();
        map = less(map, middle - start);
        unmap = less(unmap, end - middle);
    }
    is(rc, 0, "cost: %u pages", nr);
    note("cost call43 %u %lu %lu", nr, map, unmap);
}

void test_cost(void)
{
    static const uint32_t sizes[] = {1, 16, 512};
    uint64_t start, gfn, nothing = UINT64_MAX;
    uint16_t ctx;

    for (unsigned i = 0; i < TURNS; i++) {
        start = ticks();
        (void)iommu_noop();
        nothing = less(nothing, ticks() - start);
    }
    note("cost noop 1 %lu 0", nothing);
    is(iommu_init(4, 8), 0, "cost: init");
    is(iommu_alloc(0, &ctx), 0, "cost: alloc");
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (memory_run(sizes[i] + 1, &gfn) > sizes[i]) {
            pages(ctx, gfn + gfn % 2, sizes[i]); /* even and COST_DFN odd: AMD's units, too, have nothing larger for it than 4 KiB */
        } else {
            note("no %u frames that follow one another", sizes[i]);
        }
    }
    xen_own();
}
