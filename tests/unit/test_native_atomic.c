/* SPDX-License-Identifier: MIT */
/* Batches of a guest that happen whole or not at all: held by the hypervisor, whatever the guest does to its copy, and found by the domain. */
#include <string.h>

#include <pviommu/held.h>

#include "native_rig.h"

#define DFN 0x40000ull
#define SCATTERED 0x60000ull

static struct fx f;
static struct nat n;
static unsigned a, b;

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void preempt(bool yes)
{
    pvi_posix_preempt_call(f.host, yes ? always : NULL, NULL);
}

static void up(const struct fx_cfg *cfg)
{
    fx_up(&f, cfg);
    nat_attach(&n, &f);
    a = fx_context(&f, 0);
    b = fx_context(&f, 1);
    fx_begin(&f);
    fx_map(&f, a, DFN, GUEST_PV, 0x400, PVI_RW);
    fx_map(&f, a, SCATTERED, GUEST_SCATTER, 60, PVI_RW);
    fx_expect(&f, 0);
}

static void compose(void)
{
    nat_begin(&n, NAT_ATOMIC);
    nat_op(&n, PVI_NATIVE_UNMAP, a, 0, DFN + 0x100, 0x200, 0);
    nat_op(&n, PVI_NATIVE_MAP, a, 1, DFN + 0x100, GUEST_HVM, 0x80);
    nat_op(&n, PVI_NATIVE_RIGHTS, a, 1, SCATTERED, 60, 0);
    nat_op(&n, PVI_NATIVE_REATTACH_DEVICE, b, 0, f.dev[0].sbdf.v, 0, 0);
    nat_op(&n, PVI_NATIVE_NOOP, 0, 0, 0, 0, 0);
    nat_op(&n, PVI_NATIVE_MAP, b, 3, SCATTERED, GUEST_SCATTER, 60);
    nat_op(&n, PVI_NATIVE_UNMAP, a, 0, SCATTERED, 60, 0);
}

static struct pvi_op sent[16];

static void remember(void)
{
    for (unsigned i = 0; i < n.nr; i++) {
        nat_element(&n, i, &sent[i]);
    }
}

/* What nothing is: element k says why, the others that they have not been run. */
static void nothing(unsigned k, int status)
{
    for (unsigned i = 0; i < n.nr; i++) {
        check_step("element %u", i);
        CHECK_RC(nat_status(&n, i), i == k ? status : -PVI_ECANCELED);
        CHECK_EQ(nat_field(&n, i, E_DONE, 8), 0);
    }
    CHECK_EQ(nat_get(&n, NAT_HEAD + H_NEXT, 4), n.nr);
    CHECK(!f.dom.held);
    fx_check(&f);
    fx_dma(&f);
}

/* As a vCPU that runs between two entries: it fills all of the array with garbage, and writes to the header where that is not looked at. */
static int with_garbage(void)
{
    int rc = nat_once(&n);

    n.preempted = 0;
    while (rc == -PVI_EPREEMPTED) {
        CHECK(f.dom.held);
        CHECK_EQ(nat_get(&n, NAT_HEAD + H_NEXT, 4), 0);
        memset(n.mem + NAT_OPS, 0xff - (n.preempted & 1), n.nr * E_BYTES);
        n.preempted++;
        rc = nat_once(&n);
    }
    return rc;
}

/* Gives the outcome beside what was sent. */
static void judge_sent(void)
{
    for (unsigned i = 0; i < n.nr; i++) {
        struct pvi_op got = sent[i];
        const char *why;

        got.status = nat_status(&n, i);
        got.done = nat_field(&n, i, E_DONE, 8);
        got.fault = nat_field(&n, i, E_FAULT, 8);
        why = orc_judge(&f.orc, &sent[i], &got, 0);
        if (why) {
            check_step("element %u: %s", i, why);
            CHECK(!"the answer is what the oracle says");
        }
    }
    fx_check(&f);
    fx_dma(&f);
}

