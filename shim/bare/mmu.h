/* SPDX-License-Identifier: MIT */
/*
 * Tables of the processor's format walked by the processor itself: an independent walker of VT-d
 * first-stage and AMD-Vi v2 tables (hwspec 3.2, 6.10), in 4 or 5 levels as the machine was booted.
 */
#ifndef BARE_MMU_H
#define BARE_MMU_H

#include "host.h"

#define PAGE4K ((uint64_t)1 << 12)
#define PAGE2M ((uint64_t)1 << 21)
#define PAGE1G ((uint64_t)1 << 30)

/* Memory that the tables may lead to: 64 MiB below 4 GiB, 1 GiB above. */
#define MMU_LOW_PA  0x08000000u
#define MMU_LOW_END 0x0C000000u
#define MMU_HIGH_PA ((uint64_t)1 << 32)

/* Bits of entries, as the processor's manual has them. */
#define CPU_P  ((uint64_t)1 << 0)
#define CPU_W  ((uint64_t)1 << 1)
#define CPU_A  ((uint64_t)1 << 5)
#define CPU_D  ((uint64_t)1 << 6)
#define CPU_PS ((uint64_t)1 << 7)

/* Error codes of page faults. */
#define FAULT_P    1u /* the entry was present */
#define FAULT_W    2u /* a write */
#define FAULT_RSVD 8u /* a reserved bit was set */
#define FAULT_NONE UINT64_MAX

/* What came of one access. */
struct mmu_answer {
    uint64_t fault; /* FAULT_NONE, or the error code */
    uint64_t word;  /* loaded; or the address at fault */
};

struct mmu {
    struct pvi_host *h;
    const struct pvi_pt_ops *ops;
    unsigned levels;
    unsigned cpu_pa_bits;
    uint64_t own_root; /* CR3 of the image's own tables */
    uint64_t va;       /* where tests map; nothing of the image is there */
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    struct pvi_gather gather;
    uint64_t salt; /* no two words written are alike */
    unsigned nr, nr_bad;
};

/* One line of TAP; adds the name of the format. */
bool mmu_check(struct mmu *m, bool good, const char *name);

/* Looks at the processor; ends the run when it lacks what the checks need. */
void mmu_init(struct mmu *m, struct pvi_host *h);
/* An empty table, walked from now on; pa_bits 0: as many as the processor has. */
void mmu_open(struct mmu *m, const struct pvi_pt_ops *ops, bool dirty, unsigned pa_bits);
/* Unmaps what is left, goes back to the image's tables, and checks that every page came back. */
void mmu_close(struct mmu *m);

/* One access through the table. */
struct mmu_answer mmu_load(uint64_t va);
struct mmu_answer mmu_store(uint64_t va, uint64_t word);
/* The same by privileged code that may not touch what users can reach (CR4.SMAP). */
struct mmu_answer mmu_load_supervisor(uint64_t va);
/* Does the word at va lead to pa, for loads, and for stores if so? */
bool mmu_lands(struct mmu *m, uint64_t va, uint64_t pa, bool writable);
/* Does an access fault there with these codes, reads and writes alike? */
bool mmu_faults(uint64_t va, unsigned read_code, unsigned write_code);
/* Nothing is mapped there. */
bool mmu_absent(uint64_t va);
/* Where the leaf of va lies, read from the tables; NULL when there is none. */
uint64_t *mmu_entry(struct mmu *m, uint64_t va, unsigned *lg2);
/* The processor forgets one page. */
void mmu_invlpg(uint64_t va);
/* The processor forgets what the gather names, not more, and the gather is released. */
void mmu_flush(struct mmu *m);

/* Requests run to their end, without a flush unless the gather is full. */
int mmu_map(struct mmu *m, uint64_t va, uint64_t pa, uint64_t len, unsigned prot, bool replace);
int mmu_unmap(struct mmu *m, uint64_t va, uint64_t len);
int mmu_rights(struct mmu *m, uint64_t va, uint64_t len, unsigned prot);
int mmu_split(struct mmu *m, uint64_t va, uint64_t len, unsigned lg2);
int mmu_collapse(struct mmu *m, uint64_t va, uint64_t len);
int mmu_dirty(struct mmu *m, uint64_t va, uint64_t len, bool clear, uint64_t *bitmap);
/*
 * Unmaps all that there is, flushes, and says whether the root is all that is left: without trim
 * tables go only with a removal that covers them whole.
 */
bool mmu_clear(struct mmu *m);
/* Pages of the pool in use. */
uint32_t mmu_pages(struct mmu *m);

/* The groups; each begins with an empty table that is open and leaves it empty. */
void mmu_check_sizes(struct mmu *m);
void mmu_check_rights(struct mmu *m);
void mmu_check_stale(struct mmu *m);
void mmu_check_split(struct mmu *m);
void mmu_check_preset(struct mmu *m); /* without dirty tracking */
void mmu_check_dirty(struct mmu *m);  /* with it */
void mmu_check_random(struct mmu *m);
/* These open tables of their own. */
void mmu_check_width(struct mmu *m, const struct pvi_pt_ops *ops);

#endif
