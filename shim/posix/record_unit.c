/* SPDX-License-Identifier: MIT */
/*
 * The recorder: switches of devices, domain ids, and what must be settled when the guest runs
 * again.
 */
#include "record.h"
#include <stdlib.h>
#include <string.h>

#ifdef PVI_POSIX_RECORD

/* Models -------------------------------------------------------------------------------------- */

void pvi_posix_model(struct pvi_host *h, struct pvi_unit *u, const struct pvi_posix_model *model)
{
    pthread_mutex_lock(&h->rec->lock);
    if (model) {
        rec_unit_of(h, u)->model = *model;
    } else {
        memset(&rec_unit_of(h, u)->model, 0, sizeof(*model));
    }
    pthread_mutex_unlock(&h->rec->lock);
}

bool rec_model_caches(struct pvi_host *h, uint64_t pa, uint64_t len)
{
    unsigned i;

    for (i = 0; i < PVI_MAX_UNITS; i++) {
        const struct pvi_posix_model *m = &h->rec->unit[i].model;

        if (m->caches && m->caches(m->opaque, pa, len)) {
            return true;
        }
    }
    return false;
}

void pvi_record_unit_gone(struct pvi_host *h, struct pvi_unit *u)
{
    pthread_mutex_lock(&h->rec->lock);
    memset(&rec_unit_of(h, u)->model, 0, sizeof(struct pvi_posix_model));
    pthread_mutex_unlock(&h->rec->lock);
}

/* Tables that a test names -------------------------------------------------------------------- */

void pvi_posix_track_root(struct pvi_host *h, const struct pvi_pt_ops *format, unsigned levels,
                          pvi_pa root, bool coherent)
{
    struct rec_table *t;

    pthread_mutex_lock(&h->rec->lock);
    t = rec_table_track(h, format, levels, pvi_posix_page_index(h, root.a));
    if (t) {
        t->pinned = true;
        t->pin_coherent = coherent;
        rec_table_sync(h, t);
    }
    pthread_mutex_unlock(&h->rec->lock);
}

void pvi_posix_untrack_root(struct pvi_host *h, pvi_pa root)
{
    struct rec_table *t;

    pthread_mutex_lock(&h->rec->lock);
    t = rec_table_find(h, pvi_posix_page_index(h, root.a));
    if (t) {
        t->pinned = false;
        rec_table_release(h, t);
    }
    pthread_mutex_unlock(&h->rec->lock);
}

void pvi_posix_bind_root(struct pvi_host *h, struct pvi_unit *u, uint16_t did, pvi_pa root)
{
    struct rec_table *t;

    pthread_mutex_lock(&h->rec->lock);
    t = rec_table_find(h, pvi_posix_page_index(h, root.a));
    if (t) {
        (void)rec_bind(h, rec_unit_of(h, u), did, t);
    }
    pthread_mutex_unlock(&h->rec->lock);
}

static struct rec_binding *binding_find(struct rec_unit *ru, uint16_t did,
                                        const struct rec_table *t)
{
    struct rec_binding *b;

    for (b = ru->by_did[did]; b && b->table != t; b = b->next_of_did) {
    }
    return b;
}

/* One requester less. With `final`, the last one leaves the whole domain id to be invalidated. */
void rec_unbind(struct pvi_host *h, struct rec_binding *b, bool final)
{
    b->nr_rids--;
    if (final && b->nr_rids == 0) {
        struct rec_due *d;

        h->rec->now++;
        b->due = rec_grow(b->due, b->nr_dues, &b->room_dues, sizeof(*b->due));
        d = &b->due[b->nr_dues++];
        memset(d, 0, sizeof(*d));
        d->last = UINT64_MAX;
        d->born = h->rec->now;
        d->owner = rec_me();
        d->flags = DUE_TABLES | DUE_WHOLE | DUE_FINAL;
        h->rec->outstanding++;
    }
    rec_binding_settle(h, b);
}

