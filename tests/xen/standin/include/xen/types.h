/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_TYPES_H
#define STANDIN_XEN_TYPES_H

typedef __UINT8_TYPE__ uint8_t, u8;
typedef __INT8_TYPE__ int8_t, s8;
typedef __UINT16_TYPE__ uint16_t, u16;
typedef __INT16_TYPE__ int16_t, s16;
typedef __UINT32_TYPE__ uint32_t, u32;
typedef __INT32_TYPE__ int32_t, s32;
typedef unsigned long uint64_t, u64, uintptr_t;
typedef long int64_t, s64, intptr_t;
typedef __SIZE_TYPE__ size_t;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#define UINT8_MAX 255
#define UINT16_MAX 65535
#define UINT32_MAX 4294967295U
#define UINT64_MAX 18446744073709551615UL
#define INT32_MAX 2147483647

typedef uint16_t domid_t;
typedef uint64_t paddr_t;
typedef unsigned long xen_pfn_t, xen_ulong_t;

/* Xen's debug builds wrap frame numbers as well: neither becomes the other by itself. */
typedef struct {
    unsigned long mfn;
} mfn_t;
typedef struct {
    unsigned long gfn;
} gfn_t;
typedef struct {
    unsigned long dfn;
} dfn_t;
#define _mfn(n) ((mfn_t){ n })
#define _dfn(n) ((dfn_t){ n })
#define mfn_x(m) ((m).mfn)
#define gfn_x(g) ((g).gfn)

#endif
