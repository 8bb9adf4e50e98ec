/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: unmap. */

/* The highest level whose entry at `next` the range covers whole, in all its bytes; else 0. */
static unsigned pt_covered(const struct pvi_pt *pt, uint64_t next, uint64_t last)
{
    unsigned level = 0;

    while (level + 1u < pt->cfg.levels && (next & (pt_span(level + 1) - 1)) == 0 &&
           last - next >= pt_span(level + 1) - 1) {
        level++;
    }
    return level;
}

/*
 * A table that the range covers whole, and in which nothing can stop the removal: no hole, and no table below it. What
 * it owes must not be more than one flush may release.
 */
static struct pvi_page *pt_droppable(const struct pvi_pt *pt, const struct pvi_pt_unmap *r, uint64_t link, unsigned level)
{
    struct pvi_page *child = pt_child(pt, link, level);

    return child->links == 0 && !r->keep && (r->holes || child->live == pt_entries(level - 1)) &&
                   pt_owed_frames(child) <= PVI_GATHER_FRAMES
               ? child
               : NULL;
}

/* Clears a leaf that is repeated. */
static PT_INLINE void pt_wipe_group(const struct pvi_pt *pt, uint64_t *slot, size_t nr)
{
    for (; nr != 0; nr -= 2, slot += 2) {
        pvi_env_write64(pt->host, &slot[0], 0);
        pvi_env_write64(pt->host, &slot[1], 0);
    }
}

/* Removes leaves up to entry `end`, as long as nothing else comes: 0, or -PVI_EBUSY. */
static int pt_out_leaves(struct pvi_pt *pt, struct pvi_pt_at *at, struct pvi_pt_out *out, unsigned end, struct pvi_gather *g)
{
    unsigned level = at->level, i = out->at, n;
    int rc = 0;

    while (i < end) {
        uint64_t old = pvi_env_read64(&at->table[i]);

        if (pt_kind(old, level) != PT_LEAF) {
            break;
        }
        n = 1u << pt_order(old, level);
        if (PT_REPEATS && ((i & (n - 1)) != 0 || i + n > out->to)) {
            break; /* only a part of it */
        }
        if (pt_owe(old, level) != PVI_OWE_NONE) {
            uint64_t frames = ((uint64_t)n << pt_shift(level)) >> PVI_PAGE_LG2;

            if (!pvi_gather_room(g, pt->pool, pt->quota, frames)) {
                rc = -PVI_EBUSY;
                break;
            }
            pvi_gather_frames(g, pt_leaf_pa(old, level), frames, (uint8_t)pt_owe(old, level));
            out->owing += n;
        }
        if (!PT_REPEATS || n == 1) {
            pvi_env_write64(pt->host, &at->table[i], 0);
        } else {
            pt_wipe_group(pt, &at->table[i], n);
        }
        i += n;
    }
    out->live += i - out->at;
    out->at = i;
    return rc;
}

/* Unlinks a covered table unread: its leaves, and what they owe, stay in it until the flush. */
static int pt_out_table(struct pvi_pt *pt, const struct pvi_pt_at *at, struct pvi_pt_out *out, struct pvi_page *child, uint64_t *removed,
                        struct pvi_gather *g)
{
    if (!pvi_gather_table_room(g, pt_owed_frames(child))) {
        return -PVI_EBUSY;
    }
    pvi_env_write64(pt->host, &at->table[out->at], 0);
    *removed += (uint64_t)child->live << pt_shift(at->level - 1u);
    pvi_gather_table(g, child, pt_owed_frames(child));
    out->live++;
    out->links++;
    out->at++;
    return 0;
}

