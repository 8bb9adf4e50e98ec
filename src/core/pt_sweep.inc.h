/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: unmap the way it mostly goes, of one leaf, or of several one after the other that owe nothing. */

/* Clears a leaf that is repeated. */
static PT_INLINE void pt_wipe_group(const struct pvi_pt *pt, uint64_t *slot, size_t nr)
{
    for (; nr != 0; nr -= 2, slot += 2) {
        pvi_env_write64(pt->host, &slot[0], 0);
        pvi_env_write64(pt->host, &slot[1], 0);
    }
}

/* Hands over what a leaf of one entry owes. False: it is none, or its frame finds no room. */
static PT_NOINLINE bool pt_take_debt(struct pvi_pt *pt, uint64_t old, unsigned level, struct pvi_page *page, struct pvi_gather *g)
{
    uint64_t frames = pt_span(level) >> PVI_PAGE_LG2;

    if (pt_kind(old, level) != PT_LEAF || pt_order(old, level) != 0 || !pvi_gather_room(g, pt->pool, pt->quota, frames)) {
        return false;
    }
    pvi_gather_frames(g, pt_leaf_pa(old, level), frames, (uint8_t)pt_owe(old, level));
    page->owing--;
    return true;
}

/* Clears one leaf of one entry; 1, or 0 if there is none or its frame finds no room. */
static PT_INLINE unsigned pt_take_one(struct pvi_pt *pt, uint64_t *slot, unsigned level, struct pvi_page *page,
                                      struct pvi_gather *g)
{
    uint64_t old = pvi_env_read64(slot);

    if (!pt_plain(old, level) && !pt_take_debt(pt, old, level, page, g)) {
        return 0;
    }
    pvi_env_write64(pt->host, slot, 0);
    return 1;
}

/* Clears leaves that owe nothing from an entry on, as long as nothing else comes, in nr > 0 entries. How many. */
static PT_INLINE size_t pt_take_plain(struct pvi_pt *pt, uint64_t *slot, unsigned level, size_t nr)
{
    uint64_t *s = slot, *end = s + nr;

    do {
        unsigned order = PT_REPEATS ? pt_plain_order(pvi_env_read64(s), level) : 0;
        size_t n = (size_t)1 << order;

        if (order != 0) {
            if ((size_t)(end - s) < n || ((uintptr_t)s & (n * sizeof(*s) - 1)) != 0) {
                break; /* only a part of it */
            }
            pt_wipe_group(pt, s, n);
            s += n;
            continue;
        }
        for (; end - s >= 4 && pt_plain(pvi_env_read64(&s[0]), level) && pt_plain(pvi_env_read64(&s[1]), level) &&
               pt_plain(pvi_env_read64(&s[2]), level) && pt_plain(pvi_env_read64(&s[3]), level);
             s += 4) {
            pvi_env_write64(pt->host, &s[0], 0);
            pvi_env_write64(pt->host, &s[1], 0);
            pvi_env_write64(pt->host, &s[2], 0);
            pvi_env_write64(pt->host, &s[3], 0);
        }
        for (; s != end && pt_plain(pvi_env_read64(s), level); s++) {
            pvi_env_write64(pt->host, s, 0);
        }
        if (!PT_REPEATS || (s != end && pt_plain_order(pvi_env_read64(s), level) == 0)) {
            break;
        }
    } while (s != end);
    return s == end ? nr : pt_between(slot, s);
}

/* The commonest of all: the range is one entry, and that is at hand now, in a table that stays. False: it is not, and nothing is. */
static PT_INLINE bool pt_one(const struct pvi_pt *pt, const struct pvi_pt_unmap *r, uint64_t first, uint64_t last, unsigned level,
                             struct pvi_pt_at *at)
{
    if (last - first != pt_span(level) - 1 || (first & (pt_span(level) - 1)) != 0 || last > pt->table_last ||
        (r->shared && pt_common(level)) || (pt->quick & pt_span(level)) == 0) {
        return false;
    }
    /* The last leaf of a table may take the table along. Without trim, the range would have to cover it. */
    if (pt_find_4(pt, at, first, level) && (!pt->cfg.trim || pt_live(pt_page(pt, at)) != 1)) {
        return true;
    }
    pt_end(pt, at);
    return false;
}

/* Takes it: a leaf of one entry. */
static PT_INLINE int pt_take_it(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, uint64_t first, uint64_t last, unsigned level,
                                struct pvi_pt_at *at, struct pvi_gather *g)
{
    pvi_env_write64(pt->host, &at->table[pt_index(first, level)], 0);
    pt_count_leaves(pt_page(pt, at), 0u - 1u);
    r->removed += pt_span(level);
    r->complete = true;
    r->next = last + 1;
    pt_end(pt, at);
    return pt_changed(pt, ctx, first, last, g);
}

/* The same if it owes nothing. False: nothing done, or something is wrong. */
static PT_INLINE bool pt_take_plain_one(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, uint64_t first, uint64_t last,
                                        unsigned level, struct pvi_gather *g, int *rc)
{
    struct pvi_pt_at at;

    if (!pt_one(pt, r, first, last, level, &at)) {
        return false;
    }
    if (!pt_plain(pvi_env_read64(&at.table[pt_index(first, level)]), level)) {
        pt_end(pt, &at);
        return false;
    }
    *rc = pt_take_it(pt, ctx, r, first, last, level, &at, g);
    return true;
}

