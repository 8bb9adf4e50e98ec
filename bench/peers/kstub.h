/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for the kernel's environment, for the functions that cut.py takes out of Linux 6.1.
 *
 * Only the names are the kernel's, since the code that is cut uses them; every body is our own, on compiler builtins.
 * Where a body costs time on a measured path it costs what the kernel's does: same instruction, same memory traffic.
 */
#ifndef KSTUB_H
#define KSTUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"

#define CONFIG_64BIT 1

/* ---- types ---- */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef u64 phys_addr_t;
typedef u64 dma_addr_t;
typedef unsigned int gfp_t;
typedef struct { u64 value; } atomic64_t;
typedef struct { int held; } spinlock_t;

struct device;

/* ---- compiler ---- */

#define likely(x) __builtin_expect((x) ? 1 : 0, 1)
#define unlikely(x) __builtin_expect((x) ? 1 : 0, 0)
#define container_of(ptr, type, member) \
    ((type *)((char *)(ptr) - offsetof(type, member)))
#define EXPORT_SYMBOL_GPL(name)

/* ---- numbers ---- */

enum { EIO = 5, ENOMEM = 12, EFAULT = 14, EBUSY = 16, ENODEV = 19, EINVAL = 22 };

#define ULONG_MAX (~0ul)
#define BITS_PER_LONG 64
#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define PAGE_MASK (-PAGE_SIZE)
#define SZ_4K 0x1000ul
#define SZ_2M 0x200000ul
#define SZ_1G 0x40000000ul

#define BIT(n) (1ul << (n))
#define BIT_ULL(n) (1ull << (n))
#define BIT_MASK(n) (1ul << ((n) & 63))
#define GENMASK(high, low) ((~0ul >> (63 - (high))) & (~0ul << (low)))

/* y, a: powers of two */
#define IS_ALIGNED(x, a) (!((x) & ((a) - 1)))
#define round_down(x, y) ((x) - ((x) & ((y) - 1)))
#define ALIGN(x, a) ((x) + (-(x) & ((a) - 1)))
#define PAGE_ALIGN(x) ALIGN(x, PAGE_SIZE)
#define DIV_ROUND_UP(n, d) ((n) / (d) + ((n) % (d) != 0))
#define is_power_of_2(n) ((n) && ((n) & -(n)) == (n))

#define min_t(type, a, b) \
    ({ type a_ = (a), b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b) \
    ({ __auto_type a_ = (a); __auto_type b_ = (b); a_ > b_ ? a_ : b_; })
#define check_add_overflow(a, b, sum) __builtin_add_overflow(a, b, sum)

/* ---- bit scans: undefined for 0 (ffz: for all ones), as in the kernel ---- */

#define __ffs(x) ((unsigned long)__builtin_ctzl(x))
#define __fls(x) ((unsigned long)(63 ^ __builtin_clzl(x)))
#define ffz(x) ((unsigned long)__builtin_ctzl(~(unsigned long)(x)))

/* ---- atomics ---- */

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define atomic64_set(a, v) __atomic_store_n(&(a)->value, (v), __ATOMIC_RELAXED)

/* Locked compare-and-swap; the first returns what was there. */
#define cmpxchg64(p, old, new) \
    __sync_val_compare_and_swap((u64 *)(p), (u64)(old), (u64)(new))
#define try_cmpxchg64(p, old, new) \
    __atomic_compare_exchange_n((u64 *)(p), (u64 *)(old), (u64)(new), 0, \
                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/*
 * Atomic against this CPU only: no bus lock.  No builtin gives that, and the
 * VT-d map path pays for one per PTE, so it has to be this instruction.
 */
static inline u64 kstub_cas_unlocked(u64 *p, u64 expect, u64 value)
{
    __asm__ volatile("cmpxchg %[value], %[mem]"
             : "+a"(expect), [mem] "+m"(*p)
             : [value] "r"(value)
             : "cc", "memory");
    return expect;
}
#define cmpxchg64_local(p, old, new) kstub_cas_unlocked((u64 *)(p), old, new)

static inline void spin_lock(spinlock_t *l)
{
    while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE))
        __builtin_ia32_pause();
}

