/* SPDX-License-Identifier: MIT */
/*
 * What a hostile reading of nested contexts and PASIDs came to: read-only leaves of the host's own table below guests' tables, a guest that
 * keeps the host from taking its device away, what is left of a way back that fails, hooks after a domain's end, and numbers that change
 * hands between a look and a lock.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

#define NESTED .kind = FX_NULL, .nested = true, .guest_levels = 1u << 4
#define PASIDS .pasid_bits = 8, .max_pasids = 6
#define ROOT 0x777ull

static struct fx fx;

/* One operation of another CPU, past the fixture: its oracle would not follow. */
static int other(struct pvi_op *op)
{
    static struct pvi_batch batch;

    memset(&batch, 0, sizeof(batch));
    batch.ops = op;
    batch.nr = 1;
    op->domid = PVI_DOMID_SELF;
    while (pvi_submit(&fx.dom, &batch) == -PVI_EPREEMPTED) {
    }
    return op->status;
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* A domain in share_pt with one device and six contexts; what the host's table says does not matter. */
static pvi_pa share_up(const struct fx_cfg *cfg, struct pvi_sync *sync)
{
    struct pvi_domain_cfg dc;
    struct pvi_op *op;
    pvi_pa pa;

    fx_machine(&fx, cfg);
    fx.unit[0].null.unit.caps.shares = true;
    CHECK_EQ(pvi_host_page_alloc(fx.host, &pa), 0);
    memset(pvi_posix_ptr(fx.host, pa.a, PVI_PAGE_SIZE), 0, PVI_PAGE_SIZE);
    dc = fx_domain_cfg(&fx);
    dc.passthrough = (struct pvi_passthrough_cfg){
        .mode = PVI_PASSTHROUGH_SHARE_PT,
        .share = {.format = &pvi_vtd_ss_ops, .root = pa, .levels = 4, .page_sizes = 1u << 12, .written_back = true},
    };
    CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
    CHECK_EQ(pvi_domain_start(&fx.dom), 0);
    pvi_sync_init(sync, &fx.dom);
    CHECK_EQ(pvi_device_add(&fx.dom, fx_device(&fx, 0, 0)), 0);
    fx_begin(&fx);
    op = fx_op(&fx, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 6;
    op->u.init.nr_pages = 20;
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, 0);
    return pa;
}

static void share_down(pvi_pa pa)
{
    while (fx.dom.devices) {
        CHECK_EQ(pvi_device_remove(&fx.dom, fx.dom.devices), 0);
    }
    pvi_domain_kill(&fx.dom);
    CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    pvi_host_page_free(fx.host, pa);
    fx_drop(&fx);
}

/*
 * Erratum 772415: a table below guests' own may have no read-only leaf. The domain's own tables have none then; the host's own table, which
 * share_pt puts in the same place, has what the host likes. Either the host's table is not shared or nothing can be nested on it.
 */
static void shared_read_only(void **state)
{
    struct pvi_passthrough_info info;
    struct pvi_sync sync;
    int status;
    pvi_pa pa;

    (void)state;
    pa = share_up(&(struct fx_cfg){NESTED, .parent_rw = true}, &sync);
    fx_begin(&fx);
    fx_nested(&fx, 0, ROOT);
    CHECK_EQ(fx_submit(&fx), 0);
    status = fx.op[0].status;
    pvi_passthrough_query(&fx.dom, &info);
    share_down(pa);
    CHECK(info.in_force != PVI_PASSTHROUGH_SHARE_PT || status == -PVI_EOPNOTSUPP);
}

/* The host takes a device away, interrupted at each checkpoint; between two calls its guest attaches a PASID again. */
static void remove_ends(void **state)
{
    unsigned calls = 0;
    int rc;

    (void)state;
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, PASIDS, .devices = 1});
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_attach_pasid(&fx, 1, 0, 1, 0);
    fx_attach_pasid(&fx, 1, 0, 2, 0);
    fx_expect(&fx, 0);
    pvi_posix_preempt_call(fx.host, always, NULL);
    do {
        rc = pvi_device_remove(&fx.dom, &fx.dev[0]);
        for (uint32_t pasid = 1; rc == -PVI_EPREEMPTED && pasid < 3; pasid++) {
            struct pvi_op op = {.code = PVI_OP_ATTACH_PASID, .ctx = 1, .u.pasid = {fx.dev[0].sbdf, pasid}};

            (void)other(&op); /* EEXIST for one of them, as long as the library lets the guest do that */
        }
    } while (rc == -PVI_EPREEMPTED && ++calls < 1000);
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    if (rc != 0) {
        CHECK_EQ(pvi_device_remove(&fx.dom, &fx.dev[0]), 0);
    }
    fx_end(&fx, false);
    CHECK_EQ(rc, 0);
}

static unsigned switches;

/* From the second switch of a PASID on the unit has no room for any: what translates is refused, without a word about hardware. */
static void no_room(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    switches += after;
    fx.unit[0].null.unit.caps.pasid_bits = switches == 0 ? 8 : 0;
}

/*
 * A PASID moves by way of blocked. Neither the new context nor, after the wait, the old one can be set: the PASID is gone, but the unit obeyed
 * throughout, and has forgotten both. Both can be freed, and the id comes back.
 */
