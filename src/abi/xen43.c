/* SPDX-License-Identifier: MIT */
/*
 * Hypercall 43 (include/pviommu/abi/xen43.h): one structure in, one operation of the core, one structure out.
 *
 * What is left of a call lies in the guest's own structure, as published; where that has no room (a context half
 * built as identity) the upper bits of the first argument name it. Both are the guest's to forge, and both only say where a call
 * begins.
 */
#include "xen43.h"

#define WORD_SUBOP 0xffu
#define WORD_CTX_SHIFT 8u    /* alloc: number of the context under way ... */
#define WORD_CTX 0xfffu
#define WORD_TOKEN_SHIFT 20u /* ... and which of its lives (struct pvi_op, done) */

/* Where a structure lies in the caller's memory, and how. */
struct wire {
    uint8_t size;    /* of a 64-bit caller's structure, 0: there is none */
    uint8_t compat;  /* bytes of a 32-bit caller's */
    bool narrow;     /* a 32-bit caller's has no padding behind its first four bytes */
};

static const struct wire wires[] = {
    [PVI_XEN43_QUERY_CAPABILITIES] = {sizeof(struct pvi_xen43_capabilities), 24, false},
    [PVI_XEN43_INIT] = {sizeof(struct pvi_xen43_init), 8, false},
    [PVI_XEN43_ALLOC_CONTEXT] = {sizeof(struct pvi_xen43_alloc), 8, false},
    [PVI_XEN43_FREE_CONTEXT] = {sizeof(struct pvi_xen43_free), 8, false},
    [PVI_XEN43_REATTACH_DEVICE] = {sizeof(struct pvi_xen43_reattach_device), 12, false},
    [PVI_XEN43_MAP_PAGES] = {sizeof(struct pvi_xen43_map_pages), 36, true},
    [PVI_XEN43_UNMAP_PAGES] = {sizeof(struct pvi_xen43_unmap_pages), 24, true},
    [PVI_XEN43_REMOTE_CMD] = {sizeof(struct pvi_xen43_remote_cmd), 8, true},
    [PVI_XEN43_ALLOC_NESTED] = {sizeof(struct pvi_xen43_alloc_nested), 20, true},
    [PVI_XEN43_FLUSH_NESTED] = {sizeof(struct pvi_xen43_flush_nested), 24, false},
    [PVI_XEN43_ATTACH_PASID] = {sizeof(struct pvi_xen43_attach_pasid), 12, false},
    [PVI_XEN43_DETACH_PASID] = {sizeof(struct pvi_xen43_detach_pasid), 8, false},
    [PVI_XEN43_FLUSH_PAGES] = {sizeof(struct pvi_xen43_flush_pages), 20, true},
    [PVI_XEN43_LOOKUP_PAGE] = {sizeof(struct pvi_xen43_lookup_page), 24, false},
};

_Static_assert(sizeof(struct pvi_xen43_capabilities) == 24 && sizeof(struct pvi_xen43_init) == 8 &&
                   sizeof(struct pvi_xen43_alloc) == 8 && sizeof(struct pvi_xen43_free) == 8 &&
                   sizeof(struct pvi_xen43_map_pages) == 40 && sizeof(struct pvi_xen43_unmap_pages) == 32 &&
                   sizeof(struct pvi_xen43_reattach_device) == 12 && sizeof(struct pvi_xen43_remote_cmd) == 16 &&
                   sizeof(struct pvi_xen43_alloc_nested) == 24 && sizeof(struct pvi_xen43_flush_nested) == 24 &&
                   sizeof(struct pvi_xen43_attach_pasid) == 12 && sizeof(struct pvi_xen43_detach_pasid) == 8 &&
                   sizeof(struct pvi_xen43_flush_pages) == 24 && sizeof(struct pvi_xen43_lookup_page) == 24,
               "published sizes");

/* --- the caller's structure ---------------------------------------------------------------------- */

