/* SPDX-License-Identifier: MIT */
/* The userspace host: pages, memory, frames of guests, units, registers and knobs. */
#include <pviommu/pool.h>
#include <pviommu_posix.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB  0x100000ull
#define BASE 0x40000000ull

static struct pvi_host *host_new(uint64_t size)
{
    struct pvi_posix_cfg cfg = {.pa = BASE, .size = size};
    struct pvi_host *h = pvi_posix_new(&cfg);

    assert_non_null(h);
    return h;
}

static void host_end(struct pvi_host *h)
{
    const char *why;

    if (!pvi_posix_balanced(h, &why)) {
        fail_msg("%s", why);
    }
    pvi_posix_free(h);
}

static void scrub(struct pvi_host *h, uint64_t pa, uint64_t nr)
{
    memset(pvi_posix_ptr(h, pa, nr * PVI_PAGE_SIZE), 0, nr * PVI_PAGE_SIZE);
}

static void cfg_is_checked(void **state)
{
    struct pvi_posix_cfg cfg = {.pa = BASE, .size = MIB};

    (void)state;
    cfg.size = 0;
    assert_null(pvi_posix_new(&cfg));
    cfg.size = MIB + 1;
    assert_null(pvi_posix_new(&cfg));
    cfg.size = MIB;
    cfg.pa = 0x800;
    assert_null(pvi_posix_new(&cfg));
    cfg.pa = UINT64_MAX & ~PVI_PAGE_MASK;
    assert_null(pvi_posix_new(&cfg));
    cfg.pa = BASE;
    cfg.pages_first = MIB;
    assert_null(pvi_posix_new(&cfg));
    cfg.pages_first = MIB / 2;
    cfg.pages_size = MIB;
    assert_null(pvi_posix_new(&cfg));
}

static void pages_run_out_and_come_back(void **state)
{
    struct pvi_host *h = host_new(64 * PVI_PAGE_SIZE);
    pvi_pa pa[64], more;
    bool seen[64] = {false};
    unsigned i, round;

    (void)state;
    for (round = 0; round < 2; round++) {
        memset(seen, 0, sizeof(seen));
        for (i = 0; i < 64; i++) {
            uint64_t at;

            assert_int_equal(pvi_host_page_alloc(h, &pa[i]), 0);
            at = (pa[i].a - BASE) / PVI_PAGE_SIZE;
            assert_true(at < 64 && !seen[at]);
            seen[at] = true;
            assert_non_null(pvi_env_page(h, pa[i]));
        }
        assert_int_equal(pvi_host_page_alloc(h, &more), -PVI_ENOMEM);
        assert_int_equal(pvi_posix_pages_used(h), 64);
        for (i = 0; i < 64; i++) {
            scrub(h, pa[i].a, 1);
            pvi_host_page_free(h, pa[i]);
            assert_null(pvi_env_page(h, pa[i]));
        }
    }
    more.a = BASE - PVI_PAGE_SIZE;
    assert_null(pvi_env_page(h, more));
    more.a = BASE + 64 * PVI_PAGE_SIZE;
    assert_null(pvi_env_page(h, more));
    host_end(h);
}

static void records_come_zeroed(void **state)
{
    struct pvi_host *h = host_new(PVI_PAGE_SIZE);
    struct pvi_page zero;
    pvi_pa pa;

    (void)state;
    memset(&zero, 0, sizeof(zero));
    assert_int_equal(pvi_host_page_alloc(h, &pa), 0);
    memset(pvi_env_page(h, pa), 0xff, sizeof(zero));
    scrub(h, pa.a, 1);
    pvi_host_page_free(h, pa);
    assert_int_equal(pvi_host_page_alloc(h, &pa), 0);
    assert_memory_equal(pvi_env_page(h, pa), &zero, sizeof(zero));
    scrub(h, pa.a, 1);
    pvi_host_page_free(h, pa);
    host_end(h);
}

