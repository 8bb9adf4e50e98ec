/* SPDX-License-Identifier: MIT */
/* The page-table engine, in every format and depth: mapping, sizes, overlaps, displaced tables, encodings. */
#include <stdlib.h>
#include <string.h>

#include "lab.h"

/* First address of the k-th of four places: both ends of the space and between. */
static uint64_t place(const struct lab *r, unsigned k, uint64_t size)
{
    uint64_t top = r->last - (size - 1);

    switch (k) {
    case 0:
        return 0;
    case 1:
        return size <= r->last - size ? size : 0;
    case 2:
        return (r->last / 2 + 1) / size * size;
    default:
        return top;
    }
}

/* Lookups on and around a leaf. */
static void look_around(struct lab *r, uint64_t iova, uint64_t pa, uint64_t size)
{
    const uint64_t at[] = {iova, iova + 1, iova + size / 2, iova + size - 1};
    struct pvi_pt_leaf leaf;

    for (unsigned i = 0; i < 4; i++) {
        memset(&leaf, 0xa5, sizeof(leaf));
        CHECK_EQ(r->pt.cfg.ops->lookup(&r->pt, at[i], &leaf), 0);
        CHECK_EQ(leaf.pa, pa + (at[i] - iova));
        CHECK_EQ(1ull << leaf.lg2, size);
        CHECK_EQ(leaf.prot, PVI_RW);
        CHECK_EQ(leaf.owe, PVI_OWE_WRITABLE);
    }
    if (iova != 0) {
        CHECK_EQ(r->pt.cfg.ops->lookup(&r->pt, iova - 1, &leaf), -PVI_ENOENT);
    }
    if (iova + (size - 1) != r->last) {
        CHECK_EQ(r->pt.cfg.ops->lookup(&r->pt, iova + size, &leaf), -PVI_ENOENT);
    }
}

static void each_size(struct lab *r)
{
    for (unsigned s = 0; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), gfn = GUEST_PV + (0x40000000ull >> 12);
        struct guest_frame f;

        CHECK(guest_frame(gfn, &f));
        for (unsigned k = 0; k < 4; k++) {
            uint64_t iova = place(r, k, size);
            struct lab_leaf leaf;

            check_step("size 0x%llx at 0x%llx", (unsigned long long)size, (unsigned long long)iova);
            CHECK_EQ(lab_map(r, iova, gfn, size, PVI_RW), 0);
            CHECK_EQ(lab_leaves(r, &leaf, 1), 1);
            CHECK_EQ(leaf.iova, iova);
            CHECK_EQ(leaf.pa, f.pa);
            CHECK_EQ(1ull << leaf.lg2, size);
            CHECK_EQ(r->quota.used, lab_needed(r));
            CHECK_EQ(r->quota.used, r->cfg.levels - lab_level(r, size));
            look_around(r, iova, f.pa, size);
            lab_flush(r);
            CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa + size - 1, PVI_OWE_WRITABLE), 1);
            CHECK_EQ(lab_unmap(r, iova, iova + (size - 1), false, NULL), 0);
            CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa, PVI_OWE_WRITABLE), 1); /* not before the flush */
            lab_flush(r);
            CHECK_EQ(pvi_posix_frame_count(r->hdom, f.pa, PVI_OWE_WRITABLE), 0);
            lab_check(r);
            (void)lab_unmap(r, 0, r->last, true, NULL);
            lab_flush(r);
            CHECK_EQ(r->quota.used, 1);
        }
    }
}

static void every_size_at_every_level(void **state)
{
    (void)state;
    lab_each(each_size);
}

