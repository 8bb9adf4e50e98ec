/* SPDX-License-Identifier: MIT */
/* The operations of the native batch: each validates its own input, once, and continues from op->done. */
#include "core.h"

/* Pool pages taken from, or given back to, the host between two checkpoints. */
#define INIT_SLICE 64u

/* --- the domain ------------------------------------------------------------------------------------ */

static int op_query_caps(struct pvi_domain *d, struct pvi_op *op)
{
    const struct pvi_pt_cfg *cfg = &d->table;
    uint32_t mode = pvi_env_read32(&d->passthrough);
    bool follows = mode == PVI_PASSTHROUGH_SYNC_PT || mode == PVI_PASSTHROUGH_SHARE_PT;
    struct pvi_pool_usage pool;

    memset(&op->u, 0, sizeof(op->u));
    if (!d->has_iommu) {
        return 0;
    }
    op->u.caps.max_iova = cfg->iova_bits == 64 ? UINT64_MAX : ((uint64_t)1 << cfg->iova_bits) - 1;
    op->u.caps.page_sizes = cfg->page_sizes;
    op->u.caps.atomic_ops = PVI_ATOMIC_OPS;
    op->u.caps.guest_levels = d->guest_levels;
    op->u.caps.guest_depth = d->guest_depth;
    op->u.caps.guest_flags = d->guest_flags;
    op->u.caps.pasid_bits = d->pasid_bits;
    op->u.caps.flags = PVI_CAP_IDENTITY | (d->cfg.default_identity || follows ? PVI_CAP_DEFAULT_IDENTITY : 0u) |
                       (cfg->snoop ? PVI_CAP_SNOOP : 0u) | (d->cfg.scattered ? PVI_CAP_SCATTERED : 0u);
    pvi_env_acquire(d->host, &d->lock);
    if (d->state == PVI_DOMAIN_READY) {
        op->u.caps.flags |= PVI_CAP_INITED;
        pvi_pool_usage(&d->pool, &pool);
        op->u.caps.nr_contexts = d->nr_contexts;
        op->u.caps.nr_pages = pool.nr_pages;
        op->u.caps.free_pages = pool.nr_free;
    } else {
        op->u.caps.nr_contexts = d->cfg.max_contexts;
        op->u.caps.nr_pages = d->cfg.max_pages;
        op->u.caps.free_pages = d->cfg.max_pages;
    }
    pvi_env_release(d->host, &d->lock);
    return 0;
}

/* Gives back what was set aside when there was not enough; the domain may be initialised again. */
static int init_undo(struct pvi_domain *d, struct pvi_gather *g)
{
    int rc = 0;

    while (rc == 0 && pvi_pool_shrink(&d->pool, INIT_SLICE) == INIT_SLICE) {
        rc = pvi_checkpoint(g);
    }
    if (rc != 0) {
        return rc;
    }
    if (d->slot) {
        pvi_host_mem_free(d->host, d->slot, d->nr_contexts * sizeof(*d->slot));
        d->slot = NULL;
    }
    d->nr_contexts = 0;
    pvi_domain_set_state(d, PVI_DOMAIN_NEW);
    return -PVI_ENOMEM;
}

static int init_pages(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    int rc = 0;

    while (rc == 0 && d->state == PVI_DOMAIN_INITING && d->pool.nr_pages < d->init_pages) {
        uint32_t left = d->init_pages - d->pool.nr_pages, done;

        if (pvi_pool_grow(&d->pool, left < INIT_SLICE ? left : INIT_SLICE, &done) != 0) {
            pvi_domain_set_state(d, PVI_DOMAIN_UNDOING);
        }
        op->done = d->pool.nr_pages;
        rc = pvi_checkpoint(g);
    }
    if (rc != 0) {
        return rc;
    }
    if (d->state == PVI_DOMAIN_UNDOING) {
        return init_undo(d, g);
    }
    pvi_domain_set_state(d, PVI_DOMAIN_READY); /* the slots and the pool are visible before the state is */
    return 0;
}

