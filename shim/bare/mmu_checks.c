/* SPDX-License-Identifier: MIT */
/* Checks of translation by the processor: sizes, rights, what it keeps until told, cutting and
 * joining. */
#include "mmu.h"

#define LOW(page) (MMU_LOW_PA + (uint64_t)(page)*PAGE4K)

static bool leaf_is(struct mmu *m, uint64_t va, unsigned lg2)
{
    unsigned got = 0;

    return mmu_entry(m, va, &got) != NULL && got == lg2;
}

/* Maps what must be free, unmaps what is there, each with its flush. */
static bool map(struct mmu *m, uint64_t va, uint64_t pa, uint64_t len, unsigned prot)
{
    return mmu_map(m, va, pa, len, prot, false) == 0;
}

static bool unmap(struct mmu *m, uint64_t va, uint64_t len)
{
    int rc = mmu_unmap(m, va, len);

    mmu_flush(m);
    return rc == 0;
}

/* Every page, or every nth of many, of a range that lies in one piece. */
static bool all_land(struct mmu *m, uint64_t va, uint64_t pa, uint64_t len, uint64_t step)
{
    uint64_t at;

    for (at = 0; at < len; at += step) {
        if (!mmu_lands(m, va + at + (at >> 9 & 0xFF8), pa + at + (at >> 9 & 0xFF8), true)) {
            return false;
        }
    }
    return mmu_lands(m, va + len - 8, pa + len - 8, true);
}

/* Sizes ---------------------------------------------------------------------------------------- */

void mmu_check_sizes(struct mmu *m)
{
    uint64_t small = m->va + 3 * PAGE4K;
    uint64_t large = m->va + 2 * PAGE2M;
    uint64_t huge = m->va + PAGE1G;
    uint64_t odd = m->va + 4 * PAGE1G + PAGE2M;
    uint64_t top = ((uint64_t)1 << m->pt.cfg.iova_bits) - PAGE4K;

    mmu_check(m, mmu_absent(small) && mmu_absent(huge) && mmu_absent(top),
              "nothing is mapped: faults");
    mmu_check(m,
              map(m, small, LOW(0x21), PAGE4K, PVI_RW) &&
                  map(m, small + PAGE4K, LOW(0x11), PAGE4K, PVI_RW) &&
                  map(m, large, LOW(0x200), PAGE2M, PVI_RW) &&
                  map(m, huge, MMU_HIGH_PA, PAGE1G, PVI_RW) &&
                  map(m, top, LOW(0x31), PAGE4K, PVI_RW),
              "leaves of all sizes");
    mmu_check(
        m, leaf_is(m, small, 12) && leaf_is(m, large + PAGE4K, 21) && leaf_is(m, huge + PAGE2M, 30),
        "they are leaves of 4 KiB, 2 MiB, 1 GiB");
    mmu_check(m,
              mmu_lands(m, small, LOW(0x21), true) &&
                  mmu_lands(m, small + 0xFF8, LOW(0x21) + 0xFF8, true) &&
                  mmu_lands(m, small + PAGE4K, LOW(0x11), true),
              "4 KiB: first and last word land");
    mmu_check(m, all_land(m, large, LOW(0x200), PAGE2M, PAGE4K), "2 MiB: every page lands");
    mmu_check(m, all_land(m, huge, MMU_HIGH_PA, PAGE1G, PAGE2M + PAGE4K),
              "1 GiB: first to last word land");
    mmu_check(m, mmu_lands(m, top + 0xFF8, LOW(0x31) + 0xFF8, true), "the last word of all lands");
    mmu_check(m,
              mmu_absent(small - 8) && mmu_absent(small + 2 * PAGE4K) && mmu_absent(large - 8) &&
                  mmu_absent(large + PAGE2M) && mmu_absent(huge - 8) && mmu_absent(huge + PAGE1G) &&
                  mmu_absent(top - 8),
              "what lies before and behind each faults");
    mmu_check(m,
              map(m, odd - PAGE4K, LOW(0x7FF), PAGE4K + PAGE2M + PAGE4K, PVI_RW) &&
                  leaf_is(m, odd - PAGE4K, 12) && leaf_is(m, odd, 21) &&
                  leaf_is(m, odd + PAGE2M, 12) &&
                  all_land(m, odd - PAGE4K, LOW(0x7FF), PAGE4K + PAGE2M + PAGE4K, PAGE4K),
              "small, large, small in one request");
    mmu_check(m,
              map(m, odd + PAGE1G, LOW(0x801), PAGE2M, PVI_RW) && leaf_is(m, odd + PAGE1G, 12) &&
                  all_land(m, odd + PAGE1G, LOW(0x801), PAGE2M, PAGE4K),
              "2 MiB of frames that are not aligned: a table of 4 KiB leaves");
    mmu_check(m, mmu_clear(m), "all of it is unmapped");
    mmu_check(m, mmu_absent(small) && mmu_absent(large) && mmu_absent(huge) && mmu_absent(top),
              "it faults");
}

