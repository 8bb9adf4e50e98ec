/* SPDX-License-Identifier: MIT */
/*
 * The scale: one guest with 128 contexts and a million scattered mappings of 4 KiB in each of two, by native batches. What it costs is the
 * least that a radix tree can cost, an operation costs the same at the end as at the beginning, and all comes back.
 */
#include <string.h>

#include "native_rig.h"

#define CONTEXTS 128u
#define MILLION 0x100000u /* frames, in tables that are full: 2048, and 4, and 1, and a root */
#define TABLES (2048u + 4u + 1u)
#define BATCH 2048u
#define DFN 0x400000ull

/* The host notes each frame that is pinned, and the sanitizer where from: that is most of the time that this test takes. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "malloc_context_size=1";
}

static struct fx f;
static struct nat n;

/* Each frame once, none behind its neighbour. */
static uint64_t scattered(uint64_t i)
{
    return GUEST_PV + (i * 0x9e375u & (MILLION - 1));
}

static void run(void)
{
    CHECK_RC(nat_call(&n), 0);
    for (unsigned i = 0; i < n.nr; i++) {
        CHECK_RC(nat_status(&n, i), 0);
    }
}

static uint64_t pages_used(unsigned ctx)
{
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_QUERY_USAGE, ctx, 0, 0, 0, 0);
    run();
    return nat_arg(&n, 0, 0);
}

static uint64_t free_pages(void)
{
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_QUERY_CAPS, 0, 0, 0, 0, 0);
    run();
    return nat_arg(&n, 0, 4);
}

/* What the host has been called for, and what has been stored and locked. */
static const enum pvi_posix_point points[] = {PVI_AT_FRAME_GET, PVI_AT_FRAME_PUT, PVI_AT_INV_SUBMIT, PVI_AT_INV_WAIT, PVI_AT_PREEMPT,
                                              PVI_AT_COPY_IN, PVI_AT_COPY_OUT, PVI_AT_PAGE_ALLOC, PVI_AT_MEM_ALLOC, PVI_AT_WRITE,
                                              PVI_AT_WRITEBACK, PVI_AT_LOCK};
#define POINTS (sizeof(points) / sizeof(points[0]))

/* The batch once more, with other arguments: what it has written is put back. */
static void again(uint64_t at, uint32_t step)
{
    unsigned char *e = n.mem + NAT_OPS;

    nat_put(&n, NAT_HEAD + H_NEXT, 4, 0);
    for (uint64_t i = at; i < at + BATCH * step; i += step, e += E_BYTES) {
        const uint64_t arg[2] = {DFN + i, step == 1 ? scattered(i) : step};

        memset(e + E_DONE, 0, 8);
        memcpy(e + E_ARG, arg, sizeof(arg));
    }
}

/* Operations of `step` pages each for a million pages; then the first and the last tenth cost the same, within one in two hundred. */
static void million(unsigned code, unsigned ctx, uint32_t step)
{
    static uint64_t first[POINTS], last[POINTS];
    const uint32_t each = BATCH * step, tenth = MILLION / 10 / each * each;

    nat_begin(&n, 0);
    while (n.nr < BATCH) {
        nat_op(&n, code, ctx, code == PVI_NATIVE_MAP ? 3 : 0, 0, 0, code == PVI_NATIVE_MAP ? 1 : 0);
    }
    for (uint32_t at = 0; at < MILLION; at += each) {
        if (at == 0 || at == MILLION - tenth) {
            pvi_posix_calls_reset(f.host);
        }
        again(at, step);
        run();
        if (at + each == tenth || at + each == MILLION) {
            for (unsigned p = 0; p < POINTS; p++) {
                (at + each == tenth ? first : last)[p] = pvi_posix_calls(f.host, points[p]);
            }
        }
    }
    for (unsigned p = 0; p < POINTS; p++) {
        uint64_t more = first[p] > last[p] ? first[p] - last[p] : last[p] - first[p];

        check_case("operation %u, point %u: %llu calls in the first tenth, %llu in the last", code, points[p],
                   (unsigned long long)first[p], (unsigned long long)last[p]);
        CHECK(more <= 8 + first[p] / 200);
    }
    CHECK_EQ(first[5], tenth / step + tenth / each); /* each element is read once */
}

static void test_scale(void **state)
{
    struct fx_cfg cfg = {.kind = FX_NULL, .no_init = true};
    struct pvi_domain_cfg dc;
    uint64_t before, mem, all, one;

    (void)state;
    fx_machine(&f, &cfg);
    dc = fx_domain_cfg(&f);
    dc.max_contexts = CONTEXTS;
    dc.max_pages = 2 * TABLES + CONTEXTS + 2;
    fx_domain(&f, &dc);
    nat_attach(&n, &f);
    before = pvi_posix_mem_used(f.host);
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_INIT, 0, 0, CONTEXTS, dc.max_pages, 0);
    run();
    all = free_pages();
    CHECK_EQ(all, dc.max_pages);

    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_ALLOC_CONTEXT, 0, 0, 0, 0, 0);
    run();
    mem = pvi_posix_mem_used(f.host);
    one = sizeof(struct pvi_context);
    CHECK(mem - before <= one + CONTEXTS * sizeof(void *) + 64);
    CHECK_EQ(all - free_pages(), 1); /* a root */
    nat_begin(&n, 0);
    for (unsigned i = 1; i < CONTEXTS; i++) {
        nat_op(&n, PVI_NATIVE_ALLOC_CONTEXT, 0, 0, 0, 0, 0);
    }
    run();
    CHECK_EQ(pvi_posix_mem_used(f.host) - mem, (CONTEXTS - 1) * one);
    CHECK_EQ(all - free_pages(), CONTEXTS);
    nat_begin(&n, 0);
    nat_op(&n, PVI_NATIVE_REATTACH_DEVICE, 1, 0, f.dev[0].sbdf.v, 0, 0);
    nat_op(&n, PVI_NATIVE_REATTACH_DEVICE, CONTEXTS, 0, f.dev[1].sbdf.v, 0, 0);
    run();

    million(PVI_NATIVE_MAP, 1, 1);
    CHECK_EQ(pages_used(1), TABLES + 1);
    million(PVI_NATIVE_MAP, CONTEXTS, 1);
    CHECK_EQ(pages_used(CONTEXTS), TABLES + 1);
    CHECK_EQ(pages_used(2), 1);
    CHECK_EQ(all - free_pages(), 2 * TABLES + CONTEXTS);
    CHECK_EQ(pvi_posix_mem_used(f.host) - mem, (CONTEXTS - 1) * one); /* mappings cost tables and nothing else */

    million(PVI_NATIVE_UNMAP, 1, 8);
    nat_begin(&n, 0);
    for (unsigned i = 1; i <= CONTEXTS; i++) { /* one of them with all that is mapped in it */
        nat_op(&n, PVI_NATIVE_FREE_CONTEXT, i, 1, 0, 0, 0);
    }
    run();
    CHECK_EQ(free_pages(), all);
    CHECK(pvi_posix_hdom_balanced(f.hdom));
    fx_end(&f, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scale)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
