/* SPDX-License-Identifier: MIT */
/*
 * The model's VT-d context cache, caching mode and device TLBs: what stays stale, and what each
 * invalidation drops.
 */
#include "selftest_vtd.h"

static struct vtd *v;

static int teardown(void **state)
{
    (void)state;
    vtd_off(v);
    return 0;
}

static int setup(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    v = vtd_on(&cfg);
    return 0;
}

static int setup_cm(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.cm = true;
    v = vtd_on(&cfg);
    return 0;
}

static void context_is_cached(void **state)
{
    uint64_t other = rig_alloc(v->r, 1), old = v->ss;

    (void)state;
    map16(v);
    assert_to(v, 0x1000, 0x80001000);
    assert_true(hwm_caches_page(v->h, old) & HWM_HOLD_ROOT);
    v->ss = other;
    remap16(v);
    vtd_set_context(v, RID, other | 1, 0x43 << 8 | 2);
    vtd_inv(v, 0xd2, 0);
    assert_to(v, 0x2000, 0x80002000);            /* old context, old table */
    vtd_inv(v, UINT64_C(0x0000031100420031), 0); /* another device */
    assert_to(v, 0x3000, 0x80003000);
    vtd_inv(v, UINT64_C(0x0000031000430031), 0); /* the new id instead of the old */
    assert_to(v, 0x4000, 0x80004000);
    assert_true(hwm_caches_page(v->h, old) & HWM_HOLD_ROOT);
    vtd_inv(v, UINT64_C(0x0000031000420031), 0);
    assert_int_equal(hwm_caches_page(v->h, old) & HWM_HOLD_ROOT, 0);
    assert_to(v, 0x2000, 0x90002000); /* tagged with the new id */
    assert_true(hwm_caches_page(v->h, 0x80002000) & HWM_HOLD_LEAF);
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_int_equal(hwm_caches_page(v->h, 0x80002000), 0);
    assert_clean(v->h);
}

static void context_function_mask(void **state)
{
    static const uint16_t fm_covers[4] = {
        1, 0x11, 0x55, 0xff}; /* functions of the device dropped for function 0 */
    unsigned fm, fn;
    size_t counts[5];

    (void)state;
    map16(v);
    for (fm = 0; fm < 4; fm++) {
        vtd_inv(v, 0x11, 0);
        for (fn = 0; fn < 8; fn++) {
            vtd_set_context(v, 0x0320 + fn, v->ss | 1, DID << 8 | 2);
            assert_int_equal(hwm_dma(v->h, (uint16_t)(0x0320 + fn), 0, false, NULL, NULL), HWM_OK);
        }
        vtd_inv(v, UINT64_C(0x0000032000420031) | (uint64_t)fm << 48, 0);
        hwm_cache_counts(v->h, counts);
        assert_int_equal(counts[0], 8 - __builtin_popcount(fm_covers[fm]));
        for (fn = 0; fn < 8; fn++) {
            vtd_set_context(v, 0x0320 + fn, 0, 0);
            if (fm_covers[fm] >> fn & 1) {
                assert_blocked(v, (uint16_t)(0x0320 + fn), 0, false, 0x02);
            } else {
                assert_int_equal(hwm_dma(v->h, (uint16_t)(0x0320 + fn), 0, false, NULL, NULL),
                                 HWM_OK);
            }
        }
    }
    for (fn = 0; fn < 8; fn++) {
        vtd_set_context(v, 0x0320 + fn, v->ss | 1, (uint64_t)(fn & 1 ? DID : DID + 1) << 8 | 2);
        assert_int_equal(hwm_dma(v->h, (uint16_t)(0x0320 + fn), 0, false, NULL, NULL), HWM_OK);
    }
    vtd_inv(v, 0x0000000000430021, 0); /* domain-selective: the even functions */
    hwm_cache_counts(v->h, counts);
    assert_int_equal(counts[0], 4);
    vtd_inv(v, 0x0000000000420021, 0);
    hwm_cache_counts(v->h, counts);
    assert_int_equal(counts[0], 0);
}

