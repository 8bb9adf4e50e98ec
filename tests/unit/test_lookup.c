/* SPDX-License-Identifier: MIT */
/*
 * Lookups take no lock: what happens on other CPUs between two steps of one. The engine is built here once more, with a
 * format (long-mode entries) that says when a walk follows a link.
 */
#include <pviommu/pgtable.h>

#define pt_table_pa x86_table_pa
#include "../../src/core/pt_x86.h"
#undef pt_table_pa

static void followed(unsigned level);

static inline uint64_t pt_table_pa(uint64_t entry, unsigned level)
{
    uint64_t pa = x86_table_pa(entry, level);

    followed(level);
    return pa;
}

#define PT_REPEATS 0
#define PT_NAME "x86 that says what it follows"
#define PT_OPS telling_ops
#define PT_PAGE_SIZES X86_PAGE_SIZES
#define PT_LEVELS X86_LEVELS
#define PT_RIGHTS X86_RIGHTS
#include "../../src/core/pt_engine.inc.h"

#include "fixture.h"

#define PAGE (1ull << 12)
#define IOVA (5ull << 30)
#define PAGES 32u
#define SHARE 16u

/* What another CPU does when a link of `level` has been read; the next walks that it meets are its `times` first ones. */
static struct {
    void (*fn)(void);
    unsigned level;
    uint64_t times, met;
} other;

static void followed(unsigned level)
{
    void (*fn)(void) = other.fn;

    if (!fn || level != other.level) {
        return;
    }
    if (other.met++ < other.times) {
        other.fn = NULL; /* what it does itself is not told */
        fn();
        other.fn = fn;
    }
}

static void meanwhile(void (*fn)(void), unsigned level, uint64_t times)
{
    other.fn = fn;
    other.level = level;
    other.times = times;
    other.met = 0;
}

/* --- the table alone ----------------------------------------------------------------------------------- */

static struct pvi_host *host;
static struct pvi_pool pool;
static struct pvi_quota share[2];
static struct pvi_pt pt[2];
static struct pvi_gather gather;

static void up(unsigned levels)
{
    const struct pvi_pt_cfg cfg = {
        .ops = &telling_ops, .page_sizes = PAGE, .levels = (uint8_t)levels, .iova_bits = 47, .pa_bits = 52,
        .coherent = true, .trim = true};
    uint32_t grown;

    meanwhile(NULL, 0, 0);
    host = pvi_posix_new(&(struct pvi_posix_cfg){.pa = GUEST_ARENA_PA, .size = 1u << 20});
    pvi_pool_init(&pool, host);
    CHECK_EQ(pvi_pool_grow(&pool, PAGES, &grown), 0);
    for (unsigned i = 0; i < 2; i++) {
        share[i] = (struct pvi_quota){.limit = SHARE};
        CHECK_EQ(pvi_pt_init(&pt[i], &cfg, &pool, &share[i]), 0);
    }
    pvi_gather_init(&gather, host, NULL, &telling_ops);
}

static void map(unsigned table, uint64_t iova, uint64_t pa)
{
    struct pvi_pt_map r = {.iova = iova, .pa = pa, .len = PAGE, .prot = PVI_RW};

    CHECK_EQ(telling_ops.map(&pt[table], NULL, &r, &gather), 0);
    CHECK_EQ(r.done, PAGE);
}

static void unmap(unsigned table, uint64_t iova)
{
    struct pvi_pt_unmap r = {.first = iova, .last = iova + PAGE - 1, .next = iova};

    CHECK_EQ(telling_ops.unmap(&pt[table], NULL, &r, &gather), 0);
    CHECK(r.complete);
    CHECK_EQ(pvi_gather_flush(&gather), 0);
}

static void down(void)
{
    meanwhile(NULL, 0, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct pvi_pt_unmap r = {.last = pt[i].table_last, .holes = true};

        while (!r.complete) {
            CHECK_EQ(telling_ops.unmap(&pt[i], NULL, &r, &gather), 0);
        }
        CHECK_EQ(pvi_gather_flush(&gather), 0);
        pvi_pt_fini(&pt[i]);
        CHECK_EQ(share[i].used, 0);
    }
    CHECK_EQ(pool.nr_free, PAGES);
    pvi_posix_free(host);
}

