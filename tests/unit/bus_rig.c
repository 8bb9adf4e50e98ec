/* SPDX-License-Identifier: MIT */
/* See bus_rig.h. */
#include "bus_rig.h"

#include <string.h>

static void guest_up(struct bus_rig *r, unsigned g)
{
    const struct pvi_posix_range ranges[] = {
        {.gfn = G_PV, .nr = 0x100, .pa = G_PA(g, G_PV), .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW},
        {.gfn = G_RO, .nr = 0x100, .pa = G_PA(g, G_RO), .kind = PVI_POSIX_RAM_HVM, .prot = PVI_READ},
        {.gfn = G_XEN, .nr = 0x100, .pa = G_PA(g, G_XEN), .kind = PVI_POSIX_RAM_HVM, .prot = 0},
    };
    struct pvi_hdom *d = pvi_posix_hdom_new(r->f.host, (uint16_t)(BUS_GUEST_DOMID + g));

    CHECK(d);
    r->guest[g] = d;
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(pvi_posix_hdom_range(d, &ranges[i]), 0);
    }
    for (uint64_t i = 0; i < 64; i++) { /* frames that can go one by one */
        struct pvi_posix_range one = {.gfn = G_HVM + i, .nr = 1, .pa = G_PA(g, G_HVM + i), .prot = PVI_RW};

        one.kind = PVI_POSIX_RAM_HVM;
        CHECK_EQ(pvi_posix_hdom_range(d, &one), 0);
    }
    {
        struct pvi_posix_range rest = {.gfn = G_HVM + 64, .nr = G_HVM_NR - 64, .pa = G_PA(g, G_HVM + 64), .prot = PVI_RW};

        rest.kind = PVI_POSIX_RAM_HVM;
        CHECK_EQ(pvi_posix_hdom_range(d, &rest), 0);
    }
    CHECK_EQ(pvi_posix_hdom_permit(r->f.hdom, (uint16_t)(BUS_GUEST_DOMID + g)), 0);
}

void bus_up(struct bus_rig *r, const struct fx_cfg *cfg, const struct bus_opt *opt)
{
    struct pvi_domain_cfg dc;
    struct fx_cfg fc = *cfg;

    memset(r, 0, sizeof(*r));
    fc.devices = opt->no_iommu ? 0 : 2;
    fx_machine(&r->f, &fc);
    CHECK_EQ(pvi_revmap_init(&r->map, r->f.host, 8, 0x9e3779b97f4a7c15ull), 0);
    for (unsigned g = 0; g < BUS_GUESTS; g++) {
        guest_up(r, g);
    }
    CHECK_EQ(pvi_posix_hdom_permit(r->f.hdom, BUS_NO_DOMID), 0);
    pvi_posix_hdom_mem(r->f.hdom, r->mem, BUS_ADDR, sizeof(r->mem));
    dc = fx_domain_cfg(&r->f);
    dc.revmap = opt->no_revmap ? NULL : &r->map;
    dc.bus_pages = opt->no_bus_pages ? 0 : opt->pages ? opt->pages : 600;
    dc.bus_entries = opt->entries ? opt->entries : 20000;
    dc.bus_all_frames = opt->all_frames;
    if (opt->synced) {
        dc.default_pages = 64;
        dc.passthrough = (struct pvi_passthrough_cfg){.mode = PVI_PASSTHROUGH_SYNC_PT, .pv = true, .reserve = 8};
    }
    if (opt->no_iommu) {
        dc.system = NULL;
        CHECK_EQ(pvi_domain_init(&r->f.dom, r->f.host, &dc), 0);
    } else {
        r->f.cfg.devices = 0;
        fx_domain(&r->f, &dc);
        for (unsigned i = 0; i < 2; i++) {
            struct pvi_device *dev = fx_device(&r->f, i, i % r->f.nr_units);

            if (opt->region && i == 0) {
                dev->nr_regions = 1;
                dev->region[0] = (struct pvi_region){0x7000000, 0x7003fff, PVI_RW};
            }
            CHECK_EQ(fx_add(&r->f, i), 0);
        }
    }
    r->call.caller = &r->f.dom;
}

