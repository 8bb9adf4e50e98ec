/* SPDX-License-Identifier: MIT */
/*
 * DMA of a device to pages of its context: to what the model has mapped, to what it had mapped
 * (the stale ones), to what it never had. Each probe has 64 bytes of its own in source, target and
 * sink, so that one kick of a network device carries many.
 */
#include "lib_random.h"

#include <inttypes.h>
#include <string.h>

#define PROBES 64u
#define BYTES  64u
#define TRIES  200u

struct probe {
    uint64_t iova; /* with the probe's own offset in the page */
    uint64_t pa;   /* behind it, or what was behind it */
    bool write;    /* by the device */
    bool lands;
    uint8_t data[BYTES];
};

static uint64_t iova_of(uint64_t pfn, unsigned slot)
{
    return pfn * LIB_PAGE + (uint64_t)slot * BYTES;
}

/* A page of the context that is mapped, or was. */
static bool pick(struct lib_random *r, unsigned ctx, struct probe *p, unsigned slot)
{
    struct flat *f = r->flat[ctx];
    struct flat_run run;
    uint64_t pfn;
    bool mapped;

    if (r->nr_ghosts != 0 && lib_random_below(r, 2)) {
        const struct lib_ghost *g = &r->ghost[lib_random_below(r, r->nr_ghosts)];

        if (g->ctx != ctx)
            return false;
        pfn = g->pfn;
        p->pa = g->pa;
    } else {
        pfn = (r->base[lib_random_below(r, 4)] + lib_random_below(r, 3 * LIB_GIB / 2)) / LIB_PAGE;
        if (!flat_next(f, pfn, &run))
            return false;
        pfn = run.first + lib_random_below(r, run.last - run.first + 1);
    }
    mapped = flat_lookup(f, pfn, &run, &p->pa);
    /* The fixture's own pages are in use while the probes run. */
    if (pfn * LIB_PAGE - LIB_OWN_IOVA < LIB_OWN_SIZE || r->gfn_of_page[p->pa / LIB_PAGE] == 0)
        return false;
    p->iova = iova_of(pfn, slot);
    p->pa += (uint64_t)slot * BYTES;
    p->write = lib_random_below(r, 2);
    p->lands = mapped && (run.perm & (p->write ? PVI_WRITE : PVI_READ));
    return true;
}

static unsigned pick_all(struct lib_random *r, unsigned ctx, struct probe probes[PROBES])
{
    unsigned nr = 0, i;

    for (i = 0; i < TRIES && nr < PROBES; i++)
        nr += pick(r, ctx, &probes[nr], nr);
    return nr;
}

static void fresh(struct lib_random *r, uint8_t data[BYTES])
{
    unsigned i;
    uint64_t x;

    for (i = 0; i < BYTES; i += 8) {
        x = lib_random_next(r);
        memcpy(data + i, &x, 8);
    }
}

static uint64_t own_pa(struct lib_random *r, unsigned ctx, uint64_t iova)
{
    uint64_t pa = 0;

    flat_lookup(r->flat[ctx], iova / LIB_PAGE, NULL, &pa);
    return pa + iova % LIB_PAGE;
}

/* Where the other end of a copy lies. */
static uint64_t far_iova(const struct probe *p, unsigned slot)
{
    return (p->write ? LIB_SRC_IOVA : LIB_DST_IOVA) + (uint64_t)slot * BYTES;
}

static void judge_probe(struct lib_random *r, struct lib_dev *dev, const struct probe *p,
                        unsigned slot)
{
    const uint8_t *end =
        qt_ptr(r->l->qt, p->write ? p->pa : own_pa(r, dev->ctx, far_iova(p, slot)), BYTES);
    bool same = memcmp(end, p->data, BYTES) == 0;

    lib_check(r->l, same == p->lands,
              "%s of 0x%" PRIx64 " (0x%" PRIx64 ") by %04x in context %u %s",
              p->write ? "write" : "read", p->iova, p->pa, dev->rid, dev->ctx,
              same ? "is not blocked" : "does not land");
    r->probes++;
    if (p->lands)
        r->landed++;
    else
        r->refused++;
}

/* Whatever the unit recorded is one of ours that had to be refused. */
static void judge_faults(struct lib_random *r, const struct lib_dev *dev,
                         const struct probe *probes, unsigned nr)
{
    struct pvi_fault f;
    bool known;
    unsigned i;

    while (lib_next_fault(r->l, &f)) {
        known = false;
        for (i = 0; i < nr && !known; i++)
            known = !probes[i].lands && probes[i].write == f.write &&
                    f.iova == (probes[i].iova & ~(LIB_PAGE - 1)) && f.rid == dev->rid;
        lib_check(r->l, known, "fault %u of %04x at 0x%" PRIx64 ", where all is well", f.code,
                  f.rid, f.iova);
        r->faults++;
    }
}

void lib_probe_nic(struct lib_random *r, struct lib_dev *dev)
{
    struct probe probes[PROBES];
    struct qt_copy copies[PROBES];
    unsigned nr = pick_all(r, dev->ctx, probes), i, done;
    uint64_t near, far;

    /* All ends first: one frame may be mapped in several places. */
    for (i = 0; i < nr; i++) {
        struct probe *p = &probes[i];

        near = p->pa;
        far = own_pa(r, dev->ctx, far_iova(p, i));
        fresh(r, p->data);
        memset(qt_ptr(r->l->qt, p->write ? near : far, BYTES), 0xE7, BYTES);
        memcpy(qt_ptr(r->l->qt, p->write ? far : near, BYTES), p->data, BYTES);
        copies[i].src = p->write ? far_iova(p, i) : p->iova;
        copies[i].dst = p->write ? p->iova : far_iova(p, i);
        copies[i].len = BYTES;
    }
    if (nr == 0)
        return;
    if (r->l->bracket)
        r->l->bracket(r->l, true);
    done = qt_nic_copy(&dev->nic, copies, nr);
    if (r->l->bracket)
        r->l->bracket(r->l, false);
    lib_check(r->l, done == nr, "%04x did %u of %u copies: its rings are not reached", dev->rid,
              done, nr);
    for (i = 0; i < nr; i++)
        judge_probe(r, dev, &probes[i], i);
    judge_faults(r, dev, probes, nr);
}

void lib_probe_edu(struct lib_random *r, struct lib_dev *dev)
{
    struct probe p;

    if (!pick(r, dev->ctx, &p, (unsigned)lib_random_below(r, PROBES)))
        return;
    if (p.lands)
        lib_lands(r->l, dev, p.iova, p.pa, p.write ? LIB_W : LIB_R);
    else
        lib_blocked_cached(r->l, dev, p.iova, p.pa, p.write ? LIB_W : LIB_R);
    r->probes++;
}
