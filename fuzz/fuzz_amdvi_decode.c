/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi device table entries, commands and events, arbitrary values, against the bit positions of hwspec 6.7, 7.2 and
 * 7.3 written down here again.
 */
#include "input.h"
#include <pviommu/amdvi.h>
#include <stdlib.h>
#include <string.h>

#define W0_KNOWN 0x7fffffffffffff83ull /* hwspec 6.7: bits of w0 that mean something */

static void need(int condition)
{
    if (!condition) {
        abort();
    }
}

static void device_entry(struct fuzz_input *in)
{
    struct pvi_dev_entry to = {.translate = fuzz_u8(in) & 1, .levels = (uint8_t)(1 + fuzz_u8(in) % 6)};
    uint64_t w[4], again[4], low[2];
    struct pvi_amdvi_dte dte;
    unsigned i;

    for (i = 0; i < 4; i++) {
        w[i] = fuzz_le(in, 8);
    }
    pvi_amdvi_dte_decode(w, &dte);
    need(dte.v == (w[0] & 1) && dte.tv == (w[0] >> 1 & 1) && dte.mode == (w[0] >> 9 & 7));
    need(dte.did == (w[1] & 0xffff) && dte.ir == (w[0] >> 61 & 1) && dte.iw == (w[0] >> 62 & 1));
    pvi_amdvi_dte_encode(&dte, again);
    need(((again[0] ^ w[0]) & W0_KNOWN & ~0x7c0000000000007cull) == 0);
    to.did = (uint16_t)(1 + fuzz_le(in, 2) % 0xffff);
    to.root.a = fuzz_le(in, 8) & 0x000ffffffffff000ull;
    pvi_amdvi_dte_switch(w, &to, low);
    need((low[0] & 3) == 3); /* never through V=0: that lets everything pass */
    if (to.translate) {
        need((low[0] >> 9 & 7) == to.levels && (low[0] & 0x000ffffffffff000ull) == to.root.a);
        need((low[0] >> 61 & 3) == 3 && (low[1] & 0xffff) == to.did);
    } else {
        need((low[0] >> 61 & 3) == 0);
    }
    need((low[0] >> 55 & 1) == 0 && (low[1] >> 32 & 1) == 0 && (low[1] >> 39 & 1) == 0);
}

/* A guest's own GCR3 table before a v1 table: refused, or exactly what was asked for. */
static void nested_entry(struct fuzz_input *in)
{
    struct pvi_dev_entry to = {.translate = true, .levels = fuzz_u8(in) % 9};
    struct pvi_amdvi_features f;
    struct pvi_amdvi_dte dte;
    uint64_t w[4], mask = 0x000ffffffffff000ull, asked = fuzz_u8(in) & 1 ? mask : UINT64_MAX;
    bool fits;

    pvi_amdvi_features(1ull << 4 | 2ull << 10 | 1ull << 12 | 2ull << 14 | 1ull << 48, 1ull << 3, 0, &f);
    to.did = (uint16_t)(1 + fuzz_le(in, 2) % 0xffff);
    to.root.a = fuzz_le(in, 8) & asked;
    to.guest.root = fuzz_le(in, 8) & asked;
    to.guest.levels = fuzz_u8(in) % 9;
    to.guest.depth = fuzz_u8(in) % 5;
    fits = (to.root.a & ~mask) == 0 && (to.guest.root & ~mask) == 0 && to.levels >= 1 && to.levels <= 6 &&
           (to.guest.levels == 4 || to.guest.levels == 5) && to.guest.depth >= 1 && to.guest.depth <= 3;
    need(pvi_amdvi_dte_nested(&f, &to, &dte) == (fits ? 0 : -PVI_EOPNOTSUPP));
    if (!fits) {
        return;
    }
    pvi_amdvi_dte_encode(&dte, w);
    need((w[0] & ~(mask | 0x1f00000000000e00ull)) == 0x60c0000000000003ull && (w[0] & mask) == to.root.a);
    need((w[0] >> 9 & 7) == to.levels && (w[0] >> 56 & 3) == to.guest.depth - 1u && (w[1] & 0xffff) == to.did);
    need(((w[0] >> 58 & 7) << 12 | (w[1] >> 16 & 0xffff) << 15 | (w[1] >> 43) << 31) == to.guest.root);
    need((w[1] >> 32 & 0x7ff) == 0 && w[2] == (uint64_t)(to.guest.levels - 4u) << 54 && w[3] == 0);
}

