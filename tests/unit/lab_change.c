/* SPDX-License-Identifier: MIT */
/* Operations of the lab that change what is mapped, or look at it; each predicted. */
#include "lab_internal.h"

#include <stdlib.h>
#include <string.h>

/* What the next prediction depends on must be known: leaves whose sizes were the engine's choice are read. */
static void know_leaves(struct lab *r)
{
    if (r->adopt || r->adopt_first <= r->adopt_last) {
        lab_check(r);
    }
}

/* --- rights ---------------------------------------------------------------------------------------- */

/* Pins, or puts, the frames behind [first, last] once more, with other rights; returns what they owe now. */
static uint8_t pin_again(struct lab *r, uint64_t first, uint64_t last, unsigned prot, bool get)
{
    uint8_t owe = PVI_OWE_NONE;

    for (size_t i = lab_set_find(&r->leaves, first); i < r->leaves.nr && r->leaves.leaf[i].iova <= last; i++) {
        const struct lab_leaf *l = &r->leaves.leaf[i];
        uint64_t a = l->iova > first ? l->iova : first, b = lab_leaf_last(l) < last ? lab_leaf_last(l) : last;
        pvi_pa pa = {l->pa + (a - l->iova)};
        struct pvi_frames f;
        pvi_gfn gfn;

        CHECK_EQ(pvi_host_frame_gfn(r->host, r->hdom, pa, &gfn), 0);
        CHECK_EQ(pvi_host_frame_get(r->host, r->hdom, gfn, ((b - a) >> 12) + 1, prot, &f), 0);
        CHECK_EQ(f.pa.a, pa.a);
        owe = f.owe;
        if (!get && owe != PVI_OWE_NONE) { /* twice: the one from above, the one from before */
            pvi_host_frame_put(r->host, r->hdom, &f);
            pvi_host_frame_put(r->host, r->hdom, &f);
        }
    }
    return owe;
}

int lab_rights(struct lab *r, uint64_t first, uint64_t last, unsigned prot, bool keep, bool whole, uint64_t *next)
{
    struct pvi_pt_change c = {
        .first = first, .last = last, .next = first, .prot = (uint8_t)prot, .owe = PVI_PT_KEEP, .whole = whole};
    bool allowed = (r->cfg.f->rights >> prot & 1) != 0 && !(r->cfg.no_read_only && prot == PVI_READ);
    uint64_t stop = last, turns = 0;
    unsigned stops;
    int rc = 0;

    know_leaves(r);
    stops = lab_set_stop(&r->leaves, first, last, false, whole || r->cfg.fixed, &stop);
    if (!keep && allowed && (stops == 0 || stop > first)) {
        c.owe = pin_again(r, first, stops == 0 ? last : stop - 1, prot, true);
    }
    while (rc == 0 && !c.complete) {
        uint64_t before = c.next, end, stores = lab_slice_begin(r);

        rc = r->pt.cfg.ops->rights(&r->pt, NULL, &c, &r->gather);
        (void)lab_slice_end(r, stores);
        end = c.complete ? last : c.next - 1;
        CHECK(c.complete || c.next >= before);
        if (c.complete || c.next > before) {
            CHECK_EQ(flat_protect(r->now, before >> 12, ((end - before) >> 12) + 1, prot), ((end - before) >> 12) + 1);
            lab_set_rights(&r->leaves, before, end, prot, c.owe);
        }
        if (rc == -PVI_EBUSY) {
            lab_flush(r);
            rc = 0;
        }
        rc = lab_more_pages(r, rc) ? 0 : rc;
        CHECK(++turns < 10000000);
    }
    if (!allowed) {
        CHECK_EQ(rc, -PVI_EOPNOTSUPP);
        CHECK_EQ(c.next, first);
    } else if (rc == -PVI_ENOMEM || rc == -PVI_EQUOTA) {
        r->adopt = true;
        if (c.owe != PVI_PT_KEEP) {
            (void)pin_again(r, c.next, stops == 0 ? last : stop - 1, prot, false);
        }
    } else {
        CHECK_EQ(rc, stops == 2 ? -PVI_EPART : stops == 1 ? -PVI_ENOENT : 0);
        CHECK(stops == 0 || c.next == stop);
    }
    if (next) {
        *next = c.next;
    }
    return rc;
}

