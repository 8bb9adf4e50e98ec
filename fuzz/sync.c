/* SPDX-License-Identifier: MIT */
/*
 * Hooks of sync_pt in arbitrary order: additions, removals, rights, brackets, a device with a reserved region that comes and goes, a pool
 * that runs out and grows. The input is a configuration (3 bytes) and then hooks, with an escape to raw 64-bit values.
 *
 * The judge is a flat model that is told only what the library reports, status and ranges: additions that wait count as mapped, what a
 * call names as missing or kept is put right. Whenever nothing waits, the tables, read by a walker that shares no
 * code, must say exactly the same. The recording host judges the order of everything else.
 */
#include "sync.h"
#include "flat.h"
#include "machine.h"
#include <pviommu/domain.h>
#include <pviommu_posix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HOOKS 96u
#define RMRR_FIRST 0x40100ull
#define RMRR_NR 0x28ull

static struct fuzz_machine *m;

static struct fuzz {
    struct fuzz_input in;
    struct pvi_hdom *owner;
    struct pvi_domain guest;
    struct pvi_device dev[2]; /* the second has a region */
    struct pvi_sync sync;
    struct flat *model;
    enum hwm_fmt_kind walker;
    uint64_t reach;   /* device frames */
    bool open, there; /* a bracket; the second device */
    bool own;         /* the region is mapped for the device, not by a hook */
} f;

static void start_unit(struct pvi_unit_caps *caps, const struct pvi_pt_ops *format, uint8_t knobs)
{
    fuzz_caps(caps, format);
    caps->page_sizes = (knobs & 1) ? UINT64_MAX : (1u << 12) | ((knobs & 2) ? 1u << 21 : 0);
    caps->levels_mask = (uint8_t)(8u << (knobs >> 2 & 1));
    caps->coherent = (knobs & 8) != 0;
    caps->np_cache = (knobs & 16) != 0;
    caps->page_selective = (knobs & 32) != 0;
    caps->write_buffer = (knobs & 64) != 0;
}

static void start(const struct pvi_pt_ops *format)
{
    uint8_t knobs = fuzz_u8(&f.in), pages = fuzz_u8(&f.in), reserve = fuzz_u8(&f.in);
    struct pvi_domain_cfg cfg = {.system = &m->system, .default_pages = 16u + pages / 2u};
    unsigned i;

    f.owner = pvi_posix_hdom_new(m->host, 1);
    CHECK(f.owner != NULL);
    start_unit(&m->unit.unit.caps, format, knobs);
    cfg.hdom = f.owner;
    cfg.passthrough.mode = PVI_PASSTHROUGH_SYNC_PT;
    cfg.passthrough.reserve = 1u + reserve % 8u;
    CHECK(pvi_domain_init(&f.guest, m->host, &cfg) == 0 && pvi_domain_start(&f.guest) == 0);
    for (i = 0; i < 2; i++) {
        f.dev[i] = (struct pvi_device){.sbdf = {0x10 + i * 8}, .unit = &m->unit.unit, .nr_rids = 1};
        f.dev[i].rid[0] = (uint16_t)(0x10 + i * 8);
    }
    f.dev[1].nr_regions = 1;
    f.dev[1].region[0] = (struct pvi_region){RMRR_FIRST << 12, ((RMRR_FIRST + RMRR_NR) << 12) - 1, PVI_RW};
    CHECK(pvi_device_add(&f.guest, &f.dev[0]) == 0);
    pvi_sync_init(&f.sync, &f.guest);
    f.reach = 1ull << (((knobs >> 2 & 1) != 0 ? 48 : 39) - 12);
    f.model = flat_new();
}

/* --- the model ---------------------------------------------------------------------------------------- */

/* The end of what begins at `at` and is all one: changed by hooks, or left alone. */
static uint64_t part(uint64_t at, uint64_t end, bool *alone)
{
    const uint64_t stop[][2] = {{FUZZ_MSI_FIRST, FUZZ_MSI_NR}, {RMRR_FIRST, f.there ? RMRR_NR : 0}};

    *alone = false;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t first = stop[i][0], last = stop[i][0] + stop[i][1];

        if (at >= first && at < last) {
            *alone = true;
            return last < end ? last : end;
        }
        end = first > at && first < end && stop[i][1] != 0 ? first : end;
    }
    return end;
}

/* prot 0: removed; `frame` not 0: mapped there; else other rights. */
static void told(uint64_t dfn, uint64_t nr, uint64_t frame, unsigned prot)
{
    bool alone;

    for (uint64_t at = dfn, end; at < dfn + nr; at = end) {
        end = part(at, dfn + nr, &alone);
        if (alone) {
            continue;
        }
        if (prot == 0) {
            (void)flat_unmap(f.model, at, end - at);
        } else if (frame != 0) {
            CHECK(flat_map(f.model, at, end - at, (frame + at - dfn) << 12, prot, 0));
        } else {
            (void)flat_protect(f.model, at, end - at, prot);
        }
    }
}

/* What a call has reported about additions. */
static void missing(int rc)
{
    if (f.sync.missing.nr != 0) {
        CHECK(rc == -PVI_ENOMEM);
        told(f.sync.missing.dfn.f, f.sync.missing.nr, 0, 0);
    }
}

