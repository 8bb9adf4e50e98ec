/* SPDX-License-Identifier: MIT */
/*
 * sync_pt: the default context follows the host's hooks. After each hook the table is what a flat model says, and under the hardware
 * models, whose caches never forget by themselves, what was removed faults before the hook (or its bracket) has returned.
 */
#include <string.h>

#include "fixture.h"

#define GIB 0x40000ull /* frames */
#define RMRR 0x20000ull
#define PA(frame) ((pvi_pa){(uint64_t)(frame) << 12})

static struct fx *m;
static struct fx one;
static struct pvi_sync sync;

/* pages: of the default context, beside a reserve of `reserve`. */
static void up(struct fx *f, const struct fx_cfg *cfg, uint32_t pages, uint32_t reserve)
{
    struct pvi_domain_cfg dc;

    m = f;
    fx_machine(f, cfg);
    dc = fx_domain_cfg(f);
    dc.default_pages = pages;
    dc.passthrough = (struct pvi_passthrough_cfg){.mode = PVI_PASSTHROUGH_SYNC_PT, .pv = true, .reserve = reserve};
    fx_domain(f, &dc);
    pvi_sync_init(&sync, &f->dom);
}

/* Pages at the edges of what a hook changes: devices load them before, and try them afterwards. */
static void edges(uint64_t dfn, uint64_t nr)
{
    const uint64_t at[] = {dfn, dfn + nr / 2, dfn + nr - 1, dfn + nr};

    for (unsigned i = 0; i < 4; i++) {
        if (at[i] <= m->orc.last_pfn) {
            fx_touch(m, at[i]);
        }
    }
    fx_dma(m);
}

/* The parts of a range that hooks change: not windows, and not regions of devices. */
static uint64_t part(uint64_t dfn, uint64_t end, bool *stepped)
{
    uint64_t at;

    *stepped = orc_hole(&m->orc, dfn, 1, &at) || orc_region(&m->orc, 0, dfn, 1, &at);
    for (at = dfn + 1; at < end; at++) {
        uint64_t first;

        if ((orc_hole(&m->orc, at, 1, &first) || orc_region(&m->orc, 0, at, 1, &first)) != *stepped) {
            break;
        }
    }
    return at;
}

static struct flat *model(void)
{
    return m->orc.ctx[0].map;
}

static void judged(void)
{
    pvi_posix_checkpoint(m->host);
    fx_check(m);
    fx_dma(m);
}

/* One addition by itself, where nothing is. */
static void add(uint64_t dfn, uint64_t frame, uint64_t nr, unsigned prot)
{
    bool stepped;

    edges(dfn, nr);
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){dfn}, PA(frame), nr, prot), 0);
    for (uint64_t at = dfn, end; at < dfn + nr; at = end) {
        end = part(at, dfn + nr, &stepped);
        CHECK(stepped || flat_map(model(), at, end - at, (frame + at - dfn) << 12, prot, 0));
    }
    judged();
}

static void change(uint64_t dfn, uint64_t nr, unsigned prot)
{
    bool stepped, kept = false;
    int rc;

    edges(dfn, nr);
    rc = prot == 0 ? pvi_sync_remove(&sync, (pvi_dfn){dfn}, nr) : pvi_sync_protect(&sync, (pvi_dfn){dfn}, nr, prot);
    for (uint64_t at = dfn, end; at < dfn + nr; at = end) {
        end = part(at, dfn + nr, &stepped);
        if (!stepped) {
            (void)(prot == 0 ? flat_unmap(model(), at, end - at) : flat_protect(model(), at, end - at, prot));
        } else {
            uint64_t first;

            kept |= orc_region(&m->orc, 0, at, end - at, &first);
        }
    }
    CHECK_EQ(rc, kept ? -PVI_ERESERVED : 0);
    judged();
}

/* Leaves of 2^lg2 bytes in the table. */
struct counted {
    unsigned lg2;
    uint64_t nr;
};

