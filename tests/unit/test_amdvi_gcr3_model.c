/* SPDX-License-Identifier: MIT */
/*
 * Device table entries and GCR3 tables of the library over tables of the engine, walked by a unit
 * of the hardware model, at rest and after every single store.
 */
#include <string.h>

#include "entry_rig.h"

#define RID     0x0310u
#define DID     0x42u
#define FRAME   0x80000000ull
#define BLOCKED UINT64_MAX

struct amd {
    struct entry_rig r;
    struct pvi_amdvi_features f;
    uint64_t devtab, ring, log, semaphore, serial;
    unsigned tail;
};

static struct amd s;

static void wr64(unsigned off, uint64_t value)
{
    hwm_mmio_write(s.r.hw, off, 8, value);
}

static void tell(struct pvi_amdvi_cmd c)
{
    pvi_pa where = {s.semaphore};
    struct pvi_amdvi_cmd pair[2] = {c, pvi_amdvi_cmd_wait(where, ++s.serial)};

    for (unsigned i = 0; i < 2; i++) {
        memcpy(pvi_posix_ptr(s.r.host, s.ring + s.tail, 16), pair[i].w, 16);
        s.tail = (s.tail + 16) & 0xfff;
    }
    hwm_mmio_write(s.r.hw, 0x2008, 4, s.tail);
    CHECK_EQ(entry_word(&s.r, s.semaphore), s.serial);
}

static uint64_t *dte_of(uint16_t rid)
{
    return pvi_posix_ptr(s.r.host, s.devtab + rid * 32ull, 32);
}

/* The unit never snoops what is not a page-table walk: what is not written back it does not see. */
static void up(unsigned depth, unsigned guest_levels)
{
    struct hwm_amd_cfg cfg;

    memset(&s, 0, sizeof(s));
    hwm_amd_cfg_default(&cfg);
    cfg.gt_sup = cfg.gio_sup = cfg.hd_sup = cfg.ha_sup = true;
    cfg.glx_sup = depth - 1;
    cfg.guest_levels = guest_levels;
    cfg.pas_max = 19;
    entry_rig_up(&s.r, false);
    s.r.hw = hwm_amd_new(&cfg, &s.r.mem);
    CHECK(s.r.hw);
    pvi_amdvi_features(hwm_mmio_read(s.r.hw, 0x30, 8), hwm_mmio_read(s.r.hw, 0x1a0, 8), 0, &s.f);
    CHECK_EQ(s.f.gcr3_levels, depth);
    s.devtab = entry_raw(&s.r, 512);
    s.ring = entry_raw(&s.r, 1);
    s.log = entry_raw(&s.r, 1);
    s.semaphore = entry_raw(&s.r, 1);
    for (unsigned rid = 0; rid < 0x10000; rid++) {
        dte_of((uint16_t)rid)[0] = 3;
    }
    wr64(0x00, s.devtab | 0x1ff);
    wr64(0x08, s.ring | 8ull << 56);
    wr64(0x10, s.log | 8ull << 56);
    wr64(0x18, 0x11404);
    wr64(0x18, 0x11405);
    tell(pvi_amdvi_cmd_all());
}

static void down(void)
{
    entry_rig_down(&s.r);
}

static uint64_t go(bool fresh, int pasid, uint64_t iova)
{
    struct hwm_req req = {.iova = iova, .rid = RID, .write = true, .has_pasid = pasid >= 0};
    struct hwm_xlat x;
    enum hwm_result got;

    req.pasid = pasid >= 0 ? (uint32_t)pasid : 0;
    got = fresh ? hwm_walk_req(s.r.hw, &req, &x) : hwm_dma_req(s.r.hw, &req, &x);
    CHECK(got == HWM_OK || (got == HWM_FAULT && x.fault.reason == 2));
    return got == HWM_OK ? x.pa : BLOCKED;
}

static uint64_t dma(int pasid, uint64_t iova)
{
    return go(false, pasid, iova);
}

