/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: empty tables where a large leaf is to go. */

/* Is it a link to a table that holds nothing? */
static PT_NOINLINE bool pt_hollow(const struct pvi_pt *pt, uint64_t entry, unsigned level)
{
    return pt_kind(entry, level) == PT_TABLE && pt_child(pt, entry, level)->live == 0;
}

/*
 * Of a table of links and those below it: the first from which an empty one hangs. *iova is its first byte. NULL: there is none, or
 * something is mapped.
 */
static PT_NOINLINE struct pvi_page *pt_barren(const struct pvi_pt *pt, struct pvi_page *page, uint64_t *iova)
{
    while (page && page->live == page->links) {
        uint64_t *table = pvi_env_map(pt->host, page->pa), below = 0;
        unsigned level = page->level, i;
        struct pvi_page *next = NULL;
        bool found = false;

        for (i = 0; i < pt_entries(level) && !found; i++) {
            uint64_t entry = pvi_env_read64(&table[i]);

            found = pt_hollow(pt, entry, level);
            if (!next && pt_kind(entry, level) == PT_TABLE) {
                next = pt_child(pt, entry, level);
                below = *iova + ((uint64_t)i << pt_shift(level));
            }
        }
        pvi_env_unmap(pt->host, table);
        if (found) {
            return page;
        }
        page = next;
        *iova = below;
    }
    return NULL;
}

/* May a large leaf find room where this entry is, once empty tables are out of the way? */
static PT_NOINLINE bool pt_clearable(const struct pvi_pt *pt, uint64_t entry, unsigned level)
{
    uint64_t unused = 0;

    return pt_kind(entry, level) == PT_TABLE &&
           (pt_hollow(pt, entry, level) || pt_barren(pt, pt_child(pt, entry, level), &unused));
}

/* Below a table of links whose first byte is iova: unlinks empty ones that hang from one table. True: there were some. */
static PT_NOINLINE bool pt_prune(struct pvi_pt *pt, struct pvi_context *ctx, struct pvi_page *page, uint64_t iova,
                     struct pvi_gather *g)
{
    uint64_t *slot, *end;
    struct pvi_pt_at at;

    page = pt_barren(pt, page, &iova);
    if (!page) {
        return false;
    }
    pt_begin_at(pt, &at, page->pa.a, page->level);
    slot = at.table;
    end = slot + pt_entries(at.level);
    for (; slot < end; slot++, iova += pt_span(at.level)) {
        if (pt_hollow(pt, pvi_env_read64(slot), at.level)) {
            pt_unlink(pt, ctx, &at, slot, pt_child(pt, pvi_env_read64(slot), at.level), iova, g);
        }
    }
    pt_end(pt, &at);
    return true;
}

/*
 * Large leaves are to go where tables are: those that hold nothing are unlinked, which is this slice's work. True: it
 * was done. False: something is below the first of them; if that is nothing but tables, which may be empty, *rest is set to it.
 */
static PT_NOINLINE bool pt_clear_way(struct pvi_pt *pt, struct pvi_context *ctx, const struct pvi_pt_at *at, uint64_t iova, unsigned nr,
                         struct pvi_gather *g, struct pvi_page **rest)
{
    unsigned first = pt_index(iova, at->level), i;

    for (i = 0; i < nr; i++, iova += pt_span(at->level)) {
        uint64_t *slot = &at->table[first + i], entry = pvi_env_read64(slot);
        struct pvi_page *child;

        if (pt_kind(entry, at->level) != PT_TABLE) {
            break;
        }
        child = pt_child(pt, entry, at->level);
        if (child->live != 0) {
            if (i == 0 && child->live == child->links) {
                *rest = child;
            }
            return i != 0;
        }
        pt_unlink(pt, ctx, at, slot, child, iova, g);
    }
    return true;
}
