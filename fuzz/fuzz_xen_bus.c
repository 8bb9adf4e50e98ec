/* SPDX-License-Identifier: MIT */
/*
 * The interface of 2015 under arbitrary callers. The input is a configuration (4 bytes) and then steps: calls of a few elements, whose fields
 * come from small ranges with an escape to raw 64-bit values, balloons, deaths of io-servers and guests, another virtual CPU that overwrites the
 * array in the middle of a call.
 *
 * The judge: each status is one that its sub-operation and dialect may give; each foreign frame has as many references as leaves lead to
 * it (or, without tables, as bus frames are held), released frames have none; the io-servers that a bus frame is mapped for are those that the
 * statuses say; nothing is left at the end. The recording host judges the order of everything else.
 */
#include "input.h"
#include "machine.h"
#include <pviommu/abi/xen_bus.h>
#include <pviommu/bus.h>
#include <pviommu_posix.h>
#include <string.h>

#define ELEMENTS 12u
#define ADDR 0x10000ull
#define OWNER 5u
#define GUEST 7u
#define WINDOW 64u /* bus frames that elements name mostly */
#define FRAMES 16u /* of the foreign guest */
#define FRAME_PA 0x40000000ull
#define RAM_PA 0x80000000ull
#define OFFSET 0x100u

static struct fuzz_machine *m;

static struct fuzz {
    struct fuzz_input in;
    struct pvi_revmap map;
    struct pvi_hdom *owner, *guest;
    struct pvi_domain dom;
    struct pvi_device dev;
    struct pvi_abi_call call;
    struct pvi_bus_work work;
    struct pvi_balloon balloon;
    struct pvi_xen_bus_op sent[ELEMENTS], mem[ELEMENTS];
    uint32_t preempt;
    uint8_t tamper;
    bool shipped, tables;
} f;

static bool preempt_now(void *opaque, uint64_t nr)
{
    (void)opaque;
    return nr < 100000 && (f.preempt >> (nr & 31) & 1) != 0;
}

static void other_cpu(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (after && f.tamper != 0) {
        memset((unsigned char *)f.mem + f.tamper, f.tamper, 7);
    }
}

static void caps(uint8_t knobs)
{
    struct pvi_unit_caps *c = &m->unit.unit.caps;

    fuzz_caps(c, (knobs & 1) != 0 ? &pvi_vtd_ss_ops : &pvi_amdvi_v1_ops);
    c->page_sizes = UINT64_MAX;
    c->levels_mask = 1u << 4;
    c->coherent = (knobs & 2) != 0;
    c->np_cache = (knobs & 4) != 0;
    c->page_selective = (knobs & 8) != 0;
}

