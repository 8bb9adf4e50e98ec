/* SPDX-License-Identifier: MIT */
/* The userspace host: counters, failures on demand, preemption, polling, hooks, events. */
#include "internal.h"
#include <stdio.h>
#include <string.h>

/* A hook that calls the library again is not reported to itself. */
static _Thread_local bool in_hook;

static void run_hook(struct pvi_host *h, enum pvi_posix_point at, bool after)
{
    if (h->hook_fn && (h->hook_mask & PVI_AT_BIT(at)) != 0 && !in_hook) {
        in_hook = true;
        h->hook_fn(h->hook_opaque, at, after);
        in_hook = false;
    }
}

bool pvi_posix_enter(struct pvi_host *h, enum pvi_posix_point at)
{
    struct pvi_posix_knob *k = &h->knob[at];
    uint64_t nth = k->nth, seen;

    __atomic_fetch_add(&k->calls, 1, __ATOMIC_RELAXED);
    pvi_record_call(h, at);
    run_hook(h, at, false);
    if (nth == 0 || in_hook) {
        return false;
    }
    seen = __atomic_add_fetch(&k->seen, 1, __ATOMIC_RELAXED);
    if (seen != nth && !(k->on && seen > nth)) {
        return false;
    }
    __atomic_fetch_add(&k->failed, 1, __ATOMIC_RELAXED);
    return true;
}

void pvi_posix_leave(struct pvi_host *h, enum pvi_posix_point at)
{
    run_hook(h, at, true);
}

uint64_t pvi_posix_calls(struct pvi_host *h, enum pvi_posix_point at)
{
    return __atomic_load_n(&h->knob[at].calls, __ATOMIC_RELAXED);
}

void pvi_posix_calls_reset(struct pvi_host *h)
{
    unsigned i;

    for (i = 0; i < PVI_AT_NR; i++) {
        h->knob[i].calls = 0;
    }
}

void pvi_posix_fail(struct pvi_host *h, enum pvi_posix_point at, uint64_t nth, bool on)
{
    struct pvi_posix_knob *k = &h->knob[at];

    k->nth = nth;
    k->on = on;
    k->seen = 0;
    k->failed = 0;
}

uint64_t pvi_posix_failed(struct pvi_host *h, enum pvi_posix_point at)
{
    return __atomic_load_n(&h->knob[at].failed, __ATOMIC_RELAXED);
}

void pvi_posix_preempt_bits(struct pvi_host *h, const uint64_t *bits, uint64_t nr)
{
    h->preempt_bits = bits;
    h->preempt_nr = nr;
    h->preempt_at = 0;
}

void pvi_posix_preempt_call(struct pvi_host *h, bool (*fn)(void *opaque, uint64_t nr), void *opaque)
{
    h->preempt_fn = fn;
    h->preempt_opaque = opaque;
    h->preempt_at = 0;
}

void pvi_posix_poll(struct pvi_host *h, uint64_t turns, void (*fn)(void *opaque), void *opaque)
{
    h->poll_turns = turns;
    h->poll_fn = fn;
    h->poll_opaque = opaque;
}

void pvi_posix_hook(struct pvi_host *h, uint64_t mask,
                    void (*fn)(void *opaque, enum pvi_posix_point at, bool after), void *opaque)
{
    h->hook_fn = NULL;
    h->hook_mask = mask;
    h->hook_opaque = opaque;
    h->hook_fn = fn;
}

bool pvi_host_preempt(struct pvi_host *h)
{
    bool yes = pvi_posix_enter(h, PVI_AT_PREEMPT);
    uint64_t nr = __atomic_fetch_add(&h->preempt_at, 1, __ATOMIC_RELAXED);

    if (!yes && h->preempt_bits && nr < h->preempt_nr) {
        yes = ((h->preempt_bits[nr / 64] >> (nr % 64)) & 1) != 0;
    }
    if (!yes && h->preempt_fn) {
        yes = h->preempt_fn(h->preempt_opaque, nr);
    }
    pvi_record_preempt(h, yes);
    pvi_posix_leave(h, PVI_AT_PREEMPT);
    return yes;
}

bool pvi_host_poll(struct pvi_host *h, uint64_t turns)
{
    bool on = !pvi_posix_enter(h, PVI_AT_POLL) && turns < h->poll_turns;

    if (on && h->poll_fn) {
        h->poll_fn(h->poll_opaque);
    }
    pvi_posix_leave(h, PVI_AT_POLL);
    return on;
}

void pvi_host_event(struct pvi_host *h, enum pvi_event what, uint64_t a, uint64_t b)
{
    static const char *const name[] = {"flush failed", "unit error", "foreign page put to a pool"};

    (void)pvi_posix_enter(h, PVI_AT_EVENT);
    pthread_mutex_lock(&h->lists_lock);
    if (h->nr_events < PVI_POSIX_EVENTS) {
        struct pvi_posix_event *e = &h->event[h->nr_events];

        e->what = (uint32_t)what;
        e->a = a;
        e->b = b;
    }
    h->nr_events++;
    pthread_mutex_unlock(&h->lists_lock);
    if (h->verbose) {
        fprintf(stderr, "pviommu: %s: 0x%llx 0x%llx\n",
                (unsigned)what < sizeof(name) / sizeof(name[0]) ? name[what] : "event",
                (unsigned long long)a, (unsigned long long)b);
    }
    pvi_posix_leave(h, PVI_AT_EVENT);
}

uint64_t pvi_posix_events(struct pvi_host *h, struct pvi_posix_event out[PVI_POSIX_EVENTS])
{
    uint64_t nr;

    pthread_mutex_lock(&h->lists_lock);
    nr = h->nr_events;
    if (out) {
        memcpy(out, h->event, sizeof(h->event));
    }
    pthread_mutex_unlock(&h->lists_lock);
    return nr;
}

void pvi_posix_events_reset(struct pvi_host *h)
{
    pthread_mutex_lock(&h->lists_lock);
    h->nr_events = 0;
    pthread_mutex_unlock(&h->lists_lock);
}
