/* SPDX-License-Identifier: MIT */
/**
 * @file
 * AMD-Vi: device table entries, commands, events, the IVRS table, and a driver of one unit.
 *
 * The encoders and decoders are pure functions for hosts that drive the unit themselves. A host
 * without a driver links src/amdvi/unit.c as well and forwards its pvi_host_* calls of the group
 * "Units" to the pvi_amdvi_unit_* functions. Layouts: AMD 48882, as gathered in hwspec 6 to 8.
 */
#ifndef PVIOMMU_AMDVI_H
#define PVIOMMU_AMDVI_H

#include <pviommu/did.h>
#include <pviommu/host.h>
#include <pviommu/pgtable.h>
#include <pviommu/unit.h>
#include <pviommu_env.h>

/** v1 tables, modes 1 to 6 (hwspec 6.9). */
extern const struct pvi_pt_ops pvi_amdvi_v1_ops;
/** v2 (guest) tables, 4 or 5 levels, the lower half of the addresses. */
extern const struct pvi_pt_ops pvi_amdvi_v2_ops;

/* Device table entries (hwspec 6.7) ------------------------------------------------------------ */

/** Fields of a device table entry that are plain numbers: name, qword, lowest bit, width. */
#define PVI_AMDVI_DTE_FIELDS(X)                                                                    \
    X(v, 0, 0, 1)           /* bits 127:1 are valid; clear: DMA passes untranslated */             \
    X(tv, 0, 1, 1)          /* the page-table fields are valid */                                  \
    X(had, 0, 7, 2)         /* accessed/dirty update */                                            \
    X(mode, 0, 9, 3)        /* levels of the v1 table, 0: none */                                  \
    X(ppr, 0, 52, 1)        /* peripheral page requests allowed */                                 \
    X(gprp, 0, 53, 1)       /* guest page response with PASID */                                   \
    X(giov, 0, 54, 1)       /* v2 table for requests without PASID too */                          \
    X(gv, 0, 55, 1)         /* guest (v2) translation valid */                                     \
    X(glx, 0, 56, 2)        /* levels of the GCR3 table, minus 1 */                                \
    X(ir, 0, 61, 1)         /* reads permitted */                                                  \
    X(iw, 0, 62, 1)         /* writes permitted */                                                 \
    X(did, 1, 0, 16)        /* DomainID */                                                         \
    X(ats, 1, 32, 1)        /* the device has a remote IOTLB */                                    \
    X(se, 1, 33, 1)         /* suppress IO_PAGE_FAULT after the first */                           \
    X(sa, 1, 34, 1)         /* suppress all IO_PAGE_FAULT */                                       \
    X(ioctl, 1, 35, 2)      /* port I/O space */                                                   \
    X(cache, 1, 37, 1)      /* IOTLB caching hint */                                               \
    X(sd, 1, 38, 1)         /* snoop disable */                                                    \
    X(ex, 1, 39, 1)         /* the exclusion range applies */                                      \
    X(sysmgt, 1, 40, 2)     /* system management messages */                                       \
    X(iv, 2, 0, 1)          /* bits 255:129 are valid */                                           \
    X(intr_len, 2, 1, 4)    /* log2 of interrupt table entries */                                  \
    X(ig, 2, 5, 1)          /* ignore unmapped interrupts */                                       \
    X(guest_mode, 2, 54, 2) /* v2 table: 0 four levels, 1 five */                                  \
    X(init_pass, 2, 56, 1)                                                                         \
    X(eint_pass, 2, 57, 1)                                                                         \
    X(nmi_pass, 2, 58, 1)                                                                          \
    X(intctl, 2, 60, 2)                                                                            \
    X(lint0_pass, 2, 62, 1)                                                                        \
    X(lint1_pass, 2, 63, 1)