static void way_back_fails(void **state)
{
    uint64_t ids[2];
    int status;

    (void)state;
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, PASIDS});
    ids[0] = pvi_posix_calls(fx.host, PVI_AT_DID_ALLOC) - pvi_posix_calls(fx.host, PVI_AT_DID_FREE);
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_alloc(&fx, 0);
    fx_attach_pasid(&fx, 1, 0, 5, 0);
    fx_expect(&fx, 0);
    switches = 0;
    pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_DEV_SWITCH), no_room, NULL);
    fx_begin(&fx);
    fx_attach_pasid(&fx, 2, 0, 5, PVI_PASID_MOVE);
    CHECK_EQ(fx_submit(&fx), 0);
    status = fx.op[0].status;
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    fx.unit[0].null.unit.caps.pasid_bits = 8;
    CHECK(status != 0 && !fx_pasid_entry(&fx, 0, fx.dev[0].rid[0], 5) && !fx.unit[0].unit->broken);
    fx_begin(&fx);
    fx_free(&fx, 1, 0);
    fx_free(&fx, 2, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == 0 && fx.op[1].status == 0);
    ids[1] = pvi_posix_calls(fx.host, PVI_AT_DID_ALLOC) - pvi_posix_calls(fx.host, PVI_AT_DID_FREE);
    status = fx.dom.slot[0]->state;
    fx_end(&fx, status != PVI_CTX_FREE);
    CHECK_EQ(status, PVI_CTX_FREE);
    CHECK_EQ(ids[1], ids[0]);
}

/* A nested context that a failed unit has kept outlives its domain in the books; the host's p2m is torn down later, and its hooks still run. */
static void hook_after_the_end(void **state)
{
    struct pvi_sync sync;
    int how = 0;
    pid_t child;

    (void)state;
    (void)share_up(&(struct fx_cfg){NESTED}, &sync);
    fx_begin(&fx);
    fx_nested(&fx, 0, ROOT);
    fx_reattach(&fx, 1, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == 0 && fx.op[1].status == 0);
    fx.unit[0].null.fail_wait = true;
    CHECK_EQ(pvi_device_remove(&fx.dom, &fx.dev[0]), -PVI_EHW);
    pvi_domain_kill(&fx.dom);
    CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    child = fork(); /* it may die of it */
    if (child == 0) {
        int rc = pvi_share_flush(&sync, (pvi_dfn){5}, 1, false);

        _exit(rc == -PVI_EHW && sync.kept.nr == 1 ? 0 : 1); /* the unit may go on walking the host's table */
    }
    CHECK_EQ(waitpid(child, &how, 0), child);
    fx_drop(&fx);
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static struct {
    bool armed;
    int freed, made;
    unsigned ctx;
} race;

/* Another CPU frees context 1 and makes a nested one, which gets its number. */
static void change_hands(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_op end = {.code = PVI_OP_FREE_CONTEXT, .ctx = 1};
    struct pvi_op op = {.code = PVI_OP_ALLOC_NESTED, .u.nested = {.root = {ROOT}, .levels = 4}};

    (void)opaque;
    (void)at;
    if (after && race.armed) {
        race.armed = false;
        race.freed = other(&end);
        race.made = other(&op);
        race.ctx = op.ctx;
    }
}

/* A map has looked at its context and asks for frames; meanwhile the number becomes that of a nested context. Nothing is mapped in its own table. */
static void nested_under_map(void **state)
{
    struct pvi_context_usage usage;
    int status;

    (void)state;
    fx_up(&fx, &(struct fx_cfg){NESTED});
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_expect(&fx, 0);
    race.armed = true;
    pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_FRAME_GET), change_hands, NULL);
    fx_begin(&fx);
    fx_map(&fx, 1, 5, GUEST_PV, 3, PVI_RW);
    CHECK_EQ(fx_submit(&fx), 0);
    status = fx.op[0].status;
    pvi_posix_hook(fx.host, 0, NULL, NULL);
    CHECK(race.freed == 0 && race.made == 0);
    CHECK_EQ(race.ctx, 1);
    CHECK_EQ(pvi_context_usage(&fx.dom, 1, &usage), 0);
    fx_end(&fx, false);
    CHECK_EQ(usage.mapped, 0);
    CHECK_EQ(status, -PVI_ENESTED);
}

/* A device joins its group, which is in a nested context whose parent is broken: nothing is attached there, as REATTACH_DEVICE says. */
static void add_below_broken(void **state)
{
    int rc;

    (void)state;
    fx_up(&fx, &(struct fx_cfg){NESTED, .units = 2, .devices = 1});
    (void)fx_device(&fx, 1, 1);
    fx_device(&fx, 2, 1)->group = 7;
    fx_device(&fx, 3, 1)->group = 7;
    CHECK_EQ(fx_add(&fx, 1), 0);
    CHECK_EQ(fx_add(&fx, 2), 0);
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_nested(&fx, 1, ROOT);
    fx_map(&fx, 1, 5, GUEST_PV, 1, PVI_RW);
    fx_reattach(&fx, 2, 2);
    fx_expect(&fx, 0);
    pvi_posix_count_violations(fx.host, true);
    pvi_posix_fail(fx.host, PVI_AT_INV_SUBMIT, 1, false);
    fx_begin(&fx);
    fx_unmap(&fx, 1, 5, 1);
    CHECK_EQ(fx_submit(&fx), 0);
    pvi_posix_fail(fx.host, PVI_AT_INV_SUBMIT, 0, false);
    fx_begin(&fx);
    fx_reattach(&fx, 2, 1);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, -PVI_EHW);
    rc = pvi_device_add(&fx.dom, &fx.dev[3]);
    fx_end(&fx, true);
    CHECK_EQ(rc, -PVI_EBUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_read_only),
        cmocka_unit_test(remove_ends),
        cmocka_unit_test(way_back_fails),
        cmocka_unit_test(hook_after_the_end),
        cmocka_unit_test(nested_under_map),
        cmocka_unit_test(add_below_broken),
    };

    return cmocka_run_group_tests_name("nested contexts, reviewed", tests, NULL, NULL);
}
