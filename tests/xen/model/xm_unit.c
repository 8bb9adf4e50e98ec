/* SPDX-License-Identifier: MIT */
/* Devices, what Xen does with them, and what units reach. */
#include "xm_int.h"

#include <xen/pci_regs.h>

struct xm_unit xm_units[XM_UNITS];
struct hwm_mem xm_hwm_mem[XM_UNITS];
struct xm_cfg xm_cfg;

static const struct {
    uint8_t bus, devfn, stride, unit;
    bool conventional;
} plan[XM_DEVS + 1] = {
    [XM_DEV_PLAIN] = { 0, 2 << 3, 0, 0, false },  [XM_DEV_PHANTOM] = { 1, 0, 4, 0, false },
    [XM_DEV_PCI] = { 2, 5 << 3, 0, 0, true },     [XM_DEV_RMRR] = { 3, 0, 0, 1, false },
    [XM_DEV_OTHER] = { 3, 1 << 3, 0, 1, false },  [XM_DEV_BRIDGE] = { 0, 1 << 3, 0, 0, false },
    [XM_TWIN] = { 2, 6 << 3, 0, 0, true },
};
#define BRIDGE (3u << 3) /* 00:03.0, bus 2 behind it */

struct xm_dev xm_devs[XM_DEVS + 1];
static struct pci_dev iommu_function, iommu_again;
static struct domain xens;
struct domain *dom_xen = &xens, *hardware_domain = &xm_domains[0].d;
static unsigned int flushes, flush_fails, stores, visited = ~0U;
static struct {
    uint16_t all, writable;
} live[XM_FRAMES];
static bool looking;

const struct xm_vendor *xm_vendor(void)
{
    return xm_cfg.amd ? &xm_amd : &xm_vtd;
}

/* --- what units see ----------------------------------------------------------------------- */

static uint64_t read64(void *unit, uint64_t pa)
{
    return xm_mem_read(pa, !((struct xm_unit *)unit)->snoops);
}

static uint32_t read32(void *unit, uint64_t pa)
{
    return (uint32_t)(read64(unit, pa & ~7UL) >> (pa & 4 ? 32 : 0));
}

static void write64(void *unit, uint64_t pa, uint64_t value)
{
    xm_words(pa >> PAGE_SHIFT)[(pa & ~PAGE_MASK) / 8] = value;
}

static void write32(void *unit, uint64_t pa, uint32_t value)
{
    uint64_t was = read64(unit, pa & ~7UL);
    unsigned int shift = pa & 4 ? 32 : 0;

    write64(unit, pa & ~7UL, (was & ~(0xffffffffUL << shift)) | (uint64_t)value << shift);
}

static bool valid(void *unit, uint64_t pa, uint64_t len)
{
    return pa + len <= XM_FRAMES * PAGE_SIZE;
}

void xm_look(void)
{
    unsigned int i;

    xm_in();
    if (!looking) {
        looking = true;
        for (i = 0; i < XM_UNITS; i++) {
            if (xm_units[i].h) {
                hwm_watch_run(xm_units[i].h);
            }
        }
        looking = false;
    }
    stores++;
    xm_out();
}

void xm_stored(void)
{
    xm_look();
}

/* --- who reaches a frame -------------------------------------------------------------------- */

static void count(unsigned long mfn, bool write)
{
    if (mfn < XM_FRAMES) {
        live[mfn].all++;
        live[mfn].writable += write;
    }
}

static bool lends;

void xm_lends(bool yes)
{
    lends = yes;
}

/* 1:1, a PV hwdom that Xen is not strict with: its devices reach the frame by Xen's own tables, whatever becomes of it. */
static bool lent(uint64_t iova, uint64_t pa)
{
    return lends && iova == pa && xm_hwdom()->pv && pa >> PAGE_SHIFT < XM_FRAMES &&
           xm_frames[pa >> PAGE_SHIFT].owner == hardware_domain;
}

static void count_leaf(void *ctx, const struct hwm_leaf *leaf)
{
    unsigned long i, nr = 1UL << (leaf->lg2 - PAGE_SHIFT);

    for (i = 0; i < nr; i++) {
        if (!lent(leaf->iova + i * PAGE_SIZE, leaf->pa + i * PAGE_SIZE)) {
            count((leaf->pa >> PAGE_SHIFT) + i, leaf->w);
        }
    }
}

