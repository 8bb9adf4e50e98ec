/* SPDX-License-Identifier: MIT */
/* Register and table values of the two units, as few as one domain takes (hwspec 1, 2, 3, 6, 7). */
#include <string.h>

#include "raw_unit.h"

/* VT-d registers (hwspec 1.1) */
#define VTD_GCMD     0x18
#define VTD_GSTS     0x1C
#define VTD_RTADDR   0x20
#define VTD_FSTS     0x34
#define VTD_IQT      0x88
#define VTD_IQA      0x90
#define VTD_FRCD_LO  0x220
#define VTD_FRCD_HI  0x228
/* AMD-Vi registers (hwspec 6.2) */
#define AMD_DEVTAB   0x00
#define AMD_CMDBUF   0x08
#define AMD_EVTLOG   0x10
#define AMD_CONTROL  0x18
#define AMD_CMD_HEAD 0x2000
#define AMD_CMD_TAIL 0x2008
#define AMD_EVT_HEAD 0x2010
#define AMD_EVT_TAIL 0x2018

void raw_store64(struct raw_unit *m, uint64_t pa, uint64_t value)
{
    volatile uint64_t *word = qt_ptr(m->qt, pa, sizeof(*word));

    *word = value;
}

static uint64_t load64(struct raw_unit *m, uint64_t pa)
{
    volatile uint64_t *word = qt_ptr(m->qt, pa, sizeof(*word));

    return *word;
}

/*
 * VT-d 3.1: R, W, page size; AMD-Vi 6.9: PR, next level, IR, IW. A table entry permits everything.
 */
uint64_t raw_entry(struct raw_unit *m, uint64_t pa, unsigned int level, bool leaf,
                   unsigned int rights)
{
    if (!m->amd)
        return pa | rights | (leaf && level ? UINT64_C(0x80) : 0);
    return pa | 1u | (leaf ? 0 : (uint64_t)level << 9) |
           (rights & RAW_READ ? UINT64_C(1) << 61 : 0) |
           (rights & RAW_WRITE ? UINT64_C(1) << 62 : 0);
}

void raw_map_at(struct raw_unit *m, uint64_t root, uint64_t iova, uint64_t pa, unsigned int rights,
                unsigned int leaf_level)
{
    uint64_t table = root;
    unsigned int level = RAW_LEVELS - 1;
    uint64_t slot;
    uint64_t next;

    for (;; level--) {
        slot = table + (iova >> (12 + 9 * level) & 511) * 8;
        if (level == leaf_level)
            break;
        next = load64(m, slot) & UINT64_C(0x000FFFFFFFFFF000);
        if (!next) {
            next = qt_alloc_page(m->qt);
            raw_store64(m, slot, raw_entry(m, next, level, false, RAW_READ | RAW_WRITE));
        }
        table = next;
    }
    raw_store64(m, slot, rights ? raw_entry(m, pa, level, true, rights) : 0);
}

void raw_map(struct raw_unit *m, uint64_t root, uint64_t iova, uint64_t pa, unsigned int rights)
{
    raw_map_at(m, root, iova, pa, rights, 0);
}

/*
 * One command into the ring, then one that makes the unit store a number when everything before it
 * is done.
 */
static bool command(struct raw_unit *m, uint64_t w0, uint64_t w1)
{
    uint64_t wait0 =
        m->amd ? UINT64_C(1) << 60 | m->status | 1 : UINT64_C(0x25) | (uint64_t)(m->seq + 1) << 32;
    uint64_t wait1 = m->amd ? m->seq + 1 : m->status;

    m->seq++;
    raw_store64(m, m->ring + m->tail, w0);
    raw_store64(m, m->ring + m->tail + 8, w1);
    m->tail = (m->tail + 16) & 0xFFF;
    raw_store64(m, m->ring + m->tail, wait0);
    raw_store64(m, m->ring + m->tail + 8, wait1);
    m->tail = (m->tail + 16) & 0xFFF;
    if (m->amd)
        qt_write64(m->qt, QT_AMD_BASE + AMD_CMD_TAIL, m->tail);
    else
        qt_write64(m->qt, QT_VTD_BASE + VTD_IQT, m->tail);
    return (uint32_t)load64(m, m->status) == m->seq;
}

bool raw_invalidate_all(struct raw_unit *m)
{
    if (m->amd)
        return command(m, UINT64_C(8) << 60, 0);
    return command(m, 0x11, 0) && command(m, 0x12, 0);
}