static void whole(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    for (unsigned preempted = 0; preempted < 2; preempted++) {
        up(cfg);
        compose();
        remember();
        preempt(preempted != 0);
        CHECK_RC(with_garbage(), 0);
        preempt(false);
        CHECK(n.preempted > 10 || preempted == 0);
        for (unsigned i = 0; i < n.nr; i++) {
            CHECK_RC(nat_status(&n, i), 0);
        }
        judge_sent();
        CHECK(!f.dom.held);
        fx_down(&f);
    }
}

static void test_whole(void **state)
{
    (void)state;
    fx_each(whole);
}

/* Fails at each element, by the core or by the decoder, preempted or not. */
static void failing(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    up(cfg);
    for (unsigned round = 0; round < 7 * 8; round++) {
        unsigned k = round / 8, how = round >> 1 & 3;
        int want = -PVI_EINVAL;

        check_case("fails at %u, how %u", k, how);
        compose();
        preempt((round & 1) != 0);
        switch (how) {
        case 0: /* nothing is mapped there */
            memset(n.mem + nat_at(&n, k, E_ARG), 0, E_BYTES - E_ARG);
            nat_set(&n, k, E_CODE, 2, PVI_NATIVE_UNMAP);
            nat_set(&n, k, E_CTX, 2, a);
            nat_set(&n, k, E_FLAGS, 4, 0);
            nat_set(&n, k, E_ARG_AT(0), 8, 0x123);
            nat_set(&n, k, E_ARG_AT(1), 8, 1);
            want = -PVI_ENOENT;
            break;
        case 1:
            nat_set(&n, k, E_RESERVED, 2, 1);
            break;
        case 2:
            nat_set(&n, k, E_DOMID, 2, FX_DOMID); /* its own, but not by that name */
            break;
        default:
            nat_set(&n, k, E_DONE, 8, 1); /* nothing is half done */
            break;
        }
        CHECK_RC(nat_call(&n), 0);
        preempt(false);
        nothing(k, want);
    }
    fx_down(&f);
}

static void test_failing(void **state)
{
    (void)state;
    fx_each(failing);
}

/* What cannot be part of one, and memory of the hypervisor that is short. */
static void test_refused(void **state)
{
    static struct pvi_op most[256];
    struct fx_cfg cfg = {0};
    uint64_t mem;

    (void)state;
    up(&cfg);
    for (unsigned code = 0; code <= 17; code++) {
        bool fits = code == 0 || (code >= 5 && code <= 7) || code == 10;

        check_case("operation %u", code);
        nat_begin(&n, NAT_ATOMIC);
        nat_op(&n, PVI_NATIVE_NOOP, 0, 0, 0, 0, 0);
        nat_op(&n, code == 17 ? PVI_NATIVE_QUERY : code, 0, 0, 0, 0, 0);
        CHECK_RC(nat_call(&n), 0);
        if (!fits) {
            nothing(1, -PVI_EINVAL);
        }
    }
    compose();
    nat_put(&n, NAT_HEAD + H_NEXT, 4, 1);
    CHECK_RC(nat_call(&n), -PVI_EINVAL);
    compose();
    pvi_posix_fail(f.host, PVI_AT_MEM_ALLOC, 1, false);
    CHECK_RC(nat_call(&n), -PVI_ENOMEM);
    CHECK_RC(nat_status(&n, 0), (int)0xdeadbeef);
    pvi_posix_fail(f.host, PVI_AT_MEM_ALLOC, 0, false);
    nat_begin(&n, NAT_ATOMIC);
    CHECK_RC(nat_call(&n), 0);
    nat_begin(&n, NAT_ATOMIC);
    while (n.nr < 256) {
        nat_op(&n, PVI_NATIVE_MAP, a, 1, n.nr, GUEST_PV, 1);
    }
    mem = pvi_posix_mem_used(f.host);
    preempt(true);
    CHECK_RC(nat_once(&n), -PVI_EPREEMPTED);
    preempt(false);
    CHECK(pvi_posix_mem_used(f.host) - mem <= 24 * 1024); /* of the largest */
    for (unsigned i = 0; i < n.nr; i++) {
        nat_element(&n, i, &most[i]);
    }
    CHECK_RC(nat_call(&n), 0);
    CHECK_EQ(pvi_posix_mem_used(f.host), mem);
    nat_judge(&n, most);
    fx_down(&f);
}

