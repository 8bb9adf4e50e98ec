/* SPDX-License-Identifier: MIT */
/* VT-d: every misuse of the programming interface that the model notes, and rarer faults. */
#include "selftest_vtd.h"

#define FRCD      0x400u
#define IOTLB_REG 0x508u

static struct vtd *v;
static struct hwm_vtd_cfg cfg;

static int setup(void **state)
{
    (void)state;
    hwm_vtd_cfg_default(&cfg);
    v = vtd_raw(&cfg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vtd_off(v);
    return 0;
}

/* Another unit, as cfg says now. */
static void again(bool on)
{
    vtd_off(v);
    v = on ? vtd_on(&cfg) : vtd_raw(&cfg);
}

static void register_accesses(void **state)
{
    (void)state;
    assert_int_equal(hwm_mmio_size(v->h), 0x1000);
    assert_int_equal(hwm_mmio_read(v->h, 0x0c, 8), ~UINT64_C(0));
    assert_violated(v->h, "read of 8 bytes at register offset 0xc");
    hwm_mmio_write(v->h, 0x1000, 4, 0);
    assert_violated(v->h, "write of 4 bytes at register offset 0x1000");
    hwm_mmio_write(v->h, 0x20, 2, 0);
    assert_violated(v->h, "of 2 bytes");
    vtd_wr(v, 0x08, 0);
    assert_violated(v->h, "register 0x8");
    vtd_wr(v, FRCD + 8, 1);
    assert_violated(v->h, "read-only part of a fault record");
    vtd_wr64(v, 0x88, 1);
    assert_violated(v->h, "IQT written with reserved bits");
    vtd_wr(v, 0x18, 1u << 24);
    assert_true(vtd_rd(v, 0x1c) & 1u << 24);
    assert_clean(v->h);
    cfg.nr_frcd = 256;
    again(false);
    assert_int_equal(hwm_mmio_size(v->h), 0x2000);
}

static void register_invalidation(void **state)
{
    (void)state;
    vtd_wr64(v, 0x28, UINT64_C(0x8000000000000000));
    assert_violated(v->h, "CCMD");
    assert_int_equal(hwm_mmio_read(v->h, 0x28, 8), 0); /* CAIG 0: nothing was done */
    vtd_wr64(v, IOTLB_REG, UINT64_C(0x8000000000000000));
    assert_violated(v->h, "granularity 0");
    vtd_wr64(v, IOTLB_REG, UINT64_C(0x9000000000000001));
    assert_violated(v->h, "reserved bits");
    hwm_set_lazy(v->h, true, 0);
    vtd_wr64(v, IOTLB_REG, UINT64_C(0x9000000000000000));
    vtd_wr64(v, IOTLB_REG, UINT64_C(0x9000000000000000));
    assert_violated(v->h, "previous request is in progress");
    assert_true(hwm_mmio_read(v->h, IOTLB_REG, 8) >> 63);
    hwm_step(v->h, 9);
    assert_false(hwm_mmio_read(v->h, IOTLB_REG, 8) >> 63);
    cfg.drain = false;
    again(false);
    vtd_wr64(v, IOTLB_REG, UINT64_C(0x9001000000000000));
    assert_violated(v->h, "drain");
}

static void queue_setup(void **state)
{
    (void)state;
    vtd_wr64(v, 0x90, v->queue | 0x10);
    vtd_gcmd(v, 1u << 26, 0);
    assert_violated(v->h, "reserved bits set");
    vtd_gcmd(v, 0, 1u << 26);
    vtd_wr64(v, 0x90, v->queue | 0x800);
    vtd_gcmd(v, 1u << 26, 0);
    assert_violated(v->h, "without scalable mode");
    again(false);
    vtd_wr64(v, 0x88, 0x20);
    vtd_wr64(v, 0x90, v->queue);
    hwm_violation_clear(v->h);
    vtd_gcmd(v, 1u << 26, 0);
    assert_violated(v->h, "queue enabled with tail 0x20");
    again(false);
    v->queue = 0x3fff000;
    vtd_queue(v);
    vtd_wr64(v, 0x88, 0x10);
    assert_violated(v->h, "queue is not in memory");
    assert_int_equal(vtd_rd(v, 0xb0) & 0xf, 2);
    cfg.qi = false;
    again(false);
    vtd_queue(v);
    assert_violated(v->h, "unit without it");
    assert_false(vtd_rd(v, 0x1c) & 1u << 26);
}

static void descriptors(void **state)
{
    (void)state;
    cfg.psi = cfg.drain = false;
    cfg.dt = true;
    again(true);
    vtd_inv(v, 0x0000000000420032, 0x1000);
    assert_violated(v->h, "without PSI");
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_violated(v->h, "DR and DW");
    vtd_inv(v, UINT64_C(0x0000031000000003), UINT64_C(0xfffffffffffff001));
    assert_violated(v->h, "has no size");
    vtd_desc(v, UINT64_C(0x0000000200000025), 0x3fff000);
    vtd_ring(v);
    assert_violated(v->h, "not memory");
    vtd_inv(v, 0x04, 0);
    assert_int_equal(hwm_log_count(v->h, HWM_IRT), 1);
    assert_clean(v->h);
}

static void contexts(void **state)
{
    uint64_t pa;

    (void)state;
    cfg.sagaw = 0x6;
    cfg.mgaw = 39;
    cfg.adms = true;
    again(true);
    vtd_set_context(v, 0x318, 9, 0x101); /* pass-through with the smaller of two widths */
    assert_int_equal(hwm_dma(v->h, 0x318, 0x1234, true, &pa, NULL), HWM_OK);
    assert_violated(v->h, "without the largest address width");
    assert_blocked(v, RID, UINT64_C(1) << 39, true, 0x04); /* MGAW below the width of the context */
    vtd_leaf(v, 1, 0x1000, 0x80000803);
    assert_to(v, 0x1000, 0x80000000);
    hwm_mmio_write(v->h, 0x20, 8, v->root | 0xc00);
    vtd_gcmd(v, 0, 1u << 31);
    vtd_gcmd(v, 1u << 30, 0);
    vtd_inv(v, 0x11, 0);
    vtd_inv(v, 0xd2, 0);
    vtd_gcmd(v, 1u << 31, 0);
    assert_blocked(v, RID, 0x1000, true, 0x30); /* abort-DMA mode */
    assert_int_equal(vtd_rd(v, 0x34) & 2, 2);   /* of the fault before */
    assert_clean(v->h);
}

static void requests_with_pasid(void **state)
{
    struct hwm_req req = {.iova = 0x1000, .rid = RID, .has_pasid = true, .pasid = 0x12345};
    struct hwm_xlat x;

    (void)state;
    again(true);
    assert_int_equal(hwm_dma_req(v->h, &req, &x), HWM_FAULT);
    assert_int_equal(x.fault.reason, 0x31);
    assert_int_equal(vtd_rd(v, FRCD + 8), 0x80000000 | RID);
    assert_int_equal(vtd_rd(v, FRCD + 12), 0xc0000000 | 0x12345 << 8 | 0x31);
}

static void zero_length_read(void **state)
{
    struct hwm_req req = {.iova = 0x1000, .rid = RID, .zero_length = true};
    struct hwm_xlat x;

    (void)state;
    again(true);
    vtd_leaf(v, 1, 0x1000, 0x80000002);
    assert_int_equal(hwm_dma_req(v->h, &req, &x), HWM_OK);
    cfg.zlr = false;
    again(true);
    vtd_leaf(v, 1, 0x1000, 0x80000002);
    assert_int_equal(hwm_dma_req(v->h, &req, &x), HWM_FAULT);
    assert_int_equal(x.fault.reason, 0x06);
}

static void caching_mode_faulty_entries(void **state)
{
    (void)state;
    cfg.cm = true;
    again(true);
    vtd_set_context(v, 0x318, v->ss | 0x11, DID << 8 | 2);
    assert_blocked(v, 0x318, 0x1000, true, 0x0b);
    vtd_leaf(v, 1, 0x1000, 0x80000803);
    vtd_set_context(v, 0x318, v->ss | 1, DID << 8 | 2);
    assert_blocked(v, 0x318, 0x1000, true, 0x0b); /* kept, under domain id 0 */
    vtd_inv(v, UINT64_C(0x0000031800000031), 0);
    assert_int_equal(hwm_dma(v->h, 0x318, 0x1000, true, NULL, NULL), HWM_OK);
    assert_clean(v->h);
}

static void reset_forgets(void **state)
{
    (void)state;
    again(true);
    vtd_leaf(v, 1, 0x1000, 0x80000803);
    assert_to(v, 0x1000, 0x80000000);
    hwm_reset(v->h);
    assert_false(hwm_is_amd(v->h));
    assert_int_equal(hwm_caches_range(v->h, 0, UINT64_C(1) << 40), 0);
    assert_int_equal(vtd_rd(v, 0x1c), 0);
    assert_int_equal(hwm_dma(v->h, RID, 0x1000, true, NULL, NULL), HWM_PASS);
}

/* A lost write-buffer flush: RWBF units flush at each invalidation as well. */
static void write_buffer(void **state)
{
    unsigned before;

    (void)state;
    cfg.rwbf = true;
    again(true);
    assert_true(hwm_mmio_read(v->h, 0x08, 8) & 0x10);
    before = v->r->flushes;
    vtd_inv(v, 0x00000000004200e2, 0);
    assert_int_equal(v->r->flushes, before + 1);
    vtd_gcmd(v, 1u << 27, 0);
    assert_int_equal(v->r->flushes, before + 2);
    assert_clean(v->h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(register_accesses, setup, teardown),
        cmocka_unit_test_setup_teardown(register_invalidation, setup, teardown),
        cmocka_unit_test_setup_teardown(queue_setup, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(contexts, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_with_pasid, setup, teardown),
        cmocka_unit_test_setup_teardown(zero_length_read, setup, teardown),
        cmocka_unit_test_setup_teardown(caching_mode_faulty_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(write_buffer, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
