/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: AMD-Vi registers, command ring and event log (hwspec 6.2 to 6.6, 7). Unlike
 * some emulators it writes the event log for real and stops at an illegal command.
 */
#include "hwm_amd_regs.h"

#include <string.h>

typedef unsigned long long ull;

void hwm_amd_cfg_default(struct hwm_amd_cfg *cfg)
{
    memset(cfg, 0, sizeof(*cfg));
    cfg->levels = 6;
    cfg->pa_bits = 52;
    cfg->ia_sup = true;
    cfg->guest_levels = 4;
    cfg->pas_max = 15;
}

static uint64_t compose_efr(const struct hwm_amd_cfg *c)
{
    uint64_t e = 0;

    e |= (uint64_t)c->pref_sup | (uint64_t)c->ppr_sup << 1 | (uint64_t)c->xt_sup << 2 |
         (uint64_t)c->nx_sup << 3;
    e |= (uint64_t)c->gt_sup << 4 | (uint64_t)c->ia_sup << 6 | (uint64_t)(c->levels - 4) << 10;
    e |= (uint64_t)(c->guest_levels - 4) << 12 | (uint64_t)c->glx_sup << 14 |
         (uint64_t)c->pas_max << 32;
    e |= (uint64_t)c->seg_sup << 38 | (uint64_t)c->gio_sup << 48 | (uint64_t)c->ha_sup << 49;
    return e | (uint64_t)c->hd_sup << 52;
}

void hwm_amd_reset(struct hwm *h)
{
    struct hwm_amd_cfg cfg = h->iommu.cfg;

    memset(&h->iommu, 0, sizeof(h->iommu));
    h->iommu.cfg = cfg;
    h->mmio[A_CONTROL / 4] = C_COHERENT;
    hwm_set64(h, A_CMDBASE, UINT64_C(8) << 56);
    hwm_set64(h, A_EVTBASE, UINT64_C(8) << 56);
    hwm_set64(h, A_PPRBASE, UINT64_C(8) << 56);
    hwm_set64(h, A_EFR, compose_efr(&cfg));
    hwm_set64(h, A_EFR2, (cfg.ht_ignore ? 0x800 : 0) | (cfg.gcr3_trp ? 0x8 : 0));
}

uint32_t hwm_amd_pci_cap(const struct hwm *h, unsigned off)
{
    const struct hwm_amd_cfg *c = &h->iommu.cfg;

    switch (off) {
    case 0: /* id, type 3, revision 1, IotlbSup, NpCache, EFRSup, CapExt */
        return 0x0fu | 3u << 16 | 1u << 19 | (uint32_t)c->iotlb_sup << 24 |
               (uint32_t)c->np_cache << 26 | 3u << 27;
    case 0x10: /* PAsize, VAsize */
        return (uint32_t)c->pa_bits << 8 | 64u << 15;
    default:
        return 0;
    }
}

bool hwm_walks_snoop(const struct hwm *h)
{
    return h->amd ? (amd_control(h) & C_COHERENT) != 0 : h->vtd.cfg.coherent;
}

/* ---- rings --------------------------------------------------------------------------------- */

static bool command_runs(const struct hwm *h)
{
    return (amd_control(h) & C_IOMMUEN) && (amd_control(h) & C_CMDBUFEN) && !h->iommu.cmd_error;
}

static bool event_runs(const struct hwm *h)
{
    return (amd_control(h) & C_IOMMUEN) && (amd_control(h) & C_EVENTLOGEN) &&
           !h->iommu.event_stopped;
}

static uint64_t ring_bytes(const struct hwm *h, unsigned base_reg)
{
    return UINT64_C(16) << (hwm_reg64(h, base_reg) >> 56 & 0xf);
}

static uint64_t ring_pa(const struct hwm *h, unsigned base_reg)
{
    return hwm_reg64(h, base_reg) & UINT64_C(0x000ffffffffff000);
}

static void check_ring(struct hwm *h, unsigned base_reg, const char *name)
{
    uint64_t v = hwm_reg64(h, base_reg);

    if ((v >> 56 & 0xf) < 8 || v & UINT64_C(0xf0f0000000000fff)) {
        hwm_violate(h, "%s base 0x%llx: length code or reserved bits", name, (ull)v);
    }
}