/** A device table entry, field by field. All zero is not safe: it lets every DMA pass. */
struct pvi_amdvi_dte {
#define PVI_AMDVI_DTE_MEMBER(name, word, low, width) uint16_t name;
    PVI_AMDVI_DTE_FIELDS(PVI_AMDVI_DTE_MEMBER)
#undef PVI_AMDVI_DTE_MEMBER
    pvi_pa root;      /**< v1 root table, 4 KiB aligned */
    pvi_pa gcr3;      /**< GCR3 table, 4 KiB aligned; guest-physical where mode is not 0 */
    pvi_pa intr_root; /**< interrupt table, 128-byte aligned */
};

void pvi_amdvi_dte_encode(const struct pvi_amdvi_dte *dte, uint64_t w[4]);
void pvi_amdvi_dte_decode(const uint64_t w[4], struct pvi_amdvi_dte *dte);

/**
 * Low half of an entry that translates as `to` says, for one 128-bit store. V and TV are always
 * set, so the entry never lets a DMA pass untranslated. Fields of the host in w1 (port I/O, system
 * management, fault suppression) are taken over from the old entry; remote IOTLB, guest translation
 * and exclusion range are off: to->guest is for pvi_amdvi_dte_nested().
 */
void pvi_amdvi_dte_switch(const uint64_t old[2], const struct pvi_dev_entry *to, uint64_t w[2]);

/* Tables and the entries that name them (hwspec 6.4, 6.7, 6.8, 6.10) ---------------------------- */

/** What a unit's translation can do. */
struct pvi_amdvi_features {
    bool guest;           /**< EFR.GTSup: v2 tables */
    bool giov;            /**< EFR.GIoSup: v2 tables for requests without PASID too */
    bool nested;          /**< guests' own GCR3 tables before v1 tables: with these two and
                               EFR2.GCR3TRPModeSup, and only while Control has GTEn and GCR3TRPMode */
    bool accessed;        /**< EFR.HASup: v1 tables note accesses */
    bool dirty;           /**< EFR.HDSup: v1 tables note what devices write */
    uint8_t host_levels;  /**< bit n: v1 tables of n levels; 0: no v1 translation */
    uint8_t guest_levels; /**< bit n: v2 tables of n levels */
    uint8_t gcr3_levels;  /**< most levels of a GCR3 table, 1 .. 3 */
    uint8_t pasid_bits;   /**< width of PASIDs */
    uint8_t pa_bits;
};

/**
 * @param efr2 extended feature register 2; 0 where it does not exist.
 * @param pa_bits host-physical width; 0: 52.
 */
void pvi_amdvi_features(uint64_t efr, uint64_t efr2, unsigned pa_bits,
                        struct pvi_amdvi_features *out);

/**
 * The entry for a v1 table of the engine: mode from its levels, and hardware notes writes where its
 * leaves begin clean.
 * @return 0; -PVI_EINVAL (domain id 0); -PVI_EOPNOTSUPP (format, levels, widths or properties of
 *         the table that the unit does not have).
 */
PVI_MUST_CHECK int pvi_amdvi_dte_host(const struct pvi_amdvi_features *f, const struct pvi_pt *pt,
                                      uint16_t did, struct pvi_amdvi_dte *out);

/**
 * A GCR3 table: v2 tables by PASID. All of them have the same number of levels, since the device
 * table entry says it once for all. The caller serialises the calls on one; what is set or cleared
 * becomes true once pvi_amdvi_cmd_guest_all() has completed.
 */
struct pvi_amdvi_gcr3 {
    pvi_pa root;
    uint8_t depth;  /**< levels of the GCR3 table itself, 1 .. 3: 2^9, 2^18, 2^20 PASIDs */
    uint8_t levels; /**< of the v2 tables that it may name */
    uint8_t pa_bits;
};

/**
 * Makes an empty GCR3 table of a page that no unit reads yet; it may hold anything.
 * @return 0; -PVI_EOPNOTSUPP (depth or levels that the unit does not have), -PVI_EINVAL (the page).
 */
PVI_MUST_CHECK int pvi_amdvi_gcr3_init(struct pvi_host *h, const struct pvi_amdvi_features *f,
                                       struct pvi_amdvi_gcr3 *g, pvi_pa page, unsigned depth,
                                       unsigned levels);
