/* SPDX-License-Identifier: MIT */
/* See lab_set.h. */
#include "lab_set.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

void lab_set_init(struct lab_set *s, uint64_t sizes)
{
    memset(s, 0, sizeof(*s));
    s->sizes = sizes;
}

void lab_set_fini(struct lab_set *s)
{
    free(s->leaf);
    s->leaf = NULL;
    s->nr = s->room = 0;
}

void lab_set_clear(struct lab_set *s)
{
    s->nr = 0;
}

static void need_room(struct lab_set *s, size_t nr)
{
    if (nr > s->room) {
        s->room = nr + nr / 2 + 64;
        s->leaf = realloc(s->leaf, s->room * sizeof(*s->leaf));
        CHECK(s->leaf);
    }
}

void lab_set_copy(struct lab_set *to, const struct lab_set *from)
{
    need_room(to, from->nr);
    to->nr = from->nr;
    to->sizes = from->sizes;
    if (from->nr != 0) {
        memcpy(to->leaf, from->leaf, from->nr * sizeof(*to->leaf));
    }
}

void lab_set_append(struct lab_set *s, const struct lab_leaf *l)
{
    need_room(s, s->nr + 1);
    s->leaf[s->nr++] = *l;
}

/* Puts n leaves in the place of those from `from` up to, not including, `to`. */
static void splice(struct lab_set *s, size_t from, size_t to, const struct lab_leaf *with, size_t n)
{
    need_room(s, s->nr - (to - from) + n);
    if (s->nr != to) {
        memmove(&s->leaf[from + n], &s->leaf[to], (s->nr - to) * sizeof(*s->leaf));
    }
    if (n != 0) {
        memcpy(&s->leaf[from], with, n * sizeof(*with));
    }
    s->nr = s->nr - (to - from) + n;
}

