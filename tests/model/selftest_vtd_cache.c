/* SPDX-License-Identifier: MIT */
/* The model's VT-d caches: what stays stale, and exactly what each invalidation drops. */
#include "selftest_vtd.h"

#define PAGE(did) ((uint64_t)(did) << 16 | 0xf2)
#define IH 0x40u

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

/* 16 pages from 0 to 0x80000000 */
static void map16(void)
{
    uint64_t i;

    for (i = 0; i < 16; i++) {
        vtd_leaf(v, 1, i << 12, 0x80000803 + (i << 12));
    }
}

static void remap16(void)
{
    uint64_t i;

    for (i = 0; i < 16; i++) {
        vtd_leaf(v, 1, i << 12, 0x90000803 + (i << 12));
    }
}

/* Which of the 16 pages are answered from memory as it is now: bit n = page n. */
static unsigned fresh16(void)
{
    unsigned i, mask = 0;
    uint64_t pa;

    for (i = 0; i < 16; i++) {
        assert_int_equal(vtd_dma(v, (uint64_t)i << 12, false, &pa), HWM_OK);
        mask |= pa >= 0x90000000 ? 1u << i : 0;
    }
    return mask;
}

static void page_selective_is_exact(void **state)
{
    static const struct { uint64_t w0, w1; unsigned fresh; } t[] = {
        { PAGE(DID), 0x5000, 1u << 5 },
        { PAGE(DID), 0x5000 | IH, 1u << 5 },
        { PAGE(DID), 0x4000 | 2, 0xf0 },
        { PAGE(DID), 0x0000 | 4, 0xffff },
        { PAGE(DID), 0x8000 | 3, 0xff00 },
        { PAGE(DID), 0x10000 | 4, 0 },
        { PAGE(DID + 1), 0x0000 | 4, 0 },
        { (uint64_t)DID << 16 | 0xe2, 0, 0xffff },
        { (uint64_t)(DID + 1) << 16 | 0xe2, 0, 0 },
        { 0xd2, 0, 0xffff },
        { 0x11, 0, 0 }, /* the context cache alone */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        map16();
        vtd_inv(v, 0xd2, 0);
        assert_int_equal(fresh16(), 0);
        remap16();
        assert_int_equal(fresh16(), 0);
        vtd_inv(v, t[i].w0, t[i].w1);
        assert_int_equal(fresh16(), t[i].fresh);
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
    map16();
    assert_int_equal(fresh16(), 0);
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
    map16();
    vtd_leaf(v, 1, 0x200000, 0xa0000003);
    assert_to(v, 0, 0x80000000);
    assert_to(v, 0x200000, 0xa0000000);
    low = vtd_table(v, 4, 1, 0);
    high = vtd_table(v, 4, 1, 0x200000);
    vtd_inv(v, PAGE(DID), 0x200000);
    assert_true(hwm_caches_page(v->h, low) & HWM_HOLD_TABLE);
    assert_int_equal(hwm_caches_page(v->h, high), 0);
    assert_to(v, 0x1000, 0x80001000);
    /* one page, IH=0: the 2 MiB entry that covers it goes, with the upper levels that cover it too */
    swap_table(0x90000000);
    vtd_inv(v, PAGE(DID), 0xf000);
    assert_to(v, 0x1000, 0x80001000); /* its own IOTLB entry was not named */
    assert_to(v, 0x2000, 0x90002000);
}

static void miss_starts_at_deepest_entry(void **state)
{
    uint64_t top;

    (void)state;
    map16();
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
    map16();
    assert_to(v, 0, 0x80000000);
    rig_put(v->r, rig_slot(vtd_table(v, 4, 2, 0), 2, 0), 0x90000083);
    vtd_inv(v, PAGE(DID), 0x0 | IH | 9);
    assert_to(v, 0x1000, 0x80001000); /* stale directory entry */
    vtd_inv(v, PAGE(DID), 0x0 | 9);
    assert_to(v, 0x1000, 0x90001000);
}

static void two_answers_are_ambiguous(void **state)
{
    struct hwm_req req = { .iova = 0x1000, .rid = RID };
    struct hwm_xlat x;

    (void)state;
    map16();
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

static void context_is_cached(void **state)
{
    uint64_t other = rig_alloc(v->r, 1), old = v->ss;

    (void)state;
    map16();
    assert_to(v, 0x1000, 0x80001000);
    assert_true(hwm_caches_page(v->h, old) & HWM_HOLD_ROOT);
    v->ss = other;
    remap16();
    vtd_set_context(v, RID, other | 1, 0x43 << 8 | 2);
    vtd_inv(v, 0xd2, 0);
    assert_to(v, 0x2000, 0x80002000);                       /* old context, old table */
    vtd_inv(v, UINT64_C(0x0000031100420031), 0);            /* another device */
    assert_to(v, 0x3000, 0x80003000);
    vtd_inv(v, UINT64_C(0x0000031000430031), 0);            /* the new id instead of the old */
    assert_to(v, 0x4000, 0x80004000);
    assert_true(hwm_caches_page(v->h, old) & HWM_HOLD_ROOT);
    vtd_inv(v, UINT64_C(0x0000031000420031), 0);
    assert_int_equal(hwm_caches_page(v->h, old) & HWM_HOLD_ROOT, 0);
    assert_to(v, 0x2000, 0x90002000);                       /* tagged with the new id */
    assert_true(hwm_caches_page(v->h, 0x80002000) & HWM_HOLD_LEAF);
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_int_equal(hwm_caches_page(v->h, 0x80002000), 0);
    assert_clean(v->h);
}

static void context_function_mask(void **state)
{
    static const uint16_t fm_covers[4] = { 1, 0x11, 0x55, 0xff }; /* functions of the device dropped for function 0 */
    unsigned fm, fn;
    size_t counts[5];

    (void)state;
    map16();
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
                assert_int_equal(hwm_dma(v->h, (uint16_t)(0x0320 + fn), 0, false, NULL, NULL), HWM_OK);
            }
        }
    }
    vtd_inv(v, 0x0000000000420021, 0); /* domain-selective */
    hwm_cache_counts(v->h, counts);
    assert_int_equal(counts[0], 0);
}

