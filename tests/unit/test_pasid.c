/* SPDX-License-Identifier: MIT */
/*
 * PASIDs that translate through contexts of their own: every answer from every cause, entries and what units are told, devices that leave with many
 * of them, preempted everywhere. The units have no hardware. A host that fails: test_pasid_fail.c.
 */
#include "pasid_rig.h"

static const struct fx_cfg kinds[] = {
    {PASIDS, NESTED},
    {PASIDS, NESTED, .units = 2, .np_cache = true},
    {PASIDS, NESTED, .units = 2, .format = &pvi_amdvi_v1_ops, .np_cache = true, .guest_depth = 1},
    {PASIDS, NESTED, .incoherent = true, .write_buffer = true},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int move(unsigned ctx, unsigned dev, uint32_t pasid)
{
    fx_begin(&fx);
    fx_attach_pasid(&fx, ctx, dev, pasid, PVI_PASID_MOVE);
    fx_run(&fx);
    return fx.op[0].status;
}

static int detach(unsigned dev, uint32_t pasid)
{
    fx_begin(&fx);
    fx_detach_pasid(&fx, dev, pasid);
    fx_run(&fx);
    return fx.op[0].status;
}

/* --- answers -------------------------------------------------------------------------------------- */

static void errors(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        check_case("machine %zu", k);
        up(&kinds[k]);
        fx_begin(&fx);
        fx_attach_pasid(&fx, 1, 0, 1, 2);
        fx_attach_pasid(&fx, 1, 0, 1, PVI_PASID_MOVE | 1u << 31);
        fx_detach_pasid(&fx, 0, 1)->flags = PVI_PASID_MOVE;
        fx_expect(&fx, -PVI_EFLAGS);
        fx_begin(&fx);
        fx_attach_pasid(&fx, 1, 0, 0, 0);
        fx_attach_pasid(&fx, 1, 0, 0, PVI_PASID_MOVE);
        fx_detach_pasid(&fx, 0, 0);
        fx_expect(&fx, -PVI_EINVAL);
        fx_begin(&fx);
        fx_attach_pasid(&fx, 4, 0, 1, 0);
        fx_attach_pasid(&fx, 0xffff, 0, 1, PVI_PASID_MOVE);
        fx_expect(&fx, -PVI_ENOCTX);
        fx_begin(&fx);
        fx_attach_pasid(&fx, 1, 5, 1, 0);
        fx_detach_pasid(&fx, 5, 1);
        fx_expect(&fx, -PVI_ENODEV);
        fx_begin(&fx);
        fx_attach_pasid(&fx, 1, 0, 256, 0);
        fx_attach_pasid(&fx, 1, 0, UINT32_MAX, 0);
        fx_attach_pasid(&fx, 1, 0, 0x100001, PVI_PASID_MOVE);
        fx_expect(&fx, -PVI_ERANGE);
        CHECK_EQ(move(1, 0, 255), -PVI_ENOENT);
        CHECK_EQ(detach(0, 255), -PVI_ENOENT);
        CHECK_EQ(detach(0, UINT32_MAX), -PVI_ENOENT);
        CHECK_EQ(attach(1, 0, 255), 0);
        CHECK_EQ(attach(2, 0, 255), -PVI_EEXIST);
        CHECK_EQ(attach(1, 0, 255), -PVI_EEXIST);
        CHECK_EQ(detach(1, 255), -PVI_ENOENT); /* of another device */
        for (uint32_t p = 1; p < 6; p++) {
            CHECK_EQ(attach(p % 4, p % 2, p), 0);
        }
        CHECK_EQ(attach(1, 0, 9), -PVI_ENOSPC);
        CHECK_EQ(move(2, 0, 255), 0); /* needs no room */
        CHECK_EQ(attach(2, 0, 255), -PVI_EEXIST);
        CHECK_EQ(detach(0, 255), 0);
        CHECK_EQ(attach(1, 0, 9), 0);
        CHECK_EQ(attach(1, 0, 10), -PVI_ENOSPC);
        fx_down(&fx);
    }
}

