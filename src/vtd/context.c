/* SPDX-License-Identifier: MIT */
/*
 * Root entries and legacy context entries: encode, decode, switch. VT-d 6.5.3.3; hwspec 2.1, 2.2,
 * 4.3.
 */
#include "context.h"

#include "spec.h"

struct pvi_vtd_entry pvi_vtd_root_encode(pvi_pa context_table)
{
    struct pvi_vtd_entry e;

    e.lo = (context_table.a & VTD_ROOT_CTP) | VTD_ROOT_P;
    e.hi = 0;
    return e;
}

bool pvi_vtd_root_decode(const struct pvi_vtd_entry *e, pvi_pa *context_table)
{
    if (!(e->lo & VTD_ROOT_P)) {
        return false;
    }
    context_table->a = e->lo & VTD_ROOT_CTP;
    return true;
}

struct pvi_vtd_entry pvi_vtd_context_encode(const struct pvi_vtd_context *c)
{
    struct pvi_vtd_entry e;

    e.lo = c->fault_silent ? VTD_CTX_FPD : 0;
    e.hi = 0;
    if (!c->present) {
        return e;
    }
    e.lo |= VTD_CTX_P | (uint64_t)(c->tt & VTD_CTX_TT_MASK) << VTD_CTX_TT_LG2;
    if (c->tt != PVI_VTD_TT_PASS) {
        e.lo |= c->root.a & VTD_CTX_SSPTPTR;
    }
    e.hi = (uint64_t)c->did << VTD_CTX_DID_LG2 |
           ((unsigned)(c->levels - VTD_CTX_AW_LEVELS) & VTD_CTX_AW_MASK);
    return e;
}

void pvi_vtd_context_decode(const struct pvi_vtd_entry *e, struct pvi_vtd_context *c)
{
    c->present = (e->lo & VTD_CTX_P) != 0;
    c->fault_silent = (e->lo & VTD_CTX_FPD) != 0;
    c->tt = (uint8_t)((e->lo >> VTD_CTX_TT_LG2) & VTD_CTX_TT_MASK);
    c->root.a = e->lo & VTD_CTX_SSPTPTR;
    c->levels = (uint8_t)((e->hi & VTD_CTX_AW_MASK) + VTD_CTX_AW_LEVELS);
    c->did = (uint16_t)((e->hi >> VTD_CTX_DID_LG2) & VTD_CTX_DID_MASK);
}

int pvi_vtd_context_of(const struct pvi_unit_caps *caps, const struct pvi_dev_entry *to,
                       struct pvi_vtd_entry *out)
{
    struct pvi_vtd_context c;

    if (to->translate &&
        (to->pasid != 0 || to->guest.levels != 0 || to->levels >= 8 || (caps->levels_mask >> to->levels & 1u) == 0 || to->did == 0 ||
         to->did >= caps->nr_dids || (to->root.a & PVI_PAGE_MASK) != 0 ||
         to->root.a >> caps->pa_bits != 0)) {
        return -PVI_EOPNOTSUPP;
    }
    memset(&c, 0, sizeof(c));
    c.present = to->translate;
    c.tt = PVI_VTD_TT_SECOND_STAGE;
    c.levels = to->levels;
    c.did = to->did;
    c.root = to->root;
    *out = pvi_vtd_context_encode(&c);
    return 0;
}

void pvi_vtd_entry_read(const struct pvi_vtd_entry *slot, struct pvi_vtd_entry *e)
{
    e->lo = pvi_env_read64(&slot->lo);
    e->hi = pvi_env_read64(&slot->hi);
}

bool pvi_vtd_entry_switch(struct pvi_host *h, bool coherent, struct pvi_vtd_entry *slot,
                          const struct pvi_vtd_entry *old, const struct pvi_vtd_entry *e)
{
    uint64_t from[2], to[2];

    from[0] = old->lo;
    from[1] = old->hi;
    to[0] = e->lo;
    to[1] = e->hi;
    /*
     * Root, width and domain id change together: between two 64-bit stores the unit could walk the
     * new root with the old depth, or fill its caches under the wrong id (R3, R11). The same store
     * also takes a present entry away in one piece: clearing P alone first (R9) guards against the
     * unit seeing half of an entry that is being taken apart, and one 128-bit store, the unit's own
     * fetch size (hwspec 4.3), has no such half. What the unit has cached of the old entry is the
     * caller's to invalidate, under the old id.
     */
    if (!pvi_env_cmpxchg128(h, &slot->lo, from, to)) {
        return false;
    }
    if (!coherent) {
        pvi_env_writeback(h, slot, sizeof(*slot));
    }
    return true;
}
