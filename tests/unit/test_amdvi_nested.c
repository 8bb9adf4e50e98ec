/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi driver and nested entries: guests' own GCR3 tables and v2 tables before a v1 table, on the
 * hardware model (hwspec 6.7, 6.8, 6.10, 7.2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_bench.h"

#define RID       0x310
#define BLOCKED   UINT64_MAX
#define GPA       0x123456000ull /* the guest's memory: nothing of the host's is at these addresses */
#define NR_GPAGES 64u
#define ADDR      0xFFFFFFFFFF000ull
#define PTE       0x67ull /* present, writable, user, accessed, dirty */
#define GV        (1ull << 55)
#define MODE5     (1ull << 54) /* w2 */
#define INTR      0x9000000000fff7c1ull
#define NESTED    (1ull << 16 | 1ull << 58) /* Control: GTEn, GCR3TRPMode */
#define INV_GUEST(d, p, a, l)                                                                      \
    ((struct pvi_inv){.kind = PVI_INV_GUEST, .did = (d), .pasid = (p), .iova = (a), .lg2 = (l)})

static struct bench b;

/* One guest: its v1 table, which the host keeps, and its memory. */
struct guest {
    uint64_t v1;
    unsigned nr;
    uint64_t pa[NR_GPAGES];
};

static uint64_t gpage(struct guest *g)
{
    uint64_t gpa = GPA + g->nr * 0x1000ull;

    assert_true(g->nr < NR_GPAGES);
    g->pa[g->nr] = bench_page(&b);
    bench_map(&b, g->v1, 4, gpa, g->pa[g->nr], true, true);
    g->nr++;
    return gpa;
}

static uint64_t pa_of(const struct guest *g, uint64_t gpa)
{
    assert_true(gpa >= GPA && (gpa - GPA) >> 12 < g->nr);
    return g->pa[(gpa - GPA) >> 12] | (gpa & 0xFFF);
}

static uint64_t *at(const struct guest *g, uint64_t gpa)
{
    return bench_ptr(&b, pa_of(g, gpa));
}

static uint64_t *v1_entry(const struct guest *g, uint64_t gpa)
{
    uint64_t t = g->v1;

    for (unsigned level = 4; level > 1; level--) {
        t = bench_ptr(&b, t)[gpa >> (12 + 9 * (level - 1)) & 511] & ADDR;
    }
    return &bench_ptr(&b, t)[gpa >> 12 & 511];
}

static void guest_new(struct guest *g)
{
    memset(g, 0, sizeof(*g));
    g->v1 = bench_page(&b);
}

/* Entry of a v2 table, by hand. */
static uint64_t *v2_entry(struct guest *g, uint64_t root, unsigned levels, uint64_t iova)
{
    uint64_t *entry;

    for (unsigned level = levels; level > 1; level--) {
        entry = at(g, root) + (iova >> (12 + 9 * (level - 1)) & 511);
        if (*entry == 0) {
            *entry = gpage(g) | PTE;
        }
        root = *entry & ADDR;
    }
    return at(g, root) + (iova >> 12 & 511);
}

/* A new page at iova. */
static uint64_t v2_page(struct guest *g, uint64_t root, unsigned levels, uint64_t iova)
{
    uint64_t gpa = gpage(g);

    *v2_entry(g, root, levels, iova) = gpa | PTE;
    return pa_of(g, gpa);
}

static void gcr3_set(struct guest *g, uint64_t root, unsigned depth, uint32_t pasid, uint64_t v2)
{
    uint64_t *entry;

    for (unsigned level = depth - 1; level > 0; level--) {
        entry = at(g, root) + (pasid >> (9 * level) & 511);
        if (*entry == 0) {
            *entry = gpage(g) | 1;
        }
        root = *entry & ADDR;
    }
    at(g, root)[pasid & 511] = v2 | 1;
}

static struct hwm_amd_cfg features(void)
{
    struct hwm_amd_cfg hw;

    hwm_amd_cfg_default(&hw);
    hw.gt_sup = hw.gio_sup = hw.gcr3_trp = true;
    hw.guest_levels = 5;
    hw.glx_sup = 2;
    hw.pas_max = 19;
    return hw;
}

static void up_as(const struct hwm_amd_cfg *hw)
{
    bench_open(&b, hw);
    b.cfg.guest = true;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
    hwm_log_reset(b.hw);
}

static void up(void)
{
    struct hwm_amd_cfg hw = features();

    up_as(&hw);
}

static uint64_t go(enum hwm_result (*how)(struct hwm *, const struct hwm_req *, struct hwm_xlat *),
                   uint16_t rid, int pasid, uint64_t iova)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .write = true, .has_pasid = pasid >= 0};
    struct hwm_xlat x;
    enum hwm_result got;

    req.pasid = pasid >= 0 ? (uint32_t)pasid : 0;
    got = how(b.hw, &req, &x);
    assert_true(got == HWM_OK || got == HWM_FAULT);
    return got == HWM_OK ? x.pa : BLOCKED;
}

