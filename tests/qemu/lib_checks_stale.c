/* SPDX-License-Identifier: MIT */
/*
 * What the unit still believes while a batch runs: the old translation up to our own flush, nothing
 * old from its completion on, and no frame or domain id given back before (R4, R8, R13). The probes
 * are DMAs made in the middle of pvi_submit(), where the library calls its host.
 */
#include "lib_checks.h"

#include <inttypes.h>
#include <string.h>

#define PROBE_BYTES 64u
#define PAGES_MANY  64u

/* One batch watched from inside. */
struct watch {
    struct lib *l;
    struct lib_dev *dev;
    uint64_t iova, old_pa;
    unsigned submits, waits, puts, ids;
    bool flushed;      /* a wait has returned after the last submit */
    bool old_at_first; /* the old translation answered just before the first submit */
    unsigned old_after;
    unsigned early; /* frames and ids given back before the flush was complete */
};

/* Does the device, whose buffer holds no 0xEE, still reach the old frame? */
static bool reaches_old(struct watch *w)
{
    uint8_t *old = qt_ptr(w->l->qt, w->old_pa, PROBE_BYTES);
    unsigned i;

    memset(old, 0xEE, PROBE_BYTES);
    if (w->l->bracket)
        w->l->bracket(w->l, true);
    qt_edu_dma_to_ram(&w->dev->edu, 0, w->iova, PROBE_BYTES);
    if (w->l->bracket)
        w->l->bracket(w->l, false);
    for (i = 0; i < PROBE_BYTES && old[i] != 0xEE; i++)
        continue;
    return i == PROBE_BYTES;
}

static void watching(void *opaque, enum pvi_posix_point at, bool after)
{
    struct watch *w = opaque;

    if (at == PVI_AT_INV_SUBMIT && !after) {
        if (w->submits++ == 0)
            w->old_at_first = reaches_old(w);
        w->flushed = false;
    } else if (at == PVI_AT_INV_WAIT && after) {
        w->waits++;
        w->flushed = true;
        w->old_after += reaches_old(w);
    } else if ((at == PVI_AT_FRAME_PUT || at == PVI_AT_DID_FREE) && !after) {
        if (at == PVI_AT_FRAME_PUT)
            w->puts++;
        else
            w->ids++;
        w->early += !w->flushed;
        w->old_after += reaches_old(w);
    }
}

static void watch_begin(struct watch *w, struct lib *l, struct lib_dev *dev, uint64_t iova,
                        uint64_t old_pa)
{
    uint8_t mark[PROBE_BYTES];

    memset(w, 0, sizeof(*w));
    w->l = l;
    w->dev = dev;
    w->iova = iova;
    w->old_pa = old_pa;
    memset(mark, 0x3C, sizeof(mark));
    qt_edu_load(&dev->edu, mark, sizeof(mark));
    /* The unit caches the translation now. */
    lib_check(l, reaches_old(w), "the page at 0x%" PRIx64 " is not reached to begin with", iova);
    pvi_posix_hook(l->host,
                   PVI_AT_BIT(PVI_AT_INV_SUBMIT) | PVI_AT_BIT(PVI_AT_INV_WAIT) |
                       PVI_AT_BIT(PVI_AT_FRAME_PUT) | PVI_AT_BIT(PVI_AT_DID_FREE),
                   watching, w);
}

/* The end of it: the old translation lived exactly until the flush. */
static void watch_end(struct watch *w, unsigned submits, unsigned waits)
{
    struct lib *l = w->l;

    pvi_posix_hook(l->host, 0, NULL, NULL);
    lib_check(l, w->old_at_first, "nothing stale before the flush: the check proves nothing");
    lib_check(l, w->old_after == 0, "the old translation answered %u times after the flush",
              w->old_after);
    lib_check(l, w->early == 0, "%u frames or ids were given back before the flush", w->early);
    lib_check(l, w->submits == submits && w->waits == waits,
              "%u submissions and %u waits, expected: %u and %u", w->submits, w->waits, submits,
              waits);
    lib_check(l, !reaches_old(w), "the old translation answers after the batch");
    lib_drop_faults(l);
}

void lib_check_stale_unmap(struct lib *l)
{
    uint64_t at = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0);
    struct pvi_op ops[2];
    struct watch w;

    lib_must_map(l, c, at, SMALL(200), 2, PVI_RW);
    watch_begin(&w, l, LIB_E0, at, pa_of(l, SMALL(200)));
    lib_must_unmap(l, c, at, 1);
    watch_end(&w, 1, 1);
    lib_check(l, w.puts == 1, "%u frames given back, expected: 1", w.puts);
    lib_lands(l, LIB_E0, at + LIB_PAGE, pa_of(l, SMALL(201)), LIB_RW);
    /* Replaced in one batch: one flush, after which the new translation answers. */
    watch_begin(&w, l, LIB_E0, at + LIB_PAGE, pa_of(l, SMALL(201)));
    ops[0] = lib_op_unmap(c, at + LIB_PAGE, 1);
    ops[1] = lib_op_map(c, at + LIB_PAGE, SMALL(202), 1, PVI_RW);
    lib_submit(l, ops, 2);
    lib_check(l, ops[0].status == 0 && ops[1].status == 0, "replacing in one batch");
    watch_end(&w, l->np_cache ? w.submits : 1, 1);
    lib_lands(l, LIB_E0, at + LIB_PAGE, pa_of(l, SMALL(202)), LIB_RW);
    lib_clear(l);
}