void pvi_posix_unbind_root(struct pvi_host *h, struct pvi_unit *u, uint16_t did, pvi_pa root)
{
    struct rec_table *t;
    struct rec_binding *b;

    pthread_mutex_lock(&h->rec->lock);
    t = rec_table_find(h, pvi_posix_page_index(h, root.a));
    b = t ? binding_find(rec_unit_of(h, u), did, t) : NULL;
    if (b && b->nr_rids != 0) {
        rec_unbind(h, b, true);
    }
    pthread_mutex_unlock(&h->rec->lock);
}

/* Switches ------------------------------------------------------------------------------------ */

/* What a requester id, or a PASID of it, translates through. */
static struct pvi_dev_entry *rec_entry(struct rec_unit *ru, uint16_t rid, uint32_t pasid)
{
    size_t i;

    if (pasid == 0) {
        return &ru->entry[rid];
    }
    for (i = 0; i < ru->nr_pasids; i++) {
        if (ru->pasid[i].rid == rid && ru->pasid[i].entry.pasid == pasid) {
            return &ru->pasid[i].entry;
        }
    }
    ru->pasid = rec_grow(ru->pasid, ru->nr_pasids, &ru->room_pasids, sizeof(*ru->pasid));
    memset(&ru->pasid[i], 0, sizeof(ru->pasid[i]));
    ru->pasid[i].rid = rid;
    ru->pasid[i].entry.pasid = pasid;
    ru->nr_pasids++;
    return &ru->pasid[i].entry;
}

static bool same_guest(const struct pvi_guest_tables *a, const struct pvi_guest_tables *b)
{
    return a->levels == b->levels && (a->levels == 0 || (a->root == b->root && a->depth == b->depth &&
                                                         a->flags == b->flags));
}

static bool same_entry(const struct pvi_dev_entry *a, const struct pvi_dev_entry *b)
{
    return a->translate == b->translate &&
           (!a->translate ||
            (a->root.a == b->root.a && a->did == b->did && a->levels == b->levels &&
             same_guest(&a->guest, &b->guest)));
}

/* The table must be fit for hardware before the entry names it. */
void pvi_record_switch_begin(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                             const struct pvi_dev_entry *to)
{
    struct rec_unit *ru;
    struct rec_table *t;

    rec_self.switching = u;
    pthread_mutex_lock(&h->rec->lock);
    ru = rec_unit_of(h, u);
    rec_check_dirty(h, "when a device is switched");
    if (to->translate && !same_entry(rec_entry(ru, rid, to->pasid), to)) {
        t = rec_table_track(h, u->caps.format, to->levels, pvi_posix_page_index(h, to->root.a));
        if (t && t->levels != to->levels) {
            rec_violation(h, PVI_RULE_R11, "table 0x%llx has %u levels, hardware is told %u",
                          (unsigned long long)to->root.a, t->levels, to->levels);
        }
        if (t) {
            rec_bind(h, ru, to->did, t)->nested |= to->guest.levels != 0;
        }
    }
    pthread_mutex_unlock(&h->rec->lock);
}

static struct rec_binding *entry_binding(struct pvi_host *h, struct rec_unit *ru,
                                         const struct pvi_dev_entry *e)
{
    struct rec_table *t =
        e->translate ? rec_table_find(h, pvi_posix_page_index(h, e->root.a)) : NULL;

    return t ? binding_find(ru, e->did, t) : NULL;
}

/*
 * The entry has changed: the unit may go on using the old one until it is told (R9), or its absence
 * (R20).
 */