static uint64_t dma(int pasid, uint64_t iova)
{
    return go(hwm_dma_req, RID, pasid, iova);
}

static void told(struct pvi_inv inv)
{
    assert_int_equal(bench_inv(&b, inv), 0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
}

/* What the core does after a switch: the entry, then the pages of the id that it held. */
static void moved(uint16_t rid, uint16_t old_did)
{
    assert_int_equal(bench_inv(&b, INV_DEVICE(rid)), 0);
    told(INV_DOMAIN(old_did));
}

static struct pvi_dev_entry entry(const struct guest *g, uint16_t did, uint64_t gcr3,
                                  unsigned levels, unsigned depth)
{
    struct pvi_dev_entry to = {.translate = true, .levels = 4, .did = did, .root = {g->v1}};

    to.guest.root = gcr3;
    to.guest.levels = (uint8_t)levels;
    to.guest.depth = (uint8_t)depth;
    return to;
}

static int put(uint16_t rid, struct pvi_dev_entry to)
{
    bool was_absent = true;
    int rc = pvi_amdvi_unit_switch(&b.u, rid, &to, &was_absent);

    assert_false(was_absent);
    return rc;
}

static int nest(const struct guest *g, uint16_t did, uint64_t gcr3, unsigned levels, unsigned depth)
{
    return put(RID, entry(g, did, gcr3, levels, depth));
}

/* Capabilities: all four are needed, and without them the unit has no mode that an entry could use. */
static void capabilities(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        struct pvi_unit_caps *c = &b.u.unit.caps;
        struct hwm_amd_cfg hw = features();
        struct guest g;

        hw.gt_sup = (i & 1) != 0;
        hw.gio_sup = (i & 2) != 0;
        hw.gcr3_trp = (i & 4) != 0;
        bench_open(&b, &hw);
        b.cfg.guest = (i & 8) != 0;
        assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
        assert_int_equal(c->guest_levels, i == 15 ? 0x30 : 0);
        assert_int_equal(c->guest_depth, i == 15 ? 3 : 0);
        assert_int_equal(c->guest_flags, 0);
        assert_int_equal(c->pasid_bits, 0);
        assert_false(c->parent_rw);
        assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
        assert_int_equal(bench_reg(&b, R_CONTROL) & NESTED, i == 15 ? NESTED : 0);
        guest_new(&g);
        assert_int_equal(nest(&g, 1, GPA, 4, 1), i == 15 ? 0 : -PVI_EOPNOTSUPP);
        assert_int_equal(bench_dte(&b, RID)[0] == 0x3, i != 15);
        bench_close(&b);
    }
    for (unsigned glx = 0; glx < 3; glx++) {
        struct hwm_amd_cfg hw = features();

        hw.guest_levels = 4;
        hw.glx_sup = glx;
        up_as(&hw);
        assert_int_equal(b.u.unit.caps.guest_levels, 0x10);
        assert_int_equal(b.u.unit.caps.guest_depth, glx + 1);
        bench_close(&b);
    }
}

/* A unit that keeps Control as it was would take guests' addresses for the host's: it is not used. */
static void modes_not_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct hwm_amd_cfg hw = features();

        bench_open(&b, &hw);
        b.cfg.guest = true;
        b.and_not[R_CONTROL / 8] = i == 0 ? 1ull << 16 : 1ull << 58;
        assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
        assert_int_equal(pvi_amdvi_unit_enable(&b.u), -PVI_EHW);
        assert_true(b.u.unit.broken);
        assert_int_equal(pvi_posix_pages_used(b.h), 0);
        bench_close(&b);
    }
}

