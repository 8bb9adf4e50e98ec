/* SPDX-License-Identifier: MIT */
/*
 * Mutants: the library's work spoilt between the library and the unit, in one way each. What spoils
 * it is in the host's layer: the wire (mutants_wire.c), the tables as the unit sees them
 * (mutants_tables.c), the calls of the host (mutants_host.c).
 */
#ifndef QEMU_MUTANTS_H
#define QEMU_MUTANTS_H

#include "lib_checks.h"

enum judge {
    JUDGE_DMA,      /* a check on QEMU's unit must fail */
    JUDGE_RECORDER, /* QEMU is blind to it: the recording host must object */
    JUDGE_TRACE,    /* QEMU is blind to it: what the command says must be wrong */
    JUDGE_WALKER,   /* QEMU is blind to it: the independent walker must object */
};

#define ON_VTD   1u
#define ON_AMDVI 2u
#define ON_BOTH  3u

#define NEED_CACHING_MODE 1u /* VT-d */
#define NEED_NICS         2u

struct mutant {
    const char *name;
    unsigned on;
    enum judge judge;
    void (*arm)(struct lib *l);
    void (*check)(struct lib *l); /* which has to notice; NULL: lib_check_life() */
    unsigned needs;               /* NEED_* */
};

/* Random batches, few enough for a mutant. */
void check_random(struct lib *l);

extern const struct mutant wire_mutants[], table_mutants[], host_mutants[];
extern const unsigned nr_wire_mutants, nr_table_mutants, nr_host_mutants;

#endif
