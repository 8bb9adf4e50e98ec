/* SPDX-License-Identifier: MIT */
/*
 * One VT-d unit, driven by its registers: up and down, requesters of legacy mode (scalable.c has
 * those of scalable mode), faults, domain ids. Bring-up hwspec 1.11, GCMD 1.4 (VT-d 10.4.4), faults 5.2 (VT-d 7).
 */

#include "context.h"
#include "queue.h"
#include "scalable.h"

int pvi_vtd_unit_init(struct pvi_vtd_unit *u, struct pvi_host *h, const struct pvi_vtd_cfg *cfg)
{
    int rc;

    memset(u, 0, sizeof(*u));
    u->unit.host = h;
    u->reg_pa = cfg->reg_pa;
    if (cfg->reg_pa == 0 || cfg->reg_pa & PVI_PAGE_MASK || cfg->reg_size < VTD_REG_WINDOW) {
        return -PVI_EINVAL;
    }
    u->cap = vtd_read64(u, VTD_REG_CAP);
    u->ecap = vtd_read64(u, VTD_REG_ECAP);
    rc = pvi_vtd_caps(u->cap, u->ecap, cfg->haw_bits, cfg->quirks, &u->unit.caps);
    if (!rc && cfg->scalable) {
        rc = pvi_vtd_sm_init(u, cfg);
    }
    if (rc) {
        return rc;
    }
    if (cfg->reg_size < pvi_vtd_reg_size(u->cap)) {
        return -PVI_EINVAL;
    }
    pvi_env_lock_init(h, &u->lock, PVI_LOCK_UNIT);
    return 0;
}

int pvi_vtd_unit_submit(struct pvi_vtd_unit *u, const struct pvi_inv *inv, unsigned nr)
{
    return u->enabled ? pvi_vtd_queue_submit(u, inv, nr) : -PVI_ENOTINIT;
}

int pvi_vtd_unit_wait(struct pvi_vtd_unit *u)
{
    return u->enabled ? pvi_vtd_queue_wait(u) : -PVI_ENOTINIT;
}

/* Pages ---------------------------------------------------------------------------------------- */

void pvi_vtd_page_clear(const struct pvi_vtd_unit *u, pvi_pa pa)
{
    void *page = pvi_env_map(u->unit.host, pa);

    memset(page, 0, PVI_PAGE_SIZE);
    if (!vtd_snoops(u)) {
        pvi_env_writeback(u->unit.host, page, PVI_PAGE_SIZE);
    }
    pvi_env_unmap(u->unit.host, page);
}

int pvi_vtd_page_get(const struct pvi_vtd_unit *u, pvi_pa *pa)
{
    int rc = pvi_host_page_alloc(u->unit.host, pa);

    if (!rc) {
        pvi_vtd_page_clear(u, *pa);
    }
    return rc;
}

void pvi_vtd_page_put(const struct pvi_vtd_unit *u, pvi_pa pa)
{
    pvi_vtd_page_clear(u, pa);
    pvi_host_page_free(u->unit.host, pa);
}

static int take_pages(struct pvi_vtd_unit *u)
{
    int rc = pvi_did_init(u->unit.host, &u->dids, u->unit.caps.nr_dids);

    if (rc) {
        return rc;
    }
    rc = pvi_vtd_page_get(u, &u->root);
    if (rc) {
        goto no_root;
    }
    rc = pvi_vtd_page_get(u, &u->queue);
    if (rc) {
        goto no_queue;
    }
    rc = pvi_vtd_page_get(u, &u->status);
    if (!rc) {
        return 0;
    }
    pvi_vtd_page_put(u, u->queue);
no_queue:
    pvi_vtd_page_put(u, u->root);
no_root:
    pvi_did_fini(u->unit.host, &u->dids);
    return rc;
}

/*
 * Gives all pages back, or leaves those that the unit may still reach to it for ever. Only the ids'
 * page is none of the unit's business.
 */
