/* SPDX-License-Identifier: MIT */
/*
 * Every scenario, preempted: at each checkpoint, at pairs of them, at all of them. The answers, the tables, the pages in
 * use and what the units were told are those of the run that nobody preempted (R14). Then the same with
 * somebody else at work between preemption and resumption: whatever happens, nothing is torn, leaked or forged.
 */
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

#define DIDS 64u
#define MAX_CHECKPOINTS 4096u

static struct fx fx;

/* --- what a run came to --------------------------------------------------------------------------- */

struct outcome {
    struct pvi_op op[FX_OPS];
    unsigned nr_ops;
    uint32_t used[ORC_CONTEXTS];
    struct flat *told[FX_UNITS][DIDS]; /* pages that were invalidated, as a set */
    bool whole[FX_UNITS][DIDS];        /* the whole domain id was */
    bool known[FX_UNITS][DIDS];        /* the domain id was in use before the batch */
    unsigned device[FX_UNITS];
};

static struct outcome *recording;

static void note(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    unsigned unit = (unsigned)(uintptr_t)opaque;
    struct flat **set;

    (void)u;
    if (inv->kind == PVI_INV_DEVICE || inv->kind == PVI_INV_PASID) {
        recording->device[unit]++;
        return;
    }
    CHECK(inv->did < DIDS);
    set = &recording->told[unit][inv->did];
    *set = *set ? *set : flat_new();
    if (inv->kind == PVI_INV_PAGES) {
        flat_replace(*set, inv->iova >> 12, 1ull << (inv->lg2 - 12), inv->iova, FLAT_R, 0);
    } else if (inv->kind == PVI_INV_DOMAIN) {
        recording->whole[unit][inv->did] = true;
    }
}

static void outcome_free(struct outcome *o)
{
    for (unsigned u = 0; u < FX_UNITS; u++) {
        for (unsigned d = 0; d < DIDS; d++) {
            flat_free(o->told[u][d]);
        }
    }
    free(o);
}

/* Starts the scenario; what units are told from now on is recorded. */
static struct outcome *start(const struct scenario *s)
{
    struct outcome *o = calloc(1, sizeof(*o));

    CHECK(o);
    scenario_up(&fx, s);
    recording = o;
    for (unsigned u = 0; u < fx.nr_units && s->cfg.kind == FX_NULL; u++) {
        fx.unit[u].null.told = note;
        fx.unit[u].null.opaque = (void *)(uintptr_t)u;
        fx.unit[u].unit->caps.inv_max_nr = 250; /* page by page, so that sets can be compared */
        for (unsigned d = 0; d < DIDS; d++) {
            o->known[u][d] = fx.unit[u].null.did_used[d] != 0;
        }
    }
    s->batch(&fx);
    return o;
}

static void finish(struct outcome *o)
{
    for (unsigned u = 0; u < fx.nr_units; u++) {
        fx.unit[u].null.told = NULL;
    }
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    pvi_posix_preempt_bits(fx.host, NULL, 0);
    fx_judge(&fx);
    fx_dma(&fx);
    memcpy(o->op, fx.op, sizeof(o->op));
    o->nr_ops = fx.nr_ops;
    for (unsigned c = 0; c < ORC_CONTEXTS; c++) {
        struct pvi_context_usage u;

        o->used[c] = pvi_context_usage(&fx.dom, (uint16_t)c, &u) == 0 ? u.pages_used : 0;
    }
    fx_down(&fx);
}

