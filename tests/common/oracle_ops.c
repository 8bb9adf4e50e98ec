/* SPDX-License-Identifier: MIT */
/* The oracle's judgement of operations, one after the other. */
#include <string.h>

#include "check.h"
#include "guest.h"
#include "oracle.h"

struct verdict {
    int status; /* what it must answer */
    uint64_t done;
    uint64_t fault;
    bool has_fault;
    bool ranged; /* the request itself is well-formed */
};

bool orc_tolerated(int status, unsigned tolerate)
{
    switch (status) {
    case -PVI_ENOMEM:
    case -PVI_EQUOTA:
        return (tolerate & ORC_TOLERATE_MEMORY) != 0;
    case -PVI_ENOFRAME:
        return (tolerate & ORC_TOLERATE_NOFRAME) != 0;
    case -PVI_ENOSPC:
        return (tolerate & ORC_TOLERATE_NOSPC) != 0;
    case -PVI_EHW:
        return (tolerate & ORC_TOLERATE_HW) != 0;
    case -PVI_EDYING:
    case -PVI_ENOCTX:
    case -PVI_EBUSY:
        return (tolerate & ORC_TOLERATE_GONE) != 0;
    default:
        return false;
    }
}

/* --- ranges --------------------------------------------------------------------------------------- */

int orc_context_error(const struct orc *o, const struct pvi_op *op)
{
    if (op->ctx == 0) {
        return -PVI_EDEFAULT;
    }
    if (op->ctx > o->nr_contexts || op->ctx >= ORC_CONTEXTS || !o->ctx[op->ctx].live) {
        return -PVI_ENOCTX;
    }
    return 0;
}

int orc_table_error(const struct orc *o, const struct pvi_op *op)
{
    int status = orc_context_error(o, op);

    return status == 0 && o->ctx[op->ctx].nested ? -PVI_ENESTED : status;
}

static int range_error(const struct orc *o, unsigned ctx, uint64_t dfn, uint64_t nr, uint64_t *at, bool whole)
{
    const uint64_t frames = 1ull << 52;
    uint64_t page;

    *at = dfn;
    if (nr == 0) {
        return -PVI_ELENGTH;
    }
    if (dfn >= frames || nr >= frames || dfn + (nr - 1) >= frames) {
        return -PVI_EWRAP;
    }
    if (dfn % o->page != 0 || nr % o->page != 0) {
        return -PVI_EALIGN;
    }
    if (orc_window(o, ctx, dfn, nr, at) == 0) {
        return -PVI_ERANGE;
    }
    *at = dfn;
    page = orc_window_page(o, ctx, dfn);
    if (whole && (dfn % page != 0 || nr % page != 0)) {
        return -PVI_EALIGN;
    }
    return orc_hole(o, dfn, nr, at) ? -PVI_ERESERVED : 0;
}

/* How far the frames and what is mapped let a map come, and why not further; regions left aside. */
static void map_reach(const struct orc *o, const struct pvi_op *op, struct verdict *v)
{
    uint64_t page = orc_window_page(o, op->ctx, op->u.map.dfn.f);

    while (v->done < op->u.map.nr && v->status == 0) {
        uint64_t dfn = op->u.map.dfn.f + v->done, taken, run;
        struct guest_frame f;

        run = guest_run(op->u.map.gfn.f + v->done, op->u.map.nr - v->done, &f);
        run -= run > page ? run % page : 0;
        if (run == 0) {
            v->status = -PVI_ENOFRAME;
        } else if ((op->flags & PVI_RW & ~(unsigned)f.prot) != 0) {
            v->status = -PVI_EPERM;
        } else if (f.pa >> o->pa_bits != 0) {
            v->status = -PVI_ERANGE;
        } else if ((f.pa >> 12) % page != 0 || run < page) {
            v->status = -PVI_EALIGN; /* no leaf of the context maps these */
        } else if (flat_overlap(o->ctx[op->ctx].map, dfn, run, &taken)) {
            v->status = -PVI_EEXIST;
            v->done += taken - dfn;
        } else {
            v->done += run;
        }
    }
    v->fault = op->u.map.dfn.f + v->done;
}