static void table(struct pvi_pt *pt, const struct pvi_pt_ops *ops, unsigned levels)
{
    struct pvi_pt_cfg cfg = {.ops = ops, .levels = (uint8_t)levels, .page_sizes = 0x40201000};

    entry_table(&s.r, pt, &cfg);
}

static void put_guest(const struct pvi_amdvi_gcr3 *g)
{
    struct pvi_amdvi_dte d;

    CHECK_EQ(pvi_amdvi_dte_guest(&s.f, g, DID, &d), 0);
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &d), 0);
    tell(pvi_amdvi_cmd_devtab(RID));
}

/* v1 tables of all depths: first page, last page. */
static void host_tables(void **state)
{
    (void)state;
    for (unsigned levels = 1; levels <= 6; levels++) {
        uint64_t last = levels == 6 ? UINT64_MAX - 0xfff : (1ull << (12 + 9 * levels)) - 0x1000;
        struct pvi_amdvi_dte d;
        struct pvi_pt pt;

        check_case("%u levels", levels);
        up(1, 4);
        table(&pt, &pvi_amdvi_v1_ops, levels);
        entry_map(&s.r, &pt, 0, FRAME, 0x1000);
        entry_map(&s.r, &pt, last, FRAME + 0x1000, 0x1000);
        CHECK_EQ(pvi_amdvi_dte_host(&s.f, &pt, DID, &d), 0);
        CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &d), 0);
        tell(pvi_amdvi_cmd_devtab(RID));
        CHECK_EQ(dma(-1, 0x123), FRAME + 0x123);
        CHECK_EQ(dma(-1, last), FRAME + 0x1000);
        CHECK_EQ(dma(-1, 0x1000), BLOCKED);
        down();
    }
}

/* GCR3 tables of each depth over v2 tables of each depth, at the ends of the PASIDs. */
static void gcr3_depths(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        unsigned depth = i / 2 + 1, levels = 4 + i % 2, added = 0;
        uint32_t last = depth == 1 ? 511 : depth == 2 ? 0x3ffff : 0xfffff, at[3] = {0, 300, last};
        uint64_t top = (1ull << (11 + 9 * levels)) - 0x1000;
        struct pvi_amdvi_gcr3 g;
        struct pvi_pt pt[3];
        pvi_pa page, root;

        check_case("GCR3 table of %u levels, v2 tables of %u", depth, levels);
        up(depth, 5);
        CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, entry_page(&s.r), depth, levels), 0);
        put_guest(&g);
        for (unsigned k = 0; k < 3; k++) {
            int rc;

            CHECK_EQ(go(true, (int)at[k], 0), BLOCKED);
            table(&pt[k], &pvi_amdvi_v2_ops, levels);
            entry_map(&s.r, &pt[k], 0, FRAME + k * 0x10000, 0x1000);
            entry_map(&s.r, &pt[k], top, FRAME + k * 0x10000 + 0x1000, 0x1000);
            CHECK_EQ(pvi_amdvi_gcr3_get(s.r.host, &g, at[k], &root), -PVI_ENOENT);
            CHECK_EQ(pvi_amdvi_gcr3_clear(s.r.host, &g, at[k]), -PVI_ENOENT);
            while ((rc = pvi_amdvi_gcr3_set(s.r.host, &g, at[k], &pt[k])) == -PVI_ENOENT) {
                CHECK_EQ(pvi_amdvi_gcr3_add(s.r.host, &g, at[k], entry_page(&s.r)), 0);
                added++;
            }
            CHECK_EQ(rc, 0);
            tell(pvi_amdvi_cmd_guest_all(DID, at[k]));
            page = entry_page(&s.r);
            CHECK_EQ(pvi_amdvi_gcr3_add(s.r.host, &g, at[k], page), -PVI_EEXIST);
            CHECK_EQ(entry_word(&s.r, page.a), 0x5a5a5a5a5a5a5a5bull);
            CHECK_EQ(pvi_amdvi_gcr3_get(s.r.host, &g, at[k], &root), 0);
            CHECK_EQ(root.a, pt[k].root->pa.a);
        }
        CHECK_EQ(added, 2 * (depth - 1)); /* the first two share all of theirs */
        for (unsigned k = 0; k < 3; k++) {
            CHECK_EQ(dma((int)at[k], 0x10), FRAME + k * 0x10000 + 0x10);
            CHECK_EQ(dma((int)at[k], top), FRAME + k * 0x10000 + 0x1000);
        }
        CHECK_EQ(dma(-1, 0), FRAME); /* PASID 0 */
        CHECK_EQ(dma(-1, top), FRAME + 0x1000);
        CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, last + 1, &pt[0]), -PVI_ERANGE);
        CHECK_EQ(pvi_amdvi_gcr3_get(s.r.host, &g, last + 1, &root), -PVI_ERANGE);
        CHECK_EQ(pvi_amdvi_gcr3_add(s.r.host, &g, last + 1, page), -PVI_ERANGE);
        page.a |= 0x800; /* no address of a page: refused before anything else is looked at */
        CHECK_EQ(pvi_amdvi_gcr3_add(s.r.host, &g, at[0], page), -PVI_EINVAL);
        CHECK_EQ(pvi_amdvi_gcr3_clear(s.r.host, &g, last), 0);
        tell(pvi_amdvi_cmd_guest_all(DID, last));
        CHECK_EQ(dma((int)last, 0x10), BLOCKED);
        CHECK_EQ(dma(300, 0x10), FRAME + 0x10010);
        for (; added > 0; added--) {
            CHECK(pvi_amdvi_gcr3_take(s.r.host, &g, &root));
            for (unsigned k = 0; k < 512; k++) {
                CHECK_EQ(entry_word(&s.r, root.a + k * 8), 0);
            }
        }
        CHECK(!pvi_amdvi_gcr3_take(s.r.host, &g, &root));
        down();
    }
}

