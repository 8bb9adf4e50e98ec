/* SPDX-License-Identifier: MIT */
/*
 * Contexts that another CPU ends, makes anew, or changes by a batch that happens whole or not at all, between two steps of a call that
 * has found them alive.
 */
#include <string.h>

#include "fixture.h"
#include "threads_rig.h"

#define MIB2 (1ull << 21)
#define PAGE (1ull << 12)
#define FAR  (1ull << 39) /* another table below the root */

static struct threads_rig rig;

/* --- the context ends before somebody has it alone ---------------------------------------------------- */

static struct {
    bool armed, renew;
} other;

/* Is nobody in the context, and is all that is left of its table one empty table below the root? */
static bool only_the_climb_is_left(struct pvi_context *ctx)
{
    uint64_t *root = pvi_env_map(rig.host, ctx->pt.root_pa);
    pvi_pa pa = {root[0] & 0x000ffffffffff000ull};
    struct pvi_page *below = pvi_env_page(rig.host, pa);
    uint32_t held = ctx->lock.word;

    for (unsigned i = 0; i < PVI_CTX_STRIPES; i++) {
        held |= ctx->stripe[i].lock.word;
    }
    pvi_env_unmap(rig.host, root);
    return held == 0 && below && below->live == 0;
}

static void end_context(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_op op = {.code = PVI_OP_FREE_CONTEXT, .ctx = 1, .flags = PVI_FREE_REATTACH};

    (void)opaque;
    (void)at;
    if (!after || !other.armed || !only_the_climb_is_left(rig.guest.slot[0])) {
        return;
    }
    other.armed = false;
    CHECK_EQ(other.renew ? threads_renew(&rig, 1) : threads_submit(&rig.guest, &op), 0);
}

static void end_before_alone(const struct threads_cfg *cfg, bool renew, uint64_t nr)
{
    struct pvi_op op = {.code = PVI_OP_ALLOC_CONTEXT};
    struct pvi_context *ctx;

    threads_up(&rig, cfg);
    ctx = rig.guest.slot[0];
    CHECK_EQ(threads_map(&rig, 1, 0, TH_GFN_ANY, nr, NULL), 0);
    other.renew = renew;
    other.armed = true;
    pvi_posix_hook(rig.host, PVI_AT_BIT(PVI_AT_UNLOCK), end_context, NULL);
    CHECK_EQ(threads_unmap(&rig, 1, 0, nr, NULL), 0);
    CHECK(!other.armed);
    CHECK_EQ(ctx->quota.gathered, 0);
    if (!renew) {
        CHECK_EQ(ctx->state, PVI_CTX_FREE);
        CHECK_EQ(ctx->quota.used, 0);
        CHECK_EQ(threads_submit(&rig.guest, &op), 0);
        op = (struct pvi_op){.code = PVI_OP_REATTACH_DEVICE, .ctx = 1, .u.reattach = {.sbdf = rig.dev[0].sbdf}};
        CHECK_EQ(threads_submit(&rig.guest, &op), 0);
    }
    CHECK_EQ(ctx->state, PVI_CTX_LIVE);
    CHECK_EQ(ctx->quota.used, 1);
    CHECK_EQ(threads_map(&rig, 1, 0, TH_GFN_PV, 1, NULL), 0);
    threads_down(&rig);
}

static void context_ends_before_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        struct threads_cfg cfg = {
            .format = threads_formats[i], .levels = 4, .sizes = PAGE | MIB2, .coherent = true, .pages = 600};

        for (unsigned k = 0; k < 4; k++) {
            cfg.trim = k < 2;
            check_case("%s, %s, %s", threads_formats[i]->name, cfg.trim ? "trim" : "512 GiB", k % 2 ? "renewed" : "freed");
            end_before_alone(&cfg, k % 2 != 0, cfg.trim ? 1 : 1ull << 27);
        }
    }
}

/* --- empty tables below a batch that happens whole or not at all --------------------------------------- */

static struct {
    bool armed;
    unsigned at, now; /* the checkpoint that preempts the batch; how many there were */
    struct pvi_op op[3];
    struct pvi_batch batch;
    int rc;
    unsigned undone; /* batches that had begun to change things */
} beside;

static bool preempt_once(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return beside.now++ == beside.at;
}

