/* SPDX-License-Identifier: MIT */
/*
 * Device table entries and GCR3 tables made from tables of the engine: worked values of hwspec 11,
 * features, and refusals one by one.
 */
#include <string.h>

#include "entry_rig.h"

#define DID 0x42u
#define ALL 0x7FFFFFFFFFFFF000ull

/* Fields of EFR by position (hwspec 6.4). */
#define EFR_GT      (1ull << 4)
#define EFR_HATS(n) ((uint64_t)(n) << 10)
#define EFR_GATS(n) ((uint64_t)(n) << 12)
#define EFR_GLX(n)  ((uint64_t)(n) << 14)
#define EFR_PAS(n)  ((uint64_t)(n) << 32)
#define EFR_GIO     (1ull << 48)
#define EFR_HA      (1ull << 49)
#define EFR_HD      (1ull << 52)
#define EFR2_TRP    (1ull << 3)
#define EFR_ALL                                                                                    \
    (EFR_GT | EFR_HATS(2) | EFR_GATS(1) | EFR_GLX(2) | EFR_PAS(19) | EFR_GIO | EFR_HA | EFR_HD)

static struct pvi_amdvi_features features(uint64_t efr)
{
    struct pvi_amdvi_features f;

    memset(&f, 0, sizeof(f));
    pvi_amdvi_features(efr, EFR2_TRP, 0, &f);
    return f;
}

/* Numbers */

static void features_by_field(void **state)
{
    struct pvi_amdvi_features f = features(EFR_ALL);

    (void)state;
    check_case("features");
    CHECK(f.guest && f.giov && f.nested && f.accessed && f.dirty);
    CHECK_EQ(f.host_levels, 0x7e);
    CHECK_EQ(f.guest_levels, 3u << 4);
    CHECK_EQ(f.gcr3_levels, 3);
    CHECK_EQ(f.pasid_bits, 20);
    CHECK_EQ(f.pa_bits, 52);
    CHECK(!features(EFR_ALL & ~EFR_GIO).giov && features(EFR_ALL & ~EFR_GIO).guest);
    CHECK(!features(EFR_ALL & ~EFR_HA).accessed && features(EFR_ALL & ~EFR_HA).dirty);
    CHECK(!features(EFR_ALL & ~EFR_HD).dirty && features(EFR_ALL & ~EFR_HD).accessed);
    CHECK_EQ(features(EFR_ALL & ~EFR_HATS(3)).host_levels, 0x1e);
    CHECK_EQ(features((EFR_ALL & ~EFR_HATS(3)) | EFR_HATS(1)).host_levels, 0x3e);
    CHECK_EQ(features(EFR_ALL | EFR_HATS(3)).host_levels, 0);
    CHECK_EQ(features(EFR_ALL & ~EFR_GATS(1)).guest_levels, 1u << 4);
    CHECK_EQ(features(EFR_ALL | EFR_GATS(2)).guest_levels,
             1u << 4); /* reserved: no more than the least */
    for (unsigned n = 0; n < 4; n++) {
        CHECK_EQ(features((EFR_ALL & ~EFR_GLX(3)) | EFR_GLX(n)).gcr3_levels, n < 3 ? n + 1 : 1);
    }
    for (unsigned n = 0; n < 32; n++) {
        CHECK_EQ(features((EFR_ALL & ~EFR_PAS(31)) | EFR_PAS(n)).pasid_bits, n < 20 ? n + 1 : 20);
    }
    f = features(EFR_ALL & ~EFR_GT); /* what else the register says of v2 is void */
    CHECK(!f.guest && !f.giov && f.guest_levels == 0 && f.gcr3_levels == 0 && f.pasid_bits == 0);
    CHECK_EQ(f.host_levels, 0x7e);
    CHECK(!f.nested && !features(EFR_ALL & ~EFR_GIO).nested);
    CHECK(!features(EFR_ALL | EFR_HATS(3)).nested); /* no v1 tables */
    pvi_amdvi_features(EFR_ALL, ~EFR2_TRP, 46, &f); /* the root would be an address of the host's */
    CHECK(f.guest && f.giov && !f.nested);
    CHECK_EQ(f.pa_bits, 46);
}

static void check_dte(const struct pvi_amdvi_dte *d, uint64_t w0, uint64_t w1, uint64_t w2)
{
    uint64_t w[4];

    pvi_amdvi_dte_encode(d, w);
    CHECK_EQ(w[0], w0);
    CHECK_EQ(w[1], w1);
    CHECK_EQ(w[2], w2);
    CHECK_EQ(w[3], 0);
}

