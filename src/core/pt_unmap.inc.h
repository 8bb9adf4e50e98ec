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

/* Clears a leaf in all of its entries. */
static PT_INLINE void pt_wipe(const struct pvi_pt *pt, uint64_t *slot, unsigned nr)
{
    unsigned i;

    if (!PT_REPEATS || nr == 1) {
        pvi_env_write64(pt->host, slot, 0);
        return;
    }
    for (i = 0; i < nr; i += 2) {
        pvi_env_write64(pt->host, &slot[i], 0);
        pvi_env_write64(pt->host, &slot[i + 1], 0);
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
        pt_wipe(pt, &at->table[i], n);
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
static PT_NOINLINE int pt_out(struct pvi_pt *pt, struct pvi_pt_unmap *r, uint64_t last, unsigned level, unsigned *budget,
                              struct pvi_gather *g)
{
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
        pt_count(page, level, 0u - out->live, 0u - out->links);
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
                                     unsigned *budget, struct pvi_gather *g)
{
    unsigned level = pt_covered(pt, r->next, last);
    uint64_t from = r->next;
    int rc;

    do {
        rc = pt_out(pt, r, last, level, budget, g);
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

/* Clears leaves that owe nothing from an entry on, as long as nothing else comes. How many entries. */
static PT_INLINE unsigned pt_take_plain(struct pvi_pt *pt, uint64_t *table, unsigned index, unsigned level, unsigned nr)
{
    uint64_t *s = &table[index], *end = s + nr;

    while (s != end) {
        uint64_t old = PT_REPEATS ? pvi_env_read64(s) : 0;
        unsigned n;

        if (PT_REPEATS && !pt_plain(old, level)) {
            n = pt_kind(old, level) == PT_LEAF && pt_owe(old, level) == PVI_OWE_NONE ? 1u << pt_order(old, level) : 0;
            if (n == 0 || (size_t)(end - s) < n || ((size_t)(s - table) & (n - 1)) != 0) {
                break;
            }
            pt_wipe(pt, s, n);
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
        if (!PT_REPEATS) {
            break;
        }
    }
    return (unsigned)(s - &table[index]);
}

/* The commonest of all: one leaf of one entry that owes nothing, to the end of the range. False: nothing done, or something is wrong. */
static PT_INLINE bool pt_take_entry(struct pvi_pt *pt, struct pvi_pt_unmap *r, uint64_t first, uint64_t last, unsigned level)
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
    done = done && pt_plain(pvi_env_read64(slot), level) && (!pt->cfg.trim || pt_live(page) != 1);
    if (done) {
        pvi_env_write64(pt->host, slot, 0);
        pt_count_leaves(page, 0u - 1u);
        r->removed += pt_span(level);
        r->complete = true;
        r->next = last + 1;
    }
    pt_end(pt, &at);
    return done;
}

/* Of the table at hand. */
static PT_INLINE unsigned pt_take_there(struct pvi_pt *pt, const struct pvi_pt_at *at, unsigned level, struct pvi_pt_unmap *r,
                                        uint64_t last, unsigned most, struct pvi_gather *g)
{
    uint64_t first = r->next, mask = pt_span(level) - 1, whole = (pt_span(level) << pt_bits(level)) - 1, many; /* whole: its reach */
    unsigned index = pt_index(first, level), nr = pt_entries(level) - index;
    struct pvi_page *page = pt_page(pt, at);
    uint64_t *slot = &at->table[index];

    if ((first & mask) != 0 || (r->shared && pt_common(level))) {
        return 0;
    }
    many = (last - first + 1) >> pt_shift(level); /* entries that lie wholly in the range; all addresses there are: none */
    nr = many < nr ? (unsigned)many : nr;
    if (nr == pt_entries(level)) {
        return 0; /* a whole table goes unread */
    }
    nr = nr < most ? nr : most;
    if (nr == 1) {
        nr = pt_take_one(pt, slot, level, page, g);
    } else if (nr != 0) {
        nr = pt_take_plain(pt, at->table, index, level, nr);
    }
    if (nr != 0) {
        pt_count_leaves(page, 0u - nr);
        pt_sync(pt, slot, nr);
        r->next = first + ((uint64_t)nr << pt_shift(level));
        if (pt_live(page) == 0) { /* pt_climb() would say no to all others */
            r->climb = pt->cfg.trim || ((first & ~whole) >= r->first && (first | whole) <= r->last);
        }
    }
    return nr;
}

/*
 * The way it mostly goes: leaves of one table, all bytes of them in the range, up to its end or the table's. How many entries
 * were cleared; 0: nothing done.
 */
static PT_INLINE unsigned pt_take_out(struct pvi_pt *pt, struct pvi_pt_unmap *r, uint64_t last, unsigned most,
                                      struct pvi_gather *g)
{
    struct pvi_pt_at at;
    unsigned nr;

    (void)pt_find(pt, &at, r->next, 0);
    nr = at.level == 0   ? pt_take_there(pt, &at, 0, r, last, most, g)
         : at.level == 1 ? pt_take_there(pt, &at, 1, r, last, most, g)
                         : pt_take_there(pt, &at, at.level, r, last, most, g);
    pt_end(pt, &at);
    return nr;
}

/* How far a call goes: one that is not alone, to the end of its gigabyte. */
static PT_INLINE uint64_t pt_unmap_last(const struct pvi_pt_unmap *r)
{
    bool far = r->shared && (r->last ^ r->next) >> PT_SHARED_LG2 != 0;

    return far ? r->next | (((uint64_t)1 << PT_SHARED_LG2) - 1) : r->last;
}

/* Takes note of what pt_take_out() has cleared from there on, table after table: one range. */
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
    unsigned budget = PT_BUDGET, nr;
    uint64_t last, from;
    int rc = 0, up;

    if (r->climb) {
        rc = pt_climb(pt, ctx, r, r->next - 1, g);
        if (rc != 0 || r->complete) {
            return rc;
        }
    }
    rc = pt_range(pt, r->next, r->last);
    last = pt_unmap_last(r);
    from = r->next;
    while (rc == 0 && budget > 0 && !r->complete && r->next <= last) {
        nr = pt_take_out(pt, r, last, budget, g);
        budget -= nr;
        if (nr == 0) {
            pt_taken(pt, ctx, from, r, g);
            rc = pt_unmap_pass(pt, ctx, r, last, &budget, g);
            from = r->next;
        }
        if (r->climb) {
            up = pt_climb(pt, ctx, r, r->next - 1, g);
            rc = rc == 0 ? up : rc;
        }
        if (r->next - 1 == last) {
            break;
        }
    }
    pt_taken(pt, ctx, from, r, g);
    return rc == PT_CUT ? pt_cut(pt, ctx, g) : rc;
}

static int PVI_CALLBACK pt_unmap(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g)
{
    /* One by one: a compiler that loads both into a vector register has it wait for the caller's two stores. */
    uint64_t first = pvi_env_read64(&r->next), last = pvi_env_read64(&r->last), len = last - first;

    if (!r->climb && r->first == first &&
        ((len == pt_span(0) - 1 && pt_take_entry(pt, r, first, last, 0)) ||
         (len == pt_span(1) - 1 && pt_take_entry(pt, r, first, last, 1)) ||
         (len == pt_span(2) - 1 && pt_take_entry(pt, r, first, last, 2)))) {
        return pt_changed(pt, ctx, first, last, g);
    }
    return pt_unmap_more(pt, ctx, r, g);
}
