/* SPDX-License-Identifier: MIT */
/* VT-d first-stage tables (VT-d 3.6, 9.7): the engine for the processor's format of pt_x86.h. */
#include <pviommu/vtd.h>

#include "../core/pt_x86.h"

#define PT_NAME "vtd-fs"
#define PT_OPS pvi_vtd_fs_ops
#define PT_PAGE_SIZES X86_PAGE_SIZES
#define PT_LEVELS X86_LEVELS
#define PT_RIGHTS X86_RIGHTS
#include "../core/pt_engine.inc.h"
