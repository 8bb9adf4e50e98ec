/* SPDX-License-Identifier: MIT */
/*
 * The model's VT-d nested translation: first-stage tables of a guest before a second-stage table
 * (hwspec 2.5, 4.2, 5.3).
 */
#include "selftest_rig.h"

#define RID  0x0310u
#define DID  0x42u
#define ADDR UINT64_C(0x000ffffffffff000)
#define PTE  UINT64_C(0x67) /* present, writable, user, accessed, dirty */

static struct rig *r;
static struct hwm *h;
static uint64_t dir, pasids, ss, fs, queue, wait_pa, next_gpa;
static unsigned tail, ss_levels;
static uint32_t seq;

static void gcmd(uint32_t set)
{
    hwm_mmio_write(h, 0x18, 4, (hwm_mmio_read(h, 0x1c, 4) & 0x96ffffff) | set);
}

static void desc(uint64_t w0, uint64_t w1)
{
    rig_put(r, queue + tail, w0);
    rig_put(r, queue + tail + 8, w1);
    tail = (tail + 32) & 0xfff;
}

static void inv(uint64_t w0, uint64_t w1)
{
    desc(w0, w1);
    desc(0x25 | (uint64_t)++seq << 32, wait_pa);
    hwm_mmio_write(h, 0x88, 4, tail);
    assert_int_equal(rig_read32(r, wait_pa), seq);
}

/* Invalidations of a domain, of pages of it, of a PASID, of pages of that. */
static void inv_domain(unsigned did)
{
    inv(0xe2 | (uint64_t)did << 16, 0);
}

static void inv_pages(unsigned did, uint64_t addr_word)
{
    inv(0xf2 | (uint64_t)did << 16, addr_word);
}

static void inv_pasid(unsigned did, unsigned pasid)
{
    inv(0x26 | (uint64_t)did << 16 | (uint64_t)pasid << 32, 0);
}

static void inv_pasid_pages(unsigned did, unsigned pasid, uint64_t addr_word)
{
    inv(0x36 | (uint64_t)did << 16 | (uint64_t)pasid << 32, addr_word);
}

static uint64_t ss_slot(uint64_t gpa)
{
    uint64_t t = ss, slot;
    unsigned level;

    for (level = ss_levels; level > 1; level--) {
        slot = rig_slot(t, level, gpa);
        if (!rig_get(r, slot)) {
            rig_put(r, slot, rig_alloc(r, 1) | 3);
        }
        t = rig_get(r, slot) & ADDR;
    }
    return rig_slot(t, 1, gpa);
}

/* A page of the guest, somewhere else in host memory. */
static uint64_t gpage(void)
{
    uint64_t gpa = next_gpa;

    next_gpa += 0x1000;
    rig_put(r, ss_slot(gpa), rig_alloc(r, 1) | 3);
    return gpa;
}

static uint64_t spa(uint64_t gpa)
{
    return (rig_get(r, ss_slot(gpa)) & ADDR) | (gpa & 0xfff);
}

static uint64_t gget(uint64_t gpa)
{
    return rig_get(r, spa(gpa));
}

static void gput(uint64_t gpa, uint64_t val)
{
    rig_put(r, spa(gpa), val);
}

/* Guest-physical address of the slot of iova at a level. */
static uint64_t fs_at(uint64_t top, unsigned levels, unsigned level, uint64_t iova)
{
    uint64_t t = top, slot;

    for (; levels > level; levels--) {
        slot = rig_slot(t, levels, iova);
        if (!gget(slot)) {
            gput(slot, gpage() | PTE);
        }
        t = gget(slot) & ADDR;
    }
    return rig_slot(t, level, iova);
}

static void map(uint64_t iova, uint64_t gpa)
{
    gput(fs_at(fs, 4, 1, iova), gpa | PTE);
}

static void pasid_entry(unsigned pasid, uint64_t w0, uint64_t w1, uint64_t w2)
{
    uint64_t pa = pasids + pasid * 64;

    rig_put(r, pa + 8, w1);
    rig_put(r, pa + 16, w2);
    rig_put(r, pa, w0);
}

static uint64_t nested(void)
{
    return ss | 0xc1 | (uint64_t)(ss_levels - 2) << 2;
}

