/* SPDX-License-Identifier: MIT */
/* The model's VT-d registers, queue protocol and faults. */
#include "selftest_vtd.h"

#define FRCD      0x400u
#define IOTLB_REG 0x508u

static struct vtd *v;

static int teardown(void **state)
{
    (void)state;
    vtd_off(v);
    return 0;
}

static int setup_raw(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    v = vtd_raw(&cfg);
    return 0;
}

static int setup_on(void **state)
{
    setup_raw(state);
    vtd_enable(v);
    vtd_leaf(v, 1, 0x1000, 0x80000803);
    return 0;
}

static void capabilities(void **state)
{
    uint64_t cap, ecap;

    (void)state;
    cap = hwm_mmio_read(v->h, 0x08, 8);
    ecap = hwm_mmio_read(v->h, 0x10, 8);
    assert_int_equal(cap & 7, 6);              /* 2^(4+12) domain ids */
    assert_int_equal(cap >> 8 & 0x1f, 4);      /* SAGAW */
    assert_int_equal(cap >> 16 & 0x3f, 47);    /* MGAW */
    assert_int_equal(cap >> 24 & 0x3ff, 0x40); /* FRO */
    assert_int_equal(cap >> 34 & 3, 3);        /* 2 MiB, 1 GiB */
    assert_int_equal(cap >> 39 & 1, 1);        /* PSI */
    assert_int_equal(cap >> 40 & 0xff, 7);     /* NFR */
    assert_int_equal(cap >> 48 & 0x3f, 18);    /* MAMV */
    assert_int_equal(cap >> 54 & 3, 3);        /* drains */
    assert_int_equal(ecap & 0xff, 0xc3);       /* C QI PT SC */
    assert_int_equal(ecap >> 8 & 0x3ff, 0x50); /* IRO */
    assert_int_equal(vtd_rd(v, 0x0c), cap >> 32);
    assert_int_equal(vtd_rd(v, 0x38), 0x80000000); /* FECTL.IM after reset */
    hwm_vtd_override_caps(v->h, ~UINT64_C(0), ~UINT64_C(0));
    assert_int_equal(hwm_mmio_read(v->h, 0x08, 8), ~UINT64_C(0));
}

static void off_passes(void **state)
{
    uint64_t pa = 0;

    (void)state;
    assert_int_equal(vtd_dma(v, 0x123456, true, &pa), HWM_PASS);
    assert_int_equal(pa, 0x123456);
}

static void bring_up_is_clean(void **state)
{
    (void)state;
    assert_true(vtd_rd(v, 0x1c) & 0x80000000);
    assert_true(vtd_waited(v));
    assert_to(v, 0x1abc, 0x80000abc);
    assert_clean(v->h);
}

static void gcmd_violations(void **state)
{
    (void)state;
    vtd_wr64(v, 0x20, v->root);
    vtd_gcmd(v, 1u << 30, 0);
    vtd_wr(v, 0x18, vtd_rd(v, 0x1c) | 1u << 26); /* replays SRTP */
    assert_violated(v->h, "more than one function");
    vtd_gcmd(v, 1u << 31, 0); /* caches were not invalidated */
    assert_violated(v->h, "without global invalidation");
    vtd_wr(v, 0x18, 0);
    assert_violated(v->h, "more than one function");
    vtd_wr(v, 0x18, 1u << 28);
    assert_violated(v->h, "advanced fault log");
    vtd_wr(v, 0x18, 1u);
    assert_violated(v->h, "reserved bits");
    vtd_wr(v, 0x1c, 0);
    assert_violated(v->h, "register 0x1c");
    vtd_wr64(v, 0x18, 0);
    assert_violated(v->h, "register 0x18");
}

static void te_without_root(void **state)
{
    (void)state;
    vtd_gcmd(v, 1u << 31, 0);
    assert_violated(v->h, "without a root pointer");
}

