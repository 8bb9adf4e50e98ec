/* SPDX-License-Identifier: MIT */
/* A unit in scalable mode: what its driver and the PASID structures share (hwspec 2.1 to 2.5). */
#ifndef PVI_VTD_SCALABLE_H
#define PVI_VTD_SCALABLE_H

#include <pviommu/vtd.h>

/* Adds what the unit can do in scalable mode to u->unit.caps. @return 0, -PVI_EOPNOTSUPP. */
int pvi_vtd_sm_init(struct pvi_vtd_unit *u, const struct pvi_vtd_cfg *cfg);
/* As pvi_vtd_unit_switch(), of a unit that is on. */
int pvi_vtd_sm_switch(struct pvi_vtd_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                      bool *was_absent);
/*
 * Gives back all that the entries of a context table lead to, unless the unit may still reach it.
 * @return how many pages.
 */
uint64_t pvi_vtd_sm_give(const struct pvi_vtd_unit *u, pvi_pa table, bool reachable);

/* As pvi_vtd_pasid_dir_add(), of a table that another directory has already. */
void pvi_vtd_pasid_dir_link(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t pasid,
                            pvi_pa page);

/* unit.c: pages that the unit reads. */
void pvi_vtd_page_clear(const struct pvi_vtd_unit *u, pvi_pa pa);
int pvi_vtd_page_get(const struct pvi_vtd_unit *u, pvi_pa *pa);
void pvi_vtd_page_put(const struct pvi_vtd_unit *u, pvi_pa pa);
/* The context table of rid. The lock is held. @return false when there is none. */
bool pvi_vtd_find_table(const struct pvi_vtd_unit *u, uint16_t rid, pvi_pa *table);
/* The same; links one where there is none. The lock is dropped for the allocation. */
int pvi_vtd_get_table(struct pvi_vtd_unit *u, uint16_t rid, pvi_pa *table);

#endif
