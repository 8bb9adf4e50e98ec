/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: cutting leaves into smaller ones. */

/* What the pieces of a leaf are made of, from its entry number `from` on, in a table of level `to`. */
static void pt_pieces(struct pvi_gather_work *by, uint64_t old, unsigned level, uint64_t first, unsigned from, unsigned to)
{
    uint64_t off = (uint64_t)from << pt_shift(level);
    struct pvi_pt_what *what = &by->what;

    what->iova = first + off;
    what->pa = pt_leaf_pa(old, level) + off;
    what->sizes = by->sizes & pt_level_sizes(to);
    what->extra = 0;
    what->prot = pt_prot(old, level);
    what->owe = pt_owe(old, level);
    if (what->sizes == 0) { /* all that is allowed is smaller: cut again from the smallest of this level */
        what->sizes = pt_span(to);
    }
}

/*
 * Fills nr entries from iova on with the pieces of a leaf, the largest that fit. Entries that an end of [first, last]
 * cuts stand alone, for the next cut. Returns how many were filled.
 */
static PT_INLINE unsigned pt_emit_cut(const struct pvi_pt *pt, uint64_t *slot, unsigned level, unsigned nr,
                                      struct pvi_gather_work *by, bool live)
{
    struct pvi_pt_what *what = &by->what;
    const uint64_t mask = pt_span(level) - 1, begin = what->iova, end = begin + ((uint64_t)nr << pt_shift(level)) - 1;
    unsigned step, at = 0, border = 0;

    for (step = 0; step < 5; step++) {
        /* Up to the entry that an end lies in, and that entry; and all the rest. */
        uint64_t edge = step < 2 ? by->first : by->last + 1;

        if (step == 4) {
            border = nr;
        } else if (step < 2 ? edge > begin && edge <= end : by->last >= begin && by->last < end) {
            border = (unsigned)((edge - begin + (step % 2 != 0 ? mask : 0)) >> pt_shift(level));
        }
        if (border > at) {
            if (pt_emit(pt, &slot[at], level, border - at, what, live) != border - at) {
                break;
            }
            what->iova += (uint64_t)(border - at) << pt_shift(level);
            what->pa += (uint64_t)(border - at) << pt_shift(level);
            at = border;
        }
    }
    return at;
}

/*
 * One entry of a leaf becomes a table of leaves one level down that say the same, by one store: no walker is ever
 * without a translation. A device that writes before the link is there sets the old leaf's dirty bit: then once more.
 */
static PT_NOINLINE void pt_cut_down(struct pvi_pt *pt, struct pvi_pt_at *at, unsigned index, unsigned from, uint64_t begin,
                                  struct pvi_gather_work *by, struct pvi_page *child)
{
    unsigned level = at->level, below = level - 1u, nr = pt_entries(below), filled;
    uint64_t *slot = &at->table[index], *table = pvi_env_map(pt->host, child->pa), old;
    struct pvi_page *page = pt_page(pt, at);

    if ((pt->cfg.page_sizes & pt_span(below)) == 0) { /* only leaves of several entries there: they are cut in their turn */
        by->first = 0;
        by->last = UINT64_MAX;
        by->sizes = pt->cfg.page_sizes;
    }
    do {
        old = pvi_env_read64(slot);
        pt_pieces(by, old, level, begin, from, below);
        /* Of several entries another one may have noted a write, or may yet: all pieces count as written. */
        by->what.extra = (old & pt_dirty(level)) != 0 || (pt->cfg.dirty && pt_order(old, level) != 0) ? pt_dirty(below) : 0;
        pt_scrub(child, table, 0, nr);
        filled = pt_emit_cut(pt, table, below, nr, by, false);
        PVI_ASSERT(filled == nr);
        pt_sync(pt, table, PVI_TABLE_ENTRIES);
    } while (!pt_swap(pt, slot, old, pt_table(child->pa.a, level)));
    pt_sync(pt, slot, 1);
    pvi_env_unmap(pt->host, table);
    child->level = (uint8_t)below;
    child->live = nr;
    pt_count(page, level, 0, 1);
    if (pt_owe(old, level) != PVI_OWE_NONE) {
        child->owing = (uint16_t)nr;
        page->owing--;
    }
}

/*
 * The entries of a repeated leaf become smaller leaves of the same level, slot by slot, each always translating right.
 * Where writes are noted a device may set the dirty bit in a slot after it was looked at: all pieces count as written.
 */
static PT_NOINLINE void pt_cut_group(struct pvi_pt *pt, struct pvi_pt_at *at, unsigned base, unsigned nr, uint64_t begin,
                                   struct pvi_gather_work *by)
{
    unsigned level = at->level;
    uint64_t *slot = &at->table[base], old = pvi_env_read64(slot);

    pt_pieces(by, old, level, begin, 0, level);
    by->what.extra = pt->cfg.dirty ? pt_dirty(level) : 0;
    (void)pt_emit_cut(pt, slot, level, nr, by, true);
    pt_sync(pt, slot, nr);
}

/* Steps of a slice that its entry point goes on with, beside 0, errors and PVI_PT_ALONE. */
#define PT_CUT 2   /* the leaf at g->work.first is to be cut */
#define PT_SLOW 3  /* map: something is in the way, or no table is there */
#define PT_LOWER 4 /* map: only leaves of lower levels can go there */
#define PT_OVER 5  /* map: leaves of the table that new ones are for are to be replaced */
#define PT_CHAIN 6 /* map: tables are to be built below g->work.at */

/* Of an unmap's pass over one table: the next one down must be looked into. */
#define PT_ENTER 7

static inline int pt_ask_cut(struct pvi_gather *g, uint64_t first, uint64_t last, uint64_t sizes)
{
    g->work.first = first;
    g->work.last = last;
    g->work.sizes = sizes;
    return PT_CUT;
}

/*
 * Cuts the leaf at g->work.first so that none of its pieces reaches over an end of [first, last]. What may be cached is the old
 * leaf, whole, from whichever entry: all of it goes. Where single entries of the level cannot be leaves (AMD-Vi's 512 GiB)
 * all entries of the leaf become tables at once: as long as one is left, hardware may cache the leaf whole again.
 */
static PT_NOINLINE int pt_cut(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_gather *g)
{
    struct pvi_pt_at *at = &g->work.at;
    unsigned level, index, i, order, nr, base;
    uint64_t begin, old;
    struct pvi_page *child, *next;
    int rc = 0;

    if (pt->cfg.fixed_sizes) {
        return -PVI_EPART;
    }
    pt_begin(pt, at);
    (void)pt_down(pt, at, g->work.first, 0);
    level = at->level;
    index = pt_index(g->work.first, level);
    old = pvi_env_read64(&at->table[index]);
    order = pt_order(old, level);
    nr = 1u << order;
    base = index & ~(nr - 1);
    begin = g->work.first & ~((pt_span(level) << order) - 1);
    if (order > 0 && (pt->cfg.page_sizes & pt_span(level)) != 0) {
        pt_cut_group(pt, at, base, nr, begin, &g->work);
    } else {
        rc = g->reserve ? pvi_pool_take_reserve(pt->pool, pt->quota, nr, &child)
                        : pvi_pool_take(pt->pool, pt->quota, nr, 0, PVI_PAGE_TABLE, &child);
        for (i = 0; rc == 0 && i < nr; i++, child = next) {
            next = child->next;
            pt_cut_down(pt, at, base + i, i, begin, &g->work, child);
        }
    }
    pt_end(pt, at);
    if (rc == 0) {
        pvi_gather_range(g, ctx, begin, begin + (pt_span(level) << order) - 1, true, false);
    }
    return rc;
}
