/* SPDX-License-Identifier: MIT */
/* The model's AMD v2 translation: GCR3 tables, PASIDs, GIoV (hwspec 6.10). */
#include "selftest_amd.h"

#define GTEN    0x10000u
#define GV_GIOV UINT64_C(0x60c0000000000003)

static uint64_t gcr3, v2;

static uint64_t gcr3_w0(uint64_t pa, unsigned glx)
{
    return (pa >> 12 & 7) << 58 | (uint64_t)glx << 56;
}

static uint64_t gcr3_w1(uint64_t pa)
{
    return (pa >> 15 & 0xffff) << 16 | (pa >> 31) << 43;
}

static void v2_leaf(uint64_t iova, uint64_t entry)
{
    uint64_t t = v2, slot;
    unsigned level;

    for (level = 4; level > 1; level--) {
        slot = rig_slot(t, level, iova);
        if (!rig_get(r, slot)) {
            rig_put(r, slot, rig_alloc(r, 1) | 0x27);
        }
        t = rig_get(r, slot) & UINT64_C(0x000ffffffffff000);
    }
    rig_put(r, rig_slot(t, 1, iova), entry);
}

static int setup_v2(void **state)
{
    struct hwm_amd_cfg cfg;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    cfg.gt_sup = cfg.gio_sup = true;
    cfg.glx_sup = 1;
    start(&cfg);
    gcr3 = rig_alloc(r, 1);
    v2 = rig_alloc(r, 1);
    rig_put(r, gcr3, v2 | 1);
    rig_put(r, gcr3 + 5 * 8, v2 | 1);
    wr64(0x18, 0x400 | 0x1000 | 0x4 | GTEN);
    wr64(0x18, 0x400 | 0x1000 | 0x4 | GTEN | 1);
    dte(RID, GV_GIOV | gcr3_w0(gcr3, 0), DOM | gcr3_w1(gcr3));
    inv(UINT64_C(0x8000000000000000), 0);
    hwm_log_reset(h);
    return 0;
}

static enum hwm_result dma(int pasid, uint64_t iova, bool write, struct hwm_xlat *x)
{
    struct hwm_req req = {.iova = iova, .rid = RID, .write = write};

    req.has_pasid = pasid >= 0;
    req.pasid = pasid >= 0 ? (uint32_t)pasid : 0;
    return hwm_dma_req(h, &req, x);
}

static void to_v2(int pasid, uint64_t iova, uint64_t want)
{
    struct hwm_xlat x;

    assert_int_equal(dma(pasid, iova, true, &x), HWM_OK);
    assert_int_equal(x.pa, want);
}

static void stopped(int pasid, uint64_t iova, bool write, unsigned event, unsigned flags)
{
    struct hwm_xlat x;

    assert_int_equal(dma(pasid, iova, write, &x), HWM_FAULT);
    assert_int_equal(x.fault.reason, event);
    assert_int_equal(x.fault.flags, flags | (write ? 0x20 : 0));
}

static void worked_entry(void **state)
{
    uint64_t pa = UINT64_C(0x2ABCD3F5000);

    (void)state;
    assert_int_equal(GV_GIOV | gcr3_w0(pa, 1), UINT64_C(0x75C0000000000003));
    assert_int_equal(DOM | gcr3_w1(pa), UINT64_C(0x002AB8009A7E0042));
    rig_put(r, pa, rig_alloc(r, 1) | 1); /* GLX 1: a table of tables */
    rig_put(r, rig_get(r, pa) & ~UINT64_C(1), v2 | 1);
    dte(RID, UINT64_C(0x75C0000000000003), UINT64_C(0x002AB8009A7E0042));
    inv_dte(RID);
    v2_leaf(0x1000, 0x80000067);
    to_v2(-1, 0x1abc, 0x80000abc);
    assert_clean(h);
}

