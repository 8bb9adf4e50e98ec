/* SPDX-License-Identifier: MIT */
/* What the device must not reach is left alone, and the unit reports it: the lines "fault" are for scripts/xen-test, which looks for Xen's. */
#include "iommu43.h"

static void expect(const char *what, uint64_t dfn)
{
    note("fault: DMA %s %llx", what, (unsigned long long)(dfn * PAGE));
}

void test_faults(void)
{
    uint16_t ctx;
    uint32_t done;

    is(iommu_alloc(0, &ctx), 0, "alloc");
    is(iommu_map(ctx, DFN, frame_of(from), 1, MAP_READ, &done), 0, "map a page to read");
    is(iommu_map(ctx, DFN + 1, frame_of(to[0]), 1, MAP_RW, &done), 0, "map a page to write");
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach the device");
    load(DFN, 30);
    is(iommu_map(ctx, DFN + 5, frame_of(to[0]), 1, MAP_READ, &done), 0, "map one to read, which the unit does not know yet");
    expect("Write", DFN + 5);
    ok(!lands(DFN + 5, to[0], 30), "a write to what may be read");
    expect("Write", DFN + 2);
    ok(!lands(DFN + 2, to[0], 30), "a write to what is not mapped");
    expect("Write", frame_of(to[0]));
    ok(!lands(frame_of(to[0]), to[0], 30), "a write to what the default context maps");
    ok(lands(DFN + 1, to[0], 30), "after that one to what may be written");
    expect("Read", DFN + 3);
    load(DFN + 3, 31);
    ok(!lands(DFN + 1, to[0], 31), "nothing is read from what is not mapped");
    is(iommu_free(ctx, FREE_REATTACH), 0, "free, the device goes home");
    load(frame_of(from), 32);
    ok(lands(frame_of(to[0]), to[0], 32), "it reaches dom0's memory");
}
