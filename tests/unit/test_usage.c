/* SPDX-License-Identifier: MIT */
/* Figures of a context, and the faults of its devices that its owner may read: in order, not too many, nobody else's. */
#include "fixture.h"

static struct fx fx;

static struct pvi_op *figures(struct fx *f, unsigned ctx)
{
    fx_begin(f);
    fx_op(f, PVI_OP_QUERY_USAGE, ctx);
    fx_expect(f, 0);
    return &f->op[0];
}

static void counts(struct fx *f, const struct fx_cfg *cfg)
{
    uint64_t flushes;

    fx_up(f, cfg);
    CHECK_EQ(fx_context(f, 0), 1);
    CHECK_EQ(figures(f, 1)->u.usage.mapped, 0);
    CHECK_EQ(f->op[0].u.usage.devices, 1);
    CHECK_EQ(f->op[0].u.usage.pages_used, 1);
    CHECK_EQ(f->op[0].u.usage.pages_limit, UINT32_MAX);
    fx_begin(f);
    fx_map(f, 1, 0x3fff0, GUEST_PV, 0x40020, PVI_RW); /* three gigabytes, so three locks */
    fx_map(f, 1, 0x100, GUEST_HVM, 7, PVI_RW);
    fx_expect(f, 0);
    CHECK_EQ(figures(f, 1)->u.usage.mapped, 0x40027);
    flushes = f->op[0].u.usage.flushes;
    fx_begin(f);
    fx_unmap(f, 1, 0x3fff8, 0x40000);
    fx_expect(f, 0);
    CHECK_EQ(figures(f, 1)->u.usage.mapped, 0x27);
    CHECK(f->op[0].u.usage.flushes > flushes);
    flushes = f->op[0].u.usage.flushes;
    fx_begin(f);
    fx_lookup(f, 1, 0x100);
    fx_expect(f, 0);
    CHECK_EQ(figures(f, 1)->u.usage.flushes, flushes);
    fx_begin(f);
    fx_flush(f, 1, 0, 0);
    fx_expect(f, 0);
    CHECK_EQ(figures(f, 1)->u.usage.flushes, flushes + 1);
    fx_begin(f); /* a new life begins at nothing */
    fx_free(f, 1, PVI_FREE_REATTACH);
    fx_alloc(f, PVI_ALLOC_IDENTITY);
    fx_expect(f, 0);
    CHECK(figures(f, 1)->u.usage.mapped > 0x1000);
    (void)figures(f, 0);
    for (unsigned code = PVI_OP_QUERY_USAGE; code <= PVI_OP_READ_FAULT; code++) {
        fx_begin(f);
        fx_op(f, code, 1)->flags = 1;
        fx_expect(f, -PVI_EFLAGS);
        fx_begin(f);
        fx_op(f, code, 5);
        fx_op(f, code, 0xffff);
        fx_expect(f, -PVI_ENOCTX);
    }
    fx_down(f);
}

static void what_is_counted(void **state)
{
    (void)state;
    fx_each(counts);
}

/* --- faults --------------------------------------------------------------------------------------- */

static int report(struct fx *f, unsigned dev, uint64_t iova, uint64_t now)
{
    struct pvi_fault fault = {.iova = iova, .rid = f->dev[dev].rid[0], .code = 6, .write = (iova & 0x1000) != 0,
                              .translation = true};
    int rc = pvi_domain_fault(&f->dom, f->dev[dev].unit, &fault, now);

    pvi_posix_checkpoint(f->host);
    return rc;
}

static int next_fault(struct fx *f, unsigned ctx)
{
    fx_begin(f);
    fx_op(f, PVI_OP_READ_FAULT, ctx);
    fx_run(f);
    return f->op[0].status;
}

static void expect_fault(struct fx *f, unsigned ctx, unsigned dev, uint64_t iova)
{
    CHECK_EQ(next_fault(f, ctx), 0);
    CHECK_EQ(f->op[0].u.fault.iova, iova);
    CHECK_EQ(f->op[0].u.fault.sbdf.v, f->dev[dev].sbdf.v);
    CHECK_EQ(f->op[0].u.fault.rid, f->dev[dev].rid[0]);
    CHECK_EQ(f->op[0].u.fault.code, 6);
    CHECK_EQ(f->op[0].u.fault.write, (iova & 0x1000) != 0);
}

