/* SPDX-License-Identifier: MIT */
/* The benchmark's host: what a hypervisor supplies, done the shortest way. See host.c. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <pviommu/domain.h>

/** What the host has seen. */
struct host_seen {
    uint64_t frames_put; /**< frames released */
    uint64_t invalidations, waits;
    uint64_t longest; /**< clock ticks between two checkpoints, at most */
    uint64_t checkpoint; /**< the last one */
};

struct pvi_host {
    struct pvi_env_arena arena; /* first: the env header casts */
    struct host_seen seen;
    uint32_t *refs;     /**< references of each frame of the guest; NULL: not counted */
    uint64_t first_pa;  /**< of the guest's memory */
    uint64_t nr_frames;
    uint64_t referenced; /**< sum of refs */
    bool timed;         /**< seen.longest is kept */
    struct pvi_domain *domain;
};

/** Makes a host over the arena; frames of guests are counted when nr_frames is not 0. */
void host_init(struct pvi_host *h, uint64_t first_pa, uint64_t nr_frames);
void host_fini(struct pvi_host *h);

#endif
