/* SPDX-License-Identifier: MIT */
/*
 * The model does not blame correct software: random changes of VT-d tables, each followed by
 * the invalidation that hwspec 4.2 asks for, with speculation between any two stores. What the
 * device gets through the caches is then what memory says. Any weaker invalidation is caught.
 */
#include "selftest_vtd.h"

#define SPAN_2M 4u /* table of level 2: slots in play */
#define NR_DATA 64u

static struct vtd *v;

static uint64_t slot2(unsigned i)
{
    return rig_slot(vtd_table(v, 4, 2, 0), 2, (uint64_t)i << 21);
}

static void look(void)
{
    unsigned i;

    for (i = 0; i < 3; i++) {
        hwm_speculate(v->h, RID, (uint64_t)rand() % (SPAN_2M << 21), NULL);
    }
}

static void store(uint64_t pa, uint64_t val)
{
    look();
    rig_put(v->r, pa, val);
    look();
}

static uint64_t random_leaf(unsigned lg2)
{
    uint64_t pa = (uint64_t)(1 + (unsigned)rand() % NR_DATA) << lg2;

    return pa | (1 + (unsigned)rand() % 3) | (lg2 == 21 ? 0x80 : 0);
}

static uint64_t new_table(void)
{
    uint64_t t = rig_alloc(v->r, 1), i;

    for (i = 0; i < 512; i++) {
        rig_put(v->r, t + i * 8, rand() % 4 ? random_leaf(12) : 0);
    }
    return t;
}

/* What a change needs. */
struct need {
    bool any;        /* false: absent became present and caching mode is off */
    bool structural; /* a table link came, went or changed */
    uint64_t iova;
    unsigned am;
};

static struct need change(void)
{
    unsigned i = (unsigned)rand() % SPAN_2M, j = (unsigned)rand() % 512;
    uint64_t at = slot2(i), old = rig_get(v->r, at), fresh, leaf_at;
    bool old_table = (old & 3) && !(old & 0x80), new_is_table;
    struct need n = {true, false, (uint64_t)i << 21, 9};

    if (old_table && rand() % 4) {
        leaf_at = (old & UINT64_C(0x000ffffffffff000)) + j * 8;
        n.any = v->cfg.cm || (rig_get(v->r, leaf_at) & 3);
        n.iova |= (uint64_t)j << 12;
        n.am = 0;
        store(leaf_at, rand() % 3 ? random_leaf(12) : 0);
        return n;
    }
    switch (rand() % 3) {
    case 0:
        fresh = 0;
        break;
    case 1:
        fresh = random_leaf(21);
        break;
    default:
        fresh = new_table() | 3;
        break;
    }
    new_is_table = (fresh & 3) && !(fresh & 0x80);
    n.structural = old_table || new_is_table;
    n.any = v->cfg.cm || (old & 3);
    store(at, fresh);
    return n;
}

static void invalidate(const struct need *n, bool leaf_only)
{
    if (n->any) {
        vtd_inv(v, PAGE(DID), n->iova | n->am | (leaf_only ? IH : 0));
    }
}

/* Returns the number of addresses where caches and memory differ. */
static unsigned compare(unsigned nr)
{
    uint64_t iova, cached, now;
    unsigned i, w, differ = 0;
    enum hwm_result a, b;

    for (i = 0; i < nr; i++) {
        iova = (uint64_t)rand() % (SPAN_2M << 21);
        for (w = 0; w < 2; w++) {
            a = hwm_peek(v->h, RID, iova, w, &cached, NULL);
            b = hwm_walk(v->h, RID, iova, w, &now, NULL);
            differ += a != b || cached != now;
        }
    }
    return differ;
}

static void run(bool cm, bool fracture, bool lie)
{
    struct hwm_vtd_cfg cfg;
    unsigned i, differ = 0;
    struct need n;

    hwm_vtd_cfg_default(&cfg);
    cfg.cm = cm;
    v = vtd_on(&cfg);
    hwm_set_fracture(v->h, fracture);
    hwm_watch(v->h, RID, 0x1000);
    hwm_watch(v->h, RID, 0x201000);
    for (i = 0; i < 1500; i++) {
        n = change();
        invalidate(&n, lie || !n.structural);
        differ += compare(20);
        assert_true(lie || !differ);
    }
    assert_true(!lie || differ > 100);
    assert_clean(v->h);
    vtd_off(v);
}

static void correct_software_is_never_stale(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        srand(100 + i);
        run(i & 1, i & 2, false);
    }
}

static void leaf_only_for_table_changes_is_caught(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        srand(200 + i);
        run(i & 1, i & 2, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correct_software_is_never_stale),
        cmocka_unit_test(leaf_only_for_table_changes_is_caught),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
