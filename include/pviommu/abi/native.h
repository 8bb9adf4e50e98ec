/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The native batch as guests pass it: a header, and an array of operations of every kind, each with its own status.
 *
 * One layout for 32- and 64-bit callers: every field is naturally aligned. docs/abi.md explains and proposes it.
 *
 * Growth: the header says how large it and its elements are for the caller. What is larger than ours must be zero behind the part that we
 * know, else ELIMIT (of the call; of the element alone). Whoever knows version 1 is understood forever.
 *
 * Errors, of the call and of each element, are numbers of enum pvi_err, negated; those that are in use are part of this interface and keep
 * their numbers. Xen passes what a call answers through pvi_xen_error().
 */
#ifndef PVIOMMU_ABI_NATIVE_H
#define PVIOMMU_ABI_NATIVE_H

#include <pviommu/abi/guest.h>

#define PVI_NATIVE_VERSION 1u

/** Elements after the first that fails are not run, and not read: `next` says where that is. */
#define PVI_NATIVE_STOP 0x1u
/**
 * All of it happens, or nothing. No other flag but PVI_NATIVE_ABORT. `next` is 0; map, unmap, rights, reattach_device and noop for the caller's own domain; at most what
 * PVI_NATIVE_QUERY tells. The array is read once, before anything happens; what the guest does to it afterwards means nothing. Until such a batch
 * has ended, every other one of the domain is refused (EBUSY); a call with the same header address, ops, nr and op_size goes on with it.
 */
#define PVI_NATIVE_ATOMIC 0x2u
/** With PVI_NATIVE_ATOMIC: takes the domain's atomic batch back, whoever made it. Of the header only size, version and flags mean something; no array is read or written. */
#define PVI_NATIVE_ABORT 0x4u

/** The header. */
struct pvi_native_batch {
    uint32_t size;    /**< bytes of this structure as the caller knows it, at least these 32 */
    uint32_t version; /**< 1 */
    uint32_t op_size; /**< bytes from one element to the next, at least 80 */
    uint32_t nr;      /**< elements, 0 .. 2^32 - 1 */
    uint32_t flags;   /**< PVI_NATIVE_* */
    uint32_t next;    /**< INOUT: first element that has not been reported; 0 at first */
    uint64_t ops;     /**< address of the array, as the hypercall's argument is one */
};

/**
 * Operations: those of enum pvi_opcode (batch.h), which says what they do and answer. Arguments, by number (O: written, ignored on the way in);
 * those that are not named are zero, as ctx is where it is not named, else EINVAL.
 *
 *   operation        ctx   flags                     arg 0       1         2            3         4           5
 *   noop
 *   query_caps                                       O max_iova  O sizes   O contexts   O pages   O free      O PVI_CAP_*
 *   init                                             contexts    pages
 *   alloc_context    out   PVI_ALLOC_IDENTITY
 *   free_context     in    PVI_FREE_REATTACH
 *   reattach_device  in                              sbdf
 *   map              in    PVI_MAP_*                 dfn         gfn       nr
 *   unmap            in                              dfn         nr
 *   lookup           in                              dfn         O gfn     O rights     O log2 of the leaf's bytes
 *   flush            in                              dfn         nr
 *   rights           in    PVI_READ, PVI_WRITE       dfn         nr
 *   window_create    in                              dfn         nr        sizes        O index   shift
 *   window_remove    in                                                                 index
 *   window_query     in                              O dfn       O nr      O sizes      index     O shift     O depth | state << 8 | left << 16
 *   window_reset     in
 *   query_usage      in                              O pages     O limit   O mapped     O flushes O faults    O devices
 *   read_fault       in                              O iova      O sbdf    O rid        O lost    O left      O code | write << 16
 *   alloc_nested     out   PVI_NESTED_*              root gfn    parent    levels       depth
 *   flush_nested     in    PVI_FLUSH_ALL_PASIDS      first       nr        pasid
 *   attach_pasid     in    PVI_PASID_MOVE            sbdf        pasid
 *   detach_pasid                                     sbdf        pasid
 *   query                                            O version   O header  O element    O atomic  O group     O windows
 *
 * query_caps: above PVI_CAP_* lie guest_levels << 32, guest_depth << 40, guest_flags << 48, pasid_bits << 56 (struct pvi_op, caps).
 * query: the largest version known; bytes of the header and of an element in it; elements of an atomic batch at most; elements that one
 * flush serves at most; windows that a context can have.
 */
