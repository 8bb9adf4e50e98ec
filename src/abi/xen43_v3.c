/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43 as it was before v4 (include/pviommu/abi/xen43_v3.h). Its calls are small but for one: a clone is built over many
 * continuations, and as there is no second argument the guest's structure says which.
 */
#include <pviommu/abi/xen43_v3.h>

#include "single.h"

#define TOKEN_SHIFT 20u /* flags of a clone under way: which of the number's lives it is (struct pvi_op, done) */

_Static_assert(sizeof(struct pvi_xen43_v3_op) == 32, "published size");

static struct pvi_op *op_begin(struct pvi_abi_call *call, unsigned code, uint16_t ctx)
{
    return pvi_abi_op(call, code, PVI_DOMID_SELF, ctx);
}

/* For what is small whatever the guest says. */
static int op_run_all(struct pvi_abi_call *call, struct pvi_op *op)
{
    int rc;

    do {
        rc = pvi_abi_run(call, op);
    } while (rc == -PVI_EPREEMPTED);
    return rc;
}

static int copy_out(struct pvi_abi_call *call, uint64_t arg)
{
    struct pvi_domain *d = call->caller;

    return pvi_host_copy_out(d->host, d->cfg.hdom, arg, call->wire.bytes, sizeof(struct pvi_xen43_v3_op)) != 0 ? -PVI_XEN_EFAULT : 0;
}

/* Hardware domains only, as published: here whom the host lets initialise, or for whom it has. */
static bool admitted(struct pvi_abi_call *call)
{
    struct pvi_domain *d = call->caller;
    struct pvi_op *op = op_begin(call, PVI_OP_QUERY_CAPS, 0);

    return d->has_iommu &&
           (pvi_host_may_init(d->host, d->cfg.hdom) || (pvi_abi_run(call, op) == 0 && (op->u.caps.flags & PVI_CAP_INITED) != 0));
}

static int query_capabilities(struct pvi_abi_call *call, struct pvi_xen43_v3_op *io)
{
    struct pvi_op *op = op_begin(call, PVI_OP_QUERY_CAPS, 0);
    int rc = pvi_abi_run(call, op);

    if (rc != 0) {
        return pvi_xen_error(rc);
    }
    memset(&io->u, 0, sizeof(io->u));
    io->u.cap.max_ctx_no = (op->u.caps.flags & PVI_CAP_INITED) != 0 ? (uint16_t)op->u.caps.nr_contexts : 0;
    io->u.cap.max_nr_pages = PVI_XEN43_V3_MAX_PAGES;
    io->u.cap.max_iova_addr = op->u.caps.max_iova;
    return 0;
}

/*
 * Every way out writes the structure, but for a clone that goes on: where it lies is in there since it was first preempted. If its
 * number cannot be told it goes: what a first call has built all at once, or as far as its time goes, and the rest when the guest
 * frees that number, as whoever comes back to a structure without it would begin another.
 */
