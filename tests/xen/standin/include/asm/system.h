/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_ASM_SYSTEM_H
#define STANDIN_ASM_SYSTEM_H

#define smp_mb() __asm__ __volatile__("lock addl $0, -4(%%rsp)" : : : "memory")
#define cmpxchg(p, old, new) __sync_val_compare_and_swap(p, old, new)
#define arch_fetch_and_add(p, n) __sync_fetch_and_add(p, n)

#endif
