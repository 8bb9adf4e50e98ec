/* SPDX-License-Identifier: MIT */
/*
 * The interface of 2015 on other domains' frames: map_foreign_page, lookup_foreign_page, unmap_foreign_page; with an IOMMU, without, and
 * where devices are mapped 1:1. Each test names the sentence of the draft (seed 002) or the fact (pv-iommu-abis 1b) that it holds.
 */
#include <string.h>

#include "bus_rig.h"

#define R 1u
#define W 2u
#define RW 3u
#define SWAP 4u
#define ORDER(n) ((unsigned)(n) << 10)
#define NOWHERE UINT64_MAX
#define DOM0 (BUS_GUEST_DOMID)
#define OFFSET (248ull << 18)

/* Draft B: a frame is mapped for two io-servers and goes with the last; its own calls alone take it away. */
static void mapped(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    uint64_t pa = G_PA(0, G_HVM), bfn;

    bus_up(r, cfg, &opt);
    bus_load(r, 0x900);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW), 0);
    CHECK_EQ(bus_q8(r, 0), 0x900); /* "the specified BFN is returned" */
    bus_expect(r, 0x900, pa, PVI_RW);
    CHECK_EQ(bus_refs(r, pa), 1);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW), 0); /* "if there was not an existing identical M2B entry" */
    CHECK_EQ(bus_refs(r, pa), 1);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 2, RW), 0);
    CHECK_EQ(r->f.dom.bus->nr_entries, 2);
    CHECK_EQ(bus_lookup1(r, G_HVM, DOM0, 3, &bfn), 0);
    CHECK_EQ(bfn, 0x900);
    CHECK_EQ(bus_flags(r, 0), RW | ORDER(9));
    CHECK_EQ(r->f.dom.bus->nr_entries, 3);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM + 1, DOM0, 1, RW), -PVI_XEN_EPERM); /* taken by another frame */
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 4, R), -PVI_XEN_EPERM);      /* or with other rights */
    CHECK_EQ(bus_foreign1(r, 0x901, G_HVM, DOM0, 1, R), 0);                   /* the same frame elsewhere */
    CHECK_EQ(bus_refs(r, pa), 2);
    bus_begin(r);
    bus_unmap(r, 0x900, 0);
    bus_map(r, 0x900, GUEST_PV, RW);
    bus_unmap(r, 0x901, 0);
    bus_map(r, 0x902, GUEST_PV, RW);
    bus_foreign(r, 0x902, G_HVM + 2, DOM0, 1, RW);
    bus_unforeign(r, 0x902, 1); /* not a foreign page */
    CHECK_EQ(bus_call(r), 0);
    CHECK_EQ(bus_status(r, 0), -PVI_XEN_EPERM);
    CHECK_EQ(bus_status(r, 1), -PVI_XEN_EPERM);
    CHECK_EQ(bus_status(r, 2), -PVI_XEN_EPERM);
    CHECK_EQ(bus_status(r, 3), 0);
    CHECK_EQ(bus_status(r, 4), -PVI_XEN_EPERM);
    CHECK_EQ(bus_status(r, 5), -PVI_XEN_ENOENT);
    CHECK_EQ(bus_unforeign1(r, 0x900, 5), -PVI_XEN_ENOENT); /* "no mapped BFN + ioserver id combination" */
    CHECK_EQ(bus_unforeign1(r, 0x900, 1), 0);
    CHECK_EQ(bus_flags(r, 0), 0);
    CHECK_EQ(bus_unforeign1(r, 0x900, 1), -PVI_XEN_ENOENT);
    CHECK_EQ(bus_unforeign1(r, 0x900, 3), 0);
    bus_expect(r, 0x900, pa, PVI_RW); /* io-server 2 still has it */
    CHECK_EQ(bus_unforeign1(r, 0x900, 2), 0);
    bus_expect(r, 0x900, NOWHERE, 0);
    CHECK_EQ(bus_refs(r, pa), 1);
    CHECK_EQ(bus_unforeign1(r, 0x901, 1), 0);
    CHECK_EQ(bus_refs(r, pa), 0);
    CHECK_EQ(r->f.dom.bus->nr_entries, 0);
    bus_down(r);
}

