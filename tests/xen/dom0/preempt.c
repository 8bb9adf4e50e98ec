/* SPDX-License-Identifier: MIT */
/* Calls that are interrupted on their way, by a timer and by the other CPU, and end as if they had not been. */
#include "iommu43.h"

#define MOST 8192u
#define PARTS 16u /* of an undisturbed call, from one event of the timer to the next */

struct big {
    uint16_t ctx, whole; /* a context that has the range; one that begins as identity */
    uint32_t nr, done;
    uint64_t dfn, gfn;
};

static long big_map(struct big *b)
{
    return iommu_map(b->ctx, b->dfn, b->gfn, b->nr, MAP_RW, &b->done);
}

static long big_unmap(struct big *b)
{
    return iommu_unmap(b->ctx, b->dfn, b->nr, &b->done);
}

static long big_alloc(struct big *b)
{
    b->done = b->nr;
    return iommu_alloc(ALLOC_IDENTITY, &b->whole);
}

static long big_free(struct big *b)
{
    b->done = b->nr;
    return iommu_free(b->whole, 0);
}

/* Pages whose lookup is not what it should be: frames from gfn on at dfn, or nothing. Each hundredth, and the ends. */
static unsigned wrong_pages(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, bool mapped)
{
    unsigned wrong = 0;
    uint64_t got;

    for (uint32_t i = 0; i < nr; i = i + 97 < nr || i == nr - 1 ? i + 97 : nr - 1) {
        long rc = iommu_lookup(ctx, dfn + i, &got);

        wrong += mapped ? rc != 0 || got != gfn + i : rc != ENOENT;
    }
    return wrong;
}

enum how { ALONE, TIMER, OTHER_CPU };

static const char *const how_names[] = {"alone", "a timer running", "the other CPU sending events"};
static volatile bool flooding;
static unsigned continued;

static void flood(void *unused)
{
    (void)unused;
    while (flooding) {
        events_send();
    }
}

/* What a call is among events, and how long it takes without. */
struct step {
    const char *name;
    long (*call)(struct big *);
    bool tells; /* what is handed back to the caller in between tells how far it has come */
    uint64_t ns;
};

static void run_step(struct step *s, enum how how, struct big *b)
{
    uint64_t began;
    long rc;

    events.seen = events.continued = events.partway = 0;
    if (how == OTHER_CPU) {
        flooding = true;
        second_run(flood, NULL);
        while (events.seen < 4) {
        }
    } else if (how == TIMER) {
        events_every(s->ns / PARTS);
    }
    b->done = 0;
    began = now();
    rc = s->call(b);
    flooding = false;
    second_wait();
    events_every(0);
    is(rc, 0, "%s, %s", s->name, how_names[how]);
    is(b->done, b->nr, "%u pages", b->nr);
    if (how == ALONE) {
        s->ns = now() - began;
        return;
    }
    note("%u events, %u continuations, %u of them on the way", events.seen, events.continued, events.partway);
    if (how == TIMER && s->tells) {
        ok(events.partway != 0, "interrupted on its way, and continued");
    }
    continued += events.continued;
}

static struct step steps[] = {
    {"map", big_map, true, 0},
    {"unmap", big_unmap, true, 0},
    {"alloc of an identity context", big_alloc, true, 0},
    {"free of it", big_free, false, 0},
};

static void rounds(enum how how, struct big *b)
{
    run_step(&steps[0], how, b);
    is(wrong_pages(b->ctx, b->dfn, b->gfn, b->nr, true), 0, "each page is where it should be");
    run_step(&steps[1], how, b);
    is(wrong_pages(b->ctx, b->dfn, b->gfn, b->nr, false), 0, "none is left");
    run_step(&steps[2], how, b);
    is(wrong_pages(b->whole, b->gfn, b->gfn, b->nr, true), 0, "each page of memory is there");
    run_step(&steps[3], how, b);
}

/* Two CPUs: the second one sends. One: a timer. */
void test_preempt(void)
{
    struct big b = {.dfn = DFN + 1};
    unsigned room;

    b.nr = memory_run(MOST, &b.gfn);
    b.dfn += b.gfn % 512; /* leaves of 4 KiB: the two are never aligned at once */
    if (!events_begin()) {
        ok(true, "events # SKIP Xen has none");
        return;
    }
    room = tables_left();
    is(iommu_alloc(0, &b.ctx), 0, "alloc");
    rounds(ALONE, &b);
    if (second_is_there()) { /* who meets whom is up to the machine */
        for (unsigned i = 0; i < 8 && continued < 4; i++) {
            rounds(OTHER_CPU, &b);
        }
        ok(continued != 0, "interrupted and continued, %u times", continued);
    } else {
        rounds(TIMER, &b);
    }
    events_end();
    is(iommu_free(b.ctx, 0), 0, "free");
    is(tables_left(), room, "no page is lost");
}
