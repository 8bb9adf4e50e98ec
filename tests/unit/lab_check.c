/* SPDX-License-Identifier: MIT */
/* What a lab checks: the table against the flat model, the gather against what changed. */
#include "lab_internal.h"

#include <stdlib.h>
#include <string.h>

static struct hwm_mem memory_of(struct lab *r, struct pvi_posix_view *view)
{
    struct hwm_mem mem = {
        .opaque = view,
        .read64 = pvi_posix_hw_read64,
        .read32 = pvi_posix_hw_read32,
        .valid = pvi_posix_hw_valid,
    };

    memset(view, 0, sizeof(*view));
    view->host = r->host;
    view->coherent = !r->cfg.incoherent;
    return mem;
}

/* --- the table ------------------------------------------------------------------------------------ */

struct reading {
    struct lab *r;
    struct flat *flat;
    struct lab_set *set;
    struct lab_leaf *leaf;
    size_t nr_leaves, room;
    struct lab_table *table;
    size_t nr_tables;
    uint32_t empty;
    uint32_t owing[PVI_MAX_LEVELS]; /* entries of the table that is being read, by level */
};

/* Bits that are set beforehand: access for users, A, and D where writes are allowed and not noted (hwspec 3.2). */
static void read_preset(const struct lab *r, const struct hwm_leaf *leaf)
{
    if (r->cfg.f->d_preset) {
        CHECK(leaf->user && leaf->accessed);
        CHECK(r->cfg.dirty || leaf->dirty == leaf->w);
    } else if (!r->cfg.dirty) {
        CHECK(!leaf->accessed && !leaf->dirty);
    }
}

static void read_leaf(void *ctx, const struct hwm_leaf *leaf)
{
    struct reading *rd = ctx;
    const struct lab_format *f = rd->r->cfg.f;
    struct lab_leaf l = {
        .iova = leaf->iova, .pa = leaf->pa, .raw = leaf->entry, .entry_pa = leaf->entry_pa, .lg2 = (uint8_t)leaf->lg2,
        .level = (uint8_t)(leaf->level - 1),
        .prot = (uint8_t)((leaf->r ? PVI_READ : 0u) | (leaf->w ? PVI_WRITE : 0u)),
        .owe = (uint8_t)f->owe(leaf->entry, leaf->level - 1),
        .dirty = rd->r->cfg.dirty && leaf->dirty,
    };

    if (rd->nr_leaves < rd->room) {
        rd->leaf[rd->nr_leaves] = l;
    }
    rd->nr_leaves++;
    if (rd->set) {
        lab_set_append(rd->set, &l);
    }
    if (rd->flat) {
        CHECK(flat_map(rd->flat, leaf->iova >> 12, 1ull << (leaf->lg2 - 12), leaf->pa, l.prot, 0));
    }
    CHECK((rd->r->usable >> leaf->lg2 & 1) != 0); /* a size that must not be used */
    CHECK(lab_leaf_last(&l) <= rd->r->last);
    read_preset(rd->r, leaf);
    rd->owing[l.level] += l.owe != PVI_OWE_NONE ? 1u << (l.lg2 - f->shift[l.level]) : 0;
}

/* The page's record says what the page holds. */
static void read_table(void *ctx, const struct hwm_table *t)
{
    struct reading *rd = ctx;
    pvi_pa pa = {t->pa};
    const struct pvi_page *page = pvi_env_page(rd->r->host, pa);

    CHECK(page);
    CHECK_EQ(page->pool, &rd->r->pool);
    CHECK_EQ(page->state, PVI_PAGE_TABLE);
    CHECK_EQ(page->level, t->level - 1);
    CHECK_EQ(page->live, t->nr_leaves + t->nr_tables);
    CHECK_EQ(page->links, t->nr_tables);
    CHECK_EQ(page->owing, rd->owing[t->level - 1]);
    rd->owing[t->level - 1] = 0;
    CHECK_EQ(t->nr_stray, 0);
    rd->empty += !t->root && t->nr_leaves + t->nr_tables == 0;
    CHECK(rd->nr_tables < LAB_MAX_TABLES);
    if (rd->table) {
        rd->table[rd->nr_tables] = (struct lab_table){t->pa, t->iova, t->level - 1};
    }
    rd->nr_tables++;
}

