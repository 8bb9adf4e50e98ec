/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_XVMALLOC_H
#define STANDIN_XEN_XVMALLOC_H

#include <xen/types.h>

#define ZERO_BLOCK_PTR ((void *)-1L)

void *_xvmalloc(size_t size, unsigned int align);
void *_xvzalloc(size_t size, unsigned int align);
void xvfree(void *p);
#define xvzalloc(type) ((type *)_xvzalloc(sizeof(type), __alignof__(type)))
#define xvmalloc_array(type, n) ((type *)_xvmalloc(sizeof(type) * (n), __alignof__(type)))
#define xvzalloc_array(type, n) ((type *)_xvzalloc(sizeof(type) * (n), __alignof__(type)))

#endif
