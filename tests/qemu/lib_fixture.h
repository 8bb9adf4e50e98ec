/* SPDX-License-Identifier: MIT */
/*
 * The library on a unit of QEMU: a host over QEMU's guest RAM, the unit found through the firmware
 * table and brought up by the library's own driver, one domain, devices that do DMA. Whatever a
 * test maps goes through pvi_submit().
 *
 * A check that fails is counted and reported, and the test goes on: the same checks serve the tests
 * and the mutants, which want to see them fail.
 */
#ifndef QEMU_LIB_FIXTURE_H
#define QEMU_LIB_FIXTURE_H

#include <pviommu/amdvi.h>
#include <pviommu/batch.h>
#include <pviommu/vtd.h>
#include <pviommu_posix.h>

#include "e1000.h"
#include "edu.h"
#include "lib_tap.h"
#include "qtest.h"

#define LIB_PAGE UINT64_C(4096)
#define LIB_MIB  (UINT64_C(1) << 20)
#define LIB_GIB  (UINT64_C(1) << 30)

/*
 * Guest frames. None but those of LIB_GFN_SAME have the number of the host frame behind them, so
 * that the two cannot be taken for each other.
 */
#define LIB_GFN_SAME   UINT64_C(0x10000) /* 256 MiB, frame by frame at the same host address */
#define LIB_NR_SAME    UINT64_C(0x10000)
#define LIB_GFN_SMALL  UINT64_C(0x300000) /* single frames in permuted order */
#define LIB_NR_SMALL   UINT64_C(4096)
#define LIB_GFN_MEDIUM UINT64_C(0x400000) /* blocks of 2 MiB in permuted order */
#define LIB_NR_MEDIUM  UINT64_C(64 * 512)
#define LIB_GFN_RO     UINT64_C(0x500000) /* may be mapped for reading only */
#define LIB_NR_RO      UINT64_C(16)
#define LIB_GFN_OWN    UINT64_C(0x600000) /* for the fixture: bounce pages, rings */
#define LIB_NR_OWN     UINT64_C(256)
#define LIB_GFN_BIG    UINT64_C(0x1000000) /* 1 GiB in one piece */
#define LIB_NR_BIG     UINT64_C(0x40000)
#define LIB_GFN_NONE   UINT64_C(0x2000000) /* no frame from here on */

/* Device frames that the fixture uses in every context; tests keep away from this 2 MiB. */
#define LIB_OWN_IOVA     UINT64_C(0x7F00000000)
#define LIB_OWN_SIZE     (2 * LIB_MIB)
#define LIB_BOUNCE_IOVA  LIB_OWN_IOVA
#define LIB_TX_IOVA(nic) (LIB_OWN_IOVA + (1 + 2 * (nic)) * LIB_PAGE)
#define LIB_RX_IOVA(nic) (LIB_OWN_IOVA + (2 + 2 * (nic)) * LIB_PAGE)
#define LIB_SRC_IOVA     (LIB_OWN_IOVA + 16 * LIB_PAGE) /* one page, readable, for copies */
#define LIB_DST_IOVA     (LIB_OWN_IOVA + 32 * LIB_PAGE) /* 16 pages, writable, for copies */
#define LIB_DST_PAGES    16u

#define LIB_CONTEXTS 24u
#define LIB_PAGES    4096u

struct lib_config {
    bool amd;
    unsigned aw_bits;          /* VT-d: 39 or 48; 0: 48 */
    bool caching_mode;         /* VT-d */
    unsigned iova_bits;        /* of the domain; 0: 48 */
    bool trim;                 /* empty tables are given back at once */
    bool nics;                 /* two network devices beside the two edu */
    unsigned contexts;         /* that the guest may have; 0: LIB_CONTEXTS */
    const char *const *trace;  /* trace events, or NULL */
    bool default_identity;     /* the default context begins as identity */
    /* Width of frame addresses in entries, above what the unit says; 0: that. QEMU takes all of them. */
    unsigned pa_bits;
};

enum { LIB_EDU0, LIB_EDU1, LIB_NIC0, LIB_NIC1, LIB_DEVS };

struct lib_dev {
    struct pvi_device dev;
    struct qt_edu edu; /* LIB_EDU* */
    struct qt_nic nic; /* LIB_NIC* */
    uint16_t rid;
    uint16_t ctx;
    bool nic_up;
    bool added;
};

