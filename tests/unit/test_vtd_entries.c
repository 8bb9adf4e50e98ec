/* SPDX-License-Identifier: MIT */
/*
 * VT-d entries, descriptors, fault records and capabilities as numbers: the worked encodings of
 * hwspec 11, register values seen on an emulated unit, and properties over whole ranges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <pviommu/vtd.h>

/* CAP and ECAP of QEMU's unit with 48 bits (QEMU 7.2). */
#define QEMU_CAP  0x00d2008c222f0606ull
#define QEMU_ECAP 0xf42ull

/* Fields of CAP, by position (hwspec 1.2). */
#define CAP_PSI     (1ull << 39)
#define CAP_MAMV(n) ((uint64_t)(n) << 48)
#define CAP_DWD     (1ull << 54)
#define CAP_DRD     (1ull << 55)
#define CAP_DRAIN   (CAP_DWD | CAP_DRD)

#define OLD_DID 0x42u
#define RID     0x0310u

static void assert_desc(struct pvi_vtd_desc d, uint64_t w0, uint64_t w1)
{
    assert_int_equal(d.w[0], w0);
    assert_int_equal(d.w[1], w1);
}

static void root_entry(void **state)
{
    pvi_pa table = {0x100002000}, back = {1};
    struct pvi_vtd_entry e = pvi_vtd_root_encode(table);

    (void)state;
    assert_int_equal(e.lo, 0x0000000100002001);
    assert_int_equal(e.hi, 0);
    assert_true(pvi_vtd_root_decode(&e, &back));
    assert_int_equal(back.a, table.a);
    e.lo &= ~1ull;
    assert_false(pvi_vtd_root_decode(&e, &back));
}

static void context_worked(void **state)
{
    struct pvi_vtd_context c = {
        .present = true, .tt = PVI_VTD_TT_SECOND_STAGE, .levels = 4, .did = 0x42};
    struct pvi_vtd_entry e;

    (void)state;
    c.root.a = 0x123456000;
    e = pvi_vtd_context_encode(&c);
    assert_int_equal(e.lo, 0x0000000123456001);
    assert_int_equal(e.hi, 0x0000000000004202);

    c.tt = PVI_VTD_TT_ATS;
    e = pvi_vtd_context_encode(&c);
    assert_int_equal(e.lo, 0x0000000123456005);

    c.tt = PVI_VTD_TT_PASS;
    c.did = 1;
    e = pvi_vtd_context_encode(&c);
    assert_int_equal(e.lo, 0x0000000000000009);
    assert_int_equal(e.hi, 0x0000000000000102);

    c.present = false;
    c.fault_silent = true;
    e = pvi_vtd_context_encode(&c);
    assert_int_equal(e.lo, 0x0000000000000002);
    assert_int_equal(e.hi, 0);

    c.fault_silent = false;
    e = pvi_vtd_context_encode(&c);
    assert_int_equal(e.lo | e.hi, 0);

    e.lo = 0x123456002;
    c.present = true;
    pvi_vtd_context_decode(&e, &c);
    assert_false(c.present);
    assert_true(c.fault_silent);
}

/* AW is levels - 2 in bits 2:0, the id in 23:8 (hwspec 2.2, 10 item 3), for all of both. */
static void context_all_fields(void **state)
{
    struct pvi_vtd_context c = {.present = true}, back;
    struct pvi_vtd_entry e;
    unsigned levels, did, tt;

    (void)state;
    for (levels = 3; levels <= 5; levels++) {
        for (did = 0; did < 0x10000; did += did < 300 ? 1 : 251) {
            for (tt = 0; tt < 2; tt++) {
                c.levels = (uint8_t)levels;
                c.did = (uint16_t)did;
                c.tt = (uint8_t)tt;
                c.fault_silent = did & 1;
                c.root.a = 0x000ffffffffff000;
                e = pvi_vtd_context_encode(&c);
                assert_int_equal(e.hi, (uint64_t)did << 8 | (levels - 2));
                assert_int_equal(e.lo, 0x000ffffffffff001 | tt << 2 | (did & 1) << 1);
                memset(&back, 0xff, sizeof(back));
                pvi_vtd_context_decode(&e, &back);
                assert_true(back.present);
                assert_int_equal(back.fault_silent, did & 1);
                assert_int_equal(back.tt, tt);
                assert_int_equal(back.levels, levels);
                assert_int_equal(back.did, did);
                assert_int_equal(back.root.a, c.root.a);
            }
        }
    }
}