static int copy_in(struct xen43_call *c)
{
    const struct wire *w = &wires[c->subop];
    unsigned char *bytes = c->abi->wire.bytes;
    struct pvi_domain *caller = c->abi->caller;
    unsigned size = c->abi->compat ? w->compat : w->size;

    memset(bytes, 0, w->size);
    if (pvi_host_copy_in(caller->host, caller->cfg.hdom, bytes, c->arg, size) != 0) {
        return -PVI_XEN_EFAULT;
    }
    if (c->abi->compat && w->narrow) {
        memmove(bytes + 8, bytes + 4, size - 4);
        memset(bytes + 4, 0, 4);
        memset(bytes + 4 + size, 0, w->size > size + 4u ? w->size - size - 4u : 0u);
    }
    return 0;
}

static int copy_out(struct xen43_call *c)
{
    const struct wire *w = &wires[c->subop];
    unsigned char *bytes = c->abi->wire.bytes;
    struct pvi_domain *caller = c->abi->caller;
    unsigned size = c->abi->compat ? w->compat : w->size;

    if (c->abi->compat && w->narrow) {
        memmove(bytes + 4, bytes + 8, size - 4);
    }
    return pvi_host_copy_out(caller->host, caller->cfg.hdom, c->arg, bytes, size) != 0 ? -PVI_XEN_EFAULT : 0;
}

int pvi_xen43_answer(struct xen43_call *c, int rc)
{
    int fault = copy_out(c);

    return fault != 0 ? fault : rc;
}

/* --- operations of the core ---------------------------------------------------------------------- */

uint64_t pvi_xen43_caps(struct xen43_call *c, uint32_t *flags)
{
    struct pvi_op *op = xen43_op(c, PVI_OP_QUERY_CAPS, 0);

    if (xen43_run(c, op) != 0) {
        memset(&op->u, 0, sizeof(op->u));
    }
    *flags = op->u.caps.flags;
    return op->u.caps.page_sizes;
}

/* Who has no IOMMU, or may not initialise and for whom nobody has, has no interface: that comes before every other error. */
static bool no_interface(struct xen43_call *c)
{
    struct pvi_domain *d = c->abi->caller;
    uint32_t flags;

    if (pvi_xen43_caps(c, &flags) == 0) {
        return c->abi->op[0].status == 0; /* a domain that dies has other errors */
    }
    return (flags & PVI_CAP_INITED) == 0 && c->domid == PVI_DOMID_SELF && !pvi_host_may_init(d->host, d->cfg.hdom);
}

/* --- what there is ------------------------------------------------------------------------------- */

static ABI_NOINLINE int query_capabilities(struct xen43_call *c)
{
    struct pvi_xen43_capabilities *cap = (void *)c->abi->wire.bytes;
    struct pvi_op *op = xen43_op(c, PVI_OP_QUERY_CAPS, 0);
    int rc = xen43_run(c, op);

    if (rc != 0) {
        return pvi_xen_error(rc);
    }
    memset(cap, 0, sizeof(*cap));
    if (op->u.caps.page_sizes != 0) {
        cap->max_iova_addr = op->u.caps.max_iova;
        /* Front ends name the first frame of a page that is contiguous to them. */
        cap->pgsize_mask = xen43_page_mask((op->u.caps.flags & PVI_CAP_SCATTERED) != 0 ? PVI_PAGE_SIZE : op->u.caps.page_sizes);
        cap->cap_flags = PVI_XEN43_CAP_IDENTITY | PVI_XEN43_CAP_DEFERRED_FLUSH | PVI_XEN43_CAP_LOOKUP;
        cap->cap_flags |= (op->u.caps.flags & PVI_CAP_DEFAULT_IDENTITY) != 0 ? PVI_XEN43_CAP_DEFAULT_IDENTITY : 0u;
        cap->cap_flags |= (op->u.caps.flags & PVI_CAP_SNOOP) != 0 ? PVI_XEN43_CAP_CACHE : 0u;
        cap->cap_flags |= op->u.caps.guest_levels != 0 ? PVI_XEN43_CAP_NESTED : 0u;
        cap->cap_flags |= op->u.caps.pasid_bits != 0 ? PVI_XEN43_CAP_PASID : 0u;
        cap->max_pasid = ((uint32_t)1 << op->u.caps.pasid_bits) - 1;
        cap->max_ctx_no = (op->u.caps.flags & PVI_CAP_INITED) != 0 ? (uint16_t)op->u.caps.nr_contexts : 0;
    }
    return pvi_xen43_answer(c, 0);
}

