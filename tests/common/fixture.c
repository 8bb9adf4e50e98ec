/* SPDX-License-Identifier: MIT */
/* The machine of the tests: life of host, units, domain. Batches are in fixture_run.c, checks in fixture_check.c. */
#include "fixture.h"

#include <string.h>

#define REGS(i) (0xfe000000ull + 0x10000ull * (i))
#define REGS_SIZE 0x4000ull

/* Guest frames that an identity context maps, beside the holes. */
static const uint64_t identity_runs[][2] = {{0x10, 0x90}, {0x200, 0x1a10}, {GUEST_MMIO + 0x700, 0x900}};

/* --- units ---------------------------------------------------------------------------------------- */

static uint32_t read32(void *opaque, uint64_t pa)
{
    struct fx_unit *u = opaque;

    return (uint32_t)hwm_mmio_read(u->model, pa - u->regs, 4);
}

static uint64_t read64(void *opaque, uint64_t pa)
{
    struct fx_unit *u = opaque;

    return hwm_mmio_read(u->model, pa - u->regs, 8);
}

static void write32(void *opaque, uint64_t pa, uint32_t value)
{
    struct fx_unit *u = opaque;

    hwm_mmio_write(u->model, pa - u->regs, 4, value);
}

static void write64(void *opaque, uint64_t pa, uint64_t value)
{
    struct fx_unit *u = opaque;

    hwm_mmio_write(u->model, pa - u->regs, 8, value);
}

static void poll_models(void *opaque)
{
    struct fx *f = opaque;

    for (unsigned i = 0; i < f->nr_units; i++) {
        hwm_poll(f->unit[i].model);
    }
}

static bool model_caches(void *opaque, uint64_t pa, uint64_t len)
{
    struct fx_unit *u = opaque;

    return hwm_caches_range(u->model, pa, len) != 0;
}

static bool model_pending(void *opaque)
{
    struct fx_unit *u = opaque;

    return hwm_pending(u->model) != 0;
}

static struct hwm_mem unit_memory(struct fx *f, struct fx_unit *u)
{
    struct hwm_mem mem = {
        .opaque = &u->view,
        .read64 = pvi_posix_hw_read64,
        .read32 = pvi_posix_hw_read32,
        .write64 = pvi_posix_hw_write64,
        .write32 = pvi_posix_hw_write32,
        .valid = pvi_posix_hw_valid,
        .cmpxchg64 = pvi_posix_hw_cmpxchg64,
        .write_buffer_flush = pvi_posix_hw_flush,
    };

    u->view.host = f->host;
    u->view.coherent = !f->cfg.incoherent;
    u->view.write_buffer = f->cfg.write_buffer && f->cfg.kind != FX_NULL;
    return mem;
}

static void unit_null(struct fx *f, struct fx_unit *u)
{
    struct pvi_unit_caps *caps = &u->null.unit.caps;

    caps->format = f->cfg.format ? f->cfg.format : &pvi_vtd_ss_ops;
    caps->page_sizes = UINT64_MAX;
    caps->levels_mask = (uint8_t)(1u << f->cfg.levels);
    caps->iova_bits = 64;
    caps->coherent = !f->cfg.incoherent;
    caps->np_cache = f->cfg.np_cache;
    caps->write_buffer = f->cfg.write_buffer;
    caps->page_selective = !f->cfg.no_pages;
    caps->snoop = !f->cfg.no_snoop;
    caps->guest_levels = f->cfg.guest_levels;
    caps->guest_depth = f->cfg.guest_depth;
    caps->guest_flags = f->cfg.guest_flags;
    caps->pasid_bits = f->cfg.pasid_bits;
    caps->parent_rw = f->cfg.parent_rw;
    caps->nr_holes = 2;
    caps->hole[0] = (struct pvi_range){FX_MSI_FIRST, FX_MSI_LAST};
    caps->hole[1] = (struct pvi_range){FX_HT_FIRST, FX_HT_LAST};
    u->null.absent_entries = caps->format == &pvi_vtd_ss_ops;
    CHECK_EQ(pvi_posix_add_null(f->host, &u->null), 0);
    u->unit = &u->null.unit;
}

