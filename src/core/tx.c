/* SPDX-License-Identifier: MIT */
/*
 * Batches that happen whole or not at all (PVI_BATCH_ATOMIC).
 *
 *   mark     every context concerned turns other writers away (EBUSY), so that nothing below can be overtaken
 *   count    how many runs of leaves the batch may take away; pages for so many records are set aside
 *   run      each operation in turn; what an unmap or a change of rights takes away is written to the log first
 *   commit   everything is flushed; only now frames that the log names are released, and contexts that devices came from let go
 *   undo     from the operation that failed back to the first: new leaves go, old ones come back, devices move back
 *
 * Undo needs no page: tables are kept as they are (struct pvi_pt_map and pvi_pt_unmap, keep), so where a leaf was there is room
 * for it again, if need be as smaller leaves. A device that moves leaves its old context held (pvi_device_hold()).
 *
 * Only the owner of the batch is here at a time (running); whoever ends a dying domain waits until nobody is.
 */
#include "tx.h"

static bool tx_takes_away(const struct pvi_op *op)
{
    return op->code == PVI_OP_UNMAP || op->code == PVI_OP_RIGHTS;
}

static uint64_t op_frames(const struct pvi_op *op)
{
    return op->code == PVI_OP_MAP ? op->u.map.nr : op->u.unmap.nr;
}

/* Is its range one that addresses can name? All else is judged when it runs. */
static bool op_ranged(const struct pvi_op *op)
{
    const uint64_t frames = (uint64_t)1 << (64 - PVI_PAGE_LG2);
    uint64_t dfn = op->u.unmap.dfn.f, nr = op_frames(op);

    return op->code != PVI_OP_NOOP && op->code != PVI_OP_REATTACH_DEVICE && nr != 0 && nr <= frames && dfn < frames &&
           nr <= frames - dfn;
}

/* --- mark ---------------------------------------------------------------------------------------- */

/* What is being made or taken down is its maker's: for the batch it does not exist. */
static bool tx_markable(struct pvi_context *ctx)
{
    uint8_t state = pvi_context_state(ctx);

    return state == PVI_CTX_LIVE || state == PVI_CTX_BROKEN;
}

static void tx_mark_context(struct pvi_context *ctx, bool tx)
{
    if (ctx && ctx->tx != tx && (!tx || tx_markable(ctx))) {
        pvi_context_lock_alone(ctx);
        ctx->tx = tx;
        pvi_context_replain(ctx);
        pvi_context_unlock_alone(ctx);
    }
}

static CORE_NOINLINE int tx_mark(struct pvi_domain *d, const struct pvi_batch *b)
{
    struct pvi_device *dev;
    uint32_t i;
    int rc = pvi_domain_enter(d); /* contexts neither come nor go, and devices stay where they are */

    if (rc != 0) {
        return rc;
    }
    for (i = 0; i < b->nr; i++) {
        const struct pvi_op *op = &b->ops[i];
        bool moves = op->code == PVI_OP_REATTACH_DEVICE;

        if (op->code != PVI_OP_NOOP && (op->ctx != 0 || moves)) {
            tx_mark_context(pvi_domain_context(d, op->ctx), true);
        }
        dev = moves ? pvi_device_find(d, op->u.reattach.sbdf) : NULL;
        tx_mark_context(dev ? dev->ctx : NULL, true);
    }
    pvi_domain_unclaim(d);
    return 0;
}

static void tx_unmark(struct pvi_domain *d)
{
    uint32_t i;

    tx_mark_context(&d->default_ctx, false);
    tx_mark_context(pvi_bus_home(d), false);
    for (i = 0; i < d->nr_slots; i++) {
        tx_mark_context(d->slot[i], false);
    }
}

/* --- count --------------------------------------------------------------------------------------- */

/* Records that operation i may need beyond what is mapped now: for what those before it map, and for where they cut. */
static uint64_t tx_overlap(const struct pvi_batch *b, uint32_t i)
{
    const struct pvi_op *op = &b->ops[i], *it;
    uint64_t nr = 0, first = op->u.unmap.dfn.f, end = first + op->u.unmap.nr;

    for (it = b->ops; it != op; it++) {
        if (it->ctx == op->ctx && op_ranged(it)) {
            uint64_t from = it->u.unmap.dfn.f, to = from + op_frames(it);

            from = from > first ? from : first;
            to = to < end ? to : end;
            nr += from < to ? 2 + (it->code == PVI_OP_MAP ? to - from : 0) : 0;
        }
    }
    return nr;
}

