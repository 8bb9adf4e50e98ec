/* SPDX-License-Identifier: MIT */
/* The rig of the tests of entries that name tables; see entry_rig.h. */
#include <string.h>

#include "entry_rig.h"

#define ARENA_PA   0x1000000ull
#define ARENA_SIZE 0x1000000ull
#define RAW_SIZE   0x400000ull
#define POOL_PAGES 200u

static void stored(void *opaque, enum pvi_posix_point at, bool after)
{
    struct entry_rig *r = opaque;

    if (!after) {
        return;
    }
    r->stores += at == PVI_AT_WRITE;
    if (r->on_store) {
        r->on_store(r->opaque);
    }
}

void entry_rig_up(struct entry_rig *r, bool coherent)
{
    struct pvi_posix_cfg cfg = {.pa = ARENA_PA, .size = ARENA_SIZE, .pages_first = RAW_SIZE};
    uint32_t done;

    memset(r, 0, sizeof(*r));
    r->host = pvi_posix_new(&cfg);
    CHECK(r->host);
    r->view.host = r->host;
    r->view.coherent = coherent;
    r->mem = (struct hwm_mem){.opaque = &r->view,
                              .read64 = pvi_posix_hw_read64,
                              .read32 = pvi_posix_hw_read32,
                              .write64 = pvi_posix_hw_write64,
                              .write32 = pvi_posix_hw_write32,
                              .valid = pvi_posix_hw_valid,
                              .cmpxchg64 = pvi_posix_hw_cmpxchg64};
    r->next_raw = ARENA_PA;
    pvi_pool_init(&r->pool, r->host);
    r->quota.limit = UINT32_MAX;
    CHECK_EQ(pvi_pool_grow(&r->pool, POOL_PAGES, &done), 0);
    pvi_posix_hook(r->host, PVI_AT_BIT(PVI_AT_WRITE) | PVI_AT_BIT(PVI_AT_WRITEBACK), stored, r);
}

void entry_rig_down(struct entry_rig *r)
{
    if (r->hw != NULL) {
        if (hwm_violation(r->hw) != NULL) {
            check_step("%s", hwm_violation(r->hw));
            CHECK(!"the unit was used as the manual says");
        }
        hwm_free(r->hw);
    }
    pvi_posix_free(r->host);
}

pvi_pa entry_page(struct entry_rig *r)
{
    return entry_pages(r, 0);
}

pvi_pa entry_pages(struct entry_rig *r, unsigned order)
{
    pvi_pa pa;

    CHECK_EQ(pvi_host_pages_alloc(r->host, order, &pa), 0);
    for (uint64_t at = 0; at < 0x1000ull << order; at += 8) {
        pvi_posix_hw_write64(&r->view, pa.a + at, 0x5a5a5a5a5a5a5a5b);
    }
    return pa;
}

uint64_t entry_raw(struct entry_rig *r, unsigned n)
{
    uint64_t size = n * 0x1000ull, pa = (r->next_raw + size - 1) / size * size;

    r->next_raw = pa + size;
    CHECK(r->next_raw <= ARENA_PA + RAW_SIZE);
    memset(pvi_posix_ptr(r->host, pa, size), 0, size);
    return pa;
}

uint64_t entry_word(struct entry_rig *r, uint64_t pa)
{
    return pvi_posix_hw_read64(&r->view, pa);
}

void entry_fake(struct entry_fake *f, const struct pvi_pt_ops *ops, unsigned levels, uint64_t root)
{
    memset(f, 0, sizeof(*f));
    f->pt.cfg.ops = ops;
    f->pt.cfg.levels = (uint8_t)levels;
    f->pt.cfg.page_sizes = 0x1000;
    f->pt.cfg.iova_bits = 48;
    f->pt.cfg.pa_bits = 46;
    f->pt.root = &f->root;
    f->root.pa.a = root;
}

void entry_table(struct entry_rig *r, struct pvi_pt *pt, const struct pvi_pt_cfg *cfg)
{
    struct pvi_pt_cfg c = *cfg;

    c.iova_bits = c.ops->iova_bits(c.levels);
    c.pa_bits = 46;
    CHECK_EQ(pvi_pt_init(pt, &c, &r->pool, &r->quota), 0);
}

void entry_map(struct entry_rig *r, struct pvi_pt *pt, uint64_t iova, uint64_t pa, uint64_t len)
{
    struct pvi_pt_map m = {.iova = iova, .pa = pa, .len = len, .prot = PVI_RW};

    pvi_gather_init(&r->gather, r->host, NULL, pt->cfg.ops);
    while (m.done < len) {
        CHECK_EQ(pt->cfg.ops->map(pt, NULL, &m, &r->gather), 0);
    }
}