static void count(void *opaque, const struct hwm_leaf *leaf)
{
    struct counted *c = opaque;

    c->nr += leaf->lg2 == c->lg2;
}

static uint64_t leaves(unsigned lg2)
{
    struct counted c = {.lg2 = lg2};
    struct hwm_visitor v = {.ctx = &c, .leaf = count};
    struct hwm_visit out;

    CHECK(fx_visit(m, fx_root(m, 0), &v, &out));
    return c.nr;
}

static void down(void)
{
    struct pvi_context_usage usage;

    for (uint64_t at = 0; at <= m->orc.last_pfn && at < 8 * GIB; at += GIB) {
        int rc = pvi_sync_remove(&sync, (pvi_dfn){at}, GIB);

        CHECK(rc == 0 || rc == -PVI_ERESERVED);
        if (rc == 0) {
            (void)flat_unmap(model(), at, GIB);
        }
    }
    CHECK_EQ(pvi_context_usage(&m->dom, 0, &usage), 0);
    CHECK(flat_pages(model()) != 0 || usage.pages_used == 1); /* what cuts took is back */
    fx_down(m);
}

/* --- one hook at a time ----------------------------------------------------------------------------- */

static void follow(struct fx *f, const struct fx_cfg *cfg)
{
    up(f, cfg, 200, 0);
    add(0x1000, 0x91000, 1, PVI_RW);
    change(0x1000, 1, 0);
    add(0x1000, 0x92000, 1, PVI_READ); /* another frame in its place */
    add(0x200000 / 8, 0x240000, 0x800, PVI_RW);
    change(0x40123, 1, 0);
    change(0x40200, 0x200, PVI_READ);
    change(0x40205, 3, PVI_RW);
    change(0x40301, 1, PVI_WRITE);
    change(0x40000, 0x800, PVI_RW); /* steps over the hole */
    change(0x40010, 0x700, 0);
    change(0x40000, 0x900, 0);
    change(0x40000, 0x900, PVI_READ); /* nothing is there */
    change(0x40000, 0x900, 0);
    add(0x40000, 0x280000, GIB, PVI_RW);
    change(0x7ffff, 1, 0);
    change(0x40000, 1, PVI_READ);
    change(0x40000, GIB, 0);
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){1ull << 45}, 5), 0); /* beyond the table: nothing is mapped there */
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){m->orc.last_pfn}, 5), 0);
    CHECK_EQ(sync.stepped, 0);
    down();
}

/* The host is called for nothing but units and notes: it may hold its p2m lock. */
static void asks_nothing(struct fx *f, const struct fx_cfg *cfg)
{
    static const enum pvi_posix_point never[] = {PVI_AT_PAGE_ALLOC, PVI_AT_PAGES_ALLOC, PVI_AT_MEM_ALLOC, PVI_AT_FRAME_GET,
                                                 PVI_AT_DID_ALLOC,  PVI_AT_DEV_SWITCH,  PVI_AT_PREEMPT,   PVI_AT_PAGE_FREE,
                                                 PVI_AT_MEM_FREE,   PVI_AT_FRAME_PUT,   PVI_AT_FRAME_GFN, PVI_AT_IDENTITY,
                                                 PVI_AT_DOMAIN,     PVI_AT_DID_FREE};

    up(f, cfg, 200, 0);
    pvi_posix_calls_reset(f->host);
    add(0x40000, 0x280000, GIB, PVI_RW);
    change(0x41111, 0x300, PVI_READ);
    change(0x42222, 0x400, 0);
    change(0x40000, GIB, 0);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        check_step("point %d", (int)never[i]);
        CHECK_EQ(pvi_posix_calls(f->host, never[i]), 0);
    }
    down();
}

