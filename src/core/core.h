/* SPDX-License-Identifier: MIT */
/* What the files of src/core know of each other. Everything here is internal. */
#ifndef PVIOMMU_CORE_H
#define PVIOMMU_CORE_H

#include <pviommu/batch.h>

/* What every operation goes through, as part of its caller: a one-page map in a batch takes 6 % less. */
#define CORE_INLINE inline __attribute__((__always_inline__))
/* What would make its caller's frame larger, or have the common way through it save registers for the rare one. */
#define CORE_NOINLINE __attribute__((__noinline__))

/* gather.c */
/* Log2 of the largest aligned block that begins at `first`, a page's first byte, and does not pass `last`. */
unsigned pvi_gather_block(uint64_t first, uint64_t last, unsigned max_lg2);
/* Has the gather a range of this context? */
bool pvi_gather_knows(const struct pvi_gather *g, const struct pvi_context *ctx);
/* Before a slice on this context: is there no range left for it, or no room for tables, the gather is flushed. */
static inline int pvi_gather_prepare(struct pvi_gather *g, const struct pvi_context *ctx)
{
    bool ready = g->nr_tables < PVI_GATHER_TABLES && (g->nr_ranges < PVI_GATHER_RANGES || pvi_gather_knows(g, ctx));

    return ready ? 0 : pvi_gather_flush(g);
}
/* Gives back what was taken ahead and is not needed. */
void pvi_gather_put_spare(struct pvi_gather *g);
/* What pvi_gather_recover() does with an error. */
int pvi_gather_short(struct pvi_gather *g, int rc);
/*
 * After a shortage of pages: those that the gather itself holds are flushed out, and 0 says try again. So what a batch
 * can do never depends on whether it was preempted, and thereby flushed, before. Any other rc comes back.
 */
static inline int pvi_gather_recover(struct pvi_gather *g, int rc)
{
    return rc == 0 ? 0 : pvi_gather_short(g, rc);
}

/* domain.c */
/* The context of that number in any state but free or lost, or NULL. */
struct pvi_context *pvi_domain_context(struct pvi_domain *d, uint16_t id);
/* Claims the right to move devices, initialise or end; false: somebody has it, come back later. */
bool pvi_domain_claim(struct pvi_domain *d);
/* Takes one context down for good, whatever state it is in. Resumable. */
int pvi_domain_end_context(struct pvi_context *ctx, struct pvi_gather *g);
/* The same where a dying domain has nothing to do: 0, -PVI_EPREEMPTED, or -PVI_EDYING. */
int pvi_domain_enter(struct pvi_domain *d);
/* The smallest of some page sizes, in bytes, less one. */
static inline uint64_t pvi_smallest_mask(uint64_t sizes)
{
    return (sizes & (0 - sizes)) - 1;
}

static inline bool pvi_domain_dying(struct pvi_domain *d)
{
    return pvi_env_read32(&d->dying) != 0;
}
static inline uint8_t pvi_domain_state(struct pvi_domain *d)
{
    return (uint8_t)pvi_env_read32(&d->state);
}
void pvi_domain_set_state(struct pvi_domain *d, enum pvi_domain_state state);
void pvi_domain_unclaim(struct pvi_domain *d);
/* Is [first, last] free of MSI and HyperTransport windows of all units? Else *at is the first byte inside one. */
bool pvi_domain_clear(const struct pvi_domain *d, uint64_t first, uint64_t last, uint64_t *at);
/* The last frame of the window that holds address at. */
uint64_t pvi_domain_hole_end(const struct pvi_domain *d, uint64_t at);

/* lock.c */
void pvi_context_lock_init(struct pvi_context *ctx);
/*
 * Somebody has the context alone: drops the stripe's lock, and comes back with it once that has ended. Whoever is alone holds the
 * context's lock. Waiting in that queue, once, nobody can be turned away again and again.
 */
void pvi_context_lock_again(struct pvi_context *ctx, pvi_env_lock *lock);
/* Shuts out everybody else from the gigabyte of iova, and whoever wants the context alone. Release the lock of what comes back. */
static inline struct pvi_stripe *pvi_context_lock_gigabyte(struct pvi_context *ctx, uint64_t iova)
{
    struct pvi_stripe *stripe = &ctx->stripe[(iova >> 30) % PVI_CTX_STRIPES];

    pvi_env_acquire(ctx->domain->host, &stripe->lock);
    if (pvi_env_read32(&ctx->alone) != 0) {
        pvi_context_lock_again(ctx, &stripe->lock);
    }
    return stripe;
}
void pvi_context_lock_alone(struct pvi_context *ctx);
void pvi_context_unlock_alone(struct pvi_context *ctx);

