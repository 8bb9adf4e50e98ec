/* SPDX-License-Identifier: MIT */
/* The page pool: taking and putting, shares, pages that are refused, what leaves it. */
#include <pthread.h>
#include <string.h>

#include <pviommu_posix.h>

#include "check.h"
#include "threads_rig.h"

static struct pvi_host *host;
static struct pvi_pool pool, second;
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

/* What the pool counts, and that the free list holds what it says. */
static void numbers(uint32_t pages, uint32_t free, uint32_t used)
{
    const struct pvi_page *p = pool.free;
    struct pvi_pool_usage u;

    CHECK_EQ(pool.nr_pages, pages);
    CHECK_EQ(pool.nr_free, free);
    pvi_pool_usage(&pool, &u);
    CHECK_EQ(u.nr_pages, pages - pool.nr_lost);
    CHECK_EQ(u.nr_free, free);
    CHECK_EQ(u.nr_lost, pool.nr_lost);
    CHECK_EQ(pvi_quota_used(&pool, &quota), used);
    for (uint32_t i = 0; i < free; i++, p = p->next) {
        CHECK(p);
        CHECK_EQ(p->state, PVI_PAGE_FREE);
        CHECK_EQ(p->pool, &pool);
        CHECK_EQ(p->quota, 0);
    }
}

static void *content(const struct pvi_page *p)
{
    return pvi_posix_ptr(host, p->pa.a, PVI_PAGE_SIZE);
}

static bool zero(const void *p)
{
    static const unsigned char zeros[PVI_PAGE_SIZE];

    return memcmp(p, zeros, PVI_PAGE_SIZE) == 0;
}

/* Empties a page, as the owner of a table does. */
static void scrub(struct pvi_page *p)
{
    memset(content(p), 0, PVI_PAGE_SIZE);
    p->dirty = false;
}

static struct pvi_page *take_from(struct pvi_pool *from, struct pvi_quota *q, uint32_t nr,
                                  enum pvi_page_state state)
{
    struct pvi_page *first = NULL, *p;
    uint32_t got = 0;

    CHECK_EQ(pvi_pool_take(from, q, nr, 0, state, &first), 0);
    for (p = first; p && got <= nr; p = p->next, got++) {
        CHECK_EQ(p->state, state);
        CHECK_EQ(p->pool, from);
        CHECK_EQ(p->quota, q);
        CHECK_EQ(p->live, 0);
        CHECK_EQ(p->links, 0);
        CHECK_EQ(p->owing, 0);
        CHECK_EQ(pvi_env_page(host, p->pa), p);
    }
    CHECK_EQ(got, nr);
    return first;
}

static struct pvi_page *take(uint32_t nr, enum pvi_page_state state)
{
    return take_from(&pool, &quota, nr, state);
}

/* A take that must fail leaves everything as it was, the caller's pointer too. */
static void take_fails(struct pvi_quota *q, uint32_t nr, int why)
{
    struct pvi_page sentinel, *first = &sentinel;
    struct pvi_pool before = pool;
    struct pvi_quota share = *q;

    CHECK_EQ(pvi_pool_take(&pool, q, nr, 0, PVI_PAGE_TABLE, &first), why);
    CHECK_EQ(first, &sentinel);
    CHECK_EQ(memcmp(&pool, &before, sizeof(pool)), 0);
    CHECK_EQ(memcmp(q, &share, sizeof(share)), 0);
}

