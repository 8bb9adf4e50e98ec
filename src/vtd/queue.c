/* SPDX-License-Identifier: MIT */
/*
 * The invalidation queue of a unit: many CPUs put, each waits for its own. VT-d 6.5.2; hwspec 1.10,
 * 4. The write buffer, which needs flushing where nothing is put (VT-d 6.8; hwspec 1.12), is here
 * too.
 */
#include "queue.h"

/* Words of the status page: where waiters look, and where a fence writes what nobody reads. */
#define STATUS_SEQ   0u
#define STATUS_FENCE 64u

/*
 * Turns of a wait between two looks at the unit's error bits: a register read costs more than many
 * reads of memory.
 */
#define ERROR_CHECK_TURNS 256u

int pvi_vtd_fail(struct pvi_vtd_unit *u)
{
    uint64_t status;

    if (!u->unit.broken) {
        u->unit.broken = true;
        /*
         * ICESID, ITESID in 63:32 and the queue's error code in 3:0 of IQERCD leave room for FSTS
         * between.
         */
        status = vtd_read64(u, VTD_REG_IQERCD) & (VTD_IQERCD_SIDS | VTD_IQERCD_IQEI);
        status |= (uint64_t)(vtd_read32(u, VTD_REG_FSTS) & 0xffffu) << 16;
        pvi_host_event(u->unit.host, PVI_EVENT_UNIT_ERROR, u->unit.index, status);
    }
    return -PVI_EHW;
}

/* Has the queue stopped? All ones, a unit that is gone, count as every error. The lock is held. */
static int check_queue(struct pvi_vtd_unit *u)
{
    if (u->unit.broken) {
        return -PVI_EHW;
    }
    return vtd_read32(u, VTD_REG_FSTS) & VTD_FSTS_QUEUE ? pvi_vtd_fail(u) : 0;
}

static int wait_gsts(const struct pvi_vtd_unit *u, uint32_t bit, bool on)
{
    uint64_t turns = 0;
    uint32_t gsts;

    for (;;) {
        gsts = vtd_read32(u, VTD_REG_GSTS);
        if (gsts == ~(uint32_t)0) {
            return -PVI_EHW;
        }
        if (((gsts & bit) != 0) == on) {
            return 0;
        }
        if (!pvi_host_poll(u->unit.host, turns++)) {
            return -PVI_EHW;
        }
    }
}

/*
 * The register cannot be read, and a level bit written as 0 turns its function off: all levels come
 * from GSTS, one-shots that have run do not (hwspec 1.4).
 */
int pvi_vtd_command(const struct pvi_vtd_unit *u, uint32_t bit, bool set, bool done)
{
    uint32_t gsts = vtd_read32(u, VTD_REG_GSTS);
    uint32_t levels = gsts & VTD_GSTS_LEVELS;

    if (gsts == ~(uint32_t)0) {
        return -PVI_EHW;
    }
    vtd_write32(u, VTD_REG_GCMD, set ? levels | bit : levels & ~bit);
    return wait_gsts(u, bit, done);
}

/*
 * The lock is held and dropped meanwhile: two CPUs must not have the one-shot running at the same
 * time.
 */
static int flush_write_buffer(struct pvi_vtd_unit *u)
{
    uint64_t turns = 0;
    uint32_t gsts = vtd_read32(u, VTD_REG_GSTS);
    bool go = true;
    int rc;

    while (go && gsts & VTD_GCMD_WBF) {
        vtd_unlock(u);
        go = pvi_host_poll(u->unit.host, turns++);
        vtd_lock(u);
        gsts = vtd_read32(u, VTD_REG_GSTS);
    }
    if (gsts & VTD_GCMD_WBF) {
        return pvi_vtd_fail(u);
    }
    vtd_write32(u, VTD_REG_GCMD, (gsts & VTD_GSTS_LEVELS) | VTD_GCMD_WBF);
    vtd_unlock(u);
    rc = wait_gsts(u, VTD_GCMD_WBF, false);
    vtd_lock(u);
    return rc ? pvi_vtd_fail(u) : 0;
}

/* Slots of 128 bits, or of 256 in scalable mode, whose upper half nobody ever writes (hwspec 1.10). */
static unsigned slot_lg2(const struct pvi_vtd_unit *u)
{
    return VTD_QUEUE_SLOT_LG2 + u->scalable;
}

