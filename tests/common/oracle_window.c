/* SPDX-License-Identifier: MIT */
/* The oracle's windows: what may be where, and what the operations on windows must answer. */
#include <string.h>

#include "check.h"
#include "oracle.h"

void orc_window_init(struct orc_ctx *c)
{
    c->windowed = false;
    memset(c->window, 0, sizeof(c->window));
}

static struct orc_window whole(const struct orc *o)
{
    return (struct orc_window){PVI_WINDOW_OPEN, 0, o->last_pfn, o->page_sizes};
}

/* Window i as it is, also the one that was never made. */
static struct orc_window nth(const struct orc *o, unsigned ctx, unsigned i)
{
    const struct orc_ctx *c = &o->ctx[ctx];

    return c->windowed ? c->window[i] : i == 0 ? whole(o) : (struct orc_window){0};
}

uint64_t orc_window(const struct orc *o, unsigned ctx, uint64_t dfn, uint64_t nr, uint64_t *at)
{
    *at = dfn;
    for (unsigned i = 0; i < ORC_WINDOWS; i++) {
        struct orc_window w = nth(o, ctx, i);

        if (w.state == PVI_WINDOW_OPEN && dfn >= w.first && dfn <= w.last) {
            if (nr - 1 <= w.last - dfn) {
                return w.sizes;
            }
            /* Beyond the end of all there is nothing that could be told apart. */
            *at = o->ctx[ctx].windowed ? w.last + 1 : dfn;
            return 0;
        }
    }
    return 0;
}

uint64_t orc_window_page(const struct orc *o, unsigned ctx, uint64_t dfn)
{
    uint64_t at, sizes = orc_window(o, ctx, dfn, 1, &at);

    return (sizes & (0 - sizes)) >> 12;
}

bool orc_window_leaf(const struct orc *o, unsigned ctx, uint64_t dfn, unsigned lg2)
{
    uint64_t nr = 1ull << (lg2 - 12), first = dfn & ~(nr - 1), at;

    if ((orc_window(o, ctx, first, nr, &at) >> lg2 & 1) != 0) {
        return true;
    }
    if (orc_region(o, ctx, first, nr, &at)) {
        return (o->page_sizes >> lg2 & 1) != 0; /* of a device, wherever */
    }
    for (unsigned i = 0; i < ORC_WINDOWS; i++) { /* being emptied; what regions have left over may be of any size */
        struct orc_window w = nth(o, ctx, i);

        if (w.state == PVI_WINDOW_GOING && first >= w.first && first + (nr - 1) <= w.last) {
            return (o->page_sizes >> lg2 & 1) != 0;
        }
    }
    return false;
}

/* --- create ------------------------------------------------------------------------------------------ */

/*
 * Is every leaf of these sizes, cut where the smallest may begin, made of such leaves? By what a cut is: the entries of the
 * leaf, or a table below it; an entry that the edge is inside of must be a leaf by itself.
 */
static bool closed(uint64_t all, uint64_t sizes)
{
    uint64_t smallest = sizes & (0 - sizes);

    if (sizes == 0 || (sizes & ~all) != 0) {
        return false;
    }
    for (unsigned lg2 = 12; lg2 < 64 && sizes != all; lg2++) {
        unsigned level = (lg2 - 12) / 9;
        uint64_t size = 1ull << lg2, one = 1ull << (12 + 9 * level);

        if ((sizes & size) == 0 || size == smallest) {
            continue;
        }
        if (size == one || (all & one) == 0) { /* no smaller leaf of this level: a table */
            if (level == 0) {
                return false;
            }
            one >>= 9;
            if ((all & one) == 0 || (sizes & (one * 0x1ff)) == 0) {
                return false;
            }
        }
        if (smallest < one && (sizes & one) == 0) {
            return false;
        }
    }
    return true;
}

static int wanted_sizes(const struct orc *o, const struct pvi_op *op, uint64_t *sizes)
{
    unsigned shift = op->u.window.shift;
    uint64_t smallest = shift == 0 ? o->page << 12 : shift < 64 ? 1ull << shift : 0;

    *sizes = op->u.window.sizes;
    if (*sizes != 0 && (*sizes & (0 - *sizes)) != smallest) {
        return -PVI_EINVAL;
    }
    if ((o->page_sizes & smallest) == 0 || smallest > 1ull << 30) {
        return -PVI_EOPNOTSUPP;
    }
    if (*sizes == 0) {
        *sizes = o->page_sizes & (0 - smallest);
        for (uint64_t top = 1ull << 63; !closed(o->page_sizes, *sizes); top >>= 1) {
            *sizes &= ~top;
        }
    }
    return closed(o->page_sizes, *sizes) ? 0 : -PVI_EOPNOTSUPP;
}

