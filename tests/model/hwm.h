/* SPDX-License-Identifier: MIT */
/*
 * Hardware model of one IOMMU (VT-d or AMD-Vi), the judge of the test suite.
 *
 * Written from the hardware reference only (hwspec 1 to 7); shares no code, header or constant
 * with the library. The model is hostile inside the limits of the manuals: its caches never
 * forget on their own, each invalidation drops exactly what it must, descriptors may complete
 * late, and a misuse of the programming interface is noted as a violation.
 *
 * A unit has no lock: calls on one unit must be serialised by the caller. Different units are
 * independent.
 */
#ifndef HWM_H
#define HWM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hwm;

/* How a unit sees memory. The last three members may be NULL. */
struct hwm_mem {
    void *opaque;
    uint64_t (*read64)(void *opaque, uint64_t pa);
    uint32_t (*read32)(void *opaque, uint64_t pa);
    void (*write64)(void *opaque, uint64_t pa, uint64_t val);
    void (*write32)(void *opaque, uint64_t pa, uint32_t val);
    bool (*valid)(void *opaque, uint64_t pa, uint64_t len); /* false: the access fails on the bus */
    /* atomic update used for accessed/dirty bits; NULL: read64 and write64 */
    bool (*cmpxchg64)(void *opaque, uint64_t pa, uint64_t old, uint64_t val);
    /* RWBF: stores that wait in the chipset become visible now */
    void (*write_buffer_flush)(void *opaque);
    void (*msi)(void *opaque, uint64_t addr, uint32_t data);
};

/* ---- units --------------------------------------------------------------------------------- */

struct hwm_vtd_cfg {
    uint32_t ver;      /* VER: major 7:4, minor 3:0; from 6 on no register-based invalidation */
    unsigned did_bits; /* 4, 6, .. 16 */
    unsigned sagaw;    /* CAP.SAGAW bitmap: 2 = 3-level, 4 = 4-level, 8 = 5-level */
    unsigned mgaw;     /* input width in bits */
    unsigned haw;      /* host address width in bits */
    unsigned mamv;
    unsigned nr_frcd;  /* number of fault records, 1 to 256 */
    bool sz_2m, sz_1g; /* second-stage large pages */
    bool cm, rwbf, psi, zlr, drain, plmr, phmr, esrtps;
    bool coherent, qi, dt, pt, sc;
    bool smts, ssts, fsts, nest, ssads, smpwcs, rps, adms; /* scalable mode */
    bool fs1gp, fs5lp;
    unsigned pss;      /* ECAP.PSS: PASID width minus 1 */
    unsigned iro, fro; /* register offsets divided by 16 */
};

struct hwm_amd_cfg {
    unsigned levels; /* host levels 4, 5 or 6 (EFR.HATS) */
    unsigned pa_bits;
    bool np_cache, iotlb_sup, ia_sup, pref_sup, ppr_sup, nx_sup, xt_sup;
    bool gt_sup, gio_sup, ha_sup, hd_sup, ht_ignore;
    bool gcr3_trp;         /* EFR2.GCR3TRPModeSup */
    unsigned guest_levels; /* v2 levels 4 or 5 (EFR.GATS) */
    unsigned glx_sup;      /* GCR3 table levels minus 1 */
    unsigned pas_max;      /* EFR.PASMax: PASID width minus 1 */
    unsigned seg_sup;      /* EFR.DevTblSegSup */
    bool err_512g;         /* a 512 GiB leaf of default size must not be used */
    bool err_732;          /* the event log tail is seen before the entry */
};

/* 48-bit, 4-level, 2M+1G, coherent, QI, register path, 16-bit DID */
void hwm_vtd_cfg_default(struct hwm_vtd_cfg *cfg);
/* 6 levels, 52-bit, IASup */
void hwm_amd_cfg_default(struct hwm_amd_cfg *cfg);

struct hwm *hwm_vtd_new(const struct hwm_vtd_cfg *cfg, const struct hwm_mem *mem);
struct hwm *hwm_amd_new(const struct hwm_amd_cfg *cfg, const struct hwm_mem *mem);
void hwm_free(struct hwm *h);
bool hwm_is_amd(const struct hwm *h);

/* Power-on state: registers, caches, rings; the log, the violations and the watch list stay. */
void hwm_reset(struct hwm *h);

/*
 * size is 4 or 8, off naturally aligned; a 64-bit register may be written as two halves, low half
 * first
 */
uint64_t hwm_mmio_read(struct hwm *h, uint64_t off, unsigned size);
void hwm_mmio_write(struct hwm *h, uint64_t off, unsigned size, uint64_t val);
uint64_t hwm_mmio_size(const struct hwm *h);

