/* SPDX-License-Identifier: MIT */
/* The page pool: free list and shares. See include/pviommu/pool.h. */
#include <pviommu/pool.h>

/* Pages that come back while the lock is held. */
#define POOL_AT_ONCE 32u

void pvi_pool_init(struct pvi_pool *pool, struct pvi_host *host)
{
    memset(pool, 0, sizeof(*pool));
    pool->host = host;
    pvi_env_lock_init(host, &pool->lock, PVI_LOCK_POOL);
}

void pvi_pool_usage(struct pvi_pool *pool, struct pvi_pool_usage *out)
{
    pvi_env_acquire(pool->host, &pool->lock);
    out->nr_pages = pool->nr_pages - pool->nr_lost;
    out->nr_free = pool->nr_free;
    out->nr_lost = pool->nr_lost;
    pvi_env_release(pool->host, &pool->lock);
}

void pvi_quota_limit(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t limit)
{
    pvi_env_acquire(pool->host, &pool->lock);
    quota->limit = limit;
    pvi_env_release(pool->host, &pool->lock);
}

uint32_t pvi_quota_used(struct pvi_pool *pool, const struct pvi_quota *quota)
{
    uint32_t used;

    pvi_env_acquire(pool->host, &pool->lock);
    used = quota->used;
    pvi_env_release(pool->host, &pool->lock);
    return used;
}

static void pool_push(struct pvi_pool *pool, struct pvi_page *page)
{
    page->state = PVI_PAGE_FREE;
    page->quota = NULL;
    page->next = pool->free;
    pool->free = page;
    pool->nr_free++;
}

static struct pvi_page *pool_pop(struct pvi_pool *pool)
{
    struct pvi_page *page = pool->free;

    pool->free = page->next;
    page->next = NULL;
    pool->nr_free--;
    return page;
}

/* Pages are taken in the order in which they came: where that is upwards in memory, so are tables filled one after the other. */
int pvi_pool_grow(struct pvi_pool *pool, uint32_t nr, uint32_t *done)
{
    struct pvi_page *first = NULL, **end = &first;
    int rc = 0;

    for (*done = 0; *done < nr; (*done)++) {
        struct pvi_page *page;
        pvi_pa pa;

        if (pvi_host_page_alloc(pool->host, &pa) != 0) {
            rc = -PVI_ENOMEM;
            break;
        }
        page = pvi_env_page(pool->host, pa);
        PVI_ASSERT(page != NULL && page->pool == NULL);
        memset(page, 0, sizeof(*page));
        page->pool = pool;
        page->pa = pa;
        page->dirty = true;
        page->state = PVI_PAGE_FREE;
        *end = page;
        end = &page->next;
    }
    pvi_env_acquire(pool->host, &pool->lock);
    *end = pool->free;
    pool->free = first;
    pool->nr_free += *done;
    pool->nr_pages += *done;
    pvi_env_release(pool->host, &pool->lock);
    return rc;
}

uint32_t pvi_pool_shrink(struct pvi_pool *pool, uint32_t nr)
{
    uint32_t done;

    for (done = 0; done < nr; done++) {
        struct pvi_page *page = NULL;
        pvi_pa pa;

        pvi_env_acquire(pool->host, &pool->lock);
        if (pool->nr_free > 0) {
            page = pool_pop(pool);
            pool->nr_pages--;
        }
        pvi_env_release(pool->host, &pool->lock);
        if (!page) {
            break;
        }
        pa = page->pa;
        if (page->dirty) {
            void *content = pvi_env_map(pool->host, pa);

            memset(content, 0, PVI_PAGE_SIZE);
            pvi_env_unmap(pool->host, content);
        }
        memset(page, 0, sizeof(*page));
        pvi_host_page_free(pool->host, pa);
    }
    return done;
}

/* What is far enough from the end to take more than was asked for: so many times as much is left. */
#define POOL_PLENTY 8u

/* Part of both its callers: the second frame would lie on the deepest way of all. */
static inline __attribute__((__always_inline__)) int pool_take(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, uint32_t more, uint32_t reserve,
                     enum pvi_page_state state, struct pvi_page **first)
{
    struct pvi_page *page = NULL;
    uint32_t i;
    int rc = 0;

