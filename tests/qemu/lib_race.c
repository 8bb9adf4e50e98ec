/* SPDX-License-Identifier: MIT */
/* What the threads do. See lib_race.h. */
#include "lib_race.h"

#include <string.h>
#include <unistd.h>

void race_qemu_take(struct race *r)
{
    uint64_t mine;

    pthread_mutex_lock(&r->qemu);
    mine = r->ticket++;
    while (r->serving != mine)
        pthread_cond_wait(&r->turn, &r->qemu);
    pthread_mutex_unlock(&r->qemu);
}

void race_qemu_drop(struct race *r)
{
    pthread_mutex_lock(&r->qemu);
    r->serving++;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->qemu);
}

static uint64_t below(struct race_worker *k, uint64_t n)
{
    k->seed ^= k->seed << 13;
    k->seed ^= k->seed >> 7;
    k->seed ^= k->seed << 17;
    return k->seed % n;
}

/* Requests of a worker ------------------------------------------------------------------------- */

static void flush(struct race_worker *k)
{
    race_qemu_take(k->r);
    lib_alone_flush_gather(&k->r->a, &k->gather);
    race_qemu_drop(k->r);
}

static void expect(struct race_worker *k, int rc)
{
    if (rc != 0) {
        k->bad++;
        k->answer = rc;
    }
}

/*
 * Was the answer one that asks for another call? A shared request that cannot go on gets the table
 * for itself, even when all that is left to do is to take empty tables away.
 */
static bool again(struct race_worker *k, int *rc, bool *shared)
{
    if (*rc == PVI_PT_ALONE && *shared) {
        pthread_rwlock_unlock(&k->r->table);
        pthread_rwlock_wrlock(&k->r->table);
        *shared = false;
        k->alone++;
    } else if (*rc == -PVI_EBUSY) {
        flush(k);
    } else {
        return false;
    }
    *rc = 0;
    return true;
}

static void map(struct race_worker *k, uint64_t iova, uint64_t pa, uint64_t len, bool replace)
{
    struct pvi_pt_map m = {
        .iova = iova,
        .pa = pa,
        .len = len,
        .prot = PVI_RW,
        .replace = replace,
        .shared = true,
    };
    struct pvi_pt *pt = &k->r->a.pt;
    int rc;

    pthread_rwlock_rdlock(&k->r->table);
    do {
        rc = pt->cfg.ops->map(pt, NULL, &m, &k->gather);
    } while (again(k, &rc, &m.shared) || (rc == 0 && m.done < len));
    pthread_rwlock_unlock(&k->r->table);
    expect(k, rc);
}

static void unmap_range(struct race_worker *k, uint64_t iova, uint64_t len, bool holes)
{
    struct pvi_pt_unmap u = {
        .first = iova,
        .last = iova + len - 1,
        .next = iova,
        .holes = holes,
        .shared = true,
    };
    struct pvi_pt *pt = &k->r->a.pt;
    int rc;

    pthread_rwlock_rdlock(&k->r->table);
    do {
        rc = pt->cfg.ops->unmap(pt, NULL, &u, &k->gather);
    } while (again(k, &rc, &u.shared) || (rc == 0 && !u.complete));
    pthread_rwlock_unlock(&k->r->table);
    expect(k, rc);
    flush(k);
}

static void unmap(struct race_worker *k, uint64_t iova, uint64_t len)
{
    unmap_range(k, iova, len, false);
}

static void unmap_all(struct race_worker *k, uint64_t iova, uint64_t len)
{
    unmap_range(k, iova, len, true);
}

/* Changes in place have no shared form. */
static void change(struct race_worker *k, struct pvi_pt_change *c,
                   int (*op)(struct pvi_pt *, struct pvi_context *, struct pvi_pt_change *,
                             struct pvi_gather *))
{
    bool shared = false;
    int rc;

    pthread_rwlock_wrlock(&k->r->table);
    do {
        rc = op(&k->r->a.pt, NULL, c, &k->gather);
    } while (again(k, &rc, &shared) || (rc == 0 && !c->complete));
    pthread_rwlock_unlock(&k->r->table);
    expect(k, rc);
}

static void split(struct race_worker *k, uint64_t iova, uint64_t len, unsigned lg2)
{
    struct pvi_pt_change c = {
        .first = iova, .last = iova + len - 1, .next = iova, .lg2 = (uint8_t)lg2};

    change(k, &c, k->r->a.pt.cfg.ops->split);
}

static void collapse(struct race_worker *k, uint64_t iova, uint64_t len)
{
    struct pvi_pt_change c = {.first = iova, .last = iova + len - 1, .next = iova};

    change(k, &c, k->r->a.pt.cfg.ops->collapse);
}

static void rights(struct race_worker *k, uint64_t iova, uint64_t len, unsigned prot)
{
    struct pvi_pt_change c = {
        .first = iova,
        .last = iova + len - 1,
        .next = iova,
        .prot = (uint8_t)prot,
        .owe = PVI_PT_KEEP,
    };

    change(k, &c, k->r->a.pt.cfg.ops->rights);
}

