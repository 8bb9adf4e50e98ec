/* SPDX-License-Identifier: MIT */
/*
 * 128-bit invalidation descriptors, and the translation of the core's struct pvi_inv into them.
 * VT-d 6.5.2, 6.5.3.3; hwspec 4.1, 4.2.
 */
#include <pviommu/vtd.h>

#include "spec.h"

static struct pvi_vtd_desc desc(uint64_t w0, uint64_t w1)
{
    struct pvi_vtd_desc d;

    d.w[0] = w0;
    d.w[1] = w1;
    return d;
}

static uint64_t did_field(uint16_t did)
{
    return (uint64_t)did << VTD_DESC_DID_LG2;
}

/*
 * A drained invalidation completes only after DMA that used the old translation is done: without it
 * a page could be given away under a write in flight. The bits are reserved on units that cannot
 * (hwspec 4.1).
 */
static uint64_t drain(uint64_t cap)
{
    uint64_t bits = 0;

    if (cap & VTD_CAP_DWD) {
        bits |= VTD_IOTLB_DW;
    }
    if (cap & VTD_CAP_DRD) {
        bits |= VTD_IOTLB_DR;
    }
    return bits;
}

struct pvi_vtd_desc pvi_vtd_desc_context_global(void)
{
    return desc(VTD_DESC_CONTEXT | VTD_DESC_GLOBAL, 0);
}

struct pvi_vtd_desc pvi_vtd_desc_context_domain(uint16_t did)
{
    return desc(VTD_DESC_CONTEXT | VTD_DESC_DOMAIN | did_field(did), 0);
}

struct pvi_vtd_desc pvi_vtd_desc_context_device(uint16_t did, uint16_t rid)
{
    return desc(VTD_DESC_CONTEXT | VTD_DESC_NARROW | did_field(did) |
                    (uint64_t)rid << VTD_CONTEXT_SID_LG2,
                0);
}

struct pvi_vtd_desc pvi_vtd_desc_iotlb_global(uint64_t cap)
{
    return desc(VTD_DESC_IOTLB | VTD_DESC_GLOBAL | drain(cap), 0);
}

struct pvi_vtd_desc pvi_vtd_desc_iotlb_domain(uint64_t cap, uint16_t did)
{
    return desc(VTD_DESC_IOTLB | VTD_DESC_DOMAIN | drain(cap) | did_field(did), 0);
}

struct pvi_vtd_desc pvi_vtd_desc_iotlb_pages(uint64_t cap, uint16_t did, uint64_t iova, unsigned am,
                                             bool leaf_only)
{
    return desc(VTD_DESC_IOTLB | VTD_DESC_NARROW | drain(cap) | did_field(did),
                (iova & ~(uint64_t)PVI_PAGE_MASK) | (leaf_only ? VTD_IOTLB_IH : 0) | am);
}

struct pvi_vtd_desc pvi_vtd_desc_wait(unsigned flags, uint32_t data, pvi_pa pa)
{
    struct pvi_vtd_desc d = desc(VTD_DESC_WAIT, 0);

    if (flags & PVI_VTD_WAIT_STATUS) {
        d.w[0] |= VTD_WAIT_SW | (uint64_t)data << VTD_WAIT_DATA_LG2;
        d.w[1] = pa.a & VTD_WAIT_ADDR;
    }
    if (flags & PVI_VTD_WAIT_FENCE) {
        d.w[0] |= VTD_WAIT_FN;
    }
    return d;
}

/* Scalable mode -------------------------------------------------------------------------------- */

static uint64_t pasid_field(uint32_t pasid)
{
    return (pasid & VTD_DESC_PASID_MASK) << VTD_DESC_PASID_LG2;
}

struct pvi_vtd_desc pvi_vtd_desc_pasid_global(void)
{
    return desc(VTD_DESC_PASID | VTD_PASID_GLOBAL, 0);
}