/* Counts the runs of one operation's range, slice by slice. */
static int tx_count_op(struct pvi_domain *d, struct pvi_context *ctx, const struct pvi_op *op, struct pvi_gather *g)
{
    uint64_t first = tx_first(op), last = first + ((op->u.unmap.nr << PVI_PAGE_LG2) - 1);
    struct pvi_pt_scan *scan = &g->scan;
    int rc = 0;

    while (rc == 0) {
        rc = pvi_context_scan(ctx, first + d->tx.cursor, last, scan);
        if (rc != 0) {
            return 0; /* beyond what the table reaches: the operation will say so */
        }
        d->tx.records += scan->run.len != 0;
        d->tx.cursor = scan->next - first;
        if (scan->complete) {
            break;
        }
        rc = pvi_checkpoint(g);
    }
    return rc;
}

static CORE_NOINLINE int tx_count(struct pvi_domain *d, const struct pvi_batch *b)
{
    struct pvi_gather *g = &d->tx.batch->gather;
    struct pvi_context *payer = NULL;
    uint32_t i;
    int rc = 0;

    for (; rc == 0 && d->tx.op < b->nr; d->tx.op += rc == 0) {
        const struct pvi_op *op = &b->ops[d->tx.op];
        struct pvi_context *ctx = tx_takes_away(op) && op_ranged(op) ? pvi_tx_context(d, op->ctx) : NULL;

        if (ctx && op->ctx != 0) {
            rc = tx_count_op(d, ctx, op, g);
        }
        if (rc == 0) {
            d->tx.records += ctx ? tx_overlap(b, d->tx.op) : 0;
            d->tx.cursor = 0;
            rc = pvi_checkpoint(g); /* beginning with the next, when called again */
            if (rc != 0) {
                d->tx.op++;
                return rc;
            }
        }
    }
    if (rc != 0) {
        return rc;
    }
    for (i = 0; i < b->nr && !payer; i++) {
        payer = tx_takes_away(&b->ops[i]) && b->ops[i].ctx != 0 ? pvi_tx_context(d, b->ops[i].ctx) : NULL;
    }
    rc = payer ? pvi_tx_log_reserve(d, payer, g) : 0;
    if (rc != -PVI_EPREEMPTED) {
        d->tx.records = 0;
        d->tx.op = payer ? i - 1 : 0; /* whose fault it is, if there is no page */
    }
    return rc;
}

/* --- run ----------------------------------------------------------------------------------------- */

/* Writes what the range holds to the log. ENOENT at a hole, with nothing changed. */
static CORE_NOINLINE int tx_log_op(struct pvi_domain *d, struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    uint64_t first = tx_first(op), last = first + ((op->u.unmap.nr << PVI_PAGE_LG2) - 1);
    struct pvi_pt_scan *scan = &g->scan;
    struct pvi_tx_record rec;
    int rc = 0;

    while (rc == 0 && !d->tx.logged) {
        uint64_t at = first + d->tx.cursor;

        if (pvi_context_scan(ctx, at, last, scan) != 0) {
            break; /* the operation will say what is wrong */
        }
        op->fault = at >> PVI_PAGE_LG2;
        if (scan->run.len == 0 || scan->run.iova != at) {
            return -PVI_ENOENT;
        }
        rec.iova_prot = at | scan->run.prot;
        rec.pa_owe = scan->run.pa | scan->run.owe;
        rec.nr_op = scan->run.len >> PVI_PAGE_LG2 << 12 | d->tx.op;
        if (!pvi_tx_log_put(d, &rec)) {
            return -PVI_ENOMEM;
        }
        d->tx.cursor += scan->run.len;
        d->tx.logged = scan->run.len - 1 == last - at;
        rc = pvi_checkpoint(g);
    }
    return rc;
}

/* Where the device is is held for its way back, then it moves. */
static CORE_NOINLINE int tx_reattach(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_device *dev;
    int rc;

    if (op->u.reattach.moved == TX_NOT_MOVED) {
        rc = pvi_domain_enter(d);
        if (rc != 0) {
            return rc;
        }
        dev = pvi_device_find(d, op->u.reattach.sbdf);
        rc = !dev ? -PVI_ENODEV : dev->ctx->tx ? pvi_device_hold(d, dev, dev->ctx) : -PVI_EBUSY;
        if (rc == 0) {
            op->u.reattach.from = dev->ctx->id;
            op->u.reattach.moved = TX_HELD;
        }
        pvi_domain_unclaim(d);
        if (rc != 0) {
            return rc;
        }
    }
    rc = pvi_op_run(d, caller, op, g);
    if (rc == 0) {
        op->u.reattach.moved = TX_MOVED;
    }
    return rc;
}

