/* SPDX-License-Identifier: MIT */
/*
 * The hooks of sync_pt and share_pt. A hook changes the default context's table slice by slice under the context's own locks, as
 * operations of a batch do, but without checkpoints: the caller may hold the host's p2m lock. What it brings, a gather and
 * the additions that wait for their neighbours, is its own, so that hooks of several CPUs meet in the table alone.
 */
#include "core.h"

/* What is done to the table. */
enum sync_what {
    SYNC_MAP,   /* the run that waits */
    SYNC_UNMAP,
    SYNC_RIGHTS
};

/* What hooks leave alone. */
enum sync_kind {
    SYNC_CLEAR, /* nothing */
    SYNC_HOLE,  /* addresses that no unit translates */
    SYNC_REGION /* a reserved region of a device */
};

struct sync_obstacle {
    uint64_t first, last;
    enum sync_kind kind;
};

/* One slice's bounds, what to do with them, and where it stands. */
struct sync_piece {
    uint64_t first, last;
    uint64_t next; /* first byte that is not done */
    enum sync_what what;
    unsigned prot; /* SYNC_RIGHTS */
};

/* Frames of RAM within one naturally aligned gigabyte: what one run can be, so that one lock serves it. */
#define SYNC_RUN_LG2 18u

void pvi_sync_init(struct pvi_sync *s, struct pvi_domain *d)
{
    memset(s, 0, sizeof(*s));
    s->domain = d;
    s->first = UINT64_MAX;
    pvi_gather_init(&s->gather, d->host, d->cfg.hdom, d->has_iommu ? d->table.ops : NULL);
}

/* --- what an error is about ------------------------------------------------------------------------ */

