/* SPDX-License-Identifier: MIT */
/*
 * A domain on VT-d units in scalable mode whose guest has first-stage tables of its own: from operations to what devices reach,
 * through the core, the recorder and the driver. The model's caches never forget on their own.
 */
#include <string.h>

#include "fixture.h"

#define DFN 0x12345ull /* where the parent has the guest's tables */
#define DATA (DFN + 0x100)
#define NR_DATA 4ull
#define IOVA 0x7654321000ull
#define PASID 5u
#define PTE 0x67ull /* present, writable, user, accessed, dirty */

static struct fx fx;

static const struct fx_cfg kinds[] = {
    {.kind = FX_VTD, .scalable = true, .nested = true, .max_pasids = 4},
    {.kind = FX_VTD, .scalable = true, .nested = true, .max_pasids = 4, .np_cache = true, .units = 2},
    {.kind = FX_VTD, .scalable = true, .nested = true, .max_pasids = 4, .incoherent = true, .trim = true},
    {.kind = FX_VTD, .scalable = true, .nested = true, .max_pasids = 4, .levels = 5, .iova_bits = 57},
    {.kind = FX_VTD, .scalable = true, .nested = true, .max_pasids = 4, .no_pages = true},
};

/* Page i of the guest's tables: 0 is the root, i + 1 hangs below i, the last has leaves. */
static uint64_t *table(unsigned i)
{
    return pvi_posix_ptr(fx.host, GUEST_ARENA_PA + ((uint64_t)i << 12), 4096);
}

static uint64_t *leaf(uint64_t iova)
{
    return table(3) + (iova >> 12 & 511);
}

static void write_tables(void)
{
    for (unsigned i = 0; i < 4; i++) {
        memset(table(i), 0, 4096);
    }
    for (unsigned i = 0; i < 3; i++) {
        table(i)[IOVA >> (39 - 9 * i) & 511] = (DFN + i + 1) << 12 | PTE;
    }
    for (uint64_t i = 0; i < NR_DATA; i++) {
        *leaf(IOVA + (i << 12)) = (DATA + i) << 12 | PTE;
        fx_touch(&fx, (IOVA >> 12) + i);
    }
}

static uint64_t data_pa(uint64_t i)
{
    struct guest_frame frame;

    CHECK(guest_frame(GUEST_PV + i, &frame));
    return frame.pa;
}

/* Where page i of the guest's goes, for the requester id of a device and for its PASID. UINT64_MAX: blocked. */
static void reaches(unsigned dev, uint32_t pasid, uint64_t i, uint64_t want)
{
    struct hwm_req req = {.iova = IOVA + (i << 12), .rid = fx.dev[dev].rid[0], .write = true, .has_pasid = pasid != 0, .pasid = pasid};
    struct hwm_xlat x;
    enum hwm_result r = hwm_dma_req(fx.unit[fx.dev[dev].unit->index].model, &req, &x);

    CHECK_EQ(r == HWM_OK ? x.pa : UINT64_MAX, want);
    (void)fx_faults(&fx);
}

/* The same for both devices' requester ids and PASIDs. */
static void all_reach(uint64_t i, uint64_t want)
{
    for (unsigned dev = 0; dev < 2; dev++) {
        reaches(dev, 0, i, want);
        reaches(dev, PASID, i, want);
    }
}

static void forgotten(uint64_t pa)
{
    for (unsigned u = 0; u < fx.nr_units; u++) {
        CHECK_EQ(hwm_caches_page(fx.unit[u].model, pa), 0);
    }
}

/* One operation after fx_begin() worked. */
static unsigned done(void)
{
    fx_expect(&fx, 0);
    return fx.op[0].ctx;
}

static unsigned parent_up(void)
{
    unsigned parent;

    fx_begin(&fx);
    fx_alloc(&fx, 0);
    parent = done();
    fx_begin(&fx);
    fx_map(&fx, parent, DFN, GUEST_TABLES, 4, PVI_RW);
    fx_map(&fx, parent, DATA, GUEST_PV, NR_DATA, PVI_RW);
    (void)done();
    write_tables();
    return parent;
}

