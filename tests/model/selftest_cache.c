/* SPDX-License-Identifier: MIT */
/* The store behind the model's caches, against a plain list. */
#include "selftest_rig.h"

#include "hwm_int.h"

#define MAX_ENTRIES 6000u

struct item {
    bool used;
    uint64_t tag, base, hold;
    unsigned lg2;
};

static struct item list[MAX_ENTRIES];
static unsigned nr_items;

static const unsigned sizes[] = {12, 13, 21, 30};

static uint64_t random64(void)
{
    return (uint64_t)rand() << 31 ^ (uint64_t)rand() ^ (uint64_t)rand() << 45;
}

static uint64_t align(uint64_t addr, unsigned lg2)
{
    return lg2 >= 64 ? 0 : addr >> lg2 << lg2;
}

static bool meets(const struct item *it, uint64_t addr, unsigned lg2)
{
    unsigned wide = it->lg2 > lg2 ? it->lg2 : lg2;

    return align(it->base, wide) == align(addr, wide);
}

static struct item *list_find(uint64_t tag, unsigned lg2, uint64_t addr)
{
    unsigned i;

    for (i = 0; i < nr_items; i++) {
        if (list[i].used && list[i].tag == tag && list[i].lg2 == lg2 &&
            list[i].base == align(addr, lg2)) {
            return &list[i];
        }
    }
    return NULL;
}

static struct item *list_lookup(uint64_t tag, uint64_t addr)
{
    struct item *it;
    unsigned i;

    for (i = 0; i < 4; i++) {
        it = list_find(tag, sizes[i], addr);
        if (it) {
            return it;
        }
    }
    return NULL;
}

static unsigned list_count(void)
{
    unsigned i, n = 0;

    for (i = 0; i < nr_items; i++) {
        n += list[i].used;
    }
    return n;
}

static bool list_holds(uint64_t pa, uint64_t len)
{
    unsigned i;

    for (i = 0; i < nr_items; i++) {
        if (list[i].used && list[i].hold < pa + len &&
            pa < list[i].hold + (UINT64_C(1) << list[i].lg2)) {
            return true;
        }
    }
    return false;
}

static void list_drop(uint64_t tag, uint64_t addr, unsigned lg2)
{
    unsigned i;

    for (i = 0; i < nr_items; i++) {
        if (list[i].used && list[i].tag == tag && meets(&list[i], addr, lg2)) {
            list[i].used = false;
        }
    }
}

static bool odd_tag(void *ctx, const struct hwm_ce *ce)
{
    (void)ctx;
    return ce->tag & 1;
}

static void add_one(struct hwm_cache *c, uint64_t tag, unsigned lg2, uint64_t addr)
{
    struct hwm_ce *ce = hwm_cache_add(c, tag, lg2, addr);
    uint64_t hold = align((uint64_t)rand() << 12, lg2);

    assert_int_equal(ce == NULL, list_find(tag, lg2, addr) != NULL);
    if (ce && nr_items < MAX_ENTRIES) {
        assert_int_equal(ce->base, align(addr, lg2));
        hwm_cache_hold(c, ce, hold, lg2);
        list[nr_items++] = (struct item){true, tag, align(addr, lg2), hold, lg2};
    } else if (ce) {
        hwm_cache_del(c, ce);
    }
}

static void against_a_list(void **state)
{
    static const unsigned drops[] = {12, 12, 12, 13, 16, 21, 24, 30, 33, 64};
    struct hwm_cache c, holds;
    uint64_t tag, addr, span;
    unsigned i, lg2, j;
    struct hwm_ce *ce;
    struct item *it;

    (void)state;
    srand(11);
    hwm_cache_init(&holds, NULL);
    hwm_cache_init(&c, &holds);
    for (i = 0; i < 12000; i++) {
        span = i % 3000 < 2000 ? UINT64_C(1) << 24 : UINT64_C(1) << 36;
        tag = (uint64_t)rand() % 3;
        addr = random64() % span;
        if (rand() % 100 < 90) {
            add_one(&c, tag, sizes[(unsigned)rand() % 4], addr);
        } else if (rand() % 200) {
            lg2 = drops[(unsigned)rand() % (i % 400 == 0 ? 10 : 8)];
            hwm_cache_drop(&c, tag, addr, lg2, NULL, NULL);
            list_drop(tag, addr, lg2);
        } else {
            hwm_cache_drop_if(&c, odd_tag, NULL);
            list_drop(1, 0, 64);
        }
        addr = random64() % span;
        ce = hwm_cache_lookup(&c, tag, addr, 0);
        it = list_lookup(tag, addr);
        assert_int_equal(ce != NULL, it != NULL);
        assert_true(!ce || (ce->lg2 == it->lg2 && ce->base == it->base && ce->hold_pa == it->hold));
        if (i % 10 == 0) {
            addr = (uint64_t)rand() << 12;
            span = UINT64_C(4096) << (unsigned)rand() % 20;
            assert_int_equal(hwm_cache_holds_range(&holds, addr, span), list_holds(addr, span));
            assert_int_equal(c.used, list_count());
        }
    }
    for (j = 0; j < 3; j++) {
        hwm_cache_drop(&c, j, 0, 64, NULL, NULL);
    }
    assert_int_equal(c.used, 0);
    assert_int_equal(holds.used, 0); /* what no entry keeps alive is forgotten */
    assert_int_equal(c.sizes, 0);
    hwm_cache_free(&c);
    hwm_cache_free(&holds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
