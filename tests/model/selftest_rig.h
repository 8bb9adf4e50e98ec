/* SPDX-License-Identifier: MIT */
/*
 * What the model's own tests share: sparse memory, and structures written as raw words (hwspec 2,
 * 3, 6), never by a helper of the library.
 */
#ifndef SELFTEST_RIG_H
#define SELFTEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flat.h"
#include "hwm.h"

#define RIG_SLOTS 8192u

struct rig {
    struct {
        uint64_t pa;
        uint64_t *words;
    } page[RIG_SLOTS];
    struct hwm_mem mem;
    struct hwm *h;
    uint64_t next_page; /* where rig_alloc() goes on */
    uint64_t queue, queue_tail, queue_bytes;
    unsigned flushes, msis;
    uint32_t wait_seq;
};

static inline uint64_t *rig_find(struct rig *r, uint64_t pa, bool make)
{
    uint64_t base = pa & ~UINT64_C(0xfff);
    size_t i = (size_t)((base >> 12) * UINT64_C(0x9e3779b97f4a7c15) >> 51);

    while (r->page[i].words && r->page[i].pa != base) {
        i = (i + 1) % RIG_SLOTS;
    }
    if (!r->page[i].words && make) {
        r->page[i].pa = base;
        r->page[i].words = calloc(512, 8);
    }
    return r->page[i].words;
}

static inline uint64_t rig_get(struct rig *r, uint64_t pa)
{
    uint64_t *words = rig_find(r, pa, false);

    return words ? words[(pa & 0xfff) / 8] : 0;
}

static inline void rig_put(struct rig *r, uint64_t pa, uint64_t val)
{
    rig_find(r, pa, true)[(pa & 0xfff) / 8] = val;
}

static inline bool rig_valid(void *o, uint64_t pa, uint64_t len)
{
    return rig_find(o, pa, false) && rig_find(o, pa + len - 1, false);
}

static inline uint64_t rig_read64(void *o, uint64_t pa)
{
    return rig_get(o, pa);
}

static inline uint32_t rig_read32(void *o, uint64_t pa)
{
    return (uint32_t)(rig_get(o, pa & ~UINT64_C(7)) >> (pa & 4 ? 32 : 0));
}

static inline void rig_write64(void *o, uint64_t pa, uint64_t val)
{
    rig_put(o, pa, val);
}

static inline void rig_write32(void *o, uint64_t pa, uint32_t val)
{
    uint64_t old = rig_get(o, pa & ~UINT64_C(7));
    unsigned shift = pa & 4 ? 32 : 0;

    rig_put(o, pa & ~UINT64_C(7),
            (old & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)val << shift);
}

static inline void rig_flush(void *o)
{
    ((struct rig *)o)->flushes++;
}

static inline void rig_msi(void *o, uint64_t addr, uint32_t data)
{
    (void)addr;
    (void)data;
    ((struct rig *)o)->msis++;
}

static inline struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof(*r));

    r->mem.opaque = r;
    r->mem.read64 = rig_read64;
    r->mem.read32 = rig_read32;
    r->mem.write64 = rig_write64;
    r->mem.write32 = rig_write32;
    r->mem.valid = rig_valid;
    r->mem.write_buffer_flush = rig_flush;
    r->mem.msi = rig_msi;
    r->next_page = 0x10000000;
    return r;
}

static inline void rig_free(struct rig *r)
{
    size_t i;

    hwm_free(r->h);
    for (i = 0; i < RIG_SLOTS; i++) {
        free(r->page[i].words);
    }
    free(r);
}

static inline uint64_t rig_alloc(struct rig *r, unsigned pages)
{
    uint64_t pa = r->next_page;
    unsigned i;

    for (i = 0; i < pages; i++) {
        rig_find(r, pa + i * 4096u, true);
    }
    r->next_page += pages * 4096u;
    return pa;
}

/* Slot of iova in the table, at a level where 1 is the last. */
static inline uint64_t rig_slot(uint64_t table, unsigned level, uint64_t iova)
{
    return table + (iova >> (12 + 9 * (level - 1)) & 0x1ff) * 8;
}

static inline void assert_clean(struct hwm *h)
{
    if (hwm_violation(h)) {
        fail_msg("violation: %s", hwm_violation(h));
    }
}

static inline void assert_violated(struct hwm *h, const char *part)
{
    size_t i;

    for (i = 0; i < hwm_violations(h); i++) {
        if (strstr(hwm_violation_at(h, i), part)) {
            hwm_violation_clear(h);
            return;
        }
    }
    fail_msg("no violation that says \"%s\" (first: %s)", part,
             hwm_violation(h) ? hwm_violation(h) : "none");
}

#endif
