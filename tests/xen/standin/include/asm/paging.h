/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_ASM_PAGING_H
#define STANDIN_ASM_PAGING_H

#include <xen/types.h>

struct domain;

bool paging_mode_translate(const struct domain *d);
void paging_mark_dirty(struct domain *d, mfn_t gmfn);

#endif
