/* SPDX-License-Identifier: MIT */
/*
 * Counts per frame of the whole 52-bit physical space, as a binary tree of runs. A node's `add`
 * counts for all that it spans, so that adding to an aligned run touches one node; children exist
 * only where counts differ. Below 64 frames a node has an array. Depth is bounded by the 40 bits of
 * a frame number.
 */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>

#define COUNT_BITS      40u /* frames: 52 - 12 */
#define COUNT_CELLS_LG2 6u
#define COUNT_CELLS     (1u << COUNT_CELLS_LG2)

struct pvi_count_node {
    struct pvi_count_node *child[2]; /* both or none; never at the lowest level */
    int32_t *cell;                   /* lowest level: counts beside `add`, NULL: all 0 */
    int64_t add;
    int64_t min, max; /* over the span, `add` of this node included */
};

static void *count_alloc(size_t size)
{
    void *p = calloc(1, size);

    if (!p) {
        fprintf(stderr, "pviommu: no memory to count frames\n");
        abort();
    }
    return p;
}

static void node_free(struct pvi_count_node *n)
{
    if (n) {
        node_free(n->child[0]);
        node_free(n->child[1]);
        free(n->cell);
        free(n);
    }
}

static void cells_add(struct pvi_count_node *n, unsigned first, unsigned last, int32_t delta)
{
    int32_t min, max;
    unsigned i;

    if (!n->cell) {
        n->cell = count_alloc(COUNT_CELLS * sizeof(*n->cell));
    }
    for (i = first; i <= last; i++) {
        n->cell[i] += delta;
    }
    min = max = n->cell[0];
    for (i = 1; i < COUNT_CELLS; i++) {
        min = n->cell[i] < min ? n->cell[i] : min;
        max = n->cell[i] > max ? n->cell[i] : max;
    }
    n->min = n->add + min;
    n->max = n->add + max;
    if (min == max) {
        free(n->cell);
        n->cell = NULL;
        n->add += min;
    }
}

/* Takes from the children what they say of their whole span, or all that they are. */
static void node_pull(struct pvi_count_node *n)
{
    struct pvi_count_node *a = n->child[0], *b = n->child[1];
    bool flat = !a->child[0] && !a->cell && !b->child[0] && !b->cell;

    if (flat && a->add == b->add) {
        n->add += a->add;
        n->min = n->max = n->add;
        free(a);
        free(b);
        n->child[0] = n->child[1] = NULL;
        return;
    }
    n->min = n->add + (a->min < b->min ? a->min : b->min);
    n->max = n->add + (a->max > b->max ? a->max : b->max);
}

static void node_add(struct pvi_count_node *n, unsigned bits, uint64_t first, uint64_t last,
                     int64_t delta)
{
    uint64_t half;

    if (first == 0 && last == ((uint64_t)1 << bits) - 1) {
        n->add += delta;
        n->min += delta;
        n->max += delta;
        return;
    }
    if (bits == COUNT_CELLS_LG2) {
        cells_add(n, (unsigned)first, (unsigned)last, (int32_t)delta);
        return;
    }
    if (!n->child[0]) {
        n->child[0] = count_alloc(sizeof(*n));
        n->child[1] = count_alloc(sizeof(*n));
    }
    half = (uint64_t)1 << (bits - 1);
    if (first < half) {
        node_add(n->child[0], bits - 1, first, last < half ? last : half - 1, delta);
    }
    if (last >= half) {
        node_add(n->child[1], bits - 1, first < half ? 0 : first - half, last - half, delta);
    }
    node_pull(n);
}

void pvi_count_add(struct pvi_count *c, uint64_t first, uint64_t last, int64_t delta)
{
    if (!c->root) {
        c->root = count_alloc(sizeof(*c->root));
    }
    node_add(c->root, COUNT_BITS, first, last, delta);
}

static void node_range(const struct pvi_count_node *n, unsigned bits, uint64_t first, uint64_t last,
                       int64_t above, int64_t *min, int64_t *max)
{
    uint64_t half = bits > 0 ? (uint64_t)1 << (bits - 1) : 0, i;

    if ((first == 0 && last == ((uint64_t)1 << bits) - 1) || (!n->child[0] && !n->cell)) {
        *min = above + n->min < *min ? above + n->min : *min;
        *max = above + n->max > *max ? above + n->max : *max;
        return;
    }
    above += n->add;
    if (n->cell) {
        for (i = first; i <= last; i++) {
            *min = above + n->cell[i] < *min ? above + n->cell[i] : *min;
            *max = above + n->cell[i] > *max ? above + n->cell[i] : *max;
        }
        return;
    }
    if (first < half) {
        node_range(n->child[0], bits - 1, first, last < half ? last : half - 1, above, min, max);
    }
    if (last >= half) {
        node_range(n->child[1], bits - 1, first < half ? 0 : first - half, last - half, above, min,
                   max);
    }
}

void pvi_count_range(const struct pvi_count *c, uint64_t first, uint64_t last, int64_t *min,
                     int64_t *max)
{
    *min = INT64_MAX;
    *max = INT64_MIN;
    if (c->root) {
        node_range(c->root, COUNT_BITS, first, last, 0, min, max);
    } else {
        *min = *max = 0;
    }
}

bool pvi_count_zero(const struct pvi_count *c)
{
    return !c->root || (c->root->min == 0 && c->root->max == 0);
}

void pvi_count_fini(struct pvi_count *c)
{
    node_free(c->root);
    c->root = NULL;
}
