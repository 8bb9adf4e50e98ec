/* SPDX-License-Identifier: MIT */
/*
 * One AMD-Vi unit of the hardware model behind the library's driver, on the userspace host. The
 * tests of the driver share it. Registers can be made to lie, as broken hardware does.
 */
#ifndef AMDVI_BENCH_H
#define AMDVI_BENCH_H

#include <pthread.h>

#include <pviommu/amdvi.h>
#include <pviommu_posix.h>

#include "../model/hwm.h"

#define BENCH_REGS 0xFEB80000ull
#define BENCH_PA   0x100000000ull /* above 4 GiB: no address fits 32 bits */
#define BENCH_PAGES                                                                                \
    0x1000000ull /* offset of what the host allocates from; the tests own what is below */
#define BENCH_SIZE       0x2000000ull
#define BENCH_DATA       (BENCH_PA + 0x800000ull) /* frames that devices reach */
#define BENCH_UNIT_PAGES (512 + 4) /* device table, ring, log, semaphore, domain ids */

/* register offsets (hwspec 6.2) */
#define R_DEVTAB  0x0000u
#define R_CMDBASE 0x0008u
#define R_EVTBASE 0x0010u
#define R_CONTROL 0x0018u
#define R_EXCL    0x0020u
#define R_LIMIT   0x0028u
#define R_EFR     0x0030u
#define R_CMDHEAD 0x2000u
#define R_CMDTAIL 0x2008u
#define R_EVTHEAD 0x2010u
#define R_EVTTAIL 0x2018u
#define R_STATUS  0x2020u

struct bench {
    struct pvi_host *h;
    struct hwm *hw;
    struct pvi_posix_view view;
    struct hwm_mem mem;
    struct pvi_amdvi_cfg cfg;
    struct pvi_amdvi_unit u;
    pthread_mutex_t lock; /* the model serves one caller at a time */
    uint64_t next_page;   /* of the tests' own part */
    /* lies */
    uint64_t or_mask[0x2028 / 8],
        and_not[0x2028 / 8]; /* what reads of a register show in addition, or not */
    uint64_t control_keeps;  /* bits of Control that writes cannot clear */
    uint64_t stale_head;     /* what CmdBufHead shows .. */
    unsigned stale_heads;    /* .. for so many reads */
    /* what was seen */
    unsigned writes; /* of registers */
    uint64_t trace_off[64], trace_val[64];
    bool unfilled;            /* DevTabBase was written before the table blocked */
    bool violations_expected; /* the test makes software look bad */
    bool pages_lost;          /* the test makes the driver keep its pages */
};

/* Makes host, model and configuration; the unit is neither initialised nor enabled. */
void bench_open(struct bench *b, const struct hwm_amd_cfg *hw);
/* The same, initialised and enabled, with the log of the model cleared. */
void bench_up(struct bench *b, const struct hwm_amd_cfg *hw);
/* Ends it; fails the test if the model objected to something or a page did not come back. */
void bench_close(struct bench *b);

uint64_t bench_reg(struct bench *b, unsigned off);
uint64_t *bench_ptr(struct bench *b, uint64_t pa);
/* A zeroed page of the tests' own part. */
uint64_t bench_page(struct bench *b);
/* Maps 4 KiB in a v1 table, writing entries by hand (hwspec 6.9). */
void bench_map(struct bench *b, uint64_t root, unsigned levels, uint64_t iova, uint64_t pa, bool r,
               bool w);
/* The device table entry that the unit reads for rid. */
uint64_t *bench_dte(struct bench *b, uint16_t rid);
/* Is a DMA of rid to iova blocked? Else *pa is where it lands. */
bool bench_blocked(struct bench *b, uint16_t rid, uint64_t iova, uint64_t *pa);
/* Events of kind `what` that the host was told, and the last one's values (may be NULL). */
unsigned bench_events(struct bench *b, enum pvi_event what, uint64_t *a, uint64_t *v);

/* Short forms for the driver's calls. */
int bench_inv(struct bench *b, struct pvi_inv inv);
int bench_switch(struct bench *b, uint16_t rid, uint64_t root, unsigned levels, uint16_t did);
int bench_block(struct bench *b, uint16_t rid);
#define INV_PAGES(d, a, l)                                                                         \
    ((struct pvi_inv){.kind = PVI_INV_PAGES, .did = (d), .iova = (a), .lg2 = (l)})
#define INV_DOMAIN(d) ((struct pvi_inv){.kind = PVI_INV_DOMAIN, .did = (d)})
#define INV_DEVICE(r) ((struct pvi_inv){.kind = PVI_INV_DEVICE, .rid = (r)})

#endif
