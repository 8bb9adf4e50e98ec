/* SPDX-License-Identifier: MIT */
/* Two AMD-Vi units (hwspec 6, 7), as Xen has brought them up. Both have a table of all devices; the second caches what is absent. */
#include "xm_int.h"

#include "../standin/amd/iommu.h"

#define TABLE_FRAMES 8u /* 1024 entries: buses 0 to 3 */
#define RW (3UL << 61)
#define ALL_PAGES 0x7ffffffffffff000UL

static struct amd_iommu iommus[XM_UNITS];
static unsigned long id_map[XM_UNITS];
static unsigned long ring[XM_UNITS], done[XM_UNITS];
static unsigned int tail[XM_UNITS];
static uint64_t serial;
struct amd_iommu *amd_iommu_head;
uint8_t amd_iommu_min_paging_mode = 1, amd_iommu_max_paging_mode = 6;

static void put(unsigned int unit, uint64_t w0, uint64_t w1)
{
    uint64_t *to = xm_words(ring[unit]) + tail[unit] / 8;

    to[0] = w0;
    to[1] = w1;
    tail[unit] = (tail[unit] + 16) & 0xfff;
}

/* Commands are done when a wait behind them is. */
static void command(unsigned int unit, uint64_t w0, uint64_t w1, bool wait)
{
    struct hwm *h = xm_units[unit].h;
    unsigned long flags;

    spin_lock_irqsave(&iommus[unit].lock, flags);
    xm_in();
    put(unit, w0, wait ? ++serial : w1);
    hwm_mmio_write(h, 0x2008, 4, tail[unit]);
    if (wait) {
        (void)hwm_step(h, ~0UL);
        XM_CHECK(*xm_words(done[unit]) == serial, "a unit that does not end");
    }
    xm_out();
    spin_unlock_irqrestore(&iommus[unit].lock, flags);
}

void pviommu_amd_command(struct amd_iommu *iommu, const uint32_t cmd[4])
{
    (void)xm_flush_now_fails();
    command((unsigned int)(iommu - iommus), cmd[0] | (uint64_t)cmd[1] << 32, cmd[2] | (uint64_t)cmd[3] << 32, false);
}

void pviommu_amd_wait(struct amd_iommu *iommu)
{
    unsigned int unit = (unsigned int)(iommu - iommus);

    command(unit, 1UL << 60 | (uint64_t)done[unit] << PAGE_SHIFT | 1, 0, true);
}

static void unit_boot(unsigned int i)
{
    unsigned long table = xm_xen_frames(TABLE_FRAMES), log = xm_xen_frames(1);
    struct amd_iommu *iommu = &iommus[i];
    struct hwm_amd_cfg cfg;
    struct hwm *h;
    unsigned int rid;

    hwm_amd_cfg_default(&cfg);
    cfg.np_cache = i == 1;
    h = xm_units[i].h = hwm_amd_new(&cfg, &xm_hwm_mem[i]);
    ring[i] = xm_xen_frames(1);
    done[i] = xm_xen_frames(1);
    iommu->dev_table.buffer = xm_words(table);
    for (rid = 0; rid < TABLE_FRAMES * PAGE_SIZE / 32; rid++) {
        xm_words(table)[4 * rid] = 1; /* valid, and blocked */
    }
    hwm_mmio_write(h, 0x0, 8, (uint64_t)table << PAGE_SHIFT | (TABLE_FRAMES - 1));
    hwm_mmio_write(h, 0x8, 8, (uint64_t)ring[i] << PAGE_SHIFT | 8UL << 56);
    hwm_mmio_write(h, 0x10, 8, (uint64_t)log << PAGE_SHIFT | 8UL << 56);
    hwm_mmio_write(h, 0x18, 8, 0x1404);
    hwm_mmio_write(h, 0x18, 8, 0x1405);
    spin_lock_init(&iommu->lock);
    iommu->lock.class = "iommu->lock";
    iommu->cap.header = hwm_amd_pci_cap(h, 0);
    id_map[i] = xm_cfg.ids ? xm_cfg.ids : 0x7fff;
    iommu->domid_map = xm_cfg.no_quarantine ? ZERO_BLOCK_PTR : &id_map[i];
    iommu->next = i + 1 < XM_UNITS ? &iommus[i + 1] : NULL;
    iommu->features.raw = hwm_mmio_read(h, 0x30, 8);
    command(i, 8UL << 60, 0, false);
    pviommu_amd_wait(iommu);
    hwm_set_lazy(h, true, 0);
}

static void boot(void)
{
    unsigned int i;

    for (i = 0; i < XM_UNITS; i++) {
        unit_boot(i);
    }
    amd_iommu_head = iommus;
}

struct amd_iommu *find_iommu_for_device(pci_sbdf_t sbdf)
{
    unsigned int i;

    for (i = 0; i <= XM_TWIN && xm_sbdf(i) != sbdf.sbdf; i++) {
    }
    return i <= XM_TWIN ? &iommus[xm_devs[i].unit] : NULL;
}

static void entry(unsigned int unit, const struct xm_domain *d, uint64_t e[2])
{
    e[0] = d ? RW | d->home | 4 << 9 | 3 : 1;
    e[1] = d ? d->d.domain_id : 0;
}

static uint64_t *at(unsigned int unit, uint16_t rid)
{
    return (uint64_t *)iommus[unit].dev_table.buffer + 4 * rid;
}

static void store(unsigned int unit, uint16_t rid, const uint64_t e[2])
{
    uint64_t *to = at(unit, rid);
    unsigned long flags;

    spin_lock_irqsave(&iommus[unit].lock, flags);
    to[0] = 1;
    to[1] = e[1];
    to[0] = e[0];
    spin_unlock_irqrestore(&iommus[unit].lock, flags);
}

static void flush(unsigned int unit, uint16_t rid, uint16_t old)
{
    command(unit, 2UL << 60 | rid, 0, false);
    pviommu_amd_wait(&iommus[unit]);
    command(unit, 3UL << 60 | (uint64_t)old << 32, ALL_PAGES | 3, false);
    pviommu_amd_wait(&iommus[unit]);
}

static uint16_t did(const uint64_t e[2])
{
    return (uint16_t)e[1];
}

static bool present(const uint64_t e[2])
{
    return (e[0] & 3) == 3;
}

static uint64_t root(const uint64_t e[2], unsigned int *levels)
{
    *levels = (unsigned int)(e[0] >> 9 & 7);
    return e[0] & 0xffffffffff000UL;
}

static uint64_t pte(uint64_t pa, unsigned int level)
{
    return RW | pa | (uint64_t)(level - 1) << 9 | 1;
}

const struct xm_vendor xm_amd = { boot, entry, at, store, flush, did, present, root, hwm_visit_amdv1, pte, false };
