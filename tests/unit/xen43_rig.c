/* SPDX-License-Identifier: MIT */
/* See xen43_rig.h. */
#include "xen43_rig.h"

#include <string.h>

#include <pviommu/abi/xen43.h>

/* Sub-operation, offset and length for 64-bit guests, and for 32-bit ones. */
static const struct {
    uint8_t subop, at, len, at32, len32;
} fields[X43_FIELDS] = {
    [CAP_MAX_IOVA] = {1, 0, 8, 0, 8},   [CAP_FLAGS] = {1, 8, 4, 8, 4},     [CAP_PGSIZES] = {1, 12, 4, 12, 4},
    [CAP_MAX_PASID] = {1, 16, 4, 16, 4}, [CAP_MAX_CTX] = {1, 20, 2, 20, 2}, [CAP_PAD] = {1, 22, 2, 22, 2},
    [INIT_CONTEXTS] = {2, 0, 4, 0, 4},  [INIT_ORDER] = {2, 4, 4, 4, 4},
    [ALLOC_CTX] = {3, 0, 2, 0, 2},      [ALLOC_FLAGS] = {3, 4, 4, 4, 4},
    [FREE_CTX] = {4, 0, 2, 0, 2},       [FREE_FLAGS] = {4, 4, 4, 4, 4},
    [RE_CTX] = {5, 0, 2, 0, 2},         [RE_SEG] = {5, 2, 2, 2, 2},        [RE_BUS] = {5, 4, 1, 4, 1},
    [RE_DEVFN] = {5, 5, 1, 5, 1},       [RE_PASID] = {5, 8, 4, 8, 4},
    [MAP_CTX] = {6, 0, 2, 0, 2},        [MAP_GFN] = {6, 8, 8, 4, 8},       [MAP_DFN] = {6, 16, 8, 12, 8},
    [MAP_FLAGS] = {6, 24, 4, 20, 4},    [MAP_PGSIZE] = {6, 28, 4, 24, 4},  [MAP_NR] = {6, 32, 4, 28, 4},
    [MAP_MAPPED] = {6, 36, 4, 32, 4},
    [UN_CTX] = {7, 0, 2, 0, 2},         [UN_DFN] = {7, 8, 8, 4, 8},        [UN_PGSIZE] = {7, 16, 4, 12, 4},
    [UN_NR] = {7, 20, 4, 16, 4},        [UN_UNMAPPED] = {7, 24, 4, 20, 4},
    [REM_DOMID] = {8, 0, 2, 0, 2},      [REM_SUBOP] = {8, 2, 2, 2, 2},     [REM_ARG] = {8, 8, 8, 4, 4},
    [FL_CTX] = {13, 0, 2, 0, 2},        [FL_DFN] = {13, 8, 8, 4, 8},       [FL_PGSIZE] = {13, 16, 4, 12, 4},
    [FL_NR] = {13, 20, 4, 16, 4},
    [LK_CTX] = {14, 0, 2, 0, 2},        [LK_RESERVED] = {14, 2, 2, 2, 2},  [LK_PROT] = {14, 4, 4, 4, 4},
    [LK_DFN] = {14, 8, 8, 8, 8},        [LK_GFN] = {14, 16, 8, 16, 8},
};

static const uint8_t sizes[15][2] = {
    [1] = {24, 24}, [2] = {8, 8}, [3] = {8, 8}, [4] = {8, 8}, [5] = {12, 12}, [6] = {40, 36}, [7] = {32, 24},
    [8] = {16, 8}, [9] = {24, 20}, [10] = {24, 24}, [11] = {12, 12}, [12] = {8, 8}, [13] = {24, 20}, [14] = {24, 24},
};

unsigned x43_size(const struct x43 *x, unsigned subop)
{
    return subop < 15 ? sizes[subop][x->compat] : 0;
}

static unsigned field_at(const struct x43 *x, unsigned field)
{
    return (fields[field].subop == 8 ? X43_REMOTE_AT : X43_AT) + (x->compat ? fields[field].at32 : fields[field].at);
}

void x43_put(struct x43 *x, enum x43_field field, uint64_t value)
{
    memcpy(x->mem + field_at(x, field), &value, x->compat ? fields[field].len32 : fields[field].len);
}

uint64_t x43_get(const struct x43 *x, enum x43_field field)
{
    uint64_t value = 0;

    memcpy(&value, x->mem + field_at(x, field), x->compat ? fields[field].len32 : fields[field].len);
    return value;
}

