/* SPDX-License-Identifier: MIT */
/* The native batch from a guest's side: bytes laid out by hand, at offsets, not by the library's types. */
#ifndef NATIVE_RIG_H
#define NATIVE_RIG_H

#include <pviommu/abi/native.h>

#include "fixture.h"

#define NAT_MEM 0x70000ull /* where the guest's memory is; beyond it nothing can be copied */
#define NAT_SIZE 0x60000u
#define NAT_HEAD 0x40u     /* offsets in it */
#define NAT_OPS 0x200u

/* Offsets in the header and in an element. */
enum {
    H_SIZE = 0, H_VERSION = 4, H_OP_SIZE = 8, H_NR = 12, H_FLAGS = 16, H_NEXT = 20, H_OPS = 24, H_BYTES = 32
};
enum {
    E_CODE = 0, E_DOMID = 2, E_CTX = 4, E_RESERVED = 6, E_FLAGS = 8, E_STATUS = 12, E_DONE = 16, E_FAULT = 24, E_ARG = 32, E_BYTES = 80
};
#define E_ARG_AT(n) (E_ARG + 8u * (n))

#define NAT_STOP 1u
#define NAT_ATOMIC 2u
#define NAT_ABORT 4u

struct nat {
    struct fx *f;
    struct pvi_abi_call call;
    unsigned char mem[NAT_SIZE];
    uint32_t op_size, nr;
    unsigned preempted; /* how often the last nat_call() was */
};

#define CHECK_RC(got, want) CHECK_EQ((uint64_t)(int64_t)(got), (uint64_t)(int64_t)(want))

void nat_attach(struct nat *n, struct fx *f);
void nat_put(struct nat *n, unsigned at, unsigned size, uint64_t value);
uint64_t nat_get(const struct nat *n, unsigned at, unsigned size);
/* A header for no element yet; all else is garbage until it is written. */
void nat_begin(struct nat *n, uint32_t flags);
/* One more element; its number. Arguments that are not given are zero. */
unsigned nat_op(struct nat *n, unsigned code, unsigned ctx, uint32_t flags, uint64_t a0, uint64_t a1, uint64_t a2);
unsigned nat_at(const struct nat *n, unsigned i, unsigned field);
void nat_set(struct nat *n, unsigned i, unsigned field, unsigned size, uint64_t value);
uint64_t nat_field(const struct nat *n, unsigned i, unsigned field, unsigned size);
int nat_status(const struct nat *n, unsigned i);
uint64_t nat_arg(const struct nat *n, unsigned i, unsigned arg);
/* One entry into the hypervisor. */
int nat_once(struct nat *n);
/* As a host that makes continuations. */
int nat_call(struct nat *n);
/* A batch of one. */
int nat_one(struct nat *n, unsigned code, unsigned ctx, uint32_t flags, uint64_t a0, uint64_t a1, uint64_t a2);
/* An element as the core's operation, read at its offsets: for the oracle. */
void nat_element(const struct nat *n, unsigned i, struct pvi_op *op);
/* Each element against the fixture's oracle, from what was sent, then all tables. */
void nat_judge(struct nat *n, const struct pvi_op *sent);
/* nat_call() of a batch that is all right, judged. */
void nat_run(struct nat *n);

#endif
