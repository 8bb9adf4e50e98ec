/* SPDX-License-Identifier: MIT */
/* The page pool: promises, shares, pages that are refused, what leaves it. */
#include <string.h>

#include <pviommu_posix.h>

#include "check.h"

static struct pvi_host *host;
static struct pvi_pool pool;
static struct pvi_quota quota;

static int setup(void **state)
{
    struct pvi_posix_cfg pc = {.pa = 0x100000000ull, .size = 0x400000};

    (void)state;
    check_case("pool");
    host = pvi_posix_new(&pc);
    CHECK(host);
    pvi_pool_init(&pool, host);
    quota = (struct pvi_quota){.limit = UINT32_MAX};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)pvi_pool_shrink(&pool, UINT32_MAX);
    pvi_posix_free(host);
    return 0;
}

static void grow(uint32_t nr)
{
    uint32_t done;

    CHECK_EQ(pvi_pool_grow(&pool, nr, &done), 0);
    CHECK_EQ(done, nr);
}

static void numbers(uint32_t pages, uint32_t free, uint32_t reserved, uint32_t used, uint32_t promised)
{
    struct pvi_pool_usage u;

    CHECK_EQ(pool.nr_pages, pages);
    CHECK_EQ(pool.nr_free, free);
    CHECK_EQ(pool.nr_reserved, reserved);
    CHECK_EQ(quota.used, used);
    CHECK_EQ(quota.reserved, promised);
    pvi_pool_usage(&pool, &u);
    CHECK_EQ(u.nr_pages, pages - pool.nr_lost);
    CHECK_EQ(u.nr_free, free);
    CHECK_EQ(u.nr_lost, pool.nr_lost);
    CHECK_EQ(pvi_quota_used(&pool, &quota), used);
}

static void *content(const struct pvi_page *p)
{
    return pvi_posix_ptr(host, p->pa.a, PVI_PAGE_SIZE);
}

/* Takes a promised page and empties it, as the owner of a table does. */
static struct pvi_page *take(struct pvi_reserve *r, enum pvi_page_state state)
{
    struct pvi_page *p = pvi_pool_commit(r, state);

    memset(content(p), 0, PVI_PAGE_SIZE);
    return p;
}

static void promises(void **state)
{
    struct pvi_reserve a, b;
    struct pvi_page *p, *q;

    (void)state;
    numbers(0, 0, 0, 0, 0);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &a), -PVI_ENOMEM);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 0, &a), 0);
    pvi_pool_cancel(&a);
    grow(10);
    numbers(10, 10, 0, 0, 0);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 4, &a), 0);
    CHECK_EQ(a.nr, 4);
    numbers(10, 10, 4, 0, 4);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 7, &b), -PVI_ENOMEM); /* 6 are left */
    CHECK_EQ(b.nr, 0);
    pvi_pool_cancel(&b); /* of a promise that was not given: nothing */
    numbers(10, 10, 4, 0, 4);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 6, &b), 0);
    numbers(10, 10, 10, 0, 10);
    p = take(&a, PVI_PAGE_TABLE);
    numbers(10, 9, 9, 1, 9);
    CHECK_EQ(p->state, PVI_PAGE_TABLE);
    CHECK_EQ(p->live, 0);
    CHECK_EQ(p->owing, 0);
    CHECK_EQ(p->pool, &pool);
    CHECK_EQ(p->quota, &quota);
    CHECK_EQ(pvi_env_page(host, p->pa), p);
    q = take(&b, PVI_PAGE_LIST);
    CHECK(q != p && q->pa.a != p->pa.a);
    CHECK_EQ(q->state, PVI_PAGE_LIST);
    pvi_pool_cancel(&a);
    CHECK_EQ(a.nr, 0);
    numbers(10, 8, 5, 2, 5);
    pvi_pool_cancel(&a); /* twice is once */
    numbers(10, 8, 5, 2, 5);
    pvi_pool_cancel(&b);
    numbers(10, 8, 0, 2, 0);
    pvi_pool_put(&pool, p);
    pvi_pool_put(&pool, q);
    numbers(10, 10, 0, 0, 0);
    CHECK_EQ(pvi_posix_events(host, NULL), 0);
}