static void give_pages(struct pvi_vtd_unit *u, bool reachable)
{
    struct pvi_vtd_entry *root = pvi_env_map(u->unit.host, u->root);
    struct pvi_vtd_entry e;
    uint64_t lost = 3;
    pvi_pa table;
    unsigned i;

    for (i = 0; i < 512; i++) {
        pvi_vtd_entry_read(&root[i / 2], &e);
        e.lo = i & 1 ? e.hi : e.lo; /* upper half of a bus, which legacy mode leaves zero */
        if (!pvi_vtd_root_decode(&e, &table)) {
            continue;
        }
        lost++;
        if (u->scalable) {
            lost += pvi_vtd_sm_give(u, table, reachable);
        }
        if (!reachable) {
            pvi_vtd_page_put(u, table);
        }
    }
    pvi_env_unmap(u->unit.host, root);
    pvi_did_fini(u->unit.host, &u->dids);
    if (reachable) {
        pvi_host_event(u->unit.host, PVI_EVENT_FLUSH_FAILED, u->unit.index, lost);
        return;
    }
    pvi_vtd_page_put(u, u->status);
    pvi_vtd_page_put(u, u->queue);
    pvi_vtd_page_put(u, u->root);
}

/* Up and down ---------------------------------------------------------------------------------- */

static int turn_off(const struct pvi_vtd_unit *u, uint32_t bit)
{
    return vtd_read32(u, VTD_REG_GSTS) & bit ? pvi_vtd_command(u, bit, false, false) : 0;
}

static int invalidate_all(struct pvi_vtd_unit *u)
{
    struct pvi_inv all = {.kind = PVI_INV_ALL};
    int rc = pvi_vtd_queue_submit(u, &all, 1);

    return rc ? rc : pvi_vtd_queue_wait(u);
}

static void clear_faults(const struct pvi_vtd_unit *u)
{
    uint32_t off = VTD_CAP_FRO(u->cap) + VTD_FRCD_TOP;
    unsigned i;

    for (i = 0; i < VTD_CAP_NFR(u->cap); i++, off += VTD_FRCD_SIZE) {
        if (vtd_read32(u, off) & VTD_FRCD_TOP_F) {
            vtd_write32(u, off, VTD_FRCD_TOP_F);
        }
    }
    vtd_write32(u, VTD_REG_FSTS, VTD_FSTS_RW1C);
}

static void mask_events(const struct pvi_vtd_unit *u)
{
    vtd_write32(u, VTD_REG_FECTL, VTD_ECTL_IM);
    vtd_write32(u, VTD_REG_IECTL, VTD_ECTL_IM);
    if (u->ecap & VTD_ECAP_PRS) {
        vtd_write32(u, VTD_REG_PECTL, VTD_ECTL_IM);
    }
}

/*
 * With TE on, the regions protect nothing that translation does not, and may block what it permits
 * (hwspec 1.9).
 */
static int protected_regions_off(const struct pvi_vtd_unit *u)
{
    uint64_t turns = 0;

    if (!(u->cap & (VTD_CAP_PLMR | VTD_CAP_PHMR))) {
        return 0;
    }
    vtd_write32(u, VTD_REG_PMEN, vtd_read32(u, VTD_REG_PMEN) & ~(VTD_PMEN_EPM | VTD_PMEN_PRS));
    while (vtd_read32(u, VTD_REG_PMEN) & VTD_PMEN_PRS) {
        if (!pvi_host_poll(u->unit.host, turns++)) {
            return -PVI_EHW;
        }
    }
    return 0;
}

/* The order of hwspec 1.11. */
static int bring_up(struct pvi_vtd_unit *u)
{
    if (turn_off(u, VTD_GCMD_TE)) {
        return -PVI_EHW;
    }
    if (turn_off(u, VTD_GCMD_EAFL)) { /* firmware's log lies in memory that is somebody else's by now */
        return -PVI_EHW;
    }
    clear_faults(u);
    mask_events(u);
    u->fault_drain = false;
    if (pvi_vtd_queue_off(u) || pvi_vtd_queue_on(u)) {
        return -PVI_EHW;
    }
    if (u->unit.caps.write_buffer && pvi_vtd_command(u, VTD_GCMD_WBF, true, false)) {
        return -PVI_EHW;
    }
    vtd_write64(u, VTD_REG_RTADDR, u->root.a | (u->scalable ? VTD_RTADDR_SCALABLE : 0));
    if (pvi_vtd_command(u, VTD_GCMD_SRTP, true, true)) {
        return -PVI_EHW;
    }
    /* Units with ESRTPS have dropped everything together with the old root table. */
    if (!(u->cap & VTD_CAP_ESRTPS) && invalidate_all(u)) {
        return -PVI_EHW;
    }
    if (pvi_vtd_command(u, VTD_GCMD_TE, true, true)) {
        return -PVI_EHW;
    }
    return protected_regions_off(u);
}

