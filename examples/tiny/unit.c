/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own driver of a VT-d unit, on the library's encoders. (A host without a driver links the library's,
 * PVIOMMU_VTD_UNIT_SRCS, and writes pvi_host_mmio_*() instead: shim/bare.)
 *
 * The unit snoops. Where caps.coherent is false, pvi_env_writeback() follows each store to the root table, a context entry and
 * the queue, before the unit is told.
 */
#include "tiny.h"

#define POLL_TURNS (1u << 20)

static void *at(struct pvi_host *h, pvi_pa page)
{
    return pvi_env_map(h, page); /* all RAM is mapped: nothing to unmap */
}

static int page_zeroed(struct pvi_host *h, pvi_pa *pa)
{
    int rc = pvi_host_page_alloc(h, pa);

    if (rc == 0) {
        memset(at(h, *pa), 0, PVI_PAGE_SIZE);
    }
    return rc;
}

int tiny_unit_on(struct pvi_host *h)
{
    struct tiny_unit *u = &h->unit;
    int rc = pvi_vtd_caps(HW_CAP, HW_ECAP, 48, 0, &u->unit.caps);

    pvi_env_lock_init(h, &u->lock, PVI_LOCK_UNIT);
    u->unit.host = h;
    if (rc != 0 || (rc = page_zeroed(h, &u->root)) != 0 || (rc = page_zeroed(h, &u->queue)) != 0 ||
        (rc = page_zeroed(h, &u->status)) != 0 || (rc = pvi_did_init(h, &u->dids, u->unit.caps.nr_dids)) != 0) {
        return rc; /* the machine does not boot */
    }
    hw_unit_on(u->root.a, u->queue.a);
    return pvi_system_add_unit(&h->system, &u->unit);
}

void tiny_unit_off(struct pvi_host *h)
{
    struct pvi_vtd_entry *root = at(h, h->unit.root);
    unsigned bus;
    pvi_pa table;

    hw_unit_off();
    for (bus = 0; bus < 256; bus++) {
        if (pvi_vtd_root_decode(&root[bus], &table)) {
            pvi_host_page_free(h, table);
        }
    }
    pvi_did_fini(h, &h->unit.dids);
    pvi_host_page_free(h, h->unit.status);
    pvi_host_page_free(h, h->unit.queue);
    pvi_host_page_free(h, h->unit.root);
}

int pvi_host_did_alloc(struct pvi_host *h, struct pvi_unit *unit, uint16_t *did)
{
    int rc;

    pvi_env_acquire(h, &h->unit.lock);
    rc = pvi_did_alloc(h, &h->unit.dids, did);
    pvi_env_release(h, &h->unit.lock);
    return rc;
}

void pvi_host_did_free(struct pvi_host *h, struct pvi_unit *unit, uint16_t did)
{
    pvi_env_acquire(h, &h->unit.lock);
    pvi_did_free(h, &h->unit.dids, did);
    pvi_env_release(h, &h->unit.lock);
}

/* The context table of a bus, made when it is first needed and kept. */
static int bus_table(struct pvi_host *h, unsigned bus, pvi_pa *table)
{
    struct pvi_vtd_entry *root = (struct pvi_vtd_entry *)at(h, h->unit.root) + bus;
    int rc = 0;

    if (!pvi_vtd_root_decode(root, table)) {
        rc = page_zeroed(h, table);
        if (rc == 0) {
            pvi_env_write64(h, &root->lo, pvi_vtd_root_encode(*table).lo);
        }
    }
    return rc;
}

int pvi_host_dev_switch(struct pvi_host *h, struct pvi_unit *unit, uint16_t rid, const struct pvi_dev_entry *to,
                        bool *was_absent)
{
    struct pvi_vtd_entry e, *slot;
    uint64_t old[2], fresh[2];
    pvi_pa table;
    int rc = pvi_vtd_context_of(&unit->caps, to, &e);

    pvi_env_acquire(h, &h->unit.lock);
    rc = rc != 0 ? rc : bus_table(h, rid >> 8, &table);
    if (rc == 0) {
        slot = (struct pvi_vtd_entry *)at(h, table) + (rid & 0xff);
        old[0] = slot->lo;
        old[1] = slot->hi;
        fresh[0] = e.lo;
        fresh[1] = e.hi;
        *was_absent = (old[0] & 1) == 0;
        rc = pvi_env_cmpxchg128(h, &slot->lo, old, fresh) ? 0 : -PVI_EHW;
    }
    pvi_env_release(h, &h->unit.lock);
    return rc;
}

/* With the lock held. One slot stays free, else a full queue would look empty. */
static int put(struct pvi_host *h, struct pvi_vtd_desc d)
{
    struct tiny_unit *u = &h->unit;
    uint32_t next = (u->tail + 1) % HW_QUEUE_SLOTS, turns;

    for (turns = 0; hw_queue_head() == next; turns++) {
        if (turns == POLL_TURNS) {
            return -PVI_EHW;
        }
        hw_step();
    }
    ((struct pvi_vtd_desc *)at(h, u->queue))[u->tail] = d;
    u->tail = next;
    return 0;
}

int pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *unit, const struct pvi_inv *inv, unsigned nr)
{
    struct pvi_vtd_desc desc[PVI_VTD_INV_DESCS];
    unsigned i, j, n;
    int rc = 0;

    pvi_env_acquire(h, &h->unit.lock);
    for (i = 0; i < nr && !h->unit.forgetful; i++) {
        n = pvi_vtd_encode_inv(HW_CAP, &inv[i], desc);
        for (j = 0; j < n && rc == 0; j++) {
            rc = put(h, desc[j]);
            if (rc == 0 && pvi_vtd_desc_needs_fence(&desc[j])) {
                rc = put(h, pvi_vtd_desc_wait(PVI_VTD_WAIT_FENCE, 0, h->unit.status));
            }
        }
    }
    hw_queue_tail(h->unit.tail);
    pvi_env_release(h, &h->unit.lock);
    unit->broken |= rc != 0;
    return rc;
}

/* Each wait has a number of its own, so that nobody takes another's completion for his (R8). */
int pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *unit)
{
    const uint32_t *status = at(h, h->unit.status);
    uint32_t seq, turns = 0;
    int rc;

    pvi_env_acquire(h, &h->unit.lock);
    seq = ++h->unit.seq;
    rc = put(h, pvi_vtd_desc_wait(PVI_VTD_WAIT_STATUS, seq, h->unit.status));
    hw_queue_tail(h->unit.tail);
    pvi_env_release(h, &h->unit.lock);
    while (rc == 0 && (int32_t)(pvi_env_read32(status) - seq) < 0) {
        hw_step();
        rc = ++turns < POLL_TURNS ? 0 : -PVI_EHW;
    }
    unit->broken |= rc != 0;
    return rc;
}
