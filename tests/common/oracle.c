/* SPDX-License-Identifier: MIT */
/* See oracle.h: contexts, devices, regions. The judgement of operations is in oracle_ops.c. */
#include "oracle.h"

#include <string.h>

#include "check.h"
#include "guest.h"

void orc_init(struct orc *o)
{
    for (unsigned i = 0; i < ORC_CONTEXTS; i++) {
        o->ctx[i].map = flat_new();
    }
    o->ctx[0].live = true;
}

void orc_fini(struct orc *o)
{
    for (unsigned i = 0; i < ORC_CONTEXTS; i++) {
        flat_free(o->ctx[i].map);
        o->ctx[i].map = NULL;
    }
}

void orc_copy(struct orc *to, const struct orc *from)
{
    orc_fini(to);
    *to = *from;
    for (unsigned i = 0; i < ORC_CONTEXTS; i++) {
        to->ctx[i].map = flat_copy(from->ctx[i].map);
    }
}

bool orc_hole(const struct orc *o, uint64_t dfn, uint64_t nr, uint64_t *at)
{
    bool met = false;

    for (unsigned i = 0; i < o->nr_holes; i++) {
        uint64_t begin = o->hole[i][0] > dfn ? o->hole[i][0] : dfn;

        if (begin <= dfn + (nr - 1) && begin <= o->hole[i][1] && (!met || begin < *at)) {
            *at = begin;
            met = true;
        }
    }
    return met;
}

bool orc_region(const struct orc *o, unsigned ctx, uint64_t dfn, uint64_t nr, uint64_t *at)
{
    bool met = false;

    for (unsigned i = 0; i < ORC_REGIONS; i++) {
        const struct orc_region *r = &o->ctx[ctx].region[i];
        uint64_t begin = r->first > dfn ? r->first : dfn;

        if (r->count != 0 && begin <= dfn + (nr - 1) && begin <= r->last && (!met || begin < *at)) {
            *at = begin;
            met = true;
        }
    }
    return met;
}

struct orc_dev *orc_dev(struct orc *o, uint32_t sbdf)
{
    for (unsigned i = 0; i < ORC_DEVICES; i++) {
        if (o->dev[i].present && o->dev[i].dev->sbdf.v == sbdf) {
            return &o->dev[i];
        }
    }
    return NULL;
}

/* --- identity ------------------------------------------------------------------------------------- */

void orc_build(struct orc *o, unsigned ctx)
{
    for (unsigned i = 0; i < o->nr_identity; i++) {
        uint64_t end = o->identity[i][0] + o->identity[i][1], gfn, hole = 0;
        unsigned prot = o->identity_prot[i];
        struct guest_frame f;

        end = end > o->last_pfn + 1 ? o->last_pfn + 1 : end;
        gfn = (o->identity[i][0] + o->page - 1) / o->page * o->page;
        for (; gfn + o->page <= end; gfn += o->page) {
            if (!orc_hole(o, gfn, o->page, &hole)) {
                CHECK_EQ(guest_run(gfn, o->page, &f), o->page);
                CHECK(flat_map(o->ctx[ctx].map, gfn, o->page, f.pa, prot,
                               (prot & PVI_WRITE) != 0 ? f.owe_w : f.owe_r));
            }
        }
    }
    o->ctx[ctx].identity = true;
}

/* --- regions and devices -------------------------------------------------------------------------- */

static struct orc_region *region_same(struct orc_ctx *c, const struct pvi_region *r)
{
    for (unsigned i = 0; i < ORC_REGIONS; i++) {
        if (c->region[i].count != 0 && c->region[i].first == r->first >> 12 && c->region[i].last == r->last >> 12) {
            return &c->region[i];
        }
    }
    return NULL;
}

/* Is all of it mapped 1:1 with these rights? */
static bool mapped_alike(const struct flat *map, const struct pvi_region *r)
{
    uint64_t pfn = r->first >> 12, pa;
    struct flat_run run;

    while (pfn <= r->last >> 12) {
        if (!flat_lookup(map, pfn, &run, &pa) || pa != pfn << 12 || (run.perm & r->prot) != r->prot) {
            return false;
        }
        pfn = run.last + 1;
    }
    return true;
}

