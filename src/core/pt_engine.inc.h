/* SPDX-License-Identifier: MIT */
/*
 * The page-table engine. This header is meant to be included once by each format's .c file, after the format
 * has defined the functions of pt_contract.h and the names PT_NAME, PT_OPS, PT_PAGE_SIZES, PT_LEVELS.
 *
 * Rules that every function here keeps (docs/design.md names the tests):
 *   - A live entry changes by exactly one 64-bit store (R3).
 *   - A table is filled, and written back on units that do not snoop, before its parent links it (R1, R2).
 *   - All pages that a slice needs are promised before its first store (R12).
 *   - What was removed goes to the gather with the range of the OLD entry; nothing is given back here (R4-R6).
 *   - A slice visits at most PT_BUDGET entries (R14).
 */
#include "pt_contract.h"
#include <pviommu/gather.h>

/* Entries that one slice may visit: one table's worth. */
#define PT_BUDGET PVI_TABLE_ENTRIES

/* Where a walk stands: the table of each level from the root down to `level`, mapped. */
struct pt_walk {
    struct pvi_page *page[PVI_MAX_LEVELS];
    uint64_t *table[PVI_MAX_LEVELS];
    unsigned level;
};

static inline uint64_t pt_span(unsigned level)
{
    return (uint64_t)1 << pt_shift(level);
}

static inline unsigned pt_entries(unsigned level)
{
    return 1u << pt_bits(level);
}

static inline unsigned pt_index(uint64_t iova, unsigned level)
{
    return (unsigned)(iova >> pt_shift(level)) & (pt_entries(level) - 1);
}

static void pt_walk_begin(const struct pvi_pt *pt, struct pt_walk *w)
{
    w->level = pt->cfg.levels - 1u;
    w->page[w->level] = pt->root;
    w->table[w->level] = pvi_env_map(pt->host, pt->root->pa);
}

static void pt_walk_down(const struct pvi_pt *pt, struct pt_walk *w, uint64_t link)
{
    pvi_pa pa;

    pa.a = pt_table_pa(link, w->level);
    w->level--;
    w->page[w->level] = pvi_env_page(pt->host, pa);
    w->table[w->level] = pvi_env_map(pt->host, pa);
}

static void pt_walk_end(const struct pvi_pt *pt, struct pt_walk *w)
{
    unsigned level;

    for (level = w->level; level < pt->cfg.levels; level++) {
        pvi_env_unmap(pt->host, w->table[level]);
    }
}

static inline void pt_sync(const struct pvi_pt *pt, const uint64_t *first, unsigned nr)
{
    if (!pt->cfg.coherent) {
        pvi_env_writeback(pt->host, first, nr * sizeof(*first));
    }
}

/* Highest level not above `level` whose leaf fits address, frame and length. Sizes have no gaps (pvi_pt_init). */
static unsigned pt_fit(const struct pvi_pt *pt, unsigned level, uint64_t iova, uint64_t pa, uint64_t len)
{
    while (level > 0) {
        uint64_t span = pt_span(level);

        if ((pt->cfg.page_sizes & span) != 0 && ((iova | pa) & (span - 1)) == 0 && len >= span) {
            break;
        }
        level--;
    }
    return level;
}

/* --- map ---------------------------------------------------------------------------------------- */

/*
 * Makes the table below an entry empty if all that it holds is empty tables: a large leaf is to go in its
 * place. Those are unlinked one by one, each by a store of its own; a live leaf below ends the attempt.
 */
static bool pt_prune(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_page *page, uint64_t iova,
                     struct pvi_gather *g)
{
    unsigned level = page->level, i;
    uint64_t *table;

