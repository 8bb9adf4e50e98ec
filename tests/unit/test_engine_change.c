/* SPDX-License-Identifier: MIT */
/* The page-table engine, in every format and depth: rights in place, split, collapse. */
#include "lab.h"

/* --- rights ---------------------------------------------------------------------------------------- */

/* All of a leaf, in each size: there and back, keeping the debt and with another one. */
static void rights_whole(struct lab *r)
{
    for (unsigned s = 0; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), iova = r->last >= 2 * size - 1 ? size : 0;
        struct guest_frame f;

        check_step("size 0x%llx", (unsigned long long)size);
        lab_map_ok(r, iova, size);
        lab_flush(r);
        CHECK(guest_frame(GUEST_PV + ((iova & 0x3fffffff) >> 12), &f));
        CHECK_EQ(lab_rights(r, iova, iova + (size - 1), PVI_READ, true, true, NULL), 0);
        lab_check(r);
        lab_flush(r);
        CHECK_EQ(lab_rights(r, iova, iova + (size - 1), PVI_RW, true, false, NULL), 0);
        lab_check(r);
        lab_flush(r);
        CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa, PVI_OWE_WRITABLE), 1);
        /* What a read-only mapping owes is another reference: the old one goes after the flush. */
        CHECK_EQ(lab_rights(r, iova, iova + (size - 1), PVI_READ, false, false, NULL), 0);
        lab_check(r);
        CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa + size - 1, PVI_OWE_WRITABLE), 1);
        lab_flush(r);
        CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa + size - 1, PVI_OWE_WRITABLE), 0);
        CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa + size - 1, PVI_OWE_REF), 1);
        (void)lab_rights(r, iova, iova + (size - 1), PVI_WRITE, true, false, NULL); /* checked against what the format has */
        lab_check(r);
        CHECK_EQ(lab_rights(r, iova, iova + (size - 1), PVI_RW, false, false, NULL), 0);
        lab_check(r);
        lab_flush(r);
        CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa, PVI_OWE_REF), 0);
        lab_forget_all(r);
    }
}

static void rights_in_place(void **state)
{
    (void)state;
    lab_each(rights_whole);
}

/* A part of a large leaf: it is cut there, and nowhere else. */
static void rights_part(struct lab *r)
{
    for (unsigned s = 1; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), next;
        const uint64_t from[] = {0, r->page, size / 2, size - r->page}, to[] = {r->page - 1, size - 1, size - 1, size - 1};

        for (unsigned k = 0; k < 4; k++) {
            check_step("size 0x%llx, from 0x%llx", (unsigned long long)size, (unsigned long long)from[k]);
            lab_map_ok(r, 0, size);
            lab_flush(r);
            CHECK_EQ(lab_rights(r, from[k], to[k], PVI_READ, false, true, &next), -PVI_EPART);
            CHECK_EQ(next, from[k]);
            lab_check(r);
            CHECK_EQ(lab_rights(r, from[k], to[k], PVI_READ, k % 2 != 0, false, NULL), 0);
            lab_check(r);
            lab_flush(r);
            lab_check(r);
            CHECK_EQ(r->quota.used, lab_needed(r));
            lab_forget_all(r);
        }
    }
}

static void rights_cut_at_borders(void **state)
{
    (void)state;
    lab_each(rights_part);
}

/* A hole stops it, exactly; over many leaves and tables it goes on slice by slice. */
static void rights_many(struct lab *r)
{
    uint64_t nr = r->page == 0x1000 ? 1100 : 20, first, next;

    nr = r->last / r->page < nr ? r->last / r->page : nr;
    first = r->last < 4 * lab_table_span(r) ? 0 : 4 * lab_table_span(r) - nr / 2 * r->page;
    CHECK_EQ(lab_map(r, first, lab_loose(r), nr * r->page, PVI_RW), 0);
    lab_flush(r);
    CHECK_EQ(lab_rights(r, first, first + nr * r->page - 1, PVI_READ, true, true, NULL), 0);
    lab_check(r);
    lab_flush(r);
    CHECK_EQ(lab_unmap(r, first + (nr - 2) * r->page, first + (nr - 1) * r->page - 1, false, NULL), 0);
    CHECK_EQ(lab_rights(r, first, first + nr * r->page - 1, PVI_RW, true, false, &next), -PVI_ENOENT);
    CHECK_EQ(next, first + (nr - 2) * r->page);
    lab_check(r);
    CHECK_EQ(lab_rights(r, first + (nr - 1) * r->page, first + nr * r->page - 1, PVI_RW, false, false, NULL), 0);
    lab_check(r);
}

