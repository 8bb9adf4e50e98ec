/* SPDX-License-Identifier: MIT */
/*
 * Nested contexts: a guest's own tables, which hardware walks by way of a parent context (VT-d PGTT 3, hwspec 2.5; AMD-Vi GV with a
 * v1 table, hwspec 6.7). The guest may write there what it likes, and forget to flush what it likes: every address in these tables,
 * and every one that they lead to, is one more address that the parent translates. So all that has to be true is that the parent outlives them, and that
 * what units keep of them goes with what the parent gives up (gather.c).
 *
 * A nested context has a table of its own like any other, and it stays empty: nobody maps there.
 */
#include "core.h"

/* PASIDs in requests and commands have 20 bits (hwspec 4.1, 7.2). */
#define PASID_BITS 20u

/* What all units have in common of guests' tables. Where one has none there are none. */
void pvi_nested_caps(struct pvi_domain *d)
{
    const struct pvi_system *sys = d->cfg.system;
    unsigned i;

    d->guest_levels = d->cfg.nested ? UINT8_MAX : 0;
    d->guest_flags = UINT8_MAX;
    d->guest_depth = UINT8_MAX;
    d->pasid_bits = d->cfg.max_pasids != 0 ? PASID_BITS : 0;
    for (i = 0; i < sys->nr_units; i++) {
        const struct pvi_unit_caps *caps = &sys->unit[i]->caps;

        d->guest_levels &= caps->guest_levels;
        d->guest_flags &= caps->guest_flags;
        d->guest_depth = caps->guest_depth < d->guest_depth ? caps->guest_depth : d->guest_depth;
        d->pasid_bits = caps->pasid_bits < d->pasid_bits ? caps->pasid_bits : d->pasid_bits;
        d->table.no_read_only |= d->cfg.nested && caps->parent_rw;
    }
    if (d->guest_levels == 0) {
        d->guest_flags = 0;
        d->guest_depth = 0;
    }
}

int pvi_context_attachable(struct pvi_context *ctx)
{
    uint8_t state = ctx ? pvi_context_state(ctx) : (uint8_t)PVI_CTX_FREE;

    if (state == PVI_CTX_LIVE && ctx->parent) {
        state = pvi_context_state(ctx->parent);
    }
    switch (state) {
    case PVI_CTX_LIVE:
        return 0;
    case PVI_CTX_BUILDING:
        return -PVI_EBUSY;
    case PVI_CTX_BROKEN:
        return -PVI_EHW;
    default:
        return -PVI_ENOCTX;
    }
}

/* --- life ------------------------------------------------------------------------------------------ */

static int nested_check(const struct pvi_domain *d, const struct pvi_op *op)
{
    if (op->ctx != 0 || (op->u.nested.depth == 0) != (d->guest_depth == 0)) {
        return d->guest_levels == 0 ? -PVI_EOPNOTSUPP : -PVI_EINVAL;
    }
    if (op->u.nested.levels > 7 || (d->guest_levels >> op->u.nested.levels & 1u) == 0 || op->u.nested.levels == 0 ||
        op->u.nested.depth > d->guest_depth || (op->flags & ~(uint32_t)d->guest_flags) != 0) {
        return -PVI_EOPNOTSUPP;
    }
    return 0;
}

/* What the parent must be. The root lies where the parent can map, and where an entry can name it. */
static int parent_check(const struct pvi_domain *d, struct pvi_context *parent, pvi_gfn root)
{
    unsigned reach = d->table.iova_bits < d->table.pa_bits ? d->table.iova_bits : d->table.pa_bits;
    int rc = pvi_context_attachable(parent);

    if (parent && pvi_env_read32(&parent->nested) != 0) {
        return -PVI_ENESTED;
    }
    if (rc == 0 && parent->tx) {
        return -PVI_EBUSY;
    }
    if (rc == 0 && parent->shared_root.a != 0 && d->table.no_read_only) {
        return -PVI_EOPNOTSUPP; /* what rights the host's own table has is not ours to say (erratum 772415) */
    }
    return rc == 0 && root.f >> (reach - PVI_PAGE_LG2) != 0 ? -PVI_ERANGE : rc;
}

