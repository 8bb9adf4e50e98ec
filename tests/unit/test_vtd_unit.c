/* SPDX-License-Identifier: MIT */
/*
 * The VT-d unit driver against the hardware model: up, down, requesters. The queue and the faults
 * have programs of their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vtd_rig.h"

#define RID  0x0310u
#define IOVA 0x123456789000ull

/* Capabilities --------------------------------------------------------------------------------- */

static void init_reads_registers(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    const struct pvi_unit_caps *caps;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.sagaw = 0xc;
    cfg.mgaw = 57;
    cfg.haw = 40;
    cfg.did_bits = 8;
    cfg.mamv = 9;
    cfg.sz_1g = false;
    cfg.cm = cfg.rwbf = true;
    rig = rig_new(&cfg);
    caps = &rig->unit.unit.caps;
    assert_ptr_equal(rig->unit.unit.host, rig->host);
    assert_int_equal(caps->levels_mask, 1u << 4 | 1u << 5);
    assert_int_equal(caps->iova_bits, 57);
    assert_int_equal(caps->pa_bits, 40);
    assert_int_equal(caps->page_sizes, 1u << 12 | 1u << 21);
    assert_int_equal(caps->nr_dids, 256);
    assert_int_equal(caps->inv_max_lg2, 21);
    assert_true(caps->np_cache && caps->write_buffer && caps->coherent && caps->snoop);
    rig_free(rig);
}

static void init_refuses(void **state)
{
    struct vtd_rig *rig = rig_new(NULL);
    struct pvi_vtd_cfg cfg = {.reg_pa = RIG_REGS, .reg_size = RIG_REGS_SIZE, .haw_bits = 46};
    uint64_t cap = rig->unit.cap, ecap = rig->unit.ecap;

    (void)state;
    assert_int_equal(rig_init(rig, 0, RIG_REGS_SIZE), -PVI_EINVAL);
    assert_int_equal(rig_init(rig, 46, 0x80), -PVI_EINVAL);
    assert_int_equal(rig_init(rig, 46, 0x400), -PVI_EINVAL); /* fault records lie at 0x400 */
    cfg.reg_pa = 0;
    assert_int_equal(pvi_vtd_unit_init(&rig->unit, rig->host, &cfg), -PVI_EINVAL);
    cfg.reg_pa = RIG_REGS + 0x800;
    assert_int_equal(pvi_vtd_unit_init(&rig->unit, rig->host, &cfg), -PVI_EINVAL);
    cfg.reg_pa = RIG_REGS + RIG_REGS_SIZE; /* nobody answers: all ones */
    assert_int_equal(pvi_vtd_unit_init(&rig->unit, rig->host, &cfg), -PVI_EHW);
    hwm_vtd_override_caps(rig->hw, UINT64_MAX, ecap);
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), -PVI_EHW);
    hwm_vtd_override_caps(rig->hw, cap, UINT64_MAX);
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), -PVI_EHW);
    hwm_vtd_override_caps(rig->hw, cap, ecap & ~2ull);
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), -PVI_EOPNOTSUPP);
    hwm_vtd_override_caps(rig->hw, cap & ~0x1f00ull, ecap);
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), -PVI_EOPNOTSUPP);
    hwm_vtd_override_caps(rig->hw, cap, ecap);
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), 0);
    assert_int_equal(rig->writes, 0);
    rig_free(rig);
}

/* Up and down ---------------------------------------------------------------------------------- */

