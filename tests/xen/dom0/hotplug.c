/* SPDX-License-Identifier: MIT */
/* A device that leaves Xen while it is in a context of ours, and comes back. */
#include "iommu43.h"

#define XEN_PHYSDEV_OP 33
#define PCI_DEVICE_ADD 25
#define PCI_DEVICE_REMOVE 26

struct physdev_device {
    uint16_t seg;
    uint8_t bus, devfn;
    uint32_t flags;
    uint8_t physfn_bus, physfn_devfn;
    uint16_t pad;
};

static long physdev(unsigned op)
{
    struct physdev_device arg = {(uint16_t)(edu_sbdf >> 16), (uint8_t)(edu_sbdf >> 8), (uint8_t)edu_sbdf, 0, 0, 0, 0};

    return xen_call(XEN_PHYSDEV_OP, op, (unsigned long)&arg, 0, 0);
}

void test_hotplug(void)
{
    uint64_t self = frame_of(to[0]);
    uint16_t ctx;
    uint32_t done;

    is(iommu_alloc(0, &ctx), 0, "alloc");
    is(iommu_map(ctx, DFN, frame_of(to[0]), 1, MAP_RW, &done), 0, "map");
    load(frame_of(from), 60);
    for (unsigned i = 0; i < 2; i++) {
        is(iommu_reattach(ctx, edu_sbdf), 0, "attach");
        ok(lands(DFN, to[0], 60), "it reaches the page");
        is(physdev(PCI_DEVICE_REMOVE), 0, "take the device from Xen");
        is(iommu_reattach(ctx, edu_sbdf), ENODEV, "it is none any more");
        ok(!lands(DFN, to[0], 60), "it reaches nothing");
        is(physdev(PCI_DEVICE_ADD), 0, "give it back");
        ok(lands(self, to[0], 60), "it is in the default context");
        ok(!lands(DFN, to[0], 60), "it does not reach what it reached");
    }
    is(iommu_free(ctx, 0), 0, "free: nobody is in it");
}
