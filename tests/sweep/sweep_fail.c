/* SPDX-License-Identifier: MIT */
/*
 * Hardware that fails, at every call that can tell so, in every scenario: once, and for good. Every operation that the
 * failed flush covered says EHW, nothing that a unit may still reach is reused or released, what is lost is counted, a
 * broken context refuses everything but being freed, and the domain can still be taken down.
 */
#include <string.h>

#include "scenario.h"

static struct fx fx;

static const struct {
    enum pvi_posix_point at;
    const char *name;
} points[] = {
    {PVI_AT_INV_SUBMIT, "inv_submit"},
    {PVI_AT_INV_WAIT, "inv_wait"},
    {PVI_AT_DEV_SWITCH, "dev_switch"},
};

static struct pvi_batch more;
static struct pvi_op next_op;

static int one_more(unsigned code, unsigned ctx)
{
    memset(&more, 0, sizeof(more));
    memset(&next_op, 0, sizeof(next_op));
    next_op.code = (uint16_t)code;
    next_op.domid = PVI_DOMID_SELF;
    next_op.ctx = (uint16_t)ctx;
    if (code == PVI_OP_MAP) {
        next_op.flags = PVI_RW;
        next_op.u.map.dfn.f = 0x700000;
        next_op.u.map.gfn.f = GUEST_HVM;
        next_op.u.map.nr = 1;
    } else if (code == PVI_OP_UNMAP) {
        next_op.u.unmap.dfn.f = 0x700000;
        next_op.u.unmap.nr = 1;
    } else if (code == PVI_OP_REATTACH_DEVICE) {
        next_op.u.reattach.sbdf = fx.dev[1].sbdf;
    } else if (code == PVI_OP_FREE_CONTEXT) {
        next_op.flags = PVI_FREE_REATTACH;
    }
    more.ops = &next_op;
    more.nr = 1;
    while (pvi_submit(&fx.dom, &more) == -PVI_EPREEMPTED) {
    }
    pvi_posix_checkpoint(fx.host);
    return next_op.status;
}

/* Broken contexts refuse all but to be freed; returns how many there are. */
static unsigned broken_contexts(void)
{
    unsigned nr = 0;

    for (unsigned c = 1; c <= fx.dom.nr_contexts; c++) {
        struct pvi_context_usage u;

        if (pvi_context_usage(&fx.dom, (uint16_t)c, &u) == 0 && u.state == PVI_CTX_BROKEN) {
            int why = fx.dom.slot[c - 1]->nested ? -PVI_ENESTED : -PVI_EHW;

            nr++;
            CHECK_EQ(one_more(PVI_OP_MAP, c), why);
            CHECK_EQ(one_more(PVI_OP_UNMAP, c), why);
            CHECK_EQ(one_more(PVI_OP_LOOKUP, c), why);
            CHECK_EQ(one_more(PVI_OP_FLUSH, c), why);
            CHECK_EQ(one_more(PVI_OP_REATTACH_DEVICE, c), -PVI_EHW);
            CHECK_EQ(pvi_context_usage(&fx.dom, (uint16_t)c, &u), 0);
            CHECK_EQ(u.state, PVI_CTX_BROKEN);
        }
    }
    return nr;
}

/* The unit dies at the n-th call, and is marked broken by its driver when that is noticed. */
static struct {
    uint64_t calls, nth;
    unsigned unit;
} death;

static void die(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (!after && ++death.calls == death.nth) {
        fx.unit[death.unit].null.fail_submit = true;
        fx.unit[death.unit].null.fail_wait = true;
    }
}

/*
 * Modes: a call fails once, and the unit obeys afterwards; it fails from the n-th call on; a unit dies. Only the last is
 * what the library's drivers do, and what a recording host can judge; of the others it counts.
 */
enum mode { ONCE, FOR_GOOD, DEAD };
static const char *const mode_name[] = {"once", "for good", "dead unit"};