static bool is_home(unsigned int unit, const uint64_t e[2])
{
    unsigned int i;
    uint64_t home[2];

    for (i = 0; i < XM_MOST_DOMAINS; i++) {
        if (xm_domains[i].used) {
            xm_vendor()->entry(unit, &xm_domains[i], home);
            if (home[0] == e[0] && home[1] == e[1]) {
                return true;
            }
        }
    }
    return !xm_vendor()->present(e);
}

/* Entries that are not Xen's are under ids that no domain of Xen's ever has: those with the upper bit, as Xen counts. */
void xm_entries_check(void)
{
    unsigned int i, j;
    const uint64_t *e;
    uint16_t did;

    for (i = 0; i < XM_DEVS && !xm_cfg.parallel; i++) {
        for (j = 0; j < xm_devs[i].nr_rids; j++) {
            e = xm_vendor()->at(xm_devs[i].unit, xm_devs[i].rid[j]);
            did = xm_vendor()->did(e);
            did = xm_vendor()->turned && xm_devs[i].unit == 1 ? (uint16_t)~did : did;
            XM_CHECK(is_home(xm_devs[i].unit, e) || did > DOMID_MASK, "the entry of %#x is under id %#x", xm_devs[i].rid[j], did);
        }
    }
}

/* All tables of the library that an entry leads to, each once. */
static void visit_tables(void)
{
    static uint64_t roots[XM_DEVS * 4];
    struct hwm_visitor visitor = { .leaf = count_leaf };
    struct hwm_visit out;
    unsigned int i, j, k, nr = 0, levels;
    const uint64_t *e;
    uint64_t root;

    if (visited == stores) {
        return;
    }
    visited = stores;
    memset(live, 0, sizeof(live));
    for (i = 0; i < XM_DEVS; i++) {
        for (j = 0; j < xm_devs[i].nr_rids; j++) {
            e = xm_vendor()->at(xm_devs[i].unit, xm_devs[i].rid[j]);
            if (is_home(xm_devs[i].unit, e)) {
                continue;
            }
            root = xm_vendor()->root(e, &levels);
            for (k = 0; k < nr && roots[k] != root; k++) {
            }
            if (k == nr) {
                roots[nr++] = root;
                XM_CHECK(xm_vendor()->visit(&xm_hwm_mem[xm_devs[i].unit], root, levels, &visitor, &out),
                         "a table that hardware would stumble at: %s", out.first_bad.why);
            }
        }
    }
}

struct cached {
    unsigned int unit;
    uint64_t pa;
    unsigned int all, writable;
};

static void count_cached(void *ctx, uint16_t did, uint64_t iova, unsigned lg2, bool write)
{
    struct cached *c = ctx;
    uint64_t home[2];
    unsigned int i;

    if (lent(iova | (c->pa & ((1ull << lg2) - 1)), c->pa)) {
        return;
    }
    for (i = 0; i < XM_MOST_DOMAINS; i++) {
        if (xm_domains[i].used) {
            xm_vendor()->entry(c->unit, &xm_domains[i], home);
            if (xm_vendor()->did(home) == did) {
                return;
            }
        }
    }
    c->all++;
    c->writable += write;
}

void xm_reach_check(unsigned long mfn)
{
    const struct xm_frame *f = &xm_frames[mfn];
    struct cached c;
    unsigned int i;

    if (!xm_cfg.parallel) { /* else tables change under whoever visits them */
        visit_tables();
        XM_CHECK(live[mfn].all <= f->refs, "frame %#lx is put, and a table leads to it", mfn);
        XM_CHECK(live[mfn].writable <= f->types, "the writable type of frame %#lx is put, and a table lets it be written", mfn);
    }
    for (i = 0; i < XM_UNITS; i++) {
        c = (struct cached){ .unit = i, .pa = (uint64_t)mfn << PAGE_SHIFT };
        hwm_cached_leaves(xm_units[i].h, (uint64_t)mfn << PAGE_SHIFT, count_cached, &c);
        XM_CHECK(c.all <= f->refs, "frame %#lx is put, and unit %u has it cached", mfn, i);
        XM_CHECK(c.writable <= f->types, "the writable type of frame %#lx is put, and unit %u has it cached", mfn, i);
    }
}

