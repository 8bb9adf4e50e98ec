/* SPDX-License-Identifier: MIT */
/*
 * Where whole batches meet other things that change the same contexts: reserved regions of devices that move, the hidden context of the
 * interface of 2015, and whoever submits a batch again while its domain's end takes it back.
 */
#include <string.h>

#include "bus_rig.h"

#define AT 0x40000ull /* frames: a region of 2 MiB lies here, 1:1 */
#define FAR 0x4000000ull

static struct fx f;

static void region_of_two_mib(struct fx *fx, unsigned i)
{
    struct pvi_device *dev = fx_device(fx, i, 0);

    dev->nr_regions = 1;
    dev->region[0] = (struct pvi_region){AT << 12, (AT << 12) + 0x1fffff, PVI_RW};
    CHECK_EQ(fx_add(fx, i), 0);
}

/* A device whose region covers a table that an unmap of the same batch has emptied: the way back must still need no page. */
static void region_over_emptied(struct fx *fx, const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;
    struct pvi_op *op;
    unsigned a;

    (void)fx;
    if (cfg.page_sizes != 0 || cfg.trim) {
        return;
    }
    cfg.levels = 4;
    cfg.pages = 16;
    cfg.devices = 1;
    fx_up(&f, &cfg);
    fx_begin(&f);
    fx_alloc(&f, 0);
    fx_expect(&f, 0);
    a = f.op[0].ctx;
    region_of_two_mib(&f, 1);
    fx_begin(&f);
    fx_map(&f, a, AT, GUEST_SCATTER, 0x200, PVI_RW);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK_EQ(f.op[0].status, 0);

    fx_begin(&f);
    fx_unmap(&f, a, AT, 0x200);
    fx_reattach(&f, a, 1);
    op = fx_map(&f, a, FAR, GUEST_HVM, 40 * 0x200, PVI_RW); /* more than there are pages */
    f.batch.flags = PVI_BATCH_ATOMIC;
    CHECK_EQ(fx_submit(&f), 0);
    check_step("the map: %s, the unmap: %s", pvi_strerror(op->status), pvi_strerror(f.op[0].status));
    CHECK_EQ(op->status, -PVI_ENOMEM);
    CHECK_EQ(f.op[0].status, -PVI_ECANCELED);
    fx_begin(&f);
    fx_lookup(&f, a, AT);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK_EQ(f.op[0].status, 0);
    fx_end(&f, false);
}

static void test_region_over_emptied(void **state)
{
    (void)state;
    fx_each(region_over_emptied);
}

/* --- submitted again while it is taken back ---------------------------------------------------------- */

struct twice {
    uint64_t at;
    bool inside, met;
};

static bool die_then_submit(void *opaque, uint64_t nr)
{
    struct twice *t = opaque;

    if (!t->inside && !pvi_env_read32(&f.dom.dying)) {
        if (nr == t->at) {
            pvi_domain_kill(&f.dom);
        }
        return nr == t->at;
    }
    if (!t->inside && f.dom.tx.batch) { /* the owner's hypercall comes back while somebody takes devices away */
        t->inside = true;
        int rc = pvi_submit(&f.dom, &f.batch);

        CHECK(rc == 0 || rc == -PVI_EPREEMPTED);
        t->inside = false;
        t->met = true;
    }
    return false;
}

static void submitted_again(struct fx *fx, const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;
    struct twice t = {0, false, false};
    bool more = true;
    unsigned a, met = 0;

    (void)fx;
    cfg.levels = 4;
    for (t.at = 0; more; t.at++) {
        fx_up(&f, &cfg);
        a = fx_context(&f, 0);
        fx_begin(&f);
        fx_map(&f, a, AT, GUEST_SCATTER, 40, PVI_RW);
        fx_map(&f, a, FAR, GUEST_PV, 0x400, PVI_RW);
        fx_expect(&f, 0);
        fx_begin(&f);
        fx_unmap(&f, a, AT, 40);
        fx_unmap(&f, a, FAR, 0x400);
        fx_map(&f, a, AT, GUEST_PV, 40, PVI_RW);
        f.batch.flags = PVI_BATCH_ATOMIC;
        f.batch.ops = f.op;
        f.batch.nr = f.nr_ops;
        t.met = false;
        pvi_posix_preempt_call(f.host, die_then_submit, &t);
        more = pvi_submit(&f.dom, &f.batch) == -PVI_EPREEMPTED;
        check_step("dies at checkpoint %u", (unsigned)t.at);
        while (f.dom.devices) {
            CHECK_EQ(pvi_device_remove(&f.dom, f.dom.devices), 0);
        }
        pvi_posix_preempt_call(f.host, NULL, NULL);
        met += t.met;
        fx_end(&f, false); /* every reference is back */
    }
    CHECK(met > 2);
}