static void gcmd_takes_time(void **state)
{
    (void)state;
    hwm_set_lazy(v->h, true, 3);
    vtd_wr64(v, 0x20, v->root);
    vtd_wr(v, 0x18, 1u << 30);
    assert_int_equal(vtd_rd(v, 0x1c) & 1u << 30, 0);
    vtd_wr(v, 0x18, 1u << 27);
    assert_violated(v->h, "before command");
    assert_int_equal(vtd_rd(v, 0x1c) & 1u << 30, 0);
    assert_int_equal(vtd_rd(v, 0x1c) & 1u << 30, 1u << 30);
    vtd_gcmd(v, 1u << 27, 0);
    assert_true(vtd_rd(v, 0x1c) & 1u << 27);
    assert_int_equal(hwm_pending(v->h), 1);
    assert_int_equal(hwm_step(v->h, 10), 1);
    assert_false(vtd_rd(v, 0x1c) & 1u << 27);
    assert_int_equal(v->r->flushes, 1);
    assert_int_equal(hwm_log_count(v->h, HWM_WBF), 1);
    assert_clean(v->h);
}

static void register_invalidation(void **state)
{
    (void)state;
    vtd_wr64(v, 0x20, v->root);
    vtd_gcmd(v, 1u << 30, 0);
    vtd_wr64(v, 0x28, UINT64_C(0xA000000000000000));
    assert_int_equal(hwm_mmio_read(v->h, 0x28, 8),
                     UINT64_C(0x2800000000000000)); /* done, CAIG global */
    vtd_wr64(v, IOTLB_REG, UINT64_C(0x9003000000000000));
    assert_int_equal(hwm_mmio_read(v->h, IOTLB_REG, 8), UINT64_C(0x1203000000000000));
    vtd_gcmd(v, 1u << 31, 0);
    vtd_leaf(v, 1, 0x1000, 0x80000803);
    assert_to(v, 0x1000, 0x80000000);
    vtd_leaf(v, 1, 0x1000, 0x90000803);
    assert_to(v, 0x1000, 0x80000000);
    vtd_wr64(v, IOTLB_REG - 8, 0x1000 | 0x40); /* page, IH */
    vtd_wr(v, IOTLB_REG, 0);
    vtd_wr(v, IOTLB_REG + 4, 0xb0030042); /* the go bit is in the upper half */
    assert_to(v, 0x1000, 0x90000000);
    vtd_set_context(v, RID, 0, 0);
    vtd_wr64(v, 0x28, UINT64_C(0xE000000003100041)); /* wrong domain: the cached entry stays */
    assert_to(v, 0x1000, 0x90000000);
    vtd_wr64(v, 0x28, UINT64_C(0xE000000003100042));
    assert_blocked(v, RID, 0x1000, true, 0x02);
    assert_clean(v->h);
    vtd_queue(v);
    vtd_wr64(v, 0x28, UINT64_C(0xA000000000000000));
    assert_violated(v->h, "while queued invalidation is enabled");
}

static void version_6_has_no_register_path(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.ver = 0x60;
    v = vtd_raw(&cfg);
    assert_int_equal(vtd_rd(v, 0), 0x60);
    vtd_wr64(v, IOTLB_REG, UINT64_C(0x9003000000000000));
    assert_violated(v->h, "without register-based invalidation");
}

/* ---- queue --------------------------------------------------------------------------------- */

static void queue_wait_writes(void **state)
{
    (void)state;
    vtd_desc(v, 0x45, 0);                                   /* fence only */
    vtd_desc(v, UINT64_C(0x0000000200000025), v->wait + 4); /* data 2 */
    vtd_desc(v, 0x15, 0);                                   /* interrupt only */
    vtd_ring(v);
    assert_int_equal(rig_read32(v->r, v->wait + 4), 2);
    assert_int_equal(vtd_rd(v, 0x9c), 1);
    assert_int_equal(hwm_msi_count(v->h, HWM_MSI_QUEUE), 0); /* masked: pending instead */
    assert_true(vtd_rd(v, 0xa0) & 0x40000000);
    vtd_wr(v, 0xa0, 0);
    assert_int_equal(hwm_msi_count(v->h, HWM_MSI_QUEUE), 1);
    assert_int_equal(hwm_mmio_read(v->h, 0x80, 8), v->tail);
    assert_clean(v->h);
}

static void queue_wraps(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        vtd_inv(v, 0x00000000004200e2, 0);
        assert_true(vtd_waited(v));
    }
    assert_int_equal(hwm_log_count(v->h, HWM_TLB_DOMAIN), 1000);
    assert_clean(v->h);
}

