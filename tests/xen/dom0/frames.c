/* SPDX-License-Identifier: MIT */
/* Which frames a device may be given, and how long they are held. */
#include "iommu43.h"

#define RAM_FIRST 0x100u    /* 1 MiB to nearly 1 GiB is memory on each machine, most of it Xen's own or free */
#define RAM_END 0x3ff00u
#define STEP 61u
#define IO_APIC 0xfec00u

/* A page that dom0 hands back while it is mapped stays until it is unmapped. */
static void test_held(uint16_t ctx, uint32_t flags)
{
    long owned = memory_owned();
    uint32_t done;

    is(iommu_map(ctx, DFN, memory_frame(5), 1, flags, &done), 0, "map a page, rights %u", flags);
    ok(memory_give(5), "hand it back");
    is(memory_owned(), owned, "it is held");
    is(iommu_unmap(ctx, DFN, 1, &done), 0, "unmap");
    is(memory_owned(), owned - 1, "it is gone");
    ok(iommu_map(ctx, DFN, memory_frame(5), 1, flags, &done) != 0, "it cannot be mapped any more");
    ok(memory_take(5), "another for it");
    is(memory_owned(), owned, "as many as before");
    is(iommu_map(ctx, DFN, memory_frame(5), 1, flags, &done), 0, "that can be mapped");
    is(iommu_unmap(ctx, DFN, 1, &done), 0, "unmap");
    ok(memory_is_free(5), "nobody holds it");
}

/* A range with a frame in it that is gone: what is before it is mapped, and no reference is left to anything else. */
static void test_hole(uint16_t ctx)
{
    uint64_t first = memory_frame(16) < memory_frame(18) ? memory_frame(16) : memory_frame(18);
    uint32_t done, gone;

    if (memory_frame(17) != first + 1 || !memory_give(17)) {
        ok(false, "three frames that follow one another");
        return;
    }
    ok(iommu_map(ctx, DFN, first, 3, MAP_RW, &done) != 0, "map three frames, of which the second is gone");
    is(done, 1, "one page");
    is(iommu_unmap(ctx, DFN, 3, &gone), ENOENT, "unmap three");
    is(gone, 1, "one page");
    ok(memory_take(17), "another for it");
    ok(memory_is_free(16) && memory_is_free(17) && memory_is_free(18), "nobody holds any");
}

/* Of all memory only that of this domain. */
static void test_others(uint16_t ctx)
{
    unsigned taken = 0, refused = 0, nr = 0;
    uint32_t done;

    for (uint64_t frame = RAM_FIRST; frame < RAM_END; frame += STEP) {
        long rc = iommu_map(ctx, DFN, frame, 1, MAP_READ, &done);

        if (rc == 0 && iommu_unmap(ctx, DFN, 1, &done) != 0) {
            break;
        }
        nr++;
        taken += rc == 0 && !frame_is_own(frame);
        refused += rc != 0 && frame_is_own(frame);
    }
    is(nr, (RAM_END - RAM_FIRST + STEP - 1) / STEP, "frames all over memory, one by one");
    is(taken, 0, "none of another can be read");
    is(refused, 0, "each of its own can");
}

#ifdef DOM0_PVH

static void test_types(uint16_t ctx)
{
    (void)ctx;
}

static void test_mmio(uint16_t ctx)
{
    uint32_t done;

    is(iommu_map(ctx, DFN, edu_frame(), 1, MAP_RW, &done), ENOENT, "device memory is no frame of this kind of guest");
}

#else

static unsigned char table[PAGE] __attribute__((aligned(4096)));

/* Page tables: what a device may write cannot become one, one cannot be written by a device. */
static void test_types(uint16_t ctx)
{
    uint64_t frame = frame_of(table);
    unsigned changed = 0;
    uint32_t done;

    is(iommu_map(ctx, DFN + 1, frame_of(from), 1, MAP_READ, &done), 0, "map a page to read");
    is(iommu_reattach(ctx, edu_sbdf), 0, "attach the device");
    load(DFN + 1, 20);
    is(page_protect(table, false), 0, "a page that dom0 itself cannot write");
    is(page_pin(table, true), 0, "it can become a page table");
    is(page_pin(table, false), 0, "and no page table");
    is(iommu_map(ctx, DFN, frame, 1, MAP_RW, &done), 0, "map it to write");
    ok(page_pin(table, true) != 0, "now it cannot");
    is(iommu_unmap(ctx, DFN, 1, &done), 0, "unmap");
    is(page_pin(table, true), 0, "now it can");
    is(iommu_map(ctx, DFN, frame, 1, MAP_RW, &done), EPERM, "a page table cannot be mapped to write");
    is(iommu_map(ctx, DFN, frame, 1, MAP_WRITE, &done), EPERM, "nor to write alone");
    is(iommu_map(ctx, DFN, frame, 1, MAP_READ, &done), 0, "it can be mapped to read");
    edu_store(DFN * PAGE);
    for (unsigned i = 0; i < PAGE; i++) {
        changed += table[i] != 0;
    }
    is(changed, 0, "the device does not write it");
    is(page_pin(table, false), 0, "no page table");
    is(page_pin(table, true), 0, "what devices read may become one");
    is(page_pin(table, false), 0, "no page table");
    is(iommu_unmap(ctx, DFN, 2, &done), 0, "unmap both");
    is(page_protect(table, true), 0, "dom0 can write it again");
    is(iommu_reattach(0, edu_sbdf), 0, "the device goes home");
}

/* Device memory: that of devices may be mapped, an interrupt controller's, which dom0 may look at, to read, a unit's not at all. */
static void test_mmio(uint16_t ctx)
{
    static const uint64_t unit[] = {0xfed80, 0xfed90}; /* AMD-Vi, VT-d: one of them is there */
    unsigned refused = 0;
    uint32_t done;

    is(iommu_map(ctx, DFN, edu_frame(), 1, MAP_RW, &done), 0, "registers of a device");
    is(iommu_unmap(ctx, DFN, 1, &done), 0, "unmap");
    is(iommu_map(ctx, DFN, IO_APIC, 1, MAP_RW, &done), EPERM, "an interrupt controller's, to write");
    is(iommu_map(ctx, DFN, IO_APIC, 1, MAP_READ, &done), 0, "to read");
    is(iommu_unmap(ctx, DFN, 1, &done), 0, "unmap");
    for (unsigned i = 0; i < 2; i++) {
        refused += iommu_map(ctx, DFN + i, unit[i], 1, MAP_READ, &done) == ENOENT;
    }
    is(refused, 1, "those of the IOMMU");
    is(iommu_map(ctx, DFN, xen_shared_frame(), 1, MAP_READ, &done), EPERM, "a page that Xen shares with it is Xen's");
}

#endif

void test_frames(void)
{
    uint16_t ctx;

    is(iommu_alloc(0, &ctx), 0, "alloc");
    test_held(ctx, MAP_READ);
    test_held(ctx, MAP_RW);
    test_hole(ctx);
    test_others(ctx);
    test_types(ctx);
    test_mmio(ctx);
    is(iommu_free(ctx, 0), 0, "free");
}
