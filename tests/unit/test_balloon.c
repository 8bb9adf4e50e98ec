/* SPDX-License-Identifier: MIT */
/*
 * Guests give frames up that emulators have mapped ("interactions with guest domain ballooning", seed 002), and guests, emulators and
 * io-servers die. What devices reach is asked of the hardware models, whose caches never forget by themselves.
 */
#include <string.h>

#include "bus_rig.h"

#define RW 3u
#define SWAP 4u
#define NOWHERE UINT64_MAX
#define DOM0 BUS_GUEST_DOMID

static bool noticed(struct bus_rig *r, uint64_t nr, uint64_t dfn, unsigned ioserver, bool sync)
{
    struct pvi_posix_notice n[PVI_POSIX_NOTICES];
    uint64_t all = pvi_posix_notices(r->f.hdom, n);

    for (uint64_t i = nr; i < all; i++) {
        const struct pvi_posix_notice *it = &n[i % PVI_POSIX_NOTICES];

        if (it->dfn == dfn && it->ioserver == ioserver && it->sync == sync && it->domid == DOM0) {
            return true;
        }
    }
    return false;
}

static uint64_t notices(struct bus_rig *r)
{
    struct pvi_posix_notice n[PVI_POSIX_NOTICES];

    return pvi_posix_notices(r->f.hdom, n);
}

static uint64_t scratch(const struct bus_rig *r)
{
    return r->f.dom.bus->scratch.a;
}

/* "the BFN mapping will be swapped to point at a scratch MFN page and all BFN references to the invalid MFN will be removed" */
static void swapped(struct bus_rig *r, const struct fx_cfg *cfg)
{
    static const unsigned char zero[PVI_PAGE_SIZE];
    struct bus_opt opt = {0};
    uint64_t pa = G_PA(0, G_HVM);

    bus_up(r, cfg, &opt);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | SWAP), 0);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 2, RW | SWAP), 0);
    CHECK_EQ(bus_foreign1(r, 0x903, G_HVM, DOM0, 1, 1 | SWAP), 0);
    CHECK_EQ(bus_foreign1(r, 0x901, G_HVM + 1, DOM0, 1, RW | SWAP), 0);
    bus_load(r, 0x900);
    bus_load(r, 0x903);
    CHECK_EQ(bus_refs(r, pa), 2);
    CHECK_EQ(bus_balloon(r, 0, G_HVM), 0);
    CHECK_EQ(bus_refs(r, pa), 0); /* released at once */
    bus_expect(r, 0x900, scratch(r), PVI_RW);
    bus_expect(r, 0x903, scratch(r), PVI_READ);
    bus_expect(r, 0x901, G_PA(0, G_HVM + 1), PVI_RW);
    CHECK(memcmp(pvi_posix_ptr(r->f.host, scratch(r), PVI_PAGE_SIZE), zero, PVI_PAGE_SIZE) == 0);
    CHECK_EQ(notices(r), 3);
    CHECK(noticed(r, 0, 0x900, 1, false) && noticed(r, 0, 0x900, 2, false) && noticed(r, 0, 0x903, 1, false));
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM + 2, DOM0, 1, RW), -PVI_XEN_EPERM); /* still somebody's */
    CHECK_EQ(bus_balloon(r, 0, G_HVM + 3), 0);                             /* a frame that nobody has */
    CHECK_EQ(bus_unforeign1(r, 0x900, 1), 0);
    bus_expect(r, 0x900, scratch(r), PVI_RW);
    CHECK_EQ(bus_unforeign1(r, 0x900, 2), 0);
    bus_expect(r, 0x900, NOWHERE, 0);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM + 2, DOM0, 1, RW), 0);
    memset(pvi_posix_ptr(r->f.host, scratch(r), PVI_PAGE_SIZE), 0x77, PVI_PAGE_SIZE); /* a device wrote */
    bus_down(r);                                                                     /* scrubbed, the recorder sees to it */
}

static void test_swapped(void **state)
{
    (void)state;
    bus_each(swapped);
}

