/* SPDX-License-Identifier: MIT */
/*
 * The hidden context begins as the default one is: what that maps is mapped again, run by run, each frame pinned like any mapping. Reserved
 * regions come with the devices. What the host does not pin, or leads elsewhere by now, is left out.
 */
#include "bus.h"

/* Bytes asked of the host at once. */
#define COPY_BYTES ((uint64_t)1 << 30)

/* The next run of the default context from *at on, without its reserved regions. len 0: none in this slice. True: go on at *at. */
static bool copy_next(struct pvi_domain *d, uint64_t *at, struct pvi_pt_run *run, struct pvi_gather *g)
{
    struct pvi_context *from = &d->default_ctx;
    struct pvi_pt_scan *scan = &g->scan;
    uint64_t meets;
    unsigned i;

    memset(scan, 0, sizeof(*scan));
    scan->first = *at;
    scan->next = *at;
    scan->last = from->pt.iova_last;
    pvi_context_lock_alone(from);
    if (from->pt.cfg.ops->scan(&from->pt, scan) != 0) {
        scan->complete = true; /* beyond the table */
    }
    if (scan->run.len != 0 && pvi_region_meets(from, scan->run.iova, scan->run.iova + scan->run.len - 1, &meets)) {
        scan->run.len = meets - scan->run.iova;
        for (i = 0; i < PVI_MAX_CTX_REGIONS && scan->run.len == 0; i++) {
            if (from->region[i].count != 0 && from->region[i].first <= meets && meets <= from->region[i].last) {
                scan->next = from->region[i].last + 1;
            }
        }
        scan->next = scan->run.len != 0 ? meets : scan->next;
        scan->complete = false;
    }
    pvi_context_unlock_alone(from);
    *run = scan->run;
    if (scan->run.len > COPY_BYTES) {
        run->len = COPY_BYTES;
        scan->next = run->iova + COPY_BYTES;
        scan->complete = false;
    }
    *at = scan->next;
    return !scan->complete;
}

/* Maps as much of a run as the host pins at once; *done bytes are dealt with. */
static int copy_run(struct pvi_domain *d, const struct pvi_pt_run *run, uint64_t *done, struct pvi_gather *g)
{
    struct pvi_context *ctx = &d->bus->ctx;
    struct pvi_frames f;
    uint64_t mapped, at;
    pvi_dfn dfn;
    pvi_gfn gfn;
    pvi_pa pa;
    int rc;

    pa.a = run->pa;
    dfn.f = run->iova >> PVI_PAGE_LG2;
    *done = ctx->pt.page_mask + 1;
    if (pvi_host_frame_gfn(g->host, g->hdom, pa, &gfn) != 0 ||
        pvi_context_get_frames(ctx, gfn, run->len >> PVI_PAGE_LG2, ctx->pt.page_mask, run->prot, &f, g) != 0) {
        return 0;
    }
    if (f.pa.a != run->pa) {
        pvi_context_put_frames(&f, 0, g);
        return 0;
    }
    rc = pvi_context_map_frames(ctx, dfn, &f, run->prot, &mapped, g, &at);
    *done = mapped << PVI_PAGE_LG2;
    return rc;
}

int pvi_bus_copy(struct pvi_domain *d, struct pvi_gather *g)
{
    struct pvi_context *ctx = &d->bus->ctx;
    uint64_t at = ctx->progress, done;
    struct pvi_pt_run run;
    bool more = true;
    int rc = 0;

    while (rc == 0 && more) {
        more = copy_next(d, &at, &run, g);
        while (rc == 0 && run.len != 0) {
            rc = copy_run(d, &run, &done, g);
            done = done < run.len ? done : run.len;
            run.iova += done;
            run.pa += done;
            run.len -= done;
            ctx->progress = run.iova;
            rc = rc == 0 && run.len != 0 ? pvi_checkpoint(g) : rc;
        }
        if (rc == 0 && more) {
            ctx->progress = at;
            rc = pvi_checkpoint(g);
        }
    }
    if (rc == 0) {
        pvi_context_set_state(ctx, PVI_CTX_LIVE, 0);
    }
    return rc;
}