static int region_in(struct orc *o, unsigned ctx, const struct pvi_region *r)
{
    struct orc_ctx *c = &o->ctx[ctx];
    struct orc_region *same = region_same(c, r);
    uint64_t first = r->first >> 12, nr = (r->last >> 12) - first + 1, at;
    bool inherited = c->identity && orc_window(o, ctx, first, nr, &at) != 0 && mapped_alike(c->map, r);
    unsigned i = 0;

    if (same) {
        same->count += same->prot == r->prot;
        return same->prot == r->prot ? 0 : -PVI_EEXIST;
    }
    if (orc_region(o, ctx, first, nr, &at)) {
        return -PVI_EEXIST;
    }
    while (i < ORC_REGIONS && c->region[i].count != 0) {
        i++;
    }
    if (i == ORC_REGIONS) {
        return -PVI_ENOSPC;
    }
    if (!inherited && !flat_map(c->map, first, nr, r->first, r->prot, PVI_OWE_NONE)) {
        return -PVI_EEXIST;
    }
    c->region[i] = (struct orc_region){first, r->last >> 12, 1, r->prot, inherited};
    return 0;
}

static void region_out(struct orc *o, unsigned ctx, const struct pvi_region *r)
{
    struct orc_ctx *c = &o->ctx[ctx];
    struct orc_region *same = region_same(c, r);

    CHECK(same);
    if (--same->count == 0 && !same->inherited) {
        CHECK_EQ(flat_unmap(c->map, same->first, same->last - same->first + 1), same->last - same->first + 1);
    }
}

static int device_in(struct orc *o, unsigned ctx, const struct pvi_device *dev)
{
    if (o->ctx[ctx].nested && dev->nr_regions != 0) {
        return -PVI_ERESERVED;
    }
    for (unsigned i = 0; i < dev->nr_regions; i++) {
        int rc = region_in(o, ctx, &dev->region[i]);

        while (rc != 0 && i-- > 0) {
            region_out(o, ctx, &dev->region[i]);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void device_out(struct orc *o, unsigned ctx, const struct pvi_device *dev)
{
    for (unsigned i = 0; i < dev->nr_regions; i++) {
        region_out(o, ctx, &dev->region[i]);
    }
}

static bool concerned(const struct orc_dev *of, const struct orc_dev *it)
{
    return it->present && (it == of || (of->dev->group != 0 && it->dev->group == of->dev->group && it->ctx == of->ctx));
}

/* Moves a device and its group, or nothing. */
int orc_move(struct orc *o, struct orc_dev *of, unsigned to)
{
    unsigned from = of->ctx;
    int rc = 0;

    for (unsigned i = 0; i < ORC_DEVICES; i++) {
        rc = concerned(of, &o->dev[i]) ? device_in(o, to, o->dev[i].dev) : 0;
        while (rc != 0 && i-- > 0) {
            if (concerned(of, &o->dev[i])) {
                device_out(o, to, o->dev[i].dev);
            }
        }
        if (rc != 0) {
            return rc;
        }
    }
    for (unsigned i = 0; i < ORC_DEVICES; i++) {
        if (&o->dev[i] != of && concerned(of, &o->dev[i])) {
            device_out(o, from, o->dev[i].dev);
            o->dev[i].ctx = to;
        }
    }
    device_out(o, from, of->dev);
    of->ctx = to;
    return 0;
}

int orc_add(struct orc *o, const struct pvi_device *dev)
{
    unsigned ctx = 0, slot = 0;
    int rc;

    if (orc_dev(o, dev->sbdf.v)) {
        return -PVI_EEXIST;
    }
    for (unsigned i = 0; i < ORC_DEVICES; i++) {
        if (dev->group != 0 && o->dev[i].present && o->dev[i].dev->group == dev->group) {
            ctx = o->dev[i].ctx;
        }
    }
    while (o->dev[slot].present) {
        slot++;
    }
    rc = device_in(o, ctx, dev);
    if (rc == 0) {
        o->dev[slot] = (struct orc_dev){true, ctx, dev};
    }
    return rc;
}

void orc_remove(struct orc *o, const struct pvi_device *dev)
{
    struct orc_dev *d = orc_dev(o, dev->sbdf.v);

    CHECK(d);
    orc_drop_pasids(o, 0, dev);
    device_out(o, d->ctx, dev);
    d->present = false;
}