void hwm_amd_poll(struct hwm *h)
{
    if (h->iommu.late_polls && --h->iommu.late_polls == 0) {
        h->mem.write64(h->mem.opaque, h->iommu.late_pa + 8, h->iommu.late[1]);
        h->mem.write64(h->mem.opaque, h->iommu.late_pa, h->iommu.late[0]);
    }
}

static void raise_event_interrupt(struct hwm *h, uint32_t status_bit)
{
    bool quiet = !(h->mmio[A_STATUS / 4] & (S_EVENTLOGINT | S_EVENTOVERFLOW));

    h->mmio[A_STATUS / 4] |= status_bit;
    if (quiet && (amd_control(h) & C_EVENTINTEN)) {
        hwm_send_msi(h, HWM_MSI_EVENT, 0, 0);
    }
}

bool hwm_amd_event(struct hwm *h, uint64_t w0, uint64_t w1)
{
    uint64_t tail = hwm_reg64(h, A_EVTTAIL), next, pa;

    if (!event_runs(h)) {
        return false;
    }
    next = (tail + 16) & (ring_bytes(h, A_EVTBASE) - 1);
    if (next == hwm_reg64(h, A_EVTHEAD)) {
        h->iommu.event_stopped = true;
        raise_event_interrupt(h, S_EVENTOVERFLOW);
        return false;
    }
    pa = ring_pa(h, A_EVTBASE) + tail;
    if (!hwm_mem_ok(h, pa, 16)) {
        hwm_violate(h, "event log at 0x%llx is not in memory", (ull)pa);
        return false;
    }
    if (h->iommu.late_polls) {
        h->iommu.late_polls = 1;
        hwm_amd_poll(h);
    }
    if (h->iommu.cfg.err_732) {
        h->iommu.late_pa = pa;
        h->iommu.late[0] = w0;
        h->iommu.late[1] = w1;
        h->iommu.late_polls = 4;
    } else {
        h->mem.write64(h->mem.opaque, pa + 8, w1);
        h->mem.write64(h->mem.opaque, pa, w0);
    }
    hwm_set64(h, A_EVTTAIL, next);
    raise_event_interrupt(h, S_EVENTLOGINT);
    return true;
}

/* ---- commands ------------------------------------------------------------------------------ */

struct shape {
    uint64_t w0, w1; /* bits that may be set */
};

static const struct shape shapes[9] = {
    [1] = {UINT64_C(0xf00fffffffffffff), ~UINT64_C(0)},
    [2] = {UINT64_C(0xf00000000000ffff), 0},
    [3] = {UINT64_C(0xf000ffff000fffff), UINT64_C(0xfffffffffffff007)},
    [4] = {~UINT64_C(0), UINT64_C(0xfffffffffffff005)},
    [5] = {UINT64_C(0xf00000000000ffff), 0},
    [6] = {UINT64_C(0xf00fffffff00ffff), UINT64_C(0xfffffffffffff015)},
    [7] = {UINT64_C(0xf00fffff0000ffff), UINT64_C(0x0000ffff00000004)},
    [8] = {UINT64_C(0xf000000000000000), 0},
};

/* NULL: legal */
static const char *check_command(const struct hwm *h, const struct hwm_cmd *cmd)
{
    const struct hwm_amd_cfg *c = &h->iommu.cfg;
    unsigned op = (unsigned)(cmd->w[0] >> 60);
    bool gn = cmd->w[1] & 4;

    if (op == 0 || op > 8) {
        return "unknown command";
    }
    if (cmd->w[0] & ~shapes[op].w0 || cmd->w[1] & ~shapes[op].w1) {
        return "reserved bits set";
    }
    if ((op == 4 && !c->iotlb_sup) || (op == 6 && !c->pref_sup) || (op == 7 && !c->ppr_sup) ||
        (op == 8 && !c->ia_sup) || ((op == 3 || op == 4) && gn && !c->gt_sup)) {
        return "command of a feature that the unit does not have";
    }
    return NULL;
}

static void stop_at(struct hwm *h, unsigned event, uint64_t pa)
{
    h->iommu.cmd_error = true;
    hwm_amd_event(
        h, (uint64_t)event << 60 | (event == E_CMD_HW ? (uint64_t)F_TYPE_TARGET_ABORT << 48 : 0),
        pa);
}

