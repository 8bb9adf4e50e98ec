/* SPDX-License-Identifier: MIT */
/*
 * Domains and their devices. The library knows a domain from its first hypercall 43 on. Until it attaches a device to a context of
 * its own nothing changes: the default context is Xen's own table, under Xen's own id, in the entries that Xen made.
 */
#include "shim.h"

#include <xen/init.h>
#include <xen/pci_regs.h>
#include <xen/pviommu.h>

#include <pviommu/amdvi.h>
#include <pviommu/vtd.h>

#define PCI_CLASS_IOMMU 0x0806

static struct shim_domain *domains;
static DEFINE_SPINLOCK(domains_lock);
/* Held while a domain is made; domains_lock is taken inside. */
static DEFINE_SPINLOCK(make_lock);

static struct shim_domain *listed(const struct domain *d)
{
    struct shim_domain *sd;

    for ( sd = domains; sd && sd->d != d; sd = sd->next )
        ;

    return sd;
}

struct shim_domain *shim_domain_find(const struct domain *d)
{
    struct shim_domain *sd;

    spin_lock(&domains_lock);
    sd = listed(d);
    spin_unlock(&domains_lock);

    return sd;
}

struct shim_domain *shim_domain_hold(const struct domain *d)
{
    struct shim_domain *sd;

    spin_lock(&domains_lock);
    sd = listed(d);
    if ( sd && sd->ending )
        sd = NULL;
    if ( sd )
        sd->holds++;
    spin_unlock(&domains_lock);

    return sd;
}

void shim_domain_drop(struct shim_domain *sd)
{
    spin_lock(&domains_lock);
    sd->holds--;
    spin_unlock(&domains_lock);
}

/* The device's record of an id; NULL: it does not have it. */
static struct shim_rid *rid_of(struct shim_device *dev,
                               const struct shim_unit *u, uint16_t rid)
{
    unsigned int i;

    for ( i = 0; dev->unit == u && i < dev->dev.nr_rids; i++ )
        if ( dev->rid[i].rid == rid )
            return &dev->rid[i];

    return NULL;
}

const struct shim_domain *shim_rid_find(const struct shim_unit *u, uint16_t rid,
                                        struct shim_rid *r)
{
    const struct shim_domain *sd, *found = NULL;
    struct shim_device *dev;

    spin_lock(&domains_lock);
    for ( sd = domains; sd && !found; sd = sd->next )
        for ( dev = sd->devices; dev && !found; dev = dev->next )
        {
            const struct shim_rid *it = rid_of(dev, u, rid);

            if ( it )
            {
                *r = *it;
                found = sd;
            }
        }
    spin_unlock(&domains_lock);

    return found;
}

void shim_rid_note(const struct shim_unit *u, uint16_t rid,
                   const uint64_t now[2])
{
    struct shim_domain *sd;
    struct shim_device *dev;

    spin_lock(&domains_lock);
    for ( sd = domains; sd; sd = sd->next )
        for ( dev = sd->devices; dev; dev = dev->next )
        {
            struct shim_rid *it = rid_of(dev, u, rid);

            if ( it )
                memcpy(it->now, now, sizeof(it->now));
        }
    spin_unlock(&domains_lock);
}

/* --- devices -------------------------------------------------------------- */

static bool is_amd(void)
{
    return shim_system.unit[0]->caps.format == &pvi_amdvi_v1_ops;
}

/* AMD's units are PCI functions. */
static bool is_iommu(const struct pci_dev *pdev)
{
    return pci_conf_read16(pdev->sbdf, PCI_CLASS_DEVICE) == PCI_CLASS_IOMMU;
}

