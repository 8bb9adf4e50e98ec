/* SPDX-License-Identifier: MIT */
/*
 * The native batch of a guest that means harm: memory that changes between two reads, that cannot be read or written at the n-th copy, numbers that
 * promise more than there is, and continuation state that is forged.
 */
#include <string.h>

#include "native_rig.h"

#define DFN 0x40000ull
#define BATCH 300u /* more than two flushes' worth */

static struct fx f;
static struct nat n;

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static void up(const struct fx_cfg *cfg)
{
    fx_up(&f, cfg);
    nat_attach(&n, &f);
    CHECK_EQ(fx_context(&f, 0), 1);
}

/* --- copies --------------------------------------------------------------------------------------- */

/* Element i is there from when it is its turn until it has been read, and garbage otherwise. */
static unsigned char image[BATCH][E_BYTES];
static unsigned copies_in, copies_out, at_element;

static void just_in_time(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    if (at == PVI_AT_COPY_OUT) {
        copies_out += after;
        CHECK(f.cfg.kind != FX_NULL || copies_out == 0 || f.unit[0].null.nr_wait >= 1); /* told after a flush only */
        return;
    }
    if (!after && copies_in > 0 && at_element < n.nr) {
        memcpy(n.mem + nat_at(&n, at_element, 0), image[at_element], E_BYTES);
    }
    if (after) {
        if (copies_in > 0) { /* the first is the header */
            memset(n.mem + nat_at(&n, at_element, 0), 0x5a, n.op_size);
            at_element++;
        }
        copies_in++;
    }
}

/* BATCH maps, each of a page of its own. */
static void compose(uint32_t flags, unsigned nr)
{
    nat_begin(&n, flags);
    for (unsigned i = 0; i < nr; i++) {
        nat_op(&n, PVI_NATIVE_MAP, 1, 3, DFN + i, GUEST_PV + 2 * i, 1);
        memcpy(image[i], n.mem + nat_at(&n, i, 0), E_BYTES);
    }
}

static void copies(uint32_t flags, unsigned nr)
{
    static struct pvi_op sent[BATCH];

    compose(flags, nr);
    for (unsigned i = 0; i < nr; i++) {
        nat_element(&n, i, &sent[i]);
        memset(n.mem + nat_at(&n, i, 0), 0x5a, E_BYTES);
    }
    copies_in = copies_out = at_element = 0;
    pvi_posix_hook(f.host, PVI_AT_BIT(PVI_AT_COPY_IN) | PVI_AT_BIT(PVI_AT_COPY_OUT), just_in_time, NULL);
    CHECK_RC(nat_once(&n), 0);
    pvi_posix_hook(f.host, 0, NULL, NULL);
    CHECK_EQ(copies_in, 1 + nr);
    CHECK_EQ(copies_out, nr + 1);
    for (unsigned i = 0; i < nr; i++) { /* where only outputs are written the garbage has stayed */
        for (unsigned b = 0; flags == NAT_ATOMIC && b < E_BYTES; b++) {
            CHECK((b >= E_STATUS && b < E_ARG) || n.mem[nat_at(&n, i, b)] == 0x5a);
        }
        memcpy(n.mem + nat_at(&n, i, E_CODE), image[i], E_STATUS);
        memcpy(n.mem + nat_at(&n, i, E_ARG), image[i] + E_ARG, E_BYTES - E_ARG);
        CHECK_RC(nat_status(&n, i), 0);
    }
    nat_judge(&n, sent);
}

static void once(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    up(cfg);
    copies(0, BATCH);
    CHECK_RC(nat_one(&n, PVI_NATIVE_UNMAP, 1, 0, DFN, BATCH, 0), 0);
    copies(NAT_ATOMIC, 200);
    fx_down(&f);
}

static void test_once(void **state)
{
    (void)state;
    fx_each(once);
}

