/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: the VT-d invalidation queue (hwspec 1.10, 4.1) and what each invalidation drops
 * from the caches.
 */
#include "hwm_vtd_regs.h"

#include <string.h>

#define IQEI_TAIL       1u
#define IQEI_FETCH      2u
#define IQEI_TYPE       3u
#define IQEI_RSVD       4u
#define IQEI_WIDTH      5u
#define IQEI_TAIL_ALIGN 6u

#define IQA_DW 0x800u

typedef unsigned long long ull;

void hwm_vtd_queue_on(struct hwm *h)
{
    uint64_t iqa = hwm_reg64(h, R_IQA);

    if (!h->vtd.cfg.qi) {
        hwm_violate(h, "queued invalidation enabled on a unit without it");
        return;
    }
    if (iqa & 0x7f8 || iqa & ~hwm_low_mask(h->vtd.cfg.haw)) {
        hwm_violate(h, "IQA 0x%llx: reserved bits set", (ull)iqa);
    }
    if ((iqa & IQA_DW) && !h->vtd.cfg.smts) {
        hwm_violate(h, "IQA 0x%llx: 256-bit descriptors without scalable mode", (ull)iqa);
    }
    if (hwm_reg64(h, R_IQT)) {
        hwm_violate(h, "queue enabled with tail 0x%llx", (ull)hwm_reg64(h, R_IQT));
    }
    hwm_set64(h, R_IQH, 0);
    h->mmio[R_GSTS / 4] |= G_QIE;
}

void hwm_vtd_queue_off(struct hwm *h)
{
    if (h->fifo_nr || hwm_reg64(h, R_IQH) != hwm_reg64(h, R_IQT)) {
        hwm_violate(h, "queue disabled while descriptors are pending");
    }
    hwm_fifo_clear(h);
    hwm_set64(h, R_IQH, 0);
    h->mmio[R_GSTS / 4] &= ~G_QIE;
}

/* ---- fetch and check ----------------------------------------------------------------------- */

static void queue_error(struct hwm *h, unsigned iqei, const char *why, const struct hwm_cmd *cmd)
{
    uint64_t rec = hwm_reg64(h, R_IQERCD);

    hwm_set64(h, R_IQERCD, (rec & ~UINT64_C(0xf)) | iqei);
    hwm_vtd_status_event(h, FSTS_IQE);
    if (why) {
        hwm_violate(h, "descriptor %llx %llx at head 0x%llx: %s", (ull)cmd->w[0], (ull)cmd->w[1],
                    (ull)hwm_reg64(h, R_IQH), why);
    }
}

struct shape {
    uint64_t w0, w1; /* bits that may be set */
    unsigned grans;  /* legal values of G, bit n = value n; 0: no G */
};

static const struct shape shapes[9] = {
    [1] = {UINT64_C(0x0003ffffffff003f), 0, 0xe},
    [2] = {UINT64_C(0x00000000ffff00ff), UINT64_C(0xfffffffffffff07f), 0xe},
    [3] = {UINT64_C(0x0000ffff001f000f), UINT64_C(0xfffffffffffff001), 0},
    [4] = {UINT64_C(0x0000fffff800001f), 0, 0},
    [5] = {UINT64_C(0xffffffff0000007f), UINT64_C(0xfffffffffffffffc), 0},
    [6] = {UINT64_C(0x000fffffffff003f), UINT64_C(0xfffffffffffff07f), 0xc},
    [7] = {UINT64_C(0x000fffffffff003f), 0, 0xb},
    [8] = {UINT64_C(0x000fffffffff01ff), UINT64_C(0xfffffffffffff801), 0},
};

static unsigned check(const struct hwm *h, const struct hwm_cmd *cmd, const char **why)
{
    unsigned type = (unsigned)(cmd->w[0] & 0xf), high = (unsigned)(cmd->w[0] >> 9 & 7);
    const struct shape *s;

    if (high || type == 0 || type > 8) {
        *why = "unknown descriptor type";
        return IQEI_TYPE;
    }
    if ((type >= 6 && !h->vtd.cfg.smts) || ((type == 3 || type == 8) && !h->vtd.cfg.dt)) {
        *why = "descriptor of a feature that the unit does not have";
        return IQEI_TYPE;
    }
    s = &shapes[type];
    if (cmd->w[0] & ~s->w0 || cmd->w[1] & ~s->w1 || cmd->w[2] || cmd->w[3]) {
        *why = "reserved bits set";
        return IQEI_RSVD;
    }
    if (s->grans && !(s->grans >> (cmd->w[0] >> 4 & 3) & 1)) {
        *why = "reserved granularity";
        return IQEI_RSVD;
    }
    return 0;
}