/* R8: the head runs ahead, only the written status proves completion. */
static void head_is_not_completion(void **state)
{
    (void)state;
    assert_to(v, 0x1000, 0x80000000);
    hwm_set_lazy(v->h, true, 0);
    vtd_leaf(v, 1, 0x1000, 0x90000803);
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_int_equal(hwm_mmio_read(v->h, 0x80, 8), hwm_mmio_read(v->h, 0x88, 8));
    assert_false(vtd_waited(v));
    assert_to(v, 0x1000, 0x80000000);
    assert_int_equal(hwm_step(v->h, 1), 1);
    assert_false(vtd_waited(v));
    assert_to(v, 0x1000, 0x90000000);
    assert_int_equal(hwm_step(v->h, 1), 1);
    assert_true(vtd_waited(v));
    hwm_set_lazy(v->h, true, 2);
    vtd_wait(v);
    hwm_poll(v->h);
    assert_false(vtd_waited(v));
    hwm_poll(v->h);
    assert_true(vtd_waited(v));
    hwm_stall(v->h, true);
    vtd_wait(v);
    assert_int_equal(hwm_step(v->h, 100), 0);
    assert_false(vtd_waited(v));
    hwm_set_lazy(v->h, false, 0);
    assert_false(vtd_waited(v));
    hwm_stall(v->h, false);
    assert_true(vtd_waited(v));
}

static void reorder_stays_before_wait(void **state)
{
    unsigned i, first = 0;
    const struct hwm_told *log;
    size_t nr;

    (void)state;
    hwm_set_reorder(v->h, 12345);
    for (i = 0; i < 64; i++) {
        hwm_set_lazy(v->h, true, 0);
        vtd_desc(v, UINT64_C(0x0000031000420031), 0);
        vtd_desc(v, 0x00000000004200e2, 0);
        vtd_wait(v);
        hwm_log_reset(v->h);
        hwm_set_lazy(v->h, false, 0);
        log = hwm_log(v->h, &nr);
        assert_int_equal(nr, 3);
        assert_int_equal(log[2].kind, HWM_WAIT);
        first += log[0].kind == HWM_CTX_DEVICE;
    }
    assert_in_range(first, 8, 56);
}

static void queue_errors(void **state)
{
    static const struct {
        uint64_t w0, w1;
        unsigned iqei;
    } bad[] = {
        {0x0, 0, 3}, /* type 0 */
        {0xa, 0, 3},
        {0x211, 0, 3}, /* high part of the type */
        {0x1, 0, 4},   /* granularity 0 */
        {0x2, 0, 4},
        {UINT64_C(0x0004000000000031), 0, 4}, /* reserved bit */
        {0x11, 1, 4},
        {0xd2, 0x80, 4},
        {0xe5, 0x9000, 4},                    /* PD */
        {0x25, 0x9002, 4},                    /* status address */
        {UINT64_C(0x0000031000000003), 0, 3}, /* device TLB without ATS */
        {UINT64_C(0x0000000500010026), 0, 3}, /* PASID descriptors without scalable mode */
        {UINT64_C(0x0000000000420007), 0, 3},
    };
    unsigned head, i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        vtd_wait(v);
        head = v->tail;
        vtd_desc(v, bad[i].w0, bad[i].w1);
        vtd_wait(v);
        assert_false(vtd_waited(v));
        assert_true(vtd_rd(v, 0x34) & 0x10);
        assert_int_equal(vtd_rd(v, 0xb0) & 0xf, bad[i].iqei);
        assert_int_equal(hwm_mmio_read(v->h, 0x80, 8), head);
        assert_violated(v->h, "descriptor");
        rig_put(v->r, v->queue + head, 0x45); /* overwrite the bad one, clear the error */
        rig_put(v->r, v->queue + head + 8, 0);
        vtd_wr(v, 0x34, 0x10);
        assert_true(vtd_waited(v));
        assert_clean(v->h);
    }
}