static unsigned nr_slots(const struct pvi_vtd_unit *u)
{
    return 1u << (VTD_QUEUE_LG2 - slot_lg2(u));
}

static struct pvi_vtd_desc *slot_at(const struct pvi_vtd_unit *u, struct pvi_vtd_desc *slots,
                                    unsigned n)
{
    return &slots[n << u->scalable];
}

/* Slots that can be filled. One stays free: a full ring would look like an empty one. */
static unsigned room(const struct pvi_vtd_unit *u)
{
    return ((unsigned)u->head - u->tail - 1u) & (nr_slots(u) - 1);
}

/* Shows the unit what was put. The lock is held. */
static void ring(struct pvi_vtd_unit *u, struct pvi_vtd_desc *slots)
{
    unsigned first = u->rung, end = u->tail < u->rung ? nr_slots(u) : u->tail;

    if (u->rung == u->tail) {
        return;
    }
    if (!vtd_snoops(u)) {
        pvi_env_writeback(u->unit.host, slot_at(u, slots, first), (end - first) << slot_lg2(u));
        if (end != u->tail && u->tail != 0) {
            pvi_env_writeback(u->unit.host, slots, (unsigned)u->tail << slot_lg2(u));
        }
    }
    pvi_env_mb();
    vtd_write64(u, VTD_REG_IQT, (uint64_t)u->tail << slot_lg2(u));
    u->rung = u->tail;
}

/*
 * Waits until nr more slots are free. The head is what the unit has fetched: such a slot can be
 * filled again, though what it held may not have completed. The lock is held, and dropped while
 * waiting.
 */
static int make_room(struct pvi_vtd_unit *u, struct pvi_vtd_desc *slots, unsigned nr)
{
    uint64_t turns = 0;
    unsigned head;
    bool go = true;

    while (room(u) < nr) {
        head = VTD_IQH_BYTE(vtd_read64(u, VTD_REG_IQH)) >> slot_lg2(u);
        if (!go || head >= nr_slots(u)) {
            return pvi_vtd_fail(u);
        }
        if (check_queue(u)) {
            return -PVI_EHW;
        }
        u->head = (uint16_t)head;
        if (room(u) >= nr) {
            break;
        }
        ring(u, slots);
        vtd_unlock(u);
        go = pvi_host_poll(u->unit.host, turns++);
        vtd_lock(u);
    }
    return 0;
}

static void put(struct pvi_vtd_unit *u, struct pvi_vtd_desc *slots, const struct pvi_vtd_desc *d)
{
    struct pvi_vtd_desc *slot = slot_at(u, slots, u->tail);

    pvi_env_write64(u->unit.host, &slot->w[0], d->w[0]);
    pvi_env_write64(u->unit.host, &slot->w[1], d->w[1]);
    u->tail = (uint16_t)((u->tail + 1u) & (nr_slots(u) - 1));
}

/*
 * The unit may work on several descriptors at once, and an IOTLB invalidation that overtakes the
 * context or PASID cache's would leave room for a fill through the old entry (hwspec 4.2, recalled,
 * unconfirmed). The fence writes a word that nobody reads, because emulated units refuse a wait
 * descriptor that tells nobody.
 */
static void put_fence(struct pvi_vtd_unit *u, struct pvi_vtd_desc *slots)
{
    struct pvi_vtd_desc d;
    pvi_pa word = {u->status.a + STATUS_FENCE};

    d = pvi_vtd_desc_wait(PVI_VTD_WAIT_STATUS | PVI_VTD_WAIT_FENCE, 0, word);
    put(u, slots, &d);
}

static int submit_one(struct pvi_vtd_unit *u, struct pvi_vtd_desc *slots, const struct pvi_inv *inv)
{
    struct pvi_vtd_desc d[PVI_VTD_INV_DESCS];
    unsigned i, nr;
    int rc;

    if (inv->kind == PVI_INV_WBUF) {
        return u->unit.caps.write_buffer ? flush_write_buffer(u) : 0;
    }
    nr = u->scalable ? pvi_vtd_sm_encode_inv(u->cap, inv, d) : pvi_vtd_encode_inv(u->cap, inv, d);
    /* Each may want a fence behind it. */
    rc = make_room(u, slots, 2 * nr);
    for (i = 0; i < nr && !rc; i++) {
        put(u, slots, &d[i]);
        if (pvi_vtd_desc_needs_fence(&d[i])) {
            put_fence(u, slots);
        }
    }
    return rc;
}

