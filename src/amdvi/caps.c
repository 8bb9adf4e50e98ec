/* SPDX-License-Identifier: MIT */
/* What the feature registers of a unit say, in the core's terms (48882 2.2.3, 3.4; hwspec 6.4, 6.9). */
#include <pviommu/amdvi.h>
#include <pviommu/pgtable.h>

#include "spec.h"

/*
 * Page invalidations that the core takes as dear as one of the whole domain. A command is 16 bytes
 * and one entry of 256 in the ring: with 32 of them eight CPUs can flush at once without waiting
 * for room.
 */
#define INV_MAX_NR 32u

static unsigned highest_bit(uint32_t mask)
{
    unsigned n = 0;

    while (mask >> (n + 1u) != 0) {
        n++;
    }
    return n;
}

/* hwspec 6.9: mode 6 reaches 64 bits, not 66. */
static unsigned levels_bits(uint32_t mask)
{
    unsigned bits = PVI_PAGE_LG2 + 9u * highest_bit(mask);

    return bits > 64u ? 64u : bits;
}

int pvi_amdvi_caps(uint64_t efr, uint64_t efr2, const struct pvi_amdvi_cfg *cfg, struct pvi_unit_caps *out)
{
    unsigned hats = (unsigned)(efr >> AMDVI_EFR_HATS_LO) & AMDVI_EFR_HATS, bits;
    uint32_t mask = cfg->levels_mask;

    if (hats == AMDVI_EFR_HATS_NONE || cfg->hat_dis) {
        return -PVI_EOPNOTSUPP;
    }
    if (mask == 0) {
        mask = ~(((uint32_t)1 << AMDVI_LEVELS_MIN) - 1u);
    }
    mask &= ((uint32_t)2 << (AMDVI_LEVELS_BASE + hats)) - 2u;
    if (mask == 0) {
        return -PVI_EOPNOTSUPP;
    }
    bits = levels_bits(mask);
    memset(out, 0, sizeof(*out));
    out->format = &pvi_amdvi_v1_ops;
    out->page_sizes = pvi_amdvi_v1_ops.page_sizes;
    out->levels_mask = (uint8_t)mask;
    out->iova_bits = (uint8_t)(cfg->iova_bits != 0 && cfg->iova_bits < bits ? cfg->iova_bits : bits);
    out->pa_bits = cfg->pa_bits == 0 || cfg->pa_bits > 52u ? 52u : cfg->pa_bits;
    out->coherent = true; /* Control.Coherent is set at bring-up */
    out->np_cache = cfg->np_cache;
    out->page_selective = true;
    out->snoop = true;
    out->inv_max_lg2 = AMDVI_CMD_PAGES_MAX_LG2;
    out->inv_max_nr = INV_MAX_NR;
    out->nr_dids = PVI_DID_MAX;
    out->hole[0].first = AMDVI_MSI_FIRST;
    out->hole[0].last = AMDVI_MSI_LAST;
    out->hole[1].first = AMDVI_HT_FIRST;
    out->hole[1].last = AMDVI_HT_LAST;
    /* Only a unit that says so lets DMA into the HyperTransport window be translated. */
    out->nr_holes = (efr2 & AMDVI_EFR2_HT_RANGE_IGNORE) != 0 ? 1 : 2;
    return 0;
}
