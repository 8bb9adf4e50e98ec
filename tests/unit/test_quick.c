/* SPDX-License-Identifier: MIT */
/*
 * The engine's short ways: single leaves put and taken without looking at what is around them, slices that go on from
 * table to table, tables that are taken ahead. Each is asked for what only the long way would notice, with the table there.
 */
#include <string.h>

#include <pviommu/gather.h>
#include <pviommu_posix.h>

#include "fixture.h"

#define PAGE (1ull << 12)
#define MIB2 (1ull << 21)
#define GIB  (1ull << 30)
#define PA   (1ull << 40) /* of what is mapped: nobody's, owes nothing */

#define POOL 512u

#define NR_FORMATS 4u
static const struct pvi_pt_ops *const formats[NR_FORMATS] = {
    &pvi_vtd_ss_ops, &pvi_vtd_fs_ops, &pvi_amdvi_v1_ops, &pvi_amdvi_v2_ops};

/* Two tables of one pool, and one gather. */
static struct rig {
    struct pvi_host *host;
    struct pvi_pool pool;
    struct pvi_quota quota[2];
    struct pvi_pt pt[2];
    struct pvi_gather g;
} rig;

static struct pvi_pt_cfg config(const struct pvi_pt_ops *ops, uint64_t sizes)
{
    return (struct pvi_pt_cfg){
        .ops = ops, .page_sizes = sizes, .levels = 4, .iova_bits = 46, .pa_bits = 46, .coherent = true};
}

static void up(const struct pvi_pt_cfg *cfg, uint32_t pages)
{
    uint32_t grown;

    memset(&rig, 0, sizeof(rig));
    rig.host = pvi_posix_new(&(struct pvi_posix_cfg){.pa = 0x100000000ull, .size = (uint64_t)(POOL + 8) * PAGE});
    CHECK(rig.host);
    pvi_pool_init(&rig.pool, rig.host);
    CHECK_EQ(pvi_pool_grow(&rig.pool, pages, &grown), 0);
    pvi_gather_init(&rig.g, rig.host, NULL, cfg->ops);
    for (unsigned i = 0; i < 2; i++) {
        rig.quota[i].limit = UINT32_MAX;
        CHECK_EQ(pvi_pt_init(&rig.pt[i], cfg, &rig.pool, &rig.quota[i]), 0);
    }
}

static void used(unsigned i, uint32_t tables)
{
    CHECK_EQ(pvi_quota_used(&rig.pool, &rig.quota[i]), tables);
}

/* One slice. */
static int map_slice(unsigned i, struct pvi_pt_map *m)
{
    return rig.pt[i].cfg.ops->map(&rig.pt[i], NULL, m, &rig.g);
}

static int map(unsigned i, uint64_t iova, uint64_t pa, uint64_t len, unsigned prot)
{
    struct pvi_pt_map m = {.iova = iova, .pa = pa, .len = len, .prot = (uint8_t)prot};
    int rc = 0;

    while (rc == 0 && m.done < len) {
        rc = map_slice(i, &m);
    }
    return rc;
}

static int unmap(unsigned i, uint64_t first, uint64_t len, uint64_t *removed)
{
    struct pvi_pt_unmap u = {.first = first, .last = first + (len - 1), .next = first};
    int rc = 0;

    while (rc == 0 && !u.complete) {
        rc = rig.pt[i].cfg.ops->unmap(&rig.pt[i], NULL, &u, &rig.g);
    }
    if (removed) {
        *removed = u.removed;
    }
    return rc;
}

/* Is there a leaf of that size, onto that address? pa 0: nothing is there. */
static void there(unsigned i, uint64_t iova, uint64_t pa, uint64_t size)
{
    struct pvi_pt_leaf leaf;
    int rc = rig.pt[i].cfg.ops->lookup(&rig.pt[i], iova, &leaf);

    CHECK_EQ(rc, pa == 0 ? -PVI_ENOENT : 0);
    if (pa != 0) {
        CHECK_EQ(leaf.pa, pa);
        CHECK_EQ(1ull << leaf.lg2, size);
    }
}

static void unmap_all(unsigned i)
{
    struct pvi_pt_unmap u = {.last = rig.pt[i].table_last, .holes = true};

    while (!u.complete) {
        int rc = rig.pt[i].cfg.ops->unmap(&rig.pt[i], NULL, &u, &rig.g);

        CHECK(rc == 0 || rc == -PVI_EBUSY);
        CHECK_EQ(pvi_gather_flush(&rig.g), 0);
    }
    used(i, 1);
}