/**
 * Links a page, which may hold anything, where the way to pasid ends.
 * @return 0; -PVI_EEXIST (no page is missing), -PVI_ERANGE (pasid), -PVI_EINVAL (not a page): the page was not touched.
 */
PVI_MUST_CHECK int pvi_amdvi_gcr3_add(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g,
                                      uint32_t pasid, pvi_pa page);
/**
 * Takes a page other than the root out again, for teardown: no unit reads or caches the table any
 * more.
 * @return whether there was one left.
 */
bool pvi_amdvi_gcr3_take(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g, pvi_pa *page);
/**
 * Makes pasid translate through a v2 table of the engine, by one store.
 * @return 0; -PVI_ERANGE (pasid), -PVI_ENOENT (a page is missing: pvi_amdvi_gcr3_add(), then
 *         again), -PVI_EOPNOTSUPP (format, levels or properties of the table that this GCR3 table
 *         cannot name): nothing changed.
 */
PVI_MUST_CHECK int pvi_amdvi_gcr3_set(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g,
                                      uint32_t pasid, const struct pvi_pt *pt);
/** Blocks pasid. @return 0, -PVI_ERANGE, -PVI_ENOENT (nothing is set). */
PVI_MUST_CHECK int pvi_amdvi_gcr3_clear(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g,
                                        uint32_t pasid);
/** @return 0 with the root of the table of pasid, -PVI_ERANGE, -PVI_ENOENT. */
PVI_MUST_CHECK int pvi_amdvi_gcr3_get(struct pvi_host *h, const struct pvi_amdvi_gcr3 *g,
                                      uint32_t pasid, pvi_pa *root);

/**
 * The entry for a GCR3 table: its depth, the levels of its tables. Requests without PASID use PASID
 * 0; without that feature of the unit they would reach all memory, so a unit without it is refused.
 * Cached translations of a PASID are told apart by domain id: each GCR3 table has one of its own.
 * @return 0; -PVI_EINVAL (domain id 0); -PVI_EOPNOTSUPP.
 */
PVI_MUST_CHECK int pvi_amdvi_dte_guest(const struct pvi_amdvi_features *f,
                                       const struct pvi_amdvi_gcr3 *g, uint16_t did,
                                       struct pvi_amdvi_dte *out);
/**
 * The entry for a guest's own GCR3 table before a v1 table (`to` with to->guest.levels): the address
 * of the GCR3 table, what its entries and the v2 tables name and what those translate to are all
 * guest-physical and go through the v1 table. The id is for this GCR3 table alone, as above.
 * @return 0; -PVI_EINVAL (domain id 0); -PVI_EOPNOTSUPP (levels, depth, roots, flags or a PASID that
 *         the unit cannot take).
 */
PVI_MUST_CHECK int pvi_amdvi_dte_nested(const struct pvi_amdvi_features *f,
                                        const struct pvi_dev_entry *to, struct pvi_amdvi_dte *out);
/**
 * Puts an entry into a table that hardware may be reading: the half that decides last, by one store
 * of 128 bits. What the host keeps in it (w1 as for pvi_amdvi_dte_switch(), interrupts) stays.
 * @param entry the 32 bytes of the entry, aligned to them.
 * @return 0; -PVI_EINVAL (an entry that lets DMA pass untranslated), -PVI_EBUSY (the old one names
 *         v2 tables of another number of levels: block it with pvi_amdvi_dte_switch(), invalidate,
 *         then put), -PVI_EHW (somebody else has written the entry): no request translates
 *         otherwise than before.
 */
PVI_MUST_CHECK int pvi_amdvi_dte_put(struct pvi_host *h, uint64_t *entry,
                                     const struct pvi_amdvi_dte *to);

/* Commands (hwspec 7.2) ------------------------------------------------------------------------ */

struct pvi_amdvi_cmd {
    uint64_t w[2];
};

/** COMPLETION_WAIT: stores data at `store` (8-byte aligned) once all commands before it are done.
 */
struct pvi_amdvi_cmd pvi_amdvi_cmd_wait(pvi_pa store, uint64_t data);
/**
 * COMPLETION_WAIT that later commands do not overtake (F); writes 0 at `store`, which nobody need
 * read.
 */