static struct verdict map_verdict(const struct orc *o, const struct pvi_op *op)
{
    struct verdict v = {.status = orc_table_error(o, op)};

    if (v.status == 0 && ((op->flags & ~(PVI_RW | PVI_MAP_NO_FLUSH)) != 0 || (op->flags & PVI_RW) == 0)) {
        v.status = -PVI_EFLAGS;
    }
    if (v.status != 0) {
        return v;
    }
    v.has_fault = true;
    v.status = range_error(o, op->ctx, op->u.map.dfn.f, op->u.map.nr, &v.fault, true);
    if (v.status == 0 && op->u.map.gfn.f + op->u.map.nr < op->u.map.gfn.f) {
        v.status = -PVI_EWRAP;
    }
    if (v.status == 0 && op->u.map.gfn.f % orc_window_page(o, op->ctx, op->u.map.dfn.f) != 0) {
        v.status = -PVI_EALIGN;
    }
    v.ranged = v.status == 0;
    if (v.ranged) {
        map_reach(o, op, &v);
    }
    return v;
}

static void map_apply(struct orc *o, const struct pvi_op *op, uint64_t done)
{
    for (uint64_t k = 0, run; k < done; k += run) {
        struct guest_frame f;

        run = guest_run(op->u.map.gfn.f + k, done - k, &f);
        CHECK(run != 0);
        CHECK(flat_map(o->ctx[op->ctx].map, op->u.map.dfn.f + k, run, f.pa, op->flags & PVI_RW,
                       (op->flags & PVI_WRITE) != 0 ? f.owe_w : f.owe_r));
    }
}

static struct verdict unmap_verdict(const struct orc *o, const struct pvi_op *op)
{
    struct verdict v = {.status = orc_table_error(o, op)};
    uint64_t hole, region;

    if (v.status == 0 && op->flags != 0) {
        v.status = -PVI_EFLAGS;
    }
    if (v.status != 0) {
        return v;
    }
    v.has_fault = true;
    v.status = range_error(o, op->ctx, op->u.unmap.dfn.f, op->u.unmap.nr, &v.fault, true);
    if (v.status != 0) {
        return v;
    }
    if (orc_region(o, op->ctx, op->u.unmap.dfn.f, op->u.unmap.nr, &region)) {
        v.status = -PVI_ERESERVED; /* judged for the whole request */
        v.fault = region;
        return v;
    }
    v.done = op->u.unmap.nr;
    if (flat_first_hole(o->ctx[op->ctx].map, op->u.unmap.dfn.f, op->u.unmap.nr, &hole)) {
        v.status = -PVI_ENOENT;
        v.fault = hole;
        v.done = hole - op->u.unmap.dfn.f;
    }
    return v;
}

/* Status, done and fault of an operation that makes progress. */
static const char *judge_progress(const struct verdict *v, const struct pvi_op *got, unsigned tolerate, uint64_t dfn)
{
    if (got->status == v->status && (got->done == v->done || !orc_tolerated(got->status, tolerate))) {
        if (got->done != v->done) {
            return "done is not what it must be";
        }
        return got->status != 0 && v->has_fault && got->fault != v->fault ? "fault names another address" : NULL;
    }
    if (!orc_tolerated(got->status, tolerate)) {
        return "another status";
    }
    if (got->done > v->done) {
        return "more done than possible";
    }
    if (got->status == -PVI_EDYING || got->status == -PVI_ENOCTX || got->status == -PVI_EHW) {
        return NULL;
    }
    return got->fault != dfn + got->done ? "fault is not where it stopped" : NULL;
}

/*
 * A device's region in the way may be met at the beginning of a piece that reaches it: how far the map came before is
 * the library's affair, as long as it says so.
 */
