/* SPDX-License-Identifier: MIT */
/* The native batch: every operation by hand-laid bytes, and every field of header and element at its boundaries. */
#include <string.h>

#include "native_rig.h"

#define DFN 0x40000ull

static struct fx f;
static struct nat n;

/* Operations' numbers, as a guest has them in its own header. */
enum {
    NOOP, CAPS, INIT, ALLOC, FREE, REATTACH, MAP, UNMAP, LOOKUP, FLUSH, RIGHTS, WCREATE, WREMOVE, WQUERY, WRESET, USAGE, FAULT,
    NESTED, NFLUSH, PATTACH, PDETACH, QUERY = 256
};

static void up(const struct fx_cfg *with, bool no_init)
{
    struct fx_cfg cfg = *with;

    cfg.no_init = no_init;
    fx_up(&f, &cfg);
    nat_attach(&n, &f);
}

/* --- a guest's life ------------------------------------------------------------------------------- */

static void windows(unsigned ctx)
{
    CHECK_RC(nat_one(&n, WQUERY, ctx, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_arg(&n, 0, 5) >> 8 & 0xff, 1); /* the one over all */
    nat_begin(&n, 0);
    nat_op(&n, WREMOVE, ctx, 0, 0, 0, 0);
    nat_op(&n, WCREATE, ctx, 0, 0x80000, 0x1000, 0x1000);
    nat_set(&n, 1, E_ARG_AT(4), 8, 12);
    nat_op(&n, WCREATE, ctx, 0, 0x100000, 0x40000, 0);
    nat_op(&n, MAP, ctx, 3, 0x80800, GUEST_PV, 0x800);
    nat_op(&n, MAP, ctx, 3, 0x80800, GUEST_PV, 0x801);
    nat_run(&n);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_RC(nat_status(&n, i), 0);
    }
    CHECK_EQ(nat_arg(&n, 1, 3), 0);
    CHECK_EQ(nat_arg(&n, 2, 3), 1);
    CHECK_RC(nat_status(&n, 4), -PVI_ERANGE);
    CHECK_EQ(nat_field(&n, 4, E_FAULT, 8), 0x81000);
    CHECK_RC(nat_one(&n, WQUERY, ctx, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_arg(&n, 0, 0), 0x80000);
    CHECK_EQ(nat_arg(&n, 0, 1), 0x1000);
    CHECK_EQ(nat_arg(&n, 0, 2), 0x1000);
    CHECK_EQ(nat_arg(&n, 0, 4), 12);
    CHECK_EQ(nat_arg(&n, 0, 5) >> 8, 1 | (PVI_MAX_WINDOWS - 2) << 8);
    CHECK_RC(nat_one(&n, WRESET, ctx, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_field(&n, 0, E_DONE, 8), 0);
}

static void figures(unsigned ctx)
{
    struct pvi_fault fault = {.iova = 0x12345000, .rid = f.dev[0].rid[0], .code = 6, .write = true, .translation = true};

    CHECK_RC(pvi_domain_fault(&f.dom, f.dev[0].unit, &fault, 1), 0);
    CHECK_RC(nat_one(&n, USAGE, ctx, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_arg(&n, 0, 2), 0);
    CHECK_EQ(nat_arg(&n, 0, 4), 1);
    CHECK_EQ(nat_arg(&n, 0, 5), 1);
    CHECK_RC(nat_one(&n, FAULT, ctx, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_arg(&n, 0, 0), 0x12345000);
    CHECK_EQ(nat_arg(&n, 0, 1), f.dev[0].sbdf.v);
    CHECK_EQ(nat_arg(&n, 0, 2), f.dev[0].rid[0]);
    CHECK_EQ(nat_arg(&n, 0, 5), 6 | 1 << 16);
    CHECK_RC(nat_one(&n, FAULT, ctx, 0, 0, 0, 0), -PVI_ENOENT);
}

static void life(struct fx *fx, const struct fx_cfg *cfg)
{
    (void)fx;
    up(cfg, true);
    CHECK_RC(nat_one(&n, ALLOC, 0, 0, 0, 0, 0), -PVI_ENOTINIT);
    CHECK_RC(nat_one(&n, INIT, 0, 0, 4, 600, 0), 0);
    CHECK_EQ(nat_field(&n, 0, E_DONE, 8), 0);
    CHECK_RC(nat_one(&n, CAPS, 0, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_arg(&n, 0, 2), 4);
    CHECK_EQ(nat_arg(&n, 0, 3), 600);
    CHECK_EQ(nat_arg(&n, 0, 4), 600);
    CHECK(nat_arg(&n, 0, 5) & 4);
    CHECK_RC(nat_one(&n, ALLOC, 0, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_field(&n, 0, E_CTX, 2), 1);
    CHECK_EQ(nat_field(&n, 0, E_DONE, 8), 0);

    nat_begin(&n, 0);
    nat_op(&n, REATTACH, 1, 0, f.dev[0].sbdf.v, 0, 0);
    nat_op(&n, MAP, 1, 3, DFN, GUEST_PV + 3, 700);
    nat_op(&n, LOOKUP, 1, 0, DFN + 699, 0, 0);
    nat_op(&n, RIGHTS, 1, 1, DFN + 600, 100, 0);
    nat_op(&n, LOOKUP, 1, 0, DFN + 699, 0, 0);
    nat_op(&n, FLUSH, 1, 0, DFN, 1, 0);
    nat_op(&n, UNMAP, 1, 0, DFN, 701, 0);
    nat_op(&n, NOOP, 0, 0, 0, 0, 0);
    nat_run(&n);
    CHECK_EQ(nat_field(&n, 1, E_DONE, 8), 700);
    CHECK_EQ(nat_field(&n, 1, E_FAULT, 8), 0);
    CHECK_EQ(nat_arg(&n, 2, 1), GUEST_PV + 3 + 699);
    CHECK_EQ(nat_arg(&n, 2, 2), 3);
    CHECK_EQ(nat_arg(&n, 4, 2), 1);
    CHECK_EQ(nat_field(&n, 5, E_DONE, 8), 1);
    CHECK_RC(nat_status(&n, 6), -PVI_ENOENT);
    CHECK_EQ(nat_field(&n, 6, E_DONE, 8), 700);
    CHECK_EQ(nat_field(&n, 6, E_FAULT, 8), DFN + 700);
    figures(1);
    windows(1);
    CHECK_RC(nat_one(&n, FREE, 1, 0, 0, 0, 0), -PVI_EBUSY);
    CHECK_RC(nat_one(&n, FREE, 1, 1, 0, 0, 0), 0);
    fx_end(&f, false);
}

static void test_life(void **state)
{
    (void)state;
    fx_each(life);
}

/* What the interface is, before anything else. */
static void test_query(void **state)
{
    static const uint64_t want[6] = {1, 32, 80, 256, 128, PVI_MAX_WINDOWS};
    static struct pvi_domain none;
    struct pvi_domain_cfg dc = {0};
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg, true);
    dc.hdom = f.hdom;
    nat_begin(&n, 0);
    nat_op(&n, QUERY, 0, 0, 0, 0, 0);
    nat_op(&n, QUERY, 0, 1, 0, 0, 0);
    nat_op(&n, QUERY, 0, 0, 0, 0, 0);
    nat_set(&n, 2, E_DOMID, 2, 99);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), 0);
    for (unsigned i = 0; i < 6; i++) {
        CHECK_EQ(nat_arg(&n, 0, i), want[i]);
        CHECK_EQ(nat_arg(&n, 1, i), 0);
    }
    CHECK_RC(nat_status(&n, 1), -PVI_EFLAGS);
    CHECK_RC(nat_status(&n, 2), -PVI_EPERM);
    CHECK_EQ(pvi_domain_init(&none, f.host, &dc), 0); /* as it is without an IOMMU */
    n.call.caller = &none;
    nat_begin(&n, 0);
    nat_op(&n, QUERY, 0, 0, 0, 0, 0);
    nat_op(&n, CAPS, 0, 0, 0, 0, 0);
    nat_op(&n, ALLOC, 0, 0, 0, 0, 0);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), 0);
    CHECK_EQ(nat_arg(&n, 0, 0), 1);
    CHECK_RC(nat_status(&n, 1), 0);
    CHECK_EQ(nat_arg(&n, 1, 2), 0);
    CHECK_RC(nat_status(&n, 2), -PVI_ENOIOMMU);
    nat_begin(&n, NAT_ATOMIC);
    nat_op(&n, MAP, 1, 3, DFN, GUEST_PV, 1);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), -PVI_ENOIOMMU);
    CHECK(!none.held);
    fx_down(&f);
}

