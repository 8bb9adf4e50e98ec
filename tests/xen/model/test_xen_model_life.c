/* SPDX-License-Identifier: MIT */
/* Domains and devices that come and go, on a model of Xen: other callers, moves, deaths, and what happens in the middle of a call. */
#include "rig.h"

#define DFN 0x5777u /* no frame of anybody */
#define ID 5u
#define SELF 0x7ff0u

enum { EPERM = 1, ENOENT = 2, EBUSY = 16, ENODEV = 19, EINVAL = 22 };

static struct xm_domain *guest;

static void guest_make(void)
{
    guest = xm_domain_create(ID, !rig_cfg.pvh);
}

/* Its devices go back, it dies, and what the drop-in has of it goes. */
static void guest_end(const unsigned *devs, unsigned nr)
{
    unsigned i;

    xm_domain_dies(guest);
    for (i = 0; i < nr; i++) {
        xm_move(devs[i], xm_hwdom());
    }
    xm_domain_ends(guest);
    xm_domain_destroy(guest);
}

static void expect_guest_dma(unsigned dev, uint64_t dfn, bool write, unsigned n)
{
    expect_dma(dev, dfn, write, xm_mfn(guest, n));
}

static uint16_t guest_context(unsigned dev)
{
    uint16_t ctx;

    hv_act_for(ID);
    EXPECT_EQ(hv_init(4, 5), 0);
    EXPECT_EQ(hv_alloc(0, &ctx), 0);
    EXPECT_EQ(hv_attach(ctx, dev), 0);
    EXPECT_EQ(hv_map(ctx, DFN, xm_gfn(guest, 6), 2, RW, NULL), 0);
    expect_guest_dma(dev, DFN + 1, true, 7);
    EXPECT_EQ(xm_refs(xm_mfn(guest, 6)), 1);
    EXPECT_EQ(xm_types(xm_mfn(guest, 6)), 1);
    hv_act_for(~0u);
    return ctx;
}

/* The hardware domain acts for a guest: its frames, its devices, nobody else's. */
static void for_a_guest(void)
{
    static const unsigned devs[] = {XM_DEV_PHANTOM};
    uint64_t arg = 0;
    uint16_t ctx;

    guest_make();
    EXPECT_EQ(hv_init(8, 6), 0);
    xm_move(XM_DEV_PHANTOM, guest);
    expect_guest_dma(XM_DEV_PHANTOM, xm_gfn(guest, 3), true, 3);
    xm_watch(XM_DEV_PHANTOM, DFN);
    ctx = guest_context(XM_DEV_PHANTOM);
    hv_act_for(ID);
    EXPECT_EQ(hv_attach(ctx, XM_DEV_PLAIN), -ENODEV);
    if (!rig_cfg.pvh) {
        EXPECT_EQ(hv_map(ctx, DFN + 9, xm_gfn(xm_hwdom(), 3), 1, R, NULL), -ENOENT);
        EXPECT_EQ(hv_map(ctx, DFN + 9, XM_MMIO, 1, R, NULL), -ENOENT);
    }
    EXPECT_EQ(hv_unmap(ctx, DFN, 1, NULL), 0);
    expect_dma(XM_DEV_PHANTOM, DFN, true, BLOCKED);
    EXPECT_EQ(xm_refs(xm_mfn(guest, 6)), 0);
    hv_act_for(~0u);
    EXPECT_EQ(hv_attach(1, XM_DEV_PHANTOM), -ENOENT);
    EXPECT_EQ(hv_for(ID + 1, 0, &arg, sizeof(arg)), -ENOENT);
    EXPECT_EQ(hv_for(SELF, 8, &arg, sizeof(arg)), -EINVAL);
    xm_policy(guest, true);
    EXPECT_EQ(hv_for(ID, 0, &arg, sizeof(arg)), -EPERM);
    xm_policy(xm_hwdom(), true);
    EXPECT_EQ(hv(0, &arg, sizeof(arg)), -EPERM);
    xm_policy(NULL, false);
    EXPECT_EQ(hv(0, &arg, sizeof(arg)), 0);
    guest_end(devs, 1);
    EXPECT_EQ(hv_for(ID, 0, &arg, sizeof(arg)), -ENOENT);
    EXPECT_EQ(xm_complaints(), 0);
}

