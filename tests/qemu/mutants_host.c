/* SPDX-License-Identifier: MIT */
/*
 * Calls of the host changed before the host, and its recorder, see them: the linker sends the
 * library's calls here (--wrap). Most of these are what QEMU cannot see: it drops a whole domain on
 * AMD-Vi whatever a page command names, keeps no device table entry, no table link and no absence,
 * and executes VT-d's queue before the register write returns (R1, R4, R5, R8, R9, R20).
 */
#include <string.h>

#include "mutants.h"

#define CHUNK 64u

int __real_pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                               unsigned nr);
int __wrap_pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                               unsigned nr);
int __real_pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u);
int __wrap_pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u);
void __real_pvi_env_writeback(struct pvi_host *h, const void *p, size_t size);
void __wrap_pvi_env_writeback(struct pvi_host *h, const void *p, size_t size);

static bool (*change)(struct pvi_inv *inv); /* false: the invalidation is not sent at all */
static bool no_wait, no_writeback;

int __wrap_pvi_host_inv_submit(struct pvi_host *h, struct pvi_unit *u, const struct pvi_inv *inv,
                               unsigned nr)
{
    struct pvi_inv changed[CHUNK];
    unsigned i, kept = 0;

    if (!change || nr > CHUNK)
        return __real_pvi_host_inv_submit(h, u, inv, nr);
    for (i = 0; i < nr; i++) {
        changed[kept] = inv[i];
        kept += change(&changed[kept]);
    }
    return kept ? __real_pvi_host_inv_submit(h, u, changed, kept) : 0;
}

int __wrap_pvi_host_inv_wait(struct pvi_host *h, struct pvi_unit *u)
{
    return no_wait ? 0 : __real_pvi_host_inv_wait(h, u);
}

void __wrap_pvi_env_writeback(struct pvi_host *h, const void *p, size_t size)
{
    if (!no_writeback)
        __real_pvi_env_writeback(h, p, size);
}

static bool leaf_only(struct pvi_inv *inv)
{
    inv->leaf_only |= inv->kind == PVI_INV_PAGES;
    return true;
}

static bool other_pages(struct pvi_inv *inv)
{
    if (inv->kind == PVI_INV_PAGES)
        inv->iova ^= (uint64_t)1 << inv->lg2;
    return true;
}

static bool fewer_pages(struct pvi_inv *inv)
{
    if (inv->kind == PVI_INV_PAGES && inv->lg2 > PVI_PAGE_LG2)
        inv->lg2--;
    return true;
}

static bool no_entry(struct pvi_inv *inv)
{
    return inv->kind != PVI_INV_DEVICE;
}

static bool entry_of_nobody(struct pvi_inv *inv)
{
    if (inv->kind == PVI_INV_DEVICE)
        inv->did++;
    return true;
}

static bool entry_of_another(struct pvi_inv *inv)
{
    if (inv->kind == PVI_INV_DEVICE)
        inv->rid ^= 1;
    return true;
}

/* Additions are what caching mode alone makes the library tell: page by page, tables included. */
static bool no_additions(struct pvi_inv *inv)
{
    return inv->kind != PVI_INV_PAGES || inv->leaf_only || inv->lg2 != PVI_PAGE_LG2;
}

#define CHANGE(name)                                                                               \
    static void arm_##name(struct lib *l)                                                          \
    {                                                                                              \
        (void)l;                                                                                   \
        change = name;                                                                             \
    }

CHANGE(leaf_only)
CHANGE(other_pages)
CHANGE(fewer_pages)
CHANGE(no_entry)
CHANGE(entry_of_nobody)
CHANGE(entry_of_another)
CHANGE(no_additions)

static void arm_no_wait(struct lib *l)
{
    (void)l;
    no_wait = true;
}

static void arm_no_writeback(struct lib *l)
{
    (void)l;
    no_writeback = true;
}

const struct mutant host_mutants[] = {
    { "nobody waits", ON_AMDVI, JUDGE_DMA, arm_no_wait, lib_check_stale_unmap, 0 },
    { "nobody waits", ON_BOTH, JUDGE_RECORDER, arm_no_wait, lib_check_at_once, 0 },
    { "page invalidations spare the tables, split", ON_BOTH, JUDGE_RECORDER, arm_leaf_only,
      lib_check_split, 0 },
    { "page invalidations spare the tables, displace", ON_BOTH, JUDGE_RECORDER, arm_leaf_only,
      lib_check_displace, 0 },
    { "page invalidations spare the tables", ON_BOTH, JUDGE_TRACE, arm_leaf_only,
      lib_check_trace_tables, 0 },
    { "page invalidations name other pages", ON_BOTH, JUDGE_RECORDER, arm_other_pages,
      lib_check_at_once, 0 },
    { "page invalidations name other pages", ON_BOTH, JUDGE_TRACE, arm_other_pages,
      lib_check_trace_ranges, 0 },
    { "page invalidations name half as many", ON_BOTH, JUDGE_RECORDER, arm_fewer_pages,
      lib_check_at_once, 0 },
    { "page invalidations name half as many", ON_BOTH, JUDGE_TRACE, arm_fewer_pages,
      lib_check_trace_ranges, 0 },
    { "device entry invalidations are not sent", ON_BOTH, JUDGE_RECORDER, arm_no_entry,
      lib_check_reattach, 0 },
    { "device entry invalidations are not sent", ON_BOTH, JUDGE_TRACE, arm_no_entry,
      lib_check_trace_contexts, 0 },
    { "device entry invalidations name another id", ON_VTD, JUDGE_RECORDER, arm_entry_of_nobody,
      lib_check_reattach, 0 },
    { "device entry invalidations name another device", ON_BOTH, JUDGE_RECORDER,
      arm_entry_of_another, lib_check_reattach, 0 },
    { "additions are not told in caching mode", ON_BOTH, JUDGE_RECORDER, arm_no_additions,
      lib_check_at_once, NEED_CACHING_MODE },
    { "additions are not told in caching mode", ON_BOTH, JUDGE_TRACE, arm_no_additions,
      lib_check_trace_scattered, NEED_CACHING_MODE },
    { "nothing is written back", ON_VTD, JUDGE_RECORDER, arm_no_writeback, lib_check_leaves, 0 },
};
const unsigned nr_host_mutants = sizeof(host_mutants) / sizeof(host_mutants[0]);
