/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi: what a unit's translation can do, device table entries made from the tables that they
 * name, and GCR3 tables, which find a v2 table by PASID (48882 2.2.6; hwspec 6.4, 6.7, 6.10).
 */
#include <pviommu/amdvi.h>

#include "spec.h"

#define GCR3_ENTRIES (1u << AMDVI_GCR3_INDEX_BITS)

void pvi_amdvi_features(uint64_t efr, uint64_t efr2, unsigned pa_bits,
                        struct pvi_amdvi_features *out)
{
    unsigned hats = (unsigned)(efr >> AMDVI_EFR_HATS_LO) & AMDVI_EFR_HATS;
    unsigned glx = (unsigned)(efr >> AMDVI_EFR_GLX_LO) & AMDVI_EFR_GLX;
    unsigned pasid_bits = ((unsigned)(efr >> AMDVI_EFR_PAS_LO) & AMDVI_EFR_PAS) + 1u;

    memset(out, 0, sizeof(*out));
    out->pa_bits = (uint8_t)(pa_bits == 0 || pa_bits > 52u ? 52u : pa_bits);
    out->accessed = (efr & AMDVI_EFR_HA_SUP) != 0;
    out->dirty = (efr & AMDVI_EFR_HD_SUP) != 0;
    if (hats != AMDVI_EFR_HATS_NONE) {
        out->host_levels = (uint8_t)(((2u << (AMDVI_LEVELS_BASE + hats)) - 1u) & ~1u);
    }
    if ((efr & AMDVI_EFR_GT_SUP) == 0) {
        return;
    }
    out->guest = true;
    out->giov = (efr & AMDVI_EFR_GIO_SUP) != 0;
    /*
     * Without GCR3TRPMode the GCR3 root in an entry is a system physical address whatever the mode
     * (one source; hwspec 6.4): a guest's own would let it name any page of the host.
     */
    out->nested = out->giov && out->host_levels != 0 && (efr2 & AMDVI_EFR2_GCR3_TRP) != 0;
    out->guest_levels = 1u << 4;
    if (((efr >> AMDVI_EFR_GATS_LO) & AMDVI_EFR_GATS) == AMDVI_EFR_GATS_5) {
        out->guest_levels |= 1u << 5;
    }
    /* A reserved code promises nothing beyond the least. */
    out->gcr3_levels = (uint8_t)(glx <= AMDVI_EFR_GLX_MAX ? glx + 1u : 1u);
    out->pasid_bits = (uint8_t)(pasid_bits < AMDVI_PASID_BITS ? pasid_bits : AMDVI_PASID_BITS);
}

/* Device table entries ------------------------------------------------------------------------- */

static bool table_fits(const struct pvi_pt *pt, unsigned levels_mask, unsigned pa_bits)
{
    return pt->cfg.levels < 8u && (levels_mask >> pt->cfg.levels & 1u) != 0 &&
           pt->cfg.pa_bits <= pa_bits && (pt->root->pa.a & PVI_PAGE_MASK) == 0 &&
           pt->root->pa.a >> pa_bits == 0;
}

static void dte_begin(struct pvi_amdvi_dte *out, uint16_t did)
{
    memset(out, 0, sizeof(*out));
    out->v = 1;
    out->tv = 1;
    out->ir = 1; /* the tables decide */
    out->iw = 1;
    out->did = did;
}

static void guest_part(struct pvi_amdvi_dte *out, unsigned depth, unsigned levels)
{
    out->gv = 1;
    out->giov = 1; /* without it requests without PASID would not see the v2 tables (hwspec 6.7) */
    out->glx = (uint16_t)(depth - 1u);
    out->guest_mode = (uint16_t)(levels - 4u);
}

int pvi_amdvi_dte_host(const struct pvi_amdvi_features *f, const struct pvi_pt *pt, uint16_t did,
                       struct pvi_amdvi_dte *out)
{
    if (did == 0) {
        return -PVI_EINVAL;
    }
    if (pt->cfg.ops != &pvi_amdvi_v1_ops || !table_fits(pt, f->host_levels, f->pa_bits) ||
        (pt->cfg.dirty && !f->dirty)) {
        return -PVI_EOPNOTSUPP;
    }
    dte_begin(out, did);
    out->mode = pt->cfg.levels;
    out->root = pt->root->pa;
    out->had = pt->cfg.dirty ? AMDVI_DTE_HAD_AD : 0;
    return 0;
}

