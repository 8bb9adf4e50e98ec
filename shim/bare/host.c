/* SPDX-License-Identifier: MIT */
/* The bare host: what pviommu/host.h asks of a hypervisor, in the order of that header. */
#include "host.h"

#include "platform.h"

/* States of a page of the allocator. */
enum {
    PAGE_FREE = 0,
    PAGE_TAIL = 1, /* of a block: not its first page */
    PAGE_HEAD = 2  /* + order: first page of a block */
};

#define POISON 0xA5

/* A unit that needs more turns than this is given up. */
#define POLL_TURNS (1u << 20)

uint32_t bare_locks_held;

void bare_assert_failed(const char *what, const char *file, int line)
{
    bare_print("# %s:%d: assertion failed: %s\n", file, line, what);
    bare_fatal("assertion failed");
}

void bare_host_init(struct pvi_host *h)
{
    if (bare_ram_low() < BARE_PAGES_PA + BARE_NR_PAGES * PVI_PAGE_SIZE) {
        bare_fatal("too little RAM for the hypervisor's pages: give the machine 2 GiB");
    }
    memset(h, 0, sizeof(*h));
}

/* Memory --------------------------------------------------------------------------------------- */

static void *pointer(uint64_t pa)
{
    return (void *)(uintptr_t)pa;
}

struct pvi_page *pvi_env_page(struct pvi_host *h, pvi_pa pa)
{
    uint64_t i =
        (pa.a - BARE_PAGES_PA) >> PVI_PAGE_LG2; /* below the first page this is a huge number */

    return i < BARE_NR_PAGES && h->state[i] != PAGE_FREE ? &h->record[i] : NULL;
}

static bool block_free(const struct pvi_host *h, uint32_t first, uint32_t nr)
{
    uint32_t i;

    for (i = first; i < first + nr && h->state[i] == PAGE_FREE; i++) {
    }
    return i == first + nr;
}

static int block_take(struct pvi_host *h, unsigned order, pvi_pa *pa)
{
    uint32_t nr = 1u << order;
    uint32_t first;

    PVI_ASSERT(bare_locks_held == 0);
    for (first = 0; first < BARE_NR_PAGES && !block_free(h, first, nr); first += nr) {
    }
    if (first >= BARE_NR_PAGES) {
        return -PVI_ENOMEM;
    }
    memset(&h->state[first], PAGE_TAIL, nr);
    h->state[first] = (uint8_t)(PAGE_HEAD + order);
    memset(&h->record[first], 0, nr * sizeof(h->record[0]));
    h->pages_used += nr;
    pa->a = BARE_PAGES_PA + first * PVI_PAGE_SIZE;
    return 0;
}

static void block_give(struct pvi_host *h, unsigned order, pvi_pa pa)
{
    uint32_t nr = 1u << order;
    uint32_t first = (uint32_t)((pa.a - BARE_PAGES_PA) >> PVI_PAGE_LG2);

    PVI_ASSERT(first < BARE_NR_PAGES && h->state[first] == PAGE_HEAD + order);
    memset(&h->state[first], PAGE_FREE, nr);
    h->pages_used -= nr;
}

/* The page is handed out with rubbish in it, so that a scrub that the library forgets is seen. */
int pvi_host_page_alloc(struct pvi_host *h, pvi_pa *pa)
{
    int rc = block_take(h, 0, pa);

    if (rc == 0) {
        memset(pointer(pa->a), POISON, PVI_PAGE_SIZE);
    }
    return rc;
}

void pvi_host_page_free(struct pvi_host *h, pvi_pa pa)
{
    const uint64_t *word = pointer(pa.a);
    unsigned i;

    for (i = 0; i < PVI_PAGE_SIZE / sizeof(*word); i++) {
        PVI_ASSERT(word[i] == 0); /* R22 */
    }
    block_give(h, 0, pa);
}

int pvi_host_pages_alloc(struct pvi_host *h, unsigned order, pvi_pa *pa)
{
    return block_take(h, order, pa);
}

void pvi_host_pages_free(struct pvi_host *h, pvi_pa pa, unsigned order)
{
    block_give(h, order, pa);
}

static unsigned order_of(size_t size)
{
    unsigned order = 0;

    while ((PVI_PAGE_SIZE << order) < size) {
        order++;
    }
    return order;
}

void *pvi_host_mem_alloc(struct pvi_host *h, size_t size)
{
    pvi_pa pa;

    if (block_take(h, order_of(size), &pa) != 0) {
        return NULL;
    }
    return memset(pointer(pa.a), 0, size);
}

void pvi_host_mem_free(struct pvi_host *h, void *p, size_t size)
{
    pvi_pa pa = {(uintptr_t)p};

    if (p) {
        block_give(h, order_of(size), pa);
    }
}

