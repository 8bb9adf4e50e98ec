/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi driver and nested entries, on the hardware model: which units have them, what is refused, and
 * each store on the way from one entry to another (hwspec 6.4, 6.7, 6.8).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_guest.h"

/* Capabilities: all four are needed, and without them the unit has no mode that an entry could use. */
static void capabilities(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        struct pvi_unit_caps *c = &bench.u.unit.caps;
        struct hwm_amd_cfg hw = guest_hw();
        struct guest g;

        hw.gt_sup = (i & 1) != 0;
        hw.gio_sup = (i & 2) != 0;
        hw.gcr3_trp = (i & 4) != 0;
        bench_open(&bench, &hw);
        bench.cfg.guest = (i & 8) != 0;
        assert_int_equal(pvi_amdvi_unit_init(&bench.u, bench.h, &bench.cfg), 0);
        assert_int_equal(c->guest_levels, i == 15 ? 0x30 : 0);
        assert_int_equal(c->guest_depth, i == 15 ? 3 : 0);
        assert_int_equal(c->guest_flags, 0);
        assert_int_equal(c->pasid_bits, 0);
        assert_false(c->parent_rw);
        assert_int_equal(pvi_amdvi_unit_enable(&bench.u), 0);
        assert_int_equal(bench_reg(&bench, R_CONTROL) & GUEST_CONTROL, i == 15 ? GUEST_CONTROL : 0);
        guest_new(&g);
        assert_int_equal(guest_nest(&g, 1, GUEST_GPA, 4, 1), i == 15 ? 0 : -PVI_EOPNOTSUPP);
        assert_int_equal(bench_dte(&bench, GUEST_RID)[0] == 0x3, i != 15);
        bench_close(&bench);
    }
    for (unsigned glx = 0; glx < 3; glx++) {
        struct hwm_amd_cfg hw = guest_hw();

        hw.guest_levels = 4;
        hw.glx_sup = glx;
        guest_up_as(&hw);
        assert_int_equal(bench.u.unit.caps.guest_levels, 0x10);
        assert_int_equal(bench.u.unit.caps.guest_depth, glx + 1);
        bench_close(&bench);
    }
}

/* A unit that keeps Control as it was would take guests' addresses for the host's: it is not used. */
static void modes_not_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct hwm_amd_cfg hw = guest_hw();

        bench_open(&bench, &hw);
        bench.cfg.guest = true;
        bench.and_not[R_CONTROL / 8] = i == 0 ? 1ull << 16 : 1ull << 58;
        assert_int_equal(pvi_amdvi_unit_init(&bench.u, bench.h, &bench.cfg), 0);
        assert_int_equal(pvi_amdvi_unit_enable(&bench.u), -PVI_EHW);
        assert_true(bench.u.unit.broken);
        assert_int_equal(pvi_posix_pages_used(bench.h), 0);
        bench_close(&bench);
    }
}

/*
 * After each store: V and TV are set, and whoever reads the entry now goes where it went before, or
 * where it shall, or nowhere. While the mode of v2 tables is stored no unit uses any.
 */
struct watch {
    uint64_t iova, old, now;
    unsigned stores;
    bool nested; /* the old entry */
    uint64_t w2;
};

static void look(void *opaque, enum pvi_posix_point point, bool after)
{
    struct watch *w = opaque;
    uint64_t *dte = bench_dte(&bench, GUEST_RID), pa;

    (void)point;
    if (!after) {
        return;
    }
    w->stores++;
    assert_int_equal(dte[0] & 3, 3);
    pa = guest_go(hwm_walk_req, GUEST_RID, -1, w->iova);
    assert_true(pa == w->old || pa == w->now || pa == GUEST_BLOCKED);
    assert_int_equal(dte[2] & ~(3ull << 54), GUEST_INTR);
    if (dte[2] != w->w2) {
        w->w2 = dte[2];
        assert_int_equal(dte[0] & GUEST_GV, 0);
        if (w->nested) { /* the old entry is not even cached any more */
            assert_int_equal(hwm_peek(bench.hw, GUEST_RID, w->iova, true, NULL, NULL), HWM_FAULT);
        }
    }
}

