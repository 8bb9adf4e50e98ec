/* SPDX-License-Identifier: MIT */
/* The model's VT-d caches: what stays stale, and exactly what each invalidation drops. */
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

static void page_selective_is_exact(void **state)
{
    static const struct {
        uint64_t w0, w1;
        unsigned fresh;
    } t[] = {
        {PAGE(DID), 0x5000, 1u << 5},
        {PAGE(DID), 0x5000 | IH, 1u << 5},
        {PAGE(DID), 0x4000 | 2, 0xf0},
        {PAGE(DID), 0x0000 | 4, 0xffff},
        {PAGE(DID), 0x8000 | 3, 0xff00},
        {PAGE(DID), 0x10000 | 4, 0},
        {PAGE(DID + 1), 0x0000 | 4, 0},
        {(uint64_t)DID << 16 | 0xe2, 0, 0xffff},
        {(uint64_t)(DID + 1) << 16 | 0xe2, 0, 0},
        {0xd2, 0, 0xffff},
        {0x11, 0, 0}, /* the context cache alone */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        map16(v);
        vtd_inv(v, 0xd2, 0);
        assert_int_equal(fresh16(v), 0);
        remap16(v);
        assert_int_equal(fresh16(v), 0);
        vtd_inv(v, t[i].w0, t[i].w1);
        assert_int_equal(fresh16(v), t[i].fresh);
    }
    assert_clean(v->h);
}

static void rights_stay_stale(void **state)
{
    (void)state;
    vtd_leaf(v, 1, 0x1000, 0x80000801);
    assert_int_equal(vtd_dma(v, 0x1000, false, NULL), HWM_OK);
    vtd_leaf(v, 1, 0x1000, 0x80000803);
    assert_blocked(v, RID, 0x1000, true, 0x05);
    vtd_inv(v, PAGE(DID), 0x1000);
    assert_to(v, 0x1000, 0x80000000);
    vtd_leaf(v, 1, 0x1000, 0);
    assert_to(v, 0x1000, 0x80000000);
    vtd_inv(v, PAGE(DID), 0x1000);
    assert_blocked(v, RID, 0x1000, true, 0x05);
}

static void rights_are_anded(void **state)
{
    uint64_t slot = rig_slot(vtd_table(v, 4, 2, 0), 2, 0);

    (void)state;
    map16(v);
    rig_put(v->r, slot, rig_get(v->r, slot) & ~UINT64_C(1)); /* write-only directory */
    assert_to(v, 0x1000, 0x80001000);
    assert_blocked(v, RID, 0x1000, false, 0x06); /* from the IOTLB */
    assert_blocked(v, RID, 0x2000, false, 0x06); /* from the directory cache */
    rig_put(v->r, slot, (rig_get(v->r, slot) | 1) & ~UINT64_C(2));
    vtd_inv(v, 0xd2, 0);
    assert_blocked(v, RID, 0x2000, true, 0x05);
    assert_blocked(v, RID, 0x3000, true, 0x05);
    assert_int_equal(vtd_dma(v, 0x3000, false, NULL), HWM_OK);
}

static void large_leaf_dropped_if_touched(void **state)
{
    (void)state;
    vtd_leaf(v, 2, 0x200000, 0x80000083);
    assert_to(v, 0x234567, 0x80034567);
    vtd_leaf(v, 2, 0x200000, 0x90000083);
    assert_to(v, 0x3ff000, 0x801ff000);
    vtd_inv(v, PAGE(DID), 0x400000);
    assert_to(v, 0x234567, 0x80034567);
    vtd_inv(v, PAGE(DID), 0x300000 | IH);
    assert_to(v, 0x234567, 0x90034567);
}

static void fractured_leaf_stays_in_pieces(void **state)
{
    (void)state;
    hwm_set_fracture(v->h, true);
    vtd_leaf(v, 2, 0x200000, 0x80000083);
    assert_to(v, 0x200000, 0x80000000);
    assert_to(v, 0x201000, 0x80001000);
    vtd_leaf(v, 2, 0x200000, 0x90000083);
    vtd_inv(v, PAGE(DID), 0x200000);
    assert_to(v, 0x200000, 0x90000000);
    assert_to(v, 0x201000, 0x80001000);
    vtd_inv(v, PAGE(DID), 0x200000 | 9);
    assert_to(v, 0x201000, 0x90001000);
}

/* Replaces the leaf table of [0, 2 MiB) by another one. */
static void swap_table(uint64_t pa)
{
    uint64_t fresh = rig_alloc(v->r, 1), i;

    for (i = 0; i < 512; i++) {
        rig_put(v->r, fresh + i * 8, pa + (i << 12) + 3);
    }
    rig_put(v->r, rig_slot(vtd_table(v, 4, 2, 0), 2, 0), fresh | 3);
}

