/* SPDX-License-Identifier: MIT */
/* AMD-Vi driver against the hardware model: command ring, completion (R8), event log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_bench.h"

#define RING_ENTRIES 256u

static struct bench b;

static int up(void **state)
{
    struct hwm_amd_cfg hw;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_up(&b, &hw);
    return 0;
}

static int up_with_erratum(void **state)
{
    struct hwm_amd_cfg hw;

    (void)state;
    hwm_amd_cfg_default(&hw);
    hw.err_732 = true;
    bench_up(&b, &hw);
    return 0;
}

static int down(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

/* Commands */

static void invalidations_reach_the_unit(void **state)
{
    struct pvi_inv inv[4] = {INV_PAGES(7, 0x40000000, 30), INV_PAGES(8, 0x5000, 12), INV_DOMAIN(9),
                             INV_DEVICE(0x310)};
    const struct hwm_told *log;
    size_t nr;

    (void)state;
    inv[1].leaf_only = true;
    assert_int_equal(pvi_amdvi_unit_submit(&b.u, inv, 4), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    log = hwm_log(b.hw, &nr);
    assert_int_equal(nr, 6);
    assert_int_equal(log[0].kind, HWM_TLB_PAGE);
    assert_int_equal(log[0].did, 7);
    assert_int_equal(log[0].iova, 0x40000000);
    assert_int_equal(log[0].lg2, 30);
    assert_false(log[0].leaf_only);
    assert_int_equal(log[1].kind, HWM_TLB_PAGE);
    assert_int_equal(log[1].did, 8);
    assert_int_equal(log[1].iova, 0x5000);
    assert_int_equal(log[1].lg2, 12);
    assert_true(log[1].leaf_only);
    assert_int_equal(log[2].kind, HWM_TLB_DOMAIN);
    assert_int_equal(log[2].did, 9);
    assert_false(log[2].leaf_only);
    assert_int_equal(log[3].kind, HWM_CTX_DEVICE);
    assert_int_equal(log[3].rid, 0x310);
    /* Nothing may overtake the entry: a fence (F, and a store that nobody reads), then the wait itself. */
    assert_int_equal(log[4].kind, HWM_WAIT);
    assert_int_equal(log[4].raw[0] & 7, 5);
    assert_int_equal(log[5].kind, HWM_WAIT);
    assert_int_equal(log[5].raw[0] & 7, 1);

    /* Nothing to tell: no command, and no second wait either. */
    inv[0].kind = PVI_INV_WBUF;
    assert_int_equal(pvi_amdvi_unit_submit(&b.u, inv, 1), 0);
    assert_int_equal(pvi_amdvi_unit_submit(&b.u, inv, 0), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    (void)hwm_log(b.hw, &nr);
    assert_int_equal(nr, 6);
}

/* Every page of a domain once, in order, many times around the ring, in one call or in many. */
static void ring_wraps(void **state)
{
    static struct pvi_inv inv[3 * RING_ENTRIES];
    const unsigned nr_inv = sizeof(inv) / sizeof(inv[0]);
    const struct hwm_told *log;
    unsigned pages = 0;
    size_t nr;

    (void)state;
    for (unsigned i = 0; i < nr_inv; i++) {
        inv[i] = INV_PAGES(3, i * 0x1000ull, 12);
    }
    assert_int_equal(pvi_amdvi_unit_submit(&b.u, inv, nr_inv), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    for (unsigned i = 0; i < nr_inv; i++) {
        assert_int_equal(pvi_amdvi_unit_submit(&b.u, &inv[i], 1), 0);
        if (i % 7 == 0) {
            assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
        }
    }
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    log = hwm_log(b.hw, &nr);
    for (size_t i = 0; i < nr; i++) {
        if (log[i].kind == HWM_TLB_PAGE) {
            assert_int_equal(log[i].iova, pages % nr_inv * 0x1000ull);
            pages++;
        }
    }
    assert_int_equal(pages, 2 * nr_inv);
}

/* A flush costs one register write: the doorbell is rung once, by the wait. */
static void doorbells_are_few(void **state)
{
    unsigned before = b.writes;

    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        assert_int_equal(bench_inv(&b, INV_PAGES(3, i * 0x1000ull, 12)), 0);
    }
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_int_equal(b.writes, before + 1);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_int_equal(b.writes, before + 1);
}

/* Queues until not one command more fits. */
static unsigned fill_ring(void)
{
    unsigned n = 0;

    while ((b.u.tail + 16) % 4096 != b.u.head) {
        assert_int_equal(bench_inv(&b, INV_PAGES(3, n * 0x1000ull, 12)), 0);
        n++;
    }
    return n;
}

/* From now on the unit seems to have fetched nothing, for so many looks at its head. */
static void slow_fetch(unsigned looks)
{
    b.stale_head = b.u.head;
    b.stale_heads = looks;
}

/* R8: a slot is always obtainable, also of a unit that is slow to fetch. */
static void full_ring_waits_for_room(void **state)
{
    unsigned n;

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        n = fill_ring();
        slow_fetch(200);
        assert_int_equal(bench_inv(&b, INV_PAGES(4, n * 0x1000ull, 12)), 0);
        assert_int_equal(b.stale_heads, 0);
        assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
        assert_int_equal(hwm_log_count(b.hw, HWM_TLB_PAGE), n + 1);
        hwm_log_reset(b.hw);
    }
}

/* Completion */

static unsigned stage;
static bool inner_done;

/*
 * Two CPUs, interleaved by hand: the second one flushes while the first one polls. Its own
 * invalidation is behind the first one's COMPLETION_WAIT, whose completion must not satisfy it.
 */
static void second_flush(void *opaque)
{
    (void)opaque;
    switch (stage++) {
    case 0:
        assert_int_equal(bench_inv(&b, INV_PAGES(2, 0x2000, 12)), 0);
        assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
        inner_done = true;
        assert_int_equal(hwm_log_count(b.hw, HWM_TLB_PAGE), 2);
        break;
    case 1:
        assert_int_equal(hwm_step(b.hw, 2), 2); /* the first CPU's two commands */
        break;
    case 2:
        assert_false(inner_done);
        assert_int_equal(hwm_step(b.hw, 1), 1); /* the invalidation, without its wait */
        break;
    case 3:
        assert_false(inner_done);
        assert_int_equal(hwm_step(b.hw, 1), 1);
        break;
    default:
        fail_msg("polled on after completion");
    }
}

static void completion_means_mine(void **state)
{
    (void)state;
    hwm_set_lazy(b.hw, true, 0);
    stage = 0;
    inner_done = false;
    pvi_posix_poll(b.h, 100, second_flush, NULL);
    assert_int_equal(bench_inv(&b, INV_PAGES(1, 0x1000, 12)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_true(inner_done);
    assert_int_equal(stage, 4);
    hwm_set_lazy(b.hw, false, 0);
}

/* The second CPU finds a COMPLETION_WAIT queued behind its commands: it may share it, but has to
 * wait for it. */
static void second_wait(void *opaque)
{
    (void)opaque;
    switch (stage++) {
    case 0:
        assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
        inner_done = true;
        assert_int_equal(hwm_log_count(b.hw, HWM_WAIT), 1);
        break;
    case 1:
        assert_int_equal(hwm_step(b.hw, 1), 1);
        break;
    case 2:
        assert_false(inner_done);
        assert_int_equal(hwm_step(b.hw, 2), 1);
        break;
    default:
        fail_msg("polled on after completion");
    }
}

static void shared_completion_is_waited_for(void **state)
{
    (void)state;
    hwm_set_lazy(b.hw, true, 0);
    stage = 0;
    inner_done = false;
    pvi_posix_poll(b.h, 100, second_wait, NULL);
    assert_int_equal(bench_inv(&b, INV_PAGES(1, 0x1000, 12)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_true(inner_done);
    assert_int_equal(stage, 3);
    assert_int_equal(hwm_log_count(b.hw, HWM_WAIT), 1);
    hwm_set_lazy(b.hw, false, 0);
}

/* While this CPU waits for room, with the lock dropped, another one gets through with a flush of
 * its own. */
static void second_in_full_ring(void *opaque)
{
    (void)opaque;
    if (stage++ == 0) {
        assert_int_equal(bench_inv(&b, INV_PAGES(2, 0x2000, 12)), 0);
        assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
        assert_int_equal(hwm_pending(b.hw), 0);
    }
}

static void full_ring_with_company(void **state)
{
    unsigned n;

    (void)state;
    pvi_posix_poll(b.h, 100, second_in_full_ring, NULL);
    for (unsigned round = 0; round < 5; round++) {
        n = fill_ring();
        slow_fetch(3);
        stage = 0;
        assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0); /* needs room for its COMPLETION_WAIT */
        assert_int_equal(b.stale_heads, 0);
        assert_true(stage > 0);
        /* The other CPU's COMPLETION_WAIT is behind all that there was: there is no need for a
         * second one. */
        assert_int_equal(hwm_log_count(b.hw, HWM_TLB_PAGE), n + 1);
        assert_int_equal(hwm_log_count(b.hw, HWM_WAIT), 1);
        assert_int_equal(hwm_pending(b.hw), 0);
        hwm_log_reset(b.hw);
    }
}

struct racer {
    pthread_t thread;
    uint16_t did;
    unsigned missed, errors;
};

/* Has the unit executed the invalidation of that page? */
static bool executed(uint16_t did, uint64_t iova)
{
    const struct hwm_told *log;
    bool found = false;
    size_t nr;

    pthread_mutex_lock(&b.lock);
    log = hwm_log(b.hw, &nr);
    for (size_t i = nr; i-- > 0 && !found;) {
        found = log[i].kind == HWM_TLB_PAGE && log[i].did == did && log[i].iova == iova;
    }
    pthread_mutex_unlock(&b.lock);
    return found;
}

static void *race(void *opaque)
{
    struct racer *r = opaque;

    for (unsigned i = 0; i < 400; i++) {
        struct pvi_inv inv = INV_PAGES(r->did, i * 0x1000ull, 12);

        r->errors += pvi_amdvi_unit_submit(&b.u, &inv, 1) != 0;
        r->errors += pvi_amdvi_unit_wait(&b.u) != 0;
        r->missed += !executed(r->did, i * 0x1000ull);
    }
    return NULL;
}

static void many_cpus_flush(void **state)
{
    struct racer r[4];

    (void)state;
    hwm_set_lazy(b.hw, true, 2);
    memset(r, 0, sizeof(r));
    for (unsigned i = 0; i < 4; i++) {
        r[i].did = (uint16_t)(i + 1);
        assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(r[i].errors, 0);
        assert_int_equal(r[i].missed, 0);
    }
    hwm_set_lazy(b.hw, false, 0);
    assert_int_equal(hwm_log_count(b.hw, HWM_TLB_PAGE), 1600);
    assert_true(hwm_log_count(b.hw, HWM_WAIT) <= 1600);
}

/* Trouble */

static void assert_broken(uint64_t run)
{
    uint64_t status;

    assert_true(b.u.unit.broken);
    assert_int_equal(bench_events(&b, PVI_EVENT_UNIT_ERROR, NULL, &status), 1);
    assert_int_equal(status & 1ull << 4, run);
    assert_int_equal(bench_inv(&b, INV_DOMAIN(1)), -PVI_EHW);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), -PVI_EHW);
    /* It takes no new translation, but blocking works, as do the ids. */
    assert_int_equal(bench_switch(&b, 5, BENCH_DATA, 4, 1), -PVI_EHW);
    assert_int_equal(bench_dte(&b, 5)[0], 0x3);
    assert_int_equal(bench_block(&b, 5), 0);
    assert_int_equal(bench_events(&b, PVI_EVENT_UNIT_ERROR, NULL, NULL), 1);
    b.violations_expected = true;
    b.pages_lost = true;
}

static void stalled_unit(void **state)
{
    (void)state;
    hwm_stall(b.hw, true);
    pvi_posix_poll(b.h, 500, NULL, NULL);
    assert_int_equal(bench_inv(&b, INV_PAGES(1, 0x1000, 12)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), -PVI_EHW); /* no timeout is ever a success */
    assert_broken(1ull << 4);
}

static void illegal_command(void **state)
{
    struct pvi_fault f;

    (void)state;
    hwm_inject(b.hw, HWM_INJECT_ILLEGAL, 1);
    assert_int_equal(bench_inv(&b, INV_PAGES(1, 0x1000, 12)), 0);
    assert_int_equal(bench_inv(&b, INV_PAGES(1, 0x2000, 12)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), -PVI_EHW);
    assert_true(pvi_posix_calls(b.h, PVI_AT_POLL) < 1000); /* seen in the status, not by patience */
    assert_broken(0);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f),
                     1); /* the log of a broken unit can be read */
    assert_int_equal(f.code >> 12, 5);
    assert_false(f.translation);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
}

