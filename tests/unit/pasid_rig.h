/* SPDX-License-Identifier: MIT */
/* What the tests of PASIDs start from. The units have no hardware. */
#ifndef PASID_RIG_H
#define PASID_RIG_H

#include <string.h>

#include "fixture.h"

#define PASIDS .kind = FX_NULL, .pasid_bits = 8, .max_pasids = 6
#define NESTED .nested = true, .guest_levels = 1u << 4
#define ROOT 0x777ull

static struct fx fx;

/* Contexts 1 and 2, and 3 nested on 1; device 1 has three requester ids. */
static void up(const struct fx_cfg *cfg)
{
    fx_up(&fx, cfg);
    CHECK_EQ(fx_remove(&fx, 1), 0);
    fx.dev[1].nr_rids = 3;
    fx.dev[1].rid[1] = 0x901;
    fx.dev[1].rid[2] = 0x905;
    CHECK_EQ(fx_add(&fx, 1), 0);
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_alloc(&fx, 0);
    fx_nested(&fx, 1, ROOT);
    fx_map(&fx, 1, ROOT, GUEST_HVM, 5, PVI_RW);
    fx_expect(&fx, 0);
}

static int attach(unsigned ctx, unsigned dev, uint32_t pasid)
{
    fx_begin(&fx);
    fx_attach_pasid(&fx, ctx, dev, pasid, 0);
    fx_run(&fx);
    return fx.op[0].status;
}

#endif /* PASID_RIG_H */
