/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: VT-d scalable mode (hwspec 2.3 to 2.5): context entry of 256 bits, PASID
 * directory, PASID entry. What nested entries add to it is in hwm_vtd_nest.c.
 */
#include "hwm_vtd_regs.h"

#include <string.h>

#define FIELD_51_12 UINT64_C(0x000ffffffffff000)

#define PGTT_FS   1u
#define PGTT_SS   2u
#define PGTT_NEST 3u
#define PGTT_PT   4u

/* What was fetched for a request, or taken from a cache. */
struct fetched {
    uint64_t w[4];
    unsigned reason;
    bool fpd;
    uint64_t entry;
    const char *why;
};

static void fails(struct fetched *f, unsigned reason, uint64_t entry, const char *why)
{
    f->reason = reason;
    f->entry = entry;
    f->why = why;
}

static uint64_t beyond_haw(const struct hwm *h)
{
    return ~hwm_low_mask(h->vtd.cfg.haw);
}

static void check_context(const struct hwm *h, struct fetched *f)
{
    const struct hwm_vtd_cfg *cfg = &h->vtd.cfg;

    f->fpd = f->w[0] & 2;
    if (!(f->w[0] & 1)) {
        fails(f, 0x41, f->w[0], "context entry not present");
    } else if (f->w[0] & (0x1e0 | beyond_haw(h)) || f->w[1] & UINT64_C(0xffffffffffe00000) ||
               f->w[2] || f->w[3]) {
        fails(f, 0x42, f->w[0], "reserved bit in the context entry");
    } else if (((f->w[0] & 4) && !cfg->dt) || (f->w[0] & 0x10) ||
               ((f->w[1] & 0x1fffff) && !cfg->rps)) {
        fails(f, 0x43, f->w[0], "context entry asks for a feature that the unit does not have");
    }
}

static void fetch_context(struct hwm *h, uint16_t rid, struct fetched *f)
{
    unsigned devfn = rid & 0xff, i;
    uint64_t pa = (h->vtd.root & ~UINT64_C(0xfff)) + (uint64_t)(rid >> 8) * 16 +
                  (devfn >= 128 ? 8 : 0),
             root;

    memset(f, 0, sizeof(*f));
    if (!hwm_mem_ok(h, pa, 8)) {
        fails(f, 0x38, 0, "root entry is not in memory");
        return;
    }
    root = h->mem.read64(h->mem.opaque, pa);
    if (!(root & 1)) {
        fails(f, 0x39, root, "root entry not present");
        return;
    }
    if (root & (0xffe | beyond_haw(h))) {
        fails(f, 0x3a, root, "reserved bit in the root entry");
        return;
    }
    pa = (root & FIELD_51_12) + (uint64_t)(devfn & 0x7f) * 32;
    if (!hwm_mem_ok(h, pa, 32)) {
        fails(f, 0x40, root, "context entry is not in memory");
        return;
    }
    for (i = 0; i < 4; i++) {
        f->w[i] = h->mem.read64(h->mem.opaque, pa + i * 8);
    }
    check_context(h, f);
}

static void keep(struct hwm *h, struct hwm_cache *c, uint64_t tag, const struct fetched *f,
                 uint16_t did, uint64_t root)
{
    struct hwm_ce *ce;

    if (f->reason && !h->vtd.cfg.cm) {
        return;
    }
    ce = hwm_cache_add(c, tag, 0, 0);
    if (!ce) {
        return;
    }
    memcpy(ce->v, f->w, sizeof(ce->v));
    ce->reason = (uint8_t)f->reason;
    ce->neg = f->reason != 0;
    ce->dirty = f->fpd;
    ce->did = ce->neg ? 0 : did;
    if (!ce->neg && root) {
        hwm_cache_hold(c, ce, root, 12);
    }
}

static bool recall(const struct hwm_cache *c, uint64_t tag, struct fetched *f)
{
    const struct hwm_ce *ce = hwm_cache_find(c, tag, 0, 0);

    if (!ce) {
        return false;
    }
    memset(f, 0, sizeof(*f));
    memcpy(f->w, ce->v, sizeof(f->w));
    f->reason = ce->reason;
    f->fpd = ce->dirty;
    f->entry = f->w[0];
    f->why = ce->neg ? "entry not present or invalid (cached)" : NULL;
    return true;
}

static bool width_ok(const struct hwm *h, unsigned aw)
{
    return aw >= 1 && aw <= 3 && (h->vtd.cfg.sagaw >> aw & 1);
}

