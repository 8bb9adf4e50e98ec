/* SPDX-License-Identifier: MIT */
/*
 * The model's table formats and visitors, against the worked encodings of hwspec 11 and hand-made
 * tables.
 */
#include "selftest_rig.h"

#define SS_TABLE(pa)       ((pa) | 3)
#define V1_TABLE(pa, next) (UINT64_C(0x6000000000000001) | (pa) | (uint64_t)(next) << 9)
#define V1_LEAF(pa)        (UINT64_C(0x7000000000000001) | (pa))

static struct rig *r;

static int setup(void **state)
{
    (void)state;
    r = rig_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(r);
    return 0;
}

/* A chain of tables down to `level` for the address; returns the table at `level`. */
static uint64_t chain(enum hwm_fmt_kind kind, uint64_t root, unsigned levels, unsigned level,
                      uint64_t iova)
{
    uint64_t table = root, next, slot;

    for (; levels > level; levels--) {
        slot = rig_slot(table, levels, iova);
        next = rig_get(r, slot) & UINT64_C(0x000ffffffffff000);
        if (!next) {
            next = rig_alloc(r, 1);
            rig_put(r, slot,
                    kind == HWM_FMT_AMDV1 ? V1_TABLE(next, levels - 1)
                    : kind == HWM_FMT_X86 ? next | 0x27
                                          : SS_TABLE(next));
        }
        table = next;
    }
    return table;
}

static struct hwm_leaf walk(enum hwm_fmt_kind kind, uint64_t root, unsigned levels, uint64_t iova)
{
    struct hwm_leaf l;

    switch (kind) {
    case HWM_FMT_VTDSS:
        hwm_walk_vtdss(&r->mem, root, levels, iova, &l);
        break;
    case HWM_FMT_X86:
        hwm_walk_x86(&r->mem, root, levels, iova, &l);
        break;
    default:
        hwm_walk_amdv1(&r->mem, root, levels, iova, &l);
        break;
    }
    return l;
}

/* Writes one entry at a level and walks to it. */
static struct hwm_leaf try_entry(enum hwm_fmt_kind kind, unsigned levels, unsigned level,
                                 uint64_t iova, uint64_t entry)
{
    uint64_t root = rig_alloc(r, 1);

    rig_put(r, rig_slot(chain(kind, root, levels, level, iova), level, iova), entry);
    return walk(kind, root, levels, iova);
}

static void assert_leaf(const struct hwm_leaf *l, uint64_t pa, unsigned lg2, bool rd, bool wr)
{
    assert_int_equal(l->status, HWM_S_LEAF);
    assert_true(l->present);
    assert_int_equal(l->pa, pa);
    assert_int_equal(l->lg2, lg2);
    assert_int_equal(l->r, rd);
    assert_int_equal(l->w, wr);
}

static void vtdss_worked(void **state)
{
    struct hwm_leaf l;

    (void)state;
    l = try_entry(HWM_FMT_VTDSS, 4, 1, 0x123456789000, 0x80000803);
    assert_leaf(&l, 0x80000000, 12, true, true);
    l = try_entry(HWM_FMT_VTDSS, 4, 2, 0x123456700abc, 0x80000083);
    assert_leaf(&l, 0x80100abc, 21, true, true);
    assert_int_equal(l.iova, 0x123456600000);
    l = try_entry(HWM_FMT_VTDSS, 3, 3, 0x7fc0123456, 0x40000081);
    assert_leaf(&l, 0x40123456, 30, true, false);
    l = try_entry(HWM_FMT_VTDSS, 5, 1, UINT64_C(0x1ffffffffffffff), 0x80000002);
    assert_leaf(&l, 0x80000fff, 12, false, true);
    l = try_entry(HWM_FMT_VTDSS, 4, 1, 0x1000, 0x80000004);
    assert_int_equal(l.status, HWM_S_ABSENT);
    assert_int_equal(l.level, 1);
}

