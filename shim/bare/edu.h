/* SPDX-License-Identifier: MIT */
/*
 * QEMU's edu device as a source of DMA that can be judged. Its buffer holds words that nothing else
 * writes (edu_open() loads them while DMA is still untranslated), so each write shows whose it was
 * and where it went.
 */
#ifndef BARE_EDU_H
#define BARE_EDU_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of one transfer. */
#define EDU_BYTES 512u

struct edu {
    uint16_t rid;
    uint64_t mmio;
    uint64_t words; /* base of the words in its buffer */
};

enum edu_verdict {
    EDU_LANDED,
    EDU_BLOCKED, /* nothing moved */
    EDU_CORRUPT  /* part of it moved, or something else */
};

/* Transfers of all devices so far; each ends with an interrupt. */
extern uint32_t edu_transfers;

/*
 * The nth edu, its interrupt on; scratch is EDU_BYTES of RAM, and DMA is not translated yet. False:
 * there is none.
 */
bool edu_open(struct edu *e, unsigned nth, uint64_t scratch);

/*
 * The device writes EDU_BYTES at iova; the first half is expected at physical address pa, the
 * second at pa2. What was there is overwritten.
 */
enum edu_verdict edu_write_halves(const struct edu *e, uint64_t iova, uint64_t pa, uint64_t pa2);
enum edu_verdict edu_write(const struct edu *e, uint64_t iova, uint64_t pa);

/*
 * The device reads EDU_BYTES at iova, expected to be at pa, and hands them over through a page that
 * it may write: bounce is its IOVA, bounce_pa where that is.
 */
enum edu_verdict edu_read(const struct edu *e, uint64_t iova, uint64_t pa, uint64_t bounce,
                          uint64_t bounce_pa);

#endif
