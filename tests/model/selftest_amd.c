/* SPDX-License-Identifier: MIT */
/* The model's AMD-Vi unit: registers, rings, device table, faults, caches. */
#include "selftest_amd.h"

/* ---- registers and rings ------------------------------------------------------------------- */

static void registers(void **state)
{
    (void)state;
    assert_true(waited());
    assert_int_equal(hwm_mmio_read(h, 0x30, 8),
                     UINT64_C(0x0000000f00000840)); /* PASMax, HATS 2, IASup */
    assert_int_equal(hwm_amd_pci_cap(h, 0) & 0xf0f00ff, 0x80b000f);
    assert_int_equal(rd(0x2020), 0x18);
    assert_int_equal(rd(0x2000), tail);
    assert_true(hwm_walks_snoop(h));
    assert_clean(h);
    hwm_mmio_write(h, 0x30, 8, 0);
    assert_violated(h, "read-only");
    wr64(0x08, ring);
    assert_violated(h, "base written while the ring runs");
    wr64(0x00, devtab);
    assert_violated(h, "device table base");
    hwm_mmio_write(h, 0x2000, 4, 0);
    assert_violated(h, "CmdBufHead written");
    hwm_mmio_write(h, 0x2008, 4, 0x1000);
    assert_violated(h, "beyond the ring");
    hwm_mmio_write(h, 0x1c, 4, 0x4);
    assert_violated(h, "DevTblSegEn");
    assert_int_equal(rd(0x1c), 0);
}

static void commands_wait_for_enable(void **state)
{
    struct hwm_amd_cfg cfg;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    start(&cfg);
    wr64(0x18, 0x1400);
    submit();
    assert_false(waited());
    wr64(0x18, 0x1401);
    assert_true(waited());
    assert_clean(h);
}

static void illegal_commands_stop_the_ring(void **state)
{
    static const struct {
        uint64_t w0, w1;
    } bad[] = {
        {0, 0},
        {UINT64_C(0x9000000000000000), 0},
        {UINT64_C(0x2000000000010310), 0},
        {UINT64_C(0x2000000000000310), 1},
        {UINT64_C(0x3000004200000000), ALL_ADDR | 8},
        {UINT64_C(0x3000004200000005), ALL_ADDR | 7}, /* GN without guest translation */
        {UINT64_C(0x4000031020000310), ALL_ADDR | 1}, /* no ATS */
        {UINT64_C(0x6000000000000310), 0},
        {UINT64_C(0x8000000000000001), 0},
    };
    uint64_t events = 0;
    unsigned head, i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        head = tail;
        inv(bad[i].w0, bad[i].w1);
        assert_false(waited());
        assert_false(rd(0x2020) & 0x10);
        assert_int_equal(rd(0x2000), head);
        assert_int_equal(rig_get(r, evlog + events * 16) >> 60, 5);
        assert_int_equal(rig_get(r, evlog + events * 16 + 8), ring + head);
        events++;
        assert_int_equal(rd(0x2018), events * 16);
        assert_violated(h, "command");
        wr64(0x18, 0x405); /* repair: disable, reset, enable */
        tail = 0;
        hwm_mmio_write(h, 0x2000, 4, 0);
        hwm_mmio_write(h, 0x2008, 4, 0);
        wr64(0x18, 0x1405);
        submit();
        assert_true(waited());
        assert_true(hwm_violations(h) <= 1); /* stopping with commands pending */
        hwm_violation_clear(h);
    }
}

