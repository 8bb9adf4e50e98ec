/* SPDX-License-Identifier: MIT */
/* The gather: ranges, tables and frames between change and release. See include/pviommu/gather.h. */
#include "core.h"

void pvi_gather_init(struct pvi_gather *g, struct pvi_host *host, struct pvi_hdom *hdom,
                     const struct pvi_pt_ops *ops)
{
    g->tables = NULL;
    g->share = NULL;
    g->lists = NULL;
    g->spare = NULL;
    g->nr_frames = 0;
    g->nr_ranges = g->nr_runs = g->nr_list_runs = g->nr_lists = g->nr_owing = g->nr_tables = 0;
    g->failed_unit = 0;
    g->tx = false;
    g->undo = false;
    g->postpone = false;
    g->reserve = false;
    g->failed = false;
    g->host = host;
    g->hdom = hdom;
    g->ops = ops;
}

bool pvi_gather_empty(const struct pvi_gather *g)
{
    return g->nr_ranges == 0 && g->nr_runs == 0 && !g->tables && !g->spare;
}

/* --- ranges ------------------------------------------------------------------------------------- */

static bool gather_touches(const struct pvi_gather_range *a, const struct pvi_gather_range *b)
{
    return a->ctx == b->ctx && a->added == b->added &&
           (a->whole || b->whole ||
            (a->first <= b->last && b->first <= a->last) || /* overlap */
            (a->last != UINT64_MAX && a->last + 1 == b->first) ||
            (b->last != UINT64_MAX && b->last + 1 == a->first));
}

static void gather_merge(struct pvi_gather_range *into, const struct pvi_gather_range *from)
{
    into->first = from->first < into->first ? from->first : into->first;
    into->last = from->last > into->last ? from->last : into->last;
    into->tables |= from->tables;
    into->whole |= from->whole;
}

/* Merges whatever touches, until nothing does. */
static void gather_compact(struct pvi_gather *g)
{
    uint32_t i, j;

    for (i = 0; i < g->nr_ranges; i++) {
        for (j = i + 1; j < g->nr_ranges;) {
            if (gather_touches(&g->range[i], &g->range[j])) {
                gather_merge(&g->range[i], &g->range[j]);
                g->range[j] = g->range[--g->nr_ranges];
                j = i + 1; /* the larger range may touch what it passed */
            } else {
                j++;
            }
        }
    }
}

/* Turns all ranges of one context into one for all of it. */
static void gather_collapse(struct pvi_gather *g, const struct pvi_context *ctx)
{
    struct pvi_gather_range all = {NULL, 0, UINT64_MAX, true, true, true};
    uint32_t i, kept = 0;

    for (i = 0; i < g->nr_ranges; i++) {
        if (g->range[i].ctx == ctx) {
            all.ctx = g->range[i].ctx;
            all.added &= g->range[i].added;
        } else {
            g->range[kept++] = g->range[i];
        }
    }
    g->range[kept++] = all;
    g->nr_ranges = kept;
}

bool pvi_gather_knows(const struct pvi_gather *g, const struct pvi_context *ctx)
{
    uint32_t i;

    for (i = 0; i < g->nr_ranges; i++) {
        if (g->range[i].ctx == ctx) {
            return true;
        }
    }
    return false;
}

int pvi_gather_short(struct pvi_gather *g, int rc)
{
    if ((rc != -PVI_ENOMEM && rc != -PVI_EQUOTA) || (!g->tables && !g->lists)) {
        return rc;
    }
    return pvi_gather_flush(g);
}

void pvi_gather_range(struct pvi_gather *g, struct pvi_context *ctx, uint64_t first, uint64_t last,
                      bool tables, bool added)
{
    struct pvi_gather_range range = {ctx, first, last, tables, false, added};

    if (g->nr_ranges > 0) {
        struct pvi_gather_range *newest = &g->range[g->nr_ranges - 1];

        if (added && newest->ctx == ctx && newest->tables && newest->first <= first && last <= newest->last) {
            return; /* where a table was taken away: that invalidation comes after this addition, and takes more */
        }
        if (gather_touches(newest, &range)) {
            gather_merge(newest, &range);
            return;
        }
    }
    if (g->nr_ranges == PVI_GATHER_RANGES) {
        gather_compact(g);
    }
    if (g->nr_ranges == PVI_GATHER_RANGES) {
        PVI_ASSERT(pvi_gather_knows(g, ctx));
        gather_collapse(g, ctx);
        g->range[g->nr_ranges - 1].added &= added;
        return;
    }
    g->range[g->nr_ranges++] = range;
}

