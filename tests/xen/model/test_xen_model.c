/* SPDX-License-Identifier: MIT */
/* What a hardware domain does with contexts, on a model of Xen that enforces its contracts. */
#include "rig.h"

#define DFN 0x777u

/* One map, one DMA, one unmap: at each step what the device reaches, and what is held of the frame. */
static void one_map(void)
{
    struct xm_domain *d = xm_hwdom();
    uint64_t mfn = xm_mfn(d, 7), gfn;
    uint16_t ctx;

    xm_watch(XM_DEV_PLAIN, DFN);
    ctx = with_context(XM_DEV_PLAIN);
    expect_dma(XM_DEV_PLAIN, DFN, false, BLOCKED);
    map_one(ctx, DFN, 7, RW);
    EXPECT_EQ(xm_refs(mfn), 1);
    EXPECT_EQ(xm_types(mfn), 1);
    expect_dma(XM_DEV_PLAIN, DFN, true, mfn);
    EXPECT_EQ(hv_lookup(ctx, DFN, &gfn), 0);
    EXPECT_EQ(gfn, xm_gfn(d, 7));
    unmap_one(ctx, DFN);
    expect_dma(XM_DEV_PLAIN, DFN, false, BLOCKED);
    EXPECT_EQ(xm_refs(mfn), 0);
    EXPECT_EQ(xm_complaints(), 0);
}

static const struct rig_test tests[] = {
    {"one map", one_map, 0, {0}, NULL, false},
};

int main(void)
{
    return rig_main(tests, sizeof(tests) / sizeof(tests[0]));
}
