/* SPDX-License-Identifier: MIT */
/*
 * The checks of the library on QEMU's units. Each starts from a domain with no contexts and all
 * devices in context 0, and leaves it so. The tests run them and want no failure; the mutants run
 * them against something broken and want one.
 */
#ifndef QEMU_LIB_CHECKS_H
#define QEMU_LIB_CHECKS_H

#include "lib_dma.h"

struct lib_scenario {
    const char *name;
    void (*run)(struct lib *l);
};

/* DMA that lands or does not (lib_checks_dma.c, lib_checks_life.c, lib_checks_change.c). */
void lib_check_leaves(struct lib *l);
void lib_check_rights(struct lib *l);
void lib_check_crossing(struct lib *l);
void lib_check_same_dfn(struct lib *l);
void lib_check_reattach(struct lib *l);
void lib_check_free(struct lib *l);
void lib_check_identity(struct lib *l);
void lib_check_refused(struct lib *l);
void lib_check_default_identity(struct lib *l); /* with lib_config.default_identity */
void lib_check_at_once(struct lib *l);
void lib_check_split(struct lib *l);
void lib_check_displace(struct lib *l);
/*
 * From before the unit is up until after it is down, on a machine of its own. arm, or NULL, is
 * called once the machine is there.
 */
void lib_check_life(const struct lib_config *cfg, void (*arm)(struct lib *l), unsigned *failures);

/* Translations that stay until the flush and not longer (lib_checks_stale.c). */
void lib_check_stale_unmap(struct lib *l);
void lib_check_stale_large(struct lib *l);
void lib_check_stale_many(struct lib *l);
void lib_check_stale_reattach(struct lib *l);

/* What each batch costs in invalidations; with trace events (lib_checks_trace.c). */
void lib_check_trace_scattered(struct lib *l);
void lib_check_trace_ranges(struct lib *l);
void lib_check_trace_tables(struct lib *l);
void lib_check_trace_contexts(struct lib *l);

extern const struct lib_scenario lib_dma_scenarios[];
extern const struct lib_scenario lib_stale_scenarios[];
extern const struct lib_scenario lib_trace_scenarios[];
extern const unsigned lib_nr_dma_scenarios, lib_nr_stale_scenarios, lib_nr_trace_scenarios;
extern const char *const lib_trace_events[]; /* for lib_config.trace */

/* What the checks share. */
#define LIB_E0 (&l->dev[LIB_EDU0])
#define LIB_E1 (&l->dev[LIB_EDU1])

/* Guest frames by their place in their group, and where they lie. */
#define SMALL(n)  (LIB_GFN_SMALL + (n))
#define MEDIUM(n) (LIB_GFN_MEDIUM + 512 * (uint64_t)(n))

static inline uint64_t pa_of(const struct lib *l, uint64_t gfn)
{
    return lib_gfn_pa(l, gfn);
}

/* Width of the IOVAs that a context reaches. */
unsigned lib_iova_bits(const struct lib *l);
/* A gigabyte-aligned address in the upper half of what a context reaches. */
uint64_t lib_high(const struct lib *l);
/* A context with the device in it; 0 when that failed. */
unsigned lib_context_with(struct lib *l, struct lib_dev *dev);
/* Map and unmap that have to succeed. */
void lib_must_map(struct lib *l, unsigned ctx, uint64_t iova, uint64_t gfn, uint64_t nr,
                  unsigned prot);
void lib_must_unmap(struct lib *l, unsigned ctx, uint64_t iova, uint64_t nr);
void lib_must_reattach(struct lib *l, unsigned ctx, struct lib_dev *dev);
/* All devices to context 0, all contexts freed, every page of the pool free again. */
void lib_clear(struct lib *l);

#endif
