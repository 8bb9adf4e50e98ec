/* SPDX-License-Identifier: MIT */
/* The recorder: tables from their roots on, and what each store to a live entry means. */
#include "record.h"
#include <pviommu/pool.h>
#include <stdlib.h>
#include <string.h>

#ifdef PVI_POSIX_RECORD

static uint64_t slot_iova(uint64_t base, unsigned level, unsigned slot)
{
    return base + ((uint64_t)slot << rec_shift(level));
}

static uint64_t slot_last(uint64_t first, unsigned level)
{
    return first + (((uint64_t)1 << rec_shift(level)) - 1);
}

/* What a leaf covers: its own slot, or the group of slots that it is repeated in. */
static void leaf_range(const struct rec_entry *e, uint64_t iova, uint64_t *first, uint64_t *last)
{
    *first = iova & ~(((uint64_t)1 << e->lg2) - 1);
    *last = *first + (((uint64_t)1 << e->lg2) - 1);
}

/* Leaves by frame ----------------------------------------------------------------------------- */

void rec_mapped(struct pvi_host *h, uint64_t pa, uint64_t len, bool owes, int64_t delta)
{
    uint64_t first = pa >> PVI_PAGE_LG2, last = first + (len >> PVI_PAGE_LG2) - 1;

    if (!h->no_counts) {
        pvi_count_add(&h->rec->mapped, first, last, delta);
    }
    if (!h->no_counts && owes) {
        pvi_count_add(&h->rec->spare, first, last, -delta);
    }
}

/* A run of leaves that continue each other, so that a full table is counted at once. */
struct leaf_run {
    uint64_t iova, pa, len;
    bool owes;
};

static void run_gone(struct pvi_host *h, struct rec_table *t, const struct leaf_run *run)
{
    struct rec_gone *g;

    t->gone = rec_grow(t->gone, t->nr_gone, &t->room_gone, sizeof(*t->gone));
    g = &t->gone[t->nr_gone++];
    g->first = run->iova;
    g->last = run->iova + (run->len - 1);
    g->frame = run->pa >> PVI_PAGE_LG2;
    g->nr = run->len >> PVI_PAGE_LG2;
    g->when = h->rec->now;
    g->by = rec_me();
    g->owes = run->owes;
}

/* New leaves; or, gone, old ones, which count until every unit has forgotten them. */
static void run_flush(struct pvi_host *h, struct rec_table *t, struct leaf_run *run, bool gone)
{
    if (run->len == 0) {
        return;
    }
    if (gone && t->bindings && !h->no_counts) {
        run_gone(h, t, run);
    } else {
        rec_mapped(h, run->pa, run->len, run->owes, gone ? -1 : 1);
    }
    run->len = 0;
}

static void run_add(struct pvi_host *h, struct rec_table *t, struct leaf_run *run, uint64_t iova,
                    uint64_t pa, unsigned level, bool owes, bool gone)
{
    uint64_t span = (uint64_t)1 << rec_shift(level);

    if (run->len != 0 &&
        (run->iova + run->len != iova || run->pa + run->len != pa || run->owes != owes)) {
        run_flush(h, t, run, gone);
    }
    if (run->len == 0) {
        run->iova = iova;
        run->pa = pa;
        run->owes = owes;
    }
    run->len += span;
}

/* Linking ------------------------------------------------------------------------------------- */

struct link {
    struct pvi_host *h;
    struct rec_table *t;
    bool fresh; /* linked just now, into a table that was live: what it maps is an addition */
};

static void link_table(struct link *l, uint64_t pa, unsigned level, uint64_t iova);

/* A page is about to become a live table: may it? */
static bool link_page_ok(struct link *l, uint64_t pa, uint64_t index)
{
    struct pvi_host *h = l->h;
    struct rec_page *page = &h->rec->page[index];
    unsigned long long at = pa;
    unsigned i;

    if (page->state == REC_LIVE || page->state == REC_RAW) {
        rec_violation(h, PVI_RULE_R2, "page 0x%llx is linked as a table and is live already", at);
        return false;
    }
    if (page->state == REC_LIMBO) {
        rec_page_leaves(h, index, "use as a table again");
    }
    if (l->t->noncoherent && !rec_page_written_back(h, index)) {
        const uint64_t *cpu = pvi_posix_page_ptr(h, index);
        const uint64_t *dram = (const uint64_t *)(const void *)rec_dram(h, index);

        for (i = 0; cpu[i] == dram[i]; i++) {
        }
        rec_violation(
            h, PVI_RULE_R1,
            "table 0x%llx is linked, entry %u is not written back: 0x%llx, memory has 0x%llx", at,
            i, (unsigned long long)cpu[i], (unsigned long long)dram[i]);
    }
    return true;
}

