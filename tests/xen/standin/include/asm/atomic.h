/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_ASM_ATOMIC_H
#define STANDIN_ASM_ATOMIC_H

#define read_atomic(p) (*(const volatile __typeof__(*(p)) *)(p))
#define write_atomic(p, value) ((void)(*(volatile __typeof__(*(p)) *)(p) = (value)))

#endif
