/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43: contexts with a guest's own tables and PASIDs (sub-operations 9 to 12, and reattach_device's pasid), both layouts, on a unit without
 * hardware that has them, and what is answered where it has not.
 */
#include <string.h>

#include "xen43_rig.h"

#define GUEST_ROOT 0x4321ull

static struct fx f;
static struct x43 x;

/* What the unit was told last. */
static struct {
    struct pvi_inv inv[64];
    unsigned nr;
} seen;

static void told(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)opaque;
    (void)u;
    if (inv->kind != PVI_INV_WBUF && seen.nr < 64) {
        seen.inv[seen.nr++] = *inv;
    }
}

/* depth: of GCR3 tables, as AMD-Vi has them; 0: as VT-d. */
static void up(bool compat, unsigned guest_levels, unsigned depth, unsigned pasid_bits, bool offered)
{
    struct fx_cfg cfg = {.no_init = true};
    struct pvi_domain_cfg dc;

    fx_machine(&f, &cfg);
    f.unit[0].null.unit.caps.guest_levels = (uint8_t)guest_levels;
    f.unit[0].null.unit.caps.guest_depth = (uint8_t)depth;
    f.unit[0].null.unit.caps.guest_flags = depth == 0 ? PVI_GUEST_SUPERVISOR | PVI_GUEST_WRITE_PROTECT : 0;
    f.unit[0].null.unit.caps.pasid_bits = (uint8_t)pasid_bits;
    f.unit[0].null.told = told;
    dc = fx_domain_cfg(&f);
    dc.nested = offered;
    dc.max_pasids = offered ? 3 : 0;
    fx_domain(&f, &dc);
    memset(&x, 0, sizeof(x));
    x43_attach(&x, &f, compat);
}

static void put(unsigned at, unsigned at32, unsigned len, uint64_t value)
{
    memcpy(x.mem + X43_AT + (x.compat ? at32 : at), &value, len);
}

static uint64_t get(unsigned at, unsigned at32, unsigned len)
{
    uint64_t value = 0;

    memcpy(&value, x.mem + X43_AT + (x.compat ? at32 : at), len);
    return value;
}

static void begin(void)
{
    memset(x.mem, X43_GARBAGE, X43_MEM);
}

static int alloc_nested(uint64_t gfn, uint64_t flags, unsigned *ctx)
{
    int rc;

    begin();
    put(0, 0, 2, 0xeeee);
    put(8, 4, 8, gfn);
    put(16, 12, 8, flags);
    rc = x43_call(&x, 9);
    CHECK_EQ(get(8, 4, 8), gfn);
    CHECK_EQ(get(16, 12, 8), flags);
    if (rc == 0) {
        CHECK_EQ(get(2, 2, 2), 0); /* padding */
        CHECK_EQ(get(4, 2, x.compat ? 2 : 4), 0);
        *ctx = (unsigned)get(0, 0, 2);
    } else {
        CHECK_EQ(get(0, 0, 2), 0xeeee);
    }
    return rc;
}

static int flush_nested(unsigned ctx, uint32_t pasid, uint64_t dfn, uint32_t nr, uint32_t flags)
{
    begin();
    put(0, 0, 2, ctx);
    put(2, 2, 2, 0);
    put(4, 4, 4, pasid);
    put(8, 8, 8, dfn);
    put(16, 16, 4, nr);
    put(20, 20, 4, flags);
    seen.nr = 0;
    return x43_call(&x, 10);
}

static int with_pasid(unsigned subop, unsigned ctx, unsigned dev, uint32_t pasid)
{
    uint32_t sbdf = f.dev[dev].sbdf.v;
    unsigned at = subop == 12 ? 0 : 2;

    begin();
    if (subop != 12) {
        put(0, 0, 2, ctx);
    }
    put(at, at, 2, sbdf >> 16);
    put(at + 2, at + 2, 1, sbdf >> 8);
    put(at + 3, at + 3, 1, sbdf);
    put(subop == 12 ? 4 : 8, subop == 12 ? 4 : 8, 4, pasid);
    return x43_call(&x, subop);
}