static ABI_NOINLINE int init(struct xen43_call *c)
{
    const struct pvi_xen43_init *in = (void *)c->abi->wire.bytes;
    struct pvi_op *op = xen43_op(c, PVI_OP_INIT, 0);
    uint32_t nr = in->max_ctx_no, order = in->arena_order, flags;
    int rc;

    if (nr != UINT32_MAX && ((nr + 1) & 0xffff) == 0) {
        return -PVI_XEN_EINVAL; /* what the published code makes of it: a count of 16 bits that has become 0 */
    }
    op->u.init.nr_contexts = nr;
    op->u.init.nr_pages = order < 32 ? (uint32_t)1 << order : UINT32_MAX;
    rc = xen43_run(c, op);
    if (rc == -PVI_ELIMIT) {
        (void)pvi_xen43_caps(c, &flags);
        if ((flags & PVI_CAP_INITED) != 0) {
            rc = -PVI_EINITED;
        } else if (nr <= c->abi->op[0].u.caps.nr_contexts) {
            rc = -PVI_ENOMEM; /* not the contexts but the arena is more than there is */
        }
    }
    return pvi_xen_error(rc);
}

/* --- contexts ------------------------------------------------------------------------------------ */

/* The upper bits of the word that tell of a context under way. */
static uint32_t word_state(const struct pvi_op *op)
{
    return op->ctx | (uint32_t)op->done << (WORD_TOKEN_SHIFT - WORD_CTX_SHIFT);
}

/* The allocation that the upper bits of the word tell of, or a new one. */
static int alloc_run(struct xen43_call *c, uint32_t flags)
{
    struct pvi_op *op = xen43_op(c, PVI_OP_ALLOC_CONTEXT, 0);
    int rc;

    op->flags = flags != 0 ? PVI_ALLOC_IDENTITY : 0;
    op->ctx = (uint16_t)(c->state & WORD_CTX);
    op->done = c->state >> (WORD_TOKEN_SHIFT - WORD_CTX_SHIFT);
    rc = xen43_run(c, op);
    c->state = rc == 0 || rc == -PVI_EPREEMPTED ? word_state(op) : 0;
    return rc;
}

/* Nobody has learnt the number of the context under way: it goes, in as many calls as that takes, if it is that context still. */
static int alloc_discard(struct xen43_call *c)
{
    struct pvi_op *op = xen43_op(c, PVI_OP_FREE_CONTEXT, (uint16_t)(c->state & WORD_CTX));

    op->u.free.token = c->state >> (WORD_TOKEN_SHIFT - WORD_CTX_SHIFT);
    return xen43_run(c, op) == -PVI_EPREEMPTED ? -PVI_XEN_ERESTART : -PVI_XEN_EFAULT;
}

static ABI_NOINLINE int alloc_context(struct xen43_call *c)
{
    struct pvi_xen43_alloc *alloc = (void *)c->abi->wire.bytes;
    int rc;

    alloc->pad = 0;
    if (c->state == 0 && (alloc->alloc_flags & ~PVI_XEN43_ALLOC_IDENTITY) != 0) { /* later they decide nothing any more */
        return pvi_xen43_answer(c, -PVI_XEN_EINVAL);
    }
    rc = alloc_run(c, alloc->alloc_flags);
    if (rc == -PVI_EPREEMPTED) {
        return -PVI_XEN_ERESTART;
    }
    if (rc != 0) {
        return pvi_xen43_answer(c, rc == -PVI_ENOTINIT ? -PVI_XEN_ENOSPC : pvi_xen_error(rc));
    }
    alloc->ctx_no = (uint16_t)(c->state & WORD_CTX);
    return copy_out(c) != 0 ? alloc_discard(c) : 0;
}