static void same(const struct outcome *a, const struct outcome *b)
{
    for (unsigned i = 0; i < a->nr_ops; i++) {
        check_step("operation %u", i);
        CHECK_EQ(b->op[i].status, a->op[i].status);
        CHECK_EQ(b->op[i].done, a->op[i].done);
        CHECK_EQ(b->op[i].ctx, a->op[i].ctx);
        CHECK(a->op[i].status == 0 || b->op[i].fault == a->op[i].fault);
    }
    for (unsigned c = 0; c < ORC_CONTEXTS; c++) {
        CHECK_EQ(b->used[c], a->used[c]);
    }
    for (unsigned u = 0; u < FX_UNITS; u++) {
        CHECK_EQ(b->device[u], a->device[u]);
        for (unsigned d = 0; d < DIDS; d++) {
            uint64_t differs = 0;

            if (!a->known[u][d]) {
                continue; /* what a device that joins later in the batch is told of earlier changes, it need not be */
            }
            check_step("unit %u, domain id %u", u, d);
            CHECK_EQ(!b->told[u][d] && !b->whole[u][d], !a->told[u][d] && !a->whole[u][d]);
            if (!a->whole[u][d] && !b->whole[u][d] && a->told[u][d]) {
                CHECK(flat_equal(a->told[u][d], b->told[u][d], 0, &differs));
            }
        }
    }
}

/* --- preempted ------------------------------------------------------------------------------------ */

static struct outcome *undisturbed(const struct scenario *s, uint64_t *checkpoints)
{
    struct outcome *o = start(s);

    *checkpoints = pvi_posix_calls(fx.host, PVI_AT_PREEMPT);
    CHECK_EQ(fx_submit(&fx), 0);
    *checkpoints = pvi_posix_calls(fx.host, PVI_AT_PREEMPT) - *checkpoints;
    CHECK_EQ(fx.preempted, 0);
    finish(o);
    return o;
}

static void disturbed(const struct scenario *s, const struct outcome *calm, const uint64_t *bits, unsigned times)
{
    struct outcome *o = start(s);

    pvi_posix_preempt_bits(fx.host, bits, MAX_CHECKPOINTS);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(times == 0 || fx.preempted == times);
    finish(o);
    same(calm, o);
    outcome_free(o);
}

static void each_and_pairs(const struct scenario *s, unsigned *runs)
{
    static uint64_t bits[MAX_CHECKPOINTS / 64];
    uint64_t nr, step;
    struct outcome *calm;

    check_case("%s, not preempted", s->name);
    calm = undisturbed(s, &nr);
    CHECK(nr > 0 && nr < MAX_CHECKPOINTS - 64);
    step = 1 + nr / 40; /* scenarios with hundreds of checkpoints: each 40th part */
    for (uint64_t a = 0; a < nr; a += step) {
        for (uint64_t b = a; b < nr + 2; b += b == a ? step : 1 + nr / 12 * step) {
            check_case("%s, preempted at %llu and %llu of %llu", s->name, (unsigned long long)a,
                       (unsigned long long)b, (unsigned long long)nr);
            memset(bits, 0, sizeof(bits));
            bits[a / 64] |= 1ull << (a % 64);
            bits[b / 64] |= 1ull << (b % 64);
            disturbed(s, calm, bits, b == a ? 1 : 0);
            (*runs)++;
        }
    }
    check_case("%s, preempted everywhere", s->name);
    memset(bits, 0xff, sizeof(bits));
    disturbed(s, calm, bits, 0);
    outcome_free(calm);
}

static void preempted_runs_end_alike(void **state)
{
    unsigned runs = 0;

    (void)state;
    for (unsigned i = 0; i < nr_scenarios; i++) {
        each_and_pairs(&scenarios[i], &runs);
    }
    print_message("%u preempted runs\n", runs);
}

/* --- somebody else between ------------------------------------------------------------------------ */

static struct pvi_batch other;
static struct pvi_op theirs[12];

static struct pvi_op *their(unsigned code, unsigned ctx)
{
    struct pvi_op *op = &theirs[other.nr++];

    op->code = (uint16_t)code;
    op->domid = PVI_DOMID_SELF;
    op->ctx = (uint16_t)ctx;
    return op;
}

/* Operations of another vCPU on the same contexts, overlapping what the first one is at. */
static void meddle(unsigned ctx)
{
    static const uint64_t at[] = {0x100, 0x40000 + 0x12345, 0x1100, 0x3ff00};

    for (unsigned i = 0; i < 4; i++) {
        struct pvi_op *op = their(i % 2 ? PVI_OP_UNMAP : PVI_OP_MAP, ctx);

        if (i % 2) {
            op->u.unmap.dfn.f = at[i];
            op->u.unmap.nr = 0x300;
        } else {
            op->flags = PVI_RW;
            op->u.map.dfn.f = at[i];
            op->u.map.gfn.f = GUEST_HVM + 0x2000;
            op->u.map.nr = 0x300;
        }
    }
    their(PVI_OP_REATTACH_DEVICE, ctx)->u.reattach.sbdf = fx.dev[0].sbdf;
    their(PVI_OP_FLUSH, ctx);
}

