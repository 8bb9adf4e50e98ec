/* SPDX-License-Identifier: MIT */
/* The way back of a transaction (tx.c), operation by operation from the one that failed: nothing here takes a page. */
#include "tx.h"
#include <pviommu/bus.h>

struct pvi_context *pvi_tx_context(struct pvi_domain *d, uint16_t id)
{
    struct pvi_context *ctx = pvi_domain_context(d, id);

    return ctx && ctx->tx ? ctx : NULL;
}

struct pvi_context *pvi_tx_home(struct pvi_domain *d, uint16_t id)
{
    return id == PVI_CTX_BUS ? pvi_bus_home(d) : pvi_domain_context(d, id);
}

void pvi_tx_release(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *from)
{
    if (pvi_context_state(from) == PVI_CTX_LIVE) {
        pvi_device_let_go(d, dev, from);
    }
}

/* The leaves of a map go; frames that they owe wait for the flush, as ever. */
static CORE_NOINLINE int undo_map(struct pvi_domain *d, struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    uint64_t first = tx_first(op), at;
    struct pvi_pt_unmap *r = &g->req.unmap;
    int rc = 0;

    memset(r, 0, sizeof(*r));
    r->first = first;
    r->last = first + ((op->done << PVI_PAGE_LG2) - 1);
    r->keep = true;
    r->complete = op->done == 0;
    while (rc == 0 && !r->complete) {
        r->next = first + d->tx.cursor;
        rc = pvi_context_unmap_slice(ctx, r, g, &at);
        d->tx.cursor = r->next - first;
        if (rc == 0 && !r->complete) {
            rc = pvi_checkpoint(g);
        }
    }
    return rc;
}

/* One slice of leaves that come back where they were. */
static int undo_unmap(struct pvi_domain *d, struct pvi_context *ctx, const struct pvi_tx_record *rec, uint64_t nr,
                      struct pvi_gather *g)
{
    struct pvi_pt_map *r = &g->req.map;
    uint64_t at;
    int rc;

    memset(r, 0, sizeof(*r));
    r->iova = rec->iova_prot & ~PVI_PAGE_MASK;
    r->pa = rec->pa_owe & ~PVI_PAGE_MASK;
    r->len = nr << PVI_PAGE_LG2;
    r->done = d->tx.cursor << PVI_PAGE_LG2;
    r->prot = (uint8_t)(rec->iova_prot & PVI_PAGE_MASK);
    r->owe = (uint8_t)(rec->pa_owe & PVI_PAGE_MASK);
    r->keep = true;
    rc = pvi_context_map_slice(ctx, r, g, &at);
    if (rc == -PVI_EEXIST) { /* a region's table, empty again, where the window has no leaves that small: nobody else needs it */
        r->keep = false;
        rc = pvi_context_map_slice(ctx, r, g, &at);
    }
    d->tx.cursor = r->done >> PVI_PAGE_LG2;
    return rc;
}

/* One slice of leaves that get their old rights again; what they owe by the new ones waits for the flush. */
static int undo_rights(struct pvi_domain *d, struct pvi_context *ctx, const struct pvi_tx_record *rec, uint64_t nr,
                       struct pvi_gather *g)
{
    struct pvi_frames frames; /* still pinned as they were: the log has held on to them */
    struct pvi_pt_change *r = &g->req.change;
    uint64_t at;
    int rc;

    memset(r, 0, sizeof(*r));
    r->first = rec->iova_prot & ~PVI_PAGE_MASK;
    r->last = r->first + ((nr << PVI_PAGE_LG2) - 1);
    r->next = r->first + (d->tx.cursor << PVI_PAGE_LG2);
    r->prot = (uint8_t)(rec->iova_prot & PVI_PAGE_MASK);
    frames.pa.a = (rec->pa_owe & ~PVI_PAGE_MASK) + (d->tx.cursor << PVI_PAGE_LG2);
    frames.nr = nr - d->tx.cursor;
    frames.owe = (uint8_t)(rec->pa_owe & PVI_PAGE_MASK);
    rc = pvi_context_rights_slice(ctx, r, &frames, g, &at);
    d->tx.cursor = (r->next - r->first) >> PVI_PAGE_LG2;
    return rc;
}

