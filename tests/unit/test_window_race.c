/* SPDX-License-Identifier: MIT */
/*
 * Windows that change while others look: a removal that is interrupted, two vCPUs at once, and what two devices on two
 * units can reach between any two stores.
 */
#include <string.h>

#include "fixture.h"
#include "threads_rig.h"

#define GIB 0x40000ull
#define LOW 0x1000ull
#define HIGH (8 * GIB)

static struct fx fx;
static struct threads_rig rig;

static int submit_window(struct pvi_domain *d, unsigned code, unsigned index, uint64_t dfn, uint64_t nr, uint64_t sizes,
                         struct pvi_op *op)
{
    memset(op, 0, sizeof(*op));
    op->code = (uint16_t)code;
    op->ctx = 1;
    op->u.window.index = (uint16_t)index;
    op->u.window.dfn.f = dfn;
    op->u.window.nr = nr;
    op->u.window.sizes = sizes;
    op->u.window.shift = (uint8_t)(sizes != 0 ? __builtin_ctzll(sizes) : 0);
    return threads_submit(d, op);
}

/* --- interrupted ---------------------------------------------------------------------------------- */

static uint64_t calls, stop_at;

static bool once(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return calls++ == stop_at;
}

/* Interrupts a batch of one operation at its n-th checkpoint; false: it has no so many. */
static bool interrupt(struct pvi_domain *d, struct pvi_host *h, struct pvi_batch *b, uint64_t n)
{
    int rc;

    calls = 0;
    stop_at = n;
    pvi_posix_preempt_call(h, once, NULL);
    rc = pvi_submit(d, b);
    pvi_posix_preempt_call(h, NULL, NULL);
    return rc == -PVI_EPREEMPTED;
}

static void furnish(struct fx *f, const struct fx_cfg *cfg, uint64_t nr)
{
    fx_up(f, cfg);
    CHECK_EQ(fx_context(f, 0), 1);
    fx_begin(f);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0);
    fx_window(f, 1, LOW, nr, 12, 1u << 12);
    fx_window(f, 1, HIGH, 2 * GIB, 0, 0);
    fx_map(f, 1, LOW, GUEST_HVM, nr, PVI_RW);
    fx_map(f, 1, HIGH, GUEST_PV, GIB, PVI_RW);
    fx_expect(f, 0);
}

static void someone_else(struct fx *f, const struct fx_cfg *cfg, bool finishes)
{
    struct pvi_op remove = {.code = PVI_OP_WINDOW_REMOVE, .domid = PVI_DOMID_SELF, .ctx = 1};
    struct pvi_batch batch = {.ops = &remove, .nr = 1};
    struct pvi_op op, map = {.code = PVI_OP_MAP, .ctx = 1, .flags = PVI_RW};

    furnish(f, cfg, 0x8000);
    CHECK(interrupt(&f->dom, f->host, &batch, 0)); /* only so many tables with frames at once */
    CHECK_EQ(submit_window(&f->dom, PVI_OP_WINDOW_QUERY, 0, 0, 0, 0, &op), 0);
    CHECK_EQ(op.u.window.state, PVI_WINDOW_GOING);
    CHECK_EQ(op.u.window.left, PVI_MAX_WINDOWS - 2);
    map.u.map.dfn.f = LOW + 5; /* unmapped already */
    map.u.map.gfn.f = GUEST_PV;
    map.u.map.nr = 1;
    CHECK_EQ(threads_submit(&f->dom, &map), -PVI_ERANGE);
    CHECK_EQ(map.fault, LOW + 5);
    op = (struct pvi_op){.code = PVI_OP_LOOKUP, .ctx = 1, .u.lookup.dfn = {LOW + 0x7fff}};
    CHECK_EQ(threads_submit(&f->dom, &op), -PVI_ERANGE); /* still mapped */
    CHECK_EQ(submit_window(&f->dom, PVI_OP_WINDOW_CREATE, 0, LOW + 0x7fff, 1, 0, &op), -PVI_EEXIST);
    if (finishes) {
        CHECK_EQ(submit_window(&f->dom, PVI_OP_WINDOW_REMOVE, 0, 0, 0, 0, &op), 0);
        CHECK_EQ(submit_window(&f->dom, PVI_OP_WINDOW_CREATE, 0, LOW, 0x100, 0, &op), 0);
        CHECK_EQ(op.u.window.index, 0);
        CHECK_EQ(threads_submit(&f->dom, &map), 0);
    }
    CHECK_EQ(pvi_submit(&f->dom, &batch), 0);
    CHECK_EQ(remove.status, finishes ? -PVI_ENOENT : 0);
    pvi_posix_checkpoint(f->host);
    (void)submit_window(&f->dom, PVI_OP_WINDOW_QUERY, 0, 0, 0, 0, &op);
    CHECK_EQ(op.u.window.state, finishes ? PVI_WINDOW_OPEN : PVI_WINDOW_NONE);
    op = (struct pvi_op){.code = PVI_OP_UNMAP, .ctx = 1, .u.unmap = {{LOW + 5}, 1}};
    CHECK_EQ(threads_submit(&f->dom, &op), finishes ? 0 : -PVI_ERANGE);
    pvi_posix_checkpoint(f->host);
    fx_check_loose(f);
    fx_end(f, false);
}