static void domain_id_is_the_tag(void **state)
{
    uint64_t pa;

    (void)state;
    /* two devices, one domain id, two tables: forbidden, and the caches mix */
    map16(v);
    assert_to(v, 0x1000, 0x80001000);
    v->ss = rig_alloc(v->r, 1);
    remap16(v);
    vtd_set_context(v, 0x318, v->ss | 1, DID << 8 | 2);
    assert_int_equal(hwm_dma(v->h, 0x318, 0x1000, false, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80001000);
    assert_int_equal(hwm_walk(v->h, 0x318, 0x1000, false, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x90001000);
}

static void pass_through_is_tagged_too(void **state)
{
    uint64_t pa;

    (void)state;
    vtd_set_context(v, 0x318, 9, 0x102);
    assert_int_equal(hwm_dma(v->h, 0x318, 0x5678, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x5678);
    vtd_set_context(v, 0x318, v->ss | 1, 0x102);
    map16(v);
    vtd_inv(v, UINT64_C(0x0000031800010031), 0);
    assert_int_equal(hwm_dma(v->h, 0x318, 0x5678, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x5678);
    vtd_inv(v, 0x00000000000100e2, 0);
    assert_int_equal(hwm_dma(v->h, 0x318, 0x5678, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80005678);
    assert_clean(v->h);
}

static void caching_mode_leaf(void **state)
{
    (void)state;
    map16(v);
    assert_blocked(v, RID, 0x20000, true, 0x05);
    assert_true(hwm_cached_iova(v->h, DID, 0x20000));
    vtd_leaf(v, 1, 0x20000, 0x80020803);
    assert_blocked(v, RID, 0x20000, true, 0x05);
    vtd_inv(v, PAGE(DID), 0x21000);
    assert_blocked(v, RID, 0x20000, true, 0x05);
    vtd_inv(v, PAGE(DID + 1), 0x20000);
    assert_blocked(v, RID, 0x20000, true, 0x05);
    vtd_inv(v, PAGE(DID), 0x20000 | IH);
    assert_to(v, 0x20000, 0x80020000);
    /* a 2 MiB leaf where nothing was: still only a leaf */
    assert_blocked(v, RID, 0x400000, true, 0x05);
    vtd_leaf(v, 2, 0x400000, 0x80000083);
    assert_blocked(v, RID, 0x555000, true, 0x05);
    vtd_inv(v, PAGE(DID), 0x400000 | IH | 9);
    assert_to(v, 0x555000, 0x80155000);
}

static void caching_mode_table(void **state)
{
    (void)state;
    map16(v);
    assert_blocked(v, RID, 0x200000, true, 0x05); /* the level-2 entry was cached as absent */
    vtd_leaf(v, 1, 0x200000, 0x80200803);
    vtd_inv(v, PAGE(DID), 0x200000 | IH);
    assert_blocked(v, RID, 0x200000, true, 0x05); /* a table was linked: leaf-only is not enough */
    vtd_inv(v, PAGE(DID), 0x200000);
    assert_to(v, 0x200000, 0x80200000);
    assert_blocked(v, RID, UINT64_C(0x7000000000), true, 0x05); /* absent at level 4 */
    vtd_leaf(v, 1, UINT64_C(0x7000000000), 0x80000803);
    vtd_inv(v, PAGE(DID), UINT64_C(0x7000000000));
    assert_to(v, UINT64_C(0x7000000000), 0x80000000);
}

static void caching_mode_context(void **state)
{
    (void)state;
    map16(v);
    assert_blocked(v, 0x311, 0x1000, true, 0x02);
    assert_blocked(v, 0x410, 0x1000, true, 0x01);
    vtd_set_context(v, 0x311, v->ss | 1, DID << 8 | 2);
    vtd_inv(v, UINT64_C(0x0000031100420031), 0); /* cached under id 0, not under the new one */
    assert_blocked(v, 0x311, 0x1000, true, 0x02);
    vtd_inv(v, UINT64_C(0x0000031100000031), 0);
    assert_int_equal(hwm_dma(v->h, 0x311, 0x1000, true, NULL, NULL), HWM_OK);
    rig_put(v->r, v->root + 4 * 16, v->context | 1);
    vtd_set_context(v, 0x410, v->ss | 1, DID << 8 | 2);
    assert_blocked(v, 0x410, 0x1000, true, 0x01);
    vtd_inv(v, UINT64_C(0x0000041000000031), 0);
    assert_int_equal(hwm_dma(v->h, 0x410, 0x1000, true, NULL, NULL), HWM_OK);
    assert_clean(v->h);
}

/*
 * A context invalidated after the IOTLB lets the old context fill the IOTLB in between (hwspec
 * 9.3).
 */
static void watch_refills_between_commands(void **state)
{
    uint64_t old = v->ss;

    (void)state;
    map16(v);
    hwm_watch(v->h, RID, 0x1000);
    hwm_watch_run(v->h);
    v->ss = rig_alloc(v->r, 1);
    remap16(v);
    vtd_set_context(v, RID, v->ss | 1, DID << 8 | 2);
    vtd_desc(v, 0x00000000004200e2, 0);
    vtd_inv(v, UINT64_C(0x0000031000420031), 0);
    assert_to(v, 0x1000, 0x80001000);
    assert_int_equal(hwm_caches_page(v->h, old), 0);
    vtd_desc(v, UINT64_C(0x0000031000420031), 0);
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_to(v, 0x1000, 0x90001000);
}

static void root_pointer_keeps_caches(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    map16(v);
    assert_to(v, 0x1000, 0x80001000);
    remap16(v);
    vtd_gcmd(v, 1u << 30, 0);
    assert_to(v, 0x1000, 0x80001000);
    vtd_off(v);
    hwm_vtd_cfg_default(&cfg);
    cfg.esrtps = true;
    v = vtd_raw(&cfg);
    vtd_wr64(v, 0x20, v->root);
    vtd_gcmd(v, 1u << 30, 0);
    vtd_gcmd(v, 1u << 31, 0);
    assert_clean(v->h); /* no invalidation needed after SRTP */
    map16(v);
    assert_to(v, 0x1000, 0x80001000);
    remap16(v);
    vtd_gcmd(v, 1u << 30, 0);
    assert_to(v, 0x1000, 0x90001000);
}

static void device_tlb(void **state)
{
    struct hwm_vtd_cfg cfg;
    uint64_t pa;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.dt = true;
    v = vtd_on(&cfg);
    map16(v);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL),
                     HWM_FAULT); /* TT 0 blocks ATS */
    vtd_set_context(v, RID, v->ss | 5, DID << 8 | 2);
    vtd_inv(v, 0x11, 0);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80001000);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x5000, true, &pa, NULL), HWM_OK);
    remap16(v);
    vtd_inv(v, 0xd2, 0);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80001000);
    assert_true(hwm_caches_page(v->h, 0x80001000) & HWM_HOLD_DEVTLB);
    vtd_inv(v, UINT64_C(0x0000031000000003), 0x4001); /* 8 KiB at 0x4000 */
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x5000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x90005000);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80001000);
    vtd_inv(v, UINT64_C(0x0000031000000003), UINT64_C(0x7FFFFFFFFFFFF001));
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x90001000);
    assert_int_equal(hwm_log_count(v->h, HWM_DEVTLB), 2);
    vtd_gcmd(v, 0, 1u << 31);
    vtd_inv(v, UINT64_C(0x0000031000000003), UINT64_C(0x7FFFFFFFFFFFF001));
    assert_violated(v->h, "while translation is disabled");
}

