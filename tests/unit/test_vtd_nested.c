/* SPDX-License-Identifier: MIT */
/*
 * The VT-d unit driver and nested entries, on the hardware model: where requests of guests with tables of
 * their own go, and when what changes becomes true (hwspec 2.5, 4.2, 5.3).
 */
#include "vtd_guest.h"

/* --- moves ------------------------------------------------------------------------------------ */

/* At every store a request goes where it went or where it will go, and one with PASID stays. */
struct watch {
    struct guest *g;
    uint64_t frame[2], beside;
    unsigned looks;
};

static void look(void *opaque, enum pvi_posix_point at, bool after)
{
    struct watch *w = opaque;
    uint64_t now = go(w->g, 0, IOVA, true), cached = go(w->g, 0, IOVA, false);

    (void)at;
    (void)after;
    w->looks++;
    assert_true(now == w->frame[0] || now == w->frame[1]);
    assert_true(cached == w->frame[0] || cached == w->frame[1]);
    assert_int_equal(go(w->g, 7, IOVA, true), w->beside);
    assert_int_equal(go(w->g, 7, IOVA, false), w->beside);
}

/* plain -> nested -> plain -> ... -> blocked */
static void there_and_back(void **state)
{
    struct guest g;
    uint64_t root, used;
    unsigned mode, k;
    bool absent;

    (void)state;
    for (mode = 0; mode < 8; mode++) {
        struct watch w = {.g = &g};

        up(&g, mode);
        root = page(&g);
        w.frame[0] = rig_frame(g.rig);
        w.frame[1] = w.beside = fs_page(&g, root, 4, IOVA);
        *ss_entry(&g, IOVA) = w.frame[0] | 3;
        assert_int_equal(dma(&g, 0, IOVA), RIG_BLOCKED);
        assert_int_equal(dma(&g, 7, IOVA), RIG_BLOCKED);
        first(&g, plain(&g, 0, 5));
        assert_int_equal(dma(&g, 0, IOVA), w.frame[0]);
        first(&g, nested(&g, 7, 9, root, 4));
        assert_int_equal(dma(&g, 7, IOVA), w.beside);
        assert_int_equal(dma(&g, 0, IOVA), w.frame[0]);
        used = pvi_posix_pages_used(g.rig->host);
        pvi_posix_hook(g.rig->host, PVI_AT_BIT(PVI_AT_WRITE) | PVI_AT_BIT(PVI_AT_WRITEBACK), look,
                       &w);
        for (k = 1; k < 7; k++) {
            absent = put(&g, k & 1 ? nested(&g, 0, 6, root, 4) : plain(&g, 0, 5));
            assert_false(absent);
            assert_int_equal(go(&g, 0, IOVA, true), w.frame[k & 1]);
            assert_int_equal(dma(&g, 0, IOVA), w.frame[~k & 1]); /* no invalidation yet */
            moved(&g, 0, k & 1 ? 5 : 6, absent);
            assert_int_equal(dma(&g, 0, IOVA), w.frame[k & 1]);
            assert_int_equal(dma(&g, 0, GPA), k & 1 ? RIG_BLOCKED : g.pa[0]);
        }
        pvi_posix_hook(g.rig->host, 0, NULL, NULL);
        if (pvi_posix_recording()) {
            assert_true(w.looks > 100);
        }
        assert_int_equal(pvi_posix_pages_used(g.rig->host), used);

        /* The reverse: a plain PASID beside a nested requester id. */
        assert_false(put(&g, nested(&g, 0, 6, root, 4)));
        moved(&g, 0, 5, false);
        assert_false(put(&g, (struct pvi_dev_entry){.pasid = 7}));
        moved(&g, 7, 9, false);
        assert_int_equal(dma(&g, 7, IOVA), RIG_BLOCKED);
        first(&g, plain(&g, 7, 5));
        assert_int_equal(dma(&g, 7, IOVA), w.frame[0]);
        assert_int_equal(dma(&g, 0, IOVA), w.frame[1]);
        assert_int_equal(dma(&g, 8, IOVA), RIG_BLOCKED);

        assert_false(put(&g, (struct pvi_dev_entry){.pasid = 7}));
        moved(&g, 7, 5, false);
        assert_int_equal(dma(&g, 0, IOVA), w.frame[1]);
        assert_false(put(&g, (struct pvi_dev_entry){.translate = false}));
        moved(&g, 0, 6, false);
        assert_int_equal(dma(&g, 0, IOVA), RIG_BLOCKED);
        assert_int_equal(dma(&g, 7, IOVA), RIG_BLOCKED);
        assert_int_equal(held(&g) | hwm_caches_page(g.rig->hw, g.ss), 0);
        rig_down(g.rig);
    }
}

