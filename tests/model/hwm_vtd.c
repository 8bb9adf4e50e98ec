/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: VT-d registers (hwspec 1): capabilities, GCMD/GSTS, root pointer,
 * register-based invalidation, fault records, protected memory. The queue is in hwm_vtd_queue.c.
 */
#include "hwm_vtd_regs.h"

#include <assert.h>
#include <string.h>

void hwm_vtd_cfg_default(struct hwm_vtd_cfg *cfg)
{
    memset(cfg, 0, sizeof(*cfg));
    cfg->ver = 0x10;
    cfg->did_bits = 16;
    cfg->sagaw = 0x4;
    cfg->mgaw = 48;
    cfg->haw = 46;
    cfg->mamv = 18;
    cfg->nr_frcd = 8;
    cfg->sz_2m = cfg->sz_1g = true;
    cfg->psi = cfg->drain = cfg->zlr = true;
    cfg->coherent = cfg->qi = cfg->pt = cfg->sc = true;
    cfg->iro = 0x50;
    cfg->fro = 0x40;
}

static uint64_t compose_cap(const struct hwm_vtd_cfg *c)
{
    uint64_t cap = 0;

    cap |= (uint64_t)(c->did_bits - 4) / 2;
    cap |= (uint64_t)c->rwbf << 4 | (uint64_t)c->plmr << 5 | (uint64_t)c->phmr << 6 |
           (uint64_t)c->cm << 7;
    cap |= (uint64_t)c->sagaw << 8 | (uint64_t)(c->mgaw - 1) << 16 | (uint64_t)c->zlr << 22;
    cap |= (uint64_t)c->fro << 24 | (uint64_t)c->sz_2m << 34 | (uint64_t)c->sz_1g << 35;
    cap |= (uint64_t)c->psi << 39 | (uint64_t)(c->nr_frcd - 1) << 40 |
           (uint64_t)(c->psi ? c->mamv : 0) << 48;
    cap |= (uint64_t)c->drain << 54 | (uint64_t)c->drain << 55 | (uint64_t)c->fs1gp << 56;
    cap |= (uint64_t)c->fs5lp << 60 | (uint64_t)c->esrtps << 63;
    return cap;
}

static uint64_t compose_ecap(const struct hwm_vtd_cfg *c)
{
    uint64_t e = 0;

    e |= (uint64_t)c->coherent | (uint64_t)c->qi << 1 | (uint64_t)c->dt << 2 | (uint64_t)c->pt << 6;
    e |= (uint64_t)c->sc << 7 | (uint64_t)c->iro << 8;
    if (c->smts) {
        e |= (uint64_t)c->nest << 26 | (uint64_t)c->pss << 35 | UINT64_C(1) << 40 |
             UINT64_C(1) << 43 | (uint64_t)c->ssads << 45;
        e |= (uint64_t)c->ssts << 46 | (uint64_t)c->fsts << 47 | (uint64_t)c->smpwcs << 48 |
             (uint64_t)c->rps << 49;
    }
    return e | (uint64_t)c->adms << 52;
}

void hwm_vtd_override_caps(struct hwm *h, uint64_t cap, uint64_t ecap)
{
    h->vtd.cap_seen = cap;
    h->vtd.ecap_seen = ecap;
}

void hwm_vtd_reset(struct hwm *h)
{
    struct hwm_vtd_cfg cfg = h->vtd.cfg;

    memset(&h->vtd, 0, sizeof(h->vtd));
    h->vtd.cfg = cfg;
    assert(hwm_mmio_size(h) <= HWM_MMIO_MAX);
    h->vtd.cap = h->vtd.cap_seen = compose_cap(&cfg);
    h->vtd.ecap = h->vtd.ecap_seen = compose_ecap(&cfg);
    h->mmio[R_FECTL / 4] = h->mmio[R_IECTL / 4] = CTL_IM;
}

unsigned hwm_vtd_frcd_off(const struct hwm *h)
{
    return h->vtd.cfg.fro * 16;
}

unsigned hwm_vtd_iotlb_off(const struct hwm *h)
{
    return h->vtd.cfg.iro * 16 + 8;
}

