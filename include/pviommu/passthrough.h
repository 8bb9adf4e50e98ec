/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Passthrough modes: what the default context of a domain translates, and the host's hooks that keep it so.
 *
 * - `disabled`: there is no context, and no device can be added.
 * - `sync_pt`: the default context follows the host's own translation of the domain, its p2m, through the hooks below. Of a PV
 *   domain the host adds every frame that the domain may write (writable type), at the device frame that is its machine frame
 *   number; of an HVM domain every frame of RAM that is the domain's own (not foreign, not granted), at its guest frame number.
 * - `share_pt`: devices translate through the host's table itself; HVM only, and only where all units can walk it as it is.
 *
 * Which frames are added is the host's choice alone; the library maps what it is told and owes nothing for it: the host keeps
 * each frame as long as it is in its p2m, and uses it for something else only after the removal has come back with 0.
 *
 * Locking. A hook works with what its caller brings (struct pvi_sync), so several CPUs may be in hooks of one domain at once, each
 * with one of its own. The host may hold locks of its own over hooks and over a whole bracket, its p2m lock among them, but for
 * those that it takes itself in: its env header, pvi_host_inv_submit(), pvi_host_inv_wait(), pvi_host_poll(), pvi_host_event()
 * and the register functions. A hook calls no other function of the host; above all it never asks for frames or pages, nor whether to
 * get out. It holds no lock of the library while it waits for a unit. No hook is called from an interrupt or from one of these functions.
 * Hooks for the same device frames do not overlap: a host whose lock covers a bracket has that for nothing; one without such a
 * lock makes each hook a bracket of its own.
 *
 * Time. There is no checkpoint in a hook. At worst it stores PVI_SYNC_FRAMES leaves, in a bracket (where it may have to map additions that
 * waited) or at a bracket's end as many again, and flushes. A host that wants shorter ones passes fewer frames: up to 512, by
 * themselves, are stores to two tables at most. Each of the library's locks is held for one slice (512 entries) at a time.
 */
#ifndef PVIOMMU_PASSTHROUGH_H
#define PVIOMMU_PASSTHROUGH_H

#include <pviommu/gather.h>

struct pvi_domain;

/** Modes, as asked for and as in force. */
enum pvi_passthrough {
    PVI_PASSTHROUGH_NONE = 0, /**< no mode: the default context is what pvi_domain_cfg.default_identity says */
    PVI_PASSTHROUGH_DEFAULT,  /**< only asked for: disabled without devices, else sync_pt (PV) or share_pt (HVM) */
    PVI_PASSTHROUGH_DISABLED,
    PVI_PASSTHROUGH_SYNC_PT,
    PVI_PASSTHROUGH_SHARE_PT
};

/** Why the host's table is not shared. */
enum pvi_share_obstacle {
    PVI_SHARE_POSSIBLE = 0,
    PVI_SHARE_NO_TABLE,  /**< the host describes none, or its root is no page that every unit can name */
    PVI_SHARE_UNIT,      /**< a unit walks no table of a processor: every AMD-Vi one */
    PVI_SHARE_FORMAT,    /**< a unit walks another format */
    PVI_SHARE_LEVELS,    /**< a unit cannot begin at a root of so many levels */
    PVI_SHARE_SIZES,     /**< the table may have leaves of a size that a unit lacks */
    PVI_SHARE_COHERENCY  /**< a unit does not snoop, and the host does not write its entries back */
};

/** The host's own table of an HVM domain, for share_pt. */
struct pvi_share {
    const struct pvi_pt_ops *format; /**< of a unit's second stage; NULL: there is no table to share */
    pvi_pa root;
    uint64_t page_sizes; /**< bit n: there may be leaves of 2^n bytes */
    uint8_t levels;      /**< the root's included */
    bool written_back;   /**< the host writes back each entry before it calls pvi_share_flush(), or before a child is linked */
    bool opaque;         /**< root is only a name: the table is never looked at, and the host answers for reserved regions in it */
};

/** Part of struct pvi_domain_cfg. All zero: PVI_PASSTHROUGH_NONE. */
struct pvi_passthrough_cfg {
    uint8_t mode;     /**< what is asked for: enum pvi_passthrough */
    bool pv;          /**< a PV domain */
    bool assigned;    /**< devices are in the domain's configuration; only for PVI_PASSTHROUGH_DEFAULT */
    uint32_t reserve; /**< pages that only removals and lost rights may draw on, beside default_pages; 0: PVI_SYNC_RESERVE */
    struct pvi_share share;
};

