/* SPDX-License-Identifier: MIT */
/*
 * Ways through the core that it takes only when something fails, runs out or comes in between: another CPU has the claim,
 * the domain dies between two slices, a unit stops obeying in the middle, frames lie beyond what a unit can name.
 */
#include <string.h>

#include "entry_rig.h"
#include "fixture.h"
#include "lab.h"

#define PAGE (1ull << 12)
#define LARGE 3000u /* pages: more than one slice */

static struct fx fx;

static void submit_raw(int status)
{
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, status);
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* --- other CPUs ---------------------------------------------------------------------------------------- */

/* Dies between two slices of one call: what was done is exact, nothing more is done. */
static bool dies(void *opaque, uint64_t nr)
{
    uint64_t *left = opaque;

    (void)nr;
    if ((*left)-- == 1) {
        pvi_domain_kill(&fx.dom);
    }
    return false;
}

static void killed_in_a_call(bool rights)
{
    for (uint64_t at = 1; at < 5; at++) {
        uint64_t left = at;

        check_case("%s, killed after %llu slices", rights ? "rights" : "map", (unsigned long long)at);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .page_sizes = PAGE});
        CHECK_EQ(fx_context(&fx, 0), 1);
        if (rights) {
            fx_begin(&fx);
            fx_map(&fx, 1, 0x40000, GUEST_HVM, LARGE, PVI_RW);
            fx_expect(&fx, 0);
        }
        pvi_posix_preempt_call(fx.host, dies, &left);
        fx_begin(&fx);
        if (rights) {
            fx_rights(&fx, 1, 0x40000, LARGE, PVI_READ);
        } else {
            fx_map(&fx, 1, 0x40000, GUEST_HVM, LARGE, PVI_RW);
        }
        fx_map(&fx, 1, 0x80000, GUEST_HVM, 1, PVI_RW);
        CHECK_EQ(fx_submit(&fx), 0);
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        CHECK_EQ(fx.op[0].status, -PVI_EDYING);
        CHECK_EQ(fx.op[0].done, at * 512);
        CHECK_EQ(fx.op[0].fault, 0x40000 + at * 512);
        CHECK_EQ(fx.op[1].status, -PVI_EDYING);
        CHECK_EQ(fx.op[1].done, 0);
        fx.tolerate = ORC_TOLERATE_GONE;
        fx_judge(&fx);
        fx_down(&fx);
    }
}

static void killed_between_slices(void **state)
{
    (void)state;
    killed_in_a_call(false);
    killed_in_a_call(true); /* which pins frames, and may take pages for tables */
}

/* While one CPU moves a device, others that want to make, free or move anything are told to come back. */
static unsigned met;

static void op_comes_back(unsigned code, unsigned ctx)
{
    struct pvi_op op = {.code = (uint16_t)code, .ctx = (uint16_t)ctx, .domid = PVI_DOMID_SELF};
    struct pvi_batch batch = {.ops = &op, .nr = 1};

    if (code == PVI_OP_INIT) {
        op.u.init.nr_contexts = op.u.init.nr_pages = 1;
    }
    op.u.reattach.sbdf = code == PVI_OP_REATTACH_DEVICE ? fx.dev[1].sbdf : op.u.reattach.sbdf;
    CHECK_EQ(pvi_submit(&fx.dom, &batch), -PVI_EPREEMPTED);
    CHECK(batch.next == 0 && op.done == 0);
}

static void while_claimed(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (after) {
        return;
    }
    met++;
    CHECK_EQ(pvi_device_remove(&fx.dom, &fx.dev[1]), -PVI_EPREEMPTED);
    CHECK_EQ(pvi_device_add(&fx.dom, &fx.dev[2]), -PVI_EPREEMPTED);
    CHECK_EQ(pvi_domain_start(&fx.dom), -PVI_EPREEMPTED);
    op_comes_back(PVI_OP_INIT, 0);
    op_comes_back(PVI_OP_ALLOC_CONTEXT, 0);
    op_comes_back(PVI_OP_FREE_CONTEXT, 2);
    op_comes_back(PVI_OP_REATTACH_DEVICE, 2);
}

static void destroy_again(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (!after) {
        met++;
        CHECK_EQ(pvi_domain_destroy(&fx.dom), -PVI_EPREEMPTED);
    }
}

