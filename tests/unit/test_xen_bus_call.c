/* SPDX-License-Identifier: MIT */
/*
 * The array of the 2015 interface: counts, copies, continuations, flushes. A hostile caller changes its memory between two reads, passes
 * counts up to 2^32-1, faults at any copy; each has its error, and changes nothing but what the statuses say.
 */
#include <string.h>

#include "bus_rig.h"

#define RW 3u
#define SWAP 4u
#define NOWHERE UINT64_MAX
#define UNTOUCHED 0x5a5a5a5a

static const uint64_t pv_pa = 0x4000000000ull;

static int call_raw(struct bus_rig *r, uint64_t arg, uint32_t count)
{
    int rc = pvi_xen_bus_call(&r->call, r->shipped ? PVI_XEN_BUS_SHIPPED : PVI_XEN_BUS_DRAFT_B, &arg, &count);

    pvi_posix_checkpoint(r->f.host);
    return rc;
}

/* "not the hardware domain -> -ENOSYS"; "(int)count < 0 -> -EINVAL" */
static void test_counts(void **state)
{
    static const uint32_t bad[] = {0x80000000u, 0x80000001u, 0xfffffffeu, 0xffffffffu};
    struct fx_cfg cfg = {.kind = FX_VTD};
    struct bus_opt opt = {.no_revmap = true};
    static struct bus_rig r;

    (void)state;
    bus_up(&r, &cfg, &opt);
    CHECK_EQ(call_raw(&r, BUS_ADDR, 1), -PVI_XEN_ENOSYS);
    CHECK_EQ(call_raw(&r, BUS_ADDR, 0xffffffffu), -PVI_XEN_ENOSYS);
    bus_down(&r);
    opt.no_revmap = false;
    bus_up(&r, &cfg, &opt);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(call_raw(&r, BUS_ADDR, bad[i]), -PVI_XEN_EINVAL);
    }
    CHECK_EQ(pvi_posix_calls(r.f.host, PVI_AT_COPY_IN), 0);
    CHECK_EQ(call_raw(&r, 0, 0), 0);
    CHECK_EQ(call_raw(&r, UINT64_MAX - 7, 1), -PVI_XEN_EFAULT);
    CHECK_EQ(call_raw(&r, BUS_ADDR + BUS_MAX * 32 - 31, 1), -PVI_XEN_EFAULT);
    bus_begin(&r);
    for (unsigned i = 0; i < BUS_MAX; i++) {
        bus_map(&r, 0x1000 + i, GUEST_PV + i, RW);
    }
    CHECK_EQ(call_raw(&r, BUS_ADDR, 0x7fffffff), -PVI_XEN_EFAULT); /* all that could be read have run */
    for (unsigned i = 0; i < BUS_MAX; i++) {
        CHECK_EQ(bus_status(&r, i), 0);
    }
    bus_expect(&r, 0x1000 + BUS_MAX - 1, pv_pa + 0x1000ull * (BUS_MAX - 1), PVI_RW);
    bus_down(&r);
}

static void ten(struct bus_rig *r)
{
    bus_begin(r);
    for (unsigned i = 0; i < 10; i++) {
        bus_map(r, 0x1000 + i, GUEST_PV + i, RW);
    }
}

/* A fault at the n-th copy: those before have run and say so, those after are as they were. */
static void test_copy_faults(void **state)
{
    struct fx_cfg cfg = {.kind = FX_AMD};
    struct bus_opt opt = {0};
    static struct bus_rig r;

    (void)state;
    for (unsigned out = 0; out < 2; out++) {
        for (unsigned n = 1; n <= 11; n++) {
            bus_up(&r, &cfg, &opt);
            ten(&r);
            pvi_posix_fail(r.f.host, out ? PVI_AT_COPY_OUT : PVI_AT_COPY_IN, n, false);
            CHECK_EQ(call_raw(&r, BUS_ADDR, 10), n > 10 ? 0 : -PVI_XEN_EFAULT);
            for (unsigned i = 0; i < 10; i++) {
                check_case("%s %u, element %u", out ? "out" : "in", n, i);
                CHECK_EQ((uint32_t)bus_status(&r, i), i < n - 1 ? 0 : UNTOUCHED);
                bus_expect(&r, 0x1000 + i, out || i < n - 1 ? pv_pa + 0x1000ull * i : NOWHERE, PVI_RW);
            }
            bus_down(&r);
        }
    }
}

/* Another virtual CPU overwrites each element as soon as it has been read. */
static void overwrite(void *opaque, enum pvi_posix_point at, bool after)
{
    struct bus_rig *r = opaque;

    (void)at;
    if (after) {
        memset(r->mem, 0xff, sizeof(r->mem));
        for (unsigned i = 0; i < 10; i++) { /* the elements to come stay what they were */
            unsigned char *p = &r->mem[i * 32];

            if (i >= pvi_posix_calls(r->f.host, PVI_AT_COPY_IN)) {
                memset(p, 0, 32);
                p[0] = 2;
                p[2] = RW;
                p[8] = (unsigned char)i;
                p[9] = 0x10;
                p[16] = (unsigned char)i;
                p[18] = 0x20;
            }
        }
    }
}

