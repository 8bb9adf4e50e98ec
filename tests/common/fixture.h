/* SPDX-License-Identifier: MIT */
/*
 * A machine with one guest: host, units, a domain with devices, batches of operations, and the oracle that says what
 * each operation must answer and what the tables must translate afterwards.
 *
 * A unit is either without hardware (counts what it is told) or the hardware model behind the library's own driver; then
 * the model, with caches that never forget on their own, is the judge: after each batch devices access the pages
 * that were touched lately, and what they reach must be what the oracle says.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <pviommu/amdvi.h>
#include <pviommu/batch.h>
#include <pviommu/vtd.h>
#include <pviommu_posix.h>

#include "check.h"
#include "guest.h"
#include "hwm.h"
#include "oracle.h"

#define FX_UNITS 3u
#define FX_DEVICES ORC_DEVICES
#define FX_OPS 64u
#define FX_RECENT 32u
#define FX_DOMID 5u
#define FX_MSI_FIRST 0xfee00000ull
#define FX_MSI_LAST 0xfeefffffull
#define FX_HT_FIRST 0xfd00000000ull
#define FX_HT_LAST 0xffffffffffull

enum fx_kind {
    FX_NULL, /* no hardware, format of the configuration */
    FX_VTD,
    FX_AMD
};

struct fx_cfg {
    enum fx_kind kind;
    const struct pvi_pt_ops *format; /* FX_NULL; NULL: VT-d second stage */
    /* Walker of that format; NULL: the hardware model's. */
    bool (*visit)(const struct hwm_mem *mem, uint64_t root, unsigned levels, const struct hwm_visitor *v,
                  struct hwm_visit *out);
    unsigned units;                  /* 0: 1 */
    unsigned levels;                 /* 0: 4 */
    uint8_t iova_bits;               /* of the domain; 0: its default, 48 */
    uint64_t page_sizes;             /* of the domain; 0: all */
    bool incoherent, np_cache, write_buffer;
    bool no_pages;                   /* no page-selective invalidation */
    bool trim, default_identity;
    bool no_init;                    /* leave the domain as it is after its creation */
    uint32_t contexts, pages;        /* of the init; 0: 8 and 2000 */
    uint32_t context_pages;
    unsigned devices;                /* 0: 2; device i is on unit i % units; more by fx_device() */
    uint8_t guest_levels, guest_depth, guest_flags, pasid_bits; /* FX_NULL: as in struct pvi_unit_caps */
    bool no_snoop;                   /* FX_NULL: units that take no-snoop requests as they come */
    bool parent_rw;                  /* FX_NULL: as there */
    bool nested;                     /* of the domain */
    uint32_t max_pasids;             /* of the domain */
    bool scalable;                   /* FX_VTD: units in scalable mode, with nested translation */
};

struct fx_unit {
    struct pvi_unit *unit;
    struct pvi_posix_null null;
    struct pvi_vtd_unit vtd;
    struct pvi_amdvi_unit amd;
    struct hwm *model;
    struct pvi_posix_view view;
    uint64_t regs;
};

struct fx {
    struct fx_cfg cfg;
    struct pvi_host *host;
    struct pvi_hdom *hdom;
    struct pvi_system sys;
    struct fx_unit unit[FX_UNITS];
    unsigned nr_units;
    struct pvi_domain dom;
    struct pvi_device dev[FX_DEVICES];
    unsigned nr_devs;
    struct orc orc;
    struct pvi_batch batch;
    struct pvi_op op[FX_OPS], sent[FX_OPS]; /* as answered, as sent */
    unsigned nr_ops;
    unsigned preempted;                     /* how often the last batch was */
    unsigned tolerate;                      /* ORC_TOLERATE_* */
    uint64_t recent[FX_RECENT];             /* device frames touched lately */
    unsigned at_recent;
    unsigned check_every, batches;          /* fx_judge() looks at all tables after each so many batches; 0: after each */
    uint32_t held;                          /* pages of the pool that the test has promised to itself */
};

