/* SPDX-License-Identifier: MIT */
/* share_pt where whole batches and the interface of 2015 meet it. */
#include <string.h>

#include <pviommu/bus.h>

#include "fixture.h"

#define RWX 7ull
#define WB (6ull << 3)

static struct fx fx;
static struct pvi_revmap map;
static uint64_t table[4];

static uint64_t new_table(void)
{
    void *content;
    pvi_pa pa;

    CHECK_EQ(pvi_host_page_alloc(fx.host, &pa), 0);
    content = pvi_posix_ptr(fx.host, pa.a, PVI_PAGE_SIZE);
    memset(content, 0, PVI_PAGE_SIZE);
    return pa.a;
}

static void store(unsigned t, unsigned index, uint64_t entry)
{
    uint64_t *content = pvi_posix_ptr(fx.host, table[t], PVI_PAGE_SIZE);

    pvi_env_write64(fx.host, &content[index], entry);
}

/* A frame of the guest at 0x40005000, a page of the device's own, 1:1, at 0x40010000. */
static void up(bool bus_identity)
{
    static const struct fx_cfg cfg = {.kind = FX_VTD};
    struct pvi_domain_cfg dc;
    struct pvi_device *dev;
    struct pvi_op *op;

    fx_machine(&fx, &cfg);
    fx.cfg.devices = 0;
    for (unsigned t = 4; t-- > 0;) {
        table[t] = new_table();
    }
    store(0, 0, table[1] | RWX);
    store(1, 1, table[2] | RWX);
    store(2, 0, table[3] | RWX);
    store(3, 5, 0x4000005000ull | RWX | WB);
    store(3, 16, 0x40010000ull | RWX | WB);
    CHECK_EQ(pvi_revmap_init(&map, fx.host, 4, 12345), 0);
    dc = fx_domain_cfg(&fx);
    dc.revmap = &map;
    dc.bus_pages = 50;
    dc.bus_entries = 10;
    dc.bus_identity = bus_identity;
    dc.passthrough = (struct pvi_passthrough_cfg){
        .mode = PVI_PASSTHROUGH_DEFAULT,
        .assigned = true,
        .share = {.format = &pvi_vtd_ss_ops, .root.a = table[0], .levels = 4, .page_sizes = 1ull << 12 | 1ull << 21, .written_back = true},
    };
    CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
    CHECK_EQ(pvi_domain_start(&fx.dom), 0);
    dev = fx_device(&fx, 0, 0);
    dev->nr_regions = 1;
    dev->region[0] = (struct pvi_region){0x40010000, 0x40010fff, PVI_RW};
    CHECK_EQ(pvi_device_add(&fx.dom, dev), 0);
    fx_begin(&fx);
    op = fx_op(&fx, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 2;
    op->u.init.nr_pages = 40;
    fx_alloc(&fx, 0);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == 0 && fx.op[1].status == 0);
}

static void down(void)
{
    fx_domain_end(&fx, false);
    pvi_revmap_fini(&map);
    for (unsigned t = 0; t < 4; t++) {
        memset(pvi_posix_ptr(fx.host, table[t], PVI_PAGE_SIZE), 0, PVI_PAGE_SIZE);
        pvi_host_page_free(fx.host, (pvi_pa){table[t]});
    }
    fx_drop(&fx);
}

static uint64_t reached(uint64_t iova)
{
    uint64_t pa = 0;

    return hwm_dma(fx.unit[0].model, fx.dev[0].rid[0], iova, true, &pa, NULL) == HWM_OK ? pa : 0;
}

static bool stop(void *opaque, uint64_t nr)
{
    int *rc = opaque;

    (void)nr;
    if (fx.dom.tx.phase == 2 && fx.dom.tx.op == 1 && *rc == 1) {
        *rc = pvi_share_stop(&fx.dom);
    }
    return false;
}

/* A device that a batch has moved away may come back, and needs its region there then. */
static void test_stopped_within_batch(void **state)
{
    int rc = 1;

    (void)state;
    check_case("share_pt stops within a batch");
    up(false);
    CHECK_EQ(reached(0x40010000), 0x40010000);
    fx_begin(&fx);
    fx_reattach(&fx, 1, 0);
    fx_map(&fx, 1, 0x77, GUEST_NONE, 1, PVI_RW);
    fx.batch.flags = PVI_BATCH_ATOMIC;
    pvi_posix_preempt_call(fx.host, stop, &rc);
    CHECK_EQ(fx_submit(&fx), 0);
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    check_step("%s", pvi_strerror(rc));
    CHECK(rc != 1);
    CHECK_EQ(fx.op[1].status, -PVI_ENOFRAME);
    CHECK_EQ(reached(0x40010000), 0x40010000);
    down();
}

static int bus_prepare(void)
{
    struct pvi_batch *b = &fx.batch;
    int rc;

    fx_begin(&fx);
    b->ops = fx.op;
    b->nr = 0;
    b->flags = 0;
    do {
        CHECK_EQ(pvi_batch_begin(&fx.dom, b), 0);
        rc = pvi_bus_prepare(&fx.dom, PVI_OP_BUS_MAP, &b->gather);
        pvi_batch_end(b);
    } while (rc == -PVI_EPREEMPTED);
    check_step("%s", pvi_strerror(rc));
    return rc;
}

/* "begins with the default context's content" */
static void test_hidden_begins(void **state)
{
    (void)state;
    check_case("the hidden context under share_pt");
    up(false);
    CHECK_EQ(reached(0x40005000), 0x4000005000ull);
    (void)bus_prepare();
    CHECK_EQ(reached(0x40005000), 0x4000005000ull); /* taken over, or not taken over */
    CHECK_EQ(reached(0x40010000), 0x40010000);
    down();
}

/* The host says what it begins with, as the table is not the library's to read. */
static void test_hidden_identity(void **state)
{
    (void)state;
    check_case("the hidden context begins as identity under share_pt");
    up(true);
    CHECK_EQ(reached(0x40005000), 0x4000005000ull);
    CHECK_EQ(reached(0x20000), 0);
    CHECK_EQ(bus_prepare(), 0);
    CHECK_EQ(reached(0x40005000), 0);            /* no frame of the guest's own */
    CHECK_EQ(reached(0x40010000), 0x40010000);   /* what the device needs */
    CHECK(reached(0x20000) != 0);                /* what the host enumerates */
    down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped_within_batch),
        cmocka_unit_test(test_hidden_begins),
        cmocka_unit_test(test_hidden_identity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
