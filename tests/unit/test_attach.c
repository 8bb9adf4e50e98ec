/* SPDX-License-Identifier: MIT */
/* Devices between contexts: all requester ids, groups, several units, reserved regions, order, failures. */
#include <string.h>

#include "fixture.h"

#define RMRR 0x20000ull /* first page of the region that most tests use */
#define RMRR_NR 0x30ull

static struct fx fx;

static void set_region(struct pvi_device *dev, unsigned i, uint64_t dfn, uint64_t nr, unsigned prot)
{
    dev->region[i] = (struct pvi_region){dfn << 12, ((dfn + nr) << 12) - 1, (uint8_t)prot};
    dev->nr_regions = (uint8_t)(i + 1);
}

static void alloc(unsigned nr)
{
    fx_begin(&fx);
    for (unsigned i = 0; i < nr; i++) {
        fx_alloc(&fx, 0);
    }
    fx_expect(&fx, 0);
}

static int reattach(unsigned ctx, unsigned dev)
{
    fx_begin(&fx);
    fx_reattach(&fx, ctx, dev);
    fx_run(&fx);
    return fx.op[0].status;
}

/* --- all that moves together ---------------------------------------------------------------------- */

static void moves(struct fx *f, const struct fx_cfg *cfg)
{
    struct fx_cfg own = *cfg;

    own.devices = 1;
    own.units = 2;
    fx_up(f, &own);
    /* Device 1 with all its requester ids, on the second unit; 2 and 3 are one group with 1. */
    (void)fx_device(f, 1, 1);
    f->dev[1].nr_rids = PVI_MAX_RIDS;
    for (unsigned i = 0; i < PVI_MAX_RIDS; i++) {
        f->dev[1].rid[i] = (uint16_t)(0x800 + 37 * i);
    }
    for (unsigned i = 2; i < 5; i++) {
        (void)fx_device(f, i, i % 2);
        f->dev[i].group = i < 4 ? 7 : 0;
    }
    f->dev[1].group = 7;
    for (unsigned i = 1; i < 5; i++) {
        CHECK_EQ(fx_add(f, i), 0);
        fx_check(f);
    }
    fx_begin(f);
    fx_alloc(f, 0);
    fx_alloc(f, 0);
    fx_map(f, 1, 0x100, GUEST_PV, 32, PVI_RW);
    fx_map(f, 2, 0x100, GUEST_PV + 64, 16, PVI_READ);
    fx_reattach(f, 1, 2);
    fx_expect(f, 0);
    CHECK_EQ(f->dev[1].ctx->id, 1); /* the whole group, and no other */
    CHECK_EQ(f->dev[3].ctx->id, 1);
    CHECK_EQ(f->dev[4].ctx->id, 0);
    for (unsigned i = 0; i < 6; i++) {
        fx_begin(f);
        fx_reattach(f, i % 3, 1 + i % 4);
        fx_reattach(f, (i + 1) % 3, 0);
        fx_expect(f, 0);
    }
    /* Where its group is, there a new member goes. */
    CHECK_EQ(fx_remove(f, 2), 0);
    fx_begin(f);
    fx_reattach(f, 2, 3);
    fx_expect(f, 0);
    CHECK_EQ(fx_add(f, 2), 0);
    CHECK_EQ(f->dev[2].ctx->id, 2);
    fx_check(f);
    fx_dma(f);
    fx_down(f);
}

static void everything_that_belongs_together(void **state)
{
    (void)state;
    fx_each(moves);
}

