/* SPDX-License-Identifier: MIT */
/* Leaves, rights, page-crossing transfers, contexts side by side (R5, R11). */
#include "lib_checks.h"

/* Both ends of [iova, iova + size) lead to both ends of the memory at gfn; nothing beyond does. */
static void check_extent(struct lib *l, uint64_t iova, uint64_t gfn, uint64_t size, unsigned lg2)
{
    uint64_t to = pa_of(l, gfn), end = size - LIB_PAGE;

    lib_leaf_is(l, LIB_E0, iova, to, lg2, PVI_RW);
    lib_leaf_is(l, LIB_E0, iova + size - 1, to + size - 1, lg2, PVI_RW);
    lib_lands(l, LIB_E0, iova, to, LIB_RW);
    lib_lands(l, LIB_E0, iova + end + 4032, to + end + 4032, LIB_RW);
    lib_lands(l, LIB_E0, iova + size / 2 + 8, to + size / 2 + 8, LIB_RW);
    lib_blocked(l, LIB_E0, iova + size, to, LIB_RW);
    lib_blocked(l, LIB_E0, iova - LIB_PAGE, to, LIB_RW);
}

void lib_check_leaves(struct lib *l)
{
    uint64_t base = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0), i;
    struct pvi_op op;

    lib_must_map(l, c, base + 0x123000, SMALL(7), 1, PVI_RW);
    check_extent(l, base + 0x123000, SMALL(7), LIB_PAGE, 12);
    lib_must_map(l, c, base + LIB_GIB, MEDIUM(3), 512, PVI_RW);
    check_extent(l, base + LIB_GIB, MEDIUM(3), 2 * LIB_MIB, 21);
    lib_must_map(l, c, base + 4 * LIB_GIB, LIB_GFN_BIG, LIB_NR_BIG, PVI_RW);
    check_extent(l, base + 4 * LIB_GIB, LIB_GFN_BIG, LIB_GIB, 30);
    /* One operation over blocks that do not follow each other in memory. */
    lib_must_map(l, c, base + 6 * LIB_GIB, MEDIUM(8), 4 * 512, PVI_RW);
    for (i = 0; i < 4; i++) {
        uint64_t at = base + 6 * LIB_GIB + i * 2 * LIB_MIB;

        lib_leaf_is(l, LIB_E0, at, pa_of(l, MEDIUM(8 + i)), 21, PVI_RW);
        lib_lands(l, LIB_E0, at + 0x1FF000, pa_of(l, MEDIUM(8 + i)) + 0x1FF000, LIB_RW);
    }
    /*
     * From the second page of a block to the first of the next but one: small, large, small; on
     * AMD-Vi the small ones grow up to 1 MiB on the way.
     */
    lib_must_map(l, c, base + 8 * LIB_GIB + LIB_PAGE, MEDIUM(20) + 1, 1024, PVI_RW);
    for (i = 1; i <= 1024; i += 341) {
        uint64_t at = base + 8 * LIB_GIB + i * LIB_PAGE;
        unsigned lg2 = i >= 512 && i < 1024 ? 21 : i >= 256 && i < 512 && l->cfg.amd ? 20 : 12;

        lib_leaf_is(l, LIB_E0, at, pa_of(l, MEDIUM(20) + i), lg2, PVI_RW);
        lib_lands(l, LIB_E0, at, pa_of(l, MEDIUM(20) + i), LIB_RW);
    }
    /* The highest page of all. */
    op = lib_op(PVI_OP_QUERY_CAPS, 0, 0);
    lib_submit(l, &op, 1);
    base = op.u.caps.max_iova - (LIB_PAGE - 1);
    if (l->cfg.amd && op.u.caps.max_iova == UINT64_MAX)
        base >>= 1; /* no device of the model reaches further up */
    base &= ~(LIB_PAGE - 1);
    lib_must_map(l, c, base, SMALL(9), 1, PVI_RW);
    lib_leaf_is(l, LIB_E0, base, pa_of(l, SMALL(9)), 12, PVI_RW);
    lib_lands(l, LIB_E0, base, pa_of(l, SMALL(9)), LIB_RW);
    lib_clear(l);
}

/* Denied first: a refusal from a cached translation is not recorded. */
static void check_rights(struct lib *l, uint64_t iova, uint64_t to, unsigned rights)
{
    unsigned denied = PVI_RW & ~rights;

    if (denied)
        lib_blocked(l, LIB_E0, iova, to, denied);
    lib_lands(l, LIB_E0, iova, to, rights);
    if (denied)
        lib_blocked_cached(l, LIB_E0, iova, to, denied);
    lib_lands(l, LIB_E0, iova, to, rights);
}

void lib_check_rights(struct lib *l)
{
    static const unsigned rights[] = { PVI_READ, PVI_WRITE, PVI_RW };
    uint64_t base = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0), i;

    for (i = 0; i < 3; i++) {
        uint64_t at = base + i * LIB_GIB;

        /* Neighbours in one table have other rights. */
        lib_must_map(l, c, at, SMALL(3 * i), 1, rights[i]);
        lib_must_map(l, c, at + LIB_PAGE, SMALL(3 * i + 1), 1, rights[(i + 1) % 3]);
        lib_must_map(l, c, at + 2 * LIB_MIB, MEDIUM(i), 512, rights[i]);
        check_rights(l, at, pa_of(l, SMALL(3 * i)), rights[i]);
        check_rights(l, at + LIB_PAGE, pa_of(l, SMALL(3 * i + 1)), rights[(i + 1) % 3]);
        check_rights(l, at + 3 * LIB_MIB, pa_of(l, MEDIUM(i)) + LIB_MIB, rights[i]);
        lib_leaf_is(l, LIB_E0, at, pa_of(l, SMALL(3 * i)), 12, rights[i]);
        lib_leaf_is(l, LIB_E0, at + 2 * LIB_MIB, pa_of(l, MEDIUM(i)), 21, rights[i]);
    }
    /* What the host lets nobody write. */
    lib_check_status(l, lib_map(l, c, base + 4 * LIB_GIB, LIB_GFN_RO, 1, PVI_RW), -PVI_EPERM,
                     "writable mapping of a read-only frame");
    lib_blocked(l, LIB_E0, base + 4 * LIB_GIB, pa_of(l, LIB_GFN_RO), LIB_RW);
    lib_must_map(l, c, base + 4 * LIB_GIB, LIB_GFN_RO, 1, PVI_READ);
    check_rights(l, base + 4 * LIB_GIB, pa_of(l, LIB_GFN_RO), PVI_READ);
    lib_clear(l);
}

