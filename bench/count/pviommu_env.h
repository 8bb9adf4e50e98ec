/* SPDX-License-Identifier: MIT */
/*
 * Env header of the counting build: the userspace host's, with everything counted that costs a store to a live entry, a
 * cache line on its way to memory, or the bus. See bench/counts.c.
 */
#ifndef BENCH_COUNT_ENV_H
#define BENCH_COUNT_ENV_H

#define pvi_env_write64 plain_write64
#define pvi_env_cmpxchg64 plain_cmpxchg64
#define pvi_env_cmpxchg128 plain_cmpxchg128
#define pvi_env_add32 plain_add32
#define pvi_env_writeback plain_writeback
#define pvi_env_mb plain_mb
#define pvi_env_acquire plain_acquire
#include "../../shim/posix/include/pviommu_env.h"
#undef pvi_env_write64
#undef pvi_env_cmpxchg64
#undef pvi_env_cmpxchg128
#undef pvi_env_add32
#undef pvi_env_writeback
#undef pvi_env_mb
#undef pvi_env_acquire

struct env_counts {
    uint64_t stores;     /**< single stores to entries that hardware may be reading */
    uint64_t lines;      /**< cache lines written back */
    uint64_t writebacks; /**< calls to do so, with their fences */
    uint64_t cmpxchg;    /**< compare-and-swaps */
    uint64_t adds;       /**< atomic additions */
    uint64_t locks;      /**< locks taken */
    uint64_t fences;     /**< full barriers beside those of write-backs */
};

extern struct env_counts env_counts;

static inline void pvi_env_write64(struct pvi_host *h, uint64_t *p, uint64_t value)
{
    const struct pvi_env_arena *a = pvi_env_arena_of(h);

    env_counts.stores += (uintptr_t)p - (uintptr_t)a->base < a->size; /* else it is the library's own */
    plain_write64(h, p, value);
}

static inline bool pvi_env_cmpxchg64(struct pvi_host *h, uint64_t *p, uint64_t old, uint64_t new_)
{
    env_counts.cmpxchg++;
    return plain_cmpxchg64(h, p, old, new_);
}

static inline bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p, const uint64_t old[2], const uint64_t new_[2])
{
    env_counts.cmpxchg++;
    return plain_cmpxchg128(h, p, old, new_);
}

static inline uint32_t pvi_env_add32(uint32_t *p, uint32_t n)
{
    env_counts.adds++;
    return plain_add32(p, n);
}

/** Nothing is really written back: a machine whose walks snoop stands for one whose walks do not. */
static inline void pvi_env_writeback(struct pvi_host *h, const void *p, size_t size)
{
    uintptr_t first = (uintptr_t)p >> 6, last = ((uintptr_t)p + size - 1) >> 6;

    (void)h;
    env_counts.lines += last - first + 1;
    env_counts.writebacks++;
}

static inline void pvi_env_mb(void)
{
    env_counts.fences++;
    plain_mb();
}

static inline void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *l)
{
    env_counts.locks++;
    plain_acquire(h, l);
}

#endif