/* --- what waits for the flush --------------------------------------------------------------------- */

bool pvi_gather_room(struct pvi_gather *g, struct pvi_pool *pool, struct pvi_quota *quota, uint64_t nr)
{
    struct pvi_page *list;

    if (g->nr_frames != 0 && g->nr_frames + nr > PVI_GATHER_FRAMES) {
        return false; /* releasing takes time, and nobody asks for the CPU in the middle of it */
    }
    if (g->nr_runs < PVI_GATHER_RUNS || (g->lists && g->nr_list_runs < PVI_LIST_RUNS)) {
        return true;
    }
    if (g->nr_lists == PVI_GATHER_LISTS || pvi_pool_take(pool, quota, 1, 0, PVI_PAGE_LIST, &list) != 0) {
        return false;
    }
    list->next = g->lists;
    g->lists = list;
    g->nr_lists++;
    g->nr_list_runs = 0;
    return true;
}

static bool gather_extend(struct pvi_gather_run *run, uint64_t pa, uint64_t nr, uint8_t owe)
{
    if (run->pa_owe + (run->nr << PVI_PAGE_LG2) != (pa | owe)) {
        return false;
    }
    run->nr += nr;
    return true;
}

static void gather_append(struct pvi_gather_run *run, uint32_t *nr_runs, uint64_t pa, uint64_t nr,
                          uint8_t owe)
{
    if (*nr_runs > 0 && gather_extend(&run[*nr_runs - 1], pa, nr, owe)) {
        return;
    }
    run[*nr_runs].pa_owe = pa | owe;
    run[*nr_runs].nr = nr;
    (*nr_runs)++;
}

void pvi_gather_frames(struct pvi_gather *g, uint64_t pa, uint64_t nr, uint8_t owe)
{
    g->nr_frames += nr;
    if (!g->lists) {
        PVI_ASSERT(g->nr_runs < PVI_GATHER_RUNS);
        gather_append(g->run, &g->nr_runs, pa, nr, owe);
    } else {
        struct pvi_gather_run *run = pvi_env_map(g->host, g->lists->pa);

        PVI_ASSERT(g->nr_list_runs < PVI_LIST_RUNS);
        gather_append(run, &g->nr_list_runs, pa, nr, owe);
        pvi_env_unmap(g->host, run);
    }
}

void pvi_gather_put_spare(struct pvi_gather *g)
{
    if (g->spare) {
        pvi_pool_put_list(g->spare->pool, g->spare); /* hardware never saw them */
    }
    g->spare = NULL;
}

int pvi_gather_take(struct pvi_gather *g, struct pvi_pool *pool, struct pvi_quota *quota, uint32_t nr, uint32_t more,
                    struct pvi_page **first)
{
    struct pvi_page *page = g->spare, *last;
    int rc;

    if (page && nr == 1 && page->quota == quota) {
        g->spare = page->next;
        page->next = NULL;
        *first = page;
        return 0;
    }
    pvi_gather_put_spare(g);
    rc = pvi_pool_take(pool, quota, nr, more, PVI_PAGE_TABLE, first);
    if (rc == 0) {
        for (last = *first; nr > 1; nr--) {
            last = last->next;
        }
        g->spare = last->next;
        last->next = NULL;
    }
    return rc;
}

bool pvi_gather_table_room(const struct pvi_gather *g, uint64_t nr)
{
    return g->nr_tables < PVI_GATHER_TABLES &&
           (nr == 0 || (g->nr_owing < PVI_GATHER_OWING && (g->nr_frames == 0 || g->nr_frames + nr <= PVI_GATHER_FRAMES)));
}

