/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: changes in place (rights, sizes), and what devices have written. */

/* One leaf as a walk over a range meets it: all of its entries, in one table. */
struct pt_met {
    unsigned base, nr;    /* entries */
    uint64_t first, last; /* bytes */
    uint64_t entry;
};

/* Steps over what is not mapped: to the end of the entry, all of it empty. True: the range ends there. */
static inline bool pt_pass(uint64_t *next, uint64_t last, uint64_t end)
{
    *next = end + 1;
    return end >= last;
}

/* The table that holds the leaf or the hole at iova. */
static PT_NOINLINE enum pt_kind pt_meet(const struct pvi_pt *pt, struct pvi_pt_at *at, uint64_t iova, struct pt_met *met)
{
    unsigned index, order;

    pt_begin(pt, at);
    (void)pt_down(pt, at, iova, 0);
    index = pt_index(iova, at->level);
    met->entry = pvi_env_read64(&at->table[index]);
    order = pt_kind(met->entry, at->level) == PT_LEAF ? pt_order(met->entry, at->level) : 0;
    met->nr = 1u << order;
    met->base = index & ~(met->nr - 1);
    met->first = iova & ~((pt_span(at->level) << order) - 1);
    met->last = met->first + ((pt_span(at->level) << order) - 1);
    return pt_kind(met->entry, at->level);
}

/* --- rights ----------------------------------------------------------------------------------------- */

/*
 * Gives the leaf at met other rights, in all of its entries, each by one store; bits that hardware has set stay. What the
 * leaf owed is released after the flush, when something else is owed from now on.
 */
static PT_NOINLINE int pt_give(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *at, const struct pt_met *met,
                   const struct pvi_pt_change *r, struct pvi_gather *g)
{
    unsigned level = at->level, i, was = pt_owe(met->entry, level), owe = r->owe == PVI_PT_KEEP ? was : r->owe;
    uint64_t frames = (met->last - met->first + 1) >> PVI_PAGE_LG2, pa = pt_leaf_pa(met->entry, level);
    uint64_t leaf = pt_leaf(&pt->cfg, pa, level, pt_order(met->entry, level), r->prot, owe);
    struct pvi_page *page = pt_page(pt, at);

    if (r->owe != PVI_PT_KEEP && was != PVI_OWE_NONE) {
        if (!pvi_gather_room(g, pt->pool, pt->quota, frames)) {
            return -PVI_EBUSY;
        }
        pvi_gather_frames(g, pa, frames, (uint8_t)was);
    }
    for (i = met->base; i < met->base + met->nr; i++) {
        uint64_t old;

        do {
            old = pvi_env_read64(&at->table[i]);
        } while (!pt_swap(pt, &at->table[i], old, leaf | (pt->cfg.dirty ? old & pt_touched(level) : 0)));
    }
    page->owing = (uint16_t)(page->owing + (owe != PVI_OWE_NONE ? met->nr : 0) - (was != PVI_OWE_NONE ? met->nr : 0));
    pt_sync(pt, &at->table[met->base], met->nr);
    pvi_gather_range(g, ctx, met->first, met->last, pt_stale(pt, g), false);
    return 0;
}

static int PVI_CALLBACK pt_rights(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g)
{
    unsigned budget = PT_BUDGET;
    int rc = pt_range(pt, r->next, r->last);

    PVI_ASSERT(r->owe == PVI_PT_KEEP || r->owe <= PVI_OWE_MAX);
    if (r->prot > PVI_RW || (pt->prots >> r->prot & 1) == 0) {
        return -PVI_EOPNOTSUPP;
    }
    while (rc == 0 && !r->complete && budget > 0) {
        struct pt_met met;
        struct pvi_pt_at at;

        if (pt_meet(pt, &at, r->next, &met) != PT_LEAF) {
            rc = -PVI_ENOENT;
        } else if (met.first >= r->next && met.last <= r->last) {
            rc = pt_give(pt, ctx, &at, &met, r, g);
            budget -= budget < met.nr ? budget : met.nr;
            if (rc == 0) {
                r->complete = pt_pass(&r->next, r->last, met.last);
            }
        } else {
            rc = r->whole ? -PVI_EPART : pt_ask_cut(g, r->next, r->last, pt->cfg.page_sizes & ~r->barred);
        }
        pt_end(pt, &at);
    }
    return rc == PT_CUT ? pt_cut(pt, ctx, g) : rc;
}

/* --- split ------------------------------------------------------------------------------------------ */