static void start(const struct hwm_vtd_cfg *cfg)
{
    uint64_t root, lower;

    r = rig_new();
    h = r->h = hwm_vtd_new(cfg, &r->mem);
    root = rig_alloc(r, 1);
    lower = rig_alloc(r, 1);
    dir = rig_alloc(r, 1);
    pasids = rig_alloc(r, 1);
    ss = rig_alloc(r, 1);
    queue = rig_alloc(r, 1);
    wait_pa = rig_alloc(r, 1);
    seq = 0;
    tail = 0;
    ss_levels = cfg->sagaw == 8 ? 5 : 4;
    next_gpa = UINT64_C(0x123456000);
    fs = gpage();
    rig_put(r, root + 3 * 16, lower | 1);
    rig_put(r, lower + (RID & 0x7f) * 32, dir | 0x9);
    rig_put(r, dir, pasids | 1);
    pasid_entry(0, nested(), 0x800000 | DID, fs);
    pasid_entry(5, nested(), 0x800000 | DID, fs);
    hwm_mmio_write(h, 0x90, 8, queue | 0x800);
    gcmd(1u << 26);
    hwm_mmio_write(h, 0x20, 8, root | 0x400);
    gcmd(1u << 30);
    inv(0x11, 0);
    inv(0x37, 0);
    inv(0xd2, 0);
    gcmd(1u << 31);
    assert_clean(h);
}

static int up(bool nest, bool cm, unsigned levels)
{
    struct hwm_vtd_cfg cfg;

    hwm_vtd_cfg_default(&cfg);
    cfg.smts = cfg.ssts = cfg.fsts = cfg.smpwcs = cfg.ssads = cfg.fs5lp = true;
    cfg.pss = 19;
    cfg.nest = nest;
    cfg.cm = cm;
    cfg.sagaw = 1u << (levels - 2);
    cfg.mgaw = 12 + 9 * levels;
    start(&cfg);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return up(true, false, 4);
}

static int setup_cm(void **state)
{
    (void)state;
    return up(true, true, 4);
}

static int setup_5_levels(void **state)
{
    (void)state;
    return up(true, false, 5);
}

static int setup_without(void **state)
{
    (void)state;
    return up(false, false, 4);
}

static int teardown(void **state)
{
    (void)state;
    rig_free(r);
    return 0;
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
    assert_false(x.ambiguous);
}

static void stops(int pasid, uint64_t iova, bool write, unsigned reason)
{
    struct hwm_xlat x;

    assert_int_equal(dma(pasid, iova, write, &x), HWM_FAULT);
    assert_int_equal(x.fault.reason, reason);
}

static void both_tables(void **state)
{
    uint64_t a = gpage();

    (void)state;
    assert_true(hwm_mmio_read(h, 0x10, 8) >> 26 & 1);
    map(0x1000, a);
    goes(-1, 0x1abc, spa(a) + 0xabc);
    goes(5, 0x1abc, spa(a) + 0xabc);
    stops(5, 0x3000, true, 0x71);
    stops(5, UINT64_C(1) << 47, true, 0x80);
    map(UINT64_C(0xffffffffffff7000), a);
    goes(5, UINT64_C(0xffffffffffff7000), spa(a));
    gput(fs_at(fs, 4, 1, 0x4000), a | PTE | UINT64_C(1) << 63);
    stops(5, 0x4000, false, 0x72);
    gput(fs_at(fs, 4, 1, 0x5000), a | 0x63);
    stops(5, 0x5000, false, 0x81);
    assert_clean(h);
}

static void without_the_capability(void **state)
{
    (void)state;
    assert_false(hwm_mmio_read(h, 0x10, 8) >> 26 & 1);
    stops(-1, 0x1000, true, 0x5b);
}

static void entries(void **state)
{
    (void)state;
    pasid_entry(6, nested() - 4, 0x800000 | DID, fs); /* 3 levels of second stage */
    stops(6, 0, true, 0x5b);
    pasid_entry(7, nested(), 0x800000 | DID, fs | 8);
    stops(7, 0, true, 0x5b);
    pasid_entry(8, nested(), 0x800000 | DID, fs | UINT64_C(1) << 46); /* above HAW */
    stops(8, 0, true, 0x5a);
    pasid_entry(9, UINT64_C(0x3ffff0c9), 0x800000 | (DID + 1), fs);
    stops(9, 0, true, 0x7b);
    assert_clean(h);
}

