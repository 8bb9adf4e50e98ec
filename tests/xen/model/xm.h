/* SPDX-License-Identifier: MIT */
/*
 * A model of what Xen gives the drop-in, for userspace: domains, frames with references and types, locks, devices, and
 * Xen's own tables on units that are hardware models (hwm.h), whose caches never forget by themselves.
 * It implements what tests/xen/standin declares, and stops the process at the first broken contract (xm_fail()).
 *
 * Read by tests, which have a C library, and by the model, which is compiled as Xen's sources are.
 */
#ifndef XM_H
#define XM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XM_FRAMES 4096u /* of RAM, from 0 on */
#define XM_MMIO 0x2000u /* 8 frames of device memory that the hardware domain may have; the fourth not to be written */
#define XM_MSI 0xfee00u  /* where writes are interrupts; it may have this, too, and a frame on each side */
#define XM_RMRR 0x3000u /* 2 frames of firmware's, that XM_DEV_RMRR needs */
#define XM_GLOBAL 0x3100u /* AMD: one that every device needs; told only to whoever says that it asks for one */
#define XM_HWDOM_FRAMES 1024u
#define XM_GUEST_FRAMES 256u
#define XM_MOST_DOMAINS 4u

struct xm_domain;

struct xm_cfg {
    bool amd;
    bool pvh;           /* the hardware domain */
    bool no_quarantine; /* Xen has no map of pseudo ids */
    unsigned long frames; /* where the machine's memory ends, if far above what there is of it; 0: there */
    unsigned int ids;   /* pseudo ids that Xen has left; 0: all */
    bool legacy_bridge; /* XM_DEV_PCI is not behind a PCIe bridge: nothing comes under 02:00.0 (VT-d) */
    bool parallel;      /* threads are processors: caches are looked at when a frame is put, tables are not */
    bool few_dids;      /* VT-d: units with 256 ids */
};

/* Devices, and the unit that each is behind. On AMD there is also XM_IOMMU, which Xen keeps for itself. */
#define XM_IOMMU 0x0002u /* 00:00.2 */
enum {
    XM_DEV_PLAIN,   /* 00:02.0, 0 */
    XM_DEV_PHANTOM, /* 01:00.0 with 01:00.4, 0 */
    XM_DEV_PCI,     /* 02:05.0, conventional, behind the bridge 00:03.0; AMD: its alias is 02:00.0; 0 */
    XM_DEV_RMRR,    /* 03:00.0, 1 */
    XM_DEV_BRIDGE,  /* 00:01.0, a root port: no requests, and on VT-d no entry; 0 */
    XM_DEV_OTHER,   /* 03:01.0, 1 */
    XM_DEVS,
    XM_TWIN = XM_DEVS /* 02:06.0, behind the same bridge as XM_DEV_PCI: its other ids are the same; not there at boot */
};

/* Boots: memory, units, the hardware domain with all devices. Once in a process. */
void xm_boot(const struct xm_cfg *cfg);
/* Nothing of the drop-in is left over but its units: everything is counted. The hardware domain loses its devices, too. */
void xm_shutdown(void);
/* `pviommu=` of Xen's command line; heard when a domain is first met. 0, or an error of Xen's. */
int xm_options(const char *text);
/* Nothing is held now that no mapping needs: locks, maps, rcu. Called by itself at the end of each call. */
void xm_idle(void);
void xm_fail(const char *format, ...) __attribute__((__format__(__printf__, 1, 2), __noreturn__));

/* --- domains and frames --------------------------------------------------------------------- */

