/* SPDX-License-Identifier: MIT */
/* What a hardware domain does with contexts, on a model of Xen that enforces its contracts. */
#include "rig.h"

#define DFN 0x5777u /* no frame of anybody */
#define BIG 0x40000u /* aligned to 1 GiB */
#define HALF (XM_HWDOM_FRAMES / 2)

enum { EPERM = 1, ENOENT = 2, EBUSY = 16, ENODEV = 19, EINVAL = 22, EXDEV = 18, EADDRINUSE = 98, EADDRNOTAVAIL = 99 };

static uint64_t mfn(unsigned n)
{
    return xm_mfn(xm_hwdom(), n);
}

static uint64_t gfn(unsigned n)
{
    return xm_gfn(xm_hwdom(), n);
}

static void expect_held(unsigned n, unsigned refs, unsigned types)
{
    EXPECT_EQ(xm_refs(mfn(n)), refs);
    EXPECT_EQ(xm_types(mfn(n)), types);
}

/* One map, one DMA, one unmap: at each step what the device reaches, and what is held of the frame. */
static void one_map(void)
{
    uint64_t got;
    uint16_t ctx;

    xm_watch(XM_DEV_PLAIN, DFN);
    ctx = with_context(XM_DEV_PLAIN);
    expect_dma(XM_DEV_PLAIN, DFN, false, BLOCKED);
    map_one(ctx, DFN, 7, RW);
    expect_held(7, 1, 1);
    expect_dma(XM_DEV_PLAIN, DFN, true, mfn(7));
    EXPECT_EQ(hv_lookup(ctx, DFN, &got), 0);
    EXPECT_EQ(got, gfn(7));
    unmap_one(ctx, DFN);
    expect_dma(XM_DEV_PLAIN, DFN, false, BLOCKED);
    expect_held(7, 0, 0);
    EXPECT_EQ(xm_complaints(), 0);
}

/* Where context 0 is Xen's own table nothing is looked up by its root, which is only a name. */
static void home_is_xens(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    uint64_t got;

    EXPECT(hv_lookup(0, DFN, &got) < 0);
    EXPECT_EQ(hv_map(0, DFN, gfn(0), 1, RW, NULL), -EINVAL);
    EXPECT_EQ(hv_unmap(0, gfn(0), 1, NULL), -EINVAL);
    EXPECT(!xm_is_home(XM_DEV_PLAIN, 0));
    expect_dma(XM_DEV_PLAIN, gfn(9), true, BLOCKED);
    EXPECT_EQ(hv_attach(0, XM_DEV_PLAIN), 0);
    EXPECT(xm_is_home(XM_DEV_PLAIN, 0));
    expect_dma(XM_DEV_PLAIN, gfn(9), true, mfn(9));
    EXPECT_EQ(hv_attach(ctx, XM_DEV_PLAIN), 0);
    expect_dma(XM_DEV_PLAIN, gfn(9), true, BLOCKED);
    EXPECT_EQ(hv_free(ctx, 0), -EBUSY);
    EXPECT_EQ(hv_free(ctx, 1), 0);
    EXPECT(xm_is_home(XM_DEV_PLAIN, 0));
}

/* Every device, through every id that it may come under, in one context; then each goes home. */
static void every_device(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN), other;
    unsigned dev, i;

    EXPECT_EQ(hv_alloc(0, &other), 0);
    for (dev = 0; dev < XM_DEVS; dev++) {
        xm_watch(dev, DFN);
    }
    map_one(ctx, DFN, 3, RW);
    map_one(other, DFN, 4, RW);
    for (dev = 0; dev < XM_DEVS; dev++) {
        EXPECT_EQ(hv_attach(ctx, dev), 0);
        expect_dma(dev, DFN, true, mfn(3));
    }
    for (dev = 0; dev < XM_DEVS; dev++) {
        EXPECT_EQ(hv_attach(other, dev), 0);
        expect_dma(dev, DFN, true, mfn(4));
        expect_dma(XM_DEVS - 1, DFN, true, mfn(dev == XM_DEVS - 1 ? 4 : 3));
    }
    /* Linux as dom0 attaches whatever it sees. */
    EXPECT_EQ(hv_attach_sbdf(other, XM_IOMMU), rig_cfg.amd ? 0 : -ENODEV);
    unmap_one(other, DFN);
    for (dev = 0; dev < XM_DEVS; dev++) {
        expect_dma(dev, DFN, true, BLOCKED);
    }
    xm_key('U');
    EXPECT_EQ(hv_free(other, 1), 0);
    for (dev = 0; dev < XM_DEVS; dev++) {
        for (i = 0; i < xm_nr_rids(dev); i++) {
            EXPECT(xm_is_home(dev, i));
        }
    }
    EXPECT_EQ(xm_complaints(), 0);
}

