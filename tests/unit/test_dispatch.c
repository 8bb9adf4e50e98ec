/* SPDX-License-Identifier: MIT */
/* The dispatcher: what each operation answers, every error that a guest can cause, batches, flushes of batches. */
#include <string.h>

#include "fixture.h"

#define DFN 0x1000ull
#define NR 1200ull

/* Two contexts: 1 with device 0 and a mapping of NR pages at DFN, 2 without a device. */
static void furnish(struct fx *f)
{
    CHECK_EQ(fx_context(f, 0), 1);
    fx_begin(f);
    fx_alloc(f, 0);
    fx_map(f, 1, DFN, GUEST_PV + 1, NR, PVI_RW);
    fx_expect(f, 0);
    CHECK_EQ(f->op[0].ctx, 2);
}

/* --- every error ---------------------------------------------------------------------------------- */

#define NONE UINT64_MAX /* no address is at fault */
#define HIGH (1ull << 52)
#define MSI (FX_MSI_FIRST >> 12)

struct wrong {
    unsigned code, ctx, flags;
    uint64_t dfn, gfn, nr; /* or the fields of that operation, in their order */
    int status;
    uint64_t done, fault;
    unsigned pad;
};

static const struct wrong wrongs[] = {
    {PVI_OP_NR, 0, 0, 0, 0, 0, -PVI_EINVAL, 0, NONE, 0},
    {0xffff, 1, 0, 0, 0, 0, -PVI_EINVAL, 0, NONE, 0},
    {PVI_OP_NOOP, 0, 0, 0, 0, 0, -PVI_EINVAL, 0, NONE, 1},
    {PVI_OP_MAP, 1, PVI_RW, 0, GUEST_PV, 1, -PVI_EINVAL, 0, NONE, 0x8000},
    {PVI_OP_QUERY_CAPS, 0, 1, 0, 0, 0, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_INIT, 0, 1, 0, 0, 0, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_INIT, 0, 0, 8 | 100ull << 32, 0, 0, -PVI_EINITED, 0, NONE, 0},
    {PVI_OP_INIT, 0, 0, 0 | 100ull << 32, 0, 0, -PVI_ELENGTH, 0, NONE, 0},
    {PVI_OP_INIT, 0, 0, 8 | 0ull << 32, 0, 0, -PVI_ELENGTH, 0, NONE, 0},
    {PVI_OP_INIT, 0, 0, 17 | 100ull << 32, 0, 0, -PVI_ELIMIT, 0, NONE, 0},
    {PVI_OP_INIT, 0, 0, 8 | 4001ull << 32, 0, 0, -PVI_ELIMIT, 0, NONE, 0},
    {PVI_OP_ALLOC_CONTEXT, 0, 2, 0, 0, 0, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_ALLOC_CONTEXT, 0, 0x80000000, 0, 0, 0, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_ALLOC_CONTEXT, 3, 0, 0, 0, 0, -PVI_EINVAL, 0, NONE, 0},
    {PVI_OP_FREE_CONTEXT, 1, 2, 0, 0, 0, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_FREE_CONTEXT, 0, 0, 0, 0, 0, -PVI_EDEFAULT, 0, NONE, 0},
    {PVI_OP_FREE_CONTEXT, 0, PVI_FREE_REATTACH, 0, 0, 0, -PVI_EDEFAULT, 0, NONE, 0},
    {PVI_OP_FREE_CONTEXT, 3, 0, 0, 0, 0, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_FREE_CONTEXT, 9, 0, 0, 0, 0, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_FREE_CONTEXT, 0xffff, 0, 0, 0, 0, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_FREE_CONTEXT, 1, 0, 0, 0, 0, -PVI_EBUSY, 0, NONE, 0},
    {PVI_OP_REATTACH_DEVICE, 1, 1, 0x100, 0, 0, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_REATTACH_DEVICE, 3, 0, 0x100, 0, 0, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_REATTACH_DEVICE, 9, 0, 0x100, 0, 0, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_REATTACH_DEVICE, 2, 0, 0x101, 0, 0, -PVI_ENODEV, 0, NONE, 0},
    {PVI_OP_REATTACH_DEVICE, 2, 0, 0x10100, 0, 0, -PVI_ENODEV, 0, NONE, 0},
    {PVI_OP_MAP, 0, PVI_RW, 0, GUEST_PV, 1, -PVI_EDEFAULT, 0, NONE, 0},
    {PVI_OP_MAP, 3, PVI_RW, 0, GUEST_PV, 1, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_MAP, 1, 0, 0, GUEST_PV, 1, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_MAP, 1, PVI_RW | 4, 0, GUEST_PV, 1, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_MAP, 1, 0x80000001, 0, GUEST_PV, 1, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_MAP, 1, PVI_RW, 0x55, GUEST_PV, 0, -PVI_ELENGTH, 0, 0x55, 0},
    {PVI_OP_MAP, 1, PVI_RW, HIGH, GUEST_PV, 1, -PVI_EWRAP, 0, HIGH, 0},
    {PVI_OP_MAP, 1, PVI_RW, UINT64_MAX, GUEST_PV, 1, -PVI_EWRAP, 0, UINT64_MAX, 0},
    {PVI_OP_MAP, 1, PVI_RW, UINT64_MAX, GUEST_PV, 2, -PVI_EWRAP, 0, UINT64_MAX, 0},
    {PVI_OP_MAP, 1, PVI_RW, 1, GUEST_PV, UINT64_MAX, -PVI_EWRAP, 0, 1, 0},
    {PVI_OP_MAP, 1, PVI_RW, HIGH - 1, GUEST_PV, 2, -PVI_EWRAP, 0, HIGH - 1, 0},
    {PVI_OP_MAP, 1, PVI_RW, 0, UINT64_MAX, 2, -PVI_EWRAP, 0, 0, 0},
    {PVI_OP_MAP, 1, PVI_RW, 1ull << 36, GUEST_PV, 1, -PVI_ERANGE, 0, 1ull << 36, 0},
    {PVI_OP_MAP, 1, PVI_RW, HIGH - 1, GUEST_PV, 1, -PVI_ERANGE, 0, HIGH - 1, 0},
    {PVI_OP_MAP, 1, PVI_RW, MSI, GUEST_PV, 1, -PVI_ERESERVED, 0, MSI, 0},
    {PVI_OP_MAP, 1, PVI_RW, MSI - 10, GUEST_PV, 11, -PVI_ERESERVED, 0, MSI, 0},
    {PVI_OP_MAP, 1, PVI_RW, MSI + 0xff, GUEST_PV, 2, -PVI_ERESERVED, 0, MSI + 0xff, 0},
    {PVI_OP_MAP, 1, PVI_RW, 0, GUEST_PV, 1ull << 27, -PVI_ERESERVED, 0, MSI, 0},
    {PVI_OP_MAP, 1, PVI_RW, 0, GUEST_NONE, 1, -PVI_ENOFRAME, 0, 0, 0},
    {PVI_OP_MAP, 1, PVI_RW, 0, GUEST_RO, 1, -PVI_EPERM, 0, 0, 0},
    {PVI_OP_MAP, 1, PVI_WRITE, 0, GUEST_RO, 1, -PVI_EPERM, 0, 0, 0},
    {PVI_OP_MAP, 1, PVI_RW, DFN, GUEST_PV, 1, -PVI_EEXIST, 0, DFN, 0},
    {PVI_OP_MAP, 1, PVI_RW, DFN + NR - 1, GUEST_PV, 5, -PVI_EEXIST, 0, DFN + NR - 1, 0},
    {PVI_OP_UNMAP, 0, 0, DFN, 0, 1, -PVI_EDEFAULT, 0, NONE, 0},
    {PVI_OP_UNMAP, 3, 0, DFN, 0, 1, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_UNMAP, 1, 1, DFN, 0, 1, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_UNMAP, 1, 0, DFN, 0, 0, -PVI_ELENGTH, 0, DFN, 0},
    {PVI_OP_UNMAP, 1, 0, HIGH, 0, 1, -PVI_EWRAP, 0, HIGH, 0},
    {PVI_OP_UNMAP, 1, 0, 2, 0, UINT64_MAX - 1, -PVI_EWRAP, 0, 2, 0},
    {PVI_OP_UNMAP, 1, 0, 1ull << 36, 0, 1, -PVI_ERANGE, 0, 1ull << 36, 0},
    {PVI_OP_UNMAP, 1, 0, MSI - 1, 0, 2, -PVI_ERESERVED, 0, MSI, 0},
    {PVI_OP_UNMAP, 1, 0, DFN - 1, 0, 2, -PVI_ENOENT, 0, DFN - 1, 0},
    {PVI_OP_UNMAP, 1, 0, DFN + NR, 0, 1, -PVI_ENOENT, 0, DFN + NR, 0},
    {PVI_OP_UNMAP, 2, 0, DFN, 0, 1, -PVI_ENOENT, 0, DFN, 0},
    {PVI_OP_LOOKUP, 0, 0, DFN, 0, 0, -PVI_EDEFAULT, 0, NONE, 0},
    {PVI_OP_LOOKUP, 3, 0, DFN, 0, 0, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_LOOKUP, 1, 1, DFN, 0, 0, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_LOOKUP, 1, 0, DFN - 1, 0, 0, -PVI_ENOENT, 0, DFN - 1, 0},
    {PVI_OP_LOOKUP, 1, 0, HIGH, 0, 0, -PVI_EWRAP, 0, HIGH, 0},
    {PVI_OP_LOOKUP, 1, 0, 1ull << 36, 0, 0, -PVI_ERANGE, 0, 1ull << 36, 0},
    {PVI_OP_LOOKUP, 1, 0, MSI + 7, 0, 0, -PVI_ERESERVED, 0, MSI + 7, 0},
    {PVI_OP_FLUSH, 0, 0, DFN, 0, 1, -PVI_EDEFAULT, 0, NONE, 0},
    {PVI_OP_FLUSH, 3, 0, DFN, 0, 1, -PVI_ENOCTX, 0, NONE, 0},
    {PVI_OP_FLUSH, 1, 1, DFN, 0, 1, -PVI_EFLAGS, 0, NONE, 0},
    {PVI_OP_FLUSH, 1, 0, 1, 0, 0, -PVI_EINVAL, 0, NONE, 0},
    {PVI_OP_FLUSH, 1, 0, UINT64_MAX, 0, 2, -PVI_EWRAP, 0, UINT64_MAX, 0},
    {PVI_OP_FLUSH, 1, 0, 1ull << 36, 0, 1, -PVI_ERANGE, 0, 1ull << 36, 0},
};

