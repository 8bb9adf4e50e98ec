/* SPDX-License-Identifier: MIT */
/*
 * The library's environment inside Xen (pviommu/host.h says what each of these must do). Read by every file of the library, so
 * it takes no header of the passthrough layer in.
 */
#ifndef PVIOMMU_ENV_H
#define PVIOMMU_ENV_H

#include <xen/domain_page.h>
#include <xen/iommu.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/spinlock.h>
#include <xen/string.h>

#include <asm/atomic.h>
#include <asm/system.h>

#include <pviommu/host.h>

#define PVI_ASSERT(condition) BUG_ON(!(condition))

/* Frames released without a look at the clock: as many as Xen's own iommu_unmap() goes through. */
#define PVI_GATHER_FRAMES ((uint64_t)4096)

struct pvi_page;

static inline void *pvi_env_map(struct pvi_host *h, pvi_pa pa)
{
    return map_domain_page(maddr_to_mfn(pa.a));
}

static inline void pvi_env_unmap(struct pvi_host *h, void *p)
{
    unmap_domain_page(p);
}

/* The page is nobody's: its type is free to hold where its record is (host.c). */
static inline struct pvi_page *pvi_env_page(struct pvi_host *h, pvi_pa pa)
{
    return (struct pvi_page *)maddr_to_page(pa.a)->u.inuse.type_info;
}

static inline uint64_t pvi_env_read64(const uint64_t *p)
{
    return read_atomic(p);
}

static inline uint32_t pvi_env_read32(const uint32_t *p)
{
    return read_atomic(p);
}

/* Stores of an x86 processor become visible in their order: only the compiler has to be held. */
static inline void pvi_env_write32(uint32_t *p, uint32_t value)
{
    barrier();
    write_atomic(p, value);
    barrier();
}

static inline void pvi_env_write64(struct pvi_host *h, uint64_t *p, uint64_t value)
{
    barrier();
    write_atomic(p, value);
    barrier();
}

static inline uint32_t pvi_env_add32(uint32_t *p, uint32_t value)
{
    return arch_fetch_and_add(p, value) + value;
}

static inline bool pvi_env_cmpxchg64(struct pvi_host *h, uint64_t *p,
                                     uint64_t old, uint64_t new)
{
    return cmpxchg(p, old, new) == old;
}

static inline bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p,
                                      const uint64_t old[2],
                                      const uint64_t new[2])
{
    uint64_t lo = old[0], hi = old[1];
    bool done;

    asm volatile ( "lock cmpxchg16b %[mem]"
                   : [mem] "+m" (*(__uint128_t *)p), "+a" (lo), "+d" (hi),
                     "=@ccz" (done)
                   : "b" (new[0]), "c" (new[1])
                   : "memory" );

    return done;
}

static inline void pvi_env_writeback(struct pvi_host *h, const void *p,
                                     size_t len)
{
    iommu_sync_cache(p, (unsigned int)len);
}

static inline void pvi_env_mb(void)
{
    smp_mb();
}

typedef spinlock_t pvi_env_lock;

static inline void pvi_env_lock_init(struct pvi_host *h, pvi_env_lock *lock,
                                     enum pvi_lock_class lock_class)
{
    spin_lock_init(lock);
}

static inline void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *lock)
{
    spin_lock(lock);
}

static inline void pvi_env_release(struct pvi_host *h, pvi_env_lock *lock)
{
    spin_unlock(lock);
}

#endif /* PVIOMMU_ENV_H */
