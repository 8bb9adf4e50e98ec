/* SPDX-License-Identifier: MIT */
/*
 * Requesters of a unit in scalable mode. VT-d 6.2.3.1, 6.5.3.3; hwspec 2.1 to 2.5, 4.2, 4.3.
 *
 * A PASID entry has 512 bits and cannot change under a device that uses it. So each requester has
 * two directories: the entry of PASID 0, for requests without PASID, is made in the one that the
 * context entry does not name, then the context entry names that one, by one 128-bit store (its
 * upper half is always zero). Each directory has a table of its own for PASIDs 0 to 63, in which
 * entries 1 to 63 are the same in both; the tables of higher PASIDs are shared. So what PASIDs
 * translate through does not depend on which directory the unit looks at, or still has cached.
 *
 * Directories and their first tables come when the requester first translates and go with the unit:
 * a way back never needs memory.
 */
#include "scalable.h"

#include "context.h"
#include "queue.h"

/*
 * 2^14 PASIDs have a directory of half a page. The last word of the page, which hardware never
 * reads, has the address of the other directory.
 */
#define DIR_BITS_MAX 14u
/* Of a requester that attaches all of them: 16 pages. */
#define PASID_BITS_DEFAULT 10u
#define DIR_OTHER    (PVI_PAGE_SIZE / 8 - 1)

/* Two directories with their first tables. */
#define DIRS_PAGES 4u

struct dirs {
    struct pvi_vtd_pasid_dir now; /* the context entry names it, present or not */
    struct pvi_vtd_pasid_dir idle;
};

int pvi_vtd_sm_init(struct pvi_vtd_unit *u, const struct pvi_vtd_cfg *cfg)
{
    struct pvi_unit_caps *caps = &u->unit.caps;
    uint8_t most;
    int rc = pvi_vtd_sm_caps(u->cap, u->ecap, cfg->haw_bits, cfg->quirks, &u->sm);

    if (rc) {
        return rc;
    }
    if (!u->sm.second_stage) {
        return -PVI_EOPNOTSUPP;
    }
    most = cfg->pasid_bits != 0 ? cfg->pasid_bits : PASID_BITS_DEFAULT;
    most = most < DIR_BITS_MAX ? most : DIR_BITS_MAX;
    u->sm.pasid_bits = u->sm.pasid_bits < most ? u->sm.pasid_bits : most;
    u->scalable = true;
    caps->coherent = u->sm.walk_snoop;
    caps->pasid_bits = u->sm.pasid_bits;
    caps->parent_rw = u->sm.parent_rw;
    if (u->sm.nested) {
        caps->guest_levels = u->sm.fs_levels;
        caps->guest_flags = PVI_GUEST_WRITE_PROTECT;
        caps->guest_flags |= u->sm.supervisor ? PVI_GUEST_SUPERVISOR : 0;
    }
    return 0;
}

/* Context entries: the lower half, which is all that is ever written ---------------------------- */

static struct pvi_vtd_entry *slot_of(struct pvi_vtd_entry *table, uint16_t rid)
{
    return &table[(rid & VTD_SMCTX_DEVFN) * (VTD_SMCTX_WORDS / 2)];
}

static struct pvi_vtd_entry slot_read(const struct pvi_vtd_unit *u, pvi_pa table, uint16_t rid)
{
    struct pvi_vtd_entry *page = pvi_env_map(u->unit.host, table), e;

    pvi_vtd_entry_read(slot_of(page, rid), &e);
    pvi_env_unmap(u->unit.host, page);
    return e;
}

static int slot_switch(const struct pvi_vtd_unit *u, pvi_pa table, uint16_t rid,
                       const struct pvi_vtd_entry *old, const struct pvi_vtd_entry *e)
{
    struct pvi_vtd_entry *page = pvi_env_map(u->unit.host, table);
    bool ok = pvi_vtd_entry_switch(u->unit.host, vtd_snoops(u), slot_of(page, rid), old, e);

    pvi_env_unmap(u->unit.host, page);
    return ok ? 0 : -PVI_EHW;
}

/* Directories ---------------------------------------------------------------------------------- */

static uint64_t dir_word(const struct pvi_vtd_unit *u, pvi_pa dir, unsigned n)
{
    uint64_t *page = pvi_env_map(u->unit.host, dir), word = pvi_env_read64(&page[n]);

    pvi_env_unmap(u->unit.host, page);
    return word;
}

