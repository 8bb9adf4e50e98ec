/* SPDX-License-Identifier: MIT */
/*
 * The DMAR table of ACPI: bounded steps over bytes that are not trusted. hwspec 8.1.
 */

#include <pviommu/vtd.h>

/* Offsets and sizes in bytes (hwspec 8.1). */
#define HDR_LENGTH     4u
#define HDR_HAW        36u
#define HDR_FLAGS      37u
#define HDR_SIZE       48u
#define ITEM_MIN       4u
#define ITEM_FLAGS     4u
#define ITEM_SEGMENT   6u
#define ITEM_BASE      8u
#define DRHD_SIZE      5u
#define DRHD_SIZE_MASK 0xfu
#define RMRR_LIMIT     16u
#define RHSA_DOMAIN    16u
#define ANDD_NUMBER    7u
#define ANDD_NAME      8u
#define SCOPE_MIN      6u
#define SCOPE_HOP      2u

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes--) {
        v = v << 8 | p[bytes];
    }
    return v;
}

int pvi_dmar_open(struct pvi_dmar *t, const void *table, size_t size)
{
    const uint8_t *p = table;
    uint32_t length, i;
    uint8_t sum = 0;

    if (size < HDR_SIZE || memcmp(p, "DMAR", 4) != 0) {
        return -PVI_EFORMAT;
    }
    length = (uint32_t)get(p + HDR_LENGTH, 4);
    if (length < HDR_SIZE || length > size) {
        return -PVI_EFORMAT;
    }
    for (i = 0; i < length; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    if (sum != 0) {
        return -PVI_EFORMAT;
    }
    t->bytes = p;
    t->length = length;
    t->haw_bits = (uint8_t)(p[HDR_HAW] < 64 ? p[HDR_HAW] + 1 : 0);
    t->flags = p[HDR_FLAGS];
    return t->haw_bits ? 0 : -PVI_EFORMAT;
}

/* Bytes of a structure before its scopes or its end, 0 for a type that is not known. */
static uint32_t fixed_part(unsigned type)
{
    static const uint8_t bytes[] = {16, 24, 8, 20, 9, 8, 8};

    return type < sizeof(bytes) ? bytes[type] : 0;
}

static int decode_drhd(const uint8_t *p, struct pvi_dmar_item *out)
{
    out->base = get(p + ITEM_BASE, 8);
    out->size = PVI_PAGE_SIZE << (p[DRHD_SIZE] & DRHD_SIZE_MASK);
    return out->base & PVI_PAGE_MASK || out->base + (out->size - 1) < out->base ? -PVI_EFORMAT : 0;
}

static int decode_rmrr(const uint8_t *p, struct pvi_dmar_item *out)
{
    out->base = get(p + ITEM_BASE, 8);
    out->last = get(p + RMRR_LIMIT, 8);
    /*
     * Mapped page by page: a part of a page cannot be reserved, and rounding would open what is
     * next to it.
     */
    return out->base & PVI_PAGE_MASK || ~out->last & PVI_PAGE_MASK || out->base > out->last
               ? -PVI_EFORMAT
               : 0;
}

static int decode_andd(const uint8_t *p, uint32_t length, struct pvi_dmar_item *out)
{
    uint32_t i;

    out->segment = 0;
    out->acpi_device = p[ANDD_NUMBER];
    for (i = ANDD_NAME; i < length; i++) {
        if (p[i] == 0) {
            out->name = (const char *)p + ANDD_NAME;
            return 0;
        }
    }
    return -PVI_EFORMAT;
}

/* One structure of a known type; its fixed part lies inside the table. */
static int decode(const uint8_t *p, uint32_t length, struct pvi_dmar_item *out)
{
    uint32_t fixed = fixed_part(out->type);

    out->segment = (uint16_t)get(p + ITEM_SEGMENT, 2);
    out->scopes = p + fixed;
    out->scopes_length = (uint16_t)(length - fixed);
    switch (out->type) {
    case PVI_DMAR_DRHD:
        out->flags = p[ITEM_FLAGS];
        return decode_drhd(p, out);
    case PVI_DMAR_RMRR:
        return decode_rmrr(p, out);
    case PVI_DMAR_RHSA:
        out->segment = 0;
        out->base = get(p + ITEM_BASE, 8);
        out->proximity = (uint32_t)get(p + RHSA_DOMAIN, 4);
        out->scopes_length = 0;
        return 0;
    case PVI_DMAR_ANDD:
        out->scopes_length = 0;
        return decode_andd(p, length, out);
    case PVI_DMAR_SIDP:
        return 0;
    default:
        out->flags = p[ITEM_FLAGS];
        return 0;
    }
}

int pvi_dmar_next(const struct pvi_dmar *t, uint32_t *at, struct pvi_dmar_item *out)
{
    const uint8_t *p;
    uint32_t left, length, fixed;

    if (*at < HDR_SIZE) {
        *at = HDR_SIZE;
    }
    while (*at < t->length) {
        p = t->bytes + *at;
        left = t->length - *at;
        if (left < ITEM_MIN) {
            return -PVI_EFORMAT;
        }
        length = (uint32_t)get(p + 2, 2);
        if (length < ITEM_MIN || length > left) {
            return -PVI_EFORMAT;
        }
        *at += length;
        memset(out, 0, sizeof(*out));
        out->type = (uint16_t)get(p, 2);
        fixed = fixed_part(out->type);
        if (!fixed) {
            continue;
        }
        if (length < fixed) {
            return -PVI_EFORMAT;
        }
        return decode(p, length, out) ? -PVI_EFORMAT : 1;
    }
    return 0;
}

int pvi_dmar_scope_next(const struct pvi_dmar_item *item, uint16_t *at, struct pvi_dmar_scope *out)
{
    const uint8_t *p = item->scopes + *at;
    unsigned left = item->scopes_length - *at;
    unsigned length;

    if (left == 0) {
        return 0;
    }
    if (left < SCOPE_MIN) {
        return -PVI_EFORMAT;
    }
    length = p[1];
    if (length < SCOPE_MIN + SCOPE_HOP || length > left || (length - SCOPE_MIN) % SCOPE_HOP != 0) {
        return -PVI_EFORMAT;
    }
    out->type = p[0];
    out->flags = p[2];
    out->id = p[4];
    out->bus = p[5];
    out->hops = (uint8_t)((length - SCOPE_MIN) / SCOPE_HOP);
    out->path = p + SCOPE_MIN;
    *at = (uint16_t)(*at + length);
    return 1;
}