static bool judge_map_region(const struct orc *o, const struct pvi_op *op, const struct pvi_op *got,
                             const struct verdict *v, unsigned tolerate, const char **why)
{
    bool no_frame = v->status == -PVI_ENOFRAME || v->status == -PVI_EPERM || v->status == -PVI_ERANGE || v->status == -PVI_EALIGN;
    uint64_t region;

    if (!v->ranged || !orc_region(o, op->ctx, op->u.map.dfn.f, op->u.map.nr, &region)) {
        return false;
    }
    if (got->status != -PVI_ERESERVED) {
        /* Frames are asked for first: at the region's own page their error may be the one that is told. */
        *why = v->fault >= region + no_frame && !orc_tolerated(got->status, tolerate) ? "a region in the way was not seen"
                                                                                    : NULL;
        return *why != NULL;
    }
    *why = got->fault != region || got->done > v->done || op->u.map.dfn.f + got->done > region
               ? "ERESERVED for another address"
               : NULL;
    return true;
}

static const char *judge_map(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    struct verdict v = map_verdict(o, op);
    const char *why = NULL;

    if (v.ranged && got->status == -PVI_EALIGN && (tolerate & ORC_TOLERATE_RUNS) != 0 && got->done <= v.done &&
        got->done % orc_window_page(o, op->ctx, op->u.map.dfn.f) == 0) {
        map_apply(o, op, got->done);
        return NULL;
    }
    if (!judge_map_region(o, op, got, &v, tolerate, &why)) {
        why = judge_progress(&v, got, tolerate, op->u.map.dfn.f);
    }
    if (!why) {
        map_apply(o, op, got->done);
    }
    return why;
}

static const char *judge_unmap(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    struct verdict v = unmap_verdict(o, op);
    const char *why = judge_progress(&v, got, tolerate, op->u.unmap.dfn.f);

    if (!why && got->done != 0) {
        flat_unmap(o->ctx[op->ctx].map, op->u.unmap.dfn.f, got->done);
    }
    return why;
}

/* How far frames that may have these rights are mapped, and why not further; with `apply` they have them then. */
static void rights_reach(const struct orc *o, const struct pvi_op *op, struct verdict *v, bool apply)
{
    struct flat *map = o->ctx[op->ctx].map;
    uint64_t nr = apply ? v->done : op->u.unmap.nr;

    for (v->done = 0; v->done < nr; v->done++) {
        uint64_t dfn = op->u.unmap.dfn.f + v->done, pa, gfn;
        struct flat_run run;
        struct guest_frame f;

        v->fault = dfn;
        if (!flat_lookup(map, dfn, &run, &pa)) {
            v->status = -PVI_ENOENT;
            return;
        }
        if (!guest_back(pa, &gfn) || !guest_frame(gfn, &f)) {
            v->status = -PVI_ENOFRAME;
            return;
        }
        if ((op->flags & ~(unsigned)f.prot) != 0) {
            v->status = -PVI_EPERM;
            return;
        }
        if (apply) {
            CHECK(flat_replace(map, dfn, 1, pa, op->flags, (op->flags & PVI_WRITE) != 0 ? f.owe_w : f.owe_r));
        }
    }
}

static const char *judge_rights(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    struct verdict v = {.status = orc_table_error(o, op)};
    const char *why;
    uint64_t region;

    if (v.status == 0 && ((op->flags & ~PVI_RW) != 0 || op->flags == 0)) {
        v.status = -PVI_EFLAGS;
    }
    if (v.status == 0) {
        v.has_fault = true;
        v.status = range_error(o, op->ctx, op->u.unmap.dfn.f, op->u.unmap.nr, &v.fault, true);
    }
    if (v.status == 0 && orc_region(o, op->ctx, op->u.unmap.dfn.f, op->u.unmap.nr, &region)) {
        v.status = -PVI_ERESERVED; /* judged for the whole request */
        v.fault = region;
    } else if (v.status == 0) {
        rights_reach(o, op, &v, false);
        if (got->status == -PVI_EALIGN && (tolerate & ORC_TOLERATE_RUNS) != 0 && got->done <= v.done &&
            orc_window_page(o, op->ctx, op->u.unmap.dfn.f) > 1) {
            v.status = got->status; /* the host pins less than a page of the window at once */
            v.done = got->done;
            v.fault = op->u.unmap.dfn.f + got->done;
        }
    }
    why = judge_progress(&v, got, tolerate, op->u.unmap.dfn.f);
    if (!why && got->done != 0) {
        v.done = got->done;
        rights_reach(o, op, &v, true);
    }
    return why;
}

