/* SPDX-License-Identifier: MIT */
/* Registers and rings of one unit, for its driver (hwspec 6.2, 7.1). */
#ifndef PVI_AMDVI_RING_H
#define PVI_AMDVI_RING_H

#include <pviommu/amdvi.h>

uint64_t pvi_amdvi_read(const struct pvi_amdvi_unit *u, unsigned reg);
void pvi_amdvi_write(const struct pvi_amdvi_unit *u, unsigned reg, uint64_t value);
/* Waits until the status bits in mask read as want; false when the host gives up. */
bool pvi_amdvi_status_is(const struct pvi_amdvi_unit *u, uint64_t mask, uint64_t want);

/* 0, -PVI_ENOTINIT or -PVI_EHW. The lock is held. */
int pvi_amdvi_usable(const struct pvi_amdvi_unit *u);
/*
 * The unit does not work any more: tells the host, once. The entries stay as they are, translation
 * goes on, and nothing that a flush was to release is released. The lock is held, or nobody else
 * uses the unit.
 */
void pvi_amdvi_break(struct pvi_amdvi_unit *u);

#endif
