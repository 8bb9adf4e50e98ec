/* SPDX-License-Identifier: MIT */
/*
 * The interface of 2015 on a domain's own frames: query_caps, map_page, unmap_page, in both dialects; the hidden context's birth. Each test
 * names the sentence of the draft (seed 002) or the fact of what ships (pv-iommu-abis 1b) that it holds.
 */
#include <string.h>

#include "bus_rig.h"

#define R 1u
#define W 2u
#define RW 3u
#define NO_REF 4u
#define ORDER(n) ((unsigned)(n) << 10)
#define NOWHERE UINT64_MAX

static const uint64_t pv_pa = 0x4000000000ull;

static int32_t map1(struct bus_rig *r, uint64_t bfn, uint64_t gfn, unsigned flags)
{
    bus_begin(r);
    bus_map(r, bfn, gfn, flags);
    return bus_do(r);
}

static int32_t unmap1(struct bus_rig *r, uint64_t bfn, unsigned flags)
{
    bus_begin(r);
    bus_unmap(r, bfn, flags);
    return bus_do(r);
}

/* "takes over every device of the domain at the first call that changes a mapping, and devices added later" */
static void takeover(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    uint64_t pa;

    for (unsigned shipped = 0; shipped < 2; shipped++) {
        bus_up(r, cfg, &opt);
        r->shipped = shipped != 0;
        bus_begin(r);
        bus_caps(r);
        CHECK_EQ(bus_do(r), 0);
        CHECK(!r->f.dom.bus); /* asking changes nothing */
        CHECK_EQ(r->f.dev[0].ctx, &r->f.dom.default_ctx);
        bus_load(r, 0x500);
        CHECK_EQ(map1(r, 0x500, GUEST_PV + 3, RW), 0);
        CHECK_EQ(r->f.dev[0].ctx, &r->f.dom.bus->ctx);
        CHECK_EQ(r->f.dev[1].ctx, &r->f.dom.bus->ctx);
        bus_expect(r, 0x500, pv_pa + 0x3000, PVI_RW);
        CHECK_EQ(pvi_posix_frame_count(r->f.hdom, pv_pa + 0x3000, PVI_OWE_WRITABLE), 1);
        CHECK_EQ(map1(r, 0x501, GUEST_PV + 4, R), 0);
        bus_expect(r, 0x501, pv_pa + 0x4000, PVI_READ);
        CHECK_EQ(pvi_posix_frame_count(r->f.hdom, pv_pa + 0x4000, PVI_OWE_REF), 1);
        (void)fx_device(&r->f, 2, 0);
        CHECK_EQ(fx_add(&r->f, 2), 0);
        CHECK_EQ(r->f.dev[2].ctx, &r->f.dom.bus->ctx);
        CHECK(bus_reach(r, 2, 0x500, true, &pa) && pa == pv_pa + 0x3000);
        CHECK_EQ(unmap1(r, 0x500, 0), 0);
        bus_expect(r, 0x500, NOWHERE, 0);
        CHECK_EQ(pvi_posix_frame_count(r->f.hdom, pv_pa + 0x3000, PVI_OWE_WRITABLE), 0);
        bus_down(r);
    }
}

static void test_takeover(void **state)
{
    (void)state;
    bus_each(takeover);
}

/* It "begins with the default context's content"; context 0 keeps its own. */
static void identity(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    struct fx_cfg fc = *cfg;

    fc.default_identity = true;
    bus_up(r, &fc, &opt);
    bus_load(r, 0x20);
    CHECK_EQ(unmap1(r, 0x300, 0), 0);
    bus_expect(r, 0x300, NOWHERE, 0);
    bus_expect(r, 0x301, 0x301000, PVI_RW);
    bus_expect(r, 0x20, 0x20000, PVI_RW);
    CHECK_EQ(map1(r, 0x20, GUEST_PV, RW), -PVI_XEN_EPERM); /* taken */
    CHECK_EQ(map1(r, 0x300, GUEST_PV, RW), 0);
    bus_expect(r, 0x300, pv_pa, PVI_RW);
    CHECK_EQ(pvi_posix_frame_count(r->f.hdom, 0x300000, PVI_OWE_WRITABLE), 1); /* context 0's */
    bus_down(r);
}

