/* SPDX-License-Identifier: MIT */
/* The DMAR reader on arbitrary bytes: it stops, stays inside, and yields only what lies in the table. */
#include "input.h"
#include <pviommu/vtd.h>
#include <stdlib.h>
#include <string.h>

static void need(int condition)
{
    if (!condition) {
        abort();
    }
}

static void items(const struct pvi_dmar *t, const uint8_t *bytes, size_t size)
{
    struct pvi_dmar_item item;
    struct pvi_dmar_scope scope;
    uint32_t at = 0, before;
    unsigned steps = 0;

    for (;;) {
        uint16_t scope_at = 0;
        int rc;

        before = at;
        rc = pvi_dmar_next(t, &at, &item);
        need(++steps <= size + 2);
        if (rc <= 0) {
            need(rc == 0 || rc == -PVI_EFORMAT);
            if (rc == 0 || at == before) {
                return;
            }
            continue;
        }
        need(at > before && at <= size);
        need(item.scopes_length == 0 || (item.scopes >= bytes && item.scopes + item.scopes_length <= bytes + size));
        need(!item.name || (const uint8_t *)item.name + strlen(item.name) < bytes + size);
        while (pvi_dmar_scope_next(&item, &scope_at, &scope) == 1) {
            need(scope.hops >= 1 && scope.path >= item.scopes &&
                 scope.path + 2u * scope.hops <= item.scopes + item.scopes_length);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    struct pvi_dmar t;
    uint8_t sum = 0;
    size_t i;

    need(copy != NULL);
    memcpy(copy, data, size);
    if (size >= 48) { /* the first byte chooses: as it is, or with a header that lets the rest be read */
        if (data[0] != 0) {
            uint32_t length = (uint32_t)size;

            memcpy(copy, "DMAR", 4);
            memcpy(copy + 4, &length, 4);
            copy[9] = 0;
            for (i = 0; i < size; i++) {
                sum = (uint8_t)(sum + copy[i]);
            }
            copy[9] = (uint8_t)(0u - sum);
        }
    }
    if (pvi_dmar_open(&t, copy, size) == 0) {
        need(t.length <= size);
        items(&t, copy, size);
    }
    free(copy);
    return 0;
}
