/* SPDX-License-Identifier: MIT */
/* One AMD-Vi unit of the hardware model behind the library's driver; see the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_bench.h"

static void look_at_table(struct bench *b, uint64_t base)
{
    for (uint64_t at = 0; at < 0x200000; at += 32) {
        uint64_t pa = (base & ~0xFFFull) + at;

        if (pvi_posix_hw_read64(&b->view, pa) != 0x3 ||
            pvi_posix_hw_read64(&b->view, pa + 8) != 0 ||
            pvi_posix_hw_read64(&b->view, pa + 16) != 0 ||
            pvi_posix_hw_read64(&b->view, pa + 24) != 0) {
            b->unfilled = true;
        }
    }
}

static uint64_t read64(void *opaque, uint64_t pa)
{
    struct bench *b = opaque;
    unsigned off = (unsigned)(pa - BENCH_REGS);
    uint64_t v;

    pthread_mutex_lock(&b->lock);
    v = hwm_mmio_read(b->hw, off, 8);
    if (off == R_CMDHEAD && b->stale_heads != 0) {
        b->stale_heads--;
        v = b->stale_head;
    }
    v |= b->or_mask[off / 8];
    v &= ~b->and_not[off / 8];
    pthread_mutex_unlock(&b->lock);
    return v;
}

static void write64(void *opaque, uint64_t pa, uint64_t value)
{
    struct bench *b = opaque;
    unsigned off = (unsigned)(pa - BENCH_REGS);

    pthread_mutex_lock(&b->lock);
    if (b->writes < sizeof(b->trace_off) / sizeof(b->trace_off[0])) {
        b->trace_off[b->writes] = off;
        b->trace_val[b->writes] = value;
    }
    b->writes++;
    if (off == R_DEVTAB && value != 0) {
        look_at_table(b, value);
    }
    if (off == R_CONTROL) {
        value |= hwm_mmio_read(b->hw, R_CONTROL, 8) & b->control_keeps;
    }
    hwm_mmio_write(b->hw, off, 8, value);
    pthread_mutex_unlock(&b->lock);
}

static void poll_model(void *opaque)
{
    struct bench *b = opaque;

    pthread_mutex_lock(&b->lock);
    hwm_poll(b->hw);
    pthread_mutex_unlock(&b->lock);
}

void bench_open(struct bench *b, const struct hwm_amd_cfg *hw)
{
    const struct pvi_posix_cfg cfg = {
        .pa = BENCH_PA, .size = BENCH_SIZE, .pages_first = BENCH_PAGES};
    struct pvi_posix_mmio mmio = {.read64 = read64, .write64 = write64, .opaque = b};
    uint32_t cap;

    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    b->h = pvi_posix_new(&cfg);
    assert_non_null(b->h);
    /* The host's pages may hold anything. */
    memset(bench_ptr(b, BENCH_PA + BENCH_PAGES), 0xA5, BENCH_SIZE - BENCH_PAGES);
    b->view.host = b->h;
    b->view.coherent = true;
    b->mem.opaque = &b->view;
    b->mem.read64 = pvi_posix_hw_read64;
    b->mem.read32 = pvi_posix_hw_read32;
    b->mem.write64 = pvi_posix_hw_write64;
    b->mem.write32 = pvi_posix_hw_write32;
    b->mem.valid = pvi_posix_hw_valid;
    b->mem.cmpxchg64 = pvi_posix_hw_cmpxchg64;
    b->hw = hwm_amd_new(hw, &b->mem);
    assert_non_null(b->hw);
    assert_int_equal(pvi_posix_mmio(b->h, BENCH_REGS, BENCH_REGS + 0x3FFF, &mmio), 0);
    pvi_posix_poll(b->h, 10000, poll_model, b);
    b->next_page = BENCH_PA;
    cap = hwm_amd_pci_cap(b->hw, 0);
    b->cfg.reg_pa = BENCH_REGS;
    b->cfg.efr_sup = (cap >> 27 & 1) != 0;
    b->cfg.np_cache = (cap >> 26 & 1) != 0;
}

void bench_up(struct bench *b, const struct hwm_amd_cfg *hw)
{
    bench_open(b, hw);
    assert_int_equal(pvi_amdvi_unit_init(&b->u, b->h, &b->cfg), 0);
    assert_int_equal(pvi_amdvi_unit_enable(&b->u), 0);
    hwm_log_reset(b->hw);
}