/* A requester id, with the entry that Xen has there. */
static bool rid_add(struct shim_device *dev, uint16_t rid)
{
    unsigned int i, nr = dev->dev.nr_rids;

    for ( i = 0; i < nr; i++ )
        if ( dev->rid[i].rid == rid )
            return true;
    if ( nr == PVI_MAX_RIDS ||
         !dev->unit->vendor->read(dev->unit, rid, dev->rid[nr].home) )
        return false;
    memcpy(dev->rid[nr].now, dev->rid[nr].home, sizeof(dev->rid[nr].now));
    dev->rid[nr].rid = rid;
    dev->dev.rid[nr] = rid;
    dev->dev.nr_rids++;

    return true;
}

/* All ids that the device's requests may come under: its own or its alias (AMD), phantom functions', those of the bridges that speak for it (VT-d). */
static bool rids_add(struct shim_device *dev)
{
    const struct pci_dev *pdev = dev->pdev;
    unsigned int devfn = pdev->devfn;
    uint8_t bus = pdev->bus, bridge = pdev->devfn, secbus;
    bool amd = is_amd();

    do {
        /* Behind an alias the function's own entry is one that Xen leaves blocked. */
        if ( !rid_add(dev, amd ? shim_amd_rid(pdev, devfn)
                               : PCI_BDF(pdev->bus, devfn)) )
            return false;
        devfn += pdev->phantom_stride;
    } while ( devfn != pdev->devfn && PCI_SLOT(devfn) == PCI_SLOT(pdev->devfn) );

    if ( amd || pdev->type != DEV_TYPE_PCI )
        return true;
    switch ( find_upstream_bridge(pdev->seg, &bus, &bridge, &secbus) )
    {
    case 0:
        return true;

    case 1:
        if ( !rid_add(dev, PCI_BDF(bus, bridge)) )
            return false;
        /* Requests under this one come from PCIe bridges only: for others Xen has no entry, and they stay blocked. */
        (void)rid_add(dev, PCI_BDF(secbus, 0));
        return true;

    default:
        return false;
    }
}

struct region_args {
    struct shim_device *dev;
    bool full;
};

static int cf_check region_add(xen_pfn_t start, xen_ulong_t nr, u32 id,
                               void *ctxt)
{
    struct region_args *args = ctxt;
    struct pvi_device *dev = &args->dev->dev;
    struct pvi_region *r = &dev->region[dev->nr_regions];

    if ( id != args->dev->pdev->sbdf.sbdf )
        return 0;
    if ( !nr ) /* AMD asks whether this is about the device before it tells what all devices need */
        return 1;
    if ( dev->nr_regions == PVI_MAX_DEV_REGIONS )
    {
        args->full = true;
        return 0;
    }
    r->first = start << PAGE_SHIFT;
    r->last = r->first + (nr << PAGE_SHIFT) - 1;
    r->prot = PVI_RW;
    dev->nr_regions++;

    return 0;
}

/* For these Xen makes no entries, as they issue no requests. Guests that attach all that they see are served. */
static bool is_silent(const struct pci_dev *pdev)
{
    switch ( pdev->type )
    {
    case DEV_TYPE_PCIe_BRIDGE:
    case DEV_TYPE_PCIe2PCI_BRIDGE:
    case DEV_TYPE_LEGACY_PCI_BRIDGE:
    case DEV_TYPE_PCI_HOST_BRIDGE:
        return !is_amd();

    default:
        return is_iommu(pdev);
    }
}

/* A device that the library can have: Xen has entries for all of its ids. */
static struct shim_device *device_make(struct pci_dev *pdev)
{
    uint16_t seg = pdev->seg;
    uint8_t bus = pdev->bus, devfn = pdev->devfn;
    struct shim_device *dev = xzalloc(struct shim_device);
    struct region_args args = { .dev = dev };
    const struct iommu_ops *ops = iommu_get_ops();
    int group;