/* AMD: dword of the PCI capability block (offset 0 to 0x10 in it), with NpCache and IotlbSup. */
uint32_t hwm_amd_pci_cap(const struct hwm *h, unsigned off);

/*
 * What CAP and ECAP read as from now on (bogus units); the behaviour stays that of the
 * configuration.
 */
void hwm_vtd_override_caps(struct hwm *h, uint64_t cap, uint64_t ecap);

/* True when walks of the unit snoop CPU caches (ECAP.C; AMD Control.Coherent). */
bool hwm_walks_snoop(const struct hwm *h);

/* ---- time and trouble ---------------------------------------------------------------------- */

/*
 * Eager (the default): a command is executed before the register write that made it visible
 * returns. Lazy: commands are fetched at once (so the head runs ahead of completion) but executed
 * one by one by hwm_step(), or one per `polls` polls (0: never by polling). A poll is hwm_poll()
 * or a read of a status register. Commands by register (GCMD bits, CCMD, IOTLB) are delayed
 * alike.
 */
void hwm_set_lazy(struct hwm *h, bool lazy, unsigned polls);
/* Executes up to n pending commands, returns how many were executed. */
size_t hwm_step(struct hwm *h, size_t n);
/* Commands fetched or started, not executed. */
size_t hwm_pending(const struct hwm *h);
/* To be called wherever software spins on memory. */
void hwm_poll(struct hwm *h);
/* A stalled unit executes nothing, not even for hwm_step(). */
void hwm_stall(struct hwm *h, bool stall);

/*
 * Commands between two waits may be executed in any order (seed 0: in order). Works in lazy and
 * eager mode.
 */
void hwm_set_reorder(struct hwm *h, uint32_t seed);

enum hwm_inject {
    HWM_INJECT_NONE,
    HWM_INJECT_ITE,           /* VT-d: the next device-TLB invalidation times out */
    HWM_INJECT_IQE,           /* VT-d: the next descriptor fetch fails */
    HWM_INJECT_ILLEGAL,       /* AMD: the next command is taken as illegal */
    HWM_INJECT_CMD_HW,        /* AMD: the next command fetch fails on the bus */
    HWM_INJECT_IOTLB_TIMEOUT, /* AMD: the next INVALIDATE_IOTLB_PAGES times out */
};
/* Once, after `skip` candidates passed unharmed. */
void hwm_inject(struct hwm *h, enum hwm_inject what, unsigned skip);

/* ---- translation --------------------------------------------------------------------------- */

enum hwm_result {
    HWM_OK,      /* translated */
    HWM_PASS,    /* passed untranslated: unit off, AMD V=0, exclusion range */
    HWM_FAULT,   /* blocked */
    HWM_SPECIAL, /* interrupt or HyperTransport address: never translated */
};

enum hwm_at { HWM_AT_UNTRANSLATED, HWM_AT_TRANSLATION, HWM_AT_TRANSLATED };

struct hwm_req {
    uint64_t iova;
    uint32_t pasid;
    uint16_t rid;
    bool write, has_pasid, priv, zero_length;
    enum hwm_at at;
};

struct hwm_fault {
    unsigned reason; /* VT-d: reason code (hwspec 5.3); AMD: event code (7.3) */
    unsigned flags;  /* AMD: bits 59:48 of the event */
    unsigned level;  /* level of the entry at fault, 0 outside the page tables */
    uint64_t addr;   /* IOVA, or table address for AMD hardware errors */
    uint64_t entry;  /* raw entry at fault */
    bool recorded;   /* seen by software: fault record written or event logged */
    const char *why;
};

struct hwm_xlat {
    enum hwm_result result;
    uint64_t pa;
    unsigned lg2; /* size of the leaf */
    bool r, w;
    bool cached;    /* answered by the IOTLB or by the device TLB */
    bool ambiguous; /* several cached entries answer, and not alike: an invalidation is missing */
    uint16_t did;
    struct hwm_fault fault;
};

enum hwm_result hwm_dma(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                        struct hwm_fault *f);
enum hwm_result hwm_dma_req(struct hwm *h, const struct hwm_req *req, struct hwm_xlat *x);

/* A fresh walk without caches and without recording: what memory says now. */
enum hwm_result hwm_walk(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                         struct hwm_fault *f);
enum hwm_result hwm_walk_req(struct hwm *h, const struct hwm_req *req, struct hwm_xlat *x);

/* What a request would get now, caches included, with nothing recorded and nothing cached. */
enum hwm_result hwm_peek(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                         struct hwm_fault *f);

/*
 * Device with ATS: looks in its own TLB, else asks the unit for a translation and keeps it. *pa
 * is where the device's access lands. HWM_FAULT when the translation is refused.
 */
enum hwm_result hwm_dma_ats(struct hwm *h, uint16_t rid, uint64_t iova, bool write, uint64_t *pa,
                            struct hwm_fault *f);

