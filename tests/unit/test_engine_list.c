/* SPDX-License-Identifier: MIT */
/* The page-table engine, in every format and depth: lists of frames, replacing, refusing to cut. */
#include <stdlib.h>

#include "lab.h"

/* So many smallest pages before the end of a last-level table, or the beginning of the space. */
static uint64_t before_border(const struct lab *r, unsigned nr)
{
    uint64_t border = 4 * lab_table_span(r);

    return r->last < border ? 0 : border - nr * r->page;
}

/* --- lists ------------------------------------------------------------------------------------------ */

#define LIST_MAX 1500u

/* Frames of the guest's 8 GiB in runs of `run` pages, the runs in descending order: no run continues another. */
static void list_of_runs(const struct lab *r, uint64_t *gfn, unsigned nr, unsigned run, unsigned shift)
{
    uint64_t step = r->page >> 12;

    for (unsigned i = 0; i < nr; i++) {
        gfn[i] = GUEST_PV + 0x100000 + (1200 / run - i / run) * run * step + (i % run) * step + shift * step;
    }
}

static void lists(struct lab *r)
{
    static uint64_t gfn[LIST_MAX];
    static const unsigned runs[] = {1, 2, 3, 16, 64, 600};

    for (unsigned k = 0; k < sizeof(runs) / sizeof(runs[0]); k++) {
        unsigned nr = r->page == 0x1000 ? 1200 : 12, run = runs[k] < nr ? runs[k] : nr;
        uint64_t iova;

        nr = r->last < nr * r->page ? (unsigned)(r->last / r->page) / 2 : nr;
        iova = before_border(r, nr / 2);
        for (unsigned shift = 0; shift < 2; shift++) {
            check_step("runs of %u, shifted by %u", run, shift);
            list_of_runs(r, gfn, nr, run, shift);
            CHECK_EQ(lab_map_list(r, iova, gfn, nr, PVI_RW, false), 0);
            lab_check(r);
            CHECK_EQ(r->quota.used, lab_needed(r));
            lab_flush(r);
            /* An overlap at the last page: exact. */
            CHECK_EQ(lab_unmap(r, iova, iova + (nr - 1) * r->page - 1, false, NULL), 0);
            lab_flush(r);
            CHECK_EQ(lab_map_list(r, iova, gfn, nr, PVI_READ, false), -PVI_EEXIST);
            CHECK_EQ(flat_pages(r->now), nr * (r->page >> 12));
            lab_check(r);
            lab_forget_all(r);
        }
    }
}

static void list_of_scattered_and_of_contiguous_frames(void **state)
{
    (void)state;
    lab_each(lists);
}

/* A table's worth of contiguous pages from a list becomes one large leaf; one page missing, it does not. */
static void merges(struct lab *r)
{
    uint64_t large = lab_single(r, 1), step = r->page >> 12;
    unsigned nr = large ? (unsigned)(large / r->page) : 0;
    static uint64_t gfn[LIST_MAX];
    struct lab_leaf leaf[2];

    if (large == 0 || nr > 512 || r->last < 3 * large) {
        return;
    }
    for (unsigned i = 0; i < nr; i++) {
        gfn[i] = GUEST_PV + 0x40000 + i * step;
    }
    CHECK_EQ(lab_map_list(r, large, gfn, nr, PVI_RW, false), 0);
    CHECK_EQ(lab_leaves(r, leaf, 2), 1);
    CHECK_EQ(1ull << leaf[0].lg2, large);
    lab_check(r);
    lab_forget_all(r);
    gfn[nr / 2] = GUEST_PV + 0x80000;
    CHECK_EQ(lab_map_list(r, large, gfn, nr, PVI_RW, false), 0);
    CHECK(lab_leaves(r, leaf, 2) > 1);
    lab_check(r);
    lab_forget_all(r);
}

static void contiguous_list_merges_into_a_large_leaf(void **state)
{
    (void)state;
    lab_each(merges);
}

