/* SPDX-License-Identifier: MIT */
/*
 * Scalable mode: PASID entries and context entries made from the tables that they name, the PASID
 * directory, and how entries come and go. VT-d 6.2.3.1, 6.5.3.3; hwspec 2.1, 2.3 to 2.5, 4.3.
 */
#include "scalable.h"

#include "spec.h"

/* Bytes of a directory that covers 2^bits PASIDs: 8 for each 64 of them. */
#define DIR_LG2(bits)    ((bits)-VTD_PASID_TABLE_LG2 + 3u)
#define DIR_PAGE_ENTRIES ((uint32_t)(PVI_PAGE_SIZE / 8u))

/* Capabilities --------------------------------------------------------------------------------- */

int pvi_vtd_sm_caps(uint64_t cap, uint64_t ecap, unsigned haw_bits, unsigned quirks,
                    struct pvi_vtd_sm_caps *out)
{
    struct pvi_unit_caps legacy;
    unsigned pasid_bits;
    int rc;

    rc = pvi_vtd_caps(cap, ecap, haw_bits, quirks, &legacy);
    if (rc != 0) {
        return rc;
    }
    if (!(ecap & VTD_ECAP_SMTS)) {
        return -PVI_EOPNOTSUPP;
    }
    pasid_bits = VTD_ECAP_PSS(ecap) < VTD_PASID_BITS ? VTD_ECAP_PSS(ecap) : VTD_PASID_BITS;
    memset(out, 0, sizeof(*out));
    out->second_stage = (ecap & VTD_ECAP_SSTS) != 0;
    out->first_stage = (ecap & VTD_ECAP_FSTS) != 0;
    out->nested = (ecap & VTD_ECAP_NEST) != 0;
    out->pass = (ecap & VTD_ECAP_PT) != 0;
    out->dirty = (ecap & VTD_ECAP_SSADS) != 0;
    out->walk_snoop = (ecap & VTD_ECAP_SMPWCS) != 0;
    out->snoop = legacy.snoop;
    out->coherent = legacy.coherent;
    out->ats = (ecap & VTD_ECAP_DT) != 0;
    out->page_requests = (ecap & VTD_ECAP_PRS) != 0;
    out->rid_pasid = (ecap & VTD_ECAP_RPS) != 0;
    out->supervisor = (ecap & VTD_ECAP_SRS) != 0;
    out->parent_rw = (quirks & PVI_VTD_QUIRK_PARENT_RW) != 0;
    out->pasid_bits = (uint8_t)(ecap & VTD_ECAP_PASID ? pasid_bits : 0);
    out->ss_levels = legacy.levels_mask;
    out->fs_levels = (uint8_t)(1u << 4 | (cap & VTD_CAP_FS5LP ? 1u << 5 : 0));
    out->pa_bits = legacy.pa_bits;
    out->ss_sizes = legacy.page_sizes;
    out->fs_sizes = VTD_BIT(12);
    if (!(quirks & PVI_VTD_QUIRK_SMALL_PAGES)) {
        out->fs_sizes |= VTD_BIT(21) | (cap & VTD_CAP_FS1GP ? VTD_BIT(30) : 0);
    }
    out->nr_dids = legacy.nr_dids;
    return 0;
}

/* PASID entries -------------------------------------------------------------------------------- */

/* Id 0 tags what is cached of absent entries (hwspec 2.2). */
static bool did_ok(const struct pvi_vtd_sm_caps *caps, uint16_t did)
{
    return did != 0 && did < caps->nr_dids;
}

/*
 * Does the unit walk this table as the engine writes it? A table without write-backs needs walks
 * that snoop, and so does one in which hardware itself notes writes (hwspec 3.2, fault 0x90).
 */