/* The guest frame behind an address: the guest's ranges overlap nowhere in host-physical memory. */
static bool frame_is(uint64_t gfn, uint64_t pa)
{
    struct guest_frame f;

    return guest_frame(gfn, &f) && f.pa == pa;
}

static const char *judge_lookup(const struct orc *o, const struct pvi_op *op, const struct pvi_op *got)
{
    int status = orc_table_error(o, op);
    uint64_t pfn = op->u.lookup.dfn.f, at = 0, pa, pages, back;
    struct flat_run run;

    status = status == 0 && op->flags != 0 ? -PVI_EFLAGS : status;
    if (status == 0) {
        status = range_error(o, op->ctx, pfn / o->page * o->page, o->page, &at, false);
    }
    if (status == 0 && orc_region(o, op->ctx, pfn, 1, &at)) {
        status = -PVI_ERESERVED;
    }
    if (status == 0 && !flat_lookup(o->ctx[op->ctx].map, pfn, &run, &pa)) {
        status = -PVI_ENOENT;
    }
    if (got->status != status) {
        return "another status";
    }
    if (status != 0) { /* of a page larger than 4 KiB any part */
        return status != -PVI_EDEFAULT && status != -PVI_ENOCTX && status != -PVI_EFLAGS && status != -PVI_ENESTED &&
                       got->fault / o->page != pfn / o->page
                   ? "fault is not the address asked for"
                   : NULL;
    }
    if (got->u.lookup.prot != run.perm || !frame_is(got->u.lookup.gfn.f, pa)) {
        return "another frame or other rights";
    }
    if (got->u.lookup.lg2 < 12 || !orc_window_leaf(o, op->ctx, pfn, got->u.lookup.lg2)) {
        return "a size that is not used";
    }
    /* The leaf lies inside of one run, aligned in both spaces. */
    pages = 1ull << (got->u.lookup.lg2 - 12);
    back = pfn & (pages - 1);
    return (pa >> 12 & (pages - 1)) != back || pfn - back < run.first || pfn - back + (pages - 1) > run.last
               ? "a size that cannot be"
               : NULL;
}

static const char *judge_flush(const struct orc *o, const struct pvi_op *op, const struct pvi_op *got,
                               unsigned tolerate)
{
    int status = orc_table_error(o, op);
    uint64_t at = 0;

    status = status == 0 && op->flags != 0 ? -PVI_EFLAGS : status;
    if (status == 0) {
        status = op->u.unmap.nr != 0        ? range_error(o, op->ctx, op->u.unmap.dfn.f, op->u.unmap.nr, &at, true)
                 : op->u.unmap.dfn.f != 0 ? -PVI_EINVAL
                                          : 0;
    }
    if (got->status != status) {
        return orc_tolerated(got->status, tolerate) ? NULL : "another status";
    }
    return got->done != (status == 0 ? op->u.unmap.nr : 0) ? "done is not what it must be" : NULL;
}

/* --- contexts ------------------------------------------------------------------------------------- */