static void gcr3_refused(void **state)
{
    struct pvi_amdvi_gcr3 g;
    struct entry_fake t;
    pvi_pa page, odd, far = {1ull << 52};

    (void)state;
    check_case("refused");
    up(2, 4);
    page = entry_page(&s.r);
    odd.a = page.a + 8;
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, page, 0, 4), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, page, 3, 4), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, page, 2, 5), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, page, 2, 3), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, page, 2, 36), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, odd, 2, 4), -PVI_EINVAL);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, far, 2, 4), -PVI_EINVAL);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, page, 1, 4), 0);
    for (unsigned levels = 0; levels < 256; levels++) {
        entry_fake(&t, &pvi_amdvi_v2_ops, levels, 0x555000);
        CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, 1, &t.pt), levels == 4 ? 0 : -PVI_EOPNOTSUPP);
    }
    entry_fake(&t, &pvi_amdvi_v1_ops, 4, 0x555000);
    CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, 2, &t.pt), -PVI_EOPNOTSUPP);
    entry_fake(&t, &pvi_vtd_fs_ops, 4, 0x555000);
    CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, 2, &t.pt), -PVI_EOPNOTSUPP);
    entry_fake(&t, &pvi_amdvi_v2_ops, 4, 0x555000);
    t.pt.cfg.snoop = true; /* no entry of a v2 table could say so */
    CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, 2, &t.pt), -PVI_EOPNOTSUPP);
    CHECK_EQ(entry_word(&s.r, g.root.a + 8), 0x555001);
    CHECK_EQ(entry_word(&s.r, g.root.a + 16), 0);
    down();
}

/* A page of the GCR3 table is empty before the one above shows it. */
static uint64_t link_slot, linked;

static void look_at_link(void *opaque)
{
    (void)opaque;
    for (unsigned i = 0; (entry_word(&s.r, link_slot) & 1) != 0 && i < 512; i++) {
        CHECK_EQ(entry_word(&s.r, linked + i * 8), 0);
    }
}

