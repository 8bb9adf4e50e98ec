/* SPDX-License-Identifier: MIT */
/* See rig.h. With a test's name as its argument a program runs that one in its own process, for a debugger. */
#include "rig.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_TURNS 200000u
#define STRUCT_AT 0x100u /* behind remote_cmd's own */
#define REMOTE 8u

struct xm_cfg rig_cfg;
static __thread uint32_t act_for = ~0u;
static __thread unsigned continued;

/* --- a process for each ---------------------------------------------------------------------- */

struct run {
    const struct rig_test *test;
    struct xm_cfg cfg;
    char name[96];
};

static void child(const struct run *r, int out)
{
    if (out >= 0) {
        dup2(out, 2);
    }
    rig_cfg = r->cfg;
    xm_boot(&r->cfg);
    r->test->run();
    if (!r->test->bare) {
        xm_shutdown();
    }
    exit(0);
}

void in_child(void (*run)(unsigned n), unsigned n)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        run(n);
        exit(0);
    }
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (status != 0) {
        xm_fail("with %u: %#x", n, (unsigned)status);
    }
}

static void forked(void **state)
{
    const struct run *r = *state;
    char said[8192] = "";
    size_t got = 0;
    ssize_t n;
    int fds[2], status;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        child(r, fds[1]);
    }
    close(fds[1]);
    while ((n = read(fds[0], said + got, sizeof(said) - 1 - got)) > 0) {
        got += (size_t)n;
    }
    said[got] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (r->test->broken) {
        if (status == 0 || !strstr(said, r->test->broken)) {
            fail_msg("not found: %s; but (%#x): %s", r->test->broken, (unsigned)status, said);
        }
    } else if (status != 0 || got) {
        fail_msg("%#x: %s", (unsigned)status, said);
    }
}

int rig_main(int argc, char **argv, const struct rig_test *tests, unsigned nr)
{
    static const unsigned vendors[] = {ON_VTD, ON_AMD}, kinds[] = {ON_PV, ON_PVH};
    struct run *runs = calloc(4 * nr, sizeof(*runs));
    struct CMUnitTest *list = calloc(4 * nr, sizeof(*list));
    unsigned i, v, k, n = 0, on;
    int failed;

    for (i = 0; i < nr; i++) {
        on = tests[i].on ? tests[i].on : ON_ALL;
        for (v = 0; v < 2; v++) {
            for (k = 0; k < 2; k++) {
                if (!(on & vendors[v]) || !(on & kinds[k])) {
                    continue;
                }
                runs[n].test = &tests[i];
                runs[n].cfg = tests[i].cfg;
                runs[n].cfg.amd = v == 1;
                runs[n].cfg.pvh = k == 1;
                snprintf(runs[n].name, sizeof(runs[n].name), "%s: %s, %s", tests[i].name, v ? "AMD" : "VT-d", k ? "PVH" : "PV");
                if (argc > 1 && strcmp(argv[1], runs[n].name) == 0) {
                    child(&runs[n], -1);
                }
                list[n] = (struct CMUnitTest){runs[n].name, forked, NULL, NULL, &runs[n]};
                n++;
            }
        }
    }
    if (argc > 1) {
        fprintf(stderr, "no test has the name '%s'; without a name all run, and tell theirs\n", argv[1]);
        failed = 2;
    } else {
        failed = _cmocka_run_group_tests("xen model", list, n, NULL, NULL);
    }
    free(list);
    free(runs);
    return failed;
}

/* --- hypercall 43 ----------------------------------------------------------------------------- */

void hv_act_for(uint32_t domid)
{
    act_for = domid;
}

unsigned hv_continued(void)
{
    return continued;
}

long hv_for(uint32_t domid, unsigned subop, void *arg, unsigned len)
{
    struct {
        uint16_t domid, subop;
        uint32_t pad;
        uint64_t arg;
    } remote = {(uint16_t)domid, (uint16_t)subop, 0, XM_GUEST_VA + STRUCT_AT};
    unsigned char *mem = xm_guest_memory();
    uint32_t word = subop;
    uint64_t at = XM_GUEST_VA + STRUCT_AT;
    bool again;
    long rc;

    memcpy(mem + STRUCT_AT, arg, len);
    if (domid != ~0u) {
        memcpy(mem, &remote, sizeof(remote));
        word = REMOTE;
        at = XM_GUEST_VA;
    }
    for (continued = 0;; continued++) {
        EXPECT(continued < MOST_TURNS);
        rc = xm_call(&word, at, &again);
        if (!again) {
            break;
        }
    }
    memcpy(arg, mem + STRUCT_AT, len);
    return rc;
}

