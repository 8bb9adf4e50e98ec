/* SPDX-License-Identifier: MIT */
/* See scenario.h. */
#include "scenario.h"

#define GIB 0x40000ull

/* Two contexts, device 0 in the first, device 1 in the second. */
static void two_contexts(struct fx *f)
{
    CHECK_EQ(fx_context(f, 0), 1);
    CHECK_EQ(fx_context(f, 1), 2);
}

static void map_before(struct fx *f, uint64_t dfn, uint64_t gfn, uint64_t nr)
{
    fx_begin(f);
    fx_map(f, 1, dfn, gfn, nr, PVI_RW);
    fx_expect(f, 0);
}

/* --- maps ----------------------------------------------------------------------------------------- */

static void batch_map(struct fx *f)
{
    fx_begin(f);
    fx_map(f, 1, 500, GUEST_HVM, 1100, PVI_RW);
    fx_map(f, 2, 0x3ff00, GUEST_PV + 0x3ff00, 0x40000 + 0x300, PVI_RW); /* all sizes */
    fx_map(f, 1, 0x200000, GUEST_SCATTER, 30, PVI_READ);
    fx_map(f, 1, 1000, GUEST_PV, 3, PVI_RW); /* taken */
    fx_map(f, 1, 0x300000, GUEST_RO + GUEST_RO_NR - 20, 40, PVI_READ); /* frames end */
}

static void prepare_displace(struct fx *f)
{
    two_contexts(f);
    fx_begin(f);
    for (unsigned i = 0; i < 12; i++) {
        fx_map(f, 1, GIB + 0x200 * i + i, GUEST_HVM + i, 2, PVI_RW);
    }
    for (unsigned i = 0; i < 12; i++) {
        fx_unmap(f, 1, GIB + 0x200 * i + i, 2);
    }
    fx_map(f, 1, GIB + 0x200 * 14, GUEST_HVM, 1, PVI_RW);
    fx_expect(f, 0);
    /* Two GiB with empty tables below; in the second one a live leaf behind some of them. */
    fx_begin(f);
    for (unsigned i = 0; i < 12; i++) {
        fx_map(f, 1, 4 * GIB + GIB / 8 * i + i, GUEST_HVM + i, 1, PVI_RW);
    }
    for (unsigned i = 0; i < 11; i++) {
        fx_unmap(f, 1, 4 * GIB + GIB / 8 * i + i, 1);
    }
    fx_expect(f, 0);
}

static void batch_displace(struct fx *f)
{
    fx_begin(f);
    fx_map(f, 1, GIB, GUEST_PV, 0x200 * 10 + 7, PVI_RW);
    fx_map(f, 1, GIB + 0x200 * 11, GUEST_PV, 0x200 * 4, PVI_RW); /* meets the live one */
    fx_map(f, 1, 4 * GIB, GUEST_PV, 2 * GIB, PVI_RW); /* so does this, after a leaf of 1 GiB */
}

/* --- unmaps --------------------------------------------------------------------------------------- */

static void prepare_scatter(struct fx *f)
{
    two_contexts(f);
    map_before(f, 100, GUEST_SCATTER, 700);
}

static void batch_scatter(struct fx *f)
{
    fx_begin(f);
    fx_unmap(f, 1, 101, 650);
    fx_unmap(f, 1, 751, 100); /* a hole at 800 */
    fx_map(f, 1, 101, GUEST_SCATTER, 40, PVI_READ);
}

static void prepare_large(struct fx *f)
{
    two_contexts(f);
    map_before(f, GIB, GUEST_PV, 2 * GIB);
    map_before(f, 0x1000, GUEST_PV + 0x1000, 0x800);
}

static void batch_split(struct fx *f)
{
    fx_begin(f);
    fx_unmap(f, 1, GIB + 0x12345, 1);
    fx_unmap(f, 1, 2 * GIB - 1, 2);
    fx_unmap(f, 1, 0x1000 + 0x1ff, 0x202);
    fx_map(f, 1, GIB + 0x12345, GUEST_HVM, 1, PVI_RW);
    fx_unmap(f, 1, 2 * GIB + 0x40, GIB - 0x40);
}

static void prepare_full(struct fx *f)
{
    two_contexts(f);
    map_before(f, 0, GUEST_HVM, 20 * 512 + 100);
}

