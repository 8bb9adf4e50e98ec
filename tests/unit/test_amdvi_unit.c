/* SPDX-License-Identifier: MIT */
/* AMD-Vi driver against the hardware model: capabilities, bring-up, take-over, shut-down, device
 * entries, domain ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_bench.h"

static const uint16_t some_rids[] = {0x0000, 0x0001, 0x0310, 0x7FFF, 0x8000, 0xFFFF};
#define NR_RIDS (sizeof(some_rids) / sizeof(some_rids[0]))

/* Capabilities */

static void capabilities(void **state)
{
    static const uint8_t mask[] = {0x18, 0x38, 0x78};
    static const uint8_t width[] = {48, 57, 64};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        static struct bench b;
        struct hwm_amd_cfg hw;
        struct pvi_unit_caps *c = &b.u.unit.caps;

        hwm_amd_cfg_default(&hw);
        hw.levels = 4 + i;
        hw.np_cache = i == 1;
        bench_open(&b, &hw);
        b.cfg.pa_bits = i == 0 ? 0 : 48;
        assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
        assert_ptr_equal(c->format, &pvi_amdvi_v1_ops);
        assert_int_equal(c->levels_mask, mask[i]);
        assert_int_equal(c->iova_bits, width[i]);
        assert_int_equal(c->page_sizes, 0xffffffffff000ull & ~(1ull << 39)); /* 512 GiB is an erratum */
        assert_int_equal(c->pa_bits, i == 0 ? 52 : 48);
        assert_true(c->coherent && c->page_selective && c->snoop && !c->write_buffer);
        assert_int_equal(c->np_cache, i == 1);
        assert_int_equal(c->inv_max_lg2, 51);
        assert_int_equal(c->inv_max_nr, 32);
        assert_int_equal(c->nr_dids, PVI_DID_MAX);
        assert_int_equal(b.writes, 0);

        b.cfg.levels_mask = 0x06; /* the caller may ask for shallow tables */
        b.cfg.iova_bits = 28;
        b.cfg.pa_bits = 60;
        assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
        assert_int_equal(c->levels_mask, 0x06);
        assert_int_equal(c->iova_bits, 28);
        assert_int_equal(c->pa_bits, 52);
        b.cfg.iova_bits = 0;
        assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
        assert_int_equal(c->iova_bits, 30);
        b.cfg.levels_mask = 0x81; /* no level at all, or 7: there is no such table */
        assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), -PVI_EOPNOTSUPP);
        bench_close(&b);
    }
}

static void features(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_open(&b, &hw);
    /* The IVHD's copy wins over the register. */
    b.cfg.efr_copy = true;
    b.cfg.efr = 1ull << 10;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    assert_int_equal(b.u.unit.caps.levels_mask, 0x38);
    /* HATS 3 and HATDis: no host translation. */
    b.cfg.efr = 3ull << 10;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), -PVI_EOPNOTSUPP);
    b.cfg.efr_copy = false;
    b.cfg.hat_dis = true;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), -PVI_EOPNOTSUPP);
    b.cfg.hat_dis = false;
    /* Without EFRSup the register means nothing, and neither does a copy. */
    b.cfg.efr_sup = false;
    b.cfg.efr_copy = true;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    assert_int_equal(b.u.unit.caps.levels_mask, 0x18);
    b.cfg.efr_sup = true;
    /* Registers of all ones: nobody is there. */
    b.or_mask[R_EFR / 8] = UINT64_MAX;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), -PVI_EOPNOTSUPP);
    b.or_mask[R_EFR / 8] = 0;
    b.or_mask[R_CONTROL / 8] = UINT64_MAX;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), -PVI_EOPNOTSUPP);
    b.or_mask[R_CONTROL / 8] = 0;
    b.cfg.reg_pa++;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), -PVI_EINVAL);
    assert_int_equal(b.writes, 0);
    bench_close(&b);
}

/* Bring-up */