/* Removes entry by entry, up to entry `stop`. */
static int pt_out_entries(struct pvi_pt *pt, struct pvi_pt_at *at, struct pvi_pt_unmap *r, struct pvi_pt_out *out,
                          unsigned stop, struct pvi_gather *g)
{
    bool leaves = !r->shared || !pt_common(at->level);
    int rc = 0;

    while (rc == 0 && out->at < stop) {
        struct pvi_page *child = NULL;
        uint64_t old;

        if (leaves && out->at >= out->from) {
            rc = pt_out_leaves(pt, at, out, stop < out->to ? stop : out->to, g);
            if (rc != 0 || out->at >= stop) {
                break;
            }
        }
        old = pvi_env_read64(&at->table[out->at]);
        switch (pt_kind(old, at->level)) {
        case PT_EMPTY:
            rc = r->holes ? 0 : -PVI_ENOENT;
            out->at += r->holes;
            break;
        case PT_LEAF:
            return leaves ? PT_CUT : PVI_PT_ALONE;
        default:
            if (out->at >= out->from && out->at < out->to) {
                child = pt_droppable(pt, r, old, at->level);
            }
            if (!child) {
                return PT_ENTER;
            }
            rc = pt_out_table(pt, at, out, child, &r->removed, g);
            break;
        }
    }
    return rc;
}

/*
 * One pass over the table of r->next, of `level` or the first one above it where no table is: to the end of the range, the
 * table, the budget or the patience of the gather. Then pt_out_done(), whatever comes back.
 */
static PT_NOINLINE int pt_out(struct pvi_pt *pt, struct pvi_pt_unmap *r, uint64_t last, unsigned level, struct pvi_gather *g)
{
    unsigned *budget = &g->work.budget;
    struct pvi_pt_out *out = &g->work.out;
    struct pvi_pt_at *at = &g->work.at;
    unsigned index, stop;
    uint64_t mask, touched;
    int rc;

    pt_begin(pt, at);
    (void)pt_down(pt, at, r->next, level);
    level = at->level;
    mask = pt_span(level) - 1;
    index = pt_index(r->next, level);
    memset(out, 0, sizeof(*out));
    out->begin = (r->next & ~mask) - ((uint64_t)index << pt_shift(level));
    out->first = index;
    out->at = index;
    touched = ((last - out->begin) >> pt_shift(level)) + 1;
    out->end = touched < pt_entries(level) ? (unsigned)touched : pt_entries(level);
    out->from = index + ((r->next & mask) != 0);
    out->to = out->end - (touched == out->end && (last & mask) != mask);
    stop = out->end - index < *budget ? out->end : index + *budget;
    rc = pt_out_entries(pt, at, r, out, stop, g);
    *budget -= out->at - index < *budget ? out->at - index : *budget;
    return rc;
}

/* Books what a pass has removed, and where the request stands now. */
static PT_NOINLINE void pt_out_done(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g)
{
    const struct pvi_pt_out *out = &g->work.out;
    struct pvi_pt_at *at = &g->work.at;
    unsigned level = at->level;
    uint64_t last = out->begin + ((uint64_t)out->at << pt_shift(level)) - 1;
    struct pvi_page *page = pt_page(pt, at);

    if (out->live != 0) {
        if (out->links == 0) { /* leaves where others could count, too, go by a call that is alone */
            pt_count_leaves(page, 0u - out->live);
        } else {
            pt_count(page, level, 0u - out->live, 0u - out->links);
        }
        if (out->owing != 0) { /* leaves: then this call has the table for itself */
            page->owing = (uint16_t)(page->owing - out->owing);
        }
        pt_sync(pt, &at->table[out->first], out->at - out->first);
        pvi_gather_range(g, ctx, out->begin + ((uint64_t)out->first << pt_shift(level)), last,
                         out->links != 0 || pt_stale(pt, g), false);
        r->removed += (uint64_t)(out->live - out->links) << pt_shift(level);
    }
    if (out->at != out->first) {
        r->climb = pt_live(page) == 0; /* also if it was before */
        r->complete = last >= r->last;
        r->next = last + 1;
    }
    pt_end(pt, at);
}

/*
 * Unlinks tables that have become empty, upwards from the one that holds iova: always when the range covers them whole,
 * else when the owner wants memory back at once. The range to invalidate is all that the table could translate.
 */