unsigned hwm_vtd_did_ok(const struct hwm *h, unsigned did)
{
    return did < 1u << h->vtd.cfg.did_bits;
}

/* ---- events and faults --------------------------------------------------------------------- */

/* ctl_reg: FECTL or IECTL; data, address and upper address follow it. */
void hwm_vtd_event(struct hwm *h, unsigned ctl_reg, enum hwm_msi which)
{
    uint32_t *r = &h->mmio[ctl_reg / 4];

    if (r[0] & CTL_IM) {
        r[0] |= CTL_IP;
        return;
    }
    r[0] &= ~CTL_IP;
    hwm_send_msi(h, which, r[2] | (uint64_t)r[3] << 32, r[1]);
}

static bool frcd_pending(const struct hwm *h, unsigned i)
{
    return h->mmio[(hwm_vtd_frcd_off(h) + 16 * i + 12) / 4] & GO_BIT;
}

static uint32_t fsts_now(const struct hwm *h)
{
    unsigned nr = h->vtd.cfg.nr_frcd, i, j;
    uint32_t v = h->mmio[R_FSTS / 4];

    for (i = 0; i < nr; i++) {
        j = (h->vtd.frcd_next + i) % nr; /* the oldest record comes after the newest */
        if (frcd_pending(h, j)) {
            return v | FSTS_PPF | j << 8;
        }
    }
    return v;
}

void hwm_vtd_status_event(struct hwm *h, uint32_t fsts_bit)
{
    bool quiet = !(fsts_now(h) & (FSTS_W1C | FSTS_PPF));

    h->mmio[R_FSTS / 4] |= fsts_bit & ~FSTS_PPF;
    if (quiet) {
        hwm_vtd_event(h, R_FECTL, HWM_MSI_FAULT);
    }
}

void hwm_vtd_fault(struct hwm *h, const struct hwm_req *req, unsigned reason)
{
    unsigned i = h->vtd.frcd_next;
    uint32_t *d = &h->mmio[(hwm_vtd_frcd_off(h) + 16 * i) / 4];
    bool quiet = !(fsts_now(h) & (FSTS_W1C | FSTS_PPF));

    if (frcd_pending(h, i)) {
        hwm_vtd_status_event(h, FSTS_PFO);
        return;
    }
    d[0] = (uint32_t)req->iova & 0xfffff000u;
    d[1] = (uint32_t)(req->iova >> 32);
    d[2] = req->rid | (req->has_pasid ? 0x80000000u : 0) |
           (req->has_pasid && req->priv ? 0x20000000u : 0);
    d[3] = GO_BIT | (req->write ? 0 : 0x40000000u) | (uint32_t)req->at << 28 | (reason & 0xff);
    d[3] |= req->has_pasid ? (req->pasid & 0xfffff) << 8 : 0;
    h->vtd.frcd_next = (i + 1) % h->vtd.cfg.nr_frcd;
    if (quiet) {
        hwm_vtd_event(h, R_FECTL, HWM_MSI_FAULT);
    }
}

static void fault_conditions_cleared(struct hwm *h)
{
    if (!(fsts_now(h) & (FSTS_W1C | FSTS_PPF))) {
        h->mmio[R_FECTL / 4] &= ~CTL_IP;
    }
}

/* ---- global commands ----------------------------------------------------------------------- */

static void set_root(struct hwm *h)
{
    struct hwm_told t = {.kind = HWM_SET_ROOT, .by_register = true};
    uint64_t root = hwm_reg64(h, R_RTADDR);

    if ((h->mmio[R_GSTS / 4] & G_TE) && vtd_ttm(root) != vtd_ttm(h->vtd.root)) {
        hwm_violate(h, "translation table mode changed while translation is enabled");
    }
    h->vtd.root = root;
    h->vtd.root_ever = true;
    h->mmio[R_GSTS / 4] |= G_SRTP;
    if (h->vtd.cfg.esrtps) {
        hwm_cache_clear(&h->ctx);
        hwm_cache_clear(&h->pasid);
        hwm_drop_all_tlb(h);
        h->vtd.root_needs_cc = h->vtd.root_needs_pc = h->vtd.root_needs_tlb = false;
    } else {
        h->vtd.root_needs_cc = h->vtd.root_needs_tlb = true;
        h->vtd.root_needs_pc = vtd_scalable(h);
    }
    t.iova = root;
    hwm_tell(h, &t);
}

