/* SPDX-License-Identifier: MIT */
/* RAM, its frame table, Xen's two allocators, and what is written back of it. */
#include "xm_int.h"

#include <asm/paging.h>

#include "../../../shim/xen/shim.h"

#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
void __asan_poison_memory_region(const volatile void *p, size_t size);
void __asan_unpoison_memory_region(const volatile void *p, size_t size);
#else
#define __asan_poison_memory_region(p, size) ((void)(p))
#define __asan_unpoison_memory_region(p, size) ((void)(p))
#endif

#define LINE 64u
#define FIRST_XEN 16u        /* frame 0 is nobody's */
#define FIRST_FREE 2304u     /* what the domains have ends below */
#define MOST_MAPS 16u        /* of a processor, in Xen's debug builds */

struct xm_frame xm_frames[XM_FRAMES];
unsigned long max_page = XM_FRAMES;
bool iommu_hwdom_strict = true; /* until xm_boot(): the drop-in reads it before */

static unsigned char *ram, *seen; /* as processors see it, and as written back */
static unsigned long next_xen = FIRST_XEN, next_free = FIRST_FREE;
static unsigned int allocations, asked, fails_at;
static unsigned int maps[XM_CPUS], looked[XM_CPUS];

void xm_mem_boot(void)
{
    max_page = xm_cfg.frames ? xm_cfg.frames : XM_FRAMES;
    ram = xm_host_alloc(XM_FRAMES * PAGE_SIZE, PAGE_SIZE);
    seen = xm_host_alloc(XM_FRAMES * PAGE_SIZE, PAGE_SIZE);
    __asan_poison_memory_region(ram, XM_FRAMES * PAGE_SIZE);
}

unsigned long xm_xen_frames(unsigned int nr)
{
    unsigned long mfn = ROUNDUP(next_xen, (unsigned long)nr), i;

    next_xen = mfn + nr;
    for (i = mfn; i < next_xen; i++) {
        XM_CHECK(i < XM_FRAMES && xm_frames[i].use == XM_FREE, "the model is too small for Xen's own");
        xm_frames[i].use = XM_XEN;
    }
    __asan_unpoison_memory_region(ram + mfn * PAGE_SIZE, nr * PAGE_SIZE);
    return mfn;
}

uint64_t *xm_words(unsigned long mfn)
{
    XM_CHECK(mfn < XM_FRAMES && xm_frames[mfn].use == XM_XEN, "frame %#lx is not Xen's", mfn);
    return (uint64_t *)(void *)(ram + mfn * PAGE_SIZE);
}

__attribute__((__no_sanitize_address__)) uint64_t xm_mem_read(uint64_t pa, bool written_back)
{
    const unsigned char *from = written_back ? seen : ram;

    XM_CHECK(pa < XM_FRAMES * PAGE_SIZE, "a unit reads its tables at %#lx", pa);
    return *(const volatile uint64_t *)(const void *)(from + pa);
}

__attribute__((__no_sanitize_address__)) void iommu_sync_cache(const void *p, unsigned int size)
{
    uintptr_t at = (uintptr_t)p & ~(uintptr_t)(LINE - 1), end = (uintptr_t)p + size;
    const uint64_t *from;
    uint64_t *to;

    XM_CHECK((uintptr_t)p >= (uintptr_t)ram && end <= (uintptr_t)ram + XM_FRAMES * PAGE_SIZE, "write-back of no table");
    for (; at < end; at += sizeof(uint64_t)) {
        from = (const uint64_t *)at;
        to = (uint64_t *)(void *)(seen + (at - (uintptr_t)ram));
        *(volatile uint64_t *)to = *(const volatile uint64_t *)from;
    }
    for (; at & (LINE - 1); at += sizeof(uint64_t)) {
        *(volatile uint64_t *)(void *)(seen + (at - (uintptr_t)ram)) = *(const volatile uint64_t *)at;
    }
    xm_look();
}

/* --- allocation ----------------------------------------------------------------------------- */

void xm_alloc_fails_at(unsigned int n)
{
    fails_at = n;
    asked = 0;
}

unsigned int xm_allocs(void)
{
    return asked;
}

unsigned int xm_allocations(void)
{
    return allocations;
}

extern char __start_xm_percpu[], __stop_xm_percpu[];

/* Between the variables lies what a sanitizer watches over, nothing else. */
__attribute__((__no_sanitize__("address"))) void xm_cpus_gone(void)
{
    volatile char *p;

    for (p = __start_xm_percpu; p < __stop_xm_percpu; p++) {
        *p = 0;
    }
}

