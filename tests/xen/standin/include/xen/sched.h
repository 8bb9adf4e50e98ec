/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_SCHED_H
#define STANDIN_XEN_SCHED_H

#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/spinlock.h>

#include <asm/processor.h>

#define DOMID_SELF 0x7FF0U
#define DOMID_INVALID 0x7FF4U
#define DOMID_MASK 0x7FFFU

struct domain {
    domid_t domain_id;
    struct pci_dev *pdev_list;
    int is_dying;
};
struct vcpu {
    struct domain *domain;
    bool hcall_compat;
};

extern struct domain *dom_xen, *hardware_domain;

bool is_hardware_domain(const struct domain *d);
bool is_pv_domain(const struct domain *d);
bool is_iommu_enabled(const struct domain *d);
struct domain *rcu_lock_domain_by_id(domid_t id);
void rcu_unlock_domain(struct domain *d);

#endif