/* --- the header ----------------------------------------------------------------------------------- */

/* A header with one value changed is refused, and nothing of the guest's is touched. */
static void refused(unsigned field, unsigned size, uint64_t value, int rc)
{
    static unsigned char before[NAT_SIZE];

    check_case("header field %u is 0x%llx", field, (unsigned long long)value);
    nat_begin(&n, 0);
    nat_op(&n, MAP, 1, 3, DFN, GUEST_PV, 1);
    nat_put(&n, NAT_HEAD + field, size, value);
    memcpy(before, n.mem, sizeof(before));
    CHECK_RC(nat_call(&n), rc);
    CHECK(memcmp(before, n.mem, sizeof(before)) == 0);
    fx_check(&f);
}

static void test_header(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg, false);
    CHECK_EQ(fx_context(&f, 0), 1);
    refused(H_SIZE, 4, 31, -PVI_EINVAL);
    refused(H_SIZE, 4, 0, -PVI_EINVAL);
    refused(H_SIZE, 4, 33, -PVI_ELIMIT);         /* what follows is not zero */
    refused(H_SIZE, 4, 32 + 177, -PVI_ELIMIT);
    refused(H_SIZE, 4, UINT32_MAX, -PVI_ELIMIT);
    refused(H_VERSION, 4, 0, -PVI_EOPNOTSUPP);
    refused(H_VERSION, 4, 2, -PVI_EOPNOTSUPP);
    refused(H_VERSION, 4, UINT32_MAX, -PVI_EOPNOTSUPP);
    refused(H_OP_SIZE, 4, 79, -PVI_EINVAL);
    refused(H_OP_SIZE, 4, 0, -PVI_EINVAL);
    refused(H_OP_SIZE, 4, 257, -PVI_ELIMIT);
    refused(H_OP_SIZE, 4, UINT32_MAX, -PVI_ELIMIT);
    refused(H_FLAGS, 4, 3, -PVI_EFLAGS);
    refused(H_FLAGS, 4, 4, -PVI_EFLAGS);
    refused(H_FLAGS, 4, 5, -PVI_EFLAGS);
    refused(H_FLAGS, 4, 7, -PVI_EFLAGS);
    refused(H_FLAGS, 4, 8, -PVI_EFLAGS);
    refused(H_FLAGS, 4, 0x80000000, -PVI_EFLAGS);
    refused(H_FLAGS, 4, 6, -PVI_ENOENT);
    refused(H_NEXT, 4, 2, -PVI_EINVAL);
    refused(H_NEXT, 4, UINT32_MAX, -PVI_EINVAL);
    refused(H_NR, 4, 0, 0);
    refused(H_NEXT, 4, 1, 0);
    refused(H_OPS, 8, UINT64_MAX - 79, -PVI_EWRAP);
    refused(H_OPS, 8, UINT64_MAX - 80, -PVI_EFAULT);
    refused(H_OPS, 8, NAT_MEM + NAT_SIZE - 79, -PVI_EFAULT);
    refused(H_OPS, 8, NAT_MEM - 1, -PVI_EFAULT);
    refused(H_OPS, 8, 0, -PVI_EFAULT);
    check_case("the header's own address");
    nat_begin(&n, 0);
    CHECK_RC(pvi_native_call(&n.call, NAT_MEM - 4), -PVI_EFAULT);
    CHECK_RC(pvi_native_call(&n.call, UINT64_MAX), -PVI_EFAULT);
    CHECK_RC(pvi_native_call(&n.call, NAT_MEM + NAT_SIZE - 31), -PVI_EFAULT);
    fx_down(&f);
}