static void bring_up(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    const struct hwm_told *log;
    size_t nr;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_open(&b, &hw);
    b.cfg.ivhd_flags = 0x0B; /* HtTunEn, PassPW, Isoc */
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), -PVI_EBUSY);
    assert_false(b.unfilled);
    assert_int_equal(pvi_posix_pages_used(b.h), BENCH_UNIT_PAGES);
    assert_int_equal(bench_reg(&b, R_DEVTAB) & 0xFFF, 0x1FF);
    assert_int_equal(bench_reg(&b, R_DEVTAB) & 0x1FF000, 0);
    assert_int_equal(bench_reg(&b, R_CMDBASE) >> 52, 0x080);
    assert_int_equal(bench_reg(&b, R_EVTBASE) >> 52, 0x080);
    /* IommuEn, EventLogEn, CmdBufEn; time-out 1 s; Coherent; HtTunEn, PassPW, Isoc; nothing else */
    assert_int_equal(bench_reg(&b, R_CONTROL), 1ull | 1ull << 1 | 1ull << 2 | 4ull << 5 |
                                                   1ull << 8 | 1ull << 10 | 1ull << 11 |
                                                   1ull << 12);
    /* The last thing that bring-up does is to empty the caches, and it waits for that. */
    log = hwm_log(b.hw, &nr);
    assert_int_equal(nr, 2);
    assert_int_equal(log[0].kind, HWM_ALL);
    assert_int_equal(log[1].kind, HWM_WAIT);
    assert_int_equal(hwm_pending(b.hw), 0);
    for (size_t i = 0; i < NR_RIDS; i++) {
        assert_true(bench_blocked(&b, some_rids[i], 0, NULL));
        assert_true(bench_blocked(&b, some_rids[i], BENCH_DATA, NULL));
    }
    bench_close(&b);
}

/* No unit can do without IASup but by naming every device and every domain. */
static void bring_up_without_all(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    size_t counts[5];

    (void)state;
    hwm_amd_cfg_default(&hw);
    hw.ia_sup = false;
    bench_open(&b, &hw);
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
    assert_int_equal(hwm_log_count(b.hw, HWM_CTX_DEVICE), 0x10000);
    assert_int_equal(hwm_log_count(b.hw, HWM_IRT), 0x10000);
    assert_int_equal(hwm_log_count(b.hw, HWM_TLB_DOMAIN), 0x10000);
    assert_int_equal(hwm_log_count(b.hw, HWM_ALL), 0);
    assert_int_equal(hwm_log_count(b.hw, HWM_WAIT), 2); /* a fence between entries and pages, and the end */
    hwm_cache_counts(b.hw, counts);
    assert_int_equal(counts[0] + counts[2] + counts[3], 0);
    bench_close(&b);
}

/* Firmware left the unit running: its table, ring, log and exclusion range, and caches full of
 * them. */
static void take_over(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    uint64_t control;

    (void)state;
    hwm_amd_cfg_default(&hw);
    hw.seg_sup = 3;
    hw.gt_sup = hw.gio_sup = hw.gcr3_trp = true;
    bench_open(&b, &hw);
    hwm_mmio_write(b.hw, R_DEVTAB, 8, bench_page(&b)); /* 128 entries of zero: all pass */
    hwm_mmio_write(b.hw, R_CMDBASE, 8, bench_page(&b) | 8ull << 56);
    hwm_mmio_write(b.hw, R_EVTBASE, 8, bench_page(&b) | 8ull << 56);
    hwm_mmio_write(b.hw, R_EXCL, 8, BENCH_DATA | 3);
    hwm_mmio_write(b.hw, R_LIMIT, 8, BENCH_DATA | 0xFFF);
    /* Everything on but Coherent: rings, interrupts, logs, eight segments, MARC, GTEn, GCR3TRPMode, and
     * bit 49. */
    control = 0x1BFFull | 7ull << 13 | 1ull << 16 | 3ull << 28 | 15ull << 30 | 3ull << 34 |
              1ull << 40 | 1ull << 49 | 1ull << 58;
    hwm_mmio_write(b.hw, R_CONTROL, 8, control);
    assert_int_equal(hwm_dma(b.hw, 3, 0x1000, true, NULL, NULL), HWM_PASS);
    assert_int_equal(hwm_dma(b.hw, 3, BENCH_DATA, true, NULL, NULL), HWM_PASS);
    hwm_watch(b.hw, 3, 0x1000); /* the unit speculates all the time */

    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
    hwm_watch_clear(b.hw);
    assert_true(bench_blocked(&b, 3, 0x1000, NULL));
    assert_true(bench_blocked(&b, 3, BENCH_DATA, NULL));
    assert_int_equal(bench_reg(&b, R_EXCL), 0);
    assert_int_equal(bench_reg(&b, R_LIMIT), 0);
    assert_int_equal(bench_reg(&b, R_CONTROL), 1ull | 1ull << 2 | 4ull << 5 | 1ull << 10 |
                                                   1ull << 12 | 1ull << 49);
    /* What the library does not know it leaves alone: bit 49. */
    bench_close(&b);
}