static void random_hooks(struct fx *f, const struct fx_cfg *cfg)
{
    uint64_t seed = 0x1234567;

    up(f, cfg, 800, 0);
    f->check_every = 0;
    for (unsigned i = 0; i < 250; i++) {
        uint64_t dfn, nr, first;

        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        dfn = ((seed >> 20) % 4 == 0 ? 0xfec00 : 0x40000) + (seed >> 24) % 0xa00;
        nr = (seed >> 40) % 8 == 0 ? 0x200 : 1 + (seed >> 44) % 0x180;
        dfn = (seed >> 40) % 8 == 0 ? dfn & ~0x1ffull : dfn;
        check_step("hook %u: 0x%llx 0x%llx", i, (unsigned long long)dfn, (unsigned long long)nr);
        if ((seed >> 60) < 8) {
            bool there = flat_overlap(model(), dfn, nr, &first);

            nr = there ? first - dfn : nr;
            if (nr != 0) {
                add(dfn, dfn + (seed >> 33) % 2 + 0x200000, nr, 1 + (seed >> 50) % 3);
            }
        } else {
            change(dfn, nr, (seed >> 60) < 12 ? 0 : 1 + (seed >> 50) % 3);
        }
    }
    down();
}

static void follow_everywhere(void **state)
{
    (void)state;
    fx_each(follow);
    fx_each(asks_nothing);
}

static void random_everywhere(void **state)
{
    (void)state;
    fx_each(random_hooks);
}

/* --- brackets --------------------------------------------------------------------------------------- */

static void added(uint64_t dfn, uint64_t frame, uint64_t nr, unsigned prot)
{
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){dfn}, PA(frame), nr, prot), 0);
    CHECK(flat_map(model(), dfn, nr, frame << 12, prot, 0));
}

static void removed(uint64_t dfn, uint64_t nr)
{
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){dfn}, nr), 0);
    (void)flat_unmap(model(), dfn, nr);
}

static void end(void)
{
    CHECK_EQ(pvi_sync_end(&sync), 0);
    judged();
}

/* Neighbours become one request, so that leaves are as large as if they had come at once. */
static void coalescing(struct fx *f, const struct fx_cfg *cfg)
{
    bool amd;

    up(f, cfg, 600, 0);
    amd = f->unit[0].unit->caps.format == &pvi_amdvi_v1_ops;
    pvi_sync_begin(&sync);
    for (uint64_t i = 0; i < 512; i++) {
        added(0x40000 + i, 0x80000 + i, 1, PVI_RW);
    }
    fx_check_loose(f);
    CHECK_EQ(leaves(12) + leaves(21), 0); /* nothing yet */
    end();
    CHECK_EQ(leaves(21), 1);
    pvi_sync_begin(&sync);
    for (uint64_t i = 512; i-- > 0;) { /* downwards, as allocators like it */
        added(0x40200 + i, 0x90000 + i, 1, PVI_RW);
    }
    end();
    CHECK_EQ(leaves(21), 2);
    pvi_sync_begin(&sync);
    for (uint64_t i = 0; i < 512; i++) {
        added(0x80000 + i * 512, 0xc0000 + i * 512, 512, PVI_RW);
    }
    end();
    CHECK_EQ(leaves(30), 1);
    pvi_sync_begin(&sync); /* what lies on both sides of a GiB's border does not wait together, and still is mapped */
    added(0xbff00 + 0x40000, 0x100000 - 0x100, 0x100, PVI_RW);
    added(0x100000, 0x100000, 0x200, PVI_RW);
    end();
    CHECK_EQ(leaves(21), 3);
    /* Other frames, other rights, gaps, and no bracket: each by itself. */
    for (unsigned k = 0; k < 4; k++) {
        uint64_t dfn = 0x41000 + k * 0x400;

        if (k != 3) {
            pvi_sync_begin(&sync);
        }
        for (uint64_t i = 0; i < 512; i++) {
            uint64_t back = k == 0 ? i ^ 1 : i;

            if (k == 2 && i == 77) {
                continue;
            }
            added(dfn + back, 0xa0000 + dfn + (k == 0 ? i : back), 1, k == 1 ? 1 + i % 2 : PVI_RW);
        }
        if (k != 3) {
            end();
        }
        judged();
        CHECK_EQ(leaves(21), 3);
        CHECK(amd || leaves(12) != 0);
    }
    down();
}

