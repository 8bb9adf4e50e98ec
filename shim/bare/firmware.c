/* SPDX-License-Identifier: MIT */
/*
 * From firmware's tables to a running unit, and the memory that devices must always reach: DMAR
 * (hwspec 8.1) and IVRS (hwspec 8.2), through the library's iterators.
 */
#include "host.h"

#include "platform.h"

#define IVMD_OF_UNIT 0x23u /* for every device of one unit: there is only one */

static void expect(int rc, const char *what)
{
    if (rc != 0) {
        bare_print("# %s: %s\n", what, pvi_strerror(rc));
        bare_fatal("no usable unit: run with an intel-iommu or amd-iommu device");
    }
}

/*
 * Is the device an endpoint of the scopes, right on its bus? QEMU's root bus has no bridges to
 * follow.
 */
static int in_scopes(const struct pvi_dmar_item *item, uint16_t rid)
{
    struct pvi_dmar_scope scope;
    uint16_t at = 0;
    int rc;

    while ((rc = pvi_dmar_scope_next(item, &at, &scope)) == 1) {
        if (scope.type == PVI_DMAR_SCOPE_ENDPOINT && scope.hops == 1 && scope.bus == rid >> 8 &&
            (scope.path[0] << 3 | scope.path[1]) == (rid & 0xFF)) {
            return 1;
        }
    }
    return rc;
}

/* The unit of a device: one that names it, or the one for all of the segment, which comes last. */
static int drhd_find(const struct pvi_dmar *t, uint16_t rid, struct pvi_dmar_item *item)
{
    uint32_t at = 0;
    int rc;

    while ((rc = pvi_dmar_next(t, &at, item)) == 1) {
        if (item->type != PVI_DMAR_DRHD || item->segment != 0 || item->base == 0) {
            continue;
        }
        rc = (item->flags & PVI_DMAR_INCLUDE_ALL) != 0 ? 1 : in_scopes(item, rid);
        if (rc != 0) {
            return rc == 1 ? 0 : rc;
        }
    }
    return rc != 0 ? rc : -PVI_ENODEV;
}

static void vtd_find(struct pvi_host *h, uint16_t rid, const void *table, size_t size)
{
    struct pvi_vtd_cfg cfg = {0};
    struct pvi_dmar_item item;
    struct pvi_dmar dmar;

    expect(pvi_dmar_open(&dmar, table, size), "DMAR");
    expect(drhd_find(&dmar, rid, &item), "DRHD");
    cfg.reg_pa = item.base;
    cfg.reg_size = item.size;
    cfg.haw_bits = dmar.haw_bits;
    expect(pvi_vtd_unit_init(&h->vtd, h, &cfg), "VT-d unit");
    expect(pvi_system_add_unit(&h->system, &h->vtd.unit), "system");
    expect(pvi_vtd_unit_enable(&h->vtd), "VT-d unit, bring-up");
    h->unit = &h->vtd.unit;
}

/* Does a device entry name the device, under its own id? */
static int in_ivhd(const struct pvi_ivrs_ivhd *ivhd, uint16_t rid)
{
    struct pvi_ivrs_dev dev;
    uint32_t at = 0;
    int rc;

    while ((rc = pvi_ivrs_dev_next(ivhd, &at, &dev)) == 1) {
        if (dev.kind == PVI_IVRS_DEV_RANGE && dev.first <= rid && rid <= dev.last) {
            return 1;
        }
    }
    return rc;
}

static int ivhd_find(const struct pvi_ivrs *t, uint16_t rid, struct pvi_ivrs_block *block)
{
    uint32_t at = 0;
    int rc;

    while ((rc = pvi_ivrs_next(t, &at, block)) == 1) {
        if (!block->is_ivhd || block->ivhd.segment != 0 || !pvi_ivrs_preferred(t, &block->ivhd)) {
            continue;
        }
        rc = in_ivhd(&block->ivhd, rid);
        if (rc != 0) {
            return rc == 1 ? 0 : rc;
        }
    }
    return rc != 0 ? rc : -PVI_ENODEV;
}

static void amdvi_find(struct pvi_host *h, uint16_t rid, const void *table, size_t size)
{
    struct pvi_amdvi_cfg cfg = {0};
    struct pvi_ivrs_block block;
    struct pvi_ivrs ivrs;

    expect(pvi_ivrs_open(&ivrs, table, size), "IVRS");
    expect(ivhd_find(&ivrs, rid, &block), "IVHD");
    pvi_amdvi_cfg_from_ivhd(&cfg, &ivrs, &block.ivhd,
                            bare_pci_read(block.ivhd.rid, block.ivhd.cap_offset));
    expect(pvi_amdvi_unit_init(&h->amdvi, h, &cfg), "AMD-Vi unit");
    expect(pvi_system_add_unit(&h->system, &h->amdvi.unit), "system");
    expect(pvi_amdvi_unit_enable(&h->amdvi), "AMD-Vi unit, bring-up");
    h->unit = &h->amdvi.unit;
}

void bare_unit_find(struct pvi_host *h, uint16_t rid)
{
    size_t size = 0;
    const void *table = bare_acpi_table("DMAR", &size);

    if (table) {
        vtd_find(h, rid, table, size);
        return;
    }
    table = bare_acpi_table("IVRS", &size);
    expect(table ? 0 : -PVI_ENOIOMMU, "DMAR, IVRS");
    amdvi_find(h, rid, table, size);
}

/* Reserved regions ----------------------------------------------------------------------------- */

static int region_add(struct pvi_device *dev, uint64_t first, uint64_t last, uint8_t prot)
{
    struct pvi_region *r = &dev->region[dev->nr_regions];

    if (dev->nr_regions == PVI_MAX_DEV_REGIONS) {
        return -PVI_EFORMAT; /* a region left out would be memory that the device cannot reach */
    }
    r->first = first;
    r->last = last;
    r->prot = prot;
    dev->nr_regions++;
    return 0;
}

static int dmar_regions(const struct pvi_dmar *t, struct pvi_device *dev)
{
    struct pvi_dmar_item item;
    uint32_t at = 0;
    int rc;

    while ((rc = pvi_dmar_next(t, &at, &item)) == 1) {
        if (item.type != PVI_DMAR_RMRR || item.segment != dev->sbdf.v >> 16) {
            continue;
        }
        rc = in_scopes(&item, dev->rid[0]);
        if (rc == 1) {
            rc = region_add(dev, item.base, item.last, PVI_RW);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

static int ivrs_regions(const struct pvi_ivrs *t, struct pvi_device *dev)
{
    struct pvi_ivrs_block block;
    uint32_t at = 0;
    int rc;

    while ((rc = pvi_ivrs_next(t, &at, &block)) == 1) {
        const struct pvi_ivrs_ivmd *m = &block.ivmd;
        bool mine = m->type == IVMD_OF_UNIT || (m->first <= dev->rid[0] && dev->rid[0] <= m->last);

        if (!block.is_ivhd && m->unity && m->len != 0 && m->segment == dev->sbdf.v >> 16 && mine) {
            rc = region_add(dev, m->base, m->base + m->len - 1, m->prot);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return rc;
}

int bare_regions_find(const void *table, size_t size, struct pvi_device *dev)
{
    struct pvi_dmar dmar;
    struct pvi_ivrs ivrs;

    if (pvi_dmar_open(&dmar, table, size) == 0) {
        return dmar_regions(&dmar, dev);
    }
    if (pvi_ivrs_open(&ivrs, table, size) == 0) {
        return ivrs_regions(&ivrs, dev);
    }
    return -PVI_EFORMAT;
}