static int PVI_CALLBACK pt_split(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g)
{
    uint64_t size = r->lg2 < 64 ? (uint64_t)1 << r->lg2 : 0;
    unsigned budget = PT_BUDGET;
    int rc = pt_range(pt, r->next, r->last);

    if (pt->cfg.fixed_sizes || (pt->cfg.page_sizes & size) == 0) {
        return -PVI_EOPNOTSUPP;
    }
    while (rc == 0 && !r->complete && budget > 0) {
        struct pt_met met;
        struct pvi_pt_at at;

        budget--;
        if (pt_meet(pt, &at, r->next, &met) == PT_LEAF && met.last - met.first >= size) {
            rc = pt_ask_cut(g, met.first, met.last, pt->cfg.page_sizes & (size | (size - 1)));
        } else {
            r->complete = pt_pass(&r->next, r->last, met.last);
        }
        pt_end(pt, &at);
    }
    return rc == PT_CUT ? pt_cut(pt, ctx, g) : rc;
}

/* --- collapse --------------------------------------------------------------------------------------- */

/* Do the entries from slot on hold leaves of single entries, or of whole groups, that continue each other? *dirty: any of them is. */
static bool pt_continues(const uint64_t *slot, unsigned level, unsigned nr, bool *dirty)
{
    uint64_t first = pvi_env_read64(slot), pa = pt_leaf_pa(first, level), size;
    unsigned owe = pt_owe(first, level), prot = pt_prot(first, level), i, n;

    *dirty = false;
    for (i = 0; i < nr; i += n) {
        uint64_t entry = pvi_env_read64(&slot[i]);
        unsigned j;

        if (pt_kind(entry, level) != PT_LEAF) {
            return false;
        }
        n = 1u << pt_order(entry, level);
        size = (uint64_t)i << pt_shift(level);
        /* A group that reaches over the end is larger than what is to be made. */
        if (i + n > nr || pt_leaf_pa(entry, level) != pa + size || pt_prot(entry, level) != prot ||
            pt_owe(entry, level) != owe) {
            return false;
        }
        for (j = 0; j < n; j++) {
            *dirty |= (pvi_env_read64(&slot[i + j]) & pt_dirty(level)) != 0;
        }
    }
    return true;
}

/*
 * A full table whose leaves continue each other becomes one leaf of its parent, by one store. The table goes to the
 * gather without what it owes: the large leaf owes that now. Hardware that has the table cached can still note a write in
 * it until the flush: where writes are noted, the large leaf counts as written from the start.
 */
static PT_NOINLINE bool pt_join_table(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *parent, uint64_t iova,
                          struct pvi_gather *g)
{
    unsigned level = parent->level, below = level - 1u;
    uint64_t *slot = &parent->table[pt_index(iova, level)], link = pvi_env_read64(slot), *table, leaf, first;
    struct pvi_page *page = pt_page(pt, parent), *child;
    bool dirty, fits;

    if (pt_kind(link, level) != PT_TABLE || (pt->cfg.page_sizes & pt_span(level)) == 0) {
        return false;
    }
    child = pt_child(pt, link, level);
    if (child->links != 0 || child->live != pt_entries(below)) {
        return false;
    }
    table = pvi_env_map(pt->host, child->pa);
    first = pvi_env_read64(table);
    fits = (pt_leaf_pa(first, below) & (pt_span(level) - 1)) == 0 && pt_continues(table, below, pt_entries(below), &dirty);
    pvi_env_unmap(pt->host, table);
    if (!fits) {
        return false;
    }
    leaf = pt_leaf(&pt->cfg, pt_leaf_pa(first, below), level, 0, pt_prot(first, below), pt_owe(first, below));
    pvi_env_write64(pt->host, slot, pt->cfg.dirty || dirty ? leaf | pt_dirty(level) : leaf);
    pt_sync(pt, slot, 1);
    pt_count(page, level, 0, 0u - 1u);
    page->owing = (uint16_t)(page->owing + (child->owing != 0));
    child->owing = 0;
    pvi_gather_table(g, child, 0);
    iova &= ~(pt_span(level) - 1);
    pvi_gather_range(g, ctx, iova, iova + (pt_span(level) - 1), true, false);
    return true;
}

/* Leaves of one table become larger ones of the same level, slot by slot, each always translating right. */
static bool pt_join_group(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *at, unsigned base, unsigned order,
                          uint64_t iova, struct pvi_gather *g)
{
    unsigned level = at->level, nr = 1u << order, i;
    uint64_t *slot = &at->table[base], first = pvi_env_read64(slot), leaf;
    bool dirty;

    if (pt_kind(first, level) != PT_LEAF || pt_order(first, level) >= order ||
        (pt_leaf_pa(first, level) & ((pt_span(level) << order) - 1)) != 0 || !pt_continues(slot, level, nr, &dirty)) {
        return false;
    }
    leaf = pt_leaf(&pt->cfg, pt_leaf_pa(first, level), level, order, pt_prot(first, level), pt_owe(first, level));
    if (pt->cfg.dirty || dirty) {
        leaf |= pt_dirty(level);
    }
    for (i = 0; i < nr; i++) {
        pvi_env_write64(pt->host, &slot[i], leaf);
    }
    pt_sync(pt, slot, nr);
    pvi_gather_range(g, ctx, iova, iova + ((pt_span(level) << order) - 1), pt_stale(pt, g), false);
    return true;
}

