/* SPDX-License-Identifier: MIT */
/*
 * The recorder on leaves that are repeated in several entries (AMD-Vi, hwspec 6.9), and on the processor's tables (hwspec
 * 3.2, 6.10): what breaks a rule is seen, what does not is let pass.
 */
#include "record_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SLOT 16u              /* first entry of the group, in the leaf table */
#define IOVA (SLOT << 12)
#define FRAME (RR_FRAME + 0x10000)

/* A leaf of 2^lg2 bytes onto pa, as one of its entries. */
static uint64_t piece(uint64_t pa, unsigned lg2)
{
    uint64_t entry = pa | 0x7000000000000001ull;

    return lg2 == 12 ? entry : entry | 7ull << 9 | (((1ull << (lg2 - 1)) - 1) & ~0xfffull);
}

static void store_group(struct rr *r, uint64_t pa, unsigned lg2)
{
    for (unsigned i = 0; i < 1u << (lg2 - 12); i++) {
        rr_store(r, r->leaf, SLOT + i, piece(pa, lg2));
    }
}

static void right_life(struct rr *r)
{
    store_group(r, FRAME, 16);
    rr_flush_pages(r, IOVA, 16, false);
    /* Slot by slot into halves and pages, each translating right; the old leaf is flushed whole. */
    for (unsigned i = 0; i < 8; i++) {
        rr_store(r, r->leaf, SLOT + i, piece(FRAME, 15));
    }
    for (unsigned i = 8; i < 16; i++) {
        rr_store(r, r->leaf, SLOT + i, piece(FRAME + i * 0x1000, 12));
    }
    rr_flush_pages(r, IOVA, 16, false);
    store_group(r, FRAME, 16);
    rr_flush_pages(r, IOVA, 16, false);
    for (unsigned i = 0; i < 16; i++) {
        rr_store(r, r->leaf, SLOT + i, 0);
    }
    rr_flush_pages(r, IOVA, 16, false);
    pvi_posix_checkpoint(r->h);
}

static void half_made(struct rr *r)
{
    for (unsigned i = 0; i < 15; i++) {
        rr_store(r, r->leaf, SLOT + i, piece(FRAME, 16));
    }
    rr_flush_pages(r, IOVA, 16, false);
}

static void half_cleared(struct rr *r)
{
    store_group(r, FRAME, 16);
    rr_flush_pages(r, IOVA, 16, false);
    rr_store(r, r->leaf, SLOT + 3, 0);
    rr_flush_pages(r, IOVA, 16, false);
}

/* One slot of an old leaf changes: any slot of it may be cached whole. */
static void flushed_in_part(struct rr *r)
{
    store_group(r, FRAME, 16);
    rr_flush_pages(r, IOVA, 16, false);
    for (unsigned i = 0; i < 16; i++) {
        rr_store(r, r->leaf, SLOT + i, piece(FRAME + i * 0x1000, 12));
    }
    rr_flush_pages(r, IOVA, 15, false);
    pvi_posix_checkpoint(r->h);
}

static void size_of_the_next_level(struct rr *r)
{
    rr_store(r, r->leaf, SLOT, piece(RR_FRAME, 21));
    rr_flush_pages(r, 0, 21, false);
}

static void accessed_in_one_slot(struct rr *r)
{
    store_group(r, FRAME, 16);
    rr_flush_pages(r, IOVA, 16, false);
    rr_store(r, r->leaf, SLOT + 2, piece(FRAME, 16) | 0x60);
    pvi_posix_checkpoint(r->h);
}

static const struct rr_case cases[] = {
    {"a repeated leaf that lives rightly", right_life, PVI_RULE_NONE, RR_AMD, 0},
    {"A and D in one entry only", accessed_in_one_slot, PVI_RULE_NONE, RR_AMD, 0},
    {"one entry missing", half_made, PVI_RULE_R3, RR_AMD, 0},
    {"one entry cleared", half_cleared, PVI_RULE_R3, RR_AMD, 0},
    {"flushed in part", flushed_in_part, PVI_RULE_R5, RR_AMD, 0},
    {"as large as an entry of the next level", size_of_the_next_level, PVI_RULE_R3, RR_AMD, 0},
};

static void repeated_leaves(void **state)
{
    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    assert_int_equal(rr_run(cases, sizeof(cases) / sizeof(cases[0])), 0);
}

/* Entries of a table of one level, tracked by its root: is each let pass, or seen as R3? */
static void x86_entries(void **state)
{
    static const struct pvi_pt_ops formats[] = {{.name = "vtd-fs"}, {.name = "amdvi-v2"}};
    static const struct {
        uint64_t value;
        bool right;
    } entries[] = {
        {0x200000027, true},  {0x200000067, true},  {0x200000025, true}, /* RW, RW and D, read only */
        {0x200000023, false},                                           /* a user may not */
        {0x200000007, false},                                           /* A is left to hardware */
        {0x8000000200000027, false},                                    /* execution is forbidden */
        {0x0030000200000027, true},                                     /* the library's own bits */
    };

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    for (unsigned f = 0; f < 2; f++) {
        for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
            struct rr r;
            pvi_pa root;

            rr_init(&r, 0);
            root = rr_new_page(&r);
            pvi_posix_track_root(r.h, &formats[f], 1, root, true);
            rr_store(&r, root, 5, entries[i].value);
            assert_int_equal(pvi_posix_violations(r.h, PVI_RULE_R3, NULL), !entries[i].right);
            rr_store(&r, root, 300, 0x200000027); /* an address with the sign set */
            assert_int_equal(pvi_posix_violations(r.h, PVI_RULE_R3, NULL), 1 + !entries[i].right);
            rr_fini(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeated_leaves),
        cmocka_unit_test(x86_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