enum pvi_native_code {
    PVI_NATIVE_NOOP = 0,
    PVI_NATIVE_QUERY_CAPS = 1,
    PVI_NATIVE_INIT = 2,
    PVI_NATIVE_ALLOC_CONTEXT = 3,
    PVI_NATIVE_FREE_CONTEXT = 4,
    PVI_NATIVE_REATTACH_DEVICE = 5,
    PVI_NATIVE_MAP = 6,
    PVI_NATIVE_UNMAP = 7,
    PVI_NATIVE_LOOKUP = 8,
    PVI_NATIVE_FLUSH = 9,
    PVI_NATIVE_RIGHTS = 10,
    PVI_NATIVE_WINDOW_CREATE = 11,
    PVI_NATIVE_WINDOW_REMOVE = 12,
    PVI_NATIVE_WINDOW_QUERY = 13,
    PVI_NATIVE_WINDOW_RESET = 14,
    PVI_NATIVE_QUERY_USAGE = 15,
    PVI_NATIVE_READ_FAULT = 16,
    PVI_NATIVE_ALLOC_NESTED = 17,
    PVI_NATIVE_FLUSH_NESTED = 18,
    PVI_NATIVE_ATTACH_PASID = 19,
    PVI_NATIVE_DETACH_PASID = 20,
    PVI_NATIVE_QUERY = 256 /**< of this interface itself */
};

#define PVI_NATIVE_ARGS 6u

/** An element. */
struct pvi_native_op {
    uint16_t code;     /**< enum pvi_native_code */
    uint16_t domid;    /**< PVI_DOMID_SELF, or the domain on whose behalf */
    uint16_t ctx;      /**< context; alloc_context, alloc_nested: 0 at first, then OUT */
    uint16_t reserved; /**< 0 */
    uint32_t flags;
    int32_t status;    /**< OUT: 0, a negated error, or -PVI_EPREEMPTED while it stands */
    uint64_t done;     /**< 0 at first; OUT: frames done (map, unmap, rights, flush). While an element stands: where it goes on, opaque for others */
    uint64_t fault;    /**< OUT: with an error of map, unmap, lookup, rights, flush, window_*: the DFN at fault; else 0 */
    uint64_t arg[PVI_NATIVE_ARGS];
};

/**
 * The call: everything that the array says, or as much as can be done until the CPU is wanted. Each element is read once, when it is its
 * turn, and written once, after the flush that covers it; at most PVI_ABI_OPS share one.
 *
 * @param call the host's; caller is set.
 * @param arg address of a struct pvi_native_batch in the caller's memory.
 * @return 0: it has ended, `next` says how far it came (nr, or behind the first that failed, with PVI_NATIVE_STOP).
 *         -PVI_EPREEMPTED: the host calls again with the same argument; nothing is pending meanwhile.
 *         -PVI_EFAULT: memory of the header, or of element `next`, cannot be read or written; elements before it have been reported. Where it could
 *         not be written, it and at most the PVI_ABI_OPS - 1 behind it may have happened. Where the header could not, `next` is not true.
 *         Of the header, with nothing done: -PVI_EINVAL (size or op_size too small; next beyond nr, or not 0 with PVI_NATIVE_ATOMIC),
 *         -PVI_EOPNOTSUPP (version), -PVI_EFLAGS, -PVI_ELIMIT (a size above PVI_ABI_TAIL more than ours; a tail that is not zero; too many
 *         elements for PVI_NATIVE_ATOMIC), -PVI_EWRAP (the header or the array wraps).
 *         With PVI_NATIVE_ATOMIC: -PVI_EBUSY (another such batch of the domain has not ended), -PVI_ENOMEM (no memory to hold it): nothing done.
 *         With PVI_NATIVE_ABORT: 0 (it has been taken back), -PVI_ENOENT (there is none, or all of it had happened already), -PVI_EBUSY (a virtual CPU is at it).
 */
PVI_MUST_CHECK int pvi_native_call(struct pvi_abi_call *call, uint64_t arg);

#endif
