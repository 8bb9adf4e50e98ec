/* SPDX-License-Identifier: MIT */
/* The smallest whole use: a host, a unit, a domain with one device, and a guest's batch. */
#include <pviommu/batch.h>
#include <pviommu_posix.h>
#include <stdio.h>

static struct pvi_posix_null unit; /* a unit without hardware: pvi_vtd_unit or pvi_amdvi_unit drive real ones */
static struct pvi_system machine;
static struct pvi_domain guest;
static struct pvi_batch batch;

int main(void)
{
    struct pvi_posix_cfg memory = {.pa = 0x100000000, .size = 16 << 20};
    struct pvi_posix_range ram = {.nr = 1024, .pa = 0x200000000, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_host *host = pvi_posix_new(&memory);
    struct pvi_hdom *owner = host ? pvi_posix_hdom_new(host, 1) : NULL;
    struct pvi_domain_cfg cfg = {.hdom = owner, .system = &machine, .max_contexts = 8, .max_pages = 256};
    struct pvi_device nic = {.sbdf = {0x0310}, .unit = &unit.unit, .rid = {0x0310}, .nr_rids = 1};
    struct pvi_op ops[] = {
        {.code = PVI_OP_INIT, .domid = PVI_DOMID_SELF, .u.init = {.nr_contexts = 4, .nr_pages = 64}},
        {.code = PVI_OP_ALLOC_CONTEXT, .domid = PVI_DOMID_SELF},
        {.code = PVI_OP_REATTACH_DEVICE, .domid = PVI_DOMID_SELF, .ctx = 1, .u.reattach.sbdf = {0x0310}},
        {.code = PVI_OP_MAP, .domid = PVI_DOMID_SELF, .ctx = 1, .flags = PVI_RW,
         .u.map = {.dfn = {0x1000}, .gfn = {16}, .nr = 8}},
        {.code = PVI_OP_LOOKUP, .domid = PVI_DOMID_SELF, .ctx = 1, .u.lookup.dfn = {0x1003}},
        {.code = PVI_OP_UNMAP, .domid = PVI_DOMID_SELF, .ctx = 1, .u.unmap = {.dfn = {0x1000}, .nr = 9}},
    };
    unsigned i;

    unit.unit.caps.format = &pvi_vtd_ss_ops;
    if (!owner || pvi_posix_hdom_range(owner, &ram) != 0 || pvi_posix_add_null(host, &unit) != 0 ||
        pvi_system_add_unit(&machine, &unit.unit) != 0 || pvi_domain_init(&guest, host, &cfg) != 0 ||
        pvi_device_add(&guest, &nic) != 0) {
        return 1;
    }
    batch.ops = ops;
    batch.nr = sizeof(ops) / sizeof(ops[0]);
    while (pvi_submit(&guest, &batch) == -PVI_EPREEMPTED) {
    }
    for (i = 0; i < batch.nr; i++) {
        printf("op %u: %s, done %llu\n", i, pvi_strerror(ops[i].status), (unsigned long long)ops[i].done);
    }
    printf("dfn 0x1003 -> gfn %llu\n", (unsigned long long)ops[4].u.lookup.gfn.f);
    return ops[4].u.lookup.gfn.f == 19 && ops[5].status == -PVI_ENOENT && ops[5].done == 8 ? 0 : 1;
}