void lib_check_stale_large(struct lib *l)
{
    static const struct {
        uint64_t gfn, nr, probe; /* pages */
    } leaf[] = {
        { LIB_GFN_MEDIUM + 512 * 50, 512, 77 },
        { LIB_GFN_BIG, LIB_NR_BIG, 0x23456 },
    };
    uint64_t at = lib_high(l), probe, to;
    unsigned c = lib_context_with(l, LIB_E0), i;
    struct watch w;

    for (i = 0; i < 2; i++) {
        probe = at + leaf[i].probe * LIB_PAGE;
        to = pa_of(l, leaf[i].gfn + leaf[i].probe);
        lib_must_map(l, c, at, leaf[i].gfn, leaf[i].nr, PVI_RW);
        /* One page of it, by splitting: the cached large leaf goes, whatever the unit keeps. */
        watch_begin(&w, l, LIB_E0, probe, to);
        lib_must_unmap(l, c, probe, 1);
        watch_end(&w, 1, 1);
        lib_lands(l, LIB_E0, probe + LIB_PAGE, to + LIB_PAGE, LIB_RW);
        lib_must_map(l, c, probe, leaf[i].gfn + leaf[i].probe, 1, PVI_RW);
        /* All of it, now a tree of tables. */
        watch_begin(&w, l, LIB_E0, probe, to);
        lib_must_unmap(l, c, at, leaf[i].nr);
        watch_end(&w, w.submits, w.waits);
        lib_blocked(l, LIB_E0, at, pa_of(l, leaf[i].gfn), LIB_RW);
        /* All of it, as one leaf. */
        lib_must_map(l, c, at, leaf[i].gfn, leaf[i].nr, PVI_RW);
        lib_leaf_is(l, LIB_E0, at, pa_of(l, leaf[i].gfn), i == 0 ? 21 : 30, PVI_RW);
        watch_begin(&w, l, LIB_E0, probe, to);
        lib_must_unmap(l, c, at, leaf[i].nr);
        watch_end(&w, 1, 1);
        at += 4 * LIB_GIB;
    }
    lib_clear(l);
}

/* Scattered pages: few are named one by one, many go with their domain; one wait either way. */
void lib_check_stale_many(struct lib *l)
{
    static const unsigned sizes[] = { 8, PAGES_MANY };
    struct pvi_op ops[PAGES_MANY];
    uint64_t base = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0), turn, i, nr;
    struct watch w;

    for (turn = 0; turn < 2; turn++) {
        nr = sizes[turn];
        for (i = 0; i < nr; i++)
            ops[i] = lib_op_map(c, base + i * 3 * LIB_PAGE, SMALL(300 + i), 1, PVI_RW);
        lib_submit(l, ops, nr);
        for (i = 0; i < nr; i++)
            lib_lands(l, LIB_E0, base + i * 3 * LIB_PAGE, pa_of(l, SMALL(300 + i)), LIB_W);
        watch_begin(&w, l, LIB_E0, base + (nr - 1) * 3 * LIB_PAGE, pa_of(l, SMALL(300 + nr - 1)));
        for (i = 0; i < nr; i++)
            ops[i] = lib_op_unmap(c, base + i * 3 * LIB_PAGE, 1);
        lib_submit(l, ops, nr);
        watch_end(&w, w.submits, 1);
        lib_check(l, w.puts >= 1 && w.puts <= nr, "frames of %u pages given back in %u runs", nr,
                  w.puts);
        for (i = 0; i < nr; i++) {
            lib_check_status(l, ops[i].status, 0, "unmap of many");
            lib_blocked(l, LIB_E0, base + i * 3 * LIB_PAGE, pa_of(l, SMALL(300 + i)), LIB_W);
        }
    }
    lib_clear(l);
}

void lib_check_stale_reattach(struct lib *l)
{
    uint64_t at = lib_high(l);
    unsigned a = lib_context_with(l, LIB_E0), b = lib_context(l);
    struct watch w;

    lib_must_map(l, a, at, SMALL(400), 1, PVI_RW);
    lib_must_map(l, b, at, SMALL(401), 1, PVI_RW);
    watch_begin(&w, l, LIB_E0, at, pa_of(l, SMALL(400)));
    lib_must_reattach(l, b, LIB_E0);
    watch_end(&w, w.submits, w.waits);
    lib_check(l, w.ids == 1, "%u domain ids given back, expected: 1", w.ids);
    lib_lands(l, LIB_E0, at, pa_of(l, SMALL(401)), LIB_RW);
    /* To the default context, by freeing the one that it is in. */
    watch_begin(&w, l, LIB_E0, at, pa_of(l, SMALL(401)));
    lib_check_status(l, lib_free(l, b, PVI_FREE_REATTACH), 0, "free and reattach");
    watch_end(&w, w.submits, w.waits);
    lib_check(l, w.puts == 1 && w.ids == 1, "%u frames and %u ids given back, expected: 1 and 1",
              w.puts, w.ids);
    lib_clear(l);
}
