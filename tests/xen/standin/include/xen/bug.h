/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_BUG_H
#define STANDIN_XEN_BUG_H

#define BUG_ON(condition)               \
    do {                                \
        if (unlikely(condition)) {      \
            __builtin_trap();           \
        }                               \
    } while (0)
#define ASSERT(condition) BUG_ON(!(condition))

#endif
