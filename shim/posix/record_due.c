/* SPDX-License-Identifier: MIT */
/*
 * The recorder's account of what each unit may still cache. A change of a live table owes, on every
 * unit that tags the table, an invalidation of the range: queued after the change, and waited for.
 * Ranges are split where an invalidation covers them in part. Nothing here asks the library what it
 * believes.
 */
#include "record.h"
#include <stdlib.h>
#include <string.h>

#ifdef PVI_POSIX_RECORD

/* Units and bindings -------------------------------------------------------------------------- */

struct rec_unit *rec_unit_of(struct pvi_host *h, struct pvi_unit *u)
{
    struct rec_unit *ru, *room = NULL;
    unsigned i;

    for (i = 0; i < PVI_MAX_UNITS; i++) {
        ru = &h->rec->unit[i];
        if (ru->u == u) {
            return ru;
        }
        room = !ru->u && !room ? ru : room;
    }
    PVI_ASSERT(room != NULL);
    room->by_did = calloc(65536u, sizeof(*room->by_did));
    room->entry = calloc(65536u, sizeof(*room->entry));
    room->did_out = calloc(65536u, 1);
    PVI_ASSERT(room->by_did && room->entry && room->did_out);
    room->u = u;
    return room;
}

struct rec_binding *rec_bind(struct pvi_host *h, struct rec_unit *ru, uint16_t did,
                             struct rec_table *t)
{
    struct rec_binding *b = ru->by_did[did];

    while (b && b->table != t) {
        rec_violation(h, PVI_RULE_R13, "unit %u: domain id %u tags table 0x%llx and now 0x%llx too",
                      ru->u->index, did, (unsigned long long)rec_page_pa(h, b->table->root),
                      (unsigned long long)rec_page_pa(h, t->root));
        b = b->next_of_did;
    }
    if (!b) {
        b = calloc(1, sizeof(*b));
        PVI_ASSERT(b != NULL);
        b->table = t;
        b->unit = ru;
        b->did = did;
        b->next_of_table = t->bindings;
        t->bindings = b;
        b->next_of_did = ru->by_did[did];
        ru->by_did[did] = b;
    }
    b->nr_rids++;
    b->forgotten = false;
    rec_table_sync(h, t);
    return b;
}

/* Dues ---------------------------------------------------------------------------------------- */

static struct rec_due *due_new(struct pvi_host *h, struct rec_binding *b)
{
    struct rec_due *d;

    b->due = rec_grow(b->due, b->nr_dues, &b->room_dues, sizeof(*b->due));
    d = &b->due[b->nr_dues++];
    memset(d, 0, sizeof(*d));
    h->rec->outstanding++;
    return d;
}

static void due_drop(struct pvi_host *h, struct rec_binding *b, size_t i)
{
    b->due[i] = b->due[--b->nr_dues];
    h->rec->outstanding--;
}

static bool stamped(const struct rec_stamp *s)
{
    return s->own != 0 || s->other != 0;
}

/* Adds a due, or lengthens the last one of the same sort that nothing has covered yet. */
static void due_put(struct pvi_host *h, struct rec_binding *b, uint64_t first, uint64_t last,
                    unsigned flags)
{
    struct rec_due *d = b->nr_dues != 0 ? &b->due[b->nr_dues - 1] : NULL;
    bool alike = d && d->flags == flags && d->owner == rec_me() && !stamped(&d->stamp) && !d->met;

    if (alike && first >= d->first && last <= d->last) {
        return; /* such as the slots of one group */
    }
    if (alike && first != 0 && d->last == first - 1) {
        d->last = last;
        return;
    }
    d = due_new(h, b);
    d->first = first;
    d->last = last;
    d->born = h->rec->now;
    d->owner = rec_me();
    d->flags = (uint8_t)flags;
}

static void wbuf_due(struct pvi_host *h, const struct rec_binding *b)
{
    struct rec_unit *ru = b->unit;
    struct rec_due *d;
    size_t i;

    for (i = 0; i < ru->nr_wbuf_dues; i++) {
        d = &ru->wbuf_due[i];
        if (d->of == b && d->owner == rec_me() && !stamped(&d->stamp)) {
            return;
        }
    }
    ru->wbuf_due = rec_grow(ru->wbuf_due, ru->nr_wbuf_dues, &ru->room_wbuf_dues, sizeof(*d));
    d = &ru->wbuf_due[ru->nr_wbuf_dues++];
    memset(d, 0, sizeof(*d));
    d->of = b;
    d->owner = rec_me();
    h->rec->outstanding++;
}

