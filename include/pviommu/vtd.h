/* SPDX-License-Identifier: MIT */
/**
 * @file
 * VT-d: table entries of legacy mode (a second-stage table for each requester id) and of scalable
 * mode (PASID tables), invalidation descriptors, fault records, the DMAR table, and a driver for
 * one unit in either mode.
 *
 * The encoders, the decoders and the DMAR iterator are pure functions for hosts with a driver of
 * their own. The unit driver wants pvi_host_mmio_*(), pvi_host_page_alloc() and pvi_host_poll().
 */
#ifndef PVIOMMU_VTD_H
#define PVIOMMU_VTD_H

#include <pviommu/did.h>
#include <pviommu/host.h>
#include <pviommu/pgtable.h>
#include <pviommu/types.h>
#include <pviommu/unit.h>
#include <pviommu_env.h>

/** Second-stage tables of 3 to 5 levels (hwspec 3.1). */
extern const struct pvi_pt_ops pvi_vtd_ss_ops;
/** First-stage tables, 4 or 5 levels, the lower half of the addresses. */
extern const struct pvi_pt_ops pvi_vtd_fs_ops;

/* Entries -------------------------------------------------------------------------------------- */

/** A root or context entry: hardware reads its 128 bits as one (hwspec 2.1, 2.2). */
struct pvi_vtd_entry {
    uint64_t lo, hi;
};

/** Translation types of a context entry (hwspec 2.2). */
enum pvi_vtd_tt {
    PVI_VTD_TT_SECOND_STAGE = 0, /**< untranslated requests walk the second stage; ATS is blocked */
    PVI_VTD_TT_ATS = 1,          /**< as before, ATS allowed (ECAP.DT) */
    PVI_VTD_TT_PASS = 2          /**< untranslated requests pass (ECAP.PT); needs the most levels */
};

/** A context entry taken apart. */
struct pvi_vtd_context {
    bool present;
    bool fault_silent; /**< FPD: most faults are not recorded; honoured in absent entries too */
    uint8_t tt;        /**< enum pvi_vtd_tt */
    uint8_t levels;    /**< 3 .. 5 */
    uint16_t did;
    pvi_pa root; /**< ignored with PVI_VTD_TT_PASS */
};

/** The root entry that links a context table. */
struct pvi_vtd_entry pvi_vtd_root_encode(pvi_pa context_table);
/** @return whether a context table is linked; its address goes to *context_table. */
bool pvi_vtd_root_decode(const struct pvi_vtd_entry *e, pvi_pa *context_table);
/** An entry that is not present holds nothing but fault_silent. */
struct pvi_vtd_entry pvi_vtd_context_encode(const struct pvi_vtd_context *c);
/** Fields of an absent entry are decoded as they stand. */
void pvi_vtd_context_decode(const struct pvi_vtd_entry *e, struct pvi_vtd_context *c);

/**
 * The legacy context entry behind which a device translates, or blocks, as `to` says: what the unit
 * cannot name is refused, so no entry can name another number of levels than its table has.
 * @return 0, or -PVI_EOPNOTSUPP (levels, domain id or root that the unit cannot take).
 */
PVI_MUST_CHECK int pvi_vtd_context_of(const struct pvi_unit_caps *caps,
                                      const struct pvi_dev_entry *to, struct pvi_vtd_entry *out);

/* Capabilities --------------------------------------------------------------------------------- */

/** Things that a unit does not say of itself. */
#define PVI_VTD_QUIRK_WBUF        0x1u /**< needs write-buffer flushes although CAP.RWBF is 0 */
#define PVI_VTD_QUIRK_SMALL_PAGES 0x2u /**< must not be given leaves above 4 KiB */
/** no read-only leaf in the parent of a nested table (erratum 772415) */
#define PVI_VTD_QUIRK_PARENT_RW 0x4u

/**
 * Turns the capability registers into the core's terms.
 * @param haw_bits host address width of the DMAR table.
 * @param quirks PVI_VTD_QUIRK_*.
 * @return 0; -PVI_EINVAL: a haw_bits that no machine has; -PVI_EHW: CAP or ECAP are all ones, no
 *         unit is there; -PVI_EOPNOTSUPP: the unit lacks what the library needs, queued
 *         invalidation and a walk of 3 to 5 levels.
 */