/* plain -> nested -> plain -> blocked */
static void there_and_back(void **state)
{
    uint64_t gcr3, v2, a, p, *dte;
    struct guest g;

    (void)state;
    up();
    guest_new(&g);
    gcr3 = gpage(&g);
    v2 = gpage(&g);
    gcr3_set(&g, gcr3, 1, 0, v2);
    gcr3_set(&g, gcr3, 1, 7, v2);
    a = v2_page(&g, v2, 4, 0x1000);
    p = pa_of(&g, GPA);
    dte = bench_dte(&b, RID);
    dte[1] = 3ull << 40 | 1ull << 38; /* how the host treats the device */
    dte[2] = INTR;
    dte[3] = 0xffc0000000000000ull;
    hwm_watch(b.hw, RID, 0x1000);
    hwm_watch(b.hw, RID, GPA);

    assert_int_equal(bench_switch(&b, RID, g.v1, 4, 1), 0);
    moved(RID, 1);
    assert_int_equal(dma(-1, GPA), p);
    assert_int_equal(dma(-1, 0x1000), BLOCKED);
    assert_int_equal(dma(7, 0x1000), BLOCKED);

    assert_int_equal(nest(&g, 2, gcr3, 4, 1), 0);
    assert_int_equal(dma(-1, GPA), p); /* no invalidation yet */
    moved(RID, 1);
    assert_int_equal(dma(-1, GPA), BLOCKED);
    assert_int_equal(dma(-1, 0x1abc), a + 0xabc);
    assert_int_equal(dma(7, 0x1abc), a + 0xabc);
    assert_int_equal(dma(8, 0x1abc), BLOCKED);
    assert_int_equal(dte[0], g.v1 | 0x60C0000000000803ull | (gcr3 >> 12 & 7) << 58);
    assert_int_equal(dte[1], 2 | (gcr3 >> 15 & 0xFFFF) << 16 | (gcr3 >> 31) << 43 | 3ull << 40 |
                                 1ull << 38);
    assert_int_equal(dte[2], INTR);

    assert_int_equal(bench_switch(&b, RID, g.v1, 4, 3), 0);
    assert_int_equal(dte[0], g.v1 | 0x6000000000000803ull);
    assert_int_equal(dte[1], 3 | 3ull << 40 | 1ull << 38);
    assert_int_equal(dma(-1, 0x1000), a);
    moved(RID, 2);
    assert_int_equal(dma(-1, 0x1000), BLOCKED);
    assert_int_equal(dma(7, 0x1000), BLOCKED);
    assert_int_equal(dma(-1, GPA), p);
    assert_int_equal(hwm_caches_page(b.hw, a), 0);

    assert_int_equal(nest(&g, 2, gcr3, 4, 1), 0);
    moved(RID, 3);
    assert_int_equal(dma(-1, 0x1000), a);
    assert_int_equal(bench_block(&b, RID), 0);
    assert_int_equal(dte[0], 3);
    assert_int_equal(dte[1], 3ull << 40 | 1ull << 38);
    moved(RID, 2);
    assert_int_equal(dma(-1, 0x1000), BLOCKED);
    assert_int_equal(dma(7, 0x1000), BLOCKED);
    assert_int_equal(dma(-1, GPA), BLOCKED);
    for (unsigned i = 0; i < g.nr; i++) { /* all of the guest's memory may go */
        assert_int_equal(hwm_caches_page(b.hw, g.pa[i]), 0);
    }
    assert_int_equal(dte[2], INTR);
    assert_int_equal(dte[3], 0xffc0000000000000ull);
    dte[2] = dte[3] = 0;
    bench_close(&b);
}

/* The guest's own PASIDs, in GCR3 tables of each depth over v2 tables of each depth. */
static void pasids(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        unsigned depth = i / 2 + 1, levels = 4 + i % 2;
        uint32_t last = depth == 1 ? 511 : depth == 2 ? 0x3FFFF : 0xFFFFF, is[4] = {0, 1, 300, last};
        uint64_t gcr3, page[4], top = (1ull << (11 + 9 * levels)) - 0x1000;
        struct guest g;

        up();
        guest_new(&g);
        gcr3 = gpage(&g);
        for (unsigned k = 0; k < 4; k++) {
            uint64_t v2 = gpage(&g);

            gcr3_set(&g, gcr3, depth, is[k], v2);
            page[k] = v2_page(&g, v2, levels, top);
        }
        assert_int_equal(nest(&g, 5, gcr3, levels, depth), 0);
        moved(RID, 5);
        for (unsigned k = 0; k < 4; k++) {
            assert_int_equal(dma((int)is[k], top), page[k]);
            assert_int_equal(dma((int)is[k], top - 0x1000), BLOCKED);
        }
        assert_int_equal(dma(-1, top), page[0]);
        assert_int_equal(dma(2, top), BLOCKED);
        assert_int_equal(dma((int)last + 1, top), BLOCKED);
        assert_int_equal(bench_dte(&b, RID)[2], levels == 5 ? MODE5 : 0);
        bench_close(&b);
    }
}