struct pvi_amdvi_cmd pvi_amdvi_cmd_fence(pvi_pa store);
/** INVALIDATE_DEVTAB_ENTRY. */
struct pvi_amdvi_cmd pvi_amdvi_cmd_devtab(uint16_t rid);
/** INVALIDATE_INTERRUPT_TABLE. */
struct pvi_amdvi_cmd pvi_amdvi_cmd_intr(uint16_t rid);
/** INVALIDATE_IOMMU_PAGES of 2^lg2 bytes (12 .. 51) at iova, aligned to it; PDE = !leaf_only. */
struct pvi_amdvi_cmd pvi_amdvi_cmd_pages(uint16_t did, uint64_t iova, unsigned lg2, bool leaf_only);
/** INVALIDATE_IOMMU_PAGES of everything of a domain, tables included. */
struct pvi_amdvi_cmd pvi_amdvi_cmd_domain(uint16_t did);
/** INVALIDATE_IOMMU_PAGES of v2 translations of a PASID, as pvi_amdvi_cmd_pages(). */
struct pvi_amdvi_cmd pvi_amdvi_cmd_guest_pages(uint16_t did, uint32_t pasid, uint64_t iova,
                                               unsigned lg2, bool leaf_only);
/** INVALIDATE_IOMMU_PAGES of everything of a PASID, its GCR3 entry included. */
struct pvi_amdvi_cmd pvi_amdvi_cmd_guest_all(uint16_t did, uint32_t pasid);
/** INVALIDATE_IOMMU_ALL; only with EFR.IASup. */
struct pvi_amdvi_cmd pvi_amdvi_cmd_all(void);

/**
 * Commands that an invalidation takes. DEVICE is the device table entry alone: for a requester that
 * moved, a DOMAIN of the id that the entry held has to follow, because pages are tagged with the
 * domain id.
 * @param efr extended feature register: without IASup, ALL is one command per DeviceID (entry and
 *            interrupt table) and one per DomainID.
 */
uint32_t pvi_amdvi_inv_nr(const struct pvi_inv *inv, uint64_t efr);
/** Command i of an invalidation, 0 <= i < pvi_amdvi_inv_nr(). */
struct pvi_amdvi_cmd pvi_amdvi_inv_cmd(const struct pvi_inv *inv, uint64_t efr, uint32_t i);

/**
 * Must a fence follow command i? After device table entries: a page invalidation that overtook them
 * could be undone by a DMA that still goes through the old entry, under the old DomainID (hwspec
 * 6.8).
 */
bool pvi_amdvi_inv_fence(const struct pvi_inv *inv, uint64_t efr, uint32_t i);

/* Events (hwspec 7.3) -------------------------------------------------------------------------- */

/** Decodes an event log entry; an entry of zero is no event. */
void pvi_amdvi_event_decode(const uint64_t w[2], struct pvi_fault *f);
/** Name of an event code (bits 63:60 of the first qword), never NULL. */
const char *pvi_amdvi_event_name(unsigned code);

/* IVRS table (hwspec 8.2) ---------------------------------------------------------------------- */

/** A table in memory as firmware gives it; it stays with the caller and is only read. */
struct pvi_ivrs {
    const uint8_t *data;
    uint32_t len;
    uint32_t info; /**< IVinfo */
    uint8_t revision;
    bool efr_sup;     /**< IVinfo.EFRSup: the feature copies of types 11h and 40h hold */
    bool ht_ats_resv; /**< IVinfo.HtAtsResv */
    uint8_t pa_bits;  /**< IVinfo.PASize */
    uint8_t va_bits;  /**< IVinfo.VASize */
};

