/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: a VT-d request from requester id to address (hwspec 2, 3.3, 5.3): context
 * cache, checks in the order of hwspec 2.6, translation, fault reasons.
 */
#include "hwm_vtd_regs.h"

#include <string.h>

#define FIELD_51_12 UINT64_C(0x000ffffffffff000)
#define MSI_BASE    UINT64_C(0xfee00000)

void hwm_vtd_fail(struct vtd_where *w, unsigned reason, uint64_t entry, const char *why)
{
    w->reason = reason;
    w->entry = entry;
    w->why = why;
}

struct hwm_fmt hwm_vtd_ss_fmt(const struct hwm *h)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, HWM_FMT_VTDSS);
    fmt.pa_bits = h->vtd.cfg.haw;
    fmt.sz_2m = h->vtd.cfg.sz_2m;
    fmt.sz_1g = h->vtd.cfg.sz_1g;
    fmt.snp = h->vtd.cfg.sc;
    return fmt;
}

struct hwm_fmt hwm_vtd_fs_fmt(const struct hwm *h)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, HWM_FMT_X86);
    fmt.pa_bits = h->vtd.cfg.haw;
    fmt.sz_1g = h->vtd.cfg.fs1gp;
    fmt.nx = false;
    return fmt;
}

/* ---- legacy mode --------------------------------------------------------------------------- */

struct context {
    uint64_t w[2];
    unsigned reason;
    const char *why;
};

static void context_fails(struct context *c, unsigned reason, const char *why)
{
    c->reason = reason;
    c->why = why;
}

static void check_context(struct hwm *h, struct context *c)
{
    const struct hwm_vtd_cfg *cfg = &h->vtd.cfg;
    unsigned tt = (unsigned)(c->w[0] >> 2 & 3), aw = (unsigned)(c->w[1] & 7),
             did = (unsigned)(c->w[1] >> 8 & 0xffff);

    if (!(c->w[0] & 1)) {
        context_fails(c, 0x02, "context entry not present");
    } else if (c->w[0] & (0xff0 | ~hwm_low_mask(cfg->haw)) ||
               c->w[1] & UINT64_C(0xffffffffff000080) || !hwm_vtd_did_ok(h, did)) {
        context_fails(c, 0x0b, "reserved bit in the context entry");
    } else if (tt == 3 || (tt == 1 && !cfg->dt) || (tt == 2 && !cfg->pt)) {
        context_fails(c, 0x03, "translation type not supported");
    } else if (aw < 1 || aw > 3 || !(cfg->sagaw >> aw & 1)) {
        context_fails(c, tt == 2 ? 0x04 : 0x03, "address width not supported");
    }
    if ((c->w[0] & 1) && cfg->cm && did == 0) {
        hwm_violate(h, "context entry with domain id 0 in caching mode");
    }
    if (!c->reason && tt == 2 && cfg->sagaw >> (aw + 1)) {
        hwm_violate(h, "pass-through context entry without the largest address width");
    }
}

static void fetch_context(struct hwm *h, uint16_t rid, struct context *c)
{
    uint64_t pa = (h->vtd.root & ~UINT64_C(0xfff)) + (uint64_t)(rid >> 8) * 16, root[2];

    memset(c, 0, sizeof(*c));
    if (!hwm_mem_ok(h, pa, 16)) {
        context_fails(c, 0x08, "root entry is not in memory");
        return;
    }
    root[0] = h->mem.read64(h->mem.opaque, pa);
    root[1] = h->mem.read64(h->mem.opaque, pa + 8);
    if (!(root[0] & 1)) {
        context_fails(c, 0x01, "root entry not present");
        return;
    }
    if (root[0] & (0xffe | ~hwm_low_mask(h->vtd.cfg.haw)) || root[1]) {
        context_fails(c, 0x0a, "reserved bit in the root entry");
        return;
    }
    pa = (root[0] & FIELD_51_12) + (uint64_t)(rid & 0xff) * 16;
    if (!hwm_mem_ok(h, pa, 16)) {
        context_fails(c, 0x09, "context entry is not in memory");
        return;
    }
    c->w[0] = h->mem.read64(h->mem.opaque, pa);
    c->w[1] = h->mem.read64(h->mem.opaque, pa + 8);
    check_context(h, c);
}

static void keep_context(struct hwm *h, uint16_t rid, const struct context *c)
{
    bool read_error = c->reason == 0x08 || c->reason == 0x09;
    struct hwm_ce *ce;

    /*
     * without caching mode only good entries are cached; with it all are, the others under domain
     * id 0
     */
    if (read_error || (c->reason && !h->vtd.cfg.cm)) {
        return;
    }
    ce = hwm_cache_add(&h->ctx, rid, 0, 0);
    if (!ce) {
        return;
    }
    ce->v[0] = c->w[0];
    ce->v[1] = c->w[1];
    ce->neg = c->reason != 0;
    ce->reason = (uint8_t)c->reason;
    ce->did = ce->neg ? 0 : (uint16_t)(c->w[1] >> 8);
    if (!ce->neg && (c->w[0] >> 2 & 3) != 2) {
        hwm_cache_hold(&h->ctx, ce, c->w[0] & FIELD_51_12, 12);
    }
}

