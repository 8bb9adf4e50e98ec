/* SPDX-License-Identifier: MIT */
/* Lists of the reverse map: rings through their head. */
#ifndef PVIOMMU_CORE_REV_LIST_H
#define PVIOMMU_CORE_REV_LIST_H

#include <pviommu/revmap.h>

/* The structure that a link is a member of. */
#define REV_OF(type, member, link) ((type *)(void *)((char *)(link) - offsetof(type, member)))

static inline void list_init(struct pvi_rev_link *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool rev_list_empty(const struct pvi_rev_link *head)
{
    return head->next == head;
}

static inline void rev_list_add(struct pvi_rev_link *before, struct pvi_rev_link *link)
{
    link->next = before;
    link->prev = before->prev;
    before->prev->next = link;
    before->prev = link;
}

static inline void rev_list_del(struct pvi_rev_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

#endif