/* Maps a page where the other has just removed the last one, and removes it in a batch that fails in the end: it comes back. */
static void begin_batch(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_op map = {.code = PVI_OP_MAP, .ctx = 1, .flags = PVI_RW, .u.map = {.gfn = {TH_GFN_PV}, .nr = 1}};

    (void)opaque;
    (void)at;
    if (!after || !beside.armed || !only_the_climb_is_left(rig.guest.slot[0])) {
        return;
    }
    beside.armed = false;
    CHECK_EQ(threads_submit(&rig.guest, &map), 0);
    beside.op[0] = (struct pvi_op){.code = PVI_OP_UNMAP, .domid = PVI_DOMID_SELF, .ctx = 1, .u.unmap = {.nr = 1}};
    for (unsigned i = 1; i < 3; i++) {
        beside.op[i] = (struct pvi_op){.code = PVI_OP_MAP, .domid = PVI_DOMID_SELF, .ctx = 1, .flags = PVI_RW,
                                       .u.map = {.dfn = {FAR >> 12}, .gfn = {TH_GFN_PV + 1}, .nr = 1}};
    }
    beside.batch = (struct pvi_batch){.ops = beside.op, .nr = 3, .flags = PVI_BATCH_ATOMIC};
    pvi_posix_preempt_call(rig.host, preempt_once, NULL);
    beside.rc = pvi_submit(&rig.guest, &beside.batch);
    pvi_posix_preempt_call(rig.host, NULL, NULL);
}

/* False: the batch had no such checkpoint. */
static bool climb_beside(const struct threads_cfg *cfg, unsigned at)
{
    uint64_t gfn = 0, n = 0;

    threads_up(&rig, cfg);
    CHECK_EQ(threads_map(&rig, 1, 0, TH_GFN_ANY, 1, NULL), 0);
    beside.now = 0;
    beside.at = at;
    beside.armed = true;
    pvi_posix_hook(rig.host, PVI_AT_BIT(PVI_AT_UNLOCK), begin_batch, NULL);
    CHECK_EQ(threads_unmap(&rig, 1, 0, 1, NULL), 0);
    CHECK(!beside.armed);
    pvi_posix_hook(rig.host, 0, NULL, NULL);
    while (threads_map(&rig, 2, n * TH_GIB, TH_GFN_PV + 2, 1, NULL) == 0) {
        n++; /* all pages that there are */
    }
    while (beside.rc == -PVI_EPREEMPTED) {
        beside.rc = pvi_submit(&rig.guest, &beside.batch);
    }
    CHECK(beside.rc == 0 && beside.op[0].status != 0);
    beside.undone += beside.op[0].status == -PVI_ECANCELED;
    CHECK_EQ(threads_lookup(&rig, 1, 0, &gfn), 0);
    CHECK_EQ(gfn, TH_GFN_PV);
    while (n-- != 0) {
        CHECK_EQ(threads_unmap(&rig, 2, n * TH_GIB, 1, NULL), 0);
    }
    threads_down(&rig);
    return beside.now > at;
}

static void batches_keep_their_empty_tables(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        struct threads_cfg cfg = {.format = threads_formats[i], .levels = 4, .sizes = PAGE | MIB2, .trim = true, .coherent = true, .pages = 40};
        unsigned at = 0;

        beside.undone = 0;
        do {
            check_case("%s, preempted at checkpoint %u", threads_formats[i]->name, at);
        } while (climb_beside(&cfg, at++));
        CHECK(beside.undone > 2);
    }
}

/* --- a context becomes another while somebody maps in it -------------------------------------------------- */

static struct pvi_op identity;
static struct pvi_batch making;

static bool preempt_now(void *opaque, uint64_t nr)
{
    (void)opaque;
    (void)nr;
    return true;
}

/* The context ends, and its number is an identity context's, which is not built yet. */
static void make_identity(void *opaque, enum pvi_posix_point at, bool after)
{
    struct pvi_op op = {.code = PVI_OP_FREE_CONTEXT, .ctx = 1, .flags = PVI_FREE_REATTACH};

    (void)opaque;
    (void)at;
    (void)after;
    if (making.nr != 0) {
        return;
    }
    CHECK_EQ(threads_submit(&rig.guest, &op), 0);
    identity = (struct pvi_op){.code = PVI_OP_ALLOC_CONTEXT, .domid = PVI_DOMID_SELF, .flags = PVI_ALLOC_IDENTITY};
    making = (struct pvi_batch){.ops = &identity, .nr = 1};
    pvi_posix_preempt_call(rig.host, preempt_now, NULL);
    CHECK_EQ(pvi_submit(&rig.guest, &making), -PVI_EPREEMPTED);
    pvi_posix_preempt_call(rig.host, NULL, NULL);
}

