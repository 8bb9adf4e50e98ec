/* SPDX-License-Identifier: MIT */
/* A guest with tables of its own behind the library's AMD-Vi driver; see the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_guest.h"

#define PTE 0x67ull /* present, writable, user, accessed, dirty */

struct bench bench;

uint64_t guest_page(struct guest *g)
{
    uint64_t gpa = GUEST_GPA + g->nr * 0x1000ull;

    assert_true(g->nr < GUEST_PAGES);
    g->pa[g->nr] = bench_page(&bench);
    bench_map(&bench, g->v1, 4, gpa, g->pa[g->nr], true, true);
    g->nr++;
    return gpa;
}

uint64_t guest_pa(const struct guest *g, uint64_t gpa)
{
    assert_true(gpa >= GUEST_GPA && (gpa - GUEST_GPA) >> 12 < g->nr);
    return g->pa[(gpa - GUEST_GPA) >> 12] | (gpa & 0xFFF);
}

uint64_t *guest_at(const struct guest *g, uint64_t gpa)
{
    return bench_ptr(&bench, guest_pa(g, gpa));
}

uint64_t *guest_v1(const struct guest *g, uint64_t gpa)
{
    uint64_t t = g->v1;

    for (unsigned level = 4; level > 1; level--) {
        t = bench_ptr(&bench, t)[gpa >> (12 + 9 * (level - 1)) & 511] & GUEST_ADDR;
    }
    return &bench_ptr(&bench, t)[gpa >> 12 & 511];
}

void guest_new(struct guest *g)
{
    memset(g, 0, sizeof(*g));
    g->v1 = bench_page(&bench);
}

uint64_t *guest_v2(struct guest *g, uint64_t root, unsigned levels, uint64_t iova)
{
    uint64_t *entry;

    for (unsigned level = levels; level > 1; level--) {
        entry = guest_at(g, root) + (iova >> (12 + 9 * (level - 1)) & 511);
        if (*entry == 0) {
            *entry = guest_page(g) | PTE;
        }
        root = *entry & GUEST_ADDR;
    }
    return guest_at(g, root) + (iova >> 12 & 511);
}

uint64_t guest_v2_page(struct guest *g, uint64_t root, unsigned levels, uint64_t iova)
{
    uint64_t gpa = guest_page(g);

    *guest_v2(g, root, levels, iova) = gpa | PTE;
    return guest_pa(g, gpa);
}

void guest_gcr3(struct guest *g, uint64_t root, unsigned depth, uint32_t pasid, uint64_t v2)
{
    uint64_t *entry;

    for (unsigned level = depth - 1; level > 0; level--) {
        entry = guest_at(g, root) + (pasid >> (9 * level) & 511);
        if (*entry == 0) {
            *entry = guest_page(g) | 1;
        }
        root = *entry & GUEST_ADDR;
    }
    guest_at(g, root)[pasid & 511] = v2 | 1;
}

struct hwm_amd_cfg guest_hw(void)
{
    struct hwm_amd_cfg hw;

    hwm_amd_cfg_default(&hw);
    hw.gt_sup = hw.gio_sup = hw.gcr3_trp = true;
    hw.guest_levels = 5;
    hw.glx_sup = 2;
    hw.pas_max = 19;
    return hw;
}

void guest_up_as(const struct hwm_amd_cfg *hw)
{
    bench_open(&bench, hw);
    bench.cfg.guest = true;
    assert_int_equal(pvi_amdvi_unit_init(&bench.u, bench.h, &bench.cfg), 0);
    assert_int_equal(pvi_amdvi_unit_enable(&bench.u), 0);
    hwm_log_reset(bench.hw);
}

void guest_up(void)
{
    struct hwm_amd_cfg hw = guest_hw();

    guest_up_as(&hw);
}

uint64_t guest_go(enum hwm_result (*how)(struct hwm *, const struct hwm_req *, struct hwm_xlat *),
                  uint16_t rid, int pasid, uint64_t iova)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .write = true, .has_pasid = pasid >= 0};
    struct hwm_xlat x;
    enum hwm_result got;

    req.pasid = pasid >= 0 ? (uint32_t)pasid : 0;
    got = how(bench.hw, &req, &x);
    assert_true(got == HWM_OK || got == HWM_FAULT);
    return got == HWM_OK ? x.pa : GUEST_BLOCKED;
}

uint64_t guest_dma(int pasid, uint64_t iova)
{
    return guest_go(hwm_dma_req, GUEST_RID, pasid, iova);
}

void guest_told(struct pvi_inv inv)
{
    assert_int_equal(bench_inv(&bench, inv), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&bench.u), 0);
}

void guest_moved(uint16_t rid, uint16_t old_did)
{
    assert_int_equal(bench_inv(&bench, INV_DEVICE(rid)), 0);
    guest_told(INV_DOMAIN(old_did));
}

struct pvi_dev_entry guest_entry(const struct guest *g, uint16_t did, uint64_t gcr3,
                                 unsigned levels, unsigned depth)
{
    struct pvi_dev_entry to = {.translate = true, .levels = 4, .did = did, .root = {g->v1}};

    to.guest.root = gcr3;
    to.guest.levels = (uint8_t)levels;
    to.guest.depth = (uint8_t)depth;
    return to;
}

int guest_put(uint16_t rid, struct pvi_dev_entry to)
{
    bool was_absent = true;
    int rc = pvi_amdvi_unit_switch(&bench.u, rid, &to, &was_absent);

    assert_false(was_absent);
    return rc;
}

int guest_nest(const struct guest *g, uint16_t did, uint64_t gcr3, unsigned levels, unsigned depth)
{
    return guest_put(GUEST_RID, guest_entry(g, did, gcr3, levels, depth));
}