static PT_NOINLINE int pt_climb(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, uint64_t iova, struct pvi_gather *g)
{
    unsigned top = pt->cfg.levels - 1u, level;
    struct pvi_pt_at at;

    r->climb = false;
    if (r->keep) {
        return 0;
    }
    for (level = 0; level < top; level++) {
        uint64_t first = iova & ~(pt_span(level + 1u) - 1), last = first + (pt_span(level + 1u) - 1), *slot, link;
        struct pvi_page *child;

        if (!pt->cfg.trim && (r->first > first || r->last < last)) {
            return 0;
        }
        pt_begin(pt, &at);
        if (pt_down(pt, &at, iova, level + 1u)) {
            slot = &at.table[pt_index(iova, level + 1u)];
            link = pvi_env_read64(slot);
            child = pt_kind(link, level + 1u) == PT_TABLE ? pt_child(pt, link, level + 1u) : NULL;
            if (child && (pt_live(child) != 0 || (r->shared && pt_common(level)))) {
                pt_end(pt, &at);
                r->climb = pt_live(child) == 0;
                return r->climb ? PVI_PT_ALONE : 0;
            }
            if (child) {
                pt_unlink(pt, ctx, &at, slot, child, iova, g);
            }
        }
        pt_end(pt, &at);
    }
    return 0;
}

/* From the highest entry that the range covers whole down to the table where it ends: something was done, or goes wrong. */
static PT_NOINLINE int pt_unmap_pass(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, uint64_t last,
                                     struct pvi_gather *g)
{
    unsigned level = pt_covered(pt, r->next, last);
    uint64_t from = r->next;
    int rc;

    do {
        rc = pt_out(pt, r, last, level, g);
        level = g->work.at.level - 1u; /* another gigabyte's call may link a table where the walk had found none */
        pt_out_done(pt, ctx, r, g);
    } while (rc == PT_ENTER && r->next == from); /* else further on in the table: found again from the root */
    if (rc == PT_CUT) {
        rc = r->whole ? -PVI_EPART : pt_ask_cut(g, r->next, last, pt->cfg.page_sizes & ~r->barred);
    }
    return rc == PT_ENTER ? 0 : rc;
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

/* Clears one leaf of one entry; 1, or 0 if there is none, or it owes a frame and may not, or that finds no room. */
static PT_INLINE unsigned pt_take_one(struct pvi_pt *pt, uint64_t *slot, unsigned level, struct pvi_page *page, bool owing,
                                      struct pvi_gather *g)
{
    uint64_t old = pvi_env_read64(slot);

    if (!pt_plain(old, level) && !(owing && pt_take_debt(pt, old, level, page, g))) {
        return 0;
    }
    pvi_env_write64(pt->host, slot, 0);
    return 1;
}

/* Clears leaves that owe nothing from an entry on, as long as nothing else comes. How many entries. */
static PT_INLINE unsigned pt_take_plain(struct pvi_pt *pt, uint64_t *slot, unsigned level, unsigned nr)
{
    uint64_t *s = slot, *end = s + nr;

    while (s != end) {
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
    }
    return s == end ? nr : pt_between(slot, s);
}

/* The commonest of all: one leaf of one entry, to the end of the range, that owes nothing, or may if `owing`. False: nothing done, or something is wrong. */
static PT_INLINE bool pt_take_entry(struct pvi_pt *pt, struct pvi_pt_unmap *r, uint64_t first, uint64_t last, unsigned level, bool owing,
                                    struct pvi_gather *g)
{
    struct pvi_page *page;
    uint64_t *slot;
    struct pvi_pt_at at;
    bool done;

