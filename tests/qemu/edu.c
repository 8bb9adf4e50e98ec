/* SPDX-License-Identifier: MIT */
/* QEMU's edu device: registers, bounce page, DMA checks. */
#include <inttypes.h>
#include <string.h>

#include "edu.h"
#include "qt_internal.h"

#define EDU_ID       0x00
#define EDU_DMA_SRC  0x80
#define EDU_DMA_DST  0x88
#define EDU_DMA_LEN  0x90
#define EDU_DMA_CMD  0x98
#define EDU_ID_VALUE 0x010000EDu
#define EDU_BUFFER   0x40000u
#define CMD_START    1u
#define CMD_TO_RAM   2u

#define POLL_MAX     100000u

const char *qt_verdict_name(enum qt_verdict verdict)
{
    static const char *const names[] = { "landed", "blocked", "corrupt", "no bounce page" };

    return (unsigned int)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "?";
}

void qt_edu_open_at(struct qt *qt, uint16_t bdf, uint64_t bar, struct qt_edu *edu)
{
    memset(edu, 0, sizeof(*edu));
    edu->qt = qt;
    edu->bdf = bdf;
    edu->mmio = qt_pci_enable(qt, bdf, bar);
    if (qt_read32(qt, edu->mmio + EDU_ID) != EDU_ID_VALUE)
        qt_fatal(qt, "no edu device answers at 0x%" PRIx64 " (%04x)", edu->mmio, bdf);
}

bool qt_edu_open(struct qt *qt, unsigned int nth, struct qt_edu *edu)
{
    uint16_t bdf;

    if (!qt_pci_find(qt, 0, QT_PCI_EDU, nth, &bdf))
        return false;
    qt_edu_open_at(qt, bdf, 0, edu);
    return true;
}

void qt_edu_set_bounce(struct qt_edu *edu, uint64_t iova, uint64_t pa)
{
    qt_ptr(edu->qt, pa, QT_EDU_MAX);
    edu->has_bounce = true;
    edu->bounce_iova = iova;
    edu->bounce_pa = pa;
}

void qt_edu_no_bounce(struct qt_edu *edu)
{
    edu->has_bounce = false;
}

static void transfer(struct qt_edu *edu, uint64_t src, uint64_t dst, uint32_t len, uint64_t cmd)
{
    unsigned int polls = 0;

    qt_batch_begin(edu->qt);
    qt_write64(edu->qt, edu->mmio + EDU_DMA_SRC, src);
    qt_write64(edu->qt, edu->mmio + EDU_DMA_DST, dst);
    qt_write64(edu->qt, edu->mmio + EDU_DMA_LEN, len);
    qt_write64(edu->qt, edu->mmio + EDU_DMA_CMD, cmd);
    qt_batch_end(edu->qt);
    while (qt_read64(edu->qt, edu->mmio + EDU_DMA_CMD) & CMD_START) {
        if (++polls == POLL_MAX)
            qt_fatal(edu->qt, "edu %04x did not finish a DMA in %u polls", edu->bdf, POLL_MAX);
    }
}

static void check_extent(struct qt_edu *edu, uint32_t offset, uint32_t len)
{
    if (!len || len > QT_EDU_MAX || offset > QT_EDU_MAX - len)
        qt_fatal(edu->qt,
                 "a DMA of %" PRIu32 " bytes at buffer offset %" PRIu32 " does not fit edu", len,
                 offset);
}

void qt_edu_dma_to_ram(struct qt_edu *edu, uint32_t offset, uint64_t iova, uint32_t len)
{
    check_extent(edu, offset, len);
    transfer(edu, EDU_BUFFER + offset, iova, len, CMD_START | CMD_TO_RAM);
}

void qt_edu_dma_from_ram(struct qt_edu *edu, uint32_t offset, uint64_t iova, uint32_t len)
{
    check_extent(edu, offset, len);
    transfer(edu, iova, EDU_BUFFER + offset, len, CMD_START);
}

