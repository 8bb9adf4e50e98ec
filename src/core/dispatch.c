/* SPDX-License-Identifier: MIT */
/*
 * The dispatcher: runs a batch in order, one flush for all of it, a status for each.
 *
 * A status is written when the operation ends, but a guest sees none before pvi_submit() returns, and by then
 * the flush that covers it has completed or has turned it into EHW.
 */
#include "core.h"

/* Has the operation changed tables? For these `done` is not 0 when something is changed, also when they end with an error. */
static bool batch_changed(const struct pvi_op *op)
{
    const unsigned codes = 1u << PVI_OP_MAP | 1u << PVI_OP_UNMAP | 1u << PVI_OP_RIGHTS |
                           1u << PVI_OP_WINDOW_REMOVE | 1u << PVI_OP_WINDOW_RESET;

    return ((op->code < PVI_OP_NR && (codes >> op->code & 1) != 0) || op->code == PVI_OP_BUS_MAP || op->code == PVI_OP_BUS_UNMAP) &&
           op->done != 0;
}

/* Flushes what the batch has gathered. A failure is reported by every operation that it covered. */
static int batch_flush(struct pvi_batch *b, uint32_t end)
{
    uint32_t i;
    int rc;

    (void)pvi_gather_flush(&b->gather);
    /* Also a flush on the way, forced by a full gather, may have failed: then none of these is sure. */
    rc = b->gather.failed ? -PVI_EHW : 0;
    b->gather.failed = false;
    for (i = b->flushed; rc != 0 && i < end; i++) {
        if (b->ops[i].status == 0 || batch_changed(&b->ops[i])) {
            b->ops[i].status = -PVI_EHW;
            b->failed = true;
        }
    }
    b->flushed = end;
    return rc;
}

int pvi_batch_target(struct pvi_domain *caller, const struct pvi_op *op, struct pvi_domain **d)
{
    if (op->domid == PVI_DOMID_SELF) {
        *d = caller;
        return 0;
    }
    return pvi_host_domain(caller->host, caller->cfg.hdom, op->domid, d);
}

/*
 * One operation. The gather releases frames of one domain: a batch that turns to another domain's tables flushes
 * in between.
 */
static CORE_INLINE int batch_op(struct pvi_domain *caller, struct pvi_batch *b, struct pvi_op *op)
{
    struct pvi_domain *d;
    int rc;

    if ((b->flags & PVI_BATCH_STOP) != 0 && b->failed) {
        return -PVI_ECANCELED;
    }
    rc = pvi_batch_target(caller, op, &d);
    if (rc != 0) {
        return rc;
    }
    if (pvi_domain_dying(d)) {
        return -PVI_EDYING;
    }
    if (b->gather.hdom != d->cfg.hdom || b->gather.host != d->host) {
        (void)batch_flush(b, b->next); /* a failure has been noted where it belongs */
        pvi_gather_init(&b->gather, d->host, d->cfg.hdom, d->has_iommu ? d->table.ops : NULL);
    }
    return pvi_op_run(d, caller, op, &b->gather);
}

static CORE_INLINE int batch_step(struct pvi_domain *d, struct pvi_batch *b)
{
    struct pvi_op *op = &b->ops[b->next];
    int rc;

    op->status = 0;
    rc = batch_op(d, b, op);
    if (rc != -PVI_EPREEMPTED) {
        op->status = rc;
        b->failed |= rc != 0;
        b->next++;
        rc = 0;
    }
    return rc;
}

int pvi_batch_begin(struct pvi_domain *d, struct pvi_batch *b)
{
    if ((b->flags & ~PVI_BATCH_STOP) != 0 || b->next > b->nr) {
        return -PVI_EINVAL;
    }
    pvi_gather_init(&b->gather, d->host, d->cfg.hdom, d->has_iommu ? d->table.ops : NULL);
    b->flushed = b->next;
    return 0;
}

int pvi_batch_step(struct pvi_domain *d, struct pvi_batch *b)
{
    return batch_step(d, b);
}

void pvi_batch_end(struct pvi_batch *b)
{
    if (batch_flush(b, b->next) != 0 && b->next < b->nr && batch_changed(&b->ops[b->next])) {
        /* The operation under way has changed what could not be flushed: it ends here. */
        b->ops[b->next].status = -PVI_EHW;
        b->failed = true;
        b->next++;
    }
}

int pvi_batch_run(struct pvi_domain *d, struct pvi_batch *b)
{
    int rc = pvi_batch_begin(d, b);

    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && b->next < b->nr) {
        rc = batch_step(d, b);
        if (rc == 0 && b->next < b->nr) {
            rc = pvi_checkpoint(&b->gather);
        }
    }
    pvi_batch_end(b);
    return rc == -PVI_EPREEMPTED && b->next < b->nr ? rc : 0;
}

int pvi_submit(struct pvi_domain *d, struct pvi_batch *b)
{
    return b->flags == PVI_BATCH_ATOMIC ? pvi_tx_submit(d, b) : pvi_batch_run(d, b);
}
