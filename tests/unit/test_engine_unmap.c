/* SPDX-License-Identifier: MIT */
/* The page-table engine, in every format and depth: removal, splits, whole tables, trim, budget, random operations. */
#include "lab.h"

/* --- cutting large leaves ------------------------------------------------------------------------- */

/* One page out of a large leaf: the rest stays as it was, in the largest sizes that are left. */
static void cut_one(struct lab *r, uint64_t size, uint64_t hole)
{
    uint64_t iova = r->last >= 2 * size - 1 ? size : 0, pages = size >> 12, next;
    unsigned to = lab_level(r, r->page);

    check_step("size 0x%llx, hole at 0x%llx", (unsigned long long)size, (unsigned long long)hole);
    lab_map_ok(r, iova, size);
    lab_flush(r);
    CHECK_EQ(lab_unmap(r, iova + hole, iova + hole + (r->page - 1), false, &next), 0);
    CHECK_EQ(flat_pages(r->now), pages - (r->page >> 12));
    CHECK(r->all_at_once || r->quota.used == r->cfg.levels - to);
    lab_flush(r);
    lab_check(r);
    CHECK_EQ(r->quota.used, lab_needed(r));
    /* The hole is a hole: exact address, nothing changed before it but what was asked for. */
    CHECK_EQ(lab_unmap(r, iova + hole, iova + hole + (r->page - 1), false, NULL), -PVI_ENOENT);
    CHECK_EQ(lab_map(r, iova, GUEST_PV, size, PVI_READ), -PVI_EEXIST);
    lab_check(r);
    CHECK_EQ(lab_unmap(r, iova, iova + (size - 1), true, NULL), 0);
    lab_flush(r);
    CHECK_EQ(flat_pages(r->now), 0);
    lab_forget_all(r);
}

static void cut(struct lab *r)
{
    for (unsigned s = 1; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s);

        cut_one(r, size, size / 2);
        cut_one(r, size, size - r->page);
        cut_one(r, size, size / 2 + r->page < size ? size / 2 + r->page : 0);
    }
}

static void one_page_out_of_a_large_leaf(void **state)
{
    (void)state;
    lab_each(cut);
}

/* From the last page of one large leaf to the first of the next but one: two splits, one whole leaf. */
static void cut_across(struct lab *r)
{
    for (unsigned s = 1; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s);

        if (r->last < 3 * size - 1) {
            continue;
        }
        check_step("size 0x%llx", (unsigned long long)size);
        lab_map_ok(r, 0, 3 * size);
        lab_flush(r);
        CHECK_EQ(lab_unmap(r, size - r->page, 2 * size + (r->page - 1), false, NULL), 0);
        CHECK_EQ(flat_pages(r->now), 2 * ((size - r->page) >> 12));
        lab_check(r);
        lab_flush(r);
        lab_check(r);
        lab_forget_all(r);
    }
}

static void from_one_large_leaf_into_another(void **state)
{
    (void)state;
    lab_each(cut_across);
}

/* No page for the split: nothing changes, the address is exact; with a page it goes on from there. */
static void split_short(struct lab *r)
{
    struct pvi_quota other = {.limit = UINT32_MAX};
    struct pvi_page *hold;
    uint64_t size = lab_single(r, 1), next;

    if (size == 0 || r->last < 2 * size - 1) {
        return;
    }
    lab_map_ok(r, 0, 2 * size);
    lab_flush(r);
    r->keep_pool = true;
    CHECK_EQ(pvi_pool_take(&r->pool, &other, r->pool.nr_free, 0, PVI_PAGE_LIST, &hold), 0);
    CHECK_EQ(lab_unmap(r, 0, size + (r->page - 1), false, &next), -PVI_ENOMEM);
    CHECK_EQ(next, size); /* the first leaf is gone whole */
    pvi_pool_put_list(&r->pool, hold);
    lab_flush(r);
    lab_check(r);
    r->quota.limit = r->quota.used;
    CHECK_EQ(lab_unmap(r, size + r->page, 2 * size - 1, false, &next), -PVI_EQUOTA);
    CHECK_EQ(next, size + r->page);
    r->quota.limit = UINT32_MAX;
    lab_check(r);
    CHECK_EQ(flat_pages(r->now), size >> 12);
    r->keep_pool = false;
    CHECK_EQ(lab_unmap(r, next, 2 * size - 1, false, NULL), 0);
    CHECK_EQ(flat_pages(r->now), r->page >> 12);
    lab_check(r);
}