static int look(uint64_t iova, uint64_t *pa)
{
    struct pvi_pt_leaf leaf = {.lg2 = 0};
    int rc = telling_ops.lookup(&pt[0], iova, &leaf);

    CHECK(rc <= 0); /* 0 or an error: nothing of its own */
    CHECK(rc != 0 || leaf.lg2 == 12);
    *pa = rc == 0 ? leaf.pa : 0;
    return rc;
}

static void page_comes_back_to(struct pvi_pool *to, struct pvi_quota *quota)
{
    struct pvi_page *page;

    CHECK_EQ(pvi_pool_take(to, quota, 1, 0, PVI_PAGE_TABLE, &page), 0);
    pvi_pool_put(to, page);
}

static void page_comes_back(void)
{
    page_comes_back_to(&pool, &share[0]);
}

static void page_of_another_share_comes_back(void)
{
    page_comes_back_to(&pool, &share[1]);
}

/* Pages that come back make it begin anew, with the right answer in the end, but not for ever. */
static void begins_anew(unsigned levels)
{
    uint64_t pa, patience;

    check_case("%u levels", levels);
    up(levels);
    map(0, IOVA, 0x1234000);
    meanwhile(page_comes_back, levels - 1, UINT64_MAX);
    CHECK_EQ(look(IOVA + 5, &pa), -PVI_EBUSY);
    patience = other.met;
    CHECK(patience > 8 && patience < 1000);
    CHECK_EQ(look(IOVA + PAGE, &pa), -PVI_EBUSY); /* it cannot know yet that nothing is there */
    for (uint64_t times = 0; times <= patience; times++) {
        check_step("%llu times", (unsigned long long)times);
        meanwhile(page_comes_back, levels - 1, times);
        CHECK_EQ(look(IOVA + 5, &pa), times < patience ? 0 : -PVI_EBUSY);
        CHECK_EQ(pa, times < patience ? 0x1234005 : 0);
        CHECK_EQ(other.met, times < patience ? times + 1 : patience);
        meanwhile(page_comes_back, levels - 1, times);
        CHECK_EQ(look(IOVA + PAGE, &pa), times < patience ? -PVI_ENOENT : -PVI_EBUSY);
    }
    for (unsigned level = 1; level < levels; level++) { /* also at the last moment */
        check_step("below level %u", level);
        meanwhile(page_comes_back, level, 1);
        CHECK_EQ(look(IOVA, &pa), 0);
        CHECK_EQ(pa, 0x1234000);
        CHECK_EQ(other.met, 2);
    }
    meanwhile(page_of_another_share_comes_back, levels - 1, UINT64_MAX);
    CHECK_EQ(look(IOVA, &pa), 0); /* those were never this table's */
    CHECK_EQ(other.met, 1);
    CHECK_EQ(look(1ull << (9 * levels + 11), &pa), -PVI_ENOENT); /* beyond the table: nothing is read */
    CHECK_EQ(other.met, 1);
    down();
}

static void lookups_begin_anew(void **state)
{
    (void)state;
    begins_anew(4);
    begins_anew(5);
}

/* The last table, which the walk has the address of, becomes one of somebody else's, with a leaf at the same place. */
static struct pvi_page *before;

static struct pvi_page *last_table(unsigned table, uint64_t iova)
{
    struct pvi_page *page = pt[table].root;

    while (page->level > 0) {
        uint64_t *entry = pvi_env_map(host, page->pa);
        pvi_pa pa = {entry[iova >> (12 + 9 * page->level) & 511] & 0x000ffffffffff000ull};

        pvi_env_unmap(host, entry);
        page = pvi_env_page(host, pa);
        CHECK(page);
    }
    return page;
}

/* Takes all pages that have come back, in whichever order they go out. */
static void the_other_fills(void)
{
    for (uint64_t i = 0; i < 4; i++) {
        map(1, IOVA + (i << 39), 0xbad000);
    }
}

static void the_other_takes_it(void)
{
    struct pvi_page *page;

    unmap(0, IOVA);
    CHECK_EQ(share[0].used, 1);
    the_other_fills();
    for (uint64_t i = 0; i < 4; i++) {
        page = last_table(1, IOVA + (i << 39));
        before = page == before ? NULL : before;
    }
}

static void it_is_mapped_again(void)
{
    the_other_takes_it();
    map(0, IOVA, 0x777000);
}