void hwm_amd_fetch(struct hwm *h)
{
    uint64_t head, size = ring_bytes(h, A_CMDBASE);
    struct hwm_cmd cmd;
    const char *why;

    memset(&cmd, 0, sizeof(cmd));
    while (command_runs(h)) {
        head = hwm_reg64(h, A_CMDHEAD);
        if (head == hwm_reg64(h, A_CMDTAIL)) {
            return;
        }
        cmd.pa = ring_pa(h, A_CMDBASE) + head;
        if (hwm_inject_now(h, HWM_INJECT_CMD_HW) || !hwm_mem_ok(h, cmd.pa, 16)) {
            stop_at(h, E_CMD_HW, cmd.pa);
            return;
        }
        cmd.w[0] = h->mem.read64(h->mem.opaque, cmd.pa);
        cmd.w[1] = h->mem.read64(h->mem.opaque, cmd.pa + 8);
        if (hwm_inject_now(h, HWM_INJECT_ILLEGAL)) {
            stop_at(h, E_ILLEGAL_CMD, cmd.pa);
            return;
        }
        why = check_command(h, &cmd);
        if (why) {
            hwm_violate(h, "command %llx %llx: %s", (ull)cmd.w[0], (ull)cmd.w[1], why);
            stop_at(h, E_ILLEGAL_CMD, cmd.pa);
            return;
        }
        hwm_fifo_push(h, &cmd);
        hwm_set64(h, A_CMDHEAD, (head + 16) & (size - 1));
    }
}

/* Size of an address word; 64 = everything, 0 = the undefined one. */
static unsigned word_lg2(struct hwm *h, uint64_t word, const char *what)
{
    unsigned lg2;

    if (!(word & 1)) {
        return 12;
    }
    lg2 = hwm_size_code_lg2(word);
    if (lg2 > 64) {
        hwm_violate(h, "%s with the undefined address 0x%llx", what, (ull)word);
        return 0;
    }
    return lg2 > 51 ? 64 : lg2;
}

/* The nested GCR3 entries that a DTE led to. */
static bool gcr3_of_device(void *ctx, const struct hwm_ce *ce)
{
    return (ce->tag & NEST_BIT) && ce->v[1] == *(const uint16_t *)ctx;
}

static bool gcr3_pick(void *ctx, const struct hwm_ce *ce)
{
    return (ce->tag & ~NEST_BIT) == *(const uint64_t *)ctx;
}

static void exec_pages(struct hwm *h, const struct hwm_cmd *cmd)
{
    struct hwm_told t = {
        .raw = {cmd->w[0], cmd->w[1]}, .leaf_only = !(cmd->w[1] & 2), .has_pasid = cmd->w[1] & 4};
    unsigned lg2 = word_lg2(h, cmd->w[1], "INVALIDATE_IOMMU_PAGES");
    struct hwm_fmt fmt = t.has_pasid ? hwm_amd_v2_fmt(h) : hwm_amd_v1_fmt(h);
    uint64_t tag;

    t.did = (uint16_t)(cmd->w[0] >> 32);
    t.pasid = t.has_pasid ? (uint32_t)(cmd->w[0] & 0xfffff) : 0;
    if (!lg2) {
        return;
    }
    t.lg2 = (uint8_t)lg2;
    t.iova = cmd->w[1] & ~UINT64_C(0xfff) & ~hwm_low_mask(lg2);
    if (t.has_pasid) {
        t.kind = lg2 == 64 ? HWM_PTLB_PASID : HWM_PTLB_PAGE;
    } else {
        t.kind = lg2 == 64 ? HWM_TLB_DOMAIN : HWM_TLB_PAGE;
    }
    hwm_tell(h, &t);
    tag = HWM_TAG(t.did, t.pasid, t.has_pasid);
    hwm_drop_pages(h, tag, &fmt, t.iova, lg2, t.leaf_only);
    if (t.has_pasid) {
        hwm_drop_pages(h, tag | NEST_BIT, &fmt, t.iova, lg2, t.leaf_only);
    }
    if (t.kind == HWM_PTLB_PASID && !t.leaf_only) {
        hwm_cache_drop_if(&h->pasid, gcr3_pick, &tag);
    }
    /* Nested ones know nothing of guest-physical addresses: no range without GN reaches them. */
    if (t.kind == HWM_TLB_DOMAIN && !t.leaf_only) {
        hwm_amd_nest_drop(h, t.did);
    }
}