static void split_without_a_page(void **state)
{
    (void)state;
    lab_each(split_short);
}

/* --- holes ---------------------------------------------------------------------------------------- */

static void hole_each_position(struct lab *r)
{
    uint64_t span = lab_table_span(r), begin = r->last < span ? 0 : span - 5 * r->page;

    for (unsigned k = 0; k < 12; k++) {
        uint64_t at = begin + k * r->page, next;

        check_step("hole at %u", k);
        CHECK_EQ(lab_map(r, begin, lab_loose(r), 12 * r->page, PVI_RW), 0);
        CHECK_EQ(lab_unmap(r, at, at + (r->page - 1), false, NULL), 0);
        CHECK_EQ(lab_unmap(r, begin, begin + (12 * r->page - 1), false, &next), -PVI_ENOENT);
        CHECK_EQ(next, at);
        CHECK_EQ(flat_pages(r->now), (11 - k) * (r->page >> 12));
        lab_flush(r);
        lab_check(r);
        CHECK_EQ(lab_unmap(r, begin, begin + (12 * r->page - 1), true, NULL), 0);
        lab_flush(r);
    }
    CHECK_EQ(flat_pages(r->now), 0);
}

static void hole_at_each_position(void **state)
{
    (void)state;
    lab_each(hole_each_position);
}

/* Holes as large as a table, and beyond all tables. */
static void hole_large(struct lab *r)
{
    uint64_t size = lab_size(r, 1), next;

    CHECK_EQ(lab_unmap(r, 0, r->last, false, &next), -PVI_ENOENT);
    CHECK_EQ(next, 0);
    if (size == 0 || r->last < 4 * size - 1) {
        return;
    }
    CHECK_EQ(lab_map(r, 0, lab_loose(r), size, PVI_RW), 0);
    lab_map_ok(r, size, size);
    lab_map_ok(r, 3 * size, size);
    CHECK_EQ(lab_unmap(r, 0, 4 * size - 1, false, &next), -PVI_ENOENT);
    CHECK_EQ(next, 2 * size);
    CHECK_EQ(flat_pages(r->now), size >> 12);
    lab_check(r);
    CHECK_EQ(lab_unmap(r, 3 * size, r->last, false, &next), r->last == 4 * size - 1 ? 0 : -PVI_ENOENT);
    CHECK_EQ(flat_pages(r->now), 0);
    lab_flush(r);
    lab_check(r);
}

static void large_holes(void **state)
{
    (void)state;
    lab_each(hole_large);
}

/* --- whole tables --------------------------------------------------------------------------------- */

/* A full last-level table goes by one store, its frames only after the flush. */
static void drop(struct lab *r)
{
    uint64_t span = 1ull << (r->cfg.f->shift[0] + r->cfg.f->bits[0]), before, stores;
    struct guest_frame f;

    if (r->cfg.levels < 3 || r->page != 0x1000) {
        return;
    }
    CHECK(guest_frame(GUEST_HVM, &f));
    CHECK_EQ(lab_map(r, span, GUEST_HVM, span, PVI_RW), 0);
    lab_flush(r);
    before = pvi_posix_calls(r->host, PVI_AT_WRITE);
    CHECK_EQ(lab_unmap(r, span, 2 * span - 1, false, NULL), 0);
    stores = pvi_posix_calls(r->host, PVI_AT_WRITE) - before;
    CHECK(!pvi_posix_recording() || stores == 1);
    CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa, PVI_OWE_REF), 1);
    CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa + span - 1, PVI_OWE_REF), 1);
    lab_flush(r);
    CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa, PVI_OWE_REF), 0);
    CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa + span - 1, PVI_OWE_REF), 0);
    lab_check(r);
    /* With one page missing it is not dropped unread: the hole is found. */
    CHECK_EQ(lab_map(r, span, GUEST_HVM, span - 0x1000, PVI_RW), 0);
    CHECK_EQ(lab_unmap(r, span, 2 * span - 1, false, NULL), -PVI_ENOENT);
    CHECK_EQ(flat_pages(r->now), 0);
    lab_flush(r);
    lab_check(r);
}