static void device_refetches_in_between(void **state)
{
    struct hwm_vtd_cfg cfg;
    uint64_t pa;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.dt = true;
    v = vtd_on(&cfg);
    map16(v);
    vtd_set_context(v, RID, v->ss | 5, DID << 8 | 2);
    hwm_watch_ats(v->h, RID, 0x1000);
    hwm_watch_run(v->h);
    remap16(v);
    vtd_desc(v, UINT64_C(0x0000031000000003),
             UINT64_C(0x7FFFFFFFFFFFF001)); /* the wrong way round */
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80001000);
    vtd_desc(v, 0x00000000004200e2, 0);
    vtd_inv(v, UINT64_C(0x0000031000000003), UINT64_C(0x7FFFFFFFFFFFF001));
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x90001000);
    assert_clean(v->h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(context_is_cached, setup, teardown),
        cmocka_unit_test_setup_teardown(context_function_mask, setup, teardown),
        cmocka_unit_test_setup_teardown(domain_id_is_the_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(pass_through_is_tagged_too, setup, teardown),
        cmocka_unit_test_setup_teardown(caching_mode_leaf, setup_cm, teardown),
        cmocka_unit_test_setup_teardown(caching_mode_table, setup_cm, teardown),
        cmocka_unit_test_setup_teardown(caching_mode_context, setup_cm, teardown),
        cmocka_unit_test_setup_teardown(watch_refills_between_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(root_pointer_keeps_caches, setup, teardown),
        cmocka_unit_test_teardown(device_tlb, teardown),
        cmocka_unit_test_teardown(device_refetches_in_between, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
