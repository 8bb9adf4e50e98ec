/* SPDX-License-Identifier: MIT */
/*
 * Driver of one AMD-Vi unit: capabilities, bring-up, shut-down, device entries (48882 2.2.2, 3.3;
 * hwspec 6). The command ring and the event log are in ring.c.
 */
#include <pviommu/amdvi.h>
#include <pviommu/pgtable.h>

#include "devtab.h"
#include "ring.h"
#include "spec.h"

/* What entries with guests' own GCR3 tables need. */
#define CONTROL_NESTED (AMDVI_CONTROL_GT_EN | AMDVI_CONTROL_GCR3_TRP_MODE)
#define RUN_BITS       (AMDVI_STATUS_EVENT_LOG_RUN | AMDVI_STATUS_CMD_BUF_RUN)
/* Pages that the unit reads and writes by itself: device table, ring, log, semaphore. */
#define UNIT_PAGES     (AMDVI_DEV_TAB_PAGES + 3u)

/* Capabilities --------------------------------------------------------------------------------- */

int pvi_amdvi_unit_init(struct pvi_amdvi_unit *u, struct pvi_host *h,
                        const struct pvi_amdvi_cfg *cfg)
{
    struct pvi_unit_caps *caps = &u->unit.caps;
    uint64_t efr = 0, efr2 = 0;
    int err;

    memset(u, 0, sizeof(*u));
    u->unit.host = h;
    u->cfg = *cfg;
    if ((cfg->reg_pa & PVI_PAGE_MASK) != 0) {
        return -PVI_EINVAL;
    }
    if (pvi_amdvi_read(u, AMDVI_REG_CONTROL) == UINT64_MAX) {
        return -PVI_EOPNOTSUPP;
    }
    if (cfg->efr_sup) {
        efr = pvi_amdvi_read(u, AMDVI_REG_EFR);
        if (efr == UINT64_MAX) {
            return -PVI_EOPNOTSUPP;
        }
        /* Firmware knows of workarounds that the register does not show (hwspec 6.4). */
        efr = cfg->efr_copy ? cfg->efr : efr;
        efr2 = pvi_amdvi_read(u, AMDVI_REG_EFR2);
    }
    err = pvi_amdvi_caps(efr, efr2, cfg, caps);
    if (err != 0) {
        return err;
    }
    u->efr = efr;
    pvi_amdvi_features(efr, efr2, cfg->pa_bits, &u->features);
    u->features.nested = u->features.nested && cfg->guest;
    if (u->features.nested) {
        caps->guest_levels = u->features.guest_levels;
        caps->guest_depth = u->features.gcr3_levels;
        /* pasid_bits stays 0: PASIDs of a guest are entries of its own GCR3 table (hwspec 6.10). */
    }
    pvi_env_lock_init(h, &u->lock, PVI_LOCK_UNIT);
    return 0;
}

/* Bring-up and shut-down ----------------------------------------------------------------------- */

static int page_alloc_zeroed(struct pvi_host *h, pvi_pa *pa)
{
    void *p;
    int err;

    err = pvi_host_page_alloc(h, pa);
    if (err != 0) {
        return err;
    }
    p = pvi_env_map(h, *pa);
    memset(p, 0, (size_t)PVI_PAGE_SIZE);
    pvi_env_writeback(h, p, (size_t)PVI_PAGE_SIZE);
    pvi_env_unmap(h, p);
    return 0;
}

static void page_free_scrubbed(struct pvi_host *h, pvi_pa pa)
{
    void *p;

    p = pvi_env_map(h, pa);
    memset(p, 0, (size_t)PVI_PAGE_SIZE);
    pvi_env_unmap(h, p);
    pvi_host_page_free(h, pa);
}

static int memory_get(struct pvi_amdvi_unit *u)
{
    struct pvi_host *h = u->unit.host;
    int err;

    err = page_alloc_zeroed(h, &u->ring);
    if (err != 0) {
        return err;
    }
    err = page_alloc_zeroed(h, &u->log);
    if (err != 0) {
        goto free_ring;
    }
    err = page_alloc_zeroed(h, &u->semaphore);
    if (err != 0) {
        goto free_log;
    }
    err = pvi_did_init(h, &u->dids, u->unit.caps.nr_dids);
    if (err != 0) {
        goto free_semaphore;
    }
    err = pvi_host_pages_alloc(h, AMDVI_DEV_TAB_ORDER, &u->devtab);
    if (err != 0) {
        goto free_dids;
    }
    pvi_amdvi_devtab_fill(h, u->devtab);
    return 0;
free_dids:
    pvi_did_fini(h, &u->dids);
free_semaphore:
    page_free_scrubbed(h, u->semaphore);
free_log:
    page_free_scrubbed(h, u->log);
free_ring:
    page_free_scrubbed(h, u->ring);
    return err;
}