static void ih_keeps_paging_structures(void **state)
{
    uint64_t old;

    (void)state;
    map16(v);
    assert_int_equal(fresh16(v), 0);
    old = vtd_table(v, 4, 1, 0);
    assert_true(hwm_caches_page(v->h, old) & HWM_HOLD_TABLE);
    swap_table(0x90000000);
    vtd_inv(v, PAGE(DID), 0x0 | IH | 9);
    assert_to(v, 0x1000, 0x80001000); /* the old table still answers */
    assert_true(hwm_caches_page(v->h, old) & HWM_HOLD_TABLE);
    vtd_inv(v, PAGE(DID), 0x0 | 9);
    assert_int_equal(hwm_caches_page(v->h, old), 0);
    assert_to(v, 0x1000, 0x90001000);
}

static void ih0_drops_only_what_covers(void **state)
{
    uint64_t low, high;

    (void)state;
    map16(v);
    vtd_leaf(v, 1, 0x200000, 0xa0000003);
    assert_to(v, 0, 0x80000000);
    assert_to(v, 0x200000, 0xa0000000);
    low = vtd_table(v, 4, 1, 0);
    high = vtd_table(v, 4, 1, 0x200000);
    vtd_inv(v, PAGE(DID), 0x200000);
    assert_true(hwm_caches_page(v->h, low) & HWM_HOLD_TABLE);
    assert_int_equal(hwm_caches_page(v->h, high), 0);
    assert_to(v, 0x1000, 0x80001000);
    /*
     * one page, IH=0: the 2 MiB entry that covers it goes, with the upper levels that cover it
     * too
     */
    swap_table(0x90000000);
    vtd_inv(v, PAGE(DID), 0xf000);
    assert_to(v, 0x1000, 0x80001000); /* its own IOTLB entry was not named */
    assert_to(v, 0x2000, 0x90002000);
}

static void miss_starts_at_deepest_entry(void **state)
{
    uint64_t top;

    (void)state;
    map16(v);
    assert_to(v, 0, 0x80000000);
    top = rig_slot(v->ss, 4, 0);
    rig_put(v->r, top, 0); /* the root no longer leads anywhere */
    assert_to(v, 0x5000, 0x80005000);
    vtd_inv(v, PAGE(DID), 0x0 | IH | 9);
    assert_to(v, 0x5000, 0x80005000);
    vtd_inv(v, PAGE(DID), 0x5000);
    assert_blocked(v, RID, 0x5000, true, 0x05);
}

static void table_to_superpage(void **state)
{
    (void)state;
    map16(v);
    assert_to(v, 0, 0x80000000);
    rig_put(v->r, rig_slot(vtd_table(v, 4, 2, 0), 2, 0), 0x90000083);
    vtd_inv(v, PAGE(DID), 0x0 | IH | 9);
    assert_to(v, 0x1000, 0x80001000); /* stale directory entry */
    vtd_inv(v, PAGE(DID), 0x0 | 9);
    assert_to(v, 0x1000, 0x90001000);
}

static void two_answers_are_ambiguous(void **state)
{
    struct hwm_req req = {.iova = 0x1000, .rid = RID};
    struct hwm_xlat x;

    (void)state;
    map16(v);
    assert_to(v, 0x1000, 0x80001000);
    hwm_dma_req(v->h, &req, &x);
    assert_true(x.cached && !x.ambiguous);
    rig_put(v->r, rig_slot(vtd_table(v, 4, 2, 0), 2, 0), 0x90000083);
    hwm_speculate(v->h, RID, 0x3000, NULL); /* a walk from the root meets the superpage */
    hwm_dma_req(v->h, &req, &x);
    assert_true(x.cached && x.ambiguous);
    vtd_inv(v, PAGE(DID), 0x0 | 9);
    hwm_dma_req(v->h, &req, &x);
    assert_false(x.ambiguous);
    assert_int_equal(x.pa, 0x90001000);
}

static void absent_is_not_cached(void **state)
{
    (void)state;
    assert_blocked(v, RID, 0x1000, true, 0x05);
    assert_blocked(v, 0x0311, 0x1000, true, 0x02);
    map16(v);
    vtd_set_context(v, 0x311, v->ss | 1, DID << 8 | 2);
    assert_to(v, 0x1000, 0x80001000);
    assert_int_equal(hwm_dma(v->h, 0x0311, 0x2000, true, NULL, NULL), HWM_OK);
}