static void all_or_none(void **state)
{
    struct pvi_page *a, *b, *c;

    (void)state;
    numbers(0, 0, 0);
    take_fails(&quota, 1, -PVI_ENOMEM);
    grow(10);
    take_fails(&quota, 11, -PVI_ENOMEM);
    take_fails(&quota, UINT32_MAX, -PVI_ENOMEM);
    a = take(4, PVI_PAGE_TABLE);
    CHECK_EQ(a->next->pa.a, a->pa.a + PVI_PAGE_SIZE); /* in the order in which the host gave them, upwards here */
    numbers(10, 6, 4);
    take_fails(&quota, 7, -PVI_ENOMEM);
    b = take(1, PVI_PAGE_LIST);
    c = take(5, PVI_PAGE_GATHERED); /* the last ones */
    numbers(10, 0, 10);
    take_fails(&quota, 1, -PVI_ENOMEM);
    pvi_pool_put(&pool, b);
    numbers(10, 1, 9);
    pvi_pool_put_list(&pool, c);
    numbers(10, 6, 4);
    pvi_pool_put_list(&pool, NULL);
    pvi_pool_put_list(&pool, a);
    numbers(10, 10, 0);
    CHECK_EQ(pvi_posix_events(host, NULL), 0);
}

/* One page of a list goes back alone; what its owner counted is not there for the next. */
static void one_of_a_list(void **state)
{
    struct pvi_page *p, *rest;

    (void)state;
    grow(3);
    p = take(3, PVI_PAGE_TABLE);
    rest = p->next;
    p->live = 512;
    p->links = 3;
    p->owing = 509;
    pvi_pool_put(&pool, p);
    numbers(3, 1, 2);
    CHECK_EQ(rest->state, PVI_PAGE_TABLE);
    CHECK_EQ(rest->next->next, 0);
    rest->live = 1u << 20;
    rest->links = 1u << 20;
    pvi_pool_put_list(&pool, rest);
    pvi_pool_put_list(&pool, take(3, PVI_PAGE_TABLE)); /* looks at the counts */
}

static void shares(void **state)
{
    struct pvi_quota other = {.limit = 100};
    struct pvi_page *p, *theirs;

    (void)state;
    grow(8);
    pvi_quota_limit(&pool, &quota, 3);
    take_fails(&quota, 4, -PVI_EQUOTA);
    p = take(2, PVI_PAGE_TABLE);
    take_fails(&quota, 2, -PVI_EQUOTA); /* pages in use count */
    take_fails(&other, 7, -PVI_ENOMEM);
    theirs = take_from(&pool, &other, 5, PVI_PAGE_TABLE);
    CHECK_EQ(other.used, 5);
    numbers(8, 1, 2);
    take_fails(&quota, 2, -PVI_ENOMEM); /* both: the pool's answer */
    p->state = PVI_PAGE_GATHERED;       /* what waits for a flush still counts */
    pvi_pool_put(&pool, take(1, PVI_PAGE_LIST));
    numbers(8, 1, 2);
    /* A limit below what is in use: nothing more, and what is there stays counted. */
    pvi_quota_limit(&pool, &quota, 0);
    take_fails(&quota, 1, -PVI_EQUOTA);
    pvi_pool_put_list(&pool, p);
    take_fails(&quota, 1, -PVI_EQUOTA);
    /* Each page is given back to the share that it was charged to, in one list too. */
    pvi_quota_limit(&pool, &quota, 3);
    p = take(3, PVI_PAGE_TABLE);
    p->next->next->next = theirs;
    numbers(8, 0, 3);
    pvi_pool_put_list(&pool, p);
    CHECK_EQ(other.used, 0);
    numbers(8, 8, 0);
    /* At the greatest limit sums do not wrap. */
    quota = (struct pvi_quota){.limit = UINT32_MAX, .used = UINT32_MAX - 2};
    take_fails(&quota, 3, -PVI_EQUOTA);
    p = take(2, PVI_PAGE_TABLE);
    pvi_pool_put_list(&pool, p);
    numbers(8, 8, UINT32_MAX - 2);
}

/* What is seen each time the pool's lock is about to be released, and right after. */
struct watch {
    uint64_t free, generation; /* before */
    unsigned unlocks;
    bool late; /* pages were there and the generation was the old one */
    struct pvi_quota other;
    struct pvi_page *taken; /* by somebody who waited */
    unsigned nr_taken;
};

