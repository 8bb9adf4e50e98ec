/* SPDX-License-Identifier: MIT */
/* See lab.h: life, sizes, and all combinations. Operations are in lab_ops.c, what is checked in lab_check.c. */
#include "lab.h"

#include <stdlib.h>
#include <string.h>

#include "lab_internal.h"

#define LAB_PAGES 64u

/* --- life ----------------------------------------------------------------------------------------- */

static void lab_host(struct lab *r)
{
    struct pvi_posix_cfg pc = {.pa = GUEST_ARENA_PA, .size = GUEST_ARENA_SIZE};
    struct pvi_unit_caps *caps = &r->unit.unit.caps;

    r->host = pvi_posix_new(&pc);
    CHECK(r->host);
    r->hdom = pvi_posix_hdom_new(r->host, 1);
    CHECK(r->hdom);
    guest_describe(r->hdom);
    caps->format = r->cfg.f->ops;
    caps->levels_mask = (uint8_t)(1u << r->cfg.levels);
    caps->page_selective = true;
    caps->coherent = !r->cfg.incoherent;
    caps->snoop = r->cfg.snoop;
    caps->np_cache = true;
    caps->inv_max_lg2 = 63;
    CHECK_EQ(pvi_posix_add_null(r->host, &r->unit), 0);
}

static void lab_models(struct lab *r, uint64_t apart)
{
    r->now = flat_new();
    r->flushed = flat_new();
    lab_set_init(&r->leaves, r->usable);
    r->leaves.apart = apart;
    lab_set_init(&r->was, r->usable);
    r->adopt_first = 1;
    r->adopt_last = 0;
    r->tables = calloc(LAB_MAX_TABLES, sizeof(*r->tables));
    CHECK(r->tables);
    lab_snapshot(r);
}

bool lab_more_pages(struct lab *r, int rc)
{
    uint32_t done;

    if (rc != -PVI_ENOMEM || r->cfg.pages != 0 || r->keep_pool) {
        return false;
    }
    CHECK_EQ(pvi_pool_grow(&r->pool, LAB_PAGES, &done), 0);
    return true;
}

void lab_up(struct lab *r, const struct lab_cfg *cfg)
{
    struct pvi_pt_cfg pc = {
        .ops = cfg->f->ops,
        .page_sizes = cfg->sizes,
        .levels = (uint8_t)cfg->levels,
        .iova_bits = cfg->f->ops->iova_bits(cfg->levels),
        .pa_bits = 52,
        .coherent = !cfg->incoherent,
        .snoop = cfg->snoop,
        .trim = cfg->trim,
        .adds = true,
        .dirty = cfg->dirty,
        .no_read_only = cfg->no_read_only,
        .fixed_sizes = cfg->fixed,
    };
    uint64_t apart = 0;
    uint32_t done;

    memset(r, 0, sizeof(*r));
    r->cfg = *cfg;
    r->usable = lab_usable(cfg->f, cfg->levels, cfg->sizes);
    r->page = r->usable & (0 - r->usable);
    for (unsigned level = 0; level < cfg->levels; level++) {
        uint64_t one = 1ull << cfg->f->shift[level], all = (one << cfg->f->bits[level]) - one;

        all &= r->usable & 0x7fffffff; /* above a gigabyte nothing is cut or joined here */
        if (all != 0 && (all & one) == 0) {
            r->all_at_once = true;
            apart |= all;
        }
    }
    r->last = lab_reach(cfg->f, cfg->levels);
    CHECK_EQ(r->last >> (pc.iova_bits - 1), 1);
    check_case("%s %u levels, sizes 0x%llx%s%s%s", cfg->f->name, cfg->levels, (unsigned long long)cfg->sizes,
               cfg->incoherent ? ", not coherent" : "", cfg->trim ? ", trim" : "", cfg->dirty ? ", dirty" : "");
    lab_host(r);
    pvi_pool_init(&r->pool, r->host);
    r->quota.limit = UINT32_MAX;
    CHECK_EQ(pvi_pool_grow(&r->pool, cfg->pages ? cfg->pages : LAB_PAGES, &done), 0);
    CHECK_EQ(pvi_pt_init(&r->pt, &pc, &r->pool, &r->quota), 0);
    CHECK_EQ(r->pt.cfg.page_sizes, r->usable);
    CHECK_EQ(r->quota.used, 1);
    pvi_posix_track_root(r->host, cfg->f->ops, cfg->levels, r->pt.root->pa, !cfg->incoherent);
    pvi_posix_bind_root(r->host, &r->unit.unit, LAB_DID, r->pt.root->pa);
    pvi_gather_init(&r->gather, r->host, r->hdom, cfg->f->ops);
    lab_models(r, apart);
}

void lab_forget_all(struct lab *r)
{
    CHECK_EQ(lab_unmap(r, 0, r->last, true, NULL), 0);
    lab_flush(r);
    lab_check(r);
    CHECK_EQ(r->quota.used, 1);
}

