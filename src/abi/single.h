/* SPDX-License-Identifier: MIT */
/* What decoders of one operation a call have in common. */
#ifndef PVIOMMU_ABI_SINGLE_H
#define PVIOMMU_ABI_SINGLE_H

#include <pviommu/abi/guest.h>

/* Each sub-operation has a frame of its own: in one of all together every call would carry the largest. */
#define ABI_NOINLINE __attribute__((__noinline__))

/* A new operation, in the call's own room. */
struct pvi_op *pvi_abi_op(struct pvi_abi_call *call, unsigned code, uint16_t domid, uint16_t ctx);
/* Runs it to its end or to the next preemption; flushed either way. An enum pvi_err, negated. */
int pvi_abi_run(struct pvi_abi_call *call, struct pvi_op *op);
/* What hypercall 43, in both of its forms, answers for an error on a range. */
int pvi_xen43_range_error(int err);

#endif
