/* SPDX-License-Identifier: MIT */
/* The device table of one unit: 65536 entries, every one valid from the start (hwspec 6.7, 6.8). */
#ifndef PVI_AMDVI_DEVTAB_H
#define PVI_AMDVI_DEVTAB_H

#include <pviommu/amdvi.h>

#include "spec.h"

#define AMDVI_DEV_TAB_ORDER (AMDVI_DEV_TAB_LG2 - PVI_PAGE_LG2)
#define AMDVI_DEV_TAB_PAGES (1u << AMDVI_DEV_TAB_ORDER)

/* Blocks every requester in a table that no unit reads yet. */
void pvi_amdvi_devtab_fill(struct pvi_host *h, pvi_pa table);
/* Clears a table that no unit reads any more. */
void pvi_amdvi_devtab_scrub(struct pvi_host *h, pvi_pa table);
/* Switches one entry. 0, or -PVI_EHW with nothing changed when somebody else wrote to it meanwhile.
 */
PVI_MUST_CHECK int pvi_amdvi_devtab_switch(struct pvi_host *h, pvi_pa table, uint16_t rid,
                                           const struct pvi_dev_entry *to);
/*
 * The same with an entry of pvi_amdvi_dte_nested(). -PVI_EBUSY with nothing changed: the old entry
 * names v2 tables of another number of levels, see pvi_amdvi_dte_put().
 */
PVI_MUST_CHECK int pvi_amdvi_devtab_put(struct pvi_host *h, pvi_pa table, uint16_t rid,
                                        const struct pvi_amdvi_dte *to);
void pvi_amdvi_devtab_get(struct pvi_host *h, pvi_pa table, uint16_t rid,
                          struct pvi_amdvi_dte *out);
/* Blocks every requester of a table that the unit reads. 0 or -PVI_EHW, as above. */
PVI_MUST_CHECK int pvi_amdvi_devtab_block(struct pvi_host *h, pvi_pa table);

#endif
