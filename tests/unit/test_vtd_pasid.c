/* SPDX-License-Identifier: MIT */
/*
 * Scalable mode: entries against the worked values of hwspec 11, refusals one by one, and PASID
 * structures through which the hardware model walks to tables of the engine.
 */
#include <string.h>

#include "entry_rig.h"

#define RID 0x0310u
#define DID 0x42u

/* Fields by position (hwspec 1.2, 1.3). */
#define CAP_2M       (1ull << 34)
#define CAP_1G       (1ull << 35)
#define CAP_FS1GP    (1ull << 56)
#define CAP_FS5LP    (1ull << 60)
#define CAP_SAGAW(m) ((uint64_t)(m) << 8)
#define CAP_ALL      (6ull | CAP_SAGAW(0xe) | 56ull << 16 | CAP_2M | CAP_1G | CAP_FS1GP | CAP_FS5LP)
#define ECAP_PSS(n)  ((uint64_t)(n) << 35)
#define ECAP_ALL                                                                                   \
    (1ull | 1ull << 1 | 1ull << 2 | 1ull << 6 | 1ull << 7 | 1ull << 26 | 1ull << 29 | 1ull << 31 | \
     ECAP_PSS(19) | 1ull << 40 | 1ull << 43 | 1ull << 45 | 1ull << 46 | 1ull << 47 | 1ull << 48 |  \
     1ull << 49)

static struct pvi_vtd_sm_caps sm_caps(uint64_t cap, uint64_t ecap)
{
    struct pvi_vtd_sm_caps caps;

    CHECK_EQ(pvi_vtd_sm_caps(cap, ecap, 46, 0, &caps), 0);
    return caps;
}

static struct pvi_vtd_sm_caps all_caps(void)
{
    return sm_caps(CAP_ALL, ECAP_ALL);
}

/* Capabilities */

