/* SPDX-License-Identifier: MIT */
/*
 * One thread maps and unmaps in parents, another makes contexts nested on them, moves a device and PASIDs in and out and frees them, a third
 * flushes what may be nested, or gone, or another by now. The recorder sees to it that no frame goes back before each unit has forgotten it,
 * also where it was met by way of a nested context that has just come.
 */
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "threads_rig.h"

#include <setjmp.h>

#include <cmocka.h>

#define TIMES TH_TIMES(1500u, 300u)

static struct threads_rig rig;
static unsigned bad; /* answers that cannot be; threads do not fail a test themselves */
static unsigned flushed, attached;

static void want(bool right)
{
    if (!right) {
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
    }
}

static int one(unsigned code, unsigned ctx, unsigned flags, uint64_t a, uint64_t b)
{
    struct pvi_op op = {.code = (uint16_t)code, .ctx = (uint16_t)ctx, .flags = flags};

    switch (code) {
    case PVI_OP_REATTACH_DEVICE:
        op.u.reattach.sbdf.v = (uint32_t)a;
        break;
    case PVI_OP_ATTACH_PASID:
    case PVI_OP_DETACH_PASID:
        op.u.pasid.sbdf.v = (uint32_t)a;
        op.u.pasid.pasid = (uint32_t)b;
        break;
    case PVI_OP_FLUSH_NESTED:
        op.u.guest.first = a;
        op.u.guest.nr = b;
        break;
    default:
        break;
    }
    return threads_run(&rig, &op);
}

/* Single pages, and large leaves that are cut and go whole. */
static void *mapper(void *arg)
{
    uint64_t seed = 88172645463325252ull, done;

    (void)arg;
    for (unsigned i = 0; i < TIMES; i++) {
        unsigned ctx = 1 + i % 2;
        uint64_t at = threads_below(&seed, 16) * 0x200;

        want(threads_map(&rig, ctx, at, TH_GFN_PV + at, 0x200, &done) == 0);
        want(threads_unmap(&rig, ctx, at + 5, 1, &done) == 0);
        want(threads_unmap(&rig, ctx, at, 5, &done) == 0);
        want(threads_unmap(&rig, ctx, at + 6, 0x1fa, &done) == 0);
    }
    return NULL;
}

static void *nester(void *arg)
{
    uint64_t seed = 362436069, dev0 = rig.dev[0].sbdf.v, dev1 = rig.dev[1].sbdf.v;

    (void)arg;
    for (unsigned i = 0; i < TIMES; i++) {
        struct pvi_op op = {.code = PVI_OP_ALLOC_NESTED, .u.nested = {.parent = (uint16_t)(1 + i % 2), .levels = 4}};
        unsigned ctx;

        want(threads_run(&rig, &op) == 0);
        ctx = op.ctx;
        want(ctx > 2);
        want(one(PVI_OP_REATTACH_DEVICE, ctx, 0, dev1, 0) == 0);
        want(one(PVI_OP_ATTACH_PASID, ctx, 0, dev0, 3) == 0);
        attached++;
        if (threads_below(&seed, 2) != 0) {
            want(one(PVI_OP_ATTACH_PASID, 1 + (i + 1) % 2, PVI_PASID_MOVE, dev0, 3) == 0);
            want(one(PVI_OP_DETACH_PASID, 0, 0, dev0, 3) == 0);
        }
        if (threads_below(&seed, 2) != 0) {
            want(one(PVI_OP_REATTACH_DEVICE, 2, 0, dev1, 0) == 0);
        }
        want(one(PVI_OP_FREE_CONTEXT, 1 + i % 2, PVI_FREE_REATTACH, 0, 0) == -PVI_EBUSY);
        want(one(PVI_OP_FREE_CONTEXT, ctx, PVI_FREE_REATTACH, 0, 0) == 0);
    }
    want(one(PVI_OP_REATTACH_DEVICE, 2, 0, dev1, 0) == 0);
    return NULL;
}

static void *flusher(void *arg)
{
    uint64_t seed = 521288629;

    (void)arg;
    for (unsigned i = 0; i < TIMES; i++) {
        int rc = one(PVI_OP_FLUSH_NESTED, 3, i % 3 == 0 ? PVI_FLUSH_ALL_PASIDS : 0, i % 3 == 0 ? 0 : threads_below(&seed, 99), i % 3);

        want(rc == 0 || rc == -PVI_ENOCTX || (rc == -PVI_EINVAL && i % 3 == 0));
        flushed += rc == 0;
        want(one(PVI_OP_FLUSH_NESTED, 1, 0, 0, 0) == -PVI_ENESTED);
        rc = threads_map(&rig, 3, 5, TH_GFN_PV, 1, NULL);
        want(rc == -PVI_ENESTED || rc == -PVI_ENOCTX);
    }
    return NULL;
}

static void together(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        const struct threads_cfg *cfg = &threads_cfgs[k == 2 ? 3 : k * 2];
        struct threads_cfg own = *cfg;
        pthread_t thread[3];

        own.nested = true;
        threads_up(&rig, &own);
        bad = flushed = attached = 0;
        assert_int_equal(pthread_create(&thread[0], NULL, mapper, NULL), 0);
        assert_int_equal(pthread_create(&thread[1], NULL, nester, NULL), 0);
        assert_int_equal(pthread_create(&thread[2], NULL, flusher, NULL), 0);
        for (unsigned t = 0; t < 3; t++) {
            assert_int_equal(pthread_join(thread[t], NULL), 0);
        }
        print_message("%u flushes met a nested context\n", flushed);
        assert_int_equal(bad, 0);
        assert_int_equal(attached, TIMES);
        threads_down(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together),
    };

    return cmocka_run_group_tests_name("nested contexts, several CPUs", tests, NULL, NULL);
}
