/* SPDX-License-Identifier: MIT */
/*
 * The native batch (include/pviommu/abi/native.h).
 *
 * What is left of a call lies in the guest's memory: `next` in the header, `done` in the element that stands. Both are the guest's to forge, and
 * both only say where a call begins: whatever they say could as well have been asked for by a new call. An atomic batch trusts neither: it is
 * the hypervisor's copy, found by the domain.
 */
#include <pviommu/abi/native.h>
#include <pviommu/held.h>

#include "single.h"

#define CODE_BIT(code) (1u << (code))
#define OUT_BYTES (offsetof(struct pvi_native_op, arg) - offsetof(struct pvi_native_op, status))

/* What of the arguments an operation reads and writes, by number. */
struct shape {
    uint8_t in, out;
    bool ctx;
};

static const struct shape shapes[] = {
    [PVI_NATIVE_NOOP] = {0, 0, false},
    [PVI_NATIVE_QUERY_CAPS] = {0, 0x3f, false},
    [PVI_NATIVE_INIT] = {0x03, 0, false},
    [PVI_NATIVE_ALLOC_CONTEXT] = {0, 0, true},
    [PVI_NATIVE_FREE_CONTEXT] = {0, 0, true},
    [PVI_NATIVE_REATTACH_DEVICE] = {0x01, 0, true},
    [PVI_NATIVE_MAP] = {0x07, 0, true},
    [PVI_NATIVE_UNMAP] = {0x03, 0, true},
    [PVI_NATIVE_LOOKUP] = {0x01, 0x0e, true},
    [PVI_NATIVE_FLUSH] = {0x03, 0, true},
    [PVI_NATIVE_RIGHTS] = {0x03, 0, true},
    [PVI_NATIVE_WINDOW_CREATE] = {0x17, 0x08, true},
    [PVI_NATIVE_WINDOW_REMOVE] = {0x08, 0, true},
    [PVI_NATIVE_WINDOW_QUERY] = {0x08, 0x37, true},
    [PVI_NATIVE_WINDOW_RESET] = {0, 0, true},
    [PVI_NATIVE_QUERY_USAGE] = {0, 0x3f, true},
    [PVI_NATIVE_READ_FAULT] = {0, 0x3f, true},
    [PVI_NATIVE_ALLOC_NESTED] = {0x0f, 0, true},
    [PVI_NATIVE_FLUSH_NESTED] = {0x07, 0, true},
    [PVI_NATIVE_ATTACH_PASID] = {0x03, 0, true},
    [PVI_NATIVE_DETACH_PASID] = {0x03, 0, false},
};

static const struct shape shape_query = {0, 0x3f, false};

#define SAME(name) ((unsigned)PVI_NATIVE_##name == (unsigned)PVI_OP_##name)

_Static_assert(SAME(NOOP) && SAME(QUERY_CAPS) && SAME(INIT) && SAME(ALLOC_CONTEXT) && SAME(FREE_CONTEXT) && SAME(REATTACH_DEVICE) &&
                   SAME(MAP) && SAME(UNMAP) && SAME(LOOKUP) && SAME(FLUSH) && SAME(RIGHTS) && SAME(WINDOW_CREATE) &&
                   SAME(WINDOW_REMOVE) && SAME(WINDOW_QUERY) && SAME(WINDOW_RESET) && SAME(QUERY_USAGE) && SAME(READ_FAULT) &&
                   SAME(ALLOC_NESTED) && SAME(FLUSH_NESTED) && SAME(ATTACH_PASID) && SAME(DETACH_PASID),
               "numbers that guests know");
_Static_assert(sizeof(struct pvi_native_batch) == 32 && sizeof(struct pvi_native_op) == PVI_ABI_ELEMENT &&
                   offsetof(struct pvi_native_op, status) == 12 && offsetof(struct pvi_native_op, arg) == 32,
               "layouts that guests know");