static void blocks_are_aligned_and_reused(void **state)
{
    struct pvi_posix_cfg cfg = {.pa = BASE, .size = 8 * MIB, .pages_first = 3 * PVI_PAGE_SIZE};
    struct pvi_host *h = pvi_posix_new(&cfg);
    uint64_t nr = 8 * MIB / PVI_PAGE_SIZE - 3, i;
    pvi_pa block[3], again, *page = calloc(nr, sizeof(*page));

    (void)state;
    assert_non_null(h);
    for (i = 0; i < 3; i++) {
        assert_int_equal(pvi_host_pages_alloc(h, 9, &block[i]), 0);
        assert_int_equal(block[i].a % (2 * MIB), 0);
    }
    assert_int_equal(pvi_host_pages_alloc(h, 9, &again),
                     -PVI_ENOMEM); /* the first 2 MiB are not whole */
    scrub(h, block[1].a, 512);
    pvi_host_pages_free(h, block[1], 9);
    assert_int_equal(pvi_host_pages_alloc(h, 9, &again), 0);
    assert_int_equal(again.a, block[1].a);
    for (i = 0; i < 3; i++) {
        scrub(h, block[i].a, 512);
        pvi_host_pages_free(h, block[i], 9);
    }
    for (i = 0; i < nr; i++) { /* blocks that came back are good for single pages */
        assert_int_equal(pvi_host_page_alloc(h, &page[i]), 0);
    }
    assert_int_equal(pvi_host_page_alloc(h, &again), -PVI_ENOMEM);
    for (i = 0; i < nr; i++) {
        scrub(h, page[i].a, 1);
        pvi_host_page_free(h, page[i]);
    }
    free(page);
    host_end(h);
}

static void memory_is_counted(void **state)
{
    struct pvi_host *h = host_new(MIB);
    unsigned char *p = pvi_host_mem_alloc(h, 100);
    const char *why;
    unsigned i;

    (void)state;
    assert_non_null(p);
    for (i = 0; i < 100; i++) {
        assert_int_equal(p[i], 0);
    }
    assert_int_equal(pvi_posix_mem_used(h), 100);
    assert_false(pvi_posix_balanced(h, &why));
    assert_non_null(why);
    pvi_host_mem_free(h, p, 100);
    pvi_host_mem_free(h, NULL, 100);
    pvi_posix_fail(h, PVI_AT_MEM_ALLOC, 2, false);
    p = pvi_host_mem_alloc(h, 1);
    assert_non_null(p);
    assert_null(pvi_host_mem_alloc(h, 1));
    pvi_host_mem_free(h, p, 1);
    host_end(h);
}

/* Frames -------------------------------------------------------------------------------------- */

static int get(struct pvi_host *h, struct pvi_hdom *d, uint64_t gfn, uint64_t nr, unsigned prot,
               struct pvi_frames *out)
{
    pvi_gfn g = {gfn};

    return pvi_host_frame_get(h, d, g, nr, prot, out);
}

static void add_range(struct pvi_hdom *d, uint64_t gfn, uint64_t nr, uint64_t pa,
                      enum pvi_posix_kind kind, unsigned prot)
{
    struct pvi_posix_range r = {
        .gfn = gfn, .nr = nr, .pa = pa, .kind = (uint8_t)kind, .prot = (uint8_t)prot};

    assert_int_equal(pvi_posix_hdom_range(d, &r), 0);
}