    if ((first & (pt_span(level) - 1)) != 0 || last > pt->table_last || (r->shared && pt_common(level)) ||
        (pt->quick & pt_span(level)) == 0) {
        return false;
    }
    done = pt_find_4(pt, &at, first, level);
    slot = &at.table[pt_index(first, level)];
    page = pt_page(pt, &at);
    /* The last leaf of a table may take the table along. Without trim, the range would have to cover it. */
    done = done && (!pt->cfg.trim || pt_live(page) != 1) && pt_take_one(pt, slot, level, page, owing, g) != 0;
    if (done) {
        pt_count_leaves(page, 0u - 1u);
        r->removed += pt_span(level);
        r->complete = true;
        r->next = last + 1;
    }
    pt_end(pt, &at);
    return done;
}

/* Where a sweep stands, where it ends, and how many entries it may still clear. */
struct pt_sweep {
    uint64_t next, last;
    unsigned left;
};

/* Where the sweep ends in the table of this level: the table's last byte, or the range's. */
static PT_INLINE uint64_t pt_sweep_stop(unsigned level, const struct pt_sweep *s)
{
    uint64_t end = s->next | pt_table_mask(level);

    return end < s->last ? end : s->last;
}

/*
 * Leaves of the table at hand from s->next on: entries that lie in the range up to `stop` with all their bytes, as long as nothing else comes. False:
 * there was none, or the table has become empty and is to go.
 */
static PT_INLINE bool pt_sweep_leaves(struct pvi_pt *pt, const struct pvi_pt_at *at, unsigned level, uint64_t stop,
                                      struct pvi_pt_unmap *r, struct pt_sweep *s, struct pvi_gather *g)
{
    uint64_t first = s->next, mask = pt_table_mask(level);
    unsigned nr = (unsigned)((stop - first + 1) >> pt_shift(level));
    uint64_t *slot = &at->table[pt_index(first, level)];
    struct pvi_page *page = pt_page(pt, at);

    if (r->shared && pt_common(level)) {
        return false;
    }
    nr = nr < s->left ? nr : s->left;
    nr = nr == 1 ? pt_take_one(pt, slot, level, page, true, g) : pt_take_plain(pt, slot, level, nr);
    if (nr == 0) {
        return false;
    }
    pt_count_leaves(page, 0u - nr);
    pt_sync(pt, slot, nr);
    s->left -= nr;
    s->next = first + ((uint64_t)nr << pt_shift(level));
    if (pt_live(page) == 0) { /* pt_climb() would say no to all others */
        r->climb = pt->cfg.trim || ((first & ~mask) >= r->first && (first | mask) <= r->last);
        return !r->climb;
    }
    return true;
}

/* Does the range take a part only of the entry of this level? One condition, of both ends: a CPU guesses it better than two. */
static PT_INLINE bool pt_sweep_parts(unsigned level, const struct pt_sweep *s)
{
    return ((s->next & (pt_span(level) - 1)) | (uint64_t)(s->last - s->next < pt_span(level) - 1)) != 0;
}

/* A step in a table: leaves of it, or *into the table below it, which is to be swept and ended. False: neither. */
static PT_INLINE bool pt_sweep_step(struct pvi_pt *pt, const struct pvi_pt_at *at, unsigned level, uint64_t stop, struct pvi_pt_unmap *r,
                                    struct pt_sweep *s, struct pvi_gather *g, struct pvi_pt_at *below, bool *into)
{
    uint64_t link;

    *into = false;
    if (!pt_sweep_parts(level, s)) {
        return pt_sweep_leaves(pt, at, level, stop, r, s, g);
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
    uint64_t stop = pt_sweep_stop(1, s);
    struct pvi_pt_at below;
    bool on, into;

    do {
        on = pt_sweep_step(pt, at, 1, stop, r, s, g, &below, &into);
        if (into) {
            on = pt_sweep_leaves(pt, &below, 0, pt_sweep_stop(0, s), r, s, g);
            pt_end(pt, &below);
        }
    } while (on && s->next - 1 != stop);
    return on;
}

/* The same of level 2. */
static PT_INLINE void pt_sweep_2(struct pvi_pt *pt, const struct pvi_pt_at *at, struct pvi_pt_unmap *r, struct pt_sweep *s,
                                 struct pvi_gather *g)
{
    uint64_t stop = pt_sweep_stop(2, s);
    struct pvi_pt_at below;
    bool on, into;