static void vtdss_reserved(void **state)
{
    static const struct {
        unsigned level;
        uint64_t entry;
        enum hwm_status want;
    } t[] = {
        {4, 0x80000083, HWM_S_RSVD}, /* PS at level 4 */
        {4, 0x80000803, HWM_S_RSVD}, /* bit 11 of a non-leaf */
        {2, 0x80000803, HWM_S_RSVD},
        {2, 0x80001083, HWM_S_RSVD},                   /* 2 MiB leaf, bit 12 */
        {3, 0x80200083, HWM_S_RSVD},                   /* 1 GiB leaf, bit 21 */
        {1, UINT64_C(0x4000000080000003), HWM_S_RSVD}, /* bit 62 */
        {3, UINT64_C(0x4000000000000003), HWM_S_RSVD},
        {1, UINT64_C(0xbff0000080000003), HWM_S_LEAF}, /* ignored bits: 63, 61:52 */
        {1, 0x80000483, HWM_S_LEAF},                   /* bits 10 and 7 ignored in a 4 KiB leaf */
        {2, 0x80000000, HWM_S_ABSENT},
    };
    struct hwm_fmt fmt;
    struct hwm_leaf l;
    uint64_t root;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        l = try_entry(HWM_FMT_VTDSS, 4, t[i].level, 0x40201000, t[i].entry);
        assert_int_equal(l.status, t[i].want);
        assert_int_equal(l.level, t[i].level);
    }
    root = rig_alloc(r, 1);
    rig_put(r, rig_slot(chain(HWM_FMT_VTDSS, root, 4, 1, 0), 1, 0), 0x80000803);
    hwm_fmt_default(&fmt, HWM_FMT_VTDSS);
    fmt.snp = false;
    assert_int_equal(hwm_walk_table(&r->mem, &fmt, root, 4, 0, &l), HWM_S_RSVD);
    fmt.snp = true;
    fmt.pa_bits = 39;
    assert_int_equal(hwm_walk_table(&r->mem, &fmt, root, 4, 0, &l), HWM_S_LEAF);
    rig_put(r, l.entry_pa, UINT64_C(0x8000000003));
    assert_int_equal(hwm_walk_table(&r->mem, &fmt, root, 4, 0, &l), HWM_S_RSVD);
    rig_put(r, rig_slot(chain(HWM_FMT_VTDSS, root, 4, 2, 0x200000), 2, 0x200000), 0x80000083);
    fmt.sz_2m = false;
    assert_int_equal(hwm_walk_table(&r->mem, &fmt, root, 4, 0x200000, &l), HWM_S_RSVD);
}

static void vtdss_rights_and_range(void **state)
{
    uint64_t root = rig_alloc(r, 1), l2 = chain(HWM_FMT_VTDSS, root, 4, 2, 0x40201000);
    struct hwm_leaf l;

    (void)state;
    rig_put(r, rig_slot(chain(HWM_FMT_VTDSS, root, 4, 1, 0x40201000), 1, 0x40201000), 0x80000003);
    rig_put(r, rig_slot(l2, 2, 0x40201000), rig_get(r, rig_slot(l2, 2, 0x40201000)) & ~UINT64_C(2));
    l = walk(HWM_FMT_VTDSS, root, 4, 0x40201000);
    assert_leaf(&l, 0x80000000, 12, true, false);
    l = walk(HWM_FMT_VTDSS, root, 4, UINT64_C(1) << 48);
    assert_int_equal(l.status, HWM_S_RANGE);
    rig_put(r, rig_slot(root, 4, 0x40201000), UINT64_C(0x5000000000) | 3);
    l = walk(HWM_FMT_VTDSS, root, 4, 0x40201000);
    assert_int_equal(l.status, HWM_S_READ);
    assert_true(l.bad);
}

static void x86_worked(void **state)
{
    struct hwm_leaf l;

    (void)state;
    l = try_entry(HWM_FMT_X86, 4, 1, 0x7000, 0x80000067);
    assert_leaf(&l, 0x80000000, 12, true, true);
    assert_true(l.user && l.dirty && l.accessed);
    l = try_entry(HWM_FMT_X86, 4, 1, 0x7000, 0x80000025);
    assert_leaf(&l, 0x80000000, 12, true, false);
    assert_false(l.dirty);
    l = try_entry(HWM_FMT_X86, 4, 2, 0x200000, 0x800000e7);
    assert_leaf(&l, 0x80000000, 21, true, true);
    l = try_entry(HWM_FMT_X86, 4, 2, 0x200000,
                  0x800010e7); /* PAT of a large page is not an address bit */
    assert_leaf(&l, 0x80000000, 21, true, true);
    l = try_entry(HWM_FMT_X86, 4, 2, 0x200000, 0x800020e7);
    assert_int_equal(l.status, HWM_S_RSVD);
    l = try_entry(HWM_FMT_X86, 5, 1, UINT64_C(0xff00000000001000), 0x80000023);
    assert_leaf(&l, 0x80000000, 12, true, true);
    assert_false(l.user);
    l = try_entry(HWM_FMT_X86, 4, 1, UINT64_C(0x0000800000000000), 0x80000067);
    assert_int_equal(l.status, HWM_S_RANGE);
    l = try_entry(HWM_FMT_X86, 4, 4, 0, 0x800000a7);
    assert_int_equal(l.status, HWM_S_RSVD);
}

