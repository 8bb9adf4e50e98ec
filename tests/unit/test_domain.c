/* SPDX-License-Identifier: MIT */
/* Domains: creation, init, who may, several in one batch, dying, the end. */
#include <string.h>

#include "fixture.h"

static struct fx fx;

/* --- creation ------------------------------------------------------------------------------------- */

static struct pvi_posix_null extra;

static int try_init(const struct pvi_domain_cfg *dc)
{
    int rc = pvi_domain_init(&fx.dom, fx.host, dc);

    if (rc == 0) {
        pvi_domain_kill(&fx.dom);
        CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    }
    CHECK_EQ(pvi_posix_pages_used(fx.host), 0);
    CHECK_EQ(pvi_posix_mem_used(fx.host), 0);
    return rc;
}

static void creation(void **state)
{
    struct pvi_domain_cfg dc;

    (void)state;
    check_case("creation");
    fx_machine(&fx, &(struct fx_cfg){.kind = FX_NULL});
    orc_init(&fx.orc);
    dc = fx_domain_cfg(&fx);
    CHECK_EQ(try_init(&dc), 0);
    dc.max_contexts = PVI_MAX_CONTEXTS;
    CHECK_EQ(try_init(&dc), 0);
    dc.max_contexts = PVI_MAX_CONTEXTS + 1;
    CHECK_EQ(try_init(&dc), -PVI_ELIMIT);
    dc.max_contexts = 1;
    dc.iova_bits = 64;
    CHECK_EQ(try_init(&dc), 0); /* as far as the levels reach */
    dc.iova_bits = 65;
    CHECK_EQ(try_init(&dc), -PVI_ELIMIT);
    dc.iova_bits = 13;
    CHECK_EQ(try_init(&dc), 0);
    dc.iova_bits = 12;
    CHECK_EQ(try_init(&dc), -PVI_EOPNOTSUPP);
    dc.iova_bits = 0;
    dc.page_sizes = 1ull << 13;
    CHECK_EQ(try_init(&dc), -PVI_EOPNOTSUPP);
    dc.page_sizes = 0;
    for (unsigned n = 1; n < 17; n++) { /* 16 pages at least, whatever the host says */
        pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, n, true);
        dc.default_pages = 3;
        CHECK_EQ(try_init(&dc), -PVI_ENOMEM);
    }
    pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, 0, false);
    /* Units that have no table in common. */
    extra = fx.unit[0].null;
    extra.unit.caps.levels_mask = 1u << 3;
    CHECK_EQ(pvi_system_add_unit(&fx.sys, &extra.unit), 0);
    CHECK_EQ(try_init(&dc), -PVI_EOPNOTSUPP);
    extra.unit.caps.levels_mask = 1u << 4 | 1u << 3;
    CHECK_EQ(try_init(&dc), 0);
    extra.unit.caps.format = &pvi_amdvi_v1_ops;
    CHECK_EQ(try_init(&dc), -PVI_EOPNOTSUPP);
    fx_drop(&fx);
}

/* One table for all units: what each can do, no deeper than asked for. */
static void common_table(void **state)
{
    struct pvi_unit_caps *a, *b;
    struct pvi_domain_cfg dc;

    (void)state;
    check_case("common table");
    fx_machine(&fx, &(struct fx_cfg){.kind = FX_NULL, .units = 2});
    orc_init(&fx.orc);
    a = &fx.unit[0].unit->caps;
    b = &fx.unit[1].unit->caps;
    a->levels_mask = 1u << 3 | 1u << 4 | 1u << 5;
    b->levels_mask = 1u << 4 | 1u << 5;
    a->pa_bits = 46;
    b->iova_bits = 50;
    b->page_sizes = 1u << 12 | 1u << 21;
    a->coherent = false;
    dc = fx_domain_cfg(&fx);
    for (unsigned bits = 30; bits <= 57; bits += 3) {
        struct pvi_pt_cfg *t = &fx.dom.table;

        dc.iova_bits = (uint8_t)bits;
        CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
        CHECK_EQ(t->levels, bits <= 48 ? 4 : 5);
        CHECK_EQ(t->iova_bits, bits < 50 ? bits : 50);
        CHECK_EQ(t->pa_bits, 46);
        CHECK_EQ(t->page_sizes, 1u << 12 | 1u << 21);
        CHECK(!t->coherent);
        CHECK(!fx.dom.table.adds);
        pvi_domain_kill(&fx.dom);
        CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    }
    b->np_cache = true;
    CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
    CHECK(fx.dom.table.adds);
    pvi_domain_kill(&fx.dom);
    CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    fx_drop(&fx);
}