/* Returns the error code for the queue as a whole, 0 when the next descriptor may be fetched. */
static unsigned check_queue(const struct hwm *h, uint64_t iqa, uint64_t tail, const char **why)
{
    bool wide = iqa & IQA_DW;

    if (tail >= UINT64_C(4096) << (iqa & 7)) {
        *why = "tail beyond the queue";
        return IQEI_TAIL;
    }
    if (wide && (tail & 0x10)) {
        *why = "tail misaligned for 256-bit descriptors";
        return IQEI_TAIL_ALIGN;
    }
    if (wide ? !h->vtd.cfg.smts : vtd_scalable(h)) {
        *why = "descriptor width does not fit the translation mode";
        return IQEI_WIDTH;
    }
    return 0;
}

static bool fetch_one(struct hwm *h, uint64_t iqa, uint64_t head)
{
    unsigned width = iqa & IQA_DW ? 32 : 16, i, iqei;
    struct hwm_cmd cmd;
    const char *why = NULL;

    memset(&cmd, 0, sizeof(cmd));
    cmd.pa = (iqa & ~UINT64_C(0xfff)) + head;
    if (hwm_inject_now(h, HWM_INJECT_IQE)) {
        queue_error(h, IQEI_FETCH, NULL, &cmd);
        return false;
    }
    if (!hwm_mem_ok(h, cmd.pa, width)) {
        queue_error(h, IQEI_FETCH, "queue is not in memory", &cmd);
        return false;
    }
    for (i = 0; i < width / 8; i++) {
        cmd.w[i] = h->mem.read64(h->mem.opaque, cmd.pa + i * 8);
    }
    iqei = check(h, &cmd, &why);
    if (iqei) {
        queue_error(h, iqei, why, &cmd);
        return false;
    }
    hwm_fifo_push(h, &cmd);
    hwm_set64(h, R_IQH, (head + width) & ((UINT64_C(4096) << (iqa & 7)) - 1));
    return true;
}

void hwm_vtd_fetch(struct hwm *h)
{
    uint64_t iqa = hwm_reg64(h, R_IQA), tail = hwm_reg64(h, R_IQT), head;
    struct hwm_cmd none;
    const char *why = NULL;
    unsigned iqei;

    memset(&none, 0, sizeof(none));
    while ((h->mmio[R_GSTS / 4] & G_QIE) && !(h->mmio[R_FSTS / 4] & (FSTS_IQE | FSTS_ITE))) {
        head = hwm_reg64(h, R_IQH);
        if (head == tail) {
            return;
        }
        iqei = check_queue(h, iqa, tail, &why);
        if (iqei) {
            queue_error(h, iqei, why, &none);
            return;
        }
        if (!fetch_one(h, iqa, head)) {
            return;
        }
    }
}

/* ---- effect -------------------------------------------------------------------------------- */

struct ctx_drop {
    unsigned gran;
    uint16_t did, sid, sid_mask;
    bool any_did;
};

static bool ctx_pick(void *ctx, const struct hwm_ce *ce)
{
    const struct ctx_drop *d = ctx;

    switch (d->gran) {
    case 1:
        return true;
    case 2:
        return ce->did == d->did;
    default:
        return ((uint16_t)ce->tag & d->sid_mask) == (d->sid & d->sid_mask) &&
               (d->any_did || ce->did == d->did);
    }
}

void hwm_vtd_drop_ctx(struct hwm *h, unsigned gran, uint16_t did, uint16_t sid, unsigned fm,
                      bool by_register, uint64_t raw)
{
    static const uint16_t masks[4] = {0xffff, 0xfffb, 0xfff9, 0xfff8};
    static const enum hwm_kind kinds[4] = {HWM_OTHER, HWM_CTX_GLOBAL, HWM_CTX_DOMAIN,
                                           HWM_CTX_DEVICE};
    struct ctx_drop d = {gran, did, sid, masks[fm], vtd_scalable(h)};
    struct hwm_told t = {.kind = kinds[gran], .did = did, .rid = sid, .by_register = by_register};

    t.raw[0] = raw;
    hwm_tell(h, &t);
    hwm_drain_writes(h);
    if (gran != 1 && !d.any_did && !hwm_vtd_did_ok(h, did)) {
        hwm_violate(h, "context-cache invalidation of domain id 0x%x, which the unit does not have",
                    did);
        return;
    }
    hwm_cache_drop_if(&h->ctx, ctx_pick, &d);
    if (gran == 1) {
        h->vtd.root_needs_cc = false;
    }
}

