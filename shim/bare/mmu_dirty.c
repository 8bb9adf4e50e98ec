/* SPDX-License-Identifier: MIT */
/* What the processor writes into tables: nothing, or D bits and only where it stored; and a random
 * run. */
#include "mmu.h"

#include "platform.h"

#define LOW(page) (MMU_LOW_PA + (uint64_t)(page)*PAGE4K)

/* Tables that hardware need not write ---------------------------------------------------------- */

/* One number for the content of all tables. */
static uint64_t tables_sum(struct mmu *m)
{
    uint64_t sum = 0;
    unsigned page, i;

    for (page = 0; page < BARE_NR_PAGES; page++) {
        const struct pvi_page *p = &m->h->record[page];

        if (p->pool != &m->pool || p->state != PVI_PAGE_TABLE) {
            continue;
        }
        for (i = 0; i < 512; i++) {
            sum = sum * 0x100000001B3u + ((const uint64_t *)(uintptr_t)p->pa.a)[i];
        }
    }
    return sum;
}

void mmu_check_preset(struct mmu *m)
{
    uint64_t bitmap[1] = {0};
    uint64_t sum;

    mmu_check(m,
              mmu_map(m, m->va, LOW(0x21), PAGE4K, PVI_RW, false) == 0 &&
                  mmu_map(m, m->va + PAGE4K, LOW(0x31), PAGE4K, PVI_READ, false) == 0 &&
                  mmu_map(m, m->va + PAGE2M, LOW(0x200), PAGE2M, PVI_RW, false) == 0 &&
                  mmu_map(m, m->va + PAGE1G, MMU_HIGH_PA, PAGE1G, PVI_RW, false) == 0,
              "leaves of all sizes");
    sum = tables_sum(m);
    mmu_check(m,
              mmu_lands(m, m->va, LOW(0x21), true) &&
                  mmu_lands(m, m->va + PAGE4K, LOW(0x31), false) &&
                  mmu_lands(m, m->va + PAGE2M, LOW(0x200), true) &&
                  mmu_lands(m, m->va + PAGE1G, MMU_HIGH_PA, true),
              "loads and stores through each");
    mmu_check(m, tables_sum(m) == sum, "the processor had nothing to write into any table");
    mmu_check(m, mmu_dirty(m, m->va, PAGE4K, false, bitmap) == -PVI_EOPNOTSUPP && bitmap[0] == 0,
              "such a table cannot tell what was written");
    mmu_check(m, mmu_clear(m), "all of it is unmapped");
}

/* Dirty tracking ------------------------------------------------------------------------------- */

/* 4 MiB: small leaves in the first half, one large leaf in the second. */
#define DIRTY_PAGES 1024u
#define DIRTY_LEN   (DIRTY_PAGES * PAGE4K)
#define NR_SMALL    64u

struct dirty {
    uint64_t want[DIRTY_PAGES / 64];
    uint64_t got[DIRTY_PAGES / 64];
};

static void want_none(struct dirty *d)
{
    memset(d->want, 0, sizeof(d->want));
}

static void want(struct dirty *d, unsigned first, unsigned nr)
{
    for (; nr > 0; nr--, first++) {
        d->want[first / 64] |= (uint64_t)1 << first % 64;
    }
}

static bool reports(struct mmu *m, struct dirty *d, bool clear)
{
    memset(d->got, 0, sizeof(d->got));
    return mmu_dirty(m, m->va, DIRTY_LEN, clear, d->got) == 0 &&
           memcmp(d->got, d->want, sizeof(d->want)) == 0;
}

static bool store(struct mmu *m, unsigned page)
{
    return mmu_store(m->va + page * PAGE4K + 8 * (page % 512), page).fault == FAULT_NONE;
}

