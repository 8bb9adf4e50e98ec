/* SPDX-License-Identifier: MIT */
/* The oracle's judgement of nested contexts and PASIDs. */
#include <string.h>

#include "check.h"
#include "oracle.h"

bool orc_is_parent(const struct orc *o, unsigned ctx)
{
    for (unsigned i = 1; i < ORC_CONTEXTS; i++) {
        if (o->ctx[i].live && o->ctx[i].nested && o->ctx[i].parent == ctx) {
            return true;
        }
    }
    return false;
}

bool orc_has_pasids(const struct orc *o, unsigned ctx, const struct pvi_device *dev)
{
    for (unsigned i = 0; i < o->nr_pasids; i++) {
        if (o->pasid[i].ctx == ctx && (!dev || o->pasid[i].dev == dev)) {
            return true;
        }
    }
    return false;
}

void orc_drop_pasids(struct orc *o, unsigned ctx, const struct pvi_device *dev)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < o->nr_pasids; i++) {
        if (dev ? o->pasid[i].dev != dev : o->pasid[i].ctx != ctx) {
            o->pasid[kept++] = o->pasid[i];
        }
    }
    o->nr_pasids = kept;
}

/* --- nested contexts ------------------------------------------------------------------------------ */

static int nested_error(const struct orc *o, const struct pvi_op *op)
{
    unsigned parent = op->u.nested.parent, live = 0, levels = op->u.nested.levels;
    uint64_t root = op->u.nested.root.f;

    if ((op->flags & ~3u) != 0) {
        return -PVI_EFLAGS;
    }
    if (!o->may_nest) {
        return -PVI_EPERM;
    }
    if (o->guest_levels == 0) {
        return -PVI_EOPNOTSUPP;
    }
    if (op->ctx != 0 || (op->u.nested.depth != 0) != (o->guest_depth != 0)) {
        return -PVI_EINVAL;
    }
    if (levels == 0 || levels > 7 || (o->guest_levels & 1u << levels) == 0 || op->u.nested.depth > o->guest_depth ||
        (op->flags & ~(unsigned)o->guest_flags) != 0) {
        return -PVI_EOPNOTSUPP;
    }
    if (parent > o->nr_contexts || parent >= ORC_CONTEXTS || !o->ctx[parent].live) {
        return -PVI_ENOCTX;
    }
    if (o->ctx[parent].nested) {
        return -PVI_ENESTED;
    }
    if (root > o->last_pfn || root >> (o->pa_bits - 12) != 0) {
        return -PVI_ERANGE;
    }
    for (unsigned i = 1; i < ORC_CONTEXTS; i++) {
        live += o->ctx[i].live;
    }
    return live == o->nr_contexts ? -PVI_ENOSPC : 0;
}

static const char *judge_nested(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    int status = nested_error(o, op);
    struct orc_ctx *c;

    if (got->status != status) {
        return orc_tolerated(got->status, tolerate) ? NULL : "another status";
    }
    if (status != 0) {
        return got->ctx == op->ctx ? NULL : "a number, and none was made";
    }
    if (got->ctx == 0 || got->ctx > o->nr_contexts || got->ctx >= ORC_CONTEXTS || o->ctx[got->ctx].live) {
        return "a number that is not free";
    }
    c = &o->ctx[got->ctx];
    c->live = c->nested = true;
    c->token = (uint32_t)got->done;
    c->identity = false;
    c->parent = op->u.nested.parent;
    c->guest = (struct pvi_guest_tables){op->u.nested.root.f << 12, op->u.nested.levels, op->u.nested.depth,
                                         (uint8_t)op->flags};
    orc_window_init(c);
    return NULL;
}

static int flush_error(const struct orc *o, const struct pvi_op *op)
{
    const uint64_t frames = 1ull << 52;
    uint64_t first = op->u.guest.first, nr = op->u.guest.nr;
    int status;

    if ((op->flags & ~PVI_FLUSH_ALL_PASIDS) != 0) {
        return -PVI_EFLAGS;
    }
    if (op->flags == 0 && op->u.guest.pasid > 0xfffff) {
        return -PVI_ERANGE;
    }
    if (op->flags != 0 ? first != 0 || nr != 0 || op->u.guest.pasid != 0 : nr == 0 && first != 0) {
        return -PVI_EINVAL;
    }
    if (first >= frames || nr >= frames || first + nr > frames) {
        return -PVI_EWRAP;
    }
    status = orc_context_error(o, op);
    return status == 0 && !o->ctx[op->ctx].nested ? -PVI_ENESTED : status;
}

