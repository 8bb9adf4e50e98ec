/* SPDX-License-Identifier: MIT */
/*
 * Two threads map, unmap, replace, split, join and change rights in one table; a third looks up;
 * meanwhile a network device of QEMU copies through the table, and the independent walker reads it.
 * No page that nobody takes away ever fails to translate, and none leads anywhere else. See
 * lib_race.h.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib_checks.h"
#include "lib_race.h"

/* Until each worker has done so many rounds, but not for ever. */
#define ROUNDS 120u
#define KICKS  3000u
#define COPIES 128u
#define BYTES  64u
#define PAGES  1200u

static struct lib lib;
static struct race race;

/* From a page to another; the frames of the two sets are all different. */
struct copy {
    const struct race_watch *from, *to;
    uint32_t offset;
    uint8_t data[BYTES];
};

static void mark(uint8_t data[BYTES], uint64_t kick, unsigned i)
{
    unsigned b;

    for (b = 0; b < BYTES; b++)
        data[b] = (uint8_t)(kick * 31 + i * 7 + b * 13 + 1);
}

static const struct race_watch *next_watch(unsigned *at, bool writable)
{
    do {
        *at = (*at + 1) % race.nr_watches;
    } while (race.watch[*at].writable != writable);
    return &race.watch[*at];
}

static void *at(uint64_t pa, uint32_t offset)
{
    return qt_ptr(lib.qt, pa + offset, BYTES);
}

/* From pages that are only read to pages that are written. */
static void prepare(struct copy *c, struct qt_copy *q, uint64_t kick, unsigned i, unsigned where[2])
{
    c->from = next_watch(&where[0], false);
    c->to = next_watch(&where[1], true);
    c->offset = (uint32_t)((kick + i) % 64 * BYTES);
    mark(c->data, kick, i);
    memcpy(at(c->from->pa, c->offset), c->data, BYTES);
    memset(at(c->to->pa, c->offset), 0, BYTES);
    if (c->to->other)
        memset(at(c->to->other, c->offset), 0, BYTES);
    q->src = c->from->iova + c->offset;
    q->dst = c->to->iova + c->offset;
    q->len = BYTES;
}

static void judge(const struct copy *c)
{
    bool landed = memcmp(at(c->to->pa, c->offset), c->data, BYTES) == 0 ||
                  (c->to->other && memcmp(at(c->to->other, c->offset), c->data, BYTES) == 0);

    lib_check(&lib, landed, "copy from 0x%" PRIx64 " to 0x%" PRIx64 " is lost", c->from->iova,
              c->to->iova);
}

static void walk(const struct race_watch *w)
{
    struct hwm_leaf leaf;

    if (!lib_check(&lib, lib_walk(&lib, &lib.dev[LIB_NIC0], w->iova, &leaf),
                   "the walker finds nothing at 0x%" PRIx64, w->iova))
        return;
    lib_check(&lib, (leaf.pa == w->pa || leaf.pa == w->other) && leaf.r && (leaf.w || !w->writable),
              "0x%" PRIx64 " leads to 0x%" PRIx64 " %d%d, not to 0x%" PRIx64, w->iova, leaf.pa,
              leaf.r, leaf.w, w->pa);
}

/* One kick: the unit begins with nothing cached, so every copy is translated anew. */
static void kick(uint64_t nr, unsigned where[2])
{
    struct pvi_inv forget = {.kind = PVI_INV_DOMAIN, .did = race.a.did};
    static struct copy copy[COPIES];
    struct qt_copy q[COPIES];
    unsigned i, done;

    memset(q, 0, sizeof(q));
    for (i = 0; i < COPIES; i++)
        prepare(&copy[i], &q[i], nr, i, where);
    race_qemu_take(&race);
    lib_check_status(&lib, pvi_host_inv_submit(lib.host, lib.unit, &forget, 1), 0, "invalidation");
    lib_check_status(&lib, pvi_host_inv_wait(lib.host, lib.unit), 0, "wait");
    done = qt_nic_copy(&lib.dev[LIB_NIC0].nic, q, COPIES);
    lib_check(&lib, done == COPIES, "%u of %u copies done", done, COPIES);
    lib_no_fault(&lib);
    lib_tap_reset(&lib.tap);
    for (i = 0; i < COPIES; i++)
        judge(&copy[i]);
    for (i = 0; i < race.nr_watches; i += 23)
        walk(&race.watch[(i + nr) % race.nr_watches]);
    race_qemu_drop(&race);
}