static void link_entries(struct link *l, uint64_t index, unsigned level, uint64_t iova)
{
    struct leaf_run run = {0, 0, 0, false}, added = {0, 0, 0, false};
    const uint64_t *table = pvi_posix_page_ptr(l->h, index);
    unsigned i, nr = rec_entries(&l->t->rules, level);

    for (i = 0; i < REC_ENTRIES; i++) {
        uint64_t at = slot_iova(iova, level, i);
        struct rec_entry e = rec_decode(&l->t->rules, table[i], level, at);

        if (e.kind == REC_EMPTY) {
            continue;
        }
        if (e.kind == REC_BAD || e.kind == REC_STRAY || i >= nr) {
            rec_violation(l->h, PVI_RULE_R22,
                          "table 0x%llx of level %u is linked, entry %u is no entry: 0x%llx%s",
                          (unsigned long long)rec_page_pa(l->h, index), level, i,
                          (unsigned long long)table[i],
                          table[i] == REC_POISON ? " (not scrubbed)" : "");
            return;
        }
        if (e.kind == REC_TABLE) {
            link_table(l, e.pa, e.level, at);
            continue;
        }
        run_add(l->h, l->t, &run, at, e.pa, level, e.owes, false);
        if (added.len != 0 && added.iova + added.len != at) {
            rec_due_add(l->h, l->t, added.iova, added.iova + (added.len - 1),
                        DUE_ADDED | DUE_TABLES);
            added.len = 0;
        }
        added.iova = added.len == 0 ? at : added.iova;
        added.len += l->fresh ? (uint64_t)1 << rec_shift(level) : 0;
    }
    run_flush(l->h, l->t, &run, false);
    if (added.len != 0) {
        rec_due_add(l->h, l->t, added.iova, added.iova + (added.len - 1), DUE_ADDED | DUE_TABLES);
    }
}

static void link_table(struct link *l, uint64_t pa, unsigned level, uint64_t iova)
{
    uint64_t index = pvi_posix_page_index(l->h, pa);
    struct rec_page *page;

    if (index >= l->h->arena.nr_pages || l->h->arena.used[index] == 0) {
        rec_violation(l->h, PVI_RULE_R2,
                      "0x%llx is linked as a table and is no page that the host gave out",
                      (unsigned long long)pa);
        return;
    }
    if (!link_page_ok(l, pa, index)) {
        return;
    }
    page = &l->h->rec->page[index];
    page->table = l->t;
    page->iova = iova;
    page->level = (uint8_t)level;
    page->waiting = 0;
    memcpy(rec_seen(l->h, index), pvi_posix_page_ptr(l->h, index), PVI_PAGE_SIZE);
    rec_page_live(l->h, index, REC_LIVE);
    link_entries(l, index, level, iova);
}

/* What an entry is replaced by. */
struct heir {
    uint64_t value;
    uint64_t iova; /* of the slot */
    unsigned level;
};

/*
 * Does what comes lead to the same frame, and hold the same reference? Then it takes over that of
 * the leaf that goes: a split, a merge or a change of rights gets none. A frame that is removed
 * later waits for the invalidation of both.
 */
static bool inherits(struct pvi_host *h, struct rec_table *t, const struct heir *heir,
                     const struct rec_entry *was, uint64_t iova, uint64_t pa)
{
    struct rec_entry e = rec_decode(&t->rules, heir->value, heir->level, heir->iova);
    uint64_t at = heir->iova;
    unsigned level = heir->level;

    while (e.kind == REC_TABLE && pvi_posix_page_index(h, e.pa) < h->arena.nr_pages) {
        const uint64_t *table = pvi_posix_page_ptr(h, pvi_posix_page_index(h, e.pa));
        unsigned slot = (unsigned)((iova - at) >> rec_shift(e.level));

        level = e.level;
        at = slot_iova(at, level, slot);
        e = rec_decode(&t->rules, table[slot], level, at);
    }
    return e.kind == REC_LEAF && e.pa + (iova - at) == pa && e.debt == was->debt;
}