/* R12: whichever page is missing, no register was touched and nothing is kept. */
static void bring_up_short_of_memory(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    static const enum pvi_posix_point at[] = {PVI_AT_PAGE_ALLOC, PVI_AT_PAGES_ALLOC};
    unsigned failures = 0;

    (void)state;
    hwm_amd_cfg_default(&hw);
    for (size_t p = 0; p < 2; p++) {
        for (unsigned n = 1; n < 10; n++) {
            int rc;

            bench_open(&b, &hw);
            assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
            pvi_posix_fail(b.h, at[p], n, false);
            rc = pvi_amdvi_unit_enable(&b.u);
            pvi_posix_fail(b.h, at[p], 0, false);
            if (rc == 0) {
                bench_close(&b);
                break;
            }
            failures++;
            assert_int_equal(rc, -PVI_ENOMEM);
            assert_int_equal(b.writes, 0);
            assert_int_equal(pvi_posix_pages_used(b.h), 0);
            assert_false(b.u.unit.broken);
            assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0); /* and the next attempt succeeds */
            bench_close(&b);
        }
    }
    assert_int_equal(failures, 5); /* ring, log, semaphore, ids; table */
}

static void assert_dead(struct bench *b)
{
    struct pvi_fault f;
    uint16_t did;

    assert_true(b->u.unit.broken);
    assert_int_equal(pvi_amdvi_unit_enable(&b->u), -PVI_EHW);
    assert_int_equal(bench_inv(b, INV_DOMAIN(1)), -PVI_ENOTINIT);
    assert_int_equal(pvi_amdvi_unit_wait(&b->u), -PVI_ENOTINIT);
    assert_int_equal(bench_block(b, 1), -PVI_ENOTINIT);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b->u, &f), -PVI_ENOTINIT);
    assert_int_equal(pvi_amdvi_unit_did_alloc(&b->u, &did), -PVI_ENOTINIT);
}

/* Units that do not follow, at each step. */
static void bring_up_of_broken_units(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    uint64_t a, v;

    (void)state;
    hwm_amd_cfg_default(&hw);
    for (unsigned how = 0; how < 5; how++) {
        bench_open(&b, &hw);
        assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
        b.u.unit.index = 7;
        b.violations_expected =
            how >= 3; /* a ring is stopped with commands in it: there is no other way */
        switch (how) {
        case 0: /* the rings never stop */
            b.or_mask[R_STATUS / 8] = 1ull << 4;
            break;
        case 1: /* the unit cannot be switched off */
            b.or_mask[R_CONTROL / 8] = 1;
            break;
        case 2: /* the rings never start */
            b.and_not[R_STATUS / 8] = 1ull << 3;
            break;
        case 3: /* commands are never executed */
            hwm_stall(b.hw, true);
            break;
        default: /* the same, and then it cannot be switched off any more */
            hwm_stall(b.hw, true);
            b.control_keeps = 1;
            break;
        }
        assert_int_equal(pvi_amdvi_unit_enable(&b.u), -PVI_EHW);
        assert_int_equal(bench_events(&b, PVI_EVENT_UNIT_ERROR, &a, NULL), 1);
        assert_int_equal(a, 7);
        assert_dead(&b);
        if (how < 2) {
            assert_int_equal(bench_reg(&b, R_DEVTAB), 0);
        }
        if (how == 4) {
            /* The unit may still use the pages: they are never given back, and the host is told. */
            assert_int_equal(bench_events(&b, PVI_EVENT_FLUSH_FAILED, &a, &v), 1);
            assert_int_equal(a, 7);
            assert_int_equal(v, 515);
            assert_true(pvi_posix_pages_used(b.h) >= 515);
            hwm_free(b.hw);
            pvi_posix_free(b.h);
            continue;
        }
        assert_int_equal(bench_events(&b, PVI_EVENT_FLUSH_FAILED, NULL, NULL), 0);
        assert_int_equal(pvi_posix_pages_used(b.h), 0);
        assert_int_equal(bench_reg(&b, R_CONTROL) & 1, 0);
        bench_close(&b);
    }
}