static void wbuf_drop(struct pvi_host *h, struct rec_unit *ru, size_t i)
{
    ru->wbuf_due[i] = ru->wbuf_due[--ru->nr_wbuf_dues];
    h->rec->outstanding--;
}

void rec_due_binding(struct pvi_host *h, struct rec_binding *b, uint64_t first, uint64_t last,
                     unsigned flags)
{
    const struct pvi_unit_caps *caps = &b->unit->u->caps;

    if ((flags & DUE_ADDED) == 0 || caps->np_cache) {
        due_put(h, b, first, last, flags);
    } else if (caps->write_buffer) {
        wbuf_due(h, b);
    }
}

void rec_due_add(struct pvi_host *h, struct rec_table *t, uint64_t first, uint64_t last,
                 unsigned flags)
{
    struct rec_binding *b;

    for (b = t->bindings; b; b = b->next_of_table) {
        rec_due_binding(h, b, first, last, flags);
    }
}

const struct rec_due *rec_due_find(const struct rec_table *t, uint64_t first, uint64_t last,
                                   uint64_t when, uintptr_t by, bool tables)
{
    const struct rec_binding *b;
    size_t i;

    for (b = t ? t->bindings : NULL; b; b = b->next_of_table) {
        for (i = 0; i < b->nr_dues; i++) {
            const struct rec_due *d = &b->due[i];

            if ((d->flags & (DUE_ADDED | DUE_FINAL)) == 0 && d->owner == by &&
                (!tables || (d->flags & DUE_TABLES) != 0) && d->born <= when && d->first <= last &&
                d->last >= first) {
                return d;
            }
        }
    }
    return NULL;
}

/* Frees the binding when nothing translates through it and nothing is owed for it. */
void rec_binding_settle(struct pvi_host *h, struct rec_binding *b)
{
    struct rec_table *t = b->table;
    struct rec_binding **at;
    size_t i;

    if (b->nr_rids != 0 || b->nr_leaving != 0 || b->nr_dues != 0) {
        return;
    }
    for (at = &t->bindings; *at != b; at = &(*at)->next_of_table) {
    }
    *at = b->next_of_table;
    for (at = &b->unit->by_did[b->did]; *at != b; at = &(*at)->next_of_did) {
    }
    *at = b->next_of_did;
    for (i = b->unit->nr_wbuf_dues; i-- > 0;) {
        if (b->unit->wbuf_due[i].of == b) {
            wbuf_drop(h, b->unit, i); /* nothing on the unit walks what was added */
        }
    }
    free(b->due);
    free(b);
    rec_table_release(h, t);
}

/* Invalidations ------------------------------------------------------------------------------- */

static void stamp(struct rec_stamp *s, uintptr_t owner, uint64_t seq)
{
    if (owner == rec_me()) {
        s->own = s->own != 0 ? s->own : seq;
    } else {
        s->other = seq;
        s->who = rec_me();
    }
}

/* Are all cached device entries that lead to the binding being invalidated already? */
static bool devices_left(const struct rec_binding *b)
{
    const struct rec_unit *ru = b->unit;
    size_t i;

    for (i = 0; i < ru->nr_dev_dues; i++) {
        if (ru->dev_due[i].binding == b && !stamped(&ru->dev_due[i].stamp)) {
            return false;
        }
    }
    return true;
}

/* The part of a due that [first, last] covers gets a stamp; what is left stays as it is. */
static void due_cover(struct pvi_host *h, struct rec_binding *b, size_t i, uint64_t first,
                      uint64_t last, uint64_t seq)
{
    struct rec_due whole = b->due[i], *rest;

    b->due[i].met = true;
    if (whole.first < first) {
        rest = due_new(h, b);
        *rest = whole;
        rest->last = first - 1;
        rest->met = true;
        b->due[i].first = first;
    }
    if (whole.last > last) {
        rest = due_new(h, b);
        *rest = whole;
        rest->first = last + 1;
        rest->met = true;
        b->due[i].last = last;
    }
    stamp(&b->due[i].stamp, whole.owner, seq);
}