static void test_identity(void **state)
{
    (void)state;
    bus_each(identity);
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* A frame of the domain in the default context, as a host puts it there. */
static void host_maps(struct bus_rig *r, uint64_t dfn, uint64_t gfn, uint64_t nr)
{
    struct pvi_context *ctx = &r->f.dom.default_ctx;
    struct pvi_frames frames;
    struct pvi_pt_map m = {.iova = dfn << 12, .len = nr << 12, .prot = PVI_RW};
    static struct pvi_gather g;
    pvi_gfn first = {gfn};

    pvi_gather_init(&g, r->f.host, r->f.hdom, r->f.dom.table.ops);
    CHECK_EQ(pvi_host_frame_get(r->f.host, r->f.hdom, first, nr, PVI_RW, &frames), 0);
    CHECK_EQ(frames.nr, nr);
    m.pa = frames.pa.a;
    m.owe = frames.owe;
    while (m.done < m.len) {
        CHECK_EQ(ctx->pt.cfg.ops->map(&ctx->pt, ctx, &m, &g), 0);
    }
    CHECK_EQ(pvi_gather_flush(&g), 0);
}

static struct pvi_posix_range moving = {.gfn = 0x700001, .nr = 1, .pa = 0x123457000, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};

/* The guest frame behind device frame 0x103 leads elsewhere as soon as it has been named. */
static void move_frame(void *opaque, enum pvi_posix_point at, bool after)
{
    struct bus_rig *r = opaque;

    (void)at;
    if (after && pvi_posix_calls(r->f.host, PVI_AT_FRAME_GFN) == 3) {
        pvi_posix_hdom_unrange(r->f.hdom, moving.gfn);
        moving.pa = 0x123459000;
        CHECK_EQ(pvi_posix_hdom_range(r->f.hdom, &moving), 0);
    }
}

/* The same for a default context that is neither empty nor the identity: each frame is pinned anew, regions come with the devices. */
static void copied(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {.region = true};
    struct pvi_posix_range swapped = {.gfn = 0x700000, .nr = 1, .pa = 0x123456000, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};

    for (unsigned preempt = 0; preempt < 2; preempt++) {
        bus_up(r, cfg, &opt);
        CHECK_EQ(pvi_posix_hdom_range(r->f.hdom, &swapped), 0);
        moving.pa = 0x123457000;
        CHECK_EQ(pvi_posix_hdom_range(r->f.hdom, &moving), 0);
        host_maps(r, 0x6000, GUEST_PV, 0x1000);
        host_maps(r, 0x7004, GUEST_PV + 0x1004, 0xffc); /* up to the region at 0x7000, and from its end on */
        host_maps(r, 0x100, GUEST_SCATTER, 1);
        host_maps(r, 0x101, swapped.gfn, 1);
        host_maps(r, 0x103, moving.gfn, 1);
        pvi_posix_calls_reset(r->f.host);
        pvi_posix_hook(r->f.host, PVI_AT_BIT(PVI_AT_FRAME_GFN), move_frame, r);
        pvi_posix_hdom_unrange(r->f.hdom, swapped.gfn); /* the domain does not have it any more */
        pvi_posix_preempt_call(r->f.host, preempt ? always : NULL, NULL);
        bus_load(r, 0x6000);
        CHECK_EQ(map1(r, 0x200, GUEST_PV, RW), 0);
        pvi_posix_hook(r->f.host, 0, NULL, NULL);
        pvi_posix_preempt_call(r->f.host, NULL, NULL);
        bus_expect(r, 0x6000, pv_pa, PVI_RW);
        bus_expect(r, 0x6fff, pv_pa + 0xfff000, PVI_RW);
        bus_expect(r, 0x7000, 0x7000000, PVI_RW);
        bus_expect(r, 0x7003, 0x7003000, PVI_RW);
        bus_expect(r, 0x7004, pv_pa + 0x1004000, PVI_RW);
        bus_expect(r, 0x7fff, pv_pa + 0x1fff000, PVI_RW);
        bus_expect(r, 0x101, NOWHERE, 0);
        bus_expect(r, 0x103, NOWHERE, 0);
        CHECK_EQ(moving.pa, 0x123459000);
        CHECK_EQ(pvi_posix_frame_count(r->f.hdom, 0x7000000, PVI_OWE_WRITABLE), 0); /* a region needs no frame of the domain */
        CHECK_EQ(unmap1(r, 0x6800, 0), 0);
        bus_expect(r, 0x6800, NOWHERE, 0);
        CHECK_EQ(pvi_posix_frame_count(r->f.hdom, pv_pa + 0x800000, PVI_OWE_WRITABLE), 1); /* context 0's */
        CHECK_EQ(pvi_posix_frame_count(r->f.hdom, pv_pa + 0x801000, PVI_OWE_WRITABLE), 2);
        bus_down(r);
    }
}

static void test_copied(void **state)
{
    (void)state;
    bus_each(copied);
}

/* The operations of the decoder in a batch: they need the interface, and that it is prepared; no other number is taken. */
static void test_batch(void **state)
{
    static const struct bus_opt opts[] = {{0}, {.no_revmap = true}};
    struct fx_cfg cfg = {.kind = FX_NULL};
    static struct bus_rig r;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        bus_up(&r, &cfg, &opts[i]);
        for (unsigned code = PVI_OP_BUS_MAP - 1; code <= PVI_OP_FOREIGN_UNMAP + 1; code++) {
            bool known = code >= PVI_OP_BUS_MAP && code <= PVI_OP_FOREIGN_UNMAP;

            fx_begin(&r.f);
            fx_op(&r.f, code, PVI_CTX_BUS)->flags = code == PVI_OP_FOREIGN_UNMAP ? 0 : PVI_RW;
            CHECK_EQ(fx_submit(&r.f), 0);
            CHECK_EQ(r.f.op[0].status, !known ? -PVI_EINVAL
                                       : i == 1 ? -PVI_EPERM
                                       : code == PVI_OP_FOREIGN_UNMAP ? -PVI_ENOENT
                                                                      : -PVI_ENOTINIT);
        }
        bus_down(&r);
    }
}

