/* SPDX-License-Identifier: MIT */
/* Checks of translation: where DMA lands, and when it no longer does. */
#include "checks.h"

static enum edu_verdict write_at(struct checks *c, unsigned dev, uint64_t dfn, uint64_t pa)
{
    return edu_write(&c->edu[dev], iova_of(dfn), pa);
}

static enum edu_verdict read_at(struct checks *c, unsigned dev, uint64_t dfn, uint64_t pa)
{
    return edu_read(&c->edu[dev], iova_of(dfn), pa, iova_of(BOUNCE_DFN), low_pa(BOUNCE_GFN));
}

static bool attach(struct checks *c, unsigned dev, uint16_t ctx)
{
    struct pvi_op op = op_reattach(ctx, &c->dev[dev]);

    return run(c, &op) == 0;
}

static bool map(struct checks *c, uint16_t ctx, uint64_t dfn, uint64_t gfn, uint64_t nr)
{
    struct pvi_op op = op_map(ctx, dfn, gfn, nr, PVI_RW);

    return run(c, &op) == 0 && op.done == nr;
}

static bool unmap(struct checks *c, uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op op = op_unmap(ctx, dfn, nr);

    return run(c, &op) == 0 && op.done == nr;
}

/* Does dfn lead to gfn, by a leaf of this size? */
static bool leaf_is(struct checks *c, uint16_t ctx, uint64_t dfn, uint64_t gfn, unsigned lg2)
{
    struct pvi_op op = op_lookup(ctx, dfn);

    return run(c, &op) == 0 && op.u.lookup.gfn.f == gfn && op.u.lookup.lg2 == lg2;
}

static bool leaf_none(struct checks *c, uint16_t ctx, uint64_t dfn)
{
    struct pvi_op op = op_lookup(ctx, dfn);

    return run(c, &op) == -PVI_ENOENT;
}

/* Page sizes, rights --------------------------------------------------------------------------- */

#define SMALL_DFN 0x123456u
#define LARGE_DFN 0x80000u   /* 2 MiB */
#define HUGE_DFN  0x1000000u /* 1 GiB */
#define RO_DFN    0x300u
#define WO_DFN    0x301u

static void check_small(struct checks *c)
{
    check_dma(c,
              edu_write_halves(&c->edu[0], iova_of(SMALL_DFN) + 0xF00, low_pa(0x21) + 0xF00,
                               low_pa(0x11)),
              EDU_LANDED, "a write across two pages lands in two frames that are not neighbours");
    check_dma(c, read_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_LANDED,
              "4 KiB: a read gets the frame");
    check_dma(c, write_at(c, 0, SMALL_DFN + 2, low_pa(0x22)), EDU_BLOCKED,
              "the page behind is blocked");
    check_dma(c, write_at(c, 0, dfn_end(c) - 1, low_pa(0x32)), EDU_LANDED, "the last page lands");
    check(c, leaf_is(c, c->dev[0].ctx->id, SMALL_DFN + 1, 0x11, 12), "it is a leaf of 4 KiB");
}

static void check_large(struct checks *c)
{
    uint64_t end = HUGE_DFN + HIGH_NR - 1;

    check_dma(c, write_at(c, 0, LARGE_DFN, low_pa(0x200)), EDU_LANDED, "2 MiB: first page");
    check_dma(c, write_at(c, 0, LARGE_DFN + 0x1FF, low_pa(0x3FF)), EDU_LANDED, "2 MiB: last page");
    check(c, leaf_is(c, c->dev[0].ctx->id, LARGE_DFN + 9, 0x209, 21), "it is a leaf of 2 MiB");
    check_dma(c, write_at(c, 0, LARGE_DFN + 0x200, low_pa(0x400)), EDU_BLOCKED, "2 MiB: behind it");
    check_dma(c, write_at(c, 0, HUGE_DFN, HIGH_PA), EDU_LANDED, "1 GiB: first page");
    check_dma(c, write_at(c, 0, end, HIGH_PA + iova_of(HIGH_NR - 1)), EDU_LANDED,
              "1 GiB: last page");
    check_dma(c, read_at(c, 0, end, HIGH_PA + iova_of(HIGH_NR - 1)), EDU_LANDED, "1 GiB: read");
    check(c, leaf_is(c, c->dev[0].ctx->id, end, HIGH_GFN + HIGH_NR - 1, 30),
          "it is a leaf of 1 GiB");
}

static void check_rights(struct checks *c)
{
    check_dma(c, write_at(c, 0, RO_DFN, ROM_PA), EDU_BLOCKED, "read only: a write is blocked");
    check_dma(c, read_at(c, 0, RO_DFN, ROM_PA), EDU_LANDED, "read only: a read gets the frame");
    check_dma(c, read_at(c, 0, WO_DFN, low_pa(0x31)), EDU_BLOCKED, "write only: a read is blocked");
    check_dma(c, write_at(c, 0, WO_DFN, low_pa(0x31)), EDU_LANDED, "write only: a write lands");
}

