/* SPDX-License-Identifier: MIT */
/* QEMU's edu device: a buffer of 4 KiB and a DMA engine (docs/specs/edu in QEMU's documentation). */
#include "dom0.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define EDU_ID 0x11e81234u
#define BUFFER 0x40000u
#define REG_SOURCE 0x80u
#define REG_TARGET 0x88u
#define REG_COUNT 0x90u
#define REG_COMMAND 0x98u
#define RUN 1u
#define TO_MEMORY 2u

uint32_t edu_sbdf;
static volatile unsigned char *regs;

static uint32_t pci_read(uint32_t bdf, unsigned reg)
{
    port_write(PCI_ADDRESS, 0x80000000u | bdf << 8 | reg);
    return port_read(PCI_DATA);
}

static void pci_write(uint32_t bdf, unsigned reg, uint32_t value)
{
    port_write(PCI_ADDRESS, 0x80000000u | bdf << 8 | reg);
    port_write(PCI_DATA, value);
}

bool edu_start(void)
{
    for (uint32_t bdf = 0; bdf < 256; bdf++) {
        if (pci_read(bdf, 0) == EDU_ID) {
            edu_sbdf = bdf;
            pci_write(bdf, 4, pci_read(bdf, 4) | 6);
            regs = device_page(pci_read(bdf, 0x10) & ~0xfu);
            return regs != NULL && *(volatile uint32_t *)regs == 0x010000edu;
        }
    }
    return false;
}

static void transfer(uint64_t source, uint64_t target, unsigned bytes, unsigned how)
{
    *(volatile uint64_t *)(regs + REG_SOURCE) = source;
    *(volatile uint64_t *)(regs + REG_TARGET) = target;
    *(volatile uint64_t *)(regs + REG_COUNT) = bytes;
    *(volatile uint64_t *)(regs + REG_COMMAND) = RUN | how;
    while ((*(volatile uint64_t *)(regs + REG_COMMAND) & RUN) != 0) {
    }
}

void edu_load(uint64_t from)
{
    transfer(from, BUFFER, EDU_BYTES, 0);
}

void edu_store(uint64_t to)
{
    transfer(BUFFER, to, EDU_BYTES, TO_MEMORY);
}