    if (page->live == 0) {
        return true;
    }
    if (level == 0) {
        return false;
    }
    table = pvi_env_map(pt->host, page->pa);
    for (i = 0; i < pt_entries(level) && page->live != 0; i++) {
        uint64_t entry = pvi_env_read64(&table[i]), first = iova + i * pt_span(level);
        struct pvi_page *child;
        pvi_pa pa;

        if (pt_kind(entry, level) == PT_EMPTY) {
            continue;
        }
        pa.a = pt_table_pa(entry, level);
        child = pt_kind(entry, level) == PT_TABLE ? pvi_env_page(pt->host, pa) : NULL;
        if (!child || child->live != 0) {
            break;
        }
        pvi_env_write64(pt->host, &table[i], 0);
        pt_sync(pt, &table[i], 1);
        page->live--;
        pvi_gather_table(g, child);
        pvi_gather_range(g, ctx, first, first + pt_span(level) - 1, true, false);
    }
    pvi_env_unmap(pt->host, table);
    return page->live == 0;
}

/* Stores up to nr leaves into a live table, up to the first entry that is taken. Returns how many. */
static unsigned pt_fill_live(struct pvi_pt *pt, struct pvi_context *ctx, struct pt_walk *w,
                             const struct pvi_pt_map *r, uint64_t iova, unsigned nr, struct pvi_gather *g)
{
    unsigned level = w->level, at = pt_index(iova, level), i;
    struct pvi_page *page = w->page[level];
    uint64_t *slot = &w->table[level][at];
    uint64_t leaf = pt_leaf(&pt->cfg, r->pa + (iova - r->iova), level, r->prot, r->owe);
    bool displaced = false;

    for (i = 0; i < nr; i++, leaf += pt_leaf_step(level)) {
        uint64_t old = pvi_env_read64(&slot[i]);

        if (pt_kind(old, level) == PT_TABLE) {
            struct pvi_page *child;
            pvi_pa pa;

            pa.a = pt_table_pa(old, level);
            child = pvi_env_page(pt->host, pa);
            if (child->live != 0) { /* the next slice looks what can be pruned from it */
                break;
            }
            /* One store turns link into leaf: a walker sees the empty table or the leaf. */
            pvi_env_write64(pt->host, &slot[i], leaf);
            pvi_gather_table(g, child);
            displaced = true;
        } else if (pt_kind(old, level) == PT_EMPTY) {
            pvi_env_write64(pt->host, &slot[i], leaf);
            page->live++;
        } else {
            break;
        }
        if (r->owe != PVI_OWE_NONE) {
            page->owing++;
        }
    }
    if (i > 0) {
        pt_sync(pt, slot, i);
        pvi_gather_range(g, ctx, iova, iova + i * pt_span(level) - 1, displaced, !displaced);
    }
    return i;
}

/* Fills a fresh table, not linked yet, with nr leaves from iova on. */
static void pt_fill_fresh(const struct pvi_pt *pt, struct pvi_page *page, uint64_t *table,
                          const struct pvi_pt_map *r, uint64_t iova, unsigned nr)
{
    unsigned level = page->level, at = pt_index(iova, level), i;
    uint64_t leaf = pt_leaf(&pt->cfg, r->pa + (iova - r->iova), level, r->prot, r->owe);

    if (page->dirty) { /* scrub only what the leaves do not cover (R22) */
        memset(table, 0, at * sizeof(*table));
        memset(&table[at + nr], 0, (PVI_TABLE_ENTRIES - at - nr) * sizeof(*table));
    }
    for (i = 0; i < nr; i++, leaf += pt_leaf_step(level)) {
        table[at + i] = leaf;
    }
    page->live = (uint16_t)nr;
    page->owing = r->owe != PVI_OWE_NONE ? (uint16_t)nr : 0;
}

/*
 * Builds the tables that are missing between the walk's table and leaf_level, bottom up, and links them by one
 * store: until then no walker can reach them, so their content needs no order but "before the link".
 */