static void memory_put(struct pvi_amdvi_unit *u)
{
    struct pvi_host *h = u->unit.host;

    pvi_amdvi_devtab_scrub(h, u->devtab);
    pvi_host_pages_free(h, u->devtab, AMDVI_DEV_TAB_ORDER);
    pvi_did_fini(h, &u->dids);
    page_free_scrubbed(h, u->semaphore);
    page_free_scrubbed(h, u->log);
    page_free_scrubbed(h, u->ring);
}

/*
 * Stops everything that the unit does by itself. Rings before the unit: a ring base may change only
 * once its run bit is clear (hwspec 7.1), and the run bits are also the proof that the unit writes
 * to no page of ours any more.
 */
static int unit_stop(const struct pvi_amdvi_unit *u)
{
    uint64_t control = pvi_amdvi_read(u, AMDVI_REG_CONTROL);

    control &=
        ~(AMDVI_CONTROL_CMD_BUF_EN | AMDVI_CONTROL_EVENT_LOG_EN | AMDVI_CONTROL_EVENT_INT_EN |
          AMDVI_CONTROL_COM_WAIT_INT_EN | AMDVI_CONTROL_PPR_LOG_EN | AMDVI_CONTROL_PPR_INT_EN |
          AMDVI_CONTROL_PPR_EN | AMDVI_CONTROL_GA_LOG_EN | AMDVI_CONTROL_GA_INT_EN);
    pvi_amdvi_write(u, AMDVI_REG_CONTROL, control);
    if (!pvi_amdvi_status_is(u, RUN_BITS, 0)) {
        return -PVI_EHW;
    }
    control &= ~AMDVI_CONTROL_IOMMU_EN;
    pvi_amdvi_write(u, AMDVI_REG_CONTROL, control);
    return (pvi_amdvi_read(u, AMDVI_REG_CONTROL) & AMDVI_CONTROL_IOMMU_EN) == 0 ? 0 : -PVI_EHW;
}

/* A stopped unit names no page of ours any more: whoever starts it next must not run on freed memory. */
static void unit_forget_bases(struct pvi_amdvi_unit *u)
{
    pvi_amdvi_write(u, AMDVI_REG_DEV_TAB_BASE, 0);
    pvi_amdvi_write(u, AMDVI_REG_CMD_BUF_BASE, 0);
    pvi_amdvi_write(u, AMDVI_REG_EVT_LOG_BASE, 0);
}

/* Bases, heads and tails, of a stopped unit. Size and base go in one store. */
static void unit_program(struct pvi_amdvi_unit *u)
{
    /* An exclusion range that firmware left would be a hole through every table. */
    pvi_amdvi_write(u, AMDVI_REG_EXCL_BASE, 0);
    pvi_amdvi_write(u, AMDVI_REG_EXCL_LIMIT, 0);
    pvi_amdvi_write(u, AMDVI_REG_DEV_TAB_BASE, u->devtab.a | AMDVI_DEV_TAB_SIZE_2M);
    pvi_amdvi_write(u, AMDVI_REG_CMD_BUF_BASE, u->ring.a | AMDVI_RING_LEN_256);
    pvi_amdvi_write(u, AMDVI_REG_CMD_HEAD, 0);
    pvi_amdvi_write(u, AMDVI_REG_CMD_TAIL, 0);
    pvi_amdvi_write(u, AMDVI_REG_EVT_LOG_BASE, u->log.a | AMDVI_RING_LEN_256);
    pvi_amdvi_write(u, AMDVI_REG_EVT_HEAD, 0);
    pvi_amdvi_write(u, AMDVI_REG_EVT_TAIL, 0);
    pvi_amdvi_write(u, AMDVI_REG_STATUS,
                    AMDVI_STATUS_EVENT_OVERFLOW | AMDVI_STATUS_EVENT_LOG_INT |
                        AMDVI_STATUS_COM_WAIT_INT);
    u->head = 0;
    u->tail = 0;
    u->rung = 0;
    u->log_at = 0;
    u->seq = 0;
    u->wait_newest = false;
}