/* An identity of another domain than dom0 holds its frames, however relaxed Xen is with dom0. */
static void identity_of_a_guest(void)
{
    static const unsigned devs[] = {XM_DEV_PHANTOM};
    uint64_t dfn;
    uint16_t ctx;

    guest_make();
    EXPECT_EQ(hv_init(8, 6), 0);
    xm_move(XM_DEV_PHANTOM, guest);
    hv_act_for(ID);
    EXPECT_EQ(hv_init(4, 6), 0);
    EXPECT_EQ(hv_alloc(1, &ctx), 0);
    EXPECT_EQ(hv_attach(ctx, XM_DEV_PHANTOM), 0);
    dfn = xm_gfn(guest, 6);
    xm_watch(XM_DEV_PHANTOM, dfn);
    expect_guest_dma(XM_DEV_PHANTOM, dfn, true, 6);
    EXPECT_EQ(xm_refs(xm_mfn(guest, 6)), 1);
    EXPECT_EQ(xm_types(xm_mfn(guest, 6)), 1);
    EXPECT_EQ(hv_unmap(ctx, dfn, 1, NULL), 0);
    expect_dma(XM_DEV_PHANTOM, dfn, true, BLOCKED);
    EXPECT_EQ(xm_refs(xm_mfn(guest, 6)), 0);
    hv_act_for(~0u);
    guest_end(devs, 1);
}

/* A guest has no interface until the hardware domain has made it one; others are none of its business, ever. */
static void guest_itself(void)
{
    static const unsigned devs[] = {XM_DEV_PLAIN};
    uint64_t arg = 0;
    uint32_t done;
    uint16_t ctx;

    guest_make();
    EXPECT_EQ(hv_init(8, 6), 0);
    xm_move(XM_DEV_PLAIN, guest);
    xm_enter(0, guest, false);
    EXPECT_EQ(hv(0, &arg, sizeof(arg)), -ENODEV);
    EXPECT_EQ(hv_init(4, 5), -ENODEV);
    EXPECT_EQ(hv_for(0, 0, &arg, sizeof(arg)), -ENODEV);
    xm_enter(0, xm_hwdom(), false);
    (void)guest_context(XM_DEV_PLAIN);
    xm_enter(0, guest, false);
    EXPECT_EQ(hv_init(4, 5), -EPERM);
    EXPECT_EQ(hv_alloc(0, &ctx), 0);
    EXPECT_EQ(hv_map(ctx, DFN, xm_gfn(guest, 9), 1, RW, &done), 0);
    EXPECT_EQ(hv_attach(ctx, XM_DEV_PLAIN), 0);
    expect_guest_dma(XM_DEV_PLAIN, DFN, true, 9);
    EXPECT_EQ(hv_for(0, 0, &arg, sizeof(arg)), -EPERM);
    EXPECT_EQ(hv_for(ID, 0, &arg, sizeof(arg)), -EPERM);
    EXPECT_EQ(hv_for(77, 0, &arg, sizeof(arg)), -EPERM);
    xm_enter(0, xm_hwdom(), false);
    guest_end(devs, 1);
}

/* Devices change their domain while they are in a context: Xen finds its entries, and the new owner begins at home. */
static void moves(void)
{
    uint16_t ctx;
    unsigned dev;

    guest_make();
    ctx = with_context(XM_DEV_PLAIN);
    map_one(ctx, DFN, 2, RW);
    for (dev = 0; dev < XM_DEVS; dev++) {
        xm_watch(dev, DFN);
        EXPECT_EQ(hv_attach(ctx, dev), 0);
        expect_dma(dev, DFN, true, xm_mfn(xm_hwdom(), 2));
        xm_move(dev, guest);
        expect_dma(dev, DFN, true, BLOCKED);
        expect_guest_dma(dev, xm_gfn(guest, 1), true, 1);
        EXPECT_EQ(hv_attach(ctx, dev), -ENODEV);
    }
    (void)guest_context(XM_DEV_RMRR);
    for (dev = 0; dev < XM_DEVS; dev++) {
        xm_move(dev, dev & 1 ? NULL : xm_hwdom());
        expect_dma(dev, DFN, true, BLOCKED);
        xm_move(dev, xm_hwdom());
        EXPECT_EQ(hv_attach(ctx, dev), 0);
        expect_dma(dev, DFN, true, xm_mfn(xm_hwdom(), 2));
    }
    guest_end(NULL, 0);
    EXPECT_EQ(xm_complaints(), 0);
}