/* A leaf goes, in pieces as large as a slot of `level`. */
static void leaf_gone(struct pvi_host *h, struct rec_table *t, struct leaf_run *run,
                      const struct heir *heir, const struct rec_entry *was, uint64_t iova,
                      unsigned of_level, unsigned level)
{
    uint64_t span = (uint64_t)1 << rec_shift(level), offset;

    for (offset = 0; offset >> rec_shift(of_level) == 0; offset += span) {
        if (heir && heir->value != 0 &&
            inherits(h, t, heir, was, iova + offset, was->pa + offset)) {
            run_flush(h, t, run, true);
            rec_mapped(h, was->pa + offset, span, was->owes, -1);
        } else {
            run_add(h, t, run, iova + offset, was->pa + offset, level, was->owes, true);
        }
    }
}

/* A table and all below it are not reachable any more. */
static void unlink_table(struct pvi_host *h, struct rec_table *t, uint64_t index,
                         const struct heir *heir)
{
    const uint64_t *table = (const uint64_t *)(const void *)rec_seen(h, index);
    struct rec_page *page = &h->rec->page[index];
    struct leaf_run run = {0, 0, 0, false};
    unsigned i;

    if (page->state != REC_LIVE || page->table != t) {
        return;
    }
    rec_page_dead(h, index, REC_NONE);
    for (i = 0; i < rec_entries(&t->rules, page->level); i++) {
        uint64_t at = slot_iova(page->iova, page->level, i);
        struct rec_entry e = rec_decode(&t->rules, table[i], page->level, at);

        if (e.kind == REC_LEAF) {
            leaf_gone(h, t, &run, heir, &e, at, page->level, page->level);
        } else if (e.kind == REC_TABLE && pvi_posix_page_index(h, e.pa) < h->arena.nr_pages) {
            unlink_table(h, t, pvi_posix_page_index(h, e.pa), heir);
        }
    }
    run_flush(h, t, &run, true);
    page->table = NULL;
    if (t->bindings) {
        page->state = REC_LIMBO;
        page->table = t;
        page->gone = h->rec->now;
        page->by = rec_me();
        t->limbo = rec_grow(t->limbo, t->nr_limbo, &t->room_limbo, sizeof(*t->limbo));
        t->limbo[t->nr_limbo++] = (uint32_t)index;
    }
}

/* Stores -------------------------------------------------------------------------------------- */

/*
 * Where a leaf was, a table comes: no address that was mapped may lead elsewhere, nor all of them
 * nowhere.
 */
static void split_ok(struct pvi_host *h, struct rec_table *t, const struct rec_entry *leaf,
                     uint64_t iova, uint64_t pa)
{
    uint64_t index = pvi_posix_page_index(h, pa);
    const uint64_t *table;
    unsigned i, nr = 0;

    if (index >= h->arena.nr_pages || h->rec->page[index].state != REC_LIVE) {
        return;
    }
    table = pvi_posix_page_ptr(h, index);
    for (i = 0; i < REC_ENTRIES; i++) {
        unsigned level = h->rec->page[index].level;
        uint64_t at = slot_iova(iova, level, i);
        struct rec_entry e = rec_decode(&t->rules, table[i], level, at);

        nr += e.kind == REC_EMPTY ? 0 : 1;
        if (e.kind == REC_LEAF && e.pa != leaf->pa + (at - iova)) {
            rec_violation(
                h, PVI_RULE_R2, "the leaf at IOVA 0x%llx is split, and 0x%llx leads to 0x%llx",
                (unsigned long long)iova, (unsigned long long)at, (unsigned long long)e.pa);
            return;
        }
    }
    if (nr == 0) {
        rec_violation(h, PVI_RULE_R2,
                      "the leaf at IOVA 0x%llx is replaced by a table that is not filled",
                      (unsigned long long)iova);
    }
}

