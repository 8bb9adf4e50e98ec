/* SPDX-License-Identifier: MIT */
/*
 * The invalidation queue of the VT-d driver against the hardware model: order, wrap, completion
 * (R8), several CPUs, the write buffer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vtd_rig.h"

#define RID  0x0310u
#define IOVA 0x123456789000ull

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
    /* Every wait writes a word and holds back what follows (SW, FN), the one of a fence aside. */
    assert_int_equal(told[1].raw[0] & 0xffffffff, 0x65);
    assert_int_equal(told[10].raw[0] & 0xffffffff, 0x65);
    assert_int_equal(told[1].iova & ~0xfffull, rig->unit.status.a);
    assert_int_equal(told[10].iova & ~0xfffull, rig->unit.status.a);
    assert_true(told[1].iova != told[10].iova);
    assert_int_equal(pvi_vtd_unit_submit(&rig->unit, inv, 0), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    rig_down(rig);
}

/*
 * Between the context cache's invalidation and the IOTLB's a device uses what is still cached. With
 * any order of execution that the unit may choose, nothing of the old table stays.
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
        rig_down(rig);
    }
}

/*
 * Many times round the ring, in batches of all sizes; fetched at once, or slot by slot behind
 * the tail.
 */
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
        rig_gate(rig, mode & 2 ? 3 : 0);
        for (sent = 0; sent < 3 * 300; sent += 3) { /* the tail wraps to 0, to 1 and to 2 */
            for (i = 0; i < 3; i++) {
                inv[i] = rig_pages(1, (uint64_t)(sent + i) << 12, 12);
            }
            assert_int_equal(pvi_vtd_unit_submit(&rig->unit, inv, 3), 0);
        }
        for (n = 1; n <= 600; n += n < 300 ? 7 : 75) {
            for (i = 0; i < n; i++) {
                inv[i] = rig_pages(1, (uint64_t)(sent + i) << 12, 12);
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
        rig_down(rig);
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
        assert_int_equal(rig_submit(rig, rig_pages(1, (uint64_t)i << 12, 12)), 0);
    }
    assert_int_equal(hwm_log_count(rig->hw, HWM_TLB_PAGE), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
    assert_int_equal(hwm_log_count(rig->hw, HWM_TLB_PAGE), 20);
    assert_int_equal(hwm_pending(rig->hw), 0);
    assert_true(rig->polls >= 20 * 50);
    rig_down(rig);
}

/*
 * R8, CVE-2026-68329: while one CPU waits, others queue and wait too; a completion of one that was
 * queued earlier must satisfy nobody later. The callback of the wait plays the other CPU.
 */
static void other_cpu(struct vtd_rig *rig)
{
    unsigned depth = rig->depth;

    (void)hwm_step(rig->hw, 1);
    if (depth < 4) {
        assert_int_equal(rig_submit(rig, rig_pages(100 + depth, 0x1000, 12)), 0);
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
    assert_int_equal(rig_submit(rig, rig_pages(100, 0x1000, 12)), 0);
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
    rig_down(rig);
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
        struct pvi_inv inv[2] = {rig_pages(10 + cpu->id, IOVA, 12), rig_pages(50, 0x1000, 12)};

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
    rig_down(rig);
}

/* Write buffer --------------------------------------------------------------------------------- */

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
    rig_down(rig);

    cfg.rwbf = true;
    rig = rig_new_enabled(&cfg);
    hwm_set_lazy(rig->hw, true, 5);
    assert_int_equal(rig_submit(rig, wbuf), 0);
    assert_int_equal(hwm_log_count(rig->hw, HWM_WBF), 1); /* done when the call returns */
    assert_int_equal(hwm_log_count(rig->hw, HWM_WAIT), 0);
    assert_int_equal(rig_read(rig, RIG_GSTS, 4) & (RIG_TE | RIG_QIE), RIG_TE | RIG_QIE);
    rig_down(rig);
}

static void wbuf_cpu(struct vtd_rig *rig)
{
    if (rig->depth == 1) {
        assert_int_equal(rig_submit(rig, (struct pvi_inv){.kind = PVI_INV_WBUF}), 0);
    }
    if (rig->polls % 3 == 0) {
        (void)hwm_step(rig->hw, 1);
    }
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
    rig_down(rig);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
