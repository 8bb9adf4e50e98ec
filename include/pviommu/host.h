/* SPDX-License-Identifier: MIT */
/**
 * @file
 * What a hypervisor supplies: an env header, link-time functions, capabilities as data. docs/porting.md says in which order,
 * and what breaks where a function does less than it must.
 *
 * 1. `pviommu_env.h`, found by name on the include path, inline because called per entry or per table:
 *
 *        void     *pvi_env_map(struct pvi_host *, pvi_pa)     table page -> pointer to 4 KiB, at a multiple of that; any page of the pool or of a unit
 *        void      pvi_env_unmap(struct pvi_host *, void *)
 *        struct pvi_page *pvi_env_page(struct pvi_host *, pvi_pa)   record of a page that pvi_host_page_alloc() gave, of no other: not in that page, and where it was until the page is back
 *        uint64_t  pvi_env_read64(const uint64_t *)           one single-copy atomic load, ordered before all accesses after it
 *        uint32_t  pvi_env_read32(const uint32_t *)
 *        void      pvi_env_write32(uint32_t *, uint32_t)      one store, ordered after all stores before it
 *        uint32_t  pvi_env_add32(uint32_t *, uint32_t)        atomic addition, modulo 2^32; the sum
 *        void      pvi_env_write64(struct pvi_host *, uint64_t *, uint64_t)  one single-copy atomic store, ordered after all stores before it
 *        bool      pvi_env_cmpxchg64(struct pvi_host *, uint64_t *, uint64_t old, uint64_t new)   replaced? A full barrier
 *        bool      pvi_env_cmpxchg128(struct pvi_host *, uint64_t *, const uint64_t old[2], const uint64_t new_[2])   16-byte aligned, one instruction: unit drivers only
 *        void      pvi_env_writeback(struct pvi_host *, const void *, size_t)   writes back every cache line touched, then fences
 *        void      pvi_env_mb(void)                           full barrier
 *        pvi_env_lock, pvi_env_lock_init(struct pvi_host *, pvi_env_lock *, enum pvi_lock_class),
 *        pvi_env_acquire(struct pvi_host *, pvi_env_lock *), pvi_env_release(struct pvi_host *, pvi_env_lock *)
 *        PVI_ASSERT(condition)                                a caller's bug; no guest can make it fail. Stays in release builds: nothing checks again
 *        memcpy, memset, memmove, memcmp                      declared; all of libc that the library uses
 *
 *    Locks are not recursive, and may spin: docs/design.md, section 8, says what each is held over.
 *    struct pvi_page is defined only after this header is read (pool.h): an env header forward-declares it, and indexes records
 *    by a stride of its own that is no smaller. Mapping cannot fail or sleep; at most PVI_MAX_LEVELS + 2 pages are mapped at once
 *    by one call, some of them with locks held, and not always unmapped in reverse order; one may stay mapped over pvi_host_frame_put(),
 *    pvi_host_page_free(), pvi_host_poll(), pvi_host_event() and pvi_host_mmio_*(). Nothing here is called from an interrupt unless the host does so; where it does,
 *    its locks keep interrupts off.
 *
 * 2. The functions below, which the library calls by name. No lock of the library is held at any of them but where said: they may take
 *    locks of the host, and sleep. Calls for one unit may come from several CPUs at once, and a host with a driver of its own serialises them.
 * 3. `struct pvi_unit` of each unit: caps and host, all else zero (a unit driver of the library fills them).
 *
 * `struct pvi_host` is the host's own: the library only hands it back, and never asks whether it is NULL.
 */
#ifndef PVIOMMU_HOST_H
#define PVIOMMU_HOST_H

#include <pviommu/types.h>
#include <pviommu/unit.h>

struct pvi_host;
struct pvi_hdom; /**< the host's own object behind a domain */
struct pvi_domain;
struct pvi_device;