/* A frame that takes another's place, and removals: one flush for all of a bracket. */
static void one_flush(struct fx *f, const struct fx_cfg *cfg)
{
    struct fx_told told;

    up(f, cfg, 200, 0);
    add(0x40000, 0x280000, 0x400, PVI_RW);
    edges(0x40100, 8);
    edges(0x40201, 1);
    fx_told_reset(f);
    pvi_sync_begin(&sync);
    for (uint64_t i = 0; i < 8; i++) {
        removed(0x40100 + i, 1);
        added(0x40100 + i, 0x77000 + 3 * i, 1, PVI_RW);
    }
    CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){0x40201}, 1, PVI_READ), 0);
    (void)flat_protect(model(), 0x40201, 1, PVI_READ);
    CHECK_EQ(fx_told(f, 0).wait, 0);
    CHECK_EQ(pvi_sync_end(&sync), 0);
    told = fx_told(f, 0);
    CHECK_EQ(told.wait, 1);
    judged();
    pvi_sync_begin(&sync); /* an addition that the same bracket takes back again, in part */
    added(0x50000, 0x50000, 16, PVI_RW);
    removed(0x50004, 4);
    CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){0x50008}, 4, PVI_READ), 0);
    (void)flat_protect(model(), 0x50008, 4, PVI_READ);
    added(0x50100, 0x51100, 16, PVI_RW);
    CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){0x5010f}, 1, PVI_READ), 0); /* the last of those that wait */
    (void)flat_protect(model(), 0x5010f, 1, PVI_READ);
    end();
    pvi_sync_begin(&sync);
    end(); /* nothing */
    down();
}

static void brackets_everywhere(void **state)
{
    (void)state;
    fx_each(coalescing);
    fx_each(one_flush);
}

/* --- the reserve ------------------------------------------------------------------------------------ */

static void left_is(const struct pvi_sync_left *left, uint64_t dfn, uint64_t nr)
{
    CHECK_EQ(left->nr, nr);
    CHECK(nr == 0 || left->dfn.f == dfn);
}

/* Additions stop where the reserve begins; removals go on into it, and then say what the host must keep. */
static void reserve(struct fx *f, const struct fx_cfg *cfg)
{
    struct pvi_passthrough_info info;
    uint64_t full = 0, at = 0;
    uint32_t grown;
    int rc = 0;

    up(f, cfg, 16, 4);
    add(GIB, 2 * GIB, GIB, PVI_RW); /* a leaf of 1 GiB, or 2 MiB leaves where the root is level 3's */
    while (rc == 0) {
        rc = pvi_sync_add(&sync, (pvi_dfn){2 * GIB + full}, PA(0x900001 + full), 0x200, PVI_RW); /* a table each */
        if (rc == 0) {
            CHECK(flat_map(model(), 2 * GIB + full, 0x200, (0x900001 + full) << 12, PVI_RW, 0));
            full += 0x200;
        }
    }
    CHECK_EQ(rc, -PVI_ENOMEM);
    left_is(&sync.missing, 2 * GIB + full, 0x200);
    left_is(&sync.kept, 0, 0);
    CHECK_EQ(f->dom.default_pool.nr_free, 4);
    judged();
    CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){GIB + 5}, 1, PVI_RW), -PVI_ENOMEM); /* nothing is lost: no better than an addition */
    judged();
    for (at = 0; f->dom.default_pool.nr_free >= 2; at += 0x200) { /* each takes one table, the first two */
        change(GIB + at + 0x17, 1, at % 0x400 == 0 ? 0 : PVI_READ);
        pvi_passthrough_query(&f->dom, &info);
        CHECK(info.reserve == 4 && info.reserved == f->dom.default_pool.nr_free);
        CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){2 * GIB + full}, PA(1), 1, PVI_RW), -PVI_ENOMEM);
    }
    CHECK(at >= 0x400);
    edges(GIB + at, 0x200);
    edges(GIB + at + 0x200, 0x200);
    if (f->dom.default_pool.nr_free == 1) { /* both ends lie in leaves: the second finds nothing */
        CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){GIB + at + 0x80}, 0x200), -PVI_ENOMEM);
        left_is(&sync.kept, GIB + at + 0x200, 0x80);
        (void)flat_unmap(model(), GIB + at + 0x80, 0x180);
        at += 0x200;
        judged();
    }
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){GIB + at + 0x80}, 1), -PVI_ENOMEM);
    left_is(&sync.kept, GIB + at + 0x80, 1);
    left_is(&sync.missing, 0, 0);
    judged(); /* devices reach it as before: the host keeps it */
    CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){GIB + at + 0x80}, 1, PVI_READ), -PVI_ENOMEM);
    left_is(&sync.kept, GIB + at + 0x80, 1);
    judged();
    change(GIB + at, 0x200, 0); /* all of the leaf needs no page */
    CHECK_EQ(pvi_pool_grow(&f->dom.default_pool, 8, &grown), 0);
    change(GIB + at + 0x280, 1, 0);
    change(2 * GIB, 0x400, 0); /* tables come back: additions work again */
    pvi_passthrough_query(&f->dom, &info);
    CHECK_EQ(info.reserved, 4);
    add(2 * GIB, 0x700001, 0x200, PVI_RW);
    down();
}