static void check_pasid_entry(struct hwm *h, const uint64_t w[8], struct fetched *f)
{
    const struct hwm_vtd_cfg *cfg = &h->vtd.cfg;
    unsigned pgtt = (unsigned)(w[0] >> 6 & 7), aw = (unsigned)(w[0] >> 2 & 7),
             fspm = (unsigned)(w[2] >> 2 & 3);
    bool fs = pgtt == PGTT_FS || pgtt == PGTT_NEST;
    uint64_t rsvd0 = 0xc20 | beyond_haw(h) | (cfg->ssads ? 0 : 0x200);
    /* bits 24 and 23, PGSNP and PWSNP, depend on a capability each */
    uint64_t rsvd1 =
        UINT64_C(0xfffffffffe7f0000) | (cfg->sc ? 0 : 1u << 24) | (cfg->smpwcs ? 0 : 1u << 23);
    uint64_t rsvd2 = 0xfe3 | beyond_haw(h);

    f->fpd = f->fpd || (w[0] & 2);
    if (!(w[0] & 1)) {
        fails(f, 0x59, w[0], "PASID entry not present");
    } else if (w[0] & rsvd0 || w[1] & rsvd1 || w[2] & rsvd2 || w[3] || w[4] || w[5] || w[6] ||
               w[7] || !hwm_vtd_did_ok(h, (unsigned)(w[1] & 0xffff))) {
        fails(f, 0x5a, w[0], "reserved bit in the PASID entry");
    } else if (!((pgtt == PGTT_FS && cfg->fsts) || (pgtt == PGTT_SS && cfg->ssts) ||
                 (pgtt == PGTT_NEST && cfg->nest) || (pgtt == PGTT_PT && cfg->pt))) {
        fails(f, 0x5b, w[0], "translation type of the PASID entry not supported");
    } else if (pgtt != PGTT_FS && !width_ok(h, aw)) {
        fails(f, 0x5b, w[0], "address width of the PASID entry not supported");
    } else if (fs && (fspm > 1 || (fspm == 1 && !cfg->fs5lp))) {
        fails(f, 0x5b, w[0], "first-stage paging mode not supported");
    } else if (cfg->cm && !(w[1] & 0xffff)) {
        hwm_violate(h, "PASID entry with domain id 0 in caching mode");
    }
}

static void fetch_pasid(struct hwm *h, const struct fetched *ctx, uint32_t pasid, struct fetched *f)
{
    uint64_t pa = (ctx->w[0] & FIELD_51_12) + (uint64_t)(pasid >> 6) * 8, dir, w[8];
    unsigned i;

    memset(f, 0, sizeof(*f));
    f->fpd = ctx->fpd;
    if (!hwm_mem_ok(h, pa, 8)) {
        fails(f, 0x50, 0, "PASID directory is not in memory");
        return;
    }
    dir = h->mem.read64(h->mem.opaque, pa);
    f->fpd = f->fpd || (dir & 2);
    if (!(dir & 1)) {
        fails(f, 0x51, dir, "PASID directory entry not present");
        return;
    }
    if (dir & (0xffc | beyond_haw(h))) {
        fails(f, 0x52, dir, "reserved bit in the PASID directory entry");
        return;
    }
    pa = (dir & FIELD_51_12) + (uint64_t)(pasid & 63) * 64;
    if (!hwm_mem_ok(h, pa, 64)) {
        fails(f, 0x58, dir, "PASID entry is not in memory");
        return;
    }
    for (i = 0; i < 8; i++) {
        w[i] = h->mem.read64(h->mem.opaque, pa + i * 8);
    }
    memcpy(f->w, w, sizeof(f->w));
    check_pasid_entry(h, w, f);
}

static void find_context(struct hwm *h, uint16_t rid, unsigned flags, struct fetched *f)
{
    if ((flags & HWM_F_USE) && recall(&h->ctx, rid, f)) {
        return;
    }
    fetch_context(h, rid, f);
    if ((flags & HWM_F_FILL) && f->reason != 0x38 && f->reason != 0x40) {
        keep(h, &h->ctx, rid, f, 0, f->w[0] & FIELD_51_12);
    }
}

static void find_pasid(struct hwm *h, uint16_t rid, uint32_t pasid, const struct fetched *ctx,
                       unsigned flags, struct fetched *f)
{
    uint64_t tag = rid | (uint64_t)pasid << 16, root;
    unsigned pgtt;

    if ((flags & HWM_F_USE) && recall(&h->pasid, tag, f)) {
        return;
    }
    fetch_pasid(h, ctx, pasid, f);
    pgtt = (unsigned)(f->w[0] >> 6 & 7);
    /* Where the first-stage root of a nested entry lies, this entry does not know. */
    root = pgtt == PGTT_SS || pgtt == PGTT_NEST ? f->w[0] & FIELD_51_12
           : pgtt == PGTT_FS                    ? f->w[2] & FIELD_51_12
                                                : 0;
    if ((flags & HWM_F_FILL) && f->reason != 0x50 && f->reason != 0x58) {
        keep(h, &h->pasid, tag, f, (uint16_t)f->w[1], root);
    }
}