static void old_leaf(struct pvi_host *h, struct rec_table *t, const struct rec_entry *was,
                     const struct rec_entry *is, const struct heir *heir)
{
    struct leaf_run run = {0, 0, 0, false};
    uint64_t first, last;

    if (is->kind == REC_LEAF && is->heeded == was->heeded) {
        rec_mapped(h, was->pa, (uint64_t)1 << rec_shift(heir->level), was->owes,
                   -1); /* an ignored bit changed: nothing to forget */
        return;
    }
    leaf_range(was, heir->iova, &first, &last);
    rec_due_add(h, t, first, last, is->kind == REC_TABLE ? DUE_TABLES : 0);
    leaf_gone(h, t, &run, heir, was, heir->iova, heir->level,
              is->kind == REC_TABLE ? is->level : heir->level);
    run_flush(h, t, &run, true);
}

static void old_table(struct pvi_host *h, struct rec_table *t, const struct rec_entry *was,
                      const struct heir *heir)
{
    rec_due_add(h, t, heir->iova, slot_last(heir->iova, heir->level), DUE_TABLES);
    unlink_table(h, t, pvi_posix_page_index(h, was->pa), heir);
}

/* A live entry is about to become `value`. What comes is looked at before what goes. */
void rec_store_live(struct pvi_host *h, uint64_t index, unsigned slot, uint64_t old, uint64_t value)
{
    struct rec_page *page = &h->rec->page[index];
    struct rec_table *t = page->table;
    uint64_t iova = slot_iova(page->iova, page->level, slot);
    struct rec_entry was = rec_decode(&t->rules, old, page->level, iova);
    struct rec_entry is = rec_decode(&t->rules, value, page->level, iova);
    const struct heir heir = {value, iova, page->level};
    bool same_child = was.kind == REC_TABLE && is.kind == REC_TABLE && was.pa == is.pa;

    h->rec->now++;
    if (is.kind == REC_BAD || (is.kind != REC_EMPTY && slot >= rec_entries(&t->rules, page->level))) {
        rec_violation(h, PVI_RULE_R3,
                      "entry %u of live table 0x%llx of level %u becomes 0x%llx, which is no entry",
                      slot, (unsigned long long)rec_page_pa(h, index), page->level,
                      (unsigned long long)value);
    }
    if (same_child) {
        if (was.heeded != is.heeded) {
            rec_due_add(h, t, iova, slot_last(iova, page->level), DUE_TABLES);
        }
        return;
    }
    if (is.kind == REC_TABLE) {
        struct link l = {h, t, was.kind == REC_EMPTY || was.kind == REC_STRAY};

        link_table(&l, is.pa, is.level, iova);
        if (was.kind == REC_LEAF) {
            split_ok(h, t, &was, iova, is.pa);
        }
    } else if (is.kind == REC_LEAF) {
        struct leaf_run run = {0, 0, 0, false};

        run_add(h, t, &run, iova, is.pa, page->level, is.owes, false);
        run_flush(h, t, &run, false);
        if (was.kind == REC_EMPTY || was.kind == REC_STRAY) {
            rec_due_add(h, t, iova, slot_last(iova, page->level), DUE_ADDED | DUE_TABLES);
        }
    }
    if (was.kind == REC_LEAF) {
        old_leaf(h, t, &was, &is, &heir);
    } else if (was.kind == REC_TABLE) {
        old_table(h, t, &was, &heir);
    }
}

/* Tables -------------------------------------------------------------------------------------- */

struct rec_table *rec_table_find(struct pvi_host *h, uint64_t root)
{
    struct rec_page *page;

    if (root >= h->arena.nr_pages) {
        return NULL;
    }
    page = &h->rec->page[root];
    return page->state == REC_LIVE && page->table && page->table->root == root ? page->table : NULL;
}

/*
 * The table at page `root`, known from now on. NULL: of a format that is not judged, or no page of
 * the host.
 */