static void test_mapped(void **state)
{
    (void)state;
    bus_each(mapped);
}

/* Draft B: every status from every cause. */
static void causes(struct bus_rig *r, const struct fx_cfg *cfg)
{
    static const struct {
        uint64_t bfn, gfn;
        unsigned domid, ioserver, flags;
        int32_t status;
    } t[] = {
        {0x900, G_HVM, 9, 1, RW, -PVI_XEN_ENXIO},                  /* "Provided domid id is not valid" */
        {0x900, G_HVM, BUS_NO_DOMID, 1, RW, -PVI_XEN_ENXIO},
        {0x900, GUEST_PV, FX_DOMID, 1, RW, -PVI_XEN_EPERM},        /* "domid maps to DOMID_SELF" */
        {0x900, GUEST_PV, PVI_DOMID_SELF, 1, RW, -PVI_XEN_EPERM},
        {0x900, G_XEN, DOM0, 1, RW, -PVI_XEN_EPERM},               /* "GFN belongs to Xen" */
        {0x900, G_RO, DOM0, 1, RW, -PVI_XEN_EPERM},
        {0x900, G_NONE, DOM0, 1, RW, -PVI_XEN_ENXIO},              /* "Provided GFN address is not valid" */
        {0x900, G_HVM, DOM0, PVI_POSIX_IOSERVERS, RW, -PVI_XEN_ENODEV}, /* "ioserver id is not valid" */
        {0x900, G_HVM, DOM0, 0xffff, RW, -PVI_XEN_ENODEV},
        {0x7001, G_HVM, DOM0, 1, RW, -PVI_XEN_EACCES},             /* "conflicts with RMRR regions" */
        {0xfee00, G_HVM, DOM0, 1, RW, -PVI_XEN_EACCES},
        {0x900, G_HVM, DOM0, 1, RW | ORDER(1), -PVI_XEN_ENOSPC},   /* "Page order is too large" */
        {0x900, G_HVM, DOM0, 1, RW | ORDER(32), -PVI_XEN_ENOSPC},
        {0x900, G_HVM, DOM0, 1, RW | 8, -PVI_XEN_EINVAL},          /* "Reserved flag bits should be 0" */
        {0x900, G_HVM, DOM0, 1, SWAP, -PVI_XEN_EINVAL},
        {1ull << 51, G_HVM, DOM0, 1, RW, -PVI_XEN_EIO},            /* "IOMMU unit returned error" */
        {UINT64_MAX, G_HVM, DOM0, 1, RW, -PVI_XEN_EIO},
        {0x900, G_RO, DOM0, 1, R, 0},
        {0x901, G_PV, DOM0, 1, W, 0},
        {0x902, G_PV + 1, DOM0, 7, RW | SWAP, 0},
    };
    struct bus_opt opt = {.region = true};
    uint64_t bfn;

    bus_up(r, cfg, &opt);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        check_case("map_foreign %zu", i);
        CHECK_EQ(bus_foreign1(r, t[i].bfn, t[i].gfn, t[i].domid, t[i].ioserver, t[i].flags), t[i].status);
        if (t[i].status != 0) {
            CHECK(!r->f.dom.bus || r->f.dom.bus->nr_entries == 0);
            CHECK(pvi_posix_hdom_balanced(r->f.hdom));
        }
    }
    check_case("lookup_foreign");
    CHECK_EQ(pvi_posix_frame_count(r->f.hdom, G_PA(0, G_PV), PVI_OWE_FOREIGN_WRITABLE), 1);
    CHECK_EQ(bus_lookup1(r, G_HVM, DOM0, 1, &bfn), -PVI_XEN_ENOENT); /* "There is no available BFN" */
    CHECK_EQ(bfn, 0xdead);
    CHECK_EQ(bus_lookup1(r, G_HVM, 9, 1, &bfn), -PVI_XEN_ENXIO);
    CHECK_EQ(bus_lookup1(r, G_NONE, DOM0, 1, &bfn), -PVI_XEN_ENXIO);
    CHECK_EQ(bus_lookup1(r, G_HVM, FX_DOMID, 1, &bfn), -PVI_XEN_EPERM);
    CHECK_EQ(bus_lookup1(r, G_XEN, DOM0, 1, &bfn), -PVI_XEN_EPERM);
    CHECK_EQ(bus_lookup1(r, G_HVM, DOM0, 0xffff, &bfn), -PVI_XEN_ENODEV);
    CHECK_EQ(bus_lookup1(r, G_RO, DOM0, 2, &bfn), 0);
    CHECK_EQ(bus_flags(r, 0), R | ORDER(9));
    CHECK_EQ(bfn, 0x900);
    CHECK_EQ(bus_lookup1(r, G_PV, DOM0, 2, &bfn), 0);
    CHECK_EQ(bus_flags(r, 0), W | ORDER(9));
    check_case("unmap_foreign");
    CHECK_EQ(bus_unforeign1(r, 0x1234, 1), -PVI_XEN_ENOENT);
    CHECK_EQ(bus_unforeign1(r, UINT64_MAX, 1), -PVI_XEN_ENOENT);
    CHECK_EQ(bus_unforeign1(r, 0x901, 1), 0);
    CHECK_EQ(bus_unforeign1(r, 0x901, 2), 0);
    bus_down(r); /* the rest goes with the domain */
}

