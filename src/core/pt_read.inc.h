/* SPDX-License-Identifier: MIT */
/* Part of pt_engine.inc.h: lookup, scan, what an unlinked table owes. */

/* Lookups that begin anew this often because pages came back to the pool say so. */
#define PT_TRIES 64u

/* Pages came back to the pool meanwhile: begin anew. */
#define PT_STALE 1

static PT_INLINE void pt_answer(uint64_t entry, uint64_t iova, unsigned level, unsigned order, struct pvi_pt_leaf *out)
{
    unsigned lg2 = pt_shift(level) + order;

    out->pa = pt_leaf_pa(entry, level) | (iova & (((uint64_t)1 << lg2) - 1));
    out->lg2 = (uint8_t)lg2;
    out->prot = (uint8_t)pt_prot(entry, level);
    out->owe = (uint8_t)pt_owe(entry, level);
}

/* Not in line: the answer for single leaves of the last level, the commonest, would share its stores, and jump there. */
static PT_NOINLINE void pt_answer_other(uint64_t entry, uint64_t iova, unsigned level, struct pvi_pt_leaf *out)
{
    pt_answer(entry, iova, level, pt_order(entry, level), out);
}

/*
 * One level: true with the next table mapped, or how the lookup ends in *rc. What was read is believed only if no page
 * of this table's share has come back to the pool since the walk began: the one just read may have been among them, and
 * hold anything by now. One that comes back later held this entry when it was read.
 */
static PT_INLINE bool pt_look_step(struct pvi_host *host, uint64_t **table, uint64_t iova, unsigned level, bool ours,
                                   const uint64_t *now, uint64_t generation, struct pvi_pt_leaf *out, int *rc)
{
    uint64_t entry = pvi_env_read64(&(*table)[pt_index(iova, level)]);
    bool stale = __builtin_expect(pvi_env_read64(now) != generation, 0);
    pvi_pa pa;

    pvi_env_unmap(host, *table);
    if (stale) {
        *rc = PT_STALE;
        return false;
    }
    if (level != 0 && (ours ? pt_links(entry, level) : pt_kind(entry, level) == PT_TABLE)) {
        pa.a = pt_table_pa(entry, level);
        *table = pvi_env_map(host, pa);
        return true;
    }
    *rc = 0;
    if (level == 0 && __builtin_expect(pt_single(entry, 0), 1)) {
        pt_answer(entry, iova, 0, 0, out);
    } else if (pt_kind(entry, level) == PT_LEAF) {
        pt_answer_other(entry, iova, level, out);
    } else {
        *rc = -PVI_ENOENT;
    }
    return false;
}

/* Of a table of four levels shifts and masks are constants. */
static PT_INLINE int pt_look(const struct pvi_pt *pt, uint64_t iova, bool four, struct pvi_pt_leaf *out)
{
    const uint64_t *now = &pt->quota->generation;
    struct pvi_host *host = pt->host;
    uint64_t generation = pvi_env_read64(now);
    unsigned level;
    uint64_t *table;
    pvi_pa pa;
    int rc = 0;

    pa.a = pvi_env_read64(&pt->root_pa.a);
    if (pa.a == 0) {
        return -PVI_ENOENT;
    }
    table = pvi_env_map(host, pa);
    if (four) {
        (void)(pt_look_step(host, &table, iova, 3, true, now, generation, out, &rc) &&
               pt_look_step(host, &table, iova, 2, true, now, generation, out, &rc) &&
               pt_look_step(host, &table, iova, 1, true, now, generation, out, &rc) &&
               pt_look_step(host, &table, iova, 0, true, now, generation, out, &rc));
    } else {
        for (level = pt->cfg.levels - 1u; pt_look_step(host, &table, iova, level, false, now, generation, out, &rc); level--) {
        }
    }
    return rc;
}

/* Tables of any height, those of a host among them, and lookups that begin anew. */
static PT_NOINLINE int pt_look_any(const struct pvi_pt *pt, uint64_t iova, struct pvi_pt_leaf *out)
{
    unsigned tries;
    int rc = PT_STALE;

    for (tries = 0; tries < PT_TRIES && rc == PT_STALE; tries++) {
        rc = pt_look(pt, iova, false, out);
    }
    return rc == PT_STALE ? -PVI_EBUSY : rc;
}

static int PVI_CALLBACK pt_lookup(const struct pvi_pt *pt, uint64_t iova, struct pvi_pt_leaf *out)
{
    int rc = PT_STALE;

    if (__builtin_expect(iova < pt->four_end, 1)) {
        rc = pt_look(pt, iova, true, out);
    } else if (iova > pt->table_last) {
        return -PVI_ENOENT;
    }
    return rc != PT_STALE ? rc : pt_look_any(pt, iova, out);
}

/* --- scan ------------------------------------------------------------------------------------------- */

/* Adds a leaf's part in the range to the run; false: it does not continue it, or the run ends before it. */
static bool pt_run_add(struct pvi_pt_scan *r, uint64_t first, uint64_t last, uint64_t pa, unsigned prot, unsigned owe)
{
    if (r->run.len == 0) {
        r->run.iova = first;
        r->run.pa = pa;
        r->run.prot = (uint8_t)prot;
        r->run.owe = (uint8_t)owe;
    } else if (r->run.iova + r->run.len != first || r->run.pa + r->run.len != pa || r->run.prot != prot ||
               r->run.owe != owe) {
        return false;
    }
    r->run.len += last - first + 1;
    return true;
}