static int create_error(const struct orc *o, const struct pvi_op *op, struct orc_window *w, unsigned *index)
{
    const uint64_t frames = 1ull << 52;
    uint64_t dfn = op->u.window.dfn.f, nr = op->u.window.nr, page;
    int rc = wanted_sizes(o, op, &w->sizes);

    page = (w->sizes & (0 - w->sizes)) >> 12;
    rc = rc != 0                                                          ? rc
         : nr == 0                                                        ? -PVI_ELENGTH
         : dfn >= frames || nr >= frames || dfn + (nr - 1) >= frames      ? -PVI_EWRAP
         : dfn % page != 0 || nr % page != 0                              ? -PVI_EALIGN
         : dfn + (nr - 1) > o->last_pfn                                   ? -PVI_ERANGE
                                                                          : 0;
    *index = ORC_WINDOWS;
    for (unsigned i = ORC_WINDOWS; rc == 0 && i-- > 0;) {
        struct orc_window other = nth(o, op->ctx, i);

        if (other.state == PVI_WINDOW_NONE) {
            *index = i;
        } else if (dfn <= other.last && other.first <= dfn + (nr - 1)) {
            rc = -PVI_EEXIST;
        }
    }
    w->state = PVI_WINDOW_OPEN;
    w->first = dfn;
    w->last = dfn + (nr - 1);
    return rc == 0 && *index == ORC_WINDOWS ? -PVI_ENOSPC : rc;
}

static const char *judge_create(struct orc *o, const struct pvi_op *op, const struct pvi_op *got)
{
    struct orc_window w;
    unsigned index;
    int status = create_error(o, op, &w, &index);

    if (got->status != status) {
        return "another status";
    }
    if (status == 0) {
        if (got->u.window.index != index) {
            return "not the lowest free number";
        }
        o->ctx[op->ctx].window[index] = w;
    }
    return NULL;
}

/* --- remove ------------------------------------------------------------------------------------------ */

/* Unmaps what is in there and in no region. */
static void wipe(struct orc *o, unsigned ctx, uint64_t first, uint64_t last)
{
    struct orc_ctx *c = &o->ctx[ctx];

    for (uint64_t at = first, met; at <= last && at >= first;) {
        if (!orc_region(o, ctx, at, last - at + 1, &met)) {
            (void)flat_unmap(c->map, at, last - at + 1);
            break;
        }
        if (met > at) {
            (void)flat_unmap(c->map, at, met - at);
        }
        for (unsigned i = 0; i < ORC_REGIONS; i++) {
            if (c->region[i].count != 0 && c->region[i].first <= met && met <= c->region[i].last) {
                at = c->region[i].last + 1;
                break;
            }
        }
    }
}

static void begin(struct orc *o, unsigned ctx)
{
    if (!o->ctx[ctx].windowed) {
        o->ctx[ctx].window[0] = whole(o);
        o->ctx[ctx].windowed = true;
    }
}

static void close_window(struct orc_ctx *c, struct orc_window *w)
{
    if (w->state == PVI_WINDOW_OPEN) {
        w->state = PVI_WINDOW_GOING;
        for (unsigned i = 0; i < ORC_REGIONS; i++) {
            struct orc_region *r = &c->region[i];

            r->inherited = r->inherited && (r->first < w->first || r->last > w->last);
        }
    }
}

static const char *judge_remove(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    struct orc_window *w = &o->ctx[op->ctx].window[op->u.window.index % ORC_WINDOWS];
    bool there = op->u.window.index < ORC_WINDOWS && nth(o, op->ctx, op->u.window.index).state != PVI_WINDOW_NONE;
    int status = there ? 0 : -PVI_ENOENT;

    if (got->status != status && !(there && orc_tolerated(got->status, tolerate))) {
        return "another status";
    }
    if (!there || got->status == -PVI_EHW) {
        return NULL;
    }
    begin(o, op->ctx);
    close_window(&o->ctx[op->ctx], w);
    if (got->status != 0) {
        if (got->fault < w->first || got->fault > w->last) {
            return "fault is not in the window";
        }
        if (got->fault > w->first) {
            wipe(o, op->ctx, w->first, got->fault - 1);
        }
        return NULL;
    }
    wipe(o, op->ctx, w->first, w->last);
    w->state = PVI_WINDOW_NONE;
    return NULL;
}