/** IVHD: one remapping unit. */
struct pvi_ivrs_ivhd {
    uint8_t type;  /**< 10h, 11h, 40h */
    uint8_t flags; /**< 0 HtTunEn, 1 PassPW, 2 ResPassPW, 3 Isoc, 4 IotlbSup */
    bool efr_copy; /**< efr and efr2 hold */
    bool hat_dis;  /**< attribute HATDis: v1 tables must not be used (one source) */
    uint16_t rid;  /**< of the unit's own PCI function */
    uint16_t cap_offset;
    uint16_t segment;
    uint16_t info;
    uint32_t feature; /**< feature information (10h) or attributes (11h, 40h) */
    uint64_t reg_pa;
    uint64_t efr;
    uint64_t efr2;
    const uint8_t *entries; /**< device entries, for pvi_ivrs_dev_next() */
    uint32_t entries_len;
};

/** IVMD: memory that devices must reach (unity) or that is excluded from translation. */
struct pvi_ivrs_ivmd {
    uint8_t type;  /**< 20h all, 21h one DeviceID, 22h a range, 23h those of one unit */
    uint8_t flags; /**< as read */
    bool unity;
    bool exclusion;
    uint8_t prot;   /**< PVI_READ, PVI_WRITE */
    uint16_t first; /**< first requester id */
    uint16_t last;  /**< last one, inclusive; 23h: equal to first, the unit's id */
    uint16_t segment;
    uint64_t base; /**< as firmware gives it: who maps it rounds outward to whole pages */
    uint64_t len;  /**< base + len does not wrap; may be 0 */
};

/** One block. */
struct pvi_ivrs_block {
    bool is_ivhd;
    struct pvi_ivrs_ivhd ivhd; /**< when is_ivhd */
    struct pvi_ivrs_ivmd ivmd; /**< otherwise */
};

enum pvi_ivrs_dev_kind {
    PVI_IVRS_DEV_RANGE,   /**< requester ids first .. last (all, one or a range) */
    PVI_IVRS_DEV_ALIAS,   /**< the same, but their traffic shows as requester id `used` */
    PVI_IVRS_DEV_SPECIAL, /**< IOAPIC or HPET; its traffic shows as `used` */
    PVI_IVRS_DEV_HID      /**< ACPI device `first` */
};

/** Who a device entry of an IVHD speaks about. */
struct pvi_ivrs_dev {
    uint8_t kind; /**< enum pvi_ivrs_dev_kind */
    uint8_t data; /**< data setting: pass bits, SysMgt */
    uint16_t first;
    uint16_t last;
    uint16_t used;    /**< ALIAS, SPECIAL: id on the bus; else equal to first */
    uint32_t ext;     /**< extended entries: bit 31 ATS disabled; else 0 */
    uint8_t handle;   /**< SPECIAL: IOAPIC id or HPET number */
    uint8_t variety;  /**< SPECIAL: 1 IOAPIC, 2 HPET */
    uint8_t uid_type; /**< HID: 0 none, 1 integer, 2 string */
    uint8_t uid_len;
    const uint8_t *hid; /**< HID: 8 bytes hardware id, 8 bytes compatible id */
    const uint8_t *uid; /**< HID: uid_len bytes */
};

/**
 * Checks a table whole: signature, length, checksum, each block, each device entry.
 * @param size bytes that may be read; the table may be shorter.
 * @return 0, or -PVI_EFORMAT: distrust the whole table and leave translation off, or report the
 * firmware.
 */
PVI_MUST_CHECK int pvi_ivrs_open(struct pvi_ivrs *t, const void *data, size_t size);
/**
 * Next IVHD or IVMD; blocks of unknown type are stepped over.
 * @param[in,out] pos 0 to begin with.
 * @return 1 with *out, 0 at the end, -PVI_EFORMAT (only when the memory changed after
 * pvi_ivrs_open()).
 */
PVI_MUST_CHECK int pvi_ivrs_next(const struct pvi_ivrs *t, uint32_t *pos,
                                 struct pvi_ivrs_block *out);
/** Next device entry of an IVHD, with range start and range end joined; same protocol. */
PVI_MUST_CHECK int pvi_ivrs_dev_next(const struct pvi_ivrs_ivhd *ivhd, uint32_t *pos,
                                     struct pvi_ivrs_dev *out);
/**
 * Several IVHDs may describe one unit, each newer type more fully: is this one of the highest type
 * for it? Use only those.
 */
