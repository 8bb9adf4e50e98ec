/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_PCI_H
#define STANDIN_XEN_PCI_H

#include <xen/list.h>
#include <xen/types.h>

#define PCI_SLOT(devfn) (((devfn) >> 3) & 0x1f)
#define PCI_BUS(bdf) (((bdf) >> 8) & 0xff)
#define PCI_DEVFN(bdf) ((bdf) & 0xff)
#define PCI_BDF(bus, devfn) (((bus) & 0xff) << 8 | PCI_DEVFN(devfn))

typedef struct {
    uint32_t sbdf;
} pci_sbdf_t;

struct pci_dev {
    struct domain *domain;
    struct pci_dev *next;
    pci_sbdf_t sbdf;
    STANDIN_CONST uint16_t seg;
    STANDIN_CONST uint8_t bus, devfn;
    uint8_t phantom_stride;
    enum {
        DEV_TYPE_PCIe_ENDPOINT,
        DEV_TYPE_PCIe_BRIDGE,
        DEV_TYPE_PCIe2PCI_BRIDGE,
        DEV_TYPE_LEGACY_PCI_BRIDGE,
        DEV_TYPE_PCI_HOST_BRIDGE,
        DEV_TYPE_PCI
    } type;
};
#define for_each_pdev(d, pdev) for ((pdev) = (d)->pdev_list; (pdev); (pdev) = (pdev)->next)

void pcidevs_lock(void);
void pcidevs_unlock(void);
bool pcidevs_locked(void);
int find_upstream_bridge(uint16_t seg, uint8_t *bus, uint8_t *devfn, uint8_t *secbus);

uint16_t pci_conf_read16(pci_sbdf_t sbdf, unsigned int reg);

#endif
