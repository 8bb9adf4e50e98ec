/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The recorder: judges what the library does to memory that hardware reads, as it happens.
 *
 * It knows tables from their roots on (given to pvi_host_dev_switch(), or by
 * pvi_posix_track_root()), reads entries with its own decoders, keeps what hardware sees apart from
 * what the CPU sees, and an account of what each unit may still cache. It is active in builds with
 * PVI_POSIX_RECORD; in others these functions do nothing.
 *
 * Rules are numbered as in docs/design.md: R1 write-back, R2 publish order, R3 single-copy store,
 * R4 flush before free, R5 flush covers the change, R6 flush at all, R7 the same when preempted, R8
 * completion, R9 switch of a device, R11 levels, R13 domain ids, R16 frames owned while mapped, R20
 * cached absence, R22 scrub; then the lock discipline and the balance of page maps.
 */
#ifndef PVIOMMU_RECORD_H
#define PVIOMMU_RECORD_H

#include <pviommu/unit.h>

struct pvi_host;
struct pvi_unit;

/** Rules that can be broken. */
enum pvi_posix_rule {
    PVI_RULE_NONE = 0,
    PVI_RULE_R1 = 1,
    PVI_RULE_R2 = 2,
    PVI_RULE_R3 = 3,
    PVI_RULE_R4 = 4,
    PVI_RULE_R5 = 5,
    PVI_RULE_R6 = 6,
    PVI_RULE_R7 = 7,
    PVI_RULE_R8 = 8,
    PVI_RULE_R9 = 9,
    PVI_RULE_R11 = 11,
    PVI_RULE_R13 = 13,
    PVI_RULE_R16 = 16,
    PVI_RULE_R20 = 20,
    PVI_RULE_R22 = 22,
    PVI_RULE_LOCK = 30, /**< the lock discipline */
    PVI_RULE_MAP = 31,  /**< table pages mapped and unmapped alike */
    PVI_RULE_NR = 32
};

/** Is the recorder compiled in? */
bool pvi_posix_recording(void);

/**
 * A violation aborts the program with a line on stderr; with `count` it is only counted (mutants,
 * self-tests).
 */
void pvi_posix_count_violations(struct pvi_host *h, bool count);
/** Violations counted; PVI_RULE_NONE: of all rules. `text`, if not NULL, gets the first line. */
uint64_t pvi_posix_violations(struct pvi_host *h, enum pvi_posix_rule rule, const char **text);
void pvi_posix_violations_reset(struct pvi_host *h);

/**
 * Called where pvi_submit() (or whatever a test takes for one) has returned to the guest: nothing
 * that this thread changed may be pending.
 */
void pvi_posix_checkpoint(struct pvi_host *h);

/**
 * Whether cached absence and write buffers may be owed for additions where the guest runs again (PVI_MAP_NO_FLUSH); at first not. The account
 * stays. @return how many ranges are owed for additions now; 0 in builds without recorder.
 */
uint64_t pvi_posix_postponed(struct pvi_host *h, bool allowed);

/** Compares every live page with what the recorder has seen stored to it. For the end of a test. */
void pvi_posix_check_all(struct pvi_host *h);

/**
 * From now on the tree at root is live, though no device entry names it (tests of the engine
 * alone).
 * @param format pvi_vtd_ss_ops or pvi_amdvi_v1_ops; anything else is not judged.
 * @param coherent walkers snoop.
 */
void pvi_posix_track_root(struct pvi_host *h, const struct pvi_pt_ops *format, unsigned levels,
                          pvi_pa root, bool coherent);
/** It is not any more: its owner is about to give the pages back. */
void pvi_posix_untrack_root(struct pvi_host *h, pvi_pa root);
/**
 * As if a device of unit u translated through root with domain id did (tests of engine and gather
 * alone).
 */
void pvi_posix_bind_root(struct pvi_host *h, struct pvi_unit *u, uint16_t did, pvi_pa root);
void pvi_posix_unbind_root(struct pvi_host *h, struct pvi_unit *u, uint16_t did, pvi_pa root);

/**
 * Lock classes (bit n: class n) that may be held where the library calls the host at `at` (enum
 * pvi_posix_point).
 */
void pvi_posix_allow_locks(struct pvi_host *h, unsigned at, unsigned classes);

/** What a model of hardware tells; members may be NULL. */
struct pvi_posix_model {
    /** Does the unit cache anything that leads to [pa, pa + len)? */
    bool (*caches)(void *opaque, uint64_t pa, uint64_t len);
    /** Has the unit commands that it has not executed yet? Asked after a wait that answered 0. */
    bool (*pending)(void *opaque);
    void *opaque;
};
void pvi_posix_model(struct pvi_host *h, struct pvi_unit *u, const struct pvi_posix_model *model);

/**
 * Memory as a unit sees it: with a coherent walker, stores to tables appear when they went through
 * the hooks; with another, any page of the allocator shows what was written back. The functions
 * below take it as `view` and have the signatures of struct hwm_mem. In builds without recorder
 * they read the arena.
 */
struct pvi_posix_view {
    struct pvi_host *host;
    bool coherent;
    bool write_buffer; /**< stores wait until pvi_posix_hw_flush() (RWBF) */
};

uint64_t pvi_posix_hw_read64(void *view, uint64_t pa);
uint32_t pvi_posix_hw_read32(void *view, uint64_t pa);
void pvi_posix_hw_write64(void *view, uint64_t pa, uint64_t value);
void pvi_posix_hw_write32(void *view, uint64_t pa, uint32_t value);
bool pvi_posix_hw_valid(void *view, uint64_t pa, uint64_t len);
bool pvi_posix_hw_cmpxchg64(void *view, uint64_t pa, uint64_t old, uint64_t value);
void pvi_posix_hw_flush(void *view);

#endif