/* Off, with nothing cached, and confirmed so. */
static int shut_down(struct pvi_vtd_unit *u)
{
    int rc = u->unit.broken ? -PVI_EHW : pvi_vtd_queue_wait(u);

    if (turn_off(u, VTD_GCMD_TE)) {
        rc = -PVI_EHW;
    }
    if (!rc) {
        rc = invalidate_all(u);
    }
    if (pvi_vtd_queue_off(u)) {
        rc = -PVI_EHW;
    }
    return rc ? pvi_vtd_fail(u) : 0;
}

int pvi_vtd_unit_enable(struct pvi_vtd_unit *u)
{
    int rc;

    if (u->enabled) {
        return -PVI_EBUSY;
    }
    rc = take_pages(u);
    if (rc) {
        return rc;
    }
    u->unit.broken = false;
    if (!bring_up(u)) {
        u->enabled = true;
        return 0;
    }
    (void)pvi_vtd_fail(u);
    (void)shut_down(u);
    give_pages(u, true);
    return -PVI_EHW;
}

int pvi_vtd_unit_disable(struct pvi_vtd_unit *u)
{
    int rc;

    if (!u->enabled) {
        return 0;
    }
    rc = shut_down(u);
    give_pages(u, rc != 0);
    u->enabled = false;
    return rc;
}

/* Requesters ----------------------------------------------------------------------------------- */

static bool can_translate(const struct pvi_unit_caps *caps, const struct pvi_dev_entry *to)
{
    return to->levels < 8 && (caps->levels_mask >> to->levels & 1) && to->did != 0 &&
           to->did < caps->nr_dids && !(to->root.a & PVI_PAGE_MASK) &&
           !(to->root.a >> caps->pa_bits) && to->guest.levels == 0;
}

/* The half of a root entry that links the context table of rid (hwspec 2.1). */
static bool upper_half(const struct pvi_vtd_unit *u, uint16_t rid)
{
    return u->scalable && (rid & 0xff) > VTD_SMCTX_DEVFN;
}

static void read_root(const struct pvi_vtd_unit *u, uint16_t rid, struct pvi_vtd_entry *e)
{
    struct pvi_vtd_entry *root = pvi_env_map(u->unit.host, u->root);

    pvi_vtd_entry_read(&root[rid >> 8], e);
    pvi_env_unmap(u->unit.host, root);
}

bool pvi_vtd_find_table(const struct pvi_vtd_unit *u, uint16_t rid, pvi_pa *table)
{
    struct pvi_vtd_entry e;

    read_root(u, rid, &e);
    e.lo = upper_half(u, rid) ? e.hi : e.lo;
    return pvi_vtd_root_decode(&e, table);
}

/* Links a context table: 4 KiB of absent entries, written back, before the root shows them (R2). */
static bool link_table(const struct pvi_vtd_unit *u, uint16_t rid, pvi_pa table)
{
    struct pvi_vtd_entry *root, old, e, link = pvi_vtd_root_encode(table);
    bool ok;

    read_root(u, rid, &old);
    e = old;
    if (upper_half(u, rid)) {
        e.hi = link.lo;
    } else {
        e.lo = link.lo;
    }
    root = pvi_env_map(u->unit.host, u->root);
    ok = pvi_vtd_entry_switch(u->unit.host, vtd_snoops(u), &root[rid >> 8], &old, &e);
    pvi_env_unmap(u->unit.host, root);
    return ok;
}

int pvi_vtd_get_table(struct pvi_vtd_unit *u, uint16_t rid, pvi_pa *table)
{
    pvi_pa fresh;
    bool linked = false;
    int rc;

    if (pvi_vtd_find_table(u, rid, table)) {
        return 0;
    }
    vtd_unlock(u);
    rc = pvi_vtd_page_get(u, &fresh);
    vtd_lock(u);
    if (rc) {
        return rc;
    }
    if (!pvi_vtd_find_table(u, rid, table)) {
        linked = link_table(u, rid, fresh);
        rc = linked ? 0 : -PVI_EHW;
        *table = fresh;
    }
    if (!linked) {
        vtd_unlock(u);
        pvi_host_page_free(u->unit.host, fresh);
        vtd_lock(u);
    }
    return rc;
}

static int switch_entry(struct pvi_vtd_unit *u, pvi_pa table, uint16_t rid,
                        const struct pvi_vtd_entry *e, bool *was_absent)
{
    struct pvi_vtd_entry *slot = pvi_env_map(u->unit.host, table);
    struct pvi_vtd_entry old;
    bool ok;

    pvi_vtd_entry_read(&slot[rid & 0xff], &old);
    ok = pvi_vtd_entry_switch(u->unit.host, vtd_snoops(u), &slot[rid & 0xff], &old, e);
    pvi_env_unmap(u->unit.host, slot);
    if (!ok) {
        return -PVI_EHW;
    }
    *was_absent = !(old.lo & VTD_CTX_P);
    return 0;
}

