/* SPDX-License-Identifier: MIT */
/* Checks of what a hypervisor relies on: limits, hostile input, preemption, other guests, firmware.
 */
#include "checks.h"
#include "platform.h"

/* Exhaustion ----------------------------------------------------------------------------------- */

/* Frames that are a gigabyte apart take two tables each. */
static uint64_t far_dfn(unsigned i)
{
    return (uint64_t)(i + 1) << 18;
}

static unsigned map_until_refused(struct checks *c, uint16_t ctx, struct pvi_op *last)
{
    unsigned i = 0;

    do {
        *last = op_map(ctx, far_dfn(i), 0x100 + i, 1, PVI_RW);
    } while (run(c, last) == 0 && ++i < 256);
    return i;
}

void check_exhaustion(struct checks *c)
{
    uint32_t before = pages_free(c);
    uint16_t ctx = context_make(c, 0);
    struct pvi_op move = op_reattach(ctx, &c->dev[0]);
    struct pvi_op alloc = op_make(PVI_OP_ALLOC_CONTEXT, 0, 0);
    struct pvi_op op;
    unsigned nr;

    check(c, run(c, &move) == 0, "a device in a context");
    nr = map_until_refused(c, ctx, &op);
    check(c, nr > 0 && op.status == -PVI_ENOMEM, "scattered maps exhaust the pool");
    check(c, op.done == 0 && op.fault == far_dfn(nr),
          "the refused map has done nothing and says where");
    check(c, pages_free(c) < 2 && bare_guest_refs(c->guest) == nr + 1,
          "all pages are used, no reference too many");
    check_dma(c, edu_write(&c->edu[0], iova_of(far_dfn(nr - 1)), low_pa(0x100 + nr - 1)),
              EDU_LANDED, "the last that was mapped works");
    check_dma(c, edu_write(&c->edu[0], iova_of(far_dfn(nr)), low_pa(0x100 + nr)), EDU_BLOCKED,
              "the refused one does not");
    check(c, submit(c, c->other, &alloc, 1), "the other guest has its own pages");
    alloc = op_make(PVI_OP_FREE_CONTEXT, alloc.ctx, 0);
    check(c, submit(c, c->other, &alloc, 1), "and gives them back");
    op = op_unmap(ctx, far_dfn(0), 1);
    check(c, run(c, &op) == 0, "unmapping needs no page");
    check(c, context_free(c, ctx) && pages_free(c) == before && bare_guest_refs(c->guest) == 0,
          "freed: all pages and frames are back");
}

/* Hostile input -------------------------------------------------------------------------------- */

static void refused(struct checks *c, struct pvi_op op, int want, const char *name)
{
    int got = run(c, &op);

    check(c, got == -want && op.done == 0, name);
    if (got != -want) {
        bare_print("# status %d (%s), not %d\n", got, pvi_strerror(got), -want);
    }
}

static void refused_ranges(struct checks *c, uint16_t ctx)
{
    uint64_t end = dfn_end(c);

    refused(c, op_map(ctx, 0x500, 0x20, 0, PVI_RW), PVI_ELENGTH, "map nothing");
    refused(c, op_map(ctx, 0x500, 0x20, 1, 0), PVI_EFLAGS, "map without rights");
    refused(c, op_map(ctx, 0x500, 0x20, 1, 0x80000003u), PVI_EFLAGS, "map with an unknown flag");
    refused(c, op_map(ctx, 1, 0x20, UINT64_MAX, PVI_RW), PVI_EWRAP, "map more than there is");
    refused(c, op_map(ctx, UINT64_MAX, 0x20, 1, PVI_RW), PVI_EWRAP, "map a DFN that is no address");
    refused(c, op_map(ctx, end, 0x20, 1, PVI_RW), PVI_ERANGE, "map behind the last page");
    refused(c, op_map(ctx, end - 1, 0x20, 2, PVI_RW), PVI_ERANGE, "map across the last page");
    refused(c, op_map(ctx, 0xFEE00, 0x20, 1, PVI_RW), PVI_ERESERVED, "map the interrupt window");
    refused(c, op_map(ctx, 0x500, LOW_NR, 1, PVI_RW), PVI_ENOFRAME,
            "map a frame that does not exist");
    refused(c, op_map(ctx, 0x500, UINT64_MAX, 1, PVI_RW), PVI_EWRAP, "map a GFN that wraps");
    refused(c, op_map(ctx, 0x500, ROM_GFN, 1, PVI_RW), PVI_EPERM,
            "map read only memory for writing");
    refused(c, op_map(ctx, BOUNCE_DFN, 0x20, 1, PVI_RW), PVI_EEXIST, "map over a mapping");
    refused(c, op_unmap(ctx, 0x500, 1), PVI_ENOENT, "unmap what is not mapped");
    refused(c, op_unmap(ctx, BOUNCE_DFN, 0), PVI_ELENGTH, "unmap nothing");
    refused(c, op_lookup(ctx, 0x500), PVI_ENOENT, "look up what is not mapped");
}

