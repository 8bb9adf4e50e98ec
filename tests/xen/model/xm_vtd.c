/* SPDX-License-Identifier: MIT */
/* Two VT-d units (hwspec 1 to 3), as Xen has brought them up: the first does not snoop, the second is in caching mode. */
#include "xm_int.h"

#include "../standin/vtd/dmar.h"
#include "../standin/vtd/extern.h"
#include "../standin/vtd/iommu.h"

#define BUSES 4u

static struct vtd_iommu iommus[XM_UNITS];
static struct acpi_drhd_unit drhds[XM_UNITS];
static unsigned long id_map[XM_UNITS];
static spinlock_t registers[XM_UNITS];
static unsigned long context[XM_UNITS][BUSES]; /* frames of the tables */
struct acpi_drhd_unit *acpi_drhd_units;

static unsigned int unit_of(const struct vtd_iommu *iommu)
{
    return (unsigned int)(iommu - iommus);
}

/* 0: go on; 1: absence is not cached, there is nothing to flush; else the flush fails. */
static int flush_begins(const struct vtd_iommu *iommu, bool absent)
{
    if (absent && !cap_caching_mode(iommu->cap)) {
        return 1;
    }
    return xm_flush_now_fails() ? -110 : 0;
}

static int flush_context(struct vtd_iommu *iommu, uint16_t did, uint16_t rid, uint8_t mask, uint64_t type, bool absent)
{
    struct hwm *h = xm_units[unit_of(iommu)].h;
    unsigned long flags;
    int rc;

    XM_CHECK(type == DMA_CCMD_DEVICE_INVL, "context invalidation %#lx", type);
    rc = flush_begins(iommu, absent);
    if (rc != 0) {
        return rc;
    }
    spin_lock_irqsave(&registers[unit_of(iommu)], flags);
    xm_in();
    hwm_mmio_write(h, 0x28, 8, 1UL << 63 | type | (uint64_t)mask << 32 | (uint64_t)rid << 16 | (absent ? 0 : did));
    XM_CHECK(!(hwm_mmio_read(h, 0x28, 8) >> 63), "a unit that does not end");
    xm_out();
    spin_unlock_irqrestore(&registers[unit_of(iommu)], flags);
    return 0;
}

static int flush_iotlb(struct vtd_iommu *iommu, uint16_t did, uint64_t addr, unsigned int order, uint64_t type, bool absent)
{
    struct hwm *h = xm_units[unit_of(iommu)].h;
    unsigned int at = (iommu->ecap >> 8 & 0x3ff) * 16;
    unsigned long flags;
    int rc;

    XM_CHECK(type == DMA_TLB_DSI_FLUSH || type == DMA_TLB_PSI_FLUSH, "IOTLB invalidation %#lx", type);
    XM_CHECK(order < 52 && !(addr & ((1UL << (order + PAGE_SHIFT)) - 1)), "page invalidation of %#lx, order %u", addr, order);
    rc = flush_begins(iommu, absent);
    if (rc != 0) {
        return rc;
    }
    spin_lock_irqsave(&registers[unit_of(iommu)], flags);
    xm_in();
    if (type == DMA_TLB_PSI_FLUSH) {
        XM_CHECK(order <= (iommu->cap >> 48 & 0x3f), "page invalidation of order %u", order);
        hwm_mmio_write(h, at, 8, addr | order);
    }
    hwm_mmio_write(h, at + 8, 8, 1UL << 63 | type | 3UL << 48 | (uint64_t)did << 32);
    XM_CHECK(!(hwm_mmio_read(h, at + 8, 8) >> 63), "a unit that does not end");
    xm_out();
    spin_unlock_irqrestore(&registers[unit_of(iommu)], flags);
    return 0;
}

