/* SPDX-License-Identifier: MIT */
/* The page pool: free list, promises, shares. See include/pviommu/pool.h. */
#include <pviommu/pool.h>

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

int pvi_pool_grow(struct pvi_pool *pool, uint32_t nr, uint32_t *done)
{
    for (*done = 0; *done < nr; (*done)++) {
        struct pvi_page *page;
        pvi_pa pa;

        if (pvi_host_page_alloc(pool->host, &pa) != 0) {
            return -PVI_ENOMEM;
        }
        page = pvi_env_page(pool->host, pa);
        PVI_ASSERT(page != NULL && page->pool == NULL);
        memset(page, 0, sizeof(*page));
        page->pool = pool;
        page->pa = pa;
        page->dirty = true;
        pvi_env_acquire(pool->host, &pool->lock);
        pool_push(pool, page);
        pool->nr_pages++;
        pvi_env_release(pool->host, &pool->lock);
    }
    return 0;
}

uint32_t pvi_pool_shrink(struct pvi_pool *pool, uint32_t nr)
{
    uint32_t done;

    for (done = 0; done < nr; done++) {
        struct pvi_page *page = NULL;
        pvi_pa pa;

        pvi_env_acquire(pool->host, &pool->lock);
        if (pool->nr_free > pool->nr_reserved) {
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

int pvi_pool_reserve(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, struct pvi_reserve *out)
{
    int rc = 0;

    pvi_env_acquire(pool->host, &pool->lock);
    if (pool->nr_free - pool->nr_reserved < nr) {
        rc = -PVI_ENOMEM;
    } else if ((uint64_t)quota->used + quota->reserved + nr > quota->limit) {
        rc = -PVI_EQUOTA;
    } else {
        pool->nr_reserved += nr;
        quota->reserved += nr;
    }
    pvi_env_release(pool->host, &pool->lock);
    out->pool = pool;
    out->quota = quota;
    out->nr = rc == 0 ? nr : 0;
    return rc;
}

struct pvi_page *pvi_pool_commit(struct pvi_reserve *r, enum pvi_page_state state)
{
    struct pvi_pool *pool = r->pool;
    struct pvi_page *page;

    PVI_ASSERT(r->nr > 0);
    r->nr--;
    pvi_env_acquire(pool->host, &pool->lock);
    page = pool_pop(pool);
    pool->nr_reserved--;
    r->quota->reserved--;
    r->quota->used++;
    pvi_env_release(pool->host, &pool->lock);
    page->state = (uint8_t)state;
    page->quota = r->quota;
    page->live = 0;
    page->owing = 0;
    return page;
}

void pvi_pool_cancel(struct pvi_reserve *r)
{
    if (r->nr == 0) {
        return;
    }
    pvi_env_acquire(r->pool->host, &r->pool->lock);
    r->pool->nr_reserved -= r->nr;
    r->quota->reserved -= r->nr;
    pvi_env_release(r->pool->host, &r->pool->lock);
    r->nr = 0;
}

/* In use in this pool: anything else is a double free or a page of somebody else. */
static bool pool_owns(const struct pvi_pool *pool, const struct pvi_page *page)
{
    return page->pool == pool && page->quota &&
           (page->state == PVI_PAGE_TABLE || page->state == PVI_PAGE_LIST ||
            page->state == PVI_PAGE_GATHERED);
}

void pvi_pool_put(struct pvi_pool *pool, struct pvi_page *page)
{
    bool owned;

    pvi_env_acquire(pool->host, &pool->lock);
    owned = pool_owns(pool, page);
    if (owned) {
        /* A table whose entries were all cleared one by one holds nothing but zeros. */
        page->dirty = page->dirty || page->live != 0 || page->state == PVI_PAGE_LIST;
        page->quota->used--;
        pool_push(pool, page);
    }
    pvi_env_release(pool->host, &pool->lock);
    if (!owned) {
        pvi_host_event(pool->host, PVI_EVENT_POOL_FOREIGN, page->pa.a, page->state);
    }
}

void pvi_pool_lose(struct pvi_pool *pool, struct pvi_page *page)
{
    pvi_env_acquire(pool->host, &pool->lock);
    PVI_ASSERT(pool_owns(pool, page));
    page->state = PVI_PAGE_NONE;
    page->quota->used--;
    page->quota = NULL;
    pool->nr_lost++;
    pvi_env_release(pool->host, &pool->lock);
}
