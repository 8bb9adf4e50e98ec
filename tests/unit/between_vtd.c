/* SPDX-License-Identifier: MIT */
#include "between.h"

#define pvi_env_read64 between_read64
#define pvi_vtd_ss_ops between_vtd_ops
#include "../../src/vtd/ss.c"