    if ( !dev )
        return NULL;
    dev->pdev = pdev;
    if ( is_silent(pdev) )
        dev->unit = shim_unit_of(shim_system.unit[0]);
    else
    {
        dev->unit = is_amd() ? shim_amd_unit_of(pdev) : shim_vtd_unit_of(pdev);
        if ( !dev->unit || !rids_add(dev) )
            goto fail;
    }
    if ( iommu_get_reserved_device_memory(region_add, &args) || args.full )
        goto fail;
    dev->dev.sbdf.v = pdev->sbdf.sbdf;
    dev->dev.unit = &dev->unit->unit;
    /* The table's functions lose their landing pads at boot (cf_clobber): a call through a pointer would be a fault under CET. */
    group = iommu_call(ops, get_device_group_id, seg, bus, devfn);
    dev->dev.group = group >= 0 ? (uint32_t)group + 1 : 0;

    return dev;

 fail:
    xfree(dev);

    return NULL;
}

/* To the list, or from it. */
static void device_list(struct shim_domain *sd, struct shim_device *dev,
                        bool add)
{
    struct shim_device **link, *it;
    const struct shim_rid *r;
    unsigned int i;

    spin_lock(&domains_lock);
    if ( add )
    {
        for ( it = sd->devices; it; it = it->next )
            for ( i = 0; i < dev->dev.nr_rids; i++ )
                if ( (r = rid_of(it, dev->unit, dev->rid[i].rid)) != NULL )
                    dev->rid[i] = *r;
        dev->next = sd->devices;
        sd->devices = dev;
    }
    else
    {
        for ( link = &sd->devices; *link != dev; link = &(*link)->next )
            ;
        *link = dev->next;
    }
    spin_unlock(&domains_lock);
}

/* What the library answers while another CPU is at the domain's devices: it is out of there soon. */
static bool again(int rc)
{
    if ( rc != -PVI_EPREEMPTED )
        return false;
    cpu_relax();

    return true;
}

/*
 * An id that other devices have too goes where they are: Xen has just led it home with the new one. Not if they are another domain's:
 * whose the entry is only Xen knows then.
 */
static bool rids_join(const struct shim_domain *sd, struct shim_device *dev)
{
    struct pvi_inv inv[] = { { .kind = PVI_INV_DEVICE },
                             { .kind = PVI_INV_DOMAIN } };
    const struct shim_vendor *v = dev->unit->vendor;
    struct shim_rid other;
    unsigned int i, j;

    for ( i = 0; i < dev->dev.nr_rids; i++ )
    {
        const struct shim_rid *r = &dev->rid[i];
        const struct shim_domain *owner;

        owner = shim_rid_find(dev->unit, r->rid, &other);
        if ( !owner )
            continue;
        if ( owner != sd )
            return false;
        if ( other.now[0] == r->now[0] && other.now[1] == r->now[1] )
            continue;
        if ( !v->write(dev->unit, r->rid, r->now, other.now) )
            return false;
        inv[0].rid = r->rid;
        for ( j = 0; j < ARRAY_SIZE(inv); j++ )
            if ( v->invalidate(dev->unit, &inv[j], v->did(r->now)) )
                return false;
        if ( v->wait )
            v->wait(dev->unit);
    }

    return true;
}

/* A device that the library cannot have stays with Xen, as if there were no library. */
static void device_add(struct shim_domain *sd, struct pci_dev *pdev)
{
    struct shim_device *dev = device_make(pdev);
    int rc;

    if ( !dev || !rids_join(sd, dev) )
        return xfree(dev);
    device_list(sd, dev, true);
    do {
        rc = pvi_device_add(&sd->dom, &dev->dev);
    } while ( again(rc) );
    if ( rc )
    {
        /* 4.17 forgets that it hides AMD's own functions, and has them twice. */
        if ( rc != -PVI_EEXIST || pdev->domain != dom_xen )
            printk(XENLOG_WARNING "pviommu: %pd: %pp stays out: %s\n", sd->d,
                   &pdev->sbdf, pvi_strerror(rc));
        device_list(sd, dev, false);
        xfree(dev);
    }
}

/* Not by its domain: AMD's own functions are Xen's, and in the hardware domain's list. */
static struct shim_device *device_of(const struct pci_dev *pdev,
                                     struct shim_domain **owner)
{
    struct shim_device *dev = NULL;
    struct shim_domain *sd;

