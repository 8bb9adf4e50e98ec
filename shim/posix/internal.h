/* SPDX-License-Identifier: MIT */
/* What the files of the userspace host share; nobody else includes it. */
#ifndef PVIOMMU_POSIX_INTERNAL_H
#define PVIOMMU_POSIX_INTERNAL_H

#include <pthread.h>
#include <pviommu_posix.h>

#define PVI_POSIX_MMIO_RANGES 8u

/* How the host reaches a unit's driver. */
struct pvi_posix_driver {
    int (*did_alloc)(struct pvi_unit *u, uint16_t *did);
    void (*did_free)(struct pvi_unit *u, uint16_t did);
    int (*dev_switch)(struct pvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                      bool *was_absent);
    int (*submit)(struct pvi_unit *u, const struct pvi_inv *inv, unsigned nr);
    int (*wait)(struct pvi_unit *u);
};

struct pvi_posix_unit {
    struct pvi_unit *unit;
    const struct pvi_posix_driver *driver;
};

/*
 * Counts per frame, as a tree of runs: a terabyte that is counted alike costs one node. See
 * count.c.
 */
struct pvi_count {
    struct pvi_count_node *root;
};

void pvi_count_add(struct pvi_count *c, uint64_t first, uint64_t last, int64_t delta);
/* Least and greatest count in [first, last]. */
void pvi_count_range(const struct pvi_count *c, uint64_t first, uint64_t last, int64_t *min,
                     int64_t *max);
bool pvi_count_zero(const struct pvi_count *c);
void pvi_count_fini(struct pvi_count *c);

struct pvi_hdom {
    struct pvi_host *host;
    struct pvi_hdom *next;
    pthread_mutex_t lock;          /* ranges and counts */
    struct pvi_posix_range *range; /* ascending */
    size_t nr_ranges, room_ranges;
    struct pvi_identity_run *identity;
    size_t nr_identity;
    uint16_t *permitted;
    size_t nr_permitted;
    struct pvi_domain *domain;
    uint64_t max_run;
    struct pvi_count count[PVI_OWE_MAX + 1];
    uint16_t domid;
    bool may_init;
    void *mem; /* as its hypercalls name it */
    uint64_t mem_addr;
    size_t mem_len;
    bool no_ref, not_translated;
    uint64_t ring_room, nr_notices;
    struct pvi_posix_notice notice[PVI_POSIX_NOTICES];
};

struct pvi_posix_knob {
    uint64_t calls;
    uint64_t nth, seen, failed;
    bool on;
};

struct pvi_record;

struct pvi_host {
    struct pvi_env_arena arena; /* first: the env header casts */
    bool own_mem, no_counts, verbose;

    pthread_mutex_t pages_lock;
    uint32_t *free_single; /* a stack */
    uint64_t nr_free_single;
    uint64_t low, high;   /* pages never given out: [low, high) */
    uint32_t *free_block; /* blocks that came back, by their first page; see host.c */
    uint64_t nr_free_block;
    uint64_t pages_used;
    uint64_t mem_used;

    pthread_mutex_t lists_lock; /* guests, units, events */
    struct pvi_hdom *hdoms;
    struct pvi_posix_unit unit[PVI_MAX_UNITS];
    unsigned nr_units;
    struct {
        uint64_t first, last;
        struct pvi_posix_mmio ops;
    } mmio[PVI_POSIX_MMIO_RANGES];
    unsigned nr_mmio;
    struct pvi_posix_event event[PVI_POSIX_EVENTS];
    uint64_t nr_events;

    struct pvi_posix_knob knob[PVI_AT_NR];
    const uint64_t *preempt_bits;
    uint64_t preempt_nr, preempt_at;
    bool (*preempt_fn)(void *opaque, uint64_t nr);
    void *preempt_opaque;
    uint64_t poll_turns;
    void (*poll_fn)(void *opaque);
    void *poll_opaque;
    uint64_t hook_mask;
    void (*hook_fn)(void *opaque, enum pvi_posix_point at, bool after);
    void *hook_opaque;

    struct pvi_record *rec;
};

/* Finds frames of a guest, whose lock is held; what a mapping of its own would owe. ENOFRAME, EPERM. */
int pvi_posix_frame_find(struct pvi_hdom *d, uint64_t gfn, uint64_t nr, unsigned prot,
                         struct pvi_frames *out);
/* May the guest act on behalf of that domain id? */
bool pvi_posix_permitted(const struct pvi_hdom *caller, uint16_t domid);

/* Counts the call and runs the hook; true: the call is to fail. */
bool pvi_posix_enter(struct pvi_host *h, enum pvi_posix_point at);
void pvi_posix_leave(struct pvi_host *h, enum pvi_posix_point at);

