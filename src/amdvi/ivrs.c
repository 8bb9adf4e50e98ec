/* SPDX-License-Identifier: MIT */
/*
 * IVRS, the ACPI table that describes AMD-Vi units (hwspec 8.2): a reader that trusts no length.
 *
 * Firmware writes the table, so pvi_ivrs_open() reads it whole once before anybody acts on a part
 * of it. The iterators check every bound again; the memory must not change meanwhile.
 */
#include <pviommu/amdvi.h>

#include "spec.h"

#define ACPI_LENGTH   4u
#define ACPI_REVISION 8u
#define IVINFO        36u
#define BLOCK_HEADER  4u

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (unsigned)p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* Device entries ------------------------------------------------------------------------------- */

/* Length of the entry at p, of which left bytes can be read; 0 when it is malformed. */
static uint32_t dev_length(const uint8_t *p, uint32_t left)
{
    uint32_t len;

    if (p[0] < AMDVI_IVRS_DEV_FIXED) {
        len = (uint32_t)4 << (p[0] >> 6);
    } else if (p[0] == AMDVI_IVRS_DEV_HID && left >= AMDVI_IVRS_DEV_HID_BYTES) {
        len = AMDVI_IVRS_DEV_HID_BYTES + p[21];
    } else {
        return 0;
    }
    return len <= left ? len : 0;
}

/* Steps over padding. 1 with the length of the entry at *at, 0 at the end, or -PVI_EFORMAT. */
static int dev_step(const struct pvi_ivrs_ivhd *ivhd, uint32_t *at, uint32_t *len)
{
    const uint8_t *p;

    while (*at < ivhd->entries_len) {
        p = ivhd->entries + *at;
        *len = dev_length(p, ivhd->entries_len - *at);
        if (*len == 0) {
            return -PVI_EFORMAT;
        }
        if (p[0] != AMDVI_IVRS_DEV_PAD4 && p[0] != AMDVI_IVRS_DEV_PAD8) {
            return 1;
        }
        *at += *len;
    }
    return 0;
}

/* Joins a range start with its end, which must be the next entry. 0 or -PVI_EFORMAT. */
static int dev_range_end(const struct pvi_ivrs_ivhd *ivhd, uint32_t *at, struct pvi_ivrs_dev *out)
{
    uint32_t len;
    int rc;

    rc = dev_step(ivhd, at, &len);
    if (rc != 1 || ivhd->entries[*at] != AMDVI_IVRS_DEV_RANGE_END) {
        return -PVI_EFORMAT;
    }
    out->last = get16(ivhd->entries + *at + 1);
    *at += len;
    return out->last >= out->first ? 0 : -PVI_EFORMAT;
}

static void dev_special(const uint8_t *p, struct pvi_ivrs_dev *out)
{
    out->kind = PVI_IVRS_DEV_SPECIAL;
    out->handle = p[4];
    out->used = get16(p + 5);
    out->variety = p[7];
}

static void dev_hid(const uint8_t *p, struct pvi_ivrs_dev *out)
{
    out->kind = PVI_IVRS_DEV_HID;
    out->hid = p + 4;
    out->uid_type = p[20];
    out->uid_len = p[21];
    out->uid = p + AMDVI_IVRS_DEV_HID_BYTES;
}

/* Decodes one entry. 1 with *out, 0 when its type is unknown, -PVI_EFORMAT for an end without a
 * start. */
static int dev_decode(const uint8_t *p, struct pvi_ivrs_dev *out)
{
    memset(out, 0, sizeof(*out));
    out->kind = PVI_IVRS_DEV_RANGE;
    out->first = get16(p + 1);
    out->last = out->first;
    out->used = out->first;
    out->data = p[3];
    switch (p[0]) {
    case AMDVI_IVRS_DEV_ALL:
        out->first = 0;
        out->last = 0xFFFFu;
        out->used = 0;
        return 1;
    case AMDVI_IVRS_DEV_SELECT:
    case AMDVI_IVRS_DEV_RANGE_START:
        return 1;
    case AMDVI_IVRS_DEV_ALIAS:
    case AMDVI_IVRS_DEV_ALIAS_START:
        out->kind = PVI_IVRS_DEV_ALIAS;
        out->used = get16(p + 5);
        return 1;
    case AMDVI_IVRS_DEV_EXT:
    case AMDVI_IVRS_DEV_EXT_START:
        out->ext = get32(p + 4);
        return 1;
    case AMDVI_IVRS_DEV_SPECIAL:
        dev_special(p, out);
        return 1;
    case AMDVI_IVRS_DEV_HID:
        dev_hid(p, out);
        return 1;
    case AMDVI_IVRS_DEV_RANGE_END:
        return -PVI_EFORMAT;
    default:
        return 0;
    }
}