/*
 * Fills all caches for the address now, silently: first as a request that uses what is cached,
 * then by a walk from the root. Returns what the walk from the root met.
 */
enum hwm_result hwm_speculate(struct hwm *h, uint16_t rid, uint64_t iova, struct hwm_fault *f);

/* Addresses that the unit speculates on before and after each command that it executes. */
void hwm_watch(struct hwm *h, uint16_t rid, uint64_t iova);
/*
 * The same; in addition the device asks for the translation whenever its own TLB does not have
 * it.
 */
void hwm_watch_ats(struct hwm *h, uint16_t rid, uint64_t iova);
void hwm_watch_clear(struct hwm *h);
void hwm_watch_run(struct hwm *h);

/*
 * true: the IOTLB keeps 4 KiB pieces of larger leaves, so that an invalidation of one piece
 * leaves the others.
 */
void hwm_set_fracture(struct hwm *h, bool on);

/* What the caches still hold: a bit mask, 0 when nothing does. */
#define HWM_HOLD_TABLE  0x1u /* a paging-structure entry points to the page */
#define HWM_HOLD_LEAF   0x2u /* an IOTLB translation leads into the page */
#define HWM_HOLD_ROOT   0x4u /* a context entry, PASID entry or DTE names the page as root */
#define HWM_HOLD_DEVTLB 0x8u /* a device TLB leads into the page */
unsigned hwm_caches_page(const struct hwm *h, uint64_t pa);
unsigned hwm_caches_range(const struct hwm *h, uint64_t pa, uint64_t len);

/* Every address whose cached translation leads into the page, once for each domain id. */
void hwm_cached_leaves(const struct hwm *h, uint64_t pa,
                       void (*each)(void *ctx, uint16_t did, uint64_t iova, unsigned lg2, bool w),
                       void *ctx);

/*
 * Number of valid entries: [0] context or DTE, [1] PASID, [2] IOTLB, [3] paging structures, [4]
 * device TLBs.
 */
void hwm_cache_counts(const struct hwm *h, size_t counts[5]);
/* True when the IOTLB (or a cached not-present entry) answers for the address. */
bool hwm_cached_iova(const struct hwm *h, uint16_t did, uint64_t iova);

/* ---- what the unit was told ---------------------------------------------------------------- */

enum hwm_kind {
    HWM_CTX_GLOBAL,   /* VT-d context cache, all */
    HWM_CTX_DOMAIN,   /* VT-d context cache, one DID */
    HWM_CTX_DEVICE,   /* VT-d context cache, one SID; AMD INVALIDATE_DEVTAB_ENTRY */
    HWM_PASID_GLOBAL, /* VT-d PASID cache */
    HWM_PASID_DOMAIN,
    HWM_PASID_ONE,
    HWM_TLB_GLOBAL, /* VT-d IOTLB, all */
    HWM_TLB_DOMAIN, /* all pages of a domain; AMD: INVALIDATE_IOMMU_PAGES of all pages */
    HWM_TLB_PAGE,   /* pages of a domain: iova, lg2, leaf_only */
    HWM_PTLB_PASID, /* all pages of a PASID (PIOTLB; AMD with GN) */
    HWM_PTLB_PAGE,  /* pages of a PASID */
    HWM_DEVTLB,     /* device TLB: rid, iova, lg2 (64: all) */
    HWM_IRT,        /* interrupt entry cache or interrupt table */
    HWM_ALL,        /* AMD INVALIDATE_IOMMU_ALL */
    HWM_WAIT,       /* wait or COMPLETION_WAIT executed */
    HWM_WBF,        /* explicit write-buffer flush */
    HWM_SET_ROOT,   /* SRTP executed; iova = register value */
    HWM_OTHER,      /* prefetch, page responses */
    HWM_KINDS
};

struct hwm_told {
    enum hwm_kind kind;
    uint16_t did, rid;
    uint32_t pasid;
    uint64_t iova;
    uint8_t lg2;
    bool leaf_only; /* IH=1, or PDE=0 */
    bool by_register;
    bool has_pasid;
    uint64_t raw[2];
    uint64_t seq; /* counts executed commands, never reset */
};

/*
 * The first HWM_LOG_MAX commands executed since the last hwm_log_reset(); the counters count on
 * beyond that.
 */
#define HWM_LOG_MAX 65536u
const struct hwm_told *hwm_log(const struct hwm *h, size_t *nr);
uint64_t hwm_log_count(const struct hwm *h, enum hwm_kind kind);
void hwm_log_reset(struct hwm *h);
const char *hwm_kind_name(enum hwm_kind kind);

