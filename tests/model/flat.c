/* SPDX-License-Identifier: MIT */
/*
 * The flat model: runs of pages in a treap (a binary tree ordered by page, heap-ordered by a
 * random weight, so that its depth stays logarithmic whatever the order of operations).
 */
#include "flat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_PFN ((UINT64_C(1) << 52) - 1)

struct node {
    struct flat_run run;
    struct node *left, *right;
    uint32_t weight;
};

struct flat {
    struct node *root;
    struct node *spare; /* freed nodes, linked by right */
    uint64_t pages;
    size_t runs;
    uint32_t random;
};

static struct node *new_node(struct flat *f, const struct flat_run *run)
{
    struct node *n = f->spare;

    if (n) {
        f->spare = n->right;
    } else {
        n = malloc(sizeof(*n));
        if (!n) {
            abort();
        }
    }
    f->random ^= f->random << 13;
    f->random ^= f->random >> 17;
    f->random ^= f->random << 5;
    n->weight = f->random;
    n->run = *run;
    n->left = n->right = NULL;
    f->pages += run->last - run->first + 1;
    f->runs++;
    return n;
}

static void free_node(struct flat *f, struct node *n)
{
    f->pages -= n->run.last - n->run.first + 1;
    f->runs--;
    n->right = f->spare;
    f->spare = n;
}

struct flat *flat_new(void)
{
    struct flat *f = calloc(1, sizeof(*f));

    if (!f) {
        abort();
    }
    f->random = 0x9e3779b9;
    return f;
}

static void free_tree(struct flat *f, struct node *n)
{
    struct node *next;

    for (; n; n = next) {
        free_tree(f, n->left);
        next = n->right;
        free_node(f, n);
    }
}

void flat_clear(struct flat *f)
{
    free_tree(f, f->root);
    f->root = NULL;
}

void flat_free(struct flat *f)
{
    struct node *n;

    if (!f) {
        return;
    }
    flat_clear(f);
    while ((n = f->spare) != NULL) {
        f->spare = n->right;
        free(n);
    }
    free(f);
}

/* a: runs that begin below pfn; b: the others */
static void split(struct node *n, uint64_t pfn, struct node **a, struct node **b)
{
    if (!n) {
        *a = *b = NULL;
    } else if (n->run.first < pfn) {
        *a = n;
        split(n->right, pfn, &n->right, b);
    } else {
        *b = n;
        split(n->left, pfn, a, &n->left);
    }
}

static struct node *join(struct node *a, struct node *b)
{
    if (!a || !b) {
        return a ? a : b;
    }
    if (a->weight > b->weight) {
        a->right = join(a->right, b);
        return a;
    }
    b->left = join(a, b->left);
    return b;
}

static struct node *find(const struct flat *f, uint64_t pfn)
{
    struct node *n = f->root, *best = NULL;

    while (n) {
        if (n->run.first <= pfn) {
            best = n;
            n = n->right;
        } else {
            n = n->left;
        }
    }
    return best; /* the last run that begins at or below pfn */
}

/* Makes pfn the first page of a run if it lies inside one. */
static void cut(struct flat *f, uint64_t pfn)
{
    struct node *n = pfn <= LAST_PFN ? find(f, pfn) : NULL, *a, *b;
    struct flat_run tail;

    if (!n || n->run.first == pfn || n->run.last < pfn) {
        return;
    }
    tail = n->run;
    tail.first = pfn;
    tail.pa += (pfn - n->run.first) << 12;
    f->pages -= n->run.last - pfn + 1;
    n->run.last = pfn - 1;
    split(f->root, pfn, &a, &b);
    f->root = join(join(a, new_node(f, &tail)), b);
}

static bool continues(const struct flat_run *a, const struct flat_run *b)
{
    return a->last + 1 == b->first && a->perm == b->perm && a->tag == b->tag &&
           a->pa + ((a->last - a->first + 1) << 12) == b->pa;
}

/* Joins the run that begins at pfn with the one before it, if they continue each other. */
static void heal(struct flat *f, uint64_t pfn)
{
    struct node *n, *before, *a, *b, *mid;

    if (pfn == 0 || pfn > LAST_PFN) {
        return;
    }
    n = find(f, pfn);
    before = find(f, pfn - 1);
    if (!n || !before || n == before || n->run.first != pfn || !continues(&before->run, &n->run)) {
        return;
    }
    split(f->root, pfn, &a, &b);
    split(b, pfn + 1, &mid, &b);
    f->pages += mid->run.last - mid->run.first + 1;
    before->run.last = mid->run.last;
    free_node(f, mid);
    f->root = join(a, b);
}

static bool range_ok(uint64_t pfn, uint64_t nr)
{
    return nr && pfn <= LAST_PFN && nr - 1 <= LAST_PFN - pfn;
}

