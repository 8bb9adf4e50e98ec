/* SPDX-License-Identifier: MIT */
/* Hypercall 43 of a guest beside dom0, with a device that is the guest's; and the guest's death at any moment. */
#include "guest.h"
#include "iommu43.h"

#define XEN_MEMORY_OP 12
#define XENMEM_DECREASE_RESERVATION 1
#define DOMID_SELF 0x7ff0
#define GUEST_CONTEXTS 4u
#define GUEST_ARENA 6u
#define TIMES 10u
#define DATA GUEST_ROOM

/* Does what the device stores at bus frame `dfn` arrive in that page of the guest's? */
static bool lands_in(uint64_t dfn, uint64_t gfn, unsigned seed)
{
    return lands(dfn, guest_page(gfn), seed);
}

/* Before dom0 has it that way, the guest has no interface; nobody but dom0 can change that. */
static void test_stranger(void)
{
    struct iommu_caps caps = {0};
    uint16_t ctx;

    iommu_by_guest = true;
    is(iommu_noop(), ENODEV, "guest: no interface");
    is(iommu_query(&caps), ENODEV, "guest: no query");
    is(iommu_init(GUEST_CONTEXTS, GUEST_ARENA), ENODEV, "guest: no init");
    is(iommu_alloc(0, &ctx), ENODEV, "guest: no alloc");
    iommu_by_guest = false;
}

static long init_for_guest(void)
{
    uint32_t arg[2] = {GUEST_CONTEXTS, GUEST_ARENA};

    return iommu_remote(guest_id, 2, arg);
}

static void test_interface(void)
{
    struct iommu_caps caps = {0};

    is(init_for_guest(), 0, "dom0 makes contexts for the guest");
    iommu_by_guest = true;
    is(iommu_noop(), 0, "guest: noop");
    is(iommu_query(&caps), 0, "guest: query");
    is(caps.max_ctx_no, GUEST_CONTEXTS, "guest: its own limit");
    is(iommu_init(GUEST_CONTEXTS, GUEST_ARENA), EPERM, "guest: no init of its own");
    is(iommu_remote(0, 0, NULL), EPERM, "guest: nothing for dom0");
    is(iommu_reattach(0, edu_sbdf), ENODEV, "guest: dom0's device is not its own");
    iommu_by_guest = false;
}

/* What a guest gives back is held while a device may write it. */
static void test_given_back(uint16_t ctx)
{
    struct {
        uint64_t extents;
        uint64_t nr;
        uint32_t order, flags;
        uint16_t domid, pad[3];
        uint64_t gfn;
    } r = {.nr = 1, .domid = DOMID_SELF, .gfn = DATA + 2};
    uint64_t before, gone;
    uint32_t done;

    is(iommu_map(ctx, DFN + 8, DATA + 2, 1, MAP_RW, &done), 0, "guest: map another page");
    before = pages_free();
    r.extents = guest_structure() + offsetof(__typeof__(r), gfn);
    is(guest_call(XEN_MEMORY_OP, XENMEM_DECREASE_RESERVATION, &r, sizeof(r)), 1, "guest: give it back");
    is((long)(pages_free() - before), 0, "it is held");
    is(iommu_map(ctx, DFN + 9, DATA + 2, 1, MAP_RW, &done), ENOENT, "guest: it cannot be mapped any more");
    is(iommu_unmap(ctx, DFN + 8, 1, &done), 0, "guest: unmap");
    gone = pages_free();
    is((long)(gone - before), 1, "it is free");
}

static void test_contexts(void)
{
    uint64_t mine = frame_of(to[0]);
    uint32_t done;
    uint16_t ctx;

    load(frame_of(from), 70);
    ok(lands(mine, to[0], 70), "the device reaches dom0");
    is(guest_assign(edu_sbdf), 0, "the device is the guest's");
    ok(!lands(mine, to[0], 70), "it does not reach dom0");
    ok(lands_in(DATA, DATA, 70), "it reaches the guest's memory");
    is(iommu_reattach(0, edu_sbdf), ENODEV, "it is not dom0's");

    iommu_by_guest = true;
    is(iommu_alloc(0, &ctx), 0, "guest: alloc");
    is(iommu_map(ctx, DFN, DATA, 1, MAP_RW, &done), 0, "guest: map a page");
    is(iommu_map(ctx, DFN + 1, mine, 1, MAP_RW, &done), ENOENT, "guest: a frame number of dom0's is none of its own");
    is(iommu_map(ctx, DFN + 1, GUEST_PAGES, 1, MAP_RW, &done), ENOENT, "guest: nor is one behind its memory");
    is(iommu_map(ctx, DFN + 1, DATA, GUEST_PAGES, MAP_RW, &done), ENOENT, "guest: more than it has");
    is(done, GUEST_PAGES - DATA, "guest: what it has is mapped");
    is(iommu_unmap(ctx, DFN + 1, done, &done), 0, "guest: unmap that");
    is(iommu_reattach(ctx, edu_sbdf), 0, "guest: attach");
    ok(lands_in(DFN, DATA, 70), "guest: it reaches the page");
    ok(!lands_in(DATA, DATA, 70), "guest: and nothing at its frame number");
    is(iommu_unmap(ctx, DFN, 1, &done), 0, "guest: unmap");
    ok(!lands_in(DFN, DATA, 70), "guest: no stale translation");
    test_given_back(ctx);
    is(iommu_free(ctx, 0), EBUSY, "guest: free with the device in it");
    is(iommu_reattach(0, edu_sbdf), 0, "guest: the device goes home");
    ok(lands_in(DATA, DATA, 70), "guest: it is there");
    is(iommu_reattach(ctx, edu_sbdf), 0, "guest: attach");
    iommu_by_guest = false;

    is(guest_deassign(edu_sbdf), 0, "the device leaves the guest from its context");
    ok(!lands_in(DATA, DATA, 70), "it reaches it no more");
    is(quarantine_deassign(edu_sbdf), 0, "it is dom0's again");
    ok(lands(mine, to[0], 70), "it reaches dom0");
    iommu_by_guest = true;
    is(iommu_reattach(ctx, edu_sbdf), ENODEV, "guest: it has no device");
    is(iommu_free(ctx, 0), 0, "guest: free");
    iommu_by_guest = false;
}