static void up_and_down(void **state)
{
    static const struct {
        bool esrtps, rwbf, cm, incoherent;
        const char *told;
    } row[] = {
        {false, false, false, false, "RCwTw"}, {true, false, false, false, "R"},
        {false, true, false, false, "bRCwTw"}, {false, false, true, false, "RCwTw"},
        {false, false, false, true, "RCwTw"},  {true, true, true, true, "bR"},
    };
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    unsigned i, lazy;
    char told[64];

    (void)state;
    for (i = 0; i < 2 * sizeof(row) / sizeof(row[0]); i++) {
        lazy = i & 1;
        hwm_vtd_cfg_default(&cfg);
        cfg.esrtps = row[i / 2].esrtps;
        cfg.rwbf = row[i / 2].rwbf;
        cfg.cm = row[i / 2].cm;
        cfg.coherent = !row[i / 2].incoherent;
        rig = rig_new(&cfg);
        hwm_set_lazy(rig->hw, lazy, 3);
        assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0);
        assert_string_equal(rig_told(rig, told, sizeof(told)), row[i / 2].told);
        assert_int_equal(rig_read(rig, RIG_GSTS, 4) & (RIG_TE | RIG_QIE), RIG_TE | RIG_QIE);
        assert_int_equal(rig_read(rig, RIG_FECTL, 4) >> 31, 1);
        assert_int_equal(rig_read(rig, RIG_IECTL, 4) >> 31, 1);
        assert_int_equal(rig_dma(rig, RID, IOVA, true), RIG_BLOCKED);
        assert_int_equal(rig_dma(rig, 0, 0, false), RIG_BLOCKED);
        assert_int_equal(rig_reason(rig, RID, IOVA), 1); /* root entry not present */
        assert_int_equal(rig_reason(rig, 0xffff, IOVA), 1);
        assert_int_equal(pvi_vtd_unit_enable(&rig->unit), -PVI_EBUSY);
        hwm_log_reset(rig->hw);
        assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
        assert_string_equal(rig_told(rig, told, sizeof(told)), "wCwTw");
        assert_int_equal(rig_read(rig, RIG_GSTS, 4) & (RIG_TE | RIG_QIE), 0);
        assert_int_equal(rig_dma(rig, RID, IOVA, true), IOVA);
        assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
        assert_int_equal(pvi_posix_events(rig->host, NULL), 0);
        rig_free(rig);
    }
}

/* A unit that is off takes no orders. */
static void off_is_off(void **state)
{
    struct vtd_rig *rig = rig_new(NULL);
    struct pvi_inv inv = {.kind = PVI_INV_ALL};
    bool was_absent;
    uint16_t did;

    (void)state;
    assert_int_equal(pvi_vtd_unit_submit(&rig->unit, &inv, 1), -PVI_ENOTINIT);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), -PVI_ENOTINIT);
    assert_int_equal(rig_switch(rig, RID, 4, 1, 0x1000, &was_absent), -PVI_ENOTINIT);
    assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &was_absent), -PVI_ENOTINIT);
    assert_int_equal(pvi_vtd_unit_did_alloc(&rig->unit, &did), -PVI_ENOTINIT);
    assert_int_equal(rig->writes, 0);
    rig_free(rig);
}

/* A unit with page requests has one more interrupt to mask. */
static void page_request_interrupt(void **state)
{
    struct vtd_rig *rig = rig_new(NULL);
    uint64_t cap = rig->unit.cap, ecap = rig->unit.ecap;
    unsigned prs;

    (void)state;
    for (prs = 0; prs < 2; prs++) {
        hwm_vtd_override_caps(rig->hw, cap, ecap | (uint64_t)prs << 29);
        assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), 0);
        assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0);
        assert_int_equal(rig->pectl, prs << 31);
        assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
    }
    rig_free(rig);
}

