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

static void commands(struct fuzz_input *in)
{
    struct pvi_inv inv;
    uint64_t efr = 1ull << 6;
    uint32_t i, nr;

    memset(&inv, 0, sizeof(inv));
    inv.kind = fuzz_u8(in) % (PVI_INV_ALL + 1);
    inv.lg2 = (uint8_t)(12 + fuzz_u8(in) % 40);
    inv.leaf_only = fuzz_u8(in) & 1;
    inv.rid = (uint16_t)fuzz_le(in, 2);
    inv.did = (uint16_t)fuzz_le(in, 2);
    inv.iova = fuzz_le(in, 8) & ~(((uint64_t)1 << inv.lg2) - 1);
    nr = pvi_amdvi_inv_nr(&inv, efr);
    need((nr == 0) == (inv.kind == PVI_INV_WBUF) && nr <= 1);
    for (i = 0; i < nr; i++) {
        struct pvi_amdvi_cmd c = pvi_amdvi_inv_cmd(&inv, efr, i);
        unsigned op = (unsigned)(c.w[0] >> 60), p = 12;

        need(op == 2 || op == 3 || op == 8);
        if (op != 3) {
            continue;
        }
        need((c.w[0] >> 32 & 0xffff) == inv.did && (c.w[0] & 0xfffff) == 0 && (c.w[1] & 0xff8) == 0);
        need((c.w[1] >> 1 & 1) == 1 || (inv.kind == PVI_INV_PAGES && inv.leaf_only));
        if (inv.kind != PVI_INV_PAGES || inv.iova >> 51 != 0) {
            need((c.w[1] | 2) == 0x7ffffffffffff003ull);
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
    need(pvi_amdvi_event_name((unsigned)(w[0] >> 60)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};

    device_entry(&in);
    commands(&in);
    event(&in);
    return 0;
}
