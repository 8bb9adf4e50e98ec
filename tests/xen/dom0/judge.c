/* SPDX-License-Identifier: MIT */
/* What tests judge by: where the device's data arrives, and how much there is left. */
#include "iommu43.h"

unsigned char from[PAGE] __attribute__((aligned(4096)));
unsigned char to[2][PAGE] __attribute__((aligned(4096)));

void load(uint64_t dfn, unsigned seed)
{
    for (unsigned i = 0; i < EDU_BYTES; i++) {
        from[i] = (unsigned char)(i * 7 + seed) | 1;
    }
    edu_load(dfn * PAGE);
}

bool lands(uint64_t dfn, volatile unsigned char *page, unsigned seed)
{
    unsigned right = 0;

    for (unsigned i = 0; i < PAGE; i++) {
        page[i] = 0;
    }
    edu_store(dfn * PAGE);
    for (unsigned i = 0; i < EDU_BYTES; i++) {
        right += page[i] == ((unsigned char)(i * 7 + seed) | 1);
    }
    return right == EDU_BYTES;
}

unsigned tables_left(void)
{
    unsigned nr = 0, gone = 0;
    uint32_t done;
    uint16_t ctx;
    long rc;

    if (iommu_alloc(0, &ctx) != 0) {
        return 0;
    }
    while ((rc = iommu_map(ctx, DFN + nr * 512ull, frame_of(to[0]), 1, MAP_RW, &done)) == 0) {
        nr++;
    }
    while (gone < nr && iommu_unmap(ctx, DFN + gone * 512ull, 1, &done) == 0) {
        gone++;
    }
    return rc == ENOMEM && iommu_free(ctx, 0) == 0 && gone == nr ? nr : 0;
}
