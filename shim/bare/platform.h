/* SPDX-License-Identifier: MIT */
/*
 * The machine under the bare host: what an operating system's lower half would offer, as far as the
 * host and the checks need it. A PC of QEMU's: debug console, exit port, RAM size in CMOS, PCI by
 * ports, local APIC.
 */
#ifndef BARE_PLATFORM_H
#define BARE_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values for bare_exit(); the emulator's exit status is 2 * value + 1. */
#define BARE_EXIT_PASS  0x10u
#define BARE_EXIT_FAIL  0x11u
#define BARE_EXIT_FATAL 0x3Fu

/* Interrupt vectors. */
#define BARE_VECTOR_MSI   0x40u
#define BARE_VECTOR_TIMER 0x41u

/* Interrupts on, exceptions caught, timer stopped. */
void bare_platform_init(void);

void bare_exit(unsigned value) __attribute__((noreturn));
/* %s %d %u %x, also with ll. */
void bare_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints why the run cannot go on, and ends it. */
void bare_fatal(const char *why) __attribute__((noreturn));

/* Bytes of RAM below 4 GiB, and from 4 GiB on. */
uint64_t bare_ram_low(void);
uint64_t bare_ram_high(void);

/*
 * An ACPI table of the RSDT by its signature, NULL when there is none; *size is what its header
 * says.
 */
const void *bare_acpi_table(const char *signature, size_t *size);

/*
 * PCI configuration space of segment 0; rid is bus << 8 | device << 3 | function, offset is a
 * multiple of 4.
 */
uint32_t bare_pci_read(uint16_t rid, unsigned offset);
void bare_pci_write(uint16_t rid, unsigned offset, uint32_t value);
/* The nth function of bus 0 with this device << 16 | vendor. */
bool bare_pci_find(uint32_t id, unsigned nth, uint16_t *rid);

/* Sets bare_tick again and again, every so many nanoseconds, until stopped. */
void bare_timer_start(uint32_t nanoseconds);
void bare_timer_stop(void);
extern volatile bool bare_tick;

/* Message-signalled interrupts received. */
extern volatile uint32_t bare_msi_count;

#endif