static void check_noted(struct mmu *m, struct dirty *d)
{
    bool good = true;
    unsigned i;

    for (i = 0; i < NR_SMALL; i++) {
        good = good && mmu_load(m->va + i * PAGE4K).fault == FAULT_NONE;
    }
    good = good && mmu_load(m->va + PAGE2M).fault == FAULT_NONE;
    mmu_check(m, good && reports(m, d, false), "loads leave no trace");
    mmu_check(m,
              mmu_store(m->va + NR_SMALL * PAGE4K, 1).fault == (FAULT_P | FAULT_W) &&
                  reports(m, d, false),
              "nor does a store that is refused");
    for (i = 0; i < 8; i++) {
        good = good && store(m, i * i);
        want(d, i * i, 1);
    }
    mmu_check(m, good && reports(m, d, false), "stores: exactly the pages written");
    want(d, 512, 512);
    mmu_check(m, store(m, 512 + 300) && reports(m, d, false), "a large leaf is dirty as a whole");
    mmu_check(m, reports(m, d, true), "reported once more, and cleared");
    mmu_flush(m);
    want_none(d);
    mmu_check(m, reports(m, d, false), "all are clean");
    want(d, 9, 1);
    mmu_check(m, store(m, 9) && reports(m, d, true), "the next store is noted");
    want_none(d);
    mmu_check(m, store(m, 9) && reports(m, d, false),
              "cleared, but not flushed: a store goes unnoticed");
    mmu_flush(m);
    want(d, 9, 1);
    mmu_check(m, store(m, 9) && reports(m, d, false), "flushed: it is noted");
}

static void check_kept(struct mmu *m, struct dirty *d)
{
    mmu_check(m, mmu_rights(m, m->va + 9 * PAGE4K, PAGE4K, PVI_READ) == 0 && reports(m, d, false),
              "made read only it is still dirty");
    mmu_flush(m);
    mmu_check(m, mmu_rights(m, m->va + 9 * PAGE4K, PAGE4K, PVI_RW) == 0 && reports(m, d, true),
              "and writable again");
    mmu_flush(m);
    want_none(d);
    mmu_check(m, mmu_split(m, m->va + PAGE2M, PAGE2M, 12) == 0 && reports(m, d, false),
              "a clean large leaf, split, is clean");
    mmu_flush(m);
    want(d, 700, 1);
    mmu_check(m, store(m, 700) && reports(m, d, false),
              "a store to one page of it: exactly that one");
    want(d, 512, 512);
    mmu_check(m, mmu_collapse(m, m->va + PAGE2M, PAGE2M) == 0 && reports(m, d, false),
              "joined, it is dirty");
    mmu_flush(m);
    mmu_check(m, mmu_split(m, m->va + PAGE2M, PAGE2M, 12) == 0 && reports(m, d, true),
              "split again, every page is: nobody knows which was written");
    mmu_flush(m);
    want_none(d);
    want(d, 900, 1);
    mmu_check(m, store(m, 900) && reports(m, d, false), "cleared, and one written");
}

void mmu_check_dirty(struct mmu *m)
{
    struct dirty d;
    bool good = true;
    unsigned i, lg2;
    const uint64_t *entry;

    want_none(&d);
    for (i = 0; i < NR_SMALL; i++) {
        good =
            good && mmu_map(m, m->va + i * PAGE4K, LOW(0x21 + 3 * i), PAGE4K, PVI_RW, false) == 0;
    }
    good = good && mmu_map(m, m->va + NR_SMALL * PAGE4K, LOW(0x11), PAGE4K, PVI_READ, false) == 0;
    mmu_check(m, good && mmu_map(m, m->va + PAGE2M, LOW(0x400), PAGE2M, PVI_RW, false) == 0,
              "leaves");
    mmu_check(m, reports(m, &d, false), "they begin clean");
    check_noted(m, &d);
    entry = mmu_entry(m, m->va + 9 * PAGE4K, &lg2);
    mmu_check(m, entry && (*entry & (CPU_A | CPU_D)) == (CPU_A | CPU_D),
              "the entry itself says so");
    check_kept(m, &d);
    mmu_check(m, mmu_clear(m), "all of it is unmapped");
}

/* Random run ----------------------------------------------------------------------------------- */

/* 4 MiB around a gigabyte's border; what each page should lead to. */
#define RANDOM_PAGES  1024u
#define RANDOM_OPS    1500u
#define RANDOM_PROBES 12u

struct model {
    uint64_t va, seed;
    uint64_t pa[RANDOM_PAGES]; /* 0: nothing */
    bool writable[RANDOM_PAGES];
};