/* Headers and elements of callers that know more than we do. */
static void test_larger(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg, false);
    CHECK_EQ(fx_context(&f, 0), 1);
    for (unsigned more = 1; more <= 176; more = more < 4 ? more + 1 : more < 172 ? more + 12 : more + 1) {
        check_case("%u bytes more", more);
        n.op_size = E_BYTES + more;
        nat_begin(&n, 0);
        nat_put(&n, NAT_HEAD + H_SIZE, 4, H_BYTES + more);
        memset(n.mem + NAT_HEAD + H_BYTES, 0, more);
        nat_op(&n, MAP, 1, 3, DFN, GUEST_PV, 2);
        nat_op(&n, UNMAP, 1, 0, DFN, 2, 0);
        nat_run(&n);
        CHECK_RC(nat_status(&n, 0), 0);
        CHECK_RC(nat_status(&n, 1), 0);

        nat_begin(&n, 0);
        nat_op(&n, MAP, 1, 3, DFN, GUEST_PV, 2);
        nat_op(&n, MAP, 1, 3, DFN, GUEST_PV, 2);
        nat_op(&n, NOOP, 0, 0, 0, 0, 0);
        nat_set(&n, 0, E_BYTES + more - 1, 1, 1); /* the last byte */
        nat_set(&n, 1, E_BYTES, 1, 0x80);         /* the first */
        CHECK_RC(nat_call(&n), 0);
        CHECK_RC(nat_status(&n, 0), -PVI_ELIMIT);
        CHECK_RC(nat_status(&n, 1), -PVI_ELIMIT);
        CHECK_RC(nat_status(&n, 2), 0);
        CHECK_EQ(nat_field(&n, 0, E_BYTES + more - 1, 1), 1);
        nat_begin(&n, 0);
        nat_put(&n, NAT_HEAD + H_SIZE, 4, H_BYTES + more);
        memset(n.mem + NAT_HEAD + H_BYTES, 0, more);
        nat_put(&n, NAT_HEAD + H_BYTES + more - 1, 1, 1);
        CHECK_RC(nat_call(&n), -PVI_ELIMIT);
        fx_check(&f);
    }
    fx_down(&f);
}

