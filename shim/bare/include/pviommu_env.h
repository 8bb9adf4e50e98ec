/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Env header of the bare host (see pviommu/host.h): x86-64, all memory mapped 1:1, one CPU.
 *
 * Locks spin, and assert the order of pviommu/host.h; with more than one CPU bare_locks_held would
 * be one word a CPU.
 */
#ifndef PVIOMMU_ENV_H
#define PVIOMMU_ENV_H

#include <pviommu/host.h>
#include <string.h>

#define BARE_CACHE_LINE 64u

struct pvi_page;

typedef struct {
    uint32_t taken;
    uint32_t bit; /* 1 << enum pvi_lock_class */
} pvi_env_lock;

/** Classes of the locks that the CPU holds. */
extern uint32_t bare_locks_held;

void bare_assert_failed(const char *what, const char *file, int line) __attribute__((noreturn));

#define PVI_ASSERT(condition)                                                                      \
    ((condition) ? (void)0 : bare_assert_failed(#condition, __FILE__, __LINE__))

/** In host.c, with the page allocator. */
struct pvi_page *pvi_env_page(struct pvi_host *h, pvi_pa pa);

static inline void *pvi_env_map(struct pvi_host *h, pvi_pa pa)
{
    (void)h;
    return (void *)(uintptr_t)pa.a;
}

static inline void pvi_env_unmap(struct pvi_host *h, void *p)
{
    (void)h;
    (void)p;
}

static inline uint64_t pvi_env_read64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint32_t pvi_env_read32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* x86 keeps stores in order: only the compiler has to be held back. */
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

struct bare_pair {
    uint64_t w[2];
};

/* One instruction: a library call might fall back to a lock that no IOMMU knows of. */
static inline bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p, const uint64_t old[2],
                                      const uint64_t new_[2])
{
    uint64_t lo = old[0];
    uint64_t hi = old[1];
    bool done;

    (void)h;
    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*(struct bare_pair *)(void *)p), "+a"(lo), "+d"(hi)
                         : "b"(new_[0]), "c"(new_[1])
                         : "memory");
    return done;
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

/* CLFLUSH is ordered against nothing on some CPUs: fences on both sides. */
static inline void pvi_env_writeback(struct pvi_host *h, const void *p, size_t size)
{
    uintptr_t line = (uintptr_t)p & ~(uintptr_t)(BARE_CACHE_LINE - 1);

    (void)h;
    pvi_env_mb();
    for (; line < (uintptr_t)p + size; line += BARE_CACHE_LINE) {
        __asm__ __volatile__("clflush %0" : "+m"(*(volatile char *)line));
    }
    pvi_env_mb();
}

static inline void pvi_env_lock_init(struct pvi_host *h, pvi_env_lock *l,
                                     enum pvi_lock_class lock_class)
{
    (void)h;
    l->taken = 0;
    l->bit = 1u << lock_class;
}

static inline void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *l)
{
    (void)h;
    PVI_ASSERT(bare_locks_held < l->bit);
    while (__atomic_exchange_n(&l->taken, 1u, __ATOMIC_ACQUIRE)) {
        __builtin_ia32_pause();
    }
    bare_locks_held |= l->bit;
}

static inline void pvi_env_release(struct pvi_host *h, pvi_env_lock *l)
{
    (void)h;
    bare_locks_held &= ~l->bit;
    __atomic_store_n(&l->taken, 0u, __ATOMIC_RELEASE);
}

#endif
