/* SPDX-License-Identifier: MIT */
/* PASIDs, and the host failing at every call: what is attached then, what is written off, what is left of the way back. */
#include "pasid_rig.h"

static const struct fx_cfg kinds[] = {
    {PASIDS, NESTED},
    {PASIDS, NESTED, .units = 2, .np_cache = true},
};

enum what { ATTACH, DETACH, MOVE, REMOVE, FREE, WHATS };

static void begin(enum what what)
{
    fx_begin(&fx);
    switch (what) {
    case ATTACH: fx_attach_pasid(&fx, 3, 1, 9, 0); break;
    case DETACH: fx_detach_pasid(&fx, 1, 1); break;
    case MOVE: fx_attach_pasid(&fx, 3, 1, 1, PVI_PASID_MOVE); break;
    default: fx_free(&fx, 2, PVI_FREE_REATTACH); break;
    }
}

static int run(enum what what)
{
    int rc;

    if (what == REMOVE) {
        rc = pvi_device_remove(&fx.dom, &fx.dev[1]);
        pvi_posix_checkpoint(fx.host);
        return rc;
    }
    begin(what);
    CHECK_EQ(fx_submit(&fx), 0);
    return fx.op[0].status;
}

/* Whether the PASID is attached is what the answers say; contexts can be freed, broken or not, and then nothing counts on them. */
static void look(enum what what, int rc)
{
    uint32_t pasid = what == ATTACH ? 9 : 1;
    bool there = what == ATTACH ? rc == 0 : what == MOVE ? rc != -PVI_EHW : rc != 0 && rc != -PVI_EHW;

    CHECK_EQ(fx_pasid_entry(&fx, 1 % fx.nr_units, fx.dev[1].rid[0], pasid) != NULL, there);
    fx_begin(&fx);
    fx_detach_pasid(&fx, 1, pasid);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, what == REMOVE ? -PVI_ENODEV : !there ? -PVI_ENOENT : 0);
    fx_begin(&fx);
    fx_free(&fx, 3, 0);
    fx_free(&fx, 2, 0);
    fx_detach_pasid(&fx, 0, 1);
    fx_detach_pasid(&fx, 1, 1);
    fx_free(&fx, 3, 0);
    fx_free(&fx, 2, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, 0); /* nothing is attached to it any more */
    CHECK(fx.op[1].status == -PVI_EBUSY || what == FREE); /* device 0's, unless it has gone */
    CHECK_EQ(fx.op[4].status, -PVI_ENOCTX);
    CHECK(fx.op[5].status == (what == FREE && fx.op[1].status != -PVI_EBUSY ? -PVI_ENOCTX : 0));
}

/*
 * PASID 1 of both devices is in context 2; device 1 has three requester ids. Every call of the host fails, once, or from then on. With EHW
 * nobody knows what the unit holds: the context is broken and what it had is lost; with all else nothing has changed.
 */
static void failures(void **state)
{
    static const enum pvi_posix_point at[] = {PVI_AT_MEM_ALLOC, PVI_AT_DID_ALLOC, PVI_AT_DEV_SWITCH, PVI_AT_INV_SUBMIT, PVI_AT_INV_WAIT};
    static const int error[] = {-PVI_ENOMEM, -PVI_ENOSPC, -PVI_EHW, -PVI_EHW, -PVI_EHW};
    uint64_t failed[5] = {0};

    (void)state;
    for (unsigned k = 0; k < 2 * WHATS * 5; k++) {
        enum what what = k / 2 % WHATS;
        unsigned p = k / (2 * WHATS);
        uint64_t met = 1;

        for (unsigned nth = 1; met != 0; nth++) {
            struct pvi_context_usage usage;
            int rc;

            check_case("operation %u, point %u, call %u%s", what, p, nth, k % 2 != 0 ? " and after" : "");
            up(&kinds[p == 2 ? 0 : k % 2]);
            CHECK_EQ(attach(2, 1, 1), 0);
            CHECK_EQ(attach(2, 0, 1), 0);
            pvi_posix_count_violations(fx.host, p > 2 || (p == 2 && (k % 2 != 0 || what == REMOVE)));
            pvi_posix_fail(fx.host, at[p], nth, k % 2 != 0);
            rc = run(what);
            met = pvi_posix_failed(fx.host, at[p]);
            failed[p] += met;
            pvi_posix_fail(fx.host, at[p], 0, false);
            CHECK_EQ(rc, met != 0 ? error[p] : 0);
            if (rc == -PVI_EHW && what <= MOVE) { /* what the unit cannot hold any more is not written off */
                bool broken[2];

                for (unsigned c = 0; c < 2; c++) {
                    CHECK_EQ(pvi_context_usage(&fx.dom, (uint16_t)(2 + c), &usage), 0);
                    broken[c] = usage.state == PVI_CTX_BROKEN;
                }
                CHECK(broken[0] != broken[1] && broken[0] == (what != ATTACH && (what == DETACH || fx.dom.slot[2]->units == 0)));
            } else if (rc != -PVI_EHW && what < REMOVE) { /* as the oracle has it */
                fx_begin(&fx);
                if (rc == 0) {
                    begin(what);
                    fx.op[0].ctx = what == DETACH ? 0 : fx.op[0].ctx;
                    CHECK(!orc_judge(&fx.orc, &fx.op[0], &fx.op[0], 0));
                }
                fx_check(&fx);
            }
            if (p != 2 || k % 2 == 0) { /* a unit that never switches again cannot block */
                look(what, rc);
            }
            if (what == DETACH && rc == -PVI_EHW) { /* never over an entry that may be there yet */
                fx_begin(&fx);
                fx_attach_pasid(&fx, 0, 1, 1, 0);
                CHECK_EQ(fx_submit(&fx), 0);
                CHECK_EQ(fx.op[0].status, fx.dev[1].unit->broken ? -PVI_EHW : 0);
            }
            fx_end(&fx, rc == -PVI_EHW);
        }
    }
    for (unsigned p = 0; p < 5; p++) {
        CHECK(failed[p] != 0);
    }
}

