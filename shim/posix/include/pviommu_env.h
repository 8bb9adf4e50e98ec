/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Env header of the userspace host (see pviommu/host.h): memory of one process stands for
 * host-physical memory.
 *
 * With PVI_POSIX_RECORD defined every store, write-back and lock goes through the recorder
 * (shim/posix/record.c), which judges it; without, everything is inline. Both builds lay out the
 * same structures.
 */
#ifndef PVIOMMU_ENV_H
#define PVIOMMU_ENV_H

#include <pviommu/host.h>
#include <string.h>

#if !defined(__x86_64__)
#error "the userspace host needs x86-64 (16-byte compare and swap)"
#endif

struct pvi_page;

/** Bytes between two page records: one cache line each, so that CPUs do not share them. */
#define PVI_ENV_PAGE_STRIDE 64u

/** First member of struct pvi_host: all that the inline functions need. */
struct pvi_env_arena {
    uintptr_t offset;    /**< pointer to memory less host-physical address */
    uintptr_t record_0;  /**< where page 0 would have its record */
    unsigned char *base; /**< where host-physical memory begins */
    uint64_t pa;         /**< its address */
    uint64_t size;
    unsigned char *records; /**< struct pvi_page of each page that the allocator owns */
    unsigned char *used;    /**< not 0: given out */
    uint64_t first_pa;      /**< first page that the allocator owns */
    uint64_t nr_pages;
};

typedef struct {
    uint32_t word;
    uint32_t lock_class; /**< enum pvi_lock_class */
} pvi_env_lock;

#if defined(__STDC_HOSTED__) && __STDC_HOSTED__
void pvi_posix_assert_failed(const char *what, const char *file, int line)
    __attribute__((noreturn));
#define PVI_ASSERT(condition)                                                                      \
    ((condition) ? (void)0 : pvi_posix_assert_failed(#condition, __FILE__, __LINE__))
#else
#define PVI_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#endif

static inline const struct pvi_env_arena *pvi_env_arena_of(struct pvi_host *h)
{
    return (const struct pvi_env_arena *)(const void *)h;
}

/** Once base, pa, records and first_pa are set: what the inline functions calculate with. */
static inline void pvi_env_arena_ready(struct pvi_env_arena *a)
{
    a->offset = (uintptr_t)a->base - a->pa;
    a->record_0 = (uintptr_t)a->records - (a->first_pa >> PVI_PAGE_LG2) * PVI_ENV_PAGE_STRIDE;
}

static inline struct pvi_page *pvi_env_page(struct pvi_host *h, pvi_pa pa)
{
    const struct pvi_env_arena *a = pvi_env_arena_of(h);

#ifdef PVI_POSIX_RECORD
    uint64_t index = (pa.a - a->first_pa) >> PVI_PAGE_LG2; /* below first_pa this wraps beyond nr_pages */

    if (index >= a->nr_pages || !a->used[index]) {
        return NULL;
    }
#endif
    return (struct pvi_page *)(a->record_0 + (pa.a >> PVI_PAGE_LG2) * PVI_ENV_PAGE_STRIDE);
}

static inline uint64_t pvi_env_read64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint32_t pvi_env_read32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void pvi_env_write32(uint32_t *p, uint32_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline uint32_t pvi_env_add32(uint32_t *p, uint32_t n)
{
    return __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST);
}

static inline void pvi_env_mb(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

struct pvi_env_pair {
    uint64_t w[2];
};

/**
 * 16-byte compare and swap, as one instruction: a library call could fall back to a lock that no
 * IOMMU knows.
 */
static inline bool pvi_env_raw_cmpxchg128(uint64_t *p, const uint64_t old[2],
                                          const uint64_t new_[2])
{
    uint64_t lo = old[0];
    uint64_t hi = old[1];
    bool done;

    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*(struct pvi_env_pair *)(void *)p), "+a"(lo),
                           "+d"(hi)
                         : "b"(new_[0]), "c"(new_[1])
                         : "memory");
    return done;
}

#ifdef PVI_POSIX_RECORD

void *pvi_env_map(struct pvi_host *h, pvi_pa pa);
void pvi_env_unmap(struct pvi_host *h, void *p);
void pvi_env_write64(struct pvi_host *h, uint64_t *p, uint64_t value);
bool pvi_env_cmpxchg64(struct pvi_host *h, uint64_t *p, uint64_t old, uint64_t new_);
bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p, const uint64_t old[2],
                        const uint64_t new_[2]);
void pvi_env_writeback(struct pvi_host *h, const void *p, size_t size);
void pvi_env_lock_init(struct pvi_host *h, pvi_env_lock *l, enum pvi_lock_class lock_class);
void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *l);
void pvi_env_release(struct pvi_host *h, pvi_env_lock *l);

#else

static inline void *pvi_env_map(struct pvi_host *h, pvi_pa pa)
{
    const struct pvi_env_arena *a = pvi_env_arena_of(h);
    void *p = (void *)(a->offset + pa.a);

    __asm__("" : "+r"(p)); /* a page of its own: an index into it is added by the access, not before */
    return p;
}

static inline void pvi_env_unmap(struct pvi_host *h, void *p)
{
    (void)h;
    (void)p;
}

static inline void pvi_env_write64(struct pvi_host *h, uint64_t *p, uint64_t value)
{
    (void)h;
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline bool pvi_env_cmpxchg64(struct pvi_host *h, uint64_t *p, uint64_t old, uint64_t new_)
{
    (void)h;
    return __atomic_compare_exchange_n(p, &old, new_, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static inline bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p, const uint64_t old[2],
                                      const uint64_t new_[2])
{
    (void)h;
    return pvi_env_raw_cmpxchg128(p, old, new_);
}

static inline void pvi_env_writeback(struct pvi_host *h, const void *p, size_t size)
{
    uintptr_t line = (uintptr_t)p & ~(uintptr_t)63;
    uintptr_t end = (uintptr_t)p + size;

    (void)h;
    pvi_env_mb();
    for (; line < end; line += 64) {
        __asm__ __volatile__("clflush %0" : "+m"(*(volatile char *)line));
    }
    pvi_env_mb();
}

static inline void pvi_env_lock_init(struct pvi_host *h, pvi_env_lock *l,
                                     enum pvi_lock_class lock_class)
{
    (void)h;
    l->word = 0;
    l->lock_class = (uint32_t)lock_class;
}

static inline void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *l)
{
    (void)h;
    while (__atomic_exchange_n(&l->word, 1u, __ATOMIC_ACQUIRE)) {
        while (__atomic_load_n(&l->word, __ATOMIC_RELAXED)) {
            __builtin_ia32_pause();
        }
    }
}

static inline void pvi_env_release(struct pvi_host *h, pvi_env_lock *l)
{
    (void)h;
    __atomic_store_n(&l->word, 0u, __ATOMIC_RELEASE);
}

#endif

#endif
