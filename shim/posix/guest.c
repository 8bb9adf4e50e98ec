/* SPDX-License-Identifier: MIT */
/* The userspace host: guests, their frames and who may act for whom. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

struct pvi_hdom *pvi_posix_hdom_new(struct pvi_host *h, uint16_t domid)
{
    struct pvi_hdom *d = calloc(1, sizeof(*d));

    if (!d) {
        return NULL;
    }
    d->host = h;
    d->domid = domid;
    d->may_init = true;
    d->ring_room = UINT64_MAX;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_lock(&h->lists_lock);
    d->next = h->hdoms;
    h->hdoms = d;
    pthread_mutex_unlock(&h->lists_lock);
    return d;
}

void pvi_posix_hdom_free(struct pvi_hdom *d)
{
    struct pvi_hdom **at;
    unsigned i;

    pthread_mutex_lock(&d->host->lists_lock);
    for (at = &d->host->hdoms; *at != d; at = &(*at)->next) {
    }
    *at = d->next;
    pthread_mutex_unlock(&d->host->lists_lock);
    for (i = 0; i <= PVI_OWE_MAX; i++) {
        pvi_count_fini(&d->count[i]);
    }
    free(d->range);
    free(d->identity);
    free(d->permitted);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* The first range that ends at or after gfn, or nr_ranges. */