void lib_check_crossing(struct lib *l)
{
    uint64_t base = lib_high(l) + 5 * 2 * LIB_MIB;
    unsigned c = lib_context_with(l, LIB_E0);
    uint64_t s0 = pa_of(l, SMALL(20)), s1 = pa_of(l, SMALL(21)), m0 = pa_of(l, MEDIUM(5));
    const struct lib_piece small[] = { { s1 + 0xF00, 256, true }, { s0, 512, true } };
    const struct lib_piece to_large[] = { { s0 + 0xFC0, 64, true }, { m0, 1024, true } };
    const struct lib_piece large[] = { { m0 + 2 * LIB_MIB - 96, 96, true },
                                       { pa_of(l, MEDIUM(6)), 160, true } };
    const struct lib_piece up_to_hole[] = { { s1 + 0xE00, 512, true },
                                            { pa_of(l, SMALL(22)), 256, false } };

    /* Neighbours as the device sees them are anything but in memory. */
    lib_must_map(l, c, base - 2 * LIB_PAGE, SMALL(21), 1, PVI_RW);
    lib_must_map(l, c, base - LIB_PAGE, SMALL(20), 1, PVI_RW);
    lib_must_map(l, c, base, MEDIUM(5), 1024, PVI_RW);
    lib_transfer(l, LIB_E0, base - 2 * LIB_PAGE + 0xF00, small, 2, LIB_RW);
    lib_transfer(l, LIB_E0, base - LIB_PAGE + 0xFC0, to_large, 2, LIB_RW);
    lib_transfer(l, LIB_E0, base + 2 * LIB_MIB - 96, large, 2, LIB_RW);
    lib_no_fault(l);
    /* The part before a hole moves, the part in it does not. */
    lib_must_map(l, c, base + LIB_GIB, SMALL(21), 1, PVI_RW);
    lib_transfer(l, LIB_E0, base + LIB_GIB + 0xE00, up_to_hole, 2, LIB_W);
    lib_fault_is(l, LIB_FAULT_WRITE, LIB_E0, base + LIB_GIB + LIB_PAGE);
    lib_drop_faults(l);
    lib_transfer(l, LIB_E0, base + LIB_GIB + 0xE00, up_to_hole, 2, LIB_R);
    lib_fault_is(l, LIB_FAULT_READ, LIB_E0, base + LIB_GIB + LIB_PAGE);
    lib_clear(l);
}

void lib_check_same_dfn(struct lib *l)
{
    uint64_t at = lib_high(l), to_a = pa_of(l, SMALL(30)), to_b = pa_of(l, SMALL(31));
    unsigned a = lib_context_with(l, LIB_E0), b = lib_context_with(l, LIB_E1);

    lib_must_map(l, a, at, SMALL(30), 1, PVI_RW);
    lib_must_map(l, b, at, SMALL(31), 1, PVI_RW);
    lib_must_map(l, a, at + LIB_GIB, MEDIUM(1), 512, PVI_RW);
    lib_must_map(l, b, at + LIB_GIB, MEDIUM(2), 512, PVI_READ);
    lib_must_map(l, b, at + LIB_PAGE, SMALL(32), 1, PVI_RW);
    lib_lands(l, LIB_E0, at, to_a, LIB_RW);
    lib_lands(l, LIB_E1, at, to_b, LIB_RW);
    lib_lands(l, LIB_E0, at, to_a, LIB_RW);
    lib_lands(l, LIB_E1, at + LIB_PAGE, pa_of(l, SMALL(32)), LIB_RW);
    lib_blocked(l, LIB_E0, at + LIB_PAGE, pa_of(l, SMALL(32)), LIB_RW);
    lib_lands(l, LIB_E0, at + LIB_GIB + 0x8000, pa_of(l, MEDIUM(1)) + 0x8000, LIB_RW);
    lib_blocked(l, LIB_E1, at + LIB_GIB + 0x8000, pa_of(l, MEDIUM(2)) + 0x8000, LIB_W);
    lib_lands(l, LIB_E1, at + LIB_GIB + 0x8000, pa_of(l, MEDIUM(2)) + 0x8000, LIB_R);
    /* An unmap in one context leaves the other alone. */
    lib_must_unmap(l, a, at, 1);
    lib_blocked(l, LIB_E0, at, to_a, LIB_RW);
    lib_lands(l, LIB_E1, at, to_b, LIB_RW);
    /* Two devices in one context see the same. */
    lib_must_reattach(l, b, LIB_E0);
    lib_lands(l, LIB_E0, at, to_b, LIB_RW);
    lib_lands(l, LIB_E1, at, to_b, LIB_RW);
    lib_must_unmap(l, b, at, 1);
    lib_blocked(l, LIB_E0, at, to_b, LIB_RW);
    lib_blocked(l, LIB_E1, at, to_b, LIB_RW);
    lib_clear(l);
}
