/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: map. */

/* The leaf sizes that a request may use. */
static PT_INLINE uint64_t pt_sizes(const struct pvi_pt *pt, const struct pvi_pt_map *r)
{
    return pt->cfg.page_sizes & ~r->barred;
}

/* The run of a list from where the request stands: neighbours that continue each other, one table's worth at most. */
static PT_NOINLINE void pt_list_run(const struct pvi_pt_map *r, struct pvi_gather_work *p, uint64_t page)
{
    uint64_t first = r->done / page, nr = p->left / page, i = 1;

    p->pa = r->list[first].a;
    nr = nr < PVI_TABLE_ENTRIES ? nr : PVI_TABLE_ENTRIES;
    while (i < nr && r->list[first + i].a == p->pa + i * page) {
        i++;
    }
    p->left = i * page;
}

static PT_INLINE int pt_piece(const struct pvi_pt *pt, const struct pvi_pt_map *r, struct pvi_gather_work *p)
{
    uint64_t page = pt_sizes(pt, r) & (0 - pt_sizes(pt, r)); /* the smallest */

    p->iova = r->iova + r->done;
    p->pa = r->pa + r->done;
    p->left = r->len - r->done;
    if (r->replace && r->barred != 0) {
        return -PVI_EINVAL;
    }
    if (r->prot > PVI_RW || (pt->prots >> r->prot & 1) == 0) {
        return -PVI_EOPNOTSUPP;
    }
    if (p->left == 0) {
        return -PVI_ELENGTH;
    }
    if (((p->iova | p->left) & (page - 1)) != 0) {
        return -PVI_EALIGN;
    }
    if (r->list) {
        pt_list_run(r, p, page);
    }
    if ((p->pa & (page - 1)) != 0) {
        return -PVI_EALIGN;
    }
    if (p->iova > pt->iova_last || p->left - 1 > pt->iova_last - p->iova || p->pa > pt->pa_last ||
        p->left - 1 > pt->pa_last - p->pa) {
        return -PVI_ERANGE;
    }
    return 0;
}

static PT_INLINE struct pvi_pt_what pt_what(const struct pvi_pt *pt, const struct pvi_pt_map *r, const struct pvi_gather_work *p)
{
    struct pvi_pt_what what = {p->iova, p->pa, pt_sizes(pt, r), 0, r->prot, r->owe};

    return what;
}

/* Entries of one table that a piece reaches. */
static PT_INLINE unsigned pt_reached(const struct pvi_gather_work *p, unsigned level)
{
    uint64_t nr = p->left >> pt_shift(level);
    unsigned room = pt_entries(level) - pt_index(p->iova, level);

    return nr < room ? (unsigned)nr : room;
}

static PT_NOINLINE int pt_added_more(const struct pvi_pt *pt, struct pvi_context *ctx, uint64_t first, uint64_t last, struct pvi_gather *g)
{
    if (pt_stale(pt, g)) {
        pvi_gather_range(g, ctx, first, last, true, false);
    } else if (pt->cfg.adds && !g->postpone) {
        pvi_gather_range(g, ctx, first, last, false, true);
    }
    return 0;
}

/* Leaves have come where nothing was. 0, as pt_changed(). */
static PT_INLINE int pt_added(const struct pvi_pt *pt, struct pvi_context *ctx, uint64_t iova, uint64_t len, struct pvi_gather *g)
{
    if (pt->cfg.adds || pvi_env_read32(&pt->quota->gathered) != 0) {
        return pt_added_more(pt, ctx, iova, iova + len - 1, g);
    }
    return 0;
}

/*
 * Leaves of one entry, as many as there are empty entries in a row. One pass: a line that was looked at is stored to at once.
 * A table that holds nothing is not looked at: to load what memory has of it takes longer than the stores.
 */
