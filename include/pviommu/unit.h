/* SPDX-License-Identifier: MIT */
/**
 * @file
 * What the core knows of a remapping unit: capabilities as data, the id of a domain on it, what to
 * invalidate, what a requester id translates through. No vendor is named here; VT-d and AMD-Vi turn
 * these values into their own descriptors, commands and entries.
 */
#ifndef PVIOMMU_UNIT_H
#define PVIOMMU_UNIT_H

#include <pviommu/types.h>

struct pvi_host;
struct pvi_pt_ops;

/** Units that one system can have; a context keeps a bitmap of those that it is attached to. */
#define PVI_MAX_UNITS 64u

/** Address windows that no mapping may touch: MSI, HyperTransport. */
#define PVI_MAX_HOLES 2u

/** An address range, bounds inclusive. */
struct pvi_range {
    uint64_t first, last;
};

/**
 * What a unit can do. Filled once at bring-up by the unit driver (or by the host), then constant. guest_*, pasid_bits and parent_rw are 0 but where the
 * driver serves such entries: src/vtd/scalable.c and src/amdvi/unit.c, if their configuration asks for it.
 */
struct pvi_unit_caps {
    const struct pvi_pt_ops *format; /**< page-table format that the unit walks */
    uint64_t page_sizes;             /**< bit n set: leaves of 2^n bytes */
    uint8_t levels_mask;             /**< bit n set: tables of n levels (3: 39 bits, ...) */
    uint8_t iova_bits;               /**< widest IOVA that a device may issue */
    uint8_t pa_bits;                 /**< width of host-physical addresses in entries */
    bool coherent;                   /**< table walks snoop the CPU's caches */
    bool np_cache;                   /**< not-present entries may be cached (VT-d CM, AMD NpCache) */
    bool write_buffer;               /**< additions need a write-buffer flush (VT-d RWBF) */
    bool page_selective;             /**< PVI_INV_PAGES is available */
    bool snoop;                      /**< leaves carry a force-coherent bit (VT-d SC, AMD FC) */
    bool shares;                     /**< walks a processor's second-stage table as it is (VT-d; never AMD-Vi) */
    uint8_t inv_max_lg2;             /**< largest PVI_INV_PAGES, log2 of bytes: 12 .. 63 */
    uint8_t inv_max_nr;              /**< page invalidations that cost as much as one of the domain */
    uint8_t nr_holes;
    /** IOVAs never translated as DMA, whole pages. Guests can map what is not listed: 0xFEE00000-0xFEEFFFFF (MSI) is a hole on
     * every x86 unit, on AMD-Vi HyperTransport's window too (hwspec 6.11). The unit drivers fill it. */
    struct pvi_range hole[PVI_MAX_HOLES];
    uint32_t nr_dids;                /**< domain ids 1 .. nr_dids - 1 can be given out */
    uint8_t guest_levels; /**< nested translation: bit n: guests' own tables may have n levels; 0: the unit has none */
    uint8_t guest_depth;  /**< most levels of a guest's own table of tables by PASID (AMD-Vi GCR3); 0: a guest names one table (VT-d) */
    uint8_t guest_flags;  /**< PVI_GUEST_* that the unit has */
    uint8_t pasid_bits;   /**< PASIDs 1 .. 2^bits - 1 can be given entries of their own (VT-d scalable mode); 0: none */
    bool parent_rw;       /**< erratum: a table below guests' own may have no read-only leaf */
};

#define PVI_GUEST_SUPERVISOR 0x1u    /**< requests with privilege are served (VT-d SRE) */
#define PVI_GUEST_WRITE_PROTECT 0x2u /**< and obey read-only leaves (VT-d WPE) */

/**
 * A guest's own tables, before the one that the library keeps: that one translates their addresses, the root's among them, and what
 * they lead to.
 */
struct pvi_guest_tables {
    uint64_t root;  /**< guest-physical, bytes, 4 KiB aligned. VT-d: root of the first-stage table; AMD-Vi: of the GCR3 table */
    uint8_t levels; /**< of first-stage or v2 tables; 0: there are none, and nothing else here means anything */
    uint8_t depth;  /**< levels of the GCR3 table; 0 where the unit has guest_depth 0 */
    uint8_t flags;  /**< PVI_GUEST_* */
};

