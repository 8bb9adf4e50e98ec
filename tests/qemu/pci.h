/* SPDX-License-Identifier: MIT */
/*
 * PCI without firmware: configuration access, search, BARs and a bridge, for a machine started by
 * qt_start().
 */
#ifndef QEMU_PCI_H
#define QEMU_PCI_H

#include "qtest.h"

#define QT_PCI_EDU       0x11E81234u /* configuration dword 0: device id << 16 | vendor id */
#define QT_PCI_E1000     0x100E8086u
#define QT_PCI_E1000E    0x10D38086u
#define QT_PCI_NVME      0x00101B36u
#define QT_PCI_ROOT_PORT 0x000C1B36u

uint32_t qt_pci_read32(struct qt *qt, uint16_t bdf, unsigned int offset);
void qt_pci_write32(struct qt *qt, uint16_t bdf, unsigned int offset, uint32_t value);

/* The nth function (from 0) with this id on a bus; false when there are not so many. */
bool qt_pci_find(struct qt *qt, uint8_t bus, uint32_t id, unsigned int nth, uint16_t *bdf);

/*
 * Gives memory BAR 0 an address unless it has one, turns memory decoding and bus mastering on,
 * returns the address. Behind a bridge pass the address, inside the bridge's window; 0 means that
 * the harness chooses.
 */
uint64_t qt_pci_enable(struct qt *qt, uint16_t bdf, uint64_t bar);

/* Bus mastering on or off; memory decoding stays on. */
void qt_pci_bus_master(struct qt *qt, uint16_t bdf, bool on);

/*
 * Puts bus `secondary` and a memory window of 1 MiB behind a bridge on bus 0; returns the window's
 * address.
 */
uint64_t qt_pci_bridge(struct qt *qt, uint16_t bdf, uint8_t secondary);

/* The IOMMU's own PCI function (AMD-Vi); false without one. */
bool qt_amd_function(struct qt *qt, uint16_t *bdf);

/*
 * Whether the AMD-Vi function has signalled a target abort since the last call; the status bit is
 * cleared. The model sets it for a non-zero entry that is not present, not for an all-zero one:
 * false proves nothing.
 */
bool qt_amd_target_abort(struct qt *qt);

#endif