static void cover(struct pvi_host *h, struct rec_binding *b, const struct pvi_inv *inv,
                  uint64_t seq)
{
    bool whole = inv->kind != PVI_INV_PAGES, left = devices_left(b);
    uint64_t first = whole ? 0 : inv->iova;
    uint64_t last = whole || inv->lg2 > 63 ? UINT64_MAX : first + (((uint64_t)1 << inv->lg2) - 1);
    size_t i, nr = b->nested && !whole ? 0 : b->nr_dues;

    for (i = 0; i < nr; i++) {
        struct rec_due *d = &b->due[i];

        if (d->first > last || d->last < first) {
            continue;
        }
        if (((d->flags & DUE_TABLES) != 0 && !whole && inv->leaf_only) ||
            ((d->flags & DUE_WHOLE) != 0 && !whole) || ((d->flags & DUE_FINAL) != 0 && !left)) {
            d->met = true;
            continue;
        }
        due_cover(h, b, i, first, last, seq);
    }
}

static void cover_device(struct rec_unit *ru, const struct pvi_inv *inv, uint64_t seq)
{
    size_t i;

    for (i = 0; i < ru->nr_dev_dues; i++) {
        struct rec_dev_due *d = &ru->dev_due[i];

        if (inv->kind == PVI_INV_ALL ||
            (d->rid == inv->rid && d->pasid == (inv->kind == PVI_INV_PASID ? inv->pasid : 0) &&
             d->was_absent == inv->was_absent &&
             (d->any_did || (d->was_absent && d->pasid == 0) || d->did == inv->did))) {
            stamp(&d->stamp, d->owner, seq);
        }
    }
}

static void cover_all(struct pvi_host *h, struct rec_unit *ru, const struct pvi_inv *inv,
                      uint64_t seq)
{
    unsigned did;

    cover_device(ru, inv, seq);
    for (did = 0; did < 65536u; did++) {
        struct rec_binding *b;

        for (b = ru->by_did[did]; b; b = b->next_of_did) {
            cover(h, b, inv, seq);
        }
    }
}

static void submitted(struct pvi_host *h, struct rec_unit *ru, const struct pvi_inv *inv,
                      uint64_t seq)
{
    struct rec_binding *b;
    size_t i;

    for (i = 0; i < ru->nr_wbuf_dues; i++) {
        stamp(&ru->wbuf_due[i].stamp, ru->wbuf_due[i].owner,
              seq); /* any command empties the write buffer */
        ru->wbuf_due[i].met |= inv->kind == PVI_INV_WBUF && ru->wbuf_due[i].owner == rec_me();
    }
    switch (inv->kind) {
    case PVI_INV_PAGES:
    case PVI_INV_DOMAIN:
        for (b = ru->by_did[inv->did]; b; b = b->next_of_did) {
            cover(h, b, inv, seq);
        }
        break;
    case PVI_INV_DEVICE:
    case PVI_INV_PASID:
        cover_device(ru, inv, seq);
        break;
    case PVI_INV_ALL:
        cover_all(h, ru, inv, seq);
        break;
    default:
        break;
    }
}

void pvi_record_submit_begin(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                             unsigned nr)
{
    struct rec_unit *ru;
    unsigned i;

    pthread_mutex_lock(&h->rec->lock);
    rec_check_dirty(h, "when an invalidation is queued");
    rec_check_pages(h, false);
    ru = rec_unit_of(h, u);
    ru->seq++;
    for (i = 0; i < nr; i++) {
        submitted(h, ru, &inv[i], ru->seq);
    }
    pthread_mutex_unlock(&h->rec->lock);
}

/* A flush of the write buffer alone goes by a register, and is over when it has been submitted. */
static void wbuf_flushed(struct pvi_host *h, struct rec_unit *ru)
{
    size_t i = 0;

    while (i < ru->nr_wbuf_dues) {
        if (ru->wbuf_due[i].met && ru->wbuf_due[i].owner == rec_me()) {
            wbuf_drop(h, ru, i);
        } else {
            i++;
        }
    }
}

void pvi_record_submit_end(struct pvi_host *h, struct pvi_unit *u, int rc)
{
    struct rec_unit *ru;

    pthread_mutex_lock(&h->rec->lock);
    ru = rec_unit_of(h, u);
    if (rc != 0) {
        ru->failed = true;
    } else {
        wbuf_flushed(h, ru);
    }
    pthread_mutex_unlock(&h->rec->lock);
}