static void find_context(struct hwm *h, uint16_t rid, unsigned flags, struct context *c)
{
    struct hwm_ce *ce = flags & HWM_F_USE ? hwm_cache_find(&h->ctx, rid, 0, 0) : NULL;

    if (ce) {
        memset(c, 0, sizeof(*c));
        c->w[0] = ce->v[0];
        c->w[1] = ce->v[1];
        c->reason = ce->reason;
        c->why = ce->neg ? "context entry not present or invalid (cached)" : NULL;
        return;
    }
    fetch_context(h, rid, c);
    if (flags & HWM_F_FILL) {
        keep_context(h, rid, c);
    }
}

static void legacy_where(struct hwm *h, const struct hwm_req *req, unsigned flags,
                         struct vtd_where *w)
{
    struct context c;
    unsigned tt;

    if (req->has_pasid) {
        hwm_vtd_fail(w, 0x31, 0, "request with PASID in legacy mode");
        return;
    }
    find_context(h, req->rid, flags, &c);
    w->fpd = c.w[0] & 2;
    if (c.reason) {
        hwm_vtd_fail(w, c.reason, c.w[0], c.why);
        return;
    }
    tt = (unsigned)(c.w[0] >> 2 & 3);
    if (req->at != HWM_AT_UNTRANSLATED && tt != 1) {
        hwm_vtd_fail(w, 0x0d, c.w[0],
                     "translation or translated request blocked by the translation type");
        return;
    }
    w->translated = req->at == HWM_AT_TRANSLATED;
    w->sp.mode = tt == 2 ? HWM_MODE_IDENTITY : HWM_MODE_WALK;
    w->sp.fmt = hwm_vtd_ss_fmt(h);
    w->sp.did = (uint16_t)(c.w[1] >> 8);
    w->sp.tag = HWM_TAG(w->sp.did, 0, 0);
    w->sp.root = c.w[0] & FIELD_51_12;
    w->sp.levels = (unsigned)(c.w[1] & 7) + 2;
    w->sp.bits = hwm_slot_lg2(w->sp.levels + 1);
    w->sp.r = w->sp.w = true;
    w->sp.cache_absent = h->vtd.cfg.cm;
    if (w->sp.bits > h->vtd.cfg.mgaw) {
        w->sp.bits = h->vtd.cfg.mgaw;
    }
}

/* ---- one request --------------------------------------------------------------------------- */

static void where(struct hwm *h, const struct hwm_req *req, unsigned flags, struct vtd_where *w)
{
    unsigned ttm = vtd_ttm(h->vtd.root);
    uint64_t rsvd = 0x3ff | ~hwm_low_mask(h->vtd.cfg.haw);

    memset(w, 0, sizeof(*w));
    if (ttm == TTM_ABORT && h->vtd.cfg.adms) {
        hwm_vtd_fail(w, 0x30, h->vtd.root, "abort-DMA mode");
        w->fpd = true; /* aborted, not a fault */
    } else if (ttm > TTM_SCALABLE || (ttm == TTM_SCALABLE && !h->vtd.cfg.smts) ||
               (h->vtd.root & rsvd)) {
        hwm_vtd_fail(w, 0x30, h->vtd.root, "RTADDR invalid");
    } else if (ttm == TTM_SCALABLE) {
        hwm_vtd_sm_where(h, req, flags, w);
    } else {
        legacy_where(h, req, flags, w);
    }
}

/* Fault reason of a translation that did not end at a leaf. */
static unsigned walk_reason(const struct hwm *h, const struct vtd_where *w,
                            const struct hwm_leaf *l, bool write)
{
    bool sm = vtd_scalable(h), top = l->level == w->sp.levels;

    switch (l->status) {
    case HWM_S_ABSENT:
        return w->first_stage ? 0x71 : sm ? 0x79 : write ? 0x05 : 0x06;
    case HWM_S_READ:
        return w->first_stage ? (top ? 0x73 : 0x70) : sm ? (top ? 0x7b : 0x78) : top ? 0x03 : 0x07;
    default:
        return w->first_stage ? 0x72 : sm ? 0x7a : 0x0c;
    }
}

static bool protected_range(const struct hwm *h, uint64_t addr)
{
    uint64_t n = 0x1fffff, high = hwm_reg64(h, R_PHMBASE), high_end = hwm_reg64(h, R_PHMLIMIT);

    if (!(h->mmio[R_PMEN / 4] & 1)) {
        return false;
    }
    if (h->vtd.cfg.plmr && addr >= (h->mmio[R_PLMBASE / 4] & ~n) &&
        addr <= (h->mmio[R_PLMLIMIT / 4] | n)) {
        return true;
    }
    return h->vtd.cfg.phmr && addr >= (high & ~n) && addr <= (high_end | n);
}