PVI_MUST_CHECK int pvi_vtd_caps(uint64_t cap, uint64_t ecap, unsigned haw_bits, unsigned quirks,
                                struct pvi_unit_caps *out);

/** Bytes of registers that such a unit has; more than the DRHD says on some machines. */
uint64_t pvi_vtd_reg_size(uint64_t cap);

/* Scalable mode (hwspec 2.3 to 2.6) ------------------------------------------------------------ */

/** What a unit can do in scalable mode. */
struct pvi_vtd_sm_caps {
    bool second_stage;  /**< ECAP.SSTS */
    bool first_stage;   /**< ECAP.FSTS */
    bool nested;        /**< ECAP.NEST */
    bool pass;          /**< ECAP.PT */
    bool dirty;         /**< ECAP.SSADS: the second stage notes what devices write */
    bool walk_snoop;    /**< ECAP.SMPWCS: walks of tables snoop */
    bool snoop;         /**< ECAP.SC: accesses can be made to snoop */
    bool coherent;      /**< ECAP.C: reads of contexts, directories and PASID tables snoop */
    bool ats;           /**< ECAP.DT */
    bool page_requests; /**< ECAP.PRS */
    bool rid_pasid;     /**< ECAP.RPS: requests without PASID may go to another one than 0 */
    bool supervisor;    /**< ECAP.SRS */
    bool parent_rw;     /**< PVI_VTD_QUIRK_PARENT_RW */
    uint8_t pasid_bits; /**< width of the PASIDs in requests; 0: requests have none */
    uint8_t ss_levels;  /**< bit n: second-stage tables of n levels */
    uint8_t fs_levels;  /**< bit n: first-stage tables of n levels */
    uint8_t pa_bits;
    uint64_t ss_sizes; /**< bit n: second-stage leaves of 2^n bytes */
    uint64_t fs_sizes;
    uint32_t nr_dids;
};

/** @return as pvi_vtd_caps(); -PVI_EOPNOTSUPP also for a unit without scalable mode. */
PVI_MUST_CHECK int pvi_vtd_sm_caps(uint64_t cap, uint64_t ecap, unsigned haw_bits, unsigned quirks,
                                   struct pvi_vtd_sm_caps *out);

/** An entry of a PASID table: hardware may read it in pieces (hwspec 2.5, 4.3). */
struct pvi_vtd_pasid_entry {
    uint64_t w[8];
};

/** A guest's own first-stage table, as the guest describes it. */
struct pvi_vtd_guest_table {
    uint64_t root;      /**< guest-physical: the parent translates it, and all that it leads to */
    uint8_t levels;     /**< 4 or 5; it is the guest alone whom a wrong number harms */
    bool supervisor;    /**< SRE: requests with privilege are served */
    bool write_protect; /**< WPE: they obey read-only leaves */
};

/**
 * The entry for a table of the engine, second stage or first stage: the table alone says which, and
 * of how many levels. Where its leaves begin clean the entry has hardware note writes; where its
 * configuration demands snooped accesses, so does the entry.
 *
 * Ids of first-stage and pass-through entries are never those of second-stage or nested ones, and
 * all second-stage and nested entries of one id have one second-stage table (hwspec 2.5).
 * @return 0; -PVI_EINVAL (domain id); -PVI_EOPNOTSUPP (format, levels, leaf sizes, widths or
 *         properties of the table that the unit does not have, or that an entry cannot name).
 */
PVI_MUST_CHECK int pvi_vtd_pasid_table(const struct pvi_vtd_sm_caps *caps, const struct pvi_pt *pt,
                                       uint16_t did, struct pvi_vtd_pasid_entry *out);
/**
 * The entry for a guest's own table on top of a second-stage table of the engine.
 * @return as pvi_vtd_pasid_table(); -PVI_EINVAL also for a guest's root that is not aligned,
 *         -PVI_ERANGE for one beyond the parent.
 */
PVI_MUST_CHECK int pvi_vtd_pasid_nested(const struct pvi_vtd_sm_caps *caps,
                                        const struct pvi_pt *parent,
                                        const struct pvi_vtd_guest_table *guest, uint16_t did,
                                        struct pvi_vtd_pasid_entry *out);