/* Sets everything up; the oracle knows. */
void fx_up(struct fx *f, const struct fx_cfg *cfg);
/* Takes everything down through the library; all must be back. */
void fx_down(struct fx *f);
/* As fx_down(), when the oracle has lost track of devices and contexts. `lost`: hardware failed; what it cost stays. */
void fx_end(struct fx *f, bool lost);
/* The domain's part of it. */
void fx_domain_end(struct fx *f, bool lost);
/* Tables are well-formed and all pages in use are in them, whatever they translate. */
void fx_check_loose(struct fx *f);
/* Frees everything without asking the library. */
void fx_drop(struct fx *f);
/* Calls fn with each kind of unit and its variants, one after the other; each call makes its own machine. */
void fx_each(void (*fn)(struct fx *f, const struct fx_cfg *cfg));
/* The parts of fx_up(): host and units; the domain with the configuration's devices. */
void fx_machine(struct fx *f, const struct fx_cfg *cfg);
void fx_domain(struct fx *f, const struct pvi_domain_cfg *dc);
/* What fx_up() passes to fx_domain(). */
struct pvi_domain_cfg fx_domain_cfg(struct fx *f);

/* Describes device i: requester id 0x100 + 8 * i, on unit `unit`. Not added to the domain. */
struct pvi_device *fx_device(struct fx *f, unsigned i, unsigned unit);
/* pvi_device_add() and pvi_device_remove(), known to the oracle. */
int fx_add(struct fx *f, unsigned i);
int fx_remove(struct fx *f, unsigned i);

/* A batch: fx_begin(), any of the next, fx_run(). Each gives the operation for further changes. */
void fx_begin(struct fx *f);
struct pvi_op *fx_op(struct fx *f, unsigned code, unsigned ctx);
struct pvi_op *fx_map(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t gfn, uint64_t nr, unsigned prot);
struct pvi_op *fx_unmap(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr);
struct pvi_op *fx_rights(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr, unsigned prot);
struct pvi_op *fx_lookup(struct fx *f, unsigned ctx, uint64_t dfn);
struct pvi_op *fx_flush(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr);
struct pvi_op *fx_alloc(struct fx *f, unsigned flags);
struct pvi_op *fx_free(struct fx *f, unsigned ctx, unsigned flags);
/* Windows; shift and sizes may be 0. */
struct pvi_op *fx_window(struct fx *f, unsigned ctx, uint64_t dfn, uint64_t nr, unsigned shift, uint64_t sizes);
struct pvi_op *fx_window_op(struct fx *f, unsigned code, unsigned ctx, unsigned index);
struct pvi_op *fx_reattach(struct fx *f, unsigned ctx, unsigned dev);
/* A nested context of the lowest levels and, where there is one, least depth that there are, and its flush: of one PASID or, with flags, of all. */
struct pvi_op *fx_nested(struct fx *f, unsigned parent, uint64_t root);
struct pvi_op *fx_flush_nested(struct fx *f, unsigned ctx, uint32_t pasid, uint64_t first, uint64_t nr);
struct pvi_op *fx_attach_pasid(struct fx *f, unsigned ctx, unsigned dev, uint32_t pasid, unsigned flags);
struct pvi_op *fx_detach_pasid(struct fx *f, unsigned dev, uint32_t pasid);

/* pvi_submit() until it is done, without any check. */
int fx_submit(struct fx *f);
/* fx_submit(), then each answer, all tables, all counts and, with a model, what devices reach are checked. */
void fx_run(struct fx *f);
/* The second half of fx_run(): answers against the oracle, then fx_check(). */
void fx_judge(struct fx *f);
/* One operation that must have this status; the others of the batch too. */
void fx_expect(struct fx *f, int status);
/* Everything against the oracle. */
void fx_check(struct fx *f);
/* Device accesses to the pages touched lately (models only). */
void fx_dma(struct fx *f);
/* Makes dfn one of them. */
void fx_touch(struct fx *f, uint64_t dfn);

/* A context with device dev attached; returns its number. */
unsigned fx_context(struct fx *f, unsigned dev);
/* Walker for the tables of the domain. */
bool fx_visit(struct fx *f, uint64_t root, const struct hwm_visitor *v, struct hwm_visit *out);
uint64_t fx_root(struct fx *f, unsigned ctx);
/* What a unit without hardware has of a PASID; NULL: blocked. */
const struct pvi_dev_entry *fx_pasid_entry(struct fx *f, unsigned unit, uint16_t rid, uint32_t pasid);
/* Faults that the units have recorded, taken out. */
unsigned fx_faults(struct fx *f);

/* Counters of one unit, whatever it is: invalidations by kind since fx_told_reset(), and waits. */
struct fx_told {
    uint64_t pages, domain, device, all, wait, wbuf, guest, pasid; /* the last two: units without hardware */
};
struct fx_told fx_told(struct fx *f, unsigned unit);
void fx_told_reset(struct fx *f);

#endif
