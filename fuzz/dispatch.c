/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher under arbitrary batches. The input is a configuration (4 bytes) and then operations, structured:
 * every byte string is a sequence of plausible batches, with an escape to raw 64-bit values.
 *
 * The judge is a flat model per context that is told only what the library reports (status and done): whatever it
 * reports must have been possible, and the tables, read by a walker that shares no code, must say exactly the
 * same. The recording host judges the order of everything else.
 */
#include "dispatch.h"
#include "flat.h"
#include "input.h"
#include "machine.h"
#include <pviommu/batch.h>
#include <pviommu_posix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXTS 3u
#define BATCH 8u
#define MAX_BATCHES 24u
#define RAM_PA 0x200000000ull     /* gfn 0 ..: contiguous and writable */
#define RAM_NR 0x100000ull
#define RO_GFN 0x200000ull        /* read-only, contiguous */
#define RO_PA 0x400000000ull
#define RO_NR 0x1000ull
#define TABLE_GFN 0x300000ull     /* scattered: in reverse order */
#define TABLE_NR 256u
#define TABLE_PA 0x500000000ull
#define ID_NR 0x300ull            /* identity: gfn 0 .., and a run across the MSI window */
#define ID2_FIRST 0xfed00ull
#define ID2_NR 0x400ull

struct fuzz {
    struct fuzz_input in;
    struct fuzz_machine *m;
    struct pvi_hdom *owner;
    struct pvi_domain guest;
    struct pvi_device dev[2];
    struct pvi_batch batch;
    struct pvi_op op[BATCH], asked[BATCH];
    struct flat *model[CONTEXTS + 1]; /* NULL: no such context */
    struct window {
        bool open;
        uint64_t first, last; /* frames */
    } window[CONTEXTS + 1][PVI_MAX_WINDOWS];
    uint64_t scattered[TABLE_NR];
    enum hwm_fmt_kind walker;
    uint32_t preempt;
};

static bool preempt_now(void *opaque, uint64_t nr)
{
    struct fuzz *f = opaque;

    return nr < 1000000 && (f->preempt >> (nr & 31) & 1) != 0;
}

/* What the guest owns, known to the model independently of the host: the frame and the rights of a gfn. */
static uint64_t frame_of(const struct fuzz *f, uint64_t gfn, uint32_t *prot)
{
    *prot = PVI_RW;
    if (gfn < RAM_NR) {
        return RAM_PA + (gfn << 12);
    }
    if (gfn - TABLE_GFN < TABLE_NR) {
        return f->scattered[gfn - TABLE_GFN];
    }
    *prot = PVI_READ;
    return gfn - RO_GFN < RO_NR ? RO_PA + ((gfn - RO_GFN) << 12) : 0;
}