/* Plays firmware that left translation and a queue on, interrupts too, records full, PMRs on. */
static void firmware(struct vtd_rig *rig, bool stuck)
{
    uint64_t root = rig_page(rig), context = rig_page(rig), queue = rig_page(rig);
    uint64_t table = rig_table(rig, 4, IOVA, rig_frame(rig));
    unsigned i;

    rig_words(rig, root)[2 * (RID >> 8)] = context | 1;
    rig_words(rig, context)[2 * (RID & 0xff)] = table | 1;
    rig_words(rig, context)[2 * (RID & 0xff) + 1] = 7 << 8 | 2;
    rig_write(rig, RIG_RTADDR, 8, root);
    rig_write(rig, RIG_GCMD, 4, RIG_SRTP);
    rig_write(rig, RIG_IQA, 8, queue);
    rig_write(rig, RIG_GCMD, 4, RIG_QIE);
    rig_words(rig, queue)[0] = 0x11;
    rig_words(rig, queue)[2] = rig->cfg.drain ? 0xd2 : 0x12;
    rig_write(rig, RIG_IQT, 8, 0x20);
    rig_write(rig, RIG_GCMD, 4, RIG_QIE | RIG_TE);
    rig_write(rig, RIG_PMEN, 4, 1u << 31);
    rig_write(rig, RIG_FECTL, 4, 0);
    rig_write(rig, RIG_IECTL, 4, 0);
    assert_null(hwm_violation(rig->hw));
    assert_true(rig_dma(rig, RID, IOVA, true) != RIG_BLOCKED);
    for (i = 0; i < 2 * rig->cfg.nr_frcd; i++) {
        assert_int_equal(rig_dma(rig, (uint16_t)i, 0x5000, true), RIG_BLOCKED);
    }
    assert_true(rig_read(rig, RIG_FSTS, 4) & 1);
    if (stuck) {
        rig_words(rig, queue)[4] = 0xe; /* no such descriptor */
        rig_write(rig, RIG_IQT, 8, 0x30);
        assert_true(rig_read(rig, RIG_FSTS, 4) & 0x10);
        hwm_violation_clear(rig->hw);
    }
    hwm_log_reset(rig->hw);
}

static void takes_over_from_firmware(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct pvi_fault fault;
    struct vtd_rig *rig;
    unsigned how;

    (void)state;
    for (how = 0; how < 3; how++) {
        bool stuck = how == 1;

        hwm_vtd_cfg_default(&cfg);
        cfg.plmr = cfg.phmr = true;
        rig = rig_new(&cfg);
        firmware(rig, stuck);
        if (how == 2) { /* the old queue is busy, and gets the time that it takes */
            rig_words(rig, rig_read(rig, RIG_IQA, 8))[4] = 0xd2;
            rig_gate(rig, 2);
            rig_write(rig, RIG_IQT, 8, 0x30);
        }
        hwm_set_lazy(rig->hw, how != 2, 2);
        assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0);
        assert_int_equal(rig->gsts_at_root & (RIG_TE | RIG_QIE), RIG_QIE);
        assert_int_equal(rig_read(rig, RIG_FECTL, 4) >> 31, 1);
        assert_int_equal(rig_read(rig, RIG_IECTL, 4) >> 31, 1);
        assert_int_equal(rig_read(rig, RIG_FSTS, 4), 0);
        assert_int_equal(rig_read(rig, RIG_PMEN, 4), 0);
        assert_int_equal(rig_dma(rig, RID, IOVA, true), RIG_BLOCKED);
        assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &fault), 1);
        assert_int_equal(fault.rid, RID);
        assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &fault), 0);
        if (stuck) {
            /*
             * The model objects to a queue that goes with commands in it; there was no other
             * way.
             */
            assert_non_null(hwm_violation(rig->hw));
            hwm_violation_clear(rig->hw);
        }
        rig_down(rig);
    }
}

/* R12: without a page nothing is touched, and the next attempt works. */
static void up_without_pages(void **state)
{
    struct vtd_rig *rig = rig_new(NULL);
    unsigned nth;
    int rc;

    (void)state;
    for (nth = 1;; nth++) {
        pvi_posix_fail(rig->host, PVI_AT_PAGE_ALLOC, nth, false);
        rc = pvi_vtd_unit_enable(&rig->unit);
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, -PVI_ENOMEM);
        assert_int_equal(pvi_posix_pages_used(rig->host), 0);
        assert_int_equal(rig->writes, 0);
    }
    assert_int_equal(nth, 5); /* ids, root table, queue, status */
    rig_down(rig);
}

/*
 * The unit stops answering at every single wait of the bring-up. Nothing is given back that it may
 * reach, and after it has recovered the same driver brings it up.
 */