static int op_init(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_op *op, struct pvi_gather *g)
{
    uint32_t contexts = op->u.init.nr_contexts, pages = op->u.init.nr_pages;
    int rc;

    if (!d->has_iommu) {
        return -PVI_ENOIOMMU;
    }
    if (contexts == 0 || pages == 0) {
        return -PVI_ELENGTH;
    }
    if (contexts > d->cfg.max_contexts || pages > d->cfg.max_pages) {
        return -PVI_ELIMIT;
    }
    if (d == caller && !pvi_host_may_init(d->host, d->cfg.hdom)) {
        return -PVI_EPERM;
    }
    rc = pvi_domain_enter(d);
    if (rc != 0) {
        return rc;
    }
    if (d->state == PVI_DOMAIN_READY) {
        rc = -PVI_EINITED;
    } else if (d->state != PVI_DOMAIN_NEW && (contexts != d->nr_contexts || pages != d->init_pages)) {
        rc = -PVI_EBUSY; /* another call's init is half way */
    } else {
        rc = 0;
        if (d->state == PVI_DOMAIN_NEW) {
            d->slot = pvi_host_mem_alloc(d->host, contexts * sizeof(*d->slot));
            rc = d->slot ? 0 : -PVI_ENOMEM;
        }
        if (rc == 0) {
            d->nr_contexts = contexts;
            d->init_pages = pages;
            if (d->state == PVI_DOMAIN_NEW) {
                pvi_domain_set_state(d, PVI_DOMAIN_INITING);
            }
            rc = init_pages(d, op, g);
        }
    }
    pvi_domain_unclaim(d);
    return rc;
}

/* --- contexts -------------------------------------------------------------------------------------- */

/* Finds a free number and the object for it; the domain is claimed, so nobody else takes it. */
static int alloc_slot(struct pvi_domain *d, uint16_t *id, struct pvi_context **out)
{
    uint32_t i;

    /* Nothing below the hint is free: a context that ends lowers it. */
    for (i = d->slot_hint; i < d->nr_contexts; i++) {
        if (!d->slot[i] || pvi_context_state(d->slot[i]) == PVI_CTX_FREE) {
            break;
        }
    }
    d->slot_hint = i;
    if (i == d->nr_contexts) {
        return -PVI_ENOSPC;
    }
    if (!d->slot[i]) {
        struct pvi_context *ctx = pvi_host_mem_alloc(d->host, sizeof(*ctx));

        if (!ctx) {
            return -PVI_ENOMEM;
        }
        ctx->domain = d;
        pvi_context_lock_init(ctx);
        d->slot[i] = ctx;
        pvi_env_write32(&d->nr_slots, i + 1); /* numbers are made in order: whoever sees the count sees the pointer */
    }
    *id = (uint16_t)(i + 1);
    *out = d->slot[i];
    return 0;
}

int pvi_context_make(struct pvi_domain *d, struct pvi_context **out, struct pvi_gather *g)
{
    uint32_t share = d->cfg.context_pages != 0 ? d->cfg.context_pages : UINT32_MAX;
    uint16_t id;
    int rc = alloc_slot(d, &id, out);

    if (rc != 0) {
        return rc;
    }
    rc = pvi_context_init(*out, d, id, &d->pool, share);
    if (rc != 0) { /* a context freed by the same batch may have left its pages in the gather */
        rc = pvi_gather_recover(g, rc);
        rc = rc == 0 ? pvi_context_init(*out, d, id, &d->pool, share) : rc;
    }
    return rc;
}

static int alloc_begin(struct pvi_domain *d, struct pvi_op *op, struct pvi_context **out,
                       struct pvi_gather *g)
{
    struct pvi_context *ctx;
    int rc;

    if (op->ctx != 0) {
        return -PVI_EINVAL;
    }
    rc = pvi_context_make(d, &ctx, g);
    if (rc == 0) {
        ctx->identity = (op->flags & PVI_ALLOC_IDENTITY) != 0;
        pvi_context_set_state(ctx, ctx->identity ? PVI_CTX_BUILDING : PVI_CTX_LIVE, 0);
        op->ctx = ctx->id;
        op->done = pvi_context_token(ctx); /* from here on the number is this operation's: it resumes with it */
        *out = ctx;
    }
    return rc;
}