/**
 * The present entry for what a device entry names: a second-stage table, or a guest's own before
 * it. A directory says which PASID; to->pasid and to->translate are not looked at.
 * @return 0, or -PVI_EOPNOTSUPP (domain id, levels, root or guest tables that the unit cannot
 *         take).
 */
PVI_MUST_CHECK int pvi_vtd_pasid_of(const struct pvi_vtd_sm_caps *caps,
                                    const struct pvi_dev_entry *to,
                                    struct pvi_vtd_pasid_entry *out);
/** The entry that lets requests pass. @return 0, -PVI_EINVAL (domain id), -PVI_EOPNOTSUPP. */
PVI_MUST_CHECK int pvi_vtd_pasid_pass(const struct pvi_vtd_sm_caps *caps, uint16_t did,
                                      struct pvi_vtd_pasid_entry *out);

/** A PASID directory: PASIDs 0 .. 2^bits - 1. The caller serialises all calls on one. */
struct pvi_vtd_pasid_dir {
    pvi_pa pa;
    uint8_t bits;
    bool coherent;
};

/** Pages that a directory of so many bits takes, as an order for pvi_host_pages_alloc(). */
unsigned pvi_vtd_pasid_dir_order(unsigned bits);
/**
 * Makes an empty directory of pages that no unit reads yet; they may hold anything.
 * @return 0, or -PVI_EINVAL (bits beyond 13 .. 20, pages that the unit cannot reach).
 */
PVI_MUST_CHECK int pvi_vtd_pasid_dir_init(struct pvi_host *h, const struct pvi_vtd_sm_caps *caps,
                                          struct pvi_vtd_pasid_dir *dir, pvi_pa pages,
                                          unsigned bits);
/**
 * Gives the directory a page for the table of pasid and of the 63 beside it; it may hold anything.
 * @return 0; -PVI_EEXIST (there is one), -PVI_ERANGE (pasid), -PVI_EINVAL (not a page): the page was not touched.
 */
PVI_MUST_CHECK int pvi_vtd_pasid_dir_add(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir,
                                         uint32_t pasid, pvi_pa page);
/**
 * Takes a table page out again, for teardown: no unit reads or caches the directory any more.
 * @param[in,out] at 0 at first.
 * @return whether there was one left.
 */
bool pvi_vtd_pasid_dir_take(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir, uint32_t *at,
                            pvi_pa *page);

/**
 * Makes pasid translate through e. A present entry is never rewritten, since hardware could read a
 * mixture (hwspec 4.3): it is cleared, invalidated, scrubbed, then set.
 * @return 0; -PVI_ERANGE (pasid), -PVI_ENOENT (no table yet: pvi_vtd_pasid_dir_add()), -PVI_EBUSY
 *         (present, or not scrubbed), -PVI_EINVAL (e is not a present entry): nothing changed.
 */
PVI_MUST_CHECK int pvi_vtd_pasid_set(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir,
                                     uint32_t pasid, const struct pvi_vtd_pasid_entry *e);
/**
 * Takes P away and nothing else. PASID cache, then PIOTLB or IOTLB, then device TLB have to follow
 * (hwspec 4.2), by the id and type of *was.
 * @return 0, -PVI_ERANGE, -PVI_ENOENT (not present).
 */
PVI_MUST_CHECK int pvi_vtd_pasid_clear(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir,
                                       uint32_t pasid, struct pvi_vtd_pasid_entry *was);
/**
 * Zeroes what pvi_vtd_pasid_clear() left, once the invalidations have completed.
 * @return 0, -PVI_ERANGE, -PVI_ENOENT (no table), -PVI_EBUSY (still present).
 */
PVI_MUST_CHECK int pvi_vtd_pasid_scrub(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir,
                                       uint32_t pasid);
/** Reads an entry. @return 0, -PVI_ERANGE, -PVI_ENOENT (no table, or not present). */
PVI_MUST_CHECK int pvi_vtd_pasid_get(struct pvi_host *h, const struct pvi_vtd_pasid_dir *dir,
                                     uint32_t pasid, struct pvi_vtd_pasid_entry *out);

