/* SPDX-License-Identifier: MIT */
/* The model's AMD nested translation: v2 tables of a guest before a v1 table (hwspec 6.7, 6.10). */
#include "selftest_amd.h"

#define GV_GIOV   (UINT64_C(3) << 54)
#define RIGHTS    (UINT64_C(3) << 61)
#define TRP       (UINT64_C(1) << 58)
#define RO(entry) ((entry) & ~(UINT64_C(1) << 62))
#define PTE       UINT64_C(0x67) /* present, writable, user, accessed, dirty */

static uint64_t next_gpa, gcr3, v2;

/* A page of the guest, somewhere else in host memory. */
static uint64_t gpage(void)
{
    uint64_t gpa = next_gpa;

    next_gpa += 0x1000;
    leaf(1, gpa, V1_LEAF(rig_alloc(r, 1)));
    return gpa;
}

static uint64_t v1_slot(uint64_t gpa)
{
    return rig_slot(table(4, 1, gpa), 1, gpa);
}

static uint64_t spa(uint64_t gpa)
{
    return (rig_get(r, v1_slot(gpa)) & UINT64_C(0x000ffffffffff000)) | (gpa & 0xfff);
}

static void gput(uint64_t gpa, uint64_t val)
{
    rig_put(r, spa(gpa), val);
}

/* Guest-physical address of the slot of iova at a level. */
static uint64_t v2_at(uint64_t top, unsigned levels, unsigned level, uint64_t iova)
{
    uint64_t t = top, slot;

    for (; levels > level; levels--) {
        slot = rig_slot(t, levels, iova);
        if (!rig_get(r, spa(slot))) {
            gput(slot, gpage() | PTE);
        }
        t = rig_get(r, spa(slot)) & UINT64_C(0x000ffffffffff000);
    }
    return rig_slot(t, level, iova);
}

static void map(uint64_t iova, uint64_t gpa)
{
    gput(v2_at(v2, 4, 1, iova), gpa | PTE);
}

static void enter(uint64_t rights, unsigned glx)
{
    dte(RID, root | 0x803 | rights | GV_GIOV | (gcr3 >> 12 & 7) << 58 | (uint64_t)glx << 56,
        DOM | (gcr3 >> 15 & 0xffff) << 16 | (gcr3 >> 31) << 43);
    inv(UINT64_C(0x8000000000000000), 0);
}

static int up(bool np_cache)
{
    struct hwm_amd_cfg cfg;

    hwm_amd_cfg_default(&cfg);
    cfg.np_cache = np_cache;
    cfg.gt_sup = cfg.gio_sup = cfg.gcr3_trp = true;
    cfg.glx_sup = 2;
    cfg.guest_levels = 5;
    cfg.pas_max = 19;
    start(&cfg);
    next_gpa = UINT64_C(0x123456000);
    wr64(0x18, TRP | 0x11404);
    wr64(0x18, TRP | 0x11405);
    gcr3 = gpage();
    v2 = gpage();
    gput(gcr3, v2 | 1);
    gput(gcr3 + 5 * 8, v2 | 1);
    enter(RIGHTS, 0);
    hwm_log_reset(h);
    return 0;
}

static int setup_nest(void **state)
{
    (void)state;
    return up(false);
}

static int setup_np_cache(void **state)
{
    (void)state;
    return up(true);
}

static enum hwm_result dma(int pasid, uint64_t iova, bool write, struct hwm_xlat *x)
{
    struct hwm_req req = {.iova = iova, .rid = RID, .write = write, .has_pasid = pasid >= 0};

    req.pasid = pasid >= 0 ? (uint32_t)pasid : 0;
    return hwm_dma_req(h, &req, x);
}

static void goes(int pasid, uint64_t iova, uint64_t want)
{
    struct hwm_xlat x;

    assert_int_equal(dma(pasid, iova, true, &x), HWM_OK);
    assert_int_equal(x.pa, want);
}

static void stops(int pasid, uint64_t iova, bool write, unsigned flags, uint64_t addr)
{
    struct hwm_xlat x;

    assert_int_equal(dma(pasid, iova, write, &x), HWM_FAULT);
    assert_int_equal(x.fault.reason, IO_FAULT);
    assert_int_equal(x.fault.flags, flags | (write ? 0x20 : 0));
    assert_int_equal(x.fault.addr, addr);
}

