/* SPDX-License-Identifier: MIT */
/*
 * Cases that another project's page tables are tested with, or once failed at, as names and numbers go (performance.md 4.1 to
 * 4.3 of the references), against our own interface. What the other engine tests cover is only named in them.
 */
#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define TEST_OA 0x74a71445deadbeefull
#define MAX_BYTES 0x400000000ull /* 16 GiB */

static uint64_t oa_for(uint64_t size)
{
    return TEST_OA & ((1ull << 52) - 1) & ~(size - 1);
}

/* Leaves of 2^lg2 bytes, by the engine's walk and by a walker that shares nothing with it. */
static uint64_t census(struct lab *r, unsigned lg2)
{
    struct pvi_pt_scan s = {.first = 0, .last = r->last};
    static struct lab_leaf leaf[LAB_MAX_LEAVES];
    size_t nr = lab_leaves(r, leaf, LAB_MAX_LEAVES), same = 0;

    while (!s.complete) {
        CHECK_EQ(r->pt.cfg.ops->scan(&r->pt, &s), 0);
    }
    CHECK(nr <= LAB_MAX_LEAVES);
    for (size_t i = 0; i < nr; i++) {
        same += leaf[i].lg2 == lg2;
    }
    CHECK_EQ(s.leaves[lg2], same);
    return same;
}

static void empty_again(struct lab *r)
{
    CHECK_EQ(r->leaves.nr, 0);
    lab_flush(r);
    lab_check(r);
}

/* --- 4.1 ---------------------------------------------------------------------------------------------- */

static void init(struct lab *r)
{
    CHECK(r->pt.cfg.page_sizes != 0);
    CHECK_EQ(lab_reach(r->cfg.f, r->cfg.levels), r->cfg.f->ops->iova_bits(r->cfg.levels) == 64
                                                     ? UINT64_MAX
                                                     : (1ull << r->cfg.f->ops->iova_bits(r->cfg.levels)) - 1);
}

static void test_init(void **state)
{
    (void)state;
    lab_each(init);
}

/* Any address, frame and length: the leaf at the beginning is the one that trying all sizes finds. */
static void best_pgsize(struct lab *r)
{
    struct rnd rnd = {77};

    for (unsigned i = 0; i < 60; i++) {
        unsigned cut = 12 + (unsigned)rnd_below(&rnd, 10);
        uint64_t mask = ~((1ull << cut) - 1) & ~(r->page - 1), iova = rnd_next(&rnd) & r->last & mask;
        uint64_t pa = rnd_next(&rnd) & 0xfffffffffffffull & mask, len = r->page * (1 + rnd_below(&rnd, 2000));

        if (i % 3 == 0) {
            pa = (pa & ~0x3fffffffull) | (iova & 0x3fffffff);
        }
        len = len - 1 > r->last - iova ? r->page : len;
        len = len - 1 > 0xfffffffffffffull - pa ? r->page : len;
        CHECK_EQ(lab_map_pa(r, iova, pa, len, PVI_RW), 0);
        CHECK_EQ(1ull << lab_set_at(&r->leaves, iova)->lg2, lab_fit(r, iova, pa, len));
        lab_check(r);
        CHECK_EQ(lab_unmap(r, iova, iova + (len - 1), false, NULL), 0);
        empty_again(r);
    }
}

static void test_best_pgsize(void **state)
{
    (void)state;
    lab_each_format(best_pgsize);
}

/* Every size that a table can hold, the largest included, onto the test address, 0 and the highest one. */
static void entry_oa(struct lab *r)
{
    for (unsigned lg2 = 12; lg2 < 52; lg2++) {
        uint64_t size = 1ull << lg2, top = ((1ull << 52) - 1) & ~(size - 1), iova;
        const uint64_t pa[] = {oa_for(size), 0, top};

        if ((r->usable & size) == 0) {
            continue;
        }
        iova = r->last - (size - 1);
        for (unsigned k = 0; k < 3; k++) {
            check_step("2^%u bytes onto 0x%llx", lg2, (unsigned long long)pa[k]);
            CHECK_EQ(lab_map_pa(r, iova, pa[k], size, PVI_RW), 0);
            CHECK_EQ(census(r, lg2), 1);
            lab_check(r);
            lab_lookup(r, iova);
            lab_lookup(r, iova + (size - 1));
            lab_lookup(r, iova + size / 2);
            CHECK_EQ(lab_unmap(r, iova, iova + (size - 1), false, NULL), 0);
            empty_again(r);
        }
    }
}