/* Goes on building, or taking down what could not be built: then not even the number stays. */
static int alloc_continue(struct pvi_op *op, struct pvi_context *ctx, struct pvi_gather *g)
{
    int rc = 0;

    if (pvi_context_state(ctx) == PVI_CTX_BUILDING) {
        rc = pvi_context_build(ctx, g);
        if (rc != 0 && rc != -PVI_EPREEMPTED) {
            pvi_context_set_state(ctx, PVI_CTX_DYING, rc);
        }
    }
    if (pvi_context_state(ctx) == PVI_CTX_BROKEN && ctx->nr_devices + ctx->nr_pasids + ctx->nr_nested == 0 && !ctx->tx) {
        /* Another operation's flush has failed, which had to tell units that cache absence of this context, too. */
        pvi_context_set_state(ctx, PVI_CTX_DYING, -PVI_EHW);
    }
    if (pvi_context_state(ctx) == PVI_CTX_DYING) {
        rc = pvi_context_teardown(ctx, g);
        if (rc == 0) {
            rc = ctx->error != 0 ? ctx->error : -PVI_ENOCTX;
            op->ctx = 0;
            op->done = 0;
        }
    }
    return rc;
}

/* Who builds is alone: everybody else who makes, frees or attaches to contexts comes back later. */
static CORE_NOINLINE int op_alloc(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx = NULL;
    int rc;

    if ((op->flags & ~PVI_ALLOC_IDENTITY) != 0) {
        return -PVI_EFLAGS;
    }
    rc = pvi_domain_enter(d);
    if (rc != 0) {
        return rc;
    }
    if (op->done == 0) {
        rc = alloc_begin(d, op, &ctx, g);
    } else {
        ctx = op->ctx != 0 ? pvi_domain_context(d, op->ctx) : NULL;
        rc = ctx && pvi_context_token(ctx) == op->done ? 0 : -PVI_ENOCTX;
    }
    if (rc == 0) {
        rc = alloc_continue(op, ctx, g);
    }
    pvi_domain_unclaim(d);
    return rc;
}

/* Everything that is attached goes to the default context, device by device; PASIDs are blocked. */
static int free_reattach(struct pvi_domain *d, struct pvi_context *ctx, struct pvi_gather *g)
{
    struct pvi_device *dev;
    int rc = 0;

    for (dev = d->devices; dev && rc == 0 && ctx->nr_pasids != 0; dev = dev->next) {
        rc = pvi_pasids_drop(d, dev, ctx, g);
    }
    if (rc == 0) {
        rc = ctx->hw_error;
        ctx->hw_error = 0;
    }
    if (rc != 0) {
        return rc;
    }

    if (ctx->nr_devices != 0 && d->default_ctx.tx) {
        return -PVI_EBUSY;
    }
    while (rc == 0 && ctx->nr_devices != 0) {
        for (dev = d->devices; dev && dev->ctx != ctx; dev = dev->next) {
        }
        PVI_ASSERT(dev != NULL);
        rc = pvi_device_move(d, dev, &d->default_ctx);
        if (rc == 0 && ctx->nr_devices != 0) {
            rc = pvi_checkpoint(g);
        }
    }
    return rc;
}

static int free_context(struct pvi_domain *d, struct pvi_op *op, struct pvi_context *ctx,
                        struct pvi_gather *g)
{
    uint8_t state = pvi_context_state(ctx);
    int rc = 0;

    /* A context half built is nobody's: who builds has the claim, so its builder is gone or comes back to nothing. */
    if (ctx->tx || ctx->nr_nested != 0 ||
        (ctx->nr_devices + ctx->nr_pasids != 0 && (op->flags & PVI_FREE_REATTACH) == 0)) {
        return -PVI_EBUSY;
    }
    if (state != PVI_CTX_DYING) {
        rc = free_reattach(d, ctx, g);
        if (rc == 0) {
            pvi_context_set_state(ctx, PVI_CTX_DYING, 0);
        }
    }
    return rc == 0 ? pvi_context_teardown(ctx, g) : rc;
}

static CORE_NOINLINE int op_free(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    int rc;

    if ((op->flags & ~PVI_FREE_REATTACH) != 0) {
        return -PVI_EFLAGS;
    }
    if (op->ctx == 0) {
        return -PVI_EDEFAULT;
    }
    rc = pvi_domain_enter(d);
    if (rc != 0) {
        return rc;
    }
    ctx = pvi_domain_context(d, op->ctx);
    if (ctx && op->u.free.token != 0 && op->u.free.token != pvi_context_token(ctx)) {
        ctx = NULL;
    }
    rc = ctx ? free_context(d, op, ctx, g) : -PVI_ENOCTX;
    pvi_domain_unclaim(d);
    return rc;
}

