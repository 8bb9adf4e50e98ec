/* SPDX-License-Identifier: MIT */
/* The recorder: life, violations, the hooks of the env header, locks. */
#define _GNU_SOURCE
#include "record.h"
#include <pviommu/pool.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef PVI_POSIX_RECORD

_Thread_local struct rec_thread rec_self;

/* Life ---------------------------------------------------------------------------------------- */

static void *rec_map(uint64_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

bool pvi_record_new(struct pvi_host *h)
{
    uint64_t bytes = h->arena.nr_pages << PVI_PAGE_LG2;
    struct pvi_record *rec = rec_map(sizeof(*rec));
    pthread_mutexattr_t attr;
    unsigned i;

    if (!rec) {
        return false;
    }
    h->rec = rec;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&rec->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    rec->page = rec_map(h->arena.nr_pages * sizeof(*rec->page));
    rec->live = rec_map(h->arena.nr_pages * sizeof(*rec->live));
    rec->seen = rec_map(bytes);
    rec->dram = rec_map(bytes);
    /* The functions of pviommu/host.h, then those of the env header. */
    for (i = 0; i < PVI_AT_NR; i++) {
        rec->allow[i] = i < PVI_AT_WRITE ? 0 : ~0u;
    }
    rec->allow[PVI_AT_POLL] = 1u << PVI_LOCK_UNIT;
    rec->allow[PVI_AT_MMIO_READ] = 1u << PVI_LOCK_UNIT;
    rec->allow[PVI_AT_MMIO_WRITE] = 1u << PVI_LOCK_UNIT;
    rec->allow[PVI_AT_EVENT] = 1u << PVI_LOCK_UNIT;
    return rec->page && rec->live && rec->seen && rec->dram;
}

static void unit_fini(struct pvi_host *h, struct rec_unit *ru)
{
    unsigned did;

    for (did = 0; ru->by_did && did < 65536u; did++) {
        while (ru->by_did[did]) {
            struct rec_binding *b = ru->by_did[did];

            ru->by_did[did] = b->next_of_did;
            h->rec->outstanding -= b->nr_dues;
            free(b->due);
            free(b);
        }
    }
    h->rec->outstanding -= ru->nr_dev_dues + ru->nr_wbuf_dues;
    free(ru->by_did);
    free(ru->entry);
    free(ru->did_out);
    free(ru->dev_due);
    free(ru->pasid);
    free(ru->wbuf_due);
    memset(ru, 0, sizeof(*ru));
}

void pvi_record_free(struct pvi_host *h)
{
    struct pvi_record *rec = h->rec;
    unsigned i;

    if (!rec) {
        return;
    }
    for (i = 0; i < PVI_MAX_UNITS; i++) {
        unit_fini(h, &rec->unit[i]);
    }
    while (rec->tables) {
        struct rec_table *t = rec->tables;

        rec->tables = t->next;
        free(t->gone);
        free(t->limbo);
        free(t);
    }
    pvi_count_fini(&rec->mapped);
    pvi_count_fini(&rec->spare);
    free(rec->touched);
    free(rec->dirty);
    free(rec->waiting);
    munmap(rec->page, h->arena.nr_pages * sizeof(*rec->page));
    munmap(rec->live, h->arena.nr_pages * sizeof(*rec->live));
    munmap(rec->seen, h->arena.nr_pages << PVI_PAGE_LG2);
    munmap(rec->dram, h->arena.nr_pages << PVI_PAGE_LG2);
    pthread_mutex_destroy(&rec->lock);
    munmap(rec, sizeof(*rec));
    h->rec = NULL;
}

void *rec_grow(void *array, size_t nr, size_t *room, size_t size)
{
    void *more;

    if (nr < *room) {
        return array;
    }
    *room = *room ? 2 * *room : 16;
    more = realloc(array, *room * size);
    if (!more) {
        fprintf(stderr, "pviommu recorder: out of memory\n");
        abort();
    }
    return more;
}

bool pvi_posix_recording(void)
{
    return true;
}

/* Violations ---------------------------------------------------------------------------------- */

void rec_violation(struct pvi_host *h, enum pvi_posix_rule rule, const char *format, ...)
{
    struct pvi_record *rec = h->rec;
    char text[sizeof(rec->text[0])];
    size_t n;
    va_list ap;

    pthread_mutex_lock(&rec->lock);
    if (rule == PVI_RULE_LOCK || rule == PVI_RULE_MAP) {
        n = (size_t)snprintf(text, sizeof(text),
                             "%s: ", rule == PVI_RULE_LOCK ? "locks" : "page maps");
    } else {
        n = (size_t)snprintf(text, sizeof(text), "R%d: ", (int)rule);
    }
    va_start(ap, format);
    vsnprintf(text + n, sizeof(text) - n, format, ap);
    va_end(ap);
    if (!rec->count) {
        fprintf(stderr, "pviommu recorder: violation of %s\n", text);
        abort();
    }
    if (rec->nr[rule]++ == 0) {
        memcpy(rec->text[rule], text, sizeof(text));
    }
    if (rec->nr[PVI_RULE_NONE]++ == 0) {
        rec->first_rule = (int)rule;
    }
    pthread_mutex_unlock(&rec->lock);
}

void pvi_posix_count_violations(struct pvi_host *h, bool count)
{
    h->rec->count = count;
}

uint64_t pvi_posix_violations(struct pvi_host *h, enum pvi_posix_rule rule, const char **text)
{
    struct pvi_record *rec = h->rec;

    if (text) {
        *text = rec->text[rule == PVI_RULE_NONE ? rec->first_rule : (int)rule];
    }
    return rec->nr[rule];
}

void pvi_posix_violations_reset(struct pvi_host *h)
{
    memset(h->rec->nr, 0, sizeof(h->rec->nr));
    memset(h->rec->text, 0, sizeof(h->rec->text));
    h->rec->first_rule = 0;
}

/* Locks --------------------------------------------------------------------------------------- */

static struct rec_held *held_find(const pvi_env_lock *l)
{
    unsigned i;

    for (i = rec_self.nr_held; i-- > 0;) {
        if (rec_self.held[i].lock == l) {
            return &rec_self.held[i];
        }
    }
    return NULL;
}

void pvi_record_call(struct pvi_host *h, enum pvi_posix_point at)
{
    uint32_t allow = h->rec->allow[at];
    unsigned i;

    for (i = 0; i < rec_self.nr_held && allow != ~0u; i++) {
        const struct rec_held *held = &rec_self.held[i];

        if (held->host == h && (allow & 1u << held->lock->lock_class) == 0) {
            rec_violation(h, PVI_RULE_LOCK,
                          "lock %p of class %u is held where the host is called (point %u)",
                          (void *)held->lock, held->lock->lock_class, (unsigned)at);
        }
    }
}

void pvi_posix_allow_locks(struct pvi_host *h, unsigned at, unsigned classes)
{
    h->rec->allow[at] = classes;
}

void pvi_env_lock_init(struct pvi_host *h, pvi_env_lock *l, enum pvi_lock_class lock_class)
{
    (void)h;
    l->word = 0;
    l->lock_class = (uint32_t)lock_class;
}

static struct pvi_pool *pool_of(pvi_env_lock *l)
{
    return (struct pvi_pool *)(void *)((char *)l - offsetof(struct pvi_pool, lock));
}

static void lock_order(struct pvi_host *h, const pvi_env_lock *l)
{
    unsigned i;

    for (i = 0; i < rec_self.nr_held; i++) {
        const struct rec_held *held = &rec_self.held[i];

        if (held->host == h && held->lock != l && held->lock->lock_class >= l->lock_class) {
            rec_violation(h, PVI_RULE_LOCK,
                          "lock of class %u is taken while one of class %u is held", l->lock_class,
                          held->lock->lock_class);
        }
    }
    PVI_ASSERT(rec_self.nr_held < REC_HELD_MAX);
}

void pvi_env_acquire(struct pvi_host *h, pvi_env_lock *l)
{
    struct rec_held held = {h, l, 0, held_find(l) != NULL};

    (void)pvi_posix_enter(h, PVI_AT_LOCK);
    lock_order(h, l);
    if (held.again) {
        rec_violation(h, PVI_RULE_LOCK, "lock %p of class %u is taken twice by one thread",
                      (void *)l, l->lock_class);
    }
    while (!held.again && __atomic_exchange_n(&l->word, 1u, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
    if (l->lock_class == PVI_LOCK_POOL) {
        held.pool_free = pool_of(l)->nr_free;
    }
    rec_self.held[rec_self.nr_held++] = held;
    pvi_posix_leave(h, PVI_AT_LOCK);
}

/*
 * Pages that came back to a pool while its lock was held: nothing may lead to them any more. Their
 * content is spoiled, so that whoever links one without a scrub, or reads one that is gone, is
 * found out.
 */
static void pool_came_back(struct pvi_host *h, struct pvi_pool *pool, uint32_t before)
{
    struct pvi_page *page = pool->free;
    uint32_t nr;

    for (nr = pool->nr_free; nr > before && page; nr--, page = page->next) {
        uint64_t index = pvi_posix_page_index(h, page->pa.a), i;
        uint64_t *content;

        if (index >= h->arena.nr_pages) {
            continue;
        }
        rec_page_forgotten(h, index, "the pool");
        pthread_mutex_lock(&h->rec->lock);
        content = pvi_posix_page_ptr(h, index);
        rec_page_leaves(h, index, "the pool");
        h->rec->page[index].stored = 0;
        for (i = 0; i < REC_ENTRIES && !page->dirty; i++) {
            if (content[i] != 0) {
                rec_violation(
                    h, PVI_RULE_R22, "page 0x%llx is in the pool as clean, entry %u is 0x%llx",
                    (unsigned long long)page->pa.a, (unsigned)i, (unsigned long long)content[i]);
                break;
            }
        }
        if (page->dirty) {
            memset(content, (int)(REC_POISON & 0xff), PVI_PAGE_SIZE);
        }
        pthread_mutex_unlock(&h->rec->lock);
    }
}

void pvi_env_release(struct pvi_host *h, pvi_env_lock *l)
{
    struct rec_held *held = held_find(l), gone;

    (void)pvi_posix_enter(h, PVI_AT_UNLOCK);
    if (!held) {
        rec_violation(h, PVI_RULE_LOCK,
                      "lock %p of class %u is released by a thread that does not hold it",
                      (void *)l, l->lock_class);
        return;
    }
    gone = *held;
    if (l->lock_class == PVI_LOCK_POOL && !gone.again && pool_of(l)->host == h) {
        pool_came_back(h, pool_of(l), gone.pool_free);
    }
    rec_self.nr_held--;
    memmove(held, held + 1, (size_t)(&rec_self.held[rec_self.nr_held] - held) * sizeof(*held));
    if (!gone.again) {
        __atomic_store_n(&l->word, 0u, __ATOMIC_RELEASE);
    }
    pvi_posix_leave(h, PVI_AT_UNLOCK);
}

/* Maps ---------------------------------------------------------------------------------------- */

void *pvi_env_map(struct pvi_host *h, pvi_pa pa)
{
    uint64_t index = pvi_posix_page_index(h, pa.a);

    PVI_ASSERT((pa.a & PVI_PAGE_MASK) == 0);
    PVI_ASSERT(index < h->arena.nr_pages &&
               h->arena.used[index] != 0); /* a page that the host has given out */
    __atomic_fetch_add(&h->rec->page[index].maps, 1, __ATOMIC_RELAXED);
    return pvi_posix_page_ptr(h, index);
}

static uint64_t index_of(const struct pvi_host *h, const void *p)
{
    uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)h->arena.base);

    return offset < h->arena.size ? pvi_posix_page_index(h, h->arena.pa + offset)
                                  : h->arena.nr_pages;
}

void pvi_env_unmap(struct pvi_host *h, void *p)
{
    uint64_t index = index_of(h, p);

    PVI_ASSERT(index < h->arena.nr_pages);
    if (__atomic_fetch_sub(&h->rec->page[index].maps, 1, __ATOMIC_RELAXED) == 0) {
        h->rec->page[index].maps = 0;
        rec_violation(h, PVI_RULE_MAP, "page 0x%llx is unmapped more often than it was mapped",
                      (unsigned long long)rec_page_pa(h, index));
    }
}

/* Stores -------------------------------------------------------------------------------------- */

/*
 * A store waits in a write buffer: what a unit behind it reads is the old value, until the buffer
 * is flushed.
 */
static void store_waits(struct pvi_host *h, uint64_t index, const uint64_t *p)
{
    struct pvi_record *rec = h->rec;

    if (!rec->write_buffer) {
        return;
    }
    rec->waiting =
        rec_grow(rec->waiting, rec->nr_waiting, &rec->room_waiting, sizeof(*rec->waiting));
    rec->waiting[rec->nr_waiting].pa = rec_page_pa(h, index) + ((uintptr_t)p & PVI_PAGE_MASK);
    rec->waiting[rec->nr_waiting].old = *p;
    rec->nr_waiting++;
    rec->page[index].waiting++;
}

/* Before a store to the page: is it what the recorder thinks, and what does the store mean? */
static void store_begin(struct pvi_host *h, uint64_t index, const uint64_t *p,
                        const uint64_t *value, unsigned nr)
{
    struct rec_page *page = &h->rec->page[index];
    unsigned slot = (unsigned)((uintptr_t)p & PVI_PAGE_MASK) / 8, i;

    if (page->state == REC_LIMBO && rec_page_cached(page)) {
        rec_violation(h, PVI_RULE_R4,
                      "entry %u of table 0x%llx is written: unlinked, but a unit may cache it",
                      slot, (unsigned long long)rec_page_pa(h, index));
    }
    if (page->state != REC_LIVE && page->state != REC_RAW) {
        return;
    }
    for (i = 0; i < nr; i++) {
        uint64_t *seen = (uint64_t *)(void *)rec_seen(h, index) + slot + i;

        if (*seen != p[i]) {
            rec_violation(h, PVI_RULE_R3,
                          "entry %u of live page 0x%llx is 0x%llx, last stored as one was 0x%llx",
                          slot + i, (unsigned long long)rec_page_pa(h, index),
                          (unsigned long long)p[i], (unsigned long long)*seen);
            *seen = p[i];
        }
        store_waits(h, index, &p[i]);
        if (page->state == REC_LIVE) {
            rec_store_live(h, index, slot + i, p[i], value[i]);
        }
    }
}

static void store_end(struct pvi_host *h, uint64_t index, const uint64_t *p, unsigned nr)
{
    struct rec_page *page = &h->rec->page[index];
    unsigned slot = (unsigned)((uintptr_t)p & PVI_PAGE_MASK) / 8;

    page->stored = rec_me();
    if (page->state == REC_NONE && rec_self.switching) {
        rec_page_live(h, index, REC_RAW);
        page->raw_dirty = !rec_self.switching->caps.coherent;
        memcpy(rec_seen(h, index), pvi_posix_page_ptr(h, index), PVI_PAGE_SIZE);
    }
    if (page->state == REC_LIVE || page->state == REC_RAW) {
        memcpy(rec_seen(h, index) + slot * 8, p, nr * 8);
        rec_page_touch(h, index);
        rec_page_dirty(h, index, slot);
    }
}

static bool misplaced(struct pvi_host *h, const void *p, unsigned size)
{
    if (((uintptr_t)p & (size - 1)) != 0) {
        rec_violation(h, PVI_RULE_R3, "a store of %u bytes at %p is not aligned to its size", size,
                      p);
        return true;
    }
    return false;
}

void pvi_env_write64(struct pvi_host *h, uint64_t *p, uint64_t value)
{
    uint64_t index = index_of(h, p);

    (void)pvi_posix_enter(h, PVI_AT_WRITE);
    pthread_mutex_lock(&h->rec->lock);
    if (misplaced(h, p, 8)) {
        memcpy(p, &value, sizeof(value));
    } else if (index >= h->arena.nr_pages) {
        __atomic_store_n(p, value, __ATOMIC_RELEASE);
    } else {
        store_begin(h, index, p, &value, 1);
        __atomic_store_n(p, value, __ATOMIC_RELEASE);
        store_end(h, index, p, 1);
    }
    pthread_mutex_unlock(&h->rec->lock);
    pvi_posix_leave(h, PVI_AT_WRITE);
}

bool pvi_env_cmpxchg64(struct pvi_host *h, uint64_t *p, uint64_t old, uint64_t new_)
{
    uint64_t index = index_of(h, p);
    bool done;

    (void)pvi_posix_enter(h, PVI_AT_WRITE);
    pthread_mutex_lock(&h->rec->lock);
    done = !misplaced(h, p, 8) && __atomic_load_n(p, __ATOMIC_ACQUIRE) == old;
    if (done && index < h->arena.nr_pages) {
        store_begin(h, index, p, &new_, 1);
    }
    done = done &&
           __atomic_compare_exchange_n(p, &old, new_, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (done && index < h->arena.nr_pages) {
        store_end(h, index, p, 1);
    }
    pthread_mutex_unlock(&h->rec->lock);
    pvi_posix_leave(h, PVI_AT_WRITE);
    return done;
}

bool pvi_env_cmpxchg128(struct pvi_host *h, uint64_t *p, const uint64_t old[2],
                        const uint64_t new_[2])
{
    uint64_t index = index_of(h, p);
    bool done;

    (void)pvi_posix_enter(h, PVI_AT_WRITE);
    pthread_mutex_lock(&h->rec->lock);
    done = !misplaced(h, p, 16) && p[0] == old[0] && p[1] == old[1];
    if (done && index < h->arena.nr_pages) {
        store_begin(h, index, p, new_, 2);
    }
    done = done && pvi_env_raw_cmpxchg128(p, old, new_);
    if (done && index < h->arena.nr_pages) {
        store_end(h, index, p, 2);
    }
    pthread_mutex_unlock(&h->rec->lock);
    pvi_posix_leave(h, PVI_AT_WRITE);
    return done;
}

void pvi_env_writeback(struct pvi_host *h, const void *p, size_t size)
{
    uintptr_t line = (uintptr_t)p & ~(uintptr_t)63, end = (uintptr_t)p + size;

    (void)pvi_posix_enter(h, PVI_AT_WRITEBACK);
    pthread_mutex_lock(&h->rec->lock);
    for (; line < end; line += 64) {
        uint64_t index = index_of(h, (void *)line);
        unsigned at = (unsigned)(line & PVI_PAGE_MASK);

        if (index < h->arena.nr_pages) {
            memcpy(rec_dram(h, index) + at, (void *)line, 64);
            rec_page_clean(h, index, at / 64);
        }
    }
    pthread_mutex_unlock(&h->rec->lock);
    pvi_posix_leave(h, PVI_AT_WRITEBACK);
}

#endif
