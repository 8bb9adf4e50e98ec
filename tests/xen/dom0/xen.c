/* SPDX-License-Identifier: MIT */
/* Hypercalls, console, memory and exit of the test dom0. Numbers: Xen's public headers. */
#include "dom0.h"

#define XEN_MEMORY_OP 12
#define XEN_UPDATE_VA_MAPPING 14
#define XEN_CONSOLE_IO 18
#define XEN_SCHED_OP 29
#define XEN_PHYSDEV_OP 33
#define XEN_VCPU_OP 24
#define SCHEDOP_SHUTDOWN 2
#define VCPUOP_INITIALISE 0
#define VCPUOP_UP 1
#define PHYSDEVOP_SET_IOPL 6
#define XENMEM_DECREASE_RESERVATION 1
#define XENMEM_CURRENT_RESERVATION 3
#define XENMEM_POPULATE_PHYSMAP 6
#define DOMID_SELF 0x7ff0
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

/* A debug build of Xen gives a PV guest its memory upside down. */
uint32_t memory_run(uint32_t most, uint64_t *first)
{
    uint64_t nr = memory_pages(), at, end, step;
    uint32_t best = 0;

    for (at = 0; at + 1 < nr && best < most; at = end - 1) {
        step = memory_frame(at + 1) - memory_frame(at);
        for (end = at + 2; end < nr && end - at < most && memory_frame(end) - memory_frame(end - 1) == step; end++) {
        }
        if ((step == 1 || step == UINT64_MAX) && end - at > best) {
            best = (uint32_t)(end - at);
            *first = memory_frame(step == 1 ? at : end - 1);
        }
    }
    return best;
}

static long reservation(unsigned op, uint64_t *frame)
{
    struct {
        uint64_t *extents;
        uint64_t nr;
        uint32_t order, flags;
        uint16_t domid;
    } r = {frame, 1, 0, 0, DOMID_SELF};

    return xen_call(XEN_MEMORY_OP, op, (unsigned long)&r, 0, 0);
}

bool memory_give(uint64_t at)
{
    uint64_t frame = memory_frame(at);

    return reservation(XENMEM_DECREASE_RESERVATION, &frame) == 1;
}

long memory_owned(void)
{
    uint16_t self = DOMID_SELF;

    return xen_call(XEN_MEMORY_OP, XENMEM_CURRENT_RESERVATION, (unsigned long)&self, 0, 0);
}

bool memory_is_free(uint64_t at)
{
    long owned = memory_owned();
    bool is_free = memory_give(at) && memory_owned() == owned - 1;

    return memory_take(at) && is_free;
}

static const char *command_line;