static void test_entry_oa(void **state)
{
    (void)state;
    lab_each_format(entry_oa);
}

/* 1 GiB of 4 KiB pages is 262144 leaves; where larger ones fit, the smaller ones end where these begin. */
static void test_pgsz_count(void **state)
{
    struct lab_cfg cfg = {.f = &lab_vtd, .levels = 4, .sizes = 0x1000};
    static struct lab r;
    struct pvi_pt_scan s;

    (void)state;
    lab_up(&r, &cfg);
    CHECK_EQ(lab_map_pa(&r, 0x40000000, 0x80000000, 0x40000000, PVI_RW), 0);
    s = (struct pvi_pt_scan){.first = 0, .last = r.last};
    while (!s.complete) {
        CHECK_EQ(r.pt.cfg.ops->scan(&r.pt, &s), 0);
    }
    CHECK_EQ(s.leaves[12], 262144);
    lab_down(&r);
    cfg.sizes = 0x201000;
    lab_up(&r, &cfg);
    CHECK_EQ(lab_map_pa(&r, 0x1000, 0x1000, 0x40000000 - 0x1000, PVI_RW), 0);
    CHECK_EQ(census(&r, 12), 511);
    CHECK_EQ(census(&r, 21), 511);
    lab_down(&r);
}

/* --- 4.2 ---------------------------------------------------------------------------------------------- */

/* From page 256 on every size once, at its own alignment. */
static void map_simple(struct lab *r)
{
    uint64_t iova = 256 * r->page, at[52] = {0};

    for (unsigned lg2 = 12; lg2 < 52; lg2++) {
        uint64_t size = 1ull << lg2;

        if ((r->usable & size) == 0 || iova + (size - 1) > r->last / 2 + 1 - size || size > r->last / 4) {
            continue;
        }
        iova = (iova + size - 1) & ~(size - 1);
        CHECK_EQ(lab_map_pa(r, iova, oa_for(size), size, PVI_RW), 0);
        for (uint64_t off = 0; off < size; off += size / 8 > 0x1000 ? size / 8 : 0x1000) {
            lab_lookup(r, iova + off);
        }
        at[lg2] = iova;
        iova += size;
    }
    lab_check(r);
    for (unsigned lg2 = 12; lg2 < 52; lg2++) {
        if (at[lg2] != 0) {
            CHECK_EQ(census(r, lg2), 1);
            CHECK_EQ(lab_unmap(r, at[lg2], at[lg2] + ((1ull << lg2) - 1), false, NULL), 0);
            CHECK_EQ(census(r, lg2), 0);
        }
    }
    empty_again(r);
}

static void test_map_simple(void **state)
{
    (void)state;
    lab_each_format(map_simple);
}

/* The largest size again and again by each smaller one; the tables that stay must make way for the next size. */
static void map_table_to_oa(struct lab *r)
{
    uint64_t most = 0;

    for (unsigned lg2 = 12; lg2 < 34; lg2++) {
        most = (r->usable >> lg2 & 1) != 0 && 1ull << lg2 <= r->last / 2 && 1ull << lg2 < MAX_BYTES ? 1ull << lg2 : most;
    }
    for (unsigned lg2 = 12; most != 0 && 1ull << lg2 <= most; lg2++) {
        uint64_t size = 1ull << lg2, half = most / 2;

        if ((r->usable & size) == 0 || most / size > 4096) {
            continue;
        }
        check_step("2^%u bytes", lg2);
        for (uint64_t at = 0; at < most; at += size) {
            CHECK_EQ(lab_map_pa(r, most + at, oa_for(most) + at, size, PVI_RW), 0);
        }
        CHECK_EQ(census(r, lg2), most / size);
        CHECK_EQ(r->leaves.nr, most / size);
        lab_check(r);
        if (size == most) {
            CHECK_EQ(lab_unmap(r, most, 2 * most - 1, false, NULL), 0);
        } else {
            CHECK_EQ(lab_unmap(r, most, most + (half - 1), false, NULL), 0);
            for (uint64_t at = half; at < most; at += size) {
                CHECK_EQ(lab_unmap(r, most + at, most + at + (size - 1), false, NULL), 0);
            }
        }
        empty_again(r);
    }
}

