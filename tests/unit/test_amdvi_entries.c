/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi encoders against the worked values of hwspec 11 and against bit positions read off
 * hwspec 6.7, 7.2 and 7.3; nothing of src/amdvi/spec.h is used here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pviommu/amdvi.h>

#define RID  0x0310u
#define DID  0x42u
#define ROOT 0x123456000ull

static uint64_t bits(unsigned hi, unsigned lo)
{
    uint64_t m = 0;

    for (unsigned i = lo; i <= hi; i++) {
        m |= 1ull << i;
    }
    return m;
}

/* Device table entries */

static struct pvi_amdvi_dte dte_v1(void)
{
    struct pvi_amdvi_dte d;

    memset(&d, 0, sizeof(d));
    d.v = 1;
    d.tv = 1;
    d.ir = 1;
    d.iw = 1;
    d.mode = 4;
    d.did = DID;
    d.root.a = ROOT;
    return d;
}

static void assert_dte(const struct pvi_amdvi_dte *d, uint64_t w0, uint64_t w1, uint64_t w2)
{
    uint64_t w[4];

    memset(w, 0xA5, sizeof(w));
    pvi_amdvi_dte_encode(d, w);
    assert_int_equal(w[0], w0);
    assert_int_equal(w[1], w1);
    assert_int_equal(w[2], w2);
    assert_int_equal(w[3], 0);
}

static void dte_worked_values(void **state)
{
    struct pvi_amdvi_dte d = dte_v1();

    (void)state;
    assert_dte(&d, 0x6000000123456803ull, 0x42, 0);
    d.had = 3;
    assert_dte(&d, 0x6000000123456983ull, 0x42, 0);

    memset(&d, 0, sizeof(d));
    d.v = 1;
    assert_dte(&d, 0x1, 0, 0);
    d.tv = 1;
    assert_dte(&d, 0x3, 0, 0);
    d.ir = 1;
    d.iw = 1;
    assert_dte(&d, 0x6000000000000003ull, 0, 0);
    d.did = DID;
    d.gv = 1;
    d.giov = 1;
    d.glx = 1;
    d.gcr3.a = 0x2ABCD3F5000ull;
    assert_dte(&d, 0x75C0000000000003ull, 0x002AB8009A7E0042ull, 0);
    d.guest_mode = 1;
    assert_dte(&d, 0x75C0000000000003ull, 0x002AB8009A7E0042ull, 0x0040000000000000ull);
}

/* Each plain field, by its absolute bits in the 256. */
#define FIELD(member, hi, lo)                                                                      \
    {                                                                                              \
#member, offsetof(struct pvi_amdvi_dte, member), hi, lo                                    \
    }
static const struct {
    const char *name;
    size_t member;
    unsigned hi, lo;
} dte_fields[] = {
    FIELD(v, 0, 0),
    FIELD(tv, 1, 1),
    FIELD(had, 8, 7),
    FIELD(mode, 11, 9),
    FIELD(ppr, 52, 52),
    FIELD(gprp, 53, 53),
    FIELD(giov, 54, 54),
    FIELD(gv, 55, 55),
    FIELD(glx, 57, 56),
    FIELD(ir, 61, 61),
    FIELD(iw, 62, 62),
    FIELD(did, 79, 64),
    FIELD(ats, 96, 96),
    FIELD(se, 97, 97),
    FIELD(sa, 98, 98),
    FIELD(ioctl, 100, 99),
    FIELD(cache, 101, 101),
    FIELD(sd, 102, 102),
    FIELD(ex, 103, 103),
    FIELD(sysmgt, 105, 104),
    FIELD(iv, 128, 128),
    FIELD(intr_len, 132, 129),
    FIELD(ig, 133, 133),
    FIELD(guest_mode, 183, 182),
    FIELD(init_pass, 184, 184),
    FIELD(eint_pass, 185, 185),
    FIELD(nmi_pass, 186, 186),
    FIELD(intctl, 189, 188),
    FIELD(lint0_pass, 190, 190),
    FIELD(lint1_pass, 191, 191),
};