static bool page_range_ok(struct hwm *h, uint64_t addr_word, uint16_t did)
{
    unsigned am = (unsigned)(addr_word & 0x3f);

    if (!h->vtd.cfg.psi) {
        hwm_violate(h, "page-selective invalidation on a unit without PSI");
        return false;
    }
    if (am > h->vtd.cfg.mamv) {
        hwm_violate(h, "address mask %u above the maximum of %u", am, h->vtd.cfg.mamv);
        return false;
    }
    if (addr_word & ~UINT64_C(0xfff) & hwm_low_mask(12 + am)) {
        hwm_violate(h, "page-selective address 0x%llx not aligned to its mask %u", (ull)addr_word,
                    am);
    }
    if (h->vtd.cfg.cm && did == 0) {
        hwm_violate(h, "page-selective invalidation with domain id 0 in caching mode");
    }
    return true;
}

void hwm_vtd_drop_iotlb(struct hwm *h, unsigned gran, uint16_t did, uint64_t addr_word,
                        bool by_register, const uint64_t raw[2])
{
    static const enum hwm_kind kinds[4] = {HWM_OTHER, HWM_TLB_GLOBAL, HWM_TLB_DOMAIN, HWM_TLB_PAGE};
    struct hwm_told t = {
        .kind = kinds[gran], .did = did, .by_register = by_register, .raw = {raw[0], raw[1]}};
    struct hwm_fmt fmt = hwm_vtd_ss_fmt(h);

    t.lg2 = gran == 3 ? (uint8_t)(12 + (addr_word & 0x3f)) : 64;
    t.iova = gran == 3 ? addr_word & ~hwm_low_mask(t.lg2) : 0;
    t.leaf_only = gran == 3 && (addr_word & 0x40);
    hwm_tell(h, &t);
    hwm_drain_writes(h);
    if (gran == 1) {
        hwm_drop_all_tlb(h);
        h->vtd.root_needs_tlb =
            h->vtd.root_needs_tlb && (h->vtd.root_needs_cc || h->vtd.root_needs_pc);
        return;
    }
    if (!hwm_vtd_did_ok(h, did)) {
        hwm_violate(h, "IOTLB invalidation of domain id 0x%x, which the unit does not have", did);
        return;
    }
    if (gran == 2) {
        hwm_drop_tag(h, HWM_TAG(did, 0, 0));
        hwm_vtd_nest_drop_domain(h, did);
    } else if (page_range_ok(h, addr_word, did)) {
        hwm_drop_pages(h, HWM_TAG(did, 0, 0), &fmt, t.iova, t.lg2, t.leaf_only);
    }
}

struct pasid_drop {
    unsigned gran;
    uint16_t did;
    uint32_t pasid;
};

static bool pasid_pick(void *ctx, const struct hwm_ce *ce)
{
    const struct pasid_drop *d = ctx;

    /*
     * a cached not-present entry belongs to no domain yet: hwspec 4.2 sends the id of the domain
     * to come
     */
    return d->gran == 3 ||
           ((ce->neg || ce->did == d->did) && (d->gran == 0 || ce->tag >> 16 == d->pasid));
}

static void exec_pasid_cache(struct hwm *h, const struct hwm_cmd *cmd)
{
    static const enum hwm_kind kinds[4] = {HWM_PASID_DOMAIN, HWM_PASID_ONE, HWM_OTHER,
                                           HWM_PASID_GLOBAL};
    struct pasid_drop d;
    struct hwm_told t = {.raw = {cmd->w[0], cmd->w[1]}, .has_pasid = true};

    d.gran = (unsigned)(cmd->w[0] >> 4 & 3);
    d.did = t.did = (uint16_t)(cmd->w[0] >> 16);
    d.pasid = t.pasid = (uint32_t)(cmd->w[0] >> 32 & 0xfffff);
    t.kind = kinds[d.gran];
    hwm_tell(h, &t);
    hwm_drain_writes(h);
    if (d.gran != 3 && !hwm_vtd_did_ok(h, d.did)) {
        hwm_violate(h, "PASID-cache invalidation of domain id 0x%x, which the unit does not have",
                    d.did);
    }
    hwm_cache_drop_if(&h->pasid, pasid_pick, &d);
    if (d.gran == 3 && !h->vtd.root_needs_cc) {
        h->vtd.root_needs_pc = false;
    }
}

static void exec_pasid_iotlb(struct hwm *h, const struct hwm_cmd *cmd)
{
    struct hwm_told t = {
        .raw = {cmd->w[0], cmd->w[1]}, .has_pasid = true, .lg2 = 64, .kind = HWM_PTLB_PASID};
    struct hwm_fmt fmt = hwm_vtd_fs_fmt(h);
    bool pages = (cmd->w[0] >> 4 & 3) == 3;
    uint64_t tag;

    t.did = (uint16_t)(cmd->w[0] >> 16);
    t.pasid = (uint32_t)(cmd->w[0] >> 32 & 0xfffff);
    if (pages) {
        t.kind = HWM_PTLB_PAGE;
        t.lg2 = (uint8_t)(12 + (cmd->w[1] & 0x3f));
        t.iova = cmd->w[1] & ~hwm_low_mask(t.lg2);
        t.leaf_only = cmd->w[1] & 0x40;
    }
    hwm_tell(h, &t);
    hwm_drain_writes(h);
    if (!hwm_vtd_did_ok(h, t.did)) {
        hwm_violate(h, "PASID IOTLB invalidation of domain id 0x%x, which the unit does not have",
                    t.did);
    }
    tag = HWM_TAG(t.did, t.pasid, 1);
    if (!pages) {
        hwm_drop_tag(h, tag);
        hwm_vtd_nest_drop_pasid(h, tag);
    } else if (page_range_ok(h, cmd->w[1], t.did)) {
        hwm_drop_pages(h, tag, &fmt, t.iova, t.lg2, t.leaf_only);
        hwm_vtd_nest_drop_pages(h, tag, t.iova, t.lg2, t.leaf_only);
    }
}