static void rights_of_many_leaves(void **state)
{
    (void)state;
    lab_each(rights_many);
}

/* On hardware that must not have read-only leaves none can be made, mapped or left. */
static void no_read_only(void **state)
{
    static struct lab r;

    (void)state;
    for (unsigned i = 0; i < lab_nr_depths; i++) {
        struct lab_cfg cfg = {
            .f = lab_depths[i].f, .levels = lab_depths[i].levels, .sizes = UINT64_MAX, .no_read_only = true};

        lab_up(&r, &cfg);
        CHECK_EQ(lab_map(&r, 0, GUEST_PV, r.page, PVI_READ), -PVI_EOPNOTSUPP);
        CHECK_EQ(lab_map(&r, 0, GUEST_PV, r.page, PVI_RW), 0);
        CHECK_EQ(lab_rights(&r, 0, r.page - 1, PVI_READ, true, false, NULL), -PVI_EOPNOTSUPP);
        lab_check(&r);
        lab_down(&r);
    }
}

/* --- split, collapse ------------------------------------------------------------------------------------ */

/* From each size to each smaller one and back. */
static void split_pairs(struct lab *r)
{
    for (unsigned big = 1; lab_size(r, big) != 0; big++) {
        uint64_t size = lab_size(r, big), iova = r->last >= 2 * size - 1 ? size : 0;

        for (unsigned small = 0; small < big; small++) {
            uint64_t to = lab_size(r, small);

            if (size / to > 4096 || (small != 0 && small + 1 != big && small != big / 2)) {
                continue; /* the same paths as others */
            }
            check_step("0x%llx to 0x%llx", (unsigned long long)size, (unsigned long long)to);
            lab_map_ok(r, iova, size);
            lab_flush(r);
            /* Of a page in it first, then all of it; after that nothing larger is left, and nothing changes any more. */
            CHECK_EQ(lab_split(r, iova + size / 2, iova + size / 2 + (r->page - 1), lab_lg2(to)), 0);
            lab_check(r);
            CHECK_EQ(lab_split(r, iova, iova + (size - 1), lab_lg2(to)), 0);
            CHECK_EQ(r->leaves.nr, size / to);
            lab_check(r);
            lab_flush(r);
            CHECK_EQ(r->quota.used, lab_needed(r));
            CHECK_EQ(lab_split(r, iova, iova + (size - 1), lab_lg2(to)), 0);
            CHECK(pvi_gather_empty(&r->gather));
            lab_collapse(r, iova, iova + (size - 1));
            CHECK((r->leaves.apart & size) != 0 || r->leaves.nr == 1);
            lab_check(r);
            lab_flush(r);
            CHECK_EQ(r->quota.used, lab_needed(r));
            lab_forget_all(r);
        }
    }
}

static void split_and_collapse_every_pair_of_sizes(void **state)
{
    (void)state;
    lab_each(split_pairs);
}

/* What keeps leaves apart: another frame, other rights, another debt, a hole, a border of the range. */
static void keep_apart(struct lab *r)
{
    uint64_t size = lab_single(r, 1) ? lab_single(r, 1) : lab_size(r, lab_nr_sizes(r) - 1), half = size / 2, n;

    if (size <= 2 * r->page || r->last < 2 * size - 1 || r->page != 0x1000) {
        return;
    }
    for (unsigned k = 0; k < 6; k++) {
        check_step("case %u", k);
        lab_map_ok(r, size, size);
        CHECK_EQ(lab_split(r, size, 2 * size - 1, 12), 0);
        lab_flush(r);
        if (k == 0) {
            CHECK_EQ(lab_replace(r, size + half, GUEST_PV + 7, r->page, PVI_RW), 0);
        } else if (k == 1) {
            CHECK_EQ(lab_rights(r, size + half, size + half + (r->page - 1), PVI_READ, true, false, NULL), 0);
        } else if (k == 2) {
            CHECK_EQ(lab_replace(r, size + half, GUEST_PV + ((size + half) >> 12), r->page, PVI_READ), 0);
        } else if (k == 3) {
            CHECK_EQ(lab_unmap(r, size + half, size + half + (r->page - 1), false, NULL), 0);
        }
        lab_flush(r);
        n = r->leaves.nr;
        lab_collapse(r, k == 4 ? size + r->page : size, k == 5 ? 2 * size - r->page - 1 : 2 * size - 1);
        CHECK(r->leaves.nr > 1 && r->leaves.nr <= n);
        lab_check(r);
        lab_flush(r);
        lab_check(r);
        lab_forget_all(r);
    }
    /* Frames that are contiguous but not aligned. */
    CHECK_EQ(lab_map(r, 0, lab_loose(r), 2 * size, PVI_RW), 0);
    lab_flush(r);
    n = r->leaves.nr;
    lab_collapse(r, 0, 2 * size - 1);
    CHECK_EQ(r->leaves.nr, n);
    CHECK(pvi_gather_empty(&r->gather));
    lab_check(r);
}