static void queue_injected(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.dt = true;
    v = vtd_on(&cfg);
    hwm_inject(v->h, HWM_INJECT_IQE, 1);
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_false(vtd_waited(v));
    assert_int_equal(vtd_rd(v, 0xb0) & 0xf, 2);
    vtd_wr(v, 0x34, 0x10);
    assert_true(vtd_waited(v));
    hwm_inject(v->h, HWM_INJECT_ITE, 0);
    vtd_desc(v, UINT64_C(0x0000031000000003), UINT64_C(0x7FFFFFFFFFFFF001));
    vtd_wait(v);
    assert_false(vtd_waited(v));
    assert_true(vtd_rd(v, 0x34) & 0x40);
    assert_int_equal(hwm_mmio_read(v->h, 0xb0, 8) >> 32 & 0xffff, RID);
    vtd_wr(v, 0x34, 0x40);
    assert_false(vtd_waited(v)); /* the wait was aborted: software must submit it again */
    vtd_wait(v);
    assert_true(vtd_waited(v));
    assert_clean(v->h);
}

static void queue_misuse(void **state)
{
    (void)state;
    vtd_wr64(v, 0x90, v->queue);
    assert_violated(v->h, "IQA written while");
    vtd_wr64(v, 0x88, 0x1000);
    assert_violated(v->h, "tail beyond");
    assert_int_equal(vtd_rd(v, 0xb0) & 0xf, 1);
    vtd_wr64(v, 0x88, v->tail);
    vtd_wr(v, 0x34, 0x10);
    hwm_set_lazy(v->h, true, 0);
    vtd_wait(v);
    vtd_gcmd(v, 0, 1u << 26);
    hwm_step(v->h, 1);
    assert_violated(v->h, "disabled while descriptors are pending");
    assert_int_equal(hwm_mmio_read(v->h, 0x80, 8), 0);
    assert_false(vtd_waited(v));
    vtd_wr64(v, 0x88, 0x10);
    assert_violated(v->h, "IQT written while the queue is disabled");
}

static void descriptor_misuse(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.did_bits = 8;
    cfg.cm = true;
    cfg.mamv = 9;
    v = vtd_on(&cfg);
    vtd_inv(v, 0x00000000004200f2, 0x0000000000200049);
    assert_clean(v->h);
    vtd_inv(v, 0x00000000004200f2, 0x0000000000400000 | 10);
    assert_violated(v->h, "above the maximum");
    vtd_inv(v, 0x00000000004200f2, 0x0000000000001001);
    assert_violated(v->h, "not aligned");
    vtd_inv(v, 0x00000000000000f2, 0x0000000000001000);
    assert_violated(v->h, "domain id 0 in caching mode");
    vtd_inv(v, 0x00000000000000e2, 0);
    assert_clean(v->h);
    vtd_inv(v, 0x00000000010000e2, 0);
    assert_violated(v->h, "which the unit does not have");
    vtd_inv(v, 0x0000000001000021, 0);
    assert_violated(v->h, "which the unit does not have");
    vtd_inv(v, 0x0000000000420022, 0);
    assert_violated(v->h, "DR and DW");
    vtd_set_context(v, RID, v->ss | 1, 2);
    vtd_dma(v, 0, false, NULL);
    assert_violated(v->h, "domain id 0 in caching mode");
}

/* ---- faults -------------------------------------------------------------------------------- */

