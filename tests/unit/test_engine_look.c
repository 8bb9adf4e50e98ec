/* SPDX-License-Identifier: MIT */
/* The page-table engine, in every format and depth: what devices wrote, walks over a range, lookups. */
#include "lab.h"

/* --- what devices wrote -------------------------------------------------------------------------------- */

/* Any one of the entries that a leaf is repeated in is enough, for all of its pages; a clear cleans all of them. */
static void one_replica(struct lab *r)
{
    for (unsigned s = 0; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), iova = r->last >= 2 * size - 1 ? size : 0;
        unsigned entries = (unsigned)(size >> r->cfg.f->shift[lab_level(r, size)]);
        const unsigned which[] = {0, entries - 1, entries / 2};

        check_step("size 0x%llx", (unsigned long long)size);
        lab_map_ok(r, iova, size);
        lab_flush(r);
        lab_dirty(r, iova, iova + (size - 1), true); /* it begins clean */
        CHECK(pvi_gather_empty(&r->gather));
        for (unsigned k = 0; k < 3; k++) {
            lab_device_writes(r, iova + size / 2, which[k]);
            lab_check(r);
            lab_dirty(r, iova, iova + (size - 1), false);
            lab_dirty(r, iova, iova + (size - 1), true);
            lab_check(r);
            lab_flush(r);
            lab_dirty(r, iova, iova + (size - 1), false);
        }
        /* Only a part of it is asked for: told, not cleaned. */
        lab_device_writes(r, iova, which[1]);
        if (size > r->page) {
            lab_dirty(r, iova + r->page, iova + (size - 1), true);
            lab_dirty(r, iova, iova + (size - r->page - 1), true);
            lab_check(r);
            CHECK(lab_set_at(&r->leaves, iova)->dirty);
            CHECK(pvi_gather_empty(&r->gather));
        }
        lab_forget_all(r);
    }
}

static void any_entry_of_a_leaf_tells(void **state)
{
    (void)state;
    lab_each_dirty(one_replica);
}

/* Leaves of all sizes with holes between them, some written. */
static void many(struct lab *r)
{
    struct rnd rnd = {r->usable ^ r->cfg.levels};
    uint64_t largest = lab_size(r, lab_nr_sizes(r) - 1), at = 0, end = 0;

    largest = largest < 0x8000000 ? largest : 0x8000000;
    for (unsigned i = 0; i < 40 && r->last - at >= 2 * largest; i++) {
        uint64_t size = lab_size(r, (unsigned)rnd_below(&rnd, lab_nr_sizes(r)));

        size = size < largest ? size : r->page;
        at = (at + size - 1) / size * size;
        CHECK_EQ(lab_map(r, at, GUEST_PV + (at >> 12) % 0x40000, size, rnd_below(&rnd, 4) ? PVI_RW : PVI_READ), 0);
        end = at + size;
        if (rnd_below(&rnd, 2) != 0) {
            lab_device_writes(r, at + rnd_below(&rnd, size / r->page) * r->page, (unsigned)rnd_below(&rnd, 512));
        }
        at = end + rnd_below(&rnd, 3) * r->page;
    }
    lab_flush(r);
    if (end == 0) {
        return;
    }
    lab_dirty(r, 0, end - 1, false);
    for (unsigned i = 0; i < 12; i++) {
        uint64_t first = rnd_below(&rnd, end / r->page) * r->page;

        lab_dirty(r, first, first + (1 + rnd_below(&rnd, (end - first) / r->page)) * r->page - 1, i % 3 == 0);
        lab_check(r);
    }
    lab_flush(r);
    lab_dirty(r, 0, end - 1, true);
    lab_check(r);
    lab_flush(r);
    lab_dirty(r, 0, end - 1, false);
}

static void leaves_of_all_sizes(void **state)
{
    (void)state;
    lab_each_dirty(many);
}