static void interrupted(struct fx *f, const struct fx_cfg *cfg)
{
    someone_else(f, cfg, false);
    someone_else(f, cfg, true);
}

static void removal_interrupted(void **state)
{
    (void)state;
    fx_each(interrupted);
}

/* `done` of a guest that forges it names no window. */
static void forged(struct fx *f, const struct fx_cfg *cfg)
{
    static const uint64_t forgery[] = {1, 3, 4, 0xffffffff, 0x100000002ull, UINT64_MAX};

    furnish(f, cfg, 0x2000);
    for (unsigned i = 0; i < 6; i++) {
        struct pvi_op op = {.code = PVI_OP_WINDOW_REMOVE, .ctx = 1, .done = forgery[i]};

        CHECK_EQ(threads_submit(&f->dom, &op), -PVI_ENOENT);
        CHECK_EQ(op.done, 0);
        op = (struct pvi_op){.code = PVI_OP_WINDOW_REMOVE, .ctx = 2, .done = forgery[i]};
        CHECK_EQ(threads_submit(&f->dom, &op), -PVI_ENOCTX);
    }
    fx_begin(f); /* all is as it was */
    fx_lookup(f, 1, LOW + 5);
    fx_lookup(f, 1, HIGH + 5);
    fx_expect(f, 0);
    fx_down(f);
}

static void forged_progress(void **state)
{
    (void)state;
    fx_each(forged);
}

/* --- while frames are pinned ------------------------------------------------------------------------ */

static struct {
    bool armed;
    uint64_t sizes; /* of the window that comes in its place; 0: none */
} other;

static void change_window(void *opaque, enum pvi_posix_point at, bool after)
{
    struct fx *f = opaque;
    struct pvi_op op;

    (void)at;
    if (!after || !other.armed) {
        return;
    }
    other.armed = false;
    CHECK_EQ(submit_window(&f->dom, PVI_OP_WINDOW_REMOVE, 1, 0, 0, 0, &op), 0);
    if (other.sizes != 0) {
        CHECK_EQ(submit_window(&f->dom, PVI_OP_WINDOW_CREATE, 1, HIGH, 2 * GIB, other.sizes, &op), 0);
        CHECK_EQ(op.u.window.index, 1);
    }
}