static void entry_changed(struct pvi_host *h, struct rec_unit *ru, uint16_t rid,
                          const struct pvi_dev_entry *old, const struct pvi_dev_entry *to,
                          bool was_absent)
{
    struct rec_binding *b = entry_binding(h, ru, to), *was = entry_binding(h, ru, old);
    struct rec_dev_due *d;

    if (was_absent && b) {
        rec_due_binding(h, b, 0, UINT64_MAX, DUE_TABLES | DUE_ADDED | DUE_WHOLE);
    }
    if (!was_absent || ru->u->caps.np_cache) {
        ru->dev_due =
            rec_grow(ru->dev_due, ru->nr_dev_dues, &ru->room_dev_dues, sizeof(*ru->dev_due));
        d = &ru->dev_due[ru->nr_dev_dues++];
        memset(d, 0, sizeof(*d));
        d->binding = was;
        d->owner = rec_me();
        d->rid = rid;
        d->pasid = to->pasid;
        d->did = was_absent && to->pasid != 0 ? to->did : old->did;
        d->any_did = !old->translate;
        d->was_absent = was_absent;
        h->rec->outstanding++;
    }
    if (was) {
        was->nr_leaving++;
        rec_unbind(h, was, true);
    }
}

void pvi_record_switch_end(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                           const struct pvi_dev_entry *to, int rc, bool was_absent)
{
    struct rec_unit *ru;
    struct pvi_dev_entry old;

    rec_self.switching = NULL;
    pthread_mutex_lock(&h->rec->lock);
    ru = rec_unit_of(h, u);
    old = *rec_entry(ru, rid, to->pasid);
    if (same_entry(&old, to)) {
        pthread_mutex_unlock(&h->rec->lock);
        return;
    }
    if (rc == 0) {
        *rec_entry(ru, rid, to->pasid) = *to;
        entry_changed(h, ru, rid, &old, to, was_absent);
    } else {
        struct rec_binding *b = entry_binding(h, ru, to);

        if (b) {
            rec_unbind(h, b, false);
        }
    }
    pthread_mutex_unlock(&h->rec->lock);
}

/* Domain ids ---------------------------------------------------------------------------------- */

void pvi_record_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    struct rec_unit *ru;

    pthread_mutex_lock(&h->rec->lock);
    ru = rec_unit_of(h, u);
    if (ru->did_out[did] || ru->by_did[did]) {
        rec_violation(h, PVI_RULE_R13, "unit %u: domain id %u is given out and is still in use",
                      u->index, did);
    }
    ru->did_out[did] = 1;
    pthread_mutex_unlock(&h->rec->lock);
}

void pvi_record_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    struct rec_unit *ru;

    pthread_mutex_lock(&h->rec->lock);
    ru = rec_unit_of(h, u);
    if (!ru->did_out[did]) {
        rec_violation(h, PVI_RULE_R13, "unit %u: domain id %u is given back twice", u->index, did);
    }
    if (ru->by_did[did]) {
        bool used = ru->by_did[did]->nr_rids != 0;

        rec_violation(h, used ? PVI_RULE_R13 : PVI_RULE_R9,
                      "unit %u: domain id %u is given back %s", u->index, did,
                      used ? "while devices use it" : "before the unit has forgotten it");
    }
    ru->did_out[did] = 0;
    pthread_mutex_unlock(&h->rec->lock);
}

/* Checkpoints --------------------------------------------------------------------------------- */

static enum pvi_posix_rule due_rule(const struct rec_due *d)
{
    if ((d->flags & DUE_FINAL) != 0) {
        return PVI_RULE_R9;
    }
    if ((d->flags & DUE_ADDED) != 0) {
        return PVI_RULE_R20;
    }
    if (rec_self.preempted) {
        return PVI_RULE_R7;
    }
    return d->met ? PVI_RULE_R5 : PVI_RULE_R6;
}

