/* SPDX-License-Identifier: MIT */
/* Hypercall 43: what works on ranges of a context, map, unmap, flush and lookup. */
#include "xen43.h"

/* Leaves that are looked at, at most to the end of a page, before pages larger than a frame are unmapped in one piece. */
#define UNMAP_LOOKS 512u

/*
 * Is there such a context, and can all of a range be mapped in it as far as its address tells? Asked by an unmap that stands behind its
 * own end: there nothing is changed.
 */
static int range_judge(struct xen43_call *c, uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op *op = xen43_op(c, PVI_OP_UNMAP, ctx);
    int rc;

    op->u.unmap.dfn.f = dfn;
    op->u.unmap.nr = nr;
    op->done = nr;
    rc = xen43_run(c, op);
    return rc == -PVI_EINVAL ? 0 : rc;
}

int pvi_xen43_context_judge(struct xen43_call *c, uint16_t ctx)
{
    int rc = range_judge(c, ctx, 0, 1);

    return rc == -PVI_EALIGN || rc == -PVI_ERESERVED ? 0 : rc;
}

/* Frames of a page that the caller named, if it can be named; 0: no. */
static uint64_t page_frames(struct xen43_call *c, uint32_t pgsize)
{
    struct pvi_domain *d = c->abi->caller;
    uint32_t flags;
    uint64_t sizes = c->domid == PVI_DOMID_SELF ? d->table.page_sizes : pvi_xen43_caps(c, &flags);

    return (pgsize & (pgsize - 1)) == 0 && (pgsize & xen43_page_mask(sizes)) != 0 ? pgsize >> PVI_PAGE_LG2 : 0;
}

/* Front ends ask for coherency whether or not there is a capability for it: it is what mappings have. */
static int map_flags(uint32_t flags)
{
    const uint32_t known = PVI_XEN43_MAP_READABLE | PVI_XEN43_MAP_WRITEABLE | PVI_XEN43_MAP_CACHE | PVI_XEN43_MAP_NO_FLUSH;

    return (flags & ~known) != 0 || (flags & (PVI_XEN43_MAP_READABLE | PVI_XEN43_MAP_WRITEABLE)) == 0 ? -PVI_XEN_EINVAL : 0;
}

/* Takes away what a page that failed half way has already got: leaves of this call, so nothing needs to be split. */
static void unmap_rest(struct xen43_call *c, uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op *op = xen43_op(c, PVI_OP_UNMAP, ctx);

    op->u.unmap.dfn.f = dfn;
    op->u.unmap.nr = nr;
    while (xen43_run(c, op) == -PVI_EPREEMPTED) { /* less than one page */
    }
}

int pvi_xen43_map(struct xen43_call *c)
{
    struct pvi_xen43_map_pages *m = (void *)c->abi->wire.bytes;
    uint64_t frames = page_frames(c, m->pgsize), done;
    struct pvi_op *op;
    int rc = map_flags(m->map_flags);

    memset(m->pad, 0, sizeof(m->pad));
    if (rc == 0 && (frames == 0 || ((m->dfn | m->gfn) & (frames - 1)) != 0)) {
        rc = -PVI_XEN_EINVAL;
    }
    if (rc != 0 || m->nr_pages == 0) {
        return pvi_xen43_answer(c, rc != 0 ? rc : pvi_xen43_range_error(pvi_xen43_context_judge(c, m->ctx_no)));
    }
    op = xen43_op(c, PVI_OP_MAP, m->ctx_no);
    op->flags = (m->map_flags & PVI_XEN43_MAP_READABLE) != 0 ? PVI_MAP_READ : 0;
    op->flags |= (m->map_flags & PVI_XEN43_MAP_WRITEABLE) != 0 ? PVI_MAP_WRITE : 0;
    op->flags |= (m->map_flags & PVI_XEN43_MAP_NO_FLUSH) != 0 ? PVI_MAP_NO_FLUSH : 0;
    op->u.map.dfn.f = m->dfn;
    op->u.map.gfn.f = m->gfn;
    op->u.map.nr = m->nr_pages * frames;
    do {
        rc = xen43_run(c, op);
    } while (rc == -PVI_EPREEMPTED && (op->done & (frames - 1)) != 0);
    done = op->done & ~(frames - 1);
    if (op->done != done) {
        unmap_rest(c, m->ctx_no, m->dfn + done, op->done - done);
    }
    m->mapped += (uint32_t)(done / frames);
    if (rc == -PVI_EPREEMPTED) {
        m->gfn += done;
        m->dfn += done;
        m->nr_pages -= (uint32_t)(done / frames);
    }
    return pvi_xen43_answer(c, pvi_xen43_range_error(rc));
}

