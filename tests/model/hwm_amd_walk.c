/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: an AMD-Vi request from DeviceID to address (hwspec 6.7, 6.9 to 6.11, 7.3): DTE
 * cache, the table of V, TV, Mode, GV, then v1 or v2 tables, events.
 */
#include "hwm_amd_regs.h"

#include <string.h>

#define FIELD_51_12 UINT64_C(0x000ffffffffff000)
#define BIT(n)      (UINT64_C(1) << (n))

#define DTE_V    BIT(0)
#define DTE_TV   BIT(1)
#define DTE_GIOV BIT(54)
#define DTE_GV   BIT(55)
#define DTE_IR   BIT(61)
#define DTE_IW   BIT(62)
#define DTE1_I   BIT(32)
#define DTE1_SE  BIT(33)
#define DTE1_SA  BIT(34)
#define DTE1_EX  BIT(39)

struct dte {
    uint64_t w[4];
    unsigned event; /* 0: was read */
    const char *why;
};

struct where {
    struct hwm_space sp;
    enum { STOP_EVENT, PASS_THROUGH, TRANSLATED, TRANSLATE } what;
    unsigned event, flags;
    uint64_t addr;
    uint64_t iova; /* as the tables see it */
    bool v2;
    bool nested;           /* v2 tables in sp before the v1 table in host */
    bool root_w;           /* .. which lets the v2 root be written */
    struct hwm_space host;
    const char *why;
};

struct hwm_fmt hwm_amd_v1_fmt(const struct hwm *h)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, HWM_FMT_AMDV1);
    fmt.pa_bits = h->iommu.cfg.pa_bits;
    fmt.no_512g = h->iommu.cfg.err_512g;
    return fmt;
}

struct hwm_fmt hwm_amd_v2_fmt(const struct hwm *h)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, HWM_FMT_X86);
    fmt.pa_bits = h->iommu.cfg.pa_bits;
    fmt.nx = h->iommu.cfg.nx_sup;
    return fmt;
}

/* ---- device table -------------------------------------------------------------------------- */

static void fetch_dte(struct hwm *h, uint16_t rid, struct dte *d)
{
    unsigned lg2 = amd_segments_lg2(h), seg = lg2 ? (unsigned)rid >> (16 - lg2) : 0, i;
    uint64_t base = hwm_reg64(h, seg ? A_SEGMENTS + (seg - 1) * 8 : A_DEVTAB), pa;
    uint64_t index = rid & hwm_low_mask(16 - lg2);

    memset(d, 0, sizeof(*d));
    if (index * 32 >= ((base & (seg ? 0xff : 0x1ff)) + 1) * 4096) {
        d->event = E_PAGE_FAULT;
        d->why = "DeviceID beyond the device table";
        return;
    }
    pa = (base & FIELD_51_12) + index * 32;
    if (!hwm_mem_ok(h, pa, 32)) {
        d->event = E_DEVTAB_HW;
        d->why = "device table is not in memory";
        return;
    }
    for (i = 0; i < 4; i++) {
        d->w[i] = h->mem.read64(h->mem.opaque, pa + i * 8);
    }
}

static uint64_t gcr3_root(const struct dte *d)
{
    return (d->w[0] >> 58 & 7) << 12 | (d->w[1] >> 16 & 0xffff) << 15 | (d->w[1] >> 43) << 31;
}

static void find_dte(struct hwm *h, uint16_t rid, unsigned flags, struct dte *d)
{
    struct hwm_ce *ce = flags & HWM_F_USE ? hwm_cache_find(&h->ctx, rid, 0, 0) : NULL;

    if (ce) {
        memset(d, 0, sizeof(*d));
        memcpy(d->w, ce->v, sizeof(d->w));
        return;
    }
    fetch_dte(h, rid, d);
    if (d->event || !(flags & HWM_F_FILL)) {
        return;
    }
    ce = hwm_cache_add(&h->ctx, rid, 0, 0);
    if (!ce) {
        return;
    }
    memcpy(ce->v, d->w, sizeof(ce->v));
    ce->did = (uint16_t)d->w[1];
    if ((d->w[0] & (DTE_V | DTE_TV)) != (DTE_V | DTE_TV)) {
        return;
    }
    if (d->w[0] >> 9 & 7) {
        hwm_cache_hold(&h->ctx, ce, d->w[0] & FIELD_51_12, 12);
    } else if (d->w[0] & DTE_GV) {
        hwm_cache_hold(&h->ctx, ce, gcr3_root(d), 12);
    }
}