/* One request into an empty table against the sizes that trying all of them finds. */
static void one_request(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len)
{
    static struct lab_leaf leaf[LAB_MAX_LEAVES];
    struct guest_frame f;
    uint64_t at = 0;
    size_t nr;

    CHECK(guest_frame(gfn, &f));
    check_step("0x%llx onto 0x%llx, 0x%llx bytes", (unsigned long long)iova, (unsigned long long)f.pa,
               (unsigned long long)len);
    CHECK_EQ(lab_map(r, iova, gfn, len, PVI_READ), 0);
    nr = lab_leaves(r, leaf, LAB_MAX_LEAVES);
    CHECK(nr <= LAB_MAX_LEAVES);
    for (size_t i = 0; i < nr; i++) {
        CHECK(at < len);
        CHECK_EQ(leaf[i].iova, iova + at);
        CHECK_EQ(1ull << leaf[i].lg2, lab_fit(r, iova + at, f.pa + at, len - at));
        at += 1ull << leaf[i].lg2;
    }
    CHECK_EQ(at, len);
    CHECK_EQ(r->quota.used, lab_needed(r));
    CHECK_EQ(lab_unmap(r, iova, iova + (len - 1), false, NULL), 0);
    (void)lab_unmap(r, 0, r->last, true, NULL);
    lab_flush(r);
    lab_check(r);
    CHECK_EQ(r->quota.used, 1);
}

static void largest_size(struct lab *r)
{
    struct rnd rnd = {r->cfg.levels + (r->usable << 3)};

    for (unsigned i = 0; i < 12; i++) {
        /* Units of all sizes, so that beginnings, ends and alignments of all sizes occur. */
        uint64_t unit = lab_size(r, (unsigned)rnd_below(&rnd, lab_nr_sizes(r))), shift, iova, len, gfn;

        len = r->page * (1 + rnd_below(&rnd, 300)) + unit * rnd_below(&rnd, 3);
        if (len > 0x80000000ull || len - 1 > r->last || len / r->page > LAB_MAX_LEAVES) {
            len = r->page;
        }
        iova = rnd_below(&rnd, (r->last - (len - 1)) / r->page + 1) * r->page;
        if (rnd_below(&rnd, 2) != 0) {
            iova = iova / unit * unit;
        }
        /* A frame congruent modulo some size, or one page off. */
        shift = rnd_below(&rnd, 4) == 0 ? r->page : 0;
        gfn = GUEST_PV + (((iova + shift) & 0x3fffffff) >> 12);
        one_request(r, iova, gfn, len);
    }
}

static void largest_size_that_fits(void **state)
{
    (void)state;
    lab_each(largest_size);
}

/* A run over the boundary between two last-level tables with one page taken, at each position of the run. */
static void each_position(struct lab *r)
{
    uint64_t span = lab_table_span(r), begin = r->last < span ? 0 : span - 5 * r->page;

    for (unsigned k = 0; k < 12; k++) {
        uint64_t at = begin + k * r->page;

        check_step("taken at %u", k);
        CHECK_EQ(lab_map(r, at, GUEST_KEPT, r->page, PVI_RW), 0);
        /* Once onto frames that allow no large leaf, once onto congruent ones. */
        CHECK_EQ(lab_map(r, begin, GUEST_PV + 512 * 3 + (r->page >> 12), 12 * r->page, PVI_RW), -PVI_EEXIST);
        CHECK_EQ(flat_pages(r->now), (k + 1) * (r->page >> 12));
        lab_check(r);
        CHECK_EQ(lab_map(r, at, GUEST_PV, r->page, PVI_RW), -PVI_EEXIST);
        CHECK_EQ(lab_unmap(r, begin, at + (r->page - 1), false, NULL), 0);
        lab_flush(r);
    }
}

static void overlap_at_each_position(void **state)
{
    (void)state;
    lab_each(each_position);
}

/* A small leaf in the way of large ones: what lies before it is mapped, in the largest sizes that still fit. */
static void small_in_large(struct lab *r)
{
    uint64_t large = lab_size(r, 1), small = lab_size(r, 0), way;

    if (large == 0 || r->last < 4 * large - 1) {
        return;
    }
    for (unsigned k = 0; k < 3; k++) {
        way = large + (k == 0 ? 0 : k == 1 ? large / 2 / small * small : large - small);
        check_step("in the way at 0x%llx", (unsigned long long)way);
        CHECK_EQ(lab_map(r, way, GUEST_KEPT, small, PVI_READ), 0);
        CHECK_EQ(lab_map(r, 0, GUEST_PV, 3 * large, PVI_RW), -PVI_EEXIST);
        CHECK_EQ(flat_pages(r->now), (way + small) >> 12);
        lab_check(r);
        /* A large leaf is in the way of small ones just so. */
        CHECK_EQ(lab_map(r, small, lab_loose(r), small, PVI_RW), -PVI_EEXIST);
        CHECK_EQ(lab_unmap(r, 0, way + (small - 1), false, NULL), 0);
        lab_flush(r);
    }
}

