/* SPDX-License-Identifier: MIT */
/* Memory as a unit sees it; and, in builds without recorder, what takes its place. */
#include "record.h"
#include <string.h>

#ifdef PVI_POSIX_RECORD

/*
 * Where a unit finds the byte at pa. A walker that snoops sees tables as the hooks left them, and
 * everything else as the CPU does; one that does not sees pages of the allocator as they were
 * written back.
 */
static unsigned char *view_ptr(const struct pvi_posix_view *v, uint64_t pa)
{
    struct pvi_host *h = v->host;
    uint64_t index = pvi_posix_page_index(h, pa);
    unsigned state;

    if (index == h->arena.nr_pages) {
        return h->arena.base + (pa - h->arena.pa);
    }
    if (!v->coherent) {
        return rec_dram(h, index) + (pa & PVI_PAGE_MASK);
    }
    state = h->rec->page[index].state;
    if (state == REC_LIVE || state == REC_RAW) {
        return rec_seen(h, index) + (pa & PVI_PAGE_MASK);
    }
    return (unsigned char *)pvi_posix_page_ptr(h, index) + (pa & PVI_PAGE_MASK);
}

static uint64_t view_read(const struct pvi_posix_view *v, uint64_t pa)
{
    struct pvi_record *rec = v->host->rec;
    uint64_t index = pvi_posix_page_index(v->host, pa), value;
    size_t i;

    if (v->write_buffer && index < v->host->arena.nr_pages && rec->page[index].waiting != 0) {
        for (i = 0; i < rec->nr_waiting; i++) {
            if (rec->waiting[i].pa == pa) {
                return rec->waiting[i].old; /* the first: what was there before all that waits */
            }
        }
    }
    memcpy(&value, view_ptr(v, pa), sizeof(value));
    return value;
}

/* What a unit writes is seen by everybody at once. */
static void view_write(const struct pvi_posix_view *v, uint64_t pa, const void *value,
                       unsigned size)
{
    struct pvi_host *h = v->host;
    uint64_t index = pvi_posix_page_index(h, pa);
    unsigned char *cpu = h->arena.base + (pa - h->arena.pa);

    if (size == 8) {
        uint64_t w;

        memcpy(&w, value, sizeof(w));
        __atomic_store_n((uint64_t *)(void *)cpu, w, __ATOMIC_RELEASE);
    } else {
        uint32_t w;

        memcpy(&w, value, sizeof(w));
        __atomic_store_n((uint32_t *)(void *)cpu, w, __ATOMIC_RELEASE);
    }
    if (index < h->arena.nr_pages) {
        memcpy(rec_seen(h, index) + (pa & PVI_PAGE_MASK), value, size);
        memcpy(rec_dram(h, index) + (pa & PVI_PAGE_MASK), value, size);
    }
}

uint64_t pvi_posix_hw_read64(void *view, uint64_t pa)
{
    const struct pvi_posix_view *v = view;
    uint64_t value;

    pthread_mutex_lock(&v->host->rec->lock);
    value = view_read(v, pa);
    pthread_mutex_unlock(&v->host->rec->lock);
    return value;
}

uint32_t pvi_posix_hw_read32(void *view, uint64_t pa)
{
    const struct pvi_posix_view *v = view;
    uint32_t value;

    pthread_mutex_lock(&v->host->rec->lock);
    memcpy(&value, view_ptr(v, pa), sizeof(value));
    pthread_mutex_unlock(&v->host->rec->lock);
    return value;
}

void pvi_posix_hw_write64(void *view, uint64_t pa, uint64_t value)
{
    const struct pvi_posix_view *v = view;

    pthread_mutex_lock(&v->host->rec->lock);
    view_write(v, pa, &value, sizeof(value));
    pthread_mutex_unlock(&v->host->rec->lock);
}

void pvi_posix_hw_write32(void *view, uint64_t pa, uint32_t value)
{
    const struct pvi_posix_view *v = view;

    pthread_mutex_lock(&v->host->rec->lock);
    view_write(v, pa, &value, sizeof(value));
    pthread_mutex_unlock(&v->host->rec->lock);
}

