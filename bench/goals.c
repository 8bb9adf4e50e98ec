/* SPDX-License-Identifier: MIT */
/* What the engine promises, as ratios within one run; docs/bench.md says where each comes from. */
#include "sample.h"
#include <stdio.h>
#include <string.h>

enum against {
    MACHINE, /* ours / floor of the machine, at most */
    FLOOR,   /* ours / the same figure of the floor, at most */
    PEER,    /* the same figure of the fastest peer / ours, at least */
    OWN,     /* ours / another figure of ours, at most */
    TWICE,   /* 2 x another figure of ours / ours, at least: speed-up by a second thread */
    NUMBER   /* ns, at most */
};

struct goal {
    const char *row;
    uint8_t part;
    enum against against;
    double limit;
    enum machine_floor floor;
    const char *other; /* OWN and TWICE: row, same part */
};

static const struct goal goals[] = {
    {.row = "1 GiB of 4K, warm", .part = 0, .against = MACHINE, .floor = FLOOR_STORES, .limit = 1.5},
    {.row = "1 GiB of 4K, fresh", .part = 0, .against = FLOOR, .limit = 1.5},
    {.row = "1 GiB of 4K, warm", .part = 0, .against = PEER, .limit = 2},
    {.row = "1 GiB of 4K, fresh", .part = 0, .against = PEER, .limit = 2},
    {.row = "1 GiB of 4K, warm", .part = 1, .against = NUMBER, .limit = 0.1},
    {.row = "1 GiB of 4K, owed", .part = 1, .against = MACHINE, .floor = FLOOR_LOADS, .limit = 1.5},
    {.row = "256x4K hot", .part = 0, .against = FLOOR, .limit = 1.7},
    {.row = "256x4K hot", .part = 1, .against = FLOOR, .limit = 1.7},
    {.row = "256x4K hot", .part = 0, .against = PEER, .limit = 1.6},
    {.row = "256x4K hot", .part = 1, .against = PEER, .limit = 1.6},
    {.row = "4K hot", .part = 0, .against = PEER, .limit = 1.4},
    {.row = "4K hot", .part = 1, .against = PEER, .limit = 1.4},
    {.row = "4K seq 1 GiB", .part = 0, .against = PEER, .limit = 1.4},
    {.row = "4K seq 1 GiB", .part = 1, .against = PEER, .limit = 1.4},
    {.row = "4K pair", .part = 0, .against = PEER, .limit = 2},
    {.row = "4K random 1 GiB", .part = 0, .against = PEER, .limit = 1.5},
    {.row = "4K random 1 GiB", .part = 1, .against = PEER, .limit = 1.5},
    {.row = "lookup random 1 GiB", .part = 0, .against = FLOOR, .limit = 1.2},
    {.row = "lookup dependent 1 GiB", .part = 0, .against = FLOOR, .limit = 1.2},
    {.row = "2M hot", .part = 0, .against = PEER, .limit = 1.5},
    {.row = "2M hot", .part = 1, .against = PEER, .limit = 1.5},
    {.row = "1G hot", .part = 0, .against = PEER, .limit = 1.5},
    {.row = "1G hot", .part = 1, .against = PEER, .limit = 1.5},
    {.row = "256x2M", .part = 0, .against = PEER, .limit = 1.5},
    {.row = "256x2M", .part = 1, .against = PEER, .limit = 1.5},
    {.row = "256x1G", .part = 0, .against = PEER, .limit = 1.5},
    {.row = "256x1G", .part = 1, .against = PEER, .limit = 1.5},
    {.row = "mixed 4K+2M+1G", .part = 0, .against = PEER, .limit = 1.5},
    {.row = "mixed 4K+2M+1G", .part = 1, .against = PEER, .limit = 1.5},
    {.row = "batch of 128, scattered", .part = 0, .against = OWN, .limit = 2.5, .other = "4K random 1 GiB"},
    {.row = "2 threads: 4K seq", .part = 0, .against = TWICE, .limit = 1.9, .other = "1 thread: 4K seq"},
    {.row = "2 threads: 4K seq", .part = 1, .against = TWICE, .limit = 1.9, .other = "1 thread: 4K seq"},
    {.row = "2 threads: lookup random 1 GiB", .part = 0, .against = TWICE, .limit = 1.9,
     .other = "1 thread: lookup random 1 GiB"},
    {.row = "2 threads: 1 GiB of 4K", .part = 0, .against = TWICE, .limit = 1.7, .other = "1 thread: 1 GiB of 4K"},
    {.row = "4K in one call, 1 MiB", .part = 0, .against = OWN, .limit = 1.5, .other = "4K in one call, 1 GiB"},
    {.row = "4K in one call, 64 GiB", .part = 0, .against = OWN, .limit = 1.5, .other = "4K in one call, 1 GiB"},
    {.row = "4K in one call, 64 GiB", .part = 1, .against = OWN, .limit = 1.5, .other = "4K in one call, 1 GiB"},
};