/* What the guest changes becomes true by its own invalidation, and for no other PASID or guest. */
static void guest_changes(void **state)
{
    uint64_t gcr3, v2[2], old[2], new_, *leaf;
    struct guest g;

    (void)state;
    up();
    guest_new(&g);
    gcr3 = gpage(&g);
    v2[0] = gpage(&g);
    v2[1] = gpage(&g);
    for (uint32_t pasid = 0; pasid < 3; pasid++) {
        gcr3_set(&g, gcr3, 1, pasid, v2[0]);
    }
    old[0] = v2_page(&g, v2[0], 4, 0x1000);
    old[1] = v2_page(&g, v2[0], 4, 0x2000);
    new_ = v2_page(&g, v2[1], 4, 0x1000);
    leaf = v2_entry(&g, v2[0], 4, 0x1000);
    assert_int_equal(nest(&g, 9, gcr3, 4, 1), 0);
    moved(RID, 9);
    for (int pasid = -1; pasid < 3; pasid++) {
        assert_int_equal(dma(pasid, 0x1000), old[0]);
        assert_int_equal(dma(pasid, 0x2000), old[1]);
    }

    *leaf = *v2_entry(&g, v2[1], 4, 0x1000);
    assert_int_equal(dma(1, 0x1000), old[0]);
    told(INV_GUEST(8, 1, 0x1000, 12)); /* somebody else's */
    assert_int_equal(dma(1, 0x1000), old[0]);
    told(INV_GUEST(9, 1, 0x1000, 12));
    assert_int_equal(dma(1, 0x1000), new_);
    assert_int_equal(dma(1, 0x2000), old[1]);
    assert_int_equal(dma(0, 0x1000), old[0]);
    assert_int_equal(dma(2, 0x1000), old[0]);
    told(INV_GUEST(9, 0, 0, 13)); /* 0 .. 0x1FFF of requests without PASID */
    assert_int_equal(dma(-1, 0x1000), new_);
    assert_int_equal(dma(2, 0x1000), old[0]);

    /* Another table for PASID 2: its GCR3 entry goes with all of the PASID. */
    gcr3_set(&g, gcr3, 1, 2, v2[1]);
    told(INV_GUEST(9, 1, 0, 64));
    assert_int_equal(dma(2, 0x2000), old[1]);
    told(INV_GUEST(9, 2, 0, 64));
    assert_int_equal(dma(2, 0x2000), BLOCKED);
    assert_int_equal(dma(2, 0x1000), new_);
    assert_int_equal(dma(1, 0x2000), old[1]);

    /* And a range given leaf by leaf: tables stay cached, which the guest asked for. */
    *leaf = *v2_entry(&g, v2[0], 4, 0x2000);
    assert_int_equal(bench_inv(&b, (struct pvi_inv){.kind = PVI_INV_GUEST, .did = 9, .pasid = 1,
                                                    .iova = 0x1000, .lg2 = 12, .leaf_only = true}),
                     0);
    assert_int_equal(pvi_amdvi_unit_wait(&b.u), 0);
    assert_int_equal(dma(1, 0x1000), old[1]);
    bench_close(&b);
}

/* The host takes a page away from below: by the id of the nested entry, whole. */
static void host_changes(void **state)
{
    uint64_t gcr3, v2, a, table, now;
    struct guest g;

    (void)state;
    up();
    now = bench_page(&b);
    guest_new(&g);
    gcr3 = gpage(&g);
    v2 = gpage(&g);
    gcr3_set(&g, gcr3, 1, 0, v2);
    gcr3_set(&g, gcr3, 1, 3, v2);
    a = v2_page(&g, v2, 4, 0x1000);
    assert_int_equal(nest(&g, 9, gcr3, 4, 1), 0);
    moved(RID, 9);
    assert_int_equal(dma(-1, 0x1000), a);
    assert_int_equal(dma(3, 0x1000), a);
    hwm_watch(b.hw, RID, 0x1000);

    *v1_entry(&g, *v2_entry(&g, v2, 4, 0x1000) & ADDR) = now | 7ull << 60 | 1;
    assert_int_equal(dma(3, 0x1000), a);
    told(INV_DOMAIN(8));
    assert_int_equal(dma(3, 0x1000), a);
    told(INV_DOMAIN(9));
    assert_int_equal(hwm_caches_page(b.hw, a), 0);
    assert_int_equal(dma(-1, 0x1000), now);
    assert_int_equal(dma(3, 0x1000), now);

    /* A page that was a table of the guest: no walk may go on in it. */
    table = pa_of(&g, v2);
    assert_true(hwm_caches_page(b.hw, table) != 0);
    *v1_entry(&g, v2) = 0;
    told(INV_DOMAIN(9));
    assert_int_equal(hwm_caches_page(b.hw, table), 0);
    assert_int_equal(dma(-1, 0x1000), BLOCKED);
    bench_close(&b);
}

