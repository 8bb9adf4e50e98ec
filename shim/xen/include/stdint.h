/* SPDX-License-Identifier: MIT */
/* Xen has no C library: where the library's headers ask for this one. */
#include <xen/types.h>