static void test_map_table_to_oa(void **state)
{
    (void)state;
    lab_each_format(map_table_to_oa);
}

/*
 * Each pair of sizes, two large leaves side by side: a small piece out of the first. Here it is cut, or with `whole` refused,
 * and never more than what was asked for goes; the second stays as it is.
 */
static void unmap_split(struct lab *r)
{
    for (unsigned big = 13; big < 52; big++) {
        uint64_t size = 1ull << big, next;

        if ((r->usable & size) == 0 || r->last / 4 < size || size > 1ull << 39) {
            continue;
        }
        for (unsigned small = 12; small < big; small++) {
            if ((r->usable >> small & 1) == 0) {
                continue;
            }
            check_step("2^%u out of 2^%u", small, big);
            CHECK_EQ(lab_map_pa(r, 2 * size, oa_for(4 * size), size, PVI_RW), 0);
            CHECK_EQ(lab_map_pa(r, 3 * size, oa_for(4 * size) + 4 * size, size, PVI_RW), 0);
            CHECK_EQ(lab_unmap_whole(r, 2 * size, 2 * size + ((1ull << small) - 1), false, &next), -PVI_EPART);
            CHECK_EQ(next, 2 * size);
            CHECK_EQ(r->leaves.nr, 2);
            CHECK_EQ(lab_unmap(r, 2 * size, 2 * size + ((1ull << small) - 1), false, NULL), 0);
            CHECK_EQ(lab_set_at(&r->leaves, 3 * size)->lg2, big);
            lab_check(r);
            CHECK_EQ(lab_unmap(r, 2 * size, 4 * size - 1, true, NULL), 0);
            empty_again(r);
        }
    }
}

static void test_unmap_split(void **state)
{
    (void)state;
    lab_each_format(unmap_split);
}

/* 1000 random ranges in a gigabyte onto themselves: what overlaps is refused, made free, and mapped. */
static void random_map(struct lab *r)
{
    struct rnd rnd = {4};
    uint64_t window = r->last < 0x40000000 ? r->last + 1 : 0x40000000, pages = window / r->page, next;

    for (unsigned i = 0; i < 200; i++) {
        uint64_t first = rnd_below(&rnd, pages), nr = 1 + rnd_below(&rnd, i % 8 ? 64 : pages / 2);

        nr = nr < pages - first ? nr : pages - first;
        first *= r->page;
        nr *= r->page;
        if (lab_map_pa(r, first, first, nr, PVI_RW) != 0) {
            CHECK_EQ(lab_unmap(r, first, first + (nr - 1), true, &next), 0);
            CHECK_EQ(lab_map_pa(r, first, first, nr, PVI_RW), 0);
        }
        if (i % 16 == 0) {
            lab_check(r);
        }
    }
    CHECK_EQ(lab_unmap(r, 0, window - 1, true, NULL), 0);
    empty_again(r);
}

static void test_random_map(void **state)
{
    (void)state;
    lab_each_format(random_map);
}