static void put_wrong(struct fx *f, const struct wrong *w)
{
    struct pvi_op *op = fx_op(f, w->code, w->ctx);

    op->flags = w->flags;
    op->pad = (uint16_t)w->pad;
    if (w->code == PVI_OP_INIT) {
        op->u.init.nr_contexts = (uint32_t)w->dfn;
        op->u.init.nr_pages = (uint32_t)(w->dfn >> 32);
    } else if (w->code == PVI_OP_REATTACH_DEVICE) {
        op->u.reattach.sbdf.v = (uint32_t)w->dfn;
    } else if (w->code == PVI_OP_MAP) {
        op->u.map.dfn.f = w->dfn;
        op->u.map.gfn.f = w->gfn;
        op->u.map.nr = w->nr;
    } else {
        op->u.unmap.dfn.f = w->dfn;
        op->u.unmap.nr = w->nr;
    }
}

static void each_error(struct fx *f, const struct fx_cfg *cfg)
{
    uint64_t reach;

    fx_up(f, cfg);
    furnish(f);
    reach = f->orc.last_pfn;
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        const struct wrong *w = &wrongs[i];
        uint32_t free_pages = f->dom.pool.nr_free;

        if (reach < (1ull << 36) - 1 && w->nr >= 1ull << 27 && w->status == -PVI_ERESERVED) {
            continue; /* beyond the reach of three levels */
        }
        fx_told_reset(f);
        fx_begin(f);
        put_wrong(f, w);
        check_step("wrong operation %zu", i);
        fx_expect(f, w->status);
        CHECK_EQ(f->op[0].done, w->done);
        CHECK(w->fault == NONE || f->op[0].fault == w->fault);
        CHECK_EQ(f->dom.pool.nr_free, free_pages);
        CHECK_EQ(f->dom.nr_contexts, 8);
        CHECK_EQ(fx_told(f, 0).pages + fx_told(f, 0).domain + fx_told(f, 0).device, 0);
    }
    fx_down(f);
}