static void frames_have_owner_and_rights(void **state)
{
    struct pvi_host *h = host_new(MIB);
    struct pvi_hdom *d = pvi_posix_hdom_new(h, 1);
    struct pvi_posix_range clash = {.gfn = 5, .nr = 100, .pa = 0, .prot = PVI_RW};
    struct pvi_frames f, w;
    pvi_gfn g;
    pvi_pa pa = {0x7000003000ull};

    (void)state;
    add_range(d, 0x100, 16, 0x7000000000ull, PVI_POSIX_RAM_PV, PVI_RW);
    add_range(d, 0, 16, 0x8000000000ull, PVI_POSIX_RAM_HVM, PVI_READ);
    add_range(d, 0x200, 16, 0xe0000000ull, PVI_POSIX_MMIO, PVI_RW);
    add_range(d, 0x300, 1, 0x9000000000ull, PVI_POSIX_RAM_KEPT, PVI_RW);
    assert_int_equal(pvi_posix_hdom_range(d, &clash), -PVI_EEXIST);
    assert_int_equal(get(h, d, 16, 1, PVI_READ, &f), -PVI_ENOFRAME);
    assert_int_equal(get(h, d, 0x301, 1, PVI_READ, &f), -PVI_ENOFRAME);
    assert_int_equal(get(h, d, 3, 1, PVI_RW, &f), -PVI_EPERM);
    assert_int_equal(get(h, d, 0x104, UINT64_MAX, PVI_RW, &w), 0);
    assert_int_equal(w.nr, 12); /* a prefix: what the range has */
    assert_int_equal(w.pa.a, 0x7000004000ull);
    assert_int_equal(w.owe, PVI_OWE_WRITABLE);
    assert_int_equal(get(h, d, 0x104, 1, PVI_READ, &f), 0);
    assert_int_equal(f.owe, PVI_OWE_REF);
    assert_int_equal(pvi_posix_frame_count(d, f.pa.a, PVI_OWE_WRITABLE), 1);
    assert_int_equal(pvi_posix_frame_count(d, f.pa.a, PVI_OWE_REF), 1);
    assert_false(pvi_posix_hdom_balanced(d));
    pvi_host_frame_put(h, d, &f);
    pvi_host_frame_put(h, d, &w);
    assert_int_equal(get(h, d, 0x200, 2, PVI_RW, &f), 0);
    assert_int_equal(f.owe, PVI_OWE_MMIO);
    pvi_host_frame_put(h, d, &f);
    assert_int_equal(get(h, d, 0x300, 1, PVI_RW, &f), 0);
    assert_int_equal(f.owe, PVI_OWE_NONE);
    assert_int_equal(pvi_host_frame_gfn(h, d, pa, &g), 0);
    assert_int_equal(g.f, 0x103);
    pa.a = 0x7000010000ull;
    assert_int_equal(pvi_host_frame_gfn(h, d, pa, &g), -PVI_ENOFRAME);
    pvi_posix_hdom_unrange(d, 0x100);
    assert_int_equal(get(h, d, 0x100, 1, PVI_READ, &f), -PVI_ENOFRAME);
    host_end(h);
}

static void frames_come_in_runs(void **state)
{
    static const uint64_t table[] = {0x5000, 0x6000, 0x7000, 0x9000, 0x1000};
    struct pvi_host *h = host_new(MIB);
    struct pvi_hdom *d = pvi_posix_hdom_new(h, 1);
    struct pvi_posix_range r = {
        .gfn = 10, .nr = 5, .table = table, .kind = PVI_POSIX_RAM_HVM, .prot = PVI_RW};
    struct pvi_frames f;
    pvi_gfn g;
    pvi_pa pa = {0x9000};

    (void)state;
    assert_int_equal(pvi_posix_hdom_range(d, &r), 0);
    assert_int_equal(get(h, d, 10, 5, PVI_RW, &f), 0);
    assert_int_equal(f.nr, 3);
    pvi_host_frame_put(h, d, &f);
    pvi_posix_hdom_max_run(d, 2);
    assert_int_equal(get(h, d, 10, 5, PVI_RW, &f), 0);
    assert_int_equal(f.nr, 2);
    pvi_host_frame_put(h, d, &f);
    assert_int_equal(get(h, d, 14, 5, PVI_RW, &f), 0);
    assert_int_equal(f.pa.a, 0x1000);
    pvi_host_frame_put(h, d, &f);
    assert_int_equal(pvi_host_frame_gfn(h, d, pa, &g), 0);
    assert_int_equal(g.f, 13);
    host_end(h);
}

/* Gets and puts in other pieces than they were got must balance, and counts agree with an array. */
static void counts_agree_with_an_array(void **state)
{
    enum { FRAMES = 1024, HELD = 64 };
    struct pvi_host *h = host_new(MIB);
    struct pvi_hdom *d = pvi_posix_hdom_new(h, 1);
    static uint32_t count[FRAMES];
    uint32_t seed = 7, i, at, nr;
    struct pvi_frames f;

    (void)state;
    add_range(d, 0, FRAMES, 0x123000, PVI_POSIX_RAM_HVM, PVI_RW);
    for (i = 0; i < 20000; i++) {
        seed = seed * 1664525u + 1013904223u;
        at = (seed >> 8) % FRAMES;
        nr = 1 + (seed >> 20) % HELD;
        if (seed >> 31) {
            assert_int_equal(get(h, d, at, nr, PVI_RW, &f), 0);
            for (; f.nr > 0; f.nr--) {
                count[at + f.nr - 1]++;
            }
            continue;
        }
        for (f.nr = 0; f.nr < nr && at + f.nr < FRAMES && count[at + f.nr] != 0; f.nr++) {
            count[at + f.nr]--;
        }
        f.pa.a = 0x123000 + at * PVI_PAGE_SIZE;
        f.owe = PVI_OWE_REF;
        if (f.nr != 0) {
            pvi_host_frame_put(h, d, &f);
        }
    }
    for (at = 0; at < FRAMES; at++) {
        assert_int_equal(pvi_posix_frame_count(d, 0x123000 + at * PVI_PAGE_SIZE, PVI_OWE_REF),
                         count[at]);
        f.pa.a = 0x123000 + at * PVI_PAGE_SIZE;
        for (f.nr = 1; count[at] != 0; count[at]--) {
            pvi_host_frame_put(h, d, &f);
        }
    }
    host_end(h);
}

