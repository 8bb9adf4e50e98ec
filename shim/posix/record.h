/* SPDX-License-Identifier: MIT */
/*
 * The recorder's own structures. One lock covers all of them, and every hooked store happens under
 * it, so that what the recorder has seen and what memory holds agree between two stores.
 */
#ifndef PVIOMMU_POSIX_RECORD_H
#define PVIOMMU_POSIX_RECORD_H

#include "internal.h"

/* As an entry: present, with reserved bits set, in every format. */
#define REC_POISON  0xdbdbdbdbdbdbdbdbull
#define REC_ENTRIES 512u

/* Entries (record_fmt.c) ---------------------------------------------------------------------- */

enum rec_format {
    REC_FMT_NONE, /* not judged */
    REC_FMT_VTD_SS,
    REC_FMT_AMD_V1,
    REC_FMT_X86 /* VT-d first stage, AMD-Vi v2 */
};

enum rec_kind {
    REC_EMPTY,
    REC_STRAY, /* not present, not zero */
    REC_LEAF,
    REC_TABLE,
    REC_BAD /* present, but not as the manual has it */
};

struct rec_entry {
    uint8_t kind;    /* enum rec_kind */
    uint8_t level;   /* TABLE: of the child; 0 is the last */
    uint8_t lg2;     /* LEAF: of the whole leaf, which may span several slots */
    bool owes;       /* LEAF: it holds a reference on its frame, as software's own bits have it */
    uint64_t pa;     /* TABLE: child; LEAF: where this slot's first byte leads */
    uint64_t heeded; /* the bits that hardware heeds, but for accessed and dirty */
    uint64_t debt;   /* LEAF: those that say what reference it holds */
};

/* What widths and features an entry may use. */
struct rec_rules {
    uint8_t format; /* enum rec_format */
    uint8_t pa_bits;
    uint8_t levels;
    bool snoop; /* VT-d: bit 11 of a leaf is SNP, else reserved */
};

enum rec_format rec_format_of(const struct pvi_pt_ops *ops);
unsigned rec_entries(const struct rec_rules *r, unsigned level);
static inline unsigned rec_shift(unsigned level)
{
    return 12u + 9u * level;
}
/* iova: of the first byte that the slot translates. */
struct rec_entry rec_decode(const struct rec_rules *r, uint64_t entry, unsigned level,
                            uint64_t iova);
/*
 * The first slot of a table whose leaf is not repeated, alike but for accessed and dirty, in all
 * slots that it covers; REC_ENTRIES when there is none.
 */
unsigned rec_torn(const struct rec_rules *r, const uint64_t *table, unsigned level);

/* What is known ------------------------------------------------------------------------------- */

enum rec_state {
    REC_NONE = 0,
    REC_LIVE, /* a table that a known root leads to */
    REC_RAW, /* written through the hooks while a device was switched: device tables, not decoded */
    REC_LIMBO /* was a live table; some unit may still cache it */
};

struct rec_table;
struct rec_binding;

struct rec_page {
    struct rec_table *table;
    uint64_t iova;    /* LIVE, LIMBO: first byte that it translates */
    uint64_t gone;    /* LIMBO: when it was unlinked */
    uintptr_t by;     /* LIMBO: thread that did */
    uintptr_t stored; /* thread of the last hooked store */
    uint64_t dirty;   /* lines stored to through hooks and not written back since */
    uint32_t live_at; /* place in the list of LIVE and RAW pages */
    uint32_t maps;
    uint32_t waiting; /* stores that a write buffer holds */
    uint8_t state, level;
    bool touched;   /* in the list of pages to compare */
    bool raw_dirty; /* RAW: its unit does not snoop */
    bool was_live;  /* since the host gave it out: a model may have met it */
};

#define DUE_TABLES 0x1u /* cached tables must go too */
#define DUE_ADDED  0x2u /* cached absence must go (R20) */
#define DUE_WHOLE  0x4u /* only an invalidation of the whole domain id will do */
#define DUE_FINAL  0x8u /* the last device left: queued after those of its device entries (R9) */

/* Who has queued what covers it: its owner, or somebody else; 0: nobody. */
struct rec_stamp {
    uint64_t own;
    uint64_t other;
    uintptr_t who;
};