/* All goes, and every page comes back. */
static void down(void)
{
    for (unsigned i = 0; i < 2; i++) {
        unmap_all(i);
        pvi_pt_fini(&rig.pt[i]);
        used(i, 0);
    }
    CHECK_EQ(rig.pool.nr_free, rig.pool.nr_pages);
    pvi_posix_free(rig.host);
}

/* --- single leaves --------------------------------------------------------------------------------------- */

static const uint64_t leaf_sizes[3] = {PAGE, MIB2, GIB};

/* Behind the last address, in tables that are there: nothing is mapped, and nothing goes that the index wraps to. */
static void beyond_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        const struct pvi_pt_cfg cfg = config(formats[i], PAGE | MIB2 | GIB);

        up(&cfg, POOL);
        for (unsigned k = 0; k < 3; k++) {
            uint64_t size = leaf_sizes[k], end = 1ull << 46, reach = rig.pt[0].table_last + 1, removed;

            check_case("%s, %llu bytes", formats[i]->name, (unsigned long long)size);
            CHECK_EQ(map(0, end - size, PA, size, PVI_RW), 0);
            CHECK_EQ(map(0, 0, PA + GIB, size, PVI_RW), 0);
            CHECK_EQ(map(0, 2 * size, PA, size, PVI_RW), 0);
            CHECK_EQ(map(0, end, PA, size, PVI_RW), -PVI_ERANGE);
            there(0, end, 0, 0);
            CHECK_EQ(map(0, size, 1ull << 46, size, PVI_RW), -PVI_ERANGE);
            there(0, size, 0, 0);
            CHECK_EQ(map(0, reach + size, PA, size, PVI_RW), -PVI_ERANGE);
            there(0, size, 0, 0);
            CHECK_EQ(unmap(0, reach, size, &removed), -PVI_ERANGE);
            CHECK_EQ(removed, 0);
            there(0, 0, PA + GIB, size);
            CHECK_EQ(map(0, size, (1ull << 46) - size, size, PVI_RW), 0); /* the last frame */
            CHECK_EQ(unmap(0, 0, 3 * size, &removed), 0);
            CHECK_EQ(removed, 3 * size);
            CHECK_EQ(unmap(0, end - size, size, &removed), 0);
            CHECK_EQ(removed, size);
        }
        down();
        for (unsigned k = 1; k < 3; k++) { /* frames that end in the middle of a leaf */
            struct pvi_pt_cfg small = cfg;

            small.pa_bits = (uint8_t)(__builtin_ctzll(leaf_sizes[k]) - 1);
            up(&small, POOL);
            CHECK_EQ(map(0, 2 * leaf_sizes[k], 0, PAGE, PVI_RW), 0);
            CHECK_EQ(map(0, 0, 0, leaf_sizes[k], PVI_RW), -PVI_ERANGE);
            there(0, 0, 0, 0);
            down();
        }
    }
}

/* No leaf of a size that the table must not have, though its level is there; none over what is mapped. */
static void by_the_rules(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        for (unsigned k = 1; k < 3; k++) {
            uint64_t size = leaf_sizes[k], part = leaf_sizes[k - 1];
            const struct pvi_pt_cfg cfg = config(formats[i], k == 1 ? PAGE : PAGE | MIB2);
            struct pvi_pt_map m = {.iova = size, .pa = PA, .len = size, .prot = PVI_RW};

            check_case("%s, %llu bytes", formats[i]->name, (unsigned long long)size);
            up(&cfg, POOL);
            CHECK_EQ(map(0, 0, PA, part, PVI_RW), 0);
            while (m.done < size) {
                CHECK_EQ(map_slice(0, &m), 0);
            }
            there(0, size, PA, part);
            there(0, 2 * size - part, PA + size - part, part);
            CHECK_EQ(map(0, size + part, PA, part, PVI_RW), -PVI_EEXIST);
            there(0, size + part, PA + part, part);
            CHECK_EQ(map(0, 3 * size, PA, part, 0), -PVI_EOPNOTSUPP);
            CHECK_EQ(map(0, part, PA, part, 0), -PVI_EOPNOTSUPP);
            there(0, part, 0, 0);
            down();
        }
    }
}