static const char *judge_alloc(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    uint32_t live = 0;
    int status = 0;

    for (unsigned i = 1; i < ORC_CONTEXTS; i++) {
        live += o->ctx[i].live;
    }
    status = (op->flags & ~PVI_ALLOC_IDENTITY) != 0 ? -PVI_EFLAGS
             : op->ctx != 0                         ? -PVI_EINVAL
             : live == o->nr_contexts               ? -PVI_ENOSPC
                                                    : 0;
    if (got->status != status) {
        return orc_tolerated(got->status, tolerate) ? NULL : "another status";
    }
    if (status != 0) {
        return NULL;
    }
    if (got->ctx == 0 || got->ctx > o->nr_contexts || got->ctx >= ORC_CONTEXTS || o->ctx[got->ctx].live) {
        return "a number that is not free";
    }
    o->ctx[got->ctx].live = true;
    o->ctx[got->ctx].token = (uint32_t)got->done;
    o->ctx[got->ctx].identity = o->ctx[got->ctx].nested = false;
    orc_window_init(&o->ctx[got->ctx]);
    if ((op->flags & PVI_ALLOC_IDENTITY) != 0) {
        orc_build(o, got->ctx);
    }
    return NULL;
}

/* A FREE that stopped on its way has given some devices back, each with its group: the oracle goes where they are. */
static void follow_devices(struct orc *o, unsigned ctx)
{
    for (unsigned i = 0; i < ORC_DEVICES; i++) {
        struct orc_dev *d = &o->dev[i];

        if (d->present && d->ctx == ctx && d->dev->ctx->id != ctx) {
            CHECK_EQ(orc_move(o, d, 0), 0);
        }
    }
}

static const char *judge_free(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    int status = (op->flags & ~PVI_FREE_REATTACH) != 0 ? -PVI_EFLAGS : orc_context_error(o, op);
    bool attached = false;

    if (status == 0 && op->u.free.token != 0 && op->u.free.token != o->ctx[op->ctx].token) {
        status = -PVI_ENOCTX;
    }
    for (unsigned i = 0; i < ORC_DEVICES; i++) {
        attached |= o->dev[i].present && o->dev[i].ctx == op->ctx;
    }
    attached |= orc_has_pasids(o, op->ctx, NULL);
    if (status == 0 && (orc_is_parent(o, op->ctx) || (attached && (op->flags & PVI_FREE_REATTACH) == 0))) {
        status = -PVI_EBUSY;
    }
    if (status == 0 && got->status != 0 && orc_tolerated(got->status, tolerate)) {
        orc_drop_pasids(o, op->ctx, NULL); /* they go first, and only hardware can keep them */
        follow_devices(o, op->ctx);
        return NULL;
    }
    if (status == 0) {
        orc_drop_pasids(o, op->ctx, NULL);
    }
    for (unsigned i = 0; i < ORC_DEVICES && status == 0; i++) {
        status = o->dev[i].present && o->dev[i].ctx == op->ctx ? orc_move(o, &o->dev[i], 0) : 0;
    }
    if (got->status == 0 && status == 0) {
        o->ctx[op->ctx].live = false;
        o->ctx[op->ctx].identity = false;
        flat_clear(o->ctx[op->ctx].map);
    }
    return got->status != status ? "another status" : NULL;
}

static const char *judge_reattach(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    struct orc_dev *dev = orc_dev(o, op->u.reattach.sbdf.v);
    int status = op->flags != 0 ? -PVI_EFLAGS : 0;

    if (status == 0 && op->ctx != 0) {
        status = orc_context_error(o, op);
    }
    if (status == 0 && !dev) {
        status = -PVI_ENODEV;
    }
    if (got->status != status && orc_tolerated(got->status, tolerate)) {
        return NULL; /* all or nothing: it stays where it was */
    }
    if (status == 0 && dev->ctx != op->ctx) {
        status = orc_move(o, dev, op->ctx);
    }
    return got->status != status ? "another status" : NULL;
}

/* --- the domain ----------------------------------------------------------------------------------- */