static int simple(unsigned subop, unsigned ctx, uint32_t flags)
{
    begin();
    put(0, 0, subop == 2 ? 4 : 2, ctx);
    put(4, 4, 4, flags);
    return x43_call(&x, subop);
}

static unsigned alloc(void)
{
    CHECK_RC(simple(3, 0, 0), 0);
    return (unsigned)get(0, 0, 2);
}

static int map(unsigned ctx, uint64_t dfn, uint64_t gfn, uint32_t nr)
{
    x43_begin(&x, 6);
    x43_put(&x, MAP_CTX, ctx);
    x43_put(&x, MAP_DFN, dfn);
    x43_put(&x, MAP_GFN, gfn);
    x43_put(&x, MAP_NR, nr);
    x43_put(&x, MAP_FLAGS, 3);
    x43_put(&x, MAP_PGSIZE, 4096);
    return x43_call(&x, 6);
}

static int unmap(unsigned ctx, uint64_t dfn, uint32_t nr)
{
    x43_begin(&x, 7);
    x43_put(&x, UN_CTX, ctx);
    x43_put(&x, UN_DFN, dfn);
    x43_put(&x, UN_NR, nr);
    x43_put(&x, UN_PGSIZE, 4096);
    return x43_call(&x, 7);
}

static const struct pvi_dev_entry *entry_of(unsigned dev)
{
    return &f.unit[0].null.entry[f.dev[dev].rid[0]];
}

static const struct pvi_dev_entry *pasid_entry(unsigned dev, uint32_t pasid)
{
    const struct pvi_posix_null *n = &f.unit[0].null;

    for (size_t i = 0; i < n->nr_pasids; i++) {
        if (n->pasid[i].rid == f.dev[dev].rid[0] && n->pasid[i].entry.pasid == pasid) {
            return &n->pasid[i].entry;
        }
    }
    return NULL;
}

static unsigned told_of(unsigned kind, unsigned did)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < seen.nr; i++) {
        nr += seen.inv[i].kind == kind && seen.inv[i].did == did;
    }
    return nr;
}

static void test_life(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        unsigned depth = i >> 1 ? 2 : 0, parent, nested, second;
        uint64_t base = (uint64_t)depth << 1, flags;
        uint16_t did;

        check_case("compat %u, depth %u", i & 1, depth);
        up(i & 1, depth != 0 ? 0x10 : 0x30, depth != 0 ? 3 : 0, 0, true);
        CHECK_RC(alloc_nested(GUEST_ROOT, base, &nested), X43_ENOSPC); /* before init, as alloc */
        CHECK_RC(simple(2, 8, 10), 0);
        begin();
        CHECK_RC(x43_call(&x, 1), 0);
        CHECK_EQ(x43_get(&x, CAP_FLAGS) & 0xc, 4);
        CHECK_EQ(x43_get(&x, CAP_MAX_PASID), 0);
        parent = alloc();
        CHECK_RC(map(parent, GUEST_ROOT, GUEST_PV, 600), 0);
        flags = base | (uint64_t)parent << 16 | (depth == 0 ? 0x19u : 0u); /* 5 levels, supervisor, write protection */
        CHECK_RC(alloc_nested(GUEST_ROOT, flags, &nested), 0);
        CHECK_RC(alloc_nested(GUEST_ROOT, base, &second), 0); /* on the default context */
        CHECK(nested != parent && second != nested);
        CHECK_RC(with_pasid(5, nested, 0, 0), 0);
        did = entry_of(0)->did;
        CHECK_EQ(entry_of(0)->root.a, fx_root(&f, parent));
        CHECK_EQ(entry_of(0)->levels, 4);
        CHECK_EQ(entry_of(0)->guest.root, GUEST_ROOT << 12);
        CHECK_EQ(entry_of(0)->guest.levels, depth == 0 ? 5 : 4);
        CHECK_EQ(entry_of(0)->guest.depth, depth);
        CHECK_EQ(entry_of(0)->guest.flags, depth == 0 ? 3 : 0);
        CHECK_RC(with_pasid(5, second, 1, 0), 0);
        CHECK_EQ(entry_of(1)->root.a, fx_root(&f, 0));
        CHECK(entry_of(1)->did != did);
        /* What the parent gives up is forgotten under the nested id, whole; the other one's parent is another. */
        seen.nr = 0;
        CHECK_RC(unmap(parent, GUEST_ROOT + 5, 1), 0);
        CHECK_EQ(told_of(PVI_INV_DOMAIN, did), 1);
        CHECK_EQ(seen.nr, 1);
        CHECK_RC(simple(4, parent, 0), X43_EBUSY);
        CHECK_RC(simple(4, parent, 1), X43_EBUSY);
        CHECK_RC(simple(4, nested, 0), X43_EBUSY);
        CHECK_RC(simple(4, nested, 1), 0);
        CHECK(entry_of(0)->guest.levels == 0 && entry_of(0)->root.a == fx_root(&f, 0));
        CHECK_RC(simple(4, parent, 0), 0);
        fx_end(&f, false);
    }
}

