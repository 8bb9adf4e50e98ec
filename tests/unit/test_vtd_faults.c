/* SPDX-License-Identifier: MIT */
/* Fault records of the hardware model, taken out through the VT-d unit driver (hwspec 5.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vtd_rig.h"

static void expect_fault(struct vtd_rig *rig, uint16_t rid, uint64_t iova, unsigned code,
                         bool write)
{
    struct pvi_fault f = {0};

    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &f), 1);
    assert_int_equal(f.rid, rid);
    assert_int_equal(f.iova, iova);
    assert_int_equal(f.code, code);
    assert_int_equal(f.write, write);
    assert_true(f.translation);
}

static void faults_in_order(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct pvi_fault none;
    struct vtd_rig *rig;
    unsigned round, i, rid = 0;
    bool absent;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.nr_frcd = 5;
    rig = rig_new_enabled(&cfg);
    assert_int_equal(rig_switch(rig, 0x500, 4, 1, rig_table(rig, 4, 0, rig_frame(rig)), &absent),
                     0);
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), 0);
    for (round = 0; round < 12; round++) {
        for (i = 0; i < 1 + round % 5; i++) {
            (void)rig_dma(rig, (uint16_t)(rid + i), 0x1000 * (rid + i), i & 1);
        }
        for (i = 0; i < 1 + round % 5; i++, rid++) {
            expect_fault(rig, (uint16_t)rid, 0x1000 * rid, 1, i & 1);
            if (i == 1) { /* more come while some are being taken */
                (void)rig_dma(rig, 0x500, 0x1234567000, false);
                (void)rig_dma(rig, 0x501, 0x1234567000, false);
            }
        }
        if (round % 5 >= 1) {
            expect_fault(rig, 0x500, 0x1234567000, 6, false);
            expect_fault(rig, 0x501, 0x1234567000, 2, false);
        }
        assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), 0);
    }
    assert_int_equal(pvi_posix_events(rig->host, NULL), 0);
    rig_down(rig);
}

/*
 * Records are a ring. FRI names the first of those that were pending when PPF rose; units differ in
 * whether it moves on while they are taken. And a unit does not begin at record 0 when its driver
 * does.
 */
static void ring_of_records(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct pvi_fault none;
    struct vtd_rig *rig;
    unsigned sticky, i;

    (void)state;
    for (sticky = 0; sticky < 2; sticky++) {
        hwm_vtd_cfg_default(&cfg);
        cfg.nr_frcd = 4;
        rig = rig_new_enabled(&cfg);
        for (i = 0; i < 3; i++) {
            (void)rig_dma(rig, 0x77, 0x1000, true);
        }
        if (sticky) { /* in the middle of a drain */
            expect_fault(rig, 0x77, 0x1000, 1, true);
        }
        assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
        assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0); /* drops the others */
        rig->sticky_fri = sticky;
        for (i = 0; i < 3; i++) { /* records 3, 0, 1 */
            (void)rig_dma(rig, (uint16_t)i, 0x1000, true);
        }
        expect_fault(rig, 0, 0x1000, 1, true);
        expect_fault(rig, 1, 0x1000, 1, true);
        for (i = 3; i < 6; i++) { /* records 2, 3, 0 */
            (void)rig_dma(rig, (uint16_t)i, 0x1000, true);
        }
        for (i = 2; i < 6; i++) {
            expect_fault(rig, (uint16_t)i, 0x1000, 1, true);
        }
        assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), 0);
        rig_down(rig);
    }
}

static void faults_overflow(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct pvi_fault none;
    struct vtd_rig *rig;
    uint64_t status = 0;
    unsigned i;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.nr_frcd = 2;
    rig = rig_new_enabled(&cfg);
    for (i = 0; i < 4; i++) {
        (void)rig_dma(rig, (uint16_t)i, 0x1000, true);
    }
    expect_fault(rig, 0, 0x1000, 1, true);
    expect_fault(rig, 1, 0x1000, 1, true);
    assert_int_equal(pvi_posix_events(rig->host, NULL), 0);
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), 0);
    assert_int_equal(rig_events(rig, PVI_EVENT_UNIT_ERROR, &status), 1);
    assert_int_equal(status, 1u << 16); /* FSTS.PFO */
    assert_int_equal(rig_read(rig, RIG_FSTS, 4), 0);
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), 0);
    assert_int_equal(rig_events(rig, PVI_EVENT_UNIT_ERROR, NULL), 1);
    (void)rig_dma(rig, 9, 0x1000, true);
    expect_fault(rig, 9, 0x1000, 1, true);
    rig->ghost = true;
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), 0);
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), 0);
    rig->ghost = false;
    rig->gone = true;
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &none), -PVI_EHW);
    rig->gone = false;
    assert_false(rig->unit.unit.broken);
    rig_down(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_in_order),
        cmocka_unit_test(ring_of_records),
        cmocka_unit_test(faults_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
