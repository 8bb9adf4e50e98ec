/* SPDX-License-Identifier: MIT */
/* See threads_rig.h. */
#include "threads_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PA_PV  0x200000000ull
#define PA_ANY 0x10000000000ull

#define THREE_SIZES (1ull << 12 | 1ull << 21 | 1ull << 30)

const struct threads_cfg threads_cfgs[] = {
    {.format = &pvi_vtd_ss_ops, .levels = 4, .sizes = THREE_SIZES, .pages = 400},
    {.format = &pvi_vtd_ss_ops,
     .levels = 5,
     .sizes = THREE_SIZES,
     .trim = true,
     .coherent = true,
     .pages = 400},
    {.format = &pvi_vtd_ss_ops,
     .levels = 4,
     .sizes = 1ull << 12 | 1ull << 21,
     .trim = true,
     .np_cache = true,
     .pages = 400},
    {.format = &pvi_amdvi_v1_ops,
     .levels = 4,
     .sizes = UINT64_MAX,
     .trim = true,
     .coherent = true,
     .pages = 400},
    {.format = &pvi_amdvi_v1_ops,
     .levels = 5,
     .sizes = THREE_SIZES,
     .coherent = true,
     .pages = 400},
    {.format = &pvi_vtd_fs_ops,
     .levels = 4,
     .sizes = THREE_SIZES,
     .trim = true,
     .coherent = true,
     .pages = 400},
    {.format = &pvi_amdvi_v2_ops,
     .levels = 5,
     .sizes = THREE_SIZES,
     .coherent = true,
     .pages = 400},
    {.format = NULL},
};

uint64_t threads_below(uint64_t *seed, uint64_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed % n;
}

uint64_t threads_pa(uint64_t gfn)
{
    return gfn - TH_GFN_ANY < TH_NR_ANY ? PA_ANY + ((gfn - TH_GFN_ANY) << 12) : PA_PV + (gfn << 12);
}

const struct pvi_pt_ops *const threads_formats[TH_NR_FORMATS] = {
    &pvi_vtd_ss_ops, &pvi_vtd_fs_ops, &pvi_amdvi_v1_ops, &pvi_amdvi_v2_ops};

int threads_submit(struct pvi_domain *d, struct pvi_op *op)
{
    struct pvi_batch batch = {.ops = op, .nr = 1};

    op->domid = PVI_DOMID_SELF;
    while (pvi_submit(d, &batch) == -PVI_EPREEMPTED) {
    }
    return op->status;
}

int threads_run(struct threads_rig *r, struct pvi_op *op)
{
    int rc = threads_submit(&r->guest, op);

    pvi_posix_checkpoint(r->host);
    return rc;
}

int threads_map(struct threads_rig *r, unsigned ctx, uint64_t dfn, uint64_t gfn, uint64_t nr,
                uint64_t *done)
{
    struct pvi_op op = {.code = PVI_OP_MAP,
                        .ctx = (uint16_t)ctx,
                        .flags = PVI_RW,
                        .u.map = {.dfn = {dfn}, .gfn = {gfn}, .nr = nr}};
    int rc = threads_run(r, &op);

    if (done) {
        *done = op.done;
    }
    return rc;
}

int threads_unmap(struct threads_rig *r, unsigned ctx, uint64_t dfn, uint64_t nr, uint64_t *done)
{
    struct pvi_op op = {
        .code = PVI_OP_UNMAP, .ctx = (uint16_t)ctx, .u.unmap = {.dfn = {dfn}, .nr = nr}};
    int rc = threads_run(r, &op);

    if (done) {
        *done = op.done;
    }
    return rc;
}

int threads_lookup(struct threads_rig *r, unsigned ctx, uint64_t dfn, uint64_t *gfn)
{
    struct pvi_op op = {.code = PVI_OP_LOOKUP, .ctx = (uint16_t)ctx, .u.lookup = {.dfn = {dfn}}};
    int rc = threads_run(r, &op);

    *gfn = op.u.lookup.gfn.f;
    return rc;
}

