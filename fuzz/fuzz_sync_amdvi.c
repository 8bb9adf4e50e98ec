/* SPDX-License-Identifier: MIT */
/* The hooks of sync_pt on AMD-Vi host tables. */
#include "sync.h"
#include <pviommu/amdvi.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_sync(&pvi_amdvi_v1_ops, HWM_FMT_AMDV1, data, size);
    return 0;
}