/* Two functions behind a bridge share its requester id: it is where their group is, until the last of them leaves. */
static void alias(struct fx *f, const struct fx_cfg *cfg)
{
    struct fx_cfg own = *cfg;

    own.devices = 1;
    fx_up(f, &own);
    for (unsigned i = 1; i < 4; i++) {
        struct pvi_device *d = fx_device(f, i, 0);

        d->group = 6;
        d->nr_rids = i == 3 ? 1 : 2; /* the last one has nothing but the bridge's id */
        d->rid[d->nr_rids - 1] = 0x500;
        CHECK_EQ(fx_add(f, i), 0);
    }
    fx_begin(f);
    fx_alloc(f, 0);
    fx_map(f, 1, 0x100, GUEST_PV, 32, PVI_RW);
    fx_reattach(f, 1, 3);
    fx_expect(f, 0);
    for (unsigned i = 2; i > 0; i--) {
        CHECK_EQ(fx_remove(f, i), 0);
        f->dev[i].nr_rids = 1; /* the bridge's id belongs to those that are left */
        fx_check(f);
        fx_dma(f);
    }
    CHECK_EQ(fx_remove(f, 3), 0);
    fx_check(f);
    fx_dma(f);
    fx_down(f);
}

static void shared_requester_id(void **state)
{
    (void)state;
    fx_each(alias);
}

static void malformed_devices(void **state)
{
    static struct pvi_posix_null stranger;

    (void)state;
    check_case("malformed");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1, .page_sizes = 1u << 21});
    for (unsigned k = 0; k < 20; k++) {
        struct pvi_device *d = fx_device(&fx, 1, 0);
        int want = -PVI_EINVAL;

        set_region(d, 0, 512, 512, PVI_RW);
        switch (k) {
        case 0: d->nr_rids = 0; want = 0; break; /* it issues no requests */
        case 1: d->nr_rids = PVI_MAX_RIDS + 1; break;
        case 2: d->nr_regions = PVI_MAX_DEV_REGIONS + 1; break;
        case 3: d->unit = NULL; break;
        case 4: d->unit = &stranger.unit; break;
        case 5: stranger.unit.index = 60; d->unit = &stranger.unit; break;
        case 6: d->region[0].first++; break;
        case 7: d->region[0].last--; break;
        case 8: d->region[0].last = d->region[0].first - 1; break;
        case 9: d->region[0].prot = 0; break;
        case 10: d->region[0].prot = 4; break;
        case 11: d->region[0].last = (1ull << 49) - 1; break;
        case 12: d->region[0].last = UINT64_MAX; break;
        case 13: d->region[0].first += 0x1000; break; /* not on a page of the context */
        case 14: d->region[0].last -= 0x1000; break;
        case 15: d->sbdf = fx.dev[0].sbdf; want = -PVI_EEXIST; break;
        case 16: set_region(d, 0, FX_MSI_FIRST >> 12 & ~0x1ffull, 512, PVI_RW); break; /* the window of interrupts */
        case 17: d->rid[0] = fx.dev[0].rid[0]; break; /* an id of a device that need not move with it */
        case 18: d->rid[0] = fx.dev[0].rid[0]; d->group = 5; break;
        default: want = 0; break;
        }
        check_step("description %u", k);
        CHECK_EQ(pvi_device_add(&fx.dom, d), want);
        CHECK_EQ(pvi_device_remove(&fx.dom, d), want == 0 ? 0 : -PVI_ENODEV);
        fx.nr_devs = 1;
        fx_check(&fx);
    }
    fx_down(&fx);
}

/* A bridge that has no requester id: guests attach it like any device, and hardware is told nothing. */
static void silent_device(void **state)
{
    uint64_t before;

    (void)state;
    check_case("no requester id");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_VTD, .devices = 1});
    fx_device(&fx, 1, 0)->nr_rids = 0;
    CHECK_EQ(fx_add(&fx, 1), 0);
    alloc(2);
    before = pvi_posix_calls(fx.host, PVI_AT_DEV_SWITCH);
    CHECK_EQ(reattach(1, 1), 0);
    CHECK_EQ(fx.dev[1].ctx->id, 1);
    CHECK_EQ(pvi_posix_calls(fx.host, PVI_AT_DEV_SWITCH), before);
    fx_begin(&fx);
    fx_free(&fx, 1, 0);
    fx_run(&fx);
    CHECK_EQ(fx.op[0].status, -PVI_EBUSY);
    CHECK_EQ(reattach(2, 0), 0);
    CHECK_EQ(reattach(2, 1), 0);
    fx_begin(&fx);
    fx_free(&fx, 2, PVI_FREE_REATTACH);
    fx_expect(&fx, 0);
    CHECK_EQ(fx.dev[1].ctx->id, 0);
    CHECK_EQ(fx_remove(&fx, 1), 0);
    fx_check(&fx);
    fx_down(&fx);
}

