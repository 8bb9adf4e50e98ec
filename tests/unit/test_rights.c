/* SPDX-License-Identifier: MIT */
/* PVI_OP_RIGHTS: rights change in place, frames are pinned for the new ones before and released from the old ones after the flush. */
#include <string.h>

#include "fixture.h"

#define AT 0x40000ull
#define GIG 0x40000ull

static struct fx f;
static unsigned ctx;

static void begin(const struct fx_cfg *cfg)
{
    fx_up(&f, cfg);
    ctx = fx_context(&f, 0);
}

/* Each sort of frame, from any rights to any. */
static void sorts(struct fx *fx, const struct fx_cfg *cfg)
{
    static const uint64_t gfn[] = {GUEST_PV, GUEST_HVM, GUEST_RO, GUEST_KEPT, GUEST_SCATTER, GUEST_MMIO};

    (void)fx;
    begin(cfg);
    for (unsigned i = 0; i < sizeof(gfn) / sizeof(gfn[0]); i++) {
        for (unsigned from = 1; from <= PVI_RW; from++) {
            for (unsigned to = 1; to <= PVI_RW; to++) {
                bool may = gfn[i] != GUEST_RO || from == PVI_READ;

                check_step("sort %u from %u to %u", i, from, to);
                fx_begin(&f);
                fx_map(&f, ctx, AT, gfn[i], 0x210, from);
                fx_run(&f);
                CHECK_EQ(f.op[0].status, may ? 0 : -PVI_EPERM);
                fx_begin(&f);
                fx_rights(&f, ctx, AT + 3, 0x201, to);
                fx_run(&f);
                CHECK_EQ(f.op[0].status, !may ? -PVI_ENOENT : gfn[i] == GUEST_RO && to != PVI_READ ? -PVI_EPERM : 0);
                fx_begin(&f);
                fx_unmap(&f, ctx, AT, 0x210);
                fx_run(&f);
            }
        }
    }
    fx_down(&f);
}

static void test_sorts(void **state)
{
    (void)state;
    fx_each(sorts);
}

/* A part of a large leaf, holes, regions, what is beyond the table, contexts that are none. */
static void edges(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    begin(cfg);
    fx_begin(&f);
    fx_map(&f, ctx, AT, GUEST_PV, GIG, PVI_RW);
    fx_expect(&f, 0);
    fx_begin(&f);
    fx_rights(&f, ctx, AT + 0x201, 1, PVI_READ);
    fx_rights(&f, ctx, AT + GIG - 1, 1, PVI_WRITE);
    fx_rights(&f, ctx, AT, GIG, PVI_RW);
    fx_rights(&f, ctx, AT, GIG, PVI_READ);
    fx_expect(&f, 0);
    fx_begin(&f);
    fx_rights(&f, ctx, AT + GIG - 5, 10, PVI_RW);
    fx_expect(&f, -PVI_ENOENT);
    CHECK_EQ(f.op[0].done, 5);
    fx_begin(&f);
    fx_rights(&f, ctx, AT, 0, PVI_RW);
    fx_expect(&f, -PVI_ELENGTH);
    fx_begin(&f);
    fx_rights(&f, ctx, AT, 1, 0);
    fx_rights(&f, ctx, AT, 1, 4);
    fx_expect(&f, -PVI_EFLAGS);
    fx_begin(&f);
    fx_rights(&f, ctx, FX_MSI_FIRST >> 12, 1, PVI_RW);
    fx_expect(&f, -PVI_ERESERVED);
    fx_begin(&f);
    fx_rights(&f, ctx, ~0ull >> 12, 2, PVI_RW);
    fx_expect(&f, -PVI_EWRAP);
    fx_begin(&f);
    fx_rights(&f, 0, AT, 1, PVI_RW);
    fx_expect(&f, -PVI_EDEFAULT);
    fx_begin(&f);
    fx_rights(&f, 7, AT, 1, PVI_RW);
    fx_expect(&f, -PVI_ENOCTX);
    fx_down(&f);
}

static void test_edges(void **state)
{
    (void)state;
    fx_each(edges);
}

/* --- the guest changes what it has between two looks ------------------------------------------------ */

static uint64_t other[1] = {0x7000000000ull};

