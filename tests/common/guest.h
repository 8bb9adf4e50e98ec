/* SPDX-License-Identifier: MIT */
/*
 * The guest of all tests: which frames it has, of which kind, and where they lie. One list serves the userspace host
 * (guest_describe) and the oracles (guest_frame).
 */
#ifndef GUEST_H
#define GUEST_H

#include <pviommu_posix.h>

#define GUEST_ARENA_PA 0x100000000ull /* host-physical memory of the library: 4 GiB up */
#define GUEST_ARENA_SIZE 0x8000000ull

/* First guest frame of each range, and frames in it. */
#define GUEST_LOW 0x0ull /* 1:1, writable type */
#define GUEST_LOW_NR 0x40000ull
#define GUEST_MMIO 0xfe000ull /* 1:1 around the MSI window */
#define GUEST_MMIO_NR 0x2000ull
#define GUEST_PV 0x200000ull /* 8 GiB, naturally aligned in both spaces */
#define GUEST_PV_NR 0x200000ull
#define GUEST_HVM 0x400000ull /* host-physical address one page off: no large leaf ever fits */
#define GUEST_HVM_NR 0x40000ull
#define GUEST_RO 0x500000ull /* read only */
#define GUEST_RO_NR 0x1000ull
#define GUEST_KEPT 0x510000ull /* owes nothing */
#define GUEST_KEPT_NR 0x80000ull
#define GUEST_SCATTER 0x5a0000ull /* no two neighbours are neighbours in host-physical memory */
#define GUEST_SCATTER_NR 0x400ull
#define GUEST_TABLES 0x5b0000ull /* lies in the arena, before the library's pages: what the guest writes there can be read */
#define GUEST_TABLES_NR 0x40ull
#define GUEST_NONE 0x600000ull /* nothing from here on */

struct guest_frame {
    uint64_t pa;
    uint8_t prot;       /* rights that may be asked for */
    uint8_t owe_r;      /* what a mapping without write owes: enum pvi_owe */
    uint8_t owe_w;      /* and one with write */
};

/* Gives the ranges to a guest of the userspace host. */
void guest_describe(struct pvi_hdom *d);
/* false: nothing there. */
bool guest_frame(uint64_t gfn, struct guest_frame *f);
/* The guest frame that lies there; false: none. */
bool guest_back(uint64_t pa, uint64_t *gfn);
/* Frames from gfn on, at most nr, that continue each other and are of one kind; 0: nothing there. */
uint64_t guest_run(uint64_t gfn, uint64_t nr, struct guest_frame *f);

#endif
