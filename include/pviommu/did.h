/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Domain ids of one unit: a bitmap in one page, for unit drivers of the library.
 *
 * Id 0 is never given out: in caching mode VT-d tags not-present entries with it (hwspec 2.2), and
 * AMD-Vi needs a non-zero id under SNP (hwspec 6.7). Callers hold the unit's lock.
 */
#ifndef PVIOMMU_DID_H
#define PVIOMMU_DID_H

#include <pviommu/host.h>

/** Ids that one page of bitmap can hold. */
#define PVI_DID_MAX 32768u

struct pvi_did_map {
    pvi_pa page;
    uint32_t nr;   /**< ids 1 .. nr - 1 */
    uint32_t hint; /**< where the last search ended: ids come back as late as possible */
};

/** @return 0, or -PVI_ENOMEM with nothing changed. */
PVI_MUST_CHECK int pvi_did_init(struct pvi_host *h, struct pvi_did_map *m, uint32_t nr);
void pvi_did_fini(struct pvi_host *h, struct pvi_did_map *m);
/** @return 0, or -PVI_ENOSPC. */
PVI_MUST_CHECK int pvi_did_alloc(struct pvi_host *h, struct pvi_did_map *m, uint16_t *did);
/** The id must have been given out and no cache may hold it (R13). */
void pvi_did_free(struct pvi_host *h, struct pvi_did_map *m, uint16_t did);

#endif