bool pvi_ivrs_preferred(const struct pvi_ivrs *t, const struct pvi_ivrs_ivhd *ivhd);

/* One unit ------------------------------------------------------------------------------------- */

/** What firmware and PCI configuration space tell about a unit. */
struct pvi_amdvi_cfg {
    uint64_t reg_pa;     /**< register window, 16 KiB */
    uint64_t efr;        /**< feature copy of the IVHD, with efr_copy; it wins over the register */
    uint8_t ivhd_flags;  /**< IVHD flags 3:0: HtTunEn, PassPW, ResPassPW, Isoc */
    uint8_t pa_bits;     /**< host-physical width; 0: 52 */
    uint8_t iova_bits;   /**< limit of IOVAs beside that of the levels; 0: none */
    uint8_t levels_mask; /**< bit n: offer tables of n levels; 0: three up to what the unit has */
    bool np_cache;       /**< PCI capability: not-present entries are cached */
    bool efr_sup;        /**< PCI capability: the feature register exists */
    bool efr_copy;
    bool hat_dis; /**< IVHD: v1 tables must not be used */
    /** Guests' own v2 tables before v1 ones. The unit needs EFR.GTSup, GIoSup and EFR2.GCR3TRPModeSup. */
    bool guest;
};

/** Configuration from an IVHD and the first dword of the PCI capability at ivhd->cap_offset. */
void pvi_amdvi_cfg_from_ivhd(struct pvi_amdvi_cfg *cfg, const struct pvi_ivrs *t,
                             const struct pvi_ivrs_ivhd *ivhd, uint32_t cap_header);

/**
 * What a unit can do, for v1 tables. The unit must be run with Control.Coherent set.
 * @param efr extended feature register, or the IVHD's copy of it; 0 where neither exists. @param efr2 its second one; 0 where that does not exist.
 * @param cfg of it pa_bits, iova_bits, levels_mask, np_cache and hat_dis.
 * @return 0; -PVI_EOPNOTSUPP, *out unchanged (no v1 translation; no depth in common with cfg->levels_mask).
 */
PVI_MUST_CHECK int pvi_amdvi_caps(uint64_t efr, uint64_t efr2, const struct pvi_amdvi_cfg *cfg,
                                  struct pvi_unit_caps *out);

/** A unit that the library drives. Members are private but for `unit`. */
struct pvi_amdvi_unit {
    struct pvi_unit unit;
    struct pvi_amdvi_cfg cfg;
    uint64_t efr;
    struct pvi_amdvi_features features;
    pvi_env_lock lock; /**< PVI_LOCK_UNIT: ring, entries, ids, log */
    struct pvi_did_map dids;
    pvi_pa devtab;    /**< 2 MiB, 65536 entries */
    pvi_pa ring;      /**< 256 commands */
    pvi_pa log;       /**< 256 events */
    pvi_pa semaphore; /**< COMPLETION_WAIT stores its sequence number here */
    uint64_t seq;     /**< of the newest COMPLETION_WAIT queued */
    uint32_t tail;    /**< bytes: where the next command goes */
    uint32_t rung;    /**< bytes: the tail that the unit knows of */
    uint32_t head;    /**< bytes: how far the unit had fetched when last looked */
    uint32_t log_at;  /**< bytes: the event that comes next */
    bool wait_newest; /**< the newest command queued is a COMPLETION_WAIT */
    bool enabled;
};

/**
 * Reads what the unit can do; changes nothing on it. The caller owns the memory of u.
 * @return 0; -PVI_EINVAL (cfg->reg_pa not aligned to a page); -PVI_EOPNOTSUPP (registers that read
 * as all ones: no unit there; no v1 translation; no depth in common with cfg->levels_mask).
 */
PVI_MUST_CHECK int pvi_amdvi_unit_init(struct pvi_amdvi_unit *u, struct pvi_host *h,
                                       const struct pvi_amdvi_cfg *cfg);