/*
 * Whatever the guest's tables name, only what its v1 table maps is reached: not even the accessed
 * bit of a page outside is set.
 */
static void outside(void **state)
{
    uint64_t gcr3, v2, trap, a, *leaf;
    struct guest g;

    (void)state;
    up();
    guest_new(&g);
    trap = bench_page(&b); /* the host's; as a table of any kind it would lead to itself */
    for (unsigned i = 0; i < 512; i++) {
        bench_ptr(&b, trap)[i] = trap | 7;
    }
    gcr3 = gpage(&g);
    v2 = gpage(&g);
    gcr3_set(&g, gcr3, 1, 0, v2);
    gcr3_set(&g, gcr3, 1, 1, trap);
    a = v2_page(&g, v2, 4, 0x1000);
    leaf = v2_entry(&g, v2, 4, 0x2000);
    *leaf = trap | 7;
    at(&g, v2)[1] = trap | 7;                /* a table */
    at(&g, v2)[2] = (b.u.devtab.a) | 7;      /* the unit's own */
    at(&g, v2)[3] = (g.v1 & ADDR) | 7;       /* the table below */
    at(&g, v2)[4] = 0xFFFFFFFFFF000ull | 7;  /* nothing at all */
    assert_int_equal(nest(&g, 9, gcr3, 4, 1), 0);
    moved(RID, 9);
    assert_int_equal(dma(-1, 0x1000), a);
    assert_int_equal(dma(-1, 0x2000), BLOCKED);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_int_equal(dma(-1, i << 39), BLOCKED);
    }
    assert_int_equal(dma(1, 0x1000), BLOCKED);
    assert_int_equal(nest(&g, 9, trap, 4, 1), 0); /* the GCR3 table itself */
    moved(RID, 9);
    assert_int_equal(dma(-1, 0x1000), BLOCKED);
    assert_int_equal(nest(&g, 9, trap, 4, 3), 0);
    moved(RID, 9);
    assert_int_equal(dma(-1, 0x1000), BLOCKED);
    assert_int_equal(dma(0x12345, 0x1000), BLOCKED);
    for (unsigned i = 0; i < 512; i++) {
        assert_int_equal(bench_ptr(&b, trap)[i], trap | 7);
    }
    assert_int_equal(hwm_caches_page(b.hw, trap), 0);
    bench_close(&b);
}

/* Rights are those of both tables. */
static void rights(void **state)
{
    uint64_t gcr3, v2, page[3];
    struct guest g;

    (void)state;
    up();
    guest_new(&g);
    gcr3 = gpage(&g);
    v2 = gpage(&g);
    gcr3_set(&g, gcr3, 1, 0, v2);
    for (unsigned i = 0; i < 3; i++) {
        page[i] = v2_page(&g, v2, 4, i * 0x1000ull);
    }
    *v2_entry(&g, v2, 4, 0x1000) &= ~2ull;
    *v1_entry(&g, *v2_entry(&g, v2, 4, 0x2000) & ADDR) &= ~(1ull << 62);
    assert_int_equal(nest(&g, 9, gcr3, 4, 1), 0);
    moved(RID, 9);
    assert_int_equal(dma(-1, 0), page[0]);
    for (uint64_t i = 1; i < 3; i++) {
        uint64_t pa = 0;

        assert_int_equal(dma(-1, i << 12), BLOCKED);
        assert_int_equal(hwm_dma(b.hw, RID, i << 12, false, &pa, NULL), HWM_OK);
        assert_int_equal(pa, page[i]);
    }
    bench_close(&b);
}