/* A device for which Xen has no entries stays out, and the others do not. */
static void without_entries(void)
{
    uint16_t ctx;

    xm_move(XM_DEV_OTHER, NULL);
    xm_bar_device(XM_DEV_OTHER, true);
    xm_move(XM_DEV_OTHER, xm_hwdom());
    ctx = with_context(XM_DEV_PLAIN);
    EXPECT_EQ(hv_attach(ctx, XM_DEV_OTHER), -ENODEV);
    EXPECT_EQ(hv_attach(ctx, XM_DEV_RMRR), 0);
}

/* What a device needs mapped is there in each of its contexts, and no guest's to change. */
static void reserved(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN), other;

    EXPECT_EQ(hv_attach(ctx, XM_DEV_RMRR), 0);
    expect_dma(XM_DEV_RMRR, XM_RMRR, true, XM_RMRR);
    expect_dma(XM_DEV_RMRR, XM_RMRR + 1, false, XM_RMRR + 1);
    expect_dma(XM_DEV_RMRR, XM_RMRR + 2, false, BLOCKED);
    EXPECT_EQ(hv_map(ctx, XM_RMRR + 1, gfn(1), 1, RW, NULL), -EADDRNOTAVAIL);
    EXPECT_EQ(hv_map(ctx, XM_RMRR - 1, gfn(1), 3, RW, NULL), -EADDRNOTAVAIL);
    EXPECT_EQ(hv_unmap(ctx, XM_RMRR, 1, NULL), -EADDRNOTAVAIL);
    expect_dma(XM_DEV_RMRR, XM_RMRR + 1, true, XM_RMRR + 1);
    EXPECT_EQ(hv_alloc(0, &other), 0);
    map_one(other, XM_RMRR, 2, RW);
    EXPECT(hv_attach(other, XM_DEV_RMRR) < 0);
    expect_dma(XM_DEV_RMRR, XM_RMRR, true, XM_RMRR);
    EXPECT_EQ(hv_attach(0, XM_DEV_RMRR), 0);
    expect_dma(XM_DEV_PLAIN, XM_RMRR, false, BLOCKED);
    map_one(ctx, XM_RMRR, 5, R);
    expect_dma(XM_DEV_PLAIN, XM_RMRR, false, mfn(5));
}

/* IVMD entries for all devices are told only to a caller that says that it asks for the device at hand. */
static void reserved_for_all(void)
{
    unsigned dev;
    uint16_t ctx;

    ctx = with_context(XM_DEV_PLAIN);
    for (dev = 0; dev < XM_DEVS; dev++) {
        EXPECT_EQ(hv_attach(ctx, dev), 0);
        expect_dma(dev, XM_GLOBAL, true, XM_GLOBAL);
    }
}

/* Rights, and the type of the frame that stands for them. */
static void rights(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);

    map_one(ctx, DFN, 1, R);
    expect_held(1, 1, 0);
    expect_dma(XM_DEV_PLAIN, DFN, false, mfn(1));
    expect_dma(XM_DEV_PLAIN, DFN, true, BLOCKED);
    EXPECT(xm_make_table(xm_hwdom(), 1));
    EXPECT_EQ(hv_map(ctx, DFN + 1, gfn(1), 1, RW, NULL), -EPERM);
    expect_held(1, 1, 0);
    map_one(ctx, DFN + 1, 1, R);
    xm_end_table(xm_hwdom(), 1);
    map_one(ctx, DFN + 2, 1, RW);
    expect_held(1, 3, 1);
    EXPECT(!xm_make_table(xm_hwdom(), 1));
    unmap_one(ctx, DFN + 1);
    unmap_one(ctx, DFN + 2);
    expect_held(1, 1, 0);
    EXPECT(xm_make_table(xm_hwdom(), 1));
    EXPECT_EQ(hv_map(ctx, DFN, gfn(2), 1, RW, NULL), -EADDRINUSE);
    expect_held(2, 0, 0);
    EXPECT_EQ(hv_map(ctx, DFN + 5, gfn(2), 1, 0, NULL), -EINVAL);
}

/* A table in the middle of a range ends it there: what is before it is mapped. */
static void table_in_range(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    uint32_t done;

    EXPECT(xm_make_table(xm_hwdom(), 20));
    EXPECT_EQ(hv_map(ctx, DFN, gfn(16), 8, RW, &done), -EPERM);
    EXPECT_EQ(done, 4);
    expect_held(19, 1, 1);
    expect_held(20, 0, 0);
    expect_held(21, 0, 0);
    expect_dma(XM_DEV_PLAIN, DFN + 3, true, mfn(19));
    expect_dma(XM_DEV_PLAIN, DFN + 4, true, BLOCKED);
}