static bool refused(void)
{
    xm_may_alloc();
    return ++asked == fails_at;
}

void *_xzalloc(size_t size, size_t align)
{
    void *p = NULL;

    xm_in();
    XM_CHECK(size, "an allocation of no bytes");
    if (!refused()) {
        p = xm_host_alloc(size, align);
        allocations++;
    }
    xm_out();
    return p;
}

/* Xen leaves in it what there was. */
void *_xmalloc(size_t size, size_t align)
{
    void *p = _xzalloc(size, align);

    if (p) {
        memset(p, 0xa5, size);
    }
    return p;
}

void xfree(void *p)
{
    xm_in();
    xm_may_alloc();
    if (p && p != ZERO_BLOCK_PTR) {
        allocations--;
        xm_host_free(p);
    }
    xm_out();
}

struct page_info *alloc_domheap_page(struct domain *d, unsigned int memflags)
{
    struct xm_frame *f = NULL;
    unsigned int i;

    xm_in();
    XM_CHECK(!d && !memflags, "a table page is nobody's");
    if (!refused()) {
        /* Round and round: what has been freed comes back late. */
        for (i = FIRST_FREE; i < XM_FRAMES && xm_frames[next_free].use != XM_FREE; i++) {
            next_free = next_free + 1 < XM_FRAMES ? next_free + 1 : FIRST_FREE;
        }
        f = &xm_frames[next_free];
        XM_CHECK(f->use == XM_FREE, "the model is too small for the tables");
        next_free = next_free + 1 < XM_FRAMES ? next_free + 1 : FIRST_FREE;
        f->use = XM_TABLE;
        allocations++;
        __asan_unpoison_memory_region(ram + (f - xm_frames) * PAGE_SIZE, PAGE_SIZE);
        memset(ram + (f - xm_frames) * PAGE_SIZE, 0x5a, PAGE_SIZE);
        __asan_poison_memory_region(ram + (f - xm_frames) * PAGE_SIZE, PAGE_SIZE);
    }
    xm_out();
    return f ? &f->pg : NULL;
}

void free_domheap_page(struct page_info *pg)
{
    struct xm_frame *f = container_of(pg, struct xm_frame, pg);

    xm_in();
    xm_may_alloc();
    XM_CHECK(f->use == XM_TABLE, "frame %#lx is freed, and is no table page", (unsigned long)(f - xm_frames));
    XM_CHECK(!f->maps, "a table page is freed, and still mapped");
    XM_CHECK(!pg->u.inuse.type_info, "a table page is freed with a type");
    xm_page_check((unsigned long)(f - xm_frames));
    f->use = XM_FREE;
    allocations--;
    xm_out();
}

/* --- maps ----------------------------------------------------------------------------------- */

void *map_domain_page(mfn_t mfn)
{
    struct xm_frame *f = &xm_frames[mfn_x(mfn)];
    unsigned char *p;

    xm_in();
    XM_CHECK(mfn_x(mfn) < XM_FRAMES, "frame %#lx is mapped, and is no RAM", mfn_x(mfn));
    XM_CHECK(f->use == XM_TABLE || f->use == XM_XEN, "frame %#lx is mapped, and is no table", mfn_x(mfn));
    XM_CHECK(++maps[xm_cpu] <= MOST_MAPS, "more than %u pages are mapped at once", MOST_MAPS);
    p = ram + mfn_x(mfn) * PAGE_SIZE;
    if (f->maps++ == 0 && f->use == XM_TABLE) {
        __asan_unpoison_memory_region(p, PAGE_SIZE);
    }
    xm_out();
    return p;
}

void unmap_domain_page(const void *p)
{
    unsigned long mfn = (unsigned long)((const unsigned char *)p - ram) / PAGE_SIZE;
    struct xm_frame *f = &xm_frames[mfn];

    xm_in();
    XM_CHECK(mfn < XM_FRAMES && f->maps, "unmapped, and not mapped");
    maps[xm_cpu]--;
    if (--f->maps == 0 && f->use == XM_TABLE) {
        __asan_poison_memory_region(ram + mfn * PAGE_SIZE, PAGE_SIZE);
    }
    xm_out();
}

void *map_vtd_domain_page(paddr_t pa)
{
    return map_domain_page(maddr_to_mfn(pa));
}

void unmap_vtd_domain_page(const void *p)
{
    unmap_domain_page((const void *)((uintptr_t)p & ~(uintptr_t)(PAGE_SIZE - 1)));
}