static PT_INLINE unsigned pt_fill(const struct pvi_pt *pt, const struct pvi_pt_at *at, uint64_t *slot, unsigned level, unsigned nr,
                                  const struct pvi_pt_what *what)
{
    uint64_t leaf = pt_leaf(&pt->cfg, what->pa, level, 0, what->prot, what->owe), *s = slot, *end = slot + nr;
    const uint64_t step = pt_leaf_step(level);

    if (pt_live(pt_page(pt, at)) == 0) {
        pt_store(pt, slot, level, 0, nr, what->pa, what, true);
        return nr;
    }
    for (; end - s >= 4 && (s[0] | s[1] | s[2] | s[3]) == 0; s += 4, leaf += 4 * step) {
        pvi_env_write64(pt->host, &s[0], leaf);
        pvi_env_write64(pt->host, &s[1], leaf + step);
        pvi_env_write64(pt->host, &s[2], leaf + 2 * step);
        pvi_env_write64(pt->host, &s[3], leaf + 3 * step);
    }
    for (; s < end && *s == 0; s++, leaf += step) {
        pvi_env_write64(pt->host, s, leaf);
    }
    return s == end ? nr : pt_between(slot, s);
}

/* One leaf of several entries, if all of them are empty: how many, or 0. */
static PT_INLINE unsigned pt_fill_group(const struct pvi_pt *pt, uint64_t *slot, unsigned level, unsigned order, const struct pvi_pt_what *what)
{
    uint64_t leaf = pt_leaf(&pt->cfg, what->pa, level, order, what->prot, what->owe);
    unsigned nr = 1u << order, i;

    for (i = 0; i < nr; i += 2) {
        if ((slot[i] | slot[i + 1]) != 0) {
            return 0;
        }
    }
    for (i = 0; i < nr; i += 2) {
        pvi_env_write64(pt->host, &slot[i], leaf);
        pvi_env_write64(pt->host, &slot[i + 1], leaf);
    }
    return nr;
}

/* Books the leaves that nr entries of a table have got. */
static PT_INLINE void pt_filled(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *at, struct pvi_pt_map *r,
                                const struct pvi_gather_work *p, struct pvi_gather *g, unsigned level, unsigned nr)
{
    struct pvi_page *page = pt_page(pt, at);

    pt_count_leaves(page, nr);
    page->owing = (uint16_t)(page->owing + (r->owe != PVI_OWE_NONE ? nr : 0));
    pt_sync(pt, &at->table[pt_index(p->iova, level)], nr);
    r->done += (uint64_t)nr << pt_shift(level);
    (void)pt_added(pt, ctx, p->iova, (uint64_t)nr << pt_shift(level), g);
}

/* The way it mostly goes: the table is there, and its entries are empty up to somewhere. False: nothing done. */
static PT_INLINE bool pt_put(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, const struct pvi_gather_work *p,
                             struct pvi_gather *g, unsigned level)
{
    struct pvi_pt_what what = pt_what(pt, r, p);
    unsigned nr = pt_reached(p, level), order = p->lg2 - pt_shift(level), done = 0;
    uint64_t *slot;
    struct pvi_pt_at at;

    if (!pt_find(pt, &at, p->iova, level, g)) {
        pt_end(pt, &at);
        return false;
    }
    slot = &at.table[pt_index(p->iova, level)];
    /* A single entry where larger leaves would begin is none of them. */
    if (!PT_REPEATS || nr == 1 ||
        (order == 0 && pt_until(what.sizes & pt_level_sizes(level), level, p->lg2, p->iova, p->pa, nr) + 1 >= nr)) {
        done = pt_fill(pt, &at, slot, level, nr, &what);
    } else if (order != 0 && nr == 1u << order) {
        done = pt_fill_group(pt, slot, level, order, &what);
    }
    if (PT_REPEATS && done == 0 && nr > 1) {
        const struct pvi_pt_what named = what; /* the other one stays in registers */
        unsigned vacant = pt_vacant(slot, nr);

        /* A leaf of several entries may fit there. */
        if (level > 0 && vacant < nr && !r->keep && pt_clearable(pt, slot[vacant], level)) {
            vacant = 0;
        }
        done = pt_emit(pt, slot, level, vacant, &named, true);
    }
    if (done != 0) {
        pt_filled(pt, ctx, &at, r, p, g, level, done);
    }
    pt_end(pt, &at);
    return done != 0;
}

