/* SPDX-License-Identifier: MIT */
/*
 * What units are told of nested contexts: the guest's own flushes, block by block, and whatever changes in a parent, whole for each context
 * nested on it, as units keep the guest's addresses there. Before frames go back: the recorder sees to that in each of these.
 */
#include <string.h>

#include "fixture.h"

#define NESTED .kind = FX_NULL, .nested = true, .guest_levels = 1u << 4
#define ROOT 0x777ull
#define LOG 4096u

static struct fx fx;

static struct {
    unsigned unit;
    struct pvi_inv inv;
} told[LOG];
static unsigned nr_told;

static void note(void *opaque, struct pvi_posix_null *u, const struct pvi_inv *inv)
{
    (void)opaque;
    CHECK(nr_told < LOG);
    told[nr_told].unit = u->unit.index;
    told[nr_told++].inv = *inv;
}

static void up(const struct fx_cfg *cfg)
{
    fx_up(&fx, cfg);
    for (unsigned u = 0; u < fx.nr_units; u++) {
        fx.unit[u].null.told = note;
    }
    fx_begin(&fx);
    fx_alloc(&fx, 0);
    fx_expect(&fx, 0);
}

static unsigned nest(unsigned parent, unsigned dev)
{
    unsigned ctx;

    fx_begin(&fx);
    fx_nested(&fx, parent, ROOT);
    fx_expect(&fx, 0);
    ctx = fx.op[0].ctx;
    fx_begin(&fx);
    fx_reattach(&fx, ctx, dev);
    fx_expect(&fx, 0);
    return ctx;
}

static unsigned count(unsigned unit, unsigned ctx, unsigned kind)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < nr_told; i++) {
        nr += told[i].unit == unit && told[i].inv.kind == kind && told[i].inv.did == fx.dom.slot[ctx - 1]->did[unit];
    }
    return nr;
}

/* --- the guest's own ------------------------------------------------------------------------------ */

static void flush_errors(void **state)
{
    static const struct {
        unsigned ctx, flags;
        uint32_t pasid;
        uint64_t first, nr;
        int want;
    } c[] = {
        {2, 0, 0, 0, 0, 0},
        {2, 0, 0xfffff, 0, 0, 0},
        {2, 0, 7, (1ull << 52) - 1, 1, 0},
        {2, 0, 7, 0, (1ull << 52) - 1, 0},
        {2, 0, 7, 1, (1ull << 52) - 1, 0},
        {2, PVI_FLUSH_ALL_PASIDS, 0, 0, 0, 0},
        {2, 2, 0, 0, 0, -PVI_EFLAGS},
        {2, PVI_FLUSH_ALL_PASIDS | 1u << 31, 0, 0, 0, -PVI_EFLAGS},
        {2, PVI_FLUSH_ALL_PASIDS, 1, 0, 0, -PVI_EINVAL},
        {2, PVI_FLUSH_ALL_PASIDS, 0, 1, 0, -PVI_EINVAL},
        {2, PVI_FLUSH_ALL_PASIDS, 0, 0, 1, -PVI_EINVAL},
        {2, 0, 0, 1, 0, -PVI_EINVAL},
        {2, 0, 0x100000, 0, 0, -PVI_ERANGE},
        {2, 0, UINT32_MAX, 5, 1, -PVI_ERANGE},
        {2, 0, 0, 1ull << 52, 1, -PVI_EWRAP},
        {2, 0, 0, 0, 1ull << 52, -PVI_EWRAP},
        {2, 0, 0, 2, (1ull << 52) - 1, -PVI_EWRAP},
        {2, 0, 0, UINT64_MAX, UINT64_MAX, -PVI_EWRAP},
        {0, 0, 0, 5, 1, -PVI_EDEFAULT},
        {3, 0, 0, 5, 1, -PVI_ENOCTX},
        {0xffff, 0, 0, 5, 1, -PVI_ENOCTX},
        {1, 0, 0, 5, 1, -PVI_ENESTED},
    };

    (void)state;
    check_case("errors");
    up(&(struct fx_cfg){NESTED});
    CHECK_EQ(nest(1, 0), 2);
    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        check_step("flush %zu", i);
        nr_told = 0;
        fx_begin(&fx);
        fx_flush_nested(&fx, c[i].ctx, c[i].pasid, c[i].first, c[i].nr)->flags = c[i].flags;
        fx_run(&fx);
        CHECK_EQ(fx.op[0].status, c[i].want);
        CHECK_EQ(nr_told != 0, c[i].want == 0);
    }
    fx_down(&fx);
}