static unsigned dir_bits(const struct pvi_vtd_unit *u)
{
    return u->sm.pasid_bits > VTD_PASID_DIR_LG2 ? u->sm.pasid_bits : VTD_PASID_DIR_LG2;
}

static void find_dirs(const struct pvi_vtd_unit *u, const struct pvi_vtd_entry *e, struct dirs *d)
{
    d->now.pa.a = e->lo & VTD_SMCTX_DIR;
    d->now.bits = (uint8_t)dir_bits(u);
    d->now.coherent = u->sm.coherent;
    d->idle = d->now;
    d->idle.pa.a = dir_word(u, d->now.pa, DIR_OTHER);
}

static void put_pages(const struct pvi_vtd_unit *u, const pvi_pa *page, unsigned nr)
{
    while (nr) {
        pvi_vtd_page_put(u, page[--nr]);
    }
}

/* One directory with an empty first table; no unit sees either yet. */
static int build_dir(const struct pvi_vtd_unit *u, pvi_pa page, pvi_pa table, pvi_pa other)
{
    struct pvi_host *h = u->unit.host;
    struct pvi_vtd_pasid_dir dir;
    uint64_t *words;

    if (pvi_vtd_pasid_dir_init(h, &u->sm, &dir, page, dir_bits(u)) ||
        pvi_vtd_pasid_dir_add(h, &dir, 0, table)) {
        return -PVI_EHW; /* the host's pages lie where the unit does not reach */
    }
    words = pvi_env_map(h, page);
    pvi_env_write64(h, &words[DIR_OTHER], other.a);
    if (!dir.coherent) {
        pvi_env_writeback(h, &words[DIR_OTHER], sizeof(*words));
    }
    pvi_env_unmap(h, words);
    return 0;
}

static int new_dirs(const struct pvi_vtd_unit *u, pvi_pa page[DIRS_PAGES])
{
    unsigned nr;
    int rc;

    for (nr = 0; nr < DIRS_PAGES; nr++) {
        rc = pvi_vtd_page_get(u, &page[nr]);
        if (rc) {
            put_pages(u, page, nr);
            return rc;
        }
    }
    rc = build_dir(u, page[0], page[2], page[1]);
    if (!rc) {
        rc = build_dir(u, page[1], page[3], page[0]);
    }
    if (rc) {
        put_pages(u, page, DIRS_PAGES);
    }
    return rc;
}

/*
 * The directories of rid, and its context entry; both tables up to there are made if need be. The
 * lock is held, and dropped for allocations.
 */
static int get_dirs(struct pvi_vtd_unit *u, uint16_t rid, pvi_pa *table, struct pvi_vtd_entry *e,
                    struct dirs *d)
{
    struct pvi_vtd_entry named = {0, 0};
    pvi_pa page[DIRS_PAGES];
    bool kept = false;
    int rc = pvi_vtd_get_table(u, rid, table);

    if (rc) {
        return rc;
    }
    *e = slot_read(u, *table, rid);
    if (!(e->lo & VTD_SMCTX_DIR)) {
        vtd_unlock(u);
        rc = new_dirs(u, page);
        vtd_lock(u);
        if (rc) {
            return rc;
        }
        *e = slot_read(u, *table, rid);
        if (!(e->lo & VTD_SMCTX_DIR)) {
            /* Not present yet: of such an entry hardware takes nothing else (hwspec 2). */
            named.lo = page[0].a;
            rc = slot_switch(u, *table, rid, e, &named);
            kept = !rc;
            *e = kept ? named : *e;
        }
        if (!kept) {
            vtd_unlock(u);
            put_pages(u, page, DIRS_PAGES);
            vtd_lock(u);
        }
    }
    if (!rc) {
        find_dirs(u, e, d);
    }
    return rc;
}

uint64_t pvi_vtd_sm_give(const struct pvi_vtd_unit *u, pvi_pa table, bool reachable)
{
    unsigned devfn, n;
    struct pvi_vtd_entry e;
    struct dirs d;
    uint64_t nr = 0;
    pvi_pa page;

    for (devfn = 0; devfn <= VTD_SMCTX_DEVFN; devfn++) {
        e = slot_read(u, table, (uint16_t)devfn);
        if (!(e.lo & VTD_SMCTX_DIR)) {
            continue;
        }
        find_dirs(u, &e, &d);
        for (n = 0; n < 1u << (d.now.bits - VTD_PASID_TABLE_LG2); n++) {
            page.a = dir_word(u, d.now.pa, n) & VTD_PDE_TABLE;
            nr += page.a != 0;
            if (page.a != 0 && !reachable) {
                pvi_vtd_page_put(u, page);
            }
        }
        nr += 3; /* the other's first table, and both */
        if (!reachable) {
            page.a = dir_word(u, d.idle.pa, 0) & VTD_PDE_TABLE;
            pvi_vtd_page_put(u, page);
            pvi_vtd_page_put(u, d.idle.pa);
            pvi_vtd_page_put(u, d.now.pa);
        }
    }
    return nr;
}

