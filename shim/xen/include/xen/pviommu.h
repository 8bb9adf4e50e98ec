/* SPDX-License-Identifier: MIT */
/* What Xen tells the shim of devices and domains; copied to include/xen/pviommu.h of the Xen tree. */
#ifndef XEN_PVIOMMU_H
#define XEN_PVIOMMU_H

#include <xen/types.h>

struct amd_iommu;
struct domain;
struct pci_dev;

#ifdef CONFIG_PVIOMMU

/* Of amd/iommu_cmd.c (docs/xen.md): queues a command; returns once the unit has done all that this CPU queued. */
void pviommu_amd_command(struct amd_iommu *iommu, const uint32_t cmd[4]);
void pviommu_amd_wait(struct amd_iommu *iommu);

/* A device has come to a domain, or has stayed, and Xen has made its entries. pcidevs_lock is held. */
void pviommu_device_new(struct domain *d, struct pci_dev *pdev);
/* A device is about to leave its domain: its entries are Xen's again, when this returns. pcidevs_lock is held. */
void pviommu_device_gone(struct pci_dev *pdev);
/* A domain without devices is taken down. 0, or -ERESTART: call again. */
int pviommu_relinquish(struct domain *d);

#else

static inline void pviommu_device_new(struct domain *d, struct pci_dev *pdev) {}
static inline void pviommu_device_gone(struct pci_dev *pdev) {}
static inline int pviommu_relinquish(struct domain *d) { return 0; }

#endif

#endif /* XEN_PVIOMMU_H */
