/* SPDX-License-Identifier: MIT */
/*
 * Every size of leaf that a unit of QEMU walks, by DMA through a table alone: on AMD-Vi every power
 * of two from 4 KiB to 2 PiB but 512 GiB (hwspec 6.9, NextLevel 7), on VT-d 4 KiB, 2 MiB and 1 GiB.
 * What the unit must forget is judged by the commands in its ring and by its trace: QEMU's AMD-Vi
 * drops a whole domain whatever a command names.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib_alone.h"
#include "lib_checks.h"

#define PAGES 700u

/* Frames of the tests: the machine's last gigabyte, free for all of it. */
#define BIG_PA   LIB_GIB
#define BIG_SIZE LIB_GIB

static struct lib lib;
static struct lib_alone alone;

#define E0 (&lib.dev[LIB_EDU0])

static void no_failure(void)
{
    assert_int_equal(lib.failures, 0);
}

static uint64_t all_sizes(bool amd)
{
    return amd ? UINT64_MAX : UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30;
}

static void open_table(unsigned levels, uint64_t sizes)
{
    const struct lib_alone_cfg cfg = {
        .levels = levels,
        .page_sizes = sizes,
        .pages = PAGES,
    };

    lib_alone_open(&alone, &lib, &cfg);
}

/* A place for a leaf of 2^lg2 bytes, not at the beginning of its table. */
static uint64_t place(unsigned lg2)
{
    return lg2 < 40 ? (UINT64_C(3) << 40) + (UINT64_C(5) << lg2) : UINT64_C(3) << lg2;
}

/* Leaves above 1 GiB reach further than the machine has memory: they begin at 0, and what is probed
 * lies in RAM. */
static uint64_t frame(unsigned lg2)
{
    return lg2 <= 30 ? BIG_PA : 0;
}

/* Device accesses to the first and the last page of what is in RAM, and to one between. */
static void lands(uint64_t iova, unsigned lg2)
{
    uint64_t size = UINT64_C(1) << lg2, pa = frame(lg2);
    uint64_t last = lg2 <= 30 ? size - LIB_PAGE : BIG_PA + BIG_SIZE - LIB_PAGE;
    uint64_t first = lg2 <= 30 ? 0 : BIG_PA;

    lib_lands(&lib, E0, iova + first, pa + first, LIB_RW);
    lib_lands(&lib, E0, iova + last + LIB_PAGE - 64, pa + last + LIB_PAGE - 64, LIB_RW);
    if (lg2 > 13)
        lib_lands(&lib, E0, iova + (first + last + LIB_PAGE) / 2,
                  pa + (first + last + LIB_PAGE) / 2, LIB_RW);
}

static void one_size(unsigned lg2)
{
    uint64_t size = UINT64_C(1) << lg2, iova = place(lg2);

    lib_check_status(&lib, lib_alone_map(&alone, iova, frame(lg2), size, PVI_RW, false), 0, "map");
    lib_leaf_is(&lib, E0, iova, frame(lg2), lg2, PVI_RW);
    lib_leaf_is(&lib, E0, iova + size - LIB_PAGE, frame(lg2) + size - LIB_PAGE, lg2, PVI_RW);
    lands(iova, lg2);
    lib_blocked(&lib, E0, iova - LIB_PAGE, BIG_PA, LIB_RW);
    lib_blocked(&lib, E0, iova + size, BIG_PA, LIB_RW);
    lib_check_status(&lib, lib_alone_rights(&alone, iova, size, PVI_READ), 0, "rights");
    lib_alone_flush(&alone);
    lib_leaf_is(&lib, E0, iova, frame(lg2), lg2, PVI_READ);
    lib_blocked(&lib, E0, iova + (lg2 <= 30 ? size - LIB_PAGE : BIG_PA),
                frame(lg2) + (lg2 <= 30 ? size - LIB_PAGE : BIG_PA), LIB_W);
    lib_check_status(&lib, lib_alone_unmap(&alone, iova, size), 0, "unmap");
    lib_alone_flush(&alone);
    lib_blocked(&lib, E0, iova + (lg2 <= 30 ? size - LIB_PAGE : BIG_PA), BIG_PA, LIB_RW);
}