/* A call, and its header as it was read. */
struct call {
    struct pvi_abi_call *abi;
    struct pvi_domain *caller;
    uint64_t arg;
    struct pvi_native_batch head;
};

static int copy_in(const struct call *c, void *to, uint64_t from, size_t len)
{
    return pvi_host_copy_in(c->caller->host, c->caller->cfg.hdom, to, from, len);
}

static int copy_out(const struct call *c, uint64_t to, const void *from, size_t len)
{
    return pvi_host_copy_out(c->caller->host, c->caller->cfg.hdom, to, from, len);
}

static bool all_zero(const unsigned char *bytes, size_t len)
{
    unsigned char any = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/* --- one element --------------------------------------------------------------------------------- */

static uint64_t least(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

/* Is everything zero that the operation does not name? */
static int check_shape(const struct pvi_native_op *w)
{
    const struct shape *s = w->code == PVI_NATIVE_QUERY ? &shape_query : &shapes[w->code];
    unsigned i;

    if (w->reserved != 0 || (!s->ctx && w->ctx != 0)) {
        return -PVI_EINVAL;
    }
    for (i = 0; i < PVI_NATIVE_ARGS; i++) {
        if (((s->in | s->out) & CODE_BIT(i)) == 0 && w->arg[i] != 0) {
            return -PVI_EINVAL;
        }
    }
    return w->flags != 0 && (w->code == PVI_NATIVE_NOOP || w->code == PVI_NATIVE_QUERY) ? -PVI_EFLAGS : 0;
}

/* Arguments to the core's; what does not fit there is out of every range there. */
static int decode_args(struct pvi_op *op, const uint64_t arg[PVI_NATIVE_ARGS])
{
    switch (op->code) {
    case PVI_OP_INIT:
        op->u.init.nr_contexts = (uint32_t)arg[0];
        op->u.init.nr_pages = (uint32_t)arg[1];
        return (arg[0] | arg[1]) >> 32 != 0 ? -PVI_ELIMIT : 0;
    case PVI_OP_REATTACH_DEVICE:
        op->u.reattach.sbdf.v = (uint32_t)arg[0];
        return arg[0] >> 32 != 0 ? -PVI_ENODEV : 0;
    case PVI_OP_MAP:
        op->u.map.dfn.f = arg[0];
        op->u.map.gfn.f = arg[1];
        op->u.map.nr = arg[2];
        return 0;
    case PVI_OP_UNMAP:
    case PVI_OP_FLUSH:
    case PVI_OP_RIGHTS:
        op->u.unmap.dfn.f = arg[0];
        op->u.unmap.nr = arg[1];
        return 0;
    case PVI_OP_LOOKUP:
        op->u.lookup.dfn.f = arg[0];
        return 0;
    case PVI_OP_WINDOW_CREATE:
        op->u.window.dfn.f = arg[0];
        op->u.window.nr = arg[1];
        op->u.window.sizes = arg[2];
        op->u.window.shift = (uint8_t)least(arg[4], UINT8_MAX);
        return 0;
    case PVI_OP_WINDOW_REMOVE:
    case PVI_OP_WINDOW_QUERY:
        op->u.window.index = (uint16_t)least(arg[3], UINT16_MAX);
        return 0;
    case PVI_OP_ALLOC_NESTED:
        op->u.nested.root.f = arg[0];
        op->u.nested.parent = (uint16_t)least(arg[1], UINT16_MAX);
        op->u.nested.levels = (uint8_t)least(arg[2], UINT8_MAX);
        op->u.nested.depth = (uint8_t)least(arg[3], UINT8_MAX);
        return 0;
    case PVI_OP_FLUSH_NESTED:
        op->u.guest.first = arg[0];
        op->u.guest.nr = arg[1];
        op->u.guest.pasid = (uint32_t)least(arg[2], UINT32_MAX);
        return 0;
    case PVI_OP_ATTACH_PASID:
    case PVI_OP_DETACH_PASID:
        op->u.pasid.sbdf.v = (uint32_t)arg[0];
        op->u.pasid.pasid = (uint32_t)least(arg[1], UINT32_MAX);
        return arg[0] >> 32 != 0 ? -PVI_ENODEV : 0;
    default:
        return 0;
    }
}

/* An element of size bytes to an operation. An error: it is refused, and op does nothing. */
static ABI_NOINLINE int decode(const unsigned char *bytes, size_t size, struct pvi_op *op)
{
    struct pvi_native_op w;
    int rc;

    memcpy(&w, bytes, sizeof(w));
    memset(op, 0, sizeof(*op));
    if (w.code != PVI_NATIVE_QUERY && w.code >= sizeof(shapes) / sizeof(shapes[0])) {
        return -PVI_EINVAL;
    }
    rc = all_zero(bytes + sizeof(w), size - sizeof(w)) ? check_shape(&w) : -PVI_ELIMIT;
    if (rc != 0) {
        return rc;
    }
    op->code = w.code == PVI_NATIVE_QUERY ? (uint16_t)PVI_OP_NOOP : w.code;
    op->domid = w.domid;
    op->ctx = w.ctx;
    op->flags = w.flags;
    op->done = w.done;
    rc = decode_args(op, w.arg);
    if (rc != 0) {
        memset(op, 0, sizeof(*op));
    }
    return rc;
}

static void encode_query(uint64_t arg[PVI_NATIVE_ARGS])
{
    arg[0] = PVI_NATIVE_VERSION;
    arg[1] = sizeof(struct pvi_native_batch);
    arg[2] = sizeof(struct pvi_native_op);
    arg[3] = PVI_ATOMIC_OPS;
    arg[4] = PVI_ABI_OPS;
    arg[5] = PVI_MAX_WINDOWS;
}

static void encode_window(const struct pvi_op *op, uint64_t arg[PVI_NATIVE_ARGS])
{
    arg[0] = op->u.window.dfn.f;
    arg[1] = op->u.window.nr;
    arg[2] = op->u.window.sizes;
    arg[4] = op->u.window.shift;
    arg[5] = op->u.window.depth | (uint64_t)op->u.window.state << 8 | (uint64_t)op->u.window.left << 16;
}

/* What an operation has found out. */
static void encode_args(const struct pvi_op *op, uint64_t arg[PVI_NATIVE_ARGS])
{
    switch (op->code) {
    case PVI_OP_QUERY_CAPS:
        arg[0] = op->u.caps.max_iova;
        arg[1] = op->u.caps.page_sizes;
        arg[2] = op->u.caps.nr_contexts;
        arg[3] = op->u.caps.nr_pages;
        arg[4] = op->u.caps.free_pages;
        arg[5] = op->u.caps.flags | (uint64_t)op->u.caps.guest_levels << 32 | (uint64_t)op->u.caps.guest_depth << 40 |
                 (uint64_t)op->u.caps.guest_flags << 48 | (uint64_t)op->u.caps.pasid_bits << 56;
        break;
    case PVI_OP_LOOKUP:
        arg[1] = op->u.lookup.gfn.f;
        arg[2] = op->u.lookup.prot;
        arg[3] = op->u.lookup.lg2;
        break;
    case PVI_OP_WINDOW_CREATE:
        arg[3] = op->u.window.index;
        break;
    case PVI_OP_WINDOW_QUERY:
        encode_window(op, arg);
        break;
    case PVI_OP_QUERY_USAGE:
        arg[0] = op->u.usage.pages_used;
        arg[1] = op->u.usage.pages_limit;
        arg[2] = op->u.usage.mapped;
        arg[3] = op->u.usage.flushes;
        arg[4] = op->u.usage.faults;
        arg[5] = op->u.usage.devices;
        break;
    case PVI_OP_READ_FAULT:
        arg[0] = op->u.fault.iova;
        arg[1] = op->u.fault.sbdf.v;
        arg[2] = op->u.fault.rid;
        arg[3] = op->u.fault.lost;
        arg[4] = op->u.fault.left;
        arg[5] = op->u.fault.code | (uint64_t)op->u.fault.write << 16;
        break;
    default:
        break;
    }
}

/* Status, done and fault. Tokens mean nothing once the operation has ended. */
static void encode_outcome(const struct pvi_op *op, int status, struct pvi_native_op *w)
{
    const unsigned counted = CODE_BIT(PVI_OP_MAP) | CODE_BIT(PVI_OP_UNMAP) | CODE_BIT(PVI_OP_RIGHTS) | CODE_BIT(PVI_OP_FLUSH);

    w->status = status;
    w->done = status == -PVI_EPREEMPTED || (counted & CODE_BIT(op->code)) != 0 ? op->done : 0;
    w->fault = status != 0 && status != -PVI_EPREEMPTED ? op->fault : 0;
}

/* An element as the caller gets it back. */
static void encode(const struct pvi_op *op, int status, struct pvi_native_op *w)
{
    encode_outcome(op, status, w);
    if (op->code == PVI_OP_ALLOC_CONTEXT || op->code == PVI_OP_ALLOC_NESTED) {
        w->ctx = op->ctx;
    }
    if (status == 0 && w->code == PVI_NATIVE_QUERY) {
        encode_query(w->arg);
    } else if (status != -PVI_EPREEMPTED) {
        encode_args(op, w->arg);
    }
}

/* --- batches ------------------------------------------------------------------------------------- */

static uint64_t element_at(const struct call *c, uint32_t i)
{
    return c->head.ops + (uint64_t)i * c->head.op_size;
}

/* An element's bytes as they were read; the tail of a larger one lies where the next will be read. */
static unsigned char *element_bytes(const struct call *c, uint32_t slot)
{
    return c->abi->wire.bytes + (size_t)slot * sizeof(struct pvi_native_op);
}

/* Reads the next element and runs it. EFAULT: it could not be read; EPREEMPTED: it stands. */
static int run_element(struct call *c, struct pvi_batch *b, uint32_t *read)
{
    struct pvi_op *op = &b->ops[b->next];
    unsigned char *bytes = element_bytes(c, b->next);
    int rc = copy_in(c, bytes, element_at(c, c->head.next + b->next), c->head.op_size);

    if (rc != 0) {
        return rc;
    }
    ++*read;
    rc = decode(bytes, c->head.op_size, op);
    if (rc == 0) {
        return pvi_batch_step(c->caller, b);
    }
    op->status = rc;
    b->failed = true;
    b->next++;
    return 0;
}

/* Elements 0 .. read - 1 of the group go back; the last one may stand. */
static ABI_NOINLINE int report_group(struct call *c, const struct pvi_batch *b, uint32_t read)
{
    struct pvi_native_op w;
    uint32_t i;

    for (i = 0; i < read; i++) {
        memcpy(&w, element_bytes(c, i), sizeof(w));
        encode(&b->ops[i], i < b->next ? b->ops[i].status : -PVI_EPREEMPTED, &w);
        if (copy_out(c, element_at(c, c->head.next), &w, sizeof(w)) != 0) {
            return -PVI_EFAULT;
        }
        c->head.next += i < b->next;
    }
    return 0;
}

/* At most PVI_ABI_OPS elements, from head.next on, and the flush that serves them. */
static ABI_NOINLINE int run_group(struct call *c)
{
    struct pvi_batch *b = &c->abi->batch;
    bool stop = (c->head.flags & PVI_NATIVE_STOP) != 0;
    uint32_t left = c->head.nr - c->head.next, read = 0;
    int rc, fault;

    b->ops = c->abi->op;
    b->nr = (uint32_t)least(left, PVI_ABI_OPS);
    b->flags = 0;
    b->next = 0;
    b->failed = false;
    rc = pvi_batch_begin(c->caller, b);
    while (rc == 0 && b->next < b->nr && !(stop && b->failed)) {
        rc = run_element(c, b, &read);
        if (rc == 0 && b->next < left && pvi_host_preempt(c->caller->host)) {
            rc = -PVI_EPREEMPTED;
        }
    }
    b->nr = read; /* what has not been read is no operation yet */
    pvi_batch_end(b);
    fault = report_group(c, b, read);
    if (fault != 0) {
        return fault;
    }
    if (stop && b->failed) {
        c->head.nr = c->head.next; /* that is all */
    }
    return rc == -PVI_EPREEMPTED && c->head.next == c->head.nr ? 0 : rc;
}

static int run_plain(struct call *c)
{
    int rc = 0;

    while (rc == 0 && c->head.next < c->head.nr) {
        rc = run_group(c);
    }
    return rc;
}

/* --- all or nothing ------------------------------------------------------------------------------ */

/* Statuses, each once. It has ended: what cannot be told is not told again. */
static ABI_NOINLINE int report_held(struct call *c, const struct pvi_held *held)
{
    struct pvi_native_op w;
    uint32_t i;

    for (i = 0; i < held->batch.nr; i++) {
        encode_outcome(&held->op[i], held->op[i].status, &w);
        if (copy_out(c, element_at(c, i) + offsetof(struct pvi_native_op, status),
                     (const unsigned char *)&w + offsetof(struct pvi_native_op, status), OUT_BYTES) != 0) {
            return -PVI_EFAULT;
        }
        c->head.next = i + 1;
    }
    return 0;
}

/* Reads all of it. *refused: the element that is none, its status is set; nr: all are. */
static ABI_NOINLINE int read_held(struct call *c, struct pvi_held *held, uint32_t *refused)
{
    unsigned char *bytes = c->abi->wire.bytes;
    uint32_t i;
    int rc = 0, status;

    *refused = c->head.nr;
    for (i = 0; rc == 0 && i < c->head.nr; i++) {
        struct pvi_op *op = &held->op[i];

        rc = copy_in(c, bytes, element_at(c, i), c->head.op_size);
        if (rc == 0 && *refused == c->head.nr) {
            struct pvi_native_op w;

            memcpy(&w, bytes, sizeof(w));
            status = decode(bytes, c->head.op_size, op);
            if (status == 0 && (w.code == PVI_NATIVE_QUERY || w.domid != PVI_DOMID_SELF)) {
                status = -PVI_EINVAL;
            }
            op->status = status;
            *refused = status != 0 ? i : *refused;
        }
    }
    return rc;
}

/* Makes the guest's array the domain's batch. A batch with an element that is none ends here: *held is NULL. */
static ABI_NOINLINE int take_in(struct call *c, const struct pvi_held_name *name, struct pvi_held **held)
{
    struct pvi_held *it = pvi_held_new(c->caller, c->head.nr);
    uint32_t refused, i;
    int rc;

    *held = NULL;
    if (!it) {
        return -PVI_ENOMEM;
    }
    it->name = *name;
    rc = read_held(c, it, &refused);
    if (rc == 0 && refused < c->head.nr) {
        for (i = 0; i < c->head.nr; i++) {
            it->op[i].status = i == refused ? it->op[i].status : -PVI_ECANCELED;
            it->op[i].done = 0;
        }
        rc = report_held(c, it);
    } else if (rc == 0) {
        rc = pvi_held_keep(c->caller, it);
        if (rc == 0) {
            *held = it;
            return 0;
        }
    }
    pvi_held_free(c->caller, it);
    return rc;
}

static ABI_NOINLINE int run_atomic(struct call *c)
{
    struct pvi_held_name name;
    struct pvi_held *held;
    int rc;

    name.header = c->arg;
    name.ops = c->head.ops;
    name.nr = c->head.nr;
    name.op_size = c->head.op_size;
    rc = pvi_held_take(c->caller, &name, &held);
    if (rc == -PVI_ENOENT) {
        rc = take_in(c, &name, &held);
        if (rc == 0 && !held) {
            return 0;
        }
    }
    if (rc != 0) {
        return rc;
    }
    rc = pvi_held_run(c->caller, held);
    if (rc != 0) {
        pvi_held_leave(c->caller, held);
        return rc;
    }
    rc = report_held(c, held);
    pvi_held_drop(c->caller);
    return rc;
}

/* Who made it may be gone, and its memory something else by now: nothing of it is written. */
static int abort_atomic(struct call *c)
{
    struct pvi_held *held;
    bool back;
    int rc = pvi_held_take(c->caller, NULL, &held);

    if (rc != 0) {
        return rc;
    }
    back = pvi_held_abort(c->caller, held);
    rc = pvi_held_run(c->caller, held);
    if (rc != 0) {
        pvi_held_leave(c->caller, held);
        return rc;
    }
    pvi_held_drop(c->caller);
    return back ? 0 : -PVI_ENOENT;
}

/* --- the call ------------------------------------------------------------------------------------ */

static int check_sizes(struct call *c)
{
    const struct pvi_native_batch *h = &c->head;
    unsigned char *bytes = c->abi->wire.bytes;
    size_t tail = h->size - sizeof(*h);

    if (h->version != PVI_NATIVE_VERSION) {
        return -PVI_EOPNOTSUPP;
    }
    if (h->size < sizeof(*h)) {
        return -PVI_EINVAL;
    }
    if (tail > PVI_ABI_TAIL) {
        return -PVI_ELIMIT;
    }
    if (c->arg > UINT64_MAX - h->size) {
        return -PVI_EWRAP;
    }
    if (tail != 0) {
        if (copy_in(c, bytes, c->arg + sizeof(*h), tail) != 0) {
            return -PVI_EFAULT;
        }
        return all_zero(bytes, tail) ? 0 : -PVI_ELIMIT;
    }
    return 0;
}

static int check_array(const struct pvi_native_batch *h)
{
    bool atomic = (h->flags & PVI_NATIVE_ATOMIC) != 0;

    if (h->op_size < sizeof(struct pvi_native_op) || h->next > h->nr || (atomic && h->next != 0)) {
        return -PVI_EINVAL;
    }
    if (h->op_size > sizeof(struct pvi_native_op) + PVI_ABI_TAIL || (atomic && h->nr > PVI_ATOMIC_OPS)) {
        return -PVI_ELIMIT;
    }
    return h->ops > UINT64_MAX - (uint64_t)h->nr * h->op_size ? -PVI_EWRAP : 0;
}

int pvi_native_call(struct pvi_abi_call *call, uint64_t arg)
{
    struct call c;
    int rc;

    c.abi = call;
    c.caller = call->caller;
    c.arg = arg;
    if (copy_in(&c, &c.head, arg, sizeof(c.head)) != 0) {
        return -PVI_EFAULT;
    }
    rc = check_sizes(&c);
    if (rc != 0) {
        return rc;
    }
    if (c.head.flags == (PVI_NATIVE_ATOMIC | PVI_NATIVE_ABORT)) {
        return abort_atomic(&c);
    }
    if (c.head.flags != 0 && c.head.flags != PVI_NATIVE_STOP && c.head.flags != PVI_NATIVE_ATOMIC) {
        return -PVI_EFLAGS;
    }
    rc = check_array(&c.head);
    if (rc != 0 || c.head.nr == 0) {
        return rc;
    }
    rc = (c.head.flags & PVI_NATIVE_ATOMIC) != 0 ? run_atomic(&c) : run_plain(&c);
    if (copy_out(&c, arg + offsetof(struct pvi_native_batch, next), &c.head.next, sizeof(c.head.next)) != 0) {
        return -PVI_EFAULT;
    }
    return rc;
}