static uint64_t control_flags(const struct pvi_amdvi_unit *u)
{
    uint64_t flags = AMDVI_CONTROL_COHERENT | AMDVI_CONTROL_INV_TIMEOUT_1S;

    flags |= (u->cfg.ivhd_flags & AMDVI_IVHD_HT_TUN_EN) != 0 ? AMDVI_CONTROL_HT_TUN_EN : 0;
    flags |= (u->cfg.ivhd_flags & AMDVI_IVHD_PASS_PW) != 0 ? AMDVI_CONTROL_PASS_PW : 0;
    flags |= (u->cfg.ivhd_flags & AMDVI_IVHD_RES_PASS_PW) != 0 ? AMDVI_CONTROL_RES_PASS_PW : 0;
    flags |= (u->cfg.ivhd_flags & AMDVI_IVHD_ISOC) != 0 ? AMDVI_CONTROL_ISOC : 0;
    return u->features.nested ? flags | CONTROL_NESTED : flags;
}

/*
 * Flags, rings, then translation. Commands run only once all three are on, so what the caches hold
 * from an earlier owner is invalidated right after and not before (hwspec 7.1).
 */
static int unit_start(struct pvi_amdvi_unit *u)
{
    uint64_t control = pvi_amdvi_read(u, AMDVI_REG_CONTROL);
    struct pvi_inv all;
    int err;

    control &=
        ~(AMDVI_CONTROL_HT_TUN_EN | AMDVI_CONTROL_PASS_PW | AMDVI_CONTROL_RES_PASS_PW |
          AMDVI_CONTROL_ISOC | AMDVI_CONTROL_INV_TIMEOUT | AMDVI_CONTROL_DUAL_PPR_LOG_EN |
          AMDVI_CONTROL_DUAL_EVENT_LOG_EN | AMDVI_CONTROL_DEV_TBL_SEG_EN | AMDVI_CONTROL_MARC_EN |
          CONTROL_NESTED);
    control |= control_flags(u);
    pvi_amdvi_write(u, AMDVI_REG_CONTROL, control);
    control |= AMDVI_CONTROL_CMD_BUF_EN | AMDVI_CONTROL_EVENT_LOG_EN;
    pvi_amdvi_write(u, AMDVI_REG_CONTROL, control);
    control |= AMDVI_CONTROL_IOMMU_EN;
    pvi_amdvi_write(u, AMDVI_REG_CONTROL, control);
    if (!pvi_amdvi_status_is(u, RUN_BITS, RUN_BITS)) {
        return -PVI_EHW;
    }
    /* A unit that has not taken GCR3TRPMode would look for guests' GCR3 tables in host memory. */
    if (u->features.nested &&
        (pvi_amdvi_read(u, AMDVI_REG_CONTROL) & CONTROL_NESTED) != CONTROL_NESTED) {
        return -PVI_EHW;
    }
    u->enabled = true;
    memset(&all, 0, sizeof(all));
    all.kind = PVI_INV_ALL;
    err = pvi_amdvi_unit_submit(u, &all, 1);
    return err == 0 ? pvi_amdvi_unit_wait(u) : err;
}

int pvi_amdvi_unit_enable(struct pvi_amdvi_unit *u)
{
    int err;

    if (u->enabled) {
        return -PVI_EBUSY;
    }
    if (u->unit.broken) {
        return -PVI_EHW;
    }
    err = memory_get(u);
    if (err != 0) {
        return err;
    }
    err = unit_stop(u);
    if (err != 0) {
        pvi_amdvi_break(u);
        memory_put(u); /* no register names these pages yet */
        return err;
    }
    unit_program(u);
    err = unit_start(u);
    if (err == 0) {
        return 0;
    }
    pvi_amdvi_break(u);
    u->enabled = false;
    if (unit_stop(u) == 0) {
        unit_forget_bases(u);
        memory_put(u);
    } else {
        pvi_host_event(u->unit.host, PVI_EVENT_FLUSH_FAILED, u->unit.index, UNIT_PAGES);
    }
    return err;
}

int pvi_amdvi_unit_disable(struct pvi_amdvi_unit *u)
{
    struct pvi_inv all;
    int err;

    if (!u->enabled) {
        return 0;
    }
    memset(&all, 0, sizeof(all));
    all.kind = PVI_INV_ALL;
    err = pvi_amdvi_devtab_block(u->unit.host, u->devtab);
    err = err == 0 ? pvi_amdvi_unit_submit(u, &all, 1) : err;
    err = err == 0 ? pvi_amdvi_unit_wait(u) : err;
    err = err == 0 ? unit_stop(u) : err;
    if (err != 0) {
        pvi_amdvi_break(u);
        pvi_host_event(u->unit.host, PVI_EVENT_FLUSH_FAILED, u->unit.index, UNIT_PAGES);
        return err;
    }
    unit_forget_bases(u);
    u->enabled = false;
    memory_put(u);
    return 0;
}