static bool table_fits(const struct pvi_vtd_sm_caps *caps, const struct pvi_pt *pt,
                       unsigned levels_mask, uint64_t sizes)
{
    const struct pvi_pt_cfg *cfg = &pt->cfg;

    return cfg->levels < 8 && (levels_mask >> cfg->levels & 1u) != 0 &&
           (cfg->page_sizes & ~sizes) == 0 && cfg->pa_bits <= caps->pa_bits &&
           (pt->root->pa.a & PVI_PAGE_MASK) == 0 && pt->root->pa.a >> caps->pa_bits == 0 &&
           (caps->walk_snoop || (!cfg->coherent && !cfg->dirty)) && (caps->snoop || !cfg->snoop);
}

static uint64_t width_code(unsigned levels)
{
    return (uint64_t)(levels - VTD_PTE_AW_LEVELS) << VTD_PTE_AW_LG2;
}

/*
 * First-stage and pass-through entries name no second stage, but a legal width (hwspec 2.5, 13.3).
 */
static uint64_t widest(const struct pvi_vtd_sm_caps *caps)
{
    return width_code(caps->ss_levels >> 5 & 1u ? 5 : caps->ss_levels >> 4 & 1u ? 4 : 3);
}

static uint64_t did_word(const struct pvi_vtd_sm_caps *caps, uint16_t did)
{
    return did | (caps->walk_snoop ? VTD_PTE_PWSNP : 0);
}

static void second_stage_words(const struct pvi_vtd_sm_caps *caps, pvi_pa root, unsigned levels,
                               uint16_t did, struct pvi_vtd_pasid_entry *out)
{
    memset(out, 0, sizeof(*out));
    out->w[0] = root.a | width_code(levels) | VTD_PTE_P;
    out->w[1] = did_word(caps, did);
}

static int second_stage(const struct pvi_vtd_sm_caps *caps, const struct pvi_pt *pt, uint16_t did,
                        struct pvi_vtd_pasid_entry *out)
{
    second_stage_words(caps, pt->root->pa, pt->cfg.levels, did, out);
    if (!table_fits(caps, pt, caps->ss_levels, caps->ss_sizes) || (pt->cfg.dirty && !caps->dirty)) {
        return -PVI_EOPNOTSUPP;
    }
    out->w[0] |= pt->cfg.dirty ? VTD_PTE_SSADE : 0;
    out->w[1] |= pt->cfg.snoop ? VTD_PTE_PGSNP : 0;
    return 0;
}

static bool guest_fits(const struct pvi_vtd_sm_caps *caps, const struct pvi_vtd_guest_table *guest)
{
    return caps->nested && guest->levels < 8 && (caps->fs_levels >> guest->levels & 1u) != 0 &&
           (!guest->supervisor || caps->supervisor);
}

/* Address bits of w2 above the host's width are reserved, whatever the parent reaches. */
static bool guest_in_reach(const struct pvi_vtd_sm_caps *caps, uint64_t root, unsigned bits)
{
    return (bits > 63 || root >> bits == 0) && root >> caps->pa_bits == 0;
}

static void guest_words(const struct pvi_vtd_guest_table *guest, struct pvi_vtd_pasid_entry *out)
{
    out->w[0] |= VTD_PTE_PGTT_NEST;
    out->w[2] = guest->root | (guest->levels == 5 ? VTD_PTE_FSPM_5LEVEL : 0);
    out->w[2] |= guest->supervisor ? VTD_PTE_SRE : 0;
    out->w[2] |= guest->write_protect ? VTD_PTE_WPE : 0;
}

static int first_stage(const struct pvi_vtd_sm_caps *caps, const struct pvi_pt *pt, uint16_t did,
                       struct pvi_vtd_pasid_entry *out)
{
    memset(out, 0, sizeof(*out));
    if (!caps->first_stage || !table_fits(caps, pt, caps->fs_levels, caps->fs_sizes)) {
        return -PVI_EOPNOTSUPP;
    }
    out->w[0] = VTD_PTE_PGTT_FS | widest(caps) | VTD_PTE_P;
    out->w[1] = did_word(caps, did) | (pt->cfg.snoop ? VTD_PTE_PGSNP : 0);
    out->w[2] = pt->root->pa.a | (pt->cfg.levels == 5 ? VTD_PTE_FSPM_5LEVEL : 0);
    return 0;
}

