/* SPDX-License-Identifier: MIT */
/* What the sweeps run again and again: a machine, what is there before, one batch. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "fixture.h"

struct scenario {
    const char *name;
    struct fx_cfg cfg;
    void (*prepare)(struct fx *f); /* may be NULL */
    void (*batch)(struct fx *f);   /* fx_begin() and operations */
    bool identity;                 /* a frame that cannot be had is left out, not an error */
};

extern const struct scenario scenarios[];
extern const unsigned nr_scenarios;

/* fx_up(), prepare. */
void scenario_up(struct fx *f, const struct scenario *s);

#endif