/* query_caps: what each dialect says of domains that can map, and of those that cannot. */
static void test_caps(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD};
    static const struct {
        struct bus_opt opt;
        bool shipped;
        unsigned flags;
        uint64_t offset;
    } t[] = {
        {{0}, true, 3, 248ull << 18},
        {{.no_bus_pages = true}, true, 0, 0},
        {{.no_iommu = true}, true, 0, 0},
        {{0}, false, 1 | ORDER(9), 0},
        {{.all_frames = true}, false, 3 | ORDER(9), 0},
        {{.no_bus_pages = true, .all_frames = true}, false, 0, 0},
        {{.no_iommu = true}, false, 0, 0},
    };
    static struct bus_rig r;

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        check_case("caps %zu", i);
        bus_up(&r, &cfg, &t[i].opt);
        r.shipped = t[i].shipped;
        bus_begin(&r);
        bus_caps(&r);
        CHECK_EQ(bus_do(&r), 0);
        CHECK_EQ(bus_flags(&r, 0), t[i].flags);
        CHECK_EQ(bus_q8(&r, 0), t[i].offset);
        bus_down(&r);
    }
}

struct case_map {
    uint64_t bfn, gfn;
    unsigned flags;
    int32_t draft, shipped;
};

/* map_page: every status from every cause. */
static void map_causes(struct bus_rig *r, const struct fx_cfg *cfg)
{
    static const struct case_map t[] = {
        {0x600, GUEST_PV + 1, RW, 0, 0},
        {0x600, GUEST_PV + 2, RW, -PVI_XEN_EPERM, -PVI_XEN_EPERM},        /* the bus frame is taken */
        {0x601, GUEST_NONE, RW, -PVI_XEN_EPERM, -PVI_XEN_EPERM},          /* "GFN does not belong to domain" */
        {0x601, GUEST_RO, RW, -PVI_XEN_EPERM, -PVI_XEN_EPERM},            /* rights that the frame does not have */
        {0x601, GUEST_RO, R, 0, 0},
        {0x602, GUEST_PV + 1, W, 0, 0},
        {0x603, GUEST_PV + 1, 0, -PVI_XEN_EINVAL, -PVI_XEN_EINVAL},       /* no rights: unspecified */
        {0x603, GUEST_PV + 1, RW | NO_REF, -PVI_XEN_EPERM, -PVI_XEN_EPERM}, /* "if dom0-strict mode is NOT enabled" */
        {0x7000, GUEST_PV + 1, RW, -PVI_XEN_EACCES, -PVI_XEN_EPERM},      /* RMRR */
        {0xfee00, GUEST_PV + 1, RW, -PVI_XEN_EACCES, -PVI_XEN_EPERM},     /* interrupts */
        {1ull << 51, GUEST_PV + 1, RW, -PVI_XEN_EIO, -PVI_XEN_EIO},       /* beyond the unit */
        {UINT64_MAX, GUEST_PV + 1, RW, -PVI_XEN_EIO, -PVI_XEN_EIO},
        {0x604, UINT64_MAX, RW, -PVI_XEN_EIO, -PVI_XEN_EIO},
        {0x605, GUEST_PV + 1, RW | 8, -PVI_XEN_EINVAL, 0},                /* reserved bits: what ships does not look */
        {0x606, GUEST_PV + 1, RW | 0x200, -PVI_XEN_EINVAL, 0},
        {0x608, GUEST_PV + 8, RW | ORDER(3), 0, -PVI_XEN_ENOSPC},   /* any order but 0 */
        {0x621, GUEST_PV + 0x20, RW | ORDER(5), -PVI_XEN_ENOSPC, -PVI_XEN_ENOSPC}, /* "too large for either BFN, GFN" */
        {0x640, GUEST_PV + 0x21, RW | ORDER(5), -PVI_XEN_ENOSPC, -PVI_XEN_ENOSPC},
        {0x2000, GUEST_PV, RW | ORDER(10), -PVI_XEN_ENOSPC, -PVI_XEN_ENOSPC},      /* "or IOMMU unit" */
        {0x2000, GUEST_PV, RW | ORDER(63), -PVI_XEN_ENOSPC, -PVI_XEN_ENOSPC},
        {0x2000, GUEST_PV, RW | ORDER(16), -PVI_XEN_ENOSPC, -PVI_XEN_ENOSPC},
        {0x2200, GUEST_PV + 0x200, RW | ORDER(9), 0, -PVI_XEN_ENOSPC},
    };
    struct bus_opt opt = {.region = true};

    for (unsigned shipped = 0; shipped < 2; shipped++) {
        bus_up(r, cfg, &opt);
        r->shipped = shipped != 0;
        for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
            int32_t want = shipped ? t[i].shipped : t[i].draft;

            check_case("map %zu, %s", i, shipped ? "shipped" : "draft B");
            CHECK_EQ(map1(r, t[i].bfn, t[i].gfn, t[i].flags), want);
        }
        bus_down(r);
    }
}