static void others_come_back_later(void **state)
{
    (void)state;
    check_case("claimed");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .contexts = 3});
    CHECK_EQ(fx_context(&fx, 0), 1);
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_expect(&fx, 0);
    (void)fx_device(&fx, 2, 0);
    fx.nr_devs = 2;
    met = 0;
    pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_DEV_SWITCH), while_claimed, NULL);
    fx_begin(&fx);
    fx_reattach(&fx, 2, 0);
    fx_expect(&fx, 0);
    CHECK_EQ(met, 1);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK_EQ(fx_add(&fx, 2), 0); /* nobody has the claim now */
    fx.nr_devs = 3;
    fx_check(&fx);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(fx_remove(&fx, i), 0);
    }
    met = 0;
    pvi_domain_kill(&fx.dom);
    pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_MEM_FREE), destroy_again, NULL);
    CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    CHECK(met > 0);
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    fx_down(&fx);
}

/* --- hardware fails ------------------------------------------------------------------------------------ */

/* Not between two operations. */
static bool once_more(void *opaque, uint64_t nr)
{
    unsigned *looks = opaque;

    (void)nr;
    return ++*looks > 1;
}

/*
 * Units that remember what is not there have to forget of a context that is being built, too. Where they do not, because another
 * operation's flush fails in the call in which it is preempted, the context is not one that was built.
 */
static void alloc_while_a_flush_fails(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        unsigned looks = 0;

        check_case("%s", k ? "preempted" : "in one call");
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .np_cache = true, .devices = 1});
        CHECK_EQ(fx_context(&fx, 0), 1);
        fx_begin(&fx);
        fx_map(&fx, 1, 0x40000, GUEST_HVM, 1, PVI_RW);
        fx_expect(&fx, 0);
        pvi_posix_count_violations(fx.host, true); /* nobody can say what the unit has forgotten */
        pvi_posix_preempt_call(fx.host, k ? once_more : NULL, &looks);
        pvi_posix_fail(fx.host, PVI_AT_INV_WAIT, 1, false);
        fx_begin(&fx);
        fx_unmap(&fx, 1, 0x40000, 1);
        fx_alloc(&fx, PVI_ALLOC_IDENTITY);
        CHECK_EQ(fx_submit(&fx), 0);
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        CHECK_EQ(pvi_posix_failed(fx.host, PVI_AT_INV_WAIT), 1);
        pvi_posix_fail(fx.host, PVI_AT_INV_WAIT, 0, false);
        CHECK_EQ(fx.op[0].status, -PVI_EHW);
        CHECK_EQ(fx.op[1].status, -PVI_EHW);
        CHECK_EQ(fx.dom.slot[1]->state, k ? PVI_CTX_FREE : PVI_CTX_BROKEN);
        fx_end(&fx, true);
    }
}

/* A device leaves a unit that neither forgets it nor takes a blocking entry: each id that may go on is named. */
static void ids_that_do_not_block(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct pvi_posix_event event[PVI_POSIX_EVENTS];
        unsigned named = 0;
        uint64_t nr;

        check_case("%s", k ? "no switch either" : "no flush");
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1});
        fx_device(&fx, 1, 0)->nr_rids = 2;
        fx.dev[1].rid[1] = (uint16_t)(fx.dev[1].rid[0] + 1);
        CHECK_EQ(fx_add(&fx, 1), 0);
        CHECK_EQ(fx_context(&fx, 1), 1);
        fx.unit[0].null.fail_submit = true;
        pvi_posix_fail(fx.host, PVI_AT_DEV_SWITCH, k ? 3 : 0, true);
        CHECK_EQ(pvi_device_remove(&fx.dom, &fx.dev[1]), -PVI_EHW);
        pvi_posix_fail(fx.host, PVI_AT_DEV_SWITCH, 0, false);
        nr = pvi_posix_events(fx.host, event);
        CHECK(nr <= PVI_POSIX_EVENTS);
        for (uint64_t i = 0; i < nr; i++) {
            if (event[i].what == PVI_EVENT_UNIT_ERROR) {
                CHECK_EQ(event[i].a, fx.unit[0].unit->index);
                CHECK_EQ(event[i].b, fx.dev[1].rid[named++]);
            }
        }
        CHECK_EQ(named, k ? 2 : 0);
        CHECK(!fx.dev[1].ctx);
        fx_end(&fx, true);
    }
}

static unsigned turns;

static bool breaks(void *opaque, uint64_t nr)
{
    (void)nr;
    if (turns-- == 1) {
        ((struct pvi_posix_null *)opaque)->fail_submit = true;
    }
    return turns == 0;
}

