/* SPDX-License-Identifier: MIT */
/*
 * What the capability registers say, in the core's terms. VT-d 10.4 / 11.4.2; hwspec 1.2, 1.3.
 */

#include <pviommu/pgtable.h>
#include <pviommu/vtd.h>

#include "spec.h"

/*
 * Page-selective invalidations that cost about as much as one of the domain and the misses after
 * it. A judgement, not a fact of the hardware: a host that has measured may change it in
 * u->unit.caps.
 */
#define INV_MAX_NR 32u

/* From the bit of SAGAW to the bit of levels_mask: bit 1 stands for 3 levels. */
#define SAGAW_SHIFT 2u

int pvi_vtd_caps(uint64_t cap, uint64_t ecap, unsigned haw_bits, unsigned quirks,
                 struct pvi_unit_caps *out)
{
    unsigned sagaw = VTD_CAP_SAGAW(cap) & (VTD_SAGAW_3LEVEL | VTD_SAGAW_4LEVEL | VTD_SAGAW_5LEVEL);
    unsigned widest = sagaw & VTD_SAGAW_5LEVEL ? 57 : sagaw & VTD_SAGAW_4LEVEL ? 48 : 39;
    uint32_t dids;

    if (cap == ~(uint64_t)0 || ecap == ~(uint64_t)0) {
        return -PVI_EHW;
    }
    if (haw_bits <= PVI_PAGE_LG2 || haw_bits > 64) {
        return -PVI_EINVAL;
    }
    if (!(ecap & VTD_ECAP_QI) || !sagaw || VTD_CAP_ND(cap) > VTD_CAP_ND_MAX) {
        return -PVI_EOPNOTSUPP;
    }
    dids = (uint32_t)1 << (4 + 2 * VTD_CAP_ND(cap));
    memset(out, 0, sizeof(*out));
    out->format = &pvi_vtd_ss_ops;
    out->page_sizes = VTD_BIT(PVI_PAGE_LG2);
    if (!(quirks & PVI_VTD_QUIRK_SMALL_PAGES)) {
        out->page_sizes |= cap & VTD_CAP_SSLPS_2M ? VTD_BIT(21) : 0;
        out->page_sizes |= cap & VTD_CAP_SSLPS_1G ? VTD_BIT(30) : 0;
    }
    out->levels_mask = (uint8_t)(sagaw << SAGAW_SHIFT);
    out->iova_bits = (uint8_t)(VTD_CAP_MGAW(cap) < widest ? VTD_CAP_MGAW(cap) : widest);
    out->pa_bits = (uint8_t)(haw_bits < 52 ? haw_bits : 52);
    out->coherent = (ecap & VTD_ECAP_C) != 0;
    out->np_cache = (cap & VTD_CAP_CM) != 0;
    out->write_buffer = (cap & VTD_CAP_RWBF) || (quirks & PVI_VTD_QUIRK_WBUF);
    out->page_selective = (cap & VTD_CAP_PSI) != 0;
    out->snoop = (ecap & VTD_ECAP_SC) != 0;
    out->shares = true;
    if (out->page_selective) {
        out->inv_max_lg2 = (uint8_t)(PVI_PAGE_LG2 + VTD_CAP_MAMV(cap));
        if (out->inv_max_lg2 > 63) {
            out->inv_max_lg2 = 63;
        }
    }
    out->inv_max_nr = INV_MAX_NR;
    out->nr_dids = dids < PVI_DID_MAX ? dids : PVI_DID_MAX;
    out->nr_holes = 1;
    out->hole[0].first = VTD_MSI_FIRST;
    out->hole[0].last = VTD_MSI_LAST;
    return 0;
}

uint64_t pvi_vtd_reg_size(uint64_t cap)
{
    uint64_t end = VTD_CAP_FRO(cap) + (uint64_t)VTD_CAP_NFR(cap) * VTD_FRCD_SIZE;

    return (end + PVI_PAGE_MASK) & ~(uint64_t)PVI_PAGE_MASK;
}
