/* SPDX-License-Identifier: MIT */
/*
 * The VT-d unit driver in scalable mode against the hardware model: up, down, switches of requester
 * ids and of PASIDs beside them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "vtd_rig.h"

#define RID    0x0310u
#define RID_UP 0x0390u
#define IOVA   0x123456789000ull

static const uint32_t pasids[] = {1, 63, 64, 1000};
#define NR_PASIDS (sizeof(pasids) / sizeof(pasids[0]))

static void full_cfg(struct hwm_vtd_cfg *cfg)
{
    hwm_vtd_cfg_default(cfg);
    cfg->smts = cfg->ssts = cfg->fsts = cfg->smpwcs = true;
    cfg->sagaw = 0xc;
    cfg->mgaw = 57;
    cfg->pss = 19;
}

/* Each of coherency, caching mode and order of execution. */
static struct vtd_rig *up(unsigned mode)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;

    full_cfg(&cfg);
    cfg.coherent = cfg.smpwcs = !(mode & 1);
    cfg.cm = mode & 2;
    rig = rig_new_enabled(&cfg);
    hwm_set_reorder(rig->hw, mode & 4 ? mode : 0);
    return rig;
}

static int sm_switch(struct vtd_rig *rig, uint32_t pasid, unsigned levels, uint16_t did,
                     uint64_t root, bool *absent)
{
    struct pvi_dev_entry to = {.translate = levels != 0,
                               .levels = (uint8_t)levels,
                               .did = did,
                               .pasid = pasid,
                               .root = {root}};

    return pvi_vtd_unit_switch(&rig->unit, RID, &to, absent);
}

static uint64_t with_pasid(struct vtd_rig *rig, uint32_t pasid, uint64_t iova, bool fresh)
{
    struct hwm_req req = {
        .iova = iova, .rid = RID, .write = true, .has_pasid = pasid != 0, .pasid = pasid};
    struct hwm_xlat x;
    enum hwm_result r = fresh ? hwm_walk_req(rig->hw, &req, &x) : hwm_dma_req(rig->hw, &req, &x);

    return r == HWM_OK ? x.pa : RIG_BLOCKED;
}

static uint64_t dma(struct vtd_rig *rig, uint32_t pasid)
{
    return with_pasid(rig, pasid, IOVA, false);
}

/* What a caller does behind a switch of a PASID. */
static void forget_pasid(struct vtd_rig *rig, uint32_t pasid, uint16_t did, bool absent)
{
    struct pvi_inv inv[2] = {
        {.kind = PVI_INV_PASID, .rid = RID, .did = did, .pasid = pasid, .was_absent = absent},
        {.kind = PVI_INV_DOMAIN, .did = did}};

    assert_int_equal(pvi_vtd_unit_submit(&rig->unit, inv, absent ? 1 : 2), 0);
    assert_int_equal(pvi_vtd_unit_wait(&rig->unit), 0);
}

static void set_pasid(struct vtd_rig *rig, uint32_t pasid, uint16_t did, uint64_t root)
{
    bool absent = false;

    assert_int_equal(sm_switch(rig, pasid, 4, did, root, &absent), 0);
    assert_true(absent);
    forget_pasid(rig, pasid, did, absent);
}