int pvi_ivrs_dev_next(const struct pvi_ivrs_ivhd *ivhd, uint32_t *pos, struct pvi_ivrs_dev *out)
{
    uint32_t at = *pos, len;
    uint8_t type;
    int rc;

    do {
        rc = dev_step(ivhd, &at, &len);
        if (rc != 1) {
            return rc;
        }
        type = ivhd->entries[at];
        rc = dev_decode(ivhd->entries + at, out);
        if (rc < 0) {
            return rc;
        }
        at += len;
    } while (rc == 0);
    if (type == AMDVI_IVRS_DEV_RANGE_START || type == AMDVI_IVRS_DEV_ALIAS_START ||
        type == AMDVI_IVRS_DEV_EXT_START) {
        rc = dev_range_end(ivhd, &at, out);
        if (rc != 0) {
            return rc;
        }
    }
    *pos = at;
    return 1;
}

/* Blocks --------------------------------------------------------------------------------------- */

static int ivhd_decode(const struct pvi_ivrs *t, const uint8_t *p, uint32_t len,
                       struct pvi_ivrs_ivhd *out)
{
    uint32_t header = p[0] == AMDVI_IVHD_10 ? AMDVI_IVHD_10_HEADER : AMDVI_IVHD_11_HEADER;

    if (len < header) {
        return -PVI_EFORMAT;
    }
    out->type = p[0];
    out->flags = p[1];
    out->rid = get16(p + 4);
    out->cap_offset = get16(p + 6);
    out->reg_pa = get64(p + 8);
    out->segment = get16(p + 16);
    out->info = get16(p + 18);
    out->feature = get32(p + 20);
    if (p[0] != AMDVI_IVHD_10) {
        out->hat_dis = (out->feature & AMDVI_IVHD_ATTR_HAT_DIS) != 0;
        out->efr_copy = t->efr_sup;
        out->efr = get64(p + 24);
        out->efr2 = get64(p + 32);
    }
    out->entries = p + header;
    out->entries_len = len - header;
    return 1;
}

static int ivmd_decode(const uint8_t *p, uint32_t len, struct pvi_ivrs_ivmd *out)
{
    if (len < AMDVI_IVMD_BYTES) {
        return -PVI_EFORMAT;
    }
    out->type = p[0];
    out->flags = p[1];
    out->unity = (p[1] & AMDVI_IVMD_UNITY) != 0;
    out->exclusion = (p[1] & AMDVI_IVMD_EXCLUSION) != 0;
    out->prot = (uint8_t)(((p[1] & AMDVI_IVMD_READ) != 0 ? PVI_READ : 0u) |
                          ((p[1] & AMDVI_IVMD_WRITE) != 0 ? PVI_WRITE : 0u));
    out->first = get16(p + 4);
    out->last = out->first;
    if (p[0] == AMDVI_IVMD_ALL) {
        out->first = 0;
        out->last = 0xFFFFu;
    } else if (p[0] == AMDVI_IVMD_RANGE) {
        out->last = get16(p + 6);
    }
    out->segment = get16(p + 8);
    out->base = get64(p + 16);
    out->len = get64(p + 24);
    return out->last < out->first || out->len > UINT64_MAX - out->base ? -PVI_EFORMAT : 1;
}

/* 1 with *out, 0 when the type is unknown, or -PVI_EFORMAT. */
static int block_decode(const struct pvi_ivrs *t, const uint8_t *p, uint32_t len,
                        struct pvi_ivrs_block *out)
{
    memset(out, 0, sizeof(*out));
    switch (p[0]) {
    case AMDVI_IVHD_10:
    case AMDVI_IVHD_11:
    case AMDVI_IVHD_40:
        out->is_ivhd = true;
        return ivhd_decode(t, p, len, &out->ivhd);
    case AMDVI_IVMD_ALL:
    case AMDVI_IVMD_ONE:
    case AMDVI_IVMD_RANGE:
    case AMDVI_IVMD_UNIT:
        return ivmd_decode(p, len, &out->ivmd);
    default:
        return 0;
    }
}

