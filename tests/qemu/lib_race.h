/* SPDX-License-Identifier: MIT */
/*
 * One table, changed by two threads while a network device copies through it: where the watched
 * pages lie, and what the threads do all around them. What may never happen is that a device, or a
 * walker, misses a page that nobody takes away.
 */
#ifndef QEMU_LIB_RACE_H
#define QEMU_LIB_RACE_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib_alone.h"

#define RACE_WORKERS 2u

/* Windows of the workers, each in a gigabyte of its own, with a leaf of 1 GiB behind that the first
 * one cuts. */
#define RACE_BASE      (UINT64_C(0x234) << 32)
#define RACE_WINDOW(w) (RACE_BASE + (w)*LIB_GIB)
#define RACE_HUGE      (RACE_BASE + 8 * LIB_GIB)
/* Gigabytes of the workers that have no table to begin with, and whose tables of all levels above
 * are shared. */
#define RACE_FAR(w) ((UINT64_C(0x345) << 32) + (w)*LIB_GIB)
/* Frames: of each window, and of the large leaf. */
#define RACE_PA(w)   ((256 + (w)*256) * LIB_MIB)
#define RACE_HUGE_PA LIB_GIB

/* Parts of a window, by offset; frames lie at the same offset. */
#define PART_SINGLE UINT64_C(0)   /* 2 MiB: every other page is watched, the others come and go */
#define PART_CUT    (2 * LIB_MIB) /* 2 MiB: split and joined */
#define PART_HOLE                                                                                  \
    (4 * LIB_MIB) /* 2 MiB: single pages are taken out and put back, the first 16 are watched */
#define PART_SWAP        (6 * LIB_MIB)  /* 2 MiB: replaced, by other frames and back */
#define PART_SWAP_TO     (8 * LIB_MIB)  /* no IOVA: the other frames */
#define PART_RIGHTS      (16 * LIB_MIB) /* 16 MiB: made read-only and writable; reads are watched */
#define PART_TABLES      (512 * LIB_MIB) /* 64 MiB: whole tables come and go; nothing is watched */
#define PART_TABLES_SIZE (64 * LIB_MIB)

/* A page that must always translate, to either of two frames. */
struct race_watch {
    uint64_t iova, pa, other;
    bool writable;
};

#define RACE_DEEDS 8u

#define RACE_WATCHES 4096u

struct race;

struct race_worker {
    struct race *r;
    unsigned w;
    uint64_t seed;
    struct pvi_gather gather;
    bool single[512], hole[512], swapped, tables;
    unsigned rounds[RACE_DEEDS]; /* by what was done */
    atomic_uint all;             /* together; others may look */
    unsigned alone;              /* requests that needed the table for themselves */
    unsigned bad;                /* answers that may not be */
    int answer;                  /* one of them */
};

struct race {
    struct lib *l;
    struct lib_alone a;
    pthread_rwlock_t table; /* held shared by requests that may be, else exclusively */
    /* QEMU, its socket, the unit's ring; first come, first served. */
    pthread_mutex_t qemu;
    pthread_cond_t turn;
    uint64_t ticket, serving;
    atomic_bool stop;
    struct race_worker worker[RACE_WORKERS];
    struct race_watch watch[RACE_WATCHES];
    unsigned nr_watches;
    unsigned looks, busy, wrong; /* of the thread that looks up */
};

void race_qemu_take(struct race *r);
void race_qemu_drop(struct race *r);

/* Maps what there is at the beginning, and lists what is watched. */
void race_fill(struct race *r);
/* Threads. */
void *race_work(void *worker);
void *race_look(void *race);
/* Unmaps all of it. */
void race_empty(struct race *r);

#endif
