/* SPDX-License-Identifier: MIT */
/* The userspace host: life, pages, memory. */
#define _GNU_SOURCE
#include "internal.h"
#include <pviommu/pool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(sizeof(struct pvi_page) <= PVI_ENV_PAGE_STRIDE,
               "page records must fit their stride");
_Static_assert(offsetof(struct pvi_host, arena) == 0,
               "the env header casts struct pvi_host to its arena");

#define MEM_MAGIC 0x70766d656d6f7279ull

/* In front of each piece of memory: the library must give back the size that it asked for. */
struct mem_head {
    uint64_t magic, size;
};

/* What the allocator keeps of a page, in arena.used. */
enum {
    PAGE_FREE = 0,
    PAGE_SINGLE = 1,
    PAGE_BLOCK = 2 /* + order: first page of a block; the others of the block are PAGE_TAIL */
};
#define PAGE_TAIL      255u
#define PAGE_MAX_ORDER 30u

void pvi_posix_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "pviommu: %s:%d: assertion failed: %s\n", file, line, what);
    abort();
}

static void *map_zeroed(uint64_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void unmap(void *p, uint64_t size)
{
    if (p) {
        munmap(p, size);
    }
}

static bool cfg_ok(const struct pvi_posix_cfg *cfg)
{
    uint64_t all =
        (uint64_t)(uintptr_t)cfg->mem | cfg->pa | cfg->size | cfg->pages_first | cfg->pages_size;

    return (all & PVI_PAGE_MASK) == 0 && cfg->size != 0 && cfg->pa + cfg->size - 1 >= cfg->pa &&
           cfg->pages_first < cfg->size && cfg->pages_size <= cfg->size - cfg->pages_first &&
           cfg->size >> PVI_PAGE_LG2 <= UINT32_MAX;
}

/* Maps what belongs to the pages; all of it reads as zero and costs nothing until it is touched. */
static bool host_map(struct pvi_host *h, const struct pvi_posix_cfg *cfg)
{
    struct pvi_env_arena *a = &h->arena;

    a->base = cfg->mem;
    if (!a->base) {
        h->own_mem = true;
        a->base = map_zeroed(cfg->size);
    }
    a->records = map_zeroed(a->nr_pages * PVI_ENV_PAGE_STRIDE);
    a->used = map_zeroed(a->nr_pages);
    pvi_env_arena_ready(a);
    h->free_single = map_zeroed(a->nr_pages * sizeof(*h->free_single));
    h->free_block = map_zeroed(a->nr_pages * sizeof(*h->free_block));
    return a->base && a->records && a->used && h->free_single && h->free_block;
}

struct pvi_host *pvi_posix_new(const struct pvi_posix_cfg *cfg)
{
    struct pvi_host *h;
    uint64_t size;

    if (!cfg_ok(cfg)) {
        return NULL;
    }
    h = calloc(1, sizeof(*h));
    if (!h) {
        return NULL;
    }
    size = cfg->pages_size ? cfg->pages_size : cfg->size - cfg->pages_first;
    h->arena.pa = cfg->pa;
    h->arena.size = cfg->size;
    h->arena.first_pa = cfg->pa + cfg->pages_first;
    h->arena.nr_pages = size >> PVI_PAGE_LG2;
    h->high = h->arena.nr_pages;
    h->no_counts = cfg->no_counts;
    h->verbose = cfg->verbose;
    h->poll_turns = 1u << 20;
    pthread_mutex_init(&h->pages_lock, NULL);
    pthread_mutex_init(&h->lists_lock, NULL);
    if (!host_map(h, cfg) || !pvi_record_new(h)) {
        pvi_posix_free(h);
        return NULL;
    }
    return h;
}

void pvi_posix_free(struct pvi_host *h)
{
    while (h->hdoms) {
        pvi_posix_hdom_free(h->hdoms);
    }
    pvi_record_free(h);
    unmap(h->free_block, h->arena.nr_pages * sizeof(*h->free_block));
    unmap(h->free_single, h->arena.nr_pages * sizeof(*h->free_single));
    unmap(h->arena.used, h->arena.nr_pages);
    unmap(h->arena.records, h->arena.nr_pages * PVI_ENV_PAGE_STRIDE);
    if (h->own_mem) {
        unmap(h->arena.base, h->arena.size);
    }
    pthread_mutex_destroy(&h->lists_lock);
    pthread_mutex_destroy(&h->pages_lock);
    free(h);
}

void *pvi_posix_ptr(struct pvi_host *h, uint64_t pa, uint64_t len)
{
    if (pa < h->arena.pa || pa - h->arena.pa > h->arena.size ||
        len > h->arena.size - (pa - h->arena.pa)) {
        return NULL;
    }
    return h->arena.base + (pa - h->arena.pa);
}

uint64_t pvi_posix_pages_used(struct pvi_host *h)
{
    return __atomic_load_n(&h->pages_used, __ATOMIC_RELAXED);
}

uint64_t pvi_posix_mem_used(struct pvi_host *h)
{
    return __atomic_load_n(&h->mem_used, __ATOMIC_RELAXED);
}

bool pvi_posix_balanced(struct pvi_host *h, const char **why)
{
    const char *text = NULL;
    struct pvi_hdom *d;

    if (pvi_posix_pages_used(h) != 0) {
        text = "pages are still given out";
    } else if (pvi_posix_mem_used(h) != 0) {
        text = "memory is still given out";
    }
    for (d = h->hdoms; d && !text; d = d->next) {
        if (!pvi_posix_hdom_balanced(d)) {
            text = "a guest still holds references on frames";
        }
    }
    if (why) {
        *why = text;
    }
    return !text;
}

/* Pages --------------------------------------------------------------------------------------- */

static void page_push(struct pvi_host *h, uint64_t index)
{
    h->free_single[h->nr_free_single++] = (uint32_t)index;
}

/* A block that came back, of at least this order: the last that did. */
static uint64_t block_reuse(struct pvi_host *h, unsigned order, bool exact)
{
    uint64_t i;

    for (i = h->nr_free_block; i-- > 0;) {
        uint64_t index = h->free_block[i];
        unsigned has = *(unsigned char *)(h->arena.records + index * PVI_ENV_PAGE_STRIDE);

        if (has == order || (!exact && has > order)) {
            h->free_block[i] = h->free_block[--h->nr_free_block];
            return index;
        }
    }
    return h->arena.nr_pages;
}

static uint64_t single_take(struct pvi_host *h)
{
    uint64_t index, i;
    unsigned order;

    if (h->nr_free_single != 0) {
        return h->free_single[--h->nr_free_single];
    }
    if (h->low < h->high) {
        return h->low++;
    }
    index = block_reuse(h, 0, false);
    if (index < h->arena.nr_pages) {
        order = *(unsigned char *)(h->arena.records + index * PVI_ENV_PAGE_STRIDE);
        for (i = 1; i < (uint64_t)1 << order; i++) {
            page_push(h, index + i);
        }
    }
    return index;
}

/* Blocks come from the upper end; what alignment leaves over becomes single pages. */
static uint64_t block_take(struct pvi_host *h, unsigned order)
{
    uint64_t n = (uint64_t)1 << order, index = block_reuse(h, order, true), first, top;

    if (index < h->arena.nr_pages) {
        return index;
    }
    top = (h->arena.first_pa >> PVI_PAGE_LG2) + h->high;
    if (h->high - h->low < n) {
        return h->arena.nr_pages;
    }
    first = ((top - n) & ~(n - 1)) - (h->arena.first_pa >> PVI_PAGE_LG2);
    if (first < h->low || first >= h->high) {
        return h->arena.nr_pages;
    }
    while (h->high > first + n) {
        page_push(h, --h->high);
    }
    h->high = first;
    return first;
}

static int pages_take(struct pvi_host *h, unsigned order, pvi_pa *pa)
{
    uint64_t n = (uint64_t)1 << order, index;

    PVI_ASSERT(order <= PAGE_MAX_ORDER);
    pthread_mutex_lock(&h->pages_lock);
    index = order == 0 ? single_take(h) : block_take(h, order);
    if (index < h->arena.nr_pages) {
        memset(h->arena.used + index, PAGE_TAIL, n);
        h->arena.used[index] = order == 0 ? PAGE_SINGLE : (unsigned char)(PAGE_BLOCK + order);
        memset(h->arena.records + index * PVI_ENV_PAGE_STRIDE, 0, n * PVI_ENV_PAGE_STRIDE);
        h->pages_used += n;
    }
    pthread_mutex_unlock(&h->pages_lock);
    if (index >= h->arena.nr_pages) {
        return -PVI_ENOMEM;
    }
    pa->a = h->arena.first_pa + (index << PVI_PAGE_LG2);
    pvi_record_page_alloc(h, index, n);
    return 0;
}

static void pages_give(struct pvi_host *h, unsigned order, pvi_pa pa)
{
    uint64_t n = (uint64_t)1 << order, index = pvi_posix_page_index(h, pa.a);
    unsigned char kind = order == 0 ? PAGE_SINGLE : (unsigned char)(PAGE_BLOCK + order);

    PVI_ASSERT(index < h->arena.nr_pages && (pa.a & PVI_PAGE_MASK) == 0);
    PVI_ASSERT(h->arena.used[index] == kind); /* double free, or not as it was allocated */
    pvi_record_page_free(h, index, n);
    pthread_mutex_lock(&h->pages_lock);
    memset(h->arena.used + index, PAGE_FREE, n);
    if (order == 0) {
        page_push(h, index);
    } else {
        *(unsigned char *)(h->arena.records + index * PVI_ENV_PAGE_STRIDE) = (unsigned char)order;
        h->free_block[h->nr_free_block++] = (uint32_t)index;
    }
    h->pages_used -= n;
    pthread_mutex_unlock(&h->pages_lock);
}

int pvi_host_page_alloc(struct pvi_host *h, pvi_pa *pa)
{
    int rc = pvi_posix_enter(h, PVI_AT_PAGE_ALLOC) ? -PVI_ENOMEM : pages_take(h, 0, pa);

    pvi_posix_leave(h, PVI_AT_PAGE_ALLOC);
    return rc;
}

void pvi_host_page_free(struct pvi_host *h, pvi_pa pa)
{
    (void)pvi_posix_enter(h, PVI_AT_PAGE_FREE);
    pages_give(h, 0, pa);
    pvi_posix_leave(h, PVI_AT_PAGE_FREE);
}

int pvi_host_pages_alloc(struct pvi_host *h, unsigned order, pvi_pa *pa)
{
    int rc = pvi_posix_enter(h, PVI_AT_PAGES_ALLOC) ? -PVI_ENOMEM : pages_take(h, order, pa);

    pvi_posix_leave(h, PVI_AT_PAGES_ALLOC);
    return rc;
}

void pvi_host_pages_free(struct pvi_host *h, pvi_pa pa, unsigned order)
{
    (void)pvi_posix_enter(h, PVI_AT_PAGES_FREE);
    pages_give(h, order, pa);
    pvi_posix_leave(h, PVI_AT_PAGES_FREE);
}

/* Memory -------------------------------------------------------------------------------------- */

void *pvi_host_mem_alloc(struct pvi_host *h, size_t size)
{
    struct mem_head *head = NULL;

    if (!pvi_posix_enter(h, PVI_AT_MEM_ALLOC) && size <= SIZE_MAX - sizeof(*head)) {
        head = calloc(1, sizeof(*head) + size);
    }
    if (head) {
        head->magic = MEM_MAGIC;
        head->size = size;
        __atomic_fetch_add(&h->mem_used, size, __ATOMIC_RELAXED);
    }
    pvi_posix_leave(h, PVI_AT_MEM_ALLOC);
    return head ? head + 1 : NULL;
}

void pvi_host_mem_free(struct pvi_host *h, void *p, size_t size)
{
    (void)pvi_posix_enter(h, PVI_AT_MEM_FREE);
    if (p) {
        struct mem_head *head = (struct mem_head *)p - 1;

        PVI_ASSERT(head->magic == MEM_MAGIC && head->size == size);
        head->magic = 0;
        __atomic_fetch_sub(&h->mem_used, size, __ATOMIC_RELAXED);
        free(head);
    }
    pvi_posix_leave(h, PVI_AT_MEM_FREE);
}
