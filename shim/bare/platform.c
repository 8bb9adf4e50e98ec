/* SPDX-License-Identifier: MIT */
/* The machine: console, exit, interrupts, RAM size, ACPI, PCI, and the four memory functions. */
#include "platform.h"

#include <stdarg.h>
#include <string.h>

#define PORT_CONSOLE   0xE9
#define PORT_EXIT      0xF4
#define PORT_PIC_MASK  0x21
#define PORT_PIC2_MASK 0xA1
#define PORT_CMOS      0x70
#define PORT_CMOS_DATA 0x71
#define PORT_PCI       0xCF8
#define PORT_PCI_DATA  0xCFC

/* Local APIC (xAPIC window). */
#define LAPIC               0xFEE00000u
#define LAPIC_REG(offset)   (*(volatile uint32_t *)(uintptr_t)(LAPIC + (offset)))
#define LAPIC_EOI           0xB0u
#define LAPIC_SPURIOUS      0xF0u
#define LAPIC_TIMER         0x320u
#define LAPIC_TIMER_INITIAL 0x380u
#define LAPIC_TIMER_DIVIDE  0x3E0u
#define LAPIC_ENABLE        0x100u
#define LAPIC_PERIODIC      0x20000u
#define LAPIC_DIVIDE_BY_1   0xBu
#define VECTOR_SPURIOUS     0xFFu

#define NR_VECTORS     256u
#define GATE_INTERRUPT 0x8E00u
#define SELECTOR_CODE  0x08u

volatile bool bare_tick;
volatile uint32_t bare_msi_count;

struct gate {
    uint16_t low, selector, type, middle;
    uint32_t high, zero;
};
static struct gate idt[NR_VECTORS] __attribute__((aligned(16)));

