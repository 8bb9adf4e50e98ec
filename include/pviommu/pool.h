/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The page pool: table pages set aside for one domain, so that a guest can exhaust only its own share.
 *
 * Every operation is O(1) but growing and shrinking. Pages are scrubbed before they leave the pool and
 * before they are first linked (a table that its slice fills whole needs no scrub). A page that was a
 * table comes back only through the gather, after the flush that covers it.
 */
#ifndef PVIOMMU_POOL_H
#define PVIOMMU_POOL_H

#include <pviommu/host.h>
#include <pviommu_env.h>

struct pvi_pool;

/** Life of a page of the pool. */
enum pvi_page_state {
    PVI_PAGE_NONE = 0, /**< not in any pool */
    PVI_PAGE_FREE,     /**< on the pool's free list */
    PVI_PAGE_TABLE,    /**< linked, or about to be */
    PVI_PAGE_LIST,     /**< holds runs of frames that wait for a flush */
    PVI_PAGE_GATHERED  /**< unlinked table that waits for its flush */
};

/**
 * Record of one page, found from its address by pvi_env_page(). The host keeps the storage; the library
 * owns the content while the page is in a pool. The host hands it over zeroed.
 */
struct pvi_page {
    struct pvi_page *next;  /**< free list, what pvi_pool_take() gave, or gather */
    struct pvi_pool *pool;  /**< NULL: not in a pool */
    struct pvi_quota *quota; /**< charged while in use */
    pvi_pa pa;
    uint32_t live;  /**< entries that are not empty */
    uint32_t links; /**< entries among them that point to tables */
    uint16_t owing; /**< leaf entries among them that owe a frame */
    uint8_t state;  /**< enum pvi_page_state */
    uint8_t level;  /**< of a table; 0 is the last */
    bool dirty;     /**< may hold content that live does not count; who scrubs or fills a table clears it */
};

/** Share of one context. */
struct pvi_quota {
    uint32_t limit;
    uint32_t used;       /**< pages in use, gathered ones included */
    uint32_t gathered;   /**< tables unlinked whose flush is not over: hardware may still find them where others are linked by now */
    uint64_t generation; /**< changes before a page that was in use here can be used again: lookups without a lock compare it */
};

/** A domain's pages. */
struct pvi_pool {
    struct pvi_host *host;
    pvi_env_lock lock;
    struct pvi_page *free;
    uint32_t nr_pages; /**< all that the pool holds, lost ones included */
    uint32_t nr_free;  /**< on the free list */
    uint32_t nr_lost;  /**< never to be used again: their flush failed */
    uint32_t reserve;  /**< free pages that only pvi_pool_take_reserve() may touch; set before the pool is used */
};

/** Figures of a pool at one moment. */
struct pvi_pool_usage {
    uint32_t nr_pages; /**< usable: all but the lost ones */
    uint32_t nr_free;
    uint32_t nr_lost;
};

void pvi_pool_init(struct pvi_pool *pool, struct pvi_host *host);
void pvi_pool_usage(struct pvi_pool *pool, struct pvi_pool_usage *out);
/** Sets a share's limit; what is in use stays counted. */
void pvi_quota_limit(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t limit);
/** Pages of a share in use. */
uint32_t pvi_quota_used(struct pvi_pool *pool, const struct pvi_quota *quota);

/**
 * Takes up to nr pages from the host.
 * @param[out] done pages really added, also on error.
 * @return 0 or -PVI_ENOMEM.
 */
PVI_MUST_CHECK int pvi_pool_grow(struct pvi_pool *pool, uint32_t nr, uint32_t *done);

/**
 * Gives up to nr free pages back to the host, scrubbed.
 * @return how many.
 */
uint32_t pvi_pool_shrink(struct pvi_pool *pool, uint32_t nr);

/**
 * Takes nr pages at once, or none. Their content is anything where page->dirty is set, else zero; live, links and owing are 0.
 * @param more so many beyond nr, if the pool and the share are far from their end: saves taking the lock for each.
 * @param[out] first the pages, linked by next.
 * @return 0, -PVI_ENOMEM (pool, less its reserve) or -PVI_EQUOTA (the context's share): nothing changed.
 */
PVI_MUST_CHECK int pvi_pool_take(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, uint32_t more,
                                 enum pvi_page_state state, struct pvi_page **first);
/** The same for table pages, down to the last one: for what takes translations away. */
PVI_MUST_CHECK int pvi_pool_take_reserve(struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, struct pvi_page **first);

/**
 * Takes a page back that no unit can reach or cache any more (R4).
 * A page that is not in use in this pool (double free, foreign) is refused: reported by PVI_EVENT_POOL_FOREIGN and left
 * alone.
 */
void pvi_pool_put(struct pvi_pool *pool, struct pvi_page *page);

/** The same for pages linked by next, up to NULL or to one that is free already. */
void pvi_pool_put_list(struct pvi_pool *pool, struct pvi_page *first);

/** Writes a page off: the flush that covers it failed. It stays counted, is charged to nobody and is never used again. */
void pvi_pool_lose(struct pvi_pool *pool, struct pvi_page *page);

#endif
