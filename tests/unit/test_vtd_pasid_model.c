/* SPDX-License-Identifier: MIT */
/*
 * PASID structures of the library and tables of the engine, walked by a scalable-mode unit of the
 * hardware model from the root table down, at rest and after every single store.
 */
#include <string.h>

#include "entry_rig.h"

#define RID     0x0310u /* devfn 0x10: lower half */
#define RID_UP  0x0390u
#define DID     0x42u
#define FRAME   0x80000000ull
#define BLOCKED UINT64_MAX

/* Registers (hwspec 1.1). */
#define R_GCMD   0x18
#define R_GSTS   0x1c
#define R_RTADDR 0x20
#define R_IQT    0x88
#define R_IQA    0x90

struct sm {
    struct entry_rig r;
    struct pvi_vtd_sm_caps caps;
    struct pvi_vtd_pasid_dir dir;
    pvi_pa lower, upper, tables; /* tables: of PASIDs 0 to 63 */
    uint64_t root, queue, status;
    unsigned tail;
    uint32_t seq;
};

static struct sm s;

static void full_cfg(struct hwm_vtd_cfg *cfg)
{
    hwm_vtd_cfg_default(cfg);
    cfg->smts = cfg->ssts = cfg->fsts = cfg->ssads = cfg->smpwcs = cfg->rps = true;
    cfg->pt = cfg->sc = cfg->fs1gp = cfg->fs5lp = true;
    cfg->sagaw = 0xe;
    cfg->mgaw = 57;
    cfg->haw = 46;
    cfg->pss = 19;
}

static void gcmd(uint32_t bit)
{
    hwm_mmio_write(s.r.hw, R_GCMD, 4, (hwm_mmio_read(s.r.hw, R_GSTS, 4) & 0x96ffffff) | bit);
}

/* A descriptor in the lower half of a 256-bit slot, and the wait behind it. */
static void tell(struct pvi_vtd_desc d)
{
    pvi_pa word = {s.status};
    struct pvi_vtd_desc pair[2] = {d, pvi_vtd_desc_wait(PVI_VTD_WAIT_STATUS, ++s.seq, word)};

    for (unsigned i = 0; i < 2; i++) {
        uint64_t *slot = pvi_posix_ptr(s.r.host, s.queue + s.tail, 32);

        slot[0] = pair[i].w[0];
        slot[1] = pair[i].w[1];
        slot[2] = slot[3] = 0;
        s.tail = (s.tail + 32) & 0xfff;
    }
    hwm_mmio_write(s.r.hw, R_IQT, 4, s.tail);
    CHECK_EQ(pvi_posix_hw_read32(&s.r.view, s.status), s.seq);
}

static void context(uint16_t rid, const struct pvi_vtd_sm_context *use)
{
    struct pvi_vtd_sm_entry e;

    CHECK_EQ(pvi_vtd_sm_context_encode(&s.caps, &s.dir, use, &e), 0);
    CHECK_EQ(pvi_vtd_sm_context_set(s.r.host, s.caps.coherent,
                                    (rid & 0xff) < 128 ? s.lower : s.upper, rid, &e),
             0);
}

static void page_zero(pvi_pa pa)
{
    void *p = pvi_env_map(s.r.host, pa);

    memset(p, 0, 0x1000);
    pvi_env_writeback(s.r.host, p, 0x1000);
    pvi_env_unmap(s.r.host, p);
}