/* Frames that are not the domain's, and device memory. */
static void frames_pv(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    uint64_t got;

    EXPECT_EQ(hv_map(ctx, DFN, 17, 1, R, NULL), -ENOENT);               /* Xen's */
    EXPECT_EQ(hv_map(ctx, DFN, XM_FRAMES - 1, 1, R, NULL), -ENOENT);    /* nobody's */
    EXPECT_EQ(hv_map(ctx, DFN, XM_MMIO + 8, 1, R, NULL), -ENOENT);
    EXPECT_EQ(hv_map(ctx, DFN, ~0ull >> 12, 1, R, NULL), -ENOENT);
    EXPECT_EQ(hv_map(ctx, DFN, XM_MMIO, 3, RW, NULL), 0);
    expect_dma(XM_DEV_PLAIN, DFN + 2, true, XM_MMIO + 2);
    EXPECT_EQ(hv_map(ctx, DFN + 3, XM_MMIO + 3, 1, RW, NULL), -EPERM);
    EXPECT_EQ(hv_map(ctx, DFN + 3, XM_MMIO + 3, 1, R, NULL), 0);
    expect_dma(XM_DEV_PLAIN, DFN + 3, true, BLOCKED);
    EXPECT_EQ(hv_lookup(ctx, DFN + 1, &got), 0);
    EXPECT_EQ(got, XM_MMIO + 1);
    EXPECT_EQ(hv_unmap(ctx, DFN, 4, NULL), 0);
    expect_dma(XM_DEV_PLAIN, DFN + 1, false, BLOCKED);
}

static void frames_pvh(void)
{
    static const enum xm_kind kinds[] = {XM_PAGED, XM_GUEST_MMIO, XM_OTHERS};
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    unsigned i;

    (void)xm_domain_create(7, false);
    for (i = 0; i < 3; i++) {
        xm_p2m(xm_hwdom(), 30 + i, kinds[i]);
        EXPECT_EQ(hv_map(ctx, DFN, gfn(30 + i), 1, R, NULL), kinds[i] == XM_OTHERS ? -EPERM : -ENOENT);
    }
    xm_p2m(xm_hwdom(), 33, XM_RAM_RO);
    EXPECT_EQ(hv_map(ctx, DFN, gfn(33), 1, RW, NULL), -EPERM);
    expect_held(33, 0, 0);
    map_one(ctx, DFN, 33, R);
    expect_dma(XM_DEV_PLAIN, DFN, false, mfn(33));
    EXPECT_EQ(hv_map(ctx, DFN + 1, XM_HWDOM_FRAMES, 1, R, NULL), -ENOENT);
    EXPECT_EQ(hv_map(ctx, DFN + 1, XM_MMIO, 1, R, NULL), -ENOENT);
}

/* Leaves that are larger, and come apart: each frame keeps its reference as long as it is mapped. */
static void large(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    unsigned i;
    uint32_t done;

    EXPECT_EQ(hv_attach(ctx, XM_DEV_OTHER), 0);
    xm_watch(XM_DEV_PLAIN, BIG + 77);
    xm_watch(XM_DEV_OTHER, BIG + 78);
    EXPECT_EQ(hv_map(ctx, BIG, gfn(0), XM_HWDOM_FRAMES, RW, &done), 0);
    EXPECT_EQ(done, XM_HWDOM_FRAMES);
    for (i = 0; i < XM_HWDOM_FRAMES; i++) {
        expect_held(i, 1, 1);
        expect_dma(i & 1 ? XM_DEV_PLAIN : XM_DEV_OTHER, BIG + i, true, mfn(i));
    }
    EXPECT_EQ(hv_unmap(ctx, BIG + HALF + 77, 2, &done), 0);
    EXPECT_EQ(done, 2);
    for (i = 0; i < XM_HWDOM_FRAMES; i++) {
        bool gone = i == HALF + 77 || i == HALF + 78;

        expect_held(i, !gone, !gone);
        expect_dma(XM_DEV_PLAIN, BIG + i, true, gone ? BLOCKED : mfn(i));
        expect_dma(XM_DEV_OTHER, BIG + i, false, gone ? BLOCKED : mfn(i));
    }
    EXPECT_EQ(hv_map(ctx, BIG + HALF + 77, gfn(HALF + 77), 2, RW, &done), 0);
    EXPECT_EQ(hv_unmap(ctx, BIG, XM_HWDOM_FRAMES, &done), 0);
    EXPECT_EQ(done, XM_HWDOM_FRAMES);
    for (i = 0; i < XM_HWDOM_FRAMES; i++) {
        expect_held(i, 0, 0);
    }
    expect_dma(XM_DEV_OTHER, BIG + 77, false, BLOCKED);
}