void check_sizes(struct checks *c)
{
    uint16_t ctx = context_make(c, 0);
    struct pvi_op ops[] = {
        op_map(ctx, SMALL_DFN, 0x21, 1, PVI_RW),
        op_map(ctx, SMALL_DFN + 1, 0x11, 1, PVI_RW),
        op_map(ctx, LARGE_DFN, 0x200, 0x200, PVI_RW),
        op_map(ctx, HUGE_DFN, HIGH_GFN, HIGH_NR, PVI_RW),
        op_map(ctx, RO_DFN, ROM_GFN, 1, PVI_READ),
        op_map(ctx, WO_DFN, 0x31, 1, PVI_WRITE),
        op_map(ctx, dfn_end(c) - 1, 0x32, 1, PVI_RW),
    };
    uint64_t waits;

    check(c, attach(c, 0, ctx), "a device moves to a context");
    waits = c->h->waits;
    check(c, submit(c, c->guest, ops, sizeof(ops) / sizeof(ops[0])),
          "one batch of maps, all sizes and rights");
    check(c, c->h->waits - waits == (c->h->unit->caps.np_cache ? 1 : 0),
          "it costs one flush in caching mode, else none");
    check_small(c);
    check_large(c);
    check_rights(c);
    check(c, bare_guest_refs(c->guest) == 6 + 0x200 + HIGH_NR,
          "each frame mapped holds a reference");
    check(c, context_free(c, ctx), "the context is freed");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_BLOCKED,
              "the device is blocked at once");
    check(c, bare_guest_refs(c->guest) == 0, "no reference is left");
}

/* Contexts, devices ---------------------------------------------------------------------------- */

void check_contexts(struct checks *c)
{
    uint16_t one = context_make(c, 0);
    uint16_t two = context_make(c, 0);
    struct pvi_op busy = op_make(PVI_OP_FREE_CONTEXT, one, 0);

    check(c, map(c, one, SMALL_DFN, 0x21, 1) && map(c, two, SMALL_DFN, 0x41, 1),
          "two contexts map the same DFN to two frames");
    check(c, attach(c, 0, one) && attach(c, 1, two), "a device in each");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_LANDED,
              "the first writes its own frame");
    check_dma(c, write_at(c, 1, SMALL_DFN, low_pa(0x41)), EDU_LANDED, "the second writes its own");
    check(c, attach(c, 0, two), "the first moves to the second's context");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x41)), EDU_LANDED, "it writes the new frame");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_BLOCKED, "and not the old one");
    check_dma(c, write_at(c, 1, SMALL_DFN, low_pa(0x41)), EDU_LANDED,
              "the second is not disturbed");
    check(c, attach(c, 0, 0), "the first goes to the default context");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x41)), EDU_BLOCKED, "it is blocked");
    check(c, attach(c, 0, one), "and back");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_LANDED,
              "it writes the first frame again");
    check(c, run(c, &busy) == -PVI_EBUSY, "a context with devices is not freed unasked");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_LANDED, "and goes on working");
    check(c, context_free(c, one) && context_free(c, two), "both are freed on demand");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_BLOCKED, "the first is blocked");
    check_dma(c, write_at(c, 1, SMALL_DFN, low_pa(0x41)), EDU_BLOCKED, "the second is blocked");
}

/* Staleness ------------------------------------------------------------------------------------ */

static struct {
    struct checks *c;
    enum edu_verdict verdict;
    uint32_t refs;
    bool seen;
} stale;

/* Between the change of the table and the flush. */
static void stale_look(struct pvi_host *h)
{
    h->before_inv = NULL;
    stale.seen = true;
    stale.verdict = write_at(stale.c, 0, SMALL_DFN, low_pa(0x21));
    stale.refs = stale.c->guest->range[0].frame[0x21].refs;
}

void check_stale(struct checks *c)
{
    uint16_t ctx = context_make(c, 0);
    struct pvi_op ops[8];
    uint64_t waits;
    unsigned i;

    check(c, map(c, ctx, SMALL_DFN, 0x21, 1) && attach(c, 0, ctx), "a page is mapped");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_LANDED, "the unit has cached it");
    stale.c = c;
    stale.seen = false;
    c->h->before_inv = stale_look;
    check(c, unmap(c, ctx, SMALL_DFN, 1) && stale.seen, "it is unmapped");
    check_dma(c, stale.verdict, EDU_LANDED, "before the flush the unit still uses it");
    check(c, stale.refs == 1, "and the frame is still held");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_BLOCKED, "after it no more");
    check(c, c->guest->range[0].frame[0x21].refs == 0, "and the frame is released");

    check(c, map(c, ctx, SMALL_DFN, 0x41, 1), "another frame is mapped there");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x41)), EDU_LANDED,
              "the device writes it at once");
    check_dma(c, write_at(c, 0, SMALL_DFN, low_pa(0x21)), EDU_BLOCKED, "and the old one no more");

    check(c, map(c, ctx, LARGE_DFN + 1, 0x100, 8), "eight pages");
    for (i = 0; i < 8; i++) {
        ops[i] = op_unmap(ctx, LARGE_DFN + 8 - i, 1);
    }
    waits = c->h->waits;
    check(c, submit(c, c->guest, ops, 8) && c->h->waits - waits == 1,
          "eight unmaps in a batch cost one flush");
    check(c, context_free(c, ctx), "the context is freed");
}

