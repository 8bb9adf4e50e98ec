/* SPDX-License-Identifier: MIT */
/*
 * Nested contexts where hardware fails or the domain ends: the root of a parent is never used again while a unit that does not obey may
 * reach it through an entry of a nested context, in whatever order they go. Then batches that happen whole or not at all, and the host's own
 * table as a parent.
 */
#include <string.h>

#include "fixture.h"

#define NESTED .kind = FX_NULL, .nested = true, .guest_levels = 1u << 4
#define ROOT 0x777ull

static struct fx fx;

static void do_batch(void)
{
    CHECK_EQ(fx_submit(&fx), 0);
}

/* Has the host this page back? It is asked for all that it has. */
static bool given_back(uint64_t root)
{
    pvi_pa pa = {0};
    bool met = false;

    while (pvi_host_page_alloc(fx.host, &pa) == 0) {
        met |= pa.a == root;
    }
    return met;
}

/*
 * `parent` (0: the default one) with a mapping, `child` nested on it, device 1 there, on a unit of its own that then fails. The order of
 * their numbers is the order in which a domain that ends takes them down.
 */
static void family(bool child_first, bool default_parent, unsigned *parent, unsigned *child)
{
    fx_up(&fx, &(struct fx_cfg){NESTED, .units = 2, .pages = 40});
    *parent = default_parent ? 0 : child_first ? 2 : 1;
    *child = child_first ? 1 : 2;
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_alloc(&fx, 0);
    fx_free(&fx, *child, 0);
    fx_nested(&fx, *parent, ROOT);
    if (!default_parent) {
        fx_map(&fx, *parent, ROOT, GUEST_HVM, 1100, PVI_RW);
    }
    fx_reattach(&fx, *child, 1);
    fx_expect(&fx, 0);
    CHECK_EQ(fx.op[3].ctx, *child);
}

enum failure { SUBMIT, WAIT, NOTED };

static void fail_unit(enum failure how)
{
    fx.unit[1].null.fail_submit = how == SUBMIT;
    fx.unit[1].null.fail_wait = how != NOTED;
    fx.unit[1].unit->broken = how == NOTED;
}

/*
 * The device is taken out of the nested context, and its unit does not forget: the nested context is lost, and with it its parent's root,
 * whether the guest frees them or the domain ends, whichever comes first.
 */
static void roots_stay(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 24; k++) {
        bool child_first = k % 2 != 0, default_parent = k / 2 % 2 != 0, frees = k / 12 != 0;
        enum failure how = k / 4 % 3;
        unsigned parent, child;
        uint64_t root;

        check_case("roots %u", k);
        family(child_first, default_parent, &parent, &child);
        root = fx_root(&fx, parent);
        fail_unit(how);
        CHECK_EQ(pvi_device_remove(&fx.dom, &fx.dev[1]), -PVI_EHW);
        if (frees) {
            fx_begin(&fx);
            fx_free(&fx, child, 0);
            fx_free(&fx, 3 - child, 0);
            fx_nested(&fx, 0, ROOT);
            do_batch();
            CHECK_EQ(fx.op[0].status, 0); /* a broken one can be freed, and is lost */
            CHECK_EQ(fx.dom.slot[child - 1]->state, PVI_CTX_LOST);
            CHECK_EQ(fx.op[1].status, default_parent ? 0 : -PVI_EBUSY); /* which keeps its parent */
        }
        CHECK_EQ(pvi_device_remove(&fx.dom, &fx.dev[0]), 0);
        pvi_domain_kill(&fx.dom);
        CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
        pvi_posix_checkpoint(fx.host);
        CHECK(fx.dom.pool.nr_lost + fx.dom.default_pool.nr_lost >= 2); /* that root and the empty one of the nested context */
        CHECK_EQ(pvi_posix_pages_used(fx.host), fx.dom.pool.nr_lost + fx.dom.default_pool.nr_lost);
        CHECK_EQ(pvi_posix_mem_used(fx.host), 0);
        CHECK(!given_back(root));
        fx_drop(&fx);
    }
}

/* Where nothing failed nothing is lost: domains that end with devices moved out in any order. */
static void nothing_lost(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 8; k++) {
        unsigned parent, child;

        check_case("all obey, %u", k);
        family(k % 2 != 0, k / 2 % 2 != 0, &parent, &child);
        fx_begin(&fx);
        fx_reattach(&fx, k / 4 != 0 ? child : parent, 0);
        fx_expect(&fx, 0);
        fx_down(&fx);
    }
}