/** How a requester uses its directory. */
struct pvi_vtd_sm_context {
    bool pasids;        /**< requests with PASID are served too */
    bool ats;           /**< device TLB */
    bool page_requests; /**< needs ats */
    uint32_t rid_pasid; /**< the one for requests without PASID */
};

/** A context entry of scalable mode. */
struct pvi_vtd_sm_entry {
    uint64_t w[4];
};

/** The root entry of a bus; NULL: no table for devices 0 to 15 (lower), 16 to 31 (upper). */
struct pvi_vtd_entry pvi_vtd_sm_root_encode(const pvi_pa *lower, const pvi_pa *upper);
/**
 * The context entry that names a directory, with the size that it has.
 * @return 0; -PVI_EOPNOTSUPP (a thing that the unit does not have), -PVI_ERANGE (c->rid_pasid is
 *         beyond the directory).
 */
PVI_MUST_CHECK int pvi_vtd_sm_context_encode(const struct pvi_vtd_sm_caps *caps,
                                             const struct pvi_vtd_pasid_dir *dir,
                                             const struct pvi_vtd_sm_context *c,
                                             struct pvi_vtd_sm_entry *out);
/**
 * As pvi_vtd_pasid_set(), in a lower or upper context table. @return 0, -PVI_EBUSY, -PVI_EINVAL.
 */
PVI_MUST_CHECK int pvi_vtd_sm_context_set(struct pvi_host *h, bool coherent, pvi_pa table,
                                          uint16_t rid, const struct pvi_vtd_sm_entry *e);
/** As pvi_vtd_pasid_clear(). @return 0, -PVI_ENOENT. */
PVI_MUST_CHECK int pvi_vtd_sm_context_clear(struct pvi_host *h, bool coherent, pvi_pa table,
                                            uint16_t rid);
/** As pvi_vtd_pasid_scrub(). @return 0, -PVI_EBUSY. */
PVI_MUST_CHECK int pvi_vtd_sm_context_scrub(struct pvi_host *h, bool coherent, pvi_pa table,
                                            uint16_t rid);

/* Invalidation descriptors, 128 bits (hwspec 4.1) ---------------------------------------------- */

/** One descriptor of the invalidation queue. */
struct pvi_vtd_desc {
    uint64_t w[2];
};

#define PVI_VTD_WAIT_STATUS 0x1u /**< writes data to pa when all earlier descriptors completed */
#define PVI_VTD_WAIT_FENCE  0x2u /**< later descriptors do not start before */

struct pvi_vtd_desc pvi_vtd_desc_context_global(void);
struct pvi_vtd_desc pvi_vtd_desc_context_domain(uint16_t did);
/** @param did the id that the cached entry holds: the old one, 0 if it was absent. */
struct pvi_vtd_desc pvi_vtd_desc_context_device(uint16_t did, uint16_t rid);
/** @param cap the CAP register: says whether reads and writes in flight can be drained. */
struct pvi_vtd_desc pvi_vtd_desc_iotlb_global(uint64_t cap);
struct pvi_vtd_desc pvi_vtd_desc_iotlb_domain(uint64_t cap, uint16_t did);
/** @param am log2 of the number of pages, at most CAP.MAMV; iova is aligned to it. */
struct pvi_vtd_desc pvi_vtd_desc_iotlb_pages(uint64_t cap, uint16_t did, uint64_t iova, unsigned am,
                                             bool leaf_only);
/** @param pa 4-byte aligned; ignored without PVI_VTD_WAIT_STATUS, as is data. */
struct pvi_vtd_desc pvi_vtd_desc_wait(unsigned flags, uint32_t data, pvi_pa pa);

/*
 * Scalable mode. Its queue has slots of 256 bits (IQA.DW): these and the descriptors above stand in
 * the lower half of a slot, the upper half is zero.
 */

struct pvi_vtd_desc pvi_vtd_desc_pasid_global(void);
/** All PASIDs of a domain id. */
struct pvi_vtd_desc pvi_vtd_desc_pasid_domain(uint16_t did);
struct pvi_vtd_desc pvi_vtd_desc_pasid_one(uint16_t did, uint32_t pasid);
/** All first-stage and pass-through translations of a PASID, tables included. */
struct pvi_vtd_desc pvi_vtd_desc_piotlb_all(uint16_t did, uint32_t pasid);
/** @param am as in pvi_vtd_desc_iotlb_pages(). */
struct pvi_vtd_desc pvi_vtd_desc_piotlb_pages(uint16_t did, uint32_t pasid, uint64_t iova,
                                              unsigned am, bool leaf_only);