static void up(const struct hwm_vtd_cfg *cfg, unsigned dir_bits)
{
    const struct pvi_vtd_sm_context use = {.pasids = true};
    struct pvi_vtd_entry root;
    uint64_t *word;

    memset(&s, 0, sizeof(s));
    entry_rig_up(&s.r, cfg->coherent);
    s.r.hw = hwm_vtd_new(cfg, &s.r.mem);
    CHECK(s.r.hw);
    CHECK_EQ(pvi_vtd_sm_caps(hwm_mmio_read(s.r.hw, 0x08, 8), hwm_mmio_read(s.r.hw, 0x10, 8),
                             cfg->haw, 0, &s.caps),
             0);
    s.root = entry_raw(&s.r, 1);
    s.queue = entry_raw(&s.r, 1);
    s.status = entry_raw(&s.r, 1);
    s.lower = entry_page(&s.r);
    s.upper = entry_page(&s.r);
    s.tables = entry_page(&s.r);
    page_zero(s.lower);
    page_zero(s.upper);
    root = pvi_vtd_sm_root_encode(&s.lower, &s.upper);
    word = pvi_posix_ptr(s.r.host, s.root + (RID >> 8) * 16, 16);
    word[0] = root.lo;
    word[1] = root.hi;
    CHECK_EQ(pvi_vtd_pasid_dir_init(s.r.host, &s.caps, &s.dir,
                                    entry_pages(&s.r, pvi_vtd_pasid_dir_order(dir_bits)), dir_bits),
             0);
    CHECK_EQ(pvi_vtd_pasid_dir_add(s.r.host, &s.dir, 0, s.tables), 0);
    context(RID, &use);
    hwm_mmio_write(s.r.hw, R_IQA, 8, s.queue | 0x800);
    gcmd(1u << 26);
    hwm_mmio_write(s.r.hw, R_RTADDR, 8, s.root | 0x400);
    gcmd(1u << 30);
    tell(pvi_vtd_desc_context_global());
    tell(pvi_vtd_desc_pasid_global());
    tell(pvi_vtd_desc_iotlb_global(hwm_mmio_read(s.r.hw, 0x08, 8)));
    gcmd(1u << 31);
    CHECK(hwm_violation(s.r.hw) == NULL);
}

static void down(void)
{
    entry_rig_down(&s.r);
}

/* Where a write lands, through caches or as memory is now; BLOCKED with the reason. */
static uint64_t go(bool fresh, uint16_t rid, int pasid, uint64_t iova, unsigned *reason)
{
    struct hwm_req req = {.iova = iova, .rid = rid, .write = true, .has_pasid = pasid >= 0};
    struct hwm_xlat x;
    enum hwm_result got;

    req.pasid = pasid >= 0 ? (uint32_t)pasid : 0;
    got = fresh ? hwm_walk_req(s.r.hw, &req, &x) : hwm_dma_req(s.r.hw, &req, &x);
    if (got == HWM_FAULT) {
        *reason = x.fault.reason;
        return BLOCKED;
    }
    CHECK_EQ(got, HWM_OK);
    *reason = 0;
    return x.pa;
}

static uint64_t dma(int pasid, uint64_t iova)
{
    unsigned reason;

    return go(false, RID, pasid, iova, &reason);
}

static unsigned why(uint16_t rid, int pasid, uint64_t iova)
{
    unsigned reason;

    CHECK_EQ(go(true, rid, pasid, iova, &reason), BLOCKED);
    return reason;
}

static void table(struct pvi_pt *pt, const struct pvi_pt_ops *ops, unsigned levels)
{
    struct pvi_pt_cfg cfg = {.ops = ops, .levels = (uint8_t)levels, .coherent = s.caps.coherent};

    cfg.page_sizes = ops == &pvi_vtd_fs_ops ? s.caps.fs_sizes : s.caps.ss_sizes;
    entry_table(&s.r, pt, &cfg);
}

/* Bits of IOVA that a table translates; of a first stage the lower half only. */
static uint64_t reach(const struct pvi_pt *pt)
{
    unsigned bits = 12 + 9u * pt->cfg.levels;

    return 1ull << (pt->cfg.ops == &pvi_vtd_fs_ops ? bits - 1 : bits);
}

static void set_table(uint32_t pasid, const struct pvi_pt *pt, uint16_t did)
{
    struct pvi_vtd_pasid_entry e;

    CHECK_EQ(pvi_vtd_pasid_table(&s.caps, pt, did, &e), 0);
    CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, pasid, &e), 0);
}

/*
 * Every depth of both formats, walks that snoop and that do not. The first and the last page that
 * the table reaches, and one between: with a level more or less none but the first could be right.
 */