static void blocked(struct hwm *h, const struct hwm_req *req, unsigned flags,
                    const struct vtd_where *w, unsigned reason, const struct hwm_leaf *l,
                    struct hwm_xlat *x)
{
    struct hwm_fault *f = &x->fault;

    x->result = HWM_FAULT;
    x->pa = 0;
    f->reason = reason;
    f->addr = req->iova;
    f->level = l ? l->level : 0;
    f->entry = l ? l->entry : w->entry;
    f->why = l && l->why ? l->why : w->why;
    if (l && !f->why) {
        f->why = "no permission";
    }
    /* a translation request that finds nothing is answered to the device, not recorded */
    f->recorded = (flags & HWM_F_RECORD) && !w->fpd && !(l && req->at == HWM_AT_TRANSLATION);
    if (f->recorded) {
        hwm_vtd_fault(h, req, reason);
    }
}

static bool in_msi_range(uint64_t addr)
{
    return (addr & ~UINT64_C(0xfffff)) == MSI_BASE;
}

/* Rights and output address of a leaf that was found: 0 = allowed. */
static unsigned leaf_reason(const struct hwm *h, const struct hwm_req *req,
                            const struct vtd_where *w, const struct hwm_leaf *l)
{
    bool sm = vtd_scalable(h);

    if (w->first_stage && !l->user && !req->priv) {
        return 0x81;
    }
    if (req->at != HWM_AT_TRANSLATION && req->write && !l->w) {
        return sm ? 0x85 : 0x05;
    }
    if (req->at != HWM_AT_TRANSLATION && !req->write && !l->r &&
        !(req->zero_length && h->vtd.cfg.zlr)) {
        return sm ? 0x86 : 0x06;
    }
    if (in_msi_range(l->pa) && w->sp.mode == HWM_MODE_WALK) {
        return sm ? 0x87 : 0x0e;
    }
    return 0;
}

static unsigned range_reason(const struct hwm *h, const struct hwm_req *req,
                             const struct vtd_where *w)
{
    unsigned bits = w->sp.bits;

    if (w->first_stage) {
        int64_t top = (int64_t)req->iova >> (bits - 1);

        return top != 0 && top != -1 ? 0x80 : 0;
    }
    if (bits < 64 && req->iova >> bits) {
        return vtd_scalable(h) ? 0x84 : 0x04;
    }
    return 0;
}

static void found(struct hwm_xlat *x, const struct vtd_where *w, const struct hwm_hit *hit)
{
    x->result = HWM_OK;
    x->pa = hit->leaf.pa;
    x->lg2 = hit->leaf.lg2;
    x->r = hit->leaf.r;
    x->w = hit->leaf.w;
    x->cached = hit->cached;
    x->ambiguous = hit->ambiguous;
    x->did = w->sp.did;
}

void hwm_vtd_xlat(struct hwm *h, const struct hwm_req *req, unsigned flags, struct hwm_xlat *x)
{
    struct vtd_where w;
    struct hwm_hit hit;
    unsigned reason;

    x->pa = req->iova;
    if (!(h->mmio[R_GSTS / 4] & G_TE)) {
        x->result = protected_range(h, req->iova) ? HWM_FAULT : HWM_PASS;
        x->fault.why = "protected memory region";
        return;
    }
    if (req->write && !req->has_pasid && req->at == HWM_AT_UNTRANSLATED &&
        in_msi_range(req->iova)) {
        x->result = HWM_SPECIAL;
        return;
    }
    where(h, req, flags, &w);
    if (!w.reason && w.translated) {
        x->result = HWM_OK;
        x->did = w.sp.did;
        return;
    }
    reason = w.reason ? w.reason : range_reason(h, req, &w);
    if (reason) {
        if (!w.why) {
            w.why = "address beyond the width of the context";
        }
        blocked(h, req, flags, &w, reason, NULL, x);
        return;
    }
    if (w.nested) {
        reason = hwm_vtd_nested(h, &w, req->iova, req->write, flags, &hit);
    } else {
        hwm_translate(h, &w.sp, req->iova, req->write, flags, &hit);
    }
    found(x, &w, &hit);
    if (!reason && !hit.leaf.present) {
        reason = walk_reason(h, &w, &hit.leaf, req->write);
    } else if (!reason) {
        reason = leaf_reason(h, req, &w, &hit.leaf);
        if (!reason && w.nosnoop_ad && (!hit.leaf.accessed || (req->write && !hit.leaf.dirty))) {
            reason = w.first_stage ? 0x90 : 0x7c;
        }
    }
    if (reason) {
        blocked(h, req, flags, &w, reason, &hit.leaf, x);
    }
}