/* Tables of all depths over tables of all depths. */
static void levels(void **state)
{
    struct guest g;
    uint64_t root[2], a, b, top;
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        unsigned fs = 4 + (i & 1);

        up(&g, i);
        g.levels = 4 + i / 2;
        top = (1ull << (11 + 9 * fs)) - 0x1000;
        root[0] = page(&g);
        root[1] = page(&g);
        a = fs_page(&g, root[0], fs, top);
        b = fs_page(&g, root[1], fs, top);
        first(&g, nested(&g, 0, 5, root[0], fs));
        first(&g, nested(&g, 1000, 6, root[1], fs));
        assert_int_equal(dma(&g, 0, top | 0xabc), a | 0xabc);
        assert_int_equal(dma(&g, 1000, top), b);
        assert_int_equal(dma(&g, 0, top - 0x1000), RIG_BLOCKED);
        assert_int_equal(reason(&g, 0, top + 0x1000), 0x80); /* not canonical */
        rig_down(g.rig);
    }
}

/* --- what changes ------------------------------------------------------------------------------- */

/* What the guest changes becomes true by its own invalidation, and for no other PASID or guest. */
static void guest_changes(void **state)
{
    struct guest g;
    uint64_t root[2], a, b, c, *leaf;
    char kinds[64];
    unsigned mode, i;

    (void)state;
    for (mode = 0; mode < 8; mode++) {
        up(&g, mode);
        root[0] = page(&g);
        root[1] = page(&g);
        a = fs_page(&g, root[0], 4, IOVA);
        b = fs_page(&g, root[0], 4, IOVA + 0x1000);
        c = fs_page(&g, root[1], 4, IOVA);
        leaf = fs_entry(&g, root[0], 4, IOVA);
        for (i = 0; i < 3; i++) {
            first(&g, nested(&g, i, 9, root[0], 4));
        }
        for (i = 0; i < 3; i++) {
            assert_int_equal(dma(&g, i, IOVA), a);
            assert_int_equal(dma(&g, i, IOVA + 0x1000), b);
        }
        *leaf = *fs_entry(&g, root[1], 4, IOVA);
        hwm_log_reset(g.rig->hw);
        assert_int_equal(dma(&g, 1, IOVA), a);
        told(&g, INV_GUEST(8, 1, IOVA, 12)); /* somebody else's */
        told(&g, INV_GUEST(9, 3, IOVA, 12));
        assert_int_equal(dma(&g, 1, IOVA), a);
        told(&g, INV_GUEST(9, 1, IOVA, 12));
        assert_int_equal(dma(&g, 1, IOVA), c);
        assert_int_equal(dma(&g, 0, IOVA), a);
        assert_int_equal(dma(&g, 2, IOVA), a);
        told(&g, INV_GUEST(9, 0, 0, 13)); /* of requests without PASID */
        assert_int_equal(dma(&g, 0, IOVA), c);
        assert_int_equal(dma(&g, 2, IOVA), a);
        assert_string_equal(rig_told(g.rig, kinds, sizeof(kinds)), "qwqwqwqw");

        /* Not aligned, and more than the unit can name: all of the PASID. */
        hwm_log_reset(g.rig->hw);
        told(&g, INV_GUEST(9, 2, IOVA, 13));
        assert_int_equal(dma(&g, 2, IOVA), c);
        *leaf = *fs_entry(&g, root[0], 4, IOVA + 0x1000);
        told(&g, INV_GUEST(9, 2, 0, 31));
        assert_int_equal(dma(&g, 2, IOVA), b);
        assert_int_equal(dma(&g, 1, IOVA), c);
        told(&g, INV_GUEST(9, 1, 0, 64));
        assert_int_equal(dma(&g, 1, IOVA), b);
        assert_int_equal(dma(&g, 0, IOVA), c);
        assert_string_equal(rig_told(g.rig, kinds, sizeof(kinds)), "gwgwgw");
        rig_down(g.rig);
    }
}