/* Large leaves, cut and put together ----------------------------------------------------------- */

void check_split(struct checks *c)
{
    uint16_t ctx = context_make(c, 0);
    uint64_t hole = HUGE_DFN + 0x12345;
    uint64_t hole_pa = HIGH_PA + iova_of(0x12345);
    bool amd = c->h->unit == &c->h->amdvi.unit; /* it has every power of two */

    check(c,
          map(c, ctx, LARGE_DFN, 0x200, 0x200) && map(c, ctx, HUGE_DFN, HIGH_GFN, HIGH_NR) &&
              attach(c, 0, ctx),
          "leaves of 2 MiB and 1 GiB");
    check_dma(c, write_at(c, 0, LARGE_DFN + 5, low_pa(0x205)), EDU_LANDED, "2 MiB: used");
    check_dma(c, write_at(c, 0, hole, hole_pa), EDU_LANDED, "1 GiB: used");
    check(c, unmap(c, ctx, LARGE_DFN + 5, 1) && unmap(c, ctx, hole, 1),
          "one page is taken out of each");
    check_dma(c, write_at(c, 0, LARGE_DFN + 5, low_pa(0x205)), EDU_BLOCKED, "2 MiB: it is blocked");
    check_dma(c, write_at(c, 0, LARGE_DFN + 4, low_pa(0x204)), EDU_LANDED,
              "2 MiB: not the one before");
    check_dma(c, write_at(c, 0, LARGE_DFN + 6, low_pa(0x206)), EDU_LANDED,
              "2 MiB: not the one behind");
    check_dma(c, write_at(c, 0, hole, hole_pa), EDU_BLOCKED, "1 GiB: it is blocked");
    check_dma(c,
              edu_write_halves(&c->edu[0], iova_of(hole - 1) - 256, hole_pa - iova_of(1) - 256,
                               hole_pa - iova_of(1)),
              EDU_LANDED, "1 GiB: not those before");
    check_dma(c, write_at(c, 0, hole + 1, hole_pa + iova_of(1)), EDU_LANDED,
              "1 GiB: not the one behind");
    check(c,
          leaf_is(c, ctx, hole + 1, HIGH_GFN + 0x12346, amd ? 13 : 12) &&
              leaf_is(c, ctx, HUGE_DFN, HIGH_GFN, amd ? 28 : 21) && leaf_none(c, ctx, hole),
          "1 GiB: cut no finer than needed");
    check(c,
          unmap(c, ctx, LARGE_DFN, 5) && unmap(c, ctx, LARGE_DFN + 6, 0x1FA) &&
              map(c, ctx, LARGE_DFN, 0x400, 0x200),
          "2 MiB: the rest goes, another leaf comes");
    check(c, leaf_is(c, ctx, LARGE_DFN, 0x400, 21), "it takes the place of the table");
    check_dma(c, write_at(c, 0, LARGE_DFN + 4, low_pa(0x404)), EDU_LANDED, "it translates at once");
    check(c, context_free(c, ctx) && bare_guest_refs(c->guest) == 0,
          "the context is freed, all frames released");
}

/* Identity ------------------------------------------------------------------------------------- */

/* One mapping holds this frame, and as a writer if it may write. */
static bool held(const struct bare_range *r, uint64_t gfn, bool writable)
{
    const struct bare_frame *frame = &r->frame[gfn - r->gfn];

    return frame->refs == 1 && frame->writers == (writable ? 1 : 0);
}

void check_identity(struct checks *c)
{
    uint16_t ctx = context_make(c, PVI_ALLOC_IDENTITY);
    uint64_t outside = LOW_NR + 5;

    check(c, attach(c, 0, ctx), "a device in an identity context");
    check(c,
          held(&c->guest->range[0], LOW_NR - 1, true) &&
              held(&c->guest->range[1], ROM_GFN, false) &&
              held(&c->guest->range[2], HIGH_GFN, true),
          "every frame is held, with the rights that the guest has");
    check_dma(c, write_at(c, 0, 0, LOW_PA), EDU_LANDED, "first frame of RAM");
    check_dma(c, write_at(c, 0, LOW_NR - 1, low_pa(LOW_NR - 1)), EDU_LANDED, "last frame of RAM");
    check_dma(c, write_at(c, 0, HIGH_GFN + HIGH_NR - 1, HIGH_PA + iova_of(HIGH_NR - 1)), EDU_LANDED,
              "last frame above 4 GiB");
    check_dma(c, write_at(c, 0, ROM_GFN, ROM_PA), EDU_BLOCKED, "read only memory is not written");
    check_dma(c, write_at(c, 0, outside, iova_of(outside)), EDU_BLOCKED,
              "no RAM of the guest: blocked");
    check_dma(c, write_at(c, 0, REGION_PA >> PVI_PAGE_LG2, REGION_PA), EDU_BLOCKED,
              "host memory of the same number: blocked");
    check(c, context_free(c, ctx) && bare_guest_refs(c->guest) == 0,
          "the context is freed, all frames released");
}