static void unit_boot(unsigned int i)
{
    struct vtd_iommu *iommu = &iommus[i];
    struct hwm_vtd_cfg cfg;
    unsigned long root = xm_xen_frames(1);
    unsigned int bus;
    struct hwm *h;

    hwm_vtd_cfg_default(&cfg);
    cfg.coherent = xm_units[i].snoops;
    cfg.cm = i == 1;
    h = xm_units[i].h = hwm_vtd_new(&cfg, &xm_hwm_mem[i]);
    for (bus = 0; bus < BUSES; bus++) {
        context[i][bus] = xm_xen_frames(1);
        xm_words(root)[2 * bus] = (uint64_t)context[i][bus] << PAGE_SHIFT | 1;
    }
    iommu_sync_cache(xm_words(root), PAGE_SIZE);
    hwm_mmio_write(h, 0x20, 8, (uint64_t)root << PAGE_SHIFT);
    hwm_mmio_write(h, 0x18, 4, 1U << 30);
    spin_lock_init(&registers[i]);
    registers[i].class = "register_lock";
    spin_lock_init(&iommu->lock);
    iommu->lock.class = "iommu->lock";
    iommu->cap = hwm_mmio_read(h, 8, 8);
    if (xm_cfg.few_dids) {
        iommu->cap = (iommu->cap & ~7UL) | 2;
    }
    iommu->ecap = hwm_mmio_read(h, 0x10, 8);
    iommu->root_maddr = (uint64_t)root << PAGE_SHIFT;
    iommu->nr_pt_levels = 4;
    id_map[i] = xm_cfg.ids ? xm_cfg.ids : 0x7fff;
    iommu->pseudo_domid_map = xm_cfg.no_quarantine ? ZERO_BLOCK_PTR : &id_map[i];
    iommu->flush.context = flush_context;
    iommu->flush.iotlb = flush_iotlb;
    hwm_mmio_write(h, 0x28, 8, 1UL << 63 | 1UL << 61);
    hwm_mmio_write(h, (iommu->ecap >> 8 & 0x3ff) * 16 + 8, 8, 1UL << 63 | 1UL << 60 | 3UL << 48);
    hwm_mmio_write(h, 0x18, 4, 1U << 31);
    drhds[i].iommu = iommu;
    drhds[i].next = i + 1 < XM_UNITS ? &drhds[i + 1] : NULL;
}

static void boot(void)
{
    unsigned int i;

    for (i = 0; i < XM_UNITS; i++) {
        unit_boot(i);
    }
    acpi_drhd_units = drhds;
}

struct acpi_drhd_unit *acpi_find_matched_drhd_unit(const struct pci_dev *pdev)
{
    return &drhds[container_of((struct pci_dev *)pdev, struct xm_dev, pdev)->unit];
}

static void entry(unsigned int unit, const struct xm_domain *d, uint64_t e[2])
{
    e[0] = d ? d->home | 1 : 0;
    e[1] = d ? 2 | (uint64_t)(uint16_t)(unit == 1 ? ~d->d.domain_id : d->d.domain_id) << 8 : 0;
}

static uint64_t *at(unsigned int unit, uint16_t rid)
{
    return xm_words(context[unit][PCI_BUS(rid)]) + 2 * PCI_DEVFN(rid);
}

static void store(unsigned int unit, uint16_t rid, const uint64_t e[2])
{
    uint64_t *to = at(unit, rid);

    spin_lock(&iommus[unit].lock);
    to[0] = 0;
    to[1] = e[1];
    to[0] = e[0];
    iommu_sync_cache(to, 16);
    spin_unlock(&iommus[unit].lock);
}

static uint16_t did(const uint64_t e[2])
{
    return (uint16_t)(e[1] >> 8);
}

/* In caching mode what was absent is cached under id 0. */
static void flush(unsigned int unit, uint16_t rid, uint16_t old)
{
    struct vtd_iommu *iommu = &iommus[unit];

    (void)iommu->flush.context(iommu, old, rid, 0, DMA_CCMD_DEVICE_INVL, false);
    if (cap_caching_mode(iommu->cap)) {
        (void)iommu->flush.context(iommu, 0, rid, 0, DMA_CCMD_DEVICE_INVL, true);
    }
    (void)iommu->flush.iotlb(iommu, old, 0, 0, DMA_TLB_DSI_FLUSH, false);
}

static bool present(const uint64_t e[2])
{
    return e[0] & 1;
}

static uint64_t root(const uint64_t e[2], unsigned int *levels)
{
    *levels = (unsigned int)(e[1] & 7) + 2;
    return e[0] & PAGE_MASK;
}

static uint64_t pte(uint64_t pa, unsigned int level)
{
    return pa | 3;
}

const struct xm_vendor xm_vtd = { boot, entry, at, store, flush, did, present, root, hwm_visit_vtdss, pte, true };
