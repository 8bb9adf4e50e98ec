/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A batch that happens whole or not at all (PVI_BATCH_ATOMIC) on behalf of a guest: taken in before anything happens, and kept by the domain,
 * so that a continuation finds it without being told where it is. For decoders; a domain keeps one at most.
 */
#ifndef PVIOMMU_HELD_H
#define PVIOMMU_HELD_H

#include <pviommu/batch.h>

/** Where the guest has it: by all of this a continuation finds it again. */
struct pvi_held_name {
    uint64_t header; /**< address in the guest's memory */
    uint64_t ops;    /**< of the array */
    uint32_t nr;
    uint32_t op_size;
};

/** Batch and operations in one piece of the hypervisor's memory. */
struct pvi_held {
    struct pvi_held_name name;
    struct pvi_batch batch;
    uint32_t room; /**< operations that it was made for */
    bool running;  /**< somebody is at it; under PVI_LOCK_DOMAIN */
    struct pvi_op op[];
};

/** Room for nr operations (1 .. PVI_ATOMIC_OPS), the caller's, all zero but batch.ops, batch.nr and batch.flags. NULL: no memory. */
struct pvi_held *pvi_held_new(struct pvi_domain *d, uint32_t nr);

/** Gives back what pvi_held_new() gave and no domain keeps. */
void pvi_held_free(struct pvi_domain *d, struct pvi_held *held);

/** The domain keeps it, and the caller is at it. @return 0; -PVI_EBUSY: it keeps another one; held is still the caller's. */
PVI_MUST_CHECK int pvi_held_keep(struct pvi_domain *d, struct pvi_held *held);

/**
 * Goes on with what the domain keeps, if it has that name (NULL: whatever it is). Then the caller is at it until pvi_held_leave() or pvi_held_drop().
 * @param[out] held set with 0 only.
 * @return 0; -PVI_ENOENT: it keeps none; -PVI_EBUSY: another one, or somebody is at it.
 */
PVI_MUST_CHECK int pvi_held_take(struct pvi_domain *d, const struct pvi_held_name *name, struct pvi_held **held);

/** Runs it. @return 0: it has ended, every operation has its status; -PVI_EPREEMPTED. */
PVI_MUST_CHECK int pvi_held_run(struct pvi_domain *d, struct pvi_held *held);

/**
 * From now on it is taken back instead; the caller is at it, and runs it to its end. The operation that it stands at gets -PVI_ECANCELED, like
 * the others. @return true; false: all has happened already, what is left is to release.
 */
bool pvi_held_abort(struct pvi_domain *d, struct pvi_held *held);

/** It stands until somebody takes it again, or the domain ends. */
void pvi_held_leave(struct pvi_domain *d, struct pvi_held *held);

/** It has ended: the domain keeps it no longer, and it is freed. */
void pvi_held_drop(struct pvi_domain *d);

#endif