/* Blocks that cover the range and nothing else, in order, of the PASID; or all of it, if that is one command less. */
static void check_words(unsigned unit, unsigned ctx, uint32_t pasid, uint64_t first, uint64_t nr)
{
    const struct pvi_unit_caps *caps = &fx.unit[unit].unit->caps;
    uint64_t at = first << 12, left = nr;
    unsigned words = 0;

    for (unsigned i = 0; i < nr_told; i++) {
        const struct pvi_inv *inv = &told[i].inv;

        if (told[i].unit != unit) {
            continue;
        }
        words++;
        CHECK_EQ(inv->kind, PVI_INV_GUEST);
        CHECK_EQ(inv->did, fx.dom.slot[ctx - 1]->did[unit]);
        CHECK_EQ(inv->pasid, pasid);
        CHECK(!inv->leaf_only);
        if (inv->lg2 == 64) {
            left = 0;
            CHECK(nr != 1 || !caps->page_selective);
        } else {
            CHECK(caps->page_selective && inv->lg2 >= 12 && inv->lg2 <= caps->inv_max_lg2);
            CHECK_EQ(inv->iova, at);
            CHECK(left >= 1ull << (inv->lg2 - 12));
            left -= 1ull << (inv->lg2 - 12);
            at += 1ull << inv->lg2;
        }
    }
    CHECK_EQ(left, 0);
    CHECK(words >= 1 && words <= caps->inv_max_nr);
}

static void flush_words(void **state)
{
    static const struct {
        uint8_t lg2, nr;
        bool no_pages;
    } caps[] = {{30, 32, false}, {12, 4, false}, {21, 1, false}, {63, 8, false}, {30, 32, true}, {39, 200, false}};
    struct rnd rnd = {77};

    (void)state;
    for (unsigned k = 0; k < sizeof(caps) / sizeof(caps[0]); k++) {
        unsigned n, idle, paged = 0;

        check_case("words %u", k);
        up(&(struct fx_cfg){NESTED, .units = 3, .devices = 3, .no_pages = caps[k].no_pages});
        for (unsigned u = 0; u < 3; u++) {
            fx.unit[u].null.unit.caps.inv_max_lg2 = caps[k].lg2;
            fx.unit[u].null.unit.caps.inv_max_nr = caps[k].nr;
        }
        n = nest(1, 0);
        fx_begin(&fx);
        fx_reattach(&fx, n, 1);
        fx_expect(&fx, 0);
        idle = nest(1, 2);
        CHECK(idle != n);
        for (unsigned i = 0; i < 600; i++) {
            uint64_t nr = i == 0 ? 0 : 1 + (rnd_next(&rnd) >> (12 + rnd_below(&rnd, 52)));
            uint64_t first = nr == 0 ? 0 : rnd_next(&rnd) >> (12 + rnd_below(&rnd, 52));
            uint32_t pasid = (uint32_t)(rnd_next(&rnd) >> (44 + rnd_below(&rnd, 20)));

            nr = nr > (1ull << 52) - 1 ? 1 : nr;
            first = first + nr > 1ull << 52 ? (1ull << 52) - nr : first;
            check_step("frames 0x%llx, 0x%llx", (unsigned long long)first, (unsigned long long)nr);
            nr_told = 0;
            fx_begin(&fx);
            fx_flush_nested(&fx, n, pasid, first, nr);
            CHECK_EQ(fx_submit(&fx), 0);
            CHECK_EQ(fx.op[0].status, 0);
            check_words(0, n, pasid, first, nr);
            check_words(1, n, pasid, first, nr);
            for (unsigned t = 0; t < nr_told; t++) {
                CHECK(told[t].unit != 2);
                paged += told[t].inv.lg2 != 64;
            }
        }
        CHECK(caps[k].no_pages ? paged == 0 : paged > 20);
        nr_told = 0;
        fx_told_reset(&fx);
        fx_begin(&fx);
        fx_flush_nested(&fx, n, 0, 0, 0)->flags = PVI_FLUSH_ALL_PASIDS;
        fx_expect(&fx, 0);
        CHECK(count(0, n, PVI_INV_DOMAIN) == 1 && count(1, n, PVI_INV_DOMAIN) == 1 && nr_told == 2);
        CHECK(fx_told(&fx, 0).wait == 1 && fx_told(&fx, 1).wait == 1 && fx_told(&fx, 2).wait == 0);
        fx_down(&fx);
    }
}