static void capabilities(void **state)
{
    const struct pvi_unit_caps *caps;
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    uint64_t ecap;

    (void)state;
    full_cfg(&cfg);
    cfg.smpwcs = false;
    cfg.pss = 9;
    rig = rig_new(&cfg);
    caps = &rig->unit.unit.caps;
    ecap = rig->unit.ecap;
    assert_false(caps->coherent); /* walks do not snoop, whatever ECAP.C says */
    assert_int_equal(caps->pasid_bits, 10);
    assert_int_equal(caps->guest_levels, 0);
    assert_false(caps->parent_rw);
    hwm_vtd_override_caps(rig->hw, rig->unit.cap,
                          (ecap & ~(0x1full << 35)) | 19ull << 35 | 1ull << 26 | 1ull << 48);
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), 0);
    assert_true(caps->coherent);
    assert_int_equal(caps->pasid_bits, 14);
    assert_int_equal(caps->guest_levels, 1u << 4);
    assert_int_equal(caps->guest_flags, PVI_GUEST_WRITE_PROTECT);
    hwm_vtd_override_caps(rig->hw, rig->unit.cap, rig->unit.ecap | 1ull << 31);
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), 0);
    assert_int_equal(caps->guest_flags, PVI_GUEST_WRITE_PROTECT | PVI_GUEST_SUPERVISOR);
    hwm_vtd_override_caps(rig->hw, rig->unit.cap, ecap & ~(1ull << 43)); /* SMTS */
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), -PVI_EOPNOTSUPP);
    hwm_vtd_override_caps(rig->hw, rig->unit.cap, ecap & ~(1ull << 46)); /* SSTS */
    assert_int_equal(rig_init(rig, 46, RIG_REGS_SIZE), -PVI_EOPNOTSUPP);
    rig_free(rig);
}

static void up_and_down(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    char told[64];
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        full_cfg(&cfg);
        cfg.coherent = cfg.smpwcs = i & 1;
        cfg.esrtps = i & 2;
        rig = rig_new(&cfg);
        assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0);
        assert_string_equal(rig_told(rig, told, sizeof(told)), cfg.esrtps ? "R" : "RCwPwTw");
        assert_int_equal(rig_reason(rig, RID, IOVA), 0x39); /* root entry not present */
        hwm_log_reset(rig->hw);
        assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
        assert_string_equal(rig_told(rig, told, sizeof(told)), "wCwPwTw");
        rig_free(rig);
    }
}

/* A page that both tables map is watched at every store: it never goes (R10). */
struct watch {
    struct vtd_rig *rig;
    uint64_t frame[2];
    uint64_t beside; /* where each PASID leads */
    unsigned looks;
};

static void look(void *opaque, enum pvi_posix_point at, bool after)
{
    struct watch *w = opaque;
    uint64_t now = with_pasid(w->rig, 0, IOVA, true), cached = with_pasid(w->rig, 0, IOVA, false);
    unsigned i;

    (void)at;
    (void)after;
    w->looks++;
    assert_true(now == w->frame[0] || now == w->frame[1]);
    assert_true(cached == w->frame[0] || cached == w->frame[1]);
    for (i = 0; i < NR_PASIDS && w->beside; i++) {
        assert_int_equal(with_pasid(w->rig, pasids[i], IOVA, true), w->beside);
        assert_int_equal(with_pasid(w->rig, pasids[i], IOVA, false), w->beside);
    }
}

