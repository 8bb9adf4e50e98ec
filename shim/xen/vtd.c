/* SPDX-License-Identifier: MIT */
/* VT-d units as Xen drives them: entries of requester ids, invalidation. */
#include "shim.h"
#include "compat.h"

#include "../../../vtd/iommu.h"
#include "../../../vtd/dmar.h"
#include "../../../vtd/extern.h"

#include <pviommu/vtd.h>

static struct vtd_iommu *hw_of(const struct shim_unit *u)
{
    return u->hw;
}

/* The context entry of a requester id, mapped; NULL: its bus has no table. */
static uint64_t *entry_map(const struct vtd_iommu *iommu, uint16_t rid)
{
    const struct root_entry *root = map_vtd_domain_page(iommu->root_maddr);
    paddr_t table = root_present(root[PCI_BUS(rid)])
                    ? get_context_addr(root[PCI_BUS(rid)]) : 0;

    unmap_vtd_domain_page(root);
    if ( !table )
        return NULL;

    return (uint64_t *)map_vtd_domain_page(table) + 2 * PCI_DEVFN(rid);
}

static bool cf_check vtd_read(const struct shim_unit *u, uint16_t rid,
                              uint64_t e[2])
{
    const uint64_t *entry = entry_map(hw_of(u), rid);

    if ( !entry )
        return false;
    e[0] = entry[0];
    e[1] = entry[1];
    unmap_vtd_domain_page(entry);

    return e[0] & 1;
}

/* Under the lock that Xen's own changes of entries are made under. */
static bool cf_check vtd_write(const struct shim_unit *u, uint16_t rid,
                               const uint64_t old[2], const uint64_t e[2])
{
    struct vtd_iommu *iommu = hw_of(u);
    uint64_t *entry;
    bool done = false;

    spin_lock(&iommu->lock);
    entry = entry_map(iommu, rid);
    if ( entry )
    {
        done = pvi_env_cmpxchg128(NULL, entry, old, e);
        if ( done )
            iommu_sync_cache(entry, 16);
        unmap_vtd_domain_page(entry);
    }
    spin_unlock(&iommu->lock);

    return done;
}

static void cf_check vtd_encode(const struct shim_unit *u,
                                const struct pvi_dev_entry *to, uint16_t did,
                                const uint64_t old[2], uint64_t e[2])
{
    struct pvi_vtd_context c = {
        .present = true,
        .tt = PVI_VTD_TT_SECOND_STAGE,
        .levels = to->levels,
        .did = did,
        .root = to->root,
    };
    struct pvi_vtd_entry entry = pvi_vtd_context_encode(&c);

    e[0] = entry.lo;
    e[1] = entry.hi;
}

static uint16_t cf_check vtd_did(const uint64_t e[2])
{
    return (uint16_t)(e[1] >> 8);
}

/* In caching mode id 0 is the hardware's: Xen turns all ids round. */
static uint16_t cf_check vtd_hw_did(const struct shim_unit *u, uint16_t did)
{
    return cap_caching_mode(hw_of(u)->cap) ? (uint16_t)~did : did;
}

/* Positive: a write buffer has to be flushed, which the register's commands do by themselves where they are sent. */
static int cf_check vtd_invalidate(const struct shim_unit *u,
                                   const struct pvi_inv *inv, uint16_t did)
{
    struct vtd_iommu *iommu = hw_of(u);
    int rc;

    switch ( inv->kind )
    {
    case PVI_INV_DEVICE:
        rc = iommu->flush.context(iommu, did, inv->rid, 0,
                                  DMA_CCMD_DEVICE_INVL, false);
        break;

    case PVI_INV_PAGES:
        rc = shim_flush_iotlb(iommu, did, inv->iova, inv->lg2 - PAGE_SHIFT,
                              DMA_TLB_PSI_FLUSH);
        break;

    default:
        rc = shim_flush_iotlb(iommu, did, 0, 0, DMA_TLB_DSI_FLUSH);
        break;
    }

    return rc < 0 ? rc : 0;
}

static const struct shim_vendor vtd_vendor = {
    .read = vtd_read,
    .write = vtd_write,
    .encode = vtd_encode,
    .did = vtd_did,
    .hw_did = vtd_hw_did,
    .invalidate = vtd_invalidate,
};

struct shim_unit *shim_vtd_unit_of(const struct pci_dev *pdev)
{
    const struct acpi_drhd_unit *drhd = acpi_find_matched_drhd_unit(pdev);

    return drhd ? shim_unit_by_hw(drhd->iommu) : NULL;
}

static int unit_make(struct vtd_iommu *iommu)
{
    struct shim_unit *u = xzalloc(struct shim_unit);
    int rc;

    if ( !u )
        return -ENOMEM;

    u->vendor = &vtd_vendor;
    u->hw = iommu;
    rc = pvi_vtd_caps(iommu->cap, iommu->ecap, paddr_bits, 0, &u->unit.caps);
    if ( !rc && cap_ndoms(iommu->cap) <= UINT16_MAX )
        rc = -PVI_EOPNOTSUPP; /* Xen's own ids already have to share what there is */
    if ( rc )
    {
        xfree(u);
        return -EOPNOTSUPP;
    }
    u->unit.caps.levels_mask = 1U << iommu->nr_pt_levels;
    u->unit.caps.shares = true; /* Xen's own table of a domain, as it is */

    return shim_unit_add(u, iommu->pseudo_domid_map);
}

int shim_vtd_units(void)
{
    const struct acpi_drhd_unit *drhd;
    int rc = 0;

    for_each_drhd_unit ( drhd )
    {
        rc = shim_unit_by_hw(drhd->iommu) ? 0 : unit_make(drhd->iommu);
        if ( rc )
            break;
    }

    return rc;
}