/* --- PASIDs --------------------------------------------------------------------------------------- */

static bool shares(const struct orc *o, const struct pvi_device *dev)
{
    for (unsigned i = 0; i < ORC_DEVICES; i++) {
        const struct pvi_device *it = o->dev[i].present ? o->dev[i].dev : dev;

        for (unsigned k = 0; it != dev && it->unit == dev->unit && k < it->nr_rids * (unsigned)dev->nr_rids; k++) {
            if (it->rid[k % it->nr_rids] == dev->rid[k / it->nr_rids]) {
                return true;
            }
        }
    }
    return false;
}

static struct orc_pasid *pasid_of(struct orc *o, const struct pvi_device *dev, uint32_t pasid)
{
    for (unsigned i = 0; i < o->nr_pasids; i++) {
        if (o->pasid[i].dev == dev && o->pasid[i].pasid == pasid) {
            return &o->pasid[i];
        }
    }
    return NULL;
}

static int attach_error(const struct orc *o, const struct pvi_op *op, const struct orc_dev *od, const struct orc_pasid *p)
{
    int status = op->ctx != 0 ? orc_context_error(o, op) : 0;

    return status != 0                                      ? status
           : !od                                            ? -PVI_ENODEV
           : o->pasid_bits == 0 || shares(o, od->dev)       ? -PVI_EOPNOTSUPP
           : op->u.pasid.pasid >> o->pasid_bits != 0        ? -PVI_ERANGE
           : (op->flags & PVI_PASID_MOVE) != 0              ? (p ? 0 : -PVI_ENOENT)
           : p                                              ? -PVI_EEXIST
           : o->nr_pasids == o->max_pasids                  ? -PVI_ENOSPC
                                                            : 0;
}

static const char *judge_pasid(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    bool attaches = op->code == PVI_OP_ATTACH_PASID;
    struct orc_dev *od = orc_dev(o, op->u.pasid.sbdf.v);
    struct orc_pasid *p = od ? pasid_of(o, od->dev, op->u.pasid.pasid) : NULL;
    int status = (op->flags & ~(attaches ? PVI_PASID_MOVE : 0u)) != 0 ? -PVI_EFLAGS
                 : op->u.pasid.pasid == 0                             ? -PVI_EINVAL
                 : o->max_pasids == 0                                 ? -PVI_EPERM
                 : attaches                                           ? attach_error(o, op, od, p)
                 : !od                                                ? -PVI_ENODEV
                 : !p                                                 ? -PVI_ENOENT
                                                                      : 0;

    if (got->status != status) {
        return status == 0 && orc_tolerated(got->status, tolerate) ? NULL : "another status";
    }
    if (status != 0) {
        return NULL;
    }
    if (!attaches) {
        *p = o->pasid[--o->nr_pasids];
    } else if (p) {
        p->ctx = op->ctx;
    } else {
        CHECK(o->nr_pasids < ORC_PASIDS);
        o->pasid[o->nr_pasids++] = (struct orc_pasid){od->dev, op->u.pasid.pasid, op->ctx};
    }
    return NULL;
}

const char *orc_judge_nested(struct orc *o, const struct pvi_op *op, const struct pvi_op *got, unsigned tolerate)
{
    if (got->done != 0 && op->code != PVI_OP_ALLOC_NESTED) { /* there it is a token */
        return "done, of an operation that counts nothing";
    }
    if (op->code == PVI_OP_ALLOC_NESTED) {
        return judge_nested(o, op, got, tolerate);
    }
    if (op->code == PVI_OP_FLUSH_NESTED) {
        return got->status == flush_error(o, op) || orc_tolerated(got->status, tolerate) ? NULL : "another status";
    }
    return judge_pasid(o, op, got, tolerate);
}