void xm_page_check(unsigned long mfn)
{
    unsigned int i, j;
    unsigned int levels;
    const uint64_t *e;

    for (i = 0; i < XM_UNITS; i++) {
        XM_CHECK(!hwm_caches_page(xm_units[i].h, (uint64_t)mfn << PAGE_SHIFT), "table page %#lx is freed, and unit %u has it cached", mfn, i);
    }
    for (i = 0; i < XM_DEVS; i++) {
        for (j = 0; j < xm_devs[i].nr_rids; j++) {
            e = xm_vendor()->at(xm_devs[i].unit, xm_devs[i].rid[j]);
            XM_CHECK(!xm_vendor()->present(e) || xm_vendor()->root(e, &levels) >> PAGE_SHIFT != mfn, "a table is freed that an entry leads to");
        }
    }
}

/* --- Xen's own tables ----------------------------------------------------------------------- */

/* One to one for PV, by frame number else: four levels. */
static void home_map(uint64_t root, uint64_t dfn, uint64_t mfn)
{
    unsigned int level;
    uint64_t *slot;

    for (level = 4;; level--) {
        slot = &xm_words(root >> PAGE_SHIFT)[dfn >> (9 * (level - 1)) & 511];
        if (level == 1) {
            break;
        }
        if (!*slot) {
            *slot = xm_vendor()->pte((uint64_t)xm_xen_frames(1) << PAGE_SHIFT, level);
            iommu_sync_cache(slot, 8);
        }
        root = *slot & 0xffffffffff000UL;
    }
    *slot = xm_vendor()->pte(mfn << PAGE_SHIFT, 1);
    iommu_sync_cache(slot, 8);
}

static void home_make(struct xm_domain *d)
{
    unsigned int i;

    d->home = (uint64_t)xm_xen_frames(1) << PAGE_SHIFT;
    for (i = 0; i < d->nr; i++) {
        home_map(d->home, xm_gfn(d, i), xm_mfn(d, i));
    }
    home_map(d->home, XM_RMRR, XM_RMRR);
    home_map(d->home, XM_RMRR + 1, XM_RMRR + 1);
    home_map(d->home, XM_GLOBAL, XM_GLOBAL);
}

static void entry_set(struct xm_dev *dev, unsigned int n, const struct xm_domain *d)
{
    uint64_t old[2], e[2];
    const uint64_t *at = xm_vendor()->at(dev->unit, dev->rid[n]);

    old[0] = at[0];
    old[1] = at[1];
    xm_vendor()->entry(dev->unit, dev->barred ? NULL : d, e);
    xm_vendor()->store(dev->unit, dev->rid[n], e);
    xm_vendor()->flush(dev->unit, dev->rid[n], xm_vendor()->did(old));
}

bool xm_is_home(unsigned int dev, unsigned int n)
{
    const struct xm_dev *it = &xm_devs[dev];
    const uint64_t *at = xm_vendor()->at(it->unit, it->rid[n]);
    uint64_t e[2];

    xm_vendor()->entry(it->unit, it->barred || !it->pdev.domain ? NULL : container_of(it->pdev.domain, struct xm_domain, d), e);
    return at[0] == e[0] && at[1] == e[1];
}

static void take(struct xm_dev *dev)
{
    struct pci_dev **link = &dev->pdev.domain->pdev_list;

    while (*link != &dev->pdev) {
        link = &(*link)->next;
    }
    *link = dev->pdev.next;
    dev->pdev.domain = NULL;
}

void xm_move(unsigned int n, struct xm_domain *d)
{
    struct xm_dev *dev = &xm_devs[n];
    unsigned int i;

    pcidevs_lock();
    if (dev->pdev.domain) {
        pviommu_device_gone(&dev->pdev);
        for (i = 0; i < dev->nr_rids; i++) {
            XM_CHECK(n == XM_TWIN || xm_is_home(n, i), "the entry of %#x is not as Xen has left it", dev->rid[i]);
        }
        take(dev);
    }
    if (d && !d->home) {
        home_make(d);
    }
    for (i = 0; i < dev->nr_rids; i++) {
        entry_set(dev, i, d);
    }
    if (d) {
        dev->pdev.domain = &d->d;
        dev->pdev.next = d->d.pdev_list;
        d->d.pdev_list = &dev->pdev;
        pviommu_device_new(&d->d, &dev->pdev);
    }
    pcidevs_unlock();
    xm_idle();
}

void xm_iommu_leaves(void)
{
    pcidevs_lock();
    pviommu_device_gone(&iommu_function);
    pcidevs_unlock();
}

