/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: levels, sizes, the way down from the root, what a leaf is stored with. */

/* Entries that one slice may visit: one table's worth. */
#define PT_BUDGET PVI_TABLE_ENTRIES
/* Two calls that may run at the same time never meet in a naturally aligned region of this many bytes, as log2. */
#define PT_SHARED_LG2 30u
/* Tables that a long request takes from the pool before it needs them. */
#define PT_AHEAD 31u
/* Levels become constants only where these are really part of their caller. */
#define PT_INLINE inline __attribute__((__always_inline__))
#define PT_NOINLINE __attribute__((__noinline__))

static inline uint64_t pt_span(unsigned level)
{
    return (uint64_t)1 << pt_shift(level);
}

/* The address bits that a table of this level resolves, with all those below it. */
static inline uint64_t pt_table_mask(unsigned level)
{
    return (pt_span(level) << pt_bits(level)) - 1;
}

static inline unsigned pt_entries(unsigned level)
{
    return 1u << pt_bits(level);
}

static inline unsigned pt_index(uint64_t iova, unsigned level)
{
    return (unsigned)(iova >> pt_shift(level)) & (pt_entries(level) - 1);
}

/* Can calls in different gigabytes meet in one table of this level? */
static inline bool pt_common(unsigned level)
{
    return pt_shift(level) + pt_bits(level) > PT_SHARED_LG2;
}

/* The sizes that leaves in a table of this level can have. */
static inline uint64_t pt_level_sizes(unsigned level)
{
    return ((uint64_t)pt_entries(level) - 1) << pt_shift(level);
}

/* Of some sizes those that address, frame and length allow. */
static inline uint64_t pt_fitting(uint64_t sizes, uint64_t iova, uint64_t pa, uint64_t len)
{
    uint64_t aligned = iova | pa;

    return sizes & (aligned ^ (aligned - 1)) & (((uint64_t)2 << (63 - __builtin_clzll(len))) - 1);
}

static inline unsigned pt_largest(uint64_t sizes)
{
    return 63u - (unsigned)__builtin_clzll(sizes);
}

static inline void pt_sync(const struct pvi_pt *pt, const uint64_t *first, unsigned nr)
{
    if (!pt->cfg.coherent) {
        pvi_env_writeback(pt->host, first, nr * sizeof(*first));
    }
}

/* Counts of a table that calls in several gigabytes may change at the same time are added to atomically. */
static inline void pt_count(struct pvi_page *page, unsigned level, unsigned live, unsigned links)
{
    if (pt_common(level)) {
        (void)pvi_env_add32(&page->live, live);
        if (links != 0) {
            (void)pvi_env_add32(&page->links, links);
        }
    } else {
        page->live += live;
        page->links += links;
    }
}

/* The same for leaves: at such a level only a call that is alone makes or removes them. */
static inline void pt_count_leaves(struct pvi_page *page, unsigned live)
{
    page->live += live;
}

/* --- down ------------------------------------------------------------------------------------------- */

static inline struct pvi_page *pt_page(const struct pvi_pt *pt, const struct pvi_pt_at *at)
{
    return pvi_env_page(pt->host, at->pa);
}

/* Entries that are not empty, of a table that other gigabytes' calls may add to. */
static inline uint32_t pt_live(const struct pvi_page *page)
{
    return pvi_env_read32(&page->live);
}

static inline struct pvi_page *pt_child(const struct pvi_pt *pt, uint64_t link, unsigned level)
{
    pvi_pa pa;

    pa.a = pt_table_pa(link, level);
    return pvi_env_page(pt->host, pa);
}

static PT_INLINE void pt_begin_at(const struct pvi_pt *pt, struct pvi_pt_at *at, uint64_t pa, unsigned level)
{
    at->level = level;
    at->pa.a = pa;
    at->table = pvi_env_map(pt->host, at->pa);
}

static PT_INLINE void pt_begin(const struct pvi_pt *pt, struct pvi_pt_at *at)
{
    pt_begin_at(pt, at, pt->root_pa.a, pt->cfg.levels - 1u);
}

static inline void pt_end(const struct pvi_pt *pt, struct pvi_pt_at *at)
{
    pvi_env_unmap(pt->host, at->table);
}

/* One level down, if there is a table. */
static PT_INLINE bool pt_step(struct pvi_host *host, struct pvi_pt_at *at, uint64_t iova, unsigned level)
{
    uint64_t entry = pvi_env_read64(&at->table[pt_index(iova, level)]), *table;

    at->level = level;
    if (!pt_links(entry, level)) {
        return false;
    }
    at->pa.a = pt_table_pa(entry, level);
    table = pvi_env_map(host, at->pa);
    pvi_env_unmap(host, at->table);
    at->table = table;
    at->level = level - 1u;
    return true;
}

/* Down to the table of level `to`, or to the first one above it whose entry is no link: then false. */
static PT_NOINLINE bool pt_down(const struct pvi_pt *pt, struct pvi_pt_at *at, uint64_t iova, unsigned to)
{
    while (at->level > to) {
        if (!pt_step(pt->host, at, iova, at->level)) {
            return false;
        }
    }
    return true;
}