/** A device with a TLB of its own. */
struct pvi_vtd_devtlb {
    uint16_t rid;
    uint16_t pf;   /**< its physical function with ECAP.DIT, else 0 */
    uint8_t depth; /**< invalidations that it takes at once; 0, or 32 and more: no limit */
};

/** @param lg2 log2 of bytes, 12 .. 63, iova aligned to it; 64: everything of the PASID. */
struct pvi_vtd_desc pvi_vtd_desc_devtlb_pasid(const struct pvi_vtd_devtlb *dev, uint32_t pasid,
                                              uint64_t iova, unsigned lg2);

/** Descriptors that one struct pvi_inv can need. */
#define PVI_VTD_INV_DESCS 3u

/**
 * Descriptors for one invalidation in legacy mode. Whatever the unit cannot do as asked is widened,
 * never narrowed: pages without CAP.PSI, beyond CAP.MAMV or not aligned become the whole domain.
 * @return how many: 0 for PVI_INV_WBUF, which is a register's business (GCMD.WBF). A context-cache
 *         descriptor comes before the PASID cache's, that before the IOTLB's, and what follows one
 *         must not start before it has completed: put a fence between.
 */
unsigned pvi_vtd_encode_inv(uint64_t cap, const struct pvi_inv *inv,
                            struct pvi_vtd_desc out[PVI_VTD_INV_DESCS]);
/** As pvi_vtd_encode_inv() in scalable mode; pages of a guest widen to all of its PASID. */
unsigned pvi_vtd_sm_encode_inv(uint64_t cap, const struct pvi_inv *inv,
                               struct pvi_vtd_desc out[PVI_VTD_INV_DESCS]);
/** Does it name entries, of the context or PASID cache, so that a fence has to follow? */
bool pvi_vtd_desc_needs_fence(const struct pvi_vtd_desc *d);

/* Faults (hwspec 5) ---------------------------------------------------------------------------- */

/**
 * Decodes a fault recording register.
 * @param lo, hi its quadwords.
 * @return false when it holds no fault; *out is untouched then.
 */
bool pvi_vtd_fault_decode(uint64_t lo, uint64_t hi, struct pvi_fault *out);
/** Text of a fault reason; a constant string, never NULL. */
const char *pvi_vtd_fault_string(uint16_t code);

/* DMAR table (hwspec 8.1) ---------------------------------------------------------------------- */

enum pvi_dmar_type {
    PVI_DMAR_DRHD = 0, /**< a unit: base, size, PVI_DMAR_INCLUDE_ALL, scopes */
    PVI_DMAR_RMRR = 1, /**< reserved memory: base, last, scopes */
    PVI_DMAR_ATSR = 2, /**< root ports that do ATS: PVI_DMAR_ALL_PORTS, scopes */
    PVI_DMAR_RHSA = 3, /**< proximity of the unit at base */
    PVI_DMAR_ANDD = 4, /**< ACPI name of device number acpi_device */
    PVI_DMAR_SATC = 5, /**< SoC-integrated address caches: PVI_DMAR_ATC_REQUIRED, scopes */
    PVI_DMAR_SIDP = 6  /**< SoC-integrated device properties: scopes */
};

/** Flags of the table. */
#define PVI_DMAR_INTR_REMAP     0x1u
#define PVI_DMAR_X2APIC_OPT_OUT 0x2u
#define PVI_DMAR_DMA_OPT_IN     0x4u
/** Flags of a structure, by type. */
#define PVI_DMAR_INCLUDE_ALL  0x1u
#define PVI_DMAR_ALL_PORTS    0x1u
#define PVI_DMAR_ATC_REQUIRED 0x1u

/** A checked DMAR table; the bytes stay where they are. */
struct pvi_dmar {
    const uint8_t *bytes;
    uint32_t length;
    uint8_t haw_bits;
    uint8_t flags;
};