static void illegal_command_in_a_full_ring(void **state)
{
    unsigned n = 0;
    int rc;

    (void)state;
    hwm_inject(b.hw, HWM_INJECT_CMD_HW, 0);
    do {
        rc = bench_inv(&b, INV_PAGES(1, n * 0x1000ull, 12));
        n++;
        assert_true(n < 2 * RING_ENTRIES);
    } while (rc == 0);
    assert_int_equal(rc, -PVI_EHW);
    assert_true(n >= RING_ENTRIES - 1);
    assert_broken(0);
}

static void vanished_unit(void **state)
{
    uint64_t polls = pvi_posix_calls(b.h, PVI_AT_POLL);
    struct pvi_fault f;

    (void)state;
    for (unsigned reg = 0; reg < 0x2028 / 8; reg++) {
        b.or_mask[reg] = UINT64_MAX;
    }
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), -PVI_EHW);
    assert_int_equal(pvi_posix_calls(b.h, PVI_AT_POLL), polls); /* nothing to wait for */
    for (unsigned i = 0; i < RING_ENTRIES - 1 && !b.u.unit.broken; i++) {
        (void)bench_inv(&b, INV_PAGES(1, i * 0x1000ull, 12));
    }
    memset(b.or_mask, 0, sizeof(b.or_mask));
    assert_true(b.u.unit.broken);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), -PVI_EHW);
    b.violations_expected = true;
    b.pages_lost = true;
}