static void test_submitted_again(void **state)
{
    (void)state;
    fx_each(submitted_again);
}

/* --- the hidden context takes over in between --------------------------------------------------------- */

static struct bus_rig r;

struct taker {
    bool inside;
    int rc;
    int32_t status;
    unsigned done;
};

/* Another vCPU's first call of the interface of 2015, once device 0 has moved. */
static bool take_over(void *opaque, uint64_t nr)
{
    struct taker *t = opaque;
    uint64_t arg = BUS_ADDR;
    uint32_t count = 1;

    (void)nr;
    if (!t->inside && t->done == 0 && r.f.dom.tx.batch && r.f.dom.tx.op > 0 && r.f.dom.tx.phase == 2) {
        t->inside = true;
        r.inside = true;
        bus_begin(&r);
        bus_map(&r, 0x9000, GUEST_PV, PVI_RW);
        t->rc = pvi_xen_bus_call(&r.call, PVI_XEN_BUS_DRAFT_B, &arg, &count);
        t->status = bus_status(&r, 0);
        t->inside = false;
        r.inside = false;
        t->done++;
    }
    return false;
}

static void taken_over(struct bus_rig *rig, const struct fx_cfg *cfg)
{
    struct taker t = {false, 0, 0, 0};
    struct pvi_op op[3];
    struct pvi_batch b;
    struct bus_opt opt;
    struct pvi_device *late;
    uint16_t ctx;

    (void)rig;
    memset(&opt, 0, sizeof(opt));
    opt.region = true;
    bus_up(&r, cfg, &opt);
    memset(&b, 0, sizeof(b));
    memset(op, 0, sizeof(op));
    op[0].code = PVI_OP_INIT;
    op[0].domid = PVI_DOMID_SELF;
    op[0].u.init.nr_contexts = 4;
    op[0].u.init.nr_pages = 200;
    op[1].code = PVI_OP_ALLOC_CONTEXT;
    op[1].domid = PVI_DOMID_SELF;
    b.ops = op;
    b.nr = 2;
    CHECK_EQ(pvi_submit(&r.f.dom, &b), 0);
    CHECK_EQ(op[0].status, 0);
    CHECK_EQ(op[1].status, 0);
    ctx = op[1].ctx;
    r.f.dev[0].group = 7;

    memset(&b, 0, sizeof(b));
    memset(op, 0, sizeof(op));
    op[0].code = PVI_OP_REATTACH_DEVICE;
    op[0].domid = PVI_DOMID_SELF;
    op[0].ctx = ctx;
    op[0].u.reattach.sbdf = r.f.dev[0].sbdf;
    op[1].code = PVI_OP_NOOP;
    op[1].domid = PVI_DOMID_SELF;
    op[2].code = PVI_OP_MAP; /* fails */
    op[2].domid = PVI_DOMID_SELF;
    op[2].ctx = ctx;
    op[2].flags = PVI_RW;
    op[2].u.map.gfn.f = GUEST_NONE;
    op[2].u.map.nr = 1;
    b.ops = op;
    b.nr = 3;
    b.flags = PVI_BATCH_ATOMIC;
    pvi_posix_preempt_call(r.f.host, take_over, &t);
    CHECK_EQ(pvi_submit(&r.f.dom, &b), 0);
    pvi_posix_preempt_call(r.f.host, NULL, NULL);
    CHECK_EQ(t.done, 1);
    check_step("in between: %d, %d, the batch: %s", t.rc, t.status, pvi_strerror(op[2].status));
    CHECK_EQ(op[2].status, -PVI_ENOFRAME);
    if (t.rc == -PVI_XEN_ERESTART) { /* it had to wait */
        CHECK(r.f.dev[0].ctx == &r.f.dom.default_ctx);
        CHECK_EQ(bus_call(&r), 0);
        CHECK_EQ(bus_status(&r, 0), 0);
    }
    CHECK(r.f.dev[0].ctx == &r.f.dom.bus->ctx); /* then all devices are the hidden context's */
    late = fx_device(&r.f, 3, 0);
    late->group = 7;
    CHECK_EQ(pvi_device_add(&r.f.dom, late), 0);
    bus_down(&r);
}

static void test_taken_over(void **state)
{
    (void)state;
    bus_each(taken_over);
}

/* --- whom the batch is for cannot be found any more --------------------------------------------------- */

static bool once(void *opaque, uint64_t nr)
{
    return nr == *(uint64_t *)opaque;
}