/* --- replacing --------------------------------------------------------------------------------------- */

static uint64_t refs_at(struct lab *r, uint64_t gfn)
{
    struct guest_frame f;

    CHECK(guest_frame(gfn, &f));
    return pvi_posix_frame_count(r->hdom, f.pa, f.owe_w);
}

/* Over nothing, over itself, over other frames of the same size: each old frame goes once, after the flush. */
static void replace_same(struct lab *r)
{
    uint64_t other = GUEST_PV + 0x180000;

    for (unsigned s = 0; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), iova = r->last >= 4 * size ? 2 * size : 0;

        check_step("size 0x%llx", (unsigned long long)size);
        CHECK_EQ(lab_replace(r, iova, GUEST_PV, size, PVI_RW), 0);
        lab_check(r);
        CHECK_EQ(lab_replace(r, iova, GUEST_PV, size, PVI_RW), 0);
        CHECK_EQ(refs_at(r, GUEST_PV), 2); /* the old one is released after the flush */
        lab_flush(r);
        lab_check(r);
        CHECK_EQ(refs_at(r, GUEST_PV), 1);
        CHECK_EQ(lab_replace(r, iova, other, size, PVI_READ), 0);
        CHECK_EQ(refs_at(r, GUEST_PV), 1);
        lab_flush(r);
        lab_check(r);
        CHECK_EQ(refs_at(r, GUEST_PV), 0);
        lab_forget_all(r);
    }
}

static void replace_by_the_same_size(void **state)
{
    (void)state;
    lab_each(replace_same);
}

/* A small leaf over a part of a large one: the large one is cut, its other parts stay. */
static void replace_part(struct lab *r)
{
    for (unsigned s = 1; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), iova = r->last >= 2 * size - 1 ? size : 0;
        const uint64_t at[] = {0, size - r->page, size / 2};

        for (unsigned k = 0; k < 3; k++) {
            check_step("size 0x%llx, at 0x%llx", (unsigned long long)size, (unsigned long long)at[k]);
            lab_map_ok(r, iova, size);
            lab_flush(r);
            CHECK_EQ(lab_replace(r, iova + at[k], lab_loose(r), r->page, PVI_RW), 0);
            CHECK_EQ(flat_pages(r->now), size >> 12);
            lab_check(r);
            lab_flush(r);
            lab_check(r);
            CHECK_EQ(r->quota.used, lab_needed(r));
            lab_forget_all(r);
        }
    }
}

static void replace_part_of_a_large_leaf(void **state)
{
    (void)state;
    lab_each(replace_part);
}

/* A large leaf over a table of live small ones: their frames go once, their table too, after the flush. */
static void replace_table(struct lab *r)
{
    for (unsigned s = 1; lab_single(r, s) != 0; s++) {
        uint64_t size = lab_single(r, s), below = lab_single(r, s - 1), iova = size;
        uint64_t loose = GUEST_PV + 0x180000 + (r->page >> 12);

        if (r->last < 3 * size - 1) {
            continue;
        }
        for (unsigned k = 0; k < 3; k++) { /* full, with holes, with a single leaf */
            unsigned nr = k == 0 ? (unsigned)(size / below) : k == 1 ? 5 : 1;

            check_step("size 0x%llx, %u leaves below", (unsigned long long)size, nr);
            for (unsigned i = 0; i < nr; i++) {
                uint64_t at = iova + (k == 0 ? i : 3ull * i + 1) * below;

                CHECK_EQ(lab_map(r, at, loose + i * 2 * (r->page >> 12), r->page, PVI_RW), 0);
            }
            lab_flush(r);
            CHECK_EQ(refs_at(r, loose), 1);
            CHECK_EQ(lab_replace(r, iova, GUEST_PV, size, PVI_RW), 0);
            CHECK(s > 1 || refs_at(r, loose) == 1); /* more than the gather takes makes it flush on the way */
            lab_check(r);
            lab_flush(r);
            lab_check(r);
            CHECK_EQ(refs_at(r, loose), 0);
            CHECK_EQ(flat_pages(r->now), size >> 12);
            if (s == 1 && r->usable == (r->usable & (r->page | size | lab_single(r, 2)))) {
                CHECK_EQ(lab_set_at(&r->leaves, iova)->lg2, __builtin_ctzll(size));
            }
            lab_forget_all(r);
        }
    }
}