/* context.c: its life; context_range.c and ops_map.c: what is done to a range of it */
static inline uint8_t pvi_context_state(struct pvi_context *ctx)
{
    return (uint8_t)pvi_env_read32(&ctx->state);
}
/* States of a number that is nobody's, as a mask. */
#define CONTEXT_GONE (1u << PVI_CTX_FREE | 1u << PVI_CTX_LOST)
/* The context of a number that is not 0, or NULL: in any state but those of a mask. */
static inline struct pvi_context *pvi_domain_numbered(struct pvi_domain *d, uint16_t id, unsigned but)
{
    uint32_t nr = pvi_env_read32(&d->nr_slots);
    struct pvi_context *ctx;

    if (pvi_domain_state(d) != PVI_DOMAIN_READY || id > nr) {
        return NULL;
    }
    ctx = d->slot[pvi_nospec(id - 1u, nr)];
    return (but >> pvi_context_state(ctx) & 1) == 0 ? ctx : NULL;
}
/* Sets the state, with progress at its beginning and why. */
void pvi_context_set_state(struct pvi_context *ctx, uint8_t state, int error);
int pvi_context_init(struct pvi_context *ctx, struct pvi_domain *d, uint16_t id, struct pvi_pool *pool,
                     uint32_t quota);
/* A context of a number that is free, empty and in no state yet (ops.c). The domain is claimed. */
int pvi_context_make(struct pvi_domain *d, struct pvi_context **out, struct pvi_gather *g);
/* Which life of its object a context is, as a resumed operation names it. It need not be unique: whoever may ask owns them all. */
static inline uint32_t pvi_context_token(const struct pvi_context *ctx)
{
    return 1 + ctx->generation % PVI_ALLOC_TOKENS;
}
/*
 * At most one slice of a request, with the context's lock taken and dropped. A full gather is flushed. *at is where
 * the request stands, or the byte at fault.
 */
int pvi_context_map_slice(struct pvi_context *ctx, struct pvi_pt_map *r, struct pvi_gather *g,
                          uint64_t *at);
int pvi_context_unmap_slice(struct pvi_context *ctx, struct pvi_pt_unmap *r, struct pvi_gather *g,
                            uint64_t *at);
/* What is mapped at r->next, in g->scan: the first run, in one slice. ENOENT: nothing; else what map and unmap answer. */
int pvi_context_peek(struct pvi_context *ctx, const struct pvi_pt_change *r, struct pvi_gather *g, uint64_t *at);
/*
 * At most one slice of new rights for frames that the caller has pinned, as far as they still are what is mapped at r->next: if
 * not nothing happens. Each leaf goes on to owe what they owe.
 */
int pvi_context_rights_slice(struct pvi_context *ctx, struct pvi_pt_change *r, const struct pvi_frames *frames,
                             struct pvi_gather *g, uint64_t *at);
/* The first run from `next` on, in one slice (see struct pvi_pt_scan). Nobody changes the table meanwhile. */
int pvi_context_scan(const struct pvi_context *ctx, uint64_t next, uint64_t last, struct pvi_pt_scan *scan);
/* The same for rights; what is not mapped is stepped over. Alone: at most one table's worth. */
int pvi_context_protect_slice(struct pvi_context *ctx, struct pvi_pt_change *r, struct pvi_gather *g);
/* May [first, last] be changed? 0, what the state says, or ERESERVED with *at. A lock of the context is held. */
int pvi_context_open(struct pvi_context *ctx, uint64_t first, uint64_t last, uint64_t *at);
/* Finds the leaf at iova, without a lock where no region is reserved. 0, ENOENT, ERESERVED, or what the state says. */
int pvi_context_lookup(struct pvi_context *ctx, uint64_t iova, struct pvi_pt_leaf *leaf);
/* Gives back the frames of a run from number `from` on: they never reached a table. */
void pvi_context_put_frames(const struct pvi_frames *frames, uint64_t from, struct pvi_gather *g);
/* Pins frames and keeps of them what pages of mask + 1 bytes can map. On an error nothing is pinned. */
int pvi_context_get_frames(struct pvi_context *ctx, pvi_gfn gfn, uint64_t want, uint64_t mask, unsigned prot,
                           struct pvi_frames *frames, struct pvi_gather *g);