/* Each capability is there with its own bit and gone without it, and no other one moves. */
static void caps_by_bit(void **state)
{
#define AT(member) offsetof(struct pvi_vtd_sm_caps, member)
    static const struct {
        unsigned bit;
        size_t at;
    } row[] = {
        {0, AT(coherent)},     {2, AT(ats)},         {6, AT(pass)},
        {7, AT(snoop)},        {26, AT(nested)},     {29, AT(page_requests)},
        {31, AT(supervisor)},  {45, AT(dirty)},      {46, AT(second_stage)},
        {47, AT(first_stage)}, {48, AT(walk_snoop)}, {49, AT(rid_pasid)},
    };
#undef AT
    struct pvi_vtd_sm_caps all, caps, want;

    (void)state;
    memset(&all, 0, sizeof(all));
    memset(&caps, 0, sizeof(caps));
    CHECK_EQ(pvi_vtd_sm_caps(CAP_ALL, ECAP_ALL, 46, 0, &all), 0);
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        check_case("ECAP bit %u", row[i].bit);
        CHECK_EQ(pvi_vtd_sm_caps(CAP_ALL, ECAP_ALL & ~(1ull << row[i].bit), 46, 0, &caps), 0);
        want = all;
        CHECK_EQ(*((uint8_t *)&want + row[i].at), 1);
        *((uint8_t *)&want + row[i].at) = 0;
        CHECK(memcmp(&caps, &want, sizeof(caps)) == 0);
    }
    check_case("widths");
    CHECK_EQ(all.pasid_bits, 20);
    CHECK_EQ(all.ss_levels, 7u << 3);
    CHECK_EQ(all.fs_levels, 3u << 4);
    CHECK_EQ(all.pa_bits, 46);
    CHECK_EQ(all.nr_dids, PVI_DID_MAX);
    CHECK_EQ(all.ss_sizes, 1ull << 12 | 1ull << 21 | 1ull << 30);
    CHECK_EQ(all.fs_sizes, 1ull << 12 | 1ull << 21 | 1ull << 30);
    CHECK_EQ(sm_caps(CAP_ALL & ~CAP_FS1GP, ECAP_ALL).fs_sizes, 1ull << 12 | 1ull << 21);
    CHECK_EQ(sm_caps(CAP_ALL & ~CAP_2M & ~CAP_1G, ECAP_ALL).ss_sizes, 1ull << 12);
    CHECK_EQ(sm_caps(CAP_ALL & ~CAP_2M & ~CAP_1G, ECAP_ALL).fs_sizes, all.fs_sizes);
    CHECK_EQ(sm_caps(CAP_ALL & ~CAP_FS5LP, ECAP_ALL).fs_levels, 1u << 4);
    CHECK_EQ(sm_caps((CAP_ALL & ~CAP_SAGAW(0xe)) | CAP_SAGAW(4), ECAP_ALL).ss_levels, 1u << 4);
    CHECK_EQ(sm_caps(CAP_ALL, ECAP_ALL & ~(1ull << 40)).pasid_bits, 0);
    for (unsigned pss = 0; pss < 32; pss++) {
        CHECK_EQ(sm_caps(CAP_ALL, (ECAP_ALL & ~ECAP_PSS(31)) | ECAP_PSS(pss)).pasid_bits,
                 pss < 20 ? pss + 1 : 20);
    }
    CHECK_EQ(pvi_vtd_sm_caps(CAP_ALL, ECAP_ALL & ~(1ull << 43), 46, 0, &caps), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_vtd_sm_caps(CAP_ALL, ECAP_ALL & ~2ull, 46, 0, &caps), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_vtd_sm_caps(UINT64_MAX, ECAP_ALL, 46, 0, &caps), -PVI_EHW);
    CHECK_EQ(pvi_vtd_sm_caps(CAP_ALL, ECAP_ALL, 46,
                             PVI_VTD_QUIRK_PARENT_RW | PVI_VTD_QUIRK_SMALL_PAGES, &caps),
             0);
    CHECK(caps.parent_rw && !all.parent_rw);
    CHECK_EQ(caps.fs_sizes, 0x1000);
}

/* Worked values of hwspec 11 */

static void check_words(const struct pvi_vtd_pasid_entry *e, uint64_t w0, uint64_t w1, uint64_t w2)
{
    CHECK_EQ(e->w[0], w0);
    CHECK_EQ(e->w[1], w1);
    CHECK_EQ(e->w[2], w2);
    for (unsigned i = 3; i < 8; i++) {
        CHECK_EQ(e->w[i], 0);
    }
}