/* With leaves only, if that is what the guest says, its tables stay cached. */
static void guest_changes_table(void **state)
{
    struct pvi_inv leaves = {
        .kind = PVI_INV_GUEST, .did = 9, .pasid = 1, .iova = IOVA, .lg2 = 12, .leaf_only = true};
    struct guest g;
    uint64_t root[2], at[2];
    unsigned i;

    (void)state;
    up(&g, 0);
    for (i = 0; i < 2; i++) {
        root[i] = page(&g);
        at[i] = fs_page(&g, root[i], 4, IOVA);
        first(&g, nested(&g, i, 9, root[0], 4));
    }
    assert_int_equal(dma(&g, 1, IOVA), at[0]);
    words(&g, root[0])[0] = words(&g, root[1])[0];
    told(&g, leaves);
    assert_int_equal(dma(&g, 1, IOVA), at[0]);
    told(&g, INV_GUEST(9, 1, IOVA, 12));
    assert_int_equal(dma(&g, 1, IOVA), at[1]);
    rig_down(g.rig);
}

/* The host takes a page away from below: by the id of the nested entry, whole. */
static void host_changes(void **state)
{
    struct guest g;
    uint64_t root, a, now, table;
    unsigned mode;

    (void)state;
    for (mode = 0; mode < 8; mode++) {
        up(&g, mode);
        now = rig_frame(g.rig);
        root = page(&g);
        a = fs_page(&g, root, 4, IOVA);
        first(&g, nested(&g, 0, 9, root, 4));
        first(&g, nested(&g, 3, 9, root, 4));
        hwm_watch(g.rig->hw, RID, IOVA);
        assert_int_equal(dma(&g, 0, IOVA), a);
        assert_int_equal(dma(&g, 3, IOVA), a);

        *ss_entry(&g, *fs_entry(&g, root, 4, IOVA) & ADDR) = now | 3;
        told(&g, INV_DOMAIN(8));
        told(&g, rig_pages(9, *fs_entry(&g, root, 4, IOVA) & ADDR, 12));
        told(&g, INV_GUEST(9, 3, IOVA, 12));
        assert_int_equal(dma(&g, 0, IOVA), a); /* this would be a leak */
        assert_true(hwm_caches_page(g.rig->hw, a) & HWM_HOLD_LEAF);
        told(&g, INV_DOMAIN(9));
        assert_int_equal(hwm_caches_page(g.rig->hw, a), 0);
        assert_int_equal(dma(&g, 0, IOVA), now);
        assert_int_equal(dma(&g, 3, IOVA), now);

        /* A page that was a table of the guest: no walk may go on in it. */
        table = host_pa(&g, root);
        *ss_entry(&g, root) = 0;
        told(&g, rig_pages(9, root, 12));
        assert_true(hwm_caches_page(g.rig->hw, table) != 0);
        told(&g, INV_DOMAIN(9));
        assert_int_equal(hwm_caches_page(g.rig->hw, table), 0);
        assert_int_equal(dma(&g, 0, IOVA), RIG_BLOCKED);
        assert_int_equal(reason(&g, 3, IOVA), 0x75);

        /* And back: in caching mode the absence is cached until the same is said again. */
        *ss_entry(&g, root) = table | 3;
        assert_int_equal(dma(&g, 0, IOVA), mode & 2 ? RIG_BLOCKED : now);
        told(&g, INV_DOMAIN(9));
        assert_int_equal(dma(&g, 0, IOVA), now);
        rig_down(g.rig);
    }
}

/* --- what a guest cannot ------------------------------------------------------------------------ */

