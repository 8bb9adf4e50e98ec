/* SPDX-License-Identifier: MIT */
/* The page-table engine: slices over leaves that are repeated, empty tables wherever they are in the way, rights that do not exist. */
#include "lab.h"

#define K4 0x1000ull
#define M1 0x100000ull
#define G1 0x40000000ull

static struct lab lab;

static void up(unsigned levels, uint64_t sizes, bool dirty)
{
    struct lab_cfg cfg = {.f = &lab_amd, .levels = levels, .sizes = sizes, .dirty = dirty};

    lab_up(&lab, &cfg);
}

/* Each leaf has 256 entries to be read, and cleared: lab_down() counts what a slice has stored. */
static void dirty_groups(void **state)
{
    (void)state;
    up(4, K4 | M1, true);
    CHECK_EQ(lab_map_pa(&lab, G1, 2 * G1, 64 * M1, PVI_RW), 0);
    lab_flush(&lab);
    for (unsigned i = 0; i < 64; i++) {
        lab_device_writes(&lab, G1 + i * M1, i * 5);
    }
    lab_dirty(&lab, G1, G1 + 64 * M1 - 1, true);
    lab_flush(&lab);
    lab_dirty(&lab, G1, G1 + 64 * M1 - 1, false);
    lab_check(&lab);
    lab_down(&lab);
}

/* Tables of leaves that each become one: no more than one table of a level in a slice. */
static void collapse_groups(void **state)
{
    (void)state;
    up(4, UINT64_MAX, false);
    for (unsigned i = 0; i < 64; i++) {
        CHECK_EQ(lab_map_pa(&lab, 32 * G1 + i * 256 * M1, 64 * G1 + i * 256 * M1, 256 * M1, PVI_RW), 0);
    }
    lab_flush(&lab);
    lab_collapse(&lab, 32 * G1, 48 * G1 - 1);
    lab_check(&lab);
    lab_flush(&lab);
    lab_down(&lab);
}

/* A leaf of nr entries of 2^lg2 bytes is to go where a page was mapped in one of them, and the tables for it have stayed. */
static void empty_at(unsigned levels, uint64_t entry, unsigned nr, unsigned which)
{
    uint64_t size = entry * nr, iova = size, page = iova + which * entry + 3 * K4;
    struct pvi_pt_leaf leaf;

    check_step("%u entries of 0x%llx, a page was in entry %u", nr, (unsigned long long)entry, which);
    up(levels, UINT64_MAX, false);
    CHECK_EQ(lab_map_pa(&lab, page, 2 * size, K4, PVI_RW), 0);
    CHECK_EQ(lab_unmap(&lab, page, page + K4 - 1, false, NULL), 0);
    lab_flush(&lab);
    CHECK_EQ(lab_map_pa(&lab, iova, 2 * size, size, PVI_RW), 0);
    lab_check(&lab);
    CHECK_EQ(lab.pt.cfg.ops->lookup(&lab.pt, iova, &leaf), 0);
    CHECK_EQ((uint64_t)1 << leaf.lg2, size);
    lab_flush(&lab);
    lab_down(&lab);
}

static void empty_tables_in_any_entry(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 4; which++) {
        empty_at(4, 2 * M1, 4, which);
        empty_at(4, G1, 4, which);
        empty_at(5, 512 * G1, 4, which);
    }
}

/* The same where a page is left: what comes before it gets the largest leaves that fit. */
static void a_page_in_any_entry(void **state)
{
    (void)state;
    for (unsigned which = 1; which < 4; which++) {
        uint64_t iova = 4 * G1, at = iova + which * G1;

        check_step("entry %u", which);
        up(4, UINT64_MAX, false);
        CHECK_EQ(lab_map_pa(&lab, at, 16 * G1, K4, PVI_RW), 0);
        CHECK_EQ(lab_map_pa(&lab, at + 4 * M1, 16 * G1, K4, PVI_RW), 0);
        CHECK_EQ(lab_unmap(&lab, at, at + K4 - 1, false, NULL), 0);
        lab_flush(&lab);
        CHECK_EQ(lab_map_pa(&lab, iova, 8 * G1, 4 * G1, PVI_RW), -PVI_EEXIST);
        lab_check(&lab);
        lab_flush(&lab);
        lab_down(&lab);
    }
}