static void pasid_worked(void **state)
{
    struct pvi_vtd_sm_caps caps = all_caps(), four;
    struct pvi_vtd_guest_table guest = {
        .root = 0x555000, .levels = 4, .supervisor = true, .write_protect = true};
    struct pvi_vtd_pasid_entry e;
    struct entry_fake f;

    (void)state;
    four = sm_caps((CAP_ALL & ~CAP_SAGAW(0xe)) | CAP_SAGAW(6), ECAP_ALL);
    memset(&e, 0xa5, sizeof(e));
    entry_fake(&f, &pvi_vtd_ss_ops, 4, 0x123456000);
    CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), 0);
    check_words(&e, 0x0000000123456089, 0x0000000000800042, 0);
    f.pt.cfg.dirty = true;
    CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), 0);
    check_words(&e, 0x0000000123456289, 0x0000000000800042, 0);
    f.pt.cfg.dirty = false;
    f.pt.cfg.levels = 5;
    CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), 0);
    check_words(&e, 0x000000012345608D, 0x0000000000800042, 0);
    f.pt.cfg.levels = 3;
    f.pt.cfg.snoop = true;
    CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), 0);
    check_words(&e, 0x0000000123456085, 0x0000000001800042, 0);
    f.pt.cfg.levels = 4;
    f.pt.cfg.snoop = false;
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &f.pt, &guest, DID, &e), 0);
    check_words(&e, 0x00000001234560C9, 0x0000000000800042, 0x0000000000555011);
    guest.levels = 5;
    guest.supervisor = guest.write_protect = false;
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &f.pt, &guest, DID, &e), 0);
    check_words(&e, 0x00000001234560C9, 0x0000000000800042, 0x0000000000555004);

    entry_fake(&f, &pvi_vtd_fs_ops, 4, 0x555000);
    CHECK_EQ(pvi_vtd_pasid_table(&four, &f.pt, 1, &e), 0);
    check_words(&e, 0x0000000000000049, 0x0000000000800001, 0x0000000000555000);
    f.pt.cfg.levels = 5;
    CHECK_EQ(pvi_vtd_pasid_table(&four, &f.pt, 1, &e), 0);
    check_words(&e, 0x0000000000000049, 0x0000000000800001, 0x0000000000555004);
    f.pt.cfg.snoop = true;
    CHECK_EQ(pvi_vtd_pasid_table(&four, &f.pt, 1, &e), 0);
    check_words(&e, 0x0000000000000049, 0x0000000001800001, 0x0000000000555004);
    CHECK_EQ(pvi_vtd_pasid_pass(&four, 1, &e), 0);
    check_words(&e, 0x0000000000000109, 0x0000000000800001, 0);
    CHECK_EQ(pvi_vtd_pasid_pass(&caps, 1, &e), 0);
    check_words(&e, 0x000000000000010D, 0x0000000000800001, 0); /* the widest of the unit */
    four.walk_snoop = false;
    CHECK_EQ(pvi_vtd_pasid_pass(&four, 1, &e), 0);
    check_words(&e, 0x0000000000000109, 1, 0);
}

static void context_worked(void **state)
{
    struct pvi_vtd_sm_caps caps = all_caps();
    struct pvi_vtd_pasid_dir dir = {.pa = {0x2000000}, .bits = 13};
    struct pvi_vtd_sm_context c = {.pasids = true, .ats = true};
    struct pvi_vtd_sm_entry e;
    pvi_pa lower = {0x100002000}, upper = {0x3000};

    (void)state;
    CHECK_EQ(pvi_vtd_sm_context_encode(&caps, &dir, &c, &e), 0);
    CHECK_EQ(e.w[0], 0x000000000200000D);
    CHECK_EQ(e.w[1] | e.w[2] | e.w[3], 0);
    dir.bits = 20;
    c.ats = false;
    c.rid_pasid = 0xfffff;
    CHECK_EQ(pvi_vtd_sm_context_encode(&caps, &dir, &c, &e), 0);
    CHECK_EQ(e.w[0], 0x0000000002000E09);
    CHECK_EQ(e.w[1], 0xfffff);
    c.ats = c.page_requests = true;
    c.rid_pasid = 0;
    CHECK_EQ(pvi_vtd_sm_context_encode(&caps, &dir, &c, &e), 0);
    CHECK_EQ(e.w[0], 0x0000000002000E1D);

    CHECK_EQ(pvi_vtd_sm_root_encode(&lower, NULL).lo, 0x100002001);
    CHECK_EQ(pvi_vtd_sm_root_encode(&lower, NULL).hi, 0);
    CHECK_EQ(pvi_vtd_sm_root_encode(NULL, &upper).lo, 0);
    CHECK_EQ(pvi_vtd_sm_root_encode(NULL, &upper).hi, 0x3001);
}

