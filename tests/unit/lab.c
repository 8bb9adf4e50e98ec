/* SPDX-License-Identifier: MIT */
/* See lab.h: life, walker, operations. What is checked is in lab_check.c. */
#include "lab.h"

#include <stdlib.h>
#include <string.h>

#include "fmt_hostile.h"
#include "lab_internal.h"

#define K4 0x1000ull
#define M2 0x200000ull
#define G1 0x40000000ull

const struct lab_format lab_vtd = {
    "vtd", &pvi_vtd_ss_ops, {12, 21, 30, 39, 48, 0}, {9, 9, 9, 9, 9, 0}, K4 | M2 | G1, hwm_visit_vtdss,
};
const struct lab_format lab_amd = {
    "amd", &pvi_amdvi_v1_ops, {12, 21, 30, 39, 48, 57}, {9, 9, 9, 9, 9, 7}, K4 | M2 | G1, hwm_visit_amdv1,
};
const struct lab_format lab_hostile = {
    "hostile", &hostile_ops, {12, 20, 27, 36, 0, 0}, {8, 7, 9, 6, 0, 0}, HOSTILE_PAGE_SIZES, hostile_visit,
};

/* --- life ----------------------------------------------------------------------------------------- */

/* Sizes from the smallest one asked for, without a gap, as far as the levels hold them. */
static uint64_t usable_sizes(const struct lab_cfg *cfg)
{
    uint64_t usable = 0;

    for (unsigned level = 0; level < cfg->levels; level++) {
        uint64_t size = 1ull << cfg->f->shift[level];

        if ((cfg->f->sizes & size) == 0) {
            continue;
        }
        if ((cfg->sizes & size) != 0) {
            usable |= size;
        } else if (usable != 0) {
            break;
        }
    }
    return usable;
}

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

void lab_up(struct lab *r, const struct lab_cfg *cfg)
{
    unsigned top = cfg->levels - 1, bits = cfg->f->shift[top] + cfg->f->bits[top];
    struct pvi_pt_cfg pc = {
        .ops = cfg->f->ops,
        .page_sizes = cfg->sizes,
        .levels = (uint8_t)cfg->levels,
        .iova_bits = (uint8_t)bits,
        .pa_bits = 52,
        .coherent = !cfg->incoherent,
        .snoop = cfg->snoop,
        .trim = cfg->trim,
    };
    uint32_t done;

    memset(r, 0, sizeof(*r));
    r->cfg = *cfg;
    r->cfg.pages = cfg->pages ? cfg->pages : 640;
    r->usable = usable_sizes(cfg);
    r->page = r->usable & (0 - r->usable);
    r->last = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    check_case("%s %u levels, sizes 0x%llx%s%s", cfg->f->name, cfg->levels, (unsigned long long)cfg->sizes,
               cfg->incoherent ? ", not coherent" : "", cfg->trim ? ", trim" : "");
    lab_host(r);
    pvi_pool_init(&r->pool, r->host);
    r->quota.limit = UINT32_MAX;
    CHECK_EQ(pvi_pool_grow(&r->pool, r->cfg.pages, &done), 0);
    CHECK_EQ(pvi_pt_init(&r->pt, &pc, &r->pool, &r->quota), 0);
    CHECK_EQ(r->quota.used, 1);
    pvi_posix_track_root(r->host, cfg->f->ops, cfg->levels, r->pt.root->pa, !cfg->incoherent);
    pvi_posix_bind_root(r->host, &r->unit.unit, LAB_DID, r->pt.root->pa);
    pvi_gather_init(&r->gather, r->host, r->hdom, cfg->f->ops);
    r->now = flat_new();
    r->flushed = flat_new();
    r->tables = calloc(LAB_MAX_TABLES, sizeof(*r->tables));
    CHECK(r->tables);
    lab_snapshot(r);
}