static void pasid_and_giov(void **state)
{
    struct hwm_xlat x;

    (void)state;
    v2_leaf(0x1000, 0x80000067);
    to_v2(5, 0x1000, 0x80000000);
    to_v2(-1, 0x1000, 0x80000000);
    to_v2(-1, UINT64_C(0xffff000000001000), 0x80000000); /* GIoV: the upper bits are not decoded */
    v2_leaf(0x1000, 0x90000067);
    inv(UINT64_C(0x3000004200000000), 0x1004); /* they are one page to the caches as well */
    to_v2(-1, UINT64_C(0xffff000000001000), 0x90000000);
    stopped(5, UINT64_C(0x0001000000001000), true, IO_FAULT, 1);
    stopped(6, 0x1000, true, IO_FAULT, 1);   /* no GCR3 entry */
    stopped(512, 0x1000, true, IO_FAULT, 1); /* beyond one level of GCR3 table */
    stopped(5, 0x2000, true, IO_FAULT, 1);
    v2_leaf(0x2000, 0x80000025);
    stopped(5, 0x2000, true, IO_FAULT, 0x51);
    assert_int_equal(dma(5, 0x2000, false, &x), HWM_OK);
    v2_leaf(0x3000, 0x80000063);
    stopped(5, 0x3000, true, IO_FAULT, 0x51);      /* supervisor page */
    v2_leaf(0x4000, UINT64_C(0x8000000080000067)); /* NX without NXSup */
    stopped(5, 0x4000, true, IO_FAULT, 0x91);
    rig_put(r, gcr3 + 7 * 8, v2 | 3);
    stopped(7, 0x1000, true, IO_FAULT, 0x91);
    dte(RID, GV_GIOV & ~(UINT64_C(1) << 54),
        DOM | gcr3_w1(gcr3)); /* no GIoV: identity without PASID */
    inv_dte(RID);
    inv_pages(DOM, ALL_ADDR | 3);
    to_v2(-1, 0x1000, 0x1000);
    assert_clean(h);
}

static void guest_table_off(void **state)
{
    (void)state;
    wr64(0x18, 0x1405);
    stopped(5, 0x1000, true, 1, 0x80);
    assert_clean(h);
}

static void caches(void **state)
{
    uint64_t old = v2;

    (void)state;
    v2_leaf(0x1000, 0x80000067);
    v2_leaf(0x2000, 0x80002067);
    to_v2(5, 0x1000, 0x80000000);
    to_v2(5, 0x2000, 0x80002000);
    v2_leaf(0x1000, 0x90000067);
    v2_leaf(0x2000, 0x90002067);
    inv_pages(DOM, ALL_ADDR | 3); /* without GN it is about the host tables */
    to_v2(5, 0x1000, 0x80000000);
    inv(UINT64_C(0x3000004200000005), 0x1006); /* PASID 5, one page, PDE */
    to_v2(5, 0x1000, 0x90000000);
    to_v2(5, 0x2000, 0x80002000);
    v2 = rig_alloc(r, 1);
    v2_leaf(0x2000, 0xa0002067);
    rig_put(r, gcr3 + 5 * 8, v2 | 1);
    assert_true(hwm_caches_page(h, old) & HWM_HOLD_ROOT);
    inv(UINT64_C(0x3000004200000006), ALL_ADDR | 7);
    to_v2(5, 0x2000, 0x80002000);
    inv(UINT64_C(0x3000004200000005), ALL_ADDR | 7);
    assert_false(hwm_caches_page(h, old) & HWM_HOLD_ROOT);
    to_v2(5, 0x2000, 0xa0002000);
    assert_clean(h);
}

static void accessed_and_dirty(void **state)
{
    struct hwm_leaf l;
    struct hwm_xlat x;

    (void)state;
    v2_leaf(0x1000, 0x80000007);
    assert_int_equal(hwm_walk(h, RID, 0x1000, true, NULL, NULL), HWM_OK);
    hwm_walk_x86(&r->mem, v2, 4, 0x1000, &l);
    assert_false(l.accessed); /* a walk of the oracle leaves no trace */
    assert_int_equal(dma(5, 0x1000, false, &x), HWM_OK);
    assert_int_equal(rig_get(r, l.entry_pa), 0x80000027);
    to_v2(5, 0x1000, 0x80000000);
    assert_int_equal(rig_get(r, l.entry_pa), 0x80000067);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(worked_entry, setup_v2, teardown),
        cmocka_unit_test_setup_teardown(pasid_and_giov, setup_v2, teardown),
        cmocka_unit_test_setup_teardown(guest_table_off, setup_v2, teardown),
        cmocka_unit_test_setup_teardown(caches, setup_v2, teardown),
        cmocka_unit_test_setup_teardown(accessed_and_dirty, setup_v2, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