/* The first look found a window that is gone, or another one, when the leaves are stored. */
static void pinned(struct fx *f, const struct fx_cfg *cfg)
{
    static const struct {
        uint64_t sizes, nr;
        int status;
        unsigned lg2;
    } cases[] = {{0, 1, -PVI_ERANGE, 0},
                 {0, 0x400, -PVI_ERANGE, 0},
                 {1u << 21, 1, -PVI_EALIGN, 0},
                 {1u << 21, 0x400, 0, 21},
                 {1u << 12, 0x400, 0, 12},
                 {1u << 12, 1, 0, 12}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pvi_op map = {.code = PVI_OP_MAP, .ctx = 1, .flags = PVI_RW}, look = {.code = PVI_OP_LOOKUP, .ctx = 1};

        check_step("the window changes, case %u", i);
        furnish(f, cfg, 0x200);
        other.armed = true;
        other.sizes = cases[i].sizes;
        pvi_posix_hook(f->host, PVI_AT_BIT(PVI_AT_FRAME_GET), change_window, f);
        map.u.map.dfn.f = HIGH + GIB;
        map.u.map.gfn.f = GUEST_PV + GIB;
        map.u.map.nr = cases[i].nr;
        CHECK_EQ(threads_submit(&f->dom, &map), cases[i].status);
        CHECK(!other.armed);
        pvi_posix_hook(f->host, 0, NULL, NULL);
        CHECK_EQ(map.done, cases[i].status == 0 ? cases[i].nr : 0);
        look.u.lookup.dfn.f = HIGH + GIB;
        CHECK_EQ(threads_submit(&f->dom, &look), cases[i].sizes == 0 ? -PVI_ERANGE : cases[i].status == 0 ? 0 : -PVI_ENOENT);
        CHECK(cases[i].status != 0 || look.u.lookup.lg2 == cases[i].lg2);
        pvi_posix_checkpoint(f->host);
        fx_check_loose(f);
        fx_end(f, false);
    }
}

/* Where one page was found, a large one with the same first frame lies by now, in a window that has no smaller ones. */
static void grow_page(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_op map = {.code = PVI_OP_MAP, .ctx = 1, .flags = PVI_RW, .u.map = {{HIGH + GIB}, {GUEST_PV + GIB}, 0x200}};
    bool armed = other.armed;

    change_window(opaque, at, after);
    if (armed && !other.armed) {
        CHECK_EQ(threads_submit(&((struct fx *)opaque)->dom, &map), 0);
    }
}

static void pinned_to_change(struct fx *f, const struct fx_cfg *cfg)
{
    struct pvi_op op = {.code = PVI_OP_MAP, .ctx = 1, .flags = PVI_RW, .u.map = {{HIGH + GIB}, {GUEST_PV + GIB}, 1}};

    furnish(f, cfg, 0x200);
    CHECK_EQ(threads_submit(&f->dom, &op), 0);
    other.armed = true;
    other.sizes = 1u << 21;
    pvi_posix_hook(f->host, PVI_AT_BIT(PVI_AT_FRAME_GET), grow_page, f);
    op = (struct pvi_op){.code = PVI_OP_RIGHTS, .ctx = 1, .flags = PVI_READ, .u.unmap = {{HIGH + GIB}, 0x200}};
    CHECK_EQ(threads_submit(&f->dom, &op), -PVI_EALIGN);
    CHECK(!other.armed);
    pvi_posix_hook(f->host, 0, NULL, NULL);
    op = (struct pvi_op){.code = PVI_OP_LOOKUP, .ctx = 1, .u.lookup.dfn = {HIGH + GIB}};
    CHECK_EQ(threads_submit(&f->dom, &op), 0);
    CHECK_EQ(op.u.lookup.lg2, 21);
    CHECK_EQ(op.u.lookup.prot, PVI_RW);
    pvi_posix_checkpoint(f->host);
    fx_check_loose(f);
    fx_end(f, false);
}

static void grown_while_pinning(void **state)
{
    (void)state;
    fx_each(pinned_to_change);
}

static void changed_while_pinning(void **state)
{
    (void)state;
    fx_each(pinned);
}

/* --- one flush ------------------------------------------------------------------------------------ */