static void exec_device_tlb(struct hwm *h, const struct hwm_cmd *cmd)
{
    struct hwm_told t = {
        .kind = HWM_DEVTLB, .rid = (uint16_t)cmd->w[0], .raw = {cmd->w[0], cmd->w[1]}};
    unsigned lg2 = word_lg2(h, cmd->w[1], "INVALIDATE_IOTLB_PAGES");

    t.has_pasid = cmd->w[1] & 4;
    t.pasid = t.has_pasid ? (uint32_t)((cmd->w[0] >> 56 & 0xf) << 16 |
                                       (cmd->w[0] >> 16 & 0xff) << 8 | (cmd->w[0] >> 48 & 0xff))
                          : 0;
    if (!lg2) {
        return;
    }
    t.lg2 = (uint8_t)lg2;
    t.iova = cmd->w[1] & ~UINT64_C(0xfff) & ~hwm_low_mask(lg2);
    if (hwm_inject_now(h, HWM_INJECT_IOTLB_TIMEOUT)) {
        hwm_amd_event(h, (uint64_t)E_IOTLB_TIMEOUT << 60 | t.rid, cmd->pa);
        return;
    }
    hwm_tell(h, &t);
    hwm_drop_devtlb(h, t.rid, t.iova, lg2);
}

static void exec_wait(struct hwm *h, const struct hwm_cmd *cmd)
{
    struct hwm_told t = {.kind = HWM_WAIT, .raw = {cmd->w[0], cmd->w[1]}};
    uint64_t pa = cmd->w[0] & UINT64_C(0x000ffffffffffff8);

    t.iova = pa;
    hwm_tell(h, &t);
    if ((cmd->w[0] & 3) == 3) {
        hwm_violate(h, "COMPLETION_WAIT asks for store and interrupt: units may do only one");
    }
    if (cmd->w[0] & 1) {
        if (hwm_mem_ok(h, pa, 8)) {
            h->mem.write64(h->mem.opaque, pa, cmd->w[1]);
        } else {
            hwm_violate(h, "COMPLETION_WAIT stores to 0x%llx, which is not memory", (ull)pa);
        }
    }
    if (cmd->w[0] & 2) {
        h->mmio[A_STATUS / 4] |= S_COMWAITINT;
        if (amd_control(h) & C_COMWAITINTEN) {
            hwm_send_msi(h, HWM_MSI_WAIT, 0, 0);
        }
    }
}

void hwm_amd_exec(struct hwm *h, const struct hwm_cmd *cmd)
{
    struct hwm_told t = {.rid = (uint16_t)cmd->w[0], .raw = {cmd->w[0], cmd->w[1]}};
    struct hwm_ce *ce;

    switch (cmd->w[0] >> 60) {
    case 1:
        exec_wait(h, cmd);
        return;
    case 2:
        t.kind = HWM_CTX_DEVICE;
        ce = hwm_cache_find(&h->ctx, t.rid, 0, 0);
        if (ce) {
            hwm_cache_del(&h->ctx, ce);
        }
        hwm_cache_drop_if(&h->pasid, gcr3_of_device, &t.rid);
        break;
    case 3:
        exec_pages(h, cmd);
        return;
    case 4:
        exec_device_tlb(h, cmd);
        return;
    case 5:
        t.kind = HWM_IRT;
        break;
    case 8:
        t.kind = HWM_ALL;
        t.rid = 0;
        t.lg2 = 64;
        hwm_cache_clear(&h->ctx);
        hwm_cache_clear(&h->pasid);
        hwm_drop_all_tlb(h);
        break;
    default:
        t.kind = HWM_OTHER;
        break;
    }
    hwm_tell(h, &t);
}

/* ---- registers ----------------------------------------------------------------------------- */

uint64_t hwm_amd_read(struct hwm *h, unsigned off)
{
    if (off == A_CMDHEAD || off == A_STATUS || off == A_EVTTAIL) {
        hwm_poll(h);
    }
    if (off == A_STATUS) {
        return h->mmio[A_STATUS / 4] | (event_runs(h) ? S_EVENTLOGRUN : 0) |
               (command_runs(h) ? S_CMDBUFRUN : 0);
    }
    return hwm_reg64(h, off);
}

