/* SPDX-License-Identifier: MIT */
/* Batches of the fixture: built, run, judged. */
#include <string.h>

#include "fixture.h"

void fx_begin(struct fx *f)
{
    memset(f->op, 0, sizeof(f->op));
    memset(&f->batch, 0, sizeof(f->batch));
    f->nr_ops = 0;
}

struct pvi_op *fx_op(struct fx *f, unsigned code, unsigned ctx)
{
    struct pvi_op *op = &f->op[f->nr_ops++];

    CHECK(f->nr_ops <= FX_OPS);
    op->code = (uint16_t)code;
    op->domid = PVI_DOMID_SELF;
    op->ctx = (uint16_t)ctx;
    return op;
}

struct pvi_op *fx_map(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t gfn, uint64_t nr, unsigned prot)
{
    struct pvi_op *op = fx_op(f, PVI_OP_MAP, ctx);

    op->flags = prot;
    op->u.map.dfn.f = dfn;
    op->u.map.gfn.f = gfn;
    op->u.map.nr = nr;
    return op;
}

struct pvi_op *fx_unmap(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op *op = fx_op(f, PVI_OP_UNMAP, ctx);

    op->u.unmap.dfn.f = dfn;
    op->u.unmap.nr = nr;
    return op;
}

struct pvi_op *fx_rights(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr, unsigned prot)
{
    struct pvi_op *op = fx_unmap(f, ctx, dfn, nr);

    op->code = PVI_OP_RIGHTS;
    op->flags = prot;
    return op;
}

struct pvi_op *fx_lookup(struct fx *f, unsigned ctx, uint64_t dfn)
{
    struct pvi_op *op = fx_op(f, PVI_OP_LOOKUP, ctx);

    op->u.lookup.dfn.f = dfn;
    return op;
}

struct pvi_op *fx_flush(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op *op = fx_op(f, PVI_OP_FLUSH, ctx);

    op->u.unmap.dfn.f = dfn;
    op->u.unmap.nr = nr;
    return op;
}

struct pvi_op *fx_alloc(struct fx *f, unsigned flags)
{
    struct pvi_op *op = fx_op(f, PVI_OP_ALLOC_CONTEXT, 0);

    op->flags = flags;
    return op;
}

struct pvi_op *fx_free(struct fx *f, unsigned ctx, unsigned flags)
{
    struct pvi_op *op = fx_op(f, PVI_OP_FREE_CONTEXT, ctx);

    op->flags = flags;
    return op;
}

struct pvi_op *fx_window(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr, unsigned shift, uint64_t sizes)
{
    struct pvi_op *op = fx_op(f, PVI_OP_WINDOW_CREATE, ctx);

    op->u.window.dfn.f = dfn;
    op->u.window.nr = nr;
    op->u.window.shift = (uint8_t)shift;
    op->u.window.sizes = sizes;
    return op;
}

struct pvi_op *fx_window_op(struct fx *f, unsigned code, unsigned ctx, unsigned index)
{
    struct pvi_op *op = fx_op(f, code, ctx);

    op->u.window.index = (uint16_t)index;
    return op;
}

struct pvi_op *fx_reattach(struct fx *f, unsigned ctx, unsigned dev)
{
    struct pvi_op *op = fx_op(f, PVI_OP_REATTACH_DEVICE, ctx);

    op->u.reattach.sbdf = f->dev[dev].sbdf;
    return op;
}

struct pvi_op *fx_nested(struct fx *f, unsigned parent, uint64_t root)
{
    struct pvi_op *op = fx_op(f, PVI_OP_ALLOC_NESTED, 0);

    op->u.nested.root.f = root;
    op->u.nested.parent = (uint16_t)parent;
    op->u.nested.levels = f->cfg.guest_levels != 0 ? (uint8_t)__builtin_ctz(f->cfg.guest_levels) : 4;
    op->u.nested.depth = f->cfg.guest_depth != 0;
    return op;
}

struct pvi_op *fx_flush_nested(struct fx *f, unsigned ctx, uint32_t pasid, uint64_t first, uint64_t nr)
{
    struct pvi_op *op = fx_op(f, PVI_OP_FLUSH_NESTED, ctx);

    op->u.guest.first = first;
    op->u.guest.nr = nr;
    op->u.guest.pasid = pasid;
    return op;
}

struct pvi_op *fx_attach_pasid(struct fx *f, unsigned ctx, unsigned dev, uint32_t pasid, unsigned flags)
{
    struct pvi_op *op = fx_op(f, PVI_OP_ATTACH_PASID, ctx);

    op->flags = flags;
    op->u.pasid.sbdf = f->dev[dev].sbdf;
    op->u.pasid.pasid = pasid;
    return op;
}

struct pvi_op *fx_detach_pasid(struct fx *f, unsigned dev, uint32_t pasid)
{
    struct pvi_op *op = fx_attach_pasid(f, 0, dev, pasid, 0);

    op->code = PVI_OP_DETACH_PASID;
    return op;
}

/* --- running -------------------------------------------------------------------------------------- */

void fx_touch(struct fx *f, uint64_t dfn)
{
    f->recent[f->at_recent++ % FX_RECENT] = dfn;
}