static void descriptors_worked(void **state)
{
    pvi_pa word = {0x9000}, none = {0};

    (void)state;
    assert_desc(pvi_vtd_desc_context_global(), 0x11, 0);
    assert_desc(pvi_vtd_desc_context_domain(0x42), 0x0000000000420021, 0);
    assert_desc(pvi_vtd_desc_context_device(0x42, RID), 0x0000031000420031, 0);
    assert_desc(pvi_vtd_desc_iotlb_global(CAP_DRAIN), 0x00000000000000d2, 0);
    assert_desc(pvi_vtd_desc_iotlb_domain(CAP_DRAIN, 0x42), 0x00000000004200e2, 0);
    assert_desc(pvi_vtd_desc_iotlb_pages(CAP_DRAIN, 0x42, 0x200000, 9, false), 0x00000000004200f2,
                0x0000000000200009);
    assert_desc(pvi_vtd_desc_iotlb_pages(CAP_DRAIN, 0x42, 0x200000, 9, true), 0x00000000004200f2,
                0x0000000000200049);
    assert_desc(pvi_vtd_desc_wait(PVI_VTD_WAIT_STATUS, 2, word), 0x0000000200000025, 0x9000);
    assert_desc(pvi_vtd_desc_wait(PVI_VTD_WAIT_FENCE, 0, none), 0x45, 0);
    assert_desc(pvi_vtd_desc_wait(PVI_VTD_WAIT_STATUS | PVI_VTD_WAIT_FENCE, 0xffffffff, word),
                0xffffffff00000065, 0x9000);
}

/* The drain bits are reserved on units that cannot drain. */
static void drain_by_capability(void **state)
{
    (void)state;
    assert_desc(pvi_vtd_desc_iotlb_global(0), 0x12, 0);
    assert_desc(pvi_vtd_desc_iotlb_global(CAP_DWD), 0x52, 0);
    assert_desc(pvi_vtd_desc_iotlb_global(CAP_DRD), 0x92, 0);
    assert_desc(pvi_vtd_desc_iotlb_domain(0, 7), 0x70022, 0);
    assert_desc(pvi_vtd_desc_iotlb_pages(0, 7, 0x1000, 0, false), 0x70032, 0x1000);
}

static unsigned encode(uint64_t cap, struct pvi_inv inv, struct pvi_vtd_desc d[PVI_VTD_INV_DESCS])
{
    memset(d, 0xaa, sizeof(*d) * PVI_VTD_INV_DESCS);
    return pvi_vtd_encode_inv(cap, &inv, d);
}

/* R9, R20: the entry that hardware may hold is named by its own id. */
static void inv_device(void **state)
{
    struct pvi_inv inv = {.kind = PVI_INV_DEVICE, .rid = RID, .did = OLD_DID};
    struct pvi_vtd_desc d[PVI_VTD_INV_DESCS];

    (void)state;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x0000031000420031, 0);
    assert_true(pvi_vtd_desc_needs_fence(&d[0]));
    inv.was_absent = true;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x0000031000000031, 0);
}