static void at_unlock(void *opaque, enum pvi_posix_point at, bool after)
{
    struct watch *w = opaque;
    struct pvi_page *p;

    (void)at;
    if (!after) {
        w->late |= pool.nr_free > w->free && quota.generation == w->generation;
        w->generation = quota.generation;
        w->unlocks++;
        return;
    }
    if (pool.nr_free > 0 && pvi_pool_take(&pool, &w->other, 1, 0, PVI_PAGE_TABLE, &p) == 0) {
        p->next = w->taken;
        w->taken = p;
        w->nr_taken++;
    }
    w->free = pool.nr_free;
}

/* Whoever waits gets pages before a long list is through, and that does not disturb the rest. */
static void long_lists(void **state)
{
    static const uint32_t lengths[] = {1, 31, 32, 33, 64, 65, 200};

    (void)state;
    grow(200);
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint32_t nr = lengths[i];
        struct watch w = {.other = {.limit = UINT32_MAX}};
        struct pvi_page *p, *rest = NULL;
        uint64_t locks;

        check_step("%u pages", (unsigned)nr);
        if (nr < 200) {
            rest = take(200 - nr, PVI_PAGE_TABLE);
        }
        locks = pvi_posix_calls(host, PVI_AT_LOCK);
        p = take(nr, PVI_PAGE_GATHERED);
        locks = pvi_posix_calls(host, PVI_AT_LOCK) - locks;
        numbers(200, 0, 200);
        w.generation = quota.generation;
        pvi_posix_hook(host, PVI_AT_BIT(PVI_AT_UNLOCK), at_unlock, &w);
        pvi_pool_put_list(&pool, p);
        pvi_posix_hook(host, 0, NULL, NULL);
        numbers(200, nr - w.nr_taken, 200 - nr);
        CHECK(!w.late);
        if (pvi_posix_recording()) {
            CHECK_EQ(locks, 1);
            CHECK_EQ(w.unlocks, (nr + 31) / 32); /* 32 pages under one lock */
            CHECK_EQ(w.nr_taken, w.unlocks);
        }
        pvi_pool_put_list(&pool, w.taken);
        pvi_pool_put_list(&pool, rest);
        numbers(200, 200, 0);
        CHECK_EQ(w.other.used, 0);
    }
    CHECK_EQ(pvi_posix_events(host, NULL), 0);
}

/* A share's generation changes when one of its pages comes back, and only then. */
static void generations(void **state)
{
    struct pvi_quota other = {.limit = 10, .generation = UINT32_MAX};
    struct pvi_page *p, *theirs;
    uint64_t mine;

    (void)state;
    grow(4);
    p = take(2, PVI_PAGE_TABLE);
    theirs = take_from(&pool, &other, 1, PVI_PAGE_TABLE);
    CHECK_EQ(other.generation, UINT32_MAX);
    mine = quota.generation;
    pvi_pool_put(&pool, theirs);
    CHECK_EQ(other.generation, (uint64_t)UINT32_MAX + 1); /* it does not begin again there: a lookup may have slept so long */
    CHECK_EQ(quota.generation, mine);
    pvi_pool_put_list(&pool, p);
    CHECK(quota.generation != mine);
}

static void event_is(const struct pvi_posix_event *e, const struct pvi_page *page)
{
    CHECK_EQ(e->what, PVI_EVENT_POOL_FOREIGN);
    CHECK_EQ(e->a, page->pa.a);
    CHECK_EQ(e->b, page->state);
}

/* Reported, and left alone with all that it is linked to. */
static void refused(struct pvi_page *page, unsigned before)
{
    struct pvi_posix_event e[PVI_POSIX_EVENTS];
    struct pvi_page was = *page;
    struct pvi_quota share = quota;
    uint32_t free = pool.nr_free;
    bool same;

    check_step("refusal %u", before);
    pvi_pool_put(&pool, page);
    CHECK_EQ(pvi_posix_events(host, e), before + 1);
    event_is(&e[before], page);
    same = page->next == was.next && page->pool == was.pool && page->quota == was.quota &&
           page->state == was.state && page->dirty == was.dirty;
    *page = was; /* the teardown needs a free list */
    CHECK(same);
    CHECK_EQ(quota.generation, share.generation);
    numbers(pool.nr_pages, free, share.used);
}