static void entries_worked(void **state)
{
    struct pvi_amdvi_features f = features(EFR_ALL);
    struct pvi_amdvi_gcr3 g = {.root = {0x2ABCD3F5000}, .depth = 2, .levels = 4, .pa_bits = 52};
    struct pvi_amdvi_dte d;
    struct entry_fake t;

    (void)state;
    check_case("worked");
    memset(&d, 0xa5, sizeof(d));
    entry_fake(&t, &pvi_amdvi_v1_ops, 4, 0x123456000);
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), 0);
    check_dte(&d, 0x6000000123456803, 0x42, 0);
    t.pt.cfg.dirty = true;
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), 0);
    check_dte(&d, 0x6000000123456983, 0x42, 0);
    CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), 0);
    check_dte(&d, 0x75C0000000000003, 0x002AB8009A7E0042, 0);
    g.levels = 5;
    CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), 0);
    check_dte(&d, 0x75C0000000000003, 0x002AB8009A7E0042, 0x0040000000000000);
    for (unsigned depth = 1; depth <= 3; depth++) {
        g.depth = (uint8_t)depth;
        CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), 0);
        CHECK_EQ(d.glx, depth - 1);
    }
}

/* A guest's own GCR3 table before a v1 table: the fields of both in one entry. */
static void nested_worked(void **state)
{
    struct pvi_amdvi_features f = features(EFR_ALL);
    struct pvi_dev_entry to = {.translate = true, .levels = 4, .did = DID, .root = {0x123456000}};
    struct pvi_amdvi_dte d;

    (void)state;
    check_case("nested");
    to.guest.root = 0x2ABCD3F5000;
    to.guest.levels = 4;
    to.guest.depth = 2;
    memset(&d, 0xa5, sizeof(d));
    CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), 0);
    check_dte(&d, 0x75C0000123456803, 0x002AB8009A7E0042, 0);
    to.guest.levels = 5;
    CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), 0);
    check_dte(&d, 0x75C0000123456803, 0x002AB8009A7E0042, 0x0040000000000000);
    for (unsigned depth = 0; depth < 256; depth++) {
        to.guest.depth = (uint8_t)depth;
        CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), depth >= 1 && depth <= 3 ? 0 : -PVI_EOPNOTSUPP);
        CHECK(depth < 1 || depth > 3 || d.glx == depth - 1);
    }
    to.guest.depth = 1;
    for (unsigned levels = 0; levels < 256; levels++) {
        to.guest.levels = (uint8_t)levels;
        CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), levels == 4 || levels == 5 ? 0 : -PVI_EOPNOTSUPP);
    }
    to.guest.levels = 4;
    for (unsigned levels = 0; levels < 256; levels++) {
        to.levels = (uint8_t)levels;
        CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), levels >= 1 && levels <= 6 ? 0 : -PVI_EOPNOTSUPP);
    }
    to.levels = 4;
    for (unsigned bit = 0; bit < 64; bit++) { /* no address of the host's: its width does not matter */
        f.pa_bits = 40;
        to.guest.root = 1ull << bit;
        CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), bit >= 12 && bit < 52 ? 0 : -PVI_EOPNOTSUPP);
        to.guest.root = 0x5000;
        to.root.a = 1ull << bit;
        CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), bit >= 12 && bit < 40 ? 0 : -PVI_EOPNOTSUPP);
        to.root.a = 0x123456000;
    }
    to.guest.flags = PVI_GUEST_SUPERVISOR;
    CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), -PVI_EOPNOTSUPP);
    to.guest.flags = 0;
    to.pasid = 1;
    CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), -PVI_EOPNOTSUPP);
    to.pasid = 0;
    to.did = 0;
    CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), -PVI_EINVAL);
    to.did = DID;
    CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), 0);
    f.nested = false;
    CHECK_EQ(pvi_amdvi_dte_nested(&f, &to, &d), -PVI_EOPNOTSUPP);
}

static void check_cmd(struct pvi_amdvi_cmd c, uint64_t w0, uint64_t w1)
{
    CHECK_EQ(c.w[0], w0);
    CHECK_EQ(c.w[1], w1);
}

static void commands_worked(void **state)
{
    (void)state;
    check_case("commands");
    check_cmd(pvi_amdvi_cmd_guest_pages(DID, 5, 0x200000, 12, false), 0x3000004200000005,
              0x0000000000200006);
    check_cmd(pvi_amdvi_cmd_guest_pages(DID, 0xfffff, 0x200000, 12, true), 0x30000042000fffff,
              0x0000000000200004);
    check_cmd(pvi_amdvi_cmd_guest_pages(DID, 5, 0x200000, 21, true), 0x3000004200000005,
              0x00000000002FF005);
    check_cmd(pvi_amdvi_cmd_guest_pages(DID, 5, 0x4000, 13, true), 0x3000004200000005, 0x4005);
    check_cmd(pvi_amdvi_cmd_guest_pages(DID, 5, 0, 52, true), 0x3000004200000005, ALL | 7);
    check_cmd(pvi_amdvi_cmd_guest_pages(DID, 5, 1ull << 51, 12, true), 0x3000004200000005, ALL | 7);
    check_cmd(pvi_amdvi_cmd_guest_all(DID, 5), 0x3000004200000005, ALL | 7);
    check_cmd(pvi_amdvi_cmd_pages(DID, 0x200000, 12, true), 0x3000004200000000, 0x0000000000200000);
}

