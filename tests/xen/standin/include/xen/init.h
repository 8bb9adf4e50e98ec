/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_INIT_H
#define STANDIN_XEN_INIT_H

#define __initcall(function) \
    static int (*const __used __attribute__((__section__(".initcall1.init"))) initcall_##function)(void) = function

#endif
