/* SPDX-License-Identifier: MIT */
/*
 * The reverse map against a table that says the same by counting: random mappings, lookups, balloons and deaths of io-servers and guests,
 * with few bus frames and frames, so that everything meets everything. After each step: entries, references, what devices reach.
 */
#include <string.h>

#include "bus_rig.h"

#define RW 3u
#define SWAP 4u
#define NOWHERE UINT64_MAX
#define BFNS 24u
#define FRAMES 5u
#define SERVERS 4u
#define BFN(i) (0x900u + (i))

struct mapping {
    unsigned guest, frame, prot;
    unsigned servers, keep; /* bit n: io-server n has it; and cannot have it moved */
    bool scratch;
};

static struct mapping at[BFNS];
static bool going[BUS_GUESTS][FRAMES]; /* held after a balloon */

static bool leads(unsigned i, unsigned guest, unsigned frame)
{
    return at[i].servers != 0 && !at[i].scratch && at[i].guest == guest && at[i].frame == frame;
}

static unsigned leaves(unsigned guest, unsigned frame)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < BFNS; i++) {
        nr += leads(i, guest, frame);
    }
    return nr;
}

static void settle(void)
{
    for (unsigned g = 0; g < BUS_GUESTS; g++) {
        for (unsigned f = 0; f < FRAMES; f++) {
            going[g][f] = going[g][f] && leaves(g, f) != 0;
        }
    }
}

static void do_map(struct bus_rig *r, struct rnd *rnd)
{
    unsigned i = (unsigned)rnd_below(rnd, BFNS), g = (unsigned)rnd_below(rnd, BUS_GUESTS), f = (unsigned)rnd_below(rnd, FRAMES);
    unsigned s = (unsigned)rnd_below(rnd, SERVERS), prot = rnd_below(rnd, 5) == 0 ? 1 : RW, swap = rnd_below(rnd, 3) ? SWAP : 0;
    int32_t want = 0;

    if (going[g][f]) {
        want = -PVI_XEN_ENXIO;
    } else if (at[i].servers != 0 && (!leads(i, g, f) || at[i].prot != prot)) {
        want = -PVI_XEN_EPERM;
    }
    bus_load(r, BFN(i));
    bus_begin(r);
    bus_foreign(r, BFN(i), G_HVM + f, BUS_GUEST_DOMID + g, s, prot | swap);
    CHECK_EQ(bus_do(r), want);
    if (want == 0) {
        at[i].guest = g;
        at[i].frame = f;
        at[i].prot = prot;
        at[i].scratch = false;
        at[i].servers |= 1u << s;
        at[i].keep |= swap ? 0 : 1u << s;
    }
}

static void do_lookup(struct bus_rig *r, struct rnd *rnd)
{
    unsigned g = (unsigned)rnd_below(rnd, BUS_GUESTS), f = (unsigned)rnd_below(rnd, FRAMES), s = (unsigned)rnd_below(rnd, SERVERS);
    bool there = leaves(g, f) != 0 && !going[g][f];
    uint64_t i;

    bus_begin(r);
    bus_lookup(r, G_HVM + f, BUS_GUEST_DOMID + g, s);
    CHECK_EQ(bus_do(r), there ? 0 : -PVI_XEN_ENOENT);
    if (there) {
        i = bus_q8(r, 0) - BFN(0);
        CHECK(i < BFNS && leads((unsigned)i, g, f));
        CHECK_EQ(bus_flags(r, 0) & RW, at[i].prot);
        if ((at[i].servers >> s & 1) == 0) {
            at[i].servers |= 1u << s; /* who looks up has not said that it can be moved */
            at[i].keep |= 1u << s;
        }
    }
}

static void do_unmap(struct bus_rig *r, struct rnd *rnd)
{
    unsigned i = (unsigned)rnd_below(rnd, BFNS), s = (unsigned)rnd_below(rnd, SERVERS);
    bool there = (at[i].servers >> s & 1) != 0;

    bus_begin(r);
    bus_unforeign(r, BFN(i), s);
    CHECK_EQ(bus_do(r), there ? 0 : -PVI_XEN_ENOENT);
    at[i].servers &= ~(1u << s);
    at[i].keep &= ~(1u << s);
}