/* Preempted, and what it had done could not be flushed: it ends there. An operation that has done nothing yet does not. */
static void broken_under_way(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        bool removes = k / 2 != 0, between = k % 2 != 0;

        check_case("%s, %s", removes ? "unmap" : "map", between ? "before it begins" : "half way");
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .page_sizes = PAGE, .np_cache = true});
        CHECK_EQ(fx_context(&fx, 0), 1);
        fx_begin(&fx);
        fx_map(&fx, 1, 1, GUEST_HVM, LARGE, PVI_RW);
        fx_expect(&fx, 0);
        turns = between || removes ? 1 : 3; /* whole tables go quickly */
        pvi_posix_preempt_call(fx.host, breaks, &fx.unit[0].null);
        fx_begin(&fx);
        if (between) {
            fx_unmap(&fx, 1, 1, 1);
        }
        if (removes) {
            fx_unmap(&fx, 1, 2, LARGE - 1);
        } else {
            fx_map(&fx, 1, 0x10001, GUEST_HVM, LARGE, PVI_RW);
        }
        fx_lookup(&fx, 1, 2); /* not reached */
        fx.batch = (struct pvi_batch){.ops = fx.op, .nr = fx.nr_ops};
        CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), -PVI_EPREEMPTED);
        CHECK_EQ(fx.op[0].status, -PVI_EHW);
        CHECK_EQ(fx.batch.next, 1);
        if (between) {
            CHECK_EQ(fx.op[0].done, 1);
            CHECK_EQ(fx.op[1].status, 0);
            CHECK_EQ(fx.op[1].done, 0);
        } else {
            CHECK(fx.op[0].done != 0 && fx.op[0].done < LARGE - 1);
        }
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), 0);
        CHECK_EQ(fx.batch.next, fx.batch.nr);
        CHECK_EQ(fx.op[1].status, -PVI_EHW);
        CHECK_EQ(fx.dom.slot[0]->state, PVI_CTX_BROKEN);
        fx_end(&fx, true);
    }
}

/* The operation under way was the batch's last one: then the batch is over. */
static void broken_at_the_end(void **state)
{
    (void)state;
    check_case("the last operation");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .page_sizes = PAGE, .np_cache = true});
    CHECK_EQ(fx_context(&fx, 0), 1);
    turns = 2;
    pvi_posix_preempt_call(fx.host, breaks, &fx.unit[0].null);
    fx_begin(&fx);
    fx_map(&fx, 1, 1, GUEST_HVM, LARGE, PVI_RW);
    fx.batch = (struct pvi_batch){.ops = fx.op, .nr = 1, .flags = PVI_BATCH_STOP};
    CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), 0);
    CHECK_EQ(fx.batch.next, 1);
    CHECK(fx.batch.failed);
    CHECK_EQ(fx.op[0].status, -PVI_EHW);
    CHECK(fx.op[0].done != 0 && fx.op[0].done < LARGE);
    fx_end(&fx, true);
}

/* --- what runs out ------------------------------------------------------------------------------------- */

/* Not enough memory for the pool, found late, by a caller that wants to get out all the time. */
static void init_undone_in_pieces(void **state)
{
    uint64_t before;
    struct pvi_op *op;

    (void)state;
    check_case("init undone");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .no_init = true});
    before = pvi_posix_pages_used(fx.host);
    pvi_posix_preempt_call(fx.host, always, NULL);
    pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, 1000, true);
    fx_begin(&fx);
    op = fx_op(&fx, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 5;
    op->u.init.nr_pages = 2000;
    submit_raw(-PVI_ENOMEM);
    CHECK(fx.preempted > 16); /* as often on the way back as on the way there */
    CHECK_EQ(pvi_posix_pages_used(fx.host), before);
    CHECK(fx.dom.state == PVI_DOMAIN_NEW && !fx.dom.slot && fx.dom.nr_contexts == 0 && fx.dom.pool.nr_pages == 0);
    pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, 0, false);
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    fx_begin(&fx);
    op = fx_op(&fx, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 5;
    op->u.init.nr_pages = 200;
    fx_expect(&fx, 0);
    fx_down(&fx);
}

