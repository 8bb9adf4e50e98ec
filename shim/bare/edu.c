/* SPDX-License-Identifier: MIT */
/* QEMU's edu device: registers, message-signalled interrupt, and transfers that are judged. */
#include "edu.h"

#include <string.h>

#include "platform.h"

#define EDU_PCI_ID   0x11E81234u
#define EDU_ID       0x00u
#define EDU_ID_VALUE 0x010000EDu
#define EDU_SRC      0x80u
#define EDU_DST      0x88u
#define EDU_LEN      0x90u
#define EDU_CMD      0x98u
#define CMD_START    1u
#define CMD_TO_RAM   2u
#define CMD_IRQ      4u

/* The device's buffer as the device addresses it; the upper part is for what it reads. */
#define BUFFER       0x40000u
#define BUFFER_READS 0x40800u

#define PCI_COMMAND     0x04u
#define PCI_MEMORY      0x2u
#define PCI_MASTER      0x4u
#define PCI_BAR0        0x10u
#define PCI_CAP_POINTER 0x34u
#define PCI_CAP_MSI     0x05u
#define MSI_ENABLE      0x10000u
#define MSI_64BIT       0x800000u
#define MSI_ADDRESS     0xFEE00000u

/* The device takes 100 ms. */
#define LOST_NS 150000000u

#define WORDS (EDU_BYTES / 8)
#define HALF  (EDU_BYTES / 2)

uint32_t edu_transfers;

static volatile uint64_t *reg64(const struct edu *e, unsigned offset)
{
    return (volatile uint64_t *)(uintptr_t)(e->mmio + offset);
}

static uint64_t *ram(uint64_t pa)
{
    return (uint64_t *)(uintptr_t)pa;
}

static bool msi_on(const struct edu *e)
{
    unsigned at = bare_pci_read(e->rid, PCI_CAP_POINTER) & 0xFC;
    uint32_t head;

    for (; at != 0; at = head >> 8 & 0xFC) {
        head = bare_pci_read(e->rid, at);
        if ((head & 0xFF) == PCI_CAP_MSI) {
            bool wide = (head & MSI_64BIT) != 0;

            bare_pci_write(e->rid, at + 4, MSI_ADDRESS);
            if (wide) {
                bare_pci_write(e->rid, at + 8, 0);
            }
            bare_pci_write(e->rid, at + (wide ? 12 : 8), BARE_VECTOR_MSI);
            bare_pci_write(e->rid, at, head | MSI_ENABLE);
            return true;
        }
    }
    return false;
}

/*
 * One transfer; the barrier keeps RAM's content before it. The CPU sleeps until the device's
 * interrupt, or the timer's if that is lost; STI takes effect one instruction late, so that neither
 * can come between the look at the register and HLT.
 */
static void transfer(const struct edu *e, uint64_t src, uint64_t dst, uint64_t command)
{
    edu_transfers++;
    bare_timer_start(LOST_NS);
    __asm__ __volatile__("" : : : "memory");
    *reg64(e, EDU_SRC) = src;
    *reg64(e, EDU_DST) = dst;
    *reg64(e, EDU_LEN) = EDU_BYTES;
    *reg64(e, EDU_CMD) = command | CMD_START | CMD_IRQ;
    for (;;) {
        __asm__ __volatile__("cli" : : : "memory");
        if ((*reg64(e, EDU_CMD) & CMD_START) == 0) {
            break;
        }
        __asm__ __volatile__("sti; hlt" : : : "memory");
    }
    __asm__ __volatile__("sti" : : : "memory");
    bare_timer_stop();
}

bool edu_open(struct edu *e, unsigned nth, uint64_t scratch)
{
    unsigned i;

    if (!bare_pci_find(EDU_PCI_ID, nth, &e->rid)) {
        return false;
    }
    e->mmio = bare_pci_read(e->rid, PCI_BAR0) & ~(uint64_t)0xF;
    bare_pci_write(e->rid, PCI_COMMAND, PCI_MEMORY | PCI_MASTER);
    if (*(volatile uint32_t *)(uintptr_t)(e->mmio + EDU_ID) != EDU_ID_VALUE || !msi_on(e)) {
        return false;
    }
    e->words = UINT64_C(0xED) << 56 | (uint64_t)e->rid << 32;
    for (i = 0; i < WORDS; i++) {
        ram(scratch)[i] = e->words + i;
    }
    transfer(e, scratch, BUFFER, 0);
    return true;
}

/* A value that memory never held before. */
static uint64_t fresh(void)
{
    static uint64_t count;

    return UINT64_C(0x5A) << 56 | ++count << 16;
}

/* How many of n words from p on are base, base + 1, ...; with step 0: are base. */
static unsigned equal(const uint64_t *p, uint64_t base, unsigned step, unsigned n)
{
    unsigned i, found = 0;

    for (i = 0; i < n; i++) {
        found += p[i] == base + i * step;
    }
    return found;
}

static void fill(uint64_t *p, uint64_t base, unsigned step, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        p[i] = base + i * step;
    }
}

enum edu_verdict edu_write_halves(const struct edu *e, uint64_t iova, uint64_t pa, uint64_t pa2)
{
    uint64_t before = fresh();
    unsigned moved, kept;

    fill(ram(pa), before, 0, WORDS / 2);
    fill(ram(pa2), before, 0, WORDS / 2);
    transfer(e, BUFFER, iova, CMD_TO_RAM);
    moved = equal(ram(pa), e->words, 1, WORDS / 2) +
            equal(ram(pa2), e->words + WORDS / 2, 1, WORDS / 2);
    kept = equal(ram(pa), before, 0, WORDS / 2) + equal(ram(pa2), before, 0, WORDS / 2);
    return moved == WORDS ? EDU_LANDED : kept == WORDS ? EDU_BLOCKED : EDU_CORRUPT;
}

enum edu_verdict edu_write(const struct edu *e, uint64_t iova, uint64_t pa)
{
    return edu_write_halves(e, iova, pa, pa + HALF);
}

enum edu_verdict edu_read(const struct edu *e, uint64_t iova, uint64_t pa, uint64_t bounce,
                          uint64_t bounce_pa)
{
    uint64_t before = fresh();
    uint64_t poison = fresh();
    unsigned moved;

    fill(ram(pa), before, 1, WORDS);
    transfer(e, iova, BUFFER_READS, 0);
    fill(ram(bounce_pa), poison, 0, WORDS);
    transfer(e, BUFFER_READS, bounce, CMD_TO_RAM);
    moved = equal(ram(bounce_pa), before, 1, WORDS);
    if (moved == 0 && equal(ram(bounce_pa), poison, 0, WORDS) == 0) {
        return EDU_BLOCKED;
    }
    return moved == WORDS ? EDU_LANDED : EDU_CORRUPT;
}
