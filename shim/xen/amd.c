/* SPDX-License-Identifier: MIT */
/* AMD-Vi units as Xen drives them: entries of requester ids, invalidation. */
#include "shim.h"
#include "compat.h"

#include "../../../amd/iommu.h"

#include <pviommu/amdvi.h>

#define DTE_QWORDS 4u
#define AMD_CAP_NP_CACHE (1U << 26) /* hwspec 6.1: header of the PCI capability */

static struct amd_iommu *hw_of(const struct shim_unit *u)
{
    return u->hw;
}

static uint64_t *entry_of(const struct shim_unit *u, uint16_t rid)
{
    return (uint64_t *)hw_of(u)->dev_table.buffer + rid * DTE_QWORDS;
}

static bool cf_check amd_read(const struct shim_unit *u, uint16_t rid,
                              uint64_t e[2])
{
    const uint64_t *entry = entry_of(u, rid);

    e[0] = read_atomic(&entry[0]);
    e[1] = read_atomic(&entry[1]);

    return (e[0] & 3) == 3;
}

static bool cf_check amd_write(const struct shim_unit *u, uint16_t rid,
                               const uint64_t old[2], const uint64_t e[2])
{
    struct amd_iommu *iommu = hw_of(u);
    unsigned long flags;
    bool done;

    spin_lock_irqsave(&iommu->lock, flags);
    done = pvi_env_cmpxchg128(NULL, entry_of(u, rid), old, e);
    spin_unlock_irqrestore(&iommu->lock, flags);

    return done;
}

static void cf_check amd_encode(const struct shim_unit *u,
                                const struct pvi_dev_entry *to, uint16_t did,
                                const uint64_t old[2], uint64_t e[2])
{
    struct pvi_dev_entry entry = *to;

    entry.did = did;
    pvi_amdvi_dte_switch(old, &entry, e);
}

static uint16_t cf_check amd_did(const uint64_t e[2])
{
    return e[1];
}

static uint16_t cf_check amd_hw_did(const struct shim_unit *u, uint16_t did)
{
    return did;
}

/*
 * What Xen exports for a device flushes its entry, and all pages of an id: for pages alone that is more than is asked for, never less.
 */
static int cf_check amd_invalidate(const struct shim_unit *u,
                                   const struct pvi_inv *inv, uint16_t did)
{
    if ( inv->kind != PVI_INV_WBUF )
        amd_iommu_flush_device(hw_of(u), inv->rid, did);

    return 0;
}

static const struct shim_vendor amd_vendor = {
    .read = amd_read,
    .write = amd_write,
    .encode = amd_encode,
    .did = amd_did,
    .hw_did = amd_hw_did,
    .invalidate = amd_invalidate,
};

struct shim_unit *shim_amd_unit_of(const struct pci_dev *pdev)
{
    return shim_unit_by_hw(shim_amd_iommu_of(pdev));
}

unsigned int shim_amd_rid(const struct pci_dev *pdev, unsigned int devfn)
{
    return get_dma_requestor_id(pdev->seg, PCI_BDF(pdev->bus, devfn));
}

static int unit_make(struct amd_iommu *iommu)
{
    struct shim_unit *u = xzalloc(struct shim_unit);
    struct pvi_unit_caps *caps;

    if ( !u )
        return -ENOMEM;

    u->vendor = &amd_vendor;
    u->hw = iommu;
    caps = &u->unit.caps;
    caps->format = &pvi_amdvi_v1_ops;
    caps->page_sizes = pvi_amdvi_v1_ops.page_sizes;
    caps->levels_mask = ((2U << amd_iommu_max_paging_mode) - 1) &
                        ~((1U << amd_iommu_min_paging_mode) - 1) & ~3U;
    caps->iova_bits = 48;
    caps->pa_bits = 52;
    caps->coherent = true;
    caps->np_cache = iommu->cap.header & AMD_CAP_NP_CACHE;
    caps->page_selective = true;
    caps->snoop = true;
    caps->shares = true; /* Xen's own table of a domain, as it is */
    caps->inv_max_lg2 = 51;
    caps->inv_max_nr = 1; /* each drops all pages of the id */
    caps->nr_dids = PVI_DID_MAX;
    /* hwspec 6.11: MSI, HyperTransport */
    caps->hole[0] = (struct pvi_range){ 0xfee00000UL, 0xfeefffffUL };
    caps->hole[1] = (struct pvi_range){ 0xfd00000000UL, 0xffffffffffUL };
    caps->nr_holes = 2;

    return shim_unit_add(u, iommu->domid_map);
}

int shim_amd_units(void)
{
    struct amd_iommu *iommu;
    int rc = 0;

    for_each_amd_iommu ( iommu )
    {
        rc = unit_make(iommu);
        if ( rc )
            break;
    }

    return rc;
}