static void read_all(struct lab *r, struct reading *rd)
{
    struct pvi_posix_view view;
    struct hwm_mem mem = memory_of(r, &view);
    struct hwm_visitor v = {.ctx = rd, .leaf = read_leaf, .table = read_table};
    struct hwm_visit out;

    rd->r = r;
    if (!r->cfg.f->visit(&mem, r->pt.root->pa.a, r->cfg.levels, &v, &out)) {
        check_step("iova 0x%llx entry 0x%llx: %s", (unsigned long long)out.first_bad.iova,
                   (unsigned long long)out.first_bad.entry, out.first_bad.why ? out.first_bad.why : "bad");
        CHECK(!"the walker accepts the table");
    }
    CHECK_EQ(out.stray, 0);
}

/* A leaf that was mapped later may reach over an end of the stretch: then all of it counts. */
static void widen(const struct lab_set *s, uint64_t *first, uint64_t *last)
{
    const struct lab_leaf *a = lab_set_at(s, *first), *b = lab_set_at(s, *last);

    *first = a ? a->iova : *first;
    *last = b ? lab_leaf_last(b) : *last;
}

/* Leaves whose sizes were the engine's choice are as they are found; the others must be as predicted. */
static void adopt(struct lab *r, const struct lab_set *found)
{
    struct lab_set known;
    size_t i, j;

    if (!r->adopt && r->adopt_first > r->adopt_last) {
        return;
    }
    lab_set_init(&known, r->usable);
    if (r->adopt) {
        lab_set_copy(&known, found);
    } else {
        for (i = 0; i < 4; i++) {
            widen(i % 2 == 0 ? found : &r->leaves, &r->adopt_first, &r->adopt_last);
        }
        for (i = 0; i < r->leaves.nr && r->leaves.leaf[i].iova < r->adopt_first; i++) {
            lab_set_append(&known, &r->leaves.leaf[i]);
        }
        for (j = lab_set_find(found, r->adopt_first); j < found->nr && found->leaf[j].iova <= r->adopt_last; j++) {
            lab_set_append(&known, &found->leaf[j]);
        }
        for (; i < r->leaves.nr; i++) {
            if (r->leaves.leaf[i].iova > r->adopt_last) {
                lab_set_append(&known, &r->leaves.leaf[i]);
            }
        }
    }
    lab_set_copy(&r->leaves, &known);
    lab_set_fini(&known);
    r->adopt = false;
    r->adopt_first = 1;
    r->adopt_last = 0;
}

/*
 * Leaf by leaf. A leaf whose size was changed may be noted as written though it was not, where the engine could not be
 * sure; never the other way round.
 */
static void compare_leaves(struct lab *r, const struct lab_set *found)
{
    for (size_t i = 0; i < found->nr && i < r->leaves.nr; i++) {
        const struct lab_leaf *got = &found->leaf[i];
        struct lab_leaf *want = &r->leaves.leaf[i];
        bool alike = got->iova == want->iova && got->lg2 == want->lg2 && got->pa == want->pa && got->prot == want->prot &&
                     got->owe == want->owe && got->level == lab_level(r, 1ull << got->lg2);

        if (!alike || (got->dirty != want->dirty && !(got->dirty && want->changed))) {
            check_step("leaf at 0x%llx of 2^%u bytes, pa 0x%llx prot %u owe %u written %d; predicted at 0x%llx of 2^%u bytes, "
                       "pa 0x%llx prot %u owe %u written %d",
                       (unsigned long long)got->iova, got->lg2, (unsigned long long)got->pa, got->prot, got->owe, got->dirty,
                       (unsigned long long)want->iova, want->lg2, (unsigned long long)want->pa, want->prot, want->owe,
                       want->dirty);
            CHECK(!"the leaves are those predicted");
        }
        want->dirty = got->dirty;
    }
    CHECK_EQ(found->nr, r->leaves.nr);
}

void lab_check(struct lab *r)
{
    struct reading rd = {.flat = flat_new()};
    struct lab_set found;
    uint64_t differs = 0;

    lab_set_init(&found, r->usable);
    rd.set = &found;
    read_all(r, &rd);
    if (!flat_equal(r->now, rd.flat, FLAT_ANY_TAG, &differs)) {
        check_step("page 0x%llx differs", (unsigned long long)differs);
        CHECK(!"the table translates as the model says");
    }
    adopt(r, &found);
    compare_leaves(r, &found);
    if (pvi_gather_empty(&r->gather)) {
        CHECK_EQ(rd.nr_tables, r->quota.used); /* nothing is untracked (R12) */
    }
    CHECK_EQ(r->pool.nr_pages - r->pool.nr_free, r->quota.used);
    CHECK(!r->cfg.trim || rd.empty == 0);
    flat_free(rd.flat);
    lab_set_fini(&found);
}

