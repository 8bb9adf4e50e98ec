/* SPDX-License-Identifier: MIT */
/*
 * The interface of 2015: decodes an array of elements, runs each at its turn, and answers. What the dialects answer is in
 * one table each.
 */
#include <pviommu/abi/xen_bus.h>
#include <pviommu/bus.h>

/* Which status an error is, per sub-operation; what is not listed is EIO. */
struct bus_status {
    uint8_t subop; /* enum pvi_xen_bus_subop */
    uint8_t err;   /* enum pvi_err */
    uint8_t status;
};

struct bus_dialect {
    const struct bus_status *status;
    uint32_t nr_status;
    uint8_t subops;      /* bit n: sub-operation n is known */
    bool strict;         /* reserved bits are refused */
    bool offset;         /* lookup maps at an offset, io-servers are not named */
};

#define MAP PVI_XEN_BUS_MAP_PAGE
#define UNMAP PVI_XEN_BUS_UNMAP_PAGE
#define FOREIGN PVI_XEN_BUS_MAP_FOREIGN_PAGE
#define LOOKUP PVI_XEN_BUS_LOOKUP_FOREIGN_PAGE
#define UNMAP_FOREIGN PVI_XEN_BUS_UNMAP_FOREIGN_PAGE

static const struct bus_status shipped_status[] = {
    {MAP, PVI_ENOIOMMU, PVI_XEN_EPERM},
    {MAP, PVI_EPERM, PVI_XEN_EPERM},
    {MAP, PVI_ENOFRAME, PVI_XEN_EPERM},
    {MAP, PVI_EEXIST, PVI_XEN_EPERM},
    {MAP, PVI_ERESERVED, PVI_XEN_EPERM}, /* mapped, so taken */
    {MAP, PVI_EFLAGS, PVI_XEN_EINVAL},
    {UNMAP, PVI_ENOENT, PVI_XEN_ENOENT},
    {UNMAP, PVI_ENOIOMMU, PVI_XEN_EPERM},
    {UNMAP, PVI_EPERM, PVI_XEN_EPERM},
    {LOOKUP, PVI_EPERM, PVI_XEN_EPERM},
    {LOOKUP, PVI_ENODOM, PVI_XEN_ENXIO},
    {LOOKUP, PVI_ENOFRAME, PVI_XEN_ENXIO},
    {LOOKUP, PVI_ENOENT, PVI_XEN_ENXIO},
    {LOOKUP, PVI_EEXIST, PVI_XEN_ENXIO}, /* another mapping is in its place */
    {UNMAP_FOREIGN, PVI_ENOENT, PVI_XEN_ENOENT},
};

static const struct bus_status draft_status[] = {
    {MAP, PVI_ENOIOMMU, PVI_XEN_EPERM},
    {MAP, PVI_EPERM, PVI_XEN_EPERM},
    {MAP, PVI_ENOFRAME, PVI_XEN_EPERM},
    {MAP, PVI_EEXIST, PVI_XEN_EPERM},
    {MAP, PVI_ERESERVED, PVI_XEN_EACCES},
    {MAP, PVI_EALIGN, PVI_XEN_ENOSPC},
    {MAP, PVI_EFLAGS, PVI_XEN_EINVAL},
    {UNMAP, PVI_ENOENT, PVI_XEN_ENOENT},
    {UNMAP, PVI_ENOIOMMU, PVI_XEN_EPERM},
    {UNMAP, PVI_EPERM, PVI_XEN_EPERM},
    {UNMAP, PVI_ERESERVED, PVI_XEN_EACCES},
    {UNMAP, PVI_EALIGN, PVI_XEN_ENOSPC},
    {FOREIGN, PVI_EPERM, PVI_XEN_EPERM},
    {FOREIGN, PVI_EEXIST, PVI_XEN_EPERM},
    {FOREIGN, PVI_ENOENT, PVI_XEN_EPERM},
    {FOREIGN, PVI_ERESERVED, PVI_XEN_EACCES},
    {FOREIGN, PVI_ENODEV, PVI_XEN_ENODEV},
    {FOREIGN, PVI_ENODOM, PVI_XEN_ENXIO},
    {FOREIGN, PVI_ENOFRAME, PVI_XEN_ENXIO},
    {FOREIGN, PVI_EFLAGS, PVI_XEN_EINVAL},
    {LOOKUP, PVI_EPERM, PVI_XEN_EPERM},
    {LOOKUP, PVI_ENOENT, PVI_XEN_ENOENT},
    {LOOKUP, PVI_EEXIST, PVI_XEN_ENOENT}, /* another CPU has just made another mapping of what was found */
    {LOOKUP, PVI_ENODEV, PVI_XEN_ENODEV},
    {LOOKUP, PVI_ENODOM, PVI_XEN_ENXIO},
    {LOOKUP, PVI_ENOFRAME, PVI_XEN_ENXIO},
    {UNMAP_FOREIGN, PVI_ENOENT, PVI_XEN_ENOENT},
};