/* The unit fails: the flush says so, and the context is broken, as after any other. The unit of another is not asked. */
static void flush_fails(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct pvi_context_usage usage;
        unsigned n, other;

        check_case("failure %u", k);
        up(&(struct fx_cfg){NESTED, .units = 2});
        n = nest(1, 0);
        other = nest(1, 1);
        fx.unit[0].null.fail_submit = k == 0;
        fx.unit[0].null.fail_wait = k == 1;
        fx.unit[0].unit->broken = k == 2;
        pvi_posix_count_violations(fx.host, k == 3);
        pvi_posix_fail(fx.host, PVI_AT_INV_WAIT, k == 3, false); /* and obeys afterwards */
        fx_begin(&fx);
        fx_flush_nested(&fx, n, 0, 5, 1);
        fx_flush_nested(&fx, other, 0, 5, 1);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK_EQ(fx.op[0].status, -PVI_EHW);
        CHECK_EQ(fx.op[1].status, 0);
        CHECK_EQ(pvi_context_usage(&fx.dom, (uint16_t)n, &usage), 0);
        CHECK_EQ(usage.state, PVI_CTX_BROKEN);
        CHECK_EQ(pvi_context_usage(&fx.dom, (uint16_t)other, &usage), 0);
        CHECK_EQ(usage.state, PVI_CTX_LIVE);
        fx_begin(&fx);
        fx_flush_nested(&fx, n, 0, 5, 1);
        fx_reattach(&fx, n, 1);
        CHECK_EQ(fx_submit(&fx), 0);
        CHECK(fx.op[0].status == -PVI_EHW && fx.op[1].status == -PVI_EHW);
        fx_end(&fx, k != 3);
    }
}

/* --- changes of the parent ------------------------------------------------------------------------ */

enum change { UNMAP, TABLES, RIGHTS, SPLIT, REMOVE, RESET, FLUSH, REGION, ADD, IN_ONE_PIECE, CHANGES };

static void change(enum change what)
{
    fx_begin(&fx);
    switch (what) {
    case UNMAP: fx_unmap(&fx, 1, 0x10, 3); break;
    case TABLES: fx_unmap(&fx, 1, 0x200, 0x400); break;
    case RIGHTS: fx_rights(&fx, 1, 0x20, 1, PVI_WRITE); break;
    case SPLIT: fx_unmap(&fx, 1, 0x40005, 1); break;
    case REMOVE: fx_window_op(&fx, PVI_OP_WINDOW_REMOVE, 1, 0); break;
    case RESET: fx_op(&fx, PVI_OP_WINDOW_RESET, 1); break;
    case FLUSH: fx_flush(&fx, 1, 0x10, 3); break;
    case REGION: fx_reattach(&fx, 0, 5); break;
    case ADD: fx_map(&fx, 1, 0x100, GUEST_PV, 1, PVI_RW); break;
    default:
        fx_unmap(&fx, 1, 0x10, 3);
        fx_map(&fx, 1, 0x10, GUEST_HVM, 3, PVI_RW);
        fx.batch.flags = PVI_BATCH_ATOMIC;
        break;
    }
    fx_expect(&fx, 0);
}