/* The commonest of all: one entry of one size, where nothing is. False: nothing done, or something is wrong. */
static PT_INLINE bool pt_put_one(struct pvi_pt *pt, struct pvi_pt_map *r, uint64_t iova, unsigned level)
{
    uint64_t pa = r->pa + r->done, *slot;
    struct pvi_page *page;
    struct pvi_pt_at at;
    unsigned prot;
    bool done;

    if ((r->shared && pt_common(level)) || (pt->quick & pt_span(level)) == 0 ||
        (r->barred & pt_span(level)) != 0 || ((iova | pa) & (pt_span(level) - 1)) != 0 || iova > pt->iova_last ||
        pa > pt->pa_last || r->list != NULL) {
        return false;
    }
    done = pt_find_4(pt, &at, iova, level);
    slot = &at.table[pt_index(iova, level)];
    prot = r->prot; /* not before the way down: what waits for memory is the entry */
    if (done && pvi_env_read64(slot) == 0 && prot <= PVI_RW && (pt->prots >> prot & 1) != 0) {
        unsigned owe = r->owe;

        page = pt_page(pt, &at);
        pvi_env_write64(pt->host, slot, pt_leaf(&pt->cfg, pa, level, 0, prot, owe));
        pt_count_leaves(page, 1);
        if (owe != PVI_OWE_NONE) {
            page->owing++;
        }
        r->done += pt_span(level);
    } else {
        done = false;
    }
    pt_end(pt, &at);
    return done;
}

/* --- new tables ------------------------------------------------------------------------------------- */

/* Fills the tables of a chain, bottom up. Nobody can reach them yet: their content needs no order but "before the link". */
static PT_NOINLINE uint64_t pt_chain_fill(const struct pvi_pt *pt, struct pvi_page *chain, unsigned top, unsigned leaf_level,
                              const struct pvi_pt_what *what, unsigned *nr)
{
    uint64_t below = 0;
    unsigned level;

    for (level = leaf_level; level < top; level++, chain = chain->next) {
        uint64_t *table = pvi_env_map(pt->host, chain->pa);
        unsigned at = pt_index(what->iova, level);

        chain->level = (uint8_t)level;
        if (level == leaf_level) {
            unsigned filled;

            pt_scrub(chain, table, at, *nr);
            filled = pt_emit(pt, &table[at], level, *nr, what, false);
            memset(&table[at + filled], 0, (*nr - filled) * sizeof(*table));
            *nr = filled;
            chain->live = *nr;
            chain->owing = (uint16_t)(what->owe != PVI_OWE_NONE ? *nr : 0);
        } else {
            pt_scrub(chain, table, at, 1);
            table[at] = pt_table(below, level);
            chain->live = 1;
            chain->links = 1;
        }
        pt_sync(pt, table, PVI_TABLE_ENTRIES);
        pvi_env_unmap(pt->host, table);
        below = chain->pa.a;
    }
    return below;
}

/* How many more tables of a level a piece will need: taken at once, they cost other CPUs' calls one wait for the pool. */
static PT_INLINE unsigned pt_ahead(uint64_t sizes, const struct pvi_gather_work *p, unsigned level, unsigned nr)
{
    uint64_t tables = ((p->left >> pt_shift(level)) - nr) >> pt_bits(level);

    if ((sizes & pt_span(level + 1)) != 0 && ((p->iova ^ p->pa) & (pt_span(level + 1) - 1)) == 0) {
        return 0; /* larger leaves will come instead */
    }
    return tables < PT_AHEAD ? (unsigned)tables : PT_AHEAD;
}

/*
 * Builds the tables that are missing between the walk's table and leaf_level, and links them by one store. Where another
 * gigabyte's call can link the same table first, that store is a compare-and-swap: the loser's pages were never visible.
 */
static PT_NOINLINE int pt_chain(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g)
{
    struct pvi_gather_work *p = &g->work;
    unsigned top = p->at.level, leaf_level = p->level;
    uint64_t *slot = &p->at.table[pt_index(p->iova, top)], link;
    unsigned nr = pt_reached(p, leaf_level), more = r->shared ? pt_ahead(pt_sizes(pt, r), p, leaf_level, nr) : 0;
    struct pvi_page *chain;
    int rc = pvi_gather_take(g, pt->pool, pt->quota, top - leaf_level, more, &chain);

    if (rc != 0) {
        return rc;
    }
    p->what = pt_what(pt, r, p);
    link = pt_table(pt_chain_fill(pt, chain, top, leaf_level, &p->what, &nr), top);
    if (!r->shared || !pt_common(top)) {
        pvi_env_write64(pt->host, slot, link);
    } else if (!pvi_env_cmpxchg64(pt->host, slot, 0, link)) {
        pvi_pool_put_list(pt->pool, chain);
        return 0;
    }
    pt_sync(pt, slot, 1);
    pt_count(pvi_env_page(pt->host, p->at.pa), top, 1, 1);
    r->done += (uint64_t)nr << pt_shift(leaf_level);
    (void)pt_added(pt, ctx, p->iova, (uint64_t)nr << pt_shift(leaf_level), g);
    return 0;
}