/* Time ----------------------------------------------------------------------------------------- */

bool pvi_host_preempt(struct pvi_host *h)
{
    PVI_ASSERT(bare_locks_held == 0);
    return h->preempt_always || bare_tick;
}

bool pvi_host_poll(struct pvi_host *h, uint64_t turns)
{
    (void)h;
    __builtin_ia32_pause();
    return turns < POLL_TURNS;
}

/* Frames --------------------------------------------------------------------------------------- */

void bare_guest_range(struct pvi_host *h, struct pvi_hdom *d, uint64_t gfn, uint64_t nr,
                      uint64_t pa, uint8_t prot)
{
    struct bare_range *r = &d->range[d->nr_ranges];

    PVI_ASSERT(d->nr_ranges < BARE_MAX_RANGES);
    r->gfn = gfn;
    r->nr = nr;
    r->pa = pa;
    r->prot = prot;
    r->frame = pvi_host_mem_alloc(h, nr * sizeof(*r->frame));
    PVI_ASSERT(r->frame);
    d->nr_ranges++;
}

void bare_guest_clear(struct pvi_host *h, struct pvi_hdom *d)
{
    while (d->nr_ranges > 0) {
        struct bare_range *r = &d->range[--d->nr_ranges];

        pvi_host_mem_free(h, r->frame, r->nr * sizeof(*r->frame));
    }
}

uint64_t bare_guest_refs(const struct pvi_hdom *d)
{
    uint64_t refs = 0;
    uint64_t i;
    unsigned n;

    for (n = 0; n < d->nr_ranges; n++) {
        for (i = 0; i < d->range[n].nr; i++) {
            refs += d->range[n].frame[i].refs;
        }
    }
    return refs;
}

static struct bare_range *range_of_gfn(struct pvi_hdom *d, uint64_t gfn)
{
    unsigned n;

    for (n = 0; n < d->nr_ranges; n++) {
        if (gfn - d->range[n].gfn < d->range[n].nr) {
            return &d->range[n];
        }
    }
    return NULL;
}

static struct bare_range *range_of_pa(struct pvi_hdom *d, uint64_t pa)
{
    unsigned n;

    for (n = 0; n < d->nr_ranges; n++) {
        if (pa - d->range[n].pa < d->range[n].nr << PVI_PAGE_LG2) {
            return &d->range[n];
        }
    }
    return NULL;
}

int pvi_host_frame_get(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn gfn, uint64_t nr,
                       unsigned prot, struct pvi_frames *out)
{
    struct bare_range *r = range_of_gfn(d, gfn.f);
    uint64_t at, i;

    (void)h;
    PVI_ASSERT(bare_locks_held == 0);
    if (!r) {
        return -PVI_ENOFRAME;
    }
    if ((prot & ~(r->prot | PVI_FRAME_IDENTITY)) != 0) {
        return -PVI_EPERM;
    }
    at = gfn.f - r->gfn;
    out->pa.a = r->pa + (at << PVI_PAGE_LG2);
    out->nr = nr < r->nr - at ? nr : r->nr - at;
    out->owe = prot & PVI_WRITE ? PVI_OWE_WRITABLE : PVI_OWE_REF;
    for (i = 0; i < out->nr; i++) {
        r->frame[at + i].refs++;
        r->frame[at + i].writers += out->owe == PVI_OWE_WRITABLE;
    }
    return 0;
}

void pvi_host_frame_put(struct pvi_host *h, struct pvi_hdom *d, const struct pvi_frames *run)
{
    struct bare_range *r = range_of_pa(d, run->pa.a);
    uint64_t i;

    (void)h;
    PVI_ASSERT(bare_locks_held == 0);
    PVI_ASSERT(r && run->nr <= r->nr - ((run->pa.a - r->pa) >> PVI_PAGE_LG2));
    for (i = 0; i < run->nr; i++) {
        struct bare_frame *frame = &r->frame[((run->pa.a - r->pa) >> PVI_PAGE_LG2) + i];

        PVI_ASSERT(frame->refs > 0);
        frame->refs--;
        if (run->owe == PVI_OWE_WRITABLE) {
            PVI_ASSERT(frame->writers > 0);
            frame->writers--;
        }
    }
}

int pvi_host_frame_gfn(struct pvi_host *h, struct pvi_hdom *d, pvi_pa pa, pvi_gfn *gfn)
{
    const struct bare_range *r = range_of_pa(d, pa.a);

    (void)h;
    if (!r) {
        return -PVI_ENOFRAME;
    }
    gfn->f = r->gfn + ((pa.a - r->pa) >> PVI_PAGE_LG2);
    return 0;
}