/* Adds a unit to the host's list. @return 0 or -PVI_ENOSPC. */
int pvi_posix_add_unit(struct pvi_host *h, struct pvi_unit *u,
                       const struct pvi_posix_driver *driver);

/* Index of a page of the allocator; nr_pages when it is none. */
static inline uint64_t pvi_posix_page_index(const struct pvi_host *h, uint64_t pa)
{
    uint64_t index = (pa - h->arena.first_pa) >> PVI_PAGE_LG2;

    return index < h->arena.nr_pages ? index : h->arena.nr_pages;
}

static inline void *pvi_posix_page_ptr(const struct pvi_host *h, uint64_t index)
{
    return h->arena.base + (h->arena.first_pa - h->arena.pa) + (index << PVI_PAGE_LG2);
}

/*
 * What the recorder wants to know; without it nothing. `*_begin` runs before the thing happens,
 * `*_end` after.
 */
#ifdef PVI_POSIX_RECORD
bool pvi_record_new(struct pvi_host *h);
void pvi_record_free(struct pvi_host *h);
void pvi_record_call(struct pvi_host *h, enum pvi_posix_point at);
void pvi_record_page_alloc(struct pvi_host *h, uint64_t index, uint64_t nr);
void pvi_record_page_free(struct pvi_host *h, uint64_t index, uint64_t nr);
void pvi_record_frame_get(struct pvi_host *h, const struct pvi_frames *run);
void pvi_record_frame_put(struct pvi_host *h, const struct pvi_frames *run);
void pvi_record_preempt(struct pvi_host *h, bool yes);
void pvi_record_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t did);
void pvi_record_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did);
void pvi_record_switch_begin(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                             const struct pvi_dev_entry *to);
void pvi_record_switch_end(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                           const struct pvi_dev_entry *to, int rc, bool was_absent);
void pvi_record_submit_begin(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                             unsigned nr);
void pvi_record_submit_end(struct pvi_host *h, struct pvi_unit *u, int rc);
void pvi_record_wait_begin(struct pvi_host *h, struct pvi_unit *u);
void pvi_record_wait_end(struct pvi_host *h, struct pvi_unit *u, int rc);
void pvi_record_unit_gone(struct pvi_host *h, struct pvi_unit *u);
#else
static inline bool pvi_record_new(struct pvi_host *h)
{
    (void)h;
    return true;
}
static inline void pvi_record_free(struct pvi_host *h)
{
    (void)h;
}
static inline void pvi_record_call(struct pvi_host *h, enum pvi_posix_point at)
{
    (void)h;
    (void)at;
}
static inline void pvi_record_page_alloc(struct pvi_host *h, uint64_t index, uint64_t nr)
{
    (void)h;
    (void)index;
    (void)nr;
}
static inline void pvi_record_page_free(struct pvi_host *h, uint64_t index, uint64_t nr)
{
    (void)h;
    (void)index;
    (void)nr;
}
static inline void pvi_record_frame_get(struct pvi_host *h, const struct pvi_frames *run)
{
    (void)h;
    (void)run;
}
static inline void pvi_record_frame_put(struct pvi_host *h, const struct pvi_frames *run)
{
    (void)h;
    (void)run;
}
static inline void pvi_record_preempt(struct pvi_host *h, bool yes)
{
    (void)h;
    (void)yes;
}
static inline void pvi_record_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    (void)h;
    (void)u;
    (void)did;
}
static inline void pvi_record_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    (void)h;
    (void)u;
    (void)did;
}
static inline void pvi_record_switch_begin(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                                           const struct pvi_dev_entry *to)
{
    (void)h;
    (void)u;
    (void)rid;
    (void)to;
}
static inline void pvi_record_switch_end(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                                         const struct pvi_dev_entry *to, int rc, bool was_absent)
{
    (void)h;
    (void)u;
    (void)rid;
    (void)to;
    (void)rc;
    (void)was_absent;
}
static inline void pvi_record_submit_begin(struct pvi_host *h, struct pvi_unit *u,
                                           const struct pvi_inv *inv, unsigned nr)
{
    (void)h;
    (void)u;
    (void)inv;
    (void)nr;
}
static inline void pvi_record_submit_end(struct pvi_host *h, struct pvi_unit *u, int rc)
{
    (void)h;
    (void)u;
    (void)rc;
}
static inline void pvi_record_wait_begin(struct pvi_host *h, struct pvi_unit *u)
{
    (void)h;
    (void)u;
}
static inline void pvi_record_wait_end(struct pvi_host *h, struct pvi_unit *u, int rc)
{
    (void)h;
    (void)u;
    (void)rc;
}
static inline void pvi_record_unit_gone(struct pvi_host *h, struct pvi_unit *u)
{
    (void)h;
    (void)u;
}
#endif

#endif
