/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The userspace host: all of pviommu/host.h over the memory of one process, with knobs for tests.
 *
 * An arena is host-physical memory. A part of it belongs to the page allocator; the rest is
 * whatever the caller makes of it (frames of guests, for instance). Frames of guests may also lie
 * outside of the arena: only their addresses matter then. Every function may be called by several
 * threads but those that set up.
 */
#ifndef PVIOMMU_POSIX_H
#define PVIOMMU_POSIX_H

#include <pviommu/abi/guest.h>
#include <pviommu/amdvi.h>
#include <pviommu/domain.h>
#include <pviommu/vtd.h>

/* Life ---------------------------------------------------------------------------------------- */

struct pvi_posix_cfg {
    void *mem;            /**< the arena, 4 KiB aligned, the caller's; NULL: mapped by the host */
    uint64_t pa;          /**< host-physical address of its first byte, 4 KiB aligned */
    uint64_t size;        /**< bytes, whole pages */
    uint64_t pages_first; /**< offset of the page allocator's part */
    uint64_t pages_size;  /**< 0: from pages_first to the end */
    bool no_counts;       /**< frames of guests are not counted (benchmarks) */
    bool verbose;         /**< events go to stderr too */
};

/** @return a host, or NULL when memory is short or the configuration makes no sense. */
struct pvi_host *pvi_posix_new(const struct pvi_posix_cfg *cfg);

/**
 * Frees the host; an arena that it mapped goes too. Leaks are not looked for: see
 * pvi_posix_balanced().
 */
void pvi_posix_free(struct pvi_host *h);

/**
 * Is every page, every byte of mem_alloc and every counted frame back? If not, why (NULL: not
 * asked).
 */
bool pvi_posix_balanced(struct pvi_host *h, const char **why);

/** Memory at a host-physical address; NULL outside of the arena. */
void *pvi_posix_ptr(struct pvi_host *h, uint64_t pa, uint64_t len);

/** Pages of the allocator that are given out. */
uint64_t pvi_posix_pages_used(struct pvi_host *h);
/** Bytes of mem_alloc that are given out. */
uint64_t pvi_posix_mem_used(struct pvi_host *h);

/* Guests -------------------------------------------------------------------------------------- */

/** What a run of guest frames is, and so what a mapping of it owes. */
enum pvi_posix_kind {
    PVI_POSIX_RAM_PV,   /**< owes PVI_OWE_WRITABLE when mapped writable, else PVI_OWE_REF */
    PVI_POSIX_RAM_HVM,  /**< owes PVI_OWE_REF */
    PVI_POSIX_RAM_KEPT, /**< owes PVI_OWE_NONE */
    PVI_POSIX_MMIO      /**< owes PVI_OWE_MMIO */
};

struct pvi_posix_range {
    uint64_t gfn, nr;
    uint64_t pa;           /**< of the first frame; unused with `table` */
    const uint64_t *table; /**< nr addresses, the caller's; NULL: contiguous from pa */
    uint8_t kind;          /**< enum pvi_posix_kind */
    uint8_t prot;          /**< rights that may be asked for */
};

/** Makes a guest. @return NULL when memory is short. */
struct pvi_hdom *pvi_posix_hdom_new(struct pvi_host *h, uint16_t domid);
void pvi_posix_hdom_free(struct pvi_hdom *d);

/**
 * Adds a run of guest frames that overlaps no other. @return 0 or -PVI_EEXIST, -PVI_EINVAL,
 * -PVI_ENOMEM.
 */
PVI_MUST_CHECK int pvi_posix_hdom_range(struct pvi_hdom *d, const struct pvi_posix_range *r);
/** Takes the run that begins at gfn away; what is mapped of it stays counted. */
void pvi_posix_hdom_unrange(struct pvi_hdom *d, uint64_t gfn);
/**
 * Adds a run that d may have 1:1; runs are added in ascending order. @return 0 or -PVI_ENOMEM,
 * -PVI_EINVAL.
 */
PVI_MUST_CHECK int pvi_posix_hdom_identity(struct pvi_hdom *d, uint64_t first, uint64_t nr,
                                           uint8_t prot);
/** Longest run that one pvi_host_frame_get() gives; 0: no limit. */
void pvi_posix_hdom_max_run(struct pvi_hdom *d, uint64_t nr);
/** May d initialise its contexts itself? True at first. */
void pvi_posix_hdom_may_init(struct pvi_hdom *d, bool yes);
/** Makes pvi_host_domain() find the library's domain behind d. */
void pvi_posix_hdom_bind(struct pvi_hdom *d, struct pvi_domain *dom);
/** May d operate on behalf of domain id `target`? @return 0 or -PVI_ENOMEM. */
PVI_MUST_CHECK int pvi_posix_hdom_permit(struct pvi_hdom *d, uint16_t target);