/* --- sizes ------------------------------------------------------------------------------------------ */

/*
 * Which sizes the parts of a leaf get that lie outside of the range is the engine's choice; no leaf in the range is too
 * large.
 */
static void now_split(struct lab *r, uint64_t first, uint64_t last, unsigned lg2)
{
    const struct lab_leaf *a = lab_set_at(&r->leaves, first), *b = lab_set_at(&r->leaves, last);

    if (a && a->iova < first) {
        lab_adopt(r, a->iova, lab_leaf_last(a));
    }
    if (b && lab_leaf_last(b) > last) {
        lab_adopt(r, b->iova, lab_leaf_last(b));
    }
    lab_set_split(&r->leaves, first, last, lg2);
    know_leaves(r);
    for (size_t i = lab_set_find(&r->leaves, first); i < r->leaves.nr && r->leaves.leaf[i].iova <= last; i++) {
        CHECK(r->leaves.leaf[i].lg2 <= lg2);
    }
}

int lab_split(struct lab *r, uint64_t first, uint64_t last, unsigned lg2)
{
    struct pvi_pt_change c = {.first = first, .last = last, .next = first, .lg2 = (uint8_t)lg2};
    uint64_t turns = 0;
    int rc = 0;

    know_leaves(r);
    while (rc == 0 && !c.complete) {
        uint64_t before = c.next, stores = lab_slice_begin(r);

        rc = r->pt.cfg.ops->split(&r->pt, NULL, &c, &r->gather);
        (void)lab_slice_end(r, stores);
        rc = lab_more_pages(r, rc) ? 0 : rc;
        CHECK(c.complete || c.next >= before);
        CHECK(++turns < 10000000);
    }
    if (r->cfg.fixed || (r->usable >> lg2 & 1) == 0) {
        CHECK_EQ(rc, -PVI_EOPNOTSUPP);
        CHECK_EQ(c.next, first);
    } else if (rc == -PVI_ENOMEM || rc == -PVI_EQUOTA) {
        r->adopt = true;
        if (c.next > first) {
            now_split(r, first, c.next - 1, lg2);
        }
    } else {
        CHECK_EQ(rc, 0);
        now_split(r, first, last, lg2);
    }
    return rc;
}

void lab_collapse(struct lab *r, uint64_t first, uint64_t last)
{
    struct pvi_pt_change c = {.first = first, .last = last, .next = first};
    uint32_t pages = r->quota.used;
    uint64_t turns = 0;
    int rc = 0;

    know_leaves(r);
    while (rc == 0 && !c.complete) {
        uint64_t before = c.next, stores = lab_slice_begin(r);

        rc = r->pt.cfg.ops->collapse(&r->pt, NULL, &c, &r->gather);
        (void)lab_slice_end(r, stores);
        CHECK(c.complete || c.next >= before);
        CHECK(++turns < 10000000);
    }
    CHECK_EQ(r->quota.used, pages); /* tables that became leaves wait in the gather */
    if (r->cfg.fixed) {
        CHECK_EQ(rc, -PVI_EOPNOTSUPP);
        CHECK_EQ(c.next, first);
        return;
    }
    CHECK_EQ(rc, 0);
    lab_set_collapse(&r->leaves, first, last);
}

/* --- what devices wrote ----------------------------------------------------------------------------- */

