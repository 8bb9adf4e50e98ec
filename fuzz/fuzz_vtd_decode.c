/* SPDX-License-Identifier: MIT */
/*
 * VT-d entries, descriptors and fault records, arbitrary values: every field that is taken out of an entry goes back
 * into the same bits, and what is encoded has the bits that hwspec 2.2, 4.1 and 5.1 give it, computed here again.
 */
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

static void context_entry(struct fuzz_input *in)
{
    struct pvi_vtd_entry e = {fuzz_le(in, 8), fuzz_le(in, 8)}, again;
    struct pvi_vtd_context c;
    pvi_pa table;

    pvi_vtd_context_decode(&e, &c);
    need(c.present == (e.lo & 1) && c.fault_silent == (e.lo >> 1 & 1) && c.tt == (e.lo >> 2 & 3));
    need(c.did == (e.hi >> 8 & 0xffff) && c.root.a == (e.lo & ~0xfffull) && c.levels == (e.hi & 7) + 2);
    if (c.present && c.levels >= 3 && c.levels <= 5 && c.tt <= 1) {
        again = pvi_vtd_context_encode(&c);
        need(again.lo == (e.lo & ~0xff0ull) && again.hi == (e.hi & 0xffff07));
    }
    need(pvi_vtd_root_decode(&e, &table) == (e.lo & 1));
    need((e.lo & 1) == 0 || table.a == (e.lo & ~0xfffull));
}

static void descriptors(struct fuzz_input *in)
{
    struct pvi_vtd_desc d[PVI_VTD_INV_DESCS];
    struct pvi_inv inv;
    uint64_t cap = fuzz_le(in, 8);
    unsigned i, nr, mamv = (unsigned)(cap >> 48) & 0x3f;

    memset(&inv, 0, sizeof(inv));
    inv.kind = fuzz_u8(in) % (PVI_INV_ALL + 1);
    inv.lg2 = (uint8_t)(12 + fuzz_u8(in) % 52);
    inv.leaf_only = fuzz_u8(in) & 1;
    inv.was_absent = fuzz_u8(in) & 1;
    inv.rid = (uint16_t)fuzz_le(in, 2);
    inv.did = (uint16_t)fuzz_le(in, 2);
    inv.iova = fuzz_le(in, 8) & ~0xfffull;
    nr = pvi_vtd_sm_encode_inv(cap, &inv, d);
    need(nr <= PVI_VTD_INV_DESCS && (nr == 0) == (inv.kind == PVI_INV_WBUF));
    nr = pvi_vtd_encode_inv(cap, &inv, d);
    need(nr <= PVI_VTD_INV_DESCS && (nr == 0) == (inv.kind == PVI_INV_WBUF));
    for (i = 0; i < nr; i++) {
        unsigned type = d[i].w[0] & 0xf, narrow = (d[i].w[0] >> 4 & 3) == 3, am = d[i].w[1] & 0x3f;

        need(type == 1 || type == 2);
        need((d[i].w[0] & (type == 1 ? 0xfffc00000000ffc0ull : 0xffffffff0000ff00ull)) == 0);
        if (type == 2 && narrow) { /* page-selective: only where it may be, and covering what was asked */
            uint64_t first = d[i].w[1] & ~0xfffull, size = (uint64_t)1 << (12 + am);

            need((cap >> 39 & 1) && am <= mamv && (first & (size - 1)) == 0);
            need(first <= inv.iova && inv.iova - first + (((uint64_t)1 << inv.lg2) - 1) <= size - 1);
            need((d[i].w[1] >> 6 & 1) == inv.leaf_only && (d[i].w[0] >> 16 & 0xffff) == inv.did);
        } else {
            need(d[i].w[1] == 0);
        }
    }
}

static void fault(struct fuzz_input *in)
{
    uint64_t lo = fuzz_le(in, 8), hi = fuzz_le(in, 8);
    struct pvi_fault f;

    if (pvi_vtd_fault_decode(lo, hi, &f)) {
        need(hi >> 63 == 1 && f.rid == (hi & 0xffff) && f.code == (hi >> 32 & 0xff));
        need(!f.translation || f.iova == (lo & ~0xfffull));
    } else {
        need(hi >> 63 == 0);
    }
    need(pvi_vtd_fault_string((uint16_t)lo) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};

    context_entry(&in);
    descriptors(&in);
    fault(&in);
    return 0;
}