static int tx_run_op(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx = pvi_tx_context(d, op->ctx);
    int rc;

    if (op->code != PVI_OP_NOOP && op->ctx != 0 && !ctx) {
        return -PVI_ENOCTX;
    }
    if (op->code == PVI_OP_REATTACH_DEVICE) {
        return tx_reattach(d, caller, op, g);
    }
    if (tx_takes_away(op) && op->ctx != 0 && op_ranged(op) && ctx->nested == 0) { /* else the operation will say so */
        rc = tx_log_op(d, ctx, op, g);
        if (rc != 0) {
            return rc;
        }
    }
    return pvi_op_run(d, caller, op, g);
}

static CORE_NOINLINE int tx_run(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_batch *b)
{
    int rc = 0;

    while (rc == 0 && d->tx.op < b->nr) {
        rc = pvi_domain_dying(d) ? -PVI_EDYING : tx_run_op(d, caller, &b->ops[d->tx.op], &b->gather);
        if (rc == 0) {
            d->tx.op++;
            d->tx.cursor = 0;
            d->tx.logged = false;
            rc = d->tx.op < b->nr ? pvi_checkpoint(&b->gather) : 0;
        }
    }
    return rc;
}

/* --- commit -------------------------------------------------------------------------------------- */

static int tx_let_go(struct pvi_domain *d, struct pvi_batch *b, bool claimed)
{
    struct pvi_context *from;
    struct pvi_device *dev;
    uint32_t i;

    if (!claimed && !pvi_domain_claim(d)) {
        return -PVI_EPREEMPTED;
    }
    for (i = 0; i < b->nr; i++) {
        struct pvi_op *op = &b->ops[i];

        if (op->code == PVI_OP_REATTACH_DEVICE && op->u.reattach.moved != TX_NOT_MOVED) {
            dev = pvi_device_find(d, op->u.reattach.sbdf);
            from = pvi_tx_home(d, op->u.reattach.from);
            if (dev && from) {
                pvi_tx_release(d, dev, from);
            }
            op->u.reattach.moved = TX_NOT_MOVED;
        }
    }
    if (!claimed) {
        pvi_domain_unclaim(d);
    }
    return 0;
}

/* Nothing on any unit leads to these frames any more. A run goes in pieces: a release cannot be interrupted. */
static CORE_NOINLINE int tx_commit(struct pvi_domain *d, struct pvi_batch *b, bool claimed)
{
    struct pvi_tx_record rec;
    struct pvi_frames run;
    uint64_t left;
    int rc = 0;

    while (rc == 0 && pvi_tx_log_top(d, &rec)) {
        left = (rec.nr_op >> 12) - d->tx.cursor;
        run.pa.a = (rec.pa_owe & ~PVI_PAGE_MASK) + (d->tx.cursor << PVI_PAGE_LG2);
        run.owe = (uint8_t)(rec.pa_owe & PVI_PAGE_MASK);
        run.nr = run.owe != PVI_OWE_NONE && left > PVI_GATHER_FRAMES ? PVI_GATHER_FRAMES : left;
        d->tx.cursor += run.nr;
        if (run.nr == left) {
            pvi_tx_log_pop(d);
            d->tx.cursor = 0;
        }
        if (run.owe != PVI_OWE_NONE) {
            pvi_host_frame_put(d->host, d->cfg.hdom, &run);
        }
        rc = pvi_checkpoint(&b->gather);
    }
    return rc == 0 ? tx_let_go(d, b, claimed) : rc;
}

/* --- the whole ----------------------------------------------------------------------------------- */

/* From now on it is taken back, from operation `from` on. */
static CORE_NOINLINE void tx_fail(struct pvi_domain *d, struct pvi_batch *b, uint32_t from, int status)
{
    /* The gather has noted frames that the log has, too, and that are going back to their leaves. */
    if (pvi_gather_flush(&b->gather) != 0 || b->gather.failed) {
        status = -PVI_EHW;
    }
    if (d->tx.phase < TX_RUN) {
        d->tx.records = 0; /* a count so far */
    }
    b->ops[from].status = status;
    b->gather.undo = true;
    d->tx.status = status;
    d->tx.phase = TX_UNDO;
    d->tx.op = from;
    d->tx.cursor = 0;
    b->flushed = from; /* whose fault it was */
}

