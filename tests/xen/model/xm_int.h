/* SPDX-License-Identifier: MIT */
/* What the files of the model know of each other. */
#ifndef XM_INT_H
#define XM_INT_H

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/hypercall.h>
#include <xen/iocap.h>
#include <xen/iommu.h>
#include <xen/keyhandler.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/pci.h>
#include <xen/percpu.h>
#include <xen/pviommu.h>
#include <xen/sched.h>
#include <xen/xmalloc.h>

#include <asm/iommu.h>
#include <asm/p2m.h>

#include "../../model/hwm.h"
#include "xm.h"

#define XM_CHECK(condition, ...)        \
    do {                                \
        if (!(condition)) {             \
            xm_fail(__VA_ARGS__);       \
        }                               \
    } while (0)

/* xm_host.c: of the C library */
void *xm_host_alloc(size_t size, size_t align); /* zeroed */
void xm_host_free(void *p);
void xm_host_log(const char *format, __builtin_va_list args);
void xm_host_yield(void);
/* One at a time is in the model; the same thread may enter again. */
void xm_in(void);
void xm_out(void);

/* xm_mem.c */
enum xm_use { XM_FREE, XM_XEN, XM_POOL, XM_TABLE, XM_GUEST };

struct xm_frame {
    struct page_info pg; /* first */
    enum xm_use use;
    struct domain *owner;
    unsigned int refs, types; /* the drop-in's; types: those with the writable type */
    bool is_table;            /* a PV guest's page table */
    bool dirty;               /* paging_mark_dirty() */
    bool special;             /* Xen's, shared with the owner */
    bool allocated;           /* the guest has not given it up */
    unsigned int maps;        /* map_domain_page() */
};
extern struct xm_frame xm_frames[XM_FRAMES];
void xm_mem_boot(void);
void xm_strict_boot(void);
/* Consecutive frames for Xen's own use, aligned to their number. */
unsigned long xm_xen_frames(unsigned int nr);
uint64_t *xm_words(unsigned long mfn); /* Xen's own */
uint64_t xm_mem_read(uint64_t pa, bool written_back);
/* What the units' walks see without snooping is what has been written back. */
void xm_frame_free(unsigned long mfn);
void xm_looked(unsigned int effort);
void xm_looked_at_clock(void);
unsigned int xm_allocations(void); /* alive: xmalloc and table pages */

/* xm_lock.c */
bool xm_same(const char *a, const char *b);
void xm_locks_idle(void);
bool xm_atomic(void); /* a spinlock is held */
void xm_may_alloc(void);

/* xm_dom.c */
struct xm_domain {
    struct domain d; /* first */
    struct p2m_domain *p2m; /* the domain itself: handle only */
    bool pv, used;
    unsigned int first, nr; /* frames */
    uint8_t kind[XM_HWDOM_FRAMES];
    unsigned int rcu[XM_CPUS];
    uint64_t home; /* root of Xen's own table */
};
extern struct xm_domain xm_domains[XM_MOST_DOMAINS];
void xm_domains_idle(void);

/* xm_unit.c */
struct xm_unit {
    struct hwm *h;
    bool snoops;
    unsigned int index;
};
#define XM_UNITS 2u
extern struct xm_unit xm_units[XM_UNITS];
struct xm_dev {
    struct pci_dev pdev;
    unsigned int unit;
    unsigned int nr_rids;
    uint16_t rid[4];
    bool barred;
};
extern struct xm_dev xm_devs[XM_DEVS + 1];
extern struct xm_cfg xm_cfg;
void xm_units_boot(void);
void xm_look(void); /* what is watched is looked at */
/* A reference has gone: what still reaches the frame, in tables or caches, is covered by those that are left. */
void xm_reach_check(unsigned long mfn);
void xm_entries_check(void);
void xm_page_check(unsigned long mfn); /* a table page goes: no unit knows it */
bool xm_flush_now_fails(void);

/* What differs between the vendors: xm_vtd.c, xm_amd.c. */
struct xm_vendor {
    void (*boot)(void);
    /* Xen's own entry of a domain; d NULL: blocked. */
    void (*entry)(unsigned int unit, const struct xm_domain *d, uint64_t e[2]);
    uint64_t *(*at)(unsigned int unit, uint16_t rid);
    void (*store)(unsigned int unit, uint16_t rid, const uint64_t e[2]); /* under the unit's lock */
    void (*flush)(unsigned int unit, uint16_t rid, uint16_t did);
    uint16_t (*did)(const uint64_t e[2]);
    bool (*present)(const uint64_t e[2]);
    uint64_t (*root)(const uint64_t e[2], unsigned int *levels);
    bool (*visit)(const struct hwm_mem *mem, uint64_t root, unsigned int levels, const struct hwm_visitor *v,
                  struct hwm_visit *out);
    /* An entry of Xen's own table at a level; leaf at 1. */
    uint64_t (*pte)(uint64_t pa, unsigned int level);
    bool turned; /* ids of the second unit are the complement of Xen's numbers */
};
extern const struct xm_vendor xm_vtd, xm_amd;
const struct xm_vendor *xm_vendor(void);
extern struct hwm_mem xm_hwm_mem[XM_UNITS];

#endif
