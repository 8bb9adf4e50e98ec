/* SPDX-License-Identifier: MIT */
/* See single.h. */
#include <pviommu/abi/xen_errno.h>

#include "single.h"

struct pvi_op *pvi_abi_op(struct pvi_abi_call *call, unsigned code, uint16_t domid, uint16_t ctx)
{
    struct pvi_op *op = &call->op[0];

    memset(op, 0, sizeof(*op));
    op->code = (uint16_t)code;
    op->domid = domid;
    op->ctx = ctx;
    return op;
}

int pvi_abi_run(struct pvi_abi_call *call, struct pvi_op *op)
{
    struct pvi_batch *b = &call->batch;
    int rc;

    b->ops = op;
    b->nr = 1;
    b->flags = 0;
    b->next = 0;
    b->failed = false;
    rc = pvi_batch_run(call->caller, b);
    return rc == 0 ? op->status : rc;
}

int pvi_xen43_range_error(int err)
{
    switch (err) {
    case -PVI_ENOTINIT: /* as the published code: what nobody has initialised is as if there were no context */
    case -PVI_ENOCTX:
        return -PVI_XEN_EINVAL;
    case -PVI_ERESERVED:
        return -PVI_XEN_EADDRNOTAVAIL;
    case -PVI_EEXIST:
        return -PVI_XEN_EADDRINUSE;
    default:
        return pvi_xen_error(err);
    }
}
