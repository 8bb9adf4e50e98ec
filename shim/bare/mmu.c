/* SPDX-License-Identifier: MIT */
/* The processor as a walker: accesses that may fault, and tables that it walks. See mmu.h. */
#include "mmu.h"

#include "platform.h"

#define NR_PAGES 64u

#define CR4_LA57 ((uint64_t)1 << 12)
#define CR4_SMAP ((uint64_t)1 << 21)

#define CPUID_SMAP  (1u << 20) /* leaf 7, EBX */
#define CPUID_WIDTH 0x80000008u

/* Longer ranges are forgotten all at once. */
#define INVLPG_MAX 512u

/* A page fault at 1 goes on at 2, with the error code in RAX and the address in RDX (boot.S). */
#define FIXUP ".pushsection .fixups, \"a\"\n\t.quad 1b, 2b\n\t.popsection"

struct mmu_answer mmu_load(uint64_t va)
{
    struct mmu_answer a;

    __asm__ __volatile__("1: movq (%2), %1\n\t"
                         "movq $-1, %0\n"
                         "2:\n\t" FIXUP
                         : "=&a"(a.fault), "=&d"(a.word)
                         : "r"(va)
                         : "rcx", "memory", "cc");
    return a;
}

struct mmu_answer mmu_store(uint64_t va, uint64_t word)
{
    struct mmu_answer a;

    __asm__ __volatile__("1: movq %3, (%2)\n\t"
                         "movq $-1, %0\n"
                         "2:\n\t" FIXUP
                         : "=&a"(a.fault), "=&d"(a.word)
                         : "r"(va), "r"(word)
                         : "rcx", "memory", "cc");
    return a;
}

static uint64_t cr3(void)
{
    uint64_t value;

    __asm__ __volatile__("movq %%cr3, %0" : "=r"(value));
    return value;
}

static void set_cr3(uint64_t value)
{
    __asm__ __volatile__("movq %0, %%cr3" : : "r"(value) : "memory");
}

static uint64_t cr4(void)
{
    uint64_t value;

    __asm__ __volatile__("movq %%cr4, %0" : "=r"(value));
    return value;
}

static void set_cr4(uint64_t value)
{
    __asm__ __volatile__("movq %0, %%cr4" : : "r"(value) : "memory");
}

void mmu_invlpg(uint64_t va)
{
    __asm__ __volatile__("invlpg (%0)" : : "r"(va) : "memory");
}

/* RFLAGS.AC is clear: the image never sets it. Its own pages are the supervisor's. */
struct mmu_answer mmu_load_supervisor(uint64_t va)
{
    uint64_t before = cr4();
    struct mmu_answer a;

    set_cr4(before | CR4_SMAP);
    a = mmu_load(va);
    set_cr4(before);
    return a;
}

static void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ __volatile__("cpuid"
                         : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                         : "a"(leaf), "c"(0));
}

bool mmu_check(struct mmu *m, bool good, const char *name)
{
    m->nr++;
    m->nr_bad += !good;
    bare_print("%s %u - %s, %u levels: %s\n", good ? "ok" : "not ok", m->nr, m->ops->name,
               m->levels, name);
    return good;
}

void mmu_init(struct mmu *m, struct pvi_host *h)
{
    uint32_t r[4];

    memset(m, 0, sizeof(*m));
    m->h = h;
    cpuid(0, r);
    if (r[0] < 7) {
        bare_fatal("the processor lacks CPUID leaf 7: -cpu max");
    }
    cpuid(7, r);
    if ((r[1] & CPUID_SMAP) == 0) {
        bare_fatal("the processor lacks SMAP: -cpu max");
    }
    cpuid(CPUID_WIDTH, r);
    m->cpu_pa_bits = r[0] & 0xFF;
    m->levels = (cr4() & CR4_LA57) != 0 ? 5 : 4;
    m->own_root = cr3();
    /* Far from what the image maps, and with a bit set in each level's index. */
    m->va = 0x123440000000u;
    if (m->levels == 5) {
        m->va |= (uint64_t)5 << 48;
    }
}