int pvi_vtd_queue_submit(struct pvi_vtd_unit *u, const struct pvi_inv *inv, unsigned nr)
{
    struct pvi_vtd_desc *slots = pvi_env_map(u->unit.host, u->queue);
    unsigned i;
    int rc;

    vtd_lock(u);
    rc = u->unit.broken ? -PVI_EHW : 0;
    for (i = 0; i < nr && !rc; i++) {
        rc = submit_one(u, slots, &inv[i]);
    }
    if (!rc) {
        ring(u, slots);
    }
    vtd_unlock(u);
    pvi_env_unmap(u->unit.host, slots);
    return rc;
}

/* Waits until the unit has written seq or a later number into the status word. No lock is held. */
static int wait_seq(struct pvi_vtd_unit *u, uint32_t seq)
{
    uint8_t *page = pvi_env_map(u->unit.host, u->status);
    const uint32_t *word = (const uint32_t *)(const void *)(page + STATUS_SEQ);
    uint64_t turns = 0;
    bool go = true;
    int rc = 0;

    /*
     * Every wait descriptor is a fence, so numbers arrive in the order in which they were queued.
     * If this CPU slept for 2^31 waits of others, the comparison errs to "not yet".
     */
    while ((int32_t)(pvi_env_read32(word) - seq) < 0) {
        if (turns % ERROR_CHECK_TURNS == ERROR_CHECK_TURNS - 1 || !go) {
            vtd_lock(u);
            rc = go ? check_queue(u) : pvi_vtd_fail(u);
            vtd_unlock(u);
            if (rc) {
                break;
            }
        }
        go = pvi_host_poll(u->unit.host, turns++);
    }
    /* What the caller does next, giving pages away, must not be seen before the completion was. */
    pvi_env_mb();
    pvi_env_unmap(u->unit.host, page);
    return rc;
}

int pvi_vtd_queue_wait(struct pvi_vtd_unit *u)
{
    struct pvi_vtd_desc *slots = pvi_env_map(u->unit.host, u->queue);
    pvi_pa word = {u->status.a + STATUS_SEQ};
    struct pvi_vtd_desc d;
    uint32_t seq = 0;
    int rc;

    vtd_lock(u);
    rc = u->unit.broken ? -PVI_EHW : make_room(u, slots, 1);
    if (!rc) {
        seq = ++u->seq;
        d = pvi_vtd_desc_wait(PVI_VTD_WAIT_STATUS | PVI_VTD_WAIT_FENCE, seq, word);
        put(u, slots, &d);
        ring(u, slots);
    }
    vtd_unlock(u);
    pvi_env_unmap(u->unit.host, slots);
    return rc ? rc : wait_seq(u, seq);
}

/*
 * Stops a queue. Commands in it are drained first, but a queue that firmware has left stuck does
 * not drain: what counts is that the unit confirms that it is off.
 */
int pvi_vtd_queue_off(const struct pvi_vtd_unit *u)
{
    uint64_t turns = 0;

    if (!(vtd_read32(u, VTD_REG_GSTS) & VTD_GCMD_QIE)) {
        return 0;
    }
    while (VTD_IQH_BYTE(vtd_read64(u, VTD_REG_IQH)) != VTD_IQH_BYTE(vtd_read64(u, VTD_REG_IQT)) &&
           !(vtd_read32(u, VTD_REG_FSTS) & VTD_FSTS_QUEUE) && pvi_host_poll(u->unit.host, turns)) {
        turns++;
    }
    return pvi_vtd_command(u, VTD_GCMD_QIE, false, false);
}

int pvi_vtd_queue_on(struct pvi_vtd_unit *u)
{
    u->head = 0;
    u->tail = 0;
    u->rung = 0;
    u->seq = 0;
    /*
     * An old queue may have stopped once more after its errors were cleared; they must not pass for
     * ours.
     */
    vtd_write32(u, VTD_REG_FSTS, VTD_FSTS_QUEUE);
    pvi_env_mb();
    vtd_write64(u, VTD_REG_IQT, 0);
    vtd_write64(u, VTD_REG_IQA, u->queue.a | (u->scalable ? VTD_IQA_DW : 0));
    return pvi_vtd_command(u, VTD_GCMD_QIE, true, true);
}