/* Events */

static void cause_fault(uint16_t rid, uint64_t iova, bool write)
{
    assert_int_equal(hwm_dma(b.hw, rid, iova, write, NULL, NULL), HWM_FAULT);
}

static void faults_are_told(void **state)
{
    uint64_t root = bench_page(&b);
    struct pvi_fault f;

    (void)state;
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
    bench_map(&b, root, 4, 0x5000, BENCH_DATA, true, false);
    assert_int_equal(bench_switch(&b, 0x310, root, 4, 0x77), 0);
    assert_int_equal(bench_inv(&b, INV_DEVICE(0x310)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    cause_fault(0x310, 0x5123, true);
    cause_fault(0x310, 0x7000, false);
    cause_fault(0x311, 0x8000, false);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_int_equal(f.rid, 0x310);
    assert_int_equal(f.iova & ~0xFFFull, 0x5000);
    assert_int_equal(f.did, 0x77);
    assert_int_equal(f.code >> 12, 2);
    assert_true(f.write && f.translation);
    assert_int_equal(f.code & 0x010, 0x010); /* PR: present, but not for writing */
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_int_equal(f.iova, 0x7000);
    assert_false(f.write);
    assert_int_equal(f.code & 0x010, 0);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_int_equal(f.rid, 0x311);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
}

/* Around the log several times; what was read is zeroed (errata 732, 733). */
static void log_wraps(void **state)
{
    uint64_t log = bench_reg(&b, R_EVTBASE) & 0xFFFFFFFFFF000ull;
    struct pvi_fault f;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        cause_fault((uint16_t)i, i * 0x1000ull, (i & 1) != 0);
        if (i % 3 == 2) {
            for (unsigned n = i - 2; n <= i; n++) {
                assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
                assert_int_equal(f.rid, n);
                assert_int_equal(f.iova, n * 0x1000ull);
            }
        }
    }
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
    for (unsigned at = 0; at < 0x1000; at += 8) {
        assert_int_equal(*bench_ptr(&b, log + at), 0);
    }
}

static void log_overflows(void **state)
{
    struct pvi_fault f;
    uint64_t status;

    (void)state;
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 300; i++) {
            cause_fault((uint16_t)i, i * 0x1000ull, false);
        }
        for (unsigned i = 0; i < RING_ENTRIES - 1; i++) {
            assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
            assert_int_equal(f.rid, i);
        }
        assert_int_equal(bench_events(&b, PVI_EVENT_UNIT_ERROR, NULL, NULL), round - 1);
        assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
        /* The host knows that there were more, and the log runs again. */
        assert_int_equal(bench_events(&b, PVI_EVENT_UNIT_ERROR, NULL, &status), round);
        assert_int_equal(status & 1, 1);
        assert_false(b.u.unit.broken);
        assert_int_equal(bench_reg(&b, R_STATUS) & (1 | 1 << 3), 1 << 3);
        cause_fault(0x4444, 0x1000, true);
        assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
        assert_int_equal(f.rid, 0x4444);
        assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
    }
}