static void refused_objects(struct checks *c, uint16_t ctx)
{
    struct pvi_device stranger = c->dev[0];
    struct pvi_op op = op_make(PVI_OP_NR, ctx, 0);

    refused(c, op, PVI_EINVAL, "an operation that does not exist");
    op = op_make(PVI_OP_NOOP, 0, 0);
    op.pad = 1;
    refused(c, op, PVI_EINVAL, "a reserved field that is not zero");
    refused(c, op_map(0, 0x500, 0x20, 1, PVI_RW), PVI_EDEFAULT, "map in the default context");
    refused(c, op_make(PVI_OP_FREE_CONTEXT, 0, 0), PVI_EDEFAULT, "free the default context");
    refused(c, op_map((uint16_t)(ctx + 1), 0x500, 0x20, 1, PVI_RW), PVI_ENOCTX,
            "map in no context");
    refused(c, op_make(PVI_OP_FREE_CONTEXT, 0xFFFF, 0), PVI_ENOCTX, "free no context");
    refused(c, op_make(PVI_OP_ALLOC_CONTEXT, 0, 0x80), PVI_EFLAGS,
            "a context with an unknown flag");
    stranger.sbdf.v = 0xFFFF;
    refused(c, op_reattach(ctx, &stranger), PVI_ENODEV, "move a device that is not ours");
    refused(c, op_init(1, 1), PVI_EINITED, "initialise twice");
    op = op_map(ctx, 0x500, 0x20, 1, PVI_RW);
    op.domid = 77;
    refused(c, op, PVI_ENODOM, "act for a domain that does not exist");
}

void check_hostile(struct checks *c)
{
    uint16_t ctx = context_make(c, 0);
    struct pvi_op op = op_map(ctx, 0x500, 0, 1, PVI_RW);
    struct pvi_batch batch;
    uint32_t pages = pages_free(c);

    refused_ranges(c, ctx);
    refused_objects(c, ctx);
    check(c, pages_free(c) == pages && bare_guest_refs(c->guest) == 1,
          "all that has changed nothing");

    op.domid = c->guest->domid;
    (void)submit(c, c->other, &op, 1);
    check(c, op.status == -PVI_EPERM, "a guest may not act for another one");
    memset(&batch, 0, sizeof(batch));
    batch.ops = &op;
    batch.nr = 1;
    batch.flags = 0x80;
    check(c, pvi_submit(&c->guest->domain, &batch) == -PVI_EINVAL, "a batch with unknown flags");
    check(c, context_free(c, ctx), "the context is freed");
}

/* Preemption ----------------------------------------------------------------------------------- */

#define RUN_DFN 0x40001u /* never congruent with its frames modulo 2 MiB: 4 KiB leaves only */
#define RUN_GFN 0x800u
#define RUN_NR  0x1000u
/* Unmaps for it: none takes a table whole. */
#define RUN_PARTS 16u

#define TIMER_NS 20000u

/* One number for what all lookups of the run say. */
static uint64_t digest(struct checks *c, uint16_t ctx)
{
    static struct pvi_op ops[64];
    uint64_t sum = 0;
    uint64_t at;
    unsigned i;

    for (at = 0; at < RUN_NR; at += 64) {
        for (i = 0; i < 64; i++) {
            ops[i] = op_lookup(ctx, RUN_DFN + at + i);
        }
        (void)submit(c, c->guest, ops, 64);
        for (i = 0; i < 64; i++) {
            sum = sum * 31 + (uint64_t)(int64_t)ops[i].status;
            sum = sum * 31 + ops[i].u.lookup.gfn.f;
            sum = sum * 31 + ops[i].u.lookup.prot;
        }
    }
    return sum;
}

static struct {
    unsigned looks, stale, early;
} seen;

/*
 * While the guest runs: what unmaps have reported is out of reach, what they have not is still
 * mapped.
 */
static void look_at_unmap(struct checks *c, const struct pvi_op *op)
{
    uint64_t done = op->u.unmap.dfn.f + op->done - RUN_DFN;

    if (op->code != PVI_OP_UNMAP) {
        return;
    }
    seen.looks++;
    if (done > 0) {
        seen.stale += edu_write(&c->edu[0], iova_of(RUN_DFN + done - 1),
                                low_pa(RUN_GFN + done - 1)) != EDU_BLOCKED;
    }
    seen.early +=
        edu_write(&c->edu[0], iova_of(RUN_DFN + done), low_pa(RUN_GFN + done)) != EDU_LANDED;
}

/*
 * Maps and unmaps the run; *sum is what it looked like in between. Looking is not counted as
 * preempted.
 */
