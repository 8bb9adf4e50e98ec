/* SPDX-License-Identifier: MIT */
/* The flat model against an array of pages. */
#include "selftest_rig.h"

#define PAGES 512u

struct cell {
    bool mapped;
    uint64_t pa;
    uint32_t perm, tag;
};

static struct cell array[PAGES];

static bool array_overlaps(uint64_t pfn, uint64_t nr, uint64_t *first)
{
    uint64_t i;

    for (i = pfn; i < pfn + nr; i++) {
        if (array[i].mapped) {
            *first = i;
            return true;
        }
    }
    return false;
}

static uint64_t array_count(uint64_t pfn, uint64_t nr)
{
    uint64_t i, n = 0;

    for (i = pfn; i < pfn + nr; i++) {
        n += array[i].mapped;
    }
    return n;
}

static void array_set(uint64_t pfn, uint64_t nr, uint64_t pa, uint32_t perm, uint32_t tag)
{
    uint64_t i;

    for (i = 0; i < nr; i++) {
        array[pfn + i] = (struct cell){true, pa + (i << 12), perm, tag};
    }
}

static size_t array_runs(void)
{
    size_t i, n = 0;

    for (i = 0; i < PAGES; i++) {
        bool goes_on = i && array[i].mapped && array[i - 1].mapped &&
                       array[i - 1].perm == array[i].perm && array[i - 1].tag == array[i].tag &&
                       array[i - 1].pa + 4096 == array[i].pa;

        n += array[i].mapped && !goes_on;
    }
    return n;
}

static void check_all(const struct flat *f)
{
    uint64_t i, pa, hole;
    struct flat_run run;

    for (i = 0; i < PAGES; i++) {
        assert_int_equal(flat_lookup(f, i, &run, &pa), array[i].mapped);
        if (array[i].mapped) {
            assert_int_equal(pa, array[i].pa);
            assert_int_equal(run.perm, array[i].perm);
            assert_int_equal(run.tag, array[i].tag);
            assert_true(run.first <= i && run.last >= i);
        }
    }
    assert_int_equal(flat_pages(f), array_count(0, PAGES));
    assert_int_equal(flat_runs(f), array_runs());
    for (i = 0; i < PAGES && array[i].mapped; i++) {
    }
    assert_int_equal(flat_first_hole(f, 0, PAGES, &hole), i < PAGES);
    assert_true(i == PAGES || hole == i);
}

static void random_operations(void **state)
{
    struct flat *f = flat_new(), *copy;
    uint64_t pfn, nr, pa, first, want, n, diff;
    unsigned i, op;
    uint32_t perm, tag;

    (void)state;
    memset(array, 0, sizeof(array));
    srand(3);
    for (i = 0; i < 20000; i++) {
        pfn = (uint64_t)rand() % PAGES;
        nr = 1 + (uint64_t)rand() % (rand() % 4 ? 8 : 100);
        nr = pfn + nr > PAGES ? PAGES - pfn : nr;
        pa = rand() % 3 ? (pfn << 12) + 0x40000000 : (uint64_t)rand() << 12;
        perm = 1 + (uint32_t)rand() % 3;
        tag = (uint32_t)rand() % 2;
        op = (unsigned)rand() % 5;
        if (op <= 1) {
            bool busy = array_overlaps(pfn, nr, &want);

            assert_int_equal(flat_overlap(f, pfn, nr, &first), busy);
            assert_true(!busy || first == want);
            assert_int_equal(flat_map(f, pfn, nr, pa, perm, tag), !busy);
            if (!busy) {
                array_set(pfn, nr, pa, perm, tag);
            }
        } else if (op == 2) {
            assert_true(flat_replace(f, pfn, nr, pa, perm, tag));
            array_set(pfn, nr, pa, perm, tag);
        } else if (op == 3) {
            n = array_count(pfn, nr);
            assert_int_equal(flat_unmap(f, pfn, nr), n);
            memset(&array[pfn], 0, nr * sizeof(array[0]));
        } else {
            n = array_count(pfn, nr);
            assert_int_equal(flat_protect(f, pfn, nr, perm), n);
            for (first = pfn; first < pfn + nr; first++) {
                array[first].perm = array[first].mapped ? perm : 0;
            }
        }
        if (i % 50 == 0) {
            check_all(f);
            copy = flat_copy(f);
            assert_true(flat_equal(f, copy, 0, NULL));
            flat_replace(copy, pfn, 1, UINT64_C(0x123456789000), 3, 7);
            assert_false(flat_equal(f, copy, 0, &diff));
            assert_int_equal(diff, pfn);
            flat_free(copy);
        }
    }
    flat_free(f);
}

static void huge_ranges(void **state)
{
    struct flat *f = flat_new();
    uint64_t last = (UINT64_C(1) << 52) - 1, pa, i;
    struct flat_run run;

    (void)state;
    assert_true(flat_map(f, 0, UINT64_C(1) << 52, 0, FLAT_R, 0));
    assert_int_equal(flat_runs(f), 1);
    assert_false(flat_map(f, last, 1, 0, FLAT_R, 0));
    assert_false(flat_map(f, last, 2, 0, FLAT_R, 0));
    assert_false(flat_map(f, 5, 0, 0, FLAT_R, 0));
    assert_int_equal(flat_unmap(f, last, 1), 1);
    assert_true(flat_lookup(f, last - 1, &run, &pa));
    assert_int_equal(pa, (last - 1) << 12);
    assert_false(flat_lookup(f, last, &run, &pa));
    flat_clear(f);
    assert_int_equal(flat_pages(f), 0);
    for (i = 0; i < 300000; i++) { /* scattered: one run a page */
        assert_true(flat_map(f, i * 3, 1, i << 20, FLAT_R | FLAT_W, 0));
    }
    assert_int_equal(flat_runs(f), 300000);
    for (i = 0; flat_next(f, i, &run); i = run.last + 1) {
        assert_int_equal(run.first % 3, 0);
    }
    assert_int_equal(flat_unmap(f, 0, 900000), 300000);
    flat_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(huge_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
