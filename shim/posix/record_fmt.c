/* SPDX-License-Identifier: MIT */
/*
 * The recorder's decoders: VT-d second stage (3.7 and 9.8, hwspec 3.1), AMD-Vi v1 (48882 2.2.3,
 * hwspec 6.9) and the processor's tables (hwspec 3.2, 6.10). They share nothing with the engine but
 * the manuals, and which ignored bits say that a leaf owes a reference (docs/design.md).
 */
#include "record.h"
#include <string.h>

#ifdef PVI_POSIX_RECORD

#define BIT(n)          (1ull << (n))
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

/*
 * The name is all that is taken from the engine: a pointer to its operations would link it into
 * every test.
 */
enum rec_format rec_format_of(const struct pvi_pt_ops *ops)
{
    if (!ops || !ops->name) {
        return REC_FMT_NONE;
    }
    if (strcmp(ops->name, "vtd-ss") == 0) {
        return REC_FMT_VTD_SS;
    }
    if (strcmp(ops->name, "vtd-fs") == 0 || strcmp(ops->name, "amdvi-v2") == 0) {
        return REC_FMT_X86;
    }
    return strcmp(ops->name, "amdvi-v1") == 0 ? REC_FMT_AMD_V1 : REC_FMT_NONE;
}

unsigned rec_entries(const struct rec_rules *r, unsigned level)
{
    if (r->format == REC_FMT_X86 && level + 1u == r->levels) {
        return REC_ENTRIES / 2; /* the other half of the root is for addresses with the sign set */
    }
    return r->format == REC_FMT_AMD_V1 && level == 5 ? 128u : REC_ENTRIES; /* level 6: IOVA 63:57 */
}

static struct rec_entry bad(struct rec_entry e)
{
    e.kind = REC_BAD;
    return e;
}

/* Bits that no entry may have: above the width of addresses. */
static uint64_t beyond(const struct rec_rules *r)
{
    return r->pa_bits < 52 ? BITS(51, r->pa_bits) : 0;
}

/* Does a leaf with this debt hold a reference on its frame? The last kind is the library's own page. */
static bool owes(uint64_t debt)
{
    return debt != PVI_OWE_NONE && debt != PVI_OWE_SCRATCH;
}

static struct rec_entry vtd_ss(const struct rec_rules *r, uint64_t entry, unsigned level)
{
    struct rec_entry e = {REC_EMPTY, 0, 0, false, entry & BITS(51, 12), 0, 0};
    uint64_t wrong = beyond(r) | BIT(62);

    if ((entry & 3) == 0) { /* no P bit: R or W makes an entry present */
        e.kind = entry == 0 ? REC_EMPTY : REC_STRAY;
        return e;
    }
    if (level == 0 || (level <= 2 && (entry & BIT(7)) != 0)) {
        e.kind = REC_LEAF;
        e.lg2 = (uint8_t)rec_shift(level);
        e.debt = entry & BITS(54, 52);
        e.owes = owes(e.debt >> 52);
        wrong |= r->snoop ? 0 : BIT(11);
        wrong |= level == 0 ? 0 : BITS(rec_shift(level) - 1, 12);
        e.heeded = entry & (BITS(51, 12) | BIT(11) | BITS(6, 3) | 3 | (level == 0 ? 0 : BIT(7)));
    } else {
        e.kind = REC_TABLE;
        e.level = (uint8_t)(level - 1);
        wrong |= BIT(11) | BIT(7); /* bit 7: PS = 0, or reserved at levels 4 and 5 */
        e.heeded = entry & (BITS(51, 12) | 3);
    }
    return (entry & wrong) != 0 ? bad(e) : e;
}

/* A leaf whose size is coded in its address: 2^(p+1) bytes, p the lowest zero from bit 12 on. */
static struct rec_entry amd_sized(struct rec_entry e, unsigned level, uint64_t iova)
{
    unsigned p = 12;

    while (p < 52 && (e.pa & BIT(p)) != 0) {
        p++;
    }
    e.lg2 = (uint8_t)(p + 1);
    if (e.lg2 <= rec_shift(level) || e.lg2 >= rec_shift(level + 1) || e.lg2 > 51) {
        return bad(e);
    }
    e.pa = (e.pa & ~(BIT(e.lg2) - 1)) | (iova & (BIT(e.lg2) - 1) & ~(BIT(rec_shift(level)) - 1));
    return e;
}

