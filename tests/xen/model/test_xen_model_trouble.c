/* SPDX-License-Identifier: MIT */
/* One story again and again: interrupted everywhere, out of memory everywhere, with faults, with units that fail, with hostile words. */
#include "rig.h"

#include <unistd.h>

#define DFN 0x5777u /* no frame of anybody */
#define ID 5u
#define DEVS 3u

enum { ENOMEM = 12, EFAULT = 14, ENODEV = 19, EOPNOTSUPP = 95 };

static const unsigned devs[DEVS] = {XM_DEV_PLAIN, XM_DEV_RMRR, XM_DEV_PCI};
static struct xm_domain *guest;
static uint64_t digest;

static void note(uint64_t x)
{
    digest = (digest ^ x) * 0x9e3779b97f4a7c15ull;
    digest ^= digest >> 29;
}

/* What devices reach, and what is held. */
static void note_all(void)
{
    unsigned i, dev;

    for (i = 0; i < 60; i++) {
        for (dev = 0; dev < DEVS; dev++) {
            note(xm_dma(devs[dev], 0, DFN + i, true));
            note(xm_dma(devs[dev], 0, DFN + i, false));
            note(xm_dma(devs[dev], 0, xm_gfn(guest, i), false));
        }
        note(xm_refs(xm_mfn(guest, i)));
        note(xm_types(xm_mfn(guest, i)));
    }
}

static void begin(void)
{
    unsigned dev;

    digest = 1;
    guest = xm_domain_create(ID, !rig_cfg.pvh);
    for (dev = 0; dev < DEVS; dev++) {
        xm_move(devs[dev], guest);
    }
    hv_act_for(ID);
}

static void end(void)
{
    unsigned dev;

    hv_act_for(~0u);
    xm_domain_dies(guest);
    for (dev = 0; dev < DEVS; dev++) {
        xm_move(devs[dev], xm_hwdom());
    }
    xm_domain_ends(guest);
}

static void act(void)
{
    uint16_t one = 0, two = 0;
    uint32_t done = 0;
    uint64_t gfn = 0;
    unsigned dev;

    note((uint64_t)hv_init(4, 5));
    note((uint64_t)hv_alloc(0, &one));
    note((uint64_t)hv_alloc(1, &two));
    for (dev = 0; dev < DEVS; dev++) {
        note((uint64_t)hv_attach(dev == 2 ? two : one, devs[dev]));
    }
    note_all();
    note((uint64_t)hv_map(one, DFN, xm_gfn(guest, 0), 40, RW, &done));
    note(done);
    note((uint64_t)hv_map(one, DFN + 41, xm_gfn(guest, 10), 7, R, &done));
    note(done);
    note_all();
    note((uint64_t)hv_lookup(one, DFN + 12, &gfn));
    note(gfn);
    note((uint64_t)hv_unmap(one, DFN + 5, 20, &done));
    note(done);
    note((uint64_t)hv_map(one, DFN + 5, xm_gfn(guest, 45), 10, RW, &done));
    note_all();
    note((uint64_t)hv_attach(one, devs[2]));
    note((uint64_t)hv_free(two, 1));
    note_all();
    note((uint64_t)hv_free(one, 1));
    note_all();
}

static uint64_t story(void)
{
    begin();
    act();
    end();
    xm_domain_destroy(guest);
    return digest;
}

/* Interrupted at any moment, or at all: the end is the same. */
static void interrupted(void)
{
    uint64_t want = (hv_init(8, 6), story());
    unsigned n, asked;

    xm_preempt_at(0);
    EXPECT_EQ(story(), want);
    asked = xm_preempt_asked();
    EXPECT(asked > 2);
    for (n = 1; n <= asked; n++) {
        xm_preempt_at(n);
        EXPECT_EQ(story(), want);
    }
    xm_preempt_at(~0u);
    EXPECT_EQ(story(), want);
    EXPECT(xm_preempt_asked() >= asked);
    xm_preempt_at(0);
    EXPECT_EQ(xm_complaints(), 0);
}