/* One table's entries from r->next on. True: the run has ended, or the range. */
static bool pt_scan_table(struct pvi_pt_at *at, struct pvi_pt_scan *r, unsigned *budget)
{
    unsigned level = at->level, i = pt_index(r->next, level);
    uint64_t begin = (r->next & ~(pt_span(level) - 1)) - ((uint64_t)i << pt_shift(level));

    while (i < pt_entries(level) && *budget > 0) {
        uint64_t entry = pvi_env_read64(&at->table[i]), first, last, from;
        enum pt_kind kind = pt_kind(entry, level);
        unsigned order = kind == PT_LEAF ? pt_order(entry, level) : 0, nr = 1u << order;

        if (kind == PT_TABLE) {
            return false;
        }
        first = begin + ((uint64_t)(i & ~(nr - 1)) << pt_shift(level));
        last = first + ((pt_span(level) << order) - 1);
        if (kind == PT_EMPTY && r->run.len != 0) {
            return true;
        }
        if (kind == PT_LEAF) {
            from = first > r->next ? first : r->next;
            if (!pt_run_add(r, from, last < r->last ? last : r->last, pt_leaf_pa(entry, level) + (from - first),
                            pt_prot(entry, level), pt_owe(entry, level))) {
                return true;
            }
            r->leaves[pt_shift(level) + order] += first >= r->first;
        }
        (*budget)--;
        r->complete = pt_pass(&r->next, r->last, last);
        if (r->complete) {
            return true;
        }
        i = (i & ~(nr - 1)) + nr;
    }
    return false;
}

static int PVI_CALLBACK pt_scan(const struct pvi_pt *pt, struct pvi_pt_scan *r)
{
    unsigned budget = PT_BUDGET;
    int rc = pt_range(pt, r->next, r->last);
    bool ended = false;

    r->run.len = 0;
    while (rc == 0 && !ended && budget > 0) {
        struct pvi_pt_at at;

        pt_begin(pt, &at);
        (void)pt_down(pt, &at, r->next, 0);
        ended = pt_scan_table(&at, r, &budget);
        pt_end(pt, &at);
    }
    return rc;
}

/* --- owed ------------------------------------------------------------------------------------------- */

/* Up to where do entries have the value that comes next, in the bits of `mask`? The table is out of hardware's reach: nobody changes it. */
static PT_INLINE unsigned pt_run_end(const uint64_t *table, unsigned i, unsigned end, uint64_t next, uint64_t step, uint64_t mask)
{
    for (; i + 4 <= end; i += 4, next += 4 * step) {
        uint64_t differ = (table[i] ^ next) | (table[i + 1] ^ (next + step)) | (table[i + 2] ^ (next + 2 * step)) |
                          (table[i + 3] ^ (next + 3 * step));

        if ((differ & mask) != 0) {
            break;
        }
    }
    for (; i < end && ((table[i] ^ next) & mask) == 0; i++) {
        next += step;
    }
    return i;
}

static int PVI_CALLBACK pt_owed(struct pvi_host *h, const struct pvi_page *page, unsigned *from, struct pvi_frames *run)
{
    unsigned level = page->level, i = *from, nr = pt_entries(level), order;
    uint64_t *table = pvi_env_map(h, page->pa), entry = 0, next, frames = 0;
    const uint64_t touched = pt_touched(level), step = pt_leaf_step(level);

    for (; i < nr; i++) {
        entry = pvi_env_read64(&table[i]);
        if (pt_kind(entry, level) == PT_LEAF && pt_owe(entry, level) != PVI_OWE_NONE) {
            break;
        }
    }
    if (i < nr) {
        run->pa.a = pt_leaf_pa(entry, level);
        run->owe = (uint8_t)pt_owe(entry, level);
        /* A leaf that continues the one before has its value plus a step, but for what hardware noted. */
        do {
            unsigned first = i, end;
            uint64_t left;

            order = pt_order(entry, level);
            i += 1u << order;
            next = (entry & ~touched) + step;
            /* The last frame that an entry can name has no next: adding the step would carry into other bits. */
            left = (((uint64_t)1 << 52) - pt_leaf_pa(entry, level)) >> pt_shift(level);
            end = left < nr - first ? first + (unsigned)left : nr;
            i = order == 0 ? pt_run_end(table, i, end, next, step, ~touched) : i;
            frames += (uint64_t)(i - first) << pt_shift(level) >> PVI_PAGE_LG2;
            entry = i < nr ? pvi_env_read64(&table[i]) : 0;
        } while (i < nr && pt_kind(entry, level) == PT_LEAF && pt_owe(entry, level) == run->owe &&
                 pt_leaf_pa(entry, level) == run->pa.a + (frames << PVI_PAGE_LG2));
    }
    run->nr = frames;
    *from = i;
    pvi_env_unmap(h, table);
    return frames != 0;
}