static ABI_NOINLINE int free_context(struct xen43_call *c)
{
    const struct pvi_xen43_free *in = (void *)c->abi->wire.bytes;
    struct pvi_op *op = xen43_op(c, PVI_OP_FREE_CONTEXT, in->ctx_no);
    int rc;

    if ((in->free_flags & ~PVI_XEN43_FREE_REATTACH_DEFAULT) != 0) {
        return -PVI_XEN_EINVAL;
    }
    op->flags = in->free_flags != 0 ? PVI_FREE_REATTACH : 0;
    rc = in->ctx_no != 0 ? xen43_run(c, op) : -PVI_EDEFAULT;
    return rc == -PVI_ENOTINIT ? -PVI_XEN_ENOENT : pvi_xen_error(rc);
}

static pvi_sbdf device_of(const struct pvi_xen43_pci_device *dev)
{
    pvi_sbdf sbdf;

    sbdf.v = (uint32_t)dev->seg << 16 | (uint32_t)dev->bus << 8 | dev->devfn;
    return sbdf;
}

/* Before init there is nothing that could be named. */
static int init_error(int rc)
{
    return rc == -PVI_ENOTINIT ? -PVI_XEN_ENOENT : pvi_xen_error(rc);
}

/* Is there no capability for it? */
static bool lacks(struct xen43_call *c, uint32_t capability)
{
    const struct pvi_op *op = &c->abi->op[0];
    uint32_t flags;

    (void)pvi_xen43_caps(c, &flags);
    return op->status == 0 && (capability == PVI_XEN43_CAP_NESTED ? op->u.caps.guest_levels : op->u.caps.pasid_bits) == 0;
}

/* An operation that attaches to ctx, which may be on its end. */
static int attach_run(struct xen43_call *c, struct pvi_op *op, uint16_t ctx)
{
    int rc = xen43_run(c, op);

    if (rc == -PVI_ENOCTX && pvi_xen43_context_judge(c, ctx) == 0) {
        return -PVI_EINVAL;
    }
    return rc == -PVI_ENOTINIT ? -PVI_ENOCTX : rc;
}

static int attach_pasid(struct xen43_call *c, const struct pvi_xen43_pci_device *dev, uint16_t ctx, uint32_t pasid, uint32_t flags)
{
    struct pvi_op *op;

    if (lacks(c, PVI_XEN43_CAP_PASID)) {
        return -PVI_XEN_EOPNOTSUPP;
    }
    op = xen43_op(c, PVI_OP_ATTACH_PASID, ctx);
    op->flags = flags;
    op->u.pasid.sbdf = device_of(dev);
    op->u.pasid.pasid = pasid;
    return pvi_xen_error(attach_run(c, op, ctx));
}

static ABI_NOINLINE int reattach_device(struct xen43_call *c)
{
    const struct pvi_xen43_reattach_device *in = (void *)c->abi->wire.bytes;
    struct pvi_op *op;
    int rc;

    if (in->pasid != 0) {
        return attach_pasid(c, &in->dev, in->ctx_no, in->pasid, PVI_PASID_MOVE);
    }
    op = xen43_op(c, PVI_OP_REATTACH_DEVICE, in->ctx_no);
    op->u.reattach.sbdf = device_of(&in->dev);
    rc = attach_run(c, op, in->ctx_no);
    return rc == -PVI_EEXIST ? -PVI_XEN_EADDRINUSE : pvi_xen_error(rc);
}

static ABI_NOINLINE int detach_pasid(struct xen43_call *c)
{
    const struct pvi_xen43_detach_pasid *in = (void *)c->abi->wire.bytes;
    struct pvi_op *op;

    if (lacks(c, PVI_XEN43_CAP_PASID)) {
        return -PVI_XEN_EOPNOTSUPP;
    }
    op = xen43_op(c, PVI_OP_DETACH_PASID, 0);
    op->u.pasid.sbdf = device_of(&in->dev);
    op->u.pasid.pasid = in->pasid;
    return init_error(xen43_run(c, op));
}