/* A unit that fails, then is well again, while what it failed at goes on in another call: that answers for it. */
static bool well_again(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    pvi_posix_fail(fx.host, PVI_AT_DEV_SWITCH, 0, false);
    return true;
}

/* Another context than the one that it is about. */
static int free_another(void)
{
    struct pvi_op op = {.code = PVI_OP_FREE_CONTEXT, .domid = PVI_DOMID_SELF, .ctx = 3};
    struct pvi_batch batch = {.ops = &op, .nr = 1};

    while (pvi_submit(&fx.dom, &batch) == -PVI_EPREEMPTED) {
    }
    return op.status;
}

static void failure_preempted(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        enum what what = k == 0 ? REMOVE : FREE;
        int rc;

        up(&kinds[0]);
        CHECK_EQ(attach(2, 1, 1), 0);
        CHECK_EQ(attach(2, 1, 2), 0);
        pvi_posix_count_violations(fx.host, true);
        pvi_posix_preempt_call(fx.host, well_again, NULL);
        pvi_posix_fail(fx.host, PVI_AT_DEV_SWITCH, 1, true);
        begin(what);
        fx.batch.ops = fx.op;
        fx.batch.nr = fx.nr_ops;
        for (unsigned calls = 0;; calls++) {
            rc = what == REMOVE ? pvi_device_remove(&fx.dom, &fx.dev[1]) : pvi_submit(&fx.dom, &fx.batch);
            pvi_posix_checkpoint(fx.host);
            if (rc != -PVI_EPREEMPTED) {
                CHECK(calls != 0);
                break;
            }
            CHECK_EQ(free_another(), calls == 0 ? 0 : -PVI_ENOCTX);
        }
        CHECK_EQ(what == REMOVE ? rc : fx.op[0].status, -PVI_EHW);
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        pvi_posix_fail(fx.host, PVI_AT_DEV_SWITCH, 0, false);
        CHECK_EQ(run(what), what == REMOVE ? -PVI_ENODEV : 0); /* once */
        fx_end(&fx, true);
    }
}

/* Refused on arrival, the way back taken: as many calls of the switch as it takes, each requester id where it was. */
static uint64_t switches;
static unsigned refuse_at;

static void no_levels(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_unit_caps *caps = &fx.unit[0].null.unit.caps;

    (void)opaque;
    (void)at;
    switches += !after;
    caps->guest_levels = !after && switches == refuse_at ? 0 : 1u << 4;
}

static void way_back(void **state)
{
    (void)state;
    for (refuse_at = 1; refuse_at < 8; refuse_at++) {
        bool refused = refuse_at > 3 && refuse_at < 7; /* three to block, three to set */

        check_case("refused at switch %u", refuse_at);
        up(&kinds[1]);
        fx.nr_units = 2;
        CHECK_EQ(fx_remove(&fx, 1), 0);
        fx.dev[1].unit = fx.unit[0].unit;
        CHECK_EQ(fx_add(&fx, 1), 0);
        CHECK_EQ(attach(2, 1, 1), 0);
        switches = 0;
        pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_DEV_SWITCH), no_levels, NULL);
        fx_begin(&fx);
        fx_attach_pasid(&fx, 3, 1, 1, PVI_PASID_MOVE);
        CHECK_EQ(fx_submit(&fx), 0);
        pvi_posix_hook(fx.host, 0, NULL, NULL);
        CHECK_EQ(fx.op[0].status, refused ? -PVI_EOPNOTSUPP : 0);
        CHECK_EQ(switches, refused ? refuse_at + (refuse_at - 4) + 3 : 6);
        fx.orc.pasid[0].ctx = refused ? 2 : 3;
        fx_check(&fx);
        CHECK_EQ(fx.dom.slot[2]->units != 0, !refused);
        fx_begin(&fx);
        fx_attach_pasid(&fx, 2, 1, 1, PVI_PASID_MOVE);
        fx_expect(&fx, 0);
        fx_down(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures),
        cmocka_unit_test(failure_preempted),
        cmocka_unit_test(way_back),
    };

    return cmocka_run_group_tests_name("PASIDs, failures", tests, NULL, NULL);
}