static void context_refused(void **state)
{
    struct pvi_vtd_sm_caps caps = all_caps(), c;
    struct pvi_vtd_pasid_dir dir = {.pa = {0x2000000}, .bits = 13};
    struct pvi_vtd_sm_context use = {
        .pasids = true, .ats = true, .page_requests = true, .rid_pasid = 0x1fff};
    struct pvi_vtd_sm_entry e;

    (void)state;
    CHECK_EQ(pvi_vtd_sm_context_encode(&caps, &dir, &use, &e), 0);
    c = caps;
    c.pasid_bits = 0;
    CHECK_EQ(pvi_vtd_sm_context_encode(&c, &dir, &use, &e), -PVI_EOPNOTSUPP);
    c = caps;
    c.ats = false;
    CHECK_EQ(pvi_vtd_sm_context_encode(&c, &dir, &use, &e), -PVI_EOPNOTSUPP);
    c = caps;
    c.page_requests = false;
    CHECK_EQ(pvi_vtd_sm_context_encode(&c, &dir, &use, &e), -PVI_EOPNOTSUPP);
    c = caps;
    c.rid_pasid = false;
    CHECK_EQ(pvi_vtd_sm_context_encode(&c, &dir, &use, &e), -PVI_EOPNOTSUPP);
    use.ats = false;
    CHECK_EQ(pvi_vtd_sm_context_encode(&caps, &dir, &use, &e), -PVI_EOPNOTSUPP);
    use.ats = true;
    use.rid_pasid = 0x2000;
    CHECK_EQ(pvi_vtd_sm_context_encode(&caps, &dir, &use, &e), -PVI_ERANGE);
}

static void check_desc(struct pvi_vtd_desc d, uint64_t w0, uint64_t w1)
{
    CHECK_EQ(d.w[0], w0);
    CHECK_EQ(d.w[1], w1);
}

static void descriptors_worked(void **state)
{
    struct pvi_vtd_devtlb dev = {.rid = RID};

    (void)state;
    check_desc(pvi_vtd_desc_pasid_domain(DID), 0x0000000000420007, 0);
    check_desc(pvi_vtd_desc_pasid_one(DID, 5), 0x0000000500420017, 0);
    check_desc(pvi_vtd_desc_pasid_global(), 0x0000000000000037, 0);
    check_desc(pvi_vtd_desc_piotlb_all(1, 5), 0x0000000500010026, 0);
    check_desc(pvi_vtd_desc_piotlb_pages(1, 5, 0x200000, 0, true), 0x0000000500010036,
               0x0000000000200040);
    check_desc(pvi_vtd_desc_piotlb_pages(1, 0xfffff, 0x200000, 9, false), 0x000fffff00010036,
               0x0000000000200009);
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 5, 0, 64), 0x0000000503100008, 0x7FFFFFFFFFFFF800);
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 5, 0x4000, 12), 0x0000000503100008, 0x4000);
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 5, 0x4000, 13), 0x0000000503100008, 0x4800);
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 5, 0x4000, 14), 0x0000000503100008, 0x5800);
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 5, 0x200000, 21), 0x0000000503100008, 0x2ff800);
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 5, 1ull << 63, 63), 0x0000000503100008,
               0xbffffffffffff800);
    dev.pf = 0x0310;
    dev.depth = 31;
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 0xfffff, 0, 64), 0x031fffff031001f8,
               0x7FFFFFFFFFFFF800);
    dev.pf = 0xabcd;
    dev.depth = 32;
    check_desc(pvi_vtd_desc_devtlb_pasid(&dev, 5, 0, 64), 0xabc000050310d008, 0x7FFFFFFFFFFFF800);
}

/* Refusals */

/*
 * For every mask of depths and every depth: an entry is made if the unit has it, and says that
 * depth.
 */