static void holds_are_exact(void **state)
{
    (void)state;
    map16(v);
    vtd_leaf(v, 2, 0x40000000, 0xa0000083);
    assert_to(v, 0x1000, 0x80001000);
    assert_to(v, 0x40000000, 0xa0000000);
    assert_int_equal(hwm_caches_page(v->h, 0x80001abc), HWM_HOLD_LEAF);
    assert_int_equal(hwm_caches_page(v->h, 0x80002000), 0);
    assert_int_equal(hwm_caches_page(v->h, 0xa0123000), HWM_HOLD_LEAF);
    assert_int_equal(hwm_caches_range(v->h, 0x80002000, 0x1fffe000), 0);
    assert_int_equal(hwm_caches_range(v->h, 0x80002000, 0x1fffe001), HWM_HOLD_LEAF);
    assert_int_equal(hwm_caches_range(v->h, 0, UINT64_C(1) << 40),
                     HWM_HOLD_LEAF | HWM_HOLD_TABLE | HWM_HOLD_ROOT);
    assert_int_equal(hwm_caches_page(v->h, v->ss), HWM_HOLD_ROOT);
    vtd_inv(v, 0xd2, 0);
    assert_int_equal(hwm_caches_range(v->h, 0, UINT64_C(1) << 40), HWM_HOLD_ROOT);
    vtd_inv(v, 0x11, 0);
    assert_int_equal(hwm_caches_range(v->h, 0, UINT64_C(1) << 40), 0);
}

static void speculation_is_silent(void **state)
{
    struct hwm_fault f;

    (void)state;
    assert_int_equal(hwm_speculate(v->h, RID, 0x1000, &f), HWM_FAULT);
    assert_int_equal(f.reason, 0x06);
    assert_false(f.recorded);
    assert_int_equal(vtd_rd(v, 0x34), 0);
    vtd_leaf(v, 1, 0x1000, UINT64_C(0x4000000080000003));
    assert_int_equal(hwm_speculate(v->h, RID, 0x1000, &f), HWM_FAULT);
    assert_int_equal(f.reason, 0x0c);
    vtd_leaf(v, 1, 0x1000, 0x80000003);
    assert_int_equal(hwm_speculate(v->h, RID, 0x1000, &f), HWM_OK);
    assert_true(hwm_cached_iova(v->h, DID, 0x1000));
}

static void unit_against_flat(void **state)
{
    struct flat *f = flat_new();
    size_t before[5], after[5];
    char msg[200];

    (void)state;
    map16(v);
    vtd_leaf(v, 1, 0x3000, 0x80003001);
    flat_map(f, 0, 16, 0x80000000, FLAT_R | FLAT_W, 0);
    flat_protect(f, 3, 1, FLAT_R);
    hwm_cache_counts(v->h, before);
    assert_true(flat_check_unit(f, v->h, RID, 0, 40, msg, sizeof(msg)));
    hwm_cache_counts(v->h, after);
    assert_memory_equal(before, after, sizeof(before)); /* looking leaves no trace */
    assert_int_equal(vtd_rd(v, 0x34), 0);
    assert_to(v, 0x5000, 0x80005000);
    remap16(v);
    flat_replace(f, 0, 16, 0x90000000, FLAT_R | FLAT_W, 0);
    assert_true(flat_check_unit(f, v->h, RID, 0, 5, msg, sizeof(msg)));
    assert_false(flat_check_unit(f, v->h, RID, 0, 16, msg, sizeof(msg))); /* page 5 is cached */
    assert_non_null(strstr(msg, "page 0x5"));
    vtd_inv(v, PAGE(DID), 0x5000);
    assert_true(flat_check_unit(f, v->h, RID, 0, 16, msg, sizeof(msg)));
    flat_unmap(f, 7, 1);
    assert_false(flat_check_unit(f, v->h, RID, 0, 16, msg, sizeof(msg)));
    assert_non_null(strstr(msg, "should be blocked"));
    flat_free(f);
}

static void log_says_what_was_told(void **state)
{
    const struct hwm_told *log;
    size_t nr;

    (void)state;
    vtd_inv(v, PAGE(DID), 0x200000 | IH | 9);
    log = hwm_log(v->h, &nr);
    assert_int_equal(nr, 2);
    assert_int_equal(log[0].kind, HWM_TLB_PAGE);
    assert_int_equal(log[0].did, DID);
    assert_int_equal(log[0].iova, 0x200000);
    assert_int_equal(log[0].lg2, 21);
    assert_true(log[0].leaf_only);
    assert_int_equal(log[1].kind, HWM_WAIT);
    assert_true(log[1].seq > log[0].seq);
    assert_string_equal(hwm_kind_name(log[1].kind), "wait");
    assert_true(v->r->flushes > 0);
    hwm_log_reset(v->h);
    hwm_log(v->h, &nr);
    assert_int_equal(nr, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(page_selective_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(rights_stay_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(rights_are_anded, setup, teardown),
        cmocka_unit_test_setup_teardown(large_leaf_dropped_if_touched, setup, teardown),
        cmocka_unit_test_setup_teardown(fractured_leaf_stays_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(ih_keeps_paging_structures, setup, teardown),
        cmocka_unit_test_setup_teardown(ih0_drops_only_what_covers, setup, teardown),
        cmocka_unit_test_setup_teardown(miss_starts_at_deepest_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(table_to_superpage, setup, teardown),
        cmocka_unit_test_setup_teardown(two_answers_are_ambiguous, setup, teardown),
        cmocka_unit_test_setup_teardown(absent_is_not_cached, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(speculation_is_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(unit_against_flat, setup, teardown),
        cmocka_unit_test_setup_teardown(log_says_what_was_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