static void dte_field_positions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dte_fields) / sizeof(dte_fields[0]); i++) {
        unsigned word = dte_fields[i].lo / 64;
        uint64_t want = bits(dte_fields[i].hi % 64, dte_fields[i].lo % 64);
        struct pvi_amdvi_dte d;
        uint64_t w[4];
        uint16_t value = 0xFFFF;

        /* A value that is too wide must not spill into the neighbours. */
        memset(&d, 0, sizeof(d));
        memcpy((char *)&d + dte_fields[i].member, &value, sizeof(value));
        pvi_amdvi_dte_encode(&d, w);
        for (unsigned n = 0; n < 4; n++) {
            if (w[n] != (n == word ? want : 0)) {
                fail_msg("%s: w%u is %#llx", dte_fields[i].name, n, (unsigned long long)w[n]);
            }
        }
        pvi_amdvi_dte_decode(w, &d);
        memcpy(&value, (char *)&d + dte_fields[i].member, sizeof(value));
        assert_int_equal(value, want >> dte_fields[i].lo % 64);
    }
}

/* What decode understands, encode writes back bit by bit, and nothing else. */
static void dte_every_bit(void **state)
{
    /* Not understood: 6:2, 63; 106 (SATS); 181:180, 187 (HPTMode); all of w3. */
    static const uint64_t known[4] = {0x7FFFFFFFFFFFFF83ull, 0xFFFFFBFFFFFFFFFFull,
                                      0xF7CFFFFFFFFFFFFFull, 0};

    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        uint64_t in[4] = {0}, out[4];
        struct pvi_amdvi_dte d;

        in[b / 64] = 1ull << b % 64;
        pvi_amdvi_dte_decode(in, &d);
        pvi_amdvi_dte_encode(&d, out);
        for (unsigned n = 0; n < 4; n++) {
            assert_int_equal(out[n], in[n] & known[n]);
        }
    }
}

static void dte_addresses(void **state)
{
    uint64_t w[4] = {bits(51, 12), 0, bits(51, 6), 0};
    struct pvi_amdvi_dte d;

    (void)state;
    pvi_amdvi_dte_decode(w, &d);
    assert_int_equal(d.root.a, 0xFFFFFFFFFF000ull);
    assert_int_equal(d.intr_root.a, 0xFFFFFFFFFFFC0ull);
    assert_int_equal(d.gcr3.a, 0);
    w[0] = bits(60, 58);
    w[1] = 0;
    pvi_amdvi_dte_decode(w, &d);
    assert_int_equal(d.gcr3.a, bits(14, 12));
    w[0] = 0;
    w[1] = bits(95 - 64, 80 - 64);
    pvi_amdvi_dte_decode(w, &d);
    assert_int_equal(d.gcr3.a, bits(30, 15));
    w[1] = bits(127 - 64, 107 - 64);
    pvi_amdvi_dte_decode(w, &d);
    assert_int_equal(d.gcr3.a, bits(51, 31));
}

static void dte_switching(void **state)
{
    struct pvi_dev_entry to;
    uint64_t old[2] = {0, 0}, w[2];

    (void)state;
    memset(&to, 0, sizeof(to));
    to.translate = true;
    to.levels = 4;
    to.did = DID;
    to.root.a = ROOT;
    pvi_amdvi_dte_switch(old, &to, w);
    assert_int_equal(w[0], 0x6000000123456803ull);
    assert_int_equal(w[1], 0x42);

    /* Blocked is V and TV, not zero: zero lets DMA pass. Nothing of root, mode, rights or id stays
     * behind. */
    to.translate = false;
    pvi_amdvi_dte_switch(w, &to, w);
    assert_int_equal(w[0], 0x3);
    assert_int_equal(w[1], 0);

    /* Out of the worst old entry: guest translation, remote IOTLB and exclusion go, the host's
     * settings stay. */
    old[0] = UINT64_MAX;
    old[1] = UINT64_MAX;
    pvi_amdvi_dte_switch(old, &to, w);
    assert_int_equal(w[0], 0x3);
    assert_int_equal(w[1], bits(97 - 64, 97 - 64) | bits(98 - 64, 98 - 64) |
                               bits(100 - 64, 99 - 64) | bits(101 - 64, 101 - 64) |
                               bits(102 - 64, 102 - 64) | bits(105 - 64, 104 - 64));
    to.translate = true;
    to.levels = 6;
    to.did = 0xFFFF;
    to.root.a = 0xFFFFFFFFFF000ull;
    pvi_amdvi_dte_switch(old, &to, w);
    assert_int_equal(w[0], 0x600FFFFFFFFFFC03ull);
    assert_int_equal(w[1] & bits(15, 0), 0xFFFF);
    assert_int_equal(w[1] & (bits(31, 16) | bits(63, 42) | bits(32, 32) | bits(39, 39)), 0);
}