/* --- reserved regions ----------------------------------------------------------------------------- */

/* While a device needs them, a guest can neither map, unmap nor see into them. */
static void regions_refused(struct fx *f)
{
    fx_begin(f);
    fx_map(f, 1, RMRR, GUEST_PV, 1, PVI_RW);
    fx_map(f, 1, RMRR + 0x1000 - 5, GUEST_PV, 6, PVI_RW);
    fx_map(f, 1, RMRR + RMRR_NR - 1, GUEST_PV, 2, PVI_RW);
    fx_map(f, 1, RMRR - 700, GUEST_PV, 2000, PVI_RW);
    fx_map(f, 1, RMRR + 0x1000, GUEST_PV, 3, PVI_RW);
    fx_unmap(f, 1, RMRR, 1);
    fx_unmap(f, 1, RMRR + RMRR_NR - 1, 1);
    fx_unmap(f, 1, RMRR - 1, RMRR_NR + 2);
    fx_lookup(f, 1, RMRR + 3);
    fx_run(f);
    for (unsigned i = 0; i < f->nr_ops; i++) {
        CHECK_EQ(f->op[i].status, -PVI_ERESERVED);
    }
    CHECK_EQ(f->op[1].fault, RMRR + 0x1000);
    CHECK_EQ(f->op[3].fault, RMRR);
    CHECK_EQ(f->op[7].fault, RMRR);
}

/* Counted, mapped before the switch, refused to the guest, gone after the last leaver (R10, R18). */
static void regions(struct fx *f, const struct fx_cfg *cfg)
{
    struct fx_cfg own = *cfg;

    own.devices = 1;
    own.units = 2;
    fx_up(f, &own);
    for (unsigned i = 1; i < 4; i++) {
        struct pvi_device *d = fx_device(f, i, i % 2);

        set_region(d, 0, RMRR, RMRR_NR, PVI_RW);
        if (i == 3) {
            set_region(d, 1, RMRR + 0x1000, 1, PVI_READ);
        }
        CHECK_EQ(fx_add(f, i), 0);
        fx_touch(f, RMRR);
        fx_touch(f, RMRR + RMRR_NR - 1);
        fx_touch(f, RMRR + 0x1000);
        fx_check(f);
        fx_dma(f);
    }
    fx_begin(f);
    fx_alloc(f, 0);
    fx_reattach(f, 1, 1);
    fx_reattach(f, 1, 3);
    fx_expect(f, 0);
    regions_refused(f);
    fx_begin(f);
    fx_reattach(f, 0, 1); /* 3 still needs it */
    fx_map(f, 1, RMRR, GUEST_PV, 1, PVI_RW);
    fx_run(f);
    CHECK_EQ(f->op[1].status, -PVI_ERESERVED);
    fx_begin(f);
    fx_reattach(f, 0, 3);
    fx_unmap(f, 1, RMRR - 700, 1);
    fx_run(f);
    fx_begin(f);
    fx_map(f, 1, RMRR, GUEST_PV, RMRR_NR, PVI_RW); /* nobody needs it there any more */
    fx_expect(f, 0);
    fx_begin(f);
    fx_reattach(f, 1, 1); /* and now it is in the way */
    fx_expect(f, -PVI_EEXIST);
    fx_begin(f);
    fx_unmap(f, 1, RMRR + 1, RMRR_NR - 1);
    fx_reattach(f, 1, 1);
    fx_unmap(f, 1, RMRR, 1);
    fx_reattach(f, 1, 1);
    fx_run(f);
    CHECK_EQ(f->op[1].status, -PVI_EEXIST);
    CHECK_EQ(f->op[3].status, 0);
    fx_begin(f);
    fx_free(f, 1, PVI_FREE_REATTACH);
    fx_expect(f, 0);
    fx_down(f);
}