static void test_map_causes(void **state)
{
    (void)state;
    bus_each(map_causes);
}

/* unmap_page: every status from every cause. */
static void unmap_causes(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {.region = true};

    bus_up(r, cfg, &opt);
    CHECK_EQ(unmap1(r, 0x600, 0), -PVI_XEN_ENOENT);
    CHECK_EQ(map1(r, 0x600, GUEST_PV + 0x20, RW | ORDER(4)), 0);
    bus_expect(r, 0x60f, pv_pa + 0x2f000, PVI_RW);
    CHECK_EQ(unmap1(r, 0x7001, 0), -PVI_XEN_EACCES);
    CHECK_EQ(unmap1(r, 0x601, ORDER(1)), -PVI_XEN_ENOSPC);
    CHECK_EQ(unmap1(r, 0x600, ORDER(10)), -PVI_XEN_ENOSPC);
    CHECK_EQ(unmap1(r, 0x600, 1), -PVI_XEN_EINVAL); /* "Reserved for future use 0-9" */
    CHECK_EQ(unmap1(r, 1ull << 51, 0), -PVI_XEN_EIO);
    CHECK_EQ(unmap1(r, 0x60f, 0), 0);
    CHECK_EQ(unmap1(r, 0x600, ORDER(4)), -PVI_XEN_ENOENT); /* a hole: nothing is half done */
    bus_expect(r, 0x600, pv_pa + 0x20000, PVI_RW);
    bus_expect(r, 0x60f, NOWHERE, 0);
    CHECK_EQ(unmap1(r, 0x600, ORDER(3)), 0);
    bus_expect(r, 0x600, NOWHERE, 0);
    bus_expect(r, 0x608, pv_pa + 0x28000, PVI_RW);
    bus_down(r);
    bus_up(r, cfg, &opt);
    r->shipped = true;
    CHECK_EQ(unmap1(r, 0x600, 0), -PVI_XEN_ENOENT);
    CHECK_EQ(map1(r, 0x600, GUEST_PV + 0x20, RW), 0);
    CHECK_EQ(unmap1(r, 0x7001, 0), -PVI_XEN_EIO);
    CHECK_EQ(unmap1(r, 0x600, 1 << 10), -PVI_XEN_ENOSPC);
    CHECK_EQ(unmap1(r, 0x600, 1), 0); /* remove_m2b of older callers */
    bus_down(r);
}

