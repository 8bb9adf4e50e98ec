/* SPDX-License-Identifier: MIT */
/*
 * What the Linux 6.1 adapters share: the entry points of the IOMMU core that cut.py takes out of the kernel's source, and a
 * contender's functions on top of them.
 */
#ifndef BENCH_LINUX61_H
#define BENCH_LINUX61_H

#include "kstub.h"
#include <linux/iommu.h>
#include "bench.h"

#ifndef BENCH_SET
#define BENCH_SET "linux-6.1"
#endif

int iommu_map(struct iommu_domain *domain, unsigned long iova, phys_addr_t pa, size_t size, int prot);
size_t iommu_unmap(struct iommu_domain *domain, unsigned long iova, size_t size);
phys_addr_t iommu_iova_to_phys(struct iommu_domain *domain, dma_addr_t iova);

static void *linux61_port(void *table, unsigned slot)
{
    (void)slot;
    return table;
}

/* For a driver whose domain type `outer` has a member `domain` of type struct iommu_domain. */
#define LINUX61_OPS(prefix, outer)                                                                 \
    static int prefix##_map(void *port, uint64_t iova, uint64_t pa, uint64_t len)                  \
    {                                                                                              \
        return iommu_map(&((struct outer *)port)->domain, iova, pa, len, IOMMU_READ | IOMMU_WRITE);\
    }                                                                                              \
    static uint64_t prefix##_unmap(void *port, uint64_t iova, uint64_t len)                        \
    {                                                                                              \
        return iommu_unmap(&((struct outer *)port)->domain, iova, len);                            \
    }                                                                                              \
    static uint64_t prefix##_lookup(void *port, uint64_t iova)                                     \
    {                                                                                              \
        return iommu_iova_to_phys(&((struct outer *)port)->domain, iova);                          \
    }

#define LINUX61_CONTENDER(ident, label, prefix, make)                                              \
    const struct contender contender_linux61_##ident = {                                           \
        .name = BENCH_SET,                                                                         \
        .format = label,                                                                           \
        .sizes = K4 | M2 | G1,                                                                     \
        .create = make,                                                                            \
        .destroy = prefix##_destroy,                                                               \
        .port = linux61_port,                                                                      \
        .map = prefix##_map,                                                                       \
        .unmap = prefix##_unmap,                                                                   \
        .lookup = prefix##_lookup,                                                                 \
    }

#endif