static void test_alloc_errors(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        unsigned parent, nested, other;

        up(i != 0, 0x10, 0, 0, true);
        CHECK_RC(simple(2, 8, 10), 0);
        parent = alloc();
        for (unsigned bit = 0; bit < 64; bit++) {
            int rc = alloc_nested(GUEST_ROOT, (uint64_t)1 << bit, &nested);

            check_step("flag bit %u", bit);
            if (bit == 3 || bit == 4) { /* rights of requests */
                CHECK_RC(rc, 0);
            } else if (bit == 16) { /* the parent is context 1 */
                CHECK_RC(rc, 0);
            } else { /* parents 2 and 4 are nested */
                CHECK_RC(rc, bit == 0 ? X43_EOPNOTSUPP : bit > 18 && bit < 32 ? X43_ENOENT : X43_EINVAL);
            }
        }
        CHECK_RC(alloc_nested(GUEST_ROOT, (uint64_t)nested << 16, &other), X43_EINVAL); /* nested itself */
        CHECK_RC(alloc_nested(1ull << 36, 0, &other), X43_ERANGE);
        CHECK_RC(alloc_nested(UINT64_MAX, 0, &other), X43_ERANGE);
        CHECK_RC(alloc_nested((1ull << 36) - 1, 0, &other), 0);
        CHECK_RC(map(nested, 0x1000, GUEST_PV, 1), X43_EINVAL);
        CHECK_RC(map(nested, 0x1000, GUEST_PV, 0), X43_EINVAL);
        CHECK_RC(unmap(nested, 0x1000, 1), X43_EINVAL);
        for (unsigned n = 5; n < 8; n++) {
            CHECK_RC(alloc_nested(GUEST_ROOT, 0, &other), 0);
        }
        CHECK_RC(alloc_nested(GUEST_ROOT, 0, &other), X43_ENOSPC);
        CHECK_RC(simple(4, parent, 0), X43_EBUSY);
        fx_end(&f, false);
    }
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* The number that the guest never learns goes again. */
static void test_alloc_untold(void **state)
{
    unsigned nested;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        up(i & 1, 0x10, 0, 0, true);
        CHECK_RC(simple(2, 1, 10), 0);
        if ((i & 2) != 0) {
            pvi_posix_preempt_call(f.host, always, NULL);
        }
        pvi_posix_fail(f.host, PVI_AT_COPY_OUT, 1, false);
        begin();
        put(8, 4, 8, GUEST_ROOT);
        put(16, 12, 8, 0);
        CHECK_RC(x43_call(&x, 9), X43_EFAULT);
        pvi_posix_preempt_call(f.host, NULL, NULL);
        CHECK_RC(alloc_nested(GUEST_ROOT, 0, &nested), 0); /* there is just one number */
        fx_end(&f, false);
    }
}

