/* SPDX-License-Identifier: MIT */
/*
 * The VT-d driver with a unit that stops, errs or disappears: no timeout is a success (R8), and
 * what the unit may still reach is never given back (R4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vtd_rig.h"

#define RID  0x0310u
#define IOVA 0x123456789000ull

/* A broken unit: told once, nothing new translates, blocking works, its pages stay with it. */
static void expect_broken(struct vtd_rig *rig, uint64_t fsts)
{
    uint64_t status = 0, lost = 0, frame = rig_frame(rig);
    bool absent;

    assert_true(rig->unit.unit.broken);
    assert_int_equal(rig_events(rig, PVI_EVENT_UNIT_ERROR, &status), 1);
    assert_int_equal(status >> 16, fsts);
    assert_int_equal(status & 0xffff, fsts ? 2 : 0); /* IQEI: error fetching a descriptor */
    assert_int_equal(rig_submit(rig, rig_pages(1, 0, 12)), -PVI_EHW);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), -PVI_EHW);
    assert_int_equal(rig_switch(rig, RID, 4, 9, rig_table(rig, 4, IOVA, frame), &absent), -PVI_EHW);
    assert_true(rig_walk(rig, RID, IOVA) != frame);
    assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), 0);
    assert_int_equal(rig_walk(rig, RID, IOVA), RIG_BLOCKED);
    assert_int_equal(rig_events(rig, PVI_EVENT_UNIT_ERROR, NULL), 1);
    assert_int_equal(pvi_vtd_unit_disable(&rig->unit), -PVI_EHW);
    assert_int_equal(rig_events(rig, PVI_EVENT_FLUSH_FAILED, &lost), 1);
    assert_true(lost >= 3);
    assert_int_equal(pvi_posix_pages_used(rig->host), lost);
    rig->lost = lost;
}

/* After the trouble is over the unit can be brought up again, and works. */
static void expect_revival(struct vtd_rig *rig)
{
    bool absent;
    uint64_t frame = rig_frame(rig);

    while (hwm_step(rig->hw, 1)) {
    }
    hwm_violation_clear(rig->hw);
    assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0);
    assert_false(rig->unit.unit.broken);
    assert_int_equal(rig_switch(rig, RID, 4, 5, rig_table(rig, 4, IOVA, frame), &absent), 0);
    assert_int_equal(rig_dma(rig, RID, IOVA, true), frame);
    assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), 0);
    assert_int_equal(rig_forget(rig, RID, 5, absent), 0);
    assert_int_equal(rig_dma(rig, RID, IOVA, true), RIG_BLOCKED);
    rig_down(rig);
}

static struct vtd_rig *rig_with_device(void)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    bool absent;

    assert_int_equal(rig_switch(rig, RID, 4, 5, rig_table(rig, 4, IOVA, rig_frame(rig)), &absent),
                     0);
    return rig;
}

/* No timeout counts as success: the wait ends when the host gives up, and with an error. */
static void stalled(void **state)
{
    struct vtd_rig *rig = rig_with_device();

    (void)state;
    hwm_stall(rig->hw, true);
    assert_int_equal(rig_submit(rig, rig_pages(5, IOVA, 12)), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), -PVI_EHW);
    assert_int_equal(rig->polls, 4096);
    expect_broken(rig, 0);
    hwm_stall(rig->hw, false);
    expect_revival(rig);
}

/* The completion that comes while the host gives up is still seen. */
static void last_moment(struct vtd_rig *rig)
{
    if (rig->polls == 100) {
        hwm_set_lazy(rig->hw, false, 0);
    }
}

static void completes_at_the_last_moment(void **state)
{
    struct vtd_rig *rig = rig_with_device();

    (void)state;
    hwm_set_lazy(rig->hw, true, 0);
    rig->on_poll = last_moment;
    pvi_posix_fail(rig->host, PVI_AT_POLL, 101, true);
    assert_int_equal(rig_submit(rig, rig_pages(5, IOVA, 12)), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    pvi_posix_fail(rig->host, PVI_AT_POLL, 0, false);
    rig->on_poll = NULL;
    assert_false(rig->unit.unit.broken);
    rig_down(rig);
}

/* A full ring that nobody empties. */
static void full_and_dead(void **state)
{
    struct vtd_rig *rig = rig_with_device();
    unsigned i;
    int rc = 0;

    (void)state;
    rig_gate(rig, 1); /* and the gate never opens, because nobody polls */
    pvi_posix_fail(rig->host, PVI_AT_POLL, 1, true);
    for (i = 0; i < 300 && rc == 0; i++) {
        rc = rig_submit(rig, rig_pages(5, (uint64_t)i << 12, 12));
    }
    assert_int_equal(rc, -PVI_EHW);
    assert_int_equal(i, 255); /* 256 slots, one stays free, one is kept for a fence */
    pvi_posix_fail(rig->host, PVI_AT_POLL, 0, false);
    rig_gate(rig, 0);
    expect_broken(rig, 0);
    expect_revival(rig);
}

/* IQE: the descriptor at the head cannot be fetched. Seen long before the host gives up. */
static void queue_error(void **state)
{
    struct vtd_rig *rig = rig_with_device();

    (void)state;
    hwm_inject(rig->hw, HWM_INJECT_IQE, 1);
    assert_int_equal(rig_submit(rig, rig_pages(5, IOVA, 12)), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), -PVI_EHW);
    assert_true(rig->polls < 1024);
    expect_broken(rig, 0x10);
    expect_revival(rig);
}