void x43_begin(struct x43 *x, unsigned subop)
{
    memset(x->mem, X43_GARBAGE, X43_MEM);
    for (unsigned i = 0; i < X43_FIELDS; i++) {
        if (fields[i].subop == subop) {
            x43_put(x, (enum x43_field)i, 0);
        }
    }
}

bool x43_padding_zero(const struct x43 *x, unsigned subop)
{
    bool field[64] = {false}, zero = true;

    for (unsigned i = 0; i < X43_FIELDS; i++) {
        for (unsigned k = 0; fields[i].subop == subop && k < (x->compat ? fields[i].len32 : fields[i].len); k++) {
            field[field_at(x, i) - X43_AT + k] = true;
        }
    }
    for (unsigned k = 0; k < x43_size(x, subop); k++) {
        zero &= field[k] || x->mem[X43_AT + k] == 0;
    }
    return zero;
}

/* --- calls ---------------------------------------------------------------------------------------- */

int x43_enter(struct x43 *x, unsigned subop)
{
    uint64_t arg = x->base + (x->remote ? X43_REMOTE_AT : X43_AT);
    unsigned char before[X43_MEM];
    unsigned low = x->word & 0xff;
    int rc;

    memcpy(before, x->mem, sizeof(before));
    rc = pvi_xen43_call(&x->call, &x->word, arg);
    pvi_posix_checkpoint(x->f->host);
    CHECK_EQ(x->word & 0xff, low);
    memcpy(before + X43_AT, x->mem + X43_AT, x43_size(x, subop));
    CHECK(x->loose || memcmp(before, x->mem, sizeof(before)) == 0);
    return rc;
}

int x43_call(struct x43 *x, uint32_t word)
{
    int rc;

    x->word = word;
    if (x->remote) {
        memset(x->mem + X43_REMOTE_AT, X43_GARBAGE, 16);
        x43_put(x, REM_DOMID, x->domid);
        x43_put(x, REM_SUBOP, word);
        x43_put(x, REM_ARG, x->base + X43_AT);
        x->word = 8;
    }
    x->preempted = 0;
    for (;;) {
        rc = x43_enter(x, word & 0xff);
        if (rc != X43_ERESTART) {
            return rc;
        }
        CHECK(++x->preempted < 1000000);
    }
}

void x43_check(struct x43 *x)
{
    if (!x->fast) {
        fx_check(x->f);
        fx_dma(x->f);
    }
}

/* Does the oracle accept this operation with any of these statuses? */
static const char *judge(struct x43 *x, const struct pvi_op *sent, struct pvi_op *got, const int *status, unsigned nr)
{
    const char *why = "an error that the operation has not";

    for (unsigned i = 0; i < nr && why; i++) {
        got->status = status[i];
        why = orc_judge(&x->f->orc, sent, got, x->tolerate);
    }
    return why;
}

static void judge_or_fail(struct x43 *x, const struct pvi_op *sent, struct pvi_op *got, const int *status, unsigned nr, int rc)
{
    const char *why = judge(x, sent, got, status, nr);

    if (why) {
        check_step("code %u, ctx %u, flags %x, dfn 0x%llx: answer %d, done %llu: %s", sent->code, sent->ctx, sent->flags,
                   (unsigned long long)sent->u.map.dfn.f, rc, (unsigned long long)got->done, why);
        CHECK(!"the answer is what the oracle says");
    }
    x43_check(x);
}

static struct pvi_op op_of(unsigned code, unsigned ctx, uint32_t flags)
{
    struct pvi_op op;

    memset(&op, 0, sizeof(op));
    op.code = (uint16_t)code;
    op.domid = PVI_DOMID_SELF;
    op.ctx = (uint16_t)ctx;
    op.flags = flags;
    return op;
}

/* What an answer may stand for. */
struct meaning {
    int rc;
    int status[6];
};

static unsigned meanings(const struct meaning *table, unsigned nr, int rc, int out[6])
{
    unsigned n = 0;

    for (unsigned i = 0; i < nr; i++) {
        for (unsigned k = 0; table[i].rc == rc && k < 6 && (k == 0 || table[i].status[k] != 0); k++) {
            out[n++] = table[i].status[k];
        }
    }
    return n;
}

#define MEANINGS(table, rc, out) meanings(table, sizeof(table) / sizeof((table)[0]), rc, out)

