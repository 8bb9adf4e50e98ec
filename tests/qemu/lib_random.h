/* SPDX-License-Identifier: MIT */
/*
 * Random batches against the flat model: each status and each progress as the model says, each
 * table as the independent walker reads it, and DMA of two network devices and two edu to what is
 * mapped, was mapped, and never was.
 */
#ifndef QEMU_LIB_RANDOM_H
#define QEMU_LIB_RANDOM_H

#include "flat.h"
#include "lib_dma.h"

#define LIB_RANDOM_CONTEXTS 4u
#define LIB_GHOSTS          64u
#define LIB_BATCH_MAX       24u

/* A page that was mapped once. */
struct lib_ghost {
    unsigned ctx;
    uint64_t pfn, pa;
};

struct lib_random {
    struct lib *l;
    uint64_t state;
    struct flat *flat[LIB_CONTEXTS + 1]; /* by context; NULL: not live */
    unsigned ctx_of[LIB_DEVS];           /* where the model has the devices */
    struct lib_ghost ghost[LIB_GHOSTS];
    unsigned nr_ghosts;
    uint64_t base[4];      /* where things are mapped */
    uint64_t *gfn_of_page; /* guest frame behind each frame of RAM, 0: none */
    uint64_t ops, batches, probes, faults;
    unsigned landed, refused;
};

uint64_t lib_random_next(struct lib_random *r);
/* 0 .. n - 1 */
uint64_t lib_random_below(struct lib_random *r, uint64_t n);

/* Runs at least nr_ops operations on a fixture with network devices; failures are counted there. */
void lib_random_run(struct lib *l, uint64_t seed, uint64_t nr_ops, struct lib_random *out);

/* DMAs of the device wherever the model expects something (lib_probe.c). */
void lib_probe_nic(struct lib_random *r, struct lib_dev *dev);
void lib_probe_edu(struct lib_random *r, struct lib_dev *dev);

#endif
