/* SPDX-License-Identifier: MIT */
#ifndef STANDIN_ASM_SYSTEM_H
#define STANDIN_ASM_SYSTEM_H

#include <asm/atomic.h>

#define smp_mb() __sync_synchronize()
#define cmpxchg(p, old, new)                                                    \
    ({                                                                          \
        __typeof__(*(p)) was_ = __sync_val_compare_and_swap(p, old, new);       \
        xm_stored();                                                            \
        was_;                                                                   \
    })
#define arch_fetch_and_add(p, n) __sync_fetch_and_add(p, n)

#endif
