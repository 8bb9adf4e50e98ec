/* SPDX-License-Identifier: MIT */
/* A guest that means harm: addresses that are not its own, structures of anything, continuations that never began. */
#include "iommu43.h"

#define CALLS 3000u
#define SUBOPS 15u

static unsigned char pages[2][PAGE] __attribute__((aligned(4096)));
static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint64_t any(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void test_addresses(void)
{
    static const uint64_t address[] = {
        0x00007fff00000000ull,   /* nothing */
        0x00007ffffffffff8ull,   /* to the end of what there may be */
        0x0000800000000000ull,   /* not canonical */
        0x8000700000000000ull,   0xffff7ffffffffffcull, /* begins below Xen's part, and ends in it */
        0xffff800000000000ull,   /* Xen's frame table for guests, which a PV guest may read */
        0xffff82d040200000ull,   /* its code */
        0xffff830000100000ull,   /* its map of all memory */
        0xffffffffffffff00ull,   0xfffffffffffffffcull, /* the end of all */
    };
    unsigned wrong = 0;

    for (unsigned i = 0; i < sizeof(address) / sizeof(address[0]); i++) {
        for (unsigned subop = 1; subop < SUBOPS; subop++) {
            struct {
                uint16_t domid, subop;
                uint32_t pad;
                uint64_t arg;
            } remote = {0x7ff0, (uint16_t)subop, 0, address[i]};

            wrong += iommu_raw(subop, (void *)address[i]) != EFAULT;
            wrong += subop != 8 && iommu_raw(8, &remote) != EFAULT;
        }
    }
    is(wrong, 0, "structures where none can be, for itself and for itself as another");
}

#ifndef DOM0_PVH

/* Across the end of what is mapped; and where the answer cannot be written. */
static void test_edges(void)
{
    unsigned wrong = 0;

    is(page_remap(pages[1], 0), 0, "a page that is not mapped");
    for (unsigned subop = 1; subop < SUBOPS; subop++) {
        wrong += iommu_raw(subop, pages[1] - 4) != EFAULT;
        wrong += iommu_raw(subop, pages[1]) != EFAULT;
    }
    is(wrong, 0, "structures that reach into it");
    is(page_protect(pages[1], true) | page_protect(pages[0], false), 0, "one that cannot be written");
    for (unsigned i = 0; i < CONTEXTS * 2; i++) {
        wrong += iommu_raw(3, pages[0]) != EFAULT; /* all 0: an alloc */
    }
    wrong += iommu_raw(1, pages[0]) != EFAULT;
    is(wrong, 0, "answers that cannot be written, more often than there are contexts");
    is(page_protect(pages[0], true), 0, "it can again");
}

#else

static void test_edges(void)
{
}

#endif

/* A number as a field may have it: small, near the limits of something, of this domain, or anything. */
static uint64_t field(void)
{
    uint64_t n = any();

    switch (n >> 60) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        return n & 3;
    case 5:
    case 6:
        return n & 0x1f;
    case 7:
        return PAGE;
    case 8:
        return memory_frame(n % 64);
    case 9:
        return DFN + n % 1024;
    case 10:
        return edu_sbdf << 8 | (n & 1);
    case 11:
        return 1ull << (n & 63);
    case 12:
        return ~0ull >> (n & 63);
    default:
        return any();
    }
}

/* Any structure, made of fields of each size. */
static void garble(uint32_t *to_fill)
{
    for (unsigned i = 0; i < 12; i += 2) {
        uint64_t n = field();

        to_fill[i] = (uint32_t)n;
        to_fill[i + 1] = (any() & 1) != 0 ? (uint32_t)(n >> 32) : (uint32_t)field();
    }
}

static void test_anything(void)
{
    uint32_t arg[16] = {0}, inner[16] = {0};
    unsigned wrong = 0, good = 0;

    for (unsigned i = 0; i < CALLS; i++) {
        uint64_t subop = any() % 20;
        long rc;

        garble(arg);
        if (subop == 8) {
            garble(inner);
            arg[0] = (uint32_t)(any() % 20) << 16 | 0x7ff0;
            arg[2] = (uint32_t)(uintptr_t)inner;
            arg[3] = (uint32_t)((uintptr_t)inner >> 32);
        } else if (subop == 3) {
            arg[1] &= i % 64 == 0 ? 1 : 2; /* identity now and then: it takes long */
        }
        subop |= any() % 8 == 0 ? (any() & 0xffffff00u) : 0;
        rc = iommu_raw((unsigned)subop, arg);
        good += rc == 0;
        wrong += rc > 0 || rc < -133;
    }
    is(wrong, 0, "%u calls of anything: each has an answer, %u good ones", CALLS, good);
}

void test_hostile(void)
{
    unsigned room = tables_left(), bad = 0, held = 0, left = 0, which;
    struct iommu_caps caps;
    uint16_t ctx;

    test_addresses();
    test_edges();
    for (unsigned subop = SUBOPS; subop < 256; subop++) {
        bad += iommu_raw(subop, pages[0]) != EOPNOTSUPP;
    }
    is(bad, 0, "sub-operations that there are not");
    is(tables_left(), room, "no page is lost, and no context");
    test_anything();
    for (which = 0; edu_select(which); which++) {
        bad += iommu_reattach(0, edu_sbdf) != 0;
    }
    (void)edu_select(0);
    is(bad, 0, "the devices go home");
    for (ctx = 1; ctx <= CONTEXTS; ctx++) {
        long rc = iommu_free(ctx, FREE_REATTACH);

        left += rc == 0;
        bad += rc != 0 && rc != ENOENT;
    }
    is(bad, 0, "%u contexts are freed", left);
    is(tables_left(), room, "no page is lost");
    for (uint64_t i = 0; i < 64; i++) {
        held += !memory_is_free(i);
    }
    is(held, 0, "no reference is left");
    is(iommu_query(&caps), 0, "query capabilities");
    is(caps.max_ctx_no, CONTEXTS, "as many contexts as before");
    load(frame_of(from), 40);
    ok(lands(frame_of(to[0]), to[0], 40), "the device reaches dom0's memory");
}
