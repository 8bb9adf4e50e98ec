/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43 from two virtual CPUs at once, in the same contexts with the same devices. Every answer must be one that the operation has, what
 * is reported as mapped must add up, and at the end nothing may be missing. The recorder judges each store, flush and release on the way;
 * ThreadSanitizer judges the rest (preset tsan).
 */
#include <pthread.h>
#include <string.h>

#include <pviommu/abi/xen43.h>

#include "threads_rig.h"
#include "xen43_rig.h"

#define CPUS 2u
#define ROUNDS TH_TIMES(6000u, 600u)
#define BASE 0x40000ull
#define NO_FLUSH 8u

struct cpu {
    struct x43 x;
    uint64_t seed;
    unsigned bad, right;
};

static struct fx f;
static struct x43 boot;
static struct cpu cpus[CPUS];
static unsigned char memory[CPUS][X43_MEM];

static bool sometimes(void *opaque, uint64_t nr)
{
    (void)opaque;
    return nr % 5 == 3;
}

static int call(struct cpu *c, unsigned subop)
{
    uint32_t word = subop;
    int rc;

    do {
        rc = pvi_xen43_call(&c->x.call, &word, c->x.base + X43_AT);
        pvi_posix_checkpoint(f.host);
    } while (rc == X43_ERESTART);
    c->right += rc == 0;
    return rc;
}

static bool one_of(int rc, const int *known)
{
    for (; *known != 0; known++) {
        if (rc == *known) {
            return true;
        }
    }
    return rc == 0;
}

static void map_or_unmap(struct cpu *c, bool map, unsigned ctx)
{
    static const int map_rc[] = {X43_EINVAL, X43_EADDRINUSE, X43_ENOMEM, 0}, unmap_rc[] = {X43_EINVAL, X43_ENOENT, X43_ENOMEM, 0};
    uint32_t size = threads_below(&c->seed, 6) == 0 ? 0x200000 : 4096;
    uint32_t nr = 1 + (uint32_t)threads_below(&c->seed, size > 4096 ? 3 : 700);
    uint64_t dfn = BASE + 512 * threads_below(&c->seed, 6) + (size > 4096 ? 0 : threads_below(&c->seed, 512));
    int rc;

    x43_begin(&c->x, map ? 6 : 7);
    x43_put(&c->x, map ? MAP_CTX : UN_CTX, ctx);
    x43_put(&c->x, map ? MAP_DFN : UN_DFN, dfn);
    x43_put(&c->x, map ? MAP_PGSIZE : UN_PGSIZE, size);
    x43_put(&c->x, map ? MAP_NR : UN_NR, nr);
    if (map) {
        x43_put(&c->x, MAP_GFN, (threads_below(&c->seed, 2) != 0 ? GUEST_PV : GUEST_HVM) + 512 * threads_below(&c->seed, 8));
        x43_put(&c->x, MAP_FLAGS, 3 | (threads_below(&c->seed, 2) != 0 ? NO_FLUSH : 0u));
    }
    rc = call(c, map ? 6 : 7);
    c->bad += !one_of(rc, map ? map_rc : unmap_rc);
    nr -= rc == 0 ? (uint32_t)x43_get(&c->x, map ? MAP_MAPPED : UN_UNMAPPED) : nr;
    c->bad += nr != 0; /* success: all of it, whatever the number of continuations */
}

static void other_call(struct cpu *c, unsigned what, unsigned ctx)
{
    static const int alloc_rc[] = {X43_ENOSPC, X43_ENOMEM, X43_ENOENT, 0}, free_rc[] = {X43_ENOENT, X43_EBUSY, 0},
                     move_rc[] = {X43_ENOENT, X43_EINVAL, X43_EBUSY, X43_ENOMEM, 0}, flush_rc[] = {X43_EINVAL, X43_ENOENT, 0};
    const uint32_t dev = f.dev[threads_below(&c->seed, 2)].sbdf.v;

    x43_begin(&c->x, what);
    switch (what) {
    case 3:
        x43_put(&c->x, ALLOC_FLAGS, threads_below(&c->seed, 3) == 0);
        c->bad += !one_of(call(c, 3), alloc_rc);
        break;
    case 4:
        x43_put(&c->x, FREE_CTX, ctx);
        x43_put(&c->x, FREE_FLAGS, threads_below(&c->seed, 2));
        c->bad += !one_of(call(c, 4), free_rc);
        break;
    case 5:
        x43_put(&c->x, RE_CTX, ctx - 1);
        x43_put(&c->x, RE_BUS, dev >> 8);
        x43_put(&c->x, RE_DEVFN, dev & 0xff);
        c->bad += !one_of(call(c, 5), move_rc);
        break;
    case 13:
        x43_put(&c->x, FL_CTX, ctx);
        x43_put(&c->x, FL_DFN, BASE);
        x43_put(&c->x, FL_PGSIZE, 4096);
        x43_put(&c->x, FL_NR, 4096);
        c->bad += !one_of(call(c, 13), flush_rc);
        break;
    default:
        x43_put(&c->x, LK_CTX, ctx);
        x43_put(&c->x, LK_DFN, BASE + threads_below(&c->seed, 4096));
        c->bad += !one_of(call(c, 14), flush_rc);
        break;
    }
}

static void *run(void *opaque)
{
    static const uint8_t what[] = {6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 3, 3, 4, 5, 13, 14, 14};
    struct cpu *c = opaque;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned subop = what[threads_below(&c->seed, sizeof(what))], ctx = 1 + (unsigned)threads_below(&c->seed, 3);

        if (subop == 6 || subop == 7) {
            map_or_unmap(c, subop == 6, ctx);
        } else {
            other_call(c, subop, ctx);
        }
    }
    return NULL;
}

static void two_cpus(struct fx *unused, const struct fx_cfg *cfg)
{
    pthread_t thread[CPUS];

    (void)unused;
    if (cfg->kind != FX_NULL) {
        return; /* the models are for one thread */
    }
    x43_up(&boot, &f, cfg, false);
    CHECK_RC(x43_init(&boot, 3, 9), 0);
    (void)pvi_posix_postponed(f.host, true);
    pvi_posix_hdom_mem(f.hdom, memory, X43_BASE, sizeof(memory));
    pvi_posix_preempt_call(f.host, sometimes, NULL);
    for (unsigned i = 0; i < CPUS; i++) {
        memset(&cpus[i], 0, sizeof(cpus[i]));
        x43_attach(&cpus[i].x, &f, i != 0);
        cpus[i].x.mem = memory[i];
        cpus[i].x.base = X43_BASE + i * X43_MEM;
        cpus[i].seed = 11 + i;
    }
    pvi_posix_hdom_mem(f.hdom, memory, X43_BASE, sizeof(memory));
    for (unsigned i = 0; i < CPUS; i++) {
        CHECK_EQ(pthread_create(&thread[i], NULL, run, &cpus[i]), 0);
    }
    for (unsigned i = 0; i < CPUS; i++) {
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    }
    pvi_posix_preempt_call(f.host, NULL, NULL);
    for (unsigned i = 0; i < CPUS; i++) {
        CHECK_EQ(cpus[i].bad, 0);
        CHECK(cpus[i].right > ROUNDS / 10);
    }
    fx_check_loose(&f);
    fx_end(&f, false);
}

static void test_two_cpus(void **state)
{
    (void)state;
    fx_each(two_cpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_cpus)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
