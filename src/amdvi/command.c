/* SPDX-License-Identifier: MIT */
/* AMD-Vi commands: encoders, and what each vendor-free invalidation becomes (48882 2.4,
 * hwspec 7.2). */
#include <pviommu/amdvi.h>

#include "spec.h"

/* ALL without IASup: an entry and an interrupt table per DeviceID, then every DomainID (hwspec 6.6
 * step 9). */
#define ALL_INTR_FIRST   AMDVI_NR_DEVICES
#define ALL_DOMAIN_FIRST (2u * AMDVI_NR_DEVICES)
#define ALL_COMMANDS     (2u * AMDVI_NR_DEVICES + AMDVI_NR_DOMAINS)

static struct pvi_amdvi_cmd cmd(unsigned op, uint64_t w0, uint64_t w1)
{
    struct pvi_amdvi_cmd c;

    c.w[0] = ((uint64_t)op << AMDVI_CMD_OP_LO) | w0;
    c.w[1] = w1;
    return c;
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_wait(pvi_pa store, uint64_t data)
{
    return cmd(AMDVI_CMD_COMPLETION_WAIT, (store.a & AMDVI_CMD_WAIT_ADDR) | AMDVI_CMD_WAIT_STORE,
               data);
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_fence(pvi_pa store)
{
    struct pvi_amdvi_cmd c = pvi_amdvi_cmd_wait(store, 0);

    c.w[0] |= AMDVI_CMD_WAIT_FLUSH;
    return c;
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_devtab(uint16_t rid)
{
    return cmd(AMDVI_CMD_INV_DEVTAB_ENTRY, rid, 0);
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_intr(uint16_t rid)
{
    return cmd(AMDVI_CMD_INV_INTR_TABLE, rid, 0);
}

/* Second qword for 2^lg2 bytes at iova. */
static uint64_t pages_word(uint64_t iova, unsigned lg2, bool leaf_only)
{
    uint64_t w1 = iova & AMDVI_CMD_PAGES_ADDR;

    if (lg2 > PVI_PAGE_LG2) {
        /* Size 2^(p + 1), p the lowest zero bit from 12 up: bits 12 .. lg2 - 2 set, bit lg2 - 1
         * clear. */
        w1 &= ~AMDVI_MASK(lg2 - 1u, 0u);
        w1 |= AMDVI_MASK(lg2 - 1u, 0u) >> 1 & AMDVI_CMD_PAGES_ADDR;
        w1 |= AMDVI_CMD_PAGES_S;
    }
    return leaf_only ? w1 : w1 | AMDVI_CMD_PAGES_PDE;
}

/* Bits 63:52 are sign extension (hwspec 7.2): what lies beyond has no address of its own. */
static bool pages_beyond(uint64_t iova, unsigned lg2)
{
    return lg2 > AMDVI_CMD_PAGES_MAX_LG2 || iova >> AMDVI_CMD_PAGES_MAX_LG2 != 0;
}

static uint64_t pages_id(uint16_t did, uint32_t pasid)
{
    return (uint64_t)did << AMDVI_CMD_PAGES_DOMAIN_LO | (pasid & AMDVI_CMD_PAGES_PASID);
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_pages(uint16_t did, uint64_t iova, unsigned lg2, bool leaf_only)
{
    if (pages_beyond(iova, lg2)) {
        return pvi_amdvi_cmd_domain(did);
    }
    return cmd(AMDVI_CMD_INV_IOMMU_PAGES, pages_id(did, 0), pages_word(iova, lg2, leaf_only));
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_domain(uint16_t did)
{
    return cmd(AMDVI_CMD_INV_IOMMU_PAGES, pages_id(did, 0),
               AMDVI_CMD_PAGES_ALL | AMDVI_CMD_PAGES_S | AMDVI_CMD_PAGES_PDE);
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_guest_pages(uint16_t did, uint32_t pasid, uint64_t iova,
                                               unsigned lg2, bool leaf_only)
{
    if (pages_beyond(iova, lg2)) {
        return pvi_amdvi_cmd_guest_all(did, pasid);
    }
    return cmd(AMDVI_CMD_INV_IOMMU_PAGES, pages_id(did, pasid),
               pages_word(iova, lg2, leaf_only) | AMDVI_CMD_PAGES_GN);
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_guest_all(uint16_t did, uint32_t pasid)
{
    return cmd(AMDVI_CMD_INV_IOMMU_PAGES, pages_id(did, pasid),
               AMDVI_CMD_PAGES_ALL | AMDVI_CMD_PAGES_S | AMDVI_CMD_PAGES_PDE | AMDVI_CMD_PAGES_GN);
}

struct pvi_amdvi_cmd pvi_amdvi_cmd_all(void)
{
    return cmd(AMDVI_CMD_INV_IOMMU_ALL, 0, 0);
}

uint32_t pvi_amdvi_inv_nr(const struct pvi_inv *inv, uint64_t efr)
{
    switch (inv->kind) {
    case PVI_INV_WBUF:
        return 0; /* stores reach an AMD unit without help */
    case PVI_INV_PASID:
    case PVI_INV_ALL:
        return (efr & AMDVI_EFR_IA_SUP) != 0 ? 1u : ALL_COMMANDS;
    default:
        return 1;
    }
}

struct pvi_amdvi_cmd pvi_amdvi_inv_cmd(const struct pvi_inv *inv, uint64_t efr, uint32_t i)
{
    switch (inv->kind) {
    case PVI_INV_PAGES:
        return pvi_amdvi_cmd_pages(inv->did, inv->iova, inv->lg2, inv->leaf_only);
    case PVI_INV_GUEST:
        return pvi_amdvi_cmd_guest_pages(inv->did, inv->pasid, inv->iova, inv->lg2, inv->leaf_only);
    case PVI_INV_DOMAIN:
        /*
         * Of a nested entry's id this must drop what v1 and v2 tables gave together, for every
         * PASID. That all pages with GN=0 do so is what one source relies on when a v1 table below
         * nested entries changes; the manual's text that we have does not confirm it (hwspec 7.2).
         */
        return pvi_amdvi_cmd_domain(inv->did);
    case PVI_INV_DEVICE:
        return pvi_amdvi_cmd_devtab(inv->rid);
    default:
        /* ALL. PASID too: the library gives no PASID an entry on an AMD unit (pasid_bits is 0), so
         * nobody asks for it, and whatever was meant, all of the unit is not too little. */
        break;
    }
    if ((efr & AMDVI_EFR_IA_SUP) != 0) {
        return pvi_amdvi_cmd_all();
    }
    /* Entries before domains: a page that is cached anew must come from the new entry. */
    if (i < ALL_INTR_FIRST) {
        return pvi_amdvi_cmd_devtab((uint16_t)i);
    }
    if (i < ALL_DOMAIN_FIRST) {
        return pvi_amdvi_cmd_intr((uint16_t)(i - ALL_INTR_FIRST));
    }
    return pvi_amdvi_cmd_domain((uint16_t)(i - ALL_DOMAIN_FIRST));
}

bool pvi_amdvi_inv_fence(const struct pvi_inv *inv, uint64_t efr, uint32_t i)
{
    if ((inv->kind == PVI_INV_ALL || inv->kind == PVI_INV_PASID) && (efr & AMDVI_EFR_IA_SUP) == 0) {
        return i + 1 == ALL_DOMAIN_FIRST;
    }
    return inv->kind == PVI_INV_DEVICE;
}
