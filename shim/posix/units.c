/* SPDX-License-Identifier: MIT */
/* The userspace host: units, by whatever drives them, and registers. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

int pvi_posix_add_unit(struct pvi_host *h, struct pvi_unit *u,
                       const struct pvi_posix_driver *driver)
{
    int rc = -PVI_ENOSPC;

    pthread_mutex_lock(&h->lists_lock);
    if (h->nr_units < PVI_MAX_UNITS) {
        u->host = h;
        h->unit[h->nr_units].unit = u;
        h->unit[h->nr_units].driver = driver;
        h->nr_units++;
        rc = 0;
    }
    pthread_mutex_unlock(&h->lists_lock);
    return rc;
}

static const struct pvi_posix_driver *driver_of(struct pvi_host *h, const struct pvi_unit *u)
{
    unsigned i;

    for (i = 0; i < h->nr_units; i++) {
        if (h->unit[i].unit == u) {
            return h->unit[i].driver;
        }
    }
    PVI_ASSERT(!"unit registered by pvi_posix_add_vtd(), _amdvi() or _null()");
    return NULL;
}

int pvi_host_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t *did)
{
    int rc = -PVI_ENOSPC;

    if (!pvi_posix_enter(h, PVI_AT_DID_ALLOC)) {
        rc = driver_of(h, u)->did_alloc(u, did);
    }
    if (rc == 0) {
        pvi_record_did_alloc(h, u, *did);
    }
    pvi_posix_leave(h, PVI_AT_DID_ALLOC);
    return rc;
}

void pvi_host_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    (void)pvi_posix_enter(h, PVI_AT_DID_FREE);
    pvi_record_did_free(h, u, did);
    driver_of(h, u)->did_free(u, did);
    pvi_posix_leave(h, PVI_AT_DID_FREE);
}

int pvi_host_dev_switch(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                        const struct pvi_dev_entry *to, bool *was_absent)
{
    bool absent = false;
    int rc = -PVI_EHW;

    if (!pvi_posix_enter(h, PVI_AT_DEV_SWITCH)) {
        pvi_record_switch_begin(h, u, rid, to);
        rc = driver_of(h, u)->dev_switch(u, rid, to, &absent);
        pvi_record_switch_end(h, u, rid, to, rc, absent);
        *was_absent = absent;
    }
    pvi_posix_leave(h, PVI_AT_DEV_SWITCH);
    return rc;
}

int pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                        unsigned nr)
{
    int rc = -PVI_EHW;
    bool fail = pvi_posix_enter(h, PVI_AT_INV_SUBMIT);

    pvi_record_submit_begin(h, u, inv, nr);
    if (!fail) {
        rc = driver_of(h, u)->submit(u, inv, nr);
    }
    pvi_record_submit_end(h, u, rc);
    pvi_posix_leave(h, PVI_AT_INV_SUBMIT);
    return rc;
}

int pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u)
{
    int rc = -PVI_EHW;
    bool fail = pvi_posix_enter(h, PVI_AT_INV_WAIT);

    pvi_record_wait_begin(h, u);
    if (!fail) {
        rc = driver_of(h, u)->wait(u);
    }
    pvi_record_wait_end(h, u, rc);
    pvi_posix_leave(h, PVI_AT_INV_WAIT);
    return rc;
}

void pvi_posix_remove_unit(struct pvi_host *h, struct pvi_unit *u)
{
    unsigned i;

    pvi_record_unit_gone(h, u);
    pthread_mutex_lock(&h->lists_lock);
    for (i = 0; i < h->nr_units; i++) {
        if (h->unit[i].unit == u) {
            h->unit[i] = h->unit[--h->nr_units];
            break;
        }
    }
    pthread_mutex_unlock(&h->lists_lock);
}

/* The unit without hardware ------------------------------------------------------------------- */

static struct pvi_posix_null *null_of(struct pvi_unit *u)
{
    return (struct pvi_posix_null *)(void *)u; /* first member */
}

