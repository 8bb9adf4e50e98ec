/* SPDX-License-Identifier: MIT */
/*
 * The model's VT-d scalable mode: PASID structures, first stage, PASID cache, 256-bit
 * descriptors.
 */
#include "selftest_rig.h"

#define RID 0x0310u
#define DID 0x42u

static struct rig *r;
static struct hwm *h;
static uint64_t root, lower, upper, dir, pasids, ss, fs, queue, wait_pa;
static uint32_t seq;
static unsigned tail;

static uint32_t rd(unsigned off)
{
    return (uint32_t)hwm_mmio_read(h, off, 4);
}

static void gcmd(uint32_t set)
{
    hwm_mmio_write(h, 0x18, 4, (rd(0x1c) & 0x96ffffff) | set);
}

static void desc(uint64_t w0, uint64_t w1)
{
    rig_put(r, queue + tail, w0);
    rig_put(r, queue + tail + 8, w1);
    rig_put(r, queue + tail + 16, 0);
    rig_put(r, queue + tail + 24, 0);
    tail = (tail + 32) & 0xfff;
}

static bool inv(uint64_t w0, uint64_t w1)
{
    desc(w0, w1);
    desc(0x25 | (uint64_t)++seq << 32, wait_pa);
    hwm_mmio_write(h, 0x88, 4, tail);
    return rig_read32(r, wait_pa) == seq;
}

static void pasid_entry(unsigned pasid, uint64_t w0, uint64_t w1, uint64_t w2)
{
    uint64_t pa = pasids + (pasid & 63) * 64;

    rig_put(r, pa + 8, w1);
    rig_put(r, pa + 16, w2);
    rig_put(r, pa, w0);
}

static void context(unsigned rid, uint64_t w0, uint64_t w1)
{
    uint64_t pa = ((rid & 0xff) < 128 ? lower : upper) + (rid & 0x7f) * 32;

    rig_put(r, pa + 8, w1);
    rig_put(r, pa, w0);
}

static uint64_t table(uint64_t top, unsigned level, uint64_t iova, uint64_t link)
{
    unsigned levels = 4;
    uint64_t slot;

    for (; levels > level; levels--) {
        slot = rig_slot(top, levels, iova);
        if (!rig_get(r, slot)) {
            rig_put(r, slot, rig_alloc(r, 1) | link);
        }
        top = rig_get(r, slot) & UINT64_C(0x000ffffffffff000);
    }
    return top;
}

static void ss_leaf(uint64_t iova, uint64_t entry)
{
    rig_put(r, rig_slot(table(ss, 1, iova, 3), 1, iova), entry);
}

static void fs_leaf(uint64_t iova, uint64_t entry)
{
    rig_put(r, rig_slot(table(fs, 1, iova, 0x27), 1, iova), entry);
}

static void start(const struct hwm_vtd_cfg *cfg)
{
    r = rig_new();
    h = r->h = hwm_vtd_new(cfg, &r->mem);
    root = rig_alloc(r, 1);
    lower = rig_alloc(r, 1);
    upper = rig_alloc(r, 1);
    dir = rig_alloc(r, 1);
    pasids = rig_alloc(r, 1);
    ss = rig_alloc(r, 1);
    fs = rig_alloc(r, 1);
    queue = rig_alloc(r, 1);
    wait_pa = rig_alloc(r, 1);
    seq = 0;
    tail = 0;
    rig_put(r, root + 3 * 16, lower | 1);
    rig_put(r, root + 3 * 16 + 8, upper | 1);
    rig_put(r, dir, pasids | 1);
    context(RID, dir | 0x9, 0);
    pasid_entry(0, ss | 0x89, 0x800000 | DID, 0);
    pasid_entry(5, 0x49, 0x800001, fs);
    hwm_mmio_write(h, 0x90, 8, queue | 0x800);
    gcmd(1u << 26);
    hwm_mmio_write(h, 0x20, 8, root | 0x400);
    gcmd(1u << 30);
    assert_true(inv(0x11, 0));
    assert_true(inv(0x37, 0));
    assert_true(inv(0xd2, 0));
    gcmd(1u << 31);
    assert_clean(h);
}

