/* SPDX-License-Identifier: MIT */
/*
 * Nested contexts: every answer from every cause, what units are told of them and of what changes in their parents. The units have no
 * hardware; the recorder judges order and flushes, the oracle answers and entries.
 */
#include <string.h>

#include "fixture.h"

#define FLAGS (PVI_NESTED_SUPERVISOR | PVI_NESTED_WRITE_PROTECT)
#define NESTED .kind = FX_NULL, .nested = true, .guest_levels = 1u << 4 | 1u << 5, .guest_flags = FLAGS
#define ROOT 0x12345ull

static struct fx fx;

static const struct fx_cfg kinds[] = {
    {NESTED},
    {NESTED, .units = 2, .np_cache = true},
    {NESTED, .units = 2, .format = &pvi_amdvi_v1_ops, .guest_depth = 3},
    {NESTED, .units = 3, .format = &pvi_amdvi_v1_ops, .np_cache = true, .guest_depth = 1, .trim = true},
    {NESTED, .incoherent = true, .write_buffer = true, .no_pages = true},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static unsigned alloc(void)
{
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_expect(&fx, 0);
    return fx.op[0].ctx;
}

static unsigned nest(unsigned parent, uint64_t root)
{
    fx_begin(&fx);
    fx_nested(&fx, parent, root);
    fx_expect(&fx, 0);
    return fx.op[0].ctx;
}

static void move(unsigned ctx, unsigned dev)
{
    fx_begin(&fx);
    fx_reattach(&fx, ctx, dev);
    fx_expect(&fx, 0);
}

/* The status of the one operation that has been begun; the oracle agrees. */
static int status(void)
{
    fx_run(&fx);
    return fx.op[fx.nr_ops - 1].status;
}

/* --- made ----------------------------------------------------------------------------------------- */

/* One that could be made, but for what a change spoils. */
static int spoilt(unsigned how)
{
    struct pvi_op *op;

    fx_begin(&fx);
    op = fx_nested(&fx, 1, ROOT);
    switch (how) {
    case 0: op->flags = 4; return -PVI_EFLAGS;
    case 1: op->flags = FLAGS | 1u << 31; return -PVI_EFLAGS;
    case 2: op->ctx = 1; return -PVI_EINVAL;
    case 3: op->u.nested.depth = op->u.nested.depth == 0; return -PVI_EINVAL;
    case 4: op->u.nested.levels = 0; return -PVI_EOPNOTSUPP;
    case 5: op->u.nested.levels = 3; return -PVI_EOPNOTSUPP;
    case 6: op->u.nested.levels = 6; return -PVI_EOPNOTSUPP;
    case 7: op->u.nested.levels = 8; return -PVI_EOPNOTSUPP;
    case 8: op->u.nested.levels = 36; return -PVI_EOPNOTSUPP;
    case 9: op->u.nested.depth = 4; return fx.cfg.guest_depth == 0 ? -PVI_EINVAL : -PVI_EOPNOTSUPP;
    case 10: op->u.nested.parent = 7; return -PVI_ENOCTX;
    case 11: op->u.nested.parent = 0xffff; return -PVI_ENOCTX;
    case 12: op->u.nested.parent = 2; return -PVI_ENESTED;
    case 13: op->u.nested.root.f = fx.orc.last_pfn + 1; return -PVI_ERANGE;
    case 14: op->u.nested.root.f = UINT64_MAX; return -PVI_ERANGE;
    case 15: op->u.nested.root.f = 1ull << 63; return -PVI_ERANGE;
    default: op->u.nested.root.f = fx.orc.last_pfn; return 0;
    }
}

static void errors(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        check_case("machine %zu", k);
        fx_up(&fx, &kinds[k]);
        CHECK_EQ(alloc(), 1);
        CHECK_EQ(nest(1, 0), 2);
        for (unsigned how = 0; how < 17; how++) {
            int want;

            check_step("spoilt %u", how);
            want = spoilt(how);
            CHECK_EQ(status(), want);
        }
        while (fx.op[0].status == 0) { /* until there are no numbers */
            fx_begin(&fx);
            fx_nested(&fx, 0, ROOT);
            fx_run(&fx);
        }
        CHECK_EQ(fx.op[0].status, -PVI_ENOSPC);
        fx_down(&fx);
    }
}

