/* SPDX-License-Identifier: MIT */
/*
 * share_pt: devices translate through a table of the host's own making, as a processor has it for an HVM guest: built here by hand,
 * entry by entry, with the execute and memory-type bits that a unit ignores. Then hooks of a sync_pt domain that meet failing
 * hardware and malformed input, for which no table is needed.
 */
#include <string.h>

#include "fixture.h"

#define RWX 7ull
#define WB (6ull << 3)
#define LARGE (1ull << 7)
#define PA(frame) ((pvi_pa){(uint64_t)(frame) << 12})

static struct fx fx;
static struct pvi_sync sync;
static uint64_t table[4]; /* from the root down */

static uint64_t new_table(void)
{
    void *content;
    pvi_pa pa;

    CHECK_EQ(pvi_host_page_alloc(fx.host, &pa), 0);
    content = pvi_posix_ptr(fx.host, pa.a, PVI_PAGE_SIZE);
    memset(content, 0, PVI_PAGE_SIZE);
    pvi_env_writeback(fx.host, content, PVI_PAGE_SIZE);
    return pa.a;
}

static void store(unsigned t, unsigned index, uint64_t entry)
{
    uint64_t *content = pvi_posix_ptr(fx.host, table[t], PVI_PAGE_SIZE);

    pvi_env_write64(fx.host, &content[index], entry);
    pvi_env_writeback(fx.host, &content[index], sizeof(entry));
}

/* 4K pages at 0x40000000 + n: frames 0x300000 + n; 2 MiB at 0x40200000; a 1:1 page at 0x40010000. */
static void host_table(void)
{
    for (unsigned t = 4; t-- > 0;) {
        table[t] = new_table();
    }
    store(0, 0, table[1] | RWX);
    store(1, 1, table[2] | RWX);
    store(2, 0, table[3] | RWX);
    store(2, 1, 0x500000000ull | RWX | WB | LARGE);
    for (unsigned i = 0; i < 256; i++) {
        store(3, i, (0x300000ull + i) << 12 | RWX | WB);
    }
    store(3, 16, 0x40010000ull | RWX | WB);
}

static void up(const struct fx_cfg *cfg, unsigned devices)
{
    struct pvi_domain_cfg dc;

    fx_machine(&fx, cfg);
    fx.cfg.devices = 0;
    host_table();
    dc = fx_domain_cfg(&fx);
    dc.passthrough = (struct pvi_passthrough_cfg){
        .mode = PVI_PASSTHROUGH_DEFAULT,
        .assigned = true,
        .share = {.format = &pvi_vtd_ss_ops, .root.a = table[0], .levels = 4, .page_sizes = 1ull << 12 | 1ull << 21, .written_back = true},
    };
    CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
    CHECK_EQ(pvi_domain_start(&fx.dom), 0);
    pvi_sync_init(&sync, &fx.dom);
    for (unsigned i = 0; i < devices; i++) {
        CHECK_EQ(pvi_device_add(&fx.dom, fx_device(&fx, i, i % fx.nr_units)), 0);
    }
}

static void down(void)
{
    fx_domain_end(&fx, false);
    for (unsigned t = 0; t < 4; t++) {
        memset(pvi_posix_ptr(fx.host, table[t], PVI_PAGE_SIZE), 0, PVI_PAGE_SIZE);
        pvi_host_page_free(fx.host, (pvi_pa){table[t]});
    }
    fx_drop(&fx);
}

/* What device i reaches at a page; 0: it faults. */
static uint64_t reached(unsigned i, uint64_t iova)
{
    struct hwm *model = fx.unit[i % fx.nr_units].model;
    uint64_t pa = 0;

    return hwm_dma(model, fx.dev[i].rid[0], iova, true, &pa, NULL) == HWM_OK ? pa : 0;
}

static const struct fx_cfg kinds[] = {
    {.kind = FX_VTD, .units = 2},
    {.kind = FX_VTD, .np_cache = true},
    {.kind = FX_VTD, .no_pages = true},
    {.kind = FX_VTD, .incoherent = true}, /* the host writes back */
};