int pvi_vtd_pasid_table(const struct pvi_vtd_sm_caps *caps, const struct pvi_pt *pt, uint16_t did,
                        struct pvi_vtd_pasid_entry *out)
{
    int rc;

    if (!did_ok(caps, did)) {
        return -PVI_EINVAL;
    }
    if (pt->cfg.ops == &pvi_vtd_fs_ops) {
        return first_stage(caps, pt, did, out);
    }
    if (pt->cfg.ops != &pvi_vtd_ss_ops || !caps->second_stage) {
        return -PVI_EOPNOTSUPP;
    }
    rc = second_stage(caps, pt, did, out);
    out->w[0] |= VTD_PTE_PGTT_SS;
    return rc;
}

int pvi_vtd_pasid_nested(const struct pvi_vtd_sm_caps *caps, const struct pvi_pt *parent,
                         const struct pvi_vtd_guest_table *guest, uint16_t did,
                         struct pvi_vtd_pasid_entry *out)
{
    int rc;

    if (!did_ok(caps, did) || (guest->root & PVI_PAGE_MASK) != 0) {
        return -PVI_EINVAL;
    }
    if (!guest_fits(caps, guest) || parent->cfg.ops != &pvi_vtd_ss_ops ||
        (caps->parent_rw && !parent->cfg.no_read_only)) {
        return -PVI_EOPNOTSUPP;
    }
    if (!guest_in_reach(caps, guest->root, parent->cfg.iova_bits)) {
        return -PVI_ERANGE;
    }
    rc = second_stage(caps, parent, did, out);
    guest_words(guest, out);
    return rc;
}

int pvi_vtd_pasid_of(const struct pvi_vtd_sm_caps *caps, const struct pvi_dev_entry *to,
                     struct pvi_vtd_pasid_entry *out)
{
    struct pvi_vtd_guest_table guest = {
        .root = to->guest.root,
        .levels = to->guest.levels,
        .supervisor = (to->guest.flags & PVI_GUEST_SUPERVISOR) != 0,
        .write_protect = (to->guest.flags & PVI_GUEST_WRITE_PROTECT) != 0};

    if (!caps->second_stage || !did_ok(caps, to->did) || to->levels >= 8 ||
        (caps->ss_levels >> to->levels & 1u) == 0 || (to->root.a & PVI_PAGE_MASK) != 0 ||
        to->root.a >> caps->pa_bits != 0) {
        return -PVI_EOPNOTSUPP;
    }
    second_stage_words(caps, to->root, to->levels, to->did, out);
    /* Leaves of a unit that can ask for snooped accesses; newer units go by the entry alone (hwspec 3.1). */
    out->w[1] |= caps->snoop ? VTD_PTE_PGSNP : 0;
    if (to->guest.levels == 0) {
        out->w[0] |= VTD_PTE_PGTT_SS;
        return 0;
    }
    if (!guest_fits(caps, &guest) || to->guest.depth != 0 || (guest.root & PVI_PAGE_MASK) != 0 ||
        (to->guest.flags & ~(PVI_GUEST_SUPERVISOR | PVI_GUEST_WRITE_PROTECT)) != 0 ||
        !guest_in_reach(caps, guest.root, PVI_PAGE_LG2 + 9u * to->levels)) {
        return -PVI_EOPNOTSUPP;
    }
    guest_words(&guest, out);
    return 0;
}

int pvi_vtd_pasid_pass(const struct pvi_vtd_sm_caps *caps, uint16_t did,
                       struct pvi_vtd_pasid_entry *out)
{
    if (!did_ok(caps, did)) {
        return -PVI_EINVAL;
    }
    if (!caps->pass) {
        return -PVI_EOPNOTSUPP;
    }
    memset(out, 0, sizeof(*out));
    out->w[0] = VTD_PTE_PGTT_PASS | widest(caps) | VTD_PTE_P;
    out->w[1] = did_word(caps, did);
    return 0;
}

