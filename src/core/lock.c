/* SPDX-License-Identifier: MIT */
/*
 * A context's locks. What touches one naturally aligned gigabyte of IOVA takes that gigabyte's lock, one of a few that all
 * gigabytes share; everything else has the context alone: it takes the context's lock, turns newcomers away and waits
 * until each gigabyte's lock has been free once. The common way, one lock and one look at a flag, writes no line that another
 * gigabyte's caller writes.
 */
#include "core.h"

void pvi_context_lock_init(struct pvi_context *ctx)
{
    unsigned i;

    pvi_env_lock_init(ctx->domain->host, &ctx->lock, PVI_LOCK_CONTEXT);
    for (i = 0; i < PVI_CTX_STRIPES; i++) {
        pvi_env_lock_init(ctx->domain->host, &ctx->stripe[i].lock, PVI_LOCK_STRIPE);
    }
}

void pvi_context_lock_again(struct pvi_context *ctx, pvi_env_lock *lock)
{
    struct pvi_host *h = ctx->domain->host;

    pvi_env_release(h, lock);
    pvi_env_acquire(h, &ctx->lock);
    pvi_env_acquire(h, lock);
    pvi_env_release(h, &ctx->lock);
}

void pvi_context_lock_alone(struct pvi_context *ctx)
{
    struct pvi_host *h = ctx->domain->host;
    unsigned i;

    pvi_env_acquire(h, &ctx->lock);
    pvi_env_write32(&ctx->alone, 1);
    /* Who takes a gigabyte's lock from now on sees the flag: the store is ordered before the looks below. */
    pvi_env_mb();
    for (i = 0; i < PVI_CTX_STRIPES; i++) {
        pvi_env_acquire(h, &ctx->stripe[i].lock);
        pvi_env_release(h, &ctx->stripe[i].lock);
    }
}

void pvi_context_unlock_alone(struct pvi_context *ctx)
{
    pvi_env_write32(&ctx->alone, 0);
    pvi_env_release(ctx->domain->host, &ctx->lock);
}
