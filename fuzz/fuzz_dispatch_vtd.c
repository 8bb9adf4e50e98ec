/* SPDX-License-Identifier: MIT */
/* The dispatcher on VT-d second-stage tables. */
#include "dispatch.h"
#include <pviommu/vtd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_dispatch(&pvi_vtd_ss_ops, HWM_FMT_VTDSS, data, size);
    return 0;
}