/* What the log has of one operation, newest first, as far as the operation came. */
static CORE_NOINLINE int undo_log(struct pvi_domain *d, struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_tx_record rec;
    int rc = 0;

    while (rc == 0 && pvi_tx_log_top(d, &rec) && (rec.nr_op & 0xfff) == d->tx.op) {
        uint64_t offset = (rec.iova_prot >> PVI_PAGE_LG2) - op->u.unmap.dfn.f, nr = rec.nr_op >> 12;

        nr = offset >= op->done ? 0 : nr < op->done - offset ? nr : op->done - offset;
        if (d->tx.cursor >= nr) {
            pvi_tx_log_pop(d);
            d->tx.cursor = 0;
            rc = pvi_checkpoint(g);
            continue;
        }
        rc = op->code == PVI_OP_UNMAP ? undo_unmap(d, ctx, &rec, nr, g) : undo_rights(d, ctx, &rec, nr, g);
        rc = rc == 0 ? pvi_checkpoint(g) : rc;
    }
    return rc;
}

static CORE_NOINLINE int undo_move(struct pvi_domain *d, struct pvi_op *op, bool claimed)
{
    struct pvi_context *from;
    struct pvi_device *dev;
    int rc = 0;

    if (!claimed && !pvi_domain_claim(d)) {
        return -PVI_EPREEMPTED;
    }
    dev = pvi_device_find(d, op->u.reattach.sbdf);
    from = pvi_tx_home(d, op->u.reattach.from);
    if (dev && from) {
        rc = op->u.reattach.moved == TX_MOVED && dev->ctx != from ? pvi_device_move(d, dev, from) : 0;
        pvi_tx_release(d, dev, from);
    }
    op->u.reattach.moved = TX_NOT_MOVED;
    if (!claimed) {
        pvi_domain_unclaim(d);
    }
    return rc;
}

static int undo_op(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g, bool claimed)
{
    struct pvi_context *ctx = op->ctx != 0 ? pvi_tx_context(d, op->ctx) : NULL;

    if (op->code == PVI_OP_REATTACH_DEVICE) {
        return op->u.reattach.moved != TX_NOT_MOVED ? undo_move(d, op, claimed) : 0;
    }
    if (!ctx || op->code == PVI_OP_NOOP) {
        return 0;
    }
    return op->code == PVI_OP_MAP ? undo_map(d, ctx, op, g) : undo_log(d, ctx, op, g);
}

/* The log's records of an operation whose context no longer obeys: what they name may still be cached, and is lost. */
static CORE_NOINLINE void undo_lose(struct pvi_domain *d)
{
    struct pvi_tx_record rec;
    uint64_t lost = 0;

    while (pvi_tx_log_top(d, &rec) && (rec.nr_op & 0xfff) == d->tx.op) {
        lost += (rec.pa_owe & PVI_PAGE_MASK) != PVI_OWE_NONE ? rec.nr_op >> 12 : 0;
        pvi_tx_log_pop(d);
    }
    if (lost != 0) {
        pvi_host_event(d->host, PVI_EVENT_FLUSH_FAILED, d->tx.batch->gather.failed_unit, lost);
    }
}

int pvi_tx_undo(struct pvi_domain *d, struct pvi_batch *b, bool claimed)
{
    int rc = 0;

    for (;;) {
        struct pvi_op *op = &b->ops[d->tx.op];

        rc = undo_op(d, op, &b->gather, claimed);
        if (rc == -PVI_EPREEMPTED) {
            return rc;
        }
        if (rc != 0) { /* nothing else can stop it */
            d->tx.status = -PVI_EHW;
            undo_lose(d);
        }
        op->done = 0;
        d->tx.cursor = 0;
        if (d->tx.op == 0) {
            return 0;
        }
        d->tx.op--;
        rc = pvi_checkpoint(&b->gather);
        if (rc != 0) {
            return rc;
        }
    }
}
