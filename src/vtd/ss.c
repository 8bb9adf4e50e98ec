/* SPDX-License-Identifier: MIT */
/* VT-d second-stage tables: the engine for the format of ss_format.h (VT-d 3.7, 9.8). */
#include <pviommu/vtd.h>

#include "ss_format.h"

#define PT_NAME "vtd-ss"
#define PT_OPS pvi_vtd_ss_ops
#define PT_PAGE_SIZES VTD_SS_PAGE_SIZES
#define PT_LEVELS VTD_SS_LEVELS
#define PT_RIGHTS VTD_SS_RIGHTS
#include "../core/pt_engine.inc.h"
