/* SPDX-License-Identifier: MIT */
/* Random operations on a lab; see lab.h. */
#include "lab.h"

#include <stdlib.h>

struct window {
    struct lab *r;
    struct rnd rnd;
    uint64_t first, len;
};

/* A range in the window: mostly small, often with a border where large leaves have theirs. */
static uint64_t pick(struct window *w, uint64_t *len)
{
    const struct lab *r = w->r;
    uint64_t unit = r->page, nr, first;

    switch (rnd_below(&w->rnd, 8)) {
    case 0:
        unit = lab_single(r, 1) ? lab_single(r, 1) : r->page;
        nr = 1 + rnd_below(&w->rnd, 3);
        break;
    case 1:
    case 2:
        unit = lab_size(r, (unsigned)rnd_below(&w->rnd, lab_nr_sizes(r)));
        unit = unit > w->len ? r->page : unit;
        nr = 1 + rnd_below(&w->rnd, 4);
        break;
    case 3:
        nr = 1 + rnd_below(&w->rnd, 700);
        break;
    default:
        nr = 1 + rnd_below(&w->rnd, 12);
    }
    first = rnd_below(&w->rnd, w->len / unit) * unit;
    *len = nr * unit < w->len - first ? nr * unit : w->len - first;
    return w->first + first;
}

static unsigned any_prot(struct window *w)
{
    return rnd_below(&w->rnd, 2) != 0 ? PVI_RW : 1 + (unsigned)rnd_below(&w->rnd, 3);
}

/* Frames that large leaves fit, or nearly so, or any. */
static uint64_t any_frames(struct window *w, uint64_t iova, uint64_t len)
{
    uint64_t step = w->r->page >> 12, near = (iova & 0x3fffffff) >> 12;

    switch (rnd_below(&w->rnd, 4)) {
    case 0:
        return GUEST_PV + rnd_below(&w->rnd, (GUEST_PV_NR - (len >> 12)) / step) * step;
    case 1:
        return GUEST_PV + near + step * (1 + rnd_below(&w->rnd, 5));
    default:
        return GUEST_PV + near;
    }
}

static void map_some(struct window *w, bool replace)
{
    uint64_t len, iova = pick(w, &len), gfn = any_frames(w, iova, len);

    if (replace) {
        (void)lab_replace(w->r, iova, gfn, len, any_prot(w));
    } else {
        (void)lab_map(w->r, iova, gfn, len, any_prot(w));
    }
}

static void map_listed(struct window *w, bool replace)
{
    uint64_t len, iova = pick(w, &len), gfn[600], step = w->r->page >> 12;
    size_t nr = len / w->r->page < 600 ? len / w->r->page : 600;

    gfn[0] = any_frames(w, iova, nr * w->r->page);
    for (size_t i = 1; i < nr; i++) {
        bool jump = rnd_below(&w->rnd, 64) == 0;

        gfn[i] = jump ? GUEST_PV + rnd_below(&w->rnd, 0x10000 / step) * step : gfn[i - 1] + step;
        gfn[i] = gfn[i] < GUEST_PV + GUEST_PV_NR - step ? gfn[i] : GUEST_PV;
    }
    (void)lab_map_list(w->r, iova, gfn, nr, any_prot(w), replace);
}

static void unmap_some(struct window *w)
{
    uint64_t len, iova = pick(w, &len);
    bool holes = rnd_below(&w->rnd, 3) != 0;

    if (rnd_below(&w->rnd, 4) == 0) {
        (void)lab_unmap_whole(w->r, iova, iova + (len - 1), holes, NULL);
    } else if (rnd_below(&w->rnd, 40) == 0) {
        (void)lab_unmap(w->r, w->first, w->first + (w->len - 1), true, NULL);
    } else {
        (void)lab_unmap(w->r, iova, iova + (len - 1), holes, NULL);
    }
}

static void change_some(struct window *w)
{
    uint64_t len, iova = pick(w, &len), size;

    switch (rnd_below(&w->rnd, 4)) {
    case 0:
        size = lab_size(w->r, (unsigned)rnd_below(&w->rnd, lab_nr_sizes(w->r)));
        if (len / size < 4096) {
            (void)lab_split(w->r, iova, iova + (len - 1), (unsigned)__builtin_ctzll(size));
        }
        break;
    case 1:
        lab_collapse(w->r, iova, iova + (len - 1));
        break;
    default:
        (void)lab_rights(w->r, iova, iova + (len - 1), any_prot(w), rnd_below(&w->rnd, 2) != 0, rnd_below(&w->rnd, 4) == 0,
                         NULL);
    }
}