static void fault_reasons(void **state)
{
    uint64_t good = v->ss | 1, slot;

    (void)state;
    assert_blocked(v, 0x0410, 0x1000, true, 0x01);
    assert_blocked(v, 0x0311, 0x1000, true, 0x02);
    rig_put(v->r, v->root + 5 * 16, v->context | 0x11);
    assert_blocked(v, 0x0510, 0x1000, true, 0x0a);
    rig_put(v->r, v->root + 5 * 16, v->context | 1);
    rig_put(v->r, v->root + 5 * 16 + 8, 1);
    assert_blocked(v, 0x0510, 0x1000, true, 0x0a);
    rig_put(v->r, v->root + 6 * 16, 0x3fff001);
    assert_blocked(v, 0x0610, 0x1000, true, 0x09);
    vtd_set_context(v, 0x318, good | 0x10, DID << 8 | 2);
    assert_blocked(v, 0x0318, 0x1000, true, 0x0b);
    vtd_set_context(v, 0x318, good, UINT64_C(1) << 24 | 2);
    assert_blocked(v, 0x0318, 0x1000, true, 0x0b);
    vtd_set_context(v, 0x318, good | UINT64_C(1) << 50, DID << 8 | 2);
    assert_blocked(v, 0x0318, 0x1000, true, 0x0b); /* above HAW */
    vtd_set_context(v, 0x318, good, DID << 8 | 1);
    assert_blocked(v, 0x0318, 0x1000, true, 0x03); /* 3 levels are not in SAGAW */
    vtd_set_context(v, 0x318, good | 0xc, DID << 8 | 2);
    assert_blocked(v, 0x0318, 0x1000, true, 0x03); /* TT 3 */
    vtd_set_context(v, 0x318, good | 0x4, DID << 8 | 2);
    assert_blocked(v, 0x0318, 0x1000, true, 0x03); /* TT 1 without ATS */
    vtd_set_context(v, 0x318, 0x3fff001, 0x43 << 8 | 2);
    assert_blocked(v, 0x0318, 0x1000, true, 0x03); /* top table not readable */
    assert_blocked(v, RID, UINT64_C(1) << 48, true, 0x04);
    assert_blocked(v, RID, 0x2000, true, 0x05);
    assert_blocked(v, RID, 0x2000, false, 0x06);
    vtd_leaf(v, 1, 0x3000, 0x80000001);
    assert_blocked(v, RID, 0x3000, true, 0x05);
    vtd_leaf(v, 1, 0x4000, 0x80000002);
    assert_blocked(v, RID, 0x4000, false, 0x06);
    vtd_leaf(v, 2, 0x400000, 0x80001083);
    assert_blocked(v, RID, 0x400000, true, 0x0c);
    slot = rig_slot(vtd_table(v, 4, 2, 0x600000), 2, 0x600000);
    rig_put(v->r, slot, 0x3fff003);
    assert_blocked(v, RID, 0x600000, true, 0x07);
    vtd_leaf(v, 1, 0x5000, 0xfee00003);
    assert_blocked(v, RID, 0x5000, true, 0x0e);
    assert_int_equal(vtd_dma(v, 0xfee01000, true, NULL), HWM_SPECIAL);
    assert_clean(v->h);
}

static void root_pointer_faults(void **state)
{
    (void)state;
    vtd_wr64(v, 0x20, v->root | 0x400); /* scalable mode, which the unit does not have */
    vtd_gcmd(v, 1u << 30, 0);
    assert_violated(v->h, "mode changed while translation");
    assert_blocked(v, RID, 0x1000, true, 0x30);
    vtd_wr64(v, 0x20, v->root | 0xc00);
    vtd_gcmd(v, 1u << 30, 0);
    assert_blocked(v, RID, 0x1000, true, 0x30);
    vtd_wr64(v, 0x20, UINT64_C(0x3fff000));
    assert_blocked(v, RID, 0x1000, true, 0x30); /* no effect before SRTP */
    vtd_gcmd(v, 1u << 30, 0);
    assert_blocked(v, RID, 0x1000, true, 0x08);
    vtd_wr64(v, 0x20, v->root);
    vtd_gcmd(v, 1u << 30, 0);
    assert_to(v, 0x1000, 0x80000000);
}

static void fault_records(void **state)
{
    unsigned i;

    (void)state;
    vtd_wr(v, 0x38, 0);
    assert_blocked(v, RID, 0x7654321000, true, 0x05);
    assert_int_equal(hwm_msi_count(v->h, HWM_MSI_FAULT), 1);
    assert_int_equal(vtd_rd(v, 0x34), 0x02);
    assert_int_equal(hwm_mmio_read(v->h, FRCD, 8), UINT64_C(0x7654321000));
    assert_int_equal(vtd_rd(v, FRCD + 8), RID);
    assert_int_equal(vtd_rd(v, FRCD + 12), 0x80000005);
    assert_blocked(v, RID, 0x2fff, false, 0x06);
    assert_int_equal(vtd_rd(v, FRCD + 16 + 12), 0xc0000006);
    assert_int_equal(hwm_mmio_read(v->h, FRCD + 16, 8), 0x2000);
    assert_int_equal(hwm_msi_count(v->h, HWM_MSI_FAULT),
                     1); /* no new one while conditions are pending */
    vtd_wr(v, FRCD + 12, 0x80000000);
    assert_int_equal(vtd_rd(v, 0x34), 0x102); /* FRI = 1 */
    for (i = 2; i < 9; i++) {
        assert_blocked(v, RID, 0x2000, false, 0x06);
    }
    assert_int_equal(vtd_rd(v, 0x34), 0x102);
    assert_blocked(v, RID, 0x2000, false, 0x06);
    assert_int_equal(vtd_rd(v, 0x34), 0x103); /* overflow */
    for (i = 0; i < 8; i++) {
        vtd_wr(v, FRCD + 16 * i + 12, 0x80000000);
    }
    vtd_wr(v, 0x34, 1);
    assert_int_equal(vtd_rd(v, 0x34) & 0xff, 0);
    assert_blocked(v, RID, 0x2000, false, 0x06);
    assert_int_equal(hwm_msi_count(v->h, HWM_MSI_FAULT), 2);
    assert_clean(v->h);
}