static void target_gone(struct fx *fx, const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;
    bool more = true;
    unsigned a;
    int rc;

    (void)fx;
    cfg.levels = 4;
    for (uint64_t at = 0; more; at++) {
        fx_up(&f, &cfg);
        a = fx_context(&f, 0);
        fx_begin(&f);
        fx_map(&f, a, AT, GUEST_SCATTER, 40, PVI_RW);
        fx_expect(&f, 0);
        fx_begin(&f);
        fx_unmap(&f, a, AT, 40)->domid = FX_DOMID;
        fx_map(&f, a, AT, GUEST_PV, 40, PVI_RW)->domid = FX_DOMID;
        f.batch.flags = PVI_BATCH_ATOMIC;
        f.batch.ops = f.op;
        f.batch.nr = f.nr_ops;
        pvi_posix_preempt_call(f.host, once, &at);
        more = pvi_submit(&f.dom, &f.batch) == -PVI_EPREEMPTED;
        pvi_posix_preempt_call(f.host, NULL, NULL);
        check_step("the right is gone at checkpoint %u", (unsigned)at);
        pvi_posix_hdom_bind(f.hdom, NULL);
        rc = pvi_submit(&f.dom, &f.batch);
        CHECK(rc == 0 || rc == -PVI_EPREEMPTED);
        CHECK(rc != 0 || !f.dom.tx.batch); /* who is told that it has ended may use the memory again */
        pvi_posix_hdom_bind(f.hdom, &f.dom);
        fx_end(&f, false);
    }
}

static void test_target_gone(void **state)
{
    (void)state;
    fx_each(target_gone);
}

/* --- windows and regions ------------------------------------------------------------------------------ */

/* A region of one page, where a window has pages of 2 MiB alone: the large leaf comes back. */
static void region_in_window(struct fx *fx, const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;
    struct pvi_device *dev;
    unsigned a;

    (void)fx;
    if (cfg.page_sizes != 0) {
        return;
    }
    cfg.levels = 4;
    cfg.devices = 1;
    fx_up(&f, &cfg);
    fx_begin(&f);
    fx_alloc(&f, 0);
    fx_expect(&f, 0);
    a = f.op[0].ctx;
    dev = fx_device(&f, 1, 0);
    dev->nr_regions = 1;
    dev->region[0] = (struct pvi_region){AT << 12, (AT << 12) + 0xfff, PVI_RW};
    CHECK_EQ(fx_add(&f, 1), 0);
    fx_begin(&f);
    fx_window_op(&f, PVI_OP_WINDOW_REMOVE, a, 0);
    fx_window(&f, a, AT, 0x400, 21, 1ull << 21);
    fx_map(&f, a, AT, GUEST_PV, 0x200, PVI_RW);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK(f.op[0].status == 0 && f.op[1].status == 0 && f.op[2].status == 0);
    fx_begin(&f);
    fx_unmap(&f, a, AT, 0x200);
    fx_reattach(&f, a, 1);
    fx_map(&f, a, AT + 0x200, GUEST_NONE, 0x200, PVI_RW);
    f.batch.flags = PVI_BATCH_ATOMIC;
    CHECK_EQ(fx_submit(&f), 0);
    check_step("%s", pvi_strerror(f.op[2].status));
    CHECK_EQ(f.op[2].status, -PVI_ENOFRAME);
    CHECK_EQ(f.op[0].status, -PVI_ECANCELED);
    fx_begin(&f);
    fx_lookup(&f, a, AT);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK_EQ(f.op[0].status, 0);
    fx_end(&f, false);
}

static void test_region_in_window(void **state)
{
    (void)state;
    fx_each(region_in_window);
}

/* --- bounded work ------------------------------------------------------------------------------------- */

struct pace {
    uint32_t before, most;
};

static bool pace(void *opaque, uint64_t nr)
{
    struct pace *p = opaque;
    struct pvi_pool_usage pool;
    uint32_t step;

    (void)nr;
    pvi_pool_usage(&f.dom.pool, &pool);
    step = pool.nr_free > p->before ? pool.nr_free - p->before : p->before - pool.nr_free;
    p->most = step > p->most ? step : p->most;
    p->before = pool.nr_free;
    return false;
}