/* Entries of several words --------------------------------------------------------------------- */

/* P is bit 0 of the first word in both. */
#define ENTRY_P VTD_PTE_P

static void show(struct pvi_host *h, bool coherent, const uint64_t *slot, unsigned nr)
{
    if (!coherent) {
        pvi_env_writeback(h, slot, nr * sizeof(*slot));
    }
}

/*
 * Hardware may fetch such an entry in pieces of 128 bits (hwspec 4.3). What it fetches before the
 * last store has P clear in the first piece, and all words are there before it. An entry lies
 * within one cache line: whenever the line reaches memory it shows the stores in their order, so
 * one write-back is enough.
 */
static int words_set(struct pvi_host *h, bool coherent, uint64_t *slot, const uint64_t *w,
                     unsigned nr)
{
    unsigned i;

    if (!(w[0] & ENTRY_P)) {
        return -PVI_EINVAL;
    }
    for (i = 0; i < nr; i++) {
        if (pvi_env_read64(&slot[i]) != 0) {
            return -PVI_EBUSY;
        }
    }
    for (i = nr - 1; i > 0; i--) {
        pvi_env_write64(h, &slot[i], w[i]);
    }
    pvi_env_write64(h, &slot[0], w[0] & ~ENTRY_P);
    pvi_env_write64(h, &slot[0], w[0]);
    show(h, coherent, slot, nr);
    return 0;
}

static int words_clear(struct pvi_host *h, bool coherent, uint64_t *slot)
{
    uint64_t w = pvi_env_read64(slot);

    if (!(w & ENTRY_P)) {
        return -PVI_ENOENT;
    }
    pvi_env_write64(h, slot, w & ~ENTRY_P);
    show(h, coherent, slot, 1);
    return 0;
}

static int words_scrub(struct pvi_host *h, bool coherent, uint64_t *slot, unsigned nr)
{
    unsigned i;

    if (pvi_env_read64(slot) & ENTRY_P) {
        return -PVI_EBUSY;
    }
    for (i = 0; i < nr; i++) {
        pvi_env_write64(h, &slot[i], 0);
    }
    show(h, coherent, slot, nr);
    return 0;
}

/* PASID directory ------------------------------------------------------------------------------ */

static void page_clear(struct pvi_host *h, bool coherent, pvi_pa pa)
{
    void *page = pvi_env_map(h, pa);

    memset(page, 0, PVI_PAGE_SIZE);
    if (!coherent) {
        pvi_env_writeback(h, page, PVI_PAGE_SIZE);
    }
    pvi_env_unmap(h, page);
}

unsigned pvi_vtd_pasid_dir_order(unsigned bits)
{
    return DIR_LG2(bits) > PVI_PAGE_LG2 ? DIR_LG2(bits) - PVI_PAGE_LG2 : 0;
}

int pvi_vtd_pasid_dir_init(struct pvi_host *h, const struct pvi_vtd_sm_caps *caps,
                           struct pvi_vtd_pasid_dir *dir, pvi_pa pages, unsigned bits)
{
    uint64_t size, at;
    pvi_pa pa;

    if (bits < VTD_PASID_DIR_LG2 || bits > VTD_PASID_BITS) {
        return -PVI_EINVAL;
    }
    size = PVI_PAGE_SIZE << pvi_vtd_pasid_dir_order(bits);
    if ((pages.a & PVI_PAGE_MASK) != 0 || pages.a >> caps->pa_bits != 0 ||
        (pages.a + (size - 1)) >> caps->pa_bits != 0) {
        return -PVI_EINVAL;
    }
    dir->pa = pages;
    dir->bits = (uint8_t)bits;
    dir->coherent = caps->coherent;
    for (at = 0; at < size; at += PVI_PAGE_SIZE) {
        pa.a = pages.a + at;
        page_clear(h, dir->coherent, pa);
    }
    return 0;
}