/* Two guests use the same PASIDs and addresses. */
static void two_guests(void **state)
{
    struct guest g[2];
    uint64_t gcr3[2], v2[2], page[2], more[2];

    (void)state;
    up();
    for (unsigned i = 0; i < 2; i++) {
        guest_new(&g[i]);
        gcr3[i] = gpage(&g[i]);
        v2[i] = gpage(&g[i]);
        gcr3_set(&g[i], gcr3[i], 1, 4, v2[i]);
        page[i] = v2_page(&g[i], v2[i], 4, 0x1000);
        more[i] = v2_page(&g[i], v2[i], 4, 0x2000);
        assert_int_equal(put((uint16_t)(RID + i), entry(&g[i], (uint16_t)(9 + i), gcr3[i], 4, 1)), 0);
        moved((uint16_t)(RID + i), 9);
    }
    assert_int_equal(gcr3[0], gcr3[1]); /* as they see it */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(go(hwm_dma_req, (uint16_t)(RID + i), 4, 0x1000), page[i]);
        *v2_entry(&g[i], v2[i], 4, 0x1000) = *v2_entry(&g[i], v2[i], 4, 0x2000);
    }
    told(INV_GUEST(9, 4, 0, 64));
    assert_int_equal(go(hwm_dma_req, RID, 4, 0x1000), more[0]);
    assert_int_equal(go(hwm_dma_req, RID + 1, 4, 0x1000), page[1]);
    told(INV_DOMAIN(10));
    assert_int_equal(go(hwm_dma_req, RID + 1, 4, 0x1000), more[1]);
    bench_close(&b);
}

/*
 * After each store: V and TV are set, and whoever reads the entry now goes where it went before, or
 * where it shall, or nowhere. While the mode of v2 tables is stored no unit uses any.
 */
struct watch {
    uint64_t iova, old, now;
    unsigned stores;
    bool nested; /* the old entry */
    uint64_t w2;
};

static void look(void *opaque, enum pvi_posix_point point, bool after)
{
    struct watch *w = opaque;
    uint64_t *dte = bench_dte(&b, RID), pa;

    (void)point;
    if (!after) {
        return;
    }
    w->stores++;
    assert_int_equal(dte[0] & 3, 3);
    pa = go(hwm_walk_req, RID, -1, w->iova);
    assert_true(pa == w->old || pa == w->now || pa == BLOCKED);
    assert_int_equal(dte[2] & ~(3ull << 54), INTR);
    if (dte[2] != w->w2) {
        w->w2 = dte[2];
        assert_int_equal(dte[0] & GV, 0);
        if (w->nested) { /* the old entry is not even cached any more */
            assert_int_equal(hwm_peek(b.hw, RID, w->iova, true, NULL, NULL), HWM_FAULT);
        }
    }
}

static unsigned watched(struct watch *w, struct pvi_dev_entry to, uint64_t now)
{
    w->old = go(hwm_walk_req, RID, -1, w->iova);
    w->now = now;
    w->stores = 0;
    w->nested = (bench_dte(&b, RID)[0] & GV) != 0;
    w->w2 = bench_dte(&b, RID)[2];
    pvi_posix_hook(b.h, PVI_AT_BIT(PVI_AT_WRITE), look, w);
    assert_int_equal(put(RID, to), 0);
    pvi_posix_hook(b.h, 0, NULL, NULL);
    assert_int_equal(go(hwm_walk_req, RID, -1, w->iova), now);
    moved(RID, 1);
    assert_int_equal(dma(-1, w->iova), now);
    return w->stores;
}

static void every_store(void **state)
{
    struct watch w = {.iova = 0x7FFFFFFFF000};
    struct guest g;
    uint64_t gcr3[3], page[4];
    struct pvi_dev_entry to[4], none = {.translate = false};

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    up();
    guest_new(&g);
    bench_dte(&b, RID)[2] = INTR;
    for (unsigned i = 0; i < 3; i++) { /* two of four levels, one of five */
        uint64_t v2 = gpage(&g);
        unsigned levels = i == 2 ? 5 : 4;

        gcr3[i] = gpage(&g);
        gcr3_set(&g, gcr3[i], 1, 0, v2);
        page[i] = v2_page(&g, v2, levels, w.iova);
        to[i] = entry(&g, 1, gcr3[i], levels, 1);
    }
    to[3] = entry(&g, 1, 0, 0, 0); /* plain */
    page[3] = bench_page(&b);
    bench_map(&b, g.v1, 4, w.iova, page[3], true, true);
    hwm_watch(b.hw, RID, w.iova);

    assert_int_equal(watched(&w, to[3], page[3]), 1);
    assert_int_equal(watched(&w, to[2], page[2]), 2); /* the mode first */
    assert_int_equal(watched(&w, to[3], page[3]), 1);
    assert_int_equal(bench_dte(&b, RID)[0] & GV, 0);
    assert_int_equal(watched(&w, to[0], page[0]), 2);
    assert_int_equal(watched(&w, to[1], page[1]), 1); /* as many levels: one store */
    hwm_log_reset(b.hw);
    watched(&w, to[2], page[2]); /* four to five */
    assert_int_equal(hwm_log_count(b.hw, HWM_CTX_DEVICE), 2); /* one of them the driver's own */
    assert_int_equal(bench_dte(&b, RID)[2], INTR | MODE5);
    watched(&w, to[0], page[0]); /* and back */
    assert_int_equal(bench_dte(&b, RID)[2], INTR);
    assert_int_equal(watched(&w, none, BLOCKED), 1);
    assert_int_equal(watched(&w, to[2], page[2]), 2); /* out of a blocked one it is no detour */
    bench_dte(&b, RID)[2] = 0;
    bench_close(&b);
}