/**
 * Memory of d as its hypercalls name it: [addr, addr + len) is the caller's `mem`; NULL: none. What lies outside cannot be
 * copied (EFAULT).
 */
void pvi_posix_hdom_mem(struct pvi_hdom *d, void *mem, uint64_t addr, size_t len);

/** May d map without a reference? False at first. */
void pvi_posix_hdom_no_ref(struct pvi_hdom *d, bool yes);

/** Io-servers that each guest has: 0 .. PVI_POSIX_IOSERVERS - 1. */
#define PVI_POSIX_IOSERVERS 8u
/** Is d a translated guest? True at first. */
void pvi_posix_hdom_translated(struct pvi_hdom *d, bool yes);
/** Buffered notices that still find room in the rings of d; UINT64_MAX at first. */
void pvi_posix_hdom_ring(struct pvi_hdom *d, uint64_t room);

/** One notice that a frame has gone. */
struct pvi_posix_notice {
    uint64_t dfn;
    uint16_t domid, ioserver;
    bool sync;
};
#define PVI_POSIX_NOTICES 16u
/** The latest notices to d, number n at n % PVI_POSIX_NOTICES; how many in all. */
uint64_t pvi_posix_notices(struct pvi_hdom *d, struct pvi_posix_notice out[PVI_POSIX_NOTICES]);

/** Takes one reference on the frame at pa for d, as a host does that has a frame mapped (a grant): it owes that. */
void pvi_posix_hold(struct pvi_host *h, struct pvi_hdom *d, uint64_t pa, unsigned owe);

/** References that d holds on the frame at pa, by enum pvi_owe. */
uint64_t pvi_posix_frame_count(struct pvi_hdom *d, uint64_t pa, unsigned owe);
/** Does d hold nothing at all? */
bool pvi_posix_hdom_balanced(struct pvi_hdom *d);

/* Units --------------------------------------------------------------------------------------- */

/** Units that the library's own drivers run. @return 0 or -PVI_ENOSPC. */
PVI_MUST_CHECK int pvi_posix_add_vtd(struct pvi_host *h, struct pvi_vtd_unit *u);
PVI_MUST_CHECK int pvi_posix_add_amdvi(struct pvi_host *h, struct pvi_amdvi_unit *u);

/** PASIDs of all requesters that a unit without hardware keeps entries of. */
#define PVI_POSIX_NULL_PASIDS 4096u

/** An entry of a PASID. */
struct pvi_posix_null_pasid {
    uint16_t rid;
    struct pvi_dev_entry entry; /**< translates, or is blocked again */
};

/** A unit without hardware: it gives out ids, keeps device entries and counts what it is told. Without caps.page_selective all flushes are of a whole id. */
struct pvi_posix_null {
    struct pvi_unit unit; /**< the caller fills caps; a number of 0 stands for a sane default (leaves of 4K, 2M, 1G) */
    uint64_t nr_inv[PVI_INV_ALL + 1]; /**< by enum pvi_inv_kind */
    uint64_t nr_wait;
    uint64_t nr_switch;
    bool absent_entries; /**< a blocked requester has no entry (VT-d), else a blocking one */
    bool fail_submit, fail_wait; /**< the queue is dead */
    /** Called with each invalidation; may be NULL. */
    void (*told)(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv);
    void *opaque;
    /* its own */
    struct pvi_dev_entry *entry; /**< 65536, by requester id */
    struct pvi_posix_null_pasid *pasid; /**< one thread at a time */
    size_t nr_pasids;
    uint8_t *did_used;
    uint32_t did_hint;
};

/** @return 0, -PVI_ENOSPC or -PVI_ENOMEM. */
PVI_MUST_CHECK int pvi_posix_add_null(struct pvi_host *h, struct pvi_posix_null *u);
/** Frees what a unit without hardware keeps; after pvi_posix_remove_unit() or pvi_posix_free(). */
void pvi_posix_null_fini(struct pvi_posix_null *u);

/** Takes a unit of any sort away again. */
void pvi_posix_remove_unit(struct pvi_host *h, struct pvi_unit *u);

/**
 * Registers: reads give all ones and writes go nowhere until these are set. `pa` is what the
 * driver uses.
 */
struct pvi_posix_mmio {
    uint32_t (*read32)(void *opaque, uint64_t pa);
    uint64_t (*read64)(void *opaque, uint64_t pa);
    void (*write32)(void *opaque, uint64_t pa, uint32_t value);
    void (*write64)(void *opaque, uint64_t pa, uint64_t value);
    void *opaque;
};