static void small_leaf_in_the_way_of_large_ones(void **state)
{
    (void)state;
    lab_each(small_in_large);
}

/* Every other page first, then the holes one by one, then all of it as one run that must fail at once. */
static void partly_filled(struct lab *r)
{
    unsigned i, n = 40;

    if (r->last < n * r->page) {
        n = 8;
    }
    for (i = 0; i < n; i += 2) {
        CHECK_EQ(lab_map(r, i * r->page, lab_loose(r) + i * (r->page >> 12), r->page, PVI_RW), 0);
    }
    CHECK_EQ(lab_map(r, 0, GUEST_PV, r->page, PVI_RW), -PVI_EEXIST);
    CHECK_EQ(lab_map(r, r->page, lab_loose(r) + (r->page >> 12), 2 * r->page, PVI_RW), -PVI_EEXIST);
    for (i = 3; i < n; i += 2) {
        CHECK_EQ(lab_map(r, i * r->page, lab_loose(r) + i * (r->page >> 12), r->page, PVI_RW), 0);
        lab_check(r);
    }
    CHECK_EQ(r->quota.used, lab_needed(r));
    CHECK_EQ(flat_pages(r->now), n * (r->page >> 12));
}

static void partly_filled_tables(void **state)
{
    (void)state;
    lab_each(partly_filled);
}

/* --- displaced tables ----------------------------------------------------------------------------- */

/* Leaves the tables that `size` bytes at iova need, but empty: mapped and unmapped piece by piece. */
static void leave_empty_tables(struct lab *r, uint64_t iova, uint64_t size, uint64_t piece)
{
    uint64_t at;

    for (at = 0; at < size; at += piece) {
        CHECK_EQ(lab_map(r, iova + at, lab_loose(r), r->page, PVI_RW), 0);
    }
    for (at = 0; at < size; at += piece) {
        CHECK_EQ(lab_unmap(r, iova + at, iova + at + (r->page - 1), false, NULL), 0);
    }
    lab_flush(r);
}

static void displace(struct lab *r)
{
    for (unsigned s = 1; lab_single(r, s) != 0; s++) {
        uint64_t size = lab_single(r, s), below = lab_single(r, s - 1), iova = r->last / 2 + 1 - size;
        uint32_t tables;
        struct lab_leaf leaf[4];

        iova = r->last / 2 < size ? 0 : iova;
        check_step("size 0x%llx over tables", (unsigned long long)size);
        leave_empty_tables(r, iova, size, below);
        tables = r->quota.used;
        CHECK(tables > r->cfg.levels - lab_level(r, size));
        lab_map_ok(r, iova, size);
        CHECK_EQ(r->quota.used, tables); /* gathered, still counted */
        CHECK_EQ(lab_leaves(r, leaf, 4), 1);
        CHECK_EQ(1ull << leaf[0].lg2, size);
        lab_flush(r);
        lab_check(r);
        CHECK_EQ(r->quota.used, lab_needed(r));
        CHECK_EQ(lab_unmap(r, iova, iova + (size - 1), false, NULL), 0);
        lab_flush(r);
    }
}

static void large_leaf_displaces_empty_tables(void **state)
{
    (void)state;
    lab_each(displace);
}