/* Devices reach what the processor would, and what the host takes away faults after the flush, cached or not. */
static void shared(void **state)
{
    (void)state;
    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct pvi_passthrough_info info;

        check_case("shared, %u", k);
        up(&kinds[k], 2);
        pvi_passthrough_query(&fx.dom, &info);
        CHECK(info.asked == PVI_PASSTHROUGH_DEFAULT && info.in_force == PVI_PASSTHROUGH_SHARE_PT && info.obstacle == 0);
        for (unsigned i = 0; i < 2; i++) {
            CHECK_EQ(reached(i, 0x40005000), 0x300005000ull);
            CHECK_EQ(reached(i, 0x40345000), 0x500145000ull);
            CHECK_EQ(reached(i, 0x40180000), 0);
        }
        store(3, 5, 0);
        CHECK(reached(0, 0x40005000) != 0); /* caches never forget by themselves */
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){0x40005}, 1, false), 0);
        store(3, 0x180, 0x444000 | RWX | WB);
        CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x40180}, PA(0x444), 1, PVI_RW), 0);
        for (unsigned i = 0; i < 2; i++) {
            CHECK_EQ(reached(i, 0x40005000), 0);
            CHECK_EQ(reached(i, 0x40006000), 0x300006000ull);
            CHECK_EQ(reached(i, 0x40180000), 0x444000);
        }
        pvi_sync_begin(&sync); /* one flush for a bracket; a table goes */
        store(2, 0, 0);
        CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x40000}, 0x200), 0);
        store(2, 1, 0);
        CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){0x40200}, 0x200, PVI_READ), 0);
        CHECK(reached(0, 0x40006000) != 0);
        CHECK_EQ(pvi_sync_end(&sync), 0);
        for (unsigned i = 0; i < 2; i++) {
            CHECK(reached(i, 0x40006000) == 0 && reached(i, 0x40345000) == 0);
        }
        store(2, 0, table[3] | RWX);
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){0}, 0, true), 0); /* everything */
        CHECK(reached(1, 0x40006000) == 0x300006000ull);
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){1ull << 45}, 1, true), 0); /* beyond the table */
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){1}, 0, true), -PVI_EWRAP);
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){1ull << 52}, 1, true), -PVI_EWRAP);
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){2}, (1ull << 52) - 1, true), -PVI_EWRAP);
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){2}, (1ull << 52) - 2, true), 0);
        down();
    }
}

/* A device with a region comes only where the host's table has it. */
static void shared_regions(void **state)
{
    struct pvi_device *dev;

    (void)state;
    check_case("regions in the host's table");
    up(&kinds[0], 1);
    dev = fx_device(&fx, 1, 1);
    dev->nr_regions = 1;
    store(2, 2, 0x40400000ull | RWX | WB | LARGE); /* 1:1, and nothing behind it */
    for (unsigned k = 0; k < 7; k++) {
        const struct pvi_region region[] = {
            {0x40010000, 0x40010fff, PVI_RW},   /* 1:1 */
            {0x40010000, 0x40011fff, PVI_RW},   /* not all of it */
            {0x40011000, 0x40011fff, PVI_READ}, /* elsewhere */
            {0x50000000, 0x50000fff, PVI_READ}, /* nowhere */
            {0x40010000, 0x40010fff, PVI_RW},   /* read-only by then */
            {0x405ff000, 0x40600fff, PVI_READ}, /* begins within a large leaf, ends behind it */
            {0x40010000, 0x40010fff, PVI_READ}, /* below a link that gives no right to write by then: not for us to work out */
        };

        check_step("%u", k);
        if (k == 4) {
            store(3, 16, 0x40010000ull | 5 | WB);
            CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){0x40010}, 1, false), 0);
        }
        if (k == 6) {
            store(2, 0, table[3] | 5);
            CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){0x40000}, 0x200, true), 0);
        }
        dev->region[0] = region[k];
        CHECK_EQ(pvi_device_add(&fx.dom, dev), k == 0 ? 0 : -PVI_ENOENT);
        CHECK_EQ(fx.dom.default_ctx.nr_regions, k == 0);
        CHECK_EQ(reached(1, 0x40010000), k == 0 ? 0x40010000 : 0);
        if (k == 0) {
            CHECK_EQ(pvi_device_remove(&fx.dom, dev), 0);
            CHECK_EQ(reached(1, 0x40010000), 0);
        }
    }
    CHECK_EQ(fx.dom.default_ctx.nr_regions, 0);
    fx.dom.cfg.passthrough.share.opaque = true; /* a host that only names its table is taken at its word */
    CHECK_EQ(pvi_device_add(&fx.dom, dev), 0);
    CHECK_EQ(fx.dom.default_ctx.nr_regions, 1);
    CHECK_EQ(pvi_device_remove(&fx.dom, dev), 0);
    down();
}

