/* SPDX-License-Identifier: MIT */
/*
 * Two vCPUs of one guest at once, in the same contexts: mapping, unmapping, looking up, moving the same devices, making and
 * freeing the same contexts. Every answer must be a defined one, and at the end nothing may be missing. The recording
 * host judges each store, flush and release on the way; ThreadSanitizer judges the rest (preset tsan).
 */
#include <pthread.h>
#include <pviommu/batch.h>
#include <pviommu_posix.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 2u
#define ROUNDS 1500u
#define OPS 4u
#define CONTEXTS 3u

struct machine {
    struct pvi_host *host;
    struct pvi_hdom *owner;
    struct pvi_system system;
    struct pvi_posix_null unit;
    struct pvi_device dev[2];
    struct pvi_domain guest;
};

struct vcpu {
    struct machine *m;
    uint64_t seed;
    unsigned bad; /* answers that no operation may give here */
    unsigned done[PVI_OP_NR];
    struct pvi_batch batch;
    struct pvi_op op[OPS];
};

static uint64_t next(struct vcpu *v)
{
    v->seed ^= v->seed << 13;
    v->seed ^= v->seed >> 7;
    v->seed ^= v->seed << 17;
    return v->seed;
}

static void machine_start(struct machine *m, const struct pvi_pt_ops *format, bool np_cache)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000ull, .size = 8 << 20};
    struct pvi_posix_range ram = {.nr = 0x10000, .pa = 0x200000000ull, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_domain_cfg cfg = {.max_contexts = CONTEXTS, .max_pages = 200};
    struct pvi_op init = {.code = PVI_OP_INIT, .domid = PVI_DOMID_SELF,
                          .u.init = {.nr_contexts = CONTEXTS, .nr_pages = 60}};
    struct pvi_batch batch = {.ops = &init, .nr = 1};
    unsigned i;

    memset(m, 0, sizeof(*m));
    m->host = pvi_posix_new(&memory);
    assert_non_null(m->host);
    m->owner = pvi_posix_hdom_new(m->host, 1);
    assert_non_null(m->owner);
    assert_int_equal(pvi_posix_hdom_range(m->owner, &ram), 0);
    assert_int_equal(pvi_posix_hdom_identity(m->owner, 0, 700, PVI_RW), 0);
    m->unit.unit.caps.format = format;
    m->unit.unit.caps.np_cache = np_cache;
    m->unit.unit.caps.coherent = np_cache;
    m->unit.unit.caps.page_selective = true;
    assert_int_equal(pvi_posix_add_null(m->host, &m->unit), 0);
    assert_int_equal(pvi_system_add_unit(&m->system, &m->unit.unit), 0);
    cfg.hdom = m->owner;
    cfg.system = &m->system;
    assert_int_equal(pvi_domain_init(&m->guest, m->host, &cfg), 0);
    for (i = 0; i < 2; i++) {
        m->dev[i].sbdf.v = 0x10 + 8 * i;
        m->dev[i].unit = &m->unit.unit;
        m->dev[i].rid[0] = (uint16_t)(0x10 + 8 * i);
        m->dev[i].nr_rids = 1;
        assert_int_equal(pvi_device_add(&m->guest, &m->dev[i]), 0);
    }
    assert_int_equal(pvi_submit(&m->guest, &batch), 0);
    assert_int_equal(init.status, 0);
}

static void machine_end(struct machine *m)
{
    const char *why = NULL;
    unsigned i;

    for (i = 0; i < 2; i++) {
        assert_int_equal(pvi_device_remove(&m->guest, &m->dev[i]), 0);
    }
    pvi_domain_kill(&m->guest);
    assert_int_equal(pvi_domain_destroy(&m->guest), 0);
    assert_true(pvi_posix_hdom_balanced(m->owner));
    pvi_posix_hdom_free(m->owner);
    if (!pvi_posix_balanced(m->host, &why)) {
        fail_msg("%s", why);
    }
    pvi_posix_free(m->host);
    pvi_posix_null_fini(&m->unit);
}

