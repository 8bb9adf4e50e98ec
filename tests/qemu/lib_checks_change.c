/* SPDX-License-Identifier: MIT */
/* Changes hold as soon as the batch returns, with every translation cached before (R4, R5, R6). */
#include "lib_checks.h"

void lib_check_at_once(struct lib *l)
{
    uint64_t at = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0), i;
    struct pvi_op ops[4];

    for (i = 0; i < 16; i++) {
        lib_must_map(l, c, at, SMALL(100 + i), 1, PVI_RW);
        lib_lands(l, LIB_E0, at, pa_of(l, SMALL(100 + i)), LIB_RW);
        lib_must_unmap(l, c, at, 1);
        lib_blocked(l, LIB_E0, at, pa_of(l, SMALL(100 + i)), LIB_RW);
    }
    /* Many neighbours with one operation, from an odd page to an odd page. */
    lib_must_map(l, c, at + 33 * LIB_PAGE, SMALL(160), 30, PVI_RW);
    for (i = 0; i < 30; i++)
        lib_lands(l, LIB_E0, at + (33 + i) * LIB_PAGE, pa_of(l, SMALL(160 + i)), LIB_W);
    lib_must_unmap(l, c, at + 33 * LIB_PAGE, 30);
    for (i = 0; i < 30; i++)
        lib_blocked(l, LIB_E0, at + (33 + i) * LIB_PAGE, pa_of(l, SMALL(160 + i)), LIB_W);
    /* Replaced within one batch: the device never sees the hole, and never the old frame again. */
    lib_must_map(l, c, at, SMALL(120), 1, PVI_RW);
    lib_must_map(l, c, at + LIB_GIB, MEDIUM(12), 512, PVI_RW);
    for (i = 0; i < 8; i++) {
        lib_lands(l, LIB_E0, at, pa_of(l, SMALL(120 + i)), LIB_RW);
        lib_lands(l, LIB_E0, at + LIB_GIB, pa_of(l, MEDIUM(12 + i)), LIB_RW);
        ops[0] = lib_op_unmap(c, at, 1);
        ops[1] = lib_op_map(c, at, SMALL(121 + i), 1, PVI_RW);
        ops[2] = lib_op_unmap(c, at + LIB_GIB, 512);
        ops[3] = lib_op_map(c, at + LIB_GIB, MEDIUM(13 + i), 512, PVI_RW);
        lib_submit(l, ops, 4);
        lib_check(l, !ops[0].status && !ops[1].status && !ops[2].status && !ops[3].status,
                  "replacing in one batch");
        lib_blocked(l, LIB_E0, at + LIB_PAGE, pa_of(l, SMALL(120 + i)), LIB_RW);
    }
    /* Rights taken away by replacing the mapping. */
    ops[0] = lib_op_unmap(c, at, 1);
    ops[1] = lib_op_map(c, at, SMALL(128), 1, PVI_READ);
    lib_submit(l, ops, 2);
    lib_check(l, !ops[0].status && !ops[1].status, "replacing by a read-only mapping");
    lib_blocked(l, LIB_E0, at, pa_of(l, SMALL(128)), LIB_W);
    lib_lands(l, LIB_E0, at, pa_of(l, SMALL(128)), LIB_R);
    lib_clear(l);
}

/* Touches pages so that the unit caches their translations. */
static void warm(struct lib *l, uint64_t iova, uint64_t to, const uint64_t *pages, unsigned nr)
{
    unsigned i;

    for (i = 0; i < nr; i++)
        lib_lands(l, LIB_E0, iova + pages[i] * LIB_PAGE, to + pages[i] * LIB_PAGE, LIB_RW);
}