/** Lock classes, outermost first; taking one while holding a later one is a bug. See docs/design.md. */
enum pvi_lock_class {
    PVI_LOCK_DOMAIN = 0, /**< contexts' life, device moves */
    PVI_LOCK_CONTEXT,    /**< one context: state, units, regions, and who has its table alone */
    PVI_LOCK_STRIPE,     /**< some of a context's gigabytes */
    PVI_LOCK_POOL,       /**< one pool's free list and counts */
    PVI_LOCK_UNIT,       /**< one unit's queue and device entries */
    PVI_LOCK_REVMAP      /**< the reverse map of foreign frames; nothing else is taken under it */
};

/** Things worth telling the host's log. Codes, not text: a host may ratelimit, count, or print. */
enum pvi_event {
    PVI_EVENT_FLUSH_FAILED, /**< a: unit index, b: pages and frames lost to quarantine */
    PVI_EVENT_UNIT_ERROR,   /**< a: unit index, b: vendor's status */
    PVI_EVENT_POOL_FOREIGN  /**< a: physical address that does not belong to the pool */
};

/** A run of frames, contiguous in host-physical memory, that the host has pinned. */
struct pvi_frames {
    pvi_pa pa;
    uint64_t nr; /**< frames of 4 KiB, 1 .. what was asked for */
    uint8_t owe; /**< enum pvi_owe: what each leaf onto it must give back */
};

/** A run of guest frames that a domain may map, for identity contexts. */
struct pvi_identity_run {
    pvi_gfn first;
    uint64_t nr;
    uint8_t prot; /**< PVI_READ | PVI_WRITE */
};

/* Beside PVI_READ and PVI_WRITE, in the prot of a pin. */
#define PVI_FRAME_NO_REF 0x4u     /**< pvi_host_frame_get(): takes no reference, owe is PVI_OWE_NONE; only the host knows who may (else EPERM) */
/**
 * pvi_host_frame_get(): of a run of pvi_host_identity_next(). Where the host's own tables let the devices of d reach all of these,
 * whatever becomes of them, it need not pin them either: owe is PVI_OWE_NONE then. Others ignore it.
 */
#define PVI_FRAME_IDENTITY 0x10u
#define PVI_FRAME_TRANSLATED 0x8u /**< pvi_host_foreign_get(): the owner must be a translated guest (else EPERM) */

#define PVI_IOSERVER_NONE 0xFFFFu /**< as an io-server: the interface does not say which; pvi_host_foreign_get() checks none, a notice concerns all of the owner's */

/* Memory ---------------------------------------------------------------------------------------- */

/**
 * Gives one 4 KiB page for tables, rings or pools; its content may be anything, and need not be written back. No guest can reach it, and every unit can
 * (below 2^pa_bits).
 * pvi_env_page() finds a record for it, zeroed when it is given out the first time.
 * @return 0 or -PVI_ENOMEM.
 */
PVI_MUST_CHECK int pvi_host_page_alloc(struct pvi_host *h, pvi_pa *pa);
/** Takes a page back. The library has scrubbed it and no unit can reach or cache it any more. */
void pvi_host_page_free(struct pvi_host *h, pvi_pa pa);
/** Like pvi_host_page_alloc() for 2^order contiguous, naturally aligned pages, without records: for src/amdvi/unit.c alone. */
PVI_MUST_CHECK int pvi_host_pages_alloc(struct pvi_host *h, unsigned order, pvi_pa *pa);
void pvi_host_pages_free(struct pvi_host *h, pvi_pa pa, unsigned order);
/** Zeroed memory of the hypervisor for the library's own objects; NULL when there is none. */
void *pvi_host_mem_alloc(struct pvi_host *h, size_t size);
void pvi_host_mem_free(struct pvi_host *h, void *p, size_t size);

/* Time ------------------------------------------------------------------------------------------ */

/**
 * Asked between two slices of work: true when the caller must get out soon. It may say so each time: a call makes progress before it
 * asks.
 */