static void both_tables(void **state)
{
    uint64_t a = gpage();

    (void)state;
    map(0x1000, a);
    goes(-1, 0x1abc, spa(a) + 0xabc);
    goes(5, 0x1abc, spa(a) + 0xabc);
    goes(-1, UINT64_C(0xffff000000001000), spa(a)); /* GIoV: the upper bits are not decoded */
    stops(5, UINT64_C(0x0001000000001000), true, 1, UINT64_C(0x0001000000001000));
    stops(6, 0x1000, true, 1, 0x1000);   /* no GCR3 entry */
    stops(512, 0x1000, true, 1, 0x1000); /* beyond it */
    stops(5, 0x3000, true, 1, 0x3000);   /* no v2 entry */
    assert_clean(h);
}

/* Whatever the guest names, and the v1 table does not have, is never read. */
static void all_is_guest_physical(void **state)
{
    uint64_t a = gpage(), was, *gone[] = {&gcr3, &v2, &a}, t;

    (void)state;
    map(0x1000, a);
    for (unsigned i = 0; i < 3; i++) {
        was = rig_get(r, v1_slot(*gone[i]));
        rig_put(r, v1_slot(*gone[i]), 0);
        stops(-1, 0x1010, true, 0, *gone[i] + (i == 2 ? 0x10 : 0));
        stops(5, 0x1010, false, 0, *gone[i] + (i == 2 ? 0x10 : 0));
        rig_put(r, v1_slot(*gone[i]), was);
    }
    inv_pages(DOM, ALL_ADDR | 3);
    t = v2_at(v2, 4, 2, 0x1000);
    was = rig_get(r, spa(t));
    gput(t, UINT64_C(0x777777000) | PTE); /* a table where the guest has no memory */
    stops(-1, 0x1000, true, 0, UINT64_C(0x777777000));
    gput(t, UINT64_C(1) << 48 | was); /* four levels of v1 would lead to the same table */
    stops(-1, 0x1000, true, 0, UINT64_C(1) << 48 | (was & UINT64_C(0x000ffffffffff000)));
    gput(t, was);
    goes(-1, 0x1000, spa(a));
    assert_clean(h);
}

static void rights_of_both(void **state)
{
    uint64_t a = gpage(), b = gpage(), slot, e;
    struct hwm_xlat x;

    (void)state;
    map(0x1000, a);
    map(0x2000, b);
    rig_put(r, v1_slot(a), RO(rig_get(r, v1_slot(a))));
    gput(v2_at(v2, 4, 1, 0x2000), b | 0x25);
    for (uint64_t iova = 0x1000; iova <= 0x2000; iova += 0x1000) {
        stops(5, iova, true, 0x51, iova);
        assert_int_equal(dma(5, iova, false, &x), HWM_OK);
        assert_true(x.r && !x.w);
    }
    map(0x3000, b);
    enter(UINT64_C(1) << 61, 0);
    stops(5, 0x3000, true, 0x50, 0x3000); /* the entry itself */
    enter(RIGHTS, 0);
    /* A table in memory that the guest may only read: fine while there is nothing to be noted. */
    slot = v2_at(v2, 4, 1, 0x3000);
    e = rig_get(r, v1_slot(slot));
    rig_put(r, v1_slot(slot), RO(e));
    goes(5, 0x3000, spa(b));
    inv(UINT64_C(0x8000000000000000), 0);
    rig_put(r, spa(slot), b | 7);
    assert_int_equal(dma(5, 0x3000, true, &x), HWM_FAULT);
    assert_int_equal(rig_get(r, spa(slot)), b | 7);
    rig_put(r, v1_slot(slot), e);
    inv(UINT64_C(0x8000000000000000), 0);
    goes(5, 0x3000, spa(b));
    assert_int_equal(rig_get(r, spa(slot)), b | PTE);
    assert_clean(h);
}