static void levels_are_the_tables(void **state)
{
    struct pvi_vtd_pasid_entry e;
    struct pvi_vtd_entry legacy;
    struct entry_fake f;

    (void)state;
    for (unsigned mask = 0; mask < 8; mask++) {
        for (unsigned levels = 0; levels < 256; levels++) {
            struct pvi_vtd_sm_caps caps = all_caps();
            struct pvi_unit_caps unit = {
                .levels_mask = (uint8_t)(mask << 3), .pa_bits = 46, .nr_dids = 0x100};
            struct pvi_dev_entry to = {
                .translate = true, .levels = (uint8_t)levels, .did = DID, .root = {0x555000}};
            bool has = levels >= 3 && levels <= 5 && (mask >> (levels - 3) & 1) != 0;

            check_case("levels %u of mask %u", levels, mask);
            caps.ss_levels = (uint8_t)(mask << 3);
            entry_fake(&f, &pvi_vtd_ss_ops, levels, 0x555000);
            CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), has ? 0 : -PVI_EOPNOTSUPP);
            if (has) {
                CHECK_EQ((e.w[0] >> 2 & 7) + 2, levels);
            }
            CHECK_EQ(pvi_vtd_context_of(&unit, &to, &legacy), has ? 0 : -PVI_EOPNOTSUPP);
            if (has) {
                CHECK_EQ(legacy.lo, 0x555001);
                CHECK_EQ(legacy.hi, DID << 8 | (levels - 2));
            }
            caps = all_caps();
            caps.fs_levels = (uint8_t)(mask << 3 & ~8u);
            has = has && levels != 3;
            entry_fake(&f, &pvi_vtd_fs_ops, levels, 0x555000);
            CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), has ? 0 : -PVI_EOPNOTSUPP);
            if (has) {
                CHECK_EQ((e.w[2] >> 2 & 3) + 4, levels);
            }
        }
    }
}

static void tables_refused(void **state)
{
    struct pvi_vtd_guest_table guest = {.root = 0x555000, .levels = 4};
    struct pvi_vtd_pasid_entry e;

    (void)state;
    for (unsigned fs = 0; fs < 2; fs++) {
        struct entry_fake f;
        int want = -PVI_EOPNOTSUPP;

#define REFUSED(table_, unit_, want_)                                                              \
    do {                                                                                           \
        struct pvi_vtd_sm_caps caps = all_caps();                                                  \
                                                                                                   \
        check_case("first stage %u: %s, %s", fs, #table_, #unit_);                                 \
        entry_fake(&f, fs ? &pvi_vtd_fs_ops : &pvi_vtd_ss_ops, 4, 0x123456000);                    \
        table_;                                                                                    \
        CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), 0);                                   \
        unit_;                                                                                     \
        CHECK_EQ(pvi_vtd_pasid_table(&caps, &f.pt, DID, &e), want_);                               \
        if (!fs) {                                                                                 \
            CHECK_EQ(pvi_vtd_pasid_nested(&caps, &f.pt, &guest, DID, &e), want_);                  \
        }                                                                                          \
    } while (0)
        REFUSED(f.pt.cfg.coherent = true, caps.walk_snoop = false, want);
        REFUSED(f.pt.cfg.dirty = true, caps.walk_snoop = false, want);
        REFUSED(f.pt.cfg.dirty = true, caps.dirty = false, fs ? 0 : want);
        REFUSED(f.pt.cfg.snoop = true, caps.snoop = false, want);
        REFUSED((void)0, f.pt.cfg.page_sizes = 1ull << 39, want);
        REFUSED(f.pt.cfg.page_sizes = 0x40201000, caps.ss_sizes &= ~(1ull << 30), fs ? 0 : want);
        REFUSED((void)0, caps.pa_bits = 45, want);
        REFUSED((void)0, f.root.pa.a = 1ull << 46, want);
        REFUSED((void)0, f.root.pa.a |= 0x800, want);
        REFUSED((void)0, f.pt.cfg.ops = &pvi_amdvi_v1_ops, want);
        REFUSED((void)0, f.pt.cfg.ops = &pvi_amdvi_v2_ops, want);
        REFUSED((void)0, caps.nr_dids = DID, -PVI_EINVAL);
#undef REFUSED
    }
}

