/* SPDX-License-Identifier: MIT */
/*
 * A host that gives back at most 16 MiB of frames at once: a guest's maps make no larger leaf, so that no flush has to give back
 * more, and windows and tables for larger pages are refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <pviommu/batch.h>
#include <pviommu_posix.h>
#include <string.h>

#define GIB 0x40000ull /* frames */
#define LG2 24u        /* of what is given back at once */

static struct pvi_host *host;
static struct pvi_system machine;
static struct pvi_domain guest;

static struct pvi_op one(struct pvi_op op)
{
    static struct pvi_batch batch;

    memset(&batch, 0, sizeof(batch));
    op.domid = PVI_DOMID_SELF;
    batch.ops = &op;
    batch.nr = 1;
    while (pvi_submit(&guest, &batch) == -PVI_EPREEMPTED) {
        pvi_posix_checkpoint(host);
    }
    pvi_posix_checkpoint(host);
    return op;
}

static void gigabyte(const struct pvi_pt_ops *format, unsigned largest)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000, .size = 64 << 20};
    struct pvi_posix_range ram = {.nr = 4 * GIB, .pa = 0x200000000, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_posix_null unit;
    struct pvi_device nic = {.sbdf = {0x0310}, .unit = &unit.unit, .rid = {0x0310}, .nr_rids = 1};
    struct pvi_domain_cfg cfg = {.system = &machine, .max_contexts = 2, .max_pages = 4000};
    struct pvi_op op;
    uint64_t puts;

    memset(&unit, 0, sizeof(unit));
    memset(&machine, 0, sizeof(machine));
    memset(&guest, 0, sizeof(guest));
    unit.unit.caps.format = format;
    unit.unit.caps.page_sizes = UINT64_MAX;
    host = pvi_posix_new(&memory);
    assert_non_null(host);
    cfg.hdom = pvi_posix_hdom_new(host, 1);
    assert_non_null(cfg.hdom);
    assert_int_equal(pvi_posix_hdom_range(cfg.hdom, &ram), 0);
    assert_int_equal(pvi_posix_add_null(host, &unit), 0);
    assert_int_equal(pvi_system_add_unit(&machine, &unit.unit), 0);
    cfg.page_sizes = 1u << 30;
    assert_int_equal(pvi_domain_init(&guest, host, &cfg), -PVI_EOPNOTSUPP);
    cfg.page_sizes = 0;
    assert_int_equal(pvi_domain_init(&guest, host, &cfg), 0);
    assert_int_equal(pvi_device_add(&guest, &nic), 0);
    assert_int_equal(one((struct pvi_op){.code = PVI_OP_INIT, .u.init = {.nr_contexts = 1, .nr_pages = 3000}}).status, 0);
    assert_int_equal(one((struct pvi_op){.code = PVI_OP_ALLOC_CONTEXT}).status, 0);
    op = one((struct pvi_op){.code = PVI_OP_MAP, .ctx = 1, .flags = PVI_RW, .u.map = {.dfn = {GIB}, .gfn = {GIB}, .nr = GIB}});
    assert_int_equal(op.status, 0);
    assert_int_equal(op.done, GIB);
    for (uint64_t at = GIB; at < 2 * GIB; at += 0xfff) {
        op = one((struct pvi_op){.code = PVI_OP_LOOKUP, .ctx = 1, .u.lookup.dfn = {at}});
        assert_int_equal(op.status, 0);
        assert_int_equal(op.u.lookup.gfn.f, at);
        assert_int_equal(op.u.lookup.lg2, largest);
    }
    puts = pvi_posix_calls(host, PVI_AT_FRAME_PUT);
    op = one((struct pvi_op){.code = PVI_OP_UNMAP, .ctx = 1, .u.unmap = {.dfn = {GIB}, .nr = GIB}});
    assert_int_equal(op.status, 0);
    assert_int_equal(op.done, GIB);
    assert_in_range(pvi_posix_calls(host, PVI_AT_FRAME_PUT) - puts, GIB >> (LG2 - 12), UINT32_MAX);
    assert_int_equal(one((struct pvi_op){.code = PVI_OP_WINDOW_REMOVE, .ctx = 1}).status, 0);
    op = (struct pvi_op){.code = PVI_OP_WINDOW_CREATE, .ctx = 1, .u.window = {.dfn = {0}, .nr = GIB, .shift = 30}};
    assert_int_equal(one(op).status, -PVI_EOPNOTSUPP);
    op.u.window.shift = largest;
    assert_int_equal(one(op).status, 0);
    assert_int_equal(pvi_device_remove(&guest, &nic), 0);
    pvi_domain_kill(&guest);
    assert_int_equal(pvi_domain_destroy(&guest), 0);
    pvi_posix_null_fini(&unit);
    pvi_posix_free(host);
}

static void vtd(void **state)
{
    (void)state;
    gigabyte(&pvi_vtd_ss_ops, 21);
}

/* Sizes between 2 MiB and 1 GiB, too. */
static void amdvi(void **state)
{
    (void)state;
    gigabyte(&pvi_amdvi_v1_ops, LG2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vtd), cmocka_unit_test(amdvi)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
