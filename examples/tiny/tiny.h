/* SPDX-License-Identifier: MIT */
/*
 * A little hypervisor, from pviommu/host.h alone (docs/porting.md): what its files know of each other. pviommu_env.h,
 * host.c and unit.c are what a port has to write; hw.c plays the machine, main.c the guests. One CPU: counts are plain.
 */
#ifndef TINY_H
#define TINY_H

#include <pviommu/abi/guest.h>
#include <pviommu/vtd.h>

#define TINY_GUESTS 2u
#define TINY_GUEST_FRAMES 64u
#define TINY_ROM_GFN 0u /* a guest's one frame that it may not write */

/* What the hypervisor keeps of each page of RAM. */
struct tiny_frame {
    struct pvi_page record;  /* the library's, while the page is one of its tables */
    struct pvi_hdom *owner;  /* NULL: the hypervisor */
    uint64_t gfn;            /* of the owner */
    uint32_t refs;           /* 0: free; a guest's own, and one for each mapping that devices have */
};

/* A guest. */
struct pvi_hdom {
    uint16_t domid;
    bool control; /* may act for the others */
    uint64_t p2m[TINY_GUEST_FRAMES]; /* physical address | rights; 0: no frame */
    struct pvi_domain iommu;
    struct pvi_abi_call call; /* the hypercall that its one virtual CPU is in */
};

/* The driver's side of the unit. */
struct tiny_unit {
    struct pvi_unit unit;
    pvi_env_lock lock;
    struct pvi_did_map dids;
    pvi_pa root, queue, status;
    uint32_t tail; /* of the queue, in slots */
    uint32_t seq;  /* of the last wait */
    bool forgetful; /* a seeded bug: no invalidation reaches the unit */
};

struct pvi_host {
    struct tiny_frame *frame; /* by page number */
    uint32_t pages_free;
    struct pvi_system system;
    struct tiny_unit unit;
    struct pvi_hdom *guest[TINY_GUESTS];
    uint32_t questions; /* of the library, whether its time is up */
    uint32_t events;
};

/* host.c */
void tiny_host_init(struct pvi_host *h);
void tiny_guest_add(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid);
/* Takes a frame from a guest; it is free once no device can reach it any more. */
void tiny_guest_lose(struct pvi_host *h, struct pvi_hdom *d, uint64_t gfn);

/* unit.c */
int tiny_unit_on(struct pvi_host *h);
void tiny_unit_off(struct pvi_host *h);

/* hw.c: the machine ---------------------------------------------------------------------------- */

#define HW_PAGES 1024u
#define HW_QUEUE_SLOTS 256u

/* Capability registers: 4096 domain ids, 4 levels, 48 bits, 2 MiB leaves, pages, caching mode; queue, snooped walks. */
#define HW_CAP (4ull | 1ull << 7 | 4ull << 8 | 47ull << 16 | 1ull << 34 | 1ull << 39 | 9ull << 48)
#define HW_ECAP 0x3ull

void hw_unit_on(uint64_t root, uint64_t queue);
void hw_unit_off(void);
/* The register that says how far the queue is filled. The unit gets there by and by. */
void hw_queue_tail(uint32_t slot);
uint32_t hw_queue_head(void);
/* Time passes: the unit executes one descriptor. */
void hw_step(void);
/* A device reads or writes 8 bytes. @return whether it was let; then pa is where it got to. */
bool hw_dma(uint16_t rid, uint64_t iova, bool write, uint64_t *pa);
/* What only a model can be asked: is a page in one of the unit's caches, as frame or as table? */
bool hw_caches(uint64_t pa);

#endif
