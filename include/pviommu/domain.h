/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Domains and devices: what a host sets up before a guest can submit anything.
 */
#ifndef PVIOMMU_DOMAIN_H
#define PVIOMMU_DOMAIN_H

#include <pviommu/context.h>
#include <pviommu/gather.h>
#include <pviommu/host.h>
#include <pviommu/passthrough.h>
#include <pviommu/pool.h>

/** Contexts that a domain can have beside the default one. */
#define PVI_MAX_CONTEXTS 4095u
/** Requester ids of one device: itself, phantom functions, aliases behind bridges. */
#define PVI_MAX_RIDS 8u
/** Reserved regions (RMRR, IVMD) of one device. */
#define PVI_MAX_DEV_REGIONS 4u
#define PVI_DOMID_SELF 0x7FF0u

/** A region that a device needs mapped 1:1 whatever context it is in (RMRR, IVMD unity). */
struct pvi_region {
    uint64_t first; /**< first byte, 4 KiB aligned */
    uint64_t last;  /**< last byte, inclusive */
    uint8_t prot;
};

/** Contexts of one domain that can be nested at the same time: a change of their parents is flushed for each. */
#define PVI_MAX_NESTED 64u
/** PASIDs of one domain's devices that can have contexts of their own at the same time. */
#define PVI_MAX_PASIDS 4096u

struct pvi_pasid;

/** A device. The host keeps the storage from pvi_device_add() to pvi_device_remove(). */
struct pvi_device {
    pvi_sbdf sbdf;
    uint32_t group; /**< devices of one non-zero group move together */
    struct pvi_unit *unit;
    uint16_t rid[PVI_MAX_RIDS];
    uint8_t nr_rids; /**< 0: it issues no requests (a bridge, say): guests can attach it like any device, and no entry is written for it */
    uint8_t nr_regions;
    struct pvi_region region[PVI_MAX_DEV_REGIONS];
    /* the library's own */
    struct pvi_context *ctx;
    struct pvi_pasid *pasids; /**< those that translate through contexts of their own */
    bool leaving;             /**< it gets no more of them: its removal has begun */
    int hw_error;             /**< -PVI_EHW: its unit failed while they were taken away; the removal's answer, in whichever call that ends */
    struct pvi_device *next;
};

struct pvi_revmap;
struct pvi_bus;

/** What the host decides about a domain. */
struct pvi_domain_cfg {
    struct pvi_hdom *hdom;
    struct pvi_system *system; /**< no units: the domain has no IOMMU */
    uint32_t max_contexts;     /**< most that an init may ask for, at most PVI_MAX_CONTEXTS */
    uint32_t max_pages;        /**< most pool pages that an init may ask for */
    uint32_t default_pages;    /**< pool pages for the default context, taken at once */
    uint32_t context_pages;    /**< share of one context; 0: no limit but the pool */
    uint64_t page_sizes;       /**< bit n: leaves of 2^n bytes; 0: all that the units have */
    uint8_t iova_bits;         /**< 0: 48; the depth of every table follows from it */
    bool default_identity;     /**< the default context begins as identity (else it blocks) */
    bool scattered;            /**< the guest knows its frames by another numbering than its hypercalls have (PV): PVI_CAP_SCATTERED */
    bool trim;                 /**< give empty tables back at once */
    bool nested;               /**< contexts may be nested, if all units can. On units with caps.parent_rw no table of the domain has read-only leaves then */
    uint32_t max_pasids;       /**< PASIDs that may be attached at the same time, at most PVI_MAX_PASIDS; 0: none. A context that is attached takes a domain id of each
                                    unit concerned, so max_contexts of all domains and devices should leave others some */
    struct pvi_passthrough_cfg passthrough; /**< what the default context follows; with a mode, default_identity is false */
    /* The interface of 2015: pviommu/bus.h. */
    struct pvi_revmap *revmap; /**< NULL: the domain has no such interface */
    uint32_t bus_pages;        /**< pages for its context, taken when it is first needed; 0: it cannot map, and gets frame numbers */
    bool bus_identity;         /**< its context begins as identity whatever the default context is: needed where that is the host's own table (share_pt) */
    uint32_t bus_entries;      /**< foreign mappings at most */
    uint64_t bus_offset;       /**< where mappings by offset begin, in frames; 0: PVI_BUS_OFFSET */
    bool bus_all_frames;       /**< a hardware domain that is not strict: draft B tells so by query_caps (the shipped form tells it to whoever can map); the host's frame_get decides */
};