/* Refused entries leave the old one. */
static void refused(void **state)
{
    struct pvi_dev_entry good, to;
    struct hwm_amd_cfg hw = features();
    struct guest g;
    uint64_t before[4];

    (void)state;
    hw.glx_sup = 1;
    bench_open(&b, &hw);
    b.cfg.guest = true;
    assert_int_equal(pvi_amdvi_unit_init(&b.u, b.h, &b.cfg), 0);
    guest_new(&g);
    good = entry(&g, 1, GPA, 4, 2);
    assert_int_equal(put(RID, good), -PVI_ENOTINIT);
    assert_int_equal(pvi_amdvi_unit_enable(&b.u), 0);
    assert_int_equal(put(RID, good), 0);
    memcpy(before, bench_dte(&b, RID), 32);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        to = good;                                                                                 \
        to.change;                                                                                 \
        assert_int_equal(put(RID, to), -PVI_EOPNOTSUPP);                                           \
        assert_memory_equal(before, bench_dte(&b, RID), 32);                                       \
    } while (0)
    REFUSED(guest.levels = 1);
    REFUSED(guest.levels = 3);
    REFUSED(guest.levels = 6);
    REFUSED(guest.levels = 36);
    REFUSED(guest.levels = 255);
    REFUSED(guest.depth = 0);
    REFUSED(guest.depth = 3); /* two is what this unit has */
    REFUSED(guest.depth = 255);
    REFUSED(guest.root = GPA + 8);
    REFUSED(guest.root = GPA + 0x800);
    REFUSED(guest.root = 1ull << 52);
    REFUSED(guest.root = 1ull << 63);
    REFUSED(guest.flags = PVI_GUEST_SUPERVISOR);
    REFUSED(guest.flags = PVI_GUEST_WRITE_PROTECT);
    REFUSED(pasid = 1);
    REFUSED(levels = 0);
    REFUSED(levels = 7);
    REFUSED(did = 0);
    REFUSED(root.a = g.v1 + 8);
    to = good;
    to.guest.root = 0xFFFFFFFFFF000ull; /* the last one that the field holds */
    assert_int_equal(put(RID, to), 0);
    memcpy(before, bench_dte(&b, RID), 32);
    good = to;
    memset(&to, 0, sizeof(to));
    to.pasid = 5; /* to block a PASID is not to block the device */
    assert_int_equal(put(RID, to), -PVI_EOPNOTSUPP);
    assert_memory_equal(before, bench_dte(&b, RID), 32);
    bench_close(&b);
}

/* A change of mode that cannot be finished changes nothing. */
struct meddler {
    unsigned left, done;
};

static void meddle(void *opaque, enum pvi_posix_point point, bool after)
{
    struct meddler *m = opaque;
    uint64_t *dte = bench_dte(&b, RID);

    (void)point;
    /* A mode is stored, the new one or again the old one, and the half that decides is not yet. */
    if (after && m->left != 0 && (dte[0] & GV) == 0 &&
        (dte[2] & MODE5) == (m->done == 0 ? MODE5 : 0)) {
        m->left--;
        m->done++;
        dte[1] ^= 1ull << 34; /* SA, which is the host's */
    }
}

