/* SPDX-License-Identifier: MIT */
/* What pviommu/host.h asks of a hypervisor, less the unit (unit.c) and foreign frames (shim/bare/no_foreign.c). */
#include "tiny.h"

#define RUBBISH 0xA5

/* Memory --------------------------------------------------------------------------------------- */

static struct tiny_frame *frame_of(struct pvi_host *h, uint64_t pa)
{
    PVI_ASSERT(pa >> PVI_PAGE_LG2 < HW_PAGES);
    return &h->frame[pa >> PVI_PAGE_LG2];
}

struct pvi_page *pvi_env_page(struct pvi_host *h, pvi_pa pa)
{
    return &frame_of(h, pa.a)->record;
}

/* First fit, contiguous. Page 0 is never given out: its address means none. */
static int pages_take(struct pvi_host *h, struct pvi_hdom *owner, uint32_t nr, pvi_pa *pa)
{
    uint32_t i, run = 0;

    for (i = 1; i < HW_PAGES && run < nr; i++) {
        run = h->frame[i].refs == 0 ? run + 1 : 0;
    }
    if (run < nr) {
        return -PVI_ENOMEM;
    }
    pa->a = (uint64_t)(i - nr) << PVI_PAGE_LG2;
    for (; nr > 0; nr--) {
        memset(&h->frame[i - nr], 0, sizeof(h->frame[0]));
        h->frame[i - nr].owner = owner;
        h->frame[i - nr].refs = 1;
        h->pages_free--;
    }
    return 0;
}

/* Drops a reference. With the last one the page is anybody's, so no unit may know it any more (R4). */
static void page_drop(struct pvi_host *h, uint64_t pa)
{
    struct tiny_frame *f = frame_of(h, pa);

    PVI_ASSERT(f->refs > 0);
    if (--f->refs == 0) {
        PVI_ASSERT(!hw_caches(pa));
        memset(hw_ram + pa, RUBBISH, PVI_PAGE_SIZE);
        h->pages_free++;
    }
}

int pvi_host_page_alloc(struct pvi_host *h, pvi_pa *pa)
{
    return pages_take(h, NULL, 1, pa);
}

void pvi_host_page_free(struct pvi_host *h, pvi_pa pa)
{
    page_drop(h, pa.a);
}

/* A hypervisor has a heap; here whole pages do. */
void *pvi_host_mem_alloc(struct pvi_host *h, size_t size)
{
    uint32_t nr = (uint32_t)((size + PVI_PAGE_MASK) >> PVI_PAGE_LG2);
    pvi_pa pa;

    return pages_take(h, NULL, nr, &pa) == 0 ? memset(hw_ram + pa.a, 0, nr * PVI_PAGE_SIZE) : NULL;
}

void pvi_host_mem_free(struct pvi_host *h, void *p, size_t size)
{
    uint64_t at = p ? (uint64_t)((unsigned char *)p - hw_ram) : 0, end = at + size;

    for (; p && at < end; at += PVI_PAGE_SIZE) {
        page_drop(h, at);
    }
}

/* Time ----------------------------------------------------------------------------------------- */

/* Every third time an interrupt is pending. */
bool pvi_host_preempt(struct pvi_host *h)
{
    return ++h->questions % 3 == 0;
}

/* A failing unit, or a caller's bug: no guest can cause one. */
void pvi_host_event(struct pvi_host *h, enum pvi_event what, uint64_t a, uint64_t b)
{
    h->events++;
}

/* Frames --------------------------------------------------------------------------------------- */

static uint64_t p2m(const struct pvi_hdom *d, uint64_t gfn)
{
    return gfn < TINY_GUEST_FRAMES ? d->p2m[gfn] : 0;
}

int pvi_host_frame_get(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn gfn, uint64_t nr, unsigned prot,
                       struct pvi_frames *out)
{
    uint64_t first = p2m(d, gfn.f), i;

    if (first == 0) {
        return -PVI_ENOFRAME;
    }
    if ((prot & ~first & PVI_RW) != 0) {
        return -PVI_EPERM;
    }
    for (i = 0; i < nr && p2m(d, gfn.f + i) == first + (i << PVI_PAGE_LG2); i++) {
        frame_of(h, p2m(d, gfn.f + i))->refs++;
    }
    out->pa.a = first & ~PVI_PAGE_MASK;
    out->nr = i;
    out->owe = PVI_OWE_REF;
    return 0;
}