/* What the host or the units do not offer, and when. */
static void not_offered(void **state)
{
    static const struct {
        struct fx_cfg cfg;
        int want;
    } c[] = {
        {{NESTED, .no_init = true}, -PVI_ENOTINIT},
        {{.kind = FX_NULL, .guest_levels = 1u << 4}, -PVI_EPERM},
        {{.kind = FX_NULL, .nested = true}, -PVI_EOPNOTSUPP},
        {{.kind = FX_NULL, .nested = true, .guest_flags = FLAGS, .guest_depth = 2}, -PVI_EOPNOTSUPP},
        {{.kind = FX_NULL, .nested = true, .guest_levels = 1u << 4}, 0},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(c) / sizeof(c[0]); k++) {
        check_case("machine %zu", k);
        fx_up(&fx, &c[k].cfg);
        fx_begin(&fx);
        fx_nested(&fx, 0, ROOT);
        CHECK_EQ(status(), c[k].want);
        fx_begin(&fx);
        fx_nested(&fx, 0, ROOT)->flags = PVI_NESTED_WRITE_PROTECT;
        CHECK_EQ(status(), c[k].want == 0 ? -PVI_EOPNOTSUPP : c[k].want);
        fx_down(&fx);
    }
    check_case("a domain that dies");
    fx_up(&fx, &kinds[0]);
    pvi_domain_kill(&fx.dom);
    fx_begin(&fx);
    fx_nested(&fx, 0, ROOT);
    fx_flush_nested(&fx, 1, 0, 0, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == -PVI_EDYING && fx.op[1].status == -PVI_EDYING);
    fx_down(&fx);
}

static int rest_of_batch(struct pvi_batch *b)
{
    int rc;

    do {
        rc = pvi_submit(&fx.dom, b);
        pvi_posix_checkpoint(fx.host);
    } while (rc == -PVI_EPREEMPTED);
    return rc;
}

/* On a parent that is being built, is part of a batch that happens whole, or has been freed. */
static void parents_of_the_moment(void **state)
{
    static struct pvi_op slow[2];
    static struct pvi_batch other;
    const uint64_t second = 2;

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        check_case("%s", k == 0 ? "being built" : "in a transaction");
        fx_up(&fx, &kinds[1]);
        CHECK_EQ(alloc(), 1);
        CHECK_EQ(nest(1, ROOT), 2);
        memset(&other, 0, sizeof(other));
        memset(slow, 0, sizeof(slow));
        other.ops = slow;
        other.nr = k == 0 ? 1 : 2;
        other.flags = k == 0 ? 0 : PVI_BATCH_ATOMIC;
        slow[0].code = k == 0 ? PVI_OP_ALLOC_CONTEXT : PVI_OP_MAP;
        slow[0].flags = k == 0 ? PVI_ALLOC_IDENTITY : PVI_RW;
        slow[0].domid = slow[1].domid = PVI_DOMID_SELF;
        if (k == 1) {
            slow[0].ctx = 1;
            slow[0].u.map.gfn.f = GUEST_HVM;
            slow[0].u.map.nr = 1;
            slow[1].code = PVI_OP_REATTACH_DEVICE;
            slow[1].ctx = 2;
            slow[1].u.reattach.sbdf = fx.dev[0].sbdf;
        }
        pvi_posix_preempt_bits(fx.host, &second, 2);
        CHECK_EQ(pvi_submit(&fx.dom, &other), -PVI_EPREEMPTED);
        pvi_posix_preempt_bits(fx.host, NULL, 0);
        fx_begin(&fx);
        fx_nested(&fx, k == 0 ? 3 : 1, ROOT);
        fx_free(&fx, k == 0 ? 3 : 2, 0);
        fx.nr_ops = k == 0 ? 1 : 2; /* one that is half built can be freed */
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK_EQ(fx.op[0].status, -PVI_EBUSY);
        CHECK(k == 0 || fx.op[1].status == -PVI_EBUSY);
        CHECK_EQ(rest_of_batch(&other), 0);
        CHECK_EQ(slow[0].status, 0);
        fx_end(&fx, false);
    }
}

