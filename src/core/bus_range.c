/* SPDX-License-Identifier: MIT */
/*
 * Leaves of the hidden context that are changed only if they are what the caller thinks: looked at and changed under one lock,
 * as several kinds of mapping, each with rules of its own, share one table.
 */
#include "bus.h"

/* Is [first, last] mapped as c says? A lock of the context is held; EBUSY: look again, alone. */
static CORE_NOINLINE int cut_look(struct pvi_context *ctx, struct pvi_bus_cut *c, uint64_t first, uint64_t last)
{
    uint64_t at = first, end;
    int rc;

    for (;;) {
        struct pvi_pt_leaf leaf;

        rc = ctx->pt.cfg.ops->lookup(&ctx->pt, at, &leaf);
        if (rc == -PVI_ENOENT && c->holes) {
            end = at | ctx->pt.page_mask;
        } else if (rc != 0) {
            return rc;
        } else {
            if ((c->owes >> leaf.owe & 1) == 0) {
                return -PVI_EPERM;
            }
            if (c->pa && leaf.pa != c->pa->a) {
                return -PVI_ENOENT;
            }
            c->prot = leaf.prot;
            end = at | (((uint64_t)1 << leaf.lg2) - 1);
        }
        if (end >= last) {
            return 0;
        }
        at = end + 1;
    }
}

/* Looks until nobody disturbs; the context is had alone. */
static CORE_NOINLINE int cut_look_alone(struct pvi_context *ctx, struct pvi_bus_cut *c, uint64_t first, uint64_t last)
{
    int rc;

    do { /* nothing new is taken away meanwhile: this ends */
        rc = cut_look(ctx, c, first, last);
    } while (rc == -PVI_EBUSY);
    return rc;
}

static int cut_step(struct pvi_context *ctx, struct pvi_bus_cut *c, struct pvi_pt_unmap *r, struct pvi_gather *g)
{
    uint64_t at;
    int rc;

    if (r->complete) { /* nothing is left but empty tables to take away */
        return pvi_context_state(ctx) == PVI_CTX_LIVE ? ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, r, g) : 0;
    }
    rc = pvi_context_open(ctx, r->next, r->last, &at);
    if (rc == 0) {
        rc = r->shared ? cut_look(ctx, c, r->next, r->last) : cut_look_alone(ctx, c, r->next, r->last);
        rc = rc == -PVI_EBUSY ? PVI_PT_ALONE : rc;
    }
    return rc == 0 ? ctx->pt.cfg.ops->unmap(&ctx->pt, ctx, r, g) : rc;
}

int pvi_bus_cut(struct pvi_context *ctx, struct pvi_bus_cut *c, struct pvi_gather *g)
{
    struct pvi_pt_unmap r;
    struct pvi_stripe *stripe;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.first = c->first;
    r.next = c->first;
    r.last = c->last;
    r.holes = c->holes;
    while (rc == 0 && !r.complete) {
        rc = pvi_gather_prepare(g, ctx);
        if (rc != 0) {
            break;
        }
        r.shared = true;
        stripe = pvi_context_lock_gigabyte(ctx, r.next);
        rc = cut_step(ctx, c, &r, g);
        pvi_env_release(g->host, &stripe->lock);
        if (rc == PVI_PT_ALONE || r.climb) {
            r.shared = false;
            pvi_context_lock_alone(ctx);
            rc = cut_step(ctx, c, &r, g);
            pvi_context_unlock_alone(ctx);
        }
        rc = rc == -PVI_EBUSY ? pvi_gather_flush(g) : pvi_gather_recover(g, rc);
    }
    return rc;
}

int pvi_bus_leaf(struct pvi_context *ctx, const struct pvi_rev_tuple *t, struct pvi_gather *g)
{
    struct pvi_pt_map r;
    uint64_t at;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.iova = t->dfn.f << PVI_PAGE_LG2;
    r.pa = t->pa.a;
    r.len = PVI_PAGE_SIZE;
    r.prot = t->prot;
    r.owe = t->owe;
    while (rc == 0 && r.done == 0) { /* tables in the way may take a slice of their own */
        rc = pvi_context_map_slice(ctx, &r, g, &at);
    }
    pvi_gather_put_spare(g);
    return rc;
}

static int swap_step(struct pvi_context *ctx, struct pvi_bus_cut *c, struct pvi_pt_map *r, struct pvi_gather *g)
{
    uint64_t at;
    int rc = pvi_context_open(ctx, c->first, c->last, &at);

    if (rc == 0) {
        rc = r->shared ? cut_look(ctx, c, c->first, c->last) : cut_look_alone(ctx, c, c->first, c->last);
        rc = rc == -PVI_EBUSY ? PVI_PT_ALONE : rc;
    }
    if (rc != 0) {
        return rc == -PVI_EPERM ? -PVI_ENOENT : rc;
    }
    r->prot = c->prot;
    return ctx->pt.cfg.ops->map(&ctx->pt, ctx, r, g);
}

int pvi_bus_swap(struct pvi_bus *bus, pvi_dfn dfn, pvi_pa pa, struct pvi_gather *g)
{
    struct pvi_context *ctx = &bus->ctx;
    struct pvi_bus_cut c;
    struct pvi_pt_map r;
    struct pvi_stripe *stripe;
    int rc = 0;

    memset(&c, 0, sizeof(c));
    c.first = dfn.f << PVI_PAGE_LG2;
    c.last = c.first | PVI_PAGE_MASK;
    c.owes = REV_FOREIGN;
    c.pa = &pa;
    memset(&r, 0, sizeof(r));
    r.iova = c.first;
    r.len = PVI_PAGE_SIZE;
    r.pa = bus->scratch.a;
    r.owe = PVI_OWE_SCRATCH;
    r.replace = true;
    while (rc == 0 && r.done < r.len) {
        rc = pvi_gather_prepare(g, ctx);
        if (rc != 0) {
            break;
        }
        r.shared = true;
        stripe = pvi_context_lock_gigabyte(ctx, r.iova);
        rc = swap_step(ctx, &c, &r, g);
        pvi_env_release(g->host, &stripe->lock);
        if (rc == PVI_PT_ALONE) {
            r.shared = false;
            pvi_context_lock_alone(ctx);
            rc = swap_step(ctx, &c, &r, g);
            pvi_context_unlock_alone(ctx);
        }
        rc = rc == -PVI_EBUSY ? pvi_gather_flush(g) : rc;
    }
    return rc;
}
