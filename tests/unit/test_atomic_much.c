/* SPDX-License-Identifier: MIT */
/* What may be pinned, or released, between two checkpoints: R14, where one run of frames is larger than that. */
#include "fixture.h"

#define GIG 0x40000ull

static struct fx f;
static unsigned a;

#define A_MUCH 0x1000000ull
#define MUCH 4u /* gigabytes */

struct much {
    unsigned before, most; /* gigabytes that were pinned at the last checkpoint; that went between two */
    unsigned reads; /* pinned to read, when last looked */
};

static unsigned much_pinned(unsigned owe)
{
    unsigned nr = 0;

    for (uint64_t i = 0; i < MUCH; i++) {
        struct guest_frame frame;

        CHECK(guest_frame(GUEST_PV + i * GIG + 7, &frame));
        nr += pvi_posix_frame_count(f.hdom, frame.pa, owe) != 0;
    }
    return nr;
}

static bool watch(void *opaque, uint64_t nr)
{
    struct much *m = opaque;
    unsigned now = much_pinned(PVI_OWE_WRITABLE);

    if (m->before > now && m->before - now > m->most) {
        m->most = m->before - now;
    }
    m->before = now;
    (void)nr;
    return false;
}

/* What is pinned for new rights may have to be given back at once. */
static void pinned(void *opaque, enum pvi_posix_point at, bool after)
{
    struct much *m = opaque;
    unsigned now = after ? much_pinned(PVI_OWE_REF) : 0;

    (void)at;
    if (after && now > m->reads && now - m->reads > m->most) {
        m->most = now - m->reads;
    }
    m->reads = after ? now : m->reads;
}

/* One run of frames, larger than what may be pinned or released between two checkpoints, by unmapping and by new rights. */
static void test_much(void **state)
{
    static const struct fx_cfg cfg = {.kind = FX_NULL, .levels = 4, .pages = 64};

    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        struct much m = {MUCH, 0, 0};

        check_case("much at once, %u", how);
        fx_up(&f, &cfg);
        a = fx_context(&f, 0);
        fx_begin(&f);
        fx_map(&f, a, A_MUCH, GUEST_PV, MUCH * GIG, PVI_RW);
        fx_expect(&f, 0);
        fx_begin(&f);
        if (how == 0) {
            fx_unmap(&f, a, A_MUCH, MUCH * GIG);
        } else {
            fx_rights(&f, a, A_MUCH, MUCH * GIG, PVI_READ);
        }
        f.batch.flags = how < 2 ? PVI_BATCH_ATOMIC : 0;
        pvi_posix_preempt_call(f.host, watch, &m);
        pvi_posix_hook(f.host, PVI_AT_BIT(PVI_AT_FRAME_GET), pinned, &m);
        CHECK_EQ(fx_submit(&f), 0);
        pvi_posix_hook(f.host, 0, NULL, NULL);
        pvi_posix_preempt_call(f.host, NULL, NULL);
        (void)watch(&m, 0);
        CHECK_EQ(f.op[0].status, 0);
        CHECK_EQ(much_pinned(PVI_OWE_WRITABLE), 0);
        check_step("%u GiB between two checkpoints", m.most);
        CHECK(m.most <= 1);
        fx_end(&f, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_much)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