/* One live leaf below: the attempt falls back to what fits around it, and tells the exact address. */
static void displace_live(struct lab *r)
{
    for (unsigned s = 1; lab_single(r, s) != 0; s++) {
        uint64_t size = lab_single(r, s), below = lab_single(r, s - 1), iova = size, stay;

        if (r->last < 3 * size - 1) {
            continue;
        }
        for (unsigned k = 0; k < 3; k++) {
            stay = iova + (k == 0 ? 0 : k == 1 ? size / below / 2 * below : size - r->page);
            check_step("size 0x%llx, live at 0x%llx", (unsigned long long)size, (unsigned long long)stay);
            leave_empty_tables(r, iova, size, below);
            CHECK_EQ(lab_map(r, stay, GUEST_KEPT, r->page, PVI_RW), 0);
            CHECK_EQ(lab_map(r, iova, GUEST_PV, 2 * size, PVI_RW), -PVI_EEXIST);
            CHECK_EQ(flat_pages(r->now), (stay - iova + r->page) >> 12);
            lab_flush(r);
            lab_check(r);
            CHECK_EQ(lab_unmap(r, iova, stay + (r->page - 1), false, NULL), 0);
            (void)lab_unmap(r, 0, r->last, true, NULL);
            lab_flush(r);
        }
    }
}

static void live_leaf_keeps_its_table(void **state)
{
    (void)state;
    lab_each(displace_live);
}

/* --- shortage ------------------------------------------------------------------------------------- */

/* A pool that lacks one page for the chain: nothing changes, the promise is dropped; with it, all is well. */
static void short_of_pages(struct lab *r)
{
    uint32_t chain = r->cfg.levels - 1 - lab_level(r, r->page), taken = r->pool.nr_free, i;
    struct pvi_page *hold;
    struct pvi_quota other = {.limit = UINT32_MAX};

    r->keep_pool = true;
    for (i = 0; i < chain; i++) {
        CHECK_EQ(pvi_pool_take(&r->pool, &other, taken - i, 0, PVI_PAGE_LIST, &hold), 0);
        check_step("%u pages left of %u", i, chain);
        CHECK_EQ(lab_map(r, 0, lab_loose(r), r->page, PVI_RW), -PVI_ENOMEM);
        pvi_pool_put_list(&r->pool, hold);
        lab_check(r);
        CHECK_EQ(flat_pages(r->now), 0);
        r->quota.limit = 1 + i;
        CHECK_EQ(lab_map(r, 0, lab_loose(r), r->page, PVI_RW), -PVI_EQUOTA);
        r->quota.limit = UINT32_MAX;
        lab_check(r);
        CHECK_EQ(flat_pages(r->now), 0);
    }
    r->quota.limit = 1 + chain;
    CHECK_EQ(lab_map(r, 0, lab_loose(r), r->page, PVI_RW), 0);
    r->quota.limit = UINT32_MAX;
    lab_check(r);
}

static void out_of_pages_changes_nothing(void **state)
{
    (void)state;
    lab_each(short_of_pages);
}

/* --- encodings ------------------------------------------------------------------------------------ */

struct encoding {
    const struct lab_format *f;
    unsigned levels;
    uint64_t iova, size, pa;
    unsigned prot;
    bool snoop;
    uint64_t leaf;
};