static void link_comes_last(void **state)
{
    struct pvi_amdvi_gcr3 g;
    pvi_pa page;

    (void)state;
    check_case("link");
    up(2, 4);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, entry_page(&s.r), 2, 4), 0);
    page = entry_page(&s.r);
    linked = page.a;
    link_slot = g.root.a + 8;
    s.r.on_store = look_at_link;
    CHECK_EQ(pvi_amdvi_gcr3_add(s.r.host, &g, 512, page), 0);
    s.r.on_store = NULL;
    CHECK_EQ(entry_word(&s.r, link_slot), linked | 1);
    down();
}

/* One PASID moves to another table: true after its own invalidation, and for no other PASID. */
static void gcr3_moves(void **state)
{
    struct pvi_amdvi_gcr3 g;
    struct pvi_pt a, b;

    (void)state;
    check_case("move");
    up(1, 4);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, entry_page(&s.r), 1, 4), 0);
    table(&a, &pvi_amdvi_v2_ops, 4);
    table(&b, &pvi_amdvi_v2_ops, 4);
    entry_map(&s.r, &a, 0x1000, FRAME, 0x1000);
    entry_map(&s.r, &b, 0x1000, FRAME + 0x1000, 0x2000);
    CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, 5, &a), 0);
    CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, 6, &a), 0);
    put_guest(&g);
    CHECK_EQ(dma(5, 0x1000), FRAME);
    CHECK_EQ(dma(6, 0x1000), FRAME);
    CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g, 5, &b), 0);
    tell(pvi_amdvi_cmd_guest_all(DID, 6));
    tell(pvi_amdvi_cmd_domain(DID));
    CHECK_EQ(dma(5, 0x1000), FRAME);
    tell(pvi_amdvi_cmd_guest_all(DID, 5));
    CHECK_EQ(dma(5, 0x1000), FRAME + 0x1000);
    CHECK_EQ(dma(5, 0x2000), FRAME + 0x2000);
    CHECK_EQ(dma(6, 0x1000), FRAME);
    tell(pvi_amdvi_cmd_guest_pages(DID, 5, 0x1000, 12, true));
    CHECK(!hwm_caches_page(s.r.hw, FRAME + 0x1000));
    CHECK(hwm_caches_page(s.r.hw, FRAME + 0x2000));
    down();
}

/*
 * After each store: no request passes, and none is translated by a table of another depth than it
 * has.
 */
struct watch {
    uint64_t old, new_; /* where a DMA to `at` may land beside being blocked */
    uint64_t at;
    bool seen_new;
};

static void look(void *opaque)
{
    struct watch *w = opaque;
    uint64_t pa = go(true, -1, w->at);

    CHECK(pa == BLOCKED || pa == w->old || pa == w->new_);
    CHECK(!(w->seen_new && pa != w->new_));
    w->seen_new = w->seen_new || pa == w->new_;
}

static void put(struct watch *w, const struct pvi_amdvi_dte *d, uint64_t to)
{
    w->old = go(true, -1, w->at);
    w->new_ = to;
    w->seen_new = false;
    s.r.opaque = w;
    s.r.on_store = look;
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), d), 0);
    s.r.on_store = NULL;
    tell(pvi_amdvi_cmd_devtab(RID));
    CHECK_EQ(go(true, -1, w->at), to);
}