static void batch_drop(struct fx *f)
{
    fx_begin(f);
    fx_unmap(f, 1, 10, 20 * 512);
    fx_unmap(f, 1, 0, 10);
    fx_unmap(f, 1, 0, 1);
}

/* --- contexts and devices ------------------------------------------------------------------------- */

static void batch_identity(struct fx *f)
{
    fx_begin(f);
    fx_unmap(f, 1, 0, 300);
    fx_alloc(f, PVI_ALLOC_IDENTITY);
    fx_map(f, 3, 0x8000, GUEST_HVM, 20, PVI_RW);
    fx_reattach(f, 3, 0);
    fx_unmap(f, 3, 0x200, 0x300);
}

static void batch_init(struct fx *f)
{
    struct pvi_op *op;

    fx_begin(f);
    op = fx_op(f, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 4;
    op->u.init.nr_pages = 300;
    fx_alloc(f, 0);
    fx_map(f, 1, 0, GUEST_HVM, 600, PVI_RW);
}

/* Three devices of one group on two units, with regions; one of them has three requester ids. */
static void prepare_group(struct fx *f)
{
    for (unsigned i = 2; i < 5; i++) {
        struct pvi_device *d = fx_device(f, i, i % f->nr_units);

        d->group = 4;
        d->nr_regions = 1;
        d->region[0] = (struct pvi_region){0x40000000ull * i, 0x40000000ull * i + 0x4fff, PVI_RW};
        CHECK_EQ(fx_add(f, i), 0);
    }
    two_contexts(f);
    fx_begin(f);
    fx_map(f, 1, 0, GUEST_HVM, 100, PVI_RW);
    fx_map(f, 2, 0, GUEST_PV, 0x400, PVI_RW);
    fx_expect(f, 0);
}

static void batch_reattach(struct fx *f)
{
    fx_begin(f);
    fx_unmap(f, 1, 5, 20);
    fx_reattach(f, 1, 3);
    fx_map(f, 1, 5, GUEST_PV, 10, PVI_RW);
    fx_reattach(f, 2, 0);
    fx_reattach(f, 2, 2);
    fx_unmap(f, 1, 5, 1);
}

static void prepare_free(struct fx *f)
{
    prepare_group(f);
    fx_begin(f);
    fx_reattach(f, 1, 3);
    fx_map(f, 1, 0x10000, GUEST_SCATTER, 300, PVI_RW);
    fx_map(f, 1, 0x20000, GUEST_HVM, 18 * 512, PVI_RW);
    fx_map(f, 1, 5 * GIB, GUEST_PV, GIB, PVI_RW);
    fx_expect(f, 0);
}

static void batch_free(struct fx *f)
{
    fx_begin(f);
    fx_unmap(f, 1, 0x10000, 10);
    fx_free(f, 1, 0); /* busy */
    fx_free(f, 1, PVI_FREE_REATTACH);
    fx_alloc(f, 0);
    fx_map(f, 1, 0x10000, GUEST_PV, 10, PVI_RW);
}

static void batch_mixed(struct fx *f)
{
    fx_begin(f);
    for (unsigned i = 0; i < 6; i++) {
        fx_map(f, 1 + i % 2, 0x5000 + 0x100 * i, GUEST_HVM + i, 0x80, PVI_RW);
        fx_unmap(f, 1, 3 * i, 2);
        fx_lookup(f, 1, 3 * i + 2);
    }
    fx_flush(f, 1, 0, 0);
    fx_unmap(f, 2, 0x5100, 0x40);
    fx_flush(f, 2, 0x5100, 0x40);
}

/* --- windows -------------------------------------------------------------------------------------- */

/* The first window with small and large leaves between and beside regions of devices. */
static void prepare_windows(struct fx *f)
{
    prepare_group(f);
    fx_begin(f);
    fx_reattach(f, 1, 3);
    fx_map(f, 1, 2 * GIB - 600, GUEST_SCATTER, 300, PVI_RW);
    fx_map(f, 1, 2 * GIB + 5, GUEST_HVM, 1100, PVI_RW);
    fx_map(f, 1, 3 * GIB - 0x400, GUEST_PV + GIB - 0x400, 0x400, PVI_RW);
    fx_map(f, 1, 5 * GIB, GUEST_PV, GIB, PVI_RW);
    fx_expect(f, 0);
}

static void batch_windows(struct fx *f)
{
    fx_begin(f);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0);
    fx_window(f, 1, 0x100, 0x10000, 12, 1u << 12);
    fx_window(f, 1, 2 * GIB, 4 * GIB, 21, 0);
    fx_map(f, 1, 0x3ff, GUEST_HVM, 700, PVI_RW);
    fx_map(f, 1, 0x100, GUEST_SCATTER, 20, PVI_RW);
    fx_map(f, 1, 5 * GIB - 0x400, GUEST_PV + GIB - 0x400, 0x800, PVI_RW);
    fx_unmap(f, 1, 5 * GIB, 0x200);
    fx_map(f, 1, 4 * GIB - 0x200, GUEST_PV, 0x400, PVI_RW); /* a region lies there */
    fx_window_op(f, PVI_OP_WINDOW_QUERY, 1, 1);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0);
    fx_map(f, 1, 0x3ff, GUEST_HVM, 1, PVI_RW); /* it is gone */
    fx_op(f, PVI_OP_WINDOW_RESET, 1);
    fx_map(f, 1, 0x3ff, GUEST_HVM, 1, PVI_RW);
}