static void depths(void **state)
{
    static const struct {
        bool fs;
        unsigned levels;
    } row[] = {{false, 3}, {false, 4}, {false, 5}, {true, 4}, {true, 5}};
    struct hwm_vtd_cfg cfg;
    struct pvi_pt pt;
    uint64_t at[3];

    (void)state;
    for (unsigned i = 0; i < 2 * sizeof(row) / sizeof(row[0]); i++) {
        bool fs = row[i / 2].fs;

        check_case("%s, %u levels, %scoherent", fs ? "first stage" : "second stage",
                   row[i / 2].levels, i & 1 ? "" : "not ");
        full_cfg(&cfg);
        cfg.coherent = cfg.smpwcs = i & 1;
        up(&cfg, 13);
        table(&pt, fs ? &pvi_vtd_fs_ops : &pvi_vtd_ss_ops, row[i / 2].levels);
        at[0] = 0;
        at[1] = reach(&pt) / 2 + 0x40201000;
        at[2] = reach(&pt) - 0x1000;
        set_table(0, &pt, DID);
        set_table(5, &pt, DID);
        for (unsigned k = 0; k < 3; k++) {
            entry_map(&s.r, &pt, at[k], FRAME + k * 0x1000, 0x1000);
            CHECK_EQ(dma(5, at[k] + 0xabc), FRAME + k * 0x1000 + 0xabc);
            CHECK_EQ(dma(-1, at[k] + 8), FRAME + k * 0x1000 + 8);
            CHECK_EQ(dma(6, at[k]), BLOCKED);
        }
        CHECK_EQ(dma(5, 0x1000), BLOCKED);
        CHECK_EQ(why(RID, 6, 0), 0x59);
        down();
    }
}

static void large_leaves_and_pass_through(void **state)
{
    struct pvi_vtd_pasid_entry e;
    struct hwm_vtd_cfg cfg;
    struct pvi_pt ss, fs;

    (void)state;
    check_case("large leaves");
    full_cfg(&cfg);
    up(&cfg, 13);
    table(&ss, &pvi_vtd_ss_ops, 4);
    table(&fs, &pvi_vtd_fs_ops, 4);
    entry_map(&s.r, &ss, 0x40000000, 0x80000000, 0x40200000);
    entry_map(&s.r, &fs, 0x40000000, 0xc0000000, 0x40200000);
    set_table(1, &ss, DID);
    set_table(2, &fs, 1);
    CHECK_EQ(pvi_vtd_pasid_pass(&s.caps, 2, &e), 0);
    CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 3, &e), 0);
    CHECK_EQ(dma(1, 0x40000000), 0x80000000);
    CHECK_EQ(dma(1, 0x801fffff), 0xc01fffff);
    CHECK_EQ(dma(2, 0x40000000), 0xc0000000);
    CHECK_EQ(dma(2, 0x801fffff), 0x1001fffff);
    CHECK_EQ(dma(3, 0x123456789), 0x123456789);
    CHECK_EQ(s.r.quota.used, 3 + 3); /* roots, and two tables more for each: the leaves are large */
    down();
}

/* A unit without a stage: what the library refuses is what the unit would refuse. */
static void types_of_the_unit(void **state)
{
    struct pvi_vtd_pasid_entry e;
    struct hwm_vtd_cfg cfg;
    struct pvi_pt ss, fs;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        check_case("unit %u", i);
        full_cfg(&cfg);
        cfg.ssts = i != 0;
        cfg.fsts = i != 1;
        cfg.fs5lp = i != 2;
        cfg.sagaw = i != 3 ? 0xe : 0x6;
        up(&cfg, 13);
        table(&ss, &pvi_vtd_ss_ops, 5);
        table(&fs, &pvi_vtd_fs_ops, 5);
        CHECK_EQ(pvi_vtd_pasid_table(&s.caps, &ss, DID, &e),
                 i == 0 || i == 3 ? -PVI_EOPNOTSUPP : 0);
        if (i != 0 && i != 3) {
            CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 1, &e), 0);
            CHECK_EQ(why(RID, 1, 0), 0x79); /* walked, and found nothing */
        }
        CHECK_EQ(pvi_vtd_pasid_table(&s.caps, &fs, 1, &e), i == 1 || i == 2 ? -PVI_EOPNOTSUPP : 0);
        if (i != 1 && i != 2) {
            CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 2, &e), 0);
            CHECK_EQ(why(RID, 2, 0), 0x71);
        }
        CHECK_EQ(pvi_vtd_pasid_pass(&s.caps, 1, &e), 0);
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 3, &e), 0);
        CHECK_EQ(dma(3, 0x5000), 0x5000);
        down();
    }
}