static void double_and_foreign_pages(void **state)
{
    struct pvi_quota q2 = {.limit = 10};
    struct pvi_page *p, *theirs, stray = {.pa = {0x123000}};
    uint32_t done;

    (void)state;
    grow(3);
    pvi_pool_init(&second, host);
    CHECK_EQ(pvi_pool_grow(&second, 2, &done), 0);
    theirs = take_from(&second, &q2, 2, PVI_PAGE_TABLE);
    refused(theirs, 0); /* of another pool, with a neighbour */
    CHECK_EQ(q2.used, 2);
    refused(&stray, 1); /* of none */
    p = take(1, PVI_PAGE_TABLE);
    pvi_pool_put(&pool, p);
    refused(p, 2); /* it is free already */
    pvi_pool_put_list(&pool, take(3, PVI_PAGE_TABLE));
    pvi_pool_put_list(&second, theirs);
    CHECK_EQ(pvi_pool_shrink(&second, 2), 2);
    CHECK_EQ(pvi_posix_events(host, NULL), 3);
}

/* Bad pages anywhere in a list, at the ends and where one lock ends: the others go back. */
static void bad_pages_in_a_list(void **state)
{
    enum { GOOD = 70, BAD = 6 };
    static const unsigned at[BAD] = {0, 31, 32, 33, 50, GOOD + BAD - 1};
    struct pvi_quota q2 = {.limit = 10};
    struct pvi_posix_event e[PVI_POSIX_EVENTS];
    struct pvi_page stray[3] = {{.pa = {0x1000}}, {.pa = {0x2000}}, {.pa = {0x3000}}};
    struct pvi_page *bad[BAD], *good, *first = NULL, **tail = &first;
    uint32_t done;

    (void)state;
    grow(GOOD + 2);
    pvi_pool_init(&second, host);
    CHECK_EQ(pvi_pool_grow(&second, 1, &done), 0);
    good = take(GOOD + 2, PVI_PAGE_TABLE);
    bad[0] = &stray[0];
    bad[1] = &stray[1];
    bad[2] = take_from(&second, &q2, 1, PVI_PAGE_TABLE);
    bad[3] = &stray[2];
    bad[5] = good; /* free already: last, as what is linked behind it is the pool's */
    good = good->next;
    bad[4] = good; /* lost */
    good = good->next;
    pvi_pool_put(&pool, bad[5]);
    pvi_pool_lose(&pool, bad[4]);
    for (unsigned i = 0, b = 0; i < GOOD + BAD; i++) {
        struct pvi_page *p = good;

        if (b < BAD && at[b] == i) {
            p = bad[b++];
        } else {
            good = good->next;
        }
        *tail = p;
        tail = &p->next;
    }
    *tail = NULL;
    pvi_pool_put_list(&pool, first);
    CHECK_EQ(pvi_posix_events(host, e), BAD);
    for (unsigned i = 0; i < BAD; i++) {
        check_step("bad page %u", i);
        event_is(&e[i], bad[i]);
    }
    CHECK_EQ(bad[2]->state, PVI_PAGE_TABLE);
    CHECK_EQ(bad[2]->quota, &q2);
    CHECK_EQ(q2.used, 1);
    CHECK_EQ(bad[4]->state, PVI_PAGE_NONE);
    numbers(GOOD + 2, GOOD + 1, 0);
    pvi_pool_put_list(&pool, take(GOOD + 1, PVI_PAGE_TABLE)); /* each of them once */
    bad[2]->next = NULL;
    pvi_pool_put(&second, bad[2]);
    CHECK_EQ(pvi_pool_shrink(&second, 1), 1);
}

