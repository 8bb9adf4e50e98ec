/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: entry formats (hwspec 3.1, 3.2, 6.9, 6.10) and walks of a table without a unit.
 */
#include "hwm_int.h"

#include <string.h>

#define BIT(n)      (UINT64_C(1) << (n))
#define FIELD_51_12 UINT64_C(0x000ffffffffff000)

/* second stage, hwspec 3.1 */
#define SS_R     BIT(0)
#define SS_W     BIT(1)
#define SS_PS    BIT(7)
#define SS_A     BIT(8)
#define SS_D     BIT(9)
#define SS_BIT11 BIT(11)
#define SS_BIT62 BIT(62)

/* x86 (first stage and AMD v2), hwspec 3.2, 6.10 */
#define X86_P         BIT(0)
#define X86_W         BIT(1)
#define X86_U         BIT(2)
#define X86_A         BIT(5)
#define X86_D         BIT(6)
#define X86_PS        BIT(7)
#define X86_PAT_LARGE BIT(12)
#define X86_XD        BIT(63)

/* AMD v1, hwspec 6.9 */
#define V1_PR       BIT(0)
#define V1_A        BIT(5)
#define V1_D        BIT(6)
#define V1_IR       BIT(61)
#define V1_IW       BIT(62)
#define V1_PDE_RSVD UINT64_C(0x1ff0000000000000)
#define V1_PTE_RSVD UINT64_C(0x07f0000000000000)

void hwm_fmt_default(struct hwm_fmt *fmt, enum hwm_fmt_kind kind)
{
    memset(fmt, 0, sizeof(*fmt));
    fmt->kind = kind;
    fmt->pa_bits = 52;
    fmt->sz_2m = fmt->sz_1g = fmt->snp = fmt->nx = true;
}

unsigned hwm_slot_lg2(unsigned level)
{
    return 12 + 9 * (level - 1);
}

uint64_t hwm_ad_bits(const struct hwm_fmt *fmt, bool dirty)
{
    switch (fmt->kind) {
    case HWM_FMT_VTDSS:
        return SS_A | (dirty ? SS_D : 0);
    case HWM_FMT_X86:
        return X86_A | (dirty ? X86_D : 0);
    default:
        return V1_A | (dirty ? V1_D : 0);
    }
}

bool hwm_skip_ok(unsigned level, unsigned next_level, uint64_t iova)
{
    uint64_t skipped =
        hwm_low_mask(hwm_slot_lg2(level)) & ~hwm_low_mask(hwm_slot_lg2(next_level + 1));

    return next_level >= level || !(iova & skipped);
}

static void bad(struct hwm_step_out *d, enum hwm_status status, const char *why)
{
    d->kind = HWM_STEP_BAD;
    d->bad = status;
    d->why = why;
}

static void table(struct hwm_step_out *d, uint64_t entry, unsigned next_level)
{
    d->kind = HWM_STEP_TABLE;
    d->next = entry & FIELD_51_12;
    d->next_level = next_level;
}

static void leaf(struct hwm_step_out *d, uint64_t field, unsigned lg2)
{
    d->kind = HWM_STEP_LEAF;
    d->lg2 = lg2;
    d->misaligned = (field & hwm_low_mask(lg2)) != 0;
    d->next = field & ~hwm_low_mask(lg2);
}

static void decode_vtdss(const struct hwm_fmt *fmt, unsigned level, uint64_t e,
                         struct hwm_step_out *d)
{
    uint64_t rsvd = SS_BIT62 | (FIELD_51_12 & ~hwm_low_mask(fmt->pa_bits));
    bool is_leaf = level == 1 || ((level == 2 || level == 3) && (e & SS_PS));
    unsigned lg2 = hwm_slot_lg2(level);

    d->r = e & SS_R;
    d->w = e & SS_W;
    d->accessed = e & SS_A;
    d->dirty = is_leaf && (e & SS_D);
    if (!d->r && !d->w) {
        d->kind = HWM_STEP_ABSENT;
        return;
    }
    if (!is_leaf) {
        rsvd |= SS_BIT11 | (level > 3 ? SS_PS : 0);
    } else {
        rsvd |= (fmt->snp ? 0 : SS_BIT11) | (hwm_low_mask(lg2) & FIELD_51_12);
    }
    if ((level == 2 && is_leaf && !fmt->sz_2m) || (level == 3 && is_leaf && !fmt->sz_1g)) {
        bad(d, HWM_S_RSVD, "large page that the unit does not support");
    } else if (e & rsvd) {
        bad(d, HWM_S_RSVD, "reserved bit in a second-stage entry");
    } else if (is_leaf) {
        leaf(d, e & FIELD_51_12, lg2);
    } else {
        table(d, e, level - 1);
    }
}

