/* SPDX-License-Identifier: MIT */
/*
 * usage: tiny [--forgetful]
 *
 * Two guests with a device each. The hypervisor runs batches for the first (pvi_submit()); the second makes
 * hypercalls 43, as bytes in its own memory. Devices do DMA all along, and what is said is what was seen. Exits with 1
 * when anything is not as it should be. With --forgetful no invalidation reaches the unit from the first unmap on: the
 * frame goes back while a device still gets there.
 */
#include "tiny.h"

#include <pviommu/abi/xen43.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NIC  0x0010u
#define DISK 0x0018u
#define IOVA 0x40000000ull /* where guests map */
#define DFN  (IOVA >> PVI_PAGE_LG2)
#define ARG  0x3000u /* where the second guest puts what it passes to hypercalls */

static struct pvi_host host;
static struct pvi_hdom guests[TINY_GUESTS];
static bool forgetful, failed;
static unsigned continued; /* hypercalls */

void tiny_panic(const char *what, const char *file, int line)
{
    printf("panic: %s:%d: %s\n", file, line, what);
    exit(1);
}

static void see(const char *what, bool good)
{
    printf("%-64s %s\n", what, good ? "ok" : "WRONG");
    failed |= !good;
}

/* Does a write of the device get to frame gfn of the guest? Without a guest: is it blocked? */
static void dma(const char *what, uint16_t rid, uint64_t iova, const struct pvi_hdom *d, uint64_t gfn)
{
    uint64_t pa;
    bool landed = hw_dma(rid, iova, true, &pa);

    see(what, d ? landed && pa == ((d->p2m[gfn] & ~PVI_PAGE_MASK) | (iova & PVI_PAGE_MASK)) : !landed);
}

/* Runs the first guest's batch to its end. @return how often it was left and entered again. */
static unsigned submit(struct pvi_op *ops, uint32_t nr)
{
    static struct pvi_batch batch; /* too large for a hypervisor's stack */
    unsigned again = 0;
    int rc;

    memset(&batch, 0, sizeof(batch));
    batch.ops = ops;
    batch.nr = nr;
    while ((rc = pvi_submit(&guests[0].iommu, &batch)) == -PVI_EPREEMPTED) {
        again++; /* here the interrupt is served, and the guest may run */
    }
    PVI_ASSERT(rc == 0);
    return again;
}

/* The second guest calls: `in` lies at ARG in its memory. What the hypervisor does of it is the loop. */
static int hypercall(uint32_t subop, const void *in, void *out, size_t size)
{
    struct pvi_hdom *d = &guests[1];
    unsigned char *memory = hw_ram + (d->p2m[ARG >> PVI_PAGE_LG2] & ~PVI_PAGE_MASK);
    int rc;

    memcpy(memory, in, size);
    d->call.caller = &d->iommu;
    d->call.compat = false;
    do {
        rc = pvi_xen43_call(&d->call, &subop, ARG); /* a hypervisor returns to the guest, at the same instruction */
        continued += rc == -PVI_XEN_ERESTART;
    } while (rc == -PVI_XEN_ERESTART);
    if (out) {
        memcpy(out, memory, size);
    }
    return rc;
}

static void guest_up(unsigned n, struct pvi_device *dev, uint16_t rid)
{
    struct pvi_domain_cfg cfg = {.hdom = &guests[n], .system = &host.system, .max_contexts = 4,
                                 .max_pages = 64, .context_pages = 32};

    tiny_guest_add(&host, &guests[n], (uint16_t)(n + 1));
    *dev = (struct pvi_device){.sbdf = {rid}, .unit = &host.unit.unit, .rid = {rid}, .nr_rids = 1};
    see("a guest with a device", pvi_domain_init(&guests[n].iommu, &host, &cfg) == 0 &&
                                     pvi_device_add(&guests[n].iommu, dev) == 0);
    dma("  its device writes, nobody has allowed it: blocked", rid, 0x1000, NULL, 0);
}

static void guest_down(unsigned n, struct pvi_device *dev)
{
    struct pvi_domain *d = &guests[n].iommu;
    uint64_t gfn;
    int rc;

    rc = pvi_device_remove(d, dev);
    pvi_domain_kill(d);
    while (rc == 0 && (rc = pvi_domain_destroy(d)) == -PVI_EPREEMPTED) {
        rc = 0; /* a hypervisor serves the interrupt first */
    }
    see("a guest ends", rc == 0);
    dma("  its device writes: blocked", dev->rid[0], IOVA, NULL, 0);
    for (gfn = 0; gfn < TINY_GUEST_FRAMES; gfn++) {
        tiny_guest_lose(&host, &guests[n], gfn);
    }
    host.guest[n] = NULL;
}

static struct pvi_op op_map(uint64_t dfn, uint64_t gfn, uint64_t nr, uint32_t rights)
{
    return (struct pvi_op){.code = PVI_OP_MAP, .domid = PVI_DOMID_SELF, .ctx = 1, .flags = rights,
                           .u.map = {.dfn = {dfn}, .gfn = {gfn}, .nr = nr}};
}

