/* SPDX-License-Identifier: MIT */
/* Hypercall 56 as the hardware domain of the XenServer line uses it, on a model of Xen that enforces its contracts. */
#include "rig.h"

#define BFN 0x5777u /* no frame of anybody */
#define ID 5u

enum { EPERM = 1, ENOENT = 2, ENXIO = 6, ENOSYS = 38 };
enum { QUERY = 1, MAP, UNMAP, LOOKUP_FOREIGN = 5, UNMAP_FOREIGN };

struct element {
    uint16_t subop, flags;
    int32_t status;
    uint64_t bfn, gfn;
    uint16_t domid, ioserver, pad[2];
};

static struct xm_domain *guest;

/* All of an array; what the call itself answers is 0. */
static void bus(struct element *e, unsigned nr)
{
    uint64_t at = XM_GUEST_VA;
    uint32_t count = nr;
    unsigned turns = 0;
    bool again = true;

    xm_lends(true);
    memcpy(xm_guest_memory(), e, nr * sizeof(*e));
    while (again) {
        EXPECT_EQ(xm_bus_call(&at, &count, &again), 0);
        EXPECT(turns++ < 100000);
    }
    memcpy(e, xm_guest_memory(), nr * sizeof(*e));
}

static struct element one(uint16_t subop, uint16_t flags, uint64_t bfn, uint64_t gfn, uint16_t domid)
{
    struct element e = {subop, flags, 0x7fff, bfn, gfn, domid, 0, {0, 0}};

    bus(&e, 1);
    return e;
}

static uint64_t own(unsigned n)
{
    return xm_gfn(xm_hwdom(), n);
}

/* All own frames are mapped from the first map on; those of a PV dom0, whose devices reach them anyway, are not held. */
static unsigned identity_holds(void)
{
    return rig_cfg.pvh ? 1 : 0;
}

/* All devices reach what is mapped, and dom0's own memory 1:1, until it is taken away there. */
static void own_frames(void)
{
    unsigned dev;

    for (dev = 0; dev < XM_DEVS; dev++) {
        xm_watch(dev, BFN);
    }
    EXPECT_EQ(one(QUERY, 0, 0, 0, 0).status, 0);
    EXPECT_EQ(one(MAP, RW, BFN, own(3), 0).status, 0);
    for (dev = 0; dev < XM_DEVS; dev++) {
        expect_dma(dev, BFN, true, xm_mfn(xm_hwdom(), 3));
        expect_dma(dev, own(700), true, xm_mfn(xm_hwdom(), 700));
    }
    EXPECT_EQ(xm_refs(xm_mfn(xm_hwdom(), 3)), 1 + identity_holds());
    EXPECT_EQ(one(MAP, RW, BFN, own(4), 0).status, -EPERM);
    EXPECT_EQ(one(MAP, RW | 4, BFN + 1, own(4), 0).status, -EPERM); /* no reference */
    EXPECT_EQ(xm_refs(xm_mfn(xm_hwdom(), 4)), identity_holds());
    EXPECT_EQ(xm_make_table(xm_hwdom(), 4), !identity_holds());
    xm_end_table(xm_hwdom(), 4);
    EXPECT_EQ(one(UNMAP, 0, BFN, 0, 0).status, 0);
    EXPECT_EQ(one(UNMAP, 0, own(700), 0, 0).status, 0);
    for (dev = 0; dev < XM_DEVS; dev++) {
        expect_dma(dev, BFN, false, BLOCKED);
        expect_dma(dev, own(700), false, BLOCKED);
    }
    EXPECT_EQ(xm_refs(xm_mfn(xm_hwdom(), 700)), 0);
    expect_dma(XM_DEV_RMRR, XM_RMRR, true, XM_RMRR);
}

/* Frames of a guest: held while they are mapped, and given back when the guest dies. */
static void frames_of_a_guest(void)
{
    struct element e;
    uint64_t mfn;

    EXPECT_EQ(one(MAP, RW, BFN, own(3), 0).status, 0);
    guest = xm_domain_create(ID, !rig_cfg.pvh);
    mfn = xm_mfn(guest, 9);
    e = one(LOOKUP_FOREIGN, RW, 0, xm_gfn(guest, 9), ID);
    EXPECT_EQ(e.status, rig_cfg.pvh ? 0 : -EPERM); /* PV guests are not translated */
    if (e.status == 0) {
        xm_watch(XM_DEV_OTHER, e.bfn);
        EXPECT_EQ(xm_refs(mfn), 1);
        EXPECT_EQ(xm_types(mfn), 1);
        expect_dma(XM_DEV_OTHER, e.bfn, true, mfn);
        (void)xm_dirty(mfn);
        EXPECT_EQ(one(UNMAP_FOREIGN, 0, e.bfn, 0, 0).status, 0);
        EXPECT_EQ(xm_refs(mfn), 0);
        EXPECT_EQ(xm_dirty(mfn), true); /* the device may have written to it until now */
        expect_dma(XM_DEV_OTHER, e.bfn, false, BLOCKED);
        xm_p2m(guest, 9, XM_RAM_RO);
        e = one(LOOKUP_FOREIGN, 0, 0, xm_gfn(guest, 9), ID);
        EXPECT_EQ(e.status, 0);
        EXPECT_EQ(one(UNMAP_FOREIGN, 0, e.bfn, 0, 0).status, 0);
        EXPECT_EQ(xm_dirty(mfn), false);
        xm_p2m(guest, 9, XM_RAM);
        xm_policy(guest, true);
        EXPECT_EQ(one(LOOKUP_FOREIGN, RW, 0, xm_gfn(guest, 9), ID).status, -EPERM);
        xm_policy(guest, false);
        e = one(LOOKUP_FOREIGN, RW, 0, xm_gfn(guest, 10), ID);
        EXPECT_EQ(e.status, 0);
        xm_give_up(guest, 10);
    }
    EXPECT_EQ(one(LOOKUP_FOREIGN, RW, 0, xm_gfn(guest, 9), ID + 1).status, -ENXIO);
    xm_domain_dies(guest);
    EXPECT_EQ(one(LOOKUP_FOREIGN, RW, 0, xm_gfn(guest, 9), ID).status, -ENXIO);
    xm_domain_ends(guest);
    EXPECT_EQ(xm_refs(xm_mfn(guest, 10)), 0);
    expect_dma(XM_DEV_OTHER, e.bfn, false, BLOCKED);
    xm_domain_destroy(guest);
}

