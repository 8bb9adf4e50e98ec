/* SPDX-License-Identifier: MIT */
/* The rig of the VT-d unit tests; see vtd_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "vtd_rig.h"

#define ARENA_PA    0x100000ull
#define ARENA_SIZE  0x400000ull
#define PAGES_FIRST 0x200000ull
#define FRAMES_PA   0x40000000ull

/* Bits of FSTS (hwspec 1.8). */
#define FSTS_PPF 0x2u
#define FSTS_FRI 0xff00u

/* What units may do that the model does not. */
static uint64_t twist(struct vtd_rig *rig, unsigned off, uint64_t v)
{
    if (off == RIG_FSTS && rig->sticky_fri) {
        rig->fri = !(v & FSTS_PPF) ? 0 : rig->fri ? rig->fri : (uint32_t)v & (FSTS_FRI | FSTS_PPF);
        return (v & ~(uint64_t)FSTS_FRI) | rig->fri;
    }
    if (off == RIG_IQT && rig->gate && hwm_mmio_read(rig->hw, RIG_GSTS, 4) & RIG_QIE) {
        return rig->tail;
    }
    if (off == RIG_FSTS && rig->ghost) {
        return v | FSTS_PPF;
    }
    return off == RIG_PMEN && rig->sticky_prs ? v | 1 : v;
}

uint64_t rig_read(struct vtd_rig *rig, unsigned off, unsigned size)
{
    uint64_t v = UINT64_MAX;

    if (!rig->gone) {
        pthread_mutex_lock(&rig->lock);
        v = twist(rig, off, hwm_mmio_read(rig->hw, off, size));
        pthread_mutex_unlock(&rig->lock);
    }
    return v;
}

void rig_write(struct vtd_rig *rig, unsigned off, unsigned size, uint64_t value)
{
    rig->writes++;
    if (off == RIG_PECTL) {
        rig->pectl = (uint32_t)value;
        return;
    }
    pthread_mutex_lock(&rig->lock);
    if (off == RIG_RTADDR) {
        rig->gsts_at_root = (uint32_t)hwm_mmio_read(rig->hw, RIG_GSTS, 4);
    }
    if (rig->gate && off == RIG_IQT && hwm_mmio_read(rig->hw, RIG_GSTS, 4) & RIG_QIE) {
        rig->tail = value;
        pthread_mutex_unlock(&rig->lock);
        return;
    }
    hwm_mmio_write(rig->hw, off, size, value);
    pthread_mutex_unlock(&rig->lock);
}

static uint32_t mmio_read32(void *opaque, uint64_t pa)
{
    return (uint32_t)rig_read(opaque, (unsigned)(pa - RIG_REGS), 4);
}

static uint64_t mmio_read64(void *opaque, uint64_t pa)
{
    return rig_read(opaque, (unsigned)(pa - RIG_REGS), 8);
}

static void mmio_write32(void *opaque, uint64_t pa, uint32_t value)
{
    rig_write(opaque, (unsigned)(pa - RIG_REGS), 4, value);
}

static void mmio_write64(void *opaque, uint64_t pa, uint64_t value)
{
    rig_write(opaque, (unsigned)(pa - RIG_REGS), 8, value);
}

void rig_gate(struct vtd_rig *rig, unsigned polls)
{
    rig->tail = hwm_mmio_read(rig->hw, RIG_IQT, 8);
    rig->gate = polls;
}

static void gate_step(struct vtd_rig *rig)
{
    uint64_t tail = hwm_mmio_read(rig->hw, RIG_IQT, 8);

    if (tail != rig->tail && hwm_mmio_read(rig->hw, RIG_GSTS, 4) & RIG_QIE) {
        hwm_mmio_write(rig->hw, RIG_IQT, 8, (tail + 16) & 0xfff);
    }
}

static void poll_turn(void *opaque)
{
    struct vtd_rig *rig = opaque;

    pthread_mutex_lock(&rig->lock);
    rig->polls++;
    if (rig->gate && rig->polls % rig->gate == 0) {
        gate_step(rig);
    }
    hwm_poll(rig->hw);
    pthread_mutex_unlock(&rig->lock);
    if (rig->on_poll) {
        rig->depth++;
        rig->on_poll(rig);
        rig->depth--;
    }
}

int rig_init(struct vtd_rig *rig, unsigned haw_bits, uint64_t reg_size)
{
    struct pvi_vtd_cfg cfg = {
        .reg_pa = RIG_REGS, .reg_size = reg_size, .haw_bits = (uint8_t)haw_bits};

    cfg.scalable = rig->cfg.smts;
    cfg.pasid_bits = 20; /* more than there can be */
    memset(&rig->unit, 0xff, sizeof(rig->unit));
    return pvi_vtd_unit_init(&rig->unit, rig->host, &cfg);
}