static void unit_vtd(struct fx *f, struct fx_unit *u)
{
    struct hwm_mem mem = unit_memory(f, u);
    struct pvi_vtd_cfg cfg = {.reg_pa = u->regs, .reg_size = 0x1000};
    struct hwm_vtd_cfg hw;

    hwm_vtd_cfg_default(&hw);
    hw.sagaw = 1u << (f->cfg.levels - 2);
    hw.mgaw = 12 + 9 * f->cfg.levels;
    hw.coherent = !f->cfg.incoherent;
    hw.cm = f->cfg.np_cache;
    hw.rwbf = f->cfg.write_buffer;
    hw.psi = !f->cfg.no_pages;
    if (f->cfg.scalable) {
        hw.smts = hw.ssts = hw.fsts = hw.nest = hw.fs5lp = true;
        hw.smpwcs = hw.coherent;
        hw.pss = 19;
    }
    u->model = hwm_vtd_new(&hw, &mem);
    cfg.haw_bits = (uint8_t)hw.haw;
    cfg.scalable = f->cfg.scalable;
    CHECK_EQ(pvi_vtd_unit_init(&u->vtd, f->host, &cfg), 0);
    CHECK_EQ(pvi_posix_add_vtd(f->host, &u->vtd), 0);
    CHECK_EQ(pvi_vtd_unit_enable(&u->vtd), 0);
    u->unit = &u->vtd.unit;
}

static void unit_amd(struct fx *f, struct fx_unit *u)
{
    struct hwm_mem mem = unit_memory(f, u);
    struct pvi_amdvi_cfg cfg = {.reg_pa = u->regs, .np_cache = f->cfg.np_cache, .efr_sup = true};
    struct hwm_amd_cfg hw;

    hwm_amd_cfg_default(&hw);
    hw.np_cache = f->cfg.np_cache;
    hw.err_512g = true;
    cfg.levels_mask = (uint8_t)(1u << f->cfg.levels);
    u->model = hwm_amd_new(&hw, &mem);
    CHECK_EQ(pvi_amdvi_unit_init(&u->amd, f->host, &cfg), 0);
    CHECK_EQ(pvi_posix_add_amdvi(f->host, &u->amd), 0);
    CHECK_EQ(pvi_amdvi_unit_enable(&u->amd), 0);
    u->unit = &u->amd.unit;
}

static void unit_up(struct fx *f, unsigned i)
{
    struct fx_unit *u = &f->unit[i];
    struct pvi_posix_mmio mmio = {read32, read64, write32, write64, u};
    struct pvi_posix_model model = {model_caches, model_pending, u};

    u->regs = REGS(i);
    if (f->cfg.kind == FX_NULL) {
        unit_null(f, u);
        unit_memory(f, u);
    } else {
        CHECK_EQ(pvi_posix_mmio(f->host, u->regs, u->regs + REGS_SIZE - 1, &mmio), 0);
        if (f->cfg.kind == FX_VTD) {
            unit_vtd(f, u);
        } else {
            unit_amd(f, u);
        }
        CHECK(u->model);
        hwm_log_reset(u->model);
        pvi_posix_model(f->host, u->unit, &model);
    }
    CHECK_EQ(pvi_system_add_unit(&f->sys, u->unit), 0);
    f->nr_units = i + 1;
}

/* --- machine and domain --------------------------------------------------------------------------- */

void fx_machine(struct fx *f, const struct fx_cfg *cfg)
{
    struct pvi_posix_cfg pc = {
        .pa = GUEST_ARENA_PA, .size = GUEST_ARENA_SIZE, .pages_first = GUEST_TABLES_NR << 12};

    memset(f, 0, sizeof(*f));
    f->cfg = *cfg;
    f->cfg.units = cfg->units ? cfg->units : 1;
    f->cfg.levels = cfg->levels ? cfg->levels : 4;
    f->cfg.contexts = cfg->contexts ? cfg->contexts : 8;
    f->cfg.pages = cfg->pages ? cfg->pages : 2000;
    f->cfg.devices = cfg->devices ? cfg->devices : 2;
    f->host = pvi_posix_new(&pc);
    CHECK(f->host);
    f->hdom = pvi_posix_hdom_new(f->host, FX_DOMID);
    CHECK(f->hdom);
    guest_describe(f->hdom);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(pvi_posix_hdom_identity(f->hdom, identity_runs[i][0], identity_runs[i][1], PVI_RW), 0);
    }
    pvi_posix_hdom_bind(f->hdom, &f->dom);
    if (cfg->kind != FX_NULL) {
        pvi_posix_poll(f->host, 100000, poll_models, f);
    }
    for (unsigned i = 0; i < f->cfg.units; i++) {
        unit_up(f, i);
    }
}

struct pvi_domain_cfg fx_domain_cfg(struct fx *f)
{
    struct pvi_domain_cfg dc = {
        .hdom = f->hdom,
        .system = &f->sys,
        .max_contexts = 16,
        .max_pages = 4000,
        .default_pages = 64,
        .context_pages = f->cfg.context_pages,
        .page_sizes = f->cfg.page_sizes,
        .iova_bits = f->cfg.iova_bits,
        .default_identity = f->cfg.default_identity,
        .trim = f->cfg.trim,
        .nested = f->cfg.nested,
        .max_pasids = f->cfg.max_pasids,
    };

    return dc;
}

