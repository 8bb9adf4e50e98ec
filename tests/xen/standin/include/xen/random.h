/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_RANDOM_H
#define STANDIN_XEN_RANDOM_H

unsigned int get_random(void);

#endif