static const struct bus_dialect dialects[] = {
    [PVI_XEN_BUS_SHIPPED] = {shipped_status, sizeof(shipped_status) / sizeof(shipped_status[0]), 0x6e, false, true},
    [PVI_XEN_BUS_DRAFT_B] = {draft_status, sizeof(draft_status) / sizeof(draft_status[0]), 0x7e, true, false},
};

static int32_t status_of(const struct bus_dialect *di, unsigned subop, int err)
{
    uint32_t i;

    for (i = 0; i < di->nr_status && err != 0; i++) {
        if (di->status[i].subop == subop && di->status[i].err == -err) {
            return -(int32_t)di->status[i].status;
        }
    }
    return err != 0 ? -PVI_XEN_EIO : 0;
}

/* --- one element ------------------------------------------------------------------------------------ */

static struct pvi_xen_bus_op *element(struct pvi_abi_call *call, uint32_t i)
{
    return (struct pvi_xen_bus_op *)(void *)&call->wire.bytes[i * PVI_XEN_BUS_SIZE];
}

static void decode_caps(struct pvi_domain *d, const struct bus_dialect *di, struct pvi_xen_bus_op *e)
{
    bool maps = pvi_bus_maps(d);

    e->flags = 0;
    if (maps && di->offset) {
        e->flags = PVI_XEN_BUS_MAP_CAP | PVI_XEN_BUS_MAP_ALL;
        e->u.query_caps.offset = d->cfg.bus_offset != 0 ? d->cfg.bus_offset : PVI_BUS_OFFSET;
    } else if (maps) {
        e->flags = (uint16_t)(PVI_XEN_BUS_MAP_CAP | (d->cfg.bus_all_frames ? PVI_XEN_BUS_MAP_ALL : 0u) |
                              PVI_XEN_BUS_MAX_ORDER << PVI_XEN_BUS_ORDER_SHIFT);
    }
}

/* A range of an order that both ends must fit. */
static int decode_order(const struct bus_dialect *di, const struct pvi_xen_bus_op *e, uint64_t frames, uint64_t *nr)
{
    unsigned order = di->offset ? 0 : e->flags >> PVI_XEN_BUS_ORDER_SHIFT;

    *nr = (uint64_t)1 << (order & 31);
    return order > PVI_XEN_BUS_MAX_ORDER || (frames & (*nr - 1)) != 0 ? -PVI_XEN_ENOSPC : 0;
}

static int decode_map(const struct bus_dialect *di, const struct pvi_xen_bus_op *e, struct pvi_op *op)
{
    uint64_t nr;
    int rc = decode_order(di, e, e->u.map_page.bfn | e->u.map_page.gfn, &nr);

    op->code = PVI_OP_BUS_MAP;
    op->flags = e->flags & (PVI_RW | PVI_MAP_NO_REF);
    op->u.map.dfn.f = e->u.map_page.bfn;
    op->u.map.gfn.f = e->u.map_page.gfn;
    op->u.map.nr = nr;
    return rc == 0 && di->strict && (e->flags & PVI_XEN_BUS_RESERVED) != 0 ? -PVI_XEN_EINVAL : rc;
}

