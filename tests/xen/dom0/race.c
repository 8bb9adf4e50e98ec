/* SPDX-License-Identifier: MIT */
/*
 * Two virtual CPUs at one domain's contexts. What each answer may be is judged as it comes; afterwards lookups, the device, and what
 * there is of pages, contexts and references must be what one CPU alone would have left.
 */
#include "iommu43.h"

#define TURNS 200u
#define SHARED 16u  /* DFNs that both want */
#define NOBODY 0xffffu

struct side {
    uint16_t ctx;
    unsigned number;        /* 0, 1 */
    unsigned turns;
    unsigned mapped[SHARED], unmapped[SHARED];
    unsigned bad;           /* answers that cannot be */
    long first;             /* the first of those, and where */
    unsigned line;
};

static volatile uint16_t coming = 1; /* the context that comes and goes */
static volatile unsigned begun;

static void judge(struct side *s, long rc, bool good, unsigned line)
{
    if (!good && s->bad++ == 0) {
        s->first = rc;
        s->line = line;
    }
}

/* An answer, and what it may be. */
#define answer(s, rc, a, b, c) \
    do { \
        long rc_ = (rc); \
        judge(s, rc_, rc_ == (a) || rc_ == (b) || rc_ == (c), __LINE__); \
    } while (0)

/* Both begin at once. */
static void meet(void)
{
    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    while (begun < 2) {
        __asm__ volatile("pause");
    }
}

/* Runs job on both CPUs. */
static void both(const char *what, void (*a)(void *), void (*b)(void *), struct side side[2])
{
    begun = 0;
    second_run(b, &side[1]);
    a(&side[0]);
    second_wait();
    is(side[0].bad + side[1].bad, 0, "%s: each answer is one that can be", what);
    if (side[0].bad + side[1].bad != 0) {
        note("the others begin with %ld in line %u, %ld in line %u", side[0].first, side[0].line, side[1].first, side[1].line);
    }
    side[0].bad = side[1].bad = 0;
}

/* --- map and unmap -------------------------------------------------------------------------------------------- */

/* Each its own pages, alternating, in tables that both share and that come and go; runs of several, too. */
static void own_pages(void *arg)
{
    struct side *s = arg;
    uint32_t done;

    meet();
    for (unsigned i = 0; i < s->turns; i++) {
        uint64_t dfn = DFN + (i % 8) * 512 + (i % 3) * 4 + s->number * 2;
        uint64_t gfn = memory_frame(s->number);

        answer(s, iommu_map(s->ctx, dfn, gfn, 1, MAP_RW, &done), 0, 0, 0);
        answer(s, iommu_map(s->ctx, dfn + 1, gfn, 1, MAP_RW, &done), 0, 0, 0);
        answer(s, iommu_map(s->ctx, dfn + 1, gfn, 1, MAP_RW, &done), EADDRINUSE, EADDRINUSE, EADDRINUSE);
        answer(s, iommu_unmap(s->ctx, dfn, 2, &done), 0, 0, 0);
        judge(s, done, done == 2, __LINE__);
    }
    answer(s, iommu_map(s->ctx, DFN + 2 * s->number, frame_of(to[s->number]), 1, MAP_RW, &done), 0, 0, 0);
}

/* The same pages for both: who comes first has it. */
static void same_pages(void *arg)
{
    struct side *s = arg;
    uint32_t done;
    long rc;

    meet();
    for (unsigned i = 0; i < s->turns; i++) {
        unsigned at = i * (s->number + 3) % SHARED;

        rc = iommu_map(s->ctx, DFN + 64 + at, memory_frame(2), 1, MAP_RW, &done);
        answer(s, rc, 0, EADDRINUSE, 0);
        s->mapped[at] += rc == 0;
        at = i * (s->number + 5) % SHARED;
        rc = iommu_unmap(s->ctx, DFN + 64 + at, 1, &done);
        answer(s, rc, 0, ENOENT, 0);
        s->unmapped[at] += rc == 0;
    }
}

