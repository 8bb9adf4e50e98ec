/* SPDX-License-Identifier: MIT */
/* Batches of guests that a domain keeps. The pointer is the domain's lock's; the rest belongs to who is at it. */
#include <pviommu/held.h>

#include "core.h"

static size_t held_size(uint32_t nr)
{
    return sizeof(struct pvi_held) + nr * sizeof(struct pvi_op);
}

struct pvi_held *pvi_held_new(struct pvi_domain *d, uint32_t nr)
{
    struct pvi_held *held = pvi_host_mem_alloc(d->host, held_size(nr));

    if (held) {
        held->room = nr;
        held->batch.ops = held->op;
        held->batch.nr = nr;
        held->batch.flags = PVI_BATCH_ATOMIC;
    }
    return held;
}

void pvi_held_free(struct pvi_domain *d, struct pvi_held *held)
{
    pvi_host_mem_free(d->host, held, held_size(held->room));
}

int pvi_held_keep(struct pvi_domain *d, struct pvi_held *held)
{
    int rc = 0;

    held->running = true;
    pvi_env_acquire(d->host, &d->lock);
    if (d->held) {
        rc = -PVI_EBUSY;
    } else {
        d->held = held;
    }
    pvi_env_release(d->host, &d->lock);
    return rc;
}

static bool same_name(const struct pvi_held_name *a, const struct pvi_held_name *b)
{
    return a->header == b->header && a->ops == b->ops && a->nr == b->nr && a->op_size == b->op_size;
}

int pvi_held_take(struct pvi_domain *d, const struct pvi_held_name *name, struct pvi_held **held)
{
    struct pvi_held *it;
    int rc = 0;

    pvi_env_acquire(d->host, &d->lock);
    it = d->held;
    if (!it) {
        rc = -PVI_ENOENT;
    } else if (it->running || (name && !same_name(name, &it->name))) {
        rc = -PVI_EBUSY;
    } else {
        it->running = true;
        *held = it;
    }
    pvi_env_release(d->host, &d->lock);
    return rc;
}

int pvi_held_run(struct pvi_domain *d, struct pvi_held *held)
{
    return pvi_submit(d, &held->batch);
}

bool pvi_held_abort(struct pvi_domain *d, struct pvi_held *held)
{
    return pvi_tx_cancel(d, &held->batch);
}

void pvi_held_leave(struct pvi_domain *d, struct pvi_held *held)
{
    pvi_env_acquire(d->host, &d->lock);
    held->running = false;
    pvi_env_release(d->host, &d->lock);
}

void pvi_held_drop(struct pvi_domain *d)
{
    struct pvi_held *held;

    pvi_env_acquire(d->host, &d->lock);
    held = d->held;
    d->held = NULL;
    pvi_env_release(d->host, &d->lock);
    pvi_held_free(d, held);
}