/* Xen leads ids that two devices share where the last one goes: the drop-in sees to its own, and leaves a guest's alone. */
static void twins(void)
{
    uint16_t ctx = with_context(XM_DEV_PCI);
    unsigned last = xm_nr_rids(XM_DEV_PCI) - 1;

    guest_make();
    map_one(ctx, DFN, 2, RW);
    xm_watch(XM_DEV_PCI, xm_gfn(xm_hwdom(), 3));
    xm_move(XM_TWIN, xm_hwdom());
    expect_dma(XM_DEV_PCI, DFN, true, xm_mfn(xm_hwdom(), 2));
    expect_dma(XM_TWIN, DFN, true, xm_mfn(xm_hwdom(), 2));
    expect_dma(XM_TWIN, xm_gfn(xm_hwdom(), 3), true, BLOCKED);
    EXPECT_EQ(hv_attach(0, XM_DEV_PCI), 0);
    expect_dma(XM_TWIN, xm_gfn(xm_hwdom(), 3), true, xm_mfn(xm_hwdom(), 3));
    EXPECT(xm_is_home(XM_DEV_PCI, last));
    EXPECT_EQ(hv_attach(ctx, XM_TWIN), 0);
    xm_move(XM_TWIN, guest);
    EXPECT_EQ(hv_attach(0, XM_DEV_PCI), -EBUSY);
    expect_guest_dma(XM_TWIN, xm_gfn(guest, 3), true, 3);
    hv_act_for(ID);
    EXPECT_EQ(hv_init(4, 5), 0);
    EXPECT_EQ(hv_attach(0, XM_TWIN), -ENODEV);
    hv_act_for(~0u);
    xm_move(XM_TWIN, xm_hwdom());
    expect_dma(XM_TWIN, DFN, true, xm_mfn(xm_hwdom(), 2));
    EXPECT_EQ(hv_attach(0, XM_TWIN), 0);
    EXPECT(xm_is_home(XM_DEV_PCI, 0) && xm_is_home(XM_DEV_PCI, last));
}

/* What the unit is for Xen is no reason for it to stay when it leaves. */
static void iommu_leaves(void)
{
    uint16_t ctx = with_context(XM_DEV_PLAIN);

    EXPECT_EQ(hv_attach_sbdf(ctx, XM_IOMMU), 0);
    xm_iommu_leaves();
    EXPECT_EQ(hv_attach_sbdf(ctx, XM_IOMMU), -ENODEV);
}

/* A Xen that forgets that it hides the unit's function finds it once more: one device, and nothing to be said. */
static void iommu_twice(void)
{
    uint16_t ctx;

    xm_iommu_twice();
    ctx = with_context(XM_DEV_PLAIN);
    EXPECT_EQ(hv_attach_sbdf(ctx, XM_IOMMU), 0);
    EXPECT_EQ(xm_complaints(), 0);
}

/* One guest after the other has the same struct domain, number and frames. */
static void same_address(void)
{
    static const unsigned devs[] = {XM_DEV_PCI};
    struct xm_domain *first = NULL;
    uint64_t arg = 0;
    unsigned round;

    EXPECT_EQ(hv_init(8, 6), 0);
    for (round = 0; round < 6; round++) {
        guest_make();
        first = round ? first : guest;
        EXPECT(guest == first);
        xm_move(XM_DEV_PCI, guest);
        xm_enter(0, guest, false);
        EXPECT_EQ(hv(0, &arg, sizeof(arg)), -ENODEV);
        xm_enter(0, xm_hwdom(), false);
        (void)guest_context(XM_DEV_PCI);
        guest_end(devs, 1);
    }
}

/* For a guest that is dying nothing begins, before and after the drop-in is done with it. */
static void too_late(void)
{
    uint64_t arg = 0;

    EXPECT_EQ(hv_init(8, 6), 0);
    guest_make();
    xm_domain_dies(guest);
    EXPECT_EQ(hv_for(ID, 0, &arg, sizeof(arg)), -ENOENT);
    EXPECT(xm_domain_relinquish(guest));
    EXPECT_EQ(hv_for(ID, 0, &arg, sizeof(arg)), -ENOENT);
    xm_domain_destroy(guest);
}

/* Who assigns a device may have looked before the guest died, and come to it after all its devices had left. */
static void assigned_too_late(void)
{
    EXPECT_EQ(hv_init(8, 6), 0);
    guest_make();
    xm_move(XM_DEV_PLAIN, guest);
    (void)guest_context(XM_DEV_PLAIN);
    xm_domain_dies(guest);
    xm_move(XM_DEV_PLAIN, xm_hwdom());
    xm_move(XM_DEV_PHANTOM, guest);
    xm_domain_ends(guest);
    xm_move(XM_DEV_PHANTOM, xm_hwdom());
    xm_domain_destroy(guest);
    expect_dma(XM_DEV_PHANTOM, xm_gfn(xm_hwdom(), 3), true, xm_mfn(xm_hwdom(), 3));
    EXPECT_EQ(xm_complaints(), 0);
}

/* --- in the middle of a call ---------------------------------------------------------------- */

static bool was_done;

static void relinquish(void *unused)
{
    static const unsigned devs[] = {XM_DEV_PLAIN};

    (void)unused;
    xm_domain_dies(guest);
    xm_move(devs[0], xm_hwdom());
    was_done = xm_domain_relinquish(guest);
}

