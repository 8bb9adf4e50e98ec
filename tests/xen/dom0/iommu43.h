/* SPDX-License-Identifier: MIT */
/* Hypercall 43 as a guest of the published series knows it (64-bit): structures, and a function for each sub-operation. */
#ifndef DOM0_IOMMU43_H
#define DOM0_IOMMU43_H

#include "dom0.h"

#define EPERM (-1)
#define ENOENT (-2)
#define E2BIG (-7)
#define EACCES (-13)
#define EFAULT (-14)
#define EBUSY (-16)
#define ENOMEM (-12)
#define ENODEV (-19)
#define EINVAL (-22)
#define ENOSPC (-28)
#define ENOSYS (-38)
#define EOPNOTSUPP (-95)
#define EADDRINUSE (-98)
#define EADDRNOTAVAIL (-99)

#define CONTEXTS 16u
#define ARENA 10u /* pages of tables, as a power of two */
#define DFN 0x123456ull /* where nothing of dom0 is */

#define MAP_READ 1u
#define MAP_WRITE 2u
#define MAP_RW 3u
#define MAP_NO_FLUSH 8u
#define ALLOC_IDENTITY 1u
#define FREE_REATTACH 1u

struct iommu_caps {
    uint64_t max_iova_addr;
    uint32_t cap_flags, pgsize_mask, max_pasid;
    uint16_t max_ctx_no, pad0;
};

/* Does the guest (guest.h) call, or dom0? */
extern bool iommu_by_guest;
long iommu_noop(void);
long iommu_query(struct iommu_caps *caps);
long iommu_init(uint32_t max_ctx_no, uint32_t arena_order);
long iommu_alloc(uint32_t flags, uint16_t *ctx);
long iommu_free(uint16_t ctx, uint32_t flags);
long iommu_reattach(uint16_t ctx, uint32_t sbdf);
/* *done: pages mapped. */
long iommu_map(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t *done);
long iommu_unmap(uint16_t ctx, uint64_t dfn, uint32_t nr, uint32_t *done);
long iommu_flush(uint16_t ctx, uint64_t dfn, uint32_t nr);
long iommu_lookup(uint16_t ctx, uint64_t dfn, uint64_t *gfn);
/* With pages of another size. */
long iommu_map_size(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t size, uint32_t *done);
long iommu_unmap_size(uint16_t ctx, uint64_t dfn, uint32_t nr, uint32_t size, uint32_t *done);
/* Any sub-operation with any structure; dom0's. */
long iommu_raw(unsigned subop, void *arg);
/* One for another domain, whose structure is `arg`. */
long iommu_remote(uint16_t domid, uint16_t subop, void *arg);

/* --- judge.c --------------------------------------------------------------------------------------------- */

extern unsigned char from[PAGE], to[2][PAGE];
/* Loads the device's buffer with a pattern by way of bus frame `dfn`, behind which `from` lies. */
void load(uint64_t dfn, unsigned seed);
/* Does what the device stores at bus frame `dfn` arrive in `page`? The buffer holds the pattern of that seed. */
bool lands(uint64_t dfn, volatile unsigned char *page, unsigned seed);

/* How many pages for tables there are: that many maps, each 2 MiB from the next, work in a new context, and can be undone; 0: not even that. */
unsigned tables_left(void);

/* --- tests: each leaves the device in its default context, and no context behind -------------------------- */

void test_preempt(void);
void test_races(void);
void test_regions(uint64_t frame);
void test_frames(void);
void test_faults(void);
void test_init_limits(void); /* before init */
void test_limits(void);
void test_hostile(void);
void test_attach(void);
void test_stale(void);
void test_hotplug(void);
void test_guest(void);

#endif