struct pvi_vtd_desc pvi_vtd_desc_pasid_domain(uint16_t did)
{
    return desc(VTD_DESC_PASID | VTD_PASID_DOMAIN | did_field(did), 0);
}

struct pvi_vtd_desc pvi_vtd_desc_pasid_one(uint16_t did, uint32_t pasid)
{
    return desc(VTD_DESC_PASID | VTD_PASID_ONE | did_field(did) | pasid_field(pasid), 0);
}

struct pvi_vtd_desc pvi_vtd_desc_piotlb_all(uint16_t did, uint32_t pasid)
{
    return desc(VTD_DESC_PIOTLB | VTD_PIOTLB_ALL | did_field(did) | pasid_field(pasid), 0);
}

struct pvi_vtd_desc pvi_vtd_desc_piotlb_pages(uint16_t did, uint32_t pasid, uint64_t iova,
                                              unsigned am, bool leaf_only)
{
    return desc(VTD_DESC_PIOTLB | VTD_PIOTLB_PAGES | did_field(did) | pasid_field(pasid),
                (iova & ~(uint64_t)PVI_PAGE_MASK) | (leaf_only ? VTD_IOTLB_IH : 0) | am);
}

struct pvi_vtd_desc pvi_vtd_desc_devtlb_pasid(const struct pvi_vtd_devtlb *dev, uint32_t pasid,
                                              uint64_t iova, unsigned lg2)
{
    uint64_t w0, w1 = iova & ~(uint64_t)PVI_PAGE_MASK;

    w0 = VTD_DESC_PDEVTLB | pasid_field(pasid) | (uint64_t)dev->rid << VTD_PDEVTLB_SID_LG2 |
         (uint64_t)(dev->pf & 0xfu) << VTD_PDEVTLB_PF_LO |
         (uint64_t)(dev->pf >> 4) << VTD_PDEVTLB_PF_HI;
    if (dev->depth <= VTD_PDEVTLB_MIP) {
        w0 |= (uint64_t)dev->depth << VTD_PDEVTLB_MIP_LG2;
    }
    if (lg2 > 63) {
        w1 = ~VTD_BIT(63) & ~(uint64_t)PVI_PAGE_MASK;
    } else if (lg2 > PVI_PAGE_LG2) {
        /* 2^(p + 1) bytes, p the lowest zero from bit 12 up: below bit lg2 - 1 all are set. */
        w1 = (w1 & ~(VTD_BIT(lg2) - 1)) | ((VTD_BIT(lg2 - 1) - 1) & ~(uint64_t)PVI_PAGE_MASK);
    }
    return desc(w0, lg2 > PVI_PAGE_LG2 ? w1 | VTD_PDEVTLB_S : w1);
}

bool pvi_vtd_desc_needs_fence(const struct pvi_vtd_desc *d)
{
    uint64_t type = d->w[0] & VTD_DESC_TYPE;

    return type == VTD_DESC_CONTEXT || type == VTD_DESC_PASID;
}

/*
 * Can the unit name exactly these pages? What AM means for an address that is not aligned to it is
 * not certain (hwspec 13 item 9).
 */
static bool exact(uint64_t cap, const struct pvi_inv *inv)
{
    return (cap & VTD_CAP_PSI) && inv->lg2 >= PVI_PAGE_LG2 && inv->lg2 <= 63 &&
           inv->lg2 - PVI_PAGE_LG2 <= VTD_CAP_MAMV(cap) && !(inv->iova & (VTD_BIT(inv->lg2) - 1));
}

static struct pvi_vtd_desc encode_pages(uint64_t cap, const struct pvi_inv *inv)
{
    if (!exact(cap, inv)) {
        return pvi_vtd_desc_iotlb_domain(cap, inv->did);
    }
    return pvi_vtd_desc_iotlb_pages(cap, inv->did, inv->iova, inv->lg2 - PVI_PAGE_LG2,
                                    inv->leaf_only);
}

