/* SPDX-License-Identifier: MIT */
/*
 * The link-time functions of pviommu/host.h for the benchmark: pages from the arena of all contenders, one reference count
 * for each frame of the guest, a unit whose invalidations are only counted.
 */
#include "host.h"
#include "bench.h"
#include "memory.h"
#include <string.h>

void host_init(struct pvi_host *h, uint64_t first_pa, uint64_t nr_frames)
{
    memset(h, 0, sizeof(*h));
    h->arena.base = memory_arena;
    h->arena.pa = MEMORY_PA;
    h->arena.size = memory_pages << PVI_PAGE_LG2;
    h->arena.records = memory_records;
    h->arena.used = memory_used;
    h->arena.first_pa = MEMORY_PA;
    h->arena.nr_pages = memory_pages;
    pvi_env_arena_ready(&h->arena);
    h->first_pa = first_pa;
    h->nr_frames = nr_frames;
    if (nr_frames != 0) {
        h->refs = memory_object(nr_frames * sizeof(*h->refs));
    }
}

void host_fini(struct pvi_host *h)
{
    memory_object_free(h->refs);
}

/* Memory */

int pvi_host_page_alloc(struct pvi_host *h, pvi_pa *pa)
{
    unsigned char *page = memory_get_raw();

    if (!page) {
        return -PVI_ENOMEM;
    }
    pa->a = (uint64_t)(page - memory_arena) + MEMORY_PA;
    memset(pvi_env_page(h, *pa), 0, MEMORY_RECORD);
    return 0;
}

void pvi_host_page_free(struct pvi_host *h, pvi_pa pa)
{
    (void)h;
    memory_put(memory_arena + (pa.a - MEMORY_PA));
}

int pvi_host_pages_alloc(struct pvi_host *h, unsigned order, pvi_pa *pa)
{
    (void)h;
    (void)order;
    (void)pa;
    return -PVI_ENOMEM;
}

void pvi_host_pages_free(struct pvi_host *h, pvi_pa pa, unsigned order)
{
    (void)h;
    (void)pa;
    (void)order;
}

void *pvi_host_mem_alloc(struct pvi_host *h, size_t size)
{
    (void)h;
    return memory_object(size);
}

void pvi_host_mem_free(struct pvi_host *h, void *p, size_t size)
{
    (void)h;
    (void)size;
    memory_object_free(p);
}

/* Time */

bool pvi_host_preempt(struct pvi_host *h)
{
    if (h->timed) {
        uint64_t now = ticks(), since = now - h->seen.checkpoint;

        h->seen.longest = since > h->seen.longest ? since : h->seen.longest;
        h->seen.checkpoint = ticks();
    }
    return false;
}

bool pvi_host_poll(struct pvi_host *h, uint64_t turns)
{
    (void)h;
    (void)turns;
    return true;
}

/* Frames */

int pvi_host_frame_get(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn gfn, uint64_t nr, unsigned prot,
                       struct pvi_frames *out)
{
    uint64_t i;

    (void)d;
    (void)prot;
    if (gfn.f >= h->nr_frames || nr > h->nr_frames - gfn.f) {
        return -PVI_ENOFRAME;
    }
    nr = nr < PVI_TABLE_ENTRIES ? nr : PVI_TABLE_ENTRIES; /* what is pinned one by one is pinned in bounded pieces */
    for (i = 0; i < nr; i++) {
        h->refs[gfn.f + i]++;
    }
    h->referenced += nr;
    out->pa.a = h->first_pa + (gfn.f << PVI_PAGE_LG2);
    out->nr = nr;
    out->owe = PVI_OWE_REF;
    return 0;
}

void pvi_host_frame_put(struct pvi_host *h, struct pvi_hdom *d, const struct pvi_frames *run)
{
    uint64_t first = (run->pa.a - h->first_pa) >> PVI_PAGE_LG2, i;

    (void)d;
    h->seen.frames_put += run->nr;
    if (h->refs) {
        for (i = 0; i < run->nr; i++) {
            h->refs[first + i]--;
        }
        h->referenced -= run->nr;
    }
}

int pvi_host_frame_gfn(struct pvi_host *h, struct pvi_hdom *d, pvi_pa pa, pvi_gfn *gfn)
{
    (void)d;
    gfn->f = (pa.a - h->first_pa) >> PVI_PAGE_LG2;
    return gfn->f < h->nr_frames ? 0 : -PVI_ENOFRAME;
}

int pvi_host_identity_next(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn from, struct pvi_identity_run *run)
{
    (void)h;
    (void)d;
    (void)from;
    (void)run;
    return -PVI_ENOENT;
}

/* Domains */

int pvi_host_domain(struct pvi_host *h, struct pvi_hdom *caller, uint16_t domid, struct pvi_domain **out)
{
    (void)caller;
    (void)domid;
    *out = h->domain;
    return 0;
}

bool pvi_host_may_init(struct pvi_host *h, struct pvi_hdom *d)
{
    (void)h;
    (void)d;
    return true;
}

/* Units */

int pvi_host_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t *did)
{
    (void)h;
    (void)u;
    *did = 1;
    return 0;
}

void pvi_host_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    (void)h;
    (void)u;
    (void)did;
}

int pvi_host_dev_switch(struct pvi_host *h, struct pvi_unit *u, uint16_t rid, const struct pvi_dev_entry *to,
                        bool *was_absent)
{
    (void)h;
    (void)u;
    (void)rid;
    (void)to;
    *was_absent = false;
    return 0;
}

int pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv, unsigned nr)
{
    (void)u;
    (void)inv;
    h->seen.invalidations += nr;
    return 0;
}

int pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u)
{
    (void)u;
    h->seen.waits++;
    return 0;
}

void pvi_host_event(struct pvi_host *h, enum pvi_event what, uint64_t a, uint64_t b)
{
    (void)h;
    (void)a;
    (void)b;
    memory_warn("pvi_host_event", (int)what);
}

/* There are no registers: the unit drivers are linked, but never started. */

uint32_t pvi_host_mmio_read32(struct pvi_host *h, uint64_t pa)
{
    (void)h;
    (void)pa;
    return UINT32_MAX;
}

uint64_t pvi_host_mmio_read64(struct pvi_host *h, uint64_t pa)
{
    (void)h;
    (void)pa;
    return UINT64_MAX;
}

void pvi_host_mmio_write32(struct pvi_host *h, uint64_t pa, uint32_t value)
{
    (void)h;
    (void)pa;
    (void)value;
}

void pvi_host_mmio_write64(struct pvi_host *h, uint64_t pa, uint64_t value)
{
    (void)h;
    (void)pa;
    (void)value;
}

void pvi_posix_assert_failed(const char *what, const char *file, int line)
{
    memory_warn(file, line);
    memory_warn(what, 0);
    __builtin_trap();
}