/** The vendor-free head of a unit; unit drivers embed it. */
struct pvi_unit {
    struct pvi_unit_caps caps;
    struct pvi_host *host; /**< set before pvi_system_add_unit(): by a unit driver's init, else by the host */
    uint8_t index; /**< place in struct pvi_system, set by pvi_system_add_unit() */
    bool broken;   /**< a flush or the way back of a switch failed: nothing that it covers is ever released. A
                        host with a driver of its own may leave it: each failing flush is then judged by itself */
};

/** All units of the machine. The host fills it before the first domain and never changes it after. */
struct pvi_system {
    struct pvi_unit *unit[PVI_MAX_UNITS];
    uint8_t nr_units;
};

/** Kinds of invalidation, from narrow to wide. */
enum pvi_inv_kind {
    PVI_INV_PAGES,  /**< 2^lg2 bytes at iova of domain id did; never of one that nested entries hold */
    PVI_INV_GUEST,  /**< 2^lg2 bytes at iova, as guest tables of PASID pasid in domain id did translate them; 0: requests without PASID */
    PVI_INV_DOMAIN, /**< all translations of domain id did, nested ones of every PASID and tables included */
    PVI_INV_PASID,  /**< the entry of PASID pasid of requester id rid */
    PVI_INV_DEVICE, /**< the context entry or device table entry of requester id rid */
    PVI_INV_WBUF,   /**< nothing but the write buffer (RWBF) */
    PVI_INV_ALL     /**< everything that the unit holds; unit drivers use it at bring-up, the core never */
};

/** One invalidation. */
struct pvi_inv {
    uint8_t kind;    /**< enum pvi_inv_kind */
    uint8_t lg2;     /**< PAGES, GUEST: log2 of bytes, 12 .. inv_max_lg2, iova is aligned to it; GUEST: also 64, all of the PASID, its entry in a guest's GCR3 table included */
    bool leaf_only;  /**< PAGES, GUEST: only leaves changed, cached tables may stay (IH=1, PDE=0) */
    bool was_absent; /**< DEVICE, PASID: the entry was not present (VT-d caching mode: tagged with id 0) */
    uint16_t rid;    /**< DEVICE, PASID: bus << 8 | device << 3 | function */
    uint16_t did;    /**< PAGES, GUEST, DOMAIN; DEVICE, PASID: the id that the entry held before; PASID that was absent: holds now */
    uint32_t pasid;  /**< GUEST, PASID */
    uint64_t iova;   /**< PAGES, GUEST */
};

/** What a requester id, or one PASID of it, translates through. */
struct pvi_dev_entry {
    bool translate;  /**< false: all such DMA of the requester is blocked */
    uint8_t levels;  /**< number of table levels below and including the root */
    uint16_t did;    /**< domain id on the unit */
    uint32_t pasid;  /**< for requests with this PASID; 0: for those without */
    pvi_pa root;     /**< root table */
    struct pvi_guest_tables guest; /**< with levels: what comes before root, nested */
};

/** A translation fault, vendor-free; the vendor's own code is kept beside it. */
struct pvi_fault {
    uint64_t iova;
    uint16_t rid;
    uint16_t code;    /**< VT-d: fault reason; AMD-Vi: event code << 12 | flags */
    uint16_t did;     /**< AMD-Vi: domain id; VT-d: 0 */
    bool has_pasid;   /**< the request had a PASID */
    uint32_t pasid;   /**< which; AMD-Vi: as far as the event tells */
    bool write;
    bool translation; /**< a DMA translation fault (else an error of the unit or its rings) */
};

/**
 * Registers a unit with the system.
 * @return 0, or -PVI_ENOSPC with nothing changed when PVI_MAX_UNITS are there already.
 */
PVI_MUST_CHECK int pvi_system_add_unit(struct pvi_system *sys, struct pvi_unit *unit);

#endif
