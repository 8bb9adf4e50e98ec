/* SPDX-License-Identifier: MIT */
/* Where numbers end: frames beyond what a unit can name, identities that reach over the table's or the unit's last address. */
#include "fixture.h"

#define PAGE (1ull << 12)

static struct fx fx;

static void submit_raw(int status)
{
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, status);
}

/* Frames beyond what the unit can name: refused, and given back. */
static void frames_beyond_the_unit(void **state)
{
    const struct pvi_posix_range high = {
        .gfn = 0x700000, .nr = 16, .pa = (1ull << 46) - 8 * PAGE, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};

    (void)state;
    check_case("frames beyond 2^46");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_VTD});
    CHECK_EQ(fx.dom.table.pa_bits, 46);
    CHECK_EQ(pvi_posix_hdom_range(fx.hdom, &high), 0);
    CHECK_EQ(fx_context(&fx, 0), 1);
    for (unsigned k = 0; k < 3; k++) {
        check_step("%u", k);
        fx_begin(&fx);
        fx_map(&fx, 1, 0x40000, k == 0 ? 0x700008 : k == 1 ? 0x700007 : 0x70000f, k == 1 ? 2 : 1, PVI_RW);
        submit_raw(-PVI_ERANGE);
        CHECK_EQ(fx.op[0].done, k == 1); /* what lies before the border */
        if (k == 1) {
            fx_begin(&fx);
            fx_unmap(&fx, 1, 0x40000, 1);
            submit_raw(0);
        }
        CHECK(pvi_posix_hdom_balanced(fx.hdom));
    }
    fx_begin(&fx);
    fx_map(&fx, 1, 0x40000, 0x700000, 8, PVI_RW); /* up to the last one */
    fx_unmap(&fx, 1, 0x40000, 8);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK(fx.op[0].status == 0 && fx.op[1].status == 0);
    fx_down(&fx);
}

static uint8_t pa_bits; /* of the unit; 0: as it comes */
static bool lent;       /* the host need not pin what identities map */

/* A guest that may have more frames 1:1, and context 1 as its identity. */
static void identity_up(enum fx_kind kind, uint64_t gfn, uint64_t nr, uint8_t prot, uint8_t bits)
{
    const struct pvi_posix_range far = {.gfn = gfn, .nr = nr, .pa = gfn * PAGE, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};

    fx_machine(&fx, &(struct fx_cfg){.kind = kind, .devices = 1});
    if (pa_bits != 0) {
        fx.sys.unit[0]->caps.pa_bits = pa_bits;
    }
    pvi_posix_hdom_no_ref(fx.hdom, lent);
    CHECK_EQ(pvi_posix_hdom_range(fx.hdom, &far), 0);
    CHECK_EQ(pvi_posix_hdom_identity(fx.hdom, gfn, nr, prot), 0);
    fx_domain(&fx, &(struct pvi_domain_cfg){
                       .hdom = fx.hdom, .system = &fx.sys, .max_contexts = 2, .max_pages = 500, .iova_bits = bits});
    fx_begin(&fx);
    fx_op(&fx, PVI_OP_INIT, 0)->u.init.nr_contexts = 1;
    fx.op[0].u.init.nr_pages = 500;
    fx_alloc(&fx, PVI_ALLOC_IDENTITY);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[1].status, 0);
}

static void looked_up(uint64_t dfn, int status)
{
    check_step("0x%llx", (unsigned long long)dfn);
    fx_begin(&fx);
    fx_lookup(&fx, 1, dfn);
    submit_raw(status);
    CHECK(status != 0 || fx.op[0].u.lookup.gfn.f == dfn);
}

/*
 * An identity that lies across 512 GiB: asked of the host in two pieces, all of it mapped; and where the table ends in it, or
 * below it, as much of it as the table reaches.
 */
static void identity_across_borders(void **state)
{
    static const uint8_t bits[4] = {38, 39, 40, 38}, border[4] = {39, 39, 39, 38};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t at = 1ull << (border[i] - 12);

        check_case("identity across 2^%u, %u bits", border[i], bits[i]);
        identity_up(FX_NULL, at - 600, 1200, PVI_RW, bits[i]);
        for (unsigned k = 0; k < 6; k++) {
            const uint64_t dfn[6] = {at - 601, at - 600, at - 1, at, at + 599, at + 600};

            looked_up(dfn[k], dfn[k] >> (bits[i] - 12) != 0 ? -PVI_ERANGE : k == 0 || k == 5 ? -PVI_ENOENT : 0);
        }
        fx_end(&fx, false);
    }
}