/* Pages come to the library with anything in them, for the CPU and in memory alike. */
static void spoil_pages(struct vtd_rig *rig)
{
    uint64_t pa;

    for (pa = ARENA_PA + PAGES_FIRST; pa < ARENA_PA + PAGES_FIRST + 0xc000; pa += 8) {
        pvi_posix_hw_write64(&rig->view, pa, 0x5a5a5a5a5a5a5a5b);
    }
}

struct vtd_rig *rig_new(const struct hwm_vtd_cfg *cfg)
{
    struct pvi_posix_cfg host = {.pa = ARENA_PA, .size = ARENA_SIZE, .pages_first = PAGES_FIRST};
    struct vtd_rig *rig = calloc(1, sizeof(*rig));
    struct hwm_mem mem = {.read64 = pvi_posix_hw_read64,
                          .read32 = pvi_posix_hw_read32,
                          .write64 = pvi_posix_hw_write64,
                          .write32 = pvi_posix_hw_write32,
                          .valid = pvi_posix_hw_valid,
                          .cmpxchg64 = pvi_posix_hw_cmpxchg64,
                          .write_buffer_flush = pvi_posix_hw_flush};
    struct pvi_posix_mmio mmio = {mmio_read32, mmio_read64, mmio_write32, mmio_write64, rig};

    assert_non_null(rig);
    pthread_mutex_init(&rig->lock, NULL);
    if (cfg) {
        rig->cfg = *cfg;
    } else {
        hwm_vtd_cfg_default(&rig->cfg);
    }
    rig->host = pvi_posix_new(&host);
    assert_non_null(rig->host);
    rig->view.host = rig->host;
    rig->view.coherent = rig->cfg.coherent;
    rig->view.write_buffer = rig->cfg.rwbf;
    spoil_pages(rig);
    mem.opaque = &rig->view;
    rig->hw = hwm_vtd_new(&rig->cfg, &mem);
    assert_non_null(rig->hw);
    rig->next_page = ARENA_PA;
    rig->next_frame = FRAMES_PA;
    assert_int_equal(pvi_posix_mmio(rig->host, RIG_REGS, RIG_REGS + RIG_REGS_SIZE - 1, &mmio), 0);
    pvi_posix_poll(rig->host, 4096, poll_turn, rig);
    assert_int_equal(rig_init(rig, rig->cfg.haw, RIG_REGS_SIZE), 0);
    assert_int_equal(rig->writes, 0);
    return rig;
}

struct vtd_rig *rig_new_enabled(const struct hwm_vtd_cfg *cfg)
{
    struct vtd_rig *rig = rig_new(cfg);

    assert_int_equal(pvi_vtd_unit_enable(&rig->unit), 0);
    assert_null(hwm_violation(rig->hw));
    hwm_log_reset(rig->hw);
    rig->polls = 0;
    return rig;
}

void rig_free(struct vtd_rig *rig)
{
    assert_false(rig->unit.enabled);
    assert_int_equal(pvi_posix_pages_used(rig->host), rig->lost);
    assert_int_equal(pvi_posix_mem_used(rig->host), 0);
    if (hwm_violation(rig->hw)) {
        fail_msg("%s", hwm_violation(rig->hw));
    }
    hwm_free(rig->hw);
    pvi_posix_free(rig->host);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
}

uint64_t rig_page(struct vtd_rig *rig)
{
    uint64_t pa = rig->next_page;

    assert_true(pa < ARENA_PA + PAGES_FIRST);
    rig->next_page += 0x1000;
    memset(rig_words(rig, pa), 0, 0x1000);
    return pa;
}

uint64_t *rig_words(struct vtd_rig *rig, uint64_t page)
{
    return pvi_posix_ptr(rig->host, page, 0x1000);
}

uint64_t rig_frame(struct vtd_rig *rig)
{
    rig->next_frame += 0x1000;
    return rig->next_frame;
}

/* Second-stage entries by number: bits 1:0 read and write, 51:12 address (hwspec 3.1). */
uint64_t rig_table(struct vtd_rig *rig, unsigned levels, uint64_t iova, uint64_t pa)
{
    uint64_t root = rig_page(rig), table = root, next;
    unsigned level;

    for (level = levels; level > 1; level--) {
        next = rig_page(rig);
        rig_words(rig, table)[iova >> (12 + 9 * (level - 1)) & 0x1ff] = next | 3;
        table = next;
    }
    rig_words(rig, table)[iova >> 12 & 0x1ff] = pa | 3;
    return root;
}

