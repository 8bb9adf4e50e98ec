/* SPDX-License-Identifier: MIT */
/*
 * What a context uses, and the faults of its devices. Mapped bytes are counted by whoever has changed them, under the lock that
 * it holds anyway; faults are the units', so whatever a device does its owner gets no more of them than the bucket gives.
 */
#include "core.h"

void pvi_usage_init(struct pvi_context *ctx)
{
    unsigned i;

    for (i = 0; i < PVI_CTX_STRIPES; i++) {
        ctx->stripe[i].mapped = 0;
    }
    ctx->mapped = 0;
    ctx->flushes = 0;
    ctx->nr_kept = 0;
    ctx->first_kept = 0;
    ctx->nr_faults = 0;
    ctx->nr_lost = 0;
    ctx->tokens = PVI_FAULT_BURST;
    ctx->token_ms = 0;
}

int pvi_context_usage(struct pvi_domain *d, uint16_t id, struct pvi_context_usage *out)
{
    struct pvi_context *ctx = pvi_domain_context(d, id);
    uint64_t mapped;
    unsigned i;

    if (!ctx) {
        return -PVI_ENOCTX;
    }
    out->pages_used = pvi_quota_used(id == 0 ? &d->default_pool : &d->pool, &ctx->quota);
    out->pages_limit = ctx->quota.limit;
    out->devices = ctx->nr_devices;
    out->state = pvi_context_state(ctx);
    pvi_context_lock_alone(ctx);
    mapped = ctx->mapped;
    for (i = 0; i < PVI_CTX_STRIPES; i++) {
        mapped += ctx->stripe[i].mapped;
    }
    out->flushes = ctx->flushes;
    out->faults = ctx->nr_faults;
    pvi_context_unlock_alone(ctx);
    out->mapped = mapped >> PVI_PAGE_LG2;
    return 0;
}

int pvi_op_usage(struct pvi_domain *d, struct pvi_op *op)
{
    struct pvi_context_usage usage;
    int rc = pvi_context_usage(d, op->ctx, &usage);

    if (rc == 0) {
        memset(&op->u, 0, sizeof(op->u));
        op->u.usage.pages_used = usage.pages_used;
        op->u.usage.pages_limit = usage.pages_limit;
        op->u.usage.mapped = usage.mapped;
        op->u.usage.flushes = usage.flushes;
        op->u.usage.faults = usage.faults;
        op->u.usage.devices = usage.devices;
    }
    return rc;
}

/* --- faults --------------------------------------------------------------------------------------------- */

/* May one more be kept now? A clock that stands still, or jumps, gives what it gives. */
static bool fault_token(struct pvi_context *ctx, uint64_t now)
{
    uint64_t more = now > ctx->token_ms ? (now - ctx->token_ms) / PVI_FAULT_MS : 0;

    if (more >= PVI_FAULT_BURST - ctx->tokens) {
        ctx->tokens = PVI_FAULT_BURST;
        ctx->token_ms = now > ctx->token_ms ? now : ctx->token_ms;
    } else {
        ctx->tokens += (uint32_t)more;
        ctx->token_ms += more * PVI_FAULT_MS;
    }
    if (ctx->tokens == 0 || ctx->nr_kept == PVI_CTX_FAULTS) {
        return false;
    }
    ctx->tokens--;
    return true;
}

static void fault_note(struct pvi_context *ctx, const struct pvi_device *dev, const struct pvi_fault *fault, uint64_t now)
{
    struct pvi_ctx_fault *to;

    pvi_env_acquire(ctx->domain->host, &ctx->lock);
    ctx->nr_faults++;
    if (fault_token(ctx, now)) {
        to = &ctx->fault[(ctx->first_kept + ctx->nr_kept++) % PVI_CTX_FAULTS];
        to->iova = fault->iova;
        to->sbdf = dev->sbdf;
        to->rid = fault->rid;
        to->code = fault->code;
        to->write = fault->write;
    } else {
        ctx->nr_lost++;
    }
    pvi_env_release(ctx->domain->host, &ctx->lock);
}

int pvi_domain_fault(struct pvi_domain *d, const struct pvi_unit *u, const struct pvi_fault *fault, uint64_t now)
{
    struct pvi_device *dev;
    int rc = -PVI_ENODEV;
    unsigned i;

    if (!pvi_domain_claim(d)) { /* who has it may take devices away */
        return -PVI_EPREEMPTED;
    }
    for (dev = d->devices; dev && rc != 0; dev = dev->next) {
        for (i = 0; dev->unit == u && i < dev->nr_rids; i++) {
            if (dev->rid[i] == fault->rid) {
                fault_note(fault->has_pasid ? pvi_pasid_context(dev, fault->pasid) : dev->ctx, dev, fault, now);
                rc = 0;
                break;
            }
        }
    }
    pvi_domain_unclaim(d);
    return rc;
}

int pvi_op_read_fault(struct pvi_domain *d, struct pvi_op *op)
{
    struct pvi_context *ctx = pvi_domain_context(d, op->ctx);
    struct pvi_ctx_fault *from;
    int rc = -PVI_ENOENT;

    if (!ctx) {
        return -PVI_ENOCTX;
    }
    memset(&op->u, 0, sizeof(op->u));
    pvi_env_acquire(d->host, &ctx->lock);
    if (ctx->nr_kept != 0) {
        from = &ctx->fault[ctx->first_kept];
        op->u.fault.iova = from->iova;
        op->u.fault.sbdf = from->sbdf;
        op->u.fault.rid = from->rid;
        op->u.fault.code = from->code;
        op->u.fault.write = from->write;
        ctx->first_kept = (ctx->first_kept + 1) % PVI_CTX_FAULTS;
        ctx->nr_kept--;
        rc = 0;
    }
    op->u.fault.lost = ctx->nr_lost;
    op->u.fault.left = (uint8_t)ctx->nr_kept;
    pvi_env_release(d->host, &ctx->lock);
    return rc;
}