/* The engine alone: the lab does not know. */
static void map_over(struct lab *r, uint64_t iova, uint64_t pa, uint64_t len)
{
    struct pvi_pt_map m = {.iova = iova, .pa = pa, .len = len, .prot = PVI_RW, .replace = true, .keep = true};

    while (m.done < m.len) {
        CHECK_EQ(r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather), 0);
        CHECK_EQ(r->gather.nr_tables, 0);
        CHECK_EQ(pvi_gather_flush(&r->gather), 0);
    }
}

/* No table goes away by a replacement that keeps them. */
static void replaced_and_kept(struct lab *r)
{
    uint64_t size = lab_single(r, 1);
    struct pvi_pt_unmap u = {.first = size + r->page, .last = 2 * size - 1, .next = size + r->page, .keep = true};
    uint32_t tables;

    if (size == 0 || r->last < 2 * size - 1) {
        return;
    }
    CHECK_EQ(lab_map_pa(r, size, 4 * size, r->page, PVI_RW), 0);
    lab_flush(r);
    tables = r->quota.used;
    map_over(r, size, 2 * size, size);
    CHECK_EQ(r->quota.used, tables);
    while (!u.complete) {
        CHECK_EQ(r->pt.cfg.ops->unmap(&r->pt, NULL, &u, &r->gather), 0);
    }
    map_over(r, size, 4 * size, r->page);
    lab_check(r);
}

static void kept_tables(void **state)
{
    (void)state;
    lab_each_format(replaced_and_kept);
}

/* Nor by a map that would find room for a larger leaf there: what comes before gets the largest that fit all the same. */
static void kept_empty_table(void **state)
{
    struct pvi_pt_map m = {.iova = 4 * G1, .pa = 8 * G1, .len = 4 * G1, .prot = PVI_RW, .keep = true};
    struct pvi_pt_unmap u = {.first = 4 * G1, .last = 8 * G1 - 1, .next = 4 * G1};
    uint64_t page = 4 * G1 + 2 * G1;
    struct pvi_pt_leaf leaf;
    uint32_t tables;

    (void)state;
    up(4, UINT64_MAX, false);
    CHECK_EQ(lab_map_pa(&lab, page, 16 * G1, K4, PVI_RW), 0);
    CHECK_EQ(lab_unmap(&lab, page, page + K4 - 1, false, NULL), 0);
    lab_flush(&lab);
    tables = lab.quota.used;
    while (m.done < m.len) {
        CHECK_EQ(lab.pt.cfg.ops->map(&lab.pt, NULL, &m, &lab.gather), 0);
    }
    CHECK_EQ(lab.gather.nr_tables, 0);
    CHECK_EQ(lab.quota.used, tables);
    CHECK_EQ(lab.pt.cfg.ops->lookup(&lab.pt, 4 * G1, &leaf), 0);
    CHECK_EQ(leaf.lg2, 31);
    while (!u.complete) { /* the lab knows of none of it */
        CHECK_EQ(lab.pt.cfg.ops->unmap(&lab.pt, NULL, &u, &lab.gather), 0);
    }
    lab_flush(&lab);
    lab_down(&lab);
}

static void unknown_rights(struct lab *r)
{
    uint32_t used;

    for (unsigned table = 0; table < 2; table++) { /* without a table for it, and with one */
        used = r->quota.used;
        for (unsigned prot = 0; prot < 256; prot++) {
            if (prot > PVI_RW || (r->cfg.f->ops->prots >> prot & 1) == 0) {
                CHECK_EQ(lab_map_pa(r, r->page, r->page, r->page, prot), -PVI_EOPNOTSUPP);
                CHECK_EQ(lab_map_pa(r, r->page, r->page, 2 * r->page, prot), -PVI_EOPNOTSUPP);
            }
        }
        CHECK_EQ(r->quota.used, used);
        if (table == 0) {
            CHECK_EQ(used, 1);
            CHECK_EQ(lab_map_pa(r, 3 * r->page, r->page, r->page, PVI_RW), 0);
        }
    }
}

static void rights_that_do_not_exist(void **state)
{
    (void)state;
    lab_each_format(unknown_rights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dirty_groups),
        cmocka_unit_test(collapse_groups),
        cmocka_unit_test(empty_tables_in_any_entry),
        cmocka_unit_test(a_page_in_any_entry),
        cmocka_unit_test(kept_tables),
        cmocka_unit_test(kept_empty_table),
        cmocka_unit_test(rights_that_do_not_exist),
    };

    return cmocka_run_group_tests_name("engine: limits", tests, NULL, NULL);
}
