/* SPDX-License-Identifier: MIT */
/* The hidden context as the files of src/core use it. */
#ifndef PVIOMMU_CORE_BUS_H
#define PVIOMMU_CORE_BUS_H

#include "core.h"
#include "revmap.h"

/* bus.c */
static inline bool pvi_bus_is_ready(struct pvi_domain *d)
{
    return pvi_env_read32(&d->bus_state) == PVI_BUS_READY;
}
/* bus_range.c: leaves of the hidden context, each looked at and changed under one lock */

/* What a removal may take. */
struct pvi_bus_cut {
    uint64_t first, last; /* bytes, whole pages of the table */
    unsigned owes;        /* bit n: leaves that owe n */
    const pvi_pa *pa;     /* NULL, or the one frame that they must lead to */
    bool holes;           /* step over what is not mapped */
    uint8_t prot;         /* out: rights of the last leaf */
};
/* ENOENT: a hole, or another frame; EPERM: a leaf that owes otherwise; nothing has changed unless another CPU did so meanwhile. */
int pvi_bus_cut(struct pvi_context *ctx, struct pvi_bus_cut *c, struct pvi_gather *g);
/* Maps one page: t->dfn to t->pa as t->prot and t->owe say; the reference is the leaf's on success, else the caller's. As pvi_context_map_slice(). */
int pvi_bus_leaf(struct pvi_context *ctx, const struct pvi_rev_tuple *t, struct pvi_gather *g);
/* The leaf at dfn, if it leads to foreign frame pa, leads to the domain's scratch frame from now on. ENOENT: it does not. */
int pvi_bus_swap(struct pvi_bus *bus, pvi_dfn dfn, pvi_pa pa, struct pvi_gather *g);


/* bus_copy.c: the default context's content, pinned anew, from ctx->progress on; LIVE at its end. Resumable. */
int pvi_bus_copy(struct pvi_domain *d, struct pvi_gather *g);

/* bus_own.c, foreign.c: the operations, checked by pvi_bus_op(), the context being ready */
int pvi_bus_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_bus_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_foreign_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_foreign_lookup(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_foreign_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);

/* foreign.c: an entry has been taken out; with the last of its io-servers the mapping goes, to the scratch frame or not. 0 or EHW. */
int pvi_foreign_drop(const struct pvi_rev_tuple *t, struct pvi_gather *g);

#endif
