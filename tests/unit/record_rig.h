/* SPDX-License-Identifier: MIT */
/*
 * A rig for tests of the recorder: a host that counts violations, two units without hardware, and
 * tables made by hand (3 levels, one leaf table, four pages mapped) that one device translates
 * through.
 */
#ifndef RECORD_RIG_H
#define RECORD_RIG_H

#include <pviommu/pool.h>
#include <pviommu_posix.h>

#define RR_BASE  0x40000000ull
#define RR_FRAME 0x200000000ull /* guest frame 0; outside of the arena */
#define RR_RID   0x0310

#define RR_NONCOHERENT 0x1u
#define RR_NP          0x2u /* absence is cached */
#define RR_AMD         0x4u
#define RR_WBUF        0x8u
#define RR_ALL         0xfu

struct rr {
    struct pvi_host *h;
    struct pvi_posix_null n, other;
    struct pvi_hdom *d;
    pvi_pa root, mid, leaf;
    uint16_t did;
    unsigned flags;
};

/*
 * A sequence, and the rule that it breaks; PVI_RULE_NONE: it breaks none, and says so under every
 * combination of flags.
 */
struct rr_case {
    const char *name;
    void (*run)(struct rr *r);
    enum pvi_posix_rule rule;
    unsigned need, never; /* flags */
};

/*
 * Runs each case under every combination of flags that it allows. Returns how many went wrong, told
 * on stderr.
 */
unsigned rr_run(const struct rr_case *c, unsigned nr);

pvi_pa rr_new_page(struct rr *r);
uint64_t *rr_entry(struct rr *r, pvi_pa table, unsigned slot);
uint64_t rr_link_to(const struct rr *r, pvi_pa child, unsigned level);
uint64_t rr_leaf_to(const struct rr *r, uint64_t pa, unsigned level);
void rr_write_back(struct rr *r, const void *p, size_t size);
void rr_plain(struct rr *r, pvi_pa table, unsigned slot, uint64_t value);
void rr_store(struct rr *r, pvi_pa table, unsigned slot, uint64_t value);
pvi_pa rr_new_leaf_table(struct rr *r, uint64_t gfn);
int rr_attach(struct rr *r, struct pvi_posix_null *n, uint16_t rid, unsigned levels);
void rr_detach(struct rr *r, uint16_t rid);
void rr_told(struct rr *r, struct pvi_inv inv);
void rr_waited(struct rr *r);
void rr_flush_pages(struct rr *r, uint64_t iova, unsigned lg2, bool leaf_only);
void rr_flush_domain(struct rr *r);
void rr_flush_device(struct rr *r, uint16_t rid, bool was_absent);
void rr_put(struct rr *r, uint64_t gfn, uint64_t nr);
void rr_give_back(struct rr *r, pvi_pa pa);
void rr_drop_leaf_table(struct rr *r);
void rr_init(struct rr *r, unsigned flags);
void rr_fini(struct rr *r);

#endif