int x43_init(struct x43 *x, uint32_t contexts, uint32_t order)
{
    static const struct meaning table[] = {
        {0, {0}}, {X43_EACCES, {-PVI_EINITED}}, {X43_EINVAL, {-PVI_ELENGTH}}, {X43_E2BIG, {-PVI_ELIMIT}},
        {X43_ENOMEM, {-PVI_ENOMEM, -PVI_ELIMIT}}, {X43_ENODEV, {-PVI_EPERM}},
    };
    struct pvi_op sent = op_of(PVI_OP_INIT, 0, 0), got;
    int rc, status[6] = {0};

    x43_begin(x, 2);
    x43_put(x, INIT_CONTEXTS, contexts);
    x43_put(x, INIT_ORDER, order);
    rc = x43_call(x, 2);
    CHECK_EQ(x43_get(x, INIT_CONTEXTS), contexts);
    CHECK_EQ(x43_get(x, INIT_ORDER), order);
    sent.u.init.nr_contexts = contexts;
    sent.u.init.nr_pages = order < 32 ? 1u << order : UINT32_MAX;
    if (x->f->orc.inited && rc == X43_EACCES) { /* whatever it asks for */
        sent.u.init.nr_contexts = sent.u.init.nr_pages = 1;
    }
    got = sent;
    judge_or_fail(x, &sent, &got, status, MEANINGS(table, rc, status), rc);
    return rc;
}

int x43_alloc(struct x43 *x, uint32_t flags, unsigned *ctx)
{
    static const struct meaning table[] = {
        {0, {0}}, {X43_ENOSPC, {-PVI_ENOSPC, -PVI_ENOTINIT}}, {X43_ENOMEM, {-PVI_ENOMEM, -PVI_EQUOTA}}, {X43_EINVAL, {-PVI_EFLAGS}},
        {X43_ENOENT, {-PVI_ENOFRAME, -PVI_ENOCTX}},
    };
    struct pvi_op sent = op_of(PVI_OP_ALLOC_CONTEXT, 0, flags), got = sent;
    int rc, status[6] = {0};

    x43_begin(x, 3);
    x43_put(x, ALLOC_CTX, 0xeeee);
    x43_put(x, ALLOC_FLAGS, flags);
    rc = x43_call(x, 3);
    got.ctx = rc == 0 ? (uint16_t)x43_get(x, ALLOC_CTX) : 0;
    CHECK(rc == 0 || x43_get(x, ALLOC_CTX) == 0xeeee);
    CHECK_EQ(x43_get(x, ALLOC_FLAGS), flags);
    CHECK(x43_padding_zero(x, 3));
    judge_or_fail(x, &sent, &got, status, MEANINGS(table, rc, status), rc);
    if (ctx) {
        *ctx = got.ctx;
    }
    return rc;
}

int x43_free(struct x43 *x, unsigned ctx, uint32_t flags)
{
    static const struct meaning table[] = {
        {0, {0}}, {X43_EINVAL, {-PVI_EDEFAULT, -PVI_EFLAGS, -PVI_ENOTINIT}}, {X43_ENOENT, {-PVI_ENOCTX, -PVI_ENOTINIT}}, {X43_EBUSY, {-PVI_EBUSY}},
        {X43_EADDRINUSE, {-PVI_EEXIST}}, {X43_ENOMEM, {-PVI_ENOMEM}},
    };
    struct pvi_op sent = op_of(PVI_OP_FREE_CONTEXT, ctx, flags), got = sent;
    int rc, status[6] = {0};

    x43_begin(x, 4);
    x43_put(x, FREE_CTX, ctx);
    x43_put(x, FREE_FLAGS, flags);
    rc = x43_call(x, 4);
    CHECK_EQ(x43_get(x, FREE_CTX), ctx);
    judge_or_fail(x, &sent, &got, status, MEANINGS(table, rc, status), rc);
    return rc;
}

int x43_reattach(struct x43 *x, unsigned ctx, uint32_t sbdf)
{
    static const struct meaning table[] = {
        {0, {0}}, {X43_ENODEV, {-PVI_ENODEV}}, {X43_ENOENT, {-PVI_ENOCTX, -PVI_ENOTINIT}}, {X43_ENOMEM, {-PVI_ENOMEM, -PVI_EQUOTA}},
        {X43_EADDRINUSE, {-PVI_EEXIST}}, {X43_ENOSPC, {-PVI_ENOSPC}}, {X43_EBUSY, {-PVI_EBUSY}},
    };
    struct pvi_op sent = op_of(PVI_OP_REATTACH_DEVICE, ctx, 0), got;
    int rc, status[6] = {0};

    x43_begin(x, 5);
    x43_put(x, RE_CTX, ctx);
    x43_put(x, RE_SEG, sbdf >> 16);
    x43_put(x, RE_BUS, sbdf >> 8 & 0xff);
    x43_put(x, RE_DEVFN, sbdf & 0xff);
    rc = x43_call(x, 5);
    sent.u.reattach.sbdf.v = sbdf;
    got = sent;
    judge_or_fail(x, &sent, &got, status, MEANINGS(table, rc, status), rc);
    return rc;
}