static void test_causes(void **state)
{
    (void)state;
    bus_each(causes);
}

/* What ships: op 4 unknown; lookup answers "mfn + bfn_foreign_offset", the same again; one reference per frame and domain. */
static void shipped(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    uint64_t pa = G_PA(0, G_HVM + 5), bfn, again;

    bus_up(r, cfg, &opt);
    r->shipped = true;
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW), -PVI_XEN_ENODEV);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | ORDER(1)), -PVI_XEN_ENOSPC); /* looked at first */
    bus_load(r, (pa >> 12) + OFFSET);
    CHECK_EQ(bus_lookup1(r, G_HVM + 5, DOM0, 0x77, &bfn), 0);
    CHECK_EQ(bfn, (pa >> 12) + OFFSET);
    bus_expect(r, bfn, pa, PVI_RW);
    CHECK_EQ(bus_lookup1(r, G_HVM + 5, DOM0, 0x78, &again), 0);
    CHECK_EQ(again, bfn);
    CHECK_EQ(bus_refs(r, pa), 1);
    CHECK_EQ(bus_lookup1(r, G_HVM, 9, 1, &again), -PVI_XEN_ENXIO);
    CHECK_EQ(bus_lookup1(r, G_HVM, FX_DOMID, 1, &again), -PVI_XEN_EPERM);
    CHECK_EQ(bus_lookup1(r, G_NONE, DOM0, 1, &again), -PVI_XEN_ENXIO);
    CHECK_EQ(bus_lookup1(r, G_XEN, DOM0, 1, &again), -PVI_XEN_EPERM);
    pvi_posix_hdom_translated(r->guest[0], false);
    CHECK_EQ(bus_lookup1(r, G_HVM, DOM0, 1, &again), -PVI_XEN_EPERM); /* a PV target */
    pvi_posix_hdom_translated(r->guest[0], true);
    CHECK_EQ(bus_unforeign1(r, 0x900, 0), -PVI_XEN_ENOENT);
    CHECK_EQ(bus_unforeign1(r, bfn, 0), 0);
    bus_expect(r, bfn, NOWHERE, 0);
    CHECK_EQ(bus_refs(r, pa), 0);
    CHECK_EQ(bus_unforeign1(r, bfn, 0), -PVI_XEN_ENOENT);
    r->shipped = false;
    CHECK_EQ(bus_foreign1(r, bfn, G_HVM + 6, DOM0, 0, RW), 0); /* another frame is in its place */
    r->shipped = true;
    CHECK_EQ(bus_lookup1(r, G_HVM + 5, DOM0, 0, &again), -PVI_XEN_ENXIO);
    CHECK_EQ(bus_refs(r, pa), 0);
    r->shipped = false;
    CHECK_EQ(bus_unforeign1(r, bfn, 0), 0);
    bus_down(r);
}

static void test_shipped(void **state)
{
    (void)state;
    bus_each(shipped);
}

