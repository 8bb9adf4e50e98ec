/* SPDX-License-Identifier: MIT */
/* What Xen's command line may say of the drop-in. */
#include <errno.h>

#include "rig.h"

static void numbers(void)
{
    uint16_t ctx;

    EXPECT_EQ(xm_options("contexts=2,pages=0x40"), 0);
    EXPECT_EQ(hv_init(3, 5), -E2BIG);
    EXPECT_EQ(hv_init(2, 7), -ENOMEM);
    EXPECT_EQ(hv_init(2, 6), 0);
    EXPECT_EQ(hv_alloc(0, &ctx), 0);
}

/* Each is refused, changes nothing, and keeps no other item from being heard. */
static void nonsense(void)
{
    static const char *const bad[] = {
        "", "pages", "pages=", "pages=1x", "pages=x", "pages=0x100000000", "pages =1", "page=1", "guests=maybe",
        "no-guests=no", "maybe", "contexts=1 ", "bus-pages=-1",
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EXPECT_EQ(xm_options(bad[i]), -EINVAL);
    }
    EXPECT_EQ(xm_options("contexts=2,contexts=x,,pages=64"), -EINVAL);
    EXPECT_EQ(hv_init(3, 6), -E2BIG);
    EXPECT_EQ(hv_init(2, 7), -ENOMEM);
    EXPECT_EQ(hv_init(2, 6), 0);
}

static void off(void)
{
    uint64_t arg = XM_GUEST_VA;
    uint32_t nr = 1;
    bool again;

    EXPECT_EQ(xm_options("off"), 0);
    EXPECT_EQ(hv_init(2, 6), -ENOSYS);
    EXPECT_EQ(xm_bus_call(&arg, &nr, &again), -ENOSYS);
    EXPECT_EQ(xm_options("contexts=4,on"), 0);
    EXPECT_EQ(hv_init(4, 6), 0);
}

static void no_guests(void)
{
    struct xm_domain *d;
    uint16_t contexts;
    uint32_t flags;

    EXPECT_EQ(xm_options("no-guests"), 0);
    EXPECT_EQ(hv_init(2, 6), 0);
    d = xm_domain_create(1, true);
    hv_act_for(1);
    EXPECT_EQ(hv_init(2, 6), -EPERM);
    hv_act_for(0);
    EXPECT_EQ(hv_query(&contexts, &flags), 0); /* dom0, by its number */
    EXPECT_EQ(contexts, 2);
    hv_act_for(~0u);
    xm_enter(0, d, false);
    EXPECT_EQ(hv_init(2, 6), -ENODEV);
    xm_enter(0, xm_hwdom(), false);
    EXPECT_EQ(xm_options("guests=yes"), 0);
    hv_act_for(1);
    EXPECT_EQ(hv_init(2, 6), 0);
    hv_act_for(~0u);
    xm_domain_dies(d);
    xm_domain_ends(d);
    xm_domain_destroy(d);
}

static const struct rig_test tests[] = {
    {"numbers", numbers, 0, {0}, NULL, false},
    {"nonsense", nonsense, 0, {0}, NULL, false},
    {"off", off, 0, {0}, NULL, false},
    {"no guests", no_guests, 0, {0}, NULL, false},
};

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
