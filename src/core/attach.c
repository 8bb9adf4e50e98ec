/* SPDX-License-Identifier: MIT */
/*
 * Devices and the contexts that they translate through.
 *
 * A move, for a device and its whole group: the target carries the reserved regions of all of them and is known
 * to all units (phase 1), each requester id is switched by one store (phase 2), the units forget what they
 * knew under the old id (phase 3), and only then the old context lets go (phase 4). No requester id
 * is ever without its regions (R10), no id or table is reused before phase 3 is complete (R9, R13). A failure before
 * the end of phase 2 puts everything back.
 */
#include "core.h"

struct pvi_device *pvi_device_find(struct pvi_domain *d, pvi_sbdf sbdf)
{
    struct pvi_device *dev;

    for (dev = d->devices; dev && dev->sbdf.v != sbdf.v; dev = dev->next) {
    }
    return dev;
}

static bool move_concerns(const struct pvi_device *dev, const struct pvi_device *it)
{
    return it == dev || (dev->group != 0 && it->group == dev->group && it->ctx == dev->ctx);
}

/* The context becomes known to the unit under an id of its own, if it is not yet. */
static int context_join(struct pvi_context *ctx, struct pvi_unit *u)
{
    uint64_t bit = (uint64_t)1 << u->index;
    uint16_t did;
    int rc;

    if ((ctx->units & bit) == 0) {
        rc = pvi_host_did_alloc(ctx->domain->host, u, &did);
        if (rc != 0) {
            return rc;
        }
        pvi_env_acquire(ctx->domain->host, &ctx->lock);
        ctx->did[u->index] = did;
        ctx->units |= bit;
        pvi_env_release(ctx->domain->host, &ctx->lock);
    }
    ctx->nr_dev[u->index]++;
    ctx->nr_devices++;
    return 0;
}

/* The unit has forgotten this device under the context's id; after the last one it has forgotten the id. */
static void context_leave(struct pvi_context *ctx, struct pvi_unit *u)
{
    uint16_t did = ctx->did[u->index];

    ctx->nr_devices--;
    if (--ctx->nr_dev[u->index] != 0) {
        return;
    }
    pvi_env_acquire(ctx->domain->host, &ctx->lock);
    ctx->units &= ~((uint64_t)1 << u->index);
    pvi_env_release(ctx->domain->host, &ctx->lock);
    pvi_host_did_free(ctx->domain->host, u, did);
}

static struct pvi_dev_entry context_entry(const struct pvi_context *ctx, const struct pvi_unit *u)
{
    struct pvi_dev_entry e;

    memset(&e, 0, sizeof(e));
    if (ctx) {
        e.translate = true;
        e.levels = ctx->pt.cfg.levels;
        e.did = ctx->did[u->index];
        e.root = ctx->pt.root->pa;
    }
    return e;
}

/* --- phase 1 ------------------------------------------------------------------------------------- */

static int regions_add(struct pvi_device *dev, struct pvi_context *ctx, struct pvi_gather *g)
{
    unsigned i;
    int rc = 0;

    for (i = 0; i < dev->nr_regions; i++) {
        rc = pvi_region_add(ctx, &dev->region[i], g);
        if (rc != 0) {
            break;
        }
    }
    while (rc != 0 && i-- > 0) {
        (void)pvi_region_del(ctx, &dev->region[i], g);
    }
    return rc;
}

static int regions_del(struct pvi_device *dev, struct pvi_context *ctx, struct pvi_gather *g)
{
    unsigned i;
    int rc = 0, err;

    for (i = 0; i < dev->nr_regions; i++) {
        err = pvi_region_del(ctx, &dev->region[i], g);
        rc = err != 0 ? err : rc;
    }
    return rc;
}

static int move_prepare_one(struct pvi_device *dev, struct pvi_context *to, struct pvi_gather *g)
{
    int rc = regions_add(dev, to, g);

    if (rc == 0) {
        rc = context_join(to, dev->unit);
        if (rc != 0) {
            (void)regions_del(dev, to, g);
        }
    }
    return rc;
}

/* Undoes phase 1 for the devices before `end` (all when NULL). */
static void move_unprepare(struct pvi_domain *d, const struct pvi_device *dev, struct pvi_context *to,
                           const struct pvi_device *end)
{
    struct pvi_device *it;

    for (it = d->devices; it != end; it = it->next) {
        if (move_concerns(dev, it)) {
            context_leave(to, it->unit);
            (void)regions_del(it, to, &d->gather);
        }
    }
}

static int move_prepare(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *to)
{
    struct pvi_device *it;

    for (it = d->devices; it; it = it->next) {
        int rc = move_concerns(dev, it) ? move_prepare_one(it, to, &d->gather) : 0;

        if (rc != 0) {
            move_unprepare(d, dev, to, it);
            return rc;
        }
    }
    return 0;
}

/* --- phases 2 and 3 -------------------------------------------------------------------------------- */

