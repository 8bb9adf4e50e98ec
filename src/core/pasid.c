/* SPDX-License-Identifier: MIT */
/*
 * PASIDs of devices that translate through contexts of their own (VT-d scalable mode, hwspec 2.4, 2.5). The domain is claimed throughout.
 *
 * An entry of a PASID is only set where none is present: hardware may read such an entry in pieces (hwspec 4.3). So a PASID
 * moves by way of blocked; no reserved region is lost by that, as those are for requests without PASID.
 */
#include "core.h"

struct pvi_pasid {
    struct pvi_pasid *next;
    struct pvi_context *ctx;
    uint32_t pasid;
};

static struct pvi_pasid *pasid_find(const struct pvi_device *dev, uint32_t pasid)
{
    struct pvi_pasid *p;

    for (p = dev->pasids; p && p->pasid != pasid; p = p->next) {
    }
    return p;
}

struct pvi_context *pvi_pasid_context(const struct pvi_device *dev, uint32_t pasid)
{
    const struct pvi_pasid *p = pasid_find(dev, pasid);

    return p ? p->ctx : dev->ctx;
}

/*
 * Sets the entry (from is NULL) or takes it away (to is NULL), and waits until no unit remembers what was. After EHW nobody knows:
 * the PASID blocks as far as the unit obeys, and the contexts stay joined to it, so nothing of them is reused.
 */
static int pasid_switch(struct pvi_device *dev, uint32_t pasid, struct pvi_context *from, struct pvi_context *to)
{
    int rc = pvi_device_switch(dev, pasid, from, to), err = pvi_host_inv_wait(dev->unit->host, dev->unit);

    if (err != 0 || rc == -PVI_EHW) {
        pvi_device_block(dev, pasid, from ? from : to);
        dev->unit->broken |= pvi_host_inv_wait(dev->unit->host, dev->unit) != 0;
        pvi_context_break(from);
        pvi_context_break(to);
        return -PVI_EHW;
    }
    return rc;
}

static int pasid_attach(struct pvi_domain *d, struct pvi_device *dev, uint32_t pasid, struct pvi_context *to)
{
    struct pvi_pasid *p;
    int rc;

    if (d->nr_pasids == d->cfg.max_pasids) {
        return -PVI_ENOSPC;
    }
    p = pvi_host_mem_alloc(d->host, sizeof(*p));
    if (!p) {
        return -PVI_ENOMEM;
    }
    rc = pvi_context_join(to, dev->unit);
    if (rc == 0) {
        rc = pasid_switch(dev, pasid, NULL, to);
        if (rc != 0 && rc != -PVI_EHW) {
            pvi_context_leave(to, dev->unit);
        }
    }
    if (rc != 0) {
        pvi_host_mem_free(d->host, p, sizeof(*p));
        return rc;
    }
    p->pasid = pasid;
    p->ctx = to;
    p->next = dev->pasids;
    dev->pasids = p;
    to->nr_pasids++;
    d->nr_pasids++;
    return 0;
}

static void pasid_forget(struct pvi_domain *d, struct pvi_device *dev, struct pvi_pasid *p)
{
    struct pvi_pasid **link;

    for (link = &dev->pasids; *link != p; link = &(*link)->next) {
    }
    *link = p->next;
    p->ctx->nr_pasids--;
    d->nr_pasids--;
    pvi_host_mem_free(d->host, p, sizeof(*p));
}

/* Whatever comes back, the PASID is not the device's any more. */
static int pasid_detach(struct pvi_domain *d, struct pvi_device *dev, struct pvi_pasid *p)
{
    int rc = pasid_switch(dev, p->pasid, p->ctx, NULL);

    if (rc == 0) {
        pvi_context_leave(p->ctx, dev->unit);
    }
    pasid_forget(d, dev, p);
    return rc;
}

/*
 * The old context keeps its id on the unit until the PASID has arrived: the way back needs nothing. After EHW it is not the device's any
 * more; then too the unit has forgotten one of the two, or has never met it.
 */
