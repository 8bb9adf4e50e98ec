/* SPDX-License-Identifier: MIT */
/* See iommu43.h. */
#include "guest.h"
#include "iommu43.h"

#define HYPERCALL 43

struct device {
    uint16_t seg;
    uint8_t bus, devfn;
};

long iommu_raw(unsigned subop, void *arg)
{
    return xen_call(HYPERCALL, subop, (unsigned long)arg, 0, 0);
}

bool iommu_by_guest;

static long call(unsigned subop, void *arg, size_t size)
{
    return iommu_by_guest ? guest_call(HYPERCALL, subop, arg, size) : iommu_raw(subop, arg);
}

long iommu_noop(void)
{
    return call(0, NULL, 0);
}

long iommu_query(struct iommu_caps *caps)
{
    return call(1, caps, sizeof(*caps));
}

long iommu_init(uint32_t max_ctx_no, uint32_t arena_order)
{
    struct {
        uint32_t max_ctx_no, arena_order;
    } arg = {max_ctx_no, arena_order};

    return call(2, &arg, sizeof(arg));
}

long iommu_alloc(uint32_t flags, uint16_t *ctx)
{
    struct {
        uint16_t ctx_no, pad;
        uint32_t flags;
    } arg = {0, 0, flags};
    long rc = call(3, &arg, sizeof(arg));

    *ctx = arg.ctx_no;
    return rc;
}

long iommu_free(uint16_t ctx, uint32_t flags)
{
    struct {
        uint16_t ctx_no, pad;
        uint32_t flags;
    } arg = {ctx, 0, flags};

    return call(4, &arg, sizeof(arg));
}

long iommu_reattach(uint16_t ctx, uint32_t sbdf)
{
    struct {
        uint16_t ctx_no;
        struct device dev;
        uint16_t pad;
        uint32_t pasid;
    } arg = {ctx, {(uint16_t)(sbdf >> 16), (uint8_t)(sbdf >> 8), (uint8_t)sbdf}, 0, 0};

    return call(5, &arg, sizeof(arg));
}

long iommu_map_size(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t size, uint32_t *done)
{
    struct {
        uint16_t ctx_no, pad[3];
        uint64_t gfn, dfn;
        uint32_t flags, pgsize, nr_pages, mapped;
    } arg = {ctx, {0}, gfn, dfn, flags, size, nr, 0};
    long rc = call(6, &arg, sizeof(arg));

    *done = arg.mapped;
    return rc;
}

long iommu_map(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t *done)
{
    return iommu_map_size(ctx, dfn, gfn, nr, flags, PAGE, done);
}

long iommu_unmap_size(uint16_t ctx, uint64_t dfn, uint32_t nr, uint32_t size, uint32_t *done)
{
    struct {
        uint16_t ctx_no, pad[3];
        uint64_t dfn;
        uint32_t pgsize, nr_pages, unmapped, pad1;
    } arg = {ctx, {0}, dfn, size, nr, 0, 0};
    long rc = call(7, &arg, sizeof(arg));

    *done = arg.unmapped;
    return rc;
}

long iommu_unmap(uint16_t ctx, uint64_t dfn, uint32_t nr, uint32_t *done)
{
    return iommu_unmap_size(ctx, dfn, nr, PAGE, done);
}

long iommu_flush(uint16_t ctx, uint64_t dfn, uint32_t nr)
{
    struct {
        uint16_t ctx_no, pad[3];
        uint64_t dfn;
        uint32_t pgsize, nr_pages;
    } arg = {ctx, {0}, dfn, PAGE, nr};

    return call(13, &arg, sizeof(arg));
}

long iommu_lookup(uint16_t ctx, uint64_t dfn, uint64_t *gfn)
{
    struct {
        uint16_t ctx_no, reserved;
        uint32_t prot;
        uint64_t dfn, gfn;
    } arg = {ctx, 0, 0, dfn, 0};
    long rc = call(14, &arg, sizeof(arg));

    *gfn = arg.gfn;
    return rc;
}

long iommu_remote(uint16_t domid, uint16_t subop, void *arg)
{
    struct {
        uint16_t domid, subop;
        uint32_t pad;
        uint64_t arg;
    } remote = {domid, subop, 0, (uint64_t)arg};

    return call(8, &remote, sizeof(remote));
}
