/* SPDX-License-Identifier: MIT */
/* The IVRS reader on arbitrary bytes: it stops, stays inside, and yields only what lies in the table. */
#include "input.h"
#include <pviommu/amdvi.h>
#include <stdlib.h>
#include <string.h>

static void need(int condition)
{
    if (!condition) {
        abort();
    }
}

static void devices(const struct pvi_ivrs_ivhd *ivhd)
{
    const uint8_t *end = ivhd->entries + ivhd->entries_len;
    struct pvi_ivrs_dev dev;
    uint32_t pos = 0, before = 0;

    while (pvi_ivrs_dev_next(ivhd, &pos, &dev) == 1) {
        need(pos > before && pos <= ivhd->entries_len);
        need(dev.kind != PVI_IVRS_DEV_RANGE || dev.first <= dev.last);
        need(dev.kind != PVI_IVRS_DEV_HID || (dev.hid >= ivhd->entries && dev.hid + 16 <= end &&
                                              (dev.uid_len == 0 || dev.uid + dev.uid_len <= end)));
        before = pos;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1), sum = 0;
    struct pvi_ivrs_block block;
    struct pvi_ivrs t;
    uint32_t pos = 0, before = 0;
    size_t i;

    need(copy != NULL);
    memcpy(copy, data, size);
    if (size >= 48 && data[0] != 0) {
        uint32_t length = (uint32_t)size;

        memcpy(copy, "IVRS", 4);
        memcpy(copy + 4, &length, 4);
        copy[9] = 0;
        for (i = 0; i < size; i++) {
            sum = (uint8_t)(sum + copy[i]);
        }
        copy[9] = (uint8_t)(0u - sum);
    }
    if (pvi_ivrs_open(&t, copy, size) == 0) {
        need(t.len <= size);
        while (pvi_ivrs_next(&t, &pos, &block) == 1) {
            need(pos > before && pos <= t.len);
            if (block.is_ivhd) {
                need(block.ivhd.entries >= copy && block.ivhd.entries + block.ivhd.entries_len <= copy + size);
                devices(&block.ivhd);
                (void)pvi_ivrs_preferred(&t, &block.ivhd);
            } else {
                need(block.ivmd.first <= block.ivmd.last && block.ivmd.base + block.ivmd.len >= block.ivmd.base);
            }
            before = pos;
        }
    }
    free(copy);
    return 0;
}
