/* SPDX-License-Identifier: MIT */
/* Hypercalls, console, memory and exit of the test dom0. Numbers: Xen's public headers. */
#include "dom0.h"

#define XEN_UPDATE_VA_MAPPING 14
#define XEN_CONSOLE_IO 18
#define XEN_SCHED_OP 29
#define XEN_PHYSDEV_OP 33
#define SCHEDOP_SHUTDOWN 2
#define PHYSDEVOP_SET_IOPL 6
#define PTE_DEVICE 0x73u /* present, writable, no cache, accessed, dirty */
#define DEBUG_PORT 0xf4  /* isa-debug-exit: QEMU ends with 2 * value + 1 */
#define EXIT_GOOD 0x10u
#define EXIT_BAD 0x20u

static void put_line(const char *text, unsigned len)
{
    (void)xen_call(XEN_CONSOLE_IO, 0, len, (unsigned long)text, 0);
}

static unsigned put_number(char *to, uint64_t value, unsigned base)
{
    char digits[24];
    unsigned n = 0, i;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    for (i = 0; i < n; i++) {
        to[i] = digits[n - 1 - i];
    }
    return n;
}

unsigned format_text(char *to, unsigned room, const char *format, va_list args)
{
    unsigned n = 0;

    for (; *format && n + 24 < room; format++) {
        bool wide = false;

        if (*format != '%') {
            to[n++] = *format;
            continue;
        }
        for (format++; *format == 'l'; format++) {
            wide = true;
        }
        if (*format == 's') {
            for (const char *s = va_arg(args, const char *); *s && n + 24 < room; s++) {
                to[n++] = *s;
            }
        } else if (*format == 'd') {
            long value = wide ? va_arg(args, long) : va_arg(args, int);

            if (value < 0) {
                to[n++] = '-';
                value = -value;
            }
            n += put_number(to + n, (uint64_t)value, 10);
        } else {
            n += put_number(to + n, wide ? va_arg(args, unsigned long) : va_arg(args, unsigned), *format == 'x' ? 16 : 10);
        }
    }
    return n;
}

void print(const char *format, ...)
{
    static char line[512];
    va_list args;
    unsigned n;

    va_start(args, format);
    n = format_text(line, sizeof(line) - 1, format, args);
    va_end(args);
    line[n++] = '\n';
    put_line(line, n);
}

void port_write(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

uint32_t port_read(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

void xen_exit(unsigned failed)
{
    uint32_t reboot = 1;

    port_write(DEBUG_PORT, failed == 0 ? EXIT_GOOD : EXIT_BAD);
    for (;;) { /* no such port */
        (void)xen_call(XEN_SCHED_OP, SCHEDOP_SHUTDOWN, (unsigned long)&reboot, 0, 0);
    }
}

#ifdef DOM0_PVH

extern unsigned char intel;
extern char memory_begin[];

/* Where RAM ends, as the start info says; below 4 GiB, where everything is mapped 1:1. */
static uint64_t memory_last;

struct memmap {
    uint64_t addr, size;
    uint32_t type, reserved;
};

void xen_start(void *info)
{
    const uint32_t *words = info;
    const struct memmap *map = (const void *)(uintptr_t)(words[10] | (uint64_t)words[11] << 32);
    uint32_t b;

    __asm__ volatile("cpuid" : "=b"(b) : "a"(0), "c"(0) : "edx");
    intel = b == 0x756e6547; /* "Genu" */
    for (uint32_t i = 0; i < words[12]; i++) {
        if (map[i].type == 1 && map[i].addr <= 0x100000 && map[i].addr + map[i].size > 0x100000) {
            memory_last = map[i].addr + map[i].size;
        }
    }
}

uint64_t frame_of(const void *page)
{
    return (uintptr_t)page / PAGE;
}

uint64_t memory_pages(void)
{
    return memory_last / PAGE - frame_of(memory_begin);
}

uint64_t memory_frame(uint64_t at)
{
    return frame_of(memory_begin) + at;
}

volatile void *device_page(uint64_t pa)
{
    return (volatile void *)(uintptr_t)pa;
}

#else

/* start_info, as far as it is looked at (64 bits). */
struct start_info {
    char magic[32];
    uint64_t nr_pages, shared_info;
    uint32_t flags, pad;
    uint64_t store_mfn;
    uint32_t store_evtchn, pad1;
    uint64_t console_mfn;
    uint32_t console_evtchn, pad2;
    uint64_t pt_base, nr_pt_frames, mfn_list;
};

static const struct start_info *si;

void xen_start(void *info)
{
    uint32_t iopl = 1;

    si = info;
    (void)xen_call(XEN_PHYSDEV_OP, PHYSDEVOP_SET_IOPL, (unsigned long)&iopl, 0, 0);
}

static uint64_t mfn(uint64_t page)
{
    return ((const uint64_t *)si->mfn_list)[page];
}

uint64_t frame_of(const void *page)
{
    return mfn(((uintptr_t)page - BASE) / PAGE);
}

/* Behind what Xen built, page tables included: frames that nothing here needs. */
uint64_t memory_pages(void)
{
    uint64_t used = (si->pt_base - BASE) / PAGE + si->nr_pt_frames + 1024;

    return si->nr_pages - used;
}

uint64_t memory_frame(uint64_t at)
{
    return mfn(si->nr_pages - 1 - at);
}

volatile void *device_page(uint64_t pa)
{
    static unsigned char window[PAGE] __attribute__((aligned(4096)));

    if (xen_call(XEN_UPDATE_VA_MAPPING, (unsigned long)window, (pa & ~(uint64_t)(PAGE - 1)) | PTE_DEVICE, 2, 0) != 0) {
        return NULL;
    }
    return window;
}

#endif