size_t lab_set_find(const struct lab_set *s, uint64_t iova)
{
    size_t low = 0, high = s->nr;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (lab_leaf_last(&s->leaf[mid]) < iova) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct lab_leaf *lab_set_at(const struct lab_set *s, uint64_t iova)
{
    size_t i = lab_set_find(s, iova);

    return i < s->nr && s->leaf[i].iova <= iova ? &s->leaf[i] : NULL;
}

uint64_t lab_set_bytes(const struct lab_set *s, uint64_t first, uint64_t last)
{
    uint64_t sum = 0;

    for (size_t i = lab_set_find(s, first); i < s->nr && s->leaf[i].iova <= last; i++) {
        uint64_t a = s->leaf[i].iova, b = lab_leaf_last(&s->leaf[i]);

        sum += (b < last ? b : last) - (a > first ? a : first) + 1;
    }
    return sum;
}

static uint64_t frame_at(const struct lab_frames *f, uint64_t at)
{
    if (!f->list) {
        return f->pa + at;
    }
    return f->list[at >> f->page_lg2] + (at & ((1ull << f->page_lg2) - 1));
}

/* Bytes from `at` on that continue each other; more than `enough` are not looked for. */
static uint64_t of_one_piece(const struct lab_frames *f, uint64_t at, uint64_t enough)
{
    uint64_t page = 1ull << f->page_lg2, len = page;

    if (!f->list) {
        return f->len - at;
    }
    while (len < enough && at + len < f->len && frame_at(f, at + len) == frame_at(f, at) + len) {
        len += page;
    }
    return len;
}

uint64_t lab_set_fit(const struct lab_set *s, uint64_t iova, const struct lab_frames *f, uint64_t at)
{
    uint64_t low = iova | frame_at(f, at), best = 0, left = f->len - at;

    for (unsigned n = 12; n < 64; n++) {
        uint64_t size = 1ull << n;

        if ((low & (size - 1)) != 0 || size > left || (f->list && size > 512ull << f->page_lg2)) {
            break;
        }
        if ((s->sizes >> n & 1) != 0 && of_one_piece(f, at, size) >= size) {
            best = size;
        }
    }
    return best;
}

/* The largest size of at most `fit` bytes for which nothing is in the way at iova; 0: none. */
static uint64_t clear_way(const struct lab_set *s, uint64_t iova, uint64_t fit)
{
    size_t i = lab_set_find(s, iova);
    uint64_t size;

    for (size = fit; size >= 0x1000; size /= 2) {
        if ((s->sizes & size) != 0 && (i == s->nr || s->leaf[i].iova > iova + (size - 1))) {
            return size;
        }
    }
    return 0;
}

uint64_t lab_set_map(struct lab_set *s, uint64_t iova, const struct lab_frames *f, uint64_t limit)
{
    struct lab_set fresh;
    uint64_t at = 0, size;
    size_t where;

    lab_set_init(&fresh, s->sizes);
    while (at < f->len && at < limit) {
        struct lab_leaf l = {.iova = iova + at, .pa = frame_at(f, at), .prot = f->prot, .owe = f->owe};

        size = clear_way(s, iova + at, lab_set_fit(s, iova + at, f, at));
        if (size == 0) {
            break;
        }
        l.lg2 = (uint8_t)lab_lg2(size);
        lab_set_append(&fresh, &l);
        at += size;
    }
    where = lab_set_find(s, iova);
    splice(s, where, where, fresh.leaf, fresh.nr);
    lab_set_fini(&fresh);
    return at;
}

/* Appends what [first, last] of a leaf becomes: the fewest leaves, none larger than 2^lg2. */
static void pieces(struct lab_set *out, const struct lab_leaf *l, uint64_t first, uint64_t last, unsigned lg2)
{
    struct lab_leaf p = *l;
    uint64_t at = first;

    p.changed = true;
    for (;;) {
        for (p.lg2 = (uint8_t)lg2;
             (out->sizes >> p.lg2 & 1) == 0 || (at & ((1ull << p.lg2) - 1)) != 0 || last - at < (1ull << p.lg2) - 1;
             p.lg2--) {
            CHECK(p.lg2 > 12);
        }
        p.iova = at;
        p.pa = l->pa + (at - l->iova);
        lab_set_append(out, &p);
        if (last - at == (1ull << p.lg2) - 1) {
            return;
        }
        at += 1ull << p.lg2;
    }
}

static void cut_one(struct lab_set *s, size_t i, uint64_t first, uint64_t last)
{
    struct lab_leaf l = s->leaf[i];
    struct lab_set out;
    uint64_t a = l.iova, b = lab_leaf_last(&l);

    lab_set_init(&out, s->sizes);
    if (a < first) {
        pieces(&out, &l, a, first - 1, l.lg2);
        a = first;
    }
    pieces(&out, &l, a, b < last ? b : last, l.lg2);
    if (b > last) {
        pieces(&out, &l, last + 1, b, l.lg2);
    }
    splice(s, i, i + 1, out.leaf, out.nr);
    lab_set_fini(&out);
}

void lab_set_cut(struct lab_set *s, uint64_t first, uint64_t last)
{
    const struct lab_leaf *l = lab_set_at(s, first);

    if (l && (l->iova < first || lab_leaf_last(l) > last)) {
        cut_one(s, (size_t)(l - s->leaf), first, last);
    }
    l = lab_set_at(s, last);
    if (l && lab_leaf_last(l) > last) {
        cut_one(s, (size_t)(l - s->leaf), first, last);
    }
}

uint64_t lab_set_unmap(struct lab_set *s, uint64_t first, uint64_t last)
{
    uint64_t bytes = lab_set_bytes(s, first, last);
    size_t from, to;

    lab_set_cut(s, first, last);
    from = to = lab_set_find(s, first);
    while (to < s->nr && s->leaf[to].iova <= last) {
        to++;
    }
    splice(s, from, to, NULL, 0);
    return bytes;
}

void lab_set_rights(struct lab_set *s, uint64_t first, uint64_t last, unsigned prot, unsigned owe)
{
    lab_set_cut(s, first, last);
    for (size_t i = lab_set_find(s, first); i < s->nr && s->leaf[i].iova <= last; i++) {
        s->leaf[i].prot = (uint8_t)prot;
        s->leaf[i].owe = owe > 3 ? s->leaf[i].owe : (uint8_t)owe;
    }
}

void lab_set_split(struct lab_set *s, uint64_t first, uint64_t last, unsigned lg2)
{
    for (size_t i = lab_set_find(s, first); i < s->nr && s->leaf[i].iova <= last; i++) {
        struct lab_leaf l = s->leaf[i];
        struct lab_set out;

        if (l.lg2 > lg2) {
            lab_set_init(&out, s->sizes);
            pieces(&out, &l, l.iova, lab_leaf_last(&l), lg2);
            splice(s, i, i + 1, out.leaf, out.nr);
            i += out.nr - 1;
            lab_set_fini(&out);
        }
    }
}

static bool continues(const struct lab_leaf *a, const struct lab_leaf *b)
{
    return lab_leaf_last(a) + 1 == b->iova && a->pa + (1ull << a->lg2) == b->pa && a->prot == b->prot && a->owe == b->owe;
}

/* Can leaf i and those behind it become one of 2^lg2 bytes? Then how many; 0: no. */
static size_t mergeable(const struct lab_set *s, size_t i, uint64_t last, unsigned lg2)
{
    uint64_t size = 1ull << lg2, end = s->leaf[i].iova + (size - 1);
    size_t n = 1;

    if (s->leaf[i].lg2 >= lg2 || ((s->leaf[i].iova | s->leaf[i].pa) & (size - 1)) != 0 || end > last) {
        return 0;
    }
    while (lab_leaf_last(&s->leaf[i + n - 1]) < end) {
        if (i + n == s->nr || !continues(&s->leaf[i + n - 1], &s->leaf[i + n])) {
            return 0;
        }
        n++;
    }
    return n;
}

void lab_set_collapse(struct lab_set *s, uint64_t first, uint64_t last)
{
    for (size_t i = lab_set_find(s, first); i < s->nr && s->leaf[i].iova <= last; i++) {
        for (unsigned lg2 = 62; s->leaf[i].iova >= first && lg2 > s->leaf[i].lg2; lg2--) {
            size_t n = ((s->sizes & ~s->apart) >> lg2 & 1) != 0 ? mergeable(s, i, last, lg2) : 0;

            if (n != 0) {
                struct lab_leaf l = s->leaf[i];

                for (size_t k = 1; k < n; k++) {
                    l.dirty = l.dirty || s->leaf[i + k].dirty;
                }
                l.lg2 = (uint8_t)lg2;
                l.changed = true;
                splice(s, i, i + n, &l, 1);
                break;
            }
        }
    }
}

unsigned lab_set_stop(const struct lab_set *s, uint64_t first, uint64_t last, bool holes, bool whole, uint64_t *at)
{
    uint64_t next = first;

    for (size_t i = lab_set_find(s, first); i < s->nr && s->leaf[i].iova <= last; i++) {
        const struct lab_leaf *l = &s->leaf[i];

        if (l->iova > next && !holes) {
            *at = next;
            return 1;
        }
        if (whole && (l->iova < first || lab_leaf_last(l) > last)) {
            *at = l->iova < first ? first : l->iova;
            return 2;
        }
        if (lab_leaf_last(l) >= last) {
            return 0;
        }
        next = lab_leaf_last(l) + 1;
    }
    *at = next;
    return holes ? 0 : 1;
}