/* Where a sweep stands, where it ends, and how many entries it may still clear. */
struct pt_sweep {
    uint64_t next, last;
    size_t left;
};

/* Behind the last byte of the sweep in the table of this level: the table's end, or the range's. */
static PT_INLINE uint64_t pt_sweep_end(unsigned level, const struct pt_sweep *s)
{
    uint64_t last = s->next | pt_table_mask(level);

    return (last < s->last ? last : s->last) + 1;
}

/* Entries of this level that the bytes up to `end` fill. */
static PT_INLINE size_t pt_sweep_nr(unsigned level, uint64_t end, const struct pt_sweep *s)
{
    return (size_t)((end - s->next) >> pt_shift(level));
}

/*
 * nr leaves of the table at hand from s->next on, as long as nothing else comes. False: there was none, or the table has become
 * empty and is to go.
 */
static PT_INLINE bool pt_sweep_leaves(struct pvi_pt *pt, const struct pvi_pt_at *at, unsigned level, size_t nr,
                                      struct pvi_pt_unmap *r, struct pt_sweep *s, struct pvi_gather *g)
{
    uint64_t first = s->next, mask = pt_table_mask(level);
    uint64_t *slot = &at->table[pt_index(first, level)];
    struct pvi_page *page = pt_page(pt, at);

    if (r->shared && pt_common(level)) {
        return false;
    }
    nr = nr < s->left ? nr : s->left;
    nr = nr > 1 ? pt_take_plain(pt, slot, level, nr) : nr == 1 ? pt_take_one(pt, slot, level, page, g) : 0;
    if (nr == 0) {
        return false;
    }
    pt_count_leaves(page, 0u - (unsigned)nr);
    pt_sync(pt, slot, (unsigned)nr);
    s->left -= nr;
    s->next = first + ((uint64_t)nr << pt_shift(level));
    if (pt_live(page) == 0) { /* pt_climb() would say no to all others */
        r->climb = pt->cfg.trim || ((first & ~mask) >= r->first && (first | mask) <= r->last);
        return !r->climb;
    }
    return true;
}

/* A step in a table up to `end`: leaves of it, or *into the table below it, which is to be swept and ended. False: neither. */
static PT_INLINE bool pt_sweep_step(struct pvi_pt *pt, const struct pvi_pt_at *at, unsigned level, uint64_t end, struct pvi_pt_unmap *r,
                                    struct pt_sweep *s, struct pvi_gather *g, struct pvi_pt_at *below, bool *into)
{
    size_t nr = pt_sweep_nr(level, end, s);
    uint64_t link;

    *into = false;
    /*
     * Whole entries, unless the range begins or ends within this one. That is one condition, which a CPU guesses better than two: what
     * it begins behind is 4 KiB at least, more than there are entries.
     */
    if ((s->next & (pt_span(level) - 1)) < nr) {
        return pt_sweep_leaves(pt, at, level, nr, r, s, g);
    }
    link = pvi_env_read64(&at->table[pt_index(s->next, level)]);
    if (pt_links(link, level)) {
        pt_begin_at(pt, below, pt_table_pa(link, level), level - 1u);
        *into = true;
    }
    return *into;
}

/* A table of level 1: leaves, and where the range takes a part of an entry, those of the table below. False: something is left to do there. */
static PT_INLINE bool pt_sweep_1(struct pvi_pt *pt, const struct pvi_pt_at *at, struct pvi_pt_unmap *r, struct pt_sweep *s,
                                 struct pvi_gather *g)
{
    uint64_t end = pt_sweep_end(1, s);
    struct pvi_pt_at below;
    bool on, into;

    do {
        on = pt_sweep_step(pt, at, 1, end, r, s, g, &below, &into);
        if (into) {
            on = pt_sweep_leaves(pt, &below, 0, pt_sweep_nr(0, pt_sweep_end(0, s), s), r, s, g);
            pt_end(pt, &below);
        }
    } while (on && s->next != end);
    return on;
}

/* The same of level 2. */
static PT_INLINE void pt_sweep_2(struct pvi_pt *pt, const struct pvi_pt_at *at, struct pvi_pt_unmap *r, struct pt_sweep *s,
                                 struct pvi_gather *g)
{
    uint64_t end = pt_sweep_end(2, s);
    struct pvi_pt_at below;
    bool on, into;

    do {
        on = pt_sweep_step(pt, at, 2, end, r, s, g, &below, &into);
        if (into) {
            on = pt_sweep_1(pt, &below, r, s, g);
            pt_end(pt, &below);
        }
    } while (on && s->next != end);
}

/*
 * The way it mostly goes: leaves, one after the other, down into tables and up again, in one table of level 2. A root below that
 * level, and a table that the range covers whole and that goes unread, are left to pt_unmap_pass(). How many more entries may be
 * cleared; all of them: nothing done.
 */
static PT_INLINE unsigned pt_sweep(struct pvi_pt *pt, struct pvi_pt_unmap *r, uint64_t last, unsigned most, struct pvi_gather *g)
{
    uint64_t mask = pt_table_mask(2);
    struct pt_sweep s = {r->next, last, most};
    struct pvi_pt_at at;

    (void)pt_find(pt, &at, s.next, 2, g);
    if (at.level == 2 && ((s.next & mask) != 0 || last - s.next < mask)) {
        pt_sweep_2(pt, &at, r, &s, g);
        r->next = s.next;
    }
    pt_end(pt, &at);
    return (unsigned)s.left;
}
