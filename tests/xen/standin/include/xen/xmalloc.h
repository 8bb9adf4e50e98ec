/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_XMALLOC_H
#define STANDIN_XEN_XMALLOC_H

#include <xen/types.h>

#define ZERO_BLOCK_PTR ((void *)-1L)

void *_xmalloc(size_t size, size_t align);
void *_xzalloc(size_t size, size_t align);
void xfree(void *p);
#define xzalloc(type) ((type *)_xzalloc(sizeof(type), __alignof__(type)))
#define xmalloc_array(type, n) ((type *)_xmalloc(sizeof(type) * (n), __alignof__(type)))
#define xzalloc_bytes(n) _xzalloc(n, 16)

#endif
