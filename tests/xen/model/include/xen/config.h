/* SPDX-License-Identifier: MIT */
/* Xen hides every symbol; here the C library and the sanitizers are linked from outside. */
#define STANDIN_CONST
#include_next <xen/config.h>

#pragma GCC visibility pop