/*
 * Whatever the guest's tables name, only what the host's table maps is reached: not even the accessed bit
 * of a page outside is set.
 */
static void outside(void **state)
{
    struct guest g;
    uint64_t root, trap, a;
    unsigned mode, i;

    (void)state;
    for (mode = 0; mode < 8; mode++) {
        up(&g, mode);
        trap = rig_page(g.rig); /* the host's; as a table of any level it would lead to itself */
        for (i = 0; i < 512; i++) {
            rig_words(g.rig, trap)[i] = trap | 7;
        }
        root = page(&g);
        a = fs_page(&g, root, 4, IOVA);
        *fs_entry(&g, root, 4, 0x2000) = trap | 7;
        words(&g, root)[1] = trap | 7;                        /* a table */
        words(&g, root)[2] = g.ss | 7;                        /* the table below */
        words(&g, root)[3] = (g.rig->unit.root.a & ADDR) | 7; /* the unit's own */
        words(&g, root)[4] = ADDR | 7;                        /* nothing at all */
        first(&g, nested(&g, 0, 9, root, 4));
        assert_int_equal(dma(&g, 0, IOVA), a);
        assert_int_equal(dma(&g, 0, 0x2000), RIG_BLOCKED);
        assert_int_equal(reason(&g, 0, 0x2000), 0x79);
        for (i = 1; i <= 4; i++) {
            assert_int_equal(dma(&g, 0, (uint64_t)i << 39), RIG_BLOCKED);
            assert_int_equal(reason(&g, 0, (uint64_t)i << 39), i < 4 ? 0x76 : 0x74);
        }
        first(&g, nested(&g, 1, 10, trap, 4)); /* the root */
        assert_int_equal(dma(&g, 1, IOVA), RIG_BLOCKED);
        assert_int_equal(reason(&g, 1, IOVA), 0x75);
        first(&g, nested(&g, 64, 11, trap, 5));
        assert_int_equal(dma(&g, 64, IOVA), RIG_BLOCKED);
        for (i = 0; i < 512; i++) {
            assert_int_equal(rig_words(g.rig, trap)[i], trap | 7);
        }
        assert_int_equal(hwm_caches_page(g.rig->hw, trap), 0);
        rig_down(g.rig);
    }
}

/* Rights are those of both tables. */
static void rights(void **state)
{
    struct guest g;
    uint64_t root, at[2], pa;
    unsigned i;

    (void)state;
    up(&g, 0);
    root = page(&g);
    for (i = 0; i < 2; i++) {
        at[i] = fs_page(&g, root, 4, IOVA + i * 0x1000);
    }
    *fs_entry(&g, root, 4, IOVA) &= ~2ull;
    *ss_entry(&g, *fs_entry(&g, root, 4, IOVA + 0x1000) & ADDR) &= ~2ull;
    first(&g, nested(&g, 0, 9, root, 4));
    for (i = 0; i < 2; i++) {
        assert_int_equal(dma(&g, 0, IOVA + i * 0x1000), RIG_BLOCKED);
        assert_int_equal(reason(&g, 0, IOVA + i * 0x1000), 0x85);
        assert_int_equal(hwm_dma(g.rig->hw, RID, IOVA + i * 0x1000, false, &pa, NULL), HWM_OK);
        assert_int_equal(pa, at[i]);
    }
    rig_down(g.rig);
}

/* Two guests use the same PASIDs and addresses. */
static void two_guests(void **state)
{
    struct guest g[2];
    uint64_t root[2], a[2], b[2];
    unsigned i;

    (void)state;
    up(&g[0], 0);
    guest_new(&g[1], g[0].rig, 4);
    first(&g[0], plain(&g[0], 0, 8));
    for (i = 0; i < 2; i++) {
        root[i] = page(&g[i]);
        a[i] = fs_page(&g[i], root[i], 4, IOVA);
        b[i] = fs_page(&g[i], root[i], 4, IOVA + 0x1000);
        first(&g[i], nested(&g[i], 4 + i, (uint16_t)(9 + i), root[i], 4));
        assert_int_equal(dma(&g[i], 4 + i, IOVA), a[i]);
        *fs_entry(&g[i], root[i], 4, IOVA) = *fs_entry(&g[i], root[i], 4, IOVA + 0x1000);
    }
    assert_int_equal(root[0], root[1]); /* as they see it */
    told(&g[0], INV_GUEST(9, 4, 0, 64));
    assert_int_equal(dma(&g[0], 4, IOVA), b[0]);
    assert_int_equal(dma(&g[1], 5, IOVA), a[1]);
    told(&g[1], INV_DOMAIN(10));
    assert_int_equal(dma(&g[1], 5, IOVA), b[1]);
    rig_down(g[0].rig);
}

