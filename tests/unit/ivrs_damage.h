/* SPDX-License-Identifier: MIT */
/*
 * IVRS tables, damaged in every place. Tables are read from buffers of their exact size, so that a
 * sanitizer sees a read beyond the end.
 */
#ifndef IVRS_DAMAGE_H
#define IVRS_DAMAGE_H

#include <pviommu/amdvi.h>

/* Stores a little-endian number. */
void ivrs_set(uint8_t *b, uint32_t at, uint64_t value, unsigned bytes);
/* Makes the sum of all bytes zero. */
void ivrs_checksum(uint8_t *b, uint32_t len);
/* pvi_ivrs_open() on a copy of exactly `size` bytes, which the caller frees. */
int ivrs_open_exact(struct pvi_ivrs *t, uint8_t **copy, const uint8_t *b, size_t size);
/* The same, only for what it returns. */
int ivrs_open_bytes(const uint8_t *b, size_t size);
/* Cuts a good table off at each byte, as it is and with length and checksum repaired. */
void ivrs_truncate(const uint8_t *b, uint32_t len);
/*
 * Flips each single bit of a good table: the checksum tells. With the checksum repaired, or with
 * the bit flipped after the table was opened, the reader stays inside.
 */
void ivrs_flip(const uint8_t *b, uint32_t len);

#endif
