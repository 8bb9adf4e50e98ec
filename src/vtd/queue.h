/* SPDX-License-Identifier: MIT */
/*
 * What the files that drive a unit share: registers, lock, and the queue (hwspec 1.4, 1.10).
 *
 * PVI_LOCK_UNIT covers the queue, the tables and the fault records. It is never held across a wait
 * for the hardware and never across an allocation.
 */
#ifndef PVI_VTD_QUEUE_H
#define PVI_VTD_QUEUE_H

#include <pviommu/vtd.h>

#include "spec.h"

static inline uint32_t vtd_read32(const struct pvi_vtd_unit *u, uint32_t off)
{
    return pvi_host_mmio_read32(u->unit.host, u->reg_pa + off);
}

static inline uint64_t vtd_read64(const struct pvi_vtd_unit *u, uint32_t off)
{
    return pvi_host_mmio_read64(u->unit.host, u->reg_pa + off);
}

static inline void vtd_write32(const struct pvi_vtd_unit *u, uint32_t off, uint32_t value)
{
    pvi_host_mmio_write32(u->unit.host, u->reg_pa + off, value);
}

static inline void vtd_write64(const struct pvi_vtd_unit *u, uint32_t off, uint64_t value)
{
    pvi_host_mmio_write64(u->unit.host, u->reg_pa + off, value);
}

static inline void vtd_lock(struct pvi_vtd_unit *u)
{
    pvi_env_acquire(u->unit.host, &u->lock);
}

static inline void vtd_unlock(struct pvi_vtd_unit *u)
{
    pvi_env_release(u->unit.host, &u->lock);
}

/* Does the unit snoop where it reads contexts, PASID entries and the queue (hwspec 9.2)? */
static inline bool vtd_snoops(const struct pvi_vtd_unit *u)
{
    return (u->ecap & VTD_ECAP_C) != 0;
}

/*
 * Marks the unit broken and tells why, once. The lock is held, or nobody else uses the unit.
 * @return -PVI_EHW.
 */
int pvi_vtd_fail(struct pvi_vtd_unit *u);

/* Sets or clears one bit of GCMD and waits until GSTS shows it as `done`. @return 0 or -PVI_EHW. */
int pvi_vtd_command(const struct pvi_vtd_unit *u, uint32_t bit, bool set, bool done);

/* Starts the queue in u->queue, empty. Nobody else uses the unit. @return 0 or -PVI_EHW. */
int pvi_vtd_queue_on(struct pvi_vtd_unit *u);
/*
 * Stops whatever queue runs. Nobody else uses the unit. @return 0, also when none runs, or
 * -PVI_EHW.
 */
int pvi_vtd_queue_off(const struct pvi_vtd_unit *u);

/*
 * As pvi_vtd_unit_submit() and pvi_vtd_unit_wait(), for a queue that is on in a unit that is not
 * enabled yet.
 */
int pvi_vtd_queue_submit(struct pvi_vtd_unit *u, const struct pvi_inv *inv, unsigned nr);
int pvi_vtd_queue_wait(struct pvi_vtd_unit *u);

#endif