/* --- replacing ------------------------------------------------------------------------------------------ */

/*
 * How many entries are empty or hold leaves that the piece covers whole, counting the empty ones. What the leaves owe goes
 * to the gather, as far as it has room: *full tells that it had not.
 */
static unsigned pt_takeable(struct pvi_pt *pt, const struct pvi_pt_at *at, const struct pvi_gather_work *p, struct pvi_gather *g,
                            unsigned *empty, bool *full)
{
    unsigned level = at->level, first = pt_index(p->iova, level), room = pt_reached(p, level), nr = 0, n;
    struct pvi_page *page = pt_page(pt, at);

    for (; nr < room; nr += n) {
        uint64_t old = pvi_env_read64(&at->table[first + nr]);
        uint64_t frames;

        n = pt_kind(old, level) == PT_LEAF ? 1u << pt_order(old, level) : 1u;
        if (pt_kind(old, level) == PT_TABLE || ((first + nr) & (n - 1)) != 0 || nr + n > room) {
            break;
        }
        if (pt_kind(old, level) == PT_EMPTY) {
            ++*empty;
        } else if (pt_owe(old, level) != PVI_OWE_NONE) {
            frames = ((uint64_t)n << pt_shift(level)) >> PVI_PAGE_LG2;
            if (!pvi_gather_room(g, pt->pool, pt->quota, frames)) {
                *full = true;
                break;
            }
            pvi_gather_frames(g, pt_leaf_pa(old, level), frames, (uint8_t)pt_owe(old, level));
            page->owing = (uint16_t)(page->owing - n);
        }
    }
    return nr;
}

/*
 * New leaves over old ones. Each slot goes from its old leaf to its new one by one store; what the old ones owed is
 * released after the flush. A leaf that the piece covers only partly is cut first, and so is one of a level whose single
 * entries cannot be leaves.
 */
static PT_NOINLINE int pt_overwrite(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g)
{
    const struct pvi_gather_work *p = &g->work;
    unsigned level = p->level, nr = 0, empty = 0;
    struct pvi_pt_what what = pt_what(pt, r, p);
    bool full = false;
    struct pvi_page *page;
    uint64_t *slot;
    struct pvi_pt_at at;

    pt_begin(pt, &at);
    (void)pt_down(pt, &at, p->iova, level);
    page = pt_page(pt, &at);
    slot = &at.table[pt_index(p->iova, level)];
    if ((pt->cfg.page_sizes & pt_span(level)) != 0) {
        nr = pt_takeable(pt, &at, p, g, &empty, &full);
    }
    if (nr == 0) {
        pt_end(pt, &at);
        return full ? -PVI_EBUSY : pt_ask_cut(g, p->iova, p->iova + p->left - 1, pt->cfg.page_sizes);
    }
    (void)pt_emit(pt, slot, level, nr, &what, true); /* single entries can be leaves here: all of them become some */
    pt_count_leaves(page, empty);
    page->owing = (uint16_t)(page->owing + (r->owe != PVI_OWE_NONE ? nr : 0));
    pt_sync(pt, slot, nr);
    pt_end(pt, &at);
    r->done += (uint64_t)nr << pt_shift(level);
    /* Entries that were empty may be cached as such, with the tables above them: then not leaves alone must go. */
    pvi_gather_range(g, ctx, p->iova, p->iova + ((uint64_t)nr << pt_shift(level)) - 1,
                     (empty != 0 && pt->cfg.adds) || pt_stale(pt, g), false);
    return 0;
}

