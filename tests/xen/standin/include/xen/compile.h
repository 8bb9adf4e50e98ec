/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_COMPILE_H
#define STANDIN_XEN_COMPILE_H

#define XEN_VERSION 4
#define XEN_SUBVERSION 23

#endif