static void gcr3_tables_and_depths(void **state)
{
    uint64_t a = gpage(), b = gpage(), top = gpage(), mid = gpage(), v2_5 = gpage();

    (void)state;
    map(0x1000, a);
    gput(top, mid | 1);
    gput(mid, gcr3 | 1);
    gcr3 = mid; /* two levels */
    enter(RIGHTS, 1);
    goes(5, 0x1000, spa(a));
    stops(512, 0x1000, true, 1, 0x1000);
    gcr3 = top; /* three */
    enter(RIGHTS, 2);
    goes(5, 0x1000, spa(a));
    goes(-1, 0x1000, spa(a));
    gput(v2_at(v2_5, 5, 1, UINT64_C(0xffff12345000)), b | PTE); /* five levels of v2 */
    rig_put(r, devtab + RID * 32 + 16, UINT64_C(1) << 54);
    gput(rig_get(r, spa(mid)) & ~UINT64_C(1), v2_5 | 1);
    inv(UINT64_C(0x8000000000000000), 0);
    goes(-1, UINT64_C(0xffff12345678), spa(b) + 0x678);
    assert_clean(h);
}

static void sizes(void **state)
{
    uint64_t big = UINT64_C(0x40000000), small = gpage();
    struct hwm_xlat x;

    (void)state;
    leaf(2, big, V1_LEAF(UINT64_C(0x80000000)));
    map(0x1000, big + 0x5000);
    assert_int_equal(dma(5, 0x1000, true, &x), HWM_OK);
    assert_int_equal(x.pa, 0x80005000);
    assert_int_equal(x.lg2, 12);
    gput(v2_at(v2, 4, 2, 0x200000), big | PTE | 0x80);
    assert_int_equal(dma(5, 0x312345, true, &x), HWM_OK);
    assert_int_equal(x.pa, 0x80112345);
    assert_int_equal(x.lg2, 21);
    gput(v2_at(v2, 4, 2, 0x400000), (small & ~UINT64_C(0x1fffff)) | PTE | 0x80);
    assert_int_equal(dma(5, 0x400000 + (small & 0x1fffff), true, &x), HWM_OK);
    assert_int_equal(x.pa, spa(small));
    assert_int_equal(x.lg2, 12);
    stops(5, 0x400000, true, 0, small & ~UINT64_C(0x1fffff)); /* the guest has no memory there */
    assert_clean(h);
}

static void caches_of_v2(void **state)
{
    uint64_t a = gpage(), b = gpage(), c = gpage(), old = v2;

    (void)state;
    map(0x1000, a);
    map(0x2000, b);
    goes(-1, 0x1000, spa(a));
    goes(5, 0x1000, spa(a));
    goes(5, 0x2000, spa(b));
    map(0x1000, c);
    map(0x2000, c);
    goes(5, 0x1000, spa(a));
    inv_pages(DOM, 0x1002); /* without GN it is about guest-physical addresses */
    inv_pages(DOM, 0x1ff003);
    inv(UINT64_C(0x3000004200000006), ALL_ADDR | 7); /* another PASID, another DomainID */
    inv(UINT64_C(0x3000004300000005), ALL_ADDR | 7);
    goes(5, 0x1000, spa(a));
    inv(UINT64_C(0x3000004200000005), 0x1006);
    goes(5, 0x1000, spa(c));
    goes(5, 0x2000, spa(b));
    goes(-1, 0x1000, spa(a));
    inv(UINT64_C(0x3000004200000000), 0x1006);
    goes(-1, 0x1000, spa(c));
    /* Another v2 table: the GCR3 entry is cached, and tables too. */
    v2 = gpage();
    map(0x2000, a);
    gput(gcr3 + 5 * 8, v2 | 1);
    inv(UINT64_C(0x3000004200000005), ALL_ADDR | 5); /* PDE=0 */
    inv(UINT64_C(0x3000004200000005), 0x2006);
    goes(5, 0x2000, spa(c));
    assert_true(hwm_caches_page(h, spa(old)) & HWM_HOLD_ROOT);
    inv(UINT64_C(0x3000004200000005), ALL_ADDR | 7);
    goes(5, 0x2000, spa(a));
    assert_clean(h);
}