/* Completion ---------------------------------------------------------------------------------- */

/* Queued by this thread, before the wait that has ended? */
static bool complete(const struct rec_stamp *s, uintptr_t owner)
{
    uint64_t seq = rec_self.wait_seq;

    return (owner == rec_me() && s->own != 0 && s->own <= seq) ||
           (s->who == rec_me() && s->other != 0 && s->other <= seq);
}

/*
 * The last device has left, and the unit has forgotten first its entry, then the whole domain id:
 * no walk can have begun in between, so what others changed in the table since then is forgotten as
 * well.
 */
static bool all_forgotten(const struct rec_binding *b, bool final)
{
    size_t i;

    for (i = 0; i < b->nr_dues; i++) {
        final = final && (b->due[i].flags & DUE_FINAL) == 0;
    }
    return final && b->nr_rids == 0;
}

static void complete_binding(struct pvi_host *h, struct rec_binding *b)
{
    size_t i = 0, before = b->nr_dues;
    bool final = false;

    while (i < b->nr_dues) {
        if (complete(&b->due[i].stamp, b->due[i].owner)) {
            final = final || (b->due[i].flags & DUE_FINAL) != 0;
            due_drop(h, b, i);
        } else {
            i++;
        }
    }
    while (b->nr_dues != 0 && all_forgotten(b, final)) {
        due_drop(h, b, 0);
    }
    b->forgotten = b->forgotten || all_forgotten(b, final);
    if (b->nr_dues != before) {
        rec_table_settle(h, b->table);
        rec_binding_settle(h, b);
    }
}

static void complete_devices(struct pvi_host *h, struct rec_unit *ru)
{
    size_t i = 0;

    while (i < ru->nr_dev_dues) {
        struct rec_binding *b = ru->dev_due[i].binding;

        if (!complete(&ru->dev_due[i].stamp, ru->dev_due[i].owner)) {
            i++;
            continue;
        }
        ru->dev_due[i] = ru->dev_due[--ru->nr_dev_dues];
        h->rec->outstanding--;
        if (b) {
            b->nr_leaving--;
            /* Another thread may have waited for the id first: what has changed in the table since is forgotten, too. */
            while (b->forgotten && b->nr_leaving == 0 && b->nr_dues != 0) {
                due_drop(h, b, 0);
            }
            rec_table_settle(h, b->table);
            rec_binding_settle(h, b);
        }
    }
    for (i = 0; i < ru->nr_wbuf_dues;) {
        if (complete(&ru->wbuf_due[i].stamp, ru->wbuf_due[i].owner)) {
            wbuf_drop(h, ru, i);
        } else {
            i++;
        }
    }
}

static void complete_unit(struct pvi_host *h, struct rec_unit *ru)
{
    struct rec_table *t, *next;

    for (t = h->rec->tables; t; t = next) {
        struct rec_binding *b, *after;

        next = t->next; /* the last binding that goes takes the table along */
        for (b = t->bindings; b; b = after) {
            after = b->next_of_table;
            if (b->unit == ru && b->nr_dues != 0) {
                complete_binding(h, b);
            }
        }
    }
    complete_devices(h, ru);
}

void pvi_record_wait_begin(struct pvi_host *h, struct pvi_unit *u)
{
    pthread_mutex_lock(&h->rec->lock);
    rec_self.wait_seq = rec_unit_of(h, u)->seq;
    pthread_mutex_unlock(&h->rec->lock);
}

void pvi_record_wait_end(struct pvi_host *h, struct pvi_unit *u, int rc)
{
    struct pvi_posix_model model;
    struct rec_unit *ru;

    pthread_mutex_lock(&h->rec->lock);
    ru = rec_unit_of(h, u);
    model = ru->model;
    pthread_mutex_unlock(&h->rec->lock);
    if (rc == 0 && model.pending && model.pending(model.opaque)) {
        rec_violation(h, PVI_RULE_R8,
                      "unit %u: a wait ends with success, commands have not been executed",
                      u->index);
        return;
    }
    pthread_mutex_lock(&h->rec->lock);
    if (rc != 0) {
        ru->failed = true;
    } else if (!ru->failed && h->rec->outstanding != 0) {
        complete_unit(h, ru);
    }
    pthread_mutex_unlock(&h->rec->lock);
}

#endif