/* --- a batch that stands ----------------------------------------------------------------------------- */

/* Another vCPU, with a buffer of its own: 64 bytes further up. */
static int elsewhere(uint32_t flags, unsigned field, uint64_t value)
{
    unsigned char head[H_BYTES];
    int rc;

    memcpy(head, n.mem + NAT_HEAD, H_BYTES);
    memcpy(n.mem + NAT_HEAD + 0x40, head, H_BYTES);
    memcpy(n.mem + NAT_HEAD + 0x40 + H_FLAGS, &flags, 4);
    memcpy(n.mem + NAT_HEAD + field, &value, 4);
    rc = pvi_native_call(&n.call, NAT_MEM + NAT_HEAD + (field == 0 ? 0x40 : 0));
    memcpy(n.mem + NAT_HEAD, head, H_BYTES);
    pvi_posix_checkpoint(f.host);
    return rc;
}

static void plain_is_busy(void)
{
    struct pvi_op op = {.code = PVI_OP_MAP, .domid = PVI_DOMID_SELF, .ctx = (uint16_t)a, .flags = PVI_RW,
                        .u.map = {{0x999}, {GUEST_PV}, 1}};

    memset(&f.batch, 0, sizeof(f.batch));
    f.batch.ops = &op;
    f.batch.nr = 1;
    CHECK_RC(pvi_submit(&f.dom, &f.batch), 0);
    CHECK_RC(op.status, -PVI_EBUSY);
}

/* Whoever else comes gets EBUSY and disturbs nothing; its own continuation goes on. */
static void standing(struct fx *fx, const struct fx_cfg *cfg)
{
    int rc;

    (void)fx;
    up(cfg);
    compose();
    remember();
    preempt(true);
    for (unsigned turn = 0; (rc = nat_once(&n)) == -PVI_EPREEMPTED; turn++) {
        CHECK_RC(elsewhere(NAT_ATOMIC, 0, H_BYTES), -PVI_EBUSY);
        CHECK_RC(elsewhere(NAT_ATOMIC, H_NR, 6), -PVI_EBUSY);
        CHECK_RC(elsewhere(NAT_ATOMIC, H_OPS, (uint32_t)(NAT_MEM + NAT_OPS + 8)), -PVI_EBUSY);
        if (turn == 2) {
            preempt(false);
            plain_is_busy();
            preempt(true);
        }
    }
    preempt(false);
    CHECK_RC(rc, 0);
    judge_sent();
    fx_down(&f);
}

static void test_standing(void **state)
{
    (void)state;
    fx_each(standing);
}

