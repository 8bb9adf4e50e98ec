/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses, and macros and functions that a careless name clashes with. */
#ifndef STANDIN_XEN_LIB_H
#define STANDIN_XEN_LIB_H

#include <xen/bitops.h>
#include <xen/bug.h>
#include <xen/errno.h>
#include <xen/string.h>
#include <xen/types.h>

#define XENLOG_ERR "<0>"
#define XENLOG_WARNING "<1>"
void printk(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
int printk_ratelimit(void);

/* Of a part of the command line that ends in front of `end`; -1: it is none. */
int parse_bool(const char *s, const char *end);
int parse_boolean(const char *name, const char *s, const char *end);
unsigned long simple_strtoul(const char *s, const char **end, unsigned int base);

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(p, type, member) ((type *)((void *)(p) - offsetof(type, member)))

/* Both sides have to be of one type. */
#define STANDIN_PICK(a, op, b)                                                                  \
    ({                                                                                          \
        _Static_assert(__builtin_types_compatible_p(__typeof__(a), __typeof__(b)), "types");    \
        (a) op (b) ? (a) : (b);                                                                 \
    })
#define min(a, b) STANDIN_PICK(a, <, b)
#define max(a, b) STANDIN_PICK(a, >, b)
#define swap(a, b)                      \
    do {                                \
        __typeof__(a) swap_was_ = (a);  \
        (a) = (b);                      \
        (b) = swap_was_;                \
    } while (0)
#define ROUNDUP(x, a) (((x) + (a) - 1) & ~((a) - 1))
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define MASK_EXTR(v, m) (((v) & (m)) / ((m) & -(m)))
#define MASK_INSR(v, m) (((v) * ((m) & -(m))) & (m))
#define KB(n) ((n) * 1024UL)
#define MB(n) (KB(n) * 1024)
#define GB(n) (MB(n) * 1024)

#endif
