/* SPDX-License-Identifier: MIT */
/* A device with a reserved region (`rmrr=` of Xen's command line, an IVMD of the firmware): it reaches it 1:1 in every context, and nobody maps there. */
#include "iommu43.h"

static uint64_t region;
static volatile unsigned char *window;

static bool reaches(unsigned seed)
{
    load(DFN, seed);
    return lands(region, window, seed);
}

/* Ranges that touch it, wherever they begin. */
static void test_closed(uint16_t ctx)
{
    uint64_t gfn = memory_frame(0);
    uint32_t done, gone;

    is(iommu_map(ctx, region, gfn, 1, MAP_RW, &done), EADDRNOTAVAIL, "a map there");
    is(iommu_map(ctx, region - 1, gfn, 1, MAP_RW, &done), 0, "a map below");
    is(iommu_unmap(ctx, region - 1, 2, &done), EADDRNOTAVAIL, "an unmap into it");
    is(iommu_unmap(ctx, region, 1, &done), EADDRNOTAVAIL, "an unmap there");
    (void)iommu_unmap(ctx, region - 1, 1, &done);
    is(iommu_map(ctx, region - 1, gfn, 3, MAP_RW, &done), EADDRNOTAVAIL, "a map across it");
    is(iommu_unmap(ctx, region - 1, 1, &gone), done != 0 ? 0 : ENOENT, "below it is what was told");
    ok(reaches(11), "the device reaches it as before");
}

void test_regions(uint64_t frame)
{
    uint16_t ctx, other;
    uint32_t done;

    region = frame;
    window = device_page(frame * PAGE);
    if (!edu_select(1) || window == NULL) {
        ok(false, "a second device, whose region is %lx", frame);
        return;
    }
    is(iommu_alloc(0, &ctx), 0, "alloc");
    is(iommu_map(ctx, DFN, frame_of(from), 1, MAP_READ, &done), 0, "map a page to read");
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach a device with a region");
    ok(reaches(10), "it reaches the region, 1:1");
    test_closed(ctx);
    is(iommu_alloc(0, &other), 0, "alloc another context");
    is(iommu_map(other, region, memory_frame(0), 1, MAP_RW, &done), 0, "nothing is reserved there");
    is(iommu_reattach(other, edu_sbdf), EADDRINUSE, "so the device cannot come there");
    ok(reaches(12), "it is where it was");
    is(iommu_unmap(other, region, 1, &done), 0, "unmap");
    is(iommu_map(other, DFN, frame_of(from), 1, MAP_READ, &done), 0, "map a page to read");
    is(iommu_reattach(other, edu_sbdf), 0, "then it can");
    ok(reaches(13), "and reaches its region");
    is(iommu_map(ctx, region, memory_frame(0), 1, MAP_RW, &done), 0, "what it has left is open again");
    is(iommu_free(ctx, 0), 0, "free");
    is(iommu_free(other, FREE_REATTACH), 0, "free, the device goes home");
    is(iommu_alloc(ALLOC_IDENTITY, &ctx), 0, "an identity context");
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach it there");
    is(iommu_map(ctx, DFN, frame_of(from), 1, MAP_READ, &done), 0, "map a page to read");
    ok(reaches(14), "the region is part of it");
    is(iommu_free(ctx, FREE_REATTACH), 0, "free, the device goes home");
    load(frame_of(from), 15);
    ok(lands(region, window, 15), "the region is there, too");
    (void)edu_select(0);
}