/* A region of two tables, and pages for one: what was mapped of it is taken back. */
static void region_half_way(void **state)
{
    (void)state;
    for (unsigned trim = 0; trim < 2; trim++) {
        struct pvi_context *ctx;

        check_case("half a region, trim %u", trim);
        fx_up(&fx, &(struct fx_cfg){
                       .kind = FX_NULL, .devices = 1, .pages = 4, .contexts = 1, .trim = trim != 0, .np_cache = true});
        fx_device(&fx, 1, 0)->nr_regions = 1;
        fx.dev[1].region[0] = (struct pvi_region){0x1fe000, 0x201fff, PVI_RW};
        CHECK_EQ(fx_add(&fx, 1), 0);
        fx_begin(&fx);
        fx_alloc(&fx, 0);
        fx_expect(&fx, 0);
        ctx = fx.dom.slot[0];
        fx_begin(&fx);
        fx_reattach(&fx, 1, 1);
        submit_raw(-PVI_ENOMEM);
        fx_check(&fx); /* nothing is mapped, the device is where it was */
        CHECK_EQ(ctx->nr_regions, 0);
        CHECK_EQ(ctx->quota.used, trim ? 1 : 4);
        CHECK_EQ(ctx->quota.gathered, 0);
        fx_begin(&fx);
        fx_map(&fx, 1, 0x1fe, GUEST_HVM, 2, PVI_RW); /* nothing is reserved there */
        fx_expect(&fx, 0);
        fx_down(&fx);
    }
}

/* The pages that a region needs have been freed by the same batch: they count as free, preempted or not. */
static void region_from_freed_pages(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        check_case("a region from pages in the gather, %u", k);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .devices = 1, .pages = 4, .contexts = 1, .trim = true});
        fx_device(&fx, 1, 0)->nr_regions = 1;
        fx.dev[1].region[0] = (struct pvi_region){0x40000000, 0x40000fff, PVI_RW};
        CHECK_EQ(fx_add(&fx, 1), 0);
        fx_begin(&fx);
        fx_alloc(&fx, 0);
        fx_map(&fx, 1, 0x100, GUEST_HVM, 1, PVI_RW);
        fx_expect(&fx, 0);
        CHECK_EQ(fx.dom.pool.nr_free, 0);
        pvi_posix_preempt_call(fx.host, k ? always : NULL, NULL);
        fx_begin(&fx);
        fx_unmap(&fx, 1, 0x100, 1);
        fx_reattach(&fx, 1, 1);
        fx_expect(&fx, 0);
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        CHECK_EQ(fx.dom.slot[0]->nr_regions, 1);
        fx_down(&fx);
    }
}

/* Frames that owe something each, and no page to note them in: rights change in pieces, with a flush between. */
static void rights_in_pieces(void **state)
{
    static struct lab r;
    uint64_t gfn[100];

    (void)state;
    for (unsigned i = 0; i < lab_nr_depths; i++) {
        const struct lab_format *f = lab_depths[i].f;
        struct lab_cfg cfg = {.f = f, .levels = lab_depths[i].levels, .sizes = PAGE, .pages = lab_depths[i].levels};
        struct pvi_pt_change c = {.last = 100 * PAGE - 1, .prot = PVI_READ, .owe = PVI_OWE_NONE};

        lab_up(&r, &cfg);
        for (unsigned k = 0; k < 100; k++) {
            gfn[k] = GUEST_SCATTER + 3 * k;
        }
        CHECK_EQ(lab_map_list(&r, 0, gfn, 100, PVI_RW, false), 0);
        CHECK_EQ(r.pool.nr_free, 0);
        lab_flush(&r);
        /* Asked of the engine itself: it stops where the gather is full, and says so. */
        CHECK_EQ(f->ops->rights(&r.pt, NULL, &c, &r.gather), -PVI_EBUSY);
        CHECK_EQ(c.next, PVI_GATHER_RUNS * PAGE);
        CHECK(!c.complete);
        CHECK_EQ(r.gather.nr_runs, PVI_GATHER_RUNS);
        CHECK(r.gather.nr_ranges == 1 && r.gather.range[0].last == c.next - 1);
        CHECK_EQ(f->ops->rights(&r.pt, NULL, &c, &r.gather), -PVI_EBUSY);
        CHECK_EQ(c.next, PVI_GATHER_RUNS * PAGE); /* and nothing changes before it is flushed */
        CHECK_EQ(lab_unmap(&r, c.next, r.last, true, NULL), 0); /* that is as it was */
        lab_flush(&r);
        lab_down(&r);
    }
}

/* --- PASID directories ------------------------------------------------------------------------------------ */

