/* SPDX-License-Identifier: MIT */
/*
 * The invalidation queue of the VT-d driver against the hardware model: order, wrap, completion (R8), several
 * CPUs, and a unit that stops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "vtd_rig.h"

#define RID  0x0310u
#define IOVA 0x123456789000ull

static struct pvi_inv pages(unsigned did, uint64_t iova, unsigned lg2)
{
    struct pvi_inv inv = {
        .kind = PVI_INV_PAGES, .did = (uint16_t)did, .iova = iova, .lg2 = (uint8_t)lg2};

    return inv;
}

static void down(struct vtd_rig *rig)
{
    assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
    rig_free(rig);
}

/* What is executed is what was asked for, and a context-cache entry goes before what follows. */
static void kinds_in_order(void **state)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    const struct pvi_inv inv[] = {
        {.kind = PVI_INV_DEVICE, .rid = RID, .did = 7},
        {.kind = PVI_INV_DEVICE, .rid = RID ^ 1, .did = 7, .was_absent = true},
        {.kind = PVI_INV_DOMAIN, .did = 7},
        {.kind = PVI_INV_PAGES, .did = 9, .lg2 = 21, .iova = 0x200000, .leaf_only = true},
        {.kind = PVI_INV_PAGES, .did = 9, .lg2 = 12, .iova = 0x1000},
        {.kind = PVI_INV_WBUF},
        {.kind = PVI_INV_ALL},
    };
    const struct hwm_told *told;
    char letters[64];
    size_t nr;

    (void)state;
    assert_int_equal(pvi_vtd_unit_submit(&rig->unit, inv, sizeof(inv) / sizeof(inv[0])), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    assert_string_equal(rig_told(rig, letters, sizeof(letters)), "dwdwtppCwTw");
    told = hwm_log(rig->hw, &nr);
    assert_int_equal(told[0].rid, RID);
    assert_int_equal(told[0].did, 7);
    assert_int_equal(told[2].rid, RID ^ 1);
    assert_int_equal(told[2].did, 0);
    assert_int_equal(told[4].did, 7);
    assert_int_equal(told[5].did, 9);
    assert_int_equal(told[5].iova, 0x200000);
    assert_int_equal(told[5].lg2, 21);
    assert_true(told[5].leaf_only);
    assert_int_equal(told[6].lg2, 12);
    assert_false(told[6].leaf_only);
    assert_int_equal(pvi_vtd_unit_submit(&rig->unit, inv, 0), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    down(rig);
}

/*
 * Between the context cache's invalidation and the IOTLB's a device uses what is still cached. With any order
 * of execution that the unit may choose, nothing of the old table stays.
 */
static void old_entry_never_refills(void **state)
{
    uint64_t one, two;
    struct vtd_rig *rig;
    unsigned seed;
    bool absent;

    (void)state;
    for (seed = 1; seed < 40; seed++) {
        rig = rig_new_enabled(NULL);
        one = rig_frame(rig);
        two = rig_frame(rig);
        hwm_set_reorder(rig->hw, seed);
        hwm_watch(rig->hw, RID, IOVA);
        assert_int_equal(rig_switch(rig, RID, 4, 5, rig_table(rig, 4, IOVA, one), &absent), 0);
        assert_int_equal(rig_dma(rig, RID, IOVA, true), one);
        assert_int_equal(rig_switch(rig, RID, 4, 6, rig_table(rig, 4, IOVA, two), &absent), 0);
        assert_int_equal(rig_forget(rig, RID, 5, absent), 0);
        assert_false(hwm_cached_iova(rig->hw, 5, IOVA));
        assert_int_equal(rig_dma(rig, RID, IOVA, true), two);
        assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), 0);
        assert_int_equal(rig_submit(rig, (struct pvi_inv){.kind = PVI_INV_ALL}), 0);
        assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
        assert_false(hwm_cached_iova(rig->hw, 6, IOVA));
        assert_int_equal(rig_dma(rig, RID, IOVA, true), RIG_BLOCKED);
        hwm_watch_clear(rig->hw);
        down(rig);
    }
}

/* Many times round the ring, in batches of all sizes; fetched at once, or slot by slot behind the tail. */
static void wraps(void **state)
{
    struct pvi_inv inv[600];
    const struct hwm_told *told;
    struct vtd_rig *rig;
    struct hwm_vtd_cfg cfg;
    unsigned mode, n, i, sent;
    size_t nr, k;

    (void)state;
    for (mode = 0; mode < 4; mode++) {
        hwm_vtd_cfg_default(&cfg);
        cfg.coherent = mode & 1;
        rig = rig_new_enabled(&cfg);
        rig->gate = mode & 2;
        sent = 0;
        for (n = 1; n <= 600; n += n < 300 ? 7 : 75) {
            for (i = 0; i < n; i++) {
                inv[i] = pages(1, (uint64_t)(sent + i) << 12, 12);
            }
            assert_int_equal(pvi_vtd_unit_submit(&rig->unit, inv, n), 0);
            sent += n;
            if (n % 3 == 0) {
                assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
                assert_int_equal(hwm_log_count(rig->hw, HWM_TLB_PAGE), sent);
            }
        }
        assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
        assert_true(sent > 2000);
        assert_int_equal(hwm_log_count(rig->hw, HWM_TLB_PAGE), sent);
        told = hwm_log(rig->hw, &nr);
        for (k = 0, i = 0; k < nr; k++) {
            if (told[k].kind == HWM_TLB_PAGE) {
                assert_int_equal(told[k].iova, (uint64_t)i++ << 12);
            }
        }
        down(rig);
    }
}