/* A long array, interrupted everywhere. */
static void long_array(void)
{
    static struct element e[1000];
    unsigned i;

    for (i = 0; i < 1000; i++) {
        e[i] = (struct element){i & 1 ? UNMAP : MAP, i & 1 ? 0 : RW, 0, BFN + i / 4, own(i / 2), 0, 0, {0, 0}};
        e[i].bfn = BFN + i / 2;
    }
    xm_preempt_at(~0u);
    bus(e, 1000);
    xm_preempt_at(0);
    for (i = 0; i < 1000; i++) {
        EXPECT_EQ(e[i].status, 0);
    }
    for (i = 0; i < 500; i++) {
        EXPECT_EQ(xm_refs(xm_mfn(xm_hwdom(), i)), identity_holds());
    }
}

/* Devices leave the hardware domain and come back to the same mappings; a guest that has them is at home. */
static void moves(void)
{
    unsigned dev;

    guest = xm_domain_create(ID, !rig_cfg.pvh);
    EXPECT_EQ(one(MAP, RW, BFN, own(3), 0).status, 0);
    for (dev = 0; dev < XM_DEVS; dev++) {
        xm_watch(dev, BFN);
        xm_move(dev, guest);
        expect_dma(dev, BFN, true, BLOCKED);
        expect_dma(dev, xm_gfn(guest, 3), true, xm_mfn(guest, 3));
    }
    for (dev = 0; dev < XM_DEVS; dev++) {
        xm_move(dev, xm_hwdom());
        expect_dma(dev, BFN, true, xm_mfn(xm_hwdom(), 3));
    }
    EXPECT_EQ(one(UNMAP, 0, BFN, 0, 0).status, 0);
    expect_dma(XM_DEV_PCI, BFN, true, BLOCKED);
    xm_domain_dies(guest);
    xm_domain_ends(guest);
    xm_domain_destroy(guest);
    EXPECT_EQ(xm_complaints(), 0);
}

/* Many frames of a guest that dies while its end is interrupted at every look at the clock. */
static void long_end(void)
{
    unsigned i;

    guest = xm_domain_create(ID, false);
    for (i = 0; i < XM_GUEST_FRAMES; i++) {
        EXPECT_EQ(one(LOOKUP_FOREIGN, RW, 0, xm_gfn(guest, i), ID).status, 0);
    }
    xm_domain_dies(guest);
    xm_preempt_at(~0u);
    xm_domain_ends(guest);
    xm_preempt_at(0);
    xm_domain_destroy(guest);
}

/* The first map in want of memory: another can follow, and nothing is left over. */
static void short_first(unsigned n)
{
    xm_alloc_fails_at(n);
    (void)one(MAP, RW, BFN, own(3), 0);
    xm_alloc_fails_at(0);
    EXPECT_EQ(one(MAP, RW, BFN + 1, own(4), 0).status, 0);
    expect_dma(XM_DEV_PLAIN, BFN + 1, true, xm_mfn(xm_hwdom(), 4));
    xm_shutdown();
}

static void short_of_memory(void)
{
    uint32_t arg[2] = {0};
    unsigned n;

    EXPECT_EQ(hv(0, arg, sizeof(arg)), 0); /* units are known */
    for (n = 1; n < 1100; n += n < 24 ? 1 : 67) {
        in_child(short_first, n);
    }
}

static void nobody_else(void)
{
    uint64_t at = XM_GUEST_VA;
    uint32_t count = 1;
    bool again;

    guest = xm_domain_create(ID, !rig_cfg.pvh);
    xm_enter(0, guest, false);
    EXPECT_EQ(xm_bus_call(&at, &count, &again), -ENOSYS);
    xm_enter(0, xm_hwdom(), false);
    xm_policy(xm_hwdom(), true);
    EXPECT_EQ(xm_bus_call(&at, &count, &again), -EPERM);
    xm_policy(NULL, false);
    xm_domain_dies(guest);
    EXPECT(xm_domain_relinquish(guest));
}

static const struct rig_test tests[] = {
    {"own frames", own_frames, 0, {0}, NULL, false},
    {"frames of a guest", frames_of_a_guest, 0, {0}, NULL, false},
    {"long array", long_array, 0, {0}, NULL, false},
    {"moves", moves, 0, {0}, NULL, false},
    {"a long end", long_end, ON_VTD | ON_AMD | ON_PVH, {0}, NULL, false},
    {"short of memory", short_of_memory, ON_VTD | ON_AMD | ON_PV, {0}, NULL, true},
    {"nobody else", nobody_else, 0, {0}, NULL, false},
};

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