static void types_refused(void **state)
{
    struct pvi_vtd_sm_caps caps = all_caps(), c;
    struct pvi_vtd_guest_table guest = {.root = 0x555000, .levels = 4}, g;
    struct pvi_vtd_pasid_entry e;
    struct entry_fake ss, fs;

    (void)state;
    entry_fake(&ss, &pvi_vtd_ss_ops, 4, 0x123456000);
    entry_fake(&fs, &pvi_vtd_fs_ops, 4, 0x123456000);
    CHECK_EQ(pvi_vtd_pasid_table(&caps, &ss.pt, 0, &e), -PVI_EINVAL);
    CHECK_EQ(pvi_vtd_pasid_pass(&caps, 0, &e), -PVI_EINVAL);
    c = caps;
    c.second_stage = false;
    CHECK_EQ(pvi_vtd_pasid_table(&c, &ss.pt, DID, &e), -PVI_EOPNOTSUPP);
    c = caps;
    c.first_stage = false;
    CHECK_EQ(pvi_vtd_pasid_table(&c, &fs.pt, DID, &e), -PVI_EOPNOTSUPP);
    c = caps;
    c.pass = false;
    CHECK_EQ(pvi_vtd_pasid_pass(&c, DID, &e), -PVI_EOPNOTSUPP);
    c = caps;
    c.nested = false;
    CHECK_EQ(pvi_vtd_pasid_nested(&c, &ss.pt, &guest, DID, &e), -PVI_EOPNOTSUPP);
    c = caps;
    c.parent_rw = true;
    CHECK_EQ(pvi_vtd_pasid_nested(&c, &ss.pt, &guest, DID, &e), -PVI_EOPNOTSUPP);
    ss.pt.cfg.no_read_only = true;
    CHECK_EQ(pvi_vtd_pasid_nested(&c, &ss.pt, &guest, DID, &e), 0);
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &fs.pt, &guest, DID, &e), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &ss.pt, &guest, 0, &e), -PVI_EINVAL);
    for (unsigned levels = 0; levels < 256; levels++) {
        g = guest;
        g.levels = (uint8_t)levels;
        CHECK_EQ(pvi_vtd_pasid_nested(&caps, &ss.pt, &g, DID, &e),
                 levels == 4 || levels == 5 ? 0 : -PVI_EOPNOTSUPP);
    }
    g = guest;
    g.root |= 8;
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &ss.pt, &g, DID, &e), -PVI_EINVAL);
    g.root = 1ull << 46; /* within the parent's 48 bits, beyond the host's width */
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &ss.pt, &g, DID, &e), -PVI_ERANGE);
    ss.pt.cfg.iova_bits = 39;
    g.root = 1ull << 39;
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &ss.pt, &g, DID, &e), -PVI_ERANGE);
    g.root = (1ull << 39) - 0x1000;
    CHECK_EQ(pvi_vtd_pasid_nested(&caps, &ss.pt, &g, DID, &e), 0);
    g.supervisor = true;
    c = caps;
    c.supervisor = false;
    CHECK_EQ(pvi_vtd_pasid_nested(&c, &ss.pt, &g, DID, &e), -PVI_EOPNOTSUPP);
}

/* Nested walks: memory as the first stage sees it lies behind the second stage. */
struct guest_memory {
    struct entry_rig *r;
    uint64_t root;
    unsigned levels;
};

static uint64_t guest_read(void *opaque, uint64_t gpa)
{
    const struct guest_memory *m = opaque;
    struct hwm_leaf leaf;

    CHECK_EQ(hwm_walk_vtdss(&m->r->mem, m->root, m->levels, gpa, &leaf), HWM_S_LEAF);
    return entry_word(m->r, leaf.pa);
}

/*
 * The model has no nested translation. Here it is put together from its two walkers, by roots and
 * depths taken out of the entry (hwspec 2.5): every first-stage table goes through the second
 * stage.
 */