static void swap_frame(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_posix_range r = {.gfn = GUEST_NONE + 8, .nr = 1, .pa = 0x7100000000ull, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    unsigned *looks = opaque;

    (void)at;
    if (after) {
        r.table = other;
        CHECK(++*looks < 100);
    }
    pvi_posix_hdom_unrange(f.hdom, GUEST_NONE + 8);
    CHECK_EQ(pvi_posix_hdom_range(f.hdom, &r), 0);
}

/* The frame that is mapped is not the one that is pinned: nothing happens, and both counts are right. */
static void test_another_frame(void **state)
{
    static const struct fx_cfg cfg = {.kind = FX_VTD};
    const struct pvi_posix_range r = {.gfn = GUEST_NONE + 8, .nr = 1, .pa = 0x7100000000ull, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    unsigned looks = 0;

    (void)state;
    begin(&cfg);
    CHECK_EQ(pvi_posix_hdom_range(f.hdom, &r), 0);
    fx_begin(&f);
    fx_map(&f, ctx, AT, GUEST_NONE + 8, 1, PVI_RW);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK_EQ(f.op[0].status, 0);
    pvi_posix_hook(f.host, PVI_AT_BIT(PVI_AT_FRAME_GFN), swap_frame, &looks);
    fx_begin(&f);
    fx_rights(&f, ctx, AT, 1, PVI_READ);
    CHECK_EQ(fx_submit(&f), 0);
    pvi_posix_hook(f.host, 0, NULL, NULL);
    CHECK_EQ(f.op[0].status, -PVI_ENOFRAME);
    CHECK_EQ(f.op[0].done, 0);
    CHECK_EQ(pvi_posix_frame_count(f.hdom, 0x7100000000ull, PVI_OWE_WRITABLE), 1);
    CHECK_EQ(pvi_posix_frame_count(f.hdom, other[0], PVI_OWE_REF), 0);
    fx_begin(&f);
    fx_unmap(&f, ctx, AT, 1);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK(pvi_posix_hdom_balanced(f.hdom));
    fx_down(&f);
}

/* --- another vCPU between pinning and the change ---------------------------------------------------- */

static void remap(void *opaque, enum pvi_posix_point at, bool after)
{
    static struct pvi_batch b;
    struct pvi_op op[2];
    unsigned *left = opaque;

    if (at != PVI_AT_FRAME_GET || !after || *left == 0) {
        return;
    }
    --*left;
    memset(&b, 0, sizeof(b));
    memset(op, 0, sizeof(op));
    op[0].code = PVI_OP_UNMAP;
    op[0].u.unmap.dfn.f = AT;
    op[0].u.unmap.nr = 4;
    op[1].code = PVI_OP_MAP;
    op[1].flags = PVI_RW;
    op[1].u.map.dfn.f = AT;
    op[1].u.map.gfn.f = GUEST_SCATTER;
    op[1].u.map.nr = 4;
    op[0].domid = op[1].domid = PVI_DOMID_SELF;
    op[0].ctx = op[1].ctx = (uint16_t)ctx;
    b.ops = op;
    b.nr = 2;
    CHECK_EQ(pvi_submit(&f.dom, &b), 0);
    CHECK_EQ(op[0].status, 0);
    CHECK_EQ(op[1].status, 0);
}

/* No leaf ever owes for a frame that it does not map. */
static void test_remapped_meanwhile(void **state)
{
    static const struct fx_cfg cfg = {.kind = FX_AMD};
    unsigned left = 1;

    (void)state;
    begin(&cfg);
    fx_begin(&f);
    fx_map(&f, ctx, AT, GUEST_PV, 4, PVI_RW);
    fx_expect(&f, 0);
    fx_begin(&f);
    fx_rights(&f, ctx, AT, 4, PVI_READ);
    pvi_posix_hook(f.host, PVI_AT_BIT(PVI_AT_FRAME_GET), remap, &left);
    CHECK_EQ(fx_submit(&f), 0);
    pvi_posix_hook(f.host, 0, NULL, NULL);
    CHECK_EQ(left, 0);
    CHECK_EQ(f.op[0].status, 0);
    CHECK_EQ(f.op[0].done, 4);
    f.sent[1] = f.sent[0];
    fx_begin(&f);
    fx_unmap(&f, ctx, AT, 4);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK(pvi_posix_hdom_balanced(f.hdom));
    fx_end(&f, false);
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void slices(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    begin(cfg);
    fx_begin(&f);
    fx_map(&f, ctx, AT, GUEST_PV + 1, 0x1800, PVI_RW);
    fx_map(&f, ctx, AT + 0x1800, GUEST_SCATTER, 0x100, PVI_READ);
    fx_expect(&f, 0);
    pvi_posix_preempt_call(f.host, always, NULL);
    fx_begin(&f);
    fx_rights(&f, ctx, AT + 7, 0x1880, PVI_READ);
    fx_expect(&f, 0);
    CHECK(f.preempted >= 0x1880 / 512);
    fx_begin(&f);
    fx_rights(&f, ctx, AT + 8, 0x1802, PVI_RW);
    fx_expect(&f, 0);
    pvi_posix_preempt_call(f.host, NULL, NULL);
    fx_down(&f);
}

static void test_slices(void **state)
{
    (void)state;
    fx_each(slices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts),         cmocka_unit_test(test_edges),  cmocka_unit_test(test_another_frame),
        cmocka_unit_test(test_remapped_meanwhile), cmocka_unit_test(test_slices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