/* "If there is no IOMMU support then the MFN is returned in the BFN field"; the reference is held until it is unmapped. */
static void test_no_iommu(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD};
    struct bus_opt opt = {.no_iommu = true};
    uint64_t pa = G_PA(1, G_HVM + 9), bfn;
    static struct bus_rig r;

    (void)state;
    bus_up(&r, &cfg, &opt);
    CHECK_EQ(bus_foreign1(&r, 0x900, G_HVM + 9, DOM0 + 1, 1, RW), 0);
    CHECK_EQ(bus_q8(&r, 0), pa >> 12);
    CHECK_EQ(bus_refs(&r, pa), 1);
    CHECK_EQ(bus_lookup1(&r, G_HVM + 9, DOM0 + 1, 2, &bfn), 0);
    CHECK_EQ(bfn, pa >> 12);
    CHECK_EQ(bus_unforeign1(&r, 0x900, 1), -PVI_XEN_ENOENT);
    CHECK_EQ(bus_unforeign1(&r, pa >> 12, 1), 0);
    CHECK_EQ(bus_refs(&r, pa), 1);
    CHECK_EQ(bus_unforeign1(&r, pa >> 12, 2), 0);
    CHECK_EQ(bus_refs(&r, pa), 0);
    CHECK_EQ(bus_foreign1(&r, 0x900, G_PV, DOM0, 1, R), 0); /* with less rights than the frame could have */
    for (unsigned server = 1; server <= 2; server++) {
        CHECK_EQ(bus_lookup1(&r, G_PV, DOM0, server, &bfn), 0);
        CHECK_EQ(bfn, G_PA(0, G_PV) >> 12);
        CHECK_EQ(bus_flags(&r, 0), R | ORDER(9));
    }
    CHECK_EQ(bus_refs(&r, G_PA(0, G_PV)), 1);
    CHECK_EQ(pvi_posix_frame_count(r.f.hdom, G_PA(0, G_PV), PVI_OWE_FOREIGN_WRITABLE), 0);
    r.shipped = true;
    CHECK_EQ(bus_lookup1(&r, G_HVM + 9, DOM0 + 1, 2, &bfn), 0);
    CHECK_EQ(bfn, pa >> 12);
    CHECK_EQ(bus_unforeign1(&r, pa >> 12, 0), 0);
    r.shipped = false;
    CHECK_EQ(bus_lookup1(&r, G_HVM + 9, DOM0 + 1, 2, &bfn), 0);
    bus_down(&r); /* what is left is put */
}

/*
 * Yu Zhang: "What if the IOMMU is enabled, and runs in the default mode, which 1:1 maps all memories"? A domain that can map uses
 * map_foreign; one that cannot gets the frame number if devices reach the frame there, else nothing.
 */
static void test_default_mode(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD, .default_identity = true};
    struct bus_opt opt = {.no_bus_pages = true};
    uint64_t bfn;
    static struct bus_rig r;
    struct pvi_posix_range low = {.gfn = 0x60000, .nr = 1, .pa = 0x300000, .prot = PVI_RW, .kind = PVI_POSIX_RAM_HVM};

    (void)state;
    bus_up(&r, &cfg, &opt);
    CHECK_EQ(pvi_posix_hdom_range(r.guest[0], &low), 0);
    CHECK_EQ(bus_lookup1(&r, 0x60000, DOM0, 1, &bfn), 0);
    CHECK_EQ(bfn, 0x300);
    CHECK_EQ(bus_foreign1(&r, 0x900, 0x60000, DOM0, 1, RW), 0);
    CHECK_EQ(bus_q8(&r, 0), 0x300);
    CHECK_EQ(bus_lookup1(&r, G_HVM, DOM0, 1, &bfn), -PVI_XEN_ENOENT);
    CHECK_EQ(bus_foreign1(&r, 0x900, G_HVM, DOM0, 1, RW), -PVI_XEN_EPERM);
    CHECK_EQ(bus_refs(&r, 0x300000), 1);
    CHECK_EQ(bus_unforeign1(&r, 0x300, 1), 0);
    CHECK_EQ(bus_refs(&r, 0x300000), 0);
    CHECK_EQ(r.f.dev[0].ctx, &r.f.dom.default_ctx); /* nothing was taken over */
    bus_down(&r);
}