/* Takes the range out of the tree: what was there is returned as a tree. */
static struct node *take(struct flat *f, uint64_t pfn, uint64_t nr, struct node **a,
                         struct node **b)
{
    struct node *mid;

    cut(f, pfn);
    cut(f, pfn + nr);
    split(f->root, pfn, a, b);
    split(*b, pfn + nr, &mid, b);
    return mid;
}

uint64_t flat_unmap(struct flat *f, uint64_t pfn, uint64_t nr)
{
    uint64_t before = f->pages;
    struct node *a, *b;

    if (!range_ok(pfn, nr)) {
        return 0;
    }
    free_tree(f, take(f, pfn, nr, &a, &b));
    f->root = join(a, b);
    return before - f->pages;
}

bool flat_replace(struct flat *f, uint64_t pfn, uint64_t nr, uint64_t pa, uint32_t perm,
                  uint32_t tag)
{
    struct flat_run run = {pfn, pfn + nr - 1, pa, perm, tag};
    struct node *a, *b;

    if (!range_ok(pfn, nr)) {
        return false;
    }
    free_tree(f, take(f, pfn, nr, &a, &b));
    f->root = join(join(a, new_node(f, &run)), b);
    heal(f, pfn);
    heal(f, pfn + nr);
    return true;
}

bool flat_map(struct flat *f, uint64_t pfn, uint64_t nr, uint64_t pa, uint32_t perm, uint32_t tag)
{
    if (!range_ok(pfn, nr) || flat_overlap(f, pfn, nr, NULL)) {
        return false;
    }
    return flat_replace(f, pfn, nr, pa, perm, tag);
}

uint64_t flat_protect(struct flat *f, uint64_t pfn, uint64_t nr, uint32_t perm)
{
    uint64_t pages = 0, at = pfn, first, last;
    struct flat_run run;

    if (!range_ok(pfn, nr)) {
        return 0;
    }
    while (at <= pfn + nr - 1 && flat_next(f, at, &run) && run.first <= pfn + nr - 1) {
        first = run.first > at ? run.first : at; /* what was done may have merged with it */
        last = run.last < pfn + nr - 1 ? run.last : pfn + nr - 1;
        flat_replace(f, first, last - first + 1, run.pa + ((first - run.first) << 12), perm,
                     run.tag);
        pages += last - first + 1;
        at = last + 1;
    }
    return pages;
}

bool flat_lookup(const struct flat *f, uint64_t pfn, struct flat_run *run, uint64_t *pa_of_page)
{
    const struct node *n = find(f, pfn);

    if (!n || n->run.last < pfn) {
        return false;
    }
    if (run) {
        *run = n->run;
    }
    if (pa_of_page) {
        *pa_of_page = n->run.pa + ((pfn - n->run.first) << 12);
    }
    return true;
}