/* The n-th copy fails, in or out, for each n: what has been reported is true, what has not been read has not happened. */
static void faults(enum pvi_posix_point at, uint32_t flags, unsigned nr)
{
    for (unsigned k = 1;; k++) {
        uint32_t next;
        unsigned mapped = 0;
        int rc;

        check_case("copy %u at point %u fails, flags %u", k, at, flags);
        compose(flags, nr);
        pvi_posix_fail(f.host, at, k, false);
        rc = nat_call(&n);
        if (pvi_posix_failed(f.host, at) == 0) {
            CHECK_RC(rc, 0);
            pvi_posix_fail(f.host, at, 0, false);
            CHECK_RC(nat_call(&n), flags == 0 ? 0 : -PVI_EINVAL); /* next is nr: nothing is left */
            nat_begin(&n, 0);
            nat_op(&n, PVI_NATIVE_UNMAP, 1, 0, DFN, nr, 0);
            CHECK_RC(nat_call(&n), 0);
            CHECK_RC(nat_status(&n, 0), 0);
            return;
        }
        pvi_posix_fail(f.host, at, 0, false);
        CHECK_RC(rc, -PVI_EFAULT);
        next = (uint32_t)nat_get(&n, NAT_HEAD + H_NEXT, 4);
        CHECK(next <= nr);
        for (unsigned i = 0; i < nr; i++) {
            CHECK_RC(nat_status(&n, i), i < next || (k == nr + 1 && at == PVI_AT_COPY_OUT) ? 0 : (int)0xdeadbeef);
        }
        if (at == PVI_AT_COPY_IN && flags == 0) {
            CHECK_EQ(next, k < 2 ? 0 : k - 2);
        } else if (at == PVI_AT_COPY_IN) {
            CHECK_EQ(next, 0);
        } else if (k <= nr) {
            CHECK_EQ(next, k - 1);
        }
        CHECK(!f.dom.held);
        nat_begin(&n, 0);
        for (unsigned i = 0; i < nr; i++) {
            nat_op(&n, PVI_NATIVE_UNMAP, 1, 0, DFN + i, 1, 0);
        }
        CHECK_RC(nat_call(&n), 0);
        for (unsigned i = 0; i < nr; i++) {
            mapped += nat_status(&n, i) == 0;
        }
        if (at == PVI_AT_COPY_IN) {
            CHECK_EQ(mapped, next);
        } else { /* at most one group is not told; all or nothing is all, and so it is where all but the header is told */
            CHECK(mapped >= next && mapped - next <= (flags == 0 && k <= nr ? 128u : nr));
        }
        fx_check(&f);
    }
}

static void test_faults(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg);
    faults(PVI_AT_COPY_IN, 0, 140);
    faults(PVI_AT_COPY_OUT, 0, 140);
    faults(PVI_AT_COPY_IN, NAT_ATOMIC, 20);
    faults(PVI_AT_COPY_OUT, NAT_ATOMIC, 20);
    fx_down(&f);
}

/* --- numbers -------------------------------------------------------------------------------------- */

static unsigned points;

static bool sometimes(void *opaque, uint64_t nr)
{
    (void)opaque;
    points++;
    return nr % 7 == 3;
}

/* 2^32 - 1 elements are promised, and the memory ends behind some. */
static void test_many(void **state)
{
    struct fx_cfg cfg = {0};
    unsigned room = (NAT_SIZE - NAT_OPS) / E_BYTES;

    (void)state;
    up(&cfg);
    nat_begin(&n, 0);
    while (n.nr < room) {
        nat_op(&n, PVI_NATIVE_NOOP, 0, 0, 0, 0, 0);
    }
    nat_put(&n, NAT_HEAD + H_NR, 4, UINT32_MAX);
    points = 0;
    pvi_posix_preempt_call(f.host, sometimes, NULL);
    CHECK_RC(nat_call(&n), -PVI_EFAULT);
    pvi_posix_preempt_call(f.host, NULL, NULL);
    CHECK(points >= room); /* after each element */
    CHECK(n.preempted >= room / 8);
    CHECK_EQ(nat_get(&n, NAT_HEAD + H_NEXT, 4), room);
    for (unsigned i = 0; i < room; i++) {
        CHECK_RC(nat_status(&n, i), 0);
    }
    CHECK_RC(nat_call(&n), -PVI_EFAULT);
    nat_put(&n, NAT_HEAD + H_NEXT, 4, UINT32_MAX - 1);
    CHECK_RC(nat_call(&n), -PVI_EFAULT);
    nat_put(&n, NAT_HEAD + H_FLAGS, 4, NAT_ATOMIC);
    nat_put(&n, NAT_HEAD + H_NEXT, 4, 0);
    CHECK_RC(nat_call(&n), -PVI_ELIMIT);
    nat_put(&n, NAT_HEAD + H_NR, 4, 257);
    CHECK_RC(nat_call(&n), -PVI_ELIMIT);
    fx_down(&f);
}

/* --- forged state --------------------------------------------------------------------------------- */