/* Where the default context follows the host's own translation, only what that maps 1:1, with all the rights, has an address. */
static void test_default_translates(void **state)
{
    const struct {
        uint64_t frame; /* that devices reach at 0x300; 0: none */
        unsigned prot;
        int32_t status;
    } t[] = {{0, 0, -PVI_XEN_ENOENT}, {0x301, PVI_RW, -PVI_XEN_ENOENT}, {0x300, PVI_READ, -PVI_XEN_ENOENT}, {0x300, PVI_RW, 0}};
    struct fx_cfg cfg = {.kind = FX_VTD};
    struct bus_opt opt = {.no_bus_pages = true, .synced = true};
    uint64_t bfn;
    static struct bus_rig r;
    static struct pvi_sync sync;
    struct pvi_posix_range low = {.gfn = 0x60000, .nr = 1, .pa = 0x300000, .prot = PVI_RW, .kind = PVI_POSIX_RAM_HVM};

    (void)state;
    bus_up(&r, &cfg, &opt);
    CHECK_EQ(pvi_posix_hdom_range(r.guest[0], &low), 0);
    pvi_sync_init(&sync, &r.f.dom);
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        check_case("0x300 -> 0x%llx, rights %u", (unsigned long long)t[i].frame, t[i].prot);
        if (t[i].frame != 0) {
            CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x300}, (pvi_pa){t[i].frame << 12}, 1, t[i].prot), 0);
        }
        CHECK_EQ(bus_lookup1(&r, 0x60000, DOM0, 1, &bfn), t[i].status);
        CHECK(t[i].status != 0 || bfn == 0x300);
        CHECK_EQ(bus_refs(&r, 0x300000), t[i].status == 0 ? 1 : 0);
        CHECK_EQ(bus_foreign1(&r, 0x900, 0x60000, DOM0, 2, RW), t[i].status == 0 ? 0 : -PVI_XEN_EPERM);
        if (t[i].frame != 0) {
            CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x300}, 1), 0);
        }
    }
    CHECK_EQ(bus_unforeign1(&r, 0x300, 1), 0);
    CHECK_EQ(bus_unforeign1(&r, 0x300, 2), 0);
    CHECK_EQ(bus_refs(&r, 0x300000), 0);
    bus_down(&r);
}

/* "The hypercall will only succeed if calling domain has sufficient privilege over the specified domid" */
static void test_privilege(void **state)
{
    struct fx_cfg cfg = {.kind = FX_AMD};
    struct bus_opt opt = {0};
    uint64_t bfn;
    static struct bus_rig r;
    struct pvi_hdom *other;

    (void)state;
    bus_up(&r, &cfg, &opt);
    other = pvi_posix_hdom_new(r.f.host, 20);
    CHECK(other);
    for (unsigned s = 0; s < 2; s++) {
        r.shipped = s != 0;
        CHECK_EQ(bus_lookup1(&r, G_HVM, 20, 1, &bfn), -PVI_XEN_EPERM);
    }
    r.shipped = false;
    CHECK_EQ(bus_foreign1(&r, 0x900, G_HVM, 20, 1, RW), -PVI_XEN_EPERM);
    bus_down(&r);
}

