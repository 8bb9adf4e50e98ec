/* SPDX-License-Identifier: MIT */
/* See native_rig.h. */
#include "native_rig.h"

#include <string.h>

#define MOST 4096u

void nat_attach(struct nat *n, struct fx *f)
{
    memset(n, 0, sizeof(*n));
    n->f = f;
    n->op_size = E_BYTES;
    n->call.caller = &f->dom;
    pvi_posix_hdom_mem(f->hdom, n->mem, NAT_MEM, sizeof(n->mem));
}

void nat_put(struct nat *n, unsigned at, unsigned size, uint64_t value)
{
    CHECK(at + size <= NAT_SIZE);
    memcpy(n->mem + at, &value, size);
}

uint64_t nat_get(const struct nat *n, unsigned at, unsigned size)
{
    uint64_t value = 0;

    CHECK(at + size <= NAT_SIZE);
    memcpy(&value, n->mem + at, size);
    return value;
}

void nat_begin(struct nat *n, uint32_t flags)
{
    memset(n->mem, 0xa5, sizeof(n->mem));
    n->nr = 0;
    nat_put(n, NAT_HEAD + H_SIZE, 4, H_BYTES);
    nat_put(n, NAT_HEAD + H_VERSION, 4, 1);
    nat_put(n, NAT_HEAD + H_OP_SIZE, 4, n->op_size);
    nat_put(n, NAT_HEAD + H_NR, 4, 0);
    nat_put(n, NAT_HEAD + H_FLAGS, 4, flags);
    nat_put(n, NAT_HEAD + H_NEXT, 4, 0);
    nat_put(n, NAT_HEAD + H_OPS, 8, NAT_MEM + NAT_OPS);
}

unsigned nat_at(const struct nat *n, unsigned i, unsigned field)
{
    return NAT_OPS + i * n->op_size + field;
}

unsigned nat_op(struct nat *n, unsigned code, unsigned ctx, uint32_t flags, uint64_t a0, uint64_t a1, uint64_t a2)
{
    unsigned i = n->nr++, at = nat_at(n, i, 0);

    CHECK(at + n->op_size <= NAT_SIZE);
    memset(n->mem + at, 0, n->op_size);
    nat_put(n, at + E_CODE, 2, code);
    nat_put(n, at + E_DOMID, 2, 0x7ff0);
    nat_put(n, at + E_CTX, 2, ctx);
    nat_put(n, at + E_FLAGS, 4, flags);
    nat_put(n, at + E_STATUS, 4, 0xdeadbeef); /* outputs are ignored on the way in */
    nat_put(n, at + E_FAULT, 8, 0x1122334455667788);
    nat_put(n, at + E_ARG_AT(0), 8, a0);
    nat_put(n, at + E_ARG_AT(1), 8, a1);
    nat_put(n, at + E_ARG_AT(2), 8, a2);
    nat_put(n, NAT_HEAD + H_NR, 4, n->nr);
    return i;
}

void nat_set(struct nat *n, unsigned i, unsigned field, unsigned size, uint64_t value)
{
    nat_put(n, nat_at(n, i, field), size, value);
}

uint64_t nat_field(const struct nat *n, unsigned i, unsigned field, unsigned size)
{
    return nat_get(n, nat_at(n, i, field), size);
}

int nat_status(const struct nat *n, unsigned i)
{
    return (int)(int32_t)nat_field(n, i, E_STATUS, 4);
}

uint64_t nat_arg(const struct nat *n, unsigned i, unsigned arg)
{
    return nat_field(n, i, E_ARG_AT(arg), 8);
}

int nat_once(struct nat *n)
{
    int rc = pvi_native_call(&n->call, NAT_MEM + NAT_HEAD);

    pvi_posix_checkpoint(n->f->host);
    return rc;
}

int nat_call(struct nat *n)
{
    int rc = nat_once(n);

    for (n->preempted = 0; rc == -PVI_EPREEMPTED; n->preempted++) {
        CHECK(n->preempted < 10000000);
        rc = nat_once(n);
    }
    return rc;
}