static void lost_pages(void **state)
{
    struct pvi_page *p;

    (void)state;
    grow(4);
    pvi_quota_limit(&pool, &quota, 1);
    p = take(1, PVI_PAGE_TABLE);
    p->state = PVI_PAGE_GATHERED;
    pvi_pool_lose(&pool, p);
    CHECK_EQ(pool.nr_lost, 1);
    CHECK_EQ(p->state, PVI_PAGE_NONE);
    CHECK_EQ(p->quota, 0);
    numbers(4, 3, 0);
    refused(p, 0);                                /* never again */
    pvi_pool_put(&pool, take(1, PVI_PAGE_TABLE)); /* the share is charged no longer */
    pvi_quota_limit(&pool, &quota, 10);
    take_fails(&quota, 4, -PVI_ENOMEM);
    CHECK_EQ(pvi_pool_shrink(&pool, 10), 3);
    numbers(1, 0, 0);
    CHECK_EQ(pvi_posix_pages_used(host), 1);
}

/* Whatever was written to a page, the host gets zeros (R22). */
static void pages_leave_scrubbed(void **state)
{
    struct pvi_page *first, *p[4];
    uint64_t pa[4];

    (void)state;
    grow(4);
    first = take(4, PVI_PAGE_TABLE);
    for (unsigned i = 0; i < 4; i++, first = first->next) {
        p[i] = first;
        CHECK(first->dirty); /* as it came from the host: content may be anything */
        pa[i] = first->pa.a;
        scrub(first);
    }
    memset(content(p[0]), 0x5a, PVI_PAGE_SIZE); /* a full table */
    p[0]->live = 512;
    memset(content(p[1]), 0x5a, PVI_PAGE_SIZE); /* runs of frames */
    p[1]->state = PVI_PAGE_LIST;
    memset(content(p[3]), 0x11, 8); /* one with a leaf left; p[2] was emptied entry by entry */
    p[3]->live = 1;
    pvi_pool_put_list(&pool, p[0]);
    CHECK_EQ(pvi_pool_shrink(&pool, 10), 4);
    numbers(0, 0, 0);
    for (unsigned i = 0; i < 4; i++) {
        /* a recording host has looked when it took them, and may have spoiled them since */
        CHECK(zero(pvi_posix_ptr(host, pa[i], PVI_PAGE_SIZE)) || pvi_posix_recording());
    }
    CHECK_EQ(pvi_posix_pages_used(host), 0);
}

/* A page that is handed out as clean is zero; whoever leaves something behind makes it dirty. */
static void clean_means_zero(void **state)
{
    static const enum pvi_page_state in_use[] = {PVI_PAGE_TABLE, PVI_PAGE_LIST, PVI_PAGE_GATHERED};
    struct pvi_page *p;

    (void)state;
    grow(1);
    p = take(1, PVI_PAGE_TABLE);
    CHECK(p->dirty);
    pvi_pool_put(&pool, p); /* nobody wrote it since it came from the host */
    for (unsigned i = 0; i < 3; i++) {
        check_step("state %u", (unsigned)in_use[i]);
        p = take(1, in_use[i]);
        CHECK(p->dirty);
        scrub(p);
        pvi_pool_put(&pool, p);
        p = take(1, PVI_PAGE_TABLE);
        CHECK_EQ(p->dirty, in_use[i] == PVI_PAGE_LIST); /* runs are left behind */
        CHECK(p->dirty || zero(content(p)));
        scrub(p);
        memset(content(p), 0x11, 8);
        p->live = 1;
        p->state = (uint8_t)in_use[i];
        pvi_pool_put(&pool, p); /* an entry is left behind */
    }
    p = take(1, PVI_PAGE_TABLE);
    scrub(p);
    memset(content(p), 0xff, PVI_PAGE_SIZE);
    p->dirty = true; /* its owner knows better than live */
    pvi_pool_put(&pool, p);
    CHECK(take(1, PVI_PAGE_TABLE)->dirty);
    pvi_pool_put(&pool, p);
}