static bool map_and_unmap(struct checks *c, uint16_t ctx, uint64_t *sum)
{
    struct pvi_op m = op_map(ctx, RUN_DFN, RUN_GFN, RUN_NR, PVI_RW);
    struct pvi_op ops[RUN_PARTS];
    bool good = run(c, &m) == 0 && m.done == RUN_NR;
    uint32_t preemptions = c->preemptions;
    unsigned i;

    *sum = digest(c, ctx);
    c->preemptions = preemptions;
    for (i = 0; i < RUN_PARTS; i++) {
        ops[i] = op_unmap(ctx, RUN_DFN + i * (RUN_NR / RUN_PARTS), RUN_NR / RUN_PARTS);
    }
    return good && submit(c, c->guest, ops, RUN_PARTS) && bare_guest_refs(c->guest) == 1;
}

static void check_every_checkpoint(struct checks *c, uint16_t ctx, uint64_t calm)
{
    uint64_t busy;

    c->h->preempt_always = true;
    c->on_preempt = look_at_unmap;
    check(c, map_and_unmap(c, ctx, &busy) && c->preemptions >= RUN_NR / 512 + RUN_PARTS - 1,
          "the same, preempted at every checkpoint");
    c->on_preempt = NULL;
    c->h->preempt_always = false;
    check(c, busy == calm, "it looks the same in between");
    check(c, seen.looks >= RUN_PARTS - 1 && seen.stale == 0,
          "what an unmap has reported is out of reach when the guest runs");
    check(c, seen.early == 0, "what it has not reported is still there");
}

void check_preemption(struct checks *c)
{
    uint16_t ctx = context_make(c, 0);
    struct pvi_op move = op_reattach(ctx, &c->dev[0]);
    uint64_t calm = 0;
    uint64_t busy;
    unsigned turn;

    c->preemptions = 0;
    check(c, run(c, &move) == 0 && map_and_unmap(c, ctx, &calm) && c->preemptions == 0,
          "4096 pages mapped and unmapped in one go");
    check_every_checkpoint(c, ctx, calm);

    c->preemptions = 0;
    busy = calm;
    bare_timer_start(TIMER_NS);
    for (turn = 0; turn < 100 && busy == calm && c->preemptions < 10; turn++) {
        if (!map_and_unmap(c, ctx, &busy)) {
            break;
        }
    }
    bare_timer_stop();
    check(c, busy == calm && c->preemptions >= 10, "the same, preempted by a timer");
    check(c, context_free(c, ctx), "the context is freed");
}

/* Other guests --------------------------------------------------------------------------------- */

void check_guests(struct checks *c)
{
    struct pvi_op alloc = op_make(PVI_OP_ALLOC_CONTEXT, 0, 0);
    struct pvi_op op;
    uint16_t mine = context_make(c, 0);

    op = op_map(mine, 0x123456, 0x21, 1, PVI_RW);
    check(c, run(c, &op) == 0, "the first guest maps a page");
    op = op_reattach(mine, &c->dev[0]);
    check(c, run(c, &op) == 0, "for its device");
    check(c,
          pvi_device_remove(&c->guest->domain, &c->dev[1]) == 0 &&
              pvi_device_add(&c->other->domain, &c->dev[1]) == 0,
          "the other device goes to the other guest");
    op = op_reattach(mine, &c->dev[1]);
    check(c, run(c, &op) == -PVI_ENODEV, "it is out of the first one's reach");
    check(c, submit(c, c->other, &alloc, 1), "the other guest has a context");
    op = op_map(alloc.ctx, 0x123456, 0x21, 1, PVI_RW);
    check(c, submit(c, c->other, &op, 1), "maps the same numbers");
    op = op_reattach(alloc.ctx, &c->dev[1]);
    check(c, submit(c, c->other, &op, 1), "and moves its device there");
    check_dma(c, edu_write(&c->edu[1], iova_of(0x123456), OTHER_PA + iova_of(0x21)), EDU_LANDED,
              "it lands in its own memory");
    check_dma(c, edu_write(&c->edu[0], iova_of(0x123456), low_pa(0x21)), EDU_LANDED,
              "as the first one does");
    check_dma(c, edu_write(&c->edu[1], iova_of(0x123456), low_pa(0x21)), EDU_BLOCKED,
              "and not in the first one's");
    op = op_unmap(alloc.ctx, 0x123456, 1);
    op.domid = c->other->domid;
    check(c, run(c, &op) == 0, "the control guest unmaps for the other");
    check_dma(c, edu_write(&c->edu[1], iova_of(0x123456), OTHER_PA + iova_of(0x21)), EDU_BLOCKED,
              "it is blocked");
    check_dma(c, edu_write(&c->edu[0], iova_of(0x123456), low_pa(0x21)), EDU_LANDED,
              "the first one is not");
    op = op_make(PVI_OP_FREE_CONTEXT, alloc.ctx, PVI_FREE_REATTACH);
    check(c, submit(c, c->other, &op, 1) && bare_guest_refs(c->other) == 0, "its context is freed");
    check(c,
          pvi_device_remove(&c->other->domain, &c->dev[1]) == 0 &&
              pvi_device_add(&c->guest->domain, &c->dev[1]) == 0,
          "the device comes back");
    check(c, context_free(c, mine), "the first one's context is freed");
}