static void any_op(struct vcpu *v, struct pvi_op *op)
{
    static const uint8_t codes[] = {PVI_OP_MAP, PVI_OP_UNMAP, PVI_OP_MAP, PVI_OP_UNMAP, PVI_OP_MAP,
                                    PVI_OP_LOOKUP, PVI_OP_ALLOC_CONTEXT, PVI_OP_FREE_CONTEXT,
                                    PVI_OP_REATTACH_DEVICE, PVI_OP_FLUSH, PVI_OP_QUERY_CAPS, PVI_OP_UNMAP};
    uint64_t r = next(v);

    memset(op, 0, sizeof(*op));
    op->code = codes[r % sizeof(codes)];
    op->domid = PVI_DOMID_SELF;
    op->ctx = (uint16_t)(1 + (r >> 8) % CONTEXTS);
    if (op->code == PVI_OP_MAP) {
        op->flags = PVI_RW;
        op->u.map.dfn.f = (r >> 16) % 2048;
        op->u.map.gfn.f = (r >> 28) % 0x8000;
        op->u.map.nr = 1 + (r >> 44) % 600;
    } else if (op->code == PVI_OP_UNMAP || op->code == PVI_OP_FLUSH) {
        op->u.unmap.dfn.f = (r >> 16) % 2048;
        op->u.unmap.nr = 1 + (r >> 44) % 600;
    } else if (op->code == PVI_OP_LOOKUP) {
        op->u.lookup.dfn.f = (r >> 16) % 2048;
    } else if (op->code == PVI_OP_REATTACH_DEVICE) {
        op->u.reattach.sbdf.v = 0x10 + 8 * (r >> 16 & 1);
        op->ctx = (uint16_t)((r >> 8) % (CONTEXTS + 1));
    } else if (op->code == PVI_OP_ALLOC_CONTEXT) {
        op->ctx = 0;
        op->flags = r >> 16 & 1;
    } else if (op->code == PVI_OP_FREE_CONTEXT) {
        op->flags = (r >> 16 & 3) != 0;
    } else {
        op->ctx = 0;
    }
}

static bool defined(const struct pvi_op *op)
{
    switch (op->status) {
    case 0:
    case -PVI_EEXIST:
    case -PVI_ENOENT:
    case -PVI_ENOCTX:
    case -PVI_EBUSY:
    case -PVI_ENOSPC:
    case -PVI_ENOMEM:
        return true;
    case -PVI_ENOFRAME: /* a lookup may see a frame that the other vCPU's unmap has just given back */
        return op->code == PVI_OP_LOOKUP;
    default:
        return false;
    }
}

static void *run(void *opaque)
{
    struct vcpu *v = opaque;
    unsigned round, i;

    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < OPS; i++) {
            any_op(v, &v->op[i]);
        }
        memset(&v->batch, 0, sizeof(v->batch));
        v->batch.ops = v->op;
        v->batch.nr = OPS;
        while (pvi_submit(&v->m->guest, &v->batch) == -PVI_EPREEMPTED) {
        }
        pvi_posix_checkpoint(v->m->host);
        for (i = 0; i < OPS; i++) {
            v->bad += !defined(&v->op[i]);
            v->done[v->op[i].code] += v->op[i].status == 0;
        }
    }
    return NULL;
}

static void race(const struct pvi_pt_ops *format, bool np_cache, uint64_t seed)
{
    static struct machine m;
    static struct vcpu v[THREADS];
    pthread_t thread[THREADS];
    unsigned i;

    machine_start(&m, format, np_cache);
    memset(v, 0, sizeof(v));
    for (i = 0; i < THREADS; i++) {
        v[i].m = &m;
        v[i].seed = seed + i;
        assert_int_equal(pthread_create(&thread[i], NULL, run, &v[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(v[i].bad, 0);
        assert_true(v[i].done[PVI_OP_MAP] > 0 && v[i].done[PVI_OP_UNMAP] > 0);
        assert_true(v[i].done[PVI_OP_ALLOC_CONTEXT] > 0 && v[i].done[PVI_OP_REATTACH_DEVICE] > 0);
    }
    machine_end(&m);
}

static void vtd(void **state)
{
    (void)state;
    race(&pvi_vtd_ss_ops, false, 0x1234567);
}

static void vtd_caching_mode(void **state)
{
    (void)state;
    race(&pvi_vtd_ss_ops, true, 0x7654321);
}

static void amdvi(void **state)
{
    (void)state;
    race(&pvi_amdvi_v1_ops, false, 0xabcdef);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vtd),
        cmocka_unit_test(vtd_caching_mode),
        cmocka_unit_test(amdvi),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
