/* SPDX-License-Identifier: MIT */
/*
 * The hidden context of the interface of 2015: made at the first call that changes a mapping, in the steps of enum
 * pvi_bus_state, each resumable from what the domain itself says. Who makes it has the domain's claim.
 */
#include "bus.h"

/* Pages taken from, or given back to, the host between two checkpoints; entries taken down. */
#define BUS_SLICE 64u

static void bus_state(struct pvi_domain *d, enum pvi_bus_state state)
{
    pvi_env_write32(&d->bus_state, state);
}

static int bus_new(struct pvi_domain *d)
{
    struct pvi_bus *bus = pvi_host_mem_alloc(d->host, sizeof(*bus));

    if (!bus) {
        return -PVI_ENOMEM;
    }
    bus->domain = d;
    bus->tables = pvi_bus_maps(d);
    pvi_pool_init(&bus->pool, d->host);
    bus->ctx.domain = d;
    pvi_context_lock_init(&bus->ctx);
    pvi_rev_join(bus);
    d->bus = bus; /* seen by others once the state is */
    bus_state(d, bus->tables ? PVI_BUS_FILLING : PVI_BUS_READY);
    return 0;
}

static int bus_fill(struct pvi_domain *d, struct pvi_gather *g)
{
    struct pvi_bus *bus = d->bus;
    int rc = 0;

    while (rc == 0 && bus->pool.nr_pages < d->cfg.bus_pages) {
        uint32_t left = d->cfg.bus_pages - bus->pool.nr_pages, done;

        rc = pvi_pool_grow(&bus->pool, left < BUS_SLICE ? left : BUS_SLICE, &done);
        rc = rc == 0 ? pvi_checkpoint(g) : rc;
    }
    if (rc == 0) {
        rc = pvi_context_init(&bus->ctx, d, PVI_CTX_BUS, &bus->pool, UINT32_MAX);
    }
    if (rc == 0) {
        bus->ctx.identity = true; /* a device's region may lie in what is copied */
        pvi_context_set_state(&bus->ctx, PVI_CTX_BUILDING, 0);
        bus_state(d, PVI_BUS_BUILDING);
    }
    return rc;
}

/* The default context's content. What cannot be built whole is taken down again, and the next call begins anew. */
static int bus_build(struct pvi_domain *d, struct pvi_gather *g)
{
    struct pvi_context *ctx = &d->bus->ctx;
    int rc = 0;

    if (pvi_context_state(ctx) == PVI_CTX_BUILDING) {
        rc = d->cfg.default_identity || d->cfg.bus_identity ? pvi_context_build(ctx, g) : pvi_bus_copy(d, g);
        if (rc != 0 && rc != -PVI_EPREEMPTED) {
            pvi_context_set_state(ctx, PVI_CTX_DYING, rc);
        }
    }
    if (pvi_context_state(ctx) == PVI_CTX_DYING) {
        rc = pvi_context_teardown(ctx, g);
        if (rc == 0) {
            bus_state(d, PVI_BUS_FILLING);
            rc = ctx->error;
        }
    } else if (rc == 0) {
        bus_state(d, PVI_BUS_TAKING);
    }
    return rc;
}

/* Group by group; who is added meanwhile begins there. */
static int bus_take(struct pvi_domain *d, struct pvi_gather *g)
{
    struct pvi_device *dev = d->devices;
    int rc = 0;

    while (rc == 0 && dev) {
        if (dev->ctx == &d->bus->ctx) {
            dev = dev->next;
            continue;
        }
        /* A batch that happens as a whole counts on where its devices are. */
        rc = dev->ctx->tx ? -PVI_EPREEMPTED : pvi_device_move(d, dev, &d->bus->ctx);
        if (rc == -PVI_ENOMEM || rc == -PVI_EQUOTA) {
            rc = pvi_gather_recover(g, rc); /* moved in the next turn if that gave pages back */
            rc = rc == 0 ? pvi_device_move(d, dev, &d->bus->ctx) : rc;
        }
        rc = rc == 0 ? pvi_checkpoint(g) : rc;
    }
    if (rc == 0) {
        bus_state(d, PVI_BUS_READY);
    }
    return rc;
}

static int bus_step(struct pvi_domain *d, struct pvi_gather *g)
{
    switch (pvi_env_read32(&d->bus_state)) {
    case PVI_BUS_NONE:
        return bus_new(d);
    case PVI_BUS_FILLING:
        return bus_fill(d, g);
    case PVI_BUS_BUILDING:
        return bus_build(d, g);
    default:
        return bus_take(d, g);
    }
}

