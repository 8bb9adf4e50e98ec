/* SPDX-License-Identifier: MIT */
/* See tx.h. Hardware never sees these pages. */
#include "tx.h"

_Static_assert(PVI_ATOMIC_OPS <= PVI_PAGE_SIZE, "the number of an operation fits beside a count of frames");

int pvi_tx_log_reserve(struct pvi_domain *d, struct pvi_context *ctx, uint64_t nr)
{
    uint64_t pages = nr / TX_RECORDS + (nr % TX_RECORDS != 0);

    if (pages == 0) {
        return 0;
    }
    if (pages > UINT32_MAX) {
        return -PVI_ENOMEM;
    }
    return pvi_pool_take(&d->pool, &ctx->quota, (uint32_t)pages, 0, PVI_PAGE_LIST, &d->tx.spare);
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

void pvi_tx_log_free(struct pvi_domain *d)
{
    struct pvi_page *page, *next;

    while (d->tx.records != 0) {
        pvi_tx_log_pop(d);
    }
    for (page = d->tx.spare; page; page = next) {
        next = page->next;
        pvi_pool_put(&d->pool, page);
    }
    d->tx.spare = NULL;
}