/*
 * Sizes in use, of those asked for: the smallest is what one entry maps. A level takes part if the one below has leaves of
 * one entry, or of half a table, to cut larger ones into. All formats here have 9 bits a level.
 */
static uint64_t usable(uint64_t want, uint64_t format, unsigned levels)
{
    uint64_t sizes = 0;

    for (unsigned lg2 = 12; lg2 < 12 + 9 * levels && lg2 < 64; lg2 += 9) {
        uint64_t here = want & format & (0x1ffull << lg2);

        if (sizes != 0 || (here >> lg2 & 1) != 0) {
            sizes |= here;
            if ((here & (0x101ull << lg2)) == 0) {
                break;
            }
        }
    }
    return sizes;
}

static void oracle_up(struct fx *f, const struct pvi_domain_cfg *dc)
{
    const struct pvi_unit_caps *caps = &f->unit[0].unit->caps;
    unsigned bits = dc->iova_bits ? dc->iova_bits : 48, reach = caps->format->iova_bits(f->cfg.levels);
    struct orc *o = &f->orc;

    orc_init(o);
    o->max_contexts = dc->max_contexts;
    o->max_pages = dc->max_pages;
    o->may_init = true;
    o->snoop = caps->snoop; /* the units of a fixture are alike */
    bits = bits < reach ? bits : reach;
    o->page_sizes = usable(dc->page_sizes ? dc->page_sizes : UINT64_MAX, caps->format->page_sizes, f->cfg.levels);
    o->page = (o->page_sizes & (0 - o->page_sizes)) >> 12;
    o->last_pfn = (1ull << (bits - 12)) - 1;
    o->pa_bits = f->cfg.kind == FX_VTD ? 46 : 52;
    o->hole[o->nr_holes][0] = FX_MSI_FIRST >> 12;
    o->hole[o->nr_holes++][1] = FX_MSI_LAST >> 12;
    if (f->cfg.kind != FX_VTD) {
        o->hole[o->nr_holes][0] = FX_HT_FIRST >> 12;
        o->hole[o->nr_holes++][1] = FX_HT_LAST >> 12;
    }
    o->nr_identity = 3;
    memcpy(o->identity, identity_runs, sizeof(identity_runs));
    memset(o->identity_prot, PVI_RW, 3);
    o->default_identity = dc->default_identity;
    o->may_nest = dc->nested;
    o->max_pasids = dc->max_pasids;
    if (dc->nested && caps->guest_levels != 0) {
        o->guest_levels = caps->guest_levels;
        o->guest_depth = caps->guest_depth;
        o->guest_flags = caps->guest_flags;
    }
    o->pasid_bits = caps->pasid_bits;
}

void fx_domain(struct fx *f, const struct pvi_domain_cfg *dc)
{
    int rc;

    oracle_up(f, dc);
    CHECK_EQ(pvi_domain_init(&f->dom, f->host, dc), 0);
    do {
        rc = pvi_domain_start(&f->dom);
    } while (rc == -PVI_EPREEMPTED);
    CHECK_EQ(rc, 0);
    if (dc->default_identity) {
        orc_build(&f->orc, 0);
    }
    for (unsigned i = 0; i < f->cfg.devices; i++) {
        (void)fx_device(f, i, i % f->nr_units);
        CHECK_EQ(fx_add(f, i), 0);
    }
}

struct pvi_device *fx_device(struct fx *f, unsigned i, unsigned unit)
{
    struct pvi_device *dev = &f->dev[i];

    CHECK(i < FX_DEVICES);
    memset(dev, 0, sizeof(*dev));
    dev->sbdf.v = 0x100 + 8 * i;
    dev->unit = f->unit[unit].unit;
    dev->nr_rids = 1;
    dev->rid[0] = (uint16_t)dev->sbdf.v;
    f->nr_devs = i + 1 > f->nr_devs ? i + 1 : f->nr_devs;
    return dev;
}

int fx_add(struct fx *f, unsigned i)
{
    int rc = pvi_device_add(&f->dom, &f->dev[i]);

    pvi_posix_checkpoint(f->host);
    if (rc == 0) {
        CHECK_EQ(orc_add(&f->orc, &f->dev[i]), 0);
    }
    return rc;
}

int fx_remove(struct fx *f, unsigned i)
{
    int rc = pvi_device_remove(&f->dom, &f->dev[i]);

    pvi_posix_checkpoint(f->host);
    if (rc == 0) {
        orc_remove(&f->orc, &f->dev[i]);
    }
    return rc;
}

void fx_up(struct fx *f, const struct fx_cfg *cfg)
{
    struct pvi_domain_cfg dc;
    struct pvi_op *op;

    fx_machine(f, cfg);
    dc = fx_domain_cfg(f);
    fx_domain(f, &dc);
    if (!cfg->no_init) {
        fx_begin(f);
        op = fx_op(f, PVI_OP_INIT, 0);
        op->u.init.nr_contexts = f->cfg.contexts;
        op->u.init.nr_pages = f->cfg.pages;
        fx_expect(f, 0);
    }
}