/*
 * Maps pinned frames at dfn, slice by slice with checkpoints. *done frames are mapped, exact whatever comes
 * back; the others have been released.
 */
int pvi_context_map_frames(struct pvi_context *ctx, pvi_dfn dfn, const struct pvi_frames *frames,
                           unsigned prot, uint64_t *done, struct pvi_gather *g, uint64_t *at);
/*
 * The two for at most `want` frames where a map stands; its done and fault follow. `rights` are asked of the host, those of PVI_RW
 * are the leaves'.
 */
int pvi_context_map_next(struct pvi_context *ctx, struct pvi_op *op, uint64_t want, uint64_t mask, unsigned rights,
                         struct pvi_gather *g);
/* Maps the identity runs, resumable; LIVE at its end. On an error the caller takes it down. */
int pvi_context_build(struct pvi_context *ctx, struct pvi_gather *g);
/* Takes the table down, resumable; FREE at its end, or LOST if some unit was never made to forget it. */
int pvi_context_teardown(struct pvi_context *ctx, struct pvi_gather *g);

/* region.c, with the context's lock not held */
/* Does a reserved region of the context meet [first, last]? Then *at is the first byte. A lock of the context is held. */
bool pvi_region_meets(const struct pvi_context *ctx, uint64_t first, uint64_t last, uint64_t *at);
int pvi_region_add(struct pvi_context *ctx, const struct pvi_region *region, struct pvi_gather *g);
int pvi_region_del(struct pvi_context *ctx, const struct pvi_region *region, struct pvi_gather *g);

/* passthrough.c, for pvi_domain_init() */
/* Chooses the mode. */
int pvi_passthrough_init(struct pvi_domain *d);
/* Pages that the default pool keeps back. */
uint32_t pvi_passthrough_reserve(const struct pvi_domain *d);
/* Tells the default context, which is made. */
void pvi_passthrough_context(struct pvi_domain *d);
/* window.c */
/* One window over all that the table reaches; the caller has the context alone. */
void pvi_window_init(struct pvi_context *ctx);
/* Sets plain_last anew after regions, windows or a transaction's hold have changed; the caller has the context alone. */
void pvi_context_replain(struct pvi_context *ctx);
/*
 * Does one window hold all of [first, last]? 0 with its leaf sizes, or -PVI_ERANGE with the first byte outside. Without a lock of the
 * context the answer is a first look: what follows asks again with one.
 */
int pvi_window_find(const struct pvi_context *ctx, uint64_t first, uint64_t last, uint64_t *sizes, uint64_t *at);
int pvi_op_window(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);

/* usage.c */
/* Nothing is counted yet, no fault is kept; the caller has the context alone. */
void pvi_usage_init(struct pvi_context *ctx);
int pvi_op_usage(struct pvi_domain *d, struct pvi_op *op);
int pvi_op_read_fault(struct pvi_domain *d, struct pvi_op *op);