static void open_race(void)
{
    const struct lib_alone_cfg cfg = {
        .levels = 4,
        .page_sizes = lib.cfg.amd ? UINT64_MAX : 0,
        .pages = PAGES,
        .trim = lib.cfg.trim,
    };
    uint64_t tx = lib_gfn_pa(&lib, LIB_GFN_OWN + 64), rx = tx + LIB_PAGE;

    memset(&race, 0, sizeof(race));
    race.l = &lib;
    pthread_rwlock_init(&race.table, NULL);
    pthread_mutex_init(&race.qemu, NULL);
    pthread_cond_init(&race.turn, NULL);
    lib_alone_open(&race.a, &lib, &cfg);
    lib_check_status(&lib, lib_alone_map(&race.a, LIB_TX_IOVA(0), tx, LIB_PAGE, PVI_RW, false), 0,
                     "ring");
    lib_check_status(&lib, lib_alone_map(&race.a, LIB_RX_IOVA(0), rx, LIB_PAGE, PVI_RW, false), 0,
                     "ring");
    assert_true(qt_nic_init(&lib.dev[LIB_NIC0].nic, LIB_TX_IOVA(0), tx, LIB_RX_IOVA(0), rx));
    race_fill(&race);
    assert_true(race.nr_watches <= RACE_WATCHES);
}

static void close_race(void)
{
    race_empty(&race);
    lib_check_status(&lib, lib_alone_unmap(&race.a, LIB_OWN_IOVA, LIB_OWN_SIZE), 0, "own pages");
    lib_alone_close(&race.a);
    pthread_cond_destroy(&race.turn);
    pthread_mutex_destroy(&race.qemu);
    pthread_rwlock_destroy(&race.table);
}

static void report(uint64_t kicks)
{
    unsigned n, i;

    for (n = 0; n < RACE_WORKERS; n++) {
        const struct race_worker *k = &race.worker[n];

        lib_check(&lib, k->bad == 0, "%u wrong answers, %s for one", k->bad,
                  pvi_strerror(k->answer));
        for (i = 0; i < RACE_DEEDS; i++)
            lib_check(&lib, k->rounds[i] != 0, "thread %u never did %u", n, i);
        printf("thread %u: %u rounds, alone %u times\n", n, atomic_load(&k->all), k->alone);
    }
    lib_check(&lib, race.wrong == 0, "%u of %u lookups are wrong", race.wrong, race.looks);
    lib_check(&lib, race.looks > race.busy, "no lookup ever got an answer");
    printf("%" PRIu64 " copies, %u lookups, %u of them busy\n", kicks * COPIES, race.looks,
           race.busy);
}

static bool enough(void)
{
    unsigned n;

    for (n = 0; n < RACE_WORKERS && atomic_load(&race.worker[n].all) >= ROUNDS; n++)
        continue;
    return n == RACE_WORKERS;
}

static void while_devices_copy(void **state)
{
    pthread_t thread[RACE_WORKERS + 1];
    unsigned where[2] = {0, 0}, n;
    uint64_t nr;

    (void)state;
    open_race();
    for (n = 0; n < RACE_WORKERS; n++)
        assert_int_equal(pthread_create(&thread[n], NULL, race_work, &race.worker[n]), 0);
    assert_int_equal(pthread_create(&thread[n], NULL, race_look, &race), 0);
    for (nr = 0; nr < KICKS && lib.failures < 10 && !enough(); nr++)
        kick(nr, where);
    atomic_store(&race.stop, true);
    for (n = 0; n <= RACE_WORKERS; n++)
        assert_int_equal(pthread_join(thread[n], NULL), 0);
    report(nr);
    close_race();
    assert_int_equal(lib.failures, 0);
}

static int up(bool amd, bool trim)
{
    const struct lib_config cfg = {.amd = amd, .nics = true, .trim = trim};

    lib_start_machine(&lib, &cfg);
    lib.what = "race";
    lib_start_unit(&lib);
    return lib.failures == 0 ? 0 : -1;
}

static int up_amd(void **state)
{
    (void)state;
    return up(true, true);
}

static int up_vtd(void **state)
{
    (void)state;
    return up(false, true);
}

static int down(void **state)
{
    (void)state;
    lib_stop_unit(&lib);
    lib_stop_machine(&lib);
    return lib.failures == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(while_devices_copy)};

    return cmocka_run_group_tests_name("amdvi", tests, up_amd, down) +
                   cmocka_run_group_tests_name("vtd", tests, up_vtd, down)
               ? EXIT_FAILURE
               : EXIT_SUCCESS;
}
