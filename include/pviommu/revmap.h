/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The reverse map: from a frame of one domain to the device frames, domains and io-servers that have it mapped.
 *
 * One serves all domains of a system. It is a hash of what is mapped, with lists through it: adding, finding and removing a
 * mapping is O(1), what a frame's k mappings ask for is O(k) with a checkpoint after each. Its storage comes from
 * pvi_host_mem_alloc() and is bounded by each domain's cfg.bus_entries. Everything here is internal but the life of the map;
 * the layout is public because hosts embed it.
 */
#ifndef PVIOMMU_REVMAP_H
#define PVIOMMU_REVMAP_H

#include <pviommu/domain.h>

/** Neighbours in a list; a list's head is one, too. */
struct pvi_rev_link {
    struct pvi_rev_link *next, *prev;
};

struct pvi_revmap {
    struct pvi_host *host;
    pvi_env_lock lock;           /**< all of it */
    struct pvi_rev_link buses;   /**< domains that can have entries */
    struct pvi_rev_link *bucket; /**< frames, then entries, io-servers, owners */
    uint64_t factor;             /**< of the hash: guests choose what is hashed, and do not know it */
    uint32_t numbers;            /**< given to domains so far */
    uint8_t lg2;                 /**< each kind has 2^lg2 buckets */
};

/** Most buckets of a kind, log2. */
#define PVI_REVMAP_LG2_MAX 24u

/**
 * Makes an empty map.
 * @param lg2 buckets of each of four kinds, log2; as many as mappings are expected keeps them O(1).
 * @param seed a number that no guest can know.
 * @return 0; -PVI_ELIMIT (lg2); -PVI_ENOMEM: nothing is kept.
 */
PVI_MUST_CHECK int pvi_revmap_init(struct pvi_revmap *map, struct pvi_host *h, unsigned lg2, uint64_t seed);

/** Ends a map that no domain uses any more. */
void pvi_revmap_fini(struct pvi_revmap *map);

#endif