/* Two tables of the smallest leaves, from the middle of the first one on: most of them clean, one not there. */
static void clean_runs(struct lab *r)
{
    static const unsigned written[] = {255, 256, 511, 512, 513, 767, 1023};
    uint64_t p = r->page;

    if (p != 0x1000 || r->last < 1024 * p) {
        return;
    }
    CHECK_EQ(lab_map(r, 0, GUEST_PV + 1, 1024 * p, PVI_RW), 0);
    CHECK_EQ(lab_unmap(r, 700 * p, 701 * p - 1, false, NULL), 0);
    lab_flush(r);
    lab_dirty(r, 256 * p, 1024 * p - 1, false);
    for (unsigned i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        lab_device_writes(r, written[i] * p, 0);
    }
    lab_dirty(r, 257 * p, 511 * p - 1, true); /* clean to its end, and written right behind */
    CHECK(lab_set_at(&r->leaves, 511 * p)->dirty);
    lab_dirty(r, 256 * p, 1024 * p - 1, false);
    lab_dirty(r, 256 * p, 1024 * p - 1, true);
    lab_flush(r);
    lab_check(r);
    lab_dirty(r, 0, 1024 * p - 1, false);
}

static void clean_leaves_are_passed(void **state)
{
    (void)state;
    lab_each_dirty(clean_runs);
}

/* What was written stays written whatever becomes of the leaf. */
static void survives(struct lab *r)
{
    for (unsigned s = 1; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), small = lab_size(r, s - 1), iova = r->last >= 2 * size - 1 ? size : 0;

        check_step("size 0x%llx", (unsigned long long)size);
        lab_map_ok(r, iova, size);
        lab_device_writes(r, iova + size / 2, 1);
        CHECK_EQ(lab_split(r, iova, iova + (size - 1), lab_lg2(small)), 0);
        lab_check(r);
        lab_dirty(r, iova, iova + (size - 1), false);
        lab_flush(r);
        lab_dirty(r, iova, iova + (size - 1), true);
        lab_flush(r);
        lab_check(r);
        lab_device_writes(r, iova + size - r->page, 0);
        CHECK_EQ(lab_rights(r, iova, iova + (size - 1), PVI_READ, true, false, NULL), 0);
        lab_check(r);
        lab_dirty(r, iova, iova + (size - 1), false);
        lab_collapse(r, iova, iova + (size - 1));
        CHECK_EQ(r->leaves.nr, 1);
        lab_check(r);
        CHECK(lab_set_at(&r->leaves, iova)->dirty);
        lab_dirty(r, iova, iova + (size - 1), true);
        lab_flush(r);
        lab_check(r);
        /* A cut too: a page is taken out of it. */
        lab_device_writes(r, iova, 0);
        CHECK_EQ(lab_unmap(r, iova + size / 2, iova + size / 2 + (r->page - 1), false, NULL), 0);
        lab_check(r);
        lab_dirty(r, iova, iova + (size - 1), false);
        lab_forget_all(r);
    }
}

static void written_stays_written(void **state)
{
    (void)state;
    lab_each_dirty(survives);
}

/* A leaf whose single entries cannot be leaves is cut in all of them at once: what one of them noted counts for each. */
static void cut_all_at_once(void **state)
{
    static struct lab r;

    (void)state;
    for (unsigned levels = 2; levels <= 6; levels++) {
        struct lab_cfg cfg = {.f = &lab_amd, .levels = levels, .sizes = 0x409000, .dirty = true};

        lab_up(&r, &cfg);
        for (unsigned replica = 0; replica < 2; replica++) {
            lab_map_ok(&r, 0x400000, 0x400000);
            CHECK_EQ(lab_set_at(&r.leaves, 0x400000)->lg2, 22);
            lab_device_writes(&r, 0x400000, replica);
            CHECK_EQ(lab_unmap(&r, 0x500000, 0x500fff, false, NULL), 0);
            lab_check(&r);
            lab_dirty(&r, 0x400000, 0x7fffff, false);
            lab_forget_all(&r);
        }
        lab_down(&r);
    }
}

/* Where hardware does not note writes there is nothing to ask for. */
static void not_noted(struct lab *r)
{
    lab_map_ok(r, 0, r->page);
    lab_dirty(r, 0, r->page - 1, false);
    lab_dirty(r, 0, r->page - 1, true);
    lab_check(r);
}