/* Each allocation fails once: whatever comes of the story, nothing is left of it. */
static void short_of_memory(void)
{
    uint64_t want = (hv_init(8, 6), story());
    unsigned n, other = 0;

    for (n = 1;; n++) {
        xm_alloc_fails_at(n);
        other += story() != want;
        if (xm_allocs() < n) {
            break;
        }
    }
    xm_alloc_fails_at(0);
    EXPECT(n > 20 && other > n / 2);
    EXPECT_EQ(story(), want);
}

/* The same from the first hypercall on, when units become known. */
static void short_at_first(unsigned n)
{
    long rc;

    xm_alloc_fails_at(n);
    rc = hv_init(8, 2);
    EXPECT(rc == 0 || rc == -ENOMEM || rc == -ENODEV);
    EXPECT(rc != 0 || xm_allocs() < n || n > 5);
    xm_alloc_fails_at(0);
    EXPECT(rc == 0 || hv_init(8, 2) == 0);
    xm_shutdown();
}

static void first_short(void)
{
    unsigned n;

    for (n = 1; n < 40; n++) {
        in_child(short_at_first, n);
    }
}

/* Each copy fails, at once or in the middle. */
static void faults(void)
{
    static const unsigned bytes[] = {0, 4, 9};
    uint64_t want = (hv_init(8, 6), story());
    unsigned n, i, other = 0;

    for (i = 0; i < 3; i++) {
        for (n = 1;; n++) {
            xm_copy_fails_at(n, bytes[i]);
            other += story() != want;
            if (xm_copies() < n) {
                break;
            }
        }
        EXPECT(n > 10 && other > n / 2);
    }
    xm_copy_fails_at(0, 0);
    EXPECT_EQ(story(), want);
}

/* Of a structure that cannot be read whole nothing is done; of one that cannot be written the work is. */
static void told(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    uint64_t mfn = xm_mfn(xm_hwdom(), 3), gfn = xm_gfn(xm_hwdom(), 3);
    uint32_t word = 6;
    bool again;

    xm_copy_fails_at(1, 39);
    EXPECT_EQ(hv_map(ctx, DFN, gfn, 1, RW, NULL), -EFAULT);
    expect_dma(XM_DEV_PLAIN, DFN, true, BLOCKED);
    xm_copy_fails_at(2, 0);
    EXPECT_EQ(hv_map(ctx, DFN, gfn, 1, RW, NULL), -EFAULT);
    expect_dma(XM_DEV_PLAIN, DFN, true, mfn);
    EXPECT_EQ(xm_refs(mfn), 1);
    EXPECT_EQ(xm_call(&word, XM_GUEST_VA + 0x10000 - 8, &again), -EFAULT);
    EXPECT_EQ(xm_call(&word, 0, &again), -EFAULT);
    EXPECT_EQ(xm_call(&word, ~0ull - 7, &again), -EFAULT);
}

/* A flush fails: what it covered is never given back, and all else goes on. */
static void failing_flush(unsigned n)
{
    unsigned i;

    begin();
    xm_flush_fails_at(n);
    act();
    end();
    xm_flush_fails_at(0);
    for (i = 0; i < DEVS; i++) {
        EXPECT(xm_is_home(devs[i], 0));
    }
    _exit(0); /* what has been written off is nobody's any more */
}

static void failing_flushes(void)
{
    unsigned n, most;

    (void)hv_init(8, 6);
    xm_flush_fails_at(0);
    (void)story();
    most = xm_flushes();
    EXPECT(most > 20);
    for (n = 1; n <= most; n++) {
        in_child(failing_flush, n);
    }
}

/* --- ids ------------------------------------------------------------------------------------- */