void mmu_check_width(struct mmu *m, const struct pvi_pt_ops *ops)
{
    uint64_t beyond = (uint64_t)1 << m->cpu_pa_bits;
    struct mmu_answer a;

    mmu_open(m, ops, false, 0);
    mmu_check(m,
              mmu_map(m, m->va, beyond, PAGE4K, PVI_RW, false) == -PVI_ERANGE &&
                  mmu_map(m, m->va, beyond - PAGE4K, 2 * PAGE4K, PVI_RW, false) == -PVI_ERANGE,
              "no leaf leads beyond the width of physical addresses");
    mmu_close(m);
    if (m->cpu_pa_bits == 52) {
        return;
    }
    mmu_open(m, ops, false, 52);
    mmu_check(
        m, map(m, m->va, beyond, PAGE4K, PVI_RW) && map(m, m->va + PAGE1G, beyond, PAGE1G, PVI_RW),
        "a table that is told too large a width makes such leaves");
    a = mmu_load(m->va);
    mmu_check(m, a.fault != FAULT_NONE && (a.fault & FAULT_RSVD) != 0,
              "4 KiB: a reserved bit, a fault");
    a = mmu_store(m->va + PAGE1G, 0);
    mmu_check(m, a.fault != FAULT_NONE && (a.fault & FAULT_RSVD) != 0, "1 GiB: the same");
    mmu_close(m);
}

/* Rights --------------------------------------------------------------------------------------- */

static void check_users(struct mmu *m, const uint64_t at[3])
{
    struct mmu_answer own = mmu_load_supervisor(MMU_LOW_PA);
    bool user = true;
    unsigned i;

    for (i = 0; i < 3; i++) {
        user = user && mmu_load_supervisor(at[i]).fault == FAULT_P;
    }
    mmu_check(m, own.fault == FAULT_NONE && user, "every level lets users through, as devices are");
}

void mmu_check_rights(struct mmu *m)
{
    const uint64_t at[3] = {m->va, m->va + PAGE2M, m->va + PAGE1G};
    const uint64_t pa[3] = {LOW(0x21), LOW(0x200), MMU_HIGH_PA};
    const uint64_t size[3] = {PAGE4K, PAGE2M, PAGE1G};
    bool ro = true, rw = true, back = true;
    unsigned i;

    mmu_check(m,
              mmu_map(m, at[0], pa[0], PAGE4K, PVI_WRITE, false) == -PVI_EOPNOTSUPP &&
                  mmu_absent(at[0]),
              "leaves that can only be written are refused");
    for (i = 0; i < 3; i++) {
        ro = ro && map(m, at[i], pa[i], size[i], PVI_READ) &&
             mmu_lands(m, at[i] + size[i] - 8, pa[i] + size[i] - 8, false);
    }
    mmu_check(m, ro, "read only: a load lands, a store faults");
    check_users(m, at);
    for (i = 0; i < 3; i++) {
        rw = rw && mmu_rights(m, at[i], size[i], PVI_RW) == 0;
        mmu_flush(m);
        rw = rw && mmu_lands(m, at[i] + PAGE4K - 8, pa[i] + PAGE4K - 8, true) &&
             leaf_is(m, at[i], 12 + 9 * i);
    }
    mmu_check(m, rw, "made writable in place");
    for (i = 0; i < 3; i++) {
        back = back && mmu_lands(m, at[i] + PAGE4K - 8, pa[i] + PAGE4K - 8, true) &&
               mmu_rights(m, at[i], size[i], PVI_READ) == 0 &&
               mmu_lands(m, at[i] + PAGE4K - 8, pa[i] + PAGE4K - 8, true);
        mmu_flush(m);
        back = back && mmu_lands(m, at[i] + PAGE4K - 8, pa[i] + PAGE4K - 8, false);
    }
    mmu_check(m, back, "made read only again: not before the flush, and surely after it");
    mmu_check(m, mmu_rights(m, at[1] + 5 * PAGE4K, PAGE4K, PVI_RW) == 0,
              "one page of 2 MiB made writable");
    mmu_flush(m);
    mmu_check(m,
              mmu_lands(m, at[1] + 5 * PAGE4K, pa[1] + 5 * PAGE4K, true) &&
                  mmu_lands(m, at[1] + 4 * PAGE4K, pa[1] + 4 * PAGE4K, false) &&
                  mmu_lands(m, at[1] + 6 * PAGE4K, pa[1] + 6 * PAGE4K, false),
              "that page and no other");
    mmu_check(m, mmu_clear(m), "all of it is unmapped");
}