/* --- ranges --------------------------------------------------------------------------------------- */

static void touch(struct fx *f, uint64_t dfn, uint64_t nr)
{
    if (nr == 0 || dfn > f->orc.last_pfn || nr - 1 > f->orc.last_pfn - dfn) {
        return;
    }
    fx_touch(f, dfn);
    fx_touch(f, dfn + nr / 2);
    fx_touch(f, dfn + nr - 1);
    fx_touch(f, dfn + nr <= f->orc.last_pfn ? dfn + nr : 0);
    for (unsigned i = 0; i < f->nr_devs && f->cfg.kind != FX_NULL; i++) {
        for (unsigned u = 0; u < f->nr_units; u++) {
            for (unsigned k = 0; f->unit[u].unit == f->dev[i].unit && k < FX_RECENT; k++) {
                (void)hwm_speculate(f->unit[u].model, f->dev[i].rid[0], f->recent[k] << 12, NULL);
            }
        }
    }
}

static const struct meaning range_table[] = {
    {0, {0}}, {X43_EINVAL, {-PVI_EDEFAULT, -PVI_ENOCTX, -PVI_ENOTINIT, -PVI_EFLAGS, -PVI_EWRAP, -PVI_EALIGN}},
    {X43_EADDRNOTAVAIL, {-PVI_ERESERVED}}, {X43_EADDRINUSE, {-PVI_EEXIST}}, {X43_ENOENT, {-PVI_ENOENT, -PVI_ENOFRAME}},
    {X43_EPERM, {-PVI_EPERM}}, {X43_ERANGE, {-PVI_ERANGE}}, {X43_ENOMEM, {-PVI_ENOMEM, -PVI_EQUOTA}}, {X43_ESRCH, {-PVI_EDYING}},
};

/* As judge(), for each address at which the fault may lie. */
static const char *judge_faults(struct x43 *x, const struct pvi_op *sent, struct pvi_op *got, int rc)
{
    uint64_t dfn = sent->u.map.dfn.f, nr = sent->code == PVI_OP_MAP ? sent->u.map.nr : sent->u.unmap.nr, at;
    int status[6] = {0};
    unsigned n = MEANINGS(range_table, rc, status);
    const char *why;

    got->fault = dfn + got->done;
    why = judge(x, sent, got, status, n);
    if (why && rc == X43_EADDRNOTAVAIL && orc_hole(&x->f->orc, dfn, nr, &at)) {
        got->fault = at;
        why = judge(x, sent, got, status, n);
    }
    if (why && rc == X43_EADDRNOTAVAIL && sent->ctx < ORC_CONTEXTS && orc_region(&x->f->orc, sent->ctx, dfn, nr, &at)) {
        got->fault = at;
        why = judge(x, sent, got, status, n);
    }
    return why;
}

static void set_range(struct pvi_op *op, uint64_t dfn, uint64_t gfn, uint64_t nr)
{
    if (op->code == PVI_OP_MAP) {
        op->u.map.dfn.f = dfn;
        op->u.map.gfn.f = gfn;
        op->u.map.nr = nr;
    } else {
        op->u.unmap.dfn.f = dfn;
        op->u.unmap.nr = nr;
    }
}

/* Larger pages: those that are done are done whole, and of the next some frame cannot be. */
static const char *judge_pages(struct x43 *x, struct pvi_op *sent, uint64_t dfn, uint64_t gfn, uint32_t nr, uint64_t frames, int rc,
                               uint64_t done)
{
    static struct orc kept;
    struct pvi_op got;
    const char *why = NULL;

    for (uint64_t k = 0; k < done && !why; k++) {
        set_range(sent, dfn + k * frames, gfn + k * frames, frames);
        got = *sent;
        got.done = frames;
        why = judge_faults(x, sent, &got, 0);
    }
    if (why || rc == 0) {
        return why ? why : done != nr ? "success, but not all pages" : NULL;
    }
    why = "no frame of the page stands in the way";
    for (uint64_t at = 0; at < frames && why; at++) {
        orc_copy(&kept, &x->f->orc);
        set_range(sent, dfn + done * frames, gfn + done * frames, frames);
        got = *sent;
        got.done = at;
        why = judge_faults(x, sent, &got, rc);
        if (!why && at != 0) {
            orc_copy(&x->f->orc, &kept);
        }
    }
    orc_fini(&kept);
    return why;
}