/* --- elements ------------------------------------------------------------------------------------- */

/* Element 0 answers so, and neither its inputs nor its arguments change; the one behind it runs. */
static void answers(int status)
{
    unsigned char before[E_BYTES];

    nat_op(&n, NOOP, 0, 0, 0, 0, 0);
    memcpy(before, n.mem + nat_at(&n, 0, 0), E_BYTES);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), status);
    CHECK_EQ(nat_field(&n, 0, E_DONE, 8), 0);
    CHECK(memcmp(before, n.mem + nat_at(&n, 0, 0), E_STATUS) == 0);
    CHECK(memcmp(before + E_ARG, n.mem + nat_at(&n, 0, E_ARG), E_BYTES - E_ARG) == 0);
    CHECK_RC(nat_status(&n, 1), 0);
    CHECK_EQ(nat_get(&n, NAT_HEAD + H_NEXT, 4), 2);
    fx_check(&f);
}

/* Which arguments each operation names: bits 0 to 5. */
static const struct {
    unsigned code, args;
    bool ctx;
} names[] = {{NOOP, 0, false}, {CAPS, 0x3f, false}, {INIT, 3, false}, {ALLOC, 0, true}, {FREE, 0, true}, {REATTACH, 1, true},
             {MAP, 7, true}, {UNMAP, 3, true}, {LOOKUP, 15, true}, {FLUSH, 3, true}, {RIGHTS, 3, true}, {WCREATE, 0x1f, true},
             {WREMOVE, 8, true}, {WQUERY, 0x3f, true}, {WRESET, 0, true}, {USAGE, 0x3f, true}, {FAULT, 0x3f, true}, {NESTED, 15, true}, {NFLUSH, 7, true}, {PATTACH, 3, true},
             {PDETACH, 3, false}, {QUERY, 0x3f, false}};

static void test_unnamed(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg, false);
    CHECK_EQ(fx_context(&f, 0), 1);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (unsigned a = 0; a < 6; a++) {
            check_case("operation %u, argument %u", names[i].code, a);
            if ((names[i].args >> a & 1) == 0) {
                nat_begin(&n, 0);
                nat_op(&n, names[i].code, names[i].ctx ? 1 : 0, 0, 0, 0, 0);
                nat_set(&n, 0, E_ARG_AT(a) + 7, 1, 0x80);
                answers(-PVI_EINVAL);
            }
        }
        nat_begin(&n, 0);
        nat_op(&n, names[i].code, names[i].ctx ? 1 : 0, 0, 0, 0, 0);
        nat_set(&n, 0, E_RESERVED + 1, 1, 0x80);
        answers(-PVI_EINVAL);
        if (!names[i].ctx) {
            nat_begin(&n, 0);
            nat_op(&n, names[i].code, 1, 0, 0, 0, 0);
            answers(-PVI_EINVAL);
        }
        nat_begin(&n, 0);
        nat_op(&n, names[i].code, names[i].ctx ? 1 : 0, 0x80000000, 0, 0, 0);
        answers(-PVI_EFLAGS);
    }
    for (unsigned code = 21; code < 0x10000; code = code * 2 - 1) {
        check_case("operation %u", code);
        nat_begin(&n, 0);
        nat_op(&n, code, 0, 0, 0, 0, 0);
        answers(-PVI_EINVAL);
    }
    fx_down(&f);
}

