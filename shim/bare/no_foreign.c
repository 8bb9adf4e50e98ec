/* SPDX-License-Identifier: MIT */
/* What a host says of foreign frames whose guests have no interface that names any: domains with no reverse map in their configuration. */
#include <pviommu/host.h>

int pvi_host_foreign_get(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, uint16_t ioserver, pvi_gfn gfn, unsigned prot,
                         struct pvi_frames *out)
{
    (void)h;
    (void)d;
    (void)domid;
    (void)ioserver;
    (void)gfn;
    (void)prot;
    (void)out;
    return -PVI_EPERM;
}

int pvi_host_foreign_check(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, pvi_gfn gfn, pvi_pa pa)
{
    (void)h;
    (void)d;
    (void)domid;
    (void)gfn;
    (void)pa;
    return -PVI_ENOFRAME;
}

bool pvi_host_ioserver_notify(struct pvi_host *h, struct pvi_hdom *d, uint16_t domid, uint16_t ioserver, pvi_dfn dfn, bool sync)
{
    (void)h;
    (void)d;
    (void)domid;
    (void)ioserver;
    (void)dfn;
    return sync;
}