static void not_offered(void **state)
{
    static const struct {
        struct fx_cfg cfg;
        int want;
    } c[] = {
        {{.kind = FX_NULL, .pasid_bits = 20}, -PVI_EPERM},
        {{.kind = FX_NULL, .max_pasids = 4}, -PVI_EOPNOTSUPP},
        {{.kind = FX_NULL, .max_pasids = 4, .pasid_bits = 1, .no_init = true}, -PVI_ENOTINIT},
        {{.kind = FX_NULL, .max_pasids = 4, .pasid_bits = 1}, 0},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(c) / sizeof(c[0]); k++) {
        check_case("machine %zu", k);
        fx_up(&fx, &c[k].cfg);
        CHECK_EQ(attach(0, 0, 1), c[k].want);
        CHECK_EQ(detach(0, 1), c[k].want == -PVI_EOPNOTSUPP ? -PVI_ENOENT : c[k].want);
        fx_down(&fx);
    }
    check_case("a unit of two"); /* what one unit lacks no device has */
    fx_machine(&fx, &(struct fx_cfg){PASIDS, .units = 2});
    fx.unit[1].null.unit.caps.pasid_bits = 0;
    {
        struct pvi_domain_cfg dc = fx_domain_cfg(&fx);
        struct pvi_op *op;

        fx_domain(&fx, &dc);
        fx_begin(&fx);
        op = fx_op(&fx, PVI_OP_INIT, 0);
        op->u.init.nr_contexts = op->u.init.nr_pages = 4;
        fx_attach_pasid(&fx, 0, 0, 1, 0);
        fx_attach_pasid(&fx, 0, 1, 1, 0);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK(fx.op[1].status == -PVI_EOPNOTSUPP && fx.op[2].status == -PVI_EOPNOTSUPP);
        pvi_domain_kill(&fx.dom);
        memset(&fx.batch, 0, sizeof(fx.batch));
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK(fx.op[1].status == -PVI_EDYING && fx.op[2].status == -PVI_EDYING);
    }
    fx_end(&fx, false);
}

/* A context that a transaction has takes no PASID and gives none to another; what leaves altogether is not its affair. */
static void in_a_transaction(void **state)
{
    static struct pvi_op slow[2];
    static struct pvi_batch other;
    const uint64_t second = 2;
    int rc;

    (void)state;
    check_case("transaction");
    up(&kinds[0]);
    CHECK_EQ(attach(1, 0, 1), 0);
    CHECK_EQ(attach(1, 0, 2), 0);
    CHECK_EQ(attach(2, 0, 3), 0);
    memset(&other, 0, sizeof(other));
    memset(slow, 0, sizeof(slow));
    for (unsigned i = 0; i < 2; i++) {
        slow[i].code = PVI_OP_MAP;
        slow[i].flags = PVI_RW;
        slow[i].domid = PVI_DOMID_SELF;
        slow[i].ctx = 1;
        slow[i].u.map.dfn.f = i;
        slow[i].u.map.gfn.f = GUEST_HVM;
        slow[i].u.map.nr = 1;
    }
    other.ops = slow;
    other.nr = 2;
    other.flags = PVI_BATCH_ATOMIC;
    pvi_posix_preempt_bits(fx.host, &second, 2);
    CHECK_EQ(pvi_submit(&fx.dom, &other), -PVI_EPREEMPTED);
    pvi_posix_preempt_bits(fx.host, NULL, 0);
    fx_begin(&fx);
    fx_attach_pasid(&fx, 1, 0, 4, 0);
    fx_attach_pasid(&fx, 1, 0, 3, PVI_PASID_MOVE);
    fx_attach_pasid(&fx, 2, 0, 2, PVI_PASID_MOVE);
    fx_detach_pasid(&fx, 0, 1);
    fx_attach_pasid(&fx, 3, 0, 3, PVI_PASID_MOVE);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == -PVI_EBUSY && fx.op[1].status == -PVI_EBUSY && fx.op[2].status == -PVI_EBUSY);
    CHECK(fx.op[3].status == 0 && fx.op[4].status == 0);
    do {
        rc = pvi_submit(&fx.dom, &other);
    } while (rc == -PVI_EPREEMPTED);
    CHECK(rc == 0 && slow[0].status == 0 && slow[1].status == 0);
    fx_end(&fx, false);
}