static int pasid_move(struct pvi_domain *d, struct pvi_device *dev, struct pvi_pasid *p, struct pvi_context *to)
{
    struct pvi_context *from = p->ctx, *clean = to;
    int rc = pvi_context_join(to, dev->unit), err;

    if (rc != 0) {
        return rc;
    }
    rc = pasid_switch(dev, p->pasid, from, NULL);
    if (rc == 0) {
        rc = pasid_switch(dev, p->pasid, NULL, to);
        if (rc == 0 || rc == -PVI_EHW) {
            clean = from;
        } else {
            err = pasid_switch(dev, p->pasid, NULL, from);
            if (err != 0 && err != -PVI_EHW) { /* it obeyed throughout, and has forgotten both */
                pvi_context_leave(from, dev->unit);
            }
            rc = err != 0 ? -PVI_EHW : rc;
        }
    }
    if (rc == -PVI_EHW) {
        pasid_forget(d, dev, p);
    } else if (rc == 0) {
        from->nr_pasids--;
        to->nr_pasids++;
        p->ctx = to;
    }
    pvi_context_leave(clean, dev->unit);
    return rc;
}

int pvi_pasids_drop(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *of, struct pvi_gather *g)
{
    int *hw_error = of ? &of->hw_error : &dev->hw_error;
    struct pvi_pasid *p = dev->pasids, *next;
    int rc = 0, err;

    for (; p && rc == 0; p = next) {
        next = p->next;
        if (!of || p->ctx == of) {
            err = pasid_detach(d, dev, p);
            *hw_error = err != 0 ? err : *hw_error;
            rc = pvi_checkpoint(g) != 0 ? -PVI_EPREEMPTED : 0; /* after one that has gone: whoever comes back is further */
        }
    }
    return rc;
}

/* --- operations ------------------------------------------------------------------------------------ */

static int attach(struct pvi_domain *d, struct pvi_op *op, bool move)
{
    struct pvi_device *dev = pvi_device_find(d, op->u.pasid.sbdf);
    struct pvi_context *ctx = pvi_domain_context(d, op->ctx);
    uint32_t pasid = op->u.pasid.pasid;
    struct pvi_pasid *p;
    int rc = pvi_context_attachable(ctx);

    if (rc != 0) {
        return rc;
    }
    if (!dev || dev->leaving) {
        return -PVI_ENODEV;
    }
    if (d->pasid_bits == 0 || pvi_device_shares(d, dev)) {
        return -PVI_EOPNOTSUPP;
    }
    if (pasid >> d->pasid_bits != 0) {
        return -PVI_ERANGE;
    }
    if (dev->unit->broken) { /* an entry that could not be taken away may be there */
        return -PVI_EHW;
    }
    p = pasid_find(dev, pasid);
    if (ctx->tx || (p && p->ctx->tx)) {
        return -PVI_EBUSY;
    }
    if (!move) {
        return p ? -PVI_EEXIST : pasid_attach(d, dev, pasid, ctx);
    }
    return !p ? -PVI_ENOENT : p->ctx == ctx ? 0 : pasid_move(d, dev, p, ctx);
}

static int detach(struct pvi_domain *d, struct pvi_op *op)
{
    struct pvi_device *dev = pvi_device_find(d, op->u.pasid.sbdf);
    struct pvi_pasid *p;

    if (!dev) {
        return -PVI_ENODEV;
    }
    p = pasid_find(dev, op->u.pasid.pasid);
    return p ? pasid_detach(d, dev, p) : -PVI_ENOENT;
}

int pvi_op_pasid(struct pvi_domain *d, struct pvi_op *op)
{
    bool attaches = op->code == PVI_OP_ATTACH_PASID;
    int rc;

    if ((op->flags & ~(attaches ? PVI_PASID_MOVE : 0u)) != 0) {
        return -PVI_EFLAGS;
    }
    if (op->u.pasid.pasid == 0) {
        return -PVI_EINVAL;
    }
    if (d->cfg.max_pasids == 0) {
        return -PVI_EPERM;
    }
    rc = pvi_domain_enter(d);
    if (rc == 0) {
        rc = attaches ? attach(d, op, op->flags != 0) : detach(d, op);
        pvi_domain_unclaim(d);
    }
    return rc;
}