/* Pages at the edges of what a batch is about to change: the units load them before it runs. */
static void touch_ops(struct fx *f)
{
    for (unsigned i = 0; i < f->nr_ops; i++) {
        const struct pvi_op *op = &f->op[i];

        if (op->code == PVI_OP_MAP || op->code == PVI_OP_UNMAP || op->code == PVI_OP_RIGHTS) {
            uint64_t dfn = op->u.map.dfn.f, nr = op->code == PVI_OP_MAP ? op->u.map.nr : op->u.unmap.nr;

            if (nr == 0 || dfn > f->orc.last_pfn || nr - 1 > f->orc.last_pfn - dfn) {
                continue;
            }
            fx_touch(f, dfn);
            fx_touch(f, dfn + nr / 2);
            fx_touch(f, dfn + nr - 1);
            fx_touch(f, dfn + nr <= f->orc.last_pfn ? dfn + nr : 0);
        }
    }
}

static void load_caches(struct fx *f)
{
    for (unsigned i = 0; i < f->nr_devs && f->cfg.kind != FX_NULL; i++) {
        const struct pvi_device *dev = &f->dev[i];
        struct hwm *model = NULL;

        for (unsigned u = 0; u < f->nr_units; u++) {
            model = f->unit[u].unit == dev->unit ? f->unit[u].model : model;
        }
        for (unsigned k = 0; k < FX_RECENT; k++) {
            (void)hwm_speculate(model, dev->rid[0], f->recent[k] << 12, NULL);
        }
    }
}

int fx_submit(struct fx *f)
{
    int rc;

    memcpy(f->sent, f->op, sizeof(f->op));
    f->batch.ops = f->op;
    f->batch.nr = f->nr_ops;
    f->preempted = 0;
    for (;;) {
        rc = pvi_submit(&f->dom, &f->batch);
        pvi_posix_checkpoint(f->host);
        if (rc != -PVI_EPREEMPTED) {
            break;
        }
        CHECK(++f->preempted < 10000000);
    }
    return rc;
}

/*
 * A batch that happens whole or not at all has failed: one operation says why, those before it could have succeeded, and nothing
 * has happened. How far the one came before it failed cannot be told any more.
 */
static void judge_nothing(struct fx *f)
{
    struct orc trial;
    unsigned k = 0;

    memset(&trial, 0, sizeof(trial));
    orc_copy(&trial, &f->orc);
    while (k < f->nr_ops && f->op[k].status == -PVI_ECANCELED) {
        struct pvi_op got = f->sent[k];
        const char *why;

        CHECK_EQ(f->op[k].done, 0);
        got.done = got.code == PVI_OP_MAP ? got.u.map.nr : got.code == PVI_OP_REATTACH_DEVICE ? 0 : got.u.unmap.nr;
        got.status = 0;
        why = orc_judge(&trial, &f->sent[k], &got, 0);
        k++;
        if (why) {
            check_step("operation %u of a batch that failed later: %s", k - 1, why);
            CHECK(!"it could have succeeded");
        }
    }
    orc_fini(&trial);
    CHECK(k < f->nr_ops && f->op[k].status != 0);
    for (k++; k < f->nr_ops; k++) {
        CHECK_EQ(f->op[k].status, -PVI_ECANCELED);
        CHECK_EQ(f->op[k].done, 0);
    }
}

static void judge_each(struct fx *f)
{
    bool stopped = false;

    for (unsigned i = 0; i < f->nr_ops; i++) {
        const char *why;

        if (stopped) {
            why = f->op[i].status == -PVI_ECANCELED ? NULL : "not cancelled";
        } else {
            why = orc_judge(&f->orc, &f->sent[i], &f->op[i], f->tolerate);
        }
        if (why) {
            check_step("operation %u, code %u ctx %u flags %x dfn 0x%llx nr 0x%llx: status %s, done %llu, fault 0x%llx: %s",
                       i, f->sent[i].code, f->sent[i].ctx, f->sent[i].flags,
                       (unsigned long long)f->sent[i].u.map.dfn.f,
                       (unsigned long long)(f->sent[i].code == PVI_OP_MAP ? f->sent[i].u.map.nr
                                                                          : f->sent[i].u.unmap.nr),
                       pvi_strerror(f->op[i].status), (unsigned long long)f->op[i].done,
                       (unsigned long long)f->op[i].fault, why);
            CHECK(!"the answer is what the oracle says");
        }
        stopped |= (f->batch.flags & PVI_BATCH_STOP) != 0 && f->op[i].status != 0;
    }
}

void fx_judge(struct fx *f)
{
    bool failed = false;

    for (unsigned i = 0; i < f->nr_ops; i++) {
        failed |= f->op[i].status != 0;
    }
    if (failed && f->batch.flags == PVI_BATCH_ATOMIC) {
        judge_nothing(f);
    } else {
        judge_each(f);
    }
    f->batches++;
    if (f->check_every == 0 || f->batches % f->check_every == 0) {
        fx_check(f);
    }
}

void fx_run(struct fx *f)
{
    touch_ops(f);
    load_caches(f);
    CHECK_EQ(fx_submit(f), 0);
    fx_judge(f);
    fx_dma(f);
}

void fx_expect(struct fx *f, int status)
{
    fx_run(f);
    for (unsigned i = 0; i < f->nr_ops; i++) {
        if (f->op[i].status != status) {
            check_step("operation %u, code %u: %s, not %s", i, f->op[i].code, pvi_strerror(f->op[i].status),
                       pvi_strerror(status));
            CHECK(!"the status that the test expects");
        }
    }
}

unsigned fx_context(struct fx *f, unsigned dev)
{
    unsigned ctx;

    fx_begin(f);
    fx_alloc(f, 0);
    fx_expect(f, 0);
    ctx = f->op[0].ctx;
    fx_begin(f);
    fx_reattach(f, ctx, dev);
    fx_expect(f, 0);
    return ctx;
}