struct xm_domain *xm_hwdom(void);
struct xm_domain *xm_domain_create(uint16_t domid, bool pv);
void xm_domain_dies(struct xm_domain *d);
/* pviommu_relinquish(), called by another processor: true when it is done. */
bool xm_domain_relinquish(struct xm_domain *d);
/* As often as it takes. */
void xm_domain_ends(struct xm_domain *d);
/* After that: its frames are free, and the next domain has its address. */
void xm_domain_destroy(struct xm_domain *d);
/* What the guest calls its n-th frame, and where that lies. */
uint64_t xm_gfn(const struct xm_domain *d, unsigned int n);
uint64_t xm_mfn(const struct xm_domain *d, unsigned int n);
/* Makes a page table of it, or ends that; false: it has writable references. */
bool xm_make_table(struct xm_domain *d, unsigned int n);
void xm_end_table(struct xm_domain *d, unsigned int n);
/* It is Xen's own page, shared with the guest; or is not, any more. */
void xm_share_page(struct xm_domain *d, unsigned int n, bool shared);
/* The guest gives it up: free once the last reference has gone. */
void xm_give_up(struct xm_domain *d, unsigned int n);
enum xm_kind { XM_RAM, XM_RAM_RO, XM_PAGED, XM_GUEST_MMIO, XM_OTHERS };
/* What a translated guest's p2m says of it. */
void xm_p2m(struct xm_domain *d, unsigned int n, enum xm_kind kind);
/* Says of a context of the library, also of one that is not in use, that its table reaches frames up to `last` only; what it said before. */
uint64_t xm_context_reach(const struct xm_domain *d, unsigned int ctx, uint64_t last);
unsigned int xm_refs(uint64_t mfn);  /* that the drop-in has on it */
unsigned int xm_types(uint64_t mfn); /* of these with the writable type */
bool xm_dirty(uint64_t mfn);         /* since it was asked last: a migration would send it again */
void xm_strict(bool yes);    /* dom0-iommu=strict */
void xm_lends(bool yes);     /* frames of the hardware domain may be out of hold and in an identity of its */
void xm_no_sharing(bool ok); /* arch_iommu_use_permitted() */

/* --- hypercalls ------------------------------------------------------------------------------ */

#define XM_GUEST_VA 0x10000u /* the caller's memory, 64 KiB; nothing else is mapped */
unsigned char *xm_guest_memory(void); /* of this processor */
void xm_enter(unsigned int cpu, struct xm_domain *d, bool compat);
void xm_cpus_gone(void); /* each has been away, and its area was made anew */
/* One entry into Xen; *again: it is to be continued with *word. */
long xm_call(uint32_t *word, uint64_t arg, bool *again);
/* Hypercall 56, likewise. */
long xm_bus_call(uint64_t *arg, uint32_t *count, bool *again);
/* XSM says no to whoever would change what this domain's devices reach, or map its frames. */
void xm_policy(const struct xm_domain *who, bool denied);
/* The n-th look at the clock from now on says that the CPU is wanted; 0: none does, ~0: all do. */
void xm_preempt_at(unsigned int n);
unsigned int xm_preempt_asked(void); /* since then */
/* The n-th copy of the caller's memory from now on fails at this byte; 0: none. */
void xm_copy_fails_at(unsigned int n, unsigned int byte);
unsigned int xm_copies(void);
/* The n-th allocation from now on fails; 0: none. */
void xm_alloc_fails_at(unsigned int n);
unsigned int xm_allocs(void);
/* What another processor does at the n-th look at the clock or copy of the caller's memory from now on; 0: nothing. */
unsigned int xm_meanwhile_left(void); /* until then */
void xm_meanwhile_at(unsigned int n, void (*what)(void *), void *ctxt);
void xm_key(unsigned char key);
/* Lines of Xen's log at the level of errors or warnings since boot. */
unsigned int xm_complaints(void);

/* --- devices --------------------------------------------------------------------------------- */

uint32_t xm_sbdf(unsigned int dev);
unsigned int xm_nr_rids(unsigned int dev);
uint16_t xm_rid(unsigned int dev, unsigned int n);
/* Under pcidevs_lock, as Xen does it. d NULL: it leaves the machine; from NULL: it comes. */
void xm_move(unsigned int dev, struct xm_domain *d);
/* AMD: the hardware domain says that the unit's own function has left the machine. */
void xm_iommu_leaves(void);
/* XM_IOMMU is in the hardware domain's list, too. */
void xm_iommu_twice(void);
void xm_bar_device(unsigned int dev, bool bar); /* Xen has no entries for it */
/* DMA of its n-th requester id: the frame reached, through caches that never forget, or ~0. */
uint64_t xm_dma(unsigned int dev, unsigned int n, uint64_t dfn, bool write);
/* The unit looks there at each store and each command. */
void xm_watch(unsigned int dev, uint64_t dfn);
/* The n-th flush from now on fails (VT-d); 0: none. */
void xm_flush_fails_at(unsigned int n);
unsigned int xm_flushes(void);

/* Whether the unit's own entry for the requester id is the one that Xen made. */
bool xm_is_home(unsigned int dev, unsigned int n);

#endif