/* Two ranges that once were mapped wrongly elsewhere. */
static void two_ranges(struct lab *r)
{
    if (r->last < 0x4c0600000 || r->page != 0x1000) {
        return;
    }
    CHECK_EQ(lab_map_pa(r, 0xfef80000, 0x208b95d000, 0x20000, PVI_RW), 0);
    lab_lookup(r, 0xfef9ffff);
    lab_check(r);
    CHECK_EQ(lab_unmap(r, 0xfef80000, 0xfef9ffff, false, NULL), 0);
    CHECK_EQ(lab_map_pa(r, 0x3fe400000, 0x3fe400000, 0x4c0600000 - 0x3fe400000, PVI_RW), 0);
    lab_check(r);
    if (r->cfg.f != &lab_amd && r->cfg.f != &lab_hostile) {
        CHECK_EQ(r->leaves.nr, 14 + 3 + 3);
        CHECK_EQ(census(r, 21), 17);
        CHECK_EQ(census(r, 30), 3);
        CHECK_EQ(r->leaves.leaf[13].lg2, 21);
        CHECK_EQ(r->leaves.leaf[14].lg2, 30);
        CHECK_EQ(r->leaves.leaf[17].lg2, 21);
    }
    CHECK_EQ(lab_unmap(r, 0x3fe400000, 0x4c0600000 - 1, false, NULL), 0);
    empty_again(r);
}

static void test_pgsize_boundary_and_test_mixed(void **state)
{
    (void)state;
    lab_each_format(two_ranges);
}

/* --- 4.3 ---------------------------------------------------------------------------------------------- */

/* Where the smallest page is larger than 4 KiB nothing smaller is ever accepted, nor made. */
static void smallest_page(struct lab *r)
{
    struct pvi_pt_map m = {.iova = r->page, .pa = r->page, .len = 0x1000, .prot = PVI_RW};

    if (r->page == 0x1000) {
        return;
    }
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EALIGN);
    m.len = r->page;
    m.iova += 0x1000;
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EALIGN);
    m.iova = 0;
    m.pa = 0x1000;
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EALIGN);
    CHECK_EQ(r->quota.used, 1);
    lab_check(r);
}

static void page_that_is_not_allowed(void **state)
{
    (void)state;
    lab_each(smallest_page);
}

/* Length 0 is refused; the frames must end within the width of addresses too, on every path. */
static void lengths(struct lab *r)
{
    struct pvi_pt_map m = {.iova = 0, .pa = 0, .len = 0, .prot = PVI_RW};
    pvi_pa list[2] = {{(1ull << 52) - r->page}, {1ull << 52}};

    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_ELENGTH);
    m.len = 2 * r->page;
    m.pa = (1ull << 52) - r->page;
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_ERANGE);
    m.pa = 0 - r->page;
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_ERANGE);
    CHECK_EQ(m.done, 0);
    lab_check(r);
    CHECK_EQ(r->quota.used, 1);
    m.pa = 0;
    m.len = r->page;
    m.list = &list[1];
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_ERANGE);
    CHECK_EQ(m.done, 0);
    m.prot = 0;
    m.list = NULL;
    CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), -PVI_EOPNOTSUPP);
    CHECK_EQ(r->quota.used, 1);
}

static void lengths_and_ends_of_frames(void **state)
{
    (void)state;
    lab_each(lengths);
}

/* The n-th page that is asked for is not there, for every n: told, nothing lost, and it goes on with pages. */
static void test_every_shortage(void **state)
{
    static struct lab r;

    (void)state;
    for (unsigned i = 0; i < lab_nr_depths; i++) {
        struct lab_cfg cfg = {.f = lab_depths[i].f, .levels = lab_depths[i].levels, .sizes = UINT64_MAX, .trim = true};

        for (uint32_t n = 1; n < 9; n++) {
            uint64_t large, last;

            cfg.pages = 64;
            lab_up(&r, &cfg);
            large = lab_single(&r, 1) ? lab_single(&r, 1) : lab_size(&r, 1);
            last = r.last < 4 * large ? r.last : 4 * large - 1;
            r.quota.limit = n;
            (void)lab_map(&r, r.page, lab_loose(&r), last + 1 - 2 * r.page < 700 * r.page ? last + 1 - 2 * r.page : 700 * r.page, PVI_RW);
            lab_check(&r);
            (void)lab_replace(&r, 0, GUEST_PV, large, PVI_RW);
            lab_check(&r);
            (void)lab_unmap(&r, r.page, large - 1, true, NULL);
            lab_check(&r);
            (void)lab_map(&r, r.page, GUEST_PV + (r.page >> 12), r.page, PVI_RW);
            (void)lab_split(&r, 0, last, (unsigned)__builtin_ctzll(r.page));
            lab_check(&r);
            (void)lab_rights(&r, r.page, r.page + large / 2 - 1, PVI_READ, true, false, NULL);
            lab_check(&r);
            lab_collapse(&r, 0, last);
            lab_check(&r);
            lab_flush(&r);
            r.quota.limit = UINT32_MAX;
            lab_down(&r);
        }
    }
}

