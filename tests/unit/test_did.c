/* SPDX-License-Identifier: MIT */
/* Domain ids: the map alone, and through the VT-d unit driver. R13. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vtd_rig.h"

#define MAX PVI_DID_MAX

/* Of every number of ids: all of them come once, then none, and the page goes back clean. */
static void every_size(void **state)
{
    static uint8_t used[MAX];
    struct vtd_rig *rig = rig_new(NULL);
    struct pvi_did_map map;
    unsigned nr, n;
    uint16_t did;

    (void)state;
    for (nr = 2; nr <= MAX; nr += nr < 200 ? 1 : nr < 1100 ? 53 : 10007) {
        assert_int_equal(pvi_did_init(rig->host, &map, nr), 0);
        memset(used, 0, sizeof(used));
        for (n = 1; n < nr; n++) {
            assert_int_equal(pvi_did_alloc(rig->host, &map, &did), 0);
            assert_true(did != 0 && did < nr && !used[did]);
            used[did] = 1;
        }
        assert_int_equal(pvi_did_alloc(rig->host, &map, &did), -PVI_ENOSPC);
        for (n = nr - 1; n > 0; n -= n > nr / 7 ? nr / 7 + 1 : n) { /* a lone one is found */
            pvi_did_free(rig->host, &map, (uint16_t)n);
            assert_int_equal(pvi_did_alloc(rig->host, &map, &did), 0);
            assert_int_equal(did, n);
            assert_int_equal(pvi_did_alloc(rig->host, &map, &did), -PVI_ENOSPC);
        }
        pvi_did_fini(rig->host, &map);
        for (n = 0; n < 512; n++) {
            assert_int_equal(((uint64_t *)pvi_posix_ptr(rig->host, map.page.a, 4096))[n], 0);
        }
    }
    pvi_posix_fail(rig->host, PVI_AT_PAGE_ALLOC, 1, false);
    assert_int_equal(pvi_did_init(rig->host, &map, 16), -PVI_ENOMEM);
    rig_free(rig);
}

/* Runs in a child: a caller's bug ends the program. */
static bool dies(void (*bug)(struct pvi_host *h, struct pvi_did_map *m), struct vtd_rig *rig,
                 struct pvi_did_map *m)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        (void)freopen("/dev/null", "w", stderr);
        signal(SIGABRT, SIG_DFL);
        bug(rig->host, m);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void free_zero(struct pvi_host *h, struct pvi_did_map *m)
{
    pvi_did_free(h, m, 0);
}

static void free_twice(struct pvi_host *h, struct pvi_did_map *m)
{
    pvi_did_free(h, m, 1);
    pvi_did_free(h, m, 1);
}

static void free_beyond(struct pvi_host *h, struct pvi_did_map *m)
{
    pvi_did_free(h, m, 100);
}

static void init_none(struct pvi_host *h, struct pvi_did_map *m)
{
    (void)m;
    (void)!pvi_did_init(h, &(struct pvi_did_map){.nr = 0}, 1);
}

static void init_many(struct pvi_host *h, struct pvi_did_map *m)
{
    (void)m;
    (void)!pvi_did_init(h, &(struct pvi_did_map){.nr = 0}, MAX + 1);
}

static void bugs_of_the_caller(void **state)
{
    struct vtd_rig *rig = rig_new(NULL);
    struct pvi_did_map map;
    uint16_t did;

    (void)state;
    assert_int_equal(pvi_did_init(rig->host, &map, 100), 0);
    assert_int_equal(pvi_did_alloc(rig->host, &map, &did), 0);
    assert_int_equal(did, 1);
    assert_true(dies(free_zero, rig, &map));
    assert_true(dies(free_twice, rig, &map));
    assert_true(dies(free_beyond, rig, &map));
    assert_true(dies(init_none, rig, &map));
    assert_true(dies(init_many, rig, &map));
    pvi_did_fini(rig->host, &map);
    rig_free(rig);
}

/* An id that came back is given out again only after all others that are free. */
static void comes_back_last(void **state)
{
    struct vtd_rig *rig = rig_new(NULL);
    struct pvi_did_map map;
    uint16_t did, last = 0;
    unsigned n;

    (void)state;
    assert_int_equal(pvi_did_init(rig->host, &map, 1000), 0);
    for (n = 0; n < 5000; n++) {
        assert_int_equal(pvi_did_alloc(rig->host, &map, &did), 0);
        assert_int_equal(did, last == 999 ? 1 : last + 1);
        last = did;
        pvi_did_free(rig->host, &map, did);
    }
    pvi_did_fini(rig->host, &map);
    rig_free(rig);
}

/* R13: never 0, never one in use, and one that came back comes last. */
static void through_the_unit(void **state)
{
    static const unsigned bits[] = {4, 6, 8, 16};
    static uint8_t used[65536];
    struct hwm_vtd_cfg cfg;
    struct vtd_rig *rig;
    unsigned i, n, max;
    uint16_t did, again;

    (void)state;
    for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        hwm_vtd_cfg_default(&cfg);
        cfg.did_bits = bits[i];
        rig = rig_new_enabled(&cfg);
        max = bits[i] < 15 ? (1u << bits[i]) - 1 : PVI_DID_MAX - 1;
        memset(used, 0, sizeof(used));
        for (n = 0; n < max; n++) {
            assert_int_equal(pvi_vtd_unit_did_alloc(&rig->unit, &did), 0);
            assert_true(did >= 1 && did <= max && !used[did]);
            used[did] = 1;
            if (n == 2) { /* the id just freed is not the next one */
                pvi_vtd_unit_did_free(&rig->unit, did);
                assert_int_equal(pvi_vtd_unit_did_alloc(&rig->unit, &again), 0);
                assert_true(again != did && !used[again]);
                used[did] = 0;
                used[again] = 1;
            }
        }
        assert_int_equal(pvi_vtd_unit_did_alloc(&rig->unit, &did), -PVI_ENOSPC);
        pvi_vtd_unit_did_free(&rig->unit, (uint16_t)max);
        pvi_vtd_unit_did_free(&rig->unit, 1);
        assert_int_equal(pvi_vtd_unit_did_alloc(&rig->unit, &did), 0);
        assert_true(did == 1 || did == max);
        assert_int_equal(pvi_vtd_unit_did_alloc(&rig->unit, &again), 0);
        assert_int_equal(did + again, max + 1);
        assert_int_equal(pvi_vtd_unit_did_alloc(&rig->unit, &did), -PVI_ENOSPC);
        assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
        pvi_vtd_unit_did_free(&rig->unit, 1); /* void with the unit */
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(bugs_of_the_caller),
        cmocka_unit_test(comes_back_last),
        cmocka_unit_test(through_the_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