/* Requests without PASID ----------------------------------------------------------------------- */

static bool holds(const struct pvi_vtd_unit *u, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                  const struct pvi_vtd_pasid_entry *want)
{
    struct pvi_vtd_pasid_entry is;

    return pvi_vtd_pasid_get(u->unit.host, dir, pasid, &is) == 0 &&
           memcmp(&is, want, sizeof(is)) == 0;
}

/* Makes the unit forget rid's context entry and all PASID entries. The lock is dropped. */
static int forget(struct pvi_vtd_unit *u, uint16_t rid)
{
    struct pvi_inv inv = {.kind = PVI_INV_DEVICE, .rid = rid};
    int rc;

    vtd_unlock(u);
    rc = pvi_vtd_queue_submit(u, &inv, 1);
    if (!rc) {
        rc = pvi_vtd_queue_wait(u);
    }
    vtd_lock(u);
    return rc;
}

/*
 * Writes the entry of PASID 0 into the idle directory. A unit may still walk one that was in use a
 * moment ago, through a context or PASID entry that it has cached, and would see the entry change
 * piece by piece. The context entry in memory names the other one, so what is forgotten here is not
 * fetched again.
 */
static int fill_idle(struct pvi_vtd_unit *u, uint16_t rid, pvi_pa table,
                     const struct pvi_vtd_entry *e, const struct dirs *d,
                     const struct pvi_vtd_pasid_entry *want)
{
    struct pvi_host *h = u->unit.host;
    struct pvi_vtd_pasid_entry was;
    struct pvi_vtd_entry again;
    int rc;

    if (pvi_vtd_pasid_get(h, &d->idle, 0, &was) == 0) {
        rc = forget(u, rid);
        if (rc) {
            return rc;
        }
        again = slot_read(u, table, rid);
        if (again.lo != e->lo || again.hi != e->hi || pvi_vtd_pasid_clear(h, &d->idle, 0, &was) ||
            pvi_vtd_pasid_scrub(h, &d->idle, 0)) {
            return -PVI_EHW; /* somebody else writes here */
        }
    }
    return pvi_vtd_pasid_set(h, &d->idle, 0, want) ? -PVI_EHW : 0;
}

static int rid_set(struct pvi_vtd_unit *u, uint16_t rid, const struct pvi_vtd_pasid_entry *want,
                   bool *was_absent)
{
    const struct pvi_vtd_sm_context use = {.pasids = u->sm.pasid_bits != 0};
    struct pvi_vtd_sm_entry words;
    struct pvi_vtd_entry old, e;
    struct dirs d;
    pvi_pa table;
    bool stay;
    int rc = get_dirs(u, rid, &table, &old, &d);

    if (rc) {
        return rc;
    }
    stay = holds(u, &d.now, 0, want);
    if (!stay && !holds(u, &d.idle, 0, want)) {
        rc = fill_idle(u, rid, table, &old, &d, want);
    }
    if (!rc) {
        rc = pvi_vtd_sm_context_encode(&u->sm, stay ? &d.now : &d.idle, &use, &words);
    }
    if (!rc) {
        e.lo = words.w[0];
        e.hi = words.w[1];
        rc = slot_switch(u, table, rid, &old, &e);
    }
    if (!rc) {
        *was_absent = !(old.lo & VTD_SMCTX_P);
    }
    return rc;
}

static int rid_block(struct pvi_vtd_unit *u, uint16_t rid, bool *was_absent)
{
    struct pvi_vtd_entry old = {0, 0}, e;
    pvi_pa table;
    int rc = 0;

    if (pvi_vtd_find_table(u, rid, &table)) {
        old = slot_read(u, table, rid);
    }
    if (old.lo & VTD_SMCTX_P) {
        /* The directories stay named, so that the way back needs no memory. */
        e.lo = old.lo & ~VTD_SMCTX_P;
        e.hi = old.hi;
        rc = slot_switch(u, table, rid, &old, &e);
    }
    if (!rc) {
        *was_absent = !(old.lo & VTD_SMCTX_P);
    }
    return rc;
}