/* --- debts ---------------------------------------------------------------------------------------------- */

/* Leaves that differ in nothing but in what they owe never become one. */
static void debts_differ(struct lab *r)
{
    uint64_t size = lab_single(r, 1) ? lab_single(r, 1) : lab_size(r, lab_nr_sizes(r) - 1), half = size / 2;

    if (size <= 2 * r->page || r->last < 2 * size - 1 || r->page != 0x1000) {
        return;
    }
    lab_map_ok(r, size, size); /* owes what writing takes, and goes on to */
    CHECK_EQ(lab_split(r, size, 2 * size - 1, 12), 0);
    CHECK_EQ(lab_rights(r, size, 2 * size - 1, PVI_READ, true, false, NULL), 0);
    CHECK_EQ(lab_replace(r, size + half, GUEST_PV + ((size + half) >> 12), r->page, PVI_READ), 0);
    lab_flush(r);
    lab_collapse(r, 0, r->last);
    CHECK(r->leaves.nr > 1);
    lab_check(r);
}

static void debts_keep_leaves_apart(void **state)
{
    (void)state;
    lab_each_format(debts_differ);
}

/* --- single leaves up to an end ---------------------------------------------------------------------------- */

/* The last pages that the table translates go, and only they; a slice that goes from level to level keeps to what one may do. */
static void ends(struct lab *r)
{
    uint64_t top = r->last - (2 * r->page - 1), mid = lab_single(r, 1), big = lab_single(r, 2);

    lab_map_ok(r, 0, 2 * r->page);
    CHECK_EQ(lab_map(r, top, GUEST_PV, 2 * r->page, PVI_RW), 0);
    CHECK_EQ(lab_unmap(r, top, r->last, false, NULL), 0);
    lab_check(r);
    lab_forget_all(r);
    if (big != 0 && big <= 1ull << 30 && r->last > big) {
        CHECK_EQ(lab_map_pa(r, r->page, 1ull << 40 | r->page, mid - r->page, PVI_RW), 0);
        CHECK_EQ(lab_map_pa(r, mid, 1ull << 40 | mid, big - mid, PVI_RW), 0);
        lab_flush(r);
        CHECK_EQ(lab_unmap(r, r->page, big - 1, false, NULL), 0);
        lab_check(r);
    }
}

static void ends_and_levels(void **state)
{
    (void)state;
    lab_each_format(ends);
}

/* One leaf of `size`, which owes nothing, at each place. */
static void leaves_at(struct lab *r, uint64_t size, const uint64_t *at, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        CHECK_EQ(lab_map_pa(r, at[i], 1ull << 40 | at[i], size, PVI_RW), 0);
    }
    lab_flush(r);
}

/*
 * From the last entry of a table on into the next table: nothing else of either goes, whatever lies behind the first one in memory;
 * with trim a table that is empty then goes at once, and not only the last of them.
 */