static void every_error_changes_nothing(void **state)
{
    (void)state;
    fx_each(each_error);
}

/* An error in the middle: what lies before it is done, exactly. */
static void partial(struct fx *f, const struct fx_cfg *cfg)
{
    fx_up(f, cfg);
    furnish(f);
    fx_begin(f);
    fx_map(f, 2, 0, GUEST_KEPT + GUEST_KEPT_NR - 300, 700, PVI_RW); /* frames end at page 300 */
    fx_map(f, 2, 0x10000, GUEST_RO - 100, 300, PVI_RW);           /* no frame at all */
    fx_map(f, 2, 0x20000, GUEST_SCATTER, 200, PVI_READ);
    fx_map(f, 2, 0x20000 - 50, GUEST_HVM, 100, PVI_RW);           /* page 50 is taken */
    fx_unmap(f, 2, 0x20000 - 50, 400);                            /* ends at page 250 */
    fx_run(f);
    CHECK_EQ(f->op[0].status, -PVI_ENOFRAME);
    CHECK_EQ(f->op[0].done, 300);
    CHECK_EQ(f->op[0].fault, 300);
    CHECK_EQ(f->op[1].status, -PVI_ENOFRAME);
    CHECK_EQ(f->op[3].status, -PVI_EEXIST);
    CHECK_EQ(f->op[3].done, 50);
    CHECK_EQ(f->op[4].status, -PVI_ENOENT);
    CHECK_EQ(f->op[4].done, 250);
    CHECK_EQ(f->op[4].fault, 0x20000 + 200);
    fx_down(f);
}