/* All larger leaves that fit into what the range has of one table, the largest first. */
static PT_NOINLINE void pt_join_in(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *at, uint64_t iova,
                       const struct pvi_pt_change *r, struct pvi_gather *g)
{
    unsigned level = at->level, i;
    uint64_t sizes = pt->cfg.page_sizes & pt_level_sizes(level) & ~pt_span(level);
    uint64_t begin = (iova & ~(pt_span(level) - 1)) - ((uint64_t)pt_index(iova, level) << pt_shift(level));

    for (; sizes != 0; sizes &= ~((uint64_t)1 << pt_largest(sizes))) {
        unsigned order = pt_largest(sizes) - pt_shift(level);

        for (i = 0; i < pt_entries(level); i += 1u << order) {
            uint64_t first = begin + ((uint64_t)i << pt_shift(level)), last = first + ((pt_span(level) << order) - 1);

            if (first >= r->first && last <= r->last) {
                (void)pt_join_group(pt, ctx, at, i, order, first, g);
            }
        }
    }
}

/*
 * The range has been looked through up to `last`, which lies in a table of this level: larger leaves in the tables that end
 * there, or with the range; and instead of them, from the lowest level up.
 */
static PT_NOINLINE void pt_join_up(struct pvi_pt *pt, struct pvi_context *ctx, const struct pvi_pt_change *r, unsigned level,
                       uint64_t last, struct pvi_gather *g)
{
    bool ends = last >= r->last;
    struct pvi_pt_at *at = &g->work.at;

    last = ends ? r->last : last;
    for (; level < pt->cfg.levels; level++) {
        uint64_t mask = level + 1u < pt->cfg.levels ? pt_span(level + 1u) - 1 : UINT64_MAX;

        if (!ends && (last & mask) != mask) {
            return;
        }
        pt_begin(pt, at);
        if (PT_REPEATS && pt_down(pt, at, last, level)) {
            pt_join_in(pt, ctx, at, last, r, g);
        }
        pt_end(pt, at);
        if (level + 1u < pt->cfg.levels && (last & ~mask) >= r->first && (last | mask) <= r->last) {
            pt_begin(pt, at);
            if (pt_down(pt, at, last, level + 1u)) {
                (void)pt_join_table(pt, ctx, at, last, g);
            }
            pt_end(pt, at);
        }
    }
}

/* The last byte of what is at iova, mapped or not; g->work.at.level is that of its table. */
static PT_NOINLINE uint64_t pt_meet_last(const struct pvi_pt *pt, uint64_t iova, struct pvi_gather *g)
{
    struct pt_met met;

    (void)pt_meet(pt, &g->work.at, iova, &met);
    pt_end(pt, &g->work.at);
    return met.last;
}

static int PVI_CALLBACK pt_collapse(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g)
{
    unsigned budget = PT_BUDGET;
    int rc = pt_range(pt, r->next, r->last);

    if (pt->cfg.fixed_sizes) {
        return -PVI_EOPNOTSUPP;
    }
    while (rc == 0 && !r->complete && budget > 0) {
        uint64_t last = pt_meet_last(pt, r->next, g);
        unsigned level = g->work.at.level;

        /* All of a last table at once. A table is looked at when its end is reached: that is the slice's work. */
        last = level == 0 ? r->next | pt_table_mask(0) : last;
        budget = (~last & pt_table_mask(level)) == 0 ? 0 : budget - 1;
        pt_join_up(pt, ctx, r, level, last, g);
        r->complete = pt_pass(&r->next, r->last, last);
    }
    return rc;
}

/* --- dirty ------------------------------------------------------------------------------------------ */

static void pt_note_frames(uint64_t *bitmap, uint64_t from, uint64_t nr)
{
    while (nr > 0) {
        unsigned bit = from % 64;
        uint64_t n = 64 - bit < nr ? 64 - bit : nr;

        bitmap[from / 64] |= (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1) << bit;
        from += n;
        nr -= n;
    }
}

/*
 * One leaf, or as much of it as a slice reports. It is cleaned with its last part, when all of it has been reported: a
 * device that writes meanwhile finds the bit set still, and afterwards sets it anew once the flush has made it look again.
 */