/** One structure of the table; fields that its type has not are zero. */
struct pvi_dmar_item {
    uint16_t type; /**< enum pvi_dmar_type */
    uint16_t segment;
    uint8_t flags;
    uint8_t acpi_device;
    uint32_t proximity;
    uint64_t base;    /**< DRHD: registers; 0 in tables of some machines: no unit there */
    uint64_t size;    /**< DRHD: bytes of registers */
    uint64_t last;    /**< RMRR: last byte */
    const char *name; /**< ANDD: terminated, inside the table; else NULL */
    const uint8_t *scopes;
    uint16_t scopes_length;
};

enum pvi_dmar_scope_type {
    PVI_DMAR_SCOPE_ENDPOINT = 1,
    PVI_DMAR_SCOPE_BRIDGE = 2, /**< and all below it */
    PVI_DMAR_SCOPE_IOAPIC = 3,
    PVI_DMAR_SCOPE_HPET = 4,
    PVI_DMAR_SCOPE_ACPI = 5 /**< id is the acpi_device of an ANDD */
};

/** One device scope. All hops of the path but the last are bridges: follow their secondary bus. */
struct pvi_dmar_scope {
    uint8_t type; /**< enum pvi_dmar_scope_type; others exist in newer tables */
    uint8_t flags;
    uint8_t id;
    uint8_t bus;
    uint8_t hops;        /**< >= 1 */
    const uint8_t *path; /**< hops pairs of device, function */
};

/** @return 0, or -PVI_EFORMAT: signature, length or checksum. size may be larger than the table. */
PVI_MUST_CHECK int pvi_dmar_open(struct pvi_dmar *t, const void *table, size_t size);
/**
 * Steps to the next structure of a known type.
 * @param[in,out] at 0 at first.
 * @return 1 with *out, 0 at the end, or -PVI_EFORMAT. After a structure whose length is sound but
 *         whose content is not, *at has moved on and the next call goes on behind it; else every
 *         further call fails alike.
 */
PVI_MUST_CHECK int pvi_dmar_next(const struct pvi_dmar *t, uint32_t *at, struct pvi_dmar_item *out);
/** Steps through the scopes of an item, like pvi_dmar_next(); -PVI_EFORMAT is final. */
PVI_MUST_CHECK int pvi_dmar_scope_next(const struct pvi_dmar_item *item, uint16_t *at,
                                       struct pvi_dmar_scope *out);

/* Unit driver ---------------------------------------------------------------------------------- */

/** Where a unit is and what its registers do not tell. */
struct pvi_vtd_cfg {
    uint64_t reg_pa;   /**< DRHD base */
    uint64_t reg_size; /**< bytes of registers that the host maps */
    uint8_t haw_bits;  /**< of the DMAR table */
    uint8_t quirks;    /**< PVI_VTD_QUIRK_* */
    uint8_t pasid_bits; /**< scalable: width of PASIDs that can be attached, at most 14; 0: 10. A requester that comes to use each 64 of them takes a page of the host's
                             more, until the unit is disabled */
    bool scalable;     /**< PASID tables for every requester: PASIDs and nested translation. The unit needs ECAP.SMTS and SSTS */
};

/** One unit. Zeroed or static storage; pvi_vtd_unit_init() sets every field. */
struct pvi_vtd_unit {
    struct pvi_unit unit; /**< caps, host, broken */
    uint64_t reg_pa;
    uint64_t cap, ecap;
    struct pvi_did_map dids;
    pvi_pa root;   /**< root table */
    pvi_pa queue;  /**< invalidation queue, one page */
    pvi_pa status; /**< page of the words that wait descriptors write */
    pvi_env_lock lock;
    struct pvi_vtd_sm_caps sm; /**< with scalable */
    uint32_t seq;      /**< of the last wait descriptor queued */
    uint16_t tail;     /**< slot that comes next */
    uint16_t rung;     /**< tail that the unit knows of */
    uint16_t head;     /**< slots before it are known to be fetched */
    uint16_t fault_at; /**< record that comes next */
    bool fault_drain;  /**< records were pending at the last look */
    bool enabled;
    bool scalable; /**< scalable mode, else legacy mode */
};