static int pt_chain(struct pvi_pt *pt, struct pvi_context *ctx, struct pt_walk *w,
                    const struct pvi_pt_map *r, uint64_t iova, unsigned leaf_level, unsigned nr,
                    struct pvi_gather *g)
{
    uint64_t *slot = &w->table[w->level][pt_index(iova, w->level)];
    struct pvi_reserve reserve;
    uint64_t below = 0;
    unsigned level;
    int rc = pvi_pool_reserve(pt->pool, pt->quota, w->level - leaf_level, &reserve);

    if (rc != 0) {
        return rc;
    }
    for (level = leaf_level; level < w->level; level++) {
        struct pvi_page *page = pvi_pool_commit(&reserve, PVI_PAGE_TABLE);
        uint64_t *table = pvi_env_map(pt->host, page->pa);

        page->level = (uint8_t)level;
        if (level == leaf_level) {
            pt_fill_fresh(pt, page, table, r, iova, nr);
        } else {
            if (page->dirty) {
                memset(table, 0, PVI_PAGE_SIZE);
            }
            table[pt_index(iova, level)] = pt_table(below, level);
            page->live = 1;
        }
        page->dirty = false; /* it holds what it counts, and nothing else */
        pt_sync(pt, table, PVI_TABLE_ENTRIES);
        pvi_env_unmap(pt->host, table);
        below = page->pa.a;
    }
    pvi_env_write64(pt->host, slot, pt_table(below, w->level));
    pt_sync(pt, slot, 1);
    w->page[w->level]->live++;
    pvi_gather_range(g, ctx, iova, iova + nr * pt_span(leaf_level) - 1, false, true);
    return 0;
}

/* May a large leaf go where a table is? *pruned: finding out has unlinked tables, which is a slice's work. */
static bool pt_displaceable(struct pvi_pt *pt, struct pvi_context *ctx, uint64_t link, unsigned level,
                            uint64_t iova, struct pvi_gather *g, bool *pruned)
{
    struct pvi_page *page;
    unsigned live;
    pvi_pa pa;
    bool empty;

    pa.a = pt_table_pa(link, level);
    page = pvi_env_page(pt->host, pa);
    live = page->live;
    empty = pt_prune(pt, ctx, page, iova, g);
    *pruned = page->live != live;
    return empty;
}

static int PVI_CALLBACK pt_map(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r,
                               struct pvi_gather *g)
{
    uint64_t iova = r->iova + r->done, left = r->len - r->done;
    unsigned leaf_level = pt_fit(pt, pt->cfg.levels - 1u, iova, r->pa + r->done, left);
    struct pt_walk w;
    uint64_t entry, nr;
    bool pruned = false;
    int rc = 0;

    pt_walk_begin(pt, &w);
    for (;;) {
        entry = pvi_env_read64(&w.table[w.level][pt_index(iova, w.level)]);
        if (pt_kind(entry, w.level) != PT_TABLE) {
            break;
        }
        if (w.level == leaf_level) {
            if (pt_displaceable(pt, ctx, entry, w.level, iova, g, &pruned) || pruned) {
                break;
            }
            leaf_level = pt_fit(pt, leaf_level - 1, iova, r->pa + r->done, left);
        }
        pt_walk_down(pt, &w, entry);
    }
    nr = left >> pt_shift(leaf_level);
    if (nr > pt_entries(leaf_level) - pt_index(iova, leaf_level)) {
        nr = pt_entries(leaf_level) - pt_index(iova, leaf_level);
    }
    if (pruned) {
        rc = 0; /* the next slice finds the place empty, or smaller leaves to try */
    } else if (pt_kind(entry, w.level) == PT_LEAF) {
        rc = -PVI_EEXIST;
    } else if (w.level > leaf_level) {
        rc = pt_chain(pt, ctx, &w, r, iova, leaf_level, (unsigned)nr, g);
        r->done += rc == 0 ? nr * pt_span(leaf_level) : 0;
    } else {
        r->done += pt_fill_live(pt, ctx, &w, r, iova, (unsigned)nr, g) * pt_span(leaf_level);
    }
    pt_walk_end(pt, &w);
    return rc;
}