void xm_iommu_twice(void)
{
    iommu_again = iommu_function;
    iommu_again.domain = hardware_domain;
    iommu_again.next = hardware_domain->pdev_list;
    hardware_domain->pdev_list = &iommu_again;
}

void xm_bar_device(unsigned int dev, bool bar)
{
    xm_devs[dev].barred = bar;
}

/* --- devices -------------------------------------------------------------------------------- */

uint32_t xm_sbdf(unsigned int dev)
{
    return xm_devs[dev].pdev.sbdf.sbdf;
}

unsigned int xm_nr_rids(unsigned int dev)
{
    return xm_devs[dev].nr_rids;
}

uint16_t xm_rid(unsigned int dev, unsigned int n)
{
    return xm_devs[dev].rid[n];
}

static void dev_make(unsigned int n)
{
    struct xm_dev *dev = &xm_devs[n];

    dev->pdev.bus = plan[n].bus;
    dev->pdev.devfn = plan[n].devfn;
    dev->pdev.sbdf.sbdf = PCI_BDF(plan[n].bus, plan[n].devfn);
    dev->pdev.phantom_stride = plan[n].stride;
    dev->pdev.type = plan[n].conventional ? DEV_TYPE_PCI : DEV_TYPE_PCIe_ENDPOINT;
    dev->unit = plan[n].unit;
    if (n == XM_DEV_BRIDGE && !xm_cfg.amd) {
        dev->pdev.type = DEV_TYPE_PCIe_BRIDGE;
    } else if (!plan[n].conventional) {
        dev->rid[dev->nr_rids++] = (uint16_t)dev->pdev.sbdf.sbdf;
        if (plan[n].stride) {
            dev->rid[dev->nr_rids++] = (uint16_t)(dev->pdev.sbdf.sbdf + plan[n].stride);
        }
    } else if (xm_cfg.amd) {
        dev->rid[dev->nr_rids++] = PCI_BDF(plan[n].bus, 0);
    } else {
        dev->rid[dev->nr_rids++] = (uint16_t)dev->pdev.sbdf.sbdf;
        dev->rid[dev->nr_rids++] = BRIDGE;
        if (!xm_cfg.legacy_bridge) {
            dev->rid[dev->nr_rids++] = PCI_BDF(plan[n].bus, 0);
        }
    }
}

uint16_t pci_conf_read16(pci_sbdf_t sbdf, unsigned int reg)
{
    XM_CHECK(reg == PCI_CLASS_DEVICE, "configuration register %#x", reg);
    return sbdf.sbdf == XM_IOMMU ? 0x806 : 0x200;
}

int find_upstream_bridge(uint16_t seg, uint8_t *bus, uint8_t *devfn, uint8_t *secbus)
{
    XM_CHECK(!seg, "segment %u", seg);
    if (*bus != plan[XM_DEV_PCI].bus) {
        return 0;
    }
    *secbus = *bus;
    *bus = PCI_BUS(BRIDGE);
    *devfn = PCI_DEVFN(BRIDGE);
    return 1;
}

int get_dma_requestor_id(uint16_t seg, uint16_t bdf)
{
    return PCI_BUS(bdf) == plan[XM_DEV_PCI].bus ? PCI_BDF(PCI_BUS(bdf), 0) : bdf;
}

static int group_of(uint16_t seg, uint8_t bus, uint8_t devfn)
{
    uint8_t secbus;

    XM_CHECK(pcidevs_locked(), "a group is asked for without pcidevs_lock");
    if (xm_cfg.amd) {
        return get_dma_requestor_id(seg, PCI_BDF(bus, devfn));
    }
    return find_upstream_bridge(seg, &bus, &devfn, &secbus) < 0 ? -1 : PCI_BDF(bus, devfn);
}

const struct iommu_ops *iommu_get_ops(void)
{
    static const struct iommu_ops ops = { .get_device_group_id = group_of };

    return &ops;
}

int iommu_get_reserved_device_memory(int (*each)(xen_pfn_t start, xen_ulong_t nr, uint32_t id, void *ctxt), void *ctxt)
{
    bool asked = false;
    unsigned int i;

    for (i = 0; i < XM_DEVS; i++) {
        if (xm_cfg.amd && !asked && each(0, 0, xm_sbdf(i), ctxt)) {
            asked = true;
            each(XM_GLOBAL, 1, xm_sbdf(i), ctxt);
        }
        if (i == XM_DEV_RMRR) {
            each(XM_RMRR, 2, xm_sbdf(i), ctxt);
        }
    }
    return 0;
}

