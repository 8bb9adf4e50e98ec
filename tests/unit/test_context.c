/* SPDX-License-Identifier: MIT */
/* Contexts: numbers, shares, identity, sizes and widths of tables, and two vCPUs at the same context. */
#include <string.h>

#include "fixture.h"

static struct fx fx;

static bool always(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* --- numbers and shares --------------------------------------------------------------------------- */

static void numbers(void **state)
{
    uint64_t mem;

    (void)state;
    check_case("numbers");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .contexts = 5});
    fx_begin(&fx);
    for (unsigned i = 0; i < 5; i++) {
        fx_alloc(&fx, 0);
    }
    fx_expect(&fx, 0);
    mem = pvi_posix_mem_used(fx.host);
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_alloc(&fx, PVI_ALLOC_IDENTITY);
    fx_expect(&fx, -PVI_ENOSPC);
    for (unsigned round = 0; round < 20; round++) {
        fx_begin(&fx);
        fx_free(&fx, 1 + round % 5, 0);
        fx_map(&fx, 1 + round % 5, 0, GUEST_PV, 1, PVI_RW); /* gone */
        fx_alloc(&fx, round % 3 == 0 ? PVI_ALLOC_IDENTITY : 0);
        fx_run(&fx);
        CHECK_EQ(fx.op[1].status, -PVI_ENOCTX);
        CHECK_EQ(fx.op[2].ctx, 1 + round % 5);
        CHECK_EQ(pvi_posix_mem_used(fx.host), mem);
    }
    fx_down(&fx);
}

/* Three tables beside the root are one too many for a share of three pages. */
static void share_of_a_context(void **state)
{
    struct pvi_context_usage u;

    (void)state;
    check_case("share");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .context_pages = 5});
    fx.tolerate = ORC_TOLERATE_MEMORY;
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_alloc(&fx, 0);
    fx_map(&fx, 1, 0, GUEST_HVM, 512 * 3, PVI_RW); /* root, two tables, and two of the three last ones */
    fx_map(&fx, 2, 0, GUEST_HVM, 512 * 2, PVI_RW); /* the other context has its own */
    fx_run(&fx);
    CHECK_EQ(fx.op[2].status, -PVI_EQUOTA);
    CHECK_EQ(fx.op[2].done, 1024);
    CHECK_EQ(fx.op[3].status, 0);
    CHECK_EQ(pvi_context_usage(&fx.dom, 1, &u), 0);
    CHECK_EQ(u.pages_used, 5);
    CHECK_EQ(u.pages_limit, 5);
    fx.tolerate = 0;
    fx_begin(&fx);
    fx_unmap(&fx, 1, 512, 512); /* what comes back may be used again */
    fx_expect(&fx, 0);
    fx_begin(&fx);
    fx_map(&fx, 1, 1024, GUEST_HVM, 512, PVI_RW);
    fx_expect(&fx, 0);
    fx_down(&fx);
}

/* A context that is made again while the pages of its last life still wait for their flush counts them. */
static void made_again_in_one_batch(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        check_case("made again, share %u", k ? 8 : 0);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .contexts = 1, .context_pages = k ? 8 : 0});
        fx_begin(&fx);
        fx_alloc(&fx, 0);
        fx_map(&fx, 1, 0, GUEST_HVM, 1500, PVI_RW);
        fx_expect(&fx, 0);
        fx.tolerate = k ? ORC_TOLERATE_MEMORY : 0;
        fx_begin(&fx);
        fx_free(&fx, 1, 0);
        fx_alloc(&fx, 0);
        fx_map(&fx, 1, 4096, GUEST_HVM, 1500, PVI_RW);
        fx_unmap(&fx, 1, 4096, 10);
        fx_free(&fx, 1, 0);
        fx_alloc(&fx, 0);
        fx_reattach(&fx, 1, 0);
        fx_map(&fx, 1, 8192, GUEST_HVM, 600, PVI_RW);
        fx_run(&fx);
        fx.tolerate = 0;
        fx_down(&fx);
    }
}

/* --- identity ------------------------------------------------------------------------------------- */

