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

int pvi_context_join(struct pvi_context *ctx, struct pvi_unit *u)
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
    return 0;
}

void pvi_context_leave(struct pvi_context *ctx, struct pvi_unit *u)
{
    uint16_t did = ctx->did[u->index];

    if (--ctx->nr_dev[u->index] != 0) {
        return;
    }
    pvi_env_acquire(ctx->domain->host, &ctx->lock);
    ctx->units &= ~((uint64_t)1 << u->index);
    pvi_env_release(ctx->domain->host, &ctx->lock);
    pvi_host_did_free(ctx->domain->host, u, did);
}

/* The device is where its entries point. */
static void device_settle(struct pvi_device *dev, struct pvi_context *ctx)
{
    if (dev->ctx) {
        dev->ctx->nr_devices--;
    }
    if (ctx) {
        ctx->nr_devices++;
    }
    dev->ctx = ctx;
}

static struct pvi_dev_entry context_entry(const struct pvi_context *ctx, const struct pvi_unit *u, uint32_t pasid)
{
    const struct pvi_context *table = ctx && ctx->parent ? ctx->parent : ctx;
    struct pvi_dev_entry e;

    memset(&e, 0, sizeof(e));
    e.pasid = pasid;
    if (ctx) {
        e.translate = true;
        e.levels = table->shared_root.a != 0 ? table->shared_levels : table->pt.cfg.levels;
        e.did = ctx->did[u->index];
        e.root = table->shared_root.a != 0 ? table->shared_root : table->pt.root->pa;
        e.guest = ctx->guest;
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
    int rc = to->parent && dev->nr_regions != 0 ? -PVI_ERESERVED : regions_add(dev, to, g); /* whether they stay mapped 1:1 there is the guest's say */

    if (rc == 0) {
        rc = pvi_context_join(to, dev->unit);
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
            pvi_context_leave(to, it->unit);
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

/* Queues what a unit must forget of one requester id, or PASID of it, that translated through `old` (NULL: nothing). */
static int forget(struct pvi_unit *u, uint16_t rid, uint32_t pasid, const struct pvi_context *old,
                  const struct pvi_context *now, bool was_absent)
{
    struct pvi_inv inv[2];
    unsigned nr = 1;

    memset(inv, 0, sizeof(inv));
    inv[0].kind = pasid != 0 ? PVI_INV_PASID : PVI_INV_DEVICE;
    inv[0].rid = rid;
    inv[0].pasid = pasid;
    inv[0].did = old ? old->did[u->index] : pasid != 0 && now ? now->did[u->index] : 0;
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

int pvi_device_switch(struct pvi_device *dev, uint32_t pasid, const struct pvi_context *from, const struct pvi_context *to)
{
    struct pvi_dev_entry back = context_entry(from, dev->unit, pasid), entry = context_entry(to, dev->unit, pasid);
    bool was_absent = false;
    unsigned i;
    int rc = 0, err;

    for (i = 0; i < dev->nr_rids && rc == 0; i++) {
        rc = pvi_host_dev_switch(dev->unit->host, dev->unit, dev->rid[i], &entry, &was_absent);
        if (rc == 0) {
            rc = forget(dev->unit, dev->rid[i], pasid, from, to, was_absent);
            i += rc != 0;
        }
        if (rc != 0) {
            break;
        }
    }
    while (rc != 0 && i-- > 0) {
        err = pvi_host_dev_switch(dev->unit->host, dev->unit, dev->rid[i], &back, &was_absent);
        if (err == 0) {
            err = forget(dev->unit, dev->rid[i], pasid, to, from, was_absent);
        }
        if (err != 0) {
            dev->unit->broken = true; /* some entry points where nobody books the device: trust nothing it says */
            rc = -PVI_EHW;
        }
    }
    return rc;
}

void pvi_device_block(struct pvi_device *dev, uint32_t pasid, const struct pvi_context *of)
{
    struct pvi_dev_entry blocked = context_entry(NULL, dev->unit, pasid);
    bool was_absent;
    unsigned i;
    int rc;

    for (i = 0; i < dev->nr_rids; i++) {
        rc = pvi_host_dev_switch(dev->unit->host, dev->unit, dev->rid[i], &blocked, &was_absent);
        if (rc == 0 && of) {
            rc = forget(dev->unit, dev->rid[i], pasid, of, NULL, was_absent);
        }
        if (rc != 0) {
            pvi_host_event(dev->unit->host, PVI_EVENT_UNIT_ERROR, dev->unit->index, dev->rid[i]);
            dev->unit->broken |= pasid != 0;
        }
    }
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
        rc = move_concerns(dev, it) ? pvi_device_switch(it, 0, from, to) : 0;
        if (rc != 0) {
            break;
        }
    }
    for (back = d->devices; rc != 0 && back != it; back = back->next) {
        err = move_concerns(dev, back) ? pvi_device_switch(back, 0, to, from) : 0;
        rc = err != 0 ? -PVI_EHW : rc;
    }
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------------- */

void pvi_context_break(struct pvi_context *ctx)
{
    if (ctx && pvi_context_state(ctx) == PVI_CTX_LIVE) {
        pvi_context_set_state(ctx, PVI_CTX_BROKEN, -PVI_EHW);
    }
}

/*
 * Nobody knows any more what some unit holds of these contexts. Both stay joined to the units for ever, so that
 * nothing of them is reused; the devices belong to where their entries point.
 */
static int move_broken(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *from,
                       struct pvi_context *to, bool switched)
{
    struct pvi_device *it;

    pvi_context_break(from);
    pvi_context_break(to);
    for (it = d->devices; it && switched; it = it->next) {
        if (it != dev && move_concerns(dev, it)) {
            device_settle(it, to);
        }
    }
    if (switched) {
        device_settle(dev, to); /* last: the others are found by where it was */
    }
    return -PVI_EHW;
}

/* Phase 4: the old context lets go, the devices belong to the new one. */
static int move_finish(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *from,
                       struct pvi_context *to)
{
    struct pvi_device *it;
    int rc = 0, err;

    for (it = d->devices; it; it = it->next) {
        if (it != dev && move_concerns(dev, it)) {
            device_settle(it, to);
            pvi_context_leave(from, it->unit); /* equal to dev's, so not NULL: no listed device is without one */
            err = regions_del(it, from, &d->gather);
            rc = err != 0 ? err : rc;
        }
    }
    device_settle(dev, to);
    if (from) {
        pvi_context_leave(from, dev->unit);
        err = regions_del(dev, from, &d->gather);
        rc = err != 0 ? err : rc;
    }
    return rc;
}

int pvi_device_move(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *to)
{
    struct pvi_context *from = dev->ctx;
    int rc = to ? move_prepare(d, dev, to) : 0, err;

    if (rc != 0) {
        return rc;
    }
    rc = move_switch(d, dev, from, to);
    err = move_wait(d, dev); /* also after a failure: units that obey have forgotten then */
    if (err != 0 || rc == -PVI_EHW) {
        return move_broken(d, dev, from, to, rc == 0);
    }
    if (rc != 0) { /* everything points where it did; the units have forgotten the attempt */
        if (to) {
            move_unprepare(d, dev, to, NULL);
        }
        return rc;
    }
    return move_finish(d, dev, from, to);
}

int pvi_device_hold(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *ctx)
{
    return move_prepare(d, dev, ctx);
}

void pvi_device_let_go(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *ctx)
{
    move_unprepare(d, dev, ctx, NULL);
}

/* Both ends on the smallest page of the domain's tables, within their reach, outside of all windows. */
static bool region_valid(const struct pvi_domain *d, const struct pvi_region *r)
{
    uint64_t smallest = d->table.page_sizes & (0 - d->table.page_sizes), at;

    return r->first <= r->last && ((r->first | (r->last + 1)) & (smallest - 1)) == 0 && r->prot != 0 &&
           (r->prot & ~PVI_RW) == 0 && (d->table.iova_bits == 64 || r->last >> d->table.iova_bits == 0) &&
           r->last >> d->table.pa_bits == 0 && pvi_domain_clear(d, r->first, r->last, &at);
}

static bool device_has_rid(const struct pvi_device *dev, const struct pvi_unit *u, uint16_t rid)
{
    unsigned i;

    for (i = 0; i < dev->nr_rids; i++) {
        if (dev->unit == u && dev->rid[i] == rid) {
            return true;
        }
    }
    return false;
}

/* Another device that issues one of dev's requester ids. With `apart`, only one that need not move with it. */
static bool device_shares(const struct pvi_domain *d, const struct pvi_device *dev, uint16_t rid, bool apart)
{
    const struct pvi_device *it;

    for (it = d->devices; it; it = it->next) {
        if (it != dev && device_has_rid(it, dev->unit, rid) &&
            !(apart && dev->group != 0 && it->group == dev->group)) {
            return true;
        }
    }
    return false;
}

bool pvi_device_shares(const struct pvi_domain *d, const struct pvi_device *dev)
{
    unsigned i;

    for (i = 0; i < dev->nr_rids; i++) {
        if (device_shares(d, dev, dev->rid[i], false)) {
            return true;
        }
    }
    return false;
}

/* Has a device PASIDs that issues one of dev's requester ids? Their entries would be of both. */
static bool device_meets_pasids(const struct pvi_domain *d, const struct pvi_device *dev)
{
    const struct pvi_device *it;
    unsigned i;

    for (it = d->devices; it; it = it->next) {
        for (i = 0; it->pasids && i < dev->nr_rids; i++) {
            if (device_has_rid(it, dev->unit, dev->rid[i])) {
                return true;
            }
        }
    }
    return false;
}

static bool device_valid(const struct pvi_domain *d, const struct pvi_device *dev)
{
    unsigned i;

    if (dev->nr_rids > PVI_MAX_RIDS || dev->nr_regions > PVI_MAX_DEV_REGIONS ||
        !dev->unit || dev->unit->index >= d->cfg.system->nr_units ||
        d->cfg.system->unit[dev->unit->index] != dev->unit) {
        return false;
    }
    for (i = 0; i < dev->nr_regions; i++) {
        if (!region_valid(d, &dev->region[i])) {
            return false;
        }
    }
    for (i = 0; i < dev->nr_rids; i++) {
        if (device_shares(d, dev, dev->rid[i], true)) {
            return false;
        }
    }
    return true;
}

/* Where a new device begins: with its group, which never is in two contexts, else in the default one, or in the hidden one that has taken over. */
static struct pvi_context *device_home(struct pvi_domain *d, const struct pvi_device *dev)
{
    struct pvi_context *bus = pvi_bus_home(d);
    const struct pvi_device *it;

    for (it = d->devices; it; it = it->next) {
        if (dev->group != 0 && it->group == dev->group) {
            return it->ctx;
        }
    }
    return bus ? bus : &d->default_ctx;
}

/*
 * The unit does not obey: the device's ids block if they still can. Its context keeps its bit and its id on the unit:
 * context_end() then writes the root off.
 */
static void device_write_off(struct pvi_device *dev)
{
    pvi_device_block(dev, 0, NULL);
    device_settle(dev, NULL);
}

/*
 * Moves one device alone, and of its ids those that no other device has: the others are where their group is, and stay
 * there.
 */
static int device_move_own(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *to)
{
    uint16_t rid[PVI_MAX_RIDS];
    uint8_t nr = dev->nr_rids, kept = 0, i;
    uint32_t group = dev->group;
    int rc;

    memcpy(rid, dev->rid, sizeof(rid));
    for (i = 0; i < nr; i++) {
        if (!device_shares(d, dev, rid[i], false)) {
            dev->rid[kept++] = rid[i];
        }
    }
    dev->nr_rids = kept;
    dev->group = 0;
    rc = pvi_device_move(d, dev, to);
    if (rc == -PVI_EHW) {
        device_write_off(dev);
    }
    memcpy(dev->rid, rid, sizeof(rid));
    dev->nr_rids = nr;
    dev->group = group;
    return rc;
}

static int device_enter(struct pvi_domain *d, struct pvi_device *dev)
{
    struct pvi_context *home;
    int rc;

    if (!device_valid(d, dev)) {
        return -PVI_EINVAL;
    }
    if (pvi_device_find(d, dev->sbdf)) {
        return -PVI_EEXIST;
    }
    home = device_home(d, dev);
    if (pvi_context_attachable(home) != 0 || device_meets_pasids(d, dev)) {
        return -PVI_EBUSY;
    }
    if (home->tx) {
        return -PVI_EPREEMPTED;
    }
    dev->ctx = NULL;
    dev->pasids = NULL;
    dev->leaving = false;
    dev->hw_error = 0;
    dev->next = d->devices;
    d->devices = dev;
    rc = device_move_own(d, dev, home);
    if (rc != 0) {
        d->devices = dev->next;
    }
    return rc;
}

int pvi_device_add(struct pvi_domain *d, struct pvi_device *dev)
{
    int rc;

    if (!d->has_iommu) {
        return d->passthrough == PVI_PASSTHROUGH_DISABLED ? -PVI_EOPNOTSUPP : -PVI_ENOIOMMU;
    }
    rc = pvi_domain_enter(d);
    if (rc == 0) {
        rc = device_enter(d, dev);
        pvi_domain_unclaim(d);
    }
    return rc;
}

/* First what it does under PASIDs: their entries hang on those of its requester ids. */
static int device_leave(struct pvi_domain *d, struct pvi_device *dev)
{
    int rc, err;

    dev->leaving = true;
    rc = pvi_pasids_drop(d, dev, NULL, &d->gather);
    if (rc != 0) {
        return rc;
    }
    err = device_move_own(d, dev, NULL);
    rc = dev->hw_error;
    dev->leaving = false;
    dev->hw_error = 0;
    return err != 0 ? err : rc;
}

int pvi_device_remove(struct pvi_domain *d, struct pvi_device *dev)
{
    struct pvi_device **link;
    int rc;

    if (!pvi_domain_claim(d)) {
        return -PVI_EPREEMPTED;
    }
    for (link = &d->devices; *link && *link != dev; link = &(*link)->next) {
    }
    rc = d->tx.batch && pvi_domain_dying(d) ? pvi_tx_abandon(d) : 0;
    if (rc == 0) { /* a transaction counts on the devices of its contexts */
        rc = !*link ? -PVI_ENODEV : dev->ctx->tx ? -PVI_EPREEMPTED : device_leave(d, dev);
    }
    if (*link && !dev->ctx) { /* whatever its old context has complained of */
        *link = dev->next;
    }
    pvi_domain_unclaim(d);
    return rc;
}