/* A device with a region cannot come back once the host's table has lost it: it stays where its region is. */
static void region_lost(void **state)
{
    struct pvi_device *dev;
    struct pvi_op *op;

    (void)state;
    check_case("a region that the host's table has lost");
    up(&kinds[0], 0);
    dev = fx_device(&fx, 0, 0);
    dev->nr_regions = 1;
    dev->region[0] = (struct pvi_region){0x40010000, 0x40010fff, PVI_RW};
    CHECK_EQ(pvi_device_add(&fx.dom, dev), 0);
    fx_begin(&fx);
    op = fx_op(&fx, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 1;
    op->u.init.nr_pages = 20;
    fx_alloc(&fx, 0);
    fx_reattach(&fx, 1, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[2].status == 0 && reached(0, 0x40010000) == 0x40010000 && reached(0, 0x40006000) == 0);
    store(3, 16, 0);
    CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){0x40010}, 1, false), 0);
    for (unsigned k = 0; k < 2; k++) {
        fx_begin(&fx);
        fx_reattach(&fx, 0, 0);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK_EQ(fx.op[0].status, k == 0 ? -PVI_ENOENT : 0);
        CHECK_EQ(dev->ctx->id, k == 0 ? 1 : 0);
        CHECK_EQ(reached(0, 0x40010000), 0x40010000);
        store(3, 16, 0x40010000ull | RWX | WB);
    }
    down();
}

/* From share_pt to sync_pt: never under a device. Contexts of the guest's are as ever. */
static void stopped(void **state)
{
    struct pvi_passthrough_info info;
    struct pvi_op *op;

    (void)state;
    check_case("share_pt stops");
    up(&kinds[0], 1);
    CHECK_EQ(pvi_share_stop(&fx.dom), -PVI_EBUSY);
    fx_begin(&fx);
    op = fx_op(&fx, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 2;
    op->u.init.nr_pages = 40;
    fx_alloc(&fx, 0);
    fx_map(&fx, 1, 0x77, GUEST_PV, 1, PVI_RW);
    fx_reattach(&fx, 1, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[1].status == 0 && fx.op[2].status == 0 && fx.op[3].status == 0);
    CHECK(reached(0, 0x77000) == 0x4000000000ull && reached(0, 0x40006000) == 0);
    fx_begin(&fx);
    fx_reattach(&fx, 0, 0); /* and back to the host's table */
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == 0 && reached(0, 0x40006000) == 0x300006000ull && reached(0, 0x77000) == 0);
    fx_begin(&fx);
    fx_reattach(&fx, 1, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(pvi_share_stop(&fx.dom), 0);
    CHECK_EQ(pvi_share_stop(&fx.dom), -PVI_EDEFAULT);
    pvi_passthrough_query(&fx.dom, &info);
    CHECK(info.in_force == PVI_PASSTHROUGH_SYNC_PT && info.asked == PVI_PASSTHROUGH_DEFAULT && info.obstacle == 0);
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x40006}, PA(0x999), 2, PVI_RW), 0);
    fx_begin(&fx);
    fx_reattach(&fx, 0, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == 0 && reached(0, 0x40006000) == 0x999000 && reached(0, 0x40008000) == 0);
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x40006}, 1), 0);
    CHECK(reached(0, 0x40006000) == 0 && reached(0, 0x40007000) == 0x99a000);
    down();
}