static void every_size(void **state)
{
    unsigned lg2;

    (void)state;
    open_table(lib.cfg.amd ? 6 : 4, all_sizes(lib.cfg.amd));
    assert_int_equal(alone.sizes, lib.cfg.amd ? (UINT64_C(1) << 52) - LIB_PAGE - (UINT64_C(1) << 39)
                                              : all_sizes(false));
    for (lg2 = 12; lg2 < 52; lg2++)
        if (alone.sizes >> lg2 & 1)
            one_size(lg2);
    lib_alone_close(&alone);
    no_failure();
}

/* The largest that fits at each place: one request makes a staircase up and down again. */
static void staircase(void **state)
{
    uint64_t iova = UINT64_C(3) << 40, at = LIB_PAGE, last = 64 * LIB_MIB - LIB_PAGE;
    unsigned lg2, seen = 0;

    (void)state;
    open_table(4, all_sizes(lib.cfg.amd));
    lib_check_status(&lib, lib_alone_map(&alone, iova + at, BIG_PA + at, last - at, PVI_RW, false),
                     0, "map");
    while (at < last) {
        for (lg2 = 40; !(alone.sizes >> lg2 & 1) || at & ((UINT64_C(1) << lg2) - 1) ||
                       last - at < UINT64_C(1) << lg2;
             lg2--)
            continue;
        lib_leaf_is(&lib, E0, iova + at, BIG_PA + at, lg2, PVI_RW);
        if (lg2 > 12 || seen++ % 64 == 0)
            lib_lands(&lib, E0, iova + at, BIG_PA + at, LIB_W);
        at += UINT64_C(1) << lg2;
        lib_lands(&lib, E0, iova + at - 64, BIG_PA + at - 64, lg2 > 12 ? LIB_W : 0);
    }
    lib_blocked(&lib, E0, iova, BIG_PA, LIB_RW);
    lib_blocked(&lib, E0, iova + last, BIG_PA + last, LIB_RW);
    lib_alone_close(&alone);
    no_failure();
}

/* Flushes -------------------------------------------------------------------------------------- */

static void watch_begin(void)
{
    qt_trace_mark(lib.qt);
    lib_tap_reset(&lib.tap);
}

/* Flushes; what the unit is told to forget must be exactly [first, first + 2^lg2), tables too where
 * some changed. */
static void flush_is(uint64_t first, unsigned lg2, bool tables)
{
    const char *event = lib.cfg.amd ? "amdvi_pages_inval" : "vtd_inv_desc_iotlb_pages";
    uint64_t bytes = 0;
    unsigned i, nr = 0;

    watch_begin();
    lib_alone_flush(&alone);
    for (i = 0; i < lib.tap.nr; i++) {
        const struct lib_cmd *cmd = &lib.tap.log[i];

        if (cmd->kind == LIB_CMD_WAIT)
            continue;
        lib_check(&lib,
                  cmd->kind == LIB_CMD_PAGES && cmd->did == alone.did && cmd->iova >= first &&
                      cmd->iova + ((UINT64_C(1) << cmd->lg2) - 1) <=
                          first + ((UINT64_C(1) << lg2) - 1) &&
                      !(tables && cmd->leaf_only),
                  "%s of 2^%u bytes at 0x%" PRIx64 "%s, where 2^%u at 0x%" PRIx64 " changed%s",
                  lib_cmd_name(cmd->kind), cmd->lg2, cmd->iova, cmd->leaf_only ? " (leaves)" : "",
                  lg2, first, tables ? " with tables" : "");
        bytes += UINT64_C(1) << cmd->lg2;
        nr++;
    }
    lib_check(&lib, bytes == UINT64_C(1) << lg2, "0x%" PRIx64 " bytes forgotten, not 2^%u", bytes,
              lg2);
    lib_check(&lib, qt_trace_count(lib.qt, event) == nr,
              "QEMU traced %zu page invalidations, %u in the ring", qt_trace_count(lib.qt, event),
              nr);
}

static void nothing_to_flush(void)
{
    watch_begin();
    lib_alone_flush(&alone);
    lib_check(&lib, lib.tap.nr == 0, "%u commands, where nothing changed", lib.tap.nr);
}