uint64_t xen_option(const char *name)
{
    uint64_t value = 0;
    const char *s = command_line;
    unsigned n;

    for (; *s != '\0'; s++) {
        for (n = 0; name[n] != '\0' && s[n] == name[n]; n++) {
        }
        if (name[n] == '\0' && s[n] == '=') {
            for (s += n + 1; (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f'); s++) {
                value = value << 4 | (uint64_t)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
            }
            return value;
        }
    }
    return 0;
}

void second_entry(void);
void event_entry(void);

static bool second_up(const void *context)
{
    return xen_call(XEN_VCPU_OP, VCPUOP_INITIALISE, 1, (unsigned long)context, 0) == 0 &&
           xen_call(XEN_VCPU_OP, VCPUOP_UP, 1, 0, 0) == 0;
}

#ifdef DOM0_PVH

#define XEN_HVM_OP 34
#define XENMEM_ADD_TO_PHYSMAP 7
#define XENMEM_MEMORY_MAP 9
#define HVMOP_SET_PARAM 0
#define HVM_PARAM_CALLBACK_IRQ 0
#define CALLBACK_VECTOR (2ull << 56)
#define VECTOR 0xf3

extern unsigned char intel;
extern char memory_begin[];

/* Where RAM ends, below 4 GiB, where everything is mapped 1:1. */
static uint64_t memory_last;

static void find_memory(void)
{
    static struct {
        uint64_t addr, size;
        uint32_t type;
    } __attribute__((packed)) map[64];
    struct {
        uint32_t nr, pad;
        void *map;
    } arg = {64, 0, map};

    if (xen_call(XEN_MEMORY_OP, XENMEM_MEMORY_MAP, (unsigned long)&arg, 0, 0) != 0) {
        return;
    }
    for (uint32_t i = 0; i < arg.nr; i++) {
        if (map[i].type == 1 && map[i].addr <= 0x100000 && map[i].addr + map[i].size > 0x100000) {
            memory_last = map[i].addr + map[i].size;
        }
    }
}

void xen_start(void *info)
{
    const uint32_t *words = info;
    uint32_t b;

    command_line = (const char *)(uintptr_t)(words[6] | (uint64_t)words[7] << 32);
    __asm__ volatile("cpuid" : "=b"(b) : "a"(0), "c"(0) : "edx");
    intel = b == 0x756e6547; /* "Genu" */
    find_memory();
}

uint64_t frame_of(const void *page)
{
    return (uintptr_t)page / PAGE;
}

bool frame_is_own(uint64_t frame)
{
    return frame < memory_last / PAGE;
}

uint64_t memory_pages(void)
{
    return memory_last / PAGE - frame_of(memory_begin);
}

uint64_t memory_frame(uint64_t at)
{
    return frame_of(memory_begin) + at;
}

volatile unsigned char *memory_map(uint64_t frame)
{
    return (volatile unsigned char *)(uintptr_t)(frame * PAGE);
}

bool memory_take(uint64_t at)
{
    uint64_t gfn = memory_frame(at);

    return reservation(XENMEM_POPULATE_PHYSMAP, &gfn) == 1;
}

volatile void *device_page(uint64_t pa)
{
    return (volatile void *)(uintptr_t)pa;
}

void *xen_shared(void)
{
    static unsigned char page[PAGE] __attribute__((aligned(4096)));
    struct {
        uint16_t domid, size;
        uint32_t space;
        uint64_t idx, gpfn;
    } add = {DOMID_SELF, 0, 0, 0, frame_of(page)};

    (void)xen_call(XEN_MEMORY_OP, XENMEM_ADD_TO_PHYSMAP, (unsigned long)&add, 0, 0);
    return page;
}

/* An interrupt gate of long mode. */
struct gate {
    uint16_t low, selector, type, middle;
    uint32_t high, zero;
};

bool xen_events(void)
{
    static struct gate idt[256];
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) at = {sizeof(idt) - 1, (uint64_t)idt};
    struct {
        uint16_t domid, pad;
        uint32_t index;
        uint64_t value;
    } param = {DOMID_SELF, 0, HVM_PARAM_CALLBACK_IRQ, CALLBACK_VECTOR | VECTOR};
    uint64_t entry = (uint64_t)event_entry;

    idt[VECTOR] = (struct gate){(uint16_t)entry, 8, 0x8e00, (uint16_t)(entry >> 16), (uint32_t)(entry >> 32), 0};
    __asm__ volatile("lidt %0" : : "m"(at));
    return xen_call(XEN_HVM_OP, HVMOP_SET_PARAM, (unsigned long)&param, 0, 0) == 0;
}

bool xen_second(void *stack_end)
{
    extern unsigned char tables[];
    struct {
        uint32_t mode, pad;
        uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, rip, rflags, cr0, cr3, cr4, efer;
    } context = {.mode = 1, /* 64 bits */
                 .rsp = (uint64_t)stack_end,
                 .rip = (uint64_t)second_entry,
                 .rflags = 2,
                 .cr0 = 0x80000001,
                 .cr3 = (uint64_t)tables,
                 .cr4 = 0x20,
                 .efer = 0x500};

    return second_up(&context);
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
    uint64_t pt_base, nr_pt_frames, mfn_list, mod_start, mod_len;
    char command_line[1024];
};

#define XEN_SET_CALLBACKS 4
#define XEN_MMUEXT_OP 26
#define MMUEXT_PIN_L1_TABLE 0u
#define MMUEXT_UNPIN_TABLE 4u
#define PTE_MEMORY 0x63u
#define FLAT_CS 0xe033
#define FLAT_SS 0xe02b

static const struct start_info *si;