static struct rec_entry amd_v1(const struct rec_rules *r, uint64_t entry, unsigned level,
                               uint64_t iova)
{
    struct rec_entry e = {REC_EMPTY, 0, 0, false, entry & BITS(51, 12), 0, 0};
    unsigned next = (unsigned)(entry >> 9) & 7;

    if ((entry & 1) == 0) {
        e.kind = entry == 0 ? REC_EMPTY : REC_STRAY;
        return e;
    }
    if (next != 0 && next != 7) {
        e.kind = REC_TABLE;
        e.level = (uint8_t)(next - 1);
        e.heeded = entry & (BITS(62, 61) | BITS(51, 12) | BITS(11, 9) | 1);
        /* Levels may be skipped, but the library never does: a link that does is a mistake. */
        return next != level || (entry & (BITS(60, 52) | beyond(r))) != 0 ? bad(e) : e;
    }
    e.kind = REC_LEAF;
    e.lg2 = (uint8_t)rec_shift(level);
    e.debt = entry & BITS(3, 1);
    e.owes = owes(e.debt >> 1);
    e.heeded = entry & (BITS(62, 59) | BITS(51, 12) | BITS(11, 9) | 1);
    if (level >= 5 || (entry & (BITS(58, 52) | beyond(r))) != 0) { /* no leaf at level 6 */
        return bad(e);
    }
    if (next == 7) {
        return amd_sized(e, level, iova);
    }
    return (e.pa & (BIT(e.lg2) - 1)) != 0 ? bad(e) : e;
}

/*
 * The library's own tables have user access and A set at every level: a request without privilege
 * is a user's, and hardware never has to store to a table for A.
 */
static struct rec_entry x86(const struct rec_rules *r, uint64_t entry, unsigned level)
{
    struct rec_entry e = {REC_EMPTY, 0, 0, false, entry & BITS(51, 12), 0, 0};
    uint64_t wrong = beyond(r) | BIT(63);

    if ((entry & 1) == 0) {
        e.kind = entry == 0 ? REC_EMPTY : REC_STRAY;
        return e;
    }
    if (level == 0 || (level <= 2 && (entry & BIT(7)) != 0)) {
        e.kind = REC_LEAF;
        e.lg2 = (uint8_t)rec_shift(level);
        e.debt = entry & BITS(54, 52);
        e.owes = owes(e.debt >> 52);
        wrong |= level == 0 ? 0 : BITS(rec_shift(level) - 1, 12); /* PAT, bit 12, is never used */
        e.heeded = entry & (BITS(51, 12) | BIT(8) | BIT(7) | BITS(4, 0));
    } else {
        e.kind = REC_TABLE;
        e.level = (uint8_t)(level - 1);
        wrong |= BIT(7); /* PS = 0, or reserved at levels 4 and 5 */
        e.heeded = entry & (BITS(51, 12) | BITS(4, 0));
    }
    return (entry & wrong) != 0 || (entry & (BIT(2) | BIT(5))) != (BIT(2) | BIT(5)) ? bad(e) : e;
}

struct rec_entry rec_decode(const struct rec_rules *r, uint64_t entry, unsigned level,
                            uint64_t iova)
{
    switch (r->format) {
    case REC_FMT_VTD_SS:
        return vtd_ss(r, entry, level);
    case REC_FMT_X86:
        return x86(r, entry, level);
    default:
        return amd_v1(r, entry, level, iova);
    }
}

unsigned rec_torn(const struct rec_rules *r, const uint64_t *table, unsigned level)
{
    unsigned i, j, first, nr;

    for (i = 0; r->format == REC_FMT_AMD_V1 && i < rec_entries(r, level); i++) {
        struct rec_entry e = rec_decode(r, table[i], level, 0);

        if (e.kind != REC_LEAF || e.lg2 == rec_shift(level)) {
            continue;
        }
        nr = 1u << (e.lg2 - rec_shift(level));
        first = i & ~(nr - 1);
        for (j = first; j < first + nr; j++) {
            if (((table[j] ^ table[i]) & ~BITS(6, 5)) != 0) {
                return i;
            }
        }
        i = first + nr - 1;
    }
    return REC_ENTRIES;
}

#endif