static PT_NOINLINE void pt_note(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *at, unsigned base, unsigned nr,
                    uint64_t first, struct pvi_pt_dirty *r, struct pvi_gather *g, uint64_t *end)
{
    uint64_t last = first + (((uint64_t)nr << pt_shift(at->level)) - 1), bit = pt_dirty(at->level), dirty = 0;
    uint64_t most = r->next + ((PVI_GATHER_FRAMES << PVI_PAGE_LG2) - 1);
    unsigned i;

    *end = last < r->last ? last : r->last;
    for (i = base; i < base + nr; i++) {
        dirty |= pvi_env_read64(&at->table[i]) & bit;
    }
    if (dirty == 0) {
        return;
    }
    *end = *end < most || most < r->next ? *end : most;
    pt_note_frames(r->bitmap, (r->next - r->first) >> PVI_PAGE_LG2, (*end - r->next + 1) >> PVI_PAGE_LG2);
    if (r->clear && first >= r->first && *end == last) {
        for (i = base; i < base + nr; i++) {
            pvi_env_write64(pt->host, &at->table[i], pvi_env_read64(&at->table[i]) & ~bit);
        }
        pvi_gather_range(g, ctx, first, last, pt_stale(pt, g), false);
    }
}

/* How many entries of a last-level table from i on, r->next's, are empty or clean leaves of one entry: within the range and the budget. */
static PT_INLINE unsigned pt_clean(const struct pvi_pt_at *at, unsigned i, const struct pvi_pt_dirty *r, unsigned budget)
{
    uint64_t left = (r->last - r->next) >> pt_shift(0);
    unsigned limit = pt_entries(0) - i, nr;

    limit = left < limit ? (unsigned)left + 1 : limit;
    limit = limit < budget ? limit : budget;
    for (nr = 0; nr < limit; nr++) {
        uint64_t entry = pvi_env_read64(&at->table[i + nr]);

        if ((entry & pt_dirty(0)) != 0 || (PT_REPEATS && entry != 0 && !pt_single(entry, 0))) {
            break;
        }
    }
    return nr;
}

/* What one table has of the range, from r->next on. */
static PT_INLINE void pt_note_table(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *at, struct pvi_pt_dirty *r,
                                    unsigned *budget, struct pvi_gather *g)
{
    unsigned level = at->level, i = pt_index(r->next, level);
    uint64_t begin = (r->next & ~(pt_span(level) - 1)) - ((uint64_t)i << pt_shift(level)), end;

    while (i < pt_entries(level) && !r->complete && *budget > 0) {
        unsigned order, nr, base;
        uint64_t entry, first;
        enum pt_kind kind;

        nr = level == 0 ? pt_clean(at, i, r, *budget) : 0;
        if (nr != 0) {
            *budget -= nr;
            i += nr;
            r->complete = pt_pass(&r->next, r->last, begin + (((uint64_t)i << pt_shift(0)) - 1));
            continue;
        }
        entry = pvi_env_read64(&at->table[i]);
        kind = pt_kind(entry, level);
        if (kind == PT_TABLE) {
            break;
        }
        order = kind == PT_LEAF ? pt_order(entry, level) : 0;
        nr = 1u << order;
        base = i & ~(nr - 1);
        first = begin + ((uint64_t)base << pt_shift(level));
        end = first + ((pt_span(level) << order) - 1);
        if (kind == PT_LEAF && (order != 0 || (entry & pt_dirty(level)) != 0)) {
            uint64_t from = r->next, cost;

            pt_note(pt, ctx, at, base, nr, first, r, g, &end);
            /* All entries that it is repeated in; and a word of the bitmap is 64 frames: 512 cost as much as one entry. */
            cost = nr - 1 + ((end - from) >> (PVI_PAGE_LG2 + 9));
            *budget -= *budget < cost ? *budget : (unsigned)cost;
        }
        *budget -= *budget != 0;
        r->complete = pt_pass(&r->next, r->last, end);
        i = (unsigned)((r->next - begin) >> pt_shift(level));
    }
}

static int PVI_CALLBACK pt_dirty_pages(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_dirty *r, struct pvi_gather *g)
{
    unsigned budget = PT_BUDGET;
    int rc = pt_range(pt, r->next, r->last);

    if (!pt->cfg.dirty) {
        return -PVI_EOPNOTSUPP;
    }
    while (rc == 0 && !r->complete && budget > 0) {
        struct pvi_pt_at at;

        pt_begin(pt, &at);
        (void)pt_down(pt, &at, r->next, 0);
        pt_note_table(pt, ctx, &at, r, &budget, g);
        pt_end(pt, &at);
    }
    return rc;
}