/** Pages kept back for removals, unless the host says otherwise: a removal takes two for each of its ends at most. */
#define PVI_SYNC_RESERVE 16u
/** Most frames of one hook: 1 GiB. */
#define PVI_SYNC_FRAMES ((uint64_t)1 << 18)

/** Mode of a domain, as read back. */
struct pvi_passthrough_info {
    uint8_t asked;     /**< enum pvi_passthrough, as in the configuration */
    uint8_t in_force;  /**< enum pvi_passthrough, never PVI_PASSTHROUGH_DEFAULT */
    uint8_t obstacle;  /**< enum pvi_share_obstacle: why sync_pt is in force where share_pt was wanted; else 0 */
    uint32_t reserve;  /**< pages that are to be kept back for removals */
    uint32_t reserved; /**< those of them that are there: fewer once removals had to draw on them, until tables come back or
                            the host grows pvi_domain.default_pool */
};

/** Frames that an error is about; if there are several ranges, from the first frame to the last. */
struct pvi_sync_left {
    pvi_dfn dfn;
    uint64_t nr; /**< 0: none */
};

/** What a caller of hooks brings: one for each CPU that may be in them at the same time. More than 2 KiB. */
struct pvi_sync {
    struct pvi_sync_left missing; /**< after an error: frames added, by this call or earlier in the bracket, that are not mapped */
    struct pvi_sync_left kept;    /**< after an error: frames that devices may still reach as before; the host keeps them */
    /**
     * Frames added since pvi_sync_begin() (outside of brackets: ever) that lie in windows (MSI, HyperTransport) or in reserved
     * regions: stepped over.
     */
    uint64_t stepped;
    /* the library's own */
    struct pvi_domain *domain;
    struct pvi_gather gather;
    struct {
        uint64_t dfn, pa, nr;
        uint8_t prot;
    } run;                /* additions that continue each other and are in no table yet */
    uint64_t first, last; /* bytes that were changed since the last flush that is known to be complete */
    bool open;            /* between begin and end */
};

/**
 * The mode that an option's text names: "disabled", "sync_pt", "sync-pt", "share_pt", "share-pt"; all of s, which need not end in 0.
 * @return 0 with *out, or -PVI_EINVAL.
 */
PVI_MUST_CHECK int pvi_passthrough_parse(const char *s, size_t len, enum pvi_passthrough *out);

/**
 * The mode that will be in force. pvi_domain_init() uses it; a toolstack may ask before it makes a domain.
 * @param iommu there is a unit.
 * @param share all units can walk the domain's own table.
 * @return 0 with *in_force; -PVI_EINVAL (no such mode), -PVI_EOPNOTSUPP (share_pt for PV; a mode that translates where no unit is).
 */
PVI_MUST_CHECK int pvi_passthrough_choose(const struct pvi_passthrough_cfg *cfg, bool iommu, bool share,
                                          enum pvi_passthrough *in_force);

/** What was asked for and what is in force. */
void pvi_passthrough_query(struct pvi_domain *d, struct pvi_passthrough_info *out);

/** Makes an object for hooks of domain d, which pvi_domain_init() has set up. Nothing is to be undone at its end. */
void pvi_sync_init(struct pvi_sync *s, struct pvi_domain *d);

/**
 * Begins a bracket: until pvi_sync_end() additions wait for their neighbours, so that large leaves come about, and one flush serves
 * all that is removed. What is removed, or loses rights, in a bracket is out of devices' reach only when pvi_sync_end() says so.
 * Brackets do not nest.
 */
void pvi_sync_begin(struct pvi_sync *s);

/**
 * Ends a bracket: what waits is mapped, everything is flushed. Also needed after an error of a hook in the bracket.
 * @return 0; what pvi_sync_add() may answer for additions that waited; -PVI_EHW: a unit failed, and kept names all that the bracket
 *         has touched: the host keeps every frame that it has removed there, for ever. On any other error the removals of the
 *         bracket are complete, but for what they themselves have reported.
 */
PVI_MUST_CHECK int pvi_sync_end(struct pvi_sync *s);