static void progress_is_exact(void **state)
{
    (void)state;
    fx_each(partial);
}

/* --- a domain that cannot ------------------------------------------------------------------------- */

static void before_init(struct fx *f, const struct fx_cfg *cfg)
{
    struct fx_cfg own = *cfg;

    own.no_init = true;
    fx_up(f, &own);
    fx_begin(f);
    fx_op(f, PVI_OP_QUERY_CAPS, 0);
    fx_op(f, PVI_OP_NOOP, 0);
    fx_expect(f, 0);
    CHECK_EQ(f->op[0].u.caps.nr_contexts, 16);
    CHECK_EQ(f->op[0].u.caps.nr_pages, 4000);
    fx_begin(f);
    fx_alloc(f, 0);
    fx_free(f, 1, 0);
    fx_reattach(f, 0, 0);
    fx_map(f, 1, 0, GUEST_PV, 1, PVI_RW);
    fx_unmap(f, 1, 0, 1);
    fx_lookup(f, 1, 0);
    fx_flush(f, 1, 0, 0);
    fx_expect(f, -PVI_ENOTINIT);
    fx_down(f);
}

static void not_initialised(void **state)
{
    (void)state;
    fx_each(before_init);
}

static void no_iommu(void **state)
{
    struct fx_cfg cfg = {.kind = FX_NULL};
    static struct pvi_system empty;
    struct pvi_domain_cfg dc;
    static struct fx f;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fx_machine(&f, &cfg);
        dc = fx_domain_cfg(&f);
        dc.system = i ? &empty : NULL;
        orc_init(&f.orc);
        CHECK_EQ(pvi_domain_init(&f.dom, f.host, &dc), 0);
        CHECK_EQ(pvi_domain_start(&f.dom), 0);
        (void)fx_device(&f, 0, 0);
        CHECK_EQ(pvi_device_add(&f.dom, &f.dev[0]), -PVI_ENOIOMMU);
        f.nr_devs = 0;
        fx_begin(&f);
        fx_op(&f, PVI_OP_QUERY_CAPS, 0);
        fx_op(&f, PVI_OP_INIT, 0)->u.init.nr_contexts = 1;
        fx_alloc(&f, 0);
        fx_free(&f, 1, 0);
        fx_op(&f, PVI_OP_REATTACH_DEVICE, 0);
        fx_map(&f, 1, 0, GUEST_PV, 1, PVI_RW);
        fx_unmap(&f, 1, 0, 1);
        fx_lookup(&f, 1, 0);
        fx_flush(&f, 1, 0, 0);
        CHECK_EQ(fx_submit(&f), 0);
        CHECK_EQ(f.op[0].status, 0);
        CHECK_EQ(f.op[0].u.caps.max_iova, 0);
        CHECK_EQ(f.op[0].u.caps.flags, 0);
        for (unsigned k = 1; k < f.nr_ops; k++) {
            CHECK_EQ(f.op[k].status, -PVI_ENOIOMMU);
        }
        pvi_domain_kill(&f.dom);
        CHECK_EQ(pvi_domain_destroy(&f.dom), 0);
        CHECK(pvi_posix_balanced(f.host, NULL));
        fx_drop(&f);
    }
}