/* Directories of every size: the context entry says the size that the directory has. */
static void directory_sizes(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct pvi_pt pt;

    (void)state;
    for (unsigned bits = 13; bits <= 20; bits++) {
        uint32_t last = (1u << bits) - 1, at = 0;
        struct pvi_vtd_pasid_entry e;
        pvi_pa top, got;

        check_case("2^%u PASIDs", bits);
        full_cfg(&cfg);
        cfg.coherent = false;
        up(&cfg, bits);
        CHECK_EQ(pvi_vtd_pasid_dir_order(bits), bits <= 15 ? 0 : bits - 15);
        top = entry_page(&s.r);
        table(&pt, &pvi_vtd_fs_ops, 4);
        entry_map(&s.r, &pt, 0x1000, FRAME, 0x1000);
        CHECK_EQ(pvi_vtd_pasid_table(&s.caps, &pt, 1, &e), 0);
        CHECK_EQ(pvi_vtd_pasid_get(s.r.host, &s.dir, last, &e), -PVI_ENOENT);
        CHECK_EQ(pvi_vtd_pasid_table(&s.caps, &pt, 1, &e), 0);
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, last, &e), -PVI_ENOENT);
        CHECK_EQ(why(RID, (int)last, 0x1000), 0x51);
        CHECK_EQ(pvi_vtd_pasid_dir_add(s.r.host, &s.dir, last + 1, top), -PVI_ERANGE);
        CHECK_EQ(pvi_vtd_pasid_dir_add(s.r.host, &s.dir, last, top), 0);
        CHECK_EQ(pvi_vtd_pasid_dir_add(s.r.host, &s.dir, last - 63, top), -PVI_EEXIST);
        CHECK_EQ(entry_word(&s.r, s.dir.pa.a + (last >> 6) * 8), top.a | 1);
        CHECK_EQ(why(RID, (int)last, 0x1000), 0x59);
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, last, &e), 0);
        CHECK_EQ(dma((int)last, 0x1000), FRAME);
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, last + 1, &e), -PVI_ERANGE);
        CHECK_EQ(pvi_vtd_pasid_get(s.r.host, &s.dir, last + 1, &e), -PVI_ERANGE);
        CHECK_EQ(pvi_vtd_pasid_clear(s.r.host, &s.dir, last + 1, &e), -PVI_ERANGE);
        CHECK_EQ(pvi_vtd_pasid_scrub(s.r.host, &s.dir, last + 1), -PVI_ERANGE);
        if (bits < 20) {
            CHECK_EQ(why(RID, (int)last + 1, 0x1000), 0x46);
        }
        CHECK(pvi_vtd_pasid_dir_take(s.r.host, &s.dir, &at, &got));
        CHECK_EQ(got.a, s.tables.a);
        CHECK(pvi_vtd_pasid_dir_take(s.r.host, &s.dir, &at, &got));
        CHECK_EQ(got.a, top.a);
        CHECK_EQ(entry_word(&s.r, top.a + 63 * 64), 0);
        CHECK(!pvi_vtd_pasid_dir_take(s.r.host, &s.dir, &at, &got));
        down();
    }
    check_case("refused");
    full_cfg(&cfg);
    up(&cfg, 13);
    {
        struct pvi_vtd_pasid_dir dir;
        pvi_pa page = entry_page(&s.r), odd = {page.a + 8}, far = {1ull << 46},
               edge = {(1ull << 46) - 0x1000};

        CHECK_EQ(pvi_vtd_pasid_dir_init(s.r.host, &s.caps, &dir, page, 12), -PVI_EINVAL);
        CHECK_EQ(pvi_vtd_pasid_dir_init(s.r.host, &s.caps, &dir, page, 21), -PVI_EINVAL);
        CHECK_EQ(pvi_vtd_pasid_dir_init(s.r.host, &s.caps, &dir, odd, 13), -PVI_EINVAL);
        CHECK_EQ(pvi_vtd_pasid_dir_init(s.r.host, &s.caps, &dir, far, 13), -PVI_EINVAL);
        CHECK_EQ(pvi_vtd_pasid_dir_init(s.r.host, &s.caps, &dir, edge, 16), -PVI_EINVAL);
    }
    down();
}

