/* SPDX-License-Identifier: MIT */
/* AMD-Vi units as Xen drives them: entries of requester ids, invalidation. */
#include "shim.h"
#include "compat.h"

#include <xen/pviommu.h>

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
    return (uint16_t)e[1];
}

static uint16_t cf_check amd_hw_did(const struct shim_unit *u, uint16_t did)
{
    return did;
}

static uint64_t efr_of(const struct shim_unit *u)
{
    return hw_of(u)->features.raw;
}

/* A fence is a wait here: Xen has no command for less. */
static int cf_check amd_invalidate(const struct shim_unit *u,
                                   const struct pvi_inv *inv, uint16_t did)
{
    struct pvi_inv what = *inv;
    uint32_t i, nr;

    what.did = did;
    nr = pvi_amdvi_inv_nr(&what, efr_of(u));
    for ( i = 0; i < nr; i++ )
    {
        struct pvi_amdvi_cmd c = pvi_amdvi_inv_cmd(&what, efr_of(u), i);
        const uint32_t cmd[4] = {
            (uint32_t)c.w[0], (uint32_t)(c.w[0] >> 32),
            (uint32_t)c.w[1], (uint32_t)(c.w[1] >> 32)
        };

        pviommu_amd_command(hw_of(u), cmd);
        if ( pvi_amdvi_inv_fence(&what, efr_of(u), i) )
            pviommu_amd_wait(hw_of(u));
    }

    return 0;
}

static void cf_check amd_wait(const struct shim_unit *u)
{
    pviommu_amd_wait(hw_of(u));
}

static const struct shim_vendor amd_vendor = {
    .read = amd_read,
    .write = amd_write,
    .encode = amd_encode,
    .did = amd_did,
    .hw_did = amd_hw_did,
    .invalidate = amd_invalidate,
    .wait = amd_wait,
};

struct shim_unit *shim_amd_unit_of(const struct pci_dev *pdev)
{
    return shim_unit_by_hw(shim_amd_iommu_of(pdev));
}

uint16_t shim_amd_rid(const struct pci_dev *pdev, unsigned int devfn)
{
    return (uint16_t)get_dma_requestor_id(pdev->seg, PCI_BDF(pdev->bus, devfn));
}

static int unit_make(struct amd_iommu *iommu)
{
    struct shim_unit *u = xzalloc(struct shim_unit);
    struct pvi_amdvi_cfg cfg = {
        .iova_bits = 48,
        .np_cache = iommu->cap.header & AMD_CAP_NP_CACHE,
        /* Modes that all of Xen's units have, but no less than its own tables. */
        .levels_mask = (uint8_t)(((2U << amd_iommu_max_paging_mode) - 1) &
                                 ~((1U << amd_iommu_min_paging_mode) - 1) & ~7U),
    };
    int rc;

    if ( !u )
        return -ENOMEM;

    u->vendor = &amd_vendor;
    u->hw = iommu;
    rc = pvi_amdvi_caps(iommu->features.raw, 0, &cfg, &u->unit.caps);
    if ( rc )
    {
        xfree(u);
        return -EOPNOTSUPP;
    }
    u->unit.caps.shares = true; /* Xen's own table of a domain, as it is */

    return shim_unit_add(u, iommu->domid_map);
}

int shim_amd_units(void)
{
    struct amd_iommu *iommu;
    int rc = 0;

    for_each_amd_iommu ( iommu )
    {
        rc = shim_unit_by_hw(iommu) ? 0 : unit_make(iommu);
        if ( rc )
            break;
    }

    return rc;
}