static void large_leaf_replaces_a_table(void **state)
{
    (void)state;
    lab_each(replace_table);
}

/* Ranges that begin and end anywhere, over large and small leaves and holes. */
static void replace_across(struct lab *r)
{
    struct rnd rnd = {r->usable + r->cfg.levels};
    uint64_t mid = lab_single(r, 1) ? lab_single(r, 1) : 16 * r->page, window = 6 * mid;

    window = r->last < window ? r->last + 1 : window;
    for (unsigned i = 0; i < 30; i++) {
        uint64_t first = rnd_below(&rnd, window / r->page) * r->page, len;
        uint64_t gfn = GUEST_PV + (rnd_below(&rnd, 2) ? first >> 12 : rnd_below(&rnd, 512) * (r->page >> 12));

        len = r->page * (1 + rnd_below(&rnd, (window - first) / r->page));
        check_step("replacement %u", i);
        (void)lab_replace(r, first, gfn, len, 1 + (unsigned)rnd_below(&rnd, 3));
        if (rnd_below(&rnd, 3) == 0) {
            lab_flush(r);
        }
        lab_check(r);
    }
}

static void replace_across_everything(void **state)
{
    (void)state;
    lab_each(replace_across);
}

/* --- refusing to cut ---------------------------------------------------------------------------------- */

static void refuse(struct lab *r)
{
    for (unsigned s = 1; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), next;

        if (r->last < 3 * size - 1) {
            continue;
        }
        check_step("size 0x%llx", (unsigned long long)size);
        lab_map_ok(r, 0, 3 * size);
        lab_flush(r);
        /* At the beginning, in the middle, at the end: nothing changes, and the address is exact. */
        (void)lab_unmap_whole(r, r->page, size - 1, false, &next);
        CHECK_EQ(next, r->page); /* all three sizes fit, so the first leaf is at least that large */
        CHECK_EQ(flat_pages(r->now), 3 * size >> 12);
        (void)lab_unmap_whole(r, 0, 3 * size - r->page - 1, true, &next);
        CHECK_EQ(next, 2 * size);
        CHECK_EQ(flat_pages(r->now), size >> 12);
        lab_check(r);
        lab_flush(r);
        CHECK_EQ(lab_unmap_whole(r, 0, r->last, true, NULL), 0);
        lab_flush(r);
        CHECK_EQ(flat_pages(r->now), 0);
        lab_forget_all(r);
    }
}

static void whole_leaves_only(void **state)
{
    (void)state;
    lab_each(refuse);
}

/* A quirk that forbids it: nothing is ever cut, joined or changed in size. */
static void fixed_sizes(void **state)
{
    static struct lab r;

    (void)state;
    for (unsigned i = 0; i < lab_nr_depths; i++) {
        struct lab_cfg cfg = {.f = lab_depths[i].f, .levels = lab_depths[i].levels, .sizes = UINT64_MAX, .fixed = true};
        uint64_t size, next;

        lab_up(&r, &cfg);
        for (unsigned s = 1; (size = lab_size(&r, s)) != 0; s++) {
            if (r.last < 2 * size - 1) {
                break;
            }
            lab_map_ok(&r, size, size);
            CHECK_EQ(lab_unmap(&r, size, size + (r.page - 1), false, &next), -PVI_EPART);
            CHECK_EQ(next, size);
            CHECK_EQ(lab_rights(&r, size + r.page, 2 * size - 1, PVI_READ, true, false, &next), -PVI_EPART);
            CHECK_EQ(lab_split(&r, size, 2 * size - 1, (unsigned)__builtin_ctzll(r.page)), -PVI_EOPNOTSUPP);
            lab_collapse(&r, 0, r.last);
            lab_check(&r);
            CHECK_EQ(lab_unmap(&r, size, 2 * size - 1, false, NULL), 0);
            lab_flush(&r);
        }
        lab_down(&r);
    }
}