/* --- init ----------------------------------------------------------------------------------------- */

static struct pvi_op *init_op(unsigned contexts, unsigned pages)
{
    struct pvi_op *op = fx_op(&fx, PVI_OP_INIT, 0);

    op->u.init.nr_contexts = contexts;
    op->u.init.nr_pages = pages;
    return op;
}

static void init_once(void **state)
{
    uint64_t before, mem;

    (void)state;
    check_case("init");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .no_init = true});
    before = pvi_posix_pages_used(fx.host);
    mem = pvi_posix_mem_used(fx.host);
    for (unsigned n = 1; n < 300; n += 37) { /* too few pages: all of it is undone, and may be tried again */
        pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, n, true);
        fx_begin(&fx);
        init_op(5, 300);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK_EQ(fx.op[0].status, -PVI_ENOMEM);
        CHECK_EQ(pvi_posix_pages_used(fx.host), before);
        CHECK_EQ(pvi_posix_mem_used(fx.host), mem);
        fx_begin(&fx);
        fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
        fx_expect(&fx, 0);
    }
    pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, 0, false);
    pvi_posix_fail(fx.host, PVI_AT_MEM_ALLOC, 1, false);
    fx.tolerate = ORC_TOLERATE_MEMORY;
    fx_begin(&fx);
    init_op(5, 300);
    fx_expect(&fx, -PVI_ENOMEM);
    fx.tolerate = 0;
    fx_begin(&fx);
    init_op(16, 4000);
    fx_expect(&fx, 0);
    CHECK_EQ(pvi_posix_pages_used(fx.host), before + 4000);
    fx_begin(&fx);
    init_op(16, 4000);
    init_op(1, 1);
    fx_expect(&fx, -PVI_EINITED);
    fx_begin(&fx);
    fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
    fx_expect(&fx, 0);
    CHECK_EQ(fx.op[0].u.caps.nr_pages, 4000);
    CHECK_EQ(fx.op[0].u.caps.free_pages, 4000);
    CHECK_EQ(fx.op[0].u.caps.nr_contexts, 16);
    fx_down(&fx);
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* Preempted half way: the same request goes on, another one is told to wait, the domain can end. */
static void init_in_pieces(void **state)
{
    static struct pvi_batch other;
    static struct pvi_op theirs;

    (void)state;
    for (unsigned end = 0; end < 2; end++) {
        check_case("init in pieces");
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .no_init = true});
        pvi_posix_preempt_call(fx.host, always, NULL);
        fx_begin(&fx);
        init_op(3, 700);
        fx.batch.ops = fx.op;
        fx.batch.nr = 1;
        CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), -PVI_EPREEMPTED);
        memset(&other, 0, sizeof(other));
        theirs = fx.op[0];
        theirs.u.init.nr_pages = 701;
        other.ops = &theirs;
        other.nr = 1;
        CHECK_EQ(pvi_submit(&fx.dom, &other), 0);
        CHECK_EQ(theirs.status, -PVI_EBUSY);
        if (end) { /* it never comes back */
            pvi_posix_preempt_call(fx.host, NULL, NULL);
            fx_down(&fx);
            continue;
        }
        memset(&other, 0, sizeof(other));
        theirs = fx.op[0];
        theirs.code = PVI_OP_ALLOC_CONTEXT;
        theirs.done = 0;
        other.ops = &theirs;
        other.nr = 1;
        CHECK_EQ(pvi_submit(&fx.dom, &other), 0);
        CHECK_EQ(theirs.status, -PVI_ENOTINIT);
        while (pvi_submit(&fx.dom, &fx.batch) == -PVI_EPREEMPTED) {
        }
        CHECK_EQ(fx.op[0].status, 0);
        CHECK_EQ(fx.dom.pool.nr_pages, 700);
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        fx.orc.inited = true;
        fx.orc.nr_contexts = 3;
        CHECK_EQ(fx_context(&fx, 0), 1);
        fx_down(&fx);
    }
}

/* --- other domains -------------------------------------------------------------------------------- */

#define OTHER 9u

static struct pvi_domain second;
static struct pvi_hdom *hdom2;