/* Shut-down */

/* R22 */
static void assert_scrubbed(struct bench *b, uint64_t pa, uint64_t len)
{
    for (uint64_t at = 0; at < len; at += 8) {
        if (*bench_ptr(b, pa + at) != 0) {
            fail_msg("not scrubbed: %#llx", (unsigned long long)(pa + at));
        }
    }
}

static void shut_down(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    const struct hwm_told *log;
    uint64_t root, table, page[3];
    size_t nr;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_up(&b, &hw);
    root = bench_page(&b);
    bench_map(&b, root, 4, 0x5000, BENCH_DATA, true, true);
    assert_int_equal(bench_switch(&b, 0x310, root, 4, 1), 0);
    assert_int_equal(bench_inv(&b, INV_DEVICE(0x310)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_false(bench_blocked(&b, 0x310, 0x5000, NULL));
    table = bench_reg(&b, R_DEVTAB) & ~0xFFFull;
    page[0] = bench_reg(&b, R_CMDBASE) & 0xFFFFFFFFFF000ull;
    page[1] = bench_reg(&b, R_EVTBASE) & 0xFFFFFFFFFF000ull;
    page[2] = b.u.semaphore.a;
    hwm_log_reset(b.hw);

    assert_int_equal(pvi_amdvi_unit_disable(&b.u), 0);
    log = hwm_log(b.hw, &nr);
    assert_int_equal(nr, 2);
    assert_int_equal(log[0].kind, HWM_ALL);
    assert_int_equal(log[1].kind, HWM_WAIT);
    assert_int_equal(pvi_posix_pages_used(b.h), 0);
    assert_scrubbed(&b, table, 0x200000);
    for (unsigned i = 0; i < 3; i++) {
        assert_scrubbed(&b, page[i], 0x1000);
    }
    assert_int_equal(bench_reg(&b, R_CONTROL) & (1 | 1ull << 2 | 1ull << 12), 0);
    assert_int_equal(bench_reg(&b, R_DEVTAB), 0);
    assert_int_equal(hwm_dma(b.hw, 0x310, 0x5000, true, NULL, NULL), HWM_PASS);
    assert_int_equal(pvi_amdvi_unit_disable(&b.u), 0);

    /* And up again, blocking again. */
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
    assert_true(bench_blocked(&b, 0x310, 0x5000, NULL));
    bench_close(&b);
}

/* A unit that does not answer is not switched off: it fails closed, and its pages stay with it. */
static void shut_down_of_a_dead_unit(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    uint64_t root, used, a, v;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_up(&b, &hw);
    root = bench_page(&b);
    bench_map(&b, root, 4, 0x5000, BENCH_DATA, true, true);
    assert_int_equal(bench_switch(&b, 0x310, root, 4, 1), 0);
    used = pvi_posix_pages_used(b.h);
    hwm_stall(b.hw, true);
    assert_int_equal(pvi_amdvi_unit_disable(&b.u), -PVI_EHW);
    assert_true(b.u.unit.broken);
    assert_int_equal(bench_events(&b, PVI_EVENT_FLUSH_FAILED, &a, &v), 1);
    assert_int_equal(v, 515);
    assert_int_equal(pvi_posix_pages_used(b.h), used);
    assert_int_equal(bench_reg(&b, R_CONTROL) & 1, 1);
    assert_int_equal(bench_dte(&b, 0x310)[0], 0x3);
    assert_true(bench_blocked(&b, 0x311, 0x5000, NULL));
    b.pages_lost = true;
    bench_close(&b);
}

/* Device entries */

struct store_watch {
    struct bench *b;
    unsigned stores;
};

/* A unit that reads the entry between any two stores finds it valid: V and TV never go away. */
static void watch_stores(void *opaque, enum pvi_posix_point at, bool after)
{
    struct store_watch *w = opaque;

    (void)at;
    w->stores += after;
    assert_int_equal(bench_dte(w->b, 0x310)[0] & 3, 3);
}

/* R3, R11: root, depth, rights and domain id change by one store. */
static void one_store_per_switch(void **state)
{
    static struct bench b;
    struct store_watch w = {.b = &b};
    struct hwm_amd_cfg hw;
    unsigned expected = 0;

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    hwm_amd_cfg_default(&hw);
    bench_up(&b, &hw);
    pvi_posix_hook(b.h, PVI_AT_BIT(PVI_AT_WRITE), watch_stores, &w);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(bench_switch(&b, 0x310, BENCH_DATA + i * 0x1000, 3 + i, (uint16_t)(i + 1)),
                         0);
        assert_int_equal(w.stores, ++expected);
    }
    assert_int_equal(bench_block(&b, 0x310), 0);
    assert_int_equal(w.stores, ++expected);
    assert_int_equal(bench_block(&b, 0x310), 0); /* nothing to change, nothing stored */
    assert_int_equal(w.stores, expected);
    pvi_posix_hook(b.h, 0, NULL, NULL);
    bench_close(&b);
}

static void switching(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;
    uint64_t one, two, pa;
    uint64_t *dte;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_up(&b, &hw);
    one = bench_page(&b);
    two = bench_page(&b);
    bench_map(&b, one, 4, 0x5000, BENCH_DATA, true, true);
    bench_map(&b, two, 3, 0x5000, BENCH_DATA + 0x1000, true, true);
    dte = bench_dte(&b, 0x310);
    dte[2] = 0x0123456789ABCDE1ull; /* whoever remaps interrupts owns the upper half */
    dte[3] = 0xFEDCBA9876543210ull;

    assert_true(bench_blocked(&b, 0x310, 0x5000, NULL));
    assert_int_equal(bench_switch(&b, 0x310, one, 4, 1), 0);
    assert_int_equal(dte[0], one | 0x6000000000000803ull);
    assert_int_equal(dte[1], 1);
    assert_true(bench_blocked(&b, 0x310, 0x5000, NULL)); /* no invalidation yet */
    assert_int_equal(bench_inv(&b, INV_DEVICE(0x310)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_false(bench_blocked(&b, 0x310, 0x5000, &pa));
    assert_int_equal(pa, BENCH_DATA);

    /* One 128-bit store changes root, depth and domain id: the unit sees all of it or nothing
     * (R11). */
    assert_int_equal(bench_switch(&b, 0x310, two, 3, 2), 0);
    assert_int_equal(bench_inv(&b, INV_DEVICE(0x310)), 0);
    assert_int_equal(bench_inv(&b, INV_DOMAIN(1)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_false(bench_blocked(&b, 0x310, 0x5000, &pa));
    assert_int_equal(pa, BENCH_DATA + 0x1000);
    assert_true(bench_blocked(&b, 0x311, 0x5000, NULL));

    assert_int_equal(bench_block(&b, 0x310), 0);
    assert_int_equal(dte[0], 0x3);
    assert_int_equal(dte[1], 0);
    assert_int_equal(bench_inv(&b, INV_DEVICE(0x310)), 0);
    assert_int_equal(bench_inv(&b, INV_DOMAIN(2)), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_true(bench_blocked(&b, 0x310, 0x5000, NULL));
    assert_int_equal(dte[2], 0x0123456789ABCDE1ull);
    assert_int_equal(dte[3], 0xFEDCBA9876543210ull);
    dte[2] = 0;
    dte[3] = 0;
    bench_close(&b);
}

/* Neighbours in a page and at its ends keep their entries. */
static void switching_of_neighbours(void **state)
{
    static const uint16_t rid[] = {0, 1, 127, 128, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF};
    const unsigned nr = sizeof(rid) / sizeof(rid[0]);
    static struct bench b;
    struct hwm_amd_cfg hw;
    unsigned set = 0;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_up(&b, &hw);
    for (unsigned i = 0; i < nr; i++) {
        assert_int_equal(
            bench_switch(&b, rid[i], BENCH_DATA + i * 0x1000, 3 + i % 4, (uint16_t)(i + 1)), 0);
    }
    for (unsigned i = 0; i < nr; i++) {
        assert_int_equal(bench_dte(&b, rid[i])[0],
                         (BENCH_DATA + i * 0x1000) | 0x6000000000000003ull | (3 + i % 4) << 9);
        assert_int_equal(bench_dte(&b, rid[i])[1], i + 1);
    }
    for (unsigned id = 0; id < 0x10000; id++) {
        set += bench_dte(&b, (uint16_t)id)[0] != 0x3;
        assert_int_equal(bench_dte(&b, (uint16_t)id)[2] | bench_dte(&b, (uint16_t)id)[3], 0);
    }
    assert_int_equal(set, nr);
    bench_close(&b);
}

static void refused_entries(void **state)
{
    static struct bench b;
    struct hwm_amd_cfg hw;

    (void)state;
    hwm_amd_cfg_default(&hw);
    hw.levels = 5;
    bench_open(&b, &hw);
    b.cfg.pa_bits = 44;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    assert_int_equal(bench_switch(&b, 5, BENCH_DATA, 4, 1), -PVI_ENOTINIT);
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
    for (unsigned levels = 0; levels < 256; levels++) {
        assert_int_equal(bench_switch(&b, 5, BENCH_DATA, levels, 1),
                         levels >= 3 && levels <= 5 ? 0 : -PVI_EOPNOTSUPP);
    }
    assert_int_equal(bench_block(&b, 5), 0);
    assert_int_equal(bench_switch(&b, 5, BENCH_DATA, 4, 0), -PVI_EOPNOTSUPP);
    assert_int_equal(bench_switch(&b, 5, BENCH_DATA, 4, PVI_DID_MAX), -PVI_EOPNOTSUPP);
    assert_int_equal(bench_switch(&b, 5, BENCH_DATA, 4, 0xFFFF), -PVI_EOPNOTSUPP);
    assert_int_equal(bench_switch(&b, 5, BENCH_DATA + 8, 4, 1), -PVI_EOPNOTSUPP);
    assert_int_equal(bench_switch(&b, 5, 1ull << 44, 4, 1), -PVI_EOPNOTSUPP);
    assert_int_equal(bench_switch(&b, 5, 1ull << 63, 4, 1), -PVI_EOPNOTSUPP);
    assert_int_equal(bench_dte(&b, 5)[0], 0x3);
    assert_int_equal(bench_dte(&b, 5)[1], 0);
    assert_int_equal(bench_switch(&b, 5, (1ull << 44) - 0x1000, 5, PVI_DID_MAX - 1), 0);
    bench_close(&b);
}

/* Domain ids */

static void domain_ids(void **state)
{
    static uint8_t given[PVI_DID_MAX];
    static struct bench b;
    struct hwm_amd_cfg hw;
    uint16_t did;

    (void)state;
    hwm_amd_cfg_default(&hw);
    bench_up(&b, &hw);
    memset(given, 0, sizeof(given));
    for (unsigned i = 1; i < PVI_DID_MAX; i++) {
        assert_int_equal(pvi_amdvi_unit_did_alloc(&b.u, &did), 0);
        assert_true(did != 0 && did < PVI_DID_MAX && given[did] == 0);
        given[did] = 1;
    }
    assert_int_equal(pvi_amdvi_unit_did_alloc(&b.u, &did), -PVI_ENOSPC);
    pvi_amdvi_unit_did_free(&b.u, 0x1234);
    assert_int_equal(pvi_amdvi_unit_did_alloc(&b.u, &did), 0);
    assert_int_equal(did, 0x1234);
    assert_int_equal(pvi_amdvi_unit_did_alloc(&b.u, &did), -PVI_ENOSPC);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities),
        cmocka_unit_test(features),
        cmocka_unit_test(bring_up),
        cmocka_unit_test(bring_up_without_all),
        cmocka_unit_test(take_over),
        cmocka_unit_test(bring_up_short_of_memory),
        cmocka_unit_test(bring_up_of_broken_units),
        cmocka_unit_test(shut_down),
        cmocka_unit_test(shut_down_of_a_dead_unit),
        cmocka_unit_test(one_store_per_switch),
        cmocka_unit_test(switching),
        cmocka_unit_test(switching_of_neighbours),
        cmocka_unit_test(refused_entries),
        cmocka_unit_test(domain_ids),
    };

    return cmocka_run_group_tests_name("amdvi unit", tests, NULL, NULL);
}