/* A shortage of anything, at each place: a status, nothing lost, and it works afterwards. */
static void shortage(struct bus_rig *r, const struct fx_cfg *cfg)
{
    static const enum pvi_posix_point at[] = {PVI_AT_FOREIGN_GET, PVI_AT_FOREIGN_CHECK, PVI_AT_MEM_ALLOC, PVI_AT_PAGE_ALLOC, PVI_AT_DID_ALLOC};
    struct bus_opt opt = {.entries = 2};

    for (unsigned p = 0; p < sizeof(at) / sizeof(at[0]); p++) {
        for (uint64_t n = 1;; n++) {
            bool failed;
            int32_t status;

            bus_up(r, cfg, &opt);
            pvi_posix_fail(r->f.host, at[p], n, false);
            status = bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | SWAP);
            failed = pvi_posix_failed(r->f.host, at[p]) != 0;
            pvi_posix_fail(r->f.host, at[p], 0, false);
            check_case("point %u, call %llu: %d", at[p], (unsigned long long)n, status);
            CHECK_EQ(status, !failed ? 0 : p < 2 ? -PVI_XEN_ENXIO : -PVI_XEN_EIO);
            CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | SWAP), 0);
            CHECK_EQ(bus_refs(r, G_PA(0, G_HVM)), 1);
            bus_expect(r, 0x900, G_PA(0, G_HVM), PVI_RW);
            CHECK_EQ(bus_foreign1(r, 0x901, G_HVM, DOM0, 1, RW), 0);
            CHECK_EQ(bus_foreign1(r, 0x902, G_HVM, DOM0, 1, RW), -PVI_XEN_EIO); /* cfg.bus_entries */
            CHECK_EQ(bus_unforeign1(r, 0x901, 1), 0);
            CHECK_EQ(bus_foreign1(r, 0x902, G_HVM, DOM0, 1, RW), 0);
            bus_down(r);
            n += n > 8 ? 100 : 0; /* pages are many, and alike */
            if (!failed) {
                break;
            }
        }
    }
}

static void test_shortage(void **state)
{
    (void)state;
    bus_each(shortage);
}

/* --- two CPUs ------------------------------------------------------------------------------------------- */

#define ASIDE 1000u /* where the other CPU's elements lie */

#define NEW 0x903u /* where nothing is */

enum change { UNMAPS, MAPS_ANOTHER, MAPS_WITH_RIGHTS, MAPS_AGAIN, CHANGES, LOOKS_UP, JOINS };

static const uint64_t calls_to_race = PVI_AT_BIT(PVI_AT_FOREIGN_GET) | PVI_AT_BIT(PVI_AT_FOREIGN_CHECK) |
                                     PVI_AT_BIT(PVI_AT_LOCK) | PVI_AT_BIT(PVI_AT_UNLOCK);

static struct {
    struct bus_rig *r;
    struct pvi_abi_call call;
    enum change what;
    uint64_t calls; /* of the host, since the lookup began */
    uint64_t at;    /* after which of them it happens */
    int locks;      /* that the first CPU holds */
    bool other;     /* it changes mappings, too */
    int rc;         /* of the call that looks up or joins */
} second;

/* What the second CPU has asked for, once more if it was told to come back. */
static int second_call(unsigned nr)
{
    uint64_t arg = BUS_ADDR + ASIDE * 32;
    uint32_t count = nr;

    return pvi_xen_bus_call(&second.call, second.r->shipped ? PVI_XEN_BUS_SHIPPED : PVI_XEN_BUS_DRAFT_B, &arg, &count);
}

static void second_cpu(void)
{
    static const struct {
        uint64_t gfn;
        unsigned flags;
    } then[CHANGES] = {[MAPS_ANOTHER] = {G_HVM + 1, R}, [MAPS_WITH_RIGHTS] = {G_PV, RW}, [MAPS_AGAIN] = {G_PV, R}};
    struct bus_rig *r = second.r;
    unsigned nr = r->nr;

    r->nr = ASIDE;
    if (second.what > CHANGES) {
        if (second.what == LOOKS_UP) {
            bus_lookup(r, G_HVM + 5, DOM0, r->shipped ? 0 : 2);
        } else {
            bus_foreign(r, NEW, G_HVM + 5, DOM0, 2, RW);
        }
        second.rc = second_call(1);
        r->nr = nr;
        return;
    }
    bus_unforeign(r, 0x900, 1);
    if (second.what != UNMAPS) {
        bus_foreign(r, 0x900, then[second.what].gfn, DOM0, 1, then[second.what].flags);
    }
    CHECK_EQ(second_call(r->nr - ASIDE), 0);
    CHECK(bus_status(r, ASIDE) == 0 || second.other);
    CHECK(second.what == UNMAPS || bus_status(r, ASIDE + 1) == 0 || (second.other && bus_status(r, ASIDE + 1) == -PVI_XEN_EPERM));
    r->nr = nr;
}

static void second_hook(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    second.locks += (at == PVI_AT_LOCK && after) - (at == PVI_AT_UNLOCK && after);
    if (after && at != PVI_AT_LOCK && second.locks == 0 && ++second.calls == second.at) {
        second_cpu(); /* which waits for no lock of the first */
    }
}