void lab_device_writes(struct lab *r, uint64_t iova, unsigned replica)
{
    static struct lab_leaf leaf[LAB_MAX_LEAVES];
    struct pvi_posix_view view = {.host = r->host, .coherent = !r->cfg.incoherent};
    struct lab_leaf *model;
    size_t nr = lab_leaves(r, leaf, LAB_MAX_LEAVES), i;

    know_leaves(r);
    for (i = 0; i < nr && !(leaf[i].iova <= iova && iova <= lab_leaf_last(&leaf[i])); i++) {
    }
    CHECK(i < nr);
    replica &= (1u << (leaf[i].lg2 - r->cfg.f->shift[leaf[i].level])) - 1;
    leaf[i].entry_pa += 8ull * replica;
    pvi_posix_hw_write64(&view, leaf[i].entry_pa,
                         pvi_posix_hw_read64(&view, leaf[i].entry_pa) | r->cfg.f->dirty(leaf[i].level) |
                             r->cfg.f->accessed(leaf[i].level));
    model = lab_set_at(&r->leaves, iova);
    CHECK(model);
    model->dirty = true;
}

static bool bit_of(const uint64_t *bitmap, uint64_t n)
{
    return (bitmap[n / 64] >> (n % 64) & 1) != 0;
}

/* All leaves that a clear has cleaned must be flushed before a write is sure to be noted. */
static void now_clean(struct lab *r, uint64_t first, uint64_t last)
{
    for (size_t i = lab_set_find(&r->leaves, first); i < r->leaves.nr && r->leaves.leaf[i].iova <= last; i++) {
        struct lab_leaf *l = &r->leaves.leaf[i];

        if (l->dirty && l->iova >= first && lab_leaf_last(l) <= last) {
            CHECK(lab_covered(r, l->iova, lab_leaf_last(l), true));
            l->dirty = false;
        }
    }
}

/* Leaves that begin in [from, to), or hold `from`; to 0 is the end of all. */
static size_t leaves_between(const struct lab *r, uint64_t from, uint64_t to)
{
    return (to != 0 ? lab_set_find(&r->leaves, to) : r->leaves.nr) - lab_set_find(&r->leaves, from);
}

void lab_dirty(struct lab *r, uint64_t first, uint64_t last, bool clear)
{
    uint64_t nr = ((last - first) >> 12) + 1, turns = 0;
    uint64_t *bitmap = calloc(nr / 64 + 2, sizeof(*bitmap));
    struct pvi_pt_dirty d = {.first = first, .last = last, .next = first, .clear = clear, .bitmap = bitmap};
    int rc = 0;

    know_leaves(r);
    CHECK(bitmap && nr <= 1ull << 24);
    while (rc == 0 && !d.complete) {
        uint64_t before = d.next, stores = lab_slice_begin(r);

        rc = r->pt.cfg.ops->dirty(&r->pt, NULL, &d, &r->gather);
        (void)lab_slice_end(r, stores);
        CHECK(rc != 0 || d.complete || d.next > before);
        CHECK(rc != 0 || leaves_between(r, before, d.complete ? last + 1 : d.next) <= 512);
        CHECK(++turns < 10000000);
    }
    CHECK_EQ(rc, r->cfg.dirty && !r->cfg.incoherent ? 0 : -PVI_EOPNOTSUPP);
    for (uint64_t n = 0; n < nr; n++) {
        const struct lab_leaf *l = rc == 0 ? lab_set_at(&r->leaves, first + (n << 12)) : NULL;

        if (bit_of(bitmap, n) != (l && l->dirty)) {
            check_step("page 0x%llx", (unsigned long long)((first >> 12) + n));
            CHECK_EQ(bit_of(bitmap, n), l && l->dirty);
        }
    }
    for (uint64_t n = nr; n < (nr / 64 + 2) * 64; n++) {
        CHECK(!bit_of(bitmap, n));
    }
    if (clear && rc == 0) {
        now_clean(r, first, last);
    }
    free(bitmap);
}

/* --- looking ---------------------------------------------------------------------------------------- */

static bool run_goes_on(const struct pvi_pt_run *run, uint64_t iova, uint64_t pa, unsigned prot, unsigned owe)
{
    return run->len != 0 && run->iova + run->len == iova && run->pa + run->len == pa && run->prot == prot &&
           run->owe == owe;
}