static int null_did_alloc(struct pvi_unit *u, uint16_t *did)
{
    struct pvi_posix_null *n = null_of(u);
    uint32_t i, at, nr = u->caps.nr_dids < 65536u ? u->caps.nr_dids : 65536u;

    for (i = 0; i + 1 < nr; i++) {
        at = 1 + (n->did_hint + i) % (nr - 1);
        if (!__atomic_exchange_n(&n->did_used[at], 1, __ATOMIC_ACQ_REL)) {
            n->did_hint = at;
            *did = (uint16_t)at;
            return 0;
        }
    }
    return -PVI_ENOSPC;
}

static void null_did_free(struct pvi_unit *u, uint16_t did)
{
    uint8_t was = __atomic_exchange_n(&null_of(u)->did_used[did], 0, __ATOMIC_ACQ_REL);

    PVI_ASSERT(was == 1); /* freed twice, or never given out */
}

/* Only what is absent is set, and only below a requester that translates. */
static int null_switch_pasid(struct pvi_posix_null *n, uint16_t rid, const struct pvi_dev_entry *to,
                             bool *was_absent)
{
    size_t i;

    for (i = 0; i < n->nr_pasids && (n->pasid[i].rid != rid || n->pasid[i].entry.pasid != to->pasid);
         i++) {
    }
    if (n->unit.caps.pasid_bits == 0 || to->pasid >> n->unit.caps.pasid_bits != 0) {
        return -PVI_EOPNOTSUPP;
    }
    if (i == PVI_POSIX_NULL_PASIDS) {
        return -PVI_ENOMEM;
    }
    *was_absent = i == n->nr_pasids || !n->pasid[i].entry.translate;
    PVI_ASSERT(!to->translate || (n->entry[rid].translate && *was_absent));
    n->nr_pasids += i == n->nr_pasids;
    n->pasid[i].rid = rid;
    n->pasid[i].entry = *to;
    return 0;
}

static int null_switch(struct pvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                       bool *was_absent)
{
    struct pvi_posix_null *n = null_of(u);

    if (to->translate && (((u->caps.levels_mask >> to->levels) & 1) == 0 ||
                          (to->guest.levels != 0 && (u->caps.guest_levels >> to->guest.levels & 1) == 0))) {
        return -PVI_EOPNOTSUPP;
    }
    if (to->pasid != 0) {
        return null_switch_pasid(n, rid, to, was_absent);
    }
    *was_absent = n->absent_entries && !n->entry[rid].translate;
    n->entry[rid] = *to;
    __atomic_fetch_add(&n->nr_switch, 1, __ATOMIC_RELAXED);
    return 0;
}

static int null_submit(struct pvi_unit *u, const struct pvi_inv *inv, unsigned nr)
{
    struct pvi_posix_null *n = null_of(u);
    unsigned i;

    if (n->fail_submit || u->broken) {
        u->broken = true;
        return -PVI_EHW;
    }
    for (i = 0; i < nr; i++) {
        PVI_ASSERT(inv[i].kind <= PVI_INV_ALL);
        PVI_ASSERT((inv[i].kind != PVI_INV_PAGES && inv[i].kind != PVI_INV_GUEST) ||
                   (inv[i].kind == PVI_INV_GUEST && inv[i].lg2 == 64) ||
                   (u->caps.page_selective && inv[i].lg2 >= 12 &&
                    inv[i].lg2 <= u->caps.inv_max_lg2 &&
                    (inv[i].iova & (((uint64_t)1 << inv[i].lg2) - 1)) == 0));
        __atomic_fetch_add(&n->nr_inv[inv[i].kind], 1, __ATOMIC_RELAXED);
        if (n->told) {
            n->told(n->opaque, n, &inv[i]);
        }
    }
    return 0;
}

static int null_wait(struct pvi_unit *u)
{
    struct pvi_posix_null *n = null_of(u);

    if (n->fail_wait || u->broken) {
        u->broken = true;
        return -PVI_EHW;
    }
    __atomic_fetch_add(&n->nr_wait, 1, __ATOMIC_RELAXED);
    return 0;
}

static const struct pvi_posix_driver null_driver = {
    null_did_alloc, null_did_free, null_switch, null_submit, null_wait,
};