static void set_te(struct hwm *h, bool on)
{
    if (!on) {
        h->mmio[R_GSTS / 4] &= ~G_TE;
        return;
    }
    if (!h->vtd.root_ever) {
        hwm_violate(h, "translation enabled without a root pointer");
    }
    if (h->vtd.root_needs_cc || h->vtd.root_needs_pc || h->vtd.root_needs_tlb) {
        hwm_violate(
            h,
            "translation enabled without global invalidation (context, PASID, IOTLB) after SRTP");
    }
    h->mmio[R_GSTS / 4] |= G_TE;
}

static void do_gcmd(struct hwm *h)
{
    uint32_t changed = h->vtd.gcmd_pending, val = h->vtd.gcmd_value, level;
    struct hwm_told t = {.kind = HWM_WBF, .by_register = true};

    h->vtd.gcmd_pending = 0;
    if (changed & G_SRTP) {
        set_root(h);
    }
    if (changed & G_TE) {
        set_te(h, val & G_TE);
    }
    if (changed & G_QIE) {
        if (val & G_QIE) {
            hwm_vtd_queue_on(h);
        } else {
            hwm_vtd_queue_off(h);
        }
    }
    if (changed & G_WBF) {
        hwm_drain_writes(h);
        hwm_tell(h, &t);
        h->mmio[R_GSTS / 4] &= ~G_WBF;
    }
    if (changed & G_SIRTP) {
        h->mmio[R_GSTS / 4] |= G_SIRTP;
    }
    level = G_IRE | G_CFI;
    h->mmio[R_GSTS / 4] = (h->mmio[R_GSTS / 4] & ~(changed & level)) | (val & changed & level);
}

static void write_gcmd(struct hwm *h, uint32_t val)
{
    uint32_t now = h->mmio[R_GSTS / 4], change = ((val ^ now) & G_LEVEL) | (val & G_ONESHOT);

    if (h->vtd.gcmd_pending) {
        hwm_violate(h, "GCMD 0x%08x written before command 0x%08x completed", val,
                    h->vtd.gcmd_pending);
        return;
    }
    if (change & (change - 1)) {
        hwm_violate(h, "GCMD 0x%08x changes more than one function (GSTS 0x%08x)", val, now);
    }
    if (val & ~(G_LEVEL | G_ONESHOT)) {
        hwm_violate(h, "GCMD 0x%08x sets reserved bits", val);
    }
    if (val & (G_SFL | G_EAFL)) {
        hwm_violate(h, "GCMD 0x%08x asks for the advanced fault log, which the unit does not have",
                    val);
        change &= ~(G_SFL | G_EAFL);
    }
    h->vtd.gcmd_pending = change;
    h->vtd.gcmd_value = val;
    /* status while the one-shots run: RTPS and IRTPS 0, WBFS 1 */
    h->mmio[R_GSTS / 4] &= ~(change & (G_SRTP | G_SIRTP));
    h->mmio[R_GSTS / 4] |= change & G_WBF;
    hwm_kick(h);
}

/* ---- register-based invalidation ----------------------------------------------------------- */

static bool register_path_ok(struct hwm *h, const char *which, bool pending)
{
    if (h->vtd.cfg.ver >> 4 >= 6) {
        hwm_violate(h, "%s used on a unit without register-based invalidation", which);
    } else if (h->mmio[R_GSTS / 4] & G_QIE) {
        hwm_violate(h, "%s used while queued invalidation is enabled", which);
    } else if (pending) {
        hwm_violate(h, "%s written while the previous request is in progress", which);
    } else {
        return true;
    }
    return false;
}