int pvi_amdvi_dte_guest(const struct pvi_amdvi_features *f, const struct pvi_amdvi_gcr3 *g,
                        uint16_t did, struct pvi_amdvi_dte *out)
{
    if (did == 0) {
        return -PVI_EINVAL;
    }
    if (!f->guest || !f->giov || g->depth == 0 || g->depth > f->gcr3_levels || g->levels >= 8u ||
        (f->guest_levels >> g->levels & 1u) == 0 || g->root.a >> f->pa_bits != 0) {
        return -PVI_EOPNOTSUPP;
    }
    dte_begin(out, did);
    guest_part(out, g->depth, g->levels);
    out->gcr3 = g->root;
    return 0;
}

int pvi_amdvi_dte_nested(const struct pvi_amdvi_features *f, const struct pvi_dev_entry *to,
                         struct pvi_amdvi_dte *out)
{
    const struct pvi_guest_tables *g = &to->guest;

    if (to->did == 0) {
        return -PVI_EINVAL;
    }
    if (!f->nested || to->pasid != 0 || to->levels >= 8u ||
        (f->host_levels >> to->levels & 1u) == 0 || (to->root.a & PVI_PAGE_MASK) != 0 ||
        to->root.a >> f->pa_bits != 0) {
        return -PVI_EOPNOTSUPP;
    }
    /* The guest's root is no address of the host's: what the field holds is its only bound. */
    if (g->levels >= 8u || (f->guest_levels >> g->levels & 1u) == 0 || g->depth == 0 ||
        g->depth > f->gcr3_levels || g->flags != 0 || (g->root & ~AMDVI_GCR3_ADDR) != 0) {
        return -PVI_EOPNOTSUPP;
    }
    dte_begin(out, to->did);
    out->mode = to->levels;
    out->root = to->root;
    guest_part(out, g->depth, g->levels);
    out->gcr3.a = g->root;
    return 0;
}

/* GCR3 tables ---------------------------------------------------------------------------------- */

/*
 * Written back as device table entries are: Control.Coherent speaks of page-table walks (hwspec
 * 9.3).
 */
static void page_clear(struct pvi_host *h, pvi_pa pa)
{
    void *page = pvi_env_map(h, pa);

    memset(page, 0, (size_t)PVI_PAGE_SIZE);
    pvi_env_writeback(h, page, (size_t)PVI_PAGE_SIZE);
    pvi_env_unmap(h, page);
}

static uint64_t entry_read(struct pvi_host *h, pvi_pa table, unsigned index)
{
    uint64_t *page = pvi_env_map(h, table);
    uint64_t entry = pvi_env_read64(&page[index]);

    pvi_env_unmap(h, page);
    return entry;
}

static void entry_write(struct pvi_host *h, pvi_pa table, unsigned index, uint64_t entry)
{
    uint64_t *page = pvi_env_map(h, table);

    pvi_env_write64(h, &page[index], entry);
    pvi_env_writeback(h, &page[index], 8);
    pvi_env_unmap(h, page);
}

static unsigned index_of(uint32_t pasid, unsigned level)
{
    return pasid >> (AMDVI_GCR3_INDEX_BITS * level) & (GCR3_ENTRIES - 1u);
}

static bool in_reach(const struct pvi_amdvi_gcr3 *g, uint32_t pasid)
{
    unsigned bits = AMDVI_GCR3_INDEX_BITS * g->depth;

    return pasid >> (bits < AMDVI_PASID_BITS ? bits : AMDVI_PASID_BITS) == 0;
}

/* Follows links towards pasid; *table is where it got to. @return the level of that, 0 the last. */
static unsigned descend(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g, uint32_t pasid,
                        pvi_pa *table)
{
    unsigned level = g->depth - 1u;
    uint64_t entry;

    *table = g->root;
    for (; level > 0; level--) {
        entry = entry_read(h, *table, index_of(pasid, level));
        if ((entry & AMDVI_GCR3_V) == 0) {
            break;
        }
        table->a = entry & AMDVI_GCR3_ADDR;
    }
    return level;
}