static void null_defaults(struct pvi_unit_caps *caps)
{
    caps->page_sizes = caps->page_sizes ? caps->page_sizes : 0x40201000u;
    caps->levels_mask = caps->levels_mask ? caps->levels_mask : 1u << 4;
    caps->iova_bits = caps->iova_bits ? caps->iova_bits : 48;
    caps->pa_bits = caps->pa_bits ? caps->pa_bits : 52;
    caps->inv_max_lg2 = caps->inv_max_lg2 ? caps->inv_max_lg2 : 30;
    caps->inv_max_nr = caps->inv_max_nr ? caps->inv_max_nr : 32;
    caps->nr_dids = caps->nr_dids ? caps->nr_dids : 65536u;
}

int pvi_posix_add_null(struct pvi_host *h, struct pvi_posix_null *n)
{
    int rc = -PVI_ENOMEM;

    null_defaults(&n->unit.caps);
    n->entry = calloc(65536u, sizeof(*n->entry));
    n->did_used = calloc(65536u, 1);
    n->pasid = calloc(PVI_POSIX_NULL_PASIDS, sizeof(*n->pasid));
    if (n->entry && n->did_used && n->pasid) {
        rc = pvi_posix_add_unit(h, &n->unit, &null_driver);
    }
    if (rc != 0) {
        pvi_posix_null_fini(n);
    }
    return rc;
}

void pvi_posix_null_fini(struct pvi_posix_null *n)
{
    free(n->entry);
    free(n->did_used);
    free(n->pasid);
    n->entry = NULL;
    n->pasid = NULL;
    n->did_used = NULL;
}

/* Registers ----------------------------------------------------------------------------------- */

int pvi_posix_mmio(struct pvi_host *h, uint64_t first, uint64_t last,
                   const struct pvi_posix_mmio *mmio)
{
    if (h->nr_mmio == PVI_POSIX_MMIO_RANGES) {
        return -PVI_ENOSPC;
    }
    h->mmio[h->nr_mmio].first = first;
    h->mmio[h->nr_mmio].last = last;
    h->mmio[h->nr_mmio].ops = *mmio;
    h->nr_mmio++;
    return 0;
}

static const struct pvi_posix_mmio *mmio_of(struct pvi_host *h, uint64_t pa)
{
    unsigned i;

    for (i = 0; i < h->nr_mmio; i++) {
        if (pa >= h->mmio[i].first && pa <= h->mmio[i].last) {
            return &h->mmio[i].ops;
        }
    }
    return NULL;
}

uint32_t pvi_host_mmio_read32(struct pvi_host *h, uint64_t pa)
{
    const struct pvi_posix_mmio *m = mmio_of(h, pa);
    uint32_t value;

    (void)pvi_posix_enter(h, PVI_AT_MMIO_READ);
    value = m ? m->read32(m->opaque, pa) : UINT32_MAX;
    pvi_posix_leave(h, PVI_AT_MMIO_READ);
    return value;
}

uint64_t pvi_host_mmio_read64(struct pvi_host *h, uint64_t pa)
{
    const struct pvi_posix_mmio *m = mmio_of(h, pa);
    uint64_t value;

    (void)pvi_posix_enter(h, PVI_AT_MMIO_READ);
    value = m ? m->read64(m->opaque, pa) : UINT64_MAX;
    pvi_posix_leave(h, PVI_AT_MMIO_READ);
    return value;
}

void pvi_host_mmio_write32(struct pvi_host *h, uint64_t pa, uint32_t value)
{
    const struct pvi_posix_mmio *m = mmio_of(h, pa);

    (void)pvi_posix_enter(h, PVI_AT_MMIO_WRITE);
    if (m) {
        m->write32(m->opaque, pa, value);
    }
    pvi_posix_leave(h, PVI_AT_MMIO_WRITE);
}

void pvi_host_mmio_write64(struct pvi_host *h, uint64_t pa, uint64_t value)
{
    const struct pvi_posix_mmio *m = mmio_of(h, pa);

    (void)pvi_posix_enter(h, PVI_AT_MMIO_WRITE);
    if (m) {
        m->write64(m->opaque, pa, value);
    }
    pvi_posix_leave(h, PVI_AT_MMIO_WRITE);
}