static void reserved_regions(void **state)
{
    (void)state;
    fx_each(regions);
}

/* Regions that overlap without being the same, or with other rights, are refused, nothing changed. */
static void regions_never_merge(void **state)
{
    static const struct {
        uint64_t dfn, nr;
        unsigned prot;
        int status;
    } r[] = {
        {RMRR, RMRR_NR, PVI_RW, 0},          {RMRR, RMRR_NR, PVI_READ, -PVI_EEXIST},
        {RMRR, RMRR_NR - 1, PVI_RW, -PVI_EEXIST}, {RMRR - 1, 2, PVI_RW, -PVI_EEXIST},
        {RMRR + RMRR_NR - 1, 9, PVI_RW, -PVI_EEXIST}, {RMRR + RMRR_NR, 1, PVI_READ, 0},
        {RMRR - 1, 1, PVI_WRITE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
        check_case("second region %zu", i);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1});
        set_region(fx_device(&fx, 1, 0), 0, RMRR, RMRR_NR, PVI_RW);
        CHECK_EQ(fx_add(&fx, 1), 0);
        set_region(fx_device(&fx, 2, 0), 0, 0x9000, 4, PVI_READ);
        set_region(&fx.dev[2], 1, r[i].dfn, r[i].nr, r[i].prot);
        CHECK_EQ(fx_add(&fx, 2), r[i].status);
        fx.nr_devs = r[i].status == 0 ? 3 : 2;
        fx_check(&fx);
        fx_down(&fx);
    }
}

/* An identity context maps a region already: then it stays when the device leaves. */
static void regions_in_identity(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        check_case("identity, region %u", k);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1});
        /* Inside a run, outside of all, half inside one. */
        set_region(fx_device(&fx, 1, 0), 0, k == 0 ? 0x210 : k == 1 ? 0x30000 : 0x90, 0x20, PVI_RW);
        CHECK_EQ(fx_add(&fx, 1), 0);
        fx_begin(&fx);
        fx_alloc(&fx, PVI_ALLOC_IDENTITY);
        fx_reattach(&fx, 1, 1);
        fx_unmap(&fx, 1, k < 2 ? fx.dev[1].region[0].first >> 12 : 0x20, 1);
        fx_reattach(&fx, 1, 0);
        fx_run(&fx);
        CHECK_EQ(fx.op[1].status, k < 2 ? 0 : -PVI_EEXIST);
        CHECK(k == 2 || fx.op[2].status == -PVI_ERESERVED);
        CHECK_EQ(fx_remove(&fx, 1), 0);
        fx_begin(&fx);
        fx_unmap(&fx, 1, 0x210, 1); /* the guest's own again */
        fx_expect(&fx, 0);
        fx_down(&fx);
    }
}

/* More regions than a context holds: the attach that comes too late is refused whole. */
static void too_many_regions(void **state)
{
    (void)state;
    check_case("too many regions");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1});
    for (unsigned i = 1; i < 6; i++) {
        struct pvi_device *d = fx_device(&fx, i, 0);

        for (unsigned k = 0; k < 4 - (i == 4); k++) {
            set_region(d, k, 0x1000 * i + 0x10 * k, 8, PVI_RW);
        }
        CHECK_EQ(fx_add(&fx, i), i < 5 ? 0 : -PVI_ENOSPC);
    }
    fx.nr_devs = 5;
    fx_check(&fx);
    fx_down(&fx);
}

/* --- order ---------------------------------------------------------------------------------------- */

static struct {
    struct pvi_inv inv[64];
    unsigned nr_inv, waits, did_freed_early, unmapped_at_switch, switches;
} seen;

static void note(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)opaque;
    (void)u;
    if (seen.nr_inv < 64) {
        seen.inv[seen.nr_inv++] = *inv;
    }
}

