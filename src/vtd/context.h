/* SPDX-License-Identifier: MIT */
/* Root and context tables in memory, for the unit driver (hwspec 2.1, 2.2). */
#ifndef PVI_VTD_CONTEXT_H
#define PVI_VTD_CONTEXT_H

#include <pviommu/vtd.h>

/* Reads an entry that only this library writes; the unit's lock is held. */
void pvi_vtd_entry_read(const struct pvi_vtd_entry *slot, struct pvi_vtd_entry *e);

/*
 * Replaces the entry in a table that hardware may be reading, by one 128-bit store, and writes it
 * back for units that do not snoop. Returns false, nothing changed, when the slot does not hold
 * *old.
 */
bool pvi_vtd_entry_switch(struct pvi_host *h, bool coherent, struct pvi_vtd_entry *slot,
                          const struct pvi_vtd_entry *old, const struct pvi_vtd_entry *e);

#endif