int threads_renew(struct threads_rig *r, unsigned ctx)
{
    struct pvi_op op = {
        .code = PVI_OP_FREE_CONTEXT, .ctx = (uint16_t)ctx, .flags = PVI_FREE_REATTACH};
    int rc = threads_run(r, &op);

    if (rc == 0) {
        op = (struct pvi_op){.code = PVI_OP_ALLOC_CONTEXT};
        rc = threads_run(r, &op);
    }
    if (rc == 0) {
        op = (struct pvi_op){.code = PVI_OP_REATTACH_DEVICE,
                             .ctx = (uint16_t)ctx,
                             .u.reattach = {.sbdf = r->dev[ctx - 1].sbdf}};
        rc = threads_run(r, &op);
    }
    return rc;
}

static void make_guest(struct threads_rig *r)
{
    const struct pvi_posix_range ranges[] = {
        {.gfn = TH_GFN_PV, .nr = TH_NR_PV, .pa = PA_PV, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW},
        {.gfn = TH_GFN_ANY,
         .nr = TH_NR_ANY,
         .pa = PA_ANY,
         .kind = PVI_POSIX_RAM_KEPT,
         .prot = PVI_RW},
    };
    unsigned i;

    r->owner = pvi_posix_hdom_new(r->host, 1);
    assert_non_null(r->owner);
    for (i = 0; i < 2; i++) {
        assert_int_equal(pvi_posix_hdom_range(r->owner, &ranges[i]), 0);
    }
}

static void make_unit(struct threads_rig *r)
{
    struct pvi_unit_caps *caps = &r->unit.unit.caps;

    caps->format = r->cfg.format;
    caps->page_sizes = r->cfg.sizes;
    caps->levels_mask = (uint8_t)(1u << r->cfg.levels);
    caps->np_cache = r->cfg.np_cache;
    caps->coherent = r->cfg.coherent;
    caps->page_selective = true;
    caps->guest_levels = r->cfg.nested ? 1u << 4 : 0;
    caps->pasid_bits = r->cfg.nested ? 8 : 0;
    assert_int_equal(pvi_posix_add_null(r->host, &r->unit), 0);
    assert_int_equal(pvi_system_add_unit(&r->system, &r->unit.unit), 0);
}

static void make_contexts(struct threads_rig *r)
{
    struct pvi_op op = {.code = PVI_OP_INIT,
                        .u.init = {.nr_contexts = r->cfg.nested ? 6 : 2, .nr_pages = r->cfg.pages}};
    unsigned i;

    assert_int_equal(threads_run(r, &op), 0);
    for (i = 0; i < 2; i++) {
        struct pvi_device *dev = &r->dev[i];

        dev->sbdf.v = 0x10 + 8 * i;
        dev->unit = &r->unit.unit;
        dev->rid[0] = (uint16_t)(0x10 + 8 * i);
        dev->nr_rids = 1;
        assert_int_equal(pvi_device_add(&r->guest, dev), 0);
        op = (struct pvi_op){.code = PVI_OP_ALLOC_CONTEXT};
        assert_int_equal(threads_run(r, &op), 0);
        assert_int_equal(op.ctx, i + 1);
        op = (struct pvi_op){.code = PVI_OP_REATTACH_DEVICE,
                             .ctx = (uint16_t)(i + 1),
                             .u.reattach = {.sbdf = dev->sbdf}};
        assert_int_equal(threads_run(r, &op), 0);
    }
}

