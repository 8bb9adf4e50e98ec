/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi command ring and event log of one unit (48882 2.4, 2.5, 3.3.13; hwspec 7).
 *
 * The ring has one writer at a time (PVI_LOCK_UNIT) and any number of waiters without a lock. Each
 * wait is a COMPLETION_WAIT that stores a number which only grows, and a waiter returns when the
 * stored number reaches that of a COMPLETION_WAIT queued after its own commands. It may have been
 * queued by another CPU; it counts because it is behind this CPU's commands in the ring, and it is
 * waited for, not merely seen queued (R8).
 */
#include "ring.h"
#include "spec.h"

/* In the semaphore page, beside the sequence number: fences write here, nobody reads it. */
#define AMDVI_SEMAPHORE_SCRATCH 8u

/* A look at the status register costs as much as many at memory: once in so many turns of a wait.
 */
#define STATUS_TURNS 64u

uint64_t pvi_amdvi_read(const struct pvi_amdvi_unit *u, unsigned reg)
{
    return pvi_host_mmio_read64(u->unit.host, u->cfg.reg_pa + reg);
}

void pvi_amdvi_write(const struct pvi_amdvi_unit *u, unsigned reg, uint64_t value)
{
    pvi_host_mmio_write64(u->unit.host, u->cfg.reg_pa + reg, value);
}

bool pvi_amdvi_status_is(const struct pvi_amdvi_unit *u, uint64_t mask, uint64_t want)
{
    uint64_t turns = 0;

    while ((pvi_amdvi_read(u, AMDVI_REG_STATUS) & mask) != want) {
        if (!pvi_host_poll(u->unit.host, turns++)) {
            return false;
        }
    }
    return true;
}

int pvi_amdvi_usable(const struct pvi_amdvi_unit *u)
{
    if (!u->enabled) {
        return -PVI_ENOTINIT;
    }
    return u->unit.broken ? -PVI_EHW : 0;
}

void pvi_amdvi_break(struct pvi_amdvi_unit *u)
{
    if (!u->unit.broken) {
        u->unit.broken = true;
        pvi_host_event(u->unit.host, PVI_EVENT_UNIT_ERROR, u->unit.index,
                       pvi_amdvi_read(u, AMDVI_REG_STATUS));
    }
}

/* Command ring --------------------------------------------------------------------------------- */

/* One turn of a wait for the ring. False when the ring has stopped (a bad command) or the host
 * gives up. */
static bool ring_turn(const struct pvi_amdvi_unit *u, uint64_t turns)
{
    if (turns % STATUS_TURNS == STATUS_TURNS - 1u &&
        (pvi_amdvi_read(u, AMDVI_REG_STATUS) & AMDVI_STATUS_CMD_BUF_RUN) == 0) {
        return false;
    }
    return pvi_host_poll(u->unit.host, turns);
}

/* Tells the unit of what was queued; the commands must be in memory before it looks. */
static void ring_doorbell(struct pvi_amdvi_unit *u)
{
    if (u->rung != u->tail) {
        pvi_env_mb();
        pvi_amdvi_write(u, AMDVI_REG_CMD_TAIL, u->tail);
        u->rung = u->tail;
    }
}

static bool ring_full(const struct pvi_amdvi_unit *u)
{
    /* One slot stays free: head == tail means empty. */
    return (u->tail + AMDVI_RING_ENTRY) % AMDVI_RING_BYTES == u->head;
}

/*
 * Makes sure that a command can be queued. The head is how far the unit has fetched, which is
 * enough for a slot to be filled again. The lock is held; it is dropped while waiting, so others
 * may have queued commands meanwhile.
 */