bool raw_invalidate_page(struct raw_unit *m, uint16_t domain, uint64_t iova)
{
    if (m->amd)
        return command(m, UINT64_C(3) << 60 | (uint64_t)domain << 32, iova | 2);
    return command(m, 0x32 | (uint64_t)domain << 16, iova);
}

static bool vtd_up(struct raw_unit *m, const char **step)
{
    uint64_t root = qt_alloc_page(m->qt);
    uint64_t base = QT_VTD_BASE;

    m->devices = qt_alloc_page(m->qt);
    raw_store64(m, root, m->devices | 1);
    *step = "set root table";
    qt_write64(m->qt, base + VTD_RTADDR, root);
    qt_write32(m->qt, base + VTD_GCMD, 1u << 30);
    if (!(qt_read32(m->qt, base + VTD_GSTS) >> 30 & 1))
        return false;
    *step = "enable invalidation queue";
    qt_write64(m->qt, base + VTD_IQT, 0);
    qt_write64(m->qt, base + VTD_IQA, m->ring);
    qt_write32(m->qt, base + VTD_GCMD, 1u << 26);
    if (!(qt_read32(m->qt, base + VTD_GSTS) >> 26 & 1))
        return false;
    *step = "global invalidation";
    if (!raw_invalidate_all(m))
        return false;
    *step = "enable translation";
    qt_write32(m->qt, base + VTD_GCMD, 1u << 31 | 1u << 26);
    return qt_read32(m->qt, base + VTD_GSTS) >> 31 & 1;
}

static bool amd_up(struct raw_unit *m, const char **step)
{
    uint64_t base = QT_AMD_BASE;

    *step = "INVALIDATE_IOMMU_ALL";
    m->devices = qt_alloc(m->qt, UINT64_C(2) << 20, 4096);
    qt_write64(m->qt, base + AMD_DEVTAB, m->devices | 0x1FF);
    qt_write64(m->qt, base + AMD_CMDBUF, m->ring | UINT64_C(8) << 56);
    qt_write64(m->qt, base + AMD_EVTLOG, qt_alloc_page(m->qt) | UINT64_C(8) << 56);
    qt_write64(m->qt, base + AMD_CMD_HEAD, 0);
    qt_write64(m->qt, base + AMD_CMD_TAIL, 0);
    qt_write64(m->qt, base + AMD_EVT_HEAD, 0);
    qt_write64(m->qt, base + AMD_EVT_TAIL, 0);
    qt_write64(m->qt, base + AMD_CONTROL, 1 | 1u << 2 | 1u << 12);
    return raw_invalidate_all(m);
}

bool raw_up(struct raw_unit *m, struct qt *qt, bool amd, const char **step)
{
    memset(m, 0, sizeof(*m));
    m->qt = qt;
    m->amd = amd;
    m->ring = qt_alloc_page(qt);
    m->status = qt_alloc_page(qt);
    return amd ? amd_up(m, step) : vtd_up(m, step);
}

void raw_attach(struct raw_unit *m, uint16_t bdf, uint64_t root, uint16_t domain)
{
    uint64_t entry;

    if (m->amd) {
        entry = m->devices + (uint64_t)bdf * 32;
        raw_store64(m, entry + 8, domain);
        raw_store64(m, entry + 16, 0);
        raw_store64(m, entry + 24, 0);
        raw_store64(m, entry, root | RAW_LEVELS << 9 | UINT64_C(3) << 61 | 3);
    } else {
        entry = m->devices + (uint64_t)(bdf & 0xFF) * 16;
        raw_store64(m, entry + 8, (RAW_LEVELS - 2) | (uint64_t)domain << 8);
        raw_store64(m, entry, root | 1);
    }
}

bool raw_vtd_fault_is(struct raw_unit *m, unsigned int reason, uint16_t bdf, uint64_t iova)
{
    uint64_t hi = qt_read64(m->qt, QT_VTD_BASE + VTD_FRCD_HI);
    uint64_t lo = qt_read64(m->qt, QT_VTD_BASE + VTD_FRCD_LO);

    qt_write64(m->qt, QT_VTD_BASE + VTD_FRCD_HI, UINT64_C(1) << 63);
    qt_write32(m->qt, QT_VTD_BASE + VTD_FSTS, 0x11);
    return hi >> 63 && (hi >> 32 & 0xFF) == reason && (hi & 0xFFFF) == bdf && lo == iova;
}
