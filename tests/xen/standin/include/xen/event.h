/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_EVENT_H
#define STANDIN_XEN_EVENT_H

#include <xen/types.h>

bool hypercall_preempt_check(void);

#endif
