/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_ASM_CURRENT_H
#define STANDIN_ASM_CURRENT_H

struct vcpu *get_current(void);
#define current get_current()

#endif