static void mode_change_fails(void **state)
{
    struct meddler m;
    struct guest g;
    uint64_t before[4];

    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        if (how > 0 && !pvi_posix_recording()) {
            skip();
        }
        up();
        guest_new(&g);
        bench_dte(&b, RID)[2] = INTR;
        assert_int_equal(nest(&g, 1, GPA, 4, 1), 0);
        memcpy(before, bench_dte(&b, RID), 32);
        hwm_log_reset(b.hw);
        if (how == 0) { /* the unit does not answer */
            hwm_stall(b.hw, true);
        } else { /* somebody else writes to the entry: once, or when it is put back, too */
            m.left = how;
            m.done = 0;
            pvi_posix_hook(b.h, PVI_AT_BIT(PVI_AT_WRITE), meddle, &m);
        }
        if (how == 1) {
            before[1] ^= 1ull << 34;
        }
        if (how == 2) {
            before[0] = 3;
            before[1] = 0;
        }
        assert_int_equal(nest(&g, 1, GPA, 5, 1), -PVI_EHW);
        pvi_posix_hook(b.h, 0, NULL, NULL);
        assert_memory_equal(before, bench_dte(&b, RID), 32);
        assert_int_equal(b.u.unit.broken, how != 1);
        bench_dte(&b, RID)[2] = 0;
        b.pages_lost = how != 1;
        bench_close(&b);
    }
}

/* Shut-down, with every way that a unit has to forget. */
static void shut_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct hwm_amd_cfg hw = features();
        uint64_t gcr3, v2, a;
        struct guest g;
        size_t counts[5];

        hw.ia_sup = i == 0;
        up_as(&hw);
        guest_new(&g);
        gcr3 = gpage(&g);
        v2 = gpage(&g);
        gcr3_set(&g, gcr3, 1, 0, v2);
        gcr3_set(&g, gcr3, 1, 3, v2);
        a = v2_page(&g, v2, 4, 0x1000);
        assert_int_equal(nest(&g, 1, gcr3, 4, 1), 0);
        moved(RID, 1);
        assert_int_equal(dma(-1, 0x1000), a);
        assert_int_equal(dma(3, 0x1000), a);
        assert_int_equal(pvi_amdvi_unit_disable(&b.u), 0);
        hwm_cache_counts(b.hw, counts);
        assert_int_equal(counts[0] + counts[1] + counts[2] + counts[3], 0);
        bench_close(&b);
    }
}

/* Events of both tables, as the host gets them. */
static void faults(void **state)
{
    uint64_t gcr3, v2, gpa;
    struct pvi_fault f;
    struct guest g;

    (void)state;
    up();
    guest_new(&g);
    gcr3 = gpage(&g);
    v2 = gpage(&g);
    gcr3_set(&g, gcr3, 3, 0, v2);
    gcr3_set(&g, gcr3, 3, 0xABCDE, v2);
    (void)v2_page(&g, v2, 4, 0x1000);
    assert_int_equal(nest(&g, 9, gcr3, 4, 3), 0);
    moved(RID, 9);
    assert_int_equal(dma(0xABCDE, 0x5000), BLOCKED);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_true(f.translation && f.write && f.has_pasid);
    assert_int_equal(f.pasid, 0xABCDE);
    assert_int_equal(f.rid, RID);
    assert_int_equal(f.did, 0);
    assert_int_equal(f.iova, 0x5000);
    assert_int_equal(dma(-1, 0x5000), BLOCKED);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_false(f.has_pasid);
    assert_int_equal(f.pasid, 0);
    assert_int_equal(f.did, 0);
    gpa = *v2_entry(&g, v2, 4, 0x1000) & ADDR;
    *v1_entry(&g, gpa) = 0;
    assert_int_equal(dma(0xABCDE, 0x1000), BLOCKED);
    assert_int_equal(pvi_amdvi_unit_next_fault(&b.u, &f), 1);
    assert_false(f.has_pasid);
    assert_int_equal(f.did, 9);
    assert_int_equal(f.iova, gpa);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities),   cmocka_unit_test(modes_not_taken),
        cmocka_unit_test(there_and_back), cmocka_unit_test(pasids),
        cmocka_unit_test(guest_changes),  cmocka_unit_test(host_changes),
        cmocka_unit_test(outside),        cmocka_unit_test(rights),
        cmocka_unit_test(two_guests),     cmocka_unit_test(every_store),
        cmocka_unit_test(refused),        cmocka_unit_test(mode_change_fails),
        cmocka_unit_test(shut_down),      cmocka_unit_test(faults),
    };

    return cmocka_run_group_tests_name("amdvi nested", tests, NULL, NULL);
}