/* --- what the driver does not do ----------------------------------------------------------------- */

static int refused(const struct guest *g, struct pvi_dev_entry to)
{
    bool absent = false;
    int rc = pvi_vtd_unit_switch(&g->rig->unit, RID, &to, &absent);

    if (rc) {
        assert_int_equal(go(g, to.pasid, IOVA, true), RIG_BLOCKED);
    }
    return rc;
}

/* A spoilt entry is refused, and nothing changes; what has limits is taken at them. */
static void refuses(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct pvi_dev_entry to;
    struct guest g;
    uint64_t root, used;
    unsigned i;

    (void)state;
    full_cfg(&cfg);
    cfg.fs5lp = false;
    guest_new(&g, rig_new_enabled(&cfg), 4);
    root = page(&g);
    used = pvi_posix_pages_used(g.rig->host);
    for (i = 1; i < 256; i++) {
        if (i != 4) {
            assert_int_equal(refused(&g, nested(&g, 0, 1, root, i)), -PVI_EOPNOTSUPP);
        }
    }
    to = nested(&g, 0, 1, root, 4);
    to.guest.depth = 1;
    assert_int_equal(refused(&g, to), -PVI_EOPNOTSUPP);
    to.guest.depth = 0;
    for (i = 1; i < 256; i++) {
        if (i != PVI_GUEST_WRITE_PROTECT) { /* the unit has no supervisor requests */
            to.guest.flags = (uint8_t)i;
            assert_int_equal(refused(&g, to), -PVI_EOPNOTSUPP);
        }
    }
    assert_int_equal(refused(&g, nested(&g, 0, 1, root + 8, 4)), -PVI_EOPNOTSUPP);
    assert_int_equal(refused(&g, nested(&g, 0, 1, 1ull << 46, 4)), -PVI_EOPNOTSUPP);
    assert_int_equal(refused(&g, nested(&g, 0, 1, 1ull << 48, 4)), -PVI_EOPNOTSUPP);
    assert_int_equal(refused(&g, nested(&g, 0, 0, root, 4)), -PVI_EOPNOTSUPP);
    assert_int_equal(refused(&g, nested(&g, 1u << 14, 1, root, 4)), -PVI_EOPNOTSUPP);
    assert_int_equal(pvi_posix_pages_used(g.rig->host), used);

    to = nested(&g, 0, 1, (1ull << 46) - 0x1000, 4);
    to.guest.flags = PVI_GUEST_WRITE_PROTECT;
    first(&g, to);
    assert_int_equal(reason(&g, 0, IOVA), 0x75); /* a legal entry: the host maps nothing there */
    rig_down(g.rig);
}

/* A table of three levels reaches 39 bits: the root must lie there. */
static void narrow_parent(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct guest g;
    uint64_t root, a;

    (void)state;
    full_cfg(&cfg);
    cfg.sagaw = 2;
    cfg.mgaw = 39;
    guest_new(&g, rig_new_enabled(&cfg), 3);
    root = page(&g);
    a = fs_page(&g, root, 4, IOVA);
    assert_int_equal(refused(&g, nested(&g, 0, 1, 1ull << 39, 4)), -PVI_EOPNOTSUPP);
    assert_int_equal(refused(&g, nested(&g, 0, 1, 1ull << 39 | root, 4)), -PVI_EOPNOTSUPP);
    first(&g, nested(&g, 0, 1, root, 4));
    assert_int_equal(dma(&g, 0, IOVA), a);
    *fs_entry(&g, root, 4, IOVA + 0x1000) = 1ull << 39 | (page(&g) | PTE);
    assert_int_equal(dma(&g, 0, IOVA + 0x1000), RIG_BLOCKED);
    assert_int_equal(reason(&g, 0, IOVA + 0x1000), 0x74);
    rig_down(g.rig);
}

