/* SPDX-License-Identifier: MIT */
/* Batches through the dispatcher: a domain with one context and one device on a unit that forgets at once. */
#include "bench.h"
#include "engine.h"
#include "host.h"
#include "memory.h"
#include <pviommu/amdvi.h>
#include <pviommu/batch.h>
#include <pviommu/vtd.h>
#include <string.h>

#define GUEST_FRAMES ((uint64_t)PAGES_1G * 2)
#define DOMAIN_PAGES 1200u

struct machine {
    struct pvi_host host;
    struct pvi_system system;
    struct pvi_unit unit;
    struct pvi_domain domain;
    struct pvi_device device;
    struct pvi_batch batch;
    uint16_t ctx;
    struct pvi_op op[];
};

static int run(struct machine *m, struct pvi_op *op, uint32_t nr)
{
    uint32_t i;
    int rc;

    memset(&m->batch, 0, sizeof(m->batch));
    m->batch.ops = op;
    m->batch.nr = nr;
    rc = pvi_submit(&m->domain, &m->batch);
    for (i = 0; i < nr && rc == 0; i++) {
        rc = op[i].status;
    }
    return rc;
}

static void unit_start(struct machine *m, const struct pvi_pt_ops *ops)
{
    struct pvi_unit_caps *caps = &m->unit.caps;
    uint8_t reach = ops->iova_bits(4);

    caps->format = ops;
    caps->page_sizes = ops->page_sizes;
    caps->levels_mask = 1u << 4;
    caps->iova_bits = reach < 48 ? reach : 48;
    caps->pa_bits = 48;
    caps->coherent = true;
    caps->page_selective = true;
    caps->inv_max_lg2 = 30;
    caps->inv_max_nr = 8;
    caps->nr_dids = 16;
    m->unit.host = &m->host;
}

static int domain_start(struct machine *m, uint8_t iova_bits)
{
    struct pvi_domain_cfg cfg = {.hdom = (struct pvi_hdom *)(void *)&m->host,
                                 .system = &m->system,
                                 .max_contexts = 1,
                                 .max_pages = DOMAIN_PAGES,
                                 .iova_bits = iova_bits};
    struct pvi_op op = {.code = PVI_OP_INIT, .domid = PVI_DOMID_SELF, .u.init = {.nr_contexts = 1, .nr_pages = DOMAIN_PAGES}};
    int rc = pvi_domain_init(&m->domain, &m->host, &cfg);

    m->host.domain = &m->domain;
    m->device.unit = &m->unit;
    m->device.nr_rids = 1;
    rc = rc == 0 ? pvi_device_add(&m->domain, &m->device) : rc;
    rc = rc == 0 ? run(m, &op, 1) : rc;
    memset(&op, 0, sizeof(op));
    op.code = PVI_OP_ALLOC_CONTEXT;
    op.domid = PVI_DOMID_SELF;
    rc = rc == 0 ? run(m, &op, 1) : rc;
    m->ctx = op.ctx;
    memset(&op, 0, sizeof(op));
    op.code = PVI_OP_REATTACH_DEVICE;
    op.domid = PVI_DOMID_SELF;
    op.ctx = m->ctx;
    return rc == 0 ? run(m, &op, 1) : rc;
}

static void *machine_create(const struct pvi_pt_ops *ops, uint32_t nr)
{
    struct machine *m = memory_object(sizeof(*m) + nr * sizeof(m->op[0]));

    host_init(&m->host, PA_BASE(0), GUEST_FRAMES);
    unit_start(m, ops);
    if (pvi_system_add_unit(&m->system, &m->unit) != 0 || domain_start(m, m->unit.caps.iova_bits) != 0) {
        return NULL;
    }
    return m;
}

static void machine_destroy(void *machine)
{
    struct machine *m = machine;

    host_fini(&m->host);
    memory_object_free(m);
}

static void machine_load(void *machine, uint32_t i, bool map, uint64_t iova, uint64_t gfn, uint64_t nr)
{
    struct machine *m = machine;
    struct pvi_op *op = &m->op[i];

    memset(op, 0, sizeof(*op));
    op->domid = PVI_DOMID_SELF;
    op->ctx = m->ctx;
    if (map) {
        op->code = PVI_OP_MAP;
        op->flags = PVI_MAP_READ | PVI_MAP_WRITE;
        op->u.map.dfn.f = iova >> PVI_PAGE_LG2;
        op->u.map.gfn.f = gfn;
        op->u.map.nr = nr;
    } else {
        op->code = PVI_OP_UNMAP;
        op->u.unmap.dfn.f = iova >> PVI_PAGE_LG2;
        op->u.unmap.nr = nr;
    }
}

static int machine_submit(void *machine, uint32_t first, uint32_t nr)
{
    struct machine *m = machine;
    uint32_t i;
    int rc;

    memset(&m->batch, 0, sizeof(m->batch));
    m->batch.ops = m->op + first;
    m->batch.nr = nr;
    rc = pvi_submit(&m->domain, &m->batch);
    for (i = first; i < first + nr; i++) {
        rc |= m->op[i].status;
    }
    return rc;
}

static uint64_t machine_longest(void *machine, uint32_t first, uint32_t nr)
{
    struct machine *m = machine;
    uint64_t end;

    m->host.timed = true;
    m->host.seen.longest = 0;
    m->host.seen.checkpoint = ticks();
    if (machine_submit(m, first, nr) != 0) {
        return 0;
    }
    end = ticks() - m->host.seen.checkpoint;
    m->host.timed = false;
    return end > m->host.seen.longest ? end : m->host.seen.longest;
}

static uint64_t machine_referenced(void *machine)
{
    return ((struct machine *)machine)->host.referenced;
}

#define BATCH(ident, format_ops)                                                                   \
    static void *ident##_create(uint32_t nr)                                                       \
    {                                                                                              \
        return machine_create(&format_ops, nr);                                                    \
    }                                                                                              \
    const struct batch_ops batch_##ident = {                                                       \
        .create = ident##_create,                                                                  \
        .destroy = machine_destroy,                                                                \
        .load = machine_load,                                                                      \
        .submit = machine_submit,                                                                  \
        .longest = machine_longest,                                                                \
        .referenced = machine_referenced,                                                          \
    }

BATCH(vtd_ss, pvi_vtd_ss_ops);
BATCH(vtd_fs, pvi_vtd_fs_ops);
BATCH(amdvi_v1, pvi_amdvi_v1_ops);
BATCH(amdvi_v2, pvi_amdvi_v2_ops);