/* R8: not before the last command is executed, however late. */
static void completes_late(void **state)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    unsigned i;

    (void)state;
    hwm_set_lazy(rig->hw, true, 50);
    for (i = 0; i < 20; i++) {
        assert_int_equal(rig_submit(rig, pages(1, (uint64_t)i << 12, 12)), 0);
    }
    assert_int_equal(hwm_log_count(rig->hw, HWM_TLB_PAGE), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    assert_int_equal(hwm_log_count(rig->hw, HWM_TLB_PAGE), 20);
    assert_int_equal(hwm_pending(rig->hw), 0);
    assert_true(rig->polls >= 20 * 50);
    down(rig);
}

/*
 * R8, CVE-2026-68329: while one CPU waits, others queue and wait too; a completion of one that was queued
 * earlier must satisfy nobody later. The callback of the wait plays the other CPU.
 */
static void other_cpu(struct vtd_rig *rig)
{
    unsigned depth = rig->depth;

    (void)hwm_step(rig->hw, 1);
    if (depth < 4) {
        assert_int_equal(rig_submit(rig, pages(100 + depth, 0x1000, 12)), 0);
        assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
        assert_true(hwm_log_count(rig->hw, HWM_TLB_PAGE) >= 1 + depth);
    }
}

static void completion_means_mine(void **state)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    const struct hwm_told *told;
    uint16_t seen[8] = {0};
    size_t nr, i, found = 0;

    (void)state;
    hwm_set_lazy(rig->hw, true, 0);
    rig->on_poll = other_cpu;
    assert_int_equal(rig_submit(rig, pages(100, 0x1000, 12)), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    rig->on_poll = NULL;
    told = hwm_log(rig->hw, &nr);
    for (i = 0; i < nr && found < 8; i++) {
        if (told[i].kind == HWM_TLB_PAGE) {
            seen[found++] = told[i].did;
        }
    }
    assert_true(found >= 4);
    assert_int_equal(seen[0], 100);
    assert_int_equal(seen[3], 103);
    hwm_set_lazy(rig->hw, false, 0);
    down(rig);
}

#define CPUS   4
#define ROUNDS 400

struct cpu {
    struct vtd_rig *rig;
    unsigned id, late;
};

/* Each CPU looks after its wait whether the model has really executed its own invalidation. */
static void *cpu_run(void *opaque)
{
    struct cpu *cpu = opaque;
    struct vtd_rig *rig = cpu->rig;
    unsigned i;
    bool held;

    for (i = 0; i < ROUNDS; i++) {
        struct pvi_inv inv[2] = {pages(10 + cpu->id, IOVA, 12), pages(50, 0x1000, 12)};

        (void)rig_dma(rig, (uint16_t)cpu->id, IOVA, false);
        if (pvi_vtd_unit_submit(&rig->unit, inv, 1 + (i & 1)) || pvi_vtd_unit_wait(&rig->unit)) {
            cpu->late = ROUNDS;
            break;
        }
        pthread_mutex_lock(&rig->lock);
        held = hwm_cached_iova(rig->hw, (uint16_t)(10 + cpu->id), IOVA);
        pthread_mutex_unlock(&rig->lock);
        cpu->late += held;
    }
    return NULL;
}

static void several_cpus(void **state)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    struct cpu cpu[CPUS];
    pthread_t thread[CPUS];
    unsigned i;
    bool absent;

    (void)state;
    for (i = 0; i < CPUS; i++) {
        uint64_t root = rig_table(rig, 4, IOVA, rig_frame(rig));

        cpu[i] = (struct cpu){rig, i, 0};
        assert_int_equal(rig_switch(rig, (uint16_t)i, 4, (uint16_t)(10 + i), root, &absent), 0);
    }
    hwm_set_lazy(rig->hw, true, 1);
    for (i = 0; i < CPUS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, cpu_run, &cpu[i]), 0);
    }
    for (i = 0; i < CPUS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    for (i = 0; i < CPUS; i++) {
        assert_int_equal(cpu[i].late, 0);
    }
    assert_int_equal(hwm_log_count(rig->hw, HWM_TLB_PAGE), CPUS * ROUNDS * 3 / 2);
    hwm_set_lazy(rig->hw, false, 0);
    down(rig);
}

/* Write buffer ---------------------------------------------------------------------------------- */

