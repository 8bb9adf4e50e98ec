/* SPDX-License-Identifier: MIT */
/*
 * What a batch reports when its own gather matters: pages that it has freed itself are there for it, preempted or not
 * (I12, I14), and a flush that fails is the failure of everything that it covered (I4, I7).
 */
#include <pviommu/batch.h>
#include <pviommu_posix.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LEVELS 4u

static struct pvi_host *host;
static struct pvi_hdom *owner;
static struct pvi_posix_null unit;
static struct pvi_system machine;
static struct pvi_device dev;
static struct pvi_domain guest;

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void run(struct pvi_op *op, uint32_t nr)
{
    struct pvi_batch batch;

    memset(&batch, 0, sizeof(batch));
    batch.ops = op;
    batch.nr = nr;
    while (pvi_submit(&guest, &batch) == -PVI_EPREEMPTED) {
        pvi_posix_checkpoint(host);
    }
    pvi_posix_checkpoint(host);
}

static struct pvi_op op_of(uint16_t code, uint16_t ctx)
{
    struct pvi_op op;

    memset(&op, 0, sizeof(op));
    op.code = code;
    op.ctx = ctx;
    op.domid = PVI_DOMID_SELF;
    return op;
}

static struct pvi_op map_of(uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op op = op_of(PVI_OP_MAP, ctx);

    op.flags = PVI_RW;
    op.u.map.dfn.f = dfn;
    op.u.map.gfn.f = 1; /* never congruent: 4 KiB leaves */
    op.u.map.nr = nr;
    return op;
}

static struct pvi_op unmap_of(uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op op = op_of(PVI_OP_UNMAP, ctx);

    op.u.unmap.dfn.f = dfn;
    op.u.unmap.nr = nr;
    return op;
}

/* A guest whose pool holds `pages`, with context 1 made and the device in it. */
static void up(uint32_t pages, bool preempt)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000ull, .size = 4 << 20};
    struct pvi_posix_range ram = {.nr = 0x4000, .pa = 0x200000000ull, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_domain_cfg cfg = {.max_contexts = 2, .max_pages = 100};
    struct pvi_op op[3];

    memset(&machine, 0, sizeof(machine));
    memset(&unit, 0, sizeof(unit));
    memset(&dev, 0, sizeof(dev));
    host = pvi_posix_new(&memory);
    owner = pvi_posix_hdom_new(host, 1);
    assert_non_null(owner);
    assert_int_equal(pvi_posix_hdom_range(owner, &ram), 0);
    unit.unit.caps.format = &pvi_vtd_ss_ops;
    unit.unit.caps.levels_mask = 1u << LEVELS;
    assert_int_equal(pvi_posix_add_null(host, &unit), 0);
    assert_int_equal(pvi_system_add_unit(&machine, &unit.unit), 0);
    cfg.hdom = owner;
    cfg.system = &machine;
    assert_int_equal(pvi_domain_init(&guest, host, &cfg), 0);
    dev.sbdf.v = 8;
    dev.unit = &unit.unit;
    dev.rid[0] = 8;
    dev.nr_rids = 1;
    assert_int_equal(pvi_device_add(&guest, &dev), 0);
    op[0] = op_of(PVI_OP_INIT, 0);
    op[0].u.init.nr_contexts = 2;
    op[0].u.init.nr_pages = pages;
    op[1] = op_of(PVI_OP_ALLOC_CONTEXT, 0);
    op[2] = op_of(PVI_OP_REATTACH_DEVICE, 1);
    op[2].u.reattach.sbdf.v = 8;
    run(op, 3);
    assert_int_equal(op[2].status, 0);
    if (preempt) {
        pvi_posix_preempt_call(host, always, NULL);
    }
}

static void down(void)
{
    const char *why;

    pvi_posix_preempt_call(host, NULL, NULL);
    assert_int_equal(pvi_device_remove(&guest, &dev), 0);
    pvi_domain_kill(&guest);
    assert_int_equal(pvi_domain_destroy(&guest), 0);
    assert_true(pvi_posix_hdom_balanced(owner));
    pvi_posix_hdom_free(owner);
    assert_true(pvi_posix_balanced(host, &why));
    pvi_posix_free(host);
    pvi_posix_null_fini(&unit);
}

/* Root and one chain: the second map needs the leaf table that the unmap before it has dropped. */
static void table_dropped_by_the_batch(void **state)
{
    struct pvi_op op[2];
    unsigned k;

    (void)state;
    for (k = 0; k < 2; k++) {
        up(LEVELS, k != 0);
        op[0] = map_of(1, 0x200, 512);
        run(op, 1);
        assert_int_equal(op[0].status, 0);
        op[0] = unmap_of(1, 0x200, 512);
        op[1] = map_of(1, 0x400, 512);
        run(op, 2);
        assert_int_equal(op[0].status, 0);
        assert_int_equal(op[1].status, 0);
        op[0] = map_of(1, 0x600, 1); /* and no page more */
        run(op, 1);
        assert_int_equal(op[0].status, -PVI_ENOMEM);
        down();
    }
}

/* A context freed by the batch gives its pages to the one that the batch makes next. */
static void context_freed_by_the_batch(void **state)
{
    struct pvi_op op[3];
    unsigned k;

    (void)state;
    for (k = 0; k < 2; k++) {
        up(LEVELS, k != 0);
        op[0] = map_of(1, 0x200, 512);
        run(op, 1);
        assert_int_equal(op[0].status, 0);
        op[0] = op_of(PVI_OP_FREE_CONTEXT, 1);
        op[0].flags = PVI_FREE_REATTACH;
        op[1] = op_of(PVI_OP_ALLOC_CONTEXT, 0);
        op[2] = map_of(1, 0x200, 512);
        run(op, 3);
        assert_int_equal(op[0].status, 0);
        assert_int_equal(op[1].status, 0);
        assert_int_equal(op[2].status, 0);
        down();
    }
}

/* An operation that stops at a hole has changed what lies before it: the failed flush is its failure too. */
static void failed_flush_covers_what_stopped_early(void **state)
{
    struct pvi_op op[2];

    (void)state;
    up(LEVELS + 1, false);
    op[0] = map_of(1, 0x200, 4);
    run(op, 1);
    assert_int_equal(op[0].status, 0);
    pvi_posix_count_violations(host, true); /* the unit is given up: what it holds is nobody's account any more */
    unit.fail_wait = true;
    op[0] = unmap_of(1, 0x200, 6);
    op[1] = op_of(PVI_OP_LOOKUP, 2);
    run(op, 2);
    assert_int_equal(op[0].done, 4);
    assert_int_equal(op[0].status, -PVI_EHW);
    assert_int_equal(op[1].status, -PVI_ENOCTX); /* it changed nothing, so its own answer stands */
    assert_false(pvi_posix_hdom_balanced(owner)); /* frames that may be cached are never given back */
    pvi_posix_hdom_free(owner);
    pvi_posix_free(host);
    pvi_posix_null_fini(&unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_dropped_by_the_batch),
        cmocka_unit_test(context_freed_by_the_batch),
        cmocka_unit_test(failed_flush_covers_what_stopped_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