/* The same from the root of a table of four levels, as most are: each level's shift and mask is a constant. */
static PT_INLINE bool pt_find_4(const struct pvi_pt *pt, struct pvi_pt_at *at, uint64_t iova, unsigned to)
{
    struct pvi_host *host = pt->host;

    pt_begin(pt, at);
    return (to >= 3 || pt_step(host, at, iova, 3)) && (to >= 2 || pt_step(host, at, iova, 2)) &&
           (to >= 1 || pt_step(host, at, iova, 1));
}

/* The same of a table of any number of levels. */
static PT_INLINE bool pt_find(const struct pvi_pt *pt, struct pvi_pt_at *at, uint64_t iova, unsigned to, struct pvi_gather *g)
{
    struct pvi_pt_at *any = &g->work.at; /* *at stays in registers, and stacks are small */
    bool found;

    if (pt->cfg.levels == 4) {
        return pt_find_4(pt, at, iova, to);
    }
    pt_begin(pt, any);
    found = pt_down(pt, any, iova, to);
    *at = *any;
    return found;
}

/* --- leaves ----------------------------------------------------------------------------------------- */

/*
 * Has another CPU unlinked tables that it has not flushed yet? Hardware that has one cached translates through it, past
 * everything stored since: to the frames of leaves that have taken its place, with their old rights, or to nothing where
 * there are leaves now. Whoever changes such a place must reach cached links, too, before it reports success.
 */
static PT_INLINE bool pt_stale(const struct pvi_pt *pt, const struct pvi_gather *g)
{
    return pvi_env_read32(&pt->quota->gathered) != 0 && pvi_gather_others(g, pt->quota);
}

static PT_NOINLINE int pt_changed_more(const struct pvi_pt *pt, struct pvi_context *ctx, uint64_t first, uint64_t last,
                                       struct pvi_gather *g)
{
    pvi_gather_range(g, ctx, first, last, pt_stale(pt, g), false);
    return 0;
}

/*
 * Leaves were changed: to be flushed. A gather that is empty, as before every single change, takes the range at once. 0, so
 * that an entry point can end in it: a jump saves the registers that a call would have it keep.
 */
static PT_INLINE int pt_changed(const struct pvi_pt *pt, struct pvi_context *ctx, uint64_t first, uint64_t last,
                                struct pvi_gather *g)
{
    struct pvi_gather_range *range = &g->range[0];

    if (g->nr_ranges != 0 || pvi_env_read32(&pt->quota->gathered) != 0) {
        return pt_changed_more(pt, ctx, first, last, g);
    }
    range->ctx = ctx;
    range->first = first;
    range->last = last;
    range->tables = false;
    range->whole = false;
    range->added = false;
    g->nr_ranges = 1;
    return 0;
}

/* How many of nr entries of a table from iova on get leaves of 2^lg2 bytes: until the next place where larger ones begin. */
static PT_INLINE unsigned pt_until(uint64_t sizes, unsigned level, unsigned lg2, uint64_t iova, uint64_t pa, unsigned nr)
{
    uint64_t larger = sizes & ~(((uint64_t)2 << lg2) - 1);

    larger &= 0 - larger; /* the next size up, or 0 */
    if (larger != 0 && ((iova ^ pa) & (larger - 1)) == 0) {
        uint64_t until = (larger - (iova & (larger - 1))) >> pt_shift(level);

        nr = until < nr ? (unsigned)until : nr;
    }
    return nr & ~((1u << (lg2 - pt_shift(level))) - 1);
}

/* The same, of the largest size that fits there. 0: no size of this level fits. */
static PT_INLINE unsigned pt_stretch(uint64_t sizes, unsigned level, uint64_t iova, uint64_t pa, unsigned nr,
                                     unsigned *order)
{
    uint64_t fitting = pt_fitting(sizes, iova, pa, (uint64_t)nr << pt_shift(level));

    if (fitting == 0) {
        return 0;
    }
    *order = pt_largest(fitting) - pt_shift(level);
    return pt_until(sizes, level, *order + pt_shift(level), iova, pa, nr);
}

static PT_INLINE void pt_set(const struct pvi_pt *pt, uint64_t *slot, uint64_t entry, bool live)
{
    if (live) {
        pvi_env_write64(pt->host, slot, entry);
    } else {
        *slot = entry;
    }
}

/* Stores nr entries' worth of leaves of one order. A live table's entries change by one store each, a fresh one's are nobody's yet. */
static PT_INLINE void pt_store(const struct pvi_pt *pt, uint64_t *slot, unsigned level, unsigned order, unsigned nr,
                               uint64_t pa, const struct pvi_pt_what *what, bool live)
{
    uint64_t leaf = pt_leaf(&pt->cfg, pa, level, order, what->prot, what->owe) | what->extra;
    const uint64_t step = PT_REPEATS && order != 0 ? 0 : pt_leaf_step(level);
    uint64_t *end = slot + nr, *part = PT_REPEATS && order != 0 ? slot + (1u << order) : end;

    for (;; part += 1u << order) {
        /* Four a turn: one costs twice as much where the loop falls badly across fetch blocks. */
        for (; part - slot >= 4; slot += 4, leaf += 4 * step) {
            pt_set(pt, &slot[0], leaf, live);
            pt_set(pt, &slot[1], leaf + step, live);
            pt_set(pt, &slot[2], leaf + 2 * step, live);
            pt_set(pt, &slot[3], leaf + 3 * step, live);
        }
        for (; slot < part; slot++, leaf += step) {
            pt_set(pt, slot, leaf, live);
        }
        if (slot == end) {
            break;
        }
        pa += pt_span(level) << order;
        leaf = pt_leaf(&pt->cfg, pa, level, order, what->prot, what->owe) | what->extra;
    }
}