/* A range of a domain id that must be invalidated on one unit. */
struct rec_due {
    uint64_t first, last;
    uint64_t born;
    uintptr_t owner; /* thread that made the change */
    struct rec_stamp stamp;
    const struct rec_binding *of; /* of a write buffer: through which table it matters */
    uint8_t flags;
    bool met; /* some invalidation met it, if not all that is needed */
    bool reported;
};

/* A requester id whose entry changed, until its cached entry is invalidated. */
struct rec_dev_due {
    struct rec_binding *binding; /* that it left; NULL: none */
    uintptr_t owner;
    struct rec_stamp stamp;
    uint16_t rid, did;
    uint32_t pasid; /* 0: of requests without */
    bool any_did; /* the old entry held no domain id */
    bool was_absent;
    bool reported;
};

/* A table as one unit tags it. */
struct rec_binding {
    struct rec_table *table;
    struct rec_unit *unit;
    struct rec_binding *next_of_table, *next_of_did;
    struct rec_due *due;
    size_t nr_dues, room_dues;
    uint32_t nr_rids;    /* requester ids that translate through it now */
    uint32_t nr_leaving; /* dues of device entries that name it */
    uint16_t did;
    bool forgotten; /* no requester is left, and the unit has forgotten all of the id after the last one's entry */
    bool nested; /* entries have a guest's own tables first: no invalidation of pages here helps */
};

/* What one PASID of a requester id translates through. */
struct rec_pasid {
    uint16_t rid;
    struct pvi_dev_entry entry;
};

/* Frames that a stale leaf may still lead to. */
struct rec_gone {
    uint64_t first, last; /* IOVA */
    uint64_t frame, nr;
    uint64_t when;
    uintptr_t by; /* thread that removed it */
    bool owes;
};

struct rec_table {
    struct rec_table *next;
    struct rec_rules rules;
    uint64_t root; /* page index */
    unsigned levels;
    bool pinned; /* by pvi_posix_track_root() */
    bool pin_coherent;
    bool noncoherent; /* some walker of it does not snoop */
    struct rec_binding *bindings;
    struct rec_gone *gone;
    size_t nr_gone, room_gone;
    uint32_t *limbo; /* page indexes */
    size_t nr_limbo, room_limbo;
};

struct rec_unit {
    struct pvi_unit *u;
    struct pvi_posix_model model;
    uint64_t seq; /* submissions begun */
    bool failed;  /* a submission or a wait failed: nothing on it completes any more */
    struct rec_binding **by_did; /* 65536 */
    struct pvi_dev_entry *entry; /* 65536: what each requester id translates through */
    uint8_t *did_out;            /* 65536 */
    struct rec_pasid *pasid;
    size_t nr_pasids, room_pasids;
    struct rec_dev_due *dev_due;
    size_t nr_dev_dues, room_dev_dues;
    struct rec_due *wbuf_due; /* one a thread, at most */
    size_t nr_wbuf_dues, room_wbuf_dues;
};

/* A line that was stored to and not written back since. */
struct rec_line {
    uint32_t index;
    uint32_t line;
    uintptr_t by; /* thread of the last such store */
};

/* A store that a write buffer holds. */
struct rec_waiting {
    uint64_t pa, old;
};

struct pvi_record {
    pthread_mutex_t lock; /* recursive; never held where a model or a hook is called */
    bool count;
    uint64_t nr[PVI_RULE_NR];
    char text[PVI_RULE_NR][256];
    int first_rule;
    struct rec_page *page;
    unsigned char *seen; /* what a snooping walker sees of LIVE and RAW pages: hooked stores only */
    unsigned char *dram; /* what a walker that does not snoop sees: what was written back */
    uint32_t *live;
    size_t nr_live, sample;
    uint32_t *touched;
    size_t nr_touched, room_touched;
    struct rec_line *dirty;
    size_t nr_dirty, room_dirty;
    struct rec_waiting *waiting;
    size_t nr_waiting, room_waiting;
    bool write_buffer;    /* some unit has one */
    bool postponed;       /* what additions owe may be owed at a checkpoint */
    uint64_t now;         /* counts changes */
    uint64_t outstanding; /* dues of any sort */
    struct rec_table *tables;
    struct rec_unit unit[PVI_MAX_UNITS];
    struct pvi_count mapped; /* leaves that lead to each frame, stale ones included */
    struct pvi_count spare;  /* references of all guests on each frame, less leaves that owe one */
    uint32_t allow[PVI_AT_NR];
};