/* Whatever the guest names, and the second stage does not have, is never read. */
static void all_is_guest_physical(void **state)
{
    uint64_t a = gpage(), t, was, link;

    (void)state;
    map(0x1000, a);
    was = rig_get(r, ss_slot(fs));
    rig_put(r, ss_slot(fs), 0);
    stops(-1, 0x1000, true, 0x75);
    rig_put(r, ss_slot(fs), 2);
    stops(5, 0x1000, false, 0x75);
    rig_put(r, ss_slot(fs), was);
    inv_domain(DID);
    link = fs_at(fs, 4, 2, 0x1000);
    t = gget(link) & ADDR;
    was = rig_get(r, ss_slot(t));
    rig_put(r, ss_slot(t), 0);
    stops(-1, 0x1000, true, 0x76);
    rig_put(r, ss_slot(t), was & ~UINT64_C(1));
    stops(-1, 0x1000, true, 0x76);
    inv_domain(DID);
    rig_put(r, ss_slot(t), was | UINT64_C(1) << 62);
    stops(-1, 0x1000, true, 0x7a);
    rig_put(r, ss_slot(t), was);
    was = rig_get(r, ss_slot(a));
    rig_put(r, ss_slot(a), 0);
    stops(-1, 0x1000, true, 0x79);
    stops(5, 0x1000, false, 0x79);
    rig_put(r, ss_slot(a), was);
    inv_domain(DID);
    gput(link, UINT64_C(0x777777000) | PTE); /* a table where the guest has no memory */
    stops(-1, 0x1000, true, 0x76);
    gput(link, UINT64_C(1) << 48 | t | PTE); /* four levels would lead to the same table */
    stops(-1, 0x1000, true, 0x74);
    gput(link, t | PTE);
    map(0x2000, UINT64_C(1) << 48 | a);
    stops(-1, 0x2000, true, 0x74);
    map(0x3000, a);
    rig_put(r, ss_slot(a), 0xfee00003);
    inv_domain(DID);
    stops(-1, 0x3000, false, 0x87);
    rig_put(r, ss_slot(a), was);
    inv_domain(DID);
    goes(-1, 0x1000, spa(a));
    assert_clean(h);
}

static void rights_of_both(void **state)
{
    uint64_t a = gpage(), b = gpage(), c = gpage(), iova;
    struct hwm_xlat x;

    (void)state;
    map(0x1000, a);
    gput(fs_at(fs, 4, 1, 0x2000), b | 0x25);
    rig_put(r, ss_slot(a), spa(a) | 1);
    for (iova = 0x1000; iova <= 0x2000; iova += 0x1000) {
        stops(5, iova, true, 0x85);
        assert_int_equal(dma(5, iova, false, &x), HWM_OK);
        assert_true(x.r && !x.w);
    }
    map(0x3000, c);
    rig_put(r, ss_slot(c), spa(c) | 2);
    stops(5, 0x3000, false, 0x86);
    goes(5, 0x3000, spa(c));
    assert_clean(h);
}

static void accessed_and_dirty(void **state)
{
    uint64_t a = gpage(), slot = fs_at(fs, 4, 1, 0x1000), link = fs_at(fs, 4, 2, 0x1000), e;
    struct hwm_xlat x;

    (void)state;
    gput(slot, a | 7);
    gput(link, (gget(link) & ADDR) | 7);
    e = rig_get(r, ss_slot(slot));
    rig_put(r, ss_slot(slot), e & ~UINT64_C(2)); /* the guest may only read this table */
    stops(5, 0x1000, true, 0x77);
    assert_int_equal(gget(slot), a | 7);
    assert_int_equal(gget(link) & 0x60, 0x20); /* that entry was used */
    gput(slot, a | PTE);
    inv_domain(DID);
    goes(5, 0x1000, spa(a)); /* nothing to be noted */
    gput(slot, a | 7);
    rig_put(r, ss_slot(slot), e);
    inv_domain(DID);
    assert_int_equal(dma(5, 0x1000, false, &x), HWM_OK);
    assert_int_equal(gget(slot), a | 0x27);
    goes(5, 0x1000, spa(a));
    assert_int_equal(gget(slot), a | 0x67);
    /* With those of the second stage: a bit noted in a first-stage table dirties its page. */
    pasid_entry(6, nested() | 0x200, 0x800000 | (DID + 1), fs);
    assert_int_equal(dma(6, 0x1000, false, &x), HWM_OK);
    assert_int_equal(rig_get(r, ss_slot(a)) & 0x300, 0x100);
    assert_int_equal(rig_get(r, ss_slot(slot)) & 0x300, 0x100);
    gput(slot, a | 0x27);
    goes(6, 0x1000, spa(a));
    assert_int_equal(gget(slot), a | 0x27); /* dirty as cached */
    inv_domain(DID + 1);
    goes(6, 0x1000, spa(a));
    assert_int_equal(gget(slot), a | 0x67);
    assert_int_equal(rig_get(r, ss_slot(a)) & 0x300, 0x300);
    assert_int_equal(rig_get(r, ss_slot(slot)) & 0x300, 0x300);
    /* Walks that do not snoop cannot note anything. */
    pasid_entry(7, nested(), DID + 2, fs);
    goes(7, 0x1000, spa(a));
    gput(fs_at(fs, 4, 1, 0x2000), a | 7);
    stops(7, 0x2000, true, 0x90);
    assert_int_equal(gget(fs_at(fs, 4, 1, 0x2000)), a | 7);
    pasid_entry(8, nested() | 0x200, DID + 3, fs);
    rig_put(r, ss_slot(fs), rig_get(r, ss_slot(fs)) & ~UINT64_C(0x300));
    stops(8, 0x1000, true, 0x7c);
    assert_clean(h);
}