/* Puts leaves into nr entries of a table from slot on, the largest that fit; returns how many entries got one. */
static PT_INLINE unsigned pt_emit_inline(const struct pvi_pt *pt, uint64_t *slot, unsigned level, unsigned nr,
                                  const struct pvi_pt_what *what, bool live)
{
    unsigned i, n, order = 0;

    if (!PT_REPEATS) {
        pt_store(pt, slot, level, 0, nr, what->pa, what, live);
        return nr;
    }
    for (i = 0; i < nr; i += n) {
        uint64_t off = (uint64_t)i << pt_shift(level);

        n = pt_stretch(what->sizes & pt_level_sizes(level), level, what->iova + off, what->pa + off, nr - i, &order);
        if (n == 0) {
            break;
        }
        pt_store(pt, &slot[i], level, order, n, what->pa + off, what, live);
    }
    return i;
}

static PT_NOINLINE unsigned pt_emit(const struct pvi_pt *pt, uint64_t *slot, unsigned level, unsigned nr,
                                    const struct pvi_pt_what *what, bool live)
{
    return live ? pt_emit_inline(pt, slot, level, nr, what, true) : pt_emit_inline(pt, slot, level, nr, what, false);
}

/*
 * Entries between two slots, of a loop that has ended early. One that has not, as mostly, knows its number: a CPU that takes it from
 * this difference waits for the link to the table, and with it all that comes next, above all the walk to the next table. It is a
 * call so that no compiler computes it in both cases and chooses.
 */
static PT_NOINLINE unsigned pt_between(const uint64_t *first, const uint64_t *end)
{
    return (unsigned)(end - first);
}

/* How many entries from slot on are empty. Nobody else stores to them: hardware only touches what is present. */
static inline unsigned pt_vacant(const uint64_t *slot, unsigned nr)
{
    const uint64_t *s = slot, *end = slot + nr;

    while (end - s >= 8 && (s[0] | s[1] | s[2] | s[3] | s[4] | s[5] | s[6] | s[7]) == 0) {
        s += 8;
    }
    while (s < end && *s == 0) {
        s++;
    }
    return (unsigned)(s - slot);
}

/* Before nr entries are filled: what a page holds from its last user, and the next does not overwrite, is scrubbed (R22). */
static inline void pt_scrub(struct pvi_page *page, uint64_t *table, unsigned first, unsigned nr)
{
    if (page->dirty && nr < PVI_TABLE_ENTRIES / 2) {
        memset(table, 0, PVI_PAGE_SIZE);
    } else if (page->dirty) {
        memset(table, 0, first * sizeof(*table));
        memset(&table[first + nr], 0, (PVI_TABLE_ENTRIES - first - nr) * sizeof(*table));
    }
    page->dirty = false;
}

/* One store to a live entry. Where hardware notes accesses it may have changed the entry since it was read: then false. */
static inline bool pt_swap(const struct pvi_pt *pt, uint64_t *slot, uint64_t old, uint64_t entry)
{
    if (pt->cfg.dirty) {
        return pvi_env_cmpxchg64(pt->host, slot, old, entry);
    }
    pvi_env_write64(pt->host, slot, entry);
    return true;
}

/* Is it a range of whole pages, in the reach of the table? */
static PT_INLINE int pt_range(const struct pvi_pt *pt, uint64_t next, uint64_t last)
{
    if (((next | (last + 1)) & pt->page_mask) != 0) {
        return -PVI_EALIGN;
    }
    return next <= last && last <= pt->table_last ? 0 : -PVI_ERANGE;
}

/* Frames that the leaves of a table owe. */
static inline uint64_t pt_owed_frames(const struct pvi_page *table)
{
    return (uint64_t)table->owing << (pt_shift(table->level) - PVI_PAGE_LG2);
}

/* Takes the link in a slot away; hardware may have cached it, so the range goes with non-leaf scope. */
static void pt_unlink(struct pvi_pt *pt, struct pvi_context *ctx, const struct pvi_pt_at *at, uint64_t *slot,
                      struct pvi_page *child, uint64_t iova, struct pvi_gather *g)
{
    uint64_t first = iova & ~(pt_span(at->level) - 1);

    pvi_env_write64(pt->host, slot, 0);
    pt_sync(pt, slot, 1);
    pt_count(pt_page(pt, at), at->level, 0u - 1u, 0u - 1u);
    pvi_gather_table(g, child, 0);
    pvi_gather_range(g, ctx, first, first + pt_span(at->level) - 1, true, false);
}