/* "without the IOMMUOP_swap_mfn flag set ... the affected emulator(s) must specifically issue a IOMMUOP_unmap_foreign_page" */
static void held(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    const struct pvi_posix_range pv = {.gfn = 0x60000, .nr = 1, .pa = G_PA(0, 0x60000), .prot = PVI_RW, .kind = PVI_POSIX_RAM_PV};
    uint64_t pa = G_PA(0, G_HVM), bfn;

    bus_up(r, cfg, &opt);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | SWAP), 0);
    CHECK_EQ(bus_foreign1(r, 0x901, G_HVM, DOM0, 2, RW), 0);
    bus_load(r, 0x900);
    pvi_posix_hdom_ring(r->f.hdom, 1); /* "If the buffered IO request ring is full" */
    CHECK_EQ(bus_balloon(r, 0, G_HVM), PVI_BALLOON_HELD);
    CHECK_EQ(notices(r), 2);
    CHECK(noticed(r, 0, 0x900, 1, false) != noticed(r, 0, 0x901, 2, false));
    CHECK(noticed(r, 0, 0x900, 1, true) != noticed(r, 0, 0x901, 2, true));
    CHECK_EQ(bus_refs(r, pa), 2);
    bus_expect(r, 0x900, pa, PVI_RW); /* "cannot be simply unmapped": no fault */
    bus_expect(r, 0x901, pa, PVI_RW);
    bus_begin(r);
    bus_lookup(r, G_HVM, DOM0, 3);
    CHECK_EQ(bus_do(r), -PVI_XEN_ENXIO);
    bfn = bus_q8(r, 0);
    CHECK_EQ(bfn, 0xdead);
    CHECK_EQ(bus_unforeign1(r, 0x901, 2), 0);
    bus_expect(r, 0x901, NOWHERE, 0);
    CHECK_EQ(bus_unforeign1(r, 0x900, 1), 0);
    CHECK_EQ(bus_refs(r, pa), 0);
    CHECK_EQ(bus_balloon(r, 0, G_HVM), 0); /* asked again: free */
    /* Who asks twice gets the more careful of the two. */
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM + 1, DOM0, 1, RW | SWAP), 0);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM + 1, DOM0, 1, RW), 0);
    CHECK_EQ(bus_balloon(r, 0, G_HVM + 1), PVI_BALLOON_HELD);
    CHECK_EQ(bus_unforeign1(r, 0x900, 1), 0);
    /* Who only looks up says nothing of it, though the frame may be written and the mapping may not. */
    CHECK_EQ(pvi_posix_hdom_range(r->guest[0], &pv), 0);
    CHECK_EQ(bus_foreign1(r, 0x900, pv.gfn, DOM0, 1, 1 | SWAP), 0);
    bus_begin(r);
    bus_lookup(r, pv.gfn, DOM0, 1);
    CHECK_EQ(bus_do(r), 0);
    CHECK_EQ(bus_q8(r, 0), 0x900);
    CHECK_EQ(bus_balloon(r, 0, pv.gfn), 0);
    bus_expect(r, 0x900, scratch(r), PVI_READ);
    bus_down(r);
}

static void test_held(void **state)
{
    (void)state;
    bus_each(held);
}

/* --- between the translation and the leaf --------------------------------------------------------------- */

static enum { RACE_BEFORE_CHECK, RACE_AFTER_CHECK, RACE_AFTER_LEAF } race;
static int race_rc;
static bool race_done;

static void race_hook(void *opaque, enum pvi_posix_point at, bool after)
{
    struct bus_rig *r = opaque;
    bool now = at == PVI_AT_FOREIGN_CHECK && after == (race == RACE_AFTER_CHECK);

    if (race == RACE_AFTER_LEAF) {
        struct pvi_pt_leaf leaf;

        now = at == PVI_AT_UNLOCK && after && r->f.dom.bus && r->f.dom.bus->ctx.pt.root &&
              r->f.dom.bus->ctx.pt.cfg.ops->lookup(&r->f.dom.bus->ctx.pt, 0x900000, &leaf) == 0;
    }
    if (now && !race_done) {
        race_done = true;
        r->inside = true;
        race_rc = bus_balloon(r, 0, G_HVM);
        r->inside = false;
    }
}