/* Queues what a unit must forget of one requester id that translated through `old` (NULL: nothing). */
static int forget(struct pvi_unit *u, uint16_t rid, const struct pvi_context *old,
                  const struct pvi_context *now, bool was_absent)
{
    struct pvi_inv inv[2];
    unsigned nr = 1;

    memset(inv, 0, sizeof(inv));
    inv[0].kind = PVI_INV_DEVICE;
    inv[0].rid = rid;
    inv[0].did = old ? old->did[u->index] : 0;
    inv[0].was_absent = was_absent;
    inv[1].kind = PVI_INV_DOMAIN;
    if (old) {
        inv[1].did = old->did[u->index];
        nr = 2;
    } else if (now && u->caps.np_cache) {
        inv[1].did = now->did[u->index]; /* hwspec 4.2: new entry in caching mode */
        nr = 2;
    }
    return pvi_host_inv_submit(u->host, u, inv, nr);
}

/*
 * Switches all requester ids of one device from one context to another (NULL: blocked) and queues what must be
 * forgotten. On an error those that moved are back, with their invalidation queued as well.
 */
static int device_switch(struct pvi_device *dev, const struct pvi_context *from,
                         const struct pvi_context *to)
{
    struct pvi_dev_entry back = context_entry(from, dev->unit), entry = context_entry(to, dev->unit);
    bool was_absent = false;
    unsigned i;
    int rc = 0, err;

    for (i = 0; i < dev->nr_rids && rc == 0; i++) {
        rc = pvi_host_dev_switch(dev->unit->host, dev->unit, dev->rid[i], &entry, &was_absent);
        if (rc == 0) {
            rc = forget(dev->unit, dev->rid[i], from, to, was_absent);
            i += rc != 0;
        }
        if (rc != 0) {
            break;
        }
    }
    while (rc != 0 && i-- > 0) {
        err = pvi_host_dev_switch(dev->unit->host, dev->unit, dev->rid[i], &back, &was_absent);
        if (err == 0) {
            err = forget(dev->unit, dev->rid[i], to, from, was_absent);
        }
        rc = err != 0 ? -PVI_EHW : rc;
    }
    return rc;
}

static int move_wait(struct pvi_domain *d, const struct pvi_device *dev)
{
    const struct pvi_system *sys = d->cfg.system;
    uint64_t units = 0;
    struct pvi_device *it;
    unsigned i;
    int rc = 0, err;

    for (it = d->devices; it; it = it->next) {
        if (move_concerns(dev, it)) {
            units |= (uint64_t)1 << it->unit->index;
        }
    }
    for (i = 0; i < sys->nr_units; i++) {
        if ((units >> i & 1) != 0) {
            err = pvi_host_inv_wait(d->host, sys->unit[i]);
            rc = err != 0 ? err : rc;
        }
    }
    return rc;
}

static int move_switch(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *from,
                       struct pvi_context *to)
{
    struct pvi_device *it, *back;
    int rc = 0, err;

    for (it = d->devices; it && rc == 0; it = rc == 0 ? it->next : it) {
        rc = move_concerns(dev, it) ? device_switch(it, from, to) : 0;
        if (rc != 0) {
            break;
        }
    }
    for (back = d->devices; rc != 0 && back != it; back = back->next) {
        err = move_concerns(dev, back) ? device_switch(back, to, from) : 0;
        rc = err != 0 ? -PVI_EHW : rc;
    }
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------------- */

/* Nobody knows any more what the units hold of these contexts: nothing of them may be reused. */
static int move_broken(struct pvi_domain *d, struct pvi_context *from, struct pvi_context *to)
{
    struct pvi_context *ctx[2];
    unsigned i;

    ctx[0] = from;
    ctx[1] = to;
    for (i = 0; i < 2; i++) {
        if (ctx[i]) {
            pvi_env_acquire(d->host, &ctx[i]->lock);
            ctx[i]->state = PVI_CTX_BROKEN;
            pvi_env_release(d->host, &ctx[i]->lock);
        }
    }
    return -PVI_EHW;
}

/* Phase 4: the old context lets go, the devices belong to the new one. */
static int move_finish(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *from,
                       struct pvi_context *to)
{
    struct pvi_device *it, *next;
    int rc = 0, err;