static void shares(void **state)
{
    struct pvi_quota other = {.limit = 100};
    struct pvi_reserve r, s, t;
    struct pvi_page *p;

    (void)state;
    grow(8);
    pvi_quota_limit(&pool, &quota, 3);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 4, &r), -PVI_EQUOTA);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, UINT32_MAX, &r), -PVI_ENOMEM);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 2, &r), 0);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 2, &s), -PVI_EQUOTA); /* promises count */
    p = take(&r, PVI_PAGE_TABLE);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 2, &s), -PVI_EQUOTA); /* and so do pages in use */
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &s), 0);
    CHECK_EQ(pvi_pool_reserve(&pool, &other, 6, &t), -PVI_ENOMEM); /* 5 beside the promised ones */
    CHECK_EQ(pvi_pool_reserve(&pool, &other, 5, &t), 0);
    CHECK_EQ(other.reserved, 5);
    numbers(8, 7, 7, 1, 2);
    pvi_pool_cancel(&r);
    pvi_pool_cancel(&s);
    pvi_pool_cancel(&t);
    /* A limit below what is in use: nothing more, and what is there stays counted. */
    pvi_quota_limit(&pool, &quota, 0);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), -PVI_EQUOTA);
    CHECK_EQ(pvi_quota_used(&pool, &quota), 1);
    pvi_pool_put(&pool, p);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), -PVI_EQUOTA);
    /* At the greatest limit sums do not wrap. */
    quota = (struct pvi_quota){.limit = UINT32_MAX, .used = UINT32_MAX - 2};
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 3, &r), -PVI_EQUOTA);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 2, &r), 0);
    pvi_pool_cancel(&r);
    numbers(8, 8, 0, UINT32_MAX - 2, 0);
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void refused(struct pvi_page *page, unsigned before)
{
    struct pvi_posix_event e[PVI_POSIX_EVENTS];
    uint32_t free = pool.nr_free, used = quota.used;

    pvi_pool_put(&pool, page);
    CHECK_EQ(pvi_posix_events(host, e), before + 1);
    CHECK_EQ(e[before].what, PVI_EVENT_POOL_FOREIGN);
    CHECK_EQ(e[before].a, page->pa.a);
    CHECK_EQ(pool.nr_free, free);
    CHECK_EQ(quota.used, used);
}

static void double_and_foreign_pages(void **state)
{
    static struct pvi_pool second;
    struct pvi_quota q2 = {.limit = 10};
    struct pvi_reserve r;
    struct pvi_page *p, *theirs, stray = {.pa = {0x123000}};
    uint32_t done;

    (void)state;
    grow(3);
    pvi_pool_init(&second, host);
    CHECK_EQ(pvi_pool_grow(&second, 2, &done), 0);
    CHECK_EQ(pvi_pool_reserve(&second, &q2, 1, &r), 0);
    theirs = take(&r, PVI_PAGE_TABLE);
    refused(theirs, 0); /* of another pool */
    CHECK_EQ(theirs->state, PVI_PAGE_TABLE);
    refused(&stray, 1); /* of none */
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), 0);
    p = take(&r, PVI_PAGE_TABLE);
    pvi_pool_put(&pool, p);
    refused(p, 2); /* it is free already */
    pvi_pool_put(&second, theirs);
    CHECK_EQ(pvi_pool_shrink(&second, 2), 2);
    CHECK_EQ(pvi_posix_events(host, NULL), 3);
}

static void lost_pages(void **state)
{
    struct pvi_reserve r;
    struct pvi_page *p;

    (void)state;
    grow(4);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), 0);
    p = take(&r, PVI_PAGE_TABLE);
    p->state = PVI_PAGE_GATHERED;
    pvi_pool_lose(&pool, p);
    CHECK_EQ(pool.nr_lost, 1);
    numbers(4, 3, 0, 0, 0);
    refused(p, 0); /* never again */
    CHECK_EQ(pvi_pool_shrink(&pool, 10), 3);
    CHECK_EQ(pvi_posix_pages_used(host), 1);
}

/* --- content -------------------------------------------------------------------------------------- */

static bool zero(const void *p)
{
    static const unsigned char zeros[PVI_PAGE_SIZE];

    return memcmp(p, zeros, PVI_PAGE_SIZE) == 0;
}

