/* SPDX-License-Identifier: MIT */
/* Hypercall 56, the interface of 2015 as XenServer ships it: all devices of dom0 translate through one context of it. */
#include "guest.h"
#include "iommu43.h"

#define HYPERCALL 56

#define ENXIO (-6)

enum { QUERY_CAPS = 1, MAP_PAGE, UNMAP_PAGE, LOOKUP_FOREIGN = 5, UNMAP_FOREIGN };

#define READABLE 1u
#define WRITEABLE 2u
#define NO_REF 4u
#define ORDER(n) ((unsigned)(n) << 10)

#define BFN 0x234567ull /* where nothing of dom0 is */
#define DEATHS 4u
#define BATCH 200u      /* more than one flush serves */

struct bus_op {
    uint16_t subop, flags;
    int32_t status;
    uint64_t bfn, gfn; /* or the offset, for QUERY_CAPS */
    uint16_t domid, ioserver;
    uint32_t pad;
};

static struct bus_op op[2 * BATCH];

static long call(void *ops, uint32_t nr)
{
    return xen_call(HYPERCALL, (unsigned long)ops, nr, 0, 0);
}

/* One element; its status. */
static long one(unsigned subop, unsigned flags, uint64_t bfn, uint64_t gfn)
{
    long rc;

    op[0] = (struct bus_op){(uint16_t)subop, (uint16_t)flags, 99, bfn, gfn, 0, 0, 0};
    rc = call(op, 1);
    return rc != 0 ? rc : op[0].status;
}

static void test_errors(void)
{
    uint64_t gfn = frame_of(from);

    is(one(MAP_PAGE, 0, BFN, gfn), EINVAL, "56: a map without rights");
    is(one(MAP_PAGE, READABLE | ORDER(1), BFN, gfn), ENOSPC, "56: an order");
    is(one(MAP_PAGE, READABLE | NO_REF, BFN, gfn), EPERM, "56: a map without reference");
    is(one(MAP_PAGE, READABLE, BFN, 0xffffffffffull), EPERM, "56: a frame that there is not");
    is(one(MAP_PAGE, READABLE, 0xfee00, gfn), EPERM, "56: where interrupts arrive");
    is(one(UNMAP_PAGE, 0, BFN, 0), ENOENT, "56: an unmap of nothing");
    is(one(4, READABLE, BFN, gfn), ENODEV, "56: a sub-operation that went");
    is(one(77, 0, 0, 0), ENODEV, "56: a sub-operation that there is not");
    op[0] = (struct bus_op){LOOKUP_FOREIGN, 0, 99, 0, gfn, 0x1234, 0, 0};
    is(call(op, 1), 0, "56: a frame of a domain that there is not:");
    is(op[0].status, ENXIO, "56: said so");
    op[0] = (struct bus_op){LOOKUP_FOREIGN, 0, 99, 0, gfn, 0x7ff0, 0, 0};
    is(call(op, 1), 0, "56: its own as a foreign one:");
    is(op[0].status, EPERM, "56: refused");
    is(one(UNMAP_FOREIGN, 0, BFN, 0), ENOENT, "56: an unmap of no foreign frame");
    is(call(NULL, 0), 0, "56: nothing");
    is(call(op, 0x80000000u), EINVAL, "56: a negative number");
    is(call((void *)0x7fff00000000ul, 1), EFAULT, "56: elements that are not there");
}

static void test_pages(void)
{
    uint64_t self = frame_of(to[0]);

    is(one(MAP_PAGE, READABLE, BFN, frame_of(from)), 0, "56: map a page to read");
    is(one(MAP_PAGE, READABLE | WRITEABLE, BFN + 1, frame_of(to[1])), 0, "56: map a page to write");
    is(one(MAP_PAGE, READABLE | WRITEABLE, BFN + 1, self), EPERM, "56: map onto it");
    load(BFN, 31);
    ok(lands(BFN + 1, to[1], 31), "56: reads and writes land where they were mapped");
    ok(!lands(BFN, from, 31), "56: a page that is mapped to read only is not written");
    ok(lands(self, to[0], 31), "56: dom0's own memory stays where it was");
    is(one(UNMAP_PAGE, 0, self, 0), 0, "56: unmap a page of that");
    ok(!lands(self, to[0], 31), "56: it is out of reach");
    is(one(MAP_PAGE, READABLE | WRITEABLE, self, frame_of(to[1])), 0, "56: another in its place");
    ok(lands(self, to[1], 31), "56: it is reached there");
    is(one(UNMAP_PAGE, 0, self, 0), 0, "56: unmap it");
    is(one(MAP_PAGE, READABLE | WRITEABLE, self, self), 0, "56: as it was");
    ok(lands(self, to[0], 31), "56: dom0's page again");
    is(one(UNMAP_PAGE, 0, BFN, 0), 0, "56: unmap");
    is(one(UNMAP_PAGE, 0, BFN + 1, 0), 0, "56: unmap");
    ok(!lands(BFN + 1, to[1], 31), "56: no stale translation");
}