static void first_stage(const struct hwm *h, uint32_t pasid, const struct fetched *p, bool snoop,
                        struct vtd_where *w)
{
    w->first_stage = true;
    w->sp.tag = HWM_TAG(w->sp.did, pasid, 1);
    w->sp.fmt = hwm_vtd_fs_fmt(h);
    w->sp.root = p->w[2] & FIELD_51_12;
    w->sp.levels = (p->w[2] >> 2 & 3) == 1 ? 5 : 4;
    w->sp.bits = hwm_slot_lg2(w->sp.levels + 1);
    w->sp.ad = w->sp.dirty = snoop;
    w->nosnoop_ad = !snoop;
}

static void make_space(const struct hwm *h, uint32_t pasid, const struct fetched *p,
                       struct vtd_where *w)
{
    unsigned pgtt = (unsigned)(p->w[0] >> 6 & 7), aw = (unsigned)(p->w[0] >> 2 & 7);
    bool snoop = h->vtd.cfg.smpwcs && (p->w[1] >> 23 & 1);

    w->sp.did = (uint16_t)p->w[1];
    w->sp.r = w->sp.w = true;
    w->sp.mode = pgtt == PGTT_PT ? HWM_MODE_IDENTITY : HWM_MODE_WALK;
    if (pgtt == PGTT_FS) {
        first_stage(h, pasid, p, snoop, w);
        return;
    }
    w->sp.tag = pgtt == PGTT_PT ? HWM_TAG(w->sp.did, pasid, 1) : HWM_TAG(w->sp.did, 0, 0);
    w->sp.fmt = hwm_vtd_ss_fmt(h);
    w->sp.root = p->w[0] & FIELD_51_12;
    w->sp.levels = aw + 2;
    w->sp.bits = hwm_slot_lg2(w->sp.levels + 1);
    w->sp.bits = w->sp.bits < h->vtd.cfg.mgaw ? w->sp.bits : h->vtd.cfg.mgaw;
    w->sp.cache_absent = h->vtd.cfg.cm;
    if (pgtt != PGTT_PT && (p->w[0] & 0x200)) {
        w->sp.ad = w->sp.dirty = snoop;
        w->nosnoop_ad = !snoop;
    }
    if (pgtt == PGTT_NEST) {
        w->nested = true;
        w->host = w->sp;
        w->host_nosnoop_ad = w->nosnoop_ad;
        w->sp.cache_absent = false;
        first_stage(h, pasid, p, snoop, w);
        w->sp.fmt.pa_bits = 52; /* guest-physical: the second stage limits them */
    }
}

void hwm_vtd_sm_where(struct hwm *h, const struct hwm_req *req, unsigned flags, struct vtd_where *w)
{
    struct fetched ctx, p;
    uint32_t pasid;

    find_context(h, req->rid, flags, &ctx);
    w->fpd = ctx.fpd;
    if (ctx.reason) {
        hwm_vtd_fail(w, ctx.reason, ctx.entry, ctx.why);
        return;
    }
    pasid = req->has_pasid ? req->pasid : (uint32_t)(ctx.w[1] & 0xfffff);
    if (req->at != HWM_AT_UNTRANSLATED && !(ctx.w[0] & 4)) {
        hwm_vtd_fail(w, 0x44, ctx.w[0], "translation or translated request, but DTE is 0");
        return;
    }
    if (req->has_pasid && !(ctx.w[0] & 8)) {
        hwm_vtd_fail(w, 0x45, ctx.w[0], "request with PASID, but PASIDE is 0");
        return;
    }
    if (pasid >> 6 >= UINT32_C(1) << ((ctx.w[0] >> 9 & 7) + 7)) {
        hwm_vtd_fail(w, req->has_pasid ? 0x46 : 0x48, ctx.w[0], "PASID beyond the directory");
        return;
    }
    find_pasid(h, req->rid, pasid, &ctx, flags, &p);
    w->fpd = p.fpd || ctx.fpd;
    if (p.reason) {
        hwm_vtd_fail(w, p.reason, p.entry, p.why);
        return;
    }
    w->translated = req->at == HWM_AT_TRANSLATED;
    make_space(h, pasid, &p, w);
}