static void requests_without_pasid(void **state)
{
    const struct pvi_vtd_sm_context other = {.rid_pasid = 7};
    struct hwm_vtd_cfg cfg;
    struct pvi_pt pt;
    unsigned reason;

    (void)state;
    check_case("RID_PASID");
    full_cfg(&cfg);
    up(&cfg, 13);
    table(&pt, &pvi_vtd_ss_ops, 4);
    entry_map(&s.r, &pt, 0x1000, FRAME, 0x1000);
    set_table(7, &pt, DID);
    CHECK_EQ(why(RID_UP, -1, 0x1000), 0x41);
    context(RID_UP, &other);
    CHECK_EQ(go(false, RID_UP, -1, 0x1000, &reason), FRAME);
    CHECK_EQ(why(RID_UP, 7, 0x1000), 0x45); /* PASIDs are not let in */
    CHECK_EQ(why(RID, -1, 0x1000), 0x59);
    down();
}

/* Hardware notes what a device writes in the tables of both stages. */
static void dirty_tables(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct hwm_leaf leaf;

    (void)state;
    for (unsigned fs = 0; fs < 2; fs++) {
        struct pvi_pt_cfg c = {.ops = fs ? &pvi_vtd_fs_ops : &pvi_vtd_ss_ops,
                               .levels = 4,
                               .page_sizes = 0x1000,
                               .coherent = true,
                               .dirty = true};
        struct pvi_pt pt;

        check_case("first stage %u", fs);
        full_cfg(&cfg);
        up(&cfg, 13);
        entry_table(&s.r, &pt, &c);
        entry_map(&s.r, &pt, 0x1000, FRAME, 0x2000);
        set_table(5, &pt, DID);
        CHECK_EQ(dma(5, 0x1000), FRAME);
        for (unsigned k = 0; k < 2; k++) {
            uint64_t iova = 0x1000 + k * 0x1000;

            CHECK_EQ(fs ? hwm_walk_x86(&s.r.mem, pt.root->pa.a, 4, iova, &leaf)
                        : hwm_walk_vtdss(&s.r.mem, pt.root->pa.a, 4, iova, &leaf),
                     HWM_S_LEAF);
            CHECK_EQ(leaf.dirty, k == 0);
        }
        down();
    }
}

/* What a unit that fetches in pieces could see, after each store and each write-back. */
struct watch {
    uint64_t slot;
    unsigned words;
    uint64_t want[8];
    bool ever, vanished;
    unsigned looks;
};

static void look(void *opaque)
{
    struct watch *w = opaque;
    bool present = (entry_word(&s.r, w->slot) & 1) != 0;

    w->looks++;
    for (unsigned i = 0; present && i < w->words; i++) {
        CHECK_EQ(entry_word(&s.r, w->slot + i * 8), w->want[i]);
    }
    CHECK(!(present && w->vanished));
    w->vanished = w->vanished || (w->ever && !present);
    w->ever = w->ever || present;
}

static void watch_begin(struct watch *w, uint64_t slot, const uint64_t *want, unsigned words)
{
    memset(w, 0, sizeof(*w));
    w->slot = slot;
    w->words = words;
    memcpy(w->want, want, words * 8);
    s.r.opaque = w;
    s.r.on_store = look;
}