static void identity_and_permissions(void **state)
{
    struct pvi_host *h = host_new(MIB);
    struct pvi_hdom *a = pvi_posix_hdom_new(h, 1), *b = pvi_posix_hdom_new(h, 2);
    struct pvi_identity_run run;
    static struct pvi_domain dom_a, dom_b;
    struct pvi_domain *out;
    pvi_gfn from = {0};

    (void)state;
    assert_int_equal(pvi_posix_hdom_identity(a, 16, 16, PVI_RW), 0);
    assert_int_equal(pvi_posix_hdom_identity(a, 64, 4, PVI_READ), 0);
    assert_int_equal(pvi_posix_hdom_identity(a, 60, 1, PVI_READ), -PVI_EINVAL);
    assert_int_equal(pvi_host_identity_next(h, a, from, &run), 0);
    assert_true(run.first.f == 16 && run.nr == 16 && run.prot == PVI_RW);
    from.f = 30;
    assert_int_equal(pvi_host_identity_next(h, a, from, &run), 0);
    assert_true(run.first.f == 30 && run.nr == 2);
    from.f = 32;
    assert_int_equal(pvi_host_identity_next(h, a, from, &run), 0);
    assert_true(run.first.f == 64 && run.nr == 4 && run.prot == PVI_READ);
    from.f = 68;
    assert_int_equal(pvi_host_identity_next(h, a, from, &run), -PVI_ENOENT);
    assert_int_equal(pvi_host_domain(h, a, PVI_DOMID_SELF, &out), -PVI_ENODOM);
    pvi_posix_hdom_bind(a, &dom_a);
    pvi_posix_hdom_bind(b, &dom_b);
    assert_int_equal(pvi_host_domain(h, a, PVI_DOMID_SELF, &out), 0);
    assert_ptr_equal(out, &dom_a);
    assert_int_equal(pvi_host_domain(h, a, 2, &out), -PVI_EPERM);
    assert_int_equal(pvi_posix_hdom_permit(a, 2), 0);
    assert_int_equal(pvi_posix_hdom_permit(a, 3), 0);
    assert_int_equal(pvi_host_domain(h, a, 2, &out), 0);
    assert_ptr_equal(out, &dom_b);
    assert_int_equal(pvi_host_domain(h, a, 3, &out), -PVI_ENODOM);
    assert_int_equal(pvi_host_domain(h, b, 1, &out), -PVI_EPERM);
    assert_true(pvi_host_may_init(h, a));
    pvi_posix_hdom_may_init(a, false);
    assert_false(pvi_host_may_init(h, a));
    host_end(h);
}

/* Knobs --------------------------------------------------------------------------------------- */

static bool third(void *opaque, uint64_t nr)
{
    (void)opaque;
    return nr == 2;
}