/* The last leaf of a table takes its tables along where that is asked for, else only with a range that covers them. */
static void last_of_its_table(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        for (unsigned k = 0; k < 6; k++) {
            struct pvi_pt_cfg cfg = config(formats[i], PAGE | MIB2 | GIB);
            uint64_t size = leaf_sizes[k % 3];
            uint32_t tables = 3 - k % 3;

            check_case("%s, %llu bytes, %s", formats[i]->name, (unsigned long long)size, k < 3 ? "trim" : "no trim");
            cfg.trim = k < 3;
            up(&cfg, POOL);
            CHECK_EQ(map(0, 5 * size, PA, size, PVI_RW), 0);
            CHECK_EQ(map(0, 7 * size, PA, size, PVI_RW), 0);
            used(0, 1 + tables);
            CHECK_EQ(unmap(0, 7 * size, size, NULL), 0);
            CHECK_EQ(rig.g.nr_tables, 0);
            CHECK_EQ(unmap(0, 5 * size, size, NULL), 0);
            CHECK_EQ(rig.g.nr_tables, cfg.trim ? tables : 0);
            CHECK_EQ(pvi_gather_flush(&rig.g), 0);
            used(0, cfg.trim ? 1 : 1 + tables);
            down();
        }
    }
}

/* In tables that other gigabytes' calls use at the same time no leaf comes or goes before the call has them alone. */
static void leaves_of_a_gigabyte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        const struct pvi_pt_cfg cfg = config(formats[i], PAGE | MIB2 | GIB);
        struct pvi_pt_map m = {.iova = GIB, .pa = PA, .len = GIB, .prot = PVI_RW, .shared = true};
        struct pvi_pt_unmap u = {.first = GIB, .next = GIB, .last = 2 * GIB - 1, .shared = true};

        check_case("%s", formats[i]->name);
        up(&cfg, POOL);
        CHECK_EQ(map(0, 3 * GIB, PA, GIB, PVI_RW), 0);
        CHECK_EQ(map_slice(0, &m), PVI_PT_ALONE);
        CHECK_EQ(m.done, 0);
        there(0, GIB, 0, 0);
        m.shared = false;
        CHECK_EQ(map_slice(0, &m), 0);
        CHECK_EQ(cfg.ops->unmap(&rig.pt[0], NULL, &u, &rig.g), PVI_PT_ALONE);
        CHECK(u.removed == 0 && !u.complete);
        there(0, GIB, PA, GIB);
        u.shared = false;
        CHECK_EQ(cfg.ops->unmap(&rig.pt[0], NULL, &u, &rig.g), 0);
        CHECK(u.removed == GIB && u.complete);
        down();
    }
}

/* --- to the end of the gigabyte -------------------------------------------------------------------------- */

static pvi_pa list[32];

/* A request across the end: the first call stops there at the latest if it shares the table, else it goes on. */
static void across(struct pvi_pt_map m, bool shared, bool ready)
{
    uint64_t end = GIB - m.iova, step = m.len / 32, at;

    check_step("%s, %s, from 0x%llx", shared ? "shared" : "alone", ready ? "tables there" : "no tables",
               (unsigned long long)m.iova);
    m.shared = shared;
    if (ready) {
        CHECK_EQ(map(0, GIB - 32 * step, PA, step, PVI_RW), 0);
        CHECK_EQ(map(0, GIB + 31 * step, PA, step, PVI_RW), 0);
    }
    while (m.done < end) {
        CHECK_EQ(map_slice(0, &m), 0);
        CHECK(m.done <= end || !shared);
        for (at = shared ? end : m.done; at < m.len; at += step) {
            there(0, m.iova + at, 0, 0);
        }
    }
    CHECK_EQ(m.done, shared ? end : m.len);
    while (m.done < m.len) {
        CHECK_EQ(map_slice(0, &m), 0);
    }
    CHECK_EQ(unmap(0, m.iova, m.len, &at), 0);
    CHECK_EQ(at, m.len);
    unmap_all(0);
}

static void unmap_across(bool shared)
{
    struct pvi_pt_unmap u = {
        .first = GIB - 16 * PAGE, .next = GIB - 16 * PAGE, .last = GIB + 16 * PAGE - 1, .shared = shared};

    check_step("unmap, %s", shared ? "shared" : "alone");
    CHECK_EQ(map(0, u.first, PA, 32 * PAGE, PVI_RW), 0);
    CHECK_EQ(rig.pt[0].cfg.ops->unmap(&rig.pt[0], NULL, &u, &rig.g), 0);
    CHECK_EQ(u.complete, !shared);
    if (shared) {
        CHECK_EQ(u.next, GIB);
        CHECK_EQ(u.removed, 16 * PAGE);
        there(0, GIB, PA + 16 * PAGE, PAGE);
        CHECK_EQ(rig.pt[0].cfg.ops->unmap(&rig.pt[0], NULL, &u, &rig.g), 0);
    }
    CHECK(u.complete && u.removed == 32 * PAGE);
}