static int alloc_context(struct pvi_abi_call *call, struct pvi_xen43_v3_op *io, uint64_t arg)
{
    struct pvi_op *op = op_begin(call, PVI_OP_ALLOC_CONTEXT, 0);
    uint32_t token = io->flags >> TOKEN_SHIFT;
    uint32_t made;
    uint16_t ctx;
    int rc;

    if ((io->flags & ~((uint32_t)PVI_ALLOC_TOKENS << TOKEN_SHIFT) & ~PVI_XEN43_V3_CREATE_CLONE) != 0 ||
        (token != 0 && (io->flags & PVI_XEN43_V3_CREATE_CLONE) == 0)) {
        rc = copy_out(call, arg);
        return rc != 0 ? rc : -PVI_XEN_EINVAL;
    }
    op->flags = (io->flags & PVI_XEN43_V3_CREATE_CLONE) != 0 ? PVI_ALLOC_IDENTITY : 0;
    op->ctx = token != 0 ? io->ctx_no : 0;
    op->done = token;
    rc = pvi_abi_run(call, op);
    ctx = op->ctx;
    made = (uint32_t)op->done;
    if (rc == -PVI_EPREEMPTED && (token != 0 || ctx == 0)) {
        return -PVI_XEN_ERESTART;
    }
    io->flags &= PVI_XEN43_V3_CREATE_CLONE;
    if (rc == -PVI_EPREEMPTED) {
        io->flags |= made << TOKEN_SHIFT;
    }
    io->ctx_no = rc == 0 || rc == -PVI_EPREEMPTED ? ctx : token != 0 ? 0 : io->ctx_no;
    if (copy_out(call, arg) == 0) {
        return rc == -PVI_ENOTINIT ? -PVI_XEN_ENOSPC : rc == -PVI_ENOCTX ? -PVI_XEN_EINVAL : pvi_xen_error(rc);
    }
    if (rc != 0 && rc != -PVI_EPREEMPTED) {
        return -PVI_XEN_EFAULT;
    }
    op = op_begin(call, PVI_OP_FREE_CONTEXT, ctx);
    op->u.free.token = made;
    rc = pvi_abi_run(call, op);
    return rc == -PVI_EPREEMPTED && token != 0 ? -PVI_XEN_ERESTART : -PVI_XEN_EFAULT;
}

static int free_context(struct pvi_abi_call *call, const struct pvi_xen43_v3_op *io)
{
    struct pvi_op *op = op_begin(call, PVI_OP_FREE_CONTEXT, io->ctx_no);
    int rc;

    if (io->flags != 0) {
        return -PVI_XEN_EINVAL;
    }
    op->flags = PVI_FREE_REATTACH;
    rc = io->ctx_no != 0 ? pvi_abi_run(call, op) : -PVI_EDEFAULT;
    return rc == -PVI_ENOTINIT ? -PVI_XEN_ENOENT : rc == -PVI_EEXIST ? -PVI_XEN_EADDRINUSE : pvi_xen_error(rc);
}

static int reattach_device(struct pvi_abi_call *call, const struct pvi_xen43_v3_op *io)
{
    struct pvi_op *op = op_begin(call, PVI_OP_REATTACH_DEVICE, io->ctx_no);
    int rc;

    if (io->flags != 0) {
        return -PVI_XEN_EINVAL;
    }
    op->u.reattach.sbdf.v =
        (uint32_t)io->u.reattach_device.seg << 16 | (uint32_t)io->u.reattach_device.bus << 8 | io->u.reattach_device.devfn;
    rc = pvi_abi_run(call, op);
    return rc == -PVI_ENOTINIT ? -PVI_XEN_ENOENT : rc == -PVI_EEXIST ? -PVI_XEN_EADDRINUSE : pvi_xen_error(rc);
}

/* A range without a page: only whether there is such a context. */
static int empty_range(struct pvi_abi_call *call, uint16_t ctx)
{
    struct pvi_op *op = op_begin(call, PVI_OP_LOOKUP, ctx);
    int rc = pvi_abi_run(call, op);

    return rc == -PVI_ENOCTX || rc == -PVI_EDEFAULT || rc == -PVI_ENOTINIT || rc == -PVI_EDYING ? pvi_xen43_range_error(rc) : 0;
}

static int map_pages(struct pvi_abi_call *call, struct pvi_xen43_v3_op *io)
{
    uint32_t nr = io->u.map_pages.nr_pages, flags = io->flags;
    struct pvi_op *op;
    int rc;

    io->u.map_pages.mapped = 0;
    if ((flags & ~(PVI_XEN43_V3_OP_READABLE | PVI_XEN43_V3_OP_WRITEABLE)) != 0 || flags == 0) {
        return -PVI_XEN_EINVAL;
    }
    if (nr > PVI_XEN43_V3_MAX_PAGES) {
        return -PVI_XEN_E2BIG;
    }
    if (nr == 0) {
        return empty_range(call, io->ctx_no);
    }
    op = op_begin(call, PVI_OP_MAP, io->ctx_no);
    op->flags = (flags & PVI_XEN43_V3_OP_READABLE) != 0 ? PVI_MAP_READ : 0;
    op->flags |= (flags & PVI_XEN43_V3_OP_WRITEABLE) != 0 ? PVI_MAP_WRITE : 0;
    op->u.map.dfn.f = io->u.map_pages.dfn;
    op->u.map.gfn.f = io->u.map_pages.gfn;
    op->u.map.nr = nr;
    rc = op_run_all(call, op);
    io->u.map_pages.mapped = (uint32_t)op->done;
    return pvi_xen43_range_error(rc);
}