/* --- sync_pt: input and failures ------------------------------------------------------------------------ */

static void up_sync(enum fx_kind kind)
{
    struct pvi_domain_cfg dc;

    fx_machine(&fx, &(struct fx_cfg){.kind = kind});
    dc = fx_domain_cfg(&fx);
    dc.passthrough.mode = PVI_PASSTHROUGH_SYNC_PT;
    fx_domain(&fx, &dc);
    pvi_sync_init(&sync, &fx.dom);
}

static void malformed(void **state)
{
    static const struct {
        uint64_t dfn, pa, nr;
        unsigned prot;
        int add, change;
    } in[] = {
        {0x1000, 0x1000, 0, PVI_RW, -PVI_ELENGTH, -PVI_ELENGTH},
        {0x1000, 0x1000, PVI_SYNC_FRAMES + 1, PVI_RW, -PVI_ELENGTH, -PVI_ELENGTH},
        {0x1000, 0x1000, UINT64_MAX, PVI_RW, -PVI_ELENGTH, -PVI_ELENGTH},
        {0x3ffff, 0x1000, 2, PVI_RW, -PVI_ELENGTH, 0},
        {1ull << 52, 0x1000, 1, PVI_RW, -PVI_EWRAP, -PVI_EWRAP},
        {(1ull << 52) - 1, 0x1000, 2, PVI_RW, -PVI_EWRAP, -PVI_EWRAP},
        {UINT64_MAX, 0x1000, 2, PVI_RW, -PVI_EWRAP, -PVI_EWRAP},
        {0x1000, 0x1000, 1, 4, -PVI_EFLAGS, -PVI_EFLAGS},
        {0x1000, 0x1000, 1, 0, -PVI_EFLAGS, -PVI_EFLAGS},
        {0x1000, 0x1000, 1, ~0u, -PVI_EFLAGS, -PVI_EFLAGS},
        {0x1000, 0x1001, 1, PVI_RW, -PVI_EALIGN, 0},
        {1ull << 36, 0x1000, 1, PVI_RW, -PVI_ERANGE, 0},
        {0x1000, 1ull << 46, 1, PVI_RW, -PVI_ERANGE, 0},
        {0x1000, (1ull << 46) - 0x1000, 2, PVI_RW, -PVI_ERANGE, 0},
        {0x1000, 0xfffffffffffff000, 2, PVI_RW, -PVI_ERANGE, 0},
    };

    (void)state;
    check_case("malformed input");
    up_sync(FX_VTD);
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x9000}, PA(0x9000), 2, PVI_RW), 0);
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
        check_step("%zu", i);
        for (unsigned bracket = 0; bracket < 2; bracket++) {
            if (bracket != 0) {
                pvi_sync_begin(&sync);
            }
            CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){in[i].dfn}, (pvi_pa){in[i].pa}, in[i].nr, in[i].prot), in[i].add);
            CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){in[i].dfn}, in[i].nr, in[i].prot), in[i].change);
            if (in[i].change != -PVI_EFLAGS) {
                CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){in[i].dfn}, in[i].nr), in[i].change);
            }
            CHECK(sync.missing.nr == 0 && sync.kept.nr == 0);
            CHECK_EQ(bracket != 0 ? pvi_sync_end(&sync) : 0, 0);
        }
    }
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x8ffe}, PA(0x70), 4, PVI_RW), -PVI_EEXIST);
    CHECK(sync.missing.dfn.f == 0x9000 && sync.missing.nr == 2); /* what lies before it is mapped */
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x8ffe}, 2), 0);
    CHECK(flat_map(fx.orc.ctx[0].map, 0x9000, 2, 0x9000000, PVI_RW, 0));
    fx_check(&fx);
    pvi_domain_kill(&fx.dom); /* from now on nothing is added, and all may go */
    CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x5000}, PA(0x70), 4, PVI_RW), -PVI_EDYING);
    CHECK(sync.missing.dfn.f == 0x5000 && sync.missing.nr == 4);
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x9000}, 1), 0);
    CHECK_EQ(reached(0, 0x9000000), 0);
    while (fx.dom.devices) {
        CHECK_EQ(pvi_device_remove(&fx.dom, fx.dom.devices), 0);
    }
    CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x9001}, 1), 0); /* there is no context any more, and no device */
    CHECK_EQ(pvi_sync_protect(&sync, (pvi_dfn){0x9001}, 1, PVI_READ), 0);
    fx_end(&fx, false);
}

