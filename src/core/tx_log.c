/* SPDX-License-Identifier: MIT */
/* See tx.h. Hardware never sees these pages. */
#include "tx.h"

_Static_assert(PVI_ATOMIC_OPS <= PVI_PAGE_SIZE, "the number of an operation fits beside a count of frames");

/* Pages taken or given back between two checkpoints. */
#define LOG_SLICE 64u

int pvi_tx_log_reserve(struct pvi_domain *d, struct pvi_context *ctx, struct pvi_gather *g)
{
    struct pvi_tx *tx = &d->tx;
    uint64_t pages = tx->records / TX_RECORDS + (tx->records % TX_RECORDS != 0);
    struct pvi_page *first, *last;
    int rc = 0;

    if (pages > UINT32_MAX) {
        return -PVI_ENOMEM;
    }
    while (rc == 0 && tx->cursor < pages) {
        uint32_t nr = pages - tx->cursor < LOG_SLICE ? (uint32_t)(pages - tx->cursor) : LOG_SLICE;

        rc = pvi_pool_take(&d->pool, &ctx->quota, nr, 0, PVI_PAGE_LIST, &first);
        if (rc == 0) {
            for (last = first; last->next; last = last->next) {
            }
            last->next = tx->spare;
            tx->spare = first;
            tx->cursor += nr;
            rc = tx->cursor < pages ? pvi_checkpoint(g) : 0;
        }
    }
    return rc;
}

bool pvi_tx_log_put(struct pvi_domain *d, const struct pvi_tx_record *rec)
{
    struct pvi_tx *tx = &d->tx;
    struct pvi_tx_record *page;

    if (tx->records % TX_RECORDS == 0) {
        struct pvi_page *next = tx->spare;

        if (!next) {
            return false;
        }
        tx->spare = next->next;
        next->next = tx->log;
        tx->log = next;
        next->dirty = true;
    }
    page = pvi_env_map(d->host, tx->log->pa);
    page[tx->records % TX_RECORDS] = *rec;
    pvi_env_unmap(d->host, page);
    tx->records++;
    return true;
}

bool pvi_tx_log_top(struct pvi_domain *d, struct pvi_tx_record *rec)
{
    struct pvi_tx_record *page;

    if (d->tx.records == 0) {
        return false;
    }
    page = pvi_env_map(d->host, d->tx.log->pa);
    *rec = page[(d->tx.records - 1) % TX_RECORDS];
    pvi_env_unmap(d->host, page);
    return true;
}

void pvi_tx_log_pop(struct pvi_domain *d)
{
    struct pvi_page *page = d->tx.log;

    d->tx.records--;
    if (d->tx.records % TX_RECORDS == 0) {
        d->tx.log = page->next;
        pvi_pool_put(&d->pool, page);
    }
}

int pvi_tx_log_free(struct pvi_domain *d, struct pvi_gather *g)
{
    struct pvi_page *page;
    uint32_t nr;
    int rc = 0;

    PVI_ASSERT(d->tx.records == 0);
    for (nr = 1; rc == 0 && d->tx.spare; nr++) {
        page = d->tx.spare;
        d->tx.spare = page->next;
        pvi_pool_put(&d->pool, page);
        rc = nr % LOG_SLICE == 0 ? pvi_checkpoint(g) : 0;
    }
    return rc;
}