static void fault_disable(void **state)
{
    struct hwm_fault f;

    (void)state;
    vtd_set_context(v, 0x318, 2, 0); /* silent: not present, FPD */
    assert_int_equal(hwm_dma(v->h, 0x318, 0x1000, true, NULL, &f), HWM_FAULT);
    assert_int_equal(f.reason, 0x02);
    assert_false(f.recorded);
    vtd_set_context(v, 0x319, v->ss | 3, DID << 8 | 2);
    assert_int_equal(hwm_dma(v->h, 0x319, 0x9000, true, NULL, &f), HWM_FAULT);
    assert_false(f.recorded);
    assert_int_equal(vtd_rd(v, 0x34), 0);
    assert_int_equal(hwm_dma(v->h, 0x0410, 0x9000, true, NULL, &f), HWM_FAULT);
    assert_true(f.recorded);
}

static void protected_memory(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.plmr = cfg.phmr = true;
    v = vtd_raw(&cfg);
    vtd_wr(v, 0x68, 0x40000000);
    vtd_wr(v, 0x6c, 0x401fffff);
    vtd_wr64(v, 0x70, UINT64_C(0x100000000));
    vtd_wr64(v, 0x78, UINT64_C(0x1001fffff));
    assert_int_equal(vtd_dma(v, 0x40000000, true, NULL), HWM_PASS);
    vtd_wr(v, 0x64, 0x80000000);
    assert_int_equal(vtd_rd(v, 0x64), 0x80000001);
    assert_int_equal(vtd_dma(v, 0x40000000, true, NULL), HWM_FAULT);
    assert_int_equal(vtd_dma(v, UINT64_C(0x1001fffff), true, NULL), HWM_FAULT);
    assert_int_equal(vtd_dma(v, UINT64_C(0x100200000), true, NULL), HWM_PASS);
    vtd_wr(v, 0x64, 0);
    assert_int_equal(vtd_dma(v, 0x40000000, true, NULL), HWM_PASS);
    assert_clean(v->h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(capabilities, setup_raw, teardown),
        cmocka_unit_test_setup_teardown(off_passes, setup_raw, teardown),
        cmocka_unit_test_setup_teardown(bring_up_is_clean, setup_on, teardown),
        cmocka_unit_test_setup_teardown(gcmd_violations, setup_raw, teardown),
        cmocka_unit_test_setup_teardown(te_without_root, setup_raw, teardown),
        cmocka_unit_test_setup_teardown(gcmd_takes_time, setup_raw, teardown),
        cmocka_unit_test_setup_teardown(register_invalidation, setup_raw, teardown),
        cmocka_unit_test_teardown(version_6_has_no_register_path, teardown),
        cmocka_unit_test_setup_teardown(queue_wait_writes, setup_on, teardown),
        cmocka_unit_test_setup_teardown(queue_wraps, setup_on, teardown),
        cmocka_unit_test_setup_teardown(head_is_not_completion, setup_on, teardown),
        cmocka_unit_test_setup_teardown(reorder_stays_before_wait, setup_on, teardown),
        cmocka_unit_test_setup_teardown(queue_errors, setup_on, teardown),
        cmocka_unit_test_teardown(queue_injected, teardown),
        cmocka_unit_test_setup_teardown(queue_misuse, setup_on, teardown),
        cmocka_unit_test_teardown(descriptor_misuse, teardown),
        cmocka_unit_test_setup_teardown(fault_reasons, setup_on, teardown),
        cmocka_unit_test_setup_teardown(root_pointer_faults, setup_on, teardown),
        cmocka_unit_test_setup_teardown(fault_records, setup_on, teardown),
        cmocka_unit_test_setup_teardown(fault_disable, setup_on, teardown),
        cmocka_unit_test_teardown(protected_memory, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