static void test_unmap_causes(void **state)
{
    (void)state;
    bus_each(unmap_causes);
}

/* An element of an order that fails in its middle leaves nothing behind. */
static void test_order_whole(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD};
    struct bus_opt opt = {0};
    static struct bus_rig r;

    (void)state;
    bus_up(&r, &cfg, &opt);
    CHECK_EQ(map1(&r, 0x1005, GUEST_PV, RW), 0);
    CHECK_EQ(map1(&r, 0x1000, GUEST_SCATTER, RW | ORDER(4)), -PVI_XEN_EPERM);
    bus_expect(&r, 0x1000, NOWHERE, 0);
    bus_expect(&r, 0x1005, pv_pa, PVI_RW);
    for (uint64_t n = 1; n <= 16; n++) {
        pvi_posix_fail(r.f.host, PVI_AT_FRAME_GET, n, false);
        CHECK_EQ(map1(&r, 0x1010, GUEST_SCATTER, RW | ORDER(4)), -PVI_XEN_EPERM);
        pvi_posix_fail(r.f.host, PVI_AT_FRAME_GET, 0, false);
        bus_expect(&r, 0x1010, NOWHERE, 0);
    }
    CHECK_EQ(map1(&r, 0x1010, GUEST_SCATTER, RW | ORDER(4)), 0);
    CHECK_EQ(unmap1(&r, 0x1005, 0), 0);
    CHECK_EQ(unmap1(&r, 0x1010, ORDER(4)), 0);
    CHECK(pvi_posix_hdom_balanced(r.f.hdom));
    bus_down(&r);
}

/* Domains that cannot map. */
static void test_no_mapping(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD};
    static const struct bus_opt opts[] = {{.no_bus_pages = true}, {.no_iommu = true}};
    static struct bus_rig r;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        bus_up(&r, &cfg, &opts[i / 2]);
        r.shipped = i % 2;
        CHECK_EQ(map1(&r, 0x600, GUEST_PV, RW), -PVI_XEN_EPERM);
        CHECK_EQ(unmap1(&r, 0x600, 0), -PVI_XEN_EPERM);
        CHECK(!r.f.dom.bus);
        bus_down(&r);
    }
}

/* no_ref_cnt: "without taking a reference to the MFN backing the GFN", by the host's leave. */
static void test_no_ref(void **state)
{
    struct fx_cfg cfg = {.kind = FX_AMD};
    struct bus_opt opt = {.all_frames = true};
    static struct bus_rig r;

    (void)state;
    bus_up(&r, &cfg, &opt);
    pvi_posix_hdom_no_ref(r.f.hdom, true);
    CHECK_EQ(map1(&r, 0x600, GUEST_PV, RW | NO_REF), 0);
    CHECK(pvi_posix_hdom_balanced(r.f.hdom));
    bus_expect(&r, 0x600, pv_pa, PVI_RW);
    CHECK_EQ(unmap1(&r, 0x600, 0), 0);
    bus_expect(&r, 0x600, NOWHERE, 0);
    bus_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takeover),     cmocka_unit_test(test_identity),    cmocka_unit_test(test_copied),
        cmocka_unit_test(test_batch),        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_map_causes),   cmocka_unit_test(test_unmap_causes), cmocka_unit_test(test_order_whole),
        cmocka_unit_test(test_no_mapping),   cmocka_unit_test(test_no_ref),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
