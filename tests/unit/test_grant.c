/* SPDX-License-Identifier: MIT */
/*
 * Grants at a bus address that the guest chose ("PV IOMMU interactions with grant map/unmap operations", seed 002), through the host's
 * calls; the frame is referenced by its leaf.
 */
#include <string.h>

#include "bus_rig.h"

#define RW 3u
#define NOWHERE UINT64_MAX

static bool mapped;

static int grant(struct bus_rig *r, uint64_t at, uint64_t pa, unsigned prot)
{
    pvi_iova iova = {at};
    pvi_pa frame = {pa};
    int rc;

    memset(&r->work, 0, sizeof(r->work));
    do {
        rc = pvi_grant_map(&r->f.dom, &r->work, iova, frame, prot, &mapped);
        pvi_posix_checkpoint(r->f.host);
    } while (rc == -PVI_EPREEMPTED);
    return rc;
}

static int ungrant(struct bus_rig *r, uint64_t at, uint64_t pa)
{
    pvi_iova iova = {at};
    pvi_pa frame = {pa};
    int rc;

    do {
        rc = pvi_grant_unmap(&r->f.dom, &r->work, iova, frame);
        pvi_posix_checkpoint(r->f.host);
    } while (rc == -PVI_EPREEMPTED);
    return rc;
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void granted(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {.region = true};
    struct fx_cfg fc = *cfg;
    uint64_t pa = G_PA(0, G_HVM + 3);

    fc.default_identity = true;
    bus_up(r, &fc, &opt);
    pvi_posix_preempt_call(r->f.host, always, NULL);
    CHECK_EQ(ungrant(r, 0x2000000, pa), -PVI_ENOENT);
    bus_load(r, 0x2000);
    pvi_posix_hold(r->f.host, r->f.hdom, pa, PVI_OWE_GRANT);
    CHECK_EQ(grant(r, 0x2000000, pa, RW), 0);
    pvi_posix_preempt_call(r->f.host, NULL, NULL);
    CHECK(mapped);
    bus_expect(r, 0x2000, pa, PVI_RW);
    CHECK_EQ(r->f.dev[0].ctx, &r->f.dom.bus->ctx);
    CHECK_EQ(grant(r, 0x2000000, pa, RW), -PVI_EEXIST);
    CHECK(!mapped);
    CHECK_EQ(grant(r, 0x2001800, pa, RW), -PVI_EALIGN); /* "Only PAGE_SIZE aligned addresses are allowed" */
    CHECK_EQ(grant(r, 0x2001000, pa, 0), -PVI_EFLAGS);
    CHECK_EQ(grant(r, 0x2001000, pa, 4), -PVI_EFLAGS);
    CHECK_EQ(grant(r, 0x7001000, pa, RW), -PVI_ERESERVED);
    CHECK_EQ(grant(r, 0xfee00000, pa, RW), -PVI_ERESERVED);
    CHECK_EQ(grant(r, 1ull << 60, pa, RW), -PVI_ERANGE);
    CHECK_EQ(grant(r, 0x300000, pa, RW), -PVI_EEXIST); /* the 1:1 mapping lies there */
    bus_begin(r); /* the guest's own calls */
    bus_unmap(r, 0x2000, 0);
    bus_map(r, 0x2000, GUEST_PV, RW);
    bus_unforeign(r, 0x2000, 0);
    CHECK_EQ(bus_call(r), 0);
    CHECK_EQ(bus_status(r, 0), -PVI_XEN_EPERM);
    CHECK_EQ(bus_status(r, 1), -PVI_XEN_EPERM);
    CHECK_EQ(bus_status(r, 2), -PVI_XEN_ENOENT);
    CHECK_EQ(ungrant(r, 0x2000000, pa + 0x1000), -PVI_ENOENT);
    CHECK_EQ(ungrant(r, 0x300000, 0x300000), -PVI_ENOENT); /* not by a grant */
    CHECK_EQ(ungrant(r, 0x2000800, pa), -PVI_EALIGN);
    CHECK_EQ(pvi_posix_frame_count(r->f.hdom, pa, PVI_OWE_GRANT), 1);
    CHECK_EQ(ungrant(r, 0x2000000, pa), 0);
    bus_expect(r, 0x2000, NOWHERE, 0);
    CHECK_EQ(pvi_posix_frame_count(r->f.hdom, pa, PVI_OWE_GRANT), 0);
    pvi_posix_hold(r->f.host, r->f.hdom, pa, PVI_OWE_GRANT);
    CHECK_EQ(grant(r, 0x2005000, pa, 1), 0);
    bus_expect(r, 0x2005, pa, PVI_READ);
    bus_down(r); /* a grant that is left goes with the domain, its reference after the flush */
}

static void test_granted(void **state)
{
    (void)state;
    bus_each(granted);
}

static void test_refused(void **state)
{
    static const struct {
        struct bus_opt opt;
        int rc;
    } t[] = {{{.no_revmap = true}, -PVI_EPERM}, {{.no_bus_pages = true}, -PVI_ENOIOMMU}, {{.no_iommu = true}, -PVI_ENOIOMMU}};
    struct fx_cfg cfg = {.kind = FX_VTD};
    static struct bus_rig r;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        bus_up(&r, &cfg, &t[i].opt);
        CHECK_EQ(grant(&r, 0x2000000, G_PA(0, G_HVM), RW), t[i].rc);
        CHECK_EQ(ungrant(&r, 0x2000000, G_PA(0, G_HVM)), t[i].rc);
        bus_down(&r);
    }
}

/* No page, or no unit that obeys. */
static void test_trouble(void **state)
{
    struct fx_cfg cfg = {.kind = FX_NULL, .np_cache = true};
    struct bus_opt opt = {.pages = 3};
    uint64_t pa = G_PA(0, G_HVM);
    static struct bus_rig r;

    (void)state;
    bus_up(&r, &cfg, &opt);
    CHECK_EQ(grant(&r, 0x2000000, pa, RW), -PVI_ENOMEM);
    CHECK(!mapped);
    bus_down(&r);
    opt.pages = 20;
    bus_up(&r, &cfg, &opt);
    pvi_posix_hold(r.f.host, r.f.hdom, pa, PVI_OWE_GRANT);
    CHECK_EQ(grant(&r, 0x2000000, pa, RW), 0);
    pvi_posix_fail(r.f.host, PVI_AT_INV_WAIT, 1, true);
    CHECK_EQ(ungrant(&r, 0x2000000, pa), -PVI_EHW);
    CHECK_EQ(pvi_posix_frame_count(r.f.hdom, pa, PVI_OWE_GRANT), 1); /* never released */
    CHECK_EQ(grant(&r, 0x2001000, pa, RW), -PVI_EHW);
    CHECK(!mapped);
    bus_lost(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_granted), cmocka_unit_test(test_refused), cmocka_unit_test(test_trouble)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