static void commands(struct fuzz_input *in)
{
    struct pvi_inv inv;
    uint64_t efr = 1ull << 6;
    uint32_t i, nr;
    bool guest, pages;

    memset(&inv, 0, sizeof(inv));
    inv.kind = fuzz_u8(in) % (PVI_INV_ALL + 1);
    inv.lg2 = (uint8_t)(12 + fuzz_u8(in) % 40);
    inv.leaf_only = fuzz_u8(in) & 1;
    inv.rid = (uint16_t)fuzz_le(in, 2);
    inv.did = (uint16_t)fuzz_le(in, 2);
    inv.iova = fuzz_le(in, 8) & ~(((uint64_t)1 << inv.lg2) - 1);
    inv.pasid = (uint32_t)inv.rid << 4 | (inv.did & 0xf);
    nr = pvi_amdvi_inv_nr(&inv, efr);
    need((nr == 0) == (inv.kind == PVI_INV_WBUF) && nr <= 1);
    guest = inv.kind == PVI_INV_GUEST;
    pages = guest || inv.kind == PVI_INV_PAGES;
    for (i = 0; i < nr; i++) {
        struct pvi_amdvi_cmd c = pvi_amdvi_inv_cmd(&inv, efr, i);
        unsigned op = (unsigned)(c.w[0] >> 60), p = 12;

        need(op == 2 || op == 3 || op == 8);
        if (op != 3) {
            continue;
        }
        need((c.w[0] >> 32 & 0xffff) == inv.did && (c.w[0] & 0xfffff) == (guest ? inv.pasid : 0) && (c.w[1] & 0xff8) == 0);
        need((c.w[1] >> 2 & 1) == guest);
        need((c.w[1] >> 1 & 1) == 1 || (pages && inv.leaf_only));
        if (!pages || inv.iova >> 51 != 0) {
            need((c.w[1] | 6) == 0x7ffffffffffff007ull);
        } else if (inv.lg2 == 12) {
            need((c.w[1] & 1) == 0 && (c.w[1] & ~0xfffull) == inv.iova);
        } else {
            while ((c.w[1] >> p & 1) != 0 && p < 63) {
                p++;
            }
            /* size 2^(p + 1) at the address with the size code taken out */
            need((c.w[1] & 1) == 1 && (p + 1 >= inv.lg2 || p >= 51));
            need(p >= 51 || (c.w[1] & ~(((uint64_t)2 << p) - 1)) == (inv.iova & ~(((uint64_t)2 << p) - 1)));
        }
    }
}

static void event(struct fuzz_input *in)
{
    uint64_t w[2] = {fuzz_le(in, 8), fuzz_le(in, 8)};
    struct pvi_fault f;

    pvi_amdvi_event_decode(w, &f);
    need(f.translation == 0 || w[0] >> 60 == 2);
    need(w[0] >> 60 != 2 || (f.rid == (w[0] & 0xffff) && f.iova == w[1]));
    if (w[0] >> 60 == 2) { /* DomainID, or with GN a PASID */
        need(f.did == ((w[0] >> 48 & 1) != 0 ? 0 : (w[0] >> 32 & 0xffff)));
        need(f.pasid == ((w[0] >> 48 & 1) == 0 ? 0 : (w[0] >> 16 & 0xf) << 16 | (w[0] >> 32 & 0xffff)));
    }
    need(f.has_pasid == (f.pasid != 0));
    need(pvi_amdvi_event_name((unsigned)(w[0] >> 60)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};

    device_entry(&in);
    commands(&in);
    event(&in);
    nested_entry(&in);
    return 0;
}
