/* SPDX-License-Identifier: MIT */
/* Hypercall 56, as the XenServer line ships it (docs/abi.md, section 3): the hardware domain's own frames, and those of its guests. */
#include "shim.h"

#include <xen/hypercall.h>
#include <xen/percpu.h>
#include <xen/random.h>
#include <xsm/xsm.h>

#include <asm/p2m.h>
#include <asm/paging.h>

#include <pviommu/abi/xen_bus.h>
#include <pviommu/bus.h>

#define REVMAP_LG2 16

static struct pvi_revmap revmap;
static bool revmap_made;

/* Carries nothing from call to call. */
static DEFINE_PER_CPU(struct pvi_bus_work, bus_work);

void shim_bus_cfg(const struct domain *d, struct pvi_domain_cfg *cfg)
{
    if ( !is_hardware_domain(d) )
        return;
    if ( !revmap_made )
        revmap_made = !pvi_revmap_init(&revmap, NULL, REVMAP_LG2,
                                       (uint64_t)get_random() << 32 | get_random());
    if ( !revmap_made )
        return;
    cfg->revmap = &revmap;
    cfg->bus_pages = shim_options.bus_pages;
    cfg->bus_entries = shim_options.bus_entries;
    /* Xen's own table is not the library's to read. */
    cfg->bus_identity = true;
    /* Frames of guests lie above all own ones, which are where the machine has them. */
    cfg->bus_offset = max(PVI_BUS_OFFSET, (uint64_t)max_page);
}

bool shim_bus_guest_gone(const struct domain *d)
{
    int rc;

    if ( !revmap_made )
        return true;

    rc = pvi_guest_gone(&revmap, d->domain_id, &this_cpu(bus_work));
    if ( rc && rc != -PVI_EPREEMPTED )
        printk(XENLOG_ERR "pviommu: frames of %pd: %s\n", d, pvi_strerror(rc));

    return rc != -PVI_EPREEMPTED;
}

/* The guest that `caller` names, locked; NULL: *rc says why not. */
static struct domain *owner_lock(struct domain *caller, uint16_t domid, int *rc)
{
    struct domain *d;

    *rc = -PVI_EPERM;
    if ( domid == DOMID_SELF || domid == caller->domain_id )
        return NULL;

    d = rcu_lock_domain_by_id(domid);
    *rc = -PVI_ENODOM;
    if ( !d )
        return NULL;
    /* Whoever comes after the domain's end has begun would stay behind its clearing. */
    if ( d->is_dying )
        goto out;
    *rc = -PVI_EPERM;
    if ( xsm_map_gmfn_foreign(XSM_TARGET, caller, d) )
        goto out;

    *rc = 0;
    return d;

 out:
    rcu_unlock_domain(d);

    return NULL;
}

int pvi_host_foreign_get(struct pvi_host *h, struct pvi_hdom *d,
                         uint16_t domid, uint16_t ioserver, pvi_gfn gfn,
                         unsigned prot, struct pvi_frames *out)
{
    struct domain *owner;
    mfn_t mfn;
    int rc;

    owner = owner_lock(shim_d(d), domid, &rc);
    if ( !owner )
        return rc;

    if ( (prot & PVI_FRAME_TRANSLATED) && !paging_mode_translate(owner) )
        rc = -PVI_EPERM;
    else
        rc = shim_frame_pin(owner, gfn.f, prot, &mfn);
    rcu_unlock_domain(owner);
    if ( rc == PVI_OWE_MMIO )
        return -PVI_EPERM;
    if ( rc < 0 )
        return rc;

    out->pa.a = mfn_to_maddr(mfn);
    out->nr = 1;
    out->owe = rc == PVI_OWE_WRITABLE ? PVI_OWE_FOREIGN_WRITABLE
                                      : PVI_OWE_FOREIGN;

    return 0;
}

int pvi_host_foreign_check(struct pvi_host *h, struct pvi_hdom *d,
                           uint16_t domid, pvi_gfn gfn, pvi_pa pa)
{
    struct domain *owner;
    struct page_info *pg;
    p2m_type_t type;
    bool same = false;
    int rc;

    owner = owner_lock(shim_d(d), domid, &rc);
    if ( !owner )
        return -PVI_ENOFRAME;

    pg = get_page_from_gfn(owner, gfn.f, &type, P2M_ALLOC);
    if ( pg )
    {
        same = mfn_to_maddr(page_to_mfn(pg)) == pa.a;
        put_page(pg);
    }
    rcu_unlock_domain(owner);

    return same ? 0 : -PVI_ENOFRAME;
}

/* This dialect names no io-servers: what is mapped is held until it is unmapped, and nobody has to be told. */
bool pvi_host_ioserver_notify(struct pvi_host *h, struct pvi_hdom *d,
                              uint16_t domid, uint16_t ioserver, pvi_dfn dfn,
                              bool sync)
{
    return true;
}

long do_iommu_bus_op(XEN_GUEST_HANDLE_PARAM(void) arg, unsigned int count)
{
    struct pvi_abi_call *abi;
    uint64_t at = (unsigned long)arg.p;
    int rc;

    if ( !is_hardware_domain(current->domain) )
        return -ENOSYS;
    rc = shim_call_begin(&abi);
    if ( rc )
        return rc;

    rc = pvi_xen_bus_call(abi, PVI_XEN_BUS_SHIPPED, &at, &count);
    shim_call_end();
    if ( rc != -ERESTART )
        return rc;
    arg.p = (void *)(unsigned long)at;

    return (long)hypercall_create_continuation(__HYPERVISOR_iommu_bus_op, "hi",
                                               arg, count);
}
