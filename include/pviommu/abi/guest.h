/* SPDX-License-Identifier: MIT */
/**
 * @file
 * What the decoders of guest interfaces need beside pviommu/host.h: the caller's memory, and room to work in.
 *
 * Only hosts that link src/abi need it. A decoder reads each structure, or each element of an array, once, when it is its
 * turn, and writes it back once, after the flush that covers it; it never looks at the guest's memory again in between.
 */
#ifndef PVIOMMU_ABI_GUEST_H
#define PVIOMMU_ABI_GUEST_H

#include <pviommu/batch.h>

/** Elements of an array that one flush serves at most. */
#define PVI_ABI_OPS 128u
/** The largest element of any interface, and what a caller's may be larger by. */
#define PVI_ABI_ELEMENT 80u
#define PVI_ABI_TAIL 176u

/**
 * A hypercall under way. The host keeps one where at most one hypercall runs at a time (a virtual CPU, or a physical one that is not
 * preempted); it is far too large for a stack. Nothing in it is carried over a continuation.
 */
struct pvi_abi_call {
    struct pvi_domain *caller; /**< set by the host */
    bool compat;               /**< set by the host: a 32-bit caller's layouts */
    /* the decoder's own; need not be initialised */
    struct pvi_batch batch;
    struct pvi_op op[PVI_ABI_OPS];
    union {
        uint64_t align;
        unsigned char bytes[PVI_ABI_ELEMENT * PVI_ABI_OPS + PVI_ABI_TAIL];
    } wire; /**< the caller's bytes, as they were read */
};

/**
 * Copies len bytes from the memory of the calling guest. No lock of the library is held; another virtual CPU may change the
 * memory meanwhile: what is copied may be torn, never is it read twice.
 * @param from address as the hypercall passed it; all of it is to be checked, 32-bit callers may reach 4 GiB only.
 * @return 0, or -PVI_EFAULT: what lies at `to` is anything.
 */
PVI_MUST_CHECK int pvi_host_copy_in(struct pvi_host *h, struct pvi_hdom *caller, void *to, uint64_t from, size_t len);

/** The reverse. @return 0, or -PVI_EFAULT: a part may have been written. */
PVI_MUST_CHECK int pvi_host_copy_out(struct pvi_host *h, struct pvi_hdom *caller, uint64_t to, const void *from, size_t len);

#endif