/* Maps the page of the directory that holds entry n. */
static uint64_t *dir_map(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t n)
{
    pvi_pa pa;

    pa.a = dir->pa.a + (uint64_t)(n / DIR_PAGE_ENTRIES) * PVI_PAGE_SIZE;
    return pvi_env_map(h, pa);
}

static uint64_t dir_read(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t n)
{
    uint64_t *page = dir_map(h, dir, n);
    uint64_t entry = pvi_env_read64(&page[n % DIR_PAGE_ENTRIES]);

    pvi_env_unmap(h, page);
    return entry;
}

static void dir_write(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t n,
                      uint64_t entry)
{
    uint64_t *page = dir_map(h, dir, n);

    pvi_env_write64(h, &page[n % DIR_PAGE_ENTRIES], entry);
    show(h, dir->coherent, &page[n % DIR_PAGE_ENTRIES], 1);
    pvi_env_unmap(h, page);
}

int pvi_vtd_pasid_dir_add(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                          pvi_pa page)
{
    if (pasid >> dir->bits != 0) {
        return -PVI_ERANGE;
    }
    if ((page.a & ~VTD_PDE_TABLE) != 0) {
        return -PVI_EINVAL;
    }
    if (dir_read(h, dir, pasid >> VTD_PASID_TABLE_LG2) & VTD_PDE_P) {
        return -PVI_EEXIST;
    }
    /* 64 absent entries, written back, before the directory shows them (R2). */
    page_clear(h, dir->coherent, page);
    pvi_vtd_pasid_dir_link(h, dir, pasid, page);
    return 0;
}

void pvi_vtd_pasid_dir_link(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                            pvi_pa page)
{
    dir_write(h, dir, pasid >> VTD_PASID_TABLE_LG2, (page.a & VTD_PDE_TABLE) | VTD_PDE_P);
}

bool pvi_vtd_pasid_dir_take(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t *at,
                            pvi_pa *page)
{
    uint64_t entry;

    for (; *at >> (dir->bits - VTD_PASID_TABLE_LG2) == 0; (*at)++) {
        entry = dir_read(h, dir, *at);
        if (entry & VTD_PDE_P) {
            dir_write(h, dir, *at, 0);
            page->a = entry & VTD_PDE_TABLE;
            page_clear(h, dir->coherent, *page);
            return true;
        }
    }
    return false;
}

/* Maps the table of a PASID and finds its entry there; pvi_env_unmap(*table) when it was found. */
static int slot_map(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                    uint64_t **table, uint64_t **slot)
{
    uint64_t entry;
    pvi_pa pa;

    if (pasid >> dir->bits != 0) {
        return -PVI_ERANGE;
    }
    entry = dir_read(h, dir, pasid >> VTD_PASID_TABLE_LG2);
    if (!(entry & VTD_PDE_P)) {
        return -PVI_ENOENT;
    }
    pa.a = entry & VTD_PDE_TABLE;
    *table = pvi_env_map(h, pa);
    *slot = *table + (pasid & ((1u << VTD_PASID_TABLE_LG2) - 1)) * VTD_PASID_WORDS;
    return 0;
}

int pvi_vtd_pasid_set(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                      const struct pvi_vtd_pasid_entry *e)
{
    uint64_t *table, *slot;
    int rc = slot_map(h, dir, pasid, &table, &slot);

    if (rc == 0) {
        rc = words_set(h, dir->coherent, slot, e->w, VTD_PASID_WORDS);
        pvi_env_unmap(h, table);
    }
    return rc;
}

static void words_read(const uint64_t *slot, struct pvi_vtd_pasid_entry *out)
{
    unsigned i;

    for (i = 0; i < VTD_PASID_WORDS; i++) {
        out->w[i] = pvi_env_read64(&slot[i]);
    }
}

int pvi_vtd_pasid_clear(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                        struct pvi_vtd_pasid_entry *was)
{
    uint64_t *table, *slot;
    int rc = slot_map(h, dir, pasid, &table, &slot);

    if (rc == 0) {
        words_read(slot, was);
        rc = words_clear(h, dir->coherent, slot);
        pvi_env_unmap(h, table);
    }
    return rc;
}