static int decode_unmap(const struct bus_dialect *di, const struct pvi_xen_bus_op *e, struct pvi_op *op)
{
    uint64_t nr;
    int rc = decode_order(di, e, e->u.unmap_page.bfn, &nr);

    op->code = PVI_OP_BUS_UNMAP;
    op->u.unmap.dfn.f = e->u.unmap_page.bfn;
    op->u.unmap.nr = nr;
    return rc == 0 && di->strict && (e->flags & (PVI_XEN_BUS_RESERVED | 7u)) != 0 ? -PVI_XEN_EINVAL : rc;
}

static int decode_foreign(const struct bus_dialect *di, const struct pvi_xen_bus_op *e, struct pvi_op *op)
{
    bool map = e->subop_id == PVI_XEN_BUS_MAP_FOREIGN_PAGE;

    op->code = map ? PVI_OP_FOREIGN_MAP : PVI_OP_FOREIGN_LOOKUP;
    op->flags = map ? e->flags & (PVI_RW | PVI_FOREIGN_SWAP) : di->offset ? PVI_FOREIGN_OFFSET : 0;
    op->u.foreign.dfn.f = e->u.foreign_page.bfn;
    op->u.foreign.gfn.f = e->u.foreign_page.gfn;
    op->u.foreign.domid = e->u.foreign_page.domid;
    op->u.foreign.ioserver = di->offset ? PVI_IOSERVER_NONE : e->u.foreign_page.ioserver;
    if (map && e->flags >> PVI_XEN_BUS_ORDER_SHIFT != 0) {
        return -PVI_XEN_ENOSPC; /* such mappings are single frames */
    }
    if (map && (e->flags & PVI_XEN_BUS_RESERVED) != 0) {
        return -PVI_XEN_EINVAL; /* "Reserved flag bits should be 0" */
    }
    return !di->offset && op->u.foreign.ioserver == PVI_IOSERVER_NONE ? -PVI_XEN_ENODEV : 0;
}

static void decode_unmap_foreign(const struct bus_dialect *di, const struct pvi_xen_bus_op *e, struct pvi_op *op)
{
    op->code = PVI_OP_FOREIGN_UNMAP;
    op->u.foreign.dfn.f = e->u.unmap_foreign_page.bfn;
    op->u.foreign.ioserver = di->offset ? PVI_IOSERVER_NONE : e->u.unmap_foreign_page.ioserver;
}

/* Element to operation; what is answered without one leaves a NOOP, and the status in the element. */
static void decode(struct pvi_domain *d, const struct bus_dialect *di, struct pvi_xen_bus_op *e, struct pvi_op *op)
{
    int rc = 0;

    memset(op, 0, sizeof(*op));
    op->domid = PVI_DOMID_SELF;
    if (di->offset && e->flags >> PVI_XEN_BUS_ORDER_SHIFT != 0) {
        rc = -PVI_XEN_ENOSPC; /* looked at first, whatever the sub-operation */
    } else if (e->subop_id > 7 || (di->subops >> e->subop_id & 1) == 0) {
        rc = -PVI_XEN_ENODEV;
    } else if (e->subop_id == PVI_XEN_BUS_QUERY_CAPS) {
        decode_caps(d, di, e);
    } else if (e->subop_id == PVI_XEN_BUS_MAP_PAGE) {
        rc = decode_map(di, e, op);
    } else if (e->subop_id == PVI_XEN_BUS_UNMAP_PAGE) {
        rc = decode_unmap(di, e, op);
    } else if (e->subop_id == PVI_XEN_BUS_UNMAP_FOREIGN_PAGE) {
        decode_unmap_foreign(di, e, op);
    } else {
        rc = decode_foreign(di, e, op);
    }
    e->status = rc;
    op->code = rc == 0 ? op->code : PVI_OP_NOOP;
}

/* The hidden context, if the operation needs it. What making it answers, other than to come back, is the element's status. */
static int prepare(struct pvi_domain *d, struct pvi_xen_bus_op *e, struct pvi_op *op, struct pvi_gather *g)
{
    int rc = op->code != PVI_OP_NOOP ? pvi_bus_prepare(d, op->code, g) : 0;

    if (rc != 0 && rc != -PVI_EPREEMPTED) {
        e->status = -PVI_XEN_EIO; /* whatever a device's move, or a shortage, is called */
        op->code = PVI_OP_NOOP;
        rc = 0;
    }
    return rc;
}