/* Parent 1: device 0; nested on it: 2 (devices 1 and 3 of unit 1), 3 (devices 2, 4 of both units), 4 (none). On the default one: 5. */
static void family(const struct fx_cfg *cfg)
{
    struct fx_cfg own = *cfg;

    own.units = 2;
    own.devices = 5;
    up(&own);
    fx_begin(&fx);
    fx_reattach(&fx, 1, 0);
    fx_map(&fx, 1, 0x10, GUEST_SCATTER, 0x20, PVI_RW);
    fx_map(&fx, 1, 0x200, GUEST_HVM, 0x400, PVI_RW);
    fx_map(&fx, 1, 0x40000, GUEST_PV, 0x200, PVI_RW);
    fx_expect(&fx, 0);
    (void)fx_device(&fx, 5, 0);
    fx.dev[5].nr_regions = 1;
    fx.dev[5].region[0] = (struct pvi_region){0x90000000, 0x90003fff, PVI_RW};
    CHECK_EQ(fx_add(&fx, 5), 0);
    fx_begin(&fx);
    fx_reattach(&fx, 1, 5);
    fx_expect(&fx, 0);
    CHECK_EQ(nest(1, 1), 2);
    CHECK_EQ(nest(1, 2), 3);
    fx_begin(&fx);
    fx_nested(&fx, 1, ROOT);
    fx_nested(&fx, 0, ROOT);
    fx_reattach(&fx, 2, 3);
    fx_expect(&fx, 0);
    (void)fx_device(&fx, 6, 1);
    CHECK_EQ(fx_add(&fx, 6), 0);
    fx_begin(&fx);
    fx_reattach(&fx, 3, 6);
    fx_reattach(&fx, 5, 4);
    fx_expect(&fx, 0);
}

static void parents_change(void **state)
{
    static const struct fx_cfg cfgs[] = {
        {NESTED},
        {NESTED, .np_cache = true},
        {NESTED, .format = &pvi_amdvi_v1_ops, .guest_depth = 1, .trim = true},
        {NESTED, .no_pages = true, .write_buffer = true},
    };

    (void)state;
    for (unsigned k = 0; k < CHANGES * 4; k++) {
        enum change what = k % CHANGES;
        bool tells;

        check_case("machine %u, change %u", k / CHANGES, what);
        family(&cfgs[k / CHANGES]);
        tells = what != ADD || fx.cfg.np_cache;
        nr_told = 0;
        change(what);
        CHECK_EQ(count(0, 1, PVI_INV_PAGES) + count(0, 1, PVI_INV_DOMAIN) != 0, tells);
        for (unsigned ctx = 2; ctx < 6; ctx++) {
            for (unsigned u = 0; u < 2; u++) {
                bool there = (ctx == 2 && u == 1) || ctx == 3, told_it = count(u, ctx, PVI_INV_DOMAIN) != 0;

                check_step("context %u, unit %u", ctx, u);
                CHECK(there || fx.dom.slot[ctx - 1]->did[u] == 0 || ctx == 5);
                CHECK(told_it == (tells && there) || (ctx == 5 && what == REGION)); /* its own parent gets the region */
                CHECK_EQ(count(u, ctx, PVI_INV_PAGES), 0);
            }
        }
        fx_down(&fx);
    }
}

/* A context is told of its parent's changes as long as it is nested there, and no longer. */
static void not_after_the_end(void **state)
{
    (void)state;
    check_case("freed");
    family(&(struct fx_cfg){NESTED});
    fx_begin(&fx);
    fx_reattach(&fx, 0, 1);
    fx_reattach(&fx, 0, 3);
    fx_free(&fx, 2, 0);
    fx_free(&fx, 4, 0);
    fx_nested(&fx, 0, ROOT); /* 2 again, and 4, on another parent */
    fx_nested(&fx, 0, ROOT);
    fx_reattach(&fx, 2, 1);
    fx_expect(&fx, 0);
    nr_told = 0;
    change(UNMAP);
    CHECK_EQ(count(1, 2, PVI_INV_DOMAIN), 0);
    CHECK(count(0, 3, PVI_INV_DOMAIN) != 0 && count(1, 3, PVI_INV_DOMAIN) != 0);
    fx_down(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flush_errors),
        cmocka_unit_test(flush_words),
        cmocka_unit_test(flush_fails),
        cmocka_unit_test(parents_change),
        cmocka_unit_test(not_after_the_end),
    };

    return cmocka_run_group_tests_name("flushes of nested contexts", tests, NULL, NULL);
}