/* One phase, from where it stands. 0: the next is due. */
static int tx_step(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_batch *b, bool claimed)
{
    int rc;

    switch (d->tx.phase) {
    case TX_MARK:
        rc = tx_mark(d, b);
        break;
    case TX_COUNT:
        rc = tx_count(d, b);
        break;
    case TX_RUN:
        rc = tx_run(d, caller, b);
        if (rc == 0 && (pvi_gather_flush(&b->gather) != 0 || b->gather.failed)) {
            d->tx.op--; /* all of it was done */
            rc = -PVI_EHW;
        }
        break;
    case TX_COMMIT:
        return tx_commit(d, b, claimed);
    default:
        return pvi_tx_undo(d, b, claimed);
    }
    if (rc == 0) {
        d->tx.phase++;
        d->tx.op = d->tx.phase == TX_COMMIT ? d->tx.op : 0;
        d->tx.cursor = 0;
    } else if (rc != -PVI_EPREEMPTED) {
        tx_fail(d, b, d->tx.op, rc);
        rc = 0;
    }
    return rc;
}

/* Everything has been done, or taken back. */
static CORE_NOINLINE void tx_end(struct pvi_domain *d, struct pvi_batch *b)
{
    uint32_t i;

    (void)pvi_gather_flush(&b->gather);
    if (d->tx.phase == TX_UNDO) {
        bool broken = d->tx.status == -PVI_EHW || b->gather.failed;

        for (i = 0; i < b->nr; i++) {
            b->ops[i].status = broken ? -PVI_EHW : i == b->flushed ? d->tx.status : -PVI_ECANCELED;
            b->ops[i].done = 0;
            b->ops[i].fault = i == b->flushed ? b->ops[i].fault : 0; /* no other address is at fault */
        }
        b->failed = true;
    }
    tx_unmark(d);
    pvi_env_acquire(d->host, &d->lock);
    d->tx.batch = NULL;
    b->tx = NULL;
    pvi_env_write32(&b->next, b->nr); /* whoever sees this may use the memory again */
    pvi_env_release(d->host, &d->lock);
}

/* Runs what is left, to its end or the next preemption. */
static int tx_go(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_batch *b, bool claimed)
{
    bool ended = false;
    int rc = 0;

    pvi_gather_init(&b->gather, d->host, d->cfg.hdom, d->table.ops);
    b->gather.tx = true;
    b->gather.undo = d->tx.phase == TX_UNDO;
    while (rc == 0 && !ended) {
        ended = d->tx.phase >= TX_COMMIT;
        rc = tx_step(d, caller, b, claimed);
    }
    rc = rc == 0 ? pvi_tx_log_free(d, &b->gather) : rc;
    if (rc == 0) {
        tx_end(d, b);
    } else if ((pvi_gather_flush(&b->gather) != 0 || b->gather.failed) && d->tx.phase < TX_COMMIT) {
        tx_fail(d, b, d->tx.op < b->nr ? d->tx.op : b->nr - 1, -PVI_EHW);
    } else if (b->gather.failed) {
        d->tx.status = -PVI_EHW;
    }
    return rc;
}

static void tx_refuse(struct pvi_batch *b, uint32_t at, int status, int others)
{
    uint32_t i;

    for (i = 0; i < b->nr; i++) {
        b->ops[i].status = i == at ? status : others;
        b->ops[i].done = 0;
    }
    b->failed = true;
    b->next = b->nr;
}

/* Is the batch one that can happen as a whole? *at: the operation that stands against it. */
static int tx_check(const struct pvi_domain *d, const struct pvi_batch *b, uint32_t *at)
{
    const unsigned codes = 1u << PVI_OP_NOOP | 1u << PVI_OP_MAP | 1u << PVI_OP_UNMAP | 1u << PVI_OP_RIGHTS |
                           1u << PVI_OP_REATTACH_DEVICE;
    uint32_t i;

    *at = 0;
    if (!d->has_iommu) {
        return -PVI_ENOIOMMU;
    }
    if (b->nr > PVI_ATOMIC_OPS) {
        return -PVI_ELIMIT;
    }
    for (i = 0; i < b->nr; i++) {
        const struct pvi_op *op = &b->ops[i];

        *at = i;
        if (op->code >= PVI_OP_NR || (codes >> op->code & 1) == 0 || op->domid != b->ops[0].domid || op->done != 0) {
            return -PVI_EINVAL;
        }
    }
    return 0;
}

