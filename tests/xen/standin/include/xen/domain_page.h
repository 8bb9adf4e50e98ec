/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_DOMAIN_PAGE_H
#define STANDIN_XEN_DOMAIN_PAGE_H

#include <xen/types.h>

void *map_domain_page(mfn_t mfn);
void unmap_domain_page(const void *p);

#endif