static void look_at_some(struct window *w)
{
    uint64_t len, iova = pick(w, &len);

    switch (rnd_below(&w->rnd, 4)) {
    case 0:
        lab_scan(w->r, iova, iova + (len - 1));
        break;
    case 1:
        lab_check(w->r);
        if (w->r->cfg.dirty && lab_set_at(&w->r->leaves, iova)) {
            lab_device_writes(w->r, iova, (unsigned)rnd_below(&w->rnd, 512));
        }
        break;
    case 2:
        lab_check(w->r);
        if (len < 1ull << 32) {
            lab_dirty(w->r, iova, iova + (len - 1), rnd_below(&w->rnd, 2) != 0);
        }
        break;
    default:
        lab_lookup(w->r, iova + rnd_below(&w->rnd, len));
    }
}

static void one_operation(struct window *w)
{
    unsigned what = (unsigned)rnd_below(&w->rnd, 64);

    if (what < 20) {
        map_some(w, false);
    } else if (what < 24) {
        map_some(w, !w->r->cfg.fixed);
    } else if (what < 28) {
        map_listed(w, false);
    } else if (what < 30) {
        map_listed(w, !w->r->cfg.fixed);
    } else if (what < 48) {
        unmap_some(w);
    } else if (what < 60) {
        change_some(w);
    } else {
        look_at_some(w);
    }
}

static void choose_window(struct window *w)
{
    const struct lab *r = w->r;
    uint64_t span = lab_table_span(r), borders;

    w->len = 6 * span;
    if (r->last / 2 < w->len) {
        w->first = 0;
        w->len = r->last < w->len ? r->last + 1 : w->len;
        return;
    }
    /* Its middle lies on a border of a table of some level, or at an end of the space. */
    borders = 1ull << r->cfg.f->shift[rnd_below(&w->rnd, r->cfg.levels)];
    borders = borders < 8 * span ? 8 * span : borders;
    switch (rnd_below(&w->rnd, 3)) {
    case 0:
        w->first = 0;
        break;
    case 1:
        w->first = r->last - (w->len - 1);
        break;
    default:
        w->first = r->last / borders >= 2 ? (1 + rnd_below(&w->rnd, r->last / borders - 1)) * borders - w->len / 2 : 0;
    }
}

void lab_random(struct lab *r, unsigned nr, uint64_t seed)
{
    struct window w = {.r = r, .rnd = {seed}};

    choose_window(&w);
    for (unsigned i = 0; i < nr; i++) {
        check_step("seed 0x%llx, operation %u", (unsigned long long)seed, i);
        one_operation(&w);
        if (rnd_below(&w.rnd, 16) == 0) {
            lab_flush(r);
        }
        if (rnd_below(&w.rnd, 32) == 0) {
            check_step("seed 0x%llx, after operation %u", (unsigned long long)seed, i);
            lab_check(r);
        }
    }
    lab_flush(r);
    lab_check(r);
    CHECK(!r->cfg.trim || r->quota.used == lab_needed(r));
}

#define ROUND 2000u

void lab_random_tables(const struct lab_format *f, unsigned nr, uint64_t seed)
{
    static struct lab r;
    struct rnd rnd = {seed};

    for (unsigned done = 0; done < nr; done += ROUND) {
        const struct lab_depth *d;
        struct lab_cfg cfg = {.f = f, .sizes = UINT64_MAX};
        unsigned set;

        do {
            d = &lab_depths[rnd_below(&rnd, lab_nr_depths)];
        } while (d->f != f);
        cfg.levels = d->levels;
        set = (unsigned)rnd_below(&rnd, 9);
        if (set < 5 && f->sets[set] != 0) {
            cfg.sizes = f->sets[set];
        } else if (set < 7) {
            cfg.sizes = 1ull << f->shift[0] | 1ull << f->shift[1] | 1ull << f->shift[2];
        } else if (set == 7 && lab_usable(f, cfg.levels, 1ull << f->shift[1] | 1ull << f->shift[2]) != 0) {
            cfg.sizes = 1ull << f->shift[1] | 1ull << f->shift[2];
        }
        if (lab_usable(f, cfg.levels, cfg.sizes) == 0) {
            cfg.sizes = UINT64_MAX;
        }
        cfg.trim = rnd_below(&rnd, 2) != 0;
        cfg.incoherent = rnd_below(&rnd, 4) == 0;
        cfg.dirty = !cfg.incoherent && rnd_below(&rnd, 3) == 0;
        cfg.fixed = rnd_below(&rnd, 16) == 0;
        cfg.pages = rnd_below(&rnd, 4) == 0 ? 4 + (uint32_t)rnd_below(&rnd, 12) : 300;
        lab_up(&r, &cfg);
        lab_random(&r, ROUND < nr - done ? ROUND : nr - done, rnd_next(&rnd));
        lab_down(&r);
    }
}