static void sizes(void **state)
{
    uint64_t big = UINT64_C(0x40000000), small = gpage(), t;
    struct hwm_xlat x;

    (void)state;
    (void)ss_slot(big);
    t = rig_get(r, rig_slot(ss, 4, big)) & ADDR;
    t = rig_get(r, rig_slot(t, 3, big)) & ADDR;
    rig_put(r, rig_slot(t, 2, big), UINT64_C(0x80000083));
    map(0x1000, big + 0x5000);
    assert_int_equal(dma(5, 0x1000, true, &x), HWM_OK);
    assert_int_equal(x.pa, 0x80005000);
    assert_int_equal(x.lg2, 12);
    gput(fs_at(fs, 4, 2, 0x200000), big | PTE | 0x80);
    assert_int_equal(dma(5, 0x312345, true, &x), HWM_OK);
    assert_int_equal(x.pa, 0x80112345);
    assert_int_equal(x.lg2, 21);
    gput(fs_at(fs, 4, 2, 0x400000), (small & ~UINT64_C(0x1fffff)) | PTE | 0x80);
    assert_int_equal(dma(5, 0x400000 + (small & 0x1fffff), true, &x), HWM_OK);
    assert_int_equal(x.pa, spa(small));
    assert_int_equal(x.lg2, 12);
    stops(5, 0x400000, true, 0x79); /* the guest has no memory there */
    assert_clean(h);
}

static void five_levels(void **state)
{
    uint64_t a, iova = UINT64_C(0x00ab123456789000);

    (void)state;
    next_gpa = UINT64_C(0x0009123456789000); /* the second stage has 57 bits, entries 52 */
    a = gpage();
    map(0x1000, a);
    goes(-1, 0x1000, spa(a));
    stops(-1, iova, true, 0x80);
    pasid_entry(0, nested(), 0x800000 | DID, fs | 4);
    inv(0x37, 0);
    inv_domain(DID);
    gput(fs_at(fs, 5, 1, iova), a | PTE);
    goes(-1, iova, spa(a));
    gput(fs_at(fs, 5, 1, iova), UINT64_C(1) << 49 | a | PTE); /* bits 51:12 can name it all */
    inv_pasid(DID, 0);
    stops(-1, iova, true, 0x79);
    assert_clean(h);
}

static void caches_of_the_first_stage(void **state)
{
    uint64_t a = gpage(), b = gpage(), c = gpage();

    (void)state;
    map(0x1000, a);
    map(0x2000, b);
    goes(-1, 0x1000, spa(a));
    goes(5, 0x1000, spa(a));
    goes(5, 0x2000, spa(b));
    map(0x1000, c);
    map(0x2000, c);
    inv_pages(DID, 0x1000); /* these are guest-physical */
    inv_pages(DID, 18);
    inv_pasid(DID, 6);
    inv_pasid(DID + 1, 5);
    inv_domain(DID + 1);
    inv(0x37, 0);
    goes(5, 0x1000, spa(a));
    inv_pasid_pages(DID, 5, 0x1040);
    goes(5, 0x1000, spa(c));
    goes(5, 0x2000, spa(b));
    goes(-1, 0x1000, spa(a));
    inv_pasid_pages(DID, 0, 0x1000);
    goes(-1, 0x1000, spa(c));
    inv_pasid(DID, 5);
    goes(5, 0x2000, spa(c));
    /* Another table: leaf-only and elsewhere it stays. */
    map(0x1000, a);
    gput(fs_at(fs, 4, 2, 0x1000), gpage() | PTE);
    map(0x1000, b);
    inv_pasid_pages(DID, 5, 0x1040);
    goes(5, 0x1000, spa(a));
    inv_pasid_pages(DID, 5, 0x400000);
    inv_pasid_pages(DID, 5, 0x1040);
    goes(5, 0x1000, spa(a));
    inv_pasid_pages(DID, 5, 0x1000);
    goes(5, 0x1000, spa(b));
    assert_clean(h);
}

