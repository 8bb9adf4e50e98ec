/* SPDX-License-Identifier: MIT */
/* Operations of the lab that map and unmap, each predicted. */
#include "lab_internal.h"

#include <stdlib.h>
#include <string.h>

#define G1 0x40000000ull

uint64_t lab_slice_begin(const struct lab *r)
{
    return pvi_posix_calls(r->host, PVI_AT_WRITE);
}

uint64_t lab_slice_end(struct lab *r, uint64_t began)
{
    uint64_t stores = pvi_posix_calls(r->host, PVI_AT_WRITE) - began;

    r->most_stores = stores > r->most_stores ? stores : r->most_stores;
    return stores;
}

void lab_adopt(struct lab *r, uint64_t first, uint64_t last)
{
    if (r->adopt_first > r->adopt_last) {
        r->adopt_first = first;
        r->adopt_last = last;
    }
    r->adopt_first = first < r->adopt_first ? first : r->adopt_first;
    r->adopt_last = last > r->adopt_last ? last : r->adopt_last;
}

/* --- map ------------------------------------------------------------------------------------------ */

/* The frames of the range, contiguous and pinned; the guest's ranges are made so. */
static struct pvi_frames pin(struct lab *r, uint64_t gfn, uint64_t len, unsigned prot)
{
    struct pvi_frames f;
    pvi_gfn g = {gfn};

    CHECK_EQ(pvi_host_frame_get(r->host, r->hdom, g, len >> 12, prot, &f), 0);
    CHECK_EQ(f.nr, len >> 12);
    return f;
}

static void unpin(struct lab *r, uint64_t pa, uint64_t len, uint8_t owe)
{
    struct pvi_frames f = {{pa}, len >> 12, owe};

    if (f.nr != 0 && owe != PVI_OWE_NONE) {
        pvi_host_frame_put(r->host, r->hdom, &f);
    }
}

/* Bytes [from, to) of the request are mapped now; over: something was in its range. */
static void now_mapped(struct lab *r, const struct pvi_pt_map *m, const struct lab_frames *all, uint64_t from,
                       uint64_t to, bool over)
{
    struct lab_frames rest = *all;
    uint64_t first = m->iova + from, last = m->iova + (to - 1), at, step = all->list ? r->page : to - from;

    rest.pa += from;
    rest.len -= from;
    if (over) {
        CHECK(m->replace);
        lab_adopt(r, first, last);
        (void)lab_set_unmap(&r->leaves, first, last);
        rest.len = to - from; /* no larger than what this slice did */
    }
    rest.list = all->list ? all->list + from / r->page : NULL;
    CHECK_EQ(lab_set_map(&r->leaves, first, &rest, to - from), to - from);
    for (at = from; at < to; at += step) {
        uint64_t pa = all->list ? all->list[at / r->page] : all->pa + at;

        CHECK(flat_replace(r->now, (m->iova + at) >> 12, step >> 12, pa, m->prot, m->owe));
    }
}

static bool has_rights(const struct lab *r, unsigned prot)
{
    return prot <= PVI_RW && (r->cfg.f->rights >> prot & 1) != 0 && !(r->cfg.no_read_only && prot == PVI_READ);
}

/* Calls the engine until the request is done or refused. */
static int drive_map(struct lab *r, struct pvi_pt_map *m, const struct lab_frames *f)
{
    bool over = m->replace && lab_set_bytes(&r->leaves, m->iova, m->iova + (m->len - 1)) != 0;
    uint64_t taken, want = m->len, turns = 0;
    int rc = 0;

    if (!m->replace && flat_overlap(r->now, m->iova >> 12, m->len >> 12, &taken)) {
        want = (taken << 12) - m->iova;
    }
    while (rc == 0 && m->done < m->len) {
        uint64_t before = m->done, stores = lab_slice_begin(r);

        rc = r->pt.cfg.ops->map(&r->pt, NULL, m, &r->gather);
        stores = lab_slice_end(r, stores);
        /* Mapped something, or cleared its way. */
        CHECK(rc != 0 || m->done > before || stores > 0 || !pvi_posix_recording());
        CHECK(m->done >= before && m->done <= m->len);
        if (m->done > before) {
            now_mapped(r, m, f, before, m->done, over);
        }
        if (rc == -PVI_EBUSY && m->replace) {
            lab_flush(r);
            rc = 0;
        }
        rc = lab_more_pages(r, rc) ? 0 : rc;
        CHECK(++turns < 10000000);
    }
    if (!has_rights(r, m->prot)) {
        CHECK_EQ(rc, -PVI_EOPNOTSUPP);
        CHECK_EQ(m->done, 0);
    } else if (rc == -PVI_ENOMEM || rc == -PVI_EQUOTA) {
        r->adopt = r->adopt || m->replace;
    } else {
        CHECK_EQ(m->done, want);
        CHECK_EQ(rc, want == m->len ? 0 : -PVI_EEXIST);
    }
    return rc;
}

