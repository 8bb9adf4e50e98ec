/* SPDX-License-Identifier: MIT */
/* AMD-Vi v1 tables: the engine for the format of v1_format.h (48882 2.2.3). */
#include <pviommu/amdvi.h>

#include "v1_format.h"

#define PT_NAME "amdvi-v1"
#define PT_OPS pvi_amdvi_v1_ops
#define PT_PAGE_SIZES AMDVI_V1_PAGE_SIZES
#define PT_LEVELS AMDVI_V1_LEVELS
#define PT_RIGHTS AMDVI_V1_RIGHTS
#include "../core/pt_engine.inc.h"
