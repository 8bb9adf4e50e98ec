/* SPDX-License-Identifier: MIT */
/*
 * A guest with first-stage tables of its own, before a second-stage table that the host keeps, behind a VT-d unit of
 * the model and the library's driver. All tables are written by hand (hwspec 3.1, 3.2).
 */
#ifndef VTD_GUEST_H
#define VTD_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "vtd_rig.h"

#define RID   0x0310u
#define GPA   0x123456000ull /* the guest's memory: nothing of the host's is at these addresses */
#define IOVA  0x1000ull
#define ADDR  0x000ffffffffff000ull
#define PTE   0x67ull /* present, writable, user, accessed, dirty */
#define PAGES 48u

struct guest {
    struct vtd_rig *rig;
    uint64_t ss; /* root of the host's table */
    unsigned levels;
    unsigned nr;
    uint64_t pa[PAGES]; /* where its pages lie, from GPA on */
};

/* --- tables, by hand (hwspec 3.1, 3.2) ---------------------------------------------------------- */

static inline uint64_t *ss_entry(const struct guest *g, uint64_t gpa)
{
    uint64_t table = g->ss, *entry;
    unsigned level;

    for (level = g->levels; level > 1; level--) {
        entry = rig_words(g->rig, table) + (gpa >> (12 + 9 * (level - 1)) & 511);
        if (*entry == 0) {
            *entry = rig_page(g->rig) | 3;
        }
        table = *entry & ADDR;
    }
    return rig_words(g->rig, table) + (gpa >> 12 & 511);
}

/* One more page of the guest; its guest-physical address. */
static inline uint64_t page(struct guest *g)
{
    uint64_t gpa = GPA + g->nr * 0x1000ull;

    assert_true(g->nr < PAGES);
    g->pa[g->nr] = rig_page(g->rig);
    *ss_entry(g, gpa) = g->pa[g->nr] | 3;
    g->nr++;
    return gpa;
}

static inline uint64_t host_pa(const struct guest *g, uint64_t gpa)
{
    return g->pa[(gpa - GPA) >> 12];
}

static inline uint64_t *words(const struct guest *g, uint64_t gpa)
{
    return rig_words(g->rig, host_pa(g, gpa));
}

static inline uint64_t *fs_entry(struct guest *g, uint64_t root, unsigned levels, uint64_t iova)
{
    uint64_t *entry;

    for (; levels > 1; levels--) {
        entry = words(g, root) + (iova >> (12 + 9 * (levels - 1)) & 511);
        if (*entry == 0) {
            *entry = page(g) | PTE;
        }
        root = *entry & ADDR;
    }
    return words(g, root) + (iova >> 12 & 511);
}

/* Maps a new page at iova; where it lies. */
static inline uint64_t fs_page(struct guest *g, uint64_t root, unsigned levels, uint64_t iova)
{
    uint64_t gpa = page(g);

    *fs_entry(g, root, levels, iova) = gpa | PTE;
    return host_pa(g, gpa);
}

/* --- a unit, and what moves on it ------------------------------------------------------------- */

static inline void full_cfg(struct hwm_vtd_cfg *cfg)
{
    hwm_vtd_cfg_default(cfg);
    cfg->smts = cfg->ssts = cfg->fsts = cfg->nest = cfg->smpwcs = cfg->fs5lp = true;
    cfg->sagaw = 0xc;
    cfg->mgaw = 57;
    cfg->pss = 19;
}

static inline void guest_new(struct guest *g, struct vtd_rig *rig, unsigned levels)
{
    memset(g, 0, sizeof(*g));
    g->rig = rig;
    g->levels = levels;
    g->ss = rig_page(rig);
}

/* Each of coherency, caching mode and order of execution. */
static inline void up(struct guest *g, unsigned mode)
{
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;

    full_cfg(&cfg);
    cfg.coherent = cfg.smpwcs = !(mode & 1);
    cfg.cm = mode & 2;
    rig = rig_new_enabled(&cfg);
    hwm_set_reorder(rig->hw, mode & 4 ? mode : 0);
    guest_new(g, rig, 4);
}

static inline struct pvi_dev_entry plain(const struct guest *g, uint32_t pasid, uint16_t did)
{
    return (struct pvi_dev_entry){.translate = true,
                                  .levels = (uint8_t)g->levels,
                                  .did = did,
                                  .pasid = pasid,
                                  .root = {g->ss}};
}

static inline struct pvi_dev_entry nested(const struct guest *g, uint32_t pasid, uint16_t did,
                                          uint64_t root, unsigned levels)
{
    struct pvi_dev_entry to = plain(g, pasid, did);

    to.guest.root = root;
    to.guest.levels = (uint8_t)levels;
    return to;
}

static inline void told(const struct guest *g, struct pvi_inv inv)
{
    assert_int_equal(rig_submit(g->rig, inv), 0);
    assert_int_equal(pvi_vtd_unit_wait(&g->rig->unit), 0);
}

#define INV_GUEST(d, p, a, l)                                                                      \
    ((struct pvi_inv){.kind = PVI_INV_GUEST, .did = (d), .pasid = (p), .iova = (a), .lg2 = (l)})
#define INV_DOMAIN(d) ((struct pvi_inv){.kind = PVI_INV_DOMAIN, .did = (d)})

/* A switch, without what comes behind it. */
static inline bool put(const struct guest *g, struct pvi_dev_entry to)
{
    bool absent = false;

    assert_int_equal(pvi_vtd_unit_switch(&g->rig->unit, RID, &to, &absent), 0);
    return absent;
}

/* The entry that held `old` has changed. */
static inline void moved(const struct guest *g, uint32_t pasid, uint16_t old, bool absent)
{
    struct pvi_inv inv = {.kind = pasid ? PVI_INV_PASID : PVI_INV_DEVICE,
                          .rid = RID,
                          .pasid = pasid,
                          .did = old,
                          .was_absent = absent};

    assert_int_equal(rig_submit(g->rig, inv), 0);
    told(g, INV_DOMAIN(old));
}

/* From blocked. */
static inline void first(const struct guest *g, struct pvi_dev_entry to)
{
    assert_true(put(g, to));
    moved(g, to.pasid, to.did, true);
}

static inline uint64_t go(const struct guest *g, uint32_t pasid, uint64_t iova, bool fresh)
{
    struct hwm_req req = {
        .iova = iova, .rid = RID, .write = true, .has_pasid = pasid != 0, .pasid = pasid};
    struct hwm_xlat x;
    enum hwm_result r =
        fresh ? hwm_walk_req(g->rig->hw, &req, &x) : hwm_dma_req(g->rig->hw, &req, &x);

    assert_true(r == HWM_OK || r == HWM_FAULT);
    return r == HWM_OK ? x.pa : RIG_BLOCKED;
}

static inline uint64_t dma(const struct guest *g, uint32_t pasid, uint64_t iova)
{
    return go(g, pasid, iova, false);
}

static inline unsigned reason(const struct guest *g, uint32_t pasid, uint64_t iova)
{
    struct hwm_req req = {
        .iova = iova, .rid = RID, .write = true, .has_pasid = pasid != 0, .pasid = pasid};
    struct hwm_xlat x;

    return hwm_walk_req(g->rig->hw, &req, &x) == HWM_OK ? 0 : x.fault.reason;
}

/* Whether a cache leads to any page of the guest's. */
static inline unsigned held(const struct guest *g)
{
    unsigned i, mask = 0;

    for (i = 0; i < g->nr; i++) {
        mask |= hwm_caches_page(g->rig->hw, g->pa[i]);
    }
    return mask;
}

#endif