/* Leaves of one level lie in the tables of one level, on both units. */
static unsigned level_of(unsigned lg2)
{
    return (lg2 - 12) / 9;
}

/* One page out of a leaf: what is left are the largest leaves that fit, and the unit forgets all of
 * the old one. */
static void cut(unsigned lg2, bool by_rights)
{
    uint64_t size = UINT64_C(1) << lg2, iova = place(lg2), hole = size / 2 + LIB_PAGE, at, step;
    uint32_t pages = lib_alone_pages(&alone);
    unsigned fit, nr = 0;

    lib_check_status(&lib, lib_alone_map(&alone, iova, BIG_PA, size, PVI_RW, false), 0, "map");
    lands(iova, lg2);
    if (by_rights)
        lib_check_status(&lib, lib_alone_rights(&alone, iova + hole, LIB_PAGE, PVI_READ), 0,
                         "rights");
    else
        lib_check_status(&lib, lib_alone_unmap(&alone, iova + hole, LIB_PAGE), 0, "unmap");
    flush_is(iova, lg2, lg2 > 20);
    if (by_rights)
        lib_blocked(&lib, E0, iova + hole, BIG_PA + hole, LIB_W);
    else
        lib_blocked(&lib, E0, iova + hole, BIG_PA + hole, LIB_RW);
    for (at = 0; at < size; at += step) {
        for (fit = lg2; at == hole ? fit > 12
                                   : !(alone.sizes >> fit & 1) || at & ((UINT64_C(1) << fit) - 1) ||
                                         hole - at < UINT64_C(1) << fit;
             fit--)
            continue;
        step = UINT64_C(1) << fit;
        if (at == hole)
            continue;
        lib_leaf_is(&lib, E0, iova + at, BIG_PA + at, fit, PVI_RW);
        if (nr++ % 16 != 0 && at + step != hole && at != hole + LIB_PAGE)
            continue; /* VT-d makes a thousand of them */
        lib_lands(&lib, E0, iova + at, BIG_PA + at, LIB_RW);
        lib_lands(&lib, E0, iova + at + step - 64, BIG_PA + at + step - 64, LIB_W);
    }
    if (by_rights) {
        lib_check_status(&lib, lib_alone_rights(&alone, iova + hole, LIB_PAGE, PVI_RW), 0,
                         "rights");
        lib_alone_flush(&alone);
    } else
        lib_check_status(&lib,
                         lib_alone_map(&alone, iova + hole, BIG_PA + hole, LIB_PAGE, PVI_RW, false),
                         0, "map of the hole");
    lib_check_status(&lib, lib_alone_collapse(&alone, iova, size), 0, "collapse");
    lib_leaf_is(&lib, E0, iova + hole, BIG_PA + hole, lg2, PVI_RW);
    lib_alone_flush(&alone);
    lands(iova, lg2);
    lib_lands(&lib, E0, iova + hole, BIG_PA + hole, LIB_RW);
    lib_check_status(&lib, lib_alone_unmap(&alone, iova, size), 0, "unmap");
    flush_is(iova, lg2, false);
    lib_check(&lib, lib_alone_pages(&alone) <= pages + 3, "%u pages were in use, %u are", pages,
              lib_alone_pages(&alone));
}

static void cuts(void **state)
{
    unsigned lg2;

    (void)state;
    open_table(4, all_sizes(lib.cfg.amd));
    for (lg2 = 14; lg2 <= 30; lg2++)
        if (alone.sizes >> lg2 & 1) {
            cut(lg2, false);
            cut(lg2, true);
        }
    lib_alone_close(&alone);
    no_failure();
}

/* Down to a smaller size and back: the device never sees a difference, the unit may have cached
 * either. */