void pvi_gather_table(struct pvi_gather *g, struct pvi_page *table, uint64_t nr)
{
    PVI_ASSERT(table->state == PVI_PAGE_TABLE);
    (void)pvi_env_add32(&table->quota->gathered, 1);
    table->state = PVI_PAGE_GATHERED;
    g->share = g->nr_tables == 0 || g->share == table->quota ? table->quota : NULL;
    table->next = g->tables;
    g->tables = table;
    g->nr_tables++;
    g->nr_owing += nr != 0;
    g->nr_frames += nr;
}

bool pvi_gather_others(const struct pvi_gather *g, const struct pvi_quota *share)
{
    const struct pvi_page *table;
    uint32_t mine = 0;

    if (g->share == share || g->nr_tables == 0) { /* as mostly: all of one context, or none */
        mine = g->nr_tables;
    } else if (!g->share) {
        for (table = g->tables; table; table = table->next) {
            mine += table->quota == share;
        }
    }
    return pvi_env_read32(&share->gathered) != mine;
}

/* --- release -------------------------------------------------------------------------------------- */

static uint64_t gather_put_runs(struct pvi_gather *g, const struct pvi_gather_run *run, uint32_t nr,
                                bool ok)
{
    uint64_t frames = 0;
    uint32_t i;

    for (i = 0; i < nr; i++) {
        struct pvi_frames f;

        f.pa.a = run[i].pa_owe & ~PVI_PAGE_MASK;
        f.nr = run[i].nr;
        f.owe = (uint8_t)(run[i].pa_owe & PVI_PAGE_MASK);
        frames += f.nr;
        if (ok && f.owe != PVI_OWE_SCRATCH) {
            pvi_host_frame_put(g->host, g->hdom, &f);
        }
    }
    return frames;
}

/* Releases everything, or, when the flush failed, writes it off (R4: never reuse what may be cached). */
static uint64_t gather_release(struct pvi_gather *g, bool ok)
{
    bool logged = g->tx && !g->undo; /* the log of the transaction has the frames, too: they are its to release */
    uint64_t lost = gather_put_runs(g, g->run, g->nr_runs, ok && !logged);
    struct pvi_page *table, *next;
    uint32_t nr = g->nr_list_runs;

    while (g->lists) {
        struct pvi_page *list = g->lists;
        struct pvi_gather_run *run = pvi_env_map(g->host, list->pa);

        g->lists = list->next;
        lost += gather_put_runs(g, run, nr, ok && !logged);
        nr = PVI_LIST_RUNS; /* all but the newest are full */
        pvi_env_unmap(g->host, run);
        pvi_pool_put(list->pool, list); /* hardware never saw it */
    }
    for (table = g->tables; table; table = next) {
        struct pvi_frames run;
        unsigned from = 0;

        next = table->next;
        while (ok && table->owing != 0 && g->ops->owed(g->host, table, &from, &run) != 0) {
            if (run.owe != PVI_OWE_SCRATCH) {
                pvi_host_frame_put(g->host, g->hdom, &run);
            }
        }
        if (!ok) {
            lost += 1u + table->owing;
            pvi_pool_lose(table->pool, table);
        }
    }
    while (ok && g->tables) {
        struct pvi_page *first = g->tables, *end = first;

        while (end->next && end->next->pool == first->pool) {
            end = end->next;
        }
        g->tables = end->next;
        end->next = NULL;
        pvi_pool_put_list(first->pool, first);
    }
    g->tables = NULL;
    pvi_gather_put_spare(g);
    return lost;
}

/* --- flush ---------------------------------------------------------------------------------------- */

unsigned pvi_gather_block(uint64_t first, uint64_t last, unsigned max_lg2)
{
    unsigned lg2 = PVI_PAGE_LG2;

    while (lg2 < max_lg2 && (first & (((uint64_t)2 << lg2) - 1)) == 0 &&
           last - first >= ((uint64_t)2 << lg2) - 1) {
        lg2++;
    }
    return lg2;
}

/* Does this unit have to hear of this range? Added-only ranges matter to units that cache absence (R20). */
static bool gather_concerns(const struct pvi_gather_range *r, const struct pvi_unit *u)
{
    return !r->added || u->caps.np_cache;
}