int pvi_amdvi_gcr3_init(struct pvi_host *h, const struct pvi_amdvi_features *f,
                        struct pvi_amdvi_gcr3 *g, pvi_pa page, unsigned depth, unsigned levels)
{
    if (!f->guest || depth == 0 || depth > f->gcr3_levels || levels >= 8u ||
        (f->guest_levels >> levels & 1u) == 0) {
        return -PVI_EOPNOTSUPP;
    }
    if ((page.a & PVI_PAGE_MASK) != 0 || page.a >> f->pa_bits != 0) {
        return -PVI_EINVAL;
    }
    g->root = page;
    g->depth = (uint8_t)depth;
    g->levels = (uint8_t)levels;
    g->pa_bits = f->pa_bits;
    page_clear(h, page);
    return 0;
}

int pvi_amdvi_gcr3_add(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g, uint32_t pasid,
                       pvi_pa page)
{
    unsigned level;
    pvi_pa table;

    if (!in_reach(g, pasid)) {
        return -PVI_ERANGE;
    }
    if ((page.a & ~AMDVI_GCR3_ADDR) != 0) {
        return -PVI_EINVAL;
    }
    level = descend(h, g, pasid, &table);
    if (level == 0) {
        return -PVI_EEXIST;
    }
    /* 512 invalid entries, written back, before the link shows them (R2). */
    page_clear(h, page);
    entry_write(h, table, index_of(pasid, level), (page.a & AMDVI_GCR3_ADDR) | AMDVI_GCR3_V);
    return 0;
}

/* First valid entry of a table; GCR3_ENTRIES when there is none. */
static unsigned first_valid(struct pvi_host *h, pvi_pa table, uint64_t *entry)
{
    uint64_t *page = pvi_env_map(h, table);
    unsigned i;

    for (i = 0; i < GCR3_ENTRIES; i++) {
        *entry = pvi_env_read64(&page[i]);
        if ((*entry & AMDVI_GCR3_V) != 0) {
            break;
        }
    }
    pvi_env_unmap(h, page);
    return i;
}

bool pvi_amdvi_gcr3_take(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g, pvi_pa *page)
{
    pvi_pa above = g->root, table;
    unsigned level, i, slot;
    uint64_t entry;

    if (g->depth < 2u) {
        return false;
    }
    slot = first_valid(h, above, &entry);
    if (slot == GCR3_ENTRIES) {
        return false;
    }
    table.a = entry & AMDVI_GCR3_ADDR;
    for (level = g->depth - 2u; level > 0; level--) {
        i = first_valid(h, table, &entry);
        if (i == GCR3_ENTRIES) {
            break;
        }
        above = table;
        slot = i;
        table.a = entry & AMDVI_GCR3_ADDR;
    }
    entry_write(h, above, slot, 0);
    page_clear(h, table);
    *page = table;
    return true;
}

int pvi_amdvi_gcr3_set(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g, uint32_t pasid,
                       const struct pvi_pt *pt)
{
    pvi_pa table;

    /*
     * v2 leaves have no bit that forces snooping: a table that promises it has not kept its word.
     */
    if (pt->cfg.ops != &pvi_amdvi_v2_ops || pt->cfg.snoop ||
        !table_fits(pt, 1u << g->levels, g->pa_bits)) {
        return -PVI_EOPNOTSUPP;
    }
    if (!in_reach(g, pasid)) {
        return -PVI_ERANGE;
    }
    if (descend(h, g, pasid, &table) != 0) {
        return -PVI_ENOENT;
    }
    entry_write(h, table, index_of(pasid, 0), pt->root->pa.a | AMDVI_GCR3_V);
    return 0;
}

int pvi_amdvi_gcr3_get(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g, uint32_t pasid,
                       pvi_pa *root)
{
    uint64_t entry;
    pvi_pa table;

    if (!in_reach(g, pasid)) {
        return -PVI_ERANGE;
    }
    if (descend(h, g, pasid, &table) != 0) {
        return -PVI_ENOENT;
    }
    entry = entry_read(h, table, index_of(pasid, 0));
    root->a = entry & AMDVI_GCR3_ADDR;
    return (entry & AMDVI_GCR3_V) != 0 ? 0 : -PVI_ENOENT;
}

int pvi_amdvi_gcr3_clear(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g, uint32_t pasid)
{
    pvi_pa table;
    int rc = pvi_amdvi_gcr3_get(h, g, pasid, &table);

    if (rc == 0) {
        (void)descend(h, g, pasid, &table);
        entry_write(h, table, index_of(pasid, 0), 0);
    }
    return rc;
}