static void pages_used_by_others(void **state)
{
    uint64_t pa;

    (void)state;
    for (unsigned level = 1; level < 4; level++) {
        check_case("below level %u", level);
        up(4);
        map(0, IOVA, 0x1234000);
        before = last_table(0, IOVA);
        meanwhile(the_other_takes_it, level, 1);
        CHECK_EQ(look(IOVA, &pa), -PVI_ENOENT);
        CHECK(!before); /* it really was used again */
        down();
        up(4);
        map(0, IOVA, 0x1234000);
        meanwhile(it_is_mapped_again, level, 1);
        CHECK_EQ(look(IOVA, &pa), 0);
        CHECK_EQ(pa, 0x777000);
        down();
    }
}

/* The table ends, root and all, and perhaps begins another life. */
static void it_ends(void)
{
    unmap(0, IOVA);
    pvi_pt_fini(&pt[0]);
}

static void it_ends_and_begins(void)
{
    it_ends();
    the_other_fills();
    CHECK_EQ(pvi_pt_renew(&pt[0]), 0);
    map(0, IOVA + PAGE, 0x777000);
}

static void table_ends_meanwhile(void **state)
{
    uint64_t pa;

    (void)state;
    for (unsigned level = 1; level < 4; level++) {
        check_case("below level %u", level);
        up(4);
        map(0, IOVA, 0x1234000);
        meanwhile(it_ends, level, 1);
        CHECK_EQ(look(IOVA, &pa), -PVI_ENOENT);
        CHECK_EQ(look(IOVA, &pa), -PVI_ENOENT); /* no root */
        CHECK_EQ(pvi_pt_renew(&pt[0]), 0);
        map(0, IOVA, 0x1234000);
        meanwhile(it_ends_and_begins, level, 1);
        CHECK_EQ(look(IOVA, &pa), -PVI_ENOENT);
        CHECK_EQ(look(IOVA + PAGE, &pa), 0);
        CHECK_EQ(pa, 0x777000);
        down();
    }
}

/* --- in a context: whoever is turned away again and again gets it alone ---------------------------------- */

static struct fx fx;
static struct pvi_context *ctx;
static uint64_t patience, alone; /* walks after which a lookup gives up; walks of a lookup that had the context alone */

static void context_page_comes_back(void)
{
    page_comes_back_to(ctx->pt.pool, &ctx->quota);
    alone += ctx->alone;
    CHECK_EQ(ctx->alone, other.met > patience);
}

static void context_up(void)
{
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .format = &telling_ops, .visit = hwm_visit_x86, .trim = true});
    CHECK_EQ(fx_context(&fx, 0), 1);
    ctx = fx.dom.slot[0];
    fx_begin(&fx);
    fx_map(&fx, 1, 0x200, 0x200, 16, PVI_RW);
    fx_expect(&fx, 0);
    alone = 0;
}

static int look_up(uint64_t dfn)
{
    fx_begin(&fx);
    fx_lookup(&fx, 1, dfn);
    (void)fx_submit(&fx);
    if (fx.op[0].status == 0) {
        CHECK_EQ(fx.op[0].u.lookup.gfn.f, dfn);
        CHECK_EQ(fx.op[0].u.lookup.prot, PVI_RW);
    }
    return fx.op[0].status;
}

static void find_patience(void)
{
    struct pvi_pt_leaf leaf;

    patience = UINT64_MAX;
    meanwhile(context_page_comes_back, 3, UINT64_MAX);
    CHECK_EQ(telling_ops.lookup(&ctx->pt, 0x200000, &leaf), -PVI_EBUSY);
    patience = other.met;
}

/* As many pages come back as one lookup bears, and more. */
static void looked_up_alone(const char *how)
{
    check_case("lookups %s", how);
    find_patience();
    for (unsigned k = 0; k < 4; k++) {
        const uint64_t times[4] = {patience - 1, patience, patience + 1, 3 * patience + 1};

        check_step("%llu times", (unsigned long long)times[k]);
        for (unsigned hole = 0; hole < 2; hole++) {
            alone = 0;
            meanwhile(context_page_comes_back, 3, times[k]);
            CHECK_EQ(look_up(hole ? 0x210 : 0x20f), hole ? -PVI_ENOENT : 0);
            CHECK_EQ(other.met, times[k] + 1);
            CHECK_EQ(alone, times[k] > patience ? times[k] - patience : 0);
            CHECK(ctx->alone == 0 && ctx->lock.word == 0);
        }
    }
    meanwhile(NULL, 0, 0);
}