/* Of a frame that is mapped several times each mapping has its own reference. */
static void twice(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN), other;

    EXPECT_EQ(hv_alloc(0, &other), 0);
    EXPECT_EQ(hv_attach(other, XM_DEV_OTHER), 0);
    map_one(ctx, DFN, 8, RW);
    map_one(ctx, DFN + 1, 8, RW);
    map_one(other, DFN, 8, R);
    expect_held(8, 3, 2);
    expect_dma(XM_DEV_PLAIN, DFN, true, mfn(8));
    expect_dma(XM_DEV_PLAIN, DFN + 1, true, mfn(8));
    expect_dma(XM_DEV_OTHER, DFN, false, mfn(8));
    unmap_one(ctx, DFN);
    expect_held(8, 2, 1);
    EXPECT_EQ(hv_free(ctx, 1), 0);
    expect_held(8, 1, 0);
    expect_dma(XM_DEV_OTHER, DFN, false, mfn(8));
}

/* A frame that the guest gives up is kept for the device until it is unmapped. */
static void given_up(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);

    map_one(ctx, DFN, 40, RW);
    expect_dma(XM_DEV_PLAIN, DFN, true, mfn(40));
    xm_give_up(xm_hwdom(), 40);
    expect_held(40, 1, 1);
    unmap_one(ctx, DFN);
    expect_held(40, 0, 0);
    EXPECT_EQ(hv_map(ctx, DFN, gfn(40), 1, RW, NULL), -ENOENT);
}

/*
 * The identity: all that is the domain's, read and written, and nothing else. What devices of a PV dom0 reach without us, whatever
 * becomes of it, is not held; where Xen is strict with it, it is.
 */
static void identity(bool strict)
{
    bool holds = strict || rig_cfg.pvh;
    uint16_t ctx;
    unsigned i;

    xm_strict(strict);
    xm_lends(!strict);
    EXPECT(rig_cfg.pvh || xm_make_table(xm_hwdom(), 54));
    if (rig_cfg.pvh) {
        xm_p2m(xm_hwdom(), 50, XM_PAGED);
        xm_p2m(xm_hwdom(), 51, XM_GUEST_MMIO);
    }
    xm_give_up(xm_hwdom(), 52);
    xm_share_page(xm_hwdom(), 53, true);
    EXPECT_EQ(hv_init(8, 6), 0);
    EXPECT_EQ(hv_alloc(0, &ctx), 0);
    EXPECT_EQ(hv_map(ctx, DFN, gfn(53), 1, RW, NULL), -EPERM);
    EXPECT_EQ(hv_map(ctx, DFN, gfn(53), 1, R, NULL), -EPERM);
    EXPECT_EQ(hv_free(ctx, 0), 0);
    EXPECT_EQ(hv_alloc(1, &ctx), 0);
    EXPECT_EQ(hv_attach(ctx, XM_DEV_PHANTOM), 0);
    for (i = 0; i < XM_HWDOM_FRAMES; i++) {
        bool out = i == 52 || i == 53 || (i == 54 && strict && !rig_cfg.pvh) || (rig_cfg.pvh && (i == 50 || i == 51));

        expect_dma(XM_DEV_PHANTOM, gfn(i), true, out ? BLOCKED : mfn(i));
        expect_held(i, holds && !out, holds && !out);
    }
    EXPECT_EQ(xm_make_table(xm_hwdom(), 9), !holds);
    xm_end_table(xm_hwdom(), 9);
    xm_end_table(xm_hwdom(), 54);
    expect_dma(XM_DEV_PHANTOM, 17, false, rig_cfg.pvh ? mfn(17) : BLOCKED);
    EXPECT_EQ(hv_free(ctx, 1), 0);
    expect_held(9, 0, 0);
    xm_share_page(xm_hwdom(), 53, false);
    xm_strict(false);
}

static void identity_relaxed(void)
{
    identity(false);
}

static void identity_strict(void)
{
    identity(true);
}