static int nested_make(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *parent = pvi_domain_context(d, op->u.nested.parent), *ctx;
    unsigned i;
    int rc = parent_check(d, parent, op->u.nested.root);

    if (rc != 0) {
        return rc;
    }
    for (i = 0; i < PVI_MAX_NESTED && d->nested[i] != 0; i++) {
    }
    if (i == PVI_MAX_NESTED) {
        return -PVI_ENOSPC;
    }
    rc = pvi_context_make(d, &ctx, g);
    if (rc != 0) {
        return rc;
    }
    pvi_context_lock_alone(ctx); /* who was meant for the number's last life may still come to map */
    ctx->parent = parent;
    ctx->guest.root = op->u.nested.root.f << PVI_PAGE_LG2;
    ctx->guest.levels = op->u.nested.levels;
    ctx->guest.depth = op->u.nested.depth;
    ctx->guest.flags = (uint8_t)op->flags;
    pvi_env_write32(&ctx->nested, 1);
    pvi_context_replain(ctx);
    pvi_context_unlock_alone(ctx);
    /*
     * Before any device can be attached: who takes something out of the parent's table and does not count this context yet has done so before
     * (both hold the parent's lock), so no unit can have met it through this one.
     */
    pvi_env_write32(&d->nested[i], ctx->id);
    pvi_env_acquire(d->host, &parent->lock);
    parent->nr_nested++;
    pvi_env_release(d->host, &parent->lock);
    pvi_context_set_state(ctx, PVI_CTX_LIVE, 0);
    op->ctx = ctx->id;
    op->done = pvi_context_token(ctx); /* as of ALLOC_CONTEXT: for decoders that have to take it back */
    return 0;
}

int pvi_op_alloc_nested(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    int rc;

    if ((op->flags & ~(PVI_NESTED_SUPERVISOR | PVI_NESTED_WRITE_PROTECT)) != 0) {
        return -PVI_EFLAGS;
    }
    if (!d->cfg.nested) {
        return -PVI_EPERM;
    }
    rc = nested_check(d, op);
    if (rc == 0) {
        rc = pvi_domain_enter(d);
    }
    if (rc == 0) {
        rc = nested_make(d, op, g);
        pvi_domain_unclaim(d);
    }
    return rc;
}

void pvi_nested_end(struct pvi_context *ctx)
{
    struct pvi_domain *d = ctx->domain;
    unsigned i;

    for (i = 0; i < PVI_MAX_NESTED; i++) {
        if (d->nested[i] == ctx->id) {
            pvi_env_write32(&d->nested[i], 0);
        }
    }
    pvi_env_acquire(d->host, &ctx->parent->lock);
    ctx->parent->nr_nested--;
    pvi_env_release(d->host, &ctx->parent->lock);
}

struct pvi_context *pvi_nested_child(struct pvi_domain *d, unsigned i)
{
    uint32_t id = pvi_env_read32(&d->nested[i]);

    return id != 0 ? d->slot[id - 1] : NULL;
}

bool pvi_nested_reached(struct pvi_context *ctx)
{
    struct pvi_context *child;
    unsigned i;

    for (i = 0; i < PVI_MAX_NESTED && ctx->nr_nested != 0; i++) {
        child = pvi_nested_child(ctx->domain, i);
        if (child && child->parent == ctx && child->units != 0) {
            return true;
        }
    }
    return false;
}

/* --- flush ----------------------------------------------------------------------------------------- */

static int flush_check(const struct pvi_op *op)
{
    uint64_t first = op->u.guest.first, nr = op->u.guest.nr;

    if ((op->flags & ~PVI_FLUSH_ALL_PASIDS) != 0) {
        return -PVI_EFLAGS;
    }
    if (op->flags != 0) {
        return (first | nr | op->u.guest.pasid) == 0 ? 0 : -PVI_EINVAL;
    }
    if (op->u.guest.pasid >> PASID_BITS != 0) {
        return -PVI_ERANGE;
    }
    if (nr == 0) {
        return first == 0 ? 0 : -PVI_EINVAL;
    }
    return (first | nr) >> (64 - PVI_PAGE_LG2) != 0 || (first + nr - 1) >> (64 - PVI_PAGE_LG2) != 0 ? -PVI_EWRAP : 0;
}

