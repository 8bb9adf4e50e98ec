/* SPDX-License-Identifier: MIT */
/* What outlives an input of the fuzzers that have no hardware: it ends as empty as it began. */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include <pviommu_posix.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct fuzz_machine {
    struct pvi_host *host;
    struct pvi_system system;
    struct pvi_posix_null unit;
};

/* The frames where interrupts arrive, of every unit. */
#define FUZZ_MSI_FIRST 0xfee00ull
#define FUZZ_MSI_NR 0x100ull
#define FUZZ_PA_BITS 46u

/* The machine, made when it is first asked for; the unit's caps are the caller's to fill while no domain uses it. */
struct fuzz_machine *fuzz_machine(void);

/* What the units of all inputs have in common; the rest is cleared. */
void fuzz_caps(struct pvi_unit_caps *caps, const struct pvi_pt_ops *format);

#endif