static void grow_and_shrink(void **state)
{
    struct pvi_page *p;
    uint32_t done;

    (void)state;
    pvi_posix_fail(host, PVI_AT_PAGE_ALLOC, 4, false);
    CHECK_EQ(pvi_pool_grow(&pool, 10, &done), -PVI_ENOMEM);
    CHECK_EQ(done, 3);
    numbers(3, 3, 0);
    pvi_posix_fail(host, PVI_AT_PAGE_ALLOC, 0, false);
    grow(0);
    grow(2);
    p = take(4, PVI_PAGE_TABLE);
    CHECK_EQ(pvi_pool_shrink(&pool, 100), 1); /* pages in use stay */
    numbers(4, 0, 4);
    CHECK_EQ(pvi_pool_shrink(&pool, 1), 0);
    pvi_pool_put_list(&pool, p);
    CHECK_EQ(pvi_pool_shrink(&pool, 2), 2);
    numbers(2, 2, 0);
    CHECK_EQ(pvi_pool_shrink(&pool, 100), 2);
    CHECK_EQ(pvi_posix_pages_used(host), 0);
}

#define POOL_PAGES 40u
#define SHARE      24u /* each alone has enough, both together have not */

struct taker {
    struct pvi_quota quota;
    uint64_t seed, stamp;
    unsigned bad; /* bits: what was wrong */
};

static struct taker taker[2];
static pthread_barrier_t gate;

static void *take_and_put(void *opaque)
{
    struct taker *t = opaque;

    pthread_barrier_wait(&gate);
    for (unsigned i = 0; i < TH_TIMES(4000u, 1000u); i++) {
        uint32_t nr = 1 + (uint32_t)threads_below(&t->seed, SHARE + 4), got = 0;
        struct pvi_page *first = NULL, *p;
        int rc = pvi_pool_take(&pool, &t->quota, nr, 0, PVI_PAGE_TABLE, &first);

        t->bad |= (rc == -PVI_ENOMEM || rc == (nr > SHARE ? -PVI_EQUOTA : 0)) ? 0 : 1u;
        for (p = first; p; p = p->next, got++) {
            t->bad |= (p->quota == &t->quota && p->state == PVI_PAGE_TABLE) ? 0 : 2u;
            t->bad |= (p->dirty || zero(content(p))) ? 0 : 4u;
            *(uint64_t *)content(p) = t->stamp;
            p->dirty = true;
        }
        t->bad |= (got == (rc == 0 ? nr : 0)) ? 0 : 8u;
        t->bad |= (got == pvi_quota_used(&pool, &t->quota)) ? 0 : 16u;
        for (p = first; p; p = p->next) {
            t->bad |= (*(uint64_t *)content(p) == t->stamp) ? 0 : 32u;
            if (threads_below(&t->seed, 2)) {
                scrub(p);
            }
        }
        pvi_pool_put_list(&pool, first);
    }
    return NULL;
}

static void two_threads(void **state)
{
    pthread_t thread[2];

    (void)state;
    grow(POOL_PAGES);
    CHECK_EQ(pthread_barrier_init(&gate, NULL, 2), 0);
    for (unsigned i = 0; i < 2; i++) {
        taker[i] = (struct taker){.quota.limit = SHARE, .seed = i + 1, .stamp = 0x77 + i};
        CHECK_EQ(pthread_create(&thread[i], NULL, take_and_put, &taker[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    }
    pthread_barrier_destroy(&gate);
    for (unsigned i = 0; i < 2; i++) {
        check_step("thread %u", i);
        CHECK_EQ(taker[i].bad, 0);
        CHECK_EQ(taker[i].quota.used, 0);
    }
    numbers(POOL_PAGES, POOL_PAGES, 0);
    pvi_pool_put_list(&pool, take(POOL_PAGES, PVI_PAGE_TABLE));
    CHECK_EQ(pvi_posix_events(host, NULL), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_or_none),         CASE(one_of_a_list),   CASE(shares),
        CASE(long_lists),          CASE(generations),     CASE(double_and_foreign_pages),
        CASE(bad_pages_in_a_list), CASE(lost_pages),      CASE(pages_leave_scrubbed),
        CASE(clean_means_zero),    CASE(grow_and_shrink), CASE(two_threads),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