static unsigned nested_up(unsigned parent)
{
    unsigned nested;

    fx_begin(&fx);
    fx_nested(&fx, parent, DFN);
    nested = done();
    for (unsigned dev = 0; dev < 2; dev++) {
        fx_begin(&fx);
        fx_reattach(&fx, nested, dev);
        (void)done();
        fx_begin(&fx);
        fx_attach_pasid(&fx, nested, dev, PASID, 0);
        (void)done();
    }
    for (uint64_t i = 0; i < NR_DATA; i++) {
        all_reach(i, data_pa(i));
    }
    return nested;
}

static void down(unsigned parent, unsigned nested)
{
    for (unsigned dev = 0; dev < 2; dev++) {
        fx_begin(&fx);
        fx_detach_pasid(&fx, dev, PASID);
        (void)done();
        reaches(dev, PASID, 1, UINT64_MAX);
        reaches(dev, 0, 1, data_pa(1));
        fx_begin(&fx);
        fx_reattach(&fx, 0, dev);
        (void)done();
        reaches(dev, 0, 1, UINT64_MAX);
    }
    for (uint64_t i = 0; i < NR_DATA; i++) {
        forgotten(data_pa(i));
    }
    for (uint64_t i = 0; i < 4; i++) {
        forgotten(GUEST_ARENA_PA + (i << 12));
    }
    fx_begin(&fx);
    fx_free(&fx, nested, 0);
    (void)done();
    fx_begin(&fx);
    fx_free(&fx, parent, 0);
    (void)done();
    fx_down(&fx);
}

/* Pages go from the parent, data and tables alike, and come back. */
static void parent_changes(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        unsigned parent, nested;

        check_case("machine %zu", k);
        fx_up(&fx, &kinds[k]);
        parent = parent_up();
        nested = nested_up(parent);

        fx_begin(&fx);
        fx_unmap(&fx, parent, DATA, 1);
        (void)done();
        forgotten(data_pa(0));
        all_reach(0, UINT64_MAX);
        all_reach(1, data_pa(1));
        for (uint64_t i = 0; i < 4; i++) {
            fx_begin(&fx);
            fx_unmap(&fx, parent, DFN + i, 1);
            (void)done();
            forgotten(GUEST_ARENA_PA + (i << 12));
            all_reach(1, UINT64_MAX);
            fx_begin(&fx);
            fx_map(&fx, parent, DFN + i, GUEST_TABLES + i, 1, PVI_RW);
            (void)done();
            all_reach(1, data_pa(1));
        }
        fx_begin(&fx);
        fx_map(&fx, parent, DATA, GUEST_PV + 9, 1, PVI_RW);
        fx_rights(&fx, parent, DATA + 2, 1, PVI_READ);
        (void)done();
        all_reach(0, data_pa(9));
        all_reach(2, UINT64_MAX);
        down(parent, nested);
    }
}

/* What the guest changes, it says; and for whom. */
static void guest_changes(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        unsigned parent, nested;

        check_case("machine %zu", k);
        fx_up(&fx, &kinds[k]);
        parent = parent_up();
        nested = nested_up(parent);
        *leaf(IOVA) = *leaf(IOVA + 0x1000);
        reaches(0, 0, 0, data_pa(0));
        fx_begin(&fx);
        fx_flush_nested(&fx, nested, PASID, IOVA >> 12, 1);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK_EQ(fx.op[0].status, 0);
        reaches(0, PASID, 0, data_pa(1));
        reaches(1, PASID, 0, data_pa(1));
        reaches(0, 0, 0, data_pa(0));
        fx_begin(&fx);
        fx_flush_nested(&fx, nested, 0, IOVA >> 12, 1);
        (void)done();
        all_reach(0, data_pa(1));

        /* A device out of the guest's tables, its PASID in them. */
        fx_begin(&fx);
        fx_reattach(&fx, parent, 1);
        (void)done();
        reaches(1, 0, 0, UINT64_MAX);
        reaches(1, PASID, 0, data_pa(1));
        fx_begin(&fx);
        fx_reattach(&fx, nested, 1);
        (void)done();
        all_reach(0, data_pa(1));
        down(parent, nested);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parent_changes),
        cmocka_unit_test(guest_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