static void do_balloon(struct bus_rig *r, struct rnd *rnd)
{
    unsigned g = (unsigned)rnd_below(rnd, BUS_GUESTS), f = (unsigned)rnd_below(rnd, FRAMES), keep = 0;
    static struct pvi_balloon b;
    int rc;

    for (unsigned i = 0; i < BFNS; i++) {
        keep |= leads(i, g, f) ? at[i].keep : 0;
    }
    memset(&b, 0, sizeof(b));
    b.map = &r->map;
    b.pa.a = G_PA(g, G_HVM + f);
    do {
        rc = pvi_balloon_out(&b);
        pvi_posix_checkpoint(r->f.host);
    } while (rc == -PVI_EPREEMPTED);
    going[g][f] = leaves(g, f) != 0 && (keep != 0 || going[g][f]);
    CHECK_EQ(rc, going[g][f] ? PVI_BALLOON_HELD : 0);
    for (unsigned i = 0; i < BFNS && !going[g][f]; i++) {
        at[i].scratch |= leads(i, g, f);
    }
}

static void do_death(struct bus_rig *r, struct rnd *rnd)
{
    unsigned g = (unsigned)rnd_below(rnd, BUS_GUESTS), s = (unsigned)rnd_below(rnd, SERVERS);
    bool all = rnd_below(rnd, 4) == 0;
    int rc;

    do {
        rc = all ? pvi_guest_gone(&r->map, (uint16_t)(BUS_GUEST_DOMID + g), &r->work)
                 : pvi_ioserver_gone(&r->f.dom, (uint16_t)(BUS_GUEST_DOMID + g), (uint16_t)s, &r->work);
        pvi_posix_checkpoint(r->f.host);
    } while (rc == -PVI_EPREEMPTED);
    CHECK_EQ(rc, 0);
    for (unsigned i = 0; i < BFNS; i++) {
        if (at[i].guest == g) {
            at[i].servers &= all ? 0 : ~(1u << s);
            at[i].keep &= at[i].servers;
        }
    }
}

static void check(struct bus_rig *r, unsigned i)
{
    uint32_t entries = 0;

    for (unsigned k = 0; k < BFNS; k++) {
        entries += (uint32_t)__builtin_popcount(at[k].servers);
    }
    CHECK_EQ(r->f.dom.bus ? r->f.dom.bus->nr_entries : 0, entries);
    for (unsigned g = 0; g < BUS_GUESTS; g++) {
        for (unsigned f = 0; f < FRAMES; f++) {
            CHECK_EQ(bus_refs(r, G_PA(g, G_HVM + f)), leaves(g, f));
        }
    }
    bus_expect(r, BFN(i),
               at[i].servers == 0 ? NOWHERE
               : at[i].scratch    ? r->f.dom.bus->scratch.a
                                  : G_PA(at[i].guest, G_HVM + at[i].frame),
               at[i].prot);
}

static bool sometimes(void *opaque, uint64_t nr)
{
    (void)opaque;
    return nr % 3 != 0;
}

static void random_steps(struct bus_rig *r, const struct fx_cfg *cfg)
{
    struct bus_opt opt = {0};
    struct rnd rnd = {cfg->kind * 77u + cfg->units};

    memset(at, 0, sizeof(at));
    memset(going, 0, sizeof(going));
    bus_up(r, cfg, &opt);
    pvi_posix_preempt_call(r->f.host, sometimes, NULL);
    for (unsigned step = 0; step < 3000; step++) {
        uint64_t what = rnd_below(&rnd, 100);

        check_step("step %u, %u", step, (unsigned)what);
        if (what < 45) {
            do_map(r, &rnd);
        } else if (what < 60) {
            do_lookup(r, &rnd);
        } else if (what < 85) {
            do_unmap(r, &rnd);
        } else if (what < 97) {
            do_balloon(r, &rnd);
        } else {
            do_death(r, &rnd);
        }
        settle();
        check(r, (unsigned)rnd_below(&rnd, BFNS));
    }
    pvi_posix_preempt_call(r->f.host, NULL, NULL);
    bus_down(r);
}

static void test_random(void **state)
{
    (void)state;
    bus_each(random_steps);
}

/* Too many buckets, or none; no memory. */
static void test_init(void **state)
{
    struct pvi_posix_cfg pc = {.pa = GUEST_ARENA_PA, .size = GUEST_ARENA_SIZE};
    struct pvi_host *h = pvi_posix_new(&pc);
    struct pvi_revmap map;

    (void)state;
    CHECK(h);
    CHECK_EQ(pvi_revmap_init(&map, h, 0, 1), -PVI_ELIMIT);
    CHECK_EQ(pvi_revmap_init(&map, h, PVI_REVMAP_LG2_MAX + 1, 1), -PVI_ELIMIT);
    pvi_posix_fail(h, PVI_AT_MEM_ALLOC, 1, false);
    CHECK_EQ(pvi_revmap_init(&map, h, 4, 1), -PVI_ENOMEM);
    CHECK_EQ(pvi_revmap_init(&map, h, 4, 1), 0);
    pvi_revmap_fini(&map);
    CHECK_EQ(pvi_posix_mem_used(h), 0);
    pvi_posix_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_init), cmocka_unit_test(test_random)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