int pvi_bus_prepare(struct pvi_domain *d, unsigned code, struct pvi_gather *g)
{
    bool maps = code == PVI_OP_BUS_MAP || code == PVI_OP_BUS_UNMAP;
    int rc;

    if (pvi_bus_is_ready(d) || !d->cfg.revmap || code == PVI_OP_FOREIGN_UNMAP || (maps && !pvi_bus_maps(d))) {
        return 0; /* or the operation itself says why not */
    }
    rc = pvi_domain_enter(d);
    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && !pvi_bus_is_ready(d)) {
        rc = bus_step(d, g);
    }
    pvi_domain_unclaim(d);
    return rc;
}

struct pvi_context *pvi_bus_home(struct pvi_domain *d)
{
    uint32_t state = pvi_env_read32(&d->bus_state);

    return (state == PVI_BUS_TAKING || state == PVI_BUS_READY) && d->bus->tables ? &d->bus->ctx : NULL;
}

int pvi_bus_op(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    if (op->code < PVI_OP_BUS_MAP || op->code > PVI_OP_FOREIGN_UNMAP) {
        return -PVI_EINVAL;
    }
    if (!d->cfg.revmap) {
        return -PVI_EPERM;
    }
    if ((op->code == PVI_OP_BUS_MAP || op->code == PVI_OP_BUS_UNMAP) && !pvi_bus_maps(d)) {
        return -PVI_ENOIOMMU;
    }
    if (!pvi_bus_is_ready(d)) {
        return op->code == PVI_OP_FOREIGN_UNMAP ? -PVI_ENOENT : -PVI_ENOTINIT;
    }
    if (op->code == PVI_OP_BUS_MAP || op->code == PVI_OP_BUS_UNMAP) {
        return op->code == PVI_OP_BUS_MAP ? pvi_bus_map(d, op, g) : pvi_bus_unmap(d, op, g);
    }
    op->done = 0;
    if (op->code == PVI_OP_FOREIGN_MAP) {
        return pvi_foreign_map(d, op, g);
    }
    return op->code == PVI_OP_FOREIGN_LOOKUP ? pvi_foreign_lookup(d, op, g) : pvi_foreign_unmap(d, op, g);
}

/* What the reverse map has of a domain that has ended: the leaves go with the context, and their references with them. */
static int bus_end_entries(struct pvi_bus *bus, struct pvi_gather *g)
{
    struct pvi_rev_tuple t;
    struct pvi_frames f;
    unsigned i = 0;

    while (pvi_rev_take_any(bus, &t)) {
        if (!bus->tables && t.last) {
            f.pa = t.pa;
            f.nr = 1;
            f.owe = t.owe;
            pvi_host_frame_put(g->host, g->hdom, &f);
        }
        if (++i % BUS_SLICE == 0 && pvi_checkpoint(g) != 0) {
            return -PVI_EPREEMPTED;
        }
    }
    return 0;
}

static int bus_end_pages(struct pvi_bus *bus, struct pvi_gather *g)
{
    int rc = bus->tables ? pvi_domain_end_context(&bus->ctx, g) : 0;

    if (rc == 0) {
        (void)pvi_gather_flush(g);
    }
    if (rc == 0 && bus->has_scratch && pvi_context_state(&bus->ctx) == PVI_CTX_FREE) { /* else a unit may still reach it */
        void *p = pvi_env_map(g->host, bus->scratch);

        memset(p, 0, PVI_PAGE_SIZE);
        pvi_env_unmap(g->host, p);
        pvi_host_page_free(g->host, bus->scratch);
    }
    bus->has_scratch &= rc != 0;
    while (rc == 0 && pvi_pool_shrink(&bus->pool, BUS_SLICE) == BUS_SLICE) {
        rc = pvi_checkpoint(g);
    }
    return rc;
}

int pvi_bus_end(struct pvi_domain *d, struct pvi_gather *g)
{
    struct pvi_bus *bus = d->bus;
    int rc;

    if (!bus) {
        return 0;
    }
    rc = bus_end_entries(bus, g);
    if (rc == 0 && pvi_rev_used(bus)) {
        rc = -PVI_EPREEMPTED; /* somebody balloons a frame out that was mapped here, and has not flushed yet */
    }
    rc = rc == 0 ? bus_end_pages(bus, g) : rc;
    if (rc == 0) {
        pvi_rev_leave(bus);
        d->bus = NULL;
        bus_state(d, PVI_BUS_NONE);
        pvi_host_mem_free(d->host, bus, sizeof(*bus));
    }
    return rc;
}