/* The entry is there before the translation is looked at again: no balloon slips between. */
static void raced(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    uint64_t pa = G_PA(0, G_HVM);

    for (race = RACE_BEFORE_CHECK; race <= RACE_AFTER_LEAF; race++) {
        for (unsigned swap = 0; swap <= SWAP; swap += SWAP) {
            int32_t status;

            check_case("race %d, flags %u", race, swap);
            bus_up(r, cfg, &opt);
            CHECK_EQ(bus_foreign1(r, 0x800, G_HVM + 1, DOM0, 1, RW), 0);
            race_done = false;
            pvi_posix_hook(r->f.host, PVI_AT_BIT(PVI_AT_FOREIGN_CHECK) | PVI_AT_BIT(PVI_AT_UNLOCK), race_hook, r);
            status = bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | swap);
            pvi_posix_hook(r->f.host, 0, NULL, NULL);
            CHECK(race_done);
            CHECK_EQ(status, -PVI_XEN_ENXIO);
            CHECK_EQ(race_rc, PVI_BALLOON_HELD); /* its reference went only afterwards */
            CHECK_EQ(bus_refs(r, pa), 0);
            bus_expect(r, 0x900, NOWHERE, 0);
            CHECK_EQ(r->f.dom.bus->nr_entries, 1);
            CHECK_EQ(bus_foreign1(r, 0x900, G_HVM + 2, DOM0, 1, RW), 0);
            bus_down(r);
        }
    }
}

static void test_raced(void **state)
{
    (void)state;
    bus_each(raced);
}

/* The emulator maps another frame there, at the n-th lock that is given up while the balloon looks for mappings. */
static unsigned moves_at;
static int32_t unmapped, mapped_again;

static void move_hook(void *opaque, enum pvi_posix_point at, bool after)
{
    struct bus_rig *r = opaque;

    if (at == PVI_AT_UNLOCK && after && moves_at != 0 && --moves_at == 0) {
        r->inside = true;
        unmapped = bus_unforeign1(r, 0x900, 1);
        mapped_again = bus_foreign1(r, 0x900, G_HVM + 1, DOM0, 1, RW | SWAP);
        r->inside = false;
    }
}

/* Only the frame that goes away is replaced: not what has come to where it was. */
static void moved_on(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    unsigned in_time = 0;

    for (unsigned n = 1;; n++) {
        check_case("moved at unlock %u", n);
        bus_up(r, cfg, &opt);
        CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | SWAP), 0);
        moves_at = n;
        pvi_posix_hook(r->f.host, PVI_AT_BIT(PVI_AT_UNLOCK), move_hook, r);
        CHECK_EQ(bus_balloon(r, 0, G_HVM), 0);
        pvi_posix_hook(r->f.host, 0, NULL, NULL);
        if (moves_at == 0) {
            CHECK_EQ(unmapped, 0);
            CHECK_EQ(mapped_again, 0);
            in_time++;
        }
        bus_expect(r, 0x900, moves_at == 0 ? G_PA(0, G_HVM + 1) : scratch(r), PVI_RW);
        CHECK_EQ(bus_refs(r, G_PA(0, G_HVM)), 0);
        CHECK_EQ(bus_refs(r, G_PA(0, G_HVM + 1)), moves_at == 0 ? 1 : 0);
        bus_down(r);
        if (moves_at != 0) {
            break;
        }
    }
    CHECK(in_time > 2);
}

static void test_moved_on(void **state)
{
    (void)state;
    bus_each(moved_on);
}

/* --- deaths --------------------------------------------------------------------------------------------- */

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void fill(struct bus_rig *r)
{
    bus_begin(r);
    for (unsigned i = 0; i < 20; i++) {
        bus_foreign(r, 0x900 + i, G_HVM + 4 + i, DOM0 + i % 2, i % 5, RW | (i % 3 == 0 ? SWAP : 0));
    }
    CHECK_EQ(bus_call(r), 0);
    for (unsigned i = 0; i < 20; i++) {
        CHECK_EQ(bus_status(r, i), 0);
        bus_load(r, 0x900 + i);
    }
}

static int gone(struct bus_rig *r, unsigned guest, int ioserver)
{
    unsigned turns = 0;
    int rc;

    memset(&r->work, 0, sizeof(r->work));
    do {
        rc = ioserver < 0 ? pvi_guest_gone(&r->map, (uint16_t)(DOM0 + guest), &r->work)
                          : pvi_ioserver_gone(&r->f.dom, (uint16_t)(DOM0 + guest), (uint16_t)ioserver, &r->work);
        pvi_posix_checkpoint(r->f.host);
        CHECK(++turns < 1000);
    } while (rc == -PVI_EPREEMPTED);
    return rc;
}

