/* SPDX-License-Identifier: MIT */
/* The test dom0: what its parts know of each other. One program, PV or PVH (DOM0_PVH). */
#ifndef DOM0_H
#define DOM0_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u

/* --- xen.c: the hypervisor, as this guest sees it ------------------------------------------------------- */

long xen_call(unsigned long nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
void xen_start(void *info);
/* Ends the machine; 0: all was well. */
void xen_exit(unsigned failed) __attribute__((noreturn));
/* %s %d %u %x %llx; a line at most. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same into `to`, without an end; @return how much. */
unsigned format_text(char *to, unsigned room, const char *format, va_list args);
/* The frame, as devices and hypercalls name it, of a page of this program, or of memory that it was given. */
uint64_t frame_of(const void *page);
/* Memory beyond this program: `nr` pages from page number `at` on, as numbers for frame_at(). */
uint64_t memory_pages(void);
uint64_t memory_frame(uint64_t at);
/* Registers of a device at a physical address, one page. */
volatile void *device_page(uint64_t pa);
void port_write(uint16_t port, uint32_t value);
uint32_t port_read(uint16_t port);

/* --- tap.c: the report ---------------------------------------------------------------------------------- */

void ok(bool good, const char *what, ...) __attribute__((format(printf, 2, 3)));
void is(long got, long want, const char *what, ...) __attribute__((format(printf, 3, 4)));
/* A line that is no test. */
#define note(...) print("# " __VA_ARGS__)
unsigned tap_end(void);

/* --- edu.c: the device ---------------------------------------------------------------------------------- */

/* Finds QEMU's edu. */
bool edu_start(void);
extern uint32_t edu_sbdf;
#define EDU_BYTES 2048u
/* From bus address `from` into the device's buffer; from there to `to`. */
void edu_load(uint64_t from);
void edu_store(uint64_t to);

/* --- tests ---------------------------------------------------------------------------------------------- */

void test_iommu43(void);

#endif
