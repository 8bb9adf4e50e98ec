/* SPDX-License-Identifier: MIT */
#include "between.h"

static inline uint64_t hooked_read64(const uint64_t *p)
{
    uint64_t value = pvi_env_read64(p);

    if (between_reads) {
        between_reads();
    }
    return value;
}

#define pvi_env_read64 hooked_read64
#define pvi_vtd_ss_ops between_vtd_ops
#include "../../src/vtd/ss.c"
