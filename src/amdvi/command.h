/* SPDX-License-Identifier: MIT */
/* What the core is told about the cost of commands. */
#ifndef PVI_AMDVI_COMMAND_H
#define PVI_AMDVI_COMMAND_H

#include <pviommu/amdvi.h>

#include "spec.h"

/*
 * Page invalidations that the core takes as dear as one of the whole domain. A command is 16 bytes
 * and one entry of 256 in the ring: with 32 of them eight CPUs can flush at once without waiting
 * for room.
 */
#define AMDVI_INV_MAX_NR 32u

#endif