static bool at_all(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* Pages that a batch's log takes, and gives back, between two checkpoints. */
static void log_in_pieces(struct fx *fx, const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;
    struct pvi_pool_usage pool;
    struct pace p = {0, 0};
    unsigned a;

    (void)fx;
    cfg.levels = 4;
    fx_up(&f, &cfg);
    a = fx_context(&f, 0);
    pvi_pool_usage(&f.dom.pool, &pool);
    p.before = pool.nr_free;
    fx_begin(&f);
    fx_map(&f, a, AT, GUEST_HVM + GUEST_HVM_NR - 0x1000, 160 * 1500, PVI_RW); /* fails, once there is room to take it all back page by page */
    fx_unmap(&f, a, AT, 160 * 1500);
    f.batch.flags = PVI_BATCH_ATOMIC;
    pvi_posix_preempt_call(f.host, pace, &p);
    CHECK_EQ(fx_submit(&f), 0);
    pvi_posix_preempt_call(f.host, NULL, NULL);
    (void)pace(&p, 0);
    check_step("%u pages at once", p.most);
    CHECK(p.most <= 128);
    for (unsigned i = 0; i < 2; i++) { /* and preempted at every checkpoint, on the way back and on the way out */
        fx_begin(&f);
        fx_map(&f, a, AT, i == 0 ? GUEST_HVM + GUEST_HVM_NR - 0x1000 : GUEST_HVM, 160 * 1500, PVI_RW);
        fx_unmap(&f, a, AT, 160 * 1500);
        f.batch.flags = PVI_BATCH_ATOMIC;
        pvi_posix_preempt_call(f.host, at_all, NULL);
        CHECK_EQ(fx_submit(&f), 0);
        pvi_posix_preempt_call(f.host, NULL, NULL);
        CHECK(f.preempted > 20);
        CHECK_EQ(f.op[0].status, i == 0 ? -PVI_ENOFRAME : 0);
        CHECK_EQ(f.op[1].status, i == 0 ? -PVI_ECANCELED : 0);
        CHECK(!f.dom.tx.spare && f.dom.tx.records == 0);
    }
    fx_end(&f, false);
}

static void test_log_in_pieces(void **state)
{
    (void)state;
    fx_each(log_in_pieces);
}

/* --- a context that is still being built --------------------------------------------------------------- */

static struct pvi_op alloc_op;
static struct pvi_batch alloc_batch;

struct builder {
    bool inside, seen;
};

static bool build_on(void *opaque, uint64_t nr)
{
    struct builder *t = opaque;

    (void)nr;
    if (!t->inside && !t->seen && f.dom.tx.phase == 2 && f.dom.tx.op == 1 && f.dom.tx.cursor != 0) {
        t->inside = true;
        CHECK_EQ(pvi_submit(&f.dom, &alloc_batch), 0);
        t->inside = false;
        t->seen = true;
    }
    return false;
}

static bool when_begun(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return alloc_op.ctx != 0 && f.dom.slot[alloc_op.ctx - 1]->progress >= 0xa0; /* something is mapped */
}

static void half_built(struct fx *fx, const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;
    struct builder t = {false, false};
    unsigned a;

    (void)fx;
    cfg.levels = 4;
    fx_up(&f, &cfg);
    a = fx_context(&f, 0);
    fx_begin(&f);
    fx_map(&f, a, AT, GUEST_SCATTER, 0x40, PVI_RW);
    fx_expect(&f, 0);
    memset(&alloc_op, 0, sizeof(alloc_op));
    memset(&alloc_batch, 0, sizeof(alloc_batch));
    alloc_op.code = PVI_OP_ALLOC_CONTEXT;
    alloc_op.domid = PVI_DOMID_SELF;
    alloc_op.flags = PVI_ALLOC_IDENTITY;
    alloc_batch.ops = &alloc_op;
    alloc_batch.nr = 1;
    pvi_posix_preempt_call(f.host, when_begun, NULL);
    CHECK_EQ(pvi_submit(&f.dom, &alloc_batch), -PVI_EPREEMPTED);
    CHECK(alloc_op.ctx != 0);
    CHECK_EQ(f.dom.slot[alloc_op.ctx - 1]->state, PVI_CTX_BUILDING);

    fx_begin(&f);
    fx_unmap(&f, a, AT, 0x40);
    fx_unmap(&f, alloc_op.ctx, 0x10, 0x40);
    f.batch.flags = PVI_BATCH_ATOMIC;
    pvi_posix_preempt_call(f.host, build_on, &t);
    CHECK_EQ(fx_submit(&f), 0);
    pvi_posix_preempt_call(f.host, NULL, NULL);
    check_step("alloc: %s; unmaps: %s, %s", pvi_strerror(alloc_op.status), pvi_strerror(f.op[0].status), pvi_strerror(f.op[1].status));
    CHECK_EQ(f.op[0].status, -PVI_ECANCELED);
    fx_begin(&f);
    fx_lookup(&f, a, AT);
    CHECK_EQ(fx_submit(&f), 0);
    CHECK_EQ(f.op[0].status, 0);
    if (!t.seen) {
        CHECK_EQ(pvi_submit(&f.dom, &alloc_batch), 0);
    }
    CHECK_EQ(alloc_op.status, 0);
    fx_end(&f, false);
}

static void test_half_built(void **state)
{
    (void)state;
    fx_each(half_built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_region_over_emptied),
        cmocka_unit_test(test_submitted_again),
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_target_gone),
        cmocka_unit_test(test_region_in_window),
        cmocka_unit_test(test_log_in_pieces),
        cmocka_unit_test(test_half_built),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