/* The same, met by one who waits for room. */
static void queue_error_when_full(void **state)
{
    struct vtd_rig *rig = rig_with_device();
    unsigned i;
    int rc = 0;

    (void)state;
    hwm_inject(rig->hw, HWM_INJECT_IQE, 0);
    for (i = 0; i < 300 && rc == 0; i++) {
        rc = rig_submit(rig, rig_pages(5, (uint64_t)i << 12, 12));
    }
    assert_int_equal(rc, -PVI_EHW);
    assert_int_equal(rig->polls, 0);
    expect_broken(rig, 0x10);
    expect_revival(rig);
}

/*
 * Another CPU finds the unit broken while this one waits: no need to wait for the host's
 * patience.
 */
static void other_cpu_breaks(struct vtd_rig *rig)
{
    if (rig->depth == 1 && rig->polls == 10) {
        pvi_posix_fail(rig->host, PVI_AT_POLL, 1, false);
        assert_int_equal(pvi_vtd_unit_wait(&rig->unit), -PVI_EHW);
    }
}

static void broken_by_another_cpu(void **state)
{
    struct vtd_rig *rig = rig_with_device();

    (void)state;
    hwm_stall(rig->hw, true);
    rig->on_poll = other_cpu_breaks;
    assert_int_equal(rig_submit(rig, rig_pages(5, IOVA, 12)), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), -PVI_EHW);
    rig->on_poll = NULL;
    assert_true(rig->polls < 1024);
    expect_broken(rig, 0);
    hwm_stall(rig->hw, false);
    expect_revival(rig);
}

/* The unit disappears: every register reads as ones. */
static void unit_gone(void **state)
{
    struct vtd_rig *rig = rig_with_device();
    uint64_t lost;

    (void)state;
    hwm_stall(rig->hw, true);
    assert_int_equal(rig_submit(rig, rig_pages(5, IOVA, 12)), 0);
    rig->gone = true;
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), -PVI_EHW);
    assert_true(rig->polls < 1024);
    assert_int_equal(pvi_vtd_unit_disable(&rig->unit), -PVI_EHW);
    assert_int_equal(rig_events(rig, PVI_EVENT_FLUSH_FAILED, &lost), 1);
    assert_int_equal(pvi_vtd_unit_enable(&rig->unit), -PVI_EHW);
    rig->lost = pvi_posix_pages_used(rig->host);
    assert_int_equal(rig->lost, lost + 3);
    hwm_stall(rig->hw, false);
    hwm_violation_clear(rig->hw);
    rig_free(rig);
}

/* The same while the host has patience left: the ones are noticed, not waited for. */
static void vanish(struct vtd_rig *rig)
{
    rig->gone = true;
}

static void unit_vanishes(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    uint64_t writes;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.rwbf = true;
    rig = rig_new_enabled(&cfg);
    hwm_stall(rig->hw, true);
    rig->on_poll = vanish;
    assert_int_equal(rig_submit(rig, (struct pvi_inv){.kind = PVI_INV_WBUF}), -PVI_EHW);
    assert_int_equal(rig->polls, 1);
    writes = rig->writes;
    assert_int_equal(pvi_vtd_unit_disable(&rig->unit), -PVI_EHW);
    assert_int_equal(rig->writes, writes);
    rig->lost = pvi_posix_pages_used(rig->host);
    assert_int_equal(rig->lost, 3);
    hwm_stall(rig->hw, false);
    rig_free(rig);
}

/* Only the last step of the bring-up fails: the unit is off again, though it had been on. */
static void up_but_for_the_last_step(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.phmr = true;
    rig = rig_new(&cfg);
    rig->sticky_prs = true;
    assert_int_equal(pvi_vtd_unit_enable(&rig->unit), -PVI_EHW);
    assert_int_equal(rig->polls, 4096);
    assert_int_equal(rig_read(rig, RIG_GSTS, 4) & (RIG_TE | RIG_QIE), 0);
    assert_true(rig->unit.unit.broken);
    assert_false(rig->unit.enabled);
    rig->lost = 3;
    rig->sticky_prs = false;
    expect_revival(rig);
}

static void write_buffer_dead(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    unsigned busy;

    (void)state;
    for (busy = 0; busy < 2; busy++) {
        hwm_vtd_cfg_default(&cfg);
        cfg.rwbf = true;
        rig = rig_new_enabled(&cfg);
        hwm_stall(rig->hw, true);
        if (busy) { /* somebody's one-shot never ends */
            rig_write(rig, RIG_GCMD, 4, RIG_TE | RIG_QIE | RIG_WBF);
        }
        assert_int_equal(rig_submit(rig, (struct pvi_inv){.kind = PVI_INV_WBUF}), -PVI_EHW);
        hwm_stall(rig->hw, false);
        assert_null(hwm_violation(rig->hw));
        expect_broken(rig, 0);
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stalled),
        cmocka_unit_test(completes_at_the_last_moment),
        cmocka_unit_test(full_and_dead),
        cmocka_unit_test(queue_error),
        cmocka_unit_test(queue_error_when_full),
        cmocka_unit_test(broken_by_another_cpu),
        cmocka_unit_test(unit_gone),
        cmocka_unit_test(unit_vanishes),
        cmocka_unit_test(up_but_for_the_last_step),
        cmocka_unit_test(write_buffer_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