static void control_low(struct hwm *h, uint32_t val)
{
    uint32_t old = amd_control(h), off = old & ~val, on = val & ~old;

    if ((off & (C_CMDBUFEN | C_IOMMUEN)) && command_runs(h) &&
        (h->fifo_nr || hwm_reg64(h, A_CMDHEAD) != hwm_reg64(h, A_CMDTAIL))) {
        hwm_violate(h, "command ring stopped while commands are pending");
    }
    if (off & (C_CMDBUFEN | C_IOMMUEN)) {
        hwm_fifo_clear(h);
    }
    h->mmio[A_CONTROL / 4] = val;
    if (on & C_CMDBUFEN) {
        h->iommu.cmd_error = false;
        check_ring(h, A_CMDBASE, "command ring");
    }
    if (on & C_EVENTLOGEN) {
        if (h->mmio[A_STATUS / 4] & S_EVENTOVERFLOW) {
            hwm_violate(h, "event log enabled while EventOverflow is set");
        } else {
            h->iommu.event_stopped = false;
        }
        check_ring(h, A_EVTBASE, "event log");
    }
    if ((on & C_GTEN) && !h->iommu.cfg.gt_sup) {
        hwm_violate(h, "GTEn set on a unit without guest translation");
    }
    if ((on & C_IOMMUEN) && hwm_reg64(h, A_DEVTAB) & UINT64_C(0xfff0000000000e00)) {
        hwm_violate(h, "device table base 0x%llx: reserved bits set", (ull)hwm_reg64(h, A_DEVTAB));
    }
    hwm_kick(h);
}

static void control_high(struct hwm *h, uint32_t val)
{
    if ((val >> 2 & 7) > h->iommu.cfg.seg_sup) {
        hwm_violate(h, "DevTblSegEn %u above what EFR offers: write ignored", val >> 2 & 7);
        return;
    }
    if ((val & C_HI_GCR3TRP) && !h->iommu.cfg.gcr3_trp) {
        hwm_violate(h, "GCR3TRPMode set on a unit that does not have it: bit ignored");
        val &= ~C_HI_GCR3TRP;
    }
    h->mmio[A_CONTROL / 4 + 1] = val;
}

static void write_base(struct hwm *h, unsigned off, uint32_t val, unsigned head, bool runs,
                       const char *name)
{
    if (runs) {
        hwm_violate(h, "%s base written while the ring runs", name);
        return;
    }
    h->mmio[off / 4] = val;
    hwm_set64(h, head, 0);
    hwm_set64(h, head + 8, 0);
}

static void write_pointer(struct hwm *h, unsigned off, uint32_t val, unsigned base_reg)
{
    if (off & 4 ? val != 0 : (val & ~0x7fff0u) != 0 || val >= ring_bytes(h, base_reg)) {
        hwm_violate(h, "ring pointer 0x%x = 0x%x: reserved bits or beyond the ring", off, val);
        return;
    }
    if ((off & ~4u) == A_CMDHEAD && command_runs(h)) {
        hwm_violate(h, "CmdBufHead written while the ring runs");
        return;
    }
    if ((off & ~4u) == A_EVTTAIL && event_runs(h)) {
        hwm_violate(h, "EvtLogTail written while the log runs");
        return;
    }
    h->mmio[off / 4] = val;
    if (off == A_CMDTAIL) {
        hwm_kick(h);
    }
}

void hwm_amd_write(struct hwm *h, unsigned off, uint32_t val)
{
    unsigned reg = off & ~7u;

    if (off == A_CONTROL) {
        control_low(h, val);
    } else if (off == A_CONTROL + 4) {
        control_high(h, val);
    } else if (reg == A_CMDBASE) {
        write_base(h, off, val, A_CMDHEAD, command_runs(h), "command ring");
    } else if (reg == A_EVTBASE) {
        write_base(h, off, val, A_EVTHEAD, event_runs(h), "event log");
    } else if (reg == A_CMDHEAD || reg == A_CMDTAIL) {
        write_pointer(h, off, val, A_CMDBASE);
    } else if (reg == A_EVTHEAD || reg == A_EVTTAIL) {
        write_pointer(h, off, val, A_EVTBASE);
    } else if (reg == A_STATUS) {
        h->mmio[off / 4] &= off == A_STATUS ? ~(val & S_W1C) : ~0u;
    } else if (reg == A_DEVTAB || (reg >= A_SEGMENTS && reg < A_SEGMENTS + 7 * 8)) {
        if (amd_control(h) & C_IOMMUEN) {
            hwm_violate(h, "device table base 0x%x written while the unit is enabled", off);
        }
        h->mmio[off / 4] = val;
    } else if (reg == A_EFR || reg == A_EFR2) {
        hwm_violate(h, "write to the read-only register 0x%x", off);
    } else {
        h->mmio[off / 4] = val;
    }
}