/* A frame is mapped at 0x900 for io-server 1; from now on the second CPU comes after call `at` of the first. */
static void race_up(struct bus_rig *r, const struct fx_cfg *cfg, unsigned what, uint64_t at)
{
    struct bus_opt opt = {0};

    bus_up(r, cfg, &opt);
    memset(&second.call, 0, sizeof(second.call));
    second.call.caller = &r->f.dom;
    second.r = r;
    second.what = (enum change)what;
    CHECK_EQ(bus_foreign1(r, 0x900, G_PV, DOM0, 1, R), 0);
    second.calls = 0;
    second.locks = 0;
    second.at = at;
    pvi_posix_hook(r->f.host, calls_to_race, second_hook, NULL);
}

static void race_over(void)
{
    pvi_posix_hook(second.r->f.host, 0, NULL, NULL);
    CHECK(second.calls >= second.at);
}

/*
 * A lookup while another CPU unmaps what it finds, and maps something else there or the same again, at each instant: it finds what is there
 * before that or after that, or that something has changed, and what was unmapped does not come back by it.
 */
static void lookup_raced(struct bus_rig *r, const struct fx_cfg *cfg)
{
    uint64_t found = 0;

    for (unsigned what = 0; what < CHANGES; what++) {
        second.calls = 1;
        for (uint64_t at = 1; at <= second.calls; at++) {
            uint64_t bfn, pa = G_PA(0, what == MAPS_ANOTHER ? G_HVM + 1 : G_PV);
            int32_t status;

            check_case("change %u after call %llu", what, (unsigned long long)at);
            race_up(r, cfg, what, at);
            status = bus_lookup1(r, G_PV, DOM0, 1, &bfn);
            race_over();
            CHECK(status == 0 || (status == -PVI_XEN_ENOENT && what != MAPS_AGAIN));
            CHECK(status != 0 || (bfn == 0x900 && ((bus_flags(r, 0) & RW) == R || (what == MAPS_WITH_RIGHTS && (bus_flags(r, 0) & RW) == RW))));
            found += status == 0;
            CHECK_EQ(r->f.dom.bus->nr_entries, what != UNMAPS);
            bus_expect(r, 0x900, what == UNMAPS ? NOWHERE : pa, what == MAPS_WITH_RIGHTS ? RW : R);
            CHECK_EQ(bus_refs(r, G_PA(0, G_PV)), what == MAPS_WITH_RIGHTS || what == MAPS_AGAIN);
            bus_down(r);
        }
        CHECK(second.calls >= 4); /* both references, and both looks at the map */
    }
    CHECK(found >= CHANGES);
}

static void test_lookup_raced(void **state)
{
    (void)state;
    second.other = false;
    bus_each(lookup_raced);
}

/* The same with a map for another io-server, and with an unmap: whoever comes first, it all goes again, with every reference. */
static void change_raced(struct bus_rig *r, const struct fx_cfg *cfg)
{
    for (unsigned what = 0; what < 2 * CHANGES; what++) {
        second.calls = 1;
        for (uint64_t at = 1; at <= second.calls; at++) {
            int32_t status;

            check_case("%s against change %u after call %llu", what % 2 ? "map" : "unmap", what / 2, (unsigned long long)at);
            race_up(r, cfg, what / 2, at);
            status = what % 2 ? bus_foreign1(r, 0x900, G_PV, DOM0, 2, R) : bus_unforeign1(r, 0x900, 1);
            race_over();
            CHECK(status == 0 || status == (what % 2 ? -PVI_XEN_EPERM : -PVI_XEN_ENOENT));
            for (unsigned server = 1; server <= 2; server++) {
                status = bus_unforeign1(r, 0x900, server);
                CHECK(status == 0 || status == -PVI_XEN_ENOENT);
            }
            CHECK_EQ(r->f.dom.bus->nr_entries, 0);
            CHECK_EQ(bus_refs(r, G_PA(0, G_PV)) + bus_refs(r, G_PA(0, G_HVM + 1)), 0);
            bus_expect(r, 0x900, NOWHERE, 0);
            bus_down(r);
        }
    }
}