/* --- DMA ------------------------------------------------------------------------------------ */

uint64_t xm_dma(unsigned int dev, unsigned int n, uint64_t dfn, bool write)
{
    struct hwm *h = xm_units[xm_devs[dev].unit].h;
    uint64_t pa = 0;
    enum hwm_result result;

    xm_in();
    result = hwm_dma(h, xm_devs[dev].rid[n], dfn << PAGE_SHIFT, write, &pa, NULL);
    xm_out();
    XM_CHECK(result == HWM_OK || result == HWM_FAULT, "DMA passes the unit by");
    return result == HWM_OK ? pa >> PAGE_SHIFT : ~0UL;
}

void xm_watch(unsigned int dev, uint64_t dfn)
{
    unsigned int i;

    for (i = 0; i < xm_devs[dev].nr_rids; i++) {
        hwm_watch(xm_units[xm_devs[dev].unit].h, xm_devs[dev].rid[i], dfn << PAGE_SHIFT);
    }
}

void xm_flush_fails_at(unsigned int n)
{
    flush_fails = n;
    flushes = 0;
}

unsigned int xm_flushes(void)
{
    return flushes;
}

bool xm_flush_now_fails(void)
{
    return __atomic_add_fetch(&flushes, 1, __ATOMIC_RELAXED) == flush_fails;
}

/* --- Xen's map of pseudo ids ---------------------------------------------------------------- */

domid_t iommu_alloc_domid(unsigned long *map)
{
    XM_CHECK(pcidevs_locked(), "an id is taken without pcidevs_lock");
    if (!*map) {
        return DOMID_INVALID;
    }
    return (domid_t)(0xffff - (*map)--);
}

/* --- the machine ---------------------------------------------------------------------------- */

static unsigned int at_boot;

void xm_boot(const struct xm_cfg *cfg)
{
    unsigned int i;

    xm_cfg = *cfg;
    xm_mem_boot();
    for (i = 0; i < XM_UNITS; i++) {
        xm_units[i].index = i;
        xm_units[i].snoops = cfg->amd || i == 1;
        xm_hwm_mem[i] = (struct hwm_mem){ &xm_units[i], read64, read32, write64, write32, valid, NULL, NULL, NULL };
    }
    xm_strict_boot();
    lends = false;
    xm_vendor()->boot();
    if (cfg->amd) {
        iommu_function = (struct pci_dev){ .domain = dom_xen, .sbdf = { XM_IOMMU }, .devfn = XM_IOMMU };
        xens.pdev_list = &iommu_function;
    }
    xm_domain_create(0, !cfg->pvh);
    xm_enter(0, xm_hwdom(), false);
    for (i = 0; i < XM_DEVS; i++) {
        dev_make(i);
        xm_move(i, xm_hwdom());
    }
    dev_make(XM_TWIN);
    at_boot = xm_allocations();
    flushes = 0;
}

void xm_shutdown(void)
{
    unsigned int i;

    xm_preempt_at(0);
    xm_enter(0, xm_hwdom(), false);
    for (i = 0; i < XM_DEVS; i++) {
        if (xm_devs[i].pdev.domain) {
            xm_move(i, NULL);
        }
    }
    xm_iommu_leaves();
    if (iommu_again.domain) {
        pcidevs_lock();
        pviommu_device_gone(&iommu_again);
        pcidevs_unlock();
        hardware_domain->pdev_list = NULL;
        iommu_again.domain = NULL;
    }
    xm_domain_dies(xm_hwdom());
    xm_domain_ends(xm_hwdom());
    for (i = 0; i < XM_FRAMES; i++) {
        XM_CHECK(!xm_frames[i].refs, "frame %#x has %u references for ever", i, xm_frames[i].refs);
        XM_CHECK(xm_frames[i].use != XM_TABLE, "table page %#x is forgotten", i);
    }
    for (i = 0; i < XM_UNITS; i++) {
        XM_CHECK(!hwm_violation(xm_units[i].h), "unit %u: %s", i, hwm_violation(xm_units[i].h));
    }
    /* Units with their ids stay, a call's room for each processor, and the map of guests' frames. */
    XM_CHECK(xm_allocations() - at_boot <= 2 * XM_UNITS + XM_CPUS + 1, "%u allocations are forgotten", xm_allocations() - at_boot);
}