static void caches_of_v1(void **state)
{
    uint64_t a = gpage(), was = spa(a), now = rig_alloc(r, 1), pages[2];

    (void)state;
    map(0x1000, a);
    goes(5, 0x1000, was);
    goes(-1, 0x1000, was);
    rig_put(r, v1_slot(a), V1_LEAF(now));
    inv_pages(DOM, a | 2); /* nested translations know nothing of this address */
    inv_pages(DOM, (a & ~UINT64_C(0x1fffff)) | 0xff003);
    goes(5, 0x1000, was);
    assert_true(hwm_caches_page(h, was) & HWM_HOLD_LEAF);
    inv_pages(DOM + 1, ALL_ADDR | 3);
    goes(5, 0x1000, was);
    inv_pages(DOM, ALL_ADDR | 3);
    assert_int_equal(hwm_caches_page(h, was), 0);
    goes(5, 0x1000, now);
    goes(-1, 0x1000, now);
    /* The guest's own tables are pages like any other to the host. */
    pages[0] = spa(v2);
    pages[1] = spa(v2_at(v2, 4, 1, 0x1000)) & ~UINT64_C(0xfff);
    assert_true(hwm_caches_page(h, pages[0]) & HWM_HOLD_ROOT);
    assert_true(hwm_caches_page(h, pages[1]) & HWM_HOLD_TABLE);
    inv_pages(DOM, ALL_ADDR | 3);
    assert_int_equal(hwm_caches_page(h, pages[0]) | hwm_caches_page(h, pages[1]), 0);
    assert_clean(h);
}

static void caches_of_entries(void **state)
{
    uint64_t a = gpage(), b = gpage(), old = v2;

    (void)state;
    map(0x1000, a);
    goes(5, 0x1000, spa(a));
    v2 = gpage();
    map(0x1000, b);
    map(UINT64_C(0x8000000000), b);
    gput(gcr3 + 5 * 8, v2 | 1);
    stops(5, UINT64_C(0x8000000000), true, 1, UINT64_C(0x8000000000));
    inv_dte(RID + 1);
    assert_true(hwm_caches_page(h, spa(old)) & HWM_HOLD_ROOT);
    inv_dte(RID); /* the way to the table goes, what was translated stays */
    assert_false(hwm_caches_page(h, spa(old)) & HWM_HOLD_ROOT);
    goes(5, UINT64_C(0x8000000000), spa(b));
    goes(5, 0x1000, spa(a));
    inv_pages(DOM, ALL_ADDR | 3);
    goes(5, 0x1000, spa(b));
    assert_clean(h);
}

static void events(void **state)
{
    uint64_t a = gpage();

    (void)state;
    map(0x1000, a);
    gput(gcr3 + 7 * 8, gpage() | 1);
    stops(7, 0x5000, false, 1, 0x5000);
    assert_int_equal(rig_get(r, evlog), UINT64_C(0x2001000700000310));
    assert_int_equal(rig_get(r, evlog + 8), 0x5000);
    stops(-1, 0x5000, false, 1, 0x5000); /* as PASID 0 */
    assert_int_equal(rig_get(r, evlog + 16), UINT64_C(0x2001000000000310));
    rig_put(r, v1_slot(a), 0);
    stops(5, 0x1000, false, 0, a); /* v1: DomainID, and a guest-physical address */
    assert_int_equal(rig_get(r, evlog + 32), UINT64_C(0x2000004200000310));
    assert_int_equal(rig_get(r, evlog + 40), a);
    assert_clean(h);
}

static void absence_is_cached(void **state)
{
    uint64_t a = gpage();

    (void)state;
    stops(-1, 0x1000, true, 1, 0x1000);
    map(0x1000, a);
    stops(-1, 0x1000, true, 1, 0x1000);
    inv(UINT64_C(0x3000004200000000), 0x1004);
    goes(-1, 0x1000, spa(a));
    map(0x2000, next_gpa);
    stops(-1, 0x2000, true, 0, next_gpa); /* v1 has nothing there */
    a = gpage();
    stops(-1, 0x2000, true, 1, 0x2000);
    inv_pages(DOM, a | 2);
    stops(-1, 0x2000, true, 1, 0x2000);
    inv_pages(DOM, ALL_ADDR | 3);
    goes(-1, 0x2000, spa(a));
    assert_clean(h);
}

#define NEST(test) cmocka_unit_test_setup_teardown(test, setup_nest, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NEST(both_tables),
        NEST(all_is_guest_physical),
        NEST(rights_of_both),
        NEST(gcr3_tables_and_depths),
        NEST(sizes),
        NEST(caches_of_v2),
        NEST(caches_of_v1),
        NEST(caches_of_entries),
        NEST(events),
        cmocka_unit_test_setup_teardown(absence_is_cached, setup_np_cache, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
