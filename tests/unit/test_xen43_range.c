/* SPDX-License-Identifier: MIT */
/* Hypercall 43, ranges: frame numbers, counts and page sizes at their boundaries; pages larger than a frame whole or not at all. */
#include <string.h>

#include "xen43_rig.h"

#define BASE 0x40000ull /* a gigabyte up */

static const uint64_t edges[] = {
    0, 1, 0x1ff, 0x200, 0xfedff, 0xfee00, 0xfeeff, 0xfef00, 0x7ffffff, 0x8000000, 0xfcfffffff, 0xfffffffff, 0x1000000000ull,
    0xfffffffffffffull, 0x10000000000000ull, 0x7fffffffffffffffull, 0x8000000000000000ull, 0xfffffffffffffe00ull, 0xffffffffffffffffull,
};
static const uint32_t counts[] = {0, 1, 2, 0x1ff, 0x200, 0x201, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

#define NR_OF(table) (sizeof(table) / sizeof((table)[0]))

static void frames(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    x->fast = true;
    for (size_t i = 0; i < NR_OF(edges); i++) {
        for (size_t k = 0; k < NR_OF(counts); k++) {
            (void)x43_map(x, ctx, edges[i], GUEST_NONE - 2, counts[k], 3, 4096); /* beyond: no frame */
            (void)x43_unmap(x, ctx, edges[i], counts[k], 4096);
            (void)x43_map(x, ctx, 0x1000, edges[i], counts[k] % 0x210, 1, 4096);
            (void)x43_unmap(x, ctx, 0x1000, counts[k], 4096);
            (void)x43_flush(x, ctx, edges[i], counts[k], 4096);
        }
        (void)x43_lookup(x, ctx, edges[i]);
    }
    x->fast = false;
    x43_check(x);
    fx_down(f);
}

static void test_frames(void **state)
{
    (void)state;
    x43_each(frames);
}

/* What is mapped whatever order the errors come in. */
static void errors(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE + 10, GUEST_HVM, 1, 3, 4096), 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 20, 3, 4096), X43_EADDRINUSE); /* the header says -EINVAL */
    CHECK_EQ(x->counted, 10);
    CHECK_RC(x43_map(x, ctx, BASE + 0x1000, GUEST_HVM + GUEST_HVM_NR - 7, 8, 3, 4096), X43_ENOENT);
    CHECK_EQ(x->counted, 7);
    CHECK_RC(x43_map(x, ctx, BASE + 0x2000, GUEST_RO, 1, 3, 4096), X43_EPERM);
    CHECK_RC(x43_map(x, ctx, BASE + 0x2000, GUEST_RO, 1, 1, 4096), 0);
    CHECK_RC(x43_map(x, ctx, 0xfedfe, GUEST_HVM, 2, 3, 4096), 0);
    CHECK_RC(x43_map(x, ctx, 0xfeefe, GUEST_HVM, 3, 3, 4096), X43_EADDRNOTAVAIL);
    CHECK_EQ(x->counted, 0);
    CHECK_RC(x43_unmap(x, ctx, 0xfedfe, 3, 4096), X43_EADDRNOTAVAIL);
    CHECK_EQ(x->counted, 0);
    CHECK_RC(x43_unmap(x, ctx, 0xfedfe, 2, 4096), 0);
    CHECK_RC(x43_flush(x, ctx, 0xfedfe, 3, 4096), X43_EADDRNOTAVAIL);
    CHECK_RC(x43_lookup(x, ctx, 0xfee00), X43_EADDRNOTAVAIL);
    CHECK_RC(x43_map(x, ctx, f->orc.last_pfn, GUEST_HVM, 1, 3, 4096), 0);
    CHECK_RC(x43_map(x, ctx, f->orc.last_pfn, GUEST_HVM, 2, 3, 4096), X43_ERANGE);
    CHECK_RC(x43_unmap(x, ctx, f->orc.last_pfn, 2, 4096), X43_ERANGE);
    CHECK_EQ(x->counted, 0);
    CHECK_RC(x43_unmap(x, ctx, BASE, 12, 4096), X43_ENOENT);
    CHECK_EQ(x->counted, 11);
    fx_down(f);
}

static void test_errors(void **state)
{
    (void)state;
    x43_each(errors);
}