/* Somebody has just taken the batch back. */
#define TX_ENDED 1

/* Makes the domain's transaction this batch, if there is none. EPREEMPTED: somebody is at it. */
static int tx_begin(struct pvi_domain *d, struct pvi_batch *b)
{
    struct pvi_tx *tx = &d->tx;
    uint32_t i;
    int rc = 0;

    pvi_env_acquire(d->host, &d->lock);
    if (tx->batch && (tx->batch != b || tx->running)) {
        rc = tx->batch == b ? -PVI_EPREEMPTED : -PVI_EBUSY;
    } else if (!tx->batch && b->next == b->nr) {
        rc = TX_ENDED;
    } else if (!tx->batch) {
        memset(tx, 0, sizeof(*tx));
        tx->batch = b;
        b->tx = d;
        for (i = 0; i < b->nr; i++) {
            b->ops[i].status = 0;
            if (b->ops[i].code == PVI_OP_REATTACH_DEVICE) {
                b->ops[i].u.reattach.moved = TX_NOT_MOVED;
            }
        }
    }
    tx->running |= rc == 0;
    pvi_env_release(d->host, &d->lock);
    return rc;
}

static void tx_leave(struct pvi_domain *d)
{
    pvi_env_acquire(d->host, &d->lock);
    d->tx.running = false;
    pvi_env_release(d->host, &d->lock);
}

/* Turns the transaction round, unless it is on its way back, or done, already. */
static void tx_stop(struct pvi_domain *d, struct pvi_batch *b, int why)
{
    if (d->tx.phase < TX_COMMIT) {
        pvi_gather_init(&b->gather, d->host, d->cfg.hdom, d->table.ops);
        b->gather.tx = true;
        tx_fail(d, b, d->tx.phase == TX_RUN && d->tx.op < b->nr ? d->tx.op : 0, why);
    }
}

int pvi_tx_submit(struct pvi_domain *caller, struct pvi_batch *b)
{
    struct pvi_domain *d, *under_way;
    uint32_t at = 0;
    int rc, right;

    if (b->next > b->nr) {
        return -PVI_EINVAL;
    }
    if (b->next == b->nr) {
        return 0;
    }
    under_way = b->tx;
    right = pvi_batch_target(caller, &b->ops[0], &d);
    rc = under_way ? 0 : right;
    if (under_way) {
        d = under_way; /* whatever the host says now: it has our changes, and knows the batch */
    } else if (rc == 0) {
        rc = pvi_domain_dying(d) ? -PVI_EDYING : tx_check(d, b, &at);
        if (rc == 0 && pvi_domain_state(d) != PVI_DOMAIN_READY) {
            rc = -PVI_ENOTINIT;
        }
        if (rc != 0) {
            tx_refuse(b, at, rc, -PVI_ECANCELED);
            return 0;
        }
    }
    rc = rc == 0 ? tx_begin(d, b) : rc;
    if (rc == -PVI_EPREEMPTED || rc == TX_ENDED) {
        return rc == TX_ENDED ? 0 : rc;
    }
    if (rc != 0) {
        tx_refuse(b, 0, rc, rc);
        return 0;
    }
    if (right != 0) {
        tx_stop(d, b, right);
    }
    rc = tx_go(d, caller, b, false);
    tx_leave(d);
    return rc;
}

bool pvi_tx_cancel(struct pvi_domain *d, struct pvi_batch *b)
{
    bool ours, back = true;

    pvi_env_acquire(d->host, &d->lock);
    ours = d->tx.batch == b && !d->tx.running;
    d->tx.running |= ours;
    pvi_env_release(d->host, &d->lock);
    if (ours) {
        tx_stop(d, b, -PVI_ECANCELED);
        back = d->tx.phase != TX_COMMIT;
        tx_leave(d);
    }
    return back;
}

int pvi_tx_abandon(struct pvi_domain *d)
{
    struct pvi_batch *b;
    int rc = 0;

    PVI_ASSERT(pvi_domain_dying(d));
    pvi_env_acquire(d->host, &d->lock);
    b = d->tx.batch;
    rc = b && d->tx.running ? -PVI_EPREEMPTED : 0;
    d->tx.running |= b && rc == 0;
    pvi_env_release(d->host, &d->lock);
    if (!b || rc != 0) {
        return rc;
    }
    tx_stop(d, b, -PVI_EDYING);
    rc = tx_go(d, d, b, true);
    tx_leave(d);
    return rc;
}