static unsigned watched(struct watch *w, struct pvi_dev_entry to, uint64_t now)
{
    w->old = guest_go(hwm_walk_req, GUEST_RID, -1, w->iova);
    w->now = now;
    w->stores = 0;
    w->nested = (bench_dte(&bench, GUEST_RID)[0] & GUEST_GV) != 0;
    w->w2 = bench_dte(&bench, GUEST_RID)[2];
    pvi_posix_hook(bench.h, PVI_AT_BIT(PVI_AT_WRITE), look, w);
    assert_int_equal(guest_put(GUEST_RID, to), 0);
    pvi_posix_hook(bench.h, 0, NULL, NULL);
    assert_int_equal(guest_go(hwm_walk_req, GUEST_RID, -1, w->iova), now);
    guest_moved(GUEST_RID, 1);
    assert_int_equal(guest_dma(-1, w->iova), now);
    return w->stores;
}

static void every_store(void **state)
{
    struct watch w = {.iova = 0x7FFFFFFFF000};
    struct guest g;
    uint64_t gcr3[3], page[4];
    struct pvi_dev_entry to[4], none = {.translate = false};

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    guest_up();
    guest_new(&g);
    bench_dte(&bench, GUEST_RID)[2] = GUEST_INTR;
    for (unsigned i = 0; i < 3; i++) { /* two of four levels, one of five */
        uint64_t v2 = guest_page(&g);
        unsigned levels = i == 2 ? 5 : 4;

        gcr3[i] = guest_page(&g);
        guest_gcr3(&g, gcr3[i], 1, 0, v2);
        page[i] = guest_v2_page(&g, v2, levels, w.iova);
        to[i] = guest_entry(&g, 1, gcr3[i], levels, 1);
    }
    to[3] = guest_entry(&g, 1, 0, 0, 0); /* plain */
    page[3] = bench_page(&bench);
    bench_map(&bench, g.v1, 4, w.iova, page[3], true, true);
    hwm_watch(bench.hw, GUEST_RID, w.iova);

    assert_int_equal(watched(&w, to[3], page[3]), 1);
    assert_int_equal(watched(&w, to[2], page[2]), 2); /* the mode first */
    assert_int_equal(watched(&w, to[3], page[3]), 1);
    assert_int_equal(bench_dte(&bench, GUEST_RID)[0] & GUEST_GV, 0);
    assert_int_equal(watched(&w, to[0], page[0]), 2);
    assert_int_equal(watched(&w, to[1], page[1]), 1); /* as many levels: one store */
    hwm_log_reset(bench.hw);
    watched(&w, to[2], page[2]);                                  /* four to five */
    assert_int_equal(hwm_log_count(bench.hw, HWM_CTX_DEVICE), 2); /* one of them the driver's own */
    assert_int_equal(bench_dte(&bench, GUEST_RID)[2], GUEST_INTR | GUEST_MODE5);
    watched(&w, to[0], page[0]); /* and back */
    assert_int_equal(bench_dte(&bench, GUEST_RID)[2], GUEST_INTR);
    assert_int_equal(watched(&w, none, GUEST_BLOCKED), 1);
    assert_int_equal(watched(&w, to[2], page[2]), 2); /* out of a blocked one it is no detour */
    bench_dte(&bench, GUEST_RID)[2] = 0;
    bench_close(&bench);
}