static void flushes(struct fx *f, const struct fx_cfg *cfg)
{
    furnish(f, cfg, 0x2000);
    fx_told_reset(f);
    fx_begin(f);
    fx_window_op(f, PVI_OP_WINDOW_REMOVE, 1, 0); /* 16 tables, each with frames that are owed */
    fx_expect(f, 0);
    CHECK_EQ(fx_told(f, 0).wait, 1);
    fx_begin(f);
    fx_window(f, 1, LOW, 0x2000, 12, 1u << 12);
    fx_map(f, 1, LOW, GUEST_HVM, 100, PVI_RW);
    fx_expect(f, 0);
    fx_told_reset(f);
    fx_begin(f);
    fx_op(f, PVI_OP_WINDOW_RESET, 1);
    fx_expect(f, 0);
    CHECK(fx_told(f, 0).wait <= 2); /* a gather holds a gigabyte of frames */
    fx_down(f);
}

static void one_flush(void **state)
{
    (void)state;
    fx_each(flushes);
}

/* --- two devices ---------------------------------------------------------------------------------- */

static struct {
    unsigned looks, both, none;
} seen;

static bool reaches(const struct fx *f, unsigned dev, uint64_t dfn)
{
    return hwm_walk(f->unit[dev].model, f->dev[dev].rid[0], dfn << 12, false, NULL, NULL) == HWM_OK;
}

/* Between any two stores: a device is in both windows or in neither, and devices of one context in the same. */
static void look(void *opaque, enum pvi_posix_point at, bool after)
{
    struct fx *f = opaque;
    bool low[2], high[2];

    (void)at;
    for (unsigned i = 0; after && i < 2; i++) {
        low[i] = reaches(f, i, LOW + 7);
        high[i] = reaches(f, i, HIGH + 7);
        CHECK_EQ(low[i], high[i]);
        seen.both += low[i];
        seen.none += !low[i];
        seen.looks++;
    }
}

static void same_windows(void *opaque, enum pvi_posix_point at, bool after)
{
    struct fx *f = opaque;

    (void)at;
    if (after) {
        CHECK_EQ(reaches(f, 0, LOW + 7), reaches(f, 1, LOW + 7));
        CHECK_EQ(reaches(f, 0, HIGH + 7), reaches(f, 1, HIGH + 7));
        seen.looks++;
    }
}

static void two_devices(void **state)
{
    static const struct fx_cfg cfg[] = {{.kind = FX_VTD, .units = 2}, {.kind = FX_AMD, .units = 2}};
    const unsigned points = PVI_AT_BIT(PVI_AT_WRITE) | PVI_AT_BIT(PVI_AT_DEV_SWITCH) | PVI_AT_BIT(PVI_AT_INV_SUBMIT) |
                            PVI_AT_BIT(PVI_AT_INV_WAIT);

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        check_case("two devices on two units, kind %u", k);
        furnish(&fx, &cfg[k], 0x2000);
        memset(&seen, 0, sizeof(seen));
        pvi_posix_hook(fx.host, points, look, &fx);
        fx_begin(&fx);
        fx_reattach(&fx, 1, 1);
        fx_reattach(&fx, 0, 1);
        fx_reattach(&fx, 1, 1);
        fx_expect(&fx, 0);
        CHECK(seen.both != 0 && seen.none != 0);
        pvi_posix_hook(fx.host, points, same_windows, &fx);
        seen.looks = 0;
        fx_begin(&fx);
        fx_window_op(&fx, PVI_OP_WINDOW_REMOVE, 1, 1);
        fx_window(&fx, 1, HIGH, GIB, 21, 0);
        fx_map(&fx, 1, HIGH, GUEST_PV + GIB, 0x400, PVI_RW);
        fx_window_op(&fx, PVI_OP_WINDOW_REMOVE, 1, 0);
        fx_op(&fx, PVI_OP_WINDOW_RESET, 1);
        fx_expect(&fx, 0);
        CHECK(seen.looks > 10);
        pvi_posix_hook(fx.host, 0, NULL, NULL);
        fx_down(&fx);
    }
}

/* --- threads -------------------------------------------------------------------------------------- */