/* The model's run at or behind *next, within [first, last]. */
static struct pvi_pt_run model_run(const struct lab *r, uint64_t next, uint64_t last)
{
    struct pvi_pt_run run = {0, 0, 0, 0, 0};

    for (size_t i = lab_set_find(&r->leaves, next); i < r->leaves.nr && r->leaves.leaf[i].iova <= last; i++) {
        const struct lab_leaf *l = &r->leaves.leaf[i];
        uint64_t a = l->iova > next ? l->iova : next, b = lab_leaf_last(l) < last ? lab_leaf_last(l) : last;

        if (run.len != 0 && !run_goes_on(&run, a, l->pa + (a - l->iova), l->prot, l->owe)) {
            break;
        }
        if (run.len == 0) {
            run.iova = a;
            run.pa = l->pa + (a - l->iova);
            run.prot = l->prot;
            run.owe = l->owe;
        }
        run.len += b - a + 1;
    }
    return run;
}

/* *next: where the model goes on. False: nothing can follow. */
static bool compare_run(const struct lab *r, const struct pvi_pt_run *got, uint64_t *next, uint64_t last)
{
    struct pvi_pt_run want = model_run(r, *next, last);

    CHECK_EQ(got->iova, want.iova);
    CHECK_EQ(got->pa, want.pa);
    CHECK_EQ(got->len, want.len);
    CHECK_EQ(got->prot, want.prot);
    CHECK_EQ(got->owe, want.owe);
    *next = got->iova + got->len;
    return got->iova + (got->len - 1) < last;
}

static void compare_census(const struct lab *r, const struct pvi_pt_scan *s)
{
    uint64_t leaves[64] = {0};

    for (size_t i = lab_set_find(&r->leaves, s->first); i < r->leaves.nr && r->leaves.leaf[i].iova <= s->last; i++) {
        leaves[r->leaves.leaf[i].lg2] += r->leaves.leaf[i].iova >= s->first;
    }
    for (unsigned n = 0; n < 64; n++) {
        CHECK_EQ(s->leaves[n], leaves[n]);
    }
}

void lab_scan(struct lab *r, uint64_t first, uint64_t last)
{
    struct pvi_pt_scan s = {.first = first, .last = last, .next = first};
    struct pvi_pt_run run = {0, 0, 0, 0, 0};
    uint64_t at = first, turns = 0;
    bool more = true;

    know_leaves(r);
    while (!s.complete) {
        uint64_t before = s.next;

        CHECK_EQ(r->pt.cfg.ops->scan(&r->pt, &s), 0);
        CHECK(s.complete || s.next > before);
        if (s.run.len != 0 && run_goes_on(&run, s.run.iova, s.run.pa, s.run.prot, s.run.owe)) {
            run.len += s.run.len;
        } else if (s.run.len != 0) {
            if (run.len != 0) {
                more = compare_run(r, &run, &at, last);
                CHECK(more);
            }
            run = s.run;
        }
        CHECK(++turns < 10000000);
    }
    if (run.len != 0) {
        more = compare_run(r, &run, &at, last);
    }
    CHECK(!more || model_run(r, at, last).len == 0);
    compare_census(r, &s);
}

void lab_lookup(struct lab *r, uint64_t iova)
{
    const struct lab_leaf *l;
    struct pvi_pt_leaf leaf;
    int rc;

    know_leaves(r);
    l = lab_set_at(&r->leaves, iova);
    memset(&leaf, 0xa5, sizeof(leaf));
    rc = r->pt.cfg.ops->lookup(&r->pt, iova, &leaf);
    CHECK_EQ(rc, l ? 0 : -PVI_ENOENT);
    if (l) {
        CHECK_EQ(leaf.pa, l->pa + (iova - l->iova));
        CHECK_EQ(leaf.lg2, l->lg2);
        CHECK_EQ(leaf.prot, l->prot);
        CHECK_EQ(leaf.owe, l->owe);
    }
}