static void test_flush(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        unsigned plain, nested;
        uint16_t did;

        up(i != 0, 0x10, 0, 0, true);
        CHECK_RC(simple(2, 8, 10), 0);
        plain = alloc();
        CHECK_RC(alloc_nested(GUEST_ROOT, 0, &nested), 0);
        CHECK_RC(flush_nested(nested, 0, 0, 0, 0), 0);
        CHECK_EQ(seen.nr, 0); /* nothing is attached */
        CHECK_RC(with_pasid(5, nested, 0, 0), 0);
        did = entry_of(0)->did;
        CHECK_RC(flush_nested(nested, 0, 0x1234, 1, 0), 0);
        CHECK_EQ(seen.nr, 1);
        CHECK(seen.inv[0].kind == PVI_INV_GUEST && seen.inv[0].did == did && seen.inv[0].pasid == 0 && seen.inv[0].lg2 == 12 &&
              seen.inv[0].iova == 0x1234000 && !seen.inv[0].leaf_only);
        CHECK_RC(flush_nested(nested, 77, 0x1200, 0x201, 0), 0);
        CHECK_EQ(seen.nr, 2);
        CHECK(seen.inv[0].lg2 == 21 && seen.inv[0].iova == 0x1200000 && seen.inv[0].pasid == 77);
        CHECK(seen.inv[1].lg2 == 12 && seen.inv[1].iova == 0x1400000 && seen.inv[1].pasid == 77);
        CHECK_RC(flush_nested(nested, 77, 0, 0, 0), 0);
        CHECK(seen.nr == 1 && seen.inv[0].kind == PVI_INV_GUEST && seen.inv[0].lg2 == 64 && seen.inv[0].pasid == 77);
        CHECK_RC(flush_nested(nested, 77, 1, 0xffffffff, 0), 0); /* more pieces than it is worth */
        CHECK(seen.nr == 1 && seen.inv[0].kind == PVI_INV_GUEST && seen.inv[0].lg2 == 64 && seen.inv[0].pasid == 77);
        CHECK_RC(flush_nested(nested, 0, 0, 0, 1), 0);
        CHECK(seen.nr == 1 && seen.inv[0].kind == PVI_INV_DOMAIN && seen.inv[0].did == did);
        CHECK_RC(flush_nested(nested, 0xfffff, 0xfffffffffffffull, 1, 0), 0); /* the last page, the last PASID */
        CHECK(seen.nr == 1 && seen.inv[0].iova == 0xfffffffffffff000ull);
        CHECK_RC(flush_nested(nested, 0x100000, 0, 0, 0), X43_ERANGE);
        CHECK_RC(flush_nested(nested, 0xffffffff, 0, 0, 0), X43_ERANGE);
        CHECK_RC(flush_nested(nested, 0, 0xfffffffffffffull, 2, 0), X43_EINVAL);
        CHECK_RC(flush_nested(nested, 0, UINT64_MAX, 1, 0), X43_EINVAL);
        CHECK_RC(flush_nested(nested, 0, 5, 0, 0), X43_EINVAL);
        CHECK_RC(flush_nested(nested, 1, 0, 0, 1), X43_EINVAL);
        CHECK_RC(flush_nested(nested, 0, 1, 0, 1), X43_EINVAL);
        CHECK_RC(flush_nested(nested, 0, 0, 1, 1), X43_EINVAL);
        for (unsigned bit = 1; bit < 32; bit++) {
            CHECK_RC(flush_nested(nested, 0, 0, 0, 1u << bit), X43_EINVAL);
        }
        CHECK_RC(flush_nested(plain, 0, 0, 0, 0), X43_EINVAL);
        CHECK_RC(flush_nested(0, 0, 0, 0, 0), X43_EINVAL);
        CHECK_RC(flush_nested(7, 0, 0, 0, 0), X43_ENOENT);
        begin();
        memset(x.mem + X43_AT, 0, 24);
        put(0, 0, 2, nested);
        put(2, 2, 2, 1); /* reserved */
        CHECK_RC(x43_call(&x, 10), X43_EINVAL);
        fx_end(&f, false);
    }
}