/* An entry appears whole and goes whole, on a unit that sees only what was written back. */
static void order_of_stores(void **state)
{
    static const struct pvi_vtd_sm_context use = {.pasids = true, .rid_pasid = 3};
    struct pvi_vtd_pasid_entry e, was;
    struct pvi_vtd_sm_entry c;
    struct hwm_vtd_cfg cfg;
    struct watch w;
    struct pvi_pt pt;

    (void)state;
    for (unsigned coherent = 0; coherent < 2; coherent++) {
        check_case("coherent %u", coherent);
        full_cfg(&cfg);
        cfg.coherent = coherent != 0;
        up(&cfg, 13);
        table(&pt, &pvi_vtd_fs_ops, 5);
        CHECK_EQ(pvi_vtd_pasid_table(&s.caps, &pt, DID, &e), 0);
        watch_begin(&w, s.tables.a + 9 * 64, e.w, 8);
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 9, &e), 0);
        CHECK(w.ever && !w.vanished && w.looks >= 9);
        CHECK_EQ(entry_word(&s.r, w.slot), e.w[0]);
        CHECK_EQ(pvi_vtd_pasid_scrub(s.r.host, &s.dir, 9), -PVI_EBUSY);
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 9, &e), -PVI_EBUSY);
        CHECK_EQ(pvi_vtd_pasid_clear(s.r.host, &s.dir, 9, &was), 0);
        CHECK(memcmp(&was, &e, sizeof(e)) == 0);
        CHECK(w.vanished);
        CHECK_EQ(entry_word(&s.r, w.slot), e.w[0] & ~1ull);
        CHECK_EQ(entry_word(&s.r, w.slot + 16), e.w[2]); /* until hardware has forgotten */
        CHECK_EQ(pvi_vtd_pasid_clear(s.r.host, &s.dir, 9, &was), -PVI_ENOENT);
        CHECK_EQ(pvi_vtd_pasid_get(s.r.host, &s.dir, 9, &was), -PVI_ENOENT);
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 9, &e), -PVI_EBUSY);
        CHECK_EQ(pvi_vtd_pasid_scrub(s.r.host, &s.dir, 9), 0);
        for (unsigned i = 0; i < 8; i++) {
            CHECK_EQ(entry_word(&s.r, w.slot + i * 8), 0);
        }
        memset(&was, 0, sizeof(was));
        CHECK_EQ(pvi_vtd_pasid_set(s.r.host, &s.dir, 9, &was), -PVI_EINVAL);

        CHECK_EQ(pvi_vtd_sm_context_encode(&s.caps, &s.dir, &use, &c), 0);
        watch_begin(&w, s.upper.a + 0x10 * 32, c.w, 4);
        CHECK_EQ(pvi_vtd_sm_context_set(s.r.host, s.caps.coherent, s.upper, RID_UP, &c), 0);
        CHECK(w.ever && !w.vanished && w.looks >= 5);
        CHECK_EQ(entry_word(&s.r, w.slot), c.w[0]);
        CHECK_EQ(pvi_vtd_sm_context_set(s.r.host, s.caps.coherent, s.upper, RID_UP, &c),
                 -PVI_EBUSY);
        CHECK_EQ(pvi_vtd_sm_context_scrub(s.r.host, s.caps.coherent, s.upper, RID_UP), -PVI_EBUSY);
        CHECK_EQ(pvi_vtd_sm_context_clear(s.r.host, s.caps.coherent, s.upper, RID_UP), 0);
        CHECK(w.vanished);
        CHECK_EQ(pvi_vtd_sm_context_clear(s.r.host, s.caps.coherent, s.upper, RID_UP), -PVI_ENOENT);
        CHECK_EQ(pvi_vtd_sm_context_scrub(s.r.host, s.caps.coherent, s.upper, RID_UP), 0);
        CHECK_EQ(entry_word(&s.r, w.slot) | entry_word(&s.r, w.slot + 8), 0);
        s.r.on_store = NULL;
        down();
    }
}

/* A table of PASIDs is empty before the directory shows it. */
static pvi_pa linked;