void x43_judge_range(struct x43 *x, unsigned code, unsigned ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags,
                     uint64_t frames, int rc, uint64_t done)
{
    struct pvi_op sent = op_of(code, ctx, flags), got;
    const char *why;

    set_range(&sent, dfn, gfn, nr * frames);
    got = sent;
    got.done = done * frames;
    why = frames == 1 || done == 0 ? judge_faults(x, &sent, &got, rc) : "larger pages";
    if (why && frames > 1) {
        why = judge_pages(x, &sent, dfn, gfn, nr, frames, rc, done);
    }
    if (why) {
        check_step("code %u, ctx %u, flags %x, dfn 0x%llx, gfn 0x%llx, %u pages of %llu: answer %d, %llu done: %s", code, ctx, flags,
                   (unsigned long long)dfn, (unsigned long long)gfn, nr, (unsigned long long)frames, rc, (unsigned long long)done, why);
        CHECK(!"the answer is what the oracle says");
    }
    x43_check(x);
}

static bool names_a_page(const struct x43 *x, uint32_t pgsize)
{
    return pgsize != 0 && (pgsize & (pgsize - 1)) == 0 && pgsize <= 0x200000 && (x->f->orc.page_sizes & pgsize) != 0;
}

/* Answers that need no oracle: what the call must say before it comes to the range. 1: go on. */
static int plain_error(const struct x43 *x, unsigned ctx, uint64_t bits, uint32_t nr, uint32_t pgsize)
{
    if (!names_a_page(x, pgsize) || (bits & ((pgsize >> 12) - 1)) != 0) {
        return X43_EINVAL;
    }
    if (nr == 0) {
        return x->f->orc.inited && ctx != 0 && ctx < ORC_CONTEXTS && x->f->orc.ctx[ctx].live ? 0 : X43_EINVAL;
    }
    return 1;
}

int x43_map(struct x43 *x, unsigned ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t pgsize)
{
    int rc, plain = plain_error(x, ctx, dfn | gfn, nr, pgsize);

    plain = (flags & ~0xfu) != 0 || (flags & 3) == 0 ? X43_EINVAL : plain;
    touch(x->f, dfn, nr);
    x43_begin(x, 6);
    x43_put(x, MAP_CTX, ctx);
    x43_put(x, MAP_GFN, gfn);
    x43_put(x, MAP_DFN, dfn);
    x43_put(x, MAP_FLAGS, flags);
    x43_put(x, MAP_PGSIZE, pgsize);
    x43_put(x, MAP_NR, nr);
    x43_put(x, MAP_MAPPED, x->before);
    rc = x43_call(x, 6);
    x->counted = (uint32_t)(x43_get(x, MAP_MAPPED) - x->before);
    CHECK(x43_padding_zero(x, 6));
    CHECK_EQ(x43_get(x, MAP_CTX), ctx);
    CHECK_EQ(x43_get(x, MAP_FLAGS), flags);
    CHECK_EQ(x43_get(x, MAP_PGSIZE), pgsize);
    if (plain != 1) {
        CHECK_RC(rc, plain);
        CHECK_EQ(x->counted, 0);
        x43_check(x);
        return rc;
    }
    x43_judge_range(x, PVI_OP_MAP, ctx, dfn, gfn, nr, flags & 3, pgsize >> 12, rc, x->counted);
    return rc;
}

int x43_unmap(struct x43 *x, unsigned ctx, uint64_t dfn, uint32_t nr, uint32_t pgsize)
{
    int rc, plain = plain_error(x, ctx, dfn, nr, pgsize);

    touch(x->f, dfn, nr);
    x43_begin(x, 7);
    x43_put(x, UN_CTX, ctx);
    x43_put(x, UN_DFN, dfn);
    x43_put(x, UN_PGSIZE, pgsize);
    x43_put(x, UN_NR, nr);
    x43_put(x, UN_UNMAPPED, x->before);
    rc = x43_call(x, 7);
    x->counted = (uint32_t)(x43_get(x, UN_UNMAPPED) - x->before);
    CHECK(x43_padding_zero(x, 7));
    if (plain != 1) {
        CHECK_RC(rc, plain);
        CHECK_EQ(x->counted, 0);
        x43_check(x);
        return rc;
    }
    x43_judge_range(x, PVI_OP_UNMAP, ctx, dfn, 0, nr, 0, pgsize >> 12, rc, x->counted);
    return rc;
}