static void test_map(uint16_t ctx)
{
    struct side side[2] = {{.ctx = ctx, .number = 0, .turns = TURNS}, {.ctx = ctx, .number = 1, .turns = TURNS}};
    unsigned wrong = 0;
    uint32_t done;
    uint64_t gfn;

    load(frame_of(from), 6);
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach the device");
    both("both map and unmap, each its own", own_pages, own_pages, side);
    for (unsigned i = 0; i < 2; i++) {
        is(iommu_lookup(ctx, DFN + 2 * i, &gfn), 0, "what CPU %u left is there", i);
        ok(gfn == frame_of(to[i]) && lands(DFN + 2 * i, to[i], 6), "it is its frame, which the device reaches");
        is(iommu_unmap(ctx, DFN + 2 * i, 1, &done), 0, "unmap");
    }
    both("both map and unmap the same", same_pages, same_pages, side);
    for (unsigned i = 0; i < SHARED; i++) {
        unsigned left = side[0].mapped[i] + side[1].mapped[i] - side[0].unmapped[i] - side[1].unmapped[i];
        long rc = iommu_unmap(ctx, DFN + 64 + i, 1, &done);

        wrong += left == 1 ? rc != 0 : left != 0 || rc != ENOENT;
    }
    is(wrong, 0, "as many maps as unmaps have worked, and what is left");
    is(iommu_reattach(0, edu_sbdf), 0, "the device goes home");
}

/* --- contexts that come and go ---------------------------------------------------------------------------------- */

static void free_and_attach(void *arg)
{
    struct side *s = arg;

    meet();
    for (unsigned i = 0; i < s->turns / 4; i++) {
        uint16_t ctx;

        answer(s, iommu_alloc(i % 4 == 3 ? ALLOC_IDENTITY : 0, &ctx), 0, 0, 0);
        coming = ctx;
        answer(s, iommu_reattach(ctx, edu_sbdf), 0, 0, 0);
        if (i % 2 != 0) {
            answer(s, iommu_reattach(0, edu_sbdf), 0, 0, 0);
            answer(s, iommu_free(ctx, 0), 0, 0, 0);
        } else {
            answer(s, iommu_free(ctx, FREE_REATTACH), 0, 0, 0);
        }
    }
    coming = NOBODY;
}

/* Maps where it can: at any time the context may be no more, or be another. */
static void map_meanwhile(void *arg)
{
    struct side *s = arg;
    uint64_t gfn;
    uint32_t done;
    uint16_t ctx;
    unsigned i;

    meet();
    for (i = 0; (ctx = coming) != NOBODY; i++) {
        answer(s, iommu_map(ctx, DFN + i % 700, memory_frame(3 + i % 8), 1, MAP_RW, &done), 0, EADDRINUSE, EINVAL);
        answer(s, iommu_lookup(ctx, DFN + i % 700, &gfn), 0, ENOENT, EINVAL);
        if (i % 3 == 0) {
            answer(s, iommu_unmap(ctx, DFN + i % 700, 1, &done), 0, ENOENT, EINVAL);
        }
    }
    s->turns = i;
}

static void alloc_and_free(void *arg)
{
    struct side *s = arg;
    uint16_t ctx[CONTEXTS];
    uint32_t done;

    meet();
    for (unsigned i = 0; i < s->turns / 2; i++) {
        unsigned nr = 1 + i % (CONTEXTS / 2 - 1);

        for (unsigned k = 0; k < nr; k++) {
            answer(s, iommu_alloc(0, &ctx[k]), 0, 0, 0);
            for (unsigned far = 0; far < 3; far++) { /* tables of its own each */
                answer(s, iommu_map(ctx[k], DFN + (far << 18), memory_frame(s->number), 1, MAP_RW, &done), 0, 0, 0);
            }
        }
        for (unsigned k = nr; k-- > 0;) {
            answer(s, iommu_free(ctx[k], 0), 0, 0, 0);
        }
    }
}

void test_races(void)
{
    struct side side[2] = {{.number = 0, .turns = TURNS}, {.number = 1, .turns = TURNS}};
    unsigned room, held = 0;
    uint16_t ctx;

    room = tables_left();
    is(iommu_alloc(0, &ctx), 0, "alloc");
    test_map(ctx);
    is(iommu_free(ctx, 0), 0, "free");
    both("one has contexts come and go with the device, the other maps in them", free_and_attach, map_meanwhile, side);
    note("%u maps meanwhile", side[1].turns);
    side[1].turns = TURNS;
    both("both alloc and free", alloc_and_free, alloc_and_free, side);
    is(tables_left(), room, "no page is lost");
    for (uint64_t i = 0; i < 11; i++) {
        held += !memory_is_free(i);
    }
    is(held, 0, "no reference is left");
}