static void caches_of_the_second_stage(void **state)
{
    uint64_t a = gpage(), was = spa(a), now = rig_alloc(r, 1), page[2], root = ss;

    (void)state;
    map(0x1000, a);
    goes(5, 0x1000, was);
    goes(-1, 0x1000, was);
    rig_put(r, ss_slot(a), now | 3);
    inv_pages(DID, a); /* nested translations know nothing of this address */
    inv_pages(DID, 18 | (a & ~UINT64_C(0x3fffffff)));
    goes(5, 0x1000, was);
    assert_true(hwm_caches_page(h, was) & HWM_HOLD_LEAF);
    inv_domain(DID + 1);
    goes(5, 0x1000, was);
    inv_domain(DID);
    assert_int_equal(hwm_caches_page(h, was), 0);
    goes(5, 0x1000, now);
    goes(-1, 0x1000, now);
    /* The guest's own tables are pages like any other to the host. */
    page[0] = spa(fs);
    page[1] = spa(fs_at(fs, 4, 1, 0x1000)) & ~UINT64_C(0xfff);
    inv_pages(DID, fs);
    inv_pages(DID, fs_at(fs, 4, 1, 0x1000) & ADDR);
    assert_true(hwm_caches_page(h, page[0]) & HWM_HOLD_TABLE);
    assert_true(hwm_caches_page(h, page[1]) & HWM_HOLD_TABLE);
    assert_true(hwm_caches_page(h, root) & HWM_HOLD_ROOT);
    inv_domain(DID);
    assert_int_equal(hwm_caches_page(h, page[0]) | hwm_caches_page(h, page[1]), 0);
    assert_true(hwm_caches_page(h, root) & HWM_HOLD_ROOT); /* by the PASID entry */
    goes(5, 0x1000, now);
    inv(0x37, 0);
    inv(0xd2, 0);
    assert_int_equal(
        hwm_caches_page(h, now) | hwm_caches_page(h, page[0]) | hwm_caches_page(h, root), 0);
    assert_clean(h);
}

/* The root moves in host memory: where it lies is cached by itself. */
static void cached_root(void **state)
{
    uint64_t a = gpage(), b = gpage(), was, now = rig_alloc(r, 1);

    (void)state;
    map(0x1000, a);
    map(UINT64_C(0x8000000000), a);
    goes(5, 0x1000, spa(a));
    was = spa(fs);
    rig_put(r, ss_slot(fs), now | 3);
    map(0x1000, b);
    inv_pages(DID, fs);
    inv_pasid_pages(DID, 5, 0x1000);
    goes(5, 0x1000, spa(a));
    goes(5, UINT64_C(0x8000000000), spa(a));
    assert_true(hwm_caches_page(h, was) & HWM_HOLD_TABLE);
    inv_domain(DID);
    goes(5, 0x1000, spa(b));
    stops(5, UINT64_C(0x8000000000), true, 0x71);
    assert_clean(h);
}

static void absence_is_cached(void **state)
{
    uint64_t a = gpage(), link;

    (void)state;
    stops(-1, 0x1000, true, 0x71);
    map(0x1000, a);
    goes(-1, 0x1000, spa(a)); /* never of the first stage */
    map(0x2000, next_gpa);
    stops(-1, 0x2000, true, 0x79);
    a = gpage();
    inv_pages(DID, a);
    stops(-1, 0x2000, true, 0x79);
    inv_domain(DID);
    goes(-1, 0x2000, spa(a));
    link = fs_at(fs, 4, 2, 0x200000);
    gput(link, next_gpa | PTE);
    stops(-1, 0x200000, true, 0x76);
    gput(gpage(), a | PTE);
    inv_pages(DID, next_gpa - 0x1000);
    stops(-1, 0x200000, true, 0x76);
    inv_pasid(DID, 0);
    goes(-1, 0x200000, spa(a));
    assert_clean(h);
}

#define NEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NEST(both_tables),
        cmocka_unit_test_setup_teardown(without_the_capability, setup_without, teardown),
        NEST(entries),
        NEST(all_is_guest_physical),
        NEST(rights_of_both),
        NEST(accessed_and_dirty),
        NEST(sizes),
        cmocka_unit_test_setup_teardown(five_levels, setup_5_levels, teardown),
        NEST(caches_of_the_first_stage),
        NEST(caches_of_the_second_stage),
        NEST(cached_root),
        cmocka_unit_test_setup_teardown(absence_is_cached, setup_cm, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
