/* SPDX-License-Identifier: MIT */
/* Devices that go from context to context, with transfers under way; stale translations; all devices there are. */
#include "iommu43.h"

#define TIMES 6u

/* A transfer that is under way while its device moves lands where either of the two contexts has the page, and nowhere else. */
static bool lands_once(uint64_t dfn, uint16_t to_ctx, unsigned pattern)
{
    unsigned whole = 0, touched = 0;

    for (unsigned i = 0; i < PAGE; i++) {
        to[0][i] = to[1][i] = 0;
    }
    edu_begin_store(dfn * PAGE);
    if (iommu_reattach(to_ctx, edu_sbdf) != 0) {
        return false;
    }
    edu_wait();
    for (unsigned k = 0; k < 2; k++) {
        unsigned right = 0, other = 0;

        for (unsigned i = 0; i < PAGE; i++) {
            right += i < EDU_BYTES && to[k][i] == ((unsigned char)(i * 7 + pattern) | 1);
            other += to[k][i] != 0;
        }
        whole += right == EDU_BYTES && other == EDU_BYTES;
        touched += other != 0;
    }
    return whole == 1 && touched == 1;
}

static void test_back_and_forth(void)
{
    unsigned wrong = 0, lost = 0, home = 0;
    uint64_t self = frame_of(to[0]);
    uint16_t ctx[2];
    uint32_t done;

    for (unsigned i = 0; i < 2; i++) {
        is(iommu_alloc(0, &ctx[i]), 0, "alloc");
        is(iommu_map(ctx[i], DFN, frame_of(to[i]), 1, MAP_RW, &done), 0, "the same page, another frame");
    }
    load(frame_of(from), 50);
    for (unsigned i = 0; i < TIMES; i++) {
        wrong += iommu_reattach(ctx[i & 1], edu_sbdf) != 0 || !lands(DFN, to[i & 1], 50) || lands(DFN, to[(i & 1) ^ 1], 50);
        lost += !lands_once(DFN, ctx[(i & 1) ^ 1], 50);
        if (i % 3 == 2) {
            home += iommu_reattach(0, edu_sbdf) != 0 || lands(DFN, to[0], 50) || !lands(self, to[0], 50);
        }
    }
    is(wrong, 0, "to and fro, %u times: each context's own frame", TIMES);
    is(lost, 0, "with a transfer under way: it lands once");
    is(home, 0, "by way of the default context");
    is(iommu_free(ctx[0], FREE_REATTACH), 0, "free");
    is(iommu_free(ctx[1], FREE_REATTACH), 0, "free");
}

/* Two devices in one context, which ends under them. */
static void test_together(void)
{
    unsigned moved = 0, nr;
    uint16_t ctx;
    uint32_t done;

    is(iommu_alloc(0, &ctx), 0, "alloc");
    is(iommu_map(ctx, DFN, frame_of(to[0]), 1, MAP_RW, &done), 0, "map a page");
    for (nr = 0; edu_select(nr); nr++) {
        load(frame_of(from), 60 + nr);
        moved += iommu_reattach(ctx, edu_sbdf) == 0 && lands(DFN, to[0], 60 + nr);
    }
    is(moved, nr, "%u devices share it", nr);
    is(iommu_free(ctx, 0), EBUSY, "free without them");
    is(iommu_free(ctx, FREE_REATTACH), 0, "free with them");
    for (nr = moved = 0; edu_select(nr); nr++) {
        moved += !lands(DFN, to[0], 60 + nr) && lands(frame_of(to[0]), to[0], 60 + nr);
    }
    is(moved, nr, "all are at home");
    (void)edu_select(0);
}

/* Whatever is on the bus goes there and back, or is none that the library has. */
static void test_bus(void)
{
    unsigned moved = 0, out = 0, wrong = 0;
    uint16_t ctx;

    is(iommu_alloc(0, &ctx), 0, "alloc");
    for (uint32_t sbdf = 0; sbdf < 256; sbdf++) {
        long rc = iommu_reattach(ctx, sbdf);

        moved += rc == 0;
        out += rc == ENODEV && pci_is_there(sbdf);
        wrong += iommu_reattach(0, sbdf) != rc || (rc != 0 && rc != ENODEV) || (rc == 0 && !pci_is_there(sbdf));
    }
    is(wrong, 0, "of all devices %u go to a context and back, %u stay out", moved, out);
    ok(moved > 0, "some do");
    is(iommu_free(ctx, 0), 0, "free");
}

void test_attach(void)
{
    test_back_and_forth();
    test_together();
    test_bus();
}
