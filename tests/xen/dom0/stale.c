/* SPDX-License-Identifier: MIT */
/* When an unmap has returned nothing lands any more, whatever the page's size, and whatever the unit remembers of it. */
#include "iommu43.h"

#define LARGE_PAGE 0x200000u
#define LARGE_PAGES 512u
#define TIMES 8u

/* Pages here and there: mapped, met by the device, gone; then others in their places. */
static void test_small(uint16_t ctx)
{
    unsigned unreached = 0, stale = 0, failed = 0;
    uint32_t done;

    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t dfn = DFN + i * 1031ull * (i & 1 ? 1 : 256);
        unsigned flags = i & 2 ? MAP_RW | MAP_NO_FLUSH : MAP_RW;

        failed += iommu_map(ctx, dfn, frame_of(to[0]), 1, flags, &done) != 0;
        failed += (flags & MAP_NO_FLUSH) != 0 && iommu_flush(ctx, dfn, 1) != 0;
        unreached += !lands(dfn, to[0], 70);
        failed += iommu_unmap(ctx, dfn, 1, &done) != 0;
        stale += lands(dfn, to[0], 70);
        failed += iommu_map(ctx, dfn, frame_of(to[0]), 1, MAP_READ, &done) != 0;
        stale += lands(dfn, to[0], 70);
        failed += iommu_unmap(ctx, dfn, 1, &done) != 0;
    }
    is(failed, 0, "%u pages come and go, flushed at once and when told", TIMES);
    is(unreached, 0, "each is reached");
    is(stale, 0, "none after it is gone, nor written while it can only be read");
}

/* Pages of a large one as the device meets them, by their frame. */
static bool reached(uint64_t dfn, uint64_t frame)
{
    return lands(dfn, memory_map(frame), 70);
}

static void test_large(uint16_t ctx)
{
    uint64_t first = 0, dfn = DFN & ~511ull;
    uint32_t done, nr = memory_run(4 * LARGE_PAGES, &first);
    struct iommu_caps caps;

    first = (first + 511) & ~511ull;
    /* A PV guest is offered 4 KiB alone, and may name what the units have all the same. */
    if (nr < 2 * LARGE_PAGES || iommu_query(&caps) != 0 ||
        (caps.pgsize_mask != PAGE && (caps.pgsize_mask & LARGE_PAGE) == 0)) {
        ok(true, "pages of 2 MiB # SKIP there are none");
        return;
    }
    for (unsigned i = 0; i < 2; i++, dfn += LARGE_PAGES) {
        is(iommu_map_size(ctx, dfn, first, 1, MAP_RW, LARGE_PAGE, &done), 0, "map a page of 2 MiB");
        is(done, 1, "one page");
        ok(reached(dfn + 3, first + 3) && reached(dfn + 511, first + 511), "it is reached");
        is(iommu_unmap(ctx, dfn + 3, 1, &done), 0, "cut 4 KiB out of it");
        ok(!reached(dfn + 3, first + 3), "that is not reached any more");
        ok(reached(dfn + 2, first + 2) && reached(dfn + 4, first + 4) && reached(dfn + 511, first + 511), "what is around it is");
        is(iommu_unmap_size(ctx, dfn, 1, LARGE_PAGE, &done), ENOENT, "it is no whole page any more");
        is(iommu_map(ctx, dfn + 3, first + 9, 1, MAP_RW, &done), 0, "another page in the hole");
        ok(reached(dfn + 3, first + 9) && !reached(dfn + 3, first + 3), "that is reached there");
        is(iommu_unmap(ctx, dfn, LARGE_PAGES, &done), 0, "unmap all of it");
        is(done, LARGE_PAGES, "all of it");
        ok(!reached(dfn + 2, first + 2) && !reached(dfn + 3, first + 9) && !reached(dfn + 511, first + 511), "nothing is reached");
    }
    is(iommu_map_size(ctx, dfn, first, 1, MAP_RW, LARGE_PAGE, &done), 0, "map a page of 2 MiB");
    ok(reached(dfn + 77, first + 77), "it is reached");
    is(iommu_unmap_size(ctx, dfn, 1, LARGE_PAGE, &done), 0, "unmap it whole");
    ok(!reached(dfn + 77, first + 77), "it is not reached any more");
}

void test_stale(void)
{
    uint16_t ctx;

    load(frame_of(from), 70);
    is(iommu_alloc(0, &ctx), 0, "alloc");
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach the device");
    test_small(ctx);
    test_large(ctx);
    is(iommu_free(ctx, FREE_REATTACH), 0, "free, the device goes home");
}