/* Devices and domain ids ----------------------------------------------------------------------- */

static bool entry_fits(const struct pvi_unit_caps *caps, const struct pvi_dev_entry *to)
{
    if (to->pasid != 0) {
        return false; /* PASIDs have no entries of their own here */
    }
    return !to->translate ||
           (to->levels < 8u && (caps->levels_mask >> to->levels & 1u) != 0 && to->did != 0 &&
            to->did < caps->nr_dids && (to->root.a & PVI_PAGE_MASK) == 0 &&
            to->root.a >> caps->pa_bits == 0);
}

static int entry_put(struct pvi_amdvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to)
{
    struct pvi_amdvi_dte dte;
    int err;

    if (!to->translate || to->guest.levels == 0) {
        return pvi_amdvi_devtab_switch(u->unit.host, u->devtab, rid, to);
    }
    err = pvi_amdvi_dte_nested(&u->features, to, &dte);
    return err == 0 ? pvi_amdvi_devtab_put(u->unit.host, u->devtab, rid, &dte) : err;
}

static int entry_switch(struct pvi_amdvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to)
{
    int err;

    pvi_env_acquire(u->unit.host, &u->lock);
    err = pvi_amdvi_usable(u);
    if (err == -PVI_EHW && !to->translate) {
        err = 0; /* blocking never does harm, even if a dead unit does not notice */
    }
    if (err == 0) {
        err = entry_put(u, rid, to);
    }
    pvi_env_release(u->unit.host, &u->lock);
    return err;
}

/*
 * From v2 tables of a guest to ones of another depth. GuestPagingMode and GCR3 root lie in
 * different halves, so a unit that read the entry between the two stores would walk tables of one
 * depth as if they had the other. It must not use v2 tables at all while the mode changes: blocked,
 * and the old entry dropped (hwspec 6.8, which makes V = 0 of that moment; here V stays set).
 */
static int entry_reform(struct pvi_amdvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to)
{
    struct pvi_dev_entry block;
    struct pvi_amdvi_dte old;
    struct pvi_inv inv;
    int err;

    pvi_amdvi_devtab_get(u->unit.host, u->devtab, rid, &old);
    memset(&block, 0, sizeof(block));
    err = entry_switch(u, rid, &block);
    if (err != 0) {
        return err;
    }
    memset(&inv, 0, sizeof(inv));
    inv.kind = PVI_INV_DEVICE;
    inv.rid = rid;
    err = pvi_amdvi_unit_submit(u, &inv, 1);
    err = err == 0 ? pvi_amdvi_unit_wait(u) : err;
    err = err == 0 ? entry_switch(u, rid, to) : err;
    if (err != 0) {
        /* Back to the old one: not through entry_switch(), the unit may be broken by now. */
        pvi_env_acquire(u->unit.host, &u->lock);
        if (pvi_amdvi_devtab_put(u->unit.host, u->devtab, rid, &old) != 0) {
            pvi_amdvi_break(u); /* the requester stays blocked */
        }
        pvi_env_release(u->unit.host, &u->lock);
    }
    return err;
}

int pvi_amdvi_unit_switch(struct pvi_amdvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                          bool *was_absent)
{
    int err;

    *was_absent = false;
    if (!entry_fits(&u->unit.caps, to)) {
        return -PVI_EOPNOTSUPP;
    }
    err = entry_switch(u, rid, to);
    return err == -PVI_EBUSY ? entry_reform(u, rid, to) : err;
}

int pvi_amdvi_unit_did_alloc(struct pvi_amdvi_unit *u, uint16_t *did)
{
    int err = -PVI_ENOTINIT;

    pvi_env_acquire(u->unit.host, &u->lock);
    if (u->enabled) {
        err = pvi_did_alloc(u->unit.host, &u->dids, did);
    }
    pvi_env_release(u->unit.host, &u->lock);
    return err;
}

void pvi_amdvi_unit_did_free(struct pvi_amdvi_unit *u, uint16_t did)
{
    pvi_env_acquire(u->unit.host, &u->lock);
    PVI_ASSERT(u->enabled);
    pvi_did_free(u->unit.host, &u->dids, did);
    pvi_env_release(u->unit.host, &u->lock);
}