    PVI_ASSERT(nr > 0);
    pvi_env_acquire(pool->host, &pool->lock);
    if (pool->nr_free < (uint64_t)nr + reserve) {
        rc = -PVI_ENOMEM;
    } else if ((uint64_t)quota->used + nr > quota->limit) {
        rc = -PVI_EQUOTA;
    } else {
        *first = pool->free;
        if ((uint64_t)nr + reserve + POOL_PLENTY * more <= pool->nr_free &&
            (uint64_t)quota->used + nr + POOL_PLENTY * more <= quota->limit) {
            nr += more;
        }
        for (i = 0; i < nr; i++) {
            page = i == 0 ? pool->free : page->next;
            page->state = (uint8_t)state;
            page->quota = quota;
            page->live = 0;
            page->links = 0;
            page->owing = 0;
        }
        pool->free = page->next;
        page->next = NULL;
        pool->nr_free -= nr;
        quota->used += nr;
    }
    pvi_env_release(pool->host, &pool->lock);
    return rc;
}

int pvi_pool_take(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, uint32_t more, enum pvi_page_state state,
                  struct pvi_page **first)
{
    return pool_take(pool, quota, nr, more, pool->reserve, state, first);
}

int pvi_pool_take_reserve(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, struct pvi_page **first)
{
    return pool_take(pool, quota, nr, 0, 0, PVI_PAGE_TABLE, first);
}

/* In use in this pool: anything else is a double free or a page of somebody else. */
static bool pool_owns(const struct pvi_pool *pool, const struct pvi_page *page)
{
    return page->pool == pool && page->quota &&
           (page->state == PVI_PAGE_TABLE || page->state == PVI_PAGE_LIST ||
            page->state == PVI_PAGE_GATHERED);
}

/* One page back, with the lock held; false: it is not ours to take. */
static bool pool_take_back(struct pvi_pool *pool, struct pvi_page *page)
{
    struct pvi_quota *quota = page->quota;

    if (!pool_owns(pool, page)) {
        return false;
    }
    /* A table whose entries were all cleared one by one holds nothing but zeros. */
    page->dirty = page->dirty || page->live != 0 || page->state == PVI_PAGE_LIST;
    if (page->state == PVI_PAGE_GATHERED) {
        (void)pvi_env_add32(&quota->gathered, 0u - 1u);
    }
    quota->used--;
    pvi_env_write64(pool->host, &quota->generation, quota->generation + 1);
    pool_push(pool, page);
    return true;
}

static void pool_refused(struct pvi_pool *pool, const struct pvi_page *page)
{
    pvi_host_event(pool->host, PVI_EVENT_POOL_FOREIGN, page->pa.a, page->state);
}

void pvi_pool_put(struct pvi_pool *pool, struct pvi_page *page)
{
    bool owned;

    pvi_env_acquire(pool->host, &pool->lock);
    owned = pool_take_back(pool, page);
    pvi_env_release(pool->host, &pool->lock);
    if (!owned) {
        pool_refused(pool, page);
    }
}

void pvi_pool_put_list(struct pvi_pool *pool, struct pvi_page *first)
{
    while (first) {
        struct pvi_page *page = first, *next = first;
        bool owned = true;
        uint32_t i;

        /* Not all under one lock: somebody may wait for a page. */
        pvi_env_acquire(pool->host, &pool->lock);
        for (i = 0; next && owned && i < POOL_AT_ONCE; i++) {
            page = next;
            /* What is free already is linked to other free pages, not to the rest of the caller's list. */
            next = page->pool == pool && page->state == PVI_PAGE_FREE ? NULL : page->next;
            owned = pool_take_back(pool, page);
        }
        pvi_env_release(pool->host, &pool->lock);
        if (!owned) {
            pool_refused(pool, page);
        }
        first = next;
    }
}

void pvi_pool_lose(struct pvi_pool *pool, struct pvi_page *page)
{
    pvi_env_acquire(pool->host, &pool->lock);
    PVI_ASSERT(pool_owns(pool, page));
    if (page->state == PVI_PAGE_GATHERED) {
        (void)pvi_env_add32(&page->quota->gathered, 0u - 1u);
    }
    page->state = PVI_PAGE_NONE;
    page->quota->used--;
    page->quota = NULL;
    pool->nr_lost++;
    pvi_env_release(pool->host, &pool->lock);
}