/* What the CPU leaves on the stack for an interrupt, and boot.S for an exception. */
struct interrupt_frame;
struct trap_frame {
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
extern const uint8_t bare_trap_entries[];
void bare_trap(const struct trap_frame *f, uint64_t cr2) __attribute__((noreturn));

/* Memory functions ----------------------------------------------------------------------------- */

/* String instructions, because a compiler turns a plain loop into a call of what it implements. */
void *memcpy(void *to, const void *from, size_t size)
{
    void *at = to;

    __asm__ __volatile__("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *at = to;

    __asm__ __volatile__("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *last = (unsigned char *)to + size - 1;
    const unsigned char *from_last = (const unsigned char *)from + size - 1;

    if ((uintptr_t)to - (uintptr_t)from >= size) {
        return memcpy(to, from, size);
    }
    __asm__ __volatile__("std\n\trep movsb\n\tcld"
                         : "+D"(last), "+S"(from_last), "+c"(size)
                         :
                         : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    size_t i;

    for (i = 0; i < size; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

/* Ports and the console ------------------------------------------------------------------------ */

static void out8(uint16_t port, uint8_t value)
{
    __asm__ __volatile__("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static void out32(uint16_t port, uint32_t value)
{
    __asm__ __volatile__("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ __volatile__("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ __volatile__("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

void bare_exit(unsigned value)
{
    out32(PORT_EXIT, value);
    for (;;) {
        __asm__ __volatile__("cli; hlt");
    }
}

static void print_number(uint64_t value, unsigned base)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (n > 0) {
        out8(PORT_CONSOLE, (uint8_t)digits[--n]);
    }
}

static void print_signed(int64_t value)
{
    if (value < 0) {
        out8(PORT_CONSOLE, '-');
    }
    print_number(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

static void print_va(const char *p, va_list args)
{
    for (; *p; p++) {
        bool wide = false;

        if (*p != '%') {
            out8(PORT_CONSOLE, (uint8_t)*p);
            continue;
        }
        for (p++; *p == 'l'; p++) {
            wide = true;
        }
        if (*p == 's') {
            const char *s;

            for (s = va_arg(args, const char *); *s; s++) {
                out8(PORT_CONSOLE, (uint8_t)*s);
            }
        } else if (*p == 'd') {
            print_signed(wide ? va_arg(args, long long) : va_arg(args, int));
        } else {
            print_number(wide ? va_arg(args, unsigned long long) : va_arg(args, unsigned),
                         *p == 'x' ? 16 : 10);
        }
    }
}

void bare_print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_va(format, args);
    va_end(args);
}

void bare_fatal(const char *why)
{
    bare_print("Bail out! %s\n", why);
    bare_exit(BARE_EXIT_FATAL);
}

/* Interrupts ----------------------------------------------------------------------------------- */

void bare_trap(const struct trap_frame *f, uint64_t cr2)
{
    bare_print("# exception %u, error 0x%llx, rip 0x%llx, cr2 0x%llx\n", (unsigned)f->vector,
               (unsigned long long)f->error, (unsigned long long)f->rip, (unsigned long long)cr2);
    bare_fatal("unexpected exception");
}

__attribute__((interrupt)) static void on_msi(struct interrupt_frame *f)
{
    (void)f;
    bare_msi_count++;
    LAPIC_REG(LAPIC_EOI) = 0;
}

__attribute__((interrupt)) static void on_timer(struct interrupt_frame *f)
{
    (void)f;
    bare_tick = true;
    LAPIC_REG(LAPIC_EOI) = 0;
}

__attribute__((interrupt)) static void on_spurious(struct interrupt_frame *f)
{
    (void)f;
}

static void gate_set(unsigned vector, uintptr_t entry)
{
    idt[vector].low = (uint16_t)entry;
    idt[vector].selector = SELECTOR_CODE;
    idt[vector].type = GATE_INTERRUPT;
    idt[vector].middle = (uint16_t)(entry >> 16);
    idt[vector].high = (uint32_t)(entry >> 32);
}

void bare_platform_init(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(idt) - 1, (uintptr_t)idt};
    unsigned i;

    for (i = 0; i < 32; i++) {
        gate_set(i, (uintptr_t)bare_trap_entries + 16 * i);
    }
    gate_set(BARE_VECTOR_MSI, (uintptr_t)on_msi);
    gate_set(BARE_VECTOR_TIMER, (uintptr_t)on_timer);
    gate_set(VECTOR_SPURIOUS, (uintptr_t)on_spurious);
    __asm__ __volatile__("lidt %0" : : "m"(pointer));
    out8(PORT_PIC_MASK, 0xFF);
    out8(PORT_PIC2_MASK, 0xFF);
    LAPIC_REG(LAPIC_SPURIOUS) = LAPIC_ENABLE | VECTOR_SPURIOUS;
    bare_timer_stop();
    __asm__ __volatile__("sti");
}

/* The bus clock of QEMU's local APIC is 1 GHz: a count is a nanosecond. */
void bare_timer_start(uint32_t nanoseconds)
{
    LAPIC_REG(LAPIC_TIMER_DIVIDE) = LAPIC_DIVIDE_BY_1;
    LAPIC_REG(LAPIC_TIMER) = LAPIC_PERIODIC | BARE_VECTOR_TIMER;
    LAPIC_REG(LAPIC_TIMER_INITIAL) = nanoseconds;
}

void bare_timer_stop(void)
{
    LAPIC_REG(LAPIC_TIMER_INITIAL) = 0;
    bare_tick = false;
}

/* RAM and firmware ----------------------------------------------------------------------------- */

static uint32_t cmos(uint8_t index)
{
    out8(PORT_CMOS, index);
    return in8(PORT_CMOS_DATA);
}

/* CMOS 34h, 35h: 64 KiB units above 16 MiB. */
uint64_t bare_ram_low(void)
{
    return ((uint64_t)(cmos(0x34) | cmos(0x35) << 8) << 16) + (16u << 20);
}

/* CMOS 5Bh to 5Dh: 64 KiB units above 4 GiB. */
uint64_t bare_ram_high(void)
{
    return (uint64_t)(cmos(0x5B) | cmos(0x5C) << 8 | cmos(0x5D) << 16) << 16;
}

static const void *pointer(uint64_t pa)
{
    return (const void *)(uintptr_t)pa;
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof(value));
    return value;
}

static bool sums_to_zero(const uint8_t *p, uint32_t size)
{
    uint8_t sum = 0;

    while (size-- > 0) {
        sum = (uint8_t)(sum + *p++);
    }
    return sum == 0;
}

const void *bare_acpi_table(const char *signature, size_t *size)
{
    const uint8_t *rsdp, *rsdt, *table;
    uint32_t at;

    for (at = 0xE0000; at < 0x100000; at += 16) {
        rsdp = pointer(at);
        if (memcmp(rsdp, "RSD PTR ", 8) == 0 && sums_to_zero(rsdp, 20)) {
            break;
        }
    }
    if (at == 0x100000) {
        return NULL;
    }
    rsdt = pointer(load32(rsdp + 16));
    for (at = 36; at + 4 <= load32(rsdt + 4); at += 4) {
        table = pointer(load32(rsdt + at));
        if (memcmp(table, signature, 4) == 0) {
            *size = load32(table + 4);
            return table;
        }
    }
    return NULL;
}

/* PCI ------------------------------------------------------------------------------------------ */

uint32_t bare_pci_read(uint16_t rid, unsigned offset)
{
    out32(PORT_PCI, 0x80000000u | (uint32_t)rid << 8 | offset);
    return in32(PORT_PCI_DATA);
}

void bare_pci_write(uint16_t rid, unsigned offset, uint32_t value)
{
    out32(PORT_PCI, 0x80000000u | (uint32_t)rid << 8 | offset);
    out32(PORT_PCI_DATA, value);
}

bool bare_pci_find(uint32_t id, unsigned nth, uint16_t *rid)
{
    uint16_t at;

    for (at = 0; at < 256; at++) {
        if (bare_pci_read(at, 0) == id && nth-- == 0) {
            *rid = at;
            return true;
        }
    }
    return false;
}
