/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses; in front of every file, as in Xen. */
#ifndef STANDIN_XEN_CONFIG_H
#define STANDIN_XEN_CONFIG_H

#define CONFIG_PVIOMMU 1
#define NR_CPUS 256
/* What Xen alone sets, once; the model does. */
#ifndef STANDIN_CONST
#define STANDIN_CONST const
#endif

#include <xen/compiler.h>

#endif