void lib_check_split(struct lib *l)
{
    static const uint64_t near_2m[] = { 0, 99, 101, 511 };
    static const uint64_t near_1g[] = { 0, 0x12344, 0x12346, 0x12344 & ~511, 0x12600, 0x3FFFF };
    uint64_t at = lib_high(l), large = at + 2 * LIB_GIB, m = pa_of(l, MEDIUM(30));
    uint64_t big = pa_of(l, LIB_GFN_BIG), hole = 100 * LIB_PAGE, deep = 0x12345 * LIB_PAGE;
    unsigned c = lib_context_with(l, LIB_E0);

    lib_must_map(l, c, at, MEDIUM(30), 512, PVI_RW);
    warm(l, at, m, near_2m, 4);
    lib_lands(l, LIB_E0, at + hole, m + hole, LIB_RW);
    lib_must_unmap(l, c, at + hole, 1);
    lib_blocked(l, LIB_E0, at + hole, m + hole, LIB_RW);
    warm(l, at, m, near_2m, 4);
    lib_leaf_is(l, LIB_E0, at + hole + LIB_PAGE, m + hole + LIB_PAGE, 12, PVI_RW);
    lib_must_map(l, c, at + hole, SMALL(130), 1, PVI_READ);
    lib_blocked(l, LIB_E0, at + hole, pa_of(l, SMALL(130)), LIB_W);
    lib_lands(l, LIB_E0, at + hole, pa_of(l, SMALL(130)), LIB_R);
    lib_must_unmap(l, c, at, 512);
    lib_blocked(l, LIB_E0, at, m, LIB_RW);
    lib_blocked(l, LIB_E0, at + 511 * LIB_PAGE, m + 511 * LIB_PAGE, LIB_RW);

    lib_must_map(l, c, large, LIB_GFN_BIG, LIB_NR_BIG, PVI_RW);
    warm(l, large, big, near_1g, 6);
    lib_lands(l, LIB_E0, large + deep, big + deep, LIB_RW);
    lib_must_unmap(l, c, large + deep, 1);
    lib_blocked(l, LIB_E0, large + deep, big + deep, LIB_RW);
    warm(l, large, big, near_1g, 6);
    /* The largest that fit on both sides of the hole. */
    lib_leaf_is(l, LIB_E0, large, big, l->cfg.amd ? 28 : 21, PVI_RW);
    lib_leaf_is(l, LIB_E0, large + deep + LIB_PAGE, big + deep + LIB_PAGE, l->cfg.amd ? 13 : 12,
                PVI_RW);
    /* One of the 2 MiB that the first split has made, whole; then across the two kinds of edges. */
    lib_must_unmap(l, c, large + 2 * LIB_MIB, 512);
    lib_blocked(l, LIB_E0, large + 2 * LIB_MIB, big + 2 * LIB_MIB, LIB_RW);
    lib_lands(l, LIB_E0, large + 4 * LIB_MIB, big + 4 * LIB_MIB, LIB_RW);
    lib_must_unmap(l, c, large + 5 * LIB_MIB, 1024);
    lib_lands(l, LIB_E0, large + 5 * LIB_MIB - LIB_PAGE, big + 5 * LIB_MIB - LIB_PAGE, LIB_RW);
    lib_blocked(l, LIB_E0, large + 5 * LIB_MIB, big + 5 * LIB_MIB, LIB_RW);
    lib_blocked(l, LIB_E0, large + 9 * LIB_MIB - LIB_PAGE, big + 9 * LIB_MIB - LIB_PAGE, LIB_RW);
    lib_lands(l, LIB_E0, large + 9 * LIB_MIB, big + 9 * LIB_MIB, LIB_RW);
    lib_clear(l);
}

/* Tables that hold nothing any more, or parts of one, give way to a large leaf. */
void lib_check_displace(struct lib *l)
{
    uint64_t at = lib_high(l), large = at + 4 * LIB_GIB, m = pa_of(l, MEDIUM(40)), i;
    uint64_t big = pa_of(l, LIB_GFN_BIG);
    unsigned c = lib_context_with(l, LIB_E0);

    for (i = 0; i < 4; i++)
        lib_must_map(l, c, at + i * 128 * LIB_PAGE, SMALL(140 + i), 1, PVI_RW);
    for (i = 0; i < 4; i++)
        lib_lands(l, LIB_E0, at + i * 128 * LIB_PAGE, pa_of(l, SMALL(140 + i)), LIB_RW);
    /* While one page is left the large mapping is refused, and nothing of it stays. */
    for (i = 1; i < 4; i++)
        lib_must_unmap(l, c, at + i * 128 * LIB_PAGE, 1);
    lib_check_status(l, lib_map(l, c, at, MEDIUM(40), 512, PVI_RW), -PVI_EEXIST,
                     "large mapping over a small one");
    lib_lands(l, LIB_E0, at, pa_of(l, SMALL(140)), LIB_RW);
    lib_must_unmap(l, c, at, 1);
    lib_must_map(l, c, at, MEDIUM(40), 512, PVI_RW);
    lib_leaf_is(l, LIB_E0, at, m, 21, PVI_RW);
    for (i = 0; i < 4; i++)
        lib_lands(l, LIB_E0, at + i * 128 * LIB_PAGE, m + i * 128 * LIB_PAGE, LIB_RW);

    /* A gigabyte over an empty tree of two levels. */
    lib_must_map(l, c, large, SMALL(150), 1, PVI_RW);
    lib_must_map(l, c, large + 600 * LIB_MIB, SMALL(151), 1, PVI_RW);
    lib_lands(l, LIB_E0, large, pa_of(l, SMALL(150)), LIB_RW);
    lib_lands(l, LIB_E0, large + 600 * LIB_MIB, pa_of(l, SMALL(151)), LIB_RW);
    lib_must_unmap(l, c, large, 1);
    lib_must_unmap(l, c, large + 600 * LIB_MIB, 1);
    lib_must_map(l, c, large, LIB_GFN_BIG, LIB_NR_BIG, PVI_RW);
    lib_leaf_is(l, LIB_E0, large, big, 30, PVI_RW);
    lib_lands(l, LIB_E0, large, big, LIB_RW);
    lib_lands(l, LIB_E0, large + 600 * LIB_MIB, big + 600 * LIB_MIB, LIB_RW);
    lib_must_unmap(l, c, large, LIB_NR_BIG);
    lib_blocked(l, LIB_E0, large, big, LIB_RW);
    lib_blocked(l, LIB_E0, large + 600 * LIB_MIB, big + 600 * LIB_MIB, LIB_RW);
    lib_clear(l);
}