/**
 * Reads and checks the unit's registers and fills u->unit. Writes no register, takes no page.
 * @return 0; -PVI_EINVAL, -PVI_EHW or -PVI_EOPNOTSUPP as for pvi_vtd_caps(), -PVI_EINVAL also for
 *         registers that lie beyond cfg->reg_size: map as much as pvi_vtd_reg_size() says.
 */
PVI_MUST_CHECK int pvi_vtd_unit_init(struct pvi_vtd_unit *u, struct pvi_host *h,
                                     const struct pvi_vtd_cfg *cfg);
/**
 * Brings the unit up, whatever state firmware left it in: translation on, every requester blocked,
 * every cache empty, protected memory regions off, interrupts masked (faults are polled,
 * pvi_vtd_unit_next_fault()). A unit that was broken and disabled is whole again after it. Nobody
 * else may use the unit during the call.
 * @return 0; -PVI_EBUSY (enabled already), -PVI_ENOMEM: nothing changed; -PVI_EHW: the unit did not
 *         do as told. It is switched off as far as it still obeys, and the pages that it may reach
 *         are never used again (PVI_EVENT_FLUSH_FAILED says how many).
 */
PVI_MUST_CHECK int pvi_vtd_unit_enable(struct pvi_vtd_unit *u);
/**
 * Turns translation and the queue off, then gives all pages back, scrubbed. No context of any domain
 * may be attached to the unit: domain ids are void after it. From then on DMA passes untranslated: the host has silenced the devices. Nobody else
 * may use the unit during the call.
 * @return 0, also if the unit was not enabled; -PVI_EHW as for pvi_vtd_unit_enable().
 */
PVI_MUST_CHECK int pvi_vtd_unit_disable(struct pvi_vtd_unit *u);
/**
 * For pvi_host_dev_switch(): makes rid translate through `to`, by one 128-bit store. No
 * invalidation is sent for the caller. In scalable mode a requester has two PASID directories, and
 * the one that is not in use is written before the context entry names it: the unit is made to
 * forget what it once held there, and waited for, unless the directory holds what is wanted. An
 * entry of a PASID is set only where none is present; what an absent one still holds is scrubbed
 * then, since the invalidation of its end has completed.
 * @param[out] was_absent no entry was present before.
 * @return 0; on an error no translation changed: -PVI_EOPNOTSUPP (levels, domain id, root, PASID or
 *         guest tables that the unit cannot take), -PVI_ENOMEM (no page for a context table, a
 *         directory or a PASID table), -PVI_EHW (a broken unit takes
 *         no new translation, blocking still works; or somebody else has written the entry),
 *         -PVI_ENOTINIT (not enabled).
 */
PVI_MUST_CHECK int pvi_vtd_unit_switch(struct pvi_vtd_unit *u, uint16_t rid,
                                       const struct pvi_dev_entry *to, bool *was_absent);
/**
 * For pvi_host_inv_submit(): queues invalidations in order; waits only for room. Any CPU, at any
 * time.
 * @return 0; -PVI_EHW: the unit stopped or does not answer, u->unit.broken is set; -PVI_ENOTINIT.
 */
PVI_MUST_CHECK int pvi_vtd_unit_submit(struct pvi_vtd_unit *u, const struct pvi_inv *inv,
                                       unsigned nr);
/**
 * For pvi_host_inv_wait(): returns when all that was queued before the call has completed (R8).
 * @return as for pvi_vtd_unit_submit().
 */
PVI_MUST_CHECK int pvi_vtd_unit_wait(struct pvi_vtd_unit *u);
/**
 * Takes the oldest fault out of the unit's records. When they had overflown and are drained,
 * recording starts again and PVI_EVENT_UNIT_ERROR tells that faults were lost.
 * @return 1 with *out, 0 when there is none, -PVI_EHW (the unit is gone).
 */
int pvi_vtd_unit_next_fault(struct pvi_vtd_unit *u, struct pvi_fault *out);
/** For pvi_host_did_alloc(). @return 0, -PVI_ENOSPC, -PVI_ENOTINIT. */
PVI_MUST_CHECK int pvi_vtd_unit_did_alloc(struct pvi_vtd_unit *u, uint16_t *did);
/** For pvi_host_did_free(). */
void pvi_vtd_unit_did_free(struct pvi_vtd_unit *u, uint16_t did);

#endif