static void act(unsigned what)
{
    memset(&other, 0, sizeof(other));
    memset(theirs, 0, sizeof(theirs));
    other.ops = theirs;
    switch (what) {
    case 0:
        meddle(1);
        break;
    case 1:
        their(PVI_OP_FREE_CONTEXT, 1)->flags = PVI_FREE_REATTACH;
        break;
    case 2: /* gone, and its number is somebody else's */
        their(PVI_OP_FREE_CONTEXT, 1)->flags = PVI_FREE_REATTACH;
        their(PVI_OP_ALLOC_CONTEXT, 0);
        meddle(1);
        break;
    case 3:
        meddle(3);
        their(PVI_OP_FREE_CONTEXT, 3)->flags = PVI_FREE_REATTACH;
        break;
    case 4: /* other windows, with the same numbers */
        their(PVI_OP_WINDOW_RESET, 1);
        their(PVI_OP_WINDOW_REMOVE, 1);
        their(PVI_OP_WINDOW_CREATE, 1)->u.window.nr = 0x10000;
        meddle(1);
        break;
    default:
        pvi_domain_kill(&fx.dom);
        return;
    }
    while (pvi_submit(&fx.dom, &other) == -PVI_EPREEMPTED) {
        pvi_posix_checkpoint(fx.host);
    }
    pvi_posix_checkpoint(fx.host);
}

static uint64_t stop_at;

static bool once(void *opaque, uint64_t nr)
{
    (void)opaque;
    return nr == stop_at;
}

/* True when the batch was preempted at that checkpoint. */
static bool interfered(const struct scenario *s, unsigned what)
{
    int rc;

    scenario_up(&fx, s);
    s->batch(&fx);
    fx.batch.ops = fx.op;
    fx.batch.nr = fx.nr_ops;
    pvi_posix_preempt_call(fx.host, once, NULL);
    rc = pvi_submit(&fx.dom, &fx.batch);
    pvi_posix_checkpoint(fx.host);
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    if (rc == -PVI_EPREEMPTED) {
        act(what);
        while (pvi_submit(&fx.dom, &fx.batch) == -PVI_EPREEMPTED) {
            pvi_posix_checkpoint(fx.host);
        }
        pvi_posix_checkpoint(fx.host);
    }
    for (unsigned i = 0; i < fx.nr_ops; i++) {
        CHECK(fx.op[i].status <= 0 && fx.op[i].status >= -PVI_ENESTED);
        CHECK(fx.op[i].status != -PVI_EPREEMPTED && fx.op[i].status != -PVI_EHW);
        CHECK(fx.op[i].code != PVI_OP_MAP || fx.op[i].done <= fx.op[i].u.map.nr);
        CHECK(fx.op[i].code != PVI_OP_UNMAP || fx.op[i].done <= fx.op[i].u.unmap.nr);
    }
    fx_check_loose(&fx);
    fx_end(&fx, false);
    return rc == -PVI_EPREEMPTED;
}

static void somebody_else_between(void **state)
{
    unsigned runs = 0;

    (void)state;
    for (unsigned i = 0; i < nr_scenarios; i++) {
        for (unsigned what = 0; what < 6; what++) {
            stop_at = 0;
            do {
                check_case("%s, interrupted at %llu by actor %u", scenarios[i].name, (unsigned long long)stop_at,
                           what);
                stop_at += stop_at < 12 ? 1 : 1 + stop_at / 3;
                runs++;
            } while (interfered(&scenarios[i], what));
        }
    }
    print_message("%u runs with somebody else between\n", runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preempted_runs_end_alike),
        cmocka_unit_test(somebody_else_between),
    };

    return cmocka_run_group_tests_name("preemption", tests, NULL, NULL);
}