int pvi_vtd_unit_switch(struct pvi_vtd_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                        bool *was_absent)
{
    struct pvi_vtd_context c = {.present = to->translate,
                                .tt = PVI_VTD_TT_SECOND_STAGE,
                                .levels = to->levels,
                                .did = to->did,
                                .root = to->root};
    struct pvi_vtd_entry e = pvi_vtd_context_encode(&c);
    pvi_pa table;
    int rc = 0;

    if (!u->enabled) {
        return -PVI_ENOTINIT;
    }
    if (u->scalable) {
        return pvi_vtd_sm_switch(u, rid, to, was_absent);
    }
    if (to->pasid != 0 || (to->translate && !can_translate(&u->unit.caps, to))) {
        return -PVI_EOPNOTSUPP;
    }
    vtd_lock(u);
    if (to->translate) {
        rc = u->unit.broken ? -PVI_EHW : pvi_vtd_get_table(u, rid, &table);
    } else if (!pvi_vtd_find_table(u, rid, &table)) {
        goto absent;
    }
    if (!rc) {
        rc = switch_entry(u, table, rid, &e, was_absent);
    }
    vtd_unlock(u);
    return rc;
absent:
    vtd_unlock(u);
    *was_absent = true;
    return 0;
}

/* Faults --------------------------------------------------------------------------------------- */

/* Takes the next record that holds a fault; the lock is held. @return 1 or 0. */
static int take_record(struct pvi_vtd_unit *u, struct pvi_fault *out)
{
    unsigned nr = VTD_CAP_NFR(u->cap), i;
    uint64_t lo, hi;
    uint32_t off;

    for (i = 0; i < nr; i++) {
        off = VTD_CAP_FRO(u->cap) + u->fault_at * VTD_FRCD_SIZE;
        hi = (uint64_t)vtd_read32(u, off + VTD_FRCD_TOP) << 32;
        u->fault_at = (uint16_t)((u->fault_at + 1u) % nr);
        if (!(hi & VTD_FRCD_F)) {
            continue;
        }
        hi |= vtd_read32(u, off + 8);
        lo = vtd_read64(u, off);
        /* Only now may the unit use the record again. */
        vtd_write32(u, off + VTD_FRCD_TOP, VTD_FRCD_TOP_F);
        (void)pvi_vtd_fault_decode(lo, hi, out);
        return 1;
    }
    return 0;
}

int pvi_vtd_unit_next_fault(struct pvi_vtd_unit *u, struct pvi_fault *out)
{
    uint32_t fsts;
    int rc = 0;

    vtd_lock(u);
    fsts = vtd_read32(u, VTD_REG_FSTS);
    if (fsts == ~(uint32_t)0) {
        rc = -PVI_EHW;
    } else if (fsts & VTD_FSTS_PPF) {
        /* FRI names the first record of a drain and may not move before all are taken. */
        if (!u->fault_drain) {
            u->fault_at = (uint16_t)(VTD_FSTS_FRI(fsts) % VTD_CAP_NFR(u->cap));
        }
        u->fault_drain = true;
        rc = take_record(u, out);
    } else {
        u->fault_drain = false;
        if (fsts & VTD_FSTS_PFO) {
            vtd_write32(u, VTD_REG_FSTS, VTD_FSTS_PFO);
            pvi_host_event(u->unit.host, PVI_EVENT_UNIT_ERROR, u->unit.index,
                           (uint64_t)(fsts & 0xffffu) << 16);
        }
    }
    vtd_unlock(u);
    return rc;
}

/* Domain ids ----------------------------------------------------------------------------------- */

int pvi_vtd_unit_did_alloc(struct pvi_vtd_unit *u, uint16_t *did)
{
    int rc = -PVI_ENOTINIT;

    vtd_lock(u);
    if (u->enabled) {
        rc = pvi_did_alloc(u->unit.host, &u->dids, did);
    }
    vtd_unlock(u);
    return rc;
}

void pvi_vtd_unit_did_free(struct pvi_vtd_unit *u, uint16_t did)
{
    vtd_lock(u);
    if (u->enabled) {
        pvi_did_free(u->unit.host, &u->dids, did);
    }
    vtd_unlock(u);
}