int pvi_vtd_pasid_scrub(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid)
{
    uint64_t *table, *slot;
    int rc = slot_map(h, dir, pasid, &table, &slot);

    if (rc == 0) {
        rc = words_scrub(h, dir->coherent, slot, VTD_PASID_WORDS);
        pvi_env_unmap(h, table);
    }
    return rc;
}

int pvi_vtd_pasid_get(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                      struct pvi_vtd_pasid_entry *out)
{
    uint64_t *table, *slot;
    int rc = slot_map(h, dir, pasid, &table, &slot);

    if (rc == 0) {
        words_read(slot, out);
        rc = out->w[0] & VTD_PTE_P ? 0 : -PVI_ENOENT;
        pvi_env_unmap(h, table);
    }
    return rc;
}

/* Context entries ------------------------------------------------------------------------------ */

struct pvi_vtd_entry pvi_vtd_sm_root_encode(const pvi_pa *lower, const pvi_pa *upper)
{
    struct pvi_vtd_entry e;

    e.lo = lower ? (lower->a & VTD_ROOT_CTP) | VTD_ROOT_P : 0;
    e.hi = upper ? (upper->a & VTD_ROOT_CTP) | VTD_ROOT_P : 0;
    return e;
}

int pvi_vtd_sm_context_encode(const struct pvi_vtd_sm_caps *caps,
                              const struct pvi_vtd_pasid_dir *dir,
                              const struct pvi_vtd_sm_context *c, struct pvi_vtd_sm_entry *out)
{
    if ((c->pasids && caps->pasid_bits == 0) || (c->ats && !caps->ats) ||
        (c->page_requests && (!caps->page_requests || !c->ats)) ||
        (c->rid_pasid != 0 && !caps->rid_pasid)) {
        return -PVI_EOPNOTSUPP;
    }
    if (c->rid_pasid >> dir->bits != 0) {
        return -PVI_ERANGE;
    }
    memset(out, 0, sizeof(*out));
    out->w[0] = (dir->pa.a & VTD_SMCTX_DIR) |
                (uint64_t)(dir->bits - VTD_PASID_DIR_LG2) << VTD_SMCTX_PDTS_LG2 | VTD_SMCTX_P;
    out->w[0] |= c->pasids ? VTD_SMCTX_PASIDE : 0;
    out->w[0] |= c->ats ? VTD_SMCTX_DTE : 0;
    out->w[0] |= c->page_requests ? VTD_SMCTX_PRE : 0;
    out->w[1] = c->rid_pasid;
    return 0;
}

static uint64_t *context_slot(uint64_t *table, uint16_t rid)
{
    return table + (rid & VTD_SMCTX_DEVFN) * VTD_SMCTX_WORDS;
}

int pvi_vtd_sm_context_set(struct pvi_host *h, bool coherent, pvi_pa table, uint16_t rid,
                           const struct pvi_vtd_sm_entry *e)
{
    uint64_t *words = pvi_env_map(h, table);
    int rc = words_set(h, coherent, context_slot(words, rid), e->w, VTD_SMCTX_WORDS);

    pvi_env_unmap(h, words);
    return rc;
}

int pvi_vtd_sm_context_clear(struct pvi_host *h, bool coherent, pvi_pa table, uint16_t rid)
{
    uint64_t *words = pvi_env_map(h, table);
    int rc = words_clear(h, coherent, context_slot(words, rid));

    pvi_env_unmap(h, words);
    return rc;
}

int pvi_vtd_sm_context_scrub(struct pvi_host *h, bool coherent, pvi_pa table, uint16_t rid)
{
    uint64_t *words = pvi_env_map(h, table);
    int rc = words_scrub(h, coherent, context_slot(words, rid), VTD_SMCTX_WORDS);

    pvi_env_unmap(h, words);
    return rc;
}