void pvi_host_frame_put(struct pvi_host *h, struct pvi_hdom *d, const struct pvi_frames *run)
{
    uint64_t i;

    for (i = 0; i < run->nr; i++) {
        page_drop(h, run->pa.a + (i << PVI_PAGE_LG2));
    }
}

int pvi_host_frame_gfn(struct pvi_host *h, struct pvi_hdom *d, pvi_pa pa, pvi_gfn *gfn)
{
    const struct tiny_frame *f = frame_of(h, pa.a);

    if (f->refs == 0 || f->owner != d || (p2m(d, f->gfn) & ~PVI_PAGE_MASK) != pa.a) {
        return -PVI_ENOFRAME;
    }
    gfn->f = f->gfn;
    return 0;
}

int pvi_host_identity_next(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn from, struct pvi_identity_run *run)
{
    while (from.f < TINY_GUEST_FRAMES && d->p2m[from.f] == 0) {
        from.f++;
    }
    run->first = from;
    run->nr = 1;
    run->prot = (uint8_t)(p2m(d, from.f) & PVI_RW);
    return from.f < TINY_GUEST_FRAMES ? 0 : -PVI_ENOENT;
}

/* Domains -------------------------------------------------------------------------------------- */

int pvi_host_domain(struct pvi_host *h, struct pvi_hdom *caller, uint16_t domid, struct pvi_domain **out)
{
    unsigned i;

    for (i = 0; i < TINY_GUESTS; i++) {
        if (h->guest[i] && h->guest[i]->domid == domid) {
            *out = &h->guest[i]->iommu;
            return caller->control || caller == h->guest[i] ? 0 : -PVI_EPERM;
        }
    }
    return caller->control ? -PVI_ENODOM : -PVI_EPERM; /* who may not act learns nothing */
}

bool pvi_host_may_init(struct pvi_host *h, struct pvi_hdom *d)
{
    return true;
}

/* Copies between a buffer and the guest's memory, frame by frame. */
static int guest_copy(struct pvi_hdom *d, uint64_t addr, unsigned char *buffer, size_t len, unsigned prot)
{
    while (len > 0) {
        uint64_t entry = p2m(d, addr >> PVI_PAGE_LG2);
        size_t part = PVI_PAGE_SIZE - (addr & PVI_PAGE_MASK);
        unsigned char *at = hw_ram + ((entry & ~PVI_PAGE_MASK) | (addr & PVI_PAGE_MASK));

        if ((entry & prot) == 0) {
            return -PVI_EFAULT;
        }
        part = part < len ? part : len;
        memcpy(prot == PVI_WRITE ? at : buffer, prot == PVI_WRITE ? buffer : at, part);
        addr += part;
        buffer += part;
        len -= part;
    }
    return 0;
}

int pvi_host_copy_in(struct pvi_host *h, struct pvi_hdom *caller, void *to, uint64_t from, size_t len)
{
    return guest_copy(caller, from, to, len, PVI_READ);
}

int pvi_host_copy_out(struct pvi_host *h, struct pvi_hdom *caller, uint64_t to, const void *from, size_t len)
{
    return guest_copy(caller, to, (unsigned char *)(uintptr_t)from, len, PVI_WRITE);
}

/* The hypervisor's own ------------------------------------------------------------------------- */

void tiny_host_init(struct pvi_host *h)
{
    static struct tiny_frame table[HW_PAGES];

    memset(hw_ram, RUBBISH, HW_PAGES * PVI_PAGE_SIZE);
    h->frame = table;
    h->pages_free = HW_PAGES - 1;
}

void tiny_guest_add(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid)
{
    uint64_t gfn;
    pvi_pa pa;

    d->domid = domid;
    h->guest[domid - 1] = d;
    for (gfn = 0; gfn < TINY_GUEST_FRAMES; gfn++) {
        PVI_ASSERT(pages_take(h, d, 1, &pa) == 0);
        frame_of(h, pa.a)->gfn = gfn ^ 2; /* no more than two that belong together */
        d->p2m[gfn ^ 2] = pa.a | ((gfn ^ 2) == TINY_ROM_GFN ? PVI_READ : PVI_RW);
    }
}

void tiny_guest_lose(struct pvi_host *h, struct pvi_hdom *d, uint64_t gfn)
{
    uint64_t pa = p2m(d, gfn) & ~PVI_PAGE_MASK;

    if (pa != 0) {
        d->p2m[gfn] = 0;
        page_drop(h, pa);
    }
}