/* Around a switch the region is translated for the requester, by the table that its entry names (R10). */
static void watch(void *opaque, enum pvi_posix_point at, bool after)
{
    const struct pvi_dev_entry *e = &fx.unit[0].null.entry[fx.dev[1].rid[0]];

    (void)opaque;
    if (at == PVI_AT_INV_WAIT) {
        seen.waits += after;
    } else if (at == PVI_AT_DID_FREE) {
        seen.did_freed_early += !after && seen.waits == 0;
    } else if (e->translate) {
        struct hwm_leaf leaf = {.status = HWM_S_ABSENT};
        struct hwm_mem mem = {
            .opaque = &fx.unit[0].view, .read64 = pvi_posix_hw_read64, .read32 = pvi_posix_hw_read32,
            .valid = pvi_posix_hw_valid,
        };

        seen.switches += after && at == PVI_AT_DEV_SWITCH;
        seen.unmapped_at_switch += hwm_walk_vtdss(&mem, e->root.a, e->levels, RMRR << 12, &leaf) != HWM_S_LEAF ||
                                   leaf.pa != RMRR << 12;
    }
}

static void order_of_a_move(void **state)
{
    uint16_t old;

    (void)state;
    check_case("order");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1});
    set_region(fx_device(&fx, 1, 0), 0, RMRR, RMRR_NR, PVI_RW);
    CHECK_EQ(fx_add(&fx, 1), 0);
    alloc(2);
    CHECK_EQ(reattach(1, 1), 0);
    old = fx.dom.slot[0]->did[0];
    memset(&seen, 0, sizeof(seen));
    fx.unit[0].null.told = note;
    pvi_posix_hook(fx.host,
                   PVI_AT_BIT(PVI_AT_DEV_SWITCH) | PVI_AT_BIT(PVI_AT_INV_WAIT) | PVI_AT_BIT(PVI_AT_DID_FREE) |
                       PVI_AT_BIT(PVI_AT_INV_SUBMIT) | PVI_AT_BIT(PVI_AT_WRITE),
                   watch, NULL);
    CHECK_EQ(reattach(2, 1), 0);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK_EQ(seen.switches, 1);
    CHECK_EQ(seen.unmapped_at_switch, 0);
    CHECK_EQ(seen.did_freed_early, 0);
    CHECK(fx.dom.slot[1]->did[0] != old); /* not given out again before it is forgotten */
    CHECK_EQ(seen.inv[0].kind, PVI_INV_DEVICE);
    CHECK_EQ(seen.inv[0].rid, fx.dev[1].rid[0]);
    CHECK_EQ(seen.inv[0].did, old); /* what the entry was cached under (R9) */
    CHECK_EQ(seen.inv[1].kind, PVI_INV_DOMAIN);
    CHECK_EQ(seen.inv[1].did, old);
    fx_down(&fx);
}

/* --- failures ------------------------------------------------------------------------------------- */

static unsigned fail_at, at_switch;
static uint8_t right_levels;

/* The k-th switch is refused, as by a unit that cannot take it: nothing changed there. */
static void refuse_switch(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_unit_caps *caps = opaque;

    (void)at;
    if (!after) {
        caps->levels_mask = ++at_switch == fail_at ? 0 : right_levels;
    } else {
        caps->levels_mask = right_levels;
    }
}

/* Devices 1 to 3: one group, two requester ids each, a region each. */
static void group_up(void)
{
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1, .np_cache = true});
    for (unsigned i = 1; i < 4; i++) {
        struct pvi_device *d = fx_device(&fx, i, 0);

        d->group = 3;
        d->nr_rids = 2;
        d->rid[1] = (uint16_t)(d->rid[0] + 1);
        set_region(d, 0, RMRR + 0x100 * i, 3, PVI_RW);
        CHECK_EQ(fx_add(&fx, i), 0);
    }
    alloc(2);
}