/* Each element is read once, at its turn, and written once. */
static void test_read_once(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD};
    struct bus_opt opt = {0};
    static struct bus_rig r;

    (void)state;
    bus_up(&r, &cfg, &opt);
    ten(&r);
    pvi_posix_calls_reset(r.f.host);
    pvi_posix_hook(r.f.host, PVI_AT_BIT(PVI_AT_COPY_IN), overwrite, &r);
    CHECK_EQ(bus_call(&r), 0);
    pvi_posix_hook(r.f.host, 0, NULL, NULL);
    CHECK_EQ(pvi_posix_calls(r.f.host, PVI_AT_COPY_IN), 10);
    CHECK_EQ(pvi_posix_calls(r.f.host, PVI_AT_COPY_OUT), 10);
    for (unsigned i = 0; i < 10; i++) {
        CHECK_EQ(bus_status(&r, i), 0);
        CHECK_EQ(bus_q8(&r, i), 0x1000 + i); /* what was read */
        bus_expect(&r, 0x1000 + i, pv_pa + 0x1000ull * i, PVI_RW);
    }
    bus_down(&r);
}

/* 32-bit callers: 28 bytes an element, the fields where they are. */
static void test_compat(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD};
    struct bus_opt opt = {0};
    static struct bus_rig r;
    unsigned char small[3 * 28];

    (void)state;
    bus_up(&r, &cfg, &opt);
    ten(&r);
    for (unsigned i = 0; i < 3; i++) {
        memcpy(small + 28 * i, r.mem + 32 * i, 28);
    }
    memcpy(r.mem, small, sizeof(small));
    memset(r.mem + sizeof(small), 0xee, 64);
    r.call.compat = true;
    CHECK_EQ(call_raw(&r, BUS_ADDR, 3), 0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(r.mem[28 * i + 4] == 0);
        bus_expect(&r, 0x1000 + i, pv_pa + 0x1000ull * i, PVI_RW);
    }
    CHECK(r.mem[84] == 0xee);
    bus_down(&r);
}

/* --- continuations ------------------------------------------------------------------------------------ */

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void random_element(struct bus_rig *r, struct rnd *rnd)
{
    uint64_t bfn = 0x1000 + rnd_below(rnd, 0x40), gfn = GUEST_PV + rnd_below(rnd, 0x40);
    uint64_t foreign = G_HVM + rnd_below(rnd, 8);
    unsigned order = rnd_below(rnd, 4) == 0 ? (unsigned)rnd_below(rnd, 6) << 10 : 0, guest = (unsigned)rnd_below(rnd, 2);

    switch (rnd_below(rnd, 8)) {
    case 0:
    case 1:
        bus_map(r, bfn, gfn, order | (unsigned)rnd_below(rnd, 4));
        break;
    case 2:
        bus_map(r, bfn & ~31ull, (rnd_below(rnd, 2) ? GUEST_SCATTER : GUEST_PV) + 0x20, RW | 5u << 10);
        break;
    case 3:
    case 4:
        bus_unmap(r, bfn, order);
        break;
    case 5:
        bus_foreign(r, bfn, foreign, BUS_GUEST_DOMID + guest, (unsigned)rnd_below(rnd, 3), RW | (rnd_below(rnd, 2) ? SWAP : 0));
        break;
    case 6:
        bus_lookup(r, foreign, BUS_GUEST_DOMID + guest, (unsigned)rnd_below(rnd, 9));
        break;
    default:
        bus_unforeign(r, bfn, (unsigned)rnd_below(rnd, 3));
    }
}

/* A long trace ends the same, statuses and all, whether it is preempted never or at every checkpoint. */
static void preempted(struct bus_rig *r, const struct fx_cfg *cfg)
{
    static unsigned char first[sizeof(((struct bus_rig *)0)->mem)];
    static uint64_t reached[0x80];
    struct bus_opt opt = {0};
    struct fx_cfg fc = *cfg;

    fc.default_identity = true;
    for (unsigned turn = 0; turn < 3; turn++) {
        struct rnd rnd = {4711};

        check_case("turn %u", turn);
        bus_up(r, &fc, &opt);
        r->shipped = false;
        bus_begin(r);
        for (unsigned i = 0; i < 0x40; i++) {
            bus_unmap(r, 0x1000 + i, 0);
        }
        while (r->nr < BUS_MAX) {
            random_element(r, &rnd);
        }
        for (unsigned i = 0; i < 0x40; i += 5) {
            bus_load(r, 0x1000 + i);
        }
        pvi_posix_preempt_call(r->f.host, turn == 0 ? NULL : always, NULL);
        if (turn == 2) {
            static const uint64_t some[4] = {0x123456789abcdef0ull, 0x5555000033331111ull, ~0ull, 0x8421842184218421ull};

            pvi_posix_preempt_call(r->f.host, NULL, NULL);
            pvi_posix_preempt_bits(r->f.host, some, 256);
        }
        CHECK_EQ(bus_call(r), 0);
        pvi_posix_preempt_call(r->f.host, NULL, NULL);
        pvi_posix_preempt_bits(r->f.host, NULL, 0);
        CHECK(turn != 1 || r->restarts >= BUS_MAX - 1);
        if (turn == 0) {
            unsigned ok = 0;

            for (unsigned i = 0; i < BUS_MAX; i++) {
                ok += bus_status(r, i) == 0;
            }
            CHECK(ok > BUS_MAX / 5);
            memcpy(first, r->mem, sizeof(first));
        }
        CHECK(memcmp(first, r->mem, sizeof(first)) == 0);
        for (unsigned i = 0; i < 0x40; i++) {
            uint64_t pa = NOWHERE;

            pa = bus_reach(r, 1, 0x1000 + i, false, &pa) ? pa : NOWHERE;
            CHECK_EQ(turn == 0 ? pa : reached[i], pa);
            reached[i] = pa;
        }
        bus_down(r);
    }
}

