/* SPDX-License-Identifier: MIT */
/*
 * A VT-d unit of the hardware model, the userspace host, and the library's driver between them.
 * Test tables lie outside of the pages that the host gives to the library.
 */
#ifndef VTD_RIG_H
#define VTD_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hwm.h>
#include <pviommu/vtd.h>
#include <pviommu_posix.h>

#define RIG_REGS      0xfed90000ull
#define RIG_REGS_SIZE 0x1000ull

/* Registers by offset, for tests that play firmware (hwspec 1.1). */
enum {
    RIG_GCMD = 0x18,
    RIG_GSTS = 0x1c,
    RIG_RTADDR = 0x20,
    RIG_FSTS = 0x34,
    RIG_FECTL = 0x38,
    RIG_PMEN = 0x64,
    RIG_IQH = 0x80,
    RIG_IQT = 0x88,
    RIG_IQA = 0x90,
    RIG_IECTL = 0xa0,
    RIG_PECTL = 0xe0
};
#define RIG_TE   (1u << 31)
#define RIG_SRTP (1u << 30)
#define RIG_WBF  (1u << 27)
#define RIG_QIE  (1u << 26)

struct vtd_rig {
    struct pvi_host *host;
    struct hwm *hw;
    struct hwm_vtd_cfg cfg;
    struct pvi_posix_view view;
    struct pvi_vtd_unit unit;
    pthread_mutex_t lock; /* the model has none */
    uint64_t next_page;   /* of the tests' own memory */
    uint64_t next_frame;
    bool gone;     /* the registers read as all ones */
    unsigned gate; /* the unit fetches a descriptor every so many polls; 0: at once */
    uint64_t tail;
    bool sticky_fri;       /* FSTS.FRI stays where it was when PPF rose, until PPF falls */
    uint32_t fri;          /* what it shows then; 0: PPF is clear */
    bool sticky_prs;       /* PMEN.PRS never falls */
    bool ghost;            /* FSTS.PPF shows without a record */
    uint32_t pectl;        /* last written; the model has no page requests */
    uint32_t gsts_at_root; /* when RTADDR was last written */
    void (*on_poll)(struct vtd_rig *rig);
    void *opaque;
    unsigned depth; /* of on_poll() in on_poll() */
    uint64_t polls;
    uint64_t writes; /* of registers */
    uint64_t lost;   /* pages that a dead unit has kept */
};

/* Starts host and model and reads the unit's registers; cfg NULL: the model's default. */
struct vtd_rig *rig_new(const struct hwm_vtd_cfg *cfg);
/* Takes all down. The unit is disabled, and nothing is left over, or the test fails. */
void rig_free(struct vtd_rig *rig);
struct vtd_rig *rig_new_enabled(const struct hwm_vtd_cfg *cfg);

/* Another look at the registers, as rig_new() does. */
int rig_init(struct vtd_rig *rig, unsigned haw_bits, uint64_t reg_size);

uint64_t rig_read(struct vtd_rig *rig, unsigned off, unsigned size);
void rig_write(struct vtd_rig *rig, unsigned off, unsigned size, uint64_t value);

/* Sets rig->gate, with the queue as it is now. */
void rig_gate(struct vtd_rig *rig, unsigned polls);

/* A page of the tests' own memory, zero. */
uint64_t rig_page(struct vtd_rig *rig);
uint64_t *rig_words(struct vtd_rig *rig, uint64_t page);
/* A frame that is mapped somewhere: only its address matters. */
uint64_t rig_frame(struct vtd_rig *rig);
/* A table of so many levels that maps the page at iova to pa; returns its root. */
uint64_t rig_table(struct vtd_rig *rig, unsigned levels, uint64_t iova, uint64_t pa);

/* Where a DMA of rid lands, UINT64_MAX when it is blocked. With caches, and as memory says now. */
uint64_t rig_dma(struct vtd_rig *rig, uint16_t rid, uint64_t iova, bool write);
uint64_t rig_walk(struct vtd_rig *rig, uint16_t rid, uint64_t iova);
#define RIG_BLOCKED UINT64_MAX
/* Why memory, as it is now, blocks a read: the fault reason of hwspec 5.3; 0 when it does not. */
unsigned rig_reason(struct vtd_rig *rig, uint16_t rid, uint64_t iova);

/* Entry of pvi_vtd_unit_switch(): levels 0 blocks. */
int rig_switch(struct vtd_rig *rig, uint16_t rid, unsigned levels, uint16_t did, uint64_t root,
               bool *was_absent);
/* What a caller does behind it: the entry, then the domain that it held, then wait. */
int rig_forget(struct vtd_rig *rig, uint16_t rid, uint16_t old_did, bool was_absent);
int rig_submit(struct vtd_rig *rig, struct pvi_inv inv);

struct pvi_inv rig_pages(unsigned did, uint64_t iova, unsigned lg2);
/* Disables the unit, which must work, and frees the rig. */
void rig_down(struct vtd_rig *rig);

/* Events of one kind since the last reset, and the last one's second value. */
unsigned rig_events(struct vtd_rig *rig, enum pvi_event what, uint64_t *b);
/* The kinds that the unit was told of, in order, as letters: see rig_letters[] in vtd_rig.c. */
const char *rig_told(struct vtd_rig *rig, char *buf, size_t size);

#endif