/*
 * For every mask of depths and every depth: an entry is made if the unit has it, and says that
 * depth.
 */
static void levels_are_the_tables(void **state)
{
    struct entry_fake t;
    struct pvi_amdvi_dte d;

    (void)state;
    for (unsigned mask = 0; mask < 256; mask++) {
        for (unsigned levels = 0; levels < 256; levels++) {
            struct pvi_amdvi_features f = features(EFR_ALL);
            struct pvi_amdvi_gcr3 g = {
                .root = {0x1000}, .depth = 1, .levels = (uint8_t)levels, .pa_bits = 52};
            bool has = levels < 8 && (mask >> levels & 1) != 0;

            check_case("levels %u of mask 0x%x", levels, mask);
            f.host_levels = (uint8_t)(mask & 0x7e);
            f.guest_levels = (uint8_t)(mask & 0x30);
            entry_fake(&t, &pvi_amdvi_v1_ops, levels, 0x123456000);
            CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d),
                     has && levels >= 1 && levels <= 6 ? 0 : -PVI_EOPNOTSUPP);
            if (has && levels >= 1 && levels <= 6) {
                CHECK_EQ(d.mode, levels);
            }
            has = has && (levels == 4 || levels == 5);
            CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), has ? 0 : -PVI_EOPNOTSUPP);
            if (has) {
                CHECK_EQ(d.guest_mode + 4, levels);
            }
        }
    }
}

static void tables_refused(void **state)
{
    const struct pvi_amdvi_features all = features(EFR_ALL);
    const struct pvi_amdvi_gcr3 good = {.root = {0x1000}, .depth = 2, .levels = 4, .pa_bits = 52};
    struct pvi_amdvi_features f = all;
    struct pvi_amdvi_gcr3 g = good;
    struct pvi_amdvi_dte d;
    struct entry_fake t;

    (void)state;
    check_case("v1 table");
    entry_fake(&t, &pvi_amdvi_v1_ops, 4, 0x123456000);
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, 0, &d), -PVI_EINVAL);
    t.pt.cfg.ops = &pvi_amdvi_v2_ops;
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), -PVI_EOPNOTSUPP);
    t.pt.cfg.ops = &pvi_vtd_ss_ops;
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), -PVI_EOPNOTSUPP);
    t.pt.cfg.ops = &pvi_amdvi_v1_ops;
    t.pt.cfg.dirty = true;
    f.dirty = false;
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), -PVI_EOPNOTSUPP);
    t.pt.cfg.dirty = false;
    f.pa_bits = 45; /* the table may hold frames of 46 bits */
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), -PVI_EOPNOTSUPP);
    f.pa_bits = 46;
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), 0);
    t.root.pa.a = 1ull << 46;
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), -PVI_EOPNOTSUPP);
    t.root.pa.a = 0x123456800;
    CHECK_EQ(pvi_amdvi_dte_host(&f, &t.pt, DID, &d), -PVI_EOPNOTSUPP);

    check_case("GCR3 table");
    CHECK_EQ(pvi_amdvi_dte_guest(&all, &g, 0, &d), -PVI_EINVAL);
    f = all;
    f.guest = false;
    CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), -PVI_EOPNOTSUPP);
    f = all;
    f.giov = false; /* requests without PASID would pass */
    CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), -PVI_EOPNOTSUPP);
    f = all;
    f.gcr3_levels = 1;
    CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), -PVI_EOPNOTSUPP);
    f = all;
    f.pa_bits = 46;
    g.root.a = 1ull << 46;
    CHECK_EQ(pvi_amdvi_dte_guest(&f, &g, DID, &d), -PVI_EOPNOTSUPP);
    g = good;
    g.depth = 0;
    CHECK_EQ(pvi_amdvi_dte_guest(&all, &g, DID, &d), -PVI_EOPNOTSUPP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_by_field), cmocka_unit_test(entries_worked), cmocka_unit_test(nested_worked),
        cmocka_unit_test(commands_worked),   cmocka_unit_test(levels_are_the_tables),
        cmocka_unit_test(tables_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