static inline void spin_unlock(spinlock_t *l)
{
    __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

/* There are no interrupts to keep out. */
#define spin_lock_irqsave(l, flags) ((flags) = 0, spin_lock(l))
#define spin_unlock_irqrestore(l, flags) ((void)(flags), spin_unlock(l))

/* ---- diagnostics ---- */

#define BUG() __builtin_trap()
#define BUG_ON(bad) do { if (unlikely(bad)) BUG(); } while (0)
#define WARN_ON(bad) \
    ({ bool bad_ = (bad); if (unlikely(bad_)) memory_warn(__FILE__, __LINE__); bad_; })
#define WARN_ON_ONCE(bad) WARN_ON(bad)
#define pr_err(...) memory_warn(__FILE__, __LINE__)
#define pr_crit(...) memory_warn(__FILE__, __LINE__)
#define pr_warn(...) memory_warn(__FILE__, __LINE__)
#define pr_debug(...) ((void)0)
#define debug_dma_dump_mappings(dev) ((void)0)
#define trace_map(iova, pa, size) ((void)0)
#define trace_unmap(iova, size, done) ((void)0)
#define might_sleep() ((void)0)

/* ---- circular doubly linked lists ---- */

struct list_head {
    struct list_head *next, *prev;
};

#define LIST_HEAD_INIT(name) { .next = &(name), .prev = &(name) }
#define LIST_HEAD(name) struct list_head name = LIST_HEAD_INIT(name)

static inline bool list_empty(const struct list_head *head)
{
    return READ_ONCE(head->next) == head;
}

static inline void list_add_tail(struct list_head *item, struct list_head *head)
{
    struct list_head *last = head->prev;

    *item = (struct list_head){ .next = head, .prev = last };
    head->prev = item;
    WRITE_ONCE(last->next, item);
}

/* ---- memory: a direct map at a run-time offset and 64 bytes per page frame ---- */

struct page {
    unsigned long flags;
    struct list_head lru;
    unsigned long rest[5];
};
_Static_assert(sizeof(struct page) == 64, "memory.h: MEMORY_RECORD");

#define NUMA_NO_NODE (-1)
#define GFP_KERNEL 0u
#define GFP_ATOMIC 1u
#define __GFP_ZERO 2u

static inline phys_addr_t virt_to_phys(const volatile void *p)
{
    return (unsigned long)p - memory_offset;
}

static inline void *phys_to_virt(phys_addr_t pa)
{
    return (void *)((unsigned long)pa + memory_offset);
}

static inline struct page *pfn_to_page(unsigned long pfn)
{
    return (struct page *)memory_records + (pfn - (MEMORY_PA >> PAGE_SHIFT));
}

static inline struct page *virt_to_page(const void *p)
{
    return pfn_to_page(virt_to_phys(p) >> PAGE_SHIFT);
}

static inline unsigned long page_to_pfn(const struct page *page)
{
    return (unsigned long)(page - (const struct page *)memory_records) + (MEMORY_PA >> PAGE_SHIFT);
}

static inline void *page_address(const struct page *page)
{
    return phys_to_virt((phys_addr_t)page_to_pfn(page) << PAGE_SHIFT);
}

static inline unsigned long get_zeroed_page(gfp_t gfp)
{
    return (unsigned long)memory_get();
}

static inline struct page *alloc_pages_node(int node, gfp_t gfp, unsigned int order)
{
    void *p = memory_get();

    return p ? virt_to_page(p) : NULL;
}

static inline void free_page(unsigned long addr)
{
    if (addr)
        memory_put((void *)addr);
}

static inline void put_pages_list(struct list_head *pages)
{
    struct list_head *item = pages->next;

    while (item != pages) {
        struct page *page = container_of(item, struct page, lru);

        item = item->next;
        memory_put(page_address(page));
    }
    pages->next = pages->prev = pages;
}

/* AMD memory encryption: off, but only at run time. */
#define __sme_set(pa) ((pa) | memory_no_mask)
#define __sme_clr(pa) ((pa) & ~memory_no_mask)

/* Only for walkers that do not snoop: not measured, must not be reached. */
#define clflush_cache_range(p, size) memory_warn(__FILE__, __LINE__)

#endif /* KSTUB_H */