struct pvi_batch;
struct pvi_held;

/** A batch that happens whole or not at all, under way. */
struct pvi_tx {
    struct pvi_batch *batch; /**< NULL: none */
    struct pvi_page *log;    /**< pages of records, the one being written first */
    struct pvi_page *spare;  /**< set aside for records to come */
    uint64_t records;        /**< in the log; at first: that it may have to take */
    uint64_t cursor;         /**< bytes (reading a range) or frames (taking a record back) that are done */
    uint32_t op;             /**< being counted, run, or taken back */
    uint32_t phase;
    bool running;            /**< somebody is at it */
    bool logged;             /**< the log has all that the next operation will take away */
    int status;              /**< why it is taken back */
};

struct pvi_domain {
    struct pvi_host *host;
    struct pvi_domain_cfg cfg;
    pvi_env_lock lock;
    struct pvi_pool pool;          /**< contexts 1 .. n */
    struct pvi_pool default_pool;  /**< the default context: no guest can exhaust it */
    struct pvi_pt_cfg table; /**< what every table of the domain looks like */
    struct pvi_context default_ctx;
    struct pvi_context **slot;     /**< contexts 1 .. nr_contexts; made when first needed, kept until the end */
    struct pvi_device *devices;
    struct pvi_gather gather; /**< of whoever has claimed the domain */
    struct pvi_tx tx;
    struct pvi_held *held; /**< a guest's batch that happens whole, taken in by a decoder (held.h); NULL: none */
    uint32_t nested[PVI_MAX_NESTED]; /**< numbers of nested contexts, 0: free; read without a lock */
    uint8_t guest_levels, guest_depth, guest_flags; /**< of nested contexts, as in struct pvi_unit_caps: what all units have */
    uint8_t pasid_bits;   /**< as in struct pvi_unit_caps: what all units have */
    uint32_t nr_pasids;   /**< attached */
    uint32_t nr_contexts; /**< limit given at init */
    uint32_t init_pages;  /**< pages asked for at init */
    uint32_t slot_hint;   /**< no number below slot_hint + 1 is free */
    uint32_t nr_slots;    /**< contexts that have been made, numbers 1 .. nr_slots; read without a lock */
    uint32_t state;       /**< enum pvi_domain_state; read without a lock */
    uint32_t dying;       /**< read without a lock */
    uint32_t nr_holes;
    uint32_t passthrough; /**< enum pvi_passthrough in force; read without a lock */
    uint8_t share_obstacle; /**< enum pvi_share_obstacle */
    struct pvi_range hole[PVI_MAX_UNITS * PVI_MAX_HOLES]; /**< what no unit translates, each once */
    bool has_iommu; /**< also false where passthrough is disabled */
    struct pvi_bus *bus; /**< made when first needed */
    uint32_t bus_state;  /**< enum pvi_bus_state; read without a lock, before bus is */
    bool moving; /**< somebody moves devices, initialises or destroys: everybody else comes back later */
};

/** States of a domain. */
enum pvi_domain_state {
    PVI_DOMAIN_NEW = 0, /**< no init yet */
    PVI_DOMAIN_INITING, /**< pages are being set aside */
    PVI_DOMAIN_UNDOING, /**< there were not enough: they are being given back */
    PVI_DOMAIN_READY
};