static void domain_id_is_the_tag(void **state)
{
    uint64_t pa;

    (void)state;
    /* two devices, one domain id, two tables: forbidden, and the caches mix */
    map16();
    assert_to(v, 0x1000, 0x80001000);
    v->ss = rig_alloc(v->r, 1);
    remap16();
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
    map16();
    vtd_inv(v, UINT64_C(0x0000031800010031), 0);
    assert_int_equal(hwm_dma(v->h, 0x318, 0x5678, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x5678);
    vtd_inv(v, 0x00000000000100e2, 0);
    assert_int_equal(hwm_dma(v->h, 0x318, 0x5678, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80005678);
    assert_clean(v->h);
}

static void absent_is_not_cached(void **state)
{
    (void)state;
    assert_blocked(v, RID, 0x1000, true, 0x05);
    assert_blocked(v, 0x0311, 0x1000, true, 0x02);
    map16();
    vtd_set_context(v, 0x311, v->ss | 1, DID << 8 | 2);
    assert_to(v, 0x1000, 0x80001000);
    assert_int_equal(hwm_dma(v->h, 0x0311, 0x2000, true, NULL, NULL), HWM_OK);
}

static void caching_mode_leaf(void **state)
{
    (void)state;
    map16();
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
    map16();
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
    map16();
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

static void holds_are_exact(void **state)
{
    (void)state;
    map16();
    vtd_leaf(v, 2, 0x40000000, 0xa0000083);
    assert_to(v, 0x1000, 0x80001000);
    assert_to(v, 0x40000000, 0xa0000000);
    assert_int_equal(hwm_caches_page(v->h, 0x80001abc), HWM_HOLD_LEAF);
    assert_int_equal(hwm_caches_page(v->h, 0x80002000), 0);
    assert_int_equal(hwm_caches_page(v->h, 0xa0123000), HWM_HOLD_LEAF);
    assert_int_equal(hwm_caches_range(v->h, 0x80002000, 0x1fffe000), 0);
    assert_int_equal(hwm_caches_range(v->h, 0x80002000, 0x1fffe001), HWM_HOLD_LEAF);
    assert_int_equal(hwm_caches_range(v->h, 0, UINT64_C(1) << 40), HWM_HOLD_LEAF | HWM_HOLD_TABLE | HWM_HOLD_ROOT);
    assert_int_equal(hwm_caches_page(v->h, v->ss), HWM_HOLD_ROOT);
    vtd_inv(v, 0xd2, 0);
    assert_int_equal(hwm_caches_range(v->h, 0, UINT64_C(1) << 40), HWM_HOLD_ROOT);
    vtd_inv(v, 0x11, 0);
    assert_int_equal(hwm_caches_range(v->h, 0, UINT64_C(1) << 40), 0);
}

/* A context invalidated after the IOTLB lets the old context fill the IOTLB in between (hwspec 9.3). */
static void watch_refills_between_commands(void **state)
{
    uint64_t old = v->ss;

    (void)state;
    map16();
    hwm_watch(v->h, RID, 0x1000);
    hwm_watch_run(v->h);
    v->ss = rig_alloc(v->r, 1);
    remap16();
    vtd_set_context(v, RID, v->ss | 1, DID << 8 | 2);
    vtd_desc(v, 0x00000000004200e2, 0);
    vtd_inv(v, UINT64_C(0x0000031000420031), 0);
    assert_to(v, 0x1000, 0x80001000);
    assert_int_equal(hwm_caches_page(v->h, old), 0);
    vtd_desc(v, UINT64_C(0x0000031000420031), 0);
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_to(v, 0x1000, 0x90001000);
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

static void root_pointer_keeps_caches(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    map16();
    assert_to(v, 0x1000, 0x80001000);
    remap16();
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
    map16();
    assert_to(v, 0x1000, 0x80001000);
    remap16();
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
    map16();
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_FAULT); /* TT 0 blocks ATS */
    vtd_set_context(v, RID, v->ss | 5, DID << 8 | 2);
    vtd_inv(v, 0x11, 0);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x1000, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, 0x80001000);
    assert_int_equal(hwm_dma_ats(v->h, RID, 0x5000, true, &pa, NULL), HWM_OK);
    remap16();
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
        cmocka_unit_test_setup_teardown(large_leaf_dropped_if_touched, setup, teardown),
        cmocka_unit_test_setup_teardown(fractured_leaf_stays_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(ih_keeps_paging_structures, setup, teardown),
        cmocka_unit_test_setup_teardown(ih0_drops_only_what_covers, setup, teardown),
        cmocka_unit_test_setup_teardown(miss_starts_at_deepest_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(table_to_superpage, setup, teardown),
        cmocka_unit_test_setup_teardown(two_answers_are_ambiguous, setup, teardown),
        cmocka_unit_test_setup_teardown(context_is_cached, setup, teardown),
        cmocka_unit_test_setup_teardown(context_function_mask, setup, teardown),
        cmocka_unit_test_setup_teardown(domain_id_is_the_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(pass_through_is_tagged_too, setup, teardown),
        cmocka_unit_test_setup_teardown(absent_is_not_cached, setup, teardown),
        cmocka_unit_test_setup_teardown(caching_mode_leaf, setup_cm, teardown),
        cmocka_unit_test_setup_teardown(caching_mode_table, setup_cm, teardown),
        cmocka_unit_test_setup_teardown(caching_mode_context, setup_cm, teardown),
        cmocka_unit_test_setup_teardown(holds_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(watch_refills_between_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(speculation_is_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(root_pointer_keeps_caches, setup, teardown),
        cmocka_unit_test_teardown(device_tlb, teardown),
        cmocka_unit_test_setup_teardown(log_says_what_was_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