/* Commands */

static void assert_cmd(struct pvi_amdvi_cmd c, uint64_t w0, uint64_t w1)
{
    assert_int_equal(c.w[0], w0);
    assert_int_equal(c.w[1], w1);
}

static void command_worked_values(void **state)
{
    pvi_pa store = {0x9000};

    (void)state;
    assert_cmd(pvi_amdvi_cmd_devtab(RID), 0x2000000000000310ull, 0);
    assert_cmd(pvi_amdvi_cmd_intr(RID), 0x5000000000000310ull, 0);
    assert_cmd(pvi_amdvi_cmd_all(), 0x8000000000000000ull, 0);
    assert_cmd(pvi_amdvi_cmd_domain(DID), 0x3000004200000000ull, 0x7FFFFFFFFFFFF003ull);
    assert_cmd(pvi_amdvi_cmd_wait(store, 0x1122334455667788ull), 0x1000000000009001ull,
               0x1122334455667788ull);
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0x200000, 12, true), 0x3000004200000000ull, 0x200000);
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0x200000, 12, false), 0x3000004200000000ull, 0x200002);
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0x200000, 21, true), 0x3000004200000000ull, 0x2FF001);
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0x4000, 13, true), 0x3000004200000000ull, 0x4001);
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0x4000, 14, true), 0x3000004200000000ull, 0x5001);
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0, 15, true), 0x3000004200000000ull, 0x3001);
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0, 24, true), 0x3000004200000000ull, 0x7FF001);
    /* Beyond the largest size the whole domain goes: more than asked, never less (R5). */
    assert_cmd(pvi_amdvi_cmd_pages(DID, 0, 52, true), 0x3000004200000000ull, 0x7FFFFFFFFFFFF003ull);
}

/* What a unit makes of the address word (hwspec 7.2): first byte and log2 of the size. */
static unsigned unit_reads_size(uint64_t w1, uint64_t *first)
{
    unsigned p = 12;

    if ((w1 & 1) == 0) {
        *first = w1 & ~0xFFFull;
        return 12;
    }
    while ((w1 >> p & 1) != 0) {
        p++;
    }
    *first = w1 >> (p + 1) << (p + 1);
    return p + 1;
}

/* R5: the unit drops exactly the range asked for, wherever it lies. */
static void command_sizes(void **state)
{
    static const uint64_t seeds[] = {0,
                                     UINT64_MAX,
                                     0xFFF0000000000000ull,
                                     0x5A5A5A5A5A5A5A5Aull,
                                     0xA5A5A5A5A5A5A5A5ull,
                                     0x0000FFFFFFFFF000ull,
                                     0x8000000000000000ull};

    (void)state;
    for (unsigned lg2 = 12; lg2 <= 51; lg2++) {
        for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
            uint64_t iova = seeds[i] >> lg2 << lg2, first;
            struct pvi_amdvi_cmd c = pvi_amdvi_cmd_pages(0xBEEF, iova, lg2, (lg2 & 1) != 0);

            if (iova >> 51 != 0) { /* no address of its own beyond the sign bit: the domain goes */
                assert_cmd(c, 0x3000BEEF00000000ull, 0x7FFFFFFFFFFFF003ull);
                continue;
            }
            assert_int_equal(c.w[0], 0x3000BEEF00000000ull);
            assert_int_equal(unit_reads_size(c.w[1], &first), lg2);
            assert_int_equal(first, iova);
            assert_int_equal(c.w[1] & 0xFFE, (lg2 & 1) != 0 ? 0 : 2);
        }
    }
}

static void invalidations(void **state)
{
    struct pvi_inv inv;

    (void)state;
    memset(&inv, 0, sizeof(inv));
    inv.rid = RID;
    inv.did = DID;
    inv.iova = 0x200000;
    inv.lg2 = 21;
    inv.kind = PVI_INV_PAGES;
    assert_int_equal(pvi_amdvi_inv_nr(&inv, 0), 1);
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x3000004200000000ull, 0x2FF003);
    inv.leaf_only = true;
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x3000004200000000ull, 0x2FF001);
    inv.kind = PVI_INV_DOMAIN;
    assert_int_equal(pvi_amdvi_inv_nr(&inv, 0), 1);
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x3000004200000000ull, 0x7FFFFFFFFFFFF003ull);
    inv.kind = PVI_INV_DEVICE;
    assert_int_equal(pvi_amdvi_inv_nr(&inv, 0), 1);
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x2000000000000310ull, 0);
    inv.kind = PVI_INV_WBUF;
    assert_int_equal(pvi_amdvi_inv_nr(&inv, 0), 0);
    inv.kind = PVI_INV_ALL;
    assert_int_equal(pvi_amdvi_inv_nr(&inv, 1ull << 6), 1);
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 1ull << 6, 0), 0x8000000000000000ull, 0);
}