void xm_maps_idle(void);
void xm_maps_idle(void)
{
    XM_CHECK(!maps[xm_cpu], "%u pages are left mapped", maps[xm_cpu]);
}

/* --- the frame table ------------------------------------------------------------------------ */

struct page_info *mfn_to_page(mfn_t mfn)
{
    XM_CHECK(mfn_x(mfn) < XM_FRAMES, "frame %#lx has no page_info", mfn_x(mfn));
    return &xm_frames[mfn_x(mfn)].pg;
}

mfn_t page_to_mfn(const struct page_info *pg)
{
    return _mfn((unsigned long)(container_of(pg, const struct xm_frame, pg) - xm_frames));
}

/* What is not bounded but by the machine's memory, or by what a guest makes of its p2m, is done in pieces. */
void xm_looked(unsigned int effort)
{
    looked[xm_cpu] += effort;
    XM_CHECK(looked[xm_cpu] < 10000, "too much is looked at without a look at the clock");
}

void xm_looked_at_clock(void)
{
    looked[xm_cpu] = 0;
}

bool mfn_valid(mfn_t mfn)
{
    xm_looked(1);
    return mfn_x(mfn) < XM_FRAMES;
}

struct domain *page_get_owner(const struct page_info *pg)
{
    return container_of(pg, const struct xm_frame, pg)->owner;
}

bool is_special_page(const struct page_info *page)
{
    return container_of(page, const struct xm_frame, pg)->special;
}

void xm_share_page(struct xm_domain *d, unsigned int n, bool shared)
{
    xm_frames[xm_mfn(d, n)].special = shared;
}

void xm_strict(bool yes)
{
    iommu_hwdom_strict = yes;
    shim_options.strict = yes;
}

void xm_strict_boot(void)
{
    XM_CHECK(shim_options.strict == iommu_hwdom_strict, "how strict Xen is with dom0 was not noted at boot");
    xm_strict(false);
}

unsigned int xm_refs(uint64_t mfn)
{
    return xm_frames[mfn].refs;
}

unsigned int xm_types(uint64_t mfn)
{
    return xm_frames[mfn].types;
}

bool xm_dirty(uint64_t mfn)
{
    bool dirty = xm_frames[mfn].dirty;

    xm_frames[mfn].dirty = false;
    return dirty;
}

/* Of a frame that nobody holds the owner may be another by now. */
void paging_mark_dirty(struct domain *d, mfn_t gmfn)
{
    struct xm_frame *f = &xm_frames[mfn_x(gmfn)];

    XM_CHECK(!xm_atomic(), "a frame is marked as written under a spinlock");
    xm_in();
    XM_CHECK(f->refs && f->owner == d, "frame %#lx is marked as written, and is not held, or another's", mfn_x(gmfn));
    f->dirty = true;
    xm_out();
}

/* The last reference has gone, the guest's own among them. */
void xm_frame_free(unsigned long mfn)
{
    struct xm_frame *f = &xm_frames[mfn];

    if (!f->refs && !f->allocated && f->use == XM_GUEST) {
        XM_CHECK(!f->types, "frame %#lx is free, and has a writable type", mfn);
        f->owner = NULL;
        f->use = XM_POOL;
    }
}

int get_page_type(struct page_info *pg, unsigned long type)
{
    struct xm_frame *f = container_of(pg, struct xm_frame, pg);
    int got = 0;

    xm_in();
    XM_CHECK(type == PGT_writable_page, "type %#lx", type);
    XM_CHECK(f->refs, "a type is taken of a frame without a reference");
    if (!f->is_table) {
        f->types++;
        got = 1;
    }
    xm_out();
    return got;
}

static void put(struct page_info *pg, bool typed)
{
    struct xm_frame *f = container_of(pg, struct xm_frame, pg);
    unsigned long mfn = (unsigned long)(f - xm_frames);

    xm_in();
    XM_CHECK(f->use == XM_GUEST && f->refs, "frame %#lx is put, and nobody has it", mfn);
    if (typed) {
        XM_CHECK(f->types, "frame %#lx is put with its type, which nobody has", mfn);
        f->types--;
    }
    f->refs--;
    XM_CHECK(f->refs >= f->types, "frame %#lx is put without its type", mfn);
    xm_reach_check(mfn);
    xm_frame_free(mfn);
    xm_out();
}

void put_page(struct page_info *pg)
{
    put(pg, false);
}

void put_page_and_type(struct page_info *pg)
{
    put(pg, true);
}