/* Taking something out of the parent meets the unit of the nested context: frames stay held, tables are written off, and both refuse. */
static void parents_break(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        unsigned parent, child;
        uint64_t puts;

        check_case("break %u", k);
        family(k % 2 != 0, false, &parent, &child);
        fx_begin(&fx);
        fx_nested(&fx, parent, ROOT + 1);
        fx_reattach(&fx, parent, 0); /* the unit that obeys */
        fx_expect(&fx, 0);
        fail_unit(k / 2);
        puts = pvi_posix_calls(fx.host, PVI_AT_FRAME_PUT);
        fx_begin(&fx);
        fx_unmap(&fx, parent, ROOT, 1100);
        do_batch();
        CHECK_EQ(fx.op[0].status, -PVI_EHW);
        CHECK_EQ(pvi_posix_calls(fx.host, PVI_AT_FRAME_PUT), puts);
        CHECK(fx.dom.pool.nr_lost != 0);
        fx_begin(&fx);
        fx_nested(&fx, parent, ROOT);
        fx_reattach(&fx, 3, 0); /* sound, but for its parent */
        fx_attach_pasid(&fx, 3, 0, 1, 0);
        fx_map(&fx, parent, 0, GUEST_HVM, 1, PVI_RW);
        do_batch();
        CHECK(fx.op[0].status == -PVI_EHW && fx.op[1].status == -PVI_EHW && fx.op[3].status == -PVI_EHW);
        CHECK_EQ(fx.op[2].status, -PVI_EPERM);
        CHECK_EQ(fx.dev[0].ctx->id, parent);
        fx_end(&fx, true);
    }
}

/* Nothing of a move to or from a nested context stays when a call of the host fails and the unit obeys afterwards. */
static void moves_fail(void **state)
{
    static const enum pvi_posix_point at[] = {PVI_AT_DID_ALLOC, PVI_AT_DEV_SWITCH, PVI_AT_INV_SUBMIT, PVI_AT_INV_WAIT};

    (void)state;
    for (unsigned k = 0; k < 4 * 2 * 6; k++) {
        unsigned parent, child, p = k % 4, nth = 1 + k / 8;
        bool to = k / 4 % 2 != 0, failed;

        check_case("point %u, call %u, %s", p, nth, to ? "to" : "from");
        family(false, false, &parent, &child);
        (void)fx_device(&fx, 2, 1);
        fx.dev[2].nr_rids = 3;
        fx.dev[2].rid[1] = 0x900;
        fx.dev[2].rid[2] = 0x901;
        CHECK_EQ(fx_add(&fx, 2), 0);
        fx_begin(&fx);
        fx_reattach(&fx, to ? 0 : child, 2);
        fx_reattach(&fx, 0, 1);
        fx_expect(&fx, 0);
        pvi_posix_count_violations(fx.host, true);
        pvi_posix_fail(fx.host, at[p], nth, false);
        fx_begin(&fx);
        fx_reattach(&fx, to ? child : parent, 2);
        do_batch();
        failed = pvi_posix_failed(fx.host, at[p]) != 0;
        pvi_posix_fail(fx.host, at[p], 0, false);
        CHECK_EQ(fx.op[0].status, !failed ? 0 : p == 0 ? -PVI_ENOSPC : -PVI_EHW);
        if (failed && p == 0) {
            pvi_posix_count_violations(fx.host, false);
            fx_check(&fx);
        }
        fx_end(&fx, failed && p != 0);
    }
}

/* --- batches that happen whole -------------------------------------------------------------------- */

static void compose(unsigned parent, unsigned child)
{
    fx_begin(&fx);
    fx_reattach(&fx, child, 0);
    fx_unmap(&fx, parent, ROOT, 1100);
    fx_map(&fx, parent, ROOT + 5, GUEST_PV, 1, PVI_RW);
    fx_reattach(&fx, parent, 1);
    fx_reattach(&fx, child, 1);
    fx_rights(&fx, parent, ROOT + 5, 1, PVI_READ);
    fx_reattach(&fx, 0, 0);
    fx.batch.flags = PVI_BATCH_ATOMIC;
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void atomic(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2 * 8; k++) {
        unsigned parent, child, fails = k / 2;

        check_case("transaction %u", k);
        family(k % 2 != 0, false, &parent, &child);
        pvi_posix_preempt_call(fx.host, k % 2 != 0 ? always : NULL, NULL);
        compose(parent, child);
        if (fails != 7) { /* one of them cannot be done: all is as it was */
            fx.op[fails].ctx = 5;
        }
        fx_run(&fx);
        for (unsigned i = 0; i < 7; i++) {
            CHECK_EQ(fx.op[i].status, fails == 7 ? 0 : i == fails ? -PVI_ENOCTX : -PVI_ECANCELED);
        }
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        fx_down(&fx);
    }
    for (unsigned code = PVI_OP_ALLOC_NESTED; code <= PVI_OP_DETACH_PASID; code++) {
        unsigned parent, child;

        check_case("code %u cannot be part of one", code);
        family(false, false, &parent, &child);
        compose(parent, child);
        fx.op[3].code = (uint16_t)code;
        do_batch();
        CHECK_EQ(fx.op[3].status, -PVI_EINVAL);
        CHECK(fx.op[0].status == -PVI_ECANCELED && fx.op[6].status == -PVI_ECANCELED);
        fx_check(&fx);
        fx_down(&fx);
    }
}