/* A page's address and nothing else may go into a directory; an entry comes back as it was set. */
static void pasid_directories(void **state)
{
    const struct pvi_vtd_pasid_entry set = {{1, 2, 3, 4, 5, 6, 7, 8}};
    struct pvi_vtd_pasid_entry got;
    struct pvi_vtd_pasid_dir dir = {.bits = 13, .coherent = true};
    static struct entry_rig r;
    pvi_pa page, odd;
    void *content;

    (void)state;
    check_case("PASID directory");
    entry_rig_up(&r, true);
    dir.pa = entry_page(&r);
    page = entry_page(&r);
    content = pvi_env_map(r.host, dir.pa);
    memset(content, 0, PVI_PAGE_SIZE);
    pvi_env_unmap(r.host, content);
    for (uint64_t bit = 1; bit < PAGE; bit <<= 1) {
        odd.a = page.a | bit;
        CHECK_EQ(pvi_vtd_pasid_dir_add(r.host, &dir, 0x1fff, odd), -PVI_EINVAL);
        CHECK_EQ(entry_word(&r, dir.pa.a + 127 * 8), 0);
    }
    CHECK_EQ(pvi_vtd_pasid_dir_add(r.host, &dir, 0x1fff, page), 0);
    CHECK_EQ(pvi_vtd_pasid_set(r.host, &dir, 0x1ffe, &set), 0);
    CHECK_EQ(pvi_vtd_pasid_get(r.host, &dir, 0x1ffe, &got), 0);
    CHECK(memcmp(&got, &set, sizeof(got)) == 0);
    CHECK_EQ(pvi_vtd_pasid_get(r.host, &dir, 0x1fff, &got), -PVI_ENOENT);
    entry_rig_down(&r);
}

/* --- the table alone ------------------------------------------------------------------------------------ */

/* New leaves over one that calls in several gigabytes can meet: only by a call that is alone. */
static void replace_what_all_share(void **state)
{
    static struct lab r;

    (void)state;
    for (unsigned i = 0; i < lab_nr_depths; i++) {
        struct lab_cfg cfg = {.f = lab_depths[i].f, .levels = lab_depths[i].levels, .sizes = UINT64_MAX};
        const unsigned g1 = 30;
        struct pvi_pt_unmap all = {.holes = true};
        struct pvi_pt_map m = {.iova = 1ull << g1, .pa = 1ull << 40, .len = 1ull << g1, .prot = PVI_RW};
        struct pvi_pt_leaf leaf;

        lab_up(&r, &cfg);
        if ((r.usable >> g1 & 1) == 0 || r.last < (2ull << g1) - 1) {
            lab_down(&r);
            continue;
        }
        m.shared = true;
        CHECK_EQ(cfg.f->ops->map(&r.pt, NULL, &m, &r.gather), PVI_PT_ALONE);
        CHECK_EQ(m.done, 0);
        m.shared = false;
        CHECK_EQ(cfg.f->ops->map(&r.pt, NULL, &m, &r.gather), 0);
        lab_flush(&r);
        m = (struct pvi_pt_map){.iova = (1ull << g1) + PAGE, .pa = 7 * PAGE, .len = PAGE, .prot = PVI_RW, .shared = true};
        CHECK_EQ(cfg.f->ops->map(&r.pt, NULL, &m, &r.gather), -PVI_EEXIST);
        m.replace = true;
        CHECK_EQ(cfg.f->ops->map(&r.pt, NULL, &m, &r.gather), PVI_PT_ALONE);
        CHECK_EQ(m.done, 0);
        CHECK(pvi_gather_empty(&r.gather)); /* nothing has changed */
        CHECK_EQ(cfg.f->ops->lookup(&r.pt, m.iova, &leaf), 0);
        CHECK_EQ(leaf.lg2, g1);
        m.shared = false;
        while (m.done < m.len) {
            CHECK_EQ(cfg.f->ops->map(&r.pt, NULL, &m, &r.gather), 0);
        }
        CHECK_EQ(cfg.f->ops->lookup(&r.pt, m.iova, &leaf), 0);
        CHECK(leaf.lg2 == 12 && leaf.pa == 7 * PAGE);
        CHECK_EQ(cfg.f->ops->lookup(&r.pt, m.iova + PAGE, &leaf), 0);
        CHECK_EQ(leaf.pa, (1ull << 40) + 2 * PAGE);
        all.last = r.last;
        while (!all.complete) { /* the lab's models know nothing of all this */
            CHECK_EQ(cfg.f->ops->unmap(&r.pt, NULL, &all, &r.gather), 0);
        }
        CHECK_EQ(all.removed, 1ull << g1);
        lab_down(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_between_slices),  cmocka_unit_test(others_come_back_later),
        cmocka_unit_test(alloc_while_a_flush_fails),
        cmocka_unit_test(ids_that_do_not_block),  cmocka_unit_test(broken_under_way),
        cmocka_unit_test(broken_at_the_end),      cmocka_unit_test(init_undone_in_pieces),
        cmocka_unit_test(region_half_way),        cmocka_unit_test(rights_in_pieces),
        cmocka_unit_test(replace_what_all_share), cmocka_unit_test(pasid_directories), cmocka_unit_test(region_from_freed_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