static void up_with_a_dead_unit(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    uint64_t lost, nth;
    int rc = -PVI_EHW;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.rwbf = cfg.plmr = true;
    for (nth = 1; rc != 0; nth++) {
        rig = rig_new(&cfg);
        firmware(rig, false);
        hwm_set_lazy(rig->hw, true, 9); /* more than the reads of one command */
        pvi_posix_fail(rig->host, PVI_AT_POLL, nth, true);
        rc = pvi_vtd_unit_enable(&rig->unit);
        pvi_posix_fail(rig->host, PVI_AT_POLL, 0, false);
        if (rc != 0) {
            assert_int_equal(rc, -PVI_EHW);
            assert_true(rig->unit.unit.broken);
            assert_int_equal(rig_events(rig, PVI_EVENT_UNIT_ERROR, NULL), 1);
            assert_int_equal(rig_events(rig, PVI_EVENT_FLUSH_FAILED, &lost), 1);
            assert_int_equal(pvi_posix_pages_used(rig->host), lost);
            assert_int_equal(lost, 3);
            while (hwm_step(rig->hw, 1)) {
            }
            hwm_violation_clear(rig->hw);
            hwm_set_lazy(rig->hw, false, 0);
            assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0);
            assert_false(rig->unit.unit.broken);
            assert_null(hwm_violation(rig->hw));
            assert_int_equal(rig_dma(rig, RID, IOVA, true), RIG_BLOCKED);
            assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
            rig->lost = lost;
        } else {
            assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
        }
        rig_free(rig);
    }
    assert_true(nth > 20);
}

/* Requesters ----------------------------------------------------------------------------------- */

/* R9, R20: on to a table, on to another, off; each caching and coherency mode. */
static void switches(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    uint64_t one, two;
    unsigned mode;
    bool absent;

    (void)state;
    for (mode = 0; mode < 8; mode++) {
        hwm_vtd_cfg_default(&cfg);
        cfg.coherent = mode & 1;
        cfg.cm = mode & 2;
        cfg.sagaw = 0x6;
        rig = rig_new_enabled(&cfg);
        hwm_set_reorder(rig->hw, mode & 4 ? mode : 0);
        one = rig_frame(rig);
        two = rig_frame(rig);
        assert_int_equal(rig_dma(rig, RID, 0x7654321000, true), RIG_BLOCKED);

        assert_int_equal(rig_switch(rig, RID, 4, 5, rig_table(rig, 4, 0x7654321000, one), &absent),
                         0);
        assert_true(absent);
        assert_int_equal(rig_walk(rig, RID, 0x7654321000), one);
        assert_int_equal(rig_forget(rig, RID, 5, absent), 0);
        assert_int_equal(rig_dma(rig, RID, 0x7654321000, true), one);
        assert_int_equal(rig_dma(rig, RID ^ 1, 0x7654321000, true), RIG_BLOCKED);
        assert_int_equal(rig_dma(rig, RID ^ 0x100, 0x7654321000, true), RIG_BLOCKED);
        assert_int_equal(rig_reason(rig, RID ^ 1, 0x7654321000), 2); /* context entry */
        assert_int_equal(rig_reason(rig, RID | 0xff, 0x7654321000), 2);

        assert_int_equal(rig_switch(rig, RID, 3, 6, rig_table(rig, 3, 0x7654321000, two), &absent),
                         0);
        assert_false(absent);
        assert_int_equal(rig_walk(rig, RID, 0x7654321000), two);
        assert_int_equal(rig_dma(rig, RID, 0x7654321000, true), one); /* no invalidation yet */
        assert_int_equal(rig_forget(rig, RID, 5, absent), 0);
        assert_int_equal(rig_dma(rig, RID, 0x7654321000, true), two);

        assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), 0);
        assert_false(absent);
        assert_int_equal(rig_forget(rig, RID, 6, absent), 0);
        assert_int_equal(rig_dma(rig, RID, 0x7654321000, true), RIG_BLOCKED);
        assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), 0);
        assert_true(absent);
        rig_down(rig);
    }
}

/*
 * The two words that a 128-bit switch must never show torn: at each store, one table or the
 * other.
 */
struct torn {
    struct vtd_rig *rig;
    uint64_t before, after;
    unsigned looks;
};

