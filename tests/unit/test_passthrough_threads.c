/* SPDX-License-Identifier: MIT */
/*
 * Hooks of two CPUs at once, each with an object of its own: in gigabytes of their own, and in the same one, block by block; a third CPU
 * moves a device with a reserved region in and out meanwhile. Afterwards the table is what the two have left behind.
 */
#include <pthread.h>
#include <string.h>

#include "fixture.h"
#include "threads_rig.h"

#define BLOCK 0x200ull
#define BLOCKS 8u
#define ROUNDS TH_TIMES(1500u, 250u)
#define RMRR 0x90000ull

static struct fx fx;

struct cpu {
    struct pvi_sync sync;
    struct flat *map;
    uint64_t seed, first, stride; /* block n is at first + n * stride */
    unsigned bad;
};

static int any_hook(struct cpu *c)
{
    uint64_t dfn = c->first + threads_below(&c->seed, BLOCKS) * c->stride, nr, hole;
    bool all = threads_below(&c->seed, 4) == 0;
    unsigned what = (unsigned)threads_below(&c->seed, 4);
    int rc;

    nr = all ? BLOCK : 1 + threads_below(&c->seed, 40);
    dfn += all ? 0 : threads_below(&c->seed, BLOCK - nr);
    if (what < 2) {
        if (flat_overlap(c->map, dfn, nr, &hole)) {
            nr = hole - dfn;
        }
        if (nr == 0) {
            return 0;
        }
        rc = pvi_sync_add(&c->sync, (pvi_dfn){dfn}, (pvi_pa){(dfn + 0x800000) << 12}, nr, PVI_RW);
        return rc != 0 || flat_map(c->map, dfn, nr, (dfn + 0x800000) << 12, PVI_RW, 0) ? rc : -1;
    }
    if (what == 2) {
        rc = pvi_sync_remove(&c->sync, (pvi_dfn){dfn}, nr);
        (void)flat_unmap(c->map, dfn, nr);
    } else {
        rc = pvi_sync_protect(&c->sync, (pvi_dfn){dfn}, nr, PVI_READ);
        (void)flat_protect(c->map, dfn, nr, PVI_READ);
    }
    return rc;
}

static void *hooks(void *arg)
{
    struct cpu *c = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        bool bracket = threads_below(&c->seed, 2) == 0;

        if (bracket) {
            pvi_sync_begin(&c->sync);
        }
        for (uint64_t n = bracket ? threads_below(&c->seed, 6) : 1; n > 0; n--) {
            c->bad += any_hook(c) != 0;
        }
        c->bad += bracket && pvi_sync_end(&c->sync) != 0;
    }
    return NULL;
}

static unsigned bad_moves;

static void *moves(void *arg)
{
    struct pvi_device *dev = &fx.dev[2];

    (void)arg;
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        bad_moves += pvi_device_add(&fx.dom, dev) != 0;
        bad_moves += pvi_device_remove(&fx.dom, dev) != 0;
    }
    return NULL;
}

static void leaf(void *ctx, const struct hwm_leaf *l)
{
    CHECK(flat_map(ctx, l->iova >> 12, 1ull << (l->lg2 - 12), l->pa, (l->r ? FLAT_R : 0u) | (l->w ? FLAT_W : 0u), 0));
}

static void compare(const struct cpu *c)
{
    struct flat *seen = flat_new(), *want = flat_copy(c[0].map);
    struct hwm_visitor v = {.ctx = seen, .leaf = leaf};
    struct hwm_visit out;
    struct flat_run run;

    for (uint64_t pfn = 0; flat_next(c[1].map, pfn, &run); pfn = run.last + 1) {
        CHECK(flat_map(want, run.first, run.last - run.first + 1, run.pa, run.perm, 0));
    }
    CHECK(fx_visit(&fx, fx_root(&fx, 0), &v, &out));
    CHECK(flat_equal(want, seen, FLAT_ANY_TAG, NULL));
    flat_free(seen);
    flat_free(want);
}

static void run(const struct fx_cfg *cfg, bool apart)
{
    static struct cpu cpu[2];
    pthread_t thread[3];
    struct pvi_domain_cfg dc;

    check_case("format %u, %s", (unsigned)(cfg->format == &pvi_amdvi_v1_ops), apart ? "own gigabytes" : "one gigabyte");
    fx_machine(&fx, cfg);
    dc = fx_domain_cfg(&fx);
    dc.default_pages = 300;
    dc.passthrough = (struct pvi_passthrough_cfg){.mode = PVI_PASSTHROUGH_SYNC_PT, .pv = true};
    fx_domain(&fx, &dc);
    fx_device(&fx, 2, 0)->nr_regions = 1;
    fx.dev[2].region[0] = (struct pvi_region){RMRR << 12, ((RMRR + 8) << 12) - 1, PVI_RW};
    memset(cpu, 0, sizeof(cpu));
    for (unsigned i = 0; i < 2; i++) {
        pvi_sync_init(&cpu[i].sync, &fx.dom);
        cpu[i].map = flat_new();
        cpu[i].seed = 77 + i;
        cpu[i].first = apart ? 0x40000 + i * 0x80000 : 0x80000 + i * BLOCK;
        cpu[i].stride = apart ? BLOCK : 2 * BLOCK;
    }
    bad_moves = 0;
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&thread[i], NULL, hooks, &cpu[i]), 0);
    }
    CHECK_EQ(pthread_create(&thread[2], NULL, moves, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    }
    CHECK_EQ(cpu[0].bad + cpu[1].bad + bad_moves, 0);
    compare(cpu);
    for (unsigned i = 0; i < 2; i++) {
        flat_free(cpu[i].map);
    }
    fx_end(&fx, false);
}

static void two_cpus(void **state)
{
    static const struct fx_cfg kinds[] = {
        {.kind = FX_NULL},
        {.kind = FX_NULL, .incoherent = true, .np_cache = true},
        {.kind = FX_NULL, .format = &pvi_amdvi_v1_ops},
        {.kind = FX_NULL, .levels = 3, .write_buffer = true},
    };

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        run(&kinds[i / 2], i % 2 == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_cpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
