/* SPDX-License-Identifier: MIT */
/* The one page allocator of all contenders: one arena of huge pages, a last-in first-out list for each thread. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/** "Physical" address of the arena. */
#define MEMORY_PA 0x100000000ull

/** Bytes of a page's record, for those who keep one. */
#define MEMORY_RECORD 64u

/** What the arena is; set by memory_init(). */
extern unsigned char *memory_arena, *memory_records, *memory_used;
extern uint64_t memory_pages;
/** Pointer = physical address + memory_offset, modulo 2^64. */
extern uint64_t memory_offset;

/** @return 0, or -1 when there is not so much memory. Once, before anything else. */
int memory_init(uint64_t pages);
/** Forgets every page that was given out; no table exists. */
void memory_reset(void);

void *memory_get_raw(void); /**< a page with any content; NULL: none left */
void *memory_get(void);     /**< a page of zeros; NULL: none left */
void memory_put(void *page);
/** Pages that this thread has and has not given back, since the last reset. */
int64_t memory_live(void);

/* For contenders that were written for a kernel. */
void *memory_object(size_t bytes); /**< zeroed, at a multiple of 128 */
void memory_object_free(void *p);
void memory_warn(const char *file, int line);
extern unsigned long long memory_no_mask; /**< 0, but the compiler does not know */

#endif
