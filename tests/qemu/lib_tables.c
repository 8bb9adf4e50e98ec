/* SPDX-License-Identifier: MIT */
/*
 * Root, context and device tables read from RAM (hwspec 2.1, 2.2, 6.7), found by what the unit's
 * own registers say; page tables walked by the hardware model.
 */
#include <inttypes.h>

#include "lib_dma.h"

#define VTD_RTADDR 0x20u /* hwspec 1.5 */
#define AMD_DEVTAB 0x00u /* hwspec 6.2 */
#define TABLE_MASK UINT64_C(0x000FFFFFFFFFF000)

static uint64_t ram_read64(void *opaque, uint64_t pa)
{
    struct lib *l = opaque;

    return __atomic_load_n((uint64_t *)qt_ptr(l->qt, pa, 8), __ATOMIC_ACQUIRE);
}

static uint32_t ram_read32(void *opaque, uint64_t pa)
{
    struct lib *l = opaque;

    return __atomic_load_n((uint32_t *)qt_ptr(l->qt, pa, 4), __ATOMIC_ACQUIRE);
}

static bool ram_valid(void *opaque, uint64_t pa, uint64_t len)
{
    struct lib *l = opaque;

    return qt_is_ram(l->qt, pa, len);
}

void lib_walker(struct lib *l, struct hwm_mem *mem, struct hwm_fmt *fmt)
{
    const struct hwm_mem ram = {
        .opaque = l,
        .read64 = ram_read64,
        .read32 = ram_read32,
        .valid = ram_valid,
    };

    *mem = ram;
    hwm_fmt_default(fmt, l->cfg.amd ? HWM_FMT_AMDV1 : HWM_FMT_VTDSS);
    fmt->pa_bits = l->cfg.amd ? 40 : l->cfg.aw_bits ? l->cfg.aw_bits : 48;
    if (l->cfg.pa_bits)
        fmt->pa_bits = l->cfg.pa_bits;
    fmt->snp = false; /* ECAP.SC is 0 */
    fmt->no_512g = true;
}

uint64_t lib_entry_pa(struct lib *l, uint16_t rid)
{
    uint64_t base, root;

    if (l->cfg.amd) {
        base = qt_read64(l->qt, QT_AMD_BASE + AMD_DEVTAB) & TABLE_MASK;
        return base ? base + (uint64_t)rid * 32 : 0;
    }
    base = qt_read64(l->qt, QT_VTD_BASE + VTD_RTADDR) & TABLE_MASK;
    root = base ? ram_read64(l, base + (uint64_t)(rid >> 8) * 16) : 0;
    return root & 1 ? (root & TABLE_MASK) + (uint64_t)(rid & 0xFF) * 16 : 0;
}

void lib_read_entry(struct lib *l, uint16_t rid, struct lib_entry *out)
{
    uint64_t pa = lib_entry_pa(l, rid), lo, hi;

    out->translate = false;
    out->blocks = true;
    out->root = 0;
    out->levels = 0;
    out->did = 0;
    if (!pa)
        return;
    lo = ram_read64(l, pa);
    hi = ram_read64(l, pa + 8);
    out->root = lo & TABLE_MASK;
    if (l->cfg.amd) {
        out->levels = (unsigned)(lo >> 9) & 7;
        out->blocks = (lo & 3) == 3 && !(lo >> 61 & 3);
        out->translate = (lo & 3) == 3 && out->levels != 0;
        out->did = (unsigned)hi & 0xFFFF;
    } else {
        out->blocks = !(lo & 1);
        out->translate = (lo & 0xF) == 1;
        out->levels = (unsigned)(hi & 7) + 2;
        out->did = (unsigned)(hi >> 8) & 0xFFFF;
    }
}

bool lib_walk(struct lib *l, const struct lib_dev *dev, uint64_t iova, struct hwm_leaf *leaf)
{
    struct lib_entry entry;
    struct hwm_mem mem;
    struct hwm_fmt fmt;

    lib_walker(l, &mem, &fmt);
    lib_read_entry(l, dev->rid, &entry);
    if (!entry.translate)
        return false;
    if (l->bracket_walk)
        l->bracket(l, true);
    hwm_walk_table(&mem, &fmt, entry.root, entry.levels, iova, leaf);
    if (l->bracket_walk)
        l->bracket(l, false);
    lib_check(l, !leaf->bad, "table entry 0x%" PRIx64 " at 0x%" PRIx64 ": %s", leaf->entry,
              leaf->entry_pa, leaf->why ? leaf->why : "");
    return leaf->present;
}

bool lib_leaf_is(struct lib *l, const struct lib_dev *dev, uint64_t iova, uint64_t pa, unsigned lg2,
                 unsigned prot)
{
    struct hwm_leaf leaf;

    if (!lib_check(l, lib_walk(l, dev, iova, &leaf), "no leaf for 0x%" PRIx64, iova))
        return false;
    return lib_check(l,
                     leaf.pa == pa && leaf.lg2 == lg2 && leaf.r == ((prot & PVI_READ) != 0) &&
                         leaf.w == ((prot & PVI_WRITE) != 0),
                     "leaf of 0x%" PRIx64 ": 2^%u bytes, 0x%" PRIx64
                     " %d%d, expected: 2^%u, 0x%" PRIx64 ", rights %u",
                     iova, leaf.lg2, leaf.pa, leaf.r, leaf.w, lg2, pa, prot);
}