/* hwspec 11; a leaf that owes nothing has no bit of the library's own. */
static const struct encoding encodings[] = {
    {&lab_vtd, 4, 0, 0x1000, 0x80000000, PVI_RW, true, 0x0000000080000803},
    {&lab_vtd, 4, 0, 0x1000, 0x80000000, PVI_RW, false, 0x0000000080000003},
    {&lab_vtd, 3, 0, 0x200000, 0x80000000, PVI_RW, false, 0x0000000080000083},
    {&lab_vtd, 5, 0, 0x40000000, 0x80000000, PVI_RW, false, 0x0000000080000083},
    {&lab_vtd, 4, 0, 0x1000, 0x80000000, PVI_READ, false, 0x0000000080000001},
    {&lab_vtd, 4, 0, 0x1000, 0x80000000, PVI_WRITE, false, 0x0000000080000002},
    {&lab_fs, 4, 0, 0x1000, 0x80000000, PVI_RW, false, 0x0000000080000067},
    {&lab_fs, 5, 0, 0x1000, 0x80000000, PVI_READ, false, 0x0000000080000025},
    {&lab_fs, 4, 0, 0x200000, 0x80000000, PVI_RW, false, 0x00000000800000e7},
    {&lab_fs, 5, 0, 0x40000000, 0x80000000, PVI_RW, false, 0x00000000800000e7},
    {&lab_v2, 5, 0, 0x1000, 0x80000000, PVI_RW, true, 0x0000000080000067},
    {&lab_v2, 4, 0, 0x40000000, 0x80000000, PVI_READ, false, 0x00000000800000a5},
    {&lab_amd, 4, 0, 0x1000, 0x80000000, PVI_RW, true, 0x7000000080000001},
    {&lab_amd, 4, 0, 0x1000, 0x80000000, PVI_RW, false, 0x6000000080000001},
    {&lab_amd, 6, 0, 0x200000, 0x80000000, PVI_RW, true, 0x7000000080000001},
    {&lab_amd, 3, 0, 0x40000000, 0x80000000, PVI_READ, false, 0x2000000080000001},
    {&lab_amd, 1, 0, 0x1000, 0x80000000, PVI_WRITE, false, 0x4000000080000001},
    /* Repeated leaves: the bits below log2(size) - 1 are ones, that bit is 0 (hwspec 6.9). */
    {&lab_amd, 1, 0, 0x2000, 0x80000000, PVI_RW, true, 0x7000000080000e01},
    {&lab_amd, 2, 0, 0x8000, 0x80000000, PVI_RW, false, 0x6000000080003e01},
    {&lab_amd, 3, 0, 0x100000, 0x80000000, PVI_RW, true, 0x700000008007fe01},
    {&lab_amd, 4, 0, 0x400000, 0x80000000, PVI_RW, false, 0x60000000801ffe01},
    {&lab_amd, 6, 0, 0x20000000, 0x80000000, PVI_READ, false, 0x200000008ffffe01},
    {&lab_amd, 3, 0, 0x100000000, 0x200000000, PVI_RW, true, 0x700000027ffffe01},
    {&lab_amd, 5, 0, 1ull << 40, 1ull << 41, PVI_RW, false, 0x6000027ffffffe01},
    {&lab_amd, 5, 0, 1ull << 48, 1ull << 49, PVI_RW, false, 0x6002000000000001},
};

static void one_encoding(const struct encoding *e)
{
    struct lab_cfg cfg = {.f = e->f, .levels = e->levels, .sizes = UINT64_MAX, .snoop = e->snoop};
    static struct lab r;

    lab_up(&r, &cfg);
    CHECK_EQ(lab_map_pa(&r, e->iova, e->pa, e->size, e->prot), 0);
    CHECK_EQ(lab_entry(&r, 0, lab_level(&r, e->size), NULL), e->leaf);
    for (unsigned level = lab_level(&r, e->size) + 1; level < e->levels; level++) {
        uint64_t table, link = lab_entry(&r, 0, level, NULL), want;

        (void)lab_entry(&r, 0, level - 1, &table);
        /* VT-d: R and W. x86: P, R/W, U/S, A. AMD-Vi: as 0x6000000004000601 for table 0x04000000 of level 3; it ignores bit 7. */
        want = table | (e->f == &lab_vtd   ? 3
                        : e->f == &lab_amd ? 0x6000000000000001 | (uint64_t)level << 9
                                           : 0x27);
        CHECK_EQ(e->f == &lab_amd ? link & ~0x80ull : link, want);
    }
    lab_down(&r);
}

static void worked_encodings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
        one_encoding(&encodings[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_at_every_level),
        cmocka_unit_test(largest_size_that_fits),
        cmocka_unit_test(overlap_at_each_position),
        cmocka_unit_test(small_leaf_in_the_way_of_large_ones),
        cmocka_unit_test(partly_filled_tables),
        cmocka_unit_test(large_leaf_displaces_empty_tables),
        cmocka_unit_test(live_leaf_keeps_its_table),
        cmocka_unit_test(out_of_pages_changes_nothing),
        cmocka_unit_test(worked_encodings),
    };

    return cmocka_run_group_tests_name("engine: map", tests, NULL, NULL);
}