static void writes_that_are_not_noted(void **state)
{
    struct pvi_pt_cfg cfg = {.ops = &pvi_vtd_ss_ops, .page_sizes = 0x1000, .levels = 3, .iova_bits = 39, .pa_bits = 39};
    struct pvi_quota quota = {.limit = 10};
    struct pvi_pt pt;

    (void)state;
    lab_each(not_noted);
    /* And a table that hardware writes to must be coherent. */
    cfg.dirty = true;
    CHECK_EQ(pvi_pt_init(&pt, &cfg, NULL, &quota), -PVI_EOPNOTSUPP);
}

/* --- walks over a range ----------------------------------------------------------------------------------- */

/* Neighbours in address and frame, with the same rights, that owe differently: two runs. */
static void scan_debts(struct lab *r)
{
    if (r->last < 4 * r->page) {
        return;
    }
    CHECK_EQ(lab_map(r, r->page, GUEST_PV + (r->page >> 12), 2 * r->page, PVI_RW), 0);
    CHECK_EQ(lab_rights(r, r->page, 2 * r->page - 1, PVI_READ, true, false, NULL), 0);
    CHECK_EQ(lab_rights(r, 2 * r->page, 3 * r->page - 1, PVI_READ, false, false, NULL), 0);
    lab_scan(r, 0, r->last);
    lab_check(r);
    lab_forget_all(r);
}

static void scans(struct lab *r)
{
    struct rnd rnd = {r->usable * 3 + r->cfg.levels};
    uint64_t mid = lab_single(r, 1) ? lab_single(r, 1) : 32 * r->page, window = 5 * mid;

    window = r->last < window ? r->last + 1 : window;
    lab_scan(r, 0, r->last);
    scan_debts(r);
    for (unsigned i = 0; i < 25; i++) {
        uint64_t first = rnd_below(&rnd, window / r->page) * r->page, len, kind = rnd_below(&rnd, 3);

        len = r->page * (1 + rnd_below(&rnd, (window - first) / r->page));
        len = i % 2 == 0 && len > 60 * r->page ? 60 * r->page : len;
        if (kind == 0) {
            (void)lab_unmap(r, first, first + (len - 1), true, NULL);
        } else {
            (void)lab_map(r, first, GUEST_PV + (first >> 12) + (kind == 1 ? 0 : rnd_below(&rnd, 9)) * (r->page >> 12), len,
                          1 + (unsigned)rnd_below(&rnd, 3));
        }
        lab_scan(r, 0, r->last);
        first = rnd_below(&rnd, window / r->page) * r->page;
        lab_scan(r, first, first + (1 + rnd_below(&rnd, (window - first) / r->page)) * r->page - 1);
    }
    lab_flush(r);
    lab_scan(r, 0, window - 1);
}

static void runs_and_census(void **state)
{
    (void)state;
    lab_each(scans);
}

/* --- lookups ------------------------------------------------------------------------------------------------ */

static void lookups(struct lab *r)
{
    struct pvi_pt_leaf leaf;

    for (unsigned s = 0; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), top = r->last - (size - 1);
        const uint64_t at[] = {0, top};

        for (unsigned k = 0; k < 2; k++) {
            check_step("size 0x%llx at 0x%llx", (unsigned long long)size, (unsigned long long)at[k]);
            CHECK_EQ(lab_map(r, at[k], GUEST_PV, size, PVI_RW), 0);
            for (unsigned n = 0; n < 17; n++) {
                lab_lookup(r, at[k] + size / 16 * n - (n == 16)); /* the last: its last byte */
            }
            lab_lookup(r, at[k] + (size - 1) + (at[k] != top));
            lab_lookup(r, at[k] - (at[k] != 0));
            lab_forget_all(r);
        }
    }
    CHECK_EQ(lab_map(r, 0, GUEST_PV, r->page, PVI_RW), 0);
    CHECK_EQ(lab_map(r, r->last - (r->page - 1), GUEST_PV, r->page, PVI_RW), 0);
    /* At the limit and beyond, in every bit: nothing is mapped, not even where truncated bits would say so. */
    for (unsigned bit = 12; bit < 64; bit++) {
        uint64_t va = 1ull << bit;

        if (va > r->last) {
            CHECK_EQ(r->pt.cfg.ops->lookup(&r->pt, va, &leaf), -PVI_ENOENT);
            CHECK_EQ(r->pt.cfg.ops->lookup(&r->pt, va | (r->last & ~0xfffull), &leaf), -PVI_ENOENT);
            CHECK_EQ(r->pt.cfg.ops->lookup(&r->pt, 0 - va, &leaf), -PVI_ENOENT); /* the canonical ones below 0 */
        }
    }
    CHECK(r->last == UINT64_MAX || r->pt.cfg.ops->lookup(&r->pt, UINT64_MAX, &leaf) == -PVI_ENOENT);
    CHECK(r->last == UINT64_MAX || r->pt.cfg.ops->lookup(&r->pt, r->last + 1, &leaf) == -PVI_ENOENT);
}