static int unmap_pages(struct pvi_abi_call *call, struct pvi_xen43_v3_op *io)
{
    uint32_t nr = io->u.unmap_pages.nr_pages;
    struct pvi_op *op;
    int rc;

    io->u.unmap_pages.unmapped = 0;
    if (io->flags != 0) {
        return -PVI_XEN_EINVAL;
    }
    if (nr > PVI_XEN43_V3_MAX_PAGES) {
        return -PVI_XEN_E2BIG;
    }
    if (nr == 0) {
        return empty_range(call, io->ctx_no);
    }
    op = op_begin(call, PVI_OP_UNMAP, io->ctx_no);
    op->u.unmap.dfn.f = io->u.unmap_pages.dfn;
    op->u.unmap.nr = nr;
    rc = op_run_all(call, op);
    io->u.unmap_pages.unmapped = (uint32_t)op->done;
    return pvi_xen43_range_error(rc);
}

static int lookup_page(struct pvi_abi_call *call, struct pvi_xen43_v3_op *io)
{
    struct pvi_op *op = op_begin(call, PVI_OP_LOOKUP, io->ctx_no);
    int rc;

    if (io->flags != 0) {
        return -PVI_XEN_EINVAL;
    }
    op->u.lookup.dfn.f = io->u.lookup_page.dfn;
    rc = pvi_abi_run(call, op);
    if (rc == 0) {
        io->u.lookup_page.gfn = op->u.lookup.gfn.f;
    }
    return pvi_xen43_range_error(rc);
}

/* All but alloc_context, which writes its answer itself. */
static int dispatch(struct pvi_abi_call *call, struct pvi_xen43_v3_op *io)
{
    switch (io->subop_id) {
    case PVI_XEN43_V3_NOOP:
        return 0;
    case PVI_XEN43_V3_QUERY_CAPABILITIES:
        return query_capabilities(call, io);
    case PVI_XEN43_V3_FREE_CONTEXT:
        return free_context(call, io);
    case PVI_XEN43_V3_REATTACH_DEVICE:
        return reattach_device(call, io);
    case PVI_XEN43_V3_MAP_PAGES:
        return map_pages(call, io);
    case PVI_XEN43_V3_UNMAP_PAGES:
        return unmap_pages(call, io);
    default:
        return lookup_page(call, io);
    }
}

int pvi_xen43_v3_call(struct pvi_abi_call *call, uint64_t arg)
{
    struct pvi_xen43_v3_op *io = (void *)call->wire.bytes;
    struct pvi_domain *d = call->caller;
    int rc, fault;

    if (!admitted(call)) {
        return -PVI_XEN_EPERM;
    }
    if (pvi_host_copy_in(d->host, d->cfg.hdom, io, arg, sizeof(*io)) != 0) {
        return -PVI_XEN_EFAULT;
    }
    if (io->subop_id > PVI_XEN43_V3_LOOKUP_PAGE) {
        return -PVI_XEN_EINVAL;
    }
    if (io->subop_id == PVI_XEN43_V3_ALLOC_CONTEXT) {
        return alloc_context(call, io, arg);
    }
    rc = dispatch(call, io);
    if (rc == -PVI_XEN_ERESTART) {
        return rc; /* a free, or a claim to wait for: nothing has changed that the structure would tell */
    }
    fault = copy_out(call, arg);
    return fault != 0 ? fault : rc;
}
