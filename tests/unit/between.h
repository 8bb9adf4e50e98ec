/* SPDX-License-Identifier: MIT */
/*
 * The engine once more, of two formats, with a hook at each entry that it reads: what another CPU stores between two reads
 * of a call. Included before the format, whose operations, and whose reads, get other names.
 */
#ifndef BETWEEN_H
#define BETWEEN_H

#include <pviommu/amdvi.h>
#include <pviommu/vtd.h>

extern const struct pvi_pt_ops between_vtd_ops, between_amd_ops;

/* Called after each read of 64 bits, unless NULL. */
extern void (*between_reads)(void);

static inline uint64_t between_read64(const uint64_t *p)
{
    uint64_t value = pvi_env_read64(p);

    if (between_reads) {
        between_reads();
    }
    return value;
}

#endif