static void reserve_everywhere(void **state)
{
    (void)state;
    fx_each(reserve);
}

/* Additions that wait, and then find no page, do not keep a removal from being done. */
static void missing_and_kept(void **state)
{
    (void)state;
    check_case("additions that fail beside a removal");
    up(&one, &(struct fx_cfg){.kind = FX_VTD}, 16, 4);
    add(GIB, 2 * GIB, 0x200, PVI_RW);
    for (uint64_t at = 0; one.dom.default_pool.nr_free > 4; at += 0x200) {
        add(2 * GIB + at, 0x900001 + at, 0x200, PVI_RW);
    }
    pvi_sync_begin(&sync);
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){GIB + 0x200}, PA(0x55001), 8, PVI_RW), 0);
    edges(GIB + 0x1fc, 8);
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){GIB + 0x1fc}, 8), -PVI_ENOMEM);
    left_is(&sync.missing, GIB + 0x200, 8);
    left_is(&sync.kept, 0, 0);
    (void)flat_unmap(model(), GIB + 0x1fc, 4);
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){5 * GIB}, PA(0x55001), 8, PVI_RW), 0); /* waits */
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){6 * GIB}, PA(0x55001), 8, PVI_RW), -PVI_ENOMEM); /* of the one before */
    left_is(&sync.missing, 5 * GIB, 8);
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){7 * GIB}, PA(0x55001), 8, PVI_RW), 0);
    CHECK_EQ(pvi_sync_end(&sync), -PVI_ENOMEM);
    left_is(&sync.missing, 7 * GIB, 8);
    left_is(&sync.kept, 0, 0);
    judged();
    down();
}

/* --- windows and regions ------------------------------------------------------------------------------ */

static void region_of(struct pvi_device *dev, uint64_t dfn, uint64_t nr, unsigned prot)
{
    dev->region[0] = (struct pvi_region){dfn << 12, ((dfn + nr) << 12) - 1, (uint8_t)prot};
    dev->nr_regions = 1;
}