static void inv_other_kinds(void **state)
{
    struct pvi_inv inv = {.kind = PVI_INV_DOMAIN, .did = 0x42};
    struct pvi_vtd_desc d[PVI_VTD_INV_DESCS];

    (void)state;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x00000000004200e2, 0);
    assert_false(pvi_vtd_desc_needs_fence(&d[0]));
    inv.kind = PVI_INV_WBUF;
    assert_int_equal(encode(QEMU_CAP, inv, d), 0);
    inv.kind = PVI_INV_ALL;
    assert_int_equal(encode(QEMU_CAP, inv, d), 2);
    assert_desc(d[0], 0x11, 0);
    assert_desc(d[1], 0xd2, 0);
}

/*
 * R5: whatever is asked for is covered. What a descriptor covers is worked out here from hwspec 4.1
 * alone: G in 5:4, id in 31:16, AM and address in the second qword.
 */
static bool covers(const struct pvi_vtd_desc *d, uint16_t did, uint64_t first, uint64_t last,
                   unsigned mamv, bool psi)
{
    unsigned g = d->w[0] >> 4 & 3, am = d->w[1] & 0x3f;
    uint64_t base = d->w[1] & ~0xfffull, end;

    assert_int_equal(d->w[0] & 0xf, 2);
    assert_int_equal(d->w[0] >> 32, 0);
    if (g == 1) {
        return true;
    }
    assert_int_equal(d->w[0] >> 16 & 0xffff, did);
    if (g == 2) {
        assert_int_equal(d->w[1], 0);
        return true;
    }
    assert_int_equal(g, 3);
    assert_true(psi);
    assert_true(am <= mamv);
    assert_true(am + 12 < 64);
    assert_int_equal(base & ((1ull << (am + 12)) - 1), 0);
    end = base + ((1ull << (am + 12)) - 1);
    return base <= first && last <= end;
}

static void inv_pages_cover(void **state)
{
    static const uint64_t bases[] = {
        0, 0x1000, 0x200000, 0x201000, 0x7ffffffff000, 0x40000000, 0xffffffff80000000};
    struct pvi_vtd_desc d[PVI_VTD_INV_DESCS];
    unsigned lg2, mamv, psi, i;
    uint64_t cap;

    (void)state;
    for (lg2 = 12; lg2 < 64; lg2++) {
        for (mamv = 0; mamv < 64; mamv++) {
            for (i = 0; i < 2 * sizeof(bases) / sizeof(bases[0]); i++) {
                uint64_t first = bases[i / 2] & (i & 1 ? ~0ull : ~((1ull << lg2) - 1));
                struct pvi_inv inv = {
                    .kind = PVI_INV_PAGES, .did = 0x42, .lg2 = (uint8_t)lg2, .iova = first};

                for (psi = 0; psi < 2; psi++) {
                    uint64_t last = first + ((1ull << lg2) - 1);

                    cap = CAP_MAMV(mamv) | (psi ? CAP_PSI : 0);
                    assert_int_equal(encode(cap, inv, d), 1);
                    assert_true(covers(&d[0], 0x42, first, last < first ? ~0ull : last, mamv, psi));
                }
            }
        }
    }
}

/* What can be named exactly is not widened, and IH follows leaf_only. */
static void inv_pages_exact(void **state)
{
    struct pvi_inv inv = {.kind = PVI_INV_PAGES, .did = 0x42, .lg2 = 21, .iova = 0x200000};
    struct pvi_vtd_desc d[PVI_VTD_INV_DESCS];

    (void)state;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x4200f2, 0x200009);
    inv.leaf_only = true;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x4200f2, 0x200049);
    inv.lg2 = 30; /* the largest of this unit, MAMV 18 */
    inv.iova = 0x40000000;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x4200f2, 0x40000052);
    inv.lg2 = 31;
    inv.iova = 0x80000000;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x4200e2, 0);
    inv.lg2 = 21;
    inv.iova = 0x200001;
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x4200e2, 0);
    inv.lg2 = 63;
    inv.iova = 1ull << 63;
    assert_int_equal(encode(CAP_PSI | CAP_MAMV(63), inv, d), 1);
    assert_desc(d[0], 0x420032, 1ull << 63 | 0x40 | 51);
    inv.lg2 = 64;
    inv.iova = 0;
    assert_int_equal(encode(CAP_PSI | CAP_MAMV(63), inv, d), 1);
    assert_desc(d[0], 0x420022, 0);
    inv.lg2 = 11; /* less than a page: asked for wrongly, answered widely */
    assert_int_equal(encode(QEMU_CAP, inv, d), 1);
    assert_desc(d[0], 0x4200e2, 0);
}