/* --- the batch itself ----------------------------------------------------------------------------- */

static void malformed_batches(void **state)
{
    struct fx_cfg cfg = {.kind = FX_NULL};
    static struct fx f;

    (void)state;
    check_case("malformed");
    fx_up(&f, &cfg);
    fx_begin(&f);
    fx_alloc(&f, 0);
    f.op[0].status = 77;
    f.batch.flags = 4;
    CHECK_EQ(fx_submit(&f), -PVI_EINVAL);
    f.batch.flags = 0x80000000;
    CHECK_EQ(fx_submit(&f), -PVI_EINVAL);
    f.batch.flags = 0;
    f.batch.next = 2;
    CHECK_EQ(fx_submit(&f), -PVI_EINVAL);
    CHECK_EQ(f.op[0].status, 77);
    fx_check(&f);
    fx_begin(&f);
    CHECK_EQ(fx_submit(&f), 0); /* nothing to do */
    f.batch.ops = NULL;
    CHECK_EQ(pvi_submit(&f.dom, &f.batch), 0);
    fx_down(&f);
}

static void stop_at_the_first_error(void **state)
{
    struct fx_cfg cfg = {.kind = FX_NULL};
    static struct fx f;

    (void)state;
    check_case("stop");
    fx_up(&f, &cfg);
    furnish(&f);
    for (unsigned stop = 0; stop < 2; stop++) {
        fx_begin(&f);
        f.batch.flags = stop ? PVI_BATCH_STOP : 0;
        fx_map(&f, 1, 0, GUEST_PV, 10, PVI_RW);
        fx_map(&f, 1, 5, GUEST_PV, 10, PVI_RW); /* taken */
        fx_map(&f, 1, 0x100, GUEST_PV, 10, PVI_RW);
        fx_op(&f, PVI_OP_NOOP, 0);
        fx_run(&f);
        CHECK_EQ(f.op[1].status, -PVI_EEXIST);
        CHECK_EQ(f.op[2].status, stop ? -PVI_ECANCELED : 0);
        CHECK_EQ(f.op[2].done, stop ? 0 : 10);
        CHECK_EQ(f.op[3].status, stop ? -PVI_ECANCELED : 0);
        fx_begin(&f);
        fx_unmap(&f, 1, 0, 10);
        fx_unmap(&f, 1, 0x100, 10);
        fx_run(&f);
    }
    fx_down(&f);
}

/* Fields that come back are not taken for input: what a guest leaves in status and fault does not matter. */
static void outputs_are_not_inputs(void **state)
{
    struct fx_cfg cfg = {.kind = FX_NULL};
    static struct fx f;
    struct pvi_op *op;

    (void)state;
    check_case("outputs");
    fx_up(&f, &cfg);
    furnish(&f);
    fx_begin(&f);
    op = fx_map(&f, 1, 0, GUEST_PV, 3, PVI_RW);
    op->status = -PVI_EHW;
    op->fault = UINT64_MAX;
    op = fx_lookup(&f, 1, 1);
    op->status = 5;
    op->u.lookup.gfn.f = 99;
    op->u.lookup.prot = 99;
    op->u.lookup.lg2 = 99;
    fx_expect(&f, 0);
    fx_down(&f);
}

/* --- continuation --------------------------------------------------------------------------------- */