/* --- unmap -------------------------------------------------------------------------------------- */

/* What one pass over one table's entries removed. */
struct pt_run {
    uint64_t first, last; /* of what was removed */
    unsigned at, end;     /* entries to write back */
    bool any, tables;
};

static void pt_run_add(struct pt_run *run, uint64_t first, uint64_t last, unsigned at, bool table)
{
    if (!run->any) {
        run->first = first;
        run->at = at;
        run->any = true;
    }
    run->last = last;
    run->end = at + 1;
    run->tables |= table;
}

/*
 * Replaces a large leaf by a table of leaves one level down that say the same, by one store: no walker is ever
 * without a translation. The cached large leaf must go whole, whatever part is removed next.
 */
static int pt_split(struct pvi_pt *pt, struct pvi_context *ctx, struct pt_walk *w, uint64_t iova,
                    struct pvi_gather *g)
{
    unsigned level = w->level, i;
    uint64_t *slot = &w->table[level][pt_index(iova, level)];
    uint64_t old = pvi_env_read64(slot), first = iova & ~(pt_span(level) - 1), leaf;
    unsigned owe = pt_owe(old, level);
    struct pvi_reserve reserve;
    struct pvi_page *page;
    uint64_t *table;
    int rc = pvi_pool_reserve(pt->pool, pt->quota, 1, &reserve);

    if (rc != 0) {
        return rc;
    }
    page = pvi_pool_commit(&reserve, PVI_PAGE_TABLE);
    page->level = (uint8_t)(level - 1);
    table = pvi_env_map(pt->host, page->pa);
    if (page->dirty && pt_entries(level - 1) < PVI_TABLE_ENTRIES) {
        memset(table, 0, PVI_PAGE_SIZE);
    }
    leaf = pt_leaf(&pt->cfg, pt_leaf_pa(old, level), level - 1, pt_prot(old, level), owe);
    for (i = 0; i < pt_entries(level - 1); i++, leaf += pt_leaf_step(level - 1)) {
        table[i] = leaf;
    }
    page->live = (uint16_t)pt_entries(level - 1);
    page->owing = owe != PVI_OWE_NONE ? page->live : 0;
    page->dirty = false;
    pt_sync(pt, table, PVI_TABLE_ENTRIES);
    pvi_env_unmap(pt->host, table);
    pvi_env_write64(pt->host, slot, pt_table(page->pa.a, level));
    pt_sync(pt, slot, 1);
    if (owe != PVI_OWE_NONE) {
        w->page[level]->owing--;
    }
    pvi_gather_range(g, ctx, first, first + pt_span(level) - 1, true, false);
    return 0;
}

/*
 * Clears one leaf that the range covers whole. The frame behind it goes to the gather first: if there is no
 * room, nothing has changed.
 */
static bool pt_clear(struct pvi_pt *pt, struct pt_walk *w, uint64_t *slot, uint64_t old,
                     struct pvi_gather *g)
{
    uint64_t nr = pt_span(w->level) >> PVI_PAGE_LG2;
    unsigned owe = pt_owe(old, w->level);

    if (owe != PVI_OWE_NONE) {
        if (!pvi_gather_room(g, pt->pool, pt->quota, nr)) {
            return false;
        }
        pvi_gather_frames(g, pt_leaf_pa(old, w->level), nr, (uint8_t)owe);
        w->page[w->level]->owing--;
    }
    pvi_env_write64(pt->host, slot, 0);
    w->page[w->level]->live--;
    return true;
}

/* A last-level table that the range covers whole, and in which nothing can stop the removal. */
static struct pvi_page *pt_droppable(const struct pvi_pt *pt, const struct pvi_pt_unmap *r, uint64_t link,
                                     unsigned level, uint64_t first)
{
    struct pvi_page *child;
    pvi_pa pa;

    if (level != 1 || r->next != first || r->last - first < pt_span(1) - 1) {
        return NULL;
    }
    pa.a = pt_table_pa(link, level);
    child = pvi_env_page(pt->host, pa);
    return r->holes || child->live == pt_entries(0) ? child : NULL;
}