/* --- entries -------------------------------------------------------------------------------------- */

static struct pvi_inv told[64];
static unsigned nr_told;

static void note(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)opaque;
    (void)u;
    CHECK(nr_told < 64);
    told[nr_told++] = *inv;
}

/* Entry and id, for each requester id, and nothing else. */
static void check_told(const struct pvi_device *dev, uint32_t pasid, uint16_t old, uint16_t now, bool np_cache)
{
    unsigned at = 0;

    for (unsigned i = 0; i < dev->nr_rids; i++) {
        CHECK(at < nr_told && told[at].kind == PVI_INV_PASID && told[at].rid == dev->rid[i] && told[at].pasid == pasid);
        CHECK(told[at].did == (old != 0 ? old : now) && told[at].was_absent == (old == 0));
        at++;
        if (old != 0 || np_cache) {
            CHECK(at < nr_told && told[at].kind == PVI_INV_DOMAIN && told[at].did == (old != 0 ? old : now));
            at++;
        }
    }
    CHECK_EQ(at, nr_told);
}

static void entries(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        unsigned u;

        check_case("machine %zu", k);
        up(&kinds[k]);
        u = 1 % fx.nr_units;
        fx.unit[u].null.told = note;
        for (unsigned c = 0; c < 4; c++) { /* the default one, plain ones, a nested one */
            struct pvi_context *ctx = c == 0 ? &fx.dom.default_ctx : fx.dom.slot[c - 1];
            uint16_t did;

            check_step("context %u", c);
            nr_told = 0;
            CHECK_EQ(attach(c, 1, 7), 0);
            did = ctx->did[u];
            check_told(&fx.dev[1], 7, 0, did, fx.cfg.np_cache);
            nr_told = 0;
            CHECK_EQ(detach(1, 7), 0);
            check_told(&fx.dev[1], 7, did, 0, fx.cfg.np_cache);
            CHECK((ctx->units >> u & 1) == (c == 0)); /* but for the device itself nothing is left there */
        }
        fx.unit[u].null.told = NULL;
        CHECK_EQ(attach(3, 1, 7), 0);
        CHECK_EQ(attach(3, 1, 8), 0);
        CHECK_EQ(move(3, 1, 7), 0);
        for (unsigned c = 0; c < 8; c++) { /* by way of blocked: the other PASID and the device itself stay where they are */
            CHECK_EQ(move(c % 4, 1, 7), 0);
            fx_begin(&fx);
            fx_reattach(&fx, (c + 1) % 4, 1);
            fx_expect(&fx, 0);
        }
        fx_down(&fx);
    }
}

/* A device with reserved regions may have PASIDs anywhere: the regions are for requests without. */
static void reserved_regions(void **state)
{
    (void)state;
    check_case("regions");
    up(&kinds[0]);
    (void)fx_device(&fx, 2, 0);
    fx.dev[2].nr_regions = 1;
    fx.dev[2].region[0] = (struct pvi_region){0x90000000, 0x90000fff, PVI_RW};
    CHECK_EQ(fx_add(&fx, 2), 0);
    CHECK_EQ(attach(3, 2, 1), 0);
    CHECK_EQ(attach(1, 2, 2), 0);
    fx_begin(&fx);
    fx_map(&fx, 1, 0x90000, GUEST_PV, 1, PVI_RW);
    fx_expect(&fx, 0);
    CHECK_EQ(move(2, 2, 1), 0);
    fx_down(&fx);
}