void threads_up(struct threads_rig *r, const struct threads_cfg *cfg)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000ull, .size = 8 << 20};
    struct pvi_domain_cfg domain = {
        .max_contexts = 6, .max_pages = cfg->pages + 8, .trim = cfg->trim};

    memset(r, 0, sizeof(*r));
    r->cfg = *cfg;
    r->host = pvi_posix_new(&memory);
    assert_non_null(r->host);
    make_guest(r);
    make_unit(r);
    domain.hdom = r->owner;
    domain.system = &r->system;
    domain.nested = cfg->nested;
    domain.max_pasids = cfg->nested ? 8 : 0;
    assert_int_equal(pvi_domain_init(&r->guest, r->host, &domain), 0);
    assert_int_equal(pvi_domain_start(&r->guest), 0);
    make_contexts(r);
}

void threads_down(struct threads_rig *r)
{
    const char *why = NULL;
    unsigned i;

    for (i = 0; i < 2; i++) {
        struct pvi_op op = {
            .code = PVI_OP_FREE_CONTEXT, .ctx = (uint16_t)(i + 1), .flags = PVI_FREE_REATTACH};

        assert_int_equal(threads_run(r, &op), 0);
    }
    assert_true(pvi_posix_hdom_balanced(r->owner));
    for (i = 0; i < 2; i++) {
        assert_int_equal(pvi_device_remove(&r->guest, &r->dev[i]), 0);
    }
    pvi_domain_kill(&r->guest);
    assert_int_equal(pvi_domain_destroy(&r->guest), 0);
    pvi_posix_hdom_free(r->owner);
    if (!pvi_posix_balanced(r->host, &why)) {
        fail_msg("%s", why);
    }
    assert_int_equal(pvi_posix_events(r->host, NULL), 0);
    pvi_posix_free(r->host);
    pvi_posix_null_fini(&r->unit);
}

/* Walking -------------------------------------------------------------------------------------- */

struct flat *threads_walk(struct threads_rig *r, unsigned ctx)
{
    struct pvi_posix_view view = {.host = r->host, .coherent = r->cfg.coherent};
    struct hwm_mem mem = {.opaque = &view,
                          .read64 = pvi_posix_hw_read64,
                          .read32 = pvi_posix_hw_read32,
                          .valid = pvi_posix_hw_valid};
    const struct pvi_dev_entry *entry = &r->unit.entry[r->dev[ctx - 1].rid[0]];
    struct hwm_visit seen;
    struct hwm_fmt fmt;
    struct flat *found;

    if (r->cfg.format == &pvi_vtd_ss_ops) {
        hwm_fmt_default(&fmt, HWM_FMT_VTDSS);
    } else {
        hwm_fmt_default(&fmt, r->cfg.format == &pvi_amdvi_v1_ops ? HWM_FMT_AMDV1 : HWM_FMT_X86);
    }
    fmt.no_512g = true;
    assert_true(entry->translate);
    found = flat_from_tables(&mem, &fmt, entry->root.a, entry->levels, &seen);
    if (!found) {
        fail_msg("bad table at 0x%llx: %s", (unsigned long long)seen.first_bad.iova,
                 seen.first_bad.why);
    }
    assert_int_equal(seen.stray, 0);
    return found;
}

void threads_check_counts(struct threads_rig *r, const struct flat *const *found, unsigned nr)
{
    uint32_t *want = calloc(TH_NR_PV, sizeof(*want));
    struct flat_run run;
    uint64_t page, at;
    unsigned i;

    assert_non_null(want);
    for (i = 0; i < nr; i++) {
        for (page = 0; flat_next(found[i], page, &run); page = run.last + 1) {
            for (at = 0; run.pa - PA_PV < TH_NR_PV << 12 && at <= run.last - run.first; at++) {
                want[((run.pa - PA_PV) >> 12) + at]++;
            }
        }
    }
    for (at = 0; at < TH_NR_PV; at++) {
        uint64_t got = pvi_posix_frame_count(r->owner, PA_PV + (at << 12), PVI_OWE_WRITABLE);

        if (got != want[at]) {
            fail_msg("frame 0x%llx is held %llu times, mapped %u times", (unsigned long long)at,
                     (unsigned long long)got, want[at]);
        }
    }
    free(want);
}
