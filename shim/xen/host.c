/* SPDX-License-Identifier: MIT */
/* Memory, time and frames for the library (pviommu/host.h). */
#include "shim.h"

#include <asm/p2m.h>
#include <asm/paging.h>

#include <pviommu/pool.h>

/* Frames that are pinned, and may have to be given back, without a look at the clock. */
#define FRAMES_AT_ONCE 512u
/* Frames of others, or entries of a p2m, that are passed over without one: a guest may have any number of holes. */
#define SKIP_FRAMES 8192u
#define SKIP_ENTRIES 512u

/* --- memory --------------------------------------------------------------- */

int pvi_host_page_alloc(struct pvi_host *h, pvi_pa *pa)
{
    struct pvi_page *record = xzalloc(struct pvi_page);
    struct page_info *pg;

    if ( !record )
        return -PVI_ENOMEM;

    pg = alloc_domheap_page(NULL, 0);
    if ( !pg )
    {
        xfree(record);
        return -PVI_ENOMEM;
    }

    pg->u.inuse.type_info = (unsigned long)record;
    pa->a = page_to_maddr(pg);

    return 0;
}

void pvi_host_page_free(struct pvi_host *h, pvi_pa pa)
{
    struct page_info *pg = maddr_to_page(pa.a);
    void *record = (void *)pg->u.inuse.type_info;

    pg->u.inuse.type_info = 0;
    free_domheap_page(pg);
    xfree(record);
}

void *pvi_host_mem_alloc(struct pvi_host *h, size_t size)
{
    return xzalloc_bytes(size);
}

void pvi_host_mem_free(struct pvi_host *h, void *p, size_t size)
{
    xfree(p);
}

bool pvi_host_preempt(struct pvi_host *h)
{
    return hypercall_preempt_check();
}

void pvi_host_event(struct pvi_host *h, enum pvi_event what, uint64_t a,
                    uint64_t b)
{
    if ( printk_ratelimit() )
        printk(XENLOG_ERR "pviommu: event %u: %#lx %#lx\n", what, a, b);
}

/* --- frames --------------------------------------------------------------- */

/*
 * Where writes are interrupts. VT-d forbids to translate anything to there (hardware may do what it likes), and dom0 is denied no
 * more of it than the page of the local APIC.
 */
#define MSI_FIRST_FRAME 0xfee00UL
#define MSI_FRAMES_LG2 8

/* Device memory that the domain may have: nothing to hold, it does not go away under a domain that lives. */
static int mmio_get(struct domain *d, unsigned long mfn, unsigned int prot)
{
    if ( mfn_valid(_mfn(mfn)) || !iomem_access_permitted(d, mfn, mfn) ||
         mfn >> MSI_FRAMES_LG2 == MSI_FIRST_FRAME >> MSI_FRAMES_LG2 )
        return -PVI_ENOFRAME;

    return (prot & PVI_WRITE) && rangeset_contains_singleton(mmio_ro_ranges, mfn)
           ? -PVI_EPERM : PVI_OWE_MMIO;
}

int shim_frame_pin(struct domain *d, unsigned long gfn, unsigned int prot,
                   mfn_t *mfn)
{
    struct page_info *pg;
    p2m_type_t type;

    pg = get_page_from_gfn(d, gfn, &type, P2M_ALLOC);
    if ( !pg )
    {
        *mfn = _mfn(gfn);
        return is_pv_domain(d) ? mmio_get(d, gfn, prot) : -PVI_ENOFRAME;
    }

    *mfn = page_to_mfn(pg);
    if ( page_get_owner(pg) != d || is_special_page(pg) ||
         (!is_pv_domain(d) && type != p2m_ram_rw &&
          !(type == p2m_ram_ro && !(prot & PVI_WRITE))) )
    {
        put_page(pg);
        return -PVI_EPERM;
    }

    if ( !(prot & PVI_WRITE) )
        return PVI_OWE_REF;

    if ( !get_page_type(pg, PGT_writable_page) )
    {
        put_page(pg);
        return -PVI_EPERM;
    }

    return PVI_OWE_WRITABLE;
}

static void frame_unpin(unsigned long mfn, unsigned int owe)
{
    /* Devices could write to it up to now: its guest may be migrating. */
    if ( owe == PVI_OWE_FOREIGN_WRITABLE )
        paging_mark_dirty(page_get_owner(mfn_to_page(_mfn(mfn))), _mfn(mfn));

    if ( owe == PVI_OWE_WRITABLE || owe == PVI_OWE_FOREIGN_WRITABLE )
        put_page_and_type(mfn_to_page(_mfn(mfn)));
    else if ( owe == PVI_OWE_REF || owe == PVI_OWE_FOREIGN )
        put_page(mfn_to_page(_mfn(mfn)));
}

