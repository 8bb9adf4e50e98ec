/* SPDX-License-Identifier: MIT */
/* The dispatcher on AMD-Vi v1 tables. */
#include "dispatch.h"
#include <pviommu/amdvi.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_dispatch(&pvi_amdvi_v1_ops, HWM_FMT_AMDV1, data, size);
    return 0;
}
