/* SPDX-License-Identifier: MIT */
/* The parts of pviommu-demo: the machine under QEMU, the steps that a guest takes on it, and the stopwatch. */
#ifndef PVIOMMU_DEMO_H
#define PVIOMMU_DEMO_H

#include "edu.h"
#include <jansson.h>
#include <pviommu/amdvi.h>
#include <pviommu/batch.h>
#include <pviommu/vtd.h>
#include <pviommu_posix.h>

#define DEMO_OPS 16u
#define DEMO_RAM_FIRST 0x10000000ull /* guest frames of the demo begin at 256 MiB */
#define DEMO_BOUNCE_DFN 7ull         /* mapped in every context so that edu's buffer can be loaded */

/** One machine: QEMU with an IOMMU and two edu devices, the library on top. */
struct demo {
    bool amd;
    struct qt *qt;
    struct qt_edu edu[2];
    struct pvi_host *host;
    struct pvi_hdom *owner;
    struct pvi_system machine;
    struct pvi_vtd_unit vtd;
    struct pvi_amdvi_unit amdvi;
    struct pvi_device dev[2];
    struct pvi_domain guest;
    struct pvi_batch batch;
    struct pvi_op op[DEMO_OPS];
    unsigned nr;
    unsigned failed;
    json_t *rows; /* NULL: a table is printed */
};

/** @return 0; 77: no QEMU; 1: it failed, and said why. */
int demo_start(struct demo *d, bool amd);
void demo_stop(struct demo *d);
/** Runs all steps; what differs from what was expected is counted in d->failed. */
void demo_steps(struct demo *d);

/** Map and unmap throughput of both formats beside the floor of plain stores. */
int demo_speed(json_t *rows, const bool unit[2]);

#endif