static void test_pasids(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        unsigned a, b;

        up(i != 0, 0x10, 0, 14, true);
        CHECK_RC(with_pasid(11, 1, 0, 5), X43_ENOENT); /* before init, as reattach */
        CHECK_RC(with_pasid(12, 0, 0, 5), X43_ENOENT);
        CHECK_RC(flush_nested(1, 0, 0, 0, 0), X43_ENOENT);
        CHECK_RC(simple(2, 8, 10), 0);
        begin();
        CHECK_RC(x43_call(&x, 1), 0);
        CHECK_EQ(x43_get(&x, CAP_FLAGS) & 0xc, 0xc);
        CHECK_EQ(x43_get(&x, CAP_MAX_PASID), 0x3fff);
        a = alloc();
        CHECK_RC(alloc_nested(GUEST_ROOT, 0, &b), 0);
        CHECK_RC(with_pasid(11, a, 0, 5), 0);
        CHECK_EQ(pasid_entry(0, 5)->root.a, fx_root(&f, a));
        CHECK_EQ(entry_of(0)->root.a, fx_root(&f, 0)); /* others stay where they are */
        CHECK_RC(with_pasid(11, b, 0, 0x3fff), 0);
        CHECK_EQ(pasid_entry(0, 0x3fff)->guest.root, GUEST_ROOT << 12);
        CHECK_RC(with_pasid(11, b, 0, 5), -17); /* EEXIST */
        CHECK_RC(with_pasid(11, a, 0, 0), X43_EINVAL);
        CHECK_RC(with_pasid(11, a, 0, 0x4000), X43_ERANGE);
        CHECK_RC(with_pasid(11, a, 0, 0xffffffff), X43_ERANGE);
        CHECK_RC(with_pasid(11, 7, 0, 6), X43_ENOENT);
        f.dev[2].sbdf.v = f.dev[0].sbdf.v ^ 0x10000; /* another segment's */
        CHECK_RC(with_pasid(11, a, 2, 6), X43_ENODEV);
        CHECK_RC(with_pasid(12, 0, 2, 5), X43_ENODEV);
        CHECK_RC(with_pasid(11, 0, 1, 5), 0); /* the default context, another device */
        CHECK_RC(with_pasid(11, a, 1, 6), X43_ENOSPC); /* as many as the host allows */
        CHECK_RC(with_pasid(5, b, 0, 5), 0);
        CHECK_EQ(pasid_entry(0, 5)->guest.root, GUEST_ROOT << 12);
        CHECK_RC(with_pasid(5, b, 0, 6), X43_ENOENT); /* reattach moves what is attached */
        CHECK_RC(simple(4, b, 0), X43_EBUSY);
        CHECK_RC(with_pasid(12, 0, 0, 5), 0);
        CHECK(!pasid_entry(0, 5)->translate);
        CHECK_RC(with_pasid(12, 0, 0, 5), X43_ENOENT);
        CHECK_RC(with_pasid(12, 0, 0, 0), X43_EINVAL);
        CHECK_RC(simple(4, b, 1), 0);
        CHECK(!pasid_entry(0, 0x3fff)->translate);
        CHECK_RC(simple(4, a, 0), 0);
        fx_end(&f, false);
    }
}

/* Units without, and hosts that do not offer it. */
static void test_without(void **state)
{
    unsigned nested;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        bool has = i >> 1;

        up(i & 1, has ? 0x10 : 0, 0, has ? 14 : 0, !has);
        for (unsigned init = 0; init < 2; init++) {
            begin();
            CHECK_RC(x43_call(&x, 1), 0);
            CHECK_EQ(x43_get(&x, CAP_FLAGS) & 0xc, 0);
            CHECK_EQ(x43_get(&x, CAP_MAX_PASID), 0);
            CHECK_RC(alloc_nested(GUEST_ROOT, 0, &nested), X43_EOPNOTSUPP);
            CHECK_RC(flush_nested(1, 0, 0, 0, 0), X43_EOPNOTSUPP);
            CHECK_RC(with_pasid(11, 1, 0, 5), X43_EOPNOTSUPP);
            CHECK_RC(with_pasid(12, 0, 0, 5), X43_EOPNOTSUPP);
            CHECK_RC(with_pasid(5, 1, 0, 5), X43_EOPNOTSUPP);
            CHECK_RC(init == 0 ? simple(2, 8, 10) : 0, 0);
        }
        fx_end(&f, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),  cmocka_unit_test(test_alloc_errors), cmocka_unit_test(test_alloc_untold),
        cmocka_unit_test(test_flush), cmocka_unit_test(test_pasids),       cmocka_unit_test(test_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