static void contexts_are_looked_up_alone(void **state)
{
    (void)state;
    context_up();
    looked_up_alone("without regions");
    fx_down(&fx);
}

/* A region is there: lookups take a lock from the start, and answer for the region at once. */
static void regions_too(void **state)
{
    struct pvi_device *dev;

    (void)state;
    context_up();
    dev = fx_device(&fx, 2, 0);
    dev->nr_regions = 1;
    dev->region[0] = (struct pvi_region){0x400000, 0x400fff, PVI_RW};
    CHECK_EQ(fx_add(&fx, 2), 0);
    fx_begin(&fx);
    fx_reattach(&fx, 1, 2);
    fx_expect(&fx, 0);
    CHECK_EQ(ctx->nr_regions, 1);
    looked_up_alone("beside a region");
    meanwhile(context_page_comes_back, 3, UINT64_MAX);
    CHECK_EQ(look_up(0x400), -PVI_ERESERVED);
    CHECK_EQ(other.met, 0);
    meanwhile(NULL, 0, 0);
    fx_down(&fx);
}

/* Is a region mapped 1:1 already? That is found out however often pages come back. */
static void inherited_regions(void **state)
{
    struct pvi_device *dev;

    (void)state;
    check_case("inherited regions");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .format = &telling_ops, .visit = hwm_visit_x86});
    fx_begin(&fx);
    fx_alloc(&fx, PVI_ALLOC_IDENTITY);
    fx_expect(&fx, 0);
    ctx = fx.dom.slot[0];
    patience = 0; /* it is asked with the context alone */
    dev = fx_device(&fx, 2, 0);
    dev->nr_regions = 1;
    dev->region[0] = (struct pvi_region){0x201000, 0x203fff, PVI_RW};
    CHECK_EQ(fx_add(&fx, 2), 0);
    fx_begin(&fx);
    fx_reattach(&fx, 1, 2);
    meanwhile(context_page_comes_back, 3, 200);
    (void)fx_submit(&fx);
    CHECK(other.met > 200);
    meanwhile(NULL, 0, 0);
    fx_judge(&fx);
    CHECK_EQ(fx.op[0].status, 0);
    CHECK_EQ(ctx->nr_regions, 1);
    fx_down(&fx);
}

/* --- the context ends before it is had alone ---------------------------------------------------------- */

static bool breaks;

static void end_context(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_op op = {.code = PVI_OP_FREE_CONTEXT, .ctx = 1, .flags = PVI_FREE_REATTACH, .domid = PVI_DOMID_SELF};
    struct pvi_batch batch = {.ops = &op, .nr = 1};

    (void)opaque;
    (void)at;
    /* Pages have come back as often as a lookup bears: it is about to take the context's lock. */
    if (after || !other.fn || other.met < patience) {
        return;
    }
    meanwhile(NULL, 0, 0);
    if (breaks) {
        fx.unit[0].null.fail_submit = true;
        op.code = PVI_OP_FLUSH;
        op.flags = 0;
    }
    while (pvi_submit(&fx.dom, &batch) == -PVI_EPREEMPTED) {
    }
    CHECK_EQ(op.status, breaks ? -PVI_EHW : 0);
    fx.unit[0].null.fail_submit = false;
}

static void context_ends_meanwhile(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        breaks = k != 0;
        check_case("the context %s", breaks ? "breaks" : "ends");
        context_up();
        find_patience();
        meanwhile(context_page_comes_back, 3, UINT64_MAX);
        pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_LOCK), end_context, NULL);
        CHECK_EQ(look_up(0x200), breaks ? -PVI_EHW : -PVI_ENOCTX);
        CHECK(!other.fn);
        pvi_posix_hook(fx.host, 0, NULL, NULL);
        CHECK_EQ(ctx->state, breaks ? PVI_CTX_BROKEN : PVI_CTX_FREE);
        CHECK_EQ(look_up(0x200), breaks ? -PVI_EHW : -PVI_ENOCTX);
        fx_end(&fx, breaks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_begin_anew),           cmocka_unit_test(pages_used_by_others),
        cmocka_unit_test(table_ends_meanwhile),         cmocka_unit_test(contexts_are_looked_up_alone),
        cmocka_unit_test(regions_too),                  cmocka_unit_test(inherited_regions),
        cmocka_unit_test(context_ends_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