void lab_down(struct lab *r)
{
    struct pvi_inv all = {.kind = PVI_INV_DOMAIN, .did = LAB_DID};
    const char *why = NULL;

    (void)lab_unmap(r, 0, r->last, true, NULL);
    lab_flush(r);
    lab_check(r);
    CHECK_EQ(r->quota.used, 1);
    CHECK_EQ(r->quota.reserved, 0);
    /* No slice stored to more than one table's worth of entries, a split and the way up (R14). */
    CHECK(r->most_stores <= PVI_TABLE_ENTRIES + 1 + PVI_MAX_LEVELS);
    pvi_posix_check_all(r->host);
    pvi_posix_unbind_root(r->host, &r->unit.unit, LAB_DID, r->pt.root->pa);
    CHECK_EQ(pvi_host_inv_submit(r->host, &r->unit.unit, &all, 1), 0);
    CHECK_EQ(pvi_host_inv_wait(r->host, &r->unit.unit), 0);
    pvi_posix_untrack_root(r->host, r->pt.root->pa);
    pvi_pt_fini(&r->pt);
    CHECK_EQ(r->quota.used, 0);
    CHECK_EQ(r->pool.nr_free, r->pool.nr_pages);
    CHECK_EQ(pvi_pool_shrink(&r->pool, UINT32_MAX), r->cfg.pages);
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
    free(r->tables);
}

/* --- all of them ---------------------------------------------------------------------------------- */

static void each_set(struct lab *r, struct lab_cfg *cfg, void (*fn)(struct lab *r))
{
    uint64_t s0 = 1ull << cfg->f->shift[0], s1 = 1ull << cfg->f->shift[1], s2 = 1ull << cfg->f->shift[2];
    const uint64_t sets[] = {s0 | s1 | s2, s0, s0 | s1, s1, s0 | s2};

    for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        cfg->sizes = sets[i];
        if (usable_sizes(cfg) != 0) {
            lab_up(r, cfg);
            fn(r);
            lab_down(r);
        }
    }
}

static const struct {
    const struct lab_format *f;
    unsigned levels;
} depths[] = {
    {&lab_vtd, 3}, {&lab_vtd, 4}, {&lab_vtd, 5},     {&lab_amd, 1},     {&lab_amd, 2},     {&lab_amd, 3}, {&lab_amd, 4},
    {&lab_amd, 5}, {&lab_amd, 6}, {&lab_hostile, 1}, {&lab_hostile, 2}, {&lab_hostile, 3}, {&lab_hostile, 4},
};

void lab_each(void (*fn)(struct lab *r))
{
    static struct lab r;

    for (unsigned i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        for (unsigned incoherent = 0; incoherent < 2; incoherent++) {
            struct lab_cfg cfg = {.f = depths[i].f, .levels = depths[i].levels, .incoherent = incoherent != 0};

            each_set(&r, &cfg, fn);
        }
    }
}

void lab_each_format(void (*fn)(struct lab *r))
{
    static struct lab r;

    for (unsigned i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        struct lab_cfg cfg = {.f = depths[i].f, .levels = depths[i].levels, .sizes = UINT64_MAX};

        lab_up(&r, &cfg);
        fn(&r);
        lab_down(&r);
    }
}

uint64_t lab_size(const struct lab *r, unsigned k)
{
    uint64_t left = r->usable;

    while (k-- > 0) {
        left &= left - 1;
    }
    return left & (0 - left);
}

unsigned lab_level(const struct lab *r, uint64_t size)
{
    unsigned level = 0;

    while (1ull << r->cfg.f->shift[level] != size) {
        level++;
    }
    return level;
}

uint64_t lab_loose(const struct lab *r)
{
    return r->page == K4 ? GUEST_HVM : GUEST_PV + (r->page >> 12);
}

uint64_t lab_fit(const struct lab *r, uint64_t iova, uint64_t pa, uint64_t len)
{
    uint64_t best = 0;

    for (unsigned k = 0; k < 3; k++) {
        uint64_t size = lab_size(r, k);

        if (size != 0 && iova % size == 0 && pa % size == 0 && len >= size) {
            best = size;
        }
    }
    return best;
}

/* --- operations ----------------------------------------------------------------------------------- */

/* The frames of the range, contiguous and pinned; the guest's ranges are made so. */
static struct pvi_frames pin(struct lab *r, uint64_t gfn, uint64_t len, unsigned prot)
{
    struct pvi_frames f;
    pvi_gfn g = {gfn};

