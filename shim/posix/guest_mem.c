/* SPDX-License-Identifier: MIT */
/* The userspace host: the memory that guests pass to hypercalls. */
#include "internal.h"
#include <string.h>

void pvi_posix_hdom_mem(struct pvi_hdom *d, void *mem, uint64_t addr, size_t len)
{
    d->mem = mem;
    d->mem_addr = addr;
    d->mem_len = mem ? len : 0;
}

/* Where [addr, addr + len) lies, or NULL. */
static void *guest_ptr(struct pvi_hdom *d, uint64_t addr, size_t len)
{
    uint64_t at = addr - d->mem_addr;

    return addr >= d->mem_addr && at <= d->mem_len && len <= d->mem_len - at ? (char *)d->mem + at
                                                                           : NULL;
}

int pvi_host_copy_in(struct pvi_host *h, struct pvi_hdom *caller, void *to, uint64_t from,
                     size_t len)
{
    bool fail = pvi_posix_enter(h, PVI_AT_COPY_IN);
    const void *p = guest_ptr(caller, from, len);

    if (p && !fail) {
        memcpy(to, p, len);
    }
    pvi_posix_leave(h, PVI_AT_COPY_IN);
    return p && !fail ? 0 : -PVI_EFAULT;
}

int pvi_host_copy_out(struct pvi_host *h, struct pvi_hdom *caller, uint64_t to, const void *from,
                      size_t len)
{
    bool fail = pvi_posix_enter(h, PVI_AT_COPY_OUT);
    void *p = guest_ptr(caller, to, len);

    if (p && !fail) {
        memcpy(p, from, len);
    }
    pvi_posix_leave(h, PVI_AT_COPY_OUT);
    return p && !fail ? 0 : -PVI_EFAULT;
}