/* --- deaths ------------------------------------------------------------------------------------------------------- */

static bool home(unsigned seed)
{
    bool there = quarantine_deassign(edu_sbdf) == 0;

    load(frame_of(from), seed);
    return there && lands(frame_of(to[0]), to[0], seed);
}

/* With all that can be there when it dies: contexts, tables, frames to be read and to be written, the device with a transfer under way. */
static bool die_full(unsigned seed)
{
    unsigned bad = 0;
    uint32_t done;
    uint16_t ctx;

    if (!guest_begin()) {
        return false;
    }
    bad += init_for_guest() != 0 || guest_assign(edu_sbdf) != 0;
    iommu_by_guest = true;
    for (unsigned i = 0; i < GUEST_CONTEXTS; i++) {
        bad += iommu_alloc(i == 1 ? ALLOC_IDENTITY : 0, &ctx) != 0;
        bad += i != 1 && iommu_map(ctx, DFN + (i << 18), DATA, GUEST_PAGES - DATA, i % 2 != 0 ? MAP_RW : MAP_READ, &done) != 0;
        bad += iommu_reattach(ctx, edu_sbdf) != 0;
    }
    iommu_by_guest = false;
    edu_begin_store((DFN + ((GUEST_CONTEXTS - 1) << 18)) * PAGE);
    bad += !guest_end();
    edu_wait();
    return bad == 0 && home(seed);
}

/* What a guest does as long as it lives; the numbers of its contexts are those that it gets while nobody else allocates any. */
static void write_list(void)
{
    uint32_t done;
    uint16_t ctx;

    guest_list_begin();
    iommu_by_guest = true;
    for (uint16_t i = 1; i <= GUEST_CONTEXTS; i++) {
        (void)iommu_alloc(i == 3 ? ALLOC_IDENTITY : 0, &ctx);
    }
    for (uint16_t i = 1; i <= GUEST_CONTEXTS; i++) {
        (void)iommu_map(i, DFN, DATA, GUEST_PAGES - DATA, MAP_RW, &done);
        (void)iommu_reattach(i, edu_sbdf);
        (void)iommu_unmap(i, DFN, 1, &done);
        (void)iommu_free(i, FREE_REATTACH);
    }
    iommu_by_guest = false;
    guest_list_run();
}

/* The second CPU acts for the guest, also while that dies. */
static volatile bool acting;

static void act(void *unused)
{
    struct {
        uint16_t ctx, pad;
        uint32_t flags;
    } arg = {0};

    (void)unused;
    for (unsigned i = 0; acting; i++) {
        arg.ctx = (uint16_t)(1 + i % GUEST_CONTEXTS);
        arg.flags = FREE_REATTACH;
        (void)iommu_remote(guest_id, 4, &arg);
        arg.flags = i % 2 != 0 ? ALLOC_IDENTITY : 0;
        (void)iommu_remote(guest_id, 3, &arg);
        if (!second_is_there()) {
            return;
        }
    }
}

/* While it does that, dom0 takes the device and gives it back, or acts in its place; and ends it. */
static bool die_busy(unsigned seed)
{
    unsigned bad = 0, turns = 1 + seed % 4;

    if (!guest_begin()) {
        return false;
    }
    bad += init_for_guest() != 0 || guest_assign(edu_sbdf) != 0;
    write_list();
    acting = seed % 3 == 1;
    if (acting && second_is_there()) {
        second_run(act, NULL);
    }
    for (unsigned i = 0; guest_turns() < turns; i++) {
        if (seed % 3 == 0 && i < 3) {
            bad += guest_deassign(edu_sbdf) != 0 || quarantine_deassign(edu_sbdf) != 0 || guest_assign(edu_sbdf) != 0;
        } else if (acting && !second_is_there()) {
            act(NULL);
        }
        give_way();
    }
    bad += seed % 3 == 2 && guest_refused() != 0;
    bad += !guest_end();
    acting = false;
    second_wait();
    return bad == 0 && home(seed);
}

static void test_deaths(const char *what, bool (*die)(unsigned seed))
{
    uint64_t before = 0;
    unsigned good = 0;
    long lost;

    for (unsigned i = 0; i < TIMES; i++) {
        good += die(80 + i);
        if (i == 0) {
            before = pages_free(); /* what is made once has been made */
        }
    }
    is(good, TIMES, "%u guests end %s, and the device comes home", TIMES, what);
    lost = (long)(before - pages_free()); /* two may be of Xen's tables for dom0; each way to die is gone three times behind the first */
    ok(lost < 3, "none of them takes pages along (%ld)", lost);
}

void test_guest(void)
{
#ifdef DOM0_PVH
    if (!second_is_there()) { /* where time goes by instructions, leaving and entering two of these takes all of it */
        ok(true, "a guest beside dom0 # SKIP this kind, on one CPU");
        return;
    }
#endif
    if (!guest_begin()) {
        ok(guest_id == 0, guest_id != 0 ? "a guest beside dom0 begins" : "a guest beside dom0 # SKIP this Xen makes none");
        return;
    }
    test_stranger();
    test_interface();
    test_contexts();
    ok(guest_end(), "the guest ends");
    test_deaths("with all that they may have", die_full);
    test_deaths("in the middle of calls", die_busy);
}