/* The invalidations for one unit, in g->inv; @return how many. What takes more than one submission is cheaper whole. */
static unsigned flush_words(struct pvi_gather *g, const struct pvi_op *op, const struct pvi_unit *u, uint16_t did)
{
    uint64_t at = op->u.guest.first << PVI_PAGE_LG2, last = (op->u.guest.first + op->u.guest.nr - 1) << PVI_PAGE_LG2 | PVI_PAGE_MASK;
    struct pvi_inv *inv = g->inv;
    unsigned nr = 0;

    for (;;) {
        memset(&inv[nr], 0, sizeof(inv[nr]));
        inv[nr].kind = op->flags != 0 ? PVI_INV_DOMAIN : PVI_INV_GUEST;
        inv[nr].did = did;
        inv[nr].pasid = op->u.guest.pasid;
        inv[nr].lg2 = 64;
        if (op->flags != 0 || op->u.guest.nr == 0 || nr == PVI_GATHER_INV - 1 || nr == u->caps.inv_max_nr || !u->caps.page_selective) {
            inv[0] = inv[nr];
            return 1;
        }
        inv[nr].iova = at;
        inv[nr].lg2 = (uint8_t)pvi_gather_block(at, last, u->caps.inv_max_lg2);
        at += (uint64_t)1 << inv[nr].lg2;
        nr++;
        if (at - 1 == last) {
            return nr;
        }
    }
}

/* A unit that the context has left meanwhile has forgotten all of it, whatever this flush came to. */
static void nested_failed(struct pvi_context *ctx, uint64_t units)
{
    pvi_env_acquire(ctx->domain->host, &ctx->lock);
    if ((ctx->units & units) != 0 && ctx->state == PVI_CTX_LIVE) {
        pvi_env_write32(&ctx->state, PVI_CTX_BROKEN);
    }
    pvi_env_release(ctx->domain->host, &ctx->lock);
}

/* A unit that is joined later begins with nothing, one that is left has forgotten all. */
static int nested_flush(struct pvi_context *ctx, const struct pvi_op *op, struct pvi_gather *g)
{
    const struct pvi_system *sys = ctx->domain->cfg.system;
    uint16_t did[PVI_MAX_UNITS];
    uint64_t units, failed = 0;
    unsigned i;
    int err;

    if (pvi_context_state(ctx) == PVI_CTX_BROKEN) {
        return -PVI_EHW;
    }
    pvi_env_acquire(g->host, &ctx->lock);
    units = ctx->units;
    memcpy(did, ctx->did, sizeof(did));
    ctx->flushes += units != 0;
    pvi_env_release(g->host, &ctx->lock);
    for (i = 0; i < sys->nr_units; i++) {
        if ((units >> i & 1) != 0) {
            err = sys->unit[i]->broken ? -PVI_EHW : pvi_host_inv_submit(g->host, sys->unit[i], g->inv, flush_words(g, op, sys->unit[i], did[i]));
            failed |= (uint64_t)(err != 0) << i;
        }
    }
    for (i = 0; i < sys->nr_units; i++) {
        if ((units >> i & 1) != 0) {
            err = pvi_host_inv_wait(g->host, sys->unit[i]);
            failed |= (uint64_t)(err != 0) << i;
        }
    }
    if (failed != 0) {
        nested_failed(ctx, failed);
    }
    return failed != 0 ? -PVI_EHW : 0;
}

int pvi_op_flush_nested(struct pvi_domain *d, const struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    int rc = flush_check(op);

    if (rc != 0) {
        return rc;
    }
    if (op->ctx == 0) {
        return -PVI_EDEFAULT;
    }
    ctx = pvi_domain_context(d, op->ctx);
    if (!ctx) {
        return -PVI_ENOCTX;
    }
    return pvi_env_read32(&ctx->nested) != 0 ? nested_flush(ctx, op, g) : -PVI_ENESTED;
}
