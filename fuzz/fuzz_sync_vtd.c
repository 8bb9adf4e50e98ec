/* SPDX-License-Identifier: MIT */
/* The hooks of sync_pt on VT-d second-stage tables. */
#include "sync.h"
#include <pviommu/vtd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_sync(&pvi_vtd_ss_ops, HWM_FMT_VTDSS, data, size);
    return 0;
}