int x43_flush(struct x43 *x, unsigned ctx, uint64_t dfn, uint32_t nr, uint32_t pgsize)
{
    int rc, plain = plain_error(x, ctx, dfn, nr, pgsize);
    struct pvi_op sent = op_of(PVI_OP_FLUSH, ctx, 0), got;
    const char *why;

    x43_begin(x, 13);
    x43_put(x, FL_CTX, ctx);
    x43_put(x, FL_DFN, dfn);
    x43_put(x, FL_PGSIZE, pgsize);
    x43_put(x, FL_NR, nr);
    rc = x43_call(x, 13);
    if (plain != 1) {
        CHECK_RC(rc, plain);
        return rc;
    }
    set_range(&sent, dfn, 0, (uint64_t)nr * (pgsize >> 12));
    got = sent;
    got.done = rc == 0 ? sent.u.unmap.nr : 0;
    why = judge_faults(x, &sent, &got, rc);
    if (why) {
        check_step("flush, ctx %u, dfn 0x%llx, %u: answer %d: %s", ctx, (unsigned long long)dfn, nr, rc, why);
        CHECK(!"the answer is what the oracle says");
    }
    x43_check(x);
    return rc;
}

int x43_lookup(struct x43 *x, unsigned ctx, uint64_t dfn)
{
    struct pvi_op sent = op_of(PVI_OP_LOOKUP, ctx, 0), got;
    int rc, status[6] = {0};
    const char *why;

    x43_begin(x, 14);
    x43_put(x, LK_CTX, ctx);
    x43_put(x, LK_DFN, dfn);
    x43_put(x, LK_PROT, 0xffffffff);
    rc = x43_call(x, 14);
    sent.u.lookup.dfn.f = dfn;
    got = sent;
    got.fault = dfn;
    got.u.lookup.gfn.f = x43_get(x, LK_GFN);
    got.u.lookup.prot = (uint32_t)x43_get(x, LK_PROT);
    for (got.u.lookup.lg2 = 12; (x->f->orc.page_sizes >> got.u.lookup.lg2 & 1) == 0;) {
        got.u.lookup.lg2++; /* is not in the structure */
    }
    why = judge(x, &sent, &got, status, MEANINGS(range_table, rc, status));
    if (why) {
        check_step("lookup, ctx %u, dfn 0x%llx: answer %d: %s", ctx, (unsigned long long)dfn, rc, why);
        CHECK(!"the answer is what the oracle says");
    }
    return rc;
}

/* --- life ----------------------------------------------------------------------------------------- */

void x43_up(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    struct fx_cfg with = *cfg;

    with.no_init = true;
    fx_up(f, &with);
    x43_attach(x, f, compat);
}

void x43_attach(struct x43 *x, struct fx *f, bool compat)
{
    memset(x, 0, sizeof(*x));
    x->f = f;
    x->compat = compat;
    x->call.caller = &f->dom;
    x->call.compat = compat;
    x->before = 0x80000000u - 3;
    x->mem = x->own;
    x->base = X43_BASE;
    pvi_posix_hdom_mem(f->hdom, x->mem, x->base, X43_MEM);
}

void x43_ready(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    x43_up(x, f, cfg, compat);
    CHECK_RC(x43_init(x, 8, 11), 0);
}

unsigned x43_context(struct x43 *x, unsigned dev)
{
    unsigned ctx;

    CHECK_RC(x43_alloc(x, 0, &ctx), 0);
    CHECK_RC(x43_reattach(x, ctx, x->f->dev[dev].sbdf.v), 0);
    return ctx;
}

static void (*each)(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat);

static void each_layout(struct fx *f, const struct fx_cfg *cfg)
{
    static struct x43 x;

    for (unsigned compat = 0; compat < 2; compat++) {
        check_step("%u-bit", compat != 0 ? 32 : 64);
        each(&x, f, cfg, compat != 0);
    }
}

void x43_each(void (*fn)(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat))
{
    each = fn;
    fx_each(each_layout);
}