static void decode_x86(const struct hwm_fmt *fmt, unsigned level, uint64_t e,
                       struct hwm_step_out *d)
{
    uint64_t rsvd = FIELD_51_12 & ~hwm_low_mask(fmt->pa_bits);
    bool is_leaf = level == 1 || ((level == 2 || level == 3) && (e & X86_PS));
    unsigned lg2 = hwm_slot_lg2(level);
    uint64_t field = e & FIELD_51_12;

    d->r = e & X86_P;
    d->w = e & X86_W;
    d->u = e & X86_U;
    d->accessed = e & X86_A;
    d->dirty = is_leaf && (e & X86_D);
    if (!(e & X86_P)) {
        d->kind = HWM_STEP_ABSENT;
        return;
    }
    rsvd |= (fmt->nx ? 0 : X86_XD) | (level > 3 ? X86_PS : 0);
    if (is_leaf && level > 1) {
        rsvd |= hwm_low_mask(lg2) & FIELD_51_12 & ~X86_PAT_LARGE;
        field &= ~X86_PAT_LARGE;
    }
    if ((level == 2 && is_leaf && !fmt->sz_2m) || (level == 3 && is_leaf && !fmt->sz_1g)) {
        bad(d, HWM_S_RSVD, "large page that the unit does not support");
    } else if (e & rsvd) {
        bad(d, HWM_S_RSVD, "reserved bit in a first-stage entry");
    } else if (is_leaf) {
        leaf(d, field, lg2);
    } else {
        table(d, e, level - 1);
    }
}

static void decode_v1_leaf(const struct hwm_fmt *fmt, unsigned level, uint64_t e,
                           struct hwm_step_out *d)
{
    unsigned lg2 = hwm_slot_lg2(level), max = hwm_slot_lg2(level + 1);
    uint64_t field = e & FIELD_51_12;

    if (e & V1_PTE_RSVD) {
        bad(d, HWM_S_RSVD, "reserved bit in a v1 leaf");
        return;
    }
    if ((e >> 9 & 7) == 7) {
        lg2 = hwm_size_code_lg2(field);
        if (level >= 6 || lg2 <= hwm_slot_lg2(level) || lg2 >= max || lg2 > 51) {
            bad(d, HWM_S_LEVEL, "size code out of range at its level");
            return;
        }
        field &= ~hwm_low_mask(lg2);
    } else if (level >= 6) {
        bad(d, HWM_S_LEVEL, "leaf at level 6");
        return;
    } else if (level == 4 && fmt->no_512g) {
        bad(d, HWM_S_LEVEL, "512 GiB leaf on a unit that cannot use it");
        return;
    }
    if (field & ~hwm_low_mask(fmt->pa_bits)) {
        bad(d, HWM_S_RSVD, "v1 leaf beyond the physical address width");
        return;
    }
    leaf(d, field, lg2);
}

static void decode_v1(const struct hwm_fmt *fmt, unsigned level, uint64_t e, struct hwm_step_out *d)
{
    unsigned nl = (unsigned)(e >> 9 & 7);

    d->r = e & V1_IR;
    d->w = e & V1_IW;
    d->accessed = e & V1_A;
    d->dirty = (nl == 0 || nl == 7) && (e & V1_D);
    if (!(e & V1_PR)) {
        d->kind = HWM_STEP_ABSENT;
    } else if (nl == 0 || nl == 7) {
        decode_v1_leaf(fmt, level, e, d);
    } else if (nl >= level) {
        bad(d, HWM_S_LEVEL, "next level does not decrease");
    } else if (e & V1_PDE_RSVD) {
        bad(d, HWM_S_RSVD, "reserved bit in a v1 directory entry");
    } else if (e & FIELD_51_12 & ~hwm_low_mask(fmt->pa_bits)) {
        bad(d, HWM_S_RSVD, "v1 table beyond the physical address width");
    } else {
        table(d, e, nl);
    }
}