static void tick(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void failures_preemption_polling(void **state)
{
    struct pvi_host *h = host_new(MIB);
    const uint64_t bits[] = {0x5};
    unsigned ticks = 0, i;
    pvi_pa pa;

    (void)state;
    pvi_posix_fail(h, PVI_AT_PAGE_ALLOC, 1, true);
    for (i = 0; i < 3; i++) {
        assert_int_equal(pvi_host_page_alloc(h, &pa), -PVI_ENOMEM);
    }
    assert_int_equal(pvi_posix_failed(h, PVI_AT_PAGE_ALLOC), 3);
    pvi_posix_fail(h, PVI_AT_PAGE_ALLOC, 0, false);
    assert_int_equal(pvi_host_page_alloc(h, &pa), 0);
    scrub(h, pa.a, 1);
    pvi_host_page_free(h, pa);
    assert_int_equal(pvi_posix_calls(h, PVI_AT_PAGE_ALLOC), 4);
    pvi_posix_calls_reset(h);
    assert_int_equal(pvi_posix_calls(h, PVI_AT_PAGE_ALLOC), 0);

    assert_false(pvi_host_preempt(h));
    pvi_posix_preempt_bits(h, bits, 3);
    for (i = 0; i < 5; i++) {
        assert_int_equal(pvi_host_preempt(h), i == 0 || i == 2);
    }
    pvi_posix_preempt_bits(h, NULL, 0);
    pvi_posix_preempt_call(h, third, NULL);
    for (i = 0; i < 4; i++) {
        assert_int_equal(pvi_host_preempt(h), i == 2);
    }
    pvi_posix_preempt_call(h, NULL, NULL);
    pvi_posix_fail(h, PVI_AT_PREEMPT, 2, true);
    assert_false(pvi_host_preempt(h));
    assert_true(pvi_host_preempt(h) && pvi_host_preempt(h));

    pvi_posix_poll(h, 3, tick, &ticks);
    for (i = 0; pvi_host_poll(h, i); i++) {
    }
    assert_int_equal(i, 3);
    assert_int_equal(ticks, 3);
    host_end(h);
}

struct watch {
    struct pvi_host *h;
    unsigned before, after;
    pvi_pa pa;
};

static void on_alloc(void *opaque, enum pvi_posix_point at, bool after)
{
    struct watch *w = opaque;

    assert_int_equal(at, PVI_AT_PAGE_ALLOC);
    w->before += after ? 0 : 1;
    w->after += after ? 1 : 0;
    if (after) { /* a second actor inside: not reported again, and not made to fail */
        assert_int_equal(pvi_host_page_alloc(w->h, &w->pa), 0);
    }
}

static void hooks_and_events(void **state)
{
    struct pvi_host *h = host_new(MIB);
    struct pvi_posix_event e[PVI_POSIX_EVENTS];
    struct watch w = {.h = h};
    unsigned i;
    pvi_pa pa;

    (void)state;
    pvi_posix_hook(h, PVI_AT_BIT(PVI_AT_PAGE_ALLOC), on_alloc, &w);
    pvi_posix_fail(h, PVI_AT_PAGE_ALLOC, 2, true);
    assert_int_equal(pvi_host_page_alloc(h, &pa), 0);
    assert_true(w.before == 1 && w.after == 1);
    pvi_posix_hook(h, 0, NULL, NULL);
    scrub(h, pa.a, 1);
    scrub(h, w.pa.a, 1);
    pvi_host_page_free(h, pa);
    pvi_host_page_free(h, w.pa);
    for (i = 0; i < PVI_POSIX_EVENTS + 3; i++) {
        pvi_host_event(h, PVI_EVENT_UNIT_ERROR, i, 2 * i);
    }
    assert_int_equal(pvi_posix_events(h, e), PVI_POSIX_EVENTS + 3);
    assert_true(e[5].what == PVI_EVENT_UNIT_ERROR && e[5].a == 5 && e[5].b == 10);
    pvi_posix_events_reset(h);
    assert_int_equal(pvi_posix_events(h, NULL), 0);
    host_end(h);
}

/* Units --------------------------------------------------------------------------------------- */

static void told(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)u;
    *(struct pvi_inv *)opaque = *inv;
}