size_t lab_leaves(struct lab *r, struct lab_leaf *out, size_t nr)
{
    struct reading rd = {.leaf = out, .room = nr};

    read_all(r, &rd);
    return rd.nr_leaves;
}

uint32_t lab_needed(struct lab *r)
{
    static struct lab_leaf leaf[LAB_MAX_LEAVES];
    size_t nr = lab_leaves(r, leaf, LAB_MAX_LEAVES);
    uint32_t needed = 1;

    CHECK(nr <= LAB_MAX_LEAVES);
    for (unsigned level = 0; level + 1 < r->cfg.levels; level++) {
        unsigned span = r->cfg.f->shift[level + 1]; /* of one table of this level */
        uint64_t seen = UINT64_MAX;

        for (size_t i = 0; i < nr; i++) {
            if (leaf[i].lg2 < span && leaf[i].iova >> span != seen) {
                seen = leaf[i].iova >> span;
                needed++;
            }
        }
    }
    return needed;
}

uint64_t lab_entry(struct lab *r, uint64_t iova, unsigned level, uint64_t *table)
{
    struct lab_table *t = calloc(LAB_MAX_TABLES, sizeof(*t));
    struct reading rd = {.table = t};
    uint64_t at = 0;

    CHECK(t);
    read_all(r, &rd);
    for (size_t i = 0; i < rd.nr_tables; i++) {
        unsigned span = r->cfg.f->shift[level] + r->cfg.f->bits[level];

        if (t[i].level == level && (span >= 64 || t[i].iova >> span == iova >> span)) {
            at = t[i].pa;
        }
    }
    free(t);
    if (table) {
        *table = at;
    }
    CHECK(at != 0);
    at += (iova >> r->cfg.f->shift[level] & ((1u << r->cfg.f->bits[level]) - 1)) * 8;
    return pvi_env_read64(pvi_posix_ptr(r->host, at, 8));
}

/* --- the flush ------------------------------------------------------------------------------------ */

static int by_address(const void *a, const void *b)
{
    const struct lab_table *x = a, *y = b;

    return x->pa < y->pa ? -1 : x->pa > y->pa;
}

void lab_snapshot(struct lab *r)
{
    struct reading rd = {.table = r->tables, .set = &r->was};

    lab_set_clear(&r->was);
    read_all(r, &rd);
    r->nr_tables = rd.nr_tables;
    qsort(r->tables, r->nr_tables, sizeof(*r->tables), by_address);
    flat_free(r->flushed);
    r->flushed = flat_copy(r->now);
}

/* Is every byte of [first, last] in some range? Removals are not covered by ranges of additions. */
bool lab_covered(const struct lab *r, uint64_t first, uint64_t last, bool removal)
{
    for (;;) {
        const struct pvi_gather_range *best = NULL;

        for (uint32_t i = 0; i < r->gather.nr_ranges; i++) {
            const struct pvi_gather_range *g = &r->gather.range[i];

            if ((g->whole || (g->first <= first && first <= g->last)) && !(removal && g->added) &&
                (!best || g->last > best->last)) {
                best = g;
            }
        }
        if (!best) {
            return false;
        }
        if (best->whole || best->last >= last) {
            return true;
        }
        first = best->last + 1;
    }
}

/* The next stretch of pages from pfn on that a flat maps in one way, or does not map. */
static uint64_t stretch(const struct flat *f, uint64_t pfn, bool *mapped, uint64_t *pa, uint32_t *perm)
{
    struct flat_run run;

    *mapped = false;
    *pa = 0;
    *perm = 0;
    if (!flat_next(f, pfn, &run)) {
        return (1ull << 52) - 1;
    }
    if (run.first > pfn) {
        return run.first - 1;
    }
    *mapped = true;
    *pa = run.pa + ((pfn - run.first) << 12);
    *perm = run.perm;
    return run.last;
}

/* All that changed since the last flush is in the gather (R5, R6, R20). */
static void check_changes(struct lab *r)
{
    uint64_t pfn = 0, end;

    for (;; pfn = end + 1) {
        bool was, is;
        uint64_t was_pa, is_pa;
        uint32_t was_perm, is_perm;
        uint64_t a = stretch(r->flushed, pfn, &was, &was_pa, &was_perm);
        uint64_t b = stretch(r->now, pfn, &is, &is_pa, &is_perm);

        end = a < b ? a : b;
        if (was != is || was_pa != is_pa || was_perm != is_perm) {
            if (!lab_covered(r, pfn << 12, end << 12 | 0xfff, was)) {
                check_step("pages 0x%llx to 0x%llx changed", (unsigned long long)pfn, (unsigned long long)end);
                CHECK(!"the gather covers what changed");
            }
        }
        if (end == (1ull << 52) - 1) {
            break;
        }
    }
}