void hwm_decode(const struct hwm_fmt *fmt, unsigned level, uint64_t entry, struct hwm_step_out *d)
{
    memset(d, 0, sizeof(*d));
    d->u = true;
    switch (fmt->kind) {
    case HWM_FMT_VTDSS:
        decode_vtdss(fmt, level, entry, d);
        break;
    case HWM_FMT_X86:
        decode_x86(fmt, level, entry, d);
        break;
    default:
        decode_v1(fmt, level, entry, d);
        break;
    }
}

static enum hwm_status ends(struct hwm_leaf *out, enum hwm_status status, const char *why)
{
    out->status = status;
    out->present = status == HWM_S_LEAF;
    out->bad = status != HWM_S_LEAF && status != HWM_S_ABSENT;
    out->why = why;
    return status;
}

enum hwm_status hwm_walk_table(const struct hwm_mem *mem, const struct hwm_fmt *fmt, uint64_t root,
                               unsigned levels, uint64_t iova, struct hwm_leaf *out)
{
    unsigned width = hwm_slot_lg2(levels + 1);
    struct hwm_step_out d;

    memset(out, 0, sizeof(*out));
    out->r = out->w = out->user = out->accessed = true;
    out->level = levels;
    if (width < 64 && iova >> width) {
        /* x86 input is sign-extended; the others are plain numbers */
        if (fmt->kind != HWM_FMT_X86 || (uint64_t)((int64_t)iova >> (width - 1)) != ~UINT64_C(0)) {
            return ends(out, HWM_S_RANGE, "address beyond the levels of the table");
        }
    } else if (fmt->kind == HWM_FMT_X86 && width < 64 && iova >> (width - 1)) {
        return ends(out, HWM_S_RANGE, "address is not canonical");
    }
    for (;;) {
        out->lg2 = hwm_slot_lg2(out->level);
        out->iova = iova & ~hwm_low_mask(out->lg2);
        out->entry_pa = root + (iova >> out->lg2 & 0x1ff) * 8;
        if (mem->valid && !mem->valid(mem->opaque, out->entry_pa, 8)) {
            return ends(out, HWM_S_READ, "table is not in memory");
        }
        out->entry = mem->read64(mem->opaque, out->entry_pa);
        hwm_decode(fmt, out->level, out->entry, &d);
        if (d.kind == HWM_STEP_ABSENT) {
            return ends(out, HWM_S_ABSENT, "not present");
        }
        if (d.kind == HWM_STEP_BAD) {
            return ends(out, d.bad, d.why);
        }
        out->r = out->r && d.r;
        out->w = out->w && d.w;
        out->user = out->user && d.u;
        out->accessed = out->accessed && d.accessed;
        if (d.kind == HWM_STEP_LEAF) {
            out->lg2 = d.lg2;
            out->iova = iova & ~hwm_low_mask(d.lg2);
            out->pa = d.next | (iova & hwm_low_mask(d.lg2));
            out->dirty = d.dirty;
            return d.misaligned ? ends(out, HWM_S_RSVD, "leaf address is not aligned to its size")
                                : ends(out, HWM_S_LEAF, NULL);
        }
        if (!hwm_skip_ok(out->level, d.next_level, iova)) {
            return ends(out, HWM_S_SKIP, "address bits of skipped levels are not zero");
        }
        root = d.next;
        out->level = d.next_level;
    }
}

enum hwm_status hwm_walk_vtdss(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                               uint64_t iova, struct hwm_leaf *out)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, HWM_FMT_VTDSS);
    return hwm_walk_table(mem, &fmt, root, levels, iova, out);
}

enum hwm_status hwm_walk_x86(const struct hwm_mem *mem, uint64_t root, unsigned levels,
                             uint64_t iova, struct hwm_leaf *out)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, HWM_FMT_X86);
    return hwm_walk_table(mem, &fmt, root, levels, iova, out);
}

enum hwm_status hwm_walk_amdv1(const struct hwm_mem *mem, uint64_t root, unsigned mode,
                               uint64_t iova, struct hwm_leaf *out)
{
    struct hwm_fmt fmt;

    hwm_fmt_default(&fmt, HWM_FMT_AMDV1);
    return hwm_walk_table(mem, &fmt, root, mode, iova, out);
}