/* Staleness ------------------------------------------------------------------------------------ */

static void check_stale_size(struct mmu *m, uint64_t va, uint64_t pa, uint64_t other, uint64_t size)
{
    uint64_t in = size / 2;
    uint32_t pages;

    mmu_check(m, map(m, va, pa, size, PVI_RW) && mmu_lands(m, va + in, pa + in, true),
              "a leaf, used");
    mmu_check(m,
              mmu_map(m, va, other, size, PVI_RW, false) == -PVI_EEXIST &&
                  mmu_lands(m, va + in, pa + in, true),
              "it is not mapped over unasked");
    mmu_check(m, mmu_map(m, va, other, size, PVI_RW, true) == 0, "replaced");
    mmu_check(m, mmu_lands(m, va + in, pa + in, true), "before the flush the old frame answers");
    mmu_flush(m);
    mmu_check(m, mmu_lands(m, va + in, other + in, true), "after it the new one");
    pages = mmu_pages(m);
    mmu_check(m, mmu_unmap(m, va, size) == 0 && mmu_pages(m) == pages,
              "unmapped, no page has come back yet");
    mmu_check(m, mmu_lands(m, va + in, other + in, true),
              "before the flush the frame still answers");
    mmu_flush(m);
    mmu_check(m, mmu_absent(va + in), "after it no more");
}

void mmu_check_stale(struct mmu *m)
{
    uint64_t table = m->va + 7 * PAGE2M;

    check_stale_size(m, m->va + 0xE7 * PAGE4K, LOW(0x21), LOW(0x51), PAGE4K);
    check_stale_size(m, m->va + 9 * PAGE2M, LOW(0x200), LOW(0x400), PAGE2M);
    check_stale_size(m, m->va + 3 * PAGE1G, MMU_HIGH_PA, MMU_HIGH_PA, PAGE1G);
    mmu_check(m,
              map(m, table, LOW(0x801), PAGE2M, PVI_RW) &&
                  mmu_lands(m, table + 0xE7000, LOW(0x8E8), true),
              "a table of 4 KiB leaves, used");
    mmu_check(m, mmu_map(m, table, LOW(0x400), PAGE2M, PVI_RW, true) == 0 && leaf_is(m, table, 21),
              "a large leaf in its place");
    mmu_check(m, mmu_lands(m, table + 0xE7000, LOW(0x8E8), true),
              "before the flush the old frame answers");
    mmu_flush(m);
    mmu_check(m, all_land(m, table, LOW(0x400), PAGE2M, PAGE4K),
              "after it the new one, in all pages");
    mmu_check(m, mmu_map(m, table + 5 * PAGE4K, LOW(0x21), PAGE4K, PVI_RW, true) == 0,
              "one page of it replaced");
    mmu_flush(m);
    mmu_check(m,
              mmu_lands(m, table + 5 * PAGE4K, LOW(0x21), true) &&
                  all_land(m, table, LOW(0x400), 5 * PAGE4K, PAGE4K) &&
                  all_land(m, table + 6 * PAGE4K, LOW(0x406), PAGE2M - 6 * PAGE4K, PAGE4K),
              "that page and no other");
    mmu_check(m, mmu_clear(m), "all of it is unmapped");
}

