/* SPDX-License-Identifier: MIT */
/* AMD-Vi v2 (guest) tables (48882 2.2.6): the engine for the processor's format of pt_x86.h. */
#include <pviommu/amdvi.h>

#include "../core/pt_x86.h"

#define PT_NAME "amdvi-v2"
#define PT_OPS pvi_amdvi_v2_ops
#define PT_PAGE_SIZES X86_PAGE_SIZES
#define PT_LEVELS X86_LEVELS
#define PT_RIGHTS X86_RIGHTS
#include "../core/pt_engine.inc.h"