#define ROUNDS TH_TIMES(1500u, 300u)
#define PLACE (5 * TH_GIB)

static unsigned odd[2], mapped, refused, removed;

/* Maps and unmaps in the window that the other vCPU takes away and brings back, with pages of another size. */
static void *mapper(void *opaque)
{
    uint64_t seed = 77, gfn;

    (void)opaque;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t dfn = PLACE + threads_below(&seed, 16) * 0x200, nr = (1 + threads_below(&seed, 3)) * 0x200;
        int rc = threads_map(&rig, 1, dfn, TH_GFN_PV + (dfn & 0x1fff), nr, NULL);

        mapped += rc == 0;
        refused += rc == -PVI_ERANGE;
        odd[0] += rc != 0 && rc != -PVI_ERANGE && rc != -PVI_EEXIST;
        rc = threads_unmap(&rig, 1, dfn + (nr >> 1), nr >> 1, NULL);
        odd[0] += rc != 0 && rc != -PVI_ERANGE && rc != -PVI_ENOENT && rc != -PVI_EALIGN;
        rc = threads_lookup(&rig, 1, dfn, &gfn);
        odd[0] += rc != 0 && rc != -PVI_ERANGE && rc != -PVI_ENOENT;
    }
    return NULL;
}

static void *windower(void *opaque)
{
    struct pvi_op op;
    int rc;

    (void)opaque;
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        rc = submit_window(&rig.guest, PVI_OP_WINDOW_REMOVE, 0, 0, 0, 0, &op);
        removed += rc == 0;
        odd[1] += rc != 0;
        rc = submit_window(&rig.guest, PVI_OP_WINDOW_CREATE, 0, PLACE, 0x4000, i % 3 == 0 ? 0 : i % 3 == 1 ? 1u << 21 : 1u << 12, &op);
        odd[1] += rc != 0;
        for (unsigned k = 0; k < 60; k++) { /* so long there is something to map in */
            rc = submit_window(&rig.guest, PVI_OP_WINDOW_QUERY, 0, 0, 0, 0, &op);
            odd[1] += rc != 0 || op.u.window.dfn.f != PLACE;
        }
    }
    return NULL;
}

static void a_map_races_a_removal(void **state)
{
    const struct threads_cfg *cfg;
    pthread_t thread[2];
    struct pvi_op op;

    (void)state;
    mapped = refused = removed = 0;
    for (cfg = threads_cfgs; cfg->format; cfg++) {
        struct flat *found;

        if (cfg->sizes != 0 && (cfg->sizes & 1u << 21) == 0) {
            continue;
        }
        check_case("%s, %u levels", cfg->format->name, cfg->levels);
        threads_up(&rig, cfg);
        CHECK_EQ(pthread_create(&thread[0], NULL, mapper, NULL), 0);
        CHECK_EQ(pthread_create(&thread[1], NULL, windower, NULL), 0);
        CHECK_EQ(pthread_join(thread[0], NULL), 0);
        CHECK_EQ(pthread_join(thread[1], NULL), 0);
        CHECK_EQ(odd[0], 0);
        CHECK_EQ(odd[1], 0);
        CHECK_EQ(submit_window(&rig.guest, PVI_OP_WINDOW_RESET, 0, 0, 0, 0, &op), 0);
        found = threads_walk(&rig, 1);
        CHECK_EQ(flat_pages(found), 0);
        flat_free(found);
        threads_down(&rig);
    }
    print_message("%u maps, %u refused, %u removals\n", mapped, refused, removed);
    CHECK(mapped != 0 && removed != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removal_interrupted), cmocka_unit_test(forged_progress), cmocka_unit_test(one_flush),
        cmocka_unit_test(changed_while_pinning), cmocka_unit_test(grown_while_pinning),
        cmocka_unit_test(two_devices),         cmocka_unit_test(a_map_races_a_removal),
    };

    return cmocka_run_group_tests_name("windows, raced", tests, NULL, NULL);
}