static void down_and_up(unsigned lg2, unsigned to)
{
    uint64_t size = UINT64_C(1) << lg2, iova = place(lg2);
    bool tables = level_of(lg2) != level_of(to);

    lib_check_status(&lib, lib_alone_split(&alone, iova, size, to), 0, "split");
    lib_leaf_is(&lib, E0, iova, BIG_PA, to, PVI_RW);
    lib_leaf_is(&lib, E0, iova + size - LIB_PAGE, BIG_PA + size - LIB_PAGE, to, PVI_RW);
    lands(iova, lg2);
    flush_is(iova, lg2, tables);
    lands(iova, lg2);
    lib_check_status(&lib, lib_alone_split(&alone, iova, size, to), 0, "split of nothing");
    nothing_to_flush();
    lib_check_status(&lib, lib_alone_collapse(&alone, iova, size), 0, "collapse");
    lib_leaf_is(&lib, E0, iova + size / 2, BIG_PA + size / 2, lg2, PVI_RW);
    lands(iova, lg2);
    flush_is(iova, lg2, tables);
    lands(iova, lg2);
}

static void split_collapse(void **state)
{
    static const unsigned by[] = {1, 4, 9};
    unsigned lg2, i;

    (void)state;
    open_table(4, all_sizes(lib.cfg.amd));
    for (lg2 = 13; lg2 <= 30; lg2++) {
        uint64_t size = UINT64_C(1) << lg2, iova = place(lg2);

        if (!(alone.sizes >> lg2 & 1))
            continue;
        lib_check_status(&lib, lib_alone_map(&alone, iova, BIG_PA, size, PVI_RW, false), 0, "map");
        for (i = 0; i < 3; i++)
            /* Hundreds of tables are no news. */
            if (lg2 - by[i] >= 12 && alone.sizes >> (lg2 - by[i]) & 1 &&
                !(lg2 > 26 && lg2 - by[i] < 21))
                down_and_up(lg2, lg2 - by[i]);
        lib_check_status(&lib, lib_alone_unmap(&alone, iova, size), 0, "unmap");
        lib_alone_flush(&alone);
    }
    lib_alone_close(&alone);
    no_failure();
}

/* Some sizes only: others are never used. */
static void subset(void **state)
{
    uint64_t iova = UINT64_C(3) << 40, sizes = LIB_PAGE | UINT64_C(1) << 16 | 2 * LIB_MIB;

    (void)state;
    open_table(4, sizes);
    assert_int_equal(alone.sizes, lib.cfg.amd ? sizes : LIB_PAGE | 2 * LIB_MIB);
    lib_check_status(
        &lib, lib_alone_map(&alone, iova + 0xF000, BIG_PA + 0xF000, 4 * LIB_MIB, PVI_RW, false), 0,
        "map");
    lib_leaf_is(&lib, E0, iova + 0xF000, BIG_PA + 0xF000, 12, PVI_RW);
    lib_leaf_is(&lib, E0, iova + 0x10000, BIG_PA + 0x10000, lib.cfg.amd ? 16 : 12, PVI_RW);
    lib_leaf_is(&lib, E0, iova + 0x1F0000, BIG_PA + 0x1F0000, lib.cfg.amd ? 16 : 12, PVI_RW);
    lib_leaf_is(&lib, E0, iova + 0x200000, BIG_PA + 0x200000, 21, PVI_RW);
    lib_leaf_is(&lib, E0, iova + 0x40E000, BIG_PA + 0x40E000, 12, PVI_RW);
    lib_lands(&lib, E0, iova + 0x1F8000, BIG_PA + 0x1F8000, LIB_RW);
    lib_lands(&lib, E0, iova + 0x40E000, BIG_PA + 0x40E000, LIB_RW);
    lib_alone_close(&alone);
    no_failure();
}

static int up(bool amd)
{
    const struct lib_config cfg = {
        .amd = amd,
        .trace = lib_trace_events,
        .pa_bits = amd ? 52 : 0,
    };

    lib_start_machine(&lib, &cfg);
    lib.what = "sizes";
    lib_start_unit(&lib);
    return lib.failures == 0 ? 0 : -1;
}

static int up_amd(void **state)
{
    (void)state;
    return up(true);
}

static int up_vtd(void **state)
{
    (void)state;
    return up(false);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size), cmocka_unit_test(staircase),      cmocka_unit_test(cuts),
        cmocka_unit_test(subset),     cmocka_unit_test(split_collapse),
    };

    return cmocka_run_group_tests_name("amdvi", tests, up_amd, down) +
                   cmocka_run_group_tests_name("vtd", tests, up_vtd, down)
               ? EXIT_FAILURE
               : EXIT_SUCCESS;
}
