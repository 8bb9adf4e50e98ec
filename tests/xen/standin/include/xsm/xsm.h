/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XSM_XSM_H
#define STANDIN_XSM_XSM_H

struct domain;

typedef enum { XSM_TARGET } xsm_default_t;

int xsm_add_to_physmap(xsm_default_t action, struct domain *d, struct domain *t);
int xsm_map_gmfn_foreign(xsm_default_t action, struct domain *d, struct domain *t);

#endif
