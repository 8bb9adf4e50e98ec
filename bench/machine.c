/* SPDX-License-Identifier: MIT */
/* The floors of the machine itself: what stores, loads and zeroing cost with nothing around them. */
#include "bench.h"
#include <stdlib.h>
#include <string.h>

static uint64_t *area(void)
{
    static uint64_t *mem;

    if (!mem) {
        mem = aligned_alloc(M2, M2);
        if (!mem) {
            abort();
        }
        memset(mem, 1, M2);
    }
    return mem;
}

static double stores(void)
{
    volatile uint64_t *p = area(), *end = p + PAGES_1G;
    uint64_t t0 = ticks(), value;
    unsigned i;

    for (i = 0; i < 20; i++) {
        value = PA_BASE(3);
        for (p = area(); p != end; p++) {
            *p = value;
            value += K4;
        }
    }
    return (double)(ticks() - t0) * ns_per_tick / (20.0 * PAGES_1G);
}

static double loads(void)
{
    volatile uint64_t *p = area(), *end = p + PAGES_1G;
    uint64_t t0 = ticks(), sum = 0;
    unsigned i;

    for (i = 0; i < 20; i++) {
        for (p = area(); p != end; p++) {
            sum += *p;
        }
    }
    keep(sum);
    return (double)(ticks() - t0) * ns_per_tick / (20.0 * PAGES_1G);
}

static double zero_page(void)
{
    unsigned char *p = (unsigned char *)area();
    uint64_t t0 = ticks();
    unsigned i, k;

    for (i = 0; i < 20; i++) {
        for (k = 0; k < 512; k++) {
            memset(p + k * K4, 0, K4);
            __asm__ volatile("" : : "r"(p) : "memory");
        }
    }
    return (double)(ticks() - t0) * ns_per_tick / (20.0 * 512);
}

static double clock_reads(void)
{
    uint64_t first = ticks(), last = first;
    unsigned i;

    for (i = 0; i < 1000; i++) {
        last = ticks();
    }
    return (double)(last - first) * ns_per_tick / 1000;
}

const char *floor_name(enum machine_floor f)
{
    static const char *const name[FLOOR_NR] = {
        "8-byte store, sequential over 2 MiB",
        "8-byte load, sequential over 2 MiB",
        "zeroing one table page, over 2 MiB",
        "one reading of the clock",
    };

    return name[f];
}

void floors_sample(double out[FLOOR_NR])
{
    (void)loads(); /* warm */
    out[FLOOR_STORES] = stores();
    out[FLOOR_LOADS] = loads();
    out[FLOOR_ZERO_PAGE] = zero_page();
    out[FLOOR_TICKS] = clock_reads();
}