static void injected_troubles(void **state)
{
    struct hwm_amd_cfg cfg;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    cfg.iotlb_sup = true;
    start(&cfg);
    enable();
    inv(UINT64_C(0x4000031020000310), ALL_ADDR | 1);
    assert_true(waited());
    hwm_inject(h, HWM_INJECT_IOTLB_TIMEOUT, 0);
    inv(UINT64_C(0x4000031020000310), ALL_ADDR | 1);
    assert_true(waited());
    assert_int_equal(rig_get(r, evlog) >> 60, 7);
    assert_int_equal(rig_get(r, evlog) & 0xffff, RID);
    hwm_inject(h, HWM_INJECT_CMD_HW, 1);
    inv_dte(RID);
    assert_false(waited());
    assert_int_equal(rig_get(r, evlog + 16) >> 60, 6);
    assert_int_equal(rig_get(r, evlog + 16) >> 57 & 3, 2);
    assert_clean(h);
}

static void lazy_ring(void **state)
{
    (void)state;
    leaf(1, 0x1000, V1_LEAF(0x80000000));
    to(0x1000, 0x80000000);
    leaf(1, 0x1000, V1_LEAF(0x90000000));
    hwm_set_lazy(h, true, 0);
    inv_pages(DOM, 0x1000);
    assert_int_equal(rd(0x2000), tail); /* fetched, not done */
    assert_false(waited());
    to(0x1000, 0x80000000);
    hwm_step(h, 1);
    to(0x1000, 0x90000000);
    assert_false(waited());
    hwm_step(h, 1);
    assert_true(waited());
    assert_clean(h);
}

static void wait_misuse(void **state)
{
    (void)state;
    cmd(UINT64_C(0x1000000000000002), 0);
    submit();
    assert_true(rd(0x2020) & 4);
    assert_clean(h);
    inv(UINT64_C(0x1000000000000003) | sem, 0);
    assert_violated(h, "store and interrupt");
    inv(UINT64_C(0x1000000003fff001), 0);
    assert_violated(h, "not memory");
    inv_pages(DOM, UINT64_C(0xfffffffffffff001));
    assert_violated(h, "undefined address");
}

static void event_log(void **state)
{
    unsigned i;

    (void)state;
    wr64(0x18, 0x140d); /* event interrupt */
    blocked(RID, 0x123456789abc, true, IO_FAULT, 0);
    assert_int_equal(rig_get(r, evlog), UINT64_C(0x2020004200000310));
    assert_int_equal(rig_get(r, evlog + 8), UINT64_C(0x123456789abc));
    assert_int_equal(hwm_msi_count(h, HWM_MSI_EVENT), 1);
    assert_true(rd(0x2020) & 2);
    for (i = 0; i < 254; i++) {
        blocked(RID, 0x1000, false, IO_FAULT, 0);
    }
    assert_int_equal(rd(0x2018), 0xff0);
    assert_false(rd(0x2020) & 1);
    blocked(RID, 0x1000, false, IO_FAULT, 0); /* one slot stays free */
    assert_true(rd(0x2020) & 1);
    assert_false(rd(0x2020) & 8);
    assert_int_equal(rd(0x2018), 0xff0);
    wr64(0x18, 0x1401);
    hwm_mmio_write(h, 0x2020, 4, 3);
    hwm_mmio_write(h, 0x2010, 4, 0xff0);
    wr64(0x18, 0x140d);
    assert_true(rd(0x2020) & 8);
    blocked(RID, 0x1000, false, IO_FAULT, 0);
    assert_int_equal(rd(0x2018), 0);
    assert_int_equal(hwm_msi_count(h, HWM_MSI_EVENT), 2);
    assert_clean(h);
}

static void late_event_log(void **state)
{
    struct hwm_amd_cfg cfg;
    unsigned i;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    cfg.err_732 = true;
    start(&cfg);
    enable();
    blocked(RID, 0x5000, false, IO_FAULT, 0);
    assert_int_equal(rd(0x2018), 16);
    assert_int_equal(rig_get(r, evlog), 0);
    for (i = 0; i < 8; i++) {
        hwm_poll(h);
    }
    assert_int_equal(rig_get(r, evlog) >> 60, 2);
}

/* ---- device table -------------------------------------------------------------------------- */