static void switches(void **state)
{
    struct watch w = {0};
    uint64_t root[2], used;
    unsigned mode, i, k;
    bool absent;

    (void)state;
    for (mode = 0; mode < 8; mode++) {
        w.rig = up(mode);
        for (i = 0; i < 2; i++) {
            w.frame[i] = rig_frame(w.rig);
            root[i] = rig_table(w.rig, 4 + i, IOVA, w.frame[i]);
        }
        assert_int_equal(dma(w.rig, 0), RIG_BLOCKED);
        assert_int_equal(sm_switch(w.rig, 0, 4, 5, root[0], &absent), 0);
        assert_true(absent);
        assert_int_equal(rig_forget(w.rig, RID, 5, absent), 0);
        assert_int_equal(dma(w.rig, 0), w.frame[0]);
        w.beside = rig_frame(w.rig);
        for (i = 0; i < NR_PASIDS; i++) {
            set_pasid(w.rig, pasids[i], (uint16_t)(20 + i), rig_table(w.rig, 4, IOVA, w.beside));
        }
        used = pvi_posix_pages_used(w.rig->host);
        pvi_posix_hook(w.rig->host, PVI_AT_BIT(PVI_AT_WRITE) | PVI_AT_BIT(PVI_AT_WRITEBACK), look,
                       &w);
        for (k = 1; k < 9; k++) {
            assert_int_equal(sm_switch(w.rig, 0, 4 + (k & 1), (uint16_t)(5 + (k & 1)), root[k & 1],
                                       &absent),
                             0);
            assert_false(absent);
            assert_int_equal(with_pasid(w.rig, 0, IOVA, true), w.frame[k & 1]);
            if (k == 4) { /* back at once, and there again */
                hwm_log_reset(w.rig->hw);
                assert_int_equal(sm_switch(w.rig, 0, 5, 6, root[1], &absent), 0);
                assert_int_equal(with_pasid(w.rig, 0, IOVA, true), w.frame[1]);
                assert_int_equal(sm_switch(w.rig, 0, 4, 5, root[0], &absent), 0);
                assert_int_equal(hwm_log_count(w.rig->hw, HWM_WAIT), 0);
            }
            assert_int_equal(rig_forget(w.rig, RID, (uint16_t)(6 - (k & 1)), absent), 0);
            assert_int_equal(dma(w.rig, 0), w.frame[k & 1]);
        }
        pvi_posix_hook(w.rig->host, 0, NULL, NULL);
        assert_int_equal(pvi_posix_pages_used(w.rig->host), used);
        assert_int_equal(sm_switch(w.rig, 0, 0, 0, 0, &absent), 0);
        assert_false(absent);
        assert_int_equal(rig_forget(w.rig, RID, 5, absent), 0);
        assert_int_equal(dma(w.rig, 0), RIG_BLOCKED);
        assert_int_equal(dma(w.rig, 63), RIG_BLOCKED);
        assert_int_equal(rig_reason(w.rig, RID, IOVA), 0x41); /* context entry not present */
        pvi_posix_fail(w.rig->host, PVI_AT_PAGE_ALLOC, 1, true);
        assert_int_equal(sm_switch(w.rig, 0, 5, 6, root[1], &absent), 0);
        pvi_posix_fail(w.rig->host, PVI_AT_PAGE_ALLOC, 0, false);
        assert_true(absent);
        assert_int_equal(rig_forget(w.rig, RID, 6, absent), 0);
        assert_int_equal(dma(w.rig, 0), w.frame[1]);
        assert_int_equal(dma(w.rig, 63), w.beside);
        if (pvi_posix_recording()) {
            assert_true(w.looks > 100);
        }
        rig_down(w.rig);
    }
}

static void pasids_come_and_go(void **state)
{
    struct vtd_rig *rig;
    uint64_t frame[2], root[2], at;
    unsigned mode, i, k;
    bool absent;

    (void)state;
    for (mode = 0; mode < 8; mode++) {
        rig = up(mode);
        for (i = 0; i < 2; i++) {
            frame[i] = rig_frame(rig);
            root[i] = rig_table(rig, 4, IOVA, frame[i]);
        }
        assert_int_equal(sm_switch(rig, 0, 4, 5, root[0], &absent), 0);
        assert_int_equal(rig_forget(rig, RID, 5, absent), 0);
        for (i = 0; i < NR_PASIDS; i++) {
            assert_int_equal(sm_switch(rig, pasids[i], 0, 0, 0, &absent), 0);
            assert_true(absent);
            for (k = 0; k < 4; k++) {
                assert_int_equal(dma(rig, pasids[i]), RIG_BLOCKED);
                set_pasid(rig, pasids[i], (uint16_t)(8 + (k & 1)), root[k & 1]);
                at = dma(rig, pasids[i]);
                assert_int_equal(at, frame[k & 1]);
                assert_int_equal(sm_switch(rig, pasids[i], 4, (uint16_t)(8 + (k & 1)), root[k & 1],
                                           &absent),
                                 0);
                assert_false(absent);
                assert_int_equal(sm_switch(rig, pasids[i], 4, 11, root[k & 1], &absent), -PVI_EHW);
                assert_int_equal(sm_switch(rig, pasids[i], 0, 0, 0, &absent), 0);
                assert_false(absent);
                assert_int_equal(dma(rig, pasids[i]), at); /* no invalidation yet */
                forget_pasid(rig, pasids[i], (uint16_t)(8 + (k & 1)), absent);
                assert_int_equal(dma(rig, pasids[i]), RIG_BLOCKED);
                assert_int_equal(dma(rig, 0), frame[0]);
            }
        }
        rig_down(rig);
    }
}

