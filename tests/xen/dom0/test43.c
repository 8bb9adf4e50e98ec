/* SPDX-License-Identifier: MIT */
/* Hypercall 43 and what the device reaches by it. */
#include "iommu43.h"

#define MANY 8000u
#define DOMID_SELF 0x7ff0u

static void test_errors(uint16_t ctx)
{
    uint32_t done;
    uint16_t other;
    uint64_t gfn;

    is(iommu_init(8, 10), EACCES, "a second init");
    is(iommu_map(0, DFN, frame_of(from), 1, 3, &done), EINVAL, "a map in context 0");
    is(iommu_map(200, DFN, frame_of(from), 1, 3, &done), EINVAL, "a map in a context that there is not");
    is(iommu_map(ctx, DFN, frame_of(from), 1, 0, &done), EINVAL, "a map without rights");
    is(iommu_map(ctx, 0xfee00, frame_of(from), 1, 3, &done), EADDRNOTAVAIL, "a map where interrupts arrive");
    is(iommu_map(ctx, DFN, 0xffffffffffull, 1, 3, &done), ENOENT, "a map of a frame that there is not");
    is(iommu_unmap(ctx, DFN, 1, &done), ENOENT, "an unmap of nothing");
    is(iommu_lookup(ctx, DFN, &gfn), ENOENT, "a lookup of nothing");
    is(iommu_reattach(ctx, 0xffff), ENODEV, "a device that there is not");
    is(iommu_reattach(200, edu_sbdf), ENOENT, "a device to a context that there is not");
    is(iommu_free(0, 0), EINVAL, "a free of context 0");
    is(iommu_free(200, 0), ENOENT, "a free of a context that there is not");
    is(iommu_raw(6, (void *)0x7fff00000000ul), EFAULT, "a structure that is not there");
    is(iommu_raw(99, NULL), EOPNOTSUPP, "a sub-operation that there is not");
    is(iommu_alloc(0x80, &other), EINVAL, "unknown flags");
}

static void test_device(uint16_t ctx)
{
    uint64_t self = frame_of(to[0]), gfn = 0;
    uint32_t done;

    load(frame_of(from), 1);
    ok(lands(self, to[0], 1), "default context: by its frame number");
    is(iommu_map(ctx, DFN, frame_of(from), 1, 1, &done), 0, "map a page to read");
    is(iommu_map(ctx, DFN + 1, frame_of(to[0]), 1, 3, &done), 0, "map a page to write");
    is(done, 1, "one page");
    is(iommu_map(ctx, DFN + 1, frame_of(to[1]), 1, 3, &done), EADDRINUSE, "map onto it");
    is(iommu_lookup(ctx, DFN + 1, &gfn), 0, "look it up");
    ok(gfn == frame_of(to[0]), "it is that frame");
    ok(!lands(DFN + 1, to[0], 1), "not reached from the default context");
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach the device");
    load(DFN, 2);
    ok(lands(DFN + 1, to[0], 2), "reads and writes land where they were mapped");
    ok(!lands(self, to[0], 2), "what the default context maps is out of reach");
    ok(!lands(DFN, from, 2), "a page that is mapped to read only is not written");
    is(iommu_free(ctx, 0), EBUSY, "free with the device in it");
    is(iommu_unmap(ctx, DFN + 1, 1, &done), 0, "unmap");
    ok(!lands(DFN + 1, to[0], 2), "no stale translation");
    is(iommu_map(ctx, DFN + 1, frame_of(to[1]), 1, 3, &done), 0, "map another frame there");
    ok(lands(DFN + 1, to[1], 2), "the new one is reached");
    ok(!lands(DFN + 1, to[0], 2), "the old one is not");
    is(iommu_unmap(ctx, DFN, 2, &done), 0, "unmap both");
    is(done, 2, "two pages");
    is(iommu_reattach(0, edu_sbdf), 0, "back to the default context");
    load(frame_of(from), 3);
    ok(lands(self, to[0], 3), "default context again");
}

/* Frames one by one, as they are scattered for a PV guest; many in one call where they are not. */
static void test_many(uint16_t ctx)
{
    uint32_t done = 0, nr = memory_pages() < MANY ? (uint32_t)memory_pages() : MANY, i;
    uint64_t gfn;
    long rc = 0;

    for (i = 0; i < nr && rc == 0; i++) {
        rc = iommu_map(ctx, DFN + i, memory_frame(i), 1, 3, &done);
    }
    is(rc, 0, "map %u pages, one by one", nr);
    is(iommu_unmap(ctx, DFN, nr, &done), 0, "unmap all in one call");
    is(done, nr, "as many");
    is(iommu_lookup(ctx, DFN + nr / 2, &gfn), ENOENT, "nothing is left");
}

