/* SPDX-License-Identifier: MIT */
/*
 * The native batch under arbitrary guests. The input is a configuration (2 bytes) and then calls: a head that says whether header and elements are made of
 * plausible values or taken raw, and the elements. Bytes are laid out by offset here, not by the library's types. Between two entries the guest writes to
 * its memory. The judge asks little, of everything: answers that are defined, `next` that only moves forward, and in the end nothing held, no reference and no page missing;
 * the recording host judges the order of everything else.
 */
#include "input.h"
#include "machine.h"
#include <pviommu/abi/native.h>
#include <pviommu/held.h>
#include <pviommu/vtd.h>
#include <pviommu_posix.h>
#include <string.h>

#define MEM 0x10000ull
#define SIZE 4096u
#define OPS 256u
#define CONTEXTS 3u
#define MAX_CALLS 40u
#define RAM_NR 0x100000ull
#define RAM_PA 0x200000000ull

struct fuzz {
    struct fuzz_input in;
    struct pvi_host *host;
    struct pvi_system system;
    struct pvi_posix_null unit;
    struct pvi_hdom *owner;
    struct pvi_domain guest;
    struct pvi_device dev[2];
    struct pvi_abi_call call;
    unsigned char mem[SIZE];
    uint32_t preempt;
};

static struct fuzz f;

static bool preempt_now(void *opaque, uint64_t nr)
{
    (void)opaque;
    return (f.preempt >> (nr & 31) & 1) != 0;
}

static void put(unsigned at, unsigned len, uint64_t value)
{
    if (at + len <= SIZE) {
        memcpy(f.mem + at, &value, len);
    }
}

static uint32_t get32(unsigned at)
{
    uint32_t value;

    memcpy(&value, f.mem + at, 4);
    return value;
}

static void start(void)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000ull, .size = 4 << 20};
    struct pvi_posix_range ram = {.nr = RAM_NR, .pa = RAM_PA, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_domain_cfg cfg = {.max_contexts = CONTEXTS, .max_pages = 300, .nested = true, .max_pasids = 4};
    struct pvi_unit_caps *caps = &f.unit.unit.caps;
    uint8_t knobs = fuzz_u8(&f.in);

    f.host = pvi_posix_new(&memory);
    CHECK(f.host);
    caps->format = &pvi_vtd_ss_ops;
    caps->page_sizes = (1u << 12) | ((knobs & 1) ? 1u << 21 : 0);
    caps->levels_mask = 8;
    caps->iova_bits = 48;
    caps->pa_bits = 46;
    caps->coherent = (knobs & 8) != 0;
    caps->np_cache = (knobs & 16) != 0;
    caps->page_selective = (knobs & 32) != 0;
    caps->nr_dids = 64;
    caps->guest_levels = (knobs & 128) != 0 ? 0x30 : 0;
    caps->guest_flags = PVI_GUEST_SUPERVISOR;
    caps->pasid_bits = (knobs & 128) != 0 ? 10 : 0;
    caps->nr_holes = 1;
    caps->hole[0].first = 0xfee00000;
    caps->hole[0].last = 0xfeefffff;
    CHECK(pvi_posix_add_null(f.host, &f.unit) == 0 && pvi_system_add_unit(&f.system, &f.unit.unit) == 0);
    f.owner = pvi_posix_hdom_new(f.host, 1);
    CHECK(f.owner && pvi_posix_hdom_range(f.owner, &ram) == 0 && pvi_posix_hdom_identity(f.owner, 0, 0x300, PVI_RW) == 0);
    cfg.system = &f.system;
    cfg.hdom = f.owner;
    cfg.trim = (knobs & 64) != 0;
    CHECK(pvi_domain_init(&f.guest, f.host, &cfg) == 0);
    pvi_posix_hdom_bind(f.owner, &f.guest);
    for (unsigned i = 0; i < 2; i++) {
        f.dev[i] = (struct pvi_device){.sbdf = {0x10 + i * 8}, .unit = &f.unit.unit, .nr_rids = 1};
        f.dev[i].rid[0] = (uint16_t)(0x10 + i * 8);
        CHECK(pvi_device_add(&f.guest, &f.dev[i]) == 0);
    }
    f.call.caller = &f.guest;
    pvi_posix_hdom_mem(f.owner, f.mem, MEM, SIZE);
    f.preempt = fuzz_u8(&f.in) * 0x01010101u;
    pvi_posix_preempt_call(f.host, preempt_now, NULL);
}

static uint64_t frame(uint64_t base)
{
    uint8_t how = fuzz_u8(&f.in);

    return how == 0xff ? fuzz_le(&f.in, 8) : base + ((how & 0x40) != 0 ? (uint64_t)(how & 15) << 9 : how & 63u);
}

