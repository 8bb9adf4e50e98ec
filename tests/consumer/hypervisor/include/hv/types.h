/* SPDX-License-Identifier: MIT */
/* The types of a hypervisor that has no libc headers: what its stdint.h, stdbool.h and stddef.h stand for. */
#ifndef HV_TYPES_H
#define HV_TYPES_H

typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __INTPTR_TYPE__ intptr_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;

#define UINT8_MAX 0xFFu
#define UINT16_MAX 0xFFFFu
#define UINT32_MAX 0xFFFFFFFFu
#define UINT64_MAX 0xFFFFFFFFFFFFFFFFull
#define SIZE_MAX ((size_t)-1)
#define INT32_MAX 0x7FFFFFFF
#define UINT32_C(x) x##u
#define UINT64_C(x) x##ull

#define bool _Bool
#define true 1
#define false 0

#define NULL ((void *)0)
#define offsetof(type, member) __builtin_offsetof(type, member)

#endif