/* Frames of [dfn, dfn + nr), up to the first that is mapped and that hooks change. */
static uint64_t vacant(uint64_t dfn, uint64_t nr)
{
    uint64_t first;
    bool alone;

    for (uint64_t at = dfn, end; at < dfn + nr; at = end) {
        end = part(at, dfn + nr, &alone);
        if (!alone && flat_overlap(f.model, at, end - at, &first)) {
            return first - dfn;
        }
    }
    return nr;
}

/* --- hooks -------------------------------------------------------------------------------------------- */

static int valid(uint64_t dfn, uint64_t nr)
{
    if (nr == 0 || nr > PVI_SYNC_FRAMES) {
        return -PVI_ELENGTH;
    }
    return dfn >> 52 != 0 || nr > (1ull << 52) - dfn ? -PVI_EWRAP : 0;
}

static void add(uint64_t dfn, uint64_t nr, uint64_t pa, unsigned prot)
{
    int want = valid(dfn, nr), rc;
    uint32_t before = f.guest.default_pool.nr_free, keep = f.guest.default_pool.reserve;
    uint64_t room = nr;

    want = want == 0 && (prot == 0 || prot > PVI_RW) ? -PVI_EFLAGS : want;
    want = want == 0 && (pa & 0xfff) != 0 ? -PVI_EALIGN : want;
    want = want == 0 && (dfn ^ (dfn + nr - 1)) >> 18 != 0 ? -PVI_ELENGTH : want;
    want = want == 0 && (dfn + nr > f.reach || pa >> FUZZ_PA_BITS != 0 || (pa >> 12) + nr > 1ull << (FUZZ_PA_BITS - 12)) ? -PVI_ERANGE : want;
    if (want == 0) {
        room = vacant(dfn, nr);
        if (room != nr && f.open) {
            return; /* found only later: the ranges would not tell whose */
        }
    }
    rc = pvi_sync_add(&f.sync, (pvi_dfn){dfn}, (pvi_pa){pa}, nr, prot);
    if (want != 0) {
        CHECK(rc == want);
        return;
    }
    CHECK(f.guest.default_pool.nr_free >= (before < keep ? before : keep)); /* no addition takes what removals need */
    if (room != nr && rc == -PVI_EEXIST) {
        CHECK(f.sync.missing.dfn.f == dfn + room && f.sync.missing.nr == nr - room);
        told(dfn, room, pa >> 12, prot);
        return;
    }
    CHECK(rc == -PVI_ENOMEM || (rc == 0 && room == nr));
    if (!f.open && f.sync.missing.nr != 0) {
        CHECK(f.sync.missing.dfn.f >= dfn && f.sync.missing.dfn.f + f.sync.missing.nr == dfn + nr);
        told(dfn, f.sync.missing.dfn.f - dfn, pa >> 12, prot);
        return;
    }
    missing(rc);
    if (rc == 0) {
        told(dfn, nr, pa >> 12, prot);
    }
}

static void change(uint64_t dfn, uint64_t nr, unsigned prot)
{
    int want = valid(dfn, nr), rc;
    uint64_t done = nr;

    rc = prot == 0 ? pvi_sync_remove(&f.sync, (pvi_dfn){dfn}, nr) : pvi_sync_protect(&f.sync, (pvi_dfn){dfn}, nr, prot);
    want = want == 0 && prot > PVI_RW ? -PVI_EFLAGS : want;
    if (want != 0) {
        CHECK(rc == want);
        return;
    }
    CHECK(rc == 0 || rc == -PVI_ERESERVED || rc == -PVI_ENOMEM);
    missing(f.sync.missing.nr != 0 ? -PVI_ENOMEM : rc);
    if (rc == -PVI_ENOMEM && f.sync.kept.nr != 0) { /* up to the end of what the table reaches */
        CHECK(f.sync.kept.dfn.f >= dfn && f.sync.kept.dfn.f + f.sync.kept.nr <= dfn + nr);
        done = f.sync.kept.dfn.f - dfn;
    } else if (rc == -PVI_ERESERVED) {
        CHECK(f.there && f.sync.kept.dfn.f >= RMRR_FIRST && f.sync.kept.dfn.f + f.sync.kept.nr <= RMRR_FIRST + RMRR_NR);
    } else {
        CHECK(f.sync.kept.nr == 0);
    }
    told(dfn, done, 0, prot);
}

/* Have the hooks mapped all of the region 1:1, so that a device finds it? */
static bool given(void)
{
    struct flat_run run;
    uint64_t pa;

    for (uint64_t at = RMRR_FIRST; at < RMRR_FIRST + RMRR_NR; at++) {
        if (!flat_lookup(f.model, at, &run, &pa) || pa != at << 12 || run.perm != PVI_RW) {
            return false;
        }
    }
    return true;
}