void bench_close(struct bench *b)
{
    const char *why = NULL;

    if (!b->violations_expected && hwm_violation(b->hw) != NULL) {
        fail_msg("the model objects: %s", hwm_violation(b->hw));
    }
    assert_int_equal(pvi_amdvi_unit_disable(&b->u), b->pages_lost ? -PVI_EHW : 0);
    if (!b->pages_lost && !pvi_posix_balanced(b->h, &why)) {
        fail_msg("not given back: %s", why);
    }
    hwm_free(b->hw);
    pvi_posix_free(b->h);
    pthread_mutex_destroy(&b->lock);
}

uint64_t bench_reg(struct bench *b, unsigned off)
{
    return hwm_mmio_read(b->hw, off, 8);
}

uint64_t *bench_ptr(struct bench *b, uint64_t pa)
{
    uint64_t *p = pvi_posix_ptr(b->h, pa, 8);

    assert_non_null(p);
    return p;
}

uint64_t bench_page(struct bench *b)
{
    uint64_t pa = b->next_page;

    b->next_page += 0x1000;
    assert_true(b->next_page <= BENCH_DATA);
    memset(bench_ptr(b, pa), 0, 0x1000);
    return pa;
}

void bench_map(struct bench *b, uint64_t root, unsigned levels, uint64_t iova, uint64_t pa, bool r,
               bool w)
{
    uint64_t *entry;

    for (unsigned level = levels; level > 1; level--) {
        entry = bench_ptr(b, root) + (iova >> (12 + 9 * (level - 1)) & 511);
        if (*entry == 0) {
            *entry = bench_page(b) | 3ull << 61 | (uint64_t)(level - 1) << 9 | 1;
        }
        root = *entry & 0xFFFFFFFFFF000ull;
    }
    entry = bench_ptr(b, root) + (iova >> 12 & 511);
    *entry = pa | (uint64_t)w << 62 | (uint64_t)r << 61 | 1ull << 60 | 1;
}

uint64_t *bench_dte(struct bench *b, uint16_t rid)
{
    return bench_ptr(b, (bench_reg(b, R_DEVTAB) & ~0xFFFull) + rid * 32ull);
}

bool bench_blocked(struct bench *b, uint16_t rid, uint64_t iova, uint64_t *pa)
{
    uint64_t where = 0;
    enum hwm_result read = hwm_dma(b->hw, rid, iova, false, &where, NULL);
    enum hwm_result write = hwm_dma(b->hw, rid, iova, true, NULL, NULL);

    if (pa != NULL) {
        *pa = where;
    }
    assert_int_equal(read, write);
    return read == HWM_FAULT;
}

unsigned bench_events(struct bench *b, enum pvi_event what, uint64_t *a, uint64_t *v)
{
    struct pvi_posix_event out[PVI_POSIX_EVENTS];
    uint64_t nr = pvi_posix_events(b->h, out);
    unsigned count = 0;

    for (uint64_t i = 0; i < nr && i < PVI_POSIX_EVENTS; i++) {
        if (out[i].what == (uint32_t)what) {
            count++;
            if (a != NULL) {
                *a = out[i].a;
            }
            if (v != NULL) {
                *v = out[i].b;
            }
        }
    }
    return count;
}

int bench_inv(struct bench *b, struct pvi_inv inv)
{
    return pvi_amdvi_unit_submit(&b->u, &inv, 1);
}

int bench_switch(struct bench *b, uint16_t rid, uint64_t root, unsigned levels, uint16_t did)
{
    struct pvi_dev_entry to = {
        .translate = true, .levels = (uint8_t)levels, .did = did, .root = {root}};
    bool was_absent = true;
    int rc = pvi_amdvi_unit_switch(&b->u, rid, &to, &was_absent);

    assert_false(was_absent); /* no entry of an AMD unit is ever absent */
    return rc;
}

int bench_block(struct bench *b, uint16_t rid)
{
    struct pvi_dev_entry to = {.translate = false};
    bool was_absent = true;
    int rc = pvi_amdvi_unit_switch(&b->u, rid, &to, &was_absent);

    assert_false(was_absent);
    return rc;
}