/* "the death of an io-server, an emulator or a guest drops its entries, flushed before the references go" */
static void deaths(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};

    for (unsigned preempt = 0; preempt < 2; preempt++) {
        bus_up(r, cfg, &opt);
        fill(r);
        pvi_posix_preempt_call(r->f.host, preempt ? always : NULL, NULL);
        CHECK_EQ(gone(r, 0, 2), 0);
        for (unsigned i = 0; i < 20; i++) {
            bool theirs = i % 2 == 0 && i % 5 == 2;

            bus_expect(r, 0x900 + i, theirs ? NOWHERE : G_PA(i % 2, G_HVM + 4 + i), PVI_RW);
            CHECK_EQ(bus_refs(r, G_PA(i % 2, G_HVM + 4 + i)), theirs ? 0 : 1);
        }
        CHECK_EQ(bus_balloon(r, 0, G_HVM + 4), 0); /* made with SWAP alone: moved */
        CHECK_EQ(gone(r, 0, -1), 0);
        for (unsigned i = 0; i < 20; i++) {
            bus_expect(r, 0x900 + i, i % 2 == 0 ? NOWHERE : G_PA(1, G_HVM + 4 + i), PVI_RW);
        }
        CHECK_EQ(r->f.dom.bus->nr_entries, 10);
        CHECK_EQ(gone(r, 0, -1), 0);
        bus_down(r); /* the emulator dies with the rest mapped, preempted too */
    }
}

static void test_deaths(void **state)
{
    (void)state;
    bus_each(deaths);
}

/* --- two emulators -------------------------------------------------------------------------------------- */

/* A frame that two domains have mapped: both must agree, each has a scratch frame of its own. */
static void test_two_domains(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD, .units = 2};
    struct bus_opt opt = {0};
    static struct bus_rig r;
    static struct pvi_domain second;
    static struct pvi_abi_call call;
    static unsigned char mem[32];
    struct pvi_domain_cfg dc;
    struct pvi_hdom *hdom;
    struct pvi_device dev;
    int rc;

    (void)state;
    for (unsigned keep = 0; keep < 3; keep++) { /* who did not say SWAP: nobody, the second, the first */
        uint64_t arg = BUS_ADDR, pa = G_PA(0, G_HVM);
        uint32_t count = 1;

        bus_up(&r, &cfg, &opt);
        hdom = pvi_posix_hdom_new(r.f.host, 30);
        CHECK_EQ(pvi_posix_hdom_permit(hdom, DOM0), 0);
        dc = fx_domain_cfg(&r.f);
        dc.hdom = hdom;
        dc.revmap = &r.map;
        dc.bus_pages = 50;
        dc.bus_entries = 10;
        CHECK_EQ(pvi_domain_init(&second, r.f.host, &dc), 0);
        dev = (struct pvi_device){.sbdf = {0x900}, .unit = r.f.unit[0].unit, .rid = {0x900}, .nr_rids = 1};
        CHECK_EQ(pvi_device_add(&second, &dev), 0);
        CHECK_EQ(bus_foreign1(&r, 0x900, G_HVM, DOM0, 1, keep == 2 ? RW : RW | SWAP), 0);
        memcpy(mem, r.mem, 32);
        mem[2] = keep == 1 ? RW : RW | SWAP;
        memset(&call, 0, sizeof(call));
        call.caller = &second;
        pvi_posix_hdom_mem(hdom, mem, BUS_ADDR, sizeof(mem));
        CHECK_EQ(pvi_xen_bus_call(&call, PVI_XEN_BUS_DRAFT_B, &arg, &count), 0);
        CHECK(mem[4] == 0);
        bus_load(&r, 0x900);
        CHECK_EQ(hwm_dma(r.f.unit[0].model, 0x900, 0x900000, true, &arg, NULL), HWM_OK);
        CHECK_EQ(arg, pa);
        rc = bus_balloon(&r, 0, G_HVM);
        CHECK_EQ(rc, keep ? PVI_BALLOON_HELD : 0);
        CHECK_EQ(hwm_dma(r.f.unit[0].model, 0x900, 0x900000, true, &arg, NULL), HWM_OK);
        CHECK_EQ(arg, keep ? pa : second.bus->scratch.a);
        bus_expect(&r, 0x900, keep ? pa : scratch(&r), PVI_RW);
        CHECK(keep || scratch(&r) != second.bus->scratch.a);
        CHECK_EQ(pvi_device_remove(&second, &dev), 0);
        pvi_domain_kill(&second);
        CHECK_EQ(pvi_domain_destroy(&second), 0);
        if (keep) { /* now all that are left could be moved, but the decision was made */
            bus_expect(&r, 0x900, pa, PVI_RW);
            CHECK_EQ(bus_unforeign1(&r, 0x900, 1), 0);
        }
        bus_down(&r);
    }
}