static void arm(unsigned p, uint64_t n, enum mode mode)
{
    if (mode == DEAD) {
        death.calls = 0;
        death.nth = n;
        death.unit = (unsigned)(n % fx.nr_units);
        pvi_posix_hook(fx.host, PVI_AT_BIT(points[p].at), die, NULL);
    } else {
        pvi_posix_count_violations(fx.host, points[p].at != PVI_AT_DEV_SWITCH || mode == FOR_GOOD);
        pvi_posix_fail(fx.host, points[p].at, n, mode == FOR_GOOD);
    }
}

static uint64_t disarm(unsigned p, enum mode mode)
{
    uint64_t failed = pvi_posix_failed(fx.host, points[p].at);

    pvi_posix_fail(fx.host, points[p].at, 0, false);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    return mode == DEAD ? fx.unit[death.unit].unit->broken : failed;
}

/*
 * Every context is asked to go, with its devices, and those that are nested first: one without devices always can, whatever the unit does,
 * unless one that is lost is nested on it; of the others those whose devices obey. A PASID that does not leave as it should is gone the second
 * time. What a context says of its devices is what the domain's list says.
 */
static void free_contexts(void)
{
    for (unsigned c = fx.dom.nr_contexts; c > 0; c--) {
        struct pvi_context_usage u;
        uint32_t devices = 0;
        int rc;

        if (pvi_context_usage(&fx.dom, (uint16_t)c, &u) != 0) {
            continue;
        }
        for (const struct pvi_device *d = fx.dom.devices; d; d = d->next) {
            devices += d->ctx && d->ctx->id == c;
        }
        CHECK_EQ(u.devices, devices);
        if (fx.dom.slot[c - 1]->nr_nested != 0) {
            CHECK_EQ(one_more(PVI_OP_FREE_CONTEXT, c), -PVI_EBUSY);
            continue;
        }
        rc = one_more(PVI_OP_FREE_CONTEXT, c);
        while (rc == -PVI_EHW && devices == 0 && pvi_context_usage(&fx.dom, (uint16_t)c, &u) == 0) {
            rc = one_more(PVI_OP_FREE_CONTEXT, c);
        }
        CHECK(rc == 0 || rc == -PVI_EHW);
        /* Gone in any case, with what some unit may still know of it lost, unless a device could not leave it. */
        CHECK(pvi_context_usage(&fx.dom, (uint16_t)c, &u) == -PVI_ENOCTX || (rc == -PVI_EHW && devices != 0));
    }
}

static bool fail_nth(const struct scenario *s, unsigned p, uint64_t n, enum mode mode)
{
    uint64_t ehw = 0, lost;
    bool failed, reached;

    check_case("%s, %s fails at call %llu, %s", s->name, points[p].name, (unsigned long long)n, mode_name[mode]);
    scenario_up(&fx, s);
    s->batch(&fx);
    pvi_posix_events_reset(fx.host);
    arm(p, n, mode);
    CHECK_EQ(fx_submit(&fx), 0);
    failed = disarm(p, mode) != 0;
    reached = mode != DEAD ? failed : death.calls >= n;
    for (unsigned i = 0; i < fx.nr_ops; i++) {
        ehw += fx.op[i].status == -PVI_EHW;
    }
    CHECK_EQ(failed, ehw != 0); /* no failure goes unsaid, none is invented */
    if (!failed) {
        fx.unit[death.unit].null.fail_submit = fx.unit[death.unit].null.fail_wait = false;
        fx_judge(&fx);
        fx_down(&fx);
        return reached;
    }
    lost = fx.dom.pool.nr_lost;
    CHECK(broken_contexts() != 0 || fx.dom.default_ctx.state == PVI_CTX_BROKEN || ehw == 1 ||
          lost != 0); /* it has been freed since */
    free_contexts();
    CHECK(fx.dom.pool.nr_lost >= lost);
    fx_end(&fx, true);
    return reached;
}