/* Requests with PASID -------------------------------------------------------------------------- */

static bool own_table(uint32_t pasid)
{
    return pasid >> VTD_PASID_TABLE_LG2 == 0;
}

/* Gives both directories the table of pasid. The lock is dropped for the allocation. */
static int share_table(struct pvi_vtd_unit *u, const struct dirs *d, uint32_t pasid)
{
    pvi_pa page;
    int rc;

    vtd_unlock(u);
    rc = pvi_vtd_page_get(u, &page);
    vtd_lock(u);
    if (rc) {
        return rc;
    }
    if (!pvi_vtd_pasid_dir_add(u->unit.host, &d->now, pasid, page)) {
        pvi_vtd_pasid_dir_link(u->unit.host, &d->idle, pasid, page);
        return 0;
    }
    /* Another CPU has been faster. */
    vtd_unlock(u);
    pvi_vtd_page_put(u, page);
    vtd_lock(u);
    return 0;
}

static int pasid_put(const struct pvi_vtd_unit *u, const struct pvi_vtd_pasid_dir *dir,
                     uint32_t pasid, const struct pvi_vtd_pasid_entry *want)
{
    return pvi_vtd_pasid_scrub(u->unit.host, dir, pasid) ||
                   pvi_vtd_pasid_set(u->unit.host, dir, pasid, want)
               ? -PVI_EHW
               : 0;
}

static int pasid_set(struct pvi_vtd_unit *u, uint16_t rid, uint32_t pasid,
                     const struct pvi_vtd_pasid_entry *want, bool *was_absent)
{
    struct pvi_vtd_pasid_entry is;
    struct pvi_vtd_entry e;
    struct dirs d;
    pvi_pa table;
    int rc = get_dirs(u, rid, &table, &e, &d);

    if (!rc && pvi_vtd_pasid_get(u->unit.host, &d.now, pasid, &is) == 0) {
        *was_absent = false;
        return memcmp(&is, want, sizeof(is)) == 0 ? 0 : -PVI_EHW; /* never rewritten */
    }
    if (!rc && pvi_vtd_pasid_scrub(u->unit.host, &d.now, pasid) == -PVI_ENOENT) {
        rc = share_table(u, &d, pasid);
    }
    if (!rc && own_table(pasid)) {
        rc = pasid_put(u, &d.idle, pasid, want);
    }
    if (!rc) {
        rc = pasid_put(u, &d.now, pasid, want);
    }
    if (!rc) {
        *was_absent = true;
    }
    return rc;
}

static int pasid_block(struct pvi_vtd_unit *u, uint16_t rid, uint32_t pasid, bool *was_absent)
{
    struct pvi_vtd_pasid_entry was;
    struct pvi_vtd_entry e = {0, 0};
    struct dirs d;
    pvi_pa table;

    *was_absent = true;
    if (pvi_vtd_find_table(u, rid, &table)) {
        e = slot_read(u, table, rid);
    }
    if (!(e.lo & VTD_SMCTX_DIR)) {
        return 0;
    }
    find_dirs(u, &e, &d);
    *was_absent = pvi_vtd_pasid_clear(u->unit.host, &d.now, pasid, &was) != 0;
    if (own_table(pasid) && pvi_vtd_pasid_clear(u->unit.host, &d.idle, pasid, &was) != 0) {
        *was_absent = true; /* it is in both or in neither */
    }
    return 0;
}

int pvi_vtd_sm_switch(struct pvi_vtd_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                      bool *was_absent)
{
    struct pvi_vtd_pasid_entry want;
    int rc = to->pasid >> u->sm.pasid_bits ? -PVI_EOPNOTSUPP : 0;

    if (!rc && to->translate) {
        rc = pvi_vtd_pasid_of(&u->sm, to, &want);
    }
    if (rc) {
        return rc;
    }
    vtd_lock(u);
    if (to->translate && u->unit.broken) {
        rc = -PVI_EHW;
    } else if (to->pasid != 0) {
        rc = to->translate ? pasid_set(u, rid, to->pasid, &want, was_absent)
                           : pasid_block(u, rid, to->pasid, was_absent);
    } else {
        rc = to->translate ? rid_set(u, rid, &want, was_absent) : rid_block(u, rid, was_absent);
    }
    vtd_unlock(u);
    return rc;
}
