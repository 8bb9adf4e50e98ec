/* SPDX-License-Identifier: MIT */
/* See guest.h. */
#include "guest.h"

#include "check.h"

struct guest_range {
    uint64_t gfn, nr, pa;
    uint8_t kind, prot, owe_r, owe_w;
};

static uint64_t scatter[GUEST_SCATTER_NR];

static const struct guest_range ranges[] = {
    {GUEST_LOW, GUEST_LOW_NR, 0, PVI_POSIX_RAM_PV, PVI_RW, PVI_OWE_REF, PVI_OWE_WRITABLE},
    {GUEST_MMIO, GUEST_MMIO_NR, GUEST_MMIO << 12, PVI_POSIX_MMIO, PVI_RW, PVI_OWE_MMIO, PVI_OWE_MMIO},
    {GUEST_PV, GUEST_PV_NR, 0x4000000000ull, PVI_POSIX_RAM_PV, PVI_RW, PVI_OWE_REF, PVI_OWE_WRITABLE},
    {GUEST_HVM, GUEST_HVM_NR, 0x5000001000ull, PVI_POSIX_RAM_HVM, PVI_RW, PVI_OWE_REF, PVI_OWE_REF},
    {GUEST_RO, GUEST_RO_NR, 0x6000000000ull, PVI_POSIX_RAM_PV, PVI_READ, PVI_OWE_REF, PVI_OWE_WRITABLE},
    {GUEST_KEPT, GUEST_KEPT_NR, 0x6140000000ull, PVI_POSIX_RAM_KEPT, PVI_RW, PVI_OWE_NONE, PVI_OWE_NONE},
    {GUEST_SCATTER, GUEST_SCATTER_NR, 0, PVI_POSIX_RAM_PV, PVI_RW, PVI_OWE_REF, PVI_OWE_WRITABLE},
    {GUEST_TABLES, GUEST_TABLES_NR, GUEST_ARENA_PA, PVI_POSIX_RAM_HVM, PVI_RW, PVI_OWE_REF, PVI_OWE_REF},
};

#define NR_RANGES (sizeof(ranges) / sizeof(ranges[0]))

/* 333 is odd, so the map is one to one modulo 1024. */
static uint64_t scatter_pa(uint64_t at)
{
    return 0x6300000000ull + ((at * 333 % GUEST_SCATTER_NR) << 12);
}

void guest_describe(struct pvi_hdom *d)
{
    for (uint64_t i = 0; i < GUEST_SCATTER_NR; i++) {
        scatter[i] = scatter_pa(i);
    }
    for (size_t i = 0; i < NR_RANGES; i++) {
        struct pvi_posix_range r = {
            .gfn = ranges[i].gfn,
            .nr = ranges[i].nr,
            .pa = ranges[i].pa,
            .table = ranges[i].gfn == GUEST_SCATTER ? scatter : NULL,
            .kind = ranges[i].kind,
            .prot = ranges[i].prot,
        };

        CHECK_EQ(pvi_posix_hdom_range(d, &r), 0);
    }
}

uint64_t guest_run(uint64_t gfn, uint64_t nr, struct guest_frame *f)
{
    for (size_t i = 0; i < NR_RANGES; i++) {
        uint64_t at = gfn - ranges[i].gfn, left = ranges[i].nr - at;

        if (gfn >= ranges[i].gfn && at < ranges[i].nr) {
            f->pa = ranges[i].gfn == GUEST_SCATTER ? scatter_pa(at) : ranges[i].pa + (at << 12);
            f->prot = ranges[i].prot;
            f->owe_r = ranges[i].owe_r;
            f->owe_w = ranges[i].owe_w;
            left = ranges[i].gfn == GUEST_SCATTER ? 1 : left;
            return left < nr ? left : nr;
        }
    }
    return 0;
}

bool guest_frame(uint64_t gfn, struct guest_frame *f)
{
    return guest_run(gfn, 1, f) != 0;
}

bool guest_back(uint64_t pa, uint64_t *gfn)
{
    for (size_t i = 0; i < NR_RANGES; i++) {
        for (uint64_t at = 0; ranges[i].gfn == GUEST_SCATTER && at < ranges[i].nr; at++) {
            if (scatter_pa(at) == pa) {
                *gfn = ranges[i].gfn + at;
                return true;
            }
        }
        if (ranges[i].gfn != GUEST_SCATTER && pa >= ranges[i].pa && (pa - ranges[i].pa) >> 12 < ranges[i].nr) {
            *gfn = ranges[i].gfn + ((pa - ranges[i].pa) >> 12);
            return true;
        }
    }
    return false;
}