static void start_guest(struct fuzz *f)
{
    struct pvi_posix_range ram = {.nr = RAM_NR, .pa = RAM_PA, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_posix_range ro = {.gfn = RO_GFN, .nr = RO_NR, .pa = RO_PA, .kind = PVI_POSIX_RAM_HVM, .prot = PVI_READ};
    struct pvi_posix_range scattered = {.gfn = TABLE_GFN, .nr = TABLE_NR, .table = f->scattered,
                                        .kind = PVI_POSIX_RAM_KEPT, .prot = PVI_RW};
    unsigned i;

    for (i = 0; i < TABLE_NR; i++) {
        f->scattered[i] = TABLE_PA + ((uint64_t)(TABLE_NR - 1 - i) << 12);
    }
    CHECK(pvi_posix_hdom_range(f->owner, &ram) == 0 && pvi_posix_hdom_range(f->owner, &ro) == 0 &&
          pvi_posix_hdom_range(f->owner, &scattered) == 0);
    CHECK(pvi_posix_hdom_identity(f->owner, 0, ID_NR, PVI_RW) == 0 &&
          pvi_posix_hdom_identity(f->owner, ID2_FIRST, ID2_NR, PVI_RW) == 0);
}

/* The unit of this input: no domain uses it yet. */
static void start_unit(struct pvi_unit_caps *caps, const struct pvi_pt_ops *format, uint8_t knobs)
{
    fuzz_caps(caps, format);
    caps->page_sizes = (1u << 12) | ((knobs & 1) ? 1u << 21 : 0) | ((knobs & 2) ? 1u << 30 : 0);
    caps->levels_mask = (uint8_t)(8u << (knobs >> 2 & 1));
    caps->coherent = (knobs & 8) != 0;
    caps->np_cache = (knobs & 16) != 0;
    caps->page_selective = (knobs & 32) != 0;
}

static void start(struct fuzz *f, const struct pvi_pt_ops *format)
{
    uint8_t knobs = fuzz_u8(&f->in), pages = fuzz_u8(&f->in);
    struct pvi_domain_cfg cfg = {.max_contexts = CONTEXTS, .max_pages = 600};
    unsigned i;

    f->preempt = (uint32_t)fuzz_le(&f->in, 2) * 0x10001u;
    f->m = fuzz_machine();
    f->owner = pvi_posix_hdom_new(f->m->host, 1);
    CHECK(f->owner != NULL);
    start_guest(f);
    start_unit(&f->m->unit.unit.caps, format, knobs);
    cfg.system = &f->m->system;
    cfg.hdom = f->owner;
    cfg.trim = (knobs & 64) != 0;
    pvi_posix_hdom_max_run(f->owner, (knobs & 128) ? 5 : 0);
    CHECK(pvi_domain_init(&f->guest, f->m->host, &cfg) == 0);
    for (i = 0; i < 2; i++) {
        f->dev[i] = (struct pvi_device){.sbdf = {0x10 + i * 8}, .unit = &f->m->unit.unit, .nr_rids = 1};
        f->dev[i].rid[0] = (uint16_t)(0x10 + i * 8);
        CHECK(pvi_device_add(&f->guest, &f->dev[i]) == 0);
    }
    f->op[0] = (struct pvi_op){.code = PVI_OP_INIT, .domid = PVI_DOMID_SELF,
                               .u.init = {.nr_contexts = CONTEXTS, .nr_pages = 1u + pages / 4u}};
    f->batch.ops = f->op;
    f->batch.nr = 1;
    CHECK(pvi_submit(&f->guest, &f->batch) == 0 && f->op[0].status == 0);
    pvi_posix_preempt_call(f->m->host, preempt_now, f);
}

/* --- input to operations --------------------------------------------------------------------------- */

static uint64_t any_frame(struct fuzz *f, const uint64_t *base, unsigned nr)
{
    uint8_t how = fuzz_u8(&f->in);

    if (how == 0xff) {
        return fuzz_le(&f->in, 8);
    }
    return base[how % nr] + ((how & 0x40) ? fuzz_le(&f->in, 1) << 9 : fuzz_le(&f->in, 2));
}

static uint64_t any_length(struct fuzz *f)
{
    static const uint64_t some[] = {1, 2, 3, 8, 511, 512, 513, 1024, 0x1000, 0x40000, 0, 0x40200};
    uint8_t how = fuzz_u8(&f->in);

    return how == 0xff ? fuzz_le(&f->in, 8) : how & 0x80 ? 1u + (how & 0x7f) : some[how % 12];
}

static void any_op(struct fuzz *f, struct pvi_op *op)
{
    static const uint64_t dfns[] = {0, 0x40000, 0xfed80, 0x7ffff00, 0x1000000, 0xffffff000};
    static const uint64_t gfns[] = {0, 0x40000, RO_GFN, TABLE_GFN, 0x1fffff, 0x200};
    static const uint8_t codes[] = {PVI_OP_MAP, PVI_OP_UNMAP, PVI_OP_MAP, PVI_OP_UNMAP, PVI_OP_LOOKUP,
                                    PVI_OP_ALLOC_CONTEXT, PVI_OP_FREE_CONTEXT, PVI_OP_REATTACH_DEVICE,
                                    PVI_OP_FLUSH, PVI_OP_QUERY_CAPS, PVI_OP_INIT, PVI_OP_NOOP, PVI_OP_MAP,
                                    PVI_OP_RIGHTS, PVI_OP_UNMAP, 0xff};
    uint8_t head = fuzz_u8(&f->in), flags = fuzz_u8(&f->in);

    memset(op, 0, sizeof(*op));
    op->code = codes[head & 15] == 0xff ? fuzz_u8(&f->in) : codes[head & 15];
    op->code = op->code < 0x80 ? op->code % PVI_OP_NR : op->code;
    op->domid = PVI_DOMID_SELF;
    op->ctx = (uint16_t)(head >> 4 & 7);
    op->flags = flags < 0xf0 ? flags & 3 : flags;
    switch (op->code) {
    case PVI_OP_MAP:
        op->u.map.dfn.f = any_frame(f, dfns, 6);
        op->u.map.gfn.f = any_frame(f, gfns, 6);
        op->u.map.nr = any_length(f);
        break;
    case PVI_OP_UNMAP:
    case PVI_OP_FLUSH:
    case PVI_OP_RIGHTS:
        op->flags = flags >= 0xf0 ? flags : op->code == PVI_OP_RIGHTS ? op->flags : 0;
        op->u.unmap.dfn.f = any_frame(f, dfns, 6);
        op->u.unmap.nr = any_length(f);
        break;
    case PVI_OP_WINDOW_CREATE:
    case PVI_OP_WINDOW_REMOVE:
        op->flags = flags < 0xf0 ? 0 : flags;
        op->u.window.index = op->code == PVI_OP_WINDOW_REMOVE ? flags & 7 : 0;
        if (op->code == PVI_OP_WINDOW_CREATE) {
            op->u.window.dfn.f = any_frame(f, dfns, 6);
            op->u.window.nr = any_length(f);
            op->u.window.shift = (flags & 7) < 3 ? 0 : (flags & 7) < 7 ? 12 + 9 * (flags & 1) : fuzz_u8(&f->in);
            op->u.window.sizes = (flags & 8) != 0 ? fuzz_le(&f->in, 8) : 0;
        }
        break;
    case PVI_OP_LOOKUP:
        op->flags = 0;
        op->u.lookup.dfn.f = any_frame(f, dfns, 6);
        break;
    case PVI_OP_REATTACH_DEVICE:
        op->flags = 0;
        op->u.reattach.sbdf.v = 0x10u + (flags & 3) * 8u;
        break;
    case PVI_OP_ALLOC_CONTEXT:
        op->ctx = flags < 0xf8 ? 0 : op->ctx;
        op->flags = flags < 0xf0 ? flags & 1 : flags;
        break;
    case PVI_OP_FREE_CONTEXT:
        op->flags = flags < 0xf0 ? flags & 1 : flags;
        break;
    default:
        op->flags = flags < 0xf0 ? 0 : flags;
        break;
    }
}

/* --- the judge ------------------------------------------------------------------------------------- */

/* As a context begins: one over all. */
static void first_window(struct fuzz *f, uint16_t ctx)
{
    memset(f->window[ctx], 0, sizeof(f->window[ctx]));
    f->window[ctx][0] = (struct window){true, 0, ((uint64_t)1 << 36) - 1};
}

static struct flat *model_of(struct fuzz *f, uint16_t ctx)
{
    return ctx != 0 && ctx <= CONTEXTS ? f->model[ctx] : NULL;
}

/* Is all of the range in one window? */
static bool inside(const struct fuzz *f, uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    unsigned i;

    for (i = 0; i < PVI_MAX_WINDOWS; i++) {
        const struct window *w = &f->window[ctx][i];

        if (w->open && dfn >= w->first && dfn <= w->last && nr - 1 <= w->last - dfn) {
            return true;
        }
    }
    return false;
}

static void judge_window(struct fuzz *f, const struct pvi_op *asked, const struct pvi_op *op)
{
    struct flat *model = model_of(f, asked->ctx);
    struct window *w;
    unsigned i;

    if (op->status != 0) {
        CHECK(op->status != -PVI_ENOMEM && op->status != -PVI_EQUOTA); /* no region lies in a window: nothing is cut */
        return;
    }
    CHECK(model);
    w = &f->window[asked->ctx][op->u.window.index];
    if (op->code == PVI_OP_WINDOW_CREATE) {
        for (i = 0; i < PVI_MAX_WINDOWS; i++) {
            const struct window *o = &f->window[asked->ctx][i];

            CHECK(!o->open || o->first >= asked->u.window.dfn.f + asked->u.window.nr || asked->u.window.dfn.f > o->last);
        }
        *w = (struct window){true, asked->u.window.dfn.f, asked->u.window.dfn.f + asked->u.window.nr - 1};
    } else if (op->code == PVI_OP_WINDOW_REMOVE) {
        CHECK(w->open);
        (void)flat_unmap(model, w->first, w->last - w->first + 1);
        w->open = false;
    } else if (op->code == PVI_OP_WINDOW_RESET) {
        flat_clear(model);
        first_window(f, asked->ctx);
    }
}

static void judge_map(struct fuzz *f, const struct pvi_op *asked, const struct pvi_op *op)
{
    struct flat *model = model_of(f, asked->ctx);
    uint64_t i, pfn;
    uint32_t prot;

    CHECK(model || (op->status != 0 && op->done == 0));
    CHECK(op->done == 0 || inside(f, asked->ctx, asked->u.map.dfn.f, asked->u.map.nr));
    CHECK((op->status == 0) == (op->done == asked->u.map.nr && model != NULL && asked->u.map.nr != 0));
    for (i = 0; i < op->done; i++) {
        uint64_t pa = frame_of(f, asked->u.map.gfn.f + i, &prot);

        CHECK(pa != 0 && (asked->flags & ~prot) == 0);
        CHECK(flat_map(model, asked->u.map.dfn.f + i, 1, pa, asked->flags, 0));
    }
    pfn = asked->u.map.dfn.f + op->done;
    switch (op->status) {
    case -PVI_EEXIST:
        CHECK(op->fault == pfn && flat_lookup(model, pfn, NULL, NULL));
        break;
    case -PVI_ENOFRAME:
        CHECK(op->fault == pfn && frame_of(f, asked->u.map.gfn.f + op->done, &prot) == 0);
        break;
    case -PVI_EPERM:
        CHECK(op->fault == pfn);
        (void)frame_of(f, asked->u.map.gfn.f + op->done, &prot);
        CHECK((asked->flags & ~prot) != 0);
        break;
    case -PVI_ENOMEM:
    case -PVI_EALIGN: /* frames that no page of the window can map */
        CHECK(op->fault == pfn || op->done == 0);
        break;
    default:
        CHECK(op->status == 0 || op->done == 0);
        break;
    }
}

static void judge_unmap(struct fuzz *f, const struct pvi_op *asked, const struct pvi_op *op)
{
    struct flat *model = model_of(f, asked->ctx);
    uint64_t pfn = asked->u.unmap.dfn.f + op->done;

    CHECK(model || (op->status != 0 && op->done == 0));
    if (op->done != 0) {
        CHECK(flat_unmap(model, asked->u.unmap.dfn.f, op->done) == op->done);
    }
    CHECK(op->status != 0 || op->done == asked->u.unmap.nr);
    if (op->status == -PVI_ENOENT) {
        CHECK(op->fault == pfn && !flat_lookup(model, pfn, NULL, NULL));
    } else if (op->status == -PVI_ENOMEM) {
        CHECK(op->fault == pfn && flat_lookup(model, pfn, NULL, NULL)); /* no page to split a leaf with */
    } else {
        CHECK(op->status == 0 || op->done == 0);
    }
}

static void judge_rights(struct fuzz *f, const struct pvi_op *asked, const struct pvi_op *op)
{
    struct flat *model = model_of(f, asked->ctx);
    uint64_t pfn = asked->u.unmap.dfn.f + op->done;

    CHECK(model || (op->status != 0 && op->done == 0));
    if (op->done != 0) {
        CHECK(flat_protect(model, asked->u.unmap.dfn.f, op->done, asked->flags) == op->done);
    }
    CHECK(op->status != 0 || op->done == asked->u.unmap.nr);
    if (op->status == -PVI_ENOENT) {
        CHECK(op->fault == pfn && !flat_lookup(model, pfn, NULL, NULL));
    }
}

static void judge_lookup(struct fuzz *f, const struct pvi_op *asked, const struct pvi_op *op)
{
    struct flat *model = model_of(f, asked->ctx);
    struct flat_run run;
    uint64_t pa;
    uint32_t prot;

    if (op->status == 0) {
        CHECK(model && flat_lookup(model, asked->u.lookup.dfn.f, &run, &pa));
        CHECK(frame_of(f, op->u.lookup.gfn.f, &prot) == pa && op->u.lookup.prot == run.perm);
    } else if (op->status == -PVI_ENOENT) {
        CHECK(model && !flat_lookup(model, asked->u.lookup.dfn.f, NULL, NULL));
    }
}

static void judge_alloc(struct fuzz *f, const struct pvi_op *asked, const struct pvi_op *op)
{
    struct flat *model;

    if (op->status != 0) {
        CHECK(asked->ctx != 0 || op->ctx == 0);
        return;
    }
    CHECK(op->ctx >= 1 && op->ctx <= CONTEXTS && !f->model[op->ctx]);
    model = f->model[op->ctx] = flat_new();
    first_window(f, op->ctx);
    if ((asked->flags & PVI_ALLOC_IDENTITY) != 0) {
        CHECK(flat_map(model, 0, ID_NR, RAM_PA, PVI_RW, 0));
        CHECK(flat_map(model, ID2_FIRST, FUZZ_MSI_FIRST - ID2_FIRST, RAM_PA + (ID2_FIRST << 12), PVI_RW, 0));
        CHECK(flat_map(model, FUZZ_MSI_FIRST + FUZZ_MSI_NR, ID2_NR - (FUZZ_MSI_FIRST - ID2_FIRST) - FUZZ_MSI_NR,
                       RAM_PA + ((FUZZ_MSI_FIRST + FUZZ_MSI_NR) << 12), PVI_RW, 0));
    }
}

static void judge(struct fuzz *f, const struct pvi_op *asked, const struct pvi_op *op)
{
    CHECK(op->code == asked->code && op->status <= 0 && op->status >= -PVI_EFORMAT);
    CHECK(op->status != -PVI_EHW && op->status != -PVI_EPREEMPTED);
    switch (op->code) {
    case PVI_OP_MAP:
        judge_map(f, asked, op);
        break;
    case PVI_OP_UNMAP:
        judge_unmap(f, asked, op);
        break;
    case PVI_OP_RIGHTS:
        judge_rights(f, asked, op);
        break;
    case PVI_OP_LOOKUP:
        judge_lookup(f, asked, op);
        break;
    case PVI_OP_ALLOC_CONTEXT:
        judge_alloc(f, asked, op);
        break;
    case PVI_OP_FREE_CONTEXT:
        if (op->status == 0) {
            CHECK(model_of(f, asked->ctx));
            flat_free(f->model[asked->ctx]);
            f->model[asked->ctx] = NULL;
        }
        break;
    case PVI_OP_INIT:
        CHECK(op->status != 0);
        break;
    case PVI_OP_WINDOW_CREATE:
    case PVI_OP_WINDOW_REMOVE:
    case PVI_OP_WINDOW_RESET:
        judge_window(f, asked, op);
        break;
    default:
        break;
    }
}

static void judge_tables(struct fuzz *f)
{
    struct pvi_posix_view view = {.host = f->m->host, .coherent = f->m->unit.unit.caps.coherent};
    struct hwm_mem mem = {.opaque = &view, .read64 = pvi_posix_hw_read64, .read32 = pvi_posix_hw_read32,
                          .write64 = pvi_posix_hw_write64, .write32 = pvi_posix_hw_write32,
                          .valid = pvi_posix_hw_valid};
    struct hwm_fmt fmt;
    char text[256];
    unsigned i;

    hwm_fmt_default(&fmt, f->walker);
    for (i = 1; i <= CONTEXTS; i++) {
        const struct pvi_context *ctx = f->guest.slot ? f->guest.slot[i - 1] : NULL;

        if (f->model[i] && !flat_check_tables(f->model[i], &mem, &fmt, ctx->pt.root->pa.a, ctx->pt.cfg.levels,
                                              text, sizeof(text))) {
            fprintf(stderr, "context %u: %s\n", i, text);
            abort();
        }
    }
}

static void run_batch(struct fuzz *f)
{
    uint8_t head = fuzz_u8(&f->in);
    unsigned i, nr = 1 + (head & (BATCH - 1)), turns = 0;

    for (i = 0; i < nr; i++) {
        any_op(f, &f->op[i]);
        f->asked[i] = f->op[i];
    }
    memset(&f->batch, 0, sizeof(f->batch));
    f->batch.ops = f->op;
    f->batch.nr = nr;
    f->batch.flags = head & 0x80 ? PVI_BATCH_STOP : 0;
    while (pvi_submit(&f->guest, &f->batch) == -PVI_EPREEMPTED) {
        pvi_posix_checkpoint(f->m->host);
        CHECK(++turns < 2000000);
    }
    pvi_posix_checkpoint(f->m->host);
    for (i = 0; i < nr; i++) {
        judge(f, &f->asked[i], &f->op[i]);
    }
}

static void end(struct fuzz *f)
{
    const char *why;
    unsigned i;

    pvi_posix_preempt_call(f->m->host, NULL, NULL);
    for (i = 0; i < 2; i++) {
        CHECK(pvi_device_remove(&f->guest, &f->dev[i]) == 0);
    }
    pvi_domain_kill(&f->guest);
    CHECK(pvi_domain_destroy(&f->guest) == 0);
    CHECK(pvi_posix_hdom_balanced(f->owner));
    CHECK(pvi_posix_balanced(f->m->host, &why));
    pvi_posix_hdom_free(f->owner);
    for (i = 0; i <= CONTEXTS; i++) {
        if (f->model[i]) {
            flat_free(f->model[i]);
        }
    }
}

void fuzz_dispatch(const struct pvi_pt_ops *format, enum hwm_fmt_kind walker, const uint8_t *data, size_t size)
{
    static struct fuzz f;
    unsigned batches;

    memset(&f, 0, sizeof(f));
    f.in.at = data;
    f.in.left = size;
    f.walker = walker;
    start(&f, format);
    for (batches = 1; f.in.left > 0 && batches <= MAX_BATCHES; batches++) {
        run_batch(&f);
        if (f.in.left == 0 || batches % 4 == 0) { /* the walk is what costs */
            judge_tables(&f);
        }
    }
    end(&f);
}