    do {
        on = pt_sweep_step(pt, at, 2, stop, r, s, g, &below, &into);
        if (into) {
            on = pt_sweep_1(pt, &below, r, s, g);
            pt_end(pt, &below);
        }
    } while (on && s->next - 1 != stop);
}

/*
 * The way it mostly goes: leaves, one after the other, down into tables and up again, in one table of level 2. A root below that
 * level, and a table that the range covers whole and that goes unread, are left to pt_unmap_pass(). How many more entries may be cleared; all of them: nothing done.
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
    return s.left;
}

/* How far a call goes: one that is not alone, to the end of its gigabyte. */
static PT_INLINE uint64_t pt_unmap_last(const struct pvi_pt_unmap *r)
{
    bool far = r->shared && (r->last ^ r->next) >> PT_SHARED_LG2 != 0;

    return far ? r->next | (((uint64_t)1 << PT_SHARED_LG2) - 1) : r->last;
}

/* Takes note of what pt_sweep() has cleared from there on, table after table: one range. */
static PT_INLINE void pt_taken(struct pvi_pt *pt, struct pvi_context *ctx, uint64_t from, struct pvi_pt_unmap *r,
                               struct pvi_gather *g)
{
    if (r->next != from) {
        r->removed += r->next - from;
        r->complete = r->next - 1 == r->last;
        (void)pt_changed(pt, ctx, from, r->next - 1, g);
    }
}

static PT_NOINLINE int pt_unmap_more(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g)
{
    unsigned budget = PT_BUDGET, before;
    uint64_t last, from;
    int rc = 0, up;

    if (r->climb) {
        rc = pt_climb(pt, ctx, r, r->next - 1, g);
        if (rc != 0 || r->complete) {
            return rc;
        }
    }
    rc = pt_range(pt, r->next, r->last);
    if (rc != 0) {
        return rc;
    }
    last = pt_unmap_last(r);
    from = r->next;
    do {
        before = budget;
        budget = pt_sweep(pt, r, last, budget, g);
        if (budget == before) {
            pt_taken(pt, ctx, from, r, g);
            g->work.budget = budget;
            rc = pt_unmap_pass(pt, ctx, r, last, g);
            budget = g->work.budget;
            from = r->next;
        }
        if (r->climb) {
            up = pt_climb(pt, ctx, r, r->next - 1, g);
            rc = rc == 0 ? up : rc;
        }
    } while (r->next - 1 < last && rc == 0 && budget > 0 && !r->complete);
    pt_taken(pt, ctx, from, r, g);
    return rc == PT_CUT ? pt_cut(pt, ctx, g) : rc;
}

/* A page whose frame is owed. It walks again: what hands a frame over would have pt_unmap() save registers for those that owe none. */
static PT_NOINLINE int pt_unmap_owing(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g)
{
    if (pt_take_entry(pt, r, r->first, r->last, 0, true, g)) {
        return pt_changed(pt, ctx, r->first, r->last, g);
    }
    return pt_unmap_more(pt, ctx, r, g);
}

static int PVI_CALLBACK pt_unmap(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g)
{
    /* One by one: a compiler that loads both into a vector register has it wait for the caller's two stores. */
    uint64_t first = pvi_env_read64(&r->next), last = pvi_env_read64(&r->last), len = last - first;

    if (!r->climb && r->first == first) {
        if ((len == pt_span(0) - 1 && pt_take_entry(pt, r, first, last, 0, false, g)) ||
            (len == pt_span(1) - 1 && pt_take_entry(pt, r, first, last, 1, false, g)) ||
            (len == pt_span(2) - 1 && pt_take_entry(pt, r, first, last, 2, false, g))) {
            return pt_changed(pt, ctx, first, last, g);
        }
        if (len == pt_span(0) - 1) {
            return pt_unmap_owing(pt, ctx, r, g);
        }
    }
    return pt_unmap_more(pt, ctx, r, g);
}