static const char *judge_init(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    uint32_t contexts = op->u.init.nr_contexts, pages = op->u.init.nr_pages;
    int status = op->flags != 0                                           ? -PVI_EFLAGS
                 : contexts == 0 || pages == 0                            ? -PVI_ELENGTH
                 : contexts > o->max_contexts || pages > o->max_pages     ? -PVI_ELIMIT
                 : op->domid == PVI_DOMID_SELF && !o->may_init            ? -PVI_EPERM
                 : o->inited                                              ? -PVI_EINITED
                                                                          : 0;

    if (got->status != status) {
        return orc_tolerated(got->status, tolerate) ? NULL : "another status";
    }
    if (status == 0) {
        o->inited = true;
        o->nr_contexts = contexts;
    }
    return NULL;
}

static const char *judge_caps(const struct orc *o, const struct pvi_op *op, const struct pvi_op *got)
{
    unsigned flags = PVI_CAP_IDENTITY | (o->default_identity ? PVI_CAP_DEFAULT_IDENTITY : 0u) |
                     (o->inited ? PVI_CAP_INITED : 0u) | (o->snoop ? PVI_CAP_SNOOP : 0u);

    if (got->status != (op->flags != 0 ? -PVI_EFLAGS : 0)) {
        return "another status";
    }
    if (got->status != 0) {
        return NULL;
    }
    return got->u.caps.max_iova != (o->last_pfn << 12 | 0xfff)                           ? "max_iova"
           : got->u.caps.page_sizes != o->page_sizes                                     ? "page_sizes"
           : got->u.caps.nr_contexts != (o->inited ? o->nr_contexts : o->max_contexts) ? "nr_contexts"
           : got->u.caps.flags != flags                                                  ? "flags"
           : got->u.caps.free_pages > got->u.caps.nr_pages                               ? "free_pages"
           : got->u.caps.guest_levels != o->guest_levels                                 ? "guest_levels"
           : got->u.caps.guest_depth != o->guest_depth                                   ? "guest_depth"
           : got->u.caps.guest_flags != o->guest_flags                                   ? "guest_flags"
           : got->u.caps.pasid_bits != (o->max_pasids != 0 ? o->pasid_bits : 0)          ? "pasid_bits"
                                                                                         : NULL;
}

const char *orc_judge(struct orc *o, const struct pvi_op *sent, const struct pvi_op *got, unsigned tolerate)
{
    if (sent->pad != 0 || sent->code >= PVI_OP_NR) {
        return got->status == -PVI_EINVAL ? NULL : "malformed, but another status";
    }
    if (sent->code == PVI_OP_NOOP) {
        return got->status == 0 ? NULL : "another status";
    }
    if (sent->code == PVI_OP_QUERY_CAPS) {
        return judge_caps(o, sent, got);
    }
    if (sent->code == PVI_OP_INIT) {
        return judge_init(o, sent, got, tolerate);
    }
    if (!o->inited) {
        return got->status == -PVI_ENOTINIT ? NULL : "not initialised, but another status";
    }
    switch (sent->code) {
    case PVI_OP_ALLOC_CONTEXT:
        return judge_alloc(o, sent, got, tolerate);
    case PVI_OP_FREE_CONTEXT:
        return judge_free(o, sent, got, tolerate);
    case PVI_OP_REATTACH_DEVICE:
        return judge_reattach(o, sent, got, tolerate);
    case PVI_OP_MAP:
        return judge_map(o, sent, got, tolerate);
    case PVI_OP_UNMAP:
        return judge_unmap(o, sent, got, tolerate);
    case PVI_OP_RIGHTS:
        return judge_rights(o, sent, got, tolerate);
    case PVI_OP_LOOKUP:
        return judge_lookup(o, sent, got);
    case PVI_OP_FLUSH:
        return judge_flush(o, sent, got, tolerate);
    case PVI_OP_ALLOC_NESTED:
    case PVI_OP_FLUSH_NESTED:
    case PVI_OP_ATTACH_PASID:
    case PVI_OP_DETACH_PASID:
        return orc_judge_nested(o, sent, got, tolerate);
    default:
        return orc_judge_window(o, sent, got, tolerate);
    }
}