static void do_ccmd(struct hwm *h)
{
    uint64_t v = hwm_reg64(h, R_CCMD);
    unsigned gran = (unsigned)(v >> 61 & 3);

    h->vtd.ccmd_pending = false;
    hwm_watch_run(h);
    if (gran) {
        hwm_vtd_drop_ctx(h, gran, (uint16_t)v, (uint16_t)(v >> 16), (unsigned)(v >> 32 & 3), true,
                         v);
    } else {
        hwm_violate(h, "CCMD 0x%llx: granularity 0", (unsigned long long)v);
    }
    hwm_watch_run(h);
    v &= ~(UINT64_C(1) << 63 | UINT64_C(3) << 59);
    hwm_set64(h, R_CCMD, v | (uint64_t)gran << 59);
}

static void do_iotlb(struct hwm *h)
{
    unsigned off = hwm_vtd_iotlb_off(h), gran;
    uint64_t v = hwm_reg64(h, off), iva = hwm_reg64(h, off - 8), raw[2];

    h->vtd.iotlb_pending = false;
    gran = (unsigned)(v >> 60 & 3);
    raw[0] = v;
    raw[1] = iva;
    if (v & UINT64_C(0x49fc0000ffffffff) || (gran == 3 && iva & 0xf80)) {
        hwm_violate(h, "IOTLB 0x%llx: reserved bits set", (unsigned long long)v);
    }
    if ((v >> 48 & 3) && !h->vtd.cfg.drain) {
        hwm_violate(h, "IOTLB 0x%llx: drain asked from a unit that cannot", (unsigned long long)v);
    }
    hwm_watch_run(h);
    if (gran) {
        hwm_vtd_drop_iotlb(h, gran, (uint16_t)(v >> 32), iva, true, raw);
    } else {
        hwm_violate(h, "IOTLB 0x%llx: granularity 0", (unsigned long long)v);
    }
    hwm_watch_run(h);
    v &= ~(UINT64_C(1) << 63 | UINT64_C(3) << 57);
    hwm_set64(h, off, v | (uint64_t)gran << 57);
}

bool hwm_vtd_exec_register(struct hwm *h)
{
    if (h->vtd.gcmd_pending) {
        do_gcmd(h);
    } else if (h->vtd.ccmd_pending) {
        do_ccmd(h);
    } else if (h->vtd.iotlb_pending) {
        do_iotlb(h);
    } else {
        return false;
    }
    return true;
}

size_t hwm_vtd_register_pending(const struct hwm *h)
{
    return (h->vtd.gcmd_pending != 0) + (size_t)h->vtd.ccmd_pending + (size_t)h->vtd.iotlb_pending;
}

static void start_register_command(struct hwm *h, unsigned off, uint32_t val, const char *name,
                                   bool *pending)
{
    if (*pending && !register_path_ok(h, name, true)) {
        return;
    }
    if (!(val & GO_BIT)) {
        h->mmio[off / 4] = val;
        return;
    }
    if (!register_path_ok(h, name, *pending)) {
        return;
    }
    if (off == R_CCMD + 4 && vtd_scalable(h)) {
        hwm_violate(h, "CCMD used in scalable mode");
        return;
    }
    h->mmio[off / 4] = val;
    *pending = true;
    hwm_kick(h);
}

/* ---- access -------------------------------------------------------------------------------- */

uint64_t hwm_vtd_read(struct hwm *h, unsigned off)
{
    if (off == R_GCMD || off == R_CCMD || off == R_IQH || off == (R_FSTS & ~7u) ||
        off == hwm_vtd_iotlb_off(h)) {
        hwm_poll(h);
    }
    switch (off) {
    case R_VER:
        return h->vtd.cfg.ver;
    case R_CAP:
        return h->vtd.cap_seen;
    case R_ECAP:
        return h->vtd.ecap_seen;
    case R_GCMD: /* GCMD reads as zero */
        return (uint64_t)h->mmio[R_GSTS / 4] << 32;
    case R_FSTS & ~7u:
        return (uint64_t)fsts_now(h) << 32;
    default:
        return hwm_reg64(h, off);
    }
}