static void full_table_is_dropped_unread(void **state)
{
    (void)state;
    lab_each(drop);
}

/* More dropped tables than a gather takes: it says so, and nothing is lost. */
static void drop_many(struct lab *r)
{
    uint64_t span = 1ull << (r->cfg.f->shift[0] + r->cfg.f->bits[0]), nr = PVI_GATHER_OWING + 5;

    if (r->cfg.levels < 2 || r->page != 0x1000 || r->last < nr * span - 1) {
        return;
    }
    CHECK_EQ(lab_map(r, 0, GUEST_HVM, nr * span, PVI_RW), 0);
    lab_flush(r);
    CHECK_EQ(lab_unmap(r, 0, nr * span - 1, false, NULL), 0);
    CHECK(r->gather.nr_owing <= PVI_GATHER_OWING);
    lab_flush(r);
    CHECK(pvi_posix_hdom_balanced(r->hdom));
    /* Tables that owe nothing wait without a limit. */
    CHECK_EQ(lab_map(r, 0, GUEST_KEPT + 1, nr * span, PVI_RW), 0);
    lab_flush(r);
    CHECK_EQ(lab_unmap(r, 0, nr * span - 1, false, NULL), 0);
    CHECK(!pvi_gather_empty(&r->gather));
    CHECK_EQ(r->gather.nr_owing, 0);
    lab_flush(r);
}

static void more_dropped_tables_than_a_gather_takes(void **state)
{
    (void)state;
    lab_each(drop_many);
}

/* Leaves of all sizes strewn over the whole space, ends included; one request takes all of it down. */
static void whole_range(struct lab *r)
{
    struct rnd rnd = {99};
    uint64_t next;

    for (unsigned i = 0; i < 60; i++) {
        uint64_t size = lab_size(r, (unsigned)rnd_below(&rnd, lab_nr_sizes(r))), top, iova;

        top = r->last - (size - 1);
        iova = i == 0 ? 0 : i == 1 ? top : rnd_below(&rnd, top / size + 1) * size;
        if (!flat_overlap(r->now, iova >> 12, size >> 12, &next)) {
            CHECK_EQ(lab_map(r, iova, GUEST_PV, size, PVI_RW), 0);
        }
    }
    lab_flush(r);
    lab_check(r);
    CHECK_EQ(r->quota.used, lab_needed(r));
    lab_forget_all(r);
}

static void whole_range_teardown(void **state)
{
    (void)state;
    lab_each(whole_range);
}

/* --- trim, budget, random ------------------------------------------------------------------------- */

static void empty_tables_stay_or_go(void **state)
{
    static struct lab r;

    (void)state;
    for (unsigned trim = 0; trim < 2; trim++) {
        struct lab_cfg cfg = {.f = &lab_vtd, .levels = 4, .sizes = UINT64_MAX, .trim = trim != 0};

        lab_up(&r, &cfg);
        CHECK_EQ(lab_map(&r, 0x1000, GUEST_HVM, 0x3000, PVI_RW), 0);
        CHECK_EQ(r.quota.used, 4);
        CHECK_EQ(lab_unmap(&r, 0x1000, 0x1fff, false, NULL), 0);
        CHECK_EQ(lab_unmap(&r, 0x2000, 0x3fff, false, NULL), 0);
        lab_flush(&r);
        CHECK_EQ(r.quota.used, trim != 0 ? 1 : 4);
        /* Covered whole they go in any case: the last two levels, by a request of 1 GiB. */
        CHECK_EQ(lab_unmap(&r, 0, 0x3fffffff, true, NULL), 0);
        lab_flush(&r);
        CHECK_EQ(r.quota.used, trim != 0 ? 1 : 2);
        lab_down(&r);
    }
}

