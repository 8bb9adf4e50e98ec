/* SPDX-License-Identifier: MIT */
/*
 * The bare host: everything that pviommu/host.h asks for, in one structure and one file. The unit
 * is driven by the library's own driver; guests are tables of RAM ranges, there is no guest code.
 */
#ifndef BARE_HOST_H
#define BARE_HOST_H

#include <pviommu/amdvi.h>
#include <pviommu/domain.h>
#include <pviommu/pool.h>
#include <pviommu/vtd.h>

/* Pages of the hypervisor, for the library and for itself: 64 MiB from 32 MiB on. */
#define BARE_PAGES_PA 0x2000000u
#define BARE_NR_PAGES 16384u

#define BARE_MAX_GUESTS 2u
#define BARE_MAX_RANGES 3u

/* References that mappings hold on one frame. */
struct bare_frame {
    uint32_t refs;    /* all */
    uint32_t writers; /* those that may write */
};

/* Guest frames [gfn, gfn + nr) at pa. */
struct bare_range {
    uint64_t gfn, nr;
    uint64_t pa;
    uint8_t prot; /* the most that the guest may do */
    struct bare_frame *frame;
};

/* A guest. */
struct pvi_hdom {
    uint16_t domid;
    bool control; /* may act for the others */
    unsigned nr_ranges;
    struct bare_range range[BARE_MAX_RANGES]; /* by rising gfn */
    struct pvi_domain domain;
};

struct pvi_host {
    struct pvi_page record[BARE_NR_PAGES];
    uint8_t state[BARE_NR_PAGES]; /* what the allocator knows of a page; see host.c */
    uint64_t pages_used;
    struct pvi_system system;
    struct pvi_unit *unit; /* one of the two, NULL before bare_unit_find() */
    struct pvi_vtd_unit vtd;
    struct pvi_amdvi_unit amdvi;
    struct pvi_hdom *guest[BARE_MAX_GUESTS];
    bool preempt_always; /* every checkpoint preempts, not only those that follow a tick */
    uint64_t waits;      /* waits for invalidations */
    uint64_t events;     /* pvi_host_event() */
    /* Called before invalidations go to the unit: tables have changed, caches have not. */
    void (*before_inv)(struct pvi_host *h);
};

/* Makes the host. The storage is large: keep it static. */
void bare_host_init(struct pvi_host *h);
/* Gives a guest RAM. */
void bare_guest_range(struct pvi_host *h, struct pvi_hdom *d, uint64_t gfn, uint64_t nr,
                      uint64_t pa, uint8_t prot);
/* Takes all RAM from a guest whose domain is destroyed. */
void bare_guest_clear(struct pvi_host *h, struct pvi_hdom *d);
/* References that mappings hold on all frames of a guest. */
uint64_t bare_guest_refs(const struct pvi_hdom *d);

/* The next fault that the unit recorded; like pvi_vtd_unit_next_fault(). */
int bare_next_fault(struct pvi_host *h, struct pvi_fault *f);
/* Switches the unit off; like pvi_vtd_unit_disable(). */
int bare_unit_disable(struct pvi_host *h);

/* firmware.c ----------------------------------------------------------------------------------- */

/*
 * Finds the unit of a requester of PCI segment 0 in the firmware's tables, adds it to the system
 * and switches it on: from then on all DMA is blocked but that of devices in domains. Ends the run
 * when there is none.
 */
void bare_unit_find(struct pvi_host *h, uint16_t rid);
/*
 * Adds the regions that a table (DMAR or IVRS) reserves for requester dev->rid[0]. @return 0 or
 * -PVI_EFORMAT.
 */
int bare_regions_find(const void *table, size_t size, struct pvi_device *dev);

#endif
