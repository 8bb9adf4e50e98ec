/* SPDX-License-Identifier: MIT */
/* Random batches, and the model that says what each operation answers. */
#include "lib_random.h"
#include "lib_checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_PAGES (2 * LIB_GIB / LIB_PAGE)

uint64_t lib_random_next(struct lib_random *r)
{
    uint64_t x = r->state += UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

uint64_t lib_random_below(struct lib_random *r, uint64_t n)
{
    return lib_random_next(r) % n;
}

/* Making operations ---------------------------------------------------------------------------- */

/* A live context, mostly; else the default one or a number that may not be in use. */
static unsigned pick_ctx(struct lib_random *r)
{
    unsigned i, ctx;

    for (i = 0; i < 16; i++) {
        ctx = 1 + (unsigned)lib_random_below(r, LIB_RANDOM_CONTEXTS);
        if (r->flat[ctx] || lib_random_below(r, 20) == 0)
            return ctx;
    }
    return 0;
}

static uint64_t pick_window(struct lib_random *r)
{
    return r->base[lib_random_below(r, 4)];
}

static unsigned pick_prot(struct lib_random *r)
{
    static const unsigned prot[] = { PVI_RW, PVI_RW, PVI_RW, PVI_READ, PVI_WRITE };

    return prot[lib_random_below(r, 5)];
}

static struct pvi_op make_map(struct lib_random *r)
{
    unsigned ctx = pick_ctx(r), prot = pick_prot(r);
    uint64_t at = pick_window(r), gfn, nr;

    switch (lib_random_below(r, 8)) {
    case 0: /* blocks of 2 MiB, sometimes off by a page */
    case 1:
        at += lib_random_below(r, 8) * 2 * LIB_MIB;
        gfn = LIB_GFN_MEDIUM + 512 * lib_random_below(r, LIB_NR_MEDIUM / 512);
        nr = 512 * (1 + lib_random_below(r, 3));
        if (lib_random_below(r, 3) == 0) {
            at += LIB_PAGE;
            gfn += lib_random_below(r, 2);
            nr -= lib_random_below(r, 512);
        }
        break;
    case 2: /* a gigabyte, or parts of it */
        gfn = LIB_GFN_BIG;
        nr = LIB_NR_BIG;
        if (lib_random_below(r, 2)) {
            at += 2 * LIB_MIB * lib_random_below(r, 16);
            gfn += 512 * lib_random_below(r, 500);
            nr = 512 + lib_random_below(r, 2048);
        }
        break;
    case 3: /* read-only frames, frames that end */
        at += lib_random_below(r, 1024) * LIB_PAGE;
        gfn = lib_random_below(r, 2) ? LIB_GFN_RO + lib_random_below(r, LIB_NR_RO)
                                     : LIB_GFN_SMALL + LIB_NR_SMALL - 1 - lib_random_below(r, 8);
        nr = 1 + lib_random_below(r, 12);
        break;
    default:
        at += lib_random_below(r, 1024) * LIB_PAGE;
        gfn = LIB_GFN_SMALL + lib_random_below(r, LIB_NR_SMALL - 64);
        nr = 1 + lib_random_below(r, lib_random_below(r, 4) ? 6 : 64);
        break;
    }
    return lib_op_map(ctx, at, gfn, nr, prot);
}

static struct pvi_op make_unmap(struct lib_random *r)
{
    unsigned ctx = pick_ctx(r);
    uint64_t at = pick_window(r) + lib_random_below(r, 2048) * LIB_PAGE, nr;
    struct flat_run run;

    nr = 1 + lib_random_below(r, lib_random_below(r, 3) ? 8 : 700);
    if (!r->flat[ctx] || lib_random_below(r, 5) == 0 ||
        !flat_next(r->flat[ctx], at / LIB_PAGE, &run) || run.first >= LIB_OWN_IOVA / LIB_PAGE)
        return lib_op_unmap(ctx, at, nr);
    switch (lib_random_below(r, 3)) {
    case 0: /* all of a run */
        return lib_op_unmap(ctx, run.first * LIB_PAGE, run.last - run.first + 1);
    case 1: /* a few pages of it */
        at = run.first + lib_random_below(r, run.last - run.first + 1);
        nr = 1 + lib_random_below(r, 4);
        return lib_op_unmap(ctx, at * LIB_PAGE, nr);
    default: /* from somewhere to its end, or a little beyond */
        at = run.first + lib_random_below(r, run.last - run.first + 1);
        return lib_op_unmap(ctx, at * LIB_PAGE, run.last - at + 1 + lib_random_below(r, 2));
    }
}

static struct pvi_op make_op(struct lib_random *r)
{
    uint64_t kind = lib_random_below(r, 100), at = pick_window(r);
    struct pvi_op op;

    if (kind < 48)
        return make_map(r);
    if (kind < 83)
        return make_unmap(r);
    if (kind < 91)
        return lib_op_lookup(pick_ctx(r), at + lib_random_below(r, 2048) * LIB_PAGE);
    if (kind < 95)
        return lib_op_reattach(lib_random_below(r, 6) ? pick_ctx(r) : 0,
                               &r->l->dev[lib_random_below(r, LIB_DEVS)]);
    if (kind < 96)
        return lib_op(PVI_OP_ALLOC_CONTEXT, 0, 0);
    if (kind < 98)
        return lib_op(PVI_OP_FREE_CONTEXT, pick_ctx(r),
                      lib_random_below(r, 3) ? PVI_FREE_REATTACH : 0);
    op = lib_op_unmap(pick_ctx(r), at, lib_random_below(r, 64));
    if (kind < 99) { /* flush: of a range, or, with no length, of all */
        op.code = PVI_OP_FLUSH;
        op.u.unmap.dfn.f = op.u.unmap.nr ? op.u.unmap.dfn.f : 0;
    } else { /* out of reach, or nothing at all */
        op.u.unmap.dfn.f = lib_random_below(r, 2) ? op.u.unmap.dfn.f : UINT64_C(1) << 51;
        op.u.unmap.nr = op.u.unmap.dfn.f >> 51;
    }
    return op;
}

/* The model ------------------------------------------------------------------------------------ */

static void remember(struct lib_random *r, unsigned ctx, uint64_t pfn)
{
    struct lib_ghost *g =
        &r->ghost[r->nr_ghosts < LIB_GHOSTS ? r->nr_ghosts++ : lib_random_below(r, LIB_GHOSTS)];

    if (flat_lookup(r->flat[ctx], pfn, NULL, &g->pa)) {
        g->ctx = ctx;
        g->pfn = pfn;
    }
}

/* Why a frame cannot be mapped; 0: it can. */
static int frame_error(uint64_t gfn, unsigned prot)
{
    if (gfn - LIB_GFN_RO < LIB_NR_RO)
        return prot & PVI_WRITE ? -PVI_EPERM : 0;
    if (gfn - LIB_GFN_SMALL < LIB_NR_SMALL || gfn - LIB_GFN_MEDIUM < LIB_NR_MEDIUM ||
        gfn - LIB_GFN_BIG < LIB_NR_BIG || gfn - LIB_GFN_OWN < LIB_NR_OWN)
        return 0;
    return -PVI_ENOFRAME;
}

static int model_map(struct lib_random *r, const struct pvi_op *op, uint64_t *done)
{
    struct flat *f = r->flat[op->ctx];
    uint64_t dfn = op->u.map.dfn.f, gfn = op->u.map.gfn.f, nr = op->u.map.nr, end = nr, taken, i;
    int rc = 0;

    if (flat_overlap(f, dfn, nr, &taken)) {
        end = taken - dfn;
        rc = -PVI_EEXIST;
    }
    for (i = 0; i < end; i++) {
        int err = frame_error(gfn + i, op->flags);

        if (err != 0) {
            end = i;
            rc = err;
        }
    }
    /* The frame is asked for before the table is looked at. */
    if (rc == -PVI_EEXIST && frame_error(gfn + end, op->flags) != 0)
        rc = frame_error(gfn + end, op->flags);
    for (i = 0; i < end; i++)
        flat_map(f, dfn + i, 1, lib_gfn_pa(r->l, gfn + i), op->flags, 0);
    *done = end;
    return rc;
}

static int model_unmap(struct lib_random *r, const struct pvi_op *op, uint64_t *done)
{
    struct flat *f = r->flat[op->ctx];
    uint64_t dfn = op->u.unmap.dfn.f, nr = op->u.unmap.nr, hole, i;
    int rc = 0;

    if (flat_first_hole(f, dfn, nr, &hole)) {
        nr = hole - dfn;
        rc = -PVI_ENOENT;
    }
    for (i = 0; nr != 0 && i < 3; i++)
        remember(r, op->ctx, dfn + (i == 0 ? 0 : i == 1 ? nr - 1 : lib_random_below(r, nr)));
    if (nr != 0)
        flat_unmap(f, dfn, nr);
    *done = nr;
    return rc;
}

static int model_range(struct lib_random *r, const struct pvi_op *op, uint64_t *done)
{
    if (op->ctx == 0)
        return -PVI_EDEFAULT;
    if (!r->flat[op->ctx])
        return -PVI_ENOCTX;
    if (op->code == PVI_OP_LOOKUP)
        return flat_lookup(r->flat[op->ctx], op->u.lookup.dfn.f, NULL, NULL) ? 0 : -PVI_ENOENT;
    if (op->u.unmap.nr == 0 && op->code == PVI_OP_UNMAP)
        return -PVI_ELENGTH;
    if (op->u.unmap.dfn.f >> 51)
        return -PVI_ERANGE;
    if (op->code == PVI_OP_MAP)
        return model_map(r, op, done);
    if (op->code == PVI_OP_UNMAP)
        return model_unmap(r, op, done);
    *done = op->u.unmap.nr;
    return 0;
}

static int model_free(struct lib_random *r, const struct pvi_op *op)
{
    struct flat_run run;
    unsigned i;

    if (op->ctx == 0)
        return -PVI_EDEFAULT;
    if (!r->flat[op->ctx])
        return -PVI_ENOCTX;
    for (i = 0; i < LIB_DEVS; i++) {
        if (r->ctx_of[i] == op->ctx && !(op->flags & PVI_FREE_REATTACH))
            return -PVI_EBUSY;
    }
    for (i = 0; i < LIB_DEVS; i++)
        r->ctx_of[i] = r->ctx_of[i] == op->ctx ? 0 : r->ctx_of[i];
    if (flat_next(r->flat[op->ctx], 0, &run))
        remember(r, op->ctx, run.first);
    flat_free(r->flat[op->ctx]);
    r->flat[op->ctx] = NULL;
    return 0;
}

static int model_other(struct lib_random *r, const struct pvi_op *op)
{
    unsigned i, live = 0;

    switch (op->code) {
    case PVI_OP_FREE_CONTEXT:
        return model_free(r, op);
    case PVI_OP_REATTACH_DEVICE:
        if (op->ctx != 0 && !r->flat[op->ctx])
            return -PVI_ENOCTX;
        for (i = 0; i < LIB_DEVS; i++) {
            if (r->l->dev[i].dev.sbdf.v == op->u.reattach.sbdf.v)
                r->ctx_of[i] = op->ctx;
        }
        return 0;
    default: /* alloc; which number it is, is the library's choice */
        for (i = 1; i <= LIB_RANDOM_CONTEXTS; i++)
            live += r->flat[i] != NULL;
        if (live == LIB_RANDOM_CONTEXTS)
            return -PVI_ENOSPC;
        if (lib_check(r->l, op->ctx > 0 && op->ctx <= LIB_RANDOM_CONTEXTS && !r->flat[op->ctx],
                      "alloc gave context %u, which is in use", op->ctx))
            r->flat[op->ctx] = flat_new();
        return 0;
    }
}

static const char *op_text(const struct pvi_op *op, char text[128])
{
    static const char *const names[] = { "noop",     "caps", "init",  "alloc",  "free",
                                         "reattach", "map",  "unmap", "lookup", "flush" };

    snprintf(text, 128, "%s ctx %u dfn 0x%" PRIx64 " gfn 0x%" PRIx64 " nr %" PRIu64 " flags %u",
             names[op->code], op->ctx, op->u.map.dfn.f,
             op->code == PVI_OP_MAP ? op->u.map.gfn.f : 0,
             op->code == PVI_OP_MAP ? op->u.map.nr : op->u.unmap.nr, op->flags);
    return text;
}

/* One operation after it has run; the model follows. */
static void judge(struct lib_random *r, const struct pvi_op *op)
{
    bool range = op->code == PVI_OP_MAP || op->code == PVI_OP_UNMAP;
    uint64_t done = 0, pa;
    struct flat_run run;
    char text[128];
    int expected = op->code >= PVI_OP_MAP ? model_range(r, op, &done) : model_other(r, op);

    lib_check(r->l, op->status == expected, "%s: %s, expected: %s", op_text(op, text),
              pvi_strerror(op->status), pvi_strerror(expected));
    if (range || op->code == PVI_OP_FLUSH)
        lib_check(r->l, op->done == done, "%s: %" PRIu64 " frames done, expected: %" PRIu64,
                  op_text(op, text), op->done, done);
    if (range && (expected == -PVI_EEXIST || expected == -PVI_ENOENT))
        lib_check(r->l, op->fault == op->u.map.dfn.f + done, "%s: fault at 0x%" PRIx64,
                  op_text(op, text), op->fault);
    if (op->code == PVI_OP_LOOKUP && expected == 0 && op->status == 0) {
        flat_lookup(r->flat[op->ctx], op->u.lookup.dfn.f, &run, &pa);
        lib_check(
            r->l,
            op->u.lookup.gfn.f == r->gfn_of_page[pa / LIB_PAGE] && op->u.lookup.prot == run.perm,
            "lookup of 0x%" PRIx64 ": gfn 0x%" PRIx64 " rights %u, expected: 0x%" PRIx64 " and %u",
            op->u.lookup.dfn.f, op->u.lookup.gfn.f, op->u.lookup.prot,
            r->gfn_of_page[pa / LIB_PAGE], run.perm);
    }
}

/* The run -------------------------------------------------------------------------------------- */

/* New contexts get the fixture's pages; devices are told where they are. */
static void settle(struct lib_random *r)
{
    struct pvi_op ops[8];
    unsigned ctx, i, nr;

    for (ctx = 1; ctx <= LIB_RANDOM_CONTEXTS; ctx++) {
        if (!r->flat[ctx] || flat_lookup(r->flat[ctx], LIB_BOUNCE_IOVA / LIB_PAGE, NULL, NULL))
            continue;
        nr = lib_own_ops(r->l, ctx, ops);
        lib_submit(r->l, ops, nr);
        for (i = 0; i < nr; i++)
            judge(r, &ops[i]);
    }
    for (i = 0; i < LIB_DEVS; i++)
        lib_moved(r->l, &r->l->dev[i], r->ctx_of[i]);
}

/* Every table as the walker reads it is what the model says; every device walks the right one. */
static void check_tables(struct lib_random *r)
{
    struct lib_entry entry;
    struct hwm_mem mem;
    struct hwm_fmt fmt;
    char why[160];
    unsigned ctx, i;

    lib_walker(r->l, &mem, &fmt);
    for (ctx = 1; ctx <= LIB_RANDOM_CONTEXTS; ctx++) {
        const struct pvi_context *c = r->flat[ctx] ? r->l->dom.slot[ctx - 1] : NULL;

        if (c && !flat_check_tables(r->flat[ctx], &mem, &fmt, c->pt.root->pa.a, c->pt.cfg.levels,
                                    why, sizeof(why)))
            lib_check(r->l, false, "tables of context %u: %s", ctx, why);
        for (i = 0; c && i < LIB_DEVS; i++) {
            if (r->ctx_of[i] != ctx)
                continue;
            lib_read_entry(r->l, r->l->dev[i].rid, &entry);
            lib_check(r->l,
                      entry.translate && entry.root == c->pt.root->pa.a &&
                          entry.levels == c->pt.cfg.levels,
                      "the entry of %04x does not lead to context %u", r->l->dev[i].rid, ctx);
        }
    }
}

static void probe(struct lib_random *r)
{
    unsigned i;

    for (i = 0; i < LIB_DEVS; i++) {
        struct lib_dev *dev = &r->l->dev[i];

        if (r->ctx_of[i] == 0)
            continue;
        if (i < LIB_NIC0 && lib_random_below(r, 4) == 0)
            lib_probe_edu(r, dev);
        else if (i >= LIB_NIC0)
            lib_probe_nic(r, dev);
    }
}

static void run_batch(struct lib_random *r)
{
    unsigned nr = 1 + (unsigned)lib_random_below(r, LIB_BATCH_MAX), i;
    struct pvi_op ops[LIB_BATCH_MAX];

    for (i = 0; i < nr; i++) {
        const struct lib_dev *dev = &r->l->dev[i % LIB_DEVS];

        /* A device that is nowhere checks nothing: it comes back soon. */
        if (i < LIB_DEVS && r->ctx_of[i] == 0 && lib_random_below(r, 3))
            ops[i] = lib_op_reattach(pick_ctx(r), dev);
        else
            ops[i] = make_op(r);
    }
    lib_submit(r->l, ops, nr);
    for (i = 0; i < nr; i++)
        judge(r, &ops[i]);
    settle(r);
    r->ops += nr;
    r->batches++;
}

static bool preempt(void *opaque, uint64_t nr)
{
    (void)nr;
    return lib_random_below(opaque, 5) == 0;
}

static void begin(struct lib_random *r)
{
    struct lib *l = r->l;
    unsigned bits = l->cfg.aw_bits == 39 && !l->cfg.amd ? 39 : 48, i;
    uint64_t gfn;

    r->base[0] = 8 * LIB_GIB;
    r->base[1] = (UINT64_C(1) << 38) + LIB_GIB;
    r->base[2] = (UINT64_C(1) << (bits - 1)) - 2 * LIB_GIB;
    r->base[3] = (UINT64_C(3) << (bits - 2)) + 5 * LIB_GIB;
    r->gfn_of_page = calloc(RAM_PAGES, sizeof(*r->gfn_of_page));
    if (!r->gfn_of_page)
        qt_fatal(l->qt, "out of memory");
    for (gfn = 0; gfn < LIB_GFN_NONE; gfn++) {
        if (frame_error(gfn, PVI_READ) == 0)
            r->gfn_of_page[lib_gfn_pa(l, gfn) / LIB_PAGE] = gfn;
    }
    for (i = 0; i < 2; i++) { /* all devices in the first two contexts */
        struct pvi_op op = lib_op(PVI_OP_ALLOC_CONTEXT, 0, 0);

        lib_submit(l, &op, 1);
        judge(r, &op);
    }
    settle(r);
    for (i = 0; i < LIB_DEVS; i++) {
        struct pvi_op op = lib_op_reattach(1 + i % 2, &l->dev[i]);

        lib_submit(l, &op, 1);
        judge(r, &op);
    }
    settle(r);
    for (i = LIB_NIC0; i < LIB_DEVS; i++)
        lib_nic_up(l, &l->dev[i]);
}

void lib_random_run(struct lib *l, uint64_t seed, uint64_t nr_ops, struct lib_random *r)
{
    unsigned i;

    memset(r, 0, sizeof(*r));
    r->l = l;
    r->state = seed;
    begin(r);
    while (r->ops < nr_ops && l->failures == 0) {
        /* Whole batches and batches in pieces; preemption may change no answer. */
        pvi_posix_preempt_call(l->host, lib_random_below(r, 2) ? preempt : NULL, r);
        run_batch(r);
        check_tables(r);
        probe(r);
    }
    pvi_posix_preempt_call(l->host, NULL, NULL);
    lib_clear(l);
    for (i = 0; i <= LIB_CONTEXTS; i++) {
        if (r->flat[i])
            flat_free(r->flat[i]);
    }
    free(r->gfn_of_page);
}