static uint64_t record_hi(unsigned d2, unsigned d3)
{
    return (uint64_t)d3 << 32 | d2;
}

/* As dwords (hwspec 5.1): d2 SID 15:0, T2 28; d3 reason 7:0, T1 30, F 31. */
static void fault_decode(void **state)
{
    struct pvi_fault f;

    (void)state;
    memset(&f, 0x5a, sizeof(f));
    assert_false(pvi_vtd_fault_decode(0x1000, record_hi(0x0310, 0x40000006), &f));
    assert_int_equal(f.rid, 0x5a5a);

    assert_true(pvi_vtd_fault_decode(0x123456789000, record_hi(0x0310, 0xc0000006), &f));
    assert_int_equal(f.iova, 0x123456789000);
    assert_int_equal(f.rid, 0x0310);
    assert_int_equal(f.code, 6);
    assert_int_equal(f.did, 0);
    assert_false(f.write);
    assert_true(f.translation);

    /* Write; reserved low bits of the address are not part of it; PASID, PRIV, EXE are ignored. */
    assert_true(pvi_vtd_fault_decode(0xfffffffffffffabc, record_hi(0xe000ffff, 0x8fffff05), &f));
    assert_int_equal(f.iova, 0xfffffffffffff000);
    assert_int_equal(f.rid, 0xffff);
    assert_int_equal(f.code, 5);
    assert_true(f.write);

    /* AtomicOp needs write access; a page request writes nothing. */
    assert_true(pvi_vtd_fault_decode(0x2000, record_hi(0x10000008, 0xc0000005), &f));
    assert_true(f.write);
    assert_true(pvi_vtd_fault_decode(0x2000, record_hi(0x10000008, 0x80000032), &f));
    assert_false(f.write);

    /* An interrupt request: the index stays where it is. */
    assert_true(pvi_vtd_fault_decode(0x0012000000000000, record_hi(0x0310, 0x80000022), &f));
    assert_false(f.translation);
    assert_int_equal(f.iova, 0x0012000000000000);
    assert_int_equal(f.code, 0x22);
    assert_true(pvi_vtd_fault_decode(0, record_hi(0, 0x8000001f), &f) && f.translation);
    assert_true(pvi_vtd_fault_decode(0, record_hi(0, 0x80000020), &f) && !f.translation);
    assert_true(pvi_vtd_fault_decode(0, record_hi(0, 0x8000002f), &f) && !f.translation);
    assert_true(pvi_vtd_fault_decode(0, record_hi(0, 0x80000030), &f) && f.translation);
}

static void fault_strings(void **state)
{
    const char *unknown = pvi_vtd_fault_string(0);
    unsigned code, other, known = 0;

    (void)state;
    for (code = 0; code < 0x10000; code++) {
        assert_non_null(pvi_vtd_fault_string((uint16_t)code));
        known += strcmp(pvi_vtd_fault_string((uint16_t)code), unknown) != 0;
    }
    assert_int_equal(known, 14 + 9 + 3);
    for (code = 1; code <= 0x0e; code++) {
        for (other = 1; other < code; other++) {
            assert_string_not_equal(pvi_vtd_fault_string((uint16_t)code),
                                    pvi_vtd_fault_string((uint16_t)other));
        }
    }
    assert_non_null(strstr(pvi_vtd_fault_string(0x01), "root"));
    assert_non_null(strstr(pvi_vtd_fault_string(0x05), "write"));
    assert_non_null(strstr(pvi_vtd_fault_string(0x06), "read"));
    assert_non_null(strstr(pvi_vtd_fault_string(0x0c), "reserved"));
    assert_non_null(strstr(pvi_vtd_fault_string(0x26), "source"));
    assert_non_null(strstr(pvi_vtd_fault_string(0x31), "PASID"));
}