/* Invalidations that it takes to cover a context's ranges exactly; above the limit, limit + 1. */
static unsigned gather_count(const struct pvi_gather *g, const struct pvi_context *ctx,
                             const struct pvi_unit *u)
{
    unsigned nr = 0, limit = u->caps.page_selective ? u->caps.inv_max_nr : 0;
    uint32_t i;

    for (i = 0; i < g->nr_ranges && nr <= limit; i++) {
        const struct pvi_gather_range *r = &g->range[i];
        uint64_t at = r->first;

        if (r->ctx != ctx || !gather_concerns(r, u)) {
            continue;
        }
        if (r->whole) {
            return limit + 1;
        }
        for (; nr <= limit; nr++) {
            uint64_t end = at + (((uint64_t)1 << pvi_gather_block(at, r->last, u->caps.inv_max_lg2)) - 1);

            if (end >= r->last) {
                nr++;
                break;
            }
            at = end + 1;
        }
    }
    return nr;
}

static int gather_pages(struct pvi_gather *g, const struct pvi_context *ctx, struct pvi_unit *u,
                        uint16_t did)
{
    struct pvi_inv *inv = g->inv;
    unsigned nr = 0;
    uint32_t i;
    int rc = 0;

    for (i = 0; i < g->nr_ranges && rc == 0; i++) {
        const struct pvi_gather_range *r = &g->range[i];
        uint64_t at = r->first, end;

        if (r->ctx != ctx || !gather_concerns(r, u)) {
            continue;
        }
        for (;; at = end + 1) {
            if (nr == PVI_GATHER_INV) {
                rc = pvi_host_inv_submit(g->host, u, inv, nr);
                nr = 0;
            }
            memset(&inv[nr], 0, sizeof(inv[nr]));
            inv[nr].kind = PVI_INV_PAGES;
            inv[nr].did = did;
            inv[nr].iova = at;
            inv[nr].lg2 = (uint8_t)pvi_gather_block(at, r->last, u->caps.inv_max_lg2);
            inv[nr].leaf_only = !r->tables && !r->added;
            end = at + (((uint64_t)1 << inv[nr].lg2) - 1);
            nr++;
            if (end >= r->last || rc != 0) {
                break;
            }
        }
    }
    return rc == 0 && nr > 0 ? pvi_host_inv_submit(g->host, u, inv, nr) : rc;
}

/*
 * Tells one unit what changed in one context, in the cheapest way that covers it. Sets *told when it had to. Of what nested entries led to
 * a unit keeps the guest's address, not the one that changed here: there it is all of the id (hwspec 4.2, 7.2).
 */
static int gather_tell(struct pvi_gather *g, const struct pvi_context *ctx, struct pvi_unit *u,
                       uint16_t did, bool nested, bool *told)
{
    unsigned nr = gather_count(g, ctx, u);
    struct pvi_inv inv;

    if (u->broken) {
        return -PVI_EHW;
    }
    memset(&inv, 0, sizeof(inv));
    inv.did = did;
    if (nr == 0) {
        inv.kind = PVI_INV_WBUF;
        return u->caps.write_buffer ? pvi_host_inv_submit(g->host, u, &inv, 1) : 0;
    }
    *told = true;
    if (nr <= u->caps.inv_max_nr && u->caps.page_selective && !nested) {
        return gather_pages(g, ctx, u, did);
    }
    inv.kind = PVI_INV_DOMAIN;
    return pvi_host_inv_submit(g->host, u, &inv, 1);
}

