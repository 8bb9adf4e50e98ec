/* SPDX-License-Identifier: MIT */
/*
 * Domain ids of one unit: a bitmap in a page, a set bit is an id in use. See pviommu/did.h; hwspec
 * 2.2, 6.7.
 */

#include <pviommu/did.h>
#include <pviommu_env.h>

#define WORD_BITS 64u

int pvi_did_init(struct pvi_host *h, struct pvi_did_map *m, uint32_t nr)
{
    uint64_t *map;
    pvi_pa page;
    uint32_t i;
    int rc;

    PVI_ASSERT(nr > 1 && nr <= PVI_DID_MAX);
    rc = pvi_host_page_alloc(h, &page);
    if (rc) {
        return rc;
    }
    map = pvi_env_map(h, page);
    memset(map, 0, PVI_PAGE_SIZE);
    map[0] = 1;
    /*
     * Ids that the last word has beyond nr are in use for ever, so that a search need not know of
     * them.
     */
    for (i = nr; i % WORD_BITS != 0; i++) {
        map[i / WORD_BITS] |= (uint64_t)1 << (i % WORD_BITS);
    }
    pvi_env_unmap(h, map);
    m->page = page;
    m->nr = nr;
    m->hint = 1;
    return 0;
}

void pvi_did_fini(struct pvi_host *h, struct pvi_did_map *m)
{
    void *map = pvi_env_map(h, m->page);

    memset(map, 0, PVI_PAGE_SIZE);
    pvi_env_unmap(h, map);
    pvi_host_page_free(h, m->page);
    m->nr = 0;
}

/* The first free id at or after the hint, else the first of all; 0 when there is none. */
static uint32_t find_free(const uint64_t *map, uint32_t nr, uint32_t hint)
{
    uint32_t words = (nr + WORD_BITS - 1) / WORD_BITS;
    uint32_t w = hint / WORD_BITS;
    uint64_t open = ~map[w] & (~(uint64_t)0 << (hint % WORD_BITS));
    uint32_t i;

    for (i = 0; i < words && !open; i++) {
        w = w + 1 == words ? 0 : w + 1;
        open = ~map[w];
    }
    return open ? w * WORD_BITS + (uint32_t)__builtin_ctzll(open) : 0;
}

int pvi_did_alloc(struct pvi_host *h, struct pvi_did_map *m, uint16_t *did)
{
    uint64_t *map = pvi_env_map(h, m->page);
    uint32_t id = find_free(map, m->nr, m->hint);

    if (id) {
        map[id / WORD_BITS] |= (uint64_t)1 << (id % WORD_BITS);
        m->hint = id + 1 == m->nr ? 1 : id + 1;
        *did = (uint16_t)id;
    }
    pvi_env_unmap(h, map);
    return id ? 0 : -PVI_ENOSPC;
}

void pvi_did_free(struct pvi_host *h, struct pvi_did_map *m, uint16_t did)
{
    uint64_t *map = pvi_env_map(h, m->page);
    uint64_t bit = (uint64_t)1 << (did % WORD_BITS);

    PVI_ASSERT(did != 0 && did < m->nr && (map[did / WORD_BITS] & bit));
    map[did / WORD_BITS] &= ~bit;
    pvi_env_unmap(h, map);
}