/* What the table translates is the model's, whatever a call could do. */
static void same(uint64_t dfn, uint64_t nr)
{
    for (uint64_t at = dfn; at < dfn + nr; at += 13) {
        fx_touch(&fx, at);
    }
    pvi_posix_checkpoint(fx.host);
    fx_check(&fx);
    fx_dma(&fx);
}

/*
 * Additions and removals with any number of pages free: what is not reported is done, what is reported is as it was, and once
 * there are pages again the rest can be done.
 */
static void every_shortage(struct fx *f, const struct fx_cfg *cfg)
{
    (void)f;
    for (uint32_t left = 0; left < 9; left++) {
        struct pvi_quota other = {.limit = UINT32_MAX};
        struct pvi_page *held = NULL;
        struct pvi_domain_cfg dc;
        uint32_t nr;
        int rc;

        check_step("%u pages left", left);
        fx_machine(&fx, cfg);
        dc = fx_domain_cfg(&fx);
        dc.passthrough = (struct pvi_passthrough_cfg){.mode = PVI_PASSTHROUGH_SYNC_PT, .reserve = 1};
        fx_domain(&fx, &dc);
        pvi_sync_init(&sync, &fx.dom);
        CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x40000}, PA(0x140000), 0x10000, PVI_RW), 0);
        CHECK(flat_map(fx.orc.ctx[0].map, 0x40000, 0x10000, 0x140000000ull, PVI_RW, 0));
        nr = fx.dom.default_pool.nr_free - 1 - left;
        CHECK_EQ(pvi_pool_take(&fx.dom.default_pool, &other, nr, 0, PVI_PAGE_LIST, &held), 0);
        for (unsigned k = 0; k < 2; k++) { /* short of pages; then not */
            rc = pvi_sync_add(&sync, (pvi_dfn){0x6ff00}, PA(0x990001), 0x800, PVI_RW); /* five tables, or six */
            CHECK(rc == 0 || (k == 0 && rc == -PVI_ENOMEM && sync.missing.nr != 0 && sync.kept.nr == 0));
            CHECK(rc == 0 || sync.missing.dfn.f + sync.missing.nr == 0x70700);
            nr = 0x800 - (uint32_t)sync.missing.nr;
            CHECK(nr == 0 || flat_map(fx.orc.ctx[0].map, 0x6ff00, nr, 0x990001000ull, PVI_RW, 0));
            CHECK(rc != 0 || k != 0 || left != 0);
            same(0x6ff00, 0x800);
            rc = pvi_sync_remove(&sync, (pvi_dfn){0x40101}, 0x2000); /* both ends in leaves */
            CHECK(rc == 0 || (k == 0 && rc == -PVI_ENOMEM && sync.kept.nr != 0 && sync.missing.nr == 0));
            CHECK(rc == 0 ? k != 0 || left != 0 : sync.kept.dfn.f + sync.kept.nr == 0x42101);
            (void)flat_unmap(fx.orc.ctx[0].map, 0x40101, 0x2000 - sync.kept.nr);
            same(0x40000, 0x2200);
            CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x6ff00}, 0x800), 0);
            (void)flat_unmap(fx.orc.ctx[0].map, 0x6ff00, 0x800);
            pvi_pool_put_list(&fx.dom.default_pool, held);
            held = NULL;
        }
        fx_end(&fx, false);
    }
}