/* NULL: legal */
static const char *check_dte(const struct hwm *h, const struct dte *d)
{
    const struct hwm_amd_cfg *c = &h->iommu.cfg;
    unsigned had = (unsigned)(d->w[0] >> 7 & 3), mode = (unsigned)(d->w[0] >> 9 & 7);
    uint64_t rsvd0 = BIT(63) | 0x7c, rsvd1 = BIT(42);

    rsvd0 |= c->ppr_sup ? 0 : BIT(52) | BIT(53);
    rsvd0 |= c->gio_sup ? 0 : DTE_GIOV;
    if (!c->gt_sup) {
        rsvd0 |= DTE_GV | UINT64_C(0x1f) << 56;
        rsvd1 |= UINT64_C(0xffff) << 16 | ~hwm_low_mask(43);
    }
    if (d->w[0] & rsvd0 || d->w[1] & rsvd1) {
        return "reserved bit in the device table entry";
    }
    if (had == 2 || (had == 1 && !c->ha_sup) || (had == 3 && !c->hd_sup)) {
        return "HAD that the unit does not have";
    }
    if ((d->w[0] & DTE_TV) && mode && (d->w[0] & FIELD_51_12 & ~hwm_low_mask(c->pa_bits))) {
        return "page-table root beyond the physical address width";
    }
    if ((d->w[0] & DTE_TV) && mode > c->levels) {
        return "paging mode that the unit does not have";
    }
    if ((d->w[0] & DTE_GV) && (!(amd_control(h) & C_GTEN) || (d->w[0] >> 56 & 3) > c->glx_sup ||
                               (d->w[2] >> 54 & 3) > c->guest_levels - 4)) {
        return "guest translation that the unit does not have or that is not enabled";
    }
    return NULL;
}

/* ---- GCR3 ---------------------------------------------------------------------------------- */

/* The v1 table stops a nested request: what it says is of a guest-physical address (GN=0). */
static void host_stops(struct where *w, const struct hwm_nest *n)
{
    const struct hwm_leaf *l = &n->hit.leaf;

    w->what = STOP_EVENT;
    w->event = l->status == HWM_S_READ ? E_PAGETAB_HW : E_PAGE_FAULT;
    w->flags &= ~F_GN;
    w->flags |= l->status == HWM_S_READ     ? F_TYPE_TARGET_ABORT
                : l->status == HWM_S_LEAF   ? F_PR | F_PE
                : l->status == HWM_S_ABSENT ? 0
                : l->status == HWM_S_RSVD   ? F_PR | F_RZ
                                            : F_PR;
    w->addr = l->status == HWM_S_READ ? l->entry_pa : n->gpa;
    w->why = l->why;
    w->v2 = false;
}

/* Page *table of the guest, which the unit reads. False: the v1 table does not let it. */
static bool through_v1(struct hwm *h, unsigned flags, uint64_t *table, struct where *w)
{
    struct hwm_nest n;

    if (!hwm_amd_gpa(h, &w->host, *table, false, flags, &n)) {
        host_stops(w, &n);
        return false;
    }
    *table = n.hit.leaf.pa;
    w->root_w = n.hit.leaf.w;
    return true;
}