void xen_start(void *info)
{
    uint32_t iopl = 1;

    si = info;
    command_line = si->command_line;
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

/* Behind what Xen built and mapped, page tables included: frames that nothing here needs. */
static uint64_t memory_used(void)
{
    return (si->pt_base - BASE) / PAGE + si->nr_pt_frames + 1024;
}

uint64_t memory_pages(void)
{
    return si->nr_pages - memory_used();
}

uint64_t memory_frame(uint64_t at)
{
    return mfn(memory_used() + at);
}

bool memory_take(uint64_t at)
{
    uint64_t pfn = memory_used() + at;

    return reservation(XENMEM_POPULATE_PHYSMAP, &pfn) == 1 && (((uint64_t *)si->mfn_list)[memory_used() + at] = pfn) != 0;
}

volatile void *device_page(uint64_t pa)
{
    static unsigned char windows[4][PAGE] __attribute__((aligned(4096)));
    static unsigned nr;
    void *window = windows[nr++];

    return page_remap(window, (pa & ~(uint64_t)(PAGE - 1)) | PTE_DEVICE) == 0 ? window : NULL;
}

long page_remap(void *page, uint64_t entry)
{
    return xen_call(XEN_UPDATE_VA_MAPPING, (unsigned long)page, entry, 2, 0);
}

volatile unsigned char *memory_map(uint64_t frame)
{
    static unsigned char window[PAGE] __attribute__((aligned(4096)));

    (void)page_remap(window, frame * PAGE | PTE_MEMORY);
    return window;
}

long page_protect(void *page, bool writable)
{
    return page_remap(page, frame_of(page) * PAGE | (writable ? PTE_MEMORY : PTE_MEMORY & ~2u));
}

long page_pin(const void *page, bool pin)
{
    struct {
        uint32_t cmd, pad;
        uint64_t mfn, unused;
    } op = {pin ? MMUEXT_PIN_L1_TABLE : MMUEXT_UNPIN_TABLE, 0, frame_of(page), 0};

    return xen_call(XEN_MMUEXT_OP, (unsigned long)&op, 1, 0, DOMID_SELF);
}

bool frame_is_own(uint64_t frame)
{
    static unsigned char own[1u << 17]; /* frames below 4 GiB: a bit each */

    if (own[mfn(0) / 8] == 0) {
        for (uint64_t i = 0; i < si->nr_pages; i++) {
            if (mfn(i) / 8 < sizeof(own)) {
                own[mfn(i) / 8] |= (unsigned char)(1u << mfn(i) % 8);
            }
        }
    }
    return frame / 8 < sizeof(own) && (own[frame / 8] >> frame % 8 & 1) != 0;
}

uint64_t xen_shared_frame(void)
{
    return si->shared_info / PAGE;
}

void *xen_shared(void)
{
    static unsigned char page[PAGE] __attribute__((aligned(4096)));

    (void)page_remap(page, si->shared_info | PTE_MEMORY);
    return page;
}

void failsafe_entry(void);

bool xen_events(void)
{
    return xen_call(XEN_SET_CALLBACKS, (unsigned long)event_entry, (unsigned long)failsafe_entry, (unsigned long)failsafe_entry, 0) == 0;
}

/* vcpu_guest_context, as far as it is not 0. */
struct context {
    uint64_t fpu[64], flags;
    uint64_t regs[16], rip, cs, rflags, rsp, ss, segments[4];
    uint64_t traps[512], ldt[2], gdt[17], kernel_ss, kernel_sp;
    uint64_t ctrlreg[8], debugreg[8], callback, failsafe, syscall, vm_assist, bases[3];
};

bool xen_second(void *stack_end)
{
    static struct context c;

    c.flags = 4; /* in the kernel */
    c.rip = (uint64_t)second_entry;
    c.cs = FLAT_CS;
    c.rflags = 2;
    c.rsp = c.kernel_sp = (uint64_t)stack_end;
    c.ss = c.kernel_ss = FLAT_SS;
    c.ctrlreg[3] = mfn((si->pt_base - BASE) / PAGE) * PAGE;
    c.callback = (uint64_t)event_entry;
    c.failsafe = c.syscall = (uint64_t)failsafe_entry;
    return second_up(&c);
}

#endif
