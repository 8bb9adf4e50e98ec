/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43 under arbitrary guests. The input is a configuration (4 bytes) and then calls: a head that says which sub-operation, layout
 * and whether its structure is made of plausible values or taken raw. Structures are read here by offset, not by the library's types.
 */
#include "guest.h"
#include <pviommu/abi/xen43.h>
#include <stdio.h>
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

/* Bytes that 32-bit guests leave out behind the first four. */
static unsigned gap(void)
{
    return g.call.compat ? 4 : 0;
}

static void plausible(unsigned subop, uint8_t flags)
{
    static const uint32_t sizes[] = {4096, 4096, 4096, 0x200000, 8192, 0x100000, 0x400000, 0};
    unsigned s = gap(), ctx = flags >> 4 & 7, at;

    put(0, 2, ctx);
    switch (subop) {
    case 2:
        put(0, 4, (flags & 1) != 0 ? FUZZ_CONTEXTS : fuzz_le(&g.in, 4));
        put(4, 4, (flags & 2) != 0 ? fuzz_le(&g.in, 4) : 4u + (flags >> 4 & 3u));
        break;
    case 3:
    case 4:
        put(4, 4, (flags & 8) != 0 ? fuzz_le(&g.in, 4) : flags & 1);
        break;
    case 5:
        put(2, 2, 0);
        put(4, 1, 0);
        put(5, 1, 0x10 + (flags & 3) * 8);
        put(8, 4, (flags & 8) != 0 ? 3 : 0);
        break;
    case 6:
        put(8 - s, 8, fuzz_gfn(&g));
        put(16 - s, 8, fuzz_dfn(&g));
        put(24 - s, 4, (flags & 8) != 0 ? fuzz_u8(&g.in) : 1u + (flags & 3) % 3u);
        put(28 - s, 4, sizes[flags >> 2 & 1 ? fuzz_u8(&g.in) & 7 : 0]);
        put(32 - s, 4, fuzz_count(&g));
        break;
    case 7:
    case 13:
        put(8 - s, 8, fuzz_dfn(&g));
        put(16 - s, 4, sizes[flags >> 2 & 1 ? fuzz_u8(&g.in) & 7 : 0]);
        put(20 - s, 4, fuzz_count(&g));
        break;
    case 9:
        put(8 - s, 8, fuzz_dfn(&g));
        put(16 - s, 8, (flags & 8) != 0 ? fuzz_le(&g.in, 8) : (uint64_t)ctx << 16 | (flags & 7u));
        break;
    case 10:
        put(2, 2, 0);
        put(4, 4, (flags & 8) != 0 ? fuzz_le(&g.in, 4) : 3);
        put(8, 8, fuzz_dfn(&g));
        put(16, 4, fuzz_count(&g));
        put(20, 4, (flags & 4) != 0 ? fuzz_u8(&g.in) : 0);
        break;
    case 11:
    case 12:
        at = subop == 11 ? 2 : 0;
        put(at, 2, 0);
        put(at + 2, 1, 0);
        put(at + 3, 1, 0x10 + (flags & 3) * 8);
        put(subop == 11 ? 8 : 4, 4, (flags & 8) != 0 ? fuzz_le(&g.in, 4) : 3 + (flags >> 2 & 1u));
        break;
    case 14:
        put(2, 2, flags & 8);
        put(8, 8, fuzz_dfn(&g));
        break;
    default:
        break;
    }
}

/* The call as its bytes say. */
static struct fuzz_call asked(unsigned subop)
{
    struct fuzz_call c = {.ctx = (uint16_t)get(0, 2), .frames = 1};
    unsigned s = gap();

    switch (subop) {
    case 2:
        c.what = FUZZ_INIT;
        break;
    case 3:
        c.what = FUZZ_ALLOC;
        c.identity = (get(4, 4) & 1) != 0;
        break;
    case 9:
        c.what = FUZZ_ALLOC;
        c.nested = true;
        break;
    case 4:
        c.what = FUZZ_FREE;
        break;
    case 6:
        c.what = FUZZ_MAP;
        c.gfn = get(8 - s, 8);
        c.dfn = get(16 - s, 8);
        c.prot = get(24 - s, 4) & 3;
        c.frames = get(28 - s, 4) >> 12;
        c.nr = get(32 - s, 4);
        c.done = get(36 - s, 4);
        break;
    case 7:
        c.what = FUZZ_UNMAP;
        c.dfn = get(8 - s, 8);
        c.frames = get(16 - s, 4) >> 12;
        c.nr = get(20 - s, 4);
        c.done = get(24 - s, 4);
        break;
    case 14:
        c.what = FUZZ_LOOKUP;
        c.dfn = get(8, 8);
        break;
    default:
        break;
    }
    return c;
}

static void run_call(void)
{
    static const uint8_t subops[] = {6, 7, 6, 7, 6, 3, 4, 5, 14, 13, 1, 2, 6, 7, 8, 0xff};
    uint8_t head = fuzz_u8(&g.in), flags = fuzz_u8(&g.in);
    unsigned subop = subops[head & 15] == 0xff ? fuzz_u8(&g.in) : subops[head & 15], inner = subop, s, turns = 0;
    uint64_t arg = FUZZ_MEM + AT;
    uint32_t word = subop;
    struct fuzz_call c;

    memset(g.mem, head, sizeof(g.mem));
    g.call.compat = (head & 0x10) != 0;
    if (subop == 8) { /* for itself, by its own number or by SELF: what it can always name */
        inner = subops[flags & 15] == 0xff ? 0 : subops[flags & 15];
        put(64, 2, (head & 0x20) != 0 ? 1 : (head & 0x40) != 0 ? fuzz_le(&g.in, 2) : PVI_DOMID_SELF);
        put(66, 2, inner);
        put(g.call.compat ? 68 : 72, g.call.compat ? 4 : 8, arg);
        arg += 64;
    }
    if ((head & 0x80) != 0) {
        for (unsigned i = 0; i < 40; i++) {
            put(i, 1, fuzz_u8(&g.in));
        }
        word |= (flags & 0x80) != 0 ? (uint32_t)fuzz_le(&g.in, 3) << 8 : 0u;
    } else {
        plausible(inner, flags);
    }
    c = asked(inner);
    if (word >> 8 != 0) {
        c.what = FUZZ_OTHER; /* may tell a number that lives: not an alloc */
    }
    do {
        c.rc = pvi_xen43_call(&g.call, &word, arg);
        pvi_posix_checkpoint(g.host);
        if (++turns > 2000000) {
            abort();
        }
    } while (c.rc == -PVI_XEN_ERESTART);
    s = gap();
    c.done = c.what == FUZZ_MAP ? (uint32_t)(get(36 - s, 4) - c.done) : c.what == FUZZ_UNMAP ? (uint32_t)(get(24 - s, 4) - c.done) : 0;
    c.made = (uint16_t)get(0, 2);
    c.found = get(16, 8);
    if (subop == 8 && (inner == 8 || c.rc == -PVI_XEN_EFAULT || c.rc == -PVI_XEN_EPERM)) {
        return; /* another domain's, or an address of its own making */
    }
    fuzz_guest_judge(&g, &c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_guest_start(&g, data, size, false);
    for (unsigned calls = 1; g.in.left > 0 && calls <= MAX_CALLS; calls++) {
        run_call();
        if (g.in.left == 0 || calls % 8 == 0) { /* the walk is what costs */
            fuzz_guest_tables(&g);
        }
    }
    fuzz_guest_end(&g);
    return 0;
}