    spin_lock(&domains_lock);
    for ( sd = domains; sd && !dev; sd = sd->next )
        for ( *owner = sd, dev = sd->devices; dev && dev->pdev != pdev; )
            dev = dev->next;
    spin_unlock(&domains_lock);

    return dev;
}

void pviommu_device_new(struct domain *d, struct pci_dev *pdev)
{
    struct shim_domain *sd, *owner;

    ASSERT(pcidevs_locked());
    /* Who assigns it may have looked before that: its devices go under this lock, and then what the library has of it. */
    sd = d->is_dying ? NULL : shim_domain_find(d);
    if ( sd && !device_of(pdev, &owner) )
        device_add(sd, pdev);
}

void pviommu_device_gone(struct pci_dev *pdev)
{
    struct shim_domain *sd;
    struct shim_device *dev;
    int rc;

    ASSERT(pcidevs_locked());
    dev = device_of(pdev, &sd);
    if ( !dev )
        return;
    do {
        rc = pvi_device_remove(&sd->dom, &dev->dev);
    } while ( again(rc) );
    if ( rc )
        printk(XENLOG_ERR "pviommu: %pd: %pp: %s\n", sd->d, &pdev->sbdf,
               pvi_strerror(rc));
    device_list(sd, dev, false);
    xfree(dev);
}

/* --- domains -------------------------------------------------------------- */

/* Once, unless there was no memory for it: then the next domain goes on where this one stopped. */
static int units_find(void)
{
    static int result = -ENOMEM;

    if ( result == -ENOMEM )
    {
        pcidevs_lock();
        result = iommu_enabled ? shim_vtd_units() : -ENODEV;
        if ( !result && !shim_system.nr_units )
            result = shim_amd_units();
        pcidevs_unlock();
    }

    return result;
}

/* The domain's own table is the default context: hardware is told of it by Xen's own entries, so its root is only a name here. */
static void domain_cfg(struct domain *d, struct pvi_domain_cfg *cfg)
{
    const struct pvi_unit_caps *caps = &shim_system.unit[0]->caps;
    unsigned int levels = 1;

    memset(cfg, 0, sizeof(*cfg));
    cfg->hdom = shim_hdom(d);
    cfg->system = &shim_system;
    cfg->max_contexts = min(shim_options.contexts, PVI_MAX_CONTEXTS + 0U);
    cfg->max_pages = shim_options.pages;
    cfg->scattered = is_pv_domain(d);
    while ( !(caps->levels_mask >> levels & 1) )
        levels++;
    cfg->passthrough.mode = PVI_PASSTHROUGH_SHARE_PT;
    cfg->passthrough.share.format = caps->format;
    cfg->passthrough.share.root.a = SHIM_HOME_ROOT;
    cfg->passthrough.share.levels = (uint8_t)levels;
    cfg->passthrough.share.page_sizes = 1UL << PAGE_SHIFT;
    cfg->passthrough.share.written_back = true;
    cfg->passthrough.share.opaque = true;
    shim_bus_cfg(d, cfg);
}

struct shim_domain *shim_domain_get(struct domain *d, int *rc)
{
    struct shim_domain *sd = shim_domain_find(d);
    struct pvi_domain_cfg cfg;
    struct pci_dev *pdev;

    *rc = 0;
    if ( sd )
        return sd;