static void domain_down(struct bus_rig *r, bool lost)
{
    fx_domain_end(&r->f, lost);
    pvi_revmap_fini(&r->map);
}

void bus_down(struct bus_rig *r)
{
    domain_down(r, false);
    fx_end(&r->f, false);
}

void bus_lost(struct bus_rig *r)
{
    domain_down(r, true);
    CHECK_EQ(pvi_posix_mem_used(r->f.host), 0);
    fx_drop(&r->f);
}

static void (*each_fn)(struct bus_rig *r, const struct fx_cfg *cfg);

static void each_one(struct fx *f, const struct fx_cfg *cfg)
{
    static struct bus_rig rig;

    (void)f;
    if (cfg->kind != FX_NULL) {
        each_fn(&rig, cfg);
    }
}

void bus_each(void (*fn)(struct bus_rig *r, const struct fx_cfg *cfg))
{
    each_fn = fn;
    fx_each(each_one);
}

/* --- elements ------------------------------------------------------------------------------------------ */

static void put(unsigned char *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        p[i] = (unsigned char)(value >> (8 * i));
    }
}

static uint64_t take(const unsigned char *p, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
    return value;
}

void bus_begin(struct bus_rig *r)
{
    memset(r->mem, 0, sizeof(r->mem));
    r->nr = 0;
}

unsigned bus_raw(struct bus_rig *r, unsigned subop, unsigned flags, uint64_t q8, uint64_t q16, uint64_t q24)
{
    unsigned char *p = &r->mem[r->nr * 32];

    CHECK(r->nr < BUS_MAX);
    put(p, subop, 2);
    put(p + 2, flags, 2);
    put(p + 4, 0x5a5a5a5a, 4); /* out: what comes in does not matter */
    put(p + 8, q8, 8);
    put(p + 16, q16, 8);
    put(p + 24, q24, 8);
    return r->nr++;
}

unsigned bus_caps(struct bus_rig *r)
{
    return bus_raw(r, 1, 0, 0, 0, 0);
}

unsigned bus_map(struct bus_rig *r, uint64_t bfn, uint64_t gfn, unsigned flags)
{
    return bus_raw(r, 2, flags, bfn, gfn, 0);
}

unsigned bus_unmap(struct bus_rig *r, uint64_t bfn, unsigned flags)
{
    return bus_raw(r, 3, flags, bfn, 0, 0);
}

unsigned bus_foreign(struct bus_rig *r, uint64_t bfn, uint64_t gfn, unsigned domid, unsigned ioserver, unsigned flags)
{
    return bus_raw(r, 4, flags, bfn, gfn, (uint64_t)ioserver << 16 | domid);
}

unsigned bus_lookup(struct bus_rig *r, uint64_t gfn, unsigned domid, unsigned ioserver)
{
    return bus_raw(r, 5, 0, 0xdead, gfn, (uint64_t)ioserver << 16 | domid);
}

unsigned bus_unforeign(struct bus_rig *r, uint64_t bfn, unsigned ioserver)
{
    return bus_raw(r, 6, 0, bfn, ioserver, 0);
}

int bus_call(struct bus_rig *r)
{
    uint64_t arg = BUS_ADDR;
    uint32_t count = r->nr;
    int rc;

    r->restarts = 0;
    for (;;) {
        rc = pvi_xen_bus_call(&r->call, r->shipped ? PVI_XEN_BUS_SHIPPED : PVI_XEN_BUS_DRAFT_B, &arg, &count);
        pvi_posix_checkpoint(r->f.host);
        if (rc != -PVI_XEN_ERESTART) {
            break;
        }
        memset(&r->call.op, 0x5a, sizeof(r->call.op)); /* nothing is carried over */
        CHECK(++r->restarts < 10000000);
    }
    if (rc == 0) {
        CHECK_EQ(count, 0);
        CHECK_EQ(arg, BUS_ADDR + 32ull * r->nr);
    }
    return rc;
}