static size_t range_find(const struct pvi_hdom *d, uint64_t gfn)
{
    size_t lo = 0, hi = d->nr_ranges;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (d->range[mid].gfn + (d->range[mid].nr - 1) < gfn) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static int range_insert(struct pvi_hdom *d, const struct pvi_posix_range *r)
{
    size_t at = range_find(d, r->gfn);

    if (at < d->nr_ranges && d->range[at].gfn <= r->gfn + (r->nr - 1)) {
        return -PVI_EEXIST;
    }
    if (d->nr_ranges == d->room_ranges) {
        size_t room = d->room_ranges ? 2 * d->room_ranges : 8;
        struct pvi_posix_range *more = realloc(d->range, room * sizeof(*more));

        if (!more) {
            return -PVI_ENOMEM;
        }
        d->range = more;
        d->room_ranges = room;
    }
    memmove(&d->range[at + 1], &d->range[at], (d->nr_ranges - at) * sizeof(*d->range));
    d->range[at] = *r;
    d->nr_ranges++;
    return 0;
}

int pvi_posix_hdom_range(struct pvi_hdom *d, const struct pvi_posix_range *r)
{
    int rc;

    if (r->nr == 0 || r->gfn + (r->nr - 1) < r->gfn ||
        (!r->table && (r->pa & PVI_PAGE_MASK) != 0) || r->kind > PVI_POSIX_MMIO) {
        return -PVI_EINVAL;
    }
    pthread_mutex_lock(&d->lock);
    rc = range_insert(d, r);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

void pvi_posix_hdom_unrange(struct pvi_hdom *d, uint64_t gfn)
{
    size_t at;

    pthread_mutex_lock(&d->lock);
    at = range_find(d, gfn);
    if (at < d->nr_ranges && d->range[at].gfn == gfn) {
        d->nr_ranges--;
        memmove(&d->range[at], &d->range[at + 1], (d->nr_ranges - at) * sizeof(*d->range));
    }
    pthread_mutex_unlock(&d->lock);
}

int pvi_posix_hdom_identity(struct pvi_hdom *d, uint64_t first, uint64_t nr, uint8_t prot)
{
    struct pvi_identity_run *more, *last = d->nr_identity ? &d->identity[d->nr_identity - 1] : NULL;

    if (nr == 0 || (last && first < last->first.f + last->nr)) {
        return -PVI_EINVAL;
    }
    more = realloc(d->identity, (d->nr_identity + 1) * sizeof(*more));
    if (!more) {
        return -PVI_ENOMEM;
    }
    d->identity = more;
    more[d->nr_identity].first.f = first;
    more[d->nr_identity].nr = nr;
    more[d->nr_identity].prot = prot;
    d->nr_identity++;
    return 0;
}

void pvi_posix_hdom_max_run(struct pvi_hdom *d, uint64_t nr)
{
    d->max_run = nr;
}

void pvi_posix_hdom_may_init(struct pvi_hdom *d, bool yes)
{
    d->may_init = yes;
}

void pvi_posix_hdom_bind(struct pvi_hdom *d, struct pvi_domain *dom)
{
    d->domain = dom;
}

int pvi_posix_hdom_permit(struct pvi_hdom *d, uint16_t target)
{
    uint16_t *more = realloc(d->permitted, (d->nr_permitted + 1) * sizeof(*more));

    if (!more) {
        return -PVI_ENOMEM;
    }
    d->permitted = more;
    more[d->nr_permitted++] = target;
    return 0;
}

uint64_t pvi_posix_frame_count(struct pvi_hdom *d, uint64_t pa, unsigned owe)
{
    int64_t min, max;

    pthread_mutex_lock(&d->lock);
    pvi_count_range(&d->count[owe], pa >> PVI_PAGE_LG2, pa >> PVI_PAGE_LG2, &min, &max);
    pthread_mutex_unlock(&d->lock);
    return (uint64_t)max;
}

bool pvi_posix_hdom_balanced(struct pvi_hdom *d)
{
    bool zero = true;
    unsigned i;

    pthread_mutex_lock(&d->lock);
    for (i = 0; i <= PVI_OWE_MAX; i++) {
        zero = zero && pvi_count_zero(&d->count[i]);
    }
    pthread_mutex_unlock(&d->lock);
    return zero;
}

/* Frames -------------------------------------------------------------------------------------- */

static uint8_t range_owe(const struct pvi_posix_range *r, unsigned prot)
{
    static const uint8_t owe[] = {PVI_OWE_REF, PVI_OWE_REF, PVI_OWE_NONE, PVI_OWE_MMIO};

    if (r->kind == PVI_POSIX_RAM_PV && (prot & PVI_WRITE) != 0) {
        return PVI_OWE_WRITABLE;
    }
    return owe[r->kind];
}

static uint64_t range_pa(const struct pvi_posix_range *r, uint64_t at)
{
    return r->table ? r->table[at] : r->pa + (at << PVI_PAGE_LG2);
}

int pvi_posix_frame_find(struct pvi_hdom *d, uint64_t gfn, uint64_t nr, unsigned prot,
                         struct pvi_frames *out)
{
    size_t i = range_find(d, gfn);
    const struct pvi_posix_range *r;
    uint64_t at, run;

    if (i == d->nr_ranges || gfn < d->range[i].gfn) {
        return -PVI_ENOFRAME;
    }
    r = &d->range[i];
    if ((prot & ~(unsigned)r->prot) != 0) {
        return -PVI_EPERM;
    }
    at = gfn - r->gfn;
    nr = nr < r->nr - at ? nr : r->nr - at;
    if (d->max_run != 0 && nr > d->max_run) {
        nr = d->max_run;
    }
    out->pa.a = range_pa(r, at);
    if (r->table) {
        for (run = 1; run < nr && r->table[at + run] == out->pa.a + (run << PVI_PAGE_LG2); run++) {
        }
        nr = run;
    }
    out->nr = nr;
    out->owe = range_owe(r, prot);
    return 0;
}

int pvi_host_frame_get(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn gfn, uint64_t nr,
                       unsigned prot, struct pvi_frames *out)
{
    int rc = -PVI_ENOFRAME;

    PVI_ASSERT(nr != 0 && (prot & PVI_RW) != 0 && (prot & ~(PVI_RW | PVI_FRAME_NO_REF | PVI_FRAME_IDENTITY)) == 0);
    if (!pvi_posix_enter(h, PVI_AT_FRAME_GET)) {
        pthread_mutex_lock(&d->lock);
        rc = pvi_posix_frame_find(d, gfn.f, nr, prot & PVI_RW, out);
        if (rc == 0 && ((prot & PVI_FRAME_NO_REF) != 0 || ((prot & PVI_FRAME_IDENTITY) != 0 && d->no_ref))) {
            out->owe = PVI_OWE_NONE;
            rc = d->no_ref ? 0 : -PVI_EPERM;
        }
        if (rc == 0 && !h->no_counts && out->owe != PVI_OWE_NONE) {
            uint64_t first = out->pa.a >> PVI_PAGE_LG2;

            pvi_count_add(&d->count[out->owe], first, first + out->nr - 1, 1);
            pvi_record_frame_get(h, out);
        }
        pthread_mutex_unlock(&d->lock);
    }
    pvi_posix_leave(h, PVI_AT_FRAME_GET);
    return rc;
}

void pvi_host_frame_put(struct pvi_host *h, struct pvi_hdom *d, const struct pvi_frames *run)
{
    uint64_t first = run->pa.a >> PVI_PAGE_LG2;
    int64_t min, max;

    PVI_ASSERT(run->nr != 0 && run->owe <= PVI_OWE_MAX && (run->pa.a & PVI_PAGE_MASK) == 0);
    (void)pvi_posix_enter(h, PVI_AT_FRAME_PUT);
    if (!h->no_counts && run->owe != PVI_OWE_NONE) {
        pvi_record_frame_put(h, run);
        pthread_mutex_lock(&d->lock);
        pvi_count_range(&d->count[run->owe], first, first + run->nr - 1, &min, &max);
        PVI_ASSERT(min > 0); /* put more often than got, or with a debt that it never had */
        pvi_count_add(&d->count[run->owe], first, first + run->nr - 1, -1);
        pthread_mutex_unlock(&d->lock);
    }
    pvi_posix_leave(h, PVI_AT_FRAME_PUT);
}

int pvi_host_frame_gfn(struct pvi_host *h, struct pvi_hdom *d, pvi_pa pa, pvi_gfn *gfn)
{
    uint64_t frame = pa.a & ~PVI_PAGE_MASK, at;
    int rc = -PVI_ENOFRAME;
    size_t i;

    (void)pvi_posix_enter(h, PVI_AT_FRAME_GFN);
    pthread_mutex_lock(&d->lock);
    for (i = 0; i < d->nr_ranges && rc != 0; i++) {
        const struct pvi_posix_range *r = &d->range[i];

        if (r->table) {
            for (at = 0; at < r->nr && r->table[at] != frame; at++) {
            }
        } else {
            at = (frame - r->pa) >> PVI_PAGE_LG2; /* below r->pa this wraps beyond nr */
        }
        if (at < r->nr) {
            gfn->f = r->gfn + at;
            rc = 0;
        }
    }
    pthread_mutex_unlock(&d->lock);
    pvi_posix_leave(h, PVI_AT_FRAME_GFN);
    return rc;
}

int pvi_host_identity_next(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn from,
                           struct pvi_identity_run *run)
{
    int rc = -PVI_ENOENT;
    size_t i;

    (void)pvi_posix_enter(h, PVI_AT_IDENTITY);
    for (i = 0; i < d->nr_identity && rc != 0; i++) {
        uint64_t first = d->identity[i].first.f, skip;

        if (first + (d->identity[i].nr - 1) < from.f) {
            continue;
        }
        *run = d->identity[i];
        skip = from.f > first ? from.f - first : 0;
        run->first.f += skip;
        run->nr -= skip;
        rc = 0;
    }
    pvi_posix_leave(h, PVI_AT_IDENTITY);
    return rc;
}

/* Domains ------------------------------------------------------------------------------------- */

bool pvi_posix_permitted(const struct pvi_hdom *caller, uint16_t domid)
{
    size_t i;

    for (i = 0; i < caller->nr_permitted; i++) {
        if (caller->permitted[i] == domid) {
            return true;
        }
    }
    return false;
}

static int domain_find(struct pvi_host *h, struct pvi_hdom *caller, uint16_t domid,
                       struct pvi_domain **out)
{
    struct pvi_hdom *d = caller;

    if (domid != PVI_DOMID_SELF && domid != caller->domid) {
        if (!pvi_posix_permitted(caller, domid)) {
            return -PVI_EPERM;
        }
        pthread_mutex_lock(&h->lists_lock);
        for (d = h->hdoms; d && d->domid != domid; d = d->next) {
        }
        pthread_mutex_unlock(&h->lists_lock);
    }
    if (!d || !d->domain) {
        return -PVI_ENODOM;
    }
    *out = d->domain;
    return 0;
}

int pvi_host_domain(struct pvi_host *h, struct pvi_hdom *caller, uint16_t domid,
                    struct pvi_domain **out)
{
    int rc;

    (void)pvi_posix_enter(h, PVI_AT_DOMAIN);
    rc = domain_find(h, caller, domid, out);
    pvi_posix_leave(h, PVI_AT_DOMAIN);
    return rc;
}

bool pvi_host_may_init(struct pvi_host *h, struct pvi_hdom *d)
{
    (void)h;
    return d->may_init;
}