/**
 * The host's p2m has got nr frames of RAM from pa on at dfn, where nothing was. A frame that takes another's place is a removal
 * and an addition in one bracket. Inside a bracket frames that continue each other (in address, frame and rights, upwards or
 * downwards, within a naturally aligned GiB) wait together; an error but those that change nothing is then about earlier
 * frames, which missing names, and the frames of this call are not taken either.
 * Windows, and reserved regions of devices in the default context, are stepped over and counted: what lies in a region is added again
 * after the device is gone.
 * @param prot PVI_READ, PVI_WRITE.
 * @return 0; -PVI_ELENGTH (0, above PVI_SYNC_FRAMES, or across a GiB's border), -PVI_EFLAGS (rights), -PVI_EALIGN (pa), -PVI_EWRAP,
 *         -PVI_ERANGE (beyond what the table or its entries reach), -PVI_EOPNOTSUPP (the format has no such rights), -PVI_EDEFAULT
 *         (no mode): nothing changed.
 *         -PVI_EEXIST (something is mapped where missing begins), -PVI_ENOMEM (the pool, less what is kept back for removals),
 *         -PVI_EDYING: missing is not mapped, what lies before it is. -PVI_EHW: as pvi_sync_end(), also outside of a bracket.
 */
PVI_MUST_CHECK int pvi_sync_add(struct pvi_sync *s, pvi_dfn dfn, pvi_pa pa, uint64_t nr, unsigned prot);

/**
 * The frames at [dfn, dfn + nr) leave the p2m. Frames that are not mapped are stepped over. The pages that cutting a large leaf takes
 * come from the pool or from what it keeps back.
 * @return 0: no device reaches them any more (in a bracket: after its end). -PVI_ELENGTH, -PVI_EWRAP, -PVI_EDEFAULT: nothing changed.
 *         -PVI_ERESERVED: all but the frames in reserved regions of devices are removed; those lie within kept, still translate, and are
 *         removed once more after pvi_device_remove(). -PVI_ENOMEM: a large leaf cannot be cut, even out of the reserve: kept is mapped as
 *         before, what lies before it is removed. -PVI_EHW: kept is kept for ever. Where this call had to map additions first that
 *         it overlaps, what pvi_sync_add() may answer for them: missing names them; nothing of the removal is left undone unless kept
 *         says so.
 */
PVI_MUST_CHECK int pvi_sync_remove(struct pvi_sync *s, pvi_dfn dfn, uint64_t nr);

/**
 * The frames at [dfn, dfn + nr) have other rights. Frames that are not mapped are stepped over.
 * @param prot not 0: that is a removal.
 * @return as pvi_sync_remove(), where "removed" reads "has the new rights"; -PVI_EFLAGS (rights), -PVI_EOPNOTSUPP (the format has no
 *         such rights: nothing changed).
 */
PVI_MUST_CHECK int pvi_sync_protect(struct pvi_sync *s, pvi_dfn dfn, uint64_t nr, unsigned prot);

/**
 * share_pt: the host has changed its table in [dfn, dfn + nr) and, where it must, written the entries back. All units forget what they
 * have of it; tables and frames that the change displaced may be used again once this, or in a bracket its end, came back with 0.
 * In share_pt pvi_sync_add(), _remove() and _protect() do no more than this, so that one set of hooks serves both modes:
 * then they are called after the table has changed.
 * @param nr frames, 0 (with dfn 0): everything.
 * @param tables entries that point to tables have changed, too.
 * @return 0; -PVI_EWRAP, -PVI_EDEFAULT (the host's table is not in force): nothing done. -PVI_EHW: as pvi_sync_end(): nothing that the
 *         change displaced is used again.
 */
PVI_MUST_CHECK int pvi_share_flush(struct pvi_sync *s, pvi_dfn dfn, uint64_t nr, bool tables);

/**
 * Goes from share_pt to sync_pt, with an empty table that the host then fills by pvi_sync_add(): only while no device or PASID is in the
 * default context, or in one that is nested on it (move or remove them first), so that none ever misses a translation. No hook is under way.
 * @return 0; -PVI_EDEFAULT (share_pt is not in force), -PVI_EBUSY (devices), -PVI_EPREEMPTED (another call moves devices: call again),
 *         -PVI_EDYING: nothing changed.
 */
PVI_MUST_CHECK int pvi_share_stop(struct pvi_domain *d);

#endif
