/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi driver and nested entries, on the hardware model: where requests of guests with tables of their
 * own go, and when what changes becomes true (hwspec 6.7, 6.10, 7.2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_guest.h"

/* A guest with one page at 0x1000, for PASIDs 0 and 7; its device has entries of all owners. */
static uint64_t one_page(struct guest *g, uint64_t *page)
{
    uint64_t gcr3, v2, *dte = bench_dte(&bench, GUEST_RID);

    guest_new(g);
    gcr3 = guest_page(g);
    v2 = guest_page(g);
    guest_gcr3(g, gcr3, 1, 0, v2);
    guest_gcr3(g, gcr3, 1, 7, v2);
    *page = guest_v2_page(g, v2, 4, 0x1000);
    dte[1] = 3ull << 40 | 1ull << 38; /* how the host treats the device */
    dte[2] = GUEST_INTR;
    dte[3] = 0xffc0000000000000ull;
    hwm_watch(bench.hw, GUEST_RID, 0x1000);
    hwm_watch(bench.hw, GUEST_RID, GUEST_GPA);
    return gcr3;
}

static void check_entry(uint64_t w0, uint64_t w1)
{
    uint64_t *dte = bench_dte(&bench, GUEST_RID);

    assert_int_equal(dte[0], w0);
    assert_int_equal(dte[1], w1 | 3ull << 40 | 1ull << 38);
    assert_int_equal(dte[2], GUEST_INTR);
    assert_int_equal(dte[3], 0xffc0000000000000ull);
}

/* plain -> nested -> plain -> nested -> blocked */
static void there_and_back(void **state)
{
    uint64_t gcr3, a, p;
    struct guest g;

    (void)state;
    guest_up();
    gcr3 = one_page(&g, &a);
    p = g.pa[0];
    assert_int_equal(bench_switch(&bench, GUEST_RID, g.v1, 4, 1), 0);
    guest_moved(GUEST_RID, 1);
    assert_int_equal(guest_dma(-1, GUEST_GPA), p);
    assert_int_equal(guest_dma(-1, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_dma(7, 0x1000), GUEST_BLOCKED);

    assert_int_equal(guest_nest(&g, 2, gcr3, 4, 1), 0);
    assert_int_equal(guest_dma(-1, GUEST_GPA), p); /* no invalidation yet */
    guest_moved(GUEST_RID, 1);
    assert_int_equal(guest_dma(-1, GUEST_GPA), GUEST_BLOCKED);
    assert_int_equal(guest_dma(-1, 0x1abc), a + 0xabc);
    assert_int_equal(guest_dma(7, 0x1abc), a + 0xabc);
    assert_int_equal(guest_dma(8, 0x1abc), GUEST_BLOCKED);
    check_entry(g.v1 | 0x60C0000000000803ull | (gcr3 >> 12 & 7) << 58,
                2 | (gcr3 >> 15 & 0xFFFF) << 16 | (gcr3 >> 31) << 43);

    assert_int_equal(bench_switch(&bench, GUEST_RID, g.v1, 4, 3), 0);
    check_entry(g.v1 | 0x6000000000000803ull, 3);
    assert_int_equal(guest_dma(-1, 0x1000), a);
    guest_moved(GUEST_RID, 2);
    assert_int_equal(guest_dma(-1, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_dma(7, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_dma(-1, GUEST_GPA), p);
    assert_int_equal(hwm_caches_page(bench.hw, a), 0);

    assert_int_equal(guest_nest(&g, 2, gcr3, 4, 1), 0);
    guest_moved(GUEST_RID, 3);
    assert_int_equal(guest_dma(-1, 0x1000), a);
    assert_int_equal(bench_block(&bench, GUEST_RID), 0);
    check_entry(3, 0);
    guest_moved(GUEST_RID, 2);
    assert_int_equal(guest_dma(-1, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_dma(7, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_dma(-1, GUEST_GPA), GUEST_BLOCKED);
    for (unsigned i = 0; i < g.nr; i++) { /* all of the guest's memory may go */
        assert_int_equal(hwm_caches_page(bench.hw, g.pa[i]), 0);
    }
    bench_close(&bench);
}

/* The guest's own PASIDs, in GCR3 tables of each depth over v2 tables of each depth. */
static void pasids(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        unsigned depth = i / 2 + 1, levels = 4 + i % 2;
        uint32_t last = depth == 1   ? 511
                        : depth == 2 ? 0x3FFFF
                                     : 0xFFFFF,
                 is[4] = {0, 1, 300, last};
        uint64_t gcr3, page[4], top = (1ull << (11 + 9 * levels)) - 0x1000;
        struct guest g;

        guest_up();
        guest_new(&g);
        gcr3 = guest_page(&g);
        for (unsigned k = 0; k < 4; k++) {
            uint64_t v2 = guest_page(&g);

            guest_gcr3(&g, gcr3, depth, is[k], v2);
            page[k] = guest_v2_page(&g, v2, levels, top);
        }
        assert_int_equal(guest_nest(&g, 5, gcr3, levels, depth), 0);
        guest_moved(GUEST_RID, 5);
        for (unsigned k = 0; k < 4; k++) {
            assert_int_equal(guest_dma((int)is[k], top), page[k]);
            assert_int_equal(guest_dma((int)is[k], top - 0x1000), GUEST_BLOCKED);
        }
        assert_int_equal(guest_dma(-1, top), page[0]);
        assert_int_equal(guest_dma(2, top), GUEST_BLOCKED);
        assert_int_equal(guest_dma((int)last + 1, top), GUEST_BLOCKED);
        assert_int_equal(bench_dte(&bench, GUEST_RID)[2], levels == 5 ? GUEST_MODE5 : 0);
        bench_close(&bench);
    }
}

/* What the guest changes becomes true by its own invalidation, and for no other PASID or guest. */
static void guest_changes(void **state)
{
    uint64_t gcr3, v2[2], old[2], new_, *leaf;
    struct guest g;

    (void)state;
    guest_up();
    guest_new(&g);
    gcr3 = guest_page(&g);
    v2[0] = guest_page(&g);
    v2[1] = guest_page(&g);
    for (uint32_t pasid = 0; pasid < 3; pasid++) {
        guest_gcr3(&g, gcr3, 1, pasid, v2[0]);
    }
    old[0] = guest_v2_page(&g, v2[0], 4, 0x1000);
    old[1] = guest_v2_page(&g, v2[0], 4, 0x2000);
    new_ = guest_v2_page(&g, v2[1], 4, 0x1000);
    leaf = guest_v2(&g, v2[0], 4, 0x1000);
    assert_int_equal(guest_nest(&g, 9, gcr3, 4, 1), 0);
    guest_moved(GUEST_RID, 9);
    for (int pasid = -1; pasid < 3; pasid++) {
        assert_int_equal(guest_dma(pasid, 0x1000), old[0]);
        assert_int_equal(guest_dma(pasid, 0x2000), old[1]);
    }

    *leaf = *guest_v2(&g, v2[1], 4, 0x1000);
    assert_int_equal(guest_dma(1, 0x1000), old[0]);
    guest_told(INV_GUEST(8, 1, 0x1000, 12)); /* somebody else's */
    assert_int_equal(guest_dma(1, 0x1000), old[0]);
    guest_told(INV_GUEST(9, 1, 0x1000, 12));
    assert_int_equal(guest_dma(1, 0x1000), new_);
    assert_int_equal(guest_dma(1, 0x2000), old[1]);
    assert_int_equal(guest_dma(0, 0x1000), old[0]);
    assert_int_equal(guest_dma(2, 0x1000), old[0]);
    guest_told(INV_GUEST(9, 0, 0, 13)); /* 0 .. 0x1FFF of requests without PASID */
    assert_int_equal(guest_dma(-1, 0x1000), new_);
    assert_int_equal(guest_dma(2, 0x1000), old[0]);

    /* Another table for PASID 2: its GCR3 entry goes with all of the PASID. */
    guest_gcr3(&g, gcr3, 1, 2, v2[1]);
    guest_told(INV_GUEST(9, 1, 0, 64));
    assert_int_equal(guest_dma(2, 0x2000), old[1]);
    guest_told(INV_GUEST(9, 2, 0, 64));
    assert_int_equal(guest_dma(2, 0x2000), GUEST_BLOCKED);
    assert_int_equal(guest_dma(2, 0x1000), new_);
    assert_int_equal(guest_dma(1, 0x2000), old[1]);

    /* And a range given leaf by leaf: tables stay cached, which the guest asked for. */
    *leaf = *guest_v2(&g, v2[0], 4, 0x2000);
    assert_int_equal(bench_inv(&bench, (struct pvi_inv){.kind = PVI_INV_GUEST,
                                                        .did = 9,
                                                        .pasid = 1,
                                                        .iova = 0x1000,
                                                        .lg2 = 12,
                                                        .leaf_only = true}),
                     0);
    assert_int_equal(pvi_amdvi_unit_wait(&bench.u), 0);
    assert_int_equal(guest_dma(1, 0x1000), old[1]);
    bench_close(&bench);
}

/* The host takes a page away from below: by the id of the nested entry, whole. */
static void host_changes(void **state)
{
    uint64_t gcr3, v2, a, table, now;
    struct guest g;

    (void)state;
    guest_up();
    now = bench_page(&bench);
    guest_new(&g);
    gcr3 = guest_page(&g);
    v2 = guest_page(&g);
    guest_gcr3(&g, gcr3, 1, 0, v2);
    guest_gcr3(&g, gcr3, 1, 3, v2);
    a = guest_v2_page(&g, v2, 4, 0x1000);
    assert_int_equal(guest_nest(&g, 9, gcr3, 4, 1), 0);
    guest_moved(GUEST_RID, 9);
    assert_int_equal(guest_dma(-1, 0x1000), a);
    assert_int_equal(guest_dma(3, 0x1000), a);
    hwm_watch(bench.hw, GUEST_RID, 0x1000);

    *guest_v1(&g, *guest_v2(&g, v2, 4, 0x1000) & GUEST_ADDR) = now | 7ull << 60 | 1;
    assert_int_equal(guest_dma(3, 0x1000), a);
    guest_told(INV_DOMAIN(8));
    assert_int_equal(guest_dma(3, 0x1000), a);
    guest_told(INV_DOMAIN(9));
    assert_int_equal(hwm_caches_page(bench.hw, a), 0);
    assert_int_equal(guest_dma(-1, 0x1000), now);
    assert_int_equal(guest_dma(3, 0x1000), now);

    /* A page that was a table of the guest: no walk may go on in it. */
    table = guest_pa(&g, v2);
    assert_true(hwm_caches_page(bench.hw, table) != 0);
    *guest_v1(&g, v2) = 0;
    guest_told(INV_DOMAIN(9));
    assert_int_equal(hwm_caches_page(bench.hw, table), 0);
    assert_int_equal(guest_dma(-1, 0x1000), GUEST_BLOCKED);
    bench_close(&bench);
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
    guest_up();
    guest_new(&g);
    trap = bench_page(&bench); /* the host's; as a table of any kind it would lead to itself */
    for (unsigned i = 0; i < 512; i++) {
        bench_ptr(&bench, trap)[i] = trap | 7;
    }
    gcr3 = guest_page(&g);
    v2 = guest_page(&g);
    guest_gcr3(&g, gcr3, 1, 0, v2);
    guest_gcr3(&g, gcr3, 1, 1, trap);
    a = guest_v2_page(&g, v2, 4, 0x1000);
    leaf = guest_v2(&g, v2, 4, 0x2000);
    *leaf = trap | 7;
    guest_at(&g, v2)[1] = trap | 7;                /* a table */
    guest_at(&g, v2)[2] = (bench.u.devtab.a) | 7;  /* the unit's own */
    guest_at(&g, v2)[3] = (g.v1 & GUEST_ADDR) | 7; /* the table below */
    guest_at(&g, v2)[4] = 0xFFFFFFFFFF000ull | 7;  /* nothing at all */
    assert_int_equal(guest_nest(&g, 9, gcr3, 4, 1), 0);
    guest_moved(GUEST_RID, 9);
    assert_int_equal(guest_dma(-1, 0x1000), a);
    assert_int_equal(guest_dma(-1, 0x2000), GUEST_BLOCKED);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_int_equal(guest_dma(-1, i << 39), GUEST_BLOCKED);
    }
    assert_int_equal(guest_dma(1, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_nest(&g, 9, trap, 4, 1), 0); /* the GCR3 table itself */
    guest_moved(GUEST_RID, 9);
    assert_int_equal(guest_dma(-1, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_nest(&g, 9, trap, 4, 3), 0);
    guest_moved(GUEST_RID, 9);
    assert_int_equal(guest_dma(-1, 0x1000), GUEST_BLOCKED);
    assert_int_equal(guest_dma(0x12345, 0x1000), GUEST_BLOCKED);
    for (unsigned i = 0; i < 512; i++) {
        assert_int_equal(bench_ptr(&bench, trap)[i], trap | 7);
    }
    assert_int_equal(hwm_caches_page(bench.hw, trap), 0);
    bench_close(&bench);
}

/* Rights are those of both tables. */
static void rights(void **state)
{
    uint64_t gcr3, v2, page[3];
    struct guest g;

    (void)state;
    guest_up();
    guest_new(&g);
    gcr3 = guest_page(&g);
    v2 = guest_page(&g);
    guest_gcr3(&g, gcr3, 1, 0, v2);
    for (unsigned i = 0; i < 3; i++) {
        page[i] = guest_v2_page(&g, v2, 4, i * 0x1000ull);
    }
    *guest_v2(&g, v2, 4, 0x1000) &= ~2ull;
    *guest_v1(&g, *guest_v2(&g, v2, 4, 0x2000) & GUEST_ADDR) &= ~(1ull << 62);
    assert_int_equal(guest_nest(&g, 9, gcr3, 4, 1), 0);
    guest_moved(GUEST_RID, 9);
    assert_int_equal(guest_dma(-1, 0), page[0]);
    for (uint64_t i = 1; i < 3; i++) {
        uint64_t pa = 0;

        assert_int_equal(guest_dma(-1, i << 12), GUEST_BLOCKED);
        assert_int_equal(hwm_dma(bench.hw, GUEST_RID, i << 12, false, &pa, NULL), HWM_OK);
        assert_int_equal(pa, page[i]);
    }
    bench_close(&bench);
}

/* Two guests use the same PASIDs and addresses. */
static void two_guests(void **state)
{
    struct guest g[2];
    uint64_t gcr3[2], v2[2], page[2], more[2];

    (void)state;
    guest_up();
    for (unsigned i = 0; i < 2; i++) {
        guest_new(&g[i]);
        gcr3[i] = guest_page(&g[i]);
        v2[i] = guest_page(&g[i]);
        guest_gcr3(&g[i], gcr3[i], 1, 4, v2[i]);
        page[i] = guest_v2_page(&g[i], v2[i], 4, 0x1000);
        more[i] = guest_v2_page(&g[i], v2[i], 4, 0x2000);
        assert_int_equal(guest_put((uint16_t)(GUEST_RID + i),
                                   guest_entry(&g[i], (uint16_t)(9 + i), gcr3[i], 4, 1)),
                         0);
        guest_moved((uint16_t)(GUEST_RID + i), 9);
    }
    assert_int_equal(gcr3[0], gcr3[1]); /* as they see it */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(guest_go(hwm_dma_req, (uint16_t)(GUEST_RID + i), 4, 0x1000), page[i]);
        *guest_v2(&g[i], v2[i], 4, 0x1000) = *guest_v2(&g[i], v2[i], 4, 0x2000);
    }
    guest_told(INV_GUEST(9, 4, 0, 64));
    assert_int_equal(guest_go(hwm_dma_req, GUEST_RID, 4, 0x1000), more[0]);
    assert_int_equal(guest_go(hwm_dma_req, GUEST_RID + 1, 4, 0x1000), page[1]);
    guest_told(INV_DOMAIN(10));
    assert_int_equal(guest_go(hwm_dma_req, GUEST_RID + 1, 4, 0x1000), more[1]);
    bench_close(&bench);
}

/* Shut-down, with every way that a unit has to forget. */
static void shut_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct hwm_amd_cfg hw = guest_hw();
        uint64_t gcr3, v2, a;
        struct guest g;
        size_t counts[5];

        hw.ia_sup = i == 0;
        guest_up_as(&hw);
        guest_new(&g);
        gcr3 = guest_page(&g);
        v2 = guest_page(&g);
        guest_gcr3(&g, gcr3, 1, 0, v2);
        guest_gcr3(&g, gcr3, 1, 3, v2);
        a = guest_v2_page(&g, v2, 4, 0x1000);
        assert_int_equal(guest_nest(&g, 1, gcr3, 4, 1), 0);
        guest_moved(GUEST_RID, 1);
        assert_int_equal(guest_dma(-1, 0x1000), a);
        assert_int_equal(guest_dma(3, 0x1000), a);
        assert_int_equal(pvi_amdvi_unit_disable(&bench.u), 0);
        hwm_cache_counts(bench.hw, counts);
        assert_int_equal(counts[0] + counts[1] + counts[2] + counts[3], 0);
        bench_close(&bench);
    }
}

/* Events of both tables, as the host gets them. */
static void faults(void **state)
{
    uint64_t gcr3, v2, gpa;
    struct pvi_fault f;
    struct guest g;

    (void)state;
    guest_up();
    guest_new(&g);
    gcr3 = guest_page(&g);
    v2 = guest_page(&g);
    guest_gcr3(&g, gcr3, 3, 0, v2);
    guest_gcr3(&g, gcr3, 3, 0xABCDE, v2);
    (void)guest_v2_page(&g, v2, 4, 0x1000);
    assert_int_equal(guest_nest(&g, 9, gcr3, 4, 3), 0);
    guest_moved(GUEST_RID, 9);
    assert_int_equal(guest_dma(0xABCDE, 0x5000), GUEST_BLOCKED);
    assert_int_equal(pvi_amdvi_unit_next_fault(&bench.u, &f), 1);
    assert_true(f.translation && f.write && f.has_pasid);
    assert_int_equal(f.pasid, 0xABCDE);
    assert_int_equal(f.rid, GUEST_RID);
    assert_int_equal(f.did, 0);
    assert_int_equal(f.iova, 0x5000);
    assert_int_equal(guest_dma(-1, 0x5000), GUEST_BLOCKED);
    assert_int_equal(pvi_amdvi_unit_next_fault(&bench.u, &f), 1);
    assert_false(f.has_pasid);
    assert_int_equal(f.pasid, 0);
    assert_int_equal(f.did, 0);
    gpa = *guest_v2(&g, v2, 4, 0x1000) & GUEST_ADDR;
    *guest_v1(&g, gpa) = 0;
    assert_int_equal(guest_dma(0xABCDE, 0x1000), GUEST_BLOCKED);
    assert_int_equal(pvi_amdvi_unit_next_fault(&bench.u, &f), 1);
    assert_false(f.has_pasid);
    assert_int_equal(f.did, 9);
    assert_int_equal(f.iova, gpa);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(pasids),
        cmocka_unit_test(guest_changes),  cmocka_unit_test(host_changes),
        cmocka_unit_test(outside),        cmocka_unit_test(rights),
        cmocka_unit_test(two_guests),     cmocka_unit_test(shut_down),
        cmocka_unit_test(faults),
    };

    return cmocka_run_group_tests_name("amdvi nested", tests, NULL, NULL);
}
