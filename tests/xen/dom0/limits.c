/* SPDX-License-Identifier: MIT */
/* What is asked for beyond the limits, and what comes back when there is no more. */
#include "iommu43.h"

#define LARGE 4096u

void test_init_limits(void)
{
    is(iommu_init(CONTEXTS + 1, ARENA), E2BIG, "init with more contexts than Xen grants");
    is(iommu_init(UINT32_MAX, ARENA), E2BIG, "with as many as there are numbers");
    is(iommu_init(CONTEXTS, ARENA + 1), ENOMEM, "with more pages than Xen grants");
    is(iommu_init(CONTEXTS, 63), ENOMEM, "with more than there can be");
    is(iommu_init(0xffff, 0), EINVAL, "with as many as 16 bits do not count");
}

/* A call that gets some pages for tables, but not all: it ends where it says. */
static void test_partly(uint16_t ctx)
{
    uint64_t gfn, got;
    uint32_t done = 0, nr = memory_run(LARGE, &gfn), gone;
    uint64_t dfn = DFN + 0x1001 + gfn % 512;

    is(iommu_map(ctx, dfn, gfn, nr, MAP_RW, &done), ENOMEM, "map %u pages, with a few pages for tables", nr);
    ok(done > 0 && done < nr, "%u are mapped", done);
    is(iommu_lookup(ctx, dfn + done - 1, &got), 0, "the last of them is there");
    ok(got == gfn + done - 1, "it is its frame");
    is(iommu_lookup(ctx, dfn + done, &got), ENOENT, "nothing is behind it");
    is(iommu_unmap(ctx, dfn, nr, &gone), ENOENT, "unmap as many as were asked for");
    is(gone, done, "as many are gone as were there");
}

void test_limits(void)
{
    unsigned room = tables_left(), nr = 0;
    uint16_t full, other, spare, more;
    uint32_t done;
    uint64_t gfn;

    is(iommu_alloc(0, &full) | iommu_alloc(0, &other) | iommu_alloc(0, &spare), 0, "three contexts");
    is(iommu_map(other, DFN, frame_of(to[1]), 1, MAP_RW, &done), 0, "one has a page");
    for (unsigned i = 0; i < 4; i++) {
        is(iommu_map(spare, DFN + i * 512, frame_of(to[1]), 1, MAP_RW, &done), 0, "one has some");
    }
    while (iommu_map(full, DFN + nr * 512ull, frame_of(to[0]), 1, MAP_RW, &done) == 0) {
        nr++;
    }
    is(iommu_map(other, DFN + (64u << 18), frame_of(to[1]), 1, MAP_RW, &done), ENOMEM, "one has all others: a map elsewhere");
    is(done, 0, "maps nothing");
    is(iommu_lookup(other, DFN + (64u << 18), &gfn), ENOENT, "there is nothing");
    is(iommu_map(other, DFN + 1, frame_of(to[0]), 1, MAP_RW, &done), 0, "a map that needs no table");
    is(iommu_alloc(0, &more), ENOMEM, "an alloc");
    is(iommu_reattach(full, edu_sbdf), 0, "a reattach");
    ok(lands(DFN + (nr - 1) * 512ull, to[0], 32), "the last page is reached");
    is(iommu_reattach(other, edu_sbdf), 0, "another");
    ok(lands(DFN, to[1], 32), "its page is reached");
    is(iommu_free(spare, 0), 0, "free one");
    test_partly(other);
    is(iommu_free(other, FREE_REATTACH), 0, "free another, the device goes home");
    is(iommu_free(full, 0), 0, "free the last");
    is(tables_left(), room, "no page is lost");
}