/* Whatever was written to a page, the host gets zeros (R22). */
static void pages_leave_scrubbed(void **state)
{
    struct pvi_page *p[4];
    struct pvi_reserve r;
    uint64_t pa[4];

    (void)state;
    grow(4);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 4, &r), 0);
    for (unsigned i = 0; i < 4; i++) {
        p[i] = pvi_pool_commit(&r, i == 1 ? PVI_PAGE_LIST : PVI_PAGE_TABLE);
        CHECK(p[i]->dirty); /* as it came from the host: content may be anything */
        pa[i] = p[i]->pa.a;
        memset(content(p[i]), 0x5a, PVI_PAGE_SIZE);
    }
    p[0]->live = 512;              /* a full table */
    memset(content(p[2]), 0, PVI_PAGE_SIZE); /* one that was emptied entry by entry */
    p[3]->live = 1;                /* one with a leaf left */
    memset(content(p[3]), 0, PVI_PAGE_SIZE);
    memset(content(p[3]), 0x11, 8);
    for (unsigned i = 0; i < 4; i++) {
        pvi_pool_put(&pool, p[i]);
    }
    CHECK_EQ(pvi_pool_shrink(&pool, 10), 4);
    for (unsigned i = 0; i < 4; i++) { /* a recording host has looked when it took them, and may have spoiled them since */
        CHECK(zero(pvi_posix_ptr(host, pa[i], PVI_PAGE_SIZE)) || pvi_posix_recording());
    }
    CHECK_EQ(pvi_posix_pages_used(host), 0);
}

/* A page that is handed out as clean is clean; one that nobody has written since it came from the host is not. */
static void clean_means_zero(void **state)
{
    struct pvi_reserve r;
    struct pvi_page *p;

    (void)state;
    grow(1);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), 0);
    p = pvi_pool_commit(&r, PVI_PAGE_TABLE);
    pvi_pool_put(&pool, p);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), 0);
    p = pvi_pool_commit(&r, PVI_PAGE_TABLE);
    CHECK(p->dirty);
    memset(content(p), 0, PVI_PAGE_SIZE);
    p->dirty = false; /* who fills a table says so */
    pvi_pool_put(&pool, p);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), 0);
    p = pvi_pool_commit(&r, PVI_PAGE_LIST);
    CHECK(!p->dirty);
    CHECK(zero(content(p)));
    memset(content(p), 0xff, PVI_PAGE_SIZE);
    pvi_pool_put(&pool, p);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 1, &r), 0);
    p = pvi_pool_commit(&r, PVI_PAGE_TABLE);
    CHECK(p->dirty); /* a list leaves runs behind */
    memset(content(p), 0, PVI_PAGE_SIZE);
    pvi_pool_put(&pool, p);
}

/* --- growing and shrinking ------------------------------------------------------------------------ */

static void grow_and_shrink(void **state)
{
    struct pvi_reserve r;
    uint32_t done;

    (void)state;
    pvi_posix_fail(host, PVI_AT_PAGE_ALLOC, 4, false);
    CHECK_EQ(pvi_pool_grow(&pool, 10, &done), -PVI_ENOMEM);
    CHECK_EQ(done, 3);
    numbers(3, 3, 0, 0, 0);
    pvi_posix_fail(host, PVI_AT_PAGE_ALLOC, 0, false);
    grow(2);
    CHECK_EQ(pvi_pool_grow(&pool, 0, &done), 0);
    CHECK_EQ(done, 0);
    CHECK_EQ(pvi_pool_reserve(&pool, &quota, 4, &r), 0);
    CHECK_EQ(pvi_pool_shrink(&pool, 100), 1); /* promised pages stay */
    numbers(4, 4, 4, 0, 4);
    CHECK_EQ(pvi_pool_shrink(&pool, 1), 0);
    pvi_pool_cancel(&r);
    CHECK_EQ(pvi_pool_shrink(&pool, 0), 0);
    CHECK_EQ(pvi_pool_shrink(&pool, 2), 2);
    numbers(2, 2, 0, 0, 0);
    CHECK_EQ(pvi_pool_shrink(&pool, 100), 2);
    CHECK_EQ(pvi_posix_pages_used(host), 0);
}

/* A promise, a commit, a put cost the same in a pool of any size: as many locks, no page looked at. */
static void constant_cost(void **state)
{
    uint64_t locks[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct pvi_reserve r;
        struct pvi_page *p;

        grow(i == 0 ? 2 : 900);
        locks[i] = pvi_posix_calls(host, PVI_AT_LOCK);
        CHECK_EQ(pvi_pool_reserve(&pool, &quota, 2, &r), 0);
        p = take(&r, PVI_PAGE_TABLE);
        pvi_pool_cancel(&r);
        pvi_pool_put(&pool, p);
        locks[i] = pvi_posix_calls(host, PVI_AT_LOCK) - locks[i];
    }
    CHECK_EQ(locks[0], locks[1]);
    CHECK(!pvi_posix_recording() || locks[0] == 4);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(promises),
        CASE(shares),
        CASE(double_and_foreign_pages),
        CASE(lost_pages),
        CASE(pages_leave_scrubbed),
        CASE(clean_means_zero),
        CASE(grow_and_shrink),
        CASE(constant_cost),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
