/* SPDX-License-Identifier: MIT */
/*
 * The env header of a hypervisor with a direct map and plain spin locks, built without libc headers.
 * It is the second one beside the userspace host's: where the library needs more than the contract in
 * pviommu/host.h says, it does not compile against this one.
 */
#ifndef PVIOMMU_ENV_H
#define PVIOMMU_ENV_H

#include <pviommu/host.h>

#define HV_DIRECT_MAP 0xFFFF800000000000ull
#define HV_FRAME_TABLE 0xFFFF820000000000ull
#define HV_FRAME_RECORD 64u /* bytes set aside for a frame's struct pvi_page */
#define HV_CACHE_LINE 64u

struct pvi_page;

typedef struct {
    uint32_t taken;
} pvi_env_lock;

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#define PVI_ASSERT(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            __builtin_trap();                                                                      \
        }                                                                                          \
    } while (0)

static inline void *pvi_env_map(struct pvi_host *h, pvi_pa pa)
{
    (void)h;
    return (void *)(HV_DIRECT_MAP + pa.a);
}

static inline void pvi_env_unmap(struct pvi_host *h, void *p)
{
    (void)h;
    (void)p;
}

static inline struct pvi_page *pvi_env_page(struct pvi_host *h, pvi_pa pa)
{
    (void)h;
    return (struct pvi_page *)(HV_FRAME_TABLE + (pa.a >> PVI_PAGE_LG2) * HV_FRAME_RECORD);
}

static inline uint64_t pvi_env_read64(const uint64_t *p)
{
    return *(const volatile uint64_t *)p;
}

static inline uint32_t pvi_env_read32(const uint32_t *p)
{
    return *(const volatile uint32_t *)p;
}

/* x86 keeps stores in order: the compiler is all that has to be held back. */
static inline void pvi_env_write64(struct pvi_host *h, uint64_t *p, uint64_t value)
{
    (void)h;
    __asm__ volatile("" ::: "memory");
    *(volatile uint64_t *)p = value;
}

static inline bool pvi_env_cmpxchg64(struct pvi_host *h, uint64_t *p, uint64_t old, uint64_t new_)
{
    (void)h;
    return __sync_bool_compare_and_swap(p, old, new_);
}

static inline bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p, const uint64_t old[2],
                                      const uint64_t new_[2])
{
    uint64_t lo = old[0], hi = old[1];
    unsigned char done;

    (void)h;
    __asm__ volatile("lock cmpxchg16b %1\n\tsete %0"
                     : "=q"(done), "+m"(*(uint64_t(*)[2])p), "+a"(lo), "+d"(hi)
                     : "b"(new_[0]), "c"(new_[1])
                     : "memory", "cc");
    return done;
}

static inline void pvi_env_writeback(struct pvi_host *h, const void *p, size_t size)
{
    uintptr_t line = (uintptr_t)p & ~(uintptr_t)(HV_CACHE_LINE - 1);

    (void)h;
    for (; line < (uintptr_t)p + size; line += HV_CACHE_LINE) {
        __asm__ volatile("clflush %0" : "+m"(*(volatile char *)line));
    }
    __asm__ volatile("mfence" ::: "memory");
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
    __asm__ volatile("mfence" ::: "memory");
}

static inline void pvi_env_lock_init(struct pvi_host *h, pvi_env_lock *lock, enum pvi_lock_class cls)
{
    (void)h;
    (void)cls;
    lock->taken = 0;
}

static inline void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *lock)
{
    (void)h;
    while (__sync_lock_test_and_set(&lock->taken, 1u) != 0) {
        __asm__ volatile("pause");
    }
}

static inline void pvi_env_release(struct pvi_host *h, pvi_env_lock *lock)
{
    (void)h;
    __sync_lock_release(&lock->taken);
}

#endif
