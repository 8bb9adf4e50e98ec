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
/* What the command line has behind `name=`, in hexadecimal; 0: it is not there. */
uint64_t xen_option(const char *name);
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
/* Hands a page of it back to Xen; gets another for it. */
bool memory_give(uint64_t at);
bool memory_take(uint64_t at);
/* Pages that the domain has, those included that it gave back while somebody refers to them. */
long memory_owned(void);
/* Does nobody refer to that page? */
bool memory_is_free(uint64_t at);
/* Where a frame of memory can be seen, until another is. */
volatile unsigned char *memory_map(uint64_t frame);
/* The longest run of that memory whose frames follow one another, `most` at most: @return how many, and the first frame. */
uint32_t memory_run(uint32_t most, uint64_t *first);
/* PV: gives a page of this program another page table entry; as memory to read, or to write too. */
long page_remap(void *page, uint64_t entry);
long page_protect(void *page, bool writable);
/* PV: makes a page a table of the lowest level, or no table any more. */
long page_pin(const void *page, bool pin);
/* Is it a frame of this domain's memory? */
bool frame_is_own(uint64_t frame);
/* Registers of a device at a physical address, one page. */
volatile void *device_page(uint64_t pa);
void port_write(uint16_t port, uint32_t value);
uint32_t port_read(uint16_t port);

/* The page that Xen shares with this guest. */
void *xen_shared(void);
uint64_t xen_shared_frame(void); /* PV */
/* Has Xen come to event_entry. */
bool xen_events(void);
/* Begins the second virtual CPU at second_entry, with that stack; false: there is none. */
bool xen_second(void *stack_end);

/* --- cpu.c: time, events, and the second virtual CPU --------------------------------------------------------- */

void cpu_start(void);
/* Nanoseconds of Xen's. */
uint64_t now(void);
/* Events are let through from here on; false: there can be none. */
bool events_begin(void);
void events_end(void);
/* One every so many nanoseconds, from now on; 0: no more. */
void events_every(uint64_t ns);
/* One, at once, from any CPU. */
void events_send(void);
/* What has been seen of them. */
struct event_count {
    unsigned seen;
    unsigned continued; /* when hypercall 43 was under way: it was to be entered again */
    unsigned partway;   /* when its structure, or its first argument, told how far it had come */
};
extern volatile struct event_count events;

/* Begins the second virtual CPU, once. */
bool second_is_there(void);
/* Has it run something, beside the first: it has begun when this returns. The last job is waited for before. */
void second_run(void (*job)(void *), void *arg);
void second_wait(void);

/* --- tap.c: the report ---------------------------------------------------------------------------------- */

void ok(bool good, const char *what, ...) __attribute__((format(printf, 2, 3)));
void is(long got, long want, const char *what, ...) __attribute__((format(printf, 3, 4)));
/* A line that is no test. */
#define note(...) print("# " __VA_ARGS__)
unsigned tap_end(void);

/* --- edu.c: the device ---------------------------------------------------------------------------------- */

/* Finds those of QEMU, two at most, and selects the first. */
bool edu_start(void);
/* The one that the rest is about; false: there are not that many. */
bool edu_select(unsigned which);
extern uint32_t edu_sbdf;
/* Where its registers are. */
uint64_t edu_frame(void);
#define EDU_BYTES 2048u
/* From bus address `from` into the device's buffer; from there to `to`. */
void edu_load(uint64_t from);
void edu_store(uint64_t to);
/* The same in two parts. */
void edu_begin_store(uint64_t to);
void edu_wait(void);
/* Is there a function of that number on the first bus? */
bool pci_is_there(uint32_t bdf);

/* --- mem.c ----------------------------------------------------------------------------------------------------- */

void *memset(void *to, int value, size_t nr);
void *memcpy(void *to, const void *from, size_t nr);

/* --- tests ---------------------------------------------------------------------------------------------- */

void test_iommu43(void);
void test_bus56(void);
void test_cost(void);

#endif