/* Misuse of the programming interface by software: NULL when there was none, else the first one. */
const char *hwm_violation(const struct hwm *h);
size_t hwm_violations(const struct hwm *h);
const char *hwm_violation_at(const struct hwm *h, size_t i); /* NULL beyond the first 64 */
void hwm_violation_clear(struct hwm *h);

enum hwm_msi { HWM_MSI_FAULT, HWM_MSI_QUEUE, HWM_MSI_EVENT, HWM_MSI_WAIT, HWM_MSIS };
uint64_t hwm_msi_count(const struct hwm *h, enum hwm_msi which);

/* ---- page tables without a unit ------------------------------------------------------------ */

enum hwm_fmt_kind { HWM_FMT_VTDSS, HWM_FMT_X86, HWM_FMT_AMDV1 };

struct hwm_fmt {
    enum hwm_fmt_kind kind;
    unsigned pa_bits;
    bool sz_2m, sz_1g; /* VTDSS, X86 */
    bool snp;          /* VTDSS: bit 11 of a leaf is SNP, else reserved */
    bool nx;           /* X86: bit 63 is legal */
    bool no_512g;      /* AMDV1: a default-size leaf at level 4 is an error */
};

void hwm_fmt_default(struct hwm_fmt *fmt, enum hwm_fmt_kind kind); /* 52 bits, everything allowed */

enum hwm_status {
    HWM_S_LEAF,   /* translated */
    HWM_S_ABSENT, /* an entry is not present */
    HWM_S_RSVD,   /* reserved bit, or size not supported */
    HWM_S_LEVEL,  /* AMD: next level does not decrease, leaf at level 6, bad size code */
    HWM_S_SKIP,   /* AMD: skipped levels, address bits not zero */
    HWM_S_READ,   /* the table page is not memory */
    HWM_S_RANGE,  /* address beyond the levels */
};

struct hwm_leaf {
    enum hwm_status status;
    bool present, bad; /* present: status LEAF; bad: neither LEAF nor ABSENT */
    uint64_t pa;       /* where the asked address leads; visitors: where the first byte leads */
    uint64_t iova;     /* first address of the leaf, or of the slot at fault */
    unsigned lg2;      /* size of the leaf, or of the slot at fault */
    unsigned level;    /* level of the entry, 1 = last */
    bool r, w, user;   /* AND over all levels */
    bool accessed, dirty;
    uint64_t entry, entry_pa;
    const char *why;
};

/* Each returns out->status. The named ones use hwm_fmt_default(). */
enum hwm_status hwm_walk_table(const struct hwm_mem *mem, const struct hwm_fmt *fmt, uint64_t root,
                               unsigned levels, uint64_t iova, struct hwm_leaf *out);
enum hwm_status hwm_walk_vtdss(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                               uint64_t iova, struct hwm_leaf *out);
enum hwm_status hwm_walk_x86(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                             uint64_t iova, struct hwm_leaf *out);
enum hwm_status hwm_walk_amdv1(const struct hwm_mem *mem, uint64_t root, unsigned mode,
                               uint64_t iova, struct hwm_leaf *out);

struct hwm_table {
    uint64_t pa;
    uint64_t iova; /* first address that the table translates */
    unsigned level;
    unsigned nr_tables; /* entries that link a table */
    unsigned nr_leaves; /* slots that hold a leaf (each slot of an AMD group counts) */
    unsigned nr_stray;  /* entries that are not present but not zero either */
    bool root;
};

struct hwm_visitor {
    void *ctx;
    void (*leaf)(void *ctx,
                 const struct hwm_leaf *leaf); /* may be NULL; an AMD group is one leaf */
    void (*table)(void *ctx,
                  const struct hwm_table
                      *table); /* may be NULL; called after the table's entries were read */
    uint64_t max_tables;       /* 0: one million */
};

struct hwm_visit {
    uint64_t tables, leaves, bad;
    uint64_t pages; /* 4 KiB pages mapped */
    uint64_t stray;
    struct hwm_leaf first_bad; /* valid when bad != 0 */
};

/*
 * Whole table in ascending order of addresses. Bad: reserved bits, shared or looping tables, too
 * many tables, replicas of an AMD group that differ (A and D bits aside), bits of the address
 * below the leaf's size. Returns bad == 0.
 */
bool hwm_visit_table(const struct hwm_mem *mem, const struct hwm_fmt *fmt, uint64_t root,
                     unsigned levels, const struct hwm_visitor *v, struct hwm_visit *out);
bool hwm_visit_vtdss(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                     const struct hwm_visitor *v, struct hwm_visit *out);
bool hwm_visit_x86(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                   const struct hwm_visitor *v, struct hwm_visit *out);
bool hwm_visit_amdv1(const struct hwm_mem *mem, uint64_t root, unsigned mode,
                     const struct hwm_visitor *v, struct hwm_visit *out);

#endif
