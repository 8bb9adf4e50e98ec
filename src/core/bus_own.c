/* SPDX-License-Identifier: MIT */
/* Operations of the interface of 2015 on a domain's own frames: whole or not at all, in the hidden context. */
#include "bus.h"

/* Leaves that a guest's own unmap may take away. */
#define BUS_OWN (1u << PVI_OWE_NONE | 1u << PVI_OWE_REF | 1u << PVI_OWE_WRITABLE | 1u << PVI_OWE_MMIO)

static int bus_unmap(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, bool holes, struct pvi_gather *g)
{
    struct pvi_bus_cut c;

    memset(&c, 0, sizeof(c));
    c.first = dfn.f << PVI_PAGE_LG2;
    c.last = ((dfn.f + nr - 1) << PVI_PAGE_LG2) | PVI_PAGE_MASK;
    c.owes = BUS_OWN;
    c.holes = holes;
    return pvi_bus_cut(ctx, &c, g);
}

static int map_pieces(struct pvi_context *ctx, struct pvi_op *op, struct pvi_gather *g)
{
    int rc = 0;

    while (rc == 0 && op->done < op->u.map.nr) {
        rc = pvi_context_map_next(ctx, op, op->u.map.nr - op->done, ctx->pt.page_mask, op->flags, g);
        if (rc == 0 && op->done < op->u.map.nr) {
            rc = pvi_checkpoint(g);
        }
    }
    return rc;
}

int pvi_bus_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    struct pvi_context *ctx;
    int rc;

    if ((op->flags & ~(PVI_RW | PVI_MAP_NO_REF)) != 0 || (op->flags & PVI_RW) == 0) {
        return -PVI_EFLAGS;
    }
    ctx = &d->bus->ctx;
    rc = pvi_range_check(ctx, op->u.map.dfn, op->u.map.nr, &op->fault);
    if (rc == 0 && op->u.map.gfn.f + op->u.map.nr < op->u.map.gfn.f) {
        rc = -PVI_EWRAP;
    }
    if (rc == 0 && op->done >= op->u.map.nr) {
        rc = -PVI_EINVAL;
    }
    rc = rc == 0 ? map_pieces(ctx, op, g) : rc;
    if (rc != 0 && rc != -PVI_EPREEMPTED && op->done != 0) {
        /* Leaves of this operation alone lie there and none is cut, so this needs no page; racing CPUs may have taken some away. */
        (void)bus_unmap(ctx, op->u.map.dfn, op->done, true, g);
        op->done = 0;
    }
    return rc;
}

int pvi_bus_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g)
{
    int rc = op->flags == 0 ? 0 : -PVI_EFLAGS;

    op->done = 0;
    if (rc == 0) {
        rc = pvi_range_check(&d->bus->ctx, op->u.unmap.dfn, op->u.unmap.nr, &op->fault);
    }
    if (rc == 0) {
        rc = bus_unmap(&d->bus->ctx, op->u.unmap.dfn, op->u.unmap.nr, false, g);
        op->done = rc == 0 ? op->u.unmap.nr : 0;
    }
    return rc;
}