/* What all units have, and nothing where one has nothing. */
static void capabilities(void **state)
{
    static const struct {
        uint8_t levels[2], depth[2], flags[2], pasid[2];
        bool nested;
        uint8_t want[4];
    } c[] = {
        {{0x30, 0x10}, {3, 2}, {3, 1}, {20, 16}, true, {0x10, 2, 1, 16}},
        {{0x10, 0x30}, {0, 3}, {2, 1}, {0, 16}, true, {0x10, 0, 0, 0}},
        {{0x30, 0x00}, {1, 1}, {3, 3}, {4, 4}, true, {0, 0, 0, 4}},
        {{0x20, 0x10}, {1, 1}, {3, 3}, {4, 20}, true, {0, 0, 0, 4}},
        {{0x30, 0x30}, {1, 1}, {3, 3}, {20, 20}, false, {0, 0, 0, 20}},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(c) / sizeof(c[0]); k++) {
        struct pvi_domain_cfg dc;

        check_case("capabilities %zu", k);
        fx_machine(&fx, &(struct fx_cfg){.kind = FX_NULL, .units = 2});
        for (unsigned u = 0; u < 2; u++) {
            struct pvi_unit_caps *caps = &fx.unit[u].null.unit.caps;

            caps->guest_levels = c[k].levels[u];
            caps->guest_depth = c[k].depth[u];
            caps->guest_flags = c[k].flags[u];
            caps->pasid_bits = c[k].pasid[u];
        }
        for (uint32_t pasids = 0; pasids < 2; pasids++) {
            dc = fx_domain_cfg(&fx);
            dc.nested = c[k].nested;
            dc.max_pasids = pasids;
            CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
            fx_begin(&fx);
            fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
            CHECK_EQ(fx_submit(&fx), 0);
            CHECK_EQ(fx.op[0].u.caps.guest_levels, c[k].want[0]);
            CHECK_EQ(fx.op[0].u.caps.guest_depth, c[k].want[1]);
            CHECK_EQ(fx.op[0].u.caps.guest_flags, c[k].want[2]);
            CHECK_EQ(fx.op[0].u.caps.pasid_bits, pasids != 0 ? c[k].want[3] : 0);
            pvi_domain_kill(&fx.dom);
            CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
        }
        dc.system = NULL; /* no units at all */
        CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
        fx_begin(&fx);
        fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
        fx_nested(&fx, 0, ROOT);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK(fx.op[0].u.caps.guest_levels == 0 && fx.op[0].u.caps.pasid_bits == 0);
        CHECK_EQ(fx.op[1].status, -PVI_ENOIOMMU);
        dc.max_pasids = PVI_MAX_PASIDS + 1;
        CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), -PVI_ELIMIT);
        fx_drop(&fx);
    }
}

/* --- entries and life ----------------------------------------------------------------------------- */

/* Devices go everywhere: after each step the entries are what the oracle says, and no unit remembers more. */
static void entries(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        unsigned on_1, other, on_0;

        check_case("machine %zu", k);
        fx_up(&fx, &kinds[k]);
        CHECK_EQ(alloc(), 1);
        fx_begin(&fx);
        fx_nested(&fx, 1, ROOT);
        fx_nested(&fx, 1, 0)->flags = FLAGS;
        fx_nested(&fx, 0, fx.orc.last_pfn)->u.nested.levels = 5;
        fx_map(&fx, 1, ROOT, GUEST_PV, 1, PVI_RW);
        fx_expect(&fx, 0);
        on_1 = fx.op[0].ctx;
        other = fx.op[1].ctx;
        on_0 = fx.op[2].ctx;
        fx.op[2].u.nested.depth = 0;
        move(on_1, 0); /* the parent itself is on no unit */
        CHECK_EQ(fx.dom.slot[0]->units, 0);
        move(on_1, 1);
        move(other, 0);
        move(1, 1);
        move(on_0, 1);
        move(on_0, 0);
        move(0, 1);
        move(on_1, 1);
        fx_begin(&fx);
        fx_free(&fx, 1, 0);
        fx_free(&fx, 1, PVI_FREE_REATTACH); /* its devices are not what is in the way */
        fx_free(&fx, on_0, 0);
        fx_free(&fx, on_1, 0);
        fx_expect(&fx, -PVI_EBUSY);
        fx_begin(&fx);
        fx_free(&fx, on_0, PVI_FREE_REATTACH);
        fx_free(&fx, on_1, PVI_FREE_REATTACH);
        fx_expect(&fx, 0);
        CHECK_EQ(fx.dev[1].ctx->id, 0);
        fx_begin(&fx);
        fx_free(&fx, 1, 0);
        CHECK_EQ(status(), -PVI_EBUSY); /* there is one yet */
        fx_begin(&fx);
        fx_free(&fx, other, 0);
        fx_free(&fx, 1, 0);
        fx_expect(&fx, 0);
        fx_begin(&fx);
        fx_alloc(&fx, 0); /* what was nested is not, in its next life */
        fx_map(&fx, 1, 5, GUEST_PV, 1, PVI_RW);
        fx_reattach(&fx, 1, 0);
        fx_expect(&fx, 0);
        fx_down(&fx);
    }
}