static void identity(struct fx *f, const struct fx_cfg *cfg)
{
    uint64_t pages;

    fx_up(f, cfg);
    fx_begin(f);
    fx_alloc(f, PVI_ALLOC_IDENTITY);
    fx_reattach(f, 1, 0);
    fx_lookup(f, 1, 0x10);
    fx_lookup(f, 1, 0x9f);
    fx_lookup(f, 1, 0x200);
    fx_run(f);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(f->op[i].status, i == 1 ? f->op[i].status : 0);
    }
    /* All of the runs, less the window of interrupts; nothing else. The oracle's map was built page by page. */
    pages = flat_pages(f->orc.ctx[1].map);
    CHECK_EQ(pages, 0x90 + 0x1a10 + 0x900 - 0x100);
    fx_touch(f, 0xf);
    fx_touch(f, 0x10);
    fx_touch(f, 0xa0);
    fx_touch(f, 0x1c0f);
    fx_touch(f, (FX_MSI_FIRST >> 12) - 1);
    fx_touch(f, (FX_MSI_LAST >> 12) + 1);
    fx_touch(f, GUEST_ARENA_PA >> 12);
    fx_dma(f);
    /* It is a context like any other. */
    fx_begin(f);
    fx_unmap(f, 1, 0x10, 1);
    fx_map(f, 1, 0x10, GUEST_PV, 1, PVI_READ);
    fx_unmap(f, 1, 0x205, 0x700);
    fx_map(f, 1, 0x20, GUEST_PV, 1, PVI_RW);
    fx_run(f);
    CHECK_EQ(f->op[3].status, -PVI_EEXIST);
    fx_begin(f);
    fx_free(f, 1, PVI_FREE_REATTACH);
    fx_expect(f, 0);
    CHECK(pvi_posix_hdom_balanced(f->hdom));
    fx_down(f);
}

static void identity_contexts(void **state)
{
    (void)state;
    fx_each(identity);
}

static void identity_default(struct fx *f, const struct fx_cfg *cfg)
{
    struct fx_cfg own = *cfg;

    own.default_identity = true;
    fx_up(f, &own);
    fx_begin(f);
    fx_op(f, PVI_OP_QUERY_CAPS, 0);
    fx_expect(f, 0);
    CHECK((f->op[0].u.caps.flags & PVI_CAP_DEFAULT_IDENTITY) != 0);
    fx_touch(f, 0x10);
    fx_touch(f, 0x200);
    fx_touch(f, 0xa0);
    fx_dma(f);
    CHECK_EQ(fx_context(f, 0), 1);
    fx_dma(f); /* now it reaches nothing */
    fx_begin(f);
    fx_free(f, 1, PVI_FREE_REATTACH);
    fx_expect(f, 0);
    fx_down(f);
}

static void default_context_as_identity(void **state)
{
    (void)state;
    fx_each(identity_default);
}

/* The start of an identity default: in pieces, without pages, and only then devices. */
static void start_in_pieces(void **state)
{
    struct pvi_domain_cfg dc;
    uint32_t done;
    unsigned n = 0;
    int rc;

    (void)state;
    check_case("start");
    fx_machine(&fx, &(struct fx_cfg){.kind = FX_NULL, .default_identity = true});
    orc_init(&fx.orc);
    dc = fx_domain_cfg(&fx);
    dc.default_pages = 0;
    dc.page_sizes = 1u << 12;
    CHECK_EQ(pvi_domain_init(&fx.dom, fx.host, &dc), 0);
    (void)fx_device(&fx, 0, 0);
    CHECK_EQ(pvi_device_add(&fx.dom, &fx.dev[0]), -PVI_EBUSY);
    pvi_posix_preempt_call(fx.host, always, NULL);
    for (;;) {
        rc = pvi_domain_start(&fx.dom);
        n++;
        if (rc == -PVI_ENOMEM) {
            CHECK_EQ(pvi_pool_grow(&fx.dom.default_pool, 4, &done), 0);
        } else if (rc != -PVI_EPREEMPTED) {
            break;
        }
        CHECK(n < 1000);
    }
    CHECK_EQ(rc, 0);
    CHECK(n > 20);
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    CHECK_EQ(pvi_domain_start(&fx.dom), 0); /* done already */
    CHECK_EQ(pvi_device_add(&fx.dom, &fx.dev[0]), 0);
    CHECK_EQ(pvi_device_remove(&fx.dom, &fx.dev[0]), 0);
    fx.nr_devs = 0;
    fx_down(&fx);
}