/* What is not freed under PASIDs, and where they go when it is. */
static void contexts_go(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        check_case("machine %zu", k);
        up(&kinds[k]);
        CHECK_EQ(attach(3, 1, 1), 0);
        CHECK_EQ(attach(2, 1, 2), 0);
        CHECK_EQ(attach(2, 0, 2), 0);
        CHECK_EQ(attach(0, 0, 3), 0);
        fx_begin(&fx);
        fx_free(&fx, 3, 0);
        fx_free(&fx, 2, 0);
        fx_free(&fx, 1, PVI_FREE_REATTACH);
        fx_expect(&fx, -PVI_EBUSY);
        fx_begin(&fx);
        fx_reattach(&fx, 2, 0);
        fx_free(&fx, 2, PVI_FREE_REATTACH);
        fx_free(&fx, 3, PVI_FREE_REATTACH);
        fx_free(&fx, 1, 0);
        fx_expect(&fx, 0);
        CHECK_EQ(detach(1, 2), -PVI_ENOENT);
        CHECK_EQ(detach(0, 3), 0);
        fx_down(&fx);
    }
}

static bool every(void *opaque, uint64_t nr)
{
    return nr % *(uint64_t *)opaque == 0;
}

#define MANY 120u

/* Devices leave, and contexts go, with many PASIDs, preempted at every checkpoint, at some, and at none. */
static void many(void **state)
{
    (void)state;
    for (uint64_t step = 1; step < 8; step++) {
        struct pvi_batch batch;
        unsigned calls = 0, left;
        int rc;

        check_case("every checkpoint number %llu", (unsigned long long)step);
        up(&(struct fx_cfg){.kind = FX_NULL, .pasid_bits = 20, .max_pasids = PVI_MAX_PASIDS, NESTED, .devices = 4, .np_cache = step % 2 != 0});
        for (uint32_t p = 1; p <= MANY; p++) {
            fx_begin(&fx);
            fx_attach_pasid(&fx, p % 3 == 0 ? 3 : 1 + p % 2, p % 4, p * 8191, 0);
            CHECK_EQ(fx_submit(&fx), 0);
            CHECK_EQ(fx.op[0].status, 0);
        }
        fx.orc.nr_pasids = 0; /* the oracle has not been told of them */
        pvi_posix_preempt_call(fx.host, every, &step);
        fx_begin(&fx);
        fx_free(&fx, 3, PVI_FREE_REATTACH);
        memset(&batch, 0, sizeof(batch));
        batch.ops = fx.op;
        batch.nr = 1;
        do {
            left = fx.dom.nr_pasids;
            rc = pvi_submit(&fx.dom, &batch);
            pvi_posix_checkpoint(fx.host);
            CHECK(rc != -PVI_EPREEMPTED || ++calls < 4 * MANY); /* it comes to an end */
        } while (rc == -PVI_EPREEMPTED);
        CHECK_EQ(fx.op[0].status, 0);
        CHECK_EQ(fx.dom.nr_pasids, MANY - MANY / 3);
        CHECK(step != 1 || calls >= MANY / 3 - 1);
        for (unsigned i = 0; i < 2; i++) {
            calls = 0;
            do {
                left = fx.dom.nr_pasids;
                rc = pvi_device_remove(&fx.dom, &fx.dev[i]);
                pvi_posix_checkpoint(fx.host);
                CHECK(rc == 0 || fx.dom.nr_pasids < left); /* a bit further each time */
                calls++;
            } while (rc == -PVI_EPREEMPTED);
            CHECK_EQ(rc, 0);
            CHECK(calls >= 10 / step);
        }
        CHECK_EQ(fx.dom.nr_pasids, 2 * MANY / 4 - 2 * (MANY / 12));
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        fx_end(&fx, false);
    }
}

/* --- requester ids of several devices ------------------------------------------------------------- */

/* An entry has one owner: no PASID where others issue the same ids, nor a device that would, where there is one. */
static int come(unsigned i)
{
    int rc;

    fx.dev[i].nr_rids = 2;
    rc = fx_add(&fx, i);
    fx.dev[i].nr_rids = rc == 0 ? 2 : 1; /* what they have in common is the other's */
    return rc;
}

static void go(unsigned i)
{
    CHECK_EQ(fx_remove(&fx, i), 0);
    fx.dev[i].nr_rids = 1;
}