static int map_run(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len, unsigned prot, bool replace)
{
    struct pvi_frames f = pin(r, gfn, len, prot);
    struct pvi_pt_map m = {
        .iova = iova, .pa = f.pa.a, .len = len, .prot = (uint8_t)prot, .owe = f.owe, .replace = replace};
    struct lab_frames frames = {.pa = f.pa.a, .len = len, .page_lg2 = 12, .prot = m.prot, .owe = m.owe};
    int rc = drive_map(r, &m, &frames);

    unpin(r, f.pa.a + m.done, len - m.done, f.owe);
    return rc;
}

int lab_map(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len, unsigned prot)
{
    return map_run(r, iova, gfn, len, prot, false);
}

int lab_replace(struct lab *r, uint64_t iova, uint64_t gfn, uint64_t len, unsigned prot)
{
    return map_run(r, iova, gfn, len, prot, true);
}

int lab_map_pa(struct lab *r, uint64_t iova, uint64_t pa, uint64_t len, unsigned prot)
{
    struct pvi_pt_map m = {.iova = iova, .pa = pa, .len = len, .prot = (uint8_t)prot};
    struct lab_frames frames = {.pa = pa, .len = len, .page_lg2 = 12, .prot = m.prot};

    return drive_map(r, &m, &frames);
}

int lab_map_list(struct lab *r, uint64_t iova, const uint64_t *gfn, size_t nr, unsigned prot, bool replace)
{
    pvi_pa *list = calloc(nr, sizeof(*list));
    uint64_t *pa = calloc(nr, sizeof(*pa));
    struct pvi_pt_map m = {
        .iova = iova, .len = nr * r->page, .list = list, .prot = (uint8_t)prot, .replace = replace};
    struct lab_frames frames = {.list = pa, .len = m.len, .prot = m.prot};
    int rc;

    CHECK(list && pa);
    for (size_t i = 0; i < nr; i++) {
        struct pvi_frames f = pin(r, gfn[i], r->page, prot);

        CHECK(i == 0 || f.owe == m.owe);
        m.owe = frames.owe = f.owe;
        list[i] = f.pa;
        pa[i] = f.pa.a;
    }
    frames.page_lg2 = (uint8_t)__builtin_ctzll(r->page);
    rc = drive_map(r, &m, &frames);
    for (size_t i = m.done / r->page; i < nr; i++) {
        unpin(r, pa[i], r->page, m.owe);
    }
    free(list);
    free(pa);
    return rc;
}

void lab_map_ok(struct lab *r, uint64_t iova, uint64_t len)
{
    CHECK_EQ(lab_map(r, iova, GUEST_PV + ((iova & (G1 - 1)) >> 12), len, PVI_RW), 0);
}

/* --- unmap ---------------------------------------------------------------------------------------- */

static int unmap(struct lab *r, struct pvi_pt_unmap *u)
{
    uint64_t slices = 0, removed = 0, stop = 0;
    unsigned stops;
    int rc = 0;

    if (u->whole && (r->adopt || r->adopt_first <= r->adopt_last)) {
        lab_check(r);
    }
    stops = lab_set_stop(&r->leaves, u->first, u->last, u->holes, u->whole, &stop);
    while (rc == 0 && !u->complete) {
        uint64_t before = u->next, end, stores = lab_slice_begin(r);
        uint32_t tables = r->quota.used - r->gather.nr_lists;

        rc = r->pt.cfg.ops->unmap(&r->pt, NULL, u, &r->gather);
        (void)lab_slice_end(r, stores);
        /* One split a slice; where single entries cannot be leaves, all that a leaf is repeated in are split. */
        CHECK(r->quota.used - r->gather.nr_lists <= tables + (r->all_at_once ? PVI_TABLE_ENTRIES / 2 : 1));
        end = u->complete ? u->last : u->next - 1;
        CHECK(u->complete || u->next >= before);
        if (u->complete || u->next > before) {
            removed += lab_set_unmap(&r->leaves, before, end);
            (void)flat_unmap(r->now, before >> 12, ((end - before) >> 12) + 1);
        }
        CHECK_EQ(u->removed, removed);
        if (rc == -PVI_EBUSY) {
            lab_flush(r);
            rc = 0;
        }
        rc = lab_more_pages(r, rc) ? 0 : rc;
        CHECK(++slices < 10000000);
    }
    if (rc == -PVI_ENOMEM || rc == -PVI_EQUOTA) {
        r->adopt = true;
    } else {
        CHECK_EQ(rc, stops == 2 ? -PVI_EPART : stops == 1 ? -PVI_ENOENT : 0);
        CHECK(stops == 0 || u->next == stop);
    }
    return rc;
}

int lab_unmap(struct lab *r, uint64_t first, uint64_t last, bool holes, uint64_t *next)
{
    struct pvi_pt_unmap u = {.first = first, .last = last, .next = first, .holes = holes, .whole = r->cfg.fixed};
    int rc;

    rc = unmap(r, &u);
    if (next) {
        *next = u.next;
    }
    return rc;
}

int lab_unmap_whole(struct lab *r, uint64_t first, uint64_t last, bool holes, uint64_t *next)
{
    struct pvi_pt_unmap u = {.first = first, .last = last, .next = first, .holes = holes, .whole = true};
    int rc = unmap(r, &u);

    if (next) {
        *next = u.next;
    }
    return rc;
}