struct value {
    double median, min;
    bool disturbed;
};

static bool figure_of(const struct contender *c, const char *row, unsigned part, struct value *out)
{
    const struct series *s = find_series(c, row, part);
    struct summary sum;

    if (!s) {
        return false;
    }
    sum = summarise(s);
    out->median = sum.median;
    out->min = sum.min;
    out->disturbed = sum.disturbed;
    return true;
}

/* The fastest of those who have the figure: the peers of a format, or the floor. */
static bool best_of(const char *format, bool floor, const struct goal *g, struct value *out)
{
    bool found = false;
    struct value v;
    unsigned i;

    for (i = 0; contenders[i]; i++) {
        const struct contender *c = contenders[i];

        if (c->ours || strcmp(c->format, floor ? "floor" : format) != 0 || !figure_of(c, g->row, g->part, &v)) {
            continue;
        }
        if (!found || v.median < out->median) {
            out->median = v.median;
            out->disturbed = v.disturbed;
        }
        out->min = !found || v.min < out->min ? v.min : out->min;
        found = true;
    }
    return found;
}

static bool reference(const struct contender *c, const struct goal *g, struct value *out)
{
    struct summary s;

    switch (g->against) {
    case MACHINE:
        s = summarise(&machine[g->floor]);
        out->median = s.median;
        out->min = s.min;
        out->disturbed = s.disturbed;
        return s.nr != 0;
    case FLOOR:
        return best_of(c->format, true, g, out);
    case PEER:
        return best_of(c->format, false, g, out);
    case OWN:
    case TWICE:
        return figure_of(c, g->other, g->part, out);
    default:
        out->median = out->min = 1;
        out->disturbed = false;
        return true;
    }
}

static const char *reference_name(const struct goal *g)
{
    static const char *const name[] = {"", "x floor", "x faster than peers", "", "x one thread", "ns"};
    static const char *const machine_name[FLOOR_NR] = {"x store", "x load", "x zero", "x clock"};

    if (g->against == OWN) {
        return "x own";
    }
    return g->against == MACHINE ? machine_name[g->floor] : name[g->against];
}

/* 0: met, 1: missed, -1: not measured. */
static int print_goal(const struct contender *c, const struct goal *g)
{
    struct value ours, ref;
    double median, min;
    bool at_least = g->against == PEER || g->against == TWICE, ok;
    const struct row *r = NULL;
    unsigned i;

    if (!figure_of(c, g->row, g->part, &ours) || !reference(c, g, &ref)) {
        return -1;
    }
    for (i = 0; i < nr_entries && !r; i++) {
        r = strcmp(entries[i].row->name, g->row) == 0 ? entries[i].row : NULL;
    }
    median = at_least ? ref.median / ours.median : ours.median / ref.median;
    min = at_least ? ref.min / ours.min : ours.min / ref.min;
    if (g->against == TWICE) {
        median *= 2;
        min *= 2;
    }
    ok = at_least ? median >= g->limit : median <= g->limit;
    printf("%-10s %-32s %-9s %s %5.2f %-20s %8.3f [%7.3f] %s%s\n", c->format, g->row, r->part[g->part],
           at_least ? ">=" : "<=", g->limit, reference_name(g), median, min, ok ? "ok" : "MISSED",
           ours.disturbed || ref.disturbed ? " (disturbed)" : "");
    return !ok;
}

unsigned print_goals(void)
{
    unsigned met = 0, missed = 0, i, k;
    bool titled = false;

    for (i = 0; contenders[i]; i++) {
        bool first = contenders[i]->ours;

        for (k = 0; k < i; k++) { /* the project's own compiler comes first: its build is the one that must meet them */
            first = first && (!contenders[k]->ours || strcmp(contenders[k]->format, contenders[i]->format) != 0);
        }
        for (k = 0; first && k < ARRAY_SIZE(goals); k++) {
            int rc;

            if (k == 0 && !titled) {
                printf("\ngoals of %s: ratio of medians [of minima]\n", contenders[i]->name);
                titled = true;
            }
            rc = print_goal(contenders[i], &goals[k]);
            met += rc == 0;
            missed += rc == 1;
        }
    }
    if (met + missed != 0) {
        printf("%u goals met, %u missed\n", met, missed);
    }
    return missed;
}