/* After each number of turns its owner is gone: ABORT, preempted as often as the batch was, takes it back, or finds that it has happened. */
static void aborted(struct fx *fx, const struct fx_cfg *cfg)
{
    bool ended = false;

    (void)fx;
    for (unsigned turns = 1; !ended; turns++) {
        int rc = -PVI_EPREEMPTED;

        up(cfg);
        check_step("aborted after %u turns", turns);
        compose();
        remember();
        preempt(true);
        for (unsigned i = 0; i < turns && !ended; i++) {
            ended = nat_once(&n) == 0;
        }
        if (!ended) {
            unsigned char before[E_BYTES];

            memcpy(before, n.mem + nat_at(&n, 0, 0), E_BYTES);
            while (rc == -PVI_EPREEMPTED) {
                rc = elsewhere(NAT_ATOMIC | NAT_ABORT, 0, H_BYTES);
            }
            CHECK(memcmp(before, n.mem + nat_at(&n, 0, 0), E_BYTES) == 0); /* nothing of the old array is written */
            CHECK(rc == 0 || (rc == -PVI_ENOENT && turns > 8)); /* long before the end it is taken back */
            CHECK(!f.dom.held);
            for (unsigned i = 0; i < n.nr && rc != 0; i++) { /* it had happened: every operation as a whole */
                sent[i].status = 0;
                sent[i].done = 0;
                nat_set(&n, i, E_STATUS, 4, 0);
                nat_set(&n, i, E_FAULT, 8, 0);
                nat_set(&n, i, E_DONE, 8, sent[i].code == PVI_OP_MAP                                                ? sent[i].u.map.nr
                                          : sent[i].code == PVI_OP_UNMAP || sent[i].code == PVI_OP_RIGHTS ? sent[i].u.unmap.nr
                                                                                                          : 0);
            }
            preempt(false);
            if (rc != 0) {
                judge_sent();
            }
            fx_check(&f);
            fx_dma(&f);
            CHECK_RC(elsewhere(NAT_ATOMIC | NAT_ABORT, 0, H_BYTES), -PVI_ENOENT);
        }
        preempt(false);
        if (ended) {
            judge_sent();
            CHECK(turns > 10);
        }
        fx_down(&f);
        turns += turns / 16; /* not each of the many */
    }
}

static void test_aborted(void **state)
{
    static const struct fx_cfg cfg[] = {{.kind = FX_NULL}, {.kind = FX_VTD, .np_cache = true}, {.kind = FX_AMD}};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        aborted(&f, &cfg[i]);
    }
}

/* The domain dies with it: everything comes back, the batch too. */
static void test_dying(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    for (unsigned turns = 1; turns < 40; turns += 3) {
        up(&cfg);
        compose();
        preempt(true);
        for (unsigned i = 0; i < turns; i++) {
            (void)nat_once(&n);
        }
        preempt(false);
        pvi_domain_kill(&f.dom);
        fx_end(&f, false);
    }
}

/* A vCPU comes while another is at it, at every place where the host is called. */
static void intrude(void *opaque, enum pvi_posix_point at, bool after)
{
    static struct pvi_abi_call other;
    unsigned *busy = opaque;

    if (!after || !f.dom.held || !f.dom.held->running) {
        return;
    }
    (void)at;
    other.caller = &f.dom;
    CHECK_RC(pvi_native_call(&other, NAT_MEM + NAT_HEAD), -PVI_EBUSY);
    memcpy(n.mem + NAT_HEAD + 0x40, n.mem + NAT_HEAD, H_BYTES);
    n.mem[NAT_HEAD + 0x40 + H_FLAGS] = NAT_ATOMIC | NAT_ABORT;
    CHECK_RC(pvi_native_call(&other, NAT_MEM + NAT_HEAD + 0x40), -PVI_EBUSY);
    ++*busy;
}

static void test_two(void **state)
{
    struct fx_cfg cfg = {0};
    unsigned busy = 0;

    (void)state;
    up(&cfg);
    compose();
    remember();
    pvi_posix_hook(f.host, PVI_AT_BIT(PVI_AT_FRAME_GET) | PVI_AT_BIT(PVI_AT_PREEMPT) | PVI_AT_BIT(PVI_AT_COPY_OUT) |
                               PVI_AT_BIT(PVI_AT_INV_WAIT) | PVI_AT_BIT(PVI_AT_FRAME_PUT), intrude, &busy);
    CHECK_RC(nat_once(&n), 0);
    pvi_posix_hook(f.host, 0, NULL, NULL);
    CHECK(busy > 20);
    judge_sent();
    fx_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),    cmocka_unit_test(test_failing), cmocka_unit_test(test_refused), cmocka_unit_test(test_standing),
        cmocka_unit_test(test_aborted), cmocka_unit_test(test_dying),   cmocka_unit_test(test_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