long hv(unsigned subop, void *arg, unsigned len)
{
    return hv_for(act_for, subop, arg, len);
}

long hv_query(uint16_t *max_ctx_no, uint32_t *flags)
{
    struct {
        uint64_t max_iova_addr;
        uint32_t flags, pgsize_mask, max_pasid;
        uint16_t max_ctx_no, pad0;
    } arg;
    long rc;

    memset(&arg, 0xff, sizeof(arg));
    rc = hv(1, &arg, sizeof(arg));
    *max_ctx_no = arg.max_ctx_no;
    *flags = arg.flags;
    return rc;
}

long hv_init(uint32_t max_ctx_no, uint32_t arena_order)
{
    uint32_t arg[2] = {max_ctx_no, arena_order};

    return hv(2, arg, sizeof(arg));
}

long hv_alloc(uint32_t flags, uint16_t *ctx)
{
    struct {
        uint16_t ctx_no, pad;
        uint32_t flags;
    } arg = {0xffff, 0, flags};
    long rc = hv(3, &arg, sizeof(arg));

    *ctx = arg.ctx_no;
    return rc;
}

long hv_free(uint16_t ctx, uint32_t flags)
{
    struct {
        uint16_t ctx_no, pad;
        uint32_t flags;
    } arg = {ctx, 0, flags};

    return hv(4, &arg, sizeof(arg));
}

long hv_attach(uint16_t ctx, unsigned dev)
{
    return hv_attach_sbdf(ctx, xm_sbdf(dev));
}

long hv_attach_sbdf(uint16_t ctx, uint32_t sbdf)
{
    struct {
        uint16_t ctx_no, seg;
        uint8_t bus, devfn;
        uint16_t pad;
        uint32_t pasid;
    } arg = {ctx, (uint16_t)(sbdf >> 16), (uint8_t)(sbdf >> 8), (uint8_t)sbdf, 0, 0};

    return hv(5, &arg, sizeof(arg));
}

long hv_map(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t *done)
{
    struct {
        uint16_t ctx_no, pad[3];
        uint64_t gfn, dfn;
        uint32_t flags, pgsize, nr_pages, mapped;
    } arg = {ctx, {0}, gfn, dfn, flags, 4096, nr, 0};
    long rc = hv(6, &arg, sizeof(arg));

    if (done) {
        *done = arg.mapped;
    }
    return rc;
}

long hv_unmap(uint16_t ctx, uint64_t dfn, uint32_t nr, uint32_t *done)
{
    struct {
        uint16_t ctx_no, pad[3];
        uint64_t dfn;
        uint32_t pgsize, nr_pages, unmapped, pad1;
    } arg = {ctx, {0}, dfn, 4096, nr, 0, 0};
    long rc = hv(7, &arg, sizeof(arg));

    if (done) {
        *done = arg.unmapped;
    }
    return rc;
}

long hv_lookup(uint16_t ctx, uint64_t dfn, uint64_t *gfn)
{
    struct {
        uint16_t ctx_no, reserved;
        uint32_t prot;
        uint64_t dfn, gfn;
    } arg = {ctx, 0, 0, dfn, 0};
    long rc = hv(14, &arg, sizeof(arg));

    *gfn = arg.gfn;
    return rc;
}

/* --- what tests do again and again -------------------------------------------------------------- */

uint16_t with_context(unsigned dev)
{
    uint16_t ctx;

    EXPECT_EQ(hv_init(8, 6), 0);
    EXPECT_EQ(hv_alloc(0, &ctx), 0);
    EXPECT_EQ(hv_attach(ctx, dev), 0);
    return ctx;
}

void map_one(uint16_t ctx, uint64_t dfn, unsigned n, uint32_t flags)
{
    uint32_t done;

    EXPECT_EQ(hv_map(ctx, dfn, xm_gfn(xm_hwdom(), n), 1, flags, &done), 0);
    EXPECT_EQ(done, 1);
}

void unmap_one(uint16_t ctx, uint64_t dfn)
{
    uint32_t done;

    EXPECT_EQ(hv_unmap(ctx, dfn, 1, &done), 0);
    EXPECT_EQ(done, 1);
}

void expect_dma(unsigned dev, uint64_t dfn, bool write, uint64_t mfn)
{
    unsigned i;

    for (i = 0; i < xm_nr_rids(dev); i++) {
        EXPECT_EQ(xm_dma(dev, i, dfn, write), mfn);
    }
}