static void one_gigabyte_a_call(void **state)
{
    static const struct {
        unsigned before; /* of 32 pages, or leaves of 2 MiB, so many lie before the border */
        bool large, scattered, ready;
    } cases[6] = {{16, false, false, false}, {16, true, false, false}, {16, false, true, false},
                  {24, false, false, true},  {24, true, false, true},  {24, false, true, true}};

    (void)state;
    for (unsigned n = 0; n < 32; n++) {
        list[n].a = PA + (n * 7 % 32) * PAGE;
    }
    for (unsigned i = 0; i < 2 * NR_FORMATS; i++) {
        struct pvi_pt_cfg cfg = config(formats[i / 2], PAGE | MIB2);

        cfg.coherent = i % 2 == 0;
        for (unsigned k = 0; k < 12; k++) {
            uint64_t size = cases[k / 2].large ? MIB2 : PAGE;
            struct pvi_pt_map m = {
                .iova = GIB - cases[k / 2].before * size, .pa = PA, .len = 32 * size, .prot = PVI_RW};

            check_case("%s, %scoherent, case %u", formats[i / 2]->name, i % 2 ? "not " : "", k / 2);
            m.list = cases[k / 2].scattered ? list : NULL;
            up(&cfg, POOL);
            across(m, k % 2 == 0, cases[k / 2].ready);
            unmap_across(k % 2 == 0);
            down();
        }
    }
}

/* --- taken ahead ----------------------------------------------------------------------------------------- */

/* Tables of the last level that pages in a range need, and all below the root in one gigabyte. */
static uint32_t needed(uint64_t iova, uint64_t len)
{
    return (uint32_t)(((iova + len - 1) >> 21) - (iova >> 21) + 1) + 2;
}

static struct pvi_pt_map shared_map(uint64_t iova, uint64_t len)
{
    return (struct pvi_pt_map){
        .iova = iova, .pa = PA + (iova & (MIB2 - 1)) + PAGE, .len = len, .prot = PVI_RW, .shared = true};
}

/* Never more than the request needs, and what a flush finds unused comes back. */
static void ahead_and_back(void **state)
{
    struct rnd rnd = {7};

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        const struct pvi_pt_cfg cfg = config(formats[i % NR_FORMATS], PAGE);
        uint64_t iova = GIB + rnd_below(&rnd, 4096) * PAGE, len = (1 + rnd_below(&rnd, 16384)) * PAGE;
        struct pvi_pt_map m = i < NR_FORMATS ? shared_map(GIB, 8 * MIB2) : shared_map(iova, len);
        uint32_t all = 1 + needed(m.iova, m.len);
        bool flushed = i % 8 < 4;

        check_case("%s, 0x%llx bytes at 0x%llx, %s", cfg.ops->name, (unsigned long long)m.len,
                   (unsigned long long)m.iova, flushed ? "flushed on the way" : "in one go");
        up(&cfg, POOL);
        CHECK(pvi_gather_empty(&rig.g));
        do {
            CHECK_EQ(map_slice(0, &m), 0);
            CHECK(pvi_quota_used(&rig.pool, &rig.quota[0]) <= all);
            CHECK(rig.g.spare || i >= NR_FORMATS || m.done > 6 * MIB2); /* the case that it is for */
            if (flushed) {
                CHECK_EQ(pvi_gather_flush(&rig.g), 0);
                CHECK(pvi_gather_empty(&rig.g));
                used(0, 1 + needed(m.iova, m.done));
                CHECK_EQ(rig.pool.nr_free, POOL - 1 - pvi_quota_used(&rig.pool, &rig.quota[0]));
            }
        } while (m.done < m.len);
        used(0, all);
        for (uint64_t at = 0; at < m.len; at += PAGE * 61) {
            there(0, m.iova + at, m.pa + at, PAGE);
        }
        down();
    }
}