/* `done` of another operation, or an invented one, opens nothing (R14). */
static void forged_progress(void **state)
{
    static const uint64_t forged[] = {1, 5, 10, 11, 511, 512, 1ull << 32, 1ull << 51, 1ull << 52, UINT64_MAX};
    struct fx_cfg cfg = {.kind = FX_NULL};
    static struct fx f;

    (void)state;
    fx_up(&f, &cfg);
    furnish(&f);
    for (unsigned i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        check_case("forged 0x%llx", (unsigned long long)forged[i]);
        fx_begin(&f);
        fx_unmap(&f, 1, DFN, 1)->done = forged[i];
        fx_map(&f, 1, 0x10, GUEST_PV, 1, PVI_RW)->done = forged[i];
        fx_alloc(&f, 0)->done = forged[i];
        fx_alloc(&f, PVI_ALLOC_IDENTITY)->done = forged[i] | 1ull << 63;
        f.op[3].ctx = 1;
        CHECK_EQ(fx_submit(&f), 0);
        for (unsigned k = 0; k < 4; k++) {
            CHECK(f.op[k].status != 0);
        }
        fx_check(&f); /* nothing has changed */
    }
    fx_down(&f);
}

/* --- flushes of batches --------------------------------------------------------------------------- */

static void one_flush_for_all(struct fx *f, const struct fx_cfg *cfg)
{
    unsigned i;

    fx_up(f, cfg);
    furnish(f);
    fx_begin(f);
    fx_reattach(f, 2, 1);
    fx_expect(f, 0);
    fx_told_reset(f);
    fx_begin(f);
    for (i = 0; i < 8; i++) {
        fx_map(f, 1 + i % 2, 0x8000 + 16 * i, GUEST_HVM, 8, PVI_RW);
    }
    fx_expect(f, 0);
    for (i = 0; i < f->nr_units; i++) { /* additions only: nothing, or one wait where absence is cached */
        struct fx_told t = fx_told(f, i);

        CHECK_EQ(t.wait, f->cfg.np_cache ? 1 : 0);
        CHECK((t.pages + t.domain != 0) == f->cfg.np_cache);
        CHECK((t.wbuf != 0) == (f->cfg.write_buffer && !f->cfg.np_cache));
    }
    fx_told_reset(f);
    fx_begin(f);
    for (i = 0; i < 8; i++) {
        fx_unmap(f, 1 + i % 2, 0x8000 + 16 * i, 8);
    }
    fx_lookup(f, 1, DFN);
    fx_expect(f, 0);
    for (i = 0; i < f->nr_units; i++) {
        struct fx_told t = fx_told(f, i);

        CHECK_EQ(t.wait, 1);
        CHECK(t.pages + t.domain != 0);
        CHECK(t.pages == 0 || !f->cfg.no_pages);
    }
    fx_down(f);
}

static void one_flush_for_a_batch(void **state)
{
    (void)state;
    fx_each(one_flush_for_all);
}

/* FLUSH is a barrier, tells every unit, and one of the whole context is cheaper than page by page. */
static void flush_op(struct fx *f, const struct fx_cfg *cfg)
{
    fx_up(f, cfg);
    furnish(f);
    fx_told_reset(f);
    fx_begin(f);
    fx_flush(f, 1, 0, 0);
    fx_expect(f, 0);
    CHECK_EQ(fx_told(f, 0).domain + fx_told(f, 0).pages, 1);
    CHECK_EQ(fx_told(f, 0).wait, 1);
    fx_told_reset(f);
    fx_begin(f);
    fx_flush(f, 1, DFN, 16);
    fx_expect(f, 0);
    CHECK_EQ(f->op[0].done, 16);
    CHECK_EQ(fx_told(f, 0).pages, f->cfg.no_pages ? 0 : 1);
    CHECK_EQ(fx_told(f, 0).domain, f->cfg.no_pages ? 1 : 0);
    fx_told_reset(f);
    fx_begin(f);
    fx_flush(f, 2, 0, 0); /* no device: nobody to tell */
    fx_expect(f, 0);
    CHECK_EQ(fx_told(f, 0).wait, 0);
    fx_down(f);
}

static void flush_operation(void **state)
{
    (void)state;
    fx_each(flush_op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_changes_nothing), cmocka_unit_test(progress_is_exact),
        cmocka_unit_test(not_initialised),             cmocka_unit_test(no_iommu),
        cmocka_unit_test(malformed_batches),           cmocka_unit_test(stop_at_the_first_error),
        cmocka_unit_test(outputs_are_not_inputs),      cmocka_unit_test(forged_progress),
        cmocka_unit_test(one_flush_for_a_batch),       cmocka_unit_test(flush_operation),
    };

    return cmocka_run_group_tests_name("dispatcher", tests, NULL, NULL);
}