/* Root of the v2 table of a PASID. False: there is none; *event tells why. */
static bool find_gcr3(struct hwm *h, const struct hwm_req *req, const struct dte *d,
                      unsigned flags, uint64_t *root, struct where *w)
{
    uint32_t pasid = req->has_pasid ? req->pasid : 0;
    uint64_t tag = HWM_TAG(d->w[1] & 0xffff, pasid, 1) | (w->nested ? NEST_BIT : 0), entry, pa;
    uint64_t table = gcr3_root(d);
    struct hwm_ce *ce = flags & HWM_F_USE ? hwm_cache_find(&h->pasid, tag, 0, 0) : NULL;
    unsigned level = (unsigned)(d->w[0] >> 56 & 3) + 1;

    if (ce) {
        *root = ce->v[0];
        w->root_w = ce->w;
        return true;
    }
    if (pasid >> (9 * level)) {
        w->why = "PASID beyond the GCR3 table";
        return false;
    }
    if (w->nested && !amd_gcr3_trp(h)) {
        hwm_violate(h, "GCR3TRPMode is off: the GCR3 root of a nested entry is a host address");
    } else if (w->nested && !through_v1(h, flags, &table, w)) {
        return false;
    }
    while (level--) {
        pa = table + (pasid >> (9 * level) & 0x1ff) * 8;
        if (!hwm_mem_ok(h, pa, 8)) {
            w->event = E_PAGETAB_HW;
            w->flags |= F_TYPE_TARGET_ABORT;
            w->addr = pa;
            w->why = "GCR3 table is not in memory";
            return false;
        }
        entry = h->mem.read64(h->mem.opaque, pa);
        if (!(entry & 1)) {
            w->why = "GCR3 entry not valid";
            return false;
        }
        if (entry & ~(FIELD_51_12 | 1)) {
            w->flags |= F_PR | F_RZ;
            w->why = "reserved bit in a GCR3 entry";
            return false;
        }
        table = entry & FIELD_51_12;
        if (w->nested && !through_v1(h, flags, &table, w)) {
            return false;
        }
    }
    *root = table;
    ce = flags & HWM_F_FILL ? hwm_cache_add(&h->pasid, tag, 0, 0) : NULL;
    if (ce) {
        ce->v[0] = table;
        ce->v[1] = req->rid;
        ce->w = w->root_w;
        ce->did = (uint16_t)d->w[1];
        hwm_cache_hold(&h->pasid, ce, table, 12);
    }
    return true;
}

/* ---- one request --------------------------------------------------------------------------- */

static void stop(struct where *w, unsigned event, unsigned flags, const char *why)
{
    w->what = STOP_EVENT;
    w->event = event;
    w->flags |= flags;
    w->why = why;
}

static bool in_exclusion(const struct hwm *h, const struct dte *d, uint64_t iova)
{
    uint64_t base = hwm_reg64(h, A_EXCLBASE), limit = hwm_reg64(h, A_EXCLLIMIT);

    return (base & 1) && ((base & 2) || (d->w[1] & DTE1_EX)) && iova >= (base & FIELD_51_12) &&
           iova <= ((limit & FIELD_51_12) | 0xfff);
}

static void v1_space(const struct hwm *h, const struct dte *d, struct where *w)
{
    unsigned mode = (unsigned)(d->w[0] >> 9 & 7), had = (unsigned)(d->w[0] >> 7 & 3);

    w->sp.mode = mode ? HWM_MODE_WALK : HWM_MODE_IDENTITY;
    w->sp.fmt = hwm_amd_v1_fmt(h);
    w->sp.tag = HWM_TAG(w->sp.did, 0, 0);
    w->sp.root = d->w[0] & FIELD_51_12;
    w->sp.levels = mode;
    w->sp.bits = mode ? hwm_slot_lg2(mode + 1) : 64;
    w->sp.ad = had != 0;
    w->sp.dirty = had == 3;
    w->sp.cache_absent = h->iommu.cfg.np_cache;
}

static void v2_space(struct hwm *h, const struct hwm_req *req, const struct dte *d, unsigned flags,
                     struct where *w)
{
    uint64_t root = 0;

    w->v2 = true;
    w->nested = (d->w[0] >> 9 & 7) != 0;
    if (w->nested) {
        v1_space(h, d, w);
        w->host = w->sp;
    }
    w->flags |= F_GN;
    w->event = E_PAGE_FAULT;
    if (!find_gcr3(h, req, d, flags, &root, w)) {
        w->what = STOP_EVENT;
        return;
    }
    w->sp.mode = HWM_MODE_WALK;
    w->sp.fmt = hwm_amd_v2_fmt(h);
    w->sp.tag = HWM_TAG(w->sp.did, req->has_pasid ? req->pasid : 0, 1) |
                (w->nested ? NEST_BIT : 0);
    w->sp.root = root;
    w->sp.levels = (d->w[2] >> 54 & 3) ? 5 : 4;
    w->sp.bits = hwm_slot_lg2(w->sp.levels + 1);
    w->sp.ad = w->sp.dirty = true;
    w->sp.cache_absent = h->iommu.cfg.np_cache;
}

