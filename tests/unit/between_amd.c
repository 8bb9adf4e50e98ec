/* SPDX-License-Identifier: MIT */
#include "between.h"

#define pvi_env_read64 between_read64
#define pvi_amdvi_v1_ops between_amd_ops
#include "../../src/amdvi/v1.c"