int32_t bus_status(const struct bus_rig *r, unsigned i)
{
    return (int32_t)(uint32_t)take(&r->mem[i * 32 + 4], 4);
}

unsigned bus_flags(const struct bus_rig *r, unsigned i)
{
    return (unsigned)take(&r->mem[i * 32 + 2], 2);
}

uint64_t bus_q8(const struct bus_rig *r, unsigned i)
{
    return take(&r->mem[i * 32 + 8], 8);
}

int32_t bus_do(struct bus_rig *r)
{
    CHECK_EQ(bus_call(r), 0);
    return bus_status(r, r->nr - 1);
}

int32_t bus_foreign1(struct bus_rig *r, uint64_t bfn, uint64_t gfn, unsigned domid, unsigned ioserver, unsigned flags)
{
    bus_begin(r);
    bus_foreign(r, bfn, gfn, domid, ioserver, flags);
    return bus_do(r);
}

int32_t bus_lookup1(struct bus_rig *r, uint64_t gfn, unsigned domid, unsigned ioserver, uint64_t *bfn)
{
    bus_begin(r);
    bus_lookup(r, gfn, domid, ioserver);
    (void)bus_do(r);
    *bfn = bus_q8(r, 0);
    return bus_status(r, 0);
}

int32_t bus_unforeign1(struct bus_rig *r, uint64_t bfn, unsigned ioserver)
{
    bus_begin(r);
    bus_unforeign(r, bfn, ioserver);
    return bus_do(r);
}

/* --- devices ------------------------------------------------------------------------------------------- */

static struct hwm *model_of(struct bus_rig *r, unsigned dev)
{
    for (unsigned u = 0; u < r->f.nr_units; u++) {
        if (r->f.unit[u].unit == r->f.dev[dev].unit) {
            return r->f.unit[u].model;
        }
    }
    return NULL;
}

bool bus_reach(struct bus_rig *r, unsigned dev, uint64_t bfn, bool write, uint64_t *pa)
{
    return hwm_dma(model_of(r, dev), r->f.dev[dev].rid[0], bfn << 12, write, pa, NULL) == HWM_OK;
}

void bus_expect(struct bus_rig *r, uint64_t bfn, uint64_t pa, unsigned prot)
{
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned write = 0; write < 2; write++) {
            uint64_t at = 0;
            bool ok = bus_reach(r, i, bfn, write != 0, &at), want = pa != UINT64_MAX && (prot >> write & 1) != 0;

            if (ok != want || (ok && at != pa)) {
                check_step("device %u, frame 0x%llx, %s: %s 0x%llx, wanted %s 0x%llx", i, (unsigned long long)bfn,
                           write ? "write" : "read", ok ? "reaches" : "faults", (unsigned long long)at,
                           want ? "" : "a fault, not", (unsigned long long)pa);
                CHECK(!"the device reaches what it should");
            }
        }
    }
    (void)fx_faults(&r->f);
}

void bus_load(struct bus_rig *r, uint64_t bfn)
{
    for (unsigned i = 0; i < 2; i++) {
        (void)hwm_speculate(model_of(r, i), r->f.dev[i].rid[0], bfn << 12, NULL);
    }
}

uint64_t bus_refs(struct bus_rig *r, uint64_t pa)
{
    return pvi_posix_frame_count(r->f.hdom, pa, PVI_OWE_FOREIGN) + pvi_posix_frame_count(r->f.hdom, pa, PVI_OWE_FOREIGN_WRITABLE);
}

int bus_balloon(struct bus_rig *r, unsigned guest, uint64_t gfn)
{
    static struct pvi_balloon b;
    int rc;

    pvi_posix_hdom_unrange(r->guest[guest], gfn);
    memset(&b, 0, sizeof(b));
    b.map = &r->map;
    b.pa.a = G_PA(guest, gfn);
    do {
        rc = pvi_balloon_out(&b);
        if (!r->inside) {
            pvi_posix_checkpoint(r->f.host);
        }
    } while (rc == -PVI_EPREEMPTED);
    return rc;
}