/* Operations over a window that is small enough for collisions and large enough for all sizes. */
static void random_ops(struct lab *r, unsigned nr)
{
    uint64_t mid = lab_single(r, 1) != 0 ? lab_single(r, 1) : r->page, window = 8 * mid;
    struct rnd rnd = {r->cfg.levels * 31 + r->cfg.trim * 7 + r->usable};

    window = r->last < window - 1 ? r->last + 1 : window;
    for (unsigned i = 0; i < nr; i++) {
        uint64_t unit = rnd_below(&rnd, 3) == 0 ? mid : r->page, first, len, gfn;

        first = rnd_below(&rnd, window / unit) * unit;
        len = unit * (1 + rnd_below(&rnd, unit == mid ? 2 : 700));
        len = len > window - first ? window - first : len;
        check_step("operation %u", i);
        if (rnd_below(&rnd, 2) != 0) {
            gfn = rnd_below(&rnd, (GUEST_PV_NR - (len >> 12)) / (r->page >> 12));
            gfn = GUEST_PV + (rnd_below(&rnd, 2) != 0 ? first >> 12 : gfn % 4096 * (r->page >> 12));
            (void)lab_map(r, first, gfn, len, 1 + (unsigned)rnd_below(&rnd, 3));
        } else {
            (void)lab_unmap(r, first, first + (len - 1), rnd_below(&rnd, 2) != 0, NULL);
        }
        if (rnd_below(&rnd, 3) == 0) {
            lab_flush(r);
        }
        if (i % 8 == 0) {
            lab_check(r);
        }
    }
}

static void random_case(struct lab *r)
{
    random_ops(r, 120);
}

static void random_operations(void **state)
{
    static struct lab r;

    (void)state;
    lab_each(random_case);
    for (unsigned i = 0; i < 2; i++) {
        struct lab_cfg cfg = {.f = i ? &lab_hostile : &lab_amd, .levels = 3, .sizes = UINT64_MAX, .trim = true};

        lab_up(&r, &cfg);
        random_ops(&r, 1500);
        lab_down(&r);
    }
}

/* A scarce pool and frames that never merge: the engine asks for a flush, and goes on after it. */
static void gather_without_list_pages(void **state)
{
    struct lab_cfg cfg = {.f = &lab_vtd, .levels = 3, .sizes = UINT64_MAX, .pages = 4};
    static struct lab r;

    (void)state;
    lab_up(&r, &cfg);
    for (uint64_t i = 0; i < 200; i++) {
        CHECK_EQ(lab_map(&r, i << 12, GUEST_SCATTER + i, 0x1000, PVI_RW), 0);
    }
    CHECK_EQ(r.quota.used, 3);
    lab_flush(&r);
    CHECK_EQ(lab_unmap(&r, 0, (200ull << 12) - 1, false, NULL), 0); /* lab_unmap() flushes when asked to */
    CHECK(r.gather.nr_lists <= 1);
    lab_flush(&r);
    CHECK(pvi_posix_hdom_balanced(r.hdom));
    lab_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_page_out_of_a_large_leaf),
        cmocka_unit_test(from_one_large_leaf_into_another),
        cmocka_unit_test(split_without_a_page),
        cmocka_unit_test(hole_at_each_position),
        cmocka_unit_test(large_holes),
        cmocka_unit_test(full_table_is_dropped_unread),
        cmocka_unit_test(more_dropped_tables_than_a_gather_takes),
        cmocka_unit_test(whole_range_teardown),
        cmocka_unit_test(empty_tables_stay_or_go),
        cmocka_unit_test(random_operations),
        cmocka_unit_test(gather_without_list_pages),
    };

    return cmocka_run_group_tests_name("engine: unmap", tests, NULL, NULL);
}
