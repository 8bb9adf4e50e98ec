/* SPDX-License-Identifier: MIT */
/*
 * A call in one gigabyte, and after each of its reads in turn another CPU's map in another gigabyte of the same large table,
 * which links what the first had found missing. Each call ends after few reads, and does what it would have done alone.
 */
#include "between.h"
#include "lab_internal.h"

#define PAGE   0x1000ull
#define MINE   (5ull << 30)
#define OTHERS (7ull << 30)

void (*between_reads)(void);

static struct lab lab;
static struct pvi_gather other;
static unsigned reads, when; /* so far; after which of them the other one comes, 0: never */

static void map_page(struct pvi_gather *g, uint64_t iova, uint64_t len)
{
    struct pvi_pt_map r = {.iova = iova, .pa = 0x40000000 + (iova & 0x3fffffff), .len = len, .prot = PVI_RW, .shared = true};

    while (r.done < r.len) { /* a lost race for a link is a slice without progress */
        CHECK_EQ(lab.pt.cfg.ops->map(&lab.pt, NULL, &r, g), 0);
    }
}

static void other_comes(void)
{
    CHECK(++reads <= 2 * PVI_TABLE_ENTRIES);
    if (reads == when) {
        between_reads = NULL;
        map_page(&other, OTHERS, PAGE);
        between_reads = other_comes;
    }
}

/* What a walker that is not the engine's has found, and where it gets to; 0: nowhere. */
static struct lab_leaf leaf[1024];
static size_t leaves;

static uint64_t at(uint64_t iova)
{
    for (size_t i = 0; i < leaves; i++) {
        if (leaf[i].iova <= iova && iova <= lab_leaf_last(&leaf[i])) {
            return leaf[i].pa + (iova - leaf[i].iova);
        }
    }
    return 0;
}

static void unmap(uint64_t first, uint64_t len, bool holes, int expected)
{
    struct pvi_pt_unmap r = {.first = first, .last = first + len - 1, .next = first, .holes = holes, .shared = true};
    int rc = 0;

    while (rc == 0 && !r.complete) {
        reads = 0;
        rc = lab.pt.cfg.ops->unmap(&lab.pt, NULL, &r, &lab.gather);
    }
    CHECK_EQ(rc, expected);
}

static void flush(struct pvi_gather *g)
{
    const struct pvi_inv all = {.kind = PVI_INV_DOMAIN, .did = LAB_DID};

    CHECK_EQ(pvi_host_inv_submit(lab.host, &lab.unit.unit, &all, 1), 0);
    CHECK_EQ(pvi_host_inv_wait(lab.host, &lab.unit.unit), 0);
    CHECK_EQ(pvi_gather_flush(g), 0);
}

/* What the first one does, in pages. */
static const struct work {
    uint64_t nr;
    bool map, holes, there; /* there: mapped before */
} works[] = {
    {1, true, false, false}, {600, true, false, false}, {1, false, false, false}, {1, false, true, false}, {600, false, true, false},
    {600, false, false, false}, {1, false, false, true}, {600, false, false, true}, {0x40000, false, true, false},
};

/* False: all reads were done before. */
static bool once(const struct lab_format *f, unsigned levels, const struct work *w)
{
    const struct lab_cfg cfg = {.f = f, .levels = levels, .sizes = PAGE | 0x200000};
    bool came;

    lab_up(&lab, &cfg);
    check_step("work %u, after read %u", (unsigned)(w - works), when);
    pvi_gather_init(&other, lab.host, lab.hdom, f->ops);
    if (w->there) {
        map_page(&lab.gather, MINE, w->nr * PAGE);
    }
    reads = 0;
    between_reads = other_comes;
    if (w->map) {
        map_page(&lab.gather, MINE, w->nr * PAGE);
    } else {
        unmap(MINE, w->nr * PAGE, w->holes, w->there || w->holes ? 0 : -PVI_ENOENT);
    }
    between_reads = NULL;
    leaves = lab_leaves(&lab, leaf, 1024);
    CHECK(leaves <= 1024);
    came = at(OTHERS) != 0;
    CHECK_EQ(at(OTHERS), came ? 0x40000000 + (OTHERS & 0x3fffffff) : 0);
    for (uint64_t i = 0; i < w->nr; i++) {
        CHECK_EQ(at(MINE + i * PAGE), w->map ? 0x40000000 + i * PAGE : 0);
    }
    unmap(MINE, 4ull << 30, true, 0);
    flush(&lab.gather);
    flush(&other);
    lab_down(&lab);
    return came;
}

static void others_link_between_reads(void **state)
{
    struct lab_format formats[] = {lab_vtd, lab_amd};

    (void)state;
    formats[0].ops = &between_vtd_ops;
    formats[1].ops = &between_amd_ops;
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned levels = 3; levels <= 5; levels++) {
            for (unsigned i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
                for (when = 1; once(&formats[k], levels, &works[i]); when++) {
                }
                CHECK(when > 1);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_link_between_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