static int reattach(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *ctx, const struct pvi_gather *g)
{
    int rc;

    if (!ctx) {
        return -PVI_ENOCTX;
    }
    if (!dev) {
        return -PVI_ENODEV;
    }
    if ((ctx->tx || dev->ctx->tx) && !g->tx) {
        return -PVI_EBUSY;
    }
    rc = pvi_context_attachable(ctx);
    return rc != 0 || dev->ctx == ctx ? rc : pvi_device_move(d, dev, ctx);
}

static CORE_NOINLINE int op_reattach(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    struct pvi_device *dev;
    int rc;

    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    rc = pvi_domain_enter(d);
    if (rc == 0) {
        dev = pvi_device_find(d, op->u.reattach.sbdf);
        ctx = pvi_domain_context(d, op->ctx);
        rc = reattach(d, dev, ctx, g);
        if (rc == -PVI_ENOMEM || rc == -PVI_EQUOTA) { /* no page for a reserved region */
            rc = pvi_gather_recover(g, rc);
            rc = rc == 0 ? reattach(d, dev, ctx, g) : rc;
        }
        pvi_domain_unclaim(d);
    }
    return rc;
}

/* Operations that continue from done; in all others it is an output alone. */
static bool op_resumes(const struct pvi_op *op)
{
    const unsigned codes = 1u << PVI_OP_INIT | 1u << PVI_OP_ALLOC_CONTEXT | 1u << PVI_OP_MAP | 1u << PVI_OP_UNMAP |
                           1u << PVI_OP_RIGHTS | 1u << PVI_OP_WINDOW_REMOVE;

    return (codes >> op->code & 1) != 0;
}

/* What a domain may ask for that has nothing yet. */
static CORE_NOINLINE int op_before_init(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_op *op, struct pvi_gather *g)
{
    if (op->code == PVI_OP_NOOP) {
        return 0;
    }
    if (op->flags != 0) {
        return -PVI_EFLAGS;
    }
    return op->code == PVI_OP_INIT ? op_init(d, caller, op, g) : op_query_caps(d, op);
}

int pvi_op_run(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_op *op, struct pvi_gather *g)
{
    op->fault = 0;
    if (op->pad != 0 || op->code >= PVI_OP_NR) {
        return op->pad == 0 ? pvi_bus_op(d, op, g) : -PVI_EINVAL;
    }
    op->done = op_resumes(op) ? op->done : 0;
    if (op->code <= PVI_OP_INIT) {
        return op_before_init(d, caller, op, g);
    }
    if (!d->has_iommu) {
        return -PVI_ENOIOMMU;
    }
    if (pvi_domain_state(d) != PVI_DOMAIN_READY) {
        return -PVI_ENOTINIT;
    }
    switch (op->code) {
    case PVI_OP_ALLOC_CONTEXT:
        return op_alloc(d, op, g);
    case PVI_OP_FREE_CONTEXT:
        return op_free(d, op, g);
    case PVI_OP_REATTACH_DEVICE:
        return op_reattach(d, op, g);
    case PVI_OP_MAP:
        return pvi_op_map(d, op, g);
    case PVI_OP_UNMAP:
        return pvi_op_unmap(d, op, g);
    case PVI_OP_RIGHTS:
        return pvi_op_rights(d, op, g);
    case PVI_OP_LOOKUP:
        return pvi_op_lookup(d, op, g);
    case PVI_OP_QUERY_USAGE:
        return op->flags == 0 ? pvi_op_usage(d, op) : -PVI_EFLAGS;
    case PVI_OP_READ_FAULT:
        return op->flags == 0 ? pvi_op_read_fault(d, op) : -PVI_EFLAGS;
    case PVI_OP_FLUSH:
        return pvi_op_flush(d, op, g);
    case PVI_OP_ALLOC_NESTED:
        return pvi_op_alloc_nested(d, op, g);
    case PVI_OP_FLUSH_NESTED:
        return pvi_op_flush_nested(d, op, g);
    case PVI_OP_ATTACH_PASID:
    case PVI_OP_DETACH_PASID:
        return pvi_op_pasid(d, op);
    default:
        return pvi_op_window(d, op, g);
    }
}