static void caps_of_emulated_unit(void **state)
{
    struct pvi_unit_caps caps;

    (void)state;
    memset(&caps, 0xff, sizeof(caps));
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP, 39, 0, &caps), 0);
    assert_int_equal(caps.page_sizes, 1ull << 12 | 1ull << 21 | 1ull << 30);
    assert_int_equal(caps.levels_mask, 1u << 3 | 1u << 4);
    assert_int_equal(caps.iova_bits, 48);
    assert_int_equal(caps.pa_bits, 39);
    assert_false(caps.coherent);
    assert_false(caps.np_cache);
    assert_false(caps.write_buffer);
    assert_true(caps.page_selective);
    assert_false(caps.snoop);
    assert_int_equal(caps.inv_max_lg2, 30);
    assert_true(caps.inv_max_nr > 0);
    assert_int_equal(caps.nr_dids, PVI_DID_MAX);
    assert_int_equal(caps.nr_holes, 1);
    assert_int_equal(caps.hole[0].first, 0xfee00000);
    assert_int_equal(caps.hole[0].last, 0xfeefffff);
    assert_int_equal(pvi_vtd_reg_size(QEMU_CAP), 0x1000);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP | 1u << 7, QEMU_ECAP, 39, 0, &caps), 0);
    assert_true(caps.np_cache);
}

/* One bit of a register changes one capability. */
static void caps_bits(void **state)
{
    struct pvi_unit_caps caps;
    unsigned nd;

    (void)state;
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP | 1, 64, 0, &caps), 0);
    assert_true(caps.coherent);
    assert_int_equal(caps.pa_bits, 52);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP | 1u << 7, 52, 0, &caps), 0);
    assert_true(caps.snoop);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP | 1u << 4, QEMU_ECAP, 46, 0, &caps), 0);
    assert_true(caps.write_buffer);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP, 46, PVI_VTD_QUIRK_WBUF, &caps), 0);
    assert_true(caps.write_buffer);
    assert_int_equal(caps.page_sizes, 1ull << 12 | 1ull << 21 | 1ull << 30);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP, 46, PVI_VTD_QUIRK_SMALL_PAGES, &caps), 0);
    assert_int_equal(caps.page_sizes, 1ull << 12);
    assert_false(caps.write_buffer);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP & ~(1ull << 34), QEMU_ECAP, 46, 0, &caps), 0);
    assert_int_equal(caps.page_sizes, 1ull << 12 | 1ull << 30);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP & ~(1ull << 35), QEMU_ECAP, 46, 0, &caps), 0);
    assert_int_equal(caps.page_sizes, 1ull << 12 | 1ull << 21);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP & ~CAP_PSI, QEMU_ECAP, 46, 0, &caps), 0);
    assert_false(caps.page_selective);
    assert_int_equal(caps.inv_max_lg2, 0);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP | CAP_MAMV(63), QEMU_ECAP, 46, 0, &caps), 0);
    assert_int_equal(caps.inv_max_lg2, 63);
    assert_int_equal(
        pvi_vtd_caps((QEMU_CAP & ~CAP_MAMV(63)) | CAP_MAMV(52), QEMU_ECAP, 46, 0, &caps), 0);
    assert_int_equal(caps.inv_max_lg2, 63);
    for (nd = 0; nd < 7; nd++) {
        uint32_t nr = 1u << (4 + 2 * nd);

        assert_int_equal(pvi_vtd_caps((QEMU_CAP & ~7ull) | nd, QEMU_ECAP, 46, 0, &caps), 0);
        assert_int_equal(caps.nr_dids, nr < PVI_DID_MAX ? nr : PVI_DID_MAX);
    }
}