static void amdv1_worked(void **state)
{
    static const struct {
        unsigned level;
        uint64_t entry, pa;
        unsigned lg2;
    } t[] = {
        {1, UINT64_C(0x7000000080000001), 0x80000000, 12},
        {2, UINT64_C(0x7000000080000001), 0x80000000, 21},
        {1, UINT64_C(0x7000000080000E01), 0x80000000, 13},
        {1, UINT64_C(0x7000000080005E01), 0x80004000, 14},
        {1, UINT64_C(0x700000008000BE01), 0x80008000, 15},
        {1, UINT64_C(0x7000000080017E01), 0x80010000, 16},
        {1, UINT64_C(0x700000008017FE01), 0x80100000, 20},
        {2, UINT64_C(0x70000000805FFE01), 0x80400000, 22},
        {2, UINT64_C(0x70000000AFFFFE01), 0xA0000000, 29},
        {3, UINT64_C(0x700000017FFFFE01), UINT64_C(0x100000000), 32},
        {3, UINT64_C(0x7000005FFFFFFE01), UINT64_C(0x4000000000), 38},
        {4, UINT64_C(0x7000000000000001), 0, 39},
        {5, UINT64_C(0x7000000000000001), 0, 48},
    };
    struct hwm_leaf l;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        uint64_t low = (UINT64_C(1) << t[i].lg2) - 1;

        l = try_entry(HWM_FMT_AMDV1, 6, t[i].level, UINT64_C(0x0042123456789abc), t[i].entry);
        assert_leaf(&l, t[i].pa | (UINT64_C(0x0042123456789abc) & low), t[i].lg2, true, true);
        assert_int_equal(l.iova, UINT64_C(0x0042123456789abc) & ~low);
    }
}

static void amdv1_bad(void **state)
{
    static const struct {
        unsigned level;
        uint64_t entry;
        enum hwm_status want;
    } t[] = {
        {1, UINT64_C(0x700000008000FE01) | 0xff000, HWM_S_LEVEL}, /* 2 MiB code at level 1 */
        {2, UINT64_C(0x7000000080000E01), HWM_S_LEVEL},           /* 8 KiB code at level 2 */
        {2, UINT64_C(0x70000000800FFE01), HWM_S_LEVEL},           /* the default size has no code */
        {2, UINT64_C(0x700000001FFFFE01), HWM_S_LEVEL},           /* 1 GiB code at level 2 */
        {6, UINT64_C(0x7000000000000001), HWM_S_LEVEL},           /* leaf at level 6 */
        {1, V1_TABLE(0x4000000, 1), HWM_S_LEVEL},                 /* table below level 1 */
        {3, V1_TABLE(0x4000000, 3), HWM_S_LEVEL},                 /* next level does not decrease */
        {3, V1_TABLE(0x4000000, 5), HWM_S_LEVEL},
        {1, UINT64_C(0x7010000080000001), HWM_S_RSVD},   /* bit 52 of a leaf */
        {1, UINT64_C(0x7800000080000001), HWM_S_LEAF},   /* U */
        {3, UINT64_C(0x7000000004000401), HWM_S_RSVD},   /* FC of a directory entry */
        {2, UINT64_C(0x7000000080001001), HWM_S_RSVD},   /* 2 MiB leaf not aligned */
        {3, UINT64_C(0x7fffffffffffffe0), HWM_S_ABSENT}, /* PR=0: the rest is ignored */
    };
    struct hwm_leaf l;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        l = try_entry(HWM_FMT_AMDV1, 6, t[i].level, 0x40201000, t[i].entry);
        assert_int_equal(l.status, t[i].want);
    }
    l = walk(HWM_FMT_AMDV1, rig_alloc(r, 1), 3, UINT64_C(1) << 39);
    assert_int_equal(l.status, HWM_S_RANGE);
}