/* What a worker does --------------------------------------------------------------------------- */

/* A size to cut to, below 2^lg2. */
static unsigned any_size(struct race_worker *k, unsigned lg2)
{
    unsigned to;

    do {
        to = 12 + (unsigned)below(k, lg2 - 12);
    } while (!(k->r->a.sizes >> to & 1));
    return to;
}

static void do_single(struct race_worker *k, uint64_t base, uint64_t pa)
{
    unsigned i, page;

    for (i = 0; i < 16; i++) {
        page = 2 * (unsigned)below(k, 256) + 1;
        if (k->single[page])
            unmap(k, base + PART_SINGLE + page * LIB_PAGE, LIB_PAGE);
        else
            map(k, base + PART_SINGLE + page * LIB_PAGE, pa + PART_SINGLE + page * LIB_PAGE,
                LIB_PAGE, false);
        k->single[page] = !k->single[page];
    }
}

/* Many changes to a flush: what matters is what a walk meets in between. */
static void do_cut(struct race_worker *k, uint64_t base)
{
    unsigned i;

    for (i = 0; i < 16; i++) {
        split(k, base + PART_CUT, 2 * LIB_MIB, any_size(k, 21));
        collapse(k, base + PART_CUT, 2 * LIB_MIB);
    }
    flush(k);
}

static void do_huge(struct race_worker *k)
{
    unsigned i;

    for (i = 0; i < 8; i++) {
        split(k, RACE_HUGE, LIB_GIB, 21);
        split(k, RACE_HUGE + below(k, 512) * 2 * LIB_MIB, 2 * LIB_MIB, any_size(k, 21));
        collapse(k, RACE_HUGE, LIB_GIB);
    }
    flush(k);
}

static void do_hole(struct race_worker *k, uint64_t base, uint64_t pa)
{
    unsigned i, page;

    for (i = 0; i < 4; i++) {
        page = 16 + (unsigned)below(k, 496);
        unmap(k, base + PART_HOLE + page * LIB_PAGE, LIB_PAGE);
        map(k, base + PART_HOLE + page * LIB_PAGE, pa + PART_HOLE + page * LIB_PAGE, LIB_PAGE,
            false);
    }
    collapse(k, base + PART_HOLE, 2 * LIB_MIB);
    flush(k);
}

/* All of it, or some of it, by the other frames; then all of it by the first ones. */
static void do_swap(struct race_worker *k, uint64_t base, uint64_t pa)
{
    uint64_t first = below(k, 512) * LIB_PAGE, len = (1 + below(k, 64)) * LIB_PAGE;

    len = len < 2 * LIB_MIB - first ? len : 2 * LIB_MIB - first;
    if (below(k, 2)) {
        first = 0;
        len = 2 * LIB_MIB;
    }
    map(k, base + PART_SWAP + first, pa + PART_SWAP_TO + first, len, true);
    flush(k);
    map(k, base + PART_SWAP, pa + PART_SWAP, 2 * LIB_MIB, true);
    flush(k);
}

static void do_tables(struct race_worker *k, uint64_t base, uint64_t pa)
{
    uint64_t first = base + PART_TABLES;

    /* One page off: tables of small leaves. */
    if (k->tables)
        unmap(k, first, PART_TABLES_SIZE / 8);
    else
        map(k, first, pa + (below(k, 2) ? LIB_PAGE : 0), PART_TABLES_SIZE / 8, false);
    k->tables = !k->tables;
}

static void do_rights(struct race_worker *k, uint64_t base)
{
    uint64_t first = below(k, 4096) * LIB_PAGE, len = (1 + below(k, 64)) * LIB_PAGE;

    len = len < 16 * LIB_MIB - first ? len : 16 * LIB_MIB - first;
    rights(k, base + PART_RIGHTS + first, len, PVI_READ);
    rights(k, base + PART_RIGHTS + first, len, PVI_RW);
    if (below(k, 2))
        collapse(k, base + PART_RIGHTS, 16 * LIB_MIB);
    flush(k);
}

/* The first to come makes the tables above, the last to go takes them away, where they go at once.
 */
static void do_far(struct race_worker *k, uint64_t pa)
{
    uint64_t first = RACE_FAR(k->w) + below(k, 4096) * 37 * LIB_PAGE;
    unsigned i;

    for (i = 0; i < 8; i++) {
        map(k, first, pa, LIB_PAGE * (1 + below(k, 3)), false);
        unmap_all(k, RACE_FAR(k->w), LIB_GIB);
    }
}