/* What a unit offers, and an erratum that only its capability tells of. */
static void capabilities(void **state)
{
    struct hwm_vtd_cfg cfg;
    struct guest g;
    uint64_t root;
    unsigned i;

    (void)state;
    for (i = 0; i < 2; i++) {
        full_cfg(&cfg);
        cfg.nest = i;
        guest_new(&g, rig_new_enabled(&cfg), 4);
        assert_int_equal(g.rig->unit.unit.caps.guest_levels, i ? 1u << 4 | 1u << 5 : 0);
        assert_int_equal(g.rig->unit.unit.caps.guest_depth, 0);
        assert_int_equal(g.rig->unit.unit.caps.guest_flags, i ? PVI_GUEST_WRITE_PROTECT : 0);
        assert_false(g.rig->unit.unit.caps.parent_rw);
        root = page(&g);
        assert_int_equal(refused(&g, nested(&g, 0, 1, root, 4)), i ? 0 : -PVI_EOPNOTSUPP);
        rig_down(g.rig);
    }
}

/* Some units may have no read-only leaf there: the core sees to that, the driver only says so. */
static void erratum(void **state)
{
    struct pvi_vtd_cfg cfg = {.reg_pa = RIG_REGS,
                              .reg_size = RIG_REGS_SIZE,
                              .haw_bits = 46,
                              .scalable = true,
                              .quirks = PVI_VTD_QUIRK_PARENT_RW};
    struct hwm_vtd_cfg hw;
    struct guest g;
    uint64_t root, a, pa;

    (void)state;
    full_cfg(&hw);
    guest_new(&g, rig_new(&hw), 4);
    assert_int_equal(pvi_vtd_unit_init(&g.rig->unit, g.rig->host, &cfg), 0);
    assert_int_equal(pvi_vtd_unit_enable(&g.rig->unit), 0);
    assert_true(g.rig->unit.unit.caps.parent_rw);
    root = page(&g);
    a = fs_page(&g, root, 4, IOVA);
    first(&g, nested(&g, 0, 1, root, 4));
    *ss_entry(&g, *fs_entry(&g, root, 4, IOVA) & ADDR) &= ~2ull;
    assert_int_equal(dma(&g, 0, IOVA), RIG_BLOCKED);
    assert_int_equal(hwm_dma(g.rig->hw, RID, IOVA, false, &pa, NULL), HWM_OK);
    assert_int_equal(pa, a);
    rig_down(g.rig);
}

/* Nothing stays behind a unit that goes down. */
static void shut_down(void **state)
{
    struct guest g;
    size_t counts[5];
    uint64_t root, a;

    (void)state;
    up(&g, 0);
    root = page(&g);
    a = fs_page(&g, root, 4, IOVA);
    first(&g, nested(&g, 0, 1, root, 4));
    first(&g, nested(&g, 3, 1, root, 4));
    assert_int_equal(dma(&g, 0, IOVA), a);
    assert_int_equal(dma(&g, 3, IOVA), a);
    assert_int_equal(pvi_vtd_unit_disable(&g.rig->unit), 0);
    hwm_cache_counts(g.rig->hw, counts);
    assert_int_equal(counts[0] + counts[1] + counts[2] + counts[3], 0);
    rig_free(g.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(levels),
        cmocka_unit_test(guest_changes),  cmocka_unit_test(guest_changes_table),
        cmocka_unit_test(host_changes),   cmocka_unit_test(outside),
        cmocka_unit_test(rights),         cmocka_unit_test(two_guests),
        cmocka_unit_test(refuses),        cmocka_unit_test(narrow_parent),
        cmocka_unit_test(capabilities),   cmocka_unit_test(erratum),
        cmocka_unit_test(shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