/* Cutting and joining -------------------------------------------------------------------------- */

/* Lands before the flush, whatever the processor still holds, and after it. */
static bool lands_throughout(struct mmu *m, uint64_t va, uint64_t pa, uint64_t len, uint64_t step)
{
    bool good = all_land(m, va, pa, len, step);

    mmu_flush(m);
    return good && all_land(m, va, pa, len, step);
}

void mmu_check_split(struct mmu *m)
{
    uint64_t va = m->va + PAGE1G;
    uint64_t part = va + 77 * PAGE2M;
    uint64_t part_pa = MMU_HIGH_PA + 77 * PAGE2M;
    uint64_t step = PAGE2M + PAGE4K;
    uint32_t pages;

    mmu_check(m,
              map(m, va, MMU_HIGH_PA, PAGE1G, PVI_RW) && all_land(m, va, MMU_HIGH_PA, PAGE1G, step),
              "a leaf of 1 GiB, used");
    pages = mmu_pages(m);
    mmu_check(m,
              mmu_split(m, va, PAGE1G, 21) == 0 && leaf_is(m, va, 21) &&
                  leaf_is(m, va + PAGE1G - 1, 21),
              "split to 2 MiB");
    mmu_check(m, mmu_pages(m) == pages + 1 && lands_throughout(m, va, MMU_HIGH_PA, PAGE1G, step),
              "by one table, and it goes on translating");
    mmu_check(m,
              mmu_split(m, part, PAGE2M, 12) == 0 && leaf_is(m, part, 12) &&
                  leaf_is(m, part - 1, 21) && leaf_is(m, part + PAGE2M, 21),
              "one of them split to 4 KiB");
    mmu_check(m,
              lands_throughout(m, part, part_pa, PAGE2M, PAGE4K) &&
                  all_land(m, va, MMU_HIGH_PA, PAGE1G, step),
              "every page of it goes on translating");
    mmu_check(m, mmu_split(m, va, PAGE1G, 12) == -PVI_ENOMEM,
              "all of them to 4 KiB: not enough pages");
    mmu_check(m, lands_throughout(m, va, MMU_HIGH_PA, PAGE1G, step), "it goes on translating");
    mmu_check(m, mmu_collapse(m, va, PAGE1G) == 0 && leaf_is(m, va, 30),
              "joined: one leaf of 1 GiB again");
    mmu_check(m, lands_throughout(m, va, MMU_HIGH_PA, PAGE1G, step), "it goes on translating");
    mmu_check(m, mmu_pages(m) == pages, "every page has come back");
    mmu_check(m, unmap(m, part + 5 * PAGE4K, PAGE4K), "one page is taken out");
    mmu_check(
        m,
        mmu_absent(part + 5 * PAGE4K) && all_land(m, part, part_pa, 5 * PAGE4K, PAGE4K) &&
            all_land(m, part + 6 * PAGE4K, part_pa + 6 * PAGE4K, PAGE2M - 6 * PAGE4K, PAGE4K) &&
            all_land(m, part + PAGE2M, part_pa + PAGE2M, PAGE2M, PAGE4K) &&
            leaf_is(m, part + PAGE2M, 21),
        "that page and no other");
    mmu_check(m,
              mmu_collapse(m, va, PAGE1G) == 0 && leaf_is(m, part, 12) &&
                  mmu_absent(part + 5 * PAGE4K),
              "what has a hole is not joined");
    mmu_flush(m);
    mmu_check(m,
              map(m, part + 5 * PAGE4K, part_pa + 5 * PAGE4K, PAGE4K, PVI_READ) &&
                  mmu_collapse(m, va, PAGE1G) == 0 && leaf_is(m, part, 12),
              "nor what has another right");
    mmu_flush(m);
    mmu_check(m, mmu_rights(m, part + 5 * PAGE4K, PAGE4K, PVI_RW) == 0, "with the same right");
    mmu_flush(m);
    mmu_check(m,
              mmu_collapse(m, va, PAGE1G) == 0 && leaf_is(m, part, 30) &&
                  lands_throughout(m, va, MMU_HIGH_PA, PAGE1G, step),
              "it is one leaf again");
    mmu_check(m, mmu_clear(m), "all of it is unmapped");
}
