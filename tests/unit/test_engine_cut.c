/* SPDX-License-Identifier: MIT */
/*
 * The page-table engine: leaves that hardware changes between the engine's look at them and its store (hwspec 3.2, 6.10:
 * accessed and dirty bits), leaves that can only be cut into repeated ones, and leaves that displace two levels of tables.
 */
#include "lab.h"

#define G1 (1ull << 30)

/* --- a device writes meanwhile --------------------------------------------------------------------------- */

static struct {
    struct pvi_posix_view view;
    uint64_t entry;  /* its address; 0: nothing more to come */
    uint64_t bit[2]; /* one at each store of the engine's, before it */
    unsigned at;
} device;

static void notes(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (after || !device.entry) {
        return;
    }
    pvi_posix_hw_write64(&device.view, device.entry,
                         pvi_posix_hw_read64(&device.view, device.entry) | device.bit[device.at]);
    if (device.at++ == 1 || device.bit[0] == device.bit[1]) {
        device.entry = 0;
    }
}

/*
 * A clean leaf; at the engine's next store a device has read through it (where that is not noted beforehand), at the one
 * after that it has written; or it has written at once.
 */
static void clean_leaf(struct lab *r, uint64_t iova, uint64_t size, bool reads)
{
    static struct lab_leaf leaf[LAB_MAX_LEAVES];
    size_t nr, i;

    lab_map_ok(r, iova, size);
    lab_flush(r);
    lab_dirty(r, iova, iova + (size - 1), true);
    lab_flush(r);
    lab_check(r);
    nr = lab_leaves(r, leaf, LAB_MAX_LEAVES);
    for (i = 0; i < nr && leaf[i].iova != iova; i++) {
    }
    CHECK(i < nr && 1ull << leaf[i].lg2 == size && !leaf[i].dirty);
    device.view = (struct pvi_posix_view){.host = r->host, .coherent = true};
    device.entry = leaf[i].entry_pa;
    device.bit[1] = r->cfg.f->dirty(leaf[i].level);
    device.bit[0] = r->cfg.f->accessed(leaf[i].level);
    device.bit[0] = reads && (leaf[i].raw & device.bit[0]) == 0 ? device.bit[0] : device.bit[1];
    device.at = 0;
    lab_set_at(&r->leaves, iova)->dirty = true; /* it will be, before anything is done to it */
    pvi_posix_hook(r->host, PVI_AT_BIT(PVI_AT_WRITE), notes, NULL);
}

static void noted(struct lab *r, uint64_t first, uint64_t last)
{
    pvi_posix_hook(r->host, 0, NULL, NULL);
    CHECK(device.at != 0 && device.entry == 0); /* it came in between */
    lab_check(r);
    lab_dirty(r, first, last, false); /* each page of it counts as written */
    lab_flush(r);
    lab_check(r);
}

static void written_while_cut(struct lab *r)
{
    for (unsigned s = 1; lab_single(r, s) != 0; s++) {
        uint64_t size = lab_single(r, s), iova = r->last >= 2 * size - 1 ? size : 0;

        for (unsigned k = 0; k < 4; k++) {
            check_step("size 0x%llx, %u", (unsigned long long)size, k);
            clean_leaf(r, iova, size, k % 2 != 0);
            if (k / 2 == 0) {
                CHECK_EQ(lab_unmap(r, iova + size / 2, iova + size / 2 + (r->page - 1), false, NULL), 0);
                noted(r, iova, iova + size / 2 - 1);
            } else {
                CHECK_EQ(lab_split(r, iova, iova + (size - 1), lab_lg2(lab_single(r, s - 1))), 0);
                noted(r, iova, iova + (size - 1));
            }
            lab_forget_all(r);
        }
    }
}

static void writes_while_a_leaf_is_cut(void **state)
{
    (void)state;
    lab_each_dirty(written_while_cut);
}

static void written_while_changed(struct lab *r)
{
    for (unsigned s = 0; lab_size(r, s) != 0; s++) {
        uint64_t size = lab_size(r, s), iova = r->last >= 2 * size - 1 ? size : 0;

        for (unsigned k = 0; k < 2; k++) {
            check_step("size 0x%llx, %u", (unsigned long long)size, k);
            clean_leaf(r, iova, size, k != 0);
            CHECK_EQ(lab_rights(r, iova, iova + (size - 1), PVI_READ, true, true, NULL), 0);
            noted(r, iova, iova + (size - 1));
            lab_forget_all(r);
        }
    }
}

static void writes_while_rights_change(void **state)
{
    (void)state;
    lab_each_dirty(written_while_changed);
}

/* --- where the level below has no leaf of one entry ------------------------------------------------------- */

