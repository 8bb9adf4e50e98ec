/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_ASM_P2M_H
#define STANDIN_ASM_P2M_H

#include <xen/mm.h>

typedef enum { p2m_ram_rw, p2m_invalid, p2m_ram_logdirty, p2m_ram_ro, p2m_mmio_direct = 5, p2m_ram_paged = 10, p2m_map_foreign = 14 } p2m_type_t;
typedef enum { p2m_access_n } p2m_access_t;
#define P2M_ALLOC 1U

struct p2m_domain *p2m_get_hostp2m(const struct domain *d);
struct page_info *get_page_from_gfn(struct domain *d, unsigned long gfn, p2m_type_t *type, unsigned int q);
mfn_t get_gfn_type_access(struct p2m_domain *p2m, unsigned long gfn, p2m_type_t *type, p2m_access_t *access, unsigned int q,
                          unsigned int *order);
void put_gfn(struct domain *d, unsigned long gfn);

#endif
