/* SPDX-License-Identifier: MIT */
/* AMD-Vi: every misuse of the programming interface that the model notes, and rarer faults. */
#include "selftest_amd.h"

static struct hwm_amd_cfg cfg;

static int setup_cfg(void **state)
{
    (void)state;
    hwm_amd_cfg_default(&cfg);
    start(&cfg);
    return 0;
}

/* Another unit, as cfg says now, switched on. */
static void again(void)
{
    rig_free(r);
    start(&cfg);
    enable();
}

static void registers_and_rings(void **state)
{
    (void)state;
    wr64(0x08, ring | UINT64_C(7) << 56);
    wr64(0x18, 0x1400);
    assert_violated(h, "command ring base");
    wr64(0x10, evlog | UINT64_C(8) << 56 | 1);
    wr64(0x18, 0x1404);
    assert_violated(h, "event log base");
    wr64(0x18, 0x10400);
    assert_violated(h, "GTEn");
    wr64(0x00, devtab | 0x200);
    wr64(0x18, 0x401);
    assert_violated(h, "device table base");
    wr64(0x18, 0x400);
    assert_clean(h);
    again();
    hwm_mmio_write(h, 0x2018, 4, 0);
    assert_violated(h, "EvtLogTail written");
    hwm_mmio_write(h, 0x200c, 4, 1);
    assert_violated(h, "reserved bits");
    wr64(0x10, 0);
    assert_violated(h, "event log base written while");
    assert_int_equal(hwm_amd_pci_cap(h, 0x10), 52u << 8 | 64u << 15);
    assert_int_equal(hwm_amd_pci_cap(h, 4), 0);
    assert_true(hwm_is_amd(h));
    assert_int_equal(hwm_mmio_size(h), 0x4000);
}

static void stopping_with_work(void **state)
{
    (void)state;
    again();
    hwm_set_lazy(h, true, 0);
    submit();
    wr64(0x18, 0x405);
    assert_violated(h, "stopped while commands are pending");
    hwm_set_lazy(h, false, 0);
    assert_false(waited());
}

static void overflow_must_be_cleared(void **state)
{
    unsigned i;

    (void)state;
    again();
    for (i = 0; i < 256; i++) {
        blocked(RID, 0x1000, false, IO_FAULT, 0);
    }
    wr64(0x18, 0x1401);
    wr64(0x18, 0x1405);
    assert_violated(h, "EventOverflow");
    assert_false(rd(0x2020) & 8);
}

static void events_without_log(void **state)
{
    struct hwm_fault f;

    (void)state;
    again();
    wr64(0x18, 0x1401);
    hwm_dma(h, RID, 0x1000, true, NULL, &f);
    assert_false(f.recorded);
    wr64(0x10, 0x3fff000 | UINT64_C(8) << 56);
    wr64(0x18, 0x1405);
    hwm_dma(h, RID, 0x1000, true, NULL, &f);
    assert_false(f.recorded);
    assert_violated(h, "event log at 0x3fff000");
}

static void other_commands(void **state)
{
    const struct hwm_told *log;
    size_t nr;

    (void)state;
    cfg.iotlb_sup = cfg.pref_sup = cfg.ppr_sup = cfg.gt_sup = true;
    again();
    inv(UINT64_C(0x5000000000000310), 0);
    inv(UINT64_C(0x6000000000000310), 0x1000);
    inv(UINT64_C(0x7000000000000310), 0);
    inv(UINT64_C(0x4145031020230310), ALL_ADDR | 5); /* PASID 0x12345 in its two places */
    assert_true(waited());
    log = hwm_log(h, &nr);
    assert_int_equal(nr, 8);
    assert_int_equal(log[0].kind, HWM_IRT);
    assert_int_equal(log[2].kind, HWM_OTHER);
    assert_int_equal(log[4].kind, HWM_OTHER);
    assert_int_equal(log[6].kind, HWM_DEVTLB);
    assert_int_equal(log[6].pasid, 0x12345);
    assert_int_equal(log[6].lg2, 64);
    assert_int_equal(log[6].rid, RID);
    wr64(0x18, 0x1415); /* interrupts of COMPLETION_WAIT */
    inv(UINT64_C(0x1000000000000002), 0);
    assert_int_equal(hwm_msi_count(h, HWM_MSI_WAIT), 1);
    assert_clean(h);
}

static void narrow_addresses(void **state)
{
    (void)state;
    cfg.pa_bits = 40;
    cfg.err_512g = true;
    again();
    leaf(1, 0x1000, V1_LEAF(UINT64_C(0x10000000000)));
    blocked(RID, 0x1000, true, IO_FAULT, 0x90);
    leaf(2, 0x200000, V1_TABLE(UINT64_C(0x10000000000), 1));
    blocked(RID, 0x200000, true, IO_FAULT, 0x90);
    leaf(4, UINT64_C(0x10000000000), V1_LEAF(0));
    blocked(RID, UINT64_C(0x10000000000), true, IO_FAULT, 0x10);
    dte(4, UINT64_C(0x6000010000000803), DOM);
    blocked(4, 0x1000, true, 1, 0x80);
    assert_clean(h);
    leaf(2, 0x400000, V1_LEAF(0x80001000));
    assert_int_equal(hwm_dma(h, RID, 0x400000, true, NULL, NULL), HWM_OK);
    assert_violated(h, "not aligned to its size");
}

static void nested_without_root_mode(void **state)
{
    struct hwm_req req = {.iova = 0x1000, .rid = RID, .has_pasid = true, .pasid = 1};
    struct hwm_xlat x;

    (void)state;
    cfg.gt_sup = cfg.gio_sup = true;
    again();
    assert_int_equal(hwm_dma_req(h, &req, &x), HWM_FAULT);
    assert_int_equal(x.fault.reason, 8); /* PASID, but GV is 0 */
    wr64(0x18, 0x11405);
    dte(4, root | 0x803 | UINT64_C(0x60c0000000000000), DOM);
    blocked(4, 0x1000, true, 4, 0x401);
    assert_violated(h, "GCR3TRPMode");
    wr64(0x18, UINT64_C(0x0400000000011405));
    assert_violated(h, "GCR3TRPMode set");
    dte(5, UINT64_C(0x60c0000000000003), 0); /* GCR3 0: not memory in this rig */
    blocked(5, 0x1000, true, 4, 0x401);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(registers_and_rings, setup_cfg, teardown),
        cmocka_unit_test_setup_teardown(stopping_with_work, setup_cfg, teardown),
        cmocka_unit_test_setup_teardown(overflow_must_be_cleared, setup_cfg, teardown),
        cmocka_unit_test_setup_teardown(events_without_log, setup_cfg, teardown),
        cmocka_unit_test_setup_teardown(other_commands, setup_cfg, teardown),
        cmocka_unit_test_setup_teardown(narrow_addresses, setup_cfg, teardown),
        cmocka_unit_test_setup_teardown(nested_without_root_mode, setup_cfg, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