struct lib {
    struct lib_config cfg;
    struct qt *qt;
    struct pvi_host *host;
    struct pvi_hdom *guest;
    struct pvi_system sys;
    struct pvi_unit *unit; /* of one of the next two */
    struct pvi_vtd_unit vtd;
    struct pvi_amdvi_unit amdvi;
    bool np_cache; /* the unit says that it caches absence */
    struct pvi_domain dom;
    struct lib_dev dev[LIB_DEVS];
    unsigned nr_devs;
    uint64_t *small_pa;            /* host addresses of LIB_GFN_SMALL and on */
    uint64_t *medium_pa;           /* of LIB_GFN_MEDIUM and on */
    uint64_t pages_pa, pages_size; /* the host's own memory: page tables, rings, unit tables */
    bool identity[LIB_CONTEXTS + 1];
    struct lib_tap tap;
    /*
     * Called before and after every DMA that a check starts: what lies between is what the unit
     * sees and the library does not. With bracket_walk also around what the walker reads.
     */
    void (*bracket)(struct lib *l, bool begin);
    bool bracket_walk;
    unsigned resumed; /* times that a batch was preempted */
    const char *what; /* the check that runs, for reports */
    unsigned failures;
    bool end_at_failure; /* exit with LIB_EXIT_FAILED, silently */
};

#define LIB_EXIT_FAILED 10

/* Starts it all; ends the process with QT_EXIT_SKIP without QEMU. Devices are in context 0. */
void lib_start(struct lib *l, const struct lib_config *cfg);
/* The same in two steps: QEMU, host and devices; then unit and domain. */
void lib_start_machine(struct lib *l, const struct lib_config *cfg);
void lib_start_unit(struct lib *l);
void lib_start_domain(struct lib *l);
/* Takes everything down by the library, checks that nothing is left over, stops QEMU. */
void lib_stop(struct lib *l);
/* The steps of it. */
void lib_stop_domain(struct lib *l);
void lib_stop_unit(struct lib *l);
void lib_stop_machine(struct lib *l);

/* Counts a failure unless ok; returns ok. */
bool lib_check(struct lib *l, bool ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a status of the library. */
bool lib_check_status(struct lib *l, int got, int expected, const char *what);

/* Host address behind a guest frame; 0: there is none. */
uint64_t lib_gfn_pa(const struct lib *l, uint64_t gfn);
/* The fixture's own frames in a context. */
uint64_t lib_bounce_gfn(unsigned ctx);

/* Operations for PVI_DOMID_SELF. */
struct pvi_op lib_op(unsigned code, unsigned ctx, unsigned flags);
struct pvi_op lib_op_map(unsigned ctx, uint64_t iova, uint64_t gfn, uint64_t nr, unsigned prot);
struct pvi_op lib_op_unmap(unsigned ctx, uint64_t iova, uint64_t nr);
struct pvi_op lib_op_lookup(unsigned ctx, uint64_t iova);
struct pvi_op lib_op_reattach(unsigned ctx, const struct lib_dev *dev);

/* Runs a batch to its end, however often it is preempted. */
void lib_submit(struct lib *l, struct pvi_op *ops, unsigned nr);

/* Batches of one operation; each returns its status. nr counts frames of 4 KiB. */
int lib_map(struct lib *l, unsigned ctx, uint64_t iova, uint64_t gfn, uint64_t nr, unsigned prot);
int lib_unmap(struct lib *l, unsigned ctx, uint64_t iova, uint64_t nr);
int lib_free(struct lib *l, unsigned ctx, unsigned flags);
/* And takes note where the device is now. */
int lib_reattach(struct lib *l, unsigned ctx, struct lib_dev *dev);
/* A context with the fixture's own pages mapped in it; 0 when that failed (counted). */
unsigned lib_context(struct lib *l);
/* The mappings of lib_context() as operations of a batch; returns how many, at most 8. */
unsigned lib_own_ops(const struct lib *l, unsigned ctx, struct pvi_op ops[8]);

/* The device is where the caller knows it to be: its bounce page, its rings. */
void lib_moved(struct lib *l, struct lib_dev *dev, unsigned ctx);
/* Brings a network device up in the context that it is in. */
void lib_nic_up(struct lib *l, struct lib_dev *dev);

/* Takes the next translation fault; false: there is none, or the unit records none (AMD-Vi). */
bool lib_next_fault(struct lib *l, struct pvi_fault *f);
void lib_drop_faults(struct lib *l);

#endif
