/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_VTD_EXTERN_H
#define STANDIN_VTD_EXTERN_H

#include <xen/types.h>

void *map_vtd_domain_page(paddr_t pa);
void unmap_vtd_domain_page(const void *p);

#endif