int pvi_ivrs_next(const struct pvi_ivrs *t, uint32_t *pos, struct pvi_ivrs_block *out)
{
    uint32_t at = *pos == 0 ? AMDVI_IVRS_HEADER : *pos, len;
    int rc;

    do {
        if (at >= t->len) {
            return 0;
        }
        if (t->len - at < BLOCK_HEADER) {
            return -PVI_EFORMAT;
        }
        len = get16(t->data + at + 2);
        if (len < BLOCK_HEADER || len > t->len - at) {
            return -PVI_EFORMAT;
        }
        rc = block_decode(t, t->data + at, len, out);
        if (rc < 0) {
            return rc;
        }
        at += len;
    } while (rc == 0);
    *pos = at;
    return 1;
}

static int ivrs_check(const struct pvi_ivrs *t)
{
    struct pvi_ivrs_block block;
    struct pvi_ivrs_dev dev;
    uint32_t pos = 0, dev_pos;
    int rc, dev_rc;

    while ((rc = pvi_ivrs_next(t, &pos, &block)) == 1) {
        dev_rc = 0;
        dev_pos = 0;
        while (block.is_ivhd && (dev_rc = pvi_ivrs_dev_next(&block.ivhd, &dev_pos, &dev)) == 1) {
            continue;
        }
        if (dev_rc != 0) {
            return dev_rc;
        }
    }
    return rc;
}

int pvi_ivrs_open(struct pvi_ivrs *t, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint32_t i;
    uint8_t sum = 0;

    if (size < AMDVI_IVRS_HEADER || memcmp(p, "IVRS", 4) != 0) {
        return -PVI_EFORMAT;
    }
    t->data = p;
    t->len = get32(p + ACPI_LENGTH);
    if (t->len < AMDVI_IVRS_HEADER || t->len > size) {
        return -PVI_EFORMAT;
    }
    for (i = 0; i < t->len; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    if (sum != 0) {
        return -PVI_EFORMAT;
    }
    t->revision = p[ACPI_REVISION];
    t->info = get32(p + IVINFO);
    t->efr_sup = (t->info & AMDVI_IVINFO_EFR_SUP) != 0;
    t->ht_ats_resv = (t->info & AMDVI_IVINFO_HT_ATS_RESV) != 0;
    t->pa_bits = (uint8_t)(t->info >> AMDVI_IVINFO_PA_LO & AMDVI_IVINFO_SIZE);
    t->va_bits = (uint8_t)(t->info >> AMDVI_IVINFO_VA_LO & AMDVI_IVINFO_SIZE);
    return ivrs_check(t);
}

bool pvi_ivrs_preferred(const struct pvi_ivrs *t, const struct pvi_ivrs_ivhd *ivhd)
{
    struct pvi_ivrs_block block;
    uint32_t pos = 0;

    while (pvi_ivrs_next(t, &pos, &block) == 1) {
        if (block.is_ivhd && block.ivhd.rid == ivhd->rid && block.ivhd.segment == ivhd->segment &&
            block.ivhd.type > ivhd->type) {
            return false;
        }
    }
    return true;
}

void pvi_amdvi_cfg_from_ivhd(struct pvi_amdvi_cfg *cfg, const struct pvi_ivrs *t,
                             const struct pvi_ivrs_ivhd *ivhd, uint32_t cap_header)
{
    memset(cfg, 0, sizeof(*cfg));
    cfg->reg_pa = ivhd->reg_pa;
    cfg->efr = ivhd->efr;
    cfg->efr_copy = ivhd->efr_copy;
    cfg->hat_dis = ivhd->hat_dis;
    cfg->ivhd_flags = ivhd->flags;
    cfg->pa_bits = t->pa_bits;
    cfg->iova_bits = t->va_bits;
    cfg->np_cache = (cap_header & AMDVI_CAP_NP_CACHE) != 0;
    cfg->efr_sup = (cap_header & AMDVI_CAP_EFR_SUP) != 0;
}