/* The guest dies, and its last call is still on its way. */
static void dies_under_call(void)
{
    uint64_t arg = 0;
    uint16_t ctx;
    long rc;

    guest_make();
    EXPECT_EQ(hv_init(8, 6), 0);
    xm_move(XM_DEV_PLAIN, guest);
    ctx = guest_context(XM_DEV_PLAIN);
    was_done = true;
    xm_meanwhile_at(2, relinquish, NULL);
    hv_act_for(ID);
    rc = hv_map(ctx, 0x1000, xm_gfn(guest, 0), XM_GUEST_FRAMES, RW, NULL);
    EXPECT(rc < 0);
    EXPECT(!was_done);
    EXPECT_EQ(hv(0, &arg, sizeof(arg)), -ENOENT);
    hv_act_for(~0u);
    expect_dma(XM_DEV_PLAIN, DFN, true, BLOCKED);
    xm_domain_ends(guest);
    xm_domain_destroy(guest);
}

static unsigned moved;

static void move_away(void *unused)
{
    (void)unused;
    xm_move(XM_DEV_PLAIN, guest);
    xm_move(XM_DEV_RMRR, NULL);
    moved++;
}

/* Another processor takes devices away wherever a call looks at the clock. */
static void leaves_under_call(void)
{
    bool left = true;
    uint16_t ctx;
    unsigned i;

    guest_make();
    ctx = with_context(XM_DEV_PLAIN);
    for (i = 1; left; i++) {
        EXPECT_EQ(hv_attach(ctx, XM_DEV_PLAIN), 0);
        EXPECT_EQ(hv_attach(ctx, XM_DEV_RMRR), 0);
        xm_meanwhile_at(i, move_away, NULL);
        xm_preempt_at(i & 1 ? ~0u : 0);
        EXPECT_EQ(hv_map(ctx, DFN, xm_gfn(xm_hwdom(), 0), 60, RW, NULL), 0);
        EXPECT_EQ(hv_unmap(ctx, DFN, 60, NULL), 0);
        left = xm_meanwhile_left() == 0;
        xm_preempt_at(0);
        xm_meanwhile_at(0, NULL, NULL);
        expect_dma(XM_DEV_PLAIN, DFN, true, BLOCKED);
        xm_move(XM_DEV_PLAIN, xm_hwdom());
        xm_move(XM_DEV_RMRR, xm_hwdom());
    }
    EXPECT(moved > 3);
    guest_end(NULL, 0);
}

/*
 * A call that has found the context alive may stand still until it has ended and been made anew, and read only then how far its
 * table reaches: all that does not change from life to life is never written again.
 */
static void second_life(void)
{
    uint64_t reach, mark;
    uint16_t ctx;

    EXPECT_EQ(hv_init(8, 6), 0);
    EXPECT_EQ(hv_alloc(0, &ctx), 0);
    EXPECT_EQ(hv_free(ctx, 0), 0);
    reach = xm_context_reach(xm_hwdom(), ctx, 0);
    mark = reach >> 1;
    EXPECT(reach != 0);
    (void)xm_context_reach(xm_hwdom(), ctx, mark);
    EXPECT_EQ(hv_alloc(0, &ctx), 0);
    EXPECT_EQ(xm_context_reach(xm_hwdom(), ctx, reach), mark);
    EXPECT_EQ(hv_free(ctx, 0), 0);
}

/* A processor that comes back has lost its area, not what others count as Xen's memory. */
static void processors_leave(void)
{
    unsigned int i;
    uint16_t ctx;

    EXPECT_EQ(hv_init(8, 6), 0);
    for (i = 0; i < 16; i++) {
        EXPECT_EQ(hv_alloc(0, &ctx), 0);
        xm_cpus_gone();
        EXPECT_EQ(hv_free(ctx, 0), 0);
    }
}

static const struct rig_test tests[] = {
    {"processors leave", processors_leave, 0, {0}, NULL, false},
    {"a second life", second_life, 0, {0}, NULL, false},
    {"identity of a guest", identity_of_a_guest, 0, {0}, NULL, false},
    {"for a guest", for_a_guest, 0, {0}, NULL, false},
    {"a guest itself", guest_itself, 0, {0}, NULL, false},
    {"moves", moves, 0, {0}, NULL, false},
    {"twins", twins, 0, {0}, NULL, true},
    {"the unit leaves", iommu_leaves, ON_AMD | ON_PV | ON_PVH, {0}, NULL, false},
    {"the unit is there twice", iommu_twice, ON_AMD | ON_PV | ON_PVH, {0}, NULL, false},
    {"same address", same_address, 0, {0}, NULL, false},
    {"too late", too_late, 0, {0}, NULL, false},
    {"assigned too late", assigned_too_late, 0, {0}, NULL, false},
    {"dies under a call", dies_under_call, 0, {0}, NULL, false},
    {"leaves under a call", leaves_under_call, 0, {0}, NULL, false},
};

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