static struct pvi_vtd_desc encode_guest(uint64_t cap, const struct pvi_inv *inv)
{
    if (!exact(cap, inv)) {
        return pvi_vtd_desc_piotlb_all(inv->did, inv->pasid);
    }
    return pvi_vtd_desc_piotlb_pages(inv->did, inv->pasid, inv->iova, inv->lg2 - PVI_PAGE_LG2,
                                     inv->leaf_only);
}

unsigned pvi_vtd_encode_inv(uint64_t cap, const struct pvi_inv *inv,
                            struct pvi_vtd_desc out[PVI_VTD_INV_DESCS])
{
    switch (inv->kind) {
    case PVI_INV_PAGES:
        out[0] = encode_pages(cap, inv);
        return 1;
    case PVI_INV_DOMAIN:
        out[0] = pvi_vtd_desc_iotlb_domain(cap, inv->did);
        return 1;
    case PVI_INV_DEVICE:
        /*
         * The cached entry is tagged with the id that it holds; a cached absence is tagged with 0
         * (hwspec 2.2, 4.2). With the new id hardware might find nothing to drop.
         */
        out[0] = pvi_vtd_desc_context_device(inv->was_absent ? 0 : inv->did, inv->rid);
        return 1;
    case PVI_INV_WBUF:
        return 0;
    default:
        /*
         * Context first: an IOTLB fill after it cannot use an old context entry any more (hwspec
         * 9.3).
         */
        out[0] = pvi_vtd_desc_context_global();
        out[1] = pvi_vtd_desc_iotlb_global(cap);
        return 2;
    }
}

/*
 * A context entry leads to PASID entries of any id, so with it goes all that the PASID cache holds:
 * moves are rare. In caching mode what met an absent entry was cached under id 0 (hwspec 4.2).
 */
static unsigned encode_sm_device(uint64_t cap, const struct pvi_inv *inv, struct pvi_vtd_desc *out)
{
    out[0] = pvi_vtd_desc_context_device(inv->was_absent ? 0 : inv->did, inv->rid);
    out[1] = pvi_vtd_desc_pasid_global();
    if (!inv->was_absent || !(cap & VTD_CAP_CM)) {
        return 2;
    }
    out[2] = pvi_vtd_desc_iotlb_domain(cap, 0);
    return 3;
}

/* As above; what the entry's own id still tags is of a time before it had that id. */
static unsigned encode_sm_pasid(uint64_t cap, const struct pvi_inv *inv, struct pvi_vtd_desc *out)
{
    out[0] = pvi_vtd_desc_pasid_one(inv->did, inv->pasid);
    if (!inv->was_absent || !(cap & VTD_CAP_CM)) {
        return 1;
    }
    out[1] = pvi_vtd_desc_pasid_one(0, inv->pasid);
    out[2] = pvi_vtd_desc_piotlb_all(inv->did, inv->pasid);
    return 3;
}

unsigned pvi_vtd_sm_encode_inv(uint64_t cap, const struct pvi_inv *inv,
                               struct pvi_vtd_desc out[PVI_VTD_INV_DESCS])
{
    switch (inv->kind) {
    case PVI_INV_PAGES:
    case PVI_INV_DOMAIN:
    case PVI_INV_WBUF:
        return pvi_vtd_encode_inv(cap, inv, out);
    case PVI_INV_GUEST:
        out[0] = encode_guest(cap, inv);
        return 1;
    case PVI_INV_DEVICE:
        return encode_sm_device(cap, inv, out);
    case PVI_INV_PASID:
        return encode_sm_pasid(cap, inv, out);
    default:
        /* In this order, for the reason given above. */
        out[0] = pvi_vtd_desc_context_global();
        out[1] = pvi_vtd_desc_pasid_global();
        out[2] = pvi_vtd_desc_iotlb_global(cap);
        return 3;
    }
}