static uint64_t below(struct model *f, uint64_t n)
{
    f->seed ^= f->seed << 13;
    f->seed ^= f->seed >> 7;
    f->seed ^= f->seed << 17;
    return f->seed % n;
}

/* A map that is not to replace stops at the first page that is mapped; so does a change of rights
 * at a hole. */
static unsigned run_of(const struct model *f, unsigned first, unsigned nr, bool mapped)
{
    unsigned i;

    for (i = 0; i < nr && (f->pa[first + i] != 0) == mapped; i++) {
    }
    return i;
}

static bool do_map(struct mmu *m, struct model *f, unsigned first, unsigned nr)
{
    bool replace = below(f, 2) != 0;
    bool writable = below(f, 4) != 0;
    /* Every other time as the addresses are aligned, so that leaves of 2 MiB come about. */
    uint64_t pa = LOW(0x1000 + (below(f, 2) != 0 ? first + 512 * below(f, 8) : below(f, 0x2000)));
    unsigned done = replace ? nr : run_of(f, first, nr, false);
    int rc =
        mmu_map(m, f->va + first * PAGE4K, pa, nr * PAGE4K, writable ? PVI_RW : PVI_READ, replace);
    unsigned i;

    for (i = 0; i < done; i++) {
        f->pa[first + i] = pa + i * PAGE4K;
        f->writable[first + i] = writable;
    }
    return rc == (done == nr ? 0 : -PVI_EEXIST);
}

static bool do_rights(struct mmu *m, struct model *f, unsigned first, unsigned nr)
{
    bool writable = below(f, 2) != 0;
    unsigned done = run_of(f, first, nr, true);
    int rc = mmu_rights(m, f->va + first * PAGE4K, nr * PAGE4K, writable ? PVI_RW : PVI_READ);

    memset(&f->writable[first], writable, done);
    return rc == (done == nr ? 0 : -PVI_ENOENT);
}

static bool do_any(struct mmu *m, struct model *f)
{
    unsigned first = (unsigned)below(f, RANDOM_PAGES);
    unsigned nr = 1 + (unsigned)below(f, below(f, 3) == 0 ? RANDOM_PAGES : 40);
    uint64_t va, len;

    if (below(f, 4) == 0) {
        first &= ~0x1FFu;
        nr = 512;
    }
    nr = nr < RANDOM_PAGES - first ? nr : RANDOM_PAGES - first;
    va = f->va + first * PAGE4K;
    len = nr * PAGE4K;
    switch (below(f, 8)) {
    case 0:
    case 1:
    case 2:
        return do_map(m, f, first, nr);
    case 3:
    case 4:
        memset(&f->pa[first], 0, nr * sizeof(f->pa[0]));
        return mmu_unmap(m, va, len) == 0;
    case 5:
        return do_rights(m, f, first, nr);
    case 6:
        return mmu_split(m, va, len, 12) == 0;
    default:
        return mmu_collapse(m, va, len) == 0;
    }
}

static bool as_model(struct mmu *m, const struct model *f, unsigned page)
{
    uint64_t at = page * PAGE4K + 8 * (page % 512);

    return f->pa[page] == 0
               ? mmu_absent(f->va + at)
               : mmu_lands(m, f->va + at, f->pa[page] + at % PAGE4K, f->writable[page]);
}

void mmu_check_random(struct mmu *m)
{
    static struct model f;
    unsigned op = 0, i;
    bool good = true;

    memset(&f, 0, sizeof(f));
    f.va = m->va + PAGE1G - PAGE2M;
    f.seed = 0x2545F4914F6CDD1Du + m->levels;
    for (op = 0; op < RANDOM_OPS && good; op++) {
        good = do_any(m, &f);
        mmu_flush(m);
        for (i = 0; i < RANDOM_PROBES && good; i++) {
            good = as_model(m, &f, (unsigned)below(&f, RANDOM_PAGES));
        }
    }
    for (i = 0; i < RANDOM_PAGES && good; i++) {
        good = as_model(m, &f, i);
    }
    if (!mmu_check(m, good, "random operations: each page as the model has it")) {
        bare_print("# operation %u, page %u\n", op, i);
    }
    mmu_check(m, mmu_clear(m), "all of it is unmapped");
}
