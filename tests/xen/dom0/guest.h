/* SPDX-License-Identifier: MIT */
/*
 * A guest beside dom0: an HVM domain of one CPU that makes the hypercalls that dom0 has written down in a page of it (guest.S), so
 * that what it does stands in dom0's tests. One at a time.
 */
#ifndef DOM0_GUEST_H
#define DOM0_GUEST_H

#include "dom0.h"

#define GUEST_PAGES 64u    /* of memory, from frame 0 on */
#define GUEST_ROOM 8u      /* the first of them that the guest itself does not need */
#define GUEST_CALLS 24u    /* at most, in one list */

/* Begins it; false: there can be none, or Xen makes it and something else fails. */
bool guest_begin(void);
extern uint16_t guest_id; /* the last one that Xen made; 0: none */
/* Its death, whatever it does; @return whether nothing of it is left some time later. */
bool guest_end(void);
/* A hypercall of the guest's, with a structure (64 bytes at most) of which it gets a copy that is copied back. */
long guest_call(unsigned long nr, unsigned long a, void *structure, size_t size);
/* Where that copy is in its memory. */
uint64_t guest_structure(void);
/* From here on guest_call() writes down what is called, GUEST_CALLS at most; then the guest does all of it, again and again until it dies. */
void guest_list_begin(void);
void guest_list_run(void);
/* How often the whole list has been gone through, and how many of its calls had another answer than 0 when they were last made. */
unsigned guest_turns(void);
unsigned guest_refused(void);
/* A page of its memory, until another is looked at or guest_call() is used. */
volatile unsigned char *guest_page(uint64_t gfn);
/* A device: from dom0 to the guest; from the guest to quarantine, where it is also after the guest's death; from there to dom0. */
long guest_assign(uint32_t sbdf);
long guest_deassign(uint32_t sbdf);
long quarantine_deassign(uint32_t sbdf);
/* Lets others have this CPU for a while. */
void give_way(void);
/* Pages of memory that nobody has, once Xen has put away what it does later; 0: it does not tell. */
uint64_t pages_free(void);

#endif
