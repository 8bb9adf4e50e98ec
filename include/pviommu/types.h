/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Addresses, frames, rights and errors: the words that every other header uses.
 *
 * Addresses are one-member structures so that the compiler keeps an IOVA, a physical address, a guest
 * frame and a device frame apart. Frames are always 4 KiB.
 */
#ifndef PVIOMMU_TYPES_H
#define PVIOMMU_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PVI_PAGE_LG2 12u
#define PVI_PAGE_SIZE ((uint64_t)1 << PVI_PAGE_LG2)
#define PVI_PAGE_MASK (PVI_PAGE_SIZE - 1)
/** Entries of a table page: 512 in every format that the library knows. */
#define PVI_TABLE_ENTRIES 512u
/** Tables that can lie between a root and a leaf, the root included (AMD v1 mode 6). */
#define PVI_MAX_LEVELS 6u

/** An address as a device issues it (I/O virtual address, bytes). */
typedef struct {
    uint64_t a;
} pvi_iova;

/** A host-physical address, bytes. */
typedef struct {
    uint64_t a;
} pvi_pa;

/** A guest frame number. */
typedef struct {
    uint64_t f;
} pvi_gfn;

/** A device frame number: an IOVA in frames. */
typedef struct {
    uint64_t f;
} pvi_dfn;

/** Rights of a mapping. */
#define PVI_READ 0x1u
#define PVI_WRITE 0x2u
#define PVI_RW (PVI_READ | PVI_WRITE)

/**
 * What a leaf owes to the host for the frame behind it. It is kept in ignored bits of the leaf itself,
 * so that the release needs nothing that the guest says. Leaves that owe differently never merge.
 */
enum pvi_owe {
    PVI_OWE_NONE = 0,     /**< nothing: the host keeps the frame by other means */
    PVI_OWE_REF = 1,      /**< a plain reference */
    PVI_OWE_WRITABLE = 2, /**< a reference and a writable type */
    PVI_OWE_MMIO = 3,     /**< device memory, no reference to drop but the host is told */
    PVI_OWE_GRANT = 4,    /**< a frame that another domain has granted */
    PVI_OWE_FOREIGN = 5,  /**< a reference on another domain's frame, noted in the reverse map */
    PVI_OWE_FOREIGN_WRITABLE = 6, /**< the same and a writable type */
    PVI_OWE_SCRATCH = 7,  /**< nothing: the library's own page in place of a foreign frame; the host never sees it */
    PVI_OWE_MAX = 7
};

/** A PCI function: segment, bus, device and function. */
typedef struct {
    uint32_t v; /**< segment << 16 | bus << 8 | device << 3 | function */
} pvi_sbdf;

/**
 * Every error of the library, returned negated; the list also gives the strings. Three classes: what a
 * guest can cause is a code below; a caller's bug is an assertion; a failure of the hardware is EHW and
 * quarantines what it touched.
 */
#define PVI_ERRORS(X)                                                                              \
    X(EINVAL, 1, "unknown operation, or a reserved field that is not zero")                        \
    X(EFLAGS, 2, "unknown or contradictory flags, or no rights at all")                            \
    X(ELENGTH, 3, "a length of zero, or more than the operation can take")                         \
    X(EALIGN, 4, "address not aligned to the smallest page of the context")                        \
    X(EWRAP, 5, "address plus length wraps")                                                       \
    X(ERANGE, 6, "address outside of the windows, or beyond what the hardware reaches")            \
    X(ERESERVED, 7, "address in a reserved region (MSI, HyperTransport, RMRR, IVMD)")              \
    X(EEXIST, 8, "already mapped")                                                                 \
    X(ENOENT, 9, "not mapped")                                                                     \
    X(ENOFRAME, 10, "no frame behind this guest frame number")                                     \
    X(EPERM, 11, "the host does not permit it")                                                    \
    X(ENODEV, 12, "no such device in this domain")                                                 \
    X(ENOCTX, 13, "no such context")                                                               \
    X(EDEFAULT, 14, "not allowed on the default context")                                          \
    X(ENOSPC, 15, "no free context number, domain id or window")                                   \
    X(ENOMEM, 16, "page pool exhausted")                                                           \
    X(EQUOTA, 17, "the context's share of the pool is exhausted")                                  \
    X(EBUSY, 18, "in use: devices attached, or another call is at it")                             \
    X(EINITED, 19, "initialised already")                                                          \
    X(ENOTINIT, 20, "not initialised yet")                                                         \
    X(ELIMIT, 21, "more than the host's limit")                                                    \
    X(ENOIOMMU, 22, "no IOMMU for this domain")                                                    \
    X(EPREEMPTED, 23, "work remains: call again")                                                  \
    X(EDYING, 24, "the domain is being torn down")                                                 \
    X(EHW, 25, "the hardware failed; what it touched is quarantined")                              \
    X(EOPNOTSUPP, 26, "the hardware lacks it")                                                     \
    X(ECANCELED, 27, "not run: an earlier operation of the batch failed")                          \
    X(ENODOM, 28, "no such domain")                                                                \
    X(EFORMAT, 29, "malformed firmware table")                                                     \
    X(EPART, 30, "only part of a larger leaf, which is not to be split")                           \
    X(EFAULT, 31, "the caller's memory cannot be read or written")                                 \
    X(ENESTED, 32, "not for a context with a guest's own tables, or only for one")

enum pvi_err {
#define PVI_ERR_ENUM(name, value, text) PVI_##name = (value),
    PVI_ERRORS(PVI_ERR_ENUM)
#undef PVI_ERR_ENUM
};

/**
 * Text of an error.
 * @param err an error, negated or not; 0 is "success".
 * @return a constant string, never NULL.
 */
const char *pvi_strerror(int err);

#if defined(__GNUC__)
#define PVI_MUST_CHECK __attribute__((warn_unused_result))
#else
#define PVI_MUST_CHECK
#endif

/** Marks functions whose address is taken (indirect-branch tracking). A host defines it on the command line. */
#ifndef PVI_CALLBACK
#define PVI_CALLBACK
#endif

/**
 * An index that a guest has chosen: i where it is below n, else 0, also in what a CPU does on the guess that a comparison before
 * has let it pass (bounds check bypass, Spectre variant 1).
 * @param n at most 2^63.
 */
static inline uint64_t pvi_nospec(uint64_t i, uint64_t n)
{
    uint64_t mask;

    __asm__("" : "+r"(i)); /* what the comparison has told the compiler does not count here */
    mask = 0 - (~(i | (n - 1 - i)) >> 63);
    __asm__("" : "+r"(mask)); /* nor may it choose by a branch */
    return i & mask;
}

#endif
