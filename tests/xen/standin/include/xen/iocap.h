/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_IOCAP_H
#define STANDIN_XEN_IOCAP_H

#include <xen/types.h>

struct domain;
struct rangeset;

bool iomem_access_permitted(const struct domain *d, unsigned long first, unsigned long last);
bool rangeset_contains_singleton(struct rangeset *r, unsigned long n);

#endif