static void first_guest(void)
{
    struct pvi_op up[] = {
        {.code = PVI_OP_INIT, .domid = PVI_DOMID_SELF, .u.init = {.nr_contexts = 2, .nr_pages = 40}},
        {.code = PVI_OP_ALLOC_CONTEXT, .domid = PVI_DOMID_SELF},
        {.code = PVI_OP_REATTACH_DEVICE, .domid = PVI_DOMID_SELF, .ctx = 1, .u.reattach.sbdf = {NIC}},
        op_map(DFN, 8, 16, PVI_RW),
        op_map(DFN + 16, TINY_ROM_GFN, 1, PVI_READ),
    };
    struct pvi_op bad[] = {
        op_map(DFN + 32, TINY_ROM_GFN, 1, PVI_RW),
        op_map(DFN + 32, TINY_GUEST_FRAMES - 1, 2, PVI_RW),
    };
    struct pvi_op down = {.code = PVI_OP_UNMAP, .domid = PVI_DOMID_SELF, .ctx = 1,
                          .u.unmap = {.dfn = {DFN + 3}, .nr = 2}};
    uint32_t before = host.pages_free;
    unsigned again = submit(up, 5);

    see("a batch: init, a context, its device to it, two maps",
        up[3].status == 0 && up[3].done == 16 && up[4].status == 0);
    see("  it was left and entered again, pages went to its pool", again != 0 && host.pages_free < before);
    dma("  its device writes the 4th page: there", NIC, IOVA + 0x3008, &guests[0], 11);
    dma("  it writes its read-only page: blocked", NIC, IOVA + 0x10000, NULL, 0);
    submit(bad, 2);
    see("  map that to be written: it may not", bad[0].status == -PVI_EPERM);
    see("  map two frames, of which it has one: stops there", bad[1].status == -PVI_ENOFRAME && bad[1].done == 1);
    before = host.pages_free;
    tiny_guest_lose(&host, &guests[0], 11);
    see("  it gives the 4th page's frame up: not free yet", host.pages_free == before);
    host.unit.forgetful = forgetful;
    submit(&down, 1);
    see("  unmap it and the next: now it is", down.status == 0 && host.pages_free == before + 1);
    dma("  its device writes the 4th page: blocked", NIC, IOVA + 0x3008, NULL, 0);
    dma("  the 6th: there", NIC, IOVA + 0x5000, &guests[0], 13);
}

static void second_guest(void)
{
    struct pvi_xen43_capabilities caps = {0};
    struct pvi_xen43_init init = {.max_ctx_no = 2, .arena_order = 5};
    struct pvi_xen43_alloc alloc = {0};
    struct pvi_xen43_map_pages map = {.gfn = 8, .dfn = DFN, .pgsize = 4096, .nr_pages = 16,
                                      .map_flags = PVI_XEN43_MAP_READABLE | PVI_XEN43_MAP_WRITEABLE};
    struct pvi_xen43_reattach_device attach = {.dev = {.devfn = DISK}};
    struct pvi_xen43_remote_cmd remote = {.domid = 1, .subop = PVI_XEN43_QUERY_CAPABILITIES, .arg = ARG};
    struct pvi_xen43_free release = {.free_flags = PVI_XEN43_FREE_REATTACH_DEFAULT};

    see("hypercall 43: query_capabilities, init",
        hypercall(PVI_XEN43_QUERY_CAPABILITIES, &caps, &caps, sizeof(caps)) == 0 && caps.max_iova_addr != 0 &&
            hypercall(PVI_XEN43_INIT, &init, NULL, sizeof(init)) == 0);
    see("  alloc_context",
        hypercall(PVI_XEN43_ALLOC_CONTEXT, &alloc, &alloc, sizeof(alloc)) == 0 && alloc.ctx_no == 1);
    map.ctx_no = attach.ctx_no = release.ctx_no = alloc.ctx_no;
    see("  map_pages, reattach_device",
        hypercall(PVI_XEN43_MAP_PAGES, &map, &map, sizeof(map)) == 0 && map.mapped == 16 &&
            hypercall(PVI_XEN43_REATTACH_DEVICE, &attach, NULL, sizeof(attach)) == 0);
    see("  one of them was left and continued", continued != 0);
    dma("  its device writes: its own frame, not the first guest's", DISK, IOVA + 0x5000, &guests[1], 13);
    dma("  the first guest's device still writes there", NIC, IOVA + 0x5000, &guests[0], 13);
    see("  remote_cmd for the first guest: not its business",
        hypercall(PVI_XEN43_REMOTE_CMD, &remote, NULL, sizeof(remote)) == -PVI_XEN_EPERM);
    see("  free_context, its device to the default one",
        hypercall(PVI_XEN43_FREE_CONTEXT, &release, NULL, sizeof(release)) == 0);
    dma("  its device writes: blocked", DISK, IOVA + 0x5000, NULL, 0);
}

int main(int argc, char **argv)
{
    struct pvi_device nic, disk;
    uint32_t before;

    forgetful = argc == 2 && strcmp(argv[1], "--forgetful") == 0;
    if (argc > 1 && !forgetful) {
        fprintf(stderr, "usage: tiny [--forgetful]: loses invalidations, which the unit has to notice\n");
        return 2;
    }
    tiny_host_init(&host);
    before = host.pages_free;
    see("the unit is on", tiny_unit_on(&host) == 0);
    guest_up(0, &nic, NIC);
    guest_up(1, &disk, DISK);
    first_guest();
    second_guest();
    guest_down(0, &nic);
    guest_down(1, &disk);
    tiny_unit_off(&host);
    see("all pages are back, nothing went wrong on the way", host.pages_free == before && host.events == 0);
    return failed;
}