static void units_without_hardware(void **state)
{
    struct pvi_host *h = host_new(MIB);
    struct pvi_inv last, inv = {.kind = PVI_INV_DOMAIN, .did = 2};
    struct pvi_posix_null n = {.absent_entries = true, .told = told, .opaque = &last};
    struct pvi_dev_entry on = {.translate = true, .levels = 4, .did = 1},
                         off = {.translate = false};
    uint16_t a, b, c;
    bool absent;

    (void)state;
    n.unit.caps.nr_dids = 3;
    assert_int_equal(pvi_posix_add_null(h, &n), 0);
    assert_int_equal(pvi_host_did_alloc(h, &n.unit, &a), 0);
    assert_int_equal(pvi_host_did_alloc(h, &n.unit, &b), 0);
    assert_int_equal(pvi_host_did_alloc(h, &n.unit, &c), -PVI_ENOSPC);
    assert_true(a != 0 && b != 0 && a != b && a < 3 && b < 3);
    pvi_host_did_free(h, &n.unit, a);
    assert_int_equal(pvi_host_did_alloc(h, &n.unit, &c), 0);
    assert_int_equal(c, a);
    pvi_host_did_free(h, &n.unit, b);
    pvi_host_did_free(h, &n.unit, c);
    assert_int_equal(pvi_host_dev_switch(h, &n.unit, 8, &on, &absent), 0);
    assert_true(absent);
    assert_int_equal(pvi_host_dev_switch(h, &n.unit, 8, &off, &absent), 0);
    assert_false(absent);
    on.levels = 5;
    assert_int_equal(pvi_host_dev_switch(h, &n.unit, 8, &on, &absent), -PVI_EOPNOTSUPP);
    pvi_posix_fail(h, PVI_AT_DEV_SWITCH, 1, false);
    assert_int_equal(pvi_host_dev_switch(h, &n.unit, 8, &off, &absent), -PVI_EHW);
    assert_int_equal(pvi_host_inv_submit(h, &n.unit, &inv, 1), 0);
    assert_int_equal(pvi_host_inv_wait(h, &n.unit), 0);
    assert_true(n.nr_inv[PVI_INV_DOMAIN] == 1 && n.nr_wait == 1 && last.did == 2);
    n.fail_wait = true;
    assert_int_equal(pvi_host_inv_wait(h, &n.unit), -PVI_EHW);
    assert_true(n.unit.broken);
    pvi_posix_remove_unit(h, &n.unit);
    pvi_posix_null_fini(&n);
    host_end(h);
}

static uint64_t reg;

static uint32_t read32(void *opaque, uint64_t pa)
{
    (void)opaque;
    return (uint32_t)(reg + pa);
}

static uint64_t read64(void *opaque, uint64_t pa)
{
    (void)opaque;
    return reg + pa;
}

static void write32(void *opaque, uint64_t pa, uint32_t value)
{
    (void)opaque;
    (void)pa;
    reg = value;
}

static void write64(void *opaque, uint64_t pa, uint64_t value)
{
    (void)opaque;
    (void)pa;
    reg = value;
}

static void registers(void **state)
{
    struct pvi_host *h = host_new(MIB);
    struct pvi_posix_mmio m = {read32, read64, write32, write64, NULL};

    (void)state;
    assert_int_equal(pvi_posix_mmio(h, 0xfed90000, 0xfed90fff, &m), 0);
    assert_true(pvi_host_mmio_read64(h, 0xfed91000) == UINT64_MAX);
    assert_int_equal(pvi_host_mmio_read32(h, 0xfed8ffff), UINT32_MAX);
    pvi_host_mmio_write64(h, 0xfed91000, 5);
    assert_int_equal(reg, 0);
    pvi_host_mmio_write64(h, 0xfed90000, 0x100000000ull);
    assert_true(pvi_host_mmio_read64(h, 0xfed90008) == 0x1fed90008ull);
    pvi_host_mmio_write32(h, 0xfed90000, 0);
    assert_int_equal(pvi_host_mmio_read32(h, 0xfed90008), 0xfed90008);
    host_end(h);
}

/* The inline compare and swap: both halves count, and nothing changes when one differs. */
static void cmpxchg128_is_whole(void **state)
{
    _Alignas(16) uint64_t w[2] = {1, 2};
    const uint64_t old[2] = {1, 2}, wrong[2] = {1, 3}, next[2] = {5, 6};

    (void)state;
    assert_false(pvi_env_raw_cmpxchg128(w, wrong, next));
    assert_true(w[0] == 1 && w[1] == 2);
    assert_true(pvi_env_raw_cmpxchg128(w, old, next));
    assert_true(w[0] == 5 && w[1] == 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cfg_is_checked),
        cmocka_unit_test(pages_run_out_and_come_back),
        cmocka_unit_test(records_come_zeroed),
        cmocka_unit_test(blocks_are_aligned_and_reused),
        cmocka_unit_test(memory_is_counted),
        cmocka_unit_test(frames_have_owner_and_rights),
        cmocka_unit_test(frames_come_in_runs),
        cmocka_unit_test(counts_agree_with_an_array),
        cmocka_unit_test(identity_and_permissions),
        cmocka_unit_test(failures_preemption_polling),
        cmocka_unit_test(hooks_and_events),
        cmocka_unit_test(units_without_hardware),
        cmocka_unit_test(registers),
        cmocka_unit_test(cmpxchg128_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