/* Unlinks such a table unread: its leaves, and what they owe, stay in it until the flush. */
static bool pt_drop(struct pvi_pt *pt, struct pt_walk *w, uint64_t *slot, struct pvi_page *child,
                    struct pvi_gather *g)
{
    if (child->owing != 0 && !pvi_gather_table_room(g)) {
        return false;
    }
    pvi_env_write64(pt->host, slot, 0);
    w->page[w->level]->live--;
    pvi_gather_table(g, child);
    return true;
}

/* Goes on behind the entry that ends at `last`; true while the range goes on too. */
static bool pt_advance(struct pvi_pt_unmap *r, uint64_t last)
{
    if (last >= r->last) {
        r->complete = true;
        return false;
    }
    r->next = last + 1;
    return true;
}

/*
 * Removes from one table, entry by entry from r->next, until the range, the table, the budget or the patience of
 * the gather ends, or a table must be entered (*enter).
 */
static int pt_unmap_table(struct pvi_pt *pt, struct pvi_context *ctx, struct pt_walk *w,
                          struct pvi_pt_unmap *r, struct pvi_gather *g, unsigned *budget, bool *enter)
{
    unsigned level = w->level, i = pt_index(r->next, level);
    struct pt_run run = {0, 0, 0, 0, false, false};
    int rc = 0;

    *enter = false;
    for (; i < pt_entries(level) && *budget > 0; i++, (*budget)--) {
        uint64_t *slot = &w->table[level][i];
        uint64_t old = pvi_env_read64(slot), first = r->next & ~(pt_span(level) - 1);
        uint64_t last = first + pt_span(level) - 1;
        enum pt_kind kind = pt_kind(old, level);
        struct pvi_page *child = kind == PT_TABLE ? pt_droppable(pt, r, old, level, first) : NULL;

        if (kind == PT_EMPTY && !r->holes) {
            rc = -PVI_ENOENT;
        } else if (kind == PT_TABLE && !child) {
            *enter = true;
        } else if (kind == PT_LEAF && (r->next != first || r->last < last)) {
            rc = pt_split(pt, ctx, w, r->next, g);
            *enter = rc == 0;
            *budget = 0; /* a split has filled one table */
        } else if ((kind == PT_LEAF && !pt_clear(pt, w, slot, old, g)) ||
                   (child && !pt_drop(pt, w, slot, child, g))) {
            rc = -PVI_EBUSY;
        } else if (kind != PT_EMPTY) {
            pt_run_add(&run, first, last, i, child != NULL);
        }
        if (rc != 0 || *enter || !pt_advance(r, last)) {
            break;
        }
    }
    if (run.any) {
        pt_sync(pt, &w->table[level][run.at], run.end - run.at);
        pvi_gather_range(g, ctx, run.first, run.last, run.tables, false);
    }
    return rc;
}

/*
 * Unlinks tables that have become empty, upwards: always when the range covers them whole, else when the owner
 * wants memory back at once. The range to invalidate is all that the table could translate.
 */
static void pt_climb(struct pvi_pt *pt, struct pvi_context *ctx, struct pt_walk *w,
                     const struct pvi_pt_unmap *r, uint64_t iova, struct pvi_gather *g)
{
    while (w->level + 1u < pt->cfg.levels && w->page[w->level]->live == 0) {
        unsigned parent = w->level + 1u;
        uint64_t first = iova & ~(pt_span(parent) - 1), last = first + pt_span(parent) - 1;
        uint64_t *slot = &w->table[parent][pt_index(iova, parent)];

        if (!pt->cfg.trim && (r->first > first || r->last < last)) {
            break;
        }
        pvi_env_write64(pt->host, slot, 0);
        pt_sync(pt, slot, 1);
        w->page[parent]->live--;
        pvi_env_unmap(pt->host, w->table[w->level]);
        pvi_gather_table(g, w->page[w->level]);
        pvi_gather_range(g, ctx, first, last, true, false);
        w->level = parent;
    }
}