static void write_buffer(void **state)
{
    const struct pvi_inv wbuf = {.kind = PVI_INV_WBUF};
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    uint64_t writes;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    rig = rig_new_enabled(&cfg); /* a unit that needs none */
    writes = rig->writes;
    assert_int_equal(rig_submit(rig, wbuf), 0);
    assert_int_equal(rig->writes, writes);
    down(rig);

    cfg.rwbf = true;
    rig = rig_new_enabled(&cfg);
    hwm_set_lazy(rig->hw, true, 5);
    assert_int_equal(rig_submit(rig, wbuf), 0);
    assert_int_equal(hwm_log_count(rig->hw, HWM_WBF), 1); /* done when the call returns */
    assert_int_equal(hwm_log_count(rig->hw, HWM_WAIT), 0);
    assert_int_equal(rig_read(rig, RIG_GSTS, 4) & (RIG_TE | RIG_QIE), RIG_TE | RIG_QIE);
    down(rig);
}

static void wbuf_cpu(struct vtd_rig *rig)
{
    if (rig->depth == 1) {
        assert_int_equal(rig_submit(rig, (struct pvi_inv){.kind = PVI_INV_WBUF}), 0);
    }
    (void)hwm_step(rig->hw, 1);
}

/* The one-shot is never started while it runs: the model notes a violation. */
static void write_buffer_twice(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.rwbf = true;
    rig = rig_new_enabled(&cfg);
    hwm_set_lazy(rig->hw, true, 0);
    rig->on_poll = wbuf_cpu;
    assert_int_equal(rig_submit(rig, (struct pvi_inv){.kind = PVI_INV_WBUF}), 0);
    rig->on_poll = NULL;
    assert_true(hwm_log_count(rig->hw, HWM_WBF) >= 2);
    assert_null(hwm_violation(rig->hw));
    hwm_set_lazy(rig->hw, false, 0);
    down(rig);
}

/* Trouble --------------------------------------------------------------------------------------- */

/* A broken unit: told once, nothing new translates, blocking works, its pages stay with it. */
static void expect_broken(struct vtd_rig *rig, uint64_t fsts)
{
    uint64_t status = 0, lost = 0, frame = rig_frame(rig);
    bool absent;

    assert_true(rig->unit.unit.broken);
    assert_int_equal(rig_events(rig, PVI_EVENT_UNIT_ERROR, &status), 1);
    assert_int_equal(status >> 16 & 0x70, fsts);
    assert_int_equal(rig_submit(rig, pages(1, 0, 12)), -PVI_EHW);
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
    down(rig);
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
    assert_int_equal(rig_submit(rig, pages(5, IOVA, 12)), 0);
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
    assert_int_equal(rig_submit(rig, pages(5, IOVA, 12)), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    pvi_posix_fail(rig->host, PVI_AT_POLL, 0, false);
    rig->on_poll = NULL;
    assert_false(rig->unit.unit.broken);
    down(rig);
}

/* A full ring that nobody empties. */
static void full_and_dead(void **state)
{
    struct vtd_rig *rig = rig_with_device();
    unsigned i;
    int rc = 0;

    (void)state;
    rig->gate = true; /* and the gate never opens, because nobody polls ... */
    pvi_posix_fail(rig->host, PVI_AT_POLL, 1, true); /* ... for long */
    for (i = 0; i < 300 && rc == 0; i++) {
        rc = rig_submit(rig, pages(5, (uint64_t)i << 12, 12));
    }
    assert_int_equal(rc, -PVI_EHW);
    assert_true(i > 250 && i <= 256);
    pvi_posix_fail(rig->host, PVI_AT_POLL, 0, false);
    rig->gate = false;
    expect_broken(rig, 0);
    expect_revival(rig);
}

/* IQE: the descriptor at the head cannot be fetched. Seen long before the host gives up. */
static void queue_error(void **state)
{
    struct vtd_rig *rig = rig_with_device();

    (void)state;
    hwm_inject(rig->hw, HWM_INJECT_IQE, 1);
    assert_int_equal(rig_submit(rig, pages(5, IOVA, 12)), 0);
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
        rc = rig_submit(rig, pages(5, (uint64_t)i << 12, 12));
    }
    assert_int_equal(rc, -PVI_EHW);
    assert_int_equal(rig->polls, 0);
    expect_broken(rig, 0x10);
    expect_revival(rig);
}

/* Another CPU finds the unit broken while this one waits: no need to wait for the host's patience. */
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
    assert_int_equal(rig_submit(rig, pages(5, IOVA, 12)), 0);
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
    assert_int_equal(rig_submit(rig, pages(5, IOVA, 12)), 0);
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
        cmocka_unit_test(kinds_in_order),
        cmocka_unit_test(old_entry_never_refills),
        cmocka_unit_test(wraps),
        cmocka_unit_test(completes_late),
        cmocka_unit_test(completion_means_mine),
        cmocka_unit_test(several_cpus),
        cmocka_unit_test(write_buffer),
        cmocka_unit_test(write_buffer_twice),
        cmocka_unit_test(stalled),
        cmocka_unit_test(completes_at_the_last_moment),
        cmocka_unit_test(full_and_dead),
        cmocka_unit_test(queue_error),
        cmocka_unit_test(queue_error_when_full),
        cmocka_unit_test(broken_by_another_cpu),
        cmocka_unit_test(unit_gone),
        cmocka_unit_test(write_buffer_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