/* Values that do not fit into what the core has for them are not cut off. */
static void test_wide(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg, false);
    CHECK_EQ(fx_context(&f, 0), 1);
    nat_begin(&n, 0);
    nat_op(&n, INIT, 0, 0, 0x100000001, 1, 0);
    answers(-PVI_ELIMIT);
    nat_begin(&n, 0);
    nat_op(&n, INIT, 0, 0, 1, 0x100000001, 0);
    answers(-PVI_ELIMIT);
    nat_begin(&n, 0);
    nat_op(&n, REATTACH, 1, 0, f.dev[0].sbdf.v | 0x100000000, 0, 0);
    answers(-PVI_ENODEV);
    nat_begin(&n, 0);
    nat_op(&n, WREMOVE, 1, 0, 0, 0, 0);
    nat_set(&n, 0, E_ARG_AT(3), 8, 0x10000);
    answers(-PVI_ENOENT);
    nat_begin(&n, 0);
    nat_op(&n, WQUERY, 1, 0, 0, 0, 0);
    nat_set(&n, 0, E_ARG_AT(3), 8, 0x10000); /* not 0 modulo 2^16 */
    nat_op(&n, NOOP, 0, 0, 0, 0, 0);
    CHECK_RC(nat_call(&n), 0);
    CHECK_RC(nat_status(&n, 0), -PVI_ENOENT);
    nat_begin(&n, 0);
    nat_op(&n, WCREATE, 1, 0, 0x80000, 0x1000, 0);
    nat_set(&n, 0, E_ARG_AT(4), 8, 256 + 12);
    nat_set(&n, 0, E_ARG_AT(3), 8, 0);
    answers(-PVI_EOPNOTSUPP);
    fx_down(&f);
}

/* --- stop ----------------------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    struct fx_cfg cfg = {0};

    (void)state;
    up(&cfg, false);
    CHECK_EQ(fx_context(&f, 0), 1);
    for (unsigned at = 0; at < 300; at += 43) {
        for (unsigned how = 0; how < 2; how++) { /* an error of the core, and one of the decoder */
            check_case("fails at %u", at);
            nat_begin(&n, NAT_STOP);
            for (unsigned i = 0; i < 300; i++) {
                nat_op(&n, i == at ? LOOKUP : NOOP, i == at ? 1 : 0, 0, i == at ? DFN : 0, 0, 0);
            }
            nat_set(&n, at, E_RESERVED, 2, how);
            memset(n.mem + nat_at(&n, at + 1, 0), 0xee, 299 - at);
            CHECK_RC(nat_call(&n), 0);
            CHECK_RC(nat_status(&n, at), how == 0 ? -PVI_ENOENT : -PVI_EINVAL);
            CHECK_EQ(nat_get(&n, NAT_HEAD + H_NEXT, 4), at + 1);
            CHECK_EQ(nat_get(&n, NAT_HEAD + H_NR, 4), 300);
            CHECK_EQ(nat_field(&n, at + 1, E_CODE, 1), at < 299 ? 0xee : 0xa5);
        }
    }
    fx_down(&f);
}

/* --- guests' own tables, PASIDs ------------------------------------------------------------------- */

static int nested(uint64_t root, uint64_t parent, uint64_t levels, uint64_t depth, uint32_t flags)
{
    nat_begin(&n, 0);
    nat_op(&n, NESTED, 0, flags, root, parent, levels);
    nat_set(&n, 0, E_ARG_AT(3), 8, depth);
    CHECK_RC(nat_call(&n), 0);
    CHECK_EQ(nat_field(&n, 0, E_DONE, 8), 0);
    return nat_status(&n, 0);
}