bool pvi_host_preempt(struct pvi_host *h);
/**
 * Called in each turn of a loop of the library's unit drivers that waits for hardware, also with PVI_LOCK_UNIT held.
 * @param turns how often this wait has been called already.
 * @return true to go on; false when the host gives the hardware up (the wait then fails with EHW).
 */
bool pvi_host_poll(struct pvi_host *h, uint64_t turns);

/* Frames ---------------------------------------------------------------------------------------- */

/**
 * Pins the frames behind [gfn, gfn + nr) for DMA of domain d with rights prot, which d itself has to have: until it is put, whatever
 * the guest does, each frame stays what it is and nobody else's. Called before any table is touched; what is pinned need not be
 * mapped in the end. May succeed for a prefix only: the longest run contiguous in
 * host-physical memory that the host can pin at once. What is given in one call may be asked back in one call (when
 * the range turns out to be mapped, or the CPU is wanted): a host that pins frame by frame bounds the prefix.
 * @param prot PVI_READ and PVI_WRITE, at least one; PVI_FRAME_NO_REF or PVI_FRAME_IDENTITY.
 * @return 0 with out->nr in 1..nr; -PVI_ENOFRAME, -PVI_EPERM: nothing is pinned.
 */
PVI_MUST_CHECK int pvi_host_frame_get(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn gfn, uint64_t nr,
                                      unsigned prot, struct pvi_frames *out);
/**
 * Releases what pvi_host_frame_get() pinned, by the address and the debt read back from our own leaf: which guest frame it was then does not
 * count, there may be another by now. A run need not be one that was pinned.
 * Called only after every invalidation that covers the old mapping has completed
 * (or when the frames never reached a table). Between two checkpoints at most PVI_GATHER_FRAMES frames are released (or
 * one leaf that is larger), and what one pvi_host_frame_get() gave.
 */
void pvi_host_frame_put(struct pvi_host *h, struct pvi_hdom *d, const struct pvi_frames *run);
/**
 * The guest frame behind a host-physical address that d had mapped a moment ago: d may have given the
 * frame up meanwhile, so the host checks the owner. @return 0 or -PVI_ENOFRAME.
 */
PVI_MUST_CHECK int pvi_host_frame_gfn(struct pvi_host *h, struct pvi_hdom *d, pvi_pa pa, pvi_gfn *gfn);
/**
 * Enumerates what d may have mapped 1:1: the first run that ends after `from` (clipped to begin at or after it).
 * Never hypervisor memory, table pages or registers of a unit. A run with prot 0 has nothing: a host that has looked long enough says so how
 * far it came, and is asked again behind that once the clock has been looked at.
 * @return 0, or -PVI_ENOENT when nothing follows.
 */
PVI_MUST_CHECK int pvi_host_identity_next(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn from,
                                          struct pvi_identity_run *run);

/* Foreign frames: for the interfaces of pviommu/bus.h, else never called -------------------------------------- */

/**
 * Pins one frame of another domain for DMA of domain d. PVI_OWE_FOREIGN or, with PVI_WRITE where that needs a writable
 * type, PVI_OWE_FOREIGN_WRITABLE; pvi_host_frame_put(h, d, ...) gives it back. No lock is held.
 * @param domid the owner, as d's guest names it. @param ioserver of that owner: who emulates. @param prot PVI_READ, PVI_WRITE, PVI_FRAME_TRANSLATED.
 * @return 0 with out->nr 1; -PVI_EPERM (d itself, no privilege over the owner, a frame of the hypervisor's), -PVI_ENODOM, -PVI_ENODEV
 *         (no such io-server), -PVI_ENOFRAME: nothing is pinned.
 */
PVI_MUST_CHECK int pvi_host_foreign_get(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, uint16_t ioserver,
                                        pvi_gfn gfn, unsigned prot, struct pvi_frames *out);