static void *bounce(struct qt_edu *edu, uint32_t len)
{
    check_extent(edu, 0, len);
    if (!edu->has_bounce)
        qt_fatal(edu->qt, "edu %04x has no bounce page; call qt_edu_set_bounce()", edu->bdf);
    return qt_ptr(edu->qt, edu->bounce_pa, len);
}

void qt_edu_load(struct qt_edu *edu, const void *buf, uint32_t len)
{
    memcpy(bounce(edu, len), buf, len);
    qt_edu_dma_from_ram(edu, 0, edu->bounce_iova, len);
}

void qt_edu_fetch(struct qt_edu *edu, void *buf, uint32_t len)
{
    void *page = bounce(edu, len);

    memset(page, 0xFF, len);
    qt_edu_dma_to_ram(edu, 0, edu->bounce_iova, len);
    memcpy(buf, page, len);
}

void qt_edu_write(struct qt_edu *edu, uint64_t iova, const void *buf, uint32_t len)
{
    qt_edu_load(edu, buf, len);
    qt_edu_dma_to_ram(edu, 0, iova, len);
}

void qt_edu_read(struct qt_edu *edu, uint64_t iova, void *buf, uint32_t len)
{
    memset(buf, 0, len);
    qt_edu_load(edu, buf, len);
    qt_edu_dma_from_ram(edu, 0, iova, len);
    qt_edu_fetch(edu, buf, len);
}

/* Fresh bytes: a 64-bit counter through a mixing function, so that no word repeats within a run. */
static void fresh_pattern(struct qt *qt, uint8_t *buf, uint32_t len)
{
    uint32_t at;
    uint32_t part;
    uint64_t x;

    for (at = 0; at < len; at += part) {
        x = ++qt->seed * UINT64_C(0x9E3779B97F4A7C15);
        x = (x ^ x >> 32) * UINT64_C(0xD6E8FEB86659FD93);
        x ^= x >> 32;
        part = len - at < sizeof(x) ? len - at : (uint32_t)sizeof(x);
        memcpy(buf + at, &x, part);
    }
}

static bool all_bytes(const uint8_t *buf, uint32_t len, uint8_t value)
{
    uint32_t i;

    for (i = 0; i < len; i++) {
        if (buf[i] != value)
            return false;
    }
    return true;
}

static void check_pattern_len(struct qt_edu *edu, uint32_t len)
{
    /* In less than 8 bytes an old pattern can equal a new one. */
    if (len < 8 || len > QT_EDU_MAX)
        qt_fatal(edu->qt, "a DMA check takes 8 to %u bytes, not %" PRIu32, QT_EDU_MAX, len);
}

enum qt_verdict qt_dma_write_lands(struct qt_edu *edu, uint64_t iova, uint64_t pa, uint32_t len)
{
    uint8_t sent[QT_EDU_MAX];
    uint8_t before[QT_EDU_MAX];
    uint8_t *target;

    check_pattern_len(edu, len);
    target = qt_ptr(edu->qt, pa, len);
    fresh_pattern(edu->qt, sent, len);
    if (edu->has_bounce)
        qt_edu_load(edu, sent, len);
    fresh_pattern(edu->qt, before, len);
    memcpy(target, before, len);
    qt_edu_dma_to_ram(edu, 0, iova, len);
    if (memcmp(target, before, len) == 0)
        return QT_BLOCKED;
    if (edu->has_bounce && memcmp(target, sent, len) == 0)
        return QT_LANDED;
    return QT_CORRUPT;
}

enum qt_verdict qt_dma_read_lands(struct qt_edu *edu, uint64_t iova, uint64_t pa, uint32_t len)
{
    uint8_t expected[QT_EDU_MAX];
    uint8_t got[QT_EDU_MAX];

    check_pattern_len(edu, len);
    fresh_pattern(edu->qt, expected, len);
    memcpy(qt_ptr(edu->qt, pa, len), expected, len);
    qt_edu_read(edu, iova, got, len);
    if (memcmp(got, expected, len) == 0)
        return QT_LANDED;
    if (all_bytes(got, len, 0))
        return QT_BLOCKED;
    return all_bytes(got, len, 0xFF) ? QT_NO_BOUNCE : QT_CORRUPT;
}