/* The device with a region comes, or goes. */
static void move(void)
{
    uint64_t first;
    int rc;

    if (f.open) {
        return;
    }
    if (f.there) {
        CHECK(pvi_device_remove(&f.guest, &f.dev[1]) == 0);
        f.there = false;
        if (f.own) {
            CHECK(flat_unmap(f.model, RMRR_FIRST, RMRR_NR) == RMRR_NR);
        }
        return;
    }
    rc = pvi_device_add(&f.guest, &f.dev[1]);
    f.own = !flat_overlap(f.model, RMRR_FIRST, RMRR_NR, &first);
    CHECK(given() ? rc == 0 : f.own ? rc == 0 || rc == -PVI_ENOMEM : rc == -PVI_EEXIST || rc == -PVI_ENOMEM);
    if (rc == 0) {
        f.there = true;
        CHECK(!f.own || flat_map(f.model, RMRR_FIRST, RMRR_NR, RMRR_FIRST << 12, PVI_RW, 0));
    }
}

static void bracket(void)
{
    int rc;

    if (!f.open) {
        pvi_sync_begin(&f.sync);
    } else {
        rc = pvi_sync_end(&f.sync);
        CHECK(rc == 0 || rc == -PVI_ENOMEM);
        CHECK(f.sync.kept.nr == 0);
        missing(rc);
    }
    f.open = !f.open;
}

static void any_hook(void)
{
    uint8_t code = fuzz_u8(&f.in), shape = fuzz_u8(&f.in);
    uint64_t dfn = fuzz_le(&f.in, 2), nr, pa;
    unsigned prot = 1 + (shape >> 6) % 3;
    uint32_t done;

    if ((code & 0xf0) == 0xf0) {
        dfn = fuzz_le(&f.in, 8);
        nr = fuzz_le(&f.in, 8);
        pa = fuzz_le(&f.in, 8);
        prot = shape;
    } else {
        static const uint64_t base[] = {0, 0x3f000, 0x40000, 0xf8000};

        dfn = base[shape & 3] + dfn % 0x9000;
        nr = (shape & 4) ? 1 + (code >> 4) * 13u : 1u << (code >> 4) % 12;
        dfn = (shape & 8) ? dfn & ~0x1ffull : dfn;
        nr = (shape & 8) ? (nr + 0x1ff) & ~0x1ffull : nr;
        pa = dfn + ((shape & 16) ? 0x800000u : (shape & 32) ? 0x800001u : 0);
        pa = (pa == 0 ? 0x800000u : pa) << 12;
        nr = (dfn ^ (dfn + nr - 1)) >> 18 != 0 ? 0x40000 - (dfn & 0x3ffff) : nr;
    }
    switch (code & 7) {
    case 0:
    case 1:
    case 2: add(dfn, nr, pa, prot); break;
    case 3:
    case 4: change(dfn, nr, 0); break;
    case 5: change(dfn, nr, prot == 0 ? PVI_READ : prot); break;
    case 6: bracket(); break;
    default:
        if (shape % 4 != 0) {
            move();
        } else if (f.guest.default_pool.nr_pages < 300) {
            CHECK(pvi_pool_grow(&f.guest.default_pool, 1 + shape / 16, &done) == 0);
        }
        break;
    }
}

/* --- the whole ---------------------------------------------------------------------------------------- */

static void judge(void)
{
    struct pvi_posix_view view = {.host = m->host, .coherent = m->unit.unit.caps.coherent};
    struct hwm_mem mem = {.opaque = &view, .read64 = pvi_posix_hw_read64, .read32 = pvi_posix_hw_read32,
                          .write64 = pvi_posix_hw_write64, .write32 = pvi_posix_hw_write32,
                          .valid = pvi_posix_hw_valid};
    const struct pvi_context *ctx = &f.guest.default_ctx;
    struct hwm_fmt fmt;
    char text[256];

    hwm_fmt_default(&fmt, f.walker);
    if (!flat_check_tables(f.model, &mem, &fmt, ctx->pt.root->pa.a, ctx->pt.cfg.levels, text, sizeof(text))) {
        fprintf(stderr, "%s\n", text);
        abort();
    }
}

static void end(void)
{
    const char *why;

    if (f.open) {
        bracket();
    }
    judge();
    if (f.there) {
        move();
    }
    CHECK(pvi_device_remove(&f.guest, &f.dev[0]) == 0);
    pvi_domain_kill(&f.guest);
    CHECK(pvi_domain_destroy(&f.guest) == 0);
    CHECK(pvi_posix_hdom_balanced(f.owner));
    CHECK(pvi_posix_balanced(m->host, &why));
    pvi_posix_hdom_free(f.owner);
    flat_free(f.model);
}

void fuzz_sync(const struct pvi_pt_ops *format, enum hwm_fmt_kind walker, const uint8_t *data, size_t size)
{
    unsigned hooks;

    memset(&f, 0, sizeof(f));
    f.in.at = data;
    f.in.left = size;
    f.walker = walker;
    m = fuzz_machine();
    start(format);
    for (hooks = 1; f.in.left > 0 && hooks <= MAX_HOOKS; hooks++) {
        any_hook();
        if (!f.open) {
            pvi_posix_checkpoint(m->host);
        }
        if (!f.open && hooks % 8 == 0) { /* the walk is what costs */
            judge();
        }
    }
    end();
}
