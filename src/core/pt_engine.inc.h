/* SPDX-License-Identifier: MIT */
/*
 * The page-table engine. This header is meant to be included once by each format's .c file, after the format
 * has defined the functions of pt_contract.h and the names PT_NAME, PT_OPS, PT_PAGE_SIZES, PT_LEVELS, PT_RIGHTS and
 * PT_REPEATS. It is read in this order:
 *
 *   pt_walk.inc.h     levels, sizes, the way down, what a leaf is stored with
 *   pt_cut.inc.h      cutting leaves
 *   pt_sweep.inc.h    unmap the way it mostly goes
 *   pt_unmap.inc.h    unmap, and what may be in the way
 *   pt_way.inc.h      empty tables where a large leaf is to go
 *   pt_map.inc.h      map, and what may be in the way
 *   pt_change.inc.h   rights, split, collapse, dirty tracking
 *   pt_read.inc.h     lookup, scan, what an unlinked table owes
 *
 * Rules that every function here keeps (docs/design.md names the tests):
 *   - A live entry changes by exactly one 64-bit store (R3).
 *   - A table is filled, and written back on units that do not snoop, before its parent links it (R1, R2).
 *   - All pages that a piece needs (what goes into one table) are taken before its first store (R12).
 *   - What was removed goes to the gather with the range of the OLD entry; nothing is given back here (R4-R6).
 *   - A slice visits at most PT_BUDGET entries (R14); only cutting a leaf whose entries cannot be leaves by themselves (1 TiB
 *     and more on AMD-Vi, or where the host leaves out the size of one) fills a table for each of its entries at once.
 *   - Counts and entries of tables that span more than a gigabyte are changed so that calls in different gigabytes can
 *     run at the same time: links by compare-and-swap, counts by atomic additions, leaves only by a call that is alone.
 */
#include "pt_contract.h"
#include <pviommu/gather.h>

#include "pt_walk.inc.h"
#include "pt_cut.inc.h"
#include "pt_sweep.inc.h"
#include "pt_unmap.inc.h"
#include "pt_way.inc.h"
#include "pt_map.inc.h"
#include "pt_change.inc.h"
#include "pt_read.inc.h"

static uint8_t PVI_CALLBACK pt_iova_bits(unsigned levels)
{
    return (uint8_t)pt_reach(levels);
}

/* See pvi_pt_page_sizes(). */
static uint64_t PVI_CALLBACK pt_usable(const struct pvi_pt_cfg *cfg)
{
    uint64_t wanted = cfg->page_sizes & PT_PAGE_SIZES, sizes = 0;
    unsigned level;

    for (level = 0; level < cfg->levels; level++) {
        uint64_t here = wanted & pt_level_sizes(level);

        if (sizes == 0 && (here & pt_span(level)) == 0) {
            continue; /* the smallest page is what a single entry maps */
        }
        sizes |= here;
        if ((here & (pt_span(level) | (pt_span(level) << (pt_bits(level) - 1u)))) == 0) {
            break; /* nothing larger could be cut into this */
        }
    }
    return sizes;
}

/*
 * A cut goes level by level. Where single entries can be leaves, the one that holds the edge must be able to stand alone, or the edge
 * lies between leaves of the lowest level; where they cannot, all entries become tables.
 */
static bool PVI_CALLBACK pt_closed(const struct pvi_pt_cfg *cfg, uint64_t sizes)
{
    uint64_t all = cfg->page_sizes;
    unsigned low, level;

    if (sizes == 0 || (sizes & ~all) != 0) {
        return false;
    }
    if (sizes == all || (sizes & (sizes - 1)) == 0) {
        return true;
    }
    low = pt_level(pt_largest(sizes & (0 - sizes)));
    if ((all & pt_span(low)) == 0) {
        return false;
    }
    for (level = low + 1; level <= pt_level(pt_largest(sizes)); level++) {
        if ((level - 1 != low && (sizes & pt_span(level - 1)) == 0) ||
            ((sizes & pt_span(level)) == 0 && (all & pt_span(level)) != 0)) {
            return false;
        }
    }
    return true;
}

const struct pvi_pt_ops PT_OPS = {
    PT_NAME, PT_PAGE_SIZES, PT_LEVELS, PT_RIGHTS, pt_iova_bits, pt_usable, pt_closed, pt_map, pt_unmap,
    pt_rights, pt_split, pt_collapse, pt_dirty_pages, pt_scan, pt_lookup, pt_owed,
};
