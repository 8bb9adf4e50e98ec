/* SPDX-License-Identifier: MIT */
/*
 * A domain with the interface of 2015, two guests whose frames it may map, and its calls: elements are laid out byte by byte,
 * as the published headers have them, and what devices reach is asked of the hardware models.
 */
#ifndef BUS_RIG_H
#define BUS_RIG_H

#include <pviommu/abi/xen_bus.h>
#include <pviommu/bus.h>

#include "fixture.h"

#define BUS_ADDR 0x7f0000001000ull /* of the caller's array */
#define BUS_MAX 2048u              /* elements that it has room for */
#define BUS_GUESTS 2u
#define BUS_GUEST_DOMID 7u         /* and 8 */
#define BUS_NO_DOMID 99u           /* permitted, but there is none */

/* Frames of each guest. */
#define G_HVM 0x1000ull /* read and write */
#define G_HVM_NR 0x4000ull
#define G_PV 0x10000ull /* needs a writable type */
#define G_RO 0x20000ull
#define G_XEN 0x30000ull /* no rights at all: the hypervisor's */
#define G_NONE 0x40000ull
#define G_PA(guest, gfn) (0x2000000000ull + 0x100000000ull * (guest) + ((uint64_t)(gfn) << 12))

struct bus_opt {
    bool no_bus_pages, no_iommu, no_revmap, all_frames, region;
    bool synced; /* the default context follows the host's translation */
    uint32_t pages, entries; /* 0: enough */
};

struct bus_rig {
    struct fx f;
    struct pvi_revmap map;
    struct pvi_hdom *guest[BUS_GUESTS];
    struct pvi_abi_call call;
    struct pvi_bus_work work;
    unsigned char mem[BUS_MAX * 32];
    unsigned nr;       /* elements */
    unsigned restarts; /* of the last call */
    bool shipped;
    bool inside; /* a hook of another call: what that call has gathered is still pending */
};

void bus_up(struct bus_rig *r, const struct fx_cfg *cfg, const struct bus_opt *opt);
void bus_down(struct bus_rig *r);
/* The same after a failure of hardware: pages and frames that were written off stay, nothing else. */
void bus_lost(struct bus_rig *r);
/* Each kind of unit that has a model. */
void bus_each(void (*fn)(struct bus_rig *r, const struct fx_cfg *cfg));

/* Elements, by hand: the fields are at their published offsets whatever the structure says. Each gives its number. */
void bus_begin(struct bus_rig *r);
unsigned bus_raw(struct bus_rig *r, unsigned subop, unsigned flags, uint64_t q8, uint64_t q16, uint64_t q24);
unsigned bus_caps(struct bus_rig *r);
unsigned bus_map(struct bus_rig *r, uint64_t bfn, uint64_t gfn, unsigned flags);
unsigned bus_unmap(struct bus_rig *r, uint64_t bfn, unsigned flags);
unsigned bus_foreign(struct bus_rig *r, uint64_t bfn, uint64_t gfn, unsigned domid, unsigned ioserver, unsigned flags);
unsigned bus_lookup(struct bus_rig *r, uint64_t gfn, unsigned domid, unsigned ioserver);
unsigned bus_unforeign(struct bus_rig *r, uint64_t bfn, unsigned ioserver);
/* The whole array, restarted until it is done. */
int bus_call(struct bus_rig *r);
int32_t bus_status(const struct bus_rig *r, unsigned i);
unsigned bus_flags(const struct bus_rig *r, unsigned i);
uint64_t bus_q8(const struct bus_rig *r, unsigned i);
/* One element alone: its status. */
int32_t bus_do(struct bus_rig *r);
int32_t bus_foreign1(struct bus_rig *r, uint64_t bfn, uint64_t gfn, unsigned domid, unsigned ioserver, unsigned flags);
int32_t bus_lookup1(struct bus_rig *r, uint64_t gfn, unsigned domid, unsigned ioserver, uint64_t *bfn);
int32_t bus_unforeign1(struct bus_rig *r, uint64_t bfn, unsigned ioserver);

/* Where device dev's access to frame bfn lands; false: it faults. */
bool bus_reach(struct bus_rig *r, unsigned dev, uint64_t bfn, bool write, uint64_t *pa);
/* All devices reach pa (UINT64_MAX: fault) with these rights. */
void bus_expect(struct bus_rig *r, uint64_t bfn, uint64_t pa, unsigned prot);
/* Makes the units load everything that they can of bfn. */
void bus_load(struct bus_rig *r, uint64_t bfn);
/* References that the domain has on a guest's frame. */
uint64_t bus_refs(struct bus_rig *r, uint64_t pa);
/* A guest balloons one frame of its HVM range out: the translation goes, then the library is told, until it is done. */
int bus_balloon(struct bus_rig *r, unsigned guest, uint64_t gfn);

#endif