/* One large leaf over a table of leaves that goes whole: link becomes leaf by one store. */
static PT_NOINLINE int pt_oust(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_at *at, struct pvi_pt_map *r,
                   const struct pvi_gather_work *p, struct pvi_page *child, struct pvi_gather *g)
{
    struct pvi_page *page = pt_page(pt, at);
    uint64_t *slot = &at->table[pt_index(p->iova, at->level)];

    if (!pvi_gather_table_room(g, pt_owed_frames(child))) {
        return -PVI_EBUSY;
    }
    pvi_env_write64(pt->host, slot, pt_leaf(&pt->cfg, p->pa, at->level, 0, r->prot, r->owe));
    pt_sync(pt, slot, 1);
    pt_count(page, at->level, 0, 0u - 1u);
    page->owing = (uint16_t)(page->owing + (r->owe != PVI_OWE_NONE));
    r->done += pt_span(at->level);
    pvi_gather_table(g, child, pt_owed_frames(child));
    pvi_gather_range(g, ctx, p->iova, p->iova + pt_span(at->level) - 1, true, false);
    return 0;
}

/* --- the slice -------------------------------------------------------------------------------------- */

/* A leaf is where new ones are to go. */
static int pt_meet_leaf(const struct pvi_pt *pt, const struct pvi_pt_at *at, const struct pvi_pt_map *r, const struct pvi_gather_work *p,
                        struct pvi_gather *g)
{
    uint64_t sizes = pt->cfg.page_sizes, old, size;

    if (!r->replace) {
        return -PVI_EEXIST;
    }
    if (r->shared && pt_common(at->level)) {
        return PVI_PT_ALONE;
    }
    if (at->level == p->level) {
        return PT_OVER;
    }
    /* Smaller leaves come here. A leaf of several entries that lies wholly in the range goes down to single ones first. */
    old = pvi_env_read64(&at->table[pt_index(p->iova, at->level)]);
    size = pt_span(at->level) << pt_order(old, at->level);
    if ((p->iova & (size - 1)) == 0 && p->left >= size) {
        sizes &= pt_span(at->level) | (pt_span(at->level) - 1);
    }
    return pt_ask_cut(g, p->iova, p->iova + p->left - 1, sizes);
}

/* The largest of some sizes is to come next. */
static PT_INLINE void pt_choose(struct pvi_gather_work *p, uint64_t sizes)
{
    p->lg2 = pt_largest(pt_fitting(sizes, p->iova, p->pa, p->left));
    p->level = pt_level(p->lg2);
}

/* Something is in the way of leaves at g->work.level, or no table is there. */
static PT_NOINLINE int pt_map_step(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g)
{
    struct pvi_gather_work *p = &g->work;
    struct pvi_pt_at *at = &p->at;
    unsigned level = p->level, nr = pt_reached(p, level), vacant;
    struct pvi_page *child, *rest = NULL;
    uint64_t *slot, entry, way;
    int rc = PT_LOWER;

    pt_begin(pt, at);
    (void)pt_down(pt, at, p->iova, level);
    slot = &at->table[pt_index(p->iova, at->level)];
    entry = pvi_env_read64(slot);
    vacant = at->level == level ? pt_vacant(slot, nr) : nr;
    way = p->iova + ((uint64_t)vacant << pt_shift(level));
    child = pt_kind(entry, at->level) == PT_TABLE ? pt_child(pt, entry, level) : NULL;
    if (pt_kind(entry, at->level) == PT_LEAF) {
        rc = pt_meet_leaf(pt, at, r, p, g);
    } else if (at->level > level) {
        return PT_CHAIN;
    } else if (vacant < nr && pt_kind(slot[vacant], level) == PT_TABLE && !r->keep &&
               (pt_clear_way(pt, ctx, at, way, nr - vacant, g, &rest) || (rest && pt_prune(pt, ctx, rest, way, g)))) {
        rc = 0;
    } else if (child && r->replace && !r->keep && (pt->cfg.page_sizes & pt_span(level)) != 0 && child->links == 0 &&
               pt_owed_frames(child) <= PVI_GATHER_FRAMES) {
        rc = pt_oust(pt, ctx, at, r, p, child, g);
    } else if ((pt_sizes(pt, r) & (pt_span(level) - 1)) == 0) {
        rc = -PVI_EEXIST; /* smaller ones are not allowed */
    } else {
        pt_choose(p, pt_sizes(pt, r) & (pt_span(level) - 1)); /* larger leaves cannot go there */
    }
    pt_end(pt, at);
    return rc;
}

