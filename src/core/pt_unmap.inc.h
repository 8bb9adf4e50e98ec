/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: unmap, with all that may be in the way. */

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

/* Frames that leaves owe, and how, as long as each continues the last: they go to the gather in one go. */
struct pt_debt {
    uint64_t pa_owe, nr;
};

static PT_INLINE void pt_debt_pay(struct pt_debt *d, struct pvi_gather *g)
{
    if (d->nr != 0) {
        pvi_gather_frames(g, d->pa_owe & ~PVI_PAGE_MASK, d->nr, (uint8_t)(d->pa_owe & PVI_PAGE_MASK));
        d->nr = 0;
    }
}

/* Adds what a leaf owes. False: no room. */
static PT_INLINE bool pt_debt_add(struct pvi_pt *pt, struct pt_debt *d, uint64_t pa_owe, uint64_t frames, struct pvi_gather *g)
{
    if (d->nr != 0 && d->pa_owe + (d->nr << PVI_PAGE_LG2) == pa_owe && g->nr_frames + d->nr + frames <= PVI_GATHER_FRAMES) {
        d->nr += frames;
        return true;
    }
    pt_debt_pay(d, g);
    if (!pvi_gather_room(g, pt->pool, pt->quota, frames)) {
        return false;
    }
    d->pa_owe = pa_owe;
    d->nr = frames;
    return true;
}

/* Removes leaves up to entry `end`, as long as nothing else comes: 0, or -PVI_EBUSY. */
static int pt_out_leaves(struct pvi_pt *pt, struct pvi_pt_at *at, struct pvi_pt_out *out, unsigned end, struct pvi_gather *g)
{
    unsigned level = at->level, i = out->at, owing = 0, n;
    struct pt_debt debt = {0, 0};
    uint64_t *table = at->table;
    int rc = 0;

    while (i < end) {
        uint64_t old = pvi_env_read64(&table[i]);

        if (pt_kind(old, level) != PT_LEAF) {
            break;
        }
        n = 1u << pt_order(old, level);
        if (PT_REPEATS && ((i & (n - 1)) != 0 || i + n > out->to)) {
            break; /* only a part of it */
        }
        if (pt_owe(old, level) != PVI_OWE_NONE) {
            if (!pt_debt_add(pt, &debt, pt_leaf_pa(old, level) | pt_owe(old, level), (uint64_t)n << (pt_shift(level) - PVI_PAGE_LG2), g)) {
                rc = -PVI_EBUSY;
                break;
            }
            owing += n;
        }
        if (!PT_REPEATS || n == 1) {
            pvi_env_write64(pt->host, &table[i], 0);
        } else {
            pt_wipe_group(pt, &table[i], n);
        }
        i += n;
    }
    pt_debt_pay(&debt, g);
    out->owing += owing;
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

/* One entry of the last level that is no plain leaf; mostly it owes its frame. In line, pt_unmap() would save registers for all others, too. */
static PT_NOINLINE int pt_unmap_owing(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g,
                                      struct pvi_page *page, uint64_t *table)
{
    struct pvi_pt_at at = {table, page->pa, 0};

    if (pt_take_debt(pt, pvi_env_read64(&table[pt_index(r->first, 0)]), 0, page, g)) {
        return pt_take_it(pt, ctx, r, r->first, r->last, 0, &at, g);
    }
    pt_end(pt, &at);
    return pt_unmap_more(pt, ctx, r, g);
}

static int PVI_CALLBACK pt_unmap(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g)
{
    /* One by one: a compiler that loads both into a vector register has it wait for the caller's two stores. */
    uint64_t first = pvi_env_read64(&r->next), last = pvi_env_read64(&r->last);
    struct pvi_pt_at at;
    int rc;

    if (!r->climb && r->first == first) {
        if (pt_one(pt, r, first, last, 0, &at)) {
            return pt_plain(pvi_env_read64(&at.table[pt_index(first, 0)]), 0)
                       ? pt_take_it(pt, ctx, r, first, last, 0, &at, g)
                       : pt_unmap_owing(pt, ctx, r, g, pt_page(pt, &at), at.table);
        }
        if (pt_take_plain_one(pt, ctx, r, first, last, 1, g, &rc) || pt_take_plain_one(pt, ctx, r, first, last, 2, g, &rc)) {
            return rc;
        }
    }
    return pt_unmap_more(pt, ctx, r, g);
}