static void hardware_fails(void **state)
{
    uint64_t sites[3] = {0};

    (void)state;
    for (unsigned i = 0; i < nr_scenarios; i++) {
        if (scenarios[i].cfg.kind != FX_NULL) {
            continue; /* units of the model have failures of their own */
        }
        for (unsigned p = 0; p < 3; p++) {
            for (enum mode mode = ONCE; mode <= DEAD; mode++) {
                uint64_t n = 1;

                if (mode == DEAD && points[p].at == PVI_AT_DEV_SWITCH) {
                    continue;
                }
                while (fail_nth(&scenarios[i], p, n, mode)) {
                    sites[p]++;
                    n += n < 20 ? 1 : 7;
                }
            }
        }
    }
    for (unsigned p = 0; p < 3; p++) {
        print_message("%s: %llu failures\n", points[p].name, (unsigned long long)sites[p]);
        CHECK(sites[p] != 0);
    }
}

/* --- one failure, looked at closely --------------------------------------------------------------- */

static void wait_dead(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (!after) {
        fx.unit[0].null.fail_wait = true;
    }
}

/* What the failed flush held is lost, told, and never put; what it did not cover goes on. */
static void what_a_failed_flush_leaves(void **state)
{
    struct pvi_posix_event e[PVI_POSIX_EVENTS];
    uint64_t puts;

    (void)state;
    check_case("failed flush");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .units = 2});
    CHECK_EQ(fx_context(&fx, 0), 1);
    CHECK_EQ(fx_context(&fx, 1), 2);
    fx_begin(&fx);
    fx_map(&fx, 1, 0, GUEST_HVM, 1024 + 7, PVI_RW);
    fx_map(&fx, 2, 0, GUEST_HVM, 1024, PVI_RW);
    fx_expect(&fx, 0);
    pvi_posix_events_reset(fx.host);
    puts = pvi_posix_calls(fx.host, PVI_AT_FRAME_PUT);
    pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_INV_WAIT), wait_dead, NULL);
    fx_begin(&fx);
    fx_unmap(&fx, 1, 0, 1024 + 5); /* two tables and five pages */
    fx_op(&fx, PVI_OP_NOOP, 0);
    fx_map(&fx, 2, 0x10000, GUEST_PV, 1, PVI_RW);
    CHECK_EQ(fx_submit(&fx), 0);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(fx.op[i].status, -PVI_EHW); /* the flush covered the whole batch */
    }
    CHECK_EQ(pvi_posix_calls(fx.host, PVI_AT_FRAME_PUT), puts);
    CHECK_EQ(fx.dom.pool.nr_lost, 2);
    CHECK_EQ(pvi_posix_events(fx.host, e), 1);
    CHECK_EQ(e[0].what, PVI_EVENT_FLUSH_FAILED);
    CHECK_EQ(e[0].a, 0);
    CHECK_EQ(e[0].b, 2 + 1024 + 5);
    CHECK(fx.unit[0].unit->broken);
    CHECK(!fx.unit[1].unit->broken);
    CHECK_EQ(fx.dom.slot[0]->state, PVI_CTX_BROKEN);
    CHECK_EQ(fx.dom.slot[1]->state, PVI_CTX_LIVE); /* not concerned */
    CHECK_EQ(broken_contexts(), 1);
    fx_begin(&fx);
    fx_unmap(&fx, 2, 0, 600);
    fx_flush(&fx, 2, 0, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, 0);
    CHECK_EQ(fx.op[1].status, 0);
    fx_begin(&fx);
    fx_free(&fx, 1, 0);
    fx_free(&fx, 1, PVI_FREE_REATTACH);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, -PVI_EBUSY);
    CHECK_EQ(fx.op[1].status, -PVI_EHW); /* its device cannot be taken from it */
    fx_end(&fx, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hardware_fails),
        cmocka_unit_test(what_a_failed_flush_leaves),
    };

    return cmocka_run_group_tests_name("failing hardware", tests, NULL, NULL);
}