void lab_down(struct lab *r)
{
    struct pvi_inv all = {.kind = PVI_INV_DOMAIN, .did = LAB_DID};
    const char *why = NULL;

    lab_forget_all(r);
    /* No slice stored to more than one table's worth of entries, the rest of a leaf, a split and the way up (R14). */
    CHECK(r->most_stores <= PVI_TABLE_ENTRIES + PVI_TABLE_ENTRIES / 2 + PVI_MAX_LEVELS);
    pvi_posix_check_all(r->host);
    pvi_posix_unbind_root(r->host, &r->unit.unit, LAB_DID, r->pt.root->pa);
    CHECK_EQ(pvi_host_inv_submit(r->host, &r->unit.unit, &all, 1), 0);
    CHECK_EQ(pvi_host_inv_wait(r->host, &r->unit.unit), 0);
    pvi_posix_untrack_root(r->host, r->pt.root->pa);
    pvi_pt_fini(&r->pt);
    CHECK_EQ(r->quota.used, 0);
    CHECK_EQ(r->pool.nr_free, r->pool.nr_pages);
    (void)pvi_pool_shrink(&r->pool, UINT32_MAX);
    CHECK_EQ(r->pool.nr_pages, 0);
    CHECK(pvi_posix_hdom_balanced(r->hdom));
    if (!pvi_posix_balanced(r->host, &why)) {
        check_step("%s", why);
        CHECK(!"everything is back");
    }
    CHECK_EQ(pvi_posix_events(r->host, NULL), 0);
    pvi_posix_remove_unit(r->host, &r->unit.unit);
    pvi_posix_free(r->host);
    pvi_posix_null_fini(&r->unit);
    flat_free(r->now);
    flat_free(r->flushed);
    lab_set_fini(&r->leaves);
    lab_set_fini(&r->was);
    free(r->tables);
}

/* --- all of them ---------------------------------------------------------------------------------- */

static void one_set(struct lab *r, struct lab_cfg *cfg, uint64_t sizes, void (*fn)(struct lab *r))
{
    cfg->sizes = sizes;
    if (lab_usable(cfg->f, cfg->levels, sizes) != 0) {
        lab_up(r, cfg);
        fn(r);
        lab_down(r);
    }
}

static void each_set(struct lab *r, struct lab_cfg *cfg, void (*fn)(struct lab *r))
{
    uint64_t s0 = 1ull << cfg->f->shift[0], s1 = 1ull << cfg->f->shift[1], s2 = 1ull << cfg->f->shift[2];
    const uint64_t sets[] = {s0 | s1 | s2, s0, s0 | s1, s1, s0 | s2};
    unsigned i;

    for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        one_set(r, cfg, sets[i], fn);
    }
    for (i = 0; i < sizeof(cfg->f->sets) / sizeof(cfg->f->sets[0]) && cfg->f->sets[i] != 0; i++) {
        one_set(r, cfg, cfg->f->sets[i], fn);
    }
}

void lab_each(void (*fn)(struct lab *r))
{
    static struct lab r;

    for (unsigned i = 0; i < lab_nr_depths; i++) {
        struct lab_cfg cfg = {.f = lab_depths[i].f, .levels = lab_depths[i].levels};

        each_set(&r, &cfg, fn);
        cfg.incoherent = true;
        one_set(&r, &cfg, UINT64_MAX, fn);
    }
}

void lab_each_format(void (*fn)(struct lab *r))
{
    static struct lab r;

    for (unsigned i = 0; i < lab_nr_depths; i++) {
        struct lab_cfg cfg = {.f = lab_depths[i].f, .levels = lab_depths[i].levels};

        one_set(&r, &cfg, UINT64_MAX, fn);
    }
}

void lab_each_dirty(void (*fn)(struct lab *r))
{
    static struct lab r;

    for (unsigned i = 0; i < lab_nr_depths; i++) {
        struct lab_cfg cfg = {.f = lab_depths[i].f, .levels = lab_depths[i].levels, .dirty = true};

        one_set(&r, &cfg, UINT64_MAX, fn);
    }
}

/* --- sizes ------------------------------------------------------------------------------------------ */

static uint64_t nth(uint64_t sizes, unsigned k)
{
    while (k-- > 0) {
        sizes &= sizes - 1;
    }
    return sizes & (0 - sizes);
}

uint64_t lab_size(const struct lab *r, unsigned k)
{
    return nth(r->usable & 0x7fffffffull, k);
}

unsigned lab_nr_sizes(const struct lab *r)
{
    return (unsigned)__builtin_popcountll(r->usable & 0x7fffffffull);
}

uint64_t lab_single(const struct lab *r, unsigned k)
{
    uint64_t single = 0;

    for (unsigned level = 0; level < r->cfg.levels; level++) {
        single |= 1ull << r->cfg.f->shift[level];
    }
    return nth(r->usable & single & 0x7fffffffull, k);
}

unsigned lab_level(const struct lab *r, uint64_t size)
{
    return lab_level_of(r->cfg.f, size);
}

uint64_t lab_table_span(const struct lab *r)
{
    unsigned level = lab_level(r, r->page);

    return 1ull << (r->cfg.f->shift[level] + r->cfg.f->bits[level]);
}

uint64_t lab_loose(const struct lab *r)
{
    return r->page == 0x1000 ? GUEST_HVM : GUEST_PV + (r->page >> 12);
}

uint64_t lab_fit(const struct lab *r, uint64_t iova, uint64_t pa, uint64_t len)
{
    struct lab_frames f = {.pa = pa, .len = len, .page_lg2 = 12};

    return lab_set_fit(&r->leaves, iova, &f, 0);
}