/* Refused entries leave the old one. */
static void refused(void **state)
{
    struct pvi_dev_entry good, to;
    struct hwm_amd_cfg hw = guest_hw();
    struct guest g;
    uint64_t before[4];

    (void)state;
    hw.glx_sup = 1;
    bench_open(&bench, &hw);
    bench.cfg.guest = true;
    assert_int_equal(pvi_amdvi_unit_init(&bench.u, bench.h, &bench.cfg), 0);
    guest_new(&g);
    good = guest_entry(&g, 1, GUEST_GPA, 4, 2);
    assert_int_equal(guest_put(GUEST_RID, good), -PVI_ENOTINIT);
    assert_int_equal(pvi_amdvi_unit_enable(&bench.u), 0);
    assert_int_equal(guest_put(GUEST_RID, good), 0);
    memcpy(before, bench_dte(&bench, GUEST_RID), 32);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        to = good;                                                                                 \
        to.change;                                                                                 \
        assert_int_equal(guest_put(GUEST_RID, to), -PVI_EOPNOTSUPP);                               \
        assert_memory_equal(before, bench_dte(&bench, GUEST_RID), 32);                             \
    } while (0)
    REFUSED(guest.levels = 1);
    REFUSED(guest.levels = 3);
    REFUSED(guest.levels = 6);
    REFUSED(guest.levels = 36);
    REFUSED(guest.levels = 255);
    REFUSED(guest.depth = 0);
    REFUSED(guest.depth = 3); /* two is what this unit has */
    REFUSED(guest.depth = 255);
    REFUSED(guest.root = GUEST_GPA + 8);
    REFUSED(guest.root = GUEST_GPA + 0x800);
    REFUSED(guest.root = 1ull << 52);
    REFUSED(guest.root = 1ull << 63);
    REFUSED(guest.flags = PVI_GUEST_SUPERVISOR);
    REFUSED(guest.flags = PVI_GUEST_WRITE_PROTECT);
    REFUSED(pasid = 1);
    REFUSED(levels = 0);
    REFUSED(levels = 7);
    REFUSED(did = 0);
    REFUSED(root.a = g.v1 + 8);
    to = good;
    to.guest.root = 0xFFFFFFFFFF000ull; /* the last one that the field holds */
    assert_int_equal(guest_put(GUEST_RID, to), 0);
    memcpy(before, bench_dte(&bench, GUEST_RID), 32);
    good = to;
    memset(&to, 0, sizeof(to));
    to.pasid = 5; /* to block a PASID is not to block the device */
    assert_int_equal(guest_put(GUEST_RID, to), -PVI_EOPNOTSUPP);
    assert_memory_equal(before, bench_dte(&bench, GUEST_RID), 32);
    bench_close(&bench);
}

/* A change of mode that cannot be finished changes nothing. */
struct meddler {
    unsigned left, done;
};

static void meddle(void *opaque, enum pvi_posix_point point, bool after)
{
    struct meddler *m = opaque;
    uint64_t *dte = bench_dte(&bench, GUEST_RID);

    (void)point;
    /* A mode is stored, the new one or again the old one, and the half that decides is not yet. */
    if (after && m->left != 0 && (dte[0] & GUEST_GV) == 0 &&
        (dte[2] & GUEST_MODE5) == (m->done == 0 ? GUEST_MODE5 : 0)) {
        m->left--;
        m->done++;
        dte[1] ^= 1ull << 34; /* SA, which is the host's */
    }
}

static void mode_change_fails(void **state)
{
    struct meddler m;
    struct guest g;
    uint64_t before[4];

    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        if (how > 0 && !pvi_posix_recording()) {
            skip();
        }
        guest_up();
        guest_new(&g);
        bench_dte(&bench, GUEST_RID)[2] = GUEST_INTR;
        assert_int_equal(guest_nest(&g, 1, GUEST_GPA, 4, 1), 0);
        memcpy(before, bench_dte(&bench, GUEST_RID), 32);
        hwm_log_reset(bench.hw);
        if (how == 0) { /* the unit does not answer */
            hwm_stall(bench.hw, true);
        } else { /* somebody else writes to the entry: once, or when it is put back, too */
            m.left = how;
            m.done = 0;
            pvi_posix_hook(bench.h, PVI_AT_BIT(PVI_AT_WRITE), meddle, &m);
        }
        if (how == 1) {
            before[1] ^= 1ull << 34;
        }
        if (how == 2) {
            before[0] = 3;
            before[1] = 0;
        }
        assert_int_equal(guest_nest(&g, 1, GUEST_GPA, 5, 1), -PVI_EHW);
        pvi_posix_hook(bench.h, 0, NULL, NULL);
        assert_memory_equal(before, bench_dte(&bench, GUEST_RID), 32);
        assert_int_equal(bench.u.unit.broken, how != 1);
        bench_dte(&bench, GUEST_RID)[2] = 0;
        bench.pages_lost = how != 1;
        bench_close(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities),      cmocka_unit_test(modes_not_taken),
        cmocka_unit_test(every_store),       cmocka_unit_test(refused),
        cmocka_unit_test(mode_change_fails),
    };

    return cmocka_run_group_tests_name("amdvi nested entries", tests, NULL, NULL);
}