/* `done` of a call that nobody has made: an element that it cannot stand at is refused, another is a smaller one. */
static void test_forged(void **state)
{
    static const uint64_t done[] = {1, 7, 15, 16, 17, 0x1000, UINT64_MAX, UINT64_MAX - 7, 1ull << 52};
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg);
    for (unsigned i = 0; i < sizeof(done) / sizeof(done[0]); i++) {
        uint64_t k = done[i] < 16 ? done[i] : 0;

        check_case("done is 0x%llx", (unsigned long long)done[i]);
        nat_begin(&n, 0);
        nat_op(&n, PVI_NATIVE_MAP, 1, 3, DFN, GUEST_PV, 16);
        nat_op(&n, PVI_NATIVE_RIGHTS, 1, 1, DFN, 16, 0);
        nat_op(&n, PVI_NATIVE_LOOKUP, 1, 0, DFN + k - 1, 0, 0);
        nat_op(&n, PVI_NATIVE_UNMAP, 1, 0, DFN, 16, 0);
        nat_op(&n, PVI_NATIVE_ALLOC_CONTEXT, 1, 0, 0, 0, 0);
        nat_op(&n, PVI_NATIVE_WINDOW_REMOVE, 1, 0, 0, 0, 0);
        nat_op(&n, PVI_NATIVE_NOOP, 0, 0, 0, 0, 0);
        for (unsigned e = 0; e < n.nr; e++) {
            nat_set(&n, e, E_DONE, 8, done[i]);
        }
        nat_set(&n, 5, E_DONE, 8, 0xfffffffful + done[i] % 3);
        CHECK_RC(nat_call(&n), 0);
        for (unsigned e = 0; e < 4; e++) {
            CHECK_RC(nat_status(&n, e), e == 2 ? -PVI_ENOENT : k != 0 ? 0 : -PVI_EINVAL);
        }
        CHECK(nat_status(&n, 4) == -PVI_ENOCTX || nat_field(&n, 4, E_CTX, 2) == 1); /* at most: that there is what there is */
        CHECK_RC(nat_status(&n, 5), -PVI_ENOENT);
        CHECK_RC(nat_status(&n, 6), 0);
        fx_check(&f);
    }
    fx_down(&f);
}

/* While a map stands its owner rewrites everything: what is mapped is always what was asked for, and counted by nobody but the tables. */
static void test_rewritten(void **state)
{
    struct fx_cfg cfg = {0};
    unsigned turns = 0;
    int rc;

    (void)state;
    up(&cfg);
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_MAP, 1, 3, DFN, GUEST_SCATTER, 40);
    pvi_posix_preempt_call(f.host, always, NULL);
    while ((rc = nat_once(&n)) == -PVI_EPREEMPTED) {
        CHECK_RC(nat_status(&n, 0), -PVI_EPREEMPTED);
        CHECK_EQ(nat_get(&n, NAT_HEAD + H_NEXT, 4), 0);
        turns++;
        nat_set(&n, 0, E_ARG_AT(0), 8, DFN + 0x1000 * turns); /* the rest goes elsewhere */
    }
    pvi_posix_preempt_call(f.host, NULL, NULL);
    CHECK_RC(rc, 0);
    CHECK(turns > 10);
    CHECK_RC(nat_status(&n, 0), 0);
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_FREE_CONTEXT, 1, 1, 0, 0, 0); /* all references come back: the fixture counts them */
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), 0);
    fx_end(&f, false);
}

/* Other domains' ids, and a domain that dies on the way. */
static void test_others(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg);
    for (unsigned code = 0; code <= PVI_NATIVE_READ_FAULT; code++) {
        nat_begin(&n, 0);
        nat_op(&n, code, 0, 0, 0, 0, 0);
        nat_set(&n, 0, E_DOMID, 2, 77);
        CHECK_RC(nat_call(&n), 0);
        CHECK_RC(nat_status(&n, 0), -PVI_EPERM);
    }
    CHECK_EQ(pvi_posix_hdom_permit(f.hdom, 77), 0);
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_NOOP, 0, 0, 0, 0, 0);
    nat_set(&n, 0, E_DOMID, 2, 77);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), -PVI_ENODOM);
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_MAP, 1, 3, DFN, GUEST_SCATTER, 40);
    nat_op(&n, PVI_NATIVE_NOOP, 0, 0, 0, 0, 0);
    pvi_posix_preempt_call(f.host, always, NULL);
    CHECK_RC(nat_once(&n), -PVI_EPREEMPTED);
    pvi_posix_preempt_call(f.host, NULL, NULL);
    pvi_domain_kill(&f.dom);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), -PVI_EDYING);
    CHECK_RC(nat_status(&n, 1), -PVI_EDYING);
    fx_end(&f, false);
}

/* A unit that no longer obeys: also the element that stands has ended. */
static void test_broken(void **state)
{
    struct fx_cfg cfg = {.np_cache = true};

    (void)state;
    up(&cfg);
    f.tolerate = ORC_TOLERATE_HW;
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_MAP, 1, 3, DFN, GUEST_PV, 1);
    nat_op(&n, PVI_NATIVE_MAP, 1, 3, DFN + 16, GUEST_SCATTER, 40);
    nat_op(&n, PVI_NATIVE_NOOP, 0, 0, 0, 0, 0);
    pvi_posix_preempt_bits(f.host, (const uint64_t[]){0x8}, 8);
    pvi_posix_fail(f.host, PVI_AT_INV_WAIT, 1, true);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), -PVI_EHW);
    CHECK_RC(nat_status(&n, 1), -PVI_EHW);
    CHECK_EQ(nat_get(&n, NAT_HEAD + H_NEXT, 4), 3);
    fx_end(&f, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),      cmocka_unit_test(test_faults), cmocka_unit_test(test_many),   cmocka_unit_test(test_forged),
        cmocka_unit_test(test_rewritten), cmocka_unit_test(test_others), cmocka_unit_test(test_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
