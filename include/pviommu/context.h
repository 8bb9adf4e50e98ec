/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Contexts: one table, the units it is attached to, the reserved regions it carries.
 *
 * Everything here is read through the functions; the layout is public only because domains embed it.
 */
#ifndef PVIOMMU_CONTEXT_H
#define PVIOMMU_CONTEXT_H

#include <pviommu/pgtable.h>
#include <pviommu/unit.h>

/** Reserved regions that one context can carry at the same time. */
#define PVI_MAX_CTX_REGIONS 16u

enum pvi_context_state {
    PVI_CTX_FREE = 0,
    PVI_CTX_BUILDING, /**< identity runs are being mapped; not attachable yet */
    PVI_CTX_LIVE,
    PVI_CTX_DYING,  /**< no devices; its table is being taken down */
    PVI_CTX_BROKEN, /**< a flush failed: refuses everything but being freed */
    PVI_CTX_LOST    /**< freed, but some unit was never made to forget it: its number is not used again */
};

/** One reserved region in a context, counted per device that needs it (R18). */
struct pvi_ctx_region {
    uint64_t first, last;
    uint32_t count;
    uint8_t prot;
    bool inherited; /**< was mapped 1:1 already (identity): nothing to map, nothing to remove */
};

/** Windows that one context can have at the same time. */
#define PVI_MAX_WINDOWS 8u

enum pvi_window_state {
    PVI_WINDOW_NONE = 0,
    PVI_WINDOW_OPEN, /**< may be mapped in */
    PVI_WINDOW_GOING /**< being emptied; no address is in it any more */
};

/** One window: a range of IOVA that may be mapped in, with leaves of some sizes. Changes only while somebody has the context alone. */
struct pvi_window {
    uint64_t first, last; /**< bytes, inclusive */
    uint64_t sizes;       /**< bit n: leaves of 2^n bytes */
    uint32_t state;       /**< enum pvi_window_state; written last: looked at without a lock, too */
    uint32_t generation;  /**< tells it from others that had, or will have, its number; never 0 */
    uint64_t next;        /**< going: first byte still to be emptied */
};

/** Locks that a context's gigabytes share; powers of two. */
#define PVI_CTX_STRIPES 16u

/** Lock of a context's gigabytes n, n + PVI_CTX_STRIPES, ... */
struct pvi_stripe {
    pvi_env_lock lock;
    uint64_t mapped;         /**< bytes that were mapped, less those unmapped, by who held it; modulo 2^64 */
    unsigned char apart[64]; /* CPUs in different gigabytes write different cache lines */
};

/** Faults that a context keeps for its owner. */
#define PVI_CTX_FAULTS 16u
/** Faults that come at once are kept as far as there is room; then one in so many milliseconds. */
#define PVI_FAULT_BURST 16u
#define PVI_FAULT_MS 100u

/** One fault of a device, as its owner may see it. */
struct pvi_ctx_fault {
    uint64_t iova;
    pvi_sbdf sbdf;
    uint16_t rid, code;
    bool write;
};

struct pvi_context {
    struct pvi_domain *domain;
    pvi_env_lock lock; /**< state, units, regions; with `alone` set, all of it */
    uint32_t alone;    /**< somebody has, or waits for, the context alone */
    struct pvi_stripe stripe[PVI_CTX_STRIPES];
    struct pvi_pt pt;
    struct pvi_quota quota;
    uint64_t units;                 /**< bit n: attached to unit n; cleared only after its last flush */
    uint16_t did[PVI_MAX_UNITS];    /**< domain id on unit n */
    uint32_t nr_dev[PVI_MAX_UNITS]; /**< who needs its id on unit n: devices, PASIDs, moves under way */
    uint32_t nr_devices;
    struct pvi_ctx_region region[PVI_MAX_CTX_REGIONS];
    uint32_t nr_regions; /**< in use */
    bool tx;             /**< a transaction has it: other writers come back later */
    uint32_t windowed;   /**< window[] says what may be mapped in; 0: one window over all, as after a reset */
    uint64_t plain_last; /**< all bytes up to here are in one window and in no region, and no transaction has them; 0: look closer. Read without a lock */
    struct pvi_window window[PVI_MAX_WINDOWS];
    uint32_t nr_windows_made; /**< ever */
    uint32_t state;      /**< enum pvi_context_state; read without a lock */
    uint16_t id;
    bool identity;
    bool synced;         /**< the default context, following the host's p2m: regions may be there already */
    uint8_t shared_levels;
    uint32_t nested;     /**< devices translate through a guest's own tables first, then through the parent's; its own pt stays empty. Read without a lock */
    struct pvi_context *parent;    /**< of a nested context, with its lock held */
    struct pvi_guest_tables guest; /**< of a nested context */
    uint32_t nr_nested;  /**< contexts nested on this one; with its lock held */
    uint32_t nr_pasids;  /**< PASIDs of devices that translate through it */
    int hw_error;        /**< -PVI_EHW: a unit failed while FREE_CONTEXT took them away; its answer, in whichever call that ends */
    pvi_pa shared_root;  /**< not 0: devices translate through this table, the host's own, instead of pt */
    uint64_t progress; /**< of building (next frame) or of teardown (next byte) */
    uint32_t generation; /**< how often the object has become a context: a resumed operation knows its own */
    uint64_t mapped;   /**< as in a stripe, by who had the context alone */
    uint64_t flushes;  /**< that had something of this context for some unit */
    struct pvi_ctx_fault fault[PVI_CTX_FAULTS];
    uint32_t nr_kept, first_kept; /**< of fault[], the oldest first */
    uint32_t nr_faults, nr_lost;  /**< ever; and not kept */
    uint32_t tokens;   /**< faults that may be kept now */
    uint64_t token_ms; /**< when the last token came */
    int error;         /**< why building failed, while it is taken down again */
};

/** Figures of a context. */
struct pvi_context_usage {
    uint32_t pages_used, pages_limit;
    uint32_t devices;
    uint32_t faults;  /**< ever, modulo 2^32 */
    uint64_t mapped;  /**< frames, reserved regions among them */
    uint64_t flushes; /**< that had something of it for some unit */
    uint8_t state;
};

struct pvi_domain;

/**
 * Reads a context's figures; has it alone for a moment (PVI_LOCK_CONTEXT). @return 0 or -PVI_ENOCTX.
 */
PVI_MUST_CHECK int pvi_context_usage(struct pvi_domain *d, uint16_t id, struct pvi_context_usage *out);

#endif