/**
 * Registers of [first, last]; ranges do not overlap. @return 0 or -PVI_ENOSPC (8 ranges are
 * there).
 */
PVI_MUST_CHECK int pvi_posix_mmio(struct pvi_host *h, uint64_t first, uint64_t last,
                                  const struct pvi_posix_mmio *mmio);

/* Knobs --------------------------------------------------------------------------------------- */

/** Places where the library calls the host. */
enum pvi_posix_point {
    PVI_AT_PAGE_ALLOC = 0, /**< can fail: ENOMEM */
    PVI_AT_PAGES_ALLOC,    /**< can fail: ENOMEM */
    PVI_AT_MEM_ALLOC,      /**< can fail: NULL */
    PVI_AT_FRAME_GET,      /**< can fail: ENOFRAME */
    PVI_AT_DID_ALLOC,      /**< can fail: ENOSPC */
    PVI_AT_DEV_SWITCH,     /**< can fail: EHW */
    PVI_AT_INV_SUBMIT,     /**< can fail: EHW */
    PVI_AT_INV_WAIT,       /**< can fail: EHW */
    PVI_AT_PREEMPT,        /**< can "fail": true */
    PVI_AT_POLL,           /**< can "fail": false */
    PVI_AT_COPY_IN,        /**< can fail: EFAULT */
    PVI_AT_COPY_OUT,       /**< can fail: EFAULT */
    PVI_AT_FOREIGN_GET,    /**< can fail: ENOFRAME */
    PVI_AT_FOREIGN_CHECK,  /**< can fail: ENOFRAME */
    PVI_AT_NOTIFY,         /**< can fail: the ring is full */
    PVI_AT_PAGE_FREE,
    PVI_AT_PAGES_FREE,
    PVI_AT_MEM_FREE,
    PVI_AT_FRAME_PUT,
    PVI_AT_FRAME_GFN,
    PVI_AT_IDENTITY,
    PVI_AT_DOMAIN,
    PVI_AT_DID_FREE,
    PVI_AT_EVENT,
    PVI_AT_MMIO_READ,
    PVI_AT_MMIO_WRITE,
    PVI_AT_WRITE, /**< store or compare and swap; recording builds only, like those that follow */
    PVI_AT_WRITEBACK,
    PVI_AT_LOCK,
    PVI_AT_UNLOCK,
    PVI_AT_NR
};
#define PVI_AT_BIT(point) (1ull << (point))

/** Calls so far. */
uint64_t pvi_posix_calls(struct pvi_host *h, enum pvi_posix_point at);
void pvi_posix_calls_reset(struct pvi_host *h);

/** Fails the nth call from now (1: the next); with `on` all that follow too. nth 0: none. */
void pvi_posix_fail(struct pvi_host *h, enum pvi_posix_point at, uint64_t nth, bool on);
/** How many calls were made to fail since pvi_posix_fail(). */
uint64_t pvi_posix_failed(struct pvi_host *h, enum pvi_posix_point at);

/**
 * Preempts at those checkpoints, counted from now (0: the next), whose bit is set; beyond nr
 * never.
 */
void pvi_posix_preempt_bits(struct pvi_host *h, const uint64_t *bits, uint64_t nr);
/** Asks the caller at each checkpoint; NULL: no more. */
void pvi_posix_preempt_call(struct pvi_host *h, bool (*fn)(void *opaque, uint64_t nr),
                            void *opaque);

/**
 * Turns that a wait for hardware may take (default 2^20); `fn`, if any, is called at each, so that
 * a model can move.
 */
void pvi_posix_poll(struct pvi_host *h, uint64_t turns, void (*fn)(void *opaque), void *opaque);

/**
 * Calls fn before (after = false) and after each call at the points in `mask`, with no lock of the
 * host held, in the thread that makes the call. Calls that fn causes itself are not reported. fn
 * NULL: none.
 */
void pvi_posix_hook(struct pvi_host *h, uint64_t mask,
                    void (*fn)(void *opaque, enum pvi_posix_point at, bool after), void *opaque);

/** One event of pvi_host_event(). */
struct pvi_posix_event {
    uint32_t what; /**< enum pvi_event */
    uint64_t a, b;
};
#define PVI_POSIX_EVENTS 64u
/** The first events since the last reset; the number returned counts on beyond PVI_POSIX_EVENTS. */
uint64_t pvi_posix_events(struct pvi_host *h, struct pvi_posix_event out[PVI_POSIX_EVENTS]);
void pvi_posix_events_reset(struct pvi_host *h);

#include "pviommu_record.h"

#endif