static void look(void *opaque, enum pvi_posix_point at, bool after)
{
    struct torn *t = opaque;
    uint64_t now = rig_walk(t->rig, RID, IOVA);

    (void)at;
    (void)after;
    t->looks++;
    if (now != t->before && now != t->after) {
        fail_msg("a device saw 0x%llx", (unsigned long long)now);
    }
}

static void switch_is_never_torn(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct torn t = {0};
    bool absent;
    unsigned i;

    (void)state;
    for (i = 0; i < 2; i++) {
        hwm_vtd_cfg_default(&cfg);
        cfg.sagaw = 0xc;
        cfg.mgaw = 57;
        cfg.coherent = i;
        t.rig = rig_new_enabled(&cfg);
        pvi_posix_hook(t.rig->host, PVI_AT_BIT(PVI_AT_WRITE) | PVI_AT_BIT(PVI_AT_WRITEBACK), look,
                       &t);
        t.before = RIG_BLOCKED;
        t.after = rig_frame(t.rig);
        assert_int_equal(rig_switch(t.rig, RID, 4, 5, rig_table(t.rig, 4, IOVA, t.after), &absent),
                         0);
        t.before = t.after;
        t.after = rig_frame(t.rig);
        assert_int_equal(rig_switch(t.rig, RID, 5, 6, rig_table(t.rig, 5, IOVA, t.after), &absent),
                         0);
        t.before = t.after;
        t.after = RIG_BLOCKED;
        assert_int_equal(rig_switch(t.rig, RID, 0, 0, 0, &absent), 0);
        pvi_posix_hook(t.rig->host, 0, NULL, NULL);
        assert_int_equal(pvi_vtd_unit_disable(&t.rig->unit), 0);
        rig_free(t.rig);
    }
    if (pvi_posix_recording()) {
        assert_true(t.looks >= 16);
    }
}

static void switch_refuses(void **state)
{
    struct vtd_rig *rig;
    struct hwm_vtd_cfg cfg;
    uint64_t frame, root;
    bool absent;

    (void)state;
    hwm_vtd_cfg_default(&cfg);
    cfg.did_bits = 8;
    cfg.haw = 40;
    rig = rig_new_enabled(&cfg);
    frame = rig_frame(rig);
    root = rig_table(rig, 4, IOVA, frame);
    assert_int_equal(rig_switch(rig, RID, 4, 255, root, &absent), 0);
    assert_int_equal(rig_switch(rig, RID, 3, 1, root, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, RID, 5, 1, root, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, RID, 2, 1, root, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, RID, 12, 1, root, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, RID, 4, 0, root, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, RID, 4, 256, root, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, RID, 4, 1, root + 8, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, RID, 4, 1, 1ull << 40, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_switch(rig, 0xff00, 4, 0, root, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(rig_walk(rig, RID, IOVA), frame);
    assert_int_equal(pvi_posix_pages_used(rig->host), 5); /* no table for bus 255 */
    rig_down(rig);
}

static void other_hand(void *opaque, enum pvi_posix_point at, bool after)
{
    struct vtd_rig *rig = opaque;
    uint64_t *slot = rig->opaque;

    (void)at;
    if (!after) {
        slot[1] ^= 8; /* a bit that hardware ignores */
    }
}

/* An entry that somebody else has written is left alone, and no success is claimed. */
static void switch_meets_another_hand(void **state)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    uint64_t frame = rig_frame(rig), root = rig_table(rig, 4, IOVA, frame), *slot;
    bool absent = true;

    (void)state;
    if (!pvi_posix_recording()) {
        rig_down(rig);
        skip();
    }
    pvi_posix_count_violations(rig->host, true);
    assert_int_equal(rig_switch(rig, RID, 4, 5, root, &absent), 0);
    slot = pvi_posix_ptr(rig->host, rig->unit.root.a + 16 * (RID >> 8), 16);
    slot = pvi_posix_ptr(rig->host, (slot[0] & ~0xfffull) + 16 * (RID & 0xff), 16);
    rig->opaque = slot;
    pvi_posix_hook(rig->host, PVI_AT_BIT(PVI_AT_WRITE), other_hand, rig);
    assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), -PVI_EHW);
    pvi_posix_hook(rig->host, 0, NULL, NULL);
    assert_true(absent);
    assert_int_equal(rig_walk(rig, RID, IOVA), frame);
    slot[1] ^= 8;
    assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), 0);
    assert_false(absent);
    rig_down(rig);
}