/* The machine has far more memory than the domain, or the domain a p2m of holes: what is looked through is so in pieces. */
static void sparse(void)
{
    uint16_t ctx;
    unsigned i;

    for (i = 10; rig_cfg.pvh && i < XM_HWDOM_FRAMES - 10; i++) {
        xm_p2m(xm_hwdom(), i, XM_PAGED);
    }
    EXPECT_EQ(hv_init(8, 6), 0);
    EXPECT_EQ(hv_alloc(1, &ctx), 0);
    EXPECT_EQ(hv_attach(ctx, XM_DEV_PLAIN), 0);
    for (i = 0; i < XM_HWDOM_FRAMES; i++) {
        expect_dma(XM_DEV_PLAIN, gfn(i), true, rig_cfg.pvh && i >= 10 && i < XM_HWDOM_FRAMES - 10 ? BLOCKED : mfn(i));
    }
}

/* Where writes are interrupts nothing leads, though dom0 is denied no more of it than a page. */
static void interrupts(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    unsigned i;

    for (i = 0; i < 256; i += 15) {
        EXPECT_EQ(hv_map(ctx, BIG + i, XM_MSI + i, 1, i & 1 ? R : RW, NULL), -ENOENT);
    }
    EXPECT_EQ(hv_map(ctx, BIG, XM_MSI + 256, 1, RW, NULL), 0);
    EXPECT_EQ(hv_map(ctx, BIG + 1, XM_MSI - 1, 1, RW, NULL), 0);
}

/* A table page that has served comes back for another context, and none of its old entries with it. */
static void pages_again(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);
    unsigned round;

    for (round = 0; round < 40; round++) {
        uint64_t dfn = BIG + ((uint64_t)(round * 5 % 16) << 18);

        xm_watch(XM_DEV_PLAIN, dfn);
        map_one(ctx, dfn, round, RW);
        expect_dma(XM_DEV_PLAIN, dfn, true, mfn(round));
        if (round & 1) {
            EXPECT_EQ(hv_free(ctx, 1), 0);
            EXPECT_EQ(hv_alloc(0, &ctx), 0);
            EXPECT_EQ(hv_attach(ctx, XM_DEV_PLAIN), 0);
        } else {
            unmap_one(ctx, dfn);
        }
        expect_dma(XM_DEV_PLAIN, dfn, false, BLOCKED);
    }
}

/* Memory that may change under a device is nothing for one. */
static void sharing(void)
{
    xm_no_sharing(false);
    EXPECT_EQ(hv_init(8, 6), -EXDEV);
    xm_no_sharing(true);
    EXPECT_EQ(hv_init(8, 6), 0);
}

/* Nested contexts and PASIDs are not offered. */
static void not_offered(void)
{
    uint64_t arg[3] = {0};
    uint16_t nr;
    uint32_t caps;
    unsigned subop;

    (void)with_context(XM_DEV_PLAIN);
    EXPECT_EQ(hv_query(&nr, &caps), 0);
    EXPECT_EQ(nr, 8);
    EXPECT_EQ(caps & 0xc, 0);
    for (subop = 9; subop <= 12; subop++) {
        EXPECT_EQ(hv(subop, arg, sizeof(arg)), -95);
    }
    EXPECT_EQ(hv(200, arg, sizeof(arg)), -95);
}

static const struct rig_test tests[] = {
    {"one map", one_map, 0, {0}, NULL, false},
    {"home is Xen's", home_is_xens, 0, {0}, NULL, false},
    {"every device", every_device, 0, {0}, NULL, false},
    {"behind a legacy bridge", every_device, ON_VTD | ON_PV | ON_PVH, {.legacy_bridge = true}, NULL, false},
    {"without entries", without_entries, 0, {0}, NULL, false},
    {"reserved", reserved, 0, {0}, NULL, false},
    {"reserved for all", reserved_for_all, ON_AMD | ON_PV | ON_PVH, {0}, NULL, false},
    {"rights", rights, 0, {0}, NULL, false},
    {"table in range", table_in_range, 0, {0}, NULL, false},
    {"frames", frames_pv, ON_VTD | ON_AMD | ON_PV, {0}, NULL, false},
    {"frames", frames_pvh, ON_VTD | ON_AMD | ON_PVH, {0}, NULL, false},
    {"large", large, 0, {0}, NULL, false},
    {"twice", twice, 0, {0}, NULL, false},
    {"given up", given_up, 0, {0}, NULL, false},
    {"identity, relaxed", identity_relaxed, 0, {0}, NULL, false},
    {"identity, strict", identity_strict, 0, {0}, NULL, false},
    {"sparse", sparse, 0, {.frames = 1ul << 20}, NULL, false},
    {"interrupts", interrupts, ON_VTD | ON_AMD | ON_PV, {0}, NULL, false},
    {"pages again", pages_again, 0, {0}, NULL, false},
    {"sharing", sharing, 0, {0}, NULL, false},
    {"not offered", not_offered, 0, {0}, NULL, false},
};

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