/*
 * Another CPU may have linked a table that the new leaves hang from and not written the link back yet: the one that
 * reports success must have.
 */
static PT_NOINLINE void pt_sync_way(const struct pvi_pt *pt, uint64_t iova)
{
    struct pvi_pt_at at;

    pt_begin(pt, &at);
    while (pt_common(at.level)) {
        pt_sync(pt, &at.table[pt_index(iova, at.level)], 1);
        if (at.level == 0 || !pt_down(pt, &at, iova, at.level - 1)) {
            break;
        }
    }
    pt_end(pt, &at);
}

static PT_NOINLINE int pt_map_more(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g)
{
    const struct pvi_gather_work *p = &g->work;

    return (p->level == 0   ? pt_put(pt, ctx, r, p, g, 0)
            : p->level == 1 ? pt_put(pt, ctx, r, p, g, 1)
            : p->level == 2 ? pt_put(pt, ctx, r, p, g, 2)
                            : pt_put(pt, ctx, r, p, g, p->level)) ? 0 : PT_SLOW;
}

/* May the slice go on behind the len bytes that it has just mapped? Not into a gigabyte that may be somebody else's. */
static PT_INLINE bool pt_map_on(const struct pvi_pt_map *r, uint64_t len, unsigned level, unsigned *budget)
{
    uint64_t nr = len >> pt_shift(level), next = r->iova + r->done;

    *budget -= nr < *budget ? (unsigned)nr : *budget;
    return len != 0 && r->done < r->len && *budget != 0 && !(r->shared && (next & (((uint64_t)1 << PT_SHARED_LG2) - 1)) == 0);
}

static PT_NOINLINE int pt_map_slice(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g)
{
    struct pvi_gather_work *p = &g->work;
    unsigned budget = PT_BUDGET / 2; /* the last piece may fill a table */
    int rc = pt_piece(pt, r, p);

    while (rc == 0) {
        uint64_t before = r->done, len;

        pt_choose(p, pt_sizes(pt, r));
        rc = r->shared && pt_common(p->level) ? PVI_PT_ALONE : 0;
        while (rc == 0 && (rc = pt_map_more(pt, ctx, r, g)) == PT_SLOW) {
            rc = pt_map_step(pt, ctx, r, g);
            if (rc != PT_LOWER) {
                break;
            }
            rc = 0;
        }
        /* Not from within the step: stacks are small. */
        if (rc == PT_OVER) {
            rc = pt_overwrite(pt, ctx, r, g);
        } else if (rc == PT_CHAIN) {
            rc = pt_chain(pt, ctx, r, g);
            pt_end(pt, &p->at);
        }
        if (r->shared && !pt->cfg.coherent) {
            pt_sync_way(pt, p->iova);
        }
        len = r->done - before;
        if (rc != 0 || !pt_map_on(r, len, p->level, &budget)) {
            break;
        }
        p->iova += len;
        p->pa += len;
        p->left -= len;
        if (p->left == 0) { /* a list's run */
            rc = pt_piece(pt, r, p);
        }
    }
    return rc == PT_CUT ? pt_cut(pt, ctx, g) : rc;
}

/* Single pages of other sizes, and all else. */
static PT_NOINLINE int pt_map_other(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g)
{
    uint64_t left = r->len - r->done, iova = r->iova + r->done;

    if ((left == pt_span(1) && pt_put_one(pt, r, iova, 1)) || (left == pt_span(2) && pt_put_one(pt, r, iova, 2))) {
        return pt_added(pt, ctx, iova, left, g);
    }
    return pt_map_slice(pt, ctx, r, g);
}

/* Nothing but the commonest here: what it need not save in registers is a tenth of its time. */
static int PVI_CALLBACK pt_map(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g)
{
    uint64_t left = r->len - r->done, iova = r->iova + r->done;

    if (left == pt_span(0) && pt_put_one(pt, r, iova, 0)) {
        return pt_added(pt, ctx, iova, left, g);
    }
    return pt_map_other(pt, ctx, r, g);
}
