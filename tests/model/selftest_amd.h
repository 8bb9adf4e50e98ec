/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi unit of the model's own tests: bring-up by raw registers (hwspec 6.6), raw tables, raw
 * commands.
 */
#ifndef SELFTEST_AMD_H
#define SELFTEST_AMD_H

#include "selftest_rig.h"

#define RID                0x0310u
#define DOM                0x42u
#define IO_FAULT           2u
#define V1_TABLE(pa, next) (UINT64_C(0x6000000000000001) | (pa) | (uint64_t)(next) << 9)
#define V1_LEAF(pa)        (UINT64_C(0x7000000000000001) | (pa))
#define ALL_ADDR           UINT64_C(0x7FFFFFFFFFFFF000)

static struct rig *r;
static struct hwm *h;
static uint64_t devtab, root, ring, evlog, sem, serial;
static unsigned tail;

static inline uint32_t rd(unsigned off)
{
    return (uint32_t)hwm_mmio_read(h, off, 4);
}

static inline void wr64(unsigned off, uint64_t val)
{
    hwm_mmio_write(h, off, 8, val);
}

static inline void dte(unsigned rid, uint64_t w0, uint64_t w1)
{
    rig_put(r, devtab + rid * 32 + 8, w1);
    rig_put(r, devtab + rid * 32, w0);
}

static inline void cmd(uint64_t w0, uint64_t w1)
{
    rig_put(r, ring + tail, w0);
    rig_put(r, ring + tail + 8, w1);
    tail = (tail + 16) & 0xfff;
}

static inline void submit(void)
{
    cmd(UINT64_C(0x1000000000000001) | sem, ++serial);
    hwm_mmio_write(h, 0x2008, 4, tail);
}

static inline bool waited(void)
{
    return rig_get(r, sem) == serial;
}

static inline void inv(uint64_t w0, uint64_t w1)
{
    cmd(w0, w1);
    submit();
}

static inline void inv_pages(unsigned dom, uint64_t w1)
{
    inv(UINT64_C(0x3000000000000000) | (uint64_t)dom << 32, w1);
}

static inline void inv_dte(unsigned rid)
{
    inv(UINT64_C(0x2000000000000000) | rid, 0);
}

static inline uint64_t table(unsigned mode, unsigned level, uint64_t iova)
{
    uint64_t t = root, slot;

    for (; mode > level; mode--) {
        slot = rig_slot(t, mode, iova);
        if (!(rig_get(r, slot) & 1)) {
            rig_put(r, slot, V1_TABLE(rig_alloc(r, 1), mode - 1));
        }
        t = rig_get(r, slot) & UINT64_C(0x000ffffffffff000);
    }
    return t;
}

static inline void leaf(unsigned level, uint64_t iova, uint64_t entry)
{
    rig_put(r, rig_slot(table(4, level, iova), level, iova), entry);
}

static inline void start(const struct hwm_amd_cfg *cfg)
{
    r = rig_new();
    h = r->h = hwm_amd_new(cfg, &r->mem);
    devtab = rig_alloc(r, 512);
    root = rig_alloc(r, 1);
    ring = rig_alloc(r, 1);
    evlog = rig_alloc(r, 1);
    sem = rig_alloc(r, 1);
    serial = 0;
    tail = 0;
    wr64(0x0000, devtab | 0x1ff);
    wr64(0x0008, ring | UINT64_C(8) << 56);
    wr64(0x0010, evlog | UINT64_C(8) << 56);
}

static inline void enable(void)
{
    wr64(0x18, 0x400 | 0x1000 | 0x4);
    wr64(0x18, 0x400 | 0x1000 | 0x4 | 0x1);
    dte(RID, root | 0x803 | UINT64_C(0x6000000000000000), DOM);
    inv(UINT64_C(0x8000000000000000), 0);
    hwm_log_reset(h);
}

static inline int setup(void **state)
{
    struct hwm_amd_cfg cfg;

    (void)state;
    hwm_amd_cfg_default(&cfg);
    start(&cfg);
    enable();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    rig_free(r);
    return 0;
}

static inline void to(uint64_t iova, uint64_t want)
{
    uint64_t pa = 0;

    assert_int_equal(hwm_dma(h, RID, iova, true, &pa, NULL), HWM_OK);
    assert_int_equal(pa, want);
}

static inline void blocked(unsigned rid, uint64_t iova, bool write, unsigned event, unsigned flags)
{
    struct hwm_fault f;

    assert_int_equal(hwm_dma(h, (uint16_t)rid, iova, write, NULL, &f), HWM_FAULT);
    assert_int_equal(f.reason, event);
    assert_int_equal(f.flags, flags | (write ? 0x20 : 0));
}

#endif