/* A context table for each bus, made when a requester of it first translates, and only then. */
static void context_tables_on_demand(void **state)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    uint64_t frame = rig_frame(rig), root = rig_table(rig, 4, IOVA, frame);
    unsigned bus, devfn;
    bool absent;

    (void)state;
    assert_int_equal(rig_switch(rig, RID, 0, 0, 0, &absent), 0);
    assert_true(absent);
    assert_int_equal(pvi_posix_pages_used(rig->host), 4);
    pvi_posix_fail(rig->host, PVI_AT_PAGE_ALLOC, 1, false);
    assert_int_equal(rig_switch(rig, RID, 4, 1, root, &absent), -PVI_ENOMEM);
    assert_int_equal(pvi_posix_pages_used(rig->host), 4);
    assert_int_equal(rig_dma(rig, RID, IOVA, true), RIG_BLOCKED);
    for (bus = 0; bus < 256; bus += 51) {
        for (devfn = 0; devfn < 256; devfn += 85) {
            assert_int_equal(rig_switch(rig, (uint16_t)(bus << 8 | devfn), 4, 1, root, &absent), 0);
            assert_true(absent);
        }
    }
    assert_int_equal(pvi_posix_pages_used(rig->host), 4 + 6);
    assert_int_equal(rig_walk(rig, 0xffff, IOVA), frame);
    assert_int_equal(rig_walk(rig, 0x33ff, IOVA), frame);
    assert_int_equal(rig_walk(rig, 0x3354, IOVA), RIG_BLOCKED);
    assert_int_equal(rig_walk(rig, 0x3200, IOVA), RIG_BLOCKED);
    rig_down(rig);
}

/* Another CPU links the table of the bus while this one waits for a page. */
static void link_race(void *opaque, enum pvi_posix_point at, bool after)
{
    struct vtd_rig *rig = opaque;
    bool absent;

    (void)at;
    if (after) {
        assert_int_equal(rig_switch(rig, RID ^ 1, 4, 2, *(uint64_t *)rig->opaque, &absent), 0);
        assert_true(absent);
    }
}

static void context_table_linked_twice(void **state)
{
    struct vtd_rig *rig = rig_new_enabled(NULL);
    uint64_t frame = rig_frame(rig), root = rig_table(rig, 4, IOVA, frame);
    bool absent;

    (void)state;
    rig->opaque = &root;
    pvi_posix_hook(rig->host, PVI_AT_BIT(PVI_AT_PAGE_ALLOC), link_race, rig);
    assert_int_equal(rig_switch(rig, RID, 4, 2, root, &absent), 0);
    pvi_posix_hook(rig->host, 0, NULL, NULL);
    assert_true(absent);
    assert_int_equal(pvi_posix_pages_used(rig->host), 4 + 1);
    assert_int_equal(rig_walk(rig, RID, IOVA), frame);
    assert_int_equal(rig_walk(rig, RID ^ 1, IOVA), frame);
    rig_down(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_reads_registers),
        cmocka_unit_test(init_refuses),
        cmocka_unit_test(up_and_down),
        cmocka_unit_test(off_is_off),
        cmocka_unit_test(page_request_interrupt),
        cmocka_unit_test(takes_over_from_firmware),
        cmocka_unit_test(up_without_pages),
        cmocka_unit_test(up_with_a_dead_unit),
        cmocka_unit_test(switches),
        cmocka_unit_test(switch_is_never_torn),
        cmocka_unit_test(switch_refuses),
        cmocka_unit_test(switch_meets_another_hand),
        cmocka_unit_test(context_tables_on_demand),
        cmocka_unit_test(context_table_linked_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
