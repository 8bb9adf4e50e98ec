/* SPDX-License-Identifier: MIT */
/* IVRS tables, damaged; see the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ivrs_damage.h"

void ivrs_set(uint8_t *b, uint32_t at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        b[at + i] = (uint8_t)(value >> (8 * i));
    }
}

void ivrs_checksum(uint8_t *b, uint32_t len)
{
    uint8_t sum = 0;

    b[9] = 0;
    for (uint32_t i = 0; i < len; i++) {
        sum = (uint8_t)(sum + b[i]);
    }
    b[9] = (uint8_t)(0u - sum);
}

int ivrs_open_exact(struct pvi_ivrs *t, uint8_t **copy, const uint8_t *b, size_t size)
{
    *copy = malloc(size == 0 ? 1 : size);
    assert_non_null(*copy);
    if (size != 0) {
        memcpy(*copy, b, size);
    }
    return pvi_ivrs_open(t, *copy, size);
}

int ivrs_open_bytes(const uint8_t *b, size_t size)
{
    struct pvi_ivrs t;
    uint8_t *copy;
    int rc = ivrs_open_exact(&t, &copy, b, size);

    free(copy);
    return rc;
}

/* Walks whatever the table yields; every byte that the reader hands out is touched. */
static unsigned walk(const struct pvi_ivrs *v)
{
    volatile uint8_t sink = 0;
    struct pvi_ivrs_block b;
    struct pvi_ivrs_dev d;
    uint32_t pos = 0, at;
    unsigned turns = 0;

    while (pvi_ivrs_next(v, &pos, &b) == 1) {
        assert_true(++turns < 100000);
        if (!b.is_ivhd) {
            continue;
        }
        (void)pvi_ivrs_preferred(v, &b.ivhd);
        at = 0;
        while (pvi_ivrs_dev_next(&b.ivhd, &at, &d) == 1) {
            assert_true(++turns < 100000);
            assert_true(d.first <= d.last);
            for (unsigned i = 0; d.kind == PVI_IVRS_DEV_HID && i < 16u; i++) {
                sink = d.hid[i];
            }
            for (unsigned i = 0; d.kind == PVI_IVRS_DEV_HID && i < d.uid_len; i++) {
                sink = d.uid[i];
            }
        }
    }
    (void)sink;
    return turns;
}

void ivrs_truncate(const uint8_t *b, uint32_t len)
{
    uint8_t *cut = malloc(len);
    struct pvi_ivrs v;
    uint8_t *copy;

    assert_non_null(cut);
    for (uint32_t n = 0; n < len; n++) {
        assert_int_equal(ivrs_open_bytes(b, n), -PVI_EFORMAT);
        if (n < 48) {
            continue;
        }
        memcpy(cut, b, len);
        ivrs_set(cut, 4, n, 4);
        ivrs_checksum(cut, n);
        if (ivrs_open_exact(&v, &copy, cut, n) == 0) {
            (void)walk(&v);
        }
        free(copy);
    }
    free(cut);
}

void ivrs_flip(const uint8_t *b, uint32_t len)
{
    uint8_t *bad = malloc(len);
    struct pvi_ivrs v;
    uint8_t *copy;

    assert_non_null(bad);
    for (uint32_t bit = 0; bit < len * 8; bit++) {
        memcpy(bad, b, len);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(ivrs_open_bytes(bad, len), -PVI_EFORMAT);
        ivrs_checksum(bad, len);
        if (ivrs_open_exact(&v, &copy, bad, len) == 0) {
            (void)walk(&v);
        }
        /* The memory changes behind the reader's back: it may say so, it must not run away. */
        memcpy(bad, b, len);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memcpy(copy, b, len);
        assert_int_equal(pvi_ivrs_open(&v, copy, len), 0);
        memcpy(copy, bad, len);
        (void)walk(&v);
        free(copy);
    }
    free(bad);
}