/* Queues what changes of ctx need on every unit that `by` is attached to: ctx itself, or a context that is nested on it. */
static CORE_NOINLINE int gather_units(struct pvi_gather *g, const struct pvi_context *ctx, struct pvi_context *by, uint64_t *told,
                                      bool *nested)
{
    const struct pvi_system *sys = ctx->domain->cfg.system;
    uint16_t did[PVI_MAX_UNITS];
    uint64_t units;
    unsigned i;
    int rc = 0;

    /* A unit that joins later starts from the tables as they are now; one that leaves stays listed until it
     * has forgotten everything. */
    pvi_env_acquire(g->host, &by->lock);
    units = by == ctx || by->parent == ctx ? by->units : 0;
    memcpy(did, by->did, sizeof(did));
    by->flushes += units != 0;
    *nested = by->nr_nested != 0;
    pvi_env_release(g->host, &by->lock);
    for (i = 0; i < sys->nr_units; i++) {
        bool one = false;
        int err;

        if ((units >> i & 1) == 0) {
            continue;
        }
        err = gather_tell(g, ctx, sys->unit[i], did[i], by != ctx, &one);
        g->failed_unit = err != 0 ? (uint8_t)i : g->failed_unit;
        rc = err != 0 ? err : rc;
        *told |= (uint64_t)one << i;
    }
    return rc;
}

static int gather_context(struct pvi_gather *g, struct pvi_context *ctx, uint64_t *told)
{
    struct pvi_context *child;
    bool nested, none;
    int rc = gather_units(g, ctx, ctx, told, &nested), err;
    unsigned i;

    for (i = 0; nested && i < PVI_MAX_NESTED; i++) {
        child = pvi_nested_child(ctx->domain, i);
        err = child ? gather_units(g, ctx, child, told, &none) : 0;
        rc = err != 0 ? err : rc;
    }
    return rc;
}

static void gather_break(struct pvi_gather *g)
{
    uint32_t i;

    for (i = 0; i < g->nr_ranges; i++) {
        struct pvi_context *ctx = g->range[i].ctx;

        if (ctx) {
            pvi_env_acquire(g->host, &ctx->lock);
            if (ctx->state == PVI_CTX_LIVE || ctx->state == PVI_CTX_BUILDING) {
                pvi_env_write32(&ctx->state, PVI_CTX_BROKEN);
            }
            pvi_env_release(g->host, &ctx->lock);
        }
    }
}

static int gather_invalidate(struct pvi_gather *g)
{
    struct pvi_unit *const *unit = NULL;
    uint64_t told = 0;
    uint32_t i, j;
    int rc = 0, err;

    if (g->nr_ranges > 1) {
        gather_compact(g);
    }
    for (i = 0; i < g->nr_ranges; i++) {
        struct pvi_context *ctx = g->range[i].ctx;

        for (j = 0; j < i && g->range[j].ctx != ctx; j++) {
        }
        if (ctx && j == i) { /* its first range */
            unit = ctx->domain->cfg.system->unit;
            err = gather_context(g, ctx, &told);
            rc = err != 0 ? err : rc;
        }
    }
    for (i = 0; told >> i != 0; i++) {
        if ((told >> i & 1) != 0) {
            err = pvi_host_inv_wait(g->host, unit[i]);
            g->failed_unit = err != 0 ? (uint8_t)i : g->failed_unit;
            rc = err != 0 ? err : rc;
        }
        if (i == PVI_MAX_UNITS - 1) {
            break;
        }
    }
    return rc;
}

/* Is there nothing to invalidate, and nothing to release? */
static bool gather_idle(const struct pvi_gather *g)
{
    uint32_t i;

    for (i = 0; i < g->nr_ranges; i++) {
        if (g->range[i].ctx) {
            return false;
        }
    }
    return g->nr_runs == 0 && !g->tables && !g->lists && !g->spare;
}

static CORE_NOINLINE int gather_flush(struct pvi_gather *g)
{
    uint64_t lost;
    int rc = gather_invalidate(g);

    if (rc != 0) {
        gather_break(g);
        g->failed = true;
    }
    lost = gather_release(g, rc == 0);
    if (rc != 0) {
        pvi_host_event(g->host, PVI_EVENT_FLUSH_FAILED, g->failed_unit, lost);
    }
    g->nr_frames = 0;
    g->nr_ranges = 0;
    g->nr_runs = 0;
    g->nr_list_runs = 0;
    g->nr_lists = 0;
    g->nr_owing = 0;
    g->nr_tables = 0;
    return rc != 0 ? -PVI_EHW : 0;
}

int pvi_gather_flush(struct pvi_gather *g)
{
    if (gather_idle(g)) {
        g->nr_ranges = 0;
        return 0;
    }
    return gather_flush(g);
}
