/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_KEYHANDLER_H
#define STANDIN_XEN_KEYHANDLER_H

#include <xen/types.h>

void register_keyhandler(unsigned char key, void (*handler)(unsigned char key), const char *text, bool diagnostic);

#endif