static void nobody_maps_in_what_is_built(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        struct threads_cfg cfg = {.format = threads_formats[i], .levels = 4, .sizes = PAGE | MIB2 | 1u << 30, .coherent = true, .pages = 1200};
        struct pvi_op op = {.code = PVI_OP_REATTACH_DEVICE, .ctx = 1};

        check_case("%s", threads_formats[i]->name);
        threads_up(&rig, &cfg);
        CHECK_EQ(pvi_posix_hdom_identity(rig.owner, TH_GFN_PV, 4, PVI_RW), 0);
        CHECK_EQ(pvi_posix_hdom_identity(rig.owner, TH_NR_PV - 4, 4, PVI_RW), 0);
        memset(&making, 0, sizeof(making));
        pvi_posix_hook(rig.host, PVI_AT_BIT(PVI_AT_FRAME_GET), make_identity, NULL);
        CHECK_EQ(threads_map(&rig, 1, TH_NR_PV - 1, TH_GFN_PV, 1, NULL), -PVI_ENOCTX);
        pvi_posix_hook(rig.host, 0, NULL, NULL);
        while (pvi_submit(&rig.guest, &making) == -PVI_EPREEMPTED) {
        }
        CHECK_EQ(identity.status, 0);
        CHECK_EQ(identity.ctx, 1);
        op.u.reattach.sbdf = rig.dev[0].sbdf;
        CHECK_EQ(threads_submit(&rig.guest, &op), 0);
        threads_down(&rig);
    }
}

/* Until it is built it is not there for any operation on a range, however wrong that is otherwise, and no frame is asked for. */
static void nobody_has_what_is_built(void **state)
{
    static const struct pvi_op ops[] = {
        {.code = PVI_OP_MAP, .flags = PVI_RW, .u.map = {.dfn = {TH_GFN_PV}, .gfn = {TH_GFN_PV}, .nr = 1}},
        {.code = PVI_OP_MAP, .flags = PVI_RW, .u.map = {.dfn = {TH_GFN_PV}, .gfn = {TH_GFN_PV}}},
        {.code = PVI_OP_MAP},
        {.code = PVI_OP_UNMAP, .u.unmap = {.dfn = {TH_GFN_PV}, .nr = 1}},
        {.code = PVI_OP_UNMAP, .done = 1, .u.unmap = {.dfn = {TH_GFN_PV}, .nr = 1}}, /* how hypercall 43 asks for it */
        {.code = PVI_OP_UNMAP, .u.unmap = {.dfn = {UINT64_MAX}, .nr = 1}},
        {.code = PVI_OP_RIGHTS, .flags = PVI_READ, .u.unmap = {.dfn = {TH_GFN_PV}, .nr = 1}},
        {.code = PVI_OP_LOOKUP, .u.lookup = {.dfn = {TH_GFN_PV}}},
        {.code = PVI_OP_FLUSH},
        {.code = PVI_OP_FLUSH, .u.unmap = {.dfn = {TH_GFN_PV}, .nr = 1}},
    };

    (void)state;
    for (unsigned i = 0; i < TH_NR_FORMATS; i++) {
        struct threads_cfg cfg = {.format = threads_formats[i], .levels = 4, .sizes = PAGE | MIB2 | 1u << 30, .coherent = true, .pages = 1200};
        struct pvi_op op = {.code = PVI_OP_REATTACH_DEVICE, .ctx = 1};
        uint64_t gets;

        threads_up(&rig, &cfg);
        CHECK_EQ(pvi_posix_hdom_identity(rig.owner, TH_GFN_PV, 4, PVI_RW), 0);
        CHECK_EQ(pvi_posix_hdom_identity(rig.owner, TH_NR_PV - 4, 4, PVI_RW), 0);
        memset(&making, 0, sizeof(making));
        make_identity(NULL, PVI_AT_FRAME_GET, false);
        gets = pvi_posix_calls(rig.host, PVI_AT_FRAME_GET);
        for (unsigned k = 0; k < sizeof(ops) / sizeof(ops[0]); k++) {
            struct pvi_op asked = ops[k];

            check_case("%s, operation %u", threads_formats[i]->name, k);
            asked.ctx = 1;
            CHECK_EQ(threads_submit(&rig.guest, &asked), -PVI_ENOCTX);
            CHECK_EQ(asked.fault, 0);
            CHECK_EQ(asked.done, ops[k].done);
        }
        CHECK_EQ(pvi_posix_calls(rig.host, PVI_AT_FRAME_GET), gets);
        while (pvi_submit(&rig.guest, &making) == -PVI_EPREEMPTED) {
        }
        CHECK_EQ(identity.status, 0);
        op.u.reattach.sbdf = rig.dev[0].sbdf;
        CHECK_EQ(threads_submit(&rig.guest, &op), 0);
        threads_down(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_ends_before_alone),
        cmocka_unit_test(batches_keep_their_empty_tables),
        cmocka_unit_test(nobody_maps_in_what_is_built),
        cmocka_unit_test(nobody_has_what_is_built),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
