/* SPDX-License-Identifier: MIT */
/* Xen's public headers against the library's, for a 64-bit guest and with -m32 for a 32-bit one. Only compiled: scripts/check-xen. */
#include <stddef.h>
#include <stdint.h>

#define __XEN__ /* ERESTART, which no guest sees: the decoders answer it to the shim */
#include <xen/errno.h>
#undef __XEN__
#include <xen/physdev.h>
#include <xen/xen.h>

#include <pviommu/abi/xen43.h>
#include <pviommu/abi/xen_bus.h>

#define HOLDS(what) _Static_assert(what, #what)

HOLDS(DOMID_SELF == PVI_DOMID_SELF);

/* Xen has no number for this one: it is nobody else's. */
#define XEN_ERRNO(name, value) HOLDS(value != PVI_XEN_ECANCELED);
#include <xen/errno.h>

HOLDS(sizeof(struct physdev_pci_device) == sizeof(struct pvi_xen43_pci_device));
HOLDS(offsetof(struct physdev_pci_device, seg) == offsetof(struct pvi_xen43_pci_device, seg));
HOLDS(offsetof(struct physdev_pci_device, bus) == offsetof(struct pvi_xen43_pci_device, bus));
HOLDS(offsetof(struct physdev_pci_device, devfn) == offsetof(struct pvi_xen43_pci_device, devfn));

/* The published structures of hypercall 43 in the types that guests have: no padding is spelled out, a guest's compiler makes it. */
struct capabilities {
    uint64_t max_iova_addr;
    uint32_t cap_flags, pgsize_mask, max_pasid;
    uint16_t max_ctx_no;
};
struct init {
    uint32_t max_ctx_no, arena_order;
};
struct alloc {
    uint16_t ctx_no;
    uint32_t alloc_flags;
};
struct free {
    uint16_t ctx_no;
    uint32_t free_flags;
};
struct reattach_device {
    uint16_t ctx_no;
    struct physdev_pci_device dev;
    uint32_t pasid;
};
struct map_pages {
    uint16_t ctx_no;
    uint64_t gfn, dfn;
    uint32_t map_flags, pgsize, nr_pages, mapped;
};
struct unmap_pages {
    uint16_t ctx_no;
    uint64_t dfn;
    uint32_t pgsize, nr_pages, unmapped;
};
struct remote_cmd {
    uint16_t domid, subop;
    XEN_GUEST_HANDLE(void) arg;
};
struct alloc_nested {
    uint16_t ctx_no;
    uint64_t pgtable_gfn, nested_flags;
};
struct attach_pasid {
    uint16_t ctx_no;
    struct physdev_pci_device dev;
    uint32_t pasid;
};
struct detach_pasid {
    struct physdev_pci_device dev;
    uint32_t pasid;
};
struct flush_pages {
    uint16_t ctx_no;
    uint64_t dfn;
    uint32_t pgsize, nr_pages;
};
/* Not published: ours, of one layout. */
#define flush_nested pvi_xen43_flush_nested
#define lookup_page pvi_xen43_lookup_page

#ifdef __i386__
#define WIRE(name, compat) HOLDS(sizeof(struct name) == (compat))
HOLDS(sizeof(struct pvi_xen_bus_op) == PVI_XEN_BUS_SIZE_COMPAT);
#else
#define WIRE(name, compat) HOLDS(sizeof(struct name) == sizeof(struct pvi_xen43_##name))
HOLDS(sizeof(struct pvi_xen_bus_op) == PVI_XEN_BUS_SIZE);
HOLDS(offsetof(struct map_pages, mapped) == offsetof(struct pvi_xen43_map_pages, mapped));
HOLDS(offsetof(struct unmap_pages, unmapped) == offsetof(struct pvi_xen43_unmap_pages, unmapped));
HOLDS(offsetof(struct remote_cmd, arg) == offsetof(struct pvi_xen43_remote_cmd, arg));
HOLDS(offsetof(struct reattach_device, pasid) == offsetof(struct pvi_xen43_reattach_device, pasid));
#endif

#include "names.h" /* made by scripts/check-xen: hypercall numbers, errors, WIRE for each structure */
