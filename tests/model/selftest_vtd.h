/* SPDX-License-Identifier: MIT */
/*
 * VT-d unit of the model's own tests: bring-up by raw registers (hwspec 1.11), raw tables, raw
 * descriptors.
 */
#ifndef SELFTEST_VTD_H
#define SELFTEST_VTD_H

#include "selftest_rig.h"

#define RID 0x0310u
#define DID 0x42u

/* page-selective IOTLB descriptor; leaf-only hint of its second word */
#define PAGE(did) ((uint64_t)(did) << 16 | 0xf2)
#define IH        0x40u

struct vtd {
    struct rig *r;
    struct hwm *h;
    struct hwm_vtd_cfg cfg;
    uint64_t root, context, ss; /* root table, context table of bus 3, second-stage root */
    uint64_t queue, wait;
    uint32_t seq;
    unsigned tail;
};

static inline uint32_t vtd_rd(struct vtd *v, unsigned off)
{
    return (uint32_t)hwm_mmio_read(v->h, off, 4);
}

static inline void vtd_wr(struct vtd *v, unsigned off, uint32_t val)
{
    hwm_mmio_write(v->h, off, 4, val);
}

static inline void vtd_wr64(struct vtd *v, unsigned off, uint64_t val)
{
    hwm_mmio_write(v->h, off, 8, val);
}

/* One change of GCMD, as hwspec 1.4 wants it. */
static inline void vtd_gcmd(struct vtd *v, uint32_t set, uint32_t clear)
{
    vtd_wr(v, 0x18, ((vtd_rd(v, 0x1c) & 0x96ffffff) | set) & ~clear);
}

static inline void vtd_desc(struct vtd *v, uint64_t w0, uint64_t w1)
{
    rig_put(v->r, v->queue + v->tail, w0);
    rig_put(v->r, v->queue + v->tail + 8, w1);
    v->tail = (v->tail + 16) & 0xfff;
}

static inline void vtd_ring(struct vtd *v)
{
    vtd_wr(v, 0x88, v->tail);
}

static inline bool vtd_waited(struct vtd *v)
{
    return rig_read32(v->r, v->wait) == v->seq;
}

static inline void vtd_wait(struct vtd *v)
{
    vtd_desc(v, 0x25 | (uint64_t)++v->seq << 32, v->wait);
    vtd_ring(v);
}

/* One descriptor and its wait; complete on return if the unit is eager. */
static inline void vtd_inv(struct vtd *v, uint64_t w0, uint64_t w1)
{
    vtd_desc(v, w0, w1);
    vtd_wait(v);
}

static inline void vtd_set_context(struct vtd *v, unsigned rid, uint64_t lo, uint64_t hi)
{
    uint64_t pa = v->context + (rid & 0xff) * 16;

    rig_put(v->r, pa + 8, hi);
    rig_put(v->r, pa, lo);
}

/* Table at `level` on the way to the address, made when missing. */
static inline uint64_t vtd_table(struct vtd *v, unsigned levels, unsigned level, uint64_t iova)
{
    uint64_t table = v->ss, slot;

    for (; levels > level; levels--) {
        slot = rig_slot(table, levels, iova);
        if (!(rig_get(v->r, slot) & 3)) {
            rig_put(v->r, slot, rig_alloc(v->r, 1) | 3);
        }
        table = rig_get(v->r, slot) & UINT64_C(0x000ffffffffff000);
    }
    return table;
}

static inline void vtd_leaf(struct vtd *v, unsigned level, uint64_t iova, uint64_t entry)
{
    rig_put(v->r, rig_slot(vtd_table(v, 4, level, iova), level, iova), entry);
}

static inline void vtd_queue(struct vtd *v)
{
    vtd_wr64(v, 0x90, v->queue);
    vtd_gcmd(v, 1u << 26, 0);
}

static inline struct vtd *vtd_raw(const struct hwm_vtd_cfg *cfg)
{
    struct vtd *v = calloc(1, sizeof(*v));

    v->cfg = *cfg;
    v->r = rig_new();
    v->h = v->r->h = hwm_vtd_new(cfg, &v->r->mem);
    v->root = rig_alloc(v->r, 1);
    v->context = rig_alloc(v->r, 1);
    v->ss = rig_alloc(v->r, 1);
    v->queue = rig_alloc(v->r, 1);
    v->wait = rig_alloc(v->r, 1);
    rig_put(v->r, v->root + 3 * 16, v->context | 1);
    vtd_set_context(v, RID, v->ss | 1, DID << 8 | 2);
    return v;
}

/* Queue on, root set, all caches invalidated, translation on. */
static inline void vtd_enable(struct vtd *v)
{
    vtd_queue(v);
    vtd_wr64(v, 0x20, v->root);
    vtd_gcmd(v, 1u << 30, 0);
    vtd_inv(v, 0x11, 0);
    vtd_inv(v, v->cfg.drain ? 0xd2 : 0x12, 0);
    vtd_gcmd(v, 1u << 31, 0);
    hwm_log_reset(v->h);
}

static inline struct vtd *vtd_on(const struct hwm_vtd_cfg *cfg)
{
    struct vtd *v = vtd_raw(cfg);

    vtd_enable(v);
    return v;
}

static inline void vtd_off(struct vtd *v)
{
    rig_free(v->r);
    free(v);
}

static inline enum hwm_result vtd_dma(struct vtd *v, uint64_t iova, bool write, uint64_t *pa)
{
    return hwm_dma(v->h, RID, iova, write, pa, NULL);
}

static inline void assert_to(struct vtd *v, uint64_t iova, uint64_t want)
{
    uint64_t pa = 0;

    assert_int_equal(vtd_dma(v, iova, true, &pa), HWM_OK);
    assert_int_equal(pa, want);
}

static inline void assert_blocked(struct vtd *v, uint16_t rid, uint64_t iova, bool write,
                                  unsigned reason)
{
    struct hwm_fault f;

    assert_int_equal(hwm_dma(v->h, rid, iova, write, NULL, &f), HWM_FAULT);
    assert_int_equal(f.reason, reason);
}

/* 16 pages from 0 to 0x80000000 */
static inline void map16(struct vtd *v)
{
    uint64_t i;

    for (i = 0; i < 16; i++) {
        vtd_leaf(v, 1, i << 12, 0x80000803 + (i << 12));
    }
}

static inline void remap16(struct vtd *v)
{
    uint64_t i;

    for (i = 0; i < 16; i++) {
        vtd_leaf(v, 1, i << 12, 0x90000803 + (i << 12));
    }
}

/* Which of the 16 pages are answered from memory as it is now: bit n = page n. */
static inline unsigned fresh16(struct vtd *v)
{
    unsigned i, mask = 0;
    uint64_t pa;

    for (i = 0; i < 16; i++) {
        assert_int_equal(vtd_dma(v, (uint64_t)i << 12, false, &pa), HWM_OK);
        mask |= pa >= 0x90000000 ? 1u << i : 0;
    }
    return mask;
}

#endif