struct rec_table *rec_table_track(struct pvi_host *h, const struct pvi_pt_ops *format,
                                  unsigned levels, uint64_t root)
{
    struct rec_table *t = rec_table_find(h, root);
    enum rec_format kind = rec_format_of(format);
    const struct pvi_page *record;

    if (t || kind == REC_FMT_NONE) {
        return t;
    }
    if (root >= h->arena.nr_pages || h->arena.used[root] == 0) {
        rec_violation(h, PVI_RULE_R11, "a root is no page that the host gave out");
        return NULL;
    }
    record = (const struct pvi_page *)(const void *)(h->arena.records + root * PVI_ENV_PAGE_STRIDE);
    if (record->state == PVI_PAGE_TABLE && record->level + 1u != levels) {
        rec_violation(h, PVI_RULE_R11, "table 0x%llx has %u levels, hardware is told %u",
                      (unsigned long long)rec_page_pa(h, root), record->level + 1u, levels);
        return NULL;
    }
    t = calloc(1, sizeof(*t));
    PVI_ASSERT(t != NULL);
    t->rules.format = (uint8_t)kind;
    t->rules.pa_bits = 52;
    t->rules.levels = (uint8_t)levels;
    t->rules.snoop = true;
    t->levels = levels;
    t->root = root;
    t->next = h->rec->tables;
    h->rec->tables = t;
    return t;
}

/* Reads the whole tree, as a unit may from now on; or again, when a stricter walker comes. */
void rec_table_sync(struct pvi_host *h, struct rec_table *t)
{
    struct link l = {h, t, false};
    struct rec_binding *b;
    bool noncoherent = t->pinned && !t->pin_coherent;
    size_t i;

    for (b = t->bindings; b; b = b->next_of_table) {
        const struct pvi_unit_caps *caps = &b->unit->u->caps;

        noncoherent = noncoherent || !caps->coherent;
        h->rec->write_buffer = h->rec->write_buffer || caps->write_buffer;
        t->rules.snoop = t->rules.snoop && caps->snoop;
        t->rules.pa_bits = caps->pa_bits < t->rules.pa_bits ? caps->pa_bits : t->rules.pa_bits;
    }
    if (h->rec->page[t->root].state != REC_LIVE) {
        t->noncoherent = noncoherent;
        link_table(&l, rec_page_pa(h, t->root), t->levels - 1, 0);
        return;
    }
    if (!noncoherent || t->noncoherent) {
        return;
    }
    t->noncoherent = true;
    for (i = 0; i < h->rec->nr_live; i++) {
        uint64_t index = h->rec->live[i];

        if (h->rec->page[index].table == t && !rec_page_written_back(h, index)) {
            rec_violation(h, PVI_RULE_R1,
                          "table 0x%llx is not written back and gets a walker that does not snoop",
                          (unsigned long long)rec_page_pa(h, index));
        }
    }
}

/* What went out of the table and is forgotten by now on every unit. */
void rec_table_settle(struct pvi_host *h, struct rec_table *t)
{
    size_t i = 0;

    while (i < t->nr_gone) {
        struct rec_gone *g = &t->gone[i];

        if (rec_due_find(t, g->first, g->last, g->when, g->by, false)) {
            i++;
            continue;
        }
        rec_mapped(h, g->frame << PVI_PAGE_LG2, g->nr << PVI_PAGE_LG2, g->owes, -1);
        *g = t->gone[--t->nr_gone];
    }
    i = 0;
    while (i < t->nr_limbo) {
        uint64_t index = t->limbo[i];
        struct rec_page *page = &h->rec->page[index];
        bool ours = page->state == REC_LIMBO && page->table == t;

        if (ours && rec_page_cached(page)) {
            i++;
            continue;
        }
        if (ours && memcmp(pvi_posix_page_ptr(h, index), rec_seen(h, index), PVI_PAGE_SIZE) != 0) {
            rec_violation(
                h, PVI_RULE_R4,
                "table 0x%llx, unlinked for IOVA 0x%llx, was written before its flush ended",
                (unsigned long long)rec_page_pa(h, index), (unsigned long long)page->iova);
        }
        if (ours) {
            page->state = REC_NONE;
            page->table = NULL;
        }
        t->limbo[i] = t->limbo[--t->nr_limbo];
    }
}

/* No unit knows the table any more, and nobody asked to keep an eye on it. */
void rec_table_release(struct pvi_host *h, struct rec_table *t)
{
    struct rec_table **at;

    if (t->bindings || t->pinned) {
        return;
    }
    rec_table_settle(h, t);
    unlink_table(h, t, t->root, NULL);
    for (at = &h->rec->tables; *at != t; at = &(*at)->next) {
    }
    *at = t->next;
    free(t->gone);
    free(t->limbo);
    free(t);
}

#endif