/* nested.c */
/* What the units have in common of nested contexts and PASIDs; the domain's table is known. */
void pvi_nested_caps(struct pvi_domain *d);
int pvi_op_alloc_nested(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_op_flush_nested(struct pvi_domain *d, const struct pvi_op *op, struct pvi_gather *g);
/* A nested context has ended, and no unit knows it: its parent is free of it. The domain is claimed, no lock is held. */
void pvi_nested_end(struct pvi_context *ctx);
/* What is in place i of the domain's nested contexts, maybe on its end or not yet begun, or NULL. Objects stay: no lock is needed. */
struct pvi_context *pvi_nested_child(struct pvi_domain *d, unsigned i);
/* May something be attached to it: is it live, and its parent? 0, or what ATTACH and REATTACH answer. */
int pvi_context_attachable(struct pvi_context *ctx);
/* Does some unit still know a context that is nested on this one? The domain is claimed. */
bool pvi_nested_reached(struct pvi_context *ctx);

/* pasid.c; the domain is claimed */
int pvi_op_pasid(struct pvi_domain *d, struct pvi_op *op);
/*
 * Blocks the device's PASIDs that translate through `of`, or all (NULL), as far as the unit obeys: if it does not, hw_error of `of`, or of
 * the device, says so. 0, or -PVI_EPREEMPTED: call again.
 */
int pvi_pasids_drop(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *of, struct pvi_gather *g);
/* What requests with a PASID translate through, if it has a context, else the device's. */
struct pvi_context *pvi_pasid_context(const struct pvi_device *dev, uint32_t pasid);

/* attach.c; the domain is claimed */
/* The context becomes known to the unit under an id of its own, if it is not yet. */
int pvi_context_join(struct pvi_context *ctx, struct pvi_unit *u);
/* The unit has forgotten one device or PASID under the context's id; after the last one it has forgotten the id. */
void pvi_context_leave(struct pvi_context *ctx, struct pvi_unit *u);
/* A live context whose units do not obey, or NULL. */
void pvi_context_break(struct pvi_context *ctx);
/*
 * Switches all requester ids of one device, or one PASID of them, from one context to another (NULL: blocked) and queues what must be
 * forgotten. On an error those that moved are back, with their invalidation queued as well.
 */
int pvi_device_switch(struct pvi_device *dev, uint32_t pasid, const struct pvi_context *from, const struct pvi_context *to);
/*
 * Blocks all requester ids of one device, or one PASID of them, as far as the unit obeys, and tells the host as far as not. With `of`, through which
 * they may have translated, queues what must be forgotten. Of what is left of a PASID nobody keeps a book: the unit is broken then.
 */
void pvi_device_block(struct pvi_device *dev, uint32_t pasid, const struct pvi_context *of);
/* Does another device issue one of its requester ids? */
bool pvi_device_shares(const struct pvi_domain *d, const struct pvi_device *dev);
/* Moves a device and its whole group, or nothing. */
int pvi_device_move(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *to);
struct pvi_device *pvi_device_find(struct pvi_domain *d, pvi_sbdf sbdf);
/*
 * Keeps the context of a device ready for the way back of it and its group: ids on their units and regions stay, whoever leaves.
 * Takes nothing that it has not already. pvi_device_let_go() ends that.
 */
int pvi_device_hold(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *ctx);
void pvi_device_let_go(struct pvi_domain *d, struct pvi_device *dev, struct pvi_context *ctx);

/* ops_range.c and ops_map.c, each from op->done on */
/* The one place where a guest's range is judged; *fault is the DFN at fault. */
int pvi_range_check(struct pvi_context *ctx, pvi_dfn dfn, uint64_t nr, uint64_t *fault);
int pvi_op_map(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_op_unmap(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_op_rights(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_op_lookup(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
int pvi_op_flush(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);

/* dispatch.c: the domain that an operation is for. */
int pvi_batch_target(struct pvi_domain *caller, const struct pvi_op *op, struct pvi_domain **d);

/* tx.c */
/* pvi_submit() of a batch that happens whole or not at all. */
int pvi_tx_submit(struct pvi_domain *caller, struct pvi_batch *b);
/* Takes back what a dying domain's transaction has done. 0 or -PVI_EPREEMPTED. */
int pvi_tx_abandon(struct pvi_domain *d);
/* From now on the domain's batch, which nobody is at, is taken back. false: everything in it has already happened. */
bool pvi_tx_cancel(struct pvi_domain *d, struct pvi_batch *b);
/* bus.c: an operation of the interface of 2015, or -PVI_EINVAL */
int pvi_bus_op(struct pvi_domain *d, struct pvi_op *op, struct pvi_gather *g);
/* The end of a domain's hidden context and of all that the reverse map has of it; resumable */
int pvi_bus_end(struct pvi_domain *d, struct pvi_gather *g);
/* The context where devices begin, once the hidden one has taken over; or NULL. The domain is claimed. */
struct pvi_context *pvi_bus_home(struct pvi_domain *d);

/* ops.c: one operation, from where it stands. */
int pvi_op_run(struct pvi_domain *d, struct pvi_domain *caller, struct pvi_op *op, struct pvi_gather *g);
/* May the work go on, or does the host want to get out (-PVI_EPREEMPTED)? No lock is held. */
static inline int pvi_checkpoint(struct pvi_gather *g)
{
    return pvi_host_preempt(g->host) ? -PVI_EPREEMPTED : 0;
}

#endif