static void amdv1_skip_and_rights(void **state)
{
    uint64_t root = rig_alloc(r, 1), last = rig_alloc(r, 1);
    struct hwm_leaf l;

    (void)state;
    rig_put(r, rig_slot(root, 4, UINT64_C(0x8000000000)),
            V1_TABLE(last, 1)); /* levels 3 and 2 skipped */
    rig_put(r, rig_slot(last, 1, 0x5000), V1_LEAF(0x80000000) & ~(UINT64_C(1) << 62));
    l = walk(HWM_FMT_AMDV1, root, 4, UINT64_C(0x8000005123));
    assert_leaf(&l, 0x80000123, 12, true, false);
    l = walk(HWM_FMT_AMDV1, root, 4, UINT64_C(0x8000205000));
    assert_int_equal(l.status, HWM_S_SKIP);
    l = walk(HWM_FMT_AMDV1, root, 4, UINT64_C(0x8040005000));
    assert_int_equal(l.status, HWM_S_SKIP);
}

struct seen {
    uint64_t leaves, tables, slots;
    struct hwm_leaf last;
    struct hwm_table last_table;
};

static void see_leaf(void *ctx, const struct hwm_leaf *l)
{
    struct seen *s = ctx;

    assert_true(!s->leaves || l->iova > s->last.iova);
    s->leaves++;
    s->last = *l;
}

static void see_table(void *ctx, const struct hwm_table *t)
{
    struct seen *s = ctx;

    s->tables++;
    s->slots += t->nr_leaves + t->nr_tables;
    s->last_table = *t;
}

static void visit_counts(void **state)
{
    uint64_t root = rig_alloc(r, 1), t;
    struct seen seen = {0};
    struct hwm_visitor v = {.ctx = &seen, .leaf = see_leaf, .table = see_table};
    struct hwm_visit out;
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) { /* a group of 16 KiB at 0x10000 */
        t = chain(HWM_FMT_AMDV1, root, 4, 1, 0x10000);
        rig_put(r, rig_slot(t, 1, 0x10000 + i * 0x1000),
                UINT64_C(0x7000000080005E01) | (i == 2 ? 0x60 : 0));
    }
    rig_put(r, rig_slot(t, 1, 0), V1_LEAF(0x90000000));
    rig_put(r, rig_slot(t, 1, 0x1ff000), 0xdead0);
    rig_put(r, rig_slot(chain(HWM_FMT_AMDV1, root, 4, 2, 0x400000), 2, 0x400000),
            V1_LEAF(0x80000000));
    assert_true(hwm_visit_amdv1(&r->mem, root, 4, &v, &out));
    assert_int_equal(out.tables, 4);
    assert_int_equal(seen.tables, 4);
    assert_int_equal(out.leaves, 3);
    assert_int_equal(seen.leaves, 3);
    assert_int_equal(out.pages, 1 + 4 + 512);
    assert_int_equal(out.stray, 1);
    assert_int_equal(seen.slots, 5 + 1 + 3); /* leaf slots at level 1 and 2, links */
    assert_true(seen.last_table.root);
    assert_int_equal(seen.last.iova, 0x400000);
}

static void visit_group_faults(void **state)
{
    uint64_t root = rig_alloc(r, 1), t = chain(HWM_FMT_AMDV1, root, 3, 1, 0);
    struct hwm_visit out;

    (void)state;
    rig_put(r, rig_slot(t, 1, 0x4000), UINT64_C(0x7000000080000E01));
    assert_false(hwm_visit_amdv1(&r->mem, root, 3, NULL, &out)); /* second slot empty */
    assert_int_equal(out.first_bad.iova, 0x5000);
    rig_put(r, rig_slot(t, 1, 0x5000), UINT64_C(0x7000000080000E01));
    assert_true(hwm_visit_amdv1(&r->mem, root, 3, NULL, &out));
    rig_put(r, rig_slot(t, 1, 0x7000), UINT64_C(0x7000000080000E01)); /* begins at an odd slot */
    assert_false(hwm_visit_amdv1(&r->mem, root, 3, NULL, &out));
    assert_int_equal(out.first_bad.iova, 0x7000);
}