/* A second guest on the same units; a copy of the first one's frames, 1 TiB up. */
static void second_up(bool bind)
{
    struct pvi_posix_range r = {.gfn = 0, .nr = 0x100000, .pa = 0x10000000000ull, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_domain_cfg dc = fx_domain_cfg(&fx);

    hdom2 = pvi_posix_hdom_new(fx.host, OTHER);
    CHECK(hdom2);
    CHECK_EQ(pvi_posix_hdom_range(hdom2, &r), 0);
    memset(&second, 0, sizeof(second));
    dc.hdom = hdom2;
    CHECK_EQ(pvi_domain_init(&second, fx.host, &dc), 0);
    if (bind) {
        pvi_posix_hdom_bind(hdom2, &second);
    }
}

static void second_down(void)
{
    int rc;

    pvi_domain_kill(&second);
    do {
        rc = pvi_domain_destroy(&second);
    } while (rc == -PVI_EPREEMPTED);
    CHECK_EQ(rc, 0);
    CHECK(pvi_posix_hdom_balanced(hdom2));
}

static void permissions(void **state)
{
    static struct pvi_batch b;
    static struct pvi_op op;

    (void)state;
    check_case("permissions");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .no_init = true});
    second_up(false);
    pvi_posix_hdom_may_init(fx.hdom, false);
    fx.orc.may_init = false;
    fx_begin(&fx);
    init_op(2, 50);
    fx_expect(&fx, -PVI_EPERM);
    fx_begin(&fx);
    init_op(2, 50)->domid = OTHER;
    fx_alloc(&fx, 0)->domid = OTHER;
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, -PVI_EPERM);
    CHECK_EQ(fx.op[1].status, -PVI_EPERM);
    CHECK_EQ(pvi_posix_hdom_permit(fx.hdom, OTHER), 0);
    fx_begin(&fx);
    init_op(2, 50)->domid = OTHER;
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, -PVI_ENODOM); /* permitted, but there is none */
    pvi_posix_hdom_bind(hdom2, &second);
    pvi_posix_hdom_may_init(hdom2, false);
    memset(&b, 0, sizeof(b));
    op = fx.op[0];
    op.domid = PVI_DOMID_SELF;
    b.ops = &op;
    b.nr = 1;
    CHECK_EQ(pvi_submit(&second, &b), 0);
    CHECK_EQ(op.status, -PVI_EPERM); /* not by itself, */
    fx_begin(&fx);
    init_op(2, 50)->domid = OTHER;
    init_op(2, 50)->domid = FX_DOMID; /* a number for oneself is not another domain */
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, 0); /* but by somebody else */
    CHECK_EQ(fx.op[1].status, -PVI_EPERM);
    CHECK_EQ(second.pool.nr_pages, 50);
    second_down();
    fx_down(&fx);
}

/* Frames are put on behalf of the domain that got them: the balance of each is the proof. */
static void two_domains_in_one_batch(void **state)
{
    (void)state;
    for (unsigned preempt = 0; preempt < 2; preempt++) {
        check_case("two domains%s", preempt ? ", preempted everywhere" : "");
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL});
        second_up(true);
        CHECK_EQ(pvi_posix_hdom_permit(fx.hdom, OTHER), 0);
        CHECK_EQ(fx_context(&fx, 0), 1);
        if (preempt) {
            pvi_posix_preempt_call(fx.host, always, NULL);
        }
        fx_begin(&fx);
        init_op(2, 50)->domid = OTHER;
        fx_alloc(&fx, 0)->domid = OTHER;
        for (unsigned i = 0; i < 6; i++) {
            fx_map(&fx, 1, 0x100 + 8 * i, GUEST_PV, 8, PVI_RW);
            fx_map(&fx, 1, 0x100 + 8 * i, 0x400, 8, PVI_RW)->domid = OTHER;
        }
        for (unsigned i = 0; i < 6; i++) {
            fx_unmap(&fx, 1, 0x100 + 8 * i, 8);
            fx_unmap(&fx, 1, 0x100 + 8 * i, 4)->domid = OTHER;
        }
        fx_lookup(&fx, 1, 0x104)->domid = OTHER;
        CHECK_EQ(fx_submit(&fx), 0);
        for (unsigned i = 0; i < fx.nr_ops; i++) {
            check_step("operation %u: %s", i, pvi_strerror(fx.op[i].status));
            CHECK_EQ(fx.op[i].status, 0);
        }
        CHECK_EQ(fx.op[fx.nr_ops - 1].u.lookup.gfn.f, 0x404);
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        CHECK(pvi_posix_hdom_balanced(fx.hdom));
        CHECK_EQ(pvi_posix_frame_count(hdom2, 0x10000404000ull, PVI_OWE_WRITABLE), 6);
        CHECK_EQ(pvi_posix_frame_count(hdom2, 0x10000400000ull, PVI_OWE_WRITABLE), 0);
        fx_check(&fx);
        second_down();
        fx_down(&fx);
    }
}