/* The first 256 GiB (5 levels: 256 TiB) stay the image's own, by an entry that the engine never
 * looks at. */
static void lend(struct mmu *m, bool lent)
{
    uint64_t *root = pvi_env_map(m->h, m->pt.root->pa);

    root[0] = lent ? *(const uint64_t *)(uintptr_t)m->own_root : 0;
}

void mmu_open(struct mmu *m, const struct pvi_pt_ops *ops, bool dirty, unsigned pa_bits)
{
    struct pvi_pt_cfg cfg;
    uint32_t done;

    m->ops = ops;
    memset(&cfg, 0, sizeof(cfg));
    cfg.ops = ops;
    cfg.page_sizes = ops->page_sizes;
    cfg.levels = (uint8_t)m->levels;
    cfg.iova_bits = ops->iova_bits(m->levels);
    cfg.pa_bits = (uint8_t)(pa_bits != 0 ? pa_bits : m->cpu_pa_bits);
    cfg.coherent = true;
    cfg.dirty = dirty;
    memset(&m->quota, 0, sizeof(m->quota));
    pvi_pool_init(&m->pool, m->h);
    pvi_quota_limit(&m->pool, &m->quota, NR_PAGES);
    if (pvi_pool_grow(&m->pool, NR_PAGES, &done) != 0 ||
        pvi_pt_init(&m->pt, &cfg, &m->pool, &m->quota) != 0) {
        bare_fatal("no table");
    }
    pvi_gather_init(&m->gather, m->h, NULL, ops);
    lend(m, true);
    set_cr3(m->pt.root->pa.a);
}

void mmu_close(struct mmu *m)
{
    const uint64_t *root = pvi_env_map(m->h, m->pt.root->pa);
    bool empty = true;
    unsigned i;
    bool clear = mmu_clear(m);

    set_cr3(m->own_root);
    lend(m, false);
    for (i = 0; i < 512; i++) {
        empty = empty && root[i] == 0;
    }
    mmu_check(m, clear && empty, "all is unmapped, one page is left: the root");
    if (!empty) {
        bare_fatal("a table that is not empty cannot be ended");
    }
    pvi_pt_fini(&m->pt);
    mmu_check(m, pvi_pool_shrink(&m->pool, NR_PAGES) == NR_PAGES, "every page of the pool is free");
}

bool mmu_clear(struct mmu *m)
{
    /* What the root's first entry spans is the image's. */
    uint64_t first = (uint64_t)1 << (12 + 9 * (m->levels - 1));
    int rc = mmu_unmap(m, first, ((uint64_t)1 << m->pt.cfg.iova_bits) - first);

    mmu_flush(m);
    return rc == 0 && mmu_pages(m) == 1;
}

uint32_t mmu_pages(struct mmu *m)
{
    return pvi_quota_used(&m->pool, &m->quota);
}

/* Accesses judged ------------------------------------------------------------------------------ */

bool mmu_lands(struct mmu *m, uint64_t va, uint64_t pa, bool writable)
{
    volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)pa;
    struct mmu_answer a;

    m->salt += 0x9E3779B97F4A7C15u;
    *word = m->salt;
    a = mmu_load(va);
    if (a.fault != FAULT_NONE || a.word != m->salt) {
        return false;
    }
    a = mmu_store(va, ~m->salt);
    if (!writable) {
        return a.fault == (FAULT_P | FAULT_W) && a.word == va && *word == m->salt;
    }
    return a.fault == FAULT_NONE && *word == ~m->salt;
}

bool mmu_faults(uint64_t va, unsigned read_code, unsigned write_code)
{
    struct mmu_answer r = mmu_load(va);
    struct mmu_answer w = mmu_store(va, 0);

    return r.fault == read_code && r.word == va && w.fault == write_code && w.word == va;
}

bool mmu_absent(uint64_t va)
{
    return mmu_faults(va, 0, FAULT_W);
}