/* An identity in which the region of a device was mapped before the device came. */
static void prepare_inherited(struct fx *f)
{
    struct pvi_device *d = fx_device(f, 2, 0);

    d->nr_regions = 2;
    d->region[0] = (struct pvi_region){0x603000, 0x604fff, PVI_RW};
    d->region[1] = (struct pvi_region){0x7ff000, 0x7fffff, PVI_RW};
    CHECK_EQ(fx_add(f, 2), 0);
    two_contexts(f);
    fx_begin(f);
    fx_alloc(f, PVI_ALLOC_IDENTITY);
    fx_reattach(f, 3, 2);
    fx_expect(f, 0);
}

static void batch_inherited(struct fx *f)
{
    fx_begin(f);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 3, 0);
    fx_window(f, 3, 0x400, 0x400, 21, 1u << 21);
    fx_map(f, 3, 0x400, GUEST_PV, 0x200, PVI_RW);
    fx_reattach(f, 1, 2);
    fx_map(f, 3, 0x600, GUEST_PV, 0x200, PVI_RW);
    fx_op(f, PVI_OP_WINDOW_RESET, 3);
    fx_reattach(f, 3, 2);
}

/* --- nested contexts and PASIDs ------------------------------------------------------------------- */

/* Nested on 1: 3, with device 1, and 4; on the default one: 5. Device 2 has two requester ids and PASIDs in three contexts. */
static void prepare_nested(struct fx *f)
{
    two_contexts(f);
    (void)fx_device(f, 2, 0);
    f->dev[2].nr_rids = 2;
    f->dev[2].rid[1] = 0x777;
    CHECK_EQ(fx_add(f, 2), 0);
    map_before(f, 0x1000, GUEST_SCATTER, 40);
    map_before(f, 0x40000, GUEST_PV, 0x200);
    fx_begin(f);
    fx_nested(f, 1, 0x1000);
    fx_nested(f, 1, 0x1001);
    fx_nested(f, 0, 0x1000);
    fx_reattach(f, 3, 1);
    fx_attach_pasid(f, 4, 2, 1, 0);
    fx_attach_pasid(f, 4, 2, 2, 0);
    fx_attach_pasid(f, 2, 2, 3, 0);
    fx_attach_pasid(f, 4, 0, 1, 0);
    fx_expect(f, 0);
}

static void batch_nested(struct fx *f)
{
    fx_begin(f);
    fx_unmap(f, 1, 0x1010, 9);
    fx_reattach(f, 3, 0);
    fx_unmap(f, 1, 0x40080, 1);
    fx_flush_nested(f, 3, 0, 5, 9);
    fx_nested(f, 2, 0x2000);
    fx_reattach(f, 5, 1);
    fx_free(f, 1, 0); /* something is nested on it */
    fx_map(f, 1, 0x1010, GUEST_HVM, 9, PVI_RW);
    fx_reattach(f, 0, 0);
    fx_free(f, 3, 0);
    fx_alloc(f, 0);
    fx_reattach(f, 1, 1);
}