static void visit_loops(void **state)
{
    uint64_t root = rig_alloc(r, 1), t = rig_alloc(r, 1);
    struct hwm_visitor v = {.max_tables = 2};
    struct hwm_visit out;

    (void)state;
    rig_put(r, root, SS_TABLE(t));
    assert_true(hwm_visit_vtdss(&r->mem, root, 4, NULL, &out));
    rig_put(r, root + 8, SS_TABLE(t));
    assert_false(hwm_visit_vtdss(&r->mem, root, 4, NULL, &out));
    assert_string_equal(out.first_bad.why, "table linked twice");
    rig_put(r, root + 8, 0);
    rig_put(r, t, SS_TABLE(root));
    assert_false(hwm_visit_vtdss(&r->mem, root, 4, NULL, &out));
    assert_string_equal(out.first_bad.why, "table linked twice");
    rig_put(r, t, SS_TABLE(rig_alloc(r, 1)));
    assert_false(hwm_visit_vtdss(&r->mem, root, 4, &v, &out));
    assert_string_equal(out.first_bad.why, "too many tables");
    rig_put(r, t, SS_TABLE(UINT64_C(0x7777000)));
    assert_false(hwm_visit_vtdss(&r->mem, root, 4, NULL, &out));
    assert_string_equal(out.first_bad.why, "table is not in memory");
}

/* Random tables of every size: visitor, walker and flat model agree on every page. */
static void visit_against_walk(void **state)
{
    uint64_t root = rig_alloc(r, 1), iova, pa;
    struct flat *f = flat_new();
    struct hwm_fmt fmt;
    struct hwm_leaf l;
    char msg[256];
    unsigned i, level, lg2;

    (void)state;
    srand(7);
    for (i = 0; i < 400; i++) {
        level = (unsigned)rand() % 8 ? 1 : 2;
        lg2 = level == 1 ? 12 : 21;
        iova = (uint64_t)(rand() % 4) << 30 | (uint64_t)(rand() % 4) << 21 |
               (uint64_t)(rand() % 512) << 12;
        iova &= ~((UINT64_C(1) << lg2) - 1);
        pa = (uint64_t)(rand() % 1024) << lg2;
        if (flat_overlap(f, iova >> 12, UINT64_C(1) << (lg2 - 12), NULL) ||
            (level == 2 && rig_get(r, rig_slot(chain(HWM_FMT_VTDSS, root, 4, 2, iova), 2, iova)))) {
            continue;
        }
        rig_put(r, rig_slot(chain(HWM_FMT_VTDSS, root, 4, level, iova), level, iova),
                pa | (level == 2 ? 0x83 : 3));
        assert_true(flat_map(f, iova >> 12, UINT64_C(1) << (lg2 - 12), pa, FLAT_R | FLAT_W, 9));
    }
    hwm_fmt_default(&fmt, HWM_FMT_VTDSS);
    assert_true(flat_check_tables(f, &r->mem, &fmt, root, 4, msg, sizeof(msg)));
    for (iova = 0; iova < UINT64_C(4) << 30; iova += 0x1000 * (1 + (uint64_t)rand() % 64)) {
        hwm_walk_vtdss(&r->mem, root, 4, iova, &l);
        assert_int_equal(l.present, flat_lookup(f, iova >> 12, NULL, &pa));
        assert_true(!l.present || l.pa == pa);
    }
    iova = 0;
    assert_true(flat_unmap(f, 0, UINT64_C(1) << 19) > 0);
    assert_false(flat_check_tables(f, &r->mem, &fmt, root, 4, msg, sizeof(msg)));
    assert_non_null(strstr(msg, "not mapped"));
    flat_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vtdss_worked, setup, teardown),
        cmocka_unit_test_setup_teardown(vtdss_reserved, setup, teardown),
        cmocka_unit_test_setup_teardown(vtdss_rights_and_range, setup, teardown),
        cmocka_unit_test_setup_teardown(x86_worked, setup, teardown),
        cmocka_unit_test_setup_teardown(amdv1_worked, setup, teardown),
        cmocka_unit_test_setup_teardown(amdv1_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(amdv1_skip_and_rights, setup, teardown),
        cmocka_unit_test_setup_teardown(visit_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(visit_group_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(visit_loops, setup, teardown),
        cmocka_unit_test_setup_teardown(visit_against_walk, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
