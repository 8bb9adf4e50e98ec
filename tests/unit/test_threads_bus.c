/* SPDX-License-Identifier: MIT */
/*
 * Several virtual CPUs of an emulator in the interface of 2015, while guests balloon, io-servers die and devices come and go: all answers
 * are defined ones, and nothing is lost or released early (the recording host judges).
 */
#include <pthread.h>
#include <string.h>

#include "bus_rig.h"
#include "threads_rig.h"

#define RW 3u
#define SWAP 4u
#define CPUS 3u
#define TURNS TH_TIMES(400u, 60u)
#define ELEMENTS 8u

static struct bus_rig rig;
static struct pvi_abi_call calls[CPUS];

struct cpu {
    unsigned nr;
    uint64_t seed;
    const char *wrong;
};

static void element(struct pvi_xen_bus_op *e, uint64_t *seed)
{
    memset(e, 0, sizeof(*e));
    e->subop_id = (uint16_t)(2 + threads_below(seed, 5));
    e->flags = (uint16_t)(e->subop_id == 2 ? RW : e->subop_id == 4 ? RW | (threads_below(seed, 3) ? SWAP : 0) : 0);
    e->u.foreign_page.bfn = 0x900 + threads_below(seed, 12);
    e->u.foreign_page.gfn = e->subop_id == 2 ? GUEST_PV + threads_below(seed, 8) : G_HVM + threads_below(seed, 4);
    if (e->subop_id == 6) {
        e->u.unmap_foreign_page.ioserver = (uint16_t)threads_below(seed, 3);
    }
    e->u.foreign_page.domid = (uint16_t)(BUS_GUEST_DOMID + threads_below(seed, 2));
    e->u.foreign_page.ioserver = (uint16_t)threads_below(seed, 3);
}

static void one_call(struct cpu *c)
{
    unsigned char *mem = &rig.mem[c->nr * ELEMENTS * 32];
    struct pvi_xen_bus_op e[ELEMENTS];
    uint64_t arg = BUS_ADDR + c->nr * ELEMENTS * 32;
    uint32_t count = ELEMENTS;
    int rc;

    for (unsigned i = 0; i < ELEMENTS; i++) {
        element(&e[i], &c->seed);
    }
    memcpy(mem, e, sizeof(e));
    do {
        rc = pvi_xen_bus_call(&calls[c->nr], PVI_XEN_BUS_DRAFT_B, &arg, &count);
        pvi_posix_checkpoint(rig.f.host);
    } while (rc == -PVI_XEN_ERESTART);
    memcpy(e, mem, sizeof(e));
    for (unsigned i = 0; i < ELEMENTS; i++) {
        int32_t s = e[i].status;

        if (rc != 0 || (s != 0 && s != -PVI_XEN_EPERM && s != -PVI_XEN_ENOENT && s != -PVI_XEN_ENXIO)) {
            c->wrong = "a status";
        }
    }
}

static void *cpu_main(void *opaque)
{
    struct cpu *c = opaque;

    for (unsigned i = 0; i < TURNS; i++) {
        one_call(c);
    }
    return NULL;
}

static void *host_main(void *opaque)
{
    static struct pvi_balloon b;
    static struct pvi_bus_work work;
    struct cpu *c = opaque;
    int rc;

    for (unsigned i = 0; i < TURNS; i++) {
        unsigned what = (unsigned)threads_below(&c->seed, 20), guest = (unsigned)threads_below(&c->seed, 2);

        if (what < 16) {
            memset(&b, 0, sizeof(b));
            b.map = &rig.map;
            b.pa.a = G_PA(guest, G_HVM + threads_below(&c->seed, 4));
        }
        do {
            if (what < 16) {
                rc = pvi_balloon_out(&b);
                rc = rc == PVI_BALLOON_HELD ? 0 : rc;
            } else if (what < 18) {
                rc = pvi_ioserver_gone(&rig.f.dom, (uint16_t)(BUS_GUEST_DOMID + guest), 1, &work);
            } else if (what == 18) {
                rc = pvi_guest_gone(&rig.map, (uint16_t)(BUS_GUEST_DOMID + guest), &work);
            } else {
                rc = pvi_device_remove(&rig.f.dom, &rig.f.dev[1]);
                if (rc == 0) {
                    do {
                        rc = pvi_device_add(&rig.f.dom, &rig.f.dev[1]);
                    } while (rc == -PVI_EPREEMPTED);
                }
            }
            pvi_posix_checkpoint(rig.f.host);
        } while (rc == -PVI_EPREEMPTED);
        if (rc != 0) {
            c->wrong = pvi_strerror(rc);
        }
    }
    return NULL;
}

static bool rarely(void *opaque, uint64_t nr)
{
    (void)opaque;
    return nr % 7 == 3;
}

static void test_race(void **state)
{
    static const struct fx_cfg cfgs[] = {
        {.kind = FX_NULL},
        {.kind = FX_NULL, .format = &pvi_amdvi_v1_ops, .np_cache = true, .trim = true},
        {.kind = FX_NULL, .incoherent = true, .default_identity = true},
    };

    (void)state;
    for (unsigned k = 0; k < sizeof(cfgs) / sizeof(cfgs[0]); k++) {
        struct bus_opt opt = {.entries = 40};
        struct cpu cpu[CPUS + 1];
        pthread_t thread[CPUS + 1];

        check_case("machine %u", k);
        bus_up(&rig, &cfgs[k], &opt);
        pvi_posix_preempt_call(rig.f.host, rarely, NULL);
        for (unsigned i = 0; i <= CPUS; i++) {
            cpu[i] = (struct cpu){.nr = i, .seed = 0x1234567 + 977 * i + k};
            if (i < CPUS) {
                memset(&calls[i], 0, sizeof(calls[i]));
                calls[i].caller = &rig.f.dom;
            }
            CHECK_EQ(pthread_create(&thread[i], NULL, i < CPUS ? cpu_main : host_main, &cpu[i]), 0);
        }
        for (unsigned i = 0; i <= CPUS; i++) {
            CHECK_EQ(pthread_join(thread[i], NULL), 0);
        }
        pvi_posix_preempt_call(rig.f.host, NULL, NULL);
        for (unsigned i = 0; i <= CPUS; i++) {
            check_step("thread %u: %s", i, cpu[i].wrong ? cpu[i].wrong : "");
            CHECK(cpu[i].wrong == NULL);
        }
        bus_down(&rig); /* every frame and page is back */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_race)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