static void over_the_end(struct lab *r)
{
    for (unsigned k = 0; lab_single(r, k) != 0; k++) {
        uint64_t size = lab_single(r, k), reach = size << r->cfg.f->bits[lab_level(r, size)];
        const uint64_t at[] = {0, reach - size, reach, 2 * reach - size, 2 * reach, 3 * reach - size};
        struct lab_cfg cfg = r->cfg;
        static struct lab other;

        if (r->last < 3 * reach - 1) {
            break; /* there are not so many tables of this level */
        }
        check_case("leaves of 0x%llx", (unsigned long long)size);
        leaves_at(r, size, at, 6);
        CHECK_EQ(lab_unmap(r, reach - size, reach + size - 1, false, NULL), 0);
        lab_check(r);
        CHECK_EQ(lab_unmap(r, 2 * reach - size, 2 * reach + size - 1, false, NULL), 0);
        lab_check(r);
        lab_forget_all(r);
        CHECK_EQ(lab_map_pa(r, 0, 1ull << 41, r->page, PVI_RW), 0); /* the next entry is the first one of another table */
        leaves_at(r, size, &at[1], 1);
        CHECK_EQ(lab_map_pa(r, reach, 1ull << 41, r->page, PVI_RW), 0);
        CHECK_EQ(lab_unmap(r, reach - size, reach + r->page - 1, false, NULL), 0);
        lab_check(r);
        lab_forget_all(r);
        cfg.trim = true;
        lab_up(&other, &cfg);
        leaves_at(&other, size, &at[1], 3);
        CHECK_EQ(lab_unmap(&other, reach - size, reach + size - 1, false, NULL), 0);
        lab_check(&other);
        CHECK_EQ(lab_unmap(&other, 2 * reach - size, 2 * reach - 1, false, NULL), 0);
        lab_check(&other);
        lab_down(&other);
    }
}

static void forget_to(struct lab *r, struct pvi_pt *pt, uint64_t last)
{
    struct pvi_pt_unmap u = {.first = 0, .last = last, .next = 0, .holes = true};
    int rc = 0;

    for (unsigned i = 0; i < 4096 && rc == 0 && !u.complete; i++) {
        rc = pt->cfg.ops->unmap(pt, NULL, &u, &r->gather);
    }
    CHECK_EQ(rc, 0);
    CHECK(u.complete);
}

/* Widths of addresses that end in the middle of a leaf: its first byte is one of them, and the table that it would go into is there. */
static void part_beyond(struct lab *r)
{
    struct pvi_pt_cfg cfg = r->pt.cfg;
    struct pvi_pt pt;

    for (unsigned k = 1; lab_single(r, k) != 0 && lab_single(r, k) <= 1ull << 30; k++) {
        uint64_t size = lab_single(r, k);
        struct pvi_pt_map map = {.iova = 0, .pa = 1ull << 40, .len = r->page, .prot = PVI_RW};

        cfg.iova_bits = (uint8_t)(__builtin_ctzll(size) - 1);
        CHECK_EQ(pvi_pt_init(&pt, &cfg, &r->pool, &r->quota), 0);
        CHECK_EQ(cfg.ops->map(&pt, NULL, &map, &r->gather), 0);
        forget_to(r, &pt, size - 1); /* the table below goes, the one that a larger leaf would go into stays */
        map = (struct pvi_pt_map){.iova = 0, .pa = 1ull << 40, .len = size, .prot = PVI_RW};
        CHECK_EQ(cfg.ops->map(&pt, NULL, &map, &r->gather), -PVI_ERANGE);
        CHECK_EQ(map.done, 0);
        forget_to(r, &pt, pt.table_last);
        CHECK_EQ(pvi_gather_flush(&r->gather), 0);
        pvi_pt_fini(&pt);
    }
}

static void over_the_end_of_limits(void **state)
{
    (void)state;
    lab_each_format(part_beyond);
}

static void over_the_end_of_tables(void **state)
{
    (void)state;
    lab_each_format(over_the_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_best_pgsize),
        cmocka_unit_test(test_entry_oa),
        cmocka_unit_test(test_pgsz_count),
        cmocka_unit_test(test_map_simple),
        cmocka_unit_test(test_map_table_to_oa),
        cmocka_unit_test(test_unmap_split),
        cmocka_unit_test(test_random_map),
        cmocka_unit_test(test_pgsize_boundary_and_test_mixed),
        cmocka_unit_test(page_that_is_not_allowed),
        cmocka_unit_test(lengths_and_ends_of_frames),
        cmocka_unit_test(test_every_shortage),
        cmocka_unit_test(debts_keep_leaves_apart),
        cmocka_unit_test(ends_and_levels),
        cmocka_unit_test(over_the_end_of_tables),
        cmocka_unit_test(over_the_end_of_limits),
    };

    return cmocka_run_group_tests_name("engine: cases", tests, NULL, NULL);
}
