/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_MM_H
#define STANDIN_XEN_MM_H

#include <xen/list.h>
#include <xen/spinlock.h>
#include <xen/types.h>

#include <asm/current.h>

struct domain;

#define PAGE_SHIFT 12
#define PAGE_SIZE (1L << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

struct page_info {
    union {
        struct {
            unsigned long type_info;
        } inuse;
    } u;
};
#define PGT_writable_page (7UL << 61)

extern unsigned long max_page;
extern struct rangeset *mmio_ro_ranges;

struct page_info *alloc_domheap_page(struct domain *d, unsigned int memflags);
void free_domheap_page(struct page_info *pg);
struct page_info *alloc_domheap_pages(struct domain *d, unsigned int order, unsigned int memflags);
void free_domheap_pages(struct page_info *pg, unsigned int order);

/* Arithmetic on the frame table, in Xen. */
struct page_info *mfn_to_page(mfn_t mfn);
mfn_t page_to_mfn(const struct page_info *pg);
bool mfn_valid(mfn_t mfn);
#define paddr_to_pfn(pa) ((unsigned long)((pa) >> PAGE_SHIFT))
#define maddr_to_mfn(ma) _mfn(paddr_to_pfn(ma))
#define mfn_to_maddr(mfn) ((paddr_t)mfn_x(mfn) << PAGE_SHIFT)
#define maddr_to_page(ma) mfn_to_page(maddr_to_mfn(ma))
#define page_to_maddr(pg) mfn_to_maddr(page_to_mfn(pg))

struct domain *page_get_owner(const struct page_info *pg);
bool is_special_page(const struct page_info *page);
int __must_check get_page_type(struct page_info *pg, unsigned long type);
void put_page(struct page_info *pg);
void put_page_and_type(struct page_info *pg);
gfn_t mfn_to_gfn(const struct domain *d, mfn_t mfn);
unsigned long domain_get_maximum_gpfn(struct domain *d);

#endif