/* --- requests that are wrong -------------------------------------------------------------------------- */

/* Lengths that end inside a page: refused before any frame of the list is looked at that is not there. */
static void list_of_part_of_a_page(struct lab *r)
{
    const uint64_t len[] = {r->page / 2, r->page + r->page / 2};

    for (unsigned i = 0; i < 2; i++) {
        pvi_pa *list = malloc((i + 1) * sizeof(*list)); /* exactly as long as the pages begun, less one */
        struct pvi_pt_map m = {.len = len[i], .list = list, .prot = PVI_RW};

        CHECK(list);
        for (unsigned k = 0; k <= i; k++) {
            list[k].a = (k + 1) * r->page;
        }
        CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EALIGN);
        CHECK_EQ(m.done, 0);
        free(list);
    }
    lab_check(r);
}

/* Frames that no leaf can name: refused when it is their turn, and what comes before them is mapped. */
static void list_of_unaligned_frames(struct lab *r)
{
    for (unsigned at = 0; at < 3; at++) {
        pvi_pa list[3];
        struct pvi_pt_map m = {.len = 3 * r->page, .list = list, .prot = PVI_RW};
        struct pvi_pt_unmap u = {.last = 3 * r->page - 1, .holes = true};

        check_step("frame %u", at);
        for (unsigned k = 0; k < 3; k++) {
            list[k].a = (2 * k + 2) * r->page + (k == at ? r->page / 2 : 0);
        }
        CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EALIGN);
        CHECK_EQ(m.done, at * r->page);
        while (!u.complete) {
            CHECK_EQ(r->pt.cfg.ops->unmap(&r->pt, NULL, &u, &r->gather), 0);
        }
        CHECK_EQ(u.removed, at * r->page);
        lab_flush(r);
        lab_check(r);
    }
}

static void lengths_of_lists(void **state)
{
    (void)state;
    lab_each_format(list_of_part_of_a_page);
}

static void frames_of_lists(void **state)
{
    (void)state;
    lab_each_format(list_of_unaligned_frames);
}

/* Sizes that no shift reaches. */
static void split_to_nothing(struct lab *r)
{
    for (unsigned lg2 = 52; lg2 <= UINT8_MAX; lg2++) {
        struct pvi_pt_change c = {.last = r->page - 1, .lg2 = (uint8_t)lg2};

        CHECK_EQ(r->pt.cfg.ops->split(&r->pt, NULL, &c, &r->gather), -PVI_EOPNOTSUPP);
        CHECK(!c.complete && c.next == 0);
    }
}

static void split_sizes_out_of_reach(void **state)
{
    (void)state;
    lab_each_format(split_to_nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_of_scattered_and_of_contiguous_frames),
        cmocka_unit_test(contiguous_list_merges_into_a_large_leaf),
        cmocka_unit_test(replace_by_the_same_size),
        cmocka_unit_test(replace_part_of_a_large_leaf),
        cmocka_unit_test(large_leaf_replaces_a_table),
        cmocka_unit_test(replace_across_everything),
        cmocka_unit_test(whole_leaves_only),
        cmocka_unit_test(fixed_sizes),
        cmocka_unit_test(lengths_of_lists),
        cmocka_unit_test(frames_of_lists),
        cmocka_unit_test(split_sizes_out_of_reach),
    };

    return cmocka_run_group_tests_name("engine: lists, replacing", tests, NULL, NULL);
}