void *race_work(void *worker)
{
    struct race_worker *k = worker;
    uint64_t base = RACE_WINDOW(k->w), pa = RACE_PA(k->w);
    unsigned what;

    while (!atomic_load(&k->r->stop)) {
        what = (unsigned)below(k, RACE_DEEDS);
        switch (what) {
        case 0:
            do_single(k, base, pa);
            break;
        case 1:
            do_cut(k, base);
            break;
        case 2:
            do_hole(k, base, pa);
            break;
        case 3:
            do_swap(k, base, pa);
            break;
        case 4:
            do_tables(k, base, pa);
            break;
        case 5:
            do_rights(k, base);
            break;
        case 6:
            do_far(k, pa);
            break;
        default:
            do_huge(k);
        }
        k->rounds[what]++;
        atomic_fetch_add(&k->all, 1);
    }
    return NULL;
}

/* Lookups need no lock, but what they say of a page that is watched is known. */
void *race_look(void *race)
{
    struct race *r = race;
    struct pvi_pt_leaf leaf;
    unsigned at = 0;

    while (!atomic_load(&r->stop)) {
        const struct race_watch *w = &r->watch[at = (at + 67) % r->nr_watches];
        int rc = r->a.pt.cfg.ops->lookup(&r->a.pt, w->iova, &leaf);

        if (++r->looks % 64 == 0)
            usleep(20); /* two processors are enough */
        if (rc == -PVI_EBUSY)
            r->busy++;
        else if (rc != 0 || (leaf.pa != w->pa && leaf.pa != w->other))
            r->wrong++;
    }
    return NULL;
}

/* Before and after ----------------------------------------------------------------------------- */

static void fill(struct race *r, uint64_t iova, uint64_t pa, uint64_t len)
{
    lib_check_status(r->l, lib_alone_map(&r->a, iova, pa, len, PVI_RW, false), 0, "map");
}

static void watch(struct race *r, uint64_t iova, uint64_t pa, uint64_t other, bool writable)
{
    struct race_watch *w = &r->watch[r->nr_watches++];

    w->iova = iova;
    w->pa = pa;
    w->other = other;
    w->writable = writable;
}

static void fill_window(struct race *r, unsigned n)
{
    uint64_t base = RACE_WINDOW(n), pa = RACE_PA(n);
    unsigned i;

    for (i = 0; i < 512; i += 2) {
        fill(r, base + PART_SINGLE + i * LIB_PAGE, pa + PART_SINGLE + i * LIB_PAGE, LIB_PAGE);
        watch(r, base + PART_SINGLE + i * LIB_PAGE, pa + PART_SINGLE + i * LIB_PAGE, 0, true);
    }
    fill(r, base + PART_CUT, pa + PART_CUT, 2 * LIB_MIB);
    fill(r, base + PART_HOLE, pa + PART_HOLE, 2 * LIB_MIB);
    fill(r, base + PART_SWAP, pa + PART_SWAP, 2 * LIB_MIB);
    fill(r, base + PART_RIGHTS, pa + PART_RIGHTS, 16 * LIB_MIB);
    for (i = 0; i < 512; i += 2)
        watch(r, base + PART_CUT + i * LIB_PAGE, pa + PART_CUT + i * LIB_PAGE, 0, true);
    for (i = 0; i < 16; i++)
        watch(r, base + PART_HOLE + i * LIB_PAGE, pa + PART_HOLE + i * LIB_PAGE, 0, true);
    for (i = 0; i < 512; i += 4)
        watch(r, base + PART_SWAP + i * LIB_PAGE, pa + PART_SWAP + i * LIB_PAGE,
              pa + PART_SWAP_TO + i * LIB_PAGE, true);
    for (i = 0; i < 4096; i += 7)
        watch(r, base + PART_RIGHTS + i * LIB_PAGE, pa + PART_RIGHTS + i * LIB_PAGE, 0, false);
}

void race_fill(struct race *r)
{
    unsigned n;

    for (n = 0; n < RACE_WORKERS; n++) {
        struct race_worker *k = &r->worker[n];

        memset(k, 0, sizeof(*k));
        k->r = r;
        k->w = n;
        k->seed = UINT64_C(0x9E3779B97F4A7C15) * (n + 1);
        pvi_gather_init(&k->gather, r->l->host, NULL, r->a.pt.cfg.ops);
        fill_window(r, n);
    }
    fill(r, RACE_HUGE, RACE_HUGE_PA, LIB_GIB);
    for (n = 0; n < 512; n += 3)
        watch(r, RACE_HUGE + n * (2 * LIB_MIB + LIB_PAGE) % LIB_GIB,
              RACE_HUGE_PA + n * (2 * LIB_MIB + LIB_PAGE) % LIB_GIB, 0, true);
}

void race_empty(struct race *r)
{
    unsigned n;

    for (n = 0; n < RACE_WORKERS; n++)
        lib_check_status(r->l, lib_alone_unmap(&r->a, RACE_WINDOW(n), LIB_GIB), 0, "unmap");
    lib_check_status(r->l, lib_alone_unmap(&r->a, RACE_HUGE, LIB_GIB), 0, "unmap");
    lib_alone_flush(&r->a);
}
