/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name. The shim uses nothing of it: here are names that a careless one clashes with. */
#ifndef STANDIN_XEN_LIST_H
#define STANDIN_XEN_LIST_H

struct list_head {
    struct list_head *next, *prev;
};
struct hlist_head {
    struct list_head *first;
};
#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }

static inline void INIT_LIST_HEAD(struct list_head *head)
{
    head->next = head->prev = head;
}

void list_add(struct list_head *link, struct list_head *head);
void list_add_tail(struct list_head *link, struct list_head *head);
void list_del(struct list_head *link);
void list_del_init(struct list_head *link);
void list_move(struct list_head *link, struct list_head *head);
void list_splice(struct list_head *list, struct list_head *head);
int list_empty(const struct list_head *head);
#define list_entry(p, type, member) container_of(p, type, member)

#endif
