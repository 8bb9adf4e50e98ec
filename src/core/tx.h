/* SPDX-License-Identifier: MIT */
/* What the files of a transaction know of each other: its phases, its log, the way back. */
#ifndef PVIOMMU_TX_H
#define PVIOMMU_TX_H

#include "core.h"

enum tx_phase {
    TX_MARK = 0,
    TX_COUNT,
    TX_RUN,
    TX_COMMIT,
    TX_UNDO
};

/* How far a device's move is (struct pvi_op, u.reattach.moved). */
enum tx_move {
    TX_NOT_MOVED = 0,
    TX_HELD, /* where it is is held */
    TX_MOVED
};

/* First byte of an operation's range; dfn is the first member in every one. */
static inline uint64_t tx_first(const struct pvi_op *op)
{
    return op->u.unmap.dfn.f << PVI_PAGE_LG2;
}

/* tx_undo.c */
/* The context of that number, if it is one of the transaction's: any other has come since. */
struct pvi_context *pvi_tx_context(struct pvi_domain *d, uint16_t id);
/* Where a device was: also the hidden context of the interface of 2015. */
struct pvi_context *pvi_tx_home(struct pvi_domain *d, uint16_t id);
/* Ends the hold on where a device was. A context that is broken stays joined to its units: nobody knows what they hold of it. */
void pvi_tx_release(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *from);
/* Takes everything back, from d->tx.op on. With `claimed` the caller has claimed the domain. 0 or -PVI_EPREEMPTED. */
int pvi_tx_undo(struct pvi_domain *d, struct pvi_batch *b, bool claimed);

/* tx_log.c: what the transaction has taken away, in pages set aside before its first change. */

/* A run of leaves as it was. */
struct pvi_tx_record {
    uint64_t iova_prot; /* address | rights */
    uint64_t pa_owe;    /* address | enum pvi_owe */
    uint64_t nr_op;     /* frames << 12 | operation */
};

#define TX_RECORDS (PVI_PAGE_SIZE / sizeof(struct pvi_tx_record))

/* Sets pages aside for tx.records records, charged to the context, tx.cursor of them so far. 0, ENOMEM, EQUOTA, EPREEMPTED. */
int pvi_tx_log_reserve(struct pvi_domain *d, struct pvi_context *ctx, struct pvi_gather *g);
/* Writes one more; false: more than were set aside. */
bool pvi_tx_log_put(struct pvi_domain *d, const struct pvi_tx_record *rec);
/* Reads the newest; false: there is none. */
bool pvi_tx_log_top(struct pvi_domain *d, struct pvi_tx_record *rec);
/* Forgets the newest. */
void pvi_tx_log_pop(struct pvi_domain *d);
/* Gives all pages back. 0 or EPREEMPTED. */
int pvi_tx_log_free(struct pvi_domain *d, struct pvi_gather *g);

#endif