/* What one thread is about; cleared for another host. */
struct rec_held {
    struct pvi_host *host;
    pvi_env_lock *lock;
    uint32_t pool_free; /* pool locks: pages that were free when it was taken */
    bool again;         /* taken already: not really taken */
};
#define REC_HELD_MAX 8u

struct rec_thread {
    struct rec_held held[REC_HELD_MAX];
    unsigned nr_held;
    struct pvi_unit *switching;
    uint64_t wait_seq;
    bool preempted;
};

extern _Thread_local struct rec_thread rec_self;
static inline uintptr_t rec_me(void)
{
    return (uintptr_t)&rec_self;
}

void rec_violation(struct pvi_host *h, enum pvi_posix_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Grows an array by doubling; aborts when memory is short. */
void *rec_grow(void *array, size_t nr, size_t *room, size_t size);

static inline unsigned char *rec_seen(const struct pvi_host *h, uint64_t index)
{
    return h->rec->seen + (index << PVI_PAGE_LG2);
}
static inline unsigned char *rec_dram(const struct pvi_host *h, uint64_t index)
{
    return h->rec->dram + (index << PVI_PAGE_LG2);
}
static inline uint64_t rec_page_pa(const struct pvi_host *h, uint64_t index)
{
    return h->arena.first_pa + (index << PVI_PAGE_LG2);
}

/* Pages (record_page.c) */
void rec_page_live(struct pvi_host *h, uint64_t index, enum rec_state state);
void rec_page_dead(struct pvi_host *h, uint64_t index, enum rec_state state);
void rec_page_touch(struct pvi_host *h, uint64_t index);
void rec_page_dirty(struct pvi_host *h, uint64_t index, unsigned slot);
/* Every line must be as memory has it, or be dirty by another thread that is at it right now. */
bool rec_page_written_back(struct pvi_host *h, uint64_t index);
void rec_page_clean(struct pvi_host *h, uint64_t index, unsigned line);
void rec_check_pages(struct pvi_host *h, bool all);
void rec_check_dirty(struct pvi_host *h, const char *when);
void rec_page_forgotten(struct pvi_host *h, uint64_t index, const char *where);
bool rec_page_cached(const struct rec_page *page);
void rec_page_leaves(struct pvi_host *h, uint64_t index, const char *where);

/* Trees (record_tree.c) */
struct rec_table *rec_table_find(struct pvi_host *h, uint64_t root);
struct rec_table *rec_table_track(struct pvi_host *h, const struct pvi_pt_ops *format,
                                  unsigned levels, uint64_t root);
void rec_table_sync(struct pvi_host *h, struct rec_table *t);
void rec_table_release(struct pvi_host *h, struct rec_table *t);
void rec_table_settle(struct pvi_host *h, struct rec_table *t);
void rec_store_live(struct pvi_host *h, uint64_t index, unsigned slot, uint64_t old,
                    uint64_t value);
/* Leaves that lead to the frames of [pa, pa + len) come or go. */
void rec_mapped(struct pvi_host *h, uint64_t pa, uint64_t len, bool owes, int64_t delta);

/* The account (record_due.c) */
struct rec_unit *rec_unit_of(struct pvi_host *h, struct pvi_unit *u);
void rec_due_binding(struct pvi_host *h, struct rec_binding *b, uint64_t first, uint64_t last,
                     unsigned flags);
void rec_due_add(struct pvi_host *h, struct rec_table *t, uint64_t first, uint64_t last,
                 unsigned flags);
/*
 * Is something of [first, last] that thread `by` changed up to `when` not known to be forgotten?
 * With `tables`: a table.
 */
const struct rec_due *rec_due_find(const struct rec_table *t, uint64_t first, uint64_t last,
                                   uint64_t when, uintptr_t by, bool tables);
struct rec_binding *rec_bind(struct pvi_host *h, struct rec_unit *ru, uint16_t did,
                             struct rec_table *t);
void rec_unbind(struct pvi_host *h, struct rec_binding *b, bool final);
void rec_binding_settle(struct pvi_host *h, struct rec_binding *b);
void rec_check_dues(struct pvi_host *h);
/* Does the model of any unit cache something that leads to the range? */
bool rec_model_caches(struct pvi_host *h, uint64_t pa, uint64_t len);

#endif