/**
 * Takes the unit over, whatever firmware left running, and switches translation on with every
 * requester blocked. Faults go to the event log, which is polled: no interrupt is set up.
 *
 * The unit is off for a moment, and DMA passes untranslated while it is: devices that must not
 * reach memory have bus mastering off. Nobody else may use the unit during the call.
 * @return 0; -PVI_EBUSY (enabled already), -PVI_ENOMEM: nothing changed; -PVI_EHW: the unit did not
 *         follow, u->unit.broken is set. It is off if it still obeyed, else the pages that it may
 *         still use are never given back (PVI_EVENT_FLUSH_FAILED).
 */
PVI_MUST_CHECK int pvi_amdvi_unit_enable(struct pvi_amdvi_unit *u);
/**
 * Blocks every requester, waits until no cache holds anything else, then stops the rings and
 * switches translation off. No context may be attached to the unit any more, and nobody else may
 * use it during the call; domain ids are void after it.
 *
 * From the last step on every DMA passes untranslated: hardware offers no state that is off and
 * blocks. The host stops bus mastering first, or leaves the unit enabled for ever.
 * @return 0, also if the unit was not enabled; -PVI_EHW: the unit does not stop. It fails closed:
 *         every entry blocks, translation stays on, and the pages of the unit stay with it
 *         (PVI_EVENT_FLUSH_FAILED).
 */
PVI_MUST_CHECK int pvi_amdvi_unit_disable(struct pvi_amdvi_unit *u);

/**
 * Makes requester id rid translate through `to`, or blocks it, by one 128-bit store into its device
 * table entry; returns before any invalidation. See pvi_host_dev_switch().
 *
 * A guest's v2 tables cannot be followed by ones of another number of levels so: the requester is
 * blocked in between, until the unit has dropped the entry.
 * @param[out] was_absent always false: no entry of an AMD unit is ever absent.
 * @return 0; on an error nothing changed: -PVI_EOPNOTSUPP (levels, domain id, roots, flags or a PASID
 *         that the unit cannot take), -PVI_EHW (a broken unit takes no new translation, blocking
 *         still works; or somebody else writes to the entry: if that foils even the way back from a
 *         blocked one, it stays blocked and u->unit.broken is set), -PVI_ENOTINIT.
 */
PVI_MUST_CHECK int pvi_amdvi_unit_switch(struct pvi_amdvi_unit *u, uint16_t rid,
                                         const struct pvi_dev_entry *to, bool *was_absent);
/**
 * For pvi_host_inv_submit(): queues invalidations, in order; waits only for room in the ring. The
 * unit is told of them at the next wait, or when the ring is full. Any CPU, at any time.
 * @return 0; -PVI_EHW: the unit stopped or does not answer, u->unit.broken is set; -PVI_ENOTINIT.
 */
PVI_MUST_CHECK int pvi_amdvi_unit_submit(struct pvi_amdvi_unit *u, const struct pvi_inv *inv,
                                         unsigned nr);
/**
 * For pvi_host_inv_wait(): returns when all that was queued before the call has completed (R8). Any
 * CPU, at any time.
 * @return as for pvi_amdvi_unit_submit().
 */
PVI_MUST_CHECK int pvi_amdvi_unit_wait(struct pvi_amdvi_unit *u);
/**
 * Takes the oldest event out of the log. When the log had overflown and is drained, it is started
 * again and PVI_EVENT_UNIT_ERROR tells that events were lost. Works on a broken unit as well.
 * @return 1 with *f; 0 when there is none; -PVI_EHW: the unit is gone, or it announced an event and
 *         never wrote it (the next call goes on behind it); -PVI_ENOTINIT.
 */
PVI_MUST_CHECK int pvi_amdvi_unit_next_fault(struct pvi_amdvi_unit *u, struct pvi_fault *f);
/** For pvi_host_did_alloc(). @return 0, -PVI_ENOSPC, -PVI_ENOTINIT. */
PVI_MUST_CHECK int pvi_amdvi_unit_did_alloc(struct pvi_amdvi_unit *u, uint16_t *did);
/** For pvi_host_did_free(). */
void pvi_amdvi_unit_did_free(struct pvi_amdvi_unit *u, uint16_t did);

#endif