#ifndef DOM0_PVH

static unsigned char table[PAGE] __attribute__((aligned(4096)));

/* All that dom0 has is mapped from the first map on, and its kernel goes on making page tables. */
static void test_tables(void)
{
    is(page_protect(table, false), 0, "56: a page that dom0 itself cannot write");
    is(page_pin(table, true), 0, "56: it can become a page table");
    is(page_pin(table, false), 0, "56: and no page table");
    is(page_protect(table, true), 0, "56: dom0 can write it again");
}

#else

static void test_tables(void)
{
}

#endif

/* As a front end moves all of its frames at boot: an unmap and a map of each, in one array. */
static void test_array(void)
{
    unsigned i, bad = 0;

    for (i = 0; i < BATCH; i++) {
        op[2 * i] = (struct bus_op){UNMAP_PAGE, 0, 99, BFN + i, 0, 0, 0, 0};
        op[2 * i + 1] = (struct bus_op){MAP_PAGE, READABLE | WRITEABLE, 99, BFN + i, memory_frame(i), 0, 0, 0};
    }
    is(call(op, 2 * BATCH), 0, "56: an array of %u", 2 * BATCH);
    for (i = 0; i < BATCH; i++) {
        bad += op[2 * i].status != ENOENT || op[2 * i + 1].status != 0;
    }
    is(bad, 0, "56: each map has happened, no unmap has");
    for (i = 0; i < BATCH; i++) {
        op[i] = (struct bus_op){UNMAP_PAGE, 0, 99, BFN + i, 0, 0, 0, 0};
    }
    is(call(op, BATCH), 0, "56: all away");
    for (i = 0; i < BATCH; i++) {
        bad += op[i].status != 0;
    }
    is(bad, 0, "56: each");
}

static long foreign(unsigned subop, unsigned flags, uint64_t gfn, uint64_t *bfn)
{
    long rc;

    op[0] = (struct bus_op){(uint16_t)subop, (uint16_t)flags, 99, *bfn, gfn, guest_id, 0, 0};
    rc = call(op, 1);
    *bfn = op[0].bfn;
    return rc != 0 ? rc : op[0].status;
}

/* What a back end does: a guest's page, until that is given back, or until the guest dies, with a transfer under way. */
static void test_foreign(void)
{
    unsigned good = 0;
    uint64_t bfn = 0;

    is(foreign(LOOKUP_FOREIGN, READABLE | WRITEABLE, GUEST_ROOM, &bfn), 0, "56: a page of a guest's");
    load(frame_of(from), 32);
    ok(lands(bfn, guest_page(GUEST_ROOM), 32), "56: the device reaches it");
    is(foreign(LOOKUP_FOREIGN, READABLE, GUEST_PAGES, &bfn), ENXIO, "56: one that the guest has not");
    is(foreign(UNMAP_FOREIGN, 0, GUEST_ROOM, &bfn), 0, "56: unmap the first");
    is(foreign(UNMAP_FOREIGN, 0, GUEST_ROOM, &bfn), ENOENT, "56: again");
    ok(!lands(bfn, guest_page(GUEST_ROOM), 32), "56: the device reaches it no more");
    for (unsigned i = 0; i < DEATHS; i++) {
        unsigned bad = 0;

        for (uint64_t gfn = GUEST_ROOM; gfn < GUEST_PAGES; gfn++) {
            bad += foreign(LOOKUP_FOREIGN, gfn % 2 != 0 ? READABLE | WRITEABLE : READABLE, gfn, &bfn) != 0;
        }
        edu_begin_store(bfn * PAGE);
        good += guest_end() && bad == 0;
        edu_wait();
        good -= foreign(UNMAP_FOREIGN, 0, GUEST_PAGES - 1, &bfn) != ENOENT;
        if (i + 1 < DEATHS && !guest_begin()) {
            break;
        }
    }
    is(good, DEATHS, "56: %u guests end with all of their pages mapped", DEATHS);
}

void test_bus56(void)
{
    long rc = one(QUERY_CAPS, 0, 0, 0);

    if (rc == ENOSYS) {
        note("no hypercall 56 in this Xen");
        return;
    }
    is(rc, 0, "56: query capabilities");
    note("flags %x offset %llx", op[0].flags, (unsigned long long)op[0].bfn);
    is(op[0].flags & 1, 1, "56: it maps");
    test_errors();
    test_pages();
    test_tables();
    test_array();
#ifdef DOM0_PVH
    if (!second_is_there()) {
        return;
    }
#endif
    if (guest_begin()) {
        test_foreign();
    }
}