/* A request that is given up: its pages wait in the gather until the flush. */
static void given_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        const struct pvi_pt_cfg cfg = config(formats[i], PAGE);
        struct pvi_pt_map m = shared_map(GIB, 16 * MIB2);

        check_case("%s", formats[i]->name);
        up(&cfg, POOL);
        CHECK_EQ(map_slice(0, &m), 0);
        CHECK(pvi_quota_used(&rig.pool, &rig.quota[0]) > 1 + needed(GIB, m.done));
        rig.g.nr_ranges = 0; /* as where additions need no flush */
        CHECK(!pvi_gather_empty(&rig.g));
        CHECK_EQ(pvi_gather_flush(&rig.g), 0);
        CHECK(pvi_gather_empty(&rig.g));
        used(0, 1 + needed(GIB, m.done));
        CHECK_EQ(rig.pool.nr_free + rig.quota[0].used + 1, POOL);
        down();
    }
}

static struct fx fx;

/* Between two operations of a batch: pages of the first context's share, and how often that was seen. */
static struct {
    uint32_t used;
    unsigned times;
} between;

static void look_between(void *opaque, enum pvi_posix_point at, bool after)
{
    (void)opaque;
    (void)at;
    if (!after && fx.batch.next > 0) {
        between.used = fx.dom.slot[0]->quota.used;
        between.times++;
    }
}

/* A map that ends, whether it is complete or not, keeps none from other CPUs while its batch goes on. */
static void back_with_the_operation(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * NR_FORMATS; i++) {
        uint64_t sizes = i % 3 == 2 ? PAGE | MIB2 : PAGE, first = i % 3 == 2 ? 0x401ff : 0x40000;

        check_case("between operations, %s, %u", formats[i / 3]->name, i % 3);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .format = formats[i / 3], .page_sizes = sizes});
        CHECK_EQ(fx_context(&fx, 0), 1);
        fx_begin(&fx);
        fx_map(&fx, 1, i % 3 == 0 ? 0x40600 : 0x7ffff, GUEST_PV, 1, PVI_RW); /* in its way; at the gigabyte's end */
        CHECK_EQ(fx_submit(&fx), 0);
        fx_begin(&fx);
        fx_map(&fx, 1, first, GUEST_PV + (first & 0x1ff), 0x2000, PVI_RW);
        fx_lookup(&fx, 1, 0x40000);
        between.times = 0;
        pvi_posix_hook(fx.host, PVI_AT_BIT(PVI_AT_PREEMPT), look_between, NULL);
        CHECK_EQ(fx_submit(&fx), 0);
        pvi_posix_hook(fx.host, 0, NULL, NULL);
        CHECK_EQ(fx.op[0].status, i % 3 == 0 ? -PVI_EEXIST : 0);
        CHECK_EQ(fx.op[0].done, i % 3 == 0 ? 0x600 : 0x2000);
        CHECK(between.times > 0);
        CHECK_EQ(between.used, fx.dom.slot[0]->quota.used); /* the flush finds none */
        fx_end(&fx, false);
    }
}

/* What waits for one share is not for another: each pays for its own tables. */
static void for_one_share_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        const struct pvi_pt_cfg cfg = config(formats[i], PAGE);
        struct pvi_pt_map m = shared_map(GIB, 16 * MIB2);

        check_case("%s", formats[i]->name);
        up(&cfg, POOL);
        CHECK_EQ(map(1, GIB, PA, PAGE, PVI_RW), 0); /* its next table is one alone, as those that wait are */
        CHECK_EQ(map_slice(0, &m), 0);
        CHECK(rig.g.spare);
        used(1, 1 + 3);
        CHECK_EQ(map(1, GIB + MIB2, PA, PAGE, PVI_RW), 0);
        used(1, 1 + 4);
        used(0, 1 + needed(GIB, m.done)); /* the others have gone back to whom they belong */
        while (m.done < m.len) {
            CHECK_EQ(map_slice(0, &m), 0);
        }
        CHECK_EQ(pvi_gather_flush(&rig.g), 0);
        used(0, 1 + needed(GIB, m.len));
        used(1, 1 + 4);
        down();
    }
}

/* Pages of one share, as many as were asked for. */
static struct pvi_page *take(unsigned i, uint32_t nr, uint32_t more)
{
    struct pvi_page *first = NULL, *p;
    uint32_t got = 0;

    CHECK_EQ(pvi_gather_take(&rig.g, &rig.pool, &rig.quota[i], nr, more, &first), 0);
    for (p = first; p && got <= nr; p = p->next, got++) {
        CHECK_EQ(p->quota, &rig.quota[i]);
        CHECK_EQ(p->state, PVI_PAGE_TABLE);
    }
    CHECK_EQ(got, nr);
    return first;
}