/* Not enough pages, at every point: not even the number stays. */
static void identity_short_of_pages(void **state)
{
    (void)state;
    check_case("identity, no pages");
    for (unsigned pages = 1; pages < 30; pages += 4) {
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .pages = pages, .page_sizes = 1u << 12});
        fx.tolerate = ORC_TOLERATE_MEMORY;
        fx_begin(&fx);
        fx_alloc(&fx, PVI_ALLOC_IDENTITY);
        fx_run(&fx);
        check_step("%u pages: %s", pages, pvi_strerror(fx.op[0].status));
        CHECK_EQ(fx.op[0].status, pages < 25 ? -PVI_ENOMEM : 0);
        CHECK_EQ(fx.op[0].ctx, pages < 25 ? 0 : 1);
        if (pages < 25) {
            CHECK_EQ(fx.dom.pool.nr_free, pages);
            CHECK(pvi_posix_hdom_balanced(fx.hdom));
        }
        fx.tolerate = 0;
        fx_begin(&fx);
        fx_alloc(&fx, 0);
        fx_expect(&fx, 0);
        CHECK_EQ(fx.op[0].ctx, pages < 25 ? 1 : 2);
        fx_down(&fx);
    }
}

/* --- sizes and widths ----------------------------------------------------------------------------- */

/* A context whose smallest page is 2 MiB: nothing smaller is taken, mapped, or looked up beyond its reach. */
static void large_pages_only(void **state)
{
    const uint64_t L = 512;

    (void)state;
    check_case("2M only");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .page_sizes = 1u << 21});
    CHECK_EQ(fx_context(&fx, 0), 1);
    fx_begin(&fx);
    fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
    fx_expect(&fx, 0);
    CHECK_EQ(fx.op[0].u.caps.page_sizes, 1u << 21);
    fx_begin(&fx);
    fx_map(&fx, 1, 1, GUEST_PV, L, PVI_RW);
    fx_map(&fx, 1, L, GUEST_PV, 1, PVI_RW);
    fx_map(&fx, 1, L, GUEST_PV + 1, L, PVI_RW);
    fx_map(&fx, 1, L, GUEST_PV, L + 1, PVI_RW);
    fx_unmap(&fx, 1, 1, L);
    fx_unmap(&fx, 1, L, L - 1);
    fx_expect(&fx, -PVI_EALIGN);
    fx_begin(&fx);
    fx_map(&fx, 1, L, GUEST_PV, 4 * L, PVI_RW);
    fx_lookup(&fx, 1, L + 77);
    fx_unmap(&fx, 1, 2 * L, L);
    fx_expect(&fx, 0);
    fx_begin(&fx);
    fx_lookup(&fx, 1, (1ull << 36) + L); /* no alias of DFN 512 */
    fx_lookup(&fx, 1, (1ull << 36) + L + 1);
    fx_expect(&fx, -PVI_ERANGE);
    fx_begin(&fx);
    fx_lookup(&fx, 1, (FX_MSI_FIRST >> 12) + 1);
    fx_map(&fx, 1, FX_MSI_FIRST >> 12 & ~0x1ffull, GUEST_PV, L, PVI_RW);
    fx_run(&fx);
    CHECK_EQ(fx.op[0].status, -PVI_ERESERVED);
    CHECK_EQ(fx.op[1].status, -PVI_ERESERVED);
    /* Frames that the host pins in pieces too small for a leaf. */
    pvi_posix_hdom_max_run(fx.hdom, 100);
    fx_begin(&fx);
    fx_map(&fx, 1, 64 * L, GUEST_PV, L, PVI_RW);
    CHECK_EQ(fx_submit(&fx), 0);
    CHECK_EQ(fx.op[0].status, -PVI_EALIGN);
    CHECK_EQ(fx.op[0].done, 0);
    fx_check(&fx);
    pvi_posix_hdom_max_run(fx.hdom, 700);
    fx_begin(&fx);
    fx_map(&fx, 1, 64 * L, GUEST_PV, 3 * L, PVI_RW);
    fx_expect(&fx, 0);
    pvi_posix_hdom_max_run(fx.hdom, 0);
    fx_begin(&fx);
    fx_alloc(&fx, PVI_ALLOC_IDENTITY);
    fx_expect(&fx, 0);
    CHECK_EQ(flat_pages(fx.orc.ctx[2].map), 13 * L + 3 * L); /* 0x200 .. 0x1bff; 0xfe800 .. 0xfffff less a piece */
    fx_down(&fx);
}