/* mapped and unmapped are added to, modulo 2^32, whatever lies there. */
static void counters(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const uint32_t before[] = {0, 1, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (size_t i = 0; i < NR_OF(before); i++) {
        x->before = before[i];
        CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 100, 3, 4096), 0);
        CHECK_EQ(x43_get(x, MAP_MAPPED), (uint32_t)(before[i] + 100));
        CHECK_RC(x43_unmap(x, ctx, BASE, 200, 4096), X43_ENOENT);
        CHECK_EQ(x43_get(x, UN_UNMAPPED), (uint32_t)(before[i] + 100));
    }
    fx_down(f);
}

static void test_counters(void **state)
{
    (void)state;
    x43_each(counters);
}

/* --- sizes of pages ------------------------------------------------------------------------------- */

static void sizes(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t size = 1u << bit;
        bool named = bit >= 12 && bit <= 21 && (f->orc.page_sizes >> bit & 1) != 0;

        check_step("pgsize 0x%x", size);
        CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 2, 3, size), named ? 0 : X43_EINVAL);
        CHECK_RC(x43_flush(x, ctx, BASE, 2, size), named ? 0 : X43_EINVAL);
        CHECK_RC(x43_unmap(x, ctx, BASE, 2, size), named ? 0 : X43_EINVAL);
        CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 2, 3, size | 1u << (bit ^ 12)), X43_EINVAL);
        CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 0, 3, size), named ? 0 : X43_EINVAL);
        CHECK_RC(x43_unmap(x, ctx, BASE, 0, size), named ? 0 : X43_EINVAL);
        if (named && bit > 12) {
            CHECK_RC(x43_map(x, ctx, BASE + 1, GUEST_PV, 1, 3, size), X43_EINVAL);
            CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV + 1, 1, 3, size), X43_EINVAL);
            CHECK_RC(x43_unmap(x, ctx, BASE + 1, 1, size), X43_EINVAL);
            CHECK_RC(x43_flush(x, ctx, BASE + 1, 1, size), X43_EINVAL);
        }
    }
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 1, 3, 0), X43_EINVAL);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 1, 3, 0xffffffff), X43_EINVAL);
    CHECK_RC(x43_unmap(x, ctx, BASE, 1, 0), X43_EINVAL);
    fx_down(f);
}

static void test_sizes(void **state)
{
    (void)state;
    x43_each(sizes);
}

/* A domain whose pages are larger than 4 KiB: only those can be named, whatever a count of small ones would add up to. */
static void test_only_large(void **state)
{
    struct fx_cfg cfg = {.kind = FX_VTD, .page_sizes = 1u << 21};
    static struct x43 x;
    static struct fx f;
    unsigned ctx;

    (void)state;
    for (unsigned compat = 0; compat < 2; compat++) {
        check_case("pages of 2 MiB only");
        x43_ready(&x, &f, &cfg, compat != 0);
        ctx = x43_context(&x, 0);
        CHECK_RC(x43_map(&x, ctx, BASE, GUEST_PV, 512, 3, 4096), X43_EINVAL);
        CHECK_RC(x43_map(&x, ctx, BASE, GUEST_PV, 3, 3, 0x200000), 0);
        CHECK_RC(x43_unmap(&x, ctx, BASE, 512, 4096), X43_EINVAL);
        CHECK_RC(x43_flush(&x, ctx, BASE, 512, 4096), X43_EINVAL);
        CHECK_RC(x43_unmap(&x, ctx, BASE, 4, 0x200000), X43_ENOENT);
        CHECK_EQ(x.counted, 3);
        fx_down(&f);
    }
}

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

static bool by_seed(void *opaque, uint64_t nr)
{
    (void)nr;
    return rnd_below(opaque, 3) == 0;
}