static void order_of_stores(void **state)
{
    static const uint64_t intr = 0x9000000000fff7c1ull, high = 0xffc0000000000000ull;
    const struct pvi_dev_entry block = {.translate = false};
    struct watch w = {.at = 0x7ffffffff000};
    struct pvi_amdvi_gcr3 g[3];
    struct pvi_amdvi_dte d[4];
    struct pvi_pt pt[4];
    uint64_t words[2];

    (void)state;
    check_case("order");
    up(1, 5);
    dte_of(RID)[1] = 3ull << 40 | 1ull << 38; /* the host's own */
    dte_of(RID)[2] = intr;
    dte_of(RID)[3] = high;
    /* 0 and 1: four levels; 2: five; 3: v1. The page is the last that four levels of v2 reach. */
    for (unsigned k = 0; k < 4; k++) {
        table(&pt[k], k < 3 ? &pvi_amdvi_v2_ops : &pvi_amdvi_v1_ops, k == 2 ? 5 : 4);
        entry_map(&s.r, &pt[k], w.at, FRAME + k * 0x1000, 0x1000);
    }
    for (unsigned k = 0; k < 3; k++) {
        CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g[k], entry_page(&s.r), 1, k == 2 ? 5 : 4),
                 0);
        CHECK_EQ(pvi_amdvi_gcr3_set(s.r.host, &g[k], 0, &pt[k]), 0);
        CHECK_EQ(pvi_amdvi_dte_guest(&s.f, &g[k], (uint16_t)(DID + k), &d[k]), 0);
    }
    CHECK_EQ(pvi_amdvi_dte_host(&s.f, &pt[3], DID + 3, &d[3]), 0);
    put(&w, &d[2], FRAME + 0x2000); /* blocked to v2 of five levels: the depth comes first */
    CHECK_EQ(dte_of(RID)[2], intr | 1ull << 54);
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &d[0]), -PVI_EBUSY);
    CHECK_EQ(go(true, -1, w.at), FRAME + 0x2000);
    put(&w, &d[3], FRAME + 0x3000); /* v1 */
    put(&w, &d[0], FRAME);          /* v2 of four levels; five is what the entry said last */
    CHECK_EQ(dte_of(RID)[2], intr);
    put(&w, &d[1], FRAME + 0x1000); /* another table of as many levels */
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &d[2]), -PVI_EBUSY);
    pvi_amdvi_dte_switch(dte_of(RID), &block, words);
    CHECK(pvi_env_cmpxchg128(s.r.host, dte_of(RID), dte_of(RID), words));
    tell(pvi_amdvi_cmd_devtab(RID));
    put(&w, &d[2], FRAME + 0x2000);
    CHECK_EQ(dte_of(RID)[1] & 0x77full << 32, 3ull << 40 | 1ull << 38);
    CHECK_EQ(dte_of(RID)[2], intr | 1ull << 54);
    CHECK_EQ(dte_of(RID)[3], high);
    down();
}

/* Entries that let DMA pass are not put; one that somebody else writes meanwhile is left alone. */
static void meddle(void *opaque)
{
    uint64_t *entry = opaque;

    s.r.on_store = NULL;
    entry[1] |= 1ull << 33;
}

static void put_refused(void **state)
{
    struct pvi_amdvi_gcr3 g;
    struct pvi_amdvi_dte d, bad;

    (void)state;
    check_case("refused");
    up(1, 4);
    CHECK_EQ(pvi_amdvi_gcr3_init(s.r.host, &s.f, &g, entry_page(&s.r), 1, 4), 0);
    CHECK_EQ(pvi_amdvi_dte_guest(&s.f, &g, DID, &d), 0);
    bad = d;
    bad.v = 0;
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &bad), -PVI_EINVAL);
    bad = d;
    bad.tv = 0;
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &bad), -PVI_EINVAL);
    bad = d;
    bad.giov = 0;
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &bad), -PVI_EINVAL);
    bad = d;
    bad.gv = 0;
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &bad), -PVI_EINVAL);
    CHECK_EQ(dte_of(RID)[0], 3);
    bad.ir = bad.iw = 0; /* blocks */
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &bad), 0);
    dte_of(RID)[1] = 0;
    s.r.on_store = meddle;
    s.r.opaque = dte_of(RID);
    CHECK_EQ(pvi_amdvi_dte_put(s.r.host, dte_of(RID), &d), -PVI_EHW);
    CHECK_EQ(dte_of(RID)[1], 1ull << 33);
    CHECK_EQ(go(true, -1, 0), BLOCKED);
    down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_tables),  cmocka_unit_test(gcr3_depths),
        cmocka_unit_test(gcr3_refused), cmocka_unit_test(link_comes_last),
        cmocka_unit_test(gcr3_moves),   cmocka_unit_test(order_of_stores),
        cmocka_unit_test(put_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