static int destroy_rc;

static void destroy_hook(void *opaque, enum pvi_posix_point at, bool after)
{
    struct bus_rig *r = opaque;

    (void)at;
    if (after && r->f.dom.devices) {
        while (r->f.dom.devices) {
            CHECK_EQ(pvi_device_remove(&r->f.dom, r->f.dom.devices), 0);
        }
        pvi_domain_kill(&r->f.dom);
        destroy_rc = pvi_domain_destroy(&r->f.dom);
    }
}

/* The emulator dies while a balloon is at its table: its end waits for the balloon's flush. */
static void dying(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};

    bus_up(r, cfg, &opt);
    CHECK_EQ(bus_foreign1(r, 0x900, G_HVM, DOM0, 1, RW | SWAP), 0);
    CHECK_EQ(bus_foreign1(r, 0x901, G_HVM + 1, DOM0, 1, RW | SWAP), 0);
    bus_load(r, 0x900);
    pvi_posix_hook(r->f.host, PVI_AT_BIT(PVI_AT_NOTIFY), destroy_hook, r);
    CHECK_EQ(bus_balloon(r, 0, G_HVM), 0);
    pvi_posix_hook(r->f.host, 0, NULL, NULL);
    CHECK_EQ(destroy_rc, -PVI_EPREEMPTED);
    CHECK_EQ(bus_refs(r, G_PA(0, G_HVM)), 0);
    bus_down(r);
}

static void test_dying(void **state)
{
    (void)state;
    bus_each(dying);
}

/* --- many ----------------------------------------------------------------------------------------------- */

/* 10 000 balloon events, one page at a time; the flush of each is one wait on each unit. */
static void test_many(void **state)
{
    const uint64_t nr = 10000, first = G_HVM + 64, step = 1000;
    struct fx_cfg cfg = {.kind = FX_VTD};
    struct bus_opt opt = {0};
    static struct bus_rig r;
    static struct pvi_balloon b;
    uint64_t waits;

    (void)state;
    bus_up(&r, &cfg, &opt);
    for (uint64_t i = 0; i < nr; i += step) {
        bus_begin(&r);
        for (uint64_t k = i; k < i + step; k++) {
            bus_foreign(&r, 0x10000 + k, first + k, DOM0, (unsigned)(k % 3), RW | SWAP);
        }
        CHECK_EQ(bus_call(&r), 0);
        CHECK_EQ(bus_status(&r, (unsigned)step - 1), 0);
    }
    CHECK_EQ(r.f.dom.bus->nr_entries, nr);
    fx_told_reset(&r.f);
    waits = fx_told(&r.f, 0).wait;
    for (uint64_t i = 0; i < nr; i++) {
        memset(&b, 0, sizeof(b));
        b.map = &r.map;
        b.pa.a = G_PA(0, first + i);
        CHECK_EQ(pvi_balloon_out(&b), 0);
        if (i % 997 == 0) {
            pvi_posix_checkpoint(r.f.host);
            CHECK_EQ(bus_refs(&r, b.pa.a), 0);
            bus_expect(&r, 0x10000 + i, scratch(&r), PVI_RW);
        }
    }
    CHECK_EQ(fx_told(&r.f, 0).wait - waits, nr);
    CHECK_EQ(notices(&r), nr);
    CHECK(pvi_posix_hdom_balanced(r.f.hdom));
    for (uint64_t i = 0; i < nr; i += step) {
        bus_begin(&r);
        for (uint64_t k = i; k < i + step; k++) {
            bus_unforeign(&r, 0x10000 + k, (unsigned)(k % 3));
        }
        CHECK_EQ(bus_call(&r), 0);
        CHECK_EQ(bus_status(&r, (unsigned)step - 1), 0);
    }
    CHECK_EQ(r.f.dom.bus->nr_entries, 0);
    bus_expect(&r, 0x10000, NOWHERE, 0);
    bus_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swapped),  cmocka_unit_test(test_held),   cmocka_unit_test(test_raced),
        cmocka_unit_test(test_moved_on), cmocka_unit_test(test_deaths), cmocka_unit_test(test_two_domains),
        cmocka_unit_test(test_dying),    cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