/* The log says that it runs although it overflowed: not restarted, and said so. */
static void log_never_stops(void **state)
{
    struct pvi_fault f;

    (void)state;
    pvi_posix_poll(b.h, 100, NULL, NULL);
    b.or_mask[R_STATUS / 8] = 1 | 1 << 3;
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), -PVI_EHW);
    b.or_mask[R_STATUS / 8] = 0;
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
    assert_int_equal(bench_events(&b, PVI_EVENT_UNIT_ERROR, NULL, NULL), 0);
}

/* Erratum 732: the tail is seen before the entry. */
static void late_entries(void **state)
{
    struct pvi_fault f;

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        cause_fault((uint16_t)i, i * 0x1000ull, false);
        assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
        assert_int_equal(f.rid, i);
        assert_int_equal(f.iova, i * 0x1000ull);
    }
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 0);
}

/* An entry that never comes is given up, and those behind it are read. */
static void lost_entry(void **state)
{
    uint64_t tail = bench_reg(&b, R_EVTTAIL);
    struct pvi_fault f;

    (void)state;
    pvi_posix_poll(b.h, 100, NULL, NULL);
    b.or_mask[R_EVTTAIL / 8] = (tail + 16) & 0xFF0;
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), -PVI_EHW);
    b.or_mask[R_EVTTAIL / 8] = 0;
    assert_false(b.u.unit.broken);
    assert_int_equal(bench_reg(&b, R_EVTHEAD), tail + 16);
    hwm_mmio_write(b.hw, R_CONTROL, 8, bench_reg(&b, R_CONTROL) & ~4ull);
    hwm_mmio_write(b.hw, R_EVTTAIL, 8, tail + 16);
    hwm_mmio_write(b.hw, R_CONTROL, 8, bench_reg(&b, R_CONTROL) | 4);
    cause_fault(0x99, 0x1000, false);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_int_equal(f.rid, 0x99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(invalidations_reach_the_unit, up, down),
        cmocka_unit_test_setup_teardown(ring_wraps, up, down),
        cmocka_unit_test_setup_teardown(doorbells_are_few, up, down),
        cmocka_unit_test_setup_teardown(full_ring_waits_for_room, up, down),
        cmocka_unit_test_setup_teardown(full_ring_with_company, up, down),
        cmocka_unit_test_setup_teardown(completion_means_mine, up, down),
        cmocka_unit_test_setup_teardown(shared_completion_is_waited_for, up, down),
        cmocka_unit_test_setup_teardown(many_cpus_flush, up, down),
        cmocka_unit_test_setup_teardown(stalled_unit, up, down),
        cmocka_unit_test_setup_teardown(illegal_command, up, down),
        cmocka_unit_test_setup_teardown(illegal_command_in_a_full_ring, up, down),
        cmocka_unit_test_setup_teardown(vanished_unit, up, down),
        cmocka_unit_test_setup_teardown(faults_are_told, up, down),
        cmocka_unit_test_setup_teardown(log_wraps, up, down),
        cmocka_unit_test_setup_teardown(log_overflows, up, down),
        cmocka_unit_test_setup_teardown(log_never_stops, up, down),
        cmocka_unit_test_setup_teardown(late_entries, up_with_erratum, down),
        cmocka_unit_test_setup_teardown(lost_entry, up, down),
    };

    return cmocka_run_group_tests_name("amdvi ring", tests, NULL, NULL);
}