/* 1 GiB becomes 512 MiB twice; what is in the way of those is cut in its turn, down to pages. */
static void only_repeated_below(void **state)
{
    static struct lab r;

    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct lab_cfg cfg = {.f = &lab_amd, .levels = 3 + k, .sizes = 0x1000 | 0x100000 | G1 / 2 | G1, .dirty = k % 2 != 0};
        uint64_t at = k < 2 ? G1 + G1 / 2 : G1 + G1 / 2 - 0x1000;

        lab_up(&r, &cfg);
        CHECK_EQ(r.usable, cfg.sizes);
        lab_map_ok(&r, G1, G1);
        CHECK_EQ(lab_set_at(&r.leaves, G1)->lg2, 30);
        lab_flush(&r);
        if (k < 2) {
            CHECK_EQ(lab_unmap(&r, at, at + 0xfff, false, NULL), 0);
        } else {
            CHECK_EQ(lab_rights(&r, at, at + 0xfff, PVI_READ, true, false, NULL), 0);
        }
        lab_check(&r);
        CHECK_EQ(lab_set_at(&r.leaves, k < 2 ? G1 : G1 + G1 / 2)->lg2, 29); /* the other half stays as large */
        lab_lookup(&r, at - 1);
        lab_lookup(&r, at);
        lab_lookup(&r, at + 0x1000);
        lab_down(&r);
    }
}

/* --- empty tables of empty tables ------------------------------------------------------------------------- */

/*
 * A leaf two levels up, where nothing is mapped but tables are left at both levels: they go, and it is one leaf. With a page
 * left in one of them only smaller ones can go there, and that page stays.
 */
static void displace(struct lab *r)
{
    uint64_t big = lab_single(r, 2), mid = lab_single(r, 1);

    if (big == 0 || r->page != 0x1000 || r->last < 2 * big - 1) {
        return;
    }
    for (unsigned k = 0; k < 3; k++) {
        const uint64_t left[3] = {0, big + r->page, 2 * big - mid}, at[3] = {big + r->page, big + 3 * mid, 2 * big - mid};
        static struct lab_leaf leaf[LAB_MAX_LEAVES];

        check_step("0x%llx, left 0x%llx", (unsigned long long)big, (unsigned long long)left[k]);
        for (unsigned i = 0; i < 3; i++) {
            lab_map_ok(r, at[i], r->page);
        }
        lab_flush(r);
        for (unsigned i = 0; i < 3; i++) {
            if (at[i] != left[k]) {
                CHECK_EQ(lab_unmap(r, at[i], at[i] + (r->page - 1), false, NULL), 0);
            }
        }
        lab_flush(r);
        CHECK_EQ(r->quota.used, lab_level(r, r->page) + r->cfg.levels + (mid > r->page ? 2 : 0));
        if (k == 0) {
            lab_map_ok(r, big, big);
            CHECK_EQ(lab_leaves(r, leaf, 1), 1);
            CHECK_EQ(1ull << leaf[0].lg2, big);
        } else {
            CHECK_EQ(lab_map(r, big, GUEST_PV + ((big & 0x3fffffff) >> 12), big, PVI_RW), -PVI_EEXIST);
        }
        lab_check(r);
        lab_flush(r);
        lab_check(r);
        CHECK(k != 0 || r->quota.used == lab_needed(r));
        lab_forget_all(r);
    }
}

static void large_leaf_displaces_two_levels(void **state)
{
    (void)state;
    lab_each_format(displace);
}

/* Two leaves are to go where two tables are, an empty one and one that is used: the first goes there all the same. */
static void displace_first(struct lab *r)
{
    uint64_t mid = lab_single(r, 1);

    if (mid == 0 || r->last < 4 * mid - 1) {
        return;
    }
    lab_map_ok(r, 2 * mid + r->page, r->page);
    lab_map_ok(r, 3 * mid + r->page, r->page);
    CHECK_EQ(lab_unmap(r, 2 * mid + r->page, 2 * mid + 2 * r->page - 1, false, NULL), 0);
    lab_flush(r);
    CHECK_EQ(lab_map(r, 2 * mid, GUEST_PV + (2 * mid >> 12), 2 * mid, PVI_RW), -PVI_EEXIST);
    CHECK_EQ(1ull << lab_set_at(&r->leaves, 2 * mid)->lg2, mid);
    lab_check(r); /* that is in the table, too */
    lab_flush(r);
    lab_check(r);
}

static void large_leaf_beside_a_used_table(void **state)
{
    (void)state;
    lab_each_format(displace_first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_while_a_leaf_is_cut),
        cmocka_unit_test(writes_while_rights_change),
        cmocka_unit_test(only_repeated_below),
        cmocka_unit_test(large_leaf_displaces_two_levels),
        cmocka_unit_test(large_leaf_beside_a_used_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