    spin_lock(&make_lock);
    sd = shim_domain_find(d);
    if ( !sd )
    {
        /* Frames that are paged out, shared or populated on demand are none that a device could use. */
        *rc = d->is_dying || !is_iommu_enabled(d) ? -ENODEV :
              !arch_iommu_use_permitted(d) ? -EXDEV : units_find();
        sd = *rc ? NULL : xzalloc(struct shim_domain);
        if ( sd )
        {
            sd->d = d;
            domain_cfg(d, &cfg);
            *rc = pvi_domain_init(&sd->dom, NULL, &cfg);
            if ( *rc )
            {
                printk(XENLOG_WARNING "pviommu: %pd: %s\n", d, pvi_strerror(*rc));
                xfree(sd);
                sd = NULL;
                *rc = -ENODEV;
            }
        }
        else if ( !*rc )
            *rc = -ENOMEM;
        if ( sd )
        {
            spin_lock(&domains_lock);
            sd->next = domains;
            domains = sd;
            spin_unlock(&domains_lock);
            pcidevs_lock();
            for_each_pdev ( d, pdev )
                device_add(sd, pdev);
            if ( is_hardware_domain(d) ) /* it sees them, though they are hidden */
                for_each_pdev ( dom_xen, pdev )
                    if ( is_iommu(pdev) )
                        device_add(sd, pdev);
            pcidevs_unlock();
        }
    }
    spin_unlock(&make_lock);

    return sd;
}

/* --- the end of a domain ---------------------------------------------------- */

/*
 * The domain's own CPUs are paused, but calls of the hardware domain may be under way for it: destroyed is it when the last of
 * them has ended, and no other begins meanwhile.
 */
int pviommu_relinquish(struct domain *d)
{
    struct shim_domain *sd, **link;
    bool busy;
    int rc;

    if ( !shim_bus_guest_gone(d) )
        return -ERESTART;

    /* Xen has said that the domain is dying before: whoever did not see that yet has the lock, or is done making it. */
    spin_lock(&make_lock);
    sd = shim_domain_find(d);
    spin_unlock(&make_lock);
    if ( !sd )
        return 0;

    ASSERT(!sd->devices);
    pvi_domain_kill(&sd->dom);
    spin_lock(&domains_lock);
    sd->ending = true;
    busy = sd->holds;
    spin_unlock(&domains_lock);
    if ( busy )
        return -ERESTART;

    rc = pvi_domain_destroy(&sd->dom);
    if ( rc == -PVI_EPREEMPTED )
        return -ERESTART;

    /* Whatever comes of it: the next domain may have its struct domain at the same address. */
    spin_lock(&domains_lock);
    for ( link = &domains; *link != sd; link = &(*link)->next )
        ;
    *link = sd->next;
    spin_unlock(&domains_lock);
    if ( rc ) /* what a unit may still reach is never used again */
        printk(XENLOG_ERR "pviommu: %pd: %s\n", d, pvi_strerror(rc));
    else
        xfree(sd);

    return 0;
}

/* --- what there is ---------------------------------------------------------- */

static void cf_check dump(unsigned char key)
{
    struct shim_domain *sd;
    struct shim_device *dev;
    unsigned int i;

    printk("pviommu: %u units\n", shim_system.nr_units);
    spin_lock(&domains_lock);
    for ( sd = domains; sd; sd = sd->next )
    {
        printk("%pd: %u contexts at most, %u pages, %u free\n", sd->d,
               sd->dom.nr_contexts, sd->dom.pool.nr_pages, sd->dom.pool.nr_free);
        /* One that ends may lose its contexts at any moment. */
        for ( i = 0; !sd->ending && i < sd->dom.nr_slots; i++ )
        {
            const struct pvi_context *ctx = sd->dom.slot[i];

            if ( ctx->state != PVI_CTX_FREE )
                printk("  context %u: state %u, root %#lx, %u devices\n",
                       ctx->id, ctx->state, ctx->pt.root_pa.a, ctx->nr_devices);
        }
        for ( dev = sd->devices; dev; dev = dev->next )
        {
            const struct pvi_context *ctx = read_atomic(&dev->dev.ctx);

            printk("  %pp: context %u\n", &dev->pdev->sbdf, ctx ? ctx->id : 0);
        }
    }
    spin_unlock(&domains_lock);
}

static int __init cf_check dump_init(void)
{
    register_keyhandler('U', dump, "dump IOMMU contexts of guests", 1);

    return 0;
}
__initcall(dump_init);
