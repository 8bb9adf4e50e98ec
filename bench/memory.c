/* SPDX-License-Identifier: MIT */
/* See memory.h. */
#define _GNU_SOURCE
#include "memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096ull
#define HUGE (2ull << 20)

unsigned char *memory_arena, *memory_records, *memory_used;
uint64_t memory_pages, memory_offset;
unsigned long long memory_no_mask;

static uint64_t next_fresh; /* first page never given out */
static unsigned generation; /* of memory_reset() */

struct local {
    void *head;
    int64_t live;
    unsigned generation;
    char pad[40]; /* a cache line of its own */
};

static __thread struct local local __attribute__((tls_model("initial-exec"), aligned(64)));

static unsigned char *huge_area(uint64_t bytes)
{
    unsigned char *p = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    p = (unsigned char *)(((uintptr_t)p + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 0, bytes); /* all page faults happen here */
    return p;
}

int memory_init(uint64_t pages)
{
    memory_pages = pages;
    memory_arena = huge_area(pages * PAGE);
    memory_records = huge_area(pages * MEMORY_RECORD);
    memory_used = huge_area(pages);
    if (!memory_arena || !memory_records || !memory_used) {
        return -1;
    }
    memset(memory_used, 1, pages);
    memory_offset = (uint64_t)(uintptr_t)memory_arena - MEMORY_PA;
    return 0;
}

void memory_reset(void)
{
    next_fresh = 0;
    generation++; /* the other threads' lists notice at their next call */
}

static struct local *catch_up(void)
{
    struct local *l = &local;

    if (__builtin_expect(l->generation != generation, 0)) {
        l->generation = generation;
        l->head = NULL;
        l->live = 0;
    }
    return l;
}

void *memory_get_raw(void)
{
    struct local *l = catch_up();
    void *p = l->head;

    if (p) {
        memcpy(&l->head, p, sizeof(l->head));
    } else {
        uint64_t i = __atomic_fetch_add(&next_fresh, 1, __ATOMIC_RELAXED);

        if (i >= memory_pages) {
            __atomic_fetch_sub(&next_fresh, 1, __ATOMIC_RELAXED);
            return NULL;
        }
        p = memory_arena + i * PAGE;
    }
    l->live++;
    return p;
}

void *memory_get(void)
{
    void *p = memory_get_raw();

    return p ? memset(p, 0, PAGE) : NULL;
}

void memory_put(void *page)
{
    struct local *l = catch_up();

    memcpy(page, &l->head, sizeof(l->head));
    l->head = page;
    l->live--;
}

int64_t memory_live(void)
{
    return catch_up()->live;
}

void *memory_object(size_t bytes)
{
    void *p = aligned_alloc(128, (bytes + 127) & ~(size_t)127);

    return p ? memset(p, 0, bytes) : NULL;
}

void memory_object_free(void *p)
{
    free(p);
}

void memory_warn(const char *file, int line)
{
    static int printed;

    if (printed++ < 20) {
        fprintf(stderr, "a contender warns: %s:%d\n", file, line);
    }
}
