/* SPDX-License-Identifier: MIT */
/* Hypercall 43, one guest's life: query, init, a context, a device, pages mapped, looked up, unmapped. Bytes laid out by hand. */
#include <string.h>

#include <pviommu/abi/xen43.h>

#include "fixture.h"

#define BUF 0x1000ull

static struct fx f;
static struct pvi_abi_call call;
static unsigned char mem[256];

static int hypercall(unsigned subop)
{
    uint32_t word = subop;
    int rc;

    do {
        rc = pvi_xen43_call(&call, &word, BUF);
        pvi_posix_checkpoint(f.host);
    } while (rc == -PVI_XEN_ERESTART);
    return rc;
}

static void put(unsigned at, unsigned size, uint64_t value)
{
    memcpy(mem + at, &value, size);
}

static uint64_t get(unsigned at, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, mem + at, size);
    return value;
}

static void life(struct fx *fx, const struct fx_cfg *with)
{
    struct fx_cfg cfg = *with;

    (void)fx;
    cfg.no_init = true;
    fx_up(&f, &cfg);
    memset(&call, 0, sizeof(call));
    call.caller = &f.dom;
    pvi_posix_hdom_mem(f.hdom, mem, BUF, sizeof(mem));

    CHECK_EQ(hypercall(1), 0);
    CHECK_EQ(get(20, 2), 0); /* contexts before init */
    put(0, 4, 4);
    put(4, 4, 10);
    CHECK_EQ(hypercall(2), 0);
    CHECK_EQ(hypercall(2), (uint64_t)(int64_t)-13);
    CHECK_EQ(hypercall(1), 0);
    CHECK_EQ(get(20, 2), 4);
    memset(mem, 0, sizeof(mem));
    CHECK_EQ(hypercall(3), 0);
    CHECK_EQ(get(0, 2), 1);

    memset(mem, 0, sizeof(mem));
    put(0, 2, 1);
    put(2, 2, f.dev[0].sbdf.v >> 16);
    put(4, 1, f.dev[0].sbdf.v >> 8);
    put(5, 1, f.dev[0].sbdf.v);
    CHECK_EQ(hypercall(5), 0);

    memset(mem, 0, sizeof(mem));
    put(0, 2, 1);
    put(8, 8, GUEST_PV + 3);
    put(16, 8, 0x12345);
    put(24, 4, 3);
    put(28, 4, 4096);
    put(32, 4, 700);
    put(36, 4, 5);
    CHECK_EQ(hypercall(6), 0);
    CHECK_EQ(get(36, 4), 705);

    memset(mem, 0, sizeof(mem));
    put(0, 2, 1);
    put(8, 8, 0x12345 + 699);
    CHECK_EQ(hypercall(14), 0);
    CHECK_EQ(get(4, 4), 3);
    CHECK_EQ(get(16, 8), GUEST_PV + 3 + 699);

    memset(mem, 0, sizeof(mem));
    put(0, 2, 1);
    put(8, 8, 0x12345);
    put(16, 4, 4096);
    put(20, 4, 701);
    CHECK_EQ(hypercall(7), (uint64_t)(int64_t)-2);
    CHECK_EQ(get(24, 4), 700);

    memset(mem, 0, sizeof(mem));
    put(0, 2, 1);
    CHECK_EQ(hypercall(4), (uint64_t)(int64_t)-16);
    put(4, 4, 1);
    CHECK_EQ(hypercall(4), 0);
    fx_end(&f, false);
}

static void test_life(void **state)
{
    (void)state;
    fx_each(life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_life)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