static const char *judge_reset(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    struct orc_ctx *c = &o->ctx[op->ctx];

    if (got->status != 0 && !orc_tolerated(got->status, tolerate)) {
        return "another status";
    }
    if (got->status == -PVI_EHW) {
        return NULL;
    }
    begin(o, op->ctx);
    for (unsigned i = 0; i < ORC_WINDOWS; i++) {
        close_window(c, &c->window[i]);
    }
    for (unsigned i = 0; i < ORC_WINDOWS; i++) { /* in order of their numbers, the last one up to fault */
        struct orc_window *w = &c->window[i];

        if (w->state != PVI_WINDOW_NONE && got->status != 0 && got->fault >= w->first && got->fault <= w->last) {
            if (got->fault > w->first) {
                wipe(o, op->ctx, w->first, got->fault - 1);
            }
            return NULL;
        }
        if (w->state != PVI_WINDOW_NONE) {
            wipe(o, op->ctx, w->first, w->last);
            w->state = PVI_WINDOW_NONE;
        }
    }
    if (got->status != 0) {
        return "fault is in no window";
    }
    orc_window_init(c);
    return NULL;
}

/* --- query ------------------------------------------------------------------------------------------- */

static const char *judge_query(const struct orc *o, const struct pvi_op *op, const struct pvi_op *got)
{
    unsigned index = op->u.window.index, left = 0, depth = 1;
    struct orc_window w;

    if (got->status != (index < ORC_WINDOWS ? 0 : -PVI_ENOENT)) {
        return "another status";
    }
    if (index >= ORC_WINDOWS) {
        return NULL;
    }
    for (unsigned i = 0; i < ORC_WINDOWS; i++) {
        left += nth(o, op->ctx, i).state == PVI_WINDOW_NONE;
    }
    w = nth(o, op->ctx, index);
    if (w.state == PVI_WINDOW_NONE) {
        w = (struct orc_window){PVI_WINDOW_NONE, 1, 0, 0};
        return got->u.window.state == 0 && got->u.window.left == left && got->u.window.sizes == 0 && got->u.window.nr == 0
                   ? NULL
                   : "a window that is not there";
    }
    while (depth < 6 && w.last >> (9 * depth) != 0) {
        depth++;
    }
    return got->u.window.dfn.f != w.first || got->u.window.nr != w.last - w.first + 1 ? "other bounds"
           : got->u.window.sizes != w.sizes || 1ull << got->u.window.shift != (w.sizes & (0 - w.sizes)) ? "other sizes"
           : got->u.window.state != w.state                                                             ? "another state"
           : got->u.window.left != left || got->u.window.index != index                                 ? "another count"
           : got->u.window.depth != depth                                                               ? "another depth"
                                                                                                        : NULL;
}

/* Figures are the fixture's to check; no fault is ever kept but where a test says so. */
static const char *judge_figures(const struct orc *o, const struct pvi_op *op, const struct pvi_op *got)
{
    int status = op->flags != 0 ? -PVI_EFLAGS : op->ctx == 0 ? 0 : orc_context_error(o, op);

    if (status == 0 && op->code == PVI_OP_READ_FAULT) {
        return got->status == 0 || got->status == -PVI_ENOENT ? NULL : "another status";
    }
    return got->status != status ? "another status"
           : status == 0 && got->u.usage.mapped != flat_pages(o->ctx[op->ctx].map) ? "another count of frames"
                                                                                    : NULL;
}

const char *orc_judge_window(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    int status = op->flags != 0 ? -PVI_EFLAGS : orc_table_error(o, op);

    if (op->code == PVI_OP_QUERY_USAGE || op->code == PVI_OP_READ_FAULT) {
        return judge_figures(o, op, got);
    }
    if (status != 0) {
        return got->status == status ? NULL : "another status";
    }
    if (op->code == PVI_OP_WINDOW_CREATE) {
        return judge_create(o, op, got);
    }
    if (op->code == PVI_OP_WINDOW_REMOVE) {
        return judge_remove(o, op, got, tolerate);
    }
    return op->code == PVI_OP_WINDOW_QUERY ? judge_query(o, op, got) : judge_reset(o, op, got, tolerate);
}