int nat_one(struct nat *n, unsigned code, unsigned ctx, uint32_t flags, uint64_t a0, uint64_t a1, uint64_t a2)
{
    nat_begin(n, 0);
    nat_op(n, code, ctx, flags, a0, a1, a2);
    nat_run(n);
    return nat_status(n, 0);
}

void nat_element(const struct nat *n, unsigned i, struct pvi_op *op)
{
    uint64_t a[6];

    for (unsigned k = 0; k < 6; k++) {
        a[k] = nat_arg(n, i, k);
    }
    memset(op, 0, sizeof(*op));
    op->code = (uint16_t)nat_field(n, i, E_CODE, 2);
    op->domid = (uint16_t)nat_field(n, i, E_DOMID, 2);
    op->ctx = (uint16_t)nat_field(n, i, E_CTX, 2);
    op->flags = (uint32_t)nat_field(n, i, E_FLAGS, 4);
    op->status = nat_status(n, i);
    op->done = nat_field(n, i, E_DONE, 8);
    op->fault = nat_field(n, i, E_FAULT, 8);
    switch (op->code) {
    case PVI_OP_QUERY_CAPS:
        op->u.caps.max_iova = a[0];
        op->u.caps.page_sizes = a[1];
        op->u.caps.nr_contexts = (uint32_t)a[2];
        op->u.caps.nr_pages = (uint32_t)a[3];
        op->u.caps.free_pages = (uint32_t)a[4];
        op->u.caps.flags = (uint32_t)a[5];
        op->u.caps.atomic_ops = 256;
        break;
    case PVI_OP_INIT:
        op->u.init.nr_contexts = (uint32_t)a[0];
        op->u.init.nr_pages = (uint32_t)a[1];
        break;
    case PVI_OP_REATTACH_DEVICE:
        op->u.reattach.sbdf.v = (uint32_t)a[0];
        break;
    case PVI_OP_MAP:
        op->u.map.dfn.f = a[0];
        op->u.map.gfn.f = a[1];
        op->u.map.nr = a[2];
        break;
    case PVI_OP_LOOKUP:
        op->u.lookup.dfn.f = a[0];
        op->u.lookup.gfn.f = a[1];
        op->u.lookup.prot = (uint32_t)a[2];
        op->u.lookup.lg2 = (uint32_t)a[3];
        break;
    case PVI_OP_WINDOW_CREATE:
    case PVI_OP_WINDOW_REMOVE:
    case PVI_OP_WINDOW_QUERY:
        op->u.window.dfn.f = a[0];
        op->u.window.nr = a[1];
        op->u.window.sizes = a[2];
        op->u.window.index = (uint16_t)a[3];
        op->u.window.shift = (uint8_t)a[4];
        op->u.window.depth = (uint8_t)a[5];
        op->u.window.state = (uint8_t)(a[5] >> 8);
        op->u.window.left = (uint8_t)(a[5] >> 16);
        break;
    default:
        op->u.unmap.dfn.f = a[0];
        op->u.unmap.nr = a[1];
        break;
    }
}

void nat_judge(struct nat *n, const struct pvi_op *sent)
{
    for (unsigned i = 0; i < n->nr; i++) {
        struct pvi_op got;
        const char *why;

        nat_element(n, i, &got);
        why = sent[i].code <= PVI_OP_WINDOW_RESET ? orc_judge(&n->f->orc, &sent[i], &got, n->f->tolerate) : NULL;
        if (why) {
            check_step("element %u, code %u ctx %u flags %x dfn 0x%llx: status %s, done %llu, fault 0x%llx: %s", i, sent[i].code,
                       sent[i].ctx, sent[i].flags, (unsigned long long)sent[i].u.map.dfn.f, pvi_strerror(got.status),
                       (unsigned long long)got.done, (unsigned long long)got.fault, why);
            CHECK(!"the answer is what the oracle says");
        }
    }
    fx_check(n->f);
}

void nat_run(struct nat *n)
{
    static struct pvi_op sent[MOST];

    CHECK(n->nr <= MOST);
    for (unsigned i = 0; i < n->nr; i++) {
        nat_element(n, i, &sent[i]);
    }
    CHECK_RC(nat_call(n), 0);
    CHECK_EQ(nat_get(n, NAT_HEAD + H_NEXT, 4), n->nr);
    nat_judge(n, sent);
}
