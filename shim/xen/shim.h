/* SPDX-License-Identifier: MIT */
/* What the files of the shim know of each other. */
#ifndef PVIOMMU_XEN_SHIM_H
#define PVIOMMU_XEN_SHIM_H

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/iommu.h>
#include <xen/iocap.h>
#include <xen/keyhandler.h>
#include <xen/param.h>
#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/xmalloc.h>

#include <pviommu/abi/guest.h>

/*
 * Xen goes on driving its own units. Of each the library knows the
 * capabilities and a head; what goes to the hardware goes through Xen's own
 * functions, which wait for it to be done.
 */
struct shim_unit {
    struct pvi_unit unit;
    const struct shim_vendor *vendor;
    void *hw;               /* struct vtd_iommu or amd_iommu */
    spinlock_t lock;        /* ids */
    domid_t *did;           /* those taken out of Xen's map: free ones first */
    unsigned int nr_free;
    /*
     * A default context is Xen's own table of a domain, under Xen's own id:
     * which id the library has for it, and which one the hardware.
     */
    struct {
        uint16_t lib, hw;
    } home[64];
    unsigned int nr_home;
};

/* One requester id of a device, the entry that Xen made for it, and the one that it was left with. */
struct shim_rid {
    uint16_t rid;
    uint64_t home[2];
    uint64_t now[2];
};

struct shim_device {
    struct pvi_device dev;
    struct shim_unit *unit;
    struct pci_dev *pdev;
    struct shim_rid rid[PVI_MAX_RIDS];
    struct shim_device *next;
};

struct shim_domain {
    struct pvi_domain dom;
    struct domain *d;
    struct shim_device *devices;
    unsigned int holds; /* calls of others under way for it */
    bool ending;        /* nobody gets another hold */
    struct shim_domain *next;
};

/* What differs between the vendors. Entries are the 128 bits that say where untranslated DMA goes. */
struct shim_vendor {
    /* Reads the entry of a requester id; false: there is none. */
    bool (*read)(const struct shim_unit *u, uint16_t rid, uint64_t e[2]);
    /* Replaces it, in one store, and writes it back; false: it was not `old`. */
    bool (*write)(const struct shim_unit *u, uint16_t rid,
                  const uint64_t old[2], const uint64_t e[2]);
    /* The entry for a table of the library; `old` has what is to be kept. */
    void (*encode)(const struct shim_unit *u, const struct pvi_dev_entry *to,
                   uint16_t did, const uint64_t old[2], uint64_t e[2]);
    uint16_t (*did)(const uint64_t e[2]);
    /* Xen's number of an id as the hardware has it. */
    uint16_t (*hw_did)(const struct shim_unit *u, uint16_t did);
    /* One invalidation, done when this or, where there is one, the wait returns. 0 or an error of Xen's. */
    int (*invalidate)(const struct shim_unit *u, const struct pvi_inv *inv,
                      uint16_t did);
    void (*wait)(const struct shim_unit *u);
};

/* options.c */
struct shim_options {
    bool enabled;
    bool guests;               /* the hardware domain may act for others */
    bool strict;               /* dom0-iommu=strict: the hardware domain's devices reach what is its own only */
    unsigned int pages;        /* that a domain may set aside for its tables */
    unsigned int contexts;     /* of a domain */
    unsigned int bus_pages;    /* for the tables of the one context of hypercall 56 */
    unsigned int bus_entries;  /* frames of guests in it */
};
extern struct shim_options shim_options;

extern struct pvi_system shim_system;
/* Fills shim_system from what Xen has found. 0, or an error of Xen's. */
int shim_vtd_units(void);
int shim_amd_units(void);
/* Makes a unit known, or frees it; did_map: Xen's, of pseudo domain ids. pcidevs_lock is held. */
int shim_unit_add(struct shim_unit *u, unsigned long *did_map);
struct shim_unit *shim_unit_of(struct pvi_unit *u);
/* By what Xen has of it; NULL: unknown, or no hw. */
struct shim_unit *shim_unit_by_hw(const void *hw);
/* The unit of a device, and its requester ids; NULL: none that the library can have. */
struct shim_unit *shim_vtd_unit_of(const struct pci_dev *pdev);
struct shim_unit *shim_amd_unit_of(const struct pci_dev *pdev);
uint16_t shim_amd_rid(const struct pci_dev *pdev, unsigned int devfn);

/* domain.c */
/* The library's side of a domain, made when it is first asked for; NULL: it cannot have one, or is dying. */
struct shim_domain *shim_domain_get(struct domain *d, int *rc);
/* The caller's own, or that of a device under pcidevs_lock: such are not destroyed meanwhile. */
struct shim_domain *shim_domain_find(const struct domain *d);
/* Found, and not destroyed before shim_domain_drop(); NULL: there is none, or it is being destroyed. */
struct shim_domain *shim_domain_hold(const struct domain *d);
void shim_domain_drop(struct shim_domain *sd);
/* hypercall.c */
/* Of the calling domain, for a call of this CPU; held for it is what it names. 0, or an error of Xen's: nothing has begun. */
int shim_call_begin(struct pvi_abi_call **abi);
void shim_call_end(void);

/* The library hands a domain of Xen's through. */
static inline struct pvi_hdom *shim_hdom(struct domain *d)
{
    return (void *)d;
}

static inline struct domain *shim_d(struct pvi_hdom *hdom)
{
    return (void *)hdom;
}

/* host.c */
/*
 * Pins one frame of d. What its leaf owes, or an error of the library. A frame that a device may write holds the writable
 * type: else a PV guest could make a page table of it under the device.
 */
int shim_frame_pin(struct domain *d, unsigned long gfn, unsigned int prot,
                   mfn_t *mfn);

#ifdef CONFIG_PVIOMMU_2015
/* foreign.c */
/* Lets the hardware domain have hypercall 56. */
void shim_bus_cfg(const struct domain *d, struct pvi_domain_cfg *cfg);
/* A guest dies: frees what the hardware domain has mapped of it. false: call again. */
bool shim_bus_guest_gone(const struct domain *d);
#else
static inline void shim_bus_cfg(const struct domain *d,
                                struct pvi_domain_cfg *cfg) {}
static inline bool shim_bus_guest_gone(const struct domain *d) { return true; }
#endif

/* What a device entry that names the domain's default context names. */
#define SHIM_HOME_ROOT PAGE_SIZE
/* What is known of a requester id, and whose it is; NULL: nobody's. All devices that have it are one domain's, and say the same. */
const struct shim_domain *shim_rid_find(const struct shim_unit *u, uint16_t rid,
                                        struct shim_rid *r);
/* Its entry has changed. */
void shim_rid_note(const struct shim_unit *u, uint16_t rid,
                   const uint64_t now[2]);

#endif /* PVIOMMU_XEN_SHIM_H */