static void dte_combinations(void **state)
{
    uint64_t pa;

    (void)state;
    leaf(1, 0x1000, V1_LEAF(0x80000000));
    assert_int_equal(hwm_dma(h, 1, 0x1234, true, &pa, NULL),
                     HWM_PASS); /* all zero: everything passes */
    assert_int_equal(pa, 0x1234);
    dte(2, 0x1, 0);
    blocked(2, 0x1000, true, IO_FAULT, 0);
    dte(3, 0x3, 0);
    blocked(3, 0x1000, false, IO_FAULT, 0x50);
    dte(4, UINT64_C(0x2000000000000003), 9);
    assert_int_equal(hwm_dma(h, 4, 0x1234, false, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x1234);
    blocked(4, 0x1234, true, IO_FAULT, 0x50);
    dte(5, root | 0x803 | UINT64_C(0x2000000000000000), DOM); /* IW of the tables does not help */
    blocked(5, 0x1000, true, IO_FAULT, 0x50);
    assert_int_equal(hwm_dma(h, 5, 0x1000, false, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80000000);
    dte(6, root | 0xe03 | UINT64_C(0x6000000000000000), DOM); /* mode 7 */
    blocked(6, 0x1000, true, 1, 0x80);
    dte(7, UINT64_C(0x8000000000000003), DOM);
    blocked(7, 0x1000, true, 1, 0x80);
    dte(8, UINT64_C(0x6080000000000003), DOM); /* GV without guest translation */
    blocked(8, 0x1000, true, 1, 0x80);
    dte(9, root | 0x983 | UINT64_C(0x6000000000000000), DOM); /* HAD without the capability */
    blocked(9, 0x1000, true, 1, 0x80);
    dte(10, root | 0x807 | UINT64_C(0x6000000000000000), DOM);
    blocked(10, 0x1000, true, 1, 0x80);
    assert_clean(h);
}

static void device_table_limits(void **state)
{
    struct hwm_amd_cfg cfg;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    cfg.seg_sup = 1;
    cfg.levels = 5;
    start(&cfg);
    wr64(0x00, devtab | 0); /* one page: 128 entries */
    wr64(0x100, (devtab + 0x100000) | 0xff);
    enable();
    blocked(128, 0x1000, true, IO_FAULT, 0);
    assert_int_equal(hwm_dma(h, 127, 0x1000, true, NULL, NULL), HWM_PASS);
    wr64(0x18, 0);
    wr64(0x00, 0x3ff0000000 | 0x1ff);
    wr64(0x18, 0x1405 | UINT64_C(1) << 34);
    rig_put(r, devtab + 0x100000 + 0x123 * 32, 1);
    blocked(0x8123, 0x1000, true, IO_FAULT, 0);
    blocked(0x0123, 0x1000, true, 3, 0x400);
    rig_put(r, devtab + 0x100000 + 0x124 * 32, root | 0xc03 | UINT64_C(0x6000000000000000));
    blocked(0x8124, 0x1000, true, 1, 0x80); /* 6 levels on a unit of 5 */
}

static void suppressed_events(void **state)
{
    struct hwm_fault f;

    (void)state;
    dte(2, 0x1, UINT64_C(1) << 33);
    hwm_dma(h, 2, 0x1000, true, NULL, &f);
    assert_true(f.recorded);
    hwm_dma(h, 2, 0x1000, true, NULL, &f);
    assert_false(f.recorded);
    inv_dte(2);
    hwm_dma(h, 2, 0x1000, true, NULL, &f);
    assert_true(f.recorded);
    dte(3, 0x1, UINT64_C(1) << 34);
    hwm_dma(h, 3, 0x1000, true, NULL, &f);
    assert_false(f.recorded);
}

static void special_ranges(void **state)
{
    (void)state;
    assert_int_equal(hwm_dma(h, RID, 0xfee00000, true, NULL, NULL), HWM_SPECIAL);
    assert_int_equal(hwm_dma(h, RID, UINT64_C(0xfd00000000), false, NULL, NULL), HWM_SPECIAL);
    wr64(0x20, 0x50000003);
    wr64(0x28, 0x50001000);
    assert_int_equal(hwm_dma(h, RID, 0x50001fff, true, NULL, NULL), HWM_PASS);
    blocked(RID, 0x50002000, true, IO_FAULT, 0);
    wr64(0x20, 0x50000001);
    blocked(RID, 0x50000000, true, IO_FAULT, 0); /* the device table entry does not have EX */
}

/* ---- tables and faults --------------------------------------------------------------------- */

static void walk_faults(void **state)
{
    (void)state;
    blocked(RID, UINT64_C(1) << 48, true, IO_FAULT, 0);
    blocked(RID, 0x1000, true, IO_FAULT, 0);
    leaf(1, 0x2000, V1_LEAF(0x80000000) & ~(UINT64_C(1) << 62));
    blocked(RID, 0x2000, true, IO_FAULT, 0x50);
    leaf(1, 0x3000, V1_LEAF(0x80000000) | UINT64_C(1) << 52);
    blocked(RID, 0x3000, true, IO_FAULT, 0x90);
    leaf(1, 0x4000, V1_TABLE(0x4000000, 1));
    blocked(RID, 0x4000, true, IO_FAULT, 0x10);
    leaf(2, 0x400000, V1_TABLE(0x3fff000, 1));
    blocked(RID, 0x400000, true, 4, 0x400);
    leaf(3, UINT64_C(0x80000000), V1_TABLE(table(4, 1, 0), 1)); /* skips level 2 */
    blocked(RID, 0x80202000, false, IO_FAULT, 0x10);
    assert_int_equal(hwm_dma(h, RID, 0x80002000, false, NULL, NULL), HWM_OK);
    blocked(RID, 0x80202000, false, IO_FAULT, 0x10); /* by way of the cached entry as well */
    assert_clean(h);
}

static void dirty_bits(void **state)
{
    struct hwm_amd_cfg cfg;
    uint64_t slot;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    cfg.ha_sup = cfg.hd_sup = true;
    start(&cfg);
    enable();
    dte(RID, root | 0x983 | UINT64_C(0x6000000000000000), DOM);
    inv_dte(RID);
    leaf(1, 0x1000, V1_LEAF(0x80000000));
    slot = rig_slot(table(4, 1, 0), 1, 0x1000);
    assert_int_equal(hwm_dma(h, RID, 0x1000, false, NULL, NULL), HWM_OK);
    assert_int_equal(rig_get(r, slot), V1_LEAF(0x80000000) | 0x20);
    assert_true(rig_get(r, rig_slot(root, 4, 0)) & 0x20);
    to(0x1000, 0x80000000);
    assert_int_equal(rig_get(r, slot), V1_LEAF(0x80000000) | 0x60);
    rig_put(r, slot, V1_LEAF(0x80000000));
    to(0x1000, 0x80000000);
    assert_int_equal(rig_get(r, slot),
                     V1_LEAF(0x80000000)); /* the IOTLB knows it dirty: no flush, no new D */
    inv_pages(DOM, 0x1000);
    to(0x1000, 0x80000000);
    assert_int_equal(rig_get(r, slot), V1_LEAF(0x80000000) | 0x60);
}

/* ---- caches -------------------------------------------------------------------------------- */

static void fill16(uint64_t pa)
{
    uint64_t i;

    for (i = 0; i < 16; i++) {
        leaf(1, i << 12, V1_LEAF(pa + (i << 12)));
    }
}

static unsigned fresh16(void)
{
    unsigned i, mask = 0;
    uint64_t pa;

    for (i = 0; i < 16; i++) {
        assert_int_equal(hwm_dma(h, RID, (uint64_t)i << 12, false, &pa, NULL), HWM_OK);
        mask |= pa >= 0x90000000 ? 1u << i : 0;
    }
    return mask;
}

static void page_invalidation_is_exact(void **state)
{
    static const struct {
        unsigned dom;
        uint64_t w1;
        unsigned fresh;
    } t[] = {
        {DOM, 0x5000, 1u << 5},                      /* S=0: one page */
        {DOM, 0x4001, 0x30},                         /* 8 KiB */
        {DOM, 0x5001, 0xf0},                         /* 16 KiB */
        {DOM, 0x3001, 0xff},                         /* 32 KiB */
        {DOM, 0x7ff001, 0xffff},                     /* 16 MiB */
        {DOM, 0x2ff001, 0},                          /* 2 MiB at 0x200000 */
        {DOM, UINT64_C(0x017ffffffffff001), 0xffff}, /* 2^56 somewhere: beyond 2^51 is all */
        {DOM, ALL_ADDR | 1, 0xffff},
        {DOM, ALL_ADDR | 3, 0xffff},
        {DOM + 1, ALL_ADDR | 3, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        fill16(0x80000000);
        inv_pages(DOM, ALL_ADDR | 3);
        assert_int_equal(fresh16(), 0);
        fill16(0x90000000);
        assert_int_equal(fresh16(), 0);
        inv_pages(t[i].dom, t[i].w1);
        assert_int_equal(fresh16(), t[i].fresh);
    }
    inv_dte(RID); /* the entry alone: translations stay */
    assert_int_equal(fresh16(), 0);
    inv(UINT64_C(0x8000000000000000), 0);
    assert_int_equal(fresh16(), 0xffff);
    assert_clean(h);
}

static void pde_keeps_directories(void **state)
{
    uint64_t old, fresh = rig_alloc(r, 1), i;

    (void)state;
    fill16(0x80000000);
    assert_int_equal(fresh16(), 0);
    old = table(4, 1, 0);
    for (i = 0; i < 512; i++) {
        rig_put(r, fresh + i * 8, V1_LEAF(0x90000000 + (i << 12)));
    }
    rig_put(r, rig_slot(table(4, 2, 0), 2, 0), V1_TABLE(fresh, 1));
    inv_pages(DOM, ALL_ADDR | 1);
    assert_int_equal(fresh16(), 0);
    assert_true(hwm_caches_page(h, old) & HWM_HOLD_TABLE);
    inv_pages(DOM, 0xff003); /* PDE=1, 2 MiB at 0 */
    assert_int_equal(hwm_caches_page(h, old), 0);
    assert_int_equal(fresh16(), 0xffff);
}

static void group_is_one_entry(void **state)
{
    uint64_t i;

    (void)state;
    for (i = 0; i < 16; i++) {
        leaf(1, 0x10000 + (i << 12), UINT64_C(0x7000000080017E01));
    }
    to(0x10000, 0x80010000);
    for (i = 0; i < 16; i++) {
        leaf(1, 0x10000 + (i << 12), V1_LEAF(0x90000000 + (i << 12)));
    }
    to(0x1f000, 0x8001f000); /* the whole old group is cached */
    inv_pages(DOM, 0x15000);
    to(0x1f000, 0x9000f000);
    to(0x10000, 0x90000000);
}

static void dte_is_cached(void **state)
{
    uint64_t old = root, pa;

    (void)state;
    fill16(0x80000000);
    assert_int_equal(fresh16(), 0);
    assert_int_equal(hwm_caches_page(h, old) & HWM_HOLD_ROOT, HWM_HOLD_ROOT);
    root = rig_alloc(r, 1);
    fill16(0x90000000);
    dte(RID, root | 0x803 | UINT64_C(0x6000000000000000), DOM + 1);
    inv_pages(DOM, ALL_ADDR | 3);
    assert_int_equal(fresh16(), 0);
    inv_dte(RID + 1);
    assert_int_equal(fresh16(), 0);
    inv_dte(RID);
    assert_int_equal(hwm_caches_page(h, old) & HWM_HOLD_ROOT, 0);
    assert_int_equal(fresh16(), 0xffff);
    assert_true(hwm_caches_page(h, 0x80001000) &
                HWM_HOLD_LEAF); /* the old domain's translations are still there */
    inv_pages(DOM, ALL_ADDR | 3);
    assert_int_equal(hwm_caches_page(h, 0x80001000), 0);
    assert_int_equal(hwm_dma(h, 7, 0x1000, true, &pa, NULL), HWM_PASS);
    dte(7, 1, 0);
    assert_int_equal(hwm_dma(h, 7, 0x1000, true, &pa, NULL), HWM_PASS); /* V=0 is cached as well */
    inv_dte(7);
    blocked(7, 0x1000, true, IO_FAULT, 0);
}

static void np_cache(void **state)
{
    struct hwm_amd_cfg cfg;

    (void)state;
    blocked(RID, 0x1000, true, IO_FAULT, 0);
    leaf(1, 0x1000, V1_LEAF(0x80000000));
    to(0x1000, 0x80000000);
    rig_free(r);
    hwm_amd_cfg_default(&cfg);
    cfg.np_cache = true;
    start(&cfg);
    enable();
    assert_true(hwm_amd_pci_cap(h, 0) >> 26 & 1);
    fill16(0x80000000);
    blocked(RID, 0x20000, true, IO_FAULT, 0);
    leaf(1, 0x20000, V1_LEAF(0x80020000));
    blocked(RID, 0x20000, true, IO_FAULT, 0);
    inv_pages(DOM, 0x20000);
    to(0x20000, 0x80020000);
    blocked(RID, 0x200000, true, IO_FAULT, 0);
    leaf(1, 0x200000, V1_LEAF(0x80200000));
    inv_pages(DOM, 0x200000);
    blocked(RID, 0x200000, true, IO_FAULT, 0); /* a table was linked: needs PDE=1 */
    inv_pages(DOM, 0x200002);
    to(0x200000, 0x80200000);
    assert_clean(h);
}

static void remote_tlb(void **state)
{
    struct hwm_amd_cfg cfg;
    uint64_t pa;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    cfg.iotlb_sup = true;
    start(&cfg);
    enable();
    fill16(0x80000000);
    assert_int_equal(hwm_dma_ats(h, RID, 0x1000, true, &pa, NULL), HWM_FAULT);
    dte(RID, root | 0x803 | UINT64_C(0x6000000000000000), DOM | UINT64_C(1) << 32);
    inv_dte(RID);
    assert_int_equal(hwm_dma_ats(h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    fill16(0x90000000);
    inv(UINT64_C(0x8000000000000000), 0);
    assert_int_equal(hwm_dma_ats(h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80001000);
    inv(UINT64_C(0x4000031020000310), 0x1000);
    assert_int_equal(hwm_dma_ats(h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x90001000);
    assert_clean(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(registers, setup, teardown),
        cmocka_unit_test_teardown(commands_wait_for_enable, teardown),
        cmocka_unit_test_setup_teardown(illegal_commands_stop_the_ring, setup, teardown),
        cmocka_unit_test_teardown(injected_troubles, teardown),
        cmocka_unit_test_setup_teardown(lazy_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(wait_misuse, setup, teardown),
        cmocka_unit_test_setup_teardown(event_log, setup, teardown),
        cmocka_unit_test_teardown(late_event_log, teardown),
        cmocka_unit_test_setup_teardown(dte_combinations, setup, teardown),
        cmocka_unit_test_teardown(device_table_limits, teardown),
        cmocka_unit_test_setup_teardown(suppressed_events, setup, teardown),
        cmocka_unit_test_setup_teardown(special_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(walk_faults, setup, teardown),
        cmocka_unit_test_teardown(dirty_bits, teardown),
        cmocka_unit_test_setup_teardown(page_invalidation_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(pde_keeps_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(group_is_one_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(dte_is_cached, setup, teardown),
        cmocka_unit_test_setup_teardown(np_cache, setup, teardown),
        cmocka_unit_test_teardown(remote_tlb, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