/* A page in each 2 MiB takes a table: until the arena is empty. Then all of it comes back. */
static void test_shortage(void)
{
    unsigned nr = tables_left();
    uint32_t done;
    uint16_t ctx;

    ok(nr > (1u << ARENA) - 64 && nr <= 1u << ARENA, "%u pages, each with a table, of an arena of %u", nr, 1u << ARENA);
    is(tables_left(), nr, "the same again");
    is(iommu_alloc(0, &ctx), 0, "alloc");
    is(iommu_map(ctx, DFN, frame_of(to[0]), 1, 3, &done), 0, "there are pages again");
    is(iommu_free(ctx, 0), 0, "free with a page mapped");
}

static void test_all_contexts(void)
{
    uint16_t ctx[CONTEXTS], more;
    unsigned i, bad = 0;

    for (i = 0; i < CONTEXTS; i++) {
        bad += iommu_alloc(0, &ctx[i]) != 0;
    }
    is(bad, 0, "all %u contexts", CONTEXTS);
    is(iommu_alloc(0, &more), ENOSPC, "one more");
    for (i = 0; i < CONTEXTS; i++) {
        bad += iommu_free(ctx[i], 0) != 0;
    }
    is(bad, 0, "free all");
}

/* For itself, by way of the operation that acts for others. */
static void test_remote(void)
{
    struct iommu_caps caps = {0};

    is(iommu_remote(DOMID_SELF, 1, &caps), 0, "query for itself");
    is(caps.max_ctx_no, CONTEXTS, "the same");
    is(iommu_remote(DOMID_SELF, 8, &caps), EINVAL, "remote in remote");
    is(iommu_remote(0x1234, 1, &caps), ENOENT, "for a domain that there is not");
}

static void test_identity(void)
{
    uint64_t self = frame_of(to[0]), gfn = 0;
    uint16_t ctx;

    is(iommu_alloc(1, &ctx), 0, "a context that begins as identity");
    is(iommu_lookup(ctx, self, &gfn), 0, "a page of dom0 is there");
    ok(gfn == self, "1:1");
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach the device");
    load(frame_of(from), 4);
    ok(lands(self, to[0], 4), "it reaches dom0's memory");
    is(iommu_free(ctx, 1), 0, "free, the device goes home");
    load(frame_of(from), 5);
    ok(lands(self, to[0], 5), "it is there");
}

void test_iommu43(void)
{
    struct iommu_caps caps = {0};
    uint16_t ctx = 0;
    long rc = iommu_noop();

    if (rc == ENOSYS) {
        ok(true, "hypercall 43 is not there # SKIP this Xen has no PV-IOMMU");
        return;
    }
    is(rc, 0, "noop");
    is(iommu_query(&caps), 0, "query capabilities");
    note("max_iova %llx flags %x pgsizes %x contexts %u", (unsigned long long)caps.max_iova_addr, caps.cap_flags,
         caps.pgsize_mask, caps.max_ctx_no);
    is(caps.max_ctx_no, 0, "no contexts before init");
    ok((caps.pgsize_mask & PAGE) != 0 && caps.max_iova_addr >= 0x7fffffffffull, "pages of 4K, 39 bits or more");
    is(iommu_alloc(0, &ctx), ENOSPC, "no alloc before init");
    if (xen_option("limits") != 0) {
        test_init_limits();
    }
    is(iommu_init(CONTEXTS, ARENA), 0, "init");
    is(iommu_query(&caps), 0, "query capabilities");
    is(caps.max_ctx_no, CONTEXTS, "%u contexts", CONTEXTS);
    is(iommu_alloc(0, &ctx), 0, "alloc");
    ok(ctx != 0, "context %u", ctx);
    test_errors(ctx);
    test_device(ctx);
    test_many(ctx);
    is(iommu_free(ctx, 0), 0, "free");
    test_shortage();
    test_all_contexts();
    test_remote();
    test_identity();
    test_preempt();
    if (second_is_there()) {
        test_races();
        test_guest();
        return;
    }
    if (xen_option("region") != 0) {
        test_regions(xen_option("region"));
    }
    test_frames();
    test_faults();
    test_limits();
    test_stale();
    test_attach();
    test_hotplug();
    test_hostile();
    test_guest();
}