static void shared_ids(void **state)
{
    (void)state;
    check_case("shared ids");
    up(&(struct fx_cfg){PASIDS, NESTED, .units = 2});
    for (unsigned i = 2; i < 5; i++) {
        fx_device(&fx, i, 0)->group = 5;
        fx.dev[i].rid[1] = 0x600; /* 2 and 3 have it in common */
    }
    CHECK_EQ(come(2), 0);
    CHECK_EQ(fx_add(&fx, 4), 0);
    CHECK_EQ(attach(1, 2, 1), 0);
    CHECK_EQ(come(3), -PVI_EBUSY);
    fx_check(&fx);
    CHECK_EQ(detach(2, 1), 0);
    CHECK_EQ(come(3), 0);
    CHECK_EQ(attach(1, 2, 1), -PVI_EOPNOTSUPP);
    CHECK_EQ(attach(1, 3, 1), -PVI_EOPNOTSUPP);
    CHECK_EQ(move(1, 3, 1), -PVI_EOPNOTSUPP);
    CHECK_EQ(attach(1, 4, 1), 0); /* of the group, with an id of its own */
    go(2);
    CHECK_EQ(attach(1, 3, 1), 0);
    CHECK_EQ(come(2), -PVI_EBUSY);
    go(3);
    CHECK_EQ(come(2), 0);
    fx_device(&fx, 3, 1)->rid[0] = 0x600; /* the same number on another unit is another id */
    CHECK_EQ(fx_add(&fx, 3), 0);
    CHECK_EQ(attach(1, 3, 1), 0);
    fx_down(&fx);
}

/* --- faults --------------------------------------------------------------------------------------- */

static uint32_t faults_of(unsigned ctx)
{
    struct pvi_context_usage usage;

    CHECK_EQ(pvi_context_usage(&fx.dom, (uint16_t)ctx, &usage), 0);
    return usage.faults;
}

/* A fault belongs to what the request translated through. */
static void faults(void **state)
{
    static const struct {
        bool has_pasid;
        uint32_t pasid;
        unsigned dev, ctx;
    } c[] = {{false, 0, 1, 2}, {false, 1, 1, 2}, {true, 1, 1, 3}, {true, 2, 1, 1}, {true, 3, 1, 2}, {true, 1, 0, 0}};
    uint32_t want[4] = {0};

    (void)state;
    check_case("faults");
    up(&kinds[0]);
    CHECK_EQ(attach(3, 1, 1), 0);
    CHECK_EQ(attach(1, 1, 2), 0);
    fx_begin(&fx);
    fx_reattach(&fx, 2, 1);
    fx_expect(&fx, 0);
    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        const struct pvi_device *dev = &fx.dev[c[i].dev];
        struct pvi_fault fault = {.iova = 0x1000 * i, .rid = dev->rid[dev->nr_rids - 1], .has_pasid = c[i].has_pasid, .pasid = c[i].pasid};

        check_step("fault %zu", i);
        CHECK_EQ(pvi_domain_fault(&fx.dom, fx.unit[0].unit, &fault, 5), 0);
        want[c[i].ctx]++;
        for (unsigned ctx = 0; ctx < 4; ctx++) {
            CHECK_EQ(faults_of(ctx), want[ctx]);
        }
    }
    fx_begin(&fx);
    fx_op(&fx, PVI_OP_READ_FAULT, 3);
    fx_op(&fx, PVI_OP_READ_FAULT, 3);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == 0 && fx.op[0].u.fault.iova == 0x2000 && fx.op[0].u.fault.sbdf.v == fx.dev[1].sbdf.v);
    CHECK_EQ(fx.op[1].status, -PVI_ENOENT);
    fx_down(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),
        cmocka_unit_test(not_offered),
        cmocka_unit_test(in_a_transaction),
        cmocka_unit_test(entries),
        cmocka_unit_test(reserved_regions),
        cmocka_unit_test(contexts_go),
        cmocka_unit_test(many),
        cmocka_unit_test(shared_ids),
        cmocka_unit_test(faults),
    };

    return cmocka_run_group_tests_name("PASIDs", tests, NULL, NULL);
}