/* How many of nr pages, from the first on, are mapped whole, as far as was looked; *why: what is wrong with the next. */
static uint32_t mapped_pages(struct xen43_call *c, uint16_t ctx, uint64_t dfn, uint64_t frames, uint32_t nr, int *why)
{
    uint64_t at = dfn, end = dfn + nr * frames;
    unsigned looks = 0;

    *why = 0;
    while (at < end && (looks++ < UNMAP_LOOKS || (at & (frames - 1)) != 0)) {
        struct pvi_op *op = xen43_op(c, PVI_OP_LOOKUP, ctx);

        op->u.lookup.dfn.f = at;
        *why = xen43_run(c, op);
        if (*why != 0 && *why != -PVI_ENOFRAME) {
            break; /* ENOFRAME: mapped, though the host no longer knows what */
        }
        at = (at | (((uint64_t)1 << (op->u.lookup.lg2 - PVI_PAGE_LG2)) - 1)) + 1;
    }
    return at >= end ? nr : (uint32_t)((at - dfn) / frames);
}

/* Unmaps whole pages; *done of them, exact whatever comes back. */
static int unmap_some(struct xen43_call *c, const struct pvi_xen43_unmap_pages *m, uint64_t frames, uint32_t *done)
{
    uint32_t nr = m->nr_pages;
    struct pvi_op *op;
    int rc, why = 0;

    if (frames > 1) {
        rc = range_judge(c, m->ctx_no, m->dfn, nr * frames);
        nr = rc == 0 ? mapped_pages(c, m->ctx_no, m->dfn, frames, nr, &why) : 0;
        if (nr == 0) {
            return rc != 0 ? rc : why;
        }
    }
    op = xen43_op(c, PVI_OP_UNMAP, m->ctx_no);
    op->u.unmap.dfn.f = m->dfn;
    op->u.unmap.nr = nr * frames;
    do {
        rc = xen43_run(c, op);
    } while (rc == -PVI_EPREEMPTED && (op->done & (frames - 1)) != 0);
    *done = (uint32_t)(op->done / frames);
    return rc == 0 && nr < m->nr_pages ? -PVI_EPREEMPTED : rc;
}

int pvi_xen43_unmap(struct xen43_call *c)
{
    struct pvi_xen43_unmap_pages *m = (void *)c->abi->wire.bytes;
    uint64_t frames = page_frames(c, m->pgsize);
    uint32_t done = 0;
    int rc;

    memset(m->pad, 0, sizeof(m->pad));
    m->pad1 = 0;
    if (frames == 0 || (m->dfn & (frames - 1)) != 0) {
        return pvi_xen43_answer(c, -PVI_XEN_EINVAL);
    }
    if (m->nr_pages == 0) {
        return pvi_xen43_answer(c, pvi_xen43_range_error(pvi_xen43_context_judge(c, m->ctx_no)));
    }
    rc = unmap_some(c, m, frames, &done);
    m->unmapped += done;
    if (rc == -PVI_EPREEMPTED) {
        m->dfn += done * frames;
        m->nr_pages -= done;
    }
    return pvi_xen43_answer(c, pvi_xen43_range_error(rc));
}

int pvi_xen43_flush(struct xen43_call *c)
{
    const struct pvi_xen43_flush_pages *in = (void *)c->abi->wire.bytes;
    uint64_t frames = page_frames(c, in->pgsize);
    struct pvi_op *op;

    if (frames == 0 || (in->dfn & (frames - 1)) != 0) {
        return -PVI_XEN_EINVAL;
    }
    if (in->nr_pages == 0) {
        return pvi_xen43_range_error(pvi_xen43_context_judge(c, in->ctx_no));
    }
    op = xen43_op(c, PVI_OP_FLUSH, in->ctx_no);
    op->u.unmap.dfn.f = in->dfn;
    op->u.unmap.nr = in->nr_pages * frames;
    return pvi_xen43_range_error(xen43_run(c, op));
}

int pvi_xen43_lookup(struct xen43_call *c)
{
    struct pvi_xen43_lookup_page *io = (void *)c->abi->wire.bytes;
    struct pvi_op *op = xen43_op(c, PVI_OP_LOOKUP, io->ctx_no);
    int rc;

    if (io->reserved != 0) {
        return -PVI_XEN_EINVAL;
    }
    op->u.lookup.dfn.f = io->dfn;
    rc = xen43_run(c, op);
    if (rc != 0) {
        return pvi_xen43_range_error(rc);
    }
    io->gfn = op->u.lookup.gfn.f;
    io->prot = (op->u.lookup.prot & PVI_READ) != 0 ? PVI_XEN43_MAP_READABLE : 0u;
    io->prot |= (op->u.lookup.prot & PVI_WRITE) != 0 ? PVI_XEN43_MAP_WRITEABLE : 0u;
    return pvi_xen43_answer(c, 0);
}