/**
 * Does gfn of domain domid still lead to pa? Asked once the mapping is in the reverse map: a host changes the translation first and then
 * calls pvi_balloon_out(), so one of the two sees the other. @return 0 or -PVI_ENOFRAME.
 */
PVI_MUST_CHECK int pvi_host_foreign_check(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, pvi_gfn gfn, pvi_pa pa);
/**
 * The frame behind device frame dfn of d has gone: tells io-server `ioserver` of domain domid (Xen: IOREQ_TYPE_INVALIDATE).
 * @param sync false: into the buffered ring; true: a request of its own, which is never refused.
 * @return false: the ring is full.
 */
bool pvi_host_ioserver_notify(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, uint16_t ioserver,
                                             pvi_dfn dfn, bool sync);

/* Domains and devices --------------------------------------------------------------------------- */

/**
 * The domain on whose behalf `caller` wants to operate.
 * @return 0 with *out; -PVI_EPERM when caller may not; -PVI_ENODOM when there is none. The domain is not destroyed before the call
 *         into the library has returned (pvi_submit(), pvi_batch_end(), a decoder's): a host that could destroy it on another CPU holds
 *         it until then. One call may ask for several domains, and for one again.
 */
PVI_MUST_CHECK int pvi_host_domain(struct pvi_host *h, struct pvi_hdom *caller, uint16_t domid,
                                   struct pvi_domain **out);
/** May d initialise its contexts itself (else only another domain, for it)? */
bool pvi_host_may_init(struct pvi_host *h, struct pvi_hdom *d);

/* Units ----------------------------------------------------------------------------------------- */

/** A domain id on a unit that no cache of it can hold any more; not 0, and none that the host itself uses there. @return 0 or -PVI_ENOSPC. */
PVI_MUST_CHECK int pvi_host_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t *did);
/** Gives an id back, after the domain-selective invalidation of it has completed. */
void pvi_host_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did);
/**
 * Makes requester id rid of u, or its PASID to->pasid, translate through `to`, by one atomic switch of the part that hardware
 * reads as one; returns before the caller invalidates anything. Of a PASID an entry that translates is only ever set where none is present,
 * and only while the requester id itself translates; it stays when that is switched elsewhere.
 * Switching back at once, before any invalidation, takes no memory.
 * @param[out] was_absent the entry was not present before (VT-d).
 * @return 0; -PVI_EOPNOTSUPP, -PVI_ENOMEM, -PVI_EBUSY (the host itself has led the id elsewhere), -PVI_EHW with nothing changed.
 */
PVI_MUST_CHECK int pvi_host_dev_switch(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                                       const struct pvi_dev_entry *to, bool *was_absent);
/**
 * Queues invalidations on u, in order, at most 16 at once. PVI_INV_WBUF is over when this returns; the others when the next wait does.
 * @return 0 or -PVI_EHW.
 */
PVI_MUST_CHECK int pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                                       unsigned nr);
/**
 * Waits until all that this caller queued on u before has completed, by a completion queued after it.
 * @return 0 or -PVI_EHW. No timeout is ever reported as success.
 */
PVI_MUST_CHECK int pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u);

/** Something happened. May be called with locks of the library held: it only takes note. */
void pvi_host_event(struct pvi_host *h, enum pvi_event what, uint64_t a, uint64_t b);

/* Registers: only for hosts that link src/vtd/unit.c or src/amdvi/unit.c. PVI_LOCK_UNIT may be held. */

uint32_t pvi_host_mmio_read32(struct pvi_host *h, uint64_t pa);
uint64_t pvi_host_mmio_read64(struct pvi_host *h, uint64_t pa);
void pvi_host_mmio_write32(struct pvi_host *h, uint64_t pa, uint32_t value);
void pvi_host_mmio_write64(struct pvi_host *h, uint64_t pa, uint64_t value);

#endif