/* Freeing what is nested and its parent in one batch takes no flush between them; the same numbers serve again, the other way round. */
static void numbers_change_sides(void **state)
{
    (void)state;
    check_case("numbers");
    fx_up(&fx, &kinds[0]);
    CHECK_EQ(alloc(), 1);
    CHECK_EQ(nest(1, ROOT), 2);
    move(2, 0);
    fx_begin(&fx);
    fx_free(&fx, 2, PVI_FREE_REATTACH);
    fx_free(&fx, 1, 0);
    fx_nested(&fx, 0, ROOT);
    fx_alloc(&fx, PVI_ALLOC_IDENTITY);
    fx_nested(&fx, 2, ROOT);
    fx_reattach(&fx, 3, 0);
    fx_unmap(&fx, 2, 0x20, 1);
    fx_reattach(&fx, 1, 0);
    fx_expect(&fx, 0);
    fx_down(&fx);
}

/* As many as there can be, in a domain with more numbers than that; each end makes room for one. */
static void limit(void **state)
{
    struct pvi_domain_cfg dc;
    struct pvi_op *op;
    unsigned made = 0;

    (void)state;
    check_case("limit");
    fx_machine(&fx, &kinds[0]);
    dc = fx_domain_cfg(&fx);
    dc.max_contexts = 100;
    fx_domain(&fx, &dc);
    fx_begin(&fx);
    op = fx_op(&fx, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 100;
    op->u.init.nr_pages = 300;
    CHECK_EQ(fx_submit(&fx), 0);
    for (int rc = 0; rc == 0; made += rc == 0) {
        fx_begin(&fx);
        fx_nested(&fx, 0, ROOT);
        CHECK_EQ(fx_submit(&fx), 0);
        rc = fx.op[0].status;
        CHECK(rc == 0 || (rc == -PVI_ENOSPC && fx.op[0].ctx == 0));
    }
    CHECK_EQ(made, PVI_MAX_NESTED);
    for (unsigned i = 0; i < 5; i++) {
        fx_begin(&fx);
        fx_alloc(&fx, 0);
        fx_free(&fx, 1 + 13 * i, 0);
        fx_nested(&fx, 0, ROOT);
        fx_nested(&fx, 0, ROOT);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK(fx.op[0].status == 0 && fx.op[1].status == 0 && fx.op[2].status == 0);
        CHECK_EQ(fx.op[3].status, -PVI_ENOSPC);
    }
    CHECK_EQ(fx.dom.pool.nr_pages - fx.dom.pool.nr_free, PVI_MAX_NESTED + 5); /* a page each */
    fx_end(&fx, false);
}

/* One page, if there is one; a batch that has freed one may have it. */
static void a_page_each(void **state)
{
    (void)state;
    check_case("pages");
    fx_up(&fx, &(struct fx_cfg){NESTED, .pages = 2});
    CHECK_EQ(alloc(), 1);
    CHECK_EQ(nest(1, ROOT), 2);
    fx.tolerate = ORC_TOLERATE_MEMORY;
    fx_begin(&fx);
    fx_nested(&fx, 1, ROOT);
    CHECK_EQ(status(), -PVI_ENOMEM);
    fx.tolerate = 0;
    fx_begin(&fx);
    fx_free(&fx, 2, 0);
    fx_nested(&fx, 1, ROOT);
    fx_expect(&fx, 0);
    fx_down(&fx);
}

/* --- what does not work there --------------------------------------------------------------------- */

static void no_ranges(void **state)
{
    unsigned n;

    (void)state;
    check_case("ranges");
    fx_up(&fx, &kinds[1]);
    CHECK_EQ(alloc(), 1);
    n = nest(1, ROOT);
    move(n, 0);
    fx_begin(&fx);
    fx_map(&fx, n, 5, GUEST_PV, 1, PVI_RW);
    fx_map(&fx, n, 5, GUEST_PV, 0, 0);
    fx_map(&fx, n, 5, GUEST_PV, 1, PVI_RW | PVI_MAP_NO_FLUSH);
    fx_unmap(&fx, n, 5, 1);
    fx_rights(&fx, n, 5, 1, PVI_RW);
    fx_lookup(&fx, n, 5);
    fx_flush(&fx, n, 5, 1);
    fx_flush(&fx, n, 0, 0);
    fx_window(&fx, n, 0, 1, 12, 0);
    fx_window_op(&fx, PVI_OP_WINDOW_REMOVE, n, 0);
    fx_window_op(&fx, PVI_OP_WINDOW_QUERY, n, 0);
    fx_op(&fx, PVI_OP_WINDOW_RESET, n);
    fx_expect(&fx, -PVI_ENESTED);
    fx_begin(&fx);
    fx_op(&fx, PVI_OP_QUERY_USAGE, n);
    fx_expect(&fx, 0);
    CHECK(fx.op[0].u.usage.pages_used == 1 && fx.op[0].u.usage.mapped == 0 && fx.op[0].u.usage.devices == 1);
    for (unsigned code = 0; code < 3; code++) { /* nor where all happens or nothing: the status is the same, also for what takes away */
        fx_begin(&fx);
        fx_map(&fx, 1, 5, GUEST_PV, 1, PVI_RW);
        (void)(code == 0 ? fx_map(&fx, n, 5, GUEST_PV, 1, PVI_RW)
               : code == 1 ? fx_unmap(&fx, n, 5, 1) : fx_rights(&fx, n, 5, 1, PVI_RW));
        fx.batch.flags = PVI_BATCH_ATOMIC;
        check_step("in a transaction, %u", code);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK(fx.op[0].status == -PVI_ECANCELED && fx.op[1].status == -PVI_ENESTED);
        fx_check(&fx);
    }
    fx_down(&fx);
}

/* Whether a device's regions stay mapped there is the guest's say: so it is not attached, nor is its group. */
static void reserved_regions(void **state)
{
    unsigned n;

    (void)state;
    check_case("regions");
    fx_up(&fx, &kinds[1]);
    for (unsigned i = 2; i < 5; i++) {
        struct pvi_device *d = fx_device(&fx, i, i % 2);

        d->group = i < 4 ? 3 : 0;
        d->nr_regions = i != 2;
        d->region[0] = (struct pvi_region){0x70000000ull * i, 0x70000000ull * i + 0x1fff, PVI_RW};
        CHECK_EQ(fx_add(&fx, i), 0);
    }
    CHECK_EQ(alloc(), 1);
    n = nest(1, ROOT);
    for (unsigned i = 2; i < 5; i++) {
        fx_begin(&fx);
        fx_reattach(&fx, n, i);
        CHECK_EQ(status(), -PVI_ERESERVED);
        move(1, i); /* the parent maps them */
    }
    CHECK_EQ(fx_remove(&fx, 3), 0);
    move(n, 2); /* the one that had regions has left the group */
    fx_begin(&fx);
    fx_reattach(&fx, n, 4);
    CHECK_EQ(status(), -PVI_ERESERVED);
    CHECK_EQ(fx_add(&fx, 3), -PVI_ERESERVED); /* and does not come back to where its group is now */
    fx_check(&fx);
    fx_down(&fx);
}

/* Units that want no read-only leaf below a guest's tables get none, from whatever makes one. */
static void no_read_only(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        bool refused = k == 0;

        check_case("erratum %u", k);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .guest_levels = 1u << 4, .parent_rw = k < 2, .nested = k != 1});
        CHECK_EQ(alloc(), 1);
        fx_begin(&fx);
        fx_map(&fx, 1, 0x400, GUEST_PV, 4, PVI_RW);
        fx_map(&fx, 1, 0x500, GUEST_PV, 4, PVI_READ);
        fx_rights(&fx, 1, 0x400, 2, PVI_READ);
        fx_rights(&fx, 1, 0x402, 1, PVI_WRITE);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK_EQ(fx.op[0].status, 0);
        CHECK_EQ(fx.op[1].status, refused ? -PVI_EOPNOTSUPP : 0);
        CHECK_EQ(fx.op[1].done, refused ? 0 : 4);
        CHECK_EQ(fx.op[2].status, refused ? -PVI_EOPNOTSUPP : 0);
        CHECK_EQ(fx.op[3].status, 0);
        fx_end(&fx, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),
        cmocka_unit_test(not_offered),
        cmocka_unit_test(parents_of_the_moment),
        cmocka_unit_test(capabilities),
        cmocka_unit_test(entries),
        cmocka_unit_test(numbers_change_sides),
        cmocka_unit_test(limit),
        cmocka_unit_test(a_page_each),
        cmocka_unit_test(no_ranges),
        cmocka_unit_test(reserved_regions),
        cmocka_unit_test(no_read_only),
    };

    return cmocka_run_group_tests_name("nested contexts", tests, NULL, NULL);
}
