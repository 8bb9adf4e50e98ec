/* SPDX-License-Identifier: MIT */
/*
 * A guest that makes hypercalls with number 43: its structures are bytes at offsets written here as numbers, once for 64-bit and once
 * for 32-bit guests, filled with garbage wherever no field lies. What each call did is judged by the fixture's oracle, as the operation that it
 * stands for.
 */
#ifndef XEN43_RIG_H
#define XEN43_RIG_H

#include <pviommu/abi/guest.h>

#include "fixture.h"

#define X43_BASE 0x7000ull /* the guest's memory, as it names it */
#define X43_AT 64u         /* structures lie here in it */
#define X43_REMOTE_AT 256u /* that of remote_cmd here */
#define X43_MEM 512u
#define X43_GARBAGE 0xa5u

enum x43_error {
    X43_EPERM = -1,
    X43_ENOENT = -2,
    X43_ESRCH = -3,
    X43_EIO = -5,
    X43_E2BIG = -7,
    X43_ENOMEM = -12,
    X43_EACCES = -13,
    X43_EFAULT = -14,
    X43_EBUSY = -16,
    X43_ENODEV = -19,
    X43_EINVAL = -22,
    X43_ENOSPC = -28,
    X43_ERANGE = -34,
    X43_ERESTART = -85,
    X43_EOPNOTSUPP = -95,
    X43_EADDRINUSE = -98,
    X43_EADDRNOTAVAIL = -99
};

enum x43_field {
    CAP_MAX_IOVA, CAP_FLAGS, CAP_PGSIZES, CAP_MAX_PASID, CAP_MAX_CTX, CAP_PAD,
    INIT_CONTEXTS, INIT_ORDER,
    ALLOC_CTX, ALLOC_FLAGS,
    FREE_CTX, FREE_FLAGS,
    RE_CTX, RE_SEG, RE_BUS, RE_DEVFN, RE_PASID,
    MAP_CTX, MAP_GFN, MAP_DFN, MAP_FLAGS, MAP_PGSIZE, MAP_NR, MAP_MAPPED,
    UN_CTX, UN_DFN, UN_PGSIZE, UN_NR, UN_UNMAPPED,
    REM_DOMID, REM_SUBOP, REM_ARG,
    FL_CTX, FL_DFN, FL_PGSIZE, FL_NR,
    LK_CTX, LK_RESERVED, LK_PROT, LK_DFN, LK_GFN,
    X43_FIELDS
};

struct x43 {
    struct fx *f;
    struct pvi_abi_call call;
    bool compat;         /* a 32-bit guest */
    bool remote;         /* its calls go through remote_cmd, */
    uint16_t domid;      /* for this domain */
    uint32_t word;
    unsigned preempted;  /* how often the last call was continued */
    unsigned tolerate;   /* ORC_TOLERATE_* */
    bool fast;           /* tables are not looked at after each call */
    uint32_t before;     /* what mapped and unmapped hold when the call is made */
    uint64_t counted;    /* pages that the last map or unmap counted */
    bool loose;          /* the test changes the memory meanwhile: what is beside the structure is not looked at */
    unsigned char *mem;  /* X43_MEM bytes, own unless the test says otherwise, */
    uint64_t base;       /* as the guest names them */
    unsigned char own[X43_MEM];
};

/* The machine, and a guest whose memory is x->mem. */
void x43_up(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat);
/* The guest alone, on a machine that is there. */
void x43_attach(struct x43 *x, struct fx *f, bool compat);
/* x43_up() without init, then an init by hypercall. */
void x43_ready(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat);

/* The structure's length of a sub-operation in x's layout. */
unsigned x43_size(const struct x43 *x, unsigned subop);
/* Garbage everywhere, zero in the fields of that sub-operation. */
void x43_begin(struct x43 *x, unsigned subop);
void x43_put(struct x43 *x, enum x43_field field, uint64_t value);
uint64_t x43_get(const struct x43 *x, enum x43_field field);
/* Is everything zero in the structure that is no field's? */
bool x43_padding_zero(const struct x43 *x, unsigned subop);
/* One entry: what a hypercall instruction or a continuation is. Nothing may be pending behind it, or written beside the structure. */
int x43_enter(struct x43 *x, unsigned subop);
/* The call to its end. */
int x43_call(struct x43 *x, uint32_t word);

/* Calls that the oracle judges; tables, counts and devices are checked behind each (but with `fast`). */
int x43_init(struct x43 *x, uint32_t contexts, uint32_t order);
int x43_alloc(struct x43 *x, uint32_t flags, unsigned *ctx);
int x43_free(struct x43 *x, unsigned ctx, uint32_t flags);
int x43_reattach(struct x43 *x, unsigned ctx, uint32_t sbdf);
int x43_map(struct x43 *x, unsigned ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t pgsize);
int x43_unmap(struct x43 *x, unsigned ctx, uint64_t dfn, uint32_t nr, uint32_t pgsize);
int x43_flush(struct x43 *x, unsigned ctx, uint64_t dfn, uint32_t nr, uint32_t pgsize);
int x43_lookup(struct x43 *x, unsigned ctx, uint64_t dfn);
/* What the last map or unmap, made by hand, did, given what it was asked for. */
void x43_judge_range(struct x43 *x, unsigned code, unsigned ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags,
                     uint64_t frames, int rc, uint64_t done);
/* A context with device dev in it. */
unsigned x43_context(struct x43 *x, unsigned dev);
void x43_check(struct x43 *x);

/* Each kind of unit, 64-bit and 32-bit. */
void x43_each(void (*fn)(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat));

#define CHECK_RC(got, want) CHECK_EQ((uint64_t)(int64_t)(got), (uint64_t)(int64_t)(want))

#endif