static void page_sizes(void **state)
{
    static const uint64_t sets[][2] = {
        {1u << 12, 1u << 12},
        {1u << 12 | 1u << 21, 1u << 12 | 1u << 21},
        {1u << 12 | 1u << 30, 1u << 12}, /* a leaf of 1 GiB could not be cut */
        {1u << 21 | 1u << 30, 1u << 21 | 1u << 30},
    };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        check_case("sizes 0x%llx", (unsigned long long)sets[i][0]);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .page_sizes = sets[i][0]});
        fx_begin(&fx);
        fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
        fx_alloc(&fx, 0);
        fx_map(&fx, 1, 0x40000, GUEST_PV, 0x40000, PVI_RW);
        fx_lookup(&fx, 1, 0x40000);
        fx_unmap(&fx, 1, 0x40000, 0x200);
        fx_expect(&fx, 0);
        CHECK_EQ(fx.op[0].u.caps.page_sizes, sets[i][1]);
        CHECK_EQ(1ull << fx.op[3].u.lookup.lg2, i == 0 || i == 2 ? 1u << 12 : i == 1 ? 1u << 21 : 1u << 30);
        fx_down(&fx);
    }
}

/* Widths at which the last address lies in the middle of a table, at its end, at the end of everything. */
static void widths(void **state)
{
    static const struct {
        enum fx_kind kind;
        const struct pvi_pt_ops *format;
        unsigned levels, bits;
    } w[] = {
        {FX_NULL, &pvi_vtd_ss_ops, 4, 35},   {FX_NULL, &pvi_vtd_ss_ops, 4, 29},   {FX_NULL, &pvi_vtd_ss_ops, 4, 14},
        {FX_NULL, &pvi_vtd_ss_ops, 3, 39},   {FX_NULL, &pvi_vtd_ss_ops, 5, 57},   {FX_VTD, NULL, 5, 57},
        {FX_NULL, &pvi_amdvi_v1_ops, 6, 64}, {FX_NULL, &pvi_amdvi_v1_ops, 6, 60}, {FX_AMD, NULL, 6, 64},
        {FX_NULL, &pvi_amdvi_v1_ops, 1, 21}, {FX_NULL, &pvi_amdvi_v1_ops, 2, 30}, {FX_AMD, NULL, 3, 38},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(w) / sizeof(w[0]); i++) {
        struct fx_cfg cfg = {.kind = w[i].kind, .format = w[i].format, .levels = w[i].levels};
        uint64_t last = (1ull << (w[i].bits - 12)) - 1;

        cfg.iova_bits = (uint8_t)w[i].bits;
        check_case("%u levels, %u bits", w[i].levels, w[i].bits);
        fx_up(&fx, &cfg);
        CHECK_EQ(fx.orc.last_pfn, last);
        CHECK_EQ(fx_context(&fx, 0), 1);
        fx_begin(&fx);
        fx_op(&fx, PVI_OP_QUERY_CAPS, 0);
        fx_map(&fx, 1, last, GUEST_PV, 1, PVI_RW);
        fx_map(&fx, 1, 0, GUEST_PV, 1, PVI_RW);
        fx_lookup(&fx, 1, last);
        fx_expect(&fx, 0);
        fx_begin(&fx);
        fx_map(&fx, 1, last - 1, GUEST_PV, 2, PVI_RW);
        fx_unmap(&fx, 1, last, 1);
        fx_map(&fx, 1, last - 2, GUEST_PV, 3, PVI_RW);
        fx_run(&fx);
        CHECK_EQ(fx.op[0].done, 1);
        CHECK_EQ(fx.op[2].status, -PVI_EEXIST);
        fx_begin(&fx);
        fx_free(&fx, 1, PVI_FREE_REATTACH);
        fx_expect(&fx, 0);
        fx_down(&fx);
    }
}

/* --- two vCPUs ------------------------------------------------------------------------------------ */

static struct pvi_batch other;
static struct pvi_op theirs[4];

/* Another vCPU of the same guest, to its end. */
static void submit_other(unsigned nr)
{
    memset(&other, 0, sizeof(other));
    other.ops = theirs;
    other.nr = nr;
    while (pvi_submit(&fx.dom, &other) == -PVI_EPREEMPTED) {
    }
}