/* The answer, once the flush is over. */
static void encode(const struct bus_dialect *di, const struct pvi_op *op, struct pvi_xen_bus_op *e)
{
    if (op->code == PVI_OP_NOOP) {
        return;
    }
    e->status = status_of(di, e->subop_id, op->status);
    if (op->status != 0) {
        return;
    }
    if (op->code == PVI_OP_FOREIGN_MAP || op->code == PVI_OP_FOREIGN_LOOKUP) {
        e->u.foreign_page.bfn = op->u.foreign.dfn.f;
    }
    if (op->code == PVI_OP_FOREIGN_LOOKUP && !di->offset) {
        e->flags = (uint16_t)(op->flags | PVI_XEN_BUS_MAX_ORDER << PVI_XEN_BUS_ORDER_SHIFT);
    }
    if (op->code == PVI_OP_FOREIGN_UNMAP && !di->offset) {
        e->flags = 0; /* order 0 was unmapped */
    }
}

/* --- the array -------------------------------------------------------------------------------------- */

/* An element is not left in the middle: what an order makes of it is one slice. EPREEMPTED: it has not begun. */
static int run_one(struct pvi_abi_call *call, struct pvi_op *op)
{
    int rc;

    do {
        rc = pvi_batch_step(call->caller, &call->batch);
    } while (rc == -PVI_EPREEMPTED && op->done != 0);
    return rc;
}

/* Runs up to a flush's worth of elements. *done have run, and say so. */
static int run_slice(struct pvi_abi_call *call, const struct bus_dialect *di, uint64_t arg, uint32_t nr, uint32_t *done)
{
    struct pvi_domain *d = call->caller;
    size_t size = call->compat ? PVI_XEN_BUS_SIZE_COMPAT : PVI_XEN_BUS_SIZE;
    struct pvi_batch *b = &call->batch;
    uint32_t i;
    int rc, fault = 0;

    b->ops = call->op;
    b->nr = nr;
    b->flags = 0;
    b->next = 0;
    b->failed = false;
    rc = pvi_batch_begin(d, b);
    for (*done = 0; rc == 0 && *done < nr; *done += rc == 0) {
        if (*done != 0 && pvi_host_preempt(d->host)) {
            rc = -PVI_EPREEMPTED;
            break;
        }
        memset(element(call, *done), 0, PVI_XEN_BUS_SIZE);
        rc = pvi_host_copy_in(d->host, d->cfg.hdom, element(call, *done), arg + *done * size, size);
        if (rc == 0) {
            decode(d, di, element(call, *done), &call->op[*done]);
            rc = prepare(d, element(call, *done), &call->op[*done], &b->gather);
            rc = rc == 0 ? run_one(call, &call->op[*done]) : rc;
        }
    }
    pvi_batch_end(b);
    for (i = 0; i < *done && fault == 0; i++) {
        encode(di, &call->op[i], element(call, i));
        fault = pvi_host_copy_out(d->host, d->cfg.hdom, arg + i * size, element(call, i), size);
    }
    return fault != 0 ? fault : rc;
}

int pvi_xen_bus_call(struct pvi_abi_call *call, enum pvi_xen_bus_dialect dialect, uint64_t *arg, uint32_t *count)
{
    const struct bus_dialect *di = &dialects[dialect];
    uint64_t size = call->compat ? PVI_XEN_BUS_SIZE_COMPAT : PVI_XEN_BUS_SIZE;
    uint32_t done;
    int rc = 0;

    if (!call->caller->cfg.revmap) {
        return -PVI_XEN_ENOSYS;
    }
    if (*count > INT32_MAX) {
        return -PVI_XEN_EINVAL;
    }
    while (rc == 0 && *count != 0) {
        rc = run_slice(call, di, *arg, *count < PVI_ABI_OPS ? *count : PVI_ABI_OPS, &done);
        *arg += done * size;
        *count -= done;
        if (rc == 0 && *count != 0 && pvi_host_preempt(call->caller->host)) {
            rc = -PVI_EPREEMPTED;
        }
    }
    return rc == 0 ? 0 : rc == -PVI_EPREEMPTED ? -PVI_XEN_ERESTART : -PVI_XEN_EFAULT;
}
