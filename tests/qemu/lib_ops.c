/* SPDX-License-Identifier: MIT */
/* Guest batches: operations made, run to their end, and the devices' places kept. */
#include <string.h>

#include "lib_fixture.h"

#define RESUME_MAX 100000u

struct pvi_op lib_op(unsigned code, unsigned ctx, unsigned flags)
{
    struct pvi_op op;

    memset(&op, 0, sizeof(op));
    op.code = (uint16_t)code;
    op.domid = PVI_DOMID_SELF;
    op.ctx = (uint16_t)ctx;
    op.flags = flags;
    return op;
}

struct pvi_op lib_op_map(unsigned ctx, uint64_t iova, uint64_t gfn, uint64_t nr, unsigned prot)
{
    struct pvi_op op = lib_op(PVI_OP_MAP, ctx, prot);

    op.u.map.dfn.f = iova / LIB_PAGE;
    op.u.map.gfn.f = gfn;
    op.u.map.nr = nr;
    return op;
}

struct pvi_op lib_op_unmap(unsigned ctx, uint64_t iova, uint64_t nr)
{
    struct pvi_op op = lib_op(PVI_OP_UNMAP, ctx, 0);

    op.u.unmap.dfn.f = iova / LIB_PAGE;
    op.u.unmap.nr = nr;
    return op;
}

struct pvi_op lib_op_lookup(unsigned ctx, uint64_t iova)
{
    struct pvi_op op = lib_op(PVI_OP_LOOKUP, ctx, 0);

    op.u.lookup.dfn.f = iova / LIB_PAGE;
    return op;
}

struct pvi_op lib_op_reattach(unsigned ctx, const struct lib_dev *dev)
{
    struct pvi_op op = lib_op(PVI_OP_REATTACH_DEVICE, ctx, 0);

    op.u.reattach.sbdf = dev->dev.sbdf;
    return op;
}

void lib_submit(struct lib *l, struct pvi_op *ops, unsigned nr)
{
    static struct pvi_batch batch;
    unsigned turns = 0;
    int rc;

    memset(&batch, 0, sizeof(batch));
    batch.ops = ops;
    batch.nr = nr;
    for (;;) {
        rc = pvi_submit(&l->dom, &batch);
        pvi_posix_checkpoint(l->host);
        if (rc != -PVI_EPREEMPTED)
            break;
        l->resumed++;
        if (++turns == RESUME_MAX)
            qt_fatal(l->qt, "a batch of %u operations does not end", nr);
    }
    lib_check_status(l, rc, 0, "pvi_submit");
}

int lib_map(struct lib *l, unsigned ctx, uint64_t iova, uint64_t gfn, uint64_t nr, unsigned prot)
{
    struct pvi_op op = lib_op_map(ctx, iova, gfn, nr, prot);

    lib_submit(l, &op, 1);
    return op.status;
}

int lib_unmap(struct lib *l, unsigned ctx, uint64_t iova, uint64_t nr)
{
    struct pvi_op op = lib_op_unmap(ctx, iova, nr);

    lib_submit(l, &op, 1);
    return op.status;
}

int lib_free(struct lib *l, unsigned ctx, unsigned flags)
{
    struct pvi_op op = lib_op(PVI_OP_FREE_CONTEXT, ctx, flags);
    unsigned i;

    lib_submit(l, &op, 1);
    for (i = 0; op.status == 0 && i < l->nr_devs; i++) {
        if (l->dev[i].ctx == ctx)
            lib_moved(l, &l->dev[i], 0);
    }
    return op.status;
}

int lib_reattach(struct lib *l, unsigned ctx, struct lib_dev *dev)
{
    struct pvi_op op = lib_op_reattach(ctx, dev);

    lib_submit(l, &op, 1);
    if (op.status == 0)
        lib_moved(l, dev, ctx);
    return op.status;
}

unsigned lib_context(struct lib *l)
{
    struct pvi_op op = lib_op(PVI_OP_ALLOC_CONTEXT, 0, 0);
    struct pvi_op ops[8];
    unsigned nr, i;

    lib_submit(l, &op, 1);
    if (!lib_check_status(l, op.status, 0, "alloc"))
        return 0;
    l->identity[op.ctx] = false;
    nr = lib_own_ops(l, op.ctx, ops);
    lib_submit(l, ops, nr);
    for (i = 0; i < nr; i++)
        lib_check_status(l, ops[i].status, 0, "map of the fixture's page");
    return op.ctx;
}