static void look_at_link(void *opaque)
{
    (void)opaque;
    if (entry_word(&s.r, s.dir.pa.a + 8) & 1) {
        for (unsigned i = 0; i < 64; i++) {
            CHECK_EQ(entry_word(&s.r, linked.a + i * 64), 0);
        }
    }
}

static void link_comes_last(void **state)
{
    struct hwm_vtd_cfg cfg;

    (void)state;
    check_case("link");
    full_cfg(&cfg);
    cfg.coherent = false;
    up(&cfg, 13);
    linked = entry_page(&s.r);
    s.r.on_store = look_at_link;
    CHECK_EQ(pvi_vtd_pasid_dir_add(s.r.host, &s.dir, 64, linked), 0);
    s.r.on_store = NULL;
    CHECK_EQ(entry_word(&s.r, s.dir.pa.a + 8), linked.a | 1);
    down();
}

/*
 * One PASID moves from table to table, by the way of hwspec 4.2: nothing else is forgotten, and it
 * is.
 */
static void move_a_pasid(void **state)
{
    struct pvi_vtd_pasid_entry was;
    struct hwm_vtd_cfg cfg;
    struct pvi_pt a, b;

    (void)state;
    for (unsigned fs = 0; fs < 2; fs++) {
        check_case("first stage %u", fs);
        full_cfg(&cfg);
        cfg.cm = !fs;
        cfg.psi = true;
        up(&cfg, 13);
        table(&a, fs ? &pvi_vtd_fs_ops : &pvi_vtd_ss_ops, 4);
        table(&b, fs ? &pvi_vtd_fs_ops : &pvi_vtd_ss_ops, 5);
        entry_map(&s.r, &a, 0x1000, FRAME, 0x1000);
        entry_map(&s.r, &b, 0x1000, FRAME + 0x1000, 0x1000);
        set_table(5, &a, DID);
        set_table(6, &a, DID);
        CHECK_EQ(dma(5, 0x1000), FRAME);
        CHECK_EQ(dma(6, 0x1000), FRAME);
        CHECK_EQ(pvi_vtd_pasid_clear(s.r.host, &s.dir, 5, &was), 0);
        CHECK_EQ(dma(5, 0x1000), FRAME); /* cached */
        tell(pvi_vtd_desc_pasid_one((uint16_t)was.w[1], 5));
        CHECK_EQ(dma(5, 0x1000), BLOCKED);
        tell(fs ? pvi_vtd_desc_piotlb_all(DID, 5)
                : pvi_vtd_desc_iotlb_domain(hwm_mmio_read(s.r.hw, 0x08, 8), DID));
        CHECK(!(hwm_caches_page(s.r.hw, a.root->pa.a) & HWM_HOLD_TABLE) || fs);
        CHECK_EQ(pvi_vtd_pasid_scrub(s.r.host, &s.dir, 5), 0);
        set_table(5, &b, DID + 1);
        if (cfg.cm) {
            tell(pvi_vtd_desc_pasid_one(0, 5)); /* absence is cached under id 0 */
        }
        CHECK_EQ(dma(5, 0x1000), FRAME + 0x1000);
        CHECK_EQ(dma(6, 0x1000), FRAME);
        if (fs) {
            entry_map(&s.r, &b, 0x2000, FRAME + 0x2000, 0x1000);
            CHECK_EQ(dma(5, 0x2000), FRAME + 0x2000);
            tell(pvi_vtd_desc_piotlb_pages(DID + 1, 5, 0x1000, 0, true));
            CHECK(!hwm_caches_page(s.r.hw, FRAME + 0x1000));
            CHECK(hwm_caches_page(s.r.hw, FRAME + 0x2000));
        }
        down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depths),
        cmocka_unit_test(large_leaves_and_pass_through),
        cmocka_unit_test(types_of_the_unit),
        cmocka_unit_test(directory_sizes),
        cmocka_unit_test(requests_without_pasid),
        cmocka_unit_test(dirty_tables),
        cmocka_unit_test(order_of_stores),
        cmocka_unit_test(link_comes_last),
        cmocka_unit_test(move_a_pasid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