/* A leaf that is no more what it was may be cached whole: all of it must go (hwspec 4.2, 6.9). */
static void check_leaves(struct lab *r, const struct lab_set *found)
{
    for (size_t i = 0; i < r->was.nr; i++) {
        const struct lab_leaf *was = &r->was.leaf[i], *is = lab_set_at(found, was->iova);

        if (!is || is->iova != was->iova || is->lg2 != was->lg2 || is->pa != was->pa || is->prot != was->prot) {
            if (!lab_covered(r, was->iova, lab_leaf_last(was), true)) {
                check_step("leaf at 0x%llx of 2^%u bytes is another", (unsigned long long)was->iova, was->lg2);
                CHECK(!"the gather covers a leaf that is another");
            }
        }
    }
}

/*
 * A leaf that is another must go; a table that is gone needs an invalidation of cached tables somewhere in what it
 * translated (R4).
 */
static void check_tables(struct lab *r)
{
    struct lab_table *now = calloc(LAB_MAX_TABLES, sizeof(*now));
    struct lab_set found;
    struct reading rd = {.table = now, .set = &found};

    CHECK(now);
    lab_set_init(&found, r->usable);
    read_all(r, &rd);
    check_leaves(r, &found);
    lab_set_fini(&found);
    qsort(now, rd.nr_tables, sizeof(*now), by_address);
    for (size_t i = 0, j = 0; i < r->nr_tables; i++) {
        const struct lab_table *t = &r->tables[i];
        unsigned bits = r->cfg.f->shift[t->level] + r->cfg.f->bits[t->level];
        uint64_t last = bits >= 64 ? UINT64_MAX : t->iova + ((1ull << bits) - 1);
        bool told = false;

        for (; j < rd.nr_tables && now[j].pa < t->pa; j++) {
        }
        if (j < rd.nr_tables && now[j].pa == t->pa) {
            CHECK(now[j].iova == t->iova && now[j].level == t->level); /* nothing is reused before the flush */
            continue;
        }
        for (uint32_t k = 0; k < r->gather.nr_ranges; k++) {
            const struct pvi_gather_range *g = &r->gather.range[k];

            told |= g->tables && !g->added && (g->whole || (g->first <= last && t->iova <= g->last));
        }
        if (!told) {
            check_step("table at 0x%llx, level %u", (unsigned long long)t->iova, t->level);
            CHECK(!"the gather covers a table that is gone");
        }
    }
    free(now);
}

/* Tells the unit what the gather says, in aligned blocks. */
static void invalidate(struct lab *r)
{
    for (uint32_t i = 0; i < r->gather.nr_ranges; i++) {
        const struct pvi_gather_range *g = &r->gather.range[i];
        struct pvi_inv inv = {.kind = PVI_INV_DOMAIN, .did = LAB_DID};
        uint64_t at = g->first;

        if (g->whole || g->last - g->first >= 1ull << 62) {
            CHECK_EQ(pvi_host_inv_submit(r->host, &r->unit.unit, &inv, 1), 0);
            continue;
        }
        for (;;) {
            uint8_t lg2 = 12;

            while ((at & ((2ull << lg2) - 1)) == 0 && g->last - at >= (2ull << lg2) - 1) {
                lg2++;
            }
            inv = (struct pvi_inv){.kind = PVI_INV_PAGES, .did = LAB_DID, .iova = at, .lg2 = lg2};
            inv.leaf_only = !g->tables && !g->added;
            CHECK_EQ(pvi_host_inv_submit(r->host, &r->unit.unit, &inv, 1), 0);
            if (g->last - at <= (1ull << lg2) - 1) {
                break;
            }
            at += 1ull << lg2;
        }
    }
    CHECK_EQ(pvi_host_inv_wait(r->host, &r->unit.unit), 0);
}

void lab_flush(struct lab *r)
{
    check_changes(r);
    check_tables(r);
    invalidate(r);
    CHECK_EQ(pvi_gather_flush(&r->gather), 0);
    CHECK(pvi_gather_empty(&r->gather));
    pvi_posix_checkpoint(r->host);
    lab_snapshot(r);
}
