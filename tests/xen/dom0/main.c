/* SPDX-License-Identifier: MIT */
/* The test dom0: what Xen is, what the device does untouched, then hypercalls 43 and 56; or what they cost. */
#include "dom0.h"

#define XEN_VERSION 17

static unsigned char page[2][PAGE] __attribute__((aligned(4096)));

/* The device reads one page and writes the other, by frame numbers: dom0's default context maps them 1:1. */
static void test_device(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < EDU_BYTES; i++) {
        page[0][i] = (unsigned char)(i * 7 + 3);
    }
    edu_load(frame_of(page[0]) * PAGE);
    edu_store(frame_of(page[1]) * PAGE);
    for (unsigned i = 0; i < EDU_BYTES; i++) {
        wrong += page[1][i] != page[0][i];
    }
    is(wrong, 0, "the device copies a page of dom0");
}

void dom0_main(void *info);

void dom0_main(void *info)
{
    long version;

    xen_start(info);
    cpu_start();
    version = xen_call(XEN_VERSION, 0, 0, 0, 0);
    ok(version > 0, "Xen %ld.%ld", version >> 16, version & 0xffff);
    if (edu_start()) {
        ok(true, "edu at %x", edu_sbdf);
        test_device();
        if (xen_option("cost") != 0) {
            test_cost();
        } else {
            test_iommu43();
            test_bus56();
        }
    } else {
        ok(false, "edu is there");
    }
    xen_exit(tap_end());
}