int pvi_host_identity_next(struct pvi_host *h, struct pvi_hdom *d, pvi_gfn from,
                           struct pvi_identity_run *run)
{
    unsigned n;

    (void)h;
    for (n = 0; n < d->nr_ranges; n++) {
        const struct bare_range *r = &d->range[n];

        if (from.f < r->gfn + r->nr) {
            run->first.f = from.f > r->gfn ? from.f : r->gfn;
            run->nr = r->gfn + r->nr - run->first.f;
            run->prot = r->prot;
            return 0;
        }
    }
    return -PVI_ENOENT;
}

/* Domains -------------------------------------------------------------------------------------- */

int pvi_host_domain(struct pvi_host *h, struct pvi_hdom *caller, uint16_t domid,
                    struct pvi_domain **out)
{
    unsigned n;

    for (n = 0; n < BARE_MAX_GUESTS; n++) {
        if (h->guest[n] && h->guest[n]->domid == domid) {
            *out = &h->guest[n]->domain;
            return caller->control || h->guest[n] == caller ? 0 : -PVI_EPERM;
        }
    }
    return caller->control ? -PVI_ENODOM : -PVI_EPERM; /* who may not act learns nothing */
}

bool pvi_host_may_init(struct pvi_host *h, struct pvi_hdom *d)
{
    (void)h;
    (void)d;
    return true;
}

/* Units ---------------------------------------------------------------------------------------- */

static bool is_vtd(const struct pvi_host *h, const struct pvi_unit *u)
{
    return u == &h->vtd.unit;
}

int pvi_host_did_alloc(struct pvi_host *h, struct pvi_unit *u, uint16_t *did)
{
    return is_vtd(h, u) ? pvi_vtd_unit_did_alloc(&h->vtd, did)
                        : pvi_amdvi_unit_did_alloc(&h->amdvi, did);
}

void pvi_host_did_free(struct pvi_host *h, struct pvi_unit *u, uint16_t did)
{
    if (is_vtd(h, u)) {
        pvi_vtd_unit_did_free(&h->vtd, did);
    } else {
        pvi_amdvi_unit_did_free(&h->amdvi, did);
    }
}

int pvi_host_dev_switch(struct pvi_host *h, struct pvi_unit *u, uint16_t rid,
                        const struct pvi_dev_entry *to, bool *was_absent)
{
    return is_vtd(h, u) ? pvi_vtd_unit_switch(&h->vtd, rid, to, was_absent)
                        : pvi_amdvi_unit_switch(&h->amdvi, rid, to, was_absent);
}

int pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                        unsigned nr)
{
    if (h->before_inv) {
        h->before_inv(h);
    }
    return is_vtd(h, u) ? pvi_vtd_unit_submit(&h->vtd, inv, nr)
                        : pvi_amdvi_unit_submit(&h->amdvi, inv, nr);
}

int pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u)
{
    PVI_ASSERT(bare_locks_held == 0);
    h->waits++;
    return is_vtd(h, u) ? pvi_vtd_unit_wait(&h->vtd) : pvi_amdvi_unit_wait(&h->amdvi);
}

int bare_next_fault(struct pvi_host *h, struct pvi_fault *f)
{
    return is_vtd(h, h->unit) ? pvi_vtd_unit_next_fault(&h->vtd, f)
                              : pvi_amdvi_unit_next_fault(&h->amdvi, f);
}

int bare_unit_disable(struct pvi_host *h)
{
    return is_vtd(h, h->unit) ? pvi_vtd_unit_disable(&h->vtd) : pvi_amdvi_unit_disable(&h->amdvi);
}

void pvi_host_event(struct pvi_host *h, enum pvi_event what, uint64_t a, uint64_t b)
{
    h->events++;
    bare_print("# event %u: 0x%llx 0x%llx\n", (unsigned)what, (unsigned long long)a,
               (unsigned long long)b);
}

/* Registers ------------------------------------------------------------------------------------ */

uint32_t pvi_host_mmio_read32(struct pvi_host *h, uint64_t pa)
{
    (void)h;
    return *(volatile uint32_t *)pointer(pa);
}

uint64_t pvi_host_mmio_read64(struct pvi_host *h, uint64_t pa)
{
    (void)h;
    return *(volatile uint64_t *)pointer(pa);
}

void pvi_host_mmio_write32(struct pvi_host *h, uint64_t pa, uint32_t value)
{
    (void)h;
    *(volatile uint32_t *)pointer(pa) = value;
}

void pvi_host_mmio_write64(struct pvi_host *h, uint64_t pa, uint64_t value)
{
    (void)h;
    *(volatile uint64_t *)pointer(pa) = value;
}
