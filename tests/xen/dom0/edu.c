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

#define EDUS 2u

uint32_t edu_sbdf;
static volatile unsigned char *regs;
static struct {
    uint32_t sbdf;
    volatile unsigned char *regs;
} edus[EDUS];
static unsigned nr_edus;

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

bool pci_is_there(uint32_t bdf)
{
    return pci_read(bdf, 0) != 0xffffffff;
}

bool edu_select(unsigned which)
{
    if (which >= nr_edus) {
        return false;
    }
    edu_sbdf = edus[which].sbdf;
    regs = edus[which].regs;
    return true;
}

uint64_t edu_frame(void)
{
    return (pci_read(edu_sbdf, 0x10) & ~0xfu) / PAGE;
}

bool edu_start(void)
{
    for (uint32_t bdf = 0; bdf < 256 && nr_edus < EDUS; bdf++) {
        if (pci_read(bdf, 0) == EDU_ID) {
            pci_write(bdf, 4, pci_read(bdf, 4) | 6);
            edus[nr_edus].sbdf = bdf;
            edus[nr_edus].regs = device_page(pci_read(bdf, 0x10) & ~0xfu);
            nr_edus += edus[nr_edus].regs != NULL && *(volatile uint32_t *)edus[nr_edus].regs == 0x010000edu;
        }
    }
    return edu_select(0);
}

static void begin(uint64_t source, uint64_t target, unsigned how)
{
    *(volatile uint64_t *)(regs + REG_SOURCE) = source;
    *(volatile uint64_t *)(regs + REG_TARGET) = target;
    *(volatile uint64_t *)(regs + REG_COUNT) = EDU_BYTES;
    *(volatile uint64_t *)(regs + REG_COMMAND) = RUN | how;
}

void edu_wait(void)
{
    while ((*(volatile uint64_t *)(regs + REG_COMMAND) & RUN) != 0) {
    }
}

void edu_load(uint64_t from)
{
    begin(from, BUFFER, 0);
    edu_wait();
}

void edu_begin_store(uint64_t to)
{
    begin(BUFFER, to, TO_MEMORY);
}

void edu_store(uint64_t to)
{
    edu_begin_store(to);
    edu_wait();
}