/* --- the host's own table ------------------------------------------------------------------------- */

/* share_pt: entries name the host's root, its changes are flushed for what is nested, and it is not given up before that has ended. */
static void shared_parent(void **state)
{
    struct pvi_domain_cfg dc;
    struct pvi_sync sync;
    struct pvi_op *op;
    uint64_t table;
    pvi_pa pa;

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        const struct pvi_dev_entry *e;

        check_case("shared, %u", k);
        fx_machine(&fx, &(struct fx_cfg){NESTED, .pasid_bits = 4, .max_pasids = 2});
        fx.unit[0].null.unit.caps.shares = true;
        CHECK_EQ(pvi_host_page_alloc(fx.host, &pa), 0);
        table = pa.a;
        memset(pvi_posix_ptr(fx.host, table, PVI_PAGE_SIZE), 0, PVI_PAGE_SIZE);
        dc = fx_domain_cfg(&fx);
        dc.passthrough = (struct pvi_passthrough_cfg){
            .mode = PVI_PASSTHROUGH_SHARE_PT,
            .share = {.format = &pvi_vtd_ss_ops, .root = pa, .levels = 4, .page_sizes = 1u << 12, .written_back = true},
        };
        CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
        CHECK_EQ(pvi_domain_start(&fx.dom), 0);
        pvi_sync_init(&sync, &fx.dom);
        CHECK_EQ(pvi_device_add(&fx.dom, fx_device(&fx, 0, 0)), 0);
        fx_begin(&fx);
        op = fx_op(&fx, PVI_OP_INIT, 0);
        op->u.init.nr_contexts = 3;
        op->u.init.nr_pages = 20;
        fx_nested(&fx, 0, ROOT);
        fx_alloc(&fx, 0);
        fx_reattach(&fx, k == 2 ? 2 : 1, 0);
        fx_attach_pasid(&fx, k == 0 ? 2 : k == 1 ? 1 : 0, 0, 3, 0);
        do_batch();
        for (unsigned i = 0; i < 5; i++) {
            CHECK_EQ(fx.op[i].status, 0);
        }
        e = k == 2 ? fx_pasid_entry(&fx, 0, fx.dev[0].rid[0], 3) : &fx.unit[0].null.entry[fx.dev[0].rid[0]];
        CHECK(e && e->root.a == table && e->levels == 4 && (e->guest.levels != 0) == (k < 2));
        fx_told_reset(&fx);
        CHECK_EQ(pvi_share_flush(&sync, (pvi_dfn){5}, 1, false), 0);
        CHECK_EQ(fx_told(&fx, 0).domain, k < 2);
        CHECK_EQ(fx_told(&fx, 0).pages, k == 2); /* the default context is on the unit only there */
        CHECK_EQ(pvi_share_stop(&fx.dom), -PVI_EBUSY);
        fx_begin(&fx);
        fx_reattach(&fx, 2, 0);
        fx_detach_pasid(&fx, 0, 3);
        do_batch();
        CHECK(fx.op[0].status == 0 && fx.op[1].status == 0);
        CHECK_EQ(pvi_share_stop(&fx.dom), 0); /* nothing is left that names it */
        fx_begin(&fx);
        fx_reattach(&fx, 1, 0);
        do_batch();
        CHECK(fx.op[0].status == 0 && fx.unit[0].null.entry[fx.dev[0].rid[0]].root.a == fx.dom.default_ctx.pt.root->pa.a);
        pvi_host_page_free(fx.host, pa);
        fx_end(&fx, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_stay),
        cmocka_unit_test(nothing_lost),
        cmocka_unit_test(parents_break),
        cmocka_unit_test(moves_fail),
        cmocka_unit_test(atomic),
        cmocka_unit_test(shared_parent),
    };

    return cmocka_run_group_tests_name("nested contexts that fail", tests, NULL, NULL);
}