/**
 * Sets a domain up with its default context; overwrites all of d.
 * Identity defaults are built by pvi_domain_start().
 * @return 0; -PVI_ELIMIT (cfg beyond the library's limits), -PVI_EOPNOTSUPP (units that cannot walk one
 *         common table, or whose smallest common page has more than PVI_GATHER_FRAMES frames; a passthrough mode that PV, or a machine without units, cannot have, or whose table would have no 4 KiB
 *         leaves), -PVI_EINVAL (no such mode, or a mode and default_identity), -PVI_ENOMEM: nothing changed.
 */
PVI_MUST_CHECK int pvi_domain_init(struct pvi_domain *d, struct pvi_host *h, const struct pvi_domain_cfg *cfg);

/**
 * Builds the identity of the default context, if it has one. Resumable. Frames that the host does not pin are left out.
 * @return 0; -PVI_EPREEMPTED (call again); -PVI_ENOMEM (what is mapped stays; call again after growing default_pool);
 *         -PVI_EHW (the default context is broken); -PVI_EDYING.
 */
PVI_MUST_CHECK int pvi_domain_start(struct pvi_domain *d);

/**
 * Gives a device to a domain: all its requester ids go to the context of its group, or to the default one. Devices that
 * share a requester id (an alias behind a bridge) are of one group. Reserved regions of two devices in one context are
 * equal or do not overlap. The caller holds no lock that its own pvi_host_frame_get() or pvi_host_identity_next() takes.
 * @return 0; -PVI_EINVAL (malformed description, regions that no context can map, an id shared outside of the group),
 *         -PVI_EEXIST (sbdf there already, or something is mapped inside a reserved region of the device),
 *         -PVI_EOPNOTSUPP (passthrough is disabled), -PVI_ENOENT (share_pt, and the host's table does not map a region 1:1 with
 *         its rights: its pages stay where they are during this call), -PVI_ENOIOMMU, -PVI_EDYING, -PVI_ERESERVED (it has regions, and its group is in a nested context), -PVI_EBUSY (that context is being built, or broken, or a device that issues one of its ids has PASIDs attached), -PVI_EPREEMPTED (another
 *         call moves devices: call again), -PVI_ENOSPC, -PVI_ENOMEM, -PVI_EQUOTA or what pvi_host_did_alloc() and
 *         pvi_host_dev_switch() answered: nothing changed. -PVI_EHW: the device is not in the domain, its ids block as
 *         far as its unit obeys, and what the unit may still reach is written off, never reused.
 */
PVI_MUST_CHECK int pvi_device_add(struct pvi_domain *d, struct pvi_device *dev);

/**
 * Takes a device away: its requester ids, but for those that another device of the domain has too, are blocked,
 * flushed, and only then it is gone.
 * @return 0; -PVI_ENODEV (not in this domain); -PVI_EPREEMPTED (another call moves devices: call again); -PVI_EHW: it is
 *         gone from the domain, but its unit could not be made to forget: whatever the unit may still reach is written
 *         off, never reused. Anything else: nothing changed.
 */
PVI_MUST_CHECK int pvi_device_remove(struct pvi_domain *d, struct pvi_device *dev);

/**
 * Tells a domain of a translation fault that unit u has reported. It is counted for the context that the device translates through, and kept
 * there for PVI_OP_READ_FAULT as long as there is room and they do not come too fast. Takes PVI_LOCK_DOMAIN and PVI_LOCK_CONTEXT.
 * @param now milliseconds of a clock that does not go back.
 * @return 0; -PVI_ENODEV (no device of the domain has this requester id on this unit): nothing changed; -PVI_EPREEMPTED (devices are being
 *         moved: call again, or forget it).
 */
PVI_MUST_CHECK int pvi_domain_fault(struct pvi_domain *d, const struct pvi_unit *u, const struct pvi_fault *fault, uint64_t now);

/** From now on every operation of the domain answers EDYING. */
void pvi_domain_kill(struct pvi_domain *d);

/**
 * Takes everything down. Resumable; the domain is dying, has no devices, and no pvi_submit() for it is under way.
 * @return 0, -PVI_EPREEMPTED (call again), -PVI_EBUSY (devices are left).
 */
PVI_MUST_CHECK int pvi_domain_destroy(struct pvi_domain *d);

#endif