static void where(struct hwm *h, const struct hwm_req *req, const struct dte *d, unsigned flags,
                  struct where *w)
{
    bool v2 = (d->w[0] & DTE_GV) && (req->has_pasid || (d->w[0] & DTE_GIOV));
    const char *bad;

    w->what = TRANSLATE;
    w->iova = w->addr = req->iova;
    w->flags = (req->write ? F_RW : 0) | (req->at == HWM_AT_TRANSLATION ? F_TR : 0);
    w->sp.did = (uint16_t)d->w[1];
    if (d->event) {
        stop(w, d->event, d->event == E_DEVTAB_HW ? F_TYPE_TARGET_ABORT : 0, d->why);
        return;
    }
    if (!(d->w[0] & DTE_V)) {
        w->what = PASS_THROUGH;
        return;
    }
    bad = check_dte(h, d);
    if (bad) {
        stop(w, E_ILLEGAL_DTE, F_RZ, bad);
        return;
    }
    if (in_exclusion(h, d, req->iova)) {
        w->what = PASS_THROUGH;
        return;
    }
    if (!(d->w[0] & DTE_TV)) {
        stop(w, E_PAGE_FAULT, 0, "V=1, TV=0: blocked");
        return;
    }
    if (req->at != HWM_AT_UNTRANSLATED && (!(d->w[1] & DTE1_I) || !h->iommu.cfg.iotlb_sup)) {
        stop(w, E_INVALID_REQ, 0, "translation or translated request from a device without ATS");
        return;
    }
    w->sp.r = d->w[0] & DTE_IR;
    w->sp.w = d->w[0] & DTE_IW;
    if (req->write ? !w->sp.w : !w->sp.r) {
        stop(w, E_PAGE_FAULT, F_PR | F_PE, "no permission in the device table entry");
        return;
    }
    if (req->at == HWM_AT_TRANSLATED) {
        w->what = TRANSLATED;
        return;
    }
    if (req->has_pasid && !v2) {
        stop(w, E_INVALID_REQ, F_GN, "request with PASID, but GV is 0");
        return;
    }
    if (v2) {
        v2_space(h, req, d, flags, w);
    } else {
        v1_space(h, d, w);
    }
}

/* SE: one event until the entry is fetched again. SA: none. */
static bool suppressed(struct hwm *h, const struct hwm_req *req, const struct dte *d,
                       unsigned event)
{
    struct hwm_ce *ce;

    if (event != E_PAGE_FAULT || !(d->w[0] & DTE_V)) {
        return false;
    }
    if (d->w[1] & DTE1_SA) {
        return true;
    }
    ce = hwm_cache_find(&h->ctx, req->rid, 0, 0);
    if (!(d->w[1] & DTE1_SE) || !ce) {
        return false;
    }
    if (ce->dirty) {
        return true;
    }
    ce->dirty = true;
    return false;
}

static void blocked(struct hwm *h, const struct hwm_req *req, const struct dte *d, unsigned flags,
                    const struct where *w, const struct hwm_leaf *l, struct hwm_xlat *x)
{
    struct hwm_fault *f = &x->fault;
    uint32_t pasid = req->has_pasid ? req->pasid : 0; /* GIoV: as if it were 0 */
    uint64_t id = w->v2 ? pasid & 0xffff : w->sp.did, w0;

    x->result = HWM_FAULT;
    x->pa = 0;
    f->reason = w->event;
    f->flags = w->flags;
    f->addr = w->addr;
    f->level = l ? l->level : 0;
    f->entry = l ? l->entry : d->w[0];
    f->why = w->why;
    /* a fault of a translation request is answered to the device (hwspec 6.7) */
    if (!(flags & HWM_F_RECORD) || (w->event == E_PAGE_FAULT && req->at == HWM_AT_TRANSLATION) ||
        suppressed(h, req, d, w->event)) {
        return;
    }
    w0 = (uint64_t)w->event << 60 | (uint64_t)w->flags << 48 | req->rid;
    if (w->event == E_PAGE_FAULT || w->event == E_PAGETAB_HW) {
        w0 |= id << 32 | (w->v2 ? (uint64_t)(pasid >> 16 & 0xf) << 16 : 0);
    }
    f->recorded = hwm_amd_event(h, w0, w->addr);
}