/* --- the end -------------------------------------------------------------------------------------- */

static void units_down(struct fx *f, bool check)
{
    for (unsigned i = 0; i < f->nr_units; i++) {
        struct fx_unit *u = &f->unit[i];

        if (check && f->cfg.kind == FX_VTD) {
            CHECK_EQ(pvi_vtd_unit_disable(&u->vtd), 0);
        } else if (check && f->cfg.kind == FX_AMD) {
            CHECK_EQ(pvi_amdvi_unit_disable(&u->amd), 0);
        }
        if (check && u->model && hwm_violation(u->model)) {
            check_step("the model objects: %s", hwm_violation(u->model));
            CHECK(!"no misuse of the unit");
        }
        pvi_posix_remove_unit(f->host, u->unit);
    }
}

static void machine_free(struct fx *f)
{
    pvi_posix_free(f->host);
    for (unsigned i = 0; i < f->nr_units; i++) {
        if (f->unit[i].model) {
            hwm_free(f->unit[i].model);
        }
        pvi_posix_null_fini(&f->unit[i].null);
    }
    orc_fini(&f->orc);
}

void fx_domain_end(struct fx *f, bool lost)
{
    int rc;

    while (f->dom.devices) {
        rc = pvi_device_remove(&f->dom, f->dom.devices);
        CHECK(rc == 0 || (lost && rc == -PVI_EHW));
        pvi_posix_checkpoint(f->host);
    }
    pvi_domain_kill(&f->dom);
    do {
        rc = pvi_domain_destroy(&f->dom);
        pvi_posix_checkpoint(f->host);
    } while (rc == -PVI_EPREEMPTED);
    CHECK_EQ(rc, 0);
}

static void all_is_back(struct fx *f)
{
    const char *why = NULL;

    for (unsigned i = 0; i < f->nr_units && f->cfg.kind == FX_NULL; i++) {
        for (unsigned did = 0; did < 65536u; did++) {
            CHECK(!f->unit[i].null.did_used[did]);
        }
    }
    units_down(f, true);
    if (!pvi_posix_balanced(f->host, &why)) {
        check_step("%s", why);
        CHECK(!"everything is back");
    }
    machine_free(f);
}

void fx_down(struct fx *f)
{
    pvi_posix_check_all(f->host);
    for (unsigned i = 0; i < f->nr_devs; i++) {
        const struct orc_dev *od = orc_dev(&f->orc, f->dev[i].sbdf.v);

        if (od && od->dev == &f->dev[i]) {
            CHECK_EQ(fx_remove(f, i), 0);
        }
    }
    fx_domain_end(f, false);
    all_is_back(f);
}

void fx_end(struct fx *f, bool lost)
{
    uint64_t pages;

    fx_domain_end(f, lost);
    if (!lost) {
        all_is_back(f);
        return;
    }
    /* What is not back is exactly what the pools have written off; nothing of the library's own objects. */
    pages = f->dom.pool.nr_lost + f->dom.default_pool.nr_lost;
    CHECK_EQ(pvi_posix_pages_used(f->host), pages);
    CHECK_EQ(pvi_posix_mem_used(f->host), 0);
    fx_drop(f);
}

void fx_drop(struct fx *f)
{
    units_down(f, false);
    machine_free(f);
}

void fx_each(void (*fn)(struct fx *f, const struct fx_cfg *cfg))
{
    static const struct {
        const char *name;
        struct fx_cfg cfg;
    } kinds[] = {
        {"null, VT-d format", {.kind = FX_NULL}},
        {"null, AMD format, not-present cached", {.kind = FX_NULL, .format = &pvi_amdvi_v1_ops, .np_cache = true}},
        {"VT-d", {.kind = FX_VTD}},
        {"VT-d, caching mode, two units", {.kind = FX_VTD, .np_cache = true, .units = 2}},
        {"VT-d, not coherent, trim", {.kind = FX_VTD, .incoherent = true, .trim = true}},
        {"VT-d, 3 levels, write buffer, no PSI", {.kind = FX_VTD, .levels = 3, .write_buffer = true, .no_pages = true}},
        {"VT-d, scalable mode, not coherent, caching mode", {.kind = FX_VTD, .scalable = true, .incoherent = true, .np_cache = true}},
        {"AMD-Vi", {.kind = FX_AMD}},
        {"AMD-Vi, NpCache, two units", {.kind = FX_AMD, .np_cache = true, .units = 2}},
    };
    static struct fx f;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        check_case("%s", kinds[i].name);
        fn(&f, &kinds[i].cfg);
    }
}