/* Reserved regions ----------------------------------------------------------------------------- */

#define REGION_BYTES 0x2000u

static void put(uint8_t *table, unsigned offset, uint64_t value, unsigned size)
{
    memcpy(table + offset, &value, size);
}

/*
 * A table of firmware that reserves the region for one device: DMAR with an RMRR, or IVRS with an
 * IVMD.
 */
static size_t region_table(uint8_t table[80], bool vtd, uint16_t rid)
{
    size_t i, size = 80;
    uint8_t sum = 0;

    memset(table, 0, 80);
    if (vtd) {
        memcpy(table, "DMAR", 4);
        put(table, 36, 38, 1);            /* host address width, minus 1 */
        put(table, 48, 1 | 32u << 16, 4); /* RMRR, 24 bytes and one scope of 8 */
        put(table, 56, REGION_PA, 8);
        put(table, 64, REGION_PA + REGION_BYTES - 1, 8);
        put(table, 72, 1 | 8u << 8, 4); /* endpoint; enumeration id and bus are 0 */
        put(table, 78, (rid & 0xFF) >> 3, 1);
        put(table, 79, rid & 7, 1);
    } else {
        memcpy(table, "IVRS", 4);
        put(table, 36, 40u << 8, 4);                   /* physical address width */
        put(table, 48, 0x21 | 7u << 8 | 32u << 16, 4); /* IVMD of one device: unity, read, write */
        put(table, 52, rid, 2);
        put(table, 64, REGION_PA, 8);
        put(table, 72, REGION_BYTES, 8);
    }
    put(table, 4, size, 4);
    put(table, 8, 1, 1);
    for (i = 0; i < size; i++) {
        sum = (uint8_t)(sum + table[i]);
    }
    table[9] = (uint8_t)(0 - sum);
    return size;
}

void check_regions(struct checks *c)
{
    struct pvi_device *dev = &c->dev[1];
    struct edu *e = &c->edu[1];
    uint16_t ctx = context_make(c, 0);
    struct pvi_op op = op_reattach(ctx, dev);
    uint8_t table[80];
    size_t size = region_table(table, c->h->unit == &c->h->vtd.unit, e->rid);

    check(c,
          pvi_device_remove(&c->guest->domain, dev) == 0 &&
              bare_regions_find(table, size, dev) == 0 && dev->nr_regions == 1,
          "firmware reserves memory for a device");
    check(c, pvi_device_add(&c->guest->domain, dev) == 0, "it is added");
    check_dma(c, edu_write(e, REGION_PA, REGION_PA), EDU_LANDED,
              "it reaches its region in the default context");
    check_dma(c, edu_write(e, REGION_PA + REGION_BYTES, REGION_PA + REGION_BYTES), EDU_BLOCKED,
              "and nothing else");
    check(c, run(c, &op) == 0, "it moves to another context");
    check_dma(c, edu_write(e, REGION_PA + 0x1000, REGION_PA + 0x1000), EDU_LANDED,
              "it reaches its region there");
    check_dma(c, edu_write(&c->edu[0], REGION_PA, REGION_PA), EDU_BLOCKED,
              "another device does not reach it");
    refused(c, op_map(ctx, REGION_PA >> PVI_PAGE_LG2, 0x20, 1, PVI_RW), PVI_ERESERVED,
            "a guest cannot map there");
    refused(c, op_unmap(ctx, REGION_PA >> PVI_PAGE_LG2, 1), PVI_ERESERVED, "nor unmap it");
    op = op_reattach(0, dev);
    check(c, run(c, &op) == 0, "it goes back to the default context");
    check_dma(c, edu_write(e, REGION_PA, REGION_PA), EDU_LANDED, "it reaches its region there");
    op = op_map(ctx, REGION_PA >> PVI_PAGE_LG2, 0x20, 1, PVI_RW);
    check(c, run(c, &op) == 0, "in the context that it left the guest may map there");
    check(c, pvi_device_remove(&c->guest->domain, dev) == 0, "it is taken away");
    check_dma(c, edu_write(e, REGION_PA, REGION_PA), EDU_BLOCKED, "it is blocked");
    dev->nr_regions = 0;
    check(c, pvi_device_add(&c->guest->domain, dev) == 0, "it comes back without");
    check(c, context_free(c, ctx), "the context is freed");
}