static void sync_name(struct pvi_sync_left *left, uint64_t first, uint64_t last)
{
    if (left->nr != 0) { /* one range for all of it */
        uint64_t begin = left->dfn.f << PVI_PAGE_LG2, end = ((left->dfn.f + left->nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;

        first = begin < first ? begin : first;
        last = end > last ? end : last;
    }
    left->dfn.f = first >> PVI_PAGE_LG2;
    left->nr = ((last - first) >> PVI_PAGE_LG2) + 1;
}

static void sync_forget(struct pvi_sync *s)
{
    s->missing.nr = 0;
    s->kept.nr = 0;
}

/* --- pieces ----------------------------------------------------------------------------------------- */

static void sync_meet(struct sync_obstacle *o, uint64_t first, uint64_t last, uint64_t begin, uint64_t end, enum sync_kind kind)
{
    begin = begin > first ? begin : first;
    if (begin <= last && first <= end && (o->kind == SYNC_CLEAR || begin < o->first)) {
        o->first = begin;
        o->last = end < last ? end : last;
        o->kind = kind;
    }
}

/* The first window or region in [first, last]. A region that comes later is met by the slice. */
static struct sync_obstacle sync_look(struct pvi_context *ctx, uint64_t first, uint64_t last)
{
    const struct pvi_domain *d = ctx->domain;
    struct sync_obstacle o = {0, 0, SYNC_CLEAR};
    unsigned i;

    for (i = 0; i < d->nr_holes; i++) {
        sync_meet(&o, first, last, d->hole[i].first, d->hole[i].last, SYNC_HOLE);
    }
    if (pvi_env_read32(&ctx->nr_regions) != 0) {
        pvi_env_acquire(d->host, &ctx->lock);
        for (i = 0; i < PVI_MAX_CTX_REGIONS; i++) {
            if (ctx->region[i].count != 0) {
                sync_meet(&o, first, last, ctx->region[i].first, ctx->region[i].last, SYNC_REGION);
            }
        }
        pvi_env_release(d->host, &ctx->lock);
    }
    return o;
}

static int sync_map(struct pvi_sync *s, struct pvi_context *ctx, struct sync_piece *p)
{
    struct pvi_pt_map r;
    uint64_t at;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.iova = p->first;
    r.pa = s->run.pa + (p->first - (s->run.dfn << PVI_PAGE_LG2));
    r.len = p->last - p->first + 1;
    r.prot = s->run.prot;
    r.owe = PVI_OWE_NONE;
    while (rc == 0 && r.done < r.len) {
        rc = pvi_context_map_slice(ctx, &r, &s->gather, &at);
    }
    p->next = r.iova + r.done;
    return rc;
}

static int sync_unmap(struct pvi_sync *s, struct pvi_context *ctx, struct sync_piece *p)
{
    struct pvi_pt_unmap r;
    uint64_t at;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.first = p->first;
    r.next = p->first;
    r.last = p->last;
    r.holes = true;
    while (rc == 0 && !r.complete) {
        rc = pvi_context_unmap_slice(ctx, &r, &s->gather, &at);
    }
    p->next = r.next;
    return r.complete ? 0 : rc;
}

static int sync_rights(struct pvi_sync *s, struct pvi_context *ctx, struct sync_piece *p)
{
    struct pvi_pt_change r;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.first = p->first;
    r.next = p->first;
    r.last = p->last;
    r.prot = (uint8_t)p->prot;
    r.owe = PVI_PT_KEEP;
    while (rc == 0 && !r.complete) {
        rc = pvi_context_protect_slice(ctx, &r, &s->gather);
    }
    p->next = r.next;
    return rc;
}

/* One piece without windows and regions. */
static int sync_piece(struct pvi_sync *s, struct pvi_context *ctx, struct sync_piece *p)
{
    int rc;

    s->first = p->first < s->first ? p->first : s->first;
    s->last = p->last > s->last ? p->last : s->last;
    /* Cuts of what is taken away may use the last pages; rights that can only grow are no better than additions. */
    s->gather.reserve = p->what == SYNC_UNMAP || (p->what == SYNC_RIGHTS && p->prot != PVI_RW);
    rc = p->what == SYNC_MAP ? sync_map(s, ctx, p) : p->what == SYNC_UNMAP ? sync_unmap(s, ctx, p) : sync_rights(s, ctx, p);
    s->gather.reserve = false;
    /* A context that has ended has no device: nothing is in reach any more. */
    return rc == -PVI_ENOCTX && p->what != SYNC_MAP ? 0 : rc;
}

/*
 * Does it all over [first, last], but for windows and regions. An error of one piece ends it; the frames that it is about are
 * named from there to the end.
 */
static int sync_do(struct pvi_sync *s, enum sync_what what, unsigned prot, uint64_t first, uint64_t last)
{
    struct pvi_context *ctx = &s->domain->default_ctx;
    int rc = 0, kept = 0;

    for (;;) {
        struct sync_obstacle o = sync_look(ctx, first, last);
        struct sync_piece p = {first, o.kind == SYNC_CLEAR ? last : o.first - 1, first, what, prot};

        rc = o.kind == SYNC_CLEAR || o.first != first ? sync_piece(s, ctx, &p) : 0;
        if (rc == -PVI_ERESERVED) {
            first = p.next; /* a region has come: look again */
            continue;
        }
        if (rc != 0) {
            sync_name(what == SYNC_MAP ? &s->missing : &s->kept, p.next, last);
            break;
        }
        if (o.kind == SYNC_REGION && what != SYNC_MAP) {
            sync_name(&s->kept, o.first, o.last);
            kept = -PVI_ERESERVED;
        } else if (o.kind != SYNC_CLEAR && what == SYNC_MAP) {
            s->stepped += ((o.last - o.first) >> PVI_PAGE_LG2) + 1;
        }
        if (o.kind == SYNC_CLEAR || o.last == last) {
            break;
        }
        first = o.last + 1;
    }
    return rc != 0 ? rc : kept;
}

/* Maps the additions that wait. */
static int sync_push(struct pvi_sync *s)
{
    uint64_t first = s->run.dfn << PVI_PAGE_LG2;
    int rc = 0;

    if (s->run.nr != 0) {
        rc = sync_do(s, SYNC_MAP, 0, first, first + (s->run.nr << PVI_PAGE_LG2) - 1);
        s->run.nr = 0;
        pvi_gather_put_spare(&s->gather); /* other CPUs' hooks may need them before this bracket ends */
    }
    return rc;
}

/* A failure also of a flush on the way, forced by a full gather, leaves everything since the last one in doubt. */
static int sync_flush(struct pvi_sync *s)
{
    int rc = pvi_gather_flush(&s->gather);

    if (s->gather.failed) {
        rc = -PVI_EHW;
        sync_name(&s->kept, s->first, s->last);
    }
    s->gather.failed = false;
    s->first = UINT64_MAX;
    s->last = 0;
    return rc;
}

/* The end of a hook: outside of a bracket it is the end of one. */
static int sync_finish(struct pvi_sync *s, int rc)
{
    int err;

    if (s->open) {
        return rc;
    }
    err = sync_push(s);
    rc = rc != 0 ? rc : err;
    err = sync_flush(s);
    return err != 0 ? err : rc;
}

/* --- share_pt ----------------------------------------------------------------------------------------- */

static int sync_note(struct pvi_sync *s, uint64_t first, uint64_t last, bool tables, bool added)
{
    struct pvi_context *ctx = &s->domain->default_ctx;
    uint64_t reach = UINT64_MAX >> (64 - s->domain->table.ops->iova_bits(ctx->shared_levels));
    uint8_t state = pvi_context_state(ctx);
    int rc = 0;

    if (first > reach) {
        return sync_finish(s, 0); /* nothing translates there */
    }
    last = last < reach ? last : reach;
    if (state == PVI_CTX_BROKEN || state == PVI_CTX_LOST) { /* a unit may go on walking the host's table */
        sync_name(&s->kept, first, last);
        rc = -PVI_EHW;
    } else {
        s->first = first < s->first ? first : s->first;
        s->last = last > s->last ? last : s->last;
        if (pvi_gather_prepare(&s->gather, ctx) == 0) {
            pvi_gather_range(&s->gather, ctx, first, last, tables, added);
        } else {
            rc = -PVI_EHW;
        }
    }
    return sync_finish(s, rc);
}

int pvi_share_flush(struct pvi_sync *s, pvi_dfn dfn, uint64_t nr, bool tables)
{
    const uint64_t end = (uint64_t)1 << (64 - PVI_PAGE_LG2);
    uint64_t first = dfn.f << PVI_PAGE_LG2;

    sync_forget(s);
    if (pvi_env_read32(&s->domain->passthrough) != PVI_PASSTHROUGH_SHARE_PT) {
        return -PVI_EDEFAULT;
    }
    if (dfn.f >= end || nr > end - dfn.f || (nr == 0 && dfn.f != 0)) {
        return -PVI_EWRAP;
    }
    return sync_note(s, first, nr == 0 ? UINT64_MAX : first + (nr << PVI_PAGE_LG2) - 1, tables, false);
}

/* --- hooks -------------------------------------------------------------------------------------------- */

/* The range of a hook, in bytes. */
static int sync_range(const struct pvi_sync *s, pvi_dfn dfn, uint64_t nr, uint64_t *first, uint64_t *last)
{
    if (pvi_env_read32(&s->domain->passthrough) == PVI_PASSTHROUGH_NONE) {
        return -PVI_EDEFAULT;
    }
    if (nr == 0 || nr > PVI_SYNC_FRAMES) {
        return -PVI_ELENGTH;
    }
    if (dfn.f >> (64 - PVI_PAGE_LG2) != 0 || (dfn.f + nr - 1) >> (64 - PVI_PAGE_LG2) != 0) {
        return -PVI_EWRAP;
    }
    *first = dfn.f << PVI_PAGE_LG2;
    *last = ((dfn.f + nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    return 0;
}

static bool sync_prot(unsigned prot)
{
    return prot != 0 && (prot & ~PVI_RW) == 0;
}

/* Is it something that the table can hold? */
static int sync_fits(const struct pvi_pt *pt, uint64_t first, uint64_t last, pvi_pa pa, unsigned prot)
{
    if ((pa.a & PVI_PAGE_MASK) != 0) {
        return -PVI_EALIGN;
    }
    if ((first ^ last) >> (SYNC_RUN_LG2 + PVI_PAGE_LG2) != 0) {
        return -PVI_ELENGTH;
    }
    if (last > pt->iova_last || pa.a > pt->pa_last || last - first > pt->pa_last - pa.a) {
        return -PVI_ERANGE;
    }
    return (pt->prots >> prot & 1) != 0 ? 0 : -PVI_EOPNOTSUPP;
}

/* Joins frames to those that wait. False: they do not continue them. */
static bool sync_join(struct pvi_sync *s, uint64_t dfn, uint64_t pa, uint64_t nr, unsigned prot)
{
    if (s->run.nr != 0 && (s->run.prot != prot || (s->run.dfn ^ dfn) >> SYNC_RUN_LG2 != 0)) {
        return false;
    }
    if (s->run.nr == 0 || (dfn + nr == s->run.dfn && pa + (nr << PVI_PAGE_LG2) == s->run.pa)) {
        s->run.dfn = dfn;
        s->run.pa = pa;
    } else if (dfn != s->run.dfn + s->run.nr || pa != s->run.pa + (s->run.nr << PVI_PAGE_LG2)) {
        return false;
    }
    s->run.nr += nr;
    s->run.prot = (uint8_t)prot;
    return true;
}

int pvi_sync_add(struct pvi_sync *s, pvi_dfn dfn, pvi_pa pa, uint64_t nr, unsigned prot)
{
    uint32_t mode = pvi_env_read32(&s->domain->passthrough);
    uint64_t first, last;
    int rc = sync_range(s, dfn, nr, &first, &last);

    sync_forget(s);
    if (rc == 0 && !sync_prot(prot)) {
        rc = -PVI_EFLAGS;
    }
    if (rc == 0 && mode == PVI_PASSTHROUGH_SYNC_PT) {
        rc = sync_fits(&s->domain->default_ctx.pt, first, last, pa, prot);
    }
    if (rc != 0 || mode == PVI_PASSTHROUGH_DISABLED) {
        return rc;
    }
    if (mode == PVI_PASSTHROUGH_SHARE_PT) {
        return sync_note(s, first, last, false, true);
    }
    if (!sync_join(s, dfn.f, pa.a, nr, prot)) {
        rc = sync_push(s);
        if (rc == 0) {
            (void)sync_join(s, dfn.f, pa.a, nr, prot); /* nothing waits */
        }
    }
    return sync_finish(s, rc);
}

/* Removals and changed rights. */
static int sync_change(struct pvi_sync *s, enum sync_what what, unsigned prot, uint64_t first, uint64_t last)
{
    const struct pvi_pt *pt = &s->domain->default_ctx.pt;
    int rc = 0, err;

    switch (pvi_env_read32(&s->domain->passthrough)) {
    case PVI_PASSTHROUGH_DISABLED:
        return 0;
    case PVI_PASSTHROUGH_SHARE_PT:
        return sync_note(s, first, last, true, false);
    default:
        break;
    }
    if (what == SYNC_RIGHTS && (pt->prots >> prot & 1) == 0) {
        sync_name(&s->kept, first, last);
        return -PVI_EOPNOTSUPP;
    }
    if (s->run.nr != 0 && first >> PVI_PAGE_LG2 < s->run.dfn + s->run.nr && s->run.dfn <= last >> PVI_PAGE_LG2) {
        rc = sync_push(s); /* in the order in which the host did it; the removal is done whatever becomes of the addition */
    }
    if (first <= pt->iova_last) {
        err = sync_do(s, what, prot, first, last < pt->iova_last ? last : pt->iova_last);
        rc = err != 0 ? err : rc;
    }
    return sync_finish(s, rc);
}

int pvi_sync_remove(struct pvi_sync *s, pvi_dfn dfn, uint64_t nr)
{
    uint64_t first, last;
    int rc = sync_range(s, dfn, nr, &first, &last);

    sync_forget(s);
    return rc != 0 ? rc : sync_change(s, SYNC_UNMAP, 0, first, last);
}

int pvi_sync_protect(struct pvi_sync *s, pvi_dfn dfn, uint64_t nr, unsigned prot)
{
    uint64_t first, last;
    int rc = sync_range(s, dfn, nr, &first, &last);

    sync_forget(s);
    if (rc == 0 && !sync_prot(prot)) {
        rc = -PVI_EFLAGS;
    }
    return rc != 0 ? rc : sync_change(s, SYNC_RIGHTS, prot, first, last);
}

void pvi_sync_begin(struct pvi_sync *s)
{
    PVI_ASSERT(!s->open);
    sync_forget(s);
    s->stepped = 0;
    s->open = true;
}

int pvi_sync_end(struct pvi_sync *s)
{
    PVI_ASSERT(s->open);
    sync_forget(s);
    s->open = false;
    return sync_finish(s, 0);
}