/* An identity that could not be built is being taken down: its number belongs to nobody else until it is gone. */
static void number_of_a_failed_alloc(void **state)
{
    bool mine;

    (void)state;
    check_case("failed alloc");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .pages = 17, .page_sizes = 1u << 12, .contexts = 2});
    pvi_posix_preempt_call(fx.host, always, NULL);
    fx_begin(&fx);
    fx_alloc(&fx, PVI_ALLOC_IDENTITY);
    fx.batch.ops = fx.op;
    fx.batch.nr = 1;
    do {
        CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), -PVI_EPREEMPTED);
    } while (fx.dom.slot[0]->state != PVI_CTX_DYING);
    CHECK_EQ(fx.op[0].ctx, 1);
    memset(theirs, 0, sizeof(theirs));
    theirs[0].code = PVI_OP_FREE_CONTEXT;
    theirs[0].ctx = 1;
    theirs[1].code = PVI_OP_ALLOC_CONTEXT;
    theirs[0].domid = theirs[1].domid = PVI_DOMID_SELF;
    submit_other(2);
    while (pvi_submit(&fx.dom, &fx.batch) == -PVI_EPREEMPTED) {
    }
    mine = fx.op[0].status == 0;
    CHECK(!mine || theirs[1].status != 0 || theirs[1].ctx != fx.op[0].ctx);
    CHECK(!mine); /* there were not enough pages, whatever the other one did */
    pvi_posix_preempt_call(fx.host, NULL, NULL);
    fx.orc.ctx[theirs[1].ctx].live = theirs[1].status == 0;
    fx_check(&fx);
    fx_down(&fx);
}

/* Freed by another vCPU in the middle of a map, an unmap, a build. */
static void freed_in_the_middle(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        check_case("freed in the middle, %u", k);
        fx_up(&fx, &(struct fx_cfg){.kind = FX_NULL, .page_sizes = 1u << 12, .np_cache = k % 2 != 0});
        fx_begin(&fx);
        fx_alloc(&fx, 0);
        fx_map(&fx, 1, 0, GUEST_HVM, 3000, PVI_RW);
        fx_expect(&fx, 0);
        pvi_posix_preempt_call(fx.host, always, NULL);
        fx_begin(&fx);
        if (k < 2) {
            fx_map(&fx, 1, 0x10000, GUEST_PV, 3000, PVI_RW);
        } else if (k < 4) {
            fx_unmap(&fx, 1, 1, 2999);
        } else {
            fx_alloc(&fx, PVI_ALLOC_IDENTITY);
        }
        fx.batch.ops = fx.op;
        fx.batch.nr = 1;
        for (unsigned i = 0; i < (k == 2 || k == 3 ? 1 : 3); i++) { /* a removal of whole tables is quick */
            CHECK_EQ(pvi_submit(&fx.dom, &fx.batch), -PVI_EPREEMPTED);
            pvi_posix_checkpoint(fx.host);
        }
        memset(theirs, 0, sizeof(theirs));
        theirs[0].code = PVI_OP_FREE_CONTEXT;
        theirs[0].ctx = k < 4 ? 1 : 2;
        theirs[0].domid = PVI_DOMID_SELF;
        submit_other(1);
        CHECK_EQ(theirs[0].status, 0);
        while (pvi_submit(&fx.dom, &fx.batch) == -PVI_EPREEMPTED) {
        }
        pvi_posix_preempt_call(fx.host, NULL, NULL);
        CHECK_EQ(fx.op[0].status, -PVI_ENOCTX); /* also for who was building it */
        if (k < 4) {
            CHECK(pvi_posix_hdom_balanced(fx.hdom));
            fx.orc.ctx[1].live = false;
            flat_clear(fx.orc.ctx[1].map);
        }
        fx_check(&fx);
        fx_down(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(share_of_a_context),
        cmocka_unit_test(made_again_in_one_batch),
        cmocka_unit_test(identity_contexts),
        cmocka_unit_test(default_context_as_identity),
        cmocka_unit_test(start_in_pieces),
        cmocka_unit_test(identity_short_of_pages),
        cmocka_unit_test(large_pages_only),
        cmocka_unit_test(page_sizes),
        cmocka_unit_test(widths),
        cmocka_unit_test(number_of_a_failed_alloc),
        cmocka_unit_test(freed_in_the_middle),
    };

    return cmocka_run_group_tests_name("contexts", tests, NULL, NULL);
}
