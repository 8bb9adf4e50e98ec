/* SPDX-License-Identifier: MIT */
/* See machine.h. */
#include "machine.h"
#include <pviommu/vtd.h>
#include <string.h>

static struct fuzz_machine machine;

static void machine_end(void)
{
    pvi_posix_remove_unit(machine.host, &machine.unit.unit);
    pvi_posix_free(machine.host);
    pvi_posix_null_fini(&machine.unit);
}

struct fuzz_machine *fuzz_machine(void)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000ull, .size = 4 << 20};

    if (!machine.host) {
        machine.unit.unit.caps.format = &pvi_vtd_ss_ops;
        machine.host = pvi_posix_new(&memory);
        CHECK(machine.host != NULL && pvi_posix_add_null(machine.host, &machine.unit) == 0);
        CHECK(pvi_system_add_unit(&machine.system, &machine.unit.unit) == 0 && atexit(machine_end) == 0);
    }
    return &machine;
}

void fuzz_caps(struct pvi_unit_caps *caps, const struct pvi_pt_ops *format)
{
    memset(caps, 0, sizeof(*caps));
    caps->format = format;
    caps->iova_bits = 48;
    caps->pa_bits = FUZZ_PA_BITS;
    caps->inv_max_lg2 = 30;
    caps->inv_max_nr = 8;
    caps->nr_dids = 64;
    caps->nr_holes = 1;
    caps->hole[0].first = FUZZ_MSI_FIRST << 12;
    caps->hole[0].last = ((FUZZ_MSI_FIRST + FUZZ_MSI_NR) << 12) - 1;
}