static void batch_pasids(struct fx *f)
{
    fx_begin(f);
    fx_attach_pasid(f, 3, 2, 9, 0);
    fx_unmap(f, 1, 0x1010, 9);
    fx_attach_pasid(f, 3, 2, 3, PVI_PASID_MOVE);
    fx_detach_pasid(f, 2, 9);
    fx_attach_pasid(f, 0, 2, 9, 0);
    fx_free(f, 4, 0); /* PASIDs are in it */
    fx_free(f, 4, PVI_FREE_REATTACH);
    fx_free(f, 3, PVI_FREE_REATTACH); /* one PASID and a device */
    fx_attach_pasid(f, 5, 1, 1, 0);
    fx_attach_pasid(f, 2, 1, 1, PVI_PASID_MOVE);
}

#define NULL_UNIT .kind = FX_NULL
#define NESTED_UNIT .kind = FX_NULL, .units = 2, .nested = true, .guest_levels = 1u << 4, .pasid_bits = 8, .max_pasids = 8
const struct scenario scenarios[] = {
    {"map", {NULL_UNIT}, two_contexts, batch_map, false},
    {"map, absence cached, AMD format", {NULL_UNIT, .format = &pvi_amdvi_v1_ops, .np_cache = true}, two_contexts,
     batch_map, false},
    {"large leaf over empty tables", {NULL_UNIT, .incoherent = true}, prepare_displace, batch_displace, false},
    {"unmap of scattered frames", {NULL_UNIT}, prepare_scatter, batch_scatter, false},
    {"unmap of scattered frames, few pages", {NULL_UNIT, .pages = 9}, prepare_scatter, batch_scatter, false},
    {"splits", {NULL_UNIT, .trim = true}, prepare_large, batch_split, false},
    {"whole tables", {NULL_UNIT, .format = &pvi_amdvi_v1_ops}, prepare_full, batch_drop, false},
    {"identity", {NULL_UNIT, .np_cache = true}, prepare_full, batch_identity, true},
    {"init", {NULL_UNIT, .no_init = true}, NULL, batch_init, false},
    {"reattach of a group", {NULL_UNIT, .units = 2, .np_cache = true}, prepare_group, batch_reattach, false},
    {"free with devices", {NULL_UNIT, .units = 2}, prepare_free, batch_free, false},
    {"mixed", {NULL_UNIT, .units = 2}, prepare_full, batch_mixed, false},
    {"windows", {NULL_UNIT, .units = 2}, prepare_windows, batch_windows, false},
    {"windows, AMD format, trim", {NULL_UNIT, .format = &pvi_amdvi_v1_ops, .trim = true, .np_cache = true}, prepare_windows,
     batch_windows, false},
    {"windows of an identity", {NULL_UNIT}, prepare_inherited, batch_inherited, true},
    {"windows on VT-d", {.kind = FX_VTD, .np_cache = true}, prepare_windows, batch_windows, false},
    {"windows of an identity on AMD-Vi", {.kind = FX_AMD}, prepare_inherited, batch_inherited, true},
    {"nested", {NESTED_UNIT}, prepare_nested, batch_nested, false},
    {"nested, absence cached", {NESTED_UNIT, .np_cache = true, .contexts = 5}, prepare_nested, batch_nested, false},
    {"PASIDs", {NESTED_UNIT}, prepare_nested, batch_pasids, false},
    {"PASIDs, absence cached", {NESTED_UNIT, .format = &pvi_amdvi_v1_ops, .guest_depth = 1, .np_cache = true}, prepare_nested,
     batch_pasids, false},
    {"free on VT-d", {.kind = FX_VTD, .np_cache = true}, prepare_free, batch_free, false},
    {"splits on AMD-Vi", {.kind = FX_AMD}, prepare_large, batch_split, false},
};
const unsigned nr_scenarios = sizeof(scenarios) / sizeof(scenarios[0]);

void scenario_up(struct fx *f, const struct scenario *s)
{
    struct fx_cfg cfg = s->cfg;

    cfg.pages = cfg.pages != 0 ? cfg.pages : 300; /* machines are made by the thousand */
    fx_up(f, &cfg);
    if (s->prepare) {
        s->prepare(f);
    }
}