    CHECK_EQ(pvi_host_frame_get(r->host, r->hdom, g, len >> 12, prot, &f), 0);
    CHECK_EQ(f.nr, len >> 12);
    return f;
}

static void unpin_rest(struct lab *r, const struct pvi_frames *f, uint64_t done)
{
    struct pvi_frames rest = {{f->pa.a + done}, f->nr - (done >> 12), f->owe};

    if (rest.nr != 0 && rest.owe != PVI_OWE_NONE) {
        pvi_host_frame_put(r->host, r->hdom, &rest);
    }
}

int lab_map(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len, unsigned prot)
{
    struct pvi_frames f = pin(r, gfn, len, prot);
    struct pvi_pt_map m = {.iova = iova, .pa = f.pa.a, .len = len, .prot = (uint8_t)prot, .owe = f.owe};
    uint64_t taken, want = len;
    int rc = 0;

    if (flat_overlap(r->now, iova >> 12, len >> 12, &taken)) {
        want = (taken << 12) - iova;
    }
    while (rc == 0 && m.done < len) {
        uint64_t before = m.done, stores = pvi_posix_calls(r->host, PVI_AT_WRITE);

        rc = r->pt.cfg.ops->map(&r->pt, NULL, &m, &r->gather);
        stores = pvi_posix_calls(r->host, PVI_AT_WRITE) - stores;
        r->most_stores = stores > r->most_stores ? stores : r->most_stores;
        CHECK(rc != 0 || m.done > before || stores > 0 || !pvi_posix_recording()); /* mapped something, or cleared its way */
        CHECK(m.done >= before && m.done <= len);
        if (m.done > before) {
            CHECK(flat_map(r->now, (iova + before) >> 12, (m.done - before) >> 12, f.pa.a + before, prot, f.owe));
        }
    }
    unpin_rest(r, &f, m.done);
    if (rc != -PVI_ENOMEM && rc != -PVI_EQUOTA) {
        CHECK_EQ(m.done, want);
        CHECK_EQ(rc, want == len ? 0 : -PVI_EEXIST);
    }
    return rc;
}

void lab_map_ok(struct lab *r, uint64_t iova, uint64_t len)
{
    CHECK_EQ(lab_map(r, iova, GUEST_PV + ((iova & (G1 - 1)) >> 12), len, PVI_RW), 0);
}

int lab_unmap(struct lab *r, uint64_t first, uint64_t last, bool holes, uint64_t *next)
{
    struct pvi_pt_unmap u = {.first = first, .last = last, .next = first, .holes = holes};
    uint64_t hole, slices = 0;
    bool stops = !holes && flat_first_hole(r->now, first >> 12, ((last - first) >> 12) + 1, &hole);
    int rc = 0;

    while (rc == 0 && !u.complete) {
        uint64_t before = u.next, end, stores = pvi_posix_calls(r->host, PVI_AT_WRITE);
        uint32_t tables = r->quota.used - r->gather.nr_lists;

        rc = r->pt.cfg.ops->unmap(&r->pt, NULL, &u, &r->gather);
        stores = pvi_posix_calls(r->host, PVI_AT_WRITE) - stores;
        r->most_stores = stores > r->most_stores ? stores : r->most_stores;
        CHECK(r->quota.used - r->gather.nr_lists <= tables + 1); /* one split a slice */
        end = u.complete ? last : u.next - 1;
        CHECK(u.next >= before);
        if (u.complete || u.next > before) {
            (void)flat_unmap(r->now, before >> 12, ((end - before) >> 12) + 1);
        }
        if (rc == -PVI_EBUSY) {
            lab_flush(r);
            rc = 0;
        }
        CHECK(++slices < 10000000);
    }
    if (rc != -PVI_ENOMEM && rc != -PVI_EQUOTA) {
        CHECK_EQ(rc, stops ? -PVI_ENOENT : 0);
        CHECK(!stops || u.next == hole << 12);
    }
    if (next) {
        *next = u.next;
    }
    return rc;
}