bool flat_next(const struct flat *f, uint64_t pfn, struct flat_run *run)
{
    const struct node *n = f->root, *best = NULL;

    while (n) {
        if (n->run.last >= pfn) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    if (best) {
        *run = best->run;
    }
    return best != NULL;
}

bool flat_overlap(const struct flat *f, uint64_t pfn, uint64_t nr, uint64_t *first_mapped)
{
    struct flat_run run;

    if (!range_ok(pfn, nr) || !flat_next(f, pfn, &run) || run.first > pfn + nr - 1) {
        return false;
    }
    if (first_mapped) {
        *first_mapped = run.first > pfn ? run.first : pfn;
    }
    return true;
}

bool flat_first_hole(const struct flat *f, uint64_t pfn, uint64_t nr, uint64_t *first_hole)
{
    struct flat_run run;
    uint64_t at = pfn;

    if (!range_ok(pfn, nr)) {
        return false;
    }
    while (at <= pfn + nr - 1) {
        if (!flat_lookup(f, at, &run, NULL)) {
            if (first_hole) {
                *first_hole = at;
            }
            return true;
        }
        at = run.last + 1;
    }
    return false;
}

uint64_t flat_pages(const struct flat *f)
{
    return f->pages;
}

size_t flat_runs(const struct flat *f)
{
    return f->runs;
}

struct flat *flat_copy(const struct flat *f)
{
    struct flat *c = flat_new();
    struct flat_run run;
    uint64_t at = 0;

    while (at <= LAST_PFN && flat_next(f, at, &run)) {
        c->root = join(c->root, new_node(c, &run));
        at = run.last + 1;
    }
    return c;
}

bool flat_equal(const struct flat *a, const struct flat *b, unsigned flags,
                uint64_t *pfn_of_difference)
{
    struct flat_run ra = {0, 0, 0, 0, 0}, rb = {0, 0, 0, 0, 0};
    uint64_t at = 0, last;
    bool in_a, in_b, same;

    while (at <= LAST_PFN) {
        in_a = flat_next(a, at, &ra);
        in_b = flat_next(b, at, &rb);
        if (!in_a && !in_b) {
            return true;
        }
        if (!in_a || !in_b || (ra.first > at ? ra.first : at) != (rb.first > at ? rb.first : at)) {
            at = !in_a ? rb.first : !in_b ? ra.first : ra.first < rb.first ? ra.first : rb.first;
            break;
        }
        at = ra.first > at ? ra.first : at;
        last = ra.last < rb.last ? ra.last : rb.last;
        same = ra.perm == rb.perm &&
               ra.pa + ((at - ra.first) << 12) == rb.pa + ((at - rb.first) << 12) &&
               ((flags & FLAT_ANY_TAG) || ra.tag == rb.tag);
        if (!same) {
            break;
        }
        at = last + 1;
    }
    if (at > LAST_PFN) {
        return true;
    }
    if (pfn_of_difference) {
        *pfn_of_difference = at;
    }
    return false;
}

static void add_leaf(void *ctx, const struct hwm_leaf *l)
{
    uint32_t perm = (l->r ? FLAT_R : 0) | (l->w ? FLAT_W : 0);

    if (perm) {
        flat_map(ctx, l->iova >> 12, UINT64_C(1) << (l->lg2 - 12), l->pa, perm, 0);
    }
}

struct flat *flat_from_tables(const struct hwm_mem *mem, const struct hwm_fmt *fmt, uint64_t root,
                              unsigned levels, struct hwm_visit *out)
{
    struct flat *f = flat_new();
    struct hwm_visitor v = {.ctx = f, .leaf = add_leaf};

    if (!hwm_visit_table(mem, fmt, root, levels, &v, out)) {
        flat_free(f);
        return NULL;
    }
    return f;
}

static void describe(const struct flat *f, uint64_t pfn, char *text, size_t len)
{
    struct flat_run run;
    uint64_t pa;

    if (!flat_lookup(f, pfn, &run, &pa)) {
        snprintf(text, len, "not mapped");
        return;
    }
    snprintf(text, len, "pa 0x%llx %s%s", (unsigned long long)pa, run.perm & FLAT_R ? "r" : "-",
             run.perm & FLAT_W ? "w" : "-");
}

bool flat_check_tables(const struct flat *f, const struct hwm_mem *mem, const struct hwm_fmt *fmt,
                       uint64_t root, unsigned levels, char *msg, size_t msg_len)
{
    struct hwm_visit visit;
    struct flat *tables = flat_from_tables(mem, fmt, root, levels, &visit);
    char want[64], have[64];
    uint64_t pfn;
    bool same;

    if (!tables) {
        snprintf(msg, msg_len, "bad entry 0x%llx at level %u, address 0x%llx: %s",
                 (unsigned long long)visit.first_bad.entry, visit.first_bad.level,
                 (unsigned long long)visit.first_bad.iova, visit.first_bad.why);
        return false;
    }
    same = flat_equal(f, tables, FLAT_ANY_TAG, &pfn);
    if (!same) {
        describe(f, pfn, want, sizeof(want));
        describe(tables, pfn, have, sizeof(have));
        snprintf(msg, msg_len, "page 0x%llx: the model says %s, the tables %s",
                 (unsigned long long)pfn, want, have);
    }
    flat_free(tables);
    return same;
}

static bool check_access(const struct flat *f, struct hwm *h, uint16_t rid, uint64_t pfn,
                         bool write, char *msg, size_t msg_len)
{
    uint64_t pa = 0, got = 0;
    struct flat_run run;
    struct hwm_fault fault;
    bool want = flat_lookup(f, pfn, &run, &pa) && (run.perm & (write ? FLAT_W : FLAT_R));
    enum hwm_result res = hwm_peek(h, rid, pfn << 12, write, &got, &fault);

    if (want ? res == HWM_OK && got == pa : res == HWM_FAULT) {
        return true;
    }
    if (want) {
        snprintf(msg, msg_len, "%s of page 0x%llx should reach 0x%llx, but result %d, 0x%llx, %s",
                 write ? "write" : "read", (unsigned long long)pfn, (unsigned long long)pa,
                 (int)res, (unsigned long long)got, res == HWM_FAULT ? fault.why : "no fault");
    } else {
        snprintf(msg, msg_len, "%s of page 0x%llx should be blocked, but result %d, 0x%llx",
                 write ? "write" : "read", (unsigned long long)pfn, (int)res,
                 (unsigned long long)got);
    }
    return false;
}

bool flat_check_unit(const struct flat *f, struct hwm *h, uint16_t rid, uint64_t pfn, uint64_t nr,
                     char *msg, size_t msg_len)
{
    uint64_t i;

    for (i = 0; i < nr; i++) {
        if (!check_access(f, h, rid, pfn + i, false, msg, msg_len) ||
            !check_access(f, h, rid, pfn + i, true, msg, msg_len)) {
            return false;
        }
    }
    return true;
}