    for (it = d->devices; it; it = next) {
        next = it->next;
        if (it == dev || !move_concerns(dev, it)) {
            continue;
        }
        err = from ? (context_leave(from, it->unit), regions_del(it, from, &d->gather)) : 0;
        it->ctx = to;
        rc = err != 0 ? err : rc;
    }
    err = from ? (context_leave(from, dev->unit), regions_del(dev, from, &d->gather)) : 0;
    dev->ctx = to;
    return err != 0 ? err : rc;
}

int pvi_device_move(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *to)
{
    struct pvi_context *from = dev->ctx;
    int rc = to ? move_prepare(d, dev, to) : 0, err;

    if (rc != 0) {
        return rc;
    }
    rc = move_switch(d, dev, from, to);
    err = rc == -PVI_EHW ? rc : move_wait(d, dev);
    if (err != 0) {
        return move_broken(d, from, to);
    }
    if (rc != 0) { /* everything points where it did; the units have forgotten the attempt */
        if (to) {
            move_unprepare(d, dev, to, NULL);
        }
        return rc;
    }
    return move_finish(d, dev, from, to);
}

/* Both ends on the smallest page of the domain's tables. */
static bool device_region_aligned(const struct pvi_domain *d, const struct pvi_region *r)
{
    uint64_t smallest = d->table.page_sizes & (0 - d->table.page_sizes);

    return ((r->first | (r->last + 1)) & (smallest - 1)) == 0;
}

static bool device_valid(const struct pvi_domain *d, const struct pvi_device *dev)
{
    unsigned i;

    if (dev->nr_rids == 0 || dev->nr_rids > PVI_MAX_RIDS || dev->nr_regions > PVI_MAX_DEV_REGIONS ||
        !dev->unit || dev->unit->index >= d->cfg.system->nr_units ||
        d->cfg.system->unit[dev->unit->index] != dev->unit) {
        return false;
    }
    for (i = 0; i < dev->nr_regions; i++) {
        const struct pvi_region *r = &dev->region[i];

        if (r->first > r->last || (r->first & PVI_PAGE_MASK) != 0 ||
            (r->last & PVI_PAGE_MASK) != PVI_PAGE_MASK || r->prot == 0 || (r->prot & ~PVI_RW) != 0 ||
            (d->table.iova_bits < 64 && r->last >> d->table.iova_bits != 0) ||
            r->last >> d->table.pa_bits != 0 || !device_region_aligned(d, r)) {
            return false;
        }
    }
    return true;
}

/* Where a new device begins: with its group, which never is in two contexts, else in the default one. */
static struct pvi_context *device_home(struct pvi_domain *d, const struct pvi_device *dev)
{
    const struct pvi_device *it;

    for (it = d->devices; it; it = it->next) {
        if (dev->group != 0 && it->group == dev->group && it->ctx) {
            return it->ctx;
        }
    }
    return &d->default_ctx;
}

int pvi_device_add(struct pvi_domain *d, struct pvi_device *dev)
{
    struct pvi_context *home;
    int rc;

    if (!d->has_iommu) {
        return -PVI_ENOIOMMU;
    }
    if (!device_valid(d, dev)) {
        return -PVI_EINVAL;
    }
    if (!pvi_domain_claim(d)) {
        return -PVI_EPREEMPTED;
    }
    if (d->dying) {
        rc = -PVI_EDYING;
    } else if (pvi_device_find(d, dev->sbdf)) {
        rc = -PVI_EEXIST;
    } else if (home = device_home(d, dev), pvi_context_state(home) != PVI_CTX_LIVE) {
        rc = pvi_context_state(home) == PVI_CTX_BUILDING ? -PVI_EBUSY : -PVI_EHW;
    } else {
        dev->ctx = NULL;
        dev->next = d->devices;
        d->devices = dev;
        rc = pvi_device_move(d, dev, home);
        if (rc != 0 && rc != -PVI_EHW) {
            d->devices = dev->next;
        }
    }
    pvi_domain_unclaim(d);
    return rc;
}

/* The unit does not obey: its entries block if they still can, and the context's pages are never used again. */
static void device_write_off(struct pvi_device *dev)
{
    struct pvi_dev_entry blocked = context_entry(NULL, dev->unit);
    bool was_absent;
    unsigned i;

    for (i = 0; i < dev->nr_rids; i++) {
        if (pvi_host_dev_switch(dev->unit->host, dev->unit, dev->rid[i], &blocked, &was_absent) != 0) {
            pvi_host_event(dev->unit->host, PVI_EVENT_UNIT_ERROR, dev->unit->index, dev->rid[i]);
        }
    }
    /* The context keeps its bit and its id on this unit: context_end() then writes its tables off. */
    if (dev->ctx) {
        dev->ctx->nr_devices--;
    }
    dev->ctx = NULL;
}

int pvi_device_remove(struct pvi_domain *d, struct pvi_device *dev)
{
    struct pvi_device **link;
    uint32_t group = dev->group;
    int rc;

    if (!pvi_domain_claim(d)) {
        return -PVI_EPREEMPTED;
    }
    dev->group = 0; /* this one alone: the host takes a group away one by one */
    rc = pvi_device_move(d, dev, NULL);
    dev->group = group;
    if (rc == -PVI_EHW) {
        device_write_off(dev);
    }
    if (rc == 0 || rc == -PVI_EHW) {
        for (link = &d->devices; *link != dev; link = &(*link)->next) {
        }
        *link = dev->next;
    }
    pvi_domain_unclaim(d);
    return rc;
}