static int PVI_CALLBACK pt_unmap(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r,
                                 struct pvi_gather *g)
{
    unsigned budget = PT_BUDGET;
    int rc = 0;

    while (rc == 0 && budget > 0 && !r->complete) {
        uint64_t iova = r->next;
        struct pt_walk w;
        bool enter;

        pt_walk_begin(pt, &w);
        for (;;) {
            uint64_t entry = pvi_env_read64(&w.table[w.level][pt_index(iova, w.level)]);

            if (pt_kind(entry, w.level) != PT_TABLE ||
                pt_droppable(pt, r, entry, w.level, iova & ~(pt_span(w.level) - 1))) {
                break;
            }
            pt_walk_down(pt, &w, entry);
        }
        rc = pt_unmap_table(pt, ctx, &w, r, g, &budget, &enter);
        if (!enter) {
            pt_climb(pt, ctx, &w, r, iova, g);
        }
        pt_walk_end(pt, &w);
    }
    return rc;
}

/* --- lookup, release ------------------------------------------------------------------------------ */

static int PVI_CALLBACK pt_lookup(const struct pvi_pt *pt, uint64_t iova, struct pvi_pt_leaf *out)
{
    unsigned level = pt->cfg.levels - 1u;
    pvi_pa pa = pt->root->pa;

    for (;; level--) {
        uint64_t *table = pvi_env_map(pt->host, pa);
        uint64_t entry = pvi_env_read64(&table[pt_index(iova, level)]);

        pvi_env_unmap(pt->host, table);
        if (pt_kind(entry, level) == PT_EMPTY) {
            return -PVI_ENOENT;
        }
        if (pt_kind(entry, level) == PT_LEAF) {
            out->iova = iova & ~(pt_span(level) - 1);
            out->pa = pt_leaf_pa(entry, level);
            out->lg2 = (uint8_t)pt_shift(level);
            out->prot = (uint8_t)pt_prot(entry, level);
            out->owe = (uint8_t)pt_owe(entry, level);
            return 0;
        }
        pa.a = pt_table_pa(entry, level);
    }
}

static int PVI_CALLBACK pt_owed(struct pvi_host *h, const struct pvi_page *page, unsigned *from,
                                struct pvi_frames *run)
{
    const uint64_t *table = pvi_env_map(h, page->pa);
    unsigned i = *from;

    run->nr = 0;
    for (; i < pt_entries(0); i++) {
        uint64_t entry = pvi_env_read64(&table[i]);
        bool owes = pt_kind(entry, 0) == PT_LEAF && pt_owe(entry, 0) != PVI_OWE_NONE;

        if (run->nr != 0 && (!owes || pt_owe(entry, 0) != run->owe ||
                             pt_leaf_pa(entry, 0) != run->pa.a + (run->nr << PVI_PAGE_LG2))) {
            break;
        }
        if (owes) {
            if (run->nr == 0) {
                run->pa.a = pt_leaf_pa(entry, 0);
                run->owe = (uint8_t)pt_owe(entry, 0);
            }
            run->nr += pt_span(0) >> PVI_PAGE_LG2;
        }
    }
    *from = i;
    pvi_env_unmap(h, (void *)(uintptr_t)table);
    return run->nr != 0;
}

static uint8_t PVI_CALLBACK pt_iova_bits(unsigned levels)
{
    return (uint8_t)(pt_shift(levels - 1) + pt_bits(levels - 1));
}

const struct pvi_pt_ops PT_OPS = {
    PT_NAME, PT_PAGE_SIZES, PT_LEVELS, pt_iova_bits, pt_map, pt_unmap, pt_lookup, pt_owed,
};