static void test_preempted(void **state)
{
    (void)state;
    bus_each(preempted);
}

/* --- flushes ------------------------------------------------------------------------------------------ */

/*
 * The shipped driver's boot: 128 elements, unmap and map in turn, over the 1:1 mapping; "one flush" for a call. Then ballooning, one page
 * at a time.
 */
static void linux_pattern(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    struct fx_cfg fc = *cfg;
    uint64_t waits;

    fc.default_identity = true;
    bus_up(r, &fc, &opt);
    r->shipped = true;
    bus_begin(r);
    bus_unmap(r, 0x300, 0);
    CHECK_EQ(bus_do(r), 0); /* the takeover */
    for (unsigned at = 0x301; at < 0x301 + 512; at += 64) {
        bus_begin(r);
        for (unsigned i = 0; i < 64; i++) {
            bus_load(r, at + i);
            bus_unmap(r, at + i, 0);
            bus_map(r, at + i, GUEST_PV + at + i, RW);
        }
        fx_told_reset(&r->f);
        waits = fx_told(&r->f, 0).wait;
        CHECK_EQ(bus_call(r), 0);
        CHECK_EQ(fx_told(&r->f, 0).wait - waits, 1);
        for (unsigned i = 0; i < 128; i++) {
            CHECK_EQ(bus_status(r, i), 0);
        }
        bus_expect(r, at + 63, pv_pa + 0x1000ull * (at + 63), PVI_RW);
    }
    bus_begin(r);
    bus_unmap(r, 0x400, 0);
    CHECK_EQ(bus_do(r), 0);
    bus_expect(r, 0x400, NOWHERE, 0);
    bus_begin(r);
    bus_map(r, 0x400, GUEST_PV + 7, RW);
    CHECK_EQ(bus_do(r), 0);
    bus_down(r);
}

static void test_linux(void **state)
{
    (void)state;
    bus_each(linux_pattern);
}

/* -EIO, "IOMMU unit returned error": all that the failed flush covered, and all that comes later; nothing is released. */
static void test_flush_fails(void **state)
{
    struct fx_cfg cfg = {.kind = FX_NULL};
    struct bus_opt opt = {0};
    static struct bus_rig r;

    (void)state;
    for (unsigned shipped = 0; shipped < 2; shipped++) {
        bus_up(&r, &cfg, &opt);
        r.shipped = shipped != 0;
        bus_begin(&r);
        bus_map(&r, 0x1000, GUEST_PV, RW);
        bus_map(&r, 0x1001, GUEST_PV + 1, RW);
        CHECK_EQ(bus_call(&r), 0);
        bus_begin(&r);
        bus_unmap(&r, 0x1000, 0);
        bus_unmap(&r, 0x1007, 0);
        bus_caps(&r);
        bus_unmap(&r, 0x1001, 0);
        pvi_posix_fail(r.f.host, PVI_AT_INV_WAIT, 1, true);
        CHECK_EQ(bus_call(&r), 0);
        CHECK_EQ(bus_status(&r, 0), -PVI_XEN_EIO);
        CHECK_EQ(bus_status(&r, 1), -PVI_XEN_ENOENT);
        CHECK_EQ(bus_status(&r, 2), 0);
        CHECK_EQ(bus_status(&r, 3), -PVI_XEN_EIO);
        CHECK_EQ(pvi_posix_frame_count(r.f.hdom, pv_pa, PVI_OWE_WRITABLE), 1);
        bus_begin(&r);
        bus_map(&r, 0x1005, GUEST_PV + 5, RW);
        CHECK_EQ(bus_do(&r), -PVI_XEN_EIO);
        bus_lost(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),    cmocka_unit_test(test_copy_faults), cmocka_unit_test(test_read_once),
        cmocka_unit_test(test_compat),    cmocka_unit_test(test_preempted),   cmocka_unit_test(test_linux),
        cmocka_unit_test(test_flush_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
