/* SPDX-License-Identifier: MIT */
/*
 * A guest for decoders of hypercalls: a machine without hardware, a domain, its memory, and a flat model of each context that is told only
 * what the calls report. Whatever they report must have been possible, and the tables must say exactly the same.
 */
#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H

#include "input.h"
#include <pviommu/abi/guest.h>
#include <pviommu_posix.h>

#define FUZZ_CONTEXTS 3u
#define FUZZ_MEM 0x10000ull /* where the guest's memory lies, as it names it */
#define FUZZ_MEM_SIZE 128u

struct flat;

struct fuzz_guest {
    struct fuzz_input in;
    struct pvi_host *host;
    struct pvi_hdom *owner;
    struct pvi_domain dom;
    struct pvi_device dev[2];
    struct pvi_abi_call call;
    struct flat *model[FUZZ_CONTEXTS + 1]; /* NULL: no such context */
    uint32_t preempt;
    bool nested[FUZZ_CONTEXTS + 1]; /* translates through the guest's own tables: nothing can be mapped there */
    bool inited;
    unsigned char mem[FUZZ_MEM_SIZE];
};

enum fuzz_what { FUZZ_OTHER, FUZZ_INIT, FUZZ_ALLOC, FUZZ_FREE, FUZZ_MAP, FUZZ_UNMAP, FUZZ_LOOKUP };

/* A call as it was made, read from the guest's bytes by the target, and what came back. */
struct fuzz_call {
    enum fuzz_what what;
    uint16_t ctx;
    bool identity, nested; /* ALLOC */
    unsigned prot; /* MAP */
    uint64_t dfn, gfn, nr, frames; /* nr pages of so many frames */
    int rc;
    uint64_t done; /* pages */
    uint16_t made; /* ALLOC: the number */
    uint64_t found; /* LOOKUP: the guest frame */
};

/* Begins with 4 bytes of configuration. init: by the host. */
void fuzz_guest_start(struct fuzz_guest *g, const uint8_t *data, size_t size, bool init);
void fuzz_guest_end(struct fuzz_guest *g);
/* Aborts when that cannot have been. */
void fuzz_guest_judge(struct fuzz_guest *g, const struct fuzz_call *c);
void fuzz_guest_tables(struct fuzz_guest *g);

/* Values that mean something, with an escape to raw ones. */
uint64_t fuzz_dfn(struct fuzz_guest *g);
uint64_t fuzz_gfn(struct fuzz_guest *g);
uint32_t fuzz_count(struct fuzz_guest *g);

#endif