/* Of a guest's v2 tables: GN and the PASID. 64: with the PASID's entry in its GCR3 table. */
static void guest_invalidations(void **state)
{
    struct pvi_inv inv, all = {.kind = PVI_INV_ALL};

    (void)state;
    memset(&inv, 0, sizeof(inv));
    inv.kind = PVI_INV_GUEST;
    inv.did = DID;
    inv.pasid = 0xABCDE;
    inv.iova = 0x200000;
    inv.lg2 = 21;
    assert_int_equal(pvi_amdvi_inv_nr(&inv, 0), 1);
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x30000042000ABCDEull, 0x2FF007);
    assert_false(pvi_amdvi_inv_fence(&inv, 0, 0));
    inv.leaf_only = true;
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x30000042000ABCDEull, 0x2FF005);
    inv.pasid = 0; /* requests without PASID */
    inv.lg2 = 12;
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x3000004200000000ull, 0x200004);
    for (unsigned lg2 = 52; lg2 <= 64; lg2++) { /* links go with it whatever the caller says */
        inv.lg2 = (uint8_t)lg2;
        inv.iova = 0;
        assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x3000004200000000ull, 0x7FFFFFFFFFFFF007ull);
    }
    inv.lg2 = 12;
    inv.iova = 0xFFFF800000000000ull; /* the upper half has no addresses of its own */
    assert_cmd(pvi_amdvi_inv_cmd(&inv, 0, 0), 0x3000004200000000ull, 0x7FFFFFFFFFFFF007ull);
    /* There is no entry of a PASID: whoever asks all the same gets the whole unit. */
    inv.kind = PVI_INV_PASID;
    for (uint64_t efr = 0; efr <= 1ull << 6; efr += 1ull << 6) {
        uint32_t nr = pvi_amdvi_inv_nr(&inv, efr);

        assert_int_equal(nr, pvi_amdvi_inv_nr(&all, efr));
        for (uint32_t i = 0; i < nr; i++) {
            struct pvi_amdvi_cmd c = pvi_amdvi_inv_cmd(&all, efr, i);

            assert_cmd(pvi_amdvi_inv_cmd(&inv, efr, i), c.w[0], c.w[1]);
            assert_int_equal(pvi_amdvi_inv_fence(&inv, efr, i), pvi_amdvi_inv_fence(&all, efr, i));
        }
    }
}

/* Without IASup: every DeviceID's entry and interrupt table, every DomainID, each once, entries
 * first. */
static void invalidate_all_by_loop(void **state)
{
    static uint8_t seen[16][0x10000];
    uint64_t efr = ~(1ull << 6);
    struct pvi_inv inv;
    uint32_t nr, last_entry = 0, first_domain = UINT32_MAX;

    (void)state;
    memset(&inv, 0, sizeof(inv));
    memset(seen, 0, sizeof(seen));
    inv.kind = PVI_INV_ALL;
    nr = pvi_amdvi_inv_nr(&inv, efr);
    assert_int_equal(nr, 3 * 0x10000);
    for (uint32_t i = 0; i < nr; i++) {
        struct pvi_amdvi_cmd c = pvi_amdvi_inv_cmd(&inv, efr, i);
        unsigned op = (unsigned)(c.w[0] >> 60);

        if (op == 3) {
            assert_int_equal(c.w[1], 0x7FFFFFFFFFFFF003ull);
            seen[op][c.w[0] >> 32 & 0xFFFF]++;
            first_domain = i < first_domain ? i : first_domain;
        } else {
            assert_true(op == 2 || op == 5);
            assert_int_equal(c.w[1], 0);
            seen[op][c.w[0] & 0xFFFF]++;
            last_entry = op == 2 ? i : last_entry;
        }
    }
    for (unsigned id = 0; id < 0x10000; id++) {
        assert_int_equal(seen[2][id] + seen[3][id] + seen[5][id], 3);
        assert_true(seen[2][id] == 1 && seen[3][id] == 1);
    }
    assert_true(last_entry < first_domain);
}

