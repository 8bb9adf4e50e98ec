/* SPDX-License-Identifier: MIT */
/* Env header of the little hypervisor (what each of these must do: pviommu/host.h): x86-64, all RAM mapped, one CPU. */
#ifndef PVIOMMU_ENV_H
#define PVIOMMU_ENV_H

#include <pviommu/host.h>

#define TINY_CACHE_LINE 64u

struct pvi_page;

typedef struct {
    uint32_t taken;
} pvi_env_lock;

/* RAM of the machine. On real hardware this is the direct map. */
extern unsigned char hw_ram[];

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

void tiny_panic(const char *what, const char *file, int line) __attribute__((noreturn));

#define PVI_ASSERT(condition) ((condition) ? (void)0 : tiny_panic(#condition, __FILE__, __LINE__))

/* In host.c, beside the frame table that it looks into. */
struct pvi_page *pvi_env_page(struct pvi_host *h, pvi_pa pa);

static inline void *pvi_env_map(struct pvi_host *h, pvi_pa pa)
{
    (void)h;
    return hw_ram + pa.a;
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

static inline void pvi_env_write64(struct pvi_host *h, uint64_t *p, uint64_t value)
{
    (void)h;
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline void pvi_env_write32(uint32_t *p, uint32_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline uint32_t pvi_env_add32(uint32_t *p, uint32_t n)
{
    return __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST);
}

static inline bool pvi_env_cmpxchg64(struct pvi_host *h, uint64_t *p, uint64_t old, uint64_t new_)
{
    (void)h;
    return __atomic_compare_exchange_n(p, &old, new_, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The instruction itself: a compiler's library function may take a lock instead, which no unit knows of. */
static inline bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p, const uint64_t old[2],
                                      const uint64_t new_[2])
{
    uint64_t lo = old[0], hi = old[1];
    bool done;

    (void)h;
    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*(uint64_t(*)[2])p), "+a"(lo), "+d"(hi)
                         : "b"(new_[0]), "c"(new_[1])
                         : "memory");
    return done;
}

static inline void pvi_env_mb(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Only units that do not snoop need it. CLFLUSH is ordered against nothing on some CPUs: fences on both sides. */
static inline void pvi_env_writeback(struct pvi_host *h, const void *p, size_t size)
{
    uintptr_t line = (uintptr_t)p & ~(uintptr_t)(TINY_CACHE_LINE - 1);

    (void)h;
    pvi_env_mb();
    for (; line < (uintptr_t)p + size; line += TINY_CACHE_LINE) {
        __asm__ __volatile__("clflush %0" : "+m"(*(volatile char *)line));
    }
    pvi_env_mb();
}

static inline void pvi_env_lock_init(struct pvi_host *h, pvi_env_lock *l, enum pvi_lock_class lock_class)
{
    (void)h;
    (void)lock_class;
    l->taken = 0;
}

static inline void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *l)
{
    (void)h;
    while (__atomic_exchange_n(&l->taken, 1u, __ATOMIC_ACQUIRE)) {
        __builtin_ia32_pause();
    }
}

static inline void pvi_env_release(struct pvi_host *h, pvi_env_lock *l)
{
    (void)h;
    __atomic_store_n(&l->taken, 0u, __ATOMIC_RELEASE);
}

#endif