/* Of many at once: what the bucket has left, after two, and no more, however it is read meanwhile. How many were lost. */
static unsigned storm(struct fx *f)
{
    for (unsigned i = 0; i < 1000; i++) {
        CHECK_EQ(report(f, 0, 0x10000 + i * 0x1000ull, 6), 0);
        if (i == 3) {
            expect_fault(f, 1, 0, 0x10000);
        }
    }
    for (unsigned i = 1; i < PVI_FAULT_BURST - 2; i++) {
        expect_fault(f, 1, 0, 0x10000 + i * 0x1000ull);
    }
    CHECK_EQ(next_fault(f, 1), -PVI_ENOENT);
    CHECK_EQ(f->op[0].u.fault.lost, 1000 - (PVI_FAULT_BURST - 2));
    CHECK_EQ(figures(f, 1)->u.usage.faults, 1002);
    return 1000 - (PVI_FAULT_BURST - 2);
}

static void told_to_the_owner(void **state)
{
    struct pvi_fault stranger = {.rid = 0x999};
    unsigned lost;

    (void)state;
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .units = 2});
    CHECK_EQ(fx_context(&fx, 0), 1);
    CHECK_EQ(next_fault(&fx, 1), -PVI_ENOENT);
    CHECK_EQ(report(&fx, 0, 0x1000, 5), 0);
    CHECK_EQ(report(&fx, 1, 0x2000, 5), 0); /* in the default context */
    CHECK_EQ(report(&fx, 0, 0x3000, 5), 0);
    CHECK_EQ(pvi_domain_fault(&fx.dom, fx.unit[0].unit, &stranger, 5), -PVI_ENODEV);
    stranger.rid = fx.dev[0].rid[0];
    CHECK_EQ(pvi_domain_fault(&fx.dom, fx.unit[1].unit, &stranger, 5), -PVI_ENODEV); /* that id, on another unit */
    expect_fault(&fx, 1, 0, 0x1000);
    CHECK_EQ(fx.op[0].u.fault.left, 1);
    expect_fault(&fx, 1, 0, 0x3000);
    CHECK_EQ(next_fault(&fx, 1), -PVI_ENOENT);
    expect_fault(&fx, 0, 1, 0x2000);
    CHECK_EQ(figures(&fx, 1)->u.usage.faults, 2);
    /* What another call has the domain for. */
    fx.dom.moving = true;
    CHECK_EQ(report(&fx, 0, 0, 5), -PVI_EPREEMPTED);
    fx.dom.moving = false;
    lost = storm(&fx);
    /* One more for each interval; the clock may stand still or go back. */
    CHECK_EQ(report(&fx, 0, 0x1000, 0), 0);
    CHECK_EQ(report(&fx, 0, 0x1000, 6), 0);
    CHECK_EQ(next_fault(&fx, 1), -PVI_ENOENT);
    CHECK_EQ(fx.op[0].u.fault.lost, lost += 2);
    CHECK_EQ(report(&fx, 0, 0x5000, 6 + 3 * PVI_FAULT_MS), 0);
    CHECK_EQ(report(&fx, 0, 0x6000, 6 + 3 * PVI_FAULT_MS), 0);
    expect_fault(&fx, 1, 0, 0x5000);
    expect_fault(&fx, 1, 0, 0x6000);
    /* Never more than there is room for, however long it was quiet. */
    for (unsigned round = 1; round < 4; round++) {
        for (unsigned i = 0; i < 40; i++) {
            CHECK_EQ(report(&fx, 0, 0x7000, round * 1000000ull), 0);
        }
    }
    for (unsigned i = 0; i < PVI_CTX_FAULTS; i++) {
        expect_fault(&fx, 1, 0, 0x7000);
    }
    CHECK_EQ(next_fault(&fx, 1), -PVI_ENOENT);
    CHECK_EQ(fx.op[0].u.fault.lost, lost + 120 - PVI_CTX_FAULTS);
    /* The number's next owner sees none of them. */
    CHECK_EQ(report(&fx, 0, 0x8000, UINT64_MAX), 0);
    fx_begin(&fx);
    fx_free(&fx, 1, PVI_FREE_REATTACH);
    fx_alloc(&fx, 0);
    fx_expect(&fx, 0);
    CHECK_EQ(next_fault(&fx, 1), -PVI_ENOENT);
    CHECK_EQ(fx.op[0].u.fault.lost, 0);
    CHECK_EQ(figures(&fx, 1)->u.usage.faults, 0);
    fx_down(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted),
        cmocka_unit_test(told_to_the_owner),
    };

    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