/* Xen has few pseudo ids left: contexts cannot be attached for want of one, and can when one is free again. */
static void few_ids(void)
{
    uint16_t ctx[8];
    unsigned i, dev, attached = 0;
    long rc;

    EXPECT_EQ(hv_init(8, 6), 0);
    for (i = 0; i < 8; i++) {
        EXPECT_EQ(hv_alloc(0, &ctx[i]), 0);
    }
    for (dev = 0; dev < XM_DEV_RMRR; dev++) {
        rc = hv_attach(ctx[dev], dev);
        EXPECT(rc == 0 || rc == -28);
        attached += rc == 0;
    }
    EXPECT(attached == 1);
    EXPECT_EQ(hv_free(ctx[0], 1), 0);
    EXPECT_EQ(hv_attach(ctx[1], 1), 0);
}

static void no_ids(void)
{
    EXPECT_EQ(hv_init(8, 6), -EOPNOTSUPP);
}

static void without_quarantine(void)
{
    uint64_t want = (hv_init(8, 6), story());

    EXPECT_EQ(story(), want);
}

/* --- hostile words ---------------------------------------------------------------------------- */

static uint32_t seed = 1;

static uint32_t any(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

static void random_words(unsigned char *mem)
{
    static const uint64_t words[] = {0, 1, 2, 3, 0x10, 0x1000, DFN, DFN + 3, XM_RMRR, XM_MMIO, 0xffff, ~0ull, 1ull << 36, 0x7fffffff, 1ull << 63};
    uint64_t w;
    unsigned i;

    for (i = 0; i < 0x200; i += 4) {
        w = any(3) ? words[any(15)] : any(1u << 12);
        memcpy(mem + i, &w, any(2) ? 4 : 2);
    }
}

/* Calls of any words from any caller, each with its continuations, whose words are made up as well. */
static void hostile(void)
{
    static const uint64_t at[] = {XM_GUEST_VA, XM_GUEST_VA + 4, XM_GUEST_VA + 0xfff0, 0, ~0ull, 1ull << 63, XM_GUEST_VA + 0x20};
    uint64_t where;
    uint32_t word;
    unsigned i, turn;
    bool again;

    EXPECT_EQ(hv_init(8, 6), 0);
    begin();
    EXPECT_EQ(hv_init(4, 5), 0);
    hv_act_for(~0u);
    for (i = 0; i < 6000; i++) {
        xm_enter(0, any(3) ? xm_hwdom() : guest, any(4) == 0);
        xm_preempt_at(any(3) ? 0 : 1 + any(3));
        xm_copy_fails_at(any(8) ? 0 : 1 + any(4), any(16));
        random_words(xm_guest_memory());
        if (any(4)) {
            xm_guest_memory()[0] = (unsigned char)any(9);
            xm_guest_memory()[1] = 0;
        }
        word = any(15) | (any(10) ? 0 : any(1u << 20) << 8);
        where = at[any(10) < 8 ? 0 : any(7)];
        again = true;
        for (turn = 0; turn < 50 && again; turn++) {
            (void)xm_call(&word, where, &again);
        }
    }
    xm_copy_fails_at(0, 0);
    xm_preempt_at(0);
    xm_enter(0, xm_hwdom(), false);
    end();
    xm_domain_destroy(guest);
}

static const struct rig_test tests[] = {
    {"interrupted", interrupted, 0, {0}, NULL, false},
    {"short of memory", short_of_memory, 0, {0}, NULL, false},
    {"short at first", first_short, 0, {0}, NULL, true},
    {"faults", faults, 0, {0}, NULL, false},
    {"told", told, 0, {0}, NULL, false},
    {"failing flushes", failing_flushes, ON_VTD | ON_PV | ON_PVH, {0}, NULL, true},
    {"few ids", few_ids, 0, {.ids = 2}, NULL, false},
    {"few hardware ids", no_ids, ON_VTD | ON_PV | ON_PVH, {.few_dids = true}, NULL, false},
    {"without quarantine", without_quarantine, 0, {.no_quarantine = true}, NULL, false},
    {"hostile", hostile, 0, {0}, NULL, false},
};

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