static void short_of_pages(void **state)
{
    (void)state;
    fx_each(every_shortage);
}

/* A unit that does not obey: whatever a bracket has touched is kept, and everything from then on. */
static void dead_unit(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        check_case("a unit fails, %u", k);
        up_sync(FX_NULL);
        CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0x9000}, PA(0x9000), 0x400, PVI_RW), 0);
        fx.unit[0].null.fail_submit = k % 2 == 0;
        fx.unit[0].null.fail_wait = k % 2 == 1;
        if (k < 2) {
            CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x9010}, 4), -PVI_EHW);
            CHECK(sync.kept.dfn.f == 0x9010 && sync.kept.nr == 4);
        } else {
            pvi_sync_begin(&sync);
            CHECK_EQ(k < 4 ? pvi_sync_remove(&sync, (pvi_dfn){0x9010}, 4) : pvi_sync_protect(&sync, (pvi_dfn){0x9010}, 4, PVI_READ), 0);
            CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x9300}, 1), 0);
            CHECK_EQ(pvi_sync_end(&sync), -PVI_EHW);
            CHECK(sync.kept.dfn.f == 0x9010 && sync.kept.nr == 0x2f1);
        }
        CHECK_EQ(fx.dom.default_ctx.state, PVI_CTX_BROKEN);
        CHECK_EQ(pvi_sync_remove(&sync, (pvi_dfn){0x9020}, 4), -PVI_EHW);
        CHECK(sync.kept.dfn.f == 0x9020 && sync.kept.nr == 4);
        CHECK_EQ(pvi_sync_add(&sync, (pvi_dfn){0xa020}, PA(1), 4, PVI_RW), -PVI_EHW);
        CHECK(sync.missing.dfn.f == 0xa020 && sync.missing.nr == 4);
        fx_end(&fx, true);
    }
}

/* The same for the host's own table. */
static void dead_unit_shared(void **state)
{
    (void)state;
    check_case("a unit fails, shared");
    fx_machine(&fx, &(struct fx_cfg){.kind = FX_NULL});
    fx.cfg.devices = 0;
    fx.sys.unit[0]->caps.shares = true;
    fx.sys.unit[0]->caps.levels_mask |= 1u << 3; /* less deep than tables of the library are here */
    host_table();
    {
        struct pvi_domain_cfg dc = fx_domain_cfg(&fx);

        dc.passthrough.mode = PVI_PASSTHROUGH_SHARE_PT;
        dc.passthrough.share = (struct pvi_share){.format = &pvi_vtd_ss_ops, .root.a = table[1], .levels = 3};
        CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
    }
    pvi_sync_init(&sync, &fx.dom);
    CHECK_EQ(pvi_device_add(&fx.dom, fx_device(&fx, 0, 0)), 0);
    CHECK_EQ(fx.dom.table.levels, 4);
    CHECK_EQ(fx.unit[0].null.entry[0x100].root.a, table[1]);
    CHECK_EQ(fx.unit[0].null.entry[0x100].levels, 3);
    fx.unit[0].null.fail_wait = true;
    for (unsigned k = 0; k < 2; k++) { /* the flush fails; the context is broken */
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){0x40006}, 3, true), -PVI_EHW);
        CHECK(sync.kept.dfn.f == 0x40006 && sync.kept.nr == 3);
        fx.unit[0].null.fail_wait = false; /* the host's driver goes on, but nobody knows what the unit still has */
        fx.unit[0].unit->broken = false;
    }
    fx_drop(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared),    cmocka_unit_test(shared_regions), cmocka_unit_test(region_lost),    cmocka_unit_test(stopped),
        cmocka_unit_test(malformed), cmocka_unit_test(short_of_pages), cmocka_unit_test(dead_unit),
        cmocka_unit_test(dead_unit_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