static void scalable_cfg(struct hwm_vtd_cfg *cfg)
{
    hwm_vtd_cfg_default(cfg);
    cfg->smts = cfg->ssts = cfg->fsts = cfg->smpwcs = cfg->ssads = cfg->fs1gp = true;
    cfg->pss = 19;
}

static int setup(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    scalable_cfg(&cfg);
    start(&cfg);
    return 0;
}

static int setup_cm(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    scalable_cfg(&cfg);
    cfg.cm = true;
    start(&cfg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(r);
    return 0;
}

static enum hwm_result dma(unsigned rid, int pasid, uint64_t iova, bool write, struct hwm_xlat *x)
{
    struct hwm_req req = {.iova = iova, .rid = (uint16_t)rid, .write = write};

    req.has_pasid = pasid >= 0;
    req.pasid = pasid >= 0 ? (uint32_t)pasid : 0;
    return hwm_dma_req(h, &req, x);
}

static void to(int pasid, uint64_t iova, uint64_t want)
{
    struct hwm_xlat x;

    assert_int_equal(dma(RID, pasid, iova, true, &x), HWM_OK);
    assert_int_equal(x.pa, want);
}

static void blocked(unsigned rid, int pasid, uint64_t iova, bool write, unsigned reason)
{
    struct hwm_xlat x;

    assert_int_equal(dma(rid, pasid, iova, write, &x), HWM_FAULT);
    assert_int_equal(x.fault.reason, reason);
}

static void translates(void **state)
{
    (void)state;
    ss_leaf(0x1000, 0x80000003);
    fs_leaf(0x1000, 0x90000067);
    to(-1, 0x1abc, 0x80000abc);
    to(5, 0x1abc, 0x90000abc);
    pasid_entry(6, 0x109, 0x800002, 0);
    to(6, 0x123456, 0x123456);
    context(0x0390, dir | 1, 0); /* upper half of the root entry */
    assert_int_equal(hwm_dma(h, 0x0390, 0x1000, true, NULL, NULL), HWM_OK);
    assert_clean(h);
}

static void structure_faults(void **state)
{
    (void)state;
    blocked(0x0410, -1, 0, true, 0x39);
    rig_put(r, root + 5 * 16, lower | 5);
    blocked(0x0510, -1, 0, true, 0x3a);
    rig_put(r, root + 6 * 16, 0x3fff001);
    blocked(0x0610, -1, 0, true, 0x40);
    blocked(0x0311, -1, 0, true, 0x41);
    context(0x0312, dir | 0x21, 0);
    blocked(0x0312, -1, 0, true, 0x42);
    context(0x0313, dir | 0x5, 0); /* DTE without ATS */
    blocked(0x0313, -1, 0, true, 0x43);
    context(0x0314, dir | 1, 0);
    blocked(0x0314, 5, 0, true, 0x45);
    blocked(RID, 8192, 0, true, 0x46);
    blocked(RID, 64, 0, true, 0x51);
    rig_put(r, dir + 8, pasids | 5);
    blocked(RID, 64, 0, true, 0x52);
    rig_put(r, dir + 8, 0x3fff001);
    blocked(RID, 64, 0, true, 0x58);
    rig_put(r, dir + 8, 0);
    blocked(RID, 7, 0, true, 0x59);
    pasid_entry(8, ss | 0x489, DID, 0);
    blocked(RID, 8, 0, true, 0x5a);
    pasid_entry(9, ss | 0x85, DID, 0); /* 3 levels */
    blocked(RID, 9, 0, true, 0x5b);
    pasid_entry(10, ss | 0xc9, DID, fs); /* nested */
    blocked(RID, 10, 0, true, 0x5b);
    pasid_entry(11, 0x49, DID, fs | 4); /* 5-level first stage */
    blocked(RID, 11, 0, true, 0x5b);
    assert_clean(h);
}

static void walk_faults(void **state)
{
    struct hwm_xlat x;

    (void)state;
    blocked(RID, -1, 0x1000, true, 0x79);
    blocked(RID, -1, UINT64_C(1) << 48, true, 0x84);
    ss_leaf(0x2000, 0x80000001);
    blocked(RID, -1, 0x2000, true, 0x85);
    ss_leaf(0x3000, 0x80000002);
    blocked(RID, -1, 0x3000, false, 0x86);
    ss_leaf(0x4000, UINT64_C(0x4000000080000003));
    blocked(RID, -1, 0x4000, false, 0x7a);
    ss_leaf(0x5000, 0xfee00003);
    blocked(RID, -1, 0x5000, false, 0x87);
    blocked(RID, 5, 0x1000, true, 0x71);
    blocked(RID, 5, UINT64_C(1) << 47, true, 0x80);
    fs_leaf(0x2000, 0x80000025);
    blocked(RID, 5, 0x2000, true, 0x85);
    assert_int_equal(dma(RID, 5, 0x2000, false, &x), HWM_OK);
    fs_leaf(0x3000, 0x80000063);
    blocked(RID, 5, 0x3000, true, 0x81);
    fs_leaf(0x4000, UINT64_C(0x8000000080000067));
    blocked(RID, 5, 0x4000, true, 0x72);
    pasid_entry(12, 0x49, 0x800003, 0x3fff000);
    blocked(RID, 12, 0, true, 0x73);
    pasid_entry(13, UINT64_C(0x3fff089), 0x800044, 0);
    blocked(RID, 13, 0, true, 0x7b);
}

static void accessed_and_dirty(void **state)
{
    uint64_t slot;
    struct hwm_xlat x;

    (void)state;
    pasid_entry(0, ss | 0x289, 0x800000 | DID, 0); /* SSADE */
    ss_leaf(0x1000, 0x80000003);
    slot = rig_slot(table(ss, 1, 0x1000, 3), 1, 0x1000);
    assert_int_equal(dma(RID, -1, 0x1000, false, &x), HWM_OK);
    assert_int_equal(rig_get(r, slot), 0x80000103);
    to(-1, 0x1000, 0x80000000);
    assert_int_equal(rig_get(r, slot), 0x80000303);
    rig_put(r, slot, 0x80000103);
    to(-1, 0x1000, 0x80000000);
    assert_int_equal(rig_get(r, slot), 0x80000103); /* not flushed: the write goes unseen */
    assert_true(inv(0x00000000004200f2, 0x1040));
    to(-1, 0x1000, 0x80000000);
    assert_int_equal(rig_get(r, slot), 0x80000303);
    fs_leaf(0x1000, 0x80000007);
    to(5, 0x1000, 0x80000000);
    assert_int_equal(rig_get(r, rig_slot(table(fs, 1, 0x1000, 0x27), 1, 0x1000)), 0x80000067);
    pasid_entry(14, 0x49, 0x000004, fs); /* no snoop: A/D cannot be written */
    to(14, 0x1000, 0x80000000);
    fs_leaf(0x2000, 0x80000007);
    blocked(RID, 14, 0x2000, true, 0x90);
    pasid_entry(15, ss | 0x289, DID + 1, 0);
    ss_leaf(0x2000, 0x80002003);
    blocked(RID, 15, 0x2000, true, 0x7c);
}

static void caches(void **state)
{
    uint64_t old = ss;

    (void)state;
    ss_leaf(0x1000, 0x80000003);
    ss_leaf(0x2000, 0x80002003);
    fs_leaf(0x1000, 0x90000067);
    fs_leaf(0x2000, 0x90002067);
    to(-1, 0x1000, 0x80000000);
    to(5, 0x1000, 0x90000000);
    to(5, 0x2000, 0x90002000);
    fs_leaf(0x1000, 0xa0000067);
    fs_leaf(0x2000, 0xa0002067);
    inv(0x00000000000100e2, 0); /* IOTLB by domain does not reach first-stage translations */
    to(5, 0x1000, 0x90000000);
    inv(UINT64_C(0x0000000500010036), 0x1040);
    to(5, 0x1000, 0xa0000000);
    to(5, 0x2000, 0x90002000);
    inv(UINT64_C(0x0000000600010026), 0); /* another PASID */
    to(5, 0x2000, 0x90002000);
    inv(UINT64_C(0x0000000500010026), 0);
    to(5, 0x2000, 0xa0002000);
    /* the PASID cache, by domain and PASID */
    ss = rig_alloc(r, 1);
    ss_leaf(0x2000, 0xb0002003);
    pasid_entry(0, ss | 0x89, 0x800043, 0);
    to(-1, 0x2000, 0x80002000);
    inv(UINT64_C(0x0000000000430017), 0);
    to(-1, 0x2000, 0x80002000);
    assert_true(hwm_caches_page(h, old) & HWM_HOLD_ROOT);
    inv(UINT64_C(0x0000000000420017), 0);
    to(-1, 0x2000, 0xb0002000);
    assert_false(hwm_caches_page(h, old) & HWM_HOLD_ROOT);
    pasid_entry(0, 0, 0, 0);
    inv(0x0000000000430007, 0); /* all PASIDs of the domain */
    blocked(RID, -1, 0x2000, true, 0x59);
    context(RID, 0, 0);
    blocked(RID, -1, 0x2000, true, 0x59);
    inv(UINT64_C(0x0000031000000031), 0);
    blocked(RID, -1, 0x2000, true, 0x41);
    assert_clean(h);
}

static void caching_mode(void **state)
{
    (void)state;
    ss_leaf(0x1000, 0x80000003);
    fs_leaf(0x1000, 0x90000067);
    blocked(RID, 6, 0x1000, true, 0x59);
    pasid_entry(6, 0x49, 0x800007, fs);
    blocked(RID, 6, 0x1000, true, 0x59);
    inv(UINT64_C(0x0000000600070017), 0);
    to(6, 0x1000, 0x90000000);
    blocked(RID, 6, 0x2000, true, 0x71);
    fs_leaf(0x2000, 0x90002067);
    to(6, 0x2000, 0x90002000); /* first-stage tables are never cached as absent */
    blocked(RID, -1, 0x2000, true, 0x79);
    ss_leaf(0x2000, 0x80002003);
    blocked(RID, -1, 0x2000, true, 0x79);
    inv(0x00000000004200f2, 0x2000);
    to(-1, 0x2000, 0x80002000);
    assert_clean(h);
}

static void descriptor_width(void **state)
{
    (void)state;
    gcmd(0);
    assert_clean(h);
    rig_put(r, queue + tail, 0x11);
    rig_put(r, queue + tail + 16, 1); /* upper half of a 256-bit descriptor */
    tail = (tail + 32) & 0xfff;
    hwm_mmio_write(h, 0x88, 4, tail);
    assert_int_equal(rd(0xb0) & 0xf, 4);
    assert_violated(h, "reserved bits");
    rig_put(r, queue + tail - 32 + 16, 0);
    hwm_mmio_write(h, 0x34, 4, 0x10);
    hwm_mmio_write(h, 0x88, 4, tail + 16);
    assert_int_equal(rd(0xb0) & 0xf, 6);
    assert_violated(h, "misaligned");
}

static void narrow_queue_in_scalable_mode(void **state)
{
    (void)state;
    hwm_mmio_write(h, 0x18, 4, rd(0x1c) & 0x80000000); /* queue off */
    hwm_mmio_write(h, 0x88, 4, 0);
    hwm_mmio_write(h, 0x90, 8, queue);
    gcmd(1u << 26);
    rig_put(r, queue, 0x11);
    rig_put(r, queue + 8, 0);
    assert_clean(h);
    hwm_mmio_write(h, 0x88, 4, 16);
    assert_int_equal(rd(0xb0) & 0xf, 5);
    assert_violated(h, "descriptor width");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(translates, setup, teardown),
        cmocka_unit_test_setup_teardown(structure_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(walk_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(accessed_and_dirty, setup, teardown),
        cmocka_unit_test_setup_teardown(caches, setup, teardown),
        cmocka_unit_test_setup_teardown(caching_mode, setup_cm, teardown),
        cmocka_unit_test_setup_teardown(descriptor_width, setup, teardown),
        cmocka_unit_test_setup_teardown(narrow_queue_in_scalable_mode, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