/* --- the end -------------------------------------------------------------------------------------- */

static void dying(void **state)
{
    (void)state;
    check_case("dying");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL});
    CHECK_EQ(fx_context(&fx, 0), 1);
    fx_begin(&fx);
    fx_map(&fx, 1, 0, GUEST_HVM, 3000, PVI_RW);
    fx_expect(&fx, 0);
    pvi_domain_kill(&fx.dom);
    fx_begin(&fx);
    fx_op(&fx, PVI_OP_NOOP, 0);
    fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
    init_op(1, 1);
    fx_alloc(&fx, 0);
    fx_free(&fx, 1, PVI_FREE_REATTACH);
    fx_reattach(&fx, 0, 0);
    fx_map(&fx, 1, 0x10000, GUEST_PV, 1, PVI_RW);
    fx_unmap(&fx, 1, 0, 1);
    fx_lookup(&fx, 1, 0);
    fx_flush(&fx, 1, 0, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    for (unsigned i = 0; i < fx.nr_ops; i++) {
        CHECK_EQ(fx.op[i].status, -PVI_EDYING);
    }
    fx_check(&fx);
    (void)fx_device(&fx, 2, 0);
    CHECK_EQ(pvi_device_add(&fx.dom, &fx.dev[2]), -PVI_EDYING);
    CHECK_EQ(pvi_domain_destroy(&fx.dom), -PVI_EBUSY); /* devices are left */
    fx_check(&fx);
    fx_down(&fx);
}

/* Killed between two slices: the operation under way ends with EDYING, what it did is exact. */
static void killed_in_the_middle(void **state)
{
    (void)state;
    check_case("killed");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL});
    CHECK_EQ(fx_context(&fx, 0), 1);
    pvi_posix_preempt_call(fx.host, always, NULL);
    fx_begin(&fx);
    fx_map(&fx, 1, 0, GUEST_HVM, 3000, PVI_RW);
    fx_map(&fx, 1, 0x10000, GUEST_HVM, 1, PVI_RW);
    memcpy(fx.sent, fx.op, sizeof(fx.op));
    fx.batch.ops = fx.op;
    fx.batch.nr = 2;
    CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), -PVI_EPREEMPTED);
    CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), -PVI_EPREEMPTED);
    CHECK(fx.op[0].done != 0 && fx.op[0].done < 3000);
    pvi_domain_kill(&fx.dom);
    while (pvi_submit(&fx.dom, &fx.batch) == -PVI_EPREEMPTED) {
    }
    CHECK_EQ(fx.op[0].status, -PVI_EDYING);
    CHECK_EQ(fx.op[1].status, -PVI_EDYING);
    fx.tolerate = ORC_TOLERATE_GONE;
    fx_judge(&fx);
    CHECK_EQ(fx_remove(&fx, 0), 0);
    CHECK_EQ(fx_remove(&fx, 1), 0);
    CHECK_EQ(pvi_domain_destroy(&fx.dom), -PVI_EPREEMPTED); /* bounded like everything else (R14) */
    fx_down(&fx);
}

static void nothing_ever_attached(void **state)
{
    (void)state;
    for (unsigned inited = 0; inited < 2; inited++) {
        check_case("no device");
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .no_init = inited == 0});
        CHECK_EQ(fx_remove(&fx, 0), 0);
        CHECK_EQ(fx_remove(&fx, 1), 0);
        if (inited) {
            fx_begin(&fx);
            fx_alloc(&fx, PVI_ALLOC_IDENTITY);
            fx_alloc(&fx, 0);
            fx_map(&fx, 2, 0, GUEST_PV, 512, PVI_RW);
            fx_expect(&fx, 0);
        }
        fx_down(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation),
        cmocka_unit_test(common_table),
        cmocka_unit_test(init_once),
        cmocka_unit_test(init_in_pieces),
        cmocka_unit_test(permissions),
        cmocka_unit_test(two_domains_in_one_batch),
        cmocka_unit_test(dying),
        cmocka_unit_test(killed_in_the_middle),
        cmocka_unit_test(nothing_ever_attached),
    };

    return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