/* Frames of an identity that the unit cannot name are left out; the rest of it is there. */
static void identity_beyond_the_unit(void **state)
{
    const uint64_t at = 1ull << 34;

    (void)state;
    check_case("identity beyond 2^46");
    identity_up(FX_VTD, at, 16, PVI_RW, 48);
    CHECK_EQ(fx.dom.table.pa_bits, 46);
    looked_up(at - 1, -PVI_ENOENT);
    looked_up(at, -PVI_ENOENT);
    looked_up(0x10, 0);
    looked_up(0x1c0f, 0);
    CHECK(fx.dom.slot[0]->state == PVI_CTX_LIVE);
    fx_end(&fx, false);
}

/* A run that lies across the last address of the unit is there up to it, wherever that is. */
static void identity_across_the_last_address(void **state)
{
    const uint64_t at = 1ull << 26;

    (void)state;
    check_case("identity across 2^38");
    pa_bits = 38;
    identity_up(FX_NULL, at - 8, 16, PVI_RW, 48);
    pa_bits = 0;
    CHECK_EQ(fx.dom.table.pa_bits, 38);
    looked_up(at - 9, -PVI_ENOENT);
    looked_up(at - 8, 0);
    looked_up(at - 1, 0);
    looked_up(at, -PVI_ENOENT);
    fx_end(&fx, false);
}

/* A region that lies in an identity which may only be read: another mapping is in the way. */
static void region_with_more_rights(void **state)
{
    const uint64_t at = 1ull << 27;

    (void)state;
    for (unsigned k = 0; k < 3; k++) { /* needs to write; needs to read; reaches beyond */
        check_case("region in an identity, %u", k);
        identity_up(FX_NULL, at, 16, PVI_READ, 48);
        fx_device(&fx, 1, 0)->nr_regions = 1;
        fx.dev[1].region[0] = (struct pvi_region){
            (at + 2) * PAGE, (at + (k == 2 ? 17 : 4)) * PAGE - 1, k == 0 ? PVI_RW : PVI_READ};
        CHECK_EQ(pvi_device_add(&fx.dom, &fx.dev[1]), 0);
        fx_begin(&fx);
        fx_reattach(&fx, 1, 1);
        submit_raw(k == 1 ? 0 : -PVI_EEXIST);
        CHECK_EQ(fx.dev[1].ctx->id, k == 1);
        CHECK_EQ(fx.dom.slot[0]->nr_regions, k == 1);
        fx_end(&fx, false);
    }
}

/* Frames of an identity are held, unless the host need not; those that are mapped one by one are, always. */
static void identity_that_holds_nothing(void **state)
{
    const uint64_t at = 1ull << 20;

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        check_case("lent: %u", k);
        lent = k != 0;
        identity_up(FX_VTD, at, 16, PVI_RW, 48);
        looked_up(at + 3, 0);
        CHECK_EQ(pvi_posix_frame_count(fx.hdom, (at + 3) * PAGE, PVI_OWE_WRITABLE), !lent);
        fx_begin(&fx);
        fx_map(&fx, 1, at + 16, at + 3, 1, PVI_RW);
        submit_raw(0);
        CHECK_EQ(pvi_posix_frame_count(fx.hdom, (at + 3) * PAGE, PVI_OWE_WRITABLE), !lent + 1);
        fx_begin(&fx);
        fx_unmap(&fx, 1, at + 2, 15);
        submit_raw(0);
        CHECK_EQ(pvi_posix_frame_count(fx.hdom, (at + 3) * PAGE, PVI_OWE_WRITABLE), 0);
        fx_end(&fx, false);
    }
    lent = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_beyond_the_unit),
        cmocka_unit_test(identity_across_borders),
        cmocka_unit_test(identity_beyond_the_unit),
        cmocka_unit_test(identity_across_the_last_address),
        cmocka_unit_test(region_with_more_rights),
        cmocka_unit_test(identity_that_holds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