static void what_keeps_leaves_apart(void **state)
{
    (void)state;
    lab_each(keep_apart);
}

/* Two levels at once: the smallest pages of a leaf of the third size, all of them. */
static void collapse_deep(struct lab *r)
{
    uint64_t size = lab_single(r, 2), mid = lab_single(r, 1);

    if (size == 0 || r->last < 2 * size - 1 || r->page != 0x1000) {
        return;
    }
    lab_map_ok(r, size, size);
    CHECK_EQ(lab_split(r, size, 2 * size - 1, lab_lg2(mid)), 0);
    CHECK_EQ(lab_split(r, size + 3 * mid, size + 5 * mid - 1, 12), 0);
    lab_flush(r);
    lab_check(r);
    lab_collapse(r, 0, r->last);
    CHECK_EQ(r->leaves.nr, 1);
    lab_check(r);
    lab_flush(r);
    lab_check(r);
    CHECK_EQ(r->quota.used, lab_needed(r));
}

static void collapse_over_two_levels(void **state)
{
    (void)state;
    lab_each(collapse_deep);
}

/* Without a page a split stops exactly, and what was there still translates. A collapse needs none. */
static void split_short(struct lab *r)
{
    uint64_t size = lab_single(r, 1);

    if (size == 0 || r->last < 4 * size - 1) {
        return;
    }
    lab_map_ok(r, 0, 3 * size);
    lab_flush(r);
    r->quota.limit = r->quota.used + 1;
    CHECK_EQ(lab_split(r, 0, 3 * size - 1, lab_lg2(r->page)), -PVI_EQUOTA);
    lab_check(r);
    lab_flush(r);
    r->quota.limit = r->quota.used;
    lab_collapse(r, 0, 3 * size - 1);
    lab_check(r);
    lab_flush(r);
    r->quota.limit = UINT32_MAX;
    lab_check(r);
}

static void split_without_a_page(void **state)
{
    (void)state;
    lab_each(split_short);
}

/* Sizes that the table does not use. */
static void split_refused(struct lab *r)
{
    lab_map_ok(r, 0, r->page);
    CHECK_EQ(lab_split(r, 0, r->page - 1, 11), -PVI_EOPNOTSUPP);
    CHECK_EQ(lab_split(r, 0, r->page - 1, 63), -PVI_EOPNOTSUPP);
    for (unsigned lg2 = 12; lg2 < 50; lg2++) {
        CHECK_EQ(lab_split(r, 0, r->page - 1, lg2), (r->usable >> lg2 & 1) != 0 ? 0 : -PVI_EOPNOTSUPP);
    }
    lab_check(r);
}

static void split_to_sizes_that_are_not_used(void **state)
{
    (void)state;
    lab_each(split_refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rights_in_place),
        cmocka_unit_test(rights_cut_at_borders),
        cmocka_unit_test(rights_of_many_leaves),
        cmocka_unit_test(no_read_only),
        cmocka_unit_test(split_and_collapse_every_pair_of_sizes),
        cmocka_unit_test(what_keeps_leaves_apart),
        cmocka_unit_test(collapse_over_two_levels),
        cmocka_unit_test(split_without_a_page),
        cmocka_unit_test(split_to_sizes_that_are_not_used),
    };

    return cmocka_run_group_tests_name("engine: changes", tests, NULL, NULL);
}