static int ring_room(struct pvi_amdvi_unit *u)
{
    uint64_t head, turns = 0;
    bool go_on;
    int err;

    while (ring_full(u)) {
        ring_doorbell(u);
        head = pvi_amdvi_read(u, AMDVI_REG_CMD_HEAD) & AMDVI_RING_PTR;
        if (head < AMDVI_RING_BYTES && head != u->head) {
            u->head = (uint32_t)head;
            return 0;
        }
        pvi_env_release(u->unit.host, &u->lock);
        go_on = head < AMDVI_RING_BYTES && ring_turn(u, turns++);
        pvi_env_acquire(u->unit.host, &u->lock);
        if (!go_on) {
            pvi_amdvi_break(u);
        }
        err = pvi_amdvi_usable(u);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static void ring_put(struct pvi_amdvi_unit *u, const struct pvi_amdvi_cmd *c)
{
    uint64_t *ring;

    ring = pvi_env_map(u->unit.host, u->ring);
    pvi_env_write64(u->unit.host, &ring[u->tail / 8u], c->w[0]);
    pvi_env_write64(u->unit.host, &ring[u->tail / 8u + 1u], c->w[1]);
    pvi_env_unmap(u->unit.host, ring);
    u->tail = (u->tail + AMDVI_RING_ENTRY) % AMDVI_RING_BYTES;
}

/* One command behind the others; waits for room. */
static int ring_add(struct pvi_amdvi_unit *u, const struct pvi_amdvi_cmd *c)
{
    int err = ring_room(u);

    if (err == 0) {
        ring_put(u, c);
        u->wait_newest = false;
    }
    return err;
}

int pvi_amdvi_unit_submit(struct pvi_amdvi_unit *u, const struct pvi_inv *inv, unsigned nr)
{
    struct pvi_amdvi_cmd c;
    pvi_pa scratch;
    uint32_t i, commands;
    unsigned n;
    int err;

    pvi_env_acquire(u->unit.host, &u->lock);
    err = pvi_amdvi_usable(u);
    scratch.a = u->semaphore.a + AMDVI_SEMAPHORE_SCRATCH;
    for (n = 0; n < nr && err == 0; n++) {
        commands = pvi_amdvi_inv_nr(&inv[n], u->efr);
        for (i = 0; i < commands && err == 0; i++) {
            c = pvi_amdvi_inv_cmd(&inv[n], u->efr, i);
            err = ring_add(u, &c);
            if (err == 0 && pvi_amdvi_inv_fence(&inv[n], u->efr, i)) {
                c = pvi_amdvi_cmd_fence(scratch);
                err = ring_add(u, &c);
            }
        }
    }
    pvi_env_release(u->unit.host, &u->lock);
    return err;
}

/* Sequence number of a COMPLETION_WAIT behind all that is in the ring now; the unit is told of it.
 */
static int wait_queue(struct pvi_amdvi_unit *u, uint64_t *mine)
{
    struct pvi_amdvi_cmd c;
    int err;

    err = pvi_amdvi_usable(u);
    if (err == 0 && !u->wait_newest) {
        err = ring_room(u);
    }
    if (err != 0) {
        return err;
    }
    if (!u->wait_newest) {
        u->seq++;
        c = pvi_amdvi_cmd_wait(u->semaphore, u->seq);
        ring_put(u, &c);
        u->wait_newest = true;
    }
    ring_doorbell(u);
    *mine = u->seq;
    return 0;
}

int pvi_amdvi_unit_wait(struct pvi_amdvi_unit *u)
{
    uint64_t *semaphore;
    uint64_t mine = 0, turns = 0;
    bool done;
    int err;

    pvi_env_acquire(u->unit.host, &u->lock);
    err = wait_queue(u, &mine);
    pvi_env_release(u->unit.host, &u->lock);
    if (err != 0) {
        return err;
    }
    semaphore = pvi_env_map(u->unit.host, u->semaphore);
    do {
        done = pvi_env_read64(semaphore) >= mine;
    } while (!done && ring_turn(u, turns++));
    pvi_env_unmap(u->unit.host, semaphore);
    if (!done) {
        pvi_env_acquire(u->unit.host, &u->lock);
        pvi_amdvi_break(u);
        pvi_env_release(u->unit.host, &u->lock);
        return -PVI_EHW;
    }
    pvi_env_mb(); /* what the caller now reuses is not touched before the number was seen */
    return 0;
}

/* Event log ------------------------------------------------------------------------------------ */

/*
 * Takes the event at log_at. Errata 732 and 733: the tail may be seen before the entry, which shows
 * as a code of zero because every entry is zeroed before its slot is given back (hwspec 7.4).
 */
static bool log_take(struct pvi_amdvi_unit *u, struct pvi_fault *f)
{
    struct pvi_host *h = u->unit.host;
    uint64_t *page, *entry;
    uint64_t w[2], turns = 0;

    page = pvi_env_map(h, u->log);
    entry = &page[u->log_at / 8u];
    do {
        w[0] = pvi_env_read64(&entry[0]);
    } while (w[0] >> AMDVI_EVENT_CODE_LO == 0 && pvi_host_poll(h, turns++));
    w[1] = pvi_env_read64(&entry[1]);
    pvi_env_write64(h, &entry[1], 0);
    pvi_env_write64(h, &entry[0], 0);
    pvi_env_unmap(h, page);
    pvi_env_mb(); /* the slot is clean before the unit may fill it again */
    u->log_at = (u->log_at + AMDVI_RING_ENTRY) % AMDVI_RING_BYTES;
    pvi_amdvi_write(u, AMDVI_REG_EVT_HEAD, u->log_at);
    if (w[0] >> AMDVI_EVENT_CODE_LO == 0) {
        return false;
    }
    pvi_amdvi_event_decode(w, f);
    return true;
}

/* The log had no room for an event, and stopped; by now it is drained (hwspec 7.4). */
static int log_restart(struct pvi_amdvi_unit *u, uint64_t status)
{
    uint64_t control;

    if (!pvi_amdvi_status_is(u, AMDVI_STATUS_EVENT_LOG_RUN, 0)) {
        return -PVI_EHW;
    }
    control = pvi_amdvi_read(u, AMDVI_REG_CONTROL);
    pvi_amdvi_write(u, AMDVI_REG_CONTROL, control & ~AMDVI_CONTROL_EVENT_LOG_EN);
    pvi_amdvi_write(u, AMDVI_REG_STATUS, AMDVI_STATUS_EVENT_OVERFLOW);
    pvi_amdvi_write(u, AMDVI_REG_CONTROL, control | AMDVI_CONTROL_EVENT_LOG_EN);
    pvi_host_event(u->unit.host, PVI_EVENT_UNIT_ERROR, u->unit.index, status);
    return 0;
}

int pvi_amdvi_unit_next_fault(struct pvi_amdvi_unit *u, struct pvi_fault *f)
{
    uint64_t tail, status;
    int rc = -PVI_ENOTINIT;

    pvi_env_acquire(u->unit.host, &u->lock);
    if (u->enabled) {
        tail = pvi_amdvi_read(u, AMDVI_REG_EVT_TAIL) & AMDVI_RING_PTR;
        if (tail >= AMDVI_RING_BYTES) {
            rc = -PVI_EHW;
        } else if (tail != u->log_at) {
            rc = log_take(u, f) ? 1 : -PVI_EHW;
        } else {
            status = pvi_amdvi_read(u, AMDVI_REG_STATUS);
            rc = (status & AMDVI_STATUS_EVENT_OVERFLOW) != 0 ? log_restart(u, status) : 0;
        }
    }
    pvi_env_release(u->unit.host, &u->lock);
    return rc;
}
