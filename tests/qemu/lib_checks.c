/* SPDX-License-Identifier: MIT */
/* What the checks share, and their lists. */
#include "lib_checks.h"

#include <inttypes.h>

const struct lib_scenario lib_dma_scenarios[] = {
    { "leaves", lib_check_leaves },     { "rights", lib_check_rights },
    { "crossing", lib_check_crossing }, { "same dfn", lib_check_same_dfn },
    { "reattach", lib_check_reattach }, { "free", lib_check_free },
    { "identity", lib_check_identity }, { "refused", lib_check_refused },
    { "at once", lib_check_at_once },   { "split", lib_check_split },
    { "displace", lib_check_displace },
};
const unsigned lib_nr_dma_scenarios = sizeof(lib_dma_scenarios) / sizeof(lib_dma_scenarios[0]);

const struct lib_scenario lib_stale_scenarios[] = {
    { "stale unmap", lib_check_stale_unmap },
    { "stale large", lib_check_stale_large },
    { "stale many", lib_check_stale_many },
    { "stale reattach", lib_check_stale_reattach },
};
const unsigned lib_nr_stale_scenarios =
    sizeof(lib_stale_scenarios) / sizeof(lib_stale_scenarios[0]);

const struct lib_scenario lib_trace_scenarios[] = {
    { "scattered", lib_check_trace_scattered },
    { "ranges", lib_check_trace_ranges },
    { "tables", lib_check_trace_tables },
    { "contexts", lib_check_trace_contexts },
};
const unsigned lib_nr_trace_scenarios =
    sizeof(lib_trace_scenarios) / sizeof(lib_trace_scenarios[0]);

const char *const lib_trace_events[] = { "vtd_inv_desc*", "amdvi_*inval", "amdvi_completion_wait",
                                         NULL };

unsigned lib_iova_bits(const struct lib *l)
{
    unsigned bits = l->cfg.iova_bits ? l->cfg.iova_bits : 48;
    unsigned unit = l->cfg.amd ? 64 : l->cfg.aw_bits ? l->cfg.aw_bits : 48;

    return bits < unit ? bits : unit;
}

uint64_t lib_high(const struct lib *l)
{
    unsigned bits = lib_iova_bits(l);

    /* QEMU's AMD-Vi tags what it caches with devfn << 48 | IOVA: above, devices get mixed up. */
    if (bits > 48)
        bits = 48;
    return (UINT64_C(3) << (bits - 2)) - 16 * LIB_GIB;
}

unsigned lib_context_with(struct lib *l, struct lib_dev *dev)
{
    unsigned ctx = lib_context(l);

    if (ctx)
        lib_must_reattach(l, ctx, dev);
    return ctx;
}

void lib_must_map(struct lib *l, unsigned ctx, uint64_t iova, uint64_t gfn, uint64_t nr,
                  unsigned prot)
{
    lib_check_status(l, lib_map(l, ctx, iova, gfn, nr, prot), 0, "map");
}

void lib_must_unmap(struct lib *l, unsigned ctx, uint64_t iova, uint64_t nr)
{
    lib_check_status(l, lib_unmap(l, ctx, iova, nr), 0, "unmap");
}

void lib_must_reattach(struct lib *l, unsigned ctx, struct lib_dev *dev)
{
    lib_check_status(l, lib_reattach(l, ctx, dev), 0, "reattach");
}

void lib_clear(struct lib *l)
{
    struct pvi_op op;
    unsigned i;
    int rc;

    for (i = 0; i < l->nr_devs; i++) {
        if (l->dev[i].ctx != 0)
            lib_must_reattach(l, 0, &l->dev[i]);
    }
    for (i = 1; i <= LIB_CONTEXTS; i++) {
        rc = lib_free(l, i, 0);
        if (rc != -PVI_ENOCTX)
            lib_check_status(l, rc, 0, "free");
    }
    op = lib_op(PVI_OP_QUERY_CAPS, 0, 0);
    lib_submit(l, &op, 1);
    lib_check(l, op.status == 0 && op.u.caps.free_pages == LIB_PAGES,
              "%" PRIu32 " of %u pages are free again", op.u.caps.free_pages, LIB_PAGES);
    lib_check(l, pvi_posix_hdom_balanced(l->guest) || l->cfg.default_identity,
              "references on guest frames are left over");
    lib_drop_faults(l);
}
