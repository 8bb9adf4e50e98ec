/* SPDX-License-Identifier: MIT */
/*
 * The leaves that a table should hold, exactly: which sizes, and where. Found by trying all sizes at each address, so
 * that it shares nothing with the engine; a sorted array and nothing more.
 */
#ifndef LAB_SET_H
#define LAB_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lab_leaf {
    uint64_t iova, pa;
    uint64_t raw;      /* of leaves that a walker found: the entry */
    uint64_t entry_pa; /* and where the first of its entries lies */
    uint8_t lg2, level, prot, owe;
    bool dirty;        /* a device has written; only where the table notes it */
    bool changed;      /* it comes from a larger one, or from smaller ones */
};

struct lab_set {
    struct lab_leaf *leaf; /* ascending */
    size_t nr, room;
    uint64_t sizes; /* bit n: leaves of 2^n bytes are used */
    uint64_t apart; /* and are never made from smaller ones: no single entry of their level can be a leaf on the way */
};

static inline uint64_t lab_leaf_last(const struct lab_leaf *l)
{
    return l->iova + ((1ull << l->lg2) - 1);
}

static inline unsigned lab_lg2(uint64_t size)
{
    return (unsigned)__builtin_ctzll(size);
}

void lab_set_init(struct lab_set *s, uint64_t sizes);
void lab_set_fini(struct lab_set *s);
void lab_set_clear(struct lab_set *s);
void lab_set_copy(struct lab_set *to, const struct lab_set *from);
/* Puts a leaf behind all others. */
void lab_set_append(struct lab_set *s, const struct lab_leaf *l);

/* The first leaf that ends at or behind iova; s->nr: none. */
size_t lab_set_find(const struct lab_set *s, uint64_t iova);
/* The leaf that maps iova; NULL: none. */
struct lab_leaf *lab_set_at(const struct lab_set *s, uint64_t iova);

/* Bytes mapped in [first, last]. */
uint64_t lab_set_bytes(const struct lab_set *s, uint64_t first, uint64_t last);

/*
 * What must be mapped: one run from pa on, or a list with one address for each 2^page_lg2 bytes. Of a list one slice looks
 * at 512 addresses, so no leaf is larger than these.
 */
struct lab_frames {
    uint64_t pa;
    const uint64_t *list;
    uint64_t len;
    uint8_t page_lg2, prot, owe;
};

/* Size of the leaf for byte `at` of the frames, at iova: largest to which all is aligned, of one piece, and within them. */
uint64_t lab_set_fit(const struct lab_set *s, uint64_t iova, const struct lab_frames *f, uint64_t at);
/*
 * Maps from iova on until all is mapped, `limit` bytes are, or something is in the way. Leaves are as large as fits and
 * as the way is clear. Returns the bytes mapped.
 */
uint64_t lab_set_map(struct lab_set *s, uint64_t iova, const struct lab_frames *f, uint64_t limit);

/* Makes sure that no leaf lies in [first, last] only partly: such leaves become the fewest that say the same. */
void lab_set_cut(struct lab_set *s, uint64_t first, uint64_t last);
/* Removes [first, last]; returns the bytes removed. */
uint64_t lab_set_unmap(struct lab_set *s, uint64_t first, uint64_t last);
/* Other rights in [first, last]; owe above 3: as before. */
void lab_set_rights(struct lab_set *s, uint64_t first, uint64_t last, unsigned prot, unsigned owe);
/* Leaves that meet [first, last] become the largest of at most 2^lg2 bytes. */
void lab_set_split(struct lab_set *s, uint64_t first, uint64_t last, unsigned lg2);
/* Leaves in [first, last] become the fewest that say the same. */
void lab_set_collapse(struct lab_set *s, uint64_t first, uint64_t last);

/*
 * Where an operation over [first, last] stops: at a hole unless `holes`, with 1; at a leaf that is only partly in the
 * range if `whole`, with 2; else it does not, and 0 is returned.
 */
unsigned lab_set_stop(const struct lab_set *s, uint64_t first, uint64_t last, bool holes, bool whole, uint64_t *at);

#endif