uint64_t *mmu_entry(struct mmu *m, uint64_t va, unsigned *lg2)
{
    uint64_t table = m->pt.root->pa.a;
    uint64_t *entry;
    unsigned shift = 12 + 9 * (m->levels - 1);

    for (;; shift -= 9) {
        entry = (uint64_t *)(uintptr_t)table + (va >> shift & 0x1FF);
        if ((*entry & CPU_P) == 0) {
            return NULL;
        }
        if (shift == 12 || (*entry & CPU_PS) != 0) {
            *lg2 = shift;
            return entry;
        }
        table = *entry & 0x000FFFFFFFFFF000u;
    }
}

/* Requests ------------------------------------------------------------------------------------- */

void mmu_flush(struct mmu *m)
{
    uint64_t va;
    uint32_t i;

    for (i = 0; i < m->gather.nr_ranges; i++) {
        const struct pvi_gather_range *r = &m->gather.range[i];

        if (r->whole || r->last - r->first >= INVLPG_MAX * PAGE4K) {
            set_cr3(cr3());
            break;
        }
        for (va = r->first; va < r->last; va += PAGE4K) {
            mmu_invlpg(va);
        }
    }
    PVI_ASSERT(pvi_gather_flush(&m->gather) == 0);
}

/* Does the request go on after this answer? */
static bool more(struct mmu *m, int rc)
{
    if (rc == -PVI_EBUSY) {
        mmu_flush(m);
    }
    return rc == 0 || rc == -PVI_EBUSY;
}

int mmu_map(struct mmu *m, uint64_t va, uint64_t pa, uint64_t len, unsigned prot, bool replace)
{
    struct pvi_pt_map r;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.iova = va;
    r.pa = pa;
    r.len = len;
    r.prot = (uint8_t)prot;
    r.replace = replace;
    while (r.done < len && more(m, rc)) {
        rc = m->ops->map(&m->pt, NULL, &r, &m->gather);
    }
    return rc;
}

int mmu_unmap(struct mmu *m, uint64_t va, uint64_t len)
{
    struct pvi_pt_unmap r;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.first = va;
    r.last = va + len - 1;
    r.next = va;
    r.holes = true;
    while (!r.complete && more(m, rc)) {
        rc = m->ops->unmap(&m->pt, NULL, &r, &m->gather);
    }
    return rc;
}

typedef int (*change_op)(struct pvi_pt *, struct pvi_context *, struct pvi_pt_change *,
                         struct pvi_gather *);

static int change(struct mmu *m, change_op op, uint64_t va, uint64_t len, unsigned prot,
                  unsigned lg2)
{
    struct pvi_pt_change r;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.first = va;
    r.last = va + len - 1;
    r.next = va;
    r.prot = (uint8_t)prot;
    r.owe = PVI_PT_KEEP;
    r.lg2 = (uint8_t)lg2;
    while (!r.complete && more(m, rc)) {
        rc = op(&m->pt, NULL, &r, &m->gather);
    }
    return rc;
}

int mmu_rights(struct mmu *m, uint64_t va, uint64_t len, unsigned prot)
{
    return change(m, m->ops->rights, va, len, prot, 0);
}

int mmu_split(struct mmu *m, uint64_t va, uint64_t len, unsigned lg2)
{
    return change(m, m->ops->split, va, len, 0, lg2);
}

int mmu_collapse(struct mmu *m, uint64_t va, uint64_t len)
{
    return change(m, m->ops->collapse, va, len, 0, 0);
}

int mmu_dirty(struct mmu *m, uint64_t va, uint64_t len, bool clear, uint64_t *bitmap)
{
    struct pvi_pt_dirty r;
    int rc = 0;

    memset(&r, 0, sizeof(r));
    r.first = va;
    r.last = va + len - 1;
    r.next = va;
    r.clear = clear;
    r.bitmap = bitmap;
    while (!r.complete && more(m, rc)) {
        rc = m->ops->dirty(&m->pt, NULL, &r, &m->gather);
    }
    return rc;
}
