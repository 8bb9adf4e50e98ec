/* SPDX-License-Identifier: MIT */
/* Two processors at once on a model of Xen: contexts of their own, one that they share, and devices that move between domains. */
#include "rig.h"

#include <pthread.h>

#define DFN 0x5000u /* no frame of anybody, up to 0x5fff */
#define ROUNDS 120u

enum { ENOENT = 2, EBUSY = 16, ENODEV = 19 };

static struct xm_domain *guest;
static uint16_t shared;

static void work(unsigned cpu)
{
    static const unsigned mine[] = {XM_DEV_PLAIN, XM_DEV_OTHER};
    struct xm_domain *d = xm_hwdom();
    unsigned i, n;
    uint16_t ctx;
    long rc;

    xm_enter(cpu, d, false);
    for (i = 0; i < ROUNDS; i++) {
        uint64_t dfn = DFN + 2 * (i % 64) + cpu, far = DFN + 0x800 + 512 * (i % 3);

        n = (i * 7 + cpu * 300) % 500;
        EXPECT_EQ(hv_alloc(0, &ctx), 0);
        EXPECT_EQ(hv_attach(ctx, mine[cpu]), 0);
        EXPECT_EQ(hv_map(ctx, far, xm_gfn(d, n), 20, RW, NULL), 0);
        expect_dma(mine[cpu], far + 7, true, xm_mfn(d, n + 7));
        EXPECT_EQ(hv_map(shared, dfn, xm_gfn(d, n), 1, RW, NULL), 0);
        expect_dma(XM_DEV_PHANTOM, dfn, true, xm_mfn(d, n));
        rc = hv_attach(ctx, XM_DEV_PCI);
        EXPECT(rc == 0 || rc == -ENODEV);
        if (cpu == 1 && i % 8 == 3) {
            xm_move(XM_DEV_PCI, i & 8 ? guest : d);
        }
        EXPECT_EQ(hv_unmap(shared, dfn, 1, NULL), 0);
        expect_dma(XM_DEV_PHANTOM, dfn, false, BLOCKED);
        EXPECT_EQ(hv_free(ctx, 1), 0);
        expect_dma(mine[cpu], far + 7, true, BLOCKED);
    }
}

static void *second(void *unused)
{
    (void)unused;
    work(1);
    return NULL;
}

static void two_processors(void)
{
    pthread_t thread;

    guest = xm_domain_create(5, !rig_cfg.pvh);
    shared = with_context(XM_DEV_PHANTOM);
    EXPECT_EQ(pthread_create(&thread, NULL, second, NULL), 0);
    work(0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(xm_complaints(), 0);
    xm_move(XM_DEV_PCI, xm_hwdom());
    xm_domain_dies(guest);
    xm_domain_ends(guest);
    xm_domain_destroy(guest);
}

static const struct rig_test tests[] = {
    {"two processors", two_processors, 0, {.parallel = true}, NULL, false},
};

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