static void regions(struct fx *f, const struct fx_cfg *cfg)
{
    up(f, cfg, 200, 0);
    add(0xfe000, 0x2fe000, 0x2000, PVI_RW); /* around interrupts' window */
    CHECK_EQ(sync.stepped, 0x100);
    change(0xfec00, 0x400, PVI_READ); /* a window is nobody's frame: not an error */
    change(0xfe000, 0x2000, 0);
    region_of(fx_device(f, 2, 0), RMRR, 0x20, PVI_RW);
    CHECK_EQ(fx_add(f, 2), 0);
    sync.stepped = 0;
    add(RMRR - 0x100, 0x330000, 0x300, PVI_RW);
    CHECK_EQ(sync.stepped, 0x20);
    change(RMRR - 0x10, 0x15, 0);
    left_is(&sync.kept, RMRR, 5);
    change(RMRR + 0x1f, 2, PVI_READ);
    left_is(&sync.kept, RMRR + 0x1f, 1);
    change(RMRR, 0x20, 0);
    left_is(&sync.kept, RMRR, 0x20);
    CHECK_EQ(fx_remove(f, 2), 0);
    judged();
    change(RMRR - 0x100, 0x300, 0);
    /* The host's own 1:1 mapping of a region stays when the device goes, and keeps the device out where it is another. */
    add(RMRR - 0x100, RMRR - 0x100, 0x200, PVI_RW);
    f->orc.ctx[0].identity = true; /* regions may be there already */
    CHECK_EQ(fx_add(f, 2), 0);
    edges(RMRR, 0x20);
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){RMRR + 3}, 1), -PVI_ERESERVED);
    left_is(&sync.kept, RMRR + 3, 1);
    CHECK_EQ(fx_remove(f, 2), 0);
    judged();
    change(RMRR + 3, 1, 0);
    CHECK_EQ(pvi_device_add(&f->dom, &f->dev[2]), -PVI_EEXIST);
    judged();
    change(RMRR, 0x20, 0);
    CHECK_EQ(fx_add(f, 2), 0);
    judged();
    down();
}

/* A device with a region comes between the look at what is to be left alone and the first slice. */
static void device_comes(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (!after) {
        pvi_posix_hook(m->host, 0, NULL, NULL);
        CHECK_EQ(fx_add(m, 2), 0);
    }
}

static void region_comes(struct fx *f, const struct fx_cfg *cfg)
{
    for (unsigned k = 0; k < 3; k++) {
        up(f, cfg, 200, 0);
        check_step("hook %u", k);
        region_of(fx_device(f, 2, 0), RMRR, 0x20, PVI_RW);
        f->orc.ctx[0].identity = true;
        if (k != 0) {
            add(RMRR - 0x100, RMRR - 0x100, 0x200, PVI_RW);
        }
        edges(RMRR, 0x20);
        pvi_posix_hook(f->host, PVI_AT_BIT(PVI_AT_LOCK), device_comes, NULL);
        if (k == 0) {
            CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){RMRR - 4}, PA(0x770000), 0x40, PVI_RW), 0);
            CHECK_EQ(sync.stepped, 0x20);
            CHECK(flat_map(model(), RMRR - 4, 4, 0x770000000, PVI_RW, 0));
            CHECK(flat_map(model(), RMRR + 0x20, 0x1c, 0x770024000, PVI_RW, 0));
        } else if (k == 1) {
            CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){RMRR - 4}, 0x40), -PVI_ERESERVED);
            (void)flat_unmap(model(), RMRR - 4, 4);
            (void)flat_unmap(model(), RMRR + 0x20, 0x1c);
        } else {
            CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){RMRR - 4}, 0x40, PVI_READ), -PVI_ERESERVED);
            (void)flat_protect(model(), RMRR - 4, 4, PVI_READ);
            (void)flat_protect(model(), RMRR + 0x20, 0x1c, PVI_READ);
        }
        left_is(&sync.kept, RMRR, k != 0 ? 0x20 : 0);
        judged();
        down();
    }
}

static void regions_everywhere(void **state)
{
    (void)state;
    fx_each(regions);
    fx_each(region_comes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follow_everywhere),   cmocka_unit_test(random_everywhere), cmocka_unit_test(brackets_everywhere),
        cmocka_unit_test(reserve_everywhere),  cmocka_unit_test(missing_and_kept),  cmocka_unit_test(regions_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