static void lookups_up_to_the_limit_and_beyond(void **state)
{
    (void)state;
    lab_each(lookups);
}

/* A table that is not ours may have links that leave less than all rights: nothing below them counts as mapped. */
static void links(struct lab *r)
{
    const struct {
        const struct lab_format *f;
        uint64_t rights[2];
    } of[] = {{&lab_vtd, {1, 2}}, {&lab_fs, {2}}, {&lab_v2, {2}}, {&lab_amd, {1ull << 61, 1ull << 62}}};
    uint64_t *root = pvi_posix_ptr(r->host, r->pt.root_pa.a, PVI_PAGE_SIZE), link;
    struct pvi_pt table = r->pt;
    struct pvi_pt_leaf leaf;

    if (r->cfg.levels == 1) {
        return;
    }
    table.four_end = 0; /* as for a host's own */
    CHECK_EQ(lab_map(r, 0, GUEST_PV, r->page, PVI_READ), 0);
    link = root[0];
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned i = 0; i < 2 && of[k].f == r->cfg.f; i++) {
            root[0] = link & ~of[k].rights[i];
            check_step("link 0x%llx", (unsigned long long)root[0]);
            CHECK_EQ(table.cfg.ops->lookup(&table, 0, &leaf), of[k].rights[i] != 0 ? -PVI_ENOENT : 0);
        }
    }
    root[0] = link;
    CHECK_EQ(table.cfg.ops->lookup(&table, 0, &leaf), 0);
}

static void links_that_take_rights(void **state)
{
    (void)state;
    lab_each_format(links);
}

/* Requests beyond what the table translates, or not aligned, are refused and change nothing. */
static void out_of_range(struct lab *r)
{
    struct pvi_pt_map m = {.iova = r->last - (r->page - 1), .pa = 0, .len = 2 * r->page, .prot = PVI_RW};
    struct pvi_pt_unmap u = {.first = 0, .last = r->last + r->page, .next = 0, .holes = true};
    struct pvi_pt_change c = {.first = r->page / 2, .last = r->page - 1, .next = r->page / 2, .prot = PVI_RW};

    if (r->last != UINT64_MAX) {
        CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_ERANGE);
        CHECK_EQ(r->pt.cfg.ops->unmap(&r->pt, NULL, &u, &r->gather), -PVI_ERANGE);
        m.iova = r->last + 1;
        CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_ERANGE);
    }
    m.iova = r->page;
    m.pa = r->page / 2;
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EALIGN);
    m.pa = 0;
    m.len = r->page / 2;
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EALIGN);
    CHECK_EQ(r->pt.cfg.ops->rights(&r->pt, NULL, &c, &r->gather), -PVI_EALIGN);
    CHECK_EQ(m.done, 0);
    lab_check(r);
    CHECK_EQ(r->quota.used, 1);
}

static void requests_out_of_range(void **state)
{
    (void)state;
    lab_each(out_of_range);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_entry_of_a_leaf_tells),
        cmocka_unit_test(leaves_of_all_sizes),
        cmocka_unit_test(clean_leaves_are_passed),
        cmocka_unit_test(written_stays_written),
        cmocka_unit_test(cut_all_at_once),
        cmocka_unit_test(writes_that_are_not_noted),
        cmocka_unit_test(runs_and_census),
        cmocka_unit_test(lookups_up_to_the_limit_and_beyond),
        cmocka_unit_test(links_that_take_rights),
        cmocka_unit_test(requests_out_of_range),
    };

    return cmocka_run_group_tests_name("engine: looking", tests, NULL, NULL);
}