/* A batch of one that no oracle looks at. */
static int raw(unsigned code, unsigned ctx, uint32_t flags, uint64_t a0, uint64_t a1, uint64_t a2)
{
    nat_begin(&n, 0);
    nat_op(&n, code, ctx, flags, a0, a1, a2);
    CHECK_RC(nat_call(&n), 0);
    return nat_status(&n, 0);
}

static void test_nested(void **state)
{
    struct fx_cfg cfg = {.no_init = true};
    struct pvi_domain_cfg dc;
    const struct pvi_dev_entry *e;
    unsigned ctx;

    (void)state;
    fx_machine(&f, &cfg);
    f.unit[0].null.unit.caps.guest_levels = 0x30;
    f.unit[0].null.unit.caps.guest_depth = 3;
    f.unit[0].null.unit.caps.guest_flags = PVI_GUEST_SUPERVISOR;
    f.unit[0].null.unit.caps.pasid_bits = 10;
    dc = fx_domain_cfg(&f);
    dc.nested = true;
    dc.max_pasids = 2;
    fx_domain(&f, &dc);
    nat_attach(&n, &f);
    CHECK_RC(raw(INIT, 0, 0, 8, 100, 0), 0);
    CHECK_RC(raw(CAPS, 0, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_arg(&n, 0, 5) >> 32, 0x30 | 3 << 8 | 1 << 16 | 10 << 24);
    CHECK_RC(raw(ALLOC, 0, 0, 0, 0, 0), 0);
    CHECK_EQ(nat_field(&n, 0, E_CTX, 2), 1);
    CHECK_RC(nested(0x4321, 1, 5, 2, 1), 0);
    ctx = (unsigned)nat_field(&n, 0, E_CTX, 2);
    CHECK_RC(raw(REATTACH, ctx, 0, f.dev[0].sbdf.v, 0, 0), 0);
    e = &f.unit[0].null.entry[f.dev[0].rid[0]];
    CHECK(e->guest.root == 0x4321000 && e->guest.levels == 5 && e->guest.depth == 2 && e->guest.flags == 1 && e->root.a == fx_root(&f, 1));
    CHECK_RC(raw(NFLUSH, ctx, 0, 5, 1, 9), 0);
    CHECK_EQ(f.unit[0].null.nr_inv[PVI_INV_GUEST], 1);
    CHECK_RC(raw(NFLUSH, ctx, 1, 0, 0, 0), 0);
    CHECK_RC(raw(PATTACH, ctx, 0, f.dev[1].sbdf.v, 9, 0), 0);
    CHECK_RC(raw(PATTACH, 1, 1, f.dev[1].sbdf.v, 9, 0), 0);
    CHECK_RC(raw(PDETACH, 0, 0, f.dev[1].sbdf.v, 9, 0), 0);
    CHECK_RC(raw(PDETACH, 0, 0, f.dev[1].sbdf.v, 9, 0), -PVI_ENOENT);
    /* Nothing is cut off to something that there is. */
    CHECK_RC(nested(0x4321, 0x10001, 5, 2, 0), -PVI_ENOCTX);
    CHECK_RC(nested(0x4321, 1, 256 + 4, 2, 0), -PVI_EOPNOTSUPP);
    CHECK_RC(nested(0x4321, 1, 4, 256 + 2, 0), -PVI_EOPNOTSUPP);
    CHECK_RC(nested(1ull << 52 | 0x4321, 1, 4, 2, 0), -PVI_ERANGE);
    CHECK_RC(raw(NFLUSH, ctx, 0, 5, 1, 0x100000009), -PVI_ERANGE);
    CHECK_RC(raw(PATTACH, ctx, 0, f.dev[1].sbdf.v, 0x100000009, 0), -PVI_ERANGE);
    CHECK_RC(raw(PATTACH, ctx, 0, f.dev[1].sbdf.v | 1ull << 32, 9, 0), -PVI_ENODEV);
    CHECK_RC(raw(FREE, ctx, 1, 0, 0, 0), 0);
    CHECK_RC(raw(FREE, 1, 0, 0, 0, 0), 0);
    fx_end(&f, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),    cmocka_unit_test(test_query), cmocka_unit_test(test_header), cmocka_unit_test(test_larger),
        cmocka_unit_test(test_unnamed), cmocka_unit_test(test_wide),  cmocka_unit_test(test_stop),
        cmocka_unit_test(test_nested),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