static void refused_switch(void **state)
{
    (void)state;
    for (unsigned k = 1; k <= 7; k++) {
        uint32_t free;

        check_case("switch %u refused", k);
        group_up();
        free = fx.dom.pool.nr_free;
        fail_at = k;
        at_switch = 0;
        right_levels = fx.unit[0].unit->caps.levels_mask;
        pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_DEV_SWITCH), refuse_switch, &fx.unit[0].unit->caps);
        fx_begin(&fx);
        fx_reattach(&fx, 1, 2);
        CHECK_EQ(fx_submit(&fx), 0);
        pvi_posix_hook(fx.host, 0, NULL, NULL);
        CHECK_EQ(fx.op[0].status, k <= 6 ? -PVI_EOPNOTSUPP : 0);
        if (k > 6) {
            fx_judge(&fx);
        }
        fx_check(&fx); /* everything is where it was, regions too */
        CHECK(k > 6 || fx.dom.pool.nr_free >= free - 4); /* empty tables of the attempt may stay */
        CHECK_EQ(reattach(1, 2), 0);
        CHECK_EQ(reattach(2, 1), 0);
        fx_down(&fx);
    }
}

static void no_domain_id(void **state)
{
    (void)state;
    for (unsigned add = 0; add < 2; add++) {
        check_case("no domain id");
        group_up();
        pvi_posix_fail(fx.host, PVI_AT_DID_ALLOC, 1, true);
        if (add) {
            fx_begin(&fx);
            fx.tolerate = ORC_TOLERATE_NOSPC;
            fx_reattach(&fx, 1, 2);
            fx_expect(&fx, -PVI_ENOSPC);
        } else {
            static struct pvi_domain fresh;
            struct pvi_domain_cfg dc = fx_domain_cfg(&fx);

            CHECK_EQ(pvi_domain_init(&fresh, fx.host, &dc), 0);
            (void)fx_device(&fx, 4, 0);
            CHECK_EQ(pvi_device_add(&fresh, &fx.dev[4]), -PVI_ENOSPC);
            CHECK(!fresh.devices);
            fx.nr_devs = 4;
            pvi_domain_kill(&fresh);
            CHECK_EQ(pvi_domain_destroy(&fresh), 0);
        }
        pvi_posix_fail(fx.host, PVI_AT_DID_ALLOC, 0, false);
        fx.tolerate = 0;
        fx_check(&fx);
        CHECK_EQ(reattach(1, 2), 0);
        fx_down(&fx);
    }
}

/* No page for a region, at each point: refused whole. */
static void no_page_for_a_region(void **state)
{
    (void)state;
    for (uint32_t pages = 2; pages < 8; pages++) {
        check_case("regions, %u pages", pages);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1, .pages = pages, .contexts = 1});
        for (unsigned i = 1; i < 3; i++) {
            struct pvi_device *d = fx_device(&fx, i, 0);

            d->group = 1;
            set_region(d, 0, 0x200 * i, 3, PVI_RW);
            set_region(d, 1, 0x40000 * i, 3, PVI_RW);
            CHECK_EQ(fx_add(&fx, i), 0);
        }
        alloc(1);
        fx.tolerate = ORC_TOLERATE_MEMORY;
        fx_begin(&fx);
        fx_reattach(&fx, 1, 1);
        fx_run(&fx); /* the tables are those of the oracle, whose devices did not move */
        CHECK(fx.op[0].status == -PVI_ENOMEM);
        fx_down(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_belongs_together),
        cmocka_unit_test(shared_requester_id),
        cmocka_unit_test(malformed_devices),
        cmocka_unit_test(silent_device),
        cmocka_unit_test(reserved_regions),
        cmocka_unit_test(regions_never_merge),
        cmocka_unit_test(regions_in_identity),
        cmocka_unit_test(too_many_regions),
        cmocka_unit_test(order_of_a_move),
        cmocka_unit_test(refused_switch),
        cmocka_unit_test(no_domain_id),
        cmocka_unit_test(no_page_for_a_region),
    };

    return cmocka_run_group_tests_name("attach", tests, NULL, NULL);
}