/* More at once than a request has ahead, and a share that may have none: what waits goes back. */
static void of_no_use(void **state)
{
    const struct pvi_pt_cfg cfg = config(formats[0], PAGE);
    struct pvi_page *a, *b;

    (void)state;
    check_case("more at once than wait");
    up(&cfg, POOL);
    a = take(0, 3, 4);
    used(0, 1 + 7);
    b = take(0, 2, 0);
    used(0, 1 + 5);
    pvi_pool_put_list(&rig.pool, a);
    pvi_pool_put_list(&rig.pool, b);
    check_case("none for the other share");
    a = take(0, 1, 4);
    rig.quota[1].limit = 1;
    CHECK_EQ(pvi_gather_take(&rig.g, &rig.pool, &rig.quota[1], 1, 4, &b), -PVI_EQUOTA);
    used(0, 1 + 1);
    CHECK_EQ(pvi_gather_flush(&rig.g), 0);
    pvi_pool_put(&rig.pool, a);
    down();
}

/* Another CPU's small request is not refused for what a long one wants to have beforehand. */
static void not_near_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * NR_FORMATS; i++) {
        const struct pvi_pt_cfg cfg = config(formats[i / 2], PAGE);
        struct pvi_pt_map m = shared_map(GIB, 16 * MIB2), small = shared_map(2 * GIB, PAGE);
        struct pvi_gather theirs;

        check_case("%s, end of the %s", formats[i / 2]->name, i % 2 ? "share" : "pool");
        up(&cfg, i % 2 ? POOL : 2 + 3 + 9);
        rig.quota[0].limit = i % 2 ? 1 + 3 + 9 : UINT32_MAX;
        CHECK_EQ(map_slice(0, &m), 0);
        used(0, 1 + 3);
        pvi_gather_init(&theirs, rig.host, NULL, cfg.ops);
        for (unsigned k = 0; k < 8; k++) { /* two tables, then one each */
            small.done = 0;
            CHECK_EQ(cfg.ops->map(&rig.pt[0], NULL, &small, &theirs), 0);
            small.iova += MIB2;
        }
        used(0, 1 + 3 + 9);
        CHECK_EQ(pvi_gather_flush(&theirs), 0);
        CHECK_EQ(map_slice(0, &m), i % 2 ? -PVI_EQUOTA : -PVI_ENOMEM);
        down();
    }
}

/* Hardware has never seen them: a flush that fails takes none of them along. */
static void back_though_the_flush_failed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NR_FORMATS; i++) {
        struct pvi_pt_map m = shared_map(5 * GIB, 16 * MIB2);
        struct pvi_context *ctx;
        uint32_t free, linked;

        check_case("failed flush, %s", formats[i]->name);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .format = formats[i]});
        CHECK_EQ(fx_context(&fx, 0), 1);
        ctx = fx.dom.slot[0];
        pvi_gather_init(&rig.g, fx.host, fx.hdom, fx.dom.table.ops);
        free = fx.dom.pool.nr_free;
        CHECK_EQ(ctx->pt.cfg.ops->map(&ctx->pt, ctx, &m, &rig.g), 0);
        linked = ctx->pt.cfg.levels - 1u;
        CHECK(free - fx.dom.pool.nr_free > linked);
        pvi_gather_range(&rig.g, ctx, m.iova, m.iova + m.done - 1, false, false);
        fx.unit[0].null.fail_submit = true;
        CHECK_EQ(pvi_gather_flush(&rig.g), -PVI_EHW);
        CHECK_EQ(ctx->quota.used, 1 + linked);
        CHECK_EQ(fx.dom.pool.nr_free, free - linked);
        CHECK_EQ(fx.dom.pool.nr_lost, 0);
        fx_end(&fx, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beyond_the_end),
        cmocka_unit_test(by_the_rules),
        cmocka_unit_test(last_of_its_table),
        cmocka_unit_test(leaves_of_a_gigabyte),
        cmocka_unit_test(one_gigabyte_a_call),
        cmocka_unit_test(ahead_and_back),
        cmocka_unit_test(given_up),
        cmocka_unit_test(back_with_the_operation),
        cmocka_unit_test(for_one_share_only),
        cmocka_unit_test(of_no_use),
        cmocka_unit_test(not_near_the_end),
        cmocka_unit_test(back_though_the_flush_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