static void start(void)
{
    struct pvi_posix_range ram = {.gfn = 0x1000, .nr = 0x400, .pa = RAM_PA, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    uint8_t knobs = fuzz_u8(&f.in), mode = fuzz_u8(&f.in);
    struct pvi_domain_cfg cfg;
    unsigned i;
    int rc;

    caps(knobs);
    f.preempt = (uint32_t)fuzz_le(&f.in, 2) * 0x10001u;
    f.shipped = (mode & 1) != 0;
    f.tables = (mode & 2) == 0;
    CHECK(pvi_revmap_init(&f.map, m->host, 2, 0x123456789abcdefull) == 0);
    f.owner = pvi_posix_hdom_new(m->host, OWNER);
    f.guest = pvi_posix_hdom_new(m->host, GUEST);
    CHECK(f.owner && f.guest && pvi_posix_hdom_permit(f.owner, GUEST) == 0 && pvi_posix_hdom_range(f.owner, &ram) == 0);
    CHECK(pvi_posix_hdom_identity(f.owner, 0x1010, 0x20, PVI_RW) == 0);
    for (i = 0; i < FRAMES; i++) {
        struct pvi_posix_range one = {.gfn = i, .nr = 1, .pa = FRAME_PA + 0x1000ull * i, .prot = PVI_RW};

        one.kind = i % 2 ? PVI_POSIX_RAM_PV : PVI_POSIX_RAM_HVM;
        one.prot = i == 5 ? PVI_READ : PVI_RW;
        CHECK(pvi_posix_hdom_range(f.guest, &one) == 0);
    }
    memset(&cfg, 0, sizeof(cfg));
    cfg.hdom = f.owner;
    cfg.system = (mode & 4) != 0 && !f.tables ? NULL : &m->system;
    cfg.revmap = &f.map;
    cfg.default_identity = (mode & 8) != 0;
    cfg.bus_pages = f.tables ? 6u + (mode >> 4) : 0;
    cfg.bus_entries = 10;
    cfg.bus_offset = OFFSET;
    CHECK(pvi_domain_init(&f.dom, m->host, &cfg) == 0);
    do {
        rc = pvi_domain_start(&f.dom);
    } while (rc == -PVI_EPREEMPTED);
    CHECK(rc == 0);
    f.dev.sbdf.v = 0x100;
    f.dev.unit = &m->unit.unit;
    f.dev.rid[0] = 0x100;
    f.dev.nr_rids = 1;
    CHECK(!cfg.system || pvi_device_add(&f.dom, &f.dev) == 0);
    f.call.caller = &f.dom;
    pvi_posix_hdom_mem(f.owner, f.mem, ADDR, sizeof(f.mem));
    pvi_posix_preempt_call(m->host, preempt_now, NULL);
    pvi_posix_hook(m->host, PVI_AT_BIT(PVI_AT_COPY_IN), other_cpu, NULL);
}

static void end(void)
{
    int rc;

    pvi_posix_hook(m->host, 0, NULL, NULL);
    CHECK(!f.dom.devices || pvi_device_remove(&f.dom, &f.dev) == 0);
    pvi_domain_kill(&f.dom);
    do {
        rc = pvi_domain_destroy(&f.dom);
    } while (rc == -PVI_EPREEMPTED);
    CHECK(rc == 0);
    pvi_revmap_fini(&f.map);
    pvi_posix_checkpoint(m->host);
    CHECK(pvi_posix_hdom_balanced(f.owner) && pvi_posix_mem_used(m->host) == 0 && pvi_posix_pages_used(m->host) == 0);
    pvi_posix_hdom_free(f.owner);
    pvi_posix_hdom_free(f.guest);
    pvi_posix_preempt_call(m->host, NULL, NULL);
}

/* --- one call ------------------------------------------------------------------------------------------- */

static uint64_t frame(uint64_t base, unsigned range)
{
    uint8_t b = fuzz_u8(&f.in);

    return b == 0xff ? fuzz_le(&f.in, 8) : base + b % range;
}

static void element(struct pvi_xen_bus_op *e)
{
    uint8_t what = fuzz_u8(&f.in);
    bool foreign = what % 8 >= 4 && what % 8 < 7;

    memset(e, 0, sizeof(*e));
    e->subop_id = (uint16_t)(what == 0xff ? fuzz_le(&f.in, 2) : what % 8);
    e->flags = (uint16_t)(what >> 3);
    e->flags |= (what & 0x80) != 0 ? (uint16_t)(fuzz_u8(&f.in) << 8) : 0;
    e->u.foreign_page.bfn = frame(0x1000, WINDOW);
    if (f.shipped && e->subop_id == PVI_XEN_BUS_UNMAP_FOREIGN_PAGE) {
        e->u.foreign_page.bfn += (FRAME_PA >> 12) + OFFSET - 0x1000;
    }
    e->u.foreign_page.gfn = foreign ? frame(0, FRAMES + 1) : frame(0x1000, 0x401);
    if (e->subop_id == PVI_XEN_BUS_UNMAP_FOREIGN_PAGE) {
        e->u.unmap_foreign_page.ioserver = fuzz_u8(&f.in) % 3;
    }
    e->u.foreign_page.domid = fuzz_u8(&f.in) == 0xff ? (uint16_t)fuzz_le(&f.in, 2) : GUEST;
    e->u.foreign_page.ioserver = foreign ? fuzz_u8(&f.in) % 9 : 0;
}

/* May a sub-operation of the dialect answer this? */
static bool plausible(unsigned subop, int32_t status)
{
    static const int32_t list[8][9] = {
        [1] = {0, -PVI_XEN_ENOSPC},
        [2] = {0, -PVI_XEN_EPERM, -PVI_XEN_EIO, -PVI_XEN_EACCES, -PVI_XEN_ENOSPC, -PVI_XEN_EINVAL},
        [3] = {0, -PVI_XEN_EPERM, -PVI_XEN_EIO, -PVI_XEN_EACCES, -PVI_XEN_ENOSPC, -PVI_XEN_EINVAL, -PVI_XEN_ENOENT},
        [4] = {0, -PVI_XEN_EPERM, -PVI_XEN_EIO, -PVI_XEN_EACCES, -PVI_XEN_ENOSPC, -PVI_XEN_EINVAL, -PVI_XEN_ENXIO, -PVI_XEN_ENODEV},
        [5] = {0, -PVI_XEN_EPERM, -PVI_XEN_ENOENT, -PVI_XEN_ENODEV, -PVI_XEN_ENXIO, -PVI_XEN_EIO, -PVI_XEN_ENOSPC},
        [6] = {0, -PVI_XEN_ENOENT, -PVI_XEN_ENOSPC},
    };
    unsigned i;

    if (subop == 0 || subop > 6 || (f.shipped && subop == 4)) {
        return status == -PVI_XEN_ENODEV || (f.shipped && status == -PVI_XEN_ENOSPC);
    }
    for (i = 0; i < 9; i++) {
        if (list[subop][i] == status) {
            return f.shipped ? status != -PVI_XEN_EACCES : status != -PVI_XEN_ENOSPC || (subop != 1 && subop != 5 && subop != 6);
        }
    }
    return false;
}

/* Leaves of the hidden context that lead to foreign frame i. */
static unsigned leaves(unsigned i)
{
    const struct pvi_pt *pt = f.dom.bus && f.dom.bus->tables ? &f.dom.bus->ctx.pt : NULL;
    struct pvi_pt_scan scan = {.last = (1ull << 48) - 1};
    unsigned nr = 0;

    while (pt && pt->root && !scan.complete) {
        scan.run.len = 0;
        CHECK(pt->cfg.ops->scan(pt, &scan) == 0);
        nr += scan.run.len != 0 && (scan.run.owe == PVI_OWE_FOREIGN || scan.run.owe == PVI_OWE_FOREIGN_WRITABLE) &&
              FRAME_PA + 0x1000ull * i - scan.run.pa < scan.run.len;
    }
    return nr;
}

static void judge(void)
{
    unsigned i;

    for (i = 0; i < FRAMES; i++) {
        uint64_t pa = FRAME_PA + 0x1000ull * i;
        uint64_t refs = pvi_posix_frame_count(f.owner, pa, PVI_OWE_FOREIGN) + pvi_posix_frame_count(f.owner, pa, PVI_OWE_FOREIGN_WRITABLE);

        CHECK(f.tables ? refs == leaves(i) : refs <= 1);
    }
    CHECK(!f.dom.bus || f.dom.bus->nr_entries <= 10);
}

static void call(void)
{
    unsigned nr = 1 + fuzz_u8(&f.in) % ELEMENTS, i;
    uint32_t count = nr;
    uint64_t arg = ADDR;
    int rc;

    f.tamper = fuzz_u8(&f.in) % 16 == 0 ? (uint8_t)(1 + fuzz_u8(&f.in)) : 0;
    for (i = 0; i < nr; i++) {
        element(&f.mem[i]);
        f.mem[i].status = 0x1234567;
    }
    memcpy(f.sent, f.mem, sizeof(f.sent));
    do {
        rc = pvi_xen_bus_call(&f.call, f.shipped ? PVI_XEN_BUS_SHIPPED : PVI_XEN_BUS_DRAFT_B, &arg, &count);
        pvi_posix_checkpoint(m->host);
    } while (rc == -PVI_XEN_ERESTART);
    CHECK(rc == 0 && count == 0 && arg == ADDR + 32 * nr);
    for (i = 0; i < nr && f.tamper == 0; i++) {
        CHECK(plausible(f.sent[i].subop_id, f.mem[i].status));
        CHECK(f.mem[i].subop_id == f.sent[i].subop_id && memcmp(&f.mem[i].u.foreign_page.gfn, &f.sent[i].u.foreign_page.gfn, 16) == 0);
    }
}

static void balloon(void)
{
    unsigned i = fuzz_u8(&f.in) % FRAMES;
    int rc;

    memset(&f.balloon, 0, sizeof(f.balloon));
    f.balloon.map = &f.map;
    f.balloon.pa.a = FRAME_PA + 0x1000ull * i;
    do {
        rc = pvi_balloon_out(&f.balloon);
        pvi_posix_checkpoint(m->host);
    } while (rc == -PVI_EPREEMPTED);
    CHECK(rc == 0 || rc == PVI_BALLOON_HELD);
    CHECK(rc != 0 || leaves(i) == 0);
}

static void death(uint8_t what)
{
    unsigned i;
    int rc;

    do {
        rc = what == 0 ? pvi_guest_gone(&f.map, GUEST, &f.work) : pvi_ioserver_gone(&f.dom, GUEST, (uint16_t)(what % 8), &f.work);
        pvi_posix_checkpoint(m->host);
    } while (rc == -PVI_EPREEMPTED);
    CHECK(rc == 0);
    for (i = 0; i < FRAMES && what == 0; i++) {
        CHECK(leaves(i) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned steps;

    m = fuzz_machine();
    memset(&f, 0, sizeof(f));
    f.in.at = data;
    f.in.left = size;
    start();
    for (steps = 0; steps < 24 && f.in.left != 0; steps++) {
        uint8_t what = fuzz_u8(&f.in);

        if (what < 0xc0) {
            call();
        } else if (what < 0xf0) {
            balloon();
        } else {
            death(what & 0xf);
        }
        judge();
    }
    end();
    return 0;
}
