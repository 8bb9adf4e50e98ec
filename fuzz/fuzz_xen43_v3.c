/* SPDX-License-Identifier: MIT */
/* The form that hypercall 43 had in 2024, under arbitrary guests: as fuzz_xen43.c, but one structure of 32 bytes. */
#include "guest.h"
#include <pviommu/abi/xen43_v3.h>
#include <stdlib.h>
#include <string.h>

#define AT 16u
#define MAX_CALLS 160u

static struct fuzz_guest g;

static void put(unsigned at, unsigned len, uint64_t value)
{
    memcpy(g.mem + AT + at, &value, len);
}

static uint64_t get(unsigned at, unsigned len)
{
    uint64_t value = 0;

    memcpy(&value, g.mem + AT + at, len);
    return value;
}

static void plausible(unsigned subop, uint8_t flags)
{
    put(0, 2, subop);
    put(2, 2, flags >> 4 & 7);
    put(4, 4, (flags & 8) != 0 ? fuzz_le(&g.in, 4) : subop == 5 ? 1u + (flags & 3) % 3u : subop == 2 ? flags & 1 : 0);
    switch (subop) {
    case 4:
        put(8, 4, (uint32_t)(0x10 + (flags & 3) * 8) << 24);
        break;
    case 5:
        put(8, 8, fuzz_gfn(&g));
        put(16, 8, fuzz_dfn(&g));
        put(24, 4, fuzz_count(&g) >> (flags >> 2 & 1));
        break;
    case 6:
        put(8, 8, fuzz_dfn(&g));
        put(16, 4, fuzz_count(&g) >> (flags >> 2 & 1));
        break;
    case 7:
        put(16, 8, fuzz_dfn(&g));
        break;
    default:
        break;
    }
}

static struct fuzz_call asked(void)
{
    struct fuzz_call c = {.ctx = (uint16_t)get(2, 2), .frames = 1};

    switch (get(0, 2)) {
    case 2:
        c.what = get(4, 4) >> 20 == 0 ? FUZZ_ALLOC : FUZZ_OTHER; /* a forged continuation may tell a number that lives */
        c.identity = (get(4, 4) & 1) != 0;
        break;
    case 3:
        c.what = FUZZ_FREE;
        break;
    case 5:
        c.what = FUZZ_MAP;
        c.gfn = get(8, 8);
        c.dfn = get(16, 8);
        c.nr = get(24, 4);
        c.prot = get(4, 4) & 3;
        break;
    case 6:
        c.what = FUZZ_UNMAP;
        c.dfn = get(8, 8);
        c.nr = get(16, 4);
        break;
    case 7:
        c.what = FUZZ_LOOKUP;
        c.dfn = get(16, 8);
        break;
    default:
        break;
    }
    return c;
}

static void run_call(void)
{
    uint8_t head = fuzz_u8(&g.in), flags = fuzz_u8(&g.in);
    struct fuzz_call c;
    unsigned turns = 0;

    memset(g.mem, head, sizeof(g.mem));
    if ((head & 0x80) != 0) {
        for (unsigned i = 0; i < 32; i++) {
            put(i, 1, fuzz_u8(&g.in));
        }
    } else {
        plausible((head & 8) != 0 ? 5 + (head & 1) : head & 7, flags);
    }
    c = asked();
    do {
        c.rc = pvi_xen43_v3_call(&g.call, FUZZ_MEM + AT);
        pvi_posix_checkpoint(g.host);
        if (++turns > 2000000) {
            abort();
        }
    } while (c.rc == -PVI_XEN_ERESTART);
    c.done = c.what == FUZZ_MAP ? get(28, 4) : c.what == FUZZ_UNMAP ? get(20, 4) : 0;
    c.made = (uint16_t)get(2, 2);
    c.found = get(8, 8);
    fuzz_guest_judge(&g, &c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_guest_start(&g, data, size, true);
    for (unsigned calls = 1; g.in.left > 0 && calls <= MAX_CALLS; calls++) {
        run_call();
        if (g.in.left == 0 || calls % 8 == 0) {
            fuzz_guest_tables(&g);
        }
    }
    fuzz_guest_end(&g);
    return 0;
}