bool hwm_vtd_writable(struct hwm *h, unsigned off, unsigned size)
{
    unsigned iva = h->vtd.cfg.iro * 16, frcd = hwm_vtd_frcd_off(h);
    bool r64 = off == R_RTADDR || off == R_CCMD || off == R_AFLOG || off == R_PHMBASE ||
               off == R_PHMLIMIT || off == R_IQT || off == R_IQA || off == R_IRTA;
    bool half = (off & 4) && size == 4;
    bool r32 = off == R_GCMD || (off >= R_FSTS && off <= R_FEUADDR) ||
               (off >= R_PMEN && off <= R_PLMLIMIT) || (off >= R_ICS && off <= R_IEUADDR);

    if ((off >= iva && off < iva + 16) || (off >= frcd && off < frcd + 16 * h->vtd.cfg.nr_frcd)) {
        return true;
    }
    if (half) {
        unsigned low = off - 4;

        r64 = r64 || low == R_RTADDR || low == R_CCMD || low == R_AFLOG || low == R_PHMBASE ||
              low == R_PHMLIMIT || low == R_IQT || low == R_IQA || low == R_IRTA;
    }
    if (r64 || (r32 && size == 4)) {
        return true;
    }
    hwm_violate(h, "write of %u bytes to register 0x%x", size, off);
    return false;
}

static void write_control(struct hwm *h, unsigned off, uint32_t val, enum hwm_msi which)
{
    bool was_pending = h->mmio[off / 4] & CTL_IP;

    h->mmio[off / 4] = (val & CTL_IM) | (was_pending ? CTL_IP : 0);
    if (was_pending && !(val & CTL_IM)) {
        hwm_vtd_event(h, off, which);
    }
}

static void write_frcd(struct hwm *h, unsigned off, uint32_t val)
{
    if ((off & 15) == 12) {
        if (val & GO_BIT) {
            h->mmio[off / 4] &= ~GO_BIT;
            fault_conditions_cleared(h);
        }
    } else if (val) {
        hwm_violate(h, "write to the read-only part of a fault record (0x%x)", off);
    }
}

static void write_queue_register(struct hwm *h, unsigned off, uint32_t val)
{
    bool on = h->mmio[R_GSTS / 4] & G_QIE;

    if (off == R_IQA || off == R_IQA + 4) {
        if (on) {
            hwm_violate(h, "IQA written while the queue is enabled");
            return;
        }
        h->mmio[off / 4] = val;
        h->mmio[R_IQH / 4] = 0; /* a new queue starts at its beginning */
        return;
    }
    if (off == R_IQT + 4 ? val != 0 : (val & ~0x7fff0u) != 0) {
        hwm_violate(h, "IQT written with reserved bits 0x%x", val);
    }
    if (!on && val) {
        hwm_violate(h, "IQT written while the queue is disabled");
    }
    h->mmio[off / 4] = val;
    if (off == R_IQT) {
        hwm_kick(h);
    }
}

void hwm_vtd_write(struct hwm *h, unsigned off, uint32_t val)
{
    unsigned frcd = hwm_vtd_frcd_off(h);

    if (off >= frcd && off < frcd + 16 * h->vtd.cfg.nr_frcd) {
        write_frcd(h, off, val);
    } else if (off == R_GCMD) {
        write_gcmd(h, val);
    } else if (off == R_CCMD + 4) {
        start_register_command(h, off, val, "CCMD", &h->vtd.ccmd_pending);
    } else if (off == hwm_vtd_iotlb_off(h) + 4) {
        start_register_command(h, off, val, "IOTLB", &h->vtd.iotlb_pending);
    } else if (off == R_FSTS) {
        h->mmio[off / 4] &= ~(val & FSTS_W1C);
        fault_conditions_cleared(h);
        hwm_kick(h); /* IQE or ITE cleared: the queue goes on */
    } else if (off == R_FECTL) {
        write_control(h, off, val, HWM_MSI_FAULT);
    } else if (off == R_IECTL) {
        write_control(h, off, val, HWM_MSI_QUEUE);
    } else if (off == R_ICS) {
        h->mmio[off / 4] &= ~(val & 1);
        h->mmio[R_IECTL / 4] &= h->mmio[R_ICS / 4] ? ~0u : ~CTL_IP;
    } else if (off >= R_IQT && off < R_IQA + 8) {
        write_queue_register(h, off, val);
    } else if (off == R_PMEN) {
        h->mmio[off / 4] = val & GO_BIT ? GO_BIT | 1 : 0;
    } else {
        h->mmio[off / 4] = val;
    }
}