uint64_t rig_dma(struct vtd_rig *rig, uint16_t rid, uint64_t iova, bool write)
{
    struct hwm_fault f;
    uint64_t pa = 0;
    enum hwm_result r;

    pthread_mutex_lock(&rig->lock);
    r = hwm_dma(rig->hw, rid, iova, write, &pa, &f);
    pthread_mutex_unlock(&rig->lock);
    assert_true(r == HWM_OK || r == HWM_FAULT || r == HWM_PASS);
    return r == HWM_FAULT ? RIG_BLOCKED : pa;
}

uint64_t rig_walk(struct vtd_rig *rig, uint16_t rid, uint64_t iova)
{
    struct hwm_fault f;
    uint64_t pa = 0;
    enum hwm_result r;

    pthread_mutex_lock(&rig->lock);
    r = hwm_walk(rig->hw, rid, iova, false, &pa, &f);
    pthread_mutex_unlock(&rig->lock);
    return r == HWM_OK ? pa : RIG_BLOCKED;
}

unsigned rig_reason(struct vtd_rig *rig, uint16_t rid, uint64_t iova)
{
    struct hwm_fault f = {0};
    uint64_t pa;
    enum hwm_result r;

    pthread_mutex_lock(&rig->lock);
    r = hwm_walk(rig->hw, rid, iova, false, &pa, &f);
    pthread_mutex_unlock(&rig->lock);
    return r == HWM_FAULT ? f.reason : 0;
}

int rig_switch(struct vtd_rig *rig, uint16_t rid, unsigned levels, uint16_t did, uint64_t root,
               bool *was_absent)
{
    struct pvi_dev_entry to = {
        .translate = levels != 0, .levels = (uint8_t)levels, .did = did, .root = {root}};

    return pvi_vtd_unit_switch(&rig->unit, rid, &to, was_absent);
}

int rig_submit(struct vtd_rig *rig, struct pvi_inv inv)
{
    return pvi_vtd_unit_submit(&rig->unit, &inv, 1);
}

int rig_forget(struct vtd_rig *rig, uint16_t rid, uint16_t old_did, bool was_absent)
{
    struct pvi_inv inv[2] = {
        {.kind = PVI_INV_DEVICE, .rid = rid, .did = old_did, .was_absent = was_absent},
        {.kind = PVI_INV_DOMAIN, .did = old_did}};
    int rc = pvi_vtd_unit_submit(&rig->unit, inv, 2);

    return rc ? rc : pvi_vtd_unit_wait(&rig->unit);
}

struct pvi_inv rig_pages(unsigned did, uint64_t iova, unsigned lg2)
{
    struct pvi_inv inv = {
        .kind = PVI_INV_PAGES, .did = (uint16_t)did, .iova = iova, .lg2 = (uint8_t)lg2};

    return inv;
}

void rig_down(struct vtd_rig *rig)
{
    assert_int_equal(pvi_vtd_unit_disable(&rig->unit), 0);
    rig_free(rig);
}

unsigned rig_events(struct vtd_rig *rig, enum pvi_event what, uint64_t *b)
{
    struct pvi_posix_event event[PVI_POSIX_EVENTS];
    uint64_t nr = pvi_posix_events(rig->host, event), i;
    unsigned found = 0;

    for (i = 0; i < nr && i < PVI_POSIX_EVENTS; i++) {
        if (event[i].what == (uint32_t)what) {
            found++;
            if (b) {
                *b = event[i].b;
            }
        }
    }
    return found;
}

static const char rig_letters[HWM_KINDS] = {
    [HWM_CTX_GLOBAL] = 'C', [HWM_CTX_DOMAIN] = 'c', [HWM_CTX_DEVICE] = 'd',
    [HWM_PASID_GLOBAL] = 'P', [HWM_PASID_ONE] = 'e',   [HWM_PTLB_PASID] = 'g', [HWM_PTLB_PAGE] = 'q',
    [HWM_TLB_GLOBAL] = 'T', [HWM_TLB_DOMAIN] = 't', [HWM_TLB_PAGE] = 'p',
    [HWM_WAIT] = 'w',       [HWM_WBF] = 'b',        [HWM_SET_ROOT] = 'R',
};

const char *rig_told(struct vtd_rig *rig, char *buf, size_t size)
{
    const struct hwm_told *told;
    size_t nr, i;

    told = hwm_log(rig->hw, &nr);
    assert_true(nr < size);
    for (i = 0; i < nr; i++) {
        buf[i] = rig_letters[told[i].kind] ? rig_letters[told[i].kind] : '?';
    }
    buf[nr] = '\0';
    return buf;
}