static void nested_walk(void **state)
{
    const uint64_t gpa = 0x4000000000, iova = 0x7ffffffff000, frame = 0x80000000;
    struct pvi_vtd_sm_caps caps = all_caps();
    struct pvi_vtd_pasid_entry e;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct pvi_pt_cfg fs = {.ops = &pvi_vtd_fs_ops, .levels = (uint8_t)(4 + i % 2)};
        struct pvi_pt_cfg ss = {.ops = &pvi_vtd_ss_ops, .levels = (uint8_t)(4 + i / 2)};
        struct entry_rig r;
        struct guest_memory m = {.r = &r};
        struct hwm_mem mem = {.opaque = &m, .read64 = guest_read};
        struct pvi_vtd_guest_table guest = {.levels = fs.levels};
        struct pvi_pt first, second;
        struct hwm_leaf leaf;

        check_case("%u levels over %u", fs.levels, ss.levels);
        entry_rig_up(&r, true);
        fs.page_sizes = ss.page_sizes = 0x1000;
        entry_table(&r, &first, &fs);
        entry_table(&r, &second, &ss);
        entry_map(&r, &first, iova, gpa, 0x1000);
        entry_map(&r, &second, gpa, frame, 0x1000);
        entry_map(&r, &second, 0x1000000, 0x1000000, 0x1000000); /* where the tables lie */
        guest.root = first.root->pa.a;
        CHECK_EQ(pvi_vtd_pasid_nested(&caps, &second, &guest, DID, &e), 0);
        m.root = e.w[0] & 0xffffffffff000;
        m.levels = (unsigned)(e.w[0] >> 2 & 7) + 2;
        CHECK_EQ(hwm_walk_x86(&mem, e.w[2] & 0xffffffffff000, (e.w[2] >> 2 & 3) == 1 ? 5 : 4, iova,
                              &leaf),
                 HWM_S_LEAF);
        CHECK_EQ(leaf.pa, gpa);
        CHECK_EQ(hwm_walk_vtdss(&r.mem, m.root, m.levels, leaf.pa, &leaf), HWM_S_LEAF);
        CHECK_EQ(leaf.pa, frame);
        entry_rig_down(&r);
    }
}

/* A legacy entry for what the unit has not is refused in each respect; blocking never is. */
static void legacy_refused(void **state)
{
    struct pvi_unit_caps caps = {.levels_mask = 1u << 4, .pa_bits = 46, .nr_dids = 0x100};
    const struct pvi_dev_entry good = {
        .translate = true, .levels = 4, .did = 0xff, .root = {0x123456000}};
    struct pvi_dev_entry to = good;
    struct pvi_vtd_entry e;

    (void)state;
    CHECK_EQ(pvi_vtd_context_of(&caps, &to, &e), 0);
    CHECK_EQ(e.lo, 0x0000000123456001);
    CHECK_EQ(e.hi, 0xff02);
    to.did = 0x100;
    CHECK_EQ(pvi_vtd_context_of(&caps, &to, &e), -PVI_EOPNOTSUPP);
    to.did = 0;
    CHECK_EQ(pvi_vtd_context_of(&caps, &to, &e), -PVI_EOPNOTSUPP);
    to = good;
    to.root.a |= 1;
    CHECK_EQ(pvi_vtd_context_of(&caps, &to, &e), -PVI_EOPNOTSUPP);
    to.root.a = 1ull << 46;
    CHECK_EQ(pvi_vtd_context_of(&caps, &to, &e), -PVI_EOPNOTSUPP);
    to.translate = false;
    CHECK_EQ(pvi_vtd_context_of(&caps, &to, &e), 0);
    CHECK_EQ(e.lo | e.hi, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caps_by_bit),        cmocka_unit_test(pasid_worked),
        cmocka_unit_test(context_worked),     cmocka_unit_test(context_refused),
        cmocka_unit_test(descriptors_worked), cmocka_unit_test(levels_are_the_tables),
        cmocka_unit_test(tables_refused),     cmocka_unit_test(types_refused),
        cmocka_unit_test(legacy_refused),     cmocka_unit_test(nested_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