/* 2 MiB pages of which some frame cannot be mapped, or is not mapped: taken, a hole, no frame, a window, at each place of the page. */
static void whole(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    static const uint64_t at[] = {0, 1, 255, 256, 511};
    struct rnd rnd = {5};
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    for (unsigned round = 0; round < 3; round++) {
        pvi_posix_preempt_call(f->host, round == 0 ? NULL : round == 1 ? always : by_seed, &rnd);
        for (size_t i = 0; i < NR_OF(at); i++) {
            for (unsigned page = 0; page < 3; page++) {
                uint64_t gfn = (i & 1) != 0 ? GUEST_HVM : GUEST_PV; /* one makes small leaves only */

                check_step("round %u, frame %u of page %u", round, (unsigned)at[i], page);
                CHECK_RC(x43_map(x, ctx, BASE + page * 512 + at[i], GUEST_RO, 1, 1, 4096), 0);
                CHECK_RC(x43_map(x, ctx, BASE, gfn, 3, 3, 0x200000), X43_EADDRINUSE);
                CHECK_EQ(x->counted, page);
                CHECK_RC(x43_unmap(x, ctx, BASE, 3, 0x200000), X43_ENOENT);
                CHECK_EQ(x->counted, page);
                CHECK_RC(x43_unmap(x, ctx, BASE + page * 512 + at[i], 1, 4096), 0);
                CHECK_RC(x43_map(x, ctx, BASE, gfn, 3, 3, 0x200000), 0);
                CHECK_RC(x43_unmap(x, ctx, BASE + page * 512 + at[i], 1, 4096), 0);
                CHECK_RC(x43_unmap(x, ctx, BASE, 3, 0x200000), X43_ENOENT);
                CHECK_EQ(x->counted, page);
                for (unsigned p = page; p < 3; p++) {
                    (void)x43_unmap(x, ctx, BASE + p * 512, p == page ? (uint32_t)at[i] : 512, 4096);
                }
                (void)x43_unmap(x, ctx, BASE + page * 512 + at[i] + 1, 511 - (uint32_t)at[i], 4096);
            }
        }
        /* Frames that end in the middle of a page; a window that does. */
        CHECK_RC(x43_map(x, ctx, BASE, GUEST_SCATTER + GUEST_SCATTER_NR - 512, 2, 3, 0x200000), X43_ENOENT);
        CHECK_EQ(x->counted, 1);
        CHECK_RC(x43_unmap(x, ctx, BASE, 1, 0x200000), 0);
        CHECK_RC(x43_map(x, ctx, 0xfee00 - 1024, GUEST_PV, 3, 3, 0x200000), X43_EADDRNOTAVAIL);
        CHECK_EQ(x->counted, 0);
        CHECK_RC(x43_map(x, ctx, 0xfee00 - 1024, GUEST_PV, 2, 3, 0x200000), 0);
        CHECK_RC(x43_unmap(x, ctx, 0xfee00 - 1024, 3, 0x200000), X43_EADDRNOTAVAIL); /* judged whole before anything goes */
        CHECK_EQ(x->counted, 0);
        CHECK_RC(x43_unmap(x, ctx, 0xfee00 - 1024, 2, 0x200000), 0);
    }
    fx_down(f);
}

static void test_whole(void **state)
{
    (void)state;
    x43_each(whole);
}

/* More pages than are looked at in one go, mapped by small leaves and by large ones; counts up to the largest. */
static void many(struct x43 *x, struct fx *f, const struct fx_cfg *cfg, bool compat)
{
    unsigned ctx;

    x43_ready(x, f, cfg, compat);
    ctx = x43_context(x, 0);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 300, 3, 0x200000), 0);
    CHECK_RC(x43_unmap(x, ctx, BASE, 0x400, 0x200000), X43_ENOENT);
    CHECK_EQ(x->counted, 300);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_HVM, 5, 3, 0x200000), 0);
    CHECK_RC(x43_unmap(x, ctx, BASE, 5, 0x200000), 0);
    CHECK(x->preempted >= 4); /* 512 leaves are looked at for each: never many at once */
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 0xffffffff, 3, 0x200000), X43_ERANGE);
    CHECK_RC(x43_map(x, ctx, BASE, GUEST_PV, 3, 3, 0x200000), 0);
    CHECK_RC(x43_unmap(x, ctx, BASE, 0xffffffff, 0x200000), X43_ERANGE);
    CHECK_EQ(x->counted, 0);
    CHECK_RC(x43_flush(x, ctx, BASE, 0xffffffff, 0x200000), X43_ERANGE);
    CHECK_RC(x43_unmap(x, ctx, 0x10000000000000ull - 512, 2, 0x200000), X43_EINVAL); /* wraps */
    CHECK_RC(x43_unmap(x, ctx, 0xfffffffffffffe00ull, 1, 0x200000), X43_EINVAL);
    CHECK_RC(x43_unmap(x, ctx, 0xfffffffffffffe00ull, 2, 0x200000), X43_EINVAL);
    CHECK_RC(x43_map(x, ctx, 0xfffffffffffffe00ull, GUEST_PV, 2, 3, 0x200000), X43_EINVAL);
    CHECK_RC(x43_map(x, ctx, BASE + 0x1000, 0xfffffffffffffe00ull, 2, 3, 0x200000), X43_EINVAL);
    fx_down(f);
}

static void test_many(void **state)
{
    (void)state;
    x43_each(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames), cmocka_unit_test(test_errors), cmocka_unit_test(test_counters),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_whole),  cmocka_unit_test(test_many),   cmocka_unit_test(test_only_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