/* Events */

static void event_fields(void **state)
{
    struct pvi_fault f;
    uint64_t w[2];

    (void)state;
    /* IO_PAGE_FAULT, DomainID 0x42, PR and RW, DeviceID 0x310 */
    w[0] = 0x2ull << 60 | 1ull << 53 | 1ull << 52 | 0x42ull << 32 | RID;
    w[1] = 0xFFFF800012345678ull;
    memset(&f, 0xFF, sizeof(f));
    pvi_amdvi_event_decode(w, &f);
    assert_int_equal(f.iova, w[1]);
    assert_int_equal(f.rid, RID);
    assert_int_equal(f.did, DID);
    assert_int_equal(f.code, 0x2030);
    assert_true(f.write);
    assert_true(f.translation);
    assert_false(f.has_pasid);
    assert_int_equal(f.pasid, 0);

    /* A read; bits 19:16 and 31:20 are not part of the requester id. */
    w[0] = 0x2ull << 60 | 0x42ull << 32 | 0xFFF50000ull | RID;
    pvi_amdvi_event_decode(w, &f);
    assert_int_equal(f.rid, RID);
    assert_false(f.write);
    assert_true(f.translation);

    /* An interrupt request is no DMA; with GN the middle is a PASID. */
    w[0] = 0x2ull << 60 | 1ull << 51 | RID;
    pvi_amdvi_event_decode(w, &f);
    assert_false(f.translation);
    w[0] = 0x2ull << 60 | 1ull << 48 | 0x42ull << 32 | RID;
    pvi_amdvi_event_decode(w, &f);
    assert_int_equal(f.did, 0);
    assert_true(f.translation);
    assert_true(f.has_pasid);
    assert_int_equal(f.pasid, 0x42);
    w[0] = 0x2ull << 60 | 1ull << 48 | 0xBCDEull << 32 | 0xA0000 | RID;
    pvi_amdvi_event_decode(w, &f);
    assert_int_equal(f.pasid, 0xABCDE);
    assert_int_equal(f.rid, RID);
    w[0] = 0x2ull << 60 | 1ull << 48 | RID; /* GIoV: no PASID, or PASID 0 */
    memset(&f, 0xFF, sizeof(f));
    pvi_amdvi_event_decode(w, &f);
    assert_false(f.has_pasid);
    assert_int_equal(f.pasid, 0);

    /* Everything else tells of the unit or its rings. */
    for (unsigned code = 0; code < 16; code++) {
        if (code == 2) {
            continue;
        }
        w[0] = (uint64_t)code << 60 | 0x42ull << 32 | RID;
        memset(&f, 0xFF, sizeof(f));
        pvi_amdvi_event_decode(w, &f);
        assert_false(f.translation);
        assert_int_equal(f.code, code << 12);
        assert_int_equal(f.did, code == 4 ? DID : 0);
        assert_false(f.has_pasid);
        assert_int_equal(f.pasid, 0);
    }
}

static void event_names(void **state)
{
    const char *unknown = pvi_amdvi_event_name(0);

    (void)state;
    assert_string_equal(unknown, "unknown event");
    assert_string_equal(pvi_amdvi_event_name(2), "I/O page fault");
    assert_string_equal(pvi_amdvi_event_name(0xC), unknown);
    assert_string_equal(pvi_amdvi_event_name(0xF), unknown);
    assert_string_equal(pvi_amdvi_event_name(0x10), unknown);
    for (unsigned a = 1; a <= 0xE; a++) {
        for (unsigned b = 1; b < a; b++) {
            if (a != 0xC) {
                assert_string_not_equal(pvi_amdvi_event_name(a), pvi_amdvi_event_name(b));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dte_worked_values),
        cmocka_unit_test(dte_field_positions),
        cmocka_unit_test(dte_every_bit),
        cmocka_unit_test(dte_addresses),
        cmocka_unit_test(dte_switching),
        cmocka_unit_test(command_worked_values),
        cmocka_unit_test(command_sizes),
        cmocka_unit_test(invalidations),
        cmocka_unit_test(guest_invalidations),
        cmocka_unit_test(invalidate_all_by_loop),
        cmocka_unit_test(event_fields),
        cmocka_unit_test(event_names),
    };

    return cmocka_run_group_tests_name("amdvi entries", tests, NULL, NULL);
}