static void test_change_raced(void **state)
{
    (void)state;
    second.other = true;
    bus_each(change_raced);
}

/*
 * Two CPUs make one mapping at once, for two io-servers, or look it up while it is made: whoever comes second, while the first has not finished,
 * is told to come back, and then has what the first has made. Where the first is told that the frame has gone (`fails`), the other makes the
 * mapping, or, a lookup that makes none, finds nothing.
 */
static void making_raced(struct bus_rig *r, const struct fx_cfg *cfg, bool shipped, enum change what, bool fails)
{
    const uint64_t pa = G_PA(0, G_HVM + 5);
    const uint64_t dfn = shipped ? (pa >> 12) + OFFSET : NEW;
    unsigned waited = 0;

    second.calls = 1;
    for (uint64_t at = 1; at <= second.calls; at++) {
        uint64_t bfn = dfn;
        int32_t status, other;

        check_case("%s%s, the other %s after call %llu", shipped ? "ships" : "draft B", fails ? ", one fails" : "",
                   what == JOINS ? "maps" : "looks up", (unsigned long long)at);
        race_up(r, cfg, what, at);
        r->shipped = shipped;
        pvi_posix_fail(r->f.host, PVI_AT_FOREIGN_CHECK, fails, false);
        status = shipped ? bus_lookup1(r, G_HVM + 5, DOM0, 0, &bfn) : bus_foreign1(r, NEW, G_HVM + 5, DOM0, 1, RW);
        race_over();
        if (second.rc != 0) {
            waited++;
            CHECK_EQ(second.rc, -PVI_XEN_ERESTART);
            CHECK_EQ(status, fails ? -PVI_XEN_ENXIO : 0);
            CHECK_EQ(second_call(1), 0);
        }
        other = bus_status(r, ASIDE);
        CHECK_EQ(status, fails && pvi_posix_failed(r->f.host, PVI_AT_FOREIGN_CHECK) == 1 ? -PVI_XEN_ENXIO : 0);
        /* A lookup that came first, or after what failed, finds nothing where it makes nothing. */
        CHECK(other == 0 || (other == -PVI_XEN_ENOENT && what == LOOKS_UP && !shipped && (second.rc == 0 || fails)));
        CHECK(status != 0 || bfn == dfn);
        CHECK(other != 0 || what != LOOKS_UP || bus_q8(r, ASIDE) == dfn);
        bus_expect(r, dfn, status == 0 || other == 0 ? pa : NOWHERE, status == 0 || other == 0 ? PVI_RW : 0);
        CHECK_EQ(bus_refs(r, pa), status == 0 || other == 0);
        CHECK_EQ(bus_unforeign1(r, dfn, shipped ? 0 : 1), status == 0 || (shipped && other == 0) ? 0 : -PVI_XEN_ENOENT);
        if (!shipped) {
            CHECK_EQ(bus_unforeign1(r, dfn, 2), other == 0 ? 0 : -PVI_XEN_ENOENT);
        }
        bus_expect(r, dfn, NOWHERE, 0);
        CHECK_EQ(bus_refs(r, pa), 0);
        bus_down(r);
    }
    CHECK(waited != 0);
}

static void making_raced_each(struct bus_rig *r, const struct fx_cfg *cfg)
{
    for (unsigned fails = 0; fails < 2; fails++) {
        making_raced(r, cfg, true, LOOKS_UP, fails);
        making_raced(r, cfg, false, LOOKS_UP, fails);
        making_raced(r, cfg, false, JOINS, fails);
    }
}

static void test_making_raced(void **state)
{
    (void)state;
    second.other = true;
    bus_each(making_raced_each);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapped),       cmocka_unit_test(test_causes),
        cmocka_unit_test(test_shipped),      cmocka_unit_test(test_no_iommu),
        cmocka_unit_test(test_default_mode), cmocka_unit_test(test_default_translates),
        cmocka_unit_test(test_privilege),    cmocka_unit_test(test_shortage),
        cmocka_unit_test(test_lookup_raced), cmocka_unit_test(test_change_raced),
        cmocka_unit_test(test_making_raced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