/* Turns the end of a walk into an event. False: the access is allowed. */
static bool walk_stops(const struct hwm_req *req, struct where *w, const struct hwm_leaf *l)
{
    switch (l->status) {
    case HWM_S_LEAF:
        if (w->v2 && !l->user && !req->priv) {
            stop(w, E_PAGE_FAULT, F_PR | F_PE, "user request to a supervisor page");
            return true;
        }
        if (req->at != HWM_AT_TRANSLATION && (req->write ? !l->w : !l->r)) {
            stop(w, E_PAGE_FAULT, F_PR | F_PE, "no permission");
            return true;
        }
        return false;
    case HWM_S_ABSENT:
        stop(w, E_PAGE_FAULT, 0, l->why);
        return true;
    case HWM_S_READ:
        stop(w, E_PAGETAB_HW, F_TYPE_TARGET_ABORT, l->why);
        w->addr = l->entry_pa;
        return true;
    case HWM_S_RSVD:
        stop(w, E_PAGE_FAULT, F_PR | F_RZ, l->why);
        return true;
    default:
        stop(w, E_PAGE_FAULT, F_PR, l->why);
        return true;
    }
}

static bool in_range(const struct hwm_req *req, struct where *w)
{
    int64_t top;

    if (!w->v2) {
        return w->sp.bits >= 64 || !(req->iova >> w->sp.bits);
    }
    if (!req->has_pasid) {
        /* GIoV traffic: no sign extension, the upper bits are not decoded (hwspec 6.10) */
        w->iova = req->iova & hwm_low_mask(w->sp.bits);
        return true;
    }
    top = (int64_t)req->iova >> (w->sp.bits - 1);
    return top == 0 || top == -1;
}

static bool special(const struct hwm *h, uint64_t iova)
{
    return (iova & ~UINT64_C(0xfffff)) == UINT64_C(0xfee00000) ||
           (!h->iommu.cfg.ht_ignore && iova >= UINT64_C(0xfd00000000) &&
            iova <= UINT64_C(0xffffffffff));
}

void hwm_amd_xlat(struct hwm *h, const struct hwm_req *req, unsigned flags, struct hwm_xlat *x)
{
    struct where w;
    struct hwm_nest n;
    struct dte d;

    x->pa = req->iova;
    if (!(amd_control(h) & C_IOMMUEN)) {
        x->result = HWM_PASS;
        return;
    }
    if (!req->has_pasid && req->at == HWM_AT_UNTRANSLATED && special(h, req->iova)) {
        x->result = HWM_SPECIAL;
        return;
    }
    memset(&w, 0, sizeof(w));
    find_dte(h, req->rid, flags, &d);
    where(h, req, &d, flags, &w);
    x->did = w.sp.did;
    if (w.what == PASS_THROUGH || w.what == TRANSLATED) {
        x->result = w.what == TRANSLATED ? HWM_OK : HWM_PASS;
        return;
    }
    if (w.what == TRANSLATE && !in_range(req, &w)) {
        stop(&w, E_PAGE_FAULT, 0, "address beyond the paging mode");
    }
    if (w.what == STOP_EVENT) {
        blocked(h, req, &d, flags, &w, NULL, x);
        return;
    }
    memset(&n, 0, sizeof(n));
    if (w.nested) {
        hwm_amd_nested(h, &w.sp, &w.host, w.root_w, w.iova, req->write, flags, &n);
    } else {
        hwm_translate(h, &w.sp, w.iova, req->write, flags, &n.hit);
    }
    if (n.host) {
        host_stops(&w, &n);
    }
    if (n.host || walk_stops(req, &w, &n.hit.leaf)) {
        blocked(h, req, &d, flags, &w, &n.hit.leaf, x);
    } else {
        x->result = HWM_OK;
        x->pa = n.hit.leaf.pa;
    }
    x->lg2 = n.hit.leaf.lg2;
    x->r = n.hit.leaf.r && w.sp.r;
    x->w = n.hit.leaf.w && w.sp.w;
    x->cached = n.hit.cached;
    x->ambiguous = n.hit.ambiguous;
}