int pvi_host_frame_get(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn gfn,
                       uint64_t nr, unsigned prot, struct pvi_frames *out)
{
    struct domain *xd = shim_d(d);
    uint64_t i, most = min(nr, (uint64_t)FRAMES_AT_ONCE);

    /*
     * A relaxed PV dom0's devices reach all of memory in context 0, whoever has it by now. To hold its frames in identity contexts
     * would only bar it: from making page tables of any, and from giving any back.
     */
    bool lent = (prot & PVI_FRAME_IDENTITY) && is_hardware_domain(xd) &&
                is_pv_domain(xd) && !shim_options.strict;

    /* No caller may leave the reference out. */
    if ( prot & PVI_FRAME_NO_REF )
        return -PVI_EPERM;
    if ( gfn.f + most < gfn.f || (gfn.f + most) >> (64 - PAGE_SHIFT) )
        return -PVI_ENOFRAME;

    for ( i = 0; i < most; i++ )
    {
        mfn_t mfn;
        int owe = shim_frame_pin(xd, gfn.f + i, lent ? PVI_READ : prot, &mfn);

        if ( lent && owe == PVI_OWE_REF )
        {
            frame_unpin(mfn_x(mfn), PVI_OWE_REF);
            owe = PVI_OWE_NONE;
        }
        if ( i == 0 )
        {
            if ( owe < 0 )
                return owe;
            out->pa.a = mfn_to_maddr(mfn);
            out->owe = (uint8_t)owe;
        }
        else if ( owe != out->owe ||
                  mfn_to_maddr(mfn) != out->pa.a + (i << PAGE_SHIFT) )
        {
            if ( owe >= 0 )
                frame_unpin(mfn_x(mfn), (unsigned int)owe);
            break;
        }
    }
    out->nr = i;

    return 0;
}

void pvi_host_frame_put(struct pvi_host *h, struct pvi_hdom *d,
                        const struct pvi_frames *run)
{
    uint64_t i;

    for ( i = 0; i < run->nr; i++ )
        frame_unpin(paddr_to_pfn(run->pa.a) + i, run->owe);
}

int pvi_host_frame_gfn(struct pvi_host *h, struct pvi_hdom *d, pvi_pa pa,
                       pvi_gfn *gfn)
{
    struct domain *xd = shim_d(d);
    mfn_t mfn = maddr_to_mfn(pa.a);

    if ( !mfn_valid(mfn) )
    {
        gfn->f = mfn_x(mfn);
        return 0;
    }
    if ( page_get_owner(mfn_to_page(mfn)) != xd )
        return -PVI_ENOFRAME;
    gfn->f = gfn_x(mfn_to_gfn(xd, mfn));

    return 0;
}

/* Nothing in [from, at): the caller looks at the clock, and asks again. */
static int identity_skip(unsigned long from, unsigned long at,
                         struct pvi_identity_run *run)
{
    run->first.f = from;
    run->nr = at - from;
    run->prot = 0;

    return 0;
}

/* The first run of a translated guest's own RAM: as its p2m has it, whole entries at a time. */
static int identity_hvm(struct domain *d, unsigned long from,
                        struct pvi_identity_run *run)
{
    unsigned long end = domain_get_maximum_gpfn(d) + 1, at = from;
    unsigned int looked = 0;

    for ( ; at < end; looked++ )
    {
        p2m_type_t type;
        p2m_access_t access;
        unsigned int order = 0; /* Xen without HVM does not say */
        unsigned long next;
        mfn_t mfn;

        if ( looked == SKIP_ENTRIES )
            return identity_skip(from, at, run);
        mfn = get_gfn_type_access(p2m_get_hostp2m(d), at, &type, &access,
                                  0, &order);
        next = (at | ((1UL << order) - 1)) + 1;
        put_gfn(d, at);
        if ( mfn_valid(mfn) && type == p2m_ram_rw )
        {
            run->first.f = at;
            run->nr = min(next - at, FRAMES_AT_ONCE + 0UL);
            run->prot = PVI_RW;
            return 0;
        }
        at = next;
    }

    return -PVI_ENOENT;
}

/* Its RAM; what Xen shares with it (shared info, grant tables) has its name, too. */
static bool is_own(const struct domain *d, unsigned long mfn)
{
    const struct page_info *pg;

    if ( !mfn_valid(_mfn(mfn)) )
        return false;
    pg = mfn_to_page(_mfn(mfn));

    return page_get_owner(pg) == d && !is_special_page(pg);
}

/* The first run of a PV guest's own RAM, by machine frame. */
static int identity_pv(const struct domain *d, unsigned long from,
                       struct pvi_identity_run *run)
{
    unsigned long at = from, end;

    for ( ; at < max_page && !is_own(d, at); at++ )
        if ( at - from == SKIP_FRAMES )
            return identity_skip(from, at, run);
    for ( end = at; end < max_page && end - at < FRAMES_AT_ONCE &&
                    is_own(d, end); end++ )
        ;
    if ( end == at )
        return -PVI_ENOENT;
    run->first.f = at;
    run->nr = end - at;
    run->prot = PVI_RW;

    return 0;
}

int pvi_host_identity_next(struct pvi_host *h, struct pvi_hdom *d,
                           pvi_gfn from, struct pvi_identity_run *run)
{
    struct domain *xd = shim_d(d);

    return is_pv_domain(xd) ? identity_pv(xd, from.f, run)
                           : identity_hvm(xd, from.f, run);
}

/* --- the caller's memory -------------------------------------------------- */

/* Where the caller is 32-bit its addresses have 32 bits: the decoder has read no more. */
int pvi_host_copy_in(struct pvi_host *h, struct pvi_hdom *caller, void *to,
                     uint64_t from, size_t len)
{
    return raw_copy_from_guest(to, (const void *)from, (unsigned int)len)
           ? -PVI_EFAULT : 0;
}

int pvi_host_copy_out(struct pvi_host *h, struct pvi_hdom *caller, uint64_t to,
                      const void *from, size_t len)
{
    return raw_copy_to_guest((void *)to, from, (unsigned int)len)
           ? -PVI_EFAULT : 0;
}