/* --- contexts with a guest's own tables ------------------------------------------------------------ */

static ABI_NOINLINE int alloc_nested(struct xen43_call *c)
{
    struct pvi_xen43_alloc_nested *io = (void *)c->abi->wire.bytes;
    const uint64_t known = PVI_XEN43_NESTED_5LEVEL | PVI_XEN43_NESTED_DEPTH | PVI_XEN43_NESTED_SUPERVISOR |
                           PVI_XEN43_NESTED_WRITE_PROTECT | PVI_XEN43_NESTED_PARENT;
    uint64_t flags = io->nested_flags;
    struct pvi_op *op;
    int rc;

    if (lacks(c, PVI_XEN43_CAP_NESTED)) {
        return -PVI_XEN_EOPNOTSUPP;
    }
    memset(io->pad, 0, sizeof(io->pad));
    if ((flags & ~known) != 0) {
        return pvi_xen43_answer(c, -PVI_XEN_EINVAL);
    }
    op = xen43_op(c, PVI_OP_ALLOC_NESTED, 0);
    op->flags = (flags & PVI_XEN43_NESTED_SUPERVISOR) != 0 ? PVI_NESTED_SUPERVISOR : 0;
    op->flags |= (flags & PVI_XEN43_NESTED_WRITE_PROTECT) != 0 ? PVI_NESTED_WRITE_PROTECT : 0;
    op->u.nested.root.f = io->pgtable_gfn;
    op->u.nested.parent = (uint16_t)(flags >> PVI_XEN43_NESTED_PARENT_SHIFT);
    op->u.nested.levels = (flags & PVI_XEN43_NESTED_5LEVEL) != 0 ? 5 : 4;
    op->u.nested.depth = (uint8_t)((flags & PVI_XEN43_NESTED_DEPTH) >> PVI_XEN43_NESTED_DEPTH_SHIFT);
    rc = xen43_run(c, op);
    if (rc == -PVI_EPREEMPTED) {
        return -PVI_XEN_ERESTART;
    }
    if (rc != 0) {
        return pvi_xen43_answer(c, rc == -PVI_ENOTINIT ? -PVI_XEN_ENOSPC : pvi_xen_error(rc));
    }
    io->ctx_no = op->ctx;
    c->state = word_state(op);
    if (copy_out(c) != 0) {
        return alloc_discard(c);
    }
    c->state = 0;
    return 0;
}

static ABI_NOINLINE int flush_nested(struct xen43_call *c)
{
    const struct pvi_xen43_flush_nested *in = (void *)c->abi->wire.bytes;
    struct pvi_op *op;

    if (lacks(c, PVI_XEN43_CAP_NESTED)) {
        return -PVI_XEN_EOPNOTSUPP;
    }
    if (in->reserved != 0 || (in->flags & ~PVI_XEN43_FLUSH_ALL_PASIDS) != 0) {
        return -PVI_XEN_EINVAL;
    }
    op = xen43_op(c, PVI_OP_FLUSH_NESTED, in->ctx_no);
    op->flags = in->flags != 0 ? PVI_FLUSH_ALL_PASIDS : 0;
    op->u.guest.first = in->dfn;
    op->u.guest.nr = in->nr_pages;
    op->u.guest.pasid = in->pasid;
    return init_error(xen43_run(c, op));
}

/* --- the call ------------------------------------------------------------------------------------ */