static void exec_device_tlb(struct hwm *h, const struct hwm_cmd *cmd)
{
    bool with_pasid = (cmd->w[0] & 0xf) == 8;
    struct hwm_told t = {
        .kind = HWM_DEVTLB, .raw = {cmd->w[0], cmd->w[1]}, .has_pasid = with_pasid};
    unsigned lg2 = 12;

    t.rid = (uint16_t)(cmd->w[0] >> (with_pasid ? 16 : 32));
    t.pasid = with_pasid ? (uint32_t)(cmd->w[0] >> 32 & 0xfffff) : 0;
    if (cmd->w[1] >> (with_pasid ? 11 : 0) & 1) {
        lg2 = hwm_size_code_lg2(cmd->w[1]);
        if (lg2 > 64) {
            hwm_violate(h, "device-TLB address 0x%llx has no size", (ull)cmd->w[1]);
            return;
        }
    }
    t.lg2 = (uint8_t)lg2;
    t.iova = cmd->w[1] & ~UINT64_C(0xfff) & ~hwm_low_mask(lg2);
    if (!(h->mmio[R_GSTS / 4] & G_TE)) {
        hwm_violate(h, "device-TLB invalidation while translation is disabled");
    }
    if (hwm_inject_now(h, HWM_INJECT_ITE)) {
        /* everything fetched so far is lost, waits included: their status is never written */
        hwm_fifo_clear(h);
        hwm_set64(h, R_IQERCD,
                  (hwm_reg64(h, R_IQERCD) & UINT64_C(0xffff00000000000f)) | (uint64_t)t.rid << 32);
        hwm_vtd_status_event(h, FSTS_ITE);
        return;
    }
    hwm_tell(h, &t);
    hwm_drop_devtlb(h, t.rid, t.iova, lg2);
}

static void exec_wait(struct hwm *h, const struct hwm_cmd *cmd)
{
    struct hwm_told t = {.kind = HWM_WAIT, .raw = {cmd->w[0], cmd->w[1]}, .iova = cmd->w[1]};

    hwm_tell(h, &t);
    if (cmd->w[0] & 0x20) {
        if (hwm_mem_ok(h, cmd->w[1], 4)) {
            h->mem.write32(h->mem.opaque, cmd->w[1], (uint32_t)(cmd->w[0] >> 32));
        } else {
            hwm_violate(h, "wait descriptor writes to 0x%llx, which is not memory", (ull)cmd->w[1]);
        }
    }
    if (cmd->w[0] & 0x10) {
        h->mmio[R_ICS / 4] |= 1;
        hwm_vtd_event(h, R_IECTL, HWM_MSI_QUEUE);
    }
}

void hwm_vtd_exec(struct hwm *h, const struct hwm_cmd *cmd)
{
    uint64_t w0 = cmd->w[0];
    unsigned gran = (unsigned)(w0 >> 4 & 3);
    struct hwm_told t = {.kind = HWM_IRT, .raw = {w0, cmd->w[1]}};

    switch (w0 & 0xf) {
    case 1:
        hwm_vtd_drop_ctx(h, gran, (uint16_t)(w0 >> 16), (uint16_t)(w0 >> 32),
                         (unsigned)(w0 >> 48 & 3), false, w0);
        return;
    case 2:
        if ((w0 >> 6 & 3) != (h->vtd.cfg.drain ? 3u : 0u)) {
            hwm_violate(h, "IOTLB descriptor 0x%llx: DR and DW must be what CAP offers", (ull)w0);
        }
        hwm_vtd_drop_iotlb(h, gran, (uint16_t)(w0 >> 16), cmd->w[1], false, cmd->w);
        return;
    case 3:
    case 8:
        exec_device_tlb(h, cmd);
        return;
    case 5:
        exec_wait(h, cmd);
        return;
    case 6:
        exec_pasid_iotlb(h, cmd);
        return;
    case 7:
        exec_pasid_cache(h, cmd);
        return;
    default:
        hwm_tell(h, &t);
        return;
    }
}