/* Widths: the deepest walk and MGAW both limit the IOVA. */
static void caps_widths(void **state)
{
    static const struct {
        unsigned sagaw, mgaw;
        int rc;
        unsigned mask, bits;
    } row[] = {
        {0x2, 39, 0, 1u << 3, 39},         {0x4, 48, 0, 1u << 4, 48},
        {0x8, 57, 0, 1u << 5, 57},         {0xe, 57, 0, 7u << 3, 57},
        {0xe, 48, 0, 7u << 3, 48},         {0x6, 57, 0, 3u << 3, 48},
        {0x2, 57, 0, 1u << 3, 39},         {0x6, 36, 0, 3u << 3, 36},
        {0x1f, 64, 0, 7u << 3, 57},        {0x0, 48, -PVI_EOPNOTSUPP, 0, 0},
        {0x11, 48, -PVI_EOPNOTSUPP, 0, 0}, /* two and six levels: reserved today */
    };
    const uint64_t rest = QEMU_CAP & ~(0x1full << 8 | 0x3full << 16);
    struct pvi_unit_caps caps;
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        uint64_t cap = rest | row[i].sagaw << 8 | (uint64_t)(row[i].mgaw - 1) << 16;

        assert_int_equal(pvi_vtd_caps(cap, QEMU_ECAP, 46, 0, &caps), row[i].rc);
        if (row[i].rc == 0) {
            assert_int_equal(caps.levels_mask, row[i].mask);
            assert_int_equal(caps.iova_bits, row[i].bits);
        }
    }
}

static void caps_refused(void **state)
{
    struct pvi_unit_caps caps;

    (void)state;
    assert_int_equal(pvi_vtd_caps(~0ull, QEMU_ECAP, 46, 0, &caps), -PVI_EHW);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, ~0ull, 46, 0, &caps), -PVI_EHW);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP & ~2ull, 46, 0, &caps), -PVI_EOPNOTSUPP);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP | 7, QEMU_ECAP, 46, 0, &caps), -PVI_EOPNOTSUPP);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP, 0, 0, &caps), -PVI_EINVAL);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP, 12, 0, &caps), -PVI_EINVAL);
    assert_int_equal(pvi_vtd_caps(QEMU_CAP, QEMU_ECAP, 65, 0, &caps), -PVI_EINVAL);
}

/* Ten bits of FRO and eight of NFR (hwspec 1.2, 10 item 1). */
static void register_window(void **state)
{
    const uint64_t rest = QEMU_CAP & ~(0x3ffull << 24 | 0xffull << 40);

    (void)state;
    assert_int_equal(pvi_vtd_reg_size(rest), 0x1000);
    assert_int_equal(pvi_vtd_reg_size(rest | 0xffull << 24), 0x1000);
    assert_int_equal(pvi_vtd_reg_size(rest | 0xffull << 24 | 1ull << 40), 0x2000);
    assert_int_equal(pvi_vtd_reg_size(rest | 0x3ffull << 24), 0x4000);
    assert_int_equal(pvi_vtd_reg_size(rest | 0x3ffull << 24 | 0xffull << 40), 0x5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_entry),          cmocka_unit_test(context_worked),
        cmocka_unit_test(context_all_fields),  cmocka_unit_test(descriptors_worked),
        cmocka_unit_test(drain_by_capability), cmocka_unit_test(inv_device),
        cmocka_unit_test(inv_other_kinds),     cmocka_unit_test(inv_pages_cover),
        cmocka_unit_test(inv_pages_exact),     cmocka_unit_test(fault_decode),
        cmocka_unit_test(fault_strings),       cmocka_unit_test(caps_of_emulated_unit),
        cmocka_unit_test(caps_bits),           cmocka_unit_test(caps_widths),
        cmocka_unit_test(caps_refused),        cmocka_unit_test(register_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
