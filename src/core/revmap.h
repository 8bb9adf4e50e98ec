/* SPDX-License-Identifier: MIT */
/* The reverse map as the files of src/core use it. Every function takes its lock, and holds it for O(1) steps. */
#ifndef PVIOMMU_CORE_REVMAP_H
#define PVIOMMU_CORE_REVMAP_H

#include <pviommu/bus.h>

/* Leaves that lead to foreign frames, or led there, by enum pvi_owe. */
#define REV_FOREIGN (1u << PVI_OWE_FOREIGN | 1u << PVI_OWE_FOREIGN_WRITABLE)
#define REV_SCRATCH (1u << PVI_OWE_SCRATCH)

struct pvi_rev_entry;

/* A mapping of a frame, as it is asked for or told. */
struct pvi_rev_tuple {
    struct pvi_bus *bus;
    pvi_dfn dfn;
    pvi_pa pa;
    uint16_t owner, ioserver;
    uint8_t prot, owe;
    bool swap;  /* may be moved to the scratch frame */
    bool look;  /* a lookup: says nothing of moving, where the io-server has the mapping already */
    bool last;  /* out: no other io-server has it */
};

void pvi_rev_join(struct pvi_bus *bus);
/* Is somebody at the bus, for another domain? Once it has no entries nobody can begin to be. */
bool pvi_rev_used(struct pvi_bus *bus);
/* It has no entries, and nobody is at it. */
void pvi_rev_leave(struct pvi_bus *bus);
void pvi_rev_unuse(struct pvi_bus *bus);

/*
 * Adds an entry. 0: it is pending, and *entry is to be settled or cancelled by the caller, once; 1: the mapping is there already and the
 * io-server has it; EEXIST: dfn is taken otherwise; ENOENT: what pvi_rev_find() found is not there any more; ENOFRAME: the frame is
 * going away; EPREEMPTED: another CPU is at making this mapping, come back; EQUOTA, ENOMEM.
 */
int pvi_rev_add(const struct pvi_rev_tuple *t, struct pvi_rev_entry **entry);
/* The mapping is made. ENOFRAME: the frame went away meanwhile, the entry is gone, undo the mapping. */
int pvi_rev_settle(struct pvi_bus *bus, struct pvi_rev_entry *entry);
void pvi_rev_cancel(struct pvi_bus *bus, struct pvi_rev_entry *entry);
/* Removes the entry of an io-server at t->dfn and tells the rest. ENOENT. */
int pvi_rev_remove(struct pvi_rev_tuple *t);
/* Finds a mapping of t->pa by t->bus for frames of t->owner, made or being made. ENOENT. */
int pvi_rev_find(struct pvi_rev_tuple *t);

/* Marks the frame as going away for all. True: all of its mappings may be moved. */
bool pvi_rev_going(struct pvi_revmap *map, pvi_pa pa);
/*
 * The next mapping of a frame that goes: with `swap` it is not the frame's any more, else it is marked as told. t->bus stays until
 * pvi_rev_unuse(). *pending: its maker will undo it. False: none is left.
 */
bool pvi_rev_next_of_frame(struct pvi_revmap *map, pvi_pa pa, bool swap, struct pvi_rev_tuple *t, bool *pending);
/* Does anybody have the frame? */
bool pvi_rev_held(struct pvi_revmap *map, pvi_pa pa);

/*
 * Takes out some entry of an owner's, with `bus` only of that domain's io-server `ioserver`. t->bus stays until pvi_rev_unuse(). *pending as above.
 * False: none is left.
 */
bool pvi_rev_take(struct pvi_revmap *map, struct pvi_bus *bus, uint16_t owner, uint16_t ioserver, struct pvi_rev_tuple *t,
                  bool *pending);
/* Takes out some entry of a domain's, which nobody uses any more. */
bool pvi_rev_take_any(struct pvi_bus *bus, struct pvi_rev_tuple *t);

#endif
