/* SPDX-License-Identifier: MIT */
/* PCI configuration mechanism #1 (ports 0xCF8 and 0xCFC) and what firmware would do with it. */
#include "pci.h"

#define CONFIG_ADDRESS    0xCF8
#define CONFIG_DATA       0xCFC

#define PCI_ID            0x00
#define PCI_COMMAND       0x04 /* status in the upper half: write 1 to clear */
#define PCI_CLASS         0x08
#define PCI_BAR0          0x10
#define PCI_BUS_NUMBERS   0x18
#define PCI_MEMORY_WINDOW 0x20

#define COMMAND_MASK      0xFFFFu
#define COMMAND_MEMORY    0x2u
#define COMMAND_MASTER    0x4u
#define STATUS_SENT_ABORT (1u << 27)
#define BAR_IO            0x1u
#define BAR_TYPE          0x6u
#define BAR_TYPE_64       0x4u
#define BAR_ADDRESS       0xFFFFFFF0u
#define WINDOW_SIZE       0x100000u

#define AMD_VENDOR        0x1022u
#define CLASS_IOMMU       0x0806u

static uint32_t config_address(uint16_t bdf, unsigned int offset)
{
    return 0x80000000u | (uint32_t)bdf << 8 | (offset & 0xFCu);
}

uint32_t qt_pci_read32(struct qt *qt, uint16_t bdf, unsigned int offset)
{
    qt_out32(qt, CONFIG_ADDRESS, config_address(bdf, offset));
    return qt_in32(qt, CONFIG_DATA);
}

void qt_pci_write32(struct qt *qt, uint16_t bdf, unsigned int offset, uint32_t value)
{
    qt_batch_begin(qt);
    qt_out32(qt, CONFIG_ADDRESS, config_address(bdf, offset));
    qt_out32(qt, CONFIG_DATA, value);
    qt_batch_end(qt);
}

bool qt_pci_find(struct qt *qt, uint8_t bus, uint32_t id, unsigned int nth, uint16_t *bdf)
{
    unsigned int devfn;

    for (devfn = 0; devfn < 256; devfn++) {
        uint16_t at = (uint16_t)((unsigned int)bus << 8 | devfn);

        if (qt_pci_read32(qt, at, PCI_ID) == id && nth-- == 0) {
            *bdf = at;
            return true;
        }
    }
    return false;
}

/* The size of a BAR is what remains of the ones that were written to it. */
static uint32_t bar_size(struct qt *qt, uint16_t bdf)
{
    uint32_t mask;

    qt_pci_write32(qt, bdf, PCI_BAR0, BAR_ADDRESS);
    mask = qt_pci_read32(qt, bdf, PCI_BAR0) & BAR_ADDRESS;
    return ~mask + 1;
}

static void set_command(struct qt *qt, uint16_t bdf, uint32_t clear, uint32_t set)
{
    uint32_t command = qt_pci_read32(qt, bdf, PCI_COMMAND) & COMMAND_MASK;

    qt_pci_write32(qt, bdf, PCI_COMMAND, (command & ~clear) | set);
}

uint64_t qt_pci_enable(struct qt *qt, uint16_t bdf, uint64_t bar)
{
    uint32_t now = qt_pci_read32(qt, bdf, PCI_BAR0);
    uint64_t addr = now & BAR_ADDRESS;
    uint32_t size;

    if (now & BAR_IO)
        qt_fatal(qt, "BAR 0 of %04x is in port space", bdf);
    if ((now & BAR_TYPE) == BAR_TYPE_64)
        addr |= (uint64_t)qt_pci_read32(qt, bdf, PCI_BAR0 + 4) << 32;
    if (!addr) {
        size = bar_size(qt, bdf);
        if (!size)
            qt_fatal(qt, "function %04x has no BAR 0", bdf);
        addr = bar ? bar : qt_alloc_mmio(qt, size);
        qt_pci_write32(qt, bdf, PCI_BAR0, (uint32_t)addr);
        if ((now & BAR_TYPE) == BAR_TYPE_64)
            qt_pci_write32(qt, bdf, PCI_BAR0 + 4, (uint32_t)(addr >> 32));
    }
    set_command(qt, bdf, 0, COMMAND_MEMORY | COMMAND_MASTER);
    return addr;
}

void qt_pci_bus_master(struct qt *qt, uint16_t bdf, bool on)
{
    set_command(qt, bdf, COMMAND_MASTER, on ? COMMAND_MASTER : 0);
}

uint64_t qt_pci_bridge(struct qt *qt, uint16_t bdf, uint8_t secondary)
{
    uint64_t window = qt_alloc_mmio(qt, WINDOW_SIZE);
    uint32_t base = (uint32_t)(window >> 16) & 0xFFF0u;

    /*
     * Primary 0, secondary and subordinate the same bus; base and limit name the first and last MiB
     * of the window.
     */
    qt_pci_write32(qt, bdf, PCI_BUS_NUMBERS, (uint32_t)secondary << 16 | (uint32_t)secondary << 8);
    qt_pci_write32(qt, bdf, PCI_MEMORY_WINDOW, base << 16 | base);
    set_command(qt, bdf, 0, COMMAND_MEMORY | COMMAND_MASTER | 1u);
    return window;
}

bool qt_amd_function(struct qt *qt, uint16_t *bdf)
{
    unsigned int devfn;

    for (devfn = 0; devfn < 256; devfn++) {
        if ((qt_pci_read32(qt, (uint16_t)devfn, PCI_ID) & 0xFFFFu) == AMD_VENDOR &&
            qt_pci_read32(qt, (uint16_t)devfn, PCI_CLASS) >> 16 == CLASS_IOMMU) {
            *bdf = (uint16_t)devfn;
            return true;
        }
    }
    return false;
}

bool qt_amd_target_abort(struct qt *qt)
{
    uint16_t bdf;
    uint32_t command;

    if (!qt_amd_function(qt, &bdf))
        qt_fatal(qt, "no AMD-Vi function on bus 0; start QEMU with QT_IOMMU_AMD");
    command = qt_pci_read32(qt, bdf, PCI_COMMAND);
    if (!(command & STATUS_SENT_ABORT))
        return false;
    qt_pci_write32(qt, bdf, PCI_COMMAND, (command & COMMAND_MASK) | STATUS_SENT_ABORT);
    return true;
}