bool pvi_posix_hw_cmpxchg64(void *view, uint64_t pa, uint64_t old, uint64_t value)
{
    const struct pvi_posix_view *v = view;
    bool done;

    pthread_mutex_lock(&v->host->rec->lock);
    done = view_read(v, pa) == old;
    if (done) {
        view_write(v, pa, &value, sizeof(value));
    }
    pthread_mutex_unlock(&v->host->rec->lock);
    return done;
}

void pvi_posix_hw_flush(void *view)
{
    const struct pvi_posix_view *v = view;
    struct pvi_record *rec = v->host->rec;
    size_t i;

    pthread_mutex_lock(&rec->lock);
    for (i = 0; i < rec->nr_waiting; i++) {
        rec->page[pvi_posix_page_index(v->host, rec->waiting[i].pa)].waiting = 0;
    }
    rec->nr_waiting = 0;
    pthread_mutex_unlock(&rec->lock);
}

#else

static void *view_ptr(void *view, uint64_t pa)
{
    const struct pvi_posix_view *v = view;

    return v->host->arena.base + (pa - v->host->arena.pa);
}

uint64_t pvi_posix_hw_read64(void *view, uint64_t pa)
{
    return __atomic_load_n((uint64_t *)view_ptr(view, pa), __ATOMIC_ACQUIRE);
}

uint32_t pvi_posix_hw_read32(void *view, uint64_t pa)
{
    return __atomic_load_n((uint32_t *)view_ptr(view, pa), __ATOMIC_ACQUIRE);
}

void pvi_posix_hw_write64(void *view, uint64_t pa, uint64_t value)
{
    __atomic_store_n((uint64_t *)view_ptr(view, pa), value, __ATOMIC_RELEASE);
}

void pvi_posix_hw_write32(void *view, uint64_t pa, uint32_t value)
{
    __atomic_store_n((uint32_t *)view_ptr(view, pa), value, __ATOMIC_RELEASE);
}

bool pvi_posix_hw_cmpxchg64(void *view, uint64_t pa, uint64_t old, uint64_t value)
{
    return __atomic_compare_exchange_n((uint64_t *)view_ptr(view, pa), &old, value, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

void pvi_posix_hw_flush(void *view)
{
    (void)view;
}

bool pvi_posix_recording(void)
{
    return false;
}

void pvi_posix_count_violations(struct pvi_host *h, bool count)
{
    (void)h;
    (void)count;
}

uint64_t pvi_posix_violations(struct pvi_host *h, enum pvi_posix_rule rule, const char **text)
{
    (void)h;
    (void)rule;
    if (text) {
        *text = "";
    }
    return 0;
}

void pvi_posix_violations_reset(struct pvi_host *h)
{
    (void)h;
}

void pvi_posix_checkpoint(struct pvi_host *h)
{
    (void)h;
}

uint64_t pvi_posix_postponed(struct pvi_host *h, bool allowed)
{
    (void)h;
    (void)allowed;
    return 0;
}

void pvi_posix_check_all(struct pvi_host *h)
{
    (void)h;
}

void pvi_posix_track_root(struct pvi_host *h, const struct pvi_pt_ops *format, unsigned levels,
                          pvi_pa root, bool coherent)
{
    (void)h;
    (void)format;
    (void)levels;
    (void)root;
    (void)coherent;
}

void pvi_posix_untrack_root(struct pvi_host *h, pvi_pa root)
{
    (void)h;
    (void)root;
}

void pvi_posix_bind_root(struct pvi_host *h, struct pvi_unit *u, uint16_t did, pvi_pa root)
{
    (void)h;
    (void)u;
    (void)did;
    (void)root;
}

void pvi_posix_unbind_root(struct pvi_host *h, struct pvi_unit *u, uint16_t did, pvi_pa root)
{
    (void)h;
    (void)u;
    (void)did;
    (void)root;
}

void pvi_posix_allow_locks(struct pvi_host *h, unsigned at, unsigned classes)
{
    (void)h;
    (void)at;
    (void)classes;
}

void pvi_posix_model(struct pvi_host *h, struct pvi_unit *u, const struct pvi_posix_model *model)
{
    (void)h;
    (void)u;
    (void)model;
}

#endif

bool pvi_posix_hw_valid(void *view, uint64_t pa, uint64_t len)
{
    const struct pvi_posix_view *v = view;

    return pvi_posix_ptr(v->host, pa, len) != NULL;
}