static int run(struct xen43_call *c)
{
    const struct pvi_xen43_attach_pasid *pasid;
    int rc;

    if (c->subop == PVI_XEN43_QUERY_CAPABILITIES) {
        return query_capabilities(c);
    }
    rc = copy_in(c);
    if (c->state != 0 && (rc != 0 || c->subop == PVI_XEN43_ALLOC_NESTED)) { /* a nested one stands only while it is taken back */
        return alloc_discard(c);
    }
    if (rc != 0) {
        return rc;
    }
    switch (c->subop) {
    case PVI_XEN43_INIT:
        return init(c);
    case PVI_XEN43_ALLOC_CONTEXT:
        return alloc_context(c);
    case PVI_XEN43_FREE_CONTEXT:
        return free_context(c);
    case PVI_XEN43_REATTACH_DEVICE:
        return reattach_device(c);
    case PVI_XEN43_MAP_PAGES:
        return pvi_xen43_map(c);
    case PVI_XEN43_UNMAP_PAGES:
        return pvi_xen43_unmap(c);
    case PVI_XEN43_ALLOC_NESTED:
        return alloc_nested(c);
    case PVI_XEN43_FLUSH_NESTED:
        return flush_nested(c);
    case PVI_XEN43_ATTACH_PASID:
        pasid = (void *)c->abi->wire.bytes;
        return attach_pasid(c, &pasid->dev, pasid->ctx_no, pasid->pasid, 0);
    case PVI_XEN43_DETACH_PASID:
        return detach_pasid(c);
    case PVI_XEN43_FLUSH_PAGES:
        return pvi_xen43_flush(c);
    default:
        return pvi_xen43_lookup(c);
    }
}

static int dispatch(struct xen43_call *c)
{
    int rc;

    if (c->state != 0 && c->subop != PVI_XEN43_ALLOC_CONTEXT && c->subop != PVI_XEN43_ALLOC_NESTED) {
        return -PVI_XEN_EOPNOTSUPP;
    }
    if (c->subop == PVI_XEN43_NOOP) {
        return 0;
    }
    if (c->subop >= sizeof(wires) / sizeof(wires[0])) {
        return -PVI_XEN_EOPNOTSUPP;
    }
    c->subop = (uint32_t)pvi_nospec(c->subop, sizeof(wires) / sizeof(wires[0]));
    if (wires[c->subop].size == 0) {
        return -PVI_XEN_EOPNOTSUPP;
    }
    rc = run(c);
    return rc != 0 && rc != -PVI_XEN_ERESTART && c->subop != PVI_XEN43_QUERY_CAPABILITIES && no_interface(c) ? -PVI_XEN_ENODEV : rc;
}

/* The same for another domain; the structure is the caller's. */
static int remote(struct xen43_call *c)
{
    const struct pvi_xen43_remote_cmd *in = (void *)c->abi->wire.bytes;
    int rc = copy_in(c);

    if (rc != 0) {
        return rc;
    }
    c->domid = in->domid;
    c->subop = in->subop;
    c->arg = in->arg;
    rc = xen43_run(c, xen43_op(c, PVI_OP_NOOP, 0)); /* whether there is such a domain, and the caller may act for it */
    if (rc != 0) {
        return rc == -PVI_ENODOM ? -PVI_XEN_ENOENT : pvi_xen_error(rc);
    }
    return c->subop == PVI_XEN43_REMOTE_CMD ? -PVI_XEN_EINVAL : dispatch(c);
}

int pvi_xen43_call(struct pvi_abi_call *call, uint32_t *word, uint64_t arg)
{
    struct xen43_call c;
    int rc;

    c.abi = call;
    c.arg = arg;
    c.subop = *word & WORD_SUBOP;
    c.state = *word >> WORD_CTX_SHIFT;
    c.domid = PVI_DOMID_SELF;
    if (c.state != 0 && ((c.state & WORD_CTX) == 0 || c.state >> (WORD_TOKEN_SHIFT - WORD_CTX_SHIFT) == 0)) {
        return -PVI_XEN_EOPNOTSUPP; /* nothing of ours: a number that no sub-operation has */
    }
    rc = c.subop == PVI_XEN43_REMOTE_CMD ? remote(&c) : dispatch(&c);
    if (rc == -PVI_XEN_ERESTART) {
        *word = (*word & WORD_SUBOP) | c.state << WORD_CTX_SHIFT;
    }
    return rc;
}