static void check_binding(struct pvi_host *h, struct rec_binding *b)
{
    size_t i;

    for (i = 0; i < b->nr_dues; i++) {
        struct rec_due *d = &b->due[i];

        if (d->owner == rec_me() && !d->reported && !(h->rec->postponed && due_rule(d) == PVI_RULE_R20)) {
            d->reported = true;
            rec_violation(
                h, due_rule(d),
                "unit %u, domain id %u: [0x%llx, 0x%llx] is not invalidated%s%s, flags 0x%x",
                b->unit->u->index, b->did, (unsigned long long)d->first,
                (unsigned long long)d->last, d->met ? ", only partly or too narrowly" : "",
                (d->stamp.own != 0 || d->stamp.other != 0) ? ", queued but not waited for" : "",
                d->flags);
        }
    }
}

static void check_unit(struct pvi_host *h, struct rec_unit *ru)
{
    size_t i;

    for (i = 0; i < ru->nr_dev_dues; i++) {
        struct rec_dev_due *d = &ru->dev_due[i];

        if (d->owner == rec_me() && !d->reported) {
            d->reported = true;
            rec_violation(h, d->was_absent ? PVI_RULE_R20 : PVI_RULE_R9,
                          "unit %u: the cached entry of requester 0x%04x, PASID %u (old domain id %u) is "
                          "not invalidated",
                          ru->u->index, d->rid, d->pasid, d->did);
        }
    }
    for (i = 0; i < ru->nr_wbuf_dues && !h->rec->postponed; i++) {
        struct rec_due *d = &ru->wbuf_due[i];

        if (d->owner == rec_me() && !d->reported) {
            d->reported = true;
            rec_violation(h, PVI_RULE_R20, "unit %u: additions may wait in its write buffer",
                          ru->u->index);
        }
    }
}

void rec_check_dues(struct pvi_host *h)
{
    struct rec_table *t;
    unsigned i;

    if (h->rec->outstanding == 0) {
        return;
    }
    for (t = h->rec->tables; t; t = t->next) {
        struct rec_binding *b;

        for (b = t->bindings; b; b = b->next_of_table) {
            if (b->nr_dues != 0 && !b->unit->failed) {
                check_binding(h, b);
            }
        }
    }
    for (i = 0; i < PVI_MAX_UNITS; i++) {
        if (h->rec->unit[i].u && !h->rec->unit[i].failed) {
            check_unit(h, &h->rec->unit[i]);
        }
    }
}

void pvi_record_preempt(struct pvi_host *h, bool yes)
{
    (void)h;
    rec_self.preempted = rec_self.preempted || yes;
}

void pvi_posix_checkpoint(struct pvi_host *h)
{
    unsigned i;

    pthread_mutex_lock(&h->rec->lock);
    rec_check_dirty(h, "when the guest runs again");
    rec_check_pages(h, false);
    rec_check_dues(h);
    for (i = 0; i < rec_self.nr_held; i++) {
        if (rec_self.held[i].host == h) {
            rec_violation(h, PVI_RULE_LOCK, "a lock of class %u is held when the guest runs again",
                          rec_self.held[i].lock->lock_class);
        }
    }
    rec_self.preempted = false;
    pthread_mutex_unlock(&h->rec->lock);
}

uint64_t pvi_posix_postponed(struct pvi_host *h, bool allowed)
{
    struct rec_table *t;
    struct rec_binding *b;
    uint64_t owed = 0;
    size_t i;

    pthread_mutex_lock(&h->rec->lock);
    h->rec->postponed = allowed;
    for (t = h->rec->tables; t; t = t->next) {
        for (b = t->bindings; b; b = b->next_of_table) {
            for (i = 0; i < b->nr_dues; i++) {
                owed += due_rule(&b->due[i]) == PVI_RULE_R20;
            }
        }
    }
    for (i = 0; i < PVI_MAX_UNITS; i++) {
        owed += h->rec->unit[i].nr_wbuf_dues;
    }
    pthread_mutex_unlock(&h->rec->lock);
    return owed;
}

void pvi_posix_check_all(struct pvi_host *h)
{
    pthread_mutex_lock(&h->rec->lock);
    rec_check_pages(h, true);
    pthread_mutex_unlock(&h->rec->lock);
}

#endif
