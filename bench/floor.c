/* SPDX-License-Identifier: MIT */
/*
 * The floor: the least code that keeps a 4-level radix table of 4K, 2M and 1G leaves. One walk for each table, then a plain
 * store loop. It checks no overlap, counts nothing, and frees no table before the end: an engine can beat it only where its loops are better.
 */
#include "bench.h"
#include "memory.h"

#define PRESENT_RW 3ull
#define LARGE 0x80ull
#define ADDRESS 0x000ffffffffff000ull

static inline uint64_t index_at(uint64_t iova, unsigned shift)
{
    return (iova >> shift) & 511;
}

static inline uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(uintptr_t)((entry & ADDRESS) + memory_offset);
}

static uint64_t *new_table(uint64_t *slot)
{
    uint64_t *table = memory_get();
    uint64_t old = 0, entry = ((uint64_t)(uintptr_t)table - memory_offset) | PRESENT_RW;

    if (__atomic_compare_exchange_n(slot, &old, entry, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        return table;
    }
    memory_put(table); /* the other thread was first */
    return table_of(old);
}

static inline uint64_t *down(uint64_t *table, uint64_t i)
{
    uint64_t entry = __atomic_load_n(&table[i], __ATOMIC_ACQUIRE);

    return __builtin_expect(entry & 1, 1) ? table_of(entry) : new_table(&table[i]);
}

static void *floor_create(const struct need *need)
{
    (void)need;
    return memory_get();
}

static void floor_destroy(void *root)
{
    (void)root; /* memory_reset() takes all pages back */
}

static void *floor_port(void *root, unsigned slot)
{
    (void)slot;
    return root;
}

/* Leaves of 2^shift that fit before the table ends, the range ends, or the next larger size fits. */
static inline uint64_t run_length(uint64_t iova, uint64_t pa, uint64_t left, unsigned shift)
{
    uint64_t n = left >> shift, room = 512 - index_at(iova, shift), large = 512ull << shift, to;

    n = n < room ? n : room;
    if (shift < 30 && ((iova ^ pa) & (large - 1)) == 0) {
        to = (0 - iova) & (large - 1);
        if (to != 0 && left >= to + large && to >> shift < n) {
            n = to >> shift;
        }
    }
    return n;
}

static int floor_map(void *root, uint64_t iova, uint64_t pa, uint64_t len)
{
    uint64_t end = iova + len;

    while (iova < end) {
        uint64_t mix = iova | pa, left = end - iova, bits = PRESENT_RW | LARGE, n, value;
        uint64_t *table = down(root, index_at(iova, 39));
        volatile uint64_t *p, *stop;
        unsigned shift = 30;

        if ((mix & (G1 - 1)) != 0 || left < G1) {
            shift = 21;
            table = down(table, index_at(iova, 30));
            if ((mix & (M2 - 1)) != 0 || left < M2) {
                shift = 12;
                bits = PRESENT_RW;
                table = down(table, index_at(iova, 21));
            }
        }
        n = run_length(iova, pa, left, shift);
        value = pa | bits;
        for (p = table + index_at(iova, shift), stop = p + n; p != stop; p++) {
            *p = value;
            value += 1ull << shift;
        }
        iova += n << shift;
        pa += n << shift;
    }
    return 0;
}

static uint64_t floor_unmap(void *root, uint64_t iova, uint64_t len)
{
    uint64_t end = iova + len;

    while (iova < end) {
        volatile uint64_t *table = root;
        uint64_t i, n, k, entry;
        unsigned shift = 39;

        for (;;) {
            entry = table[index_at(iova, shift)];
            if ((entry & 1) == 0) {
                return 0;
            }
            if (shift == 12 || (entry & LARGE) != 0) {
                break;
            }
            table = table_of(entry);
            shift -= 9;
        }
        i = index_at(iova, shift);
        n = (end - iova) >> shift;
        n = n < 512 - i ? n : 512 - i;
        for (k = 0; k < n; k++) {
            if (shift > 12 && (table[i + k] & LARGE) == 0) {
                break;
            }
            table[i + k] = 0;
        }
        iova += k << shift;
    }
    return len;
}

static uint64_t floor_lookup(void *root, uint64_t iova)
{
    volatile uint64_t *table = root;
    unsigned shift = 39;

    for (;;) {
        uint64_t entry = table[index_at(iova, shift)], off = (1ull << shift) - 1;

        if ((entry & 1) == 0) {
            return 0;
        }
        if (shift == 12 || (entry & LARGE) != 0) {
            return (entry & ADDRESS & ~off) | (iova & off);
        }
        table = table_of(entry);
        shift -= 9;
    }
}

const struct contender contender_floor = {
    .name = "floor",
    .format = "floor",
    .sizes = K4 | M2 | G1,
    .create = floor_create,
    .destroy = floor_destroy,
    .port = floor_port,
    .map = floor_map,
    .unmap = floor_unmap,
    .lookup = floor_lookup,
};