static void element(unsigned at, bool raw)
{
    static const uint8_t codes[] = {6, 7, 6, 7, 8, 3, 4, 5, 9, 10, 11, 12, 13, 14, 6, 0xff};
    static const uint16_t nr[] = {1, 2, 3, 8, 511, 512, 513, 0};
    uint8_t head = fuzz_u8(&f.in), flags = fuzz_u8(&f.in);
    unsigned code = codes[head & 15] == 0xff ? (flags & 1 ? 256u : flags & 2 ? 17u + (flags >> 4 & 3u) : flags >> 4) : codes[head & 15];

    for (unsigned i = 0; i < 80; i++) {
        put(at + i, 1, raw ? fuzz_u8(&f.in) : 0);
    }
    if (raw && (flags & 1) != 0) {
        return;
    }
    put(at, 2, code);
    put(at + 2, 2, 0x7ff0);
    put(at + 4, 2, code <= 3 || code == 17 || code == 20 ? 0 : head >> 4 & 3);
    put(at + 6, 2, 0);
    put(at + 8, 4, code == 6 || code == 10 ? 1u + flags % 3u : code == 3 || code == 4 ? flags & 1u : 0);
    if (code == 2) {
        put(at + 32, 8, CONTEXTS);
        put(at + 40, 8, 1 + flags);
    } else if (code == 5) {
        put(at + 32, 8, 0x10 + (flags & 3) * 8u);
    } else if (code >= 6 && code <= 11) {
        put(at + 32, 8, frame(0x40000));
        if (code != 8) {
            put(at + 40, 8, code == 6 ? frame(0) : nr[flags >> 3 & 7]);
        }
        put(at + 48, 8, code == 6 ? nr[flags >> 3 & 7] : 0);
    } else if (code == 12 || code == 13) {
        put(at + 56, 8, flags & 7);
    } else if (code == 17 || code == 18) {
        put(at + 32, 8, frame(0x40000));
        put(at + 40, 8, code == 17 ? head >> 4 & 3u : nr[flags >> 3 & 7]);
        put(at + 48, 8, code == 17 ? 4u + (head >> 6 & 1u) : 3u);
    } else if (code == 19 || code == 20) {
        put(at + 32, 8, 0x10 + (flags >> 2 & 3) * 8u);
        put(at + 40, 8, 3u + (head >> 7));
    }
}

static void check_next(uint32_t from, uint32_t nr, uint32_t flags, int rc)
{
    uint32_t next = get32(20);

    if (flags == 6) {
        return; /* of that header nothing else means anything */
    }
    CHECK(next >= from && next <= nr);
    CHECK(rc != 0 || next == nr || (flags & 1) != 0);
}

static void run_call(void)
{
    uint8_t head = fuzz_u8(&f.in), more = fuzz_u8(&f.in);
    unsigned count = 1 + (more & 7), size = (head & 0x10) != 0 ? 80 + (more >> 3) : 80, turns = 0;
    uint32_t flags = (head & 3) == 3 ? 6 : head & 3, from, nr;
    int rc;

    memset(f.mem, (head & 4) != 0 ? more : 0, sizeof(f.mem));
    put(0, 4, 32);
    put(4, 4, 1);
    put(8, 4, size);
    put(12, 4, count);
    put(16, 4, flags);
    put(20, 4, 0);
    put(24, 8, MEM + OPS);
    if ((head & 8) != 0) {
        for (unsigned i = 0; i < 4; i++) {
            put(fuzz_u8(&f.in) & 31, 1, fuzz_u8(&f.in));
        }
    }
    for (unsigned i = 0; i < count; i++) {
        element(OPS + i * size, (head & 0x20) != 0);
    }
    from = get32(20);
    do {
        nr = get32(12);
        flags = get32(16);
        from = get32(20);
        rc = pvi_native_call(&f.call, MEM);
        pvi_posix_checkpoint(f.host);
        CHECK(rc <= 0 && rc >= -PVI_EFAULT);
        if (rc == 0 || rc == -PVI_EPREEMPTED) {
            check_next(from, nr, flags, rc);
        }
        if (rc == -PVI_EPREEMPTED && (head & 0x40) != 0) { /* another virtual CPU writes */
            put(fuzz_le(&f.in, 2) & (SIZE - 1), 1, fuzz_u8(&f.in));
        }
        if (++turns > 2000 || ((head & 0x80) != 0 && turns > (more >> 5))) {
            break; /* it never comes back */
        }
    } while (rc == -PVI_EPREEMPTED);
}

static void end(void)
{
    const char *why;

    pvi_posix_preempt_call(f.host, NULL, NULL);
    pvi_domain_kill(&f.guest);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(pvi_device_remove(&f.guest, &f.dev[i]) == 0);
    }
    CHECK(pvi_domain_destroy(&f.guest) == 0 && !f.guest.held);
    CHECK(pvi_posix_hdom_balanced(f.owner));
    CHECK(pvi_posix_balanced(f.host, &why));
    pvi_posix_hdom_free(f.owner);
    pvi_posix_remove_unit(f.host, &f.unit.unit);
    pvi_posix_free(f.host);
    pvi_posix_null_fini(&f.unit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&f, 0, sizeof(f));
    f.in.at = data;
    f.in.left = size;
    start();
    put(0, 4, 32); /* contexts, so that the rest means something */
    put(4, 4, 1);
    put(8, 4, 80);
    put(12, 4, 1);
    put(24, 8, MEM + OPS);
    put(OPS, 2, 2);
    put(OPS + 2, 2, 0x7ff0);
    put(OPS + 32, 8, CONTEXTS);
    put(OPS + 40, 8, 100);
    while (pvi_native_call(&f.call, MEM) == -PVI_EPREEMPTED) {
        f.preempt = f.preempt == UINT32_MAX ? 0x55555555 : f.preempt;
    }
    for (unsigned calls = 0; f.in.left > 0 && calls < MAX_CALLS; calls++) {
        run_call();
    }
    end();
    return 0;
}
