/* SPDX-License-Identifier: MIT */
/*
 * QEMU's edu device as the source of single DMAs, and the checks built on it.
 *
 * The content of the device's buffer can only come from and go to memory by DMA. The caller
 * therefore names for each device a bounce page: an IOVA that is known to translate, readable and
 * writable, to a page of RAM.
 */
#ifndef QEMU_EDU_H
#define QEMU_EDU_H

#include "pci.h"

/* Bytes in one transfer: a full buffer of 4096 trips a bound of the model. */
#define QT_EDU_MAX 4088u

struct qt_edu {
    struct qt *qt;
    uint16_t bdf; /* the requester id */
    uint64_t mmio;
    bool has_bounce;
    uint64_t bounce_iova;
    uint64_t bounce_pa;
};

enum qt_verdict {
    QT_LANDED,    /* every byte arrived where it was expected */
    QT_BLOCKED,   /* nothing moved */
    QT_CORRUPT,   /* part of it arrived, or something else */
    QT_NO_BOUNCE, /* a read cannot be judged: the bounce page did not take the data (not mapped?) */
};

const char *qt_verdict_name(enum qt_verdict verdict);

/*
 * The nth edu on bus 0, its BAR assigned, bus mastering on; false when there are not so many. No
 * bounce page yet.
 */
bool qt_edu_open(struct qt *qt, unsigned int nth, struct qt_edu *edu);

/* The same for a device at a known place, behind a bridge with its BAR in the bridge's window. */
void qt_edu_open_at(struct qt *qt, uint16_t bdf, uint64_t bar, struct qt_edu *edu);

/*
 * The mapping must hold whenever a call below needs it. Without the IOMMU in the way iova equals
 * pa.
 */
void qt_edu_set_bounce(struct qt_edu *edu, uint64_t iova, uint64_t pa);

/* For a device that is attached nowhere: see qt_dma_write_lands(). */
void qt_edu_no_bounce(struct qt_edu *edu);

/*
 * One bare DMA between the device's buffer, at an offset, and memory. offset + len is at most
 * QT_EDU_MAX.
 */
void qt_edu_dma_to_ram(struct qt_edu *edu, uint32_t offset, uint64_t iova, uint32_t len);
void qt_edu_dma_from_ram(struct qt_edu *edu, uint32_t offset, uint64_t iova, uint32_t len);

/* The buffer's content, from its start, through the bounce page. */
void qt_edu_load(struct qt_edu *edu, const void *buf, uint32_t len);
void qt_edu_fetch(struct qt_edu *edu, void *buf, uint32_t len);

/*
 * The device writes buf to memory; the device reads memory into buf (zeroes where the read was
 * blocked).
 */
void qt_edu_write(struct qt_edu *edu, uint64_t iova, const void *buf, uint32_t len);
void qt_edu_read(struct qt_edu *edu, uint64_t iova, void *buf, uint32_t len);

/*
 * One device write (read) at iova, judged by the RAM at pa, where it lands if iova translates to
 * pa. Every call uses a data pattern never used before, and overwrites the RAM at pa. len is 8 to
 * QT_EDU_MAX, pa contiguous.
 *
 * A write is blocked when the RAM at pa did not change: that holds with any content of the device's
 * buffer, so with no bounce page too, where everything else is QT_CORRUPT. With a bounce page that
 * does not translate, the unit records a fault for it first. A read needs the bounce page.
 */
enum qt_verdict qt_dma_write_lands(struct qt_edu *edu, uint64_t iova, uint64_t pa, uint32_t len);
enum qt_verdict qt_dma_read_lands(struct qt_edu *edu, uint64_t iova, uint64_t pa, uint32_t len);

#endif