static void refuses(void **state)
{
    struct vtd_rig *rig;
    struct hwm_vtd_cfg cfg;
    struct pvi_dev_entry to = {.translate = true, .levels = 4, .did = 1};
    uint64_t used;
    bool absent;

    (void)state;
    full_cfg(&cfg);
    cfg.did_bits = 8;
    cfg.pss = 9;
    rig = rig_new_enabled(&cfg);
    used = pvi_posix_pages_used(rig->host);
    to.root.a = rig_page(rig);
    assert_int_equal(sm_switch(rig, 1024, 4, 1, to.root.a, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(sm_switch(rig, 1024, 0, 0, 0, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(sm_switch(rig, 0, 3, 1, to.root.a, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(sm_switch(rig, 0, 12, 1, to.root.a, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(sm_switch(rig, 0, 4, 0, to.root.a, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(sm_switch(rig, 0, 4, 256, to.root.a, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(sm_switch(rig, 0, 4, 1, to.root.a + 8, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(sm_switch(rig, 0, 4, 1, 1ull << 46, &absent), -PVI_EOPNOTSUPP);
    to.guest.levels = 4; /* the unit does not nest */
    assert_int_equal(pvi_vtd_unit_switch(&rig->unit, RID, &to, &absent), -PVI_EOPNOTSUPP);
    assert_int_equal(pvi_posix_pages_used(rig->host), used);
    rig_down(rig);
}

/* R12: each allocation fails in turn. */
static void without_memory(void **state)
{
    struct vtd_rig *rig;
    uint64_t frame, root;
    unsigned nth;
    bool absent;
    int rc;

    (void)state;
    for (nth = 1;; nth++) {
        rig = up(nth & 1);
        frame = rig_frame(rig);
        root = rig_table(rig, 4, IOVA, frame);
        pvi_posix_fail(rig->host, PVI_AT_PAGE_ALLOC, nth, false);
        rc = sm_switch(rig, 0, 4, 5, root, &absent);
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, -PVI_ENOMEM);
        assert_int_equal(with_pasid(rig, 0, IOVA, true), RIG_BLOCKED);
        assert_int_equal(pvi_posix_pages_used(rig->host), nth == 1 ? 4 : 5); /* a context table */
        assert_int_equal(sm_switch(rig, 0, 4, 5, root, &absent), 0);
        assert_int_equal(with_pasid(rig, 0, IOVA, true), frame);
        rig_down(rig);
    }
    assert_int_equal(nth, 6); /* context table, directories, their first tables */
    assert_int_equal(pvi_posix_pages_used(rig->host), 4 + 1 + 4);
    pvi_posix_fail(rig->host, PVI_AT_PAGE_ALLOC, 1, false);
    assert_int_equal(sm_switch(rig, 63, 4, 6, root, &absent), 0); /* takes none */
    assert_int_equal(sm_switch(rig, 64, 4, 6, root, &absent), -PVI_ENOMEM);
    assert_int_equal(dma(rig, 64), RIG_BLOCKED);
    assert_int_equal(sm_switch(rig, 64, 4, 6, root, &absent), 0);
    assert_int_equal(dma(rig, 64), frame);
    assert_int_equal(pvi_posix_pages_used(rig->host), 4 + 1 + 4 + 1);
    rig_down(rig);
}

/* The unit cannot be made to forget the idle directory: nothing changes, and its pages stay with it. */
static void failing_wait(void **state)
{
    struct vtd_rig *rig = up(0);
    uint64_t frame[3], root[3], lost = 0;
    bool absent;
    unsigned i;

    (void)state;
    for (i = 0; i < 3; i++) {
        frame[i] = rig_frame(rig);
        root[i] = rig_table(rig, 4, IOVA, frame[i]);
    }
    assert_int_equal(sm_switch(rig, 0, 4, 5, root[0], &absent), 0);
    assert_int_equal(sm_switch(rig, 0, 4, 6, root[1], &absent), 0);
    hwm_stall(rig->hw, true);
    assert_int_equal(sm_switch(rig, 0, 4, 7, root[2], &absent), -PVI_EHW);
    assert_int_equal(with_pasid(rig, 0, IOVA, true), frame[1]);
    assert_true(rig->unit.unit.broken);
    assert_int_equal(sm_switch(rig, 1, 4, 7, root[2], &absent), -PVI_EHW);
    assert_int_equal(sm_switch(rig, 0, 0, 0, 0, &absent), 0);
    assert_int_equal(with_pasid(rig, 0, IOVA, true), RIG_BLOCKED);
    assert_int_equal(pvi_vtd_unit_disable(&rig->unit), -PVI_EHW);
    assert_int_equal(rig_events(rig, PVI_EVENT_FLUSH_FAILED, &lost), 1);
    assert_int_equal(lost, 3 + 1 + 4);
    assert_int_equal(pvi_posix_pages_used(rig->host), lost);
    rig->lost = lost;
    hwm_stall(rig->hw, false);
    while (hwm_step(rig->hw, 1)) {
    }
    hwm_violation_clear(rig->hw);
    rig_free(rig);
}

/* Both halves of a bus; what devices of the others use is untouched. */
static void halves_of_a_bus(void **state)
{
    struct vtd_rig *rig = up(1);
    uint64_t frame = rig_frame(rig), root = rig_table(rig, 4, IOVA, frame);
    bool absent;

    (void)state;
    assert_int_equal(rig_switch(rig, RID_UP, 4, 1, root, &absent), 0);
    assert_int_equal(rig_walk(rig, RID_UP, IOVA), frame);
    assert_int_equal(rig_reason(rig, RID, IOVA), 0x39);
    assert_int_equal(rig_switch(rig, RID, 4, 1, root, &absent), 0);
    assert_int_equal(rig_walk(rig, RID, IOVA), frame);
    assert_int_equal(rig_walk(rig, RID_UP, IOVA), frame);
    assert_int_equal(rig_reason(rig, RID + 1, IOVA), 0x41);
    assert_int_equal(pvi_posix_pages_used(rig->host), 4 + 2 * 5);
    rig_down(rig);
}

static void fault_names_pasid(void **state)
{
    struct vtd_rig *rig = up(0);
    struct pvi_fault f = {0};
    uint64_t root = rig_table(rig, 4, IOVA, rig_frame(rig));
    bool absent;

    (void)state;
    assert_int_equal(sm_switch(rig, 0, 4, 5, root, &absent), 0);
    assert_int_equal(dma(rig, 1000), RIG_BLOCKED);
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &f), 1);
    assert_true(f.has_pasid);
    assert_int_equal(f.pasid, 1000);
    assert_int_equal(with_pasid(rig, 0, 0x5000, false), RIG_BLOCKED);
    assert_int_equal(pvi_vtd_unit_next_fault(&rig->unit, &f), 1);
    assert_false(f.has_pasid);
    assert_int_equal(f.pasid, 0);
    rig_down(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities),       cmocka_unit_test(up_and_down),
        cmocka_unit_test(switches),           cmocka_unit_test(pasids_come_and_go),
        cmocka_unit_test(refuses),            cmocka_unit_test(without_memory),
        cmocka_unit_test(failing_wait),       cmocka_unit_test(halves_of_a_bus),
        cmocka_unit_test(fault_names_pasid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
