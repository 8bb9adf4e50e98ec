/* SPDX-License-Identifier: MIT */
/* Time, events, and the second virtual CPU. Layouts and numbers: Xen's public headers. */
#include "dom0.h"

#define XEN_SET_TIMER_OP 15
#define XEN_VCPU_OP 24
#define XEN_EVENT_CHANNEL_OP 32
#define VCPUOP_UP 1
#define VCPUOP_DOWN 2
#define EVTCHNOP_BIND_VIRQ 1
#define EVTCHNOP_SEND 4
#define EVTCHNOP_BIND_IPI 7
#define VIRQ_TIMER 0

struct vcpu_info {
    uint8_t pending, mask, pad[6];
    uint64_t selector;
    uint64_t arch[2];
    uint32_t version, pad1;
    uint64_t tsc, ns;
    uint32_t mul;
    int8_t shift;
    uint8_t flags, pad2[2];
};

struct shared_info {
    struct vcpu_info vcpu[32];
    uint64_t pending[64], mask[64];
};

/* What the assembler leaves of an interrupted program. */
struct event_frame {
    uint64_t r10, r9, r8, rdx, rsi, rdi, rax, r11, rcx, flags, rip;
};

volatile struct event_count events;
static volatile struct shared_info *shared;
static uint64_t period;
static uint32_t ipi;

/* --- time ----------------------------------------------------------------------------------------------------- */

uint64_t now(void)
{
    volatile struct vcpu_info *v = &shared->vcpu[0];
    uint32_t version, low, high;
    uint64_t ns;

    do {
        version = v->version;
        __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
        ns = ((uint64_t)high << 32 | low) - v->tsc;
        ns = v->shift >= 0 ? ns << v->shift : ns >> -v->shift;
        ns = v->ns + (uint64_t)((unsigned __int128)ns * v->mul >> 32);
    } while ((version & 1) != 0 || version != v->version);
    return ns;
}

static void set_timer(uint64_t at)
{
    (void)xen_call(XEN_SET_TIMER_OP, at, 0, 0, 0);
}

/* --- events --------------------------------------------------------------------------------------------------- */

/* Was hypercall 43 about to be entered, and had it come some way before? */
static void look_at_call(const struct event_frame *f)
{
    const uint32_t *arg = (const uint32_t *)f->rsi;
    uint16_t insn = *(const uint16_t *)f->rip; /* syscall; vmcall, vmmcall */

    if (f->rax != 43 || (insn != 0x050f && insn != 0x010f)) {
        return;
    }
    events.continued++;
    switch (f->rdi & 0xff) {
    case 6:
        events.partway += arg[9] != 0 && arg[8] != 0; /* mapped, nr_pages */
        break;
    case 7:
        events.partway += arg[6] != 0 && arg[5] != 0;
        break;
    default:
        events.partway += f->rdi >> 8 != 0;
        break;
    }
}

void event_arrived(const struct event_frame *f);

void event_arrived(const struct event_frame *f)
{
    volatile struct vcpu_info *v = &shared->vcpu[0];
    uint64_t which;

    v->pending = 0;
    for (which = __atomic_exchange_n(&v->selector, 0, __ATOMIC_SEQ_CST); which != 0; which &= which - 1) {
        (void)__atomic_exchange_n(&shared->pending[__builtin_ctzll(which)], 0, __ATOMIC_SEQ_CST);
    }
    events.seen++;
    look_at_call(f);
    if (period != 0) {
        set_timer(now() + period);
    }
}

static bool events_start(void)
{
    struct {
        uint32_t virq, vcpu, port;
    } virq = {VIRQ_TIMER, 0, 0};
    struct {
        uint32_t vcpu, port;
    } bind = {0, 0};

    if (!xen_events() || xen_call(XEN_EVENT_CHANNEL_OP, EVTCHNOP_BIND_VIRQ, (unsigned long)&virq, 0, 0) != 0 ||
        xen_call(XEN_EVENT_CHANNEL_OP, EVTCHNOP_BIND_IPI, (unsigned long)&bind, 0, 0) != 0) {
        return false;
    }
    ipi = bind.port;
    return true;
}

void cpu_start(void)
{
    shared = xen_shared();
}

bool events_begin(void)
{
    static int started;

    if (started == 0) {
        started = events_start() ? 1 : -1;
    }
    if (started > 0) {
        shared->vcpu[0].mask = 0;
#ifdef DOM0_PVH
        __asm__ volatile("sti" : : : "memory");
#endif
    }
    return started > 0;
}

void events_end(void)
{
#ifdef DOM0_PVH
    __asm__ volatile("cli" : : : "memory");
#endif
    shared->vcpu[0].mask = 1;
    events_every(0);
}

void events_every(uint64_t ns)
{
    period = ns;
    set_timer(ns != 0 ? now() + ns : 0);
}

void events_send(void)
{
    (void)xen_call(XEN_EVENT_CHANNEL_OP, EVTCHNOP_SEND, (unsigned long)&ipi, 0, 0);
}

/* --- the second virtual CPU ------------------------------------------------------------------------------------- */

static void (*volatile second_job)(void *);
static void *volatile second_arg;
static volatile bool second_began;

static void vcpu_op(unsigned op)
{
    (void)xen_call(XEN_VCPU_OP, op, 1, 0, 0);
}

void second_main(void);

/* Sleeps when there is nothing to do: else it would take half of an emulator's time. */
void second_main(void)
{
    for (;;) {
        while (second_job == NULL) {
            vcpu_op(VCPUOP_DOWN);
        }
        second_began = true;
        second_job(second_arg);
        second_job = NULL;
    }
}

bool second_is_there(void)
{
    static unsigned char stack[4 * PAGE] __attribute__((aligned(4096)));
    static int started;

    if (started == 0) {
        started = xen_second(stack + sizeof(stack)) ? 1 : -1;
    }
    return started > 0;
}

void second_run(void (*job)(void *), void *arg)
{
    second_arg = arg;
    second_began = false;
    second_job = job;
    while (!second_began) {
        vcpu_op(VCPUOP_UP); /* again and again: it may have been about to go to sleep when the job came */
        __asm__ volatile("pause");
    }
}

void second_wait(void)
{
    while (second_job != NULL) {
        __asm__ volatile("pause");
    }
}
